package woocommerce

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// parent is a product whose variants are in this push.
type parent struct {
	sku        pim.SKU
	have       *object // nil: not in the shop
	task       *task   // when its own content is in this push, too
	id         int64   // once it is known
	need       []axis
	attributes []attribute // as they will be
	err        *connectors.Error
}

// parentsOf are the parents of the variants among tasks.
func parentsOf(tasks []*task) (skus []pim.SKU) {
	for _, t := range tasks {
		if !t.withdraw && !t.done && t.doc.parent != "" {
			skus = append(skus, t.doc.parent)
		}
	}
	return skus
}

// parents notes what is known of the parents.
func (p *push) parents(tasks []*task, found map[pim.SKU]*object) {
	p.kin = map[pim.SKU]*parent{}
	for _, sku := range parentsOf(tasks) {
		p.kin[sku] = &parent{sku: sku, have: found[sku]}
	}
	for _, t := range tasks {
		if par := p.kin[t.sku]; par != nil && !t.withdraw && !t.done {
			par.task = t
		}
	}
	for _, par := range p.kin {
		if par.have != nil {
			par.id, par.attributes = par.have.ID, par.have.Attributes
		}
	}
}

// content writes the rows so far, and those of texts.
func (p *push) content(tasks []*task, products []*row, variations map[int64][]*row) error {
	var variants []*task
	for _, t := range tasks {
		if t.done || t.withdraw {
			continue
		}
		if t.doc.parent == "" {
			continue
		}
		par := p.kin[t.doc.parent]
		if err := fits(t, par); err != nil {
			t.fail(err)
			continue
		}
		par.need = append(par.need, t.doc.axes...)
		variants = append(variants, t)
	}
	// Before anything is written: a category that the shop refuses is refused for
	// the call as a whole, which the hub then halves.
	categories, err := p.categoriesOf(tasks)
	if err != nil {
		return err
	}
	if err := p.clear(tasks); err != nil {
		return err
	}
	for _, t := range tasks {
		if t.done || t.withdraw {
			continue
		}
		t.anew = t.anew || t.have == nil || t.knew != 0 && t.have.ID != t.knew
		if t.doc.parent == "" {
			products = append(products, p.product(t, categories))
		}
	}
	for _, sku := range slices.Sorted(maps.Keys(p.kin)) {
		par := p.kin[sku]
		if par.task != nil || par.have == nil || len(par.need) == 0 {
			continue
		}
		extended, changed := extend(par.attributes, par.need)
		body := map[string]any{}
		if changed {
			par.attributes = extended
			body["attributes"] = extended
		}
		if !par.have.isVariable() {
			body["type"] = "variable"
		}
		if len(body) > 0 {
			products = append(products, &row{parent: par, id: par.id, body: body})
		}
	}
	if err := p.writeAll(products, variations); err != nil {
		return err
	}
	return p.variations(variants)
}

// fits says why a variant cannot be a variation of its parent, now or at all.
func fits(t *task, par *parent) error {
	switch {
	case par.have == nil && (par.task == nil || par.task.done):
		return &connectors.Error{Verdict: connectors.Conflict, After: parentAfter, Err: fmt.Errorf("the parent %s is not in the shop yet", par.sku)}
	case par.task != nil && par.task.doc.parent != "":
		return refuse(pim.Issue{Code: "woocommerce.parent", Severity: pim.SeverityError, Attribute: "parent", Text: "Its parent is a variant itself; WooCommerce has two levels."})
	case par.have != nil && par.have.isVariation() && par.task == nil:
		return refuse(pim.Issue{Code: "woocommerce.parent", Severity: pim.SeverityError, Attribute: "parent", Text: "The shop holds its parent as a variation of another product."})
	case t.have != nil && t.have.isVariable():
		return refuse(pim.Issue{
			Code: "woocommerce.kind", Severity: pim.SeverityError, Attribute: "parent",
			Text: "The shop holds this SKU as a product with variations of its own, which would be lost; remove it there first.",
		})
	}
	return nil
}

// clear removes from the shop the objects that have a task's SKU and are of
// another kind, or another parent's, than the task wants: WooCommerce turns no
// product into a variation. What the other lanes wrote is carried over.
func (p *push) clear(tasks []*task) error {
	var moving []*task
	var skus []pim.SKU
	for _, t := range tasks {
		if t.done || t.withdraw || t.have == nil {
			continue
		}
		wrong := t.have.isVariation()
		if t.doc.parent != "" {
			wrong = !t.have.isVariation() || t.have.ParentID != p.kin[t.doc.parent].id
		}
		if wrong {
			moving, skus = append(moving, t), append(skus, t.sku)
		}
	}
	if len(moving) == 0 {
		return nil
	}
	whole, err := p.lookUp(p.ctx, skus, "")
	if err != nil {
		return err
	}
	var products []*row
	variations := map[int64][]*row{}
	for _, t := range moving {
		t.carry, t.have = whole[t.sku], nil
		if o := t.carry; o != nil && o.isVariation() {
			variations[o.ParentID] = append(variations[o.ParentID], &row{task: t, id: o.ID, remove: true, clears: true})
		} else if o != nil {
			products = append(products, &row{task: t, id: o.ID, remove: true, clears: true})
		}
	}
	return p.writeAll(products, variations)
}

