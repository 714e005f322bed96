package postgres

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Edits are optimistic: read, work out, write under the revision that was
// read, and once more when another writer came between. After calmTries lost
// races the rows are locked before they are read, so that a product which many
// edit at once cannot starve one of them; maxEditTries is then only reached by
// a schema that never stands still.
const (
	calmTries    = 3
	maxEditTries = 20
)

// batchEdit is one call's edits on their way.
type batchEdit struct {
	store    *Store
	actor    string
	priority priority
	edits    []Edit
	results  []EditResult
	todo     []int // indexes of edits that are not through
	ahead    *ahead
	comes    bool         // a product came, went, was enabled or disabled, and there are associations
	links    *associating // of a round that edits associations
}

// ahead is a first round that was worked out before its turn to write came.
type ahead struct {
	schema *pim.Schema
	writes []write
}

func (s *Store) newBatch(actor string, p priority, edits []Edit) *batchEdit {
	b := &batchEdit{store: s, actor: actor, priority: p, edits: edits, results: make([]EditResult, len(edits)), todo: make([]int, 0, len(edits))}
	seen := make(map[pim.SKU]bool, len(edits))
	for i := range edits {
		sku := edits[i].SKU
		b.results[i].SKU = sku
		if seen[sku] {
			b.results[i].Err = &pim.Invalid{Problems: []pim.Problem{{
				Pointer: "/sku", Code: "sku.twice", Detail: "an edit of this SKU stands further up already: send them one after the other",
			}}}
			continue
		}
		seen[sku] = true
		b.todo = append(b.todo, i)
	}
	return b
}

// prepare works the first round out on what is committed now. What it finds
// wrong is looked at again in the round that writes, and so is everything when
// one of the edits depends on other products: what is written until then may
// be what it needs.
func (b *batchEdit) prepare(ctx context.Context) error {
	if associates(b.edits, b.todo) {
		return nil // it is worked out under locks
	}
	schema := b.store.Schema()
	writes, alone, err := b.work(ctx, b.store.work, schema, b.todo)
	if err != nil || alone || slices.ContainsFunc(writes, func(w write) bool { return w.parentID != nil || w.oldParent != nil }) {
		return err
	}
	b.ahead = &ahead{schema, writes}
	return nil
}

// run brings all edits through; the error is only of the database.
func (b *batchEdit) run(ctx context.Context, q querier) error {
	_, callers := q.(pgx.Tx) // a failed statement fails the caller's transaction: no second try
	schema := b.store.Schema()
	for try := 0; len(b.todo) > 0; try++ {
		if try == maxEditTries {
			for _, i := range b.todo {
				b.results[i].Err = ErrStale
			}
			break
		}
		if try > 0 {
			var err error
			if schema, err = b.store.loadSchema(ctx, q); err != nil {
				return err
			}
		}
		if a := b.ahead; a != nil {
			again, err := b.store.write(ctx, q, a.schema.Version, b.actor, b.priority, a.writes, b.results)
			if err != nil {
				return err
			}
			b.ahead, b.todo = nil, append(again, b.refused()...)
			continue
		}
		again, err := b.try(ctx, q, schema, b.todo, try >= calmTries)
		if err != nil {
			if callers || !lostRace(err) {
				return err
			}
			continue // nothing of this round was written
		}
		if b.todo = again; try == 0 {
			stale, err := b.outdated(ctx, q, schema)
			if err != nil {
				return err
			}
			b.todo = append(b.todo, stale...)
		}
	}
	return nil
}

// refused are the edits that were found wrong, but for those that are wrong
// whatever is stored.
func (b *batchEdit) refused() (list []int) {
	for i := range b.results {
		if b.results[i].Err != nil && !b.twice(i) {
			list = append(list, i)
		}
	}
	return list
}

// lostRace reports errors of a write that came too late for what it was worked
// out from: another variant took its axes, its family was deleted, or two
// edits wait for each other. The next round sees why, and says it.
func lostRace(err error) bool {
	return deadlocked(err) || violates(err, "product_axes") || violates(err, "product_family_fkey")
}

// outdated gives the edits that were refused by a schema which is not the
// newest any more: another process may have made what they need.
func (b *batchEdit) outdated(ctx context.Context, q querier, used *pim.Schema) ([]int, error) {
	refused := slices.DeleteFunc(b.refused(), func(i int) bool {
		_, invalid := errors.AsType[*pim.Invalid](b.results[i].Err)
		return !invalid
	})
	if len(refused) == 0 {
		return nil, nil
	}
	newest, err := b.store.loadSchema(ctx, q)
	if err != nil || newest.Version == used.Version {
		return nil, err
	}
	return refused, nil
}

