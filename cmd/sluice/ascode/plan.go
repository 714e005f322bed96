package ascode

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// Action is what a Change does.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Change is what would become of one resource.
type Change struct {
	Action      Action       `json:"action"`
	Resource    string       `json:"resource"`
	Code        string       `json:"code"`
	Place       string       `json:"place,omitempty"` // file:line of its document
	Differences []Difference `json:"differences,omitempty"`
	Warnings    []string     `json:"warnings,omitempty"` // what the API says of it once it is made
	Same        bool         `json:"same,omitempty"`     // once it is made: the house had already what was asked for

	document *Document
	kind     *Kind
	doomed   *resource // of a Delete: what it is of
}

// Difference is a field that differs; nil is one without a value.
type Difference struct {
	Field string `json:"field"` // its names from the document's on, with dots
	Old   any    `json:"old"`
	New   any    `json:"new"`
}

// Plan is what applying documents would do.
type Plan struct {
	Changes   []Change `json:"changes"`
	Unchanged int      `json:"unchanged"`
}

// Options say how documents are compared.
type Options struct {
	Prune   bool // of the kinds that documents are of, what no document names is deleted
	Secrets bool // secrets that are set already are set again
}

// Compare says what applying the documents would change. It changes nothing. Its
// error tells all documents that cannot be applied.
func (h *House) Compare(ctx context.Context, documents []*Document, o Options) (*Plan, error) {
	plan := &Plan{Changes: []Change{}}
	var faults []error
	named := map[*Kind]map[string]bool{}
	for _, d := range inOrder(documents) {
		if named[d.Kind] == nil {
			named[d.Kind] = map[string]bool{}
		}
		named[d.Kind][d.Code] = true
		for _, name := range sorted(d.Fields) {
			if !slices.Contains(h.kinds[d.Kind].fields, name) {
				faults = append(faults, fmt.Errorf("%s: %s has no field %s, only %s", d.at(), d, name, strings.Join(h.kinds[d.Kind].fields, ", ")))
			}
		}
		was, err := h.find(ctx, d.Kind, d.Code)
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", d, err)
		}
		shape, err := h.shapedBy(ctx, d, was)
		if err != nil {
			return nil, err
		}
		if err := d.check(shape); err != nil {
			faults = append(faults, err)
			continue
		}
		_, differences, err := d.onto(was, o, shape)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %s: %w", d.at(), d, err))
		}
		c := Change{Action: Update, Resource: d.Kind.Name, Code: d.Code, Place: d.at(), Differences: differences, document: d, kind: d.Kind}
		if was == nil {
			c.Action = Create
		} else if len(differences) == 0 {
			plan.Unchanged++
			continue
		}
		plan.Changes = append(plan.Changes, c)
	}
	if len(faults) > 0 || !o.Prune {
		return plan, errors.Join(faults...)
	}
	for i := len(Kinds) - 1; i >= 0; i-- { // what refers to others goes first
		k := &Kinds[i]
		if named[k] == nil || !h.kinds[k].delete {
			continue
		}
		codes, err := h.codes(ctx, k)
		if err != nil {
			return nil, err
		}
		gone := slices.DeleteFunc(codes, func(code string) bool { return named[k][code] || code == k.stays })
		if k.above != nil {
			if gone, err = h.below(ctx, k, gone); err != nil {
				return nil, err
			}
		}
		for _, code := range gone {
			was, err := h.find(ctx, k, code)
			if err != nil {
				return nil, fmt.Errorf("look for %s %s: %w", k.Name, code, err)
			}
			if was != nil {
				plan.Changes = append(plan.Changes, Change{Action: Delete, Resource: k.Name, Code: code, kind: k, doomed: was})
			}
		}
	}
	return plan, nil
}

// inOrder sorts documents so that what others refer to comes first.
func inOrder(documents []*Document) []*Document {
	place := map[*Kind]int{}
	for i := range Kinds {
		place[&Kinds[i]] = i
	}
	named := map[string]*Document{}
	for _, d := range documents {
		named[d.String()] = d
	}
	depths := map[*Document]int{}
	var depth func(d *Document) int
	depth = func(d *Document) int {
		if n, known := depths[d]; known || d.Kind.above == nil {
			return n
		}
		depths[d] = 0 // a ring is for the API to refuse
		n := 0
		for _, code := range d.Kind.above(d.Fields) {
			if next := named[(&Document{Kind: d.Kind, Code: code}).String()]; next != nil && next != d {
				n = max(n, depth(next)+1)
			}
		}
		depths[d] = n
		return n
	}
	list := slices.Clone(documents)
	slices.SortStableFunc(list, func(a, b *Document) int {
		return cmp.Or(cmp.Compare(place[a.Kind], place[b.Kind]), cmp.Compare(depth(a), depth(b)))
	})
	return list
}

