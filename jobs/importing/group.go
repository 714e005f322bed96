package importing

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Bounds of the records of one product, which are held in memory together.
// More of them are taken as variants of the product that is there by then.
const (
	groupRows  = 1000
	groupBytes = 4 << 20
)

// grouper reads a file's records, those of one product together. Where it cuts
// depends on the file alone.
type grouper struct {
	*reading
	in    reader
	rec   record
	held  *record // was read, and begins the next group
	group group
	end   error
}

// group is the records of one product, in the order of the file.
type group struct {
	records []*record
	key     string   // that they have in common
	names   []string // of what its variants differ in, by pair
	cut     bool     // the product itself was in the group before
	full    bool     // more may follow
}

// next gives the next group, which is good until the one after it; an error is
// the reader's.
func (g *grouper) next() (*group, error) {
	if g.rows == eachRow {
		if err := g.in.next(&g.rec); err != nil {
			return nil, err
		}
		g.grow(g.in.columns())
		g.trim(&g.rec)
		g.group.records = append(g.group.records[:0], &g.rec)
		return &g.group, nil
	}
	next := group{}
	if g.group.full {
		next = group{key: g.group.key, names: g.group.names, cut: true}
	}
	bytes := 0
	for {
		r, err := g.read()
		if err != nil {
			if g.group = next; len(next.records) > 0 {
				g.end = err
				return &g.group, nil
			}
			return nil, err
		}
		if begins := g.begins(&next, r); begins && len(next.records) > 0 {
			g.held = r
			break
		} else if begins {
			next = group{key: g.keyOf(r)}
		}
		for i, name := range g.namesOf(r) {
			for len(next.names) <= i {
				next.names = append(next.names, "")
			}
			if name != "" && next.names[i] == "" {
				next.names[i] = name
			}
		}
		next.records = append(next.records, r)
		if bytes += r.size; len(next.records) >= groupRows || bytes > groupBytes {
			next.full = true
			break
		}
	}
	g.group = next
	return &g.group, nil
}

// read gives a copy of the next record.
func (g *grouper) read() (*record, error) {
	if r := g.held; r != nil {
		g.held = nil
		return r, nil
	}
	if g.end != nil {
		return nil, g.end
	}
	if err := g.in.next(&g.rec); err != nil {
		return nil, err
	}
	g.grow(g.in.columns())
	r := g.rec
	r.cells, r.stripped = slices.Clone(r.cells), slices.Clone(r.stripped)
	g.trim(&r)
	return &r, nil
}

// trim takes the spaces off by which vendors line their columns up.
func (g *grouper) trim(r *record) {
	if g.layout == &plainLayout || r.bad != nil {
		return
	}
	if g.layout == &own {
		if t := g.in.columns(); !t.csv || t.sheet {
			return
		}
		for i, v := range r.cells {
			if s, ok := v.(string); ok {
				r.cells[i] = bareCell(s)
			}
		}
		return
	}
	for i, v := range r.cells {
		s, ok := v.(string)
		if !ok {
			continue
		}
		if t := strings.TrimSpace(s); t == "" {
			r.cells[i] = nil
		} else if len(t) < len(s) {
			r.cells[i] = t
		}
	}
}

// begins reports whether r begins a product that is not now's.
func (g *grouper) begins(now *group, r *record) bool {
	switch {
	case r.bad != nil: // no one can tell: it stays where it is
		return false
	case g.rows == untitled:
		return g.text(r, g.title) != ""
	}
	key := g.keyOf(r)
	return key == "" || key != now.key
}

// keyOf is what tells a product's rows, and what its SKU is made of.
func (r *reading) keyOf(rec *record) string {
	if rec.bad != nil {
		return ""
	}
	if key := r.text(rec, r.key); key != "" || r.title < 0 {
		return key
	}
	return slug(r.text(rec, r.title))
}

// text is a cell as text, without spaces around it; "" of no column.
func (r *reading) text(rec *record, column int) string {
	if rec.bad != nil || column < 0 || column >= len(rec.cells) || rec.cells[column] == nil {
		return ""
	}
	return strings.TrimSpace(textOf(rec.cells[column]))
}

