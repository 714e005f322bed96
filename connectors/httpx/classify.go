package httpx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"code.dny.dev/ssrf"

	"github.com/sluicehub/sluice/connectors"
)

const (
	maxWhere   = 300 // bytes of method and URL in an error
	maxExcerpt = 300 // bytes of a body, or of a cause, in an error
)

// errPrivate replaces the guard's own words, which would tell whoever may
// configure a channel what a name resolves to inside our network.
var errPrivate = errors.New("target address is private, and the channel was not made with --allow-private-targets")

// failed classifies a call that got no whole answer within ctx.
func (c *Client) failed(ctx context.Context, where string, call *call, err error) *connectors.Error {
	if isProhibited(err) {
		// Sent all the same where a first connection was lost and the name has
		// meanwhile been pointed at a private address.
		return &connectors.Error{Verdict: connectors.Permanent, Uncertain: call.sent(), Err: c.scrub.wrap(where, errPrivate)}
	}
	if call.ctx.Err() == nil && !call.asked.Load() {
		return &connectors.Error{Verdict: connectors.Permanent, Err: c.scrub.wrap(where, err)}
	}
	// Whatever tore the connection down is only how the end of the call showed.
	if cause := context.Cause(call.ctx); cause != nil {
		err = cause
	}
	sent := call.sent()
	suffix := "nothing was sent"
	if sent {
		suffix = "the request may have been applied"
	}
	// "context deadline exceeded" means nothing to the reader of a receipt.
	text := plainly(err)
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		text = "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		text = "no answer before the deadline"
	}
	return &connectors.Error{
		Verdict:   connectors.Unavailable,
		Uncertain: sent,
		Err: &quiet{
			text:   c.scrub.text(where+": "+c.scrub.text(text, maxExcerpt), maxWhere+maxExcerpt) + "; " + suffix,
			causes: []error{err, ctx.Err()},
		},
	}
}

// plainly is err's text without the addresses of our own side: the resolver's,
// and those that connections go out from.
func plainly(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Err != nil {
		text = strings.Replace(text, e.Error(), e.Op+": "+e.Err.Error(), 1)
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		says := "its name could not be looked up"
		if e.IsNotFound {
			says = "no such host"
		}
		text = strings.Replace(text, e.Error(), says, 1)
	}
	return text
}

func isProhibited(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) ||
		errors.Is(err, ssrf.ErrProhibitedPort) || errors.Is(err, ssrf.ErrInvalidHostPort)
}

// Check returns nil for 2xx and otherwise an *[connectors.Error] as the
// package's table says. Its text holds method, URL without query and userinfo,
// status, and at most 300 bytes of the body, without control characters and
// without the client's secrets; never a header.
func Check(resp *Response) error {
	if isSuccess(resp.Status) {
		return nil
	}
	e := &connectors.Error{Verdict: connectors.Permanent}
	note := ""
	switch s := resp.Status; {
	case s == http.StatusTooManyRequests:
		e.Verdict = connectors.Throttled
		if e.After = RetryAfter(resp.Header, time.Now()); e.After == 0 {
			e.After = RateReset(resp.Header, time.Now())
		}
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		e.Verdict = connectors.Auth
	case s == http.StatusConflict, s == http.StatusPreconditionFailed:
		e.Verdict = connectors.Conflict
	case s == http.StatusBadRequest, s == http.StatusUnprocessableEntity:
		e.Verdict = connectors.Validation
	case s == http.StatusRequestEntityTooLarge:
		note = "too large: "
	case s == http.StatusNotImplemented, s == http.StatusHTTPVersionNotSupported:
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s >= 500:
		e.Verdict, e.Uncertain = connectors.Unavailable, true
		e.After = RetryAfter(resp.Header, time.Now())
	case s < 400:
		note = "the target answers from another address or in another way; correct the configured URL: "
	}
	text := fmt.Sprintf("%s%d %s", note, resp.Status, http.StatusText(resp.Status))
	if resp.where != "" {
		text = resp.where + ": " + text
	}
	// The body of a redirect repeats its Location, query and all.
	if body := resp.scrub.text(string(resp.Body), maxExcerpt); body != "" && resp.Status >= 400 {
		text += ": " + body
	}
	e.Err = &quiet{text: text}
	return e
}
