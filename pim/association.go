package pim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// MaxAssociations bounds the associations of one type that a product has.
const MaxAssociations = 1000

// MaxQuantity bounds the quantity of an association.
const MaxQuantity = 1_000_000_000

// AssociationType is a way in which products belong together: what is bought with
// them, what replaces them, what a pack holds.
type AssociationType struct {
	Code       string            `json:"code"`
	Labels     map[Locale]string `json:"labels,omitempty"`
	TwoWay     bool              `json:"two_way,omitempty" doc:"Each product has the others that have it: an edit of one side is one of the other"`
	Quantified bool              `json:"quantified,omitempty" doc:"How many of each belong to the product, such as in a pack; never two_way"`
}

// CheckAssociationType checks a definition. It gives every problem with its
// pointer. A type that the schema has stays two_way and quantified as it is:
// associations were made by that.
func (s *Schema) CheckAssociationType(t *AssociationType) []Problem {
	var ps problems
	ps.note("/code", "association_type.code", ValidCode("association type", t.Code))
	ps.labels("/labels", t.Labels)
	if t.TwoWay && t.Quantified {
		ps.add("/quantified", "association_type.quantified", "a two-way type has no quantities: whose would they be?")
	}
	if old := s.Associations[t.Code]; old != nil && (old.TwoWay != t.TwoWay || old.Quantified != t.Quantified) {
		ps.add("", "association_type.fixed", "the type is there: its two_way and quantified stay as they are")
	}
	return ps
}

// Association is a product that another one is associated with.
type Association struct {
	SKU      SKU
	Quantity int // of a quantified type, from 1; else 0
}

// Associations are a product's, in their order, by the code of their type; a type
// without any is not among them. In JSON they are arrays of SKUs, or, of
// quantified types, of {"sku", "quantity"}.
type Associations map[string][]Association

// MarshalJSON writes an association that has no quantity as its SKU.
func (a Association) MarshalJSON() ([]byte, error) {
	if a.Quantity == 0 {
		return AppendJSONString(nil, string(a.SKU)), nil
	}
	b := AppendJSONString([]byte(`{"sku":`), string(a.SKU))
	return append(strconv.AppendInt(append(b, `,"quantity":`...), int64(a.Quantity), 10), '}'), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Association) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &a.SKU)
	}
	var full struct {
		SKU      SKU `json:"sku"`
		Quantity int `json:"quantity"`
	}
	err := json.Unmarshal(b, &full)
	a.SKU, a.Quantity = full.SKU, full.Quantity
	return err
}

// Equal reports whether both are the same, in the same order.
func (a Associations) Equal(b Associations) bool {
	return maps.EqualFunc(a, b, slices.Equal[[]Association])
}

// Clone copies it; nil stays none.
func (a Associations) Clone() Associations {
	out := make(Associations, len(a))
	for t, list := range a {
		out[t] = slices.Clone(list)
	}
	return out
}

// Has reports whether a product is among those of a type.
func (a Associations) Has(t string, sku SKU) bool {
	return slices.ContainsFunc(a[t], func(x Association) bool { return x.SKU == sku })
}

// With is a with a product behind the others of a type, if it is not among them.
func (a Associations) With(t string, sku SKU) {
	if !a.Has(t, sku) {
		a[t] = append(slices.Clip(a[t]), Association{SKU: sku})
	}
}

// Without takes a product from those of a type.
func (a Associations) Without(t string, sku SKU) {
	if a[t] = slices.DeleteFunc(slices.Clone(a[t]), func(x Association) bool { return x.SKU == sku }); len(a[t]) == 0 {
		delete(a, t)
	}
}

// DecodeAssociations reads a body's associations, which stand at pointer: by type an
// array of SKUs and {"sku", "quantity"}, or null for none. The error is *Invalid.
func DecodeAssociations(v any, pointer string) (Associations, error) {
	m, ok := object(v)
	if !ok {
		return nil, invalid(pointer, "field.type", "an object of association type → products is expected, not "+jsonKind(v))
	}
	var ps problems
	out := make(Associations, len(m))
	for _, t := range slices.Sorted(maps.Keys(m)) {
		at := JoinPointer(pointer, t)
		list, isList := m[t].([]any)
		if !isList && m[t] != nil {
			ps.add(at, "field.type", "an array of SKUs is expected, not "+jsonKind(m[t]))
		}
		out[t] = make([]Association, len(list))
		for i, el := range list {
			out[t][i] = decodeAssociation(&ps, at+"/"+strconv.Itoa(i), el)
		}
	}
	return out, ps.err()
}

func decodeAssociation(ps *problems, at string, v any) (a Association) {
	m, isObject := v.(map[string]any)
	if !isObject {
		sku, ok := v.(string)
		if !ok {
			ps.add(at, "field.type", `a SKU, or {"sku": …, "quantity": …}, is expected, not `+jsonKind(v))
		}
		return Association{SKU: SKU(sku)}
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		switch name {
		case "sku":
			sku, ok := m[name].(string)
			if !ok {
				ps.add(at+"/sku", "field.type", "a string is expected, not "+jsonKind(m[name]))
			}
			a.SKU = SKU(sku)
		case "quantity":
			n, _ := m[name].(json.Number)
			q, err := strconv.Atoi(string(n))
			if err != nil || q < 1 || q > MaxQuantity {
				ps.add(at+"/quantity", "association.quantity", fmt.Sprintf("a quantity is a whole number from 1 to %d", MaxQuantity))
			}
			a.Quantity = q
		default:
			ps.add(JoinPointer(at, name), "field.unknown", "only sku and quantity are expected")
		}
	}
	return a
}

// CheckAssociations checks what a product shall be associated with, which stands at
// pointer. The error is *Invalid: association_type.unknown, association.many, those of
// SKUs, association.self, association.twice, association.quantity.
func (s *Schema) CheckAssociations(sku SKU, a Associations, pointer string) error {
	var ps problems
	for _, t := range slices.Sorted(maps.Keys(a)) {
		at := JoinPointer(pointer, t)
		kind := s.Associations[t]
		switch {
		case len(a[t]) == 0:
			continue // none, whatever the type is
		case kind == nil:
			ps.add(at, "association_type.unknown", fmt.Sprintf("there is no association type %s", quote(t)))
			continue
		case len(a[t]) > MaxAssociations:
			ps.add(at, "association.many", fmt.Sprintf("a product has at most %d associations of a type", MaxAssociations))
			continue
		}
		seen := make(map[SKU]bool, len(a[t]))
		for i, x := range a[t] {
			at := at + "/" + strconv.Itoa(i)
			code, detail := skuFault(string(x.SKU))
			switch {
			case code != "":
				ps.add(at, code, detail)
			case x.SKU == sku:
				ps.add(at, "association.self", "a product is not associated with itself")
			case seen[x.SKU]:
				ps.add(at, "association.twice", fmt.Sprintf("product %s stands more than once", quote(string(x.SKU))))
			case kind.Quantified && x.Quantity == 0:
				ps.add(at, "association.quantity", `the type is quantified: give {"sku": …, "quantity": …}`)
			case !kind.Quantified && x.Quantity != 0:
				ps.add(at, "association.quantity", "the type is not quantified: give the SKU alone")
			}
			seen[x.SKU] = true
		}
	}
	return ps.err()
}

// AssociationTypesInOrder are the schema's association types, by their codes.
func (s *Schema) AssociationTypesInOrder() []*AssociationType {
	return slices.SortedFunc(maps.Values(s.Associations), func(a, b *AssociationType) int { return cmp.Compare(a.Code, b.Code) })
}
