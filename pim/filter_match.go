package pim

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Match reports whether a JSON object, decoded with json.Number, fits the filter,
// by the language's own rules: for lists that are held in memory, whose fields are
// their members. Of an array any element counts, also on the way to a member, and
// of an object that stands where a text is asked for any member. Each test is true
// or false: what is not there fits no test but "is empty".
func (f *Filter) Match(object map[string]any) bool {
	switch f.Op {
	case FilterAnd:
		return !slices.ContainsFunc(f.Sub, func(s *Filter) bool { return !s.Match(object) })
	case FilterOr:
		return slices.ContainsFunc(f.Sub, func(s *Filter) bool { return s.Match(object) })
	case FilterNot:
		return !f.Sub[0].Match(object)
	}
	values := leaves(nil, object, f.Path)
	if f.Op == FilterEmpty {
		return len(values) == 0
	}
	return slices.ContainsFunc(values, func(v any) bool {
		return slices.ContainsFunc(f.Args, func(a FilterValue) bool { return a.matches(f.Op, v) })
	})
}

// EachTest visits the filter's tests until visit gives an error, which it gives back.
func (f *Filter) EachTest(visit func(*Filter) error) error {
	if f.Path != nil {
		return visit(f)
	}
	for _, s := range f.Sub {
		if err := s.EachTest(visit); err != nil {
			return err
		}
	}
	return nil
}

// leaves are the texts, numbers and booleans at a path that are not empty.
func leaves(to []any, v any, path []string) []any {
	switch v := v.(type) {
	case nil:
	case []any:
		for _, e := range v {
			to = leaves(to, e, path)
		}
	case map[string]any:
		if len(path) > 0 {
			return leaves(to, v[path[0]], path[1:])
		}
		for _, e := range v {
			to = leaves(to, e, nil)
		}
	default:
		if len(path) == 0 && v != "" {
			to = append(to, v)
		}
	}
	return to
}

// matches compares one value that is there.
func (v FilterValue) matches(op FilterOp, x any) bool {
	text := leafText(x)
	switch op {
	case FilterContains:
		return strings.Contains(strings.ToLower(text), strings.ToLower(v.Text))
	case FilterStartsWith:
		return strings.HasPrefix(strings.ToLower(text), strings.ToLower(v.Text))
	case FilterEqual:
		if n, ok := numberIn(x); ok && v.Kind == FilterNumber {
			order, ok := compareNumbers(n, v.Text)
			return ok && order == 0
		}
		return text == v.Text
	}
	var order int
	n, number := numberIn(x)
	_, bare := x.(json.Number)
	switch {
	case number && v.Kind == FilterNumber:
		var ok bool
		if order, ok = compareNumbers(n, v.Text); !ok {
			return false
		}
	case bare || v.Kind == FilterNumber:
		return false
	default:
		order = compareTexts(text, v.Text)
	}
	switch op {
	case FilterLess:
		return order < 0
	case FilterAtMost:
		return order <= 0
	case FilterGreater:
		return order > 0
	case FilterAtLeast:
		return order >= 0
	}
	return false
}

// numberIn is a number, also one that is written as text so that no digit is lost,
// as amounts of money are.
func numberIn(x any) (string, bool) {
	switch x := x.(type) {
	case json.Number:
		return string(x), true
	case string:
		return x, isNumber(x)
	}
	return "", false
}

func leafText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	case bool:
		if v {
			return "true"
		}
		return "false"
	}
	return ""
}

// maxCompared is how long a number may be that is compared, and how far its
// exponent goes: 1e999999999 would be worked out to its last digit.
const maxCompared = 400

func compareNumbers(a, b string) (int, bool) {
	x, ok := exact(a)
	y, ok2 := exact(b)
	if !ok || !ok2 {
		return 0, false
	}
	return x.Cmp(y), true
}

func exact(n string) (*big.Rat, bool) {
	if i := strings.IndexAny(n, "eE"); len(n) > maxCompared || i >= 0 && len(strings.TrimLeft(n[i+1:], "+-0")) > 3 {
		return nil, false
	}
	return new(big.Rat).SetString(n)
}

// compareTexts orders times as times, a day beginning in UTC, and all else by bytes.
func compareTexts(a, b string) int {
	x, ok := asTime(a)
	if y, ok2 := asTime(b); ok && ok2 {
		return x.Compare(y)
	}
	return bytes.Compare([]byte(a), []byte(b))
}

func asTime(s string) (time.Time, bool) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, true
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}
