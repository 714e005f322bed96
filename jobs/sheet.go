package jobs

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
)

// sheet reads CSV with a header whose columns may come in any order, with others
// between. Spreadsheets of many countries write a semicolon or a tab in place of
// the comma: the header tells.
type sheet struct {
	in      *csv.Reader
	at      map[string]int // column's name in small letters → its place
	record  []string
	row     int // of record: the first one behind the header is 1
	line    int // where it begins in the file
	maxRows int
}

// openSheet reads the header. The error is *pim.Invalid of what is no such CSV,
// or the reader's.
func openSheet(r io.Reader, maxRows int, needed ...string) (*sheet, error) {
	b := bufio.NewReaderSize(r, 4096)
	head, err := b.Peek(4096)
	if bare, is := bytes.CutPrefix(head, []byte("\uFEFF")); is { // before a quotation mark it would be no CSV
		if _, err := b.Discard(len(head) - len(bare)); err != nil {
			return nil, err
		}
		head = bare
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	s := &sheet{in: csv.NewReader(b), at: map[string]int{}, maxRows: maxRows}
	s.in.Comma = delimiterOf(head)
	s.in.FieldsPerRecord = -1
	s.in.ReuseRecord = true
	header, err := s.in.Read()
	if err != nil {
		return nil, badCSV(err)
	}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := s.at[name]; twice && (slices.Contains(needed, name) || slices.Contains(textColumns, name) || slices.Contains(glossaryColumns, name)) {
			return nil, invalidText("", "csv.column", fmt.Sprintf("there are two columns %q", name))
		}
		s.at[name] = i
	}
	for _, name := range needed {
		if !s.has(name) {
			return nil, invalidText("", "csv.column", fmt.Sprintf("there is no column %q", name))
		}
	}
	return s, nil
}

// delimiterOf is the character that stands most often in the first line.
func delimiterOf(head []byte) rune {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	best, most := ',', 0
	for _, c := range ",;\t" {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

func (s *sheet) has(name string) bool {
	_, is := s.at[name]
	return is
}

// next goes to the next record; io.EOF, or *pim.Invalid.
func (s *sheet) next() error {
	record, err := s.in.Read()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return badCSV(err)
	}
	if s.row == s.maxRows {
		return invalidText("", "csv.long", fmt.Sprintf("has more than %d rows", s.maxRows))
	}
	s.record = record
	s.row++
	s.line, _ = s.in.FieldPos(0)
	return nil
}

// cell is the record's text in a column; "" where it has none. It lives longer
// than the record.
func (s *sheet) cell(name string) string {
	if i, is := s.at[name]; is && i < len(s.record) {
		return strings.Clone(s.record[i])
	}
	return ""
}

// readable says which of the columns is no text that could be stored.
func (s *sheet) readable(columns ...string) error {
	for _, name := range columns {
		if c := s.cell(name); !utf8.ValidString(c) || strings.IndexByte(c, 0) >= 0 {
			return invalidText("/"+name, "csv.encoding", "is not UTF-8 text")
		}
	}
	return nil
}

func badCSV(err error) error {
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return invalidText("", "csv", fmt.Sprintf("line %d is no CSV: %v", parse.Line, parse.Err))
	}
	if errors.Is(err, io.EOF) {
		return invalidText("", "csv", "the file is empty")
	}
	return fmt.Errorf("read CSV: %w", err)
}

// HarmlessCell keeps a spreadsheet from taking somebody's cell for a formula
// (https://owasp.org/www-community/attacks/CSV_Injection). Numbers stay.
func HarmlessCell(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return cell
	}
	if _, err := strconv.ParseFloat(cell, 64); err == nil {
		return cell
	}
	return "'" + cell
}

// bareCell takes away what HarmlessCell put before a cell.
func bareCell(cell string) string {
	if bare, is := strings.CutPrefix(cell, "'"); is && HarmlessCell(bare) == cell {
		return bare
	}
	return cell
}

// sameCell reports whether a cell that came back is text as it was exported:
// programs between may have changed its line ends.
func sameCell(cell, text string) bool {
	plain := func(s string) string {
		return strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n"))
	}
	cell = plain(cell)
	return cell == plain(text) || cell == plain(HarmlessCell(text))
}

// RowResult says where in a file a row stands, and what became of it.
type RowResult struct {
	Row  int   // the first one behind the header is 1
	Line int   // where it begins in the file, from 1
	Err  error // nil: it is stored; else *pim.Invalid with a column's name as pointer, postgres.ErrNotFound or postgres.ErrStale
}

// Column is the column that Err is about, with a stable code and a text for
// people; the column is "" for the row as a whole. Without Err all are "".
func (r RowResult) Column() (column, code, detail string) {
	if r.Err == nil {
		return "", "", ""
	}
	if invalid, ok := errors.AsType[*pim.Invalid](r.Err); ok && len(invalid.Problems) > 0 {
		p := invalid.Problems[0]
		column, _, _ = strings.Cut(strings.TrimPrefix(p.Pointer, "/"), "/")
		return column, p.Code, p.Detail
	}
	return rowFault(r.Err)
}
