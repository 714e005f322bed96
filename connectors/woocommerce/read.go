package woocommerce

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"reflect"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// shown is an object with all fields that a document may have.
type shown struct {
	object
	all map[string]any
}

// UnmarshalJSON keeps the fields besides.
func (s *shown) UnmarshalJSON(b []byte) error {
	all, err := connectors.DecodeDocument(b)
	s.all = all
	if err != nil {
		return err
	}
	return json.Unmarshal(b, &s.object)
}

// Readable implements connectors.Reader.
func (c *Connector) Readable() pim.Lanes { return pim.LanesOf(pim.Content, pim.Offer, pim.Media) }

// Read asks the shop for the items' objects; see connectors.Reader.
func (c *Connector) Read(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	lane := items[0].Lane
	out := make([]connectors.Held, len(items))
	docs := make([]*document, len(items))
	var skus []pim.SKU
	var paths []path
	for i := range items {
		skus = append(skus, items[i].SKU)
		if items[i].Action.Tombstone() {
			continue
		}
		raw, err := connectors.DecodeDocument(items[i].Document)
		if err != nil {
			out[i].Err = &connectors.Error{Verdict: connectors.Permanent, Err: err}
			continue
		}
		docs[i], _ = read(lane, raw)
		if docs[i].parent != "" {
			skus = append(skus, docs[i].parent)
		}
		paths = append(paths, docs[i].categories...)
	}
	slices.Sort(skus)
	names := []string{"id", "sku", "type", "parent_id", "status", "attributes", "images", "manage_stock", "stock_quantity"}
	for name := range fields[lane] {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	found, err := search(ctx, c, slices.Compact(skus), strings.Join(names, ","), func(s *shown) (int64, string) { return s.ID, s.SKU })
	if err != nil {
		return nil, err
	}
	ids, err := c.categoriesThere(ctx, paths)
	if err != nil {
		return nil, err
	}
	for i := range items {
		if out[i].Err != nil {
			continue
		}
		have := found[items[i].SKU]
		if items[i].Action.Tombstone() {
			out[i] = c.left(have, items[i].Action)
			continue
		}
		if have == nil {
			out[i].Presence = connectors.Absent
			continue
		}
		v := &view{Connector: c, lane: lane, doc: docs[i], have: have, parent: found[docs[i].parent], ids: ids}
		out[i] = v.held(items[i])
	}
	return out, nil
}

// left is what a read says of a withdrawn product.
func (c *Connector) left(have *shown, a connectors.Action) connectors.Held {
	if a == connectors.SellOut {
		if have != nil && (have.ManageStock != true || have.Stock == nil || *have.Stock > 0 || have.Backorders != "no") {
			return connectors.Held{Presence: presence(have)}
		}
		return connectors.Held{Presence: connectors.Absent, Exact: true}
	}
	if have != nil {
		status, _ := have.all["status"].(string)
		as := c.leftAs(a)
		wanted := as
		if have.isVariation() {
			wanted = hides
		}
		if as == deletes || status != wanted {
			return connectors.Held{Presence: presence(have)}
		}
	}
	return connectors.Held{Presence: connectors.Absent, Exact: true}
}

func presence(have *shown) connectors.Presence {
	if have.all["status"] == "publish" {
		return connectors.Shown
	}
	return connectors.Hidden
}

// view compares one document with one object.
type view struct {
	*Connector
	lane         pim.Lane
	doc          *document
	have, parent *shown
	ids          map[string]int64 // categories by path
}

func (v *view) held(item connectors.Item) connectors.Held {
	held := map[string]any{}
	for name := range fields[v.lane] {
		if value, told := v.value(name); told {
			held[name] = value
		}
	}
	document, exact, err := connectors.HeldDocument(item.Document, held, func(name string, sent, held any) (alike, exact bool) {
		return v.same(name, sent, held), v.exact(name, held)
	})
	if err != nil {
		return connectors.Held{Err: &connectors.Error{Verdict: connectors.Permanent, Err: err}}
	}
	return connectors.Held{Presence: presence(v.have), Document: document, Exact: exact && v.bare()}
}

// value is a field as the shop holds it, nil for none; false: it cannot be told.
func (v *view) value(name string) (any, bool) {
	f := fields[v.lane][name]
	switch f.kind {
	case skus:
		if name == "sku" {
			return v.have.SKU, true
		}
		switch {
		case !v.have.isVariation():
			return nil, true
		case v.parent != nil && v.parent.ID == v.have.ParentID:
			return v.parent.SKU, true
		}
		return fmt.Sprintf("the shop's product %d", v.have.ParentID), true
	case axes:
		if !v.have.isVariation() {
			return nil, true
		}
		return v.have.all["attributes"], true
	case traits:
		return v.traits(), !v.have.isVariation()
	case pictures:
		var names []any
		for _, img := range v.have.Images {
			names = append(names, img.Name)
		}
		if names == nil {
			return nil, true
		}
		return names, true
	case whole:
		if name == "stock" {
			if v.have.ManageStock != true {
				return nil, true
			}
			return v.have.all["stock_quantity"], true
		}
	}
	if variable := v.have.isVariable(); variable && (name == "regular_price" || name == "sale_price" || f.kind == moment) {
		return nil, false // its variations' count
	}
	if name == "stock_status" && v.doc.stock != "" || v.have.isVariation() && !f.variation || !v.have.isVariation() && !f.product {
		return nil, false
	}
	value, told := v.have.all[name]
	if list, ok := value.([]any); value == "" || ok && len(list) == 0 {
		value = nil
	}
	return value, told
}

// traits are the product's attributes that no variation needs.
func (v *view) traits() any {
	out := map[string]any{}
	for _, a := range v.have.Attributes {
		own := slices.ContainsFunc(v.doc.attributes, func(o attribute) bool { return sameName(o.Name, a.Name) })
		if a.Variation && !own {
			continue
		}
		out[html.UnescapeString(a.Name)] = a.Options
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// same compares a field in the shop's eyes.
func (v *view) same(name string, sent, held any) bool {
	f := fields[v.lane][name]
	switch f.kind {
	case traits:
		return v.sameTraits()
	case axes:
		return v.sameAxes()
	case pictures:
		return v.samePictures()
	case paths:
		return v.sameCategories(held)
	case metadata:
		return sameMeta(sent, held)
	case sizes:
		want, _ := v.doc.fields[name].(map[string]string)
		there, _ := held.(map[string]any)
		for side, amount := range want {
			if !connectors.SameAmount(amount, scalar(there[side])) {
				return false
			}
		}
		return true
	case moment:
		return v.doc.fields[name] == held
	case amount, whole:
		return connectors.SameAmount(scalar(sent), scalar(held))
	case statuses:
		if v.have.isVariation() && sent != "publish" {
			sent = hides
		}
		return sent == held
	case skus, flag:
		return scalar(sent) == scalar(held)
	case text:
	}
	switch name {
	case "slug", "shipping_class":
		return sameName(scalar(sent), scalar(held))
	}
	return connectors.SameText(scalar(sent), scalar(held))
}

func (v *view) sameTraits() bool {
	there := slices.DeleteFunc(slices.Clone(v.have.Attributes), func(a attribute) bool { return a.Variation })
	for _, own := range v.doc.attributes {
		i := slices.IndexFunc(v.have.Attributes, func(a attribute) bool { return sameName(a.Name, own.Name) })
		if i < 0 {
			return false
		}
		have := v.have.Attributes[i]
		for _, o := range own.Options {
			if len(with(have.Options, o)) != len(have.Options) {
				return false
			}
		}
		if !have.Variation && len(have.Options) != len(own.Options) {
			return false
		}
		there = slices.DeleteFunc(there, func(a attribute) bool { return sameName(a.Name, own.Name) })
	}
	return len(there) == 0
}

// choices are a variation's values of its parent's attributes.
func (v *view) choices() (list []choice, ok bool) {
	raw, err := json.Marshal(v.have.all["attributes"])
	return list, err == nil && json.Unmarshal(raw, &list) == nil
}

func (v *view) sameAxes() bool {
	choices, ok := v.choices()
	if !ok || len(choices) != len(v.doc.axes) {
		return false
	}
	for _, a := range v.doc.axes {
		if !slices.ContainsFunc(choices, func(c choice) bool { return sameName(c.Name, a.name) && sameName(c.Option, a.option) }) {
			return false
		}
	}
	return true
}

// samePictures goes by the ends of the names, which say where pictures came from.
func (v *view) samePictures() bool {
	want := v.doc.images
	if v.have.isVariation() && len(want) > 1 {
		want = want[:1]
	}
	if v.have.isVariation() && len(want) == 0 {
		return true // it shows its parent's, and does not say whose they are
	}
	if len(want) != len(v.have.Images) {
		return false
	}
	for i, img := range want {
		if !strings.HasSuffix(v.have.Images[i].Name, mark(img.src)) {
			return false
		}
	}
	return true
}

func (v *view) sameCategories(held any) bool {
	list, _ := held.([]any)
	there := map[string]bool{}
	for _, el := range list {
		m, _ := el.(map[string]any)
		there[scalar(m["id"])] = true
	}
	want := map[string]bool{}
	for _, p := range v.doc.categories {
		want[fmt.Sprint(v.ids[strings.Join(p, ">")])] = true
	}
	if len(want) == 0 { // what has no category, WordPress puts into its default one
		return len(there) <= 1
	}
	return reflect.DeepEqual(want, there)
}

// sameMeta: the shop keeps custom fields of others beside ours.
func sameMeta(sent, held any) bool {
	list, _ := sent.([]any)
	there, _ := held.([]any)
	for _, el := range list {
		m, _ := el.(map[string]any)
		if !slices.ContainsFunc(there, func(el any) bool {
			h, _ := el.(map[string]any)
			if h["key"] != m["key"] {
				return false
			}
			if a, b := scalar(m["value"]), scalar(h["value"]); a != "" || b != "" {
				return connectors.SameText(a, b)
			}
			return reflect.DeepEqual(h["value"], m["value"])
		}) {
			return false
		}
	}
	return true
}

// bare reports whether the shop holds nothing of what a push would empty.
func (v *view) bare() bool {
	for name, f := range fields[v.lane] {
		_, given := v.doc.fields[name]
		if given || f.reset == nil || v.keep[name] || v.have.isVariation() && !f.variation || !v.have.isVariation() && !f.product {
			continue
		}
		switch value, told := v.value(name); {
		case !told:
		case name == "status":
			if value != "publish" {
				return false
			}
		case name == "attributes":
			if len(v.doc.attributes) == 0 && value != nil {
				return false
			}
		case name == "categories":
			if list, _ := value.([]any); len(v.doc.categories) == 0 && !uncategorized(list) {
				return false
			}
		case value != nil && value != "":
			return false
		}
	}
	switch v.lane {
	case pim.Offer:
		status := v.have.all["stock_status"]
		return v.doc.stock != "" || v.have.ManageStock != true && (status == "instock" || v.doc.fields["stock_status"] != nil || v.have.isVariable())
	case pim.Media:
		return len(v.doc.images) > 0 && v.samePictures() || len(v.have.Images) == 0
	}
	return true
}

func uncategorized(list []any) bool {
	if len(list) != 1 {
		return len(list) == 0
	}
	m, _ := list[0].(map[string]any)
	return m["slug"] == "uncategorized"
}

// categoriesThere finds the ids of those paths that the shop has, and makes none.
func (c *Connector) categoriesThere(ctx context.Context, paths []path) (map[string]int64, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	release, err := c.categories.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := c.freshCategories(ctx); err != nil {
		return nil, err
	}
	ids := map[string]int64{}
	for _, p := range paths {
		parent := int64(0)
		for _, name := range p {
			if parent = c.categories.ids[placeOf(parent, name)]; parent == 0 {
				break
			}
		}
		if parent != 0 {
			ids[strings.Join(p, ">")] = parent
		}
	}
	return ids, nil
}
