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

const (
	// placeOfValue is where values have attribute a for channel and locale of c.
	placeOfValue = `
array[a.code] || case when a.definition ->> 'scopable' = 'true' then array[c.code] else '{}' end
    || case when a.definition ->> 'localizable' = 'true' then array[c.locale] else '{}' end`

	// requires: a family has its attribute fa on channel c.
	requires = `(coalesce(fa ->> 'required' = 'true', false) or coalesce(fa -> 'required_for' ? c.code, false))`
)

// lacking is what the products of the relation shown (id, family, family_variant,
// level, values, inherited, topmost) lack in the channels and locales of the
// relation asked (channel_id, code, locale): one row for each product, channel and
// locale that something is required in. A variant has its parents' values under its
// own, leaf by leaf: topmost are a root model's under inherited ones. level is a
// model's own, 0 or 1.
const lacking = `
families as (select * from family where code in (select family from shown)),
needs as (
    select f.code as family, c.channel_id, c.locale, a.code as attribute, ` + placeOfValue + ` as path
    from families f cross join jsonb_array_elements(f.definition -> 'attributes') fa
    join attribute a on a.code = fa ->> 'code' cross join asked c
    where ` + requires + `
),
levels as (
    select f.code as family, v ->> 'code' as variant, l.at, l.level from families f cross join jsonb_array_elements(f.definition -> 'variants') v
    cross join jsonb_array_elements(coalesce(v -> 'levels', jsonb_build_array(v))) with ordinality l (level, at)
    where jsonb_typeof(f.definition -> 'variants') = 'array'
),
below as ( -- what is of a level below a model is for those there to have
    select family, variant, model, attribute
    from levels cross join jsonb_array_elements_text((level -> 'axes') || coalesce(level -> 'attributes', '[]')) attribute
    cross join (values (0), (1)) m (model) where model < at
),
lacking as (
    select p.id, n.channel_id, n.locale, count(*) as required, array_agg(n.attribute) filter (where not ` + filled + `) as missing
    from shown p join needs n on n.family = p.family
    cross join lateral (select coalesce(p.values #> n.path, p.inherited #> n.path, p.topmost #> n.path) as v) v
    where p.family_variant is null or (p.family, p.family_variant, p.level, n.attribute) not in (select family, variant, model, attribute from below)
    group by 1, 2, 3
)`

// sqlFamilyCompleteness looks at channels in their own locale or in those that
// are asked for; in a house without channels at no channel in these locales, or
// in all that there are.
const sqlFamilyCompleteness = `
with shown as (
    select p.id, p.family, p.family_variant, (p.parent_id is not null)::int as level, p.values, parent.values as inherited, root.values as topmost
    from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
    where p.family = @family and p.deleted_at is null
),
asked as (
    select c.id as channel_id, c.code, l.locale from channel c
    cross join lateral (select c.locale where @locales::text[] = '{}' union select unnest(@locales::text[])) l (locale)
    where c.deleted_at is null and (@channels::text[] = '{}' or c.code = any(@channels))
    union all
    select 0, '', l.code from locale l where (@locales::text[] = '{}' or l.code = any(@locales::text[]))
      and @channels::text[] = '{}' and not exists (select from channel where deleted_at is null)
),
` + lacking + `,
counted as (
    select channel_id, locale, count(*) filter (where missing is not null) as incomplete,
           sum(coalesce(cardinality(missing), 0)::float8 / required) as lack
    from lacking group by 1, 2
),
by_attribute as (
    select channel_id, locale, jsonb_agg(jsonb_build_object('attribute', attribute, 'products', n) order by n desc, attribute) as missing
    from (select channel_id, locale, attribute, count(*) as n from lacking cross join unnest(missing) attribute group by 1, 2, 3) m group by 1, 2
)
select c.code, c.locale, t.n, t.n - coalesce(k.incomplete, 0), coalesce(1 - k.lack / nullif(t.n, 0), 1), coalesce(a.missing, '[]')
from asked c cross join (select count(*) as n from product where family = @family and deleted_at is null) t
left join counted k on (k.channel_id, k.locale) = (c.channel_id, c.locale) left join by_attribute a on (a.channel_id, a.locale) = (c.channel_id, c.locale)
order by c.code, c.locale`

// ChannelCompleteness is how complete a family's products are for one channel, in
// one locale.
type ChannelCompleteness struct {
	Channel  pim.ChannelCode   `json:"channel" doc:"None in particular where the house has none"`
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
// channels alone where these are named, each in its own locale or in those that
// are named: worked out anew, in one statement. A house without channels is told
// what products lack on none in particular, in all its locales or in those that
// are named. ErrNotFound: there is no such family.
func (s *Store) FamilyCompleteness(ctx context.Context, family string, channels []pim.ChannelCode, locales []pim.Locale) ([]ChannelCompleteness, error) {
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
	if locales == nil {
		locales = []pim.Locale{}
	}
	rows, err := s.pool.Query(ctx, sqlFamilyCompleteness, pgx.NamedArgs{"family": family, "channels": channels, "locales": locales})
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
