package jobs_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// closed are windows that open in some hours, for a test is not that slow.
func closed() pim.Flow {
	clock := func(in time.Duration) string { return time.Now().UTC().Add(in).Format("15:04") }
	return pim.Flow{Windows: []pim.Window{{From: clock(3 * time.Hour), To: clock(4 * time.Hour)}}}
}

// shelved publishes products with stock on a channel, which is then held by its windows.
func shelved(r *road, n int) (*webhooktest.Server, []pim.SKU, func()) {
	r.Helper()
	fake := r.channel("shop", webhooktest.Options{}, flowing(pim.Flow{}))
	stop := r.work()
	all := skus(n)
	r.put(all, title("A"))
	for _, sku := range all {
		r.offer(sku, "5", 10)
	}
	r.settled("shop")
	r.flow("shop", closed())
	r.settled("shop") // looked at, and nothing differs
	return fake, all, stop
}

const soldOutNow = `{"currency":"EUR","price":"5","stock":0}`

func offered(fake *webhooktest.Server, sku pim.SKU) string {
	l, _ := fake.Listing(sku, pim.Offer)
	return string(l.Document)
}

// What is sold out goes through a window that is closed also when its push
// failed, whatever the failure, and when the process died over it.
func TestSoldOutOutlivesFailures(t *testing.T) {
	t.Parallel()
	for _, fault := range []webhooktest.Fault{
		{Kind: webhooktest.Fail, Status: http.StatusServiceUnavailable},
		{Kind: webhooktest.Throttle, After: time.Second},
		{Kind: webhooktest.Lose}, // in doubt: it is confirmed in the window, too
	} {
		t.Run(string(fault.Kind), func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			fake, all, stop := shelved(r, 2)
			r.put(all, title("B"))
			r.rests("shop", pim.Content, postgres.HoldWindow)
			fake.Script(fault)
			calls := fake.Counts().Calls
			r.offer(all[1], "", 0)
			r.until(func() bool { // it failed, and that is written down
				ch := r.of("shop")
				return fake.Counts().Calls > calls && (ch.Fails > 0 || ch.ThrottledUntil != nil && ch.ThrottledUntil.After(time.Now()))
			})
			stop()
			fake.Script()
			r.work()
			r.until(func() bool {
				l := r.listing("shop", all[1], pim.Offer)
				return l.State == pim.StateAccepted && l.Acked == l.Wanted
			})
			if got := offered(fake, all[1]); got != soldOutNow {
				t.Errorf("it is %s", got)
			}
			if name(fake, all[0]) != "A" {
				t.Error("a text was sent, though no window is open")
			}
		})
	}
}

// After an outage what is sold out is what tries the target, and goes before all
// that has waited; a restock gives that place back.
func TestSoldOutIsFirstAfterAnOutage(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, serial)
	r.work()
	all := skus(20)
	r.put(all, title("A"))
	for _, sku := range all {
		r.offer(sku, "5", 10)
	}
	r.settled("shop")
	fake.Down(webhooktest.Fail)
	for _, sku := range all[:2] {
		r.offer(sku, "", 0)
	}
	r.until(func() bool { return r.of("shop").Fails >= postgres.BreakerFails })
	for _, sku := range all[2:] {
		r.offer(sku, "6", 11)
	}
	r.offer(all[0], "", 3) // there is some again
	r.fannedOut()
	var order []string
	stop := fake.Watch(func(e webhooktest.Entry) {
		if e.Lane == pim.Offer && e.Outcome == webhooktest.Applied {
			order = append(order, fmt.Sprintf("%s %s", e.SKU, e.Document))
		}
	})
	fake.Up()
	r.settled("shop")
	stop()
	if len(order) < 20 || order[0] != "SKU-0002 "+soldOutNow {
		t.Errorf("%d sent, the first %s", len(order), order[0])
	}
	if n := r.count(`select count(*) from listing l join product p on p.id = l.product_id where p.sku = $1 and l.lane = 2 and l.priority = 2`, all[0]); n != 0 {
		t.Error("what is there again counts as sold out")
	}
}

// What the target has taken is asked for to its end while the lane is held by a
// window, and is not sent again there.
func TestTicketsAreAskedForInAClosedWindow(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake, sku := ticketed(r)
	held := closed()
	r.flow("market", held)
	r.put(sku, title("B"))
	r.until(func() bool { // nothing is due, so a wake that meets a drain as it ends is not made good
		r.runner.WakeChannel(r.of("market").ID)
		return len(r.of("market").Held) > 0
	})
	r.rests("market", pim.Content, postgres.HoldWindow)
	r.fannedOut()
	fake.Process()
	polls := fake.Counts().Polls
	r.exec(`update listing set due_at = now() where token is not null`)
	r.until(func() bool {
		return r.count(`select count(*) from listing where lane = 1 and token is null and acked_rev is not null`) == 1
	})
	if fake.Counts().Polls == polls || name(fake, sku[0]) != "A" {
		t.Errorf("%d polls, and it is %q", fake.Counts().Polls-polls, name(fake, sku[0]))
	}
	if l := r.listing("market", sku[0], pim.Content); l.State != pim.StateWaiting {
		t.Errorf("what was wanted meanwhile is %s", l.State)
	}
	if len(r.of("market").Held) == 0 {
		t.Error("the lane is not held any more: the test proves nothing")
	}
	r.flow("market", pim.Flow{})
	r.until(func() bool { fake.Process(); return r.busy("market") == 0 })
	if got := name(fake, sku[0]); got != "B" {
		t.Errorf("%q in the end", got)
	}
}

