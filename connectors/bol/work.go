package bol

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
)

// bol takes one item a call, so a Push is many calls. A crew makes them, a few
// at once, until the items are done, bol says stop, or the time runs out.

const (
	workers = 8 // calls in flight for one Push
	// enough failures of bol's, with no success between, are an outage and not
	// one bad item.
	enough = 3
)

// crew is the state of one Push or Poll.
type crew struct {
	deadline time.Time     // zero: none
	reserve  time.Duration // what has to be left of the time for a call to begin

	mu   sync.Mutex
	halt *connectors.Error // why nothing more is begun
	bad  int
}

func muster(ctx context.Context) *crew {
	w := &crew{}
	if deadline, ok := ctx.Deadline(); ok {
		w.deadline, w.reserve = deadline, min(time.Until(deadline)/4, 10*time.Second)
	}
	return w
}

// stopped says why no further call may begin; nil when one may. What is not
// begun is never in doubt.
func (w *crew) stopped(ctx context.Context) *connectors.Error {
	if ctx.Err() != nil {
		return &connectors.Error{Verdict: connectors.Unavailable, Err: fmt.Errorf("not begun: %w", context.Cause(ctx))}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.halt; h != nil {
		return &connectors.Error{Verdict: h.Verdict, After: h.After, Err: fmt.Errorf("not begun: %w", h.Err)}
	}
	if !w.deadline.IsZero() && time.Until(w.deadline) < w.reserve {
		return &connectors.Error{Verdict: connectors.Throttled, After: time.Second, Err: errors.New("not begun: the call's time was used up; bol takes one item at a time")}
	}
	return nil
}

// heed notes how a call ended.
func (w *crew) heed(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil || !general(connectors.AsError(err)) {
		w.bad = 0
		return
	}
	e := connectors.AsError(err)
	w.bad++
	if w.halt == nil && (e.Verdict != connectors.Unavailable || !e.Uncertain || w.bad >= enough) {
		w.halt = e
	}
}

// general reports whether an error says nothing of the item that met it.
func general(e *connectors.Error) bool {
	switch e.Verdict {
	case connectors.Throttled, connectors.Unavailable, connectors.Auth:
		return true
	case connectors.Permanent:
		return e.Uncertain // an answer without end
	}
	return false
}

// each does something for the numbers below n. The first is begun whatever the
// time; left is called for those that are not begun.
func (w *crew) each(ctx context.Context, n int, do func(i int) error, left func(i int, why *connectors.Error)) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
	)
	for range min(workers, n) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				if why := w.stopped(ctx); why != nil && (i > 0 || why.Verdict != connectors.Throttled) {
					left(i, why)
					continue
				}
				w.heed(do(i))
			}
		})
	}
	wg.Wait()
}

// whole turns results into the error of a call where none of the items that
// went to bol got further than bol itself: the breaker and the channel's rest
// are for those. Local are items that never went there.
func whole(results []connectors.Result, local func(i int) bool) error {
	var all *connectors.Error
	rank := map[connectors.Verdict]int{connectors.Throttled: 1, connectors.Permanent: 2, connectors.Unavailable: 3, connectors.Auth: 4}
	for i := range results {
		if local(i) {
			continue
		}
		if results[i].Err == nil {
			return nil
		}
		e := connectors.AsError(results[i].Err)
		if !general(e) {
			return nil
		}
		if all == nil {
			all = &connectors.Error{Verdict: e.Verdict, After: e.After, Uncertain: e.Uncertain, Err: e.Err}
			continue
		}
		all.Uncertain = all.Uncertain || e.Uncertain
		all.After = max(all.After, e.After)
		if rank[e.Verdict] > rank[all.Verdict] {
			all.Verdict, all.Err = e.Verdict, e.Err
		}
	}
	if all == nil {
		return nil
	}
	return all
}
