package text

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/pim"
)

// fragments cuts a text and gives its segments' fragments, and what each
// placeholder stands for, in their order.
func fragments(t *testing.T, source string, html bool, terms ...string) (list, spans []string) {
	t.Helper()
	d, err := Cut(source, html, NewProtect(terms))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Segments {
		list = append(list, s.Source)
		for _, span := range s.Spans {
			spans = append(spans, span.Open)
		}
	}
	return list, spans
}

func TestCutPlain(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{" \n\t 5 cm \n{name} %s\n4006381333931 😀\n2 x 3", nil},
		{"  Der Akku hält lange.  \n\n\tNeu!\r\n", []string{"Der Akku hält lange.", "Neu!"}},
		{
			"Der Akku hält ca. 10 Std. und lädt z. B. am Auto. Neu: Mit 2 Fächern, inkl. Deckel, max. 5 Stück. Ab dem 3. Tag gut.",
			[]string{"Der Akku hält ca. 10 Std. und lädt z. B. am Auto.", "Neu: Mit 2 Fächern, inkl. Deckel, max. 5 Stück.", "Ab dem 3. Tag gut."},
		},
		{
			"It is approx. 5 wide, e.g. for Mr. Smith. U.S. Patent. Really? Yes! 5 years. (So it is.) \"Good.\" They say... Or not.",
			[]string{"It is approx. 5 wide, e.g. for Mr. Smith.", "U.S. Patent.", "Really?", "Yes!", "5 years.", "(So it is.)", "\"Good.\"", "They say... Or not."},
		},
		{"De tas weegt ca. 2 kilo, o.a. door het leer. Hij is waterdicht.", []string{"De tas weegt ca. 2 kilo, o.a. door het leer.", "Hij is waterdicht."}},
		{"Idéal pour l’été ! Lavable à 30 degrés, p. ex. en machine. Éclairage inclus.", []string{"Idéal pour l’été !", "Lavable à 30 degrés, p. ex. en machine.", "Éclairage inclus."}},
		{"¡Nuevo! ¿Qué incluye? La caja y aprox. 3 bolsas.", []string{"¡Nuevo!", "¿Qué incluye?", "La caja y aprox. 3 bolsas."}},
		{"这款背包防水耐用。适合旅行！共有3个口袋。", []string{"这款背包防水耐用。", "适合旅行！", "共有3个口袋。"}},
		{"حقيبة مقاومة للماء. خفيفة جدا؟ نعم، وهي سوداء.", []string{"حقيبة مقاومة للماء.", "خفيفة جدا؟", "نعم، وهي سوداء."}},
		{"• Aus Leder\n- Mit Gurt\n3) Mit Fach\n✓ leicht", []string{"Aus Leder", "Mit Gurt", "Mit Fach", "leicht"}},
		{"Farbe:\trot\u2028Form: rund", []string{"Farbe:", "rot", "Form: rund"}},
		{"a < b & c > d", []string{"a &lt; b &amp; c &gt; d"}},
		{"Siehe www.a.example. Mehr hier", []string{`Siehe <x id="1"/>. Mehr hier`}},
	} {
		got, _ := fragments(t, c.in, false)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("Cut(%q) (-want +got):\n%s", c.in, d)
		}
	}
}

func TestCutMarkup(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"<p>One. Two</p><ul><li> Three </li>\n<li><b>Four</b></li></ul>", []string{"One.", "Two", "Three", "Four"}},
		{"<p><b>Achtung.</b> Das ist <i>heiß. Sehr</i> sogar. <em>Ja!</em></p>", []string{"Achtung.", `Das ist <g id="1">heiß. Sehr</g> sogar.`, "Ja!"}},
		{"<p>Eine <a href=\"/x?a=1&amp;b=2\">Seite <b>hier</b></a> und<br>eine da</p>", []string{`Eine <g id="1">Seite <g id="2">hier</g></g> und`, "eine da"}},
		{"a <b>c<br>d</b> e<img src=x> f", []string{`a <g id="1">c<x id="2"/>d</g> e<x id="3"/> f`}},
		{"<p>Viel\n   Platz</p>", []string{"Viel Platz"}},
		{"<pre>eins\n  zwei   drei</pre>", []string{"eins", "zwei   drei"}},
		{"a <b><i>x</b>y</i> z", []string{`a <g id="1"><x id="2"/>x</g>y<x id="3"/> z`}},
		{"<b>a<p>c</b>", []string{"a", "c"}},
		{"a <span class=\"icon\"></span> b", []string{`a <x id="1"/> b`}},
		{
			"Drücke <kbd>Strg</kbd> und <span translate=\"no\">Go <b>on</b></span>! <div class=\"x notranslate\"><p>Nie</p></div><script>var a = '<p>x</p>'</script>Ende",
			[]string{`Drücke <x id="1"/> und <x id="2"/>!`, "Ende"},
		},
		{"&eacute;t&eacute; &lt;b&gt; &amp;amp; &copy2", []string{"été &lt;b&gt; &amp;amp; ©2"}},
		{"Vorn <!-- innen --> hinten <!-- aus", []string{`Vorn <x id="1"/> hinten`}},
		{"Fläche 5 m<sup>2</sup> <a", []string{`Fläche 5 m<g id="1">2</g>`}},
	} {
		got, _ := fragments(t, c.in, true)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("Cut(%q) (-want +got):\n%s", c.in, d)
		}
	}
}

