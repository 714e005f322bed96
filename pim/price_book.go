package pim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/govalues/decimal"
)

// PricedProduct is what rules look at of a product.
type PricedProduct struct {
	SKU        SKU
	Family     string
	Categories []string
	Above      []string       // codes of its categories and of those above them, in any order; of PriceBook.Trees
	Values     map[string]any // of PriceBook.Attributes: a text, or an array of texts
	Fits       []string       // those of PriceBook.Conditions that it fits
	Prices     []Price        // of PriceBook.Lists, and all that rules made
}

// PriceBook is all rules and lists, ready to derive prices by. It is immutable:
// goroutines may share it.
type PriceBook struct {
	lists      []bookList // those that rules make prices of, after what they are made of
	reads      []string
	attributes []string
	conditions []string
	trees      bool
}

type bookList struct {
	code, base string
	currencies []Currency
	rules      []*bookRule
}

type bookRule struct {
	*PriceRule
	span                   span
	percent, amount, price *big.Rat // the one there is: percent as a factor
	grid                   *grid    // nil: the currency's
	mode                   string
	share                  *big.Rat // of a price that its cost may be at most; nil: any
}

// NewPriceBook makes a book of rules that CheckPriceRule has found good. Lists
// that are not told of have the base default. The error, a *Invalid with a
// pointer to /price_list, is of lists that are made of each other, and of rules
// of a list that has no base.
func NewPriceBook(lists []PriceList, rules []PriceRule) (*PriceBook, error) {
	known := map[string]*PriceList{}
	for i := range lists {
		known[lists[i].Code] = &lists[i]
	}
	made := map[string]*bookList{}
	attributes, reads, conditions, trees := map[string]bool{}, map[string]bool{}, map[string]bool{}, false
	for i := range rules {
		r := &rules[i]
		if !r.On() {
			continue
		}
		l := made[r.PriceList]
		if l == nil {
			of := known[r.PriceList]
			if of == nil {
				of = &PriceList{Code: r.PriceList}
			}
			l = &bookList{code: r.PriceList, base: of.BaseList(), currencies: of.Currencies}
			if l.base == "" {
				return nil, NoBase(l.code)
			}
			made[r.PriceList] = l
			reads[l.code], reads[l.base] = true, true
		}
		b, err := newBookRule(r)
		if err != nil {
			return nil, err
		}
		l.rules = append(l.rules, b)
		for a := range r.Attributes {
			attributes[a] = true
		}
		if r.Condition != "" {
			conditions[r.Condition] = true
		}
		trees = trees || len(r.Subtrees) > 0
		if r.Margin != nil {
			reads[r.Margin.PriceList] = true
		}
	}
	book := &PriceBook{
		attributes: slices.Sorted(maps.Keys(attributes)), reads: slices.Sorted(maps.Keys(reads)), conditions: slices.Sorted(maps.Keys(conditions)), trees: trees,
	}
	const under, done = 1, 2
	state := map[string]int{}
	var visit func(code string) error
	visit = func(code string) error {
		l := made[code]
		if l == nil || state[code] == done {
			return nil
		}
		if state[code] == under {
			return MadeOfItself(code)
		}
		state[code] = under
		needs := []string{l.base}
		for _, r := range l.rules {
			if r.Margin != nil {
				needs = append(needs, r.Margin.PriceList)
			}
		}
		for _, need := range needs {
			if err := visit(need); err != nil {
				return err
			}
		}
		state[code] = done
		slices.SortFunc(l.rules, func(a, b *bookRule) int {
			return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Code, b.Code))
		})
		book.lists = append(book.lists, *l)
		return nil
	}
	for _, code := range slices.Sorted(maps.Keys(made)) {
		if err := visit(code); err != nil {
			return nil, err
		}
	}
	return book, nil
}

// NoBase is the refusal of a rule of a list that has nothing to make prices of.
func NoBase(list string) *Invalid {
	return invalid("/price_list", "price_list.base", fmt.Sprintf("price list %s has no base to derive prices from", quote(list)))
}

