package connectors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/pim"
)

// tabled is a mapping of one content field with the tables of these tests.
func tabled(expression string, unmapped Unmapped) Mapping {
	return Mapping{
		Content:    map[string]string{"x": expression},
		Categories: map[string][]string{"kitchen": {"K1", "K2"}, "home": {"K2"}},
		Values: map[string]ValueMapping{
			"color": {Options: map[string]string{"blue": "BLAU"}}, "tags": {Options: map[string]string{"new": "NEU", "steel": "STAHL", "kitchen": "STAHL"}},
			"missing": {Options: map[string]string{"a": "A"}}, "organic": {Options: map[string]string{"true": "Bio"}}, "weight": {Unit: "g"},
			"none": {Options: map[string]string{"a": "A"}},
		},
		Unmapped: unmapped,
	}
}

func TestMapped(t *testing.T) {
	s := sample(t) // in kitchen and gifts, blue, new, steel and kitchen
	for _, c := range []struct {
		expression string
		unmapped   Unmapped
		want       string
		issues     int // warnings
	}{
		{"mapped('color')", "", `{"x":"BLAU"}`, 0},
		{"mapped('color', 'ANDERE')", UnmappedError, `{"x":"BLAU"}`, 0},
		{"mapped('missing', 'ANDERE')", "", `{"x":"ANDERE"}`, 0},
		{"mapped('missing')", UnmappedError, ``, 0}, // there is no value that could lack an entry
		{"firstOf([mapped('missing'), sku])", "", `{"x":"K-1"}`, 0},
		{"mapped('organic')", "", `{"x":"Bio"}`, 0},
		{"mapped('weight')", "", `{"x":"1500"}`, 0},
		{"number(mapped('weight'))", "", `{"x":1500}`, 0},
		{"mapped('none')", "", `{"x":[]}`, 0},
		{"mapped('tags')", "", `{"x":["NEU","STAHL"]}`, 0},
		{"targetCategories", "", `{"x":["K1","K2"]}`, 1},
		{"targetCategories", UnmappedPass, `{"x":["K1","K2","gifts"]}`, 0},
		{"targetCategories.map(c, c + '!')", UnmappedWarn, `{"x":["K1!","K2!"]}`, 1},
		{"{'first': targetCategories[0], 'all': targetCategories}", "", `{"x":{"all":["K1","K2"],"first":"K1"}}`, 1},
	} {
		p, err := Compile(tabled(c.expression, c.unmapped))
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		got, err := p.Project(t.Context(), pim.Content, s, sampleSchema(), sampleScope())
		if err != nil || string(got.Document) != c.want || len(got.Issues) != c.issues {
			t.Errorf("%s, %s: %s %v %v, want %s and %d issues", c.expression, c.unmapped, got.Document, got.Issues, err, c.want, c.issues)
		}
		if !p.Inputs(pim.Content).Has(pim.Content) || p.Inputs(pim.Content).Has(pim.Offer) {
			t.Errorf("%s reads %v", c.expression, p.Inputs(pim.Content).List())
		}
	}
}

// What has no entry is told with its place, and refused where the mapping says so.
func TestUnmapped(t *testing.T) {
	s := sample(t)
	s.Values["color"], s.Values["tags"] = "green", []any{"new", "rare", "rare"}
	m := tabled("mapped('color')", "")
	m.Content["tags"], m.Content["cats"], m.Content["other"] = "mapped('tags')", "targetCategories", "mapped('color', 'ANDERE')"
	m.Offer = map[string]string{"colour": "mapped('color')"}
	want := map[string]string{"x": `"green" of attribute color`, "tags": `"rare" of attribute tags`, "cats": `category "gifts"`}
	check := func(issues []pim.Issue, severity pim.Severity) {
		t.Helper()
		if len(issues) != len(want) {
			t.Errorf("%v", issues)
		}
		for _, i := range issues {
			if i.Code != CodeUnmapped || i.Severity != severity || want[i.Attribute] == "" || !strings.HasPrefix(i.Text, want[i.Attribute]) {
				t.Errorf("%+v", i)
			}
		}
	}
	p, err := Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Inputs(pim.Offer).Has(pim.Content) {
		t.Error("an offer that looks at a value is not rendered again when it changes")
	}
	got, err := p.Project(t.Context(), pim.Content, s, sampleSchema(), sampleScope())
	if err != nil || string(got.Document) != `{"cats":["K1","K2"],"other":"ANDERE","tags":["NEU"]}` {
		t.Errorf("%s %v", got.Document, err)
	}
	check(got.Issues, pim.SeverityWarning)

	m.Unmapped = UnmappedError
	if p, err = Compile(m); err != nil {
		t.Fatal(err)
	}
	got, err = p.Project(t.Context(), pim.Content, s, sampleSchema(), sampleScope())
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Verdict != Validation || got.Document != nil {
		t.Fatalf("%s %v", got.Document, err)
	}
	check(e.Issues, pim.SeverityError)
}