// In each text all that is protected stands in a list, parted by '|'.
func TestProtects(t *testing.T) {
	terms := []string{"Bosch", "Bosch Professional", "3M", ".NET", "戈尔", "Müller", "C++"}
	for in, want := range map[string]string{
		"hat 5 cm, 1,5 l, 230 V / 50 Hz, 10-12 mm und 3/4\" da":              `5 cm|1,5 l|230 V / 50 Hz|10-12 mm|3/4"`,
		"in 4K, 60 W, 100 %, 20 °C, −5 °C, ±0,5 mm und 1 500 g":              "4K|60 W|100 %|20 °C|−5 °C|±0,5 mm|1 500 g",
		"misst 10 x 20 x 30 cm oder 1.000,5 × 2 mm (2x4)":                    "10 x 20 x 30 cm|1.000,5 × 2 mm|2x4",
		"für € 19,99 oder 5 USD oder $3":                                     "€ 19,99|5 USD|$3",
		"ist 6' 2\" lang und \"Typ 5\" heißt er":                             `6'|2"`,
		"重500克, 长5cm宽3cm":                                                    "5cm|3cm",
		"hat 5 Stück, 3 Jahre, 2 in 1, 5 pc, 3-teilig, 100er, 100%ige":       "",
		"am 24.12.2026 um 10:30 Uhr, Version 1.2.3, Seite 7/8":               "",
		"2,5 kg - 3 Stück":                                                   "2,5 kg",
		"Modell WH-1000XM4, IP67, GU10, A4-Papier, art-00123":                "WH-1000XM4|IP67|GU10|art-00123",
		"EAN 4006381333931, ISBN 978-3-16-148410-0, 1st, 2ND, Windows11":     "4006381333931|978-3-16-148410-0",
		"Hallo {name}, {{ order.id }} %s %1$d %(n)s ${x} #{y} [[z]] %tag%":   "{name}|{{ order.id }}|%s|%1$d|%(n)s|${x}|#{y}|[[z]]|%tag%",
		"noch {n, plural, one {# Teil} other {# Teile}} da":                  "{n, plural, one {# Teil} other {# Teile}}",
		"100 % sicher, {siehe oben}, [1], $ und 5 %s":                        "100 %|%s",
		"auf https://a.example/b?c=d. Oder (www.b.example) per x@y.example!": "https://a.example/b?c=d|www.b.example|x@y.example",
		"mit Gore-Tex®, Velcro™ und 戈尔®面料":                                   "Gore-Tex®|Velcro™|戈尔®",
		"Bosch Professional und BOSCH, Boschs, bosch, Bosch-Akku":            "Bosch Professional|BOSCH|Bosch",
		"ein 3M-Band in .NET und C++, MÜLLER und Müllerei, 戈尔面料":             "3M|.NET|C++|MÜLLER|戈尔",
		"so 😀 gut 👍🏽 in 🇩🇪 als 👩‍🔧 hier":                                     "😀|👍🏽|🇩🇪|👩‍🔧",
		"a\x01b": "\x01",
	} {
		_, got := fragments(t, "vorn "+in+" hinten", false, terms...)
		if strings.Join(got, "|") != want {
			t.Errorf("%q protects\n  %q, want\n  %q", in, strings.Join(got, "|"), want)
		}
	}
}

