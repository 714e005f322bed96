//go:build unix

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	// The targets of the large house: one that is well, one that dies, one that is attached.
	wellTarget = iota
	deadTarget
	attachedTarget
)

// deadTimeout is how long a call to the dead channel waits: many short calls
// trouble the process more than few long ones.
const deadTimeout = time.Second

// rounds is how often each state is measured, in turn with the others.
func (c *Command) rounds() int {
	if c.Seconds < 1 {
		return 1
	}
	return 2
}

// drainedMost is how many listings a rate is taken of, at most: the rest of a
// million would tell the same.
const drainedMost = 100_000

// sqlAcknowledge leaves listings as a receipt does. What was sent of these is
// another's to know, so no document has this hash.
const sqlAcknowledge = `
update listing set dirty = false, acked_rev = 1, acked_at = now(), receipt_at = now(), receipt_rev = 1, acked_hash = sha256(product_id::text::bytea),
    status = 'accepted', verdict = 'accepted', born = 1
where channel_id = $1 and dirty`

const (
	sqlQueueEveryone = `insert into outbox (product_id, lanes, priority) select id, 1, 0 from product order by id`
	// The next probe is due: as if it had waited long enough.
	sqlProbeNow  = `update channel set next_probe_at = now() where id = $1 and next_probe_at > now()`
	sqlOpen      = `select next_probe_at is not null from channel where id = $1`
	sqlRiverRows = `select count(*) from river_job where state in ('available', 'pending', 'running', 'scheduled', 'retryable')`
	sqlConsumers = `select count(*) from consumer`
)

// large is the house with as many products as listings are to wait.
func (b *bench) large(ctx context.Context) error {
	if err := b.stock(ctx, b.Waiting); err != nil {
		return err
	}
	base, err := b.house.number(ctx, sqlSize)
	if err != nil {
		return err
	}
	well, err := b.house.open(ctx, "bench-well", outlet{target: wellTarget, paused: true, batch: 100, calls: pushConcurrency}, b.sink)
	if err != nil {
		return err
	}
	if err := b.house.marked(ctx); err != nil {
		return err
	}
	grown, err := b.house.number(ctx, sqlSize)
	if err != nil {
		return err
	}
	b.say("push to a channel that is well")
	steady, err := b.draining(ctx, func() error { return b.house.resume(ctx, well) })
	if err != nil {
		return err
	}
	if err := b.house.acknowledge(ctx, well); err != nil {
		return err
	}
	if b.wants(measureDead) {
		if err := b.dead(ctx, steady, float64(grown-base)/float64(b.Waiting)); err != nil {
			return err
		}
	}
	if b.wants(measureAttached) {
		return b.attached(ctx)
	}
	return nil
}

// heard is how long edits take to the channel that is well.
func (b *bench) heard(ctx context.Context, name string) ([]time.Duration, error) {
	e := b.house.editor(inFlight)
	defer e.client.CloseIdleConnections()
	b.edited += numbering
	all, _, err := b.arrivalsAt(ctx, pacedRate, 1, min(spread, b.Waiting), name, func(ctx context.Context, product, i int) (int64, error) {
		return e.edit(ctx, product, fmt.Sprintf("Paced %d", i+b.edited))
	})
	return all, err
}

