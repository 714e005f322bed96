package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// EditMode says what an Edit does.
type EditMode int

// The modes.
const (
	Put    EditMode = iota // make the product equal to the edit, creating it when there is none
	Patch                  // change what the edit names (JSON merge patch), never creating
	Merge                  // as Patch, creating the product when there is none
	Delete                 // withdraw it everywhere
)

// Edit is one product's wanted change. In Patch and Merge, nil fields stay.
type Edit struct {
	SKU         pim.SKU
	Mode        EditMode
	IfMatch     int64 // the content revision the caller saw; 0: any
	IfNoneMatch bool  // only when there is no such product yet
	Family      *string
	KeepFamily  bool // Family is for a product that is not there yet
	// Spare is an attribute whose value is left out where a product that keeps its
	// family has none such: it says no more than the SKU does.
	Spare         string
	Parent        *pim.SKU // of a variant; once the product exists, another sub-model of its root model alone
	FamilyVariant *string  // of a root model; a sub-model has its parent's
	Enabled       *bool
	Categories    *[]string
	Values        pim.Values // Patch, Merge: a merge patch, null deletes
	// Associations are, by type, all of that type; of Put all there are. nil: they
	// stay as they are, in any mode.
	Associations *pim.Associations
	// ParentAhead says that the parent stands in the same import: where a dry
	// run has not made it, it is taken to be there.
	ParentAhead bool
	// Known are warnings that the caller found on the way here; they count as
	// this edit's own in its result.
	Known []pim.Problem
}

// EditResult is what became of one Edit. Err is ErrNotFound, ErrStale,
// ErrExists, ErrInUse (deleting a parent of variants), *pim.Invalid, or nil.
type EditResult struct {
	SKU      pim.SKU
	ID       pim.ProductID
	Rev      int64
	Created  bool
	Changed  bool // Created included
	Warnings []pim.Problem
	Err      error
}

// current is what an edit starts from.
type current struct {
	ID            int64
	SKU           pim.SKU
	Rev, MediaRev int64
	Family        string
	FamilyVariant string
	Parent        pim.SKU
	ParentID      int64
	RootID        int64 // the parent's parent
	Enabled       bool
	Deleted       bool
	Variants      bool // has living variants
	Categories    []string
	Records       []string // the keys of the records that its own values name
	Values        []byte
}

// Whether a product has variants is asked as a limited subquery, since of an
// exists PostgreSQL makes a hash of all variants when it plans on an empty
// database, and keeps that plan while the catalogue grows.
const (
	sqlCurrent = currentWhere + `p.sku = any(@skus)`
	// Of one product by its SKU alone: for an array PostgreSQL would plan anew
	// at each edit, which costs more than the reading.
	sqlCurrentOne = currentWhere + `p.sku = @sku`
)

const currentWhere = `
select p.id, p.sku, p.rev, p.media_rev, p.family, coalesce(p.family_variant, ''), coalesce(parent.sku, ''), coalesce(p.parent_id, 0), coalesce(parent.parent_id, 0),
       p.enabled, p.deleted_at is not null,
       coalesce((select true from product c where c.parent_id = p.id and c.deleted_at is null limit 1), false),
       p.categories, p.records, p.values
from product p left join product parent on parent.id = p.parent_id
where `

// write is an edit worked out against current: one row of sqlEdit.
type write struct {
	at         int // index into the edits
	id         int64
	rev        int64 // expected; of an insert 0
	parentID   *int64
	parentRev  *int64 // of a variant that is new, or moves: its parent's revision that this was worked out from
	oldParent  *int64 // of a variant that goes, moves, or comes back elsewhere: whose revision it takes in
	oldRoot    *int64 // that one's parent, likewise
	alone      bool   // only right as long as the product has no variants
	sku        pim.SKU
	family     string
	variant    *string
	axis       *string
	enabled    bool
	deleted    bool
	comes      bool // it comes, goes, moves, is enabled or disabled, which associated products may show
	media      bool
	lanes      pim.Lanes
	categories []byte
	records    []byte   // keys of the records that the values name
	named      []string // those of them that it did not name before
	values     []byte
	event      string
	data       []byte
	uniques
}

