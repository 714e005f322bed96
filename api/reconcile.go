package api

import (
	"context"
	"net/http"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type startReconcile struct {
	CodePath
	SKU    []string `query:"sku,explode" maxItems:"1000" doc:"Only these products"`
	Repair bool     `query:"repair" doc:"Put what differs on the road again, whatever the channel's policy says"`
}

type reconcileAnswer struct {
	Status int
	Body   pim.ReconcileStatus
}

type listDrift struct {
	CodePath
	Paging
	SKU  string `query:"sku" maxLength:"128" doc:"Only this product"`
	Lane string `query:"lane" enum:"content,offer,media"`
}

func (s *server) registerReconcile() {
	const path = "/v1/channels/{code}/reconcile"
	handle(s, op("start-reconcile", http.MethodPost, path, tagChannels, "Read back what a channel's target holds, and compare it with what it acknowledged",
		says("Of all products, or of those named. It goes on by itself; GET tells how far it is. One at a time: 409 while another is under way."),
		status(http.StatusAccepted)), s.startReconcile)
	handle(s, op("get-reconcile", http.MethodGet, path, tagChannels, "Get how the reading back of a channel's target fares"), s.getReconcile)
	handle(s, op("cancel-reconcile", http.MethodDelete, path, tagChannels, "Cancel the reading back that was asked for; what it found stays"),
		func(ctx context.Context, in *CodePath) (*reconcileAnswer, error) {
			if _, err := s.Store.CancelReconcile(ctx, pim.ChannelCode(in.Code)); err != nil {
				return nil, err
			}
			return s.getReconcile(ctx, in)
		})
	handle(s, op("list-drift", http.MethodGet, "/v1/channels/{code}/drift", tagChannels, "List the listings whose target was found to hold something else than it had acknowledged",
		says("By product and lane, with the fields that differ.")), s.listDrift)
}

func (s *server) startReconcile(ctx context.Context, in *startReconcile) (*reconcileAnswer, error) {
	skus := make([]pim.SKU, len(in.SKU))
	for i, sku := range in.SKU {
		skus[i] = pim.SKU(sku)
	}
	st, err := s.Channels.Reconcile(ctx, pim.ChannelCode(in.Code), skus, in.Repair, callOf(ctx).key.Name)
	if err != nil {
		return nil, err
	}
	ch, err := s.Store.Channel(ctx, pim.ChannelCode(in.Code))
	if err != nil {
		return nil, err
	}
	s.Wake(postgres.Consumer{Kind: postgres.Reconcile, Channel: ch.ID})
	return &reconcileAnswer{http.StatusAccepted, *st}, nil
}

func (s *server) getReconcile(ctx context.Context, in *CodePath) (*reconcileAnswer, error) {
	st, err := s.Channels.ReconcileStatus(ctx, pim.ChannelCode(in.Code))
	if err != nil {
		return nil, err
	}
	return &reconcileAnswer{http.StatusOK, *st}, nil
}

func (s *server) listDrift(ctx context.Context, in *listDrift) (*answer[page[pim.Drift]], error) {
	var lane pim.Lane
	if in.Lane != "" {
		var err error
		if lane, err = pim.ParseLane(in.Lane); err != nil {
			return nil, badParameter("query.lane", "lane", err.Error())
		}
	}
	ch, err := s.Store.Channel(ctx, pim.ChannelCode(in.Code))
	if err != nil {
		return nil, err
	}
	list, next, err := s.Store.Drifts(ctx, ch.Code, pim.SKU(in.SKU), lane, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}
