package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// byAnother lets somebody else bring an item to the target.
func (r *road) byAnother(fake *webhooktest.Server, item connectors.Item) {
	r.Helper()
	config, _ := json.Marshal(map[string]any{"url": fake.URL(), "secret": fake.Secret()})
	c, err := webhook.Kind.New(config, connectors.Env{AllowPrivate: true, Version: "test", Limits: webhook.Kind.Limits})
	if err != nil {
		r.Fatal(err)
	}
	res, err := c.Push(r.ctx, []connectors.Item{item})
	if err != nil || res[0].Err != nil {
		r.Fatal(res, err)
	}
}

func (r *road) theirs(fake *webhooktest.Server, sku pim.SKU, revision int64, document json.RawMessage) {
	r.Helper()
	r.byAnother(fake, connectors.Item{SKU: sku, Lane: pim.Content, Revision: revision, Action: connectors.Upsert, Document: document})
}

// outcomes are what a fake made of a product's content, in order.
func outcomes(fake *webhooktest.Server, sku pim.SKU) (all []string) {
	for _, e := range fake.History(sku, pim.Content) {
		all = append(all, fmt.Sprintf("%s %d", e.Outcome, e.Revision))
	}
	return all
}

// A target that keeps versions, and holds a higher one by somebody else's hand, is
// asked which, and then takes our newest at once; what follows meets no conflict.
func TestConflictIsReadAndSentOnceMore(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{Versioned: true}, pim.ReconcileOff)
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.settled("shop")
	r.theirs(fake, sku[0], 100, json.RawMessage(`{"sku":"SKU-0001"}`))
	r.put(sku, title("B"))
	r.settled("shop")
	r.put(sku, title("C"))
	r.settled("shop")
	if got, want := outcomes(fake, sku[0]), []string{"applied 1", "applied 100", "conflict 2", "applied 101", "applied 101"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if reads := fake.Counts().Reads; reads != 1 || name(fake, sku[0]) != "C" {
		t.Errorf("%q is held after %d reads", name(fake, sku[0]), reads)
	}
	if l := r.listing("shop", sku[0], pim.Content); l.State != pim.StateAccepted || l.Acked != l.Wanted || l.Error != "" || len(l.Issues) != 0 {
		t.Errorf("%+v", l)
	}
}

// What the target holds already, in a version that it would take ours back from, is
// not sent again; the next edit is above that version.
func TestConflictOverTheSame(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{Versioned: true}, pim.ReconcileOff)
	all := skus(2)
	stop := r.work()
	r.put(all, title("A"))
	r.settled("shop")
	stop()
	r.put(all, title("B"))
	held, _ := fake.Listing(all[0], pim.Content)
	r.theirs(fake, all[0], 100, json.RawMessage(strings.Replace(string(held.Document), `"A"`, `"B"`, 1)))
	r.work()
	r.settled("shop")
	r.put(all, title("C"))
	r.settled("shop")
	if got, want := outcomes(fake, all[0]), []string{"applied 1", "applied 100", "conflict 2", "applied 101"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := outcomes(fake, all[1]), []string{"applied 1", "applied 2", "applied 3"}; !slices.Equal(got, want) {
		t.Errorf("beside it: %q, want %q", got, want)
	}
}

// quarrel is a connector that answers as a test says and tells what it holds, in
// the order of its calls.
type quarrel struct {
	mu    sync.Mutex
	calls []string
	push  func(n int) error // n counts pushes, from 1
	held  connectors.Held
}

func (q *quarrel) Push(_ context.Context, items []connectors.Item) ([]connectors.Result, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]connectors.Result, len(items))
	for i := range items {
		q.calls = append(q.calls, "push "+titleOf(items[i].Document))
		n := 0
		for _, c := range q.calls {
			if strings.HasPrefix(c, "push") {
				n++
			}
		}
		out[i] = connectors.Result{Status: connectors.Accepted, Err: q.push(n)}
	}
	return out, nil
}

func (*quarrel) Probe(context.Context) error { return nil }

func (q *quarrel) said() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.calls)
}