// sqlEdit is hop one of the main road, in one round trip and atomically: the
// product and its revisions, its event, its outbox row. A row whose revision
// moved, whose SKU was created meanwhile, or whose parent is not what it was,
// is left alone and does not come back; if the schema's version moved, all are.
//
// Rows are locked in the order of their ids, and never FOR UPDATE: what has a foreign
// key to the row, such as windows and associations, would wait for editors.
//
// The revision that a target sees of a variant is its own plus its parents'.
// A tombstone has none, so a deletion takes their revisions in; a variant that
// comes back under another parent takes in the old ones' media revisions, which
// tombstones go on counting; one that moves takes in both. Else they would fall.
//
// A record that a product comes to name is held until the commit, so that
// whoever deletes it waits, and sees the product; a row whose records are gone
// is left alone, too.
const sqlEdit = `
with guard as (select from catalogue where version = @schema),
input as (
    select * from unnest(@at::int[], @id::bigint[], @rev::bigint[], @parent::bigint[], @parent_rev::bigint[], @old_parent::bigint[], @old_root::bigint[],
                         @sku::text[], @family::text[], @variant::text[],
                         @axis::text[], @enabled::boolean[], @deleted::boolean[], @comes::boolean[], @media::boolean[], @lanes::smallint[],
                         @categories::jsonb[], @records::jsonb[], @named::jsonb[], @values::jsonb[], @event::text[], @data::jsonb[])
        as i (at, id, rev, parent_id, parent_rev, old_parent, old_root, sku, family, family_variant, axis_key, enabled, deleted, comes, media, lanes,
              categories, records, named, values, type, data)
),
locked as (
    select p.id, p.rev, p.media_rev from product p
    where p.id = any(@locks::bigint[]) and exists (select from guard) order by p.id for no key update
),
ready as (select count(*) as n from locked), -- all locks first, in their order
held as (select ref from record where ref = any(@held::text[]) order by ref for key share),
updated as (
    update product p set
        rev = p.rev + 1 + case when p.deleted_at is null
            then coalesce((select sum(o.rev)::bigint from locked o where o.id in (i.old_parent, i.old_root)), 0) else 0 end,
        media_rev = p.media_rev + i.media::int + case when not i.deleted
            then coalesce((select sum(o.media_rev)::bigint from locked o where o.id in (i.old_parent, i.old_root)), 0) else 0 end,
        updated_at = now(), deleted_at = case when i.deleted then now() end, parent_id = i.parent_id,
        enabled = i.enabled, family = i.family, family_variant = i.family_variant, axis_key = i.axis_key,
        categories = array(select jsonb_array_elements_text(i.categories)), records = array(select jsonb_array_elements_text(i.records)), values = i.values
    from input i
    where (select n from ready) > 0 and p.id = i.id and p.rev = i.rev
      and (i.parent_rev is null or (i.parent_id, i.parent_rev) in (select id, rev from locked))
      and array(select jsonb_array_elements_text(i.named)) <@ array(select ref from held)
    returning i.at, p.id, p.rev, i.lanes, i.type, i.data
),
inserted as (
    insert into product (sku, parent_id, media_rev, enabled, family, family_variant, axis_key, categories, records, values)
    select i.sku, i.parent_id, i.media::int, i.enabled, i.family, i.family_variant, i.axis_key,
           array(select jsonb_array_elements_text(i.categories)), array(select jsonb_array_elements_text(i.records)), i.values
    from input i, guard
    where (select n from ready) >= 0 and i.rev = 0
      and (i.parent_rev is null or (i.parent_id, i.parent_rev) in (select id, rev from locked))
      and array(select jsonb_array_elements_text(i.named)) <@ array(select ref from held)
    order by i.sku
    on conflict (sku) do nothing
    returning id, rev, sku
),
done as (
    select * from updated
    union all
    -- A full join is never done by a loop in a loop, which the planner takes for the cheapest: it expects few rows here.
    select i.at, n.id, n.rev, i.lanes, i.type, i.data
    from inserted n full join (select * from input where rev = 0) i on i.sku = n.sku where coalesce(n.id, 0) <> 0
),
logged as (
    insert into event (product_id, rev, lanes, type, actor, data) select id, rev, lanes, type, @actor, data from done order by at
),
come as (
    insert into association_change (product_id) select d.id from done d join input i on i.at = d.at where i.comes order by 1
),
queued as (
    insert into outbox (product_id, lanes, priority) select id, lanes, @priority::smallint from done order by at
)
select at, id, rev from done`

