package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// books is an ERP that keeps a log of its price changes, and tells pages of two.
type books struct {
	mu     sync.Mutex
	prices []pim.PriceRow
	pages  int
	down   error
	stuck  bool     // tells the same page for ever
	asked  []string // cursors
}

func (b *books) set(sku pim.SKU, amount string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prices = append(b.prices, pim.PriceRow{SKU: sku, Price: pim.Price{Currency: "EUR", Amount: decimal.MustParse(amount)}})
}

func (b *books) Push(_ context.Context, items []connectors.Item) ([]connectors.Result, error) {
	results := make([]connectors.Result, len(items))
	for i := range results {
		results[i].Status = connectors.Live
	}
	return results, nil
}

func (b *books) Probe(context.Context) error { return nil }

func (b *books) Pull(_ context.Context, cursor string) (*connectors.Pulled, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, cursor)
	if b.down != nil {
		return nil, b.down
	}
	from, _ := strconv.Atoi(cursor)
	to := min(from+2, len(b.prices))
	p := &connectors.Pulled{Prices: append([]pim.PriceRow{}, b.prices[from:to]...), Cursor: strconv.Itoa(to), More: to < len(b.prices)}
	if b.stuck {
		p.Cursor, p.More = cursor, true
	}
	b.pages++
	return p, nil
}

func (b *books) Hook(header http.Header, body []byte) error {
	if header.Get("Signature") != "good" || header.Get(connectors.HookQuery) == "spoofed" {
		return fmt.Errorf("a call of %d bytes is not signed", len(body))
	}
	return nil
}

// withBooks gives the road a connector to an ERP, and a channel on it.
func (r *road) withBooks(b *books) {
	r.Helper()
	kind := &connectors.Kind{
		Name: "books", Title: "Books", Lanes: []pim.Lane{pim.Content}, Config: &struct{}{}, Limits: webhook.Kind.Limits, MaxBatch: 10,
		New: func(json.RawMessage, connectors.Env) (connectors.Connector, error) { return b, nil },
	}
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	r.channels = jobs.NewChannels(r.store, connectors.NewRegistry(webhook.Kind, kind), keys, connectors.Env{AllowPrivate: true})
	mapping := &connectors.Mapping{Content: map[string]string{"sku": "sku"}}
	if _, err := r.channels.Create(r.ctx, jobs.ChannelSpec{Code: "erp", Connector: "books", Locale: "en-GB", Currency: "EUR", Mapping: mapping}); err != nil {
		r.Fatal(err)
	}
}

func (r *road) pullStatus() postgres.PullStatus {
	r.Helper()
	c, err := r.store.Channel(r.ctx, "erp")
	if err != nil {
		r.Fatal(err)
	}
	if c.Pull == nil {
		r.Fatal("the channel is not read")
	}
	return *c.Pull
}

// What changes in an ERP comes into the store, page by page and once, and goes
// on to the shops; what the store does not know is counted and told.
func TestPull(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	b := &books{}
	r.withBooks(b)
	shop := r.channel("shop", webhooktest.Options{}, nil)
	r.put(skus(3), title("A"))
	for i, sku := range append(skus(3), "unknown") {
		b.set(sku, fmt.Sprintf("%d.50", i+1))
	}
	r.work()
	r.until(func() bool { return r.pullStatus().Rows == 4 })
	if s := r.pullStatus(); s.Changed != 3 || s.Rejected != 1 || s.Error != `unknown: there is no product "unknown"` || s.PulledAt == nil || s.Fails != 0 {
		t.Errorf("%+v", s)
	}
	r.settled("shop", "erp")
	for i, sku := range skus(3) {
		l, ok := shop.Listing(sku, pim.Offer)
		var doc struct{ Price string }
		if err := json.Unmarshal(l.Document, &doc); !ok || err != nil || doc.Price != fmt.Sprintf("%d.50", i+1) {
			t.Errorf("the shop has %s of %s (%v)", l.Document, sku, err)
		}
	}

	// A call of the ERP brings the next change at once; nobody else's does.
	b.set("SKU-0001", "9.99")
	if _, err := r.channels.Hook(r.ctx, "erp", "", http.Header{"Signature": {"bad"}}, nil); !errors.Is(err, jobs.ErrRefused) {
		t.Errorf("an unsigned call: %v", err)
	}
	if _, err := r.channels.Hook(r.ctx, "erp", "", http.Header{"Signature": {"good"}, connectors.HookQuery: {"spoofed"}}, nil); err != nil {
		t.Errorf("a header of the hub's own came through: %v", err)
	}
	if _, err := r.channels.Hook(r.ctx, "shop", "", http.Header{}, nil); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("a call for a connector that takes none: %v", err)
	}
	r.runner.Wake(postgres.Consumer{Kind: postgres.Pull, Channel: 1})
	r.until(func() bool { return r.pullStatus().Rows == 5 })
	r.settled("shop")
	if l, _ := shop.Listing("SKU-0001", pim.Offer); !json.Valid(l.Document) || string(l.Document) != `{"currency":"EUR","price":"9.99"}` {
		t.Errorf("the shop has %s", l.Document)
	}
}

