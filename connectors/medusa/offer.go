package medusa

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"

	"github.com/sluicehub/sluice/connectors"
)

// known is where a SKU's offer goes. It is remembered as a mere cache: whatever
// Medusa refuses is looked up anew and tried once more.
type known struct {
	variant, product string
	item             string // of the inventory; "" where Medusa does not manage the variant's stock
	managed          bool
	stocked          bool // item is stocked at the channel's location
}

// offerPush is a push of the offer lane on its way.
type offerPush struct {
	*push
	documents  []*offer
	known      []known
	counted    []bool // the stock was sent
	location   string
	currencies map[string]bool
}

// offers pushes prices and stock: a stock of 0 before the prices, so that
// nothing is sold that is not there, any other after them, so that nothing is
// sold at the old price.
func (p *push) offers(ctx context.Context) error {
	o := &offerPush{push: p, documents: make([]*offer, len(p.items)), known: make([]known, len(p.items)), counted: make([]bool, len(p.items))}
	var todo []int
	stock, prices := false, false
	for i, it := range p.items {
		if it.Action.Withdraws() {
			continue // the content's withdrawal takes the offer along
		}
		if it.Action == connectors.SellOut {
			o.documents[i] = soldOut()
			stock, todo = true, append(todo, i)
			continue
		}
		d, issues := readOffer(it.Document)
		if len(issues) > 0 {
			p.fail(i, invalid(issues...))
			continue
		}
		o.documents[i] = d
		stock = stock || d.Stock != nil && o.manages(i)
		prices = prices || d.Prices != nil && len(*d.Prices) > 0
		todo = append(todo, i)
	}
	if len(todo) == 0 {
		return nil
	}
	if stock {
		var err error
		if o.location, o.currencies, err = p.forStock(ctx); err != nil {
			return err
		}
	}
	again, err := o.attempt(ctx, todo, false)
	if err != nil || len(again) == 0 {
		return err
	}
	for _, i := range again {
		p.results[i] = connectors.Result{Status: connectors.Accepted}
	}
	_, err = o.attempt(ctx, again, true)
	return err
}

// soldOut is the offer of what shall be sold to nobody any more. Its prices stay.
func soldOut() *offer {
	none, counted, backorders := amount("0"), true, false
	return &offer{Stock: &none, ManageInventory: &counted, AllowBackorder: &backorders}
}

// manages reports whether an item's document wants its stock to be counted.
func (o *offerPush) manages(i int) bool {
	d := o.documents[i]
	if d.ManageInventory != nil {
		return *d.ManageInventory
	}
	return d.Stock != nil
}

// attempt pushes items. It gives those back that were refused for what was
// remembered of them, unless all is looked up fresh.
func (o *offerPush) attempt(ctx context.Context, todo []int, fresh bool) (again []int, err error) {
	var look, remembered []int
	for _, i := range todo {
		k, ok := o.push.known.Get(o.items[i].SKU)
		if ok && !fresh {
			o.known[i] = k
			remembered = append(remembered, i)
		} else {
			look = append(look, i)
		}
	}
	if err := o.lookUp(ctx, look); err != nil {
		return nil, err
	}
	todo = slices.DeleteFunc(slices.Clone(todo), func(i int) bool { return o.known[i].variant == "" })
	if err := o.levels(ctx, todo, true); err != nil {
		return nil, err
	}
	if err := o.tie(ctx, todo); err != nil {
		return nil, err
	}
	if err := o.variants(ctx, todo); err != nil {
		return nil, err
	}
	if err := o.levels(ctx, todo, false); err != nil {
		return nil, err
	}
	for _, i := range todo {
		sku := o.items[i].SKU
		if !o.failed(i) {
			o.push.known.Add(sku, o.known[i])
			continue
		}
		o.push.known.Remove(sku)
		if v := connectors.AsError(o.results[i].Err).Verdict; slices.Contains(remembered, i) && (v == connectors.Conflict || v == connectors.Validation) {
			o.known[i], o.counted[i] = known{}, false
			again = append(again, i)
		}
	}
	return again, nil
}

// lookUp finds the variants of items. A SKU without one is a product that is
// sold by its variants, or is not there (any more).
func (o *offerPush) lookUp(ctx context.Context, items []int) error {
	var skus []string
	for _, i := range items {
		skus = append(skus, string(o.items[i].SKU))
	}
	type found struct {
		place
		Managed bool `json:"manage_inventory"`
		Items   []struct {
			ID        string    `json:"inventory_item_id"`
			Inventory stockItem `json:"inventory"`
		} `json:"inventory_items"`
	}
	by := map[string]found{}
	err := each("sku[]", unique(slices.Clone(skus)), func(q url.Values) error {
		q.Set("fields", "id,sku,product_id,manage_inventory,inventory_items.inventory_item_id,inventory_items.inventory.location_levels.location_id")
		q.Set("limit", strconv.Itoa(2*lookUp))
		var answer struct {
			Variants []found `json:"variants"`
		}
		if err := o.get(ctx, "/admin/product-variants", q, &answer); err != nil {
			return err
		}
		for _, it := range answer.Variants {
			by[it.SKU] = it
		}
		return nil
	})
	if err != nil {
		return err
	}
	var parents []string
	for n, i := range items {
		it, ok := by[skus[n]]
		if !ok {
			if o.documents[i].Parent == "" {
				parents = append(parents, skus[n])
			}
			continue
		}
		o.known[i] = known{variant: it.ID, product: it.ProductID, managed: it.Managed}
		if len(it.Items) > 0 {
			o.known[i].item, o.known[i].stocked = it.Items[0].ID, it.Items[0].Inventory.at(o.location)
		}
	}
	products, err := o.products(ctx, "external_id[]", "id,external_id", unique(parents))
	if err != nil {
		return err
	}
	for n, i := range items {
		switch d := o.documents[i]; {
		case o.known[i].variant != "", o.items[i].Action == connectors.SellOut: // what is not there is not sold
		case d.Parent == "" && products[skus[n]] != nil:
			if d.Prices != nil && len(*d.Prices) > 0 || d.Stock != nil {
				o.warn(i, "medusa.sold_by_variants", "prices", "The product is sold by its variants; its own price and stock were not sent.")
			}
		default:
			o.fail(i, missing("Medusa has no variant with this SKU (any more)"))
		}
	}
	return nil
}

