package medusa

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// What a product is sold by that has no options: the words of Medusa's own
// admin for it.
const (
	defaultOption  = "Default option"
	defaultValue   = "Default option value"
	defaultVariant = "Default variant"
	// variantOption tells variants apart whose documents have no options.
	variantOption = "Variant"
)

// contentPush is a push of the content lane on its way.
type contentPush struct {
	*push
	documents []*content          // by item; nil for withdrawals and what was refused
	found     map[string]*product // by external_id
	places    map[string]place    // by SKU
	coming    map[string][]int    // parent → its variants' items in this push
	ids       map[string]string   // category code → id
	sales     *sales
	stock     map[string]stockItem // of SKUs that have no variant, by SKU
	anew      map[int]bool         // by item: Medusa did not hold its product, or no variant of its SKU
}

// content pushes products first, then their variants.
func (p *push) content(ctx context.Context) error {
	c := &contentPush{push: p, documents: make([]*content, len(p.items)), coming: map[string][]int{}, anew: map[int]bool{}}
	var locked, external, skus, codes []string
	for i, it := range p.items {
		sku := string(it.SKU)
		skus = append(skus, sku)
		if it.Action.Withdraws() {
			locked, external = append(locked, sku), append(external, sku)
			continue
		}
		d, issues := readContent(it.Document)
		if len(issues) > 0 {
			p.fail(i, invalid(issues...))
			continue
		}
		c.documents[i] = d
		top := sku
		if d.Parent != "" {
			top = string(d.Parent)
			c.coming[top] = append(c.coming[top], i)
		} else if d.Categories != nil {
			for _, code := range *d.Categories {
				codes = append(codes, string(code))
			}
		}
		locked, external = append(locked, top), append(external, top)
	}
	if len(locked) == 0 {
		return nil
	}
	release, err := p.locks.Lock(ctx, locked...)
	if err != nil {
		return err
	}
	defer release()
	if c.found, err = p.products(ctx, "external_id[]", contentFields, unique(external)); err != nil {
		return err
	}
	if c.places, err = p.places(ctx, skus); err != nil {
		return err
	}
	if c.ids, err = p.categoryIDs(ctx, codes); err != nil {
		return err
	}
	for i, d := range c.documents {
		// One without our external_id that is adopted is not the one that we knew.
		if d != nil && d.Parent == "" && c.found[string(p.items[i].SKU)] == nil {
			c.anew[i] = true
		}
	}
	if err := c.withdraw(ctx); err != nil {
		return err
	}
	if err := c.tops(ctx); err != nil {
		return err
	}
	if err := c.variants(ctx); err != nil {
		return err
	}
	// They have no price, no stock and no pictures, though the hub may hold these for
	// acknowledged: by the variant that was, or without being sent at all.
	for i := range c.anew {
		p.results[i].Anew = !c.failed(i)
	}
	return nil
}

// drafts reports whether what is withdrawn stays as a draft.
func (s *settings) drafts(a connectors.Action) bool {
	return a == connectors.Disable || a == connectors.Withdraw && s.OnWithdraw == "draft"
}

// withdraw takes products and variants away. A variant that is a product's
// default one goes with it.
func (c *contentPush) withdraw(ctx context.Context) error {
	var products, drafts []string
	var kept []int                    // variants that are to be kept
	variants := map[string][]string{} // product → variants
	gone := map[string]bool{}         // products that are deleted
	for _, it := range c.items {
		if found := c.found[string(it.SKU)]; found != nil && it.Action.Withdraws() && !c.drafts(it.Action) {
			gone[found.ID] = true
		}
	}
	for i, it := range c.items {
		if !it.Action.Withdraws() {
			continue
		}
		sku := string(it.SKU)
		c.known.Remove(it.SKU)
		if found := c.found[sku]; found != nil {
			if c.drafts(it.Action) {
				drafts = append(drafts, found.ID)
			} else {
				products = append(products, found.ID)
				delete(c.found, sku)
			}
		}
		// A product without external_id was never ours. A variant goes with its product.
		at, ok := c.places[sku]
		switch ok = ok && at.Product.ExternalID != "" && at.Product.ExternalID != sku && !gone[at.ProductID]; {
		case ok && it.Action == connectors.Disable:
			kept = append(kept, i)
		case ok:
			variants[at.ProductID] = append(variants[at.ProductID], at.ID)
			delete(c.places, sku)
		}
	}
	if err := c.keep(ctx, kept); err != nil {
		return err
	}
	for _, product := range slices.Sorted(maps.Keys(variants)) {
		if err := c.deleteVariants(ctx, product, variants[product]); err != nil {
			return err
		}
	}
	// Deleting is slow: 70 ms a product.
	for part := range slices.Chunk(products, 20) {
		if err := c.post(ctx, "/admin/products/batch", query("fields", "id"), map[string]any{"delete": part}, nil); err != nil {
			return err
		}
	}
	if len(drafts) > 0 {
		update := make([]map[string]any, len(drafts))
		for i, id := range drafts {
			update[i] = map[string]any{"id": id, "status": "draft"}
		}
		return c.post(ctx, "/admin/products/batch", query("fields", "id,status"), map[string]any{"update": update}, nil)
	}
	return nil
}

