package bol

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// wireOffer is an offer as it is created and patched (Offers API 11.3,
// OffersCreateOfferRequest and PatchOfferRequest). EAN and condition are an
// offer's identity: a patch has neither.
type wireOffer struct {
	EAN              string      `json:"ean,omitempty"`
	Condition        *condition  `json:"condition,omitempty"`
	Reference        string      `json:"reference"`
	OnHold           bool        `json:"onHoldByRetailer"`
	UnknownTitle     string      `json:"unknownProductTitle,omitempty"`
	EconomicOperator string      `json:"economicOperatorId,omitempty"`
	Countries        []country   `json:"countryAvailabilities"`
	Pricing          pricing     `json:"pricing"`
	Fulfilment       fulfilment  `json:"fulfilment"`
	Stock            *stockLevel `json:"stock,omitempty"`
}

type condition struct {
	Category string `json:"category"`
	State    string `json:"state,omitempty"`
	Grade    string `json:"grade,omitempty"`
	Comment  string `json:"comment,omitempty"`
	Margin   *bool  `json:"margin,omitempty"`
}

// same reports whether two conditions make the same offer of an EAN.
func (c condition) same(o condition) bool {
	return c.Category == o.Category && c.State == o.State && c.Grade == o.Grade
}

type country struct {
	Code    string `json:"countryCode"`
	ForSale bool   `json:"forSale,omitempty"` // in answers only
}

type pricing struct {
	Bundles []bundle `json:"bundlePrices"`
}

// bundle is the price of a piece from a quantity on, in euros with VAT.
type bundle struct {
	Quantity  int         `json:"quantity"`
	UnitPrice json.Number `json:"unitPrice"`
}

type fulfilment struct {
	Method   string   `json:"method"`
	Schedule string   `json:"schedule,omitempty"`
	Promise  *promise `json:"deliveryPromise,omitempty"`
}

type promise struct {
	Minimum     int    `json:"minimumDaysToCustomer"`
	Maximum     int    `json:"maximumDaysToCustomer"`
	OrderBefore string `json:"ultimateOrderTime,omitempty"`
}

type stockLevel struct {
	Amount            int  `json:"amount"`
	ManagedByRetailer bool `json:"managedByRetailer"`
}

// Bounds of an offer: FACTS of bol's own pages (stock, price, bundle prices) and
// the contract (the rest).
const (
	maxStock     = 999
	maxBundles   = 4
	maxReference = 100
	maxTitle     = 500
)

var (
	minPrice = decimal.MustNew(1, 0)
	maxPrice = decimal.MustNew(9999, 0)
)

// faults gathers the problems of a document.
type faults struct{ issues []pim.Issue }

func (f *faults) bad(field, code, format string, args ...any) {
	f.issues = append(f.issues, pim.Issue{Code: code, Severity: pim.SeverityError, Attribute: field, Text: fmt.Sprintf(format, args...)})
}

func (f *faults) warn(field, code, format string, args ...any) {
	f.issues = append(f.issues, pim.Issue{Code: code, Severity: pim.SeverityWarning, Attribute: field, Text: fmt.Sprintf(format, args...)})
}

func (f *faults) fatal() bool {
	return slices.ContainsFunc(f.issues, func(i pim.Issue) bool { return i.Severity == pim.SeverityError })
}

// offerFields are what a document of the offer lane may hold. Sku and parent
// are no business of bol's; mappings that serve several channels have them.
var offerFields = []string{
	"ean", "price", "currency", "bundles", "stock", "condition", "fulfilment", "on_hold", "countries",
	"economic_operator_id", "title", "sku", "parent",
}

// offer reads a document of the offer lane. The reference is the pusher's to
// set: it is the SKU.
func (s *settings) offer(doc map[string]any) (*wireOffer, []pim.Issue) {
	f := &faults{}
	for _, name := range sorted(doc) {
		if !slices.Contains(offerFields, name) {
			f.bad(name, "bol.field_unknown", "an offer has no field %q; there are: %s", name, strings.Join(offerFields, ", "))
		}
	}
	o := &wireOffer{
		EAN: ean(f, doc), Condition: &condition{Category: "NEW"}, Fulfilment: s.fulfilment, EconomicOperator: s.economicOperator,
		OnHold: boolean(f, doc, "on_hold"),
	}
	if c, ok := doc["currency"]; ok && c != "EUR" {
		f.bad("currency", "bol.currency", "bol sells in EUR only")
	}
	if id, ok := text(f, doc, "economic_operator_id", 100); ok {
		o.EconomicOperator = id
	}
	o.UnknownTitle, _ = text(f, doc, "title", maxTitle)
	s.sold(f, doc, o)
	o.condition(f, doc["condition"])
	o.fulfil(f, doc["fulfilment"])
	o.price(f, doc)
	s.stock(f, doc, o)
	return o, f.issues
}

