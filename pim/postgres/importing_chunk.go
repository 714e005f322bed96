package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ImportOffers are the prices, stock levels and windows of publication of a
// chunk's products, each at most once by its key.
type ImportOffers struct {
	Prices  []pim.PriceRow
	Stock   []pim.StockRow
	Windows []pim.PublicationRow
}

// None reports that there are none.
func (o *ImportOffers) None() bool { return len(o.Prices)+len(o.Stock)+len(o.Windows) == 0 }

// ImportEdits are a chunk's edits and offers on their way into the store.
type ImportEdits struct {
	batches []*batchEdit // products that others may need first, then what stands below them
	places  [][]int      // of the batches' edits among the chunk's
	results []EditResult // in the order of the chunk's edits
	bySKU   map[pim.SKU]int
	prices  *offerBatch // nil: none
	stock   *offerBatch
	windows *offerBatch
}

// stages puts products before what may stand below them: those without a parent,
// what has one, and what stands below that.
func stages(edits []Edit, bySKU map[pim.SKU]int) (list [1 + pim.MaxLevels][]int) {
	for i := range edits {
		level, at := 0, i
		for level < pim.MaxLevels && edits[at].Parent != nil {
			level++
			above, here := bySKU[*edits[at].Parent]
			if !here {
				break
			}
			at = above
		}
		list[level] = append(list[level], i)
	}
	return list
}

func (s *Store) newImportEdits(ctx context.Context, actor string, edits []Edit, offers ImportOffers) (*ImportEdits, error) {
	c := &ImportEdits{results: make([]EditResult, len(edits)), bySKU: make(map[pim.SKU]int, len(edits))}
	for i := range edits {
		c.results[i].SKU = edits[i].SKU
		if _, twice := c.bySKU[edits[i].SKU]; !twice {
			c.bySKU[edits[i].SKU] = i
		}
	}
	for _, places := range stages(edits, c.bySKU) {
		if len(places) == 0 {
			continue
		}
		part := edits
		if len(places) < len(edits) {
			part = make([]Edit, len(places))
			for i, at := range places {
				part[i] = edits[at]
			}
		}
		c.batches = append(c.batches, s.newBatch(actor, bulk, part))
		c.places = append(c.places, places)
	}
	var err error
	if len(offers.Prices) > 0 {
		if c.prices, err = s.priceBatch(ctx, actor, offers.Prices); err != nil {
			return nil, err
		}
		c.prices.args["priority"] = int16(bulk)
	}
	if len(offers.Stock) > 0 {
		if c.stock, err = s.stockBatch(ctx, actor, offers.Stock); err != nil {
			return nil, err
		}
		c.stock.args["priority"] = int16(bulk)
	}
	if len(offers.Windows) > 0 {
		if c.windows, err = s.publicationBatch(ctx, actor, offers.Windows); err != nil {
			return nil, err
		}
		c.windows.args["priority"] = int16(bulk)
	}
	return c, nil
}

// PrepareImport works a chunk's edits out ahead of ImportChunk, as far as they
// do not depend on each other or on chunks before them, so that the processor
// works on one chunk while the database writes another. It writes nothing.
// Variants may stand anywhere among the edits: what stands above them is
// written first. Offers of a product whose edit is refused are left out; one
// that is refused itself is a fault of the caller, who checks them before.
func (s *Store) PrepareImport(ctx context.Context, actor string, edits []Edit, offers ImportOffers) (*ImportEdits, error) {
	c, err := s.newImportEdits(ctx, actor, edits, offers)
	if err == nil && len(c.batches) > 0 && edits[c.places[0][0]].Parent == nil {
		err = c.batches[0].prepare(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", describe(edits), err)
	}
	return c, nil
}

// ImportChunk writes, durably, a chunk's edits, its offers and the import's
// progress in one transaction under l, so that a restart goes on exactly
// behind it. tally turns the edits' results, which are changed also when only a
// price or stock level is, into the progress. The edits are used up.
func (s *Store) ImportChunk(ctx context.Context, l Lease, edits *ImportEdits, tally func([]EditResult) ImportProgress) error {
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sqlImportFence, l.args())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrFenced
		}
		for i, b := range edits.batches {
			if err := b.run(ctx, tx); err != nil {
				return err
			}
			for j, at := range edits.places[i] {
				edits.results[at] = b.results[j]
			}
		}
		if err := edits.offers(ctx, tx); err != nil {
			return err
		}
		return s.importProgress(ctx, tx, l, tally(edits.results))
	})
	if err != nil {
		return fmt.Errorf("import %d: %w", l.Channel, err)
	}
	s.nudged()
	return nil
}

// offers writes those of products whose edits went through.
func (c *ImportEdits) offers(ctx context.Context, tx pgx.Tx) error {
	for _, b := range []*offerBatch{c.prices, c.stock, c.windows} {
		if b == nil {
			continue
		}
		if err := c.withoutRefused(b).run(ctx, tx); err != nil {
			return err
		}
		for i := range b.results {
			at, known := c.bySKU[b.results[i].SKU]
			if !known || c.results[at].Err != nil {
				continue
			}
			switch b.results[i].Status {
			case RowChanged:
				c.results[at].Changed = true
			case RowRejected, RowHeld:
				c.results[at].Warnings = append(c.results[at].Warnings, b.results[i].Problems...)
			}
		}
	}
	return nil
}

// withoutRefused takes the rows out of b whose products were refused.
func (c *ImportEdits) withoutRefused(b *offerBatch) *offerBatch {
	refused := []string{}
	for _, r := range c.results {
		if r.Err != nil {
			refused = append(refused, string(r.SKU))
		}
	}
	if len(refused) == 0 {
		return b
	}
	gone := make(map[string]bool, len(refused))
	for _, sku := range refused {
		gone[sku] = true
	}
	skus, _ := b.args["sku"].([]string)
	kept := make([]int32, 0, len(b.good))
	for i, at := range b.good {
		if gone[skus[i]] {
			skus[i] = "" // no product has it
			continue
		}
		kept = append(kept, at)
	}
	b.good = kept
	return b
}

var errTried = errors.New("tried")

// tryOffers finds out which offers would change something, by writing them and
// taking that back.
func (c *ImportEdits) tryOffers(ctx context.Context, tx pgx.Tx) error {
	if c.prices == nil && c.stock == nil && c.windows == nil {
		return nil
	}
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		// Of a product that is not there yet they are part of its creation.
		before := make([][]pim.Problem, len(c.results))
		for i := range c.results {
			before[i] = c.results[i].Warnings
		}
		if err := c.offers(ctx, tx); err != nil {
			return err
		}
		for i := range c.results {
			if c.results[i].Created {
				c.results[i].Warnings = before[i]
			}
		}
		return errTried
	})
	if errors.Is(err, errTried) {
		return nil
	}
	return err
}
