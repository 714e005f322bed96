package importing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// csvReader reads CSV as RFC 4180 has it. encoding/csv is not used because a
// quote that is never closed would make it swallow the rest of the file, and
// hold it in memory.
//
// A record with a fault is reported, and reading goes on behind the line that
// it began on: the lines it may have swallowed are then seen for themselves. A
// line is looked at twice at most for that, since a stretch of lines without
// an odd number of quotes ends a record on each of them.
type csvReader struct {
	r         io.Reader
	delimiter byte
	noQuotes  bool   // quotes are characters as others are
	ends      string // of a field without quotes
	buf       []byte
	pos, end  int
	eof       bool
	err       error // that ended the reading, behind what is in buf
	line      int64 // of buf[pos], the first is 1
	began     int64 // line that the last record began on
	row       int64
	t         table
	fields    []string
	places    []place
}

// place is where a field stands in its record's text.
type place struct {
	from, to int
	escaped  bool // has doubled quotes
}

var (
	errMore  = errors.New("the record does not end here")
	errQuote = errors.New("a quote is not where it may be")
	errWide  = errors.New("the record has more fields than any header")
)

// newCSV begins to read at the header, before which there are some lines.
func newCSV(r io.Reader, delimiter byte, noQuotes bool, before int64) (*csvReader, error) {
	c := &csvReader{
		r: r, delimiter: delimiter, noQuotes: noQuotes, ends: string([]byte{delimiter, '"', '\n'}),
		line: before + 1, buf: make([]byte, 0, bufferSize), t: newTable(true),
	}
	bad, _, err := c.record()
	switch {
	case errors.Is(err, io.EOF):
		return nil, faultf("the file is empty")
	case err != nil:
		return nil, err
	case bad != nil && bad.code != "text.utf8":
		return nil, faultf("the header cannot be read: %s", bad.text)
	}
	if err := c.t.header(c.fields, fmt.Sprintf("line %d", c.began)); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *csvReader) close() {}

func (c *csvReader) columns() *table { return &c.t }

func (c *csvReader) next(r *record) error {
	bad, size, err := c.record()
	if err != nil {
		return err
	}
	c.row++
	r.row, r.bad, r.size, r.object, r.nul = c.row, bad, size, nil, false
	r.stripped = r.stripped[:0]
	if bad != nil {
		return nil
	}
	if len(c.fields) != len(c.t.names) {
		r.bad = &problem{
			value: strings.ToValidUTF8(strings.Join(c.fields, string(rune(c.delimiter))), "\uFFFD"), code: "row.columns",
			text: fmt.Sprintf("line %d: the row has %d fields, the header has %d", c.began, len(c.fields), len(c.t.names)),
		}
		return nil
	}
	c.t.cells(r, c.fields)
	return nil
}

// record reads the next record into c.fields. The problem is the record's, the
// error the file's.
func (c *csvReader) record() (bad *problem, size int, err error) {
	for {
		data := c.buf[c.pos:c.end]
		i := bytes.IndexByte(data, '\n')
		if i < 0 && !c.eof {
			if len(data) <= maxRecord {
				if err := c.more(); err != nil {
					return nil, 0, err
				}
				continue
			}
			return c.tooLong()
		}
		if i < 0 && c.err != nil {
			return nil, 0, c.err // of a record that is cut off, nothing is taken
		}
		if i < 0 && len(data) == 0 {
			return nil, 0, io.EOF
		}
		line, used := data, len(data)
		if i >= 0 {
			line, used = data[:i], i+1
		}
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		if len(line) == 0 {
			c.skip(used)
			continue
		}
		c.began = c.line
		if len(line) > maxRecord {
			c.skip(used)
			return c.oversize(line), used, nil
		}
		if c.noQuotes || bytes.IndexByte(line, '"') < 0 {
			c.plain(line)
			bad = c.encoding(line)
			c.skip(used)
			return bad, used, nil
		}
		n, column, err := c.quoted(data)
		switch {
		case c.err != nil && (errors.Is(err, errMore) || err == nil && data[n-1] != '\n'):
			return nil, 0, c.err
		case err == nil:
			if n > maxRecord {
				bad = c.oversize(line)
				c.skip(n)
				return bad, n, nil
			}
			bad = c.encoding(data[:n])
			c.skip(n)
			return bad, n, nil
		case errors.Is(err, errMore) && !c.eof && len(data) <= maxRecord:
			if err := c.more(); err != nil {
				return nil, 0, err
			}
			continue
		}
		bad = &problem{value: string(bytes.ToValidUTF8(line[:min(len(line), 400)], []byte("\uFFFD"))), code: "row.quote"}
		if column < len(c.t.names) {
			bad.column = c.t.names[column]
		}
		switch {
		case errors.Is(err, errWide):
			bad.code, bad.text = "row.columns", fmt.Sprintf("line %d: the row has more than %d fields, the header has %d", c.line, maxColumns, len(c.t.names))
		case errors.Is(err, errMore):
			bad.text = fmt.Sprintf("line %d: the quote before field %d is never closed, or only behind %d bytes", c.line, column+1, maxRecord)
		default:
			bad.text = fmt.Sprintf("line %d: a quote stands within field %d; a field with quotes is written in quotes, with each of its own doubled", c.line, column+1)
		}
		c.skip(used)
		return bad, used, nil
	}
}

