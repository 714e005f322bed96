package importing

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/jobs/importing/supplier"
	"github.com/sluicehub/sluice/pim"
)

// filling says where what a catalogue has goes. It is not changed any more once
// it was made, so that every reading of the file fills the same.
type filling struct {
	*catalogue
	table      *table
	fields     map[string]home
	features   map[string]home
	references map[string]pim.AssociationType // by kind
	codesUsed  map[string]bool
	locales    map[string]pim.Locale // by language; "" is the catalogue's first
	first      pim.Locale
	lists      map[string]string // listKey → price list
	families   map[string]string
	codes      []string // of the categories, by their place
	assetBase  string
}

const maxMedia = 50 // that a media attribute holds

// fill makes a record in our own layout of an item.
func (f *filling) fill(r *record, it *supplier.Item, h *supplier.Header) {
	at := f.table.index
	note := func(code, value, format string, args ...any) {
		if len(r.notes) < 100 {
			r.notes = append(r.notes, problem{column: it.Path, value: value, code: code, text: fmt.Sprintf("line %d: ", it.Line) + fmt.Sprintf(format, args...)})
		}
	}
	switch it.Mode {
	case supplier.Withdraw:
		r.cells[at["enabled"]] = "false"
		return
	case supplier.Enable:
		r.cells[at["enabled"]] = "true"
	}
	if prices := f.prices(it, h, note); len(prices) > 0 {
		r.cells[at[PricesColumn]] = prices
	}
	if it.Mode == supplier.Prices {
		return
	}
	family := f.families[it.Family]
	if family == "" {
		family = f.families[""]
	}
	if family != "" {
		r.cells[at["family"]] = family
	}
	if categories := f.categoriesOf(it); len(categories) > 0 {
		r.cells[at["categories"]] = categories
	}
	values := map[string]any{}
	for _, t := range it.Texts {
		if p := f.fields[t.Field]; p.attr != nil {
			f.put(values, p.attr, t.Lang, t.Value, "", note)
		}
	}
	for i := range it.Features {
		ft := &it.Features[i]
		p := f.features[featureKey(ft)]
		if p.attr == nil {
			continue
		}
		for _, v := range ft.Values {
			text := v.Value
			if p.attr.Type == pim.TypeNumber || p.attr.Type == pim.TypeBoolean {
				text = invariant(v)
			}
			unit := ft.Unit
			if v.Field != "" && p.attr.Type != pim.TypeNumber {
				unit = "" // the text for people has it
			}
			f.put(values, p.attr, v.Lang, text, unit, note)
		}
	}
	f.media(values, it, h, note)
	if links := f.links(it, note); len(links) > 0 {
		r.cells[at[AssociationsColumn]] = links
	}
	for code, v := range values {
		if i, ok := at[AttributeColumn(code, "", "")]; ok {
			r.cells[i] = v
		}
	}
}

// put sets a value in the shape that its attribute takes. What a number or an
// answer cannot be is left out, and told: a feature is not worth its product.
func (f *filling) put(values map[string]any, a *pim.Attribute, lang, text, unit string, note func(code, value, format string, args ...any)) {
	var v any
	switch a.Type {
	case pim.TypeText, pim.TypeRichText:
		if unit != "" && !strings.HasSuffix(text, unit) {
			text += " " + unit
		}
		v = text
	case pim.TypeNumber:
		n, ok := f.number(a, text, unit)
		if !ok {
			note("feature.type", strings.TrimSpace(text+" "+unit), "attribute %s is a number%s: the value is left out", a.Code, inUnit(a.Unit))
			return
		}
		v = n
	case pim.TypeBoolean:
		if text != "Y" && text != "N" {
			note("feature.type", text, "attribute %s is Y or N: the value is left out", a.Code)
			return
		}
		v = text == "Y"
	default:
		v = text
	}
	if !a.Localizable {
		// of several languages the catalogue's first
		if have, there := values[a.Code]; there && (a.Type == pim.TypeText || a.Type == pim.TypeRichText) {
			if l := f.locales[lang]; l == f.first {
				values[a.Code] = joinTexts(have, text)
			}
		} else if !there {
			values[a.Code] = v
		}
		return
	}
	locale := f.locales[lang]
	if locale == "" {
		locale = f.first
	}
	if locale == "" {
		return
	}
	by, _ := values[a.Code].(map[string]any)
	if by == nil {
		by = map[string]any{}
		values[a.Code] = by
	}
	if have, there := by[string(locale)]; there {
		v = joinTexts(have, text)
	}
	by[string(locale)] = v
}

func inUnit(unit string) string {
	if unit == "" {
		return ""
	}
	return " with a unit such as " + unit
}

// joinTexts puts a further text to those that are there, once.
func joinTexts(have any, more string) any {
	text, ok := have.(string)
	if !ok || text == more || slices.Contains(strings.Split(text, ", "), more) {
		return have
	}
	return text + ", " + more
}

