package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Associations are edited under the locks of both sides: an edit of one side of a
// two-way type is one of the other, with a revision and an event of its own, and all
// of a batch's edits are written together or not at all. Both sides of a two-way
// association store it, each in its own order; of one that came after it was named
// only the other does, until an edit reaches it.

// associating is the part of a round that edits associations.
type associating struct {
	schema *pim.Schema
	have   map[pim.SKU]pim.Associations // as they are after the edits worked so far
	gone   map[pim.SKU]pim.Associations // of deleted products
	before map[pim.SKU]pim.Associations // of other sides, before the first edit that reached them
	locked map[pim.SKU]bool
	// waiting are how many have a product, of two-way types, that is not there: it
	// will have them.
	waiting map[associationsOfType]int

	changed map[associationsOfType]bool // whose list is another one
	dropped []goneSide
	wider   bool // somebody reaches a product that is not locked
}

// associationsOfType are a product's associations of a type.
type associationsOfType struct {
	sku  pim.SKU
	kind string
}

// goneSide is an association that other has no longer, whether it is there or not.
type goneSide struct {
	other pim.SKU
	kind  string
	sku   pim.SKU
}

var (
	errWider = errors.New("the edit reaches products that are not locked")
	errLost  = errors.New("another edit came between")
)

// associates reports whether one of the edits may change associations.
func associates(edits []Edit, todo []int) bool {
	return slices.ContainsFunc(todo, func(i int) bool { return edits[i].Associations != nil })
}

