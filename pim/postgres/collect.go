package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	sqlTakeCollection = `update catalogue set collected_at = now() where collected_at < now() - @every::interval`

	// sqlForgetAssets forgets what no product has named for that long, and no record
	// names.
	sqlForgetAssets = `
with old as (
    select id from asset where unused_at < now() - @grace::interval order by unused_at limit @limit for update skip locked
)
delete from asset a using old where a.id = old.id and not exists (select from product_asset u where u.ref in (a.ref, a.code))
  and not exists (select from record r where r.media && array[a.ref, a.code] and r.media <> '{}')`

	// sqlForgetRenditions forgets, of the next renditions behind one, what was made
	// of files that are no asset's any more, and what no definition has asked for
	// in that time. It gives the last that it looked at; null: there is none.
	sqlForgetRenditions = `
with page as (select id, original, spec, made_at from rendition where id > @after order by id limit @limit),
old as (
    select r.id from rendition r where r.id = any(array(
        select p.id from page p
        where not exists (select from asset a where a.hash = p.original)
           or not exists (select from rendition_definition d where d.spec = p.spec) and coalesce(p.made_at, '-infinity') < now() - @grace::interval))
    order by r.id for update skip locked
),
tasks as (delete from task t using old where t.kind = 'render' and t.subject = old.id),
gone as (delete from rendition r using old where r.id = old.id returning r.id)
select (select max(id) from page), (select count(*) from gone)`

	sqlUnreferenced = `
select h from unnest(@hash::bytea[]) h
where not exists (select from asset a where a.hash = h) and not exists (select from rendition r where r.hash = h)`
)

const (
	forgetRows  = 1000 // that one statement forgets
	forgetLooks = 5000 // that one statement looks at
)

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
	for {
		tag, err := s.work.Exec(ctx, sqlForgetAssets, pgx.NamedArgs{"grace": grace, "limit": forgetRows})
		if err != nil {
			return assets, renditions, fmt.Errorf("forget unused assets: %w", err)
		}
		if assets += tag.RowsAffected(); tag.RowsAffected() < forgetRows {
			break
		}
	}
	for last := new(int64); last != nil; {
		var n int64
		if err := s.work.QueryRow(ctx, sqlForgetRenditions, pgx.NamedArgs{"grace": grace, "after": *last, "limit": forgetLooks}).Scan(&last, &n); err != nil {
			return assets, renditions, fmt.Errorf("forget unused renditions: %w", err)
		}
		renditions += n
	}
	if renditions > 0 {
		if err := inTx(ctx, s.pool, func(tx pgx.Tx) error { return spread(ctx, tx, "", false) }); err != nil {
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
