package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

func (k *kit) product(sku string) Product {
	k.t.Helper()
	var p Product
	k.want(k.do(Viewer, "GET", "/v1/products/"+url.PathEscape(sku), nil), 200, &p)
	return p
}

func (k *kit) make(sku string) EditAnswer {
	k.t.Helper()
	var a EditAnswer
	k.want(k.do(Editor, "PUT", "/v1/products/"+url.PathEscape(sku), map[string]any{"family": "shoe", "values": map[string]any{"name": map[string]any{"en-GB": "Shoe"}}}), 201, &a)
	return a
}

// TestProductLife creates, reads, edits and deletes products whose SKUs an
// address has to encode.
func TestProductLife(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for _, sku := range []string{"A-1", "a/b", "a//b", "with space", "50% off?", "größe", "a+b", "a;b", "x.json", "..a", "#1"} {
		at := "/v1/products/" + url.PathEscape(sku)
		r := k.do(Editor, "PUT", at, `{"family":"shoe","values":{"name":{"en-GB":"Old"}}}`)
		var a EditAnswer
		k.want(r, 201, &a)
		if a.SKU != pim.SKU(sku) || !a.Created || r.Header.Get("ETag") != `"1"` || r.Header.Get("Location") != at {
			t.Fatalf("%s: created as %+v, ETag %s, Location %s", sku, a, r.Header.Get("ETag"), r.Header.Get("Location"))
		}
		r = k.do(Editor, "PATCH", at, `{"values":{"name":{"de-DE":"Neu"},"count":12345678901234567.5}}`, "Content-Type", typeMerge, "If-Match", `"1"`)
		k.want(r, 200, &a)
		if a.Revision != 2 || a.Created || !a.Changed {
			t.Fatalf("%s: patched to %+v", sku, a)
		}
		var p struct{ Values map[string]json.RawMessage }
		r = k.want(k.do(Viewer, "GET", at, nil), 200, &p)
		if got := string(p.Values["count"]); got != "12345678901234567.5" {
			t.Errorf("%s: a number came back as %s", sku, got)
		}
		if got := strings.Join(strings.Fields(string(p.Values["name"])), ""); got != `{"de-DE":"Neu","en-GB":"Old"}` || r.Header.Get("ETag") != `"2"` {
			t.Errorf("%s: name %s, ETag %s", sku, got, r.Header.Get("ETag"))
		}
		var h page[pim.Event]
		k.want(k.do(Viewer, "GET", at+"/history", nil), 200, &h)
		if len(h.Items) != 2 || h.Items[0].Actor != "editor key" {
			t.Errorf("%s: history %+v", sku, h.Items)
		}
		k.want(k.do(Editor, "DELETE", at, nil, "If-Match", `"2"`), 204, nil)
		k.want(k.do(Viewer, "GET", at, nil), 404, nil)
		k.want(k.do(Viewer, "GET", at+"/history", nil), 200, &h)
		if len(h.Items) != 3 {
			t.Errorf("%s: the history of a deleted product has %d events", sku, len(h.Items))
		}
	}
}

// TestIfMatch holds every form of the header to RFC 9110, for each method.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	k.want(k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"count":1}}`), 200, nil) // at 2 now
	for _, c := range []struct {
		header string
		want   int
	}{
		{`"1"`, 412},
		{`"3"`, 412},
		{`"x"`, 412},
		{`W/"2"`, 412},
		{`"02"`, 412},
		{`"1", "3"`, 412},
		{`W/"2", "1"`, 412},
		{`"0"`, 412},
		{`"-2"`, 412},
		{`"2"`, 200},
		{`*`, 200},
		{`"1","2"`, 200},
		{` "7" , W/"9",, "2" `, 200},
		{``, 200},
		{`2`, 422},
		{`"2`, 422},
		{`"2" "3"`, 422},
		{`**`, 422},
		{`"2",x`, 422},
	} {
		for _, method := range []string{"PATCH", "PUT"} {
			// The content that is there already: nothing moves on.
			r := k.do(Editor, method, "/v1/products/P", `{"family":"shoe","values":{"name":{"en-GB":"Shoe"},"count":1}}`, "If-Match", c.header)
			k.want(r, c.want, nil)
			if c.want != 422 && r.Header.Get("ETag") != `"2"` {
				t.Errorf("%s If-Match %s: ETag %s", method, c.header, r.Header.Get("ETag"))
			}
		}
		if c.want != 200 {
			k.want(k.do(Editor, "DELETE", "/v1/products/P", nil, "If-Match", c.header), c.want, nil)
		}
	}
	for method, want := range map[string]int{"PUT": 412, "PATCH": 404, "DELETE": 404} {
		for _, header := range []string{"*", `"1","2"`} {
			k.want(k.do(Editor, method, "/v1/products/none", `{"family":"shoe"}`, "If-Match", header), want, nil)
		}
	}
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe"}`, "If-None-Match", "*"), 412, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/new", `{"family":"shoe"}`, "If-None-Match", "*"), 201, nil)
	k.refused(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe"}`, "If-None-Match", `"2"`), 422, "header.If-None-Match", "parameter")
}

