package jobs

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/text"
)

// glossary is what counts between two locales, ready to be asked for the
// entries that a segment has.
type glossary struct {
	keep      text.Protect // what no translator may touch
	forbidden []string
	newest    int64                                // version of the forbidden terms: they are of all segments
	fixed     map[string][]*postgres.GlossaryEntry // by the first word of their terms, in small letters
	loose     []*postgres.GlossaryEntry            // of scripts without spaces between words
}

func (t *Texts) glossary(ctx context.Context, from, to pim.Locale) (*glossary, error) {
	list, err := t.store.GlossaryOf(ctx, from, to)
	if err != nil {
		return nil, err
	}
	return newGlossary(list), nil
}

func newGlossary(list []postgres.GlossaryEntry) *glossary {
	g := &glossary{fixed: map[string][]*postgres.GlossaryEntry{}}
	var keep []string
	for i := range list {
		e := &list[i]
		switch e.Kind {
		case postgres.GlossaryKeep:
			keep = append(keep, e.Term)
		case postgres.GlossaryForbidden:
			g.forbidden = append(g.forbidden, e.Term)
			g.newest = max(g.newest, e.Version)
		case postgres.GlossaryFixed:
			words := wordsOf(e.Term)
			if len(words) == 0 || strings.ContainsFunc(e.Term, unspaced) {
				g.loose = append(g.loose, e)
				continue
			}
			g.fixed[words[0]] = append(g.fixed[words[0]], e)
		}
	}
	g.keep = text.NewProtect(keep)
	return g
}

func wordsOf(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
}

func unspaced(c rune) bool {
	return unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// inSegment is what a glossary says of one segment.
type inSegment struct {
	version int64 // newest of the entries that count: the memory's key
	terms   []translation.Term
	fixed   []text.FixedTerm
}

// in finds the entries whose terms occur in a segment.
func (g *glossary) in(source string) inSegment {
	out := inSegment{version: g.newest}
	small := strings.ToLower(source)
	add := func(e *postgres.GlossaryEntry) {
		if !strings.Contains(small, strings.ToLower(e.Term)) || e.MatchCase && !strings.Contains(source, e.Term) {
			return
		}
		out.version = max(out.version, e.Version)
		out.terms = append(out.terms, translation.Term{From: e.Term, To: e.Translation})
		out.fixed = append(out.fixed, text.FixedTerm{From: e.Term, To: e.Translation, Prefix: true})
	}
	words := wordsOf(source)
	slices.Sort(words)
	for _, word := range slices.Compact(words) {
		for _, e := range g.fixed[word] {
			add(e)
		}
	}
	for _, e := range g.loose {
		add(e)
	}
	return out
}

// names are the values of a product that no translator may touch, by a rule.
func (b *ruleBook) names(rule string, values pim.Values) (list []string) {
	codes := []string{"brand"}
	for i := range b.rules {
		if b.rules[i].Code == rule {
			codes = append(codes, b.rules[i].Protect...)
		}
	}
	for _, code := range codes {
		a := b.schema.Attributes[code]
		var walk func(v any)
		walk = func(v any) {
			switch v := v.(type) {
			case string:
				list = append(list, v)
				if a != nil { // an option's labels are what people read
					for _, o := range a.Options {
						if o.Code == v {
							for _, label := range o.Labels {
								list = append(list, label)
							}
						}
					}
				}
			case []any:
				for _, el := range v {
					walk(el)
				}
			case map[string]any:
				for _, el := range v {
					walk(el)
				}
			}
		}
		walk(values[code])
	}
	slices.Sort(list)
	return slices.Compact(list)
}
