package woocommercetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// results are a batch's answers, row by row.
type results struct {
	Create []any `json:"create,omitempty"`
	Update []any `json:"update,omitempty"`
	Delete []any `json:"delete,omitempty"`
}

// failed is the answer to a row that the shop refuses.
type failed struct {
	ID    int64    `json:"id"`
	Error *refusal `json:"error"`
}

func (r *results) echo(text string) {
	for _, rows := range [][]any{r.Create, r.Update, r.Delete} {
		for _, row := range rows {
			if bad, ok := row.(failed); ok {
				bad.Error.Message += text
			}
		}
	}
}

// batch applies rows one by one: creations, then changes, then removals. A row's
// failure leaves the others alone.
func (f *Fake) batch(body []byte, parent *int64) *reply {
	var in struct {
		Create []map[string]json.RawMessage `json:"create"`
		Update []map[string]json.RawMessage `json:"update"`
		Delete []int64                      `json:"delete"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		f.violated("a batch cannot be read: %v", err)
		return refused(refuse(http.StatusBadRequest, "rest_invalid_json", "Invalid JSON body passed."))
	}
	total := len(in.Create) + len(in.Update) + len(in.Delete)
	if total > f.opts.Batch {
		f.violated("a batch of %d rows", total)
		return refused(refuse(http.StatusRequestEntityTooLarge, "woocommerce_rest_request_entity_too_large", fmt.Sprintf("Unable to accept more than %d items for this request.", f.opts.Batch)))
	}
	if total == 0 {
		return &reply{status: http.StatusOK, body: []any{}} // PHP's empty object
	}
	f.count.Batches++
	f.count.Rows += total
	out := &results{}
	for _, row := range in.Create {
		p, bad := f.create(row, parent)
		f.note("create", row, p, bad)
		if bad != nil {
			out.Create = append(out.Create, failed{0, bad})
			continue
		}
		out.Create = append(out.Create, f.show(p, parent))
	}
	for _, row := range in.Update {
		var id int64
		if json.Unmarshal(row["id"], &id) != nil || id == 0 {
			f.violated("a row to change has no id")
		}
		p, bad := f.update(id, row, parent)
		f.note("update", row, cmp.Or(p, f.products[id]), bad)
		if bad != nil {
			out.Update = append(out.Update, failed{id, bad})
			continue
		}
		out.Update = append(out.Update, f.show(p, parent))
	}
	for _, id := range in.Delete {
		p := f.products[id]
		if p == nil || (p.Type == "variation") != (parent != nil) {
			out.Delete = append(out.Delete, failed{id, refuse(http.StatusNotFound, invalidID(parent), "Invalid ID.")})
			continue
		}
		out.Delete = append(out.Delete, f.show(p, parent))
		f.note("delete", nil, p, nil)
		f.remove(p)
	}
	return &reply{status: http.StatusOK, body: out}
}

func invalidID(parent *int64) string {
	if parent != nil {
		return "woocommerce_rest_product_variation_invalid_id"
	}
	return "woocommerce_rest_product_invalid_id"
}

// show is a copy of what is held, for the answer.
func (f *Fake) show(p *Product, parent *int64) any {
	if parent != nil {
		return p.asVariation(f.products[p.ParentID])
	}
	return p.clone()
}

// remove takes a product out, with its variations.
func (f *Fake) remove(p *Product) {
	delete(f.products, p.ID)
	f.unindex(p)
	f.touch(p.ID)
	for _, id := range p.Variations {
		if v := f.products[id]; v != nil {
			f.remove(v)
		}
	}
	if parent := f.products[p.ParentID]; parent != nil {
		var left []int64
		for _, id := range parent.Variations {
			if id != p.ID {
				left = append(left, id)
			}
		}
		parent.Variations = left
		f.touch(parent.ID)
	}
}

// create makes a product, or a variation of parent.
func (f *Fake) create(row map[string]json.RawMessage, parent *int64) (*Product, *refusal) {
	if _, ok := row["id"]; ok {
		f.violated("a row to create has an id")
		return nil, refuse(http.StatusBadRequest, "woocommerce_rest_product_exists", "Cannot create existing product.")
	}
	now := stamp()
	p := &Product{
		Type: "simple", Status: "publish", CatalogVisibility: "visible", TaxStatus: "taxable", Backorders: "no", StockStatus: "instock", ReviewsAllowed: true,
		DateCreated: now, DateCreatedGMT: now, Categories: []Category{}, Images: []Image{}, Attributes: []Attribute{}, Variations: []int64{}, MetaData: []MetaData{}, choices: []Choice{},
	}
	var of *Product
	if parent != nil {
		of = f.products[*parent]
		if of == nil || of.Type == "variation" {
			return nil, refuse(http.StatusNotFound, "woocommerce_rest_product_variation_invalid_parent", "Cannot set attributes due to invalid parent product.")
		}
		p.Type, p.ParentID, p.Name = "variation", of.ID, of.Name
		if !strings.HasPrefix(of.Type, "variable") {
			f.violated("a variation of %s, which is %s: no shop page shows it", of.SKU, of.Type)
		}
	}
	if bad := f.apply(p, row, of); bad != nil {
		return nil, bad
	}
	p.ID = f.next()
	if p.Slug == "" {
		p.Slug = slug(p.Name)
	}
	p.Permalink = fmt.Sprintf("https://shop.example/?p=%d", p.ID)
	if p.Name == "" && of == nil {
		f.violated("a product without a name: the shop calls it Product")
		p.Name = "Product"
	}
	if p.SKU == "" {
		f.violated("a product without a SKU")
	}
	f.products[p.ID] = p
	f.index(p)
	f.touch(p.ID)
	if of != nil {
		of.Variations = append(of.Variations, p.ID)
		f.touch(of.ID)
	}
	return p, nil
}

// unindex forgets what a product is found by.
func (f *Fake) unindex(p *Product) {
	if p.SKU != "" && f.bySKU[strings.ToLower(p.SKU)] == p.ID {
		delete(f.bySKU, strings.ToLower(p.SKU))
	}
	if p.GlobalUniqueID != "" && f.byGTIN[p.GlobalUniqueID] == p.ID {
		delete(f.byGTIN, p.GlobalUniqueID)
	}
}

func (f *Fake) index(p *Product) {
	if p.SKU != "" {
		f.bySKU[strings.ToLower(p.SKU)] = p.ID
	}
	if p.GlobalUniqueID != "" {
		f.byGTIN[p.GlobalUniqueID] = p.ID
	}
}

// update changes what a row names.
func (f *Fake) update(id int64, row map[string]json.RawMessage, parent *int64) (*Product, *refusal) {
	p := f.products[id]
	switch {
	case p == nil:
		return nil, refuse(http.StatusBadRequest, invalidID(parent), "Invalid ID.")
	case parent == nil && p.Type == "variation":
		return nil, refuse(http.StatusNotFound, "woocommerce_rest_invalid_product_id", "To manipulate product variations you should use the /products/&lt;product_id&gt;/variations/&lt;id&gt; endpoint.")
	case parent != nil && p.Type != "variation":
		f.violated("product %s was changed as if it were a variation", p.SKU)
		return nil, refuse(http.StatusBadRequest, invalidID(parent), "Invalid ID.")
	case parent != nil && p.ParentID != *parent:
		f.violated("variation %s was changed below another parent", p.SKU)
	}
	next := p.clone()
	var of *Product
	if parent != nil {
		of = f.products[p.ParentID]
	}
	if bad := f.apply(next, row, of); bad != nil {
		return nil, bad
	}
	if p.SKU != next.SKU && f.bySKU[strings.ToLower(p.SKU)] == id {
		delete(f.bySKU, strings.ToLower(p.SKU))
	}
	if p.GlobalUniqueID != next.GlobalUniqueID {
		delete(f.byGTIN, p.GlobalUniqueID)
	}
	f.products[id] = next
	f.index(next)
	f.touch(id)
	return next, nil
}
