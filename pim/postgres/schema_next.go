package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// A change of the schema takes the catalogue's row first (lockSchema), so that the
// schema it finds is the one that it changes; and it knows what it makes of it: the
// next schema is a copy with the change in it, which this process goes on with once
// that is committed (keepSchema). So a change costs what it changes, however much
// there is beside it. All of the schema is read where somebody else has changed it.

const (
	sqlLockCatalogue = `select version from catalogue for update`
	sqlBumpCatalogue = `update catalogue set version = version + 1 returning version`
)

// lockSchema has others who change the schema wait for tx, and gives it as it is.
func (s *Store) lockSchema(ctx context.Context, tx pgx.Tx) (*pim.Schema, error) {
	var version int64
	if err := tx.QueryRow(ctx, sqlLockCatalogue).Scan(&version); err != nil {
		return nil, err
	}
	return s.schemaOf(ctx, tx, version)
}

// bumpSchema makes next the schema, behind lockSchema, whose copy it is.
func bumpSchema(ctx context.Context, tx pgx.Tx, next *pim.Schema) error {
	return tx.QueryRow(ctx, sqlBumpCatalogue).Scan(&next.Version)
}

// keepSchema has this process know a committed schema, unless it knows a newer one.
// It gives the one that it knows then.
func (s *Store) keepSchema(read *pim.Schema) *pim.Schema {
	for {
		old := s.schema.Load()
		if old != nil && old.Version >= read.Version {
			return old
		}
		if s.schema.CompareAndSwap(old, read) {
			return read
		}
	}
}

// putInto is a copy of a schema's map with one more in it, or another one.
func putInto[K comparable, V any](have map[K]V, key K, value V) map[K]V {
	if have == nil {
		return map[K]V{key: value}
	}
	out := maps.Clone(have)
	out[key] = value
	return out
}

// takenFrom is a copy of a schema's map without one.
func takenFrom[K comparable, V any](have map[K]V, key K) map[K]V {
	out := maps.Clone(have)
	delete(out, key)
	return out
}

// putDefinitions queues what stores definitions of a kind, and gives have with those
// that are new or others now, as they are read from the database; their revisions are
// put into revs.
func putDefinitions[T any](b *pgx.Batch, sql, kind string, definitions []T, have map[string]*T, revs map[string]int64) (map[string]*T, error) {
	if len(definitions) == 0 {
		return have, nil
	}
	stored, err := marshalAll(definitions)
	if err != nil {
		return nil, err
	}
	now := maps.Clone(have)
	b.Queue(sql, pgx.NamedArgs{"definitions": stored}).Query(func(rows pgx.Rows) error {
		var (
			code string
			rev  int64
			raw  []byte
		)
		_, err := pgx.ForEachRow(rows, []any{&code, &rev, &raw}, func() error {
			d := new(T)
			if err := json.Unmarshal(raw, d); err != nil {
				return fmt.Errorf("decode %s %s: %w", kind, code, err)
			}
			now[code], revs[kind+"/"+code] = d, rev
			return nil
		})
		return err
	})
	return now, nil
}

// localeRevisions puts what a statement returns of locales into a schema's revisions.
func localeRevisions(revs map[string]int64) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var (
			code string
			rev  int64
		)
		_, err := pgx.ForEachRow(rows, []any{&code, &rev}, func() error {
			revs["locale/"+code] = rev
			return nil
		})
		return err
	}
}
