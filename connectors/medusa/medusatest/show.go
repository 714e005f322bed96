package medusatest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// moment is the time that everything was made and changed.
const moment = "2026-01-02T03:04:05.678Z"

// fields is Medusa's parameter of that name as a tree: what an answer shows.
type fields map[string]fields

// fieldsOf reads "id,variants.sku,*images".
func fieldsOf(s string) fields {
	if s == "" {
		return nil // everything
	}
	root := fields{"id": nil}
	for _, path := range strings.Split(s, ",") {
		at := root
		whole := strings.HasPrefix(path, "*")
		steps := strings.Split(strings.TrimPrefix(path, "*"), ".")
		for i, step := range steps {
			if i == len(steps)-1 {
				if whole || at[step] == nil {
					at[step] = nil
				}
				break
			}
			next, there := at[step]
			if next == nil {
				if there {
					break // all of it, already
				}
				next = fields{}
				at[step] = next
			}
			at = next
		}
	}
	return root
}

// pick leaves of a thing what is asked for.
func (f fields) pick(v any) any {
	if f == nil {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, sub := range f {
			if it, ok := v[name]; ok {
				out[name] = sub.pick(it)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = f.pick(v[i])
		}
		return out
	}
	return v
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func stamped(m map[string]any) map[string]any {
	m["created_at"], m["updated_at"], m["deleted_at"] = moment, moment, nil
	return m
}

func (s *state) showProduct(p *product) map[string]any {
	m := stamped(map[string]any{
		"id": p.id, "external_id": orNull(p.externalID), "title": p.title, "subtitle": orNull(p.subtitle), "description": orNull(p.description),
		"handle": p.handle, "status": p.status, "thumbnail": orNull(p.thumbnail), "is_giftcard": false, "discountable": true,
		"collection_id": nil, "type_id": nil, "metadata": nil, "weight": nil, "length": nil, "height": nil, "width": nil,
		"hs_code": nil, "origin_country": nil, "mid_code": nil, "material": nil,
	})
	maps.Copy(m, p.fields)
	options, variants, images, categories := []any{}, []any{}, []any{}, []any{}
	for _, id := range p.options {
		o := s.options[id]
		values := []any{}
		for _, v := range o.values {
			values = append(values, stamped(map[string]any{"id": v.id, "value": v.text, "option_id": o.id, "rank": nil, "metadata": nil}))
		}
		options = append(options, stamped(map[string]any{"id": o.id, "title": o.title, "is_exclusive": o.exclusive, "product_id": p.id, "metadata": nil, "values": values}))
	}
	for _, v := range s.of(p.id) {
		variants = append(variants, s.showVariant(v))
	}
	for rank, i := range p.images {
		tied := []any{}
		for _, id := range i.variants {
			tied = append(tied, map[string]any{"id": id})
		}
		images = append(images, stamped(map[string]any{"id": i.id, "url": i.url, "rank": rank, "metadata": nil, "product_id": p.id, "variants": tied}))
	}
	for _, id := range p.categories {
		categories = append(categories, showCategory(s.categories[id]))
	}
	m["options"], m["variants"], m["images"], m["categories"] = options, variants, images, categories
	return m
}

func (s *state) showVariant(v *variant) map[string]any {
	m := stamped(map[string]any{
		"id": v.id, "product_id": v.product, "sku": orNull(v.sku), "title": v.title, "ean": orNull(v.ean), "upc": orNull(v.upc),
		"barcode": orNull(v.barcode), "thumbnail": orNull(v.thumbnail), "manage_inventory": v.managed, "allow_backorder": false, "variant_rank": 0,
		"metadata": nil, "weight": nil, "length": nil, "height": nil, "width": nil, "hs_code": nil, "origin_country": nil, "mid_code": nil, "material": nil,
	})
	maps.Copy(m, v.fields)
	options, prices, items := []any{}, []any{}, []any{}
	p := s.products[v.product]
	if p != nil {
		m["product"] = map[string]any{"id": p.id, "external_id": orNull(p.externalID), "status": p.status, "metadata": p.fields["metadata"]}
		for _, id := range p.options {
			for _, val := range s.options[id].values {
				if slices.Contains(v.options, val.id) {
					options = append(options, stamped(map[string]any{"id": val.id, "value": val.text, "option_id": id, "rank": nil, "metadata": nil, "option": map[string]any{"id": id, "title": s.options[id].title}}))
				}
			}
		}
	}
	for _, pr := range v.prices {
		var from any
		if pr.from != "" {
			from = json.Number(pr.from)
		}
		prices = append(prices, stamped(map[string]any{
			"id": pr.id, "variant_id": v.id, "currency_code": pr.currency, "amount": json.Number(pr.amount), "min_quantity": from, "max_quantity": nil, "rules": map[string]any{},
		}))
	}
	for _, id := range v.items {
		items = append(items, map[string]any{"inventory_item_id": id, "variant_id": v.id, "inventory": showItem(s.items[id])})
	}
	m["options"], m["prices"], m["inventory_items"] = options, prices, items
	return m
}

func showItem(it *item) map[string]any {
	levels := []any{}
	for _, location := range slices.Sorted(maps.Keys(it.levels)) {
		levels = append(levels, showLevel(it, location))
	}
	return stamped(map[string]any{"id": it.id, "sku": orNull(it.sku), "requires_shipping": true, "location_levels": levels})
}

func showLevel(it *item, location string) map[string]any {
	stocked := it.levels[location]
	return stamped(map[string]any{
		"id": "ilev_" + it.id + location, "inventory_item_id": it.id, "location_id": location, "stocked_quantity": stocked,
		"reserved_quantity": 0, "incoming_quantity": 0, "available_quantity": stocked, "metadata": nil,
	})
}

func showCategory(c *category) map[string]any {
	return stamped(map[string]any{
		"id": c.id, "handle": c.handle, "name": c.name, "is_active": true, "is_internal": false, "description": "", "rank": 0,
		"parent_category_id": nil, "parent_category": nil, "category_children": []any{}, "metadata": nil,
	})
}

// read answers a GET; nil is an unknown path. Callers hold mu.
func (f *Fake) read(path []string, q url.Values) any {
	if len(path) != 1 {
		return nil
	}
	s := f.state
	var all []any
	list := strings.ReplaceAll(path[0], "-", "_")
	switch path[0] {
	case "products":
		for _, p := range s.chosen(q) {
			if has(q, "external_id", p.externalID) && has(q, "id", p.id) && has(q, "handle", p.handle) {
				all = append(all, s.showProduct(p))
			}
		}
	case "product-variants":
		list = "variants"
		for _, v := range s.chosenVariants(q) {
			all = append(all, s.showVariant(v))
		}
	case "inventory-items":
		for _, id := range slices.Sorted(maps.Keys(s.items)) {
			if it := s.items[id]; has(q, "sku", it.sku) && has(q, "id", id) {
				all = append(all, showItem(it))
			}
		}
	case "product-categories":
		for _, id := range slices.Sorted(maps.Keys(s.categories)) {
			if c := s.categories[id]; has(q, "handle", c.handle) && has(q, "id", id) {
				all = append(all, showCategory(c))
			}
		}
	case "stores":
		var currencies []any
		for i, code := range f.opts.Currencies {
			currencies = append(currencies, stamped(map[string]any{"id": "stocur_" + code, "currency_code": code, "is_default": i == 0, "store_id": "store_FAKE0001", "currency": nil}))
		}
		all = append(all, stamped(map[string]any{
			"id": "store_FAKE0001", "name": "Fake Store", "default_sales_channel_id": SalesChannel, "default_region_id": nil,
			"default_location_id": nil, "metadata": nil, "supported_currencies": currencies,
		}))
	case "sales-channels":
		if has(q, "id", SalesChannel) {
			all = append(all, stamped(map[string]any{"id": SalesChannel, "name": "Web", "description": nil, "is_disabled": false, "metadata": nil}))
		}
	case "shipping-profiles":
		if has(q, "id", ShippingProfile) {
			all = append(all, stamped(map[string]any{"id": ShippingProfile, "name": "Default", "type": "default", "metadata": nil}))
		}
	case "stock-locations":
		for i := range max(f.opts.Locations, 0) {
			if id := fmt.Sprintf("sloc_FAKE%04d", i+1); has(q, "id", id) {
				all = append(all, stamped(map[string]any{"id": id, "name": "Stock " + strconv.Itoa(i+1), "metadata": nil, "address_id": ""}))
			}
		}
	default:
		return nil
	}
	limit, err := strconv.Atoi(cmp.Or(q.Get("limit"), "50"))
	if err != nil || limit < 0 {
		limit = 50
	}
	offset, err := strconv.Atoi(cmp.Or(q.Get("offset"), "0"))
	if err != nil || offset < 0 {
		offset = 0
	}
	count := len(all)
	all = all[min(offset, count):min(offset+limit, count)]
	shown := make([]any, len(all))
	for i := range all {
		shown[i] = fieldsOf(q.Get("fields")).pick(all[i])
	}
	return map[string]any{list: shown, "count": count, "offset": offset, "limit": limit}
}

// has reports whether a query asks for a value, or for any.
func has(q url.Values, name, value string) bool {
	asked := slices.Concat(q[name], q[name+"[]"])
	return len(asked) == 0 || slices.Contains(asked, value)
}

// chosen are the products that a query may mean: all, or by external_id.
func (s *state) chosen(q url.Values) []*product {
	asked := slices.Concat(q["external_id"], q["external_id[]"])
	if len(asked) == 0 {
		return s.ordered()
	}
	var ids []string
	for _, external := range asked {
		ids = append(ids, s.external[external]...)
	}
	slices.Sort(ids)
	var all []*product
	for _, id := range slices.Compact(ids) {
		all = append(all, s.products[id])
	}
	return all
}

func (s *state) chosenVariants(q url.Values) []*variant {
	asked := slices.Concat(q["sku"], q["sku[]"])
	var all []*variant
	if len(asked) == 0 {
		for _, id := range slices.Sorted(maps.Keys(s.variants)) {
			all = append(all, s.variants[id])
		}
		return all
	}
	for _, sku := range asked {
		if v := s.bySKU(sku); v != nil && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}
