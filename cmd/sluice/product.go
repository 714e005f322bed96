//go:build unix

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type productCmd struct {
	List      productListCmd      `cmd:"" help:"Find products by a filter."`
	Show      productShowCmd      `cmd:"" help:"Show a product, with its prices, its stock and where it stands on channels."`
	Put       productPutCmd       `cmd:"" help:"Create, replace or patch a product."`
	Delete    productDeleteCmd    `cmd:"" help:"Delete a product, and take it off every channel."`
	History   productHistoryCmd   `cmd:"" help:"List a product's changes, newest first."`
	Diff      productDiffCmd      `cmd:"" help:"Say what two revisions of a product differ in."`
	Restore   productRestoreCmd   `cmd:"" help:"Bring a deleted product back, or make a product what it was at a revision."`
	Retention productRetentionCmd `cmd:"" help:"Say how long products' history is kept."`
}

type productListCmd struct {
	Filter string     `short:"f" help:"A condition, such as: values.color in (red, blue) and listing.shop.state = rejected. docs/finding.md has the language."`
	Search string     `help:"A SKU, a GTIN, the beginning of one, or words; the best first."`
	Locale pim.Locale `help:"Whose texts are searched."`
	Sort   string     `help:"Columns with commas between them, - before those that go down: sku, family, created_at, updated_at."`
	Limit  int        `default:"100" help:"How many at most; 0: all."`
	Gone   bool       `name:"deleted" help:"The deleted products, and no others."`
	JSON   bool       `name:"json" help:"Print a JSON array."`
}

// productLine is a product in a list for people and scripts.
type productLine struct {
	SKU        pim.SKU   `json:"sku"`
	Family     string    `json:"family"`
	Parent     pim.SKU   `json:"parent,omitempty"`
	Enabled    bool      `json:"enabled"`
	Categories []string  `json:"categories"`
	Revision   int64     `json:"revision"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// Run lists products.
func (l productListCmd) Run(ctx context.Context, c console) error {
	f := postgres.ProductFilter{NoOffers: true, Deleted: l.Gone}
	var err error
	if l.Filter != "" {
		if f.Where, err = pim.ParseFilter(l.Filter); err != nil {
			return err
		}
	}
	if f.Sort, err = postgres.ParseSort(l.Sort); err != nil {
		return err
	}
	header := []string{"SKU", "FAMILY", "PARENT", "ENABLED", "CATEGORIES", "REVISION", "UPDATED"}
	return list(ctx, c, l.JSON, header, func(ctx context.Context, store *postgres.Store) ([]productLine, error) {
		return productLines(ctx, store, postgres.Search{Text: l.Search, Locale: l.Locale}, f, l.Limit)
	}, func(p productLine) []string {
		return []string{
			string(p.SKU), p.Family, dash(string(p.Parent)), strconv.FormatBool(p.Enabled), dash(strings.Join(p.Categories, " ")),
			strconv.FormatInt(p.Revision, 10), p.UpdatedAt.UTC().Format(time.RFC3339),
		}
	})
}

// findPage reads a page of a search, or of all products where there is none.
func findPage(ctx context.Context, store *postgres.Store, q postgres.Search, f postgres.ProductFilter, page postgres.Page) (list []*postgres.FullProduct, next string, err error) {
	if strings.TrimSpace(q.Text) == "" {
		return store.Products(ctx, f, page)
	}
	hits, next, err := store.Search(ctx, q, f, page)
	for _, h := range hits {
		list = append(list, h.FullProduct)
	}
	return list, next, err
}

// productLines reads pages until there are limit products; 0: all.
func productLines(ctx context.Context, store *postgres.Store, q postgres.Search, f postgres.ProductFilter, limit int) ([]productLine, error) {
	lines := []productLine{}
	for page := (postgres.Page{Limit: 1000}); ; {
		if rest := limit - len(lines); limit > 0 && rest < 1000 {
			page.Limit = rest
		}
		products, next, err := findPage(ctx, store, q, f, page)
		if err != nil {
			return nil, fmt.Errorf("find products: %w", err)
		}
		for _, p := range products {
			lines = append(lines, productLine{p.SKU, p.Family, p.Parent, p.Enabled, p.Categories, p.Rev, p.UpdatedAt})
		}
		if page.After = next; next == "" || limit > 0 && len(lines) >= limit {
			return lines, nil
		}
	}
}
