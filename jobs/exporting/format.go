package exporting

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"

	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// csvFile writes CSV. Cells that a spreadsheet would run begin with an
// apostrophe, which importing takes off again.
type csvFile struct {
	w     *csv.Writer
	cols  []column
	cells []string
}

func newCSV(w *bufio.Writer, cols []column) (*csvFile, error) {
	c := &csvFile{w: csv.NewWriter(w), cols: cols, cells: make([]string, len(cols))}
	for i := range cols {
		c.cells[i] = cols[i].name
	}
	return c, c.w.Write(c.cells)
}

func (c *csvFile) product(p *postgres.FullProduct) error {
	r, err := newRow(p)
	if err != nil {
		return err
	}
	for i := range c.cols {
		c.cells[i] = importing.HarmlessCell(c.cols[i].of(r).text)
	}
	return c.w.Write(c.cells)
}

func (c *csvFile) end() error {
	c.w.Flush()
	return c.w.Error()
}

// Bounds of a workbook (ECMA-376; Excel's specifications and limits).
const (
	sheetRows    = 1 << 20
	sheetColumns = 1 << 14
	sheetText    = 32767 // UTF-16 units of one cell
	sheetDigits  = 15    // of a number
)

// sheet writes a workbook, whose rows go to a temporary file until the end.
type sheet struct {
	w     *bufio.Writer
	book  *excelize.File
	rows  *excelize.StreamWriter
	cols  []column
	cells []any
	at    int
}

func newSheet(w *bufio.Writer, cols []column) (opened, error) {
	s := &sheet{w: w, book: excelize.NewFile(), cols: cols, cells: make([]any, len(cols))}
	done := func() { _ = s.book.Close() } // which removes its temporary files
	err := func() (err error) {
		if len(cols) > sheetColumns {
			return invalid("/format", "xlsx.columns", fmt.Sprintf("a workbook has at most %d columns, these products fill %d: export JSON Lines", sheetColumns, len(cols)))
		}
		const name = "products"
		if err := s.book.SetSheetName("Sheet1", name); err != nil {
			return err
		}
		if s.rows, err = s.book.NewStreamWriter(name); err != nil {
			return err
		}
		if err := s.rows.SetPanes(&excelize.Panes{Freeze: true, YSplit: 1, TopLeftCell: "A2", ActivePane: "bottomLeft"}); err != nil {
			return err
		}
		for i := range cols {
			s.cells[i] = cols[i].name
		}
		return s.write()
	}()
	if err != nil {
		done()
		return opened{}, err
	}
	return opened{s, done}, nil
}

func (s *sheet) write() error {
	if s.at++; s.at > sheetRows {
		return invalid("/format", "xlsx.rows", fmt.Sprintf("a workbook has at most %d rows: export CSV or JSON Lines, or fewer products", sheetRows))
	}
	return s.rows.SetRow("A"+strconv.Itoa(s.at), s.cells)
}

func (s *sheet) product(p *postgres.FullProduct) error {
	r, err := newRow(p)
	if err != nil {
		return err
	}
	for i := range s.cols {
		c := s.cols[i].of(r)
		if s.cells[i] = sheetCell(c); len(c.text) > sheetText && len(utf16.Encode([]rune(c.text))) > sheetText {
			return invalid("/format", "xlsx.text", fmt.Sprintf("product %s has more than %d characters in %s, which no workbook's cell holds: export CSV or JSON Lines", p.SKU, sheetText, s.cols[i].name))
		}
	}
	return s.write()
}

// sheetCell is a number where the workbook keeps all of its digits as they are
// written; else text, so that nothing is lost.
func sheetCell(c cell) any {
	if c.text == "" {
		return nil
	}
	if c.number && len(strings.TrimLeft(c.text, "-0.")) <= sheetDigits {
		if f, err := strconv.ParseFloat(c.text, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == c.text {
			return f
		}
	}
	return c.text
}

func (s *sheet) end() error {
	if err := s.rows.Flush(); err != nil {
		return fmt.Errorf("write the sheet: %w", err)
	}
	return s.book.Write(s.w)
}

// lines writes JSON Lines: values as the API gives them, attributes with their
// channels and locales in one member.
type lines struct {
	w   *bufio.Writer
	buf []byte
}

func (l *lines) product(p *postgres.FullProduct) error {
	r, err := newRow(p)
	if err != nil {
		return err
	}
	b := append(l.buf[:0], '{')
	member := func(name string) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(pim.AppendJSONString(b, name), ':')
	}
	text := func(name, v string) {
		if member(name); v == "" {
			b = append(b, "null"...)
			return
		}
		b = pim.AppendJSONString(b, v)
	}
	text("sku", string(p.SKU))
	text("parent", string(p.Parent))
	text("family", p.Family)
	text("family_variant", p.FamilyVariant)
	member("enabled")
	b = strconv.AppendBool(b, p.Enabled)
	for _, list := range []struct {
		name string
		v    any
		n    int
	}{
		{"categories", p.Categories, len(p.Categories)},
		{importing.PricesColumn, p.Prices, len(p.Prices)},
		{importing.StockLevelsColumn, p.Stock, len(p.Stock)},
		{importing.AssociationsColumn, p.Associations, len(p.Associations)},
		{importing.PublicationColumn, p.Publication, len(p.Publication)},
	} {
		if list.n == 0 && list.name != "categories" {
			continue
		}
		member(list.name)
		if list.n == 0 {
			b = append(b, "[]"...)
			continue
		}
		raw, err := json.Marshal(list.v)
		if err != nil {
			return fmt.Errorf("write %s of product %s: %w", list.name, p.SKU, err)
		}
		b = append(b, raw...)
	}
	for _, code := range slices.Sorted(maps.Keys(r.values)) {
		member(importing.AttributeColumn(code, "", ""))
		b = appendSorted(b, r.values[code])
	}
	b = append(b, '}', '\n')
	l.buf = b
	_, err = l.w.Write(b)
	return err
}

func (l *lines) end() error { return nil }

// appendSorted writes JSON with the keys of objects in their order, so that
// equal products are equal lines.
func appendSorted(b []byte, v any) []byte {
	if list, ok := v.([]any); ok {
		b = append(b, '[')
		for i, e := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendSorted(b, e)
		}
		return append(b, ']')
	}
	m, ok := v.(map[string]any)
	if !ok {
		return pim.AppendJSON(b, v)
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(pim.AppendJSONString(b, k), ':')
		b = appendSorted(b, m[k])
	}
	return append(b, '}')
}