// dead measures what listings cost others that wait behind a channel whose
// target accepts connections and never answers. steady is the rate at which
// as many went to one that is well, perFirst the bytes that each of them took.
func (b *bench) dead(ctx context.Context, steady, perFirst float64) error {
	b.say("edit to received without them")
	var without, behind, probed []time.Duration
	all, err := b.heard(ctx, "dead-without")
	if err != nil {
		return err
	}
	without = append(without, all...)
	before, err := b.house.number(ctx, sqlSize)
	if err != nil {
		return err
	}
	if err := b.sink.dies(ctx, deadTarget); err != nil {
		return err
	}
	number, err := b.house.open(ctx, "bench-dead", outlet{target: deadTarget, batch: 100, calls: pushConcurrency, timeout: deadTimeout}, b.sink)
	if err != nil {
		return err
	}
	id := int64(b.house.list[number].ID)
	if err := errors.Join(b.house.marked(ctx), until(ctx, b.house.pool, sqlOpen, id)); err != nil {
		return err
	}
	now, err := b.house.number(ctx, sqlSize)
	if err != nil {
		return err
	}
	perSecondOne := float64(now-before) / float64(b.Waiting)
	for range b.rounds() {
		b.say("edit to received while %d wait behind a dead channel", b.Waiting)
		if all, err = b.heard(ctx, "dead-behind"); err != nil {
			return err
		}
		behind = append(behind, all...)
		b.say("edit to received while the dead channel is probed")
		if all, err = b.probing(ctx, id); err != nil {
			return err
		}
		probed = append(probed, all...)
	}
	rows, err := b.house.number(ctx, sqlRiverRows)
	if err != nil {
		return err
	}
	consumers, err := b.house.number(ctx, sqlConsumers)
	if err != nil {
		return err
	}
	sizes, err := b.again(ctx)
	if err != nil {
		return err
	}
	b.say("the dead channel recovers")
	recovered, err := b.draining(ctx, func() error { return b.sink.recovers(ctx, deadTarget) })
	if err != nil {
		return err
	}
	if err := b.house.forget(ctx, number); err != nil {
		return err
	}
	const well = 0 // the first channel
	if err := b.house.acknowledge(ctx, well); err != nil {
		return err
	}
	b.say("edit to received without them, again")
	if all, err = b.heard(ctx, ""); err != nil {
		return err
	}
	first := summarise(append([]time.Duration{}, without...))
	last := summarise(append([]time.Duration{}, all...))
	of := summarise(append(without, all...))
	note := fmt.Sprintf("without them %.1f ms before, %.1f ms after", milliseconds(first.p95), milliseconds(last.p95))
	name := fmt.Sprintf("edit to received, %d/s, %d listings wait behind a dead channel, ", pacedRate, b.Waiting)
	for _, m := range []struct {
		what string
		all  []time.Duration
		aim  *aim
	}{{"p95", behind, atMost(1.5)}, {"probed all the time, p95", probed, atMost(2)}} {
		b.report.beside(name+m.what, milliseconds(summarise(m.all).p95), "ms", "without them", milliseconds(of.p95), m.aim, note)
	}
	b.report.beside("River rows that wait or run", float64(max(rows, 1)), "rows", "channels and lanes that can have one", float64(consumers), atMost(1), "")
	b.report.within("a waiting listing", max(perFirst, perSecondOne), "bytes", atMost(300),
		fmt.Sprintf("growth of the database by all of them: %.0f in the empty table, %.0f beside as many of another channel", perFirst, perSecondOne))
	b.report.beside("listings, indexes included, after all were edited a third time", float64(sizes[2])/1e6, "MB", "a second time", float64(sizes[1])/1e6, atMost(1.02),
		fmt.Sprintf("vacuumed between; %.0f MB after the first", float64(sizes[0])/1e6))
	b.report.beside("recovered, listings pushed", recovered, "listings/s", "a channel that is well", steady, atLeast(0.9), fmt.Sprintf("%d of each", min(b.Waiting, drainedMost)))
	return nil
}

// probing is heard while the dead channel is probed without a pause.
func (b *bench) probing(ctx context.Context, id int64) (all []time.Duration, err error) {
	pctx, stop := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		tick := time.NewTicker(deadTimeout / 10)
		defer tick.Stop()
		for {
			select {
			case <-pctx.Done():
				failed <- nil
				return
			case <-tick.C:
			}
			tag, err := b.house.pool.Exec(pctx, sqlProbeNow, id)
			if err != nil && pctx.Err() == nil {
				failed <- fmt.Errorf("have the dead channel probed: %w", err)
				return
			}
			if tag.RowsAffected() > 0 {
				b.house.node.Runner.WakeChannel(b.house.list[len(b.house.list)-1].ID)
			}
		}
	}()
	all, err = b.heard(ctx, "dead-probed")
	stop()
	return all, errors.Join(err, <-failed)
}

// again has all products edited, set-based, three times, while nothing is sent,
// and gives the size of listings with their indexes after each time.
func (b *bench) again(ctx context.Context) (sizes [3]int64, err error) {
	if err := b.house.node.Store.PauseChannel(ctx, b.house.list[0].Code); err != nil {
		return sizes, err
	}
	for i := range sizes {
		b.say("edit all %d once more", b.Waiting)
		if _, err := b.house.pool.Exec(ctx, sqlQueueEveryone); err != nil {
			return sizes, fmt.Errorf("queue all products: %w", err)
		}
		b.house.node.Runner.Wake(postgres.Consumer{Kind: postgres.Fanout})
		if err := b.house.marked(ctx); err != nil {
			return sizes, err
		}
		if sizes[i], err = b.house.number(ctx, sqlListingSize); err != nil {
			return sizes, err
		}
		if err := vacuum(ctx, b.house.pool); err != nil {
			return sizes, err
		}
	}
	return sizes, nil
}

