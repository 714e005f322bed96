package jobs_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// readable makes a channel whose target tells what it holds.
func (r *road) readable(code pim.ChannelCode, opts webhooktest.Options, mode pim.ReconcileMode) *webhooktest.Server {
	r.Helper()
	fake := webhooktest.Start(r, opts)
	r.fakes[code] = fake
	r.channelAt(code, fake, func(s *jobs.ChannelSpec) {
		s.Config, _ = json.Marshal(map[string]any{"url": fake.URL(), "status_url": fake.StatusURL(), "read_url": fake.HeldURL(), "secret": fake.Secret()})
		s.SettleSeconds = 0.05
		s.Policy.Reconcile.Mode = mode
	})
	return fake
}

// reconciled runs a whole comparison of the channel when all is settled that it
// acknowledged, and gives what it found.
func (r *road) reconciled(code pim.ChannelCode, repair bool, skus ...pim.SKU) *pim.ReconcileRun {
	r.Helper()
	r.calm(code)
	if err := r.store.StartReconcile(r.ctx, code, skus, repair, "test"); err != nil {
		r.Fatal(err)
	}
	r.wakeReconcile(code)
	var run *pim.ReconcileRun
	r.until(func() bool {
		s, err := r.store.ReconcileStatus(r.ctx, code)
		if err != nil {
			r.Fatal(err)
		}
		run = s.Run
		return run.State == "finished"
	})
	return run
}

// calm waits until all is settled that the channel acknowledged.
func (r *road) calm(code pim.ChannelCode) {
	r.Helper()
	r.until(func() (settled bool) {
		err := r.store.Pool().QueryRow(r.ctx, `
select not coalesce(bool_or(l.acked_at >= now() - c.settle_ms * interval '1 ms'), false) from channel c join listing l on l.channel_id = c.id where c.code = $1`, string(code)).Scan(&settled)
		if err != nil {
			r.Fatal(err)
		}
		return settled
	})
}

// drifts are the drifts of a channel.
func (r *road) drifts(code pim.ChannelCode) []pim.Drift {
	r.Helper()
	list, _, err := r.store.Drifts(r.ctx, code, "", 0, postgres.Page{Limit: 1000})
	if err != nil {
		r.Fatal(err)
	}
	return list
}

// issues are the codes of a listing's issues.
func codes(l pim.Listing) (list []string) {
	for _, i := range l.Issues {
		list = append(list, i.Code)
	}
	return list
}

// What a target holds as it acknowledged it is verified; what somebody changed
// or deleted there is told, and stays as it is: nothing is sent.
func TestReconcileReports(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{}, "")
	r.work()
	all := skus(5)
	r.put(all, title("first"))
	r.settled("shop")
	if got := r.listing("shop", all[0], pim.Content); got.State != pim.StateAccepted || got.VerifiedAt != nil {
		t.Fatalf("before it was read back: %+v", got)
	}
	if run := r.reconciled("shop", false); run.Products != 5 || run.Seen != 5 || run.Same != 5 || run.Drifted != 0 {
		t.Fatalf("%+v", run)
	}
	got := r.listing("shop", all[0], pim.Content)
	if got.State != pim.StateVerified || got.VerifiedAt == nil || got.VerifiedAt.Before(*got.AckedAt) || got.Status != "accepted" {
		t.Fatalf("read back: %+v", got)
	}
	calls := fake.Counts().Calls
	fake.Alter(all[0], pim.Content, json.RawMessage(`{"enabled":true,"sku":"SKU-0001","values":{"name":"theirs"},"also":1}`))
	fake.Drop(all[1])
	if run := r.reconciled("shop", false); run.Same != 3 || run.Drifted != 2 || run.Repaired != 0 {
		t.Fatalf("%+v", run)
	}
	list := r.drifts("shop")
	if len(list) != 2 || list[0].Kind != pim.DriftChanged || list[1].Kind != pim.DriftAbsent || list[1].SKU != all[1] {
		t.Fatalf("%+v", list)
	}
	if f := list[0].Fields; !slices.ContainsFunc(f, func(f pim.DriftField) bool { return f.Field == "values" && string(f.Held) == `{"name": "theirs"}` }) {
		t.Errorf("fields: %+v", f)
	}
	changed, gone := r.listing("shop", all[0], pim.Content), r.listing("shop", all[1], pim.Content)
	if !slices.Contains(codes(changed), "drift.field") || changed.State != pim.StateAccepted || !slices.Contains(codes(gone), "drift.absent") {
		t.Errorf("%+v\n%+v", changed, gone)
	}
	if n := fake.Counts().Calls; n != calls {
		t.Errorf("%d calls wrote to the target", n-calls)
	}
	// An edit sends it, and the drift is over without anybody's asking.
	r.put(all[:1], title("second"))
	r.settled("shop")
	if l := r.listing("shop", all[0], pim.Content); len(l.Issues) != 0 || l.State != pim.StateAccepted {
		t.Errorf("sent again: %+v", l)
	}
	r.wakeReconcile("shop")
	r.until(func() bool {
		r.wakeReconcile("shop")
		return len(r.drifts("shop")) == 1
	})
	if l := r.listing("shop", all[0], pim.Content); l.State != pim.StateVerified {
		t.Errorf("read again: %+v", l)
	}
}

