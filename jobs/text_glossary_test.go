package jobs

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/text"
)

// Of entries for the same words the more exact counts: the longer term where
// terms overlap, the entry of the locale before that of its language.
func TestGlossaryTakesTheMoreExact(t *testing.T) {
	t.Parallel()
	fixed := func(version int64, from, to pim.Locale, term, translation string, matchCase bool) postgres.GlossaryEntry {
		return postgres.GlossaryEntry{Version: version, From: from, To: to, Term: term, Translation: translation, Kind: postgres.GlossaryFixed, MatchCase: matchCase}
	}
	for _, c := range []struct {
		name, source string
		entries      []postgres.GlossaryEntry
		want         []string // translations that are asked for
		version      int64
	}{
		{"longest", "A bedside table", []postgres.GlossaryEntry{fixed(1, "", "", "bedside table", "mesita de noche", false), fixed(2, "", "", "table", "mesa", false)}, []string{"mesita de noche"}, 2},
		{
			"both", "A bedside table and a table",
			[]postgres.GlossaryEntry{fixed(1, "", "", "bedside table", "mesita de noche", false), fixed(2, "", "", "table", "mesa", false)},
			[]string{"mesa", "mesita de noche"},
			2,
		},
		{"locale", "New computer", []postgres.GlossaryEntry{fixed(1, "en", "es", "computer", "ordenador", false), fixed(2, "en", "es-MX", "computer", "computadora", false)}, []string{"computadora"}, 2},
		{"any", "New computer", []postgres.GlossaryEntry{fixed(3, "", "", "computer", "PC", false), fixed(2, "en", "es", "computer", "ordenador", false)}, []string{"ordenador"}, 3},
		{"case", "Let us go to the US", []postgres.GlossaryEntry{fixed(1, "", "", "US", "EE. UU.", true)}, []string{"EE. UU."}, 1},
		{"no case", "Let us go", []postgres.GlossaryEntry{fixed(1, "", "", "US", "EE. UU.", true)}, nil, 0},
		{"part of a word", "Busy RUSSIAN, us", []postgres.GlossaryEntry{fixed(1, "", "", "US", "EE. UU.", true)}, nil, 0},
		{"a sign", "Tools &amp; more", []postgres.GlossaryEntry{fixed(1, "", "", "tools & more", "todo", false)}, []string{"todo"}, 1},
		{"tags", `Width <x id="1"/> in all`, []postgres.GlossaryEntry{fixed(1, "", "", "id", "carné", false), fixed(2, "", "", "x", "equis", false)}, nil, 0},
		{"han", "红色水壶", []postgres.GlossaryEntry{fixed(1, "", "", "水壶", "hervidor", false), fixed(2, "", "", "水", "agua", false)}, []string{"hervidor"}, 2},
	} {
		slices.SortStableFunc(c.entries, func(a, b postgres.GlossaryEntry) int { return len(b.Term) - len(a.Term) })
		in := newGlossary(c.entries).in(c.source)
		var got, terms []string
		for _, f := range in.fixed {
			got = append(got, f.To)
		}
		for _, f := range in.terms {
			terms = append(terms, f.To)
		}
		slices.Sort(got)
		slices.Sort(terms)
		if !slices.Equal(got, c.want) || !slices.Equal(terms, c.want) || in.version != c.version {
			t.Errorf("%s: %q %q in version %d, want %q in %d", c.name, got, terms, in.version, c.want, c.version)
		}
	}
}

// A translation that has the longer term's translation is not asked for the
// shorter one's, and a forbidden word within a protected name is nobody's fault.
func TestGlossaryRefusesOnlyWhatIsWrong(t *testing.T) {
	t.Parallel()
	check := func(source, translated string, html bool, brand string, entries ...postgres.GlossaryEntry) string {
		slices.SortStableFunc(entries, func(a, b postgres.GlossaryEntry) int { return len(b.Term) - len(a.Term) })
		g := newGlossary(entries)
		d, err := text.Cut(source, html, g.keep.With(brand))
		if err != nil || len(d.Segments) != 1 {
			t.Fatal(source, d, err)
		}
		s := d.Segments[0]
		return broken(s.Check(s.Tidy(translated), text.Rules{From: "en", To: "es", Fixed: g.in(s.Source).fixed, Forbidden: g.forbidden, ForbiddenAsWritten: g.forbiddenAs}))
	}
	table := []postgres.GlossaryEntry{
		{Term: "bedside table", Translation: "mesita de noche", Kind: postgres.GlossaryFixed, Version: 1}, {Term: "table", Translation: "mesa", Kind: postgres.GlossaryFixed, Version: 2},
	}
	formal := postgres.GlossaryEntry{Term: "Usted", MatchCase: true, Kind: postgres.GlossaryForbidden, Version: 4}
	boss := postgres.GlossaryEntry{Term: "Boss", Kind: postgres.GlossaryForbidden, Version: 3}
	for _, c := range []struct{ source, translated, brand string }{
		{"A fine bedside table", "Una buena mesita de noche", ""},
		{`Coat by Hugo Boss, warm`, `Abrigo de <x id="1"/>, cálido`, "Hugo Boss"},
		{"A man, you", "Un hombre, usted", ""},
	} {
		if wrong := check(c.source, c.translated, false, c.brand, append(table, boss, formal)...); wrong != "" {
			t.Errorf("%s: %s", c.translated, wrong)
		}
	}
	for i, c := range []struct{ source, translated string }{
		{"A fine bedside table", "Una buena mesa de noche"}, {"A fine table", "Un buen tablero"}, {"A fine man", "Un buen boss"}, {"You are a man", "Usted es un hombre"}, {"A bedside table and a table", "Una mesita de noche y otra"},
	} {
		if wrong := check(c.source, c.translated, false, "", append(table, boss, formal)...); wrong == "" {
			t.Error(fmt.Sprint(i, ": ", c.translated, " is taken"))
		}
	}
}
