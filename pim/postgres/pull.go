package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// PullState is how far a channel's target has been read, for channels whose
// targets own prices or stock.
type PullState struct {
	Cursor string
	In     time.Duration // until it is due; 0 or less: now
	Due    time.Time     // when it was to be by its own row
	Fails  int           // in a row
}

// PullStatus is how the reading of a channel's target fares.
type PullStatus struct {
	PulledAt *time.Time `json:"pulled_at,omitempty" doc:"The last time that it succeeded"`
	Rows     int64      `json:"rows" doc:"Prices and stock levels read since the channel was made"`
	Changed  int64      `json:"changed" doc:"Of these, news to the store"`
	Rejected int64      `json:"rejected" doc:"Of these, refused by the store, e.g. of products that it does not have"`
	Fails    int        `json:"fails" doc:"Failures in a row"`
	Error    string     `json:"error,omitempty" doc:"The last failure, or the first problem of the last rows that were refused"`
}

// pullStatus is a PullStatus as JSON, of a row of channel; null: it is not read.
const pullStatus = `
(select json_build_object('pulled_at', p.pulled_at, 'rows', p.rows, 'changed', p.changed, 'rejected', p.rejected, 'fails', p.fails, 'error', coalesce(p.error, ''))
 from pull p where p.channel_id = channel.id)`

const (
	sqlCreatePull = `
with made as (insert into pull (channel_id) values (@channel) on conflict (channel_id) do update set due_at = now(), fails = 0, error = null)
insert into consumer (kind, channel_id) values ('pull', @channel) on conflict (kind, channel_id, lane) do nothing`
	sqlForgetPulled = `
update pull set cursor = '', due_at = now() where channel_id = (select id from channel where code = @code and deleted_at is null)`
	sqlDropPull = `delete from pull where channel_id = @channel`
)

// pullDue is when the target of channel c is read next: not while it wants to be
// asked less, or refuses our credentials.
const pullDue = `greatest(p.due_at, c.throttled_until, case when c.hold = '` + HoldAuth + `' and c.fails >= 3 then c.next_probe_at end)`

const sqlPull = `
select p.cursor, ` + pullDue + ` - now(), p.due_at, p.fails from pull p join channel c on c.id = p.channel_id and c.deleted_at is null where p.channel_id = @channel`

// Pull reads how far a channel's target has been read; ErrNotFound for a
// channel that is not read, or gone.
func (s *Store) Pull(ctx context.Context, id pim.ChannelID) (p PullState, err error) {
	err = s.work.QueryRow(ctx, sqlPull, named{"channel": id}).Scan(&p.Cursor, &p.In, &p.Due, &p.Fails)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, ErrNotFound
	}
	if err != nil {
		return p, fmt.Errorf("read how far channel %d was pulled: %w", id, err)
	}
	return p, nil
}

// pulledRows is how many rows one statement stores.
const pulledRows = 1000

const (
	sqlPullFence = `
select from consumer where kind = @kind and channel_id = @channel and lane = @lane and epoch = @epoch and not released for key share`
	sqlPulled = `
update pull set cursor = @cursor, due_at = now() + @after::interval, pulled_at = now(), fails = 0,
    rows = rows + @rows, changed = changed + @changed, rejected = rejected + @rejected, error = nullif(@error, '')
where channel_id = @channel`
)

// Pulled stores, durably and in one transaction under l, what was read from a
// target, and where to go on after that time. Rows that the store refuses are
// counted, and the first of their problems is kept for people: they do not keep
// the others. changed says how many were news.
func (s *Store) Pulled(ctx context.Context, l Lease, actor, cursor string, after time.Duration, prices []pim.PriceRow, stock []pim.StockRow) (changed int64, err error) {
	var batches []*offerBatch
	for rows := prices; len(rows) > 0 && err == nil; {
		n := min(len(rows), pulledRows)
		var b *offerBatch
		b, err = s.priceBatch(ctx, actor, rows[:n])
		batches, rows = append(batches, b), rows[n:]
	}
	for rows := stock; len(rows) > 0 && err == nil; {
		n := min(len(rows), pulledRows)
		var b *offerBatch
		b, err = s.stockBatch(ctx, actor, rows[:n])
		batches, rows = append(batches, b), rows[n:]
	}
	if err != nil {
		return 0, fmt.Errorf("check what was pulled for %v: %w", l.Consumer, err)
	}
	err = untangled(func() error {
		changed = 0
		return inTx(ctx, s.pool, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, sqlPullFence, l.args())
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return ErrFenced
			}
			var rejected int64
			problem := ""
			for _, b := range batches {
				if err := b.run(ctx, tx); err != nil {
					return err
				}
				for i := range b.results {
					switch r := &b.results[i]; r.Status {
					case RowChanged:
						changed++
					case RowRejected:
						if rejected++; problem == "" {
							problem = fmt.Sprintf("%s: %s", r.SKU, r.Problems[0].Detail)
						}
					case RowUnchanged, RowSuperseded, RowHeld:
					}
				}
			}
			args := l.args()
			for k, v := range map[string]any{
				"cursor": cursor, "after": after, "rows": len(prices) + len(stock), "changed": changed, "rejected": rejected, "error": storable(problem),
			} {
				args[k] = v
			}
			_, err = tx.Exec(ctx, sqlPulled, args)
			return err
		})
	})
	if err != nil {
		return 0, fmt.Errorf("store what was pulled for %v: %w", l.Consumer, err)
	}
	if changed > 0 {
		s.nudged()
	}
	return changed, nil
}

const sqlPullFailed = `
update pull set fails = fails + 1, due_at = now() + @after::interval, error = @error
where channel_id = @channel and due_at = @due and exists (
    select from consumer where kind = @kind and channel_id = @channel and lane = @lane and epoch = @epoch and not released for key share)`

// PullFailed notes why a target could not be read that was due then, and when to try
// again; nothing where it has become due anew meanwhile, by changed settings.
func (s *Store) PullFailed(ctx context.Context, l Lease, due time.Time, cause string, after time.Duration) error {
	args := l.args()
	args["error"], args["after"], args["due"] = storable(cause), after, due
	if _, err := s.work.Exec(ctx, sqlPullFailed, args); err != nil {
		return fmt.Errorf("note a failed pull of %v: %w", l.Consumer, err)
	}
	return nil
}

const (
	sqlPullNow    = `update pull set due_at = now() where channel_id = @channel and due_at > now()`
	sqlTicketsNow = `
update listing set due_at = now()
where (product_id, channel_id, lane) in (
    select product_id, channel_id, lane from listing l
    where channel_id = @channel and lane = @lane and dirty and due_at > now() and due_at < 'infinity' and ` + turn + ` = 3
    order by product_id, channel_id, lane limit 10000 for update skip locked)`
)

// Hooked makes a channel due whose target called: it is read at once, and the
// outcomes of pending tickets are asked for.
func (s *Store) Hooked(ctx context.Context, id pim.ChannelID) error {
	b := &pgx.Batch{}
	b.Queue(sqlPullNow, named{"channel": id})
	for _, l := range pim.AllLanes {
		b.Queue(sqlTicketsNow, named{"channel": id, "lane": int16(l)})
	}
	if err := s.work.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("make channel %d due: %w", id, err)
	}
	return nil
}
