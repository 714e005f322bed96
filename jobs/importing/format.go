package importing

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"

	"github.com/sluicehub/sluice/pim"
)

// Bounds of files. A record is held whole in memory, a file never.
const (
	maxRecord   = 1 << 20  // bytes of one record
	maxColumns  = 1000     // of one file
	maxUnpacked = 64 << 30 // bytes of a file after decompression
	bufferSize  = 256 << 10
)

// fault is what ends an import as failed: the file, or what was asked for,
// cannot be read on. Its text is for people and says where.
type fault struct {
	text string
	// damaged: what was read before it may be wrong too, so nothing is taken.
	damaged bool
}

func (f *fault) Error() string { return f.text }

func faultf(format string, args ...any) error {
	return &fault{text: clip(fmt.Sprintf(format, args...), 1000)}
}

// record is one record of a file. Readers fill the same one again and again:
// the texts in cells last, the slices do not.
type record struct {
	row      int64          // the first is 1; a CSV's header is none
	cells    []any          // decoded JSON by column, of CSV always text; nil: absent
	object   map[string]any // the record itself, of JSON; nil of CSV
	stripped []int          // columns that lost control characters
	nul      bool           // escaped U+0000 was taken out, of JSON
	notes    []problem      // that do not keep it from being taken
	patch    bool           // changes a product that is there, and makes none
	bad      *problem       // not nil: nothing else but row counts
	size     int            // bytes of it in the file
}

// problem is why a record, or a part of it, cannot be taken.
type problem struct{ column, value, code, text string }

// reader reads one format. next fills the record it is given; io.EOF is the
// end, a *fault an end before it, any other error is not the file's.
type reader interface {
	next(*record) error
	columns() *table
	close()
}

// table is the columns of a file. A CSV's are known from its header, JSON's as
// far as records were read.
type table struct {
	names    []string
	index    map[string]int
	csv      bool
	sheet    bool            // of a workbook, whose numbers are numbers
	twice    map[string]bool // names that several columns have
	findings []problem       // of the header, and what was guessed
}

// note adds a finding of the file as a whole.
func (t *table) note(code, format string, args ...any) {
	t.findings = append(t.findings, problem{code: code, text: fmt.Sprintf(format, args...)})
}

// header takes the columns of a first record; where names it in messages.
func (t *table) header(fields []string, where string) error {
	if len(fields) > maxColumns {
		return faultf("%s: the header has %d columns; at most %d are taken", where, len(fields), maxColumns)
	}
	if p := notUTF8(nil, fields); p != nil {
		return faultf("%s: the header is not in UTF-8; say which encoding the file is in (encoding), or save it as UTF-8", where)
	}
	for i, raw := range fields {
		name, _ := pim.StripControls(raw)
		name = strings.TrimSpace(name)
		if len(name) > maxName {
			return faultf("%s: the name of column %d has more than %d bytes", where, i+1, maxName)
		}
		if name == "" {
			name = fmt.Sprintf("column_%d", i+1)
		}
		for n, first := 2, name; ; n++ {
			if _, taken := t.index[name]; !taken {
				break
			}
			t.twice[first] = true
			name = fmt.Sprintf("%s_%d", first, n)
		}
		if _, err := t.add(name); err != nil {
			return err
		}
		if trimmed := strings.TrimSpace(raw); trimmed != "" && trimmed != name {
			t.findings = append(t.findings, problem{
				column: name, value: raw, code: "column.renamed",
				text: "the name stands in the header before, or has control characters: the column is called " + name + " here",
			})
		}
	}
	return nil
}

// cells fills r's cells with the fields of a CSV's or a sheet's record.
func (t *table) cells(r *record, fields []string) {
	r.cells = r.cells[:0]
	for i, f := range fields {
		s, stripped := f, false
		if f != "" {
			s, stripped = pim.StripControls(f)
		}
		if stripped {
			r.stripped = append(r.stripped, i)
		}
		if s == "" {
			r.cells = append(r.cells, nil)
			continue
		}
		r.cells = append(r.cells, s)
	}
}

