//go:build unix

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// houseAsCode is what a merchant writes.
const houseAsCode = `# what there is
resource: locale
code: fr-FR
fallback: en-GB
---
resource: channel
code: shop
connector: webhook
locale: fr-FR
currency: EUR
category_root: shoes
config:
  url: {from_env: SHOP_URL}
  secret: {from_env: SHOP_SECRET}
mapping:
  content:
    title: values.name
policy:
  withdrawal: disable
  stock: {buffer: 2, cap: 40}
---
resource: family
code: shoe
attributes:
  - {code: name, required: true}
  - {code: weight, required_for: [shop]}
---
resource: price-rule
code: dealer-all
price_list: dealer
condition: values.weight.shop > 2 kg and family = shoe
priority: 20
percent: "-15"
---
resource: location
code: berlin
safety_stock: 2
enabled: false
---
resource: price-list
code: dealer
labels: {en-GB: Dealers}
guard: {max_share: 0.2, max_factor: 2}
---
resource: category
code: boots
parent: shoes
position: 0
---
resource: category
code: shoes
labels: {en-GB: Shoes}
---
resource: category
code: sandals
parent: shoes
position: 1
---
resource: attribute
code: name
type: text
localizable: true
max_length: 120
labels: {en-GB: "Name", fr-FR: Nom}
---
resource: attribute
code: weight
type: number
unit: kg
scopable: true
---
resource: rendition
code: thumb
width: 200
height: 200
fit: pad
---
resource: import-profile
code: erp
options: {sku_column: ean}
---
resource: text-rule
code: en-fr
action: translate
from: en-GB
to: [fr-FR]
attributes: [name]
providers: [pseudo]
---
resource: provider
code: pseudo
kind: pseudo
---
resource: notifier
code: ops
kind: webhook
config: {url: "https://alerts.example/in", secret: {from_env: SHOP_SECRET}}
`

// codeHouse is a house that nobody has set anything in, for the command line.
func codeHouse(t *testing.T) (env []string) {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	return []string{
		"DATABASE_URL=" + dbtest.New(t), "SLUICE_KEYSET=" + keys, "SHOP_URL=https://shop.example/items", "SHOP_SECRET=whsec_" + strings.Repeat("QUJD", 10),
		"SLUICE_CHANNEL_SHOP_SECRET=whsec_" + strings.Repeat("QUJD", 10), "SLUICE_NOTIFIER_OPS_SECRET=whsec_" + strings.Repeat("QUJD", 10),
	}
}

// commanded runs a command that is to end with status, and gives what it said.
func commanded(t *testing.T, env []string, status int, args ...string) string {
	t.Helper()
	stdout, stderr, got := output(t, env, args...)
	if got != status {
		t.Fatalf("%v: %d, want %d\n%s%s", args, got, status, stdout, stderr)
	}
	return stdout + stderr
}

