package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	sqlDropPulls     = `delete from pull p where exists (select from channel c where c.id = p.channel_id and c.deleted_at is not null)`
	sqlPartitions    = `select event_partitions(2)`
	sqlImpatient     = `select set_config('lock_timeout', '1s', true)`
	sqlDropConsumers = `
delete from consumer k where released and (
    kind in ('drain', 'pull', 'reconcile') and not exists (select from channel c where c.id = k.channel_id and c.deleted_at is null)
    or kind = 'import' and exists (select from import i where i.id = k.channel_id and i.state in ('finished', 'failed')))`
)

// Tidy throws away what nobody needs any more, and makes the next partitions of
// the event log and of exchanges. It is cheap, and safe to run in many processes at once.
func (s *Store) Tidy(ctx context.Context) error {
	for _, sql := range []string{sqlForget, sqlForgetMessages, sqlForgetAlerts, sqlForgetPace, sqlDropPulls, sqlDropReconciles, sqlDropConsumers, sqlForgetRecordEvents} {
		if _, err := s.work.Exec(ctx, sql); err != nil {
			return fmt.Errorf("tidy: %w", err)
		}
	}
	if err := s.partitions(ctx, sqlPartitions, pgx.NamedArgs{}); err != nil {
		return fmt.Errorf("make partitions of the event log: %w", err)
	}
	if err := s.dropHistory(ctx); err != nil {
		return fmt.Errorf("drop old months of the event log: %w", err)
	}
	if err := s.tidyExchanges(ctx); err != nil {
		return err
	}
	for {
		var channel int64
		err := s.work.QueryRow(ctx, sqlToDrop).Scan(&channel)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		var tag pgconn.CommandTag
		if err == nil {
			tag, err = s.work.Exec(ctx, sqlDropListings, pgx.NamedArgs{"channel": channel, "limit": dropProducts})
		}
		if err != nil {
			return fmt.Errorf("drop listings of deleted channels: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil // another process has the channel in hand
		}
	}
}

// dropProducts is how many products' listings one statement drops.
const dropProducts = 5000

const (
	// sqlToDrop finds a deleted channel with listings. It waits until no
	// statement can still mark some that saw the channel before it was deleted.
	sqlToDrop = `
select id from channel where drop_after is not null and deleted_at < now() - interval '15 minutes' order by id limit 1`

	// sqlDropListings walks a deleted channel's listings along the products, once:
	// no index leads to the listings of a channel, and none shall have to be kept for this.
	sqlDropListings = `
with c as (
    select id, drop_after from channel where id = @channel and drop_after is not null for no key update skip locked
),
span as (
    select p.id from product p where p.id > (select drop_after from c) order by p.id limit @limit
),
picked as (
    select l.product_id, l.channel_id, l.lane from listing l
    where l.channel_id = @channel and l.product_id > (select drop_after from c) and l.product_id <= (select max(id) from span)
    order by l.product_id, l.channel_id, l.lane for update
),
dropped as (
    delete from listing l using picked p where (l.product_id, l.channel_id, l.lane) = (p.product_id, p.channel_id, p.lane)
)
update channel set drop_after = (select max(id) from span) where id = (select id from c)`
)

// partitions makes them ahead. A new one locks the log for a moment, and while
// it waits for a slow reader of the log, all edits would wait behind it: rather
// the next tidying tries again.
func (s *Store) partitions(ctx context.Context, sql string, args pgx.NamedArgs) error {
	err := inTx(ctx, s.work, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sqlImpatient); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sql, args)
		return err
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "55P03" { // lock_not_available
		return nil
	}
	return err
}

const (
	// A lane of a product changes less than once a millisecond; of a variant
	// that sum is its own and its two parents'. So the floor outgrows whatever was
	// lost since the last event that was not.
	sqlRaiseFloor = `
update catalogue set revision_floor = revision_floor + 1000
    + 3 * (select coalesce(greatest(0, extract(epoch from clock_timestamp() - max(at)) * 1000), 0)::bigint from event)
    + (select 3 * coalesce(max(rev), 0) + 3 * coalesce(max(media_rev), 0) from product) + (select coalesce(max(rev), 0) from product_offer)
returning revision_floor`
	sqlMarkAll  = `update channel set mark_after = 0, mark_anew = 2 where deleted_at is null and connector <> 'none'` // pim.NoConnector
	sqlFenceAll = `
with held as (select kind, channel_id, lane from consumer where kind in ('drain', 'pull', 'reconcile') order by kind, channel_id, lane for update)
update consumer k set epoch = epoch + 1, gen = gen + 1, released = true, unsure_at = now(), holder = ''
from held h where (k.kind, k.channel_id, k.lane) = (h.kind, h.channel_id, h.lane)`
)

// Restored tells the store that its data is an older state, restored from a
// backup: revisions jump above all that targets may have seen, and every
// listing of every channel is sent anew, nothing skipped.
func (s *Store) Restored(ctx context.Context) (floor int64, err error) {
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sqlLockCatalogue); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, sqlRaiseFloor).Scan(&floor); err != nil {
			return err
		}
		// Who works has the old revisions in hand. Consumers before channels, as all lock them.
		if _, err := tx.Exec(ctx, sqlFenceAll); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sqlMarkAll)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("raise the revision floor: %w", err)
	}
	s.nudged()
	return floor, nil
}
