package pim

import (
	"strings"
	"sync"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/net/html"
	"golang.org/x/text/unicode/norm"
)

// shopMarkup is what a shop's description may hold: bluemonday's policy for
// outside content (no script, style, frame, form, event handler or inline
// style; http, https, mailto and relative links), but without its nofollow,
// since these are the merchant's own links.
var shopMarkup = sync.OnceValue(func() *bluemonday.Policy {
	return bluemonday.UGCPolicy().RequireNoFollowOnLinks(false)
})

// cleanMarkup sanitises HTML in NFC. It reports whether markup was removed or
// rewritten, and false for ok when no clean form was reached. A clean form stays
// as it is when cleaned again.
func cleanMarkup(s string) (clean string, changed, ok bool) {
	if isPlainMarkup(s) {
		return s, false, true
	}
	policy := shopMarkup()
	first := plainQuotes(policy.Sanitize(s))
	if first == s {
		return s, false, norm.NFC.IsNormalString(s)
	}
	changed = canonicalMarkup(s) != canonicalMarkup(first)
	// Entities that were decoded may compose with what stands before them, be it
	// a tag's own bracket (U+003E U+0338 is U+226F), so the result is looked at again.
	for range 4 {
		t := norm.NFC.String(first)
		next := plainQuotes(policy.Sanitize(t))
		if next == t {
			return t, changed, true
		}
		first, changed = next, true
	}
	return first, changed, false
}

// plainTags may stand without attributes in markup that needs no sanitising.
var plainTags = map[string]bool{
	"p": true, "br": true, "hr": true, "b": true, "i": true, "u": true, "s": true, "em": true, "strong": true, "small": true,
	"sub": true, "sup": true, "ul": true, "ol": true, "li": true, "dl": true, "dt": true, "dd": true, "div": true, "span": true,
	"blockquote": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true,
	"table": true, "thead": true, "tbody": true, "tfoot": true, "tr": true, "td": true, "th": true,
}

// isPlainMarkup reports text and bare allowed tags that sanitising would leave
// as they are, which most descriptions are: sanitising costs some 20 µs.
func isPlainMarkup(s string) bool {
	for {
		i := 0
		for i < len(s) && s[i] != '<' && s[i] != '>' && s[i] != '&' && s[i] != '\r' {
			i++
		}
		if i == len(s) {
			return true
		}
		c := s[i]
		s = s[i+1:]
		switch c {
		case '<':
			s = strings.TrimPrefix(s, "/")
			end := strings.IndexByte(s, '>')
			if end < 0 || end > len("blockquote") || !plainTags[s[:end]] {
				return false
			}
			s = s[end+1:]
		case '&':
			if !strings.HasPrefix(s, "amp;") && !strings.HasPrefix(s, "lt;") && !strings.HasPrefix(s, "gt;") {
				return false
			}
		default:
			return false
		}
	}
}

// plainQuotes undoes the escaping of quotes in text, where it serves nothing
// and makes an inch sign unreadable to targets that take texts without markup.
// In sanitised markup a bracket always is a tag's.
func plainQuotes(s string) string {
	if !strings.Contains(s, "&#3") {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	inTag := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '<':
			inTag = true
		case s[i] == '>':
			inTag = false
		case !inTag && strings.HasPrefix(s[i:], "&#34;"):
			b.WriteByte('"')
			i += 4
			continue
		case !inTag && strings.HasPrefix(s[i:], "&#39;"):
			b.WriteByte('\'')
			i += 4
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// canonicalMarkup writes markup token by token in one spelling, so that two
// texts are equal exactly when nothing but spelling differs.
func canonicalMarkup(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	tokens := html.NewTokenizer(strings.NewReader(s))
	for tokens.Next() != html.ErrorToken {
		b.WriteString(tokens.Token().String())
	}
	return b.String()
}
