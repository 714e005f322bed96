package importing

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// defaultCode is the price list, and the location, that every house begins with.
const defaultCode = "default"

// A sale without a beginning or an end is one from long ago until far ahead:
// of prices that are valid now, the one that came into force last wins.
var (
	saleFrom = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	saleTo   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// isOffer reports a key of Options.Map that makes a price or a stock level.
func isOffer(key string) bool { return strings.Contains(key, ":") }

// parseOffer reads "price:EUR", "sale:EUR", "stock:LOCATION".
func parseOffer(key string) (role, error) {
	kind, what, _ := strings.Cut(key, ":")
	switch kind {
	case "price", "sale":
		r := role{kind: asPrice, currency: pim.Currency(what)}
		if kind == "sale" {
			r.kind = asSale
		}
		return r, pim.ValidCurrency(r.currency)
	case "stock":
		return role{kind: asStock, location: what}, pim.ValidCode("location", what)
	}
	return role{}, errors.New("a price is mapped as price:EUR or sale:EUR, stock as stock:LOCATION")
}

// origin is where a value comes from: a column, or an expression.
type origin struct {
	column int // -1: none, or from expr
	expr   *expression
	name   string
	// unclear: nothing in the column tells whether the point of "1.234" stands
	// for thousands or for decimals.
	unclear bool
}

var nowhere = origin{column: -1}

func (s origin) given() bool { return s.column >= 0 || s.expr != nil }

// value is a record's; nil: none.
func (s origin) value(r *record, row map[string]any) (any, *problem) {
	var v any
	switch {
	case s.expr != nil:
		var err error
		if v, err = s.expr.value(row); err != nil {
			return nil, &problem{column: s.name, code: "map.failed", text: err.Error()}
		}
	case s.column >= 0 && s.column < len(r.cells):
		v = r.cells[s.column]
	}
	if text, ok := v.(string); ok && strings.TrimSpace(text) == "" {
		return nil, nil
	}
	return v, nil
}

// pricing is where a product's prices in one currency come from.
type pricing struct {
	currency                         pim.Currency
	list                             string
	regular, sale, compare, from, to origin
}

// stocking is where a product's stock at one location comes from.
type stocking struct {
	location string
	origin
}

// offers reads a record's prices and stock. Its problems are errors, but for
// warnings about prices of 0.
func (p *plan) offers(sku pim.SKU, r *record, row map[string]any) (out postgres.ImportOffers, errs, warnings []problem) {
	for i := range p.prices {
		prices, bad, warn := p.prices[i].read(p.schema, r, row)
		errs, warnings = append(errs, bad...), append(warnings, warn...)
		for _, price := range prices {
			out.Prices = append(out.Prices, pim.PriceRow{SKU: sku, Price: price})
		}
	}
	for _, s := range p.stocks {
		v, bad := s.value(r, row)
		if bad == nil && v != nil {
			var n int64
			if n, bad = pieces(s.origin, v); bad == nil {
				level := pim.Stock{Location: s.location, OnHand: n}
				if ps := p.schema.CheckStock(level); len(ps) > 0 {
					bad = &problem{column: s.name, value: show(v), code: ps[0].Code, text: ps[0].Detail}
				} else {
					out.Stock = append(out.Stock, pim.StockRow{SKU: sku, Stock: level})
				}
			}
		}
		if bad != nil {
			errs = append(errs, *bad)
		}
	}
	return out, errs, warnings
}

func (p *pricing) read(schema *pim.Schema, r *record, row map[string]any) (prices []pim.Price, errs, warnings []problem) {
	amount := func(s origin) (d decimal.Decimal, given bool) {
		v, bad := s.value(r, row)
		if bad == nil && v != nil {
			if d, bad = parseMoney(s, v, p.currency); bad == nil {
				ps := schema.CheckPrice(pim.Price{PriceList: p.list, Currency: p.currency, MinQuantity: 1, Amount: d}, false)
				if len(ps) == 0 {
					if d.IsZero() {
						warnings = append(warnings, problem{column: s.name, value: show(v), code: "price.zero", text: "the price is 0: it is stored, but hardly meant"})
					}
					return d, true
				}
				bad = &problem{column: s.name, value: show(v), code: ps[0].Code, text: ps[0].Detail}
			}
		}
		if bad != nil {
			errs = append(errs, *bad)
		}
		return d, false
	}
	moment := func(s origin, otherwise time.Time) *time.Time {
		v, bad := s.value(r, row)
		if bad == nil && v != nil {
			t, err := parseMoment(textOf(v))
			if err == nil {
				return &t
			}
			bad = &problem{column: s.name, value: show(v), code: "value.date", text: err.Error()}
		}
		if bad != nil {
			errs = append(errs, *bad)
		}
		return &otherwise
	}
	add := func(d decimal.Decimal, from, to *time.Time) {
		prices = append(prices, pim.Price{PriceList: p.list, Currency: p.currency, MinQuantity: 1, Amount: d, ValidFrom: from, ValidTo: to})
	}
	regular, hasRegular := amount(p.regular)
	sale, hasSale := amount(p.sale)
	if was, ok := amount(p.compare); ok && hasRegular && was.Cmp(regular) > 0 && !hasSale {
		regular, sale, hasSale = was, regular, true
	}
	if hasRegular {
		add(regular, nil, nil)
	}
	if hasSale {
		from, to := moment(p.from, saleFrom), moment(p.to, saleTo)
		if !to.After(*from) {
			errs = append(errs, problem{column: p.to.name, value: to.Format(time.DateOnly), code: "price.window", text: "the sale ends before it begins"})
			return prices, errs, warnings
		}
		add(sale, from, to)
	}
	return prices, errs, warnings
}

// parseMoment reads a date, or date and time (of UTC unless it says), as shops
// write them.
func parseMoment(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("the value is no date such as 2026-11-27, or 2026-11-27 09:00:00")
}

// signs of currencies that may stand beside an amount.
var signs = map[pim.Currency]string{"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "PLN": "zł", "SEK": "kr", "NOK": "kr", "DKK": "kr", "CZK": "Kč", "INR": "₹"}

// parseMoney reads an amount such as "1,234.50", "12,5 €" or "69.71 gbp". The
// currency beside it, if any, is the column's.
func parseMoney(s origin, v any, c pim.Currency) (decimal.Decimal, *problem) {
	text := strings.TrimSpace(textOf(v))
	if d, err := pim.ParseAmount(json.Number(text)); err == nil && !(s.unclear && dotGroup.MatchString(text)) {
		return d, nil
	}
	bad := func(code, format string, args ...any) (decimal.Decimal, *problem) {
		return decimal.Decimal{}, &problem{column: s.name, value: text, code: code, text: fmt.Sprintf(format, args...)}
	}
	const digits = "0123456789"
	first, last := strings.IndexAny(text, digits), strings.LastIndexAny(text, digits)
	if first < 0 {
		return bad("price.amount", "the value is no amount")
	}
	if first > 0 && strings.ContainsAny(text[first-1:first], "-.") {
		first-- // "-5", ".5"
		if first > 0 && text[first] == '.' && text[first-1] == '-' {
			first--
		}
	}
	for _, beside := range []string{text[:first], text[last+1:]} {
		beside = strings.Trim(beside, " .\u00a0\u202f")
		if beside != "" && !strings.EqualFold(beside, string(c)) && !strings.EqualFold(beside, signs[c]) {
			return bad("price.currency", "%q stands beside the amount; the column's prices are in %s", clip(beside, 20), c)
		}
	}
	number := text[first : last+1]
	if grouped.MatchString(number) {
		number = spaces.Replace(number)
	}
	switch {
	case s.unclear && dotGroup.MatchString(number):
		return bad("price.ambiguous", "the point may stand for thousands or for decimals, and nothing in the column tells; write it as 1234, or 1.23")
	case plainAmount.MatchString(number):
	case ambiguous.MatchString(number):
		return bad("price.ambiguous", "the comma may stand for thousands or for cents; write it as 1234 or 1,23")
	case dotThousands.MatchString(number):
		number = strings.ReplaceAll(number, ".", "")
	case commaThousands.MatchString(number):
		number = strings.ReplaceAll(number, ",", "")
	case commaCents.MatchString(number):
		number = strings.Replace(strings.ReplaceAll(number, ".", ""), ",", ".", 1)
	default:
		return bad("price.amount", "the value is no amount")
	}
	minus := strings.HasPrefix(number, "-")
	number = strings.TrimLeft(number, "-0")
	if number == "" || number[0] == '.' {
		number = "0" + number
	}
	if minus {
		number = "-" + number
	}
	d, err := pim.ParseAmount(json.Number(number))
	if err != nil {
		return bad("price.amount", "the value is no amount")
	}
	return d, nil
}

// How amounts are written.
var (
	spaces         = strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "", "'", "")
	grouped        = regexp.MustCompile(`^-?[1-9]\d{0,2}([ \x{a0}\x{202f}']\d{3})+([.,]\d+)?$`)
	dotGroup       = regexp.MustCompile(`^-?[1-9]\d{0,2}\.\d{3}$`)
	dotThousands   = regexp.MustCompile(`^-?[1-9]\d{0,2}(\.\d{3}){2,}$`)
	plainAmount    = regexp.MustCompile(`^-?\d*(\.\d+)?$`)
	ambiguous      = regexp.MustCompile(`^-?[1-9]\d{0,2},\d{3}$`)
	commaThousands = regexp.MustCompile(`^-?[1-9]\d{0,2}(,\d{3})+(\.\d+)?$`)
	commaCents     = regexp.MustCompile(`^-?(\d+|\d{1,3}(\.\d{3})+),\d+$`)
)

// pieces reads a stock level: a whole number, "10" or "10.0".
func pieces(s origin, v any) (int64, *problem) {
	text := strings.TrimSpace(textOf(v))
	if s.unclear && dotGroup.MatchString(text) {
		return 0, &problem{
			column: s.name, value: text, code: "stock.ambiguous",
			text: "the point may stand for thousands or for decimals, and nothing in the column tells; write it as 1000, or 1",
		}
	}
	d, err := pim.ParseAmount(json.Number(text))
	if err == nil && d.IsInt() {
		if n, _, ok := d.Int64(0); ok {
			return n, nil
		}
	}
	return 0, &problem{column: s.name, value: text, code: "stock.number", text: "a stock level is a whole number"}
}
