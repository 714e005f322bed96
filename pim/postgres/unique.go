package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// sqlHolders tells who has what edits would have.
const sqlHolders = `
select u.attribute, u.channel, u.locale, u.key, p.sku
from unnest(@attribute::text[], @channel::text[], @locale::text[], @key::bytea[]) w (attribute, channel, locale, key)
join unique_value u on (u.attribute, u.key, u.locale, u.channel) = (w.attribute, w.key, w.locale, w.channel) join product p on p.id = u.product_id`

// holders finds which of the unique values that edits name are taken, and by
// whom. There is none to look for in most houses.
func (s *Store) holders(ctx context.Context, q querier, schema *pim.Schema, edits []Edit, todo []int) (map[pim.UniqueValue]pim.SKU, error) {
	taken := map[pim.UniqueValue]pim.SKU{}
	var named []pim.UniqueValue
	for _, i := range todo {
		named = append(named, schema.UniqueValues(edits[i].Values)...)
	}
	if len(named) == 0 {
		return taken, nil
	}
	args := uniqueArgs(named)
	rows, err := q.Query(ctx, sqlHolders, args)
	if err != nil {
		return nil, err
	}
	var (
		u   pim.UniqueValue
		key []byte
		sku pim.SKU
	)
	_, err = pgx.ForEachRow(rows, []any{&u.Attribute, &u.Channel, &u.Locale, &key, &sku}, func() error {
		copy(u.Key[:], key)
		taken[u] = sku
		return nil
	})
	return taken, err
}

func uniqueArgs(list []pim.UniqueValue) pgx.NamedArgs {
	n := len(list)
	attributes, channels, locales, keys := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i := range list {
		u := &list[i]
		attributes[i], channels[i], locales[i], keys[i] = u.Attribute, storable(string(u.Channel)), storable(string(u.Locale)), u.Key[:]
	}
	return pgx.NamedArgs{"attribute": attributes, "channel": channels, "locale": locales, "key": keys}
}

// uniques is what an edit takes of the unique values, and what it frees.
type uniques struct{ claims, frees []pim.UniqueValue }

func (u uniques) any() bool { return len(u.claims)+len(u.frees) > 0 }

// uniquesOf compares a product's values before and after an edit; nil: there are none.
func uniquesOf(schema *pim.Schema, before, after pim.Values) (u uniques) {
	had, has := schema.UniqueValues(before), schema.UniqueValues(after)
	if len(had)+len(has) == 0 {
		return u
	}
	old := make(map[pim.UniqueValue]bool, len(had))
	for _, x := range had {
		old[x] = true
	}
	for _, x := range has {
		if !old[x] {
			u.claims = append(u.claims, x)
		}
		delete(old, x)
	}
	for _, x := range had {
		if old[x] {
			u.frees = append(u.frees, x)
		}
	}
	return u
}

// free checks that nobody else has what the product is to have.
func (w *editor) free(sku pim.SKU, u uniques, add adder) {
	for _, x := range u.claims {
		holder, taken := w.holders[x]
		if !taken || holder == sku {
			continue
		}
		at := []string{x.Attribute}
		if x.Channel != "" {
			at = append(at, string(x.Channel))
		}
		if x.Locale != "" {
			at = append(at, string(x.Locale))
		}
		add(pim.JoinPointer("/values", at...), "value.not_unique", "product %q has the same: the attribute is unique", string(holder))
	}
}

// took notes what an edit takes, for those further down.
func (w *editor) took(sku pim.SKU, u uniques) {
	for _, x := range u.frees {
		if w.holders[x] == sku {
			delete(w.holders, x)
		}
	}
	for _, x := range u.claims {
		w.holders[x] = sku
	}
}

const (
	sqlFreeUnique = `
delete from unique_value u
using unnest(@product::bigint[], @attribute::text[], @channel::text[], @locale::text[], @key::bytea[]) f (product_id, attribute, channel, locale, key)
where (u.attribute, u.key, u.locale, u.channel) = (f.attribute, f.key, f.locale, f.channel) and u.product_id = f.product_id`

	// sqlClaimUnique takes values in one order, whoever takes them. One that
	// another has is an error of the index, which waits for who takes it at the
	// same time.
	sqlClaimUnique = `
insert into unique_value (product_id, attribute, channel, locale, key)
select * from unnest(@product::bigint[], @attribute::text[], @channel::text[], @locale::text[], @key::bytea[]) c (product_id, attribute, channel, locale, key)
order by attribute, key, locale, channel`

	uniqueConstraint = "unique_value_pkey"
	uniqueOfNone     = "unique_value_attribute_fkey" // the attribute was deleted meanwhile
)

