//go:build unix

package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"
)

const (
	// idleProducts are the products of the many channels.
	idleProducts = 50
	// idleFor is how long transactions are counted, and idleBefore how long before
	// that nothing is done: the server's processes tell of theirs after up to ten
	// seconds.
	idleFor    = 30 * time.Second
	idleBefore = 12 * time.Second

	sqlAllReleased = `
select not exists (select from consumer where not released) and not exists (select from outbox) and not exists (select from listing where dirty)
   and not exists (select from channel where mark_after is not null)`
	sqlTransactions = `select xact_commit + xact_rollback from pg_stat_database where datname = current_database()`
)

// idle counts the transactions of a process that has nothing to do.
func (b *bench) idle(ctx context.Context) error {
	if err := b.stock(ctx, min(idleProducts, b.Products)); err != nil {
		return err
	}
	b.say("open %d channels", b.Idle)
	for i := range b.Idle {
		if _, err := b.house.open(ctx, fmt.Sprintf("bench-%d", i), outlet{target: i % targets, batch: 100, calls: 4}, b.sink); err != nil {
			return err
		}
	}
	if err := until(ctx, b.house.pool, sqlAllReleased); err != nil {
		return err
	}
	b.say("count transactions")
	select {
	case <-time.After(min(idleBefore, 2*b.span())):
	case <-ctx.Done():
		return ctx.Err()
	}
	stop, err := b.profile(ctx, measureIdle)
	if err != nil {
		return err
	}
	window := min(idleFor, 5*b.span())
	first, err := b.house.number(ctx, sqlTransactions)
	if err != nil {
		return err
	}
	began, n := time.Now(), int64(0)
	for n == 0 {
		select {
		case <-time.After(window):
		case <-ctx.Done():
			return ctx.Err()
		}
		last, err := b.house.number(ctx, sqlTransactions)
		if err != nil {
			return err
		}
		n = last - first
	}
	took := time.Since(began)
	if err := stop(); err != nil {
		return err
	}
	b.report.within(fmt.Sprintf("transactions of an idle process with %d channels", b.Idle), perSecond(int(n), took), "a second", atMost(50), fmt.Sprintf("over %.0f s", took.Seconds()))
	return nil
}

const (
	// steadySamples is how often heap and goroutines are looked at.
	steadySamples = 12
	// steadyWarm of them do not count: caches fill.
	steadyWarm = 3
)

// steady watches heap and goroutines of a process while edits go on: both are
// looked at when nothing is under way.
func (b *bench) steady(ctx context.Context) error {
	if err := b.stock(ctx, b.Products); err != nil {
		return err
	}
	for i := range channels {
		if _, err := b.house.open(ctx, fmt.Sprintf("bench-%d", i), outlet{target: i, batch: 100, calls: pushConcurrency}, b.sink); err != nil {
			return err
		}
	}
	if err := b.settled(ctx, channels); err != nil {
		return err
	}
	e := b.house.editor(16)
	b.say("edits for %.1f minutes", b.Minutes)
	part := time.Duration(b.Minutes * float64(time.Minute) / steadySamples)
	var heap, goroutines []float64
	edits := 0
	for i := range steadySamples {
		if err := b.sink.begin(ctx); err != nil {
			return err
		}
		all, err := b.editsAt(ctx, e, b.Products, after(part))
		if err = errors.Join(err, b.settled(ctx, channels)); err != nil {
			return err
		}
		edits += len(all)
		e.client.CloseIdleConnections()
		if i < steadyWarm {
			continue
		}
		heap, goroutines = append(heap, float64(liveHeap())/1e6), append(goroutines, float64(runtime.NumGoroutine()))
	}
	note := fmt.Sprintf("medians of %d looks each, %d edits to %d channels in %.1f minutes", len(heap)/3, edits, channels, b.Minutes)
	for _, m := range []struct {
		name, unit string
		all        []float64
	}{{"heap", "MB", heap}, {"goroutines", "", goroutines}} {
		third := len(m.all) / 3
		b.report.beside(m.name+", last third", median(m.all[len(m.all)-third:]), m.unit, "first third", median(m.all[:third]), atMost(1.1), note)
	}
	return nil
}

// liveHeap is what is still reachable, in bytes.
func liveHeap() uint64 {
	least := uint64(math.MaxUint64)
	for range 2 { // what the first finds unreachable with a finalizer goes with the second
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, m.HeapAlloc)
	}
	return least
}

func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	return s[len(s)/2]
}
