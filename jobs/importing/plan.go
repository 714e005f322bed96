package importing

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// target is one place in products' values, and where it comes from.
type target struct {
	column  int         // -1: from expr, or from a pair
	more    []int       // columns whose values are put to it
	expr    *expression // of Options.Map
	name    string      // of the column, mapped field or pair, for the report
	attr    *pim.Attribute
	locale  string // of a localizable attribute
	channel string // of a scopable attribute; in our own layout only
	perRow  bool   // … whose locale the row says
	own     bool   // of a variant, not of the product
	list    string // separators of several links
	pair    bool   // its values come with pairs
	comma   bool   // its column's numbers have commas before their decimals
}

// plan is how records become edits.
type plan struct {
	family    string
	made      bool // the family is made from the columns; nobody named it
	skuColumn int  // -1: from skuExpr
	skuExpr   *expression
	skuName   string
	skuCode   string // attribute that has the SKU, too; "": none
	skuAlone  bool   // it is the only attribute
	targets   []target
	places    map[string]int // "code" or "code/locale" → target
	needsRow  bool           // some expression is evaluated
	findings  []problem      // of the file as a whole
	change    *postgres.SchemaChange
	schema    *pim.Schema // the store's with the change
	before    *pim.Schema // the store's
	surveyed  *survey
	opts      *Options
	prices    []pricing
	stocks    []stocking
	pairs     map[string]int    // name → target
	variants  map[string]string // family variants by the names of their axes
	parent    *expression
	ignored   []string              // columns that the layout has no use for
	own       []ownColumn           // of our own layout
	filling   *filling              // of a supplier's catalogue
	types     []pim.AssociationType // that come with change
	// categories go into the tree with change.
	categories []pim.CategoryEdit
}

// planner makes a plan. It is deterministic: made again after a crash, with
// the schema change already in the store, the plan is the same.
type planner struct {
	plan
	fields map[string]*expression
	attrs  []pim.Attribute // to be created
	fam    pim.Family
	grown  bool // fam has other attributes than in the store
	member map[string]bool
	used   map[string]bool   // places taken by a target
	alias  map[string]string // codes of a layout → attributes that they became
}

func makePlan(schema *pim.Schema, s *survey, o Options, fields map[string]*expression, filename string) (*plan, error) {
	if s.found != nil {
		return cataloguePlan(schema, s, &o, fields, filename)
	}
	if s.layout == &own {
		return ownPlan(schema, s, &o, fields)
	}
	p := &planner{
		plan: plan{
			skuColumn: -1, before: schema, surveyed: s, opts: &o, parent: fields[MapParent], places: map[string]int{},
			pairs: map[string]int{}, variants: map[string]string{}, findings: slices.Clone(s.table.findings),
		},
		fields: fields, member: map[string]bool{}, used: map[string]bool{}, alias: map[string]string{},
	}
	p.family = o.Family
	if p.made = p.family == ""; p.made {
		p.family = familyOf(filename)
	}
	if f := schema.Families[p.family]; f != nil {
		p.fam = *f
		p.fam.Attributes = slices.Clone(f.Attributes)
	} else {
		p.fam = pim.Family{Code: p.family}
	}
	for _, a := range p.fam.Attributes {
		p.member[a.Code] = true
	}
	if err := p.house(); err != nil {
		return nil, err
	}
	if err := p.chooseSKU(); err != nil {
		return nil, err
	}
	if s.guessed {
		p.note("", "file.layout", fmt.Sprintf("the columns are %s's, and taken as such (layout)", s.name))
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch {
		case name == MapSKU || name == MapParent:
			continue
		case isOffer(name):
			if err := p.mappedOffer(name); err != nil {
				return nil, err
			}
			continue
		}
		if err := p.mapped(name); err != nil {
			return nil, err
		}
	}
	for i, name := range s.table.names {
		if err := p.column(i, name); err != nil {
			return nil, err
		}
	}
	for _, name := range s.order {
		if err := p.named(name); err != nil {
			return nil, err
		}
	}
	if len(p.ignored) > 0 {
		p.note("", "column.ignored", "these columns say nothing that is taken: "+some(p.ignored))
	}
	p.without()
	if err := p.axes(); err != nil {
		return nil, err
	}
	return p.finish(), nil
}

