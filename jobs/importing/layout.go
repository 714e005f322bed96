package importing

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// roleKind is what a column is for.
type roleKind int

const (
	asAttribute  roleKind = iota
	asNothing             // says nothing that the store has a place for
	asSKU                 // of the row's product, or of its variant
	asKey                 // what the rows of one product have in common
	asTitle               // an attribute whose cell is empty where a row goes on with the product above
	asParent              // SKU of a variant's parent
	asID                  // what parents are called by besides their SKU, as "id:…"
	asPairName            // name of an attribute …
	asPairValue           // … whose value stands in another column
	asNameList            // names of the attributes in which variants differ …
	asValueList           // … and a row's values of them
	asFacets              // "name:value" pairs
	asCategories          // categories
	asEnabled             // whether it may be sold
	asPrice               // the price
	asSale                // the price for a while
	asCompare             // the price as it was, beside a lower one
	asSaleFrom            // when a sale begins …
	asSaleTo              // … and ends
	asStock               // pieces on hand
	asLocale              // of the row's texts
	asVariants            // SKUs of the product's variants, with what they differ in
)

// role is what a column means in a layout.
type role struct {
	kind     roleKind
	code     string // of the attribute; "": made of the column's name
	locale   string // as the column's name has it
	currency pim.Currency
	location string
	list     string // separators of several values; of media and categories
	media    bool   // links, or the assets' file names
	own      bool   // tells of a row's variant, not of the product
	pair     int    // of asPairName and asPairValue: which belong together
}

// layout is a vendor's way to write products: from a column's name to what it
// means. rows says how the rows of one product are told.
type layout struct {
	name  string
	knows func(has func(names ...string) bool) bool
	role  func(column string) role
	rows  grouping
}

type grouping int

const (
	eachRow   grouping = iota // a row is a product, or a variant of one
	sameKey                   // rows that follow each other with the same key
	untitled                  // rows without a title belong to the one above
	plainName = "plain"
)

// layouts are the vendors' that are known by their header.
var layouts = []*layout{&own, &woocommerce, &shopify, &vendure, &medusa}

var plainLayout = layout{name: plainName, role: plainRole}

// layoutNames are what Options.Layout may be.
func layoutNames() []string {
	names := []string{plainName}
	for _, l := range layouts {
		names = append(names, l.name)
	}
	return append(names, layoutBMEcat, layoutIcecat)
}

// chooseLayout finds the layout that was asked for, or whose header it is.
func chooseLayout(asked string, t *table) (l *layout, guessed bool) {
	for _, l := range layouts {
		if l.name == asked {
			return l, false
		}
	}
	if asked == plainName || !t.csv && len(t.names) == 0 {
		return &plainLayout, false // JSON names its columns as it goes, but for our own
	}
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool {
			return !slices.ContainsFunc(t.names, func(c string) bool { return strings.EqualFold(c, n) })
		})
	}
	for _, l := range layouts {
		if l.knows(has) {
			return l, true
		}
	}
	return &plainLayout, false
}

var (
	parentNames = []string{"parent", "parentsku", "parentproduct", "parentproductsku", "parentid"}
	// variantNames are Bagisto's and Magento's, which list variants in their product's row.
	variantNames = []string{"configurablevariants", "configurablevariations"}
	stockNames   = []string{"stock", "stockonhand", "onhand", "stocklevel", "stockquantity", "stockqty", "inventory", "inventoryquantity", "inventoryqty", "qty"}
	// priceWords may stand beside "price" without making it another one.
	priceWords = []string{"price", "list", "regular", "unit", "retail", "variant", "product"}
	// axisNames are what variants mostly differ in.
	axisNames = []string{"color", "colour", "size", "material", "style", "pattern", "width", "length", "flavour", "flavor", "scent", "storage", "capacity", "farbe", "größe", "groesse"}
	currency  = regexp.MustCompile(`^[A-Z]{3}$`)
)

// plainRole knows parents, prices and stock by their columns' names.
func plainRole(column string) role {
	words := wordsOf(column)
	joined := strings.Join(words, "")
	switch {
	case slices.Contains(parentNames, joined):
		return role{kind: asParent}
	case slices.Contains(stockNames, joined):
		return role{kind: asStock}
	case slices.Contains(variantNames, joined):
		return role{kind: asVariants}
	}
	if r, ok := priceRole(words); ok {
		return r
	}
	if base, location, ok := strings.Cut(column, ":"); ok && slices.Contains(stockNames, strings.Join(wordsOf(base), "")) {
		return role{kind: asStock, location: location}
	}
	return role{}
}

