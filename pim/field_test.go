package pim

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestFieldChanges(t *testing.T) {
	t.Parallel()
	s := &Schema{Attributes: map[string]*Attribute{
		"name":  {Code: "name", Type: TypeText, Localizable: true},
		"title": {Code: "title", Type: TypeText, Localizable: true, Scopable: true},
		"count": {Code: "count", Type: TypeNumber},
		"mass":  {Code: "mass", Type: TypeNumber, Unit: "kg"},
	}}
	state := func(text string) State {
		v, err := DecodeValues([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return State{Family: "f", Enabled: true, Categories: []string{}, Values: v}
	}
	a := state(`{"name":{"de-DE":"A","en-GB":"B"},"title":{"shop":{"de-DE":"x"}},"count":1.0,"mass":{"amount":1,"unit":"kg"},"gone":"g"}`)
	b := state(`{"name":{"de-DE":"A","en-GB":"C"},"title":{"shop":{"de-DE":"x","en-GB":"y"},"other":{"en-GB":"z"}},"count":1,"mass":{"amount":2,"unit":"kg"}}`)
	b.Enabled, b.Family, b.FamilyVariant, b.Categories = false, "g", "v", []string{"c"}
	got, err := json.Marshal(s.FieldChanges(a, b))
	want := `[{"field":"categories","old":[],"new":["c"]},{"field":"enabled","old":true,"new":false},{"field":"family","old":"f","new":"g"},` +
		`{"field":"family_variant","old":null,"new":"v"},{"field":"values.gone","old":"g","new":null},` +
		`{"field":"values.mass","old":{"amount":1,"unit":"kg"},"new":{"amount":2,"unit":"kg"}},{"field":"values.name.en-GB","old":"B","new":"C"},` +
		`{"field":"values.title.other.en-GB","old":null,"new":"z"},{"field":"values.title.shop.en-GB","old":null,"new":"y"}]`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\n%s", err, got, want)
	}
	if same := s.FieldChanges(a, a); same == nil || len(same) != 0 {
		t.Errorf("the same state differs in %+v", same)
	}
	patch := state(`{"name":{"de-DE":"N"},"title":{"shop":{"en-GB":"y"},"other":null},"count":null,"mass":{"amount":3},"none":{}}`).Values
	patch["name"].(map[string]any)["en-GB"] = nil
	if got := s.PatchFields(patch); !slices.Equal(got, []string{"values.count", "values.mass", "values.name.de-DE", "values.name.en-GB", "values.none", "values.title.other", "values.title.shop.en-GB"}) {
		t.Errorf("%v", got)
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"values.name", "values.name.de-DE", true},
		{"values.name.de-DE", "values.name", true},
		{"values.name", "values.name", true},
		{"values.name", "values.names", false},
		{"values.name.de-DE", "values.name.en-GB", false},
		{"family", "family_variant", false},
	} {
		if got := SameField(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}