func (p *planner) chooseSKU() error {
	names := p.surveyed.table.names
	if p.skuExpr = p.fields[MapSKU]; p.skuExpr != nil {
		p.skuName = MapSKU
		return nil
	}
	pick := func(i int) error {
		p.skuColumn, p.skuName = i, names[i]
		return nil
	}
	for name, e := range p.fields {
		if len(e.path) > 0 && p.surveyed.table.twice[e.path[0]] {
			return faultf("map %s: there are several columns %q; give them different names", name, e.path[0])
		}
	}
	if p.surveyed.table.twice[p.opts.SKUColumn] {
		return faultf("there are several columns %q, so it is not clear which one has the SKU; give them different names", p.opts.SKUColumn)
	}
	if r := p.surveyed.reading; p.opts.SKUColumn == "" && r.layout != &plainLayout {
		if p.skuColumn = r.sku; r.sku >= 0 {
			return pick(r.sku)
		}
		if r.key >= 0 {
			p.skuName = names[r.key]
			return nil
		}
	}
	if p.opts.SKUColumn != "" {
		i, ok := p.surveyed.table.index[p.opts.SKUColumn]
		if !ok {
			return faultf("there is no column %q for the SKU; there are: %s", p.opts.SKUColumn, some(names))
		}
		return pick(i)
	}
	if i := slices.IndexFunc(names, isSKUName); i >= 0 {
		return pick(i)
	}
	if i := slices.IndexFunc(names, func(n string) bool { return hasWord(n, gtinWords) }); i >= 0 {
		return pick(i)
	}
	if p.surveyed.rows == 0 && len(names) == 0 {
		return nil // an array of JSON with nothing in it, which has no columns
	}
	return faultf("no column is called SKU, GTIN, EAN or barcode: say which one has the SKU (sku_column), or how to make it (map sku); the columns are: %s", some(names))
}

// some lists names for a message.
func some[T ~string](names []T) string {
	const most = 30
	var b strings.Builder
	for i, n := range names {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(names)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(clip(string(n), 40))
	}
	if b.Len() == 0 {
		return "none"
	}
	return b.String()
}

// mapped plans a field of Options.Map.
func (p *planner) mapped(name string) error {
	t := target{column: -1, expr: p.fields[name], name: name}
	if p.member[name] {
		return p.into(t, name, "", p.surveyed.mapped[name])
	}
	if p.opts.Family != "" {
		return faultf("map %s: family %s has no such attribute", name, p.family)
	}
	return p.fresh(t, name, p.surveyed.mapped[name])
}

// column plans a column, or says why nothing takes it.
func (p *planner) column(i int, name string) error {
	r := p.surveyed.roles[i]
	t := target{column: i, name: name, own: r.own, list: r.list, perRow: p.opts.LocaleColumn != ""}
	st := p.surveyed.stats[i]
	code := codeOf(name)
	if vendor := p.surveyed.layout != &plainLayout; vendor || r.kind != asAttribute {
		if done, err := p.role(i, name, r, st); done || err != nil {
			return err
		}
		if vendor {
			if code = r.code; code == "" {
				code = codeOf(strings.ToLower(name))
			}
			st.plainly(r)
			return p.vendors(t, code, r, st)
		}
	}
	if code == "" {
		code = fmt.Sprintf("column_%d", i+1)
	}
	for _, c := range []string{name, code} {
		if p.fields[c] != nil && c != MapSKU {
			p.note(name, "column.mapped", fmt.Sprintf("the map makes attribute %s, so the column itself is not taken", c))
			return nil
		}
	}
	for _, c := range []string{name, code} {
		// Two names may come to the same code. A family that is made from the
		// file has room for both, another one tells that it has not.
		if p.member[c] && (p.opts.Family != "" || !p.placed(c)) {
			return p.into(t, c, "", st)
		}
	}
	base, locale := p.withLocale(name)
	if locale != "" {
		if p.member[base] {
			return p.into(t, base, locale, st)
		}
		if have := p.before.Attributes[base].Type; p.opts.Family == "" && st.attributeType(name) == pim.TypeText && (have == pim.TypeText || have == pim.TypeRichText) {
			p.join(base)
			return p.into(t, base, locale, st)
		}
	}
	if p.opts.Family != "" {
		if i != p.skuColumn {
			p.note(name, "column.unknown", fmt.Sprintf("family %s has no attribute of this name: the column is not taken", p.family))
		}
		return nil
	}
	return p.fresh(t, code, st)
}

