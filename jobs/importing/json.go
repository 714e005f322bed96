package importing

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// shape is how a file's JSON objects follow one another.
type shape int

const (
	array  shape = iota // in one array
	values              // one after the other, each over several lines
)

// objects turns the texts of JSON objects into records.
type objects struct {
	raw []byte
	row int64
	t   table
	bad *problem // of the text that was just read
}

func (o *objects) columns() *table { return &o.t }

func (o *objects) close() {}

// fill makes a record of o.raw.
func (o *objects) fill(r *record) error {
	o.row++
	r.row, r.bad, r.size = o.row, o.bad, len(o.raw)
	r.stripped, r.object, r.nul = r.stripped[:0], nil, false
	if r.bad != nil {
		return nil
	}
	raw, nul := withoutNUL(o.raw)
	r.nul = nul
	v, err := pim.DecodeJSON(raw, pim.MaxDepth)
	if err != nil {
		r.bad = fromInvalid(err, raw)
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		r.bad = &problem{value: shorten(raw), code: "row.shape", text: "the row is no object of column → value"}
		return nil
	}
	clear(r.cells)
	r.cells = r.cells[:min(len(r.cells), len(o.t.names))]
	for len(r.cells) < len(o.t.names) {
		r.cells = append(r.cells, nil)
	}
	r.object = m
	var fresh []string // columns that no row had before, to be numbered in the order of their names
	for k, v := range m {
		i, known := o.t.index[k]
		if !known {
			fresh = append(fresh, k)
			continue
		}
		o.cell(r, i, k, v)
	}
	slices.Sort(fresh)
	for _, k := range fresh {
		if len(k) > maxName {
			r.bad = &problem{column: k, code: "column.name", text: fmt.Sprintf("the name of a column has at most %d bytes", maxName)}
			return nil
		}
		i, err := o.t.add(k)
		if err != nil {
			return err
		}
		r.cells = append(r.cells, nil)
		o.cell(r, i, k, m[k])
	}
	slices.Sort(r.stripped)
	return nil
}

func (o *objects) cell(r *record, i int, name string, v any) {
	if clean, stripped := scrub(v); stripped {
		r.stripped = append(r.stripped, i)
		v = clean
		r.object[name] = clean
	}
	if v != "" {
		r.cells[i] = v
	}
}

// fromInvalid takes the first of a decoder's problems: they are of one text,
// and the first is the one to look at.
func fromInvalid(err error, raw []byte) *problem {
	p := &problem{value: shorten(raw), code: "json", text: err.Error()}
	if inv, ok := errors.AsType[*pim.Invalid](err); ok && len(inv.Problems) > 0 {
		first := inv.Problems[0]
		p.code, p.text = first.Code, first.Detail
		if first.Pointer != "" {
			column, _, _ := strings.Cut(first.Pointer[1:], "/")
			p.column = strings.NewReplacer("~1", "/", "~0", "~").Replace(column)
		}
	}
	return p
}

// shorten shows the beginning of outside input.
func shorten(raw []byte) string {
	return string(bytes.ToValidUTF8(raw[:min(len(raw), 400)], []byte("\uFFFD")))
}

// withoutNUL takes escaped U+0000 out of a JSON text: it is a control
// character as others are, but no decoder of ours lets it through.
func withoutNUL(raw []byte) (clean []byte, found bool) {
	if !bytes.Contains(raw, []byte(`\u0000`)) {
		return raw, false
	}
	clean = make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) {
			if bytes.HasPrefix(raw[i:], []byte(`\u0000`)) {
				found = true
				i += 5
				continue
			}
			clean = append(clean, raw[i])
			i++
		}
		clean = append(clean, raw[i])
	}
	return clean, found
}

// compact writes decoded JSON back, the same text for the same value.
func compact(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v) // a number that JSON does not know, which DecodeJSON lets no one have
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// lineReader reads JSON Lines: one object on each line, empty lines between
// them. A faulty line is a faulty row, and nothing more.
type lineReader struct {
	objects
	r    *bufio.Reader
	line int64
}

func newLines(r *bufio.Reader) *lineReader {
	l := &lineReader{r: r, objects: objects{t: newTable(false)}}
	head, _ := r.Peek(r.Size()) // a fault of the file is met again where it is read
	l.t.knowOwn(head)
	return l
}

