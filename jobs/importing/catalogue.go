package importing

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluicehub/sluice/jobs/importing/markup"
	"github.com/sluicehub/sluice/jobs/importing/supplier"
	"github.com/sluicehub/sluice/pim"
)

// Catalogues of suppliers (package supplier) are read as files in our own layout
// are, with two differences: what attributes, families and categories there have
// to be is found out by the first reading, and the products are made for them.

// Bounds of a catalogue. What is beyond is left out, and told.
const (
	maxFeatures = 5000
	maxFamilies = 2000
	maxKinds    = 50 // of references, price lists
)

// catalogue is what a first reading of a supplier's catalogue found. In memory
// grow its features and categories, and some 20 bytes for each place of a
// product in a category.
type catalogue struct {
	hash
	header     supplier.Header
	fields     map[string]int // code → characters of the longest text
	features   map[string]*feature
	order      []string // of the features
	families   map[string]*kind
	kinds      []string // of the families
	lists      map[string]bool
	currencies []pim.Currency
	references map[string]bool // by kind: each has a quantity
	langs      map[string]bool
	categories []supplier.Category
	catAt      map[string]int
	named      map[int]string // categories that the file does not define → a product that is in it
	placings   []placing
	products   int64 // items that are more than a price or the end of one
	notes      []problem
	beyond     int // features that are too many
}

// feature is what a feature's values have in common.
type feature struct {
	id               bool
	names            map[string]string
	values           int64
	numbers, answers int64 // values that are numbers; Y or N
	unit             string
	odd              bool // units that are not known, or of several measurement families
	several          bool // values of one product
	characters       int
	kinds            map[string]bool
}

// kind is a family of the catalogue.
type kind struct {
	name map[string]string
}

// placing puts a product into a category.
type placing struct {
	sku      [2]uint64
	category int32
}

func newCatalogue() *catalogue {
	return &catalogue{
		hash: newHash(), fields: map[string]int{}, features: map[string]*feature{}, families: map[string]*kind{}, lists: map[string]bool{},
		references: map[string]bool{}, langs: map[string]bool{}, catAt: map[string]int{}, named: map[int]string{},
	}
}

// catalogueReader reads a catalogue: to find out what is in it, or, once filled
// is set, as products in our own layout.
type catalogueReader struct {
	in     supplier.Reader
	t      table
	row    int64
	found  *catalogue
	filled *filling
}

// newCatalogueReader begins with the columns that every product has.
func newCatalogueReader(in supplier.Reader) *catalogueReader {
	c := &catalogueReader{in: in, t: newTable(false), found: newCatalogue()}
	for _, name := range append(slices.Clone(OwnColumns), PricesColumn) {
		_, _ = c.t.add(name) // seven are never too many
	}
	return c
}

func (c *catalogueReader) columns() *table { return &c.t }

func (c *catalogueReader) close() {}

// use makes the products of the catalogue what f says.
func (c *catalogueReader) use(f *filling) { c.filled, c.t = f, *f.table }

func (c *catalogueReader) next(r *record) error {
	for {
		e, err := c.in.Next()
		if f, ok := errors.AsType[*markup.Fault](err); ok {
			return faultf("%v", f)
		}
		if err != nil {
			if errors.Is(err, io.EOF) && c.filled == nil {
				c.found.end(c.in.Header())
			}
			return err
		}
		switch {
		case e.Item != nil:
			c.item(r, e.Item)
			return nil
		case c.filled != nil:
		case e.Note != nil:
			c.found.note(*e.Note)
		case e.Category != nil:
			c.found.category(e.Category)
		case e.Mapping != nil:
			c.found.place(e.Mapping.SKU, e.Mapping.Category)
		}
	}
}

// located is a problem with its line.
func located(p supplier.Problem) problem {
	return problem{column: p.Path, value: p.Value, code: p.Code, text: fmt.Sprintf("line %d: %s", p.Line, p.Text)}
}

