package tryton

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

const (
	// priceDigits are the digits after the point to which Tryton's sales round a
	// price (price_decimal of trytond/modules/product/ir.py).
	priceDigits = 4
	// maxRefused is how many products of a page may have no computable price
	// before the fault is the price list's.
	maxRefused = 10
)

// prices adds the price rows of a page. A product whose list price is empty has
// no price yet and is not spoken of; one whose list price is 0 has lost it:
// nothing shall be sold for nothing because a field was left at its default.
func (p *pull) prices(ctx context.Context, page []*variant) error {
	priced := map[int64][]*variant{} // by unit: Tryton computes in one at a time
	for _, v := range page {
		if v.Code == nil || *v.Code == "" {
			continue
		}
		if p.place.Full != nil {
			for _, o := range p.origins.lists {
				for _, step := range p.place.Full.Gone[o.code] {
					p.price(*v.Code, o.code, step, nil)
				}
			}
		}
		if !v.Active || v.ListPrice == nil {
			continue
		}
		if p.PriceList != "" {
			p.price(*v.Code, p.PriceList, 1, v.ListPrice)
		}
		if v.Salable && v.ListPrice.IsPos() {
			priced[v.Unit] = append(priced[v.Unit], v)
			continue
		}
		for _, o := range p.origins.lists {
			for _, step := range p.place.Lists[o.code].Steps {
				p.price(*v.Code, o.code, step, nil)
			}
		}
	}
	for _, o := range p.origins.lists {
		for unit, variants := range priced {
			if err := p.listPrices(ctx, o, unit, variants); err != nil {
				return err
			}
		}
	}
	return nil
}

// price adds one row. A price of nil or 0 removes what there is.
func (p *pull) price(sku pim.SKU, code string, step int, amount *number) {
	row := pim.PriceRow{SKU: sku, Price: pim.Price{PriceList: code, Currency: p.origins.currency, MinQuantity: step}}
	if row.Delete = amount == nil || !amount.IsPos(); !row.Delete {
		row.Amount = p.round(amount.Decimal)
		row.Delete = !row.Amount.IsPos()
	}
	if row.Delete {
		row.Amount = decimal.Decimal{}
	}
	p.pulled.Prices = append(p.pulled.Prices, row)
}

// round gives a price the digits that Tryton's sales give it, and no fewer than
// its currency has.
func (p *pull) round(d decimal.Decimal) decimal.Decimal {
	return d.Round(priceDigits).Trim(p.origins.digits).Pad(p.origins.digits)
}

// listPrices adds the rows of one price list for products of one unit: as Tryton
// itself computes them, formulas included, at each of the list's quantities.
func (p *pull) listPrices(ctx context.Context, o origin, unit int64, variants []*variant) error {
	codes, ids := map[int64]pim.SKU{}, []int64(nil)
	for _, v := range variants {
		codes[v.ID], ids = *v.Code, append(ids, v.ID)
	}
	for _, step := range p.place.Lists[o.code].Steps {
		w := p.house.words.with("price_list", o.id).with("quantity", step).with("uom", unit)
		computed, left := map[int64]*number{}, maxRefused
		if err := p.compute(ctx, w, ids, computed, &left); err != nil {
			return err
		}
		for _, id := range ids {
			if amount, ok := computed[id]; ok {
				p.price(codes[id], o.code, step, amount)
			}
		}
	}
	return nil
}

// compute asks for the prices of some products. One product that Tryton cannot
// compute a price of refuses the whole question, so that is halved; what remains
// alone is left out, and keeps the price it has here.
func (p *pull) compute(ctx context.Context, w words, ids []int64, computed map[int64]*number, left *int) error {
	var prices []struct {
		ID    int64
		Price *number `json:"sale_price_uom"`
	}
	_, err := p.server.read(ctx, "model.product.product.read", &prices, ids, []string{"sale_price_uom"}, w)
	switch e, refused := errors.AsType[*refusedError](err); {
	case err == nil:
		for _, price := range prices {
			computed[price.ID] = price.Price
		}
		return nil
	case !refused, e.other:
		return err
	case len(ids) == 1:
		if *left--; *left < 0 {
			return err
		}
		return nil
	}
	half := len(ids) / 2
	if err := p.compute(ctx, w, ids[:half], computed, left); err != nil {
		return err
	}
	return p.compute(ctx, w, ids[half:], computed, left)
}

