package jobs_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// road is a store with its workers and one fake target per channel.
type road struct {
	testing.TB
	ctx      context.Context
	dsn      string
	keyset   string
	store    *postgres.Store
	channels *jobs.Channels
	runner   *jobs.Runner
	metrics  *prometheus.Registry
	fakes    map[pim.ChannelCode]*webhooktest.Server
	media    *jobs.Media // nil: workers without
	log      *slog.Logger
	lease    time.Duration // of the workers; 0 is more than any machine is slow
	sweep    time.Duration
	tidy     time.Duration

	texts        *jobs.Texts // nil: no texts are made
	beforeFinish func(postgres.Consumer)
	presses      bool          // drains look before each call in bulk whether something goes before it
	crowded      time.Duration // not 0: edits come all the time, and so long bulk waits for its turn
}

// newRoad opens a store on a database of its own with the small schema of
// these tests; work starts its workers.
func newRoad(t testing.TB) *road {
	t.Helper()
	return roadAt(t, dbtest.New(t))
}

func roadAt(t testing.TB, dsn string) *road {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	r := &road{TB: t, ctx: ctx, dsn: dsn, keyset: filepath.Join(t.TempDir(), "keyset.json"), fakes: map[pim.ChannelCode]*webhooktest.Server{}}
	r.log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	r.open()
	change := postgres.SchemaChange{
		Locales: []pim.Locale{"en-GB", "de-DE"}, Currencies: []pim.Currency{"EUR", "GBP"},
		Attributes: []pim.Attribute{
			{Code: "name", Type: pim.TypeText, Localizable: true},
			{Code: "colour", Type: pim.TypeText},
			{Code: "picture", Type: pim.TypeMedia},
		},
		Families: []pim.Family{{
			Code: "thing", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "colour"}, {Code: "picture"}},
			Variants: []pim.FamilyVariant{{Code: "by-colour", Axes: []string{"colour"}}},
		}},
	}
	if _, err := r.store.ChangeSchema(ctx, change); err != nil {
		t.Fatal(err)
	}
	return r
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.Helper()
	w.Logf("%s", p)
	return len(p), nil
}

func (r *road) open() {
	r.Helper()
	var err error
	if r.store, err = postgres.Open(r.ctx, r.dsn, postgres.Options{}); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(r.store.Close)
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	r.channels = jobs.NewChannels(r.store, all.Registry(), keys, connectors.Env{AllowPrivate: true, Version: "test"})
}

// work starts the workers, and waits until the channels that there are have been
// marked; it gives what stops them.
func (r *road) work() (stop func()) {
	r.Helper()
	r.metrics = prometheus.NewRegistry()
	runner, err := jobs.New(jobs.Config{Store: r.store, Channels: r.channels, Texts: r.texts, Log: r.log, Metrics: r.metrics, Holder: "test", Work: true, Lease: cmp.Or(r.lease, 30*time.Second), Sweep: r.sweep, Media: r.media})
	if err != nil {
		r.Fatal(err)
	}
	runner.BeforeFinish(r.beforeFinish)
	if r.presses {
		runner.PressEvery(0)
	}
	if r.crowded > 0 {
		runner.Crowded(r.crowded)
	}
	if r.tidy > 0 {
		runner.TidyEvery(r.tidy)
	}
	if err := runner.Start(r.ctx); err != nil {
		r.Fatal(err)
	}
	r.runner = runner
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := runner.Stop(ctx); err != nil {
				r.Error("stop:", err)
			}
		}
	}
	r.Cleanup(stop)
	if r.sweep == 0 { // else nobody looks for what was there before the workers
		r.until(r.marked) // what comes of it behind an edit would be another attempt
	}
	return stop
}

// marked: no channel's listings are still being marked for the first time, or anew.
func (r *road) marked() bool {
	r.Helper()
	list, err := r.store.Channels(r.ctx)
	if err != nil {
		r.Fatal(err)
	}
	return !slices.ContainsFunc(list, func(c *postgres.Channel) bool { return c.Marking })
}

// channel creates a channel on a fake of its own.
func (r *road) channel(code pim.ChannelCode, opts webhooktest.Options, change func(*jobs.ChannelSpec)) *webhooktest.Server {
	r.Helper()
	fake := webhooktest.Start(r, opts)
	r.fakes[code] = fake
	r.channelAt(code, fake, change)
	return fake
}

func (r *road) channelAt(code pim.ChannelCode, fake *webhooktest.Server, change func(*jobs.ChannelSpec)) {
	r.Helper()
	config, _ := json.Marshal(map[string]any{"url": fake.URL(), "status_url": fake.StatusURL(), "secret": fake.Secret()})
	spec := jobs.ChannelSpec{Code: code, Connector: "webhook", Locale: "en-GB", Currency: "EUR", Config: config, SettleSeconds: 1, TimeoutSeconds: 30}
	if change != nil {
		change(&spec)
	}
	if _, err := r.channels.Create(r.ctx, spec); err != nil {
		r.Fatal(err)
	}
}