func newTable(csv bool) table {
	return table{csv: csv, index: map[string]int{}, twice: map[string]bool{}}
}

// add gives a column's number, a new one to a new name.
func (t *table) add(name string) (int, error) {
	if i, ok := t.index[name]; ok {
		return i, nil
	}
	if len(t.names) == maxColumns {
		return 0, faultf("there are more than %d columns", maxColumns)
	}
	t.index[name] = len(t.names)
	t.names = append(t.names, name)
	return len(t.names) - 1, nil
}

// source remembers an error of what it reads: that is not the file's fault.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// file counts bytes, and tells a damaged file from a source that failed.
type file struct {
	src *source
	r   io.Reader
	n   int64
}

func (f *file) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	f.n += int64(n)
	switch {
	case f.src.err != nil:
		return n, f.src.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, faultf("the compressed file ends too early, behind byte %d of its content", f.n)
	case err != nil && !errors.Is(err, io.EOF):
		return n, &fault{text: fmt.Sprintf("the compressed file is damaged, which shows behind byte %d of its content (%v): nothing of it was taken", f.n, err), damaged: true}
	case f.n > maxUnpacked:
		return n, faultf("the file has more than %d bytes", int64(maxUnpacked))
	}
	return n, err
}

// form is how a file is written, as far as it was told; the rest is found out.
type form struct {
	format    string // csv, tsv, json, jsonl, xlsx, xml
	delimiter byte
	noQuotes  bool
	encoding  encoding.Encoding
	sheet     string
	layout    string
	skus      bool // somebody said where the SKUs are
}

// open finds out what r is by its content, as far as how does not say, and
// makes its reader; who opened it closes it. What was guessed and is not the
// usual is among the findings of the reader's table.
func open(r io.Reader, how form) (reader, error) {
	src := &source{r: r}
	packed := bufio.NewReaderSize(src, bufferSize)
	head, err := packed.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	f := &file{src: src, r: packed}
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		if f.r, err = gzip.NewReader(packed); err != nil {
			if src.err != nil {
				return nil, src.err
			}
			return nil, faultf("the file begins like gzip, but cannot be unpacked: %v", err)
		}
	}
	raw := bufio.NewReaderSize(f, bufferSize)
	head, err = raw.Peek(bufferSize)
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(*fault)) {
		return nil, err
	}
	switch {
	case len(head) == 0 && errors.As(err, new(*fault)):
		return nil, err
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, oleMagic), how.format == "xlsx":
		return openSheet(raw, how.sheet, how.skus)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return nil, faultf("the file is packed twice; unpack it once")
	}
	if body := bytes.TrimLeft(head, " \t\r\n"); how.encoding == nil && (bytes.HasPrefix(body, []byte("{")) || isArray(body)) {
		how.encoding = encoding.Nop // JSON is UTF-8 (RFC 8259, 8.1): a broken character is a broken row
	}
	if how.format != "csv" && how.format != "tsv" && how.delimiter == 0 && isMarkup(head) {
		return openMarkup(raw, head, how)
	}
	plain, guessed := decoded(raw, head, how.encoding)
	in, err := openText(bufio.NewReaderSize(plain, bufferSize), how)
	if err != nil {
		return nil, err
	}
	if guessed != "" {
		in.columns().note("file.encoding", "the file is not in UTF-8: it is read as %s (encoding)", guessed)
	}
	return in, nil
}

