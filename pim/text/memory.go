package text

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/govalues/decimal"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// Remembered is a translation that was good before: two fragments and their languages.
type Remembered struct {
	Source, Target string
	From, To       string // BCP 47 tags
}

// Adapt gives the translation of source, a fragment, where it differs from the
// remembered one in nothing but numbers (what the placeholders stand for is
// never in a fragment). It is false where that is not safe: the text around
// differs, a number cannot be found in the target by value or is there more
// often, it touches a letter (an ordinal, "12-fold"), the new one is written in
// another manner than the old ("5" and "5.5"), or one of the languages has
// another plural form for it ("1 piece", "2 pieces"; CLDR's cardinal rules). The
// result is to be checked as a translator's is.
func (m Remembered) Adapt(source string) (target string, ok bool) {
	if source == m.Source {
		return m.Target, true
	}
	from, err := language.Parse(m.From)
	if err != nil {
		return "", false
	}
	to, err := language.Parse(m.To)
	if err != nil {
		return "", false
	}
	oldText, oldNumbers := pieces(m.Source)
	newText, newNumbers := pieces(source)
	if len(oldNumbers) != len(newNumbers) || len(oldNumbers) > maxParts*4 {
		return "", false
	}
	for i := range oldText {
		if oldText[i] != newText[i] {
			return "", false
		}
	}
	text, numbers := pieces(m.Target)
	out := slices.Clone(numbers)
	for i, old := range oldNumbers {
		// A value that is there more than once must become one other everywhere,
		// or nothing says which of them it is in the target.
		if len(values(old, pointUnknown)) == 0 { // "1.2.3" is found by no value
			if old != newNumbers[i] {
				return "", false
			}
			continue
		}
		times := 0
		for j, other := range oldNumbers {
			if sameValue(old, other) {
				if times++; newNumbers[j] != newNumbers[i] {
					return "", false
				}
			}
		}
		for j, n := range numbers {
			if !sameValue(old, n) {
				continue
			}
			times--
			if old == newNumbers[i] {
				continue
			}
			if touches(oldText, i) || touches(text, j) || !samePlural(from, old, newNumbers[i]) || !samePlural(to, old, newNumbers[i]) {
				return "", false
			}
			if out[j], ok = inManner(old, n, newNumbers[i]); !ok {
				return "", false
			}
		}
		if times != 0 {
			return "", false
		}
	}
	var b strings.Builder
	for i, s := range text {
		b.WriteString(s)
		if i < len(numbers) {
			b.WriteString(out[i])
		}
	}
	return b.String(), true
}

// pieces cuts a fragment at its numbers; there is one text more than numbers.
// Those of placeholders are text.
func pieces(fragment string) (text, numbers []string) {
	from := 0
	for i := 0; i < len(fragment); {
		if fragment[i] == '<' || fragment[i] == '&' {
			closing := byte('>')
			if fragment[i] == '&' {
				closing = ';'
			}
			if n := strings.IndexByte(fragment[i:min(len(fragment), i+maxTag)], closing); n > 0 {
				i += n + 1
				continue
			}
		}
		n := numberAt(fragment[i:], false)
		if n == 0 {
			_, size := utf8.DecodeRuneInString(fragment[i:])
			i += size
			continue
		}
		text = append(text, fragment[from:i])
		numbers = append(numbers, fragment[i:i+n])
		i += n
		from = i
	}
	return append(text, fragment[from:]), numbers
}

// touches reports that number i of the pieces stands at a letter, or at a sign
// that makes it an ordinal or part of a word or of another number.
func touches(text []string, i int) bool {
	const joins = "-–'’ºª°/:#"
	before, _ := utf8.DecodeLastRuneInString(text[i])
	after, size := utf8.DecodeRuneInString(text[i+1])
	if after == '.' { // a German ordinal, or the end of the sentence
		rest, _ := utf8.DecodeRuneInString(strings.TrimLeft(text[i+1][size:], " "))
		return rest != utf8.RuneError
	}
	letter := func(c rune) bool {
		return unicode.IsLetter(c) && !freeScript(c) || c == '_' || strings.ContainsRune(joins, c)
	}
	return letter(before) || letter(after)
}

// inManner writes number n as the target writes old. Only whole numbers and such
// with one separator, in the same place in all, are sure.
func inManner(old, target, n string) (string, bool) {
	old, target, n = plainDigits(old), plainDigits(target), plainDigits(n)
	shape := func(s string) (sep string, places int) {
		i := strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' })
		if i < 0 {
			return "", 0
		}
		return s[i : i+1], len(s) - i - 1
	}
	oldSep, oldPlaces := shape(old)
	newSep, newPlaces := shape(n)
	targetSep, targetPlaces := shape(target)
	switch {
	case oldSep == "" && newSep == "" && targetSep == "":
		return n, true
	case oldSep == "" || oldSep != newSep || targetSep == "" || targetSep == "'" || oldPlaces != newPlaces || oldPlaces != targetPlaces:
		return "", false
	}
	whole, part, _ := strings.Cut(n, newSep)
	if strings.Trim(whole+part, "0123456789") != "" {
		return "", false
	}
	return whole + targetSep + part, true
}

// samePlural reports that a language has one plural form for two numbers.
func samePlural(tag language.Tag, a, b string) bool {
	formA, okA := pluralForm(tag, a)
	formB, okB := pluralForm(tag, b)
	return okA && okB && formA == formB
}

// pluralForm is the cardinal form of a number, read with a point or comma for its decimals.
func pluralForm(tag language.Tag, s string) (plural.Form, bool) {
	vs := values(s, pointUnknown)
	if len(vs) != 1 {
		return plural.Other, false
	}
	v := vs[0]
	const most = 1_000_000_000
	if v.Cmp(decimal.MustNew(most, 0)) >= 0 || v.Scale() > 8 {
		return plural.Other, false
	}
	shown := len(plainDigits(s)) - strings.IndexAny(plainDigits(s)+".", ".,") - 1 // visible decimals, with trailing zeros
	shown = max(0, shown)
	whole, frac, _ := v.Int64(min(shown, 8))
	trimmed, w := frac, min(shown, 8)
	for w > 0 && trimmed%10 == 0 {
		trimmed /= 10
		w--
	}
	return plural.Cardinal.MatchPlural(tag, int(whole), min(shown, 8), w, int(frac), int(trimmed)), true
}

// Similarity is how alike two texts are, 0 to 1, as PostgreSQL's pg_trgm works
// it out: the share of their words' trigrams that both have. Words are letters
// and digits in small letters, two spaces before and one behind.
func Similarity(a, b string) float64 {
	x, y := trigrams(a), trigrams(b)
	both := 0
	for t := range x {
		if y[t] {
			both++
		}
	}
	if all := len(x) + len(y) - both; all > 0 {
		return float64(both) / float64(all)
	}
	return 0
}

func trigrams(s string) map[[3]rune]bool {
	set := map[[3]rune]bool{}
	for word := range strings.FieldsFuncSeq(strings.ToLower(s), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }) {
		three := [3]rune{' ', ' ', ' '}
		for _, c := range word {
			three = [3]rune{three[1], three[2], c}
			set[three] = true
		}
		set[[3]rune{three[1], three[2], ' '}] = true
	}
	return set
}
