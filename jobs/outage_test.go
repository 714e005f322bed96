package jobs_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// One target refuses connections, one answers 500, one hangs, one throttles:
// the fifth notices nothing, and all end equal.
func TestOthersGoOnUndisturbed(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	well := r.channel("well", webhooktest.Options{}, nil)
	refuses := r.channel("refuses", webhooktest.Options{}, nil)
	fails := r.channel("fails", webhooktest.Options{}, nil)
	hangs := r.channel("hangs", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.TimeoutSeconds = 60 })
	throttles := r.channel("throttles", webhooktest.Options{}, nil)
	if err := refuses.Refuse(true); err != nil {
		t.Fatal(err)
	}
	fails.Down(webhooktest.Fail)
	hangs.Down(webhooktest.Hang)
	throttles.Throttle(0.5, 1)
	r.work()
	all := skus(20)
	for i := range 30 {
		want := fmt.Sprintf("v%d", i)
		r.put(all, title("%s", want))
		if i == 0 {
			r.wait(hangs, func(s webhooktest.State) bool { return s.Counts().Hanging == 1 })
		}
		r.holds(well, all[19], want) // with the others down, each edit arrives before the next is made
	}
	r.until(func() bool { return fails.Counts().Calls >= 3 })
	r.until(func() bool {
		c, err := r.store.Channel(r.ctx, "fails")
		return err == nil && c.Fails >= postgres.BreakerFails && c.LastError != ""
	})
	r.wait(hangs, func(s webhooktest.State) bool { return s.Counts().Hanging == 1 }) // still, or again
	if hangs.Counts().Applied != 0 {
		t.Error("the hanging target took something: the test proves nothing")
	}
	if err := refuses.Refuse(false); err != nil {
		t.Fatal(err)
	}
	fails.Up()
	hangs.Up()
	throttles.Throttle(0, 1)
	r.settled("well", "refuses", "fails", "hangs", "throttles")
	for code, fake := range r.fakes {
		for _, sku := range all {
			if got := name(fake, sku); got != "v29" {
				t.Errorf("%s: %s is %q", code, sku, got)
			}
		}
	}
	list, _, err := r.store.Listings(r.ctx, postgres.ListingFilter{State: pim.StateAccepted}, postgres.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if l.Attempts != 0 {
			t.Errorf("%s %s burnt %d attempts while its channel was down", l.Channel, l.SKU, l.Attempts)
		}
	}
}

