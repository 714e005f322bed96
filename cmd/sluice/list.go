//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// fanout brings changes to the channels.
var fanout = postgres.Consumer{Kind: postgres.Fanout}

// changing does something to the store, and wakes after it who has to do by it.
func changing(ctx context.Context, log *slog.Logger, do func(*postgres.Store) error, wakes ...postgres.Consumer) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := do(store); err != nil {
		return err
	}
	if len(wakes) > 0 {
		wakeAll(ctx, log, store, wakes...)
	}
	return nil
}

// deleted says what came of deleting what is of a kind by its code; used is why
// that cannot be, where the store does not say it.
func deleted(c console, err error, kind, code, used string) error {
	var by *postgres.InUse
	switch {
	case errors.Is(err, postgres.ErrNotFound):
		return fmt.Errorf("there is no %s %s", kind, code)
	case errors.As(err, &by):
		return fmt.Errorf("%s %s %w", kind, code, by)
	case errors.Is(err, postgres.ErrInUse):
		return errors.New(used)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s%s %s is deleted.\n", strings.ToUpper(kind[:1]), kind[1:], code)
	return err
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
