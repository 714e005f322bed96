package woocommercetest

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/sluicehub/sluice/connectors/fakeworks"
)

// The tables of the shop's ledger.
const (
	tableProducts   = "product"
	tableCategories = "category"
	tableLibrary    = "picture"
	tableShop       = "shop" // the last id that was given, under "last"
)

// keptProduct is a product with what the shop's answers do not tell of it.
type keptProduct struct {
	Product

	Choices []Choice `json:"kept_choices"`
	Offered bool     `json:"kept_offered"`
	Shown   bool     `json:"kept_shown"`
}

type keptImage struct {
	Image

	Origin string `json:"kept_origin"`
}

func (p *Product) kept() keptProduct { return keptProduct{*p, p.choices, p.offered, p.shown} }

func (i *Image) kept() keptImage { return keptImage{*i, i.Origin} }

func keyOf(id int64) string { return strconv.FormatInt(id, 10) }

// open reads what an earlier process left at path, and keeps what comes there.
func (f *Fake) open(path string) (err error) {
	f.ledger, err = fakeworks.Open(path, f.load, f.all)
	return err
}

// load takes one record of the ledger.
func (f *Fake) load(table, key string, value json.RawMessage) error {
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil && table != tableShop {
		return fmt.Errorf("%s %q: %w", table, key, err)
	}
	switch table {
	case tableShop:
		return json.Unmarshal(value, &f.lastID)
	case tableCategories:
		c := &Category{}
		f.categories[id] = c
		return json.Unmarshal(value, c)
	case tableLibrary:
		var k keptImage
		if err := json.Unmarshal(value, &k); err != nil {
			return err
		}
		k.Image.Origin = k.Origin
		f.library[id] = &k.Image
	case tableProducts:
		if p := f.products[id]; p != nil {
			f.unindex(p)
			delete(f.products, id)
		}
		if value == nil {
			return nil
		}
		var k keptProduct
		if err := json.Unmarshal(value, &k); err != nil {
			return err
		}
		p := &k.Product
		p.choices, p.offered, p.shown = k.Choices, k.Offered, k.Shown
		for i := range p.Images {
			if held := f.library[p.Images[i].ID]; held != nil {
				p.Images[i].Origin = held.Origin
			}
		}
		f.products[id] = p
		f.index(p)
	}
	return nil
}

// all gives every record, pictures before the products that show them.
func (f *Fake) all(put func(table, key string, value any)) {
	put(tableShop, "last", f.lastID)
	for id, c := range f.categories {
		put(tableCategories, keyOf(id), c)
	}
	for id, i := range f.library {
		put(tableLibrary, keyOf(id), i.kept())
	}
	for id, p := range f.products {
		put(tableProducts, keyOf(id), p.kept())
	}
}

// touch notes that a product was changed, or is gone. Callers hold mu.
func (f *Fake) touch(id int64) {
	if p := f.products[id]; p != nil {
		f.ledger.Put(tableProducts, keyOf(id), p.kept())
	} else {
		f.ledger.Put(tableProducts, keyOf(id), nil)
	}
}

// keep writes what the call at hand changed. Callers hold mu.
func (f *Fake) keep() {
	if err := f.ledger.Flush(); err != nil {
		f.violated("%v", err)
		f.ledger = nil
	}
}

// Fresh reports that the shop was to be kept in a file, and none was there.
func (f *Fake) Fresh() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ledger.Fresh()
}

// closeLedger ends the keeping; what is still going on is not kept.
func (f *Fake) closeLedger() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.ledger.Close() // every line was written already
	f.ledger = nil
}
