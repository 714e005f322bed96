package medusa

import (
	"maps"
	"slices"
)

// body is a product as Medusa takes it.
func (c *contentPush) body(t *top) map[string]any {
	d := c.documents[t.item]
	b := map[string]any{
		"title": string(d.Title), "subtitle": orNull(d.Subtitle), "description": orNull(d.Description),
		"external_id": t.sku, "status": c.Status,
	}
	if d.Status != "" {
		b["status"] = string(d.Status)
	}
	if d.Categories != nil {
		ids := []map[string]string{}
		for _, code := range *d.Categories {
			id := c.ids[string(code)]
			if id == "" {
				c.warn(t.item, "medusa.category_missing", "categories", "Medusa has no category with the handle "+categoryHandle(string(code))+", and create_categories is off.")
				continue
			}
			if at := map[string]string{"id": id}; !slices.ContainsFunc(ids, func(m map[string]string) bool { return m["id"] == id }) {
				ids = append(ids, at)
			}
		}
		b["categories"] = ids
	}
	metadata := maps.Clone(d.Metadata) // Medusa merges it into what there is
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata[ourMark] = t.sku
	b["metadata"] = metadata
	if d.Discountable != nil {
		b["discountable"] = *d.Discountable
	}
	measures(b, d)
	if t.product != nil {
		b["id"] = t.product.ID
		if d.Handle != "" {
			b["handle"] = string(d.Handle)
		}
		return b
	}
	b["handle"] = t.handle
	if c.sales.channel != "" {
		b["sales_channels"] = []map[string]string{{"id": c.sales.channel}}
	}
	if c.sales.profile != "" {
		b["shipping_profile_id"] = c.sales.profile
	}
	if len(t.with) == 0 {
		b["options"] = []map[string]any{{"title": defaultOption, "values": []string{defaultValue}}}
		b["variants"] = []map[string]any{c.ownVariant(t)}
		return b
	}
	var all []map[string]string
	var variants []map[string]any
	for _, i := range t.with {
		v := c.variant(i)
		v["prices"] = []any{}
		all = append(all, c.options(i))
		variants = append(variants, v)
	}
	var options []map[string]any
	for _, title := range slices.Sorted(maps.Keys(all[0])) {
		var values []string
		for _, o := range all {
			if !slices.Contains(values, o[title]) {
				values = append(values, o[title])
			}
		}
		options = append(options, map[string]any{"title": title, "values": values})
	}
	b["options"], b["variants"] = options, variants
	return b
}

// ownVariant is the default variant of a product as it is created.
func (c *contentPush) ownVariant(t *top) map[string]any {
	v := c.codes(t.item)
	v["title"], v["sku"], v["prices"] = defaultVariant, t.sku, []any{}
	v["options"] = map[string]string{defaultOption: defaultValue}
	c.stockOf(v, t.sku)
	return v
}

// stockOf ties a new variant to the inventory item that its SKU left behind:
// Medusa would make another one, and refuse it for its SKU.
func (c *contentPush) stockOf(v map[string]any, sku string) {
	if it, ok := c.stock[sku]; ok {
		v["inventory_items"] = []map[string]any{{"inventory_item_id": it.ID, "required_quantity": 1}}
	}
}

// codes are what a document says of a variant, beside title and options.
func (c *contentPush) codes(i int) map[string]any {
	d := c.documents[i]
	v := map[string]any{"ean": orNull(d.EAN), "upc": orNull(d.UPC), "barcode": orNull(d.Barcode)}
	measures(v, d)
	return v
}

// measures are the fields that products and variants share, and that are changed
// only where the document has them.
func measures(b map[string]any, d *content) {
	for name, a := range map[string]*amount{"weight": d.Weight, "length": d.Length, "height": d.Height, "width": d.Width} {
		switch {
		case a == nil:
		case *a == "":
			b[name] = nil
		default:
			b[name] = a.number()
		}
	}
	for name, t := range map[string]*text{"hs_code": d.HSCode, "mid_code": d.MIDCode, "origin_country": d.OriginCountry, "material": d.Material} {
		if t != nil {
			b[name] = orNull(*t)
		}
	}
}

// lean takes the nulls out of what is created: there is nothing to be cleared.
func lean(b map[string]any) map[string]any {
	maps.DeleteFunc(b, func(_ string, v any) bool { return v == nil })
	variants, _ := b["variants"].([]map[string]any)
	for _, v := range variants {
		lean(v)
	}
	return b
}

// orNull is null for what a document leaves out or empties.
func orNull(t text) any {
	if t == "" {
		return nil
	}
	return string(t)
}