// stock adds the stock rows of some products. What is reserved are moves that
// were assigned to leave. Of a warehouse its storage zone counts: what stands in
// its input zone is not put away, and what is in its output zone is sold. An
// inactive product has none, unless another one bears its code. Where only what
// moved is read, nothing is said of a product in a place that it never came to
// or left: Tryton answers 0 also for what it knows nothing of, such as products
// that were pushed a moment ago and whose stock was imported here.
func (p *pull) stock(ctx context.Context, products []*variant) error {
	if len(p.origins.places) == 0 {
		return nil
	}
	var (
		ids  []int64
		gone []pim.SKU
	)
	codes, bore := map[int64]pim.SKU{}, map[pim.SKU][]int64{}
	for _, v := range products {
		switch {
		case v.Code == nil || *v.Code == "" || v.Type == "service":
		case v.Active:
			codes[v.ID], ids = *v.Code, append(ids, v.ID)
		default:
			gone = append(gone, *v.Code)
			bore[*v.Code] = append(bore[*v.Code], v.ID)
		}
	}
	gone, err := p.unowned(ctx, gone)
	if err != nil {
		return err
	}
	for _, o := range p.origins.places {
		w := p.house.words.with("locations", []int64{o.id}).with("with_childs", true).with("stock_skip_warehouse", true)
		there, err := p.quantities(ctx, w, ids)
		if err != nil {
			return err
		}
		free, err := p.quantities(ctx, w.with("stock_assign", true), ids)
		if err != nil {
			return err
		}
		moved, err := p.moved(ctx, o, ids, there, free, bore)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if moved != nil && !moved[id] {
				continue
			}
			onHand := whole(there[id])
			p.pulled.Stock = append(p.pulled.Stock, pim.StockRow{SKU: codes[id], Stock: pim.Stock{
				Location: o.code, OnHand: onHand, Reserved: max(0, onHand-whole(free[id])),
			}})
		}
		for _, sku := range gone {
			if moved != nil && !slices.ContainsFunc(bore[sku], func(id int64) bool { return moved[id] }) {
				continue
			}
			p.pulled.Stock = append(p.pulled.Stock, pim.StockRow{SKU: sku, Stock: pim.Stock{Location: o.code}})
		}
	}
	return nil
}

// moved are the products that ever came to a place or left it; nil where it does
// not matter. What is there did, so only the others are asked for: a sold-out
// product may have many moves, hence page by page, less what was found.
func (p *pull) moved(ctx context.Context, o origin, ids []int64, there, free map[int64]float64, bore map[pim.SKU][]int64) (map[int64]bool, error) {
	if !p.OnlyMoved {
		return nil, nil //nolint:nilnil // all count
	}
	moved := map[int64]bool{}
	var unknown []int64
	for _, id := range ids {
		if there[id] != 0 || free[id] != 0 {
			moved[id] = true
			continue
		}
		unknown = append(unknown, id)
	}
	for _, gone := range bore {
		unknown = append(unknown, gone...)
	}
	slices.Sort(unknown)
	within := func(field string) []any { return []any{field, "child_of", []int64{o.id}, "parent"} }
	for len(unknown) > 0 {
		var page []struct{ Product int64 }
		domain := []any{
			[]any{"product", "in", unknown},
			[]any{"state", "in", []string{"assigned", "done"}},
			[]any{"OR", within("from_location"), within("to_location")},
		}
		if _, err := p.server.read(ctx, "model.stock.move.search_read", &page, domain, 0, pageSize, byID, []string{"product"}, p.house.words); err != nil {
			return nil, err
		}
		for _, m := range page {
			moved[m.Product] = true
		}
		left := slices.DeleteFunc(slices.Clone(unknown), func(id int64) bool { return moved[id] })
		if len(page) < pageSize || len(left) == len(unknown) {
			break
		}
		unknown = left
	}
	return moved, nil
}

// quantities asks for the quantities of products in the context's location, today.
func (p *pull) quantities(ctx context.Context, w words, ids []int64) (map[int64]float64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var found []struct {
		ID       int64
		Quantity float64
	}
	if _, err := p.server.read(ctx, "model.product.product.read", &found, ids, []string{"quantity"}, w); err != nil {
		return nil, err
	}
	table := make(map[int64]float64, len(found))
	for _, f := range found {
		table[f.ID] = f.Quantity
	}
	return table, nil
}

// unowned are those of the codes that no active product bears.
func (p *pull) unowned(ctx context.Context, codes []pim.SKU) ([]pim.SKU, error) {
	if len(codes) == 0 {
		return nil, nil
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	var active []struct{ Code pim.SKU }
	domain := []any{[]any{"code", "in", codes}, []any{"active", "=", true}}
	if _, err := p.server.read(ctx, "model.product.product.search_read", &active, domain, 0, len(codes), nil, []string{"code"}, p.house.words); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(codes, func(code pim.SKU) bool {
		for _, a := range active {
			if a.Code == code {
				return true
			}
		}
		return false
	}), nil
}

// whole is a quantity in whole pieces: what is begun cannot be sold.
func whole(q float64) int64 {
	const most = 1e12 // more than any store holds, and what the hub takes
	return int64(math.Floor(max(-most, min(most, q)) + 1e-9))
}
