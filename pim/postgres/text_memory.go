package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// MemoryPerson is the origin of what people translated.
const MemoryPerson = "person"

// MemoryEntry is a segment that was translated before.
type MemoryEntry struct {
	Hash            []byte // text.Segment's Key
	From, To        pim.Locale
	Source, Target  string // fragments
	Origin          string // a provider's code, or MemoryPerson
	Model           string
	Test            bool
	GlossaryVersion int64 // newest of the glossary's entries that occur in Source
}

const (
	// The same segment from the same origin is stored once. A person may change
	// their mind; a service is asked again only where what is remembered of it was
	// of no use, and a real one may have the code of one for tests.
	sqlKeepSegments = `
insert into translation_memory as m (source_hash, from_locale, to_locale, origin, glossary_version, test, source, target, model, shape)
select * from unnest(@hash::bytea[], @from::text[], @to::text[], @origin::text[], @glossary::bigint[], @test::boolean[], @source::text[], @target::text[], @model::text[], @shape::bytea[])
order by 1, 2, 3, 4, 5
on conflict (source_hash, from_locale, to_locale, origin, glossary_version) do update set target = excluded.target, model = excluded.model, test = excluded.test, at = now()
where (m.target, m.test) <> (excluded.target, excluded.test) and (m.test or not excluded.test)`

	sqlRecallSegments = `
select m.source_hash, m.source, m.target, m.origin, m.model, m.test, m.glossary_version
from unnest(@hash::bytea[], @glossary::bigint[]) w (hash, glossary)
join translation_memory m on m.source_hash = w.hash and m.from_locale = @from and m.to_locale = @to
where (m.origin = 'person' or m.glossary_version = w.glossary) and (@tests::boolean or not m.test)
  and (@origins::text[] = '{}' or m.origin = 'person' or m.origin = any(@origins::text[]))
order by m.origin = 'person' desc, m.test, m.at desc, m.id desc`

	sqlShapedSegments = `
select w.at, m.source, m.target, m.origin, m.model, m.test, m.glossary_version, 0.0::float8
from unnest(@shape::bytea[]) with ordinality w (shape, at)
cross join lateral (
    select * from translation_memory m where m.shape = w.shape and m.from_locale = @from and m.to_locale = @to and (@tests::boolean or not m.test)
    order by m.origin = 'person' desc, m.id desc limit 5
) m
order by w.at, m.origin = 'person' desc, m.id desc`

	// The threshold is that of the operator %, which the index answers.
	sqlAlikeSegments = `
select w.at, m.source, m.target, m.origin, m.model, m.test, m.glossary_version, m.alike
from unnest(@source::text[]) with ordinality w (source, at)
cross join lateral (
    select m.*, similarity(m.source, w.source) as alike from translation_memory m
    where m.source % w.source and m.from_locale = @from and m.to_locale = @to and (@tests::boolean or not m.test)
    order by alike desc, m.origin = 'person' desc, m.id desc limit 5
) m
order by w.at, m.alike desc`
	sqlAlikeThreshold = `select set_config('pg_trgm.similarity_threshold', '0.7', true)`
)

