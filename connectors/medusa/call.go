package medusa

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
)

const (
	// lookUp is how many SKUs one look-up asks for, and maxQuery how many bytes
	// they may have: Node refuses a request whose head has more than 16 KiB.
	lookUp   = 50
	maxQuery = 8 << 10
	// maxBody is what a batch may have: Medusa takes 2 MB there.
	maxBody = 1_500_000
)

// query makes a query of names and values in turn; a name may repeat.
func query(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// get reads. Its error is certain, for a read changes nothing.
func (p *push) get(ctx context.Context, path string, q url.Values, into any) error {
	err := p.call(ctx, http.MethodGet, path, q, nil, into)
	if err != nil {
		connectors.AsError(err).Uncertain = false
	}
	return err
}

// post writes, and reads the answer.
func (p *push) post(ctx context.Context, path string, q url.Values, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing a request to %s: %w", path, err)}
	}
	return p.call(ctx, http.MethodPost, path, q, raw, into)
}

// call makes one request. Its error is or wraps a *connectors.Error of its own,
// and is a *refusal where Medusa answered.
func (p *push) call(ctx context.Context, method, path string, q url.Values, body []byte, into any) error {
	if body == nil {
		return p.exchange(ctx, method, path, q, nil, into)
	}
	return p.exchange(ctx, method, path, q, &payload{"application/json", bytes.NewReader(body), int64(len(body))}, into)
}

// payload is a request's body.
type payload struct {
	mediaType string
	io.Reader
	size int64 // bytes
}

// Close is for net/http. There is no GetBody, so that nobody sends it twice.
func (*payload) Close() error { return nil }

// exchange is call with a body of any media type, nil for none.
func (p *push) exchange(ctx context.Context, method, path string, q url.Values, body *payload, into any) error {
	to := *p.base
	to.Path += path
	to.RawQuery = q.Encode()
	req := &http.Request{Method: method, URL: &to, Host: to.Host, Header: http.Header{"Accept": {"application/json"}}}
	// The key is the user name, the password is empty.
	req.SetBasicAuth(p.APIKey, "")
	if body != nil {
		req.Header.Set("Content-Type", body.mediaType)
		req.ContentLength, req.Body = body.size, body
	}
	resp, err := p.client.Do(ctx, req)
	if err != nil {
		// An address that may not be dialled says nothing of the items.
		if e := connectors.AsError(err); e.Verdict == connectors.Permanent && !e.Uncertain {
			e.Verdict = connectors.Unavailable
		}
		return err
	}
	if err := httpx.Check(resp); err != nil {
		return p.classify(resp, connectors.AsError(err))
	}
	p.wrote = p.wrote || method != http.MethodGet
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(resp.Body, into); err != nil {
		// The parser's text may quote what a secret was repeated in.
		return &connectors.Error{Verdict: connectors.Unavailable, Uncertain: method != http.MethodGet, Err: fmt.Errorf("%s %s: the answer is no JSON of the expected shape", method, path)}
	}
	return nil
}

// each calls fn with a query per part of values, so that the request's head
// stays within bounds.
func each(name string, values []string, fn func(url.Values) error) error {
	for len(values) > 0 {
		n, size := 0, 0
		for n < min(len(values), lookUp) {
			if size += len(name) + 4 + len(url.QueryEscape(values[n])); n > 0 && size > maxQuery {
				break
			}
			n++
		}
		q := url.Values{name: values[:n]}
		if err := fn(q); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// op is one part of an atomic batch.
type op struct {
	item  int             // in push.items
	body  json.RawMessage // its element of the batch
	names []string        // what Medusa calls it by when it refuses the batch: SKU, handle, id
}

// encode writes an op's body; a body that cannot be written, such as one with a
// number out of range, is the item's own fault.
func encode(body map[string]any) (json.RawMessage, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing the document: %w", err)}
	}
	return raw, nil
}

// atomically sends ops in calls that Medusa applies as a whole or not at all.
// Where one is refused, the op that the refusal names is taken out, or the ops
// are halved, until those to blame stand alone: refused is called with each. Its
// error holds for the whole push.
func (p *push) atomically(ctx context.Context, ops []op, send func(context.Context, []op) error, refused func(op, error) error) error {
	for len(ops) > 0 {
		n, size := 0, 0
		for n < len(ops) {
			if size += len(ops[n].body) + 1; n > 0 && size > maxBody {
				break
			}
			n++
		}
		if err := p.halve(ctx, ops[:n], send, refused); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

func (p *push) halve(ctx context.Context, ops []op, send func(context.Context, []op) error, refused func(op, error) error) error {
	err := send(ctx, ops)
	if err == nil {
		return nil
	}
	if !p.ofItems(ctx, err) {
		return err
	}
	if len(ops) == 1 {
		return refused(ops[0], err)
	}
	first, rest := split(ops, err)
	if err := p.halve(ctx, first, send, refused); err != nil {
		return err
	}
	return p.halve(ctx, rest, send, refused)
}

// split parts the op that a refusal names from the others; the ops in the middle
// where it names none or several.
func split(ops []op, err error) (first, rest []op) {
	if r, ok := errors.AsType[*refusal](err); ok {
		blamed := -1
		for i := range ops {
			for _, name := range ops[i].names {
				if name == "" || !quotes(r.message, name) {
					continue
				}
				if blamed >= 0 && blamed != i {
					return ops[:len(ops)/2], ops[len(ops)/2:]
				}
				blamed = i
			}
		}
		if blamed >= 0 {
			rest = append(append(make([]op, 0, len(ops)-1), ops[:blamed]...), ops[blamed+1:]...)
			return ops[blamed : blamed+1], rest
		}
	}
	return ops[:len(ops)/2], ops[len(ops)/2:]
}

// quotes reports whether a message names something as Medusa does: between
// spaces, quotation marks and commas.
func quotes(message, name string) bool {
	const edges = " ,.:;'\"()[]\n"
	for at := 0; ; {
		i := strings.Index(message[at:], name)
		if i < 0 {
			return false
		}
		from, to := at+i, at+i+len(name)
		if (from == 0 || strings.ContainsRune(edges, rune(message[from-1]))) && (to == len(message) || strings.ContainsRune(edges, rune(message[to]))) {
			return true
		}
		at = from + 1
	}
}

// maxCrashes is how many requests of one push may break Medusa before it counts
// as broken itself.
const maxCrashes = 12

// ofItems reports whether an error is of the items that were sent, and not of
// Medusa. An unknown error (500) may be either: a body that a plug-in or Medusa
// itself did not foresee must not close the channel for all others. So Medusa is
// asked whether it is well.
func (p *push) ofItems(ctx context.Context, err error) bool {
	switch e := connectors.AsError(err); e.Verdict {
	case connectors.Validation, connectors.Conflict:
		return true
	case connectors.Permanent:
		return !e.Uncertain
	case connectors.Unavailable:
		r, ok := errors.AsType[*refusal](err)
		if !ok || r.status != http.StatusInternalServerError || r.kind == "" {
			return false
		}
		if p.crashes++; p.crashes > maxCrashes {
			return false
		}
		return p.get(ctx, "/admin/products", query("limit", "1", "fields", "id"), nil) == nil
	}
	return false
}
