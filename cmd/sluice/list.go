//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sluicehub/sluice/pim/postgres"
)

// list prints what read gives: as a JSON array, or as a table with a line of
// cells for each.
func list[V any](ctx context.Context, c console, asJSON bool, header []string, read func(context.Context, *postgres.Store) ([]V, error), cells func(V) []string) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	views, err := read(ctx, store)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.out, views)
	}
	rows := make([][]string, len(views))
	for i, v := range views {
		rows[i] = cells(v)
	}
	return table(c.out, header, rows)
}

// table prints lines of cells in columns.
func table(w io.Writer, header []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(header, "\t"))
	for _, cells := range rows {
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
