package woocommerce_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/woocommerce"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

// A SKU that moves is removed before it is made anew. Whatever happens in
// between, the shop does not hold what it held: the hub must not take a document
// that goes back to that for acknowledged.
func TestFailedMovesAreInDoubt(t *testing.T) {
	variations := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/variations/") }
	for name, fault := range map[string]func(*woocommercetest.Server){
		"throttled": func(s *woocommercetest.Server) {
			s.Script(woocommercetest.Fault{Kind: woocommercetest.Throttle, Times: 1, Only: variations})
		},
		"refused": func(s *woocommercetest.Server) {
			s.Script(woocommercetest.Fault{Kind: woocommercetest.Fail, Status: 400, Times: 1, Only: variations})
		},
	} {
		t.Run(name, func(t *testing.T) {
			shop, c := start(t, woocommercetest.Options{}, nil)
			ok(t, c, content("P", `{"name":"P"}`), content("A", `{"name":"A"}`))
			ok(t, c, upsert(pim.Offer, "A", `{"regular_price":"9.90","stock":4}`))
			fault(shop)
			r := push(t, c, variant("A", "P", "Red"))[0]
			if _, there := shop.Held("A"); there {
				t.Fatal("it was not removed: the test is none")
			}
			if r.Err == nil || connectors.Certain(r.Err) {
				t.Errorf("its removal is certain to have changed nothing: %v", r.Err)
			}
			shop.Up()
			ok(t, c, variant("A", "P", "Red"))
		})
	}
}

// A price that comes between a move's look-up and its removal goes along.
func TestMoveCarriesTheLastPrice(t *testing.T) {
	var shop *woocommercetest.Server
	armed := false
	shop, c := start(t, woocommercetest.Options{Wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if armed && r.Method == http.MethodPost {
				armed = false
				shop.Edit("A", func(p *woocommercetest.Product) { p.RegularPrice = "12.00" })
			}
			h.ServeHTTP(w, r)
		})
	}}, nil)
	ok(t, c, content("P", `{"name":"P"}`), variant("x", "P", "Blue"), variant("A", "P", "Red"), content("Q", `{"name":"Q"}`), variant("y", "Q", "Red"))
	ok(t, c, upsert(pim.Offer, "A", `{"regular_price":"9.90"}`))
	ok(t, c, upsert(pim.Media, "A", `{"images":["https://x.example/a.jpg"]}`))
	armed = true
	ok(t, c, variant("A", "Q", "Red"))
	a := held(t, shop, "A")
	if a.ParentID != held(t, shop, "Q").ID || a.RegularPrice != "12.00" || len(a.Images) != 1 {
		t.Errorf("moved: %+v", a)
	}
}

// A variant whose option comes with content that the shop refuses of its parent
// would stand for any option.
func TestVariantOfARefusedParent(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	ok(t, c, content("P", `{"name":"P"}`), variant("red", "P", "Red"), content("B", `{"name":"B","global_unique_id":"4006381333931"}`))
	items := []connectors.Item{content("P", `{"name":"P","global_unique_id":"4006381333931"}`), variant("blue", "P", "Blue")}
	results := push(t, c, items...)
	if got := says(results[0]); got != "validation product_invalid_global_unique_id/global_unique_id" {
		t.Errorf("the parent: %s", got)
	}
	if results[1].Err != nil {
		if got := says(results[1]); got != "conflict" {
			t.Errorf("the variant: %s", got)
		}
		ok(t, c, items[1]) // the parent is parked
	}
	if got := held(t, shop, "blue").Choices(); len(got) != 1 || got[0].Option != "Blue" {
		t.Errorf("blue has the options %v", got)
	}
}

// What people wrote stays, in products with variants, too.
func TestKeptAttributes(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, func(c *woocommerce.Config) { c.Keep = []string{"attributes"} })
	ok(t, c, content("P", `{"name":"P"}`))
	shop.Edit("P", func(p *woocommercetest.Product) {
		p.Attributes = []woocommercetest.Attribute{{Name: "Care", Visible: true, Options: []string{"30°"}}}
	})
	ok(t, connect(t, shop, 0, func(c *woocommerce.Config) { c.Keep = []string{"attributes"} }), content("P", `{"name":"P2"}`))
	if got := fmt.Sprint(held(t, shop, "P").Attributes); !strings.Contains(got, "Care") {
		t.Errorf("attributes %s", got)
	}
	ok(t, c, content("P", `{"name":"P3"}`), variant("red", "P", "Red"))
	ok(t, c, content("P", `{"name":"P4"}`))
	if got := fmt.Sprint(held(t, shop, "P").Attributes); !strings.Contains(got, "Care") || !strings.Contains(got, "Red") {
		t.Errorf("with a variant: attributes %s", got)
	}
}

// What one process remembers of a product must not undo what another one did to
// it: here it had its first variant meanwhile.
func TestAnotherProcessMadeItVariable(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	ok(t, c, content("P", `{"name":"P"}`))
	ok(t, connect(t, shop, 0, nil), variant("red", "P", "Red"))
	ok(t, c, content("P", `{"name":"P2"}`))
	if got := fmt.Sprint(held(t, shop, "P").Attributes); !strings.Contains(got, "Red") {
		t.Errorf("attributes %s", got)
	}
	ok(t, c, content("Q", `{"name":"Q","attributes":{"Cloth":"Wool"}}`))
	ok(t, connect(t, shop, 0, nil), variant("blue", "Q", "Blue"))
	ok(t, c, content("Q", `{"name":"Q2","attributes":{"Cloth":"Cotton"}}`))
	if got := fmt.Sprint(held(t, shop, "Q").Attributes); !strings.Contains(got, "Blue") || !strings.Contains(got, "Cotton") {
		t.Errorf("attributes %s", got)
	}
	ok(t, c, content("Q", `{"name":"Q3"}`))
	if got := fmt.Sprint(held(t, shop, "Q").Attributes); !strings.Contains(got, "Blue") || strings.Contains(got, "Cotton") {
		t.Errorf("attributes %s", got)
	}
	// Its own are taken away, though it is only remembered.
	ok(t, c, content("R", `{"name":"R","attributes":{"Cloth":"Wool"}}`))
	ok(t, c, content("R", `{"name":"R2"}`))
	if got := held(t, shop, "R").Attributes; len(got) != 0 {
		t.Errorf("attributes %v", got)
	}
}

// A shop that stores another SKU than it was sent gets no second product.
func TestShopThatChangesSKUs(t *testing.T) {
	made := 0
	c := connectTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `[null]`)
			return
		}
		made++
		_, _ = io.WriteString(w, `{"create":[{"id":7,"sku":"A-1","type":"simple","status":"publish"}]}`)
	}))
	if got := says(push(t, c, content("A", `{"name":"A"}`))[0]); got != "validation woocommerce.sku/sku" || made != 1 {
		t.Errorf("%s, made %d times", got, made)
	}
}
