package woocommercetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

var (
	notGTIN = regexp.MustCompile(`[^0-9Xx-]`)
	price   = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?)?$`)
	moment  = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z?$`)
)

// reader reads a row's fields into a product. As in PHP's isset, null is as good
// as absent. A field of another type than documented is a violation: batches
// are not checked, so the shop would store something.
type reader struct {
	f   *Fake
	p   *Product
	of  *Product // the parent of a variation
	row map[string]json.RawMessage
}

func (r *reader) get(name string, to any) bool {
	raw, ok := r.row[name]
	if !ok || string(raw) == "null" {
		return false
	}
	if err := json.Unmarshal(raw, to); err != nil {
		r.f.violated("%s of %s has another type than documented: %s", name, r.p.SKU, raw[:min(len(raw), 100)])
		return false
	}
	return true
}

func (r *reader) text(name string, to *string) {
	var s string
	if r.get(name, &s) {
		*to = s
	}
}

func (r *reader) enum(name string, to *string, allowed ...string) {
	var s string
	if !r.get(name, &s) {
		return
	}
	if !slices.Contains(allowed, s) {
		r.f.violated("%s of %s is %q", name, r.p.SKU, s)
		return
	}
	*to = s
}

// documented are the fields that a row may have.
var documented = map[bool][]string{
	false: {
		"id", "name", "slug", "type", "status", "featured", "catalog_visibility", "description", "short_description", "sku", "global_unique_id", "regular_price",
		"sale_price", "date_on_sale_from_gmt", "date_on_sale_to_gmt", "virtual", "tax_status", "tax_class", "manage_stock", "stock_quantity", "stock_status", "backorders",
		"low_stock_amount", "sold_individually", "weight", "dimensions", "shipping_class", "reviews_allowed", "purchase_note", "categories", "images", "attributes", "menu_order", "meta_data",
	},
	true: {
		"id", "status", "description", "sku", "global_unique_id", "regular_price", "sale_price", "date_on_sale_from_gmt", "date_on_sale_to_gmt", "virtual", "tax_status", "tax_class",
		"manage_stock", "stock_quantity", "stock_status", "backorders", "low_stock_amount", "weight", "dimensions", "shipping_class", "image", "attributes", "menu_order", "meta_data",
	},
}

// apply writes a row into p, or says why the shop refuses it.
func (f *Fake) apply(p *Product, row map[string]json.RawMessage, of *Product) *refusal {
	for name := range row {
		if !slices.Contains(documented[of != nil], name) {
			f.violated("a row has the field %q", name)
		}
	}
	r := &reader{f: f, p: p, of: of, row: row}
	if bad := r.identity(); bad != nil {
		return bad
	}
	r.texts()
	r.offer()
	if bad := r.images(); bad != nil {
		return bad
	}
	if of != nil {
		r.choices()
	} else {
		r.attributes()
		r.categories()
	}
	p.settle()
	return nil
}

// identity reads what has to be unique.
func (r *reader) identity() *refusal {
	var sku string
	if r.get("sku", &sku) {
		if clean := sanitize(sku); clean != sku {
			r.f.violated("the SKU %q is stored as %q", sku, clean)
			sku = clean
		}
		if other := r.f.find(sku); sku != "" && other != nil && other.ID != r.p.ID {
			return refuse(http.StatusBadRequest, "product_invalid_sku", "Invalid or duplicated SKU.", "resource_id", other.ID, "unique_sku", sku+"-1")
		}
		r.p.SKU = sku
	}
	if r.f.reject[r.p.SKU] {
		return refuse(http.StatusBadRequest, "woocommerce_rest_product_not_created", "This shop does not want it.")
	}
	var gtin string
	if r.get("global_unique_id", &gtin) {
		gtin = notGTIN.ReplaceAllString(gtin, "")
		if i := strings.IndexAny(gtin, "xX"); i >= 0 && i < len(gtin)-1 {
			return refuse(http.StatusBadRequest, "product_invalid_global_unique_id_format", "Invalid GTIN, UPC, EAN, or ISBN. The letter X is only valid as the final ISBN-10 check digit.")
		}
		if other := r.f.byGTIN[gtin]; gtin != "" && other != 0 && other != r.p.ID {
			return refuse(http.StatusBadRequest, "product_invalid_global_unique_id", "Invalid or duplicated GTIN, UPC, EAN or ISBN.", "resource_id", other)
		}
		r.p.GlobalUniqueID = gtin
	}
	return nil
}

func (r *reader) texts() {
	p := r.p
	r.enum("type", &p.Type, "simple", "variable", "grouped", "external")
	r.text("name", &p.Name)
	r.text("slug", &p.Slug)
	r.text("description", &p.Description)
	r.text("short_description", &p.ShortDescription)
	r.enum("status", &p.Status, "draft", "pending", "private", "publish")
	r.enum("catalog_visibility", &p.CatalogVisibility, "visible", "catalog", "search", "hidden")
	r.enum("tax_status", &p.TaxStatus, "taxable", "shipping", "none")
	var class string
	if r.get("tax_class", &class) {
		class = strings.TrimPrefix(slug(class), "standard")
		if !r.f.taxClasses[class] {
			class = "" // so it does, without a word
		}
		p.TaxClass = class
	}
	r.text("weight", &p.Weight)
	r.get("dimensions", &p.Dimensions)
	r.text("shipping_class", &p.ShippingClass)
	r.text("purchase_note", &p.PurchaseNote)
	r.get("featured", &p.Featured)
	r.get("virtual", &p.Virtual)
	r.get("reviews_allowed", &p.ReviewsAllowed)
	r.get("sold_individually", &p.SoldIndividually)
	r.get("menu_order", &p.MenuOrder)
	r.get("meta_data", &p.MetaData)
}

