package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// The search documents follow the event log: they are made behind the edits, by
// one process at a time, which holds the row search_state. A step's documents and
// the place in the log that they are of are one transaction, so a step that dies
// is done again, and none is left out.

// searchProducts is how many products a step looks at in a walk.
const searchProducts = 500

const (
	sqlSearchState = `
select xid::text, id, walk_after, fingerprint, pg_snapshot_xmin(pg_current_snapshot())::text from search_state for no key update skip locked`

	sqlSearchWalk = `select coalesce(array_agg(id), '{}') from (select id from product where id > @after order by id limit @limit) p`

	// sqlSearchRead reads products and those that inherit from them.
	sqlSearchRead = `
select p.id, p.sku, p.values, parent.values, root.values, p.deleted_at is not null
from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
where p.id in (select unnest(@ids::bigint[]) union ` + belowIDs + `)
order by p.id`

	// sqlSearchPut makes the documents of products equal to those given.
	sqlSearchPut = `
with input as (
    select * from unnest(@id::bigint[], @locale::text[], @language::text[], @codes::text[], @names::text[], @texts::text[])
        as i (id, locale, language, codes, names, texts)
),
docs as materialized (
    select id, locale, setweight(to_tsvector('simple', codes), 'A') || setweight(to_tsvector(language::regconfig, names), 'B') ||
        setweight(to_tsvector('simple', names), 'C') || setweight(to_tsvector(language::regconfig, texts), 'D') as words
    from input
),
gone as (
    delete from search_document d where d.product_id = any(@products::bigint[]) and not exists (select from input i where (i.id, i.locale) = (d.product_id, d.locale))
),
put as (
    insert into search_document as d (product_id, locale, words) select id, locale, words from docs order by 1, 2
    on conflict (product_id, locale) do update set words = excluded.words where d.words is distinct from excluded.words
)
insert into search_word (word)
select distinct w.lexeme from docs cross join lateral unnest(docs.words) w
where length(w.lexeme) between 3 and 40 and w.lexeme !~ '[^[:alpha:]]' and not exists (select from search_word s where s.word = w.lexeme collate "C")
order by 1 on conflict do nothing`

	sqlSearchCodes = `
with input as (select * from unnest(@id::bigint[], @code::text[]) i (id, code)),
gone as (delete from search_code c where c.product_id = any(@products::bigint[]) and not exists (select from input i where i.id = c.product_id and i.code = c.code))
insert into search_code (product_id, code) select id, code from input order by 1, 2 on conflict do nothing`

	sqlSearchOn = `update search_state set xid = @xid::text::xid8, id = @id, walk_after = @walk, fingerprint = @fingerprint`
)

// Indexed is what a step of what follows the log did.
type Indexed struct {
	More     bool // there may be
	Followed int  // products that had been edited
	Walked   int  // products that a walk looked at, but for those that inherit from them
}

// IndexSearch works off a step of what changed since the last one. While another
// process does it, there is nothing to do. The first step, and one that finds what
// documents are made by changed, begin a walk over all products; a step looks at
// most of them at the most, where 0 is as many as are good.
func (s *Store) IndexSearch(ctx context.Context, most int) (did Indexed, err error) {
	err = inTx(ctx, s.work, func(tx pgx.Tx) error {
		did, err = s.indexSearch(ctx, tx, most)
		return err
	})
	if err != nil {
		return Indexed{}, fmt.Errorf("follow the log for search: %w", err)
	}
	return did, nil
}

// walkMost is how many products a step looks at.
func walkMost(most, usual int) int {
	if most > 0 {
		return min(most, usual)
	}
	return usual
}