func (c *catalogueReader) item(r *record, it *supplier.Item) {
	c.row++
	*r = record{row: c.row, size: it.Size, cells: r.cells[:0]}
	for range c.t.names {
		r.cells = append(r.cells, nil)
	}
	if it.Bad != nil {
		p := located(*it.Bad)
		r.bad = &p
		return
	}
	r.cells[0] = it.SKU
	r.patch = it.Mode == supplier.Withdraw || it.Mode == supplier.Prices
	if c.filled == nil {
		c.found.take(it, c.in.Header())
		return
	}
	for _, n := range it.Notes {
		r.notes = append(r.notes, located(n))
	}
	c.filled.fill(r, it, c.in.Header())
}

func (c *catalogue) note(p supplier.Problem) {
	if len(c.notes) < 500 {
		c.notes = append(c.notes, located(p))
	}
}

// take notes what an item needs.
func (c *catalogue) take(it *supplier.Item, h *supplier.Header) {
	c.header = *h
	for _, p := range it.Prices {
		if len(c.lists) < maxKinds {
			c.lists[listKey(p, h)] = true
		}
		if !slices.Contains(c.currencies, p.Currency) && len(c.currencies) < 500 {
			c.currencies = append(c.currencies, p.Currency)
		}
	}
	if it.Mode == supplier.Withdraw || it.Mode == supplier.Prices {
		return
	}
	c.products++
	key := it.Family
	if c.families[key] == nil && len(c.families) >= maxFamilies {
		key = ""
	}
	fam := c.families[key]
	if fam == nil {
		fam = &kind{name: map[string]string{}}
		c.families[key] = fam
		c.kinds = append(c.kinds, key)
	}
	addNames(fam.name, it.FamilyName)
	lengths := map[string]int{}
	for _, t := range it.Texts {
		c.langs[t.Lang] = true
		lengths[t.Field+" "+t.Lang] += utf8.RuneCountInString(t.Value) + 2
		c.fields[t.Field] = max(c.fields[t.Field], lengths[t.Field+" "+t.Lang])
	}
	for _, m := range it.Media {
		c.fields[m.Field] = max(c.fields[m.Field], 1)
	}
	for kind, list := range it.References {
		counted, known := c.references[kind]
		if known || len(c.references) < maxKinds {
			c.references[kind] = (counted || !known) && !slices.ContainsFunc(list, func(r supplier.Reference) bool { return r.Quantity == 0 })
		}
	}
	seen := map[string]bool{}
	for i := range it.Features {
		c.feature(&it.Features[i], key, seen)
	}
	for _, id := range it.Categories {
		if _, known := c.catAt[id]; !known {
			c.category(&supplier.Category{ID: id, Line: it.Line})
		}
	}
}

func addNames(into, more map[string]string) {
	for l, n := range more {
		if into[l] == "" {
			into[l] = n
		}
	}
}

func (c *catalogue) feature(f *supplier.Feature, family string, seen map[string]bool) {
	key := featureKey(f)
	if key == "" {
		return
	}
	have := c.features[key]
	if have == nil {
		if len(c.features) == maxFeatures {
			c.beyond++
			return
		}
		have = &feature{id: f.ID, names: map[string]string{}, kinds: map[string]bool{}}
		c.features[key] = have
		c.order = append(c.order, key)
	}
	addNames(have.names, f.Names)
	have.kinds[family] = true
	langs := map[string]int{}
	characters := 0
	for _, v := range f.Values {
		c.langs[v.Lang] = true
		have.values++
		switch raw := invariant(v); {
		case isNumber(raw):
			have.numbers++
		case raw == "Y" || raw == "N":
			have.answers++
		}
		langs[v.Lang]++
		characters += utf8.RuneCountInString(v.Value) + 2 + utf8.RuneCountInString(f.Unit) + 1
		have.several = have.several || langs[v.Lang] > 1
	}
	have.characters = max(have.characters, characters)
	have.several = have.several || seen[key]
	if seen[key] {
		have.characters = max(have.characters, 20*characters)
	}
	seen[key] = true
	switch unit, known := unitOf(f.Unit); {
	case f.Unit == "" && have.values > int64(len(f.Values)) && have.unit != "", f.Unit != "" && !known:
		have.odd = true
	case f.Unit == "":
	case have.unit == "":
		have.unit = unit
		have.odd = have.odd || have.values > int64(len(f.Values))
	default:
		a, _ := pim.UnitFamily(have.unit)
		b, _ := pim.UnitFamily(unit)
		have.odd = have.odd || a != b
	}
}

