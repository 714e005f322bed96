package jobs

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim/postgres"
)

// textColumns are the columns of texts as CSV for agencies. What stands in
// "action" and "text" comes back as a decision; the rest is for reading, but
// for id, rev and source, which say what was seen.
var textColumns = []string{"id", "rev", "sku", "attribute", "channel", "from", "to", "state", "source", "target", "proposal", "text", "action"}

// ExportTexts writes the texts of f as CSV (RFC 4180, UTF-8, with a header) and
// says how many there were. A cell that a spreadsheet would take for a formula
// begins with an apostrophe.
func (t *Texts) ExportTexts(ctx context.Context, w io.Writer, f postgres.TextFilter) (n int, err error) {
	out := csv.NewWriter(w)
	if err := out.Write(textColumns); err != nil {
		return 0, fmt.Errorf("write texts as CSV: %w", err)
	}
	for page := (postgres.Page{Limit: 1000}); ; {
		list, next, err := t.store.Texts(ctx, f, page)
		if err != nil {
			return n, err
		}
		for _, x := range list {
			cells := []string{
				strconv.FormatInt(x.ID, 10), strconv.FormatInt(x.Rev, 10), string(x.SKU), x.Attribute, string(x.Channel), string(x.From), string(x.Locale), string(x.State),
				orEmpty(x.Source), orEmpty(x.Target), orEmpty(x.Proposal), "", "",
			}
			for i := range cells {
				cells[i] = HarmlessCell(cells[i])
			}
			if err := out.Write(cells); err != nil {
				return n, fmt.Errorf("write texts as CSV: %w", err)
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

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// TextRow is what became of one row of a CSV file that decides a text.
type TextRow struct {
	RowResult
	ID       int64 // 0: the row's id cannot be read
	Action   string
	State    postgres.TextState
	Revision int64 // the product's content revision; 0: the product stayed as it was
}

// MaxTextRows is how many rows ImportTexts takes.
const MaxTextRows = 100_000

// ImportTexts reads what ExportTexts wrote, filled in. A row with something in
// "text" is an edit of that text; one with a decision in "action" takes that.
// Other rows say nothing. A row counts only for the text as it was exported:
// postgres.ErrStale where it is another one now, *pim.Invalid at /source where
// its source is. Columns may come in any order and others may stand between; id,
// rev, and text or action are needed. The error is *pim.Invalid of a file that
// is no such CSV, of which nothing is stored, or of the database: rows before it
// are stored.
func (t *Texts) ImportTexts(ctx context.Context, r io.Reader, actor string) (rows []TextRow, err error) {
	in, err := openSheet(r, MaxTextRows, "id", "rev")
	if err != nil {
		return nil, err
	}
	if !in.has("text") && !in.has("action") {
		return nil, invalidText("", "csv.column", `there is no column "text", and none "action"`)
	}
	var (
		decisions []TextDecision
		places    []int
	)
	for {
		err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		d, err := readDecision(in)
		if err == nil && d.Action == "" {
			continue
		}
		row := TextRow{RowResult: RowResult{Row: in.row, Line: in.line, Err: err}, ID: d.ID, Action: d.Action}
		if err == nil {
			decisions, places = append(decisions, d), append(places, len(rows))
		}
		rows = append(rows, row)
	}
	for len(decisions) > 0 {
		n := min(len(decisions), MaxDecisions)
		done, err := t.Review(ctx, actor, decisions[:n])
		if err != nil {
			return rows, err
		}
		for i, d := range done {
			row := &rows[places[i]]
			row.State, row.Revision, row.Err = d.State, d.Revision, d.Err
		}
		decisions, places = decisions[n:], places[n:]
	}
	return rows, nil
}

// readDecision reads a row; one without an action says nothing.
func readDecision(in *sheet) (d TextDecision, err error) {
	said := in.cell("text")
	d.Action = strings.ToLower(strings.TrimSpace(in.cell("action")))
	d.ID, _ = strconv.ParseInt(strings.TrimSpace(in.cell("id")), 10, 64)
	switch {
	case strings.TrimSpace(said) == "":
		if d.Action == "" {
			return d, nil
		}
	case d.Action == "":
		d.Action = EditText
	case d.Action != EditText:
		return d, invalidText("/text", "text.extra", fmt.Sprintf("goes with no %q", clipped(d.Action)))
	}
	if err := in.readable("text", "source"); err != nil {
		return d, err
	}
	if d.ID < 1 {
		return d, invalidText("/id", "csv.id", "is not that of an export")
	}
	if d.Rev, err = strconv.ParseInt(strings.TrimSpace(in.cell("rev")), 10, 64); err != nil || d.Rev < 1 {
		return d, invalidText("/rev", "csv.rev", "is not that of an export")
	}
	d.Text = bareCell(said) // copied from a proposal, perhaps
	if in.has("source") {
		source := in.cell("source")
		d.Source = &source
	}
	return d, nil
}

func clipped(s string) string {
	const most = 20
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// rowFault is what a row's error of the store says.
func rowFault(err error) (column, code, detail string) {
	switch {
	case errors.Is(err, postgres.ErrNotFound):
		return "id", "text.unknown", "there is no such text any more"
	case errors.Is(err, postgres.ErrStale):
		return "rev", "text.stale", "the text has changed since the file was made"
	}
	return "", "failed", err.Error()
}
