package jobs_test

import (
	"encoding/json"
	"testing"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What a target hides sells nothing: that it is not "sold out" there, too, though
// it was told so, is no drift.
func TestHiddenSellsNothing(t *testing.T) {
	t.Parallel()
	r, fake := onSale(t, pim.WithdrawDisable)
	r.enable("A", false)
	r.settled("shop")
	r.withdraws("shop", pim.WithdrawZeroStock)
	r.crash()
	if _, err := r.store.ResyncListings(r.ctx, postgres.ListingChoice{Channel: "shop"}, true); err != nil {
		t.Fatal(err)
	}
	// What is dirty when its holder vanishes is in doubt, and told again. Had a lane's holder just ended by itself, there would be no doubt.
	if _, err := r.store.Pool().Exec(r.ctx, `update consumer set unsure_at = now() where kind = 'drain'`); err != nil {
		t.Fatal(err)
	}
	r.work()
	r.wait(fake, func(s webhooktest.State) bool { return s.SoldOut("A") })
	r.settled("shop")
	if !fake.Hidden("A") {
		t.Fatal("it is shown")
	}
	if run := r.reconciled("shop", false); run.Drifted != 0 || run.Same == 0 {
		t.Errorf("%+v %+v", run, r.drifts("shop"))
	}
}

// A drift is of what was acknowledged. Where nothing is acknowledged any more that
// can differ, it is over.
func TestDriftIsOver(t *testing.T) {
	t.Parallel()
	for how, change := range map[string]func(*road){
		"the product is gone": func(r *road) { r.enable("A", false) },
		"the document has no field": func(r *road) {
			if _, err := r.store.SetPrices(r.ctx, "test", []pim.PriceRow{{SKU: "A", Price: price("9.90"), Delete: true}}, postgres.Idempotency{}); err != nil {
				r.Fatal(err)
			}
		},
		"the product is sold out": func(r *road) { r.withdraws("shop", pim.WithdrawZeroStock); r.enable("A", false) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			fake := r.readable("shop", webhooktest.Options{}, pim.ReconcileReport)
			r.work()
			r.put([]pim.SKU{"A"}, title("A"))
			r.prices([]pim.SKU{"A"}, "9.90")
			r.settled("shop")
			fake.Alter("A", pim.Offer, json.RawMessage(`{"price":"1.00"}`))
			if run := r.reconciled("shop", false); run.Drifted != 1 {
				t.Fatalf("%+v", run)
			}
			change(r)
			r.settled("shop")
			r.until(func() bool { // by itself
				r.wakeReconcile("shop")
				return len(r.drifts("shop")) == 0
			})
			if l := r.listing("shop", "A", pim.Offer); len(codes(l)) > 0 {
				t.Errorf("its issues: %v", codes(l))
			}
		})
	}
}
