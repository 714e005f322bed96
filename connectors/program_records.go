package connectors

import (
	"github.com/sluicehub/sluice/pim"
)

// allRecords is the variable records: of each attribute that refers to a reference
// entity the record, or the records, that this channel and locale see.
func (v *view) allRecords() map[string]any {
	if v.records != nil {
		return v.records
	}
	v.records = map[string]any{}
	for code := range v.subject.Values {
		a := v.schema.Attributes[code]
		if a == nil || a.Type != pim.TypeEntity && a.Type != pim.TypeEntities {
			continue
		}
		found, _ := v.lookUp(code, string(v.scope.Channel), string(v.scope.Locale))
		if shown := v.recordsNamed(a.Entity, found, v.record); shown != nil {
			v.records[code] = shown
		}
	}
	return v.records
}

// recordsNamed are the record, or the records, of an entity that a value names. nil:
// there is none.
func (v *view) recordsNamed(entity string, found any, show func(entity string, r *Record) map[string]any) any {
	switch found := found.(type) {
	case string:
		if r := v.subject.Records[pim.RecordRef(entity, found)]; r != nil {
			return show(entity, r)
		}
	case []any:
		list := make([]any, 0, len(found))
		for _, el := range found {
			if named, ok := el.(string); ok {
				if r := v.subject.Records[pim.RecordRef(entity, named)]; r != nil {
					list = append(list, show(entity, r))
				}
			}
		}
		return list
	}
	return nil
}

// record is what expressions see of a record that the product names: recordAlone, and,
// where its entity refers to others, the records that it names, by its attributes.
func (v *view) record(entity string, r *Record) map[string]any {
	shown := v.recordAlone(entity, r)
	e := v.schema.Entities[entity]
	if e == nil {
		return shown
	}
	var records map[string]any
	for i := range e.Attributes {
		a := &e.Attributes[i]
		if a.Type != pim.TypeEntity && a.Type != pim.TypeEntities {
			continue
		}
		if records == nil {
			records = map[string]any{}
			shown["records"] = records
		}
		found, ok := r.Values[a.Code]
		if ok && a.Localizable {
			found, _ = v.inChain(found, v.scope.Locale)
		}
		if named := v.recordsNamed(a.Entity, found, v.recordAlone); named != nil {
			records[a.Code] = named
		}
	}
	return shown
}

// recordAlone is of a record its code, what it is called in the channel's locale or by
// its fallbacks (its code where it has no label there), its labels, and its values in
// that locale.
func (v *view) recordAlone(entity string, r *Record) map[string]any {
	label, labels := r.Code, make(map[string]any, len(r.Labels))
	for _, l := range v.schema.Chain(v.scope.Locale) {
		if text := r.Labels[l]; text != "" {
			label = text
			break
		}
	}
	for l, text := range r.Labels {
		labels[string(l)] = text
	}
	return map[string]any{"code": r.Code, "label": label, "labels": labels, "values": v.recordValues(entity, r)}
}

func (v *view) recordValues(entity string, r *Record) map[string]any {
	values := map[string]any{}
	e := v.schema.Entities[entity]
	if e == nil {
		return values
	}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		found, ok := r.Values[a.Code]
		if ok && a.Localizable {
			found, ok = v.inChain(found, v.scope.Locale)
		}
		if ok && a.Type == pim.TypeMedia && v.subject.Pictures != nil {
			found, ok = v.show(found)
		}
		if ok && found != nil {
			values[a.Code] = found
		}
	}
	return values
}

// allAssociations is the variable associations: by type the SKUs of the products, or
// of a type that counts them {sku, quantity}.
func (v *view) allAssociations() map[string]any {
	if v.associations == nil {
		v.associations = make(map[string]any, len(v.subject.Associations))
		for t, list := range v.subject.Associations {
			shown := make([]any, len(list))
			for i, a := range list {
				if shown[i] = string(a.SKU); a.Quantity > 0 {
					shown[i] = map[string]any{"sku": string(a.SKU), "quantity": int64(a.Quantity)}
				}
			}
			v.associations[t] = shown
		}
	}
	return v.associations
}
