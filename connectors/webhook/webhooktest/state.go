package webhooktest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sluicehub/sluice/pim"
)

// State is the target's state at one moment, for the condition of Wait. It is
// valid only inside the function that it was given to.
type State struct{ f *Fake }

// Counts are the totals.
func (s State) Counts() Counts { return s.f.count }

// Listing is what is held of a SKU in a lane.
func (s State) Listing(sku pim.SKU, lane pim.Lane) (Listing, bool) {
	sh := s.f.shelves[sku]
	if sh == nil {
		return Listing{}, false
	}
	slot := &sh.lanes[laneIndex(lane)]
	return slot.Listing, slot.present
}

// Hidden reports whether a SKU is kept and shown to nobody.
func (s State) Hidden(sku pim.SKU) bool { sh := s.f.shelves[sku]; return sh != nil && sh.hidden }

// SoldOut reports whether a SKU is kept though none is left, as its sender said.
func (s State) SoldOut(sku pim.SKU) bool { sh := s.f.shelves[sku]; return sh != nil && sh.empty }

// Len is how many SKUs have a document in a lane.
func (s State) Len(lane pim.Lane) int { return s.f.held[laneIndex(lane)] }

// Waiting is how many items the target took a ticket for, or holds as late.
func (s State) Waiting() int {
	n := len(s.f.queue)
	for _, l := range s.f.late {
		n += len(l.items)
	}
	return n
}

// Wait returns when cond holds, or with an error that says where the target
// stands when ctx is done first. Cond is asked at each change; it must be quick
// and must not call the Fake.
func (f *Fake) Wait(ctx context.Context, cond func(State) bool) error {
	f.mu.Lock()
	f.waiters++
	for !cond(State{f}) {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			f.mu.Lock()
			f.waiters--
			c := f.count
			f.mu.Unlock()
			return fmt.Errorf("waiting for the fake target, which stands at %+v: %w", c, ctx.Err())
		}
		f.mu.Lock()
	}
	f.waiters--
	f.mu.Unlock()
	return nil
}

// bump ends a change: it writes the journal and wakes Wait. Callers hold mu.
func (f *Fake) bump() {
	f.flush()
	if f.waiters > 0 {
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

// Watch calls fn with each entry of the history from now on, in order, until
// stop. Fn is called under the fake's lock: it must be quick and must not call
// the Fake.
func (f *Fake) Watch(fn func(Entry)) (stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchSeq++
	id := f.watchSeq
	f.watchers[id] = fn
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, id)
	}
}

// Counts are the totals since the start.
func (f *Fake) Counts() Counts {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Listing is what the target holds of a SKU in a lane.
func (f *Fake) Listing(sku pim.SKU, lane pim.Lane) (Listing, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return State{f}.Listing(sku, lane)
}

// Hidden reports whether a SKU is kept and shown to nobody.
func (f *Fake) Hidden(sku pim.SKU) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return State{f}.Hidden(sku)
}

// SoldOut reports whether a SKU is kept though none is left, as its sender said.
func (f *Fake) SoldOut(sku pim.SKU) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return State{f}.SoldOut(sku)
}

// Listings is all that the target holds in a lane.
func (f *Fake) Listings(lane pim.Lane) map[pim.SKU]Listing {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[pim.SKU]Listing{}
	for sku := range f.shelves {
		if l, ok := (State{f}).Listing(sku, lane); ok {
			all[sku] = l
		}
	}
	return all
}

// History is what was received of a SKU in a lane, oldest first, as far back as
// Options.History reaches.
func (f *Fake) History(sku pim.SKU, lane pim.Lane) []Entry {
	return f.entries(0, func(e *Entry) bool { return e.SKU == sku && e.Lane == lane })
}

// Log is the newest n entries of a SKU, or of all when sku is "", oldest first.
func (f *Fake) Log(sku pim.SKU, n int) []Entry {
	return f.entries(n, func(e *Entry) bool { return sku == "" || e.SKU == sku })
}

// entries picks the newest n (0: all) entries.
func (f *Fake) entries(n int, pick func(*Entry) bool) []Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []Entry
	for seq := f.seq; seq > f.seq-int64(len(f.ring)) && (n == 0 || len(found) < n); seq-- {
		if e := &f.ring[(seq-1)%int64(f.opts.History)]; pick(e) {
			found = append(found, *e)
		}
	}
	slices.Reverse(found)
	return found
}

// Violations are the sender's breaches of the contract, the first 1,000.
func (f *Fake) Violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bad)
}

// Forgive forgets the violations so far, and says what they were: for a test
// that provokes them.
func (f *Fake) Forgive() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	bad := f.bad
	f.bad = nil
	return bad
}

// Falls are the items that came in with a lower revision than an earlier one of
// the same SKU and lane, the first 1,000. They are no violation by themselves: a
// network may hold a request back.
func (f *Fake) Falls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.falls)
}

// SKUs are all that the target ever saw, sorted.
func (f *Fake) SKUs() []pim.SKU {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.shelves))
}
