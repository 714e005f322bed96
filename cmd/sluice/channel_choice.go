//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// choice narrows a command to some of a channel's listings.
type choice struct {
	SKU      []pim.SKU `name:"sku" sep:"none" help:"Only this product; can be repeated."`
	Family   string    `help:"Only products of this family."`
	Category string    `help:"Only products in this category, or in one below it."`
	Lane     string    `enum:",content,offer,media" default:"" help:"Only this lane: content, offer or media."`
	Since    time.Time `placeholder:"TIME" help:"Only products whose texts, categories or status were changed since, as 2026-11-21T08:00:00Z."`
	Issue    string    `help:"Only listings with an issue of this code."`
	Filter   string    `short:"f" placeholder:"CONDITION" help:"Only listings of products that fit it, such as: values.color = red and completeness.shop = 100. docs/finding.md has the language."`
}

func (c *choice) read(code pim.ChannelCode) (postgres.ListingChoice, error) {
	out := postgres.ListingChoice{Channel: code, SKUs: c.SKU, Family: c.Family, Category: c.Category, Issue: c.Issue, Updated: c.Since}
	if c.Filter != "" {
		var err error
		if out.Where, err = pim.ParseFilter(c.Filter); err != nil {
			return out, err
		}
	}
	if c.Lane != "" {
		lane, err := pim.ParseLane(c.Lane)
		if err != nil {
			return out, err
		}
		out.Lane = lane
	}
	return out, nil
}

type channelResyncCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
	choice
	State string `enum:",waiting,pending,accepted,live,verified,rejected,withdrawn,sold_out,none" default:"" help:"Only listings in this state: waiting, pending, accepted, live, verified, rejected, withdrawn, sold_out or none."`
	Drift bool   `name:"drifted" help:"Only listings of which the target was found to hold something else; with --full to have it put right."`
	Full  bool   `help:"Send everything, for a target that lost or changed its data."`
}

// Run resyncs the channel.
func (r channelResyncCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onChannel(ctx, c, log, r.Code, func(s *postgres.Store) (string, error) {
		which, err := r.read(r.Code)
		if err != nil {
			return "", err
		}
		which.Drifted = r.Drift
		if which.State = pim.ListingState(r.State); which.Whole() {
			return fmt.Sprintf("Channel %s is rendered anew.", r.Code), s.ResyncChannel(ctx, r.Code, r.Full)
		}
		n, err := s.ResyncListings(ctx, which, r.Full)
		return fmt.Sprintf("%d listings of channel %s are rendered anew.", n, r.Code), err
	})
}

type channelRetryCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
	choice
}

// Run retries the rejected listings.
func (r channelRetryCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onChannel(ctx, c, log, r.Code, func(s *postgres.Store) (string, error) {
		which, err := r.read(r.Code)
		if err != nil {
			return "", err
		}
		n, err := s.RetryListings(ctx, which)
		return fmt.Sprintf("%d rejected listings of channel %s are tried again.", n, r.Code), err
	})
}
