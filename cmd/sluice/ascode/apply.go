package ascode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
)

// ErrMeanwhile is of a resource that is not as it was when the plan was made.
var ErrMeanwhile = errors.New("was changed meanwhile; run it again")

// Apply makes a plan's changes, one after the other, and tells each when it is
// made. It ends with the first that cannot be made; those before it stay. What is
// not as the plan says is left alone (ErrMeanwhile). A deletion of what is in use is
// passed over, and told in the error at the end.
func (h *House) Apply(ctx context.Context, plan *Plan, o Options, made func(Change)) error {
	var kept []error
	for _, c := range plan.Changes {
		err := h.apply(ctx, &c, o)
		if err == nil {
			made(c)
			continue
		}
		place := ""
		if c.Place != "" {
			place = c.Place + ": "
		}
		kept = append(kept, fmt.Errorf("%s%s %s %s: %w", place, c.Action, c.Resource, c.Code, err))
		if r, ok := errors.AsType[*Refusal](err); c.Action != Delete || !ok || r.Status != http.StatusConflict {
			break
		}
	}
	return errors.Join(kept...)
}

func (h *House) apply(ctx context.Context, c *Change, o Options) error {
	was, err := h.find(ctx, c.kind, c.Code)
	if err != nil {
		return err
	}
	if c.Action == Delete {
		if was == nil || len(compare(c.doomed.fields, was.fields, c.kind.exact)) > 0 {
			return ErrMeanwhile
		}
		_, err := h.ask(ctx, http.MethodDelete, c.kind.path(c.Code), was.etag, nil, nil)
		return err
	}
	if (was == nil) != (c.Action == Create) {
		return ErrMeanwhile
	}
	s, err := h.shapedBy(ctx, c.document, was)
	if err != nil {
		return err
	}
	fields, differences, err := c.document.onto(was, o, s)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(differences, c.Differences, func(a, b Difference) bool { return a.Field == b.Field && equal(a.Old, b.Old, true) }) {
		return ErrMeanwhile
	}
	c.Warnings, err = h.send(ctx, c, fields, was)
	if r, ok := errors.AsType[*Refusal](err); ok && was != nil && !o.Secrets && r.has("secret.again") {
		o.Secrets = true // the address is another one: what is kept secret from it is told anew
		if fields, _, err = c.document.onto(was, o, s); err != nil {
			return err
		}
		c.Warnings, err = h.send(ctx, c, fields, was)
	}
	if err != nil || was == nil {
		return err
	}
	now, err := h.find(ctx, c.kind, c.Code)
	if err != nil || now == nil {
		return nil //nolint:nilerr // the change was made, whatever became of it
	}
	c.Same = len(compare(was.fields, now.fields, c.kind.exact)) == 0 && !slices.ContainsFunc(differences, func(d Difference) bool {
		_, old := d.Old.(*Secret)
		drawn, fresh := d.New.(*Secret)
		return old || fresh && drawn.value == nil
	})
	return nil
}

func (h *House) send(ctx context.Context, c *Change, fields map[string]any, was *resource) (warnings []string, err error) {
	body, err := reveal(fields)
	if err != nil {
		return nil, err
	}
	return h.make(ctx, c.kind, c.Code, body.(map[string]any), was) // as fields is one
}

// has reports whether a refusal is for the reason of that code.
func (r *Refusal) has(code string) bool {
	for _, e := range r.Errors {
		if e.Code == code {
			return true
		}
	}
	return false
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
	if s.value != nil {
		return *s.value, nil
	}
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
