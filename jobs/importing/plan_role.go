package importing

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/sluicehub/sluice/pim"
)

// house checks what the options name of the store, which may have gone since
// they were given, and of the file.
func (p *planner) house() error {
	o := p.opts
	if ps := o.against(p.before); len(ps) > 0 {
		return faultf("%s", ps[0].Detail)
	}
	names := p.surveyed.table.names
	for _, name := range append([]string{o.ParentColumn, o.LocaleColumn}, o.Axes...) {
		if name != "" && !slices.Contains(names, name) {
			return faultf("there is no column %q; there are: %s", name, some(names))
		}
	}
	return nil
}

// role takes a column that is no attribute; done is false for one that is.
func (p *planner) role(i int, name string, r role, st stat) (done bool, err error) {
	plainly := p.surveyed.layout == &plainLayout
	switch r.kind {
	case asVariants:
		return false, nil // what it says beside is kept as it stands
	case asAttribute, asTitle:
		return !plainly && st.filled == 0, nil
	case asSKU:
		return !plainly, nil
	case asKey:
		return st.filled == 0, nil
	case asNothing, asID:
		if st.filled > 0 && r.kind == asNothing {
			p.ignored = append(p.ignored, name)
		}
		return true, nil
	case asPrice, asSale, asCompare, asSaleFrom, asSaleTo, asStock:
		if plainly && p.opts.Family != "" && p.member[codeOf(name)] {
			return false, nil // who names a family means its attributes
		}
		if st.filled == 0 {
			return !plainly, nil
		}
		t := p.surveyed.table
		from := origin{column: i, name: name, unclear: t.csv && !t.sheet && (st.commas > 0 || st.points == 0)}
		return p.offer(r, from, st), nil
	}
	return true, nil // pairs, categories and the like
}

// offer takes a column of prices or stock; false: it stays an attribute.
func (p *planner) offer(r role, from origin, st stat) bool {
	plainly := p.surveyed.layout == &plainLayout
	if r.kind == asStock {
		location := firstOf(r.location, p.opts.Location, defaultCode)
		if plainly && st.numbers == 0 {
			p.note(from.name, "column.stock", "no value of the column is a whole number: it is no stock, and becomes an attribute")
			return false
		}
		if !p.before.Locations[location] {
			if r.location != "" {
				p.note(from.name, "column.location", fmt.Sprintf("there is no location %q: the column is no stock", location))
			}
			return false
		}
		if !slices.ContainsFunc(p.stocks, func(s stocking) bool { return s.location == location }) {
			p.stocks = append(p.stocks, stocking{location, from})
		}
		return true
	}
	currency := pim.Currency(firstOf(string(r.currency), string(p.opts.Currency)))
	if len(p.before.Currencies) == 1 && currency == "" {
		for currency = range p.before.Currencies {
		}
	}
	mapped := slices.ContainsFunc(p.prices, func(x pricing) bool { return x.regular.expr != nil || x.sale.expr != nil })
	switch {
	case currency == "" && mapped && !plainly:
		p.note(from.name, "column.mapped", "the map makes the prices, so the column itself is not taken")
		return true
	case currency == "":
		if !plainly {
			p.note(from.name, "column.currency", "the column has prices, but nothing says in which currency (currency): it becomes an attribute")
		}
		return false
	case !p.before.Currencies[currency]:
		p.note(from.name, "column.currency", fmt.Sprintf("currency %s is not one of the store's: the column is not taken", currency))
		return true
	case plainly && st.numbers == 0 && st.filled > 0 && !p.money(st):
		return false
	}
	p.price(r.kind, currency, from)
	return true
}

// money reports a column whose values could be amounts at all.
func (p *planner) money(st stat) bool { return st.characters <= 40 && st.links == 0 }

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// price puts a column, or an expression, to the prices in its currency. The
// first one stays.
func (p *planner) price(kind roleKind, currency pim.Currency, from origin) {
	list := firstOf(p.opts.PriceList, defaultCode)
	at := slices.IndexFunc(p.prices, func(x pricing) bool { return x.currency == currency })
	if at < 0 {
		at = len(p.prices)
		p.prices = append(p.prices, pricing{
			currency: currency, list: list, regular: nowhere, sale: nowhere, compare: nowhere, from: nowhere, to: nowhere,
		})
	}
	x := &p.prices[at]
	place := map[roleKind]*origin{asPrice: &x.regular, asSale: &x.sale, asCompare: &x.compare, asSaleFrom: &x.from, asSaleTo: &x.to}[kind]
	if place.given() {
		p.note(from.name, "column.duplicate", fmt.Sprintf("column %s makes the price in %s already: this one is not taken", place.name, currency))
		return
	}
	*place = from
}