// keep sells variants out that are to be kept and shown to nobody: Medusa's
// variants have no status of their own.
func (c *contentPush) keep(ctx context.Context, items []int) error {
	if len(items) == 0 {
		return nil
	}
	o := &offerPush{push: c.push, documents: make([]*offer, len(c.items)), known: make([]known, len(c.items)), counted: make([]bool, len(c.items))}
	for _, i := range items {
		o.documents[i] = soldOut()
		c.warn(i, "medusa.variant_kept", "", "Medusa cannot hide a variant of a product that it shows; it keeps this one, without stock.")
	}
	var err error
	if o.location, o.currencies, err = c.forStock(ctx); err != nil {
		return err
	}
	_, err = o.attempt(ctx, items, true)
	return err
}

// deleteVariants deletes; what is not there any more is fine with Medusa.
func (p *push) deleteVariants(ctx context.Context, product string, ids []string) error {
	return p.post(ctx, "/admin/products/"+product+"/variants/batch", query("fields", "id"), map[string]any{"delete": ids}, nil)
}

// top is a product to be written.
type top struct {
	item    int
	sku     string
	product *product // nil: it is created
	with    []int    // variants that are created along
	handle  string   // of a new product
	ours    bool     // handle is made by us, not by the document
	retried bool
}

// tops creates and updates the products without parent.
func (c *contentPush) tops(ctx context.Context) error {
	if err := c.adopt(ctx); err != nil {
		return err
	}
	var todo []*top
	var fresh []string
	for i, d := range c.documents {
		if d == nil || d.Parent != "" {
			continue
		}
		t := &top{item: i, sku: string(c.items[i].SKU)}
		t.product = c.found[t.sku]
		if t.product == nil {
			t.with = c.along(t.sku)
			fresh = append(fresh, t.sku)
			for _, v := range t.with {
				fresh = append(fresh, string(c.items[v].SKU))
				c.anew[v] = true
			}
			if t.handle = string(d.Handle); t.handle == "" {
				t.handle, t.ours = handleOf(string(d.Title), t.sku), true
			}
		}
		todo = append(todo, t)
	}
	if len(todo) == 0 {
		return nil
	}
	var err error
	if c.sales, err = c.forSale(ctx); err != nil {
		return err
	}
	if c.stock, err = c.stockItems(ctx, fresh); err != nil {
		return err
	}
	if err := c.write(ctx, todo); err != nil {
		return err
	}
	return c.defaults(ctx, todo)
}

// along are the variants of a new product that can be created in one request
// with it: those that are nowhere yet and have all the same options.
func (c *contentPush) along(sku string) []int {
	items := c.coming[sku]
	var titles []string
	seen := map[string]bool{}
	for n, i := range items {
		options := c.options(i)
		mine := slices.Sorted(maps.Keys(options))
		if n == 0 {
			titles = mine
		}
		key := keyOf(options)
		if _, there := c.places[string(c.items[i].SKU)]; there || !slices.Equal(titles, mine) || seen[key] {
			return nil
		}
		seen[key] = true
	}
	return items
}

