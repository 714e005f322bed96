// Package pseudo is a translation provider that needs no service: it writes a
// text with accents, between brackets and about a third longer, so that one sees
// at a glance what went through translation, what did not, and where a longer
// language will not fit. The same text always becomes the same. It is for tests
// and demonstrations; see translation.Kind.Test.
package pseudo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
)

// Config has no settings.
type Config struct{}

// Kind is the pseudo provider.
var Kind = &translation.Kind{
	Name:   "pseudo",
	Title:  "Pseudo-translation (tests and demonstrations)",
	Test:   true,
	Limits: kindLimits,
	Config: &Config{},
	Makes:  []translation.Provider{(*Provider)(nil)},
	New: func(config json.RawMessage, env translation.Env) (translation.Provider, error) {
		var (
			check connectors.ConfigCheck
			c     Config
		)
		check.Decode(config, &c)
		if err := check.Err(); err != nil {
			return nil, err
		}
		return &Provider{limits: kindLimits.Lowered(env.Limits)}, nil
	},
}

var kindLimits = translation.Limits{Texts: 100, Bytes: 1 << 20, Concurrency: 4, Timeout: 10 * time.Second}

// Provider makes pseudo-translations. Make it with Kind.New.
type Provider struct{ limits translation.Limits }

// Probe succeeds.
func (p *Provider) Probe(ctx context.Context) error { return alive(ctx) }

func alive(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &connectors.Error{Verdict: connectors.Unavailable, Err: err}
	}
	return nil
}

// Translate marks each text; glossary terms become what the glossary says,
// without accents.
func (p *Provider) Translate(ctx context.Context, r translation.Request) (*translation.Answer, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	if err := r.Check(p.limits); err != nil {
		return nil, err
	}
	a := &translation.Answer{Model: "pseudo", Characters: r.Characters(), Texts: make([]string, len(r.Texts))}
	for i, text := range r.Texts {
		pieces, err := translation.Pieces(text)
		if err != nil {
			return nil, &connectors.Error{Verdict: connectors.Validation, Err: err}
		}
		a.Texts[i] = translation.Fragment(mark(pieces, r.Terms))
	}
	return a, nil
}

// mark accents the letters of a text between brackets and adds a tail of a
// third of its length. A text without letters stays as it is.
func mark(pieces []translation.Piece, terms []translation.Term) []translation.Piece {
	marked := slices.Clone(pieces)
	letters := 0
	for i, p := range marked {
		if p.Mark == translation.Text {
			marked[i].Text = accent(p.Text, terms)
			letters += strings.Count(strings.Map(func(r rune) rune {
				if unicode.IsLetter(r) {
					return 'a'
				}
				return -1
			}, p.Text), "a")
		}
	}
	if letters == 0 {
		return marked
	}
	tail := "]"
	if n := (letters + 2) / 3; n > 1 {
		tail = " " + strings.Repeat("~", n-1) + "]"
	}
	return slices.Concat([]translation.Piece{{Text: "["}}, marked, []translation.Piece{{Text: tail}})
}

// accented pairs each letter with one that looks like it.
var accented = func() map[rune]rune {
	plain := []rune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	marked := []rune("åƀçðéƒĝĥîĵķļɱñöþǫŕšţûṽŵẋýžÅßÇÐÉƑĜĤÎĴĶĻḾÑÖÞǪŔŠŢÛṼŴẊÝŽ")
	m := make(map[rune]rune, len(plain))
	for i, r := range plain {
		m[r] = marked[i]
	}
	return m
}()

func accent(text string, terms []translation.Term) string {
	var b strings.Builder
	before := ' '
	for text != "" {
		if t, ok := termAt(text, before, terms); ok {
			b.WriteString(t.To)
			before = 'a'
			text = text[len(t.From):]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		text, before = text[size:], r
		if a, ok := accented[r]; ok {
			r = a
		}
		b.WriteRune(r)
	}
	return b.String()
}

// termAt is the longest term with which text begins as a whole word.
func termAt(text string, before rune, terms []translation.Term) (translation.Term, bool) {
	var longest translation.Term
	for _, t := range terms {
		after, _ := utf8.DecodeRuneInString(text[min(len(text), len(t.From)):])
		if len(t.From) > len(longest.From) && strings.HasPrefix(text, t.From) && !inWord(before) && !inWord(after) {
			longest = t
		}
	}
	return longest, longest.From != ""
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// Write gives texts made of nothing but the facts' values, in the order of their
// names, cut to the length wanted.
func (p *Provider) Write(ctx context.Context, prompt translation.Prompt) (*translation.Answer, error) {
	if err := alive(ctx); err != nil {
		return nil, err
	}
	var facts map[string]any
	if err := json.Unmarshal([]byte(prompt.Facts), &facts); err != nil || len(facts) == 0 {
		return nil, &connectors.Error{Verdict: connectors.Validation, Err: fmt.Errorf("the facts are no JSON object with something in it")}
	}
	var values []string
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		switch v := facts[name].(type) {
		case string:
			values = append(values, v)
		case float64, bool:
			values = append(values, fmt.Sprint(v))
		}
	}
	a := &translation.Answer{Model: "pseudo", Characters: utf8.RuneCountInString(prompt.Facts)}
	for i, w := range prompt.Wanted {
		text := strings.Join(values[min(i, max(0, len(values)-1)):], ", ")
		a.Texts = append(a.Texts, "["+cut(text, w.Most-2)+"]")
	}
	return a, nil
}

func cut(text string, most int) string {
	if runes := []rune(text); most > 0 && len(runes) > most {
		return string(runes[:most])
	}
	return text
}
