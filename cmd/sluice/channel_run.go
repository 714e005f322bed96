//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// onChannel does one thing to a channel, wakes those who work it, and says so.
func onChannel(ctx context.Context, c console, log *slog.Logger, code pim.ChannelCode, do func(*postgres.Store) (said string, err error)) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	said, err := do(store)
	if err != nil {
		return err
	}
	wake(ctx, log, store, code)
	_, err = fmt.Fprintln(c.out, said)
	return err
}

// wake has running workers look at a channel at once. Where that fails they
// find what there is to do within seconds.
func wake(ctx context.Context, log *slog.Logger, store *postgres.Store, code pim.ChannelCode) {
	ch, err := store.Channel(ctx, code)
	if errors.Is(err, postgres.ErrNotFound) {
		return // deleted
	}
	if err == nil {
		var r *jobs.Runner
		if r, err = jobs.New(jobs.Config{Store: store, Log: log, Holder: node.Holder()}); err == nil {
			consumers := []postgres.Consumer{{Kind: postgres.Fanout}}
			for _, lane := range pim.AllLanes {
				consumers = append(consumers, postgres.Consumer{Kind: postgres.Drain, Channel: ch.ID, Lane: lane})
			}
			err = r.WakeNow(ctx, consumers...)
		}
	}
	if err != nil {
		log.WarnContext(ctx, "wake the workers; they look by themselves", "channel", code, "err", err)
	}
}

type channelPauseCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
}

// Run pauses the channel.
func (p channelPauseCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onChannel(ctx, c, log, p.Code, func(s *postgres.Store) (string, error) {
		return fmt.Sprintf("Channel %s is paused.", p.Code), s.PauseChannel(ctx, p.Code)
	})
}

type channelResumeCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
}

// Run resumes the channel.
func (r channelResumeCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onChannel(ctx, c, log, r.Code, func(s *postgres.Store) (string, error) {
		return fmt.Sprintf("Channel %s sends again.", r.Code), s.ResumeChannel(ctx, r.Code)
	})
}

type channelDeleteCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
}

// Run deletes the channel.
func (d channelDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onChannel(ctx, c, log, d.Code, func(s *postgres.Store) (string, error) {
		return fmt.Sprintf("Channel %s is deleted.", d.Code), s.DeleteChannel(ctx, d.Code, 0)
	})
}
