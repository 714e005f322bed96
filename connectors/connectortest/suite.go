package connectortest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// Run holds a connector against everything that connectors.Connector promises.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		fn   func(r *run)
	}{
		{"an empty push sends nothing", emptyPush},
		{"every lane arrives", everyLane},
		{"pushing twice is pushing once", idempotence},
		{"a withdrawal takes everything away", withdrawal},
		{"what is deleted leaves nothing", deletion},
		{"what is disabled is kept and shown to nobody", disabling},
		{"what is sold out is kept and sold to nobody", sellingOut},
		{"what is made anew is called so", anew},
		{"results come in order", order},
		{"the batch limit is honoured", batch},
		{"a throttle says when to come back", throttle},
		{"refused connections are certain", refusedConnection},
		{"lost answers are uncertain", lost},
		{"server errors are uncertain", serverError},
		{"broken answers are uncertain", garbled},
		{"refused credentials", auth},
		{"validation brings issues", validation},
		{"a lower revision is a conflict", conflict},
		{"a cancelled context sends nothing", cancelled},
		{"a hanging target is left at the deadline", hanging},
		{"cancelling frees a hanging call", cancelHanging},
		{"endless answers are bounded", endless},
		{"concurrent use", concurrent},
		{"probe", probe},
		{"pending becomes an outcome", pending},
		{"files are uploaded", upload},
		{"what was pushed is read back", readBack},
		{"what is gone reads as absent", readGone},
		{"reading is bounded and never uncertain", readFaults},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), bound)
			defer cancel()
			heard := &atomic.Int64{}
			ctx = context.WithValue(ctx, heardKey{}, heard)
			r := &run{T: t, Target: h.New(t), h: h, ctx: ctx}
			r.complete()
			c.fn(r)
			r.discreet()
			if r.Calls() > 0 && heard.Load() == 0 {
				t.Error("the hub heard of no request of the calls: does the connector hand Env.Wire on, and use the call's context?")
			}
			for _, v := range r.Violations() {
				t.Errorf("the connector violated the target's rules: %s", v)
			}
		})
	}
}

// complete fails when the harness lacks a switch: a check that cannot run must
// not pass.
func (r *run) complete() {
	r.Helper()
	for name, missing := range map[string]bool{
		"Connector": r.Connector == nil, "Secrets": len(r.Secrets) == 0, "Held": r.Held == nil, "Records": r.Records == nil,
		"Calls": r.Calls == nil, "WaitHanging": r.WaitHanging == nil, "Violations": r.Violations == nil, "Heal": r.Heal == nil,
		"Refuse": r.Refuse == nil, "Lose": r.Lose == nil, "Fail": r.Fail == nil, "Garble": r.Garble == nil,
		"Endless": r.Endless == nil, "Hang": r.Hang == nil, "Unauthorize": r.Unauthorize == nil, "Throttle": r.Throttle == nil,
		"Reject": r.Reject == nil, "Versioned": r.Versioned == nil && r.h.Kind.Versions,
	} {
		if missing {
			r.Fatalf("the harness gives no %s", name)
		}
	}
	if _, polls := r.Connector.(connectors.Poller); polls && (r.Async == nil || r.Process == nil) {
		r.Fatal("the connector polls and the harness gives no Async or Process")
	}
	if _, uploads := r.Connector.(connectors.Uploader); uploads && r.Uploaded == nil {
		r.Fatal("the connector uploads and the harness gives no Uploaded")
	}
	if _, reads := r.Connector.(connectors.Reader); reads && (r.Alter == nil || r.Drop == nil && r.Vanish == nil) {
		r.Fatal("the connector reads and the harness gives no Alter, or neither Drop nor Vanish")
	}
	if can := r.h.Kind.Withdrawals; slices.Contains(can, pim.WithdrawDisable) && r.Shows == nil || slices.Contains(can, pim.WithdrawZeroStock) && r.Sells == nil {
		r.Fatalf("the kind withdraws by %v and the harness gives no Shows or Sells", can)
	}
	if r.limits().Batch < 3 {
		r.Fatalf("the batch limit is %d; the suite needs 3", r.limits().Batch)
	}
}

