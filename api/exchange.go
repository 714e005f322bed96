package api

import (
	"context"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type listExchanges struct {
	CodePath
	Paging
	SKU     string    `query:"sku" maxLength:"128" doc:"Only those that were about this product"`
	Lane    string    `query:"lane" enum:"content,offer,media"`
	Kind    string    `query:"kind" enum:"push,poll,probe,upload,pull,read,other" doc:"What the connector was called for"`
	Attempt int64     `query:"attempt" minimum:"1" doc:"Only those of this call"`
	Status  string    `query:"status" enum:"1xx,2xx,3xx,4xx,5xx,none" doc:"Class of the answer's status; none: there was no answer"`
	Failed  bool      `query:"failed" doc:"true: only those that failed, or in which the target refused something"`
	Since   time.Time `query:"since" doc:"Begun at or after this time"`
	Until   time.Time `query:"until" doc:"Begun before this time"`
}

type getExchange struct {
	CodePath
	ID int64 `path:"id" minimum:"1"`
}

func (s *server) registerExchanges() {
	handle(s, op("list-exchanges", http.MethodGet, "/v1/channels/{code}/exchanges", tagRoad, "List what a channel's target was asked and answered, the last first",
		says("What is kept, for how long and how much of it, says the channel's policy. Without secrets; headers and bodies are with the single exchange.")), s.listExchanges)
	handle(s, op("get-exchange", http.MethodGet, "/v1/channels/{code}/exchanges/{id}", tagRoad, "Get one request to a channel's target and its answer, with bodies"), s.getExchange)
}

func (s *server) listExchanges(ctx context.Context, in *listExchanges) (*answer[page[postgres.Exchange]], error) {
	c, err := s.Store.Channel(ctx, pim.ChannelCode(in.Code))
	if err != nil {
		return nil, err
	}
	f := postgres.ExchangeFilter{SKU: pim.SKU(in.SKU), Kind: in.Kind, Attempt: in.Attempt, Status: in.Status, Failed: in.Failed}
	if in.Lane != "" {
		if f.Lane, err = pim.ParseLane(in.Lane); err != nil {
			return nil, badParameter("query.lane", "lane", err.Error())
		}
	}
	if !in.Since.IsZero() {
		f.Since = &in.Since
	}
	if !in.Until.IsZero() {
		f.Until = &in.Until
	}
	list, next, err := s.Store.Exchanges(ctx, c.ID, f, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}

func (s *server) getExchange(ctx context.Context, in *getExchange) (*answer[postgres.Exchange], error) {
	c, err := s.Store.Channel(ctx, pim.ChannelCode(in.Code))
	if err != nil {
		return nil, err
	}
	x, err := s.Store.Exchange(ctx, c.ID, in.ID)
	if err != nil {
		return nil, err
	}
	return &answer[postgres.Exchange]{x}, nil
}
