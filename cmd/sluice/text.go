//go:build unix

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type textCmd struct {
	List   textListCmd   `cmd:"" help:"List the texts that rules cover, and how they stand."`
	Accept textAcceptCmd `cmd:"" help:"Take proposals as the products' texts."`
	Reject textRejectCmd `cmd:"" help:"Throw proposals away."`
	Export textExportCmd `cmd:"" help:"Write texts as CSV, for agencies."`
	Import textImportCmd `cmd:"" help:"Take an exported CSV file back: what stands in its columns text and action."`
}

// actorText is who products' events say made a change.
const actorText = "sluice text"

// textChoice are the flags of commands on many texts.
type textChoice struct {
	State     string          `enum:",missing,machine,reviewed,outdated" default:"" help:"Only those that are missing, machine, reviewed or outdated."`
	Locale    pim.Locale      `help:"Only of this locale."`
	Attribute string          `help:"Only of this attribute."`
	Family    string          `help:"Only of this family."`
	Channel   pim.ChannelCode `help:"Only for this channel."`
	SKU       pim.SKU         `name:"sku" help:"Only of this product."`
	Rule      string          `help:"Only of this rule."`
	Action    string          `enum:",translate,generate" default:"" help:"Only those to translate or to generate."`
	Waits     bool            `name:"waiting-for-review" help:"Only those with a proposal."`
	Failed    bool            `help:"Only those whose last attempt came to nothing."`
}

func (f textChoice) filter() postgres.TextFilter {
	return postgres.TextFilter{
		State: postgres.TextState(f.State), Locale: f.Locale, Attribute: f.Attribute, Family: f.Family, Channel: f.Channel, SKU: f.SKU, Rule: f.Rule,
		Action: postgres.TextAction(f.Action), Waits: f.Waits, Failed: f.Failed,
	}
}

type textListCmd struct {
	textChoice
	Limit int  `default:"1000" help:"List so many at most; 0 is all (${default})."`
	JSON  bool `name:"json" help:"Print a JSON array."`
}

// Run lists the texts.
func (l textListCmd) Run(ctx context.Context, c console) error {
	header := []string{"TEXT", "SKU", "ATTRIBUTE", "LOCALE", "STATE", "RULE", "TARGET", "PROPOSAL", "PROBLEM"}
	return list(ctx, c, l.JSON, header, l.views, func(t api.Text) []string {
		attribute := t.Attribute
		if t.Channel != "" {
			attribute += "@" + string(t.Channel)
		}
		return []string{
			strconv.FormatInt(t.ID, 10), string(t.SKU), attribute, string(t.Locale), string(t.State), t.Rule,
			beginning(cmp.Or(t.Target, t.TestValue)), beginning(t.Proposal), dash(oneLine(t.Error)),
		}
	})
}

// beginning is a text's first words, for a cell.
func beginning(text *string) string {
	if text == nil {
		return "-"
	}
	const most = 40
	line := []rune(oneLine(*text))
	if len(line) > most {
		return string(line[:most-1]) + "…"
	}
	return dash(string(line))
}

func (l textListCmd) views(ctx context.Context, store *postgres.Store) ([]api.Text, error) {
	return pages(l.Limit, func(page postgres.Page) ([]api.Text, string, error) {
		list, next, err := store.Texts(ctx, l.filter(), page)
		views := make([]api.Text, len(list))
		for i := range list {
			views[i] = api.ViewText(&list[i])
		}
		return views, next, err
	})
}

