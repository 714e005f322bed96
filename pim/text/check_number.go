package text

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// figures lists the numbers of a text as written, those within words, too.
func figures(text string, spaced bool) []string {
	var out []string
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		if !unicode.IsDigit(c) && vulgar[c] == "" {
			i += size
			continue
		}
		n := size
		if vulgar[c] == "" {
			n = numberAt(text[i:], spaced)
		}
		s := text[i : i+n]
		if len(values(s, pointUnknown)) == 0 { // "1.2.3"
			out = append(out, digitRuns(s)...)
		} else {
			out = append(out, s)
		}
		i += n
	}
	return out
}

// digitRuns are a text's digits, cut at all that is none.
func digitRuns(text string) []string {
	return strings.FieldsFunc(plainDigits(text), func(c rune) bool { return (c < '0' || c > '9') && vulgar[c] == "" })
}

// checkNumbers compares the numbers of two texts as multisets. They are the
// same if they are so in one way of reading them.
func checkNumbers(before, after string) []Fault {
	was, is := figures(before, false), figures(after, false)
	missing, added := difference(was, is)
	if len(missing)+len(added) == 0 {
		return nil
	}
	for _, way := range [...][2]bool{{true, true}, {false, true}, {true, false}} {
		if m, a := difference(figures(before, way[0]), figures(after, way[1])); len(m)+len(a) == 0 {
			return nil
		}
	}
	var faults []Fault
	if len(missing) > 0 {
		faults = append(faults, *fault(CodeNumberMissing, "the translation lacks %s", someOf(missing)))
	}
	if len(added) > 0 {
		faults = append(faults, *fault(CodeNumberAdded, "the translation has %s, which the source has not", someOf(added)))
	}
	return faults
}

// minusWords are words that say what a minus sign says.
var minusWords = regexp.MustCompile(`(?i)\b(?:minus|moins|menos|meno|min|mínus|miinus|mínusz|mīnus|eksi|below|unter|sous|bajo|sotto|onder)\b|минус|мінус|мінус|ناقص|تحت|负|負|零下|零度以下|マイナス|氷点下|마이너스|영하`)

// signed is a number behind a minus sign, or what looks like one.
var signed = regexp.MustCompile(`[-‐‑‒–—−﹣－]\s?\d`)

// checkSigns reports a translation whose numbers have lost their minus signs.
// Where a sign may as well join two numbers or words it says nothing.
func checkSigns(before, after string) *Fault {
	below := 0
	for _, at := range signed.FindAllStringIndex(before, -1) {
		left := strings.TrimRightFunc(before[:at[0]], isSpace)
		last, _ := utf8.DecodeLastRuneInString(left)
		apart := left == "" || len(left) < at[0] || last == '('
		if sign, size := utf8.DecodeRuneInString(before[at[0]:]); apart && strings.ContainsRune("-–−", sign) && at[0]+size+1 == at[1] && !unicode.IsDigit(last) && !strings.ContainsRune("%°\uFFFC", last) {
			below++
		}
	}
	if below <= len(signed.FindAllStringIndex(after, -1)) || minusWords.MatchString(after) {
		return nil
	}
	return fault(CodeNumberMissing, "the translation lacks a minus sign")
}

func someOf(list []string) string {
	const most = 5
	if len(list) > most {
		return strings.Join(list[:most], "; ") + "; …"
	}
	return strings.Join(list, "; ")
}

// difference gives the numbers that only one of the lists has, by value.
func difference(was, is []string) (missing, added []string) {
	count := map[string]int{}
	for _, s := range is {
		count[plainDigits(s)]++
	}
	for _, s := range was {
		if k := plainDigits(s); count[k] > 0 {
			count[k]--
		} else {
			missing = append(missing, s)
		}
	}
	for _, s := range slices.Backward(is) {
		if k := plainDigits(s); count[k] > 0 {
			count[k]--
			added = append(added, s)
		}
	}
	// What is written differently may be worth the same. Pairing that takes the
	// lengths' product, so it is for as many as a sentence has.
	const most = 200
	if len(missing) > most || len(added) > most {
		return missing, added
	}
	missing = slices.DeleteFunc(missing, func(m string) bool {
		i := slices.IndexFunc(added, func(a string) bool { return sameValue(m, a) })
		if i >= 0 {
			added = slices.Delete(added, i, i+1)
		}
		return i >= 0
	})
	return missing, added
}

// sameValue reports that two numbers can be worth the same.
func sameValue(a, b string) bool {
	for _, x := range values(a, pointUnknown) {
		for _, y := range values(b, pointUnknown) {
			if x.Equal(y) {
				return true
			}
		}
	}
	return false
}
