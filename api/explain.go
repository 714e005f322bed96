package api

import (
	"context"
	"net/http"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

type explainListing struct {
	Channel string `path:"channel" maxLength:"100"`
	SKUPath
}

func (s *server) registerExplain() {
	handle(s, op("explain-listing", http.MethodGet, "/v1/listings/{channel}/{sku}/explain", tagRoad, "Say why a product is or is not live on a channel",
		says("As a chain from the edit to the target's answer, lane by lane, with the exact reason for which it waits, since when, and until when. "+
			"All of it is read in one snapshot. That there is no such product is an answer, too; that there is no such channel is a 404.")), s.explainListing)
}

func (s *server) explainListing(ctx context.Context, in *explainListing) (*answer[*jobs.Explanation], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	x, err := s.Channels.Explain(ctx, pim.ChannelCode(in.Channel), sku)
	if err != nil {
		return nil, err
	}
	return &answer[*jobs.Explanation]{x}, nil
}