// wakeReconcile makes the channel's comparison due now.
func (r *road) wakeReconcile(code pim.ChannelCode) {
	r.Helper()
	ch, err := r.store.Channel(r.ctx, code)
	if err != nil {
		r.Fatal(err)
	}
	if _, err := r.store.Pool().Exec(r.ctx, `update reconcile set due_at = least(due_at, now()), wakes = wakes + 1 where channel_id = $1`, int64(ch.ID)); err != nil {
		r.Fatal(err)
	}
	r.runner.Wake(postgres.Consumer{Kind: postgres.Reconcile, Channel: ch.ID})
}

// A repair sends what the product is, once, and what was deleted begins a new
// life: its prices come again, too.
func TestReconcileRepairs(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{Versioned: true}, pim.ReconcileRepair)
	r.work()
	all := skus(4)
	r.put(all, title("first"))
	r.prices(all, "9.90")
	r.settled("shop")
	held := map[pim.SKU]string{}
	for _, sku := range all {
		held[sku] = name(fake, sku)
	}
	offer, _ := fake.Listing(all[1], pim.Offer)
	fake.Alter(all[0], pim.Content, json.RawMessage(`{"sku":"SKU-0001"}`))
	fake.Drop(all[1])
	if run := r.reconciled("shop", false, all...); run.Repaired != 2 {
		t.Fatalf("%+v", run)
	}
	r.settled("shop")
	for _, sku := range all {
		if name(fake, sku) != held[sku] {
			t.Errorf("%s is %q", sku, name(fake, sku))
		}
	}
	if again, ok := fake.Listing(all[1], pim.Offer); !ok || string(again.Document) != string(offer.Document) {
		t.Errorf("its offer: %s, was %s", again.Document, offer.Document)
	}
	r.until(func() bool { // it is read once more by itself, and is well
		r.wakeReconcile("shop")
		return len(r.drifts("shop")) == 0
	})
	if n := len(fake.History(all[2], pim.Content)); n != 1 {
		t.Errorf("what did not differ was sent %d times", n)
	}
}

// prices sets the products' price.
func (r *road) prices(skus []pim.SKU, amount string) {
	r.Helper()
	rows := make([]pim.PriceRow, len(skus))
	for i, sku := range skus {
		rows[i] = pim.PriceRow{SKU: sku, Price: price(amount)}
	}
	if _, err := r.store.SetPrices(r.ctx, "test", rows, postgres.Idempotency{}); err != nil {
		r.Fatal(err)
	}
}