// adopt looks what else is known of new products' SKUs: a product that people
// made in Medusa, without external_id, becomes ours; a variant that was
// another product's leaves it.
func (c *contentPush) adopt(ctx context.Context) error {
	strangers := map[string]string{} // product id → SKU
	for i, d := range c.documents {
		sku := string(c.items[i].SKU)
		at, ok := c.places[sku]
		if d == nil || d.Parent != "" || !ok || c.found[sku] != nil {
			continue
		}
		// By its own external_id where it was made after the look-up of products:
		// by another process, or by a request that was thought lost.
		if at.Product.ExternalID == "" || at.Product.ExternalID == sku {
			strangers[at.ProductID] = sku
			continue
		}
		if !at.ours() {
			c.fail(i, foreign())
			c.documents[i] = nil
			continue
		}
		if err := c.deleteVariants(ctx, at.ProductID, []string{at.ID}); err != nil {
			return err
		}
		c.touch(i)
		c.known.Remove(pim.SKU(sku))
		delete(c.places, sku)
	}
	found, err := c.products(ctx, "id[]", contentFields, slices.Sorted(maps.Keys(strangers)))
	if err != nil {
		return err
	}
	for id, sku := range strangers {
		if it := found[id]; it != nil {
			it.ExternalID = sku
			c.found[sku] = it
		}
	}
	return nil
}

// write sends products in batches.
func (c *contentPush) write(ctx context.Context, todo []*top) error {
	ops := make([]op, 0, len(todo))
	by := map[int]*top{} // by item
	for _, t := range todo {
		by[t.item] = t
		o, err := c.op(t)
		if err != nil {
			c.fail(t.item, err)
			continue
		}
		ops = append(ops, o)
	}
	return c.atomically(ctx, ops,
		func(ctx context.Context, ops []op) error { return c.send(ctx, ops, by) },
		func(o op, err error) error { return c.again(ctx, by[o.item], err) })
}

func (c *contentPush) op(t *top) (op, error) {
	body := c.body(t)
	if t.product == nil {
		lean(body)
	}
	raw, err := encode(body)
	o := op{item: t.item, body: raw, names: []string{t.sku, t.handle}}
	if t.product != nil {
		o.names[1] = t.product.ID
	}
	for _, i := range t.with {
		o.names = append(o.names, string(c.items[i].SKU))
	}
	return o, err
}

// send makes one atomic call and notes what Medusa then holds.
func (c *contentPush) send(ctx context.Context, ops []op, by map[int]*top) error {
	body := map[string][]json.RawMessage{}
	for _, o := range ops {
		kind := "create"
		if by[o.item].product != nil {
			kind = "update"
		}
		body[kind] = append(body[kind], o.body)
	}
	var answer struct {
		Created []*product `json:"created"`
		Updated []*product `json:"updated"`
	}
	if err := c.post(ctx, "/admin/products/batch", query("fields", contentFields), body, &answer); err != nil {
		return err
	}
	for _, it := range slices.Concat(answer.Created, answer.Updated) {
		if it != nil {
			c.found[it.ExternalID] = it
		}
	}
	for _, o := range ops {
		t := by[o.item]
		it := c.found[t.sku]
		if it == nil {
			c.fail(o.item, unnamed())
			continue
		}
		c.accept(o.item, it)
		c.touch(o.item)
		for _, i := range t.with {
			if it.variant(string(c.items[i].SKU)) != nil {
				c.accept(i, it)
				c.documents[i] = nil // it is written
			}
		}
	}
	return nil
}

// accept notes an item's success: live is what customers are shown.
func (c *contentPush) accept(i int, it *product) {
	c.results[i] = connectors.Result{Status: connectors.Accepted, Issues: c.results[i].Issues}
	if it.Status == "published" {
		c.results[i].Status = connectors.Live
	}
}

// again deals with a product that was refused alone. It may be there after all:
// its creation's answer was lost, or another process was quicker. Its variants
// may be what is wrong, and shall not keep it away.
func (c *contentPush) again(ctx context.Context, t *top, err error) error {
	r, _ := err.(*refusal) //nolint:errorlint // halve hands on what call gave
	if t.product == nil && r != nil && !t.retried && strings.HasSuffix(strings.TrimSuffix(r.message, "."), "already exists") {
		t.retried = true
		found, err := c.products(ctx, "external_id[]", contentFields, []string{t.sku})
		if err != nil {
			return err
		}
		switch {
		case found[t.sku] != nil:
			t.product, t.with = found[t.sku], nil
			c.found[t.sku] = t.product
		case strings.HasPrefix(r.message, "Product with handle") && t.ours:
			t.handle += "-" + tag(t.sku)
		case len(t.with) > 0:
			t.with = nil
		default:
			c.fail(t.item, r)
			return nil
		}
		return c.write(ctx, []*top{t})
	}
	if len(t.with) > 0 {
		t.with = nil
		return c.write(ctx, []*top{t})
	}
	if connectors.AsError(err).Verdict == connectors.Conflict {
		c.categories.Purge() // one of the ids is stale, and only these were remembered
	}
	c.fail(t.item, err)
	return nil
}
