package connectors

import (
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

func TestRecordsInMappings(t *testing.T) {
	schema := &pim.Schema{
		Attributes: map[string]*pim.Attribute{
			"brand":  {Code: "brand", Type: pim.TypeEntity, Entity: "brand"},
			"makers": {Code: "makers", Type: pim.TypeEntities, Entity: "brand", Localizable: true},
			"gone":   {Code: "gone", Type: pim.TypeEntity, Entity: "brand"},
			"name":   {Code: "name", Type: pim.TypeText},
		},
		Entities: map[string]*pim.ReferenceEntity{"brand": {Code: "brand", Attributes: []pim.Attribute{
			{Code: "country", Type: pim.TypeText}, {Code: "story", Type: pim.TypeText, Localizable: true}, {Code: "logo", Type: pim.TypeMedia},
		}}},
	}
	acme := &Record{Code: "acme", Labels: map[pim.Locale]string{"de-DE": "Akme", "en-GB": "Acme"}, Values: pim.Values{
		"country": "NL", "story": map[string]any{"de-DE": "Alt", "en-GB": "Old"}, "logo": "acme-logo", "dropped": "x",
	}}
	s := &Subject{
		SKU: "P", Values: pim.Values{"brand": "acme", "makers": map[string]any{"de-DE": []any{"umbra", "acme", "nobody"}, "en-GB": []any{"acme"}}, "gone": "nobody", "name": "n"},
		Records:  map[string]*Record{"brand/acme": acme, "brand/umbra": {Code: "umbra"}},
		Pictures: map[string]*Picture{"acme-logo": {URL: "https://media.example/logo.png"}},
	}
	p, err := Compile(Mapping{Content: map[string]string{
		"brand": "records.brand.label", "code": "values.brand", "story": "records.brand.values.story", "english": "records.brand.labels['en-GB']",
		"makers": "records.makers.map(m, m.label)", "gone": "records.gone.label", "none": "firstOf([records.nothing.label, 'none'])",
		"logo": "records.brand.values.logo", "dropped": "records.brand.values.dropped", "whole": "records.brand",
	}, Offer: map[string]string{"n": "'1'"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Records() != pim.LanesOf(pim.Content) || !p.Inputs(pim.Content).Has(pim.Content) || !p.Reads("makers", "de-DE") || p.Reads("name", "de-DE") {
		t.Errorf("reads: %v, %v", p.Records().List(), p.reads)
	}
	doc, err := p.Render(t.Context(), pim.Content, s, schema, Scope{Locale: "de-DE", Now: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"brand":"Akme","code":"acme","english":"Acme","logo":"https://media.example/logo.png","makers":["umbra","Akme"],"none":"none","story":"Alt",` +
		`"whole":{"code":"acme","label":"Akme","labels":{"de-DE":"Akme","en-GB":"Acme"},"values":{"country":"NL","logo":"https://media.example/logo.png","story":"Alt"}}}`
	if string(doc) != want {
		t.Errorf("%s\nwant %s", doc, want)
	}
	if _, err := Compile(Mapping{Content: map[string]string{"x": "records.makers.map(a, records.makers.map(b, records.makers.map(c, a.label + b.label + c.label)))"}}); err == nil {
		t.Error("loops over records in loops are taken to be cheap")
	}
}

// What a record that the product names names itself is seen, and no further.
func TestRecordsOfRecordsInMappings(t *testing.T) {
	schema := &pim.Schema{
		Attributes: map[string]*pim.Attribute{"brand": {Code: "brand", Type: pim.TypeEntity, Entity: "brand"}},
		Entities: map[string]*pim.ReferenceEntity{
			"brand": {Code: "brand", Attributes: []pim.Attribute{
				{Code: "maker", Type: pim.TypeEntity, Entity: "maker", Localizable: true}, {Code: "kin", Type: pim.TypeEntities, Entity: "brand"}, {Code: "gone", Type: pim.TypeEntity, Entity: "maker"},
			}},
			"maker": {Code: "maker", Attributes: []pim.Attribute{{Code: "logo", Type: pim.TypeMedia}, {Code: "of", Type: pim.TypeEntity, Entity: "maker"}}},
		},
	}
	s := &Subject{
		SKU: "P", Values: pim.Values{"brand": "acme"},
		Records: map[string]*Record{
			"brand/acme":  {Code: "acme", Values: pim.Values{"maker": map[string]any{"en-GB": "ajax"}, "kin": []any{"acme", "nobody", "umbra"}, "gone": "nobody"}},
			"brand/umbra": {Code: "umbra", Labels: map[pim.Locale]string{"en-GB": "Umbra"}},
			"maker/ajax":  {Code: "ajax", Labels: map[pim.Locale]string{"en-GB": "Ajax"}, Values: pim.Values{"logo": "ajax-logo", "of": "ajax"}},
		},
		Pictures: map[string]*Picture{"ajax-logo": {URL: "https://media.example/logo.png"}},
	}
	p, err := Compile(Mapping{Content: map[string]string{
		"maker": "records.brand.records.maker.label", "logo": "records.brand.records.maker.values.logo", "code": "records.brand.values.maker",
		"kin": "records.brand.records.kin.map(k, k.label)", "gone": "records.brand.records.gone.label", "of": "records.brand.records.maker.values.of",
		"further": "records.brand.records.maker.records.of.label", "alone": "records.brand.records.maker",
	}})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := p.Render(t.Context(), pim.Content, s, schema, Scope{Locale: "en-GB", Now: time.Unix(0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"alone":{"code":"ajax","label":"Ajax","labels":{"en-GB":"Ajax"},"values":{"logo":"https://media.example/logo.png","of":"ajax"}},` +
		`"code":"ajax","kin":["acme","Umbra"],"logo":"https://media.example/logo.png","maker":"Ajax","of":"ajax"}`
	if string(doc) != want {
		t.Errorf("%s\nwant %s", doc, want)
	}
}

func TestAssociationsInMappings(t *testing.T) {
	p, err := Compile(Mapping{Content: map[string]string{
		"up": "associations.UP", "none": "associations.NONE", "pack": "associations.PACK.map(p, p.sku + ' x ' + string(p.quantity))",
	}, Offer: map[string]string{"n": "size(associations)"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Associations() != pim.LanesOf(pim.Content, pim.Offer) || !p.Inputs(pim.Offer).Has(pim.Content) || p.Records() != 0 {
		t.Errorf("reads: %v, %v", p.Associations().List(), p.Inputs(pim.Offer).List())
	}
	s := &Subject{SKU: "P", Associations: pim.Associations{"UP": {{SKU: "B"}, {SKU: "A"}}, "PACK": {{SKU: "S", Quantity: 6}}}}
	doc, err := p.Render(t.Context(), pim.Content, s, &pim.Schema{}, Scope{Locale: "de-DE", Now: time.Unix(0, 0)})
	if want := `{"pack":["S x 6"],"up":["B","A"]}`; err != nil || string(doc) != want {
		t.Errorf("%s %v, want %s", doc, err, want)
	}
}
