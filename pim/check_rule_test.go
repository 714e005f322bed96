package pim

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// ruledSchema has one family "all" of the attributes.
func ruledSchema(attributes ...Attribute) *Schema {
	s := &Schema{
		Attributes: map[string]*Attribute{}, Families: map[string]*Family{},
		Locales: map[Locale]bool{"en-GB": true, "de-DE": true}, Channels: map[ChannelCode]bool{"shop": true, "erp": true},
	}
	f := &Family{Code: "all"}
	for i := range attributes {
		s.Attributes[attributes[i].Code] = &attributes[i]
		f.Attributes = append(f.Attributes, FamilyAttribute{Code: attributes[i].Code})
	}
	s.Families["all"] = f
	return s
}

func jsonValues(t testing.TB, text string) Values {
	t.Helper()
	v, err := DecodeJSON([]byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := v.(map[string]any)
	return m
}

// faultsOf writes an error's problems as "code pointer".
func faultsOf(err error) string {
	inv, ok := err.(*Invalid) //nolint:errorlint // it is made here
	if !ok {
		return fmt.Sprint(err)
	}
	list := make([]string, len(inv.Problems))
	for i, p := range inv.Problems {
		list[i] = p.Code + " " + p.Pointer
	}
	return strings.Join(list, ",")
}

func two() *int { n := 2; return &n }

func TestRules(t *testing.T) {
	t.Parallel()
	s := ruledSchema(
		Attribute{Code: "name", Type: TypeText, Localizable: true, Rules: Rules{MinLength: 3}},
		Attribute{Code: "code", Type: TypeText, Rules: Rules{Pattern: "[A-Z]{2}-|x"}},
		Attribute{Code: "count", Type: TypeNumber, Rules: Rules{Min: "0", Max: "10.5", Decimals: two()}},
		Attribute{Code: "weight", Type: TypeNumber, Unit: "kg", Rules: Rules{Min: "0.1", Max: "2", Units: []string{"kg", "GRM", "lb"}, Decimals: two()}},
		Attribute{Code: "heat", Type: TypeNumber, Unit: "°C", Rules: Rules{Max: "100"}},
		Attribute{Code: "since", Type: TypeDate, Rules: Rules{MinDate: "2020-01-01", MaxDate: "2020-12-31"}},
		Attribute{Code: "images", Type: TypeMedia, Rules: Rules{MaxItems: 2}},
	)
	for _, c := range [][2]string{
		{`{"name":{"en-GB":"abc"},"code":"x","count":10.50,"weight":{"amount":100,"unit":"g"},"heat":{"amount":212,"unit":"°F"},"since":"2020-12-31","images":["a","b"]}`, "<nil>"},
		{`{"code":"AB-"}`, "<nil>"},
		{`{"name":{"de-DE":"äö","en-GB":""}}`, "text.too_short /values/name/de-DE,text.too_short /values/name/en-GB"},
		{`{"code":"xx"}`, "text.pattern /values/code"},
		{`{"code":"AB-x"}`, "text.pattern /values/code"},
		{`{"code":"x\n"}`, "text.pattern /values/code"},
		{`{"count":-0.01}`, "value.range /values/count"},
		{`{"count":10.51}`, "value.range /values/count"},
		{`{"count":1.050}`, "<nil>"},
		{`{"count":1.051}`, "value.decimals /values/count"},
		{`{"count":105e-3}`, "value.decimals /values/count"},
		{`{"weight":{"amount":99.99,"unit":"g"}}`, "value.range /values/weight/amount"},
		{`{"weight":{"amount":4.41,"unit":"lb"}}`, "value.range /values/weight/amount"},
		{`{"weight":{"amount":4.4,"unit":"LBR"}}`, "<nil>"},
		{`{"weight":{"amount":1,"unit":"oz"}}`, "unit.not_taken /values/weight/unit"},
		{`{"weight":{"amount":"0.125","unit":"kg"}}`, "value.decimals /values/weight/amount"},
		{`{"heat":{"amount":212.01,"unit":"°F"}}`, "value.range /values/heat/amount"},
		{`{"since":"2019-12-31"}`, "value.range /values/since"},
		{`{"since":"2021-01-01"}`, "value.range /values/since"},
		{`{"images":["a","b","c"]}`, "value.too_many /values/images"},
	} {
		if _, _, err := s.CheckValues("all", jsonValues(t, c[0]), "/values"); faultsOf(err) != c[1] {
			t.Errorf("%s: %s, want %s", c[0], faultsOf(err), c[1])
		}
	}
}

// What is stored stays when its rules are tightened, as long as it is what it was.
func TestHeldValuesAreWarnedOf(t *testing.T) {
	t.Parallel()
	s := ruledSchema(
		Attribute{Code: "name", Type: TypeText, Localizable: true, MaxLength: 3},
		Attribute{Code: "colour", Type: TypeOption, Options: []Option{{Code: "red"}}},
		Attribute{Code: "weight", Type: TypeNumber, Unit: "kg", Rules: Rules{Max: "2"}},
		Attribute{Code: "ean", Type: TypeText, Check: CheckGTIN, Strict: true},
		Attribute{Code: "count", Type: TypeNumber},
	)
	held := jsonValues(t, `{"name":{"en-GB":"long","de-DE":"lang"},"colour":"blue","weight":{"amount":3.0,"unit":"kg"},"ean":"123","count":"no number"}`)
	for _, c := range []struct{ values, faults, warnings string }{
		{`{"name":{"en-GB":"long"},"colour":"blue","weight":{"amount":"3","unit":"KGM"},"ean":"123"}`, "<nil>", "option.unknown gtin.length text.too_long value.range"},
		{`{"name":{"en-GB":"longer","de-DE":"lang"}}`, "text.too_long /values/name/en-GB", "text.too_long"},
		{`{"name":{"de-DE":"long"}}`, "text.too_long /values/name/de-DE", ""},
		{`{"colour":"green"}`, "option.unknown /values/colour", ""},
		{`{"weight":{"amount":3.1,"unit":"kg"}}`, "value.range /values/weight/amount", ""},
		{`{"count":"no number"}`, "value.type /values/count", ""}, // nobody could read it
	} {
		clean, warnings, err := s.CheckEdit("all", jsonValues(t, c.values), held, "/values")
		codes := []string{}
		for _, w := range warnings {
			codes = append(codes, w.Code)
		}
		if faultsOf(err) != c.faults || strings.Join(codes, " ") != c.warnings {
			t.Errorf("%s: %s, warned of %v", c.values, faultsOf(err), codes)
		}
		if changed, _ := Diff(jsonValues(t, c.values), clean, s); err == nil && clean["weight"] == nil || err == nil && changed["name"].New != nil {
			t.Errorf("%s became %v", c.values, clean)
		}
	}
	issues := s.InvalidValues("all", held, "shop", "de-DE")
	told := []string{}
	for _, i := range issues {
		told = append(told, i.Attribute+" "+i.Code+" "+string(i.Severity))
	}
	if got := strings.Join(told, ","); got != "colour value.invalid warning,ean value.invalid warning,name value.invalid warning,weight value.invalid warning" {
		t.Errorf("issues in de-DE: %s", got)
	}
	if issues := s.InvalidValues("all", Values{"name": held["name"]}, "shop", "en-US"); issues != nil {
		t.Errorf("issues in en-US: %v", issues)
	}
}

func TestCheckAttributeRules(t *testing.T) {
	t.Parallel()
	minus, many := -1, 31
	s := &Schema{}
	for _, c := range []struct {
		a    Attribute
		want string
	}{
		{Attribute{Type: TypeText, Rules: Rules{MinLength: 1, Pattern: `\d+`, Unique: true}}, ""},
		{Attribute{Type: TypeNumber, Unit: "kg", Rules: Rules{Min: "-1e2", Max: "0.5", Units: []string{"KGM", "g"}}}, ""},
		{Attribute{Type: TypeText, MaxLength: 5, Rules: Rules{MinLength: 6}}, "attribute.min_length /min_length"},
		{Attribute{Type: TypeText, Rules: Rules{Pattern: `(`}}, "attribute.pattern /pattern"},
		{Attribute{Type: TypeText, Rules: Rules{Pattern: `a)|(?:b`}}, "attribute.pattern /pattern"},
		{Attribute{Type: TypeText, Rules: Rules{Pattern: `(a{100}){10}`}}, "attribute.pattern /pattern"},
		{Attribute{Type: TypeText, Rules: Rules{Pattern: `(a?b?c){50}`}}, "attribute.pattern /pattern"},
		{Attribute{Type: TypeText, MaxLength: 5000, Rules: Rules{Pattern: `(a?b?c){50}`}}, ""},
		{Attribute{Type: TypeText, Rules: Rules{Pattern: strings.Repeat("a", 501)}}, "attribute.pattern /pattern"},
		{Attribute{Type: TypeRichText, Rules: Rules{Pattern: "a", Min: "1", MaxItems: 1, Unique: true}}, "attribute.pattern /pattern,attribute.min /min,attribute.max_items /max_items,attribute.unique /unique"},
		{Attribute{Type: TypeNumber, Rules: Rules{Min: "x", Max: "1"}}, "attribute.min /min"},
		{Attribute{Type: TypeNumber, Rules: Rules{Min: "2", Max: "1.9"}}, "attribute.max /max"},
		{Attribute{Type: TypeNumber, Rules: Rules{Min: "0e2000000000"}}, "attribute.min /min"},
		{Attribute{Type: TypeNumber, Rules: Rules{Decimals: &minus}}, "attribute.decimals /decimals"},
		{Attribute{Type: TypeNumber, Rules: Rules{Decimals: &many}}, "attribute.decimals /decimals"},
		{Attribute{Type: TypeNumber, Rules: Rules{Units: []string{"kg"}}}, "attribute.units /units"},
		{Attribute{Type: TypeNumber, Unit: "kg", Rules: Rules{Units: []string{"g", "m", "x", "GRM"}, Unique: true}}, "unit.family /units/1,unit.unknown /units/2,unit.duplicate /units/3,attribute.units /units,attribute.unique /unique"},
		{Attribute{Type: TypeDate, Rules: Rules{MinDate: "2026-02-30", MaxDate: "2026-01-01"}}, "attribute.min_date /min_date,attribute.max_date /max_date"},
		{Attribute{Type: TypeOption, Rules: Rules{MaxItems: 2}}, "attribute.max_items /max_items"},
		{Attribute{Type: TypeOptions, Rules: Rules{MaxItems: 1001}}, "attribute.max_items /max_items"},
	} {
		c.a.Code = "a"
		err := problems(s.CheckAttribute(&c.a, "")).err()
		if got := faultsOf(err); got != c.want && (err != nil || c.want != "") {
			t.Errorf("%+v: %s, want %s", c.a.Rules, got, c.want)
		}
	}
}

func TestUniqueValues(t *testing.T) {
	t.Parallel()
	s := ruledSchema(
		Attribute{Code: "ean", Type: TypeText, Rules: Rules{Unique: true}},
		Attribute{Code: "slug", Type: TypeText, Localizable: true, Scopable: true, Rules: Rules{Unique: true}},
		Attribute{Code: "name", Type: TypeText},
	)
	list := s.UniqueValues(jsonValues(t, `{"ean":"1","slug":{"shop":{"en-GB":"a"},"erp":{"de-DE":" "}},"name":"n"}`))
	if len(list) != 2 || list[0].Attribute != "ean" || list[1].Channel != "shop" || list[1].Locale != "en-GB" {
		t.Errorf("%+v", list)
	}
	if list := s.UniqueValues(jsonValues(t, `{"ean":"\u00a0","slug":"a"}`)); list != nil {
		t.Errorf("%+v", list)
	}
}

// Two numbers have one key exactly when they are equal.
func TestPlainNumber(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0", "-0.0": "0", "0e5": "0", "1.50": "1.5", "10e-1": "1", "-0.05": "-0.05", "1e3": "1000", "12.5e1": "125", "5e-3": "0.005", "100": "100", "0.1e1": "1",
	} {
		if got := plainNumber(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) string {
			return json.Number(fmt.Sprintf("%d.%0*de%d", rapid.IntRange(-20, 20).Draw(t, name), rapid.IntRange(1, 3).Draw(t, name+" wide"), rapid.IntRange(0, 20).Draw(t, name+" part"), rapid.IntRange(-3, 3).Draw(t, name+" exp"))).String()
		}
		a, b := draw("a"), draw("b")
		if (plainNumber(a) == plainNumber(b)) != (rational(a).Cmp(rational(b)) == 0) {
			t.Fatalf("%s is %s, %s is %s", a, plainNumber(a), b, plainNumber(b))
		}
		if rational(a).Cmp(rational(plainNumber(a))) != 0 {
			t.Fatalf("%s is written %s", a, plainNumber(a))
		}
	})
}
