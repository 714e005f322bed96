package medusatest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// common are the fields that are kept as they come.
var common = []string{"weight", "length", "height", "width", "hs_code", "mid_code", "origin_country", "material", "discountable", "allow_backorder"}

// setCommon copies them; metadata is merged, and a key whose value is "" goes.
func setCommon(fields, b map[string]any) map[string]any {
	out := maps.Clone(fields)
	if out == nil {
		out = map[string]any{}
	}
	for _, name := range common {
		if v, ok := b[name]; ok {
			out[name] = v
			if v == nil {
				delete(out, name)
			}
		}
	}
	if m, ok := b["metadata"].(map[string]any); ok {
		merged, _ := out["metadata"].(map[string]any)
		merged = maps.Clone(merged)
		if merged == nil {
			merged = map[string]any{}
		}
		for k, v := range m {
			if merged[k] = v; v == "" {
				delete(merged, k)
			}
		}
		out["metadata"] = merged
	}
	return out
}

func (t *tx) createProduct(b map[string]any) (*product, error) {
	p := &product{id: t.id("prod"), title: str(b["title"]), handle: str(b["handle"]), status: str(b["status"]), thumbnail: str(b["thumbnail"])}
	if p.title == "" {
		return nil, invalid("Product title is required")
	}
	if p.handle == "" {
		p.handle = handleOf(p.title)
	}
	if !handles.MatchString(p.handle) {
		return nil, invalid("Invalid product handle '%s'. It must contain URL safe characters", p.handle)
	}
	if p.status == "" {
		p.status = "draft"
	}
	if err := t.claim(ofHandle, p.handle, p.id); err != nil {
		return nil, err
	}
	p.subtitle, p.description = str(b["subtitle"]), str(b["description"])
	p.fields = setCommon(nil, b)
	if err := t.categorise(p, b); err != nil {
		return nil, err
	}
	for _, o := range objects(b["options"]) {
		p.options = append(p.options, t.createOption(o, true))
	}
	for _, channel := range objects(b["sales_channels"]) {
		p.channels = append(p.channels, str(channel["id"])) // whether there is such a channel, Medusa does not ask
	}
	t.setImages(p, b)
	put(t, t.products, p.id, p)
	t.setExternal(p, str(b["external_id"]))
	return p, t.createVariants(p, objects(b["variants"]))
}

func (t *tx) categorise(p *product, b map[string]any) error {
	if _, ok := b["categories"]; !ok {
		return nil
	}
	var ids []string
	for _, c := range objects(b["categories"]) {
		id := str(c["id"])
		if t.categories[id] == nil {
			return notFound("You tried to set relationship product_category_id: %s, but such entity does not exist", id)
		}
		ids = append(ids, id)
	}
	p.categories = ids
	return nil
}

// setImages replaces a product's images. One that comes with its id stays what
// it is, and variants tied to it with it.
func (t *tx) setImages(p *product, b map[string]any) {
	if _, ok := b["images"]; !ok {
		return
	}
	var images []image
	for _, i := range objects(b["images"]) {
		it := image{id: t.id("img"), url: str(i["url"])}
		if n := slices.IndexFunc(p.images, func(old image) bool { return old.id == str(i["id"]) }); n >= 0 {
			it.id, it.variants = p.images[n].id, p.images[n].variants
		}
		images = append(images, it)
	}
	p.images = images
	if p.thumbnail == "" && len(images) > 0 && t.products[p.id] == nil {
		p.thumbnail = images[0].url // at creation only
	}
}

func (t *tx) createOption(o map[string]any, exclusive bool) string {
	it := &option{id: t.id("opt"), title: str(o["title"]), exclusive: exclusive}
	for _, text := range texts(o["values"]) {
		it.values = append(it.values, &value{id: t.id("optval"), text: text})
	}
	put(t, t.options, it.id, it)
	return it.id
}

