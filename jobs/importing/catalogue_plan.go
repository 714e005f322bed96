package importing

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/jobs/importing/supplier"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// cataloguer makes the plan of a catalogue. As planner it is deterministic also
// when its change of the schema is in the store already.
type cataloguer struct {
	*catalogue
	schema   *pim.Schema
	opts     *Options
	prefix   string // before codes of attributes that are something else already
	change   postgres.SchemaChange
	types    []pim.AssociationType    // new
	attrs    map[string]pim.Attribute // new, or with more labels
	findings []problem
	filling  filling
	left     []string // attributes that the named family lacks
	noted    map[string]bool
}

// cataloguePlan plans a supplier's catalogue.
func cataloguePlan(schema *pim.Schema, s *survey, o *Options, fields map[string]*expression, filename string) (*plan, error) {
	if len(fields) > 0 || o.SKUColumn != "" || o.ParentColumn != "" || o.LocaleColumn != "" || len(o.Axes) > 0 {
		return nil, faultf("the elements of a %s catalogue say what they are: leave map, axes and columns out", s.found.header.Format)
	}
	c := &cataloguer{
		catalogue: s.found, schema: schema, opts: o, prefix: "bmecat_", attrs: map[string]pim.Attribute{}, noted: map[string]bool{},
		filling: filling{
			catalogue: s.found, fields: map[string]home{}, features: map[string]home{}, references: map[string]pim.AssociationType{}, locales: map[string]pim.Locale{},
			lists: map[string]string{}, families: map[string]string{}, codes: make([]string, len(s.found.categories)), assetBase: o.AssetBase,
		},
	}
	if s.found.header.Format == supplier.Icecat {
		c.prefix = "icecat_"
	}
	c.findings = slices.Clone(s.found.notes)
	c.languages()
	if err := c.offers(); err != nil {
		return nil, err
	}
	if c.products > 0 {
		if err := c.attributes(); err != nil {
			return nil, err
		}
		c.familiesOf(filename)
	}
	edits, tree := c.tree()
	for _, code := range slices.Sorted(maps.Keys(c.attrs)) {
		c.change.Attributes = append(c.change.Attributes, c.attrs[code])
	}
	if c.beyond > 0 {
		c.findings = append(c.findings, problem{code: "feature.many", text: fmt.Sprintf("the catalogue has more than %d different features: those beyond are not taken", maxFeatures)})
	}
	if len(c.left) > 0 {
		c.findings = append(c.findings, problem{code: "column.unknown", text: fmt.Sprintf("family %s has no such attributes, and they are not taken: %s", o.Family, some(c.left))})
	}
	return c.finish(s, edits, tree)
}

// finish makes the plan of our own layout, with the columns that fill writes.
func (c *cataloguer) finish(s *survey, edits []pim.CategoryEdit, tree *pim.Tree) (*plan, error) {
	t := newTable(false)
	for _, name := range append(slices.Clone(OwnColumns), PricesColumn) {
		_, _ = t.add(name) // seven are never too many
	}
	for _, code := range slices.Sorted(maps.Keys(c.filling.codesUsed)) {
		name := AttributeColumn(code, "", "")
		t.index[name] = len(t.names)
		t.names = append(t.names, name) // as many as there are features
	}
	if len(c.filling.references) > 0 {
		t.index[AssociationsColumn] = len(t.names)
		t.names = append(t.names, AssociationsColumn)
	}
	t.findings = c.findings
	s.table = &t
	s.guessed = false
	c.filling.table = &t
	next := grownSchema(c.schema, &c.change, tree)
	if len(c.types) > 0 {
		next.Associations = maps.Clone(next.Associations)
		if next.Associations == nil {
			next.Associations = map[string]*pim.AssociationType{}
		}
		for i := range c.types {
			next.Associations[c.types[i].Code] = &c.types[i]
		}
	}
	p, err := ownPlan(next, s, c.opts, nil)
	if err != nil {
		return nil, err
	}
	p.filling = &c.filling
	if ch := &c.change; len(ch.Attributes)+len(ch.Families)+len(ch.Locales)+len(ch.Currencies)+len(ch.PriceLists)+len(edits)+len(c.types) > 0 {
		p.change, p.categories, p.types = ch, edits, c.types
	}
	return p, nil
}