// A target that never holds what it is sent is not sent it for ever.
func TestReconcileGivesUp(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{Mangle: func(json.RawMessage) json.RawMessage {
		return json.RawMessage(`{"sku":"SKU-0001","values":{"name":"theirs"}}`)
	}}, pim.ReconcileRepair)
	r.work()
	sku := skus(1)
	r.put(sku, title("first"))
	r.settled("shop")
	r.reconciled("shop", false)
	r.until(func() bool {
		r.wakeReconcile("shop")
		d := r.drifts("shop")
		return len(d) == 1 && d[0].Repairs == 2 && d[0].LookedAt.After(*d[0].RepairedAt)
	})
	for range 3 {
		if run := r.reconciled("shop", true); run.Drifted != 1 || run.Repaired != 0 {
			t.Errorf("%+v", run)
		}
	}
	if n := len(fake.History(sku[0], pim.Content)); n != 3 {
		t.Errorf("it was sent %d times", n)
	}
}

// What is under way is left out, and what is found late is dropped: a target
// read while an edit goes by holds something newer, not something wrong.
func TestReconcileLeavesAloneWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{}, pim.ReconcileRepair)
	r.work()
	sku := skus(2)
	r.put(sku, title("first"))
	r.settled("shop")
	r.reconciled("shop", false) // nobody reads while the fault is set
	r.until(func() bool { return r.resting("shop") })
	fake.Script(webhooktest.Fault{Kind: webhooktest.Hang, Reads: true, Times: 1})
	if err := r.store.StartReconcile(r.ctx, "shop", nil, false, "test"); err != nil {
		t.Fatal(err)
	}
	if err := r.store.StartReconcile(r.ctx, "shop", nil, false, "test"); !errors.Is(err, postgres.ErrExists) {
		t.Errorf("a second run: %v", err)
	}
	r.wakeReconcile("shop")
	if err := fake.Wait(r.ctx, func(s webhooktest.State) bool { return s.Counts().Hanging > 0 }); err != nil {
		t.Fatal(err)
	}
	r.put(sku[:1], title("second"))
	r.settled("shop")
	fake.Release()
	var run *pim.ReconcileRun
	r.until(func() bool {
		s, err := r.store.ReconcileStatus(r.ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		run = s.Run
		return run.State == "finished"
	})
	if run.Same != 1 || run.Drifted != 0 || run.LeftOut != 1 || len(r.drifts("shop")) != 0 {
		t.Errorf("%+v, %+v", run, r.drifts("shop"))
	}
	if n := len(fake.History(sku[0], pim.Content)); n != 2 {
		t.Errorf("it was sent %d times", n)
	}
}

// resting reports whether no comparison of the channel is held or due.
func (r *road) resting(code pim.ChannelCode) (rests bool) {
	r.Helper()
	err := r.store.Pool().QueryRow(r.ctx, `
select k.released and r.due_at > now() from channel c join consumer k on k.kind = 'reconcile' and k.channel_id = c.id join reconcile r on r.channel_id = c.id
where c.code = $1`, string(code)).Scan(&rests)
	if err != nil {
		r.Fatal(err)
	}
	return rests
}

// A withdrawn product that is back at the target is drift as well, and a repair
// withdraws it again.
func TestReconcileFindsWhatIsBack(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{}, pim.ReconcileRepair)
	r.work()
	sku := skus(1)
	r.put(sku, title("first"))
	r.settled("shop")
	held, _ := fake.Listing(sku[0], pim.Content)
	if _, err := r.store.Edit(r.ctx, "test", []postgres.Edit{{SKU: sku[0], Mode: postgres.Delete}}); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	if run := r.reconciled("shop", false); run.Same != 1 {
		t.Fatalf("withdrawn: %+v", run)
	}
	fake.Place(sku[0], pim.Content, held.Document)
	r.until(func() bool {
		r.wakeReconcile("shop")
		_, there := fake.Listing(sku[0], pim.Content)
		return !there
	})
}