// reached are the SKUs that edits of associations may touch, beside their own.
func reached(ctx context.Context, q querier, edits []Edit, todo []int) ([]string, error) {
	own := mentioned(edits, todo)
	now, gone, err := associations(ctx, q, own)
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, sku := range own {
		all[sku] = true
	}
	add := func(a pim.Associations) {
		for _, list := range a {
			for _, x := range list {
				if pim.ValidSKU(string(x.SKU)) == nil {
					all[string(x.SKU)] = true
				}
			}
		}
	}
	for _, i := range todo {
		if e := &edits[i]; e.Associations != nil {
			add(*e.Associations)
			add(now[e.SKU])
			add(gone[e.SKU])
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// tryAssociating is try for edits of which some change associations.
func (b *batchEdit) tryAssociating(ctx context.Context, q querier, schema *pim.Schema, todo []int) (again []int, err error) {
	err = pgx.BeginFunc(ctx, q, func(tx pgx.Tx) error {
		skus, err := reached(ctx, tx, b.edits, todo)
		if err != nil {
			return err
		}
		if err := lockEdited(ctx, tx, skus, b.edits, todo); err != nil {
			return err
		}
		a, err := readAssociating(ctx, tx, schema, skus)
		if err != nil {
			return err
		}
		b.links = a
		defer func() { b.links = nil }()
		writes, _, err := b.work(ctx, tx, schema, todo)
		if err != nil {
			return err
		}
		if a.wider {
			return errWider
		}
		lost, err := b.store.write(ctx, tx, schema.Version, b.actor, b.priority, writes, b.results)
		if err != nil {
			return err
		}
		if len(lost) > 0 {
			return errLost
		}
		return a.write(ctx, tx, b)
	})
	if errors.Is(err, errWider) || errors.Is(err, errLost) || violates(err, "association_type_fkey") { // the type was deleted meanwhile
		return todo, nil
	}
	return again, err
}

// readAssociating reads what edits of associations of these products start from.
func readAssociating(ctx context.Context, q querier, schema *pim.Schema, skus []string) (a *associating, err error) {
	a = &associating{schema: schema, before: map[pim.SKU]pim.Associations{}, changed: map[associationsOfType]bool{}, locked: map[pim.SKU]bool{}}
	for _, sku := range skus {
		a.locked[pim.SKU(sku)] = true
	}
	if a.have, a.gone, err = associations(ctx, q, skus); err != nil {
		return nil, err
	}
	a.waiting, err = waitingAssociations(ctx, q, schema, skus)
	return a, err
}

// tryAssociating has edits that nobody writes see what they make of associations.
func (w *editor) tryAssociating(ctx context.Context, q querier, edits []Edit, todo []int) error {
	if !associates(edits, todo) {
		return nil
	}
	skus, err := reached(ctx, q, edits, todo)
	if err == nil {
		w.links, err = readAssociating(ctx, q, w.schema, skus)
	}
	return err
}

// set works out what an edit makes of its product's associations: before and after,
// nil where it changes none, and warnings.
func (a *associating) set(e *Edit, exists bool) (change *pim.Change, warnings []pim.Problem) {
	was := a.gone[e.SKU]
	if exists {
		was = a.have[e.SKU]
	}
	next := pim.Associations{}
	if e.Mode != Put {
		next = was.Clone()
	}
	for t, list := range *e.Associations {
		if next[t] = list; len(list) == 0 {
			delete(next, t)
		}
	}
	types := map[string]bool{}
	for t := range was {
		types[t] = true
	}
	for t := range next {
		types[t] = true
	}
	for _, t := range slices.Sorted(maps.Keys(types)) {
		for i, x := range (*e.Associations)[t] {
			if a.have[x.SKU] == nil {
				warnings = append(warnings, pim.Problem{
					Pointer: fmt.Sprintf("%s/%d", pim.JoinPointer("/associations", t), i), Code: "association.unknown", Detail: fmt.Sprintf("there is no product %q", x.SKU),
				})
			}
		}
		if slices.Equal(was[t], next[t]) {
			continue
		}
		a.changed[associationsOfType{e.SKU, t}] = true
		if k := a.schema.Associations[t]; k != nil && k.TwoWay {
			a.others(e.SKU, t, was, next)
		}
	}
	if was.Equal(next) {
		return nil, warnings
	}
	if first, reached := a.before[e.SKU]; reached { // its own event tells of both
		was = first
		delete(a.before, e.SKU)
	}
	a.have[e.SKU] = next
	return &pim.Change{Old: orNone(was), New: next}, warnings
}

func orNone(a pim.Associations) pim.Associations {
	if a == nil {
		return pim.Associations{}
	}
	return a
}

const sqlWaitingAssociations = `
select a.target, a.type, count(*) from association a join product o on o.id = a.product_id and o.deleted_at is null
where a.target = any(@skus::text[]) and a.type = any(@types::text[]) and not exists (select from product p where p.sku = a.target and p.deleted_at is null)
group by 1, 2`

func waitingAssociations(ctx context.Context, q querier, schema *pim.Schema, skus []string) (map[associationsOfType]int, error) {
	var types []string
	for t, k := range schema.Associations {
		if k.TwoWay {
			types = append(types, t)
		}
	}
	waiting := map[associationsOfType]int{}
	if len(types) == 0 {
		return waiting, nil
	}
	rows, err := q.Query(ctx, sqlWaitingAssociations, named{"skus": skus, "types": types})
	if err != nil {
		return nil, err
	}
	var (
		of associationsOfType
		n  int
	)
	_, err = pgx.ForEachRow(rows, []any{&of.sku, &of.kind, &n}, func() error {
		waiting[of] = n
		return nil
	})
	return waiting, err
}

// full are the places of an edit at which the other side of a two-way type has as many
// associations as a product may have.
func (a *associating) full(e *Edit, exists bool) (problems []pim.Problem) {
	was := a.gone[e.SKU]
	if exists {
		was = a.have[e.SKU]
	}
	for _, t := range slices.Sorted(maps.Keys(*e.Associations)) {
		if k := a.schema.Associations[t]; k == nil || !k.TwoWay {
			continue
		}
		for i, x := range (*e.Associations)[t] {
			n := len(a.have[x.SKU][t])
			if a.have[x.SKU] == nil {
				n = a.waiting[associationsOfType{x.SKU, t}]
			}
			if n >= pim.MaxAssociations && !was.Has(t, x.SKU) && !a.have[x.SKU].Has(t, e.SKU) {
				problems = append(problems, pim.Problem{
					Pointer: fmt.Sprintf("%s/%d", pim.JoinPointer("/associations", t), i), Code: "association.many",
					Detail: fmt.Sprintf("product %q has %d associations of this two-way type, and may not have more", x.SKU, n),
				})
			}
		}
	}
	return problems
}

// others lets the other sides of a two-way type have, or lose, the product.
func (a *associating) others(sku pim.SKU, kind string, was, next pim.Associations) {
	reach := func(other pim.SKU, do func(pim.Associations)) {
		if !a.locked[other] {
			a.wider = true
		}
		now := a.have[other]
		if now == nil {
			return // not there
		}
		if a.before[other] == nil {
			a.before[other] = now
		}
		now = now.Clone()
		do(now)
		a.have[other] = now
		a.changed[associationsOfType{other, kind}] = true
	}
	for _, x := range was[kind] {
		if !next.Has(kind, x.SKU) {
			a.dropped = append(a.dropped, goneSide{x.SKU, kind, sku})
			reach(x.SKU, func(now pim.Associations) { now.Without(kind, sku) })
		}
	}
	for _, x := range next[kind] {
		if !was.Has(kind, x.SKU) {
			if a.have[x.SKU] == nil {
				a.waiting[associationsOfType{x.SKU, kind}]++
			}
			reach(x.SKU, func(now pim.Associations) { now.With(kind, sku) })
		}
	}
}

const (
	// sqlDropAssociations takes all of a product's type away, or of it target.
	sqlDropAssociations = `
delete from association a using unnest(@skus::text[], @types::text[], @targets::text[]) d (sku, type, target), product p
where p.sku = d.sku and a.product_id = p.id and a.type = d.type and (d.target = '' or a.target = d.target)`
	sqlPutAssociations = `
insert into association (product_id, type, target, position, quantity)
select p.id, i.type, i.target, i.position, nullif(i.quantity, 0)
from unnest(@skus::text[], @types::text[], @targets::text[], @positions::int[], @quantities::int[]) i (sku, type, target, position, quantity)
join product p on p.sku = i.sku`
	// sqlTouchOtherSides gives the other sides, whose rows are locked, a revision of
	// what the edit made of them.
	sqlTouchOtherSides = `
with up as (
    update product p set rev = p.rev + 1, updated_at = now() from unnest(@skus::text[], @data::jsonb[]) i (sku, data)
    where p.sku = i.sku and p.deleted_at is null returning p.id, p.rev, i.data
),
logged as (
    insert into event (product_id, rev, lanes, type, actor, data) select id, rev, 1, 'product.updated', @actor, data from up order by id
)
insert into outbox (product_id, lanes, priority) select id, 1, @priority::smallint from up order by id`
)

// write stores what the edits that went through made of associations.
func (a *associating) write(ctx context.Context, tx pgx.Tx, b *batchEdit) error {
	if len(a.changed) == 0 {
		return nil
	}
	var (
		cleared, clearedTypes, clearedTargets []string
		owners, types, targets                []string
		positions, quantities                 []int32
	)
	drop := func(sku pim.SKU, kind string, target pim.SKU) {
		cleared, clearedTypes, clearedTargets = append(cleared, string(sku)), append(clearedTypes, kind), append(clearedTargets, string(target))
	}
	for _, d := range a.dropped {
		drop(d.other, d.kind, d.sku)
	}
	for c := range a.changed {
		drop(c.sku, c.kind, "")
		for i, x := range a.have[c.sku][c.kind] {
			owners, types, targets = append(owners, string(c.sku)), append(types, c.kind), append(targets, string(x.SKU))
			positions, quantities = append(positions, int32(i)), append(quantities, int32(x.Quantity))
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(sqlDropAssociations, pgx.NamedArgs{"skus": cleared, "types": clearedTypes, "targets": clearedTargets})
	batch.Queue(sqlPutAssociations, pgx.NamedArgs{"skus": owners, "types": types, "targets": targets, "positions": positions, "quantities": quantities})
	var skus []string
	var data [][]byte
	for _, sku := range slices.Sorted(maps.Keys(a.before)) {
		if old, now := a.before[sku], a.have[sku]; !old.Equal(now) {
			skus, data = append(skus, string(sku)), append(data, mustJSON(changes{Associations: &pim.Change{Old: old, New: now}}))
		}
	}
	if len(skus) > 0 {
		batch.Queue(sqlTouchOtherSides, pgx.NamedArgs{"skus": skus, "data": data, "actor": b.actor, "priority": int16(b.priority)})
	}
	return tx.SendBatch(ctx, batch).Close()
}
