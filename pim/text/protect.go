package text

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Protect says what else than the built-in patterns is hidden from translators.
// The zero value says nothing else. It is safe for concurrent use.
type Protect struct{ sets []*termSet }

// NewProtect makes a Protect of given terms: brand names, a glossary's terms
// that are not translated, the product's own SKU. Terms are found as written or
// in capitals, at word boundaries (between characters of scripts without spaces
// every place is one), the longest first. Making it takes the time, so make it
// once for many texts.
func NewProtect(terms []string) Protect { return Protect{}.With(terms...) }

// With adds terms, for one product say. The receiver stays as it is.
func (p Protect) With(terms ...string) Protect {
	if set := newTermSet(terms); set != nil {
		p.sets = append(slices.Clip(p.sets), set)
	}
	return p
}

// termSet finds terms in time that does not grow with their number: a map of
// all, and for each first two bytes the lengths that may be there.
type termSet struct {
	all     map[string]string // as it stands in a text → as given
	lengths map[string][]int  // longest first
}

// maxTerm is the most bytes of a term. Longer ones are left out.
const maxTerm = 256

func newTermSet(terms []string) *termSet {
	t := &termSet{all: map[string]string{}, lengths: map[string][]int{}}
	add := func(form, term string) {
		if _, known := t.all[form]; known || len(form) > maxTerm {
			return
		}
		t.all[form] = term
		head := form[:min(2, len(form))]
		if !slices.Contains(t.lengths[head], len(form)) {
			t.lengths[head] = append(t.lengths[head], len(form))
		}
	}
	for _, term := range terms {
		term = norm.NFC.String(strings.TrimFunc(term, isSpace))
		if term == "" || strings.ContainsFunc(term, isBreak) {
			continue
		}
		add(term, term)
		if upper := strings.ToUpper(term); utf8.RuneCountInString(term) > 1 {
			add(upper, term)
		}
	}
	if len(t.all) == 0 {
		return nil
	}
	for _, l := range t.lengths {
		slices.SortFunc(l, func(a, b int) int { return b - a })
	}
	return t
}

// at gives the longest term that text[i:end] begins with, as long as it ends at
// a word boundary, and its length; 0 for none. That a word begins at i is the caller's to know.
func (t *termSet) at(text string, i, end int) (size int, term string) {
	for _, head := range [2]int{2, 1} { // a term of one byte has a head of one
		if i+head > end {
			continue
		}
		for _, n := range t.lengths[text[i:i+head]] {
			if i+n > end {
				continue
			}
			if term, ok := t.all[text[i:i+n]]; ok && wordEnds(text, i+n) {
				return n, term
			}
		}
	}
	return 0, ""
}

// span is a protected part of a text.
type span struct {
	start, end int
	kind       Kind
}

// scan finds what is protected in text[from:to]. Around it, text says where
// words begin and end.
func (p Protect) scan(text string, from, to int) []span {
	var out []span
	add := func(start, end int, kind Kind) int {
		out = append(out, span{start, end, kind})
		return end
	}
	noCode := 0 // until here a token was looked at and is no code
	for i := from; i < to; {
		c, size := utf8.DecodeRuneInString(text[i:to])
		s := text[i:to]
		begins := wordBegins(text, i)
		if n := p.term(text, i, to, begins); n > 0 {
			for _, mark := range [...]string{"®", "™", "℠"} {
				if strings.HasPrefix(s[n:], mark) {
					n += len(mark)
				}
			}
			i = add(i, i+n, Term)
			continue
		}
		switch {
		case c == '{' || c == '$' || c == '%' || c == '[' || c == '#':
			if n := placeholderAt(text, i, to); n > 0 {
				i = add(i, i+n, Placeholder)
				continue
			}
		case notXML(c):
			i = add(i, i+size, Control)
			continue
		case c == '®' || c == '™' || c == '℠':
			i = add(i, i+size, Term)
			continue
		}
		if begins {
			if a := amountAt(text, i, to); a.end > i && a.sure() {
				if n := codeAt(text, i, to); i+n > a.end { // "20W-50"
					i = add(i, i+n, Code)
				} else {
					i = add(i, a.end, Amount)
				}
				continue
			} else if a.end > i && i >= noCode && codeAt(text, i, to) == 0 {
				// A plain number, or several: text. A token goes on below.
				if next, _ := utf8.DecodeRuneInString(text[a.end:to]); !isWord(next) && next != '-' {
					i = a.end
					continue
				}
			}
			if isWord(c) {
				if n := addressAt(s); n > 0 {
					i = add(i, i+n, Address)
					continue
				}
				if n := trademarkAt(s); n > 0 {
					i = add(i, i+n, Term)
					continue
				}
				if i >= noCode {
					if n := codeAt(text, i, to); n > 0 {
						i = add(i, i+n, Code)
						continue
					}
					noCode = i + tokenLength(s)
				}
			}
		}
		if n := emojiAt(s); n > 0 {
			i = add(i, i+n, Symbol)
			continue
		}
		i += size
		if isWord(c) && !freeScript(c) { // to the word's end
			for i < to {
				c, size := utf8.DecodeRuneInString(text[i:to])
				if !isWord(c) || freeScript(c) {
					break
				}
				i += size
			}
		}
	}
	return out
}

