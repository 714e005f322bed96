package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	sqlPartitions    = `select event_partitions(2)`
	sqlDropConsumers = `
delete from consumer k where released and (
    kind = 'drain' and not exists (select from channel c where c.id = k.channel_id and c.deleted_at is null)
    or kind = 'import' and exists (select from import i where i.id = k.channel_id and i.state in ('finished', 'failed')))`
)

// Tidy throws away what nobody needs any more, and makes the event log's next
// partitions. It is cheap, and safe to run in many processes at once.
func (s *Store) Tidy(ctx context.Context) error {
	for _, sql := range []string{sqlForget, sqlPartitions, sqlDropConsumers} {
		if _, err := s.work.Exec(ctx, sql); err != nil {
			return fmt.Errorf("tidy: %w", err)
		}
	}
	for {
		tag, err := s.work.Exec(ctx, sqlDropListings)
		if err != nil {
			return fmt.Errorf("drop listings of deleted channels: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
	}
}

const sqlRaiseFloor = `
update catalogue set revision_floor = revision_floor + (select 1000 + 2 * coalesce(max(rev), 0) + 2 * coalesce(max(media_rev), 0)
    + coalesce((select max(rev) from product_offer), 0) from product)
returning revision_floor`

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
		if _, err := tx.Exec(ctx, `update listing set acked_hash = null where acked_hash is not null`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update channel set mark_after = 0 where deleted_at is null`)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("raise the revision floor: %w", err)
	}
	s.nudged()
	return floor, nil
}
