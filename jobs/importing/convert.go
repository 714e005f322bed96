package importing

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// converter turns records into edits, in the order of the file.
type converter struct {
	*plan
	table *table
	seen  seen
}

// made is what a product of a file came to.
type made struct {
	row      int64
	edit     *postgres.Edit // nil: refused, with at least one error among the findings
	offers   postgres.ImportOffers
	findings []postgres.ImportFinding
}

// rowFindings are those of a record itself; good is false for one that cannot
// be read.
func (c *converter) rowFindings(r *record) (findings []postgres.ImportFinding, good bool) {
	note := func(s pim.Severity, p problem) {
		findings = append(findings, finding(r.row, s, "", p))
	}
	if r.bad != nil {
		note(pim.SeverityError, *r.bad)
		return findings, false
	}
	for _, i := range r.stripped {
		note(pim.SeverityWarning, problem{
			column: c.table.names[i], value: show(r.cells[i]), code: "text.control", text: "control characters were taken out of the text",
		})
	}
	for _, p := range r.notes {
		note(pim.SeverityWarning, p)
	}
	if r.nul {
		note(pim.SeverityWarning, problem{code: "text.control", text: "control character U+0000 was taken out of the row's texts"})
	}
	return findings, true
}

// identity is what an item is and what it is called.
type identity struct {
	sku, id string
	trimmed bool
	parent  string // as the file calls it
	bad     *problem
}

// identify works out an item's SKU, and of a file whose variants name their
// parents also its level.
func (c *converter) identify(it *item) (id identity) {
	rec := it.records[0]
	var row map[string]any
	if c.skuExpr != nil {
		row = rowOf(rec, c.table)
	}
	r := c.surveyed.reading
	switch {
	case it.level == product:
		id.sku = plainSKU(it.key)
	case r.layout != &plainLayout && c.skuExpr == nil:
		for _, rec := range it.records {
			if id.sku = plainSKU(r.text(rec, c.skuColumn)); id.sku != "" {
				break
			}
		}
		if id.sku == "" && it.level == variant && it.key != "" {
			id.sku = plainSKU(it.variantSKU())
		} else if id.sku == "" {
			id.sku = plainSKU(it.key)
		}
	default:
		id.sku, id.trimmed, id.bad = c.sku(rec, row)
	}
	if id.bad == nil {
		id.bad = c.validSKU(id.sku)
	}
	if r.linked() {
		id.id = r.text(rec, r.id)
		if id.parent = r.parentRef(rec, c.parent); id.parent != "" {
			it.level = variant
		} else if axes, known := c.surveyed.parentAxes(id.sku, id.id); known {
			it.level, it.axes = product, axes
		}
	}
	return id
}

func (c *converter) validSKU(sku string) *problem {
	switch {
	case sku == "":
		return &problem{column: c.skuName, code: "sku.missing", text: "the row has no SKU"}
	case pim.ValidSKU(sku) != nil:
		return &problem{column: c.skuName, value: sku, code: "sku", text: pim.ValidSKU(sku).Error()}
	}
	return nil
}

