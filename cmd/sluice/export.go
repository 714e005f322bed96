//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluicehub/sluice/jobs/exporting"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type exportCmd struct {
	File         string     `arg:"" default:"-" help:"Where it goes; - is standard output (the default)."`
	Format       string     `placeholder:"NAME" help:"csv, xlsx or jsonl. By default what the file's name ends with, else csv."`
	Filter       string     `short:"f" placeholder:"CONDITION" help:"Only products that fit it, such as: values.color = red and enabled = true. docs/finding.md has the language."`
	Family       string     `placeholder:"CODE" help:"Only products of this family."`
	Parent       pim.SKU    `placeholder:"SKU" help:"Only variants of this product."`
	Category     string     `placeholder:"CODE" help:"Only products in this category."`
	Enabled      string     `enum:",true,false" default:"" help:"Only those that are enabled: true, or are not: false."`
	SKUPrefix    string     `name:"sku-prefix" placeholder:"TEXT" help:"Only products whose SKU begins so."`
	Search       string     `placeholder:"TEXT" help:"Only products with this text in the SKU or in any value."`
	UpdatedSince *time.Time `placeholder:"TIME" help:"Only products whose content changed at or after this time (RFC 3339)."`
}

// Help is the command's longer text.
func (exportCmd) Help() string {
	return `The products are those of one moment, in the order of their creation. The columns are those of the layout sluice: ` +
		`imported again, the file changes nothing. A file is written whole or not at all. Spreadsheet programs take XLSX best; CSV is UTF-8, ` +
		`and cells that such programs would run as formulas begin with an apostrophe, which an import takes off.`
}

func (e exportCmd) format() (exporting.Format, error) {
	name := e.Format
	if ext := strings.TrimPrefix(strings.ToLower(filepath.Ext(e.File)), "."); name == "" && (ext == "xlsx" || ext == "jsonl") {
		name = ext
	}
	return exporting.ParseFormat(name)
}

// Run exports the products.
func (e exportCmd) Run(ctx context.Context, c console) error {
	format, err := e.format()
	if err != nil {
		return err
	}
	f := postgres.ProductFilter{
		Family: e.Family, Parent: e.Parent, Category: e.Category, SKUPrefix: e.SKUPrefix, Search: e.Search, UpdatedSince: e.UpdatedSince,
	}
	if e.Enabled != "" {
		f.Enabled = new(e.Enabled == "true")
	}
	if e.Filter != "" {
		if f.Where, err = pim.ParseFilter(e.Filter); err != nil {
			return err
		}
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	var n int64
	write := func(w io.Writer) error {
		n, err = exporting.Write(ctx, store, w, format, f)
		return err
	}
	if e.File == "-" {
		return write(c.out)
	}
	if err := replaceFile(e.File, write); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.err, "%d products: %s\n", n, e.File)
	return err
}

// replaceFile writes a file beside path, and puts it in its place once it is whole.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".sluice-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // a left-over says by its name whose it is
		}
	}()
	if err = write(f); err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
