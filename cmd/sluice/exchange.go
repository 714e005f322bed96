//go:build unix

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type exchangesCmd struct {
	Channel pim.ChannelCode `arg:"" help:"The channel's code."`
	ID      int64           `arg:"" optional:"" help:"Show this exchange whole, by its number in the list."`
	SKU     pim.SKU         `name:"sku" help:"Only those that were about this product."`
	Lane    string          `enum:",content,offer,media" default:"" help:"Only content, offer or media."`
	Kind    string          `enum:",push,poll,probe,upload,pull,read,other" default:"" help:"Only those of calls to push, poll, probe, upload, pull or read, or of none: other."`
	Status  string          `enum:",1xx,2xx,3xx,4xx,5xx,none" default:"" help:"Only answers with such a status, or those without an answer: none."`
	Failed  bool            `help:"Only those that failed, or in which the target refused something."`
	Since   time.Duration   `placeholder:"DURATION" help:"Only those begun within this time, such as 30m."`
	Limit   int             `default:"100" help:"List so many at most; 0 is all (${default})."`
	JSON    bool            `name:"json" help:"Print JSON."`
}

// Help is the command's longer text.
func (exchangesCmd) Help() string {
	return `Lists what the channel's target was asked and answered, the last first. Which exchanges are kept, for how long, and how much of their bodies, says the channel's policy (exchanges.keep, .days and .body_bytes).`
}

// Run lists exchanges, or shows one.
func (e exchangesCmd) Run(ctx context.Context, c console) error {
	if e.ID != 0 {
		return e.show(ctx, c)
	}
	header := []string{"EXCHANGE", "AT", "KIND", "LANE", "REQUEST", "STATUS", "TOOK", "PRODUCTS", "PROBLEM"}
	return list(ctx, c, e.JSON, header, e.views, func(x postgres.Exchange) []string {
		products := "-"
		if n := len(x.SKUs); n > 0 {
			if products = string(x.SKUs[0]); n > 1 {
				products = fmt.Sprintf("%s and %d more", products, n-1)
			}
		}
		problem := x.Error
		if problem == "" && x.Failed {
			problem = "refused"
		}
		return []string{
			strconv.FormatInt(x.ID, 10), x.At.Local().Format(time.DateTime), x.Kind, dash(x.Lane), x.Method + " " + x.URL, statusOf(x), tookOf(x), products, dash(oneLine(problem)),
		}
	})
}

func statusOf(x postgres.Exchange) string {
	if x.Status == 0 {
		return "-"
	}
	return strconv.Itoa(x.Status)
}

func tookOf(x postgres.Exchange) string {
	return time.Duration(x.TookMS * float64(time.Millisecond)).Round(100 * time.Microsecond).String()
}

func (e exchangesCmd) views(ctx context.Context, store *postgres.Store) ([]postgres.Exchange, error) {
	ch, err := store.Channel(ctx, e.Channel)
	if err != nil {
		return nil, err
	}
	f := postgres.ExchangeFilter{SKU: e.SKU, Kind: e.Kind, Status: e.Status, Failed: e.Failed}
	if e.Lane != "" {
		if f.Lane, err = pim.ParseLane(e.Lane); err != nil {
			return nil, err
		}
	}
	if e.Since > 0 {
		now, err := store.Now(ctx)
		if err != nil {
			return nil, err
		}
		since := now.Add(-e.Since)
		f.Since = &since
	}
	return pages(e.Limit, func(page postgres.Page) ([]postgres.Exchange, string, error) {
		return store.Exchanges(ctx, ch.ID, f, page)
	})
}

func (e exchangesCmd) show(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	ch, err := store.Channel(ctx, e.Channel)
	if err != nil {
		return err
	}
	x, err := store.Exchange(ctx, ch.ID, e.ID)
	if err != nil {
		return err
	}
	if e.JSON {
		return printJSON(c.out, x)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s", x.At.Local().Format(time.DateTime), x.Kind)
	if x.Lane != "" {
		fmt.Fprintf(&b, " of %s", x.Lane)
	}
	fmt.Fprintf(&b, ", took %s, call %d\n", tookOf(x), x.Attempt)
	if len(x.SKUs) > 0 {
		names := make([]string, len(x.SKUs))
		for i, sku := range x.SKUs {
			names[i] = string(sku)
		}
		fmt.Fprintf(&b, "About %s\n", strings.Join(names, ", "))
	}
	fmt.Fprintf(&b, "\n%s %s\n", x.Method, x.URL)
	body(&b, x.Request, x.Sent)
	if x.Status != 0 {
		fmt.Fprintf(&b, "\n%d\n", x.Status)
		for _, name := range slices.Sorted(maps.Keys(x.Header)) {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(x.Header[name], ", "))
		}
		body(&b, x.Answer, x.Received)
	}
	if x.Error != "" {
		fmt.Fprintf(&b, "\n%s\n", x.Error)
	}
	_, err = fmt.Fprint(c.out, b.String())
	return err
}

func body(b *strings.Builder, text string, size int64) {
	if size > 0 {
		fmt.Fprintf(b, "(%d bytes)\n", size)
	}
	if text != "" {
		fmt.Fprintf(b, "%s\n", text)
	}
}
