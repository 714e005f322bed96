package api

import (
	"fmt"
	"net/http"
	"testing"
)

// TestPriceHolds lists what a guard holds, approves and rejects it.
func TestPriceHolds(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var rows []any
	for _, sku := range []string{"A", "B", "C"} {
		k.make(sku)
		rows = append(rows, map[string]any{"sku": sku, "currency": "EUR", "amount": "100"})
	}
	k.want(k.do(Integration, "POST", "/v1/prices:batch", rows), 200, nil)
	k.want(k.do(Editor, "PUT", "/v1/price-lists/default", `{"guard":{"max_factor":1,"max_share":2}}`), 422, nil)
	k.want(k.do(Editor, "PUT", "/v1/price-lists/default", `{"guard":{}}`), 422, nil)
	k.want(k.do(Editor, "PUT", "/v1/price-lists/default", `{"guard":{"max_factor":2}}`), 200, nil)
	for _, row := range rows {
		row.(map[string]any)["amount"] = "10"
	}
	var batch BatchAnswer
	k.want(k.do(Integration, "POST", "/v1/prices:batch", rows), 200, &batch)
	if batch.Held != 3 || batch.Results[0].Status != "held" || batch.Results[0].Revision != 1 || batch.Results[1].Problems[0].Pointer != "/1/amount" {
		t.Errorf("%+v", batch)
	}
	var list page[PriceHoldView]
	k.want(k.do(Viewer, "GET", "/v1/price-holds?limit=2", nil), 200, &list)
	if len(list.Items) != 2 || list.Next == "" || list.Items[0].Old != "100" || list.Items[0].New != "10" || list.Items[0].Held[0].Amount != "10" {
		t.Errorf("%+v", list)
	}
	k.want(k.do(Viewer, "GET", "/v1/price-holds?sku=C&reason=factor&price_list=default", nil), 200, &list)
	if len(list.Items) != 1 || list.Items[0].SKU != "C" {
		t.Fatalf("%+v", list)
	}
	one := fmt.Sprintf("/v1/price-holds/%d", list.Items[0].ID)
	k.want(k.do(Viewer, "GET", one, nil), 200, nil)
	k.want(k.do(Integration, "POST", one+"/approve", nil), http.StatusForbidden, nil) // who sets prices does not approve them
	var n PriceHoldsDecided
	k.want(k.do(Editor, "POST", one+"/approve", nil), 200, &n)
	k.want(k.do(Editor, "POST", one+"/approve", nil), 404, nil)
	if got := k.product("C").Prices[0].Amount; got != "10.00" || n.Holds != 1 {
		t.Errorf("%s after %d approvals", got, n.Holds)
	}
	for _, body := range []string{`{}`, `{"all":true,"price_list":"default"}`} {
		k.want(k.do(Editor, "POST", "/v1/price-holds:reject", body), 422, nil)
	}
	k.want(k.do(Editor, "POST", "/v1/price-holds:approve", `{"price_list":"other"}`), 200, &n)
	if n.Holds != 0 {
		t.Error(n)
	}
	k.want(k.do(Editor, "POST", "/v1/price-holds:reject", `{"all":true}`), 200, &n)
	k.want(k.do(Viewer, "GET", "/v1/price-holds", nil), 200, &list)
	if got := k.product("A").Prices[0].Amount; got != "100.00" || n.Holds != 2 || len(list.Items) != 0 {
		t.Errorf("%s after %d rejections, %d left", got, n.Holds, len(list.Items))
	}
}
