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