// mappedOffer takes a key of Options.Map such as price:EUR.
func (p *planner) mappedOffer(name string) error {
	r, err := parseOffer(name)
	from := origin{column: -1, expr: p.fields[name], name: name}
	switch {
	case err != nil:
		return faultf("map %s: %v", name, err)
	case r.kind == asStock:
		p.stocks = append(p.stocks, stocking{r.location, from})
	default:
		p.price(r.kind, r.currency, from)
	}
	return nil
}

// without drops what speaks of sales that no price is there for.
func (p *planner) without() {
	p.prices = slices.DeleteFunc(p.prices, func(x pricing) bool { return !x.regular.given() && !x.sale.given() })
}

// plainly makes a statistic of a vendor's column one of text, or of links: what
// type a known attribute has must not depend on a file of a few rows.
func (s *stat) plainly(r role) {
	s.links = 0
	switch {
	case r.media:
		s.links, s.booleans = s.filled, 0
	case r.code != "":
		s.numbers, s.booleans = 0, 0
	}
}

// vendors plans an attribute of a vendor's layout.
func (p *planner) vendors(t target, code string, r role, st stat) error {
	if r.locale != "" {
		locale, known := p.locale(r.locale)
		switch first := !p.placed(code) && !p.used[code]; {
		case known:
			t.locale = string(locale)
		case first && !p.knowsOther(code):
			// The only language that there is stands for all.
		default:
			p.note(t.name, "column.locale", fmt.Sprintf("locale %s is not one of the store's: the column is not taken", r.locale))
			return nil
		}
	}
	if p.fields[code] != nil {
		p.note(t.name, "column.mapped", fmt.Sprintf("the map makes attribute %s, so the column itself is not taken", code))
		return nil
	}
	if as := p.alias[code]; as != "" {
		return p.again(t, as)
	}
	before := len(p.targets)
	defer func() {
		if len(p.targets) > before {
			p.alias[code] = p.targets[before].attr.Code
		}
	}()
	if p.member[code] && p.before.Attributes[code] != nil && (p.opts.Family != "" || t.locale == "" || p.before.Attributes[code].Localizable) {
		return p.into(t, code, t.locale, st)
	}
	if p.opts.Family != "" {
		p.note(t.name, "column.unknown", fmt.Sprintf("family %s has no attribute %s: the column is not taken", p.family, code))
		return nil
	}
	return p.fresh(t, code, st)
}

// again plans another column of an attribute that has one already.
func (p *planner) again(t target, code string) error {
	for i := range p.targets {
		if t.attr = p.targets[i].attr; t.attr.Code != code {
			continue
		}
		switch {
		case !t.attr.Localizable:
			t.locale = ""
		case t.locale == "":
			t.locale = string(p.opts.Locale)
		}
		p.add(t)
		break
	}
	return nil
}

// knowsOther reports that another column of the attribute has a locale of the store.
func (p *planner) knowsOther(code string) bool {
	for _, r := range p.surveyed.roles {
		if r.code == code && r.locale != "" {
			if _, known := p.locale(r.locale); known {
				return true
			}
		}
	}
	return false
}

// locale finds the store's locale that a file means: the same, however it is
// written, or the only one, or the import's, of its language.
func (p *planner) locale(tag string) (pim.Locale, bool) {
	return localeOf(p.before, p.opts.Locale, tag)
}

func localeOf(s *pim.Schema, own pim.Locale, tag string) (pim.Locale, bool) {
	tag = strings.ReplaceAll(strings.TrimSpace(tag), "_", "-")
	switch strings.ToLower(tag) { // Microsoft's old names
	case "zh-cht":
		tag = "zh-Hant"
	case "zh-chs":
		tag = "zh-Hans"
	}
	if tag == "" {
		return "", false
	}
	var same []pim.Locale
	for l := range s.Locales {
		if strings.EqualFold(string(l), tag) {
			return l, true
		}
		if languageOf(string(l)) == languageOf(tag) && !strings.Contains(tag, "-") {
			same = append(same, l)
		}
	}
	if slices.Contains(same, own) {
		return own, true
	}
	if len(same) == 1 {
		return same[0], true
	}
	return "", false
}

