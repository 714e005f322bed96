package text

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// token is a piece of a fragment.
type token struct {
	kind tokenKind
	id   int    // of a placeholder
	text string // of text, unescaped
}

type tokenKind int

const (
	tokenText tokenKind = iota
	tokenAlone
	tokenOpen
	tokenClose
)

var fragmentEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func escapeFragment(b *strings.Builder, s string) {
	fragmentEscapes.WriteString(b, s) //nolint:errcheck // a Builder takes all
}

// htmlEscapes are those that sanitised markup has: without its escape a
// carriage return would be read as a line feed (HTML Living Standard, 13.2.3.5).
var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;")

func escapeText(b *strings.Builder, s string) {
	htmlEscapes.WriteString(b, s) //nolint:errcheck // a Builder takes all
}

func placeholder(b *strings.Builder, kind tokenKind, id int) {
	switch kind {
	case tokenAlone:
		b.WriteString(`<x id="` + strconv.Itoa(id) + `"/>`)
	case tokenOpen:
		b.WriteString(`<g id="` + strconv.Itoa(id) + `">`)
	case tokenClose:
		b.WriteString(`</g>`)
	case tokenText:
	}
}

// tag reads a placeholder's tag as translators return it: blanks where they put
// them, quotes of any kind or none, capitals.
var tag = regexp.MustCompile(`\A<\s{0,3}(/?)\s{0,3}([xXgG])(?:\s{1,3}[iI][dD]\s{0,3}=\s{0,3}["'“”„«»‘’]?\s{0,3}([0-9]{1,5})\s{0,3}["'“”„«»‘’]?)?\s{0,3}(/?)\s{0,3}>`)

// maxTag is the most bytes that tag may match.
const maxTag = 64

// markup is the beginning of a tag, comment or declaration.
var markup = regexp.MustCompile(`\A<(?:\s{0,3}/?\s{0,3}\pL|[!?])`)

// parse reads a translation's tokens, adjacent text as one, and reports the
// first thing that makes it unfit to be assembled: markup that is not ours, a
// placeholder that is missing, twice, unknown or misnested.
func (s *Segment) parse(translated string) ([]token, *Fault) {
	var tokens []token
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			tokens = append(tokens, token{kind: tokenText, text: text.String()})
			text.Reset()
		}
	}
	seen := make([]bool, len(s.Spans)+1)
	var open []int
	for i := 0; i < len(translated); {
		rest := translated[i:]
		n := strings.IndexAny(rest, "<&")
		if n < 0 {
			n = len(rest)
		}
		if n > 0 {
			text.WriteString(rest[:n])
			i += n
			continue
		}
		if rest[0] == '&' {
			size, decoded := entity(rest)
			text.WriteString(decoded)
			i += size
			continue
		}
		rest = rest[:min(len(rest), maxTag)]
		m := tag.FindStringSubmatch(rest)
		if m == nil {
			if markup.MatchString(rest) {
				return nil, fault(CodeTagBroken, "the translation has markup that the source has not: %s", quote(rest))
			}
			text.WriteByte('<') // a lone sign that lost its escape
			i++
			continue
		}
		i += len(m[0])
		ending, alone, element := m[1] != "", strings.EqualFold(m[2], "x"), strings.EqualFold(m[2], "g")
		if ending && alone {
			continue // of <x id="1"></x>
		}
		if ending {
			if len(open) == 0 {
				return nil, fault(CodeTagNesting, "the translation closes an element that is not open")
			}
			flush()
			tokens = append(tokens, token{kind: tokenClose, id: open[len(open)-1]})
			open = open[:len(open)-1]
			continue
		}
		id, err := strconv.Atoi(m[3])
		switch {
		case err != nil || id < 1 || id > len(s.Spans) || element != (s.Spans[id-1].Kind == Element):
			return nil, fault(CodeTagUnknown, "the translation has a placeholder that the source has not: %s", m[0])
		case seen[id]:
			return nil, fault(CodeTagTwice, "the translation has placeholder %d (%s) more than once", id, quote(s.Spans[id-1].Open))
		}
		seen[id] = true
		flush()
		if alone {
			tokens = append(tokens, token{kind: tokenAlone, id: id})
			continue
		}
		tokens = append(tokens, token{kind: tokenOpen, id: id})
		if m[4] != "" { // <g id="1"/>: its content went elsewhere
			tokens = append(tokens, token{kind: tokenClose, id: id})
		} else {
			open = append(open, id)
		}
	}
	flush()
	if len(open) > 0 {
		return nil, fault(CodeTagNesting, "the translation does not close placeholder %d", open[len(open)-1])
	}
	for id := 1; id <= len(s.Spans); id++ {
		if !seen[id] {
			return nil, fault(CodeTagMissing, "the translation lacks placeholder %d (%s)", id, quote(s.Spans[id-1].Open))
		}
	}
	return tokens, nil
}

func fault(code, format string, args ...any) *Fault {
	return &Fault{Code: code, Severity: pim.SeverityError, Text: fmt.Sprintf(format, args...)}
}

// quote shows outside input in a fault, cut short.
func quote(s string) string {
	const most = 60
	n := 0
	for i := range s {
		if n++; n > most {
			return fmt.Sprintf("%q", s[:i]+"…")
		}
	}
	return fmt.Sprintf("%q", s)
}