// priceRole knows "price", "price-EUR", "Sale price (EUR)", "EUR price".
func priceRole(words []string) (role, bool) {
	r := role{kind: asPrice, own: true}
	if !slices.Contains(words, "price") {
		return r, false
	}
	for _, w := range words {
		switch {
		case slices.Contains(priceWords, w):
		case w == "sale" || w == "special":
			r.kind = asSale
		case r.currency == "" && len(w) == 3 && currency.MatchString(strings.ToUpper(w)):
			r.currency = pim.Currency(strings.ToUpper(w))
		default:
			return r, false
		}
	}
	return r, true
}

// reading is a layout applied to a file's columns: what each of them is for.
type reading struct {
	*layout
	guessed                      bool
	opts                         *Options
	roles                        []role // by column
	sku, key, title, parent, id  int    // columns; -1: none
	locale                       int
	variants                     int
	listed                       map[string][]pair // SKUs of variants that their product's row lists
	pairs                        [][2]int          // columns of names and values
	names, values                int               // columns of lists of them
	facets, categories, enabling []int
	axes                         []int // columns that are axes where a plain file has parents
	columns                      *table
}

func (r *reading) column(i int) string { return r.columns.names[i] }

func newReading(o *Options, t *table) *reading {
	r := &reading{opts: o, columns: t, sku: -1, key: -1, title: -1, parent: -1, id: -1, locale: -1, names: -1, values: -1, variants: -1, listed: map[string][]pair{}}
	r.layout, r.guessed = chooseLayout(o.Layout, t)
	r.grow(t)
	return r
}

// grow gives the columns their roles that have come since.
func (r *reading) grow(t *table) {
	for i := len(r.roles); i < len(t.names); i++ {
		name := t.names[i]
		role := r.role(name)
		switch name {
		case r.opts.ParentColumn:
			role.kind = asParent
		case r.opts.LocaleColumn:
			role.kind = asLocale
		case r.opts.SKUColumn:
			role.kind = asSKU
		default:
			if role.kind == asParent && (r.opts.ParentColumn != "" || r.opts.Map[MapParent] != "") || role.kind == asSKU && (r.opts.SKUColumn != "" || r.opts.Map[MapSKU] != "") {
				role.kind = asAttribute
			}
		}
		r.roles = append(r.roles, role)
		first := func(at *int) {
			if *at < 0 {
				*at = i
			}
		}
		switch role.kind {
		case asSKU:
			first(&r.sku)
		case asKey:
			first(&r.key)
		case asTitle:
			first(&r.title)
		case asParent:
			first(&r.parent)
		case asID:
			first(&r.id)
		case asLocale:
			first(&r.locale)
		case asVariants:
			first(&r.variants)
		case asNameList:
			first(&r.names)
		case asValueList:
			first(&r.values)
		case asFacets: // of several languages the first
			if !slices.ContainsFunc(r.facets, func(f int) bool { return r.roles[f].own == role.own }) {
				r.facets = append(r.facets, i)
			}
		case asCategories:
			r.categories = append(r.categories, i)
		case asEnabled:
			r.enabling = append(r.enabling, i)
		case asPairName, asPairValue:
			for len(r.pairs) < role.pair {
				r.pairs = append(r.pairs, [2]int{-1, -1})
			}
			r.pairs[role.pair-1][role.kind-asPairName] = i
		}
		if slices.Contains(r.opts.Axes, name) || len(r.opts.Axes) == 0 && r.name == plainName && slices.Contains(axisNames, strings.ToLower(name)) {
			r.axes = append(r.axes, i)
		}
	}
}

// linked reports a file whose variants name their parents.
func (r *reading) linked() bool {
	return r.rows == eachRow && (r.parent >= 0 || r.opts.Map[MapParent] != "")
}

// numbered takes the number out of a name such as "Attribute 2 name"; 0: it is
// not like pattern, whose # stands for the number.
func numbered(name, pattern string) int {
	before, after, _ := strings.Cut(pattern, "#")
	if len(name) <= len(before)+len(after) || !strings.EqualFold(name[:len(before)], before) || !strings.EqualFold(name[len(name)-len(after):], after) {
		return 0
	}
	n, err := strconv.Atoi(name[len(before) : len(name)-len(after)])
	if err != nil || n < 1 || n > 100 {
		return 0
	}
	return n
}
