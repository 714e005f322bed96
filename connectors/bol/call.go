package bol

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// op is one operation of bol's API.
type op string

// The operations that the connector uses.
const (
	opLogin   op = "login"
	opOffers  op = "get-offers"
	opCreate  op = "create-offer"
	opPatch   op = "update-offer"
	opDelete  op = "delete-offer"
	opReasons op = "get-not-for-sale-reasons"
	opContent op = "post-product-content"
	opStatus  op = "get-process-status-bulk"
	opReport  op = "get-upload-report"
)

// The media types of the two versions in use.
const (
	v10 = "application/vnd.retailer.v10+json"
	v11 = "application/vnd.retailer.v11+json"
)

// operations say how each is called, and whether it only reads.
var operations = map[op]struct {
	method, media string
	reads         bool
}{
	opOffers:  {http.MethodGet, v11, true},
	opCreate:  {http.MethodPost, v11, false},
	opPatch:   {http.MethodPatch, v11, false},
	opDelete:  {http.MethodDelete, v11, false},
	opReasons: {http.MethodGet, v11, true},
	opContent: {http.MethodPost, v10, false},
	opStatus:  {http.MethodPost, v10, true},
	opReport:  {http.MethodGet, v10, true},
}

// verdicts is the one table of what bol's statuses mean; the first row that
// fits counts. Doubt is taken away again where the operation only reads.
var verdicts = []struct {
	ops       []op // none: all
	from, to  int
	verdict   connectors.Verdict
	uncertain bool
}{
	{ops: []op{opLogin}, from: 400, to: 400, verdict: connectors.Auth}, // invalid_client, by RFC 6749
	{ops: []op{opLogin}, from: 404, to: 404, verdict: connectors.Unavailable},
	{from: 300, to: 399, verdict: connectors.Unavailable},
	{from: 400, to: 400, verdict: connectors.Validation},
	{from: 401, to: 401, verdict: connectors.Auth},
	{from: 403, to: 403, verdict: connectors.Auth},
	// The offer went away under our hands; after one more look-up it is tried anew.
	{ops: []op{opPatch, opDelete, opReasons, opReport}, from: 404, to: 404, verdict: connectors.Conflict},
	// The address, or this version of the API, is not there (any more): that says
	// nothing of the items, and none shall be parked for it.
	{from: 404, to: 406, verdict: connectors.Unavailable},
	{from: 408, to: 408, verdict: connectors.Unavailable, uncertain: true},
	{from: 409, to: 409, verdict: connectors.Conflict},
	{from: 410, to: 410, verdict: connectors.Unavailable},
	{from: 412, to: 412, verdict: connectors.Conflict},
	{from: 415, to: 415, verdict: connectors.Unavailable},
	{from: 422, to: 422, verdict: connectors.Validation},
	{from: 425, to: 425, verdict: connectors.Unavailable, uncertain: true},
	{from: 429, to: 429, verdict: connectors.Throttled},
	{from: 400, to: 499, verdict: connectors.Permanent},
	{from: 501, to: 501, verdict: connectors.Permanent},
	{from: 500, to: 599, verdict: connectors.Unavailable, uncertain: true},
}

// check classifies an answer by the table; nil for 2xx. The text and the time
// to come back are httpx's.
func check(o op, resp *httpx.Response) error {
	err := httpx.Check(resp)
	if err == nil {
		return nil
	}
	e := *connectors.AsError(err)
	for _, row := range verdicts {
		if resp.Status >= row.from && resp.Status <= row.to && (row.ops == nil || slices.Contains(row.ops, o)) {
			e.Verdict, e.Uncertain = row.verdict, row.uncertain
			break
		}
	}
	if operations[o].reads {
		e.Uncertain = false
	}
	return &e
}

// harmless takes the doubt from the error of a call that changes nothing.
func harmless(err error) error {
	e := *connectors.AsError(err)
	e.Uncertain = false
	return &e
}

// unread is the error of a read that got no whole answer. An answer that is too
// long says nothing of the item that it was read for, which shall not be parked.
func unread(err error) error {
	e := *connectors.AsError(err)
	if e.Verdict == connectors.Permanent && e.Uncertain {
		e.Verdict = connectors.Unavailable
	}
	e.Uncertain = false
	return &e
}

// request is one call of the API.
type request struct {
	op    op
	path  []string // segments after the API's address
	query url.Values
	body  any // written as JSON; nil for none
	// field names the document's field that a violation is about; nil keeps
	// bol's own name.
	field func(violation string) string
}

// do makes a call: with a token, refreshed once when bol refuses it, and within
// the budget that bol's headers left us. Where bol answered, the response is
// there besides the error.
func (c *Connector) do(ctx context.Context, r request) (*httpx.Response, error) {
	how := operations[r.op]
	text := ""
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("writing %s: %w", r.op, err)}
		}
		text = string(raw)
	}
	for _, segment := range r.path {
		if !segments.MatchString(segment) { // most are ids of bol's, which could lead elsewhere
			return nil, &connectors.Error{Verdict: connectors.Unavailable, Err: fmt.Errorf("%s: bol gave an id that cannot be one", r.op)}
		}
	}
	to := c.api.JoinPath(r.path...)
	to.RawQuery = r.query.Encode()
	var refused *access
	for {
		if err := c.budget.await(ctx, r.op); err != nil {
			return nil, err
		}
		token, err := c.session.access(ctx, refused)
		if err != nil {
			return nil, err
		}
		req := &http.Request{Method: how.method, URL: to, Host: to.Host, Header: http.Header{
			"Accept":        {how.media},
			"Authorization": {"Bearer " + token.value},
		}}
		if r.body != nil {
			req.Header["Content-Type"] = []string{how.media}
			req.Body, req.ContentLength = body{strings.NewReader(text)}, int64(len(text))
		}
		resp, err := token.client.Do(ctx, req)
		if err != nil {
			if how.reads {
				return nil, unread(err)
			}
			return nil, err
		}
		c.budget.heed(r.op, resp)
		if resp.Status == http.StatusUnauthorized && refused == nil {
			refused = token // it may have been revoked before its time; what is answered 401 was not applied
			continue
		}
		if err := check(r.op, resp); err != nil {
			e := connectors.AsError(err)
			e.Issues = c.violations(token, r, resp, e.Verdict)
			return resp, e
		}
		return resp, nil
	}
}

