package jobs

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// sweepEvery is how often each process looks for what nobody works on.
	// It bounds the delay that any lost wake, job or process can cause.
	sweepEvery = 2 * time.Second
	// tidyEvery is how often old rows are thrown away.
	tidyEvery = 10 * time.Minute
)

// sweep is the safety net under everything: it expires leases, opens price
// windows, looks at changes of the category tree, of records and of associated products, and makes a job for every consumer that has work and no holder. It
// runs in every process, since a leader's periodic job would take a leader's
// time to come back. Its cost is O(channels).
func (r *Runner) sweep(ctx context.Context) {
	for {
		jittered := r.every/2 + rand.N(r.every)
		select {
		case <-ctx.Done():
			return
		case <-time.After(jittered):
		}
		r.sweepOnce(ctx)
	}
}

// tidy throws old rows and files away, beside the sweep, which must not wait for
// as long as that may take.
func (r *Runner) tidy(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.tidyEvery):
		}
		if err := r.store.Tidy(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "tidy", "err", err)
		}
		if r.media != nil {
			r.collect(ctx)
		}
	}
}

func (r *Runner) sweepOnce(ctx context.Context) {
	expired, err := r.store.Expire(ctx)
	for _, c := range expired {
		r.metrics.takeovers.WithLabelValues(c.Kind).Inc()
		r.log.InfoContext(ctx, "a holder vanished", "consumer", c.Kind, "channel", c.Channel, "lane", c.Lane.String())
	}
	if err == nil {
		_, err = r.store.OpenPriceWindows(ctx)
	}
	if err == nil {
		_, err = r.store.OpenPublications(ctx)
	}
	if err == nil {
		_, err = r.store.OpenTreeChanges(ctx)
	}
	if err == nil {
		_, err = r.store.OpenRecordChanges(ctx)
	}
	if err == nil {
		_, err = r.store.OpenAssociationChanges(ctx)
	}
	if err == nil {
		due, e := r.store.DueConsumers(ctx)
		err = e
		running := r.ensure(ctx, due...)
		if err == nil && len(running) > 0 {
			due, err = r.store.Supersede(ctx, running, r.lease)
			r.ensure(ctx, due...)
		}
	}
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "sweep", "err", err)
	}
}
