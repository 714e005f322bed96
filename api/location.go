package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// LocationView is a location as the API shows it.
type LocationView struct {
	pim.Location
	Revision  int64     `json:"revision" doc:"What the ETag names"`
	UpdatedAt time.Time `json:"updated_at"`
}

type locationAnswer struct {
	Status int
	ETag   string `header:"ETag" doc:"The location's revision"`
	Body   LocationView
}

// putLocationBody is a location, or no body for a code alone.
type putLocationBody struct {
	CodePath
	Preconditions
	RawInput
}

// Availability is a product's stock, and what each channel shows of it.
type Availability struct {
	SKU      pim.SKU       `json:"sku"`
	Levels   []Stock       `json:"levels"`
	Channels []ChannelSale `json:"channels" doc:"By their codes. A product whose stock nobody keeps has none"`
}

// ChannelSale is what a channel shows of a product's stock.
type ChannelSale struct {
	Channel   pim.ChannelCode `json:"channel"`
	Locations []string        `json:"locations" doc:"Whose stock counts; empty: every location's"`
	pim.StockRule
	pim.Sale
}

func (s *server) registerLocations() {
	handle(s, op("list-locations", http.MethodGet, "/v1/locations", tagOffers, "List all stock locations by code"), s.listLocations)
	handle(s, op("get-location", http.MethodGet, "/v1/locations/{code}", tagOffers, "Get a stock location"), s.getLocation)
	handle(s, op("put-location", http.MethodPut, "/v1/locations/{code}", tagOffers, "Create or replace a stock location", creates, takesLong, means(meantEnabled),
		says("Without a body it is made with its code alone, and left as it is when it is there. What channels show differently by it is sent, and nothing else."),
		mayTakeJSON[pim.Location](s, "code")), s.putLocation)
	deletes(s, op("delete-location", http.MethodDelete, "/v1/locations/{code}", tagOffers, "Delete a stock location where nothing was ever kept and that no channel names"),
		s.Store.DeleteLocation)
	handle(s, op("get-stock", http.MethodGet, "/v1/products/{sku}/stock", tagOffers, "Get a product's stock levels, and what each channel shows of them"), s.getStock)
}

// ViewLocation is a location as the API shows it.
func ViewLocation(l postgres.Location) LocationView {
	return LocationView{Location: l.Location, Revision: l.Rev, UpdatedAt: l.UpdatedAt}
}

// ReadLocation reads a location from JSON; code is told elsewhere. The error is a
// *pim.Invalid.
func ReadLocation(body []byte, code string) (pim.Location, error) {
	return decode[pim.Location](body, map[string]string{"code": code})
}

func (s *server) listLocations(ctx context.Context, _ *struct{}) (*answer[page[LocationView]], error) {
	list, err := s.Store.Locations(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]LocationView, len(list))
	for i, l := range list {
		items[i] = ViewLocation(l)
	}
	return pageOf(items, ""), nil
}

func (s *server) getLocation(ctx context.Context, in *CodePath) (*locationAnswer, error) {
	l, err := s.Store.Location(ctx, in.Code)
	if err != nil {
		return nil, err
	}
	return &locationAnswer{http.StatusOK, etag(l.Rev), ViewLocation(l)}, nil
}

func (s *server) putLocation(ctx context.Context, in *putLocationBody) (*locationAnswer, error) {
	if err := pim.ValidCode("location", in.Code); err != nil {
		return nil, badParameter("path.code", "code", err.Error())
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	l := pim.Location{Code: in.Code}
	if len(in.RawBody) > 0 {
		var err error
		if l, err = ReadLocation(in.RawBody, in.Code); err != nil {
			return nil, err
		}
	} else if now, err := s.Store.Location(ctx, in.Code); !errors.Is(err, postgres.ErrNotFound) { // a code alone replaces nothing
		if err != nil {
			return nil, err
		}
		l = now.Location
	}
	now, fresh, err := putUnder(want, func() (int64, error) {
		l, err := s.Store.Location(ctx, in.Code)
		return l.Rev, err
	}, func(rev int64) (postgres.Location, bool, error) { return s.Store.PutLocation(ctx, l, rev) })
	if err != nil {
		return nil, err
	}
	return &locationAnswer{created(!fresh), etag(now.Rev), ViewLocation(now)}, nil
}

func (s *server) getStock(ctx context.Context, in *SKUPath) (*answer[Availability], error) {
	a, err := AvailabilityOf(ctx, s.Store, pim.SKU(in.SKU))
	if err != nil {
		return nil, err
	}
	return &answer[Availability]{a}, nil
}

// AvailabilityOf reads a product's stock, and reckons what each channel shows of
// it; postgres.ErrNotFound.
func AvailabilityOf(ctx context.Context, store *postgres.Store, sku pim.SKU) (Availability, error) {
	schema, err := store.RefreshSchema(ctx)
	if err != nil {
		return Availability{}, err
	}
	p, err := store.Product(ctx, sku)
	if err != nil {
		return Availability{}, err
	}
	channels, err := store.Channels(ctx)
	if err != nil {
		return Availability{}, err
	}
	a := Availability{SKU: p.SKU, Levels: viewStock(p), Channels: []ChannelSale{}}
	for _, c := range channels {
		if sale, kept := schema.Sells(p.Stock, c.Locations, c.Policy.Stock); kept {
			a.Channels = append(a.Channels, ChannelSale{Channel: c.Code, Locations: none(c.Locations), StockRule: c.Policy.Stock, Sale: sale})
		}
	}
	return a, nil
}
