// Package webhook is the connector to any HTTP service that takes Sluice's own
// JSON, signed by Standard Webhooks (https://www.standardwebhooks.com). The
// contract that the target keeps is docs/connectors/webhook.md; webhooktest
// holds it in code.
package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// Kind is the webhook target. Versions is false: a target may refuse a lower
// revision, with conflict, but nothing obliges it to.
var Kind = &connectors.Kind{
	Name:        "webhook",
	Title:       "Webhook (signed JSON over HTTP)",
	Lanes:       []pim.Lane{pim.Content, pim.Offer, pim.Media},
	Config:      &Config{},
	Limits:      connectors.Limits{Batch: 100, Concurrency: 4, Timeout: 30 * time.Second, Settle: 30 * time.Second},
	MaxBatch:    1000,
	Withdrawals: pim.Withdrawals,
	Makes:       []connectors.Connector{(*Connector)(nil), (*Asker)(nil), (*Reader)(nil), (*ReadingAsker)(nil)},
	New: func(config json.RawMessage, env connectors.Env) (connectors.Connector, error) {
		s, err := parse(config)
		if err != nil {
			return nil, err
		}
		s.limits = env.Limits
		c := &Connector{settings: s, client: httpx.New(httpx.Options{
			Timeout:      s.limits.Timeout,
			MaxBody:      64<<10 + int64(s.limits.Batch)*s.maxAnswer(),
			Version:      env.Version,
			AllowPrivate: env.AllowPrivate,
			Wire:         env.Wire,
			Secrets:      s.secrets,
		})}
		switch {
		case s.status == nil && s.state == nil:
			return c, nil
		case s.state == nil:
			return &Asker{c}, nil
		case s.status == nil:
			return &Reader{c}, nil
		}
		return &ReadingAsker{Asker{c}, reads{c}}, nil
	},
}

// maxAnswer bounds what a target may say of one item, in bytes.
const maxAnswer = 16 << 10

// Connector pushes to one target. Make it with Kind.New.
type Connector struct {
	*settings
	client *httpx.Client
}

// Asker is a Connector with a status URL: it can poll.
type Asker struct{ *Connector }

// Push posts the items in one call; see connectors.Connector. More items than
// the batch limit are refused before anything is sent.
func (c *Connector) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	body, err := encode(items)
	if err != nil {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: err}
	}
	resp, err := c.post(ctx, c.url, body)
	if err != nil {
		return nil, err
	}
	return c.read(items, resp.Body)
}

// Probe posts a signed call without items. HEAD and OPTIONS change nothing
// either, but a target need not support them, and they would prove neither the
// signature nor that POST gets through.
func (c *Connector) Probe(ctx context.Context) error {
	resp, err := c.post(ctx, c.url, []byte(`{"items":[]}`))
	if err == nil {
		_, err = list(resp.Body)
	}
	return harmless(err)
}

// Poll asks the status URL; see connectors.Poller. It makes as many calls as the
// batch limit demands.
func (a *Asker) Poll(ctx context.Context, tokens []string) ([]connectors.Result, error) {
	results := make([]connectors.Result, 0, len(tokens))
	for len(tokens) > 0 {
		n := min(len(tokens), a.limits.Batch)
		body, err := json.Marshal(map[string][]string{"tokens": tokens[:n]})
		if err != nil {
			return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing %d tokens: %w", n, err)}
		}
		resp, err := a.post(ctx, a.status, body)
		if err != nil {
			return nil, harmless(err)
		}
		some, err := a.readPoll(tokens[:n], resp.Body)
		if err != nil {
			return nil, err
		}
		results, tokens = append(results, some...), tokens[n:]
	}
	return results, nil
}

// harmless takes the doubt from the error of a call that changes nothing.
func harmless(err error) error {
	if err == nil {
		return nil
	}
	e := *connectors.AsError(err)
	e.Uncertain = false
	return &e
}

// post signs and sends a body; the error is an *connectors.Error, also for an
// answer that is not 2xx.
func (c *Connector) post(ctx context.Context, to *url.URL, body []byte) (*httpx.Response, error) {
	// The id is new for each call and never the body's hash: a receiver that
	// drops ids it has seen would drop a legitimate repetition, which is how
	// A→B→A ends with A, and how a push that confirms an uncertain one works.
	id, now := "msg_"+rand.Text(), time.Now()
	signature, err := c.sign.Sign(id, now, body)
	if err != nil {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("signing a call: %w", err)}
	}
	// The two kinds of header that name the call are not Idempotency-Key, which
	// would let net/http repeat it by itself.
	header := http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
		http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookID):        {id},
		http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookTimestamp): {strconv.FormatInt(now.Unix(), 10)},
		http.CanonicalHeaderKey(standardwebhooks.HeaderWebhookSignature): {signature},
	}
	if c.authorization != "" {
		header["Authorization"] = []string{c.authorization}
	}
	req := &http.Request{Method: http.MethodPost, URL: to, Host: to.Host, Header: header, ContentLength: int64(len(body)), Body: reader{bytes.NewReader(body)}}
	resp, err := c.client.Do(ctx, req)
	if err != nil {
		return nil, absent(0, err)
	}
	return resp, absent(resp.Status, httpx.Check(resp))
}

// absent turns the refusal of an address as such (nothing there, moved, not to
// be dialled from here) into Unavailable: it says nothing of the items, none of
// which shall be parked because a target is being deployed.
func absent(status int, err error) error {
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok || e.Verdict != connectors.Permanent || e.Uncertain {
		return err
	}
	switch {
	case status == 0, status >= 300 && status < 400, status == http.StatusNotFound, status == http.StatusMethodNotAllowed, status == http.StatusGone:
		return &connectors.Error{Verdict: connectors.Unavailable, After: e.After, Err: e.Err}
	}
	return err
}

// reader is a request body. It has no GetBody, so that nobody sends it twice.
type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

// encode writes the call's body. Documents are appended as they are: they were
// rendered once, and a second encoding would cost more than the sending.
func encode(items []connectors.Item) ([]byte, error) {
	size := len(`{"items":[]}`)
	for i := range items {
		size += len(items[i].SKU) + len(items[i].Document) + 96
	}
	b := append(make([]byte, 0, size), `{"items":[`...)
	for i := range items {
		it := &items[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"sku":`...)
		b = pim.AppendJSONString(b, string(it.SKU))
		b = append(b, `,"lane":"`...)
		b = append(b, it.Lane.String()...)
		b = append(b, `","revision":`...)
		b = strconv.AppendInt(b, it.Revision, 10)
		switch d := it.Document; it.Action {
		case connectors.Withdraw, connectors.Delete: // there are no settings that tell the two apart
			b = append(b, `,"action":"withdraw"}`...)
		case connectors.Disable:
			b = append(b, `,"action":"disable"}`...)
		case connectors.Upsert, connectors.SellOut:
			// A document that is no object would spoil the whole call.
			if len(d) < 2 || d[0] != '{' || d[len(d)-1] != '}' {
				return nil, fmt.Errorf("writing %s: the document is not a JSON object", it.SKU)
			}
			b = append(b, `,"action":"`...)
			b = append(b, it.Action...)
			b = append(b, `","document":`...)
			b = append(b, d...)
			b = append(b, '}')
		default:
			return nil, fmt.Errorf("writing %s: action %q is not known", it.SKU, it.Action)
		}
	}
	return append(b, "]}"...), nil
}

// uncertain is the error of an answer that leaves the outcome open.
func uncertain(text string) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: errors.New(text)}
}
