package pim

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// defaultMaxLength is the limit of a text in characters when its attribute has none.
const defaultMaxLength = 65535

// isControl reports a character that no text may hold: C0 except tab and line
// ends, DEL, C1 (RFC 20, ISO 6429).
func isControl(r rune) bool {
	return r < 0x20 && r != '\t' && r != '\n' && r != '\r' || 0x7F <= r && r <= 0x9F
}

// StripControls removes the control characters that CheckValues refuses (code
// text.control), and reports whether there were any. Bytes that are no UTF-8
// stay as they are.
func StripControls(s string) (string, bool) {
	if i, _ := controlAt(s); i < 0 {
		return s, false
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !isControl(r) {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String(), true
}

// controlAt gives the place of the first control character, -1 for none, and
// whether only ASCII stands before it.
func controlAt(s string) (at int, ascii bool) {
	ascii = true
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c < 0x7F {
			continue
		}
		if c >= utf8.RuneSelf {
			ascii = false
			// C1 is C2 80 to C2 9F, and C2 is never within a longer sequence.
			if c == 0xC2 && i+1 < len(s) && s[i+1] >= 0x80 && s[i+1] <= 0x9F {
				return i, ascii
			}
			continue
		}
		if isControl(rune(c)) {
			return i, ascii
		}
	}
	return -1, ascii
}

// cleanText gives s in NFC, or why it cannot be stored.
func cleanText(s string, maxLength int) (clean, code, detail string) {
	at, ascii := controlAt(s)
	switch {
	case !ascii && !utf8.ValidString(s):
		return s, "text.utf8", "the text is not valid UTF-8"
	case at >= 0:
		r, _ := utf8.DecodeRuneInString(s[at:])
		return s, "text.control", fmt.Sprintf("the text has control character U+%04X as its character %d", r, utf8.RuneCountInString(s[:at])+1)
	}
	if !ascii {
		s = norm.NFC.String(s)
	}
	if len(s) > maxLength {
		if n := utf8.RuneCountInString(s); n > maxLength {
			return s, "text.too_long", fmt.Sprintf("the text has %d characters, more than %d", n, maxLength)
		}
	}
	return s, "", ""
}

// quote shows outside input in a problem's detail, cut short.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return fmt.Sprintf("%q", s)
}
