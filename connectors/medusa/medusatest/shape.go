package medusatest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// refused is an answer that is not 2xx.
type refused struct {
	status              int
	code, kind, message string
	page                bool // HTML of what stands before Medusa; message is all of it
}

func (r *refused) Error() string { return r.message }

func invalid(format string, args ...any) *refused {
	return &refused{status: http.StatusBadRequest, kind: "invalid_data", message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *refused {
	return &refused{status: http.StatusNotFound, kind: "not_found", message: fmt.Sprintf(format, args...)}
}

// unknown is what Medusa answers when something in it breaks.
func unknown() *refused {
	return &refused{status: http.StatusInternalServerError, code: "unknown_error", kind: "unknown_error", message: "An unknown error occurred."}
}

// misshapen is a body that no right client sends.
type misshapen struct{ *refused }

// rule is what one field of a body may be.
type rule struct {
	need bool // must be there
	null bool // may be null
	is   func(any) bool
	list shape // of a list: its elements
	deny string
}

// shape are the fields of an object; others are refused.
type shape map[string]rule

func isText(v any) bool   { _, ok := v.(string); return ok }
func isBool(v any) bool   { _, ok := v.(bool); return ok }
func isMap(v any) bool    { _, ok := v.(map[string]any); return ok }
func isNumber(v any) bool { _, ok := v.(json.Number); return ok }
func isTexts(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(e any) bool { return !isText(e) })
}

func isCount(v any) bool {
	n, ok := v.(json.Number)
	if !ok {
		return false
	}
	f, err := n.Float64()
	return err == nil && f >= 0
}

func isTextMap(v any) bool {
	m, ok := v.(map[string]any)
	for _, e := range m {
		ok = ok && isText(e)
	}
	return ok
}

func isStatus(v any) bool {
	s, _ := v.(string)
	return slices.Contains([]string{"draft", "proposed", "published", "rejected"}, s)
}

func must(is func(any) bool) rule     { return rule{need: true, is: is} }
func may(is func(any) bool) rule      { return rule{is: is} }
func nullable(is func(any) bool) rule { return rule{is: is, null: true} }
func listOf(s shape) rule             { return rule{list: s} }

// plus is a shape with more fields.
func (s shape) plus(more shape) shape {
	all := maps.Clone(s)
	maps.Copy(all, more)
	return all
}

// The shapes of Medusa's validators (medusa/api/admin/*/validators, 2.21.2), as
// far as the connector needs them.
var (
	idShape     = shape{"id": must(isText)}
	commonShape = shape{
		"weight": nullable(isNumber), "length": nullable(isNumber), "height": nullable(isNumber), "width": nullable(isNumber),
		"hs_code": nullable(isText), "mid_code": nullable(isText), "origin_country": nullable(isText), "material": nullable(isText),
		"metadata": nullable(isMap),
	}
	variantShape = commonShape.plus(shape{
		"sku": nullable(isText), "ean": nullable(isText), "upc": nullable(isText), "barcode": nullable(isText),
		"manage_inventory": may(isBool), "allow_backorder": may(isBool), "options": may(isTextMap), "variant_rank": may(isNumber),
	})
	priceShape = shape{
		"currency_code": must(isText), "amount": must(isNumber), "min_quantity": nullable(isNumber), "max_quantity": nullable(isNumber), "rules": may(isTextMap),
	}
	createVariant = variantShape.plus(shape{
		"title": must(isText), "prices": {need: true, list: priceShape},
		"inventory_items": listOf(shape{"inventory_item_id": must(isText), "required_quantity": must(isNumber)}),
	})
	updateVariant = variantShape.plus(shape{"id": must(isText), "title": may(isText), "prices": listOf(priceShape.plus(shape{"id": may(isText)})), "thumbnail": nullable(isText)})
	newOption     = shape{"title": must(isText), "values": must(isTexts), "ranks": may(isMap), "is_exclusive": may(isBool), "metadata": nullable(isMap)}
	productShape  = commonShape.plus(shape{
		"subtitle": nullable(isText), "description": nullable(isText), "discountable": may(isBool), "is_giftcard": may(isBool), "thumbnail": nullable(isText),
		"handle": may(isText), "external_id": nullable(isText), "categories": listOf(idShape), "tags": listOf(idShape), "sales_channels": listOf(idShape),
		"type_id": nullable(isText), "collection_id": nullable(isText),
	})
	createProduct = productShape.plus(shape{
		"title": must(isText), "status": nullable(isStatus), "options": listOf(newOption), "variants": listOf(createVariant),
		"images": listOf(shape{"url": must(isText)}), "shipping_profile_id": may(isText),
	})
	updateProduct = productShape.plus(shape{
		"id": must(isText), "title": may(isText), "status": may(isStatus), "images": listOf(shape{"id": may(isText), "url": must(isText)}),
		"shipping_profile_id": nullable(isText),
		"options":             {deny: "The 'options' property was removed in version 2.16.0. Please remove it from your request payload."},
	})
	productBatch = shape{"create": listOf(createProduct), "update": listOf(updateProduct), "delete": may(isTexts)}
	variantBatch = shape{"create": listOf(createVariant), "update": listOf(updateVariant), "delete": may(isTexts)}
	optionBatch  = shape{
		"add": listOf(newOption), "remove": may(isTexts),
		"update": listOf(shape{"product_option_id": must(isText), "add": listOf(shape{"value": must(isText)}), "remove": may(isTexts)}),
	}
	imageBatch = shape{"add": may(isTexts), "remove": may(isTexts)}
	tieShape   = shape{"inventory_item_id": must(isText), "required_quantity": must(isNumber)}
	levelShape = shape{"inventory_item_id": must(isText), "location_id": must(isText), "stocked_quantity": may(isCount), "incoming_quantity": may(isCount)}
	levelBatch = shape{"create": listOf(levelShape), "update": listOf(levelShape), "delete": may(isTexts), "force": may(isBool)}
	catShape   = shape{
		"name": must(isText), "handle": may(isText), "description": may(isText), "is_active": may(isBool), "is_internal": may(isBool),
		"parent_category_id": nullable(isText), "rank": may(isNumber), "metadata": nullable(isMap),
	}
)

// check holds a body against its shape.
func (s shape) check(body map[string]any, path []string) error {
	for _, name := range slices.Sorted(maps.Keys(body)) {
		r, ok := s[name]
		if !ok {
			return &misshapen{invalid("Invalid request: Unrecognized fields: '%s'", name)}
		}
		if r.deny != "" {
			return &misshapen{invalid("Invalid request: %s", r.deny)}
		}
		at := append(slices.Clone(path), name)
		v := body[name]
		if v == nil && r.null {
			continue
		}
		list, isList := v.([]any)
		switch {
		case r.list != nil && !isList, r.list == nil && !r.is(v):
			return &misshapen{required(at)}
		case r.list != nil:
			for i, e := range list {
				it, ok := e.(map[string]any)
				if !ok {
					return &misshapen{required(append(at, strconv.Itoa(i)))}
				}
				if err := r.list.check(it, append(slices.Clone(at), strconv.Itoa(i))); err != nil {
					return err
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if _, ok := body[name]; s[name].need && !ok {
			return &misshapen{required(append(slices.Clone(path), name))}
		}
	}
	return nil
}

// required is what Medusa says of a field that is missing, and of one whose type
// is wrong.
func required(at []string) *refused {
	return invalid("Invalid request: Field '%s' is required", strings.Join(at, ", "))
}

// objects are the elements of a checked list of objects.
func objects(v any) []map[string]any {
	list, _ := v.([]any)
	var all []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// texts are the elements of a checked list of texts.
func texts(v any) []string {
	list, _ := v.([]any)
	var all []string
	for _, e := range list {
		if s, ok := e.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// str is a checked text; "" for null and for what is not there.
func str(v any) string {
	s, _ := v.(string)
	return s
}
