package ascode

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/govalues/decimal"
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

	document *Document
	kind     *Kind
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
		_, differences, err := d.onto(was, o)
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
		gone := slices.DeleteFunc(codes, func(code string) bool { return named[k][code] })
		if k.above != "" {
			if gone, err = h.below(ctx, k, gone); err != nil {
				return nil, err
			}
		}
		for _, code := range gone {
			plan.Changes = append(plan.Changes, Change{Action: Delete, Resource: k.Name, Code: code, kind: k})
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
	depth := func(d *Document) (n int) {
		for d.Kind.above != "" && n <= len(documents) { // a ring is for the API to refuse
			above, _ := d.Fields[d.Kind.above].(string)
			next := named[(&Document{Kind: d.Kind, Code: above}).String()]
			if next == nil {
				break
			}
			d, n = next, n+1
		}
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
func (d *Document) onto(was *resource, o Options) (fields map[string]any, differences []Difference, err error) {
	before, wanted := map[string]any{}, d.Fields
	if was != nil {
		before = was.fields
		if wanted, err = told(wanted, before, was.secrets, o); err != nil {
			return nil, nil, err
		}
	}
	fields = merge(before, wanted)
	differ("", before, fields, &differences)
	return fields, differences, nil
}

// told leaves out the secrets that are set, and reads those that are none: the API
// shows them. shown is what it shows at their place.
func told(fields, shown map[string]any, set []string, o Options) (map[string]any, error) {
	out := make(map[string]any, len(fields))
	for name, v := range fields {
		if _, ok := v.(*Secret); ok && slices.Contains(set, name) && !o.Secrets {
			continue
		}
		value, err := toldOne(v, shown[name], set, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = value
	}
	return out, nil
}

func toldOne(v, shown any, set []string, o Options) (any, error) {
	switch v := v.(type) {
	case *Secret:
		if shown != nil {
			return v.read()
		}
	case map[string]any:
		inner, _ := shown.(map[string]any)
		return told(v, inner, set, o)
	case []any:
		inner, _ := shown.([]any)
		out := make([]any, len(v))
		for i, at := range v {
			var there any
			if i < len(inner) {
				there = inner[i]
			}
			value, err := toldOne(at, there, set, o)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			out[i] = value
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

// differ adds what differs between two objects. What is empty is as good as
// absent: the API leaves much of that out.
func differ(at string, before, after map[string]any, list *[]Difference) {
	both := slices.AppendSeq(slices.Collect(maps.Keys(before)), maps.Keys(after))
	slices.Sort(both)
	for _, name := range slices.Compact(both) {
		was, is := before[name], after[name]
		field := strings.TrimPrefix(at+"."+name, ".")
		old, oldMap := was.(map[string]any)
		now, nowMap := is.(map[string]any)
		switch {
		case isEmpty(was) && isEmpty(is):
		case (oldMap || was == nil) && (nowMap || is == nil):
			differ(field, old, now, list)
		case !equal(was, is):
			*list = append(*list, Difference{field, was, is})
		}
	}
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case json.Number:
		d, err := decimal.Parse(v.String())
		return err == nil && d.IsZero()
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, at := range v {
			if !isEmpty(at) {
				return false
			}
		}
		return true
	}
	return false
}

// equal compares JSON values; numbers by what they are worth, and objects within
// lists as differ does.
func equal(a, b any) bool {
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
		return ok && slices.EqualFunc(a, other, equal)
	case map[string]any:
		other, ok := b.(map[string]any)
		var list []Difference
		if ok {
			differ("", a, other, &list)
		}
		return ok && len(list) == 0
	}
	return reflect.DeepEqual(a, b)
}

// Apply makes a plan's changes, one after the other, and tells each when it is
// made. It ends with the first that cannot be made; those before it stay. What
// somebody changed since the plan was made is looked at anew, so that nothing of it
// is lost.
func (h *House) Apply(ctx context.Context, plan *Plan, o Options, made func(Change)) error {
	for _, c := range plan.Changes {
		if err := h.apply(ctx, &c, o); err != nil {
			place := ""
			if c.Place != "" {
				place = c.Place + ": "
			}
			return fmt.Errorf("%s%s %s %s: %w", place, c.Action, c.Resource, c.Code, err)
		}
		made(c)
	}
	return nil
}

func (h *House) apply(ctx context.Context, c *Change, o Options) error {
	if c.Action == Delete {
		_, err := h.ask(ctx, http.MethodDelete, c.kind.path(c.Code), "", nil, nil)
		return err
	}
	was, err := h.find(ctx, c.kind, c.Code)
	if err != nil {
		return err
	}
	fields, differences, err := c.document.onto(was, o)
	if err != nil || was != nil && len(differences) == 0 {
		return err
	}
	body, err := reveal(fields)
	if err != nil {
		return err
	}
	return h.make(ctx, c.kind, c.Code, body.(map[string]any), was) // as fields is one
}

// maxSecret bounds a secret's file, in bytes.
const maxSecret = 64 << 10

// reveal puts secrets in the places of their names.
func reveal(v any) (any, error) {
	switch v := v.(type) {
	case *Secret:
		return v.read()
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, at := range v {
			value, err := reveal(at)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out[name] = value
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, at := range v {
			value, err := reveal(at)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			out[i] = value
		}
		return out, nil
	}
	return v, nil
}

func (s *Secret) read() (string, error) {
	if s.Env != "" {
		v, ok := os.LookupEnv(s.Env)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", s.Env)
		}
		return v, nil
	}
	f, err := os.Open(s.File)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSecret {
		return "", fmt.Errorf("%s is larger than %d KiB", s.File, maxSecret>>10)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
