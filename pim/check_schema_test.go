package pim

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"
)

func TestValidSKU(t *testing.T) {
	for _, s := range []string{"A", "MUG 350/ml", "ß-é", "4006381333931", strings.Repeat("é", 128)} {
		if err := ValidSKU(s); err != nil {
			t.Errorf("ValidSKU(%q): %v", s, err)
		}
	}
	for _, s := range []string{"", " A", "A ", "A\tB", "A\x7f", "A\u00a0", "A\u200b", "A\xff", "e\u0301", ".", "..", strings.Repeat("é", 129)} {
		if ValidSKU(s) == nil {
			t.Errorf("ValidSKU(%q) takes it", s)
		}
	}
}

func TestValidCodes(t *testing.T) {
	for kind, c := range map[string]struct{ good, bad []string }{
		"attribute": {[]string{"a", "Brand_2", "0-x", strings.Repeat("a", 100)}, []string{"", "_a", "-a", "a b", "a.b", "é", "a/b", strings.Repeat("a", 101)}},
		"channel":   {[]string{"shop-de", "a_1"}, []string{"Shop", ""}},
	} {
		for _, s := range c.good {
			if err := ValidCode(kind, s); err != nil {
				t.Errorf("ValidCode(%s, %q): %v", kind, s, err)
			}
		}
		for _, s := range c.bad {
			if err := ValidCode(kind, s); err == nil || !strings.Contains(err.Error(), kind) {
				t.Errorf("ValidCode(%s, %q) = %v", kind, s, err)
			}
		}
	}
	for l, ok := range map[Locale]bool{"en-GB": true, "de": true, "zh-Hant-TW": true, "sr-Latn": true, "en_GB": false, "EN-gb": false, "": false, "und": false, "english": false, "en-": false} {
		if err := ValidLocale(l); (err == nil) != ok {
			t.Errorf("ValidLocale(%q) = %v", l, err)
		}
	}
	for c, ok := range map[Currency]bool{"EUR": true, "JPY": true, "eur": false, "EURO": false, "ZZZ": false, "": false} {
		if err := ValidCurrency(c); (err == nil) != ok {
			t.Errorf("ValidCurrency(%q) = %v", c, err)
		}
	}
}

func TestCheckAttribute(t *testing.T) {
	s := testSchema()
	for _, a := range s.Attributes {
		if ps := s.CheckAttribute(a, ""); len(ps) > 0 {
			t.Errorf("CheckAttribute(%s): %v", a.Code, ps)
		}
	}
	for _, c := range []struct {
		a    Attribute
		want string
	}{
		{Attribute{Code: "a b", Type: "colour"}, "attribute.code /x/code,attribute.type /x/type"},
		{Attribute{Code: "a", Type: TypeText, Options: []Option{{Code: "x"}}}, "attribute.options /x/options"},
		{Attribute{Code: "a", Type: TypeOption, Options: []Option{{Code: "x"}, {Code: ""}, {Code: "x"}}}, "option.code /x/options/1/code,option.duplicate /x/options/2/code"},
		{Attribute{Code: "a", Type: TypeText, Unit: "kg"}, "attribute.unit /x/unit"},
		{Attribute{Code: "a", Type: TypeNumber, Unit: "stone", MaxLength: 3}, "unit.unknown /x/unit,attribute.max_length /x/max_length"},
		{Attribute{Code: "a", Type: TypeText, MaxLength: -1, Strict: true}, "attribute.max_length /x/max_length,attribute.strict /x/strict"},
		{Attribute{Code: "a", Type: TypeNumber, Check: CheckGTIN}, "attribute.check /x/check"},
		{Attribute{Code: "a", Type: TypeText, Check: "isbn"}, "attribute.check /x/check"},
		{Attribute{Code: "a", Type: TypeText, Labels: map[Locale]string{"en_GB": "A", "de-DE": "\x07", "nl-NL": ""}}, "text.control /x/labels/de-DE,locale.tag /x/labels/en_GB,label.empty /x/labels/nl-NL"},
		{Attribute{Code: "a", Type: TypeText, Group: strings.Repeat("x", 256)}, "attribute_group.unknown /x/group"},
	} {
		if got := strings.Join(problemCodes(s.CheckAttribute(&c.a, "/x")), ","); got != c.want {
			t.Errorf("CheckAttribute(%+v) = %s, want %s", c.a, got, c.want)
		}
	}
}

