package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Task is a durable piece of work beside the road: an asset to fetch, a
// rendition to make, a text to translate or to write. There is one at most for
// a kind and a subject, however often it is asked for. Its row goes when it is
// done; what failed for good, or was cancelled, stays until it is asked for again.
type Task struct {
	ID       int64
	Subject  int64 // the row that the task is about
	Want     int64
	Attempts int // that failed, in a row
	Lot      string
}

// TaskEnd is how a task ended. Error "": it is done. Else it is tried again
// After from now, or not at all when Failed.
type TaskEnd struct {
	Task
	Error  string
	Failed bool
	After  time.Duration
}

// sqlClaimTasks reads due tasks of the lots that do not wait, and writes
// nothing. Of a lot that failed lately one is tried.
const sqlClaimTasks = `
select t.id, t.subject, t.want, t.attempts, t.lot
from consumer k
join lot o on o.kind = k.kind and o.shard = k.lane and coalesce(o.wait_until, '-infinity') <= now()
cross join lateral (
    select * from task t where t.kind = o.kind and t.lot = o.lot and t.state = 'waiting' and t.due_at <= now()
    order by t.due_at, t.id limit case when o.fails > 0 then 1 else @lot end
) t
where k.kind = @kind and k.channel_id = 0 and k.lane = @lane and k.epoch = @epoch and not k.released
order by t.due_at, t.id limit @limit`

// ClaimTasks reads up to limit due tasks for the holder of l, of one lot so many
// at most: those of lots that wait are left alone.
func (s *Store) ClaimTasks(ctx context.Context, l Lease, limit, lot int) ([]Task, error) {
	args := l.args()
	args["limit"], args["lot"] = limit, lot
	rows, err := s.work.Query(ctx, sqlClaimTasks, args)
	if err != nil {
		return nil, fmt.Errorf("claim tasks for %v: %w", l.Consumer, err)
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (t Task, err error) {
		return t, r.Scan(&t.ID, &t.Subject, &t.Want, &t.Attempts, &t.Lot)
	})
	if err != nil {
		return nil, fmt.Errorf("claim tasks for %v: %w", l.Consumer, err)
	}
	return out, nil
}

const (
	sqlTaskFence = `
select from consumer where kind = @kind and channel_id = 0 and lane = @lane and epoch = @epoch and not released for key share`

	// sqlEndTasks lets go of what is done, unless it was asked for again meanwhile.
	sqlEndTasks = `
with e as (
    select * from unnest(@id::bigint[], @want::bigint[], @error::text[], @failed::boolean[], @after::bigint[]) e (id, want, error, failed, after_ms)
),
locked as (
    select t.id, t.kind, t.lot, t.want = e.want and e.error = '' as done, t.want = e.want and e.failed as failed, t.want <> e.want as again, e.error, e.after_ms
    from task t join e on e.id = t.id order by t.kind, t.subject for update of t
),
gone as (
    delete from task t using locked l where t.id = l.id and l.done
),
kept as (
    update task t set
        state = case when t.state = 'cancelled' and not l.again then t.state when l.failed then 'failed' else 'waiting' end,
        attempts = case when l.again then 0 else t.attempts + 1 end,
        due_at = case when l.again then t.due_at else now() + l.after_ms * interval '1 ms' end,
        error = nullif(l.error, '')
    from locked l where t.id = l.id and not l.done
),
sums as (select kind, lot, count(*) filter (where done) as done, count(*) filter (where failed) as failed from locked group by 1, 2)
update lot o set done = o.done + s.done, failed = o.failed + s.failed,
    fails = case when s.done > 0 then 0 else o.fails end, error = case when s.done > 0 then null else o.error end
from sums s where (o.kind, o.lot) = (s.kind, s.lot)`
)

// EndTasks writes durably, in one transaction under l, what also stores (nil:
// nothing) and how tasks ended. ErrFenced: l was lost, and nothing was written.
func (s *Store) EndTasks(ctx context.Context, l Lease, ends []TaskEnd, also func(pgx.Tx) error) error {
	return s.endTasks(ctx, l, func(tx pgx.Tx) ([]TaskEnd, error) {
		if also == nil {
			return ends, nil
		}
		return ends, also(tx)
	})
}

