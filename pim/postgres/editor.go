package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sluicehub/sluice/pim"
)

// editor works edits out against what is stored. It does no I/O.
type editor struct {
	schema   *pim.Schema
	have     map[pim.SKU]*current
	siblings map[axisOf]pim.SKU
	holders  map[pim.UniqueValue]pim.SKU // of unique values, as far as edits name them
	missing  map[string]bool             // keys of records that there are not
	links    *associating                // nil: associations are only checked
}

func newEditor(schema *pim.Schema, have map[pim.SKU]*current, siblings map[axisOf]pim.SKU, holders map[pim.UniqueValue]pim.SKU) *editor {
	if siblings == nil {
		siblings = map[axisOf]pim.SKU{}
	}
	return &editor{schema: schema, have: have, siblings: siblings, holders: holders}
}

// work fills result, and gives the write that the edit needs; ok is false when
// there is nothing to write, or when it failed.
func (w *editor) work(at int, e *Edit, result *EditResult) (wr write, ok bool) {
	*result = EditResult{SKU: e.SKU}
	was := w.have[e.SKU]
	exists := was != nil && !was.Deleted
	switch {
	case !exists && e.Mode != Put && e.Mode != Merge:
		result.Err = ErrNotFound
	case !exists && e.IfMatch != 0, exists && e.IfMatch != 0 && e.IfMatch != was.Rev:
		result.Err = ErrStale
	case exists && e.IfNoneMatch:
		result.Err = ErrExists
	case e.Mode == Delete && was.Variants:
		result.Err = fmt.Errorf("product %s has variants: %w", e.SKU, ErrInUse)
	}
	if result.Err != nil {
		return write{}, false
	}
	if e.Mode == Delete {
		wr = w.delete(at, was)
		w.took(e.SKU, wr.uniques)
		was.Deleted = true // for variants of it further down
		return wr, true
	}
	wr, problems := w.upsert(at, e, was, exists, result)
	if len(problems) > 0 {
		result.Err = &pim.Invalid{Problems: problems}
		return write{}, false
	}
	if exists {
		result.ID, result.Rev = pim.ProductID(was.ID), was.Rev
	}
	if wr.event == "" {
		return write{}, false
	}
	w.took(e.SKU, wr.uniques)
	if wr.axis != nil {
		w.siblings[axisOf{*wr.parentID, *wr.axis}] = e.SKU
	}
	if exists { // for variants of it further down
		was.Family, was.FamilyVariant = wr.family, ""
		if wr.variant != nil {
			was.FamilyVariant = *wr.variant
		}
	}
	if wr.parentRev != nil { // it is new there, or has moved there
		w.have[*e.Parent].Variants = true
	}
	result.Created = !exists
	return wr, true
}

func (w *editor) delete(at int, was *current) write {
	wr := write{
		at: at, id: was.ID, rev: was.Rev, sku: was.SKU, family: was.Family, enabled: was.Enabled, deleted: true,
		lanes: pim.LanesOf(pim.Content), values: was.Values, event: pim.EventProductDeleted, comes: w.linked(),
		categories: texts(was.Categories), records: texts(was.Records), variant: optional(was.FamilyVariant), alone: was.FamilyVariant != "",
	}
	if was.ParentID != 0 {
		wr.parentID, wr.oldParent = &was.ParentID, &was.ParentID
	}
	if was.RootID != 0 {
		wr.oldRoot = &was.RootID
	}
	gone := changes{
		Family: &pim.Change{Old: was.Family}, Enabled: &pim.Change{Old: was.Enabled}, Variant: differs(was.FamilyVariant, ""),
	}
	if was.Parent != "" {
		gone.Parent = &pim.Change{Old: was.Parent}
	}
	if len(was.Categories) > 0 {
		gone.Categories = &pim.Change{Old: was.Categories}
	}
	if before, err := pim.DecodeStored(was.Values); err == nil {
		gone.Values, _ = pim.Diff(before, nil, w.schema)
		wr.uniques = uniquesOf(w.schema, before, nil)
	}
	wr.data = mustJSON(gone)
	return wr
}

