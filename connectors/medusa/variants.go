package medusa

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// options are what tells an item's variant from its siblings.
func (c *contentPush) options(i int) map[string]string {
	return c.documents[i].optionsFor(string(c.items[i].SKU))
}

// keyOf is the same for options that are equal.
func keyOf(options map[string]string) string {
	var b strings.Builder
	for _, title := range slices.Sorted(maps.Keys(options)) {
		fmt.Fprintf(&b, "%q=%q,", title, options[title])
	}
	return b.String()
}

// variant is an item's variant as Medusa takes it, without prices.
func (c *contentPush) variant(i int) map[string]any {
	d, sku := c.documents[i], string(c.items[i].SKU)
	v := c.codes(i)
	v["sku"], v["options"] = sku, c.options(i)
	v["title"] = d.variantTitle(sku)
	c.stockOf(v, sku)
	return v
}

// variantTitle is what a variant is called: as its document says, or by its
// options.
func (d *content) variantTitle(sku string) string {
	var values []string
	options := d.options()
	for _, name := range slices.Sorted(maps.Keys(options)) {
		values = append(values, options[name])
	}
	return cmp.Or(string(d.VariantTitle), strings.Join(values, " / "), string(d.Title), sku)
}

// optionsFor are what tells a variant from its siblings. Medusa demands some, so
// a variant without any has its SKU as the value of an option of ours.
func (d *content) optionsFor(sku string) map[string]string {
	if options := d.options(); len(options) > 0 {
		return options
	}
	return map[string]string{variantOption: sku}
}

// defaults gives products the default variant that they lack, and changes it
// where its codes are not as the document says. A product has one as long as it
// has no other variant.
func (c *contentPush) defaults(ctx context.Context, todo []*top) error {
	var update []op
	for _, t := range todo {
		if c.failed(t.item) || t.product == nil {
			continue
		}
		it, d := c.found[t.sku], c.documents[t.item]
		own := it.variant(t.sku)
		switch {
		case len(c.coming[t.sku]) > 0:
		case own != nil && (own.EAN != string(d.EAN) || own.UPC != string(d.UPC) || own.Barcode != string(d.Barcode) || measured(d)):
			v := c.codes(t.item)
			v["id"] = own.ID
			raw, err := encode(v)
			if err != nil {
				c.fail(t.item, err)
				continue
			}
			update = append(update, op{item: t.item, body: raw, names: []string{own.ID, t.sku}})
		case len(it.Variants) == 0:
			if err := c.restore(ctx, t, it); err != nil {
				return err
			}
		}
	}
	return c.update(ctx, update)
}

// measured reports whether a document has fields that are not compared.
func measured(d *content) bool {
	b := map[string]any{}
	measures(b, d)
	return len(b) > 0
}

// restore makes the default variant of a product that has no variant.
func (c *contentPush) restore(ctx context.Context, t *top, it *product) error {
	left, err := c.stockItems(ctx, []string{t.sku})
	if err != nil {
		return err
	}
	maps.Copy(c.stock, left)
	if err := c.reshape(ctx, it, []map[string]string{{defaultOption: defaultValue}}); err != nil {
		return c.onItems(ctx, err, t.item)
	}
	raw, err := encode(lean(c.ownVariant(t)))
	if err != nil {
		c.fail(t.item, err)
		return nil
	}
	c.anew[t.item] = true
	return c.create(ctx, it, []op{{item: t.item, body: raw, names: []string{t.sku}}})
}

// onItems makes an error the items' own, or gives it back when it is Medusa's.
func (c *contentPush) onItems(ctx context.Context, err error, items ...int) error {
	if !c.ofItems(ctx, err) {
		return err
	}
	for _, i := range items {
		c.fail(i, err)
	}
	return nil
}

// variants creates and updates the items that have a parent.
func (c *contentPush) variants(ctx context.Context) error {
	var fresh []string
	parents := slices.SortedFunc(maps.Keys(c.coming), func(a, b string) int { return c.coming[a][0] - c.coming[b][0] })
	for _, parent := range parents {
		c.coming[parent] = slices.DeleteFunc(c.coming[parent], func(i int) bool { return c.documents[i] == nil || c.failed(i) })
		for _, i := range c.coming[parent] {
			sku := string(c.items[i].SKU)
			if it := c.found[parent]; it != nil && it.variant(sku) == nil {
				fresh = append(fresh, sku)
			}
		}
	}
	var err error
	if err = c.leave(ctx, parents); err != nil {
		return err
	}
	if c.stock, err = c.stockItems(ctx, fresh); err != nil {
		return err
	}
	var update []op
	for _, parent := range parents {
		more, err := c.family(ctx, parent)
		if err != nil {
			return err
		}
		update = append(update, more...)
	}
	return c.update(ctx, update)
}

