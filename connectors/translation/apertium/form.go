package apertium

import (
	"strings"
	"unicode"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/service"
)

// star stands for an asterisk, with an id that no fragment has: Apertium marks
// words that it does not know by one, and takes those of the text away with them.
const star = `<x id="90000000"/>`

// outgoing writes a fragment as HTML for Apertium. Of entities only &amp;, &lt;
// and &gt; survive there, so everything else goes as it is; control characters
// would end its pipeline's text.
func outgoing(fragment string) (string, error) {
	pieces, err := translation.Pieces(fragment)
	if err != nil {
		return "", err
	}
	for i := range pieces {
		pieces[i].Text = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) && r != '\n' && r != '\t' {
				return -1
			}
			return r
		}, pieces[i].Text)
	}
	return strings.ReplaceAll(translation.Fragment(pieces), "*", star), nil
}

// incoming makes a fragment of what Apertium answered to one, without the marks
// of its machinery that the text did not have: its engine ends each text by a
// period of its own and sometimes leaves it behind, with a space, where two words
// became one across a tag ("de <g>el</g> perro": "del <g>gos.</g> "); "#" and "@"
// before a word say that it could not be inflected or found. Where two words
// became one it also leaves a tag empty behind it ("de <g>acero</g>": "d'acer
// <g></g>"), which then goes around that word.
func incoming(sent, answer string) string {
	fragment := strings.ReplaceAll(service.FromHTML(answer), star, "*")
	pieces, err := translation.Pieces(fragment)
	if err != nil {
		return fragment // whoever checks it will say so
	}
	source, err := translation.Pieces(sent)
	if err != nil {
		return fragment
	}
	was := text(source)
	for _, mark := range []string{"#", "@"} {
		if !strings.Contains(was, mark) {
			for i := range pieces {
				pieces[i].Text = unmarked(pieces[i].Text, mark)
			}
		}
	}
	if periods(text(pieces)) == periods(was)+1 {
		for i := len(pieces) - 1; i >= 0; i-- {
			if at := strings.LastIndexByte(pieces[i].Text, '.'); at >= 0 {
				pieces[i].Text = pieces[i].Text[:at] + pieces[i].Text[at+1:]
				break
			}
		}
	}
	if !strings.Contains(was, "  ") {
		for i := range pieces {
			for strings.Contains(pieces[i].Text, "  ") {
				pieces[i].Text = strings.ReplaceAll(pieces[i].Text, "  ", " ")
			}
		}
	}
	return translation.Fragment(refilled(source, pieces))
}

// refilled puts tags that went around something, and are empty now, around the
// word before them.
func refilled(source, pieces []translation.Piece) []translation.Piece {
	around := map[string]bool{}
	for _, p := range source {
		if p.Mark == translation.Open {
			around[p.ID] = true
		}
	}
	var filled []translation.Piece
	for i, p := range pieces {
		last := len(filled) - 1
		if p.Mark != translation.Empty || !around[p.ID] || last < 0 || filled[last].Mark != translation.Text {
			filled = append(filled, p)
			continue
		}
		before := strings.TrimRightFunc(filled[last].Text, unicode.IsSpace)
		space := filled[last].Text[len(before):]
		at := strings.LastIndexFunc(before, unicode.IsSpace) + 1
		if at == len(before) {
			filled = append(filled, p) // no word there
			continue
		}
		filled[last].Text = before[:at]
		open, end := p, p
		open.Mark, end.Mark = translation.Open, translation.Close
		filled = append(filled, open, translation.Piece{Text: before[at:]}, end)
		if next := i + 1; next < len(pieces) && !strings.HasPrefix(pieces[next].Text, " ") {
			filled = append(filled, translation.Piece{Text: space})
		}
	}
	return filled
}

func text(pieces []translation.Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.Text)
	}
	return b.String()
}

// periods is how many stand at a text's end.
func periods(s string) int {
	s = strings.TrimRightFunc(s, unicode.IsSpace)
	return len(s) - len(strings.TrimRight(s, "."))
}

// unmarked takes a mark away where a letter follows.
func unmarked(s, mark string) string {
	parts := strings.Split(s, mark)
	var b strings.Builder
	for i, part := range parts {
		if first := strings.IndexFunc(part, unicode.IsLetter); i > 0 && first != 0 {
			b.WriteString(mark)
		}
		b.WriteString(part)
	}
	return b.String()
}
