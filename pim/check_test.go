package pim

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// testSchema has an attribute of each kind.
func testSchema() *Schema {
	s := &Schema{
		Attributes: map[string]*Attribute{}, Families: map[string]*Family{},
		Locales:    map[Locale]bool{"en-GB": true, "de-DE": true, "nl-NL": true},
		Currencies: map[Currency]bool{"EUR": true}, Channels: map[ChannelCode]bool{"shop": true, "erp": true},
		PriceLists: map[string]bool{"default": true}, Locations: map[string]bool{"main": true},
	}
	f := &Family{Code: "all", Variants: []FamilyVariant{{Code: "v", Axes: []string{"colour"}}}}
	for _, a := range []Attribute{
		{Code: "name", Type: TypeText, Localizable: true, MaxLength: 20},
		{Code: "title", Type: TypeText},
		{Code: "html", Type: TypeRichText},
		{Code: "text", Type: TypeRichText, Localizable: true},
		{Code: "tag", Type: TypeText, Scopable: true},
		{Code: "slogan", Type: TypeText, Scopable: true, Localizable: true},
		{Code: "count", Type: TypeNumber},
		{Code: "weight", Type: TypeNumber, Unit: "kg"},
		{Code: "fragile", Type: TypeBoolean},
		{Code: "since", Type: TypeDate},
		{Code: "colour", Type: TypeOption, Options: []Option{{Code: "red"}, {Code: "blue"}}},
		{Code: "sizes", Type: TypeOptions, Options: []Option{{Code: "s"}, {Code: "m"}, {Code: "l"}}},
		{Code: "images", Type: TypeMedia},
		{Code: "similar", Type: TypeReference},
		{Code: "ean", Type: TypeText, Check: CheckGTIN},
		{Code: "gtin", Type: TypeText, Check: CheckGTIN, Strict: true},
	} {
		s.Attributes[a.Code] = &a
		f.Attributes = append(f.Attributes, FamilyAttribute{Code: a.Code, Required: a.Code == "name" || a.Code == "slogan" || a.Code == "images"})
	}
	s.Attributes["other"] = &Attribute{Code: "other", Type: TypeText}
	s.Families["all"] = f
	return s
}

