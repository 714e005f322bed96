package jobs_test

import (
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// The revision that listings call wanted is the one that the drain sends, also
// where a lane's mapping reads other lanes.
func TestWantedRevision(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("plain", webhooktest.Options{}, nil)
	r.channel("mixed", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Mapping = &connectors.Mapping{
			Content: map[string]string{"values": "values", "stock": "stock.available"},
			Offer:   map[string]string{"stock": "stock.available", "colour": "values.colour"},
			Media:   map[string]string{"media": "firstOf([media])", "colour": "values.colour", "stock": "stock.available"},
		}
	})
	r.work()
	all := skus(2)
	r.put(all, title("first"))
	for n := range int64(3) {
		r.put(all, pim.Values{"colour": []string{"red", "blue", "green"}[n], "picture": []any{"https://x.example/" + string(rune('a'+n)) + ".jpg"}})
		for _, sku := range all {
			if _, err := r.store.SetStock(r.ctx, "test", []pim.StockRow{{SKU: sku, Stock: pim.Stock{OnHand: 10 + n}}}, postgres.Idempotency{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.settled("plain", "mixed")
	list, _, err := r.store.Listings(r.ctx, postgres.ListingFilter{}, postgres.Page{})
	if err != nil || len(list) != 12 {
		t.Fatal(len(list), err)
	}
	for _, l := range list {
		if l.Wanted != l.Acked || l.Acked == 0 {
			t.Errorf("%s %s %s: wanted %d, acknowledged %d (%s)", l.Channel, l.SKU, l.Lane, l.Wanted, l.Acked, l.State)
		}
	}
	// While nobody sends, it shows what will be sent.
	if err := r.store.PauseChannel(r.ctx, "mixed"); err != nil {
		t.Fatal(err)
	}
	r.put(all[:1], pim.Values{"colour": "black"})
	r.settled("plain")
	waiting, _, err := r.store.Listings(r.ctx, postgres.ListingFilter{Channel: "mixed", SKU: all[0]}, postgres.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.ResumeChannel(r.ctx, "mixed"); err != nil {
		t.Fatal(err)
	}
	r.settled("mixed")
	sent, _, err := r.store.Listings(r.ctx, postgres.ListingFilter{Channel: "mixed", SKU: all[0]}, postgres.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range waiting {
		if waiting[i].Wanted != sent[i].Acked {
			t.Errorf("%s: %d was wanted, %d was sent", sent[i].Lane, waiting[i].Wanted, sent[i].Acked)
		}
	}
}

// A document that has lost its last field is sent once, empty; one that never
// had any is not sent.
func TestEmptiedDocument(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	with, without := pim.SKU("WITH"), pim.SKU("WITHOUT")
	r.put([]pim.SKU{with}, pim.Values{"picture": []any{"https://x.example/a.jpg"}})
	r.put([]pim.SKU{without}, title("plain"))
	r.settled("shop")
	r.put([]pim.SKU{with}, pim.Values{"picture": nil})
	r.settled("shop")
	if l, ok := fake.Listing(with, pim.Media); !ok || string(l.Document) != "{}" {
		t.Errorf("the target holds media %s", l.Document)
	}
	if n := len(fake.History(without, pim.Media)); n != 0 {
		t.Errorf("media of a product that never had any were sent %d times", n)
	}
}

// A product whose content comes to nothing is not sent at all: its offer waits
// for nothing, and comes when the content does.
func TestOffersOfUnsentContent(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Mapping = &connectors.Mapping{
			Content: map[string]string{"title": `values.colour == 'red' ? dyn(values.name) : null`},
			Offer:   map[string]string{"price": "price.amount"},
		}
	})
	r.put(skus(2), title("A"))
	for _, sku := range skus(2) {
		r.offer(sku, "1.00", 1)
	}
	r.work()
	r.settled("shop")
	if n := fake.Counts().Received; n != 0 {
		t.Errorf("%d items were sent", n)
	}
	r.offer("SKU-0001", "2.00", 1) // an offer that is there alone
	r.put(skus(2), title("B"))
	r.settled("shop")
	if n := fake.Counts().Received; n != 0 {
		t.Errorf("%d items were sent", n)
	}
	r.put(skus(1), pim.Values{"colour": "red"})
	r.settled("shop")
	if l, ok := fake.Listing("SKU-0001", pim.Offer); !ok || string(l.Document) != `{"price":"2.00"}` {
		t.Errorf("the offer did not follow its content: %s", l.Document)
	}
	if n := fake.Counts().Received; n < 2 || n > 3 {
		t.Errorf("%d items were sent", n)
	}
}
