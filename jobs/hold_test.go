package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/seal"
)

// pusher is a connector that a test answers for, item by item.
type pusher func(ctx context.Context, item connectors.Item) connectors.Result

// Push implements connectors.Connector.
func (p pusher) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(items))
	for i := range items {
		out[i] = p(ctx, items[i])
	}
	return out, nil
}

// Probe implements connectors.Connector.
func (pusher) Probe(context.Context) error { return nil }

// answered makes the channel "shop" on such a connector.
func (r *road) answered(p pusher) {
	r.Helper()
	r.connected(p)
}

// connected makes the channel "shop" on a connector of the test's own.
func (r *road) connected(c connectors.Connector) {
	r.Helper()
	kind := &connectors.Kind{
		Name: "scripted", Title: "Scripted", Lanes: pim.AllLanes, Config: &struct{}{}, MaxBatch: 100, Mapping: connectors.DefaultMapping(),
		Limits: connectors.Limits{Batch: 100, Concurrency: 1, Timeout: 30 * time.Second, Settle: time.Second},
		New:    func(json.RawMessage, connectors.Env) (connectors.Connector, error) { return c, nil },
	}
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	r.channels = jobs.NewChannels(r.store, connectors.NewRegistry(kind), keys, connectors.Env{AllowPrivate: true, Version: "test"})
	if _, err := r.channels.Create(r.ctx, jobs.ChannelSpec{Code: "shop", Connector: "scripted", Locale: "en-GB", Currency: "EUR"}); err != nil {
		r.Fatal(err)
	}
}

// A listing whose push ends in a conflict, or which its target cannot take
// just now, waits. An edit made during that push does not: it is another
// document.
func TestEditDuringAPushThatFails(t *testing.T) {
	t.Parallel()
	for _, verdict := range []connectors.Verdict{connectors.Conflict, connectors.Unavailable} {
		t.Run(string(verdict), func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			pushed, goOn := make(chan string), make(chan struct{})
			r.answered(func(ctx context.Context, item connectors.Item) connectors.Result {
				text := titleOf(item.Document)
				select {
				case pushed <- text:
				case <-ctx.Done():
				}
				select {
				case <-goOn:
				case <-ctx.Done():
				}
				if text == "A" {
					return connectors.Result{Err: &connectors.Error{Verdict: verdict, After: time.Hour, Err: errors.New("not now")}}
				}
				return connectors.Result{Status: connectors.Accepted}
			})
			r.work()
			r.put(skus(1), title("A"))
			if got := <-pushed; got != "A" {
				t.Fatal(got)
			}
			r.put(skus(1), title("B"))
			r.fannedOut() // B is marked while A is on its way
			goOn <- struct{}{}
			select {
			case got := <-pushed:
				if got != "B" {
					t.Errorf("%q was pushed next", got)
				}
			case <-r.ctx.Done():
				t.Fatal("the edit waits for what went before it")
			}
			close(goOn)
			r.settled("shop")
		})
	}
}
