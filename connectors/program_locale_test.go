package connectors

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// What a product has not in a locale is shown of the first along its fallbacks
// that has it, and of no other.
func TestRenderFallsBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		expression string
		locale     pim.Locale
		want       string
	}{
		{`values.name`, "en-US", `{"x":"Blue kettle"}`},
		{`values.name`, "en-CA", `{"x":"Blue kettle"}`}, // by en-US
		{`values.name`, "de-AT", `{"x":"Blauer Kessel"}`},
		{`values.name`, "nl-NL", ``},
		{`values.claim`, "de-AT", `{"x":"Kocht"}`},
		{`value('claim', 'en-CA', 'market')`, "de-DE", `{"x":"Sells"}`},
		{`text('name', 'en-US')`, "de-AT", `{"x":"Blue kettle"}`},
		{`has(values.name) ? locale : 'none'`, "de-AT", `{"x":"de-AT"}`},
		{`'de-AT' in raw.name`, "de-AT", `{"x":false}`},
	} {
		p, err := Compile(oneField(pim.Content, c.expression))
		if err != nil {
			t.Fatal(err)
		}
		schema, scope := sampleSchema(), sampleScope()
		schema.Fallbacks = map[pim.Locale]pim.Locale{"en-CA": "en-US", "en-US": "en-GB", "de-AT": "de-DE"}
		scope.Locale = c.locale
		s := sample(t)
		name, _ := s.Values["name"].(map[string]any)
		name["en-US"] = " " // blank is none
		doc, err := p.Render(t.Context(), pim.Content, s, schema, scope)
		if string(doc) != c.want || err != nil {
			t.Errorf("%s in %s: %s, %v", c.expression, c.locale, doc, err)
		}
	}
}

// Records fall back as products do.
func TestRecordsFallBack(t *testing.T) {
	t.Parallel()
	p, err := Compile(oneField(pim.Content, `[records.maker.label, records.maker.values.story, records.maker.values.plain]`))
	if err != nil {
		t.Fatal(err)
	}
	schema, scope, s := sampleSchema(), sampleScope(), sample(t)
	schema.Fallbacks = map[pim.Locale]pim.Locale{"de-AT": "de-DE"}
	schema.Attributes["maker"] = &pim.Attribute{Code: "maker", Type: pim.TypeEntity, Entity: "brand"}
	schema.Entities = map[string]*pim.ReferenceEntity{"brand": {Code: "brand", Attributes: []pim.Attribute{
		{Code: "story", Type: pim.TypeText, Localizable: true}, {Code: "plain", Type: pim.TypeText},
	}}}
	scope.Locale = "de-AT"
	s.Values["maker"] = "acme"
	s.Records = map[string]*Record{pim.RecordRef("brand", "acme"): {
		Code: "acme", Labels: map[pim.Locale]string{"de-DE": "Acme DE"}, Values: pim.Values{"story": map[string]any{"de-DE": "Es war einmal"}, "plain": "p"},
	}}
	doc, err := p.Render(t.Context(), pim.Content, s, schema, scope)
	if want := `{"x":["Acme DE","Es war einmal","p"]}`; string(doc) != want || err != nil {
		t.Errorf("%s, %v", doc, err)
	}
}
