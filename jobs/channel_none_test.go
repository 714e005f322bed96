package jobs_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// unsent creates a channel without a connector.
func (r *road) unsent(code pim.ChannelCode) {
	r.Helper()
	if _, err := r.channels.Create(r.ctx, jobs.ChannelSpec{Code: code, Connector: pim.NoConnector, Locale: "de-DE", Currency: "EUR"}); err != nil {
		r.Fatal(err)
	}
}

// costs counts what the road has of a channel: listings, consumers, and jobs.
func (r *road) costs(code pim.ChannelCode) (n int) {
	r.Helper()
	err := r.store.Pool().QueryRow(r.ctx, `
with c as (select id from channel where code = $1 and deleted_at is null)
select (select count(*) from listing l join c on c.id = l.channel_id) + (select count(*) from consumer k join c on c.id = k.channel_id where k.kind <> 'import')
     + (select count(*) from river_job j join c on (j.args ->> 'channel')::bigint = c.id) + (select count(*) from outbox where channel_id in (select id from c))`, code).Scan(&n)
	if err != nil {
		r.Fatal(err)
	}
	return n
}

// A channel without a connector costs the road nothing, whatever happens: no listing
// is marked, nobody works for it and no alert is raised. With a connector, the whole
// catalogue is published to it, as to a new channel.
func TestChannelWithoutConnector(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.put([]pim.SKU{"A", "B", "GONE"}, title("before"))
	r.unsent("print")
	r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	r.put([]pim.SKU{"C"}, title("new"))
	r.put([]pim.SKU{"A"}, title("changed"))
	r.price("A", "10", nil)
	r.stock("A", 5)
	r.publish("B", "print", -2*time.Hour, -time.Hour)
	r.edit(postgres.Edit{SKU: "GONE", Mode: postgres.Delete})
	// Settings that would have others' listings looked at again.
	if _, err := r.channels.Update(r.ctx, "print", jobs.ChannelSpec{Locale: "en-GB", Currency: "GBP", Locations: []string{"default"}, Policy: pim.Policy{Stock: pim.StockRule{Buffer: 2}}}, 0); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	ch, err := r.store.Channel(r.ctx, "print")
	if err != nil || ch.Locale != "en-GB" || ch.Marking || r.costs("print") != 0 || r.costs("shop") == 0 {
		t.Errorf("%+v, %v: it costs %d", ch, err, r.costs("print"))
	}
	if !ch.Enabled {
		t.Error("it counts as paused: somebody would be told")
	}

	x, err := r.channels.Explain(r.ctx, "print", "A")
	if err != nil || x.Reason != jobs.ReasonNoConnector || x.OnTarget != jobs.OnTargetNo || x.Reason.Fine() || len(x.Lanes) > 0 {
		t.Errorf("explained: %+v, %v", x, err)
	}
	f, err := r.channels.Forecast(r.ctx, "print")
	if err != nil || f.ETA != nil || f.Reason != string(jobs.ReasonNoConnector) {
		t.Errorf("forecast: %+v, %v", f, err)
	}
	st, err := r.channels.ReconcileStatus(r.ctx, "print")
	if err != nil || st.Mode != pim.ReconcileOff || len(st.Reads) > 0 {
		t.Errorf("reconcile: %+v, %v", st, err)
	}
	ready, err := r.channels.Readiness(r.ctx, "A", []pim.ChannelCode{"print"}, nil)
	if err != nil || len(ready) != 1 || ready[0].Locale != "en-GB" || ready[0].Ready == nil || !*ready[0].Ready || len(ready[0].Issues) > 0 {
		t.Errorf("readiness: %+v, %v", ready, err)
	}

	fake := webhooktest.Start(r, webhooktest.Options{})
	config, _ := json.Marshal(map[string]any{"url": fake.URL(), "secret": fake.Secret()})
	connected := jobs.ChannelSpec{Connector: "webhook", Locale: "en-GB", Currency: "EUR", Config: config, SettleSeconds: 1}
	if ch, err = r.channels.Update(r.ctx, "print", connected, ch.Version); err != nil || !ch.Enabled || ch.Batch < 10 || ch.Connector != "webhook" {
		t.Fatal(ch, err)
	}
	if n := r.count(`select count(*) from consumer where kind <> 'import' and channel_id = $1`, ch.ID); n != 4 { // three lanes, and what is read back
		t.Fatalf("%d consumers work for it", n)
	}
	r.settled("print", "shop")
	for sku, want := range map[pim.SKU]string{"A": "changed", "B": "", "C": "new", "GONE": ""} { // B is not published there
		if got := name(fake, sku); got != want {
			t.Errorf("%s is %q, want %q", sku, got, want)
		}
	}
	if doc, ok := fake.Listing("A", pim.Offer); !ok {
		t.Errorf("it has no price: %+v", doc)
	}
	r.put([]pim.SKU{"C"}, title("newer"))
	r.settled("print")
	if got := name(fake, "C"); got != "newer" {
		t.Errorf("what changes afterwards: %q", got)
	}
}