// decide decides texts by their numbers, and says what became of those that
// could not be.
func decide(ctx context.Context, c console, log *slog.Logger, ids []int64, action, said string) error {
	return onTexts(ctx, log, nil, false, func(store *postgres.Store, t *jobs.Texts) error {
		stored, refused := 0, 0
		for len(ids) > 0 {
			n := min(len(ids), jobs.MaxDecisions)
			decisions := make([]jobs.TextDecision, n)
			for i, id := range ids[:n] {
				decisions[i] = jobs.TextDecision{ID: id, Action: action}
			}
			ids = ids[n:]
			done, err := t.Review(ctx, actorText, decisions)
			if err != nil {
				return err
			}
			for _, d := range done {
				if d.Err == nil {
					stored++
					continue
				}
				refused++
				_, _, why := jobs.RowResult{Err: d.Err}.Column()
				fmt.Fprintf(c.err, "sluice: text %d: %s\n", d.ID, why)
			}
		}
		wakeAll(ctx, log, store, fanout)
		if _, err := fmt.Fprintf(c.out, "%d texts are %s.\n", stored, said); err != nil {
			return err
		}
		if refused > 0 {
			return errTold
		}
		return nil
	})
}

type textAcceptCmd struct {
	ID []int64 `arg:"" name:"id" help:"The texts' numbers, as the list shows them."`
}

// Help is the command's longer text.
func (textAcceptCmd) Help() string {
	return `A text without a proposal is accepted as it stands. No machine writes over an accepted text: when its source changes it becomes outdated, with the new proposal beside it.`
}

// Run accepts the texts.
func (a textAcceptCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return decide(ctx, c, log, a.ID, jobs.AcceptText, "accepted")
}

type textRejectCmd struct {
	ID []int64 `arg:"" name:"id" help:"The texts' numbers, as the list shows them."`
}

// Run rejects the texts.
func (r textRejectCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return decide(ctx, c, log, r.ID, jobs.RejectText, "rejected")
}

type textExportCmd struct {
	textChoice
	File string `arg:"" optional:"" placeholder:"FILE" type:"path" help:"Where it goes; by default standard output. A file that is there is not written over."`
}

// Run writes the texts.
func (e textExportCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onTexts(ctx, log, nil, false, func(_ *postgres.Store, t *jobs.Texts) error {
		return writeFile(c, e.File, "texts", func(w io.Writer) (int, error) { return t.ExportTexts(ctx, w, e.filter()) })
	})
}

// writeFile has write write a file that is not there yet, or standard output,
// and says how many things went into the file.
func writeFile(c console, path, things string, write func(io.Writer) (int, error)) error {
	if path == "" || path == "-" {
		_, err := write(c.out)
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := write(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half a file must not look whole
	}
	_, err = fmt.Fprintf(c.out, "%d %s are in %s.\n", n, things, path)
	return err
}

type textImportCmd struct {
	File string `arg:"" type:"path" help:"The file; - is standard input."`
}

// Help is the command's longer text.
func (textImportCmd) Help() string {
	return `Something in the column text is an edit; accept, edit or reject in the column action is a decision; other rows say nothing. ` +
		`Rows whose text or source has changed since the export are refused, each with its row and column; the status is 1 then, and the other rows are stored.`
}

// Run takes the file.
func (i textImportCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return onTexts(ctx, log, nil, false, func(store *postgres.Store, t *jobs.Texts) error {
		return takeSheet(c, i.File, func(r io.Reader) ([]jobs.RowResult, error) {
			rows, err := t.ImportTexts(ctx, r, actorText)
			results := make([]jobs.RowResult, len(rows))
			for i := range rows {
				results[i] = rows[i].RowResult
			}
			wakeAll(ctx, log, store, fanout)
			return results, err
		})
	})
}

// takeSheet has read take a CSV file, and tells what became of its rows.
func takeSheet(c console, path string, read func(io.Reader) ([]jobs.RowResult, error)) error {
	in := c.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	rows, err := read(in)
	if err != nil {
		return err
	}
	stored := 0
	for _, r := range rows {
		if r.Err == nil {
			stored++
			continue
		}
		column, code, why := r.Column()
		fmt.Fprintf(c.err, "sluice: row %d (line %d), column %s: %s (%s)\n", r.Row, r.Line, dash(column), why, code)
	}
	if _, err := fmt.Fprintf(c.out, "%d of %d rows are stored.\n", stored, len(rows)); err != nil {
		return err
	}
	if stored < len(rows) {
		return errTold
	}
	return nil
}