// item makes the edit of an item. again: its SKU was noted in the pass before.
func (c *converter) item(it *item, id identity, again bool) made {
	rec := it.records[0]
	m := made{row: rec.row}
	note := func(r *record, s pim.Severity, p problem) {
		m.findings = append(m.findings, finding(r.row, s, id.sku, p))
	}
	failed := false
	refuse := func(r *record, p problem) {
		note(r, pim.SeverityError, p)
		failed = true
	}
	if id.bad == nil {
		first, twice := c.seen.before(c.seenAs(id.sku, rec), rec.row)
		if twice && !(again && first == rec.row) {
			text := fmt.Sprintf("row %d has this SKU already", first)
			if first == rec.row {
				text = "the row's product and its variant have the same SKU"
			}
			id.bad = &problem{column: c.skuName, value: id.sku, code: "sku.duplicate", text: text}
		}
	}
	if id.bad != nil {
		refuse(rec, *id.bad)
	} else if id.trimmed {
		note(rec, pim.SeverityWarning, problem{column: c.skuName, value: id.sku, code: "sku.space", text: "spaces around the SKU were taken off"})
	}
	e := &postgres.Edit{SKU: pim.SKU(id.sku), Mode: postgres.Merge, Family: &c.family, KeepFamily: c.made, Spare: c.skuCode, Values: make(pim.Values, len(c.targets))}
	if c.surveyed.layout == &own {
		m.offers = c.ownItem(rec, e, refuse)
		switch {
		case rec.patch:
			e.Mode, e.Family = postgres.Patch, nil
		case c.filling != nil:
			e.KeepFamily = c.opts.Family == ""
		}
	} else {
		c.values(it, e.Values, refuse)
	}
	c.structure(it, id, e, refuse)
	if c.surveyed.layout == &own {
		// its offers are there already
	} else if it.level != product || c.surveyed.reading.rows == eachRow {
		for _, r := range it.records {
			offers, errs, warnings := c.offers(e.SKU, r, c.row(r))
			for _, p := range errs {
				refuse(r, p)
			}
			for _, p := range warnings {
				note(r, pim.SeverityWarning, p)
			}
			if !offers.None() {
				m.offers = offers
				break
			}
		}
	}
	if !failed {
		m.edit = e
	}
	return m
}

// seenAs is a SKU as it must stand but once in a file; with a column of
// locales, once for each.
func (c *converter) seenAs(sku string, r *record) string {
	if l := c.surveyed.locale; l >= 0 {
		return sku + "\x00" + c.surveyed.text(r, l)
	}
	return sku
}

// row is the record as expressions see it; nil when there are none.
func (c *converter) row(r *record) map[string]any {
	if !c.needsRow {
		return nil
	}
	return rowOf(r, c.table)
}

// structure sets what is not in the values: family variant, parent,
// categories, whether it is enabled.
func (c *converter) structure(it *item, id identity, e *postgres.Edit, refuse func(*record, problem)) {
	rec := it.records[0]
	r := c.surveyed.reading
	switch it.level {
	case product:
		if code := c.variants[axesKey(it.axes)]; code != "" && len(it.axes) > 0 {
			e.FamilyVariant = &code
		}
	case variant:
		sku, ok := pim.SKU(plainSKU(it.key)), true
		if r.layout == &own {
			sku = pim.SKU(plainSKU(id.parent))
		} else if r.linked() {
			sku, ok = c.surveyed.parentSKU(id.parent)
		}
		e.Parent, e.ParentAhead = &sku, it.nth > 0 || c.seen.has(string(sku))
		if !ok || pim.ValidSKU(string(sku)) != nil {
			refuse(rec, problem{column: c.parentName(), value: id.parent, code: "parent.unknown", text: "no product of the file is called so"})
		}
	}
	for _, rec := range it.records {
		if e.Enabled = r.enabled(rec); e.Enabled != nil {
			break
		}
	}
	if it.level == variant && r.rows != eachRow {
		return
	}
	var codes []string
	for _, rec := range it.records {
		for _, code := range r.categoriesOf(rec) {
			if !slices.Contains(codes, code) {
				codes = append(codes, code)
			}
		}
	}
	if len(codes) > 0 {
		e.Categories = &codes
	}
}

func (c *converter) parentName() string {
	if c.surveyed.parent >= 0 {
		return c.table.names[c.surveyed.parent]
	}
	return MapParent
}