func (s *settings) sold(f *faults, doc map[string]any, o *wireOffer) {
	in := s.countries
	if v, ok := doc["countries"]; ok {
		list, _ := v.([]any)
		in = nil
		for _, el := range list {
			code, _ := el.(string)
			if !slices.Contains(countries, code) || slices.Contains(in, code) {
				f.bad("countries", "bol.countries", "is a list of NL and BE, each once")
				break
			}
			in = append(in, code)
		}
		if len(list) == 0 {
			f.bad("countries", "bol.countries", "is a list of NL and BE, at least one of them")
		}
	}
	for _, code := range in {
		o.Countries = append(o.Countries, country{Code: code})
	}
}

// condition reads "NEW", or {category, state, grade, comment, margin}.
func (o *wireOffer) condition(f *faults, v any) {
	switch v := v.(type) {
	case nil:
	case string:
		o.Condition.Category = v
	case map[string]any:
		get := func(key string) string { s, _ := v[key].(string); return s }
		*o.Condition = condition{Category: get("category"), State: get("state"), Grade: get("grade"), Comment: get("comment")}
		if m, ok := v["margin"].(bool); ok {
			o.Condition.Margin = &m
		}
	default:
		f.bad("condition", "bol.condition", "is a category, or {category, state, grade, comment, margin}")
		return
	}
	c := o.Condition
	switch {
	case !slices.Contains(conditions, c.Category):
		f.bad("condition", "bol.condition", "the category is one of %s", strings.Join(conditions, ", "))
	case c.State != "" && !slices.Contains(states, c.State), c.Category == "SECONDHAND" && c.State == "":
		f.bad("condition", "bol.condition", "a second-hand offer has a state: one of %s", strings.Join(states, ", "))
	case c.Grade != "" && !slices.Contains(grades, c.Grade), c.Category == "REFURBISHED" && c.Grade == "":
		f.bad("condition", "bol.condition", "a refurbished offer has a grade: one of %s", strings.Join(grades, ", "))
	case c.Comment != "" && c.Category == "NEW":
		f.bad("condition", "bol.condition", "a new product's condition has no comment")
	}
}

// fulfil reads "FBR" or "FBB", or bol's own object.
func (o *wireOffer) fulfil(f *faults, v any) {
	switch v := v.(type) {
	case nil:
		return
	case string:
		if v != o.Fulfilment.Method {
			o.Fulfilment = fulfilment{Method: v}
			if v == "FBR" {
				o.Fulfilment.Schedule = "MY_DELIVERY_PROMISE"
			}
		}
	case map[string]any:
		raw, err := json.Marshal(v)
		o.Fulfilment = fulfilment{}
		if err != nil || json.Unmarshal(raw, &o.Fulfilment) != nil {
			f.bad("fulfilment", "bol.fulfilment", "is FBR, FBB, or {method, schedule, deliveryPromise}")
			return
		}
	default:
		f.bad("fulfilment", "bol.fulfilment", "is FBR, FBB, or {method, schedule, deliveryPromise}")
		return
	}
	if !slices.Contains(methods, o.Fulfilment.Method) {
		f.bad("fulfilment", "bol.fulfilment", "the method is FBR or FBB")
	}
	if s := o.Fulfilment.Schedule; s != "" && !slices.Contains(schedules, s) {
		f.bad("fulfilment", "bol.fulfilment", "the schedule is one of %s", strings.Join(schedules, ", "))
	}
}