// What only a channel with a target can do is refused, with the same word for all.
func TestNeedsConnector(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.put([]pim.SKU{"A"}, title("one"))
	r.unsent("print")
	_, preview := r.channels.Preview(r.ctx, "print", "A", nil)
	_, dry := r.channels.DryRun(r.ctx, "print", jobs.DryRun{})
	_, reconcile := r.channels.Reconcile(r.ctx, "print", nil, false, "test")
	_, resync := r.store.ResyncListings(r.ctx, postgres.ListingChoice{Channel: "print", SKUs: []pim.SKU{"A"}}, true)
	_, retry := r.store.RetryListings(r.ctx, postgres.ListingChoice{Channel: "print"})
	for what, err := range map[string]error{
		"test": r.channels.Test(r.ctx, "print"), "preview": preview, "dry run": dry, "reconcile": reconcile, "reconcile by the command": r.store.StartReconcile(r.ctx, "print", nil, false, "test"),
		"resync": r.store.ResyncChannel(r.ctx, "print", false), "full resync": r.store.ResyncChannel(r.ctx, "print", true), "resync of some": resync, "retry": retry,
		"pause": r.store.PauseChannel(r.ctx, "print"), "resume": r.store.ResumeChannel(r.ctx, "print"),
	} {
		if !errors.Is(err, postgres.ErrNoConnector) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := r.channels.Hook(r.ctx, "print", "", nil, nil); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("hook: %v", err)
	}
	if err := r.store.PauseChannel(r.ctx, "nowhere"); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("a channel that there is not: %v", err)
	}
}

// What is of a connector is refused where there is none, all at once; and a channel
// that has one keeps it.
func TestConnectorsOwnWithoutOne(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.unsent("print")
	r.channel("shop", webhooktest.Options{}, nil)
	m := connectors.DefaultMapping()
	spec := jobs.ChannelSpec{
		Connector: pim.NoConnector, Locale: "en-GB", Currency: "EUR", Config: json.RawMessage(`{"url":"https://shop.example","secret":null}`), Mapping: &m,
		Batch: 5, Concurrency: 1, TimeoutSeconds: 1, SettleSeconds: 1, Enabled: new(true), Policy: pim.Policy{Withdrawal: pim.WithdrawDelete},
	}
	told := func(err error) (at []string) {
		t.Helper()
		invalid, ok := errors.AsType[*pim.Invalid](err)
		if !ok {
			t.Fatal(err)
		}
		for _, p := range invalid.Problems {
			at = append(at, p.Pointer+" "+p.Code)
		}
		slices.Sort(at)
		return at
	}
	want := []string{
		"/batch connector.none", "/concurrency connector.none", "/config/url connector.none", "/enabled connector.none", "/mapping connector.none", "/policy/withdrawal connector.none",
		"/settle_seconds connector.none", "/timeout_seconds connector.none",
	}
	if _, err := r.channels.Update(r.ctx, "print", spec, 0); !slices.Equal(told(err), want) {
		t.Errorf("updated: %v", told(err))
	}
	spec.Code = "other"
	if _, err := r.channels.Create(r.ctx, spec); !slices.Equal(told(err), want) {
		t.Errorf("created: %v", told(err))
	}
	if _, err := r.channels.SetMapping(r.ctx, "print", m, "test", ""); !slices.Equal(told(err), []string{"/mapping connector.none"}) {
		t.Errorf("mapped: %v", told(err))
	}
	back := jobs.ChannelSpec{Connector: pim.NoConnector, Locale: "en-GB", Currency: "EUR"}
	if _, err := r.channels.Update(r.ctx, "shop", back, 0); !slices.Equal(told(err), []string{"/connector connector.fixed"}) {
		t.Errorf("taken away: %v", told(err))
	}
	// As it stands, it is what it is told to be.
	ch, err := r.store.Channel(r.ctx, "print")
	if err != nil {
		t.Fatal(err)
	}
	if spec, err = jobs.SpecOf(ch); err != nil {
		t.Fatal(err)
	}
	if same, err := r.channels.Update(r.ctx, "print", spec, ch.Version); err != nil || same.Version != ch.Version {
		t.Errorf("the same again: %+v, %v", same, err)
	}
}