func TestCheckFamily(t *testing.T) {
	s := testSchema()
	if ps := s.CheckFamily(s.Families["all"], ""); len(ps) > 0 {
		t.Errorf("CheckFamily(all): %v", ps)
	}
	of := func(codes ...string) (out []FamilyAttribute) {
		for _, c := range codes {
			out = append(out, FamilyAttribute{Code: c})
		}
		return out
	}
	for _, c := range []struct {
		f    Family
		want string
	}{
		{Family{Code: ""}, "family.code /f/code"},
		{Family{Code: "x", Attributes: of("title", "nope", "title")}, "attribute.unknown /f/attributes/1/code,attribute.duplicate /f/attributes/2/code"},
		{Family{Code: "x", Attributes: of("colour", "count", "fragile", "title"), Variants: []FamilyVariant{{Code: "v", Axes: []string{"colour", "count", "fragile", "title"}}}}, ""},
		{Family{Code: "x", Attributes: of("name", "tag", "images", "sizes", "colour"), Variants: []FamilyVariant{{Code: "v", Axes: []string{"name", "tag", "images", "sizes", "title"}}, {Code: "v"}, {Code: "w", Axes: []string{"colour", "colour"}}}}, "axis.scope /f/variants/0/axes/0,axis.scope /f/variants/0/axes/1,axis.type /f/variants/0/axes/2,axis.type /f/variants/0/axes/3," +
			"attribute.not_in_family /f/variants/0/axes/4,family_variant.duplicate /f/variants/1/code,axis.count /f/variants/1/axes,axis.duplicate /f/variants/2/axes/1"},
		{Family{Code: "all", Attributes: of("title"), Variants: []FamilyVariant{{Code: "v", Axes: []string{"title"}}}}, "family_variant.fixed /f/variants/0/axes"},
	} {
		if got := strings.Join(problemCodes(s.CheckFamily(&c.f, "/f")), ","); got != c.want {
			t.Errorf("CheckFamily(%+v) = %s, want %s", c.f, got, c.want)
		}
	}
}

func TestCheckPrice(t *testing.T) {
	s := testSchema()
	day := func(d int) *time.Time { u := time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC); return &u }
	far := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	soon := day(1).Add(time.Nanosecond)
	good := Price{PriceList: "default", Currency: "EUR", Amount: decimal.MustParse("19.90")}
	for _, c := range []struct {
		change func(*Price)
		remove bool
		want   string
	}{
		{func(*Price) {}, false, ""},
		{func(p *Price) { p.Amount = decimal.MustParse("999999999999999.990000000") }, false, ""},
		{func(p *Price) { p.Amount, p.ValidFrom, p.ValidTo = decimal.Zero, day(1), day(2) }, false, ""},
		{func(p *Price) { p.PriceList, p.Currency, p.MinQuantity = "vip", "USD", -1 }, false, "price_list.unknown /price_list,currency.unknown /currency,price.min_quantity /min_quantity"},
		{func(p *Price) { p.Amount = decimal.MustParse("-0.01") }, false, "price.negative /amount"},
		{func(p *Price) { p.Amount = decimal.MustParse("-0.01") }, true, ""},
		{func(p *Price) { p.Amount = decimal.MustParse("0.0000001") }, false, "price.decimals /amount"},
		{func(p *Price) { p.Amount = decimal.MustParse("1000000000000000") }, false, "price.too_large /amount"},
		{func(p *Price) { p.ValidFrom, p.ValidTo = day(2), day(2) }, false, "price.window /valid_to"},
		{func(p *Price) { p.ValidFrom, p.ValidTo = day(1), &soon }, false, "price.window /valid_to"},
		{func(p *Price) { p.ValidTo = &far }, false, "value.date /valid_to"},
		{func(p *Price) { p.MinQuantity = 1 << 31 }, false, "price.min_quantity /min_quantity"},
	} {
		p := good
		c.change(&p)
		if got := strings.Join(problemCodes(s.CheckPrice(p, c.remove)), ","); got != c.want {
			t.Errorf("CheckPrice(%+v, %v) = %s, want %s", p, c.remove, got, c.want)
		}
	}
}

func TestParseAmount(t *testing.T) {
	for in, want := range map[json.Number]string{"19.90": "19.90", "2e3": "2000", "-1.5e-2": "-0.015", "9999999999999999999": "9999999999999999999"} {
		if d, err := ParseAmount(in); err != nil || d.String() != want {
			t.Errorf("ParseAmount(%s) = %s, %v", in, d, err)
		}
	}
	for _, in := range []json.Number{"", "1,5", "+1", "0x1", "1e40", "1.99999999999999999999999", "12345678901234567890", "1e-25"} {
		if d, err := ParseAmount(in); err == nil {
			t.Errorf("ParseAmount(%s) = %s", in, d)
		}
	}
}

// A copy has all that a schema has.
func TestSchemaCopy(t *testing.T) {
	t.Parallel()
	s := &Schema{}
	of := reflect.ValueOf(s).Elem()
	for i := range of.NumField() {
		if f := of.Field(i); f.CanSet() {
			switch f.Kind() {
			case reflect.Map:
				f.Set(reflect.MakeMap(f.Type()))
			case reflect.Pointer:
				f.Set(reflect.New(f.Type().Elem()))
			case reflect.Bool:
				f.SetBool(true)
			default:
				f.SetInt(7)
			}
		}
	}
	c := s.Copy()
	for i := range of.NumField() {
		if f := of.Field(i); f.CanSet() && !reflect.DeepEqual(f.Interface(), reflect.ValueOf(c).Elem().Field(i).Interface()) {
			t.Errorf("%s is left out", of.Type().Field(i).Name)
		}
	}
	if s.lookup() == c.lookup() {
		t.Error("a copy goes on with the lookup tables of another schema")
	}
}