// Edit works off edits of products, at most 1,000 and of different SKUs, as
// actor. Each succeeds or fails for itself, with all of its problems; what
// succeeds is durable, with its event, when Edit returns. Of edits with the
// same SKU all but the first are refused: which of them came first is the
// caller's to know. The error is only of the database.
func (s *Store) Edit(ctx context.Context, actor string, edits []Edit) ([]EditResult, error) {
	b := s.newBatch(actor, interactive, edits)
	if err := b.run(ctx, s.pool); err != nil {
		return nil, fmt.Errorf("edit %s: %w", describe(edits), err)
	}
	s.nudged()
	if b.comes {
		_, _, _ = s.openAssociations(ctx, associatesNow) // else the sweeper does it
	}
	return b.results, nil
}

func describe(edits []Edit) string {
	if len(edits) == 1 {
		return "product " + string(edits[0].SKU)
	}
	return fmt.Sprintf("%d products", len(edits))
}

// priority orders the outbox; sold out, 2, is sqlStock's to give.
type priority int16

const (
	bulk        priority = 0
	interactive priority = 1
)

// querier is a pool or a transaction.
type querier interface {
	Begin(ctx context.Context) (pgx.Tx, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// write applies writes and gives the indexes of those that lost a race. Those
// that take unique values are written together or not at all: where another
// edit was faster, the next round sees with which product.
func (s *Store) write(ctx context.Context, q querier, version int64, actor string, p priority, writes []write, results []EditResult) (again []int, err error) {
	if len(writes) == 0 {
		return nil, nil
	}
	if !slices.ContainsFunc(writes, func(w write) bool { return w.any() }) {
		return s.writeRows(ctx, q, version, actor, p, writes, results)
	}
	err = pgx.BeginFunc(ctx, q, func(tx pgx.Tx) error {
		if again, err = s.writeRows(ctx, tx, version, actor, p, writes, results); err != nil {
			return err
		}
		lost := make(map[int]bool, len(again))
		for _, at := range again {
			lost[at] = true
		}
		return claim(ctx, tx, writes, results, lost)
	})
	if !violates(err, uniqueConstraint) && !violates(err, uniqueOfNone) {
		return again, err
	}
	again = again[:0]
	for i := range writes {
		again = append(again, writes[i].at)
	}
	return again, nil
}

func (s *Store) writeRows(ctx context.Context, q querier, version int64, actor string, p priority, writes []write, results []EditResult) ([]int, error) {
	n := len(writes)
	var (
		at                       = make([]int32, n)
		id, rev                  = make([]int64, n), make([]int64, n)
		parent, parentRev        = make([]*int64, n), make([]*int64, n)
		oldParent, oldRoot       = make([]*int64, n), make([]*int64, n)
		sku, family, event       = make([]string, n), make([]string, n), make([]string, n)
		variant, axis            = make([]*string, n), make([]*string, n)
		enabled, deleted, media  = make([]bool, n), make([]bool, n), make([]bool, n)
		lanes                    = make([]int16, n)
		categories, values, data = make([][]byte, n), make([][]byte, n), make([][]byte, n)
		locks                    = make([]int64, 0, n)
		records, naming          = make([][]byte, n), make([][]byte, n)
		held                     = []string{}
		comes                    = make([]bool, n)
	)
	lost := make(map[int]bool, n)
	for i, w := range writes {
		at[i], id[i], rev[i], parent[i], parentRev[i], oldParent[i], oldRoot[i] = int32(w.at), w.id, w.rev, w.parentID, w.parentRev, w.oldParent, w.oldRoot
		sku[i], family[i], variant[i], axis[i], event[i] = string(w.sku), w.family, w.variant, w.axis, w.event
		enabled[i], deleted[i], comes[i], media[i], lanes[i] = w.enabled, w.deleted, w.comes, w.media, int16(w.lanes)
		categories[i], values[i], data[i] = w.categories, w.values, w.data
		records[i], naming[i], held = w.records, texts(w.named), append(held, w.named...)
		lost[w.at] = true
		if w.rev > 0 {
			locks = append(locks, w.id)
		}
		if w.parentRev != nil {
			locks = append(locks, *w.parentID)
		}
		for _, old := range []*int64{w.oldParent, w.oldRoot} {
			if old != nil {
				locks = append(locks, *old)
			}
		}
	}
	rows, err := q.Query(ctx, sqlEdit, named{
		"schema": version, "actor": actor, "priority": int16(p), "at": at, "id": id, "rev": rev, "parent": parent, "parent_rev": parentRev,
		"old_parent": oldParent, "old_root": oldRoot, "locks": locks, "sku": sku, "family": family,
		"variant": variant, "axis": axis, "enabled": enabled, "deleted": deleted, "comes": comes, "media": media, "lanes": lanes,
		"categories": categories, "records": records, "named": naming, "held": held, "values": values, "event": event, "data": data,
	})
	if err != nil {
		return nil, err
	}
	var (
		i       int32
		pid, rv int64
	)
	_, err = pgx.ForEachRow(rows, []any{&i, &pid, &rv}, func() error {
		results[i].ID, results[i].Rev, results[i].Changed = pim.ProductID(pid), rv, true
		delete(lost, int(i))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(lost)), nil
}

const sqlSiblings = `
select parent_id, axis_key, sku from product
where parent_id = any(@parents) and axis_key is not null and deleted_at is null`

type axisOf struct {
	parent int64
	key    string
}

func (s *Store) currents(ctx context.Context, q querier, edits []Edit, todo []int) (map[pim.SKU]*current, map[axisOf]pim.SKU, error) {
	parents := map[pim.SKU]bool{}
	for _, i := range todo {
		if p := edits[i].Parent; p != nil {
			parents[*p] = true
		}
	}
	skus := mentioned(edits, todo)
	sql, args := sqlCurrent, named{"skus": skus}
	if len(skus) == 1 {
		sql, args = sqlCurrentOne, named{"sku": skus[0]}
	}
	rows, err := q.Query(ctx, sql, args)
	if err != nil {
		return nil, nil, err
	}
	have := make(map[pim.SKU]*current, len(skus))
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*current, error) {
		var c current
		return &c, r.Scan(&c.ID, &c.SKU, &c.Rev, &c.MediaRev, &c.Family, &c.FamilyVariant, &c.Parent, &c.ParentID, &c.RootID,
			&c.Enabled, &c.Deleted, &c.Variants, &c.Categories, &c.Records, &c.Values)
	})
	if err != nil {
		return nil, nil, err
	}
	var parentIDs, missing []int64
	for _, c := range list {
		have[c.SKU] = c
		if c.ParentID != 0 {
			parentIDs = append(parentIDs, c.ParentID)
			if have[c.Parent] == nil {
				missing = append(missing, c.ParentID)
			}
		}
		if parents[c.SKU] {
			parentIDs = append(parentIDs, c.ID)
		}
	}
	if len(parentIDs) == 0 {
		return have, nil, nil
	}
	if len(missing) > 0 {
		if err := s.parents(ctx, q, missing, have); err != nil {
			return nil, nil, err
		}
	}
	rows, err = q.Query(ctx, sqlSiblings, named{"parents": parentIDs})
	if err != nil {
		return nil, nil, err
	}
	siblings := map[axisOf]pim.SKU{}
	var (
		a   axisOf
		sku pim.SKU
	)
	_, err = pgx.ForEachRow(rows, []any{&a.parent, &a.key, &sku}, func() error {
		siblings[a] = sku
		return nil
	})
	return have, siblings, err
}

// sqlParents has no values of root models: what a variant's own are held against
// are its sub-model's.
const sqlParents = `
select id, sku, family, coalesce(family_variant, ''), coalesce(parent_id, 0), deleted_at is not null, case when parent_id is not null then values end
from product where id = any(@ids)`

// parents adds the parents that the edits do not name.
func (s *Store) parents(ctx context.Context, q querier, ids []int64, have map[pim.SKU]*current) error {
	rows, err := q.Query(ctx, sqlParents, named{"ids": ids})
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*current, error) {
		var c current
		return &c, r.Scan(&c.ID, &c.SKU, &c.Family, &c.FamilyVariant, &c.ParentID, &c.Deleted, &c.Values)
	})
	for _, c := range list {
		if have[c.SKU] == nil {
			have[c.SKU] = c
		}
	}
	return err
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
