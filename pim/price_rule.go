package pim

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/currency"
)

// DefaultPriceList is the price list that a house begins with, and the base of
// lists that name none.
const DefaultPriceList = "default"

// PriceList is a list of prices. Prices are set in it by hand, or derived by
// rules from those of its base.
type PriceList struct {
	Code          string            `json:"code"`
	Labels        map[Locale]string `json:"labels,omitempty"`
	CustomerGroup string            `json:"customer_group,omitempty" doc:"Who buys by it, for people" maxLength:"100"`
	Currencies    []Currency        `json:"currencies,omitempty" doc:"Its prices are in these only; left out: in any"`
	Base          string            `json:"base,omitempty" doc:"Price list that rules derive its prices from; left out: default"`
	Guard         *PriceGuard       `json:"guard,omitempty" doc:"Which changes of its prices are held until they are approved; left out: none is"`
}

// BaseList is the list that rules derive l's prices from; "" of the list
// default, unless it names one.
func (l *PriceList) BaseList() string {
	if l.Base == "" && l.Code != DefaultPriceList {
		return DefaultPriceList
	}
	return l.Base
}

// PriceRule derives prices of one price list from those of the list's base, of
// the products that all of its filters let through. Exactly one of Percent,
// Amount and Price says how.
type PriceRule struct {
	Code      string `json:"code"`
	Enabled   *bool  `json:"enabled,omitempty" doc:"Left out: true"`
	Priority  int    `json:"priority,omitempty" doc:"The lowest goes first; of equal ones the first by code"`
	Stackable bool   `json:"stackable,omitempty" doc:"Further stackable rules are applied to its result; else it is the only one"`
	PriceList string `json:"price_list" doc:"List whose prices it makes; its base is what they are made of"`

	Families   []string            `json:"families,omitempty" doc:"Of products of one of these families"`
	Categories []string            `json:"categories,omitempty" doc:"Of products in one of these categories, as they stand at the product"`
	Subtrees   []string            `json:"subtrees,omitempty" doc:"Of products in one of these categories, or in one below it"`
	SKUs       []SKU               `json:"skus,omitempty" doc:"Of these products"`
	Attributes map[string][]string `json:"attributes,omitempty" doc:"Of products whose attribute has one of the values, e.g. a brand. The attribute is neither localizable nor scopable; a variant has its parent's"`
	Condition  string              `json:"condition,omitempty" doc:"Of products that this filter finds, in the language of GET /v1/products; it asks for what stands at the product: sku, parent, root, family, family_variant, category, enabled, created_at, values.ATTRIBUTE, with the scope of what has one"`
	Currency   Currency            `json:"currency,omitempty" doc:"Only of prices in this currency; amount and price need it"`

	Percent Number `json:"percent,omitempty" doc:"So much more, or with a minus less, in percent: a decimal number, as text so that no digit is lost, or as a number"`
	Amount  Number `json:"amount,omitempty" doc:"So much more, or with a minus less: a decimal number, as text so that no digit is lost, or as a number"`
	Price   Number `json:"price,omitempty" doc:"The price itself: a decimal number, as text so that no digit is lost, or as a number"`

	Rounding *PriceRounding `json:"rounding,omitempty" doc:"Left out: to the currency's digits, half away from zero"`
	Margin   *PriceMargin   `json:"margin,omitempty"`

	ValidFrom *time.Time `json:"valid_from,omitempty" doc:"Inclusive"`
	ValidTo   *time.Time `json:"valid_to,omitempty" doc:"Exclusive"`
}

// The modes of rounding.
const (
	RoundNearest  = "nearest"   // half away from zero
	RoundHalfEven = "half_even" // half to the even digit
	RoundUp       = "up"
	RoundDown     = "down"
)

// PriceRounding says to which amounts a rule rounds.
type PriceRounding struct {
	Digits *int   `json:"digits,omitempty" minimum:"0" maximum:"6" doc:"Digits after the point; left out: the currency's (ISO 4217), which are 2 of most"`
	Ending string `json:"ending,omitempty" doc:"What amounts end in, instead of digits: .99 gives 12.99, 9.99 gives 19.99 and 29.99, 0 gives 10 and 20" maxLength:"8"`
	Mode   string `json:"mode,omitempty" enum:"nearest,half_even,up,down" doc:"nearest, which it is when left out, rounds half away from zero; half_even is for digits only"`
}

// PriceMargin keeps a rule from going below cost.
type PriceMargin struct {
	PriceList string `json:"price_list" doc:"List of the cost prices. Where it has none in the price's currency the rule is not applied"`
	Percent   Number `json:"percent" doc:"What is left of the price when the cost is paid, at least, in percent of the price: a decimal number, as text so that no digit is lost, or as a number"`
}

