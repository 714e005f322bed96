package postgres

import (
	"maps"
	"slices"

	"github.com/sluicehub/sluice/pim"
)

// This file is where products stand: below which model, and what may be set
// there. See docs/decisions/027.

// setParent takes the parent from the edit.
func (w *editor) setParent(e *Edit, exists bool, next *current, add adder) {
	if exists { // a Put without a parent leaves it
		if e.Parent != nil && *e.Parent != next.Parent {
			w.move(*e.Parent, next, add)
		}
		if p := w.have[next.Parent]; next.ParentID != 0 && p != nil && p.Family != next.Family {
			add("/family", "family.parent", "a variant is of its parent's family %q", p.Family)
		}
		return
	}
	if e.Parent == nil || *e.Parent == "" {
		return
	}
	parent := w.have[*e.Parent]
	switch {
	case parent == nil || parent.Deleted || parent.ID == 0:
		add("/parent", "parent.unknown", "there is no product %q", *e.Parent)
	case *e.Parent == e.SKU, parent.ParentID != 0 && parent.FamilyVariant == "":
		add("/parent", "parent.variant", "%q is a variant itself", *e.Parent)
	case parent.FamilyVariant == "":
		add("/parent", "parent.axes", "product %q has no family variant, so it has no variants", *e.Parent)
	case parent.Family != next.Family:
		add("/family", "family.parent", "a variant is of its parent's family %q", parent.Family)
	default:
		next.Parent, next.ParentID, next.RootID = *e.Parent, parent.ID, parent.ParentID
	}
}

// move puts a variant below another sub-model of its root model. To targets it
// stays where it is: they know the root model alone.
func (w *editor) move(to pim.SKU, next *current, add adder) {
	target := w.have[to]
	switch {
	case next.RootID == 0 || to == "":
		add("/parent", "parent.fixed", "the parent of an existing product stays as it is; delete the product and create it anew")
	case target == nil || target.Deleted:
		add("/parent", "parent.unknown", "there is no product %q", to)
	case target.ParentID != next.RootID || target.FamilyVariant == "":
		add("/parent", "parent.fixed", "a variant moves between the sub-models of its root model alone, and %q is none of them", to)
	default:
		next.Parent, next.ParentID = to, target.ID
	}
}

// setModel settles by which family variant what stands below a parent has
// variants: a sub-model's is its parent's, and a variant has none.
func (w *editor) setModel(e *Edit, parent, next *current, add adder) {
	if v := e.FamilyVariant; v != nil && *v != "" && *v != parent.FamilyVariant {
		add("/family_variant", "family_variant.parent", "what stands below %q is told apart by its family variant %q", parent.SKU, parent.FamilyVariant)
	}
	if next.FamilyVariant = ""; parent.ParentID == 0 {
		if fv := w.schema.Families[parent.Family].Variant(parent.FamilyVariant); fv != nil && fv.Depth() > 1 {
			next.FamilyVariant = parent.FamilyVariant
		}
	}
}

// standing is the family variant that a model, or what stands below one, is of,
// and its level; nil of other products.
func (w *editor) standing(next *current) (fv *pim.FamilyVariant, level int) {
	by := next
	if next.ParentID != 0 {
		if by = w.have[next.Parent]; by == nil {
			return nil, 0
		}
		if level = 1; by.ParentID != 0 {
			level = 2
		}
	}
	return w.schema.Families[by.Family].Variant(by.FamilyVariant), level
}

// place tells of values that stand at a level which they are not set at. Those
// that stood there before stay: nobody could else edit the product when a family
// variant changed. A variant that repeats an axis of its sub-model, as files do,
// has it from there: clean loses it.
func (w *editor) place(next *current, before, clean pim.Values, add adder) {
	fv, level := w.standing(next)
	if fv == nil || len(fv.Levels) == 0 {
		return
	}
	var changed map[string]pim.Change
	for _, code := range slices.Sorted(maps.Keys(clean)) {
		p := fv.CheckPlace(code, level)
		if p == nil {
			continue
		}
		if own, axis := fv.LevelOf(code); axis && own < level && w.repeats(next, code, clean) {
			delete(clean, code)
			continue
		}
		if changed == nil {
			changed, _ = pim.Diff(before, clean, w.schema)
		}
		if _, is := changed[code]; is {
			add(pim.JoinPointer("/values", code), p.Code, "%s", p.Detail)
		}
	}
}

// repeats reports whether a value is the parent's own.
func (w *editor) repeats(next *current, code string, values pim.Values) bool {
	above, err := pim.DecodeStored(w.have[next.Parent].Values)
	if err != nil || above[code] == nil {
		return false
	}
	differ, _ := pim.Diff(pim.Values{code: above[code]}, pim.Values{code: values[code]}, w.schema)
	return len(differ) == 0
}

// axis is the place of a variant, or a sub-model, among its siblings; nil for
// other products.
func (w *editor) axis(sku pim.SKU, next *current, values pim.Values, add adder) *string {
	fv, level := w.standing(next)
	if fv == nil || level == 0 {
		return nil
	}
	key, problems := pim.AxisKey(fv.AxesAt(level), values, "/values")
	for _, p := range problems {
		add(p.Pointer, p.Code, "%s", p.Detail)
	}
	if len(problems) > 0 {
		return nil
	}
	if other, taken := w.siblings[axisOf{next.ParentID, key}]; taken && other != sku {
		add("/values", "axis.taken", "variant %s of %s has the same axes", other, next.Parent)
		return nil
	}
	return &key
}
