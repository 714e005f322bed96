package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim"
)

// Lists that are held in memory as a whole (definitions, rules, channels) are
// narrowed, ordered, cut into pages and shortened here, all in one way, by their
// members as JSON has them. Lists of the database have their own pages, and of
// this the selection of members.

// Arranging are the parameters of a list that is held as a whole.
type Arranging struct {
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before, which had the same sort"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"Left out: all"`
	Sort   string `query:"sort" maxLength:"200" doc:"Members with commas between them, - before those that go down, such as -updated_at,code. By default the list's own order; with limit or cursor the code."`
	Filter string `query:"filter" maxLength:"4096" doc:"A condition on members in the language of docs/finding.md, such as: type in (option, options) and labels.en-GB contains \"colour\""`
	Fields string `query:"fields" maxLength:"2000" doc:"Only these members, with commas between them, such as code,labels.en-GB"`
}

// arranged is the answer of such a list.
type arranged interface {
	body() any
}

func (a *answer[T]) body() any { return &a.Body }

type arranger interface {
	arrange(Arranging) error
	choose(fields string) error
	fitting(filter string) (func(arranger) ([]int, error), error)
	extent() (n int, next string)
	keep(at []int)
	add(arranger)
	ends()
}

// isList reports an answer with a page.
func isList[O any]() bool {
	a, ok := any(new(O)).(arranged)
	if !ok {
		return false
	}
	_, ok = a.body().(arranger)
	return ok
}

