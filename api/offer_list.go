package api

import (
	"context"
	"net/http"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// PriceItem is a price with the product that has it.
type PriceItem struct {
	SKU pim.SKU `json:"sku"`
	Price
}

// StockItem is a stock level with the product that has it.
type StockItem struct {
	SKU pim.SKU `json:"sku"`
	Stock
}

// PublicationItem is a window of publication with the product that has it.
type PublicationItem struct {
	SKU pim.SKU `json:"sku"`
	pim.Publication
}

type listPrices struct {
	Paging
	SKU       string `query:"sku" maxLength:"128"`
	PriceList string `query:"price_list" maxLength:"100"`
	Currency  string `query:"currency" maxLength:"3"`
}

type listStock struct {
	Paging
	SKU      string `query:"sku" maxLength:"128"`
	Location string `query:"location" maxLength:"100"`
}

type listPublication struct {
	Paging
	SKU     string `query:"sku" maxLength:"128"`
	Channel string `query:"channel" maxLength:"100"`
}

func (s *server) registerOfferLists() {
	handle(s, op("list-prices", http.MethodGet, "/v1/prices", tagOffers, "List prices",
		says("Those that rules have made among them; in the order in which their products were made, of each by list, currency, quantity and window.")), s.listPrices)
	handle(s, op("list-stock", http.MethodGet, "/v1/stock", tagOffers, "List stock levels",
		says("In the order in which their products were made, of each by location.")), s.listStock)
	handle(s, op("list-publication", http.MethodGet, "/v1/publication", tagProducts, "List windows of publication",
		says("In the order in which their products were made. What is not among them is published whenever it is enabled.")), s.listPublication)
}

func (s *server) listPrices(ctx context.Context, in *listPrices) (*answer[page[PriceItem]], error) {
	list, next, err := s.Store.Prices(ctx, postgres.OfferFilter{SKU: pim.SKU(in.SKU), PriceList: in.PriceList, Currency: pim.Currency(in.Currency)}, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]PriceItem, len(list))
	for i, p := range list {
		items[i] = PriceItem{p.SKU, viewPrice(p.Price)}
	}
	return pageOf(items, next), nil
}

func (s *server) listStock(ctx context.Context, in *listStock) (*answer[page[StockItem]], error) {
	list, next, err := s.Store.StockLevels(ctx, postgres.OfferFilter{SKU: pim.SKU(in.SKU), Location: in.Location}, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]StockItem, len(list))
	for i, l := range list {
		items[i] = StockItem{l.SKU, Stock{Location: l.Location, OnHand: l.OnHand, Reserved: l.Reserved, Safety: l.SafetyStock, Available: l.Free}}
	}
	return pageOf(items, next), nil
}

func (s *server) listPublication(ctx context.Context, in *listPublication) (*answer[page[PublicationItem]], error) {
	list, next, err := s.Store.PublicationWindows(ctx, postgres.OfferFilter{SKU: pim.SKU(in.SKU), Channel: pim.ChannelCode(in.Channel)}, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	items := make([]PublicationItem, len(list))
	for i, w := range list {
		items[i] = PublicationItem{w.SKU, w.Publication}
	}
	return pageOf(items, next), nil
}
