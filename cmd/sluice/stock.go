//go:build unix

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type locationCmd struct {
	List   locationListCmd   `cmd:"" help:"List the stock locations."`
	Put    locationPutCmd    `cmd:"" help:"Create or replace a stock location."`
	Delete locationDeleteCmd `cmd:"" help:"Delete a location where nothing was ever kept and that no channel names."`
}

type locationListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the locations.
func (l locationListCmd) Run(ctx context.Context, c console) error {
	return list(ctx, c, l.JSON, []string{"LOCATION", "SELLS", "SAFETY STOCK"}, func(ctx context.Context, store *postgres.Store) ([]api.LocationView, error) {
		locations, err := store.Locations(ctx)
		views := make([]api.LocationView, len(locations))
		for i, l := range locations {
			views[i] = api.ViewLocation(l)
		}
		return views, err
	}, func(l api.LocationView) []string {
		return []string{l.Code, strconv.FormatBool(l.On()), strconv.FormatInt(l.SafetyStock, 10)}
	})
}

type locationPutCmd struct {
	Code        string `arg:"" help:"The location's code."`
	File        string `placeholder:"FILE" type:"path" help:"JSON file with the location, as PUT /v1/locations/CODE takes it; - is standard input."`
	SafetyStock *int64 `name:"safety-stock" help:"Pieces of each product that are never sold."`
	Enabled     *bool  `help:"false: no channel sells what is there."`
}

// Run makes or replaces the location.
func (p locationPutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	whole, err := objectFile(p.File, c)
	if err != nil {
		return err
	}
	if p.SafetyStock != nil {
		whole["safety_stock"] = *p.SafetyStock
	}
	if p.Enabled != nil {
		whole["enabled"] = *p.Enabled
	}
	body, err := json.Marshal(whole)
	if err != nil {
		return err
	}
	l, err := api.ReadLocation(body, p.Code)
	if err != nil {
		return err
	}
	return changing(ctx, log, func(store *postgres.Store) error {
		if _, _, err := store.PutLocation(ctx, l, 0); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.out, "Location %s is set.\n", p.Code)
		return err
	}, fanout)
}

type locationDeleteCmd struct {
	Code string `arg:"" help:"The location's code."`
}

// Run deletes the location.
func (d locationDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeleteLocation(ctx, d.Code, 0), "location", d.Code, "location "+d.Code+" is in use: products have stock levels there, or a channel names it")
	}, fanout)
}

type stockCmd struct {
	Show stockShowCmd `cmd:"" help:"Show a product's stock levels, and what each channel shows of them."`
	Set  stockSetCmd  `cmd:"" help:"Change a product's stock level at a location."`
}

type stockShowCmd struct {
	SKU  pim.SKU `arg:""`
	JSON bool    `name:"json" help:"Print a JSON object, as GET /v1/products/SKU/stock answers."`
}

// Run shows them.
func (s stockShowCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	a, err := api.AvailabilityOf(ctx, store, s.SKU)
	if errors.Is(err, postgres.ErrNotFound) {
		return fmt.Errorf("there is no product %s", s.SKU)
	}
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(c.out, a)
	}
	rows := make([][]string, len(a.Levels))
	for i, l := range a.Levels {
		safety := "-"
		if l.Safety != nil {
			safety = strconv.FormatInt(*l.Safety, 10)
		}
		rows[i] = []string{l.Location, strconv.FormatInt(l.OnHand, 10), strconv.FormatInt(l.Reserved, 10), safety, strconv.FormatInt(l.Available, 10)}
	}
	if err := table(c.out, []string{"LOCATION", "ON HAND", "RESERVED", "OWN SAFETY", "FREE"}, rows); err != nil {
		return err
	}
	rows = make([][]string, len(a.Channels))
	for i, ch := range a.Channels {
		rows[i] = []string{
			string(ch.Channel), cmp.Or(strings.Join(ch.Locations, ","), "all"), strconv.FormatInt(ch.Free, 10), strconv.FormatInt(ch.HeldBack, 10),
			strconv.FormatInt(ch.Shown, 10),
		}
	}
	fmt.Fprintln(c.out)
	return table(c.out, []string{"CHANNEL", "LOCATIONS", "FREE", "HELD BACK", "SHOWN"}, rows)
}

type stockSetCmd struct {
	SKU         pim.SKU    `arg:""`
	Location    string     `default:"default" help:"Where."`
	OnHand      *int64     `name:"on-hand" xor:"what" help:"A count: what there is. With --reserved what of it is reserved, else none is."`
	Delta       *int64     `xor:"what" help:"What came, or below 0 went, as --delta=-2."`
	Reserved    int64      `help:"With --on-hand, what is reserved; with --delta, what was reserved, or below 0 released."`
	SafetyStock *int64     `name:"safety-stock" help:"Pieces of the product that are never sold there."`
	AsOf        *time.Time `name:"as-of" help:"As of when it is: it changes nothing where a newer count is known."`
}

// Run changes the level.
func (s stockSetCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	row := pim.StockRow{SKU: s.SKU, Stock: pim.Stock{Location: s.Location, Reserved: s.Reserved, SafetyStock: s.SafetyStock}, Stamp: pim.Stamp{AsOf: s.AsOf}}
	switch {
	case s.OnHand != nil:
		row.OnHand = *s.OnHand
	case s.Delta != nil:
		row.OnHand, row.Delta = *s.Delta, true
	case s.SafetyStock != nil:
		row.Delta = true
	default:
		return errors.New("give --on-hand, --delta or --safety-stock")
	}
	return changing(ctx, log, func(store *postgres.Store) error {
		results, err := store.SetStock(ctx, localActor(), []pim.StockRow{row}, postgres.Idempotency{})
		if err != nil {
			return err
		}
		r := results[0]
		if len(r.Problems) > 0 {
			return fmt.Errorf("%s: %s", r.SKU, r.Problems[0].Detail)
		}
		_, err = fmt.Fprintf(c.out, "The stock of %s at %s is %s.\n", s.SKU, s.Location, r.Status)
		return err
	}, fanout)
}
