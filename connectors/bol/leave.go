package bol

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// leaving is what a patch changes of the offer of what leaves the channel: a field
// that it does not have, bol keeps as it is.
type leaving struct {
	OnHold *bool       `json:"onHoldByRetailer,omitempty"`
	Stock  *stockLevel `json:"stock,omitempty"`
}

// held is an offer that nobody is shown.
func held() leaving {
	yes := true
	return leaving{OnHold: &yes}
}

// hold keeps what is offered under a SKU from being shown. Offers that are on
// their way meanwhile would show it again: see Connector.gone.
func (p *push) hold(ctx context.Context, sku pim.SKU) error {
	unlock, err := p.locks.Lock(ctx, sku)
	if err != nil {
		return err
	}
	defer unlock()
	p.gone.Add(sku, time.Now())
	return p.leave(ctx, sku, held())
}

// sellOut leaves nothing to be sold of what is offered under a SKU. What lies in
// bol's own warehouse only bol counts, so that such an offer is put on hold.
func (p *push) sellOut(ctx context.Context, item connectors.Item) error {
	unlock, err := p.locks.Lock(ctx, item.SKU)
	if err != nil {
		return err
	}
	defer unlock()
	method := p.fulfilment.Method
	if doc, err := connectors.DecodeDocument(item.Document); err == nil { // of a tombstone it may say anything
		o := &wireOffer{Fulfilment: p.fulfilment}
		if o.fulfil(&faults{}, doc["fulfilment"]); o.Fulfilment.Method != "" {
			method = o.Fulfilment.Method
		}
	}
	if method == "FBB" {
		return p.leave(ctx, item.SKU, held())
	}
	return p.leave(ctx, item.SKU, leaving{Stock: &stockLevel{ManagedByRetailer: !p.managedByBol}})
}

// leave patches all offers of a SKU; that there is none is as good.
func (p *push) leave(ctx context.Context, sku pim.SKU, l leaving) error {
	offers, err := p.offered(ctx, sku)
	if err != nil {
		return err
	}
	done := false
	for _, h := range offers {
		resp, err := p.do(ctx, request{op: opPatch, path: offersPath(h.ID), body: l, field: offerField})
		if err != nil && (resp == nil || resp.Status != http.StatusNotFound) {
			return doubted(err, done)
		}
		done = true
	}
	return nil
}

// offered are the offers of a SKU. A list may lag behind: what was made just now
// is known by its id.
func (p *push) offered(ctx context.Context, sku pim.SKU) ([]heldOffer, error) {
	offers, err := p.list(ctx, map[string][]string{"reference": {string(sku)}})
	if err != nil {
		return nil, err
	}
	offers = slices.DeleteFunc(offers, func(h heldOffer) bool { return h.Reference != string(sku) })
	if k, ok := p.known.Peek(sku); ok && !slices.ContainsFunc(offers, func(h heldOffer) bool { return h.ID == k.id }) {
		offers = append(offers, heldOffer{ID: k.id, EAN: k.ean, Reference: string(sku), Condition: k.condition})
	}
	return offers, nil
}
