package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ImportDryChunk is ImportChunk without the edits: each is worked out against
// what is stored and against schema, which may be one that the store does not
// have yet, and nothing but the import's progress and report is written. The
// results say what ImportChunk would have done, but have no ID and revision of
// what would be new.
func (s *Store) ImportDryChunk(ctx context.Context, l Lease, schema *pim.Schema, edits []Edit, tally func([]EditResult) ImportProgress) error {
	err := inTx(ctx, s.work, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlImportFence, l.args())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrFenced
		}
		results := make([]EditResult, len(edits))
		if len(edits) > 0 {
			all := make([]int, len(edits))
			for i := range all {
				all[i] = i
			}
			have, siblings, err := s.currents(ctx, tx, edits, all)
			if err != nil {
				return err
			}
			w := newEditor(schema, have, siblings)
			for i := range edits {
				_, results[i].Changed = w.work(i, &edits[i], &results[i])
			}
		}
		return s.importProgress(ctx, tx, l, tally(results))
	})
	if err != nil {
		return fmt.Errorf("try import %d: %w", l.Channel, err)
	}
	return nil
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
