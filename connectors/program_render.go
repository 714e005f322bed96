package connectors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/sluicehub/sluice/pim"
)

// Projection is one lane's document of a product, with what is to be said of it.
type Projection struct {
	Document json.RawMessage // nil: it has no field
	Issues   []pim.Issue     // warnings: what the mapping's tables have no entry for, pictures that are left out, no category below the root
	Pending  bool            // a picture that it would show is still to be made
}

// Render is Project without what is to be said of the document.
func (p *Program) Render(ctx context.Context, lane pim.Lane, s *Subject, schema *pim.Schema, scope Scope) (json.RawMessage, error) {
	projection, err := p.Project(ctx, lane, s, schema, scope)
	return projection.Document, err
}

// Project makes one lane's document of a product: one JSON object, its keys in
// order at every depth, so that the same product in the same scope gives the
// same bytes. A field whose value is null, or is not there (a missing key of
// values, the amount of a price that there is not), is left out. A document
// without any field is nil.
//
// Numbers that an expression passes on without looking at them keep every
// digit.
//
// The error is a *Error of verdict Validation with one issue for each field
// that could not be made (code mapping.error), for each category or value
// without an entry where the mapping says so (mapping.unmapped), or for the
// first field that went beyond the limits of cost, time or size (mapping.cost);
// the warnings are among its issues, too. Or it wraps the cause for which ctx
// ended.
func (p *Program) Project(ctx context.Context, lane pim.Lane, s *Subject, schema *pim.Schema, scope Scope) (Projection, error) {
	fields := p.fields[lane]
	if len(fields) == 0 {
		return Projection{}, nil
	}
	if schema == nil {
		schema = &pim.Schema{}
	}
	r := rendering{loops: p.loops.Has(lane), view: view{lane: lane, subject: s, schema: schema, scope: &scope, mapping: &p.tables}, ctx: ctx}
	defer r.close()
	buffer, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	w := writer{out: append((*buffer)[:0], '{')}
	for i := range fields {
		f := &fields[i]
		before := len(w.out)
		if before > 1 {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, f.key...)
		written, err := r.field(f, &w)
		if !written || err != nil {
			w.out = w.out[:before]
		}
		if err != nil && r.failed(f, err) {
			break
		}
		r.unmapped(f)
	}
	if cap(w.out) <= 64<<10 {
		*buffer = w.out
	}
	for _, p := range r.shown {
		for _, issue := range p.Issues {
			if !slices.Contains(r.warnings, issue) {
				r.warnings = append(r.warnings, issue)
			}
		}
	}
	r.warnings = append(r.warnings, r.outside()...)
	pending := slices.ContainsFunc(r.shown, func(p *Picture) bool { return p.Pending })
	switch {
	case ctx.Err() != nil:
		return Projection{}, fmt.Errorf("render %s of %s: %w", lane, s.SKU, context.Cause(ctx))
	case len(r.issues) > 0:
		return Projection{}, &Error{
			Verdict: Validation, Issues: append(r.issues, r.warnings...),
			Err: fmt.Errorf("render %s of %s: %s: %s", lane, s.SKU, r.issues[0].Attribute, r.issues[0].Text),
		}
	case len(w.out) == 1:
		return Projection{Issues: r.warnings, Pending: pending}, nil
	}
	return Projection{append(bytes.Clone(w.out), '}'), r.warnings, pending}, nil
}

