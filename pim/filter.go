package pim

import (
	"fmt"
	"strings"
)

// Bounds of a filter.
const (
	MaxFilterBytes  = 4096
	maxFilterDepth  = 16  // parentheses and nots in one another
	maxFilterTests  = 64  // in one filter
	maxFilterValues = 200 // of one in (…)
	maxFilterPath   = 4   // parts of a field's name
)

// FilterOp is what one node of a Filter does.
type FilterOp string

// The operators. What else the language has is made of them: != is not =, in is
// = with several values, and "is not empty" is not empty.
const (
	FilterAnd        FilterOp = "and"
	FilterOr         FilterOp = "or"
	FilterNot        FilterOp = "not"
	FilterEqual      FilterOp = "="
	FilterLess       FilterOp = "<"
	FilterAtMost     FilterOp = "<="
	FilterGreater    FilterOp = ">"
	FilterAtLeast    FilterOp = ">="
	FilterContains   FilterOp = "contains"
	FilterStartsWith FilterOp = "starts with"
	FilterEmpty      FilterOp = "is empty"
)

// Filter is a condition on products, as ParseFilter reads it: docs/finding.md
// has the language. What its fields are, and what they may be compared with, is
// looked at where it is run.
type Filter struct {
	Op   FilterOp
	Sub  []*Filter     // of and, or (two or more), not (one)
	Path []string      // of a test: the field's name in its parts
	Args []FilterValue // of a test but "is empty"; several only of =
	At   int           // where it stands in the text, in bytes
}

// FilterKind says how a value was written.
type FilterKind int

// The kinds.
const (
	FilterText   FilterKind = iota // in quotes, or a bare word
	FilterNumber                   // a JSON number
	FilterBool
)

// FilterValue is what a field is compared with.
type FilterValue struct {
	Kind FilterKind
	Text string // of a number and a boolean as JSON has them
	Unit string // of a number that has one
	At   int
}

// FilterError is a fault of a filter with its place.
type FilterError struct {
	At     int    // in bytes from the start of the text
	Code   string // stable, e.g. filter.syntax
	Detail string
}

// Error tells the fault and its place.
func (e *FilterError) Error() string {
	return fmt.Sprintf("%s, at byte %d of the filter", e.Detail, e.At)
}

// String writes the filter so that ParseFilter reads the same again.
func (f *Filter) String() string {
	var b strings.Builder
	f.write(&b)
	return b.String()
}

func (f *Filter) write(b *strings.Builder) {
	switch f.Op {
	case FilterAnd, FilterOr:
		for i, s := range f.Sub {
			if i > 0 {
				b.WriteString(" " + string(f.Op) + " ")
			}
			s.inside(b)
		}
		return
	case FilterNot:
		if t := f.Sub[0]; t.Op == FilterEqual || t.Op == FilterEmpty {
			t.writeTest(b, true) // the tighter form: != counts as no level
			return
		}
		b.WriteString("not ")
		f.Sub[0].inside(b)
		return
	}
	f.writeTest(b, false)
}

func (f *Filter) writeTest(b *strings.Builder, negated bool) {
	for i, part := range f.Path {
		if i > 0 {
			b.WriteByte('.')
		}
		if plainPart(part) && (i > 0 || !reserved(part)) {
			b.WriteString(part)
		} else {
			quoteFilter(b, part)
		}
	}
	switch {
	case f.Op == FilterEmpty && negated:
		b.WriteString(" is not empty")
	case f.Op == FilterEmpty:
		b.WriteString(" is empty")
	case len(f.Args) == 1 && negated:
		b.WriteString(" != ")
		f.Args[0].write(b)
	case len(f.Args) == 1:
		b.WriteString(" " + string(f.Op) + " ")
		f.Args[0].write(b)
	default:
		if negated {
			b.WriteString(" not")
		}
		b.WriteString(" in (")
		for i, a := range f.Args {
			if i > 0 {
				b.WriteString(", ")
			}
			a.write(b)
		}
		b.WriteByte(')')
	}
}

// inside puts what is made of several tests in parentheses.
func (f *Filter) inside(b *strings.Builder) {
	if f.Op != FilterAnd && f.Op != FilterOr {
		f.write(b)
		return
	}
	b.WriteByte('(')
	f.write(b)
	b.WriteByte(')')
}

func (v FilterValue) write(b *strings.Builder) {
	if v.Kind == FilterText {
		quoteFilter(b, v.Text)
		return
	}
	b.WriteString(v.Text)
	if v.Unit != "" {
		b.WriteByte(' ')
		quoteFilter(b, v.Unit)
	}
}

var filterQuotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func quoteFilter(b *strings.Builder, s string) {
	b.WriteByte('"')
	_, _ = filterQuotes.WriteString(b, s) // a Builder takes everything
	b.WriteByte('"')
}

// reserved are the words that mean something themselves, in any case of their letters.
func reserved(word string) bool {
	switch strings.ToLower(word) {
	case "and", "or", "not", "in", "is", "empty", "contains", "starts", "with":
		return true
	}
	return false
}
