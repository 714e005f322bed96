package bol_test

import (
	"fmt"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/pim"
)

// Offers are read back fifty at a time, and are the same whatever the digits of
// their prices; what is off the document but set by every push settles no doubt.
func TestReadOffers(t *testing.T) {
	const sku = pim.SKU("A")
	item := connectors.Item{SKU: sku, Lane: pim.Offer, Revision: 1, Action: connectors.Upsert, Document: fmt.Appendf(nil,
		`{"bundles":[{"price":"17.5","quantity":10}],"currency":"EUR","ean":%q,"price":"19.9","sku":"A","stock":1200}`, eanOf(sku))}
	for name, c := range map[string]struct {
		change         func(*boltest.Offer)
		matches, exact bool
	}{
		"as it was sent": {nil, true, true},
		"stock":          {func(o *boltest.Offer) { o.Stock = 998 }, false, false},
		"on hold":        {func(o *boltest.Offer) { o.OnHold = true }, true, false},
		"other lands":    {func(o *boltest.Offer) { o.Countries = []string{"BE"} }, true, false},
		"another's":      {func(o *boltest.Offer) { o.Reference = "B" }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			fake, to := start(t, nil, boltest.Options{}, nil)
			res, err := to.Push(t.Context(), []connectors.Item{item})
			if err != nil || res[0].Err != nil {
				t.Fatal(res, err)
			}
			if c.change != nil {
				o, _ := fake.Offer(string(sku))
				for id := range fake.Offers() {
					fake.RemoveOffer(id)
				}
				c.change(&o)
				fake.AddOffer(o)
			}
			before := fake.Counts().Calls
			held, err := to.(connectors.Reader).Read(t.Context(), []connectors.Item{item, item})
			if err != nil || held[0].Err != nil || fake.Counts().Calls != before+1 {
				t.Fatalf("%+v, %v, %d calls", held, err, fake.Counts().Calls-before)
			}
			if h := held[1]; h.Matches(item) != c.matches || h.Exact != c.exact {
				t.Errorf("matches %v, exact %v, %s: %s", h.Matches(item), h.Exact, h.Presence, h.Document)
			}
		})
	}
}
