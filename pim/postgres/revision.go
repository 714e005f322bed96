package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Revision is a product as it stood at one content revision.
type Revision struct {
	SKU     pim.SKU
	Rev     int64
	At      time.Time
	Type    string          // of the event that made it; "" where only the product itself tells of it any more
	Actor   string          // who made it
	Data    json.RawMessage // of the event: what it changed
	Current bool
	Deleted bool    // it is a deletion: there is no State
	Parent  pim.SKU // then
	State   pim.State
}

// sqlRevision reads a product as it is, the event of a revision, and, of each
// value and field that later events changed, what the first of them found. The
// events of a life end with a deletion, whose data has everything that went:
// then that is what the later events are taken from. See docs/decisions/001.
const sqlRevision = `
with p as (
    select p.*, coalesce(parent.sku, '') as parent from product p left join product parent on parent.id = p.parent_id where p.sku = @sku
),
made as (
    select e.* from event e where e.product_id = (select id from p) and e.rev = @rev and e.lanes & 1 <> 0 order by e.id desc limit 1
),
gone as (
    select e.rev, e.data from event e where e.product_id = (select id from p) and e.rev > @rev and e.type = 'product.deleted' order by e.id limit 1
),
later as (
    select e.id, e.data from event e
    where e.product_id = (select id from p) and e.rev > @rev and e.type = 'product.updated' and e.rev < coalesce((select rev from gone), 9223372036854775807)
),
was as (
    select distinct on (v.key) v.key, v.value -> 'old' as old from later cross join lateral jsonb_each(later.data -> 'values') v order by v.key, later.id
),
fields as (
    select distinct on (f.key) f.key, f.value -> 'old' as old from later cross join lateral jsonb_each(later.data - 'values') f order by f.key, later.id
)
select p.rev, p.deleted_at is not null, p.updated_at, p.parent, p.family, coalesce(p.family_variant, ''), p.enabled, p.categories, p.values, ` + associationsOf + `,
       made.at, coalesce(made.type, ''), coalesce(made.actor, ''), made.data, (select data from gone),
       (select jsonb_object_agg(key, old) from was), (select jsonb_object_agg(key, old) from fields)
from p left join made on true`

