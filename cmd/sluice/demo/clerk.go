//go:build unix

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// clerk enters prices and stock into the fake ERP, which owns both: what was made
// with the catalogue, imported, or set over the API. In a firm they would have
// come out of the ERP; here somebody has to bring them there, or the hub would
// read from it that there are none. What the hub read from the ERP is left alone.
type clerk struct {
	store *postgres.Store
	erp   *trytontest.Server
	house *house
	log   *slog.Logger
}

// clerkFile says how far the clerk has read the log of changes.
const clerkFile = "erp-clerk"

const (
	clerkLooks = 200 * time.Millisecond // how often the clerk looks for changes
	clerkRests = 2 * time.Second        // after an error
)

// run works until ctx ends.
func (c *clerk) run(ctx context.Context) error {
	text, err := os.ReadFile(c.house.path(clerkFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read how far the ERP's clerk was: %w", err)
	}
	at := strings.TrimSpace(string(text))
	for ctx.Err() == nil {
		events, next, err := c.store.Events(ctx, postgres.Page{After: at, Limit: 500})
		if err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "reading changes for the ERP", "err", err)
		}
		wait := clerkLooks
		if err != nil { // a database that restarts comes back
			events, next, wait = nil, at, clerkRests
		}
		for _, e := range events {
			if err := c.enter(e); err != nil {
				return err
			}
		}
		if next != at {
			at = next
			if err := c.house.write(clerkFile, []byte(at+"\n")); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// enter brings one change to the ERP.
func (c *clerk) enter(e pim.Event) error {
	if e.Actor == "channel:erp" || e.Type != "price.changed" && e.Type != "stock.changed" {
		return nil
	}
	var data struct {
		Prices []struct {
			PriceList   string     `json:"price_list"`
			Currency    string     `json:"currency"`
			MinQuantity int        `json:"min_quantity"`
			ValidFrom   *time.Time `json:"valid_from"`
			ValidTo     *time.Time `json:"valid_to"`
			New         string     `json:"new"`
		} `json:"prices"`
		Stock []struct {
			Location string           `json:"location"`
			New      trytontest.Level `json:"new"`
		} `json:"stock"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return fmt.Errorf("read change %d of %s for the ERP: %w", e.ID, e.SKU, err)
	}
	o := trytontest.Opening{Stock: map[string]trytontest.Level{}}
	for _, p := range data.Prices {
		if p.PriceList == priceList && p.Currency == "EUR" && p.MinQuantity == 1 && p.ValidFrom == nil && p.ValidTo == nil {
			o.ListPrice = p.New
		}
	}
	for _, s := range data.Stock {
		if s.Location == north || s.Location == south {
			o.Stock[s.Location] = s.New
		}
	}
	if o.ListPrice == "" && len(o.Stock) == 0 {
		return nil
	}
	return c.erp.Know(e.SKU, o)
}
