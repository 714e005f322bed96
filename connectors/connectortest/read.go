package connectortest

import (
	"context"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// readable are the lanes that the connector can read back, content first.
func (r *run) readable(c connectors.Reader) (lanes []pim.Lane) {
	for _, l := range r.lanes() {
		if c.Readable().Has(l) {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// readOK reads and expects an answer for every item.
func (r *run) readOK(c connectors.Reader, items ...connectors.Item) []connectors.Held {
	r.Helper()
	held, err := c.Read(r.ctx, items)
	r.hear(err)
	if err != nil || len(held) != len(items) {
		r.Fatalf("read of %d items: %d answers, error %v", len(items), len(held), err)
	}
	for i := range held {
		r.hear(held[i].Err)
		if held[i].Err != nil {
			r.Fatalf("read of %s (item %d): %v", items[i].SKU, i, held[i].Err)
		}
		switch held[i].Presence {
		case connectors.Absent, connectors.Kept, connectors.Hidden, connectors.Shown:
		default:
			r.Fatalf("item %d has the presence %q", i, held[i].Presence)
		}
	}
	return held
}

// holds checks what a read says of one item.
func (r *run) holds(when string, c connectors.Reader, item connectors.Item, want bool) {
	r.Helper()
	h := r.readOK(c, item)[0]
	if h.Matches(item) != want || h.Exact && !want {
		r.Errorf("lane %s, %s: matches is %v and exact %v, want %v: %s read as %s (%s)", item.Lane, when, h.Matches(item), h.Exact, want, item.Document, h.Document, h.Presence)
	}
	if want && !h.Exact && !r.h.Vague.Has(item.Lane) {
		r.Errorf("lane %s, %s: what was pushed is not held exactly: %s read as %s", item.Lane, when, item.Document, h.Document)
	}
}

func readBack(r *run) {
	c, ok := r.Connector.(connectors.Reader)
	if !ok {
		r.Log("the connector does not read back")
		return
	}
	before := r.Calls()
	if held, err := c.Read(r.ctx, nil); err != nil || len(held) != 0 || r.Calls() != before {
		r.Errorf("a read of nothing: %v, error %v, %d calls", held, err, r.Calls()-before)
	}
	for _, l := range r.readable(c) {
		if h := r.readOK(c, r.upsert(l, "A", 1))[0]; h.Presence != connectors.Absent || h.Exact {
			r.Errorf("lane %s: before it was pushed it is %s (exact %v)", l, h.Presence, h.Exact)
		}
	}
	for _, l := range r.lanes() {
		r.ok(r.upsert(l, "A", 1), r.upsert(l, "B", 1))
	}
	records := r.Records()
	was := map[pim.Lane]string{}
	for _, l := range r.lanes() {
		was[l] = r.Held("A", l)
	}
	for _, l := range r.readable(c) {
		held := r.readOK(c, r.upsert(l, "B", 1), r.upsert(l, "UNKNOWN", 1), r.upsert(l, "A", 2))
		if !held[0].Matches(r.upsert(l, "B", 1)) || held[1].Presence != connectors.Absent || held[2].Matches(r.upsert(l, "A", 2)) || held[2].Presence == connectors.Absent {
			r.Errorf("lane %s: answers are not of their items: %+v", l, held)
		}
		r.holds("as it was pushed", c, r.upsert(l, "A", 1), true)
		r.holds("another version", c, r.upsert(l, "A", 2), false)
	}
	for _, l := range r.lanes() {
		if r.Held("A", l) != was[l] || r.Records() != records {
			r.Errorf("lane %s: reading changed the target", l)
		}
	}
	for _, l := range r.readable(c) { // what Push remembers is not spoiled, and none of it hides a change
		if res := r.ok(r.upsert(l, "A", 2))[0]; res.Anew {
			r.Errorf("lane %s: after a read, what was there is called made anew", l)
		}
		r.holds("after an update", c, r.upsert(l, "A", 2), true)
		r.Alter("A", l)
		r.holds("changed behind our back", c, r.upsert(l, "A", 2), false)
		r.holds("beside it", c, r.upsert(l, "B", 1), true)
	}
}

func readGone(r *run) {
	c, ok := r.Connector.(connectors.Reader)
	if !ok {
		r.Log("the connector does not read back")
		return
	}
	for _, l := range r.lanes() {
		r.ok(r.upsert(l, "A", 1), r.upsert(l, "B", 1))
	}
	drop := r.Drop
	if drop == nil {
		drop = r.Vanish
	}
	drop("A")
	r.ok(r.withdraw("B", 2))
	for _, l := range r.readable(c) {
		if h := r.readOK(c, r.upsert(l, "A", 1))[0]; h.Presence != connectors.Absent || h.Exact {
			r.Errorf("lane %s: deleted at the target it is %s (exact %v)", l, h.Presence, h.Exact)
		}
	}
	if c.Readable().Has(pim.Content) {
		if h := r.readOK(c, r.withdraw("B", 2))[0]; h.Presence != connectors.Absent || !h.Exact {
			r.Errorf("withdrawn it is %s (exact %v)", h.Presence, h.Exact)
		}
		r.ok(r.upsert(pim.Content, "B", 3))
		if h := r.readOK(c, r.withdraw("B", 2))[0]; h.Presence == connectors.Absent || h.Exact {
			r.Errorf("back again it is %s (exact %v) to a withdrawal", h.Presence, h.Exact)
		}
	}
}

func readFaults(r *run) {
	c, ok := r.Connector.(connectors.Reader)
	if !ok {
		r.Log("the connector does not read back")
		return
	}
	lanes := r.readable(c)
	for _, l := range r.lanes() {
		r.ok(r.upsert(l, "A", 1))
	}
	if r.MeetReads != nil {
		r.MeetReads()
	}
	item := r.upsert(lanes[len(lanes)-1], "A", 1)
	read := func(ctx context.Context) error {
		held, err := c.Read(ctx, []connectors.Item{item})
		if err == nil && len(held) == 1 {
			err = held[0].Err
		}
		r.hear(err)
		return err
	}
	const after = 7 * time.Second
	for _, f := range []struct {
		name    string
		fault   func()
		verdict connectors.Verdict
	}{
		{"500", r.Fail, connectors.Unavailable},
		{"credentials", r.Unauthorize, connectors.Auth},
		{"throttle", func() { r.Throttle(after) }, connectors.Throttled},
		{"refused", r.Refuse, connectors.Unavailable},
		{"broken off", r.Garble, connectors.Unavailable},
	} {
		f.fault()
		if e := r.isError(read(r.ctx), f.verdict, false); f.verdict == connectors.Throttled && e.After != after {
			r.Errorf("come back after %s, the target said %s", e.After, after)
		}
		r.Heal()
		if err := read(r.ctx); err != nil {
			// The first call after it may go out on a connection that died meanwhile.
			if err = read(r.ctx); err != nil {
				r.Errorf("read after %s: %v", f.name, err)
			}
		}
	}
	r.Endless()
	if err := read(r.ctx); err == nil || !connectors.Certain(err) {
		r.Errorf("read of an answer without end: %v", err)
	}
	if r.ctx.Err() != nil {
		r.Fatal("only the deadline ended the reading")
	}
	r.Heal()
	r.Hang()
	ctx, cancel := context.WithTimeout(r.ctx, time.Second)
	defer cancel()
	r.isError(read(ctx), connectors.Unavailable, false)
	r.Heal()
	gone, cancel := context.WithCancel(r.ctx)
	cancel()
	before := r.Calls()
	if read(gone) == nil || r.Calls() != before {
		r.Error("a read is begun after it was cancelled")
	}
	many := make([]connectors.Item, r.limits().Batch+1)
	for i := range many {
		many[i] = item
	}
	if _, err := c.Read(r.ctx, many); err != nil && !connectors.Certain(err) {
		r.Errorf("a read over the limit is uncertain: %v", err)
	}
}
