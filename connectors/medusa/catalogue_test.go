package medusa_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/pim"
)

// catalogue makes products as the hub knows them, and renders them by the
// connector's default mapping.
type catalogue struct {
	testing.TB
	program *connectors.Program
	schema  *pim.Schema
	scope   connectors.Scope
}

func newCatalogue(t testing.TB) *catalogue {
	t.Helper()
	program, err := connectors.Compile(medusa.Kind.Mapping)
	if err != nil {
		t.Fatal(err)
	}
	schema := &pim.Schema{Attributes: map[string]*pim.Attribute{}}
	for _, a := range []pim.Attribute{
		{Code: "name", Type: pim.TypeText, Localizable: true},
		{Code: "description", Type: pim.TypeRichText},
		{Code: "gtin", Type: pim.TypeText},
		{Code: "color", Type: pim.TypeOption},
		{Code: "size", Type: pim.TypeText},
		{Code: "picture", Type: pim.TypeMedia},
	} {
		schema.Attributes[a.Code] = &a
	}
	schema.Families = map[string]*pim.Family{"shirts": {Code: "shirts", Variants: []pim.FamilyVariant{{Code: "color_size", Axes: []string{"color", "size"}}}}}
	return &catalogue{TB: t, program: program, schema: schema, scope: connectors.Scope{
		Channel: "shop", Locale: "en-GB", Currency: "EUR", PriceList: "retail", Now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC),
	}}
}

// subject is a product: name, and what with adds.
func (c *catalogue) subject(sku, name string, with ...func(*connectors.Subject)) *connectors.Subject {
	s := &connectors.Subject{SKU: pim.SKU(sku), Family: "shirts", Enabled: true, Values: pim.Values{"name": map[string]any{"en-GB": name}}}
	for _, w := range with {
		w(s)
	}
	return s
}

func of(parent, color, size string) func(*connectors.Subject) {
	return func(s *connectors.Subject) {
		s.Parent, s.Variant = pim.SKU(parent), "color_size"
		s.Values["color"], s.Values["size"] = color, size
	}
}

func value(code string, v any) func(*connectors.Subject) {
	return func(s *connectors.Subject) { s.Values[code] = v }
}

func in(categories ...string) func(*connectors.Subject) {
	return func(s *connectors.Subject) { s.Categories = categories }
}

// costs are prices such as "EUR 19.90" and, from 10 pieces, "EUR 17.50 10".
func costs(prices ...string) func(*connectors.Subject) {
	return func(s *connectors.Subject) {
		for _, p := range prices {
			parts := append(strings.Fields(p), "1")
			quantity := 1
			if _, err := fmt.Sscan(parts[2], &quantity); err != nil {
				panic(err) // a test's own words
			}
			s.Prices = append(s.Prices, pim.Price{PriceList: "retail", Currency: pim.Currency(parts[0]), Amount: decimal.MustParse(parts[1]), MinQuantity: quantity})
		}
	}
}

func stocked(n int64) func(*connectors.Subject) {
	return func(s *connectors.Subject) { s.Stock = []pim.Stock{{Location: "main", OnHand: n}} }
}

func pictured(urls ...any) func(*connectors.Subject) {
	return func(s *connectors.Subject) { s.Values["picture"] = urls }
}

// item renders one lane of a product.
func (c *catalogue) item(lane pim.Lane, s *connectors.Subject) connectors.Item {
	c.Helper()
	document, err := c.program.Render(context.Background(), lane, s, c.schema, c.scope)
	if err != nil {
		c.Fatalf("render %s: %v", s.SKU, err)
	}
	if document == nil {
		document = json.RawMessage("{}")
	}
	return connectors.Item{SKU: s.SKU, Lane: lane, Revision: 1, Action: connectors.Upsert, Document: document}
}

// push sends subjects in batches, all lanes, and expects all to be taken.
func (c *catalogue) push(to connectors.Connector, batch int, lanes []pim.Lane, subjects ...*connectors.Subject) {
	c.Helper()
	for _, lane := range lanes {
		var items []connectors.Item
		for _, s := range subjects {
			items = append(items, c.item(lane, s))
		}
		c.send(to, batch, items...)
	}
}

// send pushes items in batches and expects all to be taken.
func (c *catalogue) send(to connectors.Connector, batch int, items ...connectors.Item) {
	c.Helper()
	for len(items) > 0 {
		n := min(batch, len(items))
		results, err := to.Push(context.Background(), items[:n])
		if err != nil {
			c.Fatalf("push %s of %s and others: %v", items[0].Lane, items[0].SKU, err)
		}
		for i, r := range results {
			if e := connectors.AsError(r.Err); r.Err != nil && e.Verdict == connectors.Conflict && e.Uncertain {
				again, err := to.Push(context.Background(), items[i:i+1]) // as the hub does
				if err != nil {
					c.Fatalf("push %s of %s again: %v", items[i].Lane, items[i].SKU, err)
				}
				r = again[0]
			}
			if r.Err != nil {
				c.Fatalf("push %s of %s: %v", items[i].Lane, items[i].SKU, r.Err)
			}
		}
		items = items[n:]
	}
}

func withdrawal(sku string) connectors.Item {
	return connectors.Item{SKU: pim.SKU(sku), Lane: pim.Content, Revision: 2, Action: connectors.Withdraw}
}

var allLanes = []pim.Lane{pim.Content, pim.Offer, pim.Media}
