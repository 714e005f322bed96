package trytontest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// tx is one transaction: all of it happens or nothing. Callers of its methods
// hold the fake's mu.
type tx struct {
	f       *Fake
	words   words
	changes []change
	posts   []int64 // templates whose list price changed
	n       int64   // records written
}

func (f *Fake) begin(w words) *tx {
	f.tx = &tx{f: f, words: w}
	return f.tx
}

func (t *tx) rollback() {
	t.f.tx = nil
	for _, c := range slices.Backward(t.changes) {
		t.f.set(c.model, c.id, c.old)
	}
}

// commit checks what holds at the end only, and tells the hub.
func (t *tx) commit() error {
	f := t.f
	for _, id := range t.products() {
		r := f.table("product.product")[id]
		if r["active"] != true {
			continue
		}
		if f.table("product.template")[r["template"].(int64)]["active"] != true {
			t.rollback()
			return &userError{`The value for field "Variants" in "Product Template" is not valid according to its domain.`}
		}
		for _, other := range f.with("product.product", "code", r["code"]) {
			if other != id && f.table("product.product")[other]["active"] == true {
				t.rollback()
				return &userError{"Code of active product must be unique."}
			}
		}
	}
	f.tx = nil
	if f.ledger != nil {
		kept := map[place]bool{}
		for _, c := range t.changes {
			if at := (place{model: c.model, value: c.id}); !kept[at] {
				kept[at] = true
				f.keep(c.model, c.id)
			}
		}
	}
	for _, id := range t.posts {
		t.f.post(id)
	}
	if t.n > 0 {
		f.count.Writes++
		f.count.Records += t.n
	}
	f.bump()
	return nil
}