// When a lane has used up its part of the day's quota, what is pending is asked
// for with half of the rest, and no more than that.
func TestTicketsAreAskedForBeyondALanesQuota(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	day := pim.Flow{RequestsPerDay: 20, DayBegins: time.Now().UTC().Add(-time.Hour).Format("15:04")} // not over before the test is
	fake := r.channel("market", webhooktest.Options{Async: &webhooktest.Async{Polls: 1 << 30}}, flowing(day))
	r.work()
	all := skus(20)
	r.put(all, title("A"))
	r.rests("market", pim.Content, postgres.HoldQuota)
	made := func() int64 { return fake.Counts().Calls + fake.Counts().Polls }
	if n := made(); n < 15 || n > 18 {
		t.Fatalf("%d requests, want 15 of 20 and polls", n)
	}
	r.until(func() bool {
		r.exec(`update listing set due_at = now() where token is not null and due_at > now()`)
		return r.count(`select count(*) from consumer where kind = 'drain' and lane = 1 and polls_until > now() + interval '1 hour'`) == 1
	})
	if n := made(); n != 18 {
		t.Errorf("%d requests, want 18 of 20", n)
	}
	day.RequestsPerDay = 100000
	r.flow("market", day)
	fake.SetAsync(nil)
	r.until(func() bool {
		fake.Process()
		r.exec(`update listing set due_at = now() where token is not null and due_at > now()`)
		return r.busy("market") == 0
	})
}

// What is edited goes ahead of a backfill however long that has waited, on a
// channel that debounces, and when it failed before; a resync is such a backfill.
func TestBackfillNeverDelaysAnEdit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		debounce float64
		resync   bool // of what is there, instead of a new channel
	}{"new channel": {}, "debounced": {debounce: 3600}, "resync": {resync: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			r.work()
			all := skus(100)
			r.put(all, title("before"))
			r.fannedOut()
			paused := false
			fake := r.channel("new", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
				s.Batch, s.Concurrency, s.Policy.Flow.DebounceSeconds = 5, 1, c.debounce
				if !c.resync {
					s.Enabled = &paused
				}
			})
			if c.resync {
				r.settled("new")
				if err := r.store.PauseChannel(r.ctx, "new"); err != nil {
					t.Fatal(err)
				}
				if n, err := r.store.ResyncListings(r.ctx, postgres.ListingChoice{Channel: "new", Lane: pim.Content}, true); err != nil || n != 100 {
					t.Fatal(n, err)
				}
			}
			r.until(func() bool { return r.count(`select count(*) from listing where dirty`) == 100 })
			r.fannedOut()
			edited := all[97:]
			r.put(edited, title("edited"))
			r.fannedOut()
			r.exec(`update listing set due_at = due_at - interval '3 days'`) // since which it waits
			seq := fake.Counts().Received
			fake.Script(webhooktest.Fault{Kind: webhooktest.Fail, Status: http.StatusServiceUnavailable, Times: 1})
			if err := r.store.ResumeChannel(r.ctx, "new"); err != nil {
				t.Fatal(err)
			}
			r.runner.WakeChannel(r.of("new").ID)
			r.until(func() bool {
				r.exec(`update listing set due_at = now() where dirty and due_at > now() + interval '30 minutes'`) // debounced
				return r.busy("new") == 0
			})
			for _, sku := range edited {
				h := fake.History(sku, pim.Content)
				h = slicesAfter(h, seq)
				if len(h) == 0 || h[0].Seq > seq+5 || len(h) > 1 && h[1].Seq > seq+10 {
					t.Errorf("%s: %d pushes, after %d others", sku, len(h), seq)
				}
			}
		})
	}
}

// slicesAfter are the entries received after seq.
func slicesAfter(list []webhooktest.Entry, seq int64) (out []webhooktest.Entry) {
	for _, e := range list {
		if e.Seq > seq {
			out = append(out, e)
		}
	}
	return out
}

// exec runs a statement by hand.
func (r *road) exec(sql string, args ...any) {
	r.Helper()
	if _, err := r.store.Pool().Exec(r.ctx, sql, args...); err != nil {
		r.Fatal(err)
	}
}
