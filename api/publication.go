package api

import (
	"context"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// PublicationRow is one row of a batch of windows.
type PublicationRow struct {
	SKU     pim.SKU         `json:"sku"`
	Channel pim.ChannelCode `json:"channel"`
	From    *time.Time      `json:"from,omitempty" nullable:"true" doc:"Inclusive; absent: since ever"`
	To      *time.Time      `json:"to,omitempty" nullable:"true" doc:"Exclusive; absent: for ever"`
	Delete  bool            `json:"delete,omitempty" doc:"Take the window away: the product is published there whenever it is enabled"`
}

// PublicationAnswer are a product's windows.
type PublicationAnswer struct {
	Items []pim.Publication `json:"items" doc:"By channel. On channels that are not among them the product is published whenever it is enabled"`
}

func (s *server) registerPublication() {
	handle(s, op("set-publication", http.MethodPost, "/v1/publication:batch", tagProducts, "Set up to 1,000 windows of publication, each row for itself",
		takesRows[PublicationRow](s), says(batchText+" Outside of its window a product is kept from the channel, or withdrawn from it, as one that is disabled; "+
			"that begins and ends on time by itself. A variant is published when its parent is, too.")), func(ctx context.Context, in *batchInput) (*answer[BatchAnswer], error) {
		return batch(ctx, in, publicationRow, s.Store.SetPublications)
	})
	handle(s, op("get-product-publication", http.MethodGet, "/v1/products/{sku}/publication", tagProducts, "List a product's windows of publication"),
		s.getPublication)
}

func (s *server) getPublication(ctx context.Context, in *SKUPath) (*answer[PublicationAnswer], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	list, err := s.Store.Publications(ctx, sku)
	if err != nil {
		return nil, err
	}
	return &answer[PublicationAnswer]{PublicationAnswer{list}}, nil
}

func publicationRow(b *binder, m map[string]any) pim.PublicationRow {
	b.finish(m, "sku", "channel", "from", "to", "delete")
	r := pim.PublicationRow{SKU: b.rowSKU(m)}
	if m["channel"] == nil {
		b.fault("/channel", "field.missing", `"channel" is missing`)
	}
	if v := m["delete"]; v != nil {
		is, ok := v.(bool)
		if !ok {
			b.wrong("/delete", "true or false", v)
		}
		r.Delete = is
	}
	r.Publication = pim.Publication{Channel: pim.ChannelCode(b.rowText(m, "channel")), From: b.rowTime(m, "from"), To: b.rowTime(m, "to")}
	return r
}
