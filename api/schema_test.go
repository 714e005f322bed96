package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// TestSchema puts, reads and deletes definitions.
func TestSchema(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, path := range []string{"/v1/locales/sv-SE", "/v1/currencies/SEK", "/v1/price-lists/sale", "/v1/locations/berlin"} {
		k.want(k.do(Editor, "PUT", path, nil), 201, nil)
		k.want(k.do(Editor, "PUT", path, nil), 200, nil)
	}
	for _, path := range []string{"/v1/locales/en_gb", "/v1/currencies/euro", "/v1/price-lists/-x", "/v1/locations/a%20b"} {
		r := k.do(Editor, "PUT", path, nil)
		k.want(r, 422, nil)
	}
	var codes page[Code]
	k.want(k.do(Viewer, "GET", "/v1/price-lists", nil), 200, &codes)
	if len(codes.Items) != 2 || codes.Items[1].Code != "sale" {
		t.Errorf("price lists: %+v", codes)
	}
	var a pim.Attribute
	k.want(k.do(Editor, "PUT", "/v1/attributes/name", `{"type":"text","localizable":true,"labels":{"en-GB":"Name"}}`), 201, &a)
	if a.Code != "name" || !a.Localizable {
		t.Errorf("put %+v", a)
	}
	k.want(k.do(Editor, "PUT", "/v1/attributes/name", `{"code":"name","type":"text","localizable":true}`), 200, &a)
	var f pim.Family
	k.want(k.do(Editor, "PUT", "/v1/families/shoe", `{"attributes":[{"code":"name","required":true}]}`), 201, &f)
	k.want(k.do(Viewer, "GET", "/v1/families/shoe", nil), 200, &f)
	if f.Code != "shoe" || len(f.Attributes) != 1 || !f.Attributes[0].Required {
		t.Errorf("family %+v", f)
	}
	for list, want := range map[string]string{"/v1/attributes": "name", "/v1/families": "shoe"} {
		var l page[Code]
		if k.want(k.do(Viewer, "GET", list, nil), 200, &l); len(l.Items) != 1 || l.Items[0].Code != want {
			t.Errorf("%s: %+v", list, l)
		}
	}
	k.want(k.do(Editor, "DELETE", "/v1/attributes/name", nil), 409, nil)
	k.want(k.do(Editor, "DELETE", "/v1/families/shoe", nil), 204, nil)
	k.want(k.do(Editor, "DELETE", "/v1/attributes/name", nil), 204, nil)
	for _, path := range []string{"/v1/attributes/name", "/v1/families/shoe"} {
		k.want(k.do(Viewer, "GET", path, nil), 404, nil)
		k.want(k.do(Editor, "DELETE", path, nil), 404, nil)
	}
}

// TestSchemaBadInput gives every fault its place in the request's own body.
func TestSchemaBadInput(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for _, c := range []struct{ path, body, place, code string }{
		{"attributes/x", `{"type":"colour"}`, "/type", "attribute.type"},
		{"attributes/x", `{}`, "/type", "field.missing"},
		{"attributes/x", `{"type":7}`, "/type", "field.type"},
		{"attributes/x", `{"type":"text","code":"y"}`, "/code", "field.address"},
		{"attributes/x", `{"type":"text","size":1}`, "/size", "field.unknown"},
		{"attributes/x", `{"type":"text","unit":"kg"}`, "/unit", "attribute.unit"},
		{"attributes/x", `{"type":"option","options":[{"code":"a"},{"code":"a"}]}`, "/options/1/code", "option.duplicate"},
		{"attributes/x", `{"type":"option","options":[{"code":"a","labels":{"en_gb":"A"}}]}`, "/options/0/labels/en_gb", "locale.tag"},
		{"attributes/x", `{"type":"text","max_length":1.5}`, "/max_length", "field.type"},
		{"attributes/x", `{"type":"text","max_length":99999999999999999999}`, "/max_length", "field.type"},
		{"attributes/-x", `{"type":"text"}`, "/code", "attribute.code"},
		{"attributes/x", `{"type":"number","min":5,"max":"4.5"}`, "/max", "attribute.max"},
		{"attributes/x", `{"type":"text","pattern":"["}`, "/pattern", "attribute.pattern"},
		{"attributes/x", `{"type":"number","decimals":-1}`, "/decimals", "limit"},
		{"attributes/x", `{"type":"media","unique":true}`, "/unique", "attribute.unique"},
		{"attributes/name", `{"type":"number"}`, "", "attribute.shape"},
		{"families/x", `{"attributes":[{"code":"none"}]}`, "/attributes/0/code", "attribute.unknown"},
		{"families/x", `{"attributes":[{"code":"name"}],"variants":[{"code":"v","axes":["name"]}]}`, "/variants/0/axes/0", "axis.scope"},
		{"families/x", `{"attributes":{}}`, "/attributes", "field.type"},
		{"families/x", `{"attributes":[7]}`, "/attributes/0", "field.type"},
		{"families/x", `{"attributes":[],"attributes":[]}`, "/attributes", "json.duplicate_key"},
	} {
		k.refused(k.do(Editor, "PUT", "/v1/"+c.path, c.body), 422, c.place, c.code)
	}
	if k.count("attribute") != 7 || k.count("family") != 1 {
		t.Errorf("%d attributes and %d families are stored", k.count("attribute"), k.count("family"))
	}
}