// categoriesOf finds the ids of all categories that the products name.
func (p *push) categoriesOf(tasks []*task) (map[string]int64, error) {
	var all []path
	seen := map[string]bool{}
	for _, t := range tasks {
		if t.done || t.withdraw || t.doc.parent != "" {
			continue
		}
		for _, c := range t.doc.categories {
			if k := strings.Join(c, ">"); !seen[k] {
				seen[k] = true
				all = append(all, c)
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return p.categoryIDs(p.ctx, all)
}

// product is the row of a product's texts.
func (p *push) product(t *task, categories map[string]int64) *row {
	r := &row{task: t}
	body := p.fieldsOf(t.doc, false, t.have == nil)
	if len(t.doc.categories) > 0 {
		var ids []map[string]int64
		for _, c := range t.doc.categories {
			ids = append(ids, map[string]int64{"id": categories[strings.Join(c, ">")]})
		}
		body["categories"] = ids
	}
	body["sku"] = string(t.sku)
	attributes := t.doc.attributes
	if t.have != nil {
		r.id = t.have.ID
		if p.keep["attributes"] && len(attributes) == 0 {
			attributes = slices.Clone(t.have.Attributes)
		} else {
			attributes = merge(attributes, t.have.Attributes)
		}
	}
	if par := p.kin[t.sku]; par != nil {
		if len(par.need) > 0 {
			attributes, _ = extend(attributes, par.need)
			if t.have == nil || !t.have.isVariable() {
				body["type"] = "variable"
			}
		}
		par.attributes = attributes
	}
	switch {
	case len(attributes) > 0:
		body["attributes"] = number(attributes)
	case p.keep["attributes"], t.cached:
		// What is only remembered had none, and shall have none. Should another
		// process have made it variable meanwhile, an empty list would take the
		// options away that its variations need.
		delete(body, "attributes")
	}
	if t.carry != nil {
		t.carry.into(body, false)
	}
	r.body = body
	return r
}

// variations writes the variants, one batch for each parent.
func (p *push) variations(variants []*task) error {
	rows := map[int64][]*row{}
	for _, t := range variants {
		if t.done || t.again {
			continue
		}
		par := p.kin[t.doc.parent]
		switch {
		case par.task != nil && par.task.again:
			t.again = true
			continue
		case par.task != nil && par.task.done && par.task.result.Err != nil && p.stop == nil:
			// It lacks the options that came with its content. Without that, it gets
			// them by themselves.
			t.fail(&connectors.Error{Verdict: connectors.Conflict, After: parentAfter, Err: fmt.Errorf("its parent %s was not taken by the shop", par.sku)})
			continue
		case par.err != nil:
			t.fail(&connectors.Error{Verdict: connectors.Conflict, After: parentAfter, Err: fmt.Errorf("its parent %s could not be written: %w", par.sku, errors.New(par.err.Error()))})
			continue
		case par.id == 0 || p.stop != nil:
			if p.stop == nil {
				t.fail(&connectors.Error{Verdict: connectors.Conflict, After: parentAfter, Err: fmt.Errorf("its parent %s was not taken by the shop", par.sku)})
			}
			continue
		}
		body := p.fieldsOf(t.doc, true, t.have == nil)
		body["sku"], body["attributes"] = string(t.sku), choices(par.attributes, t.doc.axes)
		r := &row{task: t, body: body}
		if t.have != nil {
			r.id = t.have.ID
		}
		if t.carry != nil {
			t.carry.into(body, true)
		}
		rows[par.id] = append(rows[par.id], r)
	}
	return p.writeAll(nil, rows)
}

// into writes what the other lanes had written of an object into its successor.
func (o *object) into(body map[string]any, variation bool) {
	if o.RegularPrice != "" && !o.isVariable() {
		body["regular_price"] = o.RegularPrice
		if o.SalePrice != "" {
			body["sale_price"] = o.SalePrice
		}
		if o.SaleFrom != nil {
			body["date_on_sale_from_gmt"] = *o.SaleFrom
		}
		if o.SaleTo != nil {
			body["date_on_sale_to_gmt"] = *o.SaleTo
		}
	}
	if o.ManageStock == true && o.Stock != nil {
		body["manage_stock"], body["stock_quantity"] = true, *o.Stock
	}
	if o.StockStatus != "" {
		body["stock_status"] = o.StockStatus
	}
	if o.Backorders != "" && o.ManageStock == true {
		body["backorders"] = o.Backorders
	}
	if len(o.Images) == 0 {
		return
	}
	if variation {
		body["image"] = map[string]int64{"id": o.Images[0].ID}
		return
	}
	images := make([]map[string]int64, len(o.Images))
	for i, img := range o.Images {
		images[i] = map[string]int64{"id": img.ID}
	}
	body["images"] = images
}
