package api

import (
	"context"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Choice narrows a command to some of a channel's listings.
type Choice struct {
	SKU      []string  `query:"sku,explode" maxItems:"1000" doc:"Only these products"`
	Family   string    `query:"family" maxLength:"100" doc:"Only products of this family"`
	Category string    `query:"category" maxLength:"100" doc:"Only products in this category, or in one below it"`
	Lane     string    `query:"lane" enum:"content,offer,media"`
	Updated  time.Time `query:"updated_since" doc:"Only products that were changed since: their texts, categories or status"`
	Issue    string    `query:"issue" maxLength:"200" doc:"Only listings with an issue of this code"`
	Filter   string    `query:"filter" maxLength:"4096" doc:"Only listings of products that fit this condition, in the language of GET /v1/products"`
}

func (c *Choice) read(code string) (postgres.ListingChoice, error) {
	out := postgres.ListingChoice{
		Channel: pim.ChannelCode(code), Family: c.Family, Category: c.Category, Issue: c.Issue, Updated: c.Updated,
	}
	if c.Filter != "" {
		var err error
		if out.Where, err = pim.ParseFilter(c.Filter); err != nil {
			return out, err
		}
	}
	for _, sku := range c.SKU {
		out.SKUs = append(out.SKUs, pim.SKU(sku))
	}
	if c.Lane != "" {
		lane, err := pim.ParseLane(c.Lane)
		if err != nil {
			return out, badParameter("query.lane", "lane", err.Error())
		}
		out.Lane = lane
	}
	return out, nil
}

type resyncChannel struct {
	CodePath
	Choice
	State string `query:"state" enum:"waiting,pending,accepted,live,verified,rejected,withdrawn,sold_out,none" doc:"Only listings in this state"`
	Drift bool   `query:"drifted" doc:"Only listings of which the target was found to hold something else; with full, to have it put right"`
	Full  bool   `query:"full" doc:"Send everything, also what the target is believed to hold"`
}

type retryChannel struct {
	CodePath
	Choice
}

// Resynced is a channel that is compared with its target.
type Resynced struct {
	Channel
	Resynced *int64 `json:"resynced,omitempty" doc:"How many listings are, where only some were asked for; left out: all, and they are marked step by step"`
}

type resyncAnswer struct {
	ETag string `header:"ETag" doc:"The version of the settings"`
	Body Resynced
}

// Retried says how many listings are tried again.
type Retried struct {
	Retried int64 `json:"retried"`
}

func (s *server) registerChoices() {
	handle(s, op("forecast-channel", http.MethodGet, "/v1/channels/{code}/forecast", tagChannels, "Say until when a channel will have sent what waits",
		says("By the rate that was measured over the last ten minutes of work at most, over all processes. It reads every waiting listing: ask every few seconds at most."), takesLong),
		func(ctx context.Context, in *CodePath) (*answer[jobs.Forecast], error) {
			f, err := s.Channels.Forecast(ctx, pim.ChannelCode(in.Code))
			if err != nil {
				return nil, err
			}
			return &answer[jobs.Forecast]{*f}, nil
		})
	handle(s, op("resync-channel", http.MethodPost, "/v1/channels/{code}/resync", tagChannels, "Compare the catalogue, or some of it, with a channel, and send what differs",
		says("Several parameters narrow each other. What is sent goes behind edits. Where only some is asked for, the answer comes when all of it is marked."), takesLong), s.resyncChannel)
	handle(s, op("retry-channel", http.MethodPost, "/v1/channels/{code}/retry", tagChannels, "Try a channel's rejected listings, or some of them, again",
		says("Several parameters narrow each other."), takesLong), s.retryChannel)
}

func (s *server) resyncChannel(ctx context.Context, in *resyncChannel) (*resyncAnswer, error) {
	c, err := in.read(in.Code)
	if err != nil {
		return nil, err
	}
	c.State, c.Drifted = pim.ListingState(in.State), in.Drift
	var some *int64
	if c.Whole() {
		err = s.Store.ResyncChannel(ctx, c.Channel, in.Full)
	} else {
		var n int64
		n, err = s.Store.ResyncListings(ctx, c, in.Full)
		some = &n
	}
	if err != nil {
		return nil, err
	}
	ch, err := s.Store.Channel(ctx, c.Channel)
	if err != nil {
		return nil, err
	}
	s.wakeChannel(ch.ID)
	return &resyncAnswer{ETag: etag(ch.Version), Body: Resynced{Channel: s.viewChannel(ch), Resynced: some}}, nil
}

func (s *server) retryChannel(ctx context.Context, in *retryChannel) (*answer[Retried], error) {
	c, err := in.read(in.Code)
	if err != nil {
		return nil, err
	}
	n, err := s.Store.RetryListings(ctx, c)
	if err != nil {
		return nil, err
	}
	ch, err := s.Store.Channel(ctx, c.Channel)
	if err != nil {
		return nil, err
	}
	s.wakeChannel(ch.ID)
	return &answer[Retried]{Retried{n}}, nil
}
