package jobs

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// glossaryColumns are the columns of a glossary as CSV.
var glossaryColumns = []string{"from", "to", "kind", "term", "translation", "match_case"}

// ExportGlossary writes the glossary's entries of f as CSV (RFC 4180, UTF-8,
// with a header) and says how many there were. A cell that a spreadsheet would
// take for a formula begins with an apostrophe.
func (t *Texts) ExportGlossary(ctx context.Context, w io.Writer, f postgres.GlossaryFilter) (n int, err error) {
	out := csv.NewWriter(w)
	if err := out.Write(glossaryColumns); err != nil {
		return 0, fmt.Errorf("write the glossary as CSV: %w", err)
	}
	for page := (postgres.Page{Limit: 1000}); ; {
		list, next, err := t.store.Glossary(ctx, f, page)
		if err != nil {
			return n, err
		}
		for _, g := range list {
			cells := []string{string(g.From), string(g.To), string(g.Kind), HarmlessCell(g.Term), HarmlessCell(g.Translation), strconv.FormatBool(g.MatchCase)}
			if err := out.Write(cells); err != nil {
				return n, fmt.Errorf("write the glossary as CSV: %w", err)
			}
			n++
		}
		if next == "" {
			break
		}
		page.After = next
	}
	out.Flush()
	return n, out.Error()
}

// ImportGlossary stores the entries of a CSV file, each row for itself: it makes
// or replaces the entry of its locales, kind and term. Columns may come in any
// order and others may stand between; only term is needed. kind is fixed where
// there is a translation and keep where there is none; an empty from or to is
// any locale. An apostrophe that ExportGlossary put before a formula is taken
// away. The error is *pim.Invalid of a file that is no such CSV, of which
// nothing is stored, or of the database: rows before it are stored.
func (t *Texts) ImportGlossary(ctx context.Context, r io.Reader) (rows []RowResult, err error) {
	in, err := openSheet(r, postgres.MaxGlossary, "term")
	if err != nil {
		return nil, err
	}
	var entries []postgres.GlossaryEntry
	for {
		err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		g, err := readEntry(in)
		rows, entries = append(rows, RowResult{Row: in.row, Line: in.line, Err: err}), append(entries, g)
	}
	for i, g := range entries {
		if rows[i].Err != nil {
			continue
		}
		_, err := t.store.PutGlossaryEntry(ctx, g)
		if _, is := errors.AsType[*pim.Invalid](err); err != nil && !is {
			return rows[:i], err
		}
		rows[i].Err = err
	}
	return rows, nil
}

func readEntry(in *sheet) (g postgres.GlossaryEntry, err error) {
	if err := in.readable(glossaryColumns...); err != nil {
		return g, err
	}
	text := func(name string) string {
		return bareCell(strings.TrimSpace(in.cell(name)))
	}
	g = postgres.GlossaryEntry{
		From: pim.Locale(strings.TrimSpace(in.cell("from"))), To: pim.Locale(strings.TrimSpace(in.cell("to"))), Term: text("term"), Translation: text("translation"),
		Kind: postgres.GlossaryKind(strings.ToLower(strings.TrimSpace(in.cell("kind")))),
	}
	if g.Kind == "" {
		g.Kind = postgres.GlossaryKeep
		if g.Translation != "" {
			g.Kind = postgres.GlossaryFixed
		}
	}
	if said := strings.TrimSpace(in.cell("match_case")); said != "" {
		if g.MatchCase, err = strconv.ParseBool(strings.ToLower(said)); err != nil {
			return g, invalidText("/match_case", "csv.boolean", "is true or false")
		}
	}
	return g, nil
}
