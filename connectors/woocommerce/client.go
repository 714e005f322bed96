package woocommerce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// get reads. Its failure leaves nothing in doubt.
func (c *Connector) get(ctx context.Context, path string, query url.Values, out any) (http.Header, error) {
	header, err := c.call(ctx, http.MethodGet, path, query, nil, out)
	return header, harmless(err)
}

// post writes.
func (c *Connector) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing the body for %s: %w", path, err)}
	}
	_, err = c.call(ctx, http.MethodPost, path, nil, body, out)
	return err
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

// call makes one call; its error is an *connectors.Error.
func (c *Connector) call(ctx context.Context, method, path string, query url.Values, body []byte, out any) (http.Header, error) {
	u := *c.base
	u.Path += "/" + path
	u.RawQuery = query.Encode()
	header := http.Header{"Accept": {"application/json"}}
	req := &http.Request{Method: method, URL: &u, Host: u.Host, Header: header}
	signature := ""
	if u.Scheme == "https" {
		req.SetBasicAuth(c.key, c.secret)
	} else {
		signature = sign(method, &u, c.key, c.secret, nonce(), time.Now())
	}
	if body != nil {
		header.Set("Content-Type", "application/json")
		req.ContentLength, req.Body = int64(len(body)), reader{bytes.NewReader(body)}
	} else if signature != "" {
		// The shop takes a signature once, and net/http repeats a GET whose
		// connection is lost unless it has a body that cannot be read again.
		req.Body = reader{bytes.NewReader(nil)}
	}
	resp, err := c.client.Do(ctx, req)
	if err != nil {
		e := *connectors.AsError(err)
		if e.Verdict == connectors.Permanent && !e.Uncertain {
			// An address that may not be dialled says nothing of the items.
			e.Verdict = connectors.Unavailable
		}
		return nil, &e
	}
	if signature != "" {
		// A shop's complaint may repeat the request. The signature is as good as
		// the secret until the shop has seen its nonce.
		for _, form := range []string{signature, url.QueryEscape(signature), strings.ReplaceAll(signature, "/", `\/`)} {
			resp.Body = bytes.ReplaceAll(resp.Body, []byte(form), []byte("[redacted]"))
		}
	}
	if resp.Status < 200 || resp.Status > 299 {
		return nil, c.refused(method+" "+path, resp)
	}
	if err := json.Unmarshal(bytes.TrimPrefix(bytes.TrimSpace(resp.Body), []byte("\ufeff")), out); err != nil {
		return nil, &connectors.Error{
			Verdict: connectors.Unavailable, Uncertain: true,
			Err: c.client.Scrub(fmt.Errorf("%s: the answer is not WooCommerce's JSON (a page of a plugin or proxy?): %w", method+" "+path, err)),
		}
	}
	return resp.Header, nil
}

// reader is a request body. It has no GetBody, so that nobody sends it twice.
type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

// refusal is WordPress's error, of a call or of a row of a batch.
type refusal struct {
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"` // usually an object; PHP makes an empty one a list
}

// details of a refusal.
type details struct {
	Status     int             `json:"status"`
	ResourceID json.RawMessage `json:"resource_id"` // a number, or its text
	Params     map[string]any  `json:"params"`
}

func (r *refusal) details() (d details) {
	if json.Unmarshal(r.Data, &d) != nil {
		var status struct {
			Status int `json:"status"`
		}
		if json.Unmarshal(r.Data, &status) == nil {
			return details{Status: status.Status}
		}
		return details{}
	}
	return d
}

// resource is the id of the object that is in the way; 0 when none is named.
func (d details) resource() int64 {
	id, err := strconv.ParseInt(strings.Trim(string(d.ResourceID), `"`), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// refused is the error of a call that the shop answered with another status
// than 2xx.
func (c *Connector) refused(what string, resp *httpx.Response) error {
	e := *connectors.AsError(httpx.Check(resp)) // for its After and its text
	var r refusal
	if json.Unmarshal(resp.Body, &r) != nil || r.Code == "" {
		r = refusal{}
	}
	rule := judge(r.Code, resp.Status, false)
	e.Verdict, e.Uncertain = rule.verdict, rule.uncertain
	if r.Code != "" {
		e.Err = errors.New(c.text(fmt.Sprintf("%s: %d: %s (%s)", what, resp.Status, r.Message, r.Code)))
	}
	if rule.hint != "" {
		e.Err = fmt.Errorf("%w; %s", e.Err, rule.hint)
	}
	if e.Verdict == connectors.Validation {
		e.Issues = c.issues(&r, rule)
	}
	if id := r.details().resource(); r.Code == termExists && id > 0 {
		return &existing{error: &e, id: id}
	}
	return &e
}

// rowError is the error of one row of a batch.
func (c *Connector) rowError(r *refusal) (*connectors.Error, rule) {
	rule := judge(r.Code, r.details().Status, true)
	e := &connectors.Error{Verdict: rule.verdict, Uncertain: rule.uncertain}
	e.Err = errors.New(c.text(fmt.Sprintf("%s (%s)", r.Message, r.Code)))
	if rule.hint != "" {
		e.Err = fmt.Errorf("%w; %s", e.Err, rule.hint)
	}
	if rule.verdict == connectors.Validation {
		e.Issues = c.issues(r, rule)
	}
	return e, rule
}

// issues names what a refusal is about: each parameter of rest_invalid_param,
// else the field that its code stands for.
func (c *Connector) issues(r *refusal, rule rule) (issues []pim.Issue) {
	code := c.text(r.Code)
	if code == "" {
		code = "woocommerce.refused"
	}
	for name, why := range r.details().Params {
		if len(issues) < 20 {
			issues = append(issues, pim.Issue{Code: code, Severity: pim.SeverityError, Attribute: c.text(name), Text: c.text(fmt.Sprint(why))})
		}
	}
	if len(issues) == 0 {
		text := c.text(r.Message)
		if text == "" {
			text = "The shop refuses it."
		}
		issues = []pim.Issue{{Code: code, Severity: pim.SeverityError, Attribute: rule.field, Text: text}}
	}
	return issues
}

// text makes the shop's words fit to be shown: no secret of ours, one line, at
// most 600 bytes.
func (c *Connector) text(s string) string {
	if s == "" {
		return ""
	}
	return c.client.Text(s)
}