// namesOf are the names of the pairs that a record has.
func (r *reading) namesOf(rec *record) []string {
	if r.names >= 0 {
		return parts(r.text(rec, r.names), "|")
	}
	names := make([]string, len(r.pairs))
	for i, p := range r.pairs {
		names[i] = r.text(rec, p[0])
	}
	return names
}

func parts(text, separator string) []string {
	if text == "" {
		return nil
	}
	list := strings.Split(text, separator)
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

// level is what an item is in the store.
type level int

const (
	whole   level = iota // a product without variants
	product              // a product that variants are of
	variant
)

// pair is an attribute that a file names in its cells.
type pair struct {
	name, value string
	column      bool // it is a column of its own, and taken as such
	facet       bool // says nothing about what variants differ in
	own         bool // of a facet: of the variant
}

// item is one product of a group: what becomes an edit.
type item struct {
	level   level
	records []*record // that tell of it; it is reported by the first
	key     string    // of its product
	pairs   []pair
	axes    []string // of a product: names of the pairs that its variants differ in
	nth     int      // of a variant: its place in the group
}

// split takes a group apart into products. Of eachRow it is one, whose level
// only the whole file can tell.
func (r *reading) split(g *group) []item {
	if r.rows == eachRow {
		return []item{{records: g.records, pairs: r.pairsOf(g.records[0], nil)}}
	}
	var sellers []*record
	for _, rec := range g.records {
		if r.sells(rec) {
			sellers = append(sellers, rec)
		}
	}
	good := slices.DeleteFunc(slices.Clone(g.records), func(rec *record) bool { return rec.bad != nil })
	if len(good) == 0 {
		return nil
	}
	if !g.cut && len(sellers) < 2 && !g.full && (len(sellers) == 0 || !differs(r.pairsOf(sellers[0], g.names))) {
		it := item{level: whole, records: good, key: g.key}
		for _, rec := range good {
			it.pairs = append(it.pairs, r.pairsOf(rec, g.names)...)
		}
		return []item{it}
	}
	var items []item
	if !g.cut {
		p := item{level: product, records: good, key: g.key}
		for _, pr := range r.pairsOf(good[0], g.names) {
			if pr.facet && !pr.own {
				p.pairs = append(p.pairs, pr)
			}
		}
		items = append(items, p)
	}
	for i, rec := range sellers {
		v := item{level: variant, records: []*record{rec}, key: g.key, nth: i + 1}
		for _, pr := range r.pairsOf(rec, g.names) {
			if !pr.facet || pr.own {
				v.pairs = append(v.pairs, pr)
			}
		}
		items = append(items, v)
	}
	if !g.cut {
		items[0].axes = axesOf(items[1:])
	}
	return items
}

// differs reports pairs in which variants could differ.
func differs(pairs []pair) bool {
	return slices.ContainsFunc(pairs, func(p pair) bool { return !p.facet && p.value != "" })
}

// axesOf are the names that all variants have a value of.
func axesOf(variants []item) []string {
	var axes []string
	for i, v := range variants {
		has := func(name string) bool {
			return slices.ContainsFunc(v.pairs, func(p pair) bool { return p.name == name && p.value != "" && !p.facet })
		}
		if i == 0 {
			for _, p := range v.pairs {
				if has(p.name) && len(axes) < maxAxes && !slices.Contains(axes, p.name) {
					axes = append(axes, p.name)
				}
			}
			continue
		}
		axes = slices.DeleteFunc(axes, func(name string) bool { return !has(name) })
	}
	return axes
}

const maxAxes = 5 // that a family variant may have

// sells reports a record that tells of something with a price or a SKU of its
// own; others only add to the product above.
func (r *reading) sells(rec *record) bool {
	if rec.bad != nil {
		return false
	}
	for i, role := range r.roles {
		switch role.kind {
		case asSKU, asPrice, asPairValue, asValueList:
			if r.text(rec, i) != "" {
				return true
			}
		}
	}
	return false
}

// nothings are what vendors write where a product has no options.
var nothings = map[pair]bool{
	{name: "Title", value: "Default Title"}:                 true,
	{name: "Default option", value: "Default option value"}: true,
	{name: "Default", value: "Default"}:                     true,
}

// pairsOf are the attributes that a record names in its cells; names are those
// that the group's first record has said.
func (r *reading) pairsOf(rec *record, names []string) []pair {
	if rec.bad != nil {
		return nil
	}
	var pairs []pair
	add := func(p pair) {
		if p.name != "" && p.value != "" && !nothings[p] {
			pairs = append(pairs, p)
		}
	}
	own := r.namesOf(rec)
	name := func(i int) string {
		if i < len(own) && own[i] != "" {
			return own[i]
		}
		if i < len(names) {
			return names[i]
		}
		return ""
	}
	for i, p := range r.pairs {
		add(pair{name: name(i), value: r.text(rec, p[1])})
	}
	if r.values >= 0 {
		for i, v := range parts(r.text(rec, r.values), "|") {
			add(pair{name: name(i), value: v})
		}
	}
	if r.variants >= 0 {
		for _, p := range r.listed[r.plainSKU(rec)] {
			add(p)
		}
	}
	if r.linked() {
		for _, i := range r.axes {
			add(pair{name: r.column(i), value: r.text(rec, i), column: true})
		}
	}
	for _, i := range r.facets {
		for _, f := range parts(r.text(rec, i), "|") {
			if n, v, ok := strings.Cut(f, ":"); ok && !strings.EqualFold(strings.TrimSpace(n), "category") {
				n, v = strings.TrimSpace(n), strings.TrimSpace(v)
				at := slices.IndexFunc(pairs, func(p pair) bool { return p.facet && p.name == n && p.own == r.roles[i].own })
				if at >= 0 {
					pairs[at].value += ", " + v
				} else {
					add(pair{name: n, value: v, facet: true, own: r.roles[i].own})
				}
			}
		}
	}
	return pairs
}

// categoriesOf are the codes of a record's categories.
func (r *reading) categoriesOf(rec *record) []string {
	var codes []string
	add := func(name string) {
		if code := codeOf(strings.ToLower(name)); code != "" && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	}
	for _, i := range r.categories {
		text := r.text(rec, i)
		if text == "" {
			continue
		}
		if list := r.roles[i].list; list != "" {
			for _, c := range parts(text, list) {
				add(c)
			}
			continue
		}
		add(text)
	}
	for _, i := range r.facets {
		for _, f := range parts(r.text(rec, i), "|") {
			if n, v, ok := strings.Cut(f, ":"); ok && strings.EqualFold(strings.TrimSpace(n), "category") {
				add(strings.TrimSpace(v))
			}
		}
	}
	return codes
}

// enabled reads whether a record's product may be sold; nil: it does not say.
func (r *reading) enabled(rec *record) *bool {
	var said *bool
	for _, i := range r.enabling {
		switch strings.ToLower(r.text(rec, i)) {
		case "1", "true", "active", "published", "yes":
			said = new(true)
		case "0", "-1", "false", "draft", "archived", "proposed", "rejected", "no":
			return new(false)
		}
	}
	return said
}

// slug is a text as part of a SKU or address; "" when nothing is left.
func slug(text string) string {
	code := strings.ToLower(codeOf(text))
	return strings.Trim(strings.ReplaceAll(code, "_", "-"), "-")
}

// variantSKU makes the SKU of a variant that has none: the product's key with
// what it differs in.
func (it *item) variantSKU() string {
	sku := it.key
	for _, p := range it.pairs {
		if p.facet {
			continue
		}
		if s := slug(p.value); s != "" {
			sku += "-" + s
		} else {
			sku += "-" + strconv.Itoa(it.nth)
		}
	}
	if sku == it.key {
		sku += "-" + strconv.Itoa(it.nth)
	}
	return sku
}

// plainSKU is a SKU as it is stored.
func plainSKU(s string) string { return norm.NFC.String(strings.TrimSpace(s)) }

// over reports the end of a file, with or without a fault.
func over(err error) bool {
	return errors.Is(err, io.EOF) || errors.As(err, new(*fault))
}
