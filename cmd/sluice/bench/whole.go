//go:build unix

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A catalogue in the full model: of ten rows one is a model, three are its variants, and all
// have categories, a price and stock.

const (
	familyVariant = "by_colour"
	variantsOf    = 3  // variants of a model, whose rows follow its own
	group         = 10 // rows from one model to the next
)

// whole is the run's products in the full model: rows of our own layout.
func (c *catalogue) whole() ([]byte, error) {
	var file bytes.Buffer
	for i, values := range c.values {
		row := map[string]json.RawMessage{}
		if err := json.Unmarshal(values, &row); err != nil {
			return nil, fmt.Errorf("read the values of product %d: %w", i, err)
		}
		parent, variant := "null", "null"
		switch k := i % group; {
		case k == 0:
			variant = fmt.Sprintf("%q", familyVariant)
			delete(row, "colour")
		case k <= variantsOf:
			parent = fmt.Sprintf("%q", sku(i-k))
			row = map[string]json.RawMessage{"colour": encode(colours[k]), "gtin": row["gtin"], "weight": row["weight"]}
		}
		fmt.Fprintf(&file, `{"sku":%q,"parent":%s,"family":%q,"family_variant":%s,"enabled":true,"categories":["all","shelf_%d"]`, sku(i), parent, family, variant, i%50)
		for _, a := range attributes {
			if v, is := row[a.Code]; is {
				fmt.Fprintf(&file, `,%q:%s`, a.Code, v)
			}
		}
		fmt.Fprintf(&file, `,"prices":[{"currency":"EUR","amount":"%d.%02d"}],"stock":[{"location":"default","on_hand":%d}]}`+"\n", 1+i%900, i%100, i%70)
	}
	return file.Bytes(), nil
}

// The yardstick's tables, and what a row leaves in each.
var wholeTables = []struct {
	table, like string
	columns     []string
	row         func(c *catalogue, i int) []any
}{
	{"bench_whole_product", "product", []string{"sku", "family", "categories", "values"}, func(c *catalogue, i int) []any {
		return []any{string(sku(i)), family, []string{"all", fmt.Sprintf("shelf_%d", i%50)}, json.RawMessage(c.values[i])}
	}},
	{"bench_whole_price", "price", []string{"product_id", "amount", "currency", "price_list"}, func(_ *catalogue, i int) []any {
		return []any{int64(i), "1.00", "EUR", "default"}
	}},
	{"bench_whole_stock", "stock", []string{"product_id", "on_hand", "location"}, func(_ *catalogue, i int) []any {
		return []any{int64(i), int64(i % 70), "default"}
	}},
}

// importingWhole times the import of a catalogue in the full model beside COPY of the rows
// that it leaves.
func (b *bench) importingWhole(ctx context.Context) error {
	f := schemaChange().Families[0]
	f.Variants = []pim.FamilyVariant{{Code: familyVariant, Axes: []string{"colour"}}}
	if _, err := b.house.node.Store.ChangeSchema(ctx, postgres.SchemaChange{Families: []pim.Family{f}}); err != nil {
		return err
	}
	for i := range channels {
		if err := b.house.channel(ctx, i, b.sink); err != nil {
			return err
		}
	}
	file, err := b.catalog.whole()
	if err != nil {
		return err
	}
	b.say("copy %d rows with prices and stock", b.Products)
	var copied time.Duration
	for _, t := range wholeTables {
		if _, err := b.house.pool.Exec(ctx, fmt.Sprintf(`create table %s (like %s including all)`, t.table, t.like)); err != nil {
			return fmt.Errorf("make the yardstick's table: %w", err)
		}
		began := time.Now()
		_, err := b.house.pool.CopyFrom(ctx, pgx.Identifier{t.table}, t.columns, pgx.CopyFromSlice(b.Products, func(i int) ([]any, error) {
			return t.row(b.catalog, i), nil
		}))
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		copied += time.Since(began)
	}
	b.say("import %d rows in the full model", b.Products)
	stop, err := b.profile(ctx, measureImport+"-whole")
	if err != nil {
		return err
	}
	began := time.Now()
	if _, _, err := b.importFile(ctx, file, []byte(`{"layout":"sluice"}`)); err != nil {
		return err
	}
	if err := b.house.marked(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	if err := stop(); err != nil {
		return err
	}
	b.report.beside("import with variants, prices and stock", perSecond(b.Products, took), "rows/s", "COPY of what it leaves", perSecond(b.Products, copied), atLeast(0.4),
		"a tenth models with three variants each, all with categories, until five channels are marked")
	return nil
}
