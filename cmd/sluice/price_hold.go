//go:build unix

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type priceHoldCmd struct {
	List    priceHoldListCmd    `cmd:"" help:"List the prices that guards of price lists hold."`
	Approve priceHoldApproveCmd `cmd:"" help:"Set the prices that are held."`
	Reject  priceHoldRejectCmd  `cmd:"" help:"Drop the prices that are held."`
}

type priceHoldListCmd struct {
	PriceList string  `help:"Only of this price list."`
	SKU       pim.SKU `name:"sku" help:"Only of this product."`
	Rejected  bool    `help:"Those that were rejected, instead of those to be decided on."`
	JSON      bool    `name:"json" help:"Print a JSON array."`
}

// Run lists what is held.
func (l priceHoldListCmd) Run(ctx context.Context, c console) error {
	header := []string{"HOLD", "SKU", "LIST", "CURRENCY", "QUANTITY", "REASON", "FROM", "TO", "BY", "SINCE"}
	return list(ctx, c, l.JSON, header, func(ctx context.Context, store *postgres.Store) (views []api.PriceHoldView, err error) {
		f := postgres.HoldFilter{PriceList: l.PriceList, SKU: l.SKU, Rejected: l.Rejected}
		for page := (postgres.Page{Limit: 1000}); ; {
			holds, next, err := store.PriceHolds(ctx, f, page)
			if err != nil {
				return nil, err
			}
			for _, h := range holds {
				views = append(views, api.ViewPriceHold(h))
			}
			if page.After = next; next == "" {
				return views, nil
			}
		}
	}, func(h api.PriceHoldView) []string {
		return []string{
			strconv.FormatInt(h.ID, 10), string(h.SKU), h.PriceList, string(h.Currency), strconv.Itoa(h.MinQuantity), string(h.Reason),
			cmp.Or(h.Old, "-"), cmp.Or(h.New, "-"), h.HeldBy, h.HeldAt.Format("2006-01-02 15:04"),
		}
	})
}

// heldOnes say which holds are meant.
type heldOnes struct {
	IDs       []int64 `arg:"" optional:"" name:"hold" help:"These, by their numbers."`
	PriceList string  `help:"All of this price list."`
	All       bool    `help:"All there are."`
}

func (h heldOnes) filter() (postgres.HoldFilter, error) {
	told := 0
	for _, t := range []bool{len(h.IDs) > 0, h.PriceList != "", h.All} {
		if t {
			told++
		}
	}
	if told != 1 {
		return postgres.HoldFilter{}, errors.New("say which: numbers of holds, --price-list, or --all")
	}
	return postgres.HoldFilter{IDs: h.IDs, PriceList: h.PriceList}, nil
}

type priceHoldApproveCmd struct{ heldOnes }

// Run approves them.
func (a priceHoldApproveCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return a.decide(ctx, c, log, "approved", (*postgres.Store).ApproveHolds)
}

type priceHoldRejectCmd struct{ heldOnes }

// Run rejects them.
func (r priceHoldRejectCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return r.decide(ctx, c, log, "rejected", (*postgres.Store).RejectHolds)
}

// actorHold is who history says decided on holds from the command line.
const actorHold = "sluice price-hold"

func (h heldOnes) decide(ctx context.Context, c console, log *slog.Logger, done string, do func(*postgres.Store, context.Context, string, postgres.HoldFilter) (int, error)) error {
	f, err := h.filter()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	n, err := do(store, ctx, actorHold, f)
	if err != nil {
		return err
	}
	wakeAll(ctx, log, store, fanout)
	_, err = fmt.Fprintf(c.out, "%d %s %s.\n", n, strings.TrimSuffix("holds", map[bool]string{true: "s"}[n == 1]), done)
	return err
}