func (f *filling) number(a *pim.Attribute, text, unit string) (any, bool) {
	if !isNumber(text) {
		return nil, false
	}
	n := json.Number(text)
	switch symbol, known := unitOf(unit); {
	case a.Unit == "":
		return n, unit == ""
	case unit == "":
		return map[string]any{"amount": n, "unit": a.Unit}, true
	case !known && f.header.Format == supplier.Icecat:
		return map[string]any{"amount": n, "unit": a.Unit}, true // a feature has one unit there, whatever it is called in a language
	case !known:
		return nil, false
	default:
		mine, _ := pim.UnitFamily(a.Unit)
		its, _ := pim.UnitFamily(symbol)
		return map[string]any{"amount": n, "unit": symbol}, mine == its
	}
}

// prices are an item's prices as the column has them; a price that stands there
// twice counts once.
func (f *filling) prices(it *supplier.Item, h *supplier.Header, note func(code, value, format string, args ...any)) (out []any) {
	seen := map[string]bool{}
	for _, p := range it.Prices {
		list := f.lists[listKey(p, h)]
		if list == "" {
			note("price_list", p.List, "no price list is of this type: the price is not taken")
			continue
		}
		row := map[string]any{"price_list": list, "currency": string(p.Currency), "min_quantity": json.Number(fmt.Sprint(p.MinQuantity)), "amount": json.Number(p.Amount.String())}
		for name, t := range map[string]*time.Time{"valid_from": p.ValidFrom, "valid_to": p.ValidTo} {
			if t != nil {
				row[name] = t.Format(time.RFC3339)
			}
		}
		if key := compact(row); !seen[key] {
			seen[key] = true
			out = append(out, row)
		}
	}
	return out
}

func (f *filling) categoriesOf(it *supplier.Item) (out []any) {
	if f.codes == nil {
		return nil
	}
	places := f.placesOf(it.SKU)
	for _, id := range it.Categories {
		if i, known := f.catAt[id]; known {
			places = append(places, int32(i))
		}
	}
	for _, i := range places {
		if code := f.codes[i]; code != "" && !slices.Contains(out, any(code)) {
			out = append(out, code)
		}
	}
	return out
}

// media puts links in. File names become links behind the address that was said,
// or that the catalogue says; without one they lead nowhere.
func (f *filling) media(values map[string]any, it *supplier.Item, h *supplier.Header, note func(code, value, format string, args ...any)) {
	base := mediaBase(f.assetBase, h.MediaRoot)
	for _, m := range it.Media {
		p := f.fields[m.Field]
		if p.attr == nil {
			continue
		}
		link := m.Value
		if !strings.Contains(link, "://") {
			if base == "" {
				note("media.name", link, "a file name leads nowhere: say the address that the files are at (asset_base)")
				continue
			}
			link = base + escaped(link)
		}
		if !isLink(link) {
			note("media.name", link, "the value is no link that can be stored: it is left out")
			continue
		}
		list, _ := values[p.attr.Code].([]any)
		if len(list) == maxMedia {
			note("media.many", link, "an attribute holds at most %d links: this one is left out", maxMedia)
			continue
		}
		if !slices.Contains(list, any(link)) {
			values[p.attr.Code] = append(list, any(link))
		}
	}
}

// links are an item's references as the column has associations. One that no product
// can have is left out, and told: it is not worth the product.
func (f *filling) links(it *supplier.Item, note func(code, value, format string, args ...any)) map[string]any {
	out := map[string]any{}
	seen := map[[2]string]bool{}
	for _, kind := range slices.Sorted(maps.Keys(it.References)) {
		t, known := f.references[kind]
		if !known {
			continue
		}
		list, _ := out[t.Code].([]any)
		for _, ref := range it.References[kind] {
			sku := plainSKU(ref.SKU)
			switch {
			case sku == plainSKU(it.SKU) || pim.ValidSKU(sku) != nil:
				note("reference.sku", ref.SKU, "a product cannot refer (%s) to itself, or to what is no SKU: the reference is left out", kind)
				continue
			case seen[[2]string{t.Code, sku}] || len(list) == pim.MaxAssociations:
				continue
			case t.Quantified:
				list = append(list, map[string]any{"sku": sku, "quantity": json.Number(fmt.Sprint(max(1, ref.Quantity)))})
			default:
				list = append(list, sku)
			}
			seen[[2]string{t.Code, sku}] = true
		}
		if len(list) > 0 {
			out[t.Code] = list
		}
	}
	return out
}

// escaped is a file's path as part of a link.
func escaped(name string) string {
	parts := strings.Split(strings.TrimLeft(strings.ReplaceAll(name, `\`, "/"), "/"), "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}
