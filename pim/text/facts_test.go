package text

import (
	"math"
	"testing"

	"github.com/govalues/decimal"
)

func TestFacts(t *testing.T) {
	f := Facts{
		Texts: []string{"Bosch Professional Akku GSR-18V, passend für Makita", "Schutzart IP67", `Gewinde 3/4"`, "10 x 20 x 30 cm", "Baujahr 2024", "230 V / 50 Hz", "art-1"},
		Amounts: []Quantity{
			{decimal.MustParse("1500"), "g"},
			{decimal.MustParse("24"), "mo"},
			{decimal.MustParse("5"), ""},
			{decimal.MustParse("-20"), "°C"},
		},
		Brands: []string{"Bosch Professional"}, Known: NewProtect([]string{"Bosch", "Makita", "Hilti", "Metabo GmbH"}),
		FactsLocale: "de-DE",
	}
	for _, c := range []struct{ locale, in, want string }{
		{"de", "Der Akku wiegt 1,5 kg, 1500 g oder 1.500 Gramm, 1.500g.", ""},
		{"en", "It weighs 1.5 kg, 1,500 g, and comes with 5 pieces, a 2-year or 24 months warranty.", ""},
		{"de", "Er wiegt 1.5 kg.", ""},
		{"en", "It weighs 1.500 g.", "fact.number"},
		{"de", "Er wiegt 1,6 kg.", "fact.number"},
		{"de", "Er wiegt 1500 kg.", "fact.unit"},
		{"de", "Er wiegt 5 kg und hat 5 Teile und 6 Fächer.", "fact.unit fact.number"},
		{"de", "Maße 10 × 20 × 30 cm, 0,1 m breit, 300 mm tief.", ""},
		{"de", "Maße 10 × 20 × 31 cm.", "fact.number"},
		{"de", `Mit 3/4" Gewinde, 0,75 Zoll, 230V, 50 Hz, von −20 °C an.`, ""},
		{"de", "Ab 20 °C.", "fact.unit"},
		{"de", "Modell GSR-18V nach IP67, Baujahr 2024.", ""},
		{"de", "Modell GSR-18X nach IP68, Baujahr 2025, mp7.", "fact.code fact.code fact.number fact.number"},
		{"de", "Bosch Professional, passt zu Makita.", ""},
		{"de", "Von Bosch, besser als Hilti, HILTI und hilti, auch Metabo.", "fact.brand"},
		{"de", "Zwei Akkus, zehn Jahre.", ""},
		{"zh", "重1.5公斤，保修24个月，共7件。", "fact.number"},
		{"de", "24 Monate, 2 Jahre, 9 Jahre.", "fact.number"},
	} {
		f.Locale = c.locale
		if got := codes(f.Check(c.in, false)); got != c.want {
			t.Errorf("Check(%q) = %q, want %q: %v", c.in, got, c.want, f.Check(c.in, false))
		}
	}
	if got := codes(f.Check(`<p class="x9">1,5&nbsp;kg</p><img width="640"><!-- 7 --><script>8</script><b>5</b>`, true)); got != "" {
		t.Errorf("markup has facts: %s", got)
	}
}

// In the product's own text all is a fact.
// What leads elsewhere, and what is no plain text, is none of the product's.
func TestFactsOfAddressesAndMarkup(t *testing.T) {
	f := Facts{Texts: []string{"Kettle by Acme", "See www.acme.example for {{parts}}, a <b> and all"}}
	for said, want := range map[string]string{
		"A kettle, see www.acme.example.":     "",
		"A kettle, see https://evil.example!": CodeFactAddress,
		"Write to sales@evil.example":         CodeFactAddress,
		"A <i>fine</i> kettle":                CodeMarkupLeft,
		"A <b>fine kettle":                    "",
		"A **fine** kettle":                   CodeMarkupLeft,
		"A kettle for {{parts":                "",
		"A kettle of ${brand}":                CodeMarkupLeft,
		"Smaller < larger":                    "",
	} {
		if got := codes(f.Check(said, false)); got != want {
			t.Errorf("%s: %s, want %s", said, got, want)
		}
	}
	if got := codes(f.Check("<p>A <i>fine</i> kettle</p>", true)); got != "" {
		t.Error(got)
	}
}

