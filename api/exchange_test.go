package api

import (
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// TestExchanges reads the log of a channel, through every filter, and one whole.
func TestExchanges(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.channel("one", "http://127.0.0.1:1"), 201, nil)
	k.want(k.channel("two", "http://127.0.0.1:1"), 201, nil)
	k.want(k.do(ChannelManager, "POST", "/v1/channels/two/test", nil), 502, nil)
	ch, err := k.store.Channel(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	var list []postgres.Exchange
	for i, status := range []int{200, 200, 422, 503, 0} {
		list = append(list, postgres.Exchange{
			Channel: ch.ID, Of: pim.Offer, Kind: "push", Attempt: int64(1 + i/2), Method: "POST", URL: "https://shop.example/items", Status: status, Failed: status != 200,
			TookMS: 12.5, SKUs: []pim.SKU{"P", pim.SKU(fmt.Sprint("Q", i))}, Request: "asked", Answer: "answered", Header: map[string][]string{"Retry-After": {"3"}},
		})
	}
	if err := k.store.KeepExchanges(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	const at = "/v1/channels/one/exchanges"
	for query, want := range map[string]int{
		"": 5, "sku=P": 5, "sku=Q1": 1, "sku=R": 0, "lane=offer": 5, "lane=media": 0, "kind=push": 5, "kind=poll": 0, "attempt=1": 2, "status=2xx": 2, "status=none": 1,
		"status=5xx&sku=P": 1, "failed=true": 3, "failed=true&sku=Q0": 0, "since=2020-01-01T00:00:00Z": 5, "until=2020-01-01T00:00:00Z": 0,
	} {
		n := 0
		for next := ""; ; {
			var p page[postgres.Exchange]
			k.want(k.do(Viewer, "GET", at+"?limit=2&cursor="+next+"&"+query, nil), 200, &p)
			for _, x := range p.Items {
				if x.Request+x.Answer != "" || x.Header != nil || x.ID == 0 || x.Lane != "offer" {
					t.Errorf("%s: %+v", query, x)
				}
			}
			if n += len(p.Items); p.Next == "" {
				break
			}
			next = p.Next
		}
		if n != want {
			t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
	var p page[postgres.Exchange]
	k.want(k.do(Viewer, "GET", at+"?status=4xx", nil), 200, &p)
	var x postgres.Exchange
	k.want(k.do(Viewer, "GET", fmt.Sprintf("%s/%d", at, p.Items[0].ID), nil), 200, &x)
	if x.Request != "asked" || x.Answer != "answered" || x.Header["Retry-After"][0] != "3" || x.Status != 422 || !x.Failed {
		t.Errorf("%+v", x)
	}
	k.want(k.do(Viewer, "GET", fmt.Sprintf("/v1/channels/two/exchanges/%d", x.ID), nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/none/exchanges", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/two/exchanges?kind=probe", nil), 200, &p)
	if len(p.Items) != 1 || !p.Items[0].Failed || p.Items[0].Status != 0 || p.Items[0].Error == "" {
		t.Errorf("the test of a channel: %+v", p.Items)
	}
	for q, place := range map[string]string{"lane=texts": "query.lane", "status=6xx": "query.status", "since=now": "query.since"} {
		k.refused(k.do(Viewer, "GET", at+"?"+q, nil), 422, place, "parameter")
	}
	k.refused(k.do(Viewer, "GET", at+"?cursor=x", nil), 422, "query.cursor", "cursor")
}
