// Package markup reads XML that others have written, as a stream: what is asked
// for comes as small trees, all else is passed over. What lives here: the bounds,
// and what is refused. What does not: what the elements mean.
//
// No document type is processed: one that is declared is passed over, nothing it
// names is fetched, and a declaration of an entity refuses the file, because
// entities are how a few bytes become many, and how a file reads other files
// (https://owasp.org/www-community/vulnerabilities/XML_External_Entity_(XXE)_Processing).
// Beside the five of XML and character references no entity is known. Parameter
// entities are declared by catalogues that extend their document type, and mean
// nothing outside of it: they are passed over with it.
//
// Memory does not grow with the file, but with the largest tree that is asked for.
package markup

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Bounds of a file.
const (
	MaxDepth = 64       // elements in one another
	MaxTree  = 16 << 20 // bytes of one tree in the file
	maxToken = 8 << 20  // bytes of one tag, text or comment
	maxNodes = 200_000  // elements of one tree
)

// Node is an element with everything below it. Names are without their prefix:
// what a file's vocabulary is, its root says.
type Node struct {
	Name  string
	Attr  map[string]string
	Order []string // names of Attr, as the file has them
	Text  string   // its own, without spaces around it
	Kids  []*Node
	Line  int // of its start tag, from 1
	Size  int // bytes of it in the file; of the tree's root
	path  string
	up    *Node
	nth   int
}

// Path is where the element is, such as "/BMECAT/T_NEW_CATALOG/ARTICLE[3]/MIME":
// an element with siblings of its name before it has its number.
func (n *Node) Path() string {
	switch {
	case n.up == nil:
		return n.path
	case n.nth > 1:
		return fmt.Sprintf("%s/%s[%d]", n.up.Path(), n.Name, n.nth)
	}
	return n.up.Path() + "/" + n.Name
}

// Kid is the first child of a name; nil: there is none.
func (n *Node) Kid(names ...string) *Node {
	for _, name := range names {
		if n == nil {
			return nil
		}
		var found *Node
		for _, k := range n.Kids {
			if k.Name == name {
				found = k
				break
			}
		}
		n = found
	}
	return n
}

// Of are the text of a child; "" where there is none.
func (n *Node) Of(names ...string) string {
	if k := n.Kid(names...); k != nil {
		return k.Text
	}
	return ""
}

// All are the children that have one of the names, in their order.
func (n *Node) All(names ...string) (list []*Node) {
	if n == nil {
		return nil
	}
	for _, k := range n.Kids {
		for _, name := range names {
			if k.Name == name {
				list = append(list, k)
			}
		}
	}
	return list
}

// Fault is why a file cannot be read on. What came before it is as good as ever.
type Fault struct {
	Line int
	Path string // of the element that was open; "": none
	Code string // xml.syntax, xml.entity, xml.size, xml.depth
	Text string
}

// Error says what and where.
func (f *Fault) Error() string {
	where := fmt.Sprintf("line %d", f.Line)
	if f.Path != "" {
		where += ", " + f.Path
	}
	return where + ": " + f.Text
}

// Reader reads one file.
type Reader struct {
	d     *xml.Decoder
	in    *counted
	open  []level
	ended bool // the root element has
	err   error
}

// level is an element that is open.
type level struct {
	name string
	nth  int            // among its siblings of this name
	kids map[string]int // names of children so far
}

// counted refuses a token without end, and a tree.
type counted struct {
	r    *bufio.Reader
	n    int64
	most int64 // n may not rise above
	over bool
	err  error // of what it reads, which is not the file's fault
}

// Read is of no use to the decoder, which takes bytes one by one.
func (c *counted) Read(p []byte) (int, error) { return c.r.Read(p) }

// ReadByte gives the next byte, within bounds.
func (c *counted) ReadByte() (byte, error) {
	if c.n >= c.most {
		c.over = true
		return 0, errTooLarge
	}
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	} else if !errors.Is(err, io.EOF) {
		c.err = err
	}
	return b, err
}