// draining is the rate at which a channel is sent what waits for it.
func (b *bench) draining(ctx context.Context, begin func() error) (float64, error) {
	if err := errors.Join(b.sink.begin(ctx), begin(), b.sink.some(ctx)); err != nil {
		return 0, err
	}
	began, first := time.Now(), 0
	want := min(b.Waiting, drainedMost)
	n, err := b.sink.count(ctx, 1)
	for first = n; n < want && err == nil; {
		n, err = b.sink.count(ctx, want)
	}
	return perSecond(n-first, time.Since(began)), err
}

// acknowledge has nothing wait for a channel any more.
func (h *house) acknowledge(ctx context.Context, number int) error {
	ch := h.list[number]
	if err := h.node.Store.PauseChannel(ctx, ch.Code); err != nil {
		return err
	}
	// Calls under way come to their end, and to nothing.
	if err := until(ctx, h.pool, sqlIdleDrain, int64(ch.ID)); err != nil {
		return err
	}
	if _, err := h.pool.Exec(ctx, sqlAcknowledge, int64(ch.ID)); err != nil {
		return fmt.Errorf("acknowledge what waits: %w", err)
	}
	if err := vacuum(ctx, h.pool); err != nil {
		return err
	}
	return h.resume(ctx, number)
}

const sqlIdleDrain = `select not exists (select from consumer where kind = 'drain' and channel_id = $1 and not released)`

// attached measures what edits take while a channel gets the whole catalogue.
func (b *bench) attached(ctx context.Context) error {
	e := b.house.editor(inFlight)
	defer e.client.CloseIdleConnections()
	products := min(spread, b.Waiting)
	var without, marking, filling []time.Duration
	rest := func() error {
		b.say("edits while nothing is attached")
		all, err := b.editsAt(ctx, e, products, after(b.span()))
		without = append(without, all...)
		return errors.Join(err, b.settled(ctx, 1))
	}
	for range b.rounds() {
		if err := rest(); err != nil {
			return err
		}
		b.say("edits while a channel of %d is attached", b.Waiting)
		number, err := b.house.open(ctx, "bench-attached", outlet{target: attachedTarget, batch: 100, calls: pushConcurrency}, b.sink)
		if err != nil {
			return err
		}
		for _, part := range []struct {
			name string
			all  *[]time.Duration
			wait func() error
		}{
			{"attached-marked", &marking, func() error { return b.house.marked(ctx) }},
			{"attached-filled", &filling, func() error { return b.filled(ctx, number) }},
		} {
			stop, err := b.profile(ctx, part.name)
			if err != nil {
				return err
			}
			over, failed := make(chan struct{}), make(chan error, 1)
			go func() {
				failed <- part.wait()
				close(over)
			}()
			all, err := b.editsAt(ctx, e, products, over)
			if err = errors.Join(err, <-failed, stop()); err != nil {
				return err
			}
			*part.all = append(*part.all, all...)
		}
		if err := errors.Join(b.settled(ctx, 1), b.house.forget(ctx, number)); err != nil {
			return err
		}
	}
	if err := rest(); err != nil {
		return err
	}
	of := summarise(without)
	name := fmt.Sprintf("edit over HTTP, %d/s, while a channel of %d listings is ", pacedRate, b.Waiting)
	for _, m := range []struct {
		what string
		all  []time.Duration
	}{{"marked", marking}, {"filled", filling}} {
		s := summarise(m.all)
		b.report.beside(name+m.what+", p95", milliseconds(s.p95), "ms", "nothing attached", milliseconds(of.p95), atMost(1.5), fmt.Sprintf("%d edits", s.n))
	}
	return nil
}

// sqlFilled: what edits make dirty meanwhile is in front of the queue, and what
// the channel was attached with behind it.
const sqlFilled = `
select not exists (select from listing l where l.channel_id = c.id and l.lane = 1 and l.dirty and l.due_at >= c.created_at limit 1)
from channel c where id = $1`

// filled waits until a channel has what it was attached with, or has been
// watched for long enough.
func (b *bench) filled(ctx context.Context, number int) error {
	bound, cancel := context.WithTimeout(ctx, 3*b.span())
	defer cancel()
	err := untilEvery(bound, 20*look, b.house.pool, sqlFilled, int64(b.house.list[number].ID))
	if bound.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}
