package akeneo

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// column is what a column of products or models holds.
type column struct {
	at       int
	name     string
	attr     *attribute
	unit     int // of a metric: the column with the unit; -1
	locale   string
	channel  string
	currency pim.Currency
	assoc    string // association type
}

var localeForm = regexp.MustCompile(`^[a-z]{2,3}_[A-Za-z0-9_]+$`)

// notValues are columns of products and models that hold no attribute.
var notValues = map[string]bool{"sku": true, "code": true, "categories": true, "enabled": true, "family": true, "parent": true, "groups": true, "family_variant": true}

// columns works a header out; of columns that nothing takes it tells once.
func (f *Folder) columns(l *line) []column {
	if l.cols != nil {
		return l.cols
	}
	out := []column{}
	for i, name := range l.names {
		if notValues[name] || name == f.identifier {
			continue
		}
		parts := strings.Split(name, "-")
		c := column{at: i, name: name, attr: f.attributes[parts[0]], unit: -1}
		unknown := func(text string) {
			f.noteOnce("column "+name, Finding{File: l.file, Column: name, Code: "column.unknown", Text: text})
		}
		if c.attr == nil {
			switch {
			case f.assoc[parts[0]] && len(parts) == 2 && (parts[1] == "products" || parts[1] == "product_models"):
				c.assoc = parts[0]
				out = append(out, c)
			case f.assoc[parts[0]]:
				// groups, told where one is named
			default:
				unknown("no attribute is called so: the column is not taken")
			}
			continue
		}
		for _, p := range parts[1:] {
			switch {
			case p == "unit" && c.attr.metric:
				c.at = -1 // read beside its amount
			case c.attr.kind == asPrices:
				c.currency = pim.Currency(p)
			case c.attr.Localizable && c.locale == "" && localeForm.MatchString(p):
				c.locale = p
			default:
				c.channel = p
			}
		}
		switch {
		case c.at < 0:
			continue
		case c.currency != "" && !f.currency(l, c.currency):
			continue
		case c.attr.kind == asPrices && c.currency == "", c.attr.Localizable && c.locale == "", c.attr.scopable != (c.channel != "") && c.attr.kind != asPrices:
			unknown("the name says no locale, channel or currency, or one that the attribute has none of: the column is not taken")
			continue
		}
		if c.locale != "" {
			locale, ok := localeOf(c.locale)
			if !ok {
				unknown("its locale is no BCP 47 tag: the column is not taken")
				continue
			}
			f.locales[c.locale] = locale
		}
		if i, ok := l.index[name+"-unit"]; ok {
			c.unit = i
		}
		out = append(out, c)
	}
	l.cols = out
	return out
}

// content is what a product or model has of its own.
type content struct {
	values     map[string]any
	prices     map[pim.Currency]string
	categories []string
	links      pim.Associations // nil: the record says nothing of them
}

// associate takes the SKUs of a column, and the quantities of the column beside it.
func (c *content) associate(t string, l *line, column string) {
	if c.links == nil {
		c.links = pim.Associations{}
	}
	quantities := strings.Split(l.get(column+"-quantity"), "|")
	for i, sku := range l.list(column) {
		x := pim.Association{SKU: pim.SKU(strings.TrimSpace(sku))}
		if i < len(quantities) {
			x.Quantity, _ = strconv.Atoi(strings.TrimSpace(quantities[i])) // else the store says that one is missing
		}
		if !c.links.Has(t, x.SKU) {
			c.links[t] = append(c.links[t], x)
		}
	}
}

// read takes a record apart. told: its findings were told in the survey.
func (f *Folder) read(l *line, cols []column, sku string, told bool) content {
	out := content{values: map[string]any{}, prices: map[pim.Currency]string{}, categories: l.list("categories")}
	for i := range cols {
		c := &cols[i]
		text := l.cells[c.at]
		if strings.TrimSpace(text) == "" {
			continue // says nothing
		}
		if c.assoc != "" {
			out.associate(c.assoc, l, c.name)
			continue
		}
		if c.attr.kind == asPrices {
			out.prices[c.currency] = strings.TrimSpace(text)
			continue
		}
		v := f.value(l, c, text, sku, told)
		into, at := out.values, c.attr.Code
		for _, scope := range []string{c.channel, string(f.locales[c.locale])} {
			if scope == "" {
				continue
			}
			below, _ := into[at].(map[string]any)
			if below == nil {
				below = map[string]any{}
				into[at] = below
			}
			into, at = below, scope
		}
		into[at] = v
	}
	return out
}

