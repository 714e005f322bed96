package jobs_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// flowing gives a channel one item a call, and a flow.
func flowing(f pim.Flow) func(*jobs.ChannelSpec) {
	return func(s *jobs.ChannelSpec) {
		s.Batch, s.Concurrency, s.Policy.Flow = 1, 1, f
	}
}

// flow changes the flow of a channel, and, where they are given, its secrets.
func (r *road) flow(code pim.ChannelCode, f pim.Flow, secrets ...string) {
	r.Helper()
	fake := r.fakes[code]
	fields := map[string]any{"url": fake.URL(), "status_url": fake.StatusURL()}
	for _, secret := range secrets {
		fields["secret"] = secret
	}
	config, _ := json.Marshal(fields)
	spec := jobs.ChannelSpec{Locale: "en-GB", Currency: "EUR", Config: config, SettleSeconds: 1, TimeoutSeconds: 30}
	flowing(f)(&spec)
	if _, err := r.channels.Update(r.ctx, code, spec, 0); err != nil {
		r.Fatal(err)
	}
	r.runner.WakeChannel(r.of(code).ID)
}

func (r *road) of(code pim.ChannelCode) *postgres.Channel {
	r.Helper()
	ch, err := r.store.Channel(r.ctx, code)
	if err != nil {
		r.Fatal(err)
	}
	return ch
}

// rests waits until a lane of the channel rests.
func (r *road) rests(code pim.ChannelCode, lane pim.Lane, why string) (until time.Time) {
	r.Helper()
	r.until(func() bool {
		for _, h := range r.of(code).Held {
			if h.Lane == lane && h.For == why {
				until = h.Until
				return true
			}
		}
		return false
	})
	return until
}

// A rate holds for the channel whatever its lanes and processes want, and the
// waiting is not taken for the target's: each call's time limit is shorter.
func TestRateIsTheChannels(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	slow := flowing(pim.Flow{RequestsPerSecond: 10, Burst: 1})
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { slow(s); s.Concurrency = 8 })
	began := time.Now()
	r.work()
	all := skus(10)
	r.put(all, title("A"))
	for _, sku := range all {
		r.offer(sku, "5", 10)
	}
	r.settled("shop")
	// The last of 20 requests is granted 1.9 s after the first, wherever the
	// process was held up; of the first all that is known is that it began.
	calls := fake.Counts().Calls
	if took := time.Since(began); calls < 20 || took < 1900*time.Millisecond {
		t.Errorf("%d requests in %v", calls, took)
	}
	// Where everything takes longer, the bucket still tells of each of them.
	var pass time.Time
	if err := r.store.Pool().QueryRow(r.ctx, `select pass_at from flow`).Scan(&pass); err != nil {
		t.Fatal(err)
	}
	if least := time.Duration(calls) * 100 * time.Millisecond; pass.Sub(began) < least {
		t.Errorf("%d requests are made at the channel's rate %v after the first, not after %v", calls, pass.Sub(began), least)
	}
	if got := r.of("shop"); got.Fails != 0 || got.Hold != "" {
		t.Errorf("%+v", got)
	}
}

