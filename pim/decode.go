package pim

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what is decoded. A number's limit is on its plain form, since
// PostgreSQL writes 1e131071 out in full: nine bytes would become 128 KiB. It
// holds every float64 and is far within what numeric can hold.
const (
	MaxDepth       = 32      // objects and arrays in one another, in values and in bodies that ask for no other limit
	MaxValuesBytes = 4 << 20 // of one product's values
	maxNumberPlain = 400     // digits on either side of the point
	maxProblems    = 100     // in one Invalid
	shareBytes     = 64 << 10
)

// DecodeValues reads a product's values. It is as strict as DecodeJSON, takes
// only an object, at most MaxValuesBytes, and at most MaxDepth deep.
func DecodeValues(raw []byte) (Values, error) {
	if len(raw) > MaxValuesBytes {
		return nil, invalid("", "json.too_large", fmt.Sprintf("values take %d bytes, more than %d", len(raw), MaxValuesBytes))
	}
	v, err := DecodeJSON(raw, MaxDepth)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("", "json.not_object", "values are an object of attribute code → value")
	}
	return m, nil
}

// DecodeStored reads values that this store wrote: raw may be empty, and its
// size is not bounded once more.
func DecodeStored(raw []byte) (Values, error) {
	if len(raw) == 0 {
		return Values{}, nil
	}
	v, err := DecodeJSON(raw, MaxDepth)
	if err != nil {
		return nil, fmt.Errorf("read stored values: %w", err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read stored values: %s, no object", jsonKind(v))
	}
	return m, nil
}

// DecodeJSON reads one JSON text (RFC 8259) into map[string]any, []any, string,
// json.Number, bool and nil. What encoding/json would let pass or mend, and what
// PostgreSQL's jsonb cannot hold, is refused: duplicate keys, invalid UTF-8, lone
// surrogates, U+0000, numbers of more than 400 digits before or after the point
// when written out, anything after the text, more than maxDepth objects and
// arrays in one another (MaxDepth when it is not positive). The error is an
// *Invalid with a JSON pointer per problem; a syntax error ends the reading. The
// caller bounds the size of raw, and may change raw afterwards.
func DecodeJSON(raw []byte, maxDepth int) (any, error) {
	if maxDepth <= 0 {
		maxDepth = MaxDepth
	}
	d := decoder{s: string(raw), maxDepth: maxDepth, path: make([]step, 0, 8), pending: make([]member, 0, 32)}
	// Strings of a small text share its one copy: that saves an allocation each.
	// Out of a large one they are copied, or one short string would keep it all.
	d.share = len(raw) <= shareBytes
	v := d.value()
	d.space()
	if !d.failed && d.pos < len(d.s) {
		d.fail("json.trailing", "something follows the end of the JSON text")
	}
	if len(d.problems) > 0 {
		return nil, &Invalid{Problems: d.problems}
	}
	return v, nil
}

type decoder struct {
	s        string
	pos      int
	share    bool
	failed   bool // nothing more can be read
	maxDepth int
	path     []step
	pending  []member // members of the objects and arrays that are still open
	problems []Problem
}

// step is one level of the way to where the decoder stands.
type step struct {
	key   string
	index int // of an array; -1: key counts
}

type member struct {
	key   string
	value any
}

func (d *decoder) pointer() string {
	var b strings.Builder
	for _, s := range d.path {
		b.WriteByte('/')
		if s.index >= 0 {
			b.WriteString(strconv.Itoa(s.index))
		} else {
			b.WriteString(pointerToken(s.key))
		}
	}
	return b.String()
}

func (d *decoder) problem(code, detail string) {
	if len(d.problems) < maxProblems {
		d.problems = append(d.problems, Problem{Pointer: d.pointer(), Code: code, Detail: detail})
	}
}

func (d *decoder) fail(code, detail string) {
	if !d.failed {
		d.failed = true
		if len(d.problems) == maxProblems { // the one that ended the reading is always told
			d.problems = d.problems[:maxProblems-1]
		}
		d.problem(code, fmt.Sprintf("%s, at byte %d", detail, d.pos))
	}
}

func (d *decoder) space() {
	for d.pos < len(d.s) {
		switch d.s[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

// next skips white space and gives the byte there, 0 at the end.
func (d *decoder) next() byte {
	d.space()
	if d.pos < len(d.s) {
		return d.s[d.pos]
	}
	return 0
}

func (d *decoder) value() any {
	switch c := d.next(); {
	case c == '"':
		return d.str()
	case c == '{' || c == '[':
		if len(d.path) >= d.maxDepth {
			d.fail("json.depth", fmt.Sprintf("more than %d objects and arrays in one another", d.maxDepth))
			return nil
		}
		if c == '{' {
			return d.object()
		}
		return d.array()
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case d.pos >= len(d.s):
		d.fail("json.syntax", "the JSON text ends too early")
	case d.word("null"):
	case d.word("true"):
		return true
	case d.word("false"):
		return false
	default:
		d.fail("json.syntax", "a JSON value is expected")
	}
	return nil
}

func (d *decoder) word(w string) bool {
	if strings.HasPrefix(d.s[d.pos:], w) {
		d.pos += len(w)
		return true
	}
	return false
}

func (d *decoder) object() any {
	d.pos++
	base, at := len(d.pending), len(d.path)
	for first := true; ; first = false {
		d.path = d.path[:at] // a key's faults are its object's
		c := d.next()
		if c == '}' && first {
			break
		}
		if c != '"' {
			d.fail("json.syntax", "a key in quotes is expected")
			return nil
		}
		key := d.str()
		d.path = append(d.path, step{key: key, index: -1})
		if !d.failed && d.next() != ':' {
			d.fail("json.syntax", "a colon is expected after the key")
		}
		if d.failed {
			return nil
		}
		d.pos++
		v := d.value()
		if d.failed {
			return nil
		}
		d.pending = append(d.pending, member{key, v})
		if c = d.next(); c == '}' {
			break
		}
		if c != ',' {
			d.fail("json.syntax", "a comma or } is expected")
			return nil
		}
		d.pos++
	}
	d.pos++
	members := d.pending[base:]
	m := make(map[string]any, len(members))
	for _, e := range members {
		m[e.key] = e.value
	}
	d.path = d.path[:at]
	if len(m) != len(members) {
		d.duplicates(members)
	}
	clear(members)
	d.pending = d.pending[:base]
	return m
}

// duplicates tells each key that stands more than once in the object at hand, once.
func (d *decoder) duplicates(members []member) {
	count := make(map[string]int, len(members))
	for _, e := range members {
		if count[e.key]++; count[e.key] == 2 {
			d.path = append(d.path, step{key: e.key, index: -1})
			d.problem("json.duplicate_key", "the key stands more than once in its object")
			d.path = d.path[:len(d.path)-1]
		}
	}
}

func (d *decoder) array() any {
	d.pos++
	base, at := len(d.pending), len(d.path)
	d.path = append(d.path, step{})
	for first := true; ; first = false {
		if d.next() == ']' && first {
			break
		}
		v := d.value()
		if d.failed {
			return nil
		}
		d.pending = append(d.pending, member{value: v})
		c := d.next()
		if c == ']' {
			break
		}
		if c != ',' {
			d.fail("json.syntax", "a comma or ] is expected")
			return nil
		}
		d.pos++
		d.path[at].index++
	}
	d.pos++
	members := d.pending[base:]
	list := make([]any, len(members))
	for i, e := range members {
		list[i] = e.value
	}
	clear(members)
	d.pending, d.path = d.pending[:base], d.path[:at]
	return list
}

func (d *decoder) number() any {
	start := d.pos
	size := scanNumber(d.s[start:])
	if size == 0 {
		d.fail("json.syntax", "this is no JSON number")
		return nil
	}
	d.pos += size
	text := d.own(d.s[start:d.pos])
	if whole, part := plainDigits(text); whole > maxNumberPlain || part > maxNumberPlain {
		d.problem("json.number", fmt.Sprintf("the number has more than %d digits before or after the point when written out", maxNumberPlain))
	}
	return json.Number(text)
}

func (d *decoder) own(s string) string {
	if d.share {
		return s
	}
	return strings.Clone(s)
}

// str reads the string that begins at the quote under the cursor.
func (d *decoder) str() string {
	d.pos++
	start, wide := d.pos, false
	for i := start; i < len(d.s); i++ {
		switch c := d.s[i]; {
		case c == '"':
			d.pos = i + 1
			s := d.s[start:i]
			if wide && !utf8.ValidString(s) {
				d.problem("json.utf8", "the string is not valid UTF-8")
			}
			return d.own(s)
		case c == '\\':
			return d.escaped(start, i)
		case c < 0x20:
			d.pos = i
			d.fail("json.syntax", fmt.Sprintf("control character U+%04X stands unescaped in a string", c))
			return ""
		case c >= utf8.RuneSelf:
			wide = true
		}
	}
	d.pos = len(d.s)
	d.fail("json.syntax", "the JSON text ends within a string")
	return ""
}

// escaped reads on a string that began at start, from its first backslash at i.
func (d *decoder) escaped(start, i int) string {
	b := append(make([]byte, 0, i-start+32), d.s[start:i]...)
	for i < len(d.s) {
		c := d.s[i]
		switch {
		case c == '"':
			d.pos = i + 1
			if !utf8.Valid(b) {
				d.problem("json.utf8", "the string is not valid UTF-8")
			}
			return string(b)
		case c < 0x20:
			d.pos = i
			d.fail("json.syntax", fmt.Sprintf("control character U+%04X stands unescaped in a string", c))
			return ""
		case c != '\\':
			b = append(b, c)
			i++
			continue
		}
		if i+1 >= len(d.s) {
			break
		}
		short := strings.IndexByte(`"\/bfnrt`, d.s[i+1])
		if short >= 0 {
			b = append(b, "\"\\/\b\f\n\r\t"[short])
			i += 2
			continue
		}
		r, ok := hex4(d.s, i)
		if !ok {
			d.pos = i
			d.fail("json.syntax", "the string has an escape that JSON does not know")
			return ""
		}
		i += 6
		switch {
		case r == 0:
			d.problem("json.nul", "the string holds U+0000, which cannot be stored")
		case utf16.IsSurrogate(r):
			low, _ := hex4(d.s, i)
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				d.problem("json.surrogate", "the string has half of a surrogate pair")
			} else {
				i += 6
			}
		}
		b = utf8.AppendRune(b, r)
	}
	d.pos = len(d.s)
	d.fail("json.syntax", "the JSON text ends within a string")
	return ""
}

// hex4 reads the escape \uXXXX at s[i:].
func hex4(s string, i int) (rune, bool) {
	if len(s) < i+6 || s[i] != '\\' || s[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[i+2 : i+6]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
