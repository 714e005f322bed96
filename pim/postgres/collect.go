package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	sqlTakeCollection = `update catalogue set collected_at = now() where collected_at < now() - @every::interval`

	// sqlForgetAssets forgets what no product has named for that long.
	sqlForgetAssets = `
with old as (
    select id from asset where unused_at < now() - @grace::interval order by unused_at limit @limit for update skip locked
)
delete from asset a using old where a.id = old.id and not exists (select from product_asset u where u.ref in (a.ref, a.code))`

	// sqlForgetRenditions forgets what was made of files that are no asset's any
	// more, and what no definition has asked for in that time.
	sqlForgetRenditions = `
with old as (
    select r.id from rendition r
    where not exists (select from asset a where a.hash = r.original)
       or not exists (select from rendition_definition d where d.spec = r.spec) and coalesce(r.made_at, '-infinity') < now() - @grace::interval
    order by r.id limit @limit for update skip locked
),
tasks as (delete from task t using old where t.kind = 'render' and t.subject = old.id)
delete from rendition r using old where r.id = old.id`

	sqlUnreferenced = `
select h from unnest(@hash::bytea[]) h
where not exists (select from asset a where a.hash = h) and not exists (select from rendition r where r.hash = h)`
)

// forgetRows is how many rows one statement forgets.
const forgetRows = 1000

// TakeCollection is true for one of those who ask, once in every.
func (s *Store) TakeCollection(ctx context.Context, every time.Duration) (bool, error) {
	tag, err := s.work.Exec(ctx, sqlTakeCollection, pgx.NamedArgs{"every": every})
	if err != nil {
		return false, fmt.Errorf("take the collection of files: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// ForgetMedia forgets assets that no product has named for grace, and the
// renditions that nothing asks for; their files are Unreferenced then. What was
// asked for in the moment that it was forgotten is queued again.
func (s *Store) ForgetMedia(ctx context.Context, grace time.Duration) (assets, renditions int64, err error) {
	for _, f := range []struct {
		sql string
		n   *int64
	}{{sqlForgetAssets, &assets}, {sqlForgetRenditions, &renditions}} {
		for {
			tag, err := s.work.Exec(ctx, f.sql, pgx.NamedArgs{"grace": grace, "limit": forgetRows})
			if err != nil {
				return assets, renditions, fmt.Errorf("forget unused media: %w", err)
			}
			*f.n += tag.RowsAffected()
			if tag.RowsAffected() < forgetRows {
				break
			}
		}
	}
	if renditions > 0 {
		if _, err := s.work.Exec(ctx, sqlWantRenditions, pgx.NamedArgs{"asset": 0, "code": "", "urgent": false}); err != nil {
			return assets, renditions, fmt.Errorf("queue renditions again: %w", err)
		}
	}
	return assets, renditions, nil
}

// Unreferenced are those of the files' hashes that no asset and no rendition has.
func (s *Store) Unreferenced(ctx context.Context, hashes [][]byte) ([][]byte, error) {
	rows, err := s.work.Query(ctx, sqlUnreferenced, pgx.NamedArgs{"hash": hashes})
	if err != nil {
		return nil, fmt.Errorf("look who refers to files: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}
