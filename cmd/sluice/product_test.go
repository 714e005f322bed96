//go:build unix

package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A product is made, shown, changed and deleted on the command line.
func TestProductCommands(t *testing.T) {
	t.Parallel()
	env, dir := codeHouse(t), t.TempDir()
	document(t, dir, "house.yaml", `resource: locale
codes: [en-GB, de-DE]
---
resource: currency
codes: [EUR]
---
resource: attribute
code: name
type: text
localizable: true
---
resource: attribute
code: color
type: option
options: [{code: red}, {code: blue}]
---
resource: attribute
code: gtin
type: text
check: gtin
---
resource: family
code: cup
attributes: [{code: name}, {code: color}, {code: gtin}]
variants: [{code: by_color, axes: [color]}]
---
resource: channel
code: shop
connector: webhook
locale: en-GB
currency: EUR
config: {url: {from_env: SHOP_URL}, secret: {from_env: SHOP_SECRET}}
`)
	commanded(t, env, 0, "apply", "-f", filepath.Join(dir, "house.yaml"), "--yes")
	model, variant, patch := filepath.Join(dir, "model.json"), filepath.Join(dir, "variant.json"), filepath.Join(dir, "patch.json")
	document(t, dir, "model.json", `{"family":"cup","family_variant":"by_color","values":{"name":{"en-GB":"Cup","de-DE":"Tasse"}}}`)
	document(t, dir, "variant.json", `{"family":"cup","parent":"CUP","categories":["mugs"],"values":{"color":"red","name":{"en-GB":"Red cup"},"gtin":"4006381333932"}}`)
	document(t, dir, "patch.json", `{"enabled":false,"values":{"name":null}}`)
	spaces := regexp.MustCompile(` {2,}`)
	for _, c := range []struct {
		status     int
		args, want string
	}{
		{0, "product put CUP --file " + model, "Product CUP is there now."},
		{0, "product put CUP-R --file " + variant, "Warning: /values/gtin"},
		{0, "product put CUP-R --file " + variant, "is so already"},
		{0, "product show CUP-R", "values.name.en-GB \"Red cup\" \n"},
		{0, "product show CUP-R", "values.name.de-DE \"Tasse\" CUP\n"},
		{0, "product show CUP-R", "categories mugs"},
		{0, "product show CUP-R", "Warning: /values/gtin"},
		{0, "price set CUP-R 19.90 --currency EUR", "The price of CUP-R in default is changed."},
		{0, "price set CUP-R 17.5 --currency EUR --min-quantity 10 --to 2027-01-01T00:00:00Z", "is changed"},
		{0, "price set CUP-R 19.9 --currency EUR", "is unchanged"},
		{0, "stock set CUP-R --on-hand 4", "is changed"},
		{0, "product show CUP-R", "default EUR 10 17.50 - 2027-01-01T00:00:00Z -"},
		{0, "product show CUP-R", "default 4 0 4"},
		{0, "price set CUP-R --clear --currency EUR", "is changed"},
		{0, "product put CUP-R --file " + patch + " --patch", "is at revision 2 now"},
		{0, "product show CUP-R", "enabled false"},
		{0, "product show CUP-R", "values.name.en-GB \"Cup\" CUP\n"},
		{0, "product list", "CUP-R cup CUP false mugs"},
		{1, "product put NONE --file " + patch + " --patch", "there is no product NONE"},
		{1, "product put CUP-R --file " + model, "axis.missing"},
		{1, "product show NONE", "there is no product NONE"},
		{1, "price set CUP-R --currency EUR", "give an amount, or --clear"},
		{1, "price set CUP-R 1x --currency EUR", "no number"},
		{1, "price set CUP-R 1 --currency XXX", `"XXX"`},
		{1, "product delete CUP", "product CUP has variants"},
		{0, "product delete CUP-R", "Product CUP-R is deleted."},
		{0, "product delete CUP", "Product CUP is deleted."},
		{1, "product delete CUP", "there is no product CUP"},
		{0, "product restore CUP", "is restored"},
		{0, "product history CUP", "product.deleted sluice"},
	} {
		if said := spaces.ReplaceAllString(commanded(t, env, c.status, strings.Fields(c.args)...), " "); !strings.Contains(said, c.want) {
			t.Errorf("%s: %q is not in\n%s", c.args, c.want, said)
		}
	}
	var shown struct {
		SKU    string
		Values map[string]any
	}
	if said := commanded(t, env, 0, "product", "show", "CUP", "--json"); json.Unmarshal([]byte(said), &shown) != nil || shown.SKU != "CUP" || shown.Values["name"] == nil {
		t.Error(said)
	}
}
