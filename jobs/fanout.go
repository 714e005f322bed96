package jobs

import (
	"context"
	"sync/atomic"

	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	// fanoutRows is how many outbox rows one statement takes.
	fanoutRows = 2000
	// markRows is how many products one statement marks for a new channel.
	markRows = 5000
)

// fanner is hop two of the main road.
type fanner struct {
	r     *Runner
	limit atomic.Int64 // shrinks to one while a poisonous row is looked for
}

func newFanner(r *Runner) *fanner {
	f := &fanner{r: r}
	f.limit.Store(fanoutRows)
	return f
}

// step implements worker.
func (f *fanner) step(ctx context.Context, l postgres.Lease) (next, error) {
	var (
		limit = f.limit.Load()
		row   int64
		m     postgres.Marked
		err   error
	)
	if limit > 1 {
		m, err = f.r.store.FanOut(ctx, l, int(limit))
	} else {
		row, m, err = f.r.store.FanOutOne(ctx, l)
	}
	if postgres.IsPoison(err) {
		if limit > 1 {
			f.limit.Store(max(1, limit/8))
			return next{again: true}, nil
		}
		f.r.log.ErrorContext(ctx, "set an outbox row aside", "row", row, "err", err)
		f.r.metrics.poisoned.Inc()
		return next{again: true}, f.r.store.SetAside(ctx, l, row, err)
	}
	if err != nil {
		return next{}, err
	}
	f.limit.Store(min(fanoutRows, limit*2))
	f.woke(m)
	if m.Taken > 0 || !m.More {
		// Fewer than could be taken: what is committed after this look pokes.
		return next{again: m.More || int64(m.Taken) == limit, idle: m.Taken == 0}, nil
	}
	if m, err = f.r.store.MarkChannel(ctx, l, markRows); err != nil {
		return next{}, err
	}
	f.woke(m)
	return next{again: true}, nil
}

func (f *fanner) woke(m postgres.Marked) {
	for _, n := range m.Listings {
		f.r.metrics.marked.Add(float64(n))
	}
	f.r.Wake(m.Wake...)
}