func (p Protect) term(text string, i, to int, begins bool) (longest int) {
	if !begins {
		return 0
	}
	for _, set := range p.sets {
		n, _ := set.at(text, i, to)
		longest = max(longest, n)
	}
	return longest
}

// isWord reports characters of words: letters, marks, digits.
func isWord(c rune) bool {
	if c < utf8.RuneSelf {
		return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
	}
	return c != utf8.RuneError && (unicode.IsLetter(c) || unicode.IsMark(c) && c != '\uFE0F' || unicode.IsDigit(c))
}

// freeScript reports characters of scripts that put no space between words, or
// hang particles on to them without one, so that a word may end anywhere.
func freeScript(c rune) bool {
	return c >= 0x0E00 && unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// wordBegins reports whether a word may begin at text[i:]. No mark begins one: it
// belongs to what stands before it.
func wordBegins(text string, i int) bool {
	if i == 0 || i == len(text) {
		return true
	}
	if after, _ := utf8.DecodeRuneInString(text[i:]); unicode.IsMark(after) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	if !isWord(before) && before != '_' || freeScript(before) {
		return true
	}
	after, _ := utf8.DecodeRuneInString(text[i:])
	return !isWord(after) && after != '_' || freeScript(after)
}

func wordEnds(text string, i int) bool { return wordBegins(text, i) }

// notXML reports characters that XML 1.0 has no form for (section 2.2), and
// C1 controls, which no text needs.
func notXML(c rune) bool {
	return c < 0x20 && !isBreak(c) || 0x7F <= c && c <= 0x9F && c != 0x85 || c == '\v' || c == '\f' || c == 0xFFFE || c == 0xFFFF
}

var (
	identifier = regexp.MustCompile(`\A\{[\p{L}_][\p{L}\p{N}_.\-]{0,63}(\[[\p{L}\p{N}_]{0,32}\])?\}|\A\{[0-9]{1,3}\}`)
	icu        = regexp.MustCompile(`\A\{\s{0,3}[\p{L}\p{N}_]{1,64}\s{0,3},\s{0,3}(plural|select|selectordinal|number|date|time|duration|spellout|ordinal)\s{0,3}[,}]`)
	printf     = regexp.MustCompile(`\A%(\([\p{L}\p{N}_]{1,64}\))?([0-9]{1,2}\$)?[-+0#']{0,4}[0-9]{0,4}(\.[0-9]{1,3})?(hh|h|ll|l|j|z|t)?[sdiufFeEgGxXocbqvT@]`)
	percented  = regexp.MustCompile(`\A%[A-Za-z][A-Za-z0-9]{0,31}(_[A-Za-z0-9]{1,32}){0,8}%`)
)

// placeholderAt gives the length of the placeholder at text[i:to], 0 for none.
// A '%' behind a digit is a share, not a format.
func placeholderAt(text string, i, to int) int {
	const most = 200 // of what stands between doubled brackets; an ICU message may have 1,000
	s := text[i:to]
	until := func(opening, closing string) int {
		if !strings.HasPrefix(s, opening) {
			return 0
		}
		n := strings.Index(s[:min(len(s), most)], closing)
		if n < 0 || strings.ContainsFunc(s[:n], isBreak) {
			return 0
		}
		return n + len(closing)
	}
	switch s[0] {
	case '{':
		if n := until("{{", "}}"); n > 0 {
			if strings.HasPrefix(s[n:], "}") { // {{{raw}}}
				n++
			}
			return n
		}
		if n := len(identifier.FindString(s[:min(len(s), most)])); n > 0 {
			return n
		}
		if icu.MatchString(s[:min(len(s), most)]) {
			return balanced(s[:min(len(s), 1000)])
		}
	case '$', '#':
		if len(s) > 1 && s[1] == '{' {
			return until(s[:2], "}")
		}
	case '[':
		return until("[[", "]]")
	case '%':
		if i > 0 {
			if before, _ := utf8.DecodeLastRuneInString(text[:i]); isWord(before) {
				return 0
			}
		}
		if n := len(percented.FindString(s[:min(len(s), most)])); n > 0 {
			return n
		}
		if n := len(printf.FindString(s[:min(len(s), most)])); n > 0 && wordEnds(s, n) {
			return n
		}
	}
	return 0
}

// balanced gives the length of a text in braces, 0 where they do not close.
func balanced(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

var (
	webAddress  = regexp.MustCompile(`(?i)\A(?:(?:https?|ftps?|sftp)://|www\.)[^\s<>"“”„«»]+`)
	mailAddress = regexp.MustCompile(`(?i)\A(?:mailto:)?[a-z0-9][a-z0-9._%+\-]{0,63}@[a-z0-9][a-z0-9\-]{0,62}(?:\.[a-z0-9\-]{1,62}){1,5}`)
)

// addressAt gives the length of the URL or e-mail address that s begins with, 0
// for none. The punctuation of the sentence around it is not part of it.
func addressAt(s string) int {
	const most = 4096
	switch s[0] | 0x20 {
	case 'h', 'f', 's', 'w':
		near := s[:min(len(s), most)]
		for len(near) < len(s) && !utf8.RuneStart(s[len(near)]) {
			near = near[:len(near)-1]
		}
		if n := len(webAddress.FindString(near)); n > 0 {
			return trimAddress(s[:n])
		}
	}
	if s[0] >= utf8.RuneSelf || !strings.Contains(s[:min(len(s), 72)], "@") {
		return 0
	}
	return trimAddress(mailAddress.FindString(s))
}

func trimAddress(s string) int {
	for s != "" {
		last, size := utf8.DecodeLastRuneInString(s)
		if !strings.ContainsRune(".,;:!?'’…*_-。，！？；：、", last) && (last != ')' || strings.Contains(s, "(")) && (last != ']' || strings.Contains(s, "[")) {
			break
		}
		s = s[:len(s)-size]
	}
	return len(s)
}

// trademarkAt gives the length of a word with ®, ™ or ℠ behind it, 0 for none.
func trademarkAt(s string) int {
	const most = 64
	for i, c := range s {
		switch {
		case i >= most:
			return 0
		case c == '®' || c == '™' || c == '℠':
			return i + utf8.RuneLen(c)
		case freeScript(c), !isWord(c) && !strings.ContainsRune("-'’.&+", c):
			return 0
		}
	}
	return 0
}

// emojiAt gives the length of the emoji that s begins with, 0 for none: a
// pictograph with its modifiers, joined ones, a flag, a keycap (Unicode
// Technical Standard 51).
func emojiAt(s string) int {
	c, n := utf8.DecodeRuneInString(s)
	switch {
	case c < 0x80:
		if ('0' <= c && c <= '9' || c == '#' || c == '*') && strings.HasPrefix(s[1:], "\uFE0F\u20E3") {
			return 1 + len("\uFE0F\u20E3")
		}
		return 0
	case !pictograph(c):
		return 0
	}
	for n < len(s) {
		c, size := utf8.DecodeRuneInString(s[n:])
		switch {
		case c == 0xFE0F, 0x1F3FB <= c && c <= 0x1F3FF, 0xE0020 <= c && c <= 0xE007F, 0x1F1E6 <= c && c <= 0x1F1FF && n == 4:
			n += size
		case c == 0x200D:
			next, more := utf8.DecodeRuneInString(s[n+size:])
			if !pictograph(next) {
				return n
			}
			n += size + more
		default:
			return n
		}
	}
	return n
}

func pictograph(c rune) bool {
	return 0x1F000 <= c && c <= 0x1FAFF || 0x2600 <= c && c <= 0x27BF || 0x2B00 <= c && c <= 0x2BFF || 0x2300 <= c && c <= 0x23FF || c == 0x3030 || c == 0x303D
}
