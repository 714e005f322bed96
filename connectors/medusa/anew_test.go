package medusa_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/pim"
)

// A variant that is made anew has no price, while the hub may believe that it
// sent one: to the variant before it, or, for a product that was sold by its
// variants, none at all. So the outcome says so, which makes the hub send the
// offer again; the push after that finds nothing to do.
func TestWhatIsMadeAnewIsCalledSo(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	const priced = `{"prices":[{"currency":"EUR","amount":"5"}]}`
	fine(t, to, upsert(pim.Content, "P", `{"title":"P"}`), upsert(pim.Content, "Q", `{"title":"Q"}`), upsert(pim.Content, "V", `{"parent":"P"}`))
	fine(t, to, upsert(pim.Offer, "V", priced), upsert(pim.Offer, "P", priced)) // P's is not sent
	for _, step := range []struct {
		what   string
		before func()
		item   connectors.Item
	}{
		{"to another parent", func() {}, upsert(pim.Content, "V", `{"parent":"Q"}`)},
		{"alone", func() {}, upsert(pim.Content, "V", `{"title":"V"}`)},
		{"back to a parent", func() {}, upsert(pim.Content, "V", `{"parent":"Q"}`)},
		{"the last variant went", func() { fine(t, to, withdrawal("V")) }, upsert(pim.Content, "Q", `{"title":"Q"}`)},
	} {
		step.before()
		if r := pushed(t, to, step.item)[0]; r.Err != nil || !r.Anew {
			t.Errorf("%s: %+v", step.what, r)
		}
		if v, there := fake.Variant(step.item.SKU); !there || len(v.Prices) != 0 {
			t.Errorf("%s: %+v, there: %v; the test is none", step.what, v, there)
		}
		if r := pushed(t, to, step.item)[0]; r.Err != nil || r.Anew {
			t.Errorf("%s, again: %+v", step.what, r)
		}
		fine(t, to, upsert(pim.Offer, string(step.item.SKU), priced))
	}
}

// Who deletes a product in Medusa deletes its variants: each says of itself that
// it was made anew, in one push with its product or after it.
func TestFamilyThatIsDeletedInMedusa(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	family := []connectors.Item{upsert(pim.Content, "P", `{"title":"P"}`), upsert(pim.Content, "V", `{"parent":"P"}`), upsert(pim.Content, "W", `{"parent":"P"}`)}
	offers := []connectors.Item{upsert(pim.Offer, "V", `{"prices":[{"currency":"EUR","amount":"5"}],"stock":2}`), upsert(pim.Offer, "W", `{"prices":[{"currency":"EUR","amount":"6"}],"stock":3}`)}
	fine(t, to, family...)
	fine(t, to, offers...)
	for _, pushes := range [][][]connectors.Item{{family}, {family[:2], family[2:]}} {
		fake.Forget("P")
		for _, items := range pushes {
			for i, r := range pushed(t, to, items...) {
				if r.Err != nil || !r.Anew {
					t.Errorf("%s: %+v", items[i].SKU, r)
				}
			}
		}
		fine(t, to, offers...)
		for _, sku := range []pim.SKU{"V", "W"} {
			if v, there := fake.Variant(sku); !there || len(v.Prices) != 1 {
				t.Errorf("%s: %+v, there: %v", sku, v, there)
			}
		}
		for i, r := range pushed(t, to, family...) {
			if r.Err != nil || r.Anew {
				t.Errorf("%s again: %+v", family[i].SKU, r)
			}
		}
	}
}

// An answer with holes is none that a connector falls over.
func TestAnswersWithNull(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"products": []any{nil}, "variants": []any{nil}, "inventory_items": []any{nil}, "created": []any{nil}, "updated": []any{nil},
			"stores": []any{map[string]any{"default_location_id": "sloc_1"}}, "shipping_profiles": []any{nil}, "product_categories": []any{nil},
		})
	}))
	defer server.Close()
	raw, err := json.Marshal(medusa.Config{URL: server.URL, APIKey: "sk_key"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := medusa.Kind.New(raw, connectors.Env{AllowPrivate: true, Limits: medusa.Kind.Limits})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range []connectors.Item{
		upsert(pim.Content, "A", `{"title":"A","categories":["c"]}`), upsert(pim.Content, "V", `{"parent":"A"}`),
		upsert(pim.Offer, "A", `{"prices":[],"stock":1}`), upsert(pim.Media, "A", `{"images":["https://x.example/a.jpg"]}`),
	} {
		if e := refusal(t, c, item); e.Verdict != connectors.Conflict && e.Verdict != connectors.Unavailable {
			t.Errorf("%s of %s: %v", item.Lane, item.SKU, e)
		}
	}
}

// A product that is made between the look-ups of products and of variants is
// found, and keeps its variant and that one's price.
func TestProductMadeBetweenLookUps(t *testing.T) {
	fake, _ := start(t, medusatest.Options{}, nil)
	other := connect(t, medusa.Config{URL: fake.URL(), APIKey: key}, 5)
	armed := true
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if armed && r.URL.Path == "/admin/product-variants" {
			armed = false
			fine(t, other, upsert(pim.Content, "A", `{"title":"theirs"}`))
			fine(t, other, upsert(pim.Offer, "A", `{"prices":[{"currency":"EUR","amount":"5"}]}`))
		}
		fake.ServeHTTP(w, r)
	}))
	defer between.Close()
	fine(t, connect(t, medusa.Config{URL: between.URL, APIKey: key}, 5), upsert(pim.Content, "A", `{"title":"ours"}`))
	if v, there := fake.Variant("A"); armed || !there || len(v.Prices) != 1 || product(t, fake, "A").Title != "ours" || fake.Len() != 1 {
		t.Errorf("the variant %+v, there: %v", v, there)
	}
}
