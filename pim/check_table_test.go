package pim

import (
	"strings"
	"testing"
)

func nutrition() Attribute {
	return Attribute{Code: "nutrition", Type: TypeTable, Rules: Rules{MaxItems: 3}, Columns: []Column{
		{Code: "nutrient", Type: TypeOption, Required: true, Options: []Option{{Code: "fat"}, {Code: "salt"}}},
		{Code: "per_100g", Type: TypeNumber, Unit: "g", Rules: Rules{Min: "0"}},
		{Code: "note", Type: TypeText, MaxLength: 5},
		{Code: "since", Type: TypeDate},
		{Code: "organic", Type: TypeBoolean},
	}}
}

func TestTables(t *testing.T) {
	t.Parallel()
	a := nutrition()
	s := ruledSchema(a, Attribute{Code: "sizes", Type: TypeTable, Localizable: true, Scopable: true, Columns: []Column{{Code: "s", Type: TypeText}}})
	if ps := s.CheckAttribute(&a, ""); ps != nil {
		t.Fatal(ps)
	}
	for _, c := range []struct{ in, want, faults string }{
		{
			`{"nutrition":[{"nutrient":"fat","per_100g":{"amount":"3.50","unit":"GRM"},"note":null},{"nutrient":"salt","since":"2026-01-02","organic":false}]}`,
			`{"nutrition":[{"nutrient":"fat","per_100g":{"amount":3.50,"unit":"g"}},{"nutrient":"salt","organic":false,"since":"2026-01-02"}]}`, "<nil>",
		},
		{`{"nutrition":[]}`, `{"nutrition":[]}`, "<nil>"},
		{`{"sizes":{"shop":{"en-GB":[{"s":"x"}]}}}`, `{"sizes":{"shop":{"en-GB":[{"s":"x"}]}}}`, "<nil>"},
		{`{"nutrition":{"nutrient":"fat"}}`, "", "value.shape /values/nutrition"},
		{`{"nutrition":"[]"}`, "", "value.type /values/nutrition"},
		{`{"nutrition":["fat",{}]}`, "", "value.type /values/nutrition/0,column.required /values/nutrition/1/nutrient,row.empty /values/nutrition/1"},
		{
			`{"nutrition":[{"nutrient":"fat"},{"nutrient":"fibre","per_100g":{"amount":-1,"unit":"g"},"note":"too long","organic":1,"since":"today","more":1}]}`, "",
			"column.unknown /values/nutrition/1/more,text.too_long /values/nutrition/1/note,option.unknown /values/nutrition/1/nutrient,value.type /values/nutrition/1/organic," +
				"value.range /values/nutrition/1/per_100g/amount,value.date /values/nutrition/1/since",
		},
		{`{"nutrition":[{"nutrient":"fat","per_100g":{"amount":1,"unit":"m"}}]}`, "", "unit.family /values/nutrition/0/per_100g/unit"},
		{`{"nutrition":[{"note":"a"}]}`, "", "column.required /values/nutrition/0/nutrient"},
		{`{"nutrition":[` + strings.Repeat(`{"nutrient":"fat"},`, 3) + `{"nutrient":"fat"}]}`, "", "value.too_many /values/nutrition"},
		{`{"sizes":{"shop":{"en-GB":[{"s":null}]}}}`, "", "row.empty /values/sizes/shop/en-GB/0"},
		{`{"sizes":{"shop":{"en-GB":[` + strings.Repeat(`{"s":"x"},`, 1000) + `{"s":"x"}]}}}`, "", "value.too_many /values/sizes/shop/en-GB"},
	} {
		clean, _, err := s.CheckValues("all", jsonValues(t, c.in), "/values")
		if faultsOf(err) != c.faults {
			t.Errorf("%.200s: %s", c.in, faultsOf(err))
		}
		if err == nil && string(AppendJSON(nil, clean)) != c.want && !EqualJSON(map[string]any(clean), map[string]any(jsonValues(t, c.want))) {
			t.Errorf("%s: %s", c.in, AppendJSON(nil, clean))
		}
		if again, _, err := s.CheckValues("all", clean, "/values"); clean != nil && (err != nil || !EqualJSON(map[string]any(again), map[string]any(clean))) {
			t.Errorf("%s is not clean: %v, %v", c.in, again, err)
		}
	}
	// A row that was left without cells stays where it is, too.
	bare := jsonValues(t, `{"sizes":{"shop":{"en-GB":[{}]}}}`)
	if _, warnings, err := s.CheckEdit("all", bare, bare, "/values"); err != nil || len(warnings) != 1 || warnings[0].Code != "row.empty" {
		t.Errorf("%v, %v", warnings, err)
	}
	// A column that goes leaves what is stored.
	held := jsonValues(t, `{"nutrition":[{"nutrient":"fat","gone":1}]}`)
	if clean, warnings, err := s.CheckEdit("all", held, held, "/values"); err != nil || len(warnings) != 1 || warnings[0].Code != "column.unknown" || !EqualJSON(map[string]any(clean), map[string]any(held)) {
		t.Errorf("%v, %v, %v", clean, warnings, err)
	}
}

func TestCheckColumns(t *testing.T) {
	t.Parallel()
	s := &Schema{}
	for want, change := range map[string]func(*Attribute){
		"attribute.columns /columns":                                         func(a *Attribute) { a.Columns = nil },
		"column.duplicate /columns/4/code":                                   func(a *Attribute) { a.Columns[4].Code = "note" },
		"column.type /columns/2/type":                                        func(a *Attribute) { a.Columns[2] = Column{Code: "x", Type: TypeTable} },
		"attribute.code /columns/2/code":                                     func(a *Attribute) { a.Columns[2].Code = "a b" },
		"attribute.unique /columns/2/unique":                                 func(a *Attribute) { a.Columns[2].Unique = true },
		"attribute.max_items /columns/2/max_items":                           func(a *Attribute) { a.Columns[2].MaxItems = 1 },
		"unit.unknown /columns/1/unit":                                       func(a *Attribute) { a.Columns[1].Unit = "stone" },
		"option.duplicate /columns/0/options/1/code":                         func(a *Attribute) { a.Columns[0].Options[1].Code = "fat" },
		"locale.tag /columns/0/labels/xx_x,label.empty /columns/0/labels/en": func(a *Attribute) { a.Columns[0].Labels = map[Locale]string{"xx_x": "x", "en": ""} },
	} {
		a := nutrition()
		change(&a)
		got := strings.Split(faultsOf(problems(s.CheckAttribute(&a, "")).err()), ",")
		if len(got) != len(strings.Split(want, ",")) || !strings.Contains(want, got[0]) {
			t.Errorf("%v, want %s", got, want)
		}
	}
	a := Attribute{Code: "x", Type: TypeText, Columns: []Column{{Code: "a", Type: TypeText}}}
	if got := faultsOf(problems(s.CheckAttribute(&a, "")).err()); got != "attribute.columns /columns" {
		t.Error(got)
	}
	old, now := nutrition(), nutrition()
	now.Columns = append(now.Columns[1:], Column{Code: "new", Type: TypeText})
	if !SameColumns(&old, &now) {
		t.Error("columns that come and go are no other columns")
	}
	if now.Columns[0].Unit = "kg"; SameColumns(&old, &now) {
		t.Error("a column of another unit is another")
	}
}