// A target that cannot be read is tried again from where the last page ended,
// and says why meanwhile.
func TestPullGoesOn(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	b := &books{}
	r.withBooks(b)
	r.put(skus(2), title("A"))
	b.set("SKU-0001", "1")
	b.set("SKU-0002", "2")
	stop := r.work()
	r.until(func() bool { return r.pullStatus().Rows == 2 })
	stop()
	b.mu.Lock()
	b.down, b.asked = &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("it is closed")}, nil
	b.mu.Unlock()
	b.set("SKU-0001", "3")
	if err := r.store.Hooked(r.ctx, 1); err != nil {
		t.Fatal(err)
	}
	r.work()
	r.until(func() bool { return r.pullStatus().Fails > 1 })
	if s := r.pullStatus(); s.Error != "it is closed" || s.Rows != 2 {
		t.Errorf("%+v", s)
	}
	b.mu.Lock()
	b.down = nil
	b.mu.Unlock()
	r.until(func() bool { return r.pullStatus().Rows == 3 })
	if s := r.pullStatus(); s.Fails != 0 || s.Error != "" || s.Changed != 3 {
		t.Errorf("%+v", s)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cursor := range b.asked {
		if cursor != "2" && cursor != "3" {
			t.Errorf("asked again from %q", cursor)
		}
	}
}

// A target that does not answer in time, or whose connector gets nowhere, is
// let alone for a while, and people are told.
func TestPullThatGoesNowhere(t *testing.T) {
	t.Parallel()
	for want, b := range map[string]*books{
		"read prices: context deadline exceeded":                                       {down: &connectors.Error{Verdict: connectors.Unavailable, Err: fmt.Errorf("read prices: %w", context.DeadlineExceeded)}},
		"the connector says that there is more, behind the page that it has just read": {stuck: true},
	} {
		r := newRoad(t)
		r.withBooks(b)
		r.work()
		r.until(func() bool { return r.pullStatus().Fails > 0 })
		if s := r.pullStatus(); s.Error != want {
			t.Errorf("%+v, want %s", s, want)
		}
	}
}

// A paused channel is not read, and one that was deleted leaves nothing behind.
func TestPullRests(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	b := &books{}
	r.withBooks(b)
	if err := r.store.PauseChannel(r.ctx, "erp"); err != nil {
		t.Fatal(err)
	}
	due, err := r.store.DueConsumers(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range due {
		if d.Kind == postgres.Pull {
			t.Errorf("a paused channel is due: %+v", d)
		}
	}
	if err := r.store.ResumeChannel(r.ctx, "erp"); err != nil {
		t.Fatal(err)
	}
	for sets, want := range map[string]bool{
		`throttled_until = now() + interval '1 hour'`:                              false,
		`throttled_until = now()`:                                                  true,
		`hold = 'auth', fails = 3, next_probe_at = now() + interval '1 hour'`:      false,
		`hold = 'auth', fails = 3, next_probe_at = now()`:                          true,
		`hold = 'throttled', fails = 3, next_probe_at = now() + interval '1 hour'`: true, // it asks for itself whether the target is there
	} {
		if _, err := r.store.WorkPool().Exec(r.ctx, `update channel set hold = null, fails = 0, next_probe_at = null, throttled_until = null`); err != nil {
			t.Fatal(err)
		}
		if _, err := r.store.WorkPool().Exec(r.ctx, `update channel set `+sets); err != nil {
			t.Fatal(err)
		}
		due, err := r.store.DueConsumers(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		state, err := r.store.Pull(r.ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if is := slices.ContainsFunc(due, func(d postgres.Due) bool { return d.Kind == postgres.Pull }); is != want || (state.In <= 0) != want {
			t.Errorf("%s: due is %t, in %s, want %t", sets, is, state.In, want)
		}
	}
	if err := r.store.DeleteChannel(r.ctx, "erp", 0); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Tidy(r.ctx); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := r.store.WorkPool().QueryRow(r.ctx, `select (select count(*) from pull) + (select count(*) from consumer where kind = 'pull')`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d rows are left (%v)", left, err)
	}
}
