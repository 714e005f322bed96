package woocommerce_test

import (
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

func TestMedia(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	ok(t, c, content("A", `{"name":"A"}`), content("P", `{"name":"P"}`), variant("v", "P", "Red"))
	doc := `{"images":["https://x.example/10x20/Red%20Kettle.jpg?v=1",{"src":"https://x.example/b.jpg","alt":"Back"}]}`
	ok(t, c, upsert(pim.Media, "A", doc))
	ok(t, c, upsert(pim.Media, "A", doc)) // as after a lost answer
	if want := `["https://x.example/10x20/Red%20Kettle.jpg?v=1 ","https://x.example/b.jpg Back"]`; shop.HeldLane("A", pim.Media) != want {
		t.Errorf("pictures of A: %s", shop.HeldLane("A", pim.Media))
	}
	ok(t, c, upsert(pim.Media, "A", `{"images":["https://x.example/b.jpg","https://x.example/c.jpg"]}`))
	if n := shop.Counts().Loaded; n != 3 {
		t.Errorf("the shop loaded %d pictures, of 3", n)
	}
	if got := says(ok(t, c, upsert(pim.Media, "v", doc))[0]); got != "live woocommerce.variation_images" {
		t.Errorf("two pictures of a variation: %s", got)
	}
	if got := shop.HeldLane("v", pim.Media); got != `["https://x.example/10x20/Red%20Kettle.jpg?v=1 "]` {
		t.Errorf("pictures of v: %s", got)
	}
	// Known by what the shop answers, not by what a process remembers: a list that is
	// the same, or in another order, loads nothing, for products and variations.
	loaded := shop.Counts().Loaded
	for _, again := range []connectors.Connector{c, connect(t, shop, 0, nil)} {
		ok(t, again, upsert(pim.Media, "A", `{"images":["https://x.example/b.jpg","https://x.example/c.jpg"]}`), upsert(pim.Media, "v", doc))
		ok(t, again, upsert(pim.Media, "A", `{"images":["https://x.example/c.jpg","https://x.example/b.jpg"]}`))
	}
	if n := shop.Counts().Loaded - loaded; n != 0 {
		t.Errorf("the shop loaded %d pictures that it had", n)
	}
	ok(t, c, upsert(pim.Media, "v", `{}`), upsert(pim.Media, "A", `{}`))
	if shop.HeldLane("v", pim.Media) != "[]" || shop.HeldLane("A", pim.Media) != "[]" {
		t.Errorf("after they were taken away: %s, %s", shop.HeldLane("v", pim.Media), shop.HeldLane("A", pim.Media))
	}
	shop.BreakImage("https://x.example/none.jpg")
	broken := push(t, c, upsert(pim.Media, "A", `{"images":["https://x.example/none.jpg"]}`), upsert(pim.Media, "v", `{"images":["https://x.example/none.jpg"]}`))
	if a, v := says(broken[0]), says(broken[1]); a != "validation woocommerce_product_image_upload_error/images" || v != "validation woocommerce_variation_image_upload_error/images" {
		t.Errorf("pictures that the shop cannot load: %s, %s", a, v)
	}
}

// A picture that many show is loaded by the shop once: variations show their
// parent's, products the same one, in one call or in several at once.
func TestSharedPictures(t *testing.T) {
	const url = "https://x.example/chair.jpg"
	shop, c := start(t, woocommercetest.Options{}, nil)
	ok(t, c, content("P", `{"name":"P"}`), content("Q", `{"name":"Q"}`), content("R", `{"name":"R"}`),
		variant("p1", "P", "Red"), variant("p2", "P", "Blue"), variant("q1", "Q", "Red"))
	shows := func(sku pim.SKU) connectors.Item { return upsert(pim.Media, sku, `{"images":["`+url+`"]}`) }
	loaded := func(what string, want int) {
		t.Helper()
		if n := shop.Counts().Loaded; n != want {
			t.Errorf("%s: %d pictures were loaded, want %d", what, n, want)
		}
	}
	ok(t, c, shows("p1"), shows("P"), shows("p2"), shows("Q"))
	loaded("one call", 1)
	for _, sku := range []pim.SKU{"P", "p1", "p2", "Q"} {
		if got := shop.HeldLane(sku, pim.Media); got != `["`+url+` "]` {
			t.Errorf("%s shows %s", sku, got)
		}
	}
	ok(t, connect(t, shop, 0, nil), shows("q1")) // of a process that knows nothing: the shop says that its parent shows it
	loaded("another process", 1)
	// What was removed from the shop's library is loaded again, once.
	shop.Unload(url)
	ok(t, c, shows("R"), shows("q1"))
	loaded("removed from the library", 2)
	if got := shop.HeldLane("R", pim.Media); got != `["`+url+` "]` {
		t.Errorf("R shows %s", got)
	}
	shop.BreakImage("https://x.example/none.jpg")
	none := func(sku pim.SKU) connectors.Item {
		return upsert(pim.Media, sku, `{"images":["https://x.example/none.jpg"]}`)
	}
	for i, r := range push(t, c, none("P"), none("Q"), none("R"), none("p1")) {
		if r.Err == nil {
			t.Errorf("%d: a picture that cannot be loaded was taken", i)
		}
	}
	// Calls at once wait for the one that loads.
	pushes := make(chan error, 3)
	for _, sku := range []pim.SKU{"P", "Q", "R"} {
		go func() {
			_, err := c.Push(t.Context(), []connectors.Item{upsert(pim.Media, sku, `{"images":["https://x.example/new.jpg"]}`)})
			pushes <- err
		}()
	}
	for range 3 {
		if err := <-pushes; err != nil {
			t.Error(err)
		}
	}
	loaded("three calls at once", 3)
}
