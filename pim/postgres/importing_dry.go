package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ImportDryChunk is ImportChunk without the edits and offers: each is worked
// out against what is stored and against schema, which may be one that the
// store does not have yet, and nothing but the import's progress and report is
// written. The results say what ImportChunk would have done, but have no ID and
// revision of what would be new.
func (s *Store) ImportDryChunk(ctx context.Context, l Lease, schema *pim.Schema, edits []Edit, offers ImportOffers, tally func([]EditResult) ImportProgress) error {
	err := inTx(ctx, s.work, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlImportFence, l.args())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrFenced
		}
		results, err := s.tryChunk(ctx, tx, schema, edits, offers)
		if err != nil {
			return err
		}
		return s.importProgress(ctx, tx, l, tally(results))
	})
	if err != nil {
		return fmt.Errorf("try import %d: %w", l.Channel, err)
	}
	return nil
}

// TryImport tells what would become of a chunk by schema, as ImportDryChunk
// does, and writes nothing at all.
func (s *Store) TryImport(ctx context.Context, schema *pim.Schema, edits []Edit, offers ImportOffers) (results []EditResult, err error) {
	err = inTx(ctx, s.work, func(tx pgx.Tx) error {
		results, err = s.tryChunk(ctx, tx, schema, edits, offers)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("try %s: %w", describe(edits), err)
	}
	return results, nil
}

func (s *Store) tryChunk(ctx context.Context, tx pgx.Tx, schema *pim.Schema, edits []Edit, offers ImportOffers) ([]EditResult, error) {
	chunk, err := s.newImportEdits(ctx, dryActor, edits, offers)
	if err != nil {
		return nil, err
	}
	if err := s.tryEdits(ctx, tx, schema, edits, chunk); err != nil {
		return nil, err
	}
	return chunk.results, chunk.tryOffers(ctx, tx)
}

// dryActor is in no event that is kept.
const dryActor = "dry run"

// tryEdits works edits out as one who writes them would find them: a variant's
// parents may be among them, and then stand in for those that would be there.
func (s *Store) tryEdits(ctx context.Context, tx pgx.Tx, schema *pim.Schema, edits []Edit, chunk *ImportEdits) error {
	if len(edits) == 0 {
		return nil
	}
	all := make([]int, len(edits))
	for i := range all {
		all[i] = i
	}
	have, siblings, err := s.currents(ctx, tx, edits, all)
	if err != nil {
		return err
	}
	holders, err := s.holders(ctx, tx, schema, edits, all)
	if err != nil {
		return err
	}
	w := newEditor(schema, have, siblings, holders)
	if w.missing, err = missingRecords(ctx, tx, namedRecords(schema, edits, all)); err != nil {
		return err
	}
	if err := w.tryAssociating(ctx, tx, edits, all); err != nil {
		return err
	}
	results := chunk.results
	stand := int64(-1) // ids that no product has
	for _, stage := range stages(edits, chunk.bySKU) {
		for _, i := range stage {
			e := &edits[i]
			if w.ahead(e) && w.assumed(e) {
				was := have[e.SKU]
				results[i] = EditResult{SKU: e.SKU, Created: was == nil || was.Deleted, Changed: true, Warnings: e.Known}
				continue
			}
			wr, ok := w.work(i, e, &results[i])
			results[i].Changed = ok
			if !results[i].Created || have[e.SKU] != nil && !have[e.SKU].Deleted {
				continue
			}
			c := &current{ID: stand, SKU: e.SKU, Rev: 1, Family: wr.family, Enabled: true, Values: wr.values}
			if wr.variant != nil {
				c.FamilyVariant = *wr.variant
			}
			if wr.parentID != nil {
				c.Parent, c.ParentID = *e.Parent, *wr.parentID
			}
			have[e.SKU] = c
			stand--
		}
	}
	return nil
}

// ahead reports that e's parent would have been made by an earlier chunk of the same
// dry run.
func (w *editor) ahead(e *Edit) bool {
	if !e.ParentAhead || e.Parent == nil {
		return false
	}
	parent := w.have[*e.Parent]
	return parent == nil || parent.Deleted
}

// assumed reports a variant, which is new or moves, that can be looked at without its
// parent: it is only as good as its values are.
func (w *editor) assumed(e *Edit) bool {
	family, values, before := e.Family, e.Values, pim.Values(nil)
	if was := w.have[e.SKU]; was != nil && !was.Deleted {
		stored, err := pim.DecodeStored(was.Values)
		if err != nil || was.RootID == 0 {
			return false
		}
		if family, before = &was.Family, stored; e.Mode != Put {
			values = pim.PatchValues(stored, e.Values)
		}
	}
	if family == nil {
		return false
	}
	_, _, err := w.schema.CheckEdit(*family, values, before, "/values")
	return err == nil
}

// importProgress notes in tx how far an import has come.
func (s *Store) importProgress(ctx context.Context, tx pgx.Tx, l Lease, p ImportProgress) error {
	args := l.args()
	for k, v := range map[string]any{
		"rows_done": p.RowsDone, "rows_total": p.RowsTotal, "created": p.Created, "changed": p.Changed,
		"unchanged": p.Unchanged, "rejected": p.Rejected, "warnings": p.Warnings,
	} {
		args[k] = v
	}
	tag, err := tx.Exec(ctx, sqlImportProgress, args)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ErrFenced
	}
	return report(ctx, tx, int64(l.Channel), p.Findings)
}
