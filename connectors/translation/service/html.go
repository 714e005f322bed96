package service

import (
	"strings"
	"unicode"

	"golang.org/x/net/html"

	"github.com/sluicehub/sluice/connectors/translation"
)

// FromHTML makes a fragment of what a service answered to one in its HTML mode:
// its entities are read, tags of the fragment form kept, a page's frame
// (html, head, body) dropped. Any other tag stays, so that whoever checks the
// result sees that it is not what was asked for.
func FromHTML(answer string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(answer))
	for {
		kind := z.Next()
		raw := string(z.Raw()) // before Token, which may change it
		switch kind {
		case html.ErrorToken:
			b.WriteString(raw) // a tag that does not end
			return b.String()
		case html.TextToken:
			b.WriteString(translation.Escape(z.Token().Data))
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch {
			case t.Data == "html", t.Data == "head", t.Data == "body":
			case len(t.Data) != 1:
				b.WriteString(raw)
			case kind == html.EndTagToken:
				b.WriteString("</" + t.Data + ">")
			default:
				b.WriteString("<" + t.Data)
				for _, a := range t.Attr {
					if a.Key == "id" {
						b.WriteString(` id="` + html.EscapeString(a.Val) + `"`)
					}
				}
				if kind == html.SelfClosingTagToken {
					b.WriteString("/")
				}
				b.WriteString(">")
			}
		case html.CommentToken, html.DoctypeToken:
			b.WriteString(raw)
		}
	}
}

// Space splits white space from both ends of a fragment: many services drop it.
func Space(fragment string) (before, text, after string) {
	text = strings.TrimLeftFunc(fragment, unicode.IsSpace)
	before = fragment[:len(fragment)-len(text)]
	inner := strings.TrimRightFunc(text, unicode.IsSpace)
	return before, inner, text[len(inner):]
}

// Spaced puts the white space of a fragment's ends around its translation, in
// place of what the service has there.
func Spaced(fragment, translated string) string {
	before, _, after := Space(fragment)
	return before + strings.TrimFunc(translated, unicode.IsSpace) + after
}
