package jobs

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/text"
)

// glossary is what counts between two locales, ready to be asked for the
// entries that a segment has.
type glossary struct {
	keep        text.Protect // what no translator may touch
	forbidden   []string     // in any case
	forbiddenAs []string     // as they are written
	newest      int64        // version of the forbidden terms: they are of all segments
	fixed       []*postgres.GlossaryEntry
	first       map[string][]int // of fixed, by the first word of their terms, in small letters
	loose       []int            // of fixed: those of scripts without spaces between words
}

func (t *Texts) glossary(ctx context.Context, from, to pim.Locale) (*glossary, error) {
	list, err := t.store.GlossaryOf(ctx, from, to)
	if err != nil {
		return nil, err
	}
	return newGlossary(list), nil
}

func newGlossary(list []postgres.GlossaryEntry) *glossary {
	g := &glossary{first: map[string][]int{}}
	var keep []string
	for i := range list {
		e := &list[i]
		switch {
		case e.Kind == postgres.GlossaryKeep:
			keep = append(keep, e.Term)
		case e.Kind == postgres.GlossaryForbidden && e.MatchCase:
			g.forbiddenAs = append(g.forbiddenAs, e.Term)
			g.newest = max(g.newest, e.Version)
		case e.Kind == postgres.GlossaryForbidden:
			g.forbidden = append(g.forbidden, e.Term)
			g.newest = max(g.newest, e.Version)
		case e.Kind == postgres.GlossaryFixed:
			g.fixed = append(g.fixed, e)
		}
	}
	slices.SortStableFunc(g.fixed, moreExact)
	for i, e := range g.fixed {
		words := wordsOf(e.Term)
		if len(words) == 0 || strings.ContainsFunc(e.Term, unspaced) {
			g.loose = append(g.loose, i)
			continue
		}
		g.first[words[0]] = append(g.first[words[0]], i)
	}
	g.keep = text.NewProtect(keep)
	return g
}

// moreExact orders entries by which counts where several could: the longer
// term's, the one that minds the case, the locale's before its language's
// before all languages'.
func moreExact(a, b *postgres.GlossaryEntry) int {
	exact := func(l pim.Locale) int {
		if l == "" {
			return 0
		}
		return 1 + strings.Count(string(l), "-")
	}
	small := func(e *postgres.GlossaryEntry) int {
		if e.MatchCase {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(len(b.Term), len(a.Term)), cmp.Compare(small(a), small(b)), cmp.Compare(exact(b.To), exact(a.To)), cmp.Compare(exact(b.From), exact(a.From)))
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

// in finds the entries whose terms occur in a segment. Where terms overlap, the
// more exact entry counts alone, but the version is of all.
func (g *glossary) in(source string) inSegment {
	out := inSegment{version: g.newest}
	if len(g.fixed) == 0 {
		return out
	}
	plain := plainOf(source)
	small := smallOf(plain)
	found := slices.Clone(g.loose)
	words := wordsOf(plain)
	slices.Sort(words)
	for _, word := range slices.Compact(words) {
		found = append(found, g.first[word]...)
	}
	slices.Sort(found)
	var taken [][2]int
	for _, i := range found {
		e := g.fixed[i]
		var at [][2]int
		if e.MatchCase {
			at = text.Occurrences(plain, e.Term, true)
		} else {
			at = text.Occurrences(small, smallOf(e.Term), true)
		}
		if len(at) == 0 {
			continue
		}
		out.version = max(out.version, e.Version)
		at = slices.DeleteFunc(at, func(p [2]int) bool {
			return slices.ContainsFunc(taken, func(t [2]int) bool { return p[0] < t[1] && t[0] < p[1] })
		})
		if len(at) == 0 {
			continue
		}
		taken = append(taken, at...)
		out.terms = append(out.terms, translation.Term{From: e.Term, To: e.Translation})
		out.fixed = append(out.fixed, text.FixedTerm{From: e.Term, To: e.Translation, Prefix: true})
	}
	return out
}

// plainOf is a fragment's own words, with U+FFFC in the places of tags.
func plainOf(fragment string) string {
	pieces, err := translation.Pieces(fragment)
	if err != nil {
		return fragment
	}
	var b strings.Builder
	for _, p := range pieces {
		if p.Mark == translation.Text {
			b.WriteString(p.Text)
		} else {
			b.WriteRune('\uFFFC')
		}
	}
	return b.String()
}

// smallOf is a text in small letters, each byte in its place.
func smallOf(s string) string {
	return strings.Map(func(c rune) rune {
		if small := unicode.ToLower(c); utf8.RuneLen(small) == utf8.RuneLen(c) {
			return small
		}
		return c
	}, s)
}

// skuTerm is a SKU as a term that no translator may touch, unless it could be a
// word ("Kettle") or a count ("12") where it stands in a text.
func skuTerm(sku pim.SKU) []string {
	digits, letters, signs := 0, 0, 0
	for _, c := range string(sku) {
		switch {
		case unicode.IsDigit(c):
			digits++
		case unicode.IsLetter(c):
			letters++
		default:
			signs++
		}
	}
	if digits > 0 && (letters > 0 || digits > 3) || signs > 0 && digits+letters > 3 {
		return []string{string(sku)}
	}
	return nil
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