var segments = regexp.MustCompile(`^[A-Za-z0-9_-]{1,200}$`)

// read unmarshals a successful answer; bol writes 204 where it has nothing to
// say, which leaves v as it is.
func read(o op, resp *httpx.Response, v any) error {
	if len(resp.Body) == 0 && resp.Status == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(resp.Body, v); err != nil {
		// The parser's words may quote the body; they are not needed.
		return &connectors.Error{Verdict: connectors.Unavailable, Uncertain: !operations[o].reads, Err: fmt.Errorf("%s: the answer is not the JSON that was agreed", o)}
	}
	return nil
}

// problem is bol's error body.
type problem struct {
	Title      string      `json:"title"`
	Detail     string      `json:"detail"`
	Violations []violation `json:"violations"`
}

type violation struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// maxIssues bounds what is kept of one item's issues.
const maxIssues = 50

// violations turns a problem body into issues; nil unless it is about the item.
func (c *Connector) violations(token *access, r request, resp *httpx.Response, verdict connectors.Verdict) []pim.Issue {
	if verdict != connectors.Validation {
		return nil
	}
	var p problem
	if json.Unmarshal(resp.Body, &p) != nil {
		p = problem{} // a gateway's page: the error's text shows its beginning
	}
	var issues []pim.Issue
	for _, v := range p.Violations[:min(len(p.Violations), maxIssues)] {
		name := v.Name
		if r.field != nil {
			name = r.field(name)
		}
		issues = append(issues, pim.Issue{
			Code: "bol.violation", Severity: pim.SeverityError,
			Attribute: shown(token.client, name), Text: shown(token.client, cmp.Or(v.Reason, v.Name, "bol gives no reason")),
		})
	}
	if issues == nil {
		text := cmp.Or(p.Detail, p.Title, fmt.Sprintf("bol refuses it with status %d and no explanation", resp.Status))
		issues = []pim.Issue{{Code: "bol.problem", Severity: pim.SeverityError, Text: shown(token.client, text)}}
	}
	return issues
}

// duplicate recognises that an offer of this EAN and condition exists already.
// The contract at hand does not show this answer: 409 is taken for it, and 400
// whose words say so.
func duplicate(resp *httpx.Response) bool {
	if resp == nil || resp.Status != http.StatusConflict && resp.Status != http.StatusBadRequest {
		return false
	}
	return resp.Status == http.StatusConflict || duplicateWords.Match(resp.Body)
}

var duplicateWords = regexp.MustCompile(`(?i)duplicate|already (exists|known|have|has)`)

// shown makes bol's words fit to be shown: no secret of ours, one line, at most
// 600 bytes.
func shown(client *httpx.Client, s string) string {
	if s == "" {
		return ""
	}
	return client.Text(s)
}

// text is shown, for words that were read long after their call.
func (c *Connector) text(s string) string {
	client := c.session.client
	if a, _ := c.session.held(nil); a != nil {
		client = a.client
	}
	return shown(client, s)
}

// budget is what bol's headers said of the calls that are left, per operation:
// every answer carries X-RateLimit-Limit, -Remaining and -Reset (in seconds).
// Whoever spends the last call of a window waits for the next one unasked; bol
// counts 429s and complains of them.
type budget struct {
	now func() time.Time

	mu    sync.Mutex
	until map[op]time.Time
}

const (
	shortWait   = 2 * time.Second // what is waited for within a call; above, the hub waits
	longestHeed = time.Hour       // what an answer that succeeded may make us wait
)

// heed reads an answer's headers. A 429 is left to the hub, which makes the
// whole channel wait.
func (b *budget) heed(o op, resp *httpx.Response) {
	if resp.Status == http.StatusTooManyRequests || strings.TrimSpace(resp.Header.Get("X-RateLimit-Remaining")) != "0" {
		return
	}
	now := b.now()
	reset := min(httpx.RateReset(resp.Header, now), longestHeed)
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := now.Add(reset); reset > 0 && at.After(b.until[o]) {
		b.until[o] = at
	}
}

// left is how long the operation has to wait.
func (b *budget) left(o op) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until[o].Sub(b.now())
}

// await waits a short time for the next window; the error says that it is a
// long one, or that ctx ended.
func (b *budget) await(ctx context.Context, o op) error {
	wait := b.left(o)
	if wait <= 0 {
		return nil
	}
	deadline, bounded := ctx.Deadline()
	if wait > shortWait || bounded && time.Until(deadline) < 2*wait {
		return &connectors.Error{Verdict: connectors.Throttled, After: wait, Err: fmt.Errorf("%s: bol's rate limit leaves no call for now", o)}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &connectors.Error{Verdict: connectors.Unavailable, Err: context.Cause(ctx)}
	}
}
