package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// trickle is a connector that makes a request for each item of a call, and has
// nothing done before the last of them.
type trickle struct {
	wire   connectors.Wire
	before func(ctx context.Context, nth int) // each request of a call

	mu    sync.Mutex
	calls []int // items of each call
	held  map[pim.SKU]bool
}

func (c *trickle) Probe(context.Context) error { return nil }

func (c *trickle) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	c.mu.Lock()
	c.calls = append(c.calls, len(items))
	c.mu.Unlock()
	results := make([]connectors.Result, len(items))
	for i := range items {
		c.before(ctx, i+1)
		if err := c.wire.Pass(ctx); err != nil {
			return nil, err
		}
		results[i].Status = connectors.Accepted
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, it := range items {
		c.held[it.SKU] = true
	}
	return results, nil
}

// trickling gives the road a channel on c, of a rate at which the test says when.
func (r *road) trickling(c *trickle, batch int) *postgres.Channel {
	r.Helper()
	type none struct{}
	c.held = map[pim.SKU]bool{}
	kind := &connectors.Kind{
		Name: "trickle", Title: "Trickle", Lanes: pim.AllLanes, Config: &none{}, Limits: webhook.Kind.Limits, MaxBatch: batch, Mapping: connectors.DefaultMapping(),
		New: func(_ json.RawMessage, env connectors.Env) (connectors.Connector, error) {
			c.wire = env.Wire
			return c, nil
		},
	}
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	r.channels = jobs.NewChannels(r.store, connectors.NewRegistry(webhook.Kind, kind), keys, connectors.Env{AllowPrivate: true})
	ch, err := r.channels.Create(r.ctx, jobs.ChannelSpec{
		Code: "slow", Connector: "trickle", Locale: "en-GB", Currency: "EUR", Config: json.RawMessage(`{}`), SettleSeconds: 1, TimeoutSeconds: 30,
		Batch: batch, Concurrency: 1, Policy: pim.Policy{Flow: pim.Flow{RequestsPerSecond: 1000, Burst: 1}},
	})
	if err != nil {
		r.Fatal(err)
	}
	return ch
}

// A call that would wait for its requests for too long is given up, and the job
// goes on in another, with fewer listings at once; nothing is in doubt for it.
func TestSlowChannelGoesOnInTheNextJob(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	c := &trickle{}
	c.before = func(ctx context.Context, nth int) { // after two requests the next is hours off
		if nth == 3 {
			_, _ = r.store.Pool().Exec(ctx, `update flow set pass_at = now() + interval '5 hours'`)
		}
	}
	ch := r.trickling(c, 8)
	r.put(skus(8), title("A"))
	r.work()
	doubt := 0
	r.until(func() bool {
		doubt += r.count(`select count(*) from listing where settle_at is not null or attempts > 0 or error is not null`)
		if at := r.of("slow"); at.Hold == postgres.HoldRate && at.ThrottledUntil != nil && at.ThrottledUntil.After(time.Now().Add(time.Hour)) {
			r.exec(`update flow set pass_at = 'epoch'`)
			if err := r.store.ResumeChannel(r.ctx, "slow"); err != nil {
				t.Fatal(err)
			}
			r.runner.WakeChannel(ch.ID)
		}
		return r.busy("slow") == 0
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) != 8 || doubt != 0 {
		t.Errorf("%d arrived, %d in doubt", len(c.held), doubt)
	}
	if n := r.count(`select count(*) from consumer where kind = 'drain' and unsure_at > 'epoch'`); n != 0 {
		t.Error("a job was ended over a call")
	}
	if c.calls[0] != 8 || !slices.Contains(c.calls, 2) {
		t.Errorf("calls of %v listings", c.calls)
	}
}

// What is edited goes before the bulk that a slow channel has in hand already:
// of that, only what was begun is brought to its end.
func TestBulkInHandYields(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	paused := false
	all := skus(60)
	r.put(all, title("before"))
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Batch, s.Concurrency, s.Enabled = 1, 1, &paused
	})
	r.presses = true
	r.work()
	r.until(func() bool { return r.count(`select count(*) from listing where dirty`) == 60 && r.busy() == 0 })
	r.exec(`update listing set priority = 0`) // as if all of it came of the new channel
	fake.Script(webhooktest.Fault{Kind: webhooktest.Slow, After: time.Millisecond, Times: 5}, webhooktest.Fault{Kind: webhooktest.Hang})
	if err := r.store.ResumeChannel(r.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	r.runner.WakeChannel(r.of("shop").ID)
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Hanging == 1 && s.Counts().Received == 6 }) // in the midst of it
	edited := all[59]
	r.put([]pim.SKU{edited}, title("edited"))
	r.fannedOut()
	fake.Up()
	r.settled("shop")
	if h := fake.History(edited, pim.Content); len(h) == 0 || h[0].Call > 7 {
		t.Errorf("pushes of what was edited: %+v", h)
	}
	if n := len(fake.Listings(pim.Content)); n != 60 {
		t.Errorf("%d arrived", n)
	}
}

// Channels that wait for their rate, or for a target that does not answer, leave
// room for the others, however many they are.
func TestSlowChannelsStarveNobody(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	slow := make([]pim.ChannelCode, 0, 20)
	for i := range 20 {
		code := pim.ChannelCode(fmt.Sprint("slow-", i))
		slow = append(slow, code)
		fake := r.channel(code, webhooktest.Options{}, func(s *jobs.ChannelSpec) {
			s.Batch, s.Concurrency, s.TimeoutSeconds = 1, 1, 60
			s.Policy.Flow = pim.Flow{RequestsPerSecond: 0.3, Burst: 1} // each request waits for less than would let the channel rest
		})
		if i%2 == 0 {
			fake.Down(webhooktest.Hang)
		}
	}
	well := r.channel("well", webhooktest.Options{}, nil)
	all := skus(30)
	r.put(all, title("A"))
	r.work()
	for _, sku := range all {
		r.offer(sku, "5", 10)
	}
	r.settled("well")
	for i := range 5 {
		want := fmt.Sprint("v", i)
		r.put(all[:1], title("%s", want))
		r.holds(well, all[0], want)
	}
	for _, code := range slow {
		if r.busy(code) == 0 {
			t.Errorf("%s is done already: the test proves nothing", code)
		}
	}
	for _, code := range slow {
		r.fakes[code].Up()
		if err := r.store.PauseChannel(r.ctx, code); err != nil {
			t.Fatal(err)
		}
	}
}