// MadeOfItself is the refusal of a rule by which a list's prices are made of its own.
func MadeOfItself(list string) *Invalid {
	return invalid("/price_list", "price_list.cycle", fmt.Sprintf("price list %s would be made of itself", quote(list)))
}

func newBookRule(r *PriceRule) (*bookRule, error) {
	b := &bookRule{PriceRule: r, span: spanOf(r.ValidFrom, r.ValidTo), mode: RoundNearest}
	for _, n := range []struct {
		text Number
		into **big.Rat
	}{{r.Percent, &b.percent}, {r.Amount, &b.amount}, {r.Price, &b.price}} {
		if n.text == "" {
			continue
		}
		d, err := ParseAmount(json.Number(n.text))
		if err != nil {
			return nil, err
		}
		*n.into = ratOf(d)
	}
	if b.percent != nil {
		b.percent = percentOf(new(big.Rat).Add(wholeRat(100), b.percent))
	}
	if o := r.Rounding; o != nil {
		b.mode = cmp.Or(o.Mode, RoundNearest)
		switch {
		case o.Ending != "":
			g, ok := parseEnding(o.Ending)
			if !ok {
				return nil, invalid("/rounding/ending", "price_rule.ending", "this is no ending")
			}
			b.grid = &g
		case o.Digits != nil:
			g := digitGrid(*o.Digits)
			b.grid = &g
		}
	}
	if r.Margin != nil {
		d, err := ParseAmount(json.Number(r.Margin.Percent))
		if err != nil {
			return nil, err
		}
		b.share = percentOf(new(big.Rat).Sub(wholeRat(100), ratOf(d)))
	}
	return b, nil
}

func percentOf(x *big.Rat) *big.Rat { return x.Quo(x, wholeRat(100)) }

// Lists are the price lists that the book reads or makes prices of.
func (b *PriceBook) Lists() []string { return b.reads }

// Attributes are the attributes that rules look at.
func (b *PriceBook) Attributes() []string { return b.attributes }

// Trees reports whether rules look at what is above a product's categories.
func (b *PriceBook) Trees() bool { return b.trees }

// Conditions are those of the rules, each once.
func (b *PriceBook) Conditions() []string { return b.conditions }

// span is a window in microseconds since 1970; its ends are those of int64 where
// it has none.
type span struct{ from, to int64 }

func spanOf(from, to *time.Time) span {
	s := span{math.MinInt64, math.MaxInt64}
	if from != nil {
		s.from = from.UnixMicro()
	}
	if to != nil {
		s.to = to.UnixMicro()
	}
	return s
}

func (s span) has(t int64) bool { return s.from <= t && t < s.to }

func (s span) times() (from, to *time.Time) {
	if s.from != math.MinInt64 {
		t := time.UnixMicro(s.from).UTC()
		from = &t
	}
	if s.to != math.MaxInt64 {
		t := time.UnixMicro(s.to).UTC()
		to = &t
	}
	return from, to
}

// spanned is a price with its window.
type spanned struct {
	span
	*Price
}

// at gives the price that holds at t: of several the one that begins last, as a
// channel's mapping has it; nil for none.
func at(list []spanned, t int64) *Price {
	var best *spanned
	for i := range list {
		if list[i].has(t) && (best == nil || list[i].from > best.from) {
			best = &list[i]
		}
	}
	if best == nil {
		return nil
	}
	return best.Price
}

// priceGroup are prices of one list that stand for the same at different times.
type priceGroup struct {
	list     string
	currency Currency
	quantity int
}

// Derive gives the prices that rules make of a product's, for ever: windows of
// rules and of prices become windows of what is derived. It says nothing of what
// was over at now. A price that was set by hand holds for its window, and
// rules make what is beside it.
func (b *PriceBook) Derive(p *PricedProduct, now time.Time) []Price {
	d := b.Begin(p, now)
	var out []Price
	for i := range b.lists {
		made := d.List(i)
		d.Stand(b.lists[i].code, append(made, byHand(p.Prices, b.lists[i].code)...))
		out = append(out, made...)
	}
	slices.SortFunc(out, func(x, y Price) int {
		return cmp.Or(strings.Compare(x.PriceList, y.PriceList), strings.Compare(string(x.Currency), string(y.Currency)),
			cmp.Compare(x.MinQuantity, y.MinQuantity), cmp.Compare(spanOf(x.ValidFrom, nil).from, spanOf(y.ValidFrom, nil).from))
	})
	return out
}

