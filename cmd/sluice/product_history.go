//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type productHistoryCmd struct {
	SKU   pim.SKU `arg:""`
	Limit int     `default:"50" help:"How many at most, up to 1000."`
	JSON  bool    `name:"json" help:"Print a JSON array, with what each change was."`
}

// Run lists the newest changes.
func (h productHistoryCmd) Run(ctx context.Context, c console) error {
	header := []string{"AT", "REVISION", "CHANGE", "BY"}
	return list(ctx, c, h.JSON, header, func(ctx context.Context, store *postgres.Store) ([]pim.Event, error) {
		events, _, err := store.History(ctx, h.SKU, postgres.Page{Limit: h.Limit})
		if err == nil && len(events) == 0 {
			err = fmt.Errorf("product %s has no history", h.SKU)
		}
		return events, err
	}, func(e pim.Event) []string {
		return []string{e.At.UTC().Format(time.RFC3339), strconv.FormatInt(e.Revision, 10), e.Type, e.Actor}
	})
}

type productDiffCmd struct {
	SKU  pim.SKU `arg:""`
	From int64   `arg:"" help:"A revision."`
	To   int64   `arg:"" optional:"" help:"Another; by default the current one."`
	JSON bool    `name:"json" help:"Print a JSON array."`
}

// Run says what differs.
func (d productDiffCmd) Run(ctx context.Context, c console) error {
	header := []string{"FIELD", "BEFORE", "AFTER"}
	return list(ctx, c, d.JSON, header, func(ctx context.Context, store *postgres.Store) ([]pim.FieldChange, error) {
		if d.To == 0 {
			now, err := store.ProductRevision(ctx, d.SKU)
			if err != nil {
				return nil, err
			}
			d.To = now
		}
		return store.Changes(ctx, d.SKU, d.From, d.To)
	}, func(f pim.FieldChange) []string { return []string{f.Field, shown(f.Old), shown(f.New)} })
}

// shown is a value in a table: cut, since texts are long.
func shown(v any) string {
	if v == nil {
		return "-"
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	if text := []rune(string(raw)); len(text) > 60 {
		return string(text[:59]) + "…"
	}
	return string(raw)
}

type productRestoreCmd struct {
	SKU      pim.SKU `arg:""`
	Revision int64   `help:"Make it what it was then. By default, a deleted product comes back as it went."`
}

// Run restores the product.
func (r productRestoreCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	result, err := store.RestoreProduct(ctx, localActor(), r.SKU, r.Revision, 0)
	switch {
	case errors.Is(err, postgres.ErrNotFound) && r.Revision == 0:
		return fmt.Errorf("there is no deleted product %s", r.SKU)
	case err != nil:
		return err
	}
	for _, w := range result.Warnings {
		fmt.Fprintf(c.out, "Warning: %s\n", w.Detail)
	}
	if !result.Changed {
		_, err = fmt.Fprintf(c.out, "Product %s is so already.\n", r.SKU)
		return err
	}
	_, err = fmt.Fprintf(c.out, "Product %s is restored, and at revision %d now.\n", r.SKU, result.Rev)
	return err
}

// localActor names who works at this machine, in the history.
func localActor() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "sluice: " + u.Username
	}
	return "sluice"
}

type productRetentionCmd struct {
	Months *int `help:"Keep it for so many months; 0: for ever. Without it, what is set is told."`
}

// Run sets or tells it.
func (r productRetentionCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if r.Months != nil {
		if err := store.SetHistoryMonths(ctx, *r.Months); err != nil {
			return err
		}
	}
	months, err := store.HistoryMonths(ctx)
	if err != nil {
		return err
	}
	if months == 0 {
		_, err = fmt.Fprintln(c.out, "Products' history is kept for ever.")
	} else {
		_, err = fmt.Fprintf(c.out, "Products' history is kept for %d months.\n", months)
	}
	return err
}
