// Package service is what providers share in calling their services: JSON in and
// out, one verdict table a provider, bounds in both directions. It knows no
// service.
package service

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/connectors/translation"
)

// maxAnswer bounds an answer, in bytes.
const maxAnswer = 4 << 20

// Rule is one line of a provider's verdict table.
type Rule struct {
	From, To int    // statuses; 0 is any
	Code     string // the service's word for the refusal; "" is any
	Says     string // a part of its message, in lower case; "" is any

	Verdict   connectors.Verdict
	Uncertain bool
	Is        error         // what errors.Is shall find, one of package translation's
	After     time.Duration // when to come back, where the service does not say
	Hint      string        // what to do, for people
}

// Statuses are the lines that hold for every service; they end a table.
var Statuses = []Rule{
	{From: 300, To: 399, Verdict: connectors.Unavailable, Hint: "correct the provider's url"},
	{From: 400, To: 400, Verdict: connectors.Validation},
	{From: 401, To: 401, Verdict: connectors.Auth},
	{From: 403, To: 403, Verdict: connectors.Auth},
	{From: 404, To: 405, Verdict: connectors.Unavailable, Hint: "is this the service's address?"},
	{From: 408, To: 408, Verdict: connectors.Unavailable, Uncertain: true},
	{From: 413, To: 413, Verdict: connectors.Permanent, Is: translation.ErrTooLarge},
	{From: 414, To: 414, Verdict: connectors.Permanent, Is: translation.ErrTooLarge},
	{From: 422, To: 422, Verdict: connectors.Validation},
	{From: 425, To: 425, Verdict: connectors.Unavailable, Uncertain: true},
	{From: 429, To: 429, Verdict: connectors.Throttled},
	{From: 500, To: 599, Verdict: connectors.Unavailable, Uncertain: true},
	{Verdict: connectors.Permanent},
}

// Settings make a Session.
type Settings struct {
	Base    *url.URL
	Header  http.Header // with each call, such as the key
	Secrets []string    // kept out of errors
	Limits  translation.Limits
	MaxSent int // bytes of a request's body, 0 for any
	Table   []Rule
	// Explain finds the service's code and message in the body of a refusal; what
	// it cannot find is "".
	Explain func(body []byte) (code, message string)
	Env     translation.Env
}

// Session calls one service with one account. It is safe for concurrent use.
type Session struct {
	Settings
	client *httpx.Client
}

// New makes a session.
func New(s Settings) *Session {
	return &Session{Settings: s, client: httpx.New(httpx.Options{
		Timeout: s.Limits.Timeout, MaxBody: maxAnswer, Version: s.Env.Version, AllowPrivate: s.Env.AllowPrivate, Secrets: s.Secrets,
	})}
}

// Get reads path into answer.
func (s *Session) Get(ctx context.Context, path string, query url.Values, answer any) error {
	return s.call(ctx, http.MethodGet, path, query, "", nil, answer)
}

// PostJSON sends body to path and reads what comes into answer.
func (s *Session) PostJSON(ctx context.Context, path string, body, answer any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it would make six bytes of each "<"
	if err := e.Encode(body); err != nil {
		return &connectors.Error{Verdict: connectors.Validation, Err: fmt.Errorf("write the request: %w", err)}
	}
	return s.call(ctx, http.MethodPost, path, nil, "application/json", b.Bytes(), answer)
}

// PostForm sends a form to path and reads what comes into answer.
func (s *Session) PostForm(ctx context.Context, path string, form url.Values, answer any) error {
	return s.call(ctx, http.MethodPost, path, nil, "application/x-www-form-urlencoded", []byte(form.Encode()), answer)
}

func (s *Session) call(ctx context.Context, method, path string, query url.Values, media string, body []byte, answer any) error {
	if s.MaxSent > 0 && len(body) > s.MaxSent {
		return translation.TooLarge("a request of %d bytes, of at most %d", len(body), s.MaxSent)
	}
	u := s.Base.JoinPath(path)
	u.RawQuery = query.Encode()
	var payload *bytes.Reader
	req, err := http.NewRequestWithContext(ctx, method, u.String(), http.NoBody)
	if err == nil && body != nil {
		payload = bytes.NewReader(body)
		req, err = http.NewRequestWithContext(ctx, method, u.String(), payload)
	}
	if err != nil {
		return &connectors.Error{Verdict: connectors.Permanent, Err: s.client.Scrub(err)}
	}
	for name, values := range s.Header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	resp, err := s.client.Do(ctx, req)
	if err != nil {
		return err
	}
	if err := httpx.Check(resp); err != nil {
		return s.judge(resp, err)
	}
	if err := json.Unmarshal(resp.Body, answer); err != nil {
		// The error's own text would quote the answer.
		return translation.Unusable("%s %s: the answer is not the JSON that was expected", method, httpx.Redact(u))
	}
	return nil
}

// judge is the verdict on a refusal, whose text Check has made.
func (s *Session) judge(resp *httpx.Response, checked error) error {
	code, message := s.Explain(resp.Body)
	rule := Judge(s.Table, resp.Status, code, message)
	e := connectors.AsError(checked)
	judged := &connectors.Error{Verdict: rule.Verdict, Uncertain: rule.Uncertain, Err: e.Err}
	if rule.Verdict == connectors.Throttled || rule.Verdict == connectors.Unavailable {
		judged.After = cmp.Or(e.After, httpx.RetryAfter(resp.Header, time.Now()), rule.After)
	}
	if rule.Hint != "" {
		judged.Err = fmt.Errorf("%w (%s)", judged.Err, rule.Hint)
	}
	if rule.Is != nil {
		judged.Err = fmt.Errorf("%w: %w", rule.Is, judged.Err)
	}
	return judged
}

// Text is what a service said, fit for logs and people.
func (s *Session) Text(said string) string { return s.client.Text(said) }

// Judge finds the line of table for a refusal; the first that fits counts.
func Judge(table []Rule, status int, code, message string) Rule {
	message = strings.ToLower(message)
	for _, r := range table {
		if (r.From == 0 || r.From <= status && status <= r.To) && (r.Code == "" || r.Code == code) && strings.Contains(message, r.Says) {
			return r
		}
	}
	return Rule{Verdict: connectors.Permanent}
}

// Address reads a provider's url, otherwise the service's usual one. A query has
// no business there: it would be lost when paths are added.
func Address(check *connectors.ConfigCheck, field, value, otherwise string) *url.URL {
	u := check.URL(field, cmp.Or(value, otherwise))
	switch {
	case u == nil:
	case u.RawQuery != "":
		check.Add(field, "config.url", "has a query")
	case u.Path == "":
		u.Path = "/" // or JoinPath makes relative paths
	}
	return u
}

// Key checks a key that travels in a header; the problem quotes nothing of it.
func Key(check *connectors.ConfigCheck, field, key string) {
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		check.Add(field, "config.characters", "has characters that no key has; was it pasted with a space?")
	}
}