func byHand(prices []Price, list string) (out []Price) {
	for _, x := range prices {
		if x.PriceList == list && len(x.Rules) == 0 {
			out = append(out, x)
		}
	}
	return out
}

// Deriving derives a product's prices list by list: whoever does so says of each
// list what stands in it before it goes on to those that are made of it.
type Deriving struct {
	book    *PriceBook
	product *PricedProduct
	now     int64
	groups  map[priceGroup][]spanned
}

// Begin begins to derive p's prices, of those that are set by hand. See Derive.
func (b *PriceBook) Begin(p *PricedProduct, now time.Time) *Deriving {
	d := &Deriving{b, p, now.UnixMicro(), map[priceGroup][]spanned{}}
	for i := range p.Prices {
		if x := &p.Prices[i]; len(x.Rules) == 0 { // what is derived is made anew
			d.put(x)
		}
	}
	return d
}

func (d *Deriving) put(x *Price) {
	g := priceGroup{x.PriceList, x.Currency, max(1, x.MinQuantity)}
	d.groups[g] = append(d.groups[g], spanned{spanOf(x.ValidFrom, x.ValidTo), x})
}

// Stand says which prices stand in a list, whatever was said of it before.
func (d *Deriving) Stand(list string, prices []Price) {
	maps.DeleteFunc(d.groups, func(g priceGroup, _ []spanned) bool { return g.list == list })
	for i := range prices {
		if prices[i].PriceList == list {
			d.put(&prices[i])
		}
	}
}

// Makes are the lists that rules make prices of, each behind those that it is
// made of.
func (b *PriceBook) Makes() []string {
	out := make([]string, len(b.lists))
	for i := range b.lists {
		out[i] = b.lists[i].code
	}
	return out
}

// List gives what rules make in the list Makes()[i], of what stands in those
// before it, and beside what is set by hand in it.
func (d *Deriving) List(i int) (out []Price) {
	l := &d.book.lists[i]
	rules := slices.DeleteFunc(slices.Clone(l.rules), func(r *bookRule) bool { return !r.covers(d.product) })
	if len(rules) == 0 {
		return nil
	}
	for base, prices := range d.groups {
		if base.list != l.base || len(l.currencies) > 0 && !slices.Contains(l.currencies, base.currency) {
			continue
		}
		own := priceGroup{l.code, base.currency, base.quantity}
		for _, x := range l.derive(rules, own, prices, d.groups[own], d.groups) {
			if spanOf(x.ValidFrom, x.ValidTo).to > d.now {
				out = append(out, x)
			}
		}
	}
	return out
}

