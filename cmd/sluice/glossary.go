//go:build unix

package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"strconv"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type glossaryCmd struct {
	List   glossaryListCmd   `cmd:"" help:"List the words with a translation of their own."`
	Import glossaryImportCmd `cmd:"" help:"Make or replace the entries of a CSV file."`
	Export glossaryExportCmd `cmd:"" help:"Write the glossary as CSV."`
}

// glossaryChoice are the flags of commands on many entries.
type glossaryChoice struct {
	From  pim.Locale `help:"Only from this locale or language, as the entry has it."`
	To    pim.Locale `help:"Only to this locale or language, as the entry has it."`
	Kind  string     `enum:",fixed,keep,forbidden" default:"" help:"Only those that are fixed, keep or forbidden."`
	Query string     `short:"q" help:"Part of the term or of its translation."`
}

func (f glossaryChoice) filter() postgres.GlossaryFilter {
	return postgres.GlossaryFilter{From: f.From, To: f.To, Kind: postgres.GlossaryKind(f.Kind), Query: f.Query}
}

type glossaryListCmd struct {
	glossaryChoice
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the entries.
func (l glossaryListCmd) Run(ctx context.Context, c console) error {
	read := func(ctx context.Context, store *postgres.Store) ([]api.GlossaryEntry, error) {
		return pages(0, func(page postgres.Page) ([]api.GlossaryEntry, string, error) {
			list, next, err := store.Glossary(ctx, l.filter(), page)
			views := make([]api.GlossaryEntry, len(list))
			for i, g := range list {
				views[i] = api.ViewGlossaryEntry(g)
			}
			return views, next, err
		})
	}
	return list(ctx, c, l.JSON, []string{"ENTRY", "FROM", "TO", "KIND", "TERM", "TRANSLATION", "MATCH CASE"}, read, func(g api.GlossaryEntry) []string {
		return []string{strconv.FormatInt(g.ID, 10), cmp.Or(string(g.From), "any"), cmp.Or(string(g.To), "any"), string(g.Kind), g.Term, dash(g.Translation), strconv.FormatBool(g.MatchCase)}
	})
}

type glossaryImportCmd struct {
	File string `arg:"" type:"path" help:"The file, with the columns from, to, kind, term, translation, match_case; only term is needed. - is standard input."`
}

// Run takes the file.
func (i glossaryImportCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onTexts(ctx, log, nil, false, func(_ *postgres.Store, t *jobs.Texts) error {
		return takeSheet(c, i.File, func(r io.Reader) ([]jobs.RowResult, error) { return t.ImportGlossary(ctx, r) })
	})
}

type glossaryExportCmd struct {
	glossaryChoice
	File string `arg:"" optional:"" placeholder:"FILE" type:"path" help:"Where it goes; by default standard output. A file that is there is not written over."`
}

// Run writes the glossary.
func (e glossaryExportCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onTexts(ctx, log, nil, false, func(_ *postgres.Store, t *jobs.Texts) error {
		return writeFile(c, e.File, "entries", func(w io.Writer) (int, error) { return t.ExportGlossary(ctx, w, e.filter()) })
	})
}
