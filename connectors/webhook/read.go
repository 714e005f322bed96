package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// maxDocument bounds what a target may answer of one item that it holds, in bytes.
const maxDocument = 256 << 10

// maxAnswer is what an answer may have for each item of a batch.
func (s *settings) maxAnswer() int64 {
	if s.state != nil {
		return maxDocument
	}
	return maxAnswer
}

// Reader is a Connector with a read URL: it can ask what the target holds.
type Reader struct{ *Connector }

// ReadingAsker is a Connector with both a status and a read URL.
type ReadingAsker struct {
	Asker
	reads
}

// reads is the power of reading by itself.
type reads struct{ c *Connector }

// Readable implements connectors.Reader: a target that tells its state tells all
// of it.
func (r *Reader) Readable() pim.Lanes { return readable }

// Read implements connectors.Reader.
func (r *Reader) Read(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	return r.held(ctx, items)
}

// Readable implements connectors.Reader.
func (r reads) Readable() pim.Lanes { return readable }

// Read implements connectors.Reader.
func (r reads) Read(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	return r.c.held(ctx, items)
}

var readable = pim.LanesOf(pim.AllLanes...)

// told is what a target says that it holds of one item.
type told struct {
	SKU      pim.SKU         `json:"sku"`
	Lane     string          `json:"lane"`
	Status   string          `json:"status"`
	Revision *int64          `json:"revision"`
	Document json.RawMessage `json:"document"`
	Code     string          `json:"code"`
	Message  string          `json:"message"`
}

// held asks the read URL, in one call.
func (c *Connector) held(ctx context.Context, items []connectors.Item) ([]connectors.Held, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	type asked struct {
		SKU  pim.SKU `json:"sku"`
		Lane string  `json:"lane"`
	}
	call := map[string][]asked{"items": make([]asked, len(items))}
	for i := range items {
		call["items"][i] = asked{items[i].SKU, items[i].Lane.String()}
	}
	body, err := json.Marshal(call)
	if err != nil {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing %d questions: %w", len(items), err)}
	}
	resp, err := c.post(ctx, c.state, body)
	if err != nil {
		return nil, harmless(err)
	}
	var answer struct {
		Items []told `json:"items"`
	}
	if err := json.Unmarshal(bytes.TrimSpace(bytes.TrimPrefix(resp.Body, []byte("\ufeff"))), &answer); err != nil || answer.Items == nil {
		return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("the answer to what is held is not the JSON that was agreed")}
	}
	by := make(map[pim.SKU]*told, len(answer.Items))
	for i := range answer.Items {
		if a := &answer.Items[i]; a.Lane == "" || a.Lane == items[0].Lane.String() {
			by[a.SKU] = a
		}
	}
	out := make([]connectors.Held, len(items))
	for i := range items {
		out[i] = c.heldOf(items[i], by[items[i].SKU])
	}
	return out, nil
}

// heldOf reads what the target says of one item; nil: it does not name it.
func (c *Connector) heldOf(item connectors.Item, a *told) (h connectors.Held) {
	unsaid := func(verdict connectors.Verdict, text string) connectors.Held {
		return connectors.Held{Err: &connectors.Error{Verdict: verdict, Err: errors.New(text)}}
	}
	if a == nil {
		return unsaid(connectors.Unavailable, "the answer to what is held does not name this item")
	}
	switch a.Status {
	case "live":
		h.Presence = connectors.Shown
	case "accepted":
		h.Presence = connectors.Kept
	case "absent":
		h.Presence, h.Exact = connectors.Absent, item.Action.Tombstone()
		return h
	case "disabled", "sold_out":
		if word := map[connectors.Action]string{connectors.Disable: "disabled", connectors.SellOut: "sold_out"}[item.Action]; word == a.Status {
			h.Presence, h.Exact = connectors.Absent, true
			return h
		}
		h.Presence = connectors.Hidden
	case "error":
		return unsaid(connectors.Unavailable, c.text(cmp.Or(a.Message, a.Code, "the target cannot say what it holds of this item")))
	default:
		return unsaid(connectors.Unavailable, fmt.Sprintf("the target answered the status %q, which is not one of live, accepted, absent, disabled, sold_out, error", c.text(a.Status)))
	}
	if a.Revision != nil {
		h.Version, h.Revision = strconv.FormatInt(*a.Revision, 10), *a.Revision
	}
	if item.Action.Tombstone() {
		return h
	}
	held, err := connectors.DecodeDocument(a.Document)
	if err != nil {
		return unsaid(connectors.Unavailable, "what the target holds of this item is no JSON object")
	}
	sent, err := connectors.DecodeDocument(item.Document)
	if err != nil {
		return unsaid(connectors.Permanent, "the document is no JSON object")
	}
	h.Exact = reflect.DeepEqual(sent, held)
	for name := range sent {
		if _, ok := held[name]; !ok {
			held[name] = nil // it holds whole documents: what is not there is none
		}
	}
	same := func(_ string, sent, held any) (alike, exact bool) {
		alike = reflect.DeepEqual(sent, held)
		return alike, alike
	}
	if h.Document, _, err = connectors.HeldDocument(item.Document, held, same); err != nil {
		return unsaid(connectors.Permanent, err.Error())
	}
	return h
}
