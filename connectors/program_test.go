package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestRenderErrors(t *testing.T) {
	for expression, want := range map[string]string{
		`1 / (values.pieces - 3)`:            "mapping.error: division by zero",
		`double(values.endless)`:             "mapping.error: the result is not a finite number",
		`0.0 / 0.0`:                          "mapping.error: the result is not a finite number",
		`[1.0 / 0.0]`:                        "mapping.error: the result is not a finite number",
		`values.tags[7]`:                     "mapping.error: index out of bounds",
		`values.tags.color`:                  "mapping.error: unsupported index type",
		`values.name + 1`:                    "mapping.error: no such overload",
		`stripTags(values.pieces)`:           "mapping.error: no such overload",
		`text('pieces', locale)`:             "mapping.error: pieces is no text",
		`unit(values.weight, 'm')`:           "mapping.error: convert kg to m",
		`unit('1 kg', 'g')`:                  "mapping.error: a measurement has",
		`add('1', 'two')`:                    "mapping.error: an amount is a number",
		`mul('9999999999', '9999999999999')`: "mapping.error: ",
		`round('1', 30)`:                     "mapping.error: round takes",
		`{1: 'a', '1': 'b'}`:                 "mapping.error: a map has the key",
		`dyn({1.5: 'a'})`:                    "mapping.error: ",
		`dyn(type(sku))`:                     "mapping.error: a type is nothing that JSON can hold",
	} {
		got, err := render(t, pim.Content, expression, sample(t))
		var failed *Error
		if !errors.As(err, &failed) || failed.Verdict != Validation || len(failed.Issues) != 1 {
			t.Errorf("%s: got %s, %v; want one issue", expression, got, err)
			continue
		}
		i := failed.Issues[0]
		if text := i.Code + ": " + i.Text; !strings.HasPrefix(text, want) || i.Attribute != "x" || i.Severity != pim.SeverityError {
			t.Errorf("%s: got %s of %s, want %s", expression, text, i.Attribute, want)
		}
	}
}

// A bad field does not hide another one, and the good ones do not go out alone.
func TestRenderReportsEveryField(t *testing.T) {
	p, err := Compile(Mapping{Content: map[string]string{"a": "1 / (values.pieces - 3)", "b": "sku", "c": "values.tags[9]"}})
	if err != nil {
		t.Fatal(err)
	}
	document, err := p.Render(t.Context(), pim.Content, sample(t), sampleSchema(), sampleScope())
	if failed := AsError(err); document != nil || len(failed.Issues) != 2 || failed.Issues[0].Attribute != "a" || failed.Issues[1].Attribute != "c" {
		t.Errorf("got %s, %v", document, err)
	}
}

func TestCompileProblems(t *testing.T) {
	long := strings.Repeat("x", MaxFieldName+1)
	many := map[string]string{}
	for i := range MaxFields + 1 {
		many[fmt.Sprint(i)] = "sku"
	}
	for name, c := range map[string]struct {
		fields map[string]string
		want   string // pointer code, sorted
	}{
		"good":        {map[string]string{"a": "sku"}, ""},
		"syntax":      {map[string]string{"a": "sku +", "b": "", "c": "'\xff'"}, "/content/a mapping.syntax,/content/b mapping.syntax,/content/c mapping.syntax"},
		"unknown":     {map[string]string{"a": "nonsense", "b": "explode(sku)", "c": "sku.explode()"}, "/content/a mapping.unknown,/content/b mapping.unknown,/content/c mapping.unknown"},
		"type":        {map[string]string{"a": "sku + 1", "b": "size(3)", "c": "type(sku)", "d": "[string]", "e": "google.protobuf.Struct{}"}, "/content/a mapping.type,/content/b mapping.type,/content/c mapping.type,/content/d mapping.type,/content/e mapping.type"},
		"fields":      {map[string]string{"": "sku", long: "sku", "a\n": "sku", "a/b~": "nonsense"}, "/content/ mapping.field,/content/a\n mapping.field,/content/a~1b~0 mapping.unknown,/content/" + long + " mapping.field"},
		"size":        {map[string]string{"a": "'" + strings.Repeat("x", MaxExpression) + "'"}, "/content/a mapping.size"},
		"many fields": {many, "/content mapping.size"},
		"mixed":       {map[string]string{"a": "sku", "b": "1 +", "c": "nonsense"}, "/content/b mapping.syntax,/content/c mapping.unknown"},
	} {
		_, err := Compile(Mapping{Content: c.fields})
		if got := problems(err); got != c.want {
			t.Errorf("%s: got %s, want %s (%v)", name, got, c.want, err)
		}
	}
	whole := map[string]string{}
	for i := range 100 {
		whole[fmt.Sprint(i)] = "'" + strings.Repeat("x", MaxExpression-2) + "'"
	}
	if _, err := Compile(Mapping{Content: whole}); problems(err) != " mapping.size" {
		t.Errorf("a mapping that is too large: %v", err)
	}
}

