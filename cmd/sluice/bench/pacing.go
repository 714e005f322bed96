//go:build unix

package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// spread is over how many products paced edits go in turn.
	spread = 5000
	// inFlight bounds edits under way: at a rate that cannot be served, more
	// would only measure the bench.
	inFlight = 512
	// numbering keeps the texts of one paced measure apart from the next one's.
	numbering = 1_000_000
	// arriving bounds the wait for what is late after the last edit.
	arriving = 40 * time.Second
)

// sent is one edit: what was to arrive, and when it was sent off.
type sent struct {
	product  int
	revision int64
	at       int64 // Unix time in nanoseconds
}

// paced times how long edits take to the target at two rates, with one channel
// and with five, beside a bare River that gets a job for each delivery.
func (b *bench) paced(ctx context.Context) error {
	b.say("bring all channels up to date")
	if err := b.house.rebatch(ctx); err != nil {
		return err
	}
	if err := b.house.resume(ctx, 1, 2, 3, 4); err != nil {
		return err
	}
	if err := b.settled(ctx, channels); err != nil {
		return err
	}
	if err := vacuum(ctx, b.house.pool); err != nil {
		return err
	}
	for _, to := range []int{channels, 1} {
		if to == 1 {
			if err := b.house.remove(ctx, 1, 2, 3, 4); err != nil {
				return err
			}
		}
		for _, rate := range []int{100, 1000} {
			if err := b.pacedAt(ctx, rate, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// settled waits until nothing is to be sent on the first n channels.
func (b *bench) settled(ctx context.Context, n int) error {
	if err := b.house.marked(ctx); err != nil {
		return err
	}
	for i := range n {
		if err := b.house.clean(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) pacedAt(ctx context.Context, rate, to int) error {
	name := fmt.Sprintf("%d/s, %d channels", rate, to)
	if to == 1 {
		name = fmt.Sprintf("%d/s, 1 channel", rate)
	}
	b.say("edit to received at %s", name)
	if _, err := b.bare.insert.Exec(ctx, sqlRiverEmpty); err != nil {
		return fmt.Errorf("empty the bare River: %w", err)
	}
	_, stop, err := b.bare.start(ctx)
	if err != nil {
		return err
	}
	base, _, err := b.pace(ctx, rate, to, "", func(ctx context.Context, product, i int) (int64, error) {
		return int64(i), b.bare.deliver(ctx, product, int64(i), to)
	})
	if err = errors.Join(err, stop()); err != nil {
		return fmt.Errorf("bare River at %s: %w", name, err)
	}
	e := b.house.editor(inFlight)
	defer e.client.CloseIdleConnections()
	profile := fmt.Sprintf("paced-%d-%d", rate, to)
	ours, late, err := b.pace(ctx, rate, to, profile, func(ctx context.Context, product, i int) (int64, error) {
		return e.edit(ctx, product, fmt.Sprintf("Paced %d", i+b.edited))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.edited += numbering
	var a50, a99 *aim
	switch {
	case rate == 100 && to == 1:
		a50 = atMost(1.5)
	case rate == 100:
		a50 = atMost(4)
	case to == channels:
		a99 = atMost(0.1)
	}
	note := fmt.Sprintf("%d deliveries, edits sent %.1f ms late at p99", ours.n, milliseconds(late))
	b.report.beside("edit to received, "+name+", p50", milliseconds(ours.p50), "ms", "bare River", milliseconds(base.p50), a50, note)
	b.report.beside("edit to received, "+name+", p95", milliseconds(ours.p95), "ms", "bare River", milliseconds(base.p95), nil, "")
	b.report.beside("edit to received, "+name+", p99", milliseconds(ours.p99), "ms", "bare River", milliseconds(base.p99), a99, "")
	return b.settled(ctx, to)
}

// pace sends edits at a rate, each at its time whether or not earlier ones are
// through, and gives their latencies. An edit has arrived at a channel with
// the first item of its product that is of its revision or a newer one. Those
// of a first part, while connections open and consumers wake, do not count.
func (b *bench) pace(ctx context.Context, rate, to int, profile string, edit editing) (latencies, time.Duration, error) {
	all, late, err := b.arrivalsAt(ctx, rate, to, min(spread, b.Products), profile, edit)
	if err != nil {
		return latencies{}, 0, err
	}
	slices.Sort(late)
	return summarise(all), quantile(late, 0.99), nil
}

// editing makes the edit numbered i and gives the revision that it makes.
type editing func(ctx context.Context, product, i int) (int64, error)

// arrivalsAt is pace with its single figures.
func (b *bench) arrivalsAt(ctx context.Context, rate, to, products int, profile string, edit editing) (all, late []time.Duration, err error) {
	if err := b.sink.begin(ctx); err != nil {
		return nil, nil, err
	}
	warm := int(float64(rate) * min(1, b.Seconds/4))
	n := warm + int(float64(rate)*b.Seconds)
	stop, err := b.profile(ctx, profile)
	if err != nil {
		return nil, nil, err
	}
	edits, late, err := dispatch(ctx, n, rate, products, edit)
	if err != nil {
		return nil, nil, err
	}
	if err := stop(); err != nil {
		return nil, nil, err
	}
	all, err = b.collect(ctx, edits, warm, to)
	return all, late, err
}

// dispatch sends n edits at a rate, and says how much later than its time each
// was sent. One that had to wait for earlier ones, because inFlight of them
// were under way, counts from when it was due: else a road that is too slow
// would look fast.
func dispatch(ctx context.Context, n, rate, products int, edit editing) ([]sent, []time.Duration, error) {
	edits, late := make([]sent, n), make([]time.Duration, n)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	began := time.Now()
	for i := range n {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		at := due
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
			at = time.Now()
		}
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			product := i % products
			late[i] = time.Since(due)
			revision, err := edit(gctx, product, i+1)
			edits[i] = sent{product, revision, at.UnixNano()}
			return err
		})
	}
	return edits, late, g.Wait()
}

// collect waits until all edits have arrived at the first channels, and gives
// the latencies of those behind warm.
func (b *bench) collect(ctx context.Context, edits []sent, warm, to int) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, arriving)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := b.sink.arrived(ctx)
		if err != nil {
			return nil, err
		}
		all, missing := match(edits, list, warm, to)
		if missing == 0 {
			return all, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d deliveries have not arrived %v after the last edit", missing, arriving)
		}
	}
}

// place is where one product's items arrive.
type place struct{ channel, product int }

// match finds each edit's arrival on each channel, and counts those that there
// are none of.
func match(edits []sent, list []arrival, warm, to int) (all []time.Duration, missing int) {
	at := map[place][]arrival{}
	for _, a := range list {
		p := place{a.Channel, a.Product}
		at[p] = append(at[p], a)
	}
	for _, as := range at {
		slices.SortFunc(as, func(x, y arrival) int { return cmp.Compare(x.At, y.At) })
	}
	all = make([]time.Duration, 0, len(edits)*to)
	for i, e := range edits {
		for c := range to {
			as := at[place{c, e.product}]
			k := slices.IndexFunc(as, func(a arrival) bool { return a.Revision >= e.revision })
			if k < 0 {
				missing++
			} else if i >= warm {
				all = append(all, time.Duration(as[k].At-e.at))
			}
		}
	}
	return all, missing
}
