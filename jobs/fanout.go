package jobs

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	// fanoutRows is of how many products one statement takes outbox rows at most.
	fanoutRows = 2000
	// markRows is how many products one statement marks for a new channel at most.
	markRows = 5000
	// markFew is how many while there are edits, which wait for the statement.
	markFew = 125
)

// fanner is hop two of the main road. The outbox and the marking of a new
// channel take turns, so that neither waits for the other's backlog.
type fanner struct {
	r       *Runner
	changes pace // shrinks to one while a poisonous row is looked for
	marking pace
	rests   atomic.Pointer[time.Time] // marking goes on then; a holder whose lease was lost may look, too
}

func newFanner(r *Runner) *fanner {
	f := &fanner{r: r, changes: pace{most: fanoutRows}, marking: pace{most: markRows}}
	f.changes.limit.Store(fanoutRows)
	f.marking.limit.Store(markRows)
	return f
}

// pace is how much one statement takes on. What a row costs depends on how many
// channels and variants there are, so the statement's time decides: nothing may
// come near the end of a lease, and an edit waits for the statement before it.
type pace struct {
	most  int64
	limit atomic.Int64
}

// now is how much to take.
func (p *pace) now() int { return int(p.limit.Load()) }

// shrink divides what is taken.
func (p *pace) shrink(by int64) { p.limit.Store(max(1, p.limit.Load()/by)) }

// took halves what is taken after a statement that took more than its share,
// and lets it grow after one that took less than half of it.
func (p *pace) took(d, share time.Duration) {
	switch {
	case d > share:
		p.shrink(2)
	case d <= share/2:
		p.limit.Store(min(p.most, p.limit.Load()*2))
	}
}

// step implements worker.
func (f *fanner) step(ctx context.Context, l postgres.Lease) (next, error) {
	var (
		limit = f.changes.now()
		row   int64
		m     postgres.Marked
		err   error
		began = time.Now()
		share = f.r.lease / 10
	)
	if limit > 1 {
		m, err = f.r.store.FanOut(ctx, l, limit)
	} else {
		row, m, err = f.r.store.FanOutOne(ctx, l)
	}
	if postgres.IsPoison(err) {
		if limit > 1 {
			f.changes.shrink(8)
			return next{again: true}, nil
		}
		f.r.log.ErrorContext(ctx, "set an outbox row aside", "row", row, "err", err)
		f.r.metrics.poisoned.Inc()
		return next{again: true}, f.r.store.SetAside(ctx, l, row, err)
	}
	if err != nil {
		f.changes.shrink(2) // it may have been too much for its time
		return next{}, err
	}
	f.changes.took(time.Since(began), share)
	f.woke(m)
	left := m.Taken >= limit // were there fewer than could be taken: what is committed after this look pokes
	if !m.More {
		return next{again: left, idle: m.Taken == 0}, nil
	}
	if at := f.rests.Load(); at != nil && time.Until(*at) > 0 {
		return next{again: left, in: time.Until(*at)}, nil // changes do not rest
	}
	began = time.Now()
	rows, polite := f.marking.now(), f.r.courtesy.asked()
	if polite {
		rows = min(rows, markFew)
	}
	if m, err = f.r.store.MarkChannel(ctx, l, rows); err != nil {
		f.marking.shrink(2)
		return next{}, err
	}
	took := time.Since(began)
	f.woke(m)
	if polite {
		wait := restAfter(took)
		at := time.Now().Add(wait)
		f.rests.Store(&at)
		return next{again: left, in: wait}, nil
	}
	f.marking.took(took, share)
	return next{again: true}, nil
}

func (f *fanner) woke(m postgres.Marked) {
	for _, n := range m.Listings {
		f.r.metrics.marked.Add(float64(n))
	}
	if m.Derived > 0 {
		f.r.Wake(postgres.Consumer{Kind: postgres.Derive})
	}
	f.r.Wake(m.Wake...)
}
