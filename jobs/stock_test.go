package jobs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// offers are the offers that a target received of a SKU, in order.
func offers(fake *webhooktest.Server, sku pim.SKU) string {
	var list []string
	for _, e := range fake.History(sku, pim.Offer) {
		list = append(list, string(e.Document))
	}
	return strings.Join(list, " ")
}

// There are pieces, and by its buffer the channel has none to sell: that is sold out
// there, and goes through shut windows, whether the level or the buffer changes.
func TestSoldOutByBuffer(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	mapping := &connectors.Mapping{Content: map[string]string{"sku": "sku"}, Offer: map[string]string{"stock": "stock.available"}}
	some := r.channel("some", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Mapping, s.Policy.Stock.Buffer = mapping, 2 })
	all := r.channel("all", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Mapping = mapping })
	r.work()
	r.put([]pim.SKU{"A", "B", "C"}, title("A"))
	for _, sku := range []pim.SKU{"A", "B", "C"} {
		r.offer(sku, "", 9)
	}
	r.settled("some", "all")
	r.update("some", func(s *jobs.ChannelSpec) {
		s.Policy.Stock.Buffer, s.Policy.Flow.Windows = 2, []pim.Window{shut("offer")}
	})
	last := func(fake *webhooktest.Server, sku pim.SKU) string {
		l, _ := fake.Listing(sku, pim.Offer)
		return string(l.Document)
	}
	is := func(fake *webhooktest.Server, sku pim.SKU, n int) func() bool {
		return func() bool { return last(fake, sku) == fmt.Sprintf(`{"stock":%d}`, n) }
	}
	r.offer("A", "", 2)
	r.until(is(some, "A", 0)) // A is sold out where two are held back
	r.until(is(all, "A", 2))  // A sells on elsewhere
	r.offer("B", "", 4)       // waits for the window
	r.until(is(all, "B", 4))  // B sells on elsewhere
	r.update("some", func(s *jobs.ChannelSpec) {
		s.Policy.Stock.Buffer, s.Policy.Flow.Windows = 4, []pim.Window{shut("offer")}
	})
	r.until(is(some, "B", 0)) // B is sold out by the new buffer
	if got := last(some, "C"); got != `{"stock":7}` {
		t.Errorf("C, which sells on, was sent out of its window: %s", got)
	}
	if _, _, err := r.store.PutLocation(r.ctx, pim.Location{Code: "default", SafetyStock: 9}, 0); err != nil {
		t.Fatal(err)
	}
	r.until(is(some, "C", 0)) // C is sold out by the safety stock
	r.until(is(all, "C", 0))  // C is sold out elsewhere
	if got := offers(all, "C"); got != `{"stock":9} {"stock":0}` {
		t.Errorf("sent elsewhere: %s", got)
	}
	a, err := r.store.SetStock(r.ctx, "erp", []pim.StockRow{{SKU: "C", Stock: pim.Stock{Location: "default", OnHand: 3}, Delta: true}}, postgres.Idempotency{})
	if err != nil || a[0].Level.OnHand != 12 {
		t.Fatal(a, err)
	}
	r.until(is(all, "C", 3)) // the delta reaches the target
}
