package akeneo

import (
	"slices"
	"strconv"

	"github.com/sluicehub/sluice/pim"
)

// group is a line of attribute_groups.csv.
func (f *Folder) group(l *line) error {
	code := l.get("code")
	if !isCode("attribute group", code) || slices.ContainsFunc(f.groups, func(g pim.AttributeGroup) bool { return g.Code == code }) {
		f.note(Finding{File: l.file, Line: l.at, Column: "code", Value: code, Code: "attribute_group.code", Text: "the attribute group cannot be called so, or is there twice: it is not taken"})
		return nil
	}
	g := pim.AttributeGroup{Code: code, Labels: l.labels()}
	if n, err := strconv.Atoi(l.get("sort_order")); err == nil && n > 0 {
		g.Position = n
	}
	f.groups = append(f.groups, g)
	return nil
}

// lackedGroups are the attribute groups of the folder, and those that attributes
// name beside them, which the store lacks.
func (f *Folder) lackedGroups(have *pim.Schema, attributes []pim.Attribute) (groups []pim.AttributeGroup) {
	known := func(code string) bool {
		return have.Groups[code] != nil || slices.ContainsFunc(groups, func(g pim.AttributeGroup) bool { return g.Code == code })
	}
	for _, g := range f.groups {
		if !known(g.Code) {
			groups = append(groups, g)
		}
	}
	for i := range attributes {
		if code := attributes[i].Group; code != "" && !known(code) {
			groups = append(groups, pim.AttributeGroup{Code: code})
		}
	}
	return groups
}
