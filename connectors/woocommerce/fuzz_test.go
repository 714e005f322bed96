package woocommerce_test

import (
	"encoding/json"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

// Whatever a document holds, it is refused with issues or sent as the shop's
// rules want it, which the fake watches; and what was taken can be taken again.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		`{"name":"A","categories":["a > b"],"attributes":{"x":["y",1,true]},"weight":"1.5"}`, `{"parent":"P","axes":{"a":"b"}}`, `{"regular_price":"1.50","stock":-3,"date_on_sale_to_gmt":"2026-01-01"}`,
		`{"images":["https://x.example/ä b.jpg",{"src":"http://x.example","alt":"<b>"}]}`, `{"meta_data":[{"key":"k","value":{"a":[null]}}],"dimensions":{"length":null}}`, `{"name":null,"sku":"A"}`,
	} {
		for lane := range byte(3) {
			f.Add(lane, s)
		}
	}
	f.Fuzz(func(t *testing.T, lane byte, document string) {
		if !json.Valid([]byte(document)) {
			t.Skip()
		}
		shop := woocommercetest.Start(t, woocommercetest.Options{})
		c := connect(t, shop, 0, nil)
		ok(t, c, content("A", `{"name":"A"}`), content("P", `{"name":"P"}`))
		item := upsert(pim.AllLanes[int(lane)%len(pim.AllLanes)], "A", document)
		for range 2 {
			results, err := c.Push(t.Context(), []connectors.Item{item})
			if err != nil {
				t.Fatalf("%s fails the call: %v", document, err)
			}
			e := connectors.AsError(results[0].Err)
			if results[0].Err != nil && e.Verdict != connectors.Validation && e.Verdict != connectors.Permanent && e.Verdict != connectors.Conflict {
				t.Errorf("%s: %v", document, results[0].Err)
			}
		}
	})
}

// Whatever a shop answers: no panic, and an *Error or a result.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"create":[{"id":5,"sku":"A","status":"publish"}]}`, `{"create":[{"id":0,"error":{"code":"product_invalid_sku","message":"x","data":{"status":400,"resource_id":"7"}}}]}`,
		`{"create":[{"id":0,"error":{"code":1}}]}`, `{"create":[null]}`, `[]`, `"x"`, "\ufeff{}", `{"update":[{"id":1}]}`, `{"create":[{"id":9e99}]}`,
	} {
		f.Add(200, s)
		f.Add(400, s)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status == 204 || status == 304 {
			t.Skip()
		}
		results, err := replay(t, status, nil, body).Push(t.Context(), []connectors.Item{content("A", `{"name":"A"}`)})
		if err == nil && (len(results) != 1 || results[0].Err == nil && results[0].Status == "") {
			t.Errorf("%d %s: %+v", status, body, results)
		}
	})
}