// twice reports an edit that was refused for an earlier one of its SKU.
func (b *batchEdit) twice(i int) bool {
	for j := range i {
		if b.edits[j].SKU == b.edits[i].SKU {
			return true
		}
	}
	return false
}

// sqlLockProducts locks products, and above those that may leave their parents the
// models, whose revisions they take in: the write, which locks these too, would else
// lock what comes first last.
const sqlLockProducts = `
select from product where id = any(array(
    select id from product where sku = any(@skus)
    union all
    select unnest(array[p.parent_id, (select parent.parent_id from product parent where parent.id = p.parent_id)]) from product p where p.sku = any(@leaving)))
order by id for no key update`

// lockEdited locks them before edits are worked out.
func lockEdited(ctx context.Context, tx pgx.Tx, skus []string, edits []Edit, todo []int) error {
	leaving := []string{}
	for _, i := range todo {
		if e := &edits[i]; (e.Mode == Delete || e.Parent != nil) && pim.ValidSKU(string(e.SKU)) == nil {
			leaving = append(leaving, string(e.SKU))
		}
	}
	_, err := tx.Exec(ctx, sqlLockProducts, named{"skus": skus, "leaving": leaving})
	return err
}

// try works todo out and writes it, and gives those that lost a race. A write
// that counts on its product having no variants is worked out under the
// product's lock, which a new variant takes too: no snapshot could tell.
func (b *batchEdit) try(ctx context.Context, q querier, schema *pim.Schema, todo []int, lock bool) ([]int, error) {
	if associates(b.edits, todo) {
		return b.tryAssociating(ctx, q, schema, todo)
	}
	if !lock {
		writes, alone, err := b.work(ctx, q, schema, todo)
		if err != nil {
			return nil, err
		}
		if !alone {
			return b.store.write(ctx, q, schema.Version, b.actor, b.priority, writes, b.results)
		}
	}
	var again []int
	err := pgx.BeginFunc(ctx, q, func(tx pgx.Tx) error {
		if err := lockEdited(ctx, tx, mentioned(b.edits, todo), b.edits, todo); err != nil {
			return err
		}
		writes, _, err := b.work(ctx, tx, schema, todo)
		if err != nil {
			return err
		}
		again, err = b.store.write(ctx, tx, schema.Version, b.actor, b.priority, writes, b.results)
		return err
	})
	return again, err
}

func (b *batchEdit) work(ctx context.Context, q querier, schema *pim.Schema, todo []int) (writes []write, alone bool, err error) {
	have, siblings, err := b.store.currents(ctx, q, b.edits, todo)
	if err != nil {
		return nil, false, err
	}
	holders, err := b.store.holders(ctx, q, schema, b.edits, todo)
	if err != nil {
		return nil, false, err
	}
	w := newEditor(schema, have, siblings, holders)
	if w.missing, err = missingRecords(ctx, q, namedRecords(schema, b.edits, todo)); err != nil {
		return nil, false, err
	}
	w.links = b.links
	for _, i := range todo {
		if wr, ok := w.work(i, &b.edits[i], &b.results[i]); ok {
			writes = append(writes, wr)
			alone, b.comes = alone || wr.alone, b.comes || wr.comes
		}
	}
	return writes, alone, nil
}

// namedRecords are the keys of records that edits name, each once.
func namedRecords(schema *pim.Schema, edits []Edit, todo []int) (refs []string) {
	seen := map[string]bool{}
	for _, i := range todo {
		for _, ref := range schema.RecordRefs(edits[i].Values) {
			if ref = storable(ref); !seen[ref] {
				seen[ref] = true
				refs = append(refs, ref)
			}
		}
	}
	return refs
}

// mentioned are the SKUs that edits name, as products or parents. What is no SKU
// is left out: it cannot be there, and PostgreSQL may not even take its text.
func mentioned(edits []Edit, todo []int) []string {
	skus := make([]string, 0, len(todo))
	add := func(sku pim.SKU) {
		if pim.ValidSKU(string(sku)) == nil {
			skus = append(skus, string(sku))
		}
	}
	for _, i := range todo {
		add(edits[i].SKU)
		if p := edits[i].Parent; p != nil {
			add(*p)
		}
	}
	return skus
}
