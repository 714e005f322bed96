//go:build unix

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// The measures of size: many listings, many channels, several processes, a long
// time. Each has a database of its own, so that what one leaves behind is not
// measured by the next.

// size runs those that are wanted.
func (b *bench) size(ctx context.Context) error {
	for _, m := range []struct {
		names []string
		works bool // the bench's own process does
		run   func(context.Context) error
	}{
		{[]string{measureImport}, true, b.importingWhole},
		{[]string{measureDead, measureAttached}, true, b.large},
		{[]string{measureIdle}, true, b.idle},
		{[]string{measureShared}, false, b.shared},
		{[]string{measureSteady}, true, b.steady},
		{[]string{measureCompleteness}, true, b.weigh},
		{[]string{measurePrices}, true, b.reprice},
	} {
		if !slices.ContainsFunc(m.names, b.wants) {
			continue
		}
		if err := b.sized(ctx, m.works, m.run); err != nil {
			return fmt.Errorf("%s: %w", m.names[0], err)
		}
	}
	if b.wants(measureFind) {
		if err := b.find(ctx); err != nil {
			return fmt.Errorf("%s: %w", measureFind, err)
		}
	}
	return nil
}

// sized runs a measure on a house of its own.
func (b *bench) sized(ctx context.Context, works bool, run func(context.Context) error) (err error) {
	dsn, err := b.db.fresh(ctx, "size_")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.db.drop(context.WithoutCancel(ctx))) }()
	if b.house, err = openHouse(ctx, b.db, dsn, works, b.log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.house.close()) }()
	return run(ctx)
}

// stock fills the store with n products of the catalogue's values in turn: rows
// as an import makes them, by COPY, without their events.
func (b *bench) stock(ctx context.Context, n int) error {
	b.say("make %d products", n)
	_, err := b.house.pool.CopyFrom(ctx, pgx.Identifier{"product"}, []string{"sku", "family", "values"}, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return []any{string(sku(i)), family, json.RawMessage(b.catalog.values[i%len(b.catalog.values)])}, nil
	}))
	if err != nil {
		return fmt.Errorf("make %d products: %w", n, err)
	}
	return vacuum(ctx, b.house.pool)
}

// outlet is a channel of a measure of size.
type outlet struct {
	target  int // number of its target
	paused  bool
	batch   int
	calls   int // in flight at most
	timeout time.Duration
	mapping *connectors.Mapping
}

// open creates the channel and gives its number, and its listings are marked
// by the product's own road.
func (h *house) open(ctx context.Context, code string, o outlet, target *sink) (int, error) {
	config, err := json.Marshal(map[string]string{"url": target.Targets[o.target], "secret": target.Secret})
	if err != nil {
		return 0, err
	}
	enabled := !o.paused
	ch, err := h.node.Channels.Create(ctx, jobs.ChannelSpec{
		Code: pim.ChannelCode(code), Connector: "webhook", Locale: locale, Currency: "EUR", Config: config, Mapping: o.mapping,
		Batch: o.batch, Concurrency: o.calls, TimeoutSeconds: o.timeout.Seconds(), Enabled: &enabled,
	})
	if err != nil {
		return 0, err
	}
	h.list = append(h.list, ch)
	h.secrets = append(h.secrets, config)
	h.node.Runner.WakeChannel(ch.ID)
	return len(h.list) - 1, nil
}

const (
	// In the database's own files, and those of all its tables and indexes.
	sqlSize        = `select pg_database_size(current_database())`
	sqlListingSize = `select pg_total_relation_size('listing')`
	// What tidying does a quarter of an hour after a channel was deleted.
	sqlForget = `delete from listing where channel_id = $1`
)

func (h *house) number(ctx context.Context, sql string, args ...any) (n int64, err error) {
	if err := h.pool.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("ask the database for a number: %w", err)
	}
	return n, nil
}

// forget deletes channels with their listings.
func (h *house) forget(ctx context.Context, numbers ...int) error {
	if err := h.remove(ctx, numbers...); err != nil {
		return err
	}
	for _, i := range numbers {
		if err := until(ctx, h.pool, sqlIdleDrain, int64(h.list[i].ID)); err != nil {
			return err
		}
		if _, err := h.pool.Exec(ctx, sqlForget, int64(h.list[i].ID)); err != nil {
			return fmt.Errorf("forget the listings of a channel: %w", err)
		}
	}
	return vacuum(ctx, h.pool)
}

// pacedRate is how many edits a second the measures of size make, and leastEdits
// how many count at least where the time is another's to give.
const (
	pacedRate  = 100
	leastEdits = 30
)

// editsAt makes edits at pacedRate over HTTP until over is closed, and gives how
// long each was under way until it was acknowledged.
func (b *bench) editsAt(ctx context.Context, e *editor, products int, over <-chan struct{}) ([]time.Duration, error) {
	var (
		mu  sync.Mutex
		all []time.Duration
		g   errgroup.Group
	)
	g.SetLimit(inFlight)
	tick := time.NewTicker(time.Second / pacedRate)
	defer tick.Stop()
	var failed atomic.Bool
	for n := 0; !failed.Load(); n++ {
		if n >= leastEdits {
			select {
			case <-over:
				return all, g.Wait()
			default:
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return all, errors.Join(ctx.Err(), g.Wait())
		}
		b.edited++
		name := fmt.Sprintf("Edited %d", b.edited)
		g.Go(func() error {
			began := time.Now()
			if _, err := e.edit(ctx, n%products, name); err != nil {
				failed.Store(true)
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, time.Since(began))
			return nil
		})
	}
	return all, g.Wait()
}

// after is closed when d has passed.
func after(d time.Duration) <-chan struct{} {
	over := make(chan struct{})
	time.AfterFunc(d, func() { close(over) })
	return over
}
