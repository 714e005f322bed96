package akeneo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim"
)

// Write writes the models and then the products as JSON Lines of Sluice's own
// layout, after the files of Media were named by SetAsset. Row n of it is
// product n, behind Roots models.
func (f *Folder) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, sub := range []bool{false, true} {
		for _, key := range f.modelOrder {
			m := f.models[key]
			if f.isSubModel(m) != sub || !sub && m.parent != "" {
				continue
			}
			root := f.root(m)
			r := record{SKU: m.code, Family: root.family, FamilyVariant: root.variant, content: m.content}
			if sub {
				r.Parent, r.values = root.code, maps.Clone(m.values)
				r.forget(f.level(root), 1, root.content)
			}
			if err := f.line(out, r); err != nil {
				return err
			}
		}
	}
	err := f.each("products.csv", true, func(l *line) error {
		r := record{SKU: l.get("sku"), Family: l.get("family")}
		r.content = f.read(l, f.columns(l), r.SKU, true)
		if e := l.get("enabled"); e == "1" || e == "0" {
			r.Enabled = new(e == "1")
		}
		if parent := l.get("parent"); parent != "" {
			f.below(&r, l, parent)
		}
		if f.families[r.Family] == nil {
			r.Family = OtherFamily
		}
		return f.line(out, r)
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// below makes a record the variant of its model. A variant of a model that is
// folded has what that one has.
func (f *Folder) below(r *record, l *line, parent string) {
	m := f.models[strings.ToLower(parent)]
	if m == nil {
		f.note(Finding{File: l.file, Line: l.at, SKU: r.SKU, Column: "parent", Value: parent, Code: "parent.unknown", Text: "there is no such model: the product is one of its own"})
		return
	}
	if m.code != parent {
		f.note(Finding{File: l.file, Line: l.at, SKU: r.SKU, Column: "parent", Value: parent, Code: "parent.case", Text: "the model is called " + m.code + ", which differs in upper and lower case only: it is taken"})
	}
	root := f.root(m)
	r.Parent, r.Family = root.code, root.family
	above, level := []content{root.content}, 1
	for at := m; ; at = f.models[at.parent] {
		switch {
		case at == root:
		case f.isSubModel(at):
			r.Parent, above, level = at.code, append(above, at.content), 2
			r.file(at.content)
		default:
			r.inherit(at.content)
			r.file(at.content)
		}
		for c, amount := range at.prices { // of models: nothing sells a model, and prices are not inherited
			if _, own := r.prices[c]; !own {
				r.prices[c] = amount
			}
		}
		if at == root {
			break
		}
	}
	r.forget(f.level(root), level, above...)
}

// level says at which level the store sets an attribute of what is below a root
// model; nil: it has no levels there.
func (f *Folder) level(root *model) func(code string) int {
	v := f.variants[root.variant]
	if v == nil || v.folded {
		return nil
	}
	levels := map[string]int{}
	made := f.familyVariant(v, nil)
	return func(code string) int {
		if level, known := levels[code]; known {
			return level
		}
		at := code
		if a := f.attributes[code]; a != nil && a.split { // those of all channels stand at one level
			if parts := a.wanted(f); len(parts) > 0 {
				at = parts[0].Code
			}
		}
		level, _ := made.LevelOf(at)
		levels[code] = level
		return level
	}
}

type record struct {
	content
	SKU, Parent, Family, FamilyVariant string
	Enabled                            *bool
}

// inherit takes what a model has and the record has not: of an attribute with
// scopes channel by channel and locale by locale.
func (r *record) inherit(from content) {
	for code, v := range from.values {
		r.values[code] = laidOver(v, r.values[code])
	}
}

// file puts a record into a model's categories: targets do not see the model.
func (r *record) file(from content) {
	for _, c := range from.categories {
		if !slices.Contains(r.categories, c) {
			r.categories = append(r.categories, c)
		}
	}
	for t, list := range from.links {
		if r.links == nil {
			r.links = pim.Associations{}
		}
		for _, x := range list {
			if !r.links.Has(t, x.SKU) && string(x.SKU) != r.SKU {
				r.links[t] = append(slices.Clip(r.links[t]), x)
			}
		}
	}
}

// forget takes out of a record that stands at a level what it repeats of the models
// above it, the root model's first: Akeneo's files have all values of a variant,
// those that it inherits, too. What is of its own level is its own.
func (r *record) forget(levelOf func(code string) int, level int, above ...content) {
	if levelOf == nil {
		return
	}
	for code, v := range r.values {
		if levelOf(code) >= level {
			continue
		}
		var inherited any
		for _, c := range above {
			inherited = laidOver(inherited, c.values[code])
		}
		if r.values[code] = without(v, inherited); r.values[code] == nil {
			delete(r.values, code)
		}
	}
}

// laidOver lays a value over another, channel by channel and locale by locale.
func laidOver(under, over any) any {
	theirs, scoped := under.(map[string]any)
	mine, both := over.(map[string]any)
	switch {
	case over == nil:
		return under
	case !scoped || !both:
		return over
	}
	merged := maps.Clone(theirs)
	for scope, v := range mine {
		merged[scope] = laidOver(theirs[scope], v)
	}
	return merged
}

// without is what a value has that another has not, channel by channel and locale by
// locale; nil: nothing.
func without(v, other any) any {
	if reflect.DeepEqual(v, other) {
		return nil
	}
	mine, scoped := v.(map[string]any)
	theirs, both := other.(map[string]any)
	if !scoped || !both {
		return v
	}
	rest := map[string]any{}
	for scope, own := range mine {
		if own = without(own, theirs[scope]); own != nil {
			rest[scope] = own
		}
	}
	if len(rest) == 0 {
		return nil
	}
	return rest
}

// line writes a record. Prices of a model are its variants': it is sold by none.
func (f *Folder) line(w *bufio.Writer, r record) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	member := func(name string, v any) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		if err := e.Encode(name); err != nil {
			return err
		}
		b.WriteByte(':')
		return e.Encode(v)
	}
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	prices := []any{}
	if r.FamilyVariant == "" {
		for _, c := range slices.Sorted(maps.Keys(r.prices)) {
			prices = append(prices, map[string]any{"currency": c, "amount": r.prices[c]})
		}
	}
	if r.categories == nil {
		r.categories = []string{}
	}
	errs := []error{
		member("sku", r.SKU), member("parent", orNull(r.Parent)), member("family", r.Family), member("family_variant", orNull(r.FamilyVariant)),
		member("enabled", r.Enabled), member("categories", r.categories),
	}
	if len(r.links) > 0 {
		errs = append(errs, member(importing.AssociationsColumn, r.links))
	}
	if len(prices) > 0 {
		errs = append(errs, member(importing.PricesColumn, prices))
	}
	values := f.scoped(f.resolved(r.values))
	for _, code := range slices.Sorted(maps.Keys(values)) {
		errs = append(errs, member(importing.AttributeColumn(code, "", ""), values[code]))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write %s: %w", r.SKU, err)
	}
	b.WriteByte('}')
	_, err := w.Write(append(bytes.ReplaceAll(b.Bytes(), []byte{'\n'}, nil), '\n')) // the encoder's own; those of texts are escaped
	return err
}