func (l *lineReader) next(r *record) error {
	for {
		l.raw, l.bad = l.raw[:0], nil
		l.line++
		size, over := 0, false
		for {
			part, err := l.r.ReadSlice('\n')
			size += len(part)
			if over = over || size > maxRecord+1; !over {
				l.raw = append(l.raw, part...)
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if err != nil && size == 0 {
				return io.EOF
			}
			break
		}
		if over {
			l.bad = &problem{value: shorten(l.raw), code: "row.too_large", text: fmt.Sprintf("line %d: the row has more than %d bytes", l.line, maxRecord)}
		} else if l.raw = bytes.TrimSpace(l.raw); len(l.raw) == 0 {
			continue
		}
		err := l.fill(r)
		if r.bad != nil && !over {
			r.bad.text = fmt.Sprintf("line %d: %s", l.line, r.bad.text)
		}
		return err
	}
}

// jsonReader reads JSON objects out of an array, or one after the other. It
// only finds where they end; what is within them is DecodeJSON's to judge, so
// that a fault in one leaves the others whole.
type jsonReader struct {
	objects
	r     *bufio.Reader
	shape shape
	at    int64 // bytes read
	began bool
}

func newJSON(r *bufio.Reader, s shape) *jsonReader {
	return &jsonReader{r: r, shape: s, objects: objects{t: newTable(false)}}
}

func (j *jsonReader) read() (byte, error) {
	b, err := j.r.ReadByte()
	if err == nil {
		j.at++
	}
	return b, err
}

// token gives the next byte that is no white space.
func (j *jsonReader) token() (byte, error) {
	for {
		b, err := j.read()
		if err != nil || b != ' ' && b != '\t' && b != '\n' && b != '\r' {
			return b, err
		}
	}
}

func (j *jsonReader) next(r *record) error {
	b, err := j.token()
	if j.shape == array {
		b, err = j.separator(b, err)
	}
	if err != nil {
		return err // within values, the end of the file is the end
	}
	if err := j.element(b); err != nil {
		if errors.Is(err, io.EOF) {
			return faultf("the file ends within row %d, behind byte %d", j.row+1, j.at)
		}
		return err
	}
	return j.fill(r)
}

// separator takes what stands before an element of the array, from b on, and
// gives the element's first byte; io.EOF behind the array.
func (j *jsonReader) separator(b byte, err error) (byte, error) {
	if err == nil && !j.began && b == '[' {
		j.began = true
		if b, err = j.token(); err == nil && b != ']' {
			return b, nil
		}
	} else if err == nil && b == ',' {
		b, err = j.token()
		if err == nil && (b == ']' || b == ',') {
			return 0, faultf("byte %d: a row is expected behind the comma behind row %d", j.at, j.row)
		}
		if err == nil {
			return b, nil
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return 0, faultf("the file ends behind row %d, before its array does", j.row)
	case err != nil:
		return 0, err
	case b != ']':
		return 0, faultf("byte %d: a comma, or the array's end, is expected behind row %d", j.at, j.row)
	}
	if _, err = j.token(); err == nil {
		return 0, faultf("byte %d: something follows the end of the array", j.at)
	}
	return 0, err
}

// element reads the text that begins with b into j.raw.
func (j *jsonReader) element(b byte) error {
	j.raw, j.bad = append(j.raw[:0], b), nil
	begin := j.at
	var err error
	switch b {
	case '{', '[':
		err = j.nested()
	case '"':
		err = j.text()
	default:
		err = j.word()
	}
	if j.at-begin >= maxRecord && err == nil {
		j.bad = &problem{
			value: shorten(j.raw), code: "row.too_large",
			text: fmt.Sprintf("byte %d: the row has more than %d bytes", begin, maxRecord),
		}
	}
	return err
}

// keep holds what belongs to an element, as far as a record may go.
func (j *jsonReader) keep(b byte) {
	if len(j.raw) < maxRecord {
		j.raw = append(j.raw, b)
	}
}

func (j *jsonReader) nested() error {
	for depth := 1; depth > 0; {
		b, err := j.read()
		if err != nil {
			return err
		}
		j.keep(b)
		switch b {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			if err := j.text(); err != nil {
				return err
			}
		}
	}
	return nil
}

// text reads on behind a quote, to the one that closes it.
func (j *jsonReader) text() error {
	for {
		b, err := j.read()
		if err != nil {
			return err
		}
		j.keep(b)
		switch b {
		case '"':
			return nil
		case '\\':
			if b, err = j.read(); err != nil {
				return err
			}
			j.keep(b)
		}
	}
}

// word reads a number, true, false, null, or anything else that is none.
func (j *jsonReader) word() error {
	for {
		b, err := j.read()
		if errors.Is(err, io.EOF) && j.shape == values {
			return nil
		}
		if err != nil {
			return err
		}
		switch b {
		case ',', ']', '}', '{', '[', '"', ' ', '\t', '\n', '\r':
			j.at--
			return j.r.UnreadByte()
		}
		j.keep(b)
	}
}
