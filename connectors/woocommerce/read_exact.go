package woocommerce

import (
	"reflect"
	"slices"
)

// exact compares a field that is the same in the shop's eyes with what a push
// would write: what WordPress cleans, and what somebody changed a little, may as
// well be of an earlier document.
func (v *view) exact(name string, held any) bool {
	f := fields[v.lane][name]
	switch f.kind {
	case skus, statuses, paths: // same is strict about them
		return true
	case traits:
		there := slices.DeleteFunc(slices.Clone(v.have.Attributes), func(a attribute) bool { return a.Variation })
		return slices.EqualFunc(there, v.doc.attributes, func(a, own attribute) bool {
			return a.Name == own.Name && a.Visible == own.Visible && slices.Equal(a.Options, own.Options)
		})
	case axes:
		choices, ok := v.choices()
		return ok && !slices.ContainsFunc(v.doc.axes, func(a axis) bool {
			return !slices.ContainsFunc(choices, func(c choice) bool { return c.Name == a.name && c.Option == a.option })
		})
	case pictures:
		return v.exactPictures()
	case metadata:
		sent, _ := v.doc.fields[name].([]any)
		return exactMeta(sent, held)
	case sizes:
		want, _ := v.doc.fields[name].(map[string]string)
		there, _ := held.(map[string]any)
		for side, amount := range want {
			if there[side] != amount {
				return false
			}
		}
		return true
	case whole:
		if name == "stock" {
			return held == v.doc.stock
		}
	case text, flag, amount, moment:
	}
	return held == v.doc.fields[name]
}

// exactPictures also looks at the texts, where a push would write some.
func (v *view) exactPictures() bool {
	list, _ := v.have.all["images"].([]any)
	for i, img := range v.doc.images {
		if v.have.isVariation() && i > 0 {
			break // it has one
		}
		if i >= len(list) {
			return false
		}
		if there, _ := list[i].(map[string]any); img.alt != "" && there["alt"] != img.alt {
			return false
		}
	}
	return len(v.doc.images) > 0 || len(v.have.Images) == 0
}

// exactMeta: a key that is there twice says nothing.
func exactMeta(sent []any, held any) bool {
	there := map[string][]any{}
	list, _ := held.([]any)
	for _, el := range list {
		m, _ := el.(map[string]any)
		key, _ := m["key"].(string)
		there[key] = append(there[key], m["value"])
	}
	for _, el := range sent {
		m, _ := el.(map[string]any)
		key, _ := m["key"].(string)
		if values := there[key]; len(values) != 1 || !reflect.DeepEqual(values[0], m["value"]) {
			return false
		}
	}
	return true
}