func (r *reader) offer() {
	p := r.p
	for name, to := range map[string]*string{"regular_price": &p.RegularPrice, "sale_price": &p.SalePrice} {
		var s string
		if r.get(name, &s) {
			if !price.MatchString(s) {
				r.f.violated("%s of %s is %q", name, p.SKU, s)
			}
			*to, p.offered = s, true
		}
	}
	for name, to := range map[string]**string{"date_on_sale_from_gmt": &p.SaleFromGMT, "date_on_sale_to_gmt": &p.SaleToGMT} {
		var s string
		if !r.get(name, &s) {
			continue
		}
		if *to = nil; s == "" {
			continue
		}
		if !moment.MatchString(s) {
			r.f.violated("%s of %s is %q", name, p.SKU, s)
		}
		s = strings.TrimSuffix(s, "Z")
		*to = &s
	}
	if r.get("manage_stock", &p.ManageStock) {
		p.offered = true
	}
	r.enum("stock_status", &p.StockStatus, "instock", "outofstock", "onbackorder")
	r.enum("backorders", &p.Backorders, "no", "notify", "yes")
	var n int64
	if r.get("stock_quantity", &n) {
		if !p.ManageStock {
			r.f.violated("stock of %s, which does not manage it", p.SKU)
		}
		p.StockQuantity = &n
	}
	var low int64
	if r.get("low_stock_amount", &low) {
		p.LowStockAmount = &low
	}
}

// sent is a picture in a row.
type sent struct {
	ID   int64  `json:"id"`
	Src  string `json:"src"`
	Name string `json:"name"`
	Alt  string `json:"alt"`
}

func (r *reader) images() *refusal {
	var list []sent
	kind := "product"
	if r.of != nil {
		kind = "variation"
		var one sent
		if !r.get("image", &one) {
			return nil
		}
		if one != (sent{}) {
			list = []sent{one}
		}
	} else if !r.get("images", &list) {
		return nil
	}
	images := []Image{}
	for _, s := range list {
		img := r.f.library[s.ID]
		switch {
		case s.ID != 0 && img == nil:
			return refuse(http.StatusBadRequest, "woocommerce_"+kind+"_invalid_image_id", fmt.Sprintf("#%d is an invalid image ID.", s.ID))
		case s.ID == 0 && r.f.broken[s.Src]:
			return refuse(http.StatusBadRequest, "woocommerce_"+kind+"_image_upload_error", "Error getting remote image "+s.Src+". Error: Not Found")
		case s.ID == 0:
			id := r.f.next()
			img = &Image{ID: id, Src: fmt.Sprintf("https://shop.example/wp-content/uploads/%d.jpg", id), Name: s.Name, Origin: s.Src}
			r.f.library[id] = img
			r.f.count.Loaded++
		}
		// Title and alternative text are the library's: all who show it have them.
		if s.Name != "" {
			img.Name = s.Name
		}
		if s.Alt != "" {
			img.Alt = s.Alt
		}
		r.f.ledger.Put(tableLibrary, keyOf(img.ID), img.kept())
		images = append(images, *img)
	}
	r.p.Images, r.p.shown = images, true
	return nil
}

// attributes replaces a product's attributes. Options that variations use must stay.
func (r *reader) attributes() {
	var list []Attribute
	if !r.get("attributes", &list) {
		return
	}
	out := []Attribute{}
	for _, a := range list {
		if a.ID == 0 && a.Name == "" {
			continue
		}
		for i, o := range a.Options {
			if strings.Contains(o, "|") {
				r.f.violated("the option %q of %s would be two", o, r.p.SKU)
			}
			a.Options[i] = strings.Join(strings.Fields(o), " ")
		}
		a.Slug = slug(a.Name)
		out = append(out, a)
	}
	r.p.Attributes = out
	for _, id := range r.p.Variations {
		v := r.f.products[id]
		for _, c := range v.choices {
			if !r.offers(c.Name, c.Option) {
				r.f.violated("the parent %s lost the option %s %q of its variation %s", r.p.SKU, c.Name, c.Option, v.SKU)
			}
		}
	}
}

func (r *reader) offers(name, option string) bool {
	parent := r.of
	if parent == nil {
		parent = r.p
	}
	return slices.ContainsFunc(parent.Attributes, func(a Attribute) bool {
		return slug(a.Name) == slug(name) && a.Variation && slices.Contains(a.Options, option)
	})
}

// choices reads a variation's options. WooCommerce drops what the parent does
// not offer, so that the variation stands for any option.
func (r *reader) choices() {
	var list []Choice
	if !r.get("attributes", &list) {
		return
	}
	r.p.choices = []Choice{}
	for _, c := range list {
		for _, a := range r.of.Attributes {
			if c.ID != 0 && c.ID == a.ID {
				c.Name = a.Name
			}
		}
		if !r.offers(c.Name, c.Option) {
			r.f.violated("the variation %s has the option %s %q, which its parent does not offer", r.p.SKU, c.Name, c.Option)
			continue
		}
		c.Slug = slug(c.Name)
		r.p.choices = append(r.p.choices, c)
	}
}

func (r *reader) categories() {
	var list []struct {
		ID int64 `json:"id"`
	}
	if !r.get("categories", &list) {
		if len(r.p.Categories) == 0 {
			r.p.Categories = []Category{*r.f.categories[15]}
		}
		return
	}
	out := []Category{}
	for _, c := range list {
		if held := r.f.categories[c.ID]; held != nil {
			out = append(out, Category{ID: held.ID, Name: held.Name, Slug: held.Slug})
		}
	}
	if len(out) == 0 {
		out = append(out, *r.f.categories[15])
	}
	r.p.Categories = out
}
