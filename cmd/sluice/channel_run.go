//go:build unix

package main

import (
	"context"
	"fmt"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// onChannel does one thing to a channel and says so. Running workers notice by
// themselves: what is to be sent is in the rows, and they look every few seconds.
func onChannel(ctx context.Context, c console, code pim.ChannelCode, said string, do func(*postgres.Store) error) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := do(store); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Channel %s %s.\n", code, said)
	return err
}

type channelPauseCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
}

// Run pauses the channel.
func (p channelPauseCmd) Run(ctx context.Context, c console) error {
	return onChannel(ctx, c, p.Code, "is paused", func(s *postgres.Store) error { return s.PauseChannel(ctx, p.Code) })
}

type channelResumeCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
}

// Run resumes the channel.
func (r channelResumeCmd) Run(ctx context.Context, c console) error {
	return onChannel(ctx, c, r.Code, "sends again", func(s *postgres.Store) error { return s.ResumeChannel(ctx, r.Code) })
}

type channelResyncCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
	Full bool            `help:"Send everything, for a target that lost or changed its data."`
}

// Run resyncs the channel.
func (r channelResyncCmd) Run(ctx context.Context, c console) error {
	return onChannel(ctx, c, r.Code, "is rendered anew", func(s *postgres.Store) error { return s.ResyncChannel(ctx, r.Code, r.Full) })
}

type channelDeleteCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
}

// Run deletes the channel.
func (d channelDeleteCmd) Run(ctx context.Context, c console) error {
	return onChannel(ctx, c, d.Code, "is deleted", func(s *postgres.Store) error { return s.DeleteChannel(ctx, d.Code) })
}

type channelRetryCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
	SKU  pim.SKU         `name:"sku" help:"Only this product's listings."`
}

// Run retries the rejected listings.
func (r channelRetryCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if _, err := store.Channel(ctx, r.Code); err != nil {
		return err
	}
	n, err := store.RetryListings(ctx, r.Code, r.SKU)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%d rejected listings of channel %s are tried again.\n", n, r.Code)
	return err
}
