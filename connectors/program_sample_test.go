package connectors

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// now lies within the sample's sale.
var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func sampleSchema() *pim.Schema {
	s := &pim.Schema{Attributes: map[string]*pim.Attribute{}}
	for _, a := range []pim.Attribute{
		{Code: "name", Type: pim.TypeText, Localizable: true},
		{Code: "teaser", Type: pim.TypeText, Scopable: true},
		{Code: "claim", Type: pim.TypeText, Scopable: true, Localizable: true},
		{Code: "description", Type: pim.TypeRichText},
		{Code: "color", Type: pim.TypeOption},
		{Code: "tags", Type: pim.TypeOptions},
		{Code: "none", Type: pim.TypeOptions},
		{Code: "weight", Type: pim.TypeNumber, Unit: "kg"},
		{Code: "pieces", Type: pim.TypeNumber},
		{Code: "ratio", Type: pim.TypeNumber},
		{Code: "huge", Type: pim.TypeNumber},
		{Code: "huge2", Type: pim.TypeNumber},
		{Code: "endless", Type: pim.TypeNumber},
		{Code: "organic", Type: pim.TypeBoolean},
		{Code: "missing", Type: pim.TypeText},
		{Code: "picture", Type: pim.TypeMedia},
		{Code: "gallery", Type: pim.TypeMedia, Localizable: true},
		{Code: "spec", Type: pim.TypeTable},
	} {
		s.Attributes[a.Code] = &a
	}
	s.Families = map[string]*pim.Family{"kettles": {Code: "kettles", Variants: []pim.FamilyVariant{
		{Code: "other", Axes: []string{"name"}},
		{Code: "colours", Axes: []string{"ratio", "missing", "color"}},
		{Code: "two", Levels: []pim.VariantLevel{{Axes: []string{"color"}, Attributes: []string{"ratio"}}, {Axes: []string{"pieces"}}}},
	}}}
	return s
}

func sampleScope() Scope {
	return Scope{Channel: "shop", Locale: "en-GB", Currency: "EUR", PriceList: "retail", Locations: []string{"north", "south"}, Now: now}
}

func sample(t testing.TB) *Subject {
	t.Helper()
	values, err := decodeValues(`{
		"name": {"en-GB": "Blue kettle", "de-DE": "Blauer Kessel"},
		"teaser": {"shop": "For the shop", "market": "For the market"},
		"claim": {"shop": {"en-GB": "Boils", "de-DE": "Kocht"}, "market": {"en-GB": "Sells"}},
		"description": "<p>Steel &amp; glass</p><p>1.7&nbsp;l<br>2 <b>kW</b></p>",
		"color": "blue", "tags": ["new", "steel", "kitchen"], "none": [],
		"weight": {"amount": 1.50, "unit": "kg"}, "pieces": 3, "ratio": 1.10,
		"huge2": 1234567890123456.789, "huge": 123456789012345678901234567890.10, "endless": 1e999, "organic": true,
		"picture": "https://m.example/k.jpg", "gallery": {"en-GB": ["a.jpg", "b.jpg"], "de-DE": ["c.jpg"]},
		"spec": [{"part": "lid", "size": {"amount": 1.50, "unit": "cm"}}, {"part": "base", "count": 1.10}],
		"forgotten": "of an attribute that there is no more"
	}`)
	if err != nil {
		t.Fatal(err)
	}
	day := func(d int) *time.Time { at := now.AddDate(0, 0, d); return &at }
	price := func(list, currency, amount string, quantity int, from, to *time.Time) pim.Price {
		return pim.Price{PriceList: list, Currency: pim.Currency(currency), MinQuantity: quantity, Amount: decimal.MustParse(amount), ValidFrom: from, ValidTo: to}
	}
	return &Subject{
		SKU: "K-1", Parent: "K", Variant: "colours", Family: "kettles", Enabled: true, Categories: []string{"kitchen", "gifts"}, Values: values,
		Prices: []pim.Price{
			price("retail", "EUR", "29.90", 1, nil, nil),
			price("retail", "EUR", "24.90", 1, day(-1), day(1)),
			price("retail", "EUR", "19.90", 1, day(1), nil),
			price("retail", "EUR", "9.90", 1, day(-9), day(-8)),
			price("retail", "EUR", "22.00", 10, nil, nil),
			price("retail", "GBP", "25.00", 1, nil, nil),
			price("trade", "EUR", "15.00", 1, nil, nil),
		},
		Stock: []pim.Stock{
			{Location: "north", OnHand: 5, Reserved: 2}, {Location: "south", OnHand: 1, Reserved: 4}, {Location: "far", OnHand: 100},
		},
	}
}

func decodeValues(text string) (pim.Values, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var values pim.Values
	return values, d.Decode(&values)
}

// render compiles and renders one expression as the field x of a lane.
func render(t testing.TB, lane pim.Lane, expression string, s *Subject) (string, error) {
	t.Helper()
	p, err := Compile(oneField(lane, expression))
	if err != nil {
		return "", err
	}
	document, err := p.Render(t.Context(), lane, s, sampleSchema(), sampleScope())
	return string(document), err
}

func oneField(lane pim.Lane, expression string) Mapping {
	fields := map[string]string{"x": expression}
	switch lane {
	case pim.Offer:
		return Mapping{Offer: fields}
	case pim.Media:
		return Mapping{Media: fields}
	}
	return Mapping{Content: fields}
}
