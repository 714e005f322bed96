package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// filled: jsonb v is a value that counts (pim.Schema.Completeness says the same).
const filled = `
(v is not null and case jsonb_typeof(v) when 'null' then false when 'string' then btrim(v #>> '{}', E' \t\n\r\u00a0') <> ''
    when 'array' then v <> '[]' when 'object' then v <> '{}' else true end)`

// lacking is, of the products of family @family, by channel what they lack: one row
// for each product and channel that something is required on. A variant has its
// parent's values under its own, leaf by leaf.
const lacking = `
f as (select definition from family where code = @family),
needs as (
    select c.id as channel_id, a.code as attribute,
           array[a.code] || case when a.definition ->> 'scopable' = 'true' then array[c.code] else '{}' end
               || case when a.definition ->> 'localizable' = 'true' then array[c.locale] else '{}' end as path
    from f cross join jsonb_array_elements(f.definition -> 'attributes') fa
    join attribute a on a.code = fa ->> 'code'
    join channel c on c.deleted_at is null and (@channels::text[] = '{}' or c.code = any(@channels))
    where coalesce(fa ->> 'required' = 'true', false) or coalesce(fa -> 'required_for' ? c.code, false)
),
axes as ( -- a parent's are for its variants to have
    select v ->> 'code' as variant, axis as attribute from f cross join jsonb_array_elements(f.definition -> 'variants') v
    cross join jsonb_array_elements_text(v -> 'axes') axis where jsonb_typeof(f.definition -> 'variants') = 'array'
),
lacking as (
    select n.channel_id, p.id, count(*) as required, array_agg(n.attribute) filter (where not ` + filled + `) as missing
    from product p left join product parent on parent.id = p.parent_id
    cross join needs n cross join lateral (select coalesce(p.values #> n.path, parent.values #> n.path) as v) v
    where p.family = @family and p.deleted_at is null
      and (p.family_variant is null or (p.family_variant, n.attribute) not in (select variant, attribute from axes))
    group by 1, 2
)`

const sqlFamilyCompleteness = `
with ` + lacking + `,
counted as (
    select channel_id, count(*) filter (where missing is not null) as incomplete,
           sum(coalesce(cardinality(missing), 0)::float8 / required) as lack
    from lacking group by 1
),
by_attribute as (
    select channel_id, jsonb_agg(jsonb_build_object('attribute', attribute, 'products', n) order by n desc, attribute) as missing
    from (select channel_id, attribute, count(*) as n from lacking cross join unnest(missing) attribute group by 1, 2) m group by 1
)
select c.code, c.locale, t.n, t.n - coalesce(k.incomplete, 0), coalesce(1 - k.lack / nullif(t.n, 0), 1), coalesce(a.missing, '[]')
from channel c cross join (select count(*) as n from product where family = @family and deleted_at is null) t
left join counted k on k.channel_id = c.id left join by_attribute a on a.channel_id = c.id
where c.deleted_at is null and (@channels::text[] = '{}' or c.code = any(@channels)) order by c.code`

// ChannelCompleteness is how complete a family's products are for one channel, in
// its locale.
type ChannelCompleteness struct {
	Channel  pim.ChannelCode   `json:"channel"`
	Locale   pim.Locale        `json:"locale"`
	Products int               `json:"products" doc:"Of the family, variants and their parents alike"`
	Complete int               `json:"complete" doc:"Those of them that lack nothing"`
	Share    float64           `json:"share" doc:"The mean of the products' shares, from 0 to 1"`
	Missing  []MissingOfFamily `json:"missing" doc:"What is missing, what most products lack first"`
}

// MissingOfFamily is an attribute that some products lack.
type MissingOfFamily struct {
	Attribute string `json:"attribute"`
	Products  int    `json:"products"`
}

// FamilyCompleteness counts what the products of a family lack, by channel, of
// channels alone where these are named: worked out anew, in one statement.
// ErrNotFound: there is no such family.
func (s *Store) FamilyCompleteness(ctx context.Context, family string, channels []pim.ChannelCode) ([]ChannelCompleteness, error) {
	schema, err := s.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	if schema.Families[family] == nil {
		return nil, fmt.Errorf("family %s: %w", family, ErrNotFound)
	}
	if channels == nil {
		channels = []pim.ChannelCode{}
	}
	rows, err := s.pool.Query(ctx, sqlFamilyCompleteness, pgx.NamedArgs{"family": family, "channels": channels})
	if err != nil {
		return nil, fmt.Errorf("count what products of family %s lack: %w", family, err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (c ChannelCompleteness, err error) {
		var missing []byte
		if err := r.Scan(&c.Channel, &c.Locale, &c.Products, &c.Complete, &c.Share, &missing); err != nil {
			return c, err
		}
		return c, json.Unmarshal(missing, &c.Missing)
	})
	if err != nil {
		return nil, fmt.Errorf("count what products of family %s lack: %w", family, err)
	}
	return list, nil
}