// grownSchema is the schema as a change makes it; a tree of nil stays as it is.
func grownSchema(before *pim.Schema, c *postgres.SchemaChange, tree *pim.Tree) *pim.Schema {
	next := &pim.Schema{}
	from, to := reflect.ValueOf(before).Elem(), reflect.ValueOf(next).Elem()
	for i := range from.NumField() { // whatever else a schema has, or comes to have
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	next.Attributes, next.Families = maps.Clone(before.Attributes), maps.Clone(before.Families)
	next.Locales, next.Currencies, next.PriceLists = maps.Clone(before.Locales), maps.Clone(before.Currencies), maps.Clone(before.PriceLists)
	if tree != nil {
		next.Tree = tree
	}
	for i := range c.Attributes {
		next.Attributes[c.Attributes[i].Code] = &c.Attributes[i]
	}
	for i := range c.Families {
		next.Families[c.Families[i].Code] = &c.Families[i]
	}
	for _, l := range c.Locales {
		next.Locales[l] = true
	}
	for _, x := range c.Currencies {
		next.Currencies[x] = true
	}
	for _, l := range c.PriceLists {
		next.PriceLists[l] = true
	}
	return next
}

// offers finds the price lists and currencies.
func (c *cataloguer) offers() error {
	for _, key := range slices.Sorted(maps.Keys(c.lists)) {
		list := codeOf(strings.ToLower(key))
		if key == netList {
			if list = c.opts.PriceList; list == "" {
				list = defaultCode
			}
		}
		if list == "" || pim.ValidCode("price list", list) != nil {
			c.findings = append(c.findings, problem{value: key, code: "price_list", text: "no price list can be called as this type of prices is: they are not taken"})
			continue
		}
		c.filling.lists[key] = list
		if !c.schema.PriceLists[list] {
			c.change.PriceLists = append(c.change.PriceLists, list)
		}
		if key != netList {
			c.findings = append(c.findings, problem{value: key, code: "price.list", text: "prices of this type are in the price list " + list})
		}
	}
	for _, x := range c.currencies {
		if pim.ValidCurrency(x) == nil && !c.schema.Currencies[x] {
			c.change.Currencies = append(c.change.Currencies, x)
		}
	}
	return nil
}

// attributes finds or makes the attribute of each field and feature.
func (c *cataloguer) attributes() error {
	fill := &c.filling
	fill.codesUsed = map[string]bool{}
	for _, f := range supplier.FieldsOf(c.header.Format) {
		a := pim.Attribute{Code: f.Code, Type: f.Type, Localizable: f.Localizable, Check: f.Check, Unit: f.Unit, Labels: c.labels(map[string]string{"en": f.Label})}
		p, ok, err := c.attribute(a, c.fields[f.Code])
		if err != nil {
			return err
		}
		if ok {
			fill.fields[f.Code] = p
		}
	}
	for _, key := range c.order {
		f := c.features[key]
		a := pim.Attribute{Code: c.featureCode(key, f), Labels: c.labels(f.names)}
		switch {
		case f.answers == f.values && !f.several:
			a.Type = pim.TypeBoolean
		case f.numbers == f.values && !f.several && !f.odd:
			a.Type, a.Unit = pim.TypeNumber, f.unit
		default:
			a.Type, a.Localizable = pim.TypeText, true
		}
		if have := c.schema.Attributes[a.Code]; have != nil && have.Type == pim.TypeNumber && f.id && f.numbers == f.values && !f.several {
			a.Type, a.Unit, a.Localizable = pim.TypeNumber, have.Unit, false // a unit that is not known may be one in this language
		}
		p, ok, err := c.attribute(a, f.characters)
		if err != nil {
			return err
		}
		if ok {
			fill.features[key] = p
		}
	}
	c.associations()
	return nil
}

// associations finds or makes the association type of each kind of reference. Into a
// family that was named only types are taken that there are.
func (c *cataloguer) associations() {
	known := maps.Clone(c.schema.Associations)
	if known == nil {
		known = map[string]*pim.AssociationType{}
	}
	for _, kind := range slices.Sorted(maps.Keys(c.references)) {
		code := codeOf(strings.ToLower(kind))
		if code == "" || pim.ValidCode("association type", code) != nil || c.opts.Family != "" && known[code] == nil {
			c.findings = append(c.findings, problem{value: kind, code: "association_type.unknown", text: "there is no association type for references of this kind: they are not taken"})
			continue
		}
		if known[code] == nil {
			t := pim.AssociationType{Code: code, Quantified: c.references[kind]}
			known[code], c.types = &t, append(c.types, t)
		}
		c.filling.references[kind] = *known[code]
	}
}

// featureCode is the attribute of a feature: of an identifier one that says whose
// it is, of a name the name, unless a field or a column of ours is called so.
func (c *cataloguer) featureCode(key string, f *feature) string {
	if f.id || reservedName(key) || slices.ContainsFunc(supplier.Fields, func(x supplier.Field) bool { return x.Code == key }) || c.refersBy(key) {
		return codeOf(c.prefix + key)
	}
	return key
}

func (c *cataloguer) refersBy(kind string) bool {
	_, is := c.references[kind]
	return is
}

// labels are names by the store's locales.
func (c *cataloguer) labels(names map[string]string) map[pim.Locale]string {
	out := map[pim.Locale]string{}
	for _, lang := range slices.Sorted(maps.Keys(names)) {
		l := c.filling.locales[lang]
		if text := strings.TrimSpace(names[lang]); l != "" && text != "" && len(text) <= 255 && out[l] == "" {
			out[l], _ = pim.StripControls(text)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// attribute finds the place of what wants to be an attribute; ok is false where
// the family that was named has none of that code.
func (c *cataloguer) attribute(want pim.Attribute, characters int) (p home, ok bool, err error) {
	if characters > defaultMaxLength && (want.Type == pim.TypeText || want.Type == pim.TypeRichText) {
		want.MaxLength = min(2*characters, mostMaxLength)
	}
	if c.opts.Family != "" {
		f := c.schema.Families[c.opts.Family]
		have := c.schema.Attributes[want.Code]
		if f == nil || have == nil || !slices.ContainsFunc(f.Attributes, func(a pim.FamilyAttribute) bool { return a.Code == want.Code }) || !shaped(have, &want) {
			if characters > 0 {
				c.left = append(c.left, want.Code)
			}
			return home{}, false, nil
		}
		c.filling.codesUsed[want.Code] = true
		return home{attr: have}, true, nil
	}
	plain := want.Code
	for _, code := range []string{plain, codeOf(c.prefix + plain)} {
		want.Code = code
		made, again := c.attrs[code]
		have := c.schema.Attributes[code]
		switch {
		case again && holds(&made, &want, 0):
			return home{attr: &made}, true, nil
		case again:
			continue
		case have == nil:
			c.attrs[code] = want
			have = &want
		case !holds(have, &want, characters):
			continue
		default:
			if more, grown := withLabels(*have, want.Labels); grown {
				c.attrs[code] = more
			}
		}
		if code != plain {
			c.findings = append(c.findings, problem{column: plain, code: "attribute.taken", text: taken(plain, code)})
		}
		c.filling.codesUsed[code] = true
		return home{attr: have}, true, nil
	}
	return home{}, false, faultf("attributes %s and %s are something else than the catalogue has: import it into a family (family)", plain, want.Code)
}

// holds reports that an attribute can hold all that another one wants to.
func holds(have, want *pim.Attribute, characters int) bool {
	limit := have.MaxLength
	if limit == 0 {
		limit = defaultMaxLength
	}
	isText := have.Type == pim.TypeText || have.Type == pim.TypeRichText
	return shaped(have, want) && !have.Strict && !have.HasRules() && (!isText || characters <= limit)
}

// shaped reports that an attribute's values have the shape of another one's.
func shaped(have, want *pim.Attribute) bool {
	switch {
	case have.Scopable:
		return false
	case have.Type == pim.TypeText || have.Type == pim.TypeRichText: // numbers and answers are texts, too
		return want.Type != pim.TypeMedia && want.Type != pim.TypeReference
	case have.Type != want.Type || have.Localizable:
		return false
	case have.Unit == want.Unit:
		return true
	}
	a, _ := pim.UnitFamily(have.Unit)
	b, _ := pim.UnitFamily(want.Unit)
	return a == b && a != ""
}

func withLabels(a pim.Attribute, more map[pim.Locale]string) (pim.Attribute, bool) {
	labels, grown := maps.Clone(a.Labels), false
	for l, text := range more {
		if labels[l] == "" {
			if labels == nil {
				labels = map[pim.Locale]string{}
			}
			labels[l], grown = text, true
		}
	}
	a.Labels = labels
	return a, grown
}

// familiesOf finds or makes the families: one for each kind of product that the
// catalogue tells apart, with the fields of its format and the kind's features.
func (c *cataloguer) familiesOf(filename string) {
	if c.opts.Family != "" {
		return
	}
	for _, key := range c.kinds {
		k := c.families[key]
		code := familyOf(filename)
		if key != "" {
			if code = codeOf(c.prefix + strings.ToLower(key)); code == "" {
				code = c.prefix + "products"
			}
		}
		c.filling.families[key] = code
		fam := pim.Family{Code: code, Labels: c.labels(k.name)}
		grown := true
		at := slices.IndexFunc(c.change.Families, func(f pim.Family) bool { return f.Code == code })
		if at >= 0 {
			fam = c.change.Families[at]
		} else if have := c.schema.Families[code]; have != nil {
			fam, grown = *have, false
			fam.Attributes = slices.Clone(have.Attributes)
			for l, text := range c.labels(k.name) {
				if fam.Labels[l] == "" {
					fam.Labels = maps.Clone(fam.Labels)
					if fam.Labels == nil {
						fam.Labels = map[pim.Locale]string{}
					}
					fam.Labels[l], grown = text, true
				}
			}
		}
		member := map[string]bool{}
		for _, a := range fam.Attributes {
			member[a.Code] = true
		}
		join := func(p home) {
			if p.attr != nil && !member[p.attr.Code] {
				member[p.attr.Code], grown = true, true
				fam.Attributes = append(fam.Attributes, pim.FamilyAttribute{Code: p.attr.Code})
			}
		}
		for _, f := range supplier.FieldsOf(c.header.Format) {
			join(c.filling.fields[f.Code])
		}
		for _, f := range c.order {
			if c.features[f].kinds[key] {
				join(c.filling.features[f])
			}
		}
		if at >= 0 {
			c.change.Families[at] = fam
		} else if grown {
			c.change.Families = append(c.change.Families, fam)
		}
	}
}

// home is where a field or feature goes.
type home struct{ attr *pim.Attribute }

// mediaBase is what file names are put behind; "": nothing.
func mediaBase(said, root string) string {
	if said != "" {
		return said
	}
	if u, err := url.Parse(root); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	return strings.TrimSuffix(root, "/") + "/"
}
