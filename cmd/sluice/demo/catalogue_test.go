//go:build unix

package demo

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// demoSchema is what the demo makes, as the store would have it.
func demoSchema(t *testing.T) *pim.Schema {
	t.Helper()
	s := &pim.Schema{
		Attributes: map[string]*pim.Attribute{}, Families: map[string]*pim.Family{},
		Locales: map[pim.Locale]bool{}, Currencies: map[pim.Currency]bool{"EUR": true, "GBP": true},
		Channels: map[pim.ChannelCode]bool{}, PriceLists: map[string]bool{"default": true}, Locations: map[string]bool{north: true, south: true},
		Groups: map[string]*pim.AttributeGroup{}, // the demo makes those that its attributes name
	}
	for _, l := range locales {
		s.Locales[pim.Locale(l)] = true
	}
	for _, target := range targets() {
		s.Channels[target.spec.Code] = true
	}
	for _, a := range attributes() {
		s.Groups[a.Group] = &pim.AttributeGroup{Code: a.Group}
		if ps := s.CheckAttribute(&a, ""); len(ps) > 0 {
			t.Fatalf("attribute %s: %v", a.Code, ps)
		}
		s.Attributes[a.Code] = &a
	}
	for _, f := range families() {
		if ps := s.CheckFamily(&f, ""); len(ps) > 0 {
			t.Fatalf("family %s: %v", f.Code, ps)
		}
		s.Families[f.Code] = &f
	}
	return s
}

func TestCatalogueIsValid(t *testing.T) {
	s := demoSchema(t)
	used := map[pim.AttributeType]bool{}
	perFamily := map[string]int{}
	axes := map[pim.SKU]map[string]bool{}
	for n := 1; n <= 2000; n++ {
		a := generate(n)
		perFamily[*a.edit.Family]++
		clean, warnings, err := s.CheckValues(*a.edit.Family, a.edit.Values, "/values")
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v, %v", a.edit.SKU, err, warnings)
		}
		if !reflect.DeepEqual(plain(t, clean), plain(t, a.edit.Values)) {
			t.Fatalf("%s: the check changes the values", a.edit.SKU)
		}
		for code := range a.edit.Values {
			used[s.Attributes[code].Type] = true
		}
		for _, p := range a.prices {
			if ps := s.CheckPrice(p.Price, false); len(ps) > 0 || p.Amount.Sign() <= 0 {
				t.Fatalf("%s: %v, %v", p.SKU, p.Amount, ps)
			}
		}
		for _, st := range a.stock {
			if ps := s.CheckStock(st.Stock); len(ps) > 0 {
				t.Fatalf("%s: %v", st.SKU, ps)
			}
		}
		if a.edit.Parent != nil {
			key, ps := pim.AxisKey(s.Families["apparel"].Variants[0].Axes, a.edit.Values, "/values")
			if len(ps) > 0 || axes[*a.edit.Parent] == nil || axes[*a.edit.Parent][key] {
				t.Fatalf("%s: parent %s comes later, or has a variant %s already: %v", a.edit.SKU, *a.edit.Parent, key, ps)
			}
			axes[*a.edit.Parent][key] = true
		} else if a.edit.FamilyVariant != nil {
			axes[a.edit.SKU] = map[string]bool{}
		}
	}
	if len(perFamily) != 4 {
		t.Errorf("families: %v", perFamily)
	}
	for _, typ := range []pim.AttributeType{
		pim.TypeText, pim.TypeRichText, pim.TypeNumber, pim.TypeBoolean, pim.TypeDate, pim.TypeOption, pim.TypeOptions, pim.TypeMedia, pim.TypeReference,
	} {
		if !used[typ] {
			t.Errorf("no product has a value of type %s", typ)
		}
	}
	for _, f := range s.Families {
		named := false
		for _, a := range f.Attributes {
			named = named || a.Code == "name" && s.Attributes["name"].Localizable
		}
		if !named {
			t.Errorf("family %s has no localizable name", f.Code)
		}
	}
	if first := generate(1); first.edit.SKU != "DEMO-0001" || first.edit.Parent != nil || len(first.prices) == 0 {
		t.Errorf("the first product is %+v", first.edit)
	}
}

func plain(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// A product is the same in every catalogue, and every time.
func TestCatalogueIsDeterministic(t *testing.T) {
	const want = "Noroholt bedside table, glass, copper"
	name, _ := generate(1).edit.Values["name"].(map[string]any)
	if name["en-GB"] != want {
		t.Errorf("the first product is %q, want %q: the demo's documents and tests name it", name["en-GB"], want)
	}
	for n := 1; n <= 100; n++ {
		if !reflect.DeepEqual(generate(n), generate(n)) {
			t.Fatalf("product %d differs from itself", n)
		}
	}
}