// A product in a thousand categories without an entry does not fill a row with issues.
func TestUnmappedIsBounded(t *testing.T) {
	s := sample(t)
	for i := range 1000 {
		s.Categories = append(s.Categories, fmt.Sprint("c", i))
	}
	m := tabled("targetCategories", "")
	m.Content["y"] = "targetCategories"
	p, err := Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Project(t.Context(), pim.Content, s, sampleSchema(), sampleScope())
	if err != nil || len(got.Issues) != maxNoted {
		t.Errorf("%d issues, %v", len(got.Issues), err)
	}
}

// TestTables: what is wrong with tables is told when they are saved, each with its place.
func TestTables(t *testing.T) {
	long := strings.Repeat("é", MaxTargetWord+1)
	many := make([]string, MaxTargetsEach+1)
	for i := range many {
		many[i] = "x"
	}
	wide := map[string]string{}
	for i := range 600 {
		wide[fmt.Sprint(i)] = strings.Repeat("x", MaxTargetWord)
	}
	for _, c := range []struct {
		name          string
		change        func(*Mapping)
		pointer, code string
	}{
		{"setting", func(m *Mapping) { m.Unmapped = "maybe" }, "/unmapped", "mapping.unmapped"},
		{"category", func(m *Mapping) { m.Categories["a/b c"] = nil }, "/categories/a~1b c", "category"},
		{"empty target", func(m *Mapping) { m.Categories["c"] = []string{"x", ""} }, "/categories/c/1", "mapping.word"},
		{"long target", func(m *Mapping) { m.Categories["c"] = []string{long} }, "/categories/c/0", "mapping.size"},
		{"many targets", func(m *Mapping) { m.Categories["c"] = many }, "/categories/c", "mapping.size"},
		{"both", func(m *Mapping) { m.Values["c"] = ValueMapping{Unit: "g", Options: map[string]string{"a": "b"}} }, "/values/c", "mapping.value"},
		{"neither", func(m *Mapping) { m.Values["c"] = ValueMapping{} }, "/values/c", "mapping.value"},
		{"long word", func(m *Mapping) { m.Values["c"] = ValueMapping{Options: map[string]string{"a": long}} }, "/values/c/options/a", "mapping.size"},
		{"control", func(m *Mapping) { m.Values["c"] = ValueMapping{Options: map[string]string{"a": "b\x00"}} }, "/values/c/options/a", "mapping.word"},
		{"size", func(m *Mapping) { m.Values["c"] = ValueMapping{Options: wide} }, "/values", "mapping.size"},
		{"no entry", func(m *Mapping) { m.Content["y"] = "mapped('nothing')" }, "/content/y", "mapping.unknown"},
		{"no code", func(m *Mapping) { m.Content["y"] = "mapped(sku)" }, "/content/y", "mapping.type"},
		{"no text", func(m *Mapping) { m.Content["y"] = "mapped(1)" }, "/content/y", "mapping.type"},
	} {
		m := tabled("sku", "")
		c.change(&m)
		_, err := Compile(m)
		invalid, ok := errors.AsType[*pim.Invalid](err)
		if !ok || !slices.ContainsFunc(invalid.Problems, func(p pim.Problem) bool { return p.Pointer == c.pointer && p.Code == c.code }) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// A garbled table does not fill an answer.
	m := tabled("sku", "")
	for i := range 1000 {
		m.Categories[fmt.Sprint("c ", i)] = nil
	}
	_, err := Compile(m)
	if invalid, ok := errors.AsType[*pim.Invalid](err); !ok || len(invalid.Problems) > maxTableProblems+1 {
		t.Errorf("%v", err)
	}
}

func TestTablesAgainstSchema(t *testing.T) {
	s := sampleSchema()
	s.Attributes["color"].Options = []pim.Option{{Code: "blue"}}
	m := Mapping{Values: map[string]ValueMapping{
		"color": {Options: map[string]string{"blue": "B", "red": "R"}}, "nowhere": {Unit: "g"}, "pieces": {Unit: "g"}, "weight": {Unit: "cm"},
		"ratio": {Options: map[string]string{"1": "one"}}, "organic": {Options: map[string]string{"true": "ja", "yes": "ja"}},
		"name": {Options: map[string]string{"anything": "x"}}, "missing": {Unit: ""},
	}}
	var got []string
	for _, p := range m.Against(s) {
		got = append(got, p.Pointer+" "+p.Code)
	}
	want := []string{
		"/values/color/options/red option.unknown", "/values/nowhere attribute.unknown", "/values/organic/options/yes option.unknown",
		"/values/pieces/unit mapping.value", "/values/ratio mapping.value", "/values/weight/unit unit.unknown",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// categoryPaths shows what the product's categories are called and where they
// stand; who reads it is told of by Tree.
func TestCategoryPaths(t *testing.T) {
	t.Parallel()
	s, schema := sample(t), *sampleSchema() // in kitchen and gifts
	planted, err := schema.Tree.With([]pim.CategoryEdit{
		{Code: "home", Labels: map[pim.Locale]string{sampleScope().Locale: "Home"}},
		{Code: "kitchen", Parent: "home", Labels: map[pim.Locale]string{sampleScope().Locale: "Kitchen", "fr-FR": "Cuisine"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	schema.Tree = planted.Tree
	bare := *s
	bare.Categories = nil
	for expression, want := range map[string]string{
		"categoryPaths.map(c, c.path.join(' > '))":                      `{"x":["Home > Kitchen","gifts"]}`,
		"categoryPaths.filter(c, c.codes[0] == 'home').map(c, c.label)": `{"x":["Kitchen"]}`,
		"categoryPaths[0].labels":                                       `{"x":{"` + string(sampleScope().Locale) + `":"Kitchen","fr-FR":"Cuisine"}}`,
		"firstOf(categoryPaths.map(c, c.codes))":                        `{"x":["home","kitchen"]}`,
	} {
		p, err := Compile(Mapping{Content: map[string]string{"x": expression, "sku": "sku"}, Offer: map[string]string{"p": "price.amount"}})
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if p.Tree(false) != pim.LanesOf(pim.Content) {
			t.Errorf("%s is shown in lanes %v", expression, p.Tree(false))
		}
		p, err = Compile(tabled(expression, ""))
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Project(t.Context(), pim.Content, s, &schema, sampleScope())
		if err != nil || string(got.Document) != want {
			t.Errorf("%s: %s %v, want %s", expression, got.Document, err, want)
		}
	}
	p, err := Compile(tabled("firstOf(categoryPaths.map(c, c.label))", ""))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Project(t.Context(), pim.Content, &bare, &schema, sampleScope()); err != nil || len(got.Document) != 0 || len(got.Issues) != 0 {
		t.Errorf("in no category: %s %v %v", got.Document, got.Issues, err)
	}
	for _, codes := range []string{"categories", "targetCategories"} {
		if p, err = Compile(tabled(codes, "")); err != nil || p.Tree(false) != 0 || p.Tree(true) != pim.LanesOf(pim.Content) {
			t.Errorf("%s alone: %v", codes, err)
		}
	}
}

// Below a channel's category root nothing else is seen, in whatever way an expression
// asks, and a product that has no place there is told of.
func TestCategoryRoot(t *testing.T) {
	t.Parallel()
	schema, english := *sampleSchema(), sampleScope().Locale
	planted, err := schema.Tree.With([]pim.CategoryEdit{
		{Code: "home", Labels: map[pim.Locale]string{english: "Home"}},
		{Code: "kitchen", Parent: "home", Labels: map[pim.Locale]string{english: "Kitchen"}},
		{Code: "kettles", Parent: "kitchen"},
		{Code: "google"},
		{Code: "google_1", Parent: "google"},
	})
	if err != nil {
		t.Fatal(err)
	}
	schema.Tree = planted.Tree
	mapping := Mapping{
		Content: map[string]string{
			"codes": "categories", "paths": "categoryPaths.map(c, c.path.join(' > '))", "all": "categoryPaths.map(c, c.codes)", "labels": "categoryPaths.map(c, c.label)",
			"first": "firstOf(categories)", "theirs": "targetCategories",
		},
		Offer:      map[string]string{"stock": "stock.available"},
		Categories: map[string][]string{"kettles": {"K1"}, "kitchen": {"K2"}, "home": {"K3"}, "google_1": {"G"}},
	}
	p, err := Compile(mapping)
	if err != nil {
		t.Fatal(err)
	}
	filed := func(categories ...string) *Subject { return &Subject{SKU: "K", Categories: categories} }
	variant := filed()
	variant.Parent = "P"
	for _, c := range []struct {
		name, root string
		subject    *Subject
		want       string
		outside    bool
	}{
		{"no root", "", filed("google_1", "kettles"), `{"all":[["google","google_1"],["home","kitchen","kettles"]],"codes":["google_1","kettles"],"first":"google_1",` +
			`"labels":["google_1","kettles"],"paths":["google > google_1","Home > Kitchen > kettles"],"theirs":["G","K1"]}`, false},
		{"a root", "home", filed("google_1", "kettles", "home", "nowhere"), `{"all":[["kitchen","kettles"],[]],"codes":["kettles","home"],"first":"kettles",` +
			`"labels":["kettles","Home"],"paths":["Kitchen > kettles",""],"theirs":["K1","K3"]}`, false},
		{"one in a tree", "kitchen", filed("home", "kitchen", "kettles"), `{"all":[[],["kettles"]],"codes":["kitchen","kettles"],"first":"kitchen",` +
			`"labels":["Kitchen","kettles"],"paths":["","kettles"],"theirs":["K2","K1"]}`, false},
		{"elsewhere", "google", filed("kettles", "nowhere"), `{"all":[],"codes":[],"labels":[],"paths":[],"theirs":[]}`, true},
		{"nowhere", "google", filed(), `{"all":[],"codes":[],"labels":[],"paths":[],"theirs":[]}`, true},
		{"a variant that its model places", "google", variant, `{"all":[],"codes":[],"labels":[],"paths":[],"theirs":[]}`, false},
	} {
		scope := sampleScope()
		scope.CategoryRoot = c.root
		got, err := p.Project(t.Context(), pim.Content, c.subject, &schema, scope)
		if err != nil || string(got.Document) != c.want {
			t.Errorf("%s: %s %v, want %s", c.name, got.Document, err, c.want)
		}
		var issues []pim.Issue
		if c.outside {
			issues = []pim.Issue{{Code: CodeOutsideRoot, Severity: pim.SeverityWarning, Text: "the product is in no category of the channel's tree, which begins at google"}}
		}
		if !slices.Equal(got.Issues, issues) {
			t.Errorf("%s: issues %+v", c.name, got.Issues)
		}
		if offer, err := p.Project(t.Context(), pim.Offer, c.subject, &schema, scope); err != nil || len(offer.Issues) != 0 {
			t.Errorf("%s: the offer has %+v, %v", c.name, offer.Issues, err)
		}
	}
}