// A quota is not hit but planned: texts stop at three quarters of it, prices and
// stock go on, and what is sold out gets the last of it.
func TestQuotaIsPlanned(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	day := pim.Flow{RequestsPerDay: 20, DayBegins: time.Now().UTC().Add(-time.Hour).Format("15:04")} // not over before the test is
	fake := r.channel("shop", webhooktest.Options{}, flowing(day))
	r.work()
	all := skus(30)
	for _, sku := range all[:10] {
		r.put([]pim.SKU{sku}, title("A"))
	}
	r.settled("shop")
	r.put(all[10:], title("A"))
	until := r.rests("shop", pim.Content, postgres.HoldQuota)
	if calls := fake.Counts().Calls; calls != 15 {
		t.Errorf("%d requests, want 15 of 20", calls)
	}
	if rises := day.QuotaRises(pim.Content, time.Now()); until.Sub(rises).Abs() > time.Minute {
		t.Errorf("rests until %v, it may have more from %v on", until, rises)
	}
	for i, sku := range all[:10] {
		r.offer(sku, "5", int64(10+i))
	}
	r.rests("shop", pim.Offer, postgres.HoldQuota)
	if calls := fake.Counts().Calls; calls != 19 {
		t.Errorf("%d requests, want 19 of 20", calls)
	}
	r.offer(all[0], "", 0)
	r.until(func() bool { return fake.Counts().Calls == 20 })
	r.offer(all[1], "", 0)
	r.until(func() bool { return r.of("shop").Hold == postgres.HoldQuota })
	if l, ok := fake.Listing(all[0], pim.Offer); !ok || string(l.Document) != `{"currency":"EUR","price":"5","stock":0}` {
		t.Errorf("what was sold out is %s", l.Document)
	}
	// A higher quota lets everything go at once.
	day.RequestsPerDay = 1000
	r.flow("shop", day)
	r.settled("shop")
	if name(fake, all[29]) != "A" || fake.Counts().Calls < 40 {
		t.Errorf("%d requests, the last %q", fake.Counts().Calls, name(fake, all[29]))
	}
}

// Outside of its windows a channel is sent nothing but what is sold out.
func TestWindowsAreKept(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, flowing(pim.Flow{}))
	r.work()
	all := skus(2)
	r.put(all, title("A"))
	for _, sku := range all {
		r.offer(sku, "5", 10)
	}
	r.settled("shop")
	clock := func(in time.Duration) string { return time.Now().UTC().Add(in).Format("15:04") }
	r.flow("shop", pim.Flow{Windows: []pim.Window{{From: clock(3 * time.Hour), To: clock(4 * time.Hour)}}})
	r.settled("shop") // looked at, and nothing differs
	before := fake.Counts().Received
	r.put(all, title("B"))
	r.offer(all[0], "6", 11)
	until := r.rests("shop", pim.Content, postgres.HoldWindow)
	r.rests("shop", pim.Offer, postgres.HoldWindow)
	if d := time.Until(until); d < 2*time.Hour || d > 3*time.Hour {
		t.Errorf("rests for %v", d)
	}
	r.offer(all[1], "", 0)
	r.until(func() bool { return fake.Counts().Received > before })
	if l, _ := fake.Listing(all[1], pim.Offer); string(l.Document) != `{"currency":"EUR","price":"5","stock":0}` || fake.Counts().Received != before+1 {
		t.Errorf("%d received, the sold out is %s", fake.Counts().Received-before, l.Document)
	}
	r.flow("shop", pim.Flow{})
	r.settled("shop")
	if name(fake, all[1]) != "B" {
		t.Errorf("%q", name(fake, all[1]))
	}
}

// A debounced change waits for further ones; what is sold out does not.
func TestDebounce(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, flowing(pim.Flow{}))
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.offer(sku[0], "5", 10)
	r.settled("shop")
	r.flow("shop", pim.Flow{DebounceSeconds: 3600})
	r.settled("shop")
	before := fake.Counts().Received
	for i := range 5 {
		r.put(sku, title("B%d", i))
	}
	r.offer(sku[0], "", 0)
	r.until(func() bool {
		l, _ := fake.Listing(sku[0], pim.Offer)
		return string(l.Document) == `{"currency":"EUR","price":"5","stock":0}`
	})
	var wait float64
	if err := r.store.Pool().QueryRow(r.ctx, `select extract(epoch from due_at - dirty_at) from listing where lane = 1 and dirty`).Scan(&wait); err != nil || wait < 3599 || wait > 3700 {
		t.Errorf("waits for %v s: %v", wait, err)
	}
	if n := fake.Counts().Received - before; n != 1 {
		t.Errorf("%d received, want the sold out alone", n)
	}
	r.flow("shop", pim.Flow{})
	r.settled("shop")
	if n := fake.Counts().Received - before; n != 2 || name(fake, sku[0]) != "B4" {
		t.Errorf("%d received, the last %q", n, name(fake, sku[0]))
	}
}

