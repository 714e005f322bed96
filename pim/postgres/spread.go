package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// What a changed definition means for all assets is worked off in pieces, so that
// no transaction grows with the catalogue: a row of the table spread remembers
// how far that is, and what a crash leaves is gone on with by the consumer derive.

const (
	// spreadAssets is how many assets a piece looks at.
	spreadAssets = 1000
	// spreadAtOnce is how many pieces whoever changes a definition works off
	// itself: in a house of no more assets all is asked for when it has its answer.
	spreadAtOnce = 10
)

const (
	sqlSpread = `
insert into spread as s (code, touch) values (@code, @touch) on conflict (code) do update set after_id = 0, touch = s.touch or excluded.touch`

	sqlSpreadNext = `select code, after_id, touch from spread order by code limit 1 for update skip locked`

	sqlSpreadPage = `
select id, hash is not null and error is null and width > 0 from asset where id > @after order by id limit @limit`

	sqlSpreadOn   = `update spread set after_id = @after where code = @code`
	sqlSpreadDone = `delete from spread where code = @code`
)

// spread has all assets looked at for a definition, or all that are used (""),
// once the transaction is committed: see Spread.
func spread(ctx context.Context, tx pgx.Tx, code string, touch bool) error {
	_, err := tx.Exec(ctx, sqlSpread, pgx.NamedArgs{"code": code, "touch": touch})
	return err
}

// Spread works off one piece of what changed definitions mean: it queues what is
// missing of the next assets. Where nothing is, what was made before is shown,
// if the definition itself changed. again: there may be more.
func (s *Store) Spread(ctx context.Context) (again bool, err error) {
	err = s.untangledTx(ctx, func(tx pgx.Tx) error {
		again = false
		var code string
		var after int64
		var touch bool
		if err := tx.QueryRow(ctx, sqlSpreadNext).Scan(&code, &after, &touch); errors.Is(err, pgx.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		again = true
		var ids, pictures []int64
		rows, err := tx.Query(ctx, sqlSpreadPage, pgx.NamedArgs{"after": after, "limit": spreadAssets})
		if err != nil {
			return err
		}
		var shows bool
		if _, err := pgx.ForEachRow(rows, []any{&after, &shows}, func() error {
			ids = append(ids, after)
			if shows {
				pictures = append(pictures, after)
			}
			return nil
		}); err != nil {
			return err
		}
		if len(pictures) > 0 {
			if _, err := tx.Exec(ctx, sqlWantRenditions, pgx.NamedArgs{"assets": pictures, "code": code, "urgent": false}); err != nil {
				return err
			}
			if touch {
				if _, err := tx.Exec(ctx, sqlTouchSettled, pgx.NamedArgs{"assets": pictures, "originals": [][]byte{}, "urgent": false}); err != nil {
					return err
				}
			}
		}
		if len(ids) < spreadAssets {
			_, err = tx.Exec(ctx, sqlSpreadDone, pgx.NamedArgs{"code": code})
		} else {
			_, err = tx.Exec(ctx, sqlSpreadOn, pgx.NamedArgs{"code": code, "after": after})
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("queue what a definition asks for: %w", err)
	}
	return again, nil
}

// spreadNow works off what is there, up to its bound.
func (s *Store) spreadNow(ctx context.Context) error {
	for range spreadAtOnce {
		if again, err := s.Spread(ctx); err != nil || !again {
			return err
		}
	}
	return nil
}