func TestCheckValuesProblems(t *testing.T) {
	s := testSchema()
	for _, c := range [][2]string{
		{`{"nope":1}`, "attribute.unknown /values/nope"},
		{`{"a/b":null}`, "attribute.unknown /values/a~1b"},
		{`{"other":"x"}`, "attribute.not_in_family /values/other"},
		{`{"name":"x"}`, "value.shape /values/name"},
		{`{"name":{"fr-FR":"x"}}`, "locale.unknown /values/name/fr-FR"},
		{`{"name":{"fr-FR":null}}`, "locale.unknown /values/name/fr-FR"},
		{`{"name":{"en-GB":1}}`, "value.type /values/name/en-GB"},
		{`{"name":{"en-GB":{"de-DE":"x"}}}`, "value.shape /values/name/en-GB"},
		{`{"name":{"en-GB":"123456789012345678901"}}`, "text.too_long /values/name/en-GB"},
		{`{"title":{"en-GB":"x"}}`, "value.shape /values/title"},
		{`{"title":{"shop":"x"}}`, "value.shape /values/title"},
		{`{"title":["x"]}`, "value.type /values/title"},
		{`{"title":"a\u0007"}`, "text.control /values/title"},
		{`{"title":"a\u007f"}`, "text.control /values/title"},
		{`{"title":"a\u0085"}`, "text.control /values/title"},
		{`{"html":"<p>&#1;</p>"}`, "text.control /values/html"},
		{`{"tag":"x"}`, "value.shape /values/tag"},
		{`{"tag":{"web":"x"}}`, "channel.unknown /values/tag/web"},
		{`{"slogan":{"shop":"x"}}`, "value.shape /values/slogan/shop"},
		{`{"slogan":{"en-GB":{"shop":"x"}}}`, "channel.unknown /values/slogan/en-GB"},
		{`{"slogan":{"shop":{"en-GB":"x","xx":"y"}}}`, "locale.unknown /values/slogan/shop/xx"},
		{`{"count":"1"}`, "value.type /values/count"},
		{`{"count":1e30}`, "value.number /values/count"},
		{`{"count":1e-31}`, "value.number /values/count"},
		{`{"count":{"amount":1,"unit":"kg"}}`, "value.shape /values/count"},
		{`{"weight":1}`, "value.type /values/weight"},
		{`{"weight":{"amount":1}}`, "value.type /values/weight/unit"},
		{`{"weight":{"unit":"kg"}}`, "value.type /values/weight/amount"},
		{`{"weight":{"amount":"1,5","unit":"kg"}}`, "value.number /values/weight/amount"},
		{`{"weight":{"amount":1,"unit":"m"}}`, "unit.family /values/weight/unit"},
		{`{"weight":{"amount":1,"unit":"stone"}}`, "unit.unknown /values/weight/unit"},
		{`{"weight":{"amount":1,"unit":"kg","x":1}}`, "value.field /values/weight/x"},
		{`{"fragile":"true"}`, "value.type /values/fragile"},
		{`{"since":"2026-02-29"}`, "value.date /values/since"},
		{`{"since":"0000-01-01"}`, "value.date /values/since"},
		{`{"since":"2026-1-1"}`, "value.date /values/since"},
		{`{"since":"2026-01-01T00:00:00Z"}`, "value.date /values/since"},
		{`{"colour":"green"}`, "option.unknown /values/colour"},
		{`{"colour":["red"]}`, "value.type /values/colour"},
		{`{"sizes":"s"}`, "value.type /values/sizes"},
		{`{"sizes":["s","m","s","xl",1]}`, "option.duplicate /values/sizes/2,option.unknown /values/sizes/3,value.type /values/sizes/4"},
		{`{"images":"ftp://a/b"}`, "media.url /values/images"},
		{`{"images":"//a/b"}`, "media.url /values/images"},
		{`{"images":"http://u:p@a/b"}`, "media.url /values/images"},
		{`{"images":"javascript:alert(1)"}`, "media.url /values/images"},
		{`{"images":["a.jpg","b c","http:///x","http://a/b c"]}`, "media.code /values/images/1,media.url /values/images/2,media.url /values/images/3"},
		{`{"images":"http://a/` + strings.Repeat("x", 2048) + `"}`, "media.too_long /values/images"},
		{`{"images":[` + strings.Repeat(`"a",`, 50) + `"a"]}`, "value.too_many /values/images"},
		{`{"similar":["A 1"," B"]}`, "sku.space /values/similar/1"},
		{`{"gtin":"4006381333932"}`, "gtin.check_digit /values/gtin"},
		{`{"gtin":"x","nope":1,"count":true}`, "value.type /values/count,gtin.digits /values/gtin,attribute.unknown /values/nope"},
	} {
		clean, _, err := s.CheckValues("all", mustValues(t, c[0]), "/values")
		if got := strings.Join(codes(t, err), ","); got != c[1] || clean != nil {
			t.Errorf("CheckValues(%.80s) = %s, %v; want %s", c[0], got, clean, c[1])
		}
	}
	if _, _, err := s.CheckValues("none", Values{"other": "x", "nope": 1}, "/items/0/values"); strings.Join(codes(t, err), ",") != "family.unknown /items/0/family,attribute.unknown /items/0/values/nope" {
		t.Errorf("unknown family: %v", err)
	}
	many := Values{}
	for i := range 5000 {
		many[fmt.Sprintf("x%04d", i)] = true
	}
	for range 3 {
		if _, _, err := s.CheckValues("all", many, ""); len(codes(t, err)) != maxProblems || codes(t, err)[99] != "attribute.unknown /x0099" {
			t.Fatalf("5000 problems: %d, the last %s", len(codes(t, err)), codes(t, err)[99])
		}
	}
	// Values need not come from DecodeValues.
	for code, v := range map[string]any{"title": "\xff", "count": 1.5, "images": []string{"a"}, "fragile": 1} {
		if _, _, err := s.CheckValues("all", Values{code: v}, ""); err == nil {
			t.Errorf("%s %#v was taken", code, v)
		}
	}
}

