package supplier

import (
	"slices"
	"strings"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/jobs/importing/markup"
	"github.com/sluicehub/sluice/pim"
)

// maxScale is how many decimals a price has in the store.
const maxScale = 6

// prices reads an ARTICLE_PRICE_DETAILS. A price that cannot be read refuses
// the whole article: nobody should be sold anything at half of its prices.
func (b *bmecat) prices(it *Item, n, article *markup.Node) {
	from, to := b.window(it, n)
	if strings.EqualFold(n.Of("DAILY_PRICE"), "true") {
		it.note(n, "price.daily", "", "the price is the day's, and has to be asked for: it is not taken")
		return
	}
	quantity := decimal.One
	for _, o := range part(article, "ORDER_DETAILS") {
		if text := o.Of("PRICE_QUANTITY"); text != "" {
			q, err := decimal.Parse(text)
			if err != nil || !q.IsPos() {
				it.refuse(o.Kid("PRICE_QUANTITY"), "price.quantity", text, "the quantity that prices are of is no number above 0")
				return
			}
			quantity = q
		}
	}
	for _, k := range part(n, "PRICE") {
		b.price(it, k, quantity, from, to)
	}
}

func (b *bmecat) price(it *Item, k *markup.Node, quantity decimal.Decimal, from, to *time.Time) {
	text := k.Of("PRICE_AMOUNT")
	if text == "" {
		it.note(k, "price.amount", "", "the price has no amount: it is not taken")
		return
	}
	amount, err := decimal.Parse(text)
	if err != nil {
		it.refuse(k.Kid("PRICE_AMOUNT"), "price.amount", text, "%q is no amount of money: a point stands before the decimals, and nothing parts thousands", text)
		return
	}
	if f := k.Of("PRICE_FACTOR"); f != "" {
		factor, err := decimal.Parse(f)
		if err == nil {
			amount, err = amount.MulExact(factor, 0)
		}
		if err != nil {
			it.refuse(k.Kid("PRICE_FACTOR"), "price.factor", f, "the price's factor is no number that it can be multiplied by")
			return
		}
	}
	if amount, err = amount.Quo(quantity); err != nil {
		it.refuse(k.Kid("PRICE_AMOUNT"), "price.quantity", text, "the price cannot be divided by the quantity that it is of")
		return
	}
	if amount.MinScale() > maxScale {
		amount = amount.Round(maxScale)
		it.note(k, "price.rounded", text, "the price of one piece has more decimals than prices have: it is rounded to %s", amount.Trim(0))
	}
	p := Price{List: strings.ToLower(k.Attr["price_type"]), Line: k.Line, Price: pim.Price{
		Currency: pim.Currency(strings.ToUpper(k.Of("PRICE_CURRENCY"))), MinQuantity: 1, Amount: amount.Trim(0), ValidFrom: from, ValidTo: to,
	}}
	if p.Currency == "" {
		p.Currency = b.header.Currency
	}
	if p.Currency == "" {
		it.refuse(k, "price.currency", text, "neither the price nor the catalogue says its currency")
		return
	}
	if bound := k.Of("LOWER_BOUND"); bound != "" {
		lower, err := decimal.Parse(bound)
		whole, _, ok := lower.Ceil(0).Int64(0)
		if err != nil || !ok || whole > 1_000_000_000 || lower.IsNeg() {
			it.refuse(k.Kid("LOWER_BOUND"), "price.quantity", bound, "the quantity from which the price counts is no number")
			return
		}
		p.MinQuantity = max(1, int(whole))
	}
	for _, t := range k.All("TERRITORY") {
		if t.Text != "" && !slices.Contains(p.Territories, strings.ToUpper(t.Text)) {
			p.Territories = append(p.Territories, strings.ToUpper(t.Text))
		}
	}
	slices.Sort(p.Territories)
	if tax := k.Kid("TAX"); tax != nil && !slices.ContainsFunc(it.Texts, func(t Text) bool { return t.Field == "tax_rate" }) {
		it.text(tax, "tax_rate", "", tax.Text)
	}
	it.Prices = append(it.Prices, p)
}

// window is when prices hold. Dates that do not say which end they are refuse
// the article, unless no price stands beside them.
func (b *bmecat) window(it *Item, n *markup.Node) (from, to *time.Time) {
	read := func(d *markup.Node, end bool) *time.Time {
		text := strings.TrimSpace(d.Of("DATE") + " " + d.Of("TIME") + " " + d.Of("TIMEZONE"))
		if at, ok := moment(d.Of("DATE"), d.Of("TIME"), d.Of("TIMEZONE"), end); ok {
			return &at
		}
		it.refuse(d, "price.date", text, "%q is no date", text)
		return nil
	}
	for _, d := range n.All("DATETIME") {
		switch d.Attr["type"] {
		case "valid_start_date":
			from = read(d, false)
		case "valid_end_date":
			to = read(d, true)
		case "":
			it.refuse(d, "price.date", d.Of("DATE"), "the date does not say (type) whether prices begin or end with it")
		}
	}
	for element, end := range map[string]bool{"VALID_START_DATE": false, "VALID_END_DATE": true} {
		if d := n.Kid(element); d != nil && d.Text != "" { // of 2005.1
			at, ok := moment(d.Text, "", "", end)
			if !ok {
				it.refuse(d, "price.date", d.Text, "%q is no date", d.Text)
			} else if end {
				to = &at
			} else {
				from = &at
			}
		}
	}
	return from, to
}

// moment reads a date of BMEcat. An end that says no time ends with its day.
func moment(date, clock, zone string, end bool) (time.Time, bool) {
	if day, rest, ok := strings.Cut(date, "T"); ok && clock == "" {
		date, clock = day, rest
		if i := strings.IndexAny(rest, "Z+-"); i >= 0 {
			clock, zone = rest[:i], rest[i:]
		}
	}
	if zone == "" {
		zone = "Z"
	}
	layouts := []string{"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700"}
	if clock == "" {
		layouts = []string{"2006-01-02Z07:00", "2006-01-02Z0700"}
	} else {
		clock = " " + clock
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, date+clock+zone); err == nil {
			if end && clock == "" {
				t = t.AddDate(0, 0, 1)
			}
			return t.UTC(), t.Year() >= 1 && t.Year() <= 9999
		}
	}
	return time.Time{}, false
}