// changes is the data of a product's event: what was there before and what is
// there now, so that its events are its history, also of an earlier life: a
// deletion says what went. A creation says only what the product started as:
// its values are what all later events started from.
type changes struct {
	Values     map[string]pim.Change `json:"values,omitempty"`
	Family     *pim.Change           `json:"family,omitempty"`
	Enabled    *pim.Change           `json:"enabled,omitempty"`
	Categories *pim.Change           `json:"categories,omitempty"`
	Variant    *pim.Change           `json:"family_variant,omitempty"`
	Parent     *pim.Change           `json:"parent,omitempty"`
	// Associations are all of them, of all types.
	Associations *pim.Change `json:"associations,omitempty"`
}

func (w *editor) upsert(at int, e *Edit, was *current, exists bool, result *EditResult) (write, []pim.Problem) {
	var problems []pim.Problem
	add := func(pointer, code, format string, args ...any) {
		problems = append(problems, pim.Problem{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)})
	}
	if err := pim.ValidSKU(string(e.SKU)); err != nil {
		add("/sku", "sku", "%v", err)
	}
	next := current{Enabled: true, Categories: []string{}}
	var before pim.Values
	if exists {
		next = *was
		var err error
		if before, err = pim.DecodeStored(was.Values); err != nil {
			add("/values", "values.stored", "the stored values cannot be read")
			return write{}, problems
		}
	} else if was != nil {
		next.ID, next.Rev = was.ID, was.Rev
	}
	w.setFields(e, exists, &next, add)

	values := w.spared(e, exists, next.Family)
	afterValues := values
	if e.Mode != Put {
		afterValues = pim.PatchValues(before, values)
	}
	clean, warnings, err := w.schema.CheckEdit(next.Family, afterValues, before, "/values")
	own, pruned := before, false
	if err != nil && exists && next.Family == was.Family && e.Mode != Put {
		if own, pruned = w.prune(before, values, next.Family); pruned {
			afterValues = pim.PatchValues(own, values)
			clean, warnings, err = w.schema.CheckEdit(next.Family, afterValues, own, "/values")
		}
	}
	axes := clean
	if err != nil {
		axes = afterValues // whatever else is wrong: is there a value for each axis?
		invalid, _ := errors.AsType[*pim.Invalid](err)
		for _, p := range invalid.Problems {
			if !told(problems, p.Pointer) {
				problems = append(problems, p)
			}
		}
	}
	var had []string // what a deleted product named may be gone
	if exists {
		had = was.Records
	}
	if e.Associations != nil {
		if problems = append(problems, w.associations(e)...); w.links != nil {
			problems = append(problems, w.links.full(e, exists)...)
		}
	}
	named, unknown := w.records(clean, had)
	problems = append(problems, unknown...)
	result.Warnings = append(slices.Clone(e.Known), warnings...)
	if e.Categories != nil {
		result.Warnings = append(result.Warnings, w.schema.CheckCategories(next.Categories, "/categories")...)
	}
	addNew := func(pointer, code, format string, args ...any) {
		if !told(problems, pointer) {
			add(pointer, code, format, args...)
		}
	}
	if err == nil && !told(problems, "/parent") {
		given := own
		if exists && (next.FamilyVariant != was.FamilyVariant || next.Family != was.Family) {
			given = nil
		}
		w.place(&next, given, clean, addNew)
	}
	axis := w.axis(e.SKU, &next, axes, addNew)
	unique := uniquesOf(w.schema, before, clean)
	w.free(e.SKU, unique, add)
	if len(problems) > 0 {
		return write{}, problems
	}

	changed, lanes := pim.Diff(own, clean, w.schema)
	ch := changes{Values: changed}
	if e.Associations != nil && w.links != nil {
		var doubts []pim.Problem
		ch.Associations, doubts = w.links.set(e, exists)
		result.Warnings = append(result.Warnings, doubts...)
	}
	wr := write{
		at: at, id: next.ID, rev: next.Rev, sku: e.SKU, family: next.Family, variant: optional(next.FamilyVariant), axis: axis,
		enabled: next.Enabled, media: lanes.Has(pim.Media), lanes: lanes | pim.LanesOf(pim.Content),
		categories: texts(next.Categories), records: texts(w.schema.RecordRefs(clean)), named: named, values: pim.AppendJSON(nil, clean), uniques: unique,
	}
	if next.ParentID != 0 {
		wr.parentID = &next.ParentID
	}
	if !exists {
		if was == nil {
			wr.id, wr.rev = 0, 0
		} else {
			wr.lanes |= pim.LanesOf(pim.Offer, pim.Media) // a new life: whatever it still has is listed again
			if was.ParentID != 0 && was.ParentID != next.ParentID {
				if wr.oldParent = &was.ParentID; was.RootID != 0 {
					wr.oldRoot = &was.RootID
				}
			}
		}
		if next.ParentID != 0 {
			parent := w.have[next.Parent]
			wr.parentRev = &parent.Rev
			// It may show pictures of theirs. A root model above a sub-model is not held: it may just be given some.
			if parent.MediaRev > 0 || next.RootID != 0 {
				wr.lanes |= pim.LanesOf(pim.Media)
			}
		}
		ch.Values = nil
		wr.comes = w.linked()
		wr.event = pim.EventProductCreated
		wr.data = pim.AppendJSON(nil, map[string]any{"family": next.Family, "enabled": next.Enabled})
		return wr, nil
	}
	ch.Family = differs(was.Family, next.Family)
	ch.Enabled = differs(was.Enabled, next.Enabled)
	ch.Variant = differs(was.FamilyVariant, next.FamilyVariant)
	if ch.Parent = differs(was.Parent, next.Parent); ch.Parent != nil {
		wr.oldParent, wr.parentRev = &was.ParentID, &w.have[next.Parent].Rev
		wr.media, wr.lanes = true, wr.lanes|pim.LanesOf(pim.Media)
	}
	wr.alone = was.FamilyVariant != "" && (ch.Family != nil || ch.Variant != nil)
	if !slices.Equal(was.Categories, next.Categories) {
		ch.Categories = &pim.Change{Old: was.Categories, New: next.Categories}
	}
	if len(changed) == 0 && ch.Family == nil && ch.Enabled == nil && ch.Variant == nil && ch.Categories == nil && ch.Associations == nil && ch.Parent == nil {
		return write{}, nil
	}
	if pruned {
		ch.Values, lanes = pim.Diff(before, clean, w.schema)
		wr.media, wr.lanes = wr.media || lanes.Has(pim.Media), wr.lanes|lanes
	}
	wr.comes = (ch.Enabled != nil || ch.Parent != nil) && w.linked() // a model above it may be disabled
	if ch.Enabled != nil && next.Enabled {
		wr.lanes |= pim.LanesOf(pim.Offer, pim.Media)
	}
	wr.event = pim.EventProductUpdated
	wr.data = mustJSON(ch)
	return wr, nil
}

