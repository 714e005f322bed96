package api

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// What products have in tables of their own is listed across products, page by
// page, and narrowed by parameters and by the language of filters.
func TestListsOfOffers(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var prices, levels []string
	for i := range 4 {
		sku := fmt.Sprintf("P%d", i)
		k.want(k.do(Editor, "PUT", "/v1/products/"+sku, `{"family":"shoe"}`), 201, nil)
		prices = append(prices,
			fmt.Sprintf(`{"sku":%q,"currency":"EUR","amount":"%d.50"}`, sku, 9*(i+1)),
			fmt.Sprintf(`{"sku":%q,"currency":"EUR","amount":"1","valid_from":"2090-01-02T00:00:00Z","valid_to":"2091-01-01T00:00:00Z"}`, sku),
			fmt.Sprintf(`{"sku":%q,"currency":"EUR","amount":"2","valid_from":"2090-01-02T00:00:00.000001Z"}`, sku),
			fmt.Sprintf(`{"sku":%q,"price_list":"sale","currency":"GBP","amount":"7","min_quantity":10}`, sku))
		levels = append(levels, fmt.Sprintf(`{"sku":%q,"location":"berlin","on_hand":%d,"reserved":1}`, sku, i), fmt.Sprintf(`{"sku":%q,"on_hand":5}`, sku))
	}
	k.batch("/v1/prices:batch", "["+strings.Join(prices, ",")+"]")
	k.batch("/v1/stock:batch", "["+strings.Join(levels, ",")+"]")
	k.want(k.do(Editor, "DELETE", "/v1/products/P2", nil), 204, nil)

	for _, limit := range []string{"1", "2", "5", "1000"} {
		for query, want := range map[string]string{
			"":                    "P0 P0 P0 P0 P1 P1 P1 P1 P3 P3 P3 P3",
			"price_list=sale":     "P0 P1 P3",
			"sku=P1&currency=EUR": "P1 P1 P1",
			"sku=P2":              "",
			"price_list=none":     "",
			"filter=amount > 10":  "P1 P3",
			"filter=valid_to is empty and valid_from > 2089-01-01": "P0 P1 P3",
			"filter=min_quantity = 10 and amount = 7.0&sku=P3":     "P3",
		} {
			values, _ := url.ParseQuery(query)
			values.Set("limit", limit)
			if got := strings.Join(k.walks("/v1/prices", "sku", values), " "); got != want {
				t.Errorf("prices by %s, %s: %s", limit, query, got)
			}
		}
		if got := strings.Join(k.walks("/v1/stock", "available", url.Values{"limit": {limit}, "location": {"berlin"}}), " "); got != "0 0 2" {
			t.Errorf("stock by %s: %s", limit, got)
		}
		if got := strings.Join(k.walks("/v1/stock", "location", url.Values{"limit": {limit}, "sku": {"P0"}}), " "); got != "berlin default" {
			t.Errorf("stock by %s: %s", limit, got)
		}
	}
	items, _ := k.asked("/v1/prices", url.Values{"sku": {"P1"}, "limit": {"1"}})
	if fmt.Sprint(items[0]) != "map[amount:18.50 currency:EUR min_quantity:1 price_list:default sku:P1]" {
		t.Error(items)
	}
	k.refused(k.do(Viewer, "GET", "/v1/prices?cursor=x", nil), 422, "query.cursor", "cursor")
	for _, place := range []string{`{"i":-1}`, `{"i":1,"n":-1}`, `{"i":1,"f":"0000-01-01T00:00:00Z"}`, `{"i":1,"f":"never"}`, `{"i":1,"a":"\u0000"}`} {
		k.refused(k.do(Viewer, "GET", "/v1/prices?cursor="+base64.RawURLEncoding.EncodeToString([]byte(place)), nil), 422, "query.cursor", "cursor")
	}
	k.want(k.do(Viewer, "GET", "/v1/prices?cursor="+base64.RawURLEncoding.EncodeToString([]byte(`{"i":1,"n":99999999999}`)), nil), 200, nil)

	k.want(k.channel("shop", "https://shop.example/hook"), 201, nil)
	k.want(k.do(Editor, "POST", "/v1/publication:batch", `[{"sku":"P0","channel":"shop","from":"2090-01-01T00:00:00Z"},{"sku":"P1","channel":"shop","to":"2090-01-01T00:00:00Z"},{"sku":"P3","channel":"shop","from":"2090-01-01T00:00:00Z"}]`), 200, nil)
	k.want(k.do(Editor, "POST", "/v1/publication:batch", `[{"sku":"P3","channel":"shop","delete":true}]`), 200, nil)
	for query, want := range map[string]string{"limit=1": "P0 P1", "channel=shop&filter=to is empty": "P0", "channel=other": "", "sku=P1": "P1"} {
		values, _ := url.ParseQuery(query)
		if got := strings.Join(k.walks("/v1/publication", "sku", values), " "); got != want {
			t.Errorf("windows, %s: %s", query, got)
		}
	}
}