// below sorts codes so that what stands below another goes first.
func (h *House) below(ctx context.Context, k *Kind, codes []string) ([]string, error) {
	documents := make([]*Document, len(codes))
	for i, code := range codes {
		was, err := h.find(ctx, k, code)
		if err != nil {
			return nil, err
		}
		documents[i] = &Document{Kind: k, Code: code}
		if was != nil {
			documents[i].Fields = was.fields
		}
	}
	documents = inOrder(documents)
	slices.Reverse(documents)
	for i, d := range documents {
		codes[i] = d.Code
	}
	return codes, nil
}

// onto lays the document over the resource as it stands, and says what differs.
func (d *Document) onto(was *resource, o Options, s shaped) (fields map[string]any, differences []Difference, err error) {
	if was == nil {
		fields = merge(nil, d.Fields)
		return fields, compare(nil, fields, d.Kind.exact), nil
	}
	set := was.secrets
	wanted := make(map[string]any, len(d.Fields))
	for name, v := range d.Fields {
		if config, ok := v.(map[string]any); ok && name == memberConfig && !o.Secrets {
			v = without(config, set)
		}
		if wanted[name], err = told(v, was.fields[name]); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	fields = merge(was.fields, wanted)
	after := maps.Clone(fields)
	for name, v := range wanted {
		if v == nil && s.defaults[name] != nil {
			after[name] = s.defaults[name]
		}
	}
	for _, name := range d.Kind.unseen {
		delete(after, name)
	}
	differences = compare(was.fields, after, d.Kind.exact)
	config, _ := d.Fields[memberConfig].(map[string]any)
	into, _ := fields[memberConfig].(map[string]any)
	for _, name := range sorted(config) {
		if config[name] == nil && slices.Contains(set, name) {
			into[name] = nil // what is left out stays: null takes a secret away
			differences = append(differences, Difference{memberConfig + "." + name, &Secret{}, nil})
		}
	}
	return fields, differences, nil
}

// without leaves out the secrets that are set already.
func without(config map[string]any, set []string) map[string]any {
	out := maps.Clone(config)
	for _, name := range set {
		if _, drawn := out[name].(*Secret); drawn {
			delete(out, name)
		}
	}
	return out
}

// told reads what the API shows, so that it can be compared. shown is what it shows
// in the place of v.
func told(v, shown any) (any, error) {
	var err error
	switch v := v.(type) {
	case *Secret:
		if shown == nil {
			return v, nil
		}
		value, err := v.read()
		return &Secret{Env: v.Env, File: v.File, value: &value}, err
	case map[string]any:
		inner, _ := shown.(map[string]any)
		out := make(map[string]any, len(v))
		for name, at := range v {
			if out[name], err = told(at, inner[name]); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		return out, nil
	case []any:
		inner, _ := shown.([]any)
		out := make([]any, len(v))
		for i, at := range v {
			var there any
			if i < len(inner) {
				there = inner[i]
			}
			if out[i], err = told(at, there); err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
		}
		return out, nil
	}
	return v, nil
}

// merge is a JSON merge patch (RFC 7396).
func merge(into, patch map[string]any) map[string]any {
	out := maps.Clone(into)
	if out == nil {
		out = map[string]any{}
	}
	for name, v := range patch {
		inner, ok := v.(map[string]any)
		switch {
		case v == nil:
			delete(out, name)
		case ok:
			old, _ := out[name].(map[string]any)
			out[name] = merge(old, inner)
		default:
			out[name] = v
		}
	}
	return out
}

// compare says what differs between a resource's fields.
func compare(before, after map[string]any, exact []string) (list []Difference) {
	for _, name := range names(before, after) {
		differ(name, before[name], after[name], slices.Contains(exact, name), &list)
	}
	return list
}

func names(a, b map[string]any) []string {
	both := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(both)
	return slices.Compact(both)
}

// differ adds what differs between two values of a field. What is empty is as good
// as absent, as the API leaves much of that out, unless exact.
func differ(field string, was, is any, exact bool, list *[]Difference) {
	old, oldMap := was.(map[string]any)
	now, nowMap := is.(map[string]any)
	switch {
	case was == nil && is == nil, !exact && pim.EmptyJSON(was) && pim.EmptyJSON(is):
	case (oldMap || was == nil) && (nowMap || is == nil):
		for _, name := range names(old, now) {
			differ(field+"."+name, old[name], now[name], exact, list)
		}
	case !equal(was, is, exact):
		*list = append(*list, Difference{field, was, is})
	}
}

// equal compares JSON values; numbers by what they are worth, and objects within
// lists as differ does.
func equal(a, b any, exact bool) bool {
	if drawn, ok := b.(*Secret); ok && drawn.value != nil {
		b = *drawn.value
	}
	switch a := a.(type) {
	case json.Number:
		other, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, errX := decimal.Parse(a.String())
		y, errY := decimal.Parse(other.String())
		return a == other || errX == nil && errY == nil && x.Cmp(y) == 0
	case []any:
		other, ok := b.([]any)
		return ok && slices.EqualFunc(a, other, func(x, y any) bool { return equal(x, y, exact) })
	case map[string]any:
		other, ok := b.(map[string]any)
		var list []Difference
		if ok {
			differ("", a, other, exact, &list)
		}
		return ok && len(list) == 0
	}
	return reflect.DeepEqual(a, b)
}

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