// leave takes variants away from where they are no more: from another parent,
// or from the product that they were themselves.
func (c *contentPush) leave(ctx context.Context, parents []string) error {
	for _, parent := range parents {
		to := c.found[parent]
		for _, i := range c.coming[parent] {
			sku := string(c.items[i].SKU)
			at, ok := c.places[sku]
			if to == nil || !ok || at.ProductID == to.ID {
				continue
			}
			if !at.ours() {
				c.fail(i, foreign())
				c.documents[i] = nil
				continue
			}
			var err error
			if at.Product.ExternalID == sku {
				err = c.post(ctx, "/admin/products/batch", query("fields", "id"), map[string]any{"delete": []string{at.ProductID}}, nil)
			} else {
				err = c.deleteVariants(ctx, at.ProductID, []string{at.ID})
			}
			if err != nil {
				return err
			}
			c.touch(i)
			c.known.Remove(c.items[i].SKU)
		}
	}
	return nil
}

// family brings a product's options up to what its variants need, creates the
// variants that it lacks, and gives the updates of the others.
func (c *contentPush) family(ctx context.Context, parent string) (update []op, err error) {
	items, it := slices.DeleteFunc(c.coming[parent], c.failed), c.found[parent]
	if it == nil {
		for _, i := range items {
			c.fail(i, missing("the parent "+parent+" is not in Medusa yet"))
		}
		return nil, nil
	}
	items = c.distinct(it, items)
	if len(items) == 0 {
		return nil, nil
	}
	if own := it.variant(it.ExternalID); own != nil {
		if err := c.deleteVariants(ctx, it.ID, []string{own.ID}); err != nil {
			return nil, c.onItems(ctx, err, items...)
		}
		c.touch(items...)
		c.known.Remove(pim.SKU(parent))
		it.Variants = slices.DeleteFunc(it.Variants, func(v variant) bool { return v.SKU == it.ExternalID })
	}
	var wanted []map[string]string
	for _, i := range items {
		wanted = append(wanted, c.options(i))
	}
	if err := c.reshape(ctx, it, wanted); err != nil {
		return nil, c.onItems(ctx, err, items...)
	}
	var create []op
	for _, i := range items {
		v := c.variant(i)
		sku := string(c.items[i].SKU)
		there := it.variant(sku)
		if there == nil {
			c.anew[i] = true
			v["prices"] = []any{}
			lean(v)
		} else {
			if keyOf(it.optionsOf(there)) == keyOf(c.options(i)) {
				delete(v, "options") // Medusa need not compare all variants
			}
			delete(v, "inventory_items")
			v["id"] = there.ID
		}
		raw, err := encode(v)
		if err != nil {
			c.fail(i, err)
			continue
		}
		if there == nil {
			create = append(create, op{item: i, body: raw, names: []string{sku}})
		} else {
			update = append(update, op{item: i, body: raw, names: []string{there.ID, sku}})
		}
	}
	return update, c.create(ctx, it, create)
}

// optionsOf are a variant's options by title.
func (p *product) optionsOf(v *variant) map[string]string {
	options := map[string]string{}
	for _, value := range v.Options {
		for _, o := range p.Options {
			if o.ID == value.OptionID {
				options[o.Title] = value.Value
			}
		}
	}
	return options
}

// distinct refuses items whose options another variant has: Medusa does so as
// well, but not where both come in one call.
func (c *contentPush) distinct(it *product, items []int) []int {
	holder := map[string]string{} // options → SKU
	pushed := map[string]bool{}
	for _, i := range items {
		pushed[string(c.items[i].SKU)] = true
	}
	for n := range it.Variants {
		if v := &it.Variants[n]; !pushed[v.SKU] && !it.own(v) {
			holder[keyOf(it.optionsOf(v))] = v.SKU
		}
	}
	var kept []int
	for _, i := range items {
		key := keyOf(c.options(i))
		if other, taken := holder[key]; taken {
			c.fail(i, invalid(problem("medusa.options_taken", "options", "The variant "+other+" has the same options.")))
			continue
		}
		holder[key] = string(c.items[i].SKU)
		kept = append(kept, i)
	}
	return kept
}