// The buffer of an offline target is the listing table: 5,000 edits of 100
// products leave 100 dirty listings and a handful of jobs, and then only the
// newest state is sent, once, or once more to confirm it.
func TestOutageIsBounded(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	all := skus(100)
	r.put(all, title("before"))
	r.settled("shop")
	fake.Down(webhooktest.Fail)
	for i := range 50 {
		r.put(all, title("v%d", i))
	}
	r.fannedOut()
	stats, err := r.store.LaneStats(r.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range stats {
		if n := l.States[pim.StateWaiting]; l.Lane == pim.Content && n != 100 || l.Lane != pim.Content && n != 0 {
			t.Errorf("%d %s listings wait", n, l.Lane)
		}
	}
	var jobsLeft int
	if err := r.store.Pool().QueryRow(r.ctx, `select count(*) from river_job where state <> 'completed'`).Scan(&jobsLeft); err != nil {
		t.Fatal(err)
	}
	if jobsLeft > 20 { // one for each consumer, and one for each holder that was slow
		t.Errorf("%d jobs for one channel", jobsLeft)
	}
	before := pushes(fake, all)
	fake.Up()
	r.settled("shop")
	after := pushes(fake, all)
	for i, sku := range all {
		if got := name(fake, sku); got != "v49" {
			t.Errorf("%s is %q", sku, got)
		}
		if n := after[i] - before[i]; n < 1 || n > 2 {
			t.Errorf("%s was sent %d times", sku, n)
		}
	}
}

// fannedOut waits until every change has marked its listings.
func (r *road) fannedOut() {
	r.Helper()
	r.until(func() bool {
		road, err := r.store.RoadStats(r.ctx)
		return err == nil && road.Outbox == 0
	})
}

// Whatever the number of wakes, a consumer has one job.
func TestJobsAreUnique(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, nil)
	waker, err := jobs.New(jobs.Config{Store: r.store, Channels: r.channels, Log: r.log, Holder: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := waker.Start(r.ctx); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		if err := r.store.Pool().QueryRow(r.ctx, `select count(*) from river_job`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 20 {
		r.put(skus(1), title("v%d", i))
		r.until(func() bool { return count() > 0 })
		waker.Flushed()
	}
	if n := count(); n != 1 {
		t.Errorf("%d jobs for one consumer", n)
	}
	if err := waker.Stop(r.ctx); err != nil {
		t.Fatal(err)
	}
}

func pushes(fake *webhooktest.Server, all []pim.SKU) []int64 {
	n := make([]int64, len(all))
	for i, sku := range all {
		l, _ := fake.Listing(sku, pim.Content)
		n[i] = l.Pushes
	}
	return n
}

// A product that the target refuses is parked with the target's words; nobody
// waits for it, and the next relevant edit brings it back.
func TestRefusedIsParked(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	fake.Reject("SKU-0002", pim.Issue{Code: "name.short", Severity: pim.SeverityError, Attribute: "name", Text: "too short"})
	r.work()
	all := skus(3)
	r.put(all, title("A"))
	r.settled("shop")
	got := r.listing("shop", "SKU-0002", pim.Content)
	if got.State != pim.StateRejected || len(got.Issues) != 1 || got.Issues[0].Text != "too short" {
		t.Errorf("%+v", got)
	}
	if name(fake, all[0]) != "A" || name(fake, all[2]) != "A" {
		t.Error("the others waited for it")
	}
	fake.Accept("SKU-0002")
	r.put(all[1:2], title("long enough"))
	r.settled("shop")
	if got := r.listing("shop", "SKU-0002", pim.Content); got.State != pim.StateAccepted || got.Error != "" || len(got.Issues) != 0 {
		t.Errorf("%+v", got)
	}
	fake.Reject("SKU-0001")
	r.put(all[:1], title("B"))
	r.settled("shop")
	fake.Accept("SKU-0001")
	if n, err := r.store.RetryListings(r.ctx, postgres.ListingChoice{Channel: "shop"}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.settled("shop")
	if got := name(fake, all[0]); got != "B" {
		t.Errorf("after an operator's retry it is %q", got)
	}
}

func (r *road) listing(channel pim.ChannelCode, sku pim.SKU, lane pim.Lane) pim.Listing {
	r.Helper()
	list, _, err := r.store.Listings(r.ctx, postgres.ListingFilter{Channel: channel, SKU: sku, Lane: lane}, postgres.Page{})
	if err != nil {
		r.Fatal(err)
	}
	if len(list) == 0 {
		return pim.Listing{} // fan-out has not come to it yet
	}
	return list[0]
}

// A call that is refused as a whole is halved until the one at fault is alone.
func TestBatchIsBisected(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Fail, Status: 400, Only: func(items []webhooktest.Item) bool {
		for _, i := range items {
			if i.SKU == "SKU-0042" {
				return true
			}
		}
		return false
	}})
	r.work()
	all := skus(100)
	r.put(all, title("A"))
	r.settled("shop")
	for _, sku := range all {
		want := "A"
		if sku == "SKU-0042" {
			want = ""
		}
		if got := name(fake, sku); got != want {
			t.Errorf("%s is %q", sku, got)
		}
	}
	if got := r.listing("shop", "SKU-0042", pim.Content); got.State != pim.StateRejected {
		t.Errorf("%+v", got)
	}
}

// Pending is not accepted: the listing says so until the target has answered.
func TestPendingIsNotCalledAccepted(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("market", webhooktest.Options{Async: &webhooktest.Async{Polls: 1 << 30}}, nil)
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.until(func() bool { return r.listing("market", sku[0], pim.Content).State == pim.StatePending })
	if got := r.listing("market", sku[0], pim.Content); got.Acked != 0 || got.Receipt == nil || got.Receipt.Verdict != string(connectors.Pending) {
		t.Errorf("%+v", got)
	}
	r.put(sku, title("B"))
	fake.Process()
	r.until(func() bool { fake.Process(); return r.busy("market") == 0 })
	if got := name(fake, sku[0]); got != "B" {
		t.Errorf("%q", got)
	}
	if got := r.listing("market", sku[0], pim.Content); got.State != pim.StateAccepted || got.Acked != got.Wanted {
		t.Errorf("%+v", got)
	}
}

func price(amount string) pim.Price {
	return pim.Price{PriceList: "default", Currency: "EUR", MinQuantity: 1, Amount: decimal.MustParse(amount)}
}

func (r *road) offer(sku pim.SKU, amount string, onHand int64) {
	r.Helper()
	if amount != "" {
		res, err := r.store.SetPrices(r.ctx, "erp", []pim.PriceRow{{SKU: sku, Price: price(amount)}}, postgres.Idempotency{})
		if err != nil || res[0].Status == postgres.RowRejected {
			r.Fatal(res, err)
		}
	}
	res, err := r.store.SetStock(r.ctx, "erp", []pim.StockRow{{SKU: sku, Stock: pim.Stock{OnHand: onHand}}}, postgres.Idempotency{})
	if err != nil || res[0].Status == postgres.RowRejected {
		r.Fatal(res, err)
	}
}

// What has no content at the target yet gets its offer after it, and a
// withdrawn product that comes back gets everything again, though its offer's
// document is the one acknowledged last.
func TestOffersFollowContentThroughItsLives(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	sku := skus(1)
	fake.Reject(sku[0])
	r.work()
	r.put(sku, pim.Values{"name": map[string]any{"en-GB": "A"}, "picture": []any{"a.jpg"}})
	r.offer(sku[0], "9.99", 5)
	r.until(func() bool {
		return r.listing("shop", sku[0], pim.Content).State == pim.StateRejected && r.listing("shop", sku[0], pim.Offer).Error != ""
	})
	if n := len(fake.History(sku[0], pim.Offer)) + len(fake.History(sku[0], pim.Media)); n != 0 {
		t.Errorf("%d offers and media were sent before their content", n)
	}
	fake.Accept(sku[0])
	r.put(sku, title("B"))
	r.settled("shop")
	const want = `{"currency":"EUR","price":"9.99","stock":5}`
	check := func(when string) {
		t.Helper()
		if l, ok := fake.Listing(sku[0], pim.Offer); !ok || string(l.Document) != want {
			t.Errorf("%s: the target's offer is %s", when, l.Document)
		}
		if l, ok := fake.Listing(sku[0], pim.Media); !ok || string(l.Document) != `{"media":["a.jpg"]}` {
			t.Errorf("%s: the target's media are %s", when, l.Document)
		}
	}
	check("published")
	if res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{{SKU: sku[0], Mode: postgres.Delete}}); err != nil || res[0].Err != nil {
		t.Fatal(res, err)
	}
	r.settled("shop")
	if _, ok := fake.Listing(sku[0], pim.Content); ok {
		t.Error("a deleted product is still there")
	}
	if got := r.listing("shop", sku[0], pim.Content); got.State != pim.StateWithdrawn {
		t.Errorf("%+v", got)
	}
	r.put(sku, pim.Values{"name": map[string]any{"en-GB": "B"}, "picture": []any{"a.jpg"}})
	r.settled("shop")
	check("published again")
	if falls := fake.Falls(); len(falls) > 0 {
		t.Errorf("revisions went down: %v", falls)
	}
}

// What was never sent is not withdrawn, and what does not differ is not sent.
func TestNoEmptyWork(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	sku := skus(2)
	r.put(sku, title("A"))
	if res, err := r.store.Edit(r.ctx, "test", []postgres.Edit{{SKU: sku[1], Mode: postgres.Delete}}); err != nil || res[0].Err != nil {
		t.Fatal(res, err)
	}
	r.work()
	r.settled("shop")
	if n := fake.Counts().Received; n != 1 {
		t.Errorf("%d items received for one product", n)
	}
	r.put(sku[:1], pim.Values{"name": map[string]any{"en-GB": "A", "de-DE": "nur deutsch"}}) // not this channel's locale
	r.settled("shop")
	if err := r.store.ResyncChannel(r.ctx, "shop", false); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	if n := fake.Counts().Received; n != 1 {
		t.Errorf("%d items received, though nothing differs", n)
	}
	if got := r.listing("shop", sku[0], pim.Content); got.Acked != got.Wanted || got.Acked != 2 {
		t.Errorf("an unchanged document does not count as acknowledged at its revision: %+v", got)
	}
}

// With a queue of offers waiting, what is sold out goes first; and a restock
// carries the price of the moment.
func TestSoldOutGoesFirst(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, serial)
	r.work()
	all := skus(30)
	r.put(all, title("A"))
	for _, sku := range all {
		r.offer(sku, "5", 10)
	}
	r.settled("shop")
	if err := r.store.PauseChannel(r.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	for _, sku := range all[:29] {
		r.offer(sku, "6", 11)
	}
	r.offer(all[29], "", 0)
	r.fannedOut()
	var order []string
	stop := fake.Watch(func(e webhooktest.Entry) {
		if e.Lane == pim.Offer {
			order = append(order, fmt.Sprintf("%s %s", e.SKU, e.Document))
		}
	})
	if err := r.store.ResumeChannel(r.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	stop()
	if len(order) != 30 || order[0] != `SKU-0030 {"currency":"EUR","price":"5","stock":0}` {
		t.Errorf("%d sent, the first %s", len(order), order[0])
	}
	r.offer(all[29], "7", 3) // price first, then stock
	r.settled("shop")
	for _, e := range fake.History(all[29], pim.Offer) {
		if bytes.Contains(e.Document, []byte(`"stock":3`)) && !bytes.Contains(e.Document, []byte(`"price":"7"`)) {
			t.Errorf("restocked at the old price: %s", e.Document)
		}
	}
}

// A price that begins to be valid is sent without anybody's edit.
func TestPriceWindowOpens(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.sweep = 200 * time.Millisecond
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.offer(sku[0], "10", 1)
	now, err := r.store.Now(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	shows := func(amount string) {
		t.Helper()
		r.wait(fake, func(s webhooktest.State) bool {
			l, ok := s.Listing(sku[0], pim.Offer)
			return ok && bytes.Contains(l.Document, []byte(`"price":"`+amount+`"`))
		})
	}
	from, to := now.Add(1500*time.Millisecond), now.Add(time.Hour)
	sale := price("8")
	sale.ValidFrom, sale.ValidTo = &from, &to
	set := func() {
		t.Helper()
		if res, err := r.store.SetPrices(r.ctx, "erp", []pim.PriceRow{{SKU: sku[0], Price: sale}}, postgres.Idempotency{}); err != nil || res[0].Status != postgres.RowChanged {
			t.Fatal(res, err)
		}
	}
	shows("10")
	set()
	shows("8")
	if now, err = r.store.Now(r.ctx); err != nil {
		t.Fatal(err)
	}
	to = now.Add(1500 * time.Millisecond)
	set() // it is still valid, so this changes nothing at the target
	shows("10")
}

// A parent's texts are its variants' too.
func TestParentEditReachesVariants(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	family, axes, parent := "thing", "by-colour", pim.SKU("P")
	edits := []postgres.Edit{{SKU: parent, Mode: postgres.Put, Family: &family, FamilyVariant: &axes, Values: title("parent")}}
	if res, err := r.store.Edit(r.ctx, "test", edits); err != nil || res[0].Err != nil {
		t.Fatal(res, err)
	}
	edits = nil
	for _, c := range []string{"red", "blue"} {
		edits = append(edits, postgres.Edit{SKU: pim.SKU("P-" + c), Mode: postgres.Put, Family: &family, Parent: &parent, Values: pim.Values{"colour": c}})
	}
	if res, err := r.store.Edit(r.ctx, "test", edits); err != nil || res[0].Err != nil || res[1].Err != nil {
		t.Fatal(res, err)
	}
	r.settled("shop")
	r.put([]pim.SKU{parent}, title("renamed"))
	r.settled("shop")
	for _, sku := range []pim.SKU{"P", "P-red", "P-blue"} {
		if got := name(fake, sku); got != "renamed" {
			t.Errorf("%s is %q", sku, got)
		}
	}
	if falls := fake.Falls(); len(falls) > 0 {
		t.Errorf("revisions went down: %v", falls)
	}
}

// A mapping's change is rendered for all, and sent where it differs.
func TestMappingChange(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	all := skus(10)
	r.put(all, title("A"))
	r.put(all[:3], pim.Values{"colour": "red"})
	r.settled("shop")
	before := fake.Counts().Received
	config, _ := json.Marshal(map[string]any{"url": fake.URL(), "status_url": fake.StatusURL()}) // the secret stays
	m := connectors.DefaultMapping()
	m.Content["colour"] = "values.colour"
	spec := jobs.ChannelSpec{Locale: "en-GB", Currency: "EUR", Config: config, Mapping: &m, SettleSeconds: 1}
	if _, err := r.channels.Update(r.ctx, "shop", spec, 0); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	if n := fake.Counts().Received - before; n != 3 {
		t.Errorf("%d sent, 3 differ", n)
	}
}
