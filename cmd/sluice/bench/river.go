//go:build unix

package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// The bare River: what one would write without Sluice's road, a job for each
// delivery. Cooldown and workers are set for speed: with River's defaults its
// latency is many times as high. Its documents are ready-made, so it reads no
// product and renders nothing.
const (
	riverCooldown = 5 * time.Millisecond
	riverWorkers  = 200
)

type bareRiver struct {
	poster *poster
	insert *pgxpool.Pool // durable, as the node's pool for edits
	work   *pgxpool.Pool // as the node's pool for consumers
	in     *river.Client[pgx.Tx]
}

// deliverArgs are one delivery.
type deliverArgs struct {
	Channel  int   `json:"channel"`
	Product  int   `json:"product"`
	Revision int64 `json:"revision"`
}

// Kind is the job's kind.
func (deliverArgs) Kind() string { return "deliver" }

// nothingArgs are a job that does nothing.
type nothingArgs struct{}

// Kind is the job's kind.
func (nothingArgs) Kind() string { return "nothing" }

func openRiver(ctx context.Context, db *database, target *sink, c *catalogue) (_ *bareRiver, err error) {
	r := &bareRiver{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.poster, err = newPoster(target, c, riverWorkers); err != nil {
		return nil, err
	}
	const conns = 12 // postgres.Options' default of both pools
	if r.insert, err = db.pool(ctx, db.river, conns, false); err != nil {
		return nil, err
	}
	if r.work, err = db.pool(ctx, db.river, conns, true); err != nil {
		return nil, err
	}
	m, err := rivermigrate.New(riverpgxv5.New(r.insert), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("migrate the bare River: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("migrate the bare River: %w", err)
	}
	r.in, err = river.NewClient(riverpgxv5.New(r.insert), &river.Config{
		Logger: slog.New(slog.DiscardHandler), FetchCooldown: riverCooldown,
	})
	if err != nil {
		return nil, fmt.Errorf("make the bare River's client: %w", err)
	}
	return r, nil
}

func (r *bareRiver) close() error {
	for _, p := range []*pgxpool.Pool{r.insert, r.work} {
		if p != nil {
			p.Close()
		}
	}
	return nil
}

// start begins to work jobs; done counts those whose work is over.
func (r *bareRiver) start(ctx context.Context) (done *atomic.Int64, stop func() error, err error) {
	done = &atomic.Int64{}
	workers := river.NewWorkers()
	err = errors.Join(
		river.AddWorkerSafely(workers, river.WorkFunc(func(ctx context.Context, j *river.Job[deliverArgs]) error {
			if err := r.poster.post(ctx, j.Args.Channel, j.Args.Product, j.Args.Revision); err != nil {
				return err
			}
			done.Add(1)
			return nil
		})),
		river.AddWorkerSafely(workers, river.WorkFunc(func(context.Context, *river.Job[nothingArgs]) error {
			done.Add(1)
			return nil
		})),
	)
	if err != nil {
		return nil, nil, err
	}
	client, err := river.NewClient(riverpgxv5.New(r.work), &river.Config{
		Logger: slog.New(slog.DiscardHandler), FetchCooldown: riverCooldown,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}}, Workers: workers,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make the bare River's worker: %w", err)
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, nil, fmt.Errorf("start the bare River: %w", err)
	}
	return done, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closing)
		defer cancel()
		return client.StopAndCancel(ctx)
	}, nil
}

const (
	sqlRiverEmpty = `truncate river_job`
	sqlRiverDone  = `select not exists (select from river_job where state <> 'completed')`
)

// drain times how long n jobs that wait already take, completions included.
func (r *bareRiver) drain(ctx context.Context, n int, args func(i int) river.JobArgs) (_ time.Duration, err error) {
	if _, err := r.insert.Exec(ctx, sqlRiverEmpty); err != nil {
		return 0, fmt.Errorf("empty the bare River: %w", err)
	}
	const chunk = 5000
	for from := 0; from < n; from += chunk {
		params := make([]river.InsertManyParams, min(chunk, n-from))
		for i := range params {
			params[i].Args = args(from + i)
		}
		if _, err := r.in.InsertManyFast(ctx, params); err != nil {
			return 0, fmt.Errorf("insert jobs: %w", err)
		}
	}
	if err := vacuum(ctx, r.insert); err != nil {
		return 0, err
	}
	began := time.Now()
	done, stop, err := r.start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for done.Load() < int64(n) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	if err := until(ctx, r.work, sqlRiverDone); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// deliver inserts the jobs of one edit, one per channel.
func (r *bareRiver) deliver(ctx context.Context, product int, revision int64, to int) error {
	params := make([]river.InsertManyParams, to)
	for i := range params {
		params[i].Args = deliverArgs{Channel: i, Product: product, Revision: revision}
	}
	_, err := r.in.InsertMany(ctx, params)
	return err
}
