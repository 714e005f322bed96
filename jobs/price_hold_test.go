package jobs_test

import (
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What the guard of a price list holds is in no document until it is approved:
// stock goes out beside the old price, and the explanation says so.
func TestHeldPricesStayOffTheRoad(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	s := r.scripted()
	sent := make(chan string, 100)
	s.set(func(items []connectors.Item) ([]connectors.Result, error) {
		for _, x := range items {
			if x.Lane == pim.Offer {
				sent <- string(x.Document)
			}
		}
		return accepted(items)
	})
	r.scriptedShop(func(c *jobs.ChannelSpec) {
		c.Mapping.Offer = map[string]string{"price": "price.amount", "stock": "stock.available"}
	})
	r.put([]pim.SKU{"A"}, title("A"))
	r.offer("A", "100", 1)
	r.work()
	r.settled("shop")
	if _, _, err := r.store.PutPriceList(r.ctx, pim.PriceList{Code: "default", Guard: &pim.PriceGuard{MaxFactor: 2}}, 0); err != nil {
		t.Fatal(err)
	}
	r.offer("A", "10", 7)
	r.settled("shop")
	if l, _ := r.is("A", pim.Offer, jobs.ReasonPriceHeld); l.Since == nil || l.OnTarget != jobs.OnTargetAccepted {
		t.Errorf("%+v", l)
	}
	if n, err := r.store.ApproveHolds(r.ctx, "anna", postgres.HoldFilter{SKU: "A"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.settled("shop")
	r.is("A", pim.Offer, jobs.ReasonAccepted)
	close(sent)
	var got []string
	for x := range sent {
		if n := len(got); n == 0 || got[n-1] != x {
			got = append(got, x)
		}
	}
	if want := `[{"price":"100","stock":1} {"price":"100","stock":7} {"price":"10","stock":7}]`; fmt.Sprint(got) != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}