func emptyPush(r *run) {
	before := r.Calls()
	results, err := r.push(r.ctx)
	if err != nil || len(results) != 0 || r.Calls() != before {
		r.Errorf("results %v, error %v, %d calls", results, err, r.Calls()-before)
	}
}

// lanes are the kind's, content first: the others need it.
func (r *run) lanes() []pim.Lane {
	var lanes []pim.Lane
	supported := pim.LanesOf(r.h.Kind.Lanes...)
	for _, l := range pim.AllLanes {
		if supported.Has(l) {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

func everyLane(r *run) {
	for _, l := range r.lanes() {
		r.ok(r.upsert(l, "A", 1), r.upsert(l, "B", 1))
		first := r.Held("A", l)
		if first == "" || r.Held("B", l) == "" {
			r.Fatalf("lane %s: the target holds %q and %q", l, first, r.Held("B", l))
		}
		r.ok(r.upsert(l, "A", 2))
		if second := r.Held("A", l); second == first || second == "" {
			r.Errorf("lane %s: the target holds %q after an update from %q", l, second, first)
		}
	}
}

func idempotence(r *run) {
	for _, l := range r.lanes() {
		item := r.upsert(l, "A", 1)
		r.ok(item)
		held, records := r.Held("A", l), r.Records()
		r.ok(item)
		if r.Held("A", l) != held || r.Records() != records {
			r.Errorf("lane %s: pushed again, %q became %q, %d records %d", l, held, r.Held("A", l), records, r.Records())
		}
	}
	// There and back: a target or client that drops repetitions would end with 2.
	first := r.Held("A", pim.Content)
	back := r.upsert(pim.Content, "A", 1)
	back.Revision = 3
	r.ok(r.upsert(pim.Content, "A", 2))
	r.ok(back)
	r.ok(back)
	if got := r.Held("A", pim.Content); got != first {
		r.Errorf("there and back ends with %q, began with %q", got, first)
	}
	r.ok(r.withdraw("A", 4))
	r.ok(r.withdraw("A", 4))
	r.withdrawn("A", pim.Content, first)
}

// anew lets the target lose a product behind the connector's back.
func anew(r *run) {
	if r.Drop == nil {
		r.Log("products are not dropped at this target")
		return
	}
	called := func(when string, want bool, res connectors.Result) {
		r.Helper()
		if res.Anew != want {
			r.Errorf("%s: made anew is %v", when, res.Anew)
		}
	}
	before := map[pim.Lane]string{}
	for _, l := range r.lanes() {
		results := r.ok(r.upsert(l, "A", 1), r.upsert(l, "B", 1))
		if before[l] = r.Held("A", l); l == pim.Content {
			called("a first creation", true, results[0])
		}
	}
	r.Drop("A")
	if r.Held("A", pim.Content) != "" {
		r.Fatal("the harness's Drop does not drop")
	}
	results := r.ok(r.upsert(pim.Content, "B", 2), r.upsert(pim.Content, "A", 2))
	called("what was there", false, results[0])
	called("what was dropped", true, results[1])
	// The hub then sends the other lanes again, as they were, and to the connector
	// that may remember where they went.
	for _, l := range r.lanes() {
		called("what is there again", false, r.ok(r.upsert(l, "A", 1))[0])
		if got := r.Held("A", l); got != before[l] {
			r.Errorf("lane %s: the target holds %q, and held %q before", l, got, before[l])
		}
	}
}

func order(r *run) {
	r.Reject("B")
	results, err := r.push(r.ctx, r.upsert(pim.Content, "C", 1), r.upsert(pim.Content, "B", 1), r.upsert(pim.Content, "A", 1))
	if err != nil {
		r.Fatalf("one bad item fails the call: %v", err)
	}
	if results[0].Err != nil || results[2].Err != nil {
		r.Errorf("the good items: %v, %v", results[0].Err, results[2].Err)
	}
	r.isError(results[1].Err, connectors.Validation, false)
	if r.Held("A", pim.Content) == "" || r.Held("C", pim.Content) == "" || r.Held("B", pim.Content) != "" {
		r.Error("the target does not hold what the results say")
	}
}

func batch(r *run) {
	n := r.limits().Batch
	items := make([]connectors.Item, n+1)
	for i := range items {
		items[i] = r.upsert(pim.Content, pim.SKU(fmt.Sprintf("SKU-%04d", i)), 1)
	}
	r.ok(items[:n]...)
	if r.Records() != n {
		r.Fatalf("%d of %d arrived", r.Records(), n)
	}
	// One too many: refused unsent, or split. The target's violations say when a
	// call was too large.
	if _, err := r.push(r.ctx, items...); err != nil && !connectors.Certain(err) {
		r.Errorf("a push over the limit is uncertain: %v", err)
	} else if err == nil && r.Records() != n+1 {
		r.Errorf("%d of %d arrived", r.Records(), n+1)
	}
}

func throttle(r *run) {
	const after = 7 * time.Second
	r.Throttle(after)
	e := r.refused(r.upsert(pim.Content, "A", 1), connectors.Throttled, false)
	if e.After != after {
		r.Errorf("come back after %s, the target said %s", e.After, after)
	}
	if r.Held("A", pim.Content) != "" {
		r.Error("the item is held")
	}
	r.recovers()
}

// recovers heals the target and expects the next push to arrive.
func (r *run) recovers() {
	r.Helper()
	r.Heal()
	r.ok(r.upsert(pim.Content, "A", 9))
	if r.Held("A", pim.Content) == "" {
		r.Error("after the fault, the item does not arrive")
	}
}

func refusedConnection(r *run) {
	r.ok(r.upsert(pim.Content, "B", 1)) // so that there is a connection to lose
	r.Refuse()
	// The first call may have gone out on the connection that died just now.
	if results, err := r.push(r.ctx, r.upsert(pim.Content, "A", 1)); err == nil {
		r.Fatalf("no error but %v", results)
	}
	r.refused(r.upsert(pim.Content, "A", 1), connectors.Unavailable, false)
	r.recovers()
}

func lost(r *run) {
	r.Lose()
	r.refused(r.upsert(pim.Content, "A", 1), connectors.Unavailable, true)
	if r.Held("A", pim.Content) == "" {
		r.Fatal("the harness's Lose does not apply")
	}
	r.recovers()
}

func serverError(r *run) {
	r.Fail()
	r.refused(r.upsert(pim.Content, "A", 1), connectors.Unavailable, true)
	r.recovers()
}

func garbled(r *run) {
	r.Garble()
	r.refused(r.upsert(pim.Content, "A", 1), connectors.Unavailable, true)
	r.recovers()
}

func auth(r *run) {
	r.Unauthorize()
	r.refused(r.upsert(pim.Content, "A", 1), connectors.Auth, false)
	r.recovers()
}

func validation(r *run) {
	r.Reject("A")
	e := r.refused(r.upsert(pim.Content, "A", 1), connectors.Validation, false)
	if len(e.Issues) == 0 {
		r.Fatal("no issues")
	}
	for _, i := range e.Issues {
		if i.Code == "" || i.Text == "" || i.Severity != pim.SeverityError && i.Severity != pim.SeverityWarning {
			r.Errorf("issue %+v", i)
		}
	}
	r.recovers()
}

func conflict(r *run) {
	if r.Versioned == nil {
		r.Log("the target has no versions")
		return
	}
	r.Versioned()
	r.ok(r.upsert(pim.Content, "A", 5))
	held := r.Held("A", pim.Content)
	r.refused(r.upsert(pim.Content, "A", 4), connectors.Conflict, false)
	if r.Held("A", pim.Content) != held {
		r.Error("the older one is held")
	}
	same := r.upsert(pim.Content, "A", 6)
	same.Revision = 5 // a mapping changed: another document of the same revision
	r.ok(same)
	if r.Held("A", pim.Content) == held {
		r.Error("another document of the same revision did not arrive")
	}
}

func cancelled(r *run) {
	ctx, cancel := context.WithCancel(r.ctx)
	cancel()
	before := r.Calls()
	_, err := r.push(ctx, r.upsert(pim.Content, "A", 1))
	r.isError(err, connectors.Unavailable, false)
	if err := r.Connector.Probe(ctx); err == nil {
		r.Error("probe succeeds")
	}
	if p, ok := r.Connector.(connectors.Poller); ok {
		if _, err := p.Poll(ctx, []string{"x"}); err == nil {
			r.Error("poll succeeds")
		}
	}
	if r.Calls() != before {
		r.Errorf("%d calls were made", r.Calls()-before)
	}
}

func hanging(r *run) {
	r.Hang()
	hangs, stop := context.WithCancel(r.ctx)
	defer stop()
	there := make(chan struct{})
	go func() {
		if r.WaitHanging(hangs) == nil {
			close(there)
		}
	}()
	// Only a request that got there says anything, and how long that takes is the machine's affair.
	for wait := 200 * time.Millisecond; ; wait *= 2 {
		ctx, cancel := context.WithTimeout(r.ctx, wait)
		_, err := r.push(ctx, r.upsert(pim.Content, "A", 1))
		cancel()
		if r.ctx.Err() != nil {
			r.Fatal("the call outlived its deadline, or does not come to the target")
		}
		select {
		case <-there:
			r.isError(err, connectors.Unavailable, true)
			r.recovers()
			return
		default:
			if err == nil {
				r.Fatal("the push of a hanging target succeeds")
			}
		}
	}
}

func cancelHanging(r *run) {
	r.Hang()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := r.push(ctx, r.upsert(pim.Content, "A", 1))
		done <- err
	}()
	if err := r.WaitHanging(r.ctx); err != nil {
		r.Fatal(err)
	}
	cancel()
	select {
	case err := <-done:
		r.isError(err, connectors.Unavailable, true)
		if !errors.Is(err, context.Canceled) {
			r.Errorf("the error does not tell of the cancellation: %v", err)
		}
	case <-r.ctx.Done():
		r.Fatal("the call goes on after it was cancelled")
	}
	r.recovers()
}

func endless(r *run) {
	r.Endless()
	results, err := r.push(r.ctx, r.upsert(pim.Content, "A", 1))
	if err == nil {
		r.Fatalf("no error but %v", results)
	}
	if connectors.Certain(err) {
		r.Errorf("the outcome is open, yet the error is certain: %v", err)
	}
	if r.ctx.Err() != nil {
		r.Fatal("only the deadline ended the reading")
	}
	r.recovers()
}

func concurrent(r *run) {
	const workers, rounds = 8, 5
	var wg sync.WaitGroup
	errs := make(chan error, workers*rounds)
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				item := r.upsert(pim.Content, pim.SKU(fmt.Sprintf("W%d-%d", w, i)), 1)
				results, err := r.push(r.ctx, item)
				if err == nil {
					err = results[0].Err
				}
				if err == nil && r.Held(item.SKU, pim.Content) == "" {
					err = fmt.Errorf("%s did not arrive", item.SKU)
				}
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			r.Error(err)
		}
	}
	if r.Records() != workers*rounds {
		r.Errorf("%d records of %d", r.Records(), workers*rounds)
	}
}

func probe(r *run) {
	r.ok(r.upsert(pim.Content, "A", 1))
	held, records := r.Held("A", pim.Content), r.Records()
	if err := r.Connector.Probe(r.ctx); err != nil {
		r.Fatalf("probe of a healthy target: %v", err)
	}
	if r.Held("A", pim.Content) != held || r.Records() != records {
		r.Error("the probe changed the target")
	}
	for _, c := range []struct {
		name    string
		fault   func()
		verdict connectors.Verdict
	}{
		{"500", r.Fail, connectors.Unavailable},
		{"credentials", r.Unauthorize, connectors.Auth},
		{"throttle", func() { r.Throttle(time.Second) }, connectors.Throttled},
		{"refused", r.Refuse, connectors.Unavailable},
	} {
		c.fault()
		err := r.Connector.Probe(r.ctx)
		r.hear(err)
		if err == nil || connectors.AsError(err).Verdict != c.verdict {
			r.Errorf("probe under %s: %v, want %s", c.name, err, c.verdict)
		}
		r.Heal()
	}
	if err := r.Connector.Probe(r.ctx); err != nil {
		r.Errorf("probe of a healed target: %v", err)
	}
}