// spared are an edit's values without what it can spare.
func (w *editor) spared(e *Edit, exists bool, family string) pim.Values {
	if _, given := e.Values[e.Spare]; !given || !exists || !e.KeepFamily {
		return e.Values
	}
	f := w.schema.Families[family]
	if f == nil || slices.ContainsFunc(f.Attributes, func(a pim.FamilyAttribute) bool { return a.Code == e.Spare }) {
		return e.Values
	}
	values := maps.Clone(e.Values)
	delete(values, e.Spare)
	return values
}

type adder = func(pointer, code, format string, args ...any)

// setFields takes all but the values from the edit.
func (w *editor) setFields(e *Edit, exists bool, next *current, add adder) {
	if e.Family != nil && (!exists || !e.KeepFamily) {
		next.Family = *e.Family
	}
	if next.Family == "" {
		add("/family", "family.missing", "a product needs a family")
	} else if w.schema.Families[next.Family] == nil {
		add("/family", "family.unknown", "there is no family %q", next.Family)
	}
	if e.Enabled != nil {
		next.Enabled = *e.Enabled
	} else if e.Mode == Put {
		next.Enabled = true
	}
	if e.Categories != nil {
		next.Categories = append([]string{}, *e.Categories...)
		for i, c := range next.Categories {
			if err := pim.ValidCode("category", c); err != nil {
				add(fmt.Sprintf("/categories/%d", i), "category", "%v", err)
			} else if slices.Contains(next.Categories[:i], c) {
				add(fmt.Sprintf("/categories/%d", i), "category.twice", "category %q is named twice", c)
			}
		}
		if len(next.Categories) > 1000 {
			add("/categories", "category.many", "a product is in at most 1000 categories")
		}
	} else if e.Mode == Put {
		next.Categories = []string{}
	}
	if e.FamilyVariant != nil {
		next.FamilyVariant = *e.FamilyVariant
	} else if e.Mode == Put && !next.Variants {
		next.FamilyVariant = "" // with variants it is fixed, as a parent is
	}
	known := next.FamilyVariant == "" || w.schema.Families[next.Family].Variant(next.FamilyVariant) != nil
	if !known {
		add("/family_variant", "family_variant.unknown", "family %q has no family variant %q", next.Family, next.FamilyVariant)
	}
	w.setParent(e, exists, next, add)
	if parent := w.have[next.Parent]; known && next.ParentID != 0 && parent != nil {
		w.setModel(e, parent, next, add)
	}
	if was := w.have[e.SKU]; exists && was.Variants {
		// Its variants are of its family, and told apart by its family variant's axes.
		if next.Family != was.Family {
			add("/family", "family.variants", "the product has variants of family %q: delete them first", was.Family)
		}
		if next.FamilyVariant != was.FamilyVariant {
			add("/family_variant", "family_variant.variants", "the product has variants by %q: delete them first", was.FamilyVariant)
		}
	}
}