// products are those that the transaction touched, or whose template it did.
func (t *tx) products() []int64 {
	var ids []int64
	for _, c := range t.changes {
		switch c.model {
		case "product.product":
			ids = append(ids, c.id)
		case "product.template":
			ids = append(ids, t.f.with("product.product", "template", c.id)...)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// create makes a record and those below it.
func (t *tx) create(model string, values map[string]any) (int64, error) {
	f := t.f
	f.ids[model]++
	id := f.ids[model]
	r := rec{"id": id, "create_date": f.stamp(), "write_date": nil}
	if model == "product.template" || model == "product.product" {
		r["active"] = true
	}
	if model == "product.template" {
		r["type"], r["salable"] = "goods", false
	}
	f.put(model, id, r)
	t.n++
	if err := t.set(model, id, values, true); err != nil {
		return 0, err
	}
	switch r := f.table(model)[id]; model {
	case "product.template":
		for _, need := range []string{"name", "default_uom"} {
			if r[need] == nil {
				return 0, required(model, need)
			}
		}
		if r["salable"] == true && r["sale_uom"] == nil {
			return 0, required(model, "sale_uom")
		}
	case "product.product":
		// sync_code writes each new product once more.
		r = maps.Clone(r)
		r["write_date"] = r["create_date"]
		f.put(model, id, r)
	}
	return id, t.sync(model, id)
}

// write changes a record and those below it.
func (t *tx) write(model string, id int64, values map[string]any) error {
	r := t.f.table(model)[id]
	if r == nil {
		return &userError{fmt.Sprintf("You are trying to write to records \"%d\" of %q that don't exist anymore.", id, title(model))}
	}
	t.n++
	if err := t.set(model, id, values, false); err != nil {
		return err
	}
	r = maps.Clone(t.f.table(model)[id])
	r["write_date"] = t.f.stamp()
	t.f.put(model, id, r)
	return t.sync(model, id)
}

// set puts values into a record, and does what stands below it after that.
func (t *tx) set(model string, id int64, values map[string]any, fresh bool) error {
	f := t.f
	r := maps.Clone(f.table(model)[id])
	var below []string
	for name, v := range values {
		d, ok := schema[model][name]
		if !ok || f.opts.NoSale && (name == "salable" || name == "sale_uom") {
			return &exception{fmt.Sprintf("'%s'", name)}
		}
		switch {
		case d.kind == many || name == "list_price" && model == "product.template":
			below = append(below, name)
			continue
		case d.template || d.kind == virtual:
			return &exception{fmt.Sprintf("field %q cannot be written", name)}
		case d.kind == one:
			if v == nil {
				r[name] = nil
				continue
			}
			n := int64(number(v))
			if f.table(d.model)[n] == nil {
				return &userError{fmt.Sprintf("The value \"%d\" for field %q in %q does not exist.", n, d.label, title(model))}
			}
			r[name] = n
			continue
		}
		if s, ok := v.(string); ok {
			if strings.Contains(s, "\x00") {
				return &exception{"A string literal cannot contain NUL (0x00) characters."}
			}
			if name != "description" && strings.ContainsAny(s, "\n\r\t") {
				return &userError{fmt.Sprintf("The value %q for field %q in %q contains some invalid chars %q.", s, d.label, title(model), "'\\n'")}
			}
		}
		if name == "name" && model == "product.template" && (v == nil || v == "") {
			return required(model, name)
		}
		if d.kind == localized {
			v = t.translate(r[name], v, fresh)
		}
		r[name] = v
	}
	f.put(model, id, r)
	for _, name := range below {
		if err := t.setBelow(model, id, name, values[name]); err != nil {
			return err
		}
	}
	if r := f.table(model)[id]; model == "product.identifier" && r["type"] == "ean" && !validEAN(r["code"]) {
		p := f.table("product.product")[r["product"].(int64)]
		name := text(f.table("product.template")[p["template"].(int64)]["name"], "en")
		return &userError{fmt.Sprintf("The International Article Number \"%v\" for product %q is not valid.", r["code"], name)}
	}
	return nil
}

// translate puts a text in the context's language. A new record's text is the
// source in every language.
func (t *tx) translate(old, v any, fresh bool) any {
	s, ok := v.(string)
	if !ok {
		return nil
	}
	all, _ := old.(translated)
	all = maps.Clone(all)
	if all == nil {
		all = translated{}
	}
	language, _ := t.words["language"].(string)
	if language == "" || language == "en" || fresh || len(all) == 0 {
		all[""] = s
	}
	if language != "" && language != "en" {
		all[language] = s
	}
	return all
}

// setBelow does the commands of a one2many, or sets the list price.
func (t *tx) setBelow(model string, id int64, name string, v any) error {
	if name == "list_price" {
		t.setListPrice(id, v)
		return nil
	}
	d := schema[model][name]
	commands, _ := v.([]any)
	for _, c := range commands {
		command, _ := c.([]any)
		if len(command) < 2 {
			return &exception{"invalid command"}
		}
		list, _ := command[1].([]any)
		switch command[0] {
		case "create":
			for _, item := range list {
				values, _ := item.(map[string]any)
				values = maps.Clone(values)
				values[d.inverse] = float64(id)
				if _, err := t.create(d.model, values); err != nil {
					return err
				}
			}
		case "write":
			if len(command) != 3 {
				return &exception{"invalid command"}
			}
			values, _ := command[2].(map[string]any)
			for _, n := range list {
				if err := t.write(d.model, int64(number(n)), values); err != nil {
					return err
				}
			}
		default:
			return &exception{fmt.Sprintf("command %v", command[0])}
		}
	}
	return nil
}

// setListPrice writes the company's record of a list price, which moves no
// variant's write_date.
func (t *tx) setListPrice(template int64, v any) {
	prices := t.f.table("product.list_price")
	var id int64
	for _, n := range t.f.with("product.list_price", "template", template) {
		id = n
	}
	r := maps.Clone(prices[id])
	if r == nil {
		t.f.ids["product.list_price"]++
		id = t.f.ids["product.list_price"]
		r = rec{"id": id, "template": template, "create_date": t.f.stamp(), "write_date": nil}
	} else {
		r["write_date"] = t.f.stamp()
	}
	r["list_price"] = nil
	if d, ok := v.(decimal.Decimal); ok {
		r["list_price"] = d
	}
	t.f.put("product.list_price", id, r)
	t.posts = append(t.posts, template)
}

// sync makes the codes of products from their template's and their own.
func (t *tx) sync(model string, id int64) error {
	f := t.f
	template := id
	if model == "product.product" {
		template = f.table(model)[id]["template"].(int64)
	} else if model != "product.template" {
		return nil
	}
	for _, n := range f.with("product.product", "template", template) {
		r := f.table("product.product")[n]
		prefix, _ := f.table("product.template")[template]["code"].(string)
		suffix, _ := r["suffix_code"].(string)
		var code any
		if prefix+suffix != "" {
			code = prefix + suffix
		}
		if code != r["code"] {
			r = maps.Clone(r)
			r["code"] = code
			f.put("product.product", n, r)
		}
		if s, _ := code.(string); f.reject[pim.SKU(s)] && r["active"] == true {
			return &userError{fmt.Sprintf("The value for field \"Name\" in \"Product Template\" is not valid according to its domain. %s", f.opts.Echo)}
		}
	}
	return nil
}

func required(model, name string) error {
	return &userError{fmt.Sprintf("A value is required for field %q in %q.", schema[model][name].label, title(model))}
}

// title is how Tryton calls a model in its texts.
func title(model string) string {
	switch model {
	case "product.template":
		return "Product Template"
	case "product.product":
		return "Product Variant"
	}
	return model
}

// validEAN checks the last digit of an article number (GS1).
func validEAN(v any) bool {
	s, _ := v.(string)
	if n := len(s); n != 8 && n != 12 && n != 13 && n != 14 {
		return false
	}
	sum := 0
	for i, weight := len(s)-1, 1; i >= 0; i, weight = i-1, 4-weight {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		sum += weight * int(s[i]-'0')
	}
	return sum%10 == 0
}

// post queues what Tryton's module would send of a template's new list price.
// A full queue drops it, as a dead worker's would be. Callers hold mu.
func (f *Fake) post(template int64) {
	if f.opts.HubURL == "" {
		return
	}
	t := f.table("product.template")[template]
	var variants []any
	for _, n := range f.with("product.product", "template", template) {
		variants = append(variants, f.table("product.product")[n]["code"])
	}
	price := "None"
	if d, ok := f.listPrice(t); ok {
		price = d.String()
	}
	body, err := json.Marshal([]map[string]any{{"template": template, "code": t["code"], "variants": variants, "list_price": price, "company": companyID}})
	if err != nil {
		return
	}
	select {
	case f.hubPosts <- body:
	default:
	}
}
