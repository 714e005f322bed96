package api

import (
	"context"
	"net/http"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagRoad = "listings and events"

type listListings struct {
	Paging
	Sorting
	Channel string `query:"channel" maxLength:"100"`
	SKU     string `query:"sku" maxLength:"128"`
	Lane    string `query:"lane" enum:"content,offer,media"`
	State   string `query:"state" enum:"waiting,pending,accepted,live,verified,rejected,withdrawn,sold_out,none"`
	Issues  bool   `query:"issues" doc:"true: only listings with issues"`
}

type listEvents struct {
	Paging
}

func (s *server) registerListings() {
	handle(s, op("list-listings", http.MethodGet, "/v1/listings", tagRoad, "List where products stand on channels",
		says("One item per product, channel and lane, with its issues and what the target answered last.")), s.listListings)
	handle(s, op("list-events", http.MethodGet, "/v1/events", tagRoad, "Read the log of all changes, oldest first",
		says("next_cursor is always there: a reader that comes back with it misses nothing. No items: nothing new yet.")), s.listEvents)
}

func (s *server) listListings(ctx context.Context, in *listListings) (*answer[page[pim.Listing]], error) {
	f := postgres.ListingFilter{Channel: pim.ChannelCode(in.Channel), SKU: pim.SKU(in.SKU), State: pim.ListingState(in.State), Issues: in.Issues}
	if in.Lane != "" {
		lane, err := pim.ParseLane(in.Lane)
		if err != nil {
			return nil, badParameter("query.lane", "lane", err.Error())
		}
		f.Lane = lane
	}
	list, next, err := s.Store.Listings(ctx, f, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}

func (s *server) listEvents(ctx context.Context, in *listEvents) (*answer[page[pim.Event]], error) {
	list, next, err := s.Store.Events(ctx, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}
