package api

import (
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// lease takes a consumer's lease; the API itself never works.
func (k *kit) lease(c postgres.Consumer) postgres.Lease {
	k.t.Helper()
	l, err := k.store.Take(k.t.Context(), c, 0, "test", time.Minute)
	if err != nil {
		k.t.Fatal(err)
	}
	return l
}

// TestListings reads where products stand, through every filter.
func TestListings(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.channel("one", "http://127.0.0.1:1"), 201, nil)
	k.want(k.channel("two", "http://127.0.0.1:1"), 201, nil)
	k.make("P")
	k.make("Q")
	if _, err := k.store.FanOut(t.Context(), k.lease(postgres.Consumer{Kind: postgres.Fanout}), 100); err != nil {
		t.Fatal(err)
	}
	count := func(path string) int {
		n := 0
		for next := ""; ; {
			var l page[pim.Listing]
			k.want(k.do(Viewer, "GET", path+"&limit=3&cursor="+next, nil), 200, &l)
			n += len(l.Items)
			for _, i := range l.Items {
				if i.Issues == nil || i.Channel == "" || i.SKU == "" {
					t.Errorf("%s: %+v", path, i)
				}
			}
			if next = l.Next; next == "" {
				return n
			}
		}
	}
	every := count("/v1/listings?")
	if every < 4 || every%4 != 0 {
		t.Fatalf("%d listings of two products on two channels", every)
	}
	for path, want := range map[string]int{
		"/v1/listings?channel=one": every / 2, "/v1/listings?sku=P": every / 2, "/v1/listings?channel=one&sku=P&lane=content": 1,
		"/v1/listings?state=waiting&lane=content": 4, "/v1/listings?state=live": 0, "/v1/listings?issues=true": 0, "/v1/listings?channel=none": 0,
		"/v1/products/P/listings?": every / 2,
	} {
		if got := count(path); got != want {
			t.Errorf("%s: %d listings, want %d", path, got, want)
		}
	}
	k.want(k.do(Viewer, "GET", "/v1/products/none/listings", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/products/none/history", nil), 404, nil)
	for q, place := range map[string]string{"lane=texts": "query.lane", "state=sent": "query.state", "issues=maybe": "query.issues"} {
		k.refused(k.do(Viewer, "GET", "/v1/listings?"+q, nil), 422, place, "parameter")
	}
	k.refused(k.do(Viewer, "GET", "/v1/listings?cursor=1", nil), 422, "query.cursor", "cursor")
}

// TestEventsResume reads the log page by page: all of it, once, and on from
// where it ended.
func TestEventsResume(t *testing.T) {
	t.Parallel()
	// The log is read up to the oldest transaction of the whole server, so the
	// server is this test's own.
	k := newKitOn(t, dbtest.Server(t).DSN()).seed()
	k.make("P")
	k.make("Q")
	k.batch("/v1/stock:batch", `[{"sku":"P","on_hand":1}]`)
	var seen []string
	next := ""
	read := func(want int) {
		// Autovacuum may hold the horizon for a moment.
		for deadline := time.Now().Add(30 * time.Second); len(seen) < want && time.Now().Before(deadline); {
			var e page[pim.Event]
			k.want(k.do(Viewer, "GET", "/v1/events?limit=2&cursor="+next, nil), 200, &e)
			for _, i := range e.Items {
				seen = append(seen, i.Type+" "+string(i.SKU)+" by "+i.Actor)
			}
			next = e.Next
		}
	}
	read(3)
	k.want(k.do(Editor, "DELETE", "/v1/products/Q", nil), 204, nil)
	read(4)
	want := []string{"product.created P by editor key", "product.created Q by editor key", "stock.changed P by integration key", "product.deleted Q by editor key"}
	if len(seen) != len(want) {
		t.Fatalf("events %q", seen)
	}
	for i := range want {
		if seen[i] != want[i] {
			t.Errorf("event %d: %s, want %s", i, seen[i], want[i])
		}
	}
	k.refused(k.do(Viewer, "GET", "/v1/events?cursor=1", nil), 422, "query.cursor", "cursor")
}