func TestFactsOfTheTextItself(t *testing.T) {
	for _, s := range []string{"5 x 7 cm, € 5–10, 1/2 l, 1.2.3, GU10, mp3, ½ h, 1 1/2\", -5 °C, 3-teilig, ٣, 1 000 g, +49 89 1234", "5厘米, 2 in 1, 50/60 Hz, 24/7, 5:30, 1e5"} {
		if faults := (Facts{Texts: []string{s}}).Check(s, false); len(faults) > 0 {
			t.Errorf("%q: %v", s, faults)
		}
	}
}

func TestAdapt(t *testing.T) {
	for _, c := range []struct{ source, target, from, to, next, want string }{
		{"Pack of 6", "6er-Set", "en", "de", "Pack of 6", "6er-Set"},
		{"For 6 persons", "Für 6 Personen", "en", "de", "For 8 persons", "Für 8 Personen"},
		{"Version 1.2.3", "Version 1.2.3", "en", "de", "Version 1.2.4", ""},
		{"Version 1.2.3 for 6", "Version 1.2.3 für 6", "en", "de", "Version 1.2.3 for 8", "Version 1.2.3 für 8"},
		{"For 6 persons", "Für 6 Personen", "en", "de", "For 1 persons", ""},
		{"For 6 persons", "Für 6 Personen", "en", "de", "For 6 people", ""},
		{"For 2 parts", "2 части", "en", "ru", "For 3 parts", "3 части"},
		{"For 2 parts", "2 части", "en", "ru", "For 5 parts", ""},
		{"Pack of 6", "6er-Set", "en", "de", "Pack of 8", ""},
		{"The 6th of", "Der 6. von", "en", "de", "The 7th of", ""},
		{"From 2 to 5, <x id=\"1\"/>", "<x id=\"1\"/> von 2 bis 5", "en", "de", "From 5 to 20, <x id=\"1\"/>", "<x id=\"1\"/> von 5 bis 20"},
		{"From 5 to 5", "Von 5 bis 5", "en", "de", "From 5 to 6", ""},
		{"Factor 1.5 or 2.75", "Faktor 1,5 oder 2,75", "en", "de", "Factor 3.5 or 9.25", "Faktor 3,5 oder 9,25"},
		{"Factor 1.5", "Faktor 1,5", "en", "de", "Factor 12", ""},
		{"Factor 12", "Faktor 12", "en", "de", "Factor 1.5", ""},
		{"Since 1990", "Seit langem", "en", "de", "Since 1991", ""},
		{"Year 1990.", "Jahr 1990.", "en", "de", "Year 1991.", "Jahr 1991."},
		{"1500 parts", "1.500 Teile", "en", "de", "1600 parts", ""},
		{"a &#49; <x id=\"2\"/>", "b <x id=\"2\"/>", "en", "de", "a &#49; <x id=\"3\"/>", ""},
		{"For 6 persons", "Für 6 Personen", "en", "?", "For 8 persons", ""},
	} {
		got, ok := Remembered{c.source, c.target, c.from, c.to}.Adapt(c.next)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("Adapt(%q → %q; %q) = %q, %v; want %q", c.source, c.target, c.next, got, ok, c.want)
		}
	}
}

// The figures are PostgreSQL 15's.
func TestSimilarity(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want float64
	}{
		{"word", "two words", 0.36363637},
		{"cat", "cat", 1},
		{"Cat", "cat ", 1},
		{"", "", 0},
		{"abc", "xyz", 0},
		{"Der Akku hält 5 h", "Der Akku hält 7 h", 0.7894737},
	} {
		if got := Similarity(c.a, c.b); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("Similarity(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