func (t *tx) updateProduct(b map[string]any) (*product, error) {
	p := t.products[str(b["id"])]
	if p == nil {
		return nil, notFound("Unable to update the products with ids: %s", str(b["id"]))
	}
	keep(t, p)
	if handle, ok := b["handle"]; ok {
		if !handles.MatchString(str(handle)) {
			return nil, invalid("Invalid product handle '%s'. It must contain URL safe characters", str(handle))
		}
		if err := t.rename(ofHandle, &p.handle, str(handle), p.id); err != nil {
			return nil, err
		}
	}
	for name, field := range map[string]*string{"title": &p.title, "subtitle": &p.subtitle, "description": &p.description, "status": &p.status, "thumbnail": &p.thumbnail} {
		if v, ok := b[name]; ok {
			*field = str(v)
		}
	}
	p.fields = setCommon(p.fields, b)
	if v, ok := b["external_id"]; ok {
		t.setExternal(p, str(v))
	}
	t.setImages(p, b)
	return p, t.categorise(p, b)
}

// createVariants makes variants of a product. Two with the same options are not
// noticed where both are new: so it is in Medusa.
func (t *tx) createVariants(p *product, bodies []map[string]any) error {
	var before []*variant
	if p != nil {
		before = t.of(p.id)
	}
	var all []*variant
	for _, b := range bodies {
		options, _ := b["options"].(map[string]any)
		ids, err := t.valuesFor(p, str(b["title"]), options)
		if err != nil {
			return err
		}
		if p == nil || len(ids) == 0 {
			return unknown() // Medusa has no better word for it
		}
		if other := taken(before, ids, ""); other != nil {
			return invalid("Variant (%s) with provided options already exists.", other.title)
		}
		v := &variant{id: t.id("variant"), product: p.id, title: str(b["title"]), managed: true, options: ids, fields: setCommon(nil, b)}
		if managed, ok := b["manage_inventory"].(bool); ok {
			v.managed = managed
		}
		if err := t.codes(v, b); err != nil {
			return err
		}
		t.price(v, b)
		put(t, t.variants, v.id, v)
		all = append(all, v)
		for _, i := range objects(b["inventory_items"]) {
			if t.items[str(i["inventory_item_id"])] == nil {
				return invalid("Inventory Items with ids: %s were not found", str(i["inventory_item_id"]))
			}
			if v.managed {
				v.items = append(v.items, str(i["inventory_item_id"]))
			}
		}
	}
	for _, v := range all {
		if v.managed && len(v.items) == 0 {
			if err := t.stockOf(v); err != nil {
				return err
			}
		}
	}
	return nil
}

// stockOf makes a variant's inventory item.
func (t *tx) stockOf(v *variant) error {
	it := &item{id: t.id("iitem"), sku: v.sku, levels: map[string]float64{}}
	if err := t.claim(ofItem, it.sku, it.id); err != nil {
		return err
	}
	put(t, t.items, it.id, it)
	v.items = []string{it.id}
	return nil
}

