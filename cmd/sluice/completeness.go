//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type readinessCmd struct {
	keyset
	SKU      pim.SKU           `arg:"" name:"sku" optional:"" help:"The product's SKU."`
	Family   string            `help:"All products of this family, counted, instead of one."`
	Channels []pim.ChannelCode `name:"channel" help:"Only these channels."`
	Locales  []pim.Locale      `name:"locale" help:"In these locales instead of each channel's own."`
	JSON     bool              `name:"json" help:"Print a JSON array."`
}

// Help is the command's longer text.
func (readinessCmd) Help() string {
	return `Tells, channel by channel, what the product lacks of what its family requires there, and what the channel's mapping, its connector's check and its target have against it. Nothing is sent.`
}

// Run tells how complete a product is.
func (cmd readinessCmd) Run(ctx context.Context, c console) error {
	if (cmd.SKU == "") == (cmd.Family == "") {
		return errors.New("name a product, or a family with --family")
	}
	if cmd.Family != "" {
		return cmd.family(ctx, c)
	}
	return cmd.onChannels(ctx, func(store *postgres.Store, channels *jobs.Channels) error {
		if err := knownLocales(ctx, store, cmd.Locales); err != nil {
			return err
		}
		list, err := channels.Readiness(ctx, cmd.SKU, cmd.Channels, cmd.Locales)
		if err != nil {
			return err
		}
		if cmd.JSON {
			return printJSON(c.out, list)
		}
		_, err = fmt.Fprint(c.out, readiness(list))
		return err
	})
}

// knownLocales refuses locales that the house has not, as the API does.
func knownLocales(ctx context.Context, store *postgres.Store, locales []pim.Locale) error {
	if len(locales) == 0 {
		return nil
	}
	schema, err := store.RefreshSchema(ctx)
	if err != nil {
		return err
	}
	for _, l := range locales {
		if !schema.Locales[l] {
			return fmt.Errorf("locale %s is not known", l)
		}
	}
	return nil
}

// family counts what a family's products lack.
func (cmd readinessCmd) family(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := knownLocales(ctx, store, cmd.Locales); err != nil {
		return err
	}
	list, err := store.FamilyCompleteness(ctx, cmd.Family, cmd.Channels, cmd.Locales)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printJSON(c.out, list)
	}
	for _, f := range list {
		fmt.Fprintf(c.out, "%s %s: %d of %d products are complete, %.0f %% in the mean\n", dash(string(f.Channel)), f.Locale, f.Complete, f.Products, math.Floor(100*f.Share))
		for _, m := range f.Missing {
			fmt.Fprintf(c.out, "  %-8d lack %s\n", m.Products, m.Attribute)
		}
	}
	return nil
}

// readiness tells how complete a product is to people.
func readiness(list []jobs.Readiness) string {
	var b strings.Builder
	for _, r := range list {
		verdict := ""
		switch {
		case r.Ready == nil:
		case *r.Ready:
			verdict = ", ready"
		default:
			verdict = ", not ready"
		}
		fmt.Fprintf(&b, "%s %s: %.0f %% (%d of %d)%s\n", dash(string(r.Channel)), r.Locale, 100*r.Share, r.Filled, r.Required, verdict)
		if len(r.Missing) > 0 {
			fmt.Fprintf(&b, "  missing  %s\n", strings.Join(r.Missing, ", "))
		}
		for _, i := range r.Issues {
			fmt.Fprintf(&b, "  %-8s %s %s\n", i.Severity, i.Code, oneLine(strings.TrimPrefix(i.Attribute+": "+i.Text, ": ")))
		}
	}
	return b.String()
}
