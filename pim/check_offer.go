package pim

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/govalues/decimal"
)

// Bounds of prices: what numeric(21,6) and int4 take.
const (
	maxAmountWhole = 15
	maxAmountPart  = 6
	maxMinQuantity = math.MaxInt32
)

// CheckPrice checks a price against the schema, and gives every problem with a
// pointer into the price's JSON. The amount is 0 or more, has at most 15 digits
// before the point and 6 after it; a price that only names what is to be removed
// needs none. A minimum quantity of 0 stands for 1. Windows count in whole
// microseconds, as the store keeps them.
func (s *Schema) CheckPrice(p Price, remove bool) []Problem {
	var ps problems
	if !s.PriceLists[p.PriceList] {
		ps.add("/price_list", "price_list.unknown", fmt.Sprintf("price list %s is not known", quote(p.PriceList)))
	}
	if !s.Currencies[p.Currency] {
		ps.add("/currency", "currency.unknown", fmt.Sprintf("currency %s is not known", quote(string(p.Currency))))
	} else if of := s.ListCurrencies[p.PriceList]; !remove && len(of) > 0 && !slices.Contains(of, p.Currency) {
		ps.add("/currency", "price_list.currency", fmt.Sprintf("price list %s has no prices in %s", quote(p.PriceList), p.Currency))
	}
	if p.MinQuantity < 0 || p.MinQuantity > maxMinQuantity {
		ps.add("/min_quantity", "price.min_quantity", fmt.Sprintf("the minimum quantity is from 1 to %d", maxMinQuantity))
	}
	switch {
	case remove:
	case p.Amount.IsNeg():
		ps.add("/amount", "price.negative", "a price is 0 or more")
	case p.Amount.MinScale() > maxAmountPart:
		ps.add("/amount", "price.decimals", fmt.Sprintf("a price has at most %d digits after the point", maxAmountPart))
	case p.Amount.Prec()-p.Amount.Scale() > maxAmountWhole:
		ps.add("/amount", "price.too_large", fmt.Sprintf("a price has at most %d digits before the point", maxAmountWhole))
	}
	ps.instant("/valid_from", p.ValidFrom)
	ps.instant("/valid_to", p.ValidTo)
	if p.ValidFrom != nil && p.ValidTo != nil && !p.ValidTo.Truncate(time.Microsecond).After(p.ValidFrom.Truncate(time.Microsecond)) {
		ps.add("/valid_to", "price.window", "valid_to is after valid_from")
	}
	return ps
}

// CheckPriceRow checks a row as CheckPrice does a price; now is our clock.
func (s *Schema) CheckPriceRow(r PriceRow, now time.Time) []Problem {
	ps := problems(s.CheckPrice(r.Price, r.Delete))
	ps.stamp("price.ahead", r.Stamp, now)
	return ps
}

func (ps *problems) instant(pointer string, t *time.Time) {
	if t == nil {
		return
	}
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		ps.add(pointer, "value.date", "the year is from 1 to 9999")
	}
}

// ParseAmount reads a number's text ("19.90", "2e3") as a Decimal, and refuses
// what a Decimal would round: more than 19 digits, or more than 19 after the
// point. decimal.Parse and a Decimal's UnmarshalJSON round in silence.
func ParseAmount(n json.Number) (decimal.Decimal, error) {
	if !isNumber(string(n)) {
		return decimal.Decimal{}, invalid("", "value.number", fmt.Sprintf("%s is no number within %d digits", quote(string(n)), maxDigits))
	}
	d, err := decimal.Parse(string(n))
	if err != nil || numberKey(d.String()) != numberKey(string(n)) {
		return decimal.Decimal{}, invalid("", "value.number", fmt.Sprintf("%s has more than 19 digits", quote(string(n))))
	}
	return d, nil
}
