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
		switch found := found.(type) {
		case string:
			if r := v.record(a.Entity, found); r != nil {
				v.records[code] = r
			}
		case []any:
			list := make([]any, 0, len(found))
			for _, el := range found {
				if named, ok := el.(string); ok {
					if r := v.record(a.Entity, named); r != nil {
						list = append(list, r)
					}
				}
			}
			v.records[code] = list
		}
	}
	return v.records
}

// record is what expressions see of a record: its code, what it is called in the
// channel's locale or by its fallbacks (its code where it has no label there), its labels, and its
// values in that locale. nil: there is none.
func (v *view) record(entity, code string) any {
	r := v.subject.Records[pim.RecordRef(entity, code)]
	if r == nil {
		return nil
	}
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