// reshape adds the options and values that a product lacks, and takes away those
// options that none of its variants has and none is going to have: Medusa wants
// a value of each from every variant. Others' options and values stay.
func (c *contentPush) reshape(ctx context.Context, it *product, wanted []map[string]string) error {
	need := map[string][]string{}
	for _, options := range wanted {
		for title, value := range options {
			if !slices.Contains(need[title], value) {
				need[title] = append(need[title], value)
			}
		}
	}
	used := map[string]bool{}
	for _, v := range it.Variants {
		for _, value := range v.Options {
			used[value.OptionID] = true
		}
	}
	var add, update []map[string]any
	var remove []string
	there := map[string]bool{}
	for _, o := range it.Options {
		there[o.Title] = true
		values, wanted := need[o.Title]
		if !wanted && !used[o.ID] {
			remove = append(remove, o.ID)
		}
		var more []map[string]string
		for _, value := range values {
			known := false
			for _, v := range o.Values {
				known = known || v.Value == value
			}
			if !known {
				more = append(more, map[string]string{"value": value})
			}
		}
		if len(more) > 0 {
			update = append(update, map[string]any{"product_option_id": o.ID, "add": more})
		}
	}
	for _, title := range slices.Sorted(maps.Keys(need)) {
		if !there[title] {
			// Exclusive: options that products share are unique by their title.
			add = append(add, map[string]any{"title": title, "values": need[title], "is_exclusive": true})
		}
	}
	body := map[string]any{}
	if len(add) > 0 {
		body["add"] = add
	}
	if len(update) > 0 {
		body["update"] = update
	}
	if len(remove) > 0 {
		body["remove"] = remove
	}
	if len(body) == 0 {
		return nil
	}
	var answer struct {
		Product product `json:"product"`
	}
	if err := c.post(ctx, "/admin/products/"+it.ID+"/options/batch", query("fields", contentFields), body, &answer); err != nil {
		return err
	}
	it.Options = answer.Product.Options
	return nil
}

// written is a variant as a batch answers it.
type written struct {
	ID        string `json:"id"`
	SKU       string `json:"sku"`
	ProductID string `json:"product_id"`
	Managed   *bool  `json:"manage_inventory"`
	Items     []struct {
		ID string `json:"inventory_item_id"`
	} `json:"inventory_items"`
}

const writtenFields = "id,sku,product_id,manage_inventory,inventory_items.inventory_item_id"

// create makes variants of one product.
func (c *contentPush) create(ctx context.Context, it *product, ops []op) error {
	return c.atomically(ctx, ops, func(ctx context.Context, ops []op) error {
		made, err := c.batch(ctx, it.ID, "create", ops)
		if err != nil {
			return err
		}
		for _, o := range ops {
			sku := string(c.items[o.item].SKU)
			if !slices.ContainsFunc(made, func(v written) bool { return v.SKU == sku }) {
				c.fail(o.item, unnamed())
				continue
			}
			c.accept(o.item, it)
		}
		return nil
	}, func(o op, err error) error {
		c.fail(o.item, err)
		return nil
	})
}

// update changes variants, of several products in one call: Medusa goes by the
// variant's id alone, whatever product the address names (seen of 2.21.2).
func (c *contentPush) update(ctx context.Context, ops []op) error {
	return c.atomically(ctx, ops, func(ctx context.Context, ops []op) error {
		made, err := c.batch(ctx, c.productOf(ops[0].item).ID, "update", ops)
		if err != nil {
			return err
		}
		for _, o := range ops {
			it := c.productOf(o.item)
			if !slices.ContainsFunc(made, func(v written) bool { return v.ID == o.names[0] && v.ProductID == it.ID }) {
				c.fail(o.item, unnamed())
				continue
			}
			c.accept(o.item, it)
		}
		return nil
	}, func(o op, err error) error {
		c.fail(o.item, err)
		return nil
	})
}

// productOf is the product that an item's variant is of.
func (c *contentPush) productOf(i int) *product {
	if parent := c.documents[i].Parent; parent != "" {
		return c.found[string(parent)]
	}
	return c.found[string(c.items[i].SKU)]
}

// batch sends one atomic batch of variants.
func (p *push) batch(ctx context.Context, product, kind string, ops []op) ([]written, error) {
	bodies := make([]json.RawMessage, len(ops))
	for i := range ops {
		bodies[i] = ops[i].body
	}
	var answer struct {
		Created []written `json:"created"`
		Updated []written `json:"updated"`
	}
	err := p.post(ctx, "/admin/products/"+product+"/variants/batch", query("fields", writtenFields), map[string]any{kind: bodies}, &answer)
	return append(answer.Created, answer.Updated...), err
}

// unnamed is the outcome of an item that an answer leaves out.
func unnamed() *connectors.Error {
	return &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: errText("the answer does not name this item")}
}