// measure is a value with its unit.
type measure struct {
	Amount any    `json:"amount"`
	Unit   string `json:"unit"`
}

// value reads a cell in the shape that the store's attribute takes; what it
// cannot read stays text, for the import to refuse.
func (f *Folder) value(l *line, c *column, text, sku string, told bool) any {
	plain := strings.TrimSpace(text)
	switch c.attr.kind {
	case asText, asHTML:
		if c.attr.lines && strings.Contains(text, `\n`) {
			end := "\n"
			if c.attr.kind == asHTML {
				end = "<br>"
			}
			text = strings.ReplaceAll(text, `\n`, end)
			if !told {
				f.noteOnce("newline", Finding{File: l.file, Line: l.at, SKU: sku, Column: c.name, Code: "akeneo.newline", Text: `the text has \n, a backslash and an n, in the place of line ends: it gets line ends`})
			}
		}
		if c.unit >= 0 && strings.TrimSpace(l.cells[c.unit]) != "" {
			text += " " + strings.TrimSpace(l.cells[c.unit])
		}
		return text
	case asNumber:
		return number(plain)
	case asBoolean:
		switch plain {
		case "1":
			return true
		case "0":
			return false
		}
	case asOption:
		return c.attr.optionCode(plain)
	case asOptions:
		var list []any
		for code := range strings.SplitSeq(plain, ",") {
			if code = strings.TrimSpace(code); code != "" {
				list = append(list, c.attr.optionCode(code))
			}
		}
		return list
	case asMetric:
		unit := c.attr.Unit
		if c.unit >= 0 {
			if own := strings.TrimSpace(l.cells[c.unit]); own != "" {
				if unit = unitOf(own); unit == "" {
					unit = own // refused by its name
				}
			}
		}
		return measure{number(plain), unit}
	case asMedia:
		return f.media(l, c, plain, sku, told)
	}
	return plain
}

// number keeps a number's digits; what is none stays text.
func number(text string) any {
	n := json.Number(text)
	if _, err := pim.ParseAmount(n); err == nil || json.Valid([]byte(text)) && text[0] != '"' && text[0] != '[' && text[0] != '{' && text[0] != 't' && text[0] != 'f' && text[0] != 'n' {
		return n
	}
	return text
}

func (a *attribute) optionCode(code string) string {
	if own := a.options[strings.ToLower(code)]; own != "" {
		return own // codes are the same in either case there
	}
	return code
}

// mediaPath is a file of the folder, until its asset has a code.
type mediaPath string

// media notes a file that a product names.
func (f *Folder) media(l *line, c *column, name, sku string, told bool) any {
	clean := path.Clean(strings.TrimPrefix(name, "/"))
	_, there := f.assets[clean]
	if told || there || f.missing[clean] {
		return mediaPath(clean)
	}
	f.Counts.Media++
	st, err := fs.Stat(f.fsys, clean)
	if err == nil && st.Mode().IsRegular() {
		f.assets[clean] = ""
		return mediaPath(clean)
	}
	f.missing[clean] = true
	f.Counts.MediaMissing++
	text := "the file is not in the folder: the product has no such picture"
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		text = "the file cannot be read: the product has no such picture"
	}
	f.note(Finding{File: l.file, Line: l.at, SKU: sku, Column: c.name, Value: name, Code: "media.missing", Text: text})
	return mediaPath(clean)
}

// resolved are values with assets in the place of files; of those that are
// missing there is none.
func (f *Folder) resolved(values map[string]any) map[string]any {
	out := make(map[string]any, len(values))
	for k, v := range values {
		switch v := v.(type) {
		case mediaPath:
			if code := f.assets[string(v)]; code != "" {
				out[k] = code
			}
		case map[string]any:
			if m := f.resolved(v); len(m) > 0 {
				out[k] = m
			}
		default:
			out[k] = v
		}
	}
	return out
}

// Media are the files that products name and that are there, in their order.
func (f *Folder) Media() []string {
	return slices.Sorted(maps.Keys(f.assets))
}

// SetAsset says under which asset code a file of Media is kept.
func (f *Folder) SetAsset(file, code string) { f.assets[file] = code }

// model is a product model.
type model struct {
	content
	code, variant, parent string // parent in small letters; "" of a root
	family                string
	at                    int
}