// telling is a quarrel that can be read.
type telling struct{ *quarrel }

func (telling) Readable() pim.Lanes { return pim.LanesOf(pim.Content) }

func (q telling) Read(_ context.Context, items []connectors.Item) ([]connectors.Held, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = append(q.calls, "read "+titleOf(items[0].Document))
	return slices.Repeat([]connectors.Held{q.held}, len(items)), nil
}

// conflicting makes the channel "shop" on such a connector.
func (r *road) conflicting(q *quarrel, reads bool) {
	r.Helper()
	var c connectors.Connector = q
	if reads {
		c = telling{q}
	}
	r.connected(c)
}

func refusal() error {
	return &connectors.Error{Verdict: connectors.Conflict, Err: errors.New("somebody else was faster")}
}

// After a conflict the listing is due at once, without an issue; it is read, made
// anew, and sent once more. A second conflict makes it back off, with an issue that
// people see, and it is not read before each further attempt.
func TestConflictTwice(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprintf("reads %v", reads), func(t *testing.T) {
			t.Parallel()
			r := newRoad(t)
			q := &quarrel{held: connectors.Held{Presence: connectors.Hidden, Document: json.RawMessage("{}"), Version: "7b"}}
			again, over := make(chan struct{}), make(chan struct{})
			q.push = func(n int) error {
				switch n {
				case 2:
					close(again)
					<-over
				case 4:
					return nil
				}
				return refusal()
			}
			r.conflicting(q, reads)
			r.work()
			sku := skus(1)
			r.put(sku, title("A"))
			select {
			case <-again:
			case <-r.ctx.Done():
				t.Fatal("it was not sent once more")
			}
			var wait time.Duration
			if err := r.store.Pool().QueryRow(r.ctx, `select greatest(due_at - receipt_at, '0') from listing where lane = 1`).Scan(&wait); err != nil {
				t.Fatal(err)
			}
			if x := r.explain(sku[0], pim.Content); wait > 0 || x.Reason != jobs.ReasonConflict || x.Chain.Listing.Attempts != 1 {
				t.Errorf("after one conflict it waits %s: %+v", wait, x)
			}
			if l := r.listing("shop", sku[0], pim.Content); len(l.Issues) != 0 {
				t.Errorf("after one conflict: %+v", l.Issues)
			}
			close(over)
			r.until(func() bool {
				l := r.listing("shop", sku[0], pim.Content)
				return len(l.Issues) > 0 || l.Error == ""
			})
			l := r.listing("shop", sku[0], pim.Content)
			if len(l.Issues) == 0 {
				t.Fatalf("after two: %+v", l)
			}
			if i := l.Issues[0]; i.Code != "target.conflict" || !strings.Contains(i.Text, "somebody else was faster") || strings.Contains(i.Text, "version 7b") != reads {
				t.Errorf("after two: %+v", l.Issues)
			}
			if x := r.explain(sku[0], pim.Content); x.Reason != jobs.ReasonConflict && !x.Reason.Fine() {
				t.Errorf("after two: %+v", x)
			}
			r.settled("shop")
			want := []string{"push A", "read A", "push A", "push A", "push A"}
			if !reads {
				want = slices.Delete(want, 1, 2)
			}
			if got := q.said(); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if l := r.listing("shop", sku[0], pim.Content); l.State != pim.StateAccepted || len(l.Issues) != 0 || l.Error != "" {
				t.Errorf("in the end: %+v", l)
			}
		})
	}
}

// A conflict that names a time to come back waits for it: it is not about what is
// held, but about what is still to come.
func TestConflictWithATimeWaits(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	q := &quarrel{}
	q.push = func(int) error {
		return &connectors.Error{Verdict: connectors.Conflict, After: time.Hour, Err: errors.New("the parent is not there yet")}
	}
	r.conflicting(q, true)
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.until(func() bool { return r.listing("shop", sku[0], pim.Content).Error != "" })
	if x := r.explain(sku[0], pim.Content); x.Reason != jobs.ReasonRetrying || x.Until == nil || len(q.said()) != 1 {
		t.Errorf("%+v after %q", x, q.said())
	}
}