// listing registers a list of all there is, which h gives, with Arranging's parameters.
func listing[I, O any](s *server, o huma.Operation, h func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, o, func(ctx context.Context, in *Arranging) (*O, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		out, err := h(ctx, new(I))
		if err == nil {
			err = any(out).(arranged).body().(arranger).arrange(*in)
		}
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

// fieldsAsked is an input with the parameter fields.
type fieldsAsked interface{ fields() string }

// shorten leaves out of an answer with a page what its reader did not ask for.
func shorten(in, out any) error {
	asked, ok := in.(fieldsAsked)
	if !ok || asked.fields() == "" {
		return nil
	}
	a, ok := out.(arranged)
	if !ok {
		return nil
	}
	l, ok := a.body().(arranger)
	if !ok {
		return nil
	}
	return l.choose(asked.fields())
}

// arrange narrows, orders, pages and shortens the list.
func (p *page[T]) arrange(in Arranging) error {
	names := members[T]()
	if err := p.choose(in.Fields); err != nil {
		return err
	}
	where, err := memberFilter(in.Filter, names)
	if err != nil {
		return err
	}
	keys, err := memberSort(in.Sort, names)
	if err != nil {
		return err
	}
	if keys == nil && in.Limit == 0 && in.Cursor == "" && where == nil {
		return nil
	}
	rows := make([]arrangedRow[T], 0, len(p.Items))
	for _, item := range p.Items {
		object, err := asMembers(item)
		if err != nil {
			return fmt.Errorf("read the members of a list: %w", err)
		}
		if where == nil || where.Match(object) {
			rows = append(rows, arrangedRow[T]{item: item, object: object})
		}
	}
	if keys != nil || in.Limit > 0 || in.Cursor != "" {
		keys = append(keys, sole(names)...)
		for i := range rows {
			rows[i].place = placeIn(keys, rows[i].object)
		}
		slices.SortStableFunc(rows, func(a, b arrangedRow[T]) int { return comparePlaces(keys, a.place, b.place) })
	}
	if rows, err = afterPlace(rows, keys, in); err != nil {
		return err
	}
	if in.Limit > 0 && len(rows) > in.Limit {
		rows = rows[:in.Limit]
		p.Next = base64.RawURLEncoding.EncodeToString(mustMarshal(append([]any{in.Sort}, rows[in.Limit-1].place...)))
	}
	p.Items = make([]T, len(rows))
	for i, r := range rows {
		p.Items[i] = r.item
	}
	return nil
}

// sole are members in which no two items of a list are the same.
func sole(names []string) (keys []memberKey) {
	for _, id := range []string{"code", "id", "version", "name"} {
		if slices.Contains(names, id) {
			return []memberKey{{path: []string{id}}}
		}
	}
	for _, part := range []string{"channel", "sku", "lane"} {
		if slices.Contains(names, part) {
			keys = append(keys, memberKey{path: []string{part}})
		}
	}
	return keys
}

type arrangedRow[T any] struct {
	item   T
	object map[string]any
	place  []any
}

// afterPlace leaves what stands behind a cursor.
func afterPlace[T any](rows []arrangedRow[T], keys []memberKey, in Arranging) ([]arrangedRow[T], error) {
	if in.Cursor == "" {
		return rows, nil
	}
	bad := badParameter("query.cursor", "cursor", "it is no cursor that this list gave")
	raw, err := base64.RawURLEncoding.DecodeString(in.Cursor)
	if err != nil {
		return nil, bad
	}
	v, err := pim.DecodeJSON(raw, 2)
	place, ok := v.([]any)
	if err != nil || !ok || len(place) != len(keys)+1 || place[0] != in.Sort {
		return nil, bad
	}
	place = place[1:]
	i, _ := slices.BinarySearchFunc(rows, place, func(r arrangedRow[T], at []any) int {
		if comparePlaces(keys, r.place, at) <= 0 {
			return -1
		}
		return 1
	})
	return rows[i:], nil
}

// memberKey is one member that a list is sorted by.
type memberKey struct {
	path []string
	down bool
}

func memberSort(text string, names []string) (keys []memberKey, err error) {
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, down := strings.CutPrefix(strings.TrimSpace(part), "-")
		path := strings.Split(name, ".")
		if !slices.Contains(names, path[0]) {
			return nil, badParameter("query.sort", "sort", fmt.Sprintf("there is no member %q to sort by: %s are", clip(name), strings.Join(names, ", ")))
		}
		keys = append(keys, memberKey{path, down})
	}
	if len(keys) > 5 {
		return nil, badParameter("query.sort", "sort", "at most 5 members are sorted by")
	}
	return keys, nil
}

// placeIn are an object's texts, numbers and booleans by keys; what is none has
// null, which stands first.
func placeIn(keys []memberKey, object map[string]any) []any {
	place := make([]any, len(keys))
	for i, k := range keys {
		var v any = object
		for _, name := range k.path {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		switch v.(type) {
		case string, json.Number, bool:
			place[i] = v
		}
	}
	return place
}

func comparePlaces(keys []memberKey, a, b []any) int {
	for i, k := range keys {
		order := compareMembers(a[i], b[i])
		if k.down {
			order = -order
		}
		if order != 0 {
			return order
		}
	}
	return 0
}

// compareMembers puts null before booleans, numbers and texts, in this order.
func compareMembers(a, b any) int {
	rank := func(v any) int {
		switch v.(type) {
		case bool:
			return 1
		case json.Number:
			return 2
		case string:
			return 3
		}
		return 0
	}
	if order := cmp.Compare(rank(a), rank(b)); order != 0 {
		return order
	}
	switch x := a.(type) {
	case bool:
		y, _ := b.(bool)
		switch {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	case json.Number:
		y, _ := b.(json.Number)
		m, _ := x.Float64()
		n, _ := y.Float64()
		return cmp.Or(cmp.Compare(m, n), cmp.Compare(x, y))
	case string:
		y, _ := b.(string)
		if s, err := time.Parse(time.RFC3339Nano, x); err == nil { // as texts, a second's parts would come before it
			if t, err := time.Parse(time.RFC3339Nano, y); err == nil && !s.Equal(t) {
				return s.Compare(t)
			}
		}
		return cmp.Compare(x, y)
	}
	return 0
}

// memberFilter reads a condition on members; nil is none.
func memberFilter(text string, names []string) (*pim.Filter, error) {
	if text == "" {
		return nil, nil
	}
	f, err := pim.ParseFilter(text)
	if err != nil {
		return nil, err
	}
	return f, f.EachTest(func(t *pim.Filter) error {
		if slices.Contains(names, t.Path[0]) {
			return nil
		}
		return &pim.FilterError{At: t.At, Code: "filter.field", Detail: fmt.Sprintf("there is no member %q: %s are", clip(t.Path[0]), strings.Join(names, ", "))}
	})
}

// choose keeps, of each item, the named members alone.
func (p *page[T]) choose(fields string) error {
	if fields == "" {
		return nil
	}
	names := members[T]()
	s := &selection{map[string]bool{}, map[string][]string{}}
	for field := range strings.SplitSeq(fields, ",") {
		name, part, within := strings.Cut(strings.TrimSpace(field), ".")
		switch {
		case !slices.Contains(names, name):
			return badParameter("query.fields", "fields", fmt.Sprintf("there is no member %q: %s are", clip(name), strings.Join(names, ", ")))
		case within:
			s.parts[name] = append(s.parts[name], part)
		default:
			s.whole[name] = true
		}
	}
	p.only = s
	return nil
}

// MarshalJSON leaves out of each item what the reader did not ask for.
func (p page[T]) MarshalJSON() ([]byte, error) {
	type whole struct {
		Items any    `json:"items"`
		Next  string `json:"next_cursor,omitempty"`
	}
	if p.only == nil {
		return json.Marshal(whole{p.Items, p.Next})
	}
	items := make([]json.RawMessage, len(p.Items))
	for i, item := range p.Items {
		raw, err := json.Marshal(item)
		if err == nil {
			items[i], err = p.only.of(raw)
		}
		if err != nil {
			return nil, err
		}
	}
	return json.Marshal(whole{items, p.Next})
}

// of keeps the chosen members of an object; of what is no object behind a point,
// nothing is chosen.
func (s *selection) of(raw json.RawMessage) (json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	for name, v := range object {
		switch {
		case s.whole[name]:
		case s.parts[name] != nil && bytes.HasPrefix(bytes.TrimSpace(v), []byte("{")):
			part, err := pick(v, s.parts[name])
			if err != nil {
				return nil, err
			}
			object[name] = part
		default:
			delete(object, name)
		}
	}
	return json.Marshal(object)
}

// members are the names of T's members, as JSON has them.
func members[T any]() []string { return membersOf(reflect.TypeFor[T]()) }

func membersOf(t reflect.Type) (names []string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			names = append(names, membersOf(f.Type)...)
		case f.IsExported() && name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}

// asMembers is a value as its JSON object.
func asMembers(v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var object map[string]any
	return object, d.Decode(&object)
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts, numbers and booleans: cannot fail
	}
	return b
}
