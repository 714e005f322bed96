package woocommerce

import "github.com/sluicehub/sluice/connectors"

// special says what a refusal tells beside its verdict.
type special int

const (
	plain      special = iota
	gone               // the shop holds no object by this id
	duplicate          // another object has this SKU
	unpictured         // the shop has no picture by this id
)

// rule is one line of the verdict table.
type rule struct {
	code     string // "" is any
	from, to int    // statuses; 0 is any
	calls    bool   // only for a call as a whole, not for a row of a batch

	verdict   connectors.Verdict
	uncertain bool
	field     string // the document's field that it is about
	special   special
	hint      string // what to do, for people
}

// verdicts is the one table of what the shop's answers mean; the first line that
// fits counts. The codes are those of WordPress (rest_…) and of WooCommerce's
// controllers and data stores (version 3 to 10).
var verdicts = []rule{
	// Keys and users.
	{code: "woocommerce_rest_authentication_error", verdict: connectors.Auth},
	{code: "woocommerce_rest_authentication_missing_parameter", verdict: connectors.Auth},
	{code: "woocommerce_rest_cannot_view", verdict: connectors.Auth, hint: "the key or its user may not read products"},
	{code: "woocommerce_rest_cannot_create", verdict: connectors.Auth, hint: "the key or its user may not create products"},
	{code: "woocommerce_rest_cannot_edit", verdict: connectors.Auth, hint: "the key or its user may not edit products"},
	{code: "woocommerce_rest_cannot_batch", verdict: connectors.Auth, hint: "the key or its user may not edit products"},
	{code: "woocommerce_rest_user_cannot_delete_product", verdict: connectors.Auth, hint: "the key's user may not delete products"},
	{code: "woocommerce_rest_user_cannot_delete_product_variation", verdict: connectors.Auth, hint: "the key's user may not delete products"},

	// Ids that are not, or no longer, what we remember.
	{code: "woocommerce_rest_product_invalid_id", verdict: connectors.Conflict, special: gone},
	{code: "woocommerce_rest_invalid_product_id", verdict: connectors.Conflict, special: gone},
	{code: "woocommerce_rest_product_variation_invalid_id", verdict: connectors.Conflict, special: gone},
	{code: "woocommerce_rest_invalid_product_variation_id", verdict: connectors.Conflict, special: gone},
	{code: "woocommerce_rest_product_variation_invalid_parent", verdict: connectors.Conflict, special: gone},
	{code: "woocommerce_rest_product_exists", verdict: connectors.Conflict, special: gone},

	// Fields.
	{code: "product_invalid_sku", verdict: connectors.Validation, field: "sku", special: duplicate},
	{code: "product_invalid_global_unique_id", verdict: connectors.Validation, field: "global_unique_id"},
	{code: "product_invalid_global_unique_id_format", verdict: connectors.Validation, field: "global_unique_id"},
	{code: "product_invalid_tax_status", verdict: connectors.Validation, field: "tax_status"},
	{code: "product_invalid_catalog_visibility", verdict: connectors.Validation, field: "catalog_visibility"},
	{code: "product_invalid_backorders", verdict: connectors.Validation, field: "backorders"},
	{code: "woocommerce_product_image_upload_error", verdict: connectors.Validation, field: "images"},
	{code: "woocommerce_variation_image_upload_error", verdict: connectors.Validation, field: "images"},
	// The id of a picture that somebody removed from the shop meanwhile: the next
	// try finds it gone and sends its address.
	{code: "woocommerce_product_invalid_image_id", verdict: connectors.Conflict, field: "images", special: unpictured},
	{code: "woocommerce_variation_invalid_image_id", verdict: connectors.Conflict, field: "images", special: unpictured},
	{code: "woocommerce_rest_product_not_created", verdict: connectors.Validation},
	{code: "woocommerce_rest_product_variation_not_created", verdict: connectors.Validation},
	{code: "rest_invalid_param", verdict: connectors.Validation},
	{code: "rest_missing_callback_param", verdict: connectors.Validation},

	// The call.
	{code: "rest_no_route", verdict: connectors.Unavailable, calls: true, hint: "is WooCommerce active, and is this the shop's address?"},
	{code: "woocommerce_rest_request_entity_too_large", verdict: connectors.Permanent, hint: "lower the channel's batch"},

	// Statuses.
	{from: 300, to: 399, calls: true, verdict: connectors.Unavailable, hint: "correct the channel's url"},
	{from: 400, to: 400, verdict: connectors.Validation},
	{from: 401, to: 401, verdict: connectors.Auth},
	{from: 403, to: 403, verdict: connectors.Auth},
	{from: 404, to: 405, calls: true, verdict: connectors.Unavailable, hint: "is this the shop's address, and are its permalinks other than plain?"},
	{from: 410, to: 410, calls: true, verdict: connectors.Unavailable},
	{from: 404, to: 404, verdict: connectors.Conflict, special: gone},
	{from: 408, to: 408, verdict: connectors.Unavailable, uncertain: true},
	{from: 409, to: 409, verdict: connectors.Conflict},
	{from: 412, to: 412, verdict: connectors.Conflict},
	{from: 413, to: 413, verdict: connectors.Permanent},
	{from: 422, to: 422, verdict: connectors.Validation},
	{from: 425, to: 425, verdict: connectors.Unavailable, uncertain: true},
	{from: 429, to: 429, verdict: connectors.Throttled},
	{from: 500, to: 599, verdict: connectors.Unavailable, uncertain: true},
	{verdict: connectors.Permanent},
}

// judge finds the line for a code and a status, of a row of a batch or of a call.
func judge(code string, status int, row bool) rule {
	for _, r := range verdicts {
		if (r.code == "" || r.code == code) && (r.from == 0 || r.from <= status && status <= r.to) && !(row && r.calls) {
			return r
		}
	}
	return rule{verdict: connectors.Permanent}
}
