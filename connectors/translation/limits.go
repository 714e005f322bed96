package translation

import (
	"time"
	"unicode/utf8"
)

// Limits are a provider's bounds for one call and for an account. 0 is no bound,
// but for Texts, Concurrency and Timeout, which are at least 1.
type Limits struct {
	Texts       int           // texts in one call
	Bytes       int           // of the texts of one call together, as UTF-8
	Characters  int           // code points of the texts of one call together
	Concurrency int           // calls in flight
	Timeout     time.Duration // one call's deadline
	PerMinute   int           // calls begun in a minute
}

// Batch is a run of texts that fit into one call.
type Batch struct {
	First int // the first one's place among all
	Texts []string
	// TooLarge: this one text is more than fits into a call by itself.
	TooLarge bool
}

// Batches puts texts into as few calls as their order allows. Together the
// batches are texts, in order.
func Batches(texts []string, l Limits) []Batch {
	var batches []Batch
	most := max(1, l.Texts)
	bytes, characters := 0, 0
	for i, text := range texts {
		b, c := len(text), utf8.RuneCountInString(text)
		if last := len(batches) - 1; last >= 0 {
			open := &batches[last]
			if !open.TooLarge && len(open.Texts) < most && fits(bytes+b, l.Bytes) && fits(characters+c, l.Characters) {
				open.Texts = texts[open.First : i+1 : i+1]
				bytes, characters = bytes+b, characters+c
				continue
			}
		}
		bytes, characters = b, c
		batches = append(batches, Batch{
			First: i, Texts: texts[i : i+1 : i+1],
			TooLarge: !fits(b, l.Bytes) || !fits(c, l.Characters),
		})
	}
	return batches
}

func fits(n, limit int) bool { return limit <= 0 || n <= limit }
