package text

import (
	"strings"
	"unicode/utf8"
)

// maxToken is the most bytes of a token that may be a code.
const maxToken = 64

// tokenLength is the length of the token that s begins with: words joined by
// one of "-_./", at most maxToken bytes of them.
func tokenLength(s string) int {
	n := 0
	for i, c := range s {
		if i >= maxToken {
			break
		}
		if isWord(c) && !freeScript(c) {
			n = i + utf8.RuneLen(c)
		} else if !strings.ContainsRune("-_./", c) || n != i {
			break
		}
	}
	return n
}

// codeAt gives the length of the SKU, GTIN or model number at text[i:to], 0 for
// none. It is a token of ASCII letters and digits; what may be a word in some
// language ("3-teilig", "1st", "100er", "A4-Papier") is none:
//
//   - eight digits or more, or ten with hyphens (ISBN)
//   - digits and capitals, with no three small letters in a row ("WH-1000XM4", "IP67")
//   - small letters first and then at least three digits ("art-00123")
func codeAt(text string, i, to int) int {
	n := tokenLength(text[i:to])
	if i+n < len(text) && !wordEnds(text, i+n) {
		return 0 // it is longer than any code
	}
	token := text[i : i+n]
	digits, upper, small, row, longest := 0, 0, 0, 0, 0
	simple := true // digits and hyphens only
	for j := range n {
		c := token[j]
		row++
		switch {
		case '0' <= c && c <= '9':
			digits++
			row = 0
		case 'A' <= c && c <= 'Z':
			upper++
			row = 0
			simple = false
		case 'a' <= c && c <= 'z':
			small++
			longest = max(longest, row)
			simple = false
		case c >= utf8.RuneSelf:
			return 0
		default:
			row = 0
			simple = simple && c == '-'
		}
	}
	switch {
	case simple && (digits == n && digits >= 8 || digits >= 10):
		return n
	case simple || digits == 0:
		return 0
	case upper > 0 && longest < 3 && !ordinal(token):
		return n
	case small > 0 && token[0] > '9' && digits >= 3 && '0' <= token[n-1] && token[n-1] <= '9' && strings.Count(token, "-") <= 1:
		return n
	}
	return 0
}

// ordinal reports "1ST", "20ER": digits with an ending, in capitals.
func ordinal(token string) bool {
	switch strings.ToUpper(strings.TrimLeft(token, "0123456789")) {
	case "ST", "ND", "RD", "TH", "ER", "ERS", "ÈME", "EME", "RE", "DE", "STE", "TE", "TER", "TES", "TEN", "FACH", "X":
		return '0' <= token[0] && token[0] <= '9'
	}
	return false
}