// On reports whether the rule is enabled.
func (r *PriceRule) On() bool { return r.Enabled == nil || *r.Enabled }

// Bounds of price rules.
const (
	maxRulePart    = 10_000 // SKUs, categories, families, values
	maxRulePercent = 100_000
	maxEnding      = 8
)

// CheckPriceList checks a price list against the schema, and gives every
// problem with a pointer into its JSON. That its bases come to an end is
// NewPriceBook's to find.
func (s *Schema) CheckPriceList(l *PriceList) []Problem {
	var ps problems
	if err := ValidCode("price list", l.Code); err != nil {
		ps.add("/code", "code", err.Error())
	}
	ps.labels("/labels", l.Labels)
	if utf8.RuneCountInString(l.CustomerGroup) > maxCode {
		ps.add("/customer_group", "price_list.customer_group", fmt.Sprintf("a customer group has at most %d characters", maxCode))
	}
	for i, c := range l.Currencies {
		if !s.Currencies[c] {
			ps.add(fmt.Sprintf("/currencies/%d", i), "currency.unknown", fmt.Sprintf("currency %s is not known", quote(string(c))))
		}
	}
	if l.Base != "" && !s.PriceLists[l.Base] {
		ps.add("/base", "price_list.unknown", fmt.Sprintf("price list %s is not known", quote(l.Base)))
	}
	if l.Base != "" && l.Base == l.Code {
		ps.add("/base", "price_list.cycle", "a price list is not its own base")
	}
	ps.guard(l.Guard)
	return ps
}

// CheckPriceRule checks a rule against the schema, and gives every problem with
// a pointer into its JSON. What its condition asks for is the store's to check.
func (s *Schema) CheckPriceRule(r *PriceRule) []Problem {
	var ps problems
	if err := ValidCode("price rule", r.Code); err != nil {
		ps.add("/code", "code", err.Error())
	}
	if !s.PriceLists[r.PriceList] {
		ps.add("/price_list", "price_list.unknown", fmt.Sprintf("price list %s is not known", quote(r.PriceList)))
	}
	ps.ruleScope(s, r)
	ps.ruleAction(r)
	ps.rounding(r.Rounding)
	if m := r.Margin; m != nil {
		if !s.PriceLists[m.PriceList] {
			ps.add("/margin/price_list", "price_list.unknown", fmt.Sprintf("price list %s is not known", quote(m.PriceList)))
		}
		if p, ok := ps.ratio("/margin/percent", m.Percent); ok && (p.Sign() < 0 || p.Cmp(wholeRat(100)) >= 0) {
			ps.add("/margin/percent", "price_rule.margin", "a margin is from 0 to less than 100 percent of the price")
		}
	}
	ps.instant("/valid_from", r.ValidFrom)
	ps.instant("/valid_to", r.ValidTo)
	if r.ValidFrom != nil && r.ValidTo != nil && !r.ValidTo.Truncate(time.Microsecond).After(r.ValidFrom.Truncate(time.Microsecond)) {
		ps.add("/valid_to", "price.window", "valid_to is after valid_from")
	}
	return ps
}

func (ps *problems) ruleScope(s *Schema, r *PriceRule) {
	for i, f := range r.Families {
		if s.Families[f] == nil {
			ps.add(fmt.Sprintf("/families/%d", i), "family.unknown", fmt.Sprintf("there is no family %s", quote(f)))
		}
	}
	for i, c := range r.Categories {
		if err := ValidCode("category", c); err != nil {
			ps.add(fmt.Sprintf("/categories/%d", i), "category", err.Error())
		}
	}
	for i, c := range r.Subtrees {
		if err := ValidCode("category", c); err != nil {
			ps.add(fmt.Sprintf("/subtrees/%d", i), "category", err.Error())
		}
	}
	for i, sku := range r.SKUs {
		if err := ValidSKU(string(sku)); err != nil {
			ps.add(fmt.Sprintf("/skus/%d", i), "sku", err.Error())
		}
	}
	count := len(r.Families) + len(r.Categories) + len(r.Subtrees) + len(r.SKUs)
	for code, values := range r.Attributes {
		at := "/attributes/" + pointerToken(code)
		switch a := s.Attributes[code]; {
		case a == nil:
			ps.add(at, "attribute.unknown", fmt.Sprintf("there is no attribute %s", quote(code)))
		case a.Localizable || a.Scopable:
			ps.add(at, "price_rule.attribute", "a rule looks at attributes that have one value for all locales and channels")
		case a.Type != TypeText && a.Type != TypeOption && a.Type != TypeOptions && a.Type != TypeReference && a.Type != TypeEntity && a.Type != TypeEntities:
			ps.add(at, "price_rule.attribute", "a rule looks at attributes of type text, option, options, reference, entity and entities")
		case len(values) == 0:
			ps.add(at, "price_rule.attribute", "at least one value is expected")
		}
		count += len(values)
	}
	if count > maxRulePart {
		ps.add("", "price_rule.large", fmt.Sprintf("a rule names at most %d families, categories, SKUs and values", maxRulePart))
	}
	if r.Currency != "" && !s.Currencies[r.Currency] {
		ps.add("/currency", "currency.unknown", fmt.Sprintf("currency %s is not known", quote(string(r.Currency))))
	}
}

