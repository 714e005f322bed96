package medusa_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/pim"
)

func readBack(t *testing.T, c connectors.Connector, items ...connectors.Item) []connectors.Held {
	t.Helper()
	held, err := c.(connectors.Reader).Read(ctx(t), items)
	if err != nil || len(held) != len(items) {
		t.Fatalf("read: %d answers, %v", len(held), err)
	}
	for i := range held {
		if held[i].Err != nil {
			t.Fatalf("read of %s: %v", items[i].SKU, held[i].Err)
		}
	}
	return held
}

// What the default mapping makes of a family and of a product by itself is read
// back as it was sent, in one request for each kind of thing, and nothing is
// written.
func TestReadBack(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	c := newCatalogue(t)
	family := []*connectors.Subject{
		c.subject("T", "Shirt", in("tops", "Sale & more"), value("description", "<p>Cotton &amp; wool</p>"), pictured("https://img.example/t.jpg")),
		c.subject("T-R", "Shirt", of("T", "red", "S"), value("gtin", "4006381333931"), costs("EUR 19.90", "EUR 17.50 10", "USD 21"), stocked(3), pictured("https://img.example/red.jpg", "https://img.example/t.jpg")),
		c.subject("T-B", "Shirt", of("T", "blue", "S"), costs("EUR 18")),
		c.subject("M", "Mug", costs("EUR 7.00"), stocked(-2), pictured("https://img.example/m.jpg", "https://img.example/t.jpg")),
		c.subject("N", "Nothing"),
	}
	c.push(to, 5, allLanes, family...)
	for _, lane := range allLanes {
		var items []connectors.Item
		for _, s := range family {
			items = append(items, c.item(lane, s))
		}
		before := fake.Counts()
		held := readBack(t, to, items...)
		after := fake.Counts()
		if after.Writes != before.Writes || after.Calls-before.Calls > 3 {
			t.Errorf("%s: a read made %d requests, %d of them writes", lane, after.Calls-before.Calls, after.Writes-before.Writes)
		}
		for i, h := range held {
			if !h.Matches(items[i]) || !h.Exact || h.Presence != connectors.Shown {
				t.Errorf("%s of %s: matches %v, exact %v, %s\nsent %s\nheld %s", lane, items[i].SKU, h.Matches(items[i]), h.Exact, h.Presence, items[i].Document, h.Document)
			}
		}
	}
}

