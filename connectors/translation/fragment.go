package translation

import (
	"errors"
	"fmt"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mark says what a piece of a fragment is.
type Mark int

// The pieces of a fragment.
const (
	Text  Mark = iota // Piece.Text, as people read it
	Empty             // <x id="1"/>
	Open              // <g id="1">
	Close             // </g>
)

// Piece is one text or tag of a fragment.
type Piece struct {
	Mark Mark
	Text string
	Name string // of a tag, such as "x"
	ID   string // of Empty, Open and, by its Open, of Close
}

// errFragment is what a fragment is not.
var errFragment = errors.New("not a fragment of text and <x id=\"1\"/> tags")

// Pieces reads a fragment. Tags are one letter and a number id, and nest.
// <x id="1"></x> is the same as <x id="1"/>.
func Pieces(fragment string) ([]Piece, error) {
	var (
		pieces []Piece
		open   []Piece
	)
	for fragment != "" {
		at := strings.IndexByte(fragment, '<')
		if at < 0 {
			at = len(fragment)
		}
		if at > 0 {
			text, err := unescape(fragment[:at])
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, Piece{Text: text})
			fragment = fragment[at:]
			continue
		}
		end := strings.IndexByte(fragment, '>')
		if end < 0 {
			return nil, fmt.Errorf("a tag has no end: %w", errFragment)
		}
		p, ok := tag(fragment[1:end])
		fragment = fragment[end+1:]
		switch {
		case !ok:
			return nil, fmt.Errorf("a tag of another form: %w", errFragment)
		case p.Mark == Open:
			open = append(open, p)
		case p.Mark == Close:
			if len(open) == 0 || open[len(open)-1].Name != p.Name {
				return nil, fmt.Errorf("tags do not nest: %w", errFragment)
			}
			p.ID = open[len(open)-1].ID
			open = open[:len(open)-1]
			if last := len(pieces) - 1; pieces[last].Mark == Open {
				pieces[last].Mark = Empty
				continue
			}
		}
		pieces = append(pieces, p)
	}
	if len(open) > 0 {
		return nil, fmt.Errorf("tag %s has no end: %w", open[0].ID, errFragment)
	}
	return pieces, nil
}

// tag reads what is between < and >.
func tag(s string) (Piece, bool) {
	if name, ok := strings.CutPrefix(s, "/"); ok {
		name = strings.TrimRight(name, " ")
		return Piece{Mark: Close, Name: name}, isTagName(name)
	}
	p := Piece{Mark: Open}
	if rest, ok := strings.CutSuffix(s, "/"); ok {
		p.Mark, s = Empty, rest
	}
	name, attribute, _ := strings.Cut(strings.TrimRight(s, " "), " ")
	id, ok := strings.CutPrefix(strings.TrimLeft(attribute, " "), "id=")
	if !ok || len(id) < 3 || id[0] != '"' && id[0] != '\'' || id[len(id)-1] != id[0] {
		return p, false
	}
	p.Name, p.ID = name, id[1:len(id)-1]
	return p, isTagName(p.Name) && isID(p.ID)
}

func isTagName(s string) bool { return len(s) == 1 && 'a' <= s[0] && s[0] <= 'z' }

func isID(s string) bool { return s != "" && len(s) < 8 && strings.Trim(s, "0123456789") == "" }

// unescape reads the text between tags. XML knows five named characters and
// those by number; anything else after a "&" is an error.
func unescape(s string) (string, error) {
	for rest := s; ; {
		at := strings.IndexByte(rest, '&')
		if at < 0 {
			break
		}
		end := strings.IndexByte(rest[at:], ';')
		if end < 0 {
			return "", fmt.Errorf("a bare &: %w", errFragment)
		}
		switch name := rest[at+1 : at+end]; {
		case name == "amp", name == "lt", name == "gt", name == "quot", name == "apos":
		case len(name) > 1 && name[0] == '#' && !strings.ContainsAny(name, " &"):
		default:
			return "", fmt.Errorf("a bare & or an unknown name after it: %w", errFragment)
		}
		rest = rest[at+end+1:]
	}
	return html.UnescapeString(s), nil
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// Escape makes a fragment of a plain text.
func Escape(text string) string { return escaper.Replace(text) }

// Fragment writes pieces as Pieces reads them.
func Fragment(pieces []Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		switch p.Mark {
		case Text:
			_, _ = escaper.WriteString(&b, p.Text) // a Builder takes everything
		case Empty:
			b.WriteString("<" + p.Name + ` id="` + p.ID + `"/>`)
		case Open:
			b.WriteString("<" + p.Name + ` id="` + p.ID + `">`)
		case Close:
			b.WriteString("</" + p.Name + ">")
		}
	}
	return b.String()
}

// Characters are the code points of a fragment's text, without tags; of what is
// no fragment, all of them.
func Characters(fragment string) int {
	pieces, err := Pieces(fragment)
	if err != nil {
		return utf8.RuneCountInString(fragment)
	}
	n := 0
	for _, p := range pieces {
		n += utf8.RuneCountInString(p.Text)
	}
	return n
}

// Translatable reports whether a fragment has letters outside of its tags.
func Translatable(fragment string) bool {
	pieces, err := Pieces(fragment)
	if err != nil {
		return true
	}
	for _, p := range pieces {
		if strings.ContainsFunc(p.Text, unicode.IsLetter) {
			return true
		}
	}
	return false
}
