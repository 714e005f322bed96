package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// AssociationType is a stored association type.
type AssociationType struct {
	pim.AssociationType
	Rev       int64 // the ETag
	UpdatedAt time.Time
}

const (
	sqlAssociationTypes = `select rev, updated_at, definition from association_type order by code`
	sqlAssociationType  = `select rev, updated_at, definition from association_type where code = @code`

	sqlPutAssociationType = `
insert into association_type as t (code, definition) values (@code, @definition)
on conflict (code) do update set definition = excluded.definition, rev = t.rev + 1, updated_at = now()
where t.definition is distinct from excluded.definition`
	sqlDropAssociationType  = `delete from association_type where code = @code`
	sqlAssociationTypeInUse = `
select coalesce((select true from association a join product p on p.id = a.product_id where a.type = @code and p.deleted_at is null limit 1), false)`
	sqlForgetAssociations = `delete from association where type = @code`
)

func scanAssociationType(row pgx.CollectableRow) (t AssociationType, err error) {
	var definition []byte
	if err := row.Scan(&t.Rev, &t.UpdatedAt, &definition); err != nil {
		return t, err
	}
	return t, json.Unmarshal(definition, &t.AssociationType)
}

// AssociationTypes lists all association types, by their codes.
func (s *Store) AssociationTypes(ctx context.Context) ([]AssociationType, error) {
	rows, err := s.pool.Query(ctx, sqlAssociationTypes)
	if err != nil {
		return nil, fmt.Errorf("list association types: %w", err)
	}
	return pgx.CollectRows(rows, scanAssociationType)
}

// AssociationType reads one; ErrNotFound.
func (s *Store) AssociationType(ctx context.Context, code string) (AssociationType, error) {
	t, err := associationType(ctx, s.pool, code)
	if err != nil {
		return t, fmt.Errorf("association type %s: %w", code, err)
	}
	return t, nil
}

func associationType(ctx context.Context, q querier, code string) (AssociationType, error) {
	return one(ctx, q, sqlAssociationType, pgx.NamedArgs{"code": storable(code)}, scanAssociationType)
}

// PutAssociationType checks (*pim.Invalid) and stores an association type. The same
// again changes nothing. ifMatch, when not 0, is the revision that it must have
// (ErrStale).
func (s *Store) PutAssociationType(ctx context.Context, t pim.AssociationType, ifMatch int64) (now AssociationType, created bool, err error) {
	var next *pim.Schema
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		schema, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		old, err := associationType(ctx, tx, t.Code)
		if created, err = meets(err, old.Rev, ifMatch); err != nil {
			return err
		}
		if problems := schema.CheckAssociationType(&t); len(problems) > 0 {
			return &pim.Invalid{Problems: problems}
		}
		tag, err := tx.Exec(ctx, sqlPutAssociationType, pgx.NamedArgs{"code": t.Code, "definition": mustJSON(t)})
		if err != nil {
			return err
		}
		if now, err = associationType(ctx, tx, t.Code); err != nil || tag.RowsAffected() == 0 {
			return err
		}
		next = schema.Copy()
		stored := now.AssociationType
		next.Associations = putInto(schema.Associations, t.Code, &stored)
		return bumpSchema(ctx, tx, next)
	})
	if err != nil {
		return now, false, fmt.Errorf("store association type %s: %w", t.Code, err)
	}
	if next != nil {
		s.keepSchema(next)
	}
	return now, created, nil
}

// DeleteAssociationType removes an association type. ErrInUse while products have
// associations of it; what deleted ones had goes with it. ErrStale where ifMatch is
// not 0 and not its revision; ErrNotFound.
func (s *Store) DeleteAssociationType(ctx context.Context, code string, ifMatch int64) error {
	err := s.drop(ctx, sqlDropAssociationType, storable(code), ifMatch, func(ctx context.Context, tx pgx.Tx, next *pim.Schema) (used bool, err error) {
		t, err := associationType(ctx, tx, code)
		if err := leaves(err, t.Rev, ifMatch); err != nil {
			return false, err
		}
		args := pgx.NamedArgs{"code": storable(code)}
		if err := tx.QueryRow(ctx, sqlAssociationTypeInUse, args).Scan(&used); err != nil || used {
			return used, err
		}
		next.Associations = takenFrom(next.Associations, code)
		_, err = tx.Exec(ctx, sqlForgetAssociations, args)
		return false, err
	})
	if violates(err, "association_type_fkey") {
		return fmt.Errorf("delete association type %s: %w", code, ErrInUse) // by an edit that came between
	}
	return err
}

