package trytontest

import (
	"fmt"
	"strings"
	"time"

	"github.com/govalues/decimal"
)

// words is a call's context.
type words map[string]any

func (w words) id(key string) int64 {
	n, _ := w[key].(float64)
	return int64(n)
}

// exception is a Python exception: [text, traceback].
type exception struct{ text string }

func (e *exception) Error() string { return e.text }

// userError is ["UserError", [text, description, domain]].
type userError struct{ text string }

func (e *userError) Error() string { return e.text }

// kind is what a field is.
type kind int

const (
	plain     kind = iota
	localized      // translated text
	one            // many2one
	many           // one2many
	virtual        // computed
)

// field is a field of a model, as far as the fake's callers need it.
type field struct {
	kind     kind
	model    string // of one and many
	inverse  string // of many
	label    string // in error texts
	compute  func(f *Fake, r rec, w words) (any, error)
	template bool // of a product: its template's
}

// stamps are the fields that every model has.
func stamps(fields map[string]field) map[string]field {
	for _, name := range []string{"id", "create_date", "write_date"} {
		fields[name] = field{}
	}
	return fields
}

// schema is Tryton's models, as far as the fake holds them.
var schema = makeSchema()

func makeSchema() map[string]map[string]field {
	of := func(name string) field { return field{template: true, label: name} }
	s := map[string]map[string]field{
		"currency.currency": {"code": {}, "digits": {}},
		"company.company":   {"currency": {kind: one, model: "currency.currency"}, "rec_name": {}},
		"ir.lang":           {"code": {}, "translatable": {}},
		"product.uom":       {"symbol": {}, "digits": {}},
		"stock.location":    {"code": {}, "name": {}, "type": {}, "parent": {kind: one, model: "stock.location"}},
		"product.template": {
			"name": {kind: localized, label: "Name"}, "code": {label: "Code"}, "type": {label: "Type"}, "active": {},
			"default_uom": {kind: one, model: "product.uom", label: "Default UOM"},
			"salable":     {}, "sale_uom": {kind: one, model: "product.uom", label: "Sale UOM"},
			"products":    {kind: many, model: "product.product", inverse: "template"},
			"list_prices": {kind: many, model: "product.list_price", inverse: "template"},
			"list_price":  {kind: virtual, compute: templateListPrice},
		},
		"product.list_price": {"template": {kind: one, model: "product.template"}, "list_price": {}},
		"product.product": {
			"template": {kind: one, model: "product.template"}, "code": {label: "Code"}, "suffix_code": {label: "Suffix Code"}, "active": {},
			"description": {kind: localized, label: "Description"},
			"identifiers": {kind: many, model: "product.identifier", inverse: "product"},
			"name":        of("name"), "type": of("type"), "default_uom": of("default_uom"), "salable": of("salable"), "sale_uom": of("sale_uom"), "list_price": of("list_price"),
			"quantity":       {kind: virtual, compute: quantity},
			"sale_price_uom": {kind: virtual, compute: salePrice},
		},
		"product.identifier":      {"product": {kind: one, model: "product.product"}, "type": {}, "code": {label: "Code"}},
		"product.price_list":      {"name": {}, "company": {kind: one, model: "company.company"}, "lines": {kind: many, model: "product.price_list.line", inverse: "price_list"}},
		"product.price_list.line": {"price_list": {kind: one, model: "product.price_list"}, "quantity": {}},
		"product.sale.context":    {"price_list": {kind: one, model: "product.price_list"}},
		"stock.move": {
			"product": {kind: one, model: "product.product"}, "state": {},
			"from_location": {kind: one, model: "stock.location"}, "to_location": {kind: one, model: "stock.location"},
		},
	}
	for _, fields := range s {
		stamps(fields)
	}
	return s
}

// hidden are models that Tryton offers no methods of to clients.
var hidden = []string{"product.list_price"}

// text reads a translated value in a language.
func text(v any, language string) string {
	t, _ := v.(translated)
	if s, ok := t[language]; ok {
		return s
	}
	return t[""]
}

// get is a field's value in a context.
func (f *Fake) get(model string, r rec, name string, w words) (any, error) {
	d, ok := schema[model][name]
	if !ok {
		return nil, &exception{fmt.Sprintf("'%s'", name)}
	}
	if d.template {
		return f.get("product.template", f.table("product.template")[r["template"].(int64)], name, w)
	}
	switch d.kind {
	case localized:
		if r[name] == nil {
			return nil, nil
		}
		language, _ := w["language"].(string)
		return text(r[name], language), nil
	case virtual:
		return d.compute(f, r, w)
	case many:
		ids := []int64{}
		for _, id := range f.with(d.model, d.inverse, r["id"]) {
			// A relation shows active records only.
			if _, can := schema[d.model]["active"]; !can || f.table(d.model)[id]["active"] == true {
				ids = append(ids, id)
			}
		}
		return ids, nil
	}
	return r[name], nil
}