var errTooLarge = errors.New("too large")

// New reads r, which is in UTF-8 whatever its declaration says: who opened it
// has decoded it, see Encoding.
func New(r io.Reader) *Reader {
	in := &counted{r: bufio.NewReaderSize(r, 64<<10), most: maxToken}
	d := xml.NewDecoder(in)
	d.Strict = true
	d.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	return &Reader{d: d, in: in}
}

var declared = regexp.MustCompile(`\A\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']`)

// Encoding is what the declaration at the beginning of a file says that it is
// in; "": nothing.
func Encoding(head []byte) string {
	if m := declared.FindSubmatch(head[:min(len(head), 400)]); m != nil {
		return string(m[1])
	}
	return ""
}

// Next reads on to the next element that want asks for by its path, such as
// "/BMECAT/HEADER", and gives its tree; all others are gone into. enter, which
// may be nil, sees those as they begin. The error is io.EOF behind the root
// element, a *Fault, or the source's own.
func (r *Reader) Next(want func(path string) bool, enter func(*Node)) (*Node, error) {
	for r.err == nil {
		start, err := r.step()
		if err != nil {
			r.err = err
			break
		}
		if start == nil {
			continue
		}
		line, _ := r.d.InputPos()
		n := &Node{Name: start.Name.Local, path: r.Path(), Line: line}
		n.Attr, n.Order = attributes(start)
		if !want(r.plainPath()) {
			if enter != nil {
				enter(n)
			}
			continue
		}
		if err := r.tree(n); err != nil {
			r.err = err
			break
		}
		return n, nil
	}
	return nil, r.err
}

// token is the decoder's next, within bounds.
func (r *Reader) token(most int64) (xml.Token, error) {
	r.in.most = most
	t, err := r.d.Token()
	switch {
	case err == nil:
		return t, nil
	case r.in.err != nil:
		return nil, r.in.err
	case r.in.over:
		return nil, r.fault("xml.size", "an element, a text or a tree of elements is larger than is taken")
	case errors.Is(err, io.EOF) && len(r.open) == 0 && r.ended:
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		return nil, r.fault("xml.syntax", "the file ends before its root element does")
	}
	text := err.Error()
	if s, ok := errors.AsType[*xml.SyntaxError](err); ok {
		text = s.Msg
	}
	if strings.HasPrefix(text, "invalid character entity") {
		return nil, r.fault("xml.entity", text+": beside those of XML itself no entity is known")
	}
	return nil, r.fault("xml.syntax", text)
}

func (r *Reader) fault(code, text string) *Fault {
	line, _ := r.d.InputPos()
	return &Fault{Line: line, Path: r.Path(), Code: code, Text: text}
}

// step takes one token outside of trees; a start tag is noted as open and given.
func (r *Reader) step() (*xml.StartElement, error) {
	t, err := r.token(r.in.n + maxToken)
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case xml.StartElement:
		if r.ended {
			return nil, r.fault("xml.syntax", "a second root element follows the first")
		}
		return &t, r.push(t.Name.Local)
	case xml.EndElement:
		r.pop()
	case xml.CharData:
		if len(r.open) == 0 && len(bytes.TrimSpace(t)) > 0 {
			return nil, r.fault("xml.syntax", "there is text outside of the root element")
		}
	case xml.Directive:
		return nil, r.directive(t)
	}
	return nil, nil
}

func (r *Reader) push(name string) error {
	if len(r.open) >= MaxDepth {
		return r.fault("xml.depth", fmt.Sprintf("elements are in one another more than %d deep", MaxDepth))
	}
	nth := 1
	if len(r.open) > 0 {
		up := &r.open[len(r.open)-1]
		if up.kids == nil {
			up.kids = map[string]int{}
		}
		if len(up.kids) < 1000 { // names are the file's; what is beyond is not counted
			up.kids[name]++
		}
		nth = max(1, up.kids[name])
	}
	r.open = append(r.open, level{name: name, nth: nth})
	return nil
}

