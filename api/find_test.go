package api

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// TestFindProducts asks for products by a filter, in an order, in pages, and for
// some of their members.
func TestFindProducts(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for sku, body := range map[string]string{
		"a": `{"family":"shoe","values":{"name":{"en-GB":"Alpha","de-DE":"Alfa"},"color":"red","count":1}}`,
		"b": `{"family":"shoe","values":{"name":{"en-GB":"Beta"},"color":"blue","count":2}}`,
		"c": `{"family":"shoe","enabled":false,"values":{"color":"red","count":3}}`,
	} {
		k.want(k.do(Editor, "PUT", "/v1/products/"+sku, body), 201, nil)
	}
	k.want(k.do(Integration, "POST", "/v1/prices:batch", `[{"sku":"a","currency":"EUR","amount":19.90}]`), 200, nil)
	get := func(query ...string) string {
		q := url.Values{}
		for i := 0; i < len(query); i += 2 {
			q.Set(query[i], query[i+1])
		}
		return "/v1/products?" + q.Encode()
	}
	var p page[json.RawMessage]
	skus := func() string {
		var list []string
		for _, raw := range p.Items {
			var item struct{ SKU string }
			if err := json.Unmarshal(raw, &item); err != nil {
				t.Fatal(err)
			}
			list = append(list, item.SKU)
		}
		return strings.Join(list, " ")
	}
	k.want(k.do(Viewer, "GET", get("filter", `values.color = red and enabled = true`), nil), 200, &p)
	if skus() != "a" {
		t.Errorf("found %s", skus())
	}
	k.want(k.do(Viewer, "GET", get("filter", `values.count >= 2`, "enabled", "false", "family", "shoe"), nil), 200, &p)
	if skus() != "c" {
		t.Errorf("with the old parameters, found %s", skus())
	}
	k.want(k.do(Viewer, "GET", get("sort", "-sku", "limit", "2", "fields", "sku,prices,values.name,values.count,revision"), nil), 200, &p)
	if skus() != "c b" || p.Next == "" || string(p.Items[1]) != `{"sku":"b","values":{"count":2,"name":{"en-GB":"Beta"}},"prices":[],"revision":1}` {
		t.Errorf("%s %s %s", skus(), p.Next, p.Items)
	}
	k.want(k.do(Viewer, "GET", get("sort", "-sku", "cursor", p.Next, "fields", "prices,sku"), nil), 200, &p)
	if len(p.Items) != 1 || string(p.Items[0]) != `{"sku":"a","prices":[{"price_list":"default","currency":"EUR","min_quantity":1,"amount":"19.90"}]}` {
		t.Errorf("%s", p.Items)
	}
	k.want(k.do(Viewer, "GET", get("fields", "values,sku", "filter", "sku = a"), nil), 200, &p)
	if got := string(p.Items[0]); !strings.Contains(got, `"color":`) || strings.Contains(got, "prices") {
		t.Errorf("%s", got)
	}

	for query, want := range map[string][2]string{
		get("filter", "values.color = pink"): {"query.filter", "option.unknown"},
		get("filter", "values.color ="):      {"query.filter", "filter.syntax"},
		get("filter", "nope = 1"):            {"query.filter", "filter.field"},
		get("sort", "name"):                  {"query.sort", "sort"},
		get("sort", "completeness.nope"):     {"query.sort", "sort"},
		get("fields", "sku,nope"):            {"query.fields", "fields"},
		get("fields", "prices.amount"):       {"query.fields", "fields"},
		get("cursor", "WyJza3UiLCJhIl0"):     {"query.cursor", "cursor"},
	} {
		k.refused(k.do(Viewer, "GET", query, nil), 422, want[0], want[1])
	}
	var bad Problem
	k.want(k.do(Viewer, "GET", get("filter", "enabled = true and values.color = pink"), nil), 422, &bad)
	if len(bad.Errors) != 1 || bad.Errors[0].Offset == nil || *bad.Errors[0].Offset != 34 {
		t.Errorf("%+v", bad.Errors)
	}
}