func (t *tx) codes(v *variant, b map[string]any) error {
	for _, c := range []struct {
		name, what string
		field      *string
	}{{"sku", ofSKU, &v.sku}, {"ean", ofEAN, &v.ean}, {"upc", ofUPC, &v.upc}, {"barcode", ofBarcode, &v.barcode}} {
		if to, ok := b[c.name]; ok {
			if err := t.rename(c.what, c.field, str(to), v.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// price replaces a variant's prices, all of them.
func (t *tx) price(v *variant, b map[string]any) {
	if _, ok := b["prices"]; !ok {
		return
	}
	prices := []price{}
	for _, p := range objects(b["prices"]) {
		it := price{id: t.id("price"), currency: strings.ToLower(str(p["currency_code"]))}
		it.amount = plain(p["amount"])
		if from, ok := p["min_quantity"].(json.Number); ok {
			it.from = plain(from)
		}
		prices = append(prices, it)
	}
	v.prices = prices
}

// plain writes a number without the zeros that do not count: 19.90 is 19.9.
func plain(v any) string {
	n, _ := v.(json.Number)
	s := n.String()
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// updateVariant goes by the variant's id, whatever product the path names.
func (t *tx) updateVariant(b map[string]any) (*variant, error) {
	v := t.variants[str(b["id"])]
	if v == nil {
		return nil, invalid("Cannot update non-existing variants with ids: %s", str(b["id"]))
	}
	keep(t, v)
	if title, ok := b["title"]; ok {
		v.title = str(title)
	}
	if thumb, ok := b["thumbnail"]; ok {
		v.thumbnail = str(thumb)
	}
	if options, ok := b["options"].(map[string]any); ok {
		ids, err := t.valuesFor(t.products[v.product], v.title, options)
		if err != nil {
			return nil, err
		}
		if other := taken(t.of(v.product), ids, v.id); other != nil {
			return nil, invalid("Variant (%s) with provided options already exists.", other.title)
		}
		if len(ids) > 0 {
			v.options = ids
		}
	}
	if err := t.codes(v, b); err != nil {
		return nil, err
	}
	v.fields = setCommon(v.fields, b)
	t.price(v, b)
	if managed, ok := b["manage_inventory"].(bool); ok {
		v.managed = managed
		switch {
		case !managed:
			v.items = nil // untied, and left behind with its SKU
		case len(v.items) == 0:
			return v, t.stockOf(v)
		}
	}
	return v, nil
}

// changeOptions is POST /admin/products/:id/options/batch.
func (t *tx) changeOptions(p *product, b map[string]any) error {
	keep(t, p)
	options := slices.Clone(p.options)
	for _, o := range objects(b["add"]) {
		exclusive, _ := o["is_exclusive"].(bool)
		id := t.createOption(o, exclusive)
		if !exclusive {
			// One that products may share is unique by its title.
			if err := t.claim(ofOption, str(o["title"]), id); err != nil {
				return err
			}
		}
		options = append(options, id)
	}
	for _, id := range texts(b["remove"]) {
		for _, v := range t.of(p.id) {
			for _, val := range t.options[id].valueIDs() {
				if slices.Contains(v.options, val) {
					return invalid("Cannot unassign product option from product which has variants for that option")
				}
			}
		}
		options = slices.DeleteFunc(options, func(o string) bool { return o == id })
		t.release(id)
	}
	for _, u := range objects(b["update"]) {
		id := str(u["product_option_id"])
		o := t.options[id]
		if o == nil || !slices.Contains(options, id) {
			return invalid("Some product options are not linked to products: [%s:%s]", p.id, id)
		}
		keep(t, o)
		o.values = slices.Clone(o.values)
		for _, a := range objects(u["add"]) {
			text := strings.TrimSpace(str(a["value"]))
			if text != "" && !slices.ContainsFunc(o.values, func(v *value) bool { return v.text == text }) {
				o.values = append(o.values, &value{id: t.id("optval"), text: text})
			}
		}
	}
	p.options = options
	return nil
}

// valueIDs are the ids of an option's values.
func (o *option) valueIDs() (ids []string) {
	if o == nil {
		return nil
	}
	for _, v := range o.values {
		ids = append(ids, v.id)
	}
	return ids
}

// level is one part of POST /admin/inventory-items/location-levels/batch.
func (t *tx) level(b map[string]any, create bool) error {
	id, location := str(b["inventory_item_id"]), str(b["location_id"])
	it := t.items[id]
	if it == nil {
		if create {
			return notFound("You tried to set relationship inventory_item_id: %s, but such entity does not exist", id)
		}
		return notFound("Item %s is not stocked at location %s", id, location)
	}
	_, stocked := it.levels[location]
	switch {
	case create && stocked:
		return invalid("Inventory level with inventory_item_id: %s, location_id: %s, already exists.", id, location)
	case !create && !stocked:
		return notFound("Item %s is not stocked at location %s", id, location)
	}
	keep(t, it)
	it.levels = maps.Clone(it.levels)
	it.levels[location] = 0
	if n, ok := b["stocked_quantity"].(json.Number); ok {
		quantity, err := n.Float64()
		if err != nil {
			return unknown()
		}
		it.levels[location] = quantity
	}
	return nil
}