// What people change in Medusa is told by field; what is but written in another
// way is no drift, and what a push would set besides settles no doubt.
func TestReadTellsWhatDiffers(t *testing.T) {
	const (
		content = `{"title":"Tea","description":"Green","categories":["tea"],"ean":"4006381333931","weight":"1.50","metadata":{"kind":"leaf","old":""},"hs_code":"0902"}`
		variant = `{"parent":"P","title":"Box","options":{"size":"S","colour":"red"},"ean":"5901234123457"}`
		offer   = `{"prices":[{"amount":"19.90","currency":"EUR","min_quantity":1},{"amount":"17","currency":"EUR","min_quantity":10}],"stock":3}`
		media   = `{"images":["https://img.example/a.jpg","https://img.example/b.jpg"]}`
	)
	product := func(fields map[string]any) func(*medusatest.Server) bool {
		return func(f *medusatest.Server) bool { return f.Edit("A", false, fields) }
	}
	ofVariant := func(sku pim.SKU, fields map[string]any) func(*medusatest.Server) bool {
		return func(f *medusatest.Server) bool { return f.Edit(sku, true, fields) }
	}
	prices := func(list ...map[string]any) map[string]any {
		all := make([]any, len(list))
		for i := range list {
			all[i] = list[i]
		}
		return map[string]any{"prices": all}
	}
	euro := func(amount, from string) map[string]any {
		p := map[string]any{"currency_code": "eur", "amount": json.Number(amount)}
		if from != "" {
			p["min_quantity"] = json.Number(from)
		}
		return p
	}
	for name, c := range map[string]struct {
		lane     pim.Lane
		sku      pim.SKU
		document string
		change   func(*medusatest.Server) bool
		drifts   []string
		exact    bool
	}{
		"content":              {pim.Content, "A", content, nil, nil, true},
		"variant":              {pim.Content, "V", variant, nil, nil, true},
		"offer":                {pim.Offer, "A", offer, nil, nil, true},
		"media":                {pim.Media, "A", media, nil, nil, true},
		"title":                {pim.Content, "A", content, product(map[string]any{"title": "Coffee"}), []string{"title"}, false},
		"tags are kept":        {pim.Content, "A", content, product(map[string]any{"description": "<p>Green</p>"}), []string{"description"}, false},
		"no description":       {pim.Content, "A", content, product(map[string]any{"description": nil}), []string{"description"}, false},
		"subtitle":             {pim.Content, "A", content, product(map[string]any{"subtitle": "of theirs"}), nil, false},
		"draft":                {pim.Content, "A", content, product(map[string]any{"status": "draft"}), nil, false},
		"categories":           {pim.Content, "A", content, product(map[string]any{"categories": []any{}}), []string{"categories"}, false},
		"ean":                  {pim.Content, "A", content, ofVariant("A", map[string]any{"ean": "96385074"}), []string{"ean"}, false},
		"upc of theirs":        {pim.Content, "A", content, ofVariant("A", map[string]any{"upc": "036000291452"}), nil, false},
		"weight, other digits": {pim.Content, "A", content, product(map[string]any{"weight": json.Number("1.5")}), nil, true},
		"weight":               {pim.Content, "A", content, product(map[string]any{"weight": json.Number("2")}), []string{"weight"}, false},
		"weight of variant":    {pim.Content, "A", content, ofVariant("A", map[string]any{"weight": json.Number("2")}), nil, false},
		"customs":              {pim.Content, "A", content, product(map[string]any{"hs_code": nil}), []string{"hs_code"}, false},
		"our mark":             {pim.Content, "A", content, product(map[string]any{"metadata": map[string]any{"sluice_sku": ""}}), nil, false},
		"metadata":             {pim.Content, "A", content, product(map[string]any{"metadata": map[string]any{"kind": "bag"}}), []string{"metadata"}, false},
		"emptied key":          {pim.Content, "A", content, product(map[string]any{"metadata": map[string]any{"old": "back"}}), []string{"metadata"}, false},
		"metadata of others":   {pim.Content, "A", content, product(map[string]any{"metadata": map[string]any{"shelf": "7"}}), nil, true},
		"variant's title":      {pim.Content, "V", variant, ofVariant("V", map[string]any{"title": "Red"}), nil, false},
		"variant's code":       {pim.Content, "V", variant, ofVariant("V", map[string]any{"ean": nil}), []string{"ean"}, false},
		"price, other digits":  {pim.Offer, "A", offer, ofVariant("A", prices(euro("17.00", "10"), euro("19.9", ""))), nil, true},
		"price":                {pim.Offer, "A", offer, ofVariant("A", prices(euro("17", "10"), euro("19.91", ""))), []string{"prices"}, false},
		"tier":                 {pim.Offer, "A", offer, ofVariant("A", prices(euro("17", "11"), euro("19.9", ""))), []string{"prices"}, false},
		"a price more":         {pim.Offer, "A", offer, ofVariant("A", prices(euro("17", "10"), euro("19.9", ""), euro("9", ""))), []string{"prices"}, false},
		"not counted":          {pim.Offer, "A", offer, ofVariant("A", map[string]any{"manage_inventory": false}), []string{"stock"}, false},
		"picture":              {pim.Media, "A", media, product(map[string]any{"images": []any{map[string]any{"url": "https://img.example/a.jpg"}}}), []string{"images"}, false},
		"order":                {pim.Media, "A", media, product(map[string]any{"images": []any{map[string]any{"url": "https://img.example/b.jpg"}, map[string]any{"url": "https://img.example/a.jpg"}}}), []string{"images"}, false},
		"thumbnail":            {pim.Media, "A", media, product(map[string]any{"thumbnail": "https://img.example/b.jpg"}), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			shop, to := start(t, medusatest.Options{}, nil)
			for _, item := range []connectors.Item{
				upsert(pim.Content, "A", content), upsert(pim.Content, "P", `{"title":"P"}`), upsert(pim.Content, "V", variant),
				upsert(pim.Offer, "A", offer), upsert(pim.Media, "A", media),
			} {
				fine(t, to, item)
			}
			if c.change != nil && !c.change(shop) {
				t.Fatal("the change was refused")
			}
			item := upsert(c.lane, string(c.sku), c.document)
			h := readBack(t, to, item)[0]
			var differ []string
			var sent, there map[string]json.RawMessage
			if json.Unmarshal(item.Document, &sent) != nil || json.Unmarshal(h.Document, &there) != nil {
				t.Fatalf("held %s", h.Document)
			}
			for field, v := range there {
				if string(sent[field]) != string(v) {
					differ = append(differ, field)
				}
			}
			slices.Sort(differ)
			if !slices.Equal(differ, c.drifts) || h.Exact != c.exact {
				t.Errorf("%q differ, want %q; exact %v, want %v: %s", differ, c.drifts, h.Exact, c.exact, h.Document)
			}
		})
	}
}

// A withdrawn product that is kept as a draft is gone; what is only not shown is
// there. What others have under the SKU is neither.
func TestReadOfWhatIsNotForSale(t *testing.T) {
	shop, to := start(t, medusatest.Options{}, func(c *medusa.Config) { c.OnWithdraw = "draft" })
	fine(t, to, upsert(pim.Content, "S", `{"title":"S"}`), upsert(pim.Content, "H", `{"title":"H","status":"draft"}`))
	fine(t, to, withdrawal("S"))
	shop.Merchant("Theirs", "M")
	held := readBack(t, to, withdrawal("S"), upsert(pim.Content, "H", `{"title":"H","status":"draft"}`), withdrawal("M"), upsert(pim.Content, "M", `{"title":"M"}`), upsert(pim.Content, "S", `{"title":"S"}`))
	for i, want := range []connectors.Held{{Presence: connectors.Absent, Exact: true}, {Presence: connectors.Hidden, Exact: true}, {Presence: connectors.Absent, Exact: true}, {Presence: connectors.Absent}, {Presence: connectors.Hidden}} {
		if held[i].Presence != want.Presence || held[i].Exact != want.Exact {
			t.Errorf("%d: %s, exact %v; want %s, %v", i, held[i].Presence, held[i].Exact, want.Presence, want.Exact)
		}
	}
	family := []connectors.Item{upsert(pim.Content, "P", `{"title":"P","status":"draft"}`), upsert(pim.Content, "V", `{"title":"V","parent":"P","options":{"size":"M"}}`)}
	for _, it := range family {
		fine(t, to, it)
	}
	if h := readBack(t, to, family...); h[0].Presence != connectors.Hidden || h[1].Presence != connectors.Kept || !h[1].Exact {
		t.Errorf("a draft is %s, and its variant %s, exact %v", h[0].Presence, h[1].Presence, h[1].Exact)
	}
	fine(t, to, upsert(pim.Content, "S", `{"title":"S"}`))
	if h := readBack(t, to, withdrawal("S"))[0]; h.Presence != connectors.Shown || h.Exact {
		t.Errorf("back again: %s, exact %v", h.Presence, h.Exact)
	}
}
