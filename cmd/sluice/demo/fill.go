//go:build unix

package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	// fillBatch is how many products are made at once: whole blocks, so that
	// a parent and its variants are in the same batch.
	fillBatch = 25 * block
	// offerRows is how many prices or stock levels the store takes at once.
	offerRows = 1000
	actor     = "demo"
)

// fill brings the catalogue to its size, going on where the last start ended,
// and calls ready once there is something to see.
func (d *demo) fill(ctx context.Context, ready func() error) error {
	have := d.house.state.Catalogue
	if have >= d.Products {
		if have > d.Products {
			d.say("The catalogue has %d products already; they stay.", have)
		}
		return ready()
	}
	started, said := time.Now(), time.Now()
	for n := have; n < d.Products; {
		next := min(n-n%fillBatch+fillBatch, d.Products)
		if err := d.fillBatch(ctx, n+1, next); err != nil {
			return err
		}
		first := n == have
		n = next
		d.house.state.Catalogue = n
		if err := d.house.save(); err != nil {
			return err
		}
		if first {
			if err := ready(); err != nil {
				return err
			}
		}
		if time.Since(said) > 2*time.Second {
			said = time.Now()
			d.say("Made %d of %d products …", n, d.Products)
		}
	}
	d.say("The catalogue has %d products (made in %s).", d.Products, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// fillBatch makes the products numbered from up to to, with their offers. Doing
// it again, after a start that was killed in its middle, makes what is missing.
func (d *demo) fillBatch(ctx context.Context, from, to int) error {
	var first, variants []postgres.Edit
	articles := make([]article, 0, to-from+1)
	for n := from; n <= to; n++ {
		a := generate(n)
		articles = append(articles, a)
		if a.edit.Parent == nil {
			first = append(first, a.edit)
		} else {
			variants = append(variants, a.edit)
		}
	}
	for _, edits := range [][]postgres.Edit{first, variants} {
		if err := d.create(ctx, edits); err != nil {
			return err
		}
	}
	var prices []pim.PriceRow
	var stock []pim.StockRow
	for _, a := range articles {
		prices, stock = append(prices, a.prices...), append(stock, a.stock...)
	}
	for len(prices) > 0 {
		n := min(len(prices), offerRows)
		if err := rejected(d.node.Store.SetPrices(ctx, actor, prices[:n], postgres.Idempotency{})); err != nil {
			return err
		}
		prices = prices[n:]
	}
	for len(stock) > 0 {
		n := min(len(stock), offerRows)
		if err := rejected(d.node.Store.SetStock(ctx, actor, stock[:n], postgres.Idempotency{})); err != nil {
			return err
		}
		stock = stock[n:]
	}
	return nil
}

func (d *demo) create(ctx context.Context, edits []postgres.Edit) error {
	if len(edits) == 0 {
		return nil
	}
	results, err := d.node.Store.Edit(ctx, actor, edits)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil && !errors.Is(r.Err, postgres.ErrExists) {
			return fmt.Errorf("make product %s: %w", r.SKU, r.Err)
		}
	}
	return nil
}

func rejected(results []postgres.RowResult, err error) error {
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Status == postgres.RowRejected {
			return fmt.Errorf("set the offer of %s: %s", r.SKU, r.Problems[0].Detail)
		}
	}
	return nil
}