func (c *csvReader) oversize(line []byte) *problem {
	return &problem{
		value: string(bytes.ToValidUTF8(line[:min(len(line), 400)], []byte("\uFFFD"))), code: "row.too_large",
		text: fmt.Sprintf("line %d: the row has more than %d bytes", c.began, maxRecord),
	}
}

// tooLong passes over a line that is longer than a record may be.
func (c *csvReader) tooLong() (*problem, int, error) {
	c.began = c.line
	bad := c.oversize(c.buf[c.pos:c.end])
	for {
		if i := bytes.IndexByte(c.buf[c.pos:c.end], '\n'); i >= 0 {
			c.skip(i + 1)
			break
		}
		c.pos = c.end
		if c.eof {
			break
		}
		if err := c.more(); err != nil {
			return nil, 0, err
		}
	}
	return bad, maxRecord, nil
}

// skip goes on behind n bytes.
func (c *csvReader) skip(n int) {
	c.line += int64(bytes.Count(c.buf[c.pos:c.pos+n], []byte{'\n'}))
	c.pos += n
}

// more reads at least as much as there is already, so that looking at it all
// again costs no more than reading it. An error of the file comes when what
// stands before it is used up.
func (c *csvReader) more() error {
	if c.pos > 0 {
		c.end = copy(c.buf[:c.end], c.buf[c.pos:c.end])
		c.pos = 0
	}
	want := c.end + max(64<<10, c.end)
	if cap(c.buf) < want {
		grown := make([]byte, c.end, want)
		copy(grown, c.buf[:c.end])
		c.buf = grown
	}
	for idle := 0; c.end < want; {
		n, err := c.r.Read(c.buf[c.end:want])
		c.end += n
		c.buf = c.buf[:c.end]
		if err == nil {
			if n > 0 {
				idle = 0
			} else if idle++; idle > 100 {
				err = io.ErrNoProgress
			}
		}
		switch {
		case err == nil:
			c.buf = c.buf[:cap(c.buf)]
			continue
		case errors.Is(err, io.EOF):
			c.eof = true
		case errors.As(err, new(*fault)):
			c.eof, c.err = true, err
		default:
			return err
		}
		break
	}
	c.buf = c.buf[:cap(c.buf)]
	return nil
}

// plain splits a line without quotes.
func (c *csvReader) plain(line []byte) {
	text := string(line)
	c.fields = c.fields[:0]
	for {
		i := strings.IndexByte(text, c.delimiter)
		if i < 0 {
			c.fields = append(c.fields, text)
			return
		}
		c.fields = append(c.fields, text[:i])
		text = text[i+1:]
	}
}

// quoted splits the record at the start of data and gives how many bytes it
// takes with its line end. column is where an error is.
func (c *csvReader) quoted(data []byte) (n, column int, err error) {
	c.places = c.places[:0]
	p := 0
	for {
		column = len(c.places)
		if column > maxColumns {
			// No header is as wide, so the row is refused whatever follows.
			return 0, column, errWide
		}
		var f place
		// Spaces around a quoted field are padding: a column that is lined up.
		if q := c.padding(data, p); q < len(data) && data[q] == '"' {
			p = q
			f.from = p + 1
			for p++; ; p += 2 {
				i := bytes.IndexByte(data[p:], '"')
				if i < 0 {
					return 0, column, errMore
				}
				p += i
				if p+1 >= len(data) || data[p+1] != '"' {
					break
				}
				f.escaped = true
			}
			f.to = p
			p = c.padding(data, p+1)
		} else {
			f.from = p
			i := bytes.IndexAny(data[p:], c.ends)
			switch {
			case i < 0:
				p = len(data)
			case data[p+i] == '"':
				return 0, column, errQuote
			default:
				p += i
			}
			f.to = p
			if f.to > f.from && data[f.to-1] == '\r' && (p == len(data) || data[p] == '\n') {
				f.to--
			}
		}
		c.places = append(c.places, f)
		switch {
		case p == len(data):
			if !c.eof {
				return 0, column, errMore
			}
			c.split(data)
			return p, 0, nil
		case data[p] == c.delimiter:
			p++
		case data[p] == '\n':
			c.split(data[:p+1])
			return p + 1, 0, nil
		case data[p] == '\r' && p+1 == len(data) && !c.eof:
			return 0, column, errMore
		case data[p] == '\r' && p+1 == len(data):
			c.split(data)
			return p + 1, 0, nil
		case data[p] == '\r' && data[p+1] == '\n':
			c.split(data[:p+2])
			return p + 2, 0, nil
		default:
			return 0, column, errQuote
		}
	}
}

// padding passes over spaces.
func (c *csvReader) padding(data []byte, p int) int {
	for p < len(data) && data[p] == ' ' && c.delimiter != ' ' {
		p++
	}
	return p
}

func (c *csvReader) split(data []byte) {
	text := string(data)
	c.fields = c.fields[:0]
	for _, f := range c.places {
		s := text[f.from:f.to]
		if f.escaped {
			s = strings.ReplaceAll(s, `""`, `"`)
		}
		c.fields = append(c.fields, s)
	}
}

// encoding checks that a record is in UTF-8.
func (c *csvReader) encoding(data []byte) *problem {
	if utf8.Valid(data) {
		return nil
	}
	p := notUTF8(c.t.names, c.fields)
	if p != nil {
		p.text = fmt.Sprintf("line %d: %s", c.line, p.text)
	}
	return p
}
