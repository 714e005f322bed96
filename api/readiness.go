package api

import (
	"context"
	"net/http"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

type productCompleteness struct {
	SKUPath
	Channels []string `query:"channel,explode" maxItems:"100" doc:"Only these channels; may be given more than once"`
	Locales  []string `query:"locale,explode" maxItems:"100" doc:"In these locales instead of each channel's own; may be given more than once"`
}

// ProductCompleteness is how complete a product is, channel by channel.
type ProductCompleteness struct {
	SKU      pim.SKU          `json:"sku"`
	Channels []jobs.Readiness `json:"channels"`
}

func (s *server) registerReadiness() {
	handle(s, op("get-product-completeness", http.MethodGet, "/v1/products/{sku}/completeness", tagProducts, "Tell what a product lacks for each channel, and what would be refused there",
		says("Completeness is of what the product's family requires on the channel, in its locale; a variant has its parent's values, too. "+
			"Readiness adds what the channel's mapping, its connector's check and its target have against it, before anything is sent. "+
			"Without channels, locales that are named are told of, without a channel.")), s.productCompleteness)
}

func (s *server) productCompleteness(ctx context.Context, in *productCompleteness) (*answer[ProductCompleteness], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	channels := make([]pim.ChannelCode, len(in.Channels))
	for i, c := range in.Channels {
		channels[i] = pim.ChannelCode(c)
	}
	locales := make([]pim.Locale, len(in.Locales))
	for i, l := range in.Locales {
		if locales[i] = pim.Locale(l); !s.Store.Schema().Locales[locales[i]] {
			return nil, badParameter("query.locale", "locale.unknown", "locale "+l+" is not known")
		}
	}
	list, err := s.Channels.Readiness(ctx, sku, channels, locales)
	if err != nil {
		return nil, err
	}
	return &answer[ProductCompleteness]{ProductCompleteness{SKU: sku, Channels: list}}, nil
}
