package text

import "unicode/utf8"

// Limit is the most that a channel takes of a text; 0 is no limit.
type Limit struct {
	Characters int // Unicode code points
	Bytes      int // of UTF-8
	Units      int // of UTF-16, as JavaScript and Java count
}

// Fits reports whether a text is within the limit.
func (l Limit) Fits(text string) bool {
	return (l.Bytes <= 0 || len(text) <= l.Bytes) &&
		(l.Characters <= 0 || len(text) <= l.Characters || utf8.RuneCountInString(text) <= l.Characters) &&
		(l.Units <= 0 || len(text) <= l.Units || units(text) <= l.Units)
}

// units is a text's length in UTF-16.
func units(text string) (n int) {
	for _, c := range text {
		n++
		if c > 0xFFFF {
			n++
		}
	}
	return n
}
