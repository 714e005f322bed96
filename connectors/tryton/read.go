package tryton

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// Readable implements connectors.Reader: price and stock are Tryton's own, and
// are pulled.
func (c *Connector) Readable() pim.Lanes { return pim.LanesOf(pim.Content) }

// Read asks Tryton for the items' products, in one request for each language; see
// connectors.Reader.
func (c *Connector) Read(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	p := &push{Connector: c, items: items, results: make([]connectors.Result, len(items)), docs: make([]*document, len(items))}
	h, err := p.house.get(ctx, p.askHouse)
	if err != nil {
		return nil, err
	}
	rounds := map[string][]int{}
	out := make([]connectors.Held, len(items))
	for i := range items {
		language, _ := p.read(h, i)
		if out[i].Err = p.results[i].Err; out[i].Err == nil {
			rounds[language] = append(rounds[language], i)
		}
	}
	for _, language := range slices.Sorted(maps.Keys(rounds)) {
		if p.words = h.words; language != "" {
			p.words = h.words.with("language", language)
		}
		var skus []pim.SKU
		for _, i := range rounds[language] {
			skus = append(skus, items[i].SKU)
		}
		found, err := p.lookUp(ctx, skus)
		if err != nil {
			return nil, err
		}
		for _, i := range rounds[language] {
			out[i] = p.held(i, found[items[i].SKU])
		}
	}
	return out, nil
}

// held says what Tryton holds of an item. A product that is inactive is as a
// withdrawal leaves it, unless the document itself wants it so.
func (p *push) held(i int, r *record) connectors.Held {
	it, d := &p.items[i], p.docs[i]
	if d == nil {
		if r == nil || !r.Active || p.Withdraw == "keep" && it.Action == connectors.Withdraw {
			return connectors.Held{Presence: connectors.Absent, Exact: true}
		}
		return connectors.Held{Presence: connectors.Kept}
	}
	wanted := d.Active == nil || *d.Active
	if r == nil || !r.Active && wanted {
		return connectors.Held{Presence: connectors.Absent}
	}
	fields, err := connectors.DecodeDocument(it.Document)
	if err != nil {
		return connectors.Held{Err: &connectors.Error{Verdict: connectors.Permanent, Err: err}}
	}
	// What only a creation sends, or what only says where to, and what is not sent.
	held := make(map[string]any, len(fields))
	for name := range fields {
		held[name] = connectors.Unsent{}
	}
	same := map[string]bool{
		"name": d.Name == r.Template.Name, "active": wanted == r.Active,
		"description": d.Description != nil && *d.Description == text(r.Description),
		"gtin":        gtin(r.Identifiers, d.GTIN) == nil,
	}
	held["active"] = r.Active
	if d.Parent == "" { // the name is the template's, and so the parent's
		held["name"] = r.Template.Name
	}
	if d.Description != nil {
		held["description"] = text(r.Description)
	}
	if d.GTIN != "" { // none is ever taken away
		held["gtin"] = nil
		for _, id := range slices.Backward(r.Identifiers) {
			if text(id.Type) == "ean" {
				held["gtin"] = id.Code
			}
		}
	}
	document, exact, err := connectors.HeldDocument(it.Document, held, func(field string, _, _ any) (alike, exact bool) { return same[field], same[field] })
	if err != nil {
		return connectors.Held{Err: &connectors.Error{Verdict: connectors.Permanent, Err: err}}
	}
	return connectors.Held{Presence: connectors.Kept, Document: document, Exact: exact && same["active"] && (r.Template.Active || !r.Active)}
}

var _ connectors.Reader = (*Connector)(nil)