// TestOffersLeaveTheETag sets price and stock between an editor's look and edit.
func TestOffersLeaveTheETag(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	k.want(k.do(Integration, "POST", "/v1/prices:batch", `[{"sku":"P","currency":"EUR","amount":19.90}]`), 200, nil)
	k.want(k.do(Integration, "POST", "/v1/stock:batch", `[{"sku":"P","on_hand":5,"reserved":2}]`), 200, nil)
	k.want(k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"count":1}}`, "If-Match", `"1"`), 200, nil)
	p := k.product("P")
	if p.Revision != 2 || p.PriceRevision != 1 || p.StockRevision != 1 || p.OfferRevision != 2 {
		t.Errorf("revisions: %+v", p)
	}
	if len(p.Prices) != 1 || p.Prices[0].Amount != "19.90" || p.Prices[0].PriceList != "default" || p.Prices[0].MinQuantity != 1 {
		t.Errorf("prices: %+v", p.Prices)
	}
	if len(p.Stock) != 1 || p.Stock[0] != (Stock{Location: "default", OnHand: 5, Reserved: 2, Available: 3}) {
		t.Errorf("stock: %+v", p.Stock)
	}
}

// TestWarnings: a doubtful GTIN is stored and told about, a strict one is refused.
func TestWarnings(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var a EditAnswer
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe","values":{"gtin":"4006381333932"}}`), 201, &a)
	p := k.product("P")
	for _, w := range [][]pim.Problem{a.Warnings, p.Warnings} {
		if len(w) != 1 || w[0].Pointer != "/values/gtin" {
			t.Errorf("warnings: %+v", w)
		}
	}
	k.refused(k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"strict_gtin":"4006381333932"}}`), 422, "/values/strict_gtin", "gtin.check_digit")
}

// TestSchemaOfAnotherProcess: values that need a definition which this process
// has not seen yet are no reason for doubts.
func TestSchemaOfAnotherProcess(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	other, err := postgres.Open(t.Context(), k.store.Pool().Config().ConnString(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ChangeSchema(t.Context(), postgres.SchemaChange{Families: []pim.Family{{Code: "hat", Attributes: []pim.FamilyAttribute{{Code: "spare"}}}}}); err != nil {
		t.Fatal(err)
	}
	hat := "hat"
	if _, err := other.Edit(t.Context(), "other", []postgres.Edit{{SKU: "H", Mode: postgres.Put, Family: &hat, Values: pim.Values{"spare": "x"}}}); err != nil {
		t.Fatal(err)
	}
	if p := k.product("H"); len(p.Warnings) != 0 || p.Family != "hat" {
		t.Errorf("read as %+v", p)
	}
}

// TestListProducts walks pages, and holds each filter to what it says.
func TestListProducts(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for i := range 5 {
		k.make(fmt.Sprintf("P-%d", i))
	}
	k.want(k.do(Editor, "PUT", "/v1/products/other", `{"family":"shoe","enabled":false,"categories":["sale"],"family_variant":"by_color","values":{"name":{"en-GB":"100%_\\ wool"}}}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/red", `{"family":"shoe","parent":"other","values":{"color":"red"}}`), 201, nil)

	var seen []string
	for next := ""; ; {
		var l page[Product]
		k.want(k.do(Viewer, "GET", "/v1/products?limit=2&cursor="+url.QueryEscape(next), nil), 200, &l)
		for _, p := range l.Items {
			seen = append(seen, string(p.SKU))
		}
		if next = l.Next; next == "" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "P-0 P-1 P-2 P-3 P-4 other red" {
		t.Errorf("pages: %s", got)
	}
	for query, want := range map[string]string{
		"enabled=false": "other", "category=sale": "other", "parent=other": "red", "sku_prefix=P-3": "P-3", "sku_prefix=P%25": "",
		"search=" + url.QueryEscape(`%_\`): "other", "search=RED": "red", "family=none": "", "updated_since=2100-01-01T00:00:00Z": "",
	} {
		var l page[Product]
		k.want(k.do(Viewer, "GET", "/v1/products?"+query, nil), 200, &l)
		var skus []string
		for _, p := range l.Items {
			skus = append(skus, string(p.SKU))
		}
		if got := strings.Join(skus, " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if p := k.product("red"); !strings.Contains(string(p.InheritedValues), "wool") || p.Parent != "other" {
		t.Errorf("the variant: %+v", p)
	}
	k.want(k.do(Editor, "DELETE", "/v1/products/other", nil), 409, nil)
	for query, place := range map[string]string{
		"limit=0": "query.limit", "limit=1001": "query.limit", "limit=x": "query.limit", "enabled=maybe": "query.enabled",
		"updated_since=yesterday": "query.updated_since", "nonsense=1": "query.nonsense",
	} {
		k.refused(k.do(Viewer, "GET", "/v1/products?"+query, nil), 422, place, "parameter")
	}
	k.refused(k.do(Viewer, "GET", "/v1/products?cursor=x", nil), 422, "query.cursor", "cursor")
}

// TestProductBadInput sends what the API must refuse, with the place of the
// fault, and looks that nothing was stored.
func TestProductBadInput(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	cases := []struct{ body, place, code string }{
		{`{"values":{"nope":1}}`, "/values/nope", "attribute.unknown"},
		{`{"values":{"spare":"x"}}`, "/values/spare", "attribute.not_in_family"},
		{`{"values":{"count":"many"}}`, "/values/count", "value.type"},
		{`{"values":{"name":{"xx-YY":"x"}}}`, "/values/name/xx-YY", "locale.unknown"},
		{`{"values":{"name":{"en-GB":"` + strings.Repeat("x", 21) + `"}}}`, "/values/name/en-GB", "text.too_long"},
		{`{"values":{"name":{"en-GB":"a\u0007b"}}}`, "/values/name/en-GB", "text.control"},
		{"{\"values\":{\"name\":{\"en-GB\":\"a\x07b\"}}}", "/values/name/en-GB", "json.syntax"},
		{"{\"values\":{\"name\":{\"en-GB\":\"\xff\xfe\"}}}", "/values/name/en-GB", "json.utf8"},
		{`{"values":{"name":{"en-GB":"\u0000"}}}`, "/values/name/en-GB", "json.nul"},
		{`{"values":{"name":{"en-GB":"\ud800"}}}`, "/values/name/en-GB", "json.surrogate"},
		{`{"values":{"name":1,"name":2}}`, "/values/name", "json.duplicate_key"},
		{`{"values":{"count":1e999999}}`, "/values/count", "json.number"},
		{`{"values":{"count":1e-999999999999}}`, "/values/count", "json.number"},
		{`{"values":{"count":` + strings.Repeat("9", 500) + `}}`, "/values/count", "json.number"},
		{`{"values":` + deep + `}`, "/values" + strings.Repeat("/a", 32), "json.depth"},
		{strings.Repeat("[", 100000), strings.Repeat("/0", 33), "json.depth"},
		{`{"price":1}`, "/price", "field.unknown"},
		{`{"a/b~c":1}`, "/a~1b~0c", "field.unknown"},
		{`{"sku":"Q"}`, "/sku", "field.address"},
		{`{"family":"none"}`, "/family", "family.unknown"},
		{`{"family":null}`, "/family", "field.type"},
		{`{"enabled":"yes"}`, "/enabled", "field.type"},
		{`{"enabled":null}`, "/enabled", "field.type"},
		{`{"categories":["a","a"]}`, "/categories/1", "category.twice"},
		{`{"categories":"a"}`, "/categories", "field.type"},
		{`{"categories":[1]}`, "/categories/0", "field.type"},
		{`{"values":null}`, "/values", "field.type"},
		{`{"values":[]}`, "/values", "field.type"},
		{`{"family_variant":"none"}`, "/family_variant", "family_variant.unknown"},
		{`{"parent":"P"}`, "/parent", "parent.fixed"},
		{`[]`, "", "json.not_object"},
		{`{`, "", "json.syntax"},
		{`{} {}`, "", "json.trailing"},
		{`nonsense`, "", "json.syntax"},
	}
	events := k.count("event")
	for _, c := range cases {
		for _, method := range []string{"PATCH", "PUT"} {
			k.refused(k.do(Editor, method, "/v1/products/P", c.body), 422, c.place, c.code)
		}
	}
	k.refused(k.do(Editor, "PUT", "/v1/products/new", `{"values":{}}`), 422, "/family", "family.missing")
	k.refused(k.do(Editor, "PUT", "/v1/products/new", `{"family":"shoe","parent":"gone"}`), 422, "/parent", "parent.unknown")
	// All faults at once.
	r := k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"nope":1,"count":true,"name":{"xx":1}},"categories":["!"]}`)
	for place, code := range map[string]string{"/values/nope": "attribute.unknown", "/values/count": "value.type", "/values/name/xx": "locale.unknown", "/categories/0": "category"} {
		k.refused(r, 422, place, code)
	}
	for _, size := range []int{maxEdit + 1, 10 << 20} {
		body := `{"values":{"name":{"en-GB":"` + strings.Repeat("x", size) + `"}}}`
		r := k.do(Editor, "PATCH", "/v1/products/P", body)
		k.want(r, 413, nil)
		if want := "the body has more than 1048576 bytes"; !strings.Contains(string(r.body), want) {
			t.Errorf("%s: not %q", r.body, want)
		}
	}
	k.want(k.do(Editor, "PATCH", "/v1/products/P", ``), 400, nil)
	k.want(k.do(Editor, "PATCH", "/v1/products/P", `<a/>`, "Content-Type", "application/xml"), 415, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{}`, "Content-Type", typeMerge), 415, nil)
	for _, at := range []string{"%00", "a%FFb", "%20", "a%0Ab", strings.Repeat("x", 129)} {
		for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
			if r := k.do(Editor, method, "/v1/products/"+at, `{"family":"shoe"}`); r.StatusCode != 400 && r.StatusCode != 422 {
				t.Errorf("%s %s: %d %s", method, at, r.StatusCode, r.body)
			}
		}
	}
	for _, query := range []string{"search=%00", "search=%FF", "search=%zz", "cursor=%00"} {
		k.want(k.do(Viewer, "GET", "/v1/products?"+query, nil), 400, nil)
	}
	if p := k.product("P"); p.Revision != 1 || k.count("product") != 1 || k.count("event") != events {
		t.Errorf("something was stored: %+v, %d products, %d events", p, k.count("product"), k.count("event"))
	}
}

// TestEditRaces: a list of tags is looked up first, so an edit that comes
// between the look and the write must not be lost.
func TestEditRaces(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	const writers, each = 4, 5
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := range each {
				r := k.do(Editor, "PATCH", "/v1/products/P", fmt.Sprintf(`{"values":{"count":%d}}`, w*each+i+1), "If-Match", "*")
				if r.StatusCode != http.StatusOK {
					errs <- fmt.Errorf("%d %s", r.StatusCode, r.body)
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	rev, err := k.store.ProductRevision(context.Background(), "P")
	if err != nil || rev != 1+writers*each {
		t.Errorf("revision %d after %d edits (%v)", rev, writers*each, err)
	}
	if _, err := k.store.ProductRevision(context.Background(), "none"); err == nil || !strings.Contains(err.Error(), postgres.ErrNotFound.Error()) {
		t.Errorf("no product: %v", err)
	}
}

// TestDepthAsDocumented: the page says where nesting ends, and so do refusals.
func TestDepthAsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(string(page)), " ")
	if !strings.Contains(said, "more than 32 levels (33 in a product's body, whose `values` have 32)") {
		t.Error("docs/api.md tells other levels than this test")
	}
	k := newKit(t).seed()
	for at, most := range map[string]int{"/v1/products/P": 33, "/v1/families/f": 32} {
		body := strings.Repeat("[", most+1) + strings.Repeat("]", most+1)
		k.refused(k.do(Admin, "PUT", at, body), 422, strings.Repeat("/0", most), "json.depth")
		if r := k.do(Admin, "PUT", at, body[1:len(body)-1]); strings.Contains(string(r.body), "json.depth") {
			t.Errorf("%s refuses %d levels: %s", at, most, r.body)
		}
	}
}
