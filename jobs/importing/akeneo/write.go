package akeneo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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
	for _, key := range f.modelOrder {
		m := f.models[key]
		if m.parent != "" {
			continue
		}
		if err := f.line(out, record{SKU: m.code, Family: m.family, FamilyVariant: m.variant, content: m.content}); err != nil {
			return err
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

// below makes a record the variant of its root model, with what the models
// between have.
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
	for at := m; ; at = f.models[at.parent] {
		if at != root {
			r.inherit(at.content)
		}
		for c, amount := range at.prices { // of models: nothing sells a model, and prices are not inherited
			if _, own := r.prices[c]; !own {
				r.prices[c] = amount
			}
		}
		if at == root {
			return
		}
	}
}

// record is a line of what Write writes.
type record struct {
	content
	SKU, Parent, Family, FamilyVariant string
	Enabled                            *bool
}

// inherit takes what a model has and the record has not: of a localizable
// attribute locale by locale.
func (r *record) inherit(from content) {
	for code, v := range from.values {
		own, has := r.values[code]
		theirs, isMap := v.(map[string]any)
		mine, both := own.(map[string]any)
		switch {
		case !has:
			r.values[code] = v
		case isMap && both && mine["unit"] == nil:
			merged := maps.Clone(theirs)
			maps.Copy(merged, mine)
			r.values[code] = merged
		}
	}
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
	values := f.resolved(r.values)
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