func document(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// texts are a folder's files.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

// What files say is planned, made, and then stands so: applying them again changes
// nothing, and what is dumped makes the same house elsewhere.
func TestHouseAsCode(t *testing.T) {
	t.Parallel()
	env, dir := codeHouse(t), t.TempDir()
	document(t, dir, "house.yaml", houseAsCode)
	if said := commanded(t, env, 3, "diff", "-f", dir); !strings.Contains(said, "+ channel shop") || !strings.Contains(said, `secret: "(from SHOP_SECRET)"`) || strings.Contains(said, "whsec_") ||
		strings.Index(said, "+ attribute name") > strings.Index(said, "+ family shoe") || !strings.Contains(said, "16 to change, 0 as they are wanted") {
		t.Fatal(said)
	}
	if said := commanded(t, env, 1, "apply", "-f", dir); !strings.Contains(said, "give --yes") {
		t.Fatal(said)
	}
	if said := commanded(t, env, 0, "apply", "-f", dir, "--yes"); !strings.Contains(said, "16 changes made") {
		t.Fatal(said)
	}
	for _, command := range [][]string{{"diff", "-f", dir}, {"apply", "-f", dir, "--yes"}} {
		if said := commanded(t, env, 0, command...); !strings.Contains(said, "0 to change, 16 as they are wanted") {
			t.Fatal(said)
		}
	}
	first, other, second := filepath.Join(dir, "first"), codeHouse(t), filepath.Join(dir, "second")
	commanded(t, env, 0, "dump", first)
	if said := commanded(t, env, 0, "diff", "-f", first); !strings.Contains(said, "0 to change") {
		t.Fatal(said)
	}
	commanded(t, other, 0, "apply", "-f", first, "--yes")
	commanded(t, other, 0, "dump", second)
	a, b := texts(t, first), texts(t, second)
	if !maps.Equal(a, b) || len(a) != 14 || strings.Contains(strings.Join(slices.Collect(maps.Values(a)), ""), "whsec_") {
		t.Errorf("dumped\n%v\nand elsewhere\n%v", a, b)
	}
	// One field, and one resource less.
	changed := strings.Replace(houseAsCode, "withdrawal: disable", "withdrawal: delete", 1)
	changed = strings.Replace(changed, "category_root: shoes", "category_root: hats", 1)
	changed = changed[:strings.Index(changed, "resource: text-rule")] + changed[strings.Index(changed, "resource: provider"):]
	changed = changed[:strings.Index(changed, "resource: category\ncode: boots")] + changed[strings.Index(changed, "resource: attribute\ncode: name"):]
	changed += "---\nresource: locale\ncode: en-GB\n---\nresource: category\ncode: hats\n---\nresource: text-rule\ncode: fr-en\naction: translate\nfrom: fr-FR\nto: [en-GB]\nattributes: [name]\nproviders: [pseudo]\n"
	document(t, dir, "house.yaml", changed)
	said := commanded(t, env, 3, "diff", "-f", filepath.Join(dir, "house.yaml"), "--prune")
	for _, want := range []string{"~ channel shop", `policy.withdrawal: "disable" → "delete"`, `category_root: "shoes" → "hats"`, "+ text-rule fr-en", "- text-rule en-fr", "- category boots", "- category shoes", "+ category hats", "- locale nl-NL", "10 to change"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
	commanded(t, env, 0, "apply", "-f", filepath.Join(dir, "house.yaml"), "--prune", "--yes")
	commanded(t, env, 0, "diff", "-f", filepath.Join(dir, "house.yaml"), "--prune")
}

// What is written down and is the default, or less than it, is made once; a secret
// goes along to another address, and null takes it away.
func TestHouseAsCodeStaysSo(t *testing.T) {
	t.Parallel()
	env, dir := codeHouse(t), t.TempDir()
	const channel = `resource: locale
codes: [fr-FR]
---
resource: channel
code: shop
connector: webhook
locale: fr-FR
currency: EUR
config: {url: {from_env: SHOP_URL}, secret: {from_env: SHOP_SECRET}, authorization: {from_env: SHOP_SECRET}}
batch: null
mapping: null
mapping_note: as it comes
`
	document(t, dir, "house.yaml", channel+`---
resource: channel
code: medusa
connector: medusa
locale: fr-FR
currency: EUR
config: {url: "https://medusa.example", api_key: {from_env: SHOP_SECRET}, sales_channel_id: sc_1, stock_location_id: sloc_1, create_categories: false}
`)
	stays := func() {
		t.Helper()
		commanded(t, env, 0, "apply", "-f", dir, "--yes")
		if said := commanded(t, env, 0, "diff", "-f", dir); !strings.Contains(said, "0 to change") {
			t.Fatal(said)
		}
	}
	stays()
	commanded(t, env, 0, "dump", filepath.Join(dir, "dumped"))
	if said := texts(t, filepath.Join(dir, "dumped"))["channels.yaml"]; !strings.Contains(said, "create_categories: false") {
		t.Error(said)
	}
	if err := os.RemoveAll(filepath.Join(dir, "dumped")); err != nil {
		t.Fatal(err)
	}
	env = append(env, "SHOP_URL=https://elsewhere.example/items")
	if said := commanded(t, env, 3, "diff", "-f", dir, "--json"); !strings.Contains(said, `"new": "(from SHOP_URL)"`) || strings.Contains(said, "elsewhere") {
		t.Error(said)
	}
	stays()
	document(t, dir, "house.yaml", strings.Replace(channel, "authorization: {from_env: SHOP_SECRET}", "authorization: null", 1))
	if said := commanded(t, env, 3, "diff", "-f", dir); !strings.Contains(said, `config.authorization: "(secret)" → nothing`) {
		t.Error(said)
	}
	stays()
	document(t, dir, "house.yaml", strings.Replace(channel, "secret: {from_env: SHOP_SECRET}", "secret: whsec_QUJD", 1))
	if said := commanded(t, env, 1, "diff", "-f", dir); !strings.Contains(said, "house.yaml:4: channel shop: config.secret is a secret") || strings.Contains(said, "whsec_") {
		t.Error(said)
	}
	// What is in use is passed over, and the rest is deleted.
	document(t, dir, "house.yaml", "resource: attribute\ncode: a\ntype: text\n---\nresource: attribute\ncode: b\ntype: text\n---\nresource: attribute\ncode: c\ntype: text\n---\nresource: family\ncode: f\nattributes: [{code: b}]\n")
	stays()
	document(t, dir, "house.yaml", "resource: attribute\ncode: d\ntype: text\n")
	if said := commanded(t, env, 1, "apply", "-f", dir, "--prune", "--yes"); !strings.Contains(said, "3 of 4 changes were made, but not: delete attribute b: the API answers 409") {
		t.Error(said)
	}
}

// What is wrong with files is told with its place, and nothing is made of them.
func TestHouseAsCodeIsChecked(t *testing.T) {
	t.Parallel()
	env := codeHouse(t)
	for text, want := range map[string]string{
		"resource: thing\ncode: a\n":                                                    `house.yaml:1:1: resource "thing" is none of`,
		"resource: attribute\n":                                                         "house.yaml:1:1: attribute has no code",
		"resource: attribute\ncode: a\ntype: text\ncolour: red\n":                       "house.yaml:1: attribute a has no field colour",
		"resource: attribute\ncode: a\ntype: text\ntype: number\n":                      "house.yaml:4:1: type stands more than once",
		"resource: attribute\ncode: a\ntype: text\n---\nresource: attribute\ncode: a\n": "attribute a stands in",
		"resource: attribute\ncode: a\nmax_length: 0x10\n":                              "house.yaml:3:13: 0x10 is a number of a form",
		"- a\n":  "a document is a mapping",
		"a: [\n": "house.yaml: yaml:",
		"resource: channel\ncode: c\nconfig: {secret: {from_env: NOT_SET_ANYWHERE}}\n": "+ channel c",
		"resource: attribute\ncode: 12\n":                                              "one that is no text (quote it)",
		"resource: attribute\ncode: a\nlabels: &x {en-GB: &y [*x]}\n":                  "too many",
	} {
		dir := t.TempDir()
		document(t, dir, "house.yaml", text)
		stdout, stderr, status := output(t, env, "diff", "-f", dir)
		if !strings.Contains(stdout+stderr, want) || status != 1 && want != "+ channel c" {
			t.Errorf("%q: %d\n%s%s", text, status, stdout, stderr)
		}
	}
	dir := t.TempDir()
	document(t, dir, "house.yaml", "resource: attribute\ncode: ok\ntype: text\n---\nresource: family\ncode: f\nattributes: [{code: none}]\n")
	if said := commanded(t, env, 1, "apply", "-f", dir, "--yes"); !strings.Contains(said, "1 of 2 changes were made") || !strings.Contains(said, "house.yaml:5: create family f") ||
		!strings.Contains(said, "/attributes/0/code: attribute \"none\" is not known") {
		t.Error(said)
	}
	if said := commanded(t, env, 1, "diff", "-f", filepath.Join(dir, "none")); !strings.Contains(said, "no such file") {
		t.Error(said)
	}
}