func TestCheckValuesCleans(t *testing.T) {
	s := testSchema()
	for _, c := range []struct{ in, want, warnings string }{
		{`{"title":null,"name":{"en-GB":null},"slogan":{"shop":{"en-GB":null},"erp":null},"tag":{}}`, `{}`, ""},
		{`{"name":{"en-GB":"x","de-DE":null}}`, `{"name":{"en-GB":"x"}}`, ""},
		{`{"slogan":{"shop":{"en-GB":"x","de-DE":null},"erp":{}}}`, `{"slogan":{"shop":{"en-GB":"x"}}}`, ""},
		{`{"title":"Cafe\u0301\t\n"}`, `{"title":"Café\t\n"}`, ""},
		{`{"title":""}`, `{"title":""}`, ""},
		{`{"weight":{"amount":"1.50","unit":"KGM"}}`, `{"weight":{"amount":1.50,"unit":"kg"}}`, ""},
		{`{"weight":{"amount":3,"unit":"lb"}}`, `{"weight":{"amount":3,"unit":"lb"}}`, ""},
		{`{"count":123456789012345678901234567890,"fragile":false,"since":"9999-12-31","colour":"red","sizes":["m","s"]}`, `{"colour":"red","count":123456789012345678901234567890,"fragile":false,"since":"9999-12-31","sizes":["m","s"]}`, ""},
		{`{"images":["https://a.example/b.jpg?x=1#y","front_1.jpg"],"similar":"A/1"}`, `{"images":["https://a.example/b.jpg?x=1#y","front_1.jpg"],"similar":"A/1"}`, ""},
		{`{"ean":"4006381333932","html":"<script>x</script>ok"}`, `{"ean":"4006381333932","html":"ok"}`, "gtin.check_digit /values/ean,text.markup_removed /values/html"},
		{`{"ean":"4006381333931"}`, `{"ean":"4006381333931"}`, ""},
	} {
		in := mustValues(t, c.in)
		before := text(t, in)
		clean, warnings, err := s.CheckValues("all", in, "/values")
		if err != nil {
			t.Errorf("CheckValues(%s): %v", c.in, err)
			continue
		}
		if got := text(t, clean); got != c.want || strings.Join(problemCodes(warnings), ",") != c.warnings {
			t.Errorf("CheckValues(%s) = %s, %v; want %s, %s", c.in, got, problemCodes(warnings), c.want, c.warnings)
		}
		if text(t, in) != before {
			t.Errorf("CheckValues changed %s to %s", before, text(t, in))
		}
	}
}

// A copied schema must not be read through the original's lookup tables.
func TestCheckValuesSeesACopiedSchema(t *testing.T) {
	s := testSchema()
	if _, _, err := s.CheckValues("all", Values{"colour": "red"}, ""); err != nil {
		t.Fatal(err)
	}
	next := &Schema{Attributes: map[string]*Attribute{"colour": {Code: "colour", Type: TypeText}}, Families: s.Families}
	next.cache.p.Store(s.cache.p.Load())
	if _, _, err := next.CheckValues("all", Values{"colour": "green"}, ""); err != nil {
		t.Errorf("the copy is checked as the original: %v", err)
	}
}

func TestCleanMarkup(t *testing.T) {
	for _, c := range []struct {
		in, want string
		changed  bool
	}{
		{`plain "text" isn't`, `plain "text" isn't`, false},
		{`<p>It's 5" &amp; more</p>`, `<p>It's 5" &amp; more</p>`, false},
		{`<p>5&quot; &#39;x&#39;&nbsp;y</p>`, "<p>5\" 'x'\u00a0y</p>", false},
		{`<P>x<BR></P>`, `<p>x<br></p>`, false},
		{`a < b`, `a &lt; b`, false},
		{`<a href="https://x.example/?a=1&amp;b=2" title="y">x</a>`, `<a href="https://x.example/?a=1&amp;b=2" title="y">x</a>`, false},
		{`<p onclick="x()">y</p>`, `<p>y</p>`, true},
		{`<p style="color:red">y</p>`, `<p>y</p>`, true},
		{`<style>p{}</style><p>y</p>`, `<p>y</p>`, true},
		{`<iframe src="https://x.example"></iframe>y`, `y`, true},
		{`<script>alert(1)</script>y<!-- z -->`, `y`, true},
		{`<a href="javascript:x()">y</a>`, `y`, true},
		{`<img src="data:image/png;base64,xx" onerror="x()">`, ``, true},
		{`<p</p>`, ``, true},
		{"<b>&#824;x</b>", "", true}, // U+003E U+0338 composes to U+226F: the bracket is gone, and with it the tag
	} {
		got, changed, ok := cleanMarkup(c.in)
		if !ok || changed != c.changed || got != c.want {
			t.Errorf("cleanMarkup(%s) = %s, %v, %v; want %s, %v", c.in, got, changed, ok, c.want, c.changed)
		}
	}
}

