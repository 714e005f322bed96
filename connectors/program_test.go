package connectors

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/pim"
)

func TestExpressions(t *testing.T) {
	const left = "" // the field is left out, so there is no document
	for expression, want := range map[string]string{
		// Variables.
		`sku`: `"K-1"`, `parent`: `"K"`, `family`: `"kettles"`, `enabled`: `true`, `locale`: `"en-GB"`, `channel`: `"shop"`, `currency`: `"EUR"`,
		`categories`: `["kitchen","gifts"]`, `null`: left, `''`: `""`, `[]`: `[]`, `{}`: `{}`,
		// Values in the channel's scope, as stored, and what is not there.
		`values.name`: `"Blue kettle"`, `values['teaser']`: `"For the shop"`, `values.claim`: `"Boils"`, `raw.claim.market['en-GB']`: `"Sells"`,
		`values.missing`: left, `values.nonsense`: left, `values.forgotten`: left, `raw.forgotten`: left, `values.name.deeper`: left, `values.missing + '!'`: left,
		`has(values.missing) ? 1 : 2`: `2`, `'name' in values`: `true`, `{'a': values.missing}`: left, `raw.name.fr`: left,
		`values.picture`: left, `raw.picture`: left, `value('picture', locale)`: `"https://m.example/k.jpg"`,
		// Other locales and channels.
		`text('name', 'de-DE')`: `"Blauer Kessel"`, `text('name', 'nl-NL')`: left, `text('color', locale)`: `"blue"`, `text('picture', locale)`: left,
		`value('claim', 'en-GB', 'market')`: `"Sells"`, `value('claim', 'de-DE')`: `"Kocht"`, `value('tags', '')`: `["new","steel","kitchen"]`,
		// Choosing.
		`firstOf([values.missing, text('name', 'nl-NL'), '', [], values.color, 'x'])`: `"blue"`, `firstOf([])`: left, `firstOf(media)`: `"a.jpg"`,
		`firstOf(values.tags)`: `"new"`, `firstOf(values.none)`: left,
		`mapValue(values.color, {'red': 'ROT', 'blue': 'BLAU'})`: `"BLAU"`, `mapValue(values.color, {'red': 'ROT'})`: left, `mapValue(values.color, {'red': 'ROT'}, 'ANDERE')`: `"ANDERE"`,
		`mapValue(values.missing, {'red': 'ROT'}, 'KEINE')`: `"KEINE"`, `mapValue(values.pieces, {3: 'three'})`: `"three"`, `mapValue(null, {'a': 1}, 2)`: `2`,
		// Texts.
		`stripTags(values.description)`: `"Steel & glass 1.7 l 2 kW"`, `values.description.stripTags().upper()`: `"STEEL & GLASS 1.7 L 2 KW"`,
		`truncate(values.name, 7)`: `"Blue"`, `values.name.truncate(4)`: `"Blue"`, `'Straße'.truncate(5)`: `"Straß"`, `truncate('abc', 0)`: `""`, `truncate('e\u0301e\u0301', 3)`: "\"e\u0301\"",
		`slug('Größe: 10% Œuvre – ça & là ')`: `"grosse-10-oeuvre-ca-la"`, `slug('Чайник №5')`: `"чаиник-5"`, `lower('ÄÖ')`: `"äö"`,
		`values.tags.join(', ')`: `"new, steel, kitchen"`, `'a-b'.split('-')`: `["a","b"]`, `' x '.trim()`: `"x"`, `values.name.replace('Blue', 'Red')`: `"Red kettle"`,
		`'%s has %d'.format([sku, 3])`: `"K-1 has 3"`, `values.name.matches('^Blue')`: `true`,
		// Numbers: untouched ones keep their digits, also inside of what is made of them.
		`values.ratio`: `1.10`, `values.huge`: `123456789012345678901234567890.10`, `values.endless`: `1e999`, `values.weight`: `{"amount":1.50,"unit":"kg"}`, `values.weight.amount`: `1.50`,
		`values.organic ? values.ratio : values.pieces`: `1.10`, `[values.ratio, {'a': values.huge}]`: `[1.10,{"a":123456789012345678901234567890.10}]`, `firstOf([values.ratio])`: `1.10`,
		`value('ratio', locale)`: `1.10`, `mapValue('a', {'a': values.ratio})`: `1.10`, `(values)['ratio']`: `1.10`, `enabled && values.organic ? {'r': values.ratio} : {}`: `{"r":1.10}`,
		`values.pieces + 1`: `4`, `values.ratio * 2.0`: `2.2`, `values.ratio == 1.1`: `true`, `double(values.pieces) / 2.0`: `1.5`, `[values.ratio].exists(r, r == 1.1)`: `true`,
		`values.huge > 1.0`: `true`, `1e21`: `1e+21`, `100.0`: `100`, `-0.0`: `-0`, `9007199254740993`: `9007199254740993`, `18446744073709551615u`: `18446744073709551615`,
		// Tables are lists of maps.
		`values.spec`: `[{"part":"lid","size":{"amount":1.50,"unit":"cm"}},{"count":1.10,"part":"base"}]`, `values.spec.map(r, r.part)`: `["lid","base"]`,
		`values.spec.filter(r, has(r.size)).map(r, unit(r.size, 'MMT'))`: `["15"]`, `values.spec[1].count`: `1.10`, `values.spec[1].size`: left, `size(values.spec)`: `2`,
		// Amounts.
		`unit(values.weight, 'g')`: `"1500"`, `number(unit(values.weight, 'g'))`: `1500`, `unit({'amount': '2', 'unit': 'cm'}, 'mm')`: `"20"`, `unit(values.missing, 'g')`: left, `unit({'unit': 'kg'}, 'g')`: left, `unit(values.weight, 'GRM')`: `"1500"`, `unitCode(values.weight)`: `"KGM"`, `unitCode('cm')`: `"CMT"`, `unitCode('psi')`: left, `unitCode({})`: left,
		`add('0.10', values.ratio)`: `"1.20"`, `add(values.huge2, 0)`: `"1234567890123456.789"`, `round(enabled ? values.huge2 : 0, 3)`: `"1234567890123456.789"`, `sub('1', '0.30')`: `"0.70"`, `mul(price.amount, '1.19')`: `"29.6310"`, `round(mul(price.amount, '1.19'), 2)`: `"29.63"`,
		`round('2', 2)`: `"2.00"`, `round('0.125', 2)`: `"0.13"`, `round('-0.125', 2)`: `"-0.13"`, `round(2.5, 0)`: `"3"`, `number('19.90')`: `19.90`, `number(price.amount) * 2.0`: `49.8`,
		// Prices and stock.
		`price`: `{"amount":"24.90","currency":"EUR","min_quantity":1,"valid_from":"2026-11-26T12:00:00Z","valid_to":"2026-11-28T12:00:00Z"}`, `price.amount`: `"24.90"`, `price == null`: `false`, `stock`: `{"available":3,"on_hand":6,"reserved":6}`,
		`prices.map(p, p.currency + ' ' + p.amount)`: `["EUR 24.90","EUR 29.90","EUR 22.00","GBP 25.00"]`, `stock.available > 0 ? 'in stock' : 'sold out'`: `"in stock"`, `stock.nonsense`: left,
		`firstOf(prices.filter(p, !has(p.valid_to)).map(p, p.amount))`: `"29.90"`, `has(price.valid_to)`: `true`, `prices[1].valid_from`: left,
		// A variant's axes.
		`axes`: `{"color":"blue","ratio":1.10}`, `axes.color`: `"blue"`, `axes.name`: left, `firstOf([axes])`: `{"color":"blue","ratio":1.10}`,
		// Media in the order of the attributes' codes.
		`media`: `["a.jpg","b.jpg","https://m.example/k.jpg"]`,
		// Documents are canonical, whatever made them.
		`{'b': 1, 'a': [true, null, 'ä"\\\n\u0001\u2028<&>']}`: `{"a":[true,null,"ä\"\\\n\u0001\u2028<&>"],"b":1}`, `{2: 'b', 10: 'a', true: 'c'}`: `{"10":"a","2":"b","true":"c"}`,
		`{'b': 1, 'a': 2, 'c': 3}.map(k, k)`: `["a","b","c"]`, `raw.name.map(k, k)`: `["de-DE","en-GB"]`, `b'\x00\xff'`: `"AP8="`,
		`timestamp('2026-11-27T12:00:00+02:00')`: `"2026-11-27T10:00:00Z"`, `duration('90s')`: `"90s"`,
	} {
		got, err := render(t, pim.Content, expression, sample(t))
		if want != left {
			want = `{"x":` + want + `}`
		}
		if err != nil || got != want {
			t.Errorf("%s\n got %s, %v\nwant %s", expression, got, err, want)
		}
	}
}