func (r *Reader) pop() {
	if r.open = r.open[:len(r.open)-1]; len(r.open) == 0 {
		r.ended = true
	}
}

// entity is the declaration of a general entity; those of parameters have a %.
var entity = regexp.MustCompile(`<!ENTITY\s+[^%\s]`)

// directive passes a document type over that declares no entity.
func (r *Reader) directive(d xml.Directive) error {
	switch {
	case !bytes.HasPrefix(d, []byte("DOCTYPE")) || len(r.open) > 0 || r.ended:
		return r.fault("xml.syntax", "a declaration stands where none may be")
	case entity.Match(d):
		return r.fault("xml.entity", "the file declares entities, which are not processed")
	}
	return nil
}

// tree reads the element that has just begun to its end.
func (r *Reader) tree(n *Node) error {
	begin, depth := r.in.n, len(r.open)
	stack, texts := []*Node{n}, []*strings.Builder{{}}
	nodes := 1
	for len(r.open) >= depth {
		t, err := r.token(min(r.in.n+maxToken, begin+MaxTree))
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := r.push(t.Name.Local); err != nil {
				return err
			}
			if nodes++; nodes > maxNodes {
				return r.fault("xml.size", fmt.Sprintf("a tree has more than %d elements", maxNodes))
			}
			line, _ := r.d.InputPos()
			up := stack[len(stack)-1]
			k := &Node{Name: t.Name.Local, Line: line, up: up, nth: r.open[len(r.open)-1].nth}
			k.Attr, k.Order = attributes(&t)
			up.Kids = append(up.Kids, k)
			stack, texts = append(stack, k), append(texts, &strings.Builder{})
		case xml.EndElement:
			at := len(stack) - 1
			stack[at].Text = strings.TrimSpace(texts[at].String())
			stack, texts = stack[:at], texts[:at]
			r.pop()
		case xml.CharData:
			texts[len(texts)-1].Write(t)
		case xml.Directive:
			return r.directive(t)
		}
	}
	n.Size = int(r.in.n - begin)
	return nil
}

func attributes(start *xml.StartElement) (m map[string]string, order []string) {
	for _, a := range start.Attr {
		if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" {
			continue
		}
		if m == nil {
			m = make(map[string]string, len(start.Attr))
		}
		if _, twice := m[a.Name.Local]; !twice {
			order = append(order, a.Name.Local)
		}
		m[a.Name.Local] = strings.TrimSpace(a.Value)
	}
	return m, order
}

// Plain is the element as JSON has it: its text, or an object of its attributes
// and children, those of one name as a list.
func (n *Node) Plain() any {
	if len(n.Kids)+len(n.Attr) == 0 {
		return n.Text
	}
	out := map[string]any{}
	for name, v := range n.Attr {
		out[name] = v
	}
	if n.Text != "" {
		out["text"] = n.Text
	}
	for _, k := range n.Kids {
		v := k.Plain()
		switch have := out[k.Name].(type) {
		case nil:
			out[k.Name] = v
		case []any:
			out[k.Name] = append(have, v)
		default:
			out[k.Name] = []any{have, v}
		}
	}
	return out
}

// Path is where the reader is, with the numbers of elements that have siblings
// of their name before them.
func (r *Reader) Path() string {
	var b strings.Builder
	for i := range r.open {
		b.WriteByte('/')
		b.WriteString(r.open[i].name)
		if n := r.open[i].nth; n > 1 {
			fmt.Fprintf(&b, "[%d]", n)
		}
	}
	return b.String()
}

func (r *Reader) plainPath() string {
	var b strings.Builder
	for i := range r.open {
		b.WriteByte('/')
		b.WriteString(r.open[i].name)
	}
	return b.String()
}