// What skips the sanitiser is what it would leave alone, and what is clean stays so.
func FuzzMarkup(f *testing.F) {
	for _, s := range []string{`<p>a &amp; "b"</p>`, `<br><b>x</i>`, `<a href="http://x">y</a>`, `a<b>c`, `&lt;p>`, `<p>>`, `</br>`, "<b>&#824;x</b>", `<textarea><p>`, `<title><b>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s, code, _ := cleanText(s, 10_000)
		if code != "" {
			return
		}
		if isPlainMarkup(s) {
			if got := plainQuotes(shopMarkup().Sanitize(s)); got != s {
				t.Fatalf("%q counts as plain, the sanitiser makes it %q", s, got)
			}
		}
		clean, _, ok := cleanMarkup(s)
		if !ok {
			return
		}
		if again, changed, ok := cleanMarkup(clean); again != clean || changed || !ok {
			t.Fatalf("%q cleans to %q, that to %q (%v, %v)", s, clean, again, changed, ok)
		}
		if low := strings.ToLower(clean); strings.Contains(low, "<script") || strings.Contains(low, "<style") || strings.Contains(low, "<iframe") {
			t.Fatalf("%q cleans to %q", s, clean)
		}
	})
}

func TestStripControls(t *testing.T) {
	for in, want := range map[string]string{
		"plain\t\r\n": "plain\t\r\n", "a\x00b\x07\x1f\x7f": "ab", "é\u0085\u009fü": "éü", "\xff\x01\x80": "\xff\x80", "\u00a0": "\u00a0", "": "",
	} {
		if got, changed := StripControls(in); got != want || changed != (in != want) {
			t.Errorf("StripControls(%q) = %q, %v", in, got, changed)
		}
	}
}

func checkIdempotent(t interface{ Fatalf(string, ...any) }, s *Schema, v Values) {
	write := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	before := write(v)
	clean, _, err := s.CheckValues("all", v, "/values")
	if write(v) != before {
		t.Fatalf("CheckValues changed %s to %s", before, write(v))
	}
	if err != nil {
		return
	}
	again, _, err := s.CheckValues("all", clean, "/values")
	if err != nil || !reflect.DeepEqual(clean, again) {
		t.Fatalf("%s cleans to %s, that to %s, %v", before, write(clean), write(again), err)
	}
	if back, err := DecodeValues([]byte(write(clean))); err != nil {
		t.Fatalf("clean values %s cannot be read back: %v", write(clean), err)
	} else if changed, _ := Diff(back, clean, s); len(changed) > 0 {
		t.Fatalf("clean values change on their way to the store: %s", write(changed))
	}
}

func TestCheckValuesIsIdempotent(t *testing.T) {
	s := testSchema()
	str := rapid.OneOf(
		rapid.SampledFrom([]string{"", "x", "<b>y</b>", "<p onclick=x>z", "4006381333931", "red", "s", "m", "2026-11-27", "http://a.example/b", "Cafe\u0301", "&#824;", "kg", "KGM", "1.50", "a.jpg"}),
		rapid.StringOfN(rapid.RuneFrom([]rune("<>&;#\"'/apbr 8\u0301\u0338\r\n")), 0, 12, -1))
	num := rapid.Map(rapid.SampledFrom([]string{"0", "-1.50", "1e3", "12345678901234567890"}), func(s string) any { return json.Number(s) })
	leaf := rapid.OneOf(rapid.Map(str, func(s string) any { return s }), num, rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Just[any](nil),
		rapid.Map(rapid.SliceOfN(str, 0, 3), func(l []string) any {
			out := make([]any, len(l))
			for i, s := range l {
				out[i] = s
			}
			return out
		}),
		rapid.Custom(func(t *rapid.T) any {
			return map[string]any{"amount": rapid.OneOf(num, rapid.Just[any]("2.50")).Draw(t, "amount"), "unit": rapid.SampledFrom([]string{"kg", "KGM", "lb"}).Draw(t, "unit")}
		}))
	locales := rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"en-GB", "de-DE"}), leaf, 0, 2), func(m map[string]any) any { return m })
	channels := rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"shop", "erp"}), rapid.OneOf(leaf, locales), 0, 2), func(m map[string]any) any { return m })
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		v := Values{}
		for code := range s.Attributes {
			if code == "other" || rapid.IntRange(0, 3).Draw(t, "skip "+code) > 0 {
				continue
			}
			one := Values{code: rapid.OneOf(leaf, locales, channels).Draw(t, code)}
			if _, _, err := s.CheckValues("all", one, ""); err == nil {
				v[code] = one[code]
				passed++
			}
		}
		checkIdempotent(t, s, v)
	})
	if passed < 20 {
		t.Errorf("only %d values passed the check: the property was hardly tried", passed)
	}
}

func FuzzCheckValues(f *testing.F) {
	s := testSchema()
	for _, v := range []string{
		`{"name":{"en-GB":"Mug"},"html":"<p>It's <b>5\"</b></p>","weight":{"amount":"1.5","unit":"KGM"},"images":["a.jpg","http://x/y"],"sizes":["s"]}`,
		`{"slogan":{"shop":{"en-GB":"x","de-DE":null}},"text":{"nl-NL":"<script>x</script>&#824;"},"since":"2026-11-27","similar":["A"]}`,
		`{"html":"<b>\u0338","count":1e-7,"fragile":true,"colour":"red","ean":"4006381333931","title":"Cafe\u0301"}`,
	} {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := DecodeValues(raw)
		if err != nil {
			return
		}
		checkIdempotent(t, s, v)
	})
}

const benchValues = `{
 "name":{"en-GB":"Stoneware mug 350 ml","de-DE":"Becher, 350 ml","nl-NL":"Steengoed mok"},
 "text":{"en-GB":"<p>A mug of glazed stoneware that keeps its heat. Turned by hand, fired at 1,240 degrees, and fit for oven, microwave &amp; dishwasher.</p><ul><li>350 ml</li><li>food safe</li></ul>",
 "de-DE":"<p>Ein Becher aus glasiertem Steingut, der die Wärme hält. Von Hand gedreht, bei 1.240 Grad gebrannt, für Ofen, Mikrowelle und Spülmaschine.</p><ul><li>350 ml</li><li>lebensmittelecht</li></ul>",
 "nl-NL":"<p>Een mok van geglazuurd steengoed die warm blijft. Met de hand gedraaid, bij 1.240 graden gebakken, geschikt voor oven, magnetron en vaatwasser.</p><p>Elke mok is een beetje anders van kleur en vorm, want geen hand draait twee keer hetzelfde. Kleine putjes in het glazuur horen erbij en zijn geen fout; de voet is ongeglazuurd en kan op een gladde tafel krassen, dus leg er een onderzetter onder.</p>"},
 "title":"MUG-350","slogan":{"shop":{"en-GB":"Holds more than coffee","de-DE":"Hält mehr als Kaffee"}},"tag":{"shop":"kitchen","erp":"K-12"},
 "count":6,"weight":{"amount":0.385,"unit":"kg"},"fragile":true,"since":"2026-03-01","colour":"red","sizes":["s","m"],
 "images":["https://images.example.com/mug-350/front.jpg","https://images.example.com/mug-350/side.jpg","https://images.example.com/mug-350/detail.jpg"],
 "similar":["MUG-250","MUG-500"],"ean":"4006381333931"}`

func BenchmarkCheckValues(b *testing.B) {
	s, v := testSchema(), mustValues(b, benchValues)
	b.ReportAllocs()
	for b.Loop() {
		if _, w, err := s.CheckValues("all", v, "/values"); err != nil || len(w) > 0 {
			b.Fatal(err, w)
		}
	}
}
