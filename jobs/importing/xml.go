package importing

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"

	"golang.org/x/text/encoding"

	"github.com/sluicehub/sluice/jobs/importing/markup"
	"github.com/sluicehub/sluice/jobs/importing/supplier"
	"github.com/sluicehub/sluice/pim"
)

// Layouts that are XML, known by their root element.
const (
	layoutBMEcat = "bmecat"
	layoutIcecat = "icecat"
)

var layoutRoots = map[string]string{supplier.RootBMEcat: layoutBMEcat, supplier.RootIcecat: layoutIcecat}

// isMarkup tells XML from a CSV whose first name begins as a tag does: by its
// declaration, or a tag that is closed, in UTF-8 or UTF-16.
func isMarkup(head []byte) bool {
	switch {
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		head = bytes.ReplaceAll(head[2:min(len(head), 64)], []byte{0}, nil)
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		head = head[3:]
	}
	head = bytes.TrimLeft(head, " \t\r\n")
	if bytes.HasPrefix(head, []byte("<?xml")) || bytes.HasPrefix(head, []byte("<!")) {
		return true
	}
	if len(head) < 3 || head[0] != '<' {
		return false
	}
	return (head[1] >= 'A' && head[1] <= 'Z' || head[1] >= 'a' && head[1] <= 'z' || head[1] == '_') && bytes.IndexByte(head[:min(len(head), 4096)], '>') > 0
}

// openMarkup makes the reader of XML: of a supplier's catalogue, or of elements
// that are rows.
func openMarkup(raw *bufio.Reader, head []byte, how form) (reader, error) {
	if how.format != "" && how.format != "xml" {
		return nil, faultf("the file is XML, and not %s as was said (format)", how.format)
	}
	if how.encoding == nil {
		if name := markup.Encoding(head); name != "" && !strings.EqualFold(name, "utf-8") && !strings.HasPrefix(strings.ToLower(name), "utf-16") {
			e, err := parseEncoding(name)
			if err != nil {
				return nil, faultf("the file says that it is in %s, which is not known here: say its encoding (encoding)", clip(name, 40))
			}
			how.encoding = e
		} else if len(head) > 1 && head[0] != 0xff && head[0] != 0xfe {
			how.encoding = encoding.Nop // without a declaration XML is UTF-8: a broken character is a fault of the file
		}
	}
	plain, _ := decoded(raw, head, how.encoding)
	text := bufio.NewReaderSize(plain, bufferSize)
	begin, err := text.Peek(bufferSize)
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(*fault)) {
		return nil, err
	}
	if bom := []byte("\xef\xbb\xbf"); bytes.HasPrefix(begin, bom) {
		begin = begin[len(bom):]
		_, _ = text.Discard(len(bom))
	}
	root := supplier.Root(begin)
	is := layoutRoots[root]
	if asked := how.layout; is != asked && (asked == layoutBMEcat || asked == layoutIcecat) {
		return nil, faultf("the file is no %s catalogue: its root element is called %q", asked, clip(root, 100))
	}
	if is != "" && (how.layout == "" || how.layout == is) {
		in, _ := supplier.New(root, text) // which knows every root of layoutRoots
		return newCatalogueReader(in), nil
	}
	return newElements(text)
}

// elementReader reads the children of the root element as rows: their attributes
// and the elements within them are the columns.
type elementReader struct {
	r    *markup.Reader
	t    table
	row  int64
	held *markup.Node
	end  error
}

// newElements reads the first row for its columns: they are the header.
func newElements(r io.Reader) (*elementReader, error) {
	e := &elementReader{r: markup.New(r), t: newTable(true)}
	if e.held, e.end = e.node(); e.end != nil {
		if errors.Is(e.end, io.EOF) {
			return nil, faultf("the file is XML, but its root element has no elements that could be rows")
		}
		return nil, e.end
	}
	for _, c := range columnsOf(e.held) {
		if _, err := e.t.add(c.name); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (e *elementReader) columns() *table { return &e.t }

func (e *elementReader) close() {}

func (e *elementReader) node() (*markup.Node, error) {
	n, err := e.r.Next(func(path string) bool { return strings.Count(path, "/") == 2 }, nil)
	if f, ok := errors.AsType[*markup.Fault](err); ok {
		return nil, faultf("%v", f)
	}
	return n, err
}

// elementCell is what a row has for a column.
type elementCell struct{ name, text string }

// columnsOf takes a row apart. Elements of one name are put together; what has
// elements within it is their JSON.
func columnsOf(n *markup.Node) []elementCell {
	var out []elementCell
	at := map[string]int{}
	add := func(name, text string) {
		if i, twice := at[name]; twice {
			if text != "" {
				out[i].text = strings.TrimPrefix(out[i].text+"|"+text, "|")
			}
			return
		}
		at[name] = len(out)
		out = append(out, elementCell{name, text})
	}
	for _, name := range n.Order {
		add(name, n.Attr[name])
	}
	for _, k := range n.Kids {
		if len(k.Kids)+len(k.Attr) == 0 {
			add(k.Name, k.Text)
		} else {
			add(k.Name, compact(k.Plain()))
		}
	}
	if n.Text != "" {
		add("text", n.Text)
	}
	return out
}

func (e *elementReader) next(r *record) error {
	n := e.held
	if e.held = nil; n == nil {
		if e.end == nil {
			n, e.end = e.node()
		}
		if e.end != nil {
			return e.end
		}
	}
	e.row++
	*r = record{row: e.row, size: n.Size, cells: r.cells[:0], stripped: r.stripped[:0]}
	if n.Size > maxRecord {
		r.bad = &problem{column: n.Path(), code: "row.too_large", text: "the row has more bytes than are taken"}
		return nil
	}
	for range e.t.names {
		r.cells = append(r.cells, nil)
	}
	for _, c := range columnsOf(n) {
		if len(c.name) > maxName {
			r.bad = &problem{column: c.name, code: "column.name", text: "the name of a column is too long"}
			return nil
		}
		i, err := e.t.add(c.name)
		if err != nil {
			return err
		}
		if i == len(r.cells) {
			r.cells = append(r.cells, nil)
		}
		text, stripped := pim.StripControls(c.text)
		if stripped {
			r.stripped = append(r.stripped, i)
		}
		if text != "" {
			r.cells[i] = text
		}
	}
	return nil
}