// withLocale reads names such as name-de-DE and name:de-DE of a localizable
// attribute and a locale of the store.
func (p *planner) withLocale(name string) (code, locale string) {
	for i := range len(name) {
		if c := name[i]; c != '-' && c != ':' || !p.before.Locales[pim.Locale(name[i+1:])] {
			continue
		}
		for _, code := range []string{name[:i], codeOf(name[:i])} {
			if a := p.before.Attributes[code]; a != nil && a.Localizable && !a.Scopable {
				return code, name[i+1:]
			}
		}
	}
	return "", ""
}

// placed reports that a column fills an attribute already, of the locales the
// one that a column without any stands for.
func (p *planner) placed(code string) bool {
	if a := p.before.Attributes[code]; a != nil && a.Localizable {
		code += "/" + string(p.opts.Locale)
	}
	_, taken := p.places[code]
	return taken
}

// into plans a target into an attribute that the family has.
func (p *planner) into(t target, code, locale string, st stat) error {
	t.comma = st.commas > 0 && st.points == 0
	a := p.before.Attributes[code]
	switch {
	case a == nil:
		return faultf("family %s names attribute %s, which is gone", p.family, code)
	case a.Scopable:
		return faultf("column %s: attribute %s has a value per channel, which a file cannot give; import into another family, or leave the column out", t.name, code)
	case a.Localizable && t.perRow:
	case a.Localizable && locale == "" && p.opts.Locale == "":
		return faultf("column %s: attribute %s of family %s has a value per locale: say which one the file has (locale), or call the column %s-en-GB", t.name, code, p.family, code)
	case a.Localizable && locale == "":
		locale = string(p.opts.Locale)
	}
	if p.opts.Family == "" && st.filled > 0 {
		// Single values that do not fit are refused row by row; when none can
		// fit, the column means something else.
		if a.Type == pim.TypeNumber && a.Unit == "" && st.numbers == 0 || a.Type == pim.TypeBoolean && st.booleans == 0 && st.numbers == 0 {
			return faultf("column %s: attribute %s of family %s is a %s, and no value of the column is one; map the column, or rename the file to make another family",
				t.name, code, p.family, a.Type)
		}
	}
	if a.Localizable && t.perRow {
		locale = ""
	} else {
		t.perRow = false
	}
	t.attr, t.locale = a, locale
	p.add(t)
	return nil
}

// add takes the target unless another one is there already: then the first stays.
func (p *planner) add(t target) {
	place := t.attr.Code
	if t.locale != "" {
		place += "/" + t.locale
	}
	if at, taken := p.places[place]; taken {
		if have := &p.targets[at]; p.surveyed.layout != &plainLayout && t.expr == nil && have.expr == nil && !t.pair {
			if have.own == t.own {
				have.more = append(have.more, t.column)
			} else {
				p.targets = append(p.targets, t)
			}
			return
		}
		p.note(t.name, "column.duplicate", fmt.Sprintf("column %s makes attribute %s already: this one is not taken", p.targets[at].name, place))
		return
	}
	p.used[t.attr.Code] = true
	p.places[place] = len(p.targets)
	p.targets = append(p.targets, t)
	if t.pair {
		return
	}
	st, column := stat{}, t.column
	if column >= 0 {
		st = p.surveyed.stats[column]
	} else {
		st = p.surveyed.mapped[t.name]
	}
	if isText := t.attr.Type == pim.TypeText || t.attr.Type == pim.TypeRichText; st.nested > 0 && isText {
		p.note(t.name, "column.nested", fmt.Sprintf("objects or arrays stand in it, first in row %d: they are kept as JSON text", st.nestedRow))
	}
}

