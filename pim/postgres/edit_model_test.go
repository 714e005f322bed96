package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
)

// modelled is a product as plain Go keeps it: what each edit of the machine
// below must come to, worked out without the store's code.
type modelled struct {
	lives      bool
	rev        int64
	enabled    bool
	categories []string
	values     map[string]any
	states     []state // after each event, the oldest first
}

// state is what a product's events tell about it.
type state struct {
	enabled    bool
	categories []string
	values     map[string]any
	created    bool // this event made it
	deleted    bool
}

func (m *modelled) state() state {
	return state{enabled: m.enabled, categories: slices.Clone(m.categories), values: clone(m.values)}
}

func clone(v map[string]any) map[string]any {
	out := map[string]any{}
	for k, x := range v {
		if o, ok := x.(map[string]any); ok {
			x = clone(o)
		}
		out[k] = x
	}
	return out
}

// drawValues draws a patch of values; nulls delete.
func drawValues(t *rapid.T) map[string]any {
	word := rapid.SampledFrom([]any{nil, "a", "b", "<b>&\u2028é"})
	out := map[string]any{}
	if rapid.Bool().Draw(t, "colour?") {
		out["colour"] = word.Draw(t, "colour")
	}
	if rapid.Bool().Draw(t, "count?") {
		out["count"] = rapid.SampledFrom([]any{nil, json.Number("1"), json.Number("0.10"), json.Number("12345678901234567890.5")}).Draw(t, "count")
	}
	if rapid.Bool().Draw(t, "picture?") {
		out["picture"] = rapid.SampledFrom([]any{nil, "https://x/1.jpg", "https://x/2.jpg"}).Draw(t, "picture")
	}
	if rapid.Bool().Draw(t, "name?") {
		name := map[string]any{}
		for _, l := range []string{"en-GB", "de-DE"} {
			if rapid.Bool().Draw(t, l+"?") {
				name[l] = word.Draw(t, l)
			}
		}
		out["name"] = name
		if rapid.IntRange(0, 4).Draw(t, "no name") == 0 {
			out["name"] = nil
		}
	}
	return out
}

// merge is RFC 7386 for the two levels that values have here, without what
// says nothing.
func merge(old, patch map[string]any) map[string]any {
	out := clone(old)
	for k, v := range patch {
		o, ok := v.(map[string]any)
		if !ok {
			if out[k] = v; v == nil {
				delete(out, k)
			}
			continue
		}
		have, _ := out[k].(map[string]any)
		have = clone(have)
		for l, x := range o {
			if have[l] = x; x == nil {
				delete(have, l)
			}
		}
		if out[k] = have; len(have) == 0 {
			delete(out, k)
		}
	}
	return out
}

// apply works an edit out on the model, and gives what its result must be.
func (m *modelled) apply(e Edit) (changed bool, err error) {
	switch {
	case !m.lives && (e.Mode == Patch || e.Mode == Delete):
		return false, ErrNotFound
	case e.IfMatch != 0 && (!m.lives || e.IfMatch != m.rev):
		return false, ErrStale
	case e.IfNoneMatch && m.lives:
		return false, ErrExists
	case e.Mode == Delete:
		m.lives, m.rev = false, m.rev+1
		m.states = append(m.states, state{deleted: true, values: map[string]any{}})
		return true, nil
	}
	next := *m
	if !m.lives || e.Mode == Put {
		next.enabled, next.categories, next.values = true, nil, map[string]any{}
	}
	if e.Enabled != nil {
		next.enabled = *e.Enabled
	}
	if e.Categories != nil {
		next.categories = *e.Categories
	}
	next.values = merge(next.values, e.Values)
	if m.lives && next.enabled == m.enabled && slices.Equal(next.categories, m.categories) && reflect.DeepEqual(next.values, m.values) {
		return false, nil
	}
	created := !m.lives
	next.lives, next.rev = true, m.rev+1
	*m = next
	s := m.state()
	s.created = created
	m.states = append(m.states, s)
	return true, nil
}

func drawEdit(t *rapid.T, sku pim.SKU, rev int64) Edit {
	e := Edit{SKU: sku, Mode: EditMode(rapid.IntRange(0, 3).Draw(t, "mode"))}
	switch rapid.IntRange(0, 7).Draw(t, "condition") {
	case 0:
		e.IfMatch = rev
	case 1:
		e.IfMatch = rev + 1
	case 2:
		e.IfNoneMatch = e.Mode == Put
	}
	if e.Mode == Delete {
		return e
	}
	e.Family, e.Values = ptr("thing"), drawValues(t)
	if rapid.Bool().Draw(t, "enabled?") {
		e.Enabled = ptr(rapid.Bool().Draw(t, "enabled"))
	}
	if rapid.Bool().Draw(t, "categories?") {
		e.Categories = ptr(rapid.SampledFrom([][]string{{}, {"c"}, {"c", "d"}}).Draw(t, "categories"))
	}
	return e
}

