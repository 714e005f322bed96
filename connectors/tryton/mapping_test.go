package tryton_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/tryton"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/pim"
)

// The default mapping works on a catalogue of which nothing is known but a name,
// or not even that, and Tryton takes what it makes.
func TestDefaultMapping(t *testing.T) {
	program, err := connectors.Compile(tryton.Kind.Mapping)
	if err != nil {
		t.Fatal(err)
	}
	schema := &pim.Schema{Attributes: map[string]*pim.Attribute{
		"name": {Code: "name", Type: pim.TypeText, Localizable: true}, "ean": {Code: "ean", Type: pim.TypeText},
		"description": {Code: "description", Type: pim.TypeRichText, Localizable: true},
	}}
	fake, c := start(t, trytontest.Options{}, nil)
	for _, s := range []struct {
		subject *connectors.Subject
		want    string
	}{
		{
			&connectors.Subject{SKU: "A", Values: pim.Values{"name": map[string]any{"en-GB": "Kettle", "de-DE": "Kessel"}}},
			`{"description":"","language":"de-DE","name":"Kessel"}`,
		},
		{&connectors.Subject{SKU: "BARE"}, `{"description":"","language":"de-DE","name":"BARE"}`},
		{
			&connectors.Subject{SKU: "V", Parent: "A", Values: pim.Values{
				"name": map[string]any{"de-DE": "Kessel"}, "ean": "4006381333931", "description": map[string]any{"de-DE": "<p>heiß &amp; rot</p>"},
			}},
			`{"description":"heiß & rot","gtin":"4006381333931","language":"de-DE","name":"Kessel","parent":"A"}`,
		},
	} {
		got, err := program.Render(t.Context(), pim.Content, s.subject, schema, connectors.Scope{Channel: "erp", Locale: "de-DE", Currency: "EUR"})
		if err != nil || cmp.Diff(s.want, string(got)) != "" {
			t.Fatalf("%s: %v\n%s", s.subject.SKU, err, cmp.Diff(s.want, string(got)))
		}
		decoded, err := connectors.DecodeDocument(got)
		if err != nil {
			t.Fatal(err)
		}
		if issues := c.(connectors.Preflighter).Preflight(pim.Content, decoded); len(issues) > 0 {
			t.Errorf("%s: %+v", s.subject.SKU, issues)
		}
		pushed(t, c, content(s.subject.SKU, string(got)))
	}
	if p := product(t, fake, "V"); p.Name != "Kessel" || p.Description != "heiß & rot" || p.Template != product(t, fake, "A").Template {
		t.Errorf("%+v", p)
	}
}