// values fills in what the columns, the map and the pairs have for an item.
func (c *converter) values(it *item, values pim.Values, refuse func(*record, problem)) {
	grouped := c.surveyed.reading.rows != eachRow
	set := func(t *target, locale string, v any) {
		if locale == "" {
			values[t.attr.Code] = joined(t.attr.Type, values[t.attr.Code], v)
			return
		}
		locales, _ := values[t.attr.Code].(map[string]any)
		if locales == nil {
			locales = map[string]any{}
			values[t.attr.Code] = locales
		}
		locales[locale] = joined(t.attr.Type, locales[locale], v)
	}
	for i := range c.targets {
		t := &c.targets[i]
		if t.pair || grouped && t.expr == nil && (it.level == product && t.own || it.level == variant && !t.own) {
			continue
		}
		if it.level == product && !grouped && slices.Contains(it.axes, t.name) && c.axisTarget(t.name) == t {
			continue // what its variants differ in is theirs
		}
		some := false
		for _, r := range it.records {
			if some && t.attr.Type != pim.TypeMedia {
				break // the first that says something
			}
			v, bad := c.target(t, r)
			if bad != nil {
				refuse(r, *bad)
				break
			}
			if v == nil {
				continue // an empty cell says nothing: what is stored stays
			}
			some = true
			locale := t.locale
			if t.perRow {
				tag := c.surveyed.text(r, c.surveyed.locale)
				l, known := localeOf(c.before, c.opts.Locale, tag)
				if !known {
					refuse(r, problem{column: c.opts.LocaleColumn, value: tag, code: "locale.unknown", text: "the locale is not one of the store's"})
					return
				}
				locale = string(l)
			}
			set(t, locale, v)
		}
	}
	pairs := slices.Clone(it.pairs)
	slices.SortStableFunc(pairs, func(a, b pair) int { // what variants differ in counts more than a facet of the same name
		return order(a.facet) - order(b.facet)
	})
	for _, p := range pairs {
		i, taken := c.pairs[p.name]
		if !taken || p.column || it.level == product && slices.Contains(it.axes, p.name) {
			continue
		}
		set(&c.targets[i], c.targets[i].locale, p.value)
	}
}

func order(facet bool) int {
	if facet {
		return 0
	}
	return 1
}

// target is what a record has for a target, of all of its columns.
func (c *converter) target(t *target, r *record) (any, *problem) {
	v, bad := t.value(r, c.row(r))
	for _, i := range t.more {
		if bad != nil {
			return nil, bad
		}
		other := *t
		other.column = i
		var next any
		switch next, bad = other.value(r, nil); {
		case next == nil:
		case v == nil:
			v = next
		case t.attr.Type == pim.TypeMedia:
			v = joined(t.attr.Type, v, next)
		default:
			v = textOf(v) + ", " + textOf(next)
		}
	}
	if base := c.opts.AssetBase; base != "" && t.attr.Type == pim.TypeMedia && bad == nil {
		v = based(v, base)
	}
	return v, bad
}

// sku is a record's own SKU: text whatever it was, since leading zeros matter.
func (c *converter) sku(r *record, row map[string]any) (sku string, trimmed bool, bad *problem) {
	var v any
	if c.skuExpr != nil {
		var err error
		if v, err = c.skuExpr.value(row); err != nil {
			return "", false, &problem{column: c.skuName, code: "map.failed", text: err.Error()}
		}
	} else if c.skuColumn >= 0 && c.skuColumn < len(r.cells) {
		v = r.cells[c.skuColumn]
	}
	switch v := v.(type) {
	case nil:
	case string:
		sku = v
	case json.Number:
		sku = string(v)
	default:
		return "", false, &problem{column: c.skuName, value: show(v), code: "sku.type", text: "a SKU is text or a number"}
	}
	plain := strings.TrimSpace(sku)
	if plain == "" {
		return "", false, &problem{column: c.skuName, value: sku, code: "sku.missing", text: "the row has no SKU"}
	}
	return norm.NFC.String(plain), plain != sku, nil
}

// size is about how many bytes an edit takes in memory and on the wire.
func size(r *record, findings []postgres.ImportFinding) int { return r.size + 200*len(findings) + 500 }

// pass takes note of a product that is done already: of its SKU alone.
func (c *converter) pass(it *item, id identity) {
	if id.bad == nil {
		c.seen.before(c.seenAs(id.sku, it.records[0]), it.records[0].row)
	}
}