// Remember stores durably what was translated, and what it used up.
func (s *Store) Remember(ctx context.Context, entries []MemoryEntry, uses ...ProviderUse) error {
	n := len(entries)
	hash, glossary, test := make([][]byte, n), make([]int64, n), make([]bool, n)
	shape := make([][]byte, n)
	from, to, origin, source, target, model := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, e := range entries {
		hash[i], glossary[i], test[i], from[i], to[i], origin[i] = e.Hash, e.GlossaryVersion, e.Test, string(e.From), string(e.To), e.Origin
		shape[i] = shapeOf(e.Source)
		source[i], target[i], model[i] = storable(e.Source), storable(e.Target), storable(e.Model)
	}
	err := untangled(func() error {
		return inTx(ctx, s.pool, func(tx pgx.Tx) error {
			for _, u := range uses {
				if err := used(ctx, tx, u); err != nil {
					return err
				}
			}
			if n == 0 {
				return nil
			}
			_, err := tx.Exec(ctx, sqlKeepSegments, pgx.NamedArgs{
				"hash": hash, "from": from, "to": to, "origin": origin, "glossary": glossary, "test": test, "source": source, "target": target, "model": model, "shape": shape,
			})
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("remember %d segments: %w", n, err)
	}
	return nil
}

// Recall reads what is known of segments between two locales, by their hashes
// and the glossary's versions for them; the best of each: a person's, else a
// provider's, else, with tests, a provider's for tests. origins, when there are
// any, are the providers that count.
func (s *Store) Recall(ctx context.Context, from, to pim.Locale, hashes [][]byte, versions []int64, origins []string, tests bool) (map[string]MemoryEntry, error) {
	if origins == nil {
		origins = []string{}
	}
	rows, err := s.work.Query(ctx, sqlRecallSegments, pgx.NamedArgs{"hash": hashes, "glossary": versions, "from": from, "to": to, "origins": origins, "tests": tests})
	if err != nil {
		return nil, fmt.Errorf("look into the translation memory: %w", err)
	}
	out := make(map[string]MemoryEntry, len(hashes))
	var m MemoryEntry
	_, err = pgx.ForEachRow(rows, []any{&m.Hash, &m.Source, &m.Target, &m.Origin, &m.Model, &m.Test, &m.GlossaryVersion}, func() error {
		if _, better := out[string(m.Hash)]; !better {
			m.From, m.To = from, to
			out[string(m.Hash)] = m
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look into the translation memory: %w", err)
	}
	return out, nil
}

// Alike is a remembered segment that resembles another.
type Alike struct {
	MemoryEntry
	Similarity float64 // 0.7 to 1; of those that differ in their numbers 0
}

// MaxAlike is how long a segment may be, in bytes, that Alike looks for others of.
const MaxAlike = 2000

// number is what shapeOf takes for one: too much does no harm.
var number = regexp.MustCompile(`[0-9][0-9.,]*`)

// shapeOf is equal for sources that differ in nothing but numbers; nil for those
// without numbers.
func shapeOf(source string) []byte {
	shape := number.ReplaceAllLiteralString(source, "0")
	if shape == source && !strings.Contains(source, "0") {
		return nil
	}
	sum := sha256.Sum256([]byte(shape))
	return sum[:]
}

// Shaped reads what differs from each of sources in nothing but numbers, or
// nearly so: at most five of each, people's first.
func (s *Store) Shaped(ctx context.Context, from, to pim.Locale, sources []string, tests bool) ([][]Alike, error) {
	shapes := make([][]byte, len(sources))
	for i, source := range sources {
		shapes[i] = shapeOf(source)
	}
	rows, err := s.work.Query(ctx, sqlShapedSegments, pgx.NamedArgs{"shape": shapes, "from": from, "to": to, "tests": tests})
	var out [][]Alike
	if err == nil {
		out, err = collectAlike(rows, from, to, len(sources))
	}
	if err != nil {
		return nil, fmt.Errorf("look for %d segments with other numbers: %w", len(sources), err)
	}
	return out, nil
}

// Alike reads what resembles each of sources, fragments of at most MaxAlike
// bytes, the most alike first: at most five of each. In a memory of a hundred
// thousand segments it takes some hundredths of a second for each.
func (s *Store) Alike(ctx context.Context, from, to pim.Locale, sources []string, tests bool) (out [][]Alike, err error) {
	err = inTx(ctx, s.work, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sqlAlikeThreshold); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sqlAlikeSegments, pgx.NamedArgs{"source": sources, "from": from, "to": to, "tests": tests})
		if err != nil {
			return err
		}
		out, err = collectAlike(rows, from, to, len(sources))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for what resembles %d segments: %w", len(sources), err)
	}
	return out, nil
}

func collectAlike(rows pgx.Rows, from, to pim.Locale, n int) ([][]Alike, error) {
	out := make([][]Alike, n)
	var (
		at int64
		a  Alike
	)
	_, err := pgx.ForEachRow(rows, []any{&at, &a.Source, &a.Target, &a.Origin, &a.Model, &a.Test, &a.GlossaryVersion, &a.Similarity}, func() error {
		a.From, a.To = from, to
		out[at-1] = append(out[at-1], a)
		return nil
	})
	return out, err
}