// Revision reads a product as it stood at a content revision; ErrNotFound where
// there is no such product, where it never had that revision, and where its event
// was dropped with its month.
func (s *Store) Revision(ctx context.Context, sku pim.SKU, rev int64) (*Revision, error) {
	r := Revision{SKU: sku, Rev: rev}
	var (
		now, values, gone, was, fields []byte
		linked                         []byte
		newest                         int64
		deleted                        bool
		updated                        time.Time
		at                             *time.Time
	)
	err := s.pool.QueryRow(ctx, sqlRevision, pgx.NamedArgs{"sku": sku, "rev": rev}).Scan(&newest, &deleted, &updated, &r.Parent, &r.State.Family,
		&r.State.FamilyVariant, &r.State.Enabled, &r.State.Categories, &now, &linked, &at, &r.Type, &r.Actor, &values, &gone, &was, &fields)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && at == nil && rev != newest {
		return nil, fmt.Errorf("revision %d of product %s: %w", rev, sku, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read revision %d of product %s: %w", rev, sku, err)
	}
	r.At, r.Data, r.Current = updated, values, rev == newest
	if at != nil {
		r.At = *at
	}
	if r.Deleted = r.Type == pim.EventProductDeleted || r.Current && deleted; r.Deleted {
		r.State = pim.State{}
		return &r, nil
	}
	if linked != nil {
		if err := json.Unmarshal(linked, &r.State.Associations); err != nil {
			return nil, fmt.Errorf("decode the associations of product %s: %w", sku, err)
		}
	}
	if err := r.rebuild(now, gone, was, fields); err != nil {
		return nil, fmt.Errorf("rebuild revision %d of product %s: %w", rev, sku, err)
	}
	return &r, nil
}

// rebuild takes what newer events changed out of the product as it is, or as
// it went.
func (r *Revision) rebuild(now, gone, was, fields []byte) (err error) {
	if r.State.Values, err = pim.DecodeStored(now); err != nil {
		return err
	}
	if gone != nil {
		if err := r.asItWent(gone); err != nil {
			return err
		}
	}
	old, err := pim.DecodeStored(was)
	if err != nil {
		return err
	}
	values := pim.Values{}
	for code, v := range r.State.Values {
		if _, changed := old[code]; !changed {
			values[code] = v
		}
	}
	for code, v := range old {
		if v != nil {
			values[code] = v
		}
	}
	r.State.Values = values
	if fields == nil {
		return nil
	}
	var f stateFields
	if err := json.Unmarshal(fields, &f); err != nil {
		return err
	}
	f.into(&r.State)
	if f.Parent != nil {
		r.Parent = *f.Parent
	}
	return nil
}

// stateFields are fields of a State as events have them: absent where none changed.
type stateFields struct {
	Family     *string   `json:"family"`
	Variant    *string   `json:"family_variant"`
	Enabled    *bool     `json:"enabled"`
	Categories *[]string `json:"categories"`
	Parent     *pim.SKU  `json:"parent"` // that a variant moved from

	Associations *pim.Associations `json:"associations"`
}

func (f stateFields) into(s *pim.State) {
	if f.Family != nil {
		s.Family = *f.Family
	}
	if f.Variant != nil {
		s.FamilyVariant = *f.Variant
	}
	if f.Enabled != nil {
		s.Enabled = *f.Enabled
	}
	if f.Categories != nil {
		s.Categories = *f.Categories
	}
	if f.Associations != nil {
		s.Associations = *f.Associations
	}
}

// asItWent is the state that a deletion says. Its values are decoded as all
// stored ones are: no digit of a number is lost.
func (r *Revision) asItWent(deletion []byte) error {
	type went[T any] struct {
		Old T `json:"old"`
	}
	var d struct {
		Family     went[string]                     `json:"family"`
		Variant    went[string]                     `json:"family_variant"`
		Enabled    went[bool]                       `json:"enabled"`
		Categories went[[]string]                   `json:"categories"`
		Parent     went[pim.SKU]                    `json:"parent"`
		Values     map[string]went[json.RawMessage] `json:"values"`
	}
	if err := json.Unmarshal(deletion, &d); err != nil {
		return err
	}
	r.Parent = d.Parent.Old
	r.State = pim.State{Associations: r.State.Associations, Family: d.Family.Old, FamilyVariant: d.Variant.Old, Enabled: d.Enabled.Old, Categories: d.Categories.Old, Values: pim.Values{}}
	for code, v := range d.Values {
		old, err := pim.DecodeJSON(v.Old, pim.MaxDepth)
		if err != nil {
			return err
		}
		r.State.Values[code] = old
	}
	return nil
}

// Changes are what two revisions of a product differ in, and what they were.
// One that is a deletion has nothing: everything differs.
func (s *Store) Changes(ctx context.Context, sku pim.SKU, from, to int64) ([]pim.FieldChange, error) {
	a, err := s.Revision(ctx, sku, from)
	if err != nil {
		return nil, err
	}
	b, err := s.Revision(ctx, sku, to)
	if err != nil {
		return nil, err
	}
	list := s.Schema().FieldChanges(a.State, b.State)
	if a.Parent != b.Parent {
		list = append(list, pim.FieldChange{Field: "parent", Old: a.Parent, New: b.Parent})
		slices.SortStableFunc(list, func(x, y pim.FieldChange) int { return strings.Compare(x.Field, y.Field) })
	}
	return list, nil
}

// RestoreEdit is the edit that makes a product what it was at rev; 0: a deleted
// one what it was when it went. What the schema has no place for any more is left
// out and told as warnings. The error is ErrNotFound, also for a revision that is
// a deletion; for 0 of a product that is there ErrExists.
func (s *Store) RestoreEdit(ctx context.Context, sku pim.SKU, rev int64) (Edit, error) {
	gone, err := s.deleted(ctx, sku)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Edit{}, err
	}
	r := gone
	switch {
	case rev != 0:
		if r, err = s.Revision(ctx, sku, rev); err == nil && r.Deleted {
			err = fmt.Errorf("restore product %s: revision %d is its deletion: %w", sku, rev, ErrNotFound)
		}
	case gone == nil:
		if _, there := s.ProductRevision(ctx, sku); there == nil {
			err = fmt.Errorf("restore product %s: it is not deleted: %w", sku, ErrExists)
		}
	}
	if err != nil {
		return Edit{}, err
	}
	schema, err := s.RefreshSchema(ctx)
	if err != nil {
		return Edit{}, err
	}
	categories := slices.Concat([]string{}, r.State.Categories)
	e := Edit{
		SKU: sku, Mode: Put, Family: &r.State.Family, FamilyVariant: &r.State.FamilyVariant, Enabled: &r.State.Enabled, Categories: &categories,
		IfNoneMatch: rev == 0,
	}
	if gone != nil && gone.Parent != "" { // of a product that is there it is fixed
		e.Parent = &gone.Parent
	}
	e.Values, _ = newEditor(schema, nil, nil, nil).prune(r.State.Values, nil, r.State.Family)
	missing, err := missingRecords(ctx, s.pool, schema.RecordRefs(e.Values))
	if err != nil {
		return Edit{}, fmt.Errorf("look for the records of product %s: %w", sku, err)
	}
	e.Values = schema.WithoutRecords(e.Values, missing)
	if rev != 0 && len(schema.Associations) > 0 { // a deleted product comes back with those that it went with
		kept := r.State.Associations.Clone()
		maps.DeleteFunc(kept, func(t string, _ []pim.Association) bool { return schema.Associations[t] == nil })
		e.Associations = &kept
	}
	for _, c := range schema.FieldChanges(pim.State{Values: r.State.Values}, pim.State{Values: e.Values}) {
		e.Known = append(e.Known, pim.Problem{
			Pointer: "/values", Code: "restore.left_out", Detail: fmt.Sprintf("%s is left out: there is no place for it any more", c.Field),
		})
	}
	return e, nil
}

