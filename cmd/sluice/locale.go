//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type localeCmd struct {
	List   localeListCmd   `cmd:"" help:"List the locales, and what they fall back to."`
	Put    localePutCmd    `cmd:"" help:"Add a locale, or say what it falls back to."`
	Delete localeDeleteCmd `cmd:"" help:"Delete a locale that nothing is in, and nothing names; labels in it stay."`
}

type localeListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the locales.
func (l localeListCmd) Run(ctx context.Context, c console) error {
	read := func(_ context.Context, store *postgres.Store) ([]api.Locale, error) {
		return api.LocalesOf(store.Schema()), nil
	}
	return list(ctx, c, l.JSON, []string{"LOCALE", "FALLBACK"}, read, func(l api.Locale) []string {
		return []string{string(l.Code), dash(string(l.Fallback))}
	})
}

type localePutCmd struct {
	Code     pim.Locale  `arg:"" help:"The locale, such as en-GB."`
	Fallback *pim.Locale `placeholder:"LOCALE" help:"Whose values are shown where a product has none in this one; an empty one takes it away. Left out, it stays."`
}

// Run adds the locale, or sets its fallback.
func (p localePutCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	change := postgres.SchemaChange{Locales: []pim.Locale{p.Code}}
	if p.Fallback != nil {
		change.Fallbacks = map[pim.Locale]pim.Locale{p.Code: *p.Fallback}
	}
	if _, err := store.ChangeSchema(ctx, change); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "Locale %s is set.\n", p.Code)
	return err
}

type localeDeleteCmd struct {
	Code pim.Locale `arg:"" help:"The locale."`
}

// Run deletes the locale.
func (d localeDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeleteLocale(ctx, d.Code, 0), "locale", string(d.Code), "")
	})
}
