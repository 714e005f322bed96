package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Definitions have no history that could say what others changed since a revision.
// So the 412 of a PUT or PATCH says in what it would have made another thing of what
// stands there now: what others wrote is among it, beside what the request wanted. It
// is made of the operations that are registered, as patches are.

// Difference is a place in which a request differs from what stands there.
type Difference struct {
	Pointer string `json:"pointer" doc:"JSON pointer (RFC 6901) into the body of PUT, as deep as objects go; lists are told as a whole"`
	Current any    `json:"current" doc:"What stands there; null: nothing"`
}

// compared is h with the differences in its refusals for a revision that is not the
// one there is, where h puts or patches what is got by its code.
func compared[I, O any](s *server, o huma.Operation, h func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	if o.Method != http.MethodPut && o.Method != http.MethodPatch || !memberPath.MatchString(o.Path) {
		return h
	}
	return func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if outdated(err) {
			err = s.differing(ctx, &o, reflect.ValueOf(in).Elem(), err)
		}
		return out, err
	}
}

func outdated(err error) bool {
	if p, is := errors.AsType[*Problem](err); is {
		return p.Status == http.StatusPreconditionFailed
	}
	return errors.Is(err, postgres.ErrStale)
}

// differing is the refusal of a request for what is at another revision. Where it
// cannot be told how they differ it is refused, the refusal as it was.
func (s *server) differing(ctx context.Context, o *huma.Operation, in reflect.Value, refused error) error {
	get, put := s.singles[http.MethodGet+" "+o.Path], s.singles[http.MethodPut+" "+o.Path]
	body := in.FieldByName("RawBody")
	if get.run == nil || !body.IsValid() || o.RequestBody.Content[typeJSON] == nil {
		return refused
	}
	now, err := get.run(ctx, in.FieldByName("Code").String(), "", nil)
	if err != nil {
		return refused // it is gone
	}
	p := stale(revisionOf(now))
	shown, err := shownBy(now, put)
	if err != nil {
		return p
	}
	v, _ := pim.DecodeJSON(body.Bytes(), 0)
	sent, ok := v.(map[string]any)
	if !ok { // PUT may have no body: it asks for nothing then
		return p
	}
	kept, keeps := put.op.Metadata[metaKept].([]string)
	told := sent
	if o.Method == http.MethodPatch {
		sent = mergeSettings(shown, sent)
	}
	if means, is := put.op.Metadata[metaMeans].(func(_, body map[string]any) (map[string]any, error)); is {
		if sent, err = means(shown, sent); err != nil {
			return p // a body that says nothing
		}
		if shown, err = means(shown, shown); err != nil {
			return p
		}
	}
	t := get.body
	if member, _ := put.op.Metadata[metaShown].(string); member != "" {
		t = memberType(t, member)
	}
	taken := s.members(&put.op)
	var d differences
	if names, is := shown["secrets"].([]any); is {
		for _, name := range names {
			d.secret = append(d.secret, pim.JoinPointer("/config", name.(string))) //nolint:forcetypeassert // they are names
		}
	}
	for _, name := range slices.Sorted(slices.Values(shows(get, put))) {
		_, named := told[name]
		left := name == "code" || o.Method == http.MethodPatch || keeps && (len(kept) == 0 || slices.Contains(kept, name))
		if left && !named || put.run != nil && taken[name] == nil {
			continue
		}
		d.find(pim.JoinPointer("", name), below(t, name), sent[name], shown[name])
	}
	p.Differs = d.list
	return p
}

// differences are what two documents differ in.
type differences struct {
	list   []Difference
	secret []string // places of what is not shown, and differs from nothing
}

// find notes where sent is another thing than current, of a member of type t, nil where
// that is not known. What is not there is the same as what is empty, but for a flag or
// number that may be left out: there it says something else than false and 0.
func (d *differences) find(at string, t reflect.Type, sent, current any) {
	if len(d.list) == maxFaults || slices.Contains(d.secret, at) || pim.EmptyJSON(sent) && pim.EmptyJSON(current) && (!mayBeLeftOut(t) || (sent == nil) == (current == nil)) {
		return
	}
	a, ok := objectOrNone(sent)
	b, both := objectOrNone(current)
	if ok && both {
		names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			d.find(pim.JoinPointer(at, name), below(t, name), a[name], b[name])
		}
		return
	}
	if !same(sent, current) {
		d.list = append(d.list, Difference{at, current})
	}
}

// below is the type of a member of t, nil where there is none.
func below(t reflect.Type, name string) reflect.Type {
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == nil:
		return nil
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() != reflect.Struct:
		return nil
	}
	for _, f := range reflect.VisibleFields(t) {
		if said, _, _ := strings.Cut(f.Tag.Get("json"), ","); said == name {
			return f.Type
		}
	}
	return nil
}

func mayBeLeftOut(t reflect.Type) bool {
	return t != nil && t.Kind() == reflect.Pointer && t.Elem().Kind() != reflect.Struct
}

func objectOrNone(v any) (map[string]any, bool) {
	m, is := v.(map[string]any)
	return m, is || v == nil
}

// same reports whether two values mean the same: lists item by item, numbers and
// times as they count, however they are written.
func same(a, b any) bool {
	x, list := a.([]any)
	y, lists := b.([]any)
	if list && lists {
		return slices.EqualFunc(x, y, func(a, b any) bool {
			var d differences
			d.find("", nil, a, b)
			return len(d.list) == 0
		})
	}
	s, text := a.(string)
	t, texts := b.(string)
	switch {
	case text && texts:
		i, err := time.Parse(time.RFC3339, s)
		j, err2 := time.Parse(time.RFC3339, t)
		return s == t || err == nil && err2 == nil && i.Equal(j)
	case text:
		a = asNumber(s)
	case texts:
		b = asNumber(t)
	}
	return pim.EqualJSON(a, b)
}

// asNumber is a text as the number that it may be.
func asNumber(s string) any {
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return s
	}
	return json.Number(s)
}
