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

// textColumns are the columns of texts as CSV for agencies. What stands in
// "text" comes back as an edit; the rest is for reading, but for id and rev.
var textColumns = []string{"id", "rev", "sku", "attribute", "channel", "from", "to", "state", "source", "target", "proposal", "text"}

// ExportTexts writes the texts of f as CSV (RFC 4180, UTF-8, with a header) and
// says how many there were.
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
			if err := out.Write([]string{
				strconv.FormatInt(x.ID, 10), strconv.FormatInt(x.Rev, 10), string(x.SKU), x.Attribute, string(x.Channel), string(x.From), string(x.Locale), string(x.State),
				orEmpty(x.Source), orEmpty(x.Target), orEmpty(x.Proposal), "",
			}); err != nil {
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

// TextRow is what became of one row of a CSV file that has a text.
type TextRow struct {
	Line int // in the file, from 1
	TextDecided
}

// MaxTextRows is how many rows ImportTexts takes.
const MaxTextRows = 100_000

// ImportTexts reads what ExportTexts wrote, filled in: each row with something
// in "text" is an edit of that text as it was exported (postgres.ErrStale where
// it is another one now). Columns may come in any order and others may stand
// between; id, rev and text are needed. The error is *pim.Invalid of a file
// that is no such CSV, or of the database: rows before it are stored.
func (t *Texts) ImportTexts(ctx context.Context, r io.Reader, actor string) (rows []TextRow, err error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	in.ReuseRecord = true
	header, err := in.Read()
	if err != nil {
		return nil, badCSV(1, err)
	}
	at := map[string]int{}
	for i, name := range header {
		at[strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\uFEFF")))] = i
	}
	for _, name := range []string{"id", "rev", "text"} {
		if _, is := at[name]; !is {
			return nil, invalidText("", "csv.column", fmt.Sprintf("there is no column %q", name))
		}
	}
	var (
		decisions []TextDecision
		places    []int
	)
	flush := func() error {
		if len(decisions) == 0 {
			return nil
		}
		done, err := t.Review(ctx, actor, decisions)
		if err != nil {
			return err
		}
		for i, d := range done {
			rows[places[i]].TextDecided = d
		}
		decisions, places = decisions[:0], places[:0]
		return nil
	}
	for n := 0; ; n++ {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return rows, flush()
		}
		if err != nil {
			return rows, badCSV(n+2, err)
		}
		if n == MaxTextRows {
			return rows, invalidText("", "csv.long", fmt.Sprintf("has more than %d rows", MaxTextRows))
		}
		cell := func(name string) string {
			if i := at[name]; i < len(record) {
				return record[i]
			}
			return ""
		}
		said := cell("text")
		if strings.TrimSpace(said) == "" {
			continue
		}
		line, _ := in.FieldPos(0)
		row := TextRow{Line: line}
		id, err1 := strconv.ParseInt(strings.TrimSpace(cell("id")), 10, 64)
		rev, err2 := strconv.ParseInt(strings.TrimSpace(cell("rev")), 10, 64)
		if row.ID = id; err1 != nil || err2 != nil || id < 1 || rev < 1 {
			row.Err = invalidText("", "csv.id", "id and rev are not those of an export")
			rows = append(rows, row)
			continue
		}
		decisions, places = append(decisions, TextDecision{ID: id, Rev: rev, Action: EditText, Text: strings.Clone(said)}), append(places, len(rows))
		rows = append(rows, row)
		if len(decisions) == MaxDecisions {
			if err := flush(); err != nil {
				return rows, err
			}
		}
	}
}

func badCSV(line int, err error) error {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return &pim.Invalid{Problems: []pim.Problem{{Code: "csv", Detail: fmt.Sprintf("line %d is no CSV: %v", parse.Line, parse.Err)}}}
	}
	if errors.Is(err, io.EOF) {
		return invalidText("", "csv", "the file is empty")
	}
	return fmt.Errorf("read line %d: %w", line, err)
}
