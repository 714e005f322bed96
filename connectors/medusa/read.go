package medusa

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// heldProduct is a product as a read finds it; all has its plain fields.
type heldProduct struct {
	product
	Categories []struct {
		Handle string `json:"handle"`
	} `json:"categories"`
	all map[string]any
}

// UnmarshalJSON keeps the fields besides.
func (p *heldProduct) UnmarshalJSON(b []byte) error {
	type known heldProduct
	return keepAll(b, (*known)(p), &p.all)
}

// heldVariant is a variant as a read finds it.
type heldVariant struct {
	ID        string `json:"id"`
	SKU       string `json:"sku"`
	Thumbnail string `json:"thumbnail"`
	Managed   bool   `json:"manage_inventory"`
	Options   []struct {
		Value  string `json:"value"`
		Option struct {
			Title string `json:"title"`
		} `json:"option"`
	} `json:"options"`
	Product struct {
		ID         string `json:"id"`
		ExternalID string `json:"external_id"`
		Status     string `json:"status"`
	} `json:"product"`
	Prices []heldPrice `json:"prices"`
	Items  []struct {
		Inventory struct {
			Levels []struct {
				Location string      `json:"location_id"`
				Stocked  json.Number `json:"stocked_quantity"`
			} `json:"location_levels"`
		} `json:"inventory"`
	} `json:"inventory_items"`
	all map[string]any
}

type heldPrice struct {
	Currency string      `json:"currency_code"`
	Amount   json.Number `json:"amount"`
	From     json.Number `json:"min_quantity"`
	To       json.Number `json:"max_quantity"`
}

// UnmarshalJSON keeps the fields besides.
func (v *heldVariant) UnmarshalJSON(b []byte) error {
	type known heldVariant
	return keepAll(b, (*known)(v), &v.all)
}

func keepAll(b []byte, into any, all *map[string]any) error {
	if err := json.Unmarshal(b, into); err != nil {
		return err
	}
	fields, err := connectors.DecodeDocument(b)
	*all = fields
	return err
}

// What a read asks for, by lane. A product's variants are asked for by their
// SKUs, of which there are no more than items; of a product's own answer they are
// but what tells whether and how it is sold.
const (
	plainFields       = "weight,length,height,width,hs_code,mid_code,origin_country,material"
	readContentFields = "id,external_id,title,subtitle,description,handle,status,discountable,metadata,categories.handle,variants.id,variants.sku," + plainFields
	readStateFields   = "id,external_id,status"
	readMediaFields   = mediaFields
	readVariantFields = "id,sku,title,ean,upc,barcode,options.value,options.option.title,product.id,product.external_id,product.status," + plainFields
	readOfferFields   = "id,sku,product.id,product.external_id,product.status," +
		"prices.currency_code,prices.amount,prices.min_quantity,prices.max_quantity," +
		readStockFields
	readStockFields = "manage_inventory,allow_backorder,inventory_items.inventory.location_levels.location_id,inventory_items.inventory.location_levels.stocked_quantity"
	readPlaceFields = "id,sku,thumbnail,product.id,product.external_id,product.status"
)

// Readable implements connectors.Reader.
func (c *Connector) Readable() pim.Lanes { return pim.LanesOf(pim.Content, pim.Offer, pim.Media) }

// reading is one call of Read on its way.
type reading struct {
	*push
	contents []*content
	offers   []*offer
	albums   []*pictures
	products map[string]*heldProduct // by external_id
	variants map[string]*heldVariant // by SKU
	location string
	known    map[string]bool // handles of the categories that there are; nil: not asked for
}

// Read asks the shop for the items' products and variants; see connectors.Reader.
func (c *Connector) Read(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	n := len(items)
	r := &reading{push: &push{Connector: c, items: items}, contents: make([]*content, n), offers: make([]*offer, n), albums: make([]*pictures, n)}
	out := make([]connectors.Held, n)
	for i := range items {
		if items[i].Action.Tombstone() {
			continue
		}
		if issues := r.decode(i); len(issues) > 0 {
			out[i].Err = invalid(issues...)
		}
	}
	if err := r.ask(ctx); err != nil {
		return nil, err
	}
	for i := range items {
		if out[i].Err == nil {
			out[i] = r.held(i)
		}
	}
	return out, nil
}

// decode reads an item's document.
func (r *reading) decode(i int) (issues []pim.Issue) {
	switch it := r.items[i]; it.Lane {
	case pim.Content:
		r.contents[i], issues = readContent(it.Document)
	case pim.Offer:
		r.offers[i], issues = readOffer(it.Document)
	case pim.Media:
		r.albums[i], issues, _ = readPictures(it.Document)
	default:
		issues = []pim.Issue{problem("medusa.lane", "", "Medusa has no such lane.")}
	}
	return issues
}

// parent is the SKU that an item's document names as its parent.
func (r *reading) parent(i int) string {
	switch {
	case r.contents[i] != nil:
		return string(r.contents[i].Parent)
	case r.offers[i] != nil:
		return string(r.offers[i].Parent)
	case r.albums[i] != nil:
		return string(r.albums[i].Parent)
	}
	return ""
}