// DecodeDocument gives a rendered document to those who look into it, such as a
// Preflighter: numbers are json.Number. A nil document is an empty map.
func DecodeDocument(document json.RawMessage) (map[string]any, error) {
	m := map[string]any{}
	if len(document) == 0 {
		return m, nil
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("decode document: %w", err)
	}
	return m, nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// rendering is the state of one Render.
type rendering struct {
	view
	ctx      context.Context
	loops    bool // some expression of the lane can run long
	cancel   context.CancelFunc
	frame    *interpreter.ExecutionFrame // one for all fields: they share one limit of cost
	deadline time.Time
	issues   []pim.Issue // errors
	warnings []pim.Issue
}

// errTooSlow is the cause of a rendering that maxRender ends.
var errTooSlow = errors.New("rendering takes too long")

// field writes one field's value; false when there is none.
func (r *rendering) field(f *field, w *writer) (bool, error) {
	if f.direct {
		if f.root == "values" && len(f.path) == 0 {
			return r.allOf(w)
		}
		if v, found, ok := r.direct(f); ok {
			if !found || v == nil {
				return false, nil
			}
			return w.value(v, 0)
		}
	}
	v, err := r.evaluate(f)
	switch {
	case err != nil && isAbsent(err):
		return false, nil
	case err != nil:
		return false, err
	case v == types.NullValue:
		return false, nil
	}
	return w.value(v, 0)
}

// allOf writes the whole of values as it would be written had it been gathered first.
func (r *rendering) allOf(w *writer) (bool, error) {
	from := len(w.keys)
	for code := range r.subject.Values {
		w.keys = append(w.keys, code)
	}
	codes := w.keys[from:]
	slices.Sort(codes)
	w.out = append(w.out, '{')
	before := len(w.out)
	for _, code := range codes {
		v, ok := r.value(code)
		if !ok {
			continue
		}
		if len(w.out) > before {
			w.out = append(w.out, ',')
		}
		w.out = append(pim.AppendJSONString(w.out, code), ':')
		if written, err := w.value(v, 1); err != nil {
			return written, err
		}
	}
	w.out = append(w.out, '}')
	w.keys = w.keys[:from]
	return true, nil
}

// direct looks a plain path up without an interpreter, to the same result; ok is
// false where only the interpreter can tell.
func (r *rendering) direct(f *field) (v any, found, ok bool) {
	path := f.path
	switch {
	case f.root == "values" && len(path) > 0:
		v, found = r.value(path[0])
		path = path[1:]
	case f.root == "raw" && len(path) > 0:
		if v, found = r.subject.Values[path[0]]; found {
			found = r.visible(path[0])
		}
		path = path[1:]
	default:
		v, found = r.ResolveName(f.root)
	}
	for _, name := range path {
		if !found {
			return nil, false, true
		}
		m, isMap := v.(map[string]any)
		if !isMap {
			// CEL finds nothing in a scalar, but takes a name in a list for a mistake.
			switch v.(type) {
			case nil, string, bool, json.Number:
				return nil, false, true
			}
			return nil, false, false
		}
		v, found = m[name]
	}
	return v, found, true
}

// evaluate runs a field's expression.
func (r *rendering) evaluate(f *field) (ref.Val, error) {
	if r.frame == nil {
		if err := r.open(); err != nil {
			return nil, err
		}
	} else if time.Now().After(r.deadline) {
		return nil, errTooSlow
	}
	v, _, err := f.eval.Eval(r.frame)
	return v, err
}

// open makes the frame that the fields' expressions share.
func (r *rendering) open() error {
	frame, err := interpreter.NewExecutionFrame(&r.view)
	if err != nil {
		return fmt.Errorf("open an execution frame: %w", err)
	}
	r.frame = frame
	r.deadline = time.Now().Add(maxRender)
	if !r.loops {
		return nil
	}
	ctx, cancel := context.WithDeadlineCause(r.ctx, r.deadline, errTooSlow)
	r.cancel = cancel
	return frame.SetContext(ctx, interruptEvery)
}

func (r *rendering) close() {
	if r.frame != nil {
		r.frame.Close()
	}
	if r.cancel != nil {
		r.cancel()
	}
}

// failed notes a field's error, and reports whether to go on would be in vain.
func (r *rendering) failed(f *field, err error) bool {
	code, stop := "mapping.error", false
	if tooCostly(err) {
		code, stop = "mapping.cost", true
	}
	r.issues = append(r.issues, pim.Issue{
		Code: code, Severity: pim.SeverityError, Attribute: f.name, Text: clip(err.Error(), 500),
	})
	return stop
}

// tooCostly tells a limit that was reached from an expression that went wrong.
func tooCostly(err error) bool {
	var cancelled interpreter.EvalCancelledError
	return errors.As(err, &cancelled) || errors.Is(err, interpreter.InterruptError{}) ||
		errors.Is(err, errTooLarge) || errors.Is(err, errTooSlow)
}
