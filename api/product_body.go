package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ProductEdit describes the body of an edit. It is never made: ReadProduct
// reads the body straight into what the store takes.
type ProductEdit struct {
	SKU           string        `json:"sku,omitempty" doc:"As in the address, if given at all"`
	Family        string        `json:"family,omitempty" doc:"Needed by a product that is not there yet"`
	Parent        *string       `json:"parent,omitempty" nullable:"true" doc:"SKU of the model right above it. Once the product exists, a variant moves between the sub-models of its root model alone"`
	FamilyVariant *string       `json:"family_variant,omitempty" nullable:"true" doc:"Of a root model: in which axes what stands below it differs; a sub-model has its parent's"`
	Enabled       *bool         `json:"enabled,omitempty" default:"true" doc:"false takes the product off every channel"`
	Categories    *[]string     `json:"categories,omitempty"`
	Associations  *productLinks `json:"associations,omitempty" doc:"By association type the SKUs of other products, or of a quantified type {sku, quantity}. A type that is named is replaced; left out, all stay as they are"`
	Values        object        `json:"values,omitempty" doc:"Attribute code → value; a localizable one is an object of locale → value, a scopable one of channel code → value. In a merge patch null removes."`
}

// ReadProduct reads the body of a PUT or PATCH of sku, in one pass over raw. All
// faults of the body itself come at once as *pim.Invalid; what its values mean
// is the store's to check.
func ReadProduct(raw []byte, sku pim.SKU, mode postgres.EditMode) (postgres.Edit, error) {
	e := postgres.Edit{SKU: sku, Mode: mode}
	v, err := pim.DecodeJSON(raw, pim.MaxDepth+1)
	if err != nil {
		return e, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return e, &pim.Invalid{Problems: []pim.Problem{{Code: "json.not_object", Detail: "a product is an object, not " + kindOf(v)}}}
	}
	return editOf(m, sku, mode)
}

// editOf is ReadProduct of what is decoded already.
func editOf(m map[string]any, sku pim.SKU, mode postgres.EditMode) (postgres.Edit, error) {
	e := postgres.Edit{SKU: sku, Mode: mode}
	var b binder
	for name, v := range m {
		switch name {
		case "sku":
			if v != string(sku) {
				b.fault("/sku", "field.address", fmt.Sprintf("the address says %q", sku))
			}
		case "family":
			e.Family = text(&b, "/family", v)
		case "parent":
			e.Parent = orNone[pim.SKU](&b, "/parent", v)
		case "family_variant":
			e.FamilyVariant = orNone[string](&b, "/family_variant", v)
		case "enabled":
			if is, ok := v.(bool); ok {
				e.Enabled = &is
			} else {
				b.wrong("/enabled", "true or false", v)
			}
		case "categories":
			e.Categories = codes(&b, "/categories", v)
		case "associations":
			e.Associations = b.associations("/associations", v)
		case "values":
			if values, ok := v.(map[string]any); ok {
				e.Values = values
			} else {
				b.wrong("/values", "an object of attribute code → value", v)
			}
		default:
			b.fault(pim.JoinPointer("", name), "field.unknown", fmt.Sprintf("a product has no field %q", clip(name)))
		}
	}
	if len(b.problems) > 0 {
		slices.SortFunc(b.problems, func(x, y pim.Problem) int { return strings.Compare(x.Pointer, y.Pointer) })
		return e, &pim.Invalid{Problems: b.problems}
	}
	return e, nil
}

func text(b *binder, at string, v any) *string {
	s, ok := v.(string)
	if !ok {
		b.wrong(at, "a string", v)
	}
	return &s
}

// orNone takes null as "", which is how the store says none.
func orNone[T ~string](b *binder, at string, v any) *T {
	var none T
	if v == nil {
		return &none
	}
	s := T(*text(b, at, v))
	return &s
}

func codes(b *binder, at string, v any) *[]string {
	list, ok := v.([]any)
	if !ok && v != nil {
		b.wrong(at, "an array of category codes", v)
		return nil
	}
	out := make([]string, 0, len(list))
	for i, v := range list {
		out = append(out, *text(b, at+"/"+strconv.Itoa(i), v))
	}
	return &out
}

// productLinks are associations in the API's description.
type productLinks map[string][]any

func (b *binder) associations(at string, v any) *pim.Associations {
	a, err := pim.DecodeAssociations(v, at)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		b.problems = append(b.problems, invalid.Problems...)
	}
	return &a
}