// ask reads all that the items need, in as few requests as there are kinds.
func (r *reading) ask(ctx context.Context) (err error) {
	var skus, external, codes []string
	stock, disabled := false, false
	for i, it := range r.items {
		skus = append(skus, string(it.SKU))
		external = append(external, cmp.Or(r.parent(i), string(it.SKU)))
		if d := r.contents[i]; d != nil && d.Parent == "" && d.Categories != nil {
			for _, code := range *d.Categories {
				codes = append(codes, string(code))
			}
		}
		stock = stock || r.offers[i] != nil && r.offers[i].Stock != nil || it.Action == connectors.SellOut
		disabled = disabled || it.Action == connectors.Disable
	}
	ofProducts, ofVariants := readStateFields, readPlaceFields
	switch r.items[0].Lane {
	case pim.Content:
		ofProducts, ofVariants = readContentFields, readVariantFields
		if disabled {
			ofVariants += "," + readStockFields // what has no status is kept without stock
		}
	case pim.Offer:
		ofVariants = readOfferFields
	case pim.Media:
		ofProducts = readMediaFields
	}
	if r.products, err = readAll(ctx, r, "/admin/products", "external_id[]", ofProducts, unique(external), func(p *heldProduct) string { return p.ExternalID }); err != nil {
		return err
	}
	if r.variants, err = readAll(ctx, r, "/admin/product-variants", "sku[]", ofVariants, unique(skus), func(v *heldVariant) string { return v.SKU }); err != nil {
		return err
	}
	if stock || disabled {
		if r.location, _, err = r.forStock(ctx); err != nil {
			return err
		}
	}
	if len(codes) > 0 && !r.createCategories { // else one that is not there is one that went
		handles := map[string]string{}
		for _, code := range codes {
			handles[categoryHandle(code)] = code
		}
		found, err := r.findCategories(ctx, handles)
		if err != nil {
			return err
		}
		r.known = map[string]bool{}
		for handle := range found {
			r.known[handle] = true
		}
	}
	return nil
}

// readAll reads a list by the values of one field. Of several that have one
// value the oldest counts.
func readAll[T any](ctx context.Context, r *reading, path, name, fields string, values []string, key func(*T) string) (map[string]*T, error) {
	found := map[string]*T{}
	err := each(name, values, func(q url.Values) error {
		q.Set("fields", fields)
		q.Set("limit", strconv.Itoa(4*lookUp))
		q.Set("order", "id")
		var answer struct {
			Products []*T `json:"products"`
			Variants []*T `json:"variants"`
		}
		if err := r.get(ctx, path, q, &answer); err != nil {
			return err
		}
		for _, it := range slices.Concat(answer.Products, answer.Variants) {
			if it != nil && found[key(it)] == nil {
				found[key(it)] = it
			}
		}
		return nil
	})
	return found, err
}

// held says what the shop holds of one item.
func (r *reading) held(i int) connectors.Held {
	it := r.items[i]
	sku, parent := string(it.SKU), r.parent(i)
	p, v := r.products[sku], r.variants[sku]
	if v != nil && v.Product.ExternalID == "" {
		v = nil // of a product that was never ours
	}
	if it.Action.Tombstone() {
		return r.left(p, v, it.Action)
	}
	absent := connectors.Held{Presence: connectors.Absent}
	s := &seen{variant: v, bare: true}
	status := ""
	switch {
	case parent == "":
		if p == nil {
			return absent
		}
		s.product, status = p, p.Status
		if v != nil && v.Product.ExternalID != sku {
			s.variant = nil // it is sold by another product's variant, which is not this one
		}
	case v == nil:
		return absent
	default:
		s.product, status = r.products[parent], v.Product.Status
	}
	s.fields, s.same = map[string]any{"parent": connectors.Unsent{}}, map[string]bool{}
	switch {
	case r.contents[i] != nil && parent == "":
		r.top(s, sku, r.contents[i])
	case r.contents[i] != nil:
		r.child(s, sku, r.contents[i])
	case r.offers[i] != nil:
		r.offer(s, r.offers[i])
	case !r.pictures(s, sku, r.albums[i]):
		return absent
	}
	document, exact, err := connectors.HeldDocument(it.Document, s.fields, func(name string, sent, held any) (alike, exact bool) {
		alike, told := s.same[name]
		if !told {
			alike = scalar(sent) == scalar(held)
		}
		return alike, alike
	})
	if err != nil {
		return connectors.Held{Err: &connectors.Error{Verdict: connectors.Permanent, Err: err}}
	}
	where := presence(status)
	if parent != "" && where == connectors.Hidden {
		where = connectors.Kept // the status is the parent's: a variant has none that could differ
	}
	return connectors.Held{Presence: where, Document: document, Exact: exact && s.bare}
}

// left is what a read says of a withdrawn item.
func (r *reading) left(p *heldProduct, v *heldVariant, a connectors.Action) connectors.Held {
	switch {
	case a == connectors.SellOut && v != nil && !r.soldOut(v):
		return connectors.Held{Presence: presence(v.Product.Status)}
	case a == connectors.SellOut, a == connectors.Disable && v != nil && (p == nil || v.Product.ID != p.ID) && r.soldOut(v):
	case v != nil && (p == nil || v.Product.ID != p.ID):
		return connectors.Held{Presence: presence(v.Product.Status)}
	case p != nil && (!r.drafts(a) || p.Status != "draft"):
		return connectors.Held{Presence: presence(p.Status)}
	}
	return connectors.Held{Presence: connectors.Absent, Exact: true}
}

// soldOut reports whether nobody can order a variant at the channel's location.
func (r *reading) soldOut(v *heldVariant) bool {
	stocked := r.stocked(v).String()
	return v.Managed && v.all["allow_backorder"] != true && (stocked == "" || connectors.SameAmount(stocked, "0"))
}

func presence(status string) connectors.Presence {
	if status == "published" {
		return connectors.Shown
	}
	return connectors.Hidden
}

// scalar is a plain value as a text, null being none.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// plain is a plain field as the shop holds it; nil for none.
func plain(all map[string]any, name string) any {
	if v := all[name]; v != "" {
		return v
	}
	return nil
}

// titled are a variant's options by title.
func (v *heldVariant) titled() map[string]string {
	options := map[string]string{}
	for _, o := range v.Options {
		options[o.Option.Title] = strings.TrimSpace(o.Value)
	}
	return options
}