// A target that cannot be read costs its channel nothing else, and is read when
// it can be.
func TestReconcileOutage(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{}, "")
	r.work()
	sku := skus(3)
	r.put(sku, title("first"))
	r.settled("shop")
	r.calm("shop")
	fake.Script(webhooktest.Fault{Kind: webhooktest.Fail, Reads: true})
	if err := r.store.StartReconcile(r.ctx, "shop", nil, false, "test"); err != nil {
		t.Fatal(err)
	}
	r.until(func() bool {
		r.wakeReconcile("shop")
		s, err := r.store.ReconcileStatus(r.ctx, "shop")
		return err == nil && s.Fails > 1 && s.Error != "" && s.Run.State == "running"
	})
	r.put(sku, title("second")) // sending goes on
	r.settled("shop")
	if name(fake, sku[0]) != "second" {
		t.Error("an edit does not pass")
	}
	fake.Up()
	r.until(func() bool {
		r.wakeReconcile("shop")
		s, err := r.store.ReconcileStatus(r.ctx, "shop")
		return err == nil && s.Fails == 0 && s.Run.State == "finished"
	})
	if ch, err := r.store.Channel(r.ctx, "shop"); err != nil || ch.Fails != 0 {
		t.Errorf("the breaker counts readings: %+v, %v", ch, err)
	}
	if err := r.store.StartReconcile(r.ctx, "shop", nil, false, "test"); err != nil {
		t.Fatal(err)
	}
	if stopped, err := r.store.CancelReconcile(r.ctx, "shop"); err != nil || !stopped {
		t.Errorf("cancel: %v, %v", stopped, err)
	}
	if s, err := r.store.ReconcileStatus(r.ctx, "shop"); err != nil || s.Run.State != "cancelled" || s.Run.Number != 2 {
		t.Errorf("%+v, %v", s.Run, err)
	}
}

// A rate is kept, spread over the hour.
func TestSampled(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 7, 60, 600, 5000, 60_000, 700_000} {
		n, every := jobs.Sampled(rate, 50)
		perHour := float64(n) * 3600 / every.Seconds()
		if perHour > 1.2*float64(rate) || perHour < 0.8*float64(rate) || n < 1 {
			t.Errorf("%d an hour become %d every %s: %.0f", rate, n, every, perHour)
		}
	}
	if n, every := jobs.Sampled(pim.DefaultProductsPerHour, 100); every.Minutes() < 4 || n > 100 {
		t.Errorf("by default %d every %s: idle channels are to cost little", n, every)
	}
}

// What was shown, and is shown to nobody any more, was unpublished there: that is
// drift, though no field differs, and a repair has it shown again.
func TestReconcileFindsWhatIsHidden(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{Answer: connectors.Live}, pim.ReconcileReport)
	r.work()
	all := skus(2)
	r.put(all, title("A"))
	r.settled("shop")
	r.byAnother(fake, connectors.Item{SKU: all[0], Lane: pim.Content, Revision: 2, Action: connectors.Disable, Document: json.RawMessage("{}")})
	if run := r.reconciled("shop", false); run.Drifted != 1 {
		t.Errorf("%+v", run)
	}
	found := r.drifts("shop")
	if l := r.listing("shop", all[0], pim.Content); len(found) != 1 || found[0].SKU != all[0] || found[0].Kind != pim.DriftHidden || !slices.Equal(codes(l), []string{"drift.hidden"}) {
		t.Errorf("%+v, %+v", found, l)
	}
	r.reconciled("shop", true)
	r.settled("shop")
	r.until(func() bool { return len(r.drifts("shop")) == 0 })
	if fake.Hidden(all[0]) {
		t.Error("it is still hidden")
	}
}

// A reading that was asked for where nothing can be read comes to an end, and says
// why.
func TestReconcileOfWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	if err := r.store.StartReconcile(r.ctx, "shop", nil, false, "test"); err != nil {
		t.Fatal(err)
	}
	r.wakeReconcile("shop")
	r.until(func() bool {
		s, err := r.store.ReconcileStatus(r.ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		return s.Run.State == "cancelled" && s.Run.EndedAt != nil && s.Error != ""
	})
}
