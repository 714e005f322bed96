package importing

import (
	"regexp"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// woocommerce is the product CSV that WooCommerce exports and imports: a row for
// each product and each variation, which names its parent by SKU or as "id:44".
// https://github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema
var woocommerce = layout{
	name: "woocommerce",
	knows: func(has func(...string) bool) bool {
		return has("Type", "SKU", "Name", "Published") && (has("Regular price") || has("Parent"))
	},
	role: func(column string) role {
		if n := numbered(column, "Attribute # name"); n > 0 {
			return role{kind: asPairName, pair: n}
		}
		if n := numbered(column, "Attribute # value(s)"); n > 0 {
			return role{kind: asPairValue, pair: n}
		}
		name := strings.ToLower(column)
		if strings.HasPrefix(name, "meta: ") || strings.HasPrefix(name, "attribute ") {
			return role{kind: asNothing}
		}
		if r, ok := woocommerceRoles[name]; ok {
			return r
		}
		return role{}
	},
}

var woocommerceRoles = map[string]role{
	"id": {kind: asID}, "sku": {kind: asSKU}, "parent": {kind: asParent}, "published": {kind: asEnabled},
	"name": {code: "name"}, "description": {code: "description"}, "short description": {code: "short_description"},
	"gtin, upc, ean, or isbn": {code: "gtin"}, "tax class": {code: "tax_class"}, "tags": {code: "tags"}, "brands": {code: "brand"},
	"categories": {kind: asCategories, list: ","}, "images": {code: "images", media: true, list: ","},
	"regular price": {kind: asPrice}, "sale price": {kind: asSale},
	"date sale price starts": {kind: asSaleFrom}, "date sale price ends": {kind: asSaleTo},
	"stock": {kind: asStock}, "in stock?": {kind: asNothing}, "type": {code: "product_type"},
	"is featured?": {kind: asNothing}, "visibility in catalog": {kind: asNothing}, "backorders allowed?": {kind: asNothing},
	"sold individually?": {kind: asNothing}, "allow customer reviews?": {kind: asNothing}, "position": {kind: asNothing},
	"low stock amount": {kind: asNothing}, "grouped products": {kind: asNothing}, "upsells": {kind: asNothing}, "cross-sells": {kind: asNothing},
	"download limit": {kind: asNothing}, "download expiry days": {kind: asNothing},
}

// shopify is the product CSV of Shopify's admin: the rows of a handle are its
// variants, those without any of a variant's cells more pictures.
// https://help.shopify.com/en/manual/products/import-export/using-csv
var shopify = layout{
	name: "shopify", rows: sameKey,
	knows: func(has func(...string) bool) bool {
		return has("Handle", "Title") && (has("Variant Price") || has("Option1 Name") || has("Variant SKU"))
	},
	role: func(column string) role {
		name := strings.ToLower(column)
		if n := numbered(name, "option# name"); n > 0 {
			return role{kind: asPairName, pair: n}
		}
		if n := numbered(name, "option# value"); n > 0 {
			return role{kind: asPairValue, pair: n, own: true}
		}
		if r, ok := shopifyRoles[name]; ok {
			return r
		}
		if strings.HasPrefix(name, "option") {
			return role{kind: asNothing} // linked to metafields
		}
		if words := wordsOf(column); len(words) > 1 && words[0] == "price" { // of a market: "Price / International"
			return role{kind: asNothing}
		}
		if rest, ok := strings.CutPrefix(name, "variant "); ok {
			return role{code: codeOf(rest), own: true}
		}
		return role{own: name == "cost per item"}
	},
}

var shopifyRoles = map[string]role{
	"handle": {kind: asKey, code: "handle"}, "title": {code: "name"}, "body (html)": {code: "description"}, "vendor": {code: "brand"},
	"type": {code: "product_type"}, "product category": {code: "product_category"}, "tags": {code: "tags"},
	"published": {kind: asEnabled}, "status": {kind: asEnabled},
	"variant sku": {kind: asSKU, own: true}, "variant barcode": {code: "barcode", own: true},
	"variant price": {kind: asPrice, own: true}, "variant compare at price": {kind: asCompare, own: true},
	"variant inventory qty": {kind: asStock, own: true}, "image src": {code: "images", media: true},
	"variant image": {code: "images", media: true, own: true}, "image position": {kind: asNothing}, "image alt text": {kind: asNothing},
	"variant inventory tracker": {kind: asNothing}, "variant inventory policy": {kind: asNothing}, "variant fulfillment service": {kind: asNothing},
	"variant requires shipping": {kind: asNothing}, "variant taxable": {kind: asNothing}, "gift card": {kind: asNothing},
}

// vendure is the CSV of Vendure's product importer: rows without a name are
// further variants of the product above, lists are separated by "|".
// https://docs.vendure.io/guides/developer-guide/importing-data/
var vendure = layout{
	name: "vendure", rows: untitled,
	knows: func(has func(...string) bool) bool {
		return has("sku", "assets") && (has("optionGroups") || has("optionGroups:en")) && (has("optionValues") || has("optionValues:en") || has("slug"))
	},
	role: func(column string) role {
		base, locale := column, ""
		own := false
		for _, level := range []string{"product:", "variant:"} {
			if rest, ok := strings.CutPrefix(column, level); ok {
				base, own = rest, level == "variant:"
			}
		}
		if b, l, ok := strings.Cut(base, ":"); ok {
			base, locale = b, l
		}
		r, known := vendureRoles[strings.ToLower(base)]
		if !known {
			r = role{code: codeOf(base), own: own}
		}
		r.locale = locale
		return r
	},
}

var vendureRoles = map[string]role{
	"name": {kind: asTitle, code: "name"}, "slug": {kind: asKey, code: "slug"}, "description": {code: "description"},
	"assets": {code: "images", media: true, list: "|"}, "variantassets": {code: "images", media: true, list: "|", own: true},
	"facets": {kind: asFacets}, "variantfacets": {kind: asFacets, own: true},
	"optiongroups": {kind: asNameList}, "optionvalues": {kind: asValueList, own: true},
	"sku": {kind: asSKU, own: true}, "price": {kind: asPrice, own: true}, "taxcategory": {code: "tax_class", own: true},
	"stockonhand": {kind: asStock, own: true}, "trackinventory": {kind: asNothing}, "enabled": {kind: asEnabled},
}

var (
	medusaPrice = regexp.MustCompile(`(?i)^(?:variant )?price ([A-Z]{3})$`)
	medusaOther = regexp.MustCompile(`(?i)^(?:variant )?price .*\[.*\]$`)
)

// medusa is the CSV of Medusa's admin, of version 1 and 2: a row for each
// variant, which repeats its product's cells.
// https://docs.medusajs.com/user-guide/products/import
var medusa = layout{
	name: "medusa", rows: sameKey,
	knows: func(has func(...string) bool) bool {
		return has("Product Handle", "Product Title") && (has("Variant Sku") || has("Variant Id") || has("Variant Title"))
	},
	role: func(column string) role {
		name := strings.ToLower(column)
		plain := strings.TrimPrefix(name, "variant ")
		if n := numbered(plain, "option # name"); n > 0 {
			return role{kind: asPairName, pair: n}
		}
		if n := numbered(plain, "option # value"); n > 0 {
			return role{kind: asPairValue, pair: n, own: true}
		}
		if m := medusaPrice.FindStringSubmatch(column); m != nil {
			return role{kind: asPrice, currency: pim.Currency(strings.ToUpper(m[1])), own: true}
		}
		switch {
		case medusaOther.MatchString(column): // of a region
			return role{kind: asNothing}
		case numbered(name, "product image #") > 0, numbered(name, "image # url") > 0, name == "product thumbnail":
			return role{code: "images", media: true}
		case numbered(name, "product tag #") > 0, name == "product tags":
			return role{code: "tags"}
		case numbered(name, "product category #") > 0:
			return role{kind: asCategories}
		case strings.HasSuffix(name, " at") || strings.HasSuffix(name, " id") && name != "product external id":
			return role{kind: asNothing} // Medusa's own keys and times
		}
		if r, ok := medusaRoles[name]; ok {
			return r
		}
		if rest, ok := strings.CutPrefix(name, "product "); ok {
			return role{code: codeOf(rest)}
		}
		if rest, ok := strings.CutPrefix(name, "variant "); ok {
			return role{code: codeOf(rest), own: true}
		}
		return role{}
	},
}

var medusaRoles = map[string]role{
	"product handle": {kind: asKey, code: "handle"}, "product title": {code: "name"}, "product status": {kind: asEnabled},
	"product type": {code: "product_type"}, "product is giftcard": {kind: asNothing}, "product discountable": {kind: asNothing},
	"variant sku": {kind: asSKU, own: true}, "variant title": {kind: asNothing, own: true},
	"variant ean": {code: "ean", own: true}, "variant upc": {code: "upc", own: true}, "variant barcode": {code: "barcode", own: true},
	"variant inventory quantity": {kind: asStock, own: true}, "variant manage inventory": {kind: asNothing}, "variant allow backorder": {kind: asNothing},
	"variant variant rank": {kind: asNothing}, "variant metadata": {kind: asNothing},
}