// fresh plans a target into an attribute that the family does not have yet.
func (p *planner) fresh(t target, code string, st stat) error {
	want := pim.Attribute{Code: code, Type: st.attributeType(t.name)}
	if t.column >= 0 && t.column == p.skuColumn {
		want.Type = pim.TypeText
	}
	if t.perRow = t.perRow && want.Type == pim.TypeText && !isIDName(t.name) && t.column != p.skuColumn; t.perRow || t.locale != "" {
		want.Localizable = true
	}
	if want.Type == pim.TypeText {
		if st.isGTIN(t.name) {
			want.Check = pim.CheckGTIN
		}
		if st.characters > defaultMaxLength {
			want.MaxLength = min(st.characters, mostMaxLength)
		}
	}
	// The code itself, then one with the family before it, then numbered ones.
	for try := 1; ; try++ {
		switch {
		case try == 2:
			want.Code = codeOf(p.family + "_" + code)
		case try > 2:
			want.Code = fmt.Sprintf("%s_%d", codeOf(p.family+"_"+code), try-1)
		}
		have := p.before.Attributes[want.Code]
		switch {
		case p.member[want.Code] && !p.placed(want.Code) && try > 1:
			p.note(t.name, "attribute.taken", taken(code, want.Code))
			return p.into(t, want.Code, t.locale, st) // made by an import before
		case p.used[want.Code], p.fields[want.Code] != nil && t.expr == nil:
			continue
		case have == nil:
			if want.Code != t.name {
				want.Labels = p.label(t.name)
			}
			p.attrs = append(p.attrs, want)
			t.attr = &p.attrs[len(p.attrs)-1]
		case p.takes(&t, have, want, st):
			t.attr = have
			if have.Localizable && !t.perRow && t.locale == "" {
				t.locale = string(p.opts.Locale)
			}
		default:
			continue
		}
		break
	}
	if want.Code != code {
		p.note(t.name, "attribute.taken", taken(code, want.Code))
	}
	p.join(want.Code)
	t.attr = ptr(*t.attr)
	p.add(t)
	return nil
}

func taken(code, instead string) string {
	return fmt.Sprintf("attribute %s is something else already: the column becomes attribute %s", code, instead)
}

func ptr[T any](v T) *T { return &v }

// takes reports that an attribute of another family means, and can hold, what
// the column has.
func (p *planner) takes(t *target, have *pim.Attribute, want pim.Attribute, st stat) bool {
	switch {
	case have.Localizable != want.Localizable && want.Localizable:
		return false
	case have.Localizable && !want.Localizable && (p.opts.Locale == "" || t.pair || p.isAxis(t.column)):
		return false
	}
	// HTML takes a text, but no JSON, and no name of a variant or of the product itself; and
	// what an import before has made an attribute for goes on there.
	marked := have.Type == pim.TypeRichText && want.Type == pim.TypeText && st.nested == 0 && !t.pair &&
		!p.member[codeOf(p.family+"_"+want.Code)] && !p.isAxis(t.column) && (t.column < 0 || t.column != p.skuColumn)
	if have.Scopable || have.Type != want.Type && !marked || have.Unit != "" || have.Strict || have.HasRules() {
		return false
	}
	limit := have.MaxLength
	if limit == 0 {
		limit = defaultMaxLength
	}
	return want.Type != pim.TypeText || st.characters <= limit && (want.Check == "" || have.Check == want.Check)
}

// label keeps a column's name beside the code that it became. Nothing says
// which language it is in: it is noted in the file's locale if that was told,
// else in the store's first.
func (p *planner) label(name string) map[pim.Locale]string {
	name, _ = pim.StripControls(name)
	if name = strings.TrimSpace(name); name == "" || len(name) > 255 {
		return nil
	}
	locale := p.opts.Locale
	if all := slices.Sorted(maps.Keys(p.before.Locales)); locale == "" && len(all) > 0 {
		locale = all[0]
	} else if locale == "" {
		locale = "en"
	}
	return map[pim.Locale]string{locale: name}
}

// join puts an attribute into the family.
func (p *planner) join(code string) {
	if !p.member[code] {
		p.member[code], p.grown = true, true
		p.fam.Attributes = append(p.fam.Attributes, pim.FamilyAttribute{Code: code})
	}
}

func (p *planner) note(column, code, text string) {
	p.findings = append(p.findings, problem{column: column, code: code, text: text})
}

// finish works out what the store's schema lacks.
func (p *planner) finish() *plan {
	for _, t := range p.targets {
		p.needsRow = p.needsRow || t.expr != nil
		if t.column >= 0 && t.column == p.skuColumn && t.attr != nil {
			p.skuCode, p.skuAlone = t.attr.Code, len(p.targets) == 1
		}
	}
	for name := range p.fields {
		p.needsRow = p.needsRow || isOffer(name) || name == MapSKU || name == MapParent
	}
	if p.schema = p.before; p.surveyed.rows == 0 || p.opts.Family != "" {
		return &p.plan
	}
	if _, exists := p.before.Families[p.family]; exists && !p.grown {
		return &p.plan
	}
	p.change = &postgres.SchemaChange{Attributes: p.attrs, Families: []pim.Family{p.fam}}
	p.schema = grownSchema(p.before, p.change, nil)
	return &p.plan
}