func problems(err error) string {
	var invalid *pim.Invalid
	if !errors.As(err, &invalid) {
		return ""
	}
	found := map[string]bool{}
	for _, p := range invalid.Problems {
		found[p.Pointer+" "+p.Code] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ",")
}

// hostile expressions must be refused, or stopped, in little time and memory.
var hostile = []string{
	`[1,2,3,4,5,6,7,8,9,0]` + nest(8, `[1,2,3,4,5,6,7,8,9,0]`),
	`sku == 'other' ? [1,2,3,4,5,6,7,8,9,0]` + nest(8, `[1,2,3,4,5,6,7,8,9,0]`) + ` : dyn(false)`,
	`firstOf([sku, string(size(categories` + nest(6, `categories`) + `))])`,
	`mapValue(sku, {'a': size(categories` + nest(6, `categories`) + `)}, 1)`, `mapValue('a', {'a': 1}, size(categories` + nest(6, `categories`) + `))`,
	`sku == 'a' && size(categories` + nest(6, `categories`) + `) > 1`, `sku == 'a' ? size(categories` + nest(6, `categories`) + `) : 1`,
	`[1].map(i, sku == 'a' ? size(categories` + nest(6, `categories`) + `) : 1)`,
	`categories` + nest(6, `categories`),
	`['x']` + strings.Repeat(`.map(s, s + s)`, 60),
	`[[1]]` + strings.Repeat(`.map(l, [l, l, l, l])`, 60),
	`[[1]]` + strings.Repeat(`.map(l, [l, l, l, l])`, 40) + ` == [[1]]` + strings.Repeat(`.map(l, [l, l, l, l])`, 40),
	`[[1]]` + strings.Repeat(`.map(l, {'a': l, 'b': l})`, 60),
	`[values.t.replace('', values.t)].map(s, s.replace('', s))`,
	`values.t.split('').map(s, values.t).join(values.t)`,
	`values.t` + strings.Repeat(`.replace('', 'xxxxxxxxxx')`, 10),
	`values.t.split('').map(s, values.t.split('').map(r, r + s))`,
	`values.t.split('').exists(c, values.t.matches('(l|o|r|e|m| ){1,60}$'))`,
	`'%s'.format([values.t])` + strings.Repeat(`.split('').map(s, s + s).join('')`, 12),
}

func nest(depth int, list string) string {
	return strings.Repeat(`.map(x, `+list, depth) + strings.Repeat(`)`, depth)
}

func TestHostileExpressionsAreRefused(t *testing.T) {
	for _, expression := range hostile {
		began := time.Now()
		_, err := Compile(oneField(pim.Content, expression))
		if got := problems(err); got != "/content/x mapping.cost" {
			t.Errorf("%.80s: got %s %v", expression, got, err)
		}
		if d := time.Since(began); d > patience { // not by how fast this machine is today
			t.Errorf("%.80s: took %s", expression, d)
		}
	}
	for _, expression := range []string{
		strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000), strings.Repeat("[", 4000), strings.Repeat("-(", 1000) + "1",
		strings.Repeat("!(", 1000) + "true", "sku" + strings.Repeat(".a", 2000), strings.Repeat("true?1:", 580) + "1", strings.Repeat("{1:", 1300),
	} {
		if _, err := Compile(oneField(pim.Content, expression)); err == nil {
			t.Errorf("%.40s…: no error", expression)
		}
	}
	long := "''" + strings.Repeat(" + sku", 100)
	if got, err := render(t, pim.Content, long, sample(t)); err != nil || len(got) != 100*3+len(`{"x":""}`) {
		t.Errorf("a long sum: %.40s, %v", got, err)
	}
}

// A product larger than the invented one is stopped when it is rendered.
func TestRenderStopsAtItsLimits(t *testing.T) {
	s := sample(t)
	for range 3000 {
		s.Categories = append(s.Categories, "c")
	}
	for _, expression := range []string{`categories.map(a, categories.filter(b, a < b)).size()`, `categories.exists(a, categories.exists(b, a == 'z'))`} {
		_, err := render(t, pim.Content, expression, s)
		if failed := AsError(err); failed.Verdict != Validation || len(failed.Issues) != 1 || failed.Issues[0].Code != "mapping.cost" {
			t.Errorf("%s: %v", expression, err)
		}
	}
	s.Values["name"] = map[string]any{"en-GB": strings.Repeat("a", MaxDocument)}
	if _, err := render(t, pim.Content, "[values.name, 1]", s); AsError(err).Issues[0].Code != "mapping.cost" {
		t.Errorf("a document that is too large: %v", err)
	}
}

func TestRenderObeysItsContext(t *testing.T) {
	p, err := Compile(oneField(pim.Content, `categories.map(c, c + c)`))
	if err != nil {
		t.Fatal(err)
	}
	reason := errors.New("the drain ends")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	_, err = p.Render(ctx, pim.Content, sample(t), sampleSchema(), sampleScope())
	var failed *Error
	if !errors.Is(err, reason) || errors.As(err, &failed) {
		t.Errorf("got %v", err)
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