// title is a product's values in these tests.
func title(format string, args ...any) pim.Values {
	return pim.Values{"name": map[string]any{"en-GB": fmt.Sprintf(format, args...)}}
}

// put creates or changes products' titles.
func (r *road) put(skus []pim.SKU, values pim.Values) []postgres.EditResult {
	r.Helper()
	family := "thing"
	edits := make([]postgres.Edit, len(skus))
	for i, sku := range skus {
		edits[i] = postgres.Edit{SKU: sku, Mode: postgres.Merge, Family: &family, Values: values}
	}
	res, err := r.store.Edit(r.ctx, "test", edits)
	if err != nil {
		r.Fatal(err)
	}
	for _, x := range res {
		if x.Err != nil {
			r.Fatal(x.SKU, x.Err)
		}
	}
	return res
}

func skus(n int) []pim.SKU {
	out := make([]pim.SKU, n)
	for i := range out {
		out[i] = pim.SKU(fmt.Sprintf("SKU-%04d", i+1))
	}
	return out
}

// settled waits until no listing of the channels is waiting or pending.
func (r *road) settled(channels ...pim.ChannelCode) {
	r.Helper()
	defer r.saysUndone()
	r.until(func() bool { return r.busy(channels...) == 0 })
}

// saysUndone says what is still on its way, where the test's time is over.
func (r *road) saysUndone() {
	if r.ctx.Err() != nil {
		r.Log(strings.Join(r.undone(), "\n"))
	}
}

// undone says what is still on its way, when nothing else can be asked any more.
func (r *road) undone() (lines []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rows, err := r.store.Pool().Query(ctx, `
select 'changes ' || count(*)::text from outbox
union all select 'channel ' || (to_jsonb(c) - '{secrets,mapping,config}'::text[])::text from channel c
union all select 'listing ' || to_jsonb(l)::text from listing l where dirty or token is not null
union all select 'consumer ' || to_jsonb(c)::text from consumer c
union all select 'job ' || state || ' ' || args::text from river_job where state <> 'completed'`)
	if err == nil {
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		lines = append(lines, err.Error())
	}
	return lines
}

// busy counts what is still on its way to the channels.
func (r *road) busy(channels ...pim.ChannelCode) (n int64) {
	r.Helper()
	road, err := r.store.RoadStats(r.ctx)
	if err != nil {
		r.Fatal(err)
	}
	n += road.Outbox
	if !r.marked() {
		n++
	}
	for _, code := range channels {
		stats, err := r.store.LaneStats(r.ctx, code)
		if err != nil {
			r.Fatal(err)
		}
		for _, l := range stats {
			n += l.States[pim.StateWaiting] + l.States[pim.StatePending]
		}
	}
	return n
}

// until waits for a condition of the database, which has no way to call: it
// looks again and again, and fails the test when its time is over.
func (r *road) until(cond func() bool) {
	r.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-r.ctx.Done():
			r.Fatal("waited too long")
		case <-tick.C:
		}
	}
}

// name is the title that the fake holds of a product.
func name(fake *webhooktest.Server, sku pim.SKU) string {
	l, ok := fake.Listing(sku, pim.Content)
	if !ok {
		return ""
	}
	var doc struct {
		Values struct {
			Name string `json:"name"`
		} `json:"values"`
	}
	_ = json.Unmarshal(l.Document, &doc)
	return doc.Values.Name
}

func TestEditReachesChannel(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	all := skus(250)
	r.put(all, title("first"))
	r.settled("shop")
	for _, sku := range all {
		if got := name(fake, sku); got != "first" {
			t.Fatalf("%s is %q", sku, got)
		}
	}
	r.put(all[:1], title("second"))
	r.settled("shop")
	if got := name(fake, all[0]); got != "second" {
		t.Errorf("%q", got)
	}
	if n := len(fake.History(all[1], pim.Content)); n != 1 {
		t.Errorf("an unchanged product was sent %d times", n)
	}
}

type imports func(ctx context.Context, l postgres.Lease) error

func (f imports) Run(ctx context.Context, l postgres.Lease) error { return f(ctx, l) }

// An import's job ends with it: a process runs few of them at once, and nothing
// more will ever come for one that is over.
func TestImportLeavesItsPlace(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.work() // it takes no imports
	id, err := r.store.CreateImport(r.ctx, "f", "a", json.RawMessage(`{}`), strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.store.Take(r.ctx, postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(id)}, 0, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"running", "finished"} {
		ends, err := r.runner.Import(r.ctx, imports(func(ctx context.Context, l postgres.Lease) error { return r.store.FinishImport(ctx, l, "") }), l)
		if err != nil || !ends {
			t.Errorf("a %s import: its job looks for more (%v)", state, err)
		}
	}
}
