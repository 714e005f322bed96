package libretranslate

import (
	"slices"
	"strings"
	"unicode"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/service"
)

// shields are characters that a server would lose, by the ids of the tags that
// stand for them meanwhile, beyond those of any fragment. The server decodes
// entities once more after it has written HTML, so that a "<" of the text would
// come back as the beginning of a tag; and it makes one space of each run of white
// space, line breaks too.
var shields = map[string]string{"9000001": "<", "9000002": "\n"}

// shielded are pieces whose texts have no such characters.
func shielded(pieces []translation.Piece) []translation.Piece {
	var all []translation.Piece
	for _, p := range pieces {
		for p.Mark == translation.Text {
			at, by := len(p.Text), ""
			for id, character := range shields {
				if i := strings.Index(p.Text, character); i >= 0 && i < at {
					at, by = i, id
				}
			}
			if by == "" {
				break
			}
			if at > 0 {
				all = append(all, translation.Piece{Text: p.Text[:at]})
			}
			all = append(all, translation.Piece{Mark: translation.Empty, Name: "x", ID: by})
			p.Text = p.Text[at+1:]
		}
		if p.Mark != translation.Text || p.Text != "" {
			all = append(all, p)
		}
	}
	return all
}

func unshielded(pieces []translation.Piece) []translation.Piece {
	bare := slices.Clone(pieces)
	for i, p := range bare {
		if character, ok := shields[p.ID]; ok && p.Mark == translation.Empty {
			bare[i] = translation.Piece{Text: character}
		}
	}
	return bare
}

// outgoing writes a fragment as HTML. Empty tags are pairs, since HTML knows no
// other form of them.
func outgoing(fragment string) (string, error) {
	pieces, err := translation.Pieces(fragment)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range shielded(pieces) {
		if p.Mark == translation.Empty {
			p.Mark = translation.Open
			b.WriteString(translation.Fragment([]translation.Piece{p}))
			p.Mark = translation.Close
		}
		b.WriteString(translation.Fragment([]translation.Piece{p}))
	}
	return b.String(), nil
}

// incoming makes a fragment of what the server answered to one. It translates what
// stands between tags in pieces, and drops the white space at their ends; where
// the tags stand in the order in which they were sent, each piece gets back its
// own, and pieces without a letter, such as ", ", are as they were.
func incoming(sent, answer string) string {
	fragment := service.FromHTML(answer)
	source, err := translation.Pieces(sent)
	if err != nil {
		return fragment
	}
	pieces, err := translation.Pieces(fragment)
	if err != nil {
		return fragment // whoever checks it will say so
	}
	wasTags, wasTexts := parted(shielded(source))
	tags, texts := parted(pieces)
	if !slices.Equal(wasTags, tags) {
		return translation.Fragment(unshielded(pieces))
	}
	var mended []translation.Piece
	for i, text := range texts {
		if strings.ContainsFunc(wasTexts[i], unicode.IsLetter) {
			text = service.Spaced(wasTexts[i], text)
		} else {
			text = wasTexts[i]
		}
		mended = append(mended, translation.Piece{Text: text})
		if i < len(tags) {
			mended = append(mended, tags[i])
		}
	}
	return translation.Fragment(unshielded(mended))
}

// parted are a fragment's tags, and the texts before, between and behind them.
func parted(pieces []translation.Piece) (tags []translation.Piece, texts []string) {
	texts = []string{""}
	for _, p := range pieces {
		if p.Mark == translation.Text {
			texts[len(texts)-1] += p.Text
			continue
		}
		tags, texts = append(tags, p), append(texts, "")
	}
	return tags, texts
}
