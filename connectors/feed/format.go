package feed

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The formats.
const (
	formatXML = "xml" // RSS 2.0, https://support.google.com/merchants/answer/160589
	formatTSV = "tsv" // https://support.google.com/merchants/answer/160567
)

// format writes a feed, and reads one.
type format interface {
	head() []byte
	row(cells []cell) []byte
	foot() []byte
	// shown are a row's attributes as scan gives them.
	shown(cells []cell) fields
	// scan calls fn with each row. part: it begins with a row, and not with the head.
	scan(r io.Reader, part bool, fn func(id string, row fields) error) error
}

// fields are a row's attributes: the texts of each.
type fields map[string][]string

func (s *settings) format(columns []string) format {
	if s.Format == formatTSV {
		return &tsv{columns: columns}
	}
	return &rss{settings: s}
}

// namespace is that of Google's attributes.
const namespace = "http://base.google.com/ns/1.0"

type rss struct{ *settings }

func escape(b *bytes.Buffer, s string) {
	_ = xml.EscapeText(b, []byte(s)) // a buffer takes everything
}

func (f *rss) head() []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header + `<rss version="2.0" xmlns:g="` + namespace + "\">\n<channel>\n")
	for _, v := range [][2]string{{"title", f.Title}, {"link", f.ShopURL}, {"description", f.Title}} {
		b.WriteString("<" + v[0] + ">")
		escape(&b, cleaned(v[1]))
		b.WriteString("</" + v[0] + ">\n")
	}
	return b.Bytes()
}

func (f *rss) foot() []byte { return []byte("</channel>\n</rss>\n") }

func (f *rss) row(cells []cell) []byte {
	var b bytes.Buffer
	b.WriteString("<item>\n")
	for _, c := range cells {
		for _, v := range c.values {
			b.WriteString("<g:" + c.name + ">")
			escape(&b, v.text)
			for _, p := range v.parts {
				b.WriteString("<g:" + p.name + ">")
				escape(&b, p.text)
				b.WriteString("</g:" + p.name + ">")
			}
			b.WriteString("</g:" + c.name + ">\n")
		}
	}
	b.WriteString("</item>\n")
	return b.Bytes()
}

func (f *rss) shown(cells []cell) fields {
	row := fields{}
	for _, c := range cells {
		for _, v := range c.values {
			row[c.name] = append(row[c.name], v.shown())
		}
	}
	return row
}

// element is any XML element.
type element struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Parts   []element `xml:",any"`
}

func (e *element) shown() string {
	if len(e.Parts) == 0 {
		return strings.TrimSpace(e.Text)
	}
	v := value{}
	for i := range e.Parts {
		v.parts = append(v.parts, pair{e.Parts[i].XMLName.Local, strings.TrimSpace(e.Parts[i].Text)})
	}
	return v.shown()
}

func (f *rss) scan(r io.Reader, part bool, fn func(id string, row fields) error) error {
	if part {
		r = io.MultiReader(strings.NewReader(`<channel xmlns:g="`+namespace+`">`), r, strings.NewReader("</channel>"))
	}
	in := &measured{r: r, left: maxLine}
	d := xml.NewDecoder(in)
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the feed: %w", err)
		}
		start, ok := t.(xml.StartElement)
		if !ok || start.Name.Local != "item" {
			continue
		}
		in.left = maxLine
		var item element
		if err := d.DecodeElement(&item, &start); err != nil {
			return fmt.Errorf("reading the feed: %w", err)
		}
		row := fields{}
		for i := range item.Parts {
			p := &item.Parts[i]
			row[p.XMLName.Local] = append(row[p.XMLName.Local], p.shown())
		}
		id := ""
		if len(row["id"]) > 0 {
			id = row["id"][0]
		}
		if err := fn(id, row); err != nil {
			return err
		}
		in.left = maxLine
	}
}

// measured gives no more than left bytes, for what somebody has put in the place of a
// feed may be anything.
type measured struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (m *measured) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, fmt.Errorf("a row has more than %d bytes: %w", maxLine, errBroken)
	}
	n, err := m.r.Read(b[:min(len(b), m.left)])
	m.left -= n
	return n, err
}

// tsv is a table; its columns are those that any row has.
type tsv struct{ columns []string }

func (f *tsv) head() []byte {
	columns := f.columns
	if len(columns) == 0 {
		columns = []string{"id"}
	}
	return []byte(strings.Join(columns, "\t") + "\n")
}

func (f *tsv) foot() []byte { return nil }

// flat is a value on one line of a table.
func flat(s string) string { return strings.NewReplacer("\t", " ", "\n", " ").Replace(s) }

// written is an attribute's values as a table's cell has them: a list with
// commas, a group by the short form of its parts. A comma within a value is quoted
// wherever it would part two of them: also where there is one value of possibly many
// (https://support.google.com/merchants/answer/14998273).
func (c cell) written() string {
	order := attributes[c.name].parts
	parted := len(c.values) > 1 || attributes[c.name].many > 1
	list := make([]string, len(c.values))
	for i, v := range c.values {
		text := flat(v.text)
		if attributes[c.name].link {
			text = strings.ReplaceAll(text, ",", "%2C") // as Google asks for where addresses stand in a list
		}
		if v.parts != nil {
			if order == nil { // of no attribute that we know
				for _, p := range v.parts {
					order = append(order, p.name)
				}
			}
			short := make([]string, len(order))
			for _, p := range v.parts {
				if at := slices.Index(order, p.name); at >= 0 {
					short[at] = flat(strings.ReplaceAll(p.text, ":", `\:`))
				}
			}
			text = strings.Join(short, ":")
		}
		if strings.Contains(text, `"`) || parted && strings.Contains(text, ",") {
			text = `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
		}
		list[i] = text
	}
	return strings.Join(list, ",")
}

func (f *tsv) row(cells []cell) []byte {
	has := make(map[string]string, len(cells))
	for _, c := range cells {
		has[c.name] = c.written()
	}
	var b bytes.Buffer
	for i, name := range f.columns {
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(has[name])
	}
	b.WriteByte('\n')
	return b.Bytes()
}

func (f *tsv) shown(cells []cell) fields {
	row := fields{}
	for _, c := range cells {
		row[c.name] = []string{c.written()}
	}
	return row
}

func (f *tsv) scan(r io.Reader, part bool, fn func(id string, row fields) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLine)
	columns := f.columns
	if !part {
		if !s.Scan() {
			return errOr(s.Err(), "the feed has no head")
		}
		columns = strings.Split(s.Text(), "\t")
	}
	for s.Scan() {
		row := fields{}
		for i, text := range strings.Split(s.Text(), "\t") {
			if i < len(columns) && text != "" {
				row[columns[i]] = []string{text}
			}
		}
		id := ""
		if len(row["id"]) > 0 {
			id = row["id"][0]
		}
		if err := fn(id, row); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("reading the feed: %w", err)
	}
	return nil
}

func errOr(err error, text string) error {
	if err != nil {
		return fmt.Errorf("reading the feed: %w", err)
	}
	return errors.New(text)
}
