package bol

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// shownOffer is an offer with all that bol tells of it (Offers API 11.3,
// OfferResponse).
type shownOffer struct {
	ID       string `json:"offerId"`
	Modified string `json:"lastModifiedDateTime"`
	wireOffer
}

// Readable implements connectors.Reader. What bol shows of a product is made of
// what all of its sellers sent: of our own content it tells what it took, and no
// more (see Poll).
func (c *Connector) Readable() pim.Lanes { return pim.LanesOf(pim.Offer) }

// Read asks for the items' offers by their EANs, as many at once as one address
// holds; see connectors.Reader.
func (c *Connector) Read(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	out := make([]connectors.Held, len(items))
	wanted := make([]*wireOffer, len(items))
	var eans []string
	for i, it := range items {
		if wanted[i], out[i].Err = c.expected(it); wanted[i] != nil && !slices.Contains(eans, wanted[i].EAN) {
			eans = append(eans, wanted[i].EAN)
		}
	}
	found := map[string][]*shownOffer{}
	var queries []url.Values
	for chunk := range slices.Chunk(eans, perQuery) {
		queries = append(queries, url.Values{"eans": chunk})
	}
	for _, it := range items {
		if it.Action == connectors.SellOut { // whose document may lack anything
			queries = append(queries, url.Values{"reference": {string(it.SKU)}})
		}
	}
	for _, query := range queries {
		offers, err := pages[*shownOffer](ctx, c, query)
		if err != nil {
			return nil, err
		}
		for _, o := range offers {
			if o != nil && o.Condition != nil {
				found[o.Reference] = append(found[o.Reference], o)
			}
		}
	}
	for i, it := range items {
		if it.Action == connectors.SellOut {
			out[i] = left(found[string(it.SKU)])
		}
		if o := wanted[i]; o != nil {
			at := slices.IndexFunc(found[string(it.SKU)], func(h *shownOffer) bool {
				return sameEAN(h.EAN, o.EAN) && h.Condition.same(*o.Condition)
			})
			if at < 0 { // what has another reference, or none, is not ours (yet)
				out[i] = connectors.Held{Presence: connectors.Absent}
				continue
			}
			out[i] = found[string(it.SKU)][at].held(it, o)
		}
	}
	return out, nil
}

// left says what is left of offers that nobody shall be sold any more.
func left(offers []*shownOffer) connectors.Held {
	for _, h := range offers {
		if !h.OnHold && (h.Fulfilment.Method == "FBB" || h.amount() > 0) {
			return connectors.Held{Presence: h.presence(), Version: h.Modified}
		}
	}
	return connectors.Held{Presence: connectors.Absent, Exact: true}
}

func (h *shownOffer) presence() connectors.Presence {
	if slices.ContainsFunc(h.Countries, func(c country) bool { return c.ForSale }) {
		return connectors.Shown
	}
	return connectors.Kept
}

// expected is the offer that an item should have made; nil of one that is to be
// sold to nobody.
func (c *Connector) expected(it connectors.Item) (*wireOffer, error) {
	if it.Action == connectors.SellOut {
		return nil, nil //nolint:nilnil // it has none
	}
	doc, err := connectors.DecodeDocument(it.Document)
	if err != nil || it.Lane != pim.Offer || it.Action.Withdraws() {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: errors.New("bol tells of offers by their documents, and of nothing else")}
	}
	o, issues := c.offer(doc)
	if f := (&faults{issues: issues}); f.fatal() {
		return nil, &connectors.Error{Verdict: connectors.Validation, Issues: issues, Err: errors.New("bol would not take this offer")}
	}
	return o, nil
}

// held says what of an item bol holds.
func (h *shownOffer) held(it connectors.Item, want *wireOffer) connectors.Held {
	shown := connectors.Held{Presence: h.presence(), Version: h.Modified}
	same := map[string]bool{
		"ean":       true, // it was found by it
		"price":     len(h.Pricing.Bundles) > 0 && len(want.Pricing.Bundles) > 0 && sameBundle(h.Pricing.Bundles[0], want.Pricing.Bundles[0]),
		"bundles":   slices.EqualFunc(h.Pricing.Bundles, want.Pricing.Bundles, sameBundle),
		"condition": h.Condition.same(*want.Condition) && h.Condition.Comment == want.Condition.Comment,
		"on_hold":   h.OnHold == want.OnHold,
		"countries": slices.Equal(h.codes(), want.codes()),
		// bol fills in what an offer leaves out of it.
		"fulfilment":           h.Fulfilment.Method == want.Fulfilment.Method && (want.Fulfilment.Schedule == "" || h.Fulfilment.Schedule == want.Fulfilment.Schedule) && (want.Fulfilment.Promise == nil || reflect.DeepEqual(h.Fulfilment.Promise, want.Fulfilment.Promise)),
		"stock":                want.Stock != nil && h.amount() == want.Stock.Amount,
		"economic_operator_id": h.EconomicOperator == want.EconomicOperator,
		"title":                h.UnknownTitle == want.UnknownTitle,
	}
	held := map[string]any{
		"ean": h.EAN, "bundles": h.bundles(), "condition": h.Condition, "on_hold": h.OnHold, "countries": h.codes(), "fulfilment": h.Fulfilment,
		"price": nil, "stock": h.amount(), "economic_operator_id": none(h.EconomicOperator),
		"currency": connectors.Unsent{}, "sku": connectors.Unsent{}, "parent": connectors.Unsent{},
	}
	if len(h.Pricing.Bundles) > 0 {
		held["price"] = h.Pricing.Bundles[0].UnitPrice
	}
	if want.Stock == nil {
		held["stock"] = connectors.Unsent{} // bol's own to count
	}
	if h.UnknownTitle != "" { // of a product that bol knows it keeps none, and does not say whether it does
		held["title"] = h.UnknownTitle
	}
	document, exact, err := connectors.HeldDocument(it.Document, held, func(field string, _, _ any) (alike, exact bool) { return same[field], same[field] })
	if err != nil {
		return connectors.Held{Err: &connectors.Error{Verdict: connectors.Permanent, Err: err}}
	}
	shown.Document = document
	// What a push sets whatever the document says.
	bare := same["bundles"] && same["on_hold"] && same["countries"] && same["fulfilment"] && same["condition"] &&
		(want.Stock == nil || same["stock"] && h.Stock != nil && h.Stock.ManagedByRetailer == want.Stock.ManagedByRetailer) &&
		(want.EconomicOperator == "" || same["economic_operator_id"])
	shown.Exact = exact && bare
	return shown
}

func none(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (h *shownOffer) amount() int {
	if h.Stock == nil {
		return 0
	}
	return h.Stock.Amount
}

// bundles are prices as documents have them.
func (h *shownOffer) bundles() []any {
	list := []any{}
	for _, b := range h.Pricing.Bundles {
		list = append(list, map[string]any{"quantity": b.Quantity, "price": b.UnitPrice})
	}
	return list
}

func sameBundle(a, b bundle) bool {
	return max(a.Quantity, 1) == max(b.Quantity, 1) && connectors.SameAmount(a.UnitPrice.String(), b.UnitPrice.String())
}

// codes are the countries that an offer is for, in order.
func (o *wireOffer) codes() []string {
	codes := make([]string, 0, len(o.Countries))
	for _, c := range o.Countries {
		codes = append(codes, c.Code)
	}
	slices.Sort(codes)
	return codes
}

var _ connectors.Reader = (*Connector)(nil)
