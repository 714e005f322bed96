//go:build unix

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// The yardsticks' tables: the same columns, fillfactor and indexes as the
// store's, without its foreign keys.
const (
	sqlCopyTable  = `create table bench_copy (like product including all)`
	sqlRowTable   = `create table bench_row (like product including all)`
	sqlEventTable = `create table bench_event (like event including all)`
	sqlFillRows   = `insert into bench_row overriding system value select * from product`
)

// importing times the real import beside COPY of the same rows.
func (b *bench) importing(ctx context.Context) error {
	pool := b.house.pool
	if b.wants(measureImport) {
		if _, err := pool.Exec(ctx, sqlCopyTable); err != nil {
			return fmt.Errorf("make the yardstick's table: %w", err)
		}
		b.say("copy %d rows", b.Products)
		began := time.Now()
		_, err := pool.CopyFrom(ctx, pgx.Identifier{"bench_copy"}, []string{"sku", "family", "values"},
			pgx.CopyFromSlice(b.Products, func(i int) ([]any, error) {
				return []any{string(sku(i)), family, json.RawMessage(b.catalog.values[i])}, nil
			}))
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		b.copied = perSecond(b.Products, time.Since(began))
	}
	b.say("import %d rows", b.Products)
	stop, err := b.profile(ctx, measureImport)
	if err != nil {
		return err
	}
	began := time.Now()
	uploaded, imported, err := b.importFile(ctx, b.catalog.file, fmt.Appendf(nil, `{"family":%q,"locale":%q}`, family, locale))
	if err != nil {
		return err
	}
	if err := b.house.marked(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	if err := stop(); err != nil {
		return err
	}
	if b.wants(measureImport) {
		note := fmt.Sprintf("upload %.2f s, rows %.2f s, last marks %.2f s", uploaded.Seconds(), (imported - uploaded).Seconds(), (took - imported).Seconds())
		b.report.beside("import, five channels marked", perSecond(b.Products, took), "rows/s", "COPY of the rows", b.copied, atLeast(0.4), note)
	}
	return vacuum(ctx, pool)
}

// importFile runs an import of all products to its end, and says when its file was
// stored and when its rows were.
func (b *bench) importFile(ctx context.Context, file, options []byte) (uploaded, imported time.Duration, err error) {
	store := b.house.node.Store
	began := time.Now()
	id, err := store.CreateImport(ctx, "bench.jsonl", "bench", options, bytes.NewReader(file))
	if err != nil {
		return 0, 0, err
	}
	uploaded = time.Since(began)
	b.house.node.Runner.Wake(postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(id)})
	tick := time.NewTicker(4 * look)
	defer tick.Stop()
	for {
		run, err := store.ImportRun(ctx, id)
		if err != nil {
			return 0, 0, err
		}
		switch run.State {
		case "finished":
			if run.Created != int64(b.Products) || run.Warnings > 0 {
				return 0, 0, fmt.Errorf("the import created %d of %d products, with %d warnings", run.Created, b.Products, run.Warnings)
			}
			return uploaded, time.Since(began), nil
		case "failed":
			return 0, 0, fmt.Errorf("the import failed: %s", run.Error)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
	}
}

const (
	sqlDropListings = `truncate listing`
	sqlQueueAll     = `insert into outbox (product_id, lanes, priority) select id, 1, 0 from product order by id`
	sqlListings     = `select count(*) from listing where dirty and lane = 1`
)

// fanout times the marking of listings: first ones that are not there yet,
// then all of them again.
func (b *bench) fanout(ctx context.Context) error {
	pool := b.house.pool
	if _, err := pool.Exec(ctx, sqlDropListings); err != nil {
		return fmt.Errorf("forget the listings: %w", err)
	}
	for _, kind := range []struct{ name, note string }{
		{"fan-out, new listings", "inserted"}, {"fan-out, waiting listings", "marked once more"},
	} {
		b.say("%s", kind.name)
		if _, err := pool.Exec(ctx, sqlQueueAll); err != nil {
			return fmt.Errorf("queue all products: %w", err)
		}
		stop, err := b.profile(ctx, measureFanout)
		if err != nil {
			return err
		}
		began := time.Now()
		b.house.node.Runner.Wake(postgres.Consumer{Kind: postgres.Fanout})
		if err := b.house.marked(ctx); err != nil {
			return err
		}
		took := time.Since(began)
		if err := stop(); err != nil {
			return err
		}
		var n int
		if err := pool.QueryRow(ctx, sqlListings).Scan(&n); err != nil {
			return err
		}
		if n != channels*b.Products {
			return fmt.Errorf("%d listings are marked, not %d", n, channels*b.Products)
		}
		a := atLeast(1.5)
		if b.copied == 0 {
			a = nil
		}
		b.report.beside(kind.name, perSecond(n, took), "listings/s", "COPY of the rows", b.copied, a, kind.note)
	}
	return vacuum(ctx, pool)
}

const (
	sqlRowUpdate   = `update bench_row set rev = rev + 1, updated_at = now(), values = $2 where id = $1 returning rev`
	sqlEventInsert = `insert into bench_event (product_id, rev, lanes, type, actor, data) values ($1, $2, 1, 'product.updated', 'bench', $3)`
)

// edits times edits over HTTP beside the least that an edit must do: a
// transaction that changes a row and inserts an event.
func (b *bench) edits(ctx context.Context) error {
	pool := b.house.pool
	for _, sql := range []string{sqlRowTable, sqlFillRows, sqlEventTable} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the yardstick's tables: %w", err)
		}
	}
	if err := vacuum(ctx, pool); err != nil {
		return err
	}
	var first int64
	if err := pool.QueryRow(ctx, `select min(id) from product`).Scan(&first); err != nil {
		return err
	}
	b.say("row + event transactions")
	plain, err := b.db.pool(ctx, b.db.dsn, int32(b.Connections), false)
	if err != nil {
		return err
	}
	defer plain.Close()
	bare, err := b.hammer(ctx, func(ctx context.Context, product, i int) error {
		values := b.catalog.values[product]
		return pgx.BeginFunc(ctx, plain, func(tx pgx.Tx) error {
			var rev int64
			if err := tx.QueryRow(ctx, sqlRowUpdate, first+int64(product), values).Scan(&rev); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, sqlEventInsert, first+int64(product), rev, fmt.Appendf(nil, `{"values":{"name":{"old":{%q:"row"},"new":{%q:"row %d"}}}}`, locale, locale, i))
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("row + event: %w", err)
	}
	b.say("edits over HTTP")
	e := b.house.editor(b.Connections)
	defer e.client.CloseIdleConnections()
	stop, err := b.profile(ctx, measureEdits)
	if err != nil {
		return err
	}
	rate, err := b.hammer(ctx, func(ctx context.Context, product, i int) error {
		_, err := e.edit(ctx, product, fmt.Sprintf("Edited %d", i))
		return err
	})
	if err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	note := fmt.Sprintf("%d connections, five channels marked meanwhile", b.Connections)
	b.report.beside("edits over HTTP", rate, "edits/s", "row + event transactions", bare, atLeast(0.35), note)
	return b.house.marked(ctx)
}

// hammer calls do from all connections for the time of a measure, after a
// short warming up, with products in turn, and gives the calls per second.
func (b *bench) hammer(ctx context.Context, do func(ctx context.Context, product, i int) error) (float64, error) {
	var next, done atomic.Int64
	warm := b.span() / 5
	began := time.Now()
	count, end := began.Add(warm), began.Add(warm+b.span())
	g, ctx := errgroup.WithContext(ctx)
	for range b.Connections {
		g.Go(func() error {
			for {
				i := int(next.Add(1))
				if err := do(ctx, i%b.Products, i); err != nil {
					return err
				}
				now := time.Now()
				if now.After(end) {
					return nil
				}
				if now.After(count) {
					done.Add(1)
				}
			}
		})
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = ctx.Err()
	}
	return perSecond(int(done.Load()), b.span()), err
}
