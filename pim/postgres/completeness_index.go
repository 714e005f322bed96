package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// The rows of completeness follow the event log and the families, as search
// documents do: behind the edits, by one process at a time, which holds the row
// completeness_state. A step's rows and the place that they are of are one
// transaction, so a step that dies is done again, and none is left out. What a
// family requires is compared with what it required when its products were last
// looked at: a change of one family, of its attributes or of the channels has no
// others looked at. See docs/decisions/031.

// completenessProducts is how many products a step looks at in a walk.
const completenessProducts = 2000

const (
	// sqlCompletenessState locks how far the log was followed, and says what
	// families have to be looked at again for.
	sqlCompletenessState = `
select s.xid::text, s.id, s.seen, pg_snapshot_xmin(pg_current_snapshot())::text,
       (select version from catalogue) || ' ' || md5((select coalesce(string_agg(concat_ws(' ', id, code, locale), ',' order by id), '') from channel where deleted_at is null))
from completeness_state s for no key update of s skip locked`

	// sqlCompletenessFamilies begins a walk over the products of each family that
	// requires something else than when they were last looked at. The number is of
	// the form of what is stored.
	sqlCompletenessFamilies = `
with channels as (
    select coalesce(string_agg(concat_ws(' ', id, code, locale), ',' order by id), '') as list from channel where deleted_at is null
),
now_ as (
    select f.code as family, md5(concat_ws(' ', 1, c.list, f.definition -> 'attributes', f.definition -> 'variants', (
        select jsonb_agg(jsonb_build_array(a.code, a.definition -> 'scopable', a.definition -> 'localizable') order by a.code)
        from jsonb_array_elements(f.definition -> 'attributes') fa join attribute a on a.code = fa ->> 'code'))) as fingerprint
    from family f cross join channels c
),
gone as (delete from completeness_walk w where not exists (select from family f where f.code = w.family))
insert into completeness_walk as w (family, fingerprint) select family, fingerprint from now_ order by 1
on conflict (family) do update set fingerprint = excluded.fingerprint, after = 0 where w.fingerprint <> excluded.fingerprint`

	// sqlCompletenessWalk takes the next products of a walk, and moves it on.
	sqlCompletenessWalk = `
with w as (select family, after from completeness_walk where after is not null order by family limit 1),
p as (select p.id from w cross join lateral (select id from product where family = w.family and id > w.after order by id limit @limit) p),
moved as (update completeness_walk c set after = (select max(id) from p) from w where c.family = w.family)
select exists (select from w), coalesce((select array_agg(id) from p), '{}')`

	// sqlCompletenessPut makes the rows of products, and of those that inherit from
	// them, what they are to be. Long values are unpacked once.
	sqlCompletenessPut = `
with recursive touched (id) as (
    select unnest(@ids::bigint[]) union select c.id from product c join touched t on c.parent_id = t.id
),
shown as materialized (
    select p.id, p.family, p.family_variant, (p.parent_id is not null)::int as level,
           p.values || '{}' as values, parent.values || '{}' as inherited, root.values || '{}' as topmost
    from touched t join product p on p.id = t.id left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
    where p.deleted_at is null
),
asked as (select id as channel_id, code, locale from channel where deleted_at is null),
` + lacking + `,
now_ as (
    select p.id as product_id, c.channel_id, coalesce(l.required, 0) as required, coalesce(cardinality(l.missing), 0) as missing
    from shown p cross join asked c left join lacking l on (l.id, l.channel_id) = (p.id, c.channel_id)
),
gone as (
    delete from completeness k using touched t
    where k.product_id = t.id and not exists (select from shown p cross join asked c where (p.id, c.channel_id) = (k.product_id, k.channel_id))
)
insert into completeness as k (product_id, channel_id, required, missing) select * from now_ order by 1, 2
on conflict (product_id, channel_id) do update set required = excluded.required, missing = excluded.missing
where (k.required, k.missing) is distinct from (excluded.required, excluded.missing)`

	sqlCompletenessOn = `update completeness_state set xid = @xid::text::xid8, id = @id, seen = @seen`
)

// IndexCompleteness works off a step of what changed since the last one. While
// another process does it, there is nothing to do. A walk's step looks at most
// products at the most, where 0 is as many as are good. It is what filters by
// completeness look at.
func (s *Store) IndexCompleteness(ctx context.Context, most int) (did Indexed, err error) {
	err = inTx(ctx, s.work, func(tx pgx.Tx) error {
		did, err = indexCompleteness(ctx, tx, most)
		return err
	})
	if err != nil {
		return Indexed{}, fmt.Errorf("follow the log for completeness: %w", err)
	}
	return did, nil
}

func indexCompleteness(ctx context.Context, tx pgx.Tx, most int) (did Indexed, err error) {
	var (
		xid, lastXID      *string
		id                int64
		lastID            *int64
		seen, oldest, now string
		products, walked  []int64
		walks             bool
	)
	err = tx.QueryRow(ctx, sqlCompletenessState).Scan(&xid, &id, &seen, &oldest, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return did, nil
	}
	if err != nil {
		return did, err
	}
	changed := xid == nil || seen != now
	if xid == nil {
		xid = &oldest // what is older is seen by the walks
	}
	if seen != now {
		if _, err := tx.Exec(ctx, sqlCompletenessFamilies); err != nil {
			return did, err
		}
	}
	values := pim.LanesOf(pim.Content, pim.Media) // media are some, too
	if err := tx.QueryRow(ctx, sqlFollow, following(*xid, id, values)).Scan(&lastXID, &lastID, &products); err != nil {
		return did, err
	}
	if lastXID != nil {
		xid, id, changed = lastXID, *lastID, true
	}
	if err := tx.QueryRow(ctx, sqlCompletenessWalk, pgx.NamedArgs{"limit": walkMost(most, completenessProducts)}).Scan(&walks, &walked); err != nil {
		return did, err
	}
	if !changed && !walks {
		return did, nil
	}
	for _, ids := range [][]int64{products, walked} {
		if len(ids) == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, sqlCompletenessPut, pgx.NamedArgs{"ids": ids}); err != nil {
			return did, err
		}
	}
	_, err = tx.Exec(ctx, sqlCompletenessOn, pgx.NamedArgs{"xid": *xid, "id": id, "seen": now})
	return Indexed{More: true, Followed: len(products), Walked: len(walked)}, err
}
