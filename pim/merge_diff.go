package pim

import (
	"encoding/json"
	"reflect"
)

// Change is one attribute's values before and after an edit; nil: none.
type Change struct {
	Old any `json:"old"`
	New any `json:"new"`
}

// Diff gives the attributes whose values differ, and the lanes that they travel
// on. Numbers are compared by what they are worth: 1.0 is 1.00. An attribute that
// the schema does not know travels as content.
func Diff(old, new Values, s *Schema) (changed map[string]Change, lanes Lanes) {
	note := func(code string, before, after any) {
		if changed == nil {
			changed = make(map[string]Change)
		}
		changed[code] = Change{Old: before, New: after}
		lane := Content
		if a := s.Attributes[code]; a != nil {
			lane = a.Lane()
		}
		lanes |= Lanes(lane)
	}
	for code, before := range old {
		if after := new[code]; !EqualJSON(before, after) {
			note(code, before, after)
		}
	}
	for code, after := range new {
		if _, had := old[code]; !had && after != nil {
			note(code, nil, after)
		}
	}
	return changed, lanes
}

// EmptyJSON reports whether a member of decoded JSON that says this says no more than one
// that is left out: null, false, 0, or what holds nothing but such.
func EmptyJSON(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case json.Number:
		return EqualJSON(v, json.Number("0"))
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, w := range v {
			if !EmptyJSON(w) {
				return false
			}
		}
		return true
	}
	return false
}

// EqualJSON compares decoded JSON; numbers by what they are worth.
func EqualJSON(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		s, ok := b.(string)
		return ok && s == a
	case bool:
		t, ok := b.(bool)
		return ok && t == a
	case json.Number:
		n, ok := b.(json.Number)
		return ok && (n == a || numberKey(string(n)) == numberKey(string(a)))
	case []any:
		l, ok := b.([]any)
		if !ok || len(l) != len(a) {
			return false
		}
		for i := range a {
			if !EqualJSON(a[i], l[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		m, ok := b.(map[string]any)
		if !ok || len(m) != len(a) {
			return false
		}
		for k, v := range a {
			w, has := m[k]
			if !has || !EqualJSON(v, w) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}