func (ps *problems) ruleAction(r *PriceRule) {
	actions := 0
	for _, a := range []Number{r.Percent, r.Amount, r.Price} {
		if a != "" {
			actions++
		}
	}
	if actions != 1 {
		ps.add("", "price_rule.action", "exactly one of percent, amount and price is expected")
	}
	if r.Percent != "" {
		if p, ok := ps.ratio("/percent", r.Percent); ok && (p.Cmp(wholeRat(-100)) <= 0 || p.Cmp(wholeRat(maxRulePercent)) > 0) {
			ps.add("/percent", "price_rule.percent", fmt.Sprintf("the percentage is more than -100, and at most %d", maxRulePercent))
		}
	}
	if r.Amount != "" {
		ps.ratio("/amount", r.Amount)
	}
	if r.Price != "" {
		if p, ok := ps.ratio("/price", r.Price); ok && p.Sign() <= 0 {
			ps.add("/price", "price_rule.price", "a rule's price is more than 0")
		}
	}
	if r.Currency == "" && (r.Amount != "" || r.Price != "") {
		ps.add("/currency", "field.missing", "an amount or a price is in a currency")
	}
}

// ratio reads a decimal number within the bounds of amounts.
func (ps *problems) ratio(pointer string, n Number) (*big.Rat, bool) {
	d, err := ParseAmount(json.Number(n))
	switch {
	case err != nil:
		ps.add(pointer, "value.number", fmt.Sprintf("%s is no number within 19 digits", quote(string(n))))
		return nil, false
	case d.MinScale() > maxAmountPart:
		ps.add(pointer, "price.decimals", fmt.Sprintf("at most %d digits after the point", maxAmountPart))
		return nil, false
	case d.Prec()-d.Scale() > maxAmountWhole:
		ps.add(pointer, "price.too_large", fmt.Sprintf("at most %d digits before the point", maxAmountWhole))
		return nil, false
	}
	return ratOf(d), true
}

func (ps *problems) rounding(r *PriceRounding) {
	if r == nil {
		return
	}
	if r.Digits != nil && (*r.Digits < 0 || *r.Digits > maxAmountPart) {
		ps.add("/rounding/digits", "price_rule.digits", fmt.Sprintf("digits are from 0 to %d", maxAmountPart))
	}
	if !slices.Contains([]string{"", RoundNearest, RoundHalfEven, RoundUp, RoundDown}, r.Mode) {
		ps.add("/rounding/mode", "price_rule.mode", "the mode is one of nearest, half_even, up, down")
	}
	if r.Ending == "" {
		return
	}
	if _, ok := parseEnding(r.Ending); !ok {
		ps.add("/rounding/ending", "price_rule.ending", `an ending is digits with or without a point, such as .99, 9.99 or 0`)
	}
	if r.Digits != nil {
		ps.add("/rounding/digits", "price_rule.ending", "an ending says the digits")
	}
	if r.Mode == RoundHalfEven {
		ps.add("/rounding/mode", "price_rule.mode", "half_even is for digits, not for endings")
	}
}

// grid is a set of amounts, at + k·step for whole k, with digits after the point.
type grid struct {
	at, step *big.Rat
	digits   int
}

// parseEnding reads ".99" as the amounts that end in it: those of the grid whose
// step is one more digit than the ending has before its point.
func parseEnding(s string) (grid, bool) {
	whole, part, point := strings.Cut(s, ".")
	if len(s) > maxEnding || whole+part == "" || point && part == "" || len(part) > maxAmountPart || strings.Trim(whole+part, "0123456789") != "" {
		return grid{}, false
	}
	at, ok := new(big.Rat).SetString("0" + s)
	return grid{at, new(big.Rat).SetInt(powerOfTen(len(whole))), len(part)}, ok
}

// digitGrid are all amounts with so many digits after the point.
func digitGrid(digits int) grid {
	return grid{new(big.Rat), new(big.Rat).SetFrac(big.NewInt(1), powerOfTen(digits)), digits}
}

// currencyDigits is how many digits after the point a currency has (ISO 4217).
func currencyDigits(c Currency) int {
	unit, err := currency.ParseISO(string(c))
	if err != nil {
		return 2
	}
	scale, _ := currency.Standard.Rounding(unit)
	return scale
}
