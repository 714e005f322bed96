package feed

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// variantAttributes are those in which the products of one item group may differ
// (https://support.google.com/merchants/answer/6324507).
var variantAttributes = []string{"color", "size", "material", "pattern", "age_group", "gender"}

// finding gathers what is wrong with one row.
type finding struct {
	issues []pim.Issue
	has    map[string][]value
}

func (f *finding) add(severity pim.Severity, name, code, format string, args ...any) {
	f.issues = append(f.issues, pim.Issue{Code: "feed." + code, Severity: severity, Attribute: name, Text: fmt.Sprintf(format, args...)})
}

func (f *finding) text(name string) string {
	if list := f.has[name]; len(list) > 0 {
		return list[0].text
	}
	return ""
}

// Preflight holds a document against Google's product data specification; see
// attributes. The SKU, which is the id, is not known here: Push looks at it.
func (c *Connector) Preflight(_ pim.Lane, document map[string]any) []pim.Issue {
	cells, issues := c.row("sku", document)
	f := &finding{issues: issues, has: map[string][]value{}}
	for _, cell := range cells {
		f.has[cell.name] = cell.values
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if attributes[name].required && len(f.has[name]) == 0 && !c.Supplemental {
			f.add(pim.SeverityError, name, "required", "Google requires %s.", name)
		}
	}
	for _, cell := range cells {
		f.cell(cell)
	}
	f.rules(c.Supplemental)
	return f.issues
}

// cell holds one attribute against its own rules.
func (f *finding) cell(c cell) {
	a, known := attributes[c.name]
	if !known {
		return
	}
	if most := max(1, a.many); len(c.values) > most {
		f.add(pim.SeverityError, c.name, "too_many", "%s has %d values, and may have %d.", c.name, len(c.values), most)
	}
	for _, v := range c.values {
		switch {
		case v.parts != nil && a.parts == nil:
			f.add(pim.SeverityError, c.name, "value", "%s is a text and no group.", c.name)
		case v.parts != nil:
			f.group(c.name, a, v)
		case a.max > 0 && utf8.RuneCountInString(v.text) > a.max:
			f.add(pim.SeverityError, c.name, "too_long", "%s has %d characters, and may have %d.", c.name, utf8.RuneCountInString(v.text), a.max)
		case a.link && !isLink(v.text):
			f.add(pim.SeverityError, c.name, "link", "%s must begin with http:// or https:// and a host.", c.name)
		case a.words != nil && !slices.Contains(a.words, v.text):
			f.add(pim.SeverityError, c.name, "word", "%s must be one of %s.", c.name, strings.Join(a.words, ", "))
		case a.price:
			if _, _, ok := priceOf(v.text); !ok {
				f.add(pim.SeverityError, c.name, "price", "%s must be an amount, a space and a currency, as in 19.90 EUR.", c.name)
			}
		}
	}
}

func (f *finding) group(name string, a attribute, v value) {
	for _, p := range v.parts {
		if name == "shipping" && p.name == "price" {
			if _, _, ok := priceOf(p.text); !ok {
				f.add(pim.SeverityError, name, "price", "The price of shipping must be an amount, a space and a currency, as in 4.90 EUR.")
			}
		}
		if !slices.Contains(a.parts, p.name) {
			f.add(pim.SeverityWarning, name, "group", "%s is not among what TSV has of %s: %s.", p.name, name, strings.Join(a.parts, ", "))
		}
	}
}

var pricePattern = regexp.MustCompile(`^([0-9]{1,15}(?:\.[0-9]{1,6})?) ([A-Z]{3})$`)

// priceOf reads a price: an amount that is not negative, and its currency.
func priceOf(s string) (amount decimal.Decimal, currency string, ok bool) {
	parts := pricePattern.FindStringSubmatch(s)
	if parts == nil {
		return amount, "", false
	}
	amount, err := decimal.Parse(parts[1])
	return amount, parts[2], err == nil
}

// rules holds attributes against each other.
func (f *finding) rules(supplemental bool) {
	price, currency, ok := priceOf(f.text("price"))
	if ok && price.IsZero() {
		f.add(pim.SeverityError, "price", "price", "The price is 0.")
	}
	if sale, c, is := priceOf(f.text("sale_price")); is && ok {
		switch {
		case c != currency:
			f.add(pim.SeverityError, "sale_price", "currency", "The sale price is in %s, the price in %s.", c, currency)
		case sale.Cmp(price) > 0:
			f.add(pim.SeverityError, "sale_price", "price", "The sale price is above the price.")
		}
	}
	f.dates()
	if a := f.text("availability"); (a == "preorder" || a == "backorder") && f.text("availability_date") == "" {
		f.add(pim.SeverityError, "availability_date", "required", "Google requires availability_date with %s.", a)
	}
	for _, v := range f.has["gtin"] {
		if code, detail := pim.GTINFault(v.text); code != "" {
			f.add(pim.SeverityError, "gtin", "gtin", "The gtin is none: it %s.", detail)
		}
	}
	identified := len(f.has["gtin"]) > 0 || f.text("brand") != "" && f.text("mpn") != ""
	switch exists := f.text("identifier_exists"); {
	case supplemental:
	case exists == "no" && len(f.has["gtin"]) > 0:
		f.add(pim.SeverityWarning, "identifier_exists", "identifier", "identifier_exists is no, and there is a gtin.")
	case exists != "no" && !identified:
		f.add(pim.SeverityWarning, "gtin", "identifier", "There is no gtin, and not both brand and mpn. Where the product has none, identifier_exists must be no.")
	}
	if f.text("brand") == "" && f.text("identifier_exists") != "no" && !supplemental {
		f.add(pim.SeverityWarning, "brand", "brand", "Google requires the brand of new products, but for films, books and music.")
	}
	if f.text("item_group_id") != "" && !slices.ContainsFunc(variantAttributes, func(name string) bool { return f.text(name) != "" }) {
		f.add(pim.SeverityWarning, "item_group_id", "variant", "A product of an item group differs from the others in one of %s at least, and has none.", strings.Join(variantAttributes, ", "))
	}
}

// dates holds what is a time against ISO 8601.
func (f *finding) dates() {
	for _, name := range []string{"availability_date", "expiration_date"} {
		if s := f.text(name); s != "" && !isTime(s) {
			f.add(pim.SeverityError, name, "time", "%s must be a time as in 2026-12-24T13:00+0100.", name)
		}
	}
	if s := f.text("sale_price_effective_date"); s != "" {
		from, to, ok := strings.Cut(s, "/")
		if !ok || !isTime(from) || !isTime(to) {
			f.add(pim.SeverityError, "sale_price_effective_date", "time", "sale_price_effective_date must be two times with a / between them.")
		}
	}
}

func isTime(s string) bool {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z0700", "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if _, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return true
		}
	}
	return false
}

// tooLong refuses a SKU that is no id.
func tooLong(sku pim.SKU) *connectors.Error {
	n := utf8.RuneCountInString(string(sku))
	if n <= attributes["id"].max {
		return nil
	}
	issue := fault("id", "feed.too_long", fmt.Sprintf("The id is the SKU, which has %d characters, and may have %d.", n, attributes["id"].max))
	return &connectors.Error{Verdict: connectors.Validation, Issues: []pim.Issue{issue}, Err: fmt.Errorf("the id has %d characters", n)}
}