func TestDefaultMapping(t *testing.T) {
	p, err := Compile(DefaultMapping())
	if err != nil {
		t.Fatal(err)
	}
	full, bare := sample(t), &Subject{SKU: "B", Family: "kettles"}
	elsewhere := &Subject{SKU: "E", Stock: []pim.Stock{{Location: "far", OnHand: 9}}}
	for _, c := range []struct {
		subject *Subject
		lane    pim.Lane
		want    string
	}{
		{full, pim.Content, `{"categories":["kitchen","gifts"],"family":"kettles","parent":"K","sku":"K-1","values":{"claim":"Boils","color":"blue",` +
			`"description":"<p>Steel &amp; glass</p><p>1.7&nbsp;l<br>2 <b>kW</b></p>","endless":1e999,"huge":123456789012345678901234567890.10,` +
			`"huge2":1234567890123456.789,"name":"Blue kettle","none":[],"organic":true,"pieces":3,"ratio":1.10,"spec":[{"part":"lid","size":{"amount":1.50,"unit":"cm"}},{"count":1.10,"part":"base"}],"tags":["new","steel","kitchen"],"teaser":"For the shop","weight":{"amount":1.50,"unit":"kg"}}}`},
		{full, pim.Offer, `{"currency":"EUR","price":"24.90","stock":3}`},
		{full, pim.Media, `{"media":["a.jpg","b.jpg","https://m.example/k.jpg"]}`},
		{bare, pim.Content, `{"categories":[],"family":"kettles","sku":"B","values":{}}`},
		{bare, pim.Offer, ""},
		{bare, pim.Media, ""},
		{elsewhere, pim.Offer, `{"stock":0}`},
	} {
		got, err := p.Render(t.Context(), c.lane, c.subject, sampleSchema(), sampleScope())
		if err != nil || string(got) != c.want || (c.want == "") != (got == nil) {
			t.Errorf("%s %s: %v\n%s", c.subject.SKU, c.lane, err, cmp.Diff(c.want, string(got)))
		}
	}
	if p.Lanes() != pim.LanesOf(pim.AllLanes...) {
		t.Errorf("lanes: %v", p.Lanes())
	}
}

