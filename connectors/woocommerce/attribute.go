package woocommerce

import (
	"encoding/json"
	"html"
	"slices"
	"strings"
)

// attribute is one of a product's attributes as the shop has it. With an id it
// is one of the shop's global ones, else the product's own.
type attribute struct {
	ID        int64    `json:"id,omitempty"`
	Name      string   `json:"name,omitempty"`
	Position  int      `json:"position"`
	Visible   bool     `json:"visible"`
	Variation bool     `json:"variation"`
	Options   []string `json:"options"`
}

// choice is a variation's value of one attribute.
type choice struct {
	ID     int64  `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Option string `json:"option"`
}

// UnmarshalJSON reads an attribute. Plugins write options that are no list.
func (a *attribute) UnmarshalJSON(b []byte) error {
	type wire attribute
	var w struct {
		wire
		Options json.RawMessage `json:"options"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*a = attribute(w.wire)
	if json.Unmarshal(w.Options, &a.Options) != nil {
		a.Options = nil
	}
	return nil
}

// sameName compares attributes as WordPress does (sanitize_title), roughly: by
// their letters and digits.
func sameName(a, b string) bool { return key(a) == key(b) }

func key(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(html.UnescapeString(s)), func(r rune) bool {
		return r == ' ' || r == '-' || r == '_' || r == '.' || r == '/'
	}), "-")
}

// merge lays a document's own attributes over those that the shop holds for the
// variations of the product, which belong to the variants' documents.
func merge(own, held []attribute) []attribute {
	out := slices.Clone(own)
	for _, h := range held {
		if !h.Variation {
			continue
		}
		i := slices.IndexFunc(out, func(a attribute) bool { return sameName(a.Name, h.Name) })
		if i < 0 {
			out = append(out, h)
			continue
		}
		extra := out[i].Options
		out[i] = h
		for _, o := range extra {
			out[i].Options = with(out[i].Options, o)
		}
	}
	return number(out)
}

// extend adds what variants need to a parent's attributes; false when all of it
// is there.
func extend(attributes []attribute, need []axis) ([]attribute, bool) {
	out, changed := slices.Clone(attributes), false
	for _, n := range need {
		i := slices.IndexFunc(out, func(a attribute) bool { return sameName(a.Name, n.name) })
		if i < 0 {
			out = append(out, attribute{Name: n.name, Visible: true})
			i = len(out) - 1
		}
		a := &out[i]
		options := with(a.Options, n.option)
		if !a.Variation || len(options) != len(a.Options) {
			changed = true
		}
		a.Variation, a.Options = true, options
	}
	return number(out), changed
}

// with adds an option, in a new list.
func with(options []string, o string) []string {
	if slices.ContainsFunc(options, func(have string) bool { return html.UnescapeString(have) == o }) {
		return options
	}
	return append(slices.Clone(options), o)
}

func number(attributes []attribute) []attribute {
	for i := range attributes {
		attributes[i].Position = i
		if attributes[i].ID > 0 {
			attributes[i].Name = strings.TrimSpace(attributes[i].Name)
		}
		if attributes[i].Options == nil {
			attributes[i].Options = []string{}
		}
	}
	return attributes
}

// choices are a variation's values, named as the parent has the attributes.
func choices(parent []attribute, need []axis) []choice {
	out := make([]choice, len(need))
	for i, n := range need {
		out[i] = choice{Name: n.name, Option: n.option}
		if j := slices.IndexFunc(parent, func(a attribute) bool { return sameName(a.Name, n.name) }); j >= 0 {
			out[i].ID = parent[j].ID
			if out[i].ID > 0 {
				out[i].Name = ""
			} else {
				out[i].Name = parent[j].Name
			}
		}
	}
	return out
}