// endTasks is EndTasks where only the transaction tells which tasks ended.
func (s *Store) endTasks(ctx context.Context, l Lease, also func(pgx.Tx) ([]TaskEnd, error)) error {
	err := s.untangledTx(ctx, func(tx pgx.Tx) error {
		if err := underLease(ctx, tx, l); err != nil {
			return err
		}
		ends, err := also(tx)
		if err != nil {
			return err
		}
		return endTasks(ctx, tx, ends)
	})
	if err != nil {
		return fmt.Errorf("end tasks of %v: %w", l.Consumer, err)
	}
	return nil
}

// untangledTx is a durable transaction that is done again when it was the victim
// of a deadlock. Who changes assets or definitions locks those first and then the
// set derive; its consumer locks the other way round.
func (s *Store) untangledTx(ctx context.Context, do func(pgx.Tx) error) error {
	return untangled(func() error { return inTx(ctx, s.pool, do) })
}

// underLease keeps l's fence shut until tx ends.
func underLease(ctx context.Context, tx pgx.Tx, l Lease) error {
	tag, err := tx.Exec(ctx, sqlTaskFence, l.args())
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrFenced
	}
	return err
}

func endTasks(ctx context.Context, tx pgx.Tx, ends []TaskEnd) error {
	n := len(ends)
	if n == 0 {
		return nil
	}
	id, want, after := make([]int64, n), make([]int64, n), make([]int64, n)
	failure, failed := make([]string, n), make([]bool, n)
	for i, e := range ends {
		id[i], want[i], after[i], failure[i], failed[i] = e.ID, e.Want, e.After.Milliseconds(), storable(e.Error), e.Failed
	}
	_, err := tx.Exec(ctx, sqlEndTasks, pgx.NamedArgs{"id": id, "want": want, "error": failure, "failed": failed, "after": after})
	return err
}

const sqlLotFailed = `
update lot set fails = fails + 1, error = @error, wait_until = case
    when @now then now() + @after::interval
    when fails + 1 >= @most then now() + greatest(@after::interval, least(interval '1 second' * power(2, least(fails, 20)), interval '15 minutes'))
    else wait_until end
where kind = @kind and lot = @lot and exists (
    select from consumer where kind = @kind and channel_id = 0 and lane = @lane and epoch = @epoch and not released for key share)`

// LotFailed notes that what a lot's tasks need was not there. All of it waits
// that long, now, or after most failures in a row: then twice as long for each
// more, up to a quarter of an hour, whichever task is tried.
func (s *Store) LotFailed(ctx context.Context, l Lease, lot, cause string, after time.Duration, now bool, most int) error {
	args := l.args()
	args["lot"], args["error"], args["after"], args["now"], args["most"] = lot, storable(cause), after, now, most
	if _, err := s.work.Exec(ctx, sqlLotFailed, args); err != nil {
		return fmt.Errorf("note that %s %s is down: %w", l.Kind, lot, err)
	}
	return nil
}

const sqlNextTask = `
select min(greatest(o.wait_until, (
    select t.due_at from task t where t.kind = o.kind and t.lot = o.lot and t.state = 'waiting' order by t.due_at limit 1))) - now()
from lot o where o.kind = @kind and o.shard = @lane
  and exists (select from task t where t.kind = o.kind and t.lot = o.lot and t.state = 'waiting')`

// NextTask says in how long a task of l's lots is due; false when none waits.
func (s *Store) NextTask(ctx context.Context, l Lease) (in time.Duration, ok bool, err error) {
	var wait *time.Duration
	if err := s.work.QueryRow(ctx, sqlNextTask, l.args()).Scan(&wait); err != nil {
		return 0, false, fmt.Errorf("look for the next task of %v: %w", l.Consumer, err)
	}
	if wait == nil {
		return 0, false, nil
	}
	return max(*wait, time.Millisecond), true, nil
}