// price reads the price of one piece, and lower ones for more.
func (o *wireOffer) price(f *faults, doc map[string]any) {
	byQuantity := map[int]decimal.Decimal{}
	if v, ok := doc["price"]; ok {
		d, ok := amount(f, "price", v)
		if !ok {
			return
		}
		byQuantity[1] = d
	}
	list, isList := doc["bundles"].([]any)
	if _, ok := doc["bundles"]; ok && !isList {
		f.bad("bundles", "bol.bundles", "is a list of {quantity, price}")
	}
	for _, el := range list {
		m, _ := el.(map[string]any)
		if c, ok := m["currency"]; ok && c != "EUR" {
			continue // a price list may have others, which bol must not take for euros
		}
		quantity, err := strconv.Atoi(fmt.Sprint(first(m, "quantity", "min_quantity")))
		if m == nil || err != nil || quantity < 0 {
			f.bad("bundles", "bol.bundles", "is a list of {quantity, price}")
			return
		}
		quantity = max(quantity, 1)
		if _, ok := byQuantity[quantity]; ok {
			continue // the first counts: the prices variable has the winning one first
		}
		d, ok := amount(f, "bundles", first(m, "price", "amount"))
		if !ok {
			return
		}
		byQuantity[quantity] = d
	}
	if _, ok := byQuantity[1]; !ok {
		f.bad("price", "bol.price_missing", "an offer needs the price of one piece")
		return
	}
	if len(byQuantity) > maxBundles {
		f.bad("bundles", "bol.bundles", "there are %d prices; bol takes %d", len(byQuantity), maxBundles)
	}
	last := decimal.Decimal{}
	for _, quantity := range sorted(byQuantity) {
		d := byQuantity[quantity]
		if quantity > 1 && d.Cmp(last) >= 0 {
			f.bad("bundles", "bol.bundles", "the price from %d pieces on must be lower than the one before", quantity)
		}
		last = d
		o.Pricing.Bundles = append(o.Pricing.Bundles, bundle{quantity, json.Number(d.Trim(2).Pad(2).String())})
	}
}

func amount(f *faults, field string, v any) (decimal.Decimal, bool) {
	d, err := decimal.Parse(fmt.Sprint(v))
	switch {
	case err != nil:
		f.bad(field, "bol.price", "is no amount such as 19.90")
	case d.Cmp(minPrice) < 0 || d.Cmp(maxPrice) > 0:
		f.bad(field, "bol.price", "%s is not between 1 and 9999", d)
	case d.Trim(0).Scale() > 2:
		f.bad(field, "bol.price", "%s has more than two decimals", d)
	default:
		return d, true
	}
	return d, false
}

// stock reads what is available. More than bol can count is told as all that it
// can; nobody's count is told as none, so that nothing is sold which may not be
// there.
func (s *settings) stock(f *faults, doc map[string]any, o *wireOffer) {
	v, ok := doc["stock"]
	if !ok {
		if o.Fulfilment.Method == "FBB" {
			return // bol counts what lies in its own warehouse
		}
		f.warn("stock", "bol.stock_missing", "nobody keeps this product's stock; 0 was sent")
		v = json.Number("0")
	}
	d, err := decimal.Parse(fmt.Sprint(v))
	if err != nil || !d.IsInt() {
		f.bad("stock", "bol.stock", "is no whole number")
		return
	}
	n, _, ok := d.Int64(0)
	switch {
	case !ok && d.IsPos(), n > maxStock:
		n = maxStock
	case d.IsNeg():
		n = 0 // sold more than there was
	}
	o.Stock = &stockLevel{Amount: int(n), ManagedByRetailer: !s.managedByBol}
}

// ean reads the number that bol knows a product by.
func ean(f *faults, doc map[string]any) string {
	v, ok := doc["ean"]
	s, isText := v.(string)
	if n, isNumber := v.(json.Number); isNumber {
		s, isText = n.String(), true
	}
	if !ok || isText && s == "" {
		f.bad("ean", "bol.ean_missing", "bol knows products by their EAN; this one has none")
		return ""
	}
	if !isText {
		f.bad("ean", "bol.ean", "is no text")
		return ""
	}
	if _, detail := pim.GTINFault(s); detail != "" {
		f.bad("ean", "bol.ean", "%s", detail)
	}
	return s
}

// sameEAN compares without leading zeros: bol writes all of them with 13 digits.
func sameEAN(a, b string) bool { return strings.TrimLeft(a, "0") == strings.TrimLeft(b, "0") }

func text(f *faults, doc map[string]any, field string, most int) (string, bool) {
	v, ok := doc[field]
	if !ok {
		return "", false
	}
	s, isText := v.(string)
	switch {
	case !isText:
		f.bad(field, "bol.text", "is no text")
	case utf8.RuneCountInString(s) > most:
		f.bad(field, "bol.too_long", "has more than %d characters", most)
	}
	return s, isText
}

func boolean(f *faults, doc map[string]any, field string) bool {
	v, ok := doc[field]
	b, isBool := v.(bool)
	if ok && !isBool {
		f.bad(field, "bol.boolean", "is neither true nor false")
	}
	return b
}

func first(m map[string]any, keys ...string) any {
	for _, k := range keys {
		if v, ok := m[k]; ok {
			return v
		}
	}
	return ""
}
