package woocommerce

import "github.com/sluicehub/sluice/connectors"

// single are the prices for one piece in the channel's currency that hold
// without an end, the one that counts first.
const single = `prices.filter(p, p.currency == currency && p.min_quantity <= 1 && !has(p.valid_to))`

// sale are the lasting prices that the price which counts now undercuts, where
// that one ends at some time: an offer for a limited time, and no mere change of
// price, which the shop must not show beside a crossed-out one.
const sale = single + `.filter(p, has(price.valid_to) && sub(price.amount, p.amount).startsWith('-'))`

// mapping is used where a channel brings none. It needs nothing of a catalogue
// but takes what is usual.
var mapping = connectors.Mapping{
	Content: map[string]string{
		"sku":               `sku`,
		"parent":            `firstOf([parent])`,
		"axes":              `firstOf([axes])`,
		"name":              `firstOf([values.name, values.title, values.product_name, sku])`,
		"description":       `firstOf([values.description])`,
		"short_description": `firstOf([values.short_description])`,
		"status":            `'publish'`,
		"categories":        `firstOf([categories])`,
		"global_unique_id":  `firstOf([values.gtin, values.ean, values.barcode])`,
		"tax_class":         `firstOf([values.tax_class])`,
	},
	Offer: map[string]string{
		"regular_price":         `firstOf([firstOf(` + sale + `.map(p, p.amount)), price.amount])`,
		"sale_price":            `firstOf(` + sale + `.map(p, price.amount))`,
		"date_on_sale_from_gmt": `firstOf(` + sale + `.map(p, price.valid_from))`,
		"date_on_sale_to_gmt":   `firstOf(` + sale + `.map(p, price.valid_to))`,
		"stock":                 `stock.available`,
	},
	Media: map[string]string{
		"images": `firstOf([pictures])`,
	},
}