func (s *Store) indexSearch(ctx context.Context, tx pgx.Tx, most int) (did Indexed, err error) {
	var (
		xid                    *string
		id                     int64
		walk                   *int64
		fingerprint, oldest    string
		products, walked, upto []int64
	)
	err = tx.QueryRow(ctx, sqlSearchState).Scan(&xid, &id, &walk, &fingerprint, &oldest)
	if errors.Is(err, pgx.ErrNoRows) {
		return did, nil
	}
	if err != nil {
		return did, err
	}
	schema, err := s.loadSchema(ctx, tx)
	if err != nil {
		return did, err
	}
	changed := false
	if now := searchFingerprint(schema); now != fingerprint || xid == nil {
		if xid == nil {
			xid = &oldest // what is older is seen by the walk
		}
		fingerprint, walk, changed = now, new(int64), true
	}
	var lastXID *string
	var lastID *int64
	if err := tx.QueryRow(ctx, sqlFollow, following(*xid, id, pim.LanesOf(pim.Content))).Scan(&lastXID, &lastID, &products); err != nil {
		return did, err
	}
	if lastXID != nil {
		xid, id, changed = lastXID, *lastID, true
	}
	if walk != nil {
		if err := tx.QueryRow(ctx, sqlSearchWalk, pgx.NamedArgs{"after": *walk, "limit": walkMost(most, searchProducts)}).Scan(&walked); err != nil {
			return did, err
		}
		if changed = true; len(walked) == 0 {
			walk = nil
		} else {
			walk = &walked[len(walked)-1]
		}
	}
	if !changed {
		return did, nil
	}
	upto = slices.Concat(products, walked)
	for part := range slices.Chunk(upto, searchProducts) {
		if err := putSearch(ctx, tx, schema, part); err != nil {
			return did, err
		}
	}
	_, err = tx.Exec(ctx, sqlSearchOn, pgx.NamedArgs{"xid": *xid, "id": id, "walk": walk, "fingerprint": fingerprint})
	return Indexed{More: true, Followed: len(products), Walked: len(walked)}, err
}

// putSearch makes the documents of some products, and of those that inherit from them.
func putSearch(ctx context.Context, tx pgx.Tx, schema *pim.Schema, ids []int64) error {
	rows, err := tx.Query(ctx, sqlSearchRead, pgx.NamedArgs{"ids": ids})
	if err != nil {
		return err
	}
	var (
		id            int64
		sku           pim.SKU
		own           []byte
		inherited     Inherited
		gone          bool
		all           []int64
		docIDs, codes []int64
		code          []string
		locale, lang  []string
		text          [3][]string
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &sku, &own, (*[]byte)(&inherited.Parent), (*[]byte)(&inherited.Root), &gone}, func() error {
		if all = append(all, id); gone {
			return nil
		}
		values, err := pim.DecodeStored(own)
		if err == nil {
			values, err = inherited.Below(values)
		}
		if err != nil {
			return fmt.Errorf("product %s: %w", sku, err)
		}
		docs, of := schema.SearchDocuments(sku, values)
		joined := ""
		for _, c := range of {
			codes, code, joined = append(codes, id), append(code, c), joined+pim.SearchText(c)+"\n"
		}
		for _, d := range docs {
			docIDs, locale, lang = append(docIDs, id), append(locale, string(d.Locale)), append(lang, pim.SearchLanguage(d.Locale))
			for i, t := range []string{joined, d.Names, d.Texts} {
				text[i] = append(text[i], t)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, sqlSearchPut, pgx.NamedArgs{
		"products": all, "id": docIDs, "locale": locale, "language": lang, "codes": text[0], "names": text[1], "texts": text[2],
	}); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, sqlSearchCodes, pgx.NamedArgs{"products": all, "id": codes, "code": code})
	return err
}

// searchFingerprint is of all that documents are made by beside values, and of
// the form of documents itself.
func searchFingerprint(s *pim.Schema) string {
	const form = 1
	h := sha256.New()
	fmt.Fprintln(h, form, slices.Sorted(maps.Keys(s.Locales)))
	for _, code := range slices.Sorted(maps.Keys(s.Attributes)) {
		a := s.Attributes[code]
		options, _ := json.Marshal(a.Options) // plain texts, which always can be written
		fmt.Fprintln(h, code, a.Type, a.Localizable, a.Scopable, a.Check, string(options))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