// read writes the fields of one record, as search_read and read do.
func (f *Fake) read(model string, r rec, names []string, w words) (map[string]any, error) {
	out := map[string]any{"id": r["id"]}
	nested := map[string][]string{}
	for _, name := range names {
		head, rest, through := strings.Cut(name, ".")
		if through {
			nested[head] = append(nested[head], rest)
			continue
		}
		v, err := f.get(model, r, name, w)
		if err != nil {
			return nil, err
		}
		out[name] = wire(v)
	}
	for head, rest := range nested {
		v, err := f.get(model, r, head, w)
		if err != nil {
			return nil, err
		}
		d := schema[model][head]
		switch v := v.(type) {
		case int64:
			if out[head+"."], err = f.read(d.model, f.table(d.model)[v], rest, w); err != nil {
				return nil, err
			}
		case []int64:
			below := []any{}
			for _, id := range v {
				one, err := f.read(d.model, f.table(d.model)[id], rest, w)
				if err != nil {
					return nil, err
				}
				below = append(below, one)
			}
			out[head+"."] = below
		default:
			out[head+"."] = nil
		}
	}
	return out, nil
}

// wire gives a value its form in JSON.
func wire(v any) any {
	switch v := v.(type) {
	case decimal.Decimal:
		return map[string]any{"__class__": "Decimal", "decimal": v.String()}
	case time.Time:
		return map[string]any{
			"__class__": "datetime", "year": v.Year(), "month": int(v.Month()), "day": v.Day(),
			"hour": v.Hour(), "minute": v.Minute(), "second": v.Second(), "microsecond": v.Nanosecond() / 1000,
		}
	}
	return v
}

// unwire reads Tryton's classes out of decoded JSON.
func unwire(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = unwire(v[i])
		}
	case map[string]any:
		part := func(name string) int {
			n, _ := v[name].(float64)
			return int(n)
		}
		switch v["__class__"] {
		case "Decimal":
			text, _ := v["decimal"].(string)
			if d, err := decimal.Parse(text); err == nil {
				return d
			}
		case "datetime":
			return time.Date(part("year"), time.Month(part("month")), part("day"), part("hour"), part("minute"), part("second"), 1000*part("microsecond"), time.UTC)
		}
		for k := range v {
			v[k] = unwire(v[k])
		}
	}
	return v
}

// listPrice is a template's list price for the company.
func (f *Fake) listPrice(t rec) (decimal.Decimal, bool) {
	for _, id := range f.with("product.list_price", "template", t["id"]) {
		d, ok := f.table("product.list_price")[id]["list_price"].(decimal.Decimal)
		return d, ok
	}
	return decimal.Decimal{}, false
}

// templateListPrice reads null without the company in the context.
func templateListPrice(f *Fake, t rec, w words) (any, error) {
	if d, ok := f.listPrice(t); ok && w.id("company") == companyID {
		return d, nil
	}
	return nil, nil
}

// salePrice is the price by the context's price list, quantity and unit.
func salePrice(f *Fake, r rec, w words) (any, error) {
	t := f.table("product.template")[r["template"].(int64)]
	if f.opts.NoSale {
		return nil, &exception{"'sale_price_uom'"}
	}
	price, ok := f.listPrice(t)
	if !ok || w.id("company") != companyID {
		return nil, nil
	}
	list := w.id("price_list")
	if list == 0 {
		return price, nil
	}
	if t["sale_uom"] == nil {
		return nil, &exception{"'NoneType' object has no attribute 'category'"}
	}
	if f.table("product.price_list")[list] == nil {
		return nil, &userError{fmt.Sprintf("You are trying to read records \"%d\" of \"Price List\" that don't exist anymore.", list)}
	}
	asked, _ := w["quantity"].(float64)
	for _, id := range f.with("product.price_list.line", "price_list", list) {
		line := f.table("product.price_list.line")[id]
		if from, _ := line["quantity"].(float64); from > asked {
			continue
		}
		if line["broken"] == true && r["code"] == "BROKEN" {
			return nil, &exception{"[<class 'decimal.DivisionByZero'>]"}
		}
		factor, err := decimal.Parse(line["factor"].(string))
		if err != nil {
			return nil, &exception{"invalid formula"}
		}
		if price, err = price.Mul(factor); err != nil {
			return nil, &exception{"the price is too large"}
		}
		return price, nil
	}
	return price, nil
}

// quantity sums the done moves of the context's location; with stock_assign, the
// assigned ones that leave it, too.
func quantity(f *Fake, r rec, w words) (any, error) {
	at, _ := w["locations"].([]any)
	within := map[any]bool{}
	for _, l := range at {
		n, _ := l.(float64)
		id := int64(n)
		if f.table("stock.location")[id]["type"] == "warehouse" && w["stock_skip_warehouse"] == true {
			id = storageOf(id)
		}
		within[id] = true
		if w["with_childs"] == true || w["with_childs"] == nil && len(at) == 1 {
			for child, l := range f.table("stock.location") {
				if l["parent"] == id {
					within[child] = true
				}
			}
		}
	}
	sum := 0.0
	for _, id := range f.with("stock.move", "product", r["id"]) {
		m := f.table("stock.move")[id]
		n := m["quantity"].(float64)
		if m["state"] == "done" && within[m["to_location"]] {
			sum += n
		}
		if (m["state"] == "done" || m["state"] == "assigned" && w["stock_assign"] == true) && within[m["from_location"]] {
			sum -= n
		}
	}
	return sum, nil
}

// storageOf is the storage zone of a warehouse.
func storageOf(warehouse int64) int64 {
	if warehouse == warehouseID {
		return storageID
	}
	return warehouse + 1
}