// invariant is a value as it is in every language.
func invariant(v supplier.Text) string {
	if v.Field != "" {
		return v.Field
	}
	return v.Value
}

// featureKey is what tells features apart: versions of an identifier of a
// classification (0173-1#02-AAQ640#005) are the same feature.
func featureKey(f *supplier.Feature) string {
	key := f.Key
	if f.ID && strings.Count(key, "#") == 2 {
		key = key[:strings.LastIndexByte(key, '#')]
	}
	if code := codeOf(strings.ToLower(key)); code != "" || key == "" {
		return code
	}
	return "feature_" + fingerprint(key) // of letters that no code has
}

// fingerprint tells texts apart of which no code can be made.
func fingerprint(text string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text)) // which cannot fail
	return fmt.Sprintf("%08x", h.Sum32())
}

// otherUnits are units that people write otherwise than by their symbol.
var otherUnits = map[string]string{`"`: "in", "''": "in", "Zoll": "in", "Stk": "piece", "Stück": "piece", "St": "piece", "Liter": "l", "Meter": "m", "Gramm": "g"}

// unitOf is the store's symbol of a unit.
func unitOf(unit string) (string, bool) {
	if s, ok := pim.UnitSymbol(unit); ok {
		return s, true
	}
	return pim.UnitSymbol(otherUnits[unit])
}

func (c *catalogue) category(n *supplier.Category) {
	if at, twice := c.catAt[n.ID]; twice {
		have := &c.categories[at]
		if _, only := c.named[at]; only {
			delete(c.named, at)
			*have = *n
			return
		}
		if have.Names == nil {
			have.Names = map[string]string{}
		}
		addNames(have.Names, n.Names)
		return
	}
	if len(c.categories) == pim.MaxCategories {
		return
	}
	for l := range n.Names {
		c.langs[l] = true
	}
	c.catAt[n.ID] = len(c.categories)
	c.categories = append(c.categories, *n)
}

// place notes that a product is in a category. One that the file does not define
// may be in the store.
func (c *catalogue) place(sku, category string) {
	at, known := c.catAt[category]
	if !known {
		if len(c.categories) == pim.MaxCategories {
			return
		}
		at = len(c.categories)
		c.catAt[category] = at
		c.categories = append(c.categories, supplier.Category{ID: category})
		c.named[at] = clip(sku, 100)
	}
	c.placings = append(c.placings, placing{c.of(plainSKU(sku)), int32(at)})
}

// end sorts what was found for the second reading.
func (c *catalogue) end(h *supplier.Header) {
	c.header = *h
	slices.SortStableFunc(c.placings, comparePlacings)
}

func comparePlacings(a, b placing) int {
	return cmp.Or(cmp.Compare(a.sku[0], b.sku[0]), cmp.Compare(a.sku[1], b.sku[1]))
}

// placesOf are the categories of a product, in the order of the file.
func (c *catalogue) placesOf(sku string) (at []int32) {
	want := placing{sku: c.of(plainSKU(sku))}
	i, _ := slices.BinarySearchFunc(c.placings, want, comparePlacings)
	for ; i < len(c.placings) && c.placings[i].sku == want.sku; i++ {
		if !slices.Contains(at, c.placings[i].category) {
			at = append(at, c.placings[i].category)
		}
	}
	return at
}

// listKey is a price's list as the catalogue has it: its type, and the
// territories where they are not those of the catalogue.
func listKey(p supplier.Price, h *supplier.Header) string {
	own := slices.Clone(h.Territories)
	slices.Sort(own)
	key := p.List
	if key == "" {
		key = netList
	}
	if len(p.Territories) > 0 && !slices.Equal(slices.Compact(own), p.Territories) {
		key += " " + strings.ToLower(strings.Join(p.Territories, " "))
	}
	return key
}

// netList is the price type that is the price: a list price before tax.
const netList = "net_list"
