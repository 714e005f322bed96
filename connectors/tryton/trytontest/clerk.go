package trytontest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// Level is a product's stock in one warehouse, in whole pieces.
type Level struct {
	OnHand   int64 `json:"on_hand"`
	Reserved int64 `json:"reserved"`
}

// Opening is what a clerk enters of a product.
type Opening struct {
	ListPrice string           `json:"list_price,omitempty"` // "" says nothing of it
	Stock     map[string]Level `json:"stock,omitempty"`      // by the warehouse's code
}

// Know has a clerk enter a product's list price and stock. What is not there yet
// gets them when it comes. A list price that several products of one template
// would have is not entered: it would be another's, too.
func (f *Fake) Know(sku pim.SKU, o Opening) error {
	for code := range o.Stock {
		if f.warehouse(code) == 0 {
			return fmt.Errorf("entering the stock of %s: there is no warehouse %q", sku, code)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.bump()
	if r := f.bySKU(sku); r != nil {
		return f.enter(r, o)
	}
	all := f.openings[sku]
	if all == nil {
		all = &Opening{Stock: map[string]Level{}}
		f.openings[sku] = all
	}
	if o.ListPrice != "" {
		all.ListPrice = o.ListPrice
	}
	maps.Copy(all.Stock, o.Stock)
	f.ledger.Put(tableOpenings, string(sku), all)
	return nil
}

// arrive enters what is known of products that came. Callers hold mu.
func (f *Fake) arrive(products []int64) {
	for _, id := range products {
		r := f.table("product.product")[id]
		code, _ := r["code"].(string)
		o := f.openings[pim.SKU(code)]
		if o == nil {
			continue
		}
		delete(f.openings, pim.SKU(code))
		f.ledger.Put(tableOpenings, code, nil)
		if err := f.enter(r, *o); err != nil {
			f.violate("%v", err)
		}
	}
}

// enter writes an opening. Callers hold mu.
func (f *Fake) enter(r rec, o Opening) error {
	template := r["template"].(int64)
	if o.ListPrice != "" && len(f.with("product.product", "template", template)) == 1 {
		d, err := decimal.Parse(o.ListPrice)
		if err != nil {
			return fmt.Errorf("entering the list price of %v: %w", r["code"], err)
		}
		if have, ok := f.listPrice(f.table("product.template")[template]); !ok || have.Cmp(d) != 0 {
			tx := f.begin(words{"company": float64(companyID), "language": "en"})
			if err := tx.write("product.template", template, map[string]any{"list_price": d}); err != nil {
				tx.rollback()
				return err
			}
			if err := tx.commit(); err != nil {
				return err
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(o.Stock)) {
		f.level(r, f.warehouse(code), o.Stock[code])
	}
	return nil
}

// Count has somebody count a product in a warehouse, or "" in each of them: what
// is more or less than expected moves from or to a supplier. What is reserved
// beyond it is not any more.
func (f *Fake) Count(sku pim.SKU, warehouse string, pieces int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.bySKU(sku)
	if r == nil {
		return fmt.Errorf("counting stock: there is no product %s", sku)
	}
	codes := f.opts.Warehouses
	if warehouse != "" || len(codes) == 0 {
		codes = []string{warehouse}
	}
	for _, code := range codes {
		storage := f.warehouse(code)
		if storage == 0 {
			return fmt.Errorf("counting stock: there is no warehouse %q", code)
		}
		_, reserved, _ := f.stocked(r, storage)
		f.level(r, storage, Level{pieces, min(reserved, pieces)})
	}
	f.bump()
	return nil
}

// warehouse is the storage zone of a warehouse; "" is the first one, 0 none.
func (f *Fake) warehouse(code string) int64 {
	if code == "" || code == "WH" {
		return storageID
	}
	if i := slices.Index(f.opts.Warehouses, code); i >= 0 {
		return warehousesFrom + 2*int64(i) + 1
	}
	return 0
}

// stocked is what stands in a storage zone, and the move that reserves of it.
func (f *Fake) stocked(r rec, storage int64) (onHand, reserved, assigned int64) {
	for _, id := range f.with("stock.move", "product", r["id"]) {
		m := f.table("stock.move")[id]
		n := int64(m["quantity"].(float64))
		switch {
		case m["state"] == "done" && m["to_location"] == storage:
			onHand += n
		case m["state"] == "done" && m["from_location"] == storage:
			onHand -= n
		case m["state"] == "assigned" && m["from_location"] == storage:
			reserved, assigned = reserved+n, id
		}
	}
	return onHand, reserved, assigned
}

// level moves goods until a storage zone holds l.
func (f *Fake) level(r rec, storage int64, l Level) {
	onHand, reserved, assigned := f.stocked(r, storage)
	if n := l.OnHand - onHand; n > 0 {
		f.move(r, supplierID, storage, float64(n), "done")
	} else if n < 0 {
		f.move(r, storage, supplierID, float64(-n), "done")
	}
	switch {
	case l.Reserved == reserved:
	case assigned == 0:
		f.move(r, storage, customerID, float64(l.Reserved), "assigned")
	default:
		m := maps.Clone(f.table("stock.move")[assigned])
		m["quantity"], m["write_date"] = max(0, m["quantity"].(float64)+float64(l.Reserved-reserved)), f.stamp()
		f.put("stock.move", assigned, m)
	}
}

// move makes a stock move, and gives its id. Callers hold mu.
func (f *Fake) move(r rec, from, to int64, quantity float64, state string) int64 {
	id := f.ids["stock.move"] + 1
	f.put("stock.move", id, rec{
		"id": id, "product": r["id"], "from_location": from, "to_location": to, "quantity": quantity, "state": state,
		"create_date": f.stamp(), "write_date": nil,
	})
	return id
}
