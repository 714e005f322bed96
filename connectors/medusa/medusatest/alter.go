package medusatest

import (
	"maps"
	"slices"

	"github.com/sluicehub/sluice/pim"
)

// Alter lets a person at the shop's admin change what a SKU has in a lane: its
// title, its first price, or its first picture.
func (f *Fake) Alter(sku pim.SKU, lane pim.Lane) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.state.bySKU(string(sku))
	var p *product
	for _, it := range f.state.ordered() {
		if it.externalID == string(sku) || p == nil && v != nil && it.id == v.product {
			p = it
		}
	}
	switch {
	case p == nil:
	case lane == pim.Content && p.externalID == string(sku):
		p.title += " (sale)"
	case lane == pim.Content:
		v.title += " (sale)"
	case lane == pim.Offer && v != nil && len(v.prices) > 0:
		v.prices = slices.Clone(v.prices)
		v.prices[0].amount = "1"
	case lane == pim.Media && len(p.images) > 0:
		p.images = slices.Clone(p.images[1:])
	}
}

// Edit lets a person at the shop's admin change fields by the names that Medusa has
// for them: a product's, or with ofVariant those of the variant that has the SKU.
// false where Medusa refuses it, or has no such thing.
func (f *Fake) Edit(sku pim.SKU, ofVariant bool, fields map[string]any) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &tx{state: f.state}
	body := maps.Clone(fields)
	var err error
	if v := f.state.bySKU(string(sku)); ofVariant && v != nil {
		body["id"] = v.id
		_, err = t.updateVariant(body)
	} else if ids := f.state.external[string(sku)]; !ofVariant && len(ids) > 0 {
		body["id"] = ids[0]
		_, err = t.updateProduct(body)
	} else {
		return false
	}
	if err != nil {
		t.rollback()
	}
	return err == nil
}