func TestInputs(t *testing.T) {
	for expression, want := range map[string]pim.Lanes{
		`values.name`: pim.LanesOf(pim.Content), `'x'`: pim.LanesOf(pim.Content), `price.amount`: pim.LanesOf(pim.Content, pim.Offer),
		`firstOf(media)`: pim.LanesOf(pim.Content, pim.Media), `[1].map(i, stock)`: pim.LanesOf(pim.Content, pim.Offer),
		`value('a', 'b')`: pim.LanesOf(pim.Content, pim.Media), `text('a', 'b')`: pim.LanesOf(pim.Content),
	} {
		p, err := Compile(oneField(pim.Content, expression))
		if err != nil || p.Inputs(pim.Content) != want {
			t.Errorf("%s: got %v, want %v (%v)", expression, p.Inputs(pim.Content).List(), want.List(), err)
		}
	}
	two := &Subject{SKU: "P", Parent: "R", SubModel: "S", Variant: "two", Family: "kettles", Values: pim.Values{"color": "blue", "pieces": json.Number("3"), "ratio": json.Number("1")}}
	if got, err := render(t, pim.Content, `{'axes': axes, 'parent': parent}`, two); got != `{"x":{"axes":{"color":"blue","pieces":3},"parent":"R"}}` || err != nil {
		t.Errorf("axes of two levels: %s, %v", got, err)
	}
	if got, err := render(t, pim.Content, `firstOf([axes])`, &Subject{SKU: "P", Family: "kettles", Values: pim.Values{"color": "blue"}}); got != "" || err != nil {
		t.Errorf("axes of a product that is no variant: %s, %v", got, err)
	}
	p, err := Compile(oneField(pim.Media, `values.picture`))
	if want := pim.LanesOf(pim.Content, pim.Media); err != nil || p.Inputs(pim.Media) != want {
		t.Errorf("values on the media lane: %v", p.Inputs(pim.Media))
	}
	if got, err := render(t, pim.Media, `[values.picture, raw.gallery]`, sample(t)); err != nil || got != `{"x":["https://m.example/k.jpg",{"de-DE":["c.jpg"],"en-GB":["a.jpg","b.jpg"]}]}` {
		t.Errorf("media in values: %s, %v", got, err)
	}
}

