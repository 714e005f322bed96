package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolStats are the connection pools' figures by name.
func (s *Store) PoolStats() map[string]*pgxpool.Stat {
	return map[string]*pgxpool.Stat{"edit": s.pool.Stat(), "work": s.work.Stat()}
}

// QueueStats counts River's jobs of one queue and state.
type QueueStats struct {
	Queue, State string
	Jobs         int64
	Oldest       time.Duration // since the oldest of them could run
}

// RoadStats is what waits on the road besides listings.
type RoadStats struct {
	Outbox    int64
	OutboxAge time.Duration // of the oldest row; 0: there is none
	Poisoned  int64
	Expired   int64 // leases that ran out and that no sweeper has noticed
	Queues    []QueueStats
}

const (
	sqlRoad = `
select o.n, greatest(0, coalesce(extract(epoch from now() - o.oldest), 0))::float8, (select count(*) from outbox_poison),
       (select count(*) from consumer where not released and lease_until < now() - interval '10 seconds')
from (select count(*) as n, min(at) as oldest from outbox) o`
	sqlQueues = `
select queue, state::text, count(*), greatest(0, extract(epoch from now() - min(scheduled_at)))::float8
from river_job where state in ('available', 'running', 'retryable', 'scheduled', 'pending') group by 1, 2 order by 1, 2`
)

// RoadStats reads them.
func (s *Store) RoadStats(ctx context.Context) (RoadStats, error) {
	var out RoadStats
	var age float64
	if err := s.pool.QueryRow(ctx, sqlRoad).Scan(&out.Outbox, &age, &out.Poisoned, &out.Expired); err != nil {
		return out, fmt.Errorf("count the outbox: %w", err)
	}
	out.OutboxAge = time.Duration(age * float64(time.Second))
	rows, err := s.pool.Query(ctx, sqlQueues)
	if err != nil {
		return out, fmt.Errorf("count jobs: %w", err)
	}
	out.Queues, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (q QueueStats, err error) {
		var age float64
		err = r.Scan(&q.Queue, &q.State, &q.Jobs, &age)
		q.Oldest = time.Duration(age * float64(time.Second))
		return q, err
	})
	if err != nil {
		return out, fmt.Errorf("count jobs: %w", err)
	}
	return out, nil
}

const sqlBehind = `
select (select count(*) from spread) + (select count(*) from price_walk) + (select count(*) from derive where due_at <= now()) + (select count(*) from task where state = 'waiting' and due_at <= now())`

// Behind counts what is still to be worked out or made, beside listings, of
// products that changed: as far as it is due now.
func (s *Store) Behind(ctx context.Context) (n int64, err error) {
	if err := s.pool.QueryRow(ctx, sqlBehind).Scan(&n); err != nil {
		return 0, fmt.Errorf("count what is to be derived: %w", err)
	}
	return n, nil
}
