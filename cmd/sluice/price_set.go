//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type priceCmd struct {
	Set priceSetCmd `cmd:"" help:"Set a product's price, or take it away. product show lists them."`
}

type priceSetCmd struct {
	SKU       pim.SKU      `arg:"" help:"The product."`
	Amount    string       `arg:"" optional:"" help:"Such as 19.90."`
	Currency  pim.Currency `required:"" help:"In which currency, as EUR."`
	PriceList string       `default:"default" help:"In which price list."`
	Quantity  int          `name:"min-quantity" default:"1" help:"From how many on."`
	From      *time.Time   `help:"From when, as 2026-11-27T00:00:00+01:00; by default since ever."`
	To        *time.Time   `help:"Until when, exclusive; by default for ever."`
	Clear     bool         `help:"Take the price away."`
	AsOf      *time.Time   `name:"as-of" help:"As of when it is: it changes nothing where a newer one is known."`
}

// Run sets the price.
func (p priceSetCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	row := pim.PriceRow{
		SKU: p.SKU, Delete: p.Clear, Stamp: pim.Stamp{AsOf: p.AsOf},
		Price: pim.Price{PriceList: p.PriceList, Currency: p.Currency, MinQuantity: p.Quantity, ValidFrom: p.From, ValidTo: p.To},
	}
	if (p.Amount == "") != p.Clear {
		return errors.New("give an amount, or --clear")
	}
	if !p.Clear {
		var err error
		if row.Amount, err = pim.ParseAmount(json.Number(p.Amount)); err != nil {
			return err
		}
	}
	return changing(ctx, log, func(store *postgres.Store) error {
		results, err := store.SetPrices(ctx, localActor(), []pim.PriceRow{row}, postgres.Idempotency{})
		if err != nil {
			return err
		}
		r := results[0]
		if len(r.Problems) > 0 {
			return fmt.Errorf("%s: %s", p.SKU, r.Problems[0].Detail)
		}
		_, err = fmt.Fprintf(c.out, "The price of %s in %s is %s.\n", p.SKU, p.PriceList, r.Status)
		return err
	}, fanout, postgres.Consumer{Kind: postgres.Derive})
}