func associationTypes(raw []byte) (map[string]*pim.AssociationType, error) {
	var list []*pim.AssociationType
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("decode association types: %w", err)
	}
	out := make(map[string]*pim.AssociationType, len(list))
	for _, t := range list {
		out[t.Code] = t
	}
	return out, nil
}

// associationsBeside are the rows u (type, sku, quantity, live) of product p's
// associations, and their order: its own, and those of two-way types that others
// have made.
const associationsBeside = `
lateral (
    select a.type, a.target as sku, a.quantity, 0 as side, a.position from association a where a.product_id = p.id
    union all
    select a.type, other.sku, null, 1, 0
    from association a join association_type t on t.code = a.type and t.definition @> '{"two_way": true}'
    join product other on other.id = a.product_id and other.deleted_at is null
    where a.target = p.sku and not exists (select from association m where m.product_id = p.id and m.type = a.type and m.target = other.sku)
) u`

// associationsOf are a product's associations as pim.Associations; null for none.
const associationsOf = `
(select jsonb_object_agg(l.type, l.list) from (
    select u.type, jsonb_agg(case when u.quantity is null then to_jsonb(u.sku) else jsonb_build_object('sku', u.sku, 'quantity', u.quantity) end
        order by u.side, u.position, u.sku collate "C") as list
    from ` + associationsBeside + ` group by u.type) l)`

const (
	sqlAssociations = `select p.sku, p.deleted_at is not null, ` + associationsOf + ` from product p where p.sku = any(@skus::text[])`

	// sqlShownAssociations leaves out what is not there, not enabled or not published on
	// the channel, itself or what it is a variant of, and sub-models, which are on none.
	sqlShownAssociations = `
select p.sku, u.type, u.sku, coalesce(u.quantity, 0) from product p cross join ` + associationsBeside + `
cross join lateral (
    select target.id from product target left join product above on above.id = target.parent_id left join product top on top.id = above.parent_id
    where target.sku = u.sku and target.deleted_at is null and target.enabled and coalesce(above.enabled, true) and coalesce(top.enabled, true)
        and (target.parent_id is null or target.family_variant is null)
        and not exists (select from publication w where w.product_id in (target.id, above.id, top.id) and w.channel_id = @channel and ` + windowClosed + `)
    offset 0 -- each by its keys
) target
where p.sku = any(@skus::text[]) order by p.sku, u.type, u.side, u.position, u.sku collate "C"`
)

// associations are the associations of products that are there, and of deleted ones
// those with which they come back.
func associations(ctx context.Context, q querier, skus []string) (there, deleted map[pim.SKU]pim.Associations, err error) {
	rows, err := q.Query(ctx, sqlAssociations, named{"skus": skus})
	if err != nil {
		return nil, nil, err
	}
	there, deleted = make(map[pim.SKU]pim.Associations, len(skus)), map[pim.SKU]pim.Associations{}
	var (
		sku  pim.SKU
		gone bool
		raw  []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&sku, &gone, &raw}, func() error {
		a := pim.Associations{}
		if raw != nil {
			if err := json.Unmarshal(raw, &a); err != nil {
				return fmt.Errorf("decode the associations of %s: %w", sku, err)
			}
		}
		if gone {
			deleted[sku] = a
		} else {
			there[sku] = a
		}
		return nil
	})
	return there, deleted, err
}