func TestKeysServeOtherProducts(t *testing.T) {
	cut := func(source string, html bool, p Protect) Segment {
		d, err := Cut(source, html, p)
		if err != nil || len(d.Segments) != 1 {
			t.Fatalf("%q: %v, %v", source, d.Segments, err)
		}
		return d.Segments[0]
	}
	house := NewProtect([]string{"Bosch"})
	a := cut("Bosch Akku, Breite 5 cm", false, house)
	for _, b := range []Segment{
		cut("  Makita Akku, Breite 7,5 cm\n", false, house.With("Makita")),
		cut("<p><b>Bosch\n Akku, Breite 5&nbsp;cm</b><br></p>", true, house),
	} {
		if a.Key != b.Key {
			t.Errorf("%q and %q have keys of their own", a.Source, b.Source)
		}
	}
	for _, b := range []Segment{cut("Makita Akku, Breite 5 cm", false, house), cut("Akku Bosch, Breite 5 cm", false, house)} {
		if a.Key == b.Key {
			t.Errorf("%q and %q have one key", a.Source, b.Source)
		}
	}
}

func TestAssemble(t *testing.T) {
	d, err := Cut("<ul>\n<li>Der <b>neue</b> Akku &amp; mehr, 5 cm.  Gut!</li></ul>", true, Protect{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.Assemble([]string{`More &lt;b&gt; &amp; the <G id='1'>new</G> battery, <x id='2'></x>.`, "Good!"})
	if want := "<ul>\n<li>More &lt;b&gt; &amp; the <b>new</b> battery, 5 cm.  Good!</li></ul>"; err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	for _, bad := range [][]string{nil, {"a"}, {"no placeholder", "Good!"}, {`<g id="1">new</g> <x id="2"/><b>x</b>`, "Good!"}} {
		if got, err := d.Assemble(bad); err == nil {
			t.Errorf("Assemble(%q) = %q", bad, got)
		}
	}
	plain, err := Cut("Der {name} & mehr", false, Protect{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := plain.Assemble([]string{`More &amp; &lt;more&gt; <x id="1"/>`}); err != nil || got != "More & <more> {name}" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCutRefuses(t *testing.T) {
	if _, err := Cut(strings.Repeat("ü", MaxLength), false, Protect{}); err != nil {
		t.Error(err)
	}
	if _, err := Cut(strings.Repeat("ü", MaxLength+1), true, Protect{}); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if _, err := Cut("a\xff", false, Protect{}); !errors.Is(err, ErrNotUTF8) {
		t.Error(err)
	}
}

func TestSegmentForms(t *testing.T) {
	d, err := Cut("Der <b>Akku</b> \"hat\" 5 cm &lt;/&gt;", true, Protect{})
	if err != nil {
		t.Fatal(err)
	}
	s := d.Segments[0]
	if want := `Der <g id="1">Akku</g> "hat" <x id="2"></x> &lt;/&gt;`; s.HTML() != want {
		t.Errorf("HTML() = %q, want %q", s.HTML(), want)
	}
	if got, ok := s.Visible(`A <g id="1">battery</g> of <x id="2"/>`); !ok || got != "A battery of 5 cm" {
		t.Errorf("Visible = %q, %v", got, ok)
	}
	if got, ok := s.Visible("A battery"); ok {
		t.Errorf("Visible = %q of a translation without its placeholders", got)
	}
}

// Each unit of pim's table is hidden, but for those that are words, or the
// abbreviation of words, and those that have an underscore, which nobody writes.
func TestUnitsAreThoseOfTheTable(t *testing.T) {
	words := tagSet("st in um us mi ha s cal acre d wk mo yr kn B F deg arcmin arcsec turn pc pair dozen gross")
	seen := 0
	for family := range strings.FieldsSeq("mass length area volume temperature time term frequency rotation speed flow power energy voltage current charge resistance capacitance pressure force torque angle storage data_rate luminous_flux luminous_intensity luminance illuminance sound_level pixels pixel_density density grammage count ratio") {
		units := pim.UnitsOf(family)
		if len(units) == 0 {
			t.Errorf("no family %s", family)
		}
		for _, unit := range units {
			seen++
			_, got := fragments(t, "misst 7,5 "+unit+" ganz", false)
			if hidden := len(got) == 1 && got[0] == "7,5 "+unit; hidden == (words[unit] || strings.Contains(unit, "_")) {
				t.Errorf("%s: hidden is %v", unit, hidden)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d units", seen)
	}
}
