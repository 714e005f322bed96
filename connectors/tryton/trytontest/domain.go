package trytontest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// search finds records by a domain: a list of clauses that all hold, or "OR" and
// clauses of which one does. Inactive records are found only where a clause asks
// for active.
func (f *Fake) search(model string, domain []any, order any, offset, limit int, w words) ([]rec, error) {
	_, can := schema[model]["active"]
	can = can && !mentions(domain, "active")
	var found []rec
	for _, id := range slices.Sorted(maps.Keys(f.table(model))) {
		r := f.table(model)[id]
		if can && r["active"] != true {
			continue
		}
		ok, err := f.fits(model, r, domain, w)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, r)
		}
	}
	if err := f.sort(model, found, order, w); err != nil {
		return nil, err
	}
	found = found[min(offset, len(found)):]
	if limit > 0 {
		found = found[:min(limit, len(found))]
	}
	return found, nil
}

func (f *Fake) sort(model string, found []rec, order any, w words) error {
	by, _ := order.([]any)
	var failed error
	slices.SortStableFunc(found, func(a, b rec) int {
		for _, o := range by {
			pair, _ := o.([]any)
			if len(pair) != 2 {
				failed = &exception{"invalid order"}
				return 0
			}
			name, _ := pair[0].(string)
			x, err := f.get(model, a, name, w)
			if err != nil {
				failed = err
				return 0
			}
			y, _ := f.get(model, b, name, w)
			n, _ := compare(x, y)
			if pair[1] == "DESC" {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return 0
	})
	return failed
}

func mentions(domain []any, name string) bool {
	for _, c := range domain {
		clause, ok := c.([]any)
		if !ok {
			continue
		}
		if len(clause) > 0 && clause[0] == name || mentions(clause, name) {
			return true
		}
	}
	return false
}

// fits holds one record against a domain.
func (f *Fake) fits(model string, r rec, domain []any, w words) (bool, error) {
	if len(domain) == 0 {
		return true, nil
	}
	if name, ok := domain[0].(string); ok && name != "OR" && name != "AND" {
		return f.clause(model, r, name, domain, w)
	}
	or := domain[0] == "OR"
	if _, named := domain[0].(string); named {
		domain = domain[1:]
	}
	for _, c := range domain {
		clause, ok := c.([]any)
		if !ok {
			return false, &exception{"invalid domain"}
		}
		fits, err := f.fits(model, r, clause, w)
		if err != nil {
			return false, err
		}
		if fits == or {
			return or, nil
		}
	}
	return !or, nil
}

// clause holds one record against [field, operator, value].
func (f *Fake) clause(model string, r rec, path string, clause []any, w words) (bool, error) {
	if len(clause) == 4 && clause[1] == "child_of" && clause[3] == "parent" {
		return f.childOf(model, r, path, clause[2])
	}
	if len(clause) != 3 {
		return false, &exception{"invalid clause"}
	}
	values, err := f.follow(model, r, path, w)
	if err != nil {
		return false, err
	}
	for _, v := range values {
		ok, err := holds(v, clause[1], clause[2])
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// childOf reports whether a relation leads to one of some records, or to one below.
func (f *Fake) childOf(model string, r rec, path string, of any) (bool, error) {
	target := schema[model][path].model
	if target == "" {
		return false, &exception{"child_of wants a relation"}
	}
	list, _ := of.([]any)
	for at, _ := r[path].(int64); at != 0; {
		for _, n := range list {
			if int64(number(n)) == at {
				return true, nil
			}
		}
		at, _ = f.table(target)[at]["parent"].(int64)
	}
	return false, nil
}

// follow gives the values at the end of a path; there are several behind a one2many.
func (f *Fake) follow(model string, r rec, path string, w words) ([]any, error) {
	head, rest, through := strings.Cut(path, ".")
	v, err := f.get(model, r, head, w)
	if err != nil || !through {
		return []any{v}, err
	}
	var values []any
	ids, _ := v.([]int64)
	if id, ok := v.(int64); ok {
		ids = []int64{id}
	}
	target := schema[model][head].model
	for _, id := range ids {
		more, err := f.follow(target, f.table(target)[id], rest, w)
		if err != nil {
			return nil, err
		}
		values = append(values, more...)
	}
	return values, nil
}

func holds(v, operator, want any) (bool, error) {
	switch operator {
	case "=":
		n, ok := compare(v, want)
		return ok && n == 0 || v == nil && want == nil, nil
	case "in":
		list, _ := want.([]any)
		for _, w := range list {
			if n, ok := compare(v, w); ok && n == 0 {
				return true, nil
			}
		}
		return false, nil
	case ">", ">=":
		n, ok := compare(v, want)
		return ok && (n > 0 || n == 0 && operator == ">="), nil
	}
	return false, &exception{fmt.Sprintf("operator %v", operator)}
}

// compare orders two values of one kind; false is two of different kinds, and null.
func compare(a, b any) (int, bool) {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return strings.Compare(x, y), ok
	case bool:
		y, ok := b.(bool)
		return int(number(x)) - int(number(y)), ok
	case time.Time:
		y, ok := b.(time.Time)
		return x.Compare(y), ok
	case int64, float64:
		switch b.(type) {
		case int64, float64:
		default:
			return 0, false
		}
		switch x, y := number(a), number(b); {
		case x < y:
			return -1, true
		case x > y:
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	case bool:
		if v {
			return 1
		}
	}
	return 0
}