// ShownAssociations are the associations of products with those that are there, enabled
// and published on a channel: what it is shown.
func (s *Store) ShownAssociations(ctx context.Context, channel pim.ChannelID, skus []string) (map[pim.SKU]pim.Associations, error) {
	rows, err := s.work.Query(ctx, sqlShownAssociations, pgx.NamedArgs{"channel": channel, "skus": skus})
	if err != nil {
		return nil, fmt.Errorf("read the associations of %d products: %w", len(skus), err)
	}
	out := map[pim.SKU]pim.Associations{}
	var (
		sku  pim.SKU
		kind string
		a    pim.Association
	)
	_, err = pgx.ForEachRow(rows, []any{&sku, &kind, &a.SKU, &a.Quantity}, func() error {
		if out[sku] == nil {
			out[sku] = pim.Associations{}
		}
		out[sku][kind] = append(out[sku][kind], a)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the associations of %d products: %w", len(skus), err)
	}
	return out, nil
}

// touchAssociated is a bit of an outbox row's lanes, as touchTree: a product that it
// is associated with came, went, was enabled or disabled, or published somewhere, or
// not any more.
const touchAssociated = 32

// associationsShown: there is a channel whose mapping shows associations.
const associationsShown = `exists (select from channel c where c.deleted_at is null and c.marks_associations <> 0)`

const (
	// associationsAtOnce is how many such products one statement takes.
	associationsAtOnce = 1000
	// associatesNow is how many of those that are associated with them an edit puts on
	// the road before it answers; those beyond are the sweeper's, associatesLater in
	// each statement.
	associatesNow   = 5_000
	associatesLater = 50_000
)

// sqlAssociationChanges queues the next products that are associated with those that
// came or went, or with variants of these, where there is a channel whose mapping shows
// that. A change of which not all are queued is where the next step goes on.
const sqlAssociationChanges = `
with taken as (
    select id, product_id, at, after from association_change order by id limit @changes for update skip locked
),
came as (
    select t.id as change, t.at, t.after, t.product_id, p.sku from taken t cross join lateral (select sku from product p where p.id = t.product_id offset 0) p
    union all
    select t.id, t.at, t.after, v.id, v.sku from taken t cross join lateral (` + variantsBelow + `) v
),
found as (
    select f.change, f.id, min(f.at) as at from (
        select c.change, a.product_id as id, c.at from came c cross join lateral ( -- no more of each are looked at than are taken
            select distinct a.product_id from association a cross join lateral (select from product p where p.id = a.product_id and p.deleted_at is null offset 0) p
            where a.target = c.sku and a.product_id > c.after order by 1 limit @limit
        ) a
        union all
        select c.change, o.id, c.at from came c join association a on a.product_id = c.product_id
        join association_type k on k.code = a.type and k.definition @> '{"two_way": true}' join product o on o.sku = a.target where o.id > c.after
    ) f cross join lateral (select from product p where p.id = f.id and p.deleted_at is null offset 0) p -- by its key
    where ` + associationsShown + `
    group by 1, 2 order by 1, 2 limit @limit
),
cut as ( -- the change at which the limit was met
    select change, max(id) as id from found where (select count(*) from found) >= @limit group by 1 order by 1 desc limit 1
),
queued as (
    insert into outbox (product_id, lanes, priority, at) select id, @lanes::smallint, 0, min(at) from found group by 1 order by 1 returning 1
),
moved as (
    update association_change c set after = cut.id from cut where c.id = cut.change
),
ended as (
    delete from association_change c using taken t where c.id = t.id and c.id < coalesce((select change from cut), 9223372036854775807)
)
select (select count(*) from taken), (select count(*) from queued)`

// OpenAssociationChanges queues the products that are associated with others that
// came or went, and says how many they are. It is a statement of its own behind
// the change's commit, as OpenTreeChanges is, for the same reason.
func (s *Store) OpenAssociationChanges(ctx context.Context) (n int, err error) {
	for {
		taken, queued, err := s.openAssociations(ctx, associatesLater)
		if n += queued; err != nil || taken == 0 {
			return n, err
		}
	}
}

func (s *Store) openAssociations(ctx context.Context, limit int) (taken, queued int, err error) {
	args := pgx.NamedArgs{"changes": associationsAtOnce, "limit": limit, "lanes": int16(touchAssociated)}
	if err := s.pool.QueryRow(ctx, sqlAssociationChanges, args).Scan(&taken, &queued); err != nil {
		return 0, 0, fmt.Errorf("look at changes of associated products: %w", err)
	}
	if queued > 0 {
		s.nudged()
	}
	return taken, queued, nil
}
