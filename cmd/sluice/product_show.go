//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type productShowCmd struct {
	SKU  pim.SKU `arg:"" help:"The product's SKU."`
	JSON bool    `name:"json" help:"Print a JSON object, as GET /v1/products/SKU answers; long texts are whole there."`
}

// Run shows the product: what it is, its prices and stock, and where it stands on
// channels.
func (s productShowCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	p, err := api.ShowProduct(ctx, store, s.SKU)
	if errors.Is(err, postgres.ErrNotFound) {
		return fmt.Errorf("there is no product %s", s.SKU)
	}
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(c.out, p)
	}
	listings, err := pages(0, func(page postgres.Page) ([]pim.Listing, string, error) {
		return store.Listings(ctx, postgres.ListingFilter{SKU: s.SKU}, page)
	})
	if err != nil {
		return err
	}
	return showProduct(c.out, store.Schema(), p, listings)
}

// showProduct prints a table of a product's fields, and of each of its parts that
// there is.
func showProduct(w io.Writer, schema *pim.Schema, p *api.Product, listings []pim.Listing) error {
	rows := [][]string{
		{"sku", string(p.SKU), ""},
		{"family", dash(p.Family), ""},
		{"parent", dash(string(p.Parent)), ""},
		{"family_variant", dash(p.FamilyVariant), ""},
		{"enabled", strconv.FormatBool(p.Enabled), ""},
		{"categories", dash(strings.Join(p.Categories, " ")), ""},
		{"revision", strconv.FormatInt(p.Revision, 10), ""},
		{"updated_at", p.UpdatedAt.UTC().Format(time.RFC3339), ""},
	}
	for _, t := range slices.Sorted(maps.Keys(p.Associations)) {
		rows = append(rows, []string{"associations." + t, shown(p.Associations[t]), ""})
	}
	values, err := fieldsOf(schema, p.Values)
	if err != nil {
		return err
	}
	above, err := fieldsOf(schema, p.InheritedValues)
	if err != nil {
		return err
	}
	for _, f := range above {
		if model := p.InheritedFrom[f.Field]; model != "" {
			values = append(values, f)
		}
	}
	slices.SortFunc(values, func(a, b pim.FieldChange) int { return strings.Compare(a.Field, b.Field) })
	for _, f := range values {
		rows = append(rows, []string{f.Field, shown(f.New), string(p.InheritedFrom[f.Field])})
	}
	if err := table(w, []string{"FIELD", "VALUE", "FROM"}, rows); err != nil {
		return err
	}
	for _, part := range []struct {
		header []string
		rows   [][]string
	}{
		{[]string{"PRICE LIST", "CURRENCY", "FROM QUANTITY", "AMOUNT", "VALID FROM", "VALID TO", "RULES"}, priceRows(p.Prices)},
		{[]string{"LOCATION", "ON HAND", "RESERVED", "FREE"}, stockRows(p.Stock)},
		{[]string{"CHANNEL", "LANE", "STATE", "ISSUES"}, listingRows(listings)},
	} {
		if len(part.rows) == 0 {
			continue
		}
		fmt.Fprintln(w)
		if err := table(w, part.header, part.rows); err != nil {
			return err
		}
	}
	for _, doubt := range p.Warnings {
		if _, err := fmt.Fprintf(w, "\nWarning: %s %s", doubt.Pointer, doubt.Detail); err != nil {
			return err
		}
	}
	if len(p.Warnings) > 0 {
		fmt.Fprintln(w)
	}
	return nil
}

// fieldsOf are values by their fields, as filters and diffs name them.
func fieldsOf(schema *pim.Schema, stored []byte) ([]pim.FieldChange, error) {
	if len(stored) == 0 {
		return nil, nil
	}
	values, err := pim.DecodeStored(stored)
	if err != nil {
		return nil, fmt.Errorf("read the product's values: %w", err)
	}
	return schema.FieldChanges(pim.State{}, pim.State{Values: values}), nil
}

func priceRows(prices []api.Price) (rows [][]string) {
	at := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return t.UTC().Format(time.RFC3339)
	}
	for _, p := range prices {
		rows = append(rows, []string{
			p.PriceList, string(p.Currency), strconv.Itoa(p.MinQuantity), p.Amount, at(p.ValidFrom), at(p.ValidTo), dash(strings.Join(p.Rules, " ")),
		})
	}
	return rows
}

func stockRows(levels []api.Stock) (rows [][]string) {
	for _, l := range levels {
		rows = append(rows, []string{l.Location, strconv.FormatInt(l.OnHand, 10), strconv.FormatInt(l.Reserved, 10), strconv.FormatInt(l.Available, 10)})
	}
	return rows
}

func listingRows(listings []pim.Listing) (rows [][]string) {
	for _, l := range listings {
		issues := make([]string, len(l.Issues))
		for i, issue := range l.Issues {
			issues[i] = issue.Code
		}
		rows = append(rows, []string{string(l.Channel), l.Lane.String(), string(l.State), dash(strings.Join(issues, " "))})
	}
	return rows
}

type productPutCmd struct {
	SKU   pim.SKU `arg:"" help:"The product's SKU."`
	File  string  `required:"" placeholder:"FILE" type:"path" help:"JSON file with the product, as PUT /v1/products/SKU takes it; - is standard input."`
	Patch bool    `help:"The file is a merge patch: what it does not name stays."`
}

// Run makes or changes the product.
func (p productPutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	body, err := readBounded(p.File, c.in)
	if err != nil {
		return err
	}
	mode := postgres.Put
	if p.Patch {
		mode = postgres.Patch
	}
	e, err := api.ReadProduct(body, p.SKU, mode)
	if err != nil {
		return err
	}
	return editProduct(ctx, c, log, e)
}

type productDeleteCmd struct {
	SKU pim.SKU `arg:"" help:"The product's SKU."`
}

// Run deletes the product.
func (d productDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return editProduct(ctx, c, log, postgres.Edit{SKU: d.SKU, Mode: postgres.Delete})
}

// editProduct does one edit and says what became of it.
func editProduct(ctx context.Context, c console, log *slog.Logger, e postgres.Edit) error {
	if err := pim.ValidSKU(string(e.SKU)); err != nil {
		return err
	}
	return changing(ctx, log, func(store *postgres.Store) error {
		results, err := store.Edit(ctx, localActor(), []postgres.Edit{e})
		if err != nil {
			return err
		}
		r := results[0]
		switch {
		case errors.Is(r.Err, postgres.ErrNotFound):
			return fmt.Errorf("there is no product %s", e.SKU)
		case errors.Is(r.Err, postgres.ErrInUse):
			return fmt.Errorf("product %s has variants: delete them first", e.SKU)
		case r.Err != nil:
			return r.Err
		}
		for _, w := range r.Warnings {
			fmt.Fprintf(c.out, "Warning: %s %s\n", w.Pointer, w.Detail)
		}
		said := fmt.Sprintf("is at revision %d now", r.Rev)
		switch {
		case e.Mode == postgres.Delete:
			said = "is deleted"
		case r.Created:
			said = "is there now"
		case !r.Changed:
			said = "is so already"
		}
		_, err = fmt.Fprintf(c.out, "Product %s %s.\n", e.SKU, said)
		return err
	}, fanout)
}
