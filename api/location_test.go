package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres"
)

func TestLocationBodies(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var l LocationView
	k.want(k.do(Editor, "PUT", "/v1/locations/shop-1", nil), 201, &l)
	if !l.On() || l.SafetyStock != 0 || l.Revision != 1 {
		t.Errorf("a bare code: %+v", l)
	}
	k.want(k.do(Editor, "PUT", "/v1/locations/shop-1", `{"labels":{"en-GB":"Shop"},"safety_stock":2,"enabled":false}`), 200, &l)
	if l.On() || l.SafetyStock != 2 || l.Revision != 2 {
		t.Errorf("%+v", l)
	}
	k.want(k.do(Editor, "PUT", "/v1/locations/shop-1", nil), 200, &l) // without a body it is left as it is
	if l.SafetyStock != 2 || l.Revision != 2 {
		t.Errorf("%+v", l)
	}
	k.want(k.do(Editor, "PUT", "/v1/locations/shop-1", `{}`, "If-Match", `"1"`), 412, nil)
	k.refused(k.do(Editor, "PUT", "/v1/locations/shop-1", `{"safety_stock":-1}`), 422, "/safety_stock", "limit")
	k.refused(k.do(Editor, "PUT", "/v1/locations/shop-1", `{"labels":{"xx-XX":"?"}}`), 422, "/labels/xx-XX", "locale.tag")
	k.want(k.do(Viewer, "PUT", "/v1/locations/shop-1", `{}`), 403, nil)
	k.want(k.do(Viewer, "GET", "/v1/locations/none", nil), 404, nil)
	var list page[LocationView]
	k.want(k.do(Viewer, "GET", "/v1/locations", nil), 200, &list)
	if !strings.Contains(fmt.Sprint(list.Items), "shop-1") {
		t.Errorf("%+v", list)
	}
	k.make("P")
	k.batch("/v1/stock:batch", `[{"sku":"P","on_hand":3,"location":"shop-1"}]`)
	k.want(k.do(Editor, "DELETE", "/v1/locations/shop-1", nil), 409, nil)
	k.want(k.do(Editor, "PUT", "/v1/locations/shop-2", nil), 201, nil)
	k.want(k.do(Editor, "DELETE", "/v1/locations/shop-2", nil), 204, nil)
	k.want(k.do(Editor, "DELETE", "/v1/locations/shop-2", nil), 404, nil)
}

func TestStockDeltasAndStamps(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	for i, c := range []struct{ rows, want string }{
		{`{"sku":"P","on_hand":5,"as_of":"2026-01-02T00:00:00Z","sequence":4}`, "changed"},
		{`{"sku":"P","delta":-1},{"sku":"P","delta":-1,"reserved_delta":1}`, "changed 4/0, changed 3/1"},
		{`{"sku":"P","on_hand":9,"as_of":"2026-01-01T00:00:00Z"},{"sku":"P","on_hand":9,"sequence":3}`, "stale 3/1, stale 3/1"},
		{`{"sku":"P","delta":2,"message_id":"a"},{"sku":"P","delta":2,"message_id":"a"}`, "changed 5/1, unchanged 5/1"},
		{`{"sku":"P","safety_stock":2},{"sku":"P","safety_stock":null}`, "changed 5/1, changed 5/1"},
		{`{"sku":"P","on_hand":1,"delta":1}`, "rejected /0/on_hand stock.both"},
		{`{"sku":"P","reserved":1,"reserved_delta":1}`, "rejected /0/reserved stock.both"},
		{`{"sku":"P","reserved":1}`, "rejected /0/on_hand field.missing"},
		{`{"sku":"P","delta":"1"}`, "rejected /0/delta field.type"},
		{`{"sku":"P","reserved_delta":-2}`, "rejected /0/reserved_delta stock.range"},
		{`{"sku":"P","on_hand":1,"safety_stock":-1}`, "rejected /0/safety_stock stock.range"},
		{`{"sku":"P","on_hand":1,"as_of":"yesterday"}`, "rejected /0/as_of field.time"},
		{`{"sku":"P","on_hand":1,"as_of":"9999-01-01T00:00:00Z"}`, "rejected /0/as_of stock.ahead"},
		{`{"sku":"P","on_hand":1,"sequence":1.5}`, "rejected /0/sequence field.type"},
	} {
		var got []string
		for _, r := range k.batch("/v1/stock:batch", "["+c.rows+"]").Results {
			s := string(r.Status)
			if len(r.Problems) > 0 {
				s += " " + r.Problems[0].Pointer + " " + r.Problems[0].Code
			} else if r.Level != nil {
				s += fmt.Sprintf(" %d/%d", r.Level.OnHand, r.Level.Reserved)
			}
			got = append(got, s)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%d: %s, want %s", i, s, c.want)
		}
	}
	// Under one key it counts once.
	for range 2 {
		a := k.batch("/v1/stock:batch", `[{"sku":"P","delta":10},{"sku":"P","on_hand":1,"sequence":1}]`, "Idempotency-Key", "k")
		if a.Changed != 1 || a.Stale != 1 || a.Results[0].Status != postgres.RowChanged || a.Results[0].Level.OnHand != 15 || *a.Results[1].Level.Sequence != 4 {
			t.Errorf("%+v", a)
		}
	}
}

// What a product's channels show is told with what it is made of.
func TestStockOfAProduct(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	k.make("bare")
	k.want(k.do(ChannelManager, "POST", "/v1/channels", `{"code":"shop","connector":"webhook","locale":"en-GB","currency":"EUR",
		"config":{"url":"https://shop.example","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},"policy":{"stock":{"buffer":1,"buffer_percent":50,"cap":4}}}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/locations/default", `{"safety_stock":2}`), 200, nil)
	k.batch("/v1/stock:batch", `[{"sku":"P","on_hand":10,"reserved":1},{"sku":"P","location":"berlin","on_hand":4,"safety_stock":1}]`)
	var a Availability
	k.want(k.do(Viewer, "GET", "/v1/products/P/stock", nil), 200, &a)
	if len(a.Levels) != 2 || a.Levels[0].Available != 3 || a.Levels[1].Available != 7 || len(a.Channels) != 1 {
		t.Fatalf("%+v", a)
	}
	if c := a.Channels[0]; c.Channel != "shop" || c.OnHand != 14 || c.Reserved != 1 || c.Free != 10 || c.HeldBack != 5 || c.Shown != 4 || c.Buffer != 1 {
		t.Errorf("%+v", c)
	}
	k.want(k.do(Viewer, "GET", "/v1/products/bare/stock", nil), 200, &a)
	if len(a.Levels) != 0 || len(a.Channels) != 0 {
		t.Errorf("nobody keeps its stock: %+v", a)
	}
	k.want(k.do(Viewer, "GET", "/v1/products/none/stock", nil), 404, nil)
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/shop", `{"policy":{"stock":{"buffer_percent":101}}}`), 422, "/policy/stock/buffer_percent", "limit")
}
