package medusa

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// Whatever title and SKU are, Medusa takes the handle that is made of them.
func TestHandleOfIsAHandle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		title, sku := rapid.String().Draw(t, "title"), rapid.StringN(1, 80, -1).Draw(t, "sku")
		if h := handleOf(title, sku); !isHandle(h) || !isHandle(h+"-"+tag(sku)) {
			t.Fatalf("%q and %q give %q", title, sku, h)
		}
		if h := categoryHandle(sku); !isHandle(h) {
			t.Fatalf("%q gives %q", sku, h)
		}
	})
}

// What is split off for a refusal, and what is left, are the ops that there were.
func TestSplitLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 20).Draw(t, "ops")
		ops := make([]op, n)
		for i := range ops {
			ops[i] = op{item: i, names: []string{"SKU-" + rapid.StringMatching(`[A-C]{1,2}`).Draw(t, "name")}}
		}
		message := "Product variant with sku: SKU-" + rapid.StringMatching(`[A-C]{1,2}`).Draw(t, "blamed") + ", already exists."
		first, rest := split(ops, &refusal{message: message})
		seen := make([]bool, n)
		for _, o := range append(append([]op{}, first...), rest...) {
			if seen[o.item] {
				t.Fatalf("op %d twice", o.item)
			}
			seen[o.item] = true
		}
		if len(first)+len(rest) != n || len(first) == 0 || len(rest) == 0 {
			t.Fatalf("%d and %d of %d", len(first), len(rest), n)
		}
	})
}

// No document makes the connector panic, and what it lets through can be written.
func FuzzDocuments(f *testing.F) {
	for _, s := range []string{
		`{"title":"A","options":{"a":{"amount":"1.5","unit":"kg"}},"weight":"1e3","categories":["x"],"metadata":{"a":[1]}}`,
		`{"parent":"P","options":{"a":1.50,"b":true}}`, `{"prices":[{"currency":"EUR","amount":"1.5","min_quantity":"10"}],"stock":-4}`,
		`{"images":["https://a/b","c"],"thumbnail":null}`, `{"stock":1e99}`, `{"stock":{}}`, `[]`, `{`, `{"prices":[{"amount":null}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, lane := range pim.AllLanes {
			_ = check(lane, raw)
		}
		if d, issues := readOffer(raw); len(issues) == 0 {
			if d.Prices != nil {
				if _, err := json.Marshal(d.list()); err != nil {
					t.Errorf("prices: %v", err)
				}
			}
			if d.Stock != nil {
				if n, err := d.pieces(); err != nil || n < 0 {
					t.Errorf("stock %d, %v", n, err)
				}
			}
		}
		if d, issues := readContent(raw); len(issues) == 0 {
			b := map[string]any{}
			measures(b, d)
			if _, err := json.Marshal(b); err != nil {
				t.Errorf("measures: %v", err)
			}
			for title, value := range d.options() {
				if strings.TrimSpace(title) == "" || strings.TrimSpace(value) != value || value == "" {
					t.Errorf("option %q: %q", title, value)
				}
			}
		}
	})
}
