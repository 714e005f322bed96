package pim

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ParseFilter reads a filter. The error is a *FilterError: of text that is none,
// of more than MaxFilterBytes, and of what nests or lists too much.
func ParseFilter(text string) (*Filter, error) {
	p := filterParser{text: text}
	switch {
	case len(text) > MaxFilterBytes:
		return nil, p.at(MaxFilterBytes, "filter.too_long", fmt.Sprintf("a filter has at most %d bytes", MaxFilterBytes))
	case !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0:
		return nil, p.at(0, "filter.text", "a filter is UTF-8 text without U+0000")
	}
	f, err := p.or()
	if err == nil && p.space() < len(text) {
		err = p.syntax("and, or, or the end of the filter is expected")
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

type filterParser struct {
	text  string
	pos   int
	depth int
	tests int
}

func (p *filterParser) at(pos int, code, detail string) error {
	return &FilterError{At: pos, Code: code, Detail: detail}
}

func (p *filterParser) syntax(detail string) error { return p.at(p.pos, "filter.syntax", detail) }

// space skips white space and gives where it ends.
func (p *filterParser) space() int {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	return p.pos
}

// sign takes s if it stands here.
func (p *filterParser) sign(s string) bool {
	if p.space(); strings.HasPrefix(p.text[p.pos:], s) {
		p.pos += len(s)
		return true
	}
	return false
}

// word takes w, in any case of its letters, if it stands here as a whole word.
func (p *filterParser) word(w string) bool {
	start := p.space()
	end := start + len(w)
	if end > len(p.text) || !strings.EqualFold(p.text[start:end], w) || end < len(p.text) && (partByte(p.text[end]) || p.text[end] == '.') {
		return false
	}
	p.pos = end
	return true
}

func (p *filterParser) or() (*Filter, error) { return p.chain(FilterOr, p.and) }

func (p *filterParser) and() (*Filter, error) { return p.chain(FilterAnd, p.unary) }

func (p *filterParser) chain(op FilterOp, part func() (*Filter, error)) (*Filter, error) {
	start := p.space()
	f, err := part()
	if err != nil {
		return nil, err
	}
	all := []*Filter{f}
	for p.word(string(op)) {
		if f, err = part(); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return &Filter{Op: op, Sub: all, At: start}, nil
}

func (p *filterParser) unary() (*Filter, error) {
	start := p.space()
	not := p.word("not")
	if !not && !p.sign("(") {
		return p.test()
	}
	if p.depth++; p.depth > maxFilterDepth {
		return nil, p.at(start, "filter.depth", fmt.Sprintf("more than %d parentheses and nots in one another", maxFilterDepth))
	}
	defer func() { p.depth-- }()
	if not {
		f, err := p.unary()
		if err != nil {
			return nil, err
		}
		return &Filter{Op: FilterNot, Sub: []*Filter{f}, At: start}, nil
	}
	f, err := p.or()
	if err == nil && !p.sign(")") {
		err = p.syntax(`and, or, or ")" is expected`)
	}
	return f, err
}

// comparisons are tried in this order: the longer ones first.
var comparisons = []FilterOp{FilterAtMost, FilterAtLeast, "!=", FilterLess, FilterGreater, FilterEqual}

func (p *filterParser) test() (*Filter, error) {
	f := &Filter{At: p.space()}
	if p.tests++; p.tests > maxFilterTests {
		return nil, p.syntaxCode("filter.tests", fmt.Sprintf("a filter has at most %d tests", maxFilterTests))
	}
	var err error
	if f.Path, err = p.path(); err != nil {
		return nil, err
	}
	negated := false
	switch {
	case p.word("is"):
		negated = p.word("not")
		if !p.word("empty") {
			return nil, p.syntax("empty, or not empty, is expected")
		}
		f.Op = FilterEmpty
	case p.word("contains"):
		err = p.one(f, FilterContains)
	case p.word("starts"):
		if !p.word("with") {
			return nil, p.syntax("with is expected after starts")
		}
		err = p.one(f, FilterStartsWith)
	case p.word("not"):
		if !p.word("in") {
			return nil, p.syntax("in is expected after not")
		}
		negated, err = true, p.list(f)
	case p.word("in"):
		err = p.list(f)
	default:
		err = p.compare(f, &negated)
	}
	if err != nil {
		return nil, err
	}
	if negated {
		return &Filter{Op: FilterNot, Sub: []*Filter{f}, At: f.At}, nil
	}
	return f, nil
}

func (p *filterParser) syntaxCode(code, detail string) error { return p.at(p.pos, code, detail) }

func (p *filterParser) compare(f *Filter, negated *bool) error {
	for _, op := range comparisons {
		if !p.sign(string(op)) {
			continue
		}
		if op == "!=" {
			*negated, op = true, FilterEqual
		}
		return p.one(f, op)
	}
	return p.syntax("a comparison is expected: =, !=, <, <=, >, >=, in, not in, contains, starts with, is empty, is not empty")
}

func (p *filterParser) one(f *Filter, op FilterOp) error {
	f.Op = op
	v, err := p.value()
	f.Args = []FilterValue{v}
	return err
}

func (p *filterParser) list(f *Filter) error {
	f.Op = FilterEqual
	if !p.sign("(") {
		return p.syntax(`"(" is expected after in`)
	}
	for {
		if p.space(); len(f.Args) == maxFilterValues {
			return p.syntaxCode("filter.values", fmt.Sprintf("in (…) has at most %d values", maxFilterValues))
		}
		v, err := p.value()
		if err != nil {
			return err
		}
		f.Args = append(f.Args, v)
		if p.sign(")") {
			return nil
		}
		if !p.sign(",") {
			return p.syntax(`"," or ")" is expected`)
		}
	}
}

// path reads a field's name: parts of letters, digits, '_' and '-', or in quotes,
// with points between them.
func (p *filterParser) path() (path []string, err error) {
	for {
		start := p.pos
		var part string
		if p.pos < len(p.text) && p.text[p.pos] == '"' {
			part, err = p.quoted()
		} else {
			for p.pos < len(p.text) && partByte(p.text[p.pos]) {
				p.pos++
			}
			if part = p.text[start:p.pos]; part == "" || len(path) == 0 && reserved(part) {
				err = p.at(start, "filter.syntax", "the name of a field is expected")
			}
		}
		if err != nil {
			return nil, err
		}
		if path = append(path, part); len(path) > maxFilterPath {
			return nil, p.at(start, "filter.field", fmt.Sprintf("a field's name has at most %d parts", maxFilterPath))
		}
		if p.pos == len(p.text) || p.text[p.pos] != '.' {
			return path, nil
		}
		p.pos++
	}
}

// quoted reads a text in quotes, in which \" and \\ stand for " and \.
func (p *filterParser) quoted() (string, error) {
	start := p.pos
	var b strings.Builder
	for p.pos++; p.pos < len(p.text); p.pos++ {
		switch c := p.text[p.pos]; c {
		case '"':
			p.pos++
			return norm.NFC.String(b.String()), nil
		case '\\':
			if p.pos++; p.pos == len(p.text) || p.text[p.pos] != '"' && p.text[p.pos] != '\\' {
				return "", p.at(p.pos-1, "filter.syntax", `after \ only " and \ are expected`)
			}
			b.WriteByte(p.text[p.pos])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.at(start, "filter.syntax", "the text in quotes does not end")
}

// value reads a text in quotes, a number with or without a unit, true or false,
// or a bare word: a code, a date or a time.
func (p *filterParser) value() (FilterValue, error) {
	v := FilterValue{At: p.space()}
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		var err error
		v.Text, err = p.quoted()
		return v, err
	}
	v.Text = p.bare()
	switch {
	case v.Text == "":
		return v, p.syntax(`a value is expected: a text in quotes, a number, true, false, or a word`)
	case v.Text == "true" || v.Text == "false":
		v.Kind = FilterBool
	case isNumber(v.Text):
		v.Kind = FilterNumber
		return v, p.unit(&v)
	case reserved(v.Text):
		return v, p.at(v.At, "filter.syntax", fmt.Sprintf("a value is expected; the word %s is to be put in quotes", v.Text))
	}
	return v, nil
}

// unit takes what stands behind a number.
func (p *filterParser) unit(v *FilterValue) (err error) {
	start := p.space()
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		v.Unit, err = p.quoted()
		return err
	}
	if v.Unit = p.bare(); reserved(v.Unit) {
		v.Unit, p.pos = "", start
	}
	return nil
}

func (p *filterParser) bare() string {
	start := p.pos
	for p.pos < len(p.text) && (partByte(p.text[p.pos]) || strings.IndexByte(".:+", p.text[p.pos]) >= 0) {
		p.pos++
	}
	return p.text[start:p.pos]
}

func partByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// plainPart reports a part of a name that needs no quotes.
func plainPart(s string) bool {
	for i := range len(s) {
		if !partByte(s[i]) {
			return false
		}
	}
	return s != ""
}