// openText makes the reader of a text that is UTF-8 by now.
func openText(text *bufio.Reader, how form) (reader, error) {
	head, err := text.Peek(bufferSize)
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(*fault)) {
		return nil, err
	}
	if bom := []byte("\xef\xbb\xbf"); bytes.HasPrefix(head, bom) {
		head = head[len(bom):]
		_, _ = text.Discard(len(bom))
	}
	body := bytes.TrimLeft(head, " \t\r\n")
	isCSV := how.format == "csv" || how.format == "tsv" || how.format == "" && how.delimiter != 0
	switch {
	case len(body) == 0 && errors.Is(err, io.EOF):
		return nil, faultf("the file is empty")
	case isCSV:
	case how.format == "json" && bytes.HasPrefix(body, []byte("[")) || isArray(body):
		return newJSON(text, array), nil
	case how.format == "jsonl" || bytes.HasPrefix(body, []byte("{")):
		if bytes.HasPrefix(body, []byte("{")) && endsWithin(body) {
			return newJSON(text, values), nil
		}
		return newLines(text), nil
	case how.format == "json":
		return nil, faultf("the file is no JSON: neither an array nor an object begins it")
	}
	before := int64(0) // lines that stand before the header
	if m := sepLine.FindSubmatch(head); m != nil {
		// Excel's own way to say it; no column is called so.
		if _, err := text.Discard(len(m[0])); err != nil {
			return nil, err
		}
		if head, before = head[len(m[0]):], 1; how.delimiter == 0 && how.format != "tsv" {
			how.delimiter = m[1][0]
		}
	}
	oldLines := bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0
	if oldLines {
		text = bufio.NewReaderSize(oldMac{text}, bufferSize)
		head = bytes.ReplaceAll(head, []byte{'\r'}, []byte{'\n'})
	}
	delimiter, guessed := how.delimiter, false
	switch {
	case delimiter != 0:
	case how.format == "tsv":
		delimiter = '\t'
	default:
		delimiter = guessDelimiter(head, errors.Is(err, io.EOF))
		guessed = delimiter != ','
	}
	c, err := newCSV(text, delimiter, how.noQuotes, before)
	if err != nil {
		return nil, err
	}
	if oldLines {
		c.t.note("file.lines", "the lines end with carriage returns alone, as those of old Macs")
	}
	if guessed {
		c.t.note("file.delimiter", "the fields are taken to be separated by %s (delimiter)", delimiterName(delimiter))
	}
	return c, nil
}

// sepLine is a first line by which Excel says a CSV's delimiter.
var sepLine = regexp.MustCompile(`\A"?sep=([^"\r\n0-9A-Za-z])"?\r?\n`)

// oldMac makes line ends of carriage returns.
type oldMac struct{ r io.Reader }

// Read reads on.
func (m oldMac) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	for i, c := range p[:n] {
		if c == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// isArray tells a JSON array from a CSV whose first name begins with a bracket.
func isArray(body []byte) bool {
	if len(body) == 0 || body[0] != '[' {
		return false
	}
	body = bytes.TrimLeft(body[1:], " \t\r\n")
	return len(body) == 0 || bytes.IndexByte([]byte(`{}[]"-0123456789`), body[0]) >= 0 ||
		bytes.HasPrefix(body, []byte("null")) || bytes.HasPrefix(body, []byte("true")) || bytes.HasPrefix(body, []byte("false"))
}

// endsWithin reports that the first line ends within an object and outside of
// its strings: then the objects are written over several lines.
func endsWithin(body []byte) bool {
	depth, text := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '\n':
			return depth > 0 && !text
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// notUTF8 finds the first of a record's fields that is not UTF-8.
func notUTF8(names, fields []string) *problem {
	for i, f := range fields {
		if utf8.ValidString(f) {
			continue
		}
		at := 0
		for at < len(f) {
			r, size := utf8.DecodeRuneInString(f[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		p := &problem{value: f, code: "text.utf8", text: fmt.Sprintf("the text is not valid UTF-8, at its byte %d", at+1)}
		if i < len(names) {
			p.column = names[i]
		}
		return p
	}
	return nil
}

// scrub takes control characters out of everything in v.
func scrub(v any) (clean any, stripped bool) {
	switch v := v.(type) {
	case string:
		s, stripped := pim.StripControls(v)
		if !stripped {
			return v, false // boxed already
		}
		return s, true
	case []any:
		for i := range v {
			if c, s := scrub(v[i]); s {
				v[i], stripped = c, true
			}
		}
		return v, stripped
	case map[string]any:
		for k := range v {
			if c, s := scrub(v[k]); s {
				v[k], stripped = c, true
			}
		}
		return v, stripped
	}
	return v, false
}
