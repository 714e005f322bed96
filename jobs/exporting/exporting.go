// Package exporting writes products as files: CSV, XLSX workbooks and JSON
// Lines, in Sluice's own layout, which package importing reads again so that an
// export changes nothing where it came from. What lives here: which columns
// there are, how values become cells, the three formats. What does not: which
// products are chosen, and what the columns are called, which importing says.
//
// A file is of one moment: everything is read in one snapshot of the database,
// a page at a time, so that memory does not grow with the catalogue.
package exporting

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Format is how a file is written.
type Format string

// The formats.
const (
	CSV   Format = "csv"   // RFC 4180, UTF-8, lines end with LF
	XLSX  Format = "xlsx"  // a workbook of one sheet
	JSONL Format = "jsonl" // an object on each line
)

// Formats are all formats, the first being the default.
var Formats = []Format{CSV, XLSX, JSONL}

// ParseFormat reads a format's name; "" is CSV. Its error is a *pim.Invalid at /format.
func ParseFormat(s string) (Format, error) {
	if s == "" {
		return CSV, nil
	}
	if slices.Contains(Formats, Format(s)) {
		return Format(s), nil
	}
	return "", invalid("/format", "format.unknown", fmt.Sprintf("the format is one of csv, xlsx, jsonl, not %q", s))
}

// MediaType is what HTTP calls files of the format.
func (f Format) MediaType() string {
	switch f {
	case XLSX:
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case JSONL:
		return "application/x-ndjson"
	}
	return "text/csv; charset=utf-8"
}

func invalid(pointer, code, detail string) error {
	return &pim.Invalid{Problems: []pim.Problem{{Pointer: pointer, Code: code, Detail: detail}}}
}

// rowWriter writes one file. Nothing is written behind its end.
type rowWriter interface {
	product(p *postgres.FullProduct) error
	end() error
}

// Write writes the products that f leaves to w, in the order of their creation,
// and says how many there were. CSV and JSON Lines go out as they are read; of a
// workbook nothing is written before all of it is known, and what a workbook
// cannot hold is a *pim.Invalid at /format. Other errors are w's, ctx's or the
// database's: what was written by then is no whole file.
func Write(ctx context.Context, store *postgres.Store, w io.Writer, format Format, f postgres.ProductFilter) (n int64, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	err = store.InSnapshot(ctx, f, func(s *postgres.Snapshot) error {
		rows, err := open(ctx, s, out, format)
		if err != nil {
			return err
		}
		defer rows.close()
		err = s.Products(ctx, func(p *postgres.FullProduct) error {
			n++
			// What rules make is made again where it comes in; as a price of its own it would win over them.
			p.Prices = slices.DeleteFunc(p.Prices, func(x pim.Price) bool { return len(x.Rules) > 0 })
			return rows.product(p)
		})
		if err != nil {
			return err
		}
		return rows.end()
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return n, fmt.Errorf("export products as %s: %w", format, err)
	}
	return n, nil
}

// opened is a rowWriter with what it holds.
type opened struct {
	rowWriter
	close func()
}

func open(ctx context.Context, s *postgres.Snapshot, w *bufio.Writer, format Format) (opened, error) {
	if format == JSONL {
		return opened{&lines{w: w}, func() {}}, nil // which needs no columns
	}
	places, err := s.Places(ctx)
	if err != nil {
		return opened{}, err
	}
	cols := columnsOf(s.Schema(), places)
	if format == XLSX {
		return newSheet(w, cols)
	}
	c, err := newCSV(w, cols)
	return opened{c, func() {}}, err
}

// join puts list elements into one cell, as importing takes them apart: codes
// with commas, others with line ends. What could be taken for something else is
// written as JSON.
func join(a *pim.Attribute, v any) string {
	list, ok := v.([]any)
	if !ok {
		text, _ := v.(string)
		if strings.HasPrefix(text, "[") || strings.HasPrefix(text, `"`) {
			return string(pim.AppendJSONString(nil, text))
		}
		return text
	}
	separator := "\n"
	codes := a.Type == pim.TypeOptions || a.Type == pim.TypeEntities
	if codes {
		separator = ","
	}
	parts := make([]string, len(list))
	plain := len(list) > 1 || codes && len(list) == 1
	for i, e := range list {
		text, isText := e.(string)
		parts[i] = text
		plain = plain && isText && text != "" && !(i == 0 && strings.ContainsAny(text[:1], `["`))
	}
	if plain {
		return strings.Join(parts, separator)
	}
	return string(appendSorted(nil, v))
}