// TestAttributeRules holds a product to its attributes' rules, and shows what a
// newer rule is against.
func TestAttributeRules(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for code, body := range map[string]string{
		"ean": `{"type":"text","unique":true,"pattern":"[0-9]+"}`,
		"net": `{"type":"number","unit":"kg","min":0,"max":2.5,"decimals":3,"units":["kg","g"]}`,
	} {
		k.want(k.do(Editor, "PUT", "/v1/attributes/"+code, body), 201, nil)
	}
	k.want(k.do(Editor, "PUT", "/v1/families/box", `{"attributes":[{"code":"ean"},{"code":"net"}]}`), 201, nil)
	put := func(sku, values string) reply {
		return k.do(Editor, "PUT", "/v1/products/"+sku, `{"family":"box","values":`+values+`}`)
	}
	k.want(put("A", `{"ean":"1","net":{"amount":"2500","unit":"GRM"}}`), 201, nil)
	k.refused(put("B", `{"ean":"1"}`), 422, "/values/ean", "value.not_unique")
	k.refused(put("B", `{"ean":"x"}`), 422, "/values/ean", "text.pattern")
	k.refused(put("B", `{"net":{"amount":"2500.1","unit":"g"}}`), 422, "/values/net/amount", "value.range")
	k.want(k.do(Editor, "PUT", "/v1/attributes/net", `{"type":"number","unit":"kg","max":1}`), 200, nil)
	var p Product
	k.want(k.do(Editor, "PATCH", "/v1/products/A", `{"values":{"ean":"2"}}`), 200, &p)
	k.want(k.do(Viewer, "GET", "/v1/products/A", nil), 200, &p)
	if len(p.Warnings) != 1 || p.Warnings[0].Pointer != "/values/net/amount" || p.Warnings[0].Code != "value.range" {
		t.Errorf("warnings %+v", p.Warnings)
	}
	var c ProductCompleteness
	k.want(k.channel("shop", "http://127.0.0.1:1"), 201, nil)
	k.want(k.do(Viewer, "GET", "/v1/products/A/completeness", nil), 200, &c)
	if len(c.Channels) != 1 || !slices.ContainsFunc(c.Channels[0].Issues, func(i pim.Issue) bool { return i.Code == "value.invalid" && i.Attribute == "net" }) {
		t.Errorf("readiness %+v", c.Channels)
	}
	var units page[pim.MeasurementFamily]
	k.want(k.do(Viewer, "GET", "/v1/measurement-families", nil), 200, &units)
	if len(units.Items) < 20 || units.Items[0].Code != "mass" || units.Items[0].Units[0].Code != "KGM" {
		t.Errorf("%d families, %+v", len(units.Items), units.Items)
	}
}

// TestLocales lets a channel show what another locale has.
func TestLocales(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var l Locale
	k.want(k.do(Editor, "PUT", "/v1/locales/de-AT", `{"fallback":"de-DE"}`), 201, &l)
	k.want(k.do(Editor, "PUT", "/v1/locales/de-AT", nil), 200, &l)
	k.want(k.do(Viewer, "GET", "/v1/locales/de-AT", nil), 200, &l)
	if l.Code != "de-AT" || l.Fallback != "de-DE" {
		t.Errorf("%+v", l)
	}
	k.refused(k.do(Editor, "PUT", "/v1/locales/de-DE", `{"fallback":"de-AT"}`), 422, "/fallback", "locale.cycle")
	k.refused(k.do(Editor, "PUT", "/v1/locales/de-DE", `{"fallback":"xx"}`), 422, "/fallback", "locale.unknown")
	k.refused(k.do(Editor, "PUT", "/v1/locales/de-DE", `{"fall":"xx"}`), 422, "/fall", "field.unknown")
	k.want(k.do(Viewer, "GET", "/v1/locales/sv-SE", nil), 404, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe","values":{"name":{"de-DE":"Schuh"}}}`), 201, nil)
	k.want(k.channel("shop", "http://127.0.0.1:1"), 201, nil)
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/shop", `{"locale":"de-AT","mapping":{"content":{"n":"values.name"}}}`), 200, nil)
	shown := func() string {
		return string(k.want(k.do(Viewer, "GET", "/v1/channels/shop/preview/P", nil), 200, nil).body)
	}
	if got := shown(); !strings.Contains(got, `"n":"Schuh"`) {
		t.Errorf("by the fallback: %s", got)
	}
	k.want(k.do(Editor, "PUT", "/v1/locales/de-AT", `{}`), 200, nil)
	if got := shown(); strings.Contains(got, "Schuh") {
		t.Errorf("without it: %s", got)
	}
}
