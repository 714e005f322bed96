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

type publishCmd struct {
	List publishListCmd `cmd:"" help:"List when a product is published on channels."`
	Set  publishSetCmd  `cmd:"" help:"Say from when and until when products are published on a channel."`
}

type publishListCmd struct {
	SKU  pim.SKU `arg:"" help:"The product."`
	JSON bool    `name:"json" help:"Print a JSON array."`
}

// Run lists the windows.
func (l publishListCmd) Run(ctx context.Context, c console) error {
	read := func(ctx context.Context, store *postgres.Store) ([]pim.Publication, error) {
		return store.Publications(ctx, l.SKU)
	}
	return list(ctx, c, l.JSON, []string{"CHANNEL", "FROM", "TO"}, read, func(p pim.Publication) []string {
		from, to := "-", "-"
		if p.From != nil {
			from = p.From.Format(time.RFC3339)
		}
		if p.To != nil {
			to = p.To.Format(time.RFC3339)
		}
		return []string{string(p.Channel), from, to}
	})
}

type publishSetCmd struct {
	Channel pim.ChannelCode `arg:"" help:"The channel."`
	SKU     []pim.SKU       `arg:"" help:"The products, at most 1,000."`
	From    *time.Time      `help:"From when, as 2026-11-27T00:00:00+01:00; by default since ever."`
	To      *time.Time      `help:"Until when, exclusive; by default for ever."`
	Clear   bool            `help:"Take the windows away: the products are published whenever they are enabled."`
}

// maxWindows bounds what one call of SetPublications takes.
const maxWindows = 1000

// Run sets the windows.
func (s publishSetCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	if len(s.SKU) > maxWindows {
		return fmt.Errorf("%d products, at most %d at once", len(s.SKU), maxWindows)
	}
	rows := make([]pim.PublicationRow, len(s.SKU))
	for i, sku := range s.SKU {
		rows[i] = pim.PublicationRow{SKU: sku, Publication: pim.Publication{Channel: s.Channel, From: s.From, To: s.To}, Delete: s.Clear}
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	results, err := store.SetPublications(ctx, actorChannel, rows, postgres.Idempotency{})
	if err != nil {
		return err
	}
	wakeAll(ctx, log, store, fanout)
	changed, rejected := 0, 0
	for _, r := range results {
		switch r.Status {
		case postgres.RowChanged:
			changed++
		case postgres.RowRejected:
			rejected++
			for _, p := range r.Problems {
				fmt.Fprintf(c.err, "sluice: %s: %s %s\n", r.SKU, p.Pointer, p.Detail)
			}
		}
	}
	if _, err := fmt.Fprintf(c.out, "%d of %d windows changed.\n", changed, len(rows)); err != nil {
		return err
	}
	if rejected > 0 {
		return fmt.Errorf("%d rows were rejected", rejected)
	}
	return nil
}