func languageOf(tag string) string {
	if t, err := language.Parse(tag); err == nil {
		base, _ := t.Base()
		return base.String()
	}
	base, _, _ := strings.Cut(strings.ToLower(tag), "-")
	return base
}

// named plans an attribute that the file names in its cells.
func (p *planner) named(name string) error {
	if i := slices.Index(p.surveyed.table.names, name); i >= 0 && p.isAxis(i) {
		return nil // a column, and planned as one
	}
	code := codeOf(strings.ToLower(name))
	if code == "" {
		code = fmt.Sprintf("attribute_%d", slices.Index(p.surveyed.order, name)+1)
	}
	t := target{column: -1, name: name, pair: true}
	st := *p.surveyed.links.pairs[name]
	st.numbers, st.booleans = 0, 0
	if p.fields[code] != nil {
		p.note(name, "column.mapped", fmt.Sprintf("the map makes attribute %s, so this is not taken", code))
		return nil
	}
	before := len(p.targets)
	var err error
	switch {
	case p.member[code] && p.before.Attributes[code] != nil && !p.placed(code) && (p.opts.Family != "" || p.before.Attributes[code].Type == pim.TypeText && !p.before.Attributes[code].Localizable):
		err = p.into(t, code, "", st)
	case p.opts.Family != "":
		p.note(name, "column.unknown", fmt.Sprintf("family %s has no attribute %s: it is not taken", p.family, code))
	default:
		err = p.fresh(t, code, st)
	}
	if len(p.targets) > before {
		p.pairs[name] = before
	}
	return err
}

// isAxis reports a column in which the variants of a plain file differ.
func (p *planner) isAxis(column int) bool {
	return column >= 0 && p.surveyed.linked() && slices.Contains(p.surveyed.axes, column)
}

// axes finds, or adds to a family that is made from the file, the family
// variants of the file's parents.
func (p *planner) axes() error {
	p.surveyed.complete()
	for _, set := range p.surveyed.sets {
		var codes []string
		for _, name := range set {
			if t := p.axisTarget(name); t != nil {
				codes = append(codes, t.attr.Code)
			}
		}
		if len(codes) == 0 {
			continue
		}
		code := ""
		for i := range p.fam.Variants { // with two levels, a file's rows say themselves which model they are below
			if v := &p.fam.Variants[i]; v.Depth() == 1 && sameSet(v.AllAxes(), codes) {
				code = v.Code
			}
		}
		if code == "" && p.opts.Family != "" {
			if len(p.fam.Variants) != 1 || p.fam.Variants[0].Depth() > 1 {
				p.note("", "family_variant.missing", fmt.Sprintf("family %s has no family variant by %s: such variants are refused", p.family, strings.Join(codes, ", ")))
				continue
			}
			code = p.fam.Variants[0].Code
		}
		if code == "" {
			if len(p.fam.Variants) == maxAxisSet {
				return faultf("the file's products differ in more than %d sets of attributes; split the file", maxAxisSet)
			}
			code = p.newVariant(codes)
			p.fam.Variants = append(p.fam.Variants, pim.FamilyVariant{Code: code, Axes: codes})
			p.grown = true
		}
		p.variants[axesKey(set)] = code
	}
	return nil
}

func (p *planner) newVariant(codes []string) string {
	base := clip(strings.Join(codes, "_"), 80)
	base = strings.TrimSuffix(base, "…")
	code := base
	for n := 2; slices.ContainsFunc(p.fam.Variants, func(v pim.FamilyVariant) bool { return v.Code == code }); n++ {
		code = fmt.Sprintf("%s_%d", base, n)
	}
	return code
}

// axisTarget is where an axis' values go; nil: nowhere.
func (p *plan) axisTarget(name string) *target {
	if i, ok := p.pairs[name]; ok {
		return &p.targets[i]
	}
	for i := range p.targets {
		if t := &p.targets[i]; t.column >= 0 && t.name == name && p.surveyed.linked() && slices.Contains(p.surveyed.axes, t.column) {
			return t
		}
	}
	return nil
}

func axesKey(names []string) string { return strings.Join(names, "\x00") }

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
