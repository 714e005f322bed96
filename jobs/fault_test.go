package jobs_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Whatever goes wrong with calls for a while, the channel comes to hold what is
// wanted, nothing is parked for it, and the channel is well again.
func TestFaultsPass(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]webhooktest.Fault{
		"broken":             {Kind: webhooktest.Fail, Times: 4},
		"broken and applied": {Kind: webhooktest.Fail, Times: 2, Apply: true},
		"unavailable":        {Kind: webhooktest.Fail, Times: 4, Status: http.StatusServiceUnavailable},
		"too early":          {Kind: webhooktest.Fail, Times: 2, Status: http.StatusTooEarly},
		"reset":              {Kind: webhooktest.Reset, Times: 4},
		"answers lost":       {Kind: webhooktest.Lose, Times: 2},
		"late":               {Kind: webhooktest.Late, Times: 2, Calls: 2},
		"slow":               {Kind: webhooktest.Slow, Times: 2, After: 50 * time.Millisecond},
		"truncated":          {Kind: webhooktest.Garbage, Times: 2},
		"throttled":          {Kind: webhooktest.Throttle, Times: 2, After: time.Second},
		"a session's end":    {Kind: webhooktest.Unauthorized, Times: 1},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			fake := r.channel("shop", webhooktest.Options{}, nil)
			r.work()
			all := skus(4)
			r.put(all, title("A"))
			r.settled("shop")
			fake.Script(fault)
			for _, sku := range all {
				r.put([]pim.SKU{sku}, title("B"))
			}
			if fault.Kind == webhooktest.Late {
				r.until(func() bool { return fake.Counts().Calls >= 3 })
				fake.ApplyLate()
			}
			r.fannedOut()
			r.settled("shop")
			for _, sku := range all {
				if got, state := name(fake, sku), r.listing("shop", sku, pim.Content); got != "B" || state.State != pim.StateAccepted || state.Error != "" {
					t.Errorf("%s is %q, %s: %s", sku, got, state.State, state.Error)
				}
			}
			r.until(func() bool { // a step that had nothing to send may have told last
				ch := r.of("shop")
				why, _ := ch.Rests(time.Now())
				return why == "" && ch.Fails == 0
			})
		})
	}
}

// A target that has moved away takes nothing: the channel says so, and goes on
// when it is there again.
func TestMovedTargetIsDown(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Fail, Status: http.StatusFound})
	r.work()
	r.put(skus(1), title("A"))
	r.until(func() bool {
		ch := r.of("shop")
		return ch.Hold == postgres.HoldDown && ch.Fails >= postgres.BreakerFails && strings.Contains(ch.LastError, "302")
	})
	fake.Script()
	r.settled("shop")
	if got := name(fake, skus(1)[0]); got != "A" {
		t.Errorf("%q", got)
	}
}

// An answer without end is read to its bound, and the one product that it was
// of is parked for people, in doubt; it is sent again when they say so.
func TestOversizedIsParked(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Endless})
	r.work()
	r.put(skus(1), title("A"))
	r.until(func() bool { return r.listing("shop", skus(1)[0], pim.Content).State == pim.StateRejected })
	fake.Script()
	if n, err := r.store.RetryListings(r.ctx, postgres.ListingChoice{Channel: "shop"}); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	r.settled("shop")
	if got := r.listing("shop", skus(1)[0], pim.Content); got.State != pim.StateAccepted || name(fake, skus(1)[0]) != "A" {
		t.Errorf("%+v", got)
	}
}