// Many goroutines share programs and a subject; the race detector watches.
func TestConcurrentRender(t *testing.T) {
	p, err := Compile(tenFields)
	if err != nil {
		t.Fatal(err)
	}
	s, schema := sample(t), sampleSchema()
	want, err := p.Render(t.Context(), pim.Content, s, schema, sampleScope())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if got, err := p.Render(t.Context(), pim.Content, s, schema, sampleScope()); err != nil || string(got) != string(want) {
					t.Errorf("got %s, %v", got, err)
					return
				}
				if _, err := Compile(oneField(pim.Content, "sku + '!'")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// tenFields is a shop's usual mapping.
var tenFields = Mapping{Content: map[string]string{
	"sku":         "sku",
	"title":       "firstOf([values.name, text('name', 'en-GB'), sku])",
	"slug":        "slug(values.name + '-' + sku)",
	"description": "values.description",
	"color":       "mapValue(values.color, {'red': 'ROT', 'blue': 'BLAU'}, 'OTHER')",
	"weight":      "number(unit(values.weight, 'g'))",
	"tags":        "values.tags.join(',')",
	"parent":      "parent != '' ? dyn(parent) : null",
	"categories":  "categories.map(c, upper(c))",
	"organic":     "has(values.organic) && values.organic",
}}

func benchmark(b *testing.B, m Mapping, lane pim.Lane) {
	p, err := Compile(m)
	if err != nil {
		b.Fatal(err)
	}
	s, schema, scope := sample(b), sampleSchema(), sampleScope()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Render(b.Context(), lane, s, schema, scope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	b.Run("default content", func(b *testing.B) { benchmark(b, DefaultMapping(), pim.Content) })
	b.Run("default offer", func(b *testing.B) { benchmark(b, DefaultMapping(), pim.Offer) })
	b.Run("default media", func(b *testing.B) { benchmark(b, DefaultMapping(), pim.Media) })
	b.Run("ten fields", func(b *testing.B) { benchmark(b, tenFields, pim.Content) })
}

// The manual's mappings compile, and the default one is what it says.
func TestManual(t *testing.T) {
	manual, err := os.ReadFile("../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(manual), "```json\n")[1:]
	for i, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		var m Mapping
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatalf("mapping %d: %v", i, err)
		}
		if _, err := Compile(m); err != nil {
			t.Errorf("mapping %d: %v", i, err)
		}
		if i == len(blocks)-1 {
			if diff := cmp.Diff(DefaultMapping(), m); diff != "" {
				t.Errorf("the default mapping: %s", diff)
			}
		}
	}
	for _, v := range mappingVariables {
		if !strings.Contains(string(manual), "`"+v.name+"`") {
			t.Errorf("the manual does not tell of %s", v.name)
		}
	}
}