func (f *Folder) model(l *line) error {
	code := l.get("code")
	if len(f.models) == maxModels {
		return faultf("%s has more than %d product models", l.file, maxModels)
	}
	key := strings.ToLower(code)
	if f.models[key] != nil {
		f.note(Finding{File: l.file, Line: l.at, SKU: code, Column: "code", Code: "sku.duplicate", Severity: pim.SeverityError, Text: "another model is called so, in either case: this one is not taken"})
		return nil
	}
	m := &model{code: code, variant: l.get("family_variant"), parent: strings.ToLower(l.get("parent")), at: l.at}
	if v := f.variants[m.variant]; v != nil {
		m.family = v.family
	} else {
		f.note(Finding{File: l.file, Line: l.at, SKU: code, Column: "family_variant", Value: m.variant, Code: "family_variant.unknown", Severity: pim.SeverityError, Text: "there is no such family variant"})
	}
	cols := f.columns(l)
	m.content = f.read(l, cols, code, false)
	m.categories = slices.Clone(m.categories)
	f.fills(m.family, cols, l, code)
	f.models[key] = m
	f.modelOrder = append(f.modelOrder, key)
	return nil
}

// fills notes which attributes a family's products have, and on which channels.
func (f *Folder) fills(family string, cols []column, l *line, sku string) {
	used := f.used[family]
	if used == nil {
		used = map[string]bool{}
		f.used[family] = used
	}
	for i := range cols {
		c := &cols[i]
		if strings.TrimSpace(l.cells[c.at]) == "" {
			continue
		}
		if c.assoc != "" {
			continue
		}
		if used[c.attr.Code] = true; !c.attr.scopable {
			continue
		}
		on := f.filled[c.attr.Code]
		if on == nil {
			on = map[string]*seen{}
			f.filled[c.attr.Code] = on
		}
		if on[c.channel] == nil {
			on[c.channel] = &seen{Finding: Finding{File: l.file, Line: l.at, SKU: sku, Column: c.name, Value: c.channel}}
		}
		on[c.channel].times++
	}
}

func (f *Folder) survey(l *line) error {
	sku := l.get("sku")
	family := l.get("family")
	if m := f.models[strings.ToLower(l.get("parent"))]; m != nil && family == "" {
		family = m.family
	}
	if f.families[family] == nil {
		f.orphans++
		f.note(Finding{File: l.file, Line: l.at, SKU: sku, Column: "family", Value: family, Code: "family.missing", Text: "the product has no family that is there: it goes into " + OtherFamily})
		family = OtherFamily
	}
	cols := f.columns(l)
	f.read(l, cols, sku, false)
	f.fills(family, cols, l, sku)
	for _, name := range l.names {
		if (name == "groups" || strings.HasSuffix(name, "-groups")) && l.get(name) != "" {
			f.noteOnce("groups", Finding{File: l.file, Line: l.at, SKU: sku, Column: name, Value: l.get(name), Code: "akeneo.group", Text: "groups of products are not taken"})
		}
	}
	f.Counts.Products++
	return nil
}

// mendModels looks where models stand. Of a chain that ends nowhere the rest is a
// root.
func (f *Folder) mendModels() {
	for _, key := range f.modelOrder {
		if m := f.models[key]; m.parent != "" && f.root(m) == m {
			f.note(Finding{File: "product_models.csv", Line: m.at, SKU: m.code, Column: "parent", Value: m.parent, Code: "parent.unknown", Text: "there is no such model, or it is below this one: this is a model of its own"})
			m.parent = ""
		}
	}
}

// foldModels tells of models below models that the store has no place for.
func (f *Folder) foldModels() {
	f.Counts.Folded, f.folded = 0, nil
	for _, key := range f.modelOrder {
		m := f.models[key]
		if m.parent == "" || f.isSubModel(m) {
			continue
		}
		f.Counts.Folded++
		f.folded = append(f.folded, Finding{
			File: "product_models.csv", Line: m.at, SKU: m.code, Column: "parent", Value: f.root(m).code, Code: "akeneo.folded", Severity: pim.SeverityWarning,
			Text: "its family variant has no second level here: this model's values are in those of its variants, which are variants of the model above it",
		})
	}
}

// isSubModel reports whether m stands below a root model whose family variant
// has a level for it.
func (f *Folder) isSubModel(m *model) bool {
	root := f.root(m)
	v := f.variants[root.variant]
	return m.parent != "" && f.models[m.parent] == root && v != nil && !v.folded && len(v.levels) == pim.MaxLevels
}

// root is the model at the top; m itself where the way there is broken.
func (f *Folder) root(m *model) *model {
	at := m
	for range 8 { // Akeneo has two levels
		if at.parent == "" {
			return at
		}
		next := f.models[at.parent]
		if next == nil {
			return m
		}
		at = next
	}
	return m
}