// derive makes the prices of one currency and quantity: between any two moments
// at which something begins or ends there is one price, or none.
func (l *bookList) derive(rules []*bookRule, own priceGroup, base, byHand []spanned, groups map[priceGroup][]spanned) []Price {
	var cuts []int64
	cut := func(s span) { cuts = append(cuts, s.from, s.to) }
	for _, x := range base {
		cut(x.span)
	}
	for _, x := range byHand {
		cut(x.span)
	}
	for _, r := range rules {
		cut(r.span)
		if r.Margin != nil {
			for g, list := range groups {
				if g.list == r.Margin.PriceList && g.currency == own.currency && g.quantity <= own.quantity {
					for _, x := range list {
						cut(x.span)
					}
				}
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []Price
	last := span{}
	for i := 0; i+1 < len(cuts); i++ {
		s := span{cuts[i], cuts[i+1]}
		from := at(base, s.from)
		if from == nil || at(byHand, s.from) != nil {
			continue
		}
		amount, codes, ok := apply(rules, own, from.Amount, s.from, groups)
		if !ok {
			continue
		}
		if n := len(out); n > 0 && last.to == s.from && out[n-1].Amount.Equal(amount) && slices.Equal(out[n-1].Rules, codes) {
			last.to = s.to
			_, out[n-1].ValidTo = last.times()
			continue
		}
		x := Price{PriceList: own.list, Currency: own.currency, MinQuantity: own.quantity, Amount: amount, Rules: codes}
		x.ValidFrom, x.ValidTo = s.times()
		out, last = append(out, x), s
	}
	return out
}

// apply applies the rules that hold at t to an amount of the base. The first
// that can be applied is; further ones are where it and they are stackable.
func apply(rules []*bookRule, own priceGroup, from decimal.Decimal, t int64, groups map[priceGroup][]spanned) (amount decimal.Decimal, codes []string, ok bool) {
	x := ratOf(from)
	for _, r := range rules {
		if !r.span.has(t) || r.Currency != "" && r.Currency != own.currency || len(codes) > 0 && !r.Stackable {
			continue
		}
		g := r.grid
		if g == nil {
			d := digitGrid(currencyDigits(own.currency))
			g = &d
		}
		y, can := r.apply(x, *g, costAt(r, own, t, groups))
		if !can {
			continue
		}
		d, can := amountOf(y, g.digits)
		if !can {
			continue
		}
		if x, amount, codes = y, d, append(codes, r.Code); !r.Stackable {
			break
		}
	}
	return amount, codes, len(codes) > 0
}

// apply gives what the rule makes of x; false where it is not to be applied: its
// margin cannot be told, or nothing would be left of the price.
func (r *bookRule) apply(x *big.Rat, g grid, cost *big.Rat) (*big.Rat, bool) {
	y := new(big.Rat)
	switch {
	case r.percent != nil:
		y.Mul(x, r.percent)
	case r.amount != nil:
		y.Add(x, r.amount)
	default:
		y.Set(r.price)
	}
	if y.Sign() <= 0 {
		return nil, false
	}
	y = g.round(y, r.mode)
	if r.share == nil {
		return y, true
	}
	if cost == nil {
		return nil, false
	}
	if least := cost.Quo(cost, r.share); least.Sign() > 0 && y.Cmp(least) < 0 {
		y = g.round(least, RoundUp)
	}
	return y, true
}

// costAt is what the product costs by the rule's margin; nil where none is known.
// Of quantity breaks it is the cost of the next lower one.
func costAt(r *bookRule, own priceGroup, t int64, groups map[priceGroup][]spanned) *big.Rat {
	if r.Margin == nil {
		return nil
	}
	var best *Price
	for g, list := range groups {
		if g.list != r.Margin.PriceList || g.currency != own.currency || g.quantity > own.quantity || best != nil && g.quantity < max(1, best.MinQuantity) {
			continue
		}
		if x := at(list, t); x != nil {
			best = x
		}
	}
	if best == nil {
		return nil
	}
	return ratOf(best.Amount)
}

// covers reports that the product is within the rule's filters.
func (r *bookRule) covers(p *PricedProduct) bool {
	if len(r.Families) > 0 && !slices.Contains(r.Families, p.Family) || len(r.SKUs) > 0 && !slices.Contains(r.SKUs, p.SKU) ||
		len(r.Categories) > 0 && !slices.ContainsFunc(r.Categories, func(c string) bool { return slices.Contains(p.Categories, c) }) ||
		len(r.Subtrees) > 0 && !slices.ContainsFunc(r.Subtrees, func(c string) bool { return slices.Contains(p.Above, c) }) ||
		r.Condition != "" && !slices.Contains(p.Fits, r.Condition) {
		return false
	}
	for code, wanted := range r.Attributes {
		has := false
		switch v := p.Values[code].(type) {
		case string:
			has = slices.Contains(wanted, v)
		case []any:
			has = slices.ContainsFunc(v, func(x any) bool { s, ok := x.(string); return ok && slices.Contains(wanted, s) })
		}
		if !has {
			return false
		}
	}
	return true
}
