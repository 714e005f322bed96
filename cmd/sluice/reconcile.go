//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type reconcileCmd struct {
	Channel pim.ChannelCode `arg:"" help:"The channel's code."`
	SKU     []pim.SKU       `name:"sku" sep:"none" help:"Only this product; can be repeated."`
	Repair  bool            `help:"Put what differs on the road again, whatever the channel's policy says."`
	Wait    bool            `help:"Wait until all is read, and list what differs."`
	Cancel  bool            `help:"Stop the reading that is under way instead."`
	JSON    bool            `name:"json" help:"Print JSON."`
}

// waitEvery is the time between two looks at a reading.
const waitEvery = 500 * time.Millisecond

// Run asks for a reading of what the channel's target holds.
func (r reconcileCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	ch, err := store.Channel(ctx, r.Channel)
	if err != nil {
		return err
	}
	if r.Cancel {
		stopped, err := store.CancelReconcile(ctx, r.Channel)
		if err == nil && !stopped {
			_, err = fmt.Fprintf(c.out, "Nothing is being read back of channel %s.\n", r.Channel)
		} else if err == nil {
			_, err = fmt.Fprintf(c.out, "The reading back of channel %s is cancelled.\n", r.Channel)
		}
		return err
	}
	// Whether the target can be read is found by who works the channel: the keys to
	// its settings are there.
	if err := store.StartReconcile(ctx, r.Channel, r.SKU, r.Repair, "command line"); err != nil {
		return err
	}
	runner, err := jobs.New(jobs.Config{Store: store, Log: log, Holder: node.Holder()})
	if err == nil {
		err = runner.WakeNow(ctx, postgres.Consumer{Kind: postgres.Reconcile, Channel: ch.ID})
	}
	if err != nil {
		log.WarnContext(ctx, "wake the workers; they look by themselves", "channel", r.Channel, "err", err)
	}
	st, err := store.ReconcileStatus(ctx, r.Channel)
	for r.Wait && err == nil && st.Run.State == "running" {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(waitEvery):
		}
		st, err = store.ReconcileStatus(ctx, r.Channel)
	}
	if err != nil {
		return err
	}
	if r.Wait && st.Run.State == "cancelled" && st.Error != "" {
		return fmt.Errorf("channel %s: %s", r.Channel, st.Error)
	}
	if r.JSON {
		return printJSON(c.out, st.Run)
	}
	if !r.Wait {
		_, err = fmt.Fprintf(c.out, "%d products of channel %s are read back.\n", st.Run.Products, r.Channel)
		return err
	}
	if _, err := fmt.Fprintf(c.out, "%s: %d products read, %d listings verified, %d differ, %d put on the road again, %d left out, %d not told.\n",
		st.Run.State, st.Run.Seen, st.Run.Same, st.Run.Drifted, st.Run.Repaired, st.Run.LeftOut, st.Run.Unread); err != nil {
		return err
	}
	return printDrift(ctx, c, store, r.Channel, r.SKU)
}

// printDrift lists a channel's drift, of some products where any are named.
func printDrift(ctx context.Context, c console, store *postgres.Store, code pim.ChannelCode, skus []pim.SKU) error {
	if len(skus) == 0 {
		skus = []pim.SKU{""}
	}
	var rows [][]string
	for _, sku := range skus {
		for next := ""; ; {
			list, after, err := store.Drifts(ctx, code, sku, 0, postgres.Page{After: next, Limit: 1000})
			if err != nil {
				return err
			}
			for _, d := range list {
				rows = append(rows, driftRow(d))
			}
			if next = after; next == "" {
				break
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return table(c.out, []string{"SKU", "LANE", "DRIFT", "FIELDS", "FOUND", "REPAIRS"}, rows)
}

func driftRow(d pim.Drift) []string {
	var fields []string
	for _, f := range d.Fields {
		fields = append(fields, f.Field)
	}
	return []string{string(d.SKU), d.Lane.String(), string(d.Kind), strings.Join(fields, ", "), d.FoundAt.Format(time.RFC3339), strconv.Itoa(d.Repairs)}
}