// tie gives variants whose stock begins to be managed the inventory item that
// their SKU left behind; where there is none, Medusa makes one.
func (o *offerPush) tie(ctx context.Context, items []int) error {
	var skus []string
	for _, i := range items {
		if o.known[i].item == "" && o.manages(i) && !o.failed(i) {
			skus = append(skus, string(o.items[i].SKU))
		}
	}
	if len(skus) == 0 {
		return nil
	}
	left, err := o.stockItems(ctx, unique(skus))
	if err != nil {
		return err
	}
	for _, i := range items {
		it, ok := left[string(o.items[i].SKU)]
		k := &o.known[i]
		if !ok || k.item != "" || !o.manages(i) || o.failed(i) {
			continue
		}
		body := map[string]any{"inventory_item_id": it.ID, "required_quantity": 1}
		err := o.post(ctx, "/admin/products/"+k.product+"/variants/"+k.variant+"/inventory-items", query("fields", "id"), body, nil)
		if err != nil && !o.ofItems(ctx, err) {
			return err
		}
		if err != nil {
			o.fail(i, err)
			continue
		}
		o.touch(i)
		k.item, k.stocked = it.ID, it.at(o.location)
	}
	return nil
}

// variants sends what is of the variant itself, all in one call; see
// contentPush.update.
func (o *offerPush) variants(ctx context.Context, items []int) error {
	var ops []op
	for _, i := range items {
		d, k := o.documents[i], o.known[i]
		if o.failed(i) {
			continue
		}
		body := map[string]any{}
		if d.Prices != nil {
			// The list replaces the variant's: all currencies, or they are gone.
			body["prices"] = d.list()
			for _, p := range *d.Prices {
				if o.currencies != nil && !o.currencies[string(p.Currency)] {
					o.warn(i, "medusa.currency", "prices", fmt.Sprintf("The store does not have the currency %s: nobody is shown this price.", p.Currency))
				}
			}
		}
		if managed := o.manages(i); managed != k.managed && (d.Stock != nil || d.ManageInventory != nil) {
			body["manage_inventory"] = managed
		}
		if d.AllowBackorder != nil {
			body["allow_backorder"] = *d.AllowBackorder
		}
		if len(body) == 0 {
			continue
		}
		body["id"] = k.variant
		raw, err := encode(body)
		if err != nil {
			o.fail(i, err)
			continue
		}
		ops = append(ops, op{item: i, body: raw, names: []string{k.variant, string(o.items[i].SKU)}})
	}
	return o.atomically(ctx, ops, func(ctx context.Context, ops []op) error {
		made, err := o.batch(ctx, o.known[ops[0].item].product, "update", ops)
		if err != nil {
			return err
		}
		for _, it := range ops {
			k := &o.known[it.item]
			n := slices.IndexFunc(made, func(v written) bool { return v.ID == k.variant && v.ProductID == k.product })
			if n < 0 {
				o.fail(it.item, unnamed())
				continue
			}
			o.touch(it.item)
			v := made[n]
			if v.Managed != nil {
				k.managed = *v.Managed
			}
			switch {
			case len(v.Items) == 0:
				k.item, k.stocked = "", false
			case v.Items[0].ID != k.item:
				k.item, k.stocked = v.Items[0].ID, false
			}
		}
		return nil
	}, func(it op, err error) error {
		o.fail(it.item, err)
		return nil
	})
}

// levels sends the stock of items: those of which nothing is left, or the
// others.
func (o *offerPush) levels(ctx context.Context, items []int, none bool) error {
	var ops []op
	for _, i := range items {
		d, k := o.documents[i], o.known[i]
		if o.failed(i) || d.Stock == nil || !o.manages(i) {
			continue
		}
		pieces, err := d.pieces()
		if err != nil {
			o.fail(i, invalid(problem("medusa.stock", "stock", "Stock is a whole number.")))
			continue
		}
		if none && (pieces != 0 || k.item == "" || !k.managed) || o.counted[i] {
			continue
		}
		if k.item == "" {
			o.fail(i, missing("Medusa counts no stock of this variant"))
			continue
		}
		raw, err := encode(map[string]any{"inventory_item_id": k.item, "location_id": o.location, "stocked_quantity": pieces})
		if err != nil {
			o.fail(i, err)
			continue
		}
		ops = append(ops, op{item: i, body: raw, names: []string{k.item}})
	}
	return o.atomically(ctx, ops, func(ctx context.Context, ops []op) error {
		// All three are demanded by Medusa's contract.
		body := map[string][]json.RawMessage{"create": {}, "update": {}, "delete": {}}
		for _, it := range ops {
			kind := "create"
			if o.known[it.item].stocked {
				kind = "update"
			}
			body[kind] = append(body[kind], it.body)
		}
		if err := o.post(ctx, "/admin/inventory-items/location-levels/batch", nil, body, nil); err != nil {
			return err
		}
		for _, it := range ops {
			o.touch(it.item)
			o.known[it.item].stocked, o.counted[it.item] = true, true
		}
		return nil
	}, func(it op, err error) error {
		o.fail(it.item, err)
		return nil
	})
}
