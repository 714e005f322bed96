package pim

import (
	"maps"
	"slices"
	"strings"
)

// State is what a product's content revision says: all of it but prices, stock
// and the parent, which stays as it is.
type State struct {
	Family        string
	FamilyVariant string
	Enabled       bool
	Categories    []string
	Values        Values
	Associations  Associations
}

// FieldChange is one value before and after.
type FieldChange struct {
	Field string `json:"field" doc:"Named as in filters: family, categories, values.name.en-GB"`
	Old   any    `json:"old" doc:"null: there was none"`
	New   any    `json:"new" doc:"null: there is none"`
}

// FieldChanges gives what differs between two states of a product, value by
// value, in the order of the fields' names.
func (s *Schema) FieldChanges(before, after State) []FieldChange {
	list := []FieldChange{}
	add := func(field string, old, new any) { list = append(list, FieldChange{field, old, new}) }
	types := maps.Clone(before.Associations)
	if types == nil {
		types = Associations{}
	}
	maps.Copy(types, after.Associations)
	for _, t := range slices.Sorted(maps.Keys(types)) {
		if old, now := before.Associations[t], after.Associations[t]; !slices.Equal(old, now) {
			add("associations."+t, old, now)
		}
	}
	if !slices.Equal(before.Categories, after.Categories) {
		add("categories", before.Categories, after.Categories)
	}
	if before.Enabled != after.Enabled {
		add("enabled", before.Enabled, after.Enabled)
	}
	if before.Family != after.Family {
		add("family", before.Family, after.Family)
	}
	if before.FamilyVariant != after.FamilyVariant {
		add("family_variant", orNull(before.FamilyVariant), orNull(after.FamilyVariant))
	}
	changed, _ := Diff(before.Values, after.Values, s)
	for _, code := range slices.Sorted(maps.Keys(changed)) {
		eachScope("values."+code, changed[code].Old, changed[code].New, s.scopesOf(code), add)
	}
	return list
}

// RecordChanges gives what differs between two states of a record, of which s is
// the RecordSchema, as FieldChanges does: labels.en-GB, values.story.en-GB.
func (s *Schema) RecordChanges(oldLabels, labels map[Locale]string, before, after Values) []FieldChange {
	list := []FieldChange{}
	add := func(field string, old, new any) { list = append(list, FieldChange{field, old, new}) }
	all := map[Locale]bool{}
	for _, m := range []map[Locale]string{oldLabels, labels} {
		for l := range m {
			all[l] = true
		}
	}
	for _, l := range slices.Sorted(maps.Keys(all)) {
		if oldLabels[l] != labels[l] {
			add("labels."+string(l), orNull(oldLabels[l]), orNull(labels[l]))
		}
	}
	changed, _ := Diff(before, after, s)
	for _, code := range slices.Sorted(maps.Keys(changed)) {
		eachScope("values."+code, changed[code].Old, changed[code].New, s.scopesOf(code), add)
	}
	return list
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// scopesOf is how many levels of scopes an attribute's values have.
func (s *Schema) scopesOf(code string) (n int) {
	a := s.Attributes[code]
	if a == nil {
		return 0
	}
	if a.Localizable {
		n++
	}
	if a.Scopable {
		n++
	}
	return n
}

// eachScope adds what differs below field, scope by scope.
func eachScope(field string, old, new any, scopes int, add func(string, any, any)) {
	if EqualJSON(old, new) {
		return
	}
	before, was := object(old)
	after, is := object(new)
	if scopes == 0 || !was && old != nil || !is && new != nil {
		add(field, old, new)
		return
	}
	keys := maps.Clone(before)
	if keys == nil {
		keys = map[string]any{}
	}
	maps.Copy(keys, after)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		eachScope(field+"."+k, before[k], after[k], scopes-1, add)
	}
}

// PatchFields names the fields that a merge patch of values touches, as
// FieldChanges does; a whole attribute or scope where it names no less.
func (s *Schema) PatchFields(patch Values) (fields []string) {
	for _, code := range slices.Sorted(maps.Keys(patch)) {
		fields = touched(fields, "values."+code, patch[code], s.scopesOf(code))
	}
	return fields
}

func touched(fields []string, field string, v any, scopes int) []string {
	m, ok := object(v)
	if !ok || scopes == 0 {
		return append(fields, field)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fields = touched(fields, field+"."+k, m[k], scopes-1)
	}
	return fields
}

// SameField reports whether one of two fields is, or holds, the other.
func SameField(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(b, a+".")
}
