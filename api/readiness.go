package api

import (
	"context"
	"net/http"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
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

type familyCompleteness struct {
	CodePath
	Channels []string `query:"channel,explode" maxItems:"100" doc:"Only these channels; may be given more than once"`
	Locales  []string `query:"locale,explode" maxItems:"100" doc:"In these locales instead of each channel's own; may be given more than once"`
}

// FamilyCompleteness is how complete a family's products are, channel by channel.
type FamilyCompleteness struct {
	Family   string                         `json:"family"`
	Channels []postgres.ChannelCompleteness `json:"channels"`
}

func (s *server) registerReadiness() {
	handle(s, op("get-family-completeness", http.MethodGet, "/v1/families/{code}/completeness", tagSchema, "Count what a family's products lack, by channel",
		says("In each channel's locale, or in those that are named; in a house without channels, in all its locales. It is worked out anew each time, which takes a second or so for ten thousand products.")), s.familyCompleteness)
	handle(s, op("get-product-completeness", http.MethodGet, "/v1/products/{sku}/completeness", tagProducts, "Tell what a product lacks for each channel, and what would be refused there",
		says("Completeness is of what the product's family requires on the channel, in its locale; a variant has its parent's values, too. "+
			"Readiness adds what the channel's mapping, its connector's check and its target have against it, before anything is sent. "+
			"Without channels, locales that are named are told of, without a channel.")), s.productCompleteness)
}

func (s *server) familyCompleteness(ctx context.Context, in *familyCompleteness) (*answer[FamilyCompleteness], error) {
	locales, err := s.knownLocales(in.Locales)
	if err != nil {
		return nil, err
	}
	list, err := s.Store.FamilyCompleteness(ctx, in.Code, channelCodes(in.Channels), locales)
	if err != nil {
		return nil, err
	}
	return &answer[FamilyCompleteness]{FamilyCompleteness{Family: in.Code, Channels: list}}, nil
}

func channelCodes(list []string) []pim.ChannelCode {
	codes := make([]pim.ChannelCode, len(list))
	for i, c := range list {
		codes[i] = pim.ChannelCode(c)
	}
	return codes
}

func (s *server) productCompleteness(ctx context.Context, in *productCompleteness) (*answer[ProductCompleteness], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	locales, err := s.knownLocales(in.Locales)
	if err != nil {
		return nil, err
	}
	list, err := s.Channels.Readiness(ctx, sku, channelCodes(in.Channels), locales)
	if err != nil {
		return nil, err
	}
	return &answer[ProductCompleteness]{ProductCompleteness{SKU: sku, Channels: list}}, nil
}

// knownLocales reads a parameter of locales that the house has.
func (s *server) knownLocales(list []string) ([]pim.Locale, error) {
	locales := make([]pim.Locale, len(list))
	for i, l := range list {
		if locales[i] = pim.Locale(l); !s.Store.Schema().Locales[locales[i]] {
			return nil, badParameter("query.locale", "locale.unknown", "locale "+l+" is not known")
		}
	}
	return locales, nil
}