// RestoreProduct runs RestoreEdit's edit as actor; ifMatch is the revision that
// the product must be at, 0 for any. The error is also the edit's own.
func (s *Store) RestoreProduct(ctx context.Context, actor string, sku pim.SKU, rev, ifMatch int64) (EditResult, error) {
	e, err := s.RestoreEdit(ctx, sku, rev)
	if err != nil {
		return EditResult{}, err
	}
	e.IfMatch = ifMatch
	results, err := s.Edit(ctx, actor, []Edit{e})
	if err != nil {
		return EditResult{}, err
	}
	return results[0], results[0].Err
}

const sqlTombstone = `
select p.rev, coalesce(parent.sku, ''), p.family, coalesce(p.family_variant, ''), p.enabled, p.categories, p.values, p.updated_at
from product p left join product parent on parent.id = p.parent_id
where p.sku = @sku and p.deleted_at is not null`

// deleted is a deleted product as it was when it went; nil and ErrNotFound where
// there is none of that SKU.
func (s *Store) deleted(ctx context.Context, sku pim.SKU) (*Revision, error) {
	r := Revision{SKU: sku}
	var values []byte
	err := s.pool.QueryRow(ctx, sqlTombstone, pgx.NamedArgs{"sku": sku}).Scan(&r.Rev, &r.Parent, &r.State.Family, &r.State.FamilyVariant,
		&r.State.Enabled, &r.State.Categories, &values, &r.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("deleted product %s: %w", sku, ErrNotFound)
	}
	if err == nil {
		r.State.Values, err = pim.DecodeStored(values)
	}
	if err != nil {
		return nil, fmt.Errorf("read deleted product %s: %w", sku, err)
	}
	return &r, nil
}

const (
	sqlHistoryMonths    = `select history_months from catalogue`
	sqlSetHistoryMonths = `update catalogue set history_months = nullif(@months::integer, 0)`
	sqlDropHistory      = `select event_drop(history_months) from catalogue where history_months is not null`
	// sqlHistoryUnread: search and completeness have still to read what would be
	// dropped. A house that stood still for long would else never hear of it.
	sqlHistoryUnread = `
select exists (
    select from catalogue cross join (select xid, id from search_state union all select xid, id from completeness_state) s
    cross join lateral (select e.at from event e where (e.xid, e.id) > (s.xid, s.id) order by e.xid, e.id limit 1) n
    where n.at < now() - make_interval(months => history_months))`
)

// MaxHistoryMonths bounds how long history is said to be kept.
const MaxHistoryMonths = 1200

// dropHistory drops the old months of the log, unless somebody has still to read them.
func (s *Store) dropHistory(ctx context.Context) error {
	var unread bool
	if err := s.work.QueryRow(ctx, sqlHistoryUnread).Scan(&unread); err != nil || unread {
		return err
	}
	return s.partitions(ctx, sqlDropHistory, pgx.NamedArgs{})
}

// HistoryMonths is for how many months products' history is kept; 0: for ever.
func (s *Store) HistoryMonths(ctx context.Context) (int, error) {
	var months *int
	if err := s.pool.QueryRow(ctx, sqlHistoryMonths).Scan(&months); err != nil {
		return 0, fmt.Errorf("read how long history is kept: %w", err)
	}
	if months == nil {
		return 0, nil
	}
	return *months, nil
}

// SetHistoryMonths says it. What is older goes with the next tidying, by whole
// months. The error is a *pim.Invalid where it is out of bounds.
func (s *Store) SetHistoryMonths(ctx context.Context, months int) error {
	if months < 0 || months > MaxHistoryMonths {
		return &pim.Invalid{Problems: []pim.Problem{{Pointer: "/months", Code: "months", Detail: fmt.Sprintf("is from 1 to %d, or 0 for ever", MaxHistoryMonths)}}}
	}
	if _, err := s.pool.Exec(ctx, sqlSetHistoryMonths, pgx.NamedArgs{"months": months}); err != nil {
		return fmt.Errorf("say how long history is kept: %w", err)
	}
	return nil
}

// Untouched reports whether e, a merge patch, names nothing of what changed since
// its author looked: then it means the same now.
func (s *Store) Untouched(changes []pim.FieldChange, e *Edit) bool {
	fields := s.Schema().PatchFields(e.Values)
	for name, named := range map[string]bool{
		"family": e.Family != nil, "family_variant": e.FamilyVariant != nil, "enabled": e.Enabled != nil, "categories": e.Categories != nil, "parent": e.Parent != nil,
	} {
		if named {
			fields = append(fields, name)
		}
	}
	if e.Associations != nil {
		for t := range *e.Associations {
			fields = append(fields, "associations."+t)
		}
	}
	return !slices.ContainsFunc(changes, func(c pim.FieldChange) bool {
		return slices.ContainsFunc(fields, func(f string) bool { return pim.SameField(f, c.Field) })
	})
}