// records gives the keys of the records that values name anew, and what is wrong
// with those that there are not.
func (w *editor) records(values pim.Values, had []string) (named []string, problems []pim.Problem) {
	for _, ref := range w.schema.RecordRefs(values) {
		if slices.Contains(had, ref) {
			continue // it cannot be deleted
		}
		if named = append(named, ref); w.missing[ref] {
			entity, code := pim.SplitRef(ref)
			problems = append(problems, pim.Problem{
				Pointer: w.schema.RecordPlaces(values, "/values")[ref], Code: "record.unknown", Detail: fmt.Sprintf("reference entity %s has no record %q", entity, code),
			})
		}
	}
	return named, problems
}

// linked reports whether products may be associated with others.
func (w *editor) linked() bool { return len(w.schema.Associations) > 0 }

// associations checks the types that an edit names.
func (w *editor) associations(e *Edit) []pim.Problem {
	invalid, _ := errors.AsType[*pim.Invalid](w.schema.CheckAssociations(e.SKU, *e.Associations, "/associations"))
	if invalid == nil {
		return nil
	}
	return invalid.Problems
}

// told reports whether the place pointer has a problem already.
func told(problems []pim.Problem, pointer string) bool {
	return slices.ContainsFunc(problems, func(p pim.Problem) bool { return p.Pointer == pointer })
}

// prune gives stored values without what the schema has no place for any more:
// attributes that the family lost, and channels that are gone. Nobody could
// mend these, so they must not keep a product from being edited, and they go
// with its next change. What patch names stays for the check to find.
func (w *editor) prune(stored, patch pim.Values, family string) (out pim.Values, pruned bool) {
	f := w.schema.Families[family]
	if f == nil {
		return stored, false
	}
	out = maps.Clone(stored)
	for code, v := range stored {
		if _, named := patch[code]; named {
			continue
		}
		a := w.schema.Attributes[code]
		if a == nil || !slices.ContainsFunc(f.Attributes, func(m pim.FamilyAttribute) bool { return m.Code == code }) {
			delete(out, code)
			pruned = true
			continue
		}
		scopes, ok := v.(map[string]any)
		if !ok || !a.Scopable {
			continue
		}
		kept := maps.Clone(scopes)
		maps.DeleteFunc(kept, func(channel string, _ any) bool { return !w.schema.Channels[pim.ChannelCode(channel)] })
		if len(kept) != len(scopes) {
			out[code], pruned = kept, true
		}
	}
	return out, pruned
}

func differs[T comparable](old, now T) *pim.Change {
	if old == now {
		return nil
	}
	return &pim.Change{Old: old, New: now}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// texts writes a list of texts as JSON.
func texts(list []string) []byte {
	b := []byte{'['}
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = pim.AppendJSONString(b, s)
	}
	return append(b, ']')
}

// mustJSON encodes what is made of decoded JSON and plain fields, which always can be.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("postgres: encode: " + err.Error())
	}
	return b
}