// claim stores what the writes that went through take and free.
func claim(ctx context.Context, tx pgx.Tx, writes []write, results []EditResult, lost map[int]bool) error {
	for _, part := range []struct {
		sql string
		of  func(uniques) []pim.UniqueValue
	}{
		{sqlFreeUnique, func(u uniques) []pim.UniqueValue { return u.frees }},
		{sqlClaimUnique, func(u uniques) []pim.UniqueValue { return u.claims }},
	} {
		var (
			list     []pim.UniqueValue
			products []int64
		)
		for i := range writes {
			if lost[writes[i].at] {
				continue
			}
			for _, x := range part.of(writes[i].uniques) {
				list, products = append(list, x), append(products, int64(results[writes[i].at].ID))
			}
		}
		if len(list) == 0 {
			continue
		}
		args := uniqueArgs(list)
		args["product"] = products
		if _, err := tx.Exec(ctx, part.sql, args); err != nil {
			return err
		}
	}
	return nil
}

const (
	// lockProducts waits for edits that know nothing of an attribute that becomes
	// unique, and keeps others waiting: they then see that the schema is another.
	lockProducts  = `lock table product in share row exclusive mode`
	sqlDropUnique = `delete from unique_value where attribute = any(@attributes)`

	// uniqueOf is what living products have of unique attributes: as
	// pim.Schema.UniqueValues says.
	uniqueOf = `
select p.id, p.sku, a.code as attribute, c.scope as channel, l.scope as locale, sha256(convert_to(k.text, 'UTF8')) as key
from (select code, coalesce((definition ->> 'scopable')::boolean, false) as scopable, coalesce((definition ->> 'localizable')::boolean, false) as localizable
      from attribute where code = any(@attributes)) a
join product p on p.values ? a.code and p.deleted_at is null
cross join lateral (
    select '' as scope, p.values -> a.code as v where not a.scopable
    union all
    select s.key, s.value from jsonb_each(case when jsonb_typeof(p.values -> a.code) = 'object' then p.values -> a.code else '{}' end) s where a.scopable
) c
cross join lateral (
    select '' as scope, c.v as v where not a.localizable
    union all
    select s.key, s.value from jsonb_each(case when jsonb_typeof(c.v) = 'object' then c.v else '{}' end) s where a.localizable
) l
cross join lateral (
    select case jsonb_typeof(l.v) when 'string' then l.v #>> '{}' when 'number' then trim_scale((l.v #>> '{}')::numeric)::text end as text
) k
where btrim(k.text, E' \t\n\r\u00a0') <> ''`

	sqlTwiceUnique = `
select attribute, array_agg(sku order by sku), count(*) over () from (` + uniqueOf + `) u
group by attribute, channel, locale, key having count(*) > 1 order by 1, min(sku) limit 10`

	sqlFillUnique = `
insert into unique_value (product_id, attribute, channel, locale, key)
select id, attribute, channel, locale, key from (` + uniqueOf + `) u order by attribute, key, locale, channel`
)

// uniqueAttributes makes the store keep what products have of attributes that
// become unique, and forget what they have of those that no longer are. An
// attribute of which two products have the same value cannot become unique.
func uniqueAttributes(ctx context.Context, tx pgx.Tx, current *pim.Schema, attributes []pim.Attribute) error {
	var was, become []string
	lock := false
	at := map[string]int{}
	for i := range attributes {
		a := &attributes[i]
		old := current.Attributes[a.Code]
		same := old != nil && shape(old) == shape(a)
		if old != nil && old.Unique && (!a.Unique || !same) {
			was = append(was, a.Code)
		}
		if a.Unique && (old == nil || !old.Unique || !same) {
			become, at[a.Code] = append(become, a.Code), i
			lock = lock || old != nil // nobody can be giving values to what is not there
		}
	}
	if lock {
		if _, err := tx.Exec(ctx, lockProducts); err != nil {
			return err
		}
	}
	if was = append(was, become...); len(was) > 0 { // an edit may have left some of what becomes unique again
		if _, err := tx.Exec(ctx, sqlDropUnique, pgx.NamedArgs{"attributes": was}); err != nil {
			return err
		}
	}
	if len(become) == 0 {
		return nil
	}
	args := pgx.NamedArgs{"attributes": become}
	rows, err := tx.Query(ctx, sqlTwiceUnique, args)
	if err != nil {
		return err
	}
	var (
		code     string
		skus     []string
		n        int
		problems []pim.Problem
	)
	_, err = pgx.ForEachRow(rows, []any{&code, &skus, &n}, func() error {
		problems = append(problems, pim.Problem{Pointer: fmt.Sprintf("/attributes/%d/unique", at[code]), Code: "attribute.not_unique", Detail: fmt.Sprintf(
			"products %q and %q have the same value; %d values stand more than once", skus[0], skus[1], n)})
		return nil
	})
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return &pim.Invalid{Problems: problems}
	}
	_, err = tx.Exec(ctx, sqlFillUnique, args)
	return err
}
