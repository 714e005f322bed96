package connectors

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// pictures are what media shows, each with what is said of it; a text of the
// product can stand in where nothing is.
func TestPictures(t *testing.T) {
	schema := &pim.Schema{Attributes: map[string]*pim.Attribute{
		"photos": {Code: "photos", Type: pim.TypeMedia}, "alt": {Code: "alt", Type: pim.TypeText, Localizable: true}, "sheet": {Code: "sheet", Type: pim.TypeMedia},
	}}
	subject := &Subject{SKU: "A", Values: pim.Values{"photos": []any{"front", "https://x.example/side.jpg"}, "sheet": "data", "alt": map[string]any{"en-GB": "A kettle"}}, Pictures: map[string]*Picture{
		"front": {URL: "https://x.example/front.jpg", Alt: "The kettle from the front"},
		"data":  {URL: "https://x.example/data.pdf", Document: true, Alt: "Data sheet"},
	}}
	for _, c := range []struct {
		expression, want string
		subject          *Subject
	}{
		{"pictures", `{"f":[{"alt":"The kettle from the front","src":"https://x.example/front.jpg"},{"alt":"","src":"https://x.example/side.jpg"}]}`, subject},
		{"pictures.map(p, {'src': p.src, 'alt': firstOf([p.alt, values.alt, ''])})", `{"f":[{"alt":"The kettle from the front","src":"https://x.example/front.jpg"},{"alt":"A kettle","src":"https://x.example/side.jpg"}]}`, subject},
		{"firstOf([pictures])", ``, &Subject{SKU: "B"}},
	} {
		p, err := Compile(Mapping{Media: map[string]string{"f": c.expression}})
		if err != nil {
			t.Fatal(c.expression, err)
		}
		got, err := p.Render(t.Context(), pim.Media, c.subject, schema, Scope{Channel: "shop", Locale: "en-GB"})
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s %v", c.expression, got, err)
		}
		if !p.Inputs(pim.Media).Has(pim.Media) || p.Inputs(pim.Content).Has(pim.Media) {
			t.Errorf("%s: %v", c.expression, p.Inputs(pim.Media))
		}
	}
}