// Any sequence of edits comes to what plain Go says, raises the revision by
// one per change and by none without one, and leaves events from which, read
// backwards, each earlier state can be told.
func TestEditsFollowTheModel(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		models := map[pim.SKU]*modelled{}
		var skus []pim.SKU
		for i := range 3 {
			sku := pim.SKU(fmt.Sprintf("M-%d-%d", run, i))
			skus = append(skus, sku)
			models[sku] = &modelled{}
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			var edits []Edit
			for _, sku := range skus {
				if rapid.Bool().Draw(t, "in this batch") {
					edits = append(edits, drawEdit(t, sku, models[sku].rev))
				}
			}
			results, err := h.Edit(h.ctx, "tester", edits)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range edits {
				m, r := models[e.SKU], results[i]
				lived := m.lives
				changed, err := m.apply(e)
				if !errors.Is(r.Err, err) || (err == nil) != (r.Err == nil) || r.Changed != changed || r.Created != (changed && !lived) {
					t.Fatalf("%+v: %+v, want %v, changed %v", e, r, err, changed)
				}
				if r.Err == nil && r.Rev != m.rev {
					t.Fatalf("%+v: revision %d, want %d", e, r.Rev, m.rev)
				}
			}
		}
		for _, sku := range skus {
			models[sku].compare(t, h, sku)
		}
	})
}

func (m *modelled) compare(t *rapid.T, h *house, sku pim.SKU) {
	p, err := h.Product(h.ctx, sku)
	if !m.lives {
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("%s should be gone: %v", sku, err)
		}
	} else {
		if err != nil {
			t.Fatal(err)
		}
		stored, err := pim.DecodeStored(p.Values)
		if err != nil {
			t.Fatal(err)
		}
		if p.Rev != m.rev || p.Enabled != m.enabled || !slices.Equal(p.Categories, m.categories) || !reflect.DeepEqual(map[string]any(stored), m.values) {
			t.Fatalf("%s is %+v with %s, want %+v", sku, p.Product, p.Values, m)
		}
	}
	events, _, err := h.History(h.ctx, sku, Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != len(m.states) {
		t.Fatalf("%s has %d events, want %d", sku, len(events), len(m.states))
	}
	// Backwards from what is stored now.
	now := m.state()
	if !m.lives {
		now = state{deleted: true, values: map[string]any{}}
	}
	for i, e := range events {
		at := len(events) - 1 - i
		want := m.states[at]
		if e.Revision != int64(at)+1 || (e.Type == pim.EventProductCreated) != want.created || (e.Type == pim.EventProductDeleted) != want.deleted {
			t.Fatalf("%s: event %d is %+v, want %+v", sku, at, e, want)
		}
		if !reflect.DeepEqual(now.values, want.values) || !want.deleted && (now.enabled != want.enabled || !slices.Equal(now.categories, want.categories)) {
			t.Fatalf("%s: going back to event %d gives %+v, want %+v", sku, at, now, want)
		}
		now.back(t, e)
	}
}

// back undoes an event.
func (s *state) back(t *rapid.T, e pim.Event) {
	raw, err := pim.DecodeJSON(e.Data, 0)
	if err != nil {
		t.Fatal(err)
	}
	data := raw.(map[string]any)
	if e.Type == pim.EventProductCreated {
		*s = state{deleted: true, values: map[string]any{}}
		return
	}
	if c, ok := data["enabled"].(map[string]any); ok {
		s.enabled = c["old"].(bool)
	}
	if c, ok := data["categories"].(map[string]any); ok {
		s.categories = nil
		for _, v := range c["old"].([]any) {
			s.categories = append(s.categories, v.(string))
		}
	} else if e.Type == pim.EventProductDeleted {
		s.categories = nil
	}
	changed, _ := data["values"].(map[string]any)
	for code, c := range changed {
		c := c.(map[string]any)
		if !reflect.DeepEqual(s.values[code], c["new"]) {
			t.Fatalf("the event says that %s became %v, it was %v", code, c["new"], s.values[code])
		}
		if s.values = maps.Clone(s.values); c["old"] == nil {
			delete(s.values, code)
		} else {
			s.values[code] = c["old"]
		}
	}
}