// A target's budget is obeyed before it refuses.
func TestBudgetIsObeyed(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, flowing(pim.Flow{}))
	fake.Say(http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"3600"}})
	r.work()
	all := skus(5)
	r.put(all, title("A"))
	r.until(func() bool { return r.of("shop").Hold == postgres.HoldBudget })
	ch := r.of("shop")
	if wait := time.Until(*ch.ThrottledUntil); wait < 50*time.Minute || wait > 70*time.Minute || ch.Fails != 0 {
		t.Errorf("rests for %v after %d failures", wait, ch.Fails)
	}
	if calls := fake.Counts().Calls; calls != 1 {
		t.Errorf("%d requests after the budget was used up, want none", calls-1)
	}
	// An operator knows better.
	fake.Say(nil)
	if err := r.store.ResumeChannel(r.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	r.runner.WakeChannel(ch.ID)
	r.settled("shop")
	if name(fake, all[4]) != "A" {
		t.Errorf("%q", name(fake, all[4]))
	}
}

// Refused credentials stop a channel, which says so, until they are changed.
func TestRefusedCredentialsStopTheChannel(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, flowing(pim.Flow{}))
	fake.Script(webhooktest.Fault{Kind: webhooktest.Unauthorized})
	began := time.Now()
	r.work()
	all := skus(5)
	r.put(all, title("A"))
	r.until(func() bool { return r.of("shop").Hold == postgres.HoldAuth })
	r.fannedOut()
	calls := fake.Counts().Calls
	ch := r.of("shop")
	if wait := ch.NextProbeAt.Sub(began); wait < 5*time.Minute {
		t.Errorf("asks again in %v", wait)
	}
	if why, _ := ch.Rests(time.Now()); why != postgres.HoldAuth {
		t.Errorf("it rests for %q, with %d failures", why, ch.Fails)
	}
	r.put(all, title("B"))
	r.fannedOut()
	if more := fake.Counts().Calls - calls; more != 0 {
		t.Errorf("%d more requests with the credentials that were refused", more)
	}
	fake.Script() // it knows the new ones
	r.flow("shop", pim.Flow{})
	r.settled("shop")
	if got := r.of("shop"); name(fake, all[4]) != "B" || got.Hold != "" || got.Fails != 0 {
		t.Errorf("%q, held for %q after %d failures", name(fake, all[4]), got.Hold, got.Fails)
	}
}

// A firewall's 403 of one product is that product's own matter.
func TestForbiddenProductIsParked(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Fail, Status: http.StatusForbidden, Only: func(items []webhooktest.Item) bool {
		return slices.ContainsFunc(items, func(i webhooktest.Item) bool { return i.SKU == "SKU-0007" })
	}})
	r.work()
	all := skus(20)
	r.put(all, title("A"))
	r.settled("shop")
	for _, sku := range all {
		want := pim.StateAccepted
		if sku == "SKU-0007" {
			want = pim.StateRejected
		}
		if got := r.listing("shop", sku, pim.Content); got.State != want {
			t.Errorf("%s is %s: %s", sku, got.State, got.Error)
		}
	}
	if ch := r.of("shop"); ch.Hold != "" || ch.Fails != 0 {
		t.Error(fmt.Sprint("the channel rests for ", ch.Hold))
	}
	// New credentials may have more rights.
	fake.Script()
	r.flow("shop", pim.Flow{}, fake.Secret())
	r.settled("shop")
	if got := r.listing("shop", "SKU-0007", pim.Content); got.State != pim.StateAccepted {
		t.Errorf("with other credentials it is %s", got.State)
	}
}
