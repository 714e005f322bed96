package woocommerce_test

import (
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

// What is only the same in the shop's eyes is no drift, and settles no doubt.
func TestReadIsExactToTheLetter(t *testing.T) {
	const (
		content = `{"sku":"A","name":"Tea","slug":"tea-of-ours","description":"<p>Of the <b>North</b></p>","weight":"1.50","dimensions":{"length":"2.0"},` +
			`"meta_data":[{"key":"note","value":"<i>new</i>"}],"attributes":{"Leaf":["whole","cut"]}}`
		offer = `{"regular_price":"19.90","stock":3}`
		media = `{"images":[{"src":"https://pictures.example/a.jpg","alt":"A cup"}]}`
	)
	for name, c := range map[string]struct {
		lane     pim.Lane
		document string
		change   func(*woocommercetest.Product)
		drifts   bool
	}{
		"content":   {pim.Content, content, func(*woocommercetest.Product) {}, false},
		"offer":     {pim.Offer, offer, func(*woocommercetest.Product) {}, false},
		"media":     {pim.Media, media, func(*woocommercetest.Product) {}, false},
		"tags":      {pim.Content, content, func(p *woocommercetest.Product) { p.Description = "Of the North" }, false},
		"name":      {pim.Content, content, func(p *woocommercetest.Product) { p.Name = "<b>Tea</b>" }, false},
		"digits":    {pim.Content, content, func(p *woocommercetest.Product) { p.Weight = "1.5" }, false},
		"size":      {pim.Content, content, func(p *woocommercetest.Product) { p.Dimensions.Length = "2" }, false},
		"own field": {pim.Content, content, func(p *woocommercetest.Product) { p.MetaData[0].Value = "new" }, false},
		"twice": {pim.Content, content, func(p *woocommercetest.Product) {
			p.MetaData = append(p.MetaData, woocommercetest.MetaData{ID: 9, Key: "note", Value: "old"})
		}, false},
		"case":        {pim.Content, content, func(p *woocommercetest.Product) { p.Attributes[0].Name = "leaf" }, false},
		"order":       {pim.Content, content, func(p *woocommercetest.Product) { p.Attributes[0].Options = []string{"cut", "whole"} }, false},
		"hidden":      {pim.Content, content, func(p *woocommercetest.Product) { p.Attributes[0].Visible = false }, false},
		"price":       {pim.Offer, offer, func(p *woocommercetest.Product) { p.RegularPrice = "19.9" }, false},
		"alt":         {pim.Media, media, func(p *woocommercetest.Product) { p.Images[0].Alt = "A mug" }, false},
		"other name":  {pim.Content, content, func(p *woocommercetest.Product) { p.Name = "Coffee" }, true},
		"other slug":  {pim.Content, content, func(p *woocommercetest.Product) { p.Slug = "tea" }, true},
		"other price": {pim.Offer, offer, func(p *woocommercetest.Product) { p.RegularPrice = "19.91" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			shop, c0 := start(t, woocommercetest.Options{}, nil)
			reader := c0.(connectors.Reader)
			items := []connectors.Item{upsert(pim.Content, "A", content), upsert(pim.Offer, "A", offer), upsert(pim.Media, "A", media)}
			for _, item := range items {
				ok(t, c0, item)
			}
			item := upsert(c.lane, "A", c.document)
			read := func() connectors.Held {
				held, err := reader.Read(t.Context(), []connectors.Item{item})
				if err != nil || held[0].Err != nil {
					t.Fatal(err, held)
				}
				return held[0]
			}
			if h := read(); !h.Exact || !h.Matches(item) {
				t.Fatalf("as it was pushed: exact %v: %s", h.Exact, h.Document)
			}
			shop.Edit("A", c.change)
			same := name == c.lane.String()
			if h := read(); h.Exact != same || h.Matches(item) == c.drifts {
				t.Errorf("exact %v, matches %v: %s", h.Exact, h.Matches(item), h.Document)
			}
		})
	}
}
