//go:build unix

package demo

import (
	"fmt"
	"maps"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
)

// The demo's mappings serve its own catalogue and whatever people import into it:
// products without a name in the channel's language, without a number that bol
// would know, or without a price are nobody's mistake here.
const (
	named = `firstOf([values.name, text('name', 'en-GB'), values.product_name, values.title, sku])`
	known = `string(firstOf([values.gtin, values.ean, values.ean13, values.barcode, values.barcode_id, values.upc]))`
)

// gtined reports whether known is a GTIN with a right check digit (GS1 General
// Specifications, section 7.9), for the target refuses others.
func gtined() string {
	padded := fmt.Sprintf("('000000' + %s).substring(size(%s) - 8)", known, known) // to 14 digits
	var sum []string
	for i := range 14 {
		sum = append(sum, fmt.Sprintf("int(%s.charAt(%d)) * %d", padded, i, 3-2*(i%2)))
	}
	return known + `.matches('^([0-9]{8}|[0-9]{12,14})$') && (` + strings.Join(sum, " + ") + `) % 10 == 0`
}

// where leaves a field out unless condition holds. A document without any field
// is not sent.
func where(condition, expression string) string {
	return "(" + condition + ") ? dyn(" + expression + ") : null"
}

// ordinary is a connector's default mapping, its content to be changed.
func ordinary(connector string) *connectors.Mapping {
	m := connectors.Mapping{Content: map[string]string{}}
	if kind, err := all.Registry().Kind(connector); err == nil { // it is there: its channel could not be made otherwise
		m = kind.Mapping
	}
	m.Content = maps.Clone(m.Content)
	return &m
}

// shopMapping is WooCommerce's default, with what the demo's catalogue has beside.
func shopMapping() *connectors.Mapping {
	m := ordinary(wooCommerce)
	m.Content["name"] = named
	m.Content["slug"] = "slug(" + named + " + ' ' + sku)"
	m.Content["short_description"] = "firstOf([values.teaser])"
	return m
}

// marketMapping is a plain document for the webhook.
func marketMapping() *connectors.Mapping {
	return &connectors.Mapping{
		Content: map[string]string{
			"sku": "sku", "parent": "firstOf([parent])", "ean": "values.gtin",
			"title":    "truncate(firstOf([values.name, text('name', 'en-GB'), sku]), 80)",
			"text":     "stripTags(values.description)",
			"category": "family",
		},
		Offer: map[string]string{"price": "number(price.amount)", "currency": "price.currency", "stock": "stock.available"},
		Media: map[string]string{"pictures": "firstOf([media])", "thumbnail": "'thumb' in renditions ? dyn(renditions['thumb'][0]) : null", "manual": "firstOf([value('manual', locale)])"},
	}
}

// testMapping shows what is translated. It has no offer: nobody buys there.
func testMapping() *connectors.Mapping {
	return &connectors.Mapping{
		Content: map[string]string{"sku": "sku", "title": "firstOf([values.name, sku])", "text": "firstOf([values.description])"},
		Media:   map[string]string{"pictures": "firstOf([media])"},
	}
}

// bolMapping sends what bol can sell: products with a GTIN, and offers of them at
// a price that it takes.
func bolMapping() *connectors.Mapping {
	content, offer := gtined(), "has(price.amount) && number(price.amount) >= 1.0 && number(price.amount) <= 9999.0 && "+gtined()
	return &connectors.Mapping{
		Content: map[string]string{
			"ean":         where(content, known),
			"language":    where(content, "'nl'"),
			"Name":        where(content, named),
			"Description": where(content, "truncate(stripTags(values.description), 10000)"),
			"images":      where(content, "firstOf([media])"),
		},
		Offer: map[string]string{
			"ean":      where(offer, known),
			"price":    where(offer, "price.amount"),
			"currency": where(offer, "price.currency"),
			"stock":    where(offer, "stock.available"),
			"title":    where(offer, "truncate("+named+", 500)"),
		},
	}
}

// erpMapping is Tryton's default.
func erpMapping() *connectors.Mapping {
	m := ordinary(tryton)
	m.Content["name"] = named
	m.Content["gtin"] = where(gtined(), known)
	return m
}
