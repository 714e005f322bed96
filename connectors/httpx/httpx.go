// Package httpx is the one HTTP client of all connectors. What every connector
// promises about its calls is kept here, once: a deadline, a bounded answer, no
// request begun after its deadline, no unasked repetition of a request that may
// have been applied, no connection to private addresses, no secret in an error,
// and one table that turns answers into verdicts. It knows no target.
//
// # The table
//
// What went wrong before there was an answer ([Client.Do]):
//
//	what happened                                       verdict      uncertain
//	URL is not http or https, header or method invalid  Permanent    no
//	address refused by the guard (loopback, private)    Permanent    no
//	DNS, connection refused, TLS handshake              Unavailable  no
//	deadline or cancellation before the first byte      Unavailable  no
//	timeout, reset, EOF after the first byte went out   Unavailable  yes
//	2xx whose body breaks off                           Unavailable  yes
//	2xx whose body is longer than the bound             Permanent    yes
//
// What the target answered ([Check]):
//
//	status                   verdict      uncertain  after
//	2xx                      (nil)
//	408, 425                 Unavailable  yes        Retry-After
//	429                      Throttled    no         Retry-After, else the reset headers
//	401, 403                 Auth         no
//	409, 412                 Conflict     no
//	400, 422                 Validation   no
//	413                      Permanent    no         "too large": a caller may split
//	other 4xx (404, 410 …)   Permanent    no
//	501, 505                 Permanent    no         the target says that it never will
//	other 5xx                Unavailable  yes        Retry-After
//	1xx, 3xx                 Permanent    no         correct the configured URL
//
// Uncertain does not look at the method: some targets change state on GET. A
// connector that knows its failed call was a mere read may clear the mark.
//
// # Why "uncertain" can be trusted
//
// net/http repeats requests on its own: safely where nothing had been written
// to a dead keep-alive connection, but also where all had been, if the method
// is safe or an Idempotency-Key is set. The second kind would report the
// repetition's success while the first copy may still be on its way, to be
// applied after something newer. So every connection counts what a request has
// written to it: a repetition after the first byte is stopped (unless the
// method is safe, RFC 9110 section 9.2.1), and "nothing was sent" is said only
// where the count is zero.
//
// The deadline is compared with the clock again at each write to the network,
// because a process that was paused (SIGSTOP, a suspended machine) wakes up
// before its timers have run. The monotonic clock and the wall clock are both
// asked, since the former stands still while a machine sleeps.
//
// HTTP/2 is off: it carries many requests over one connection, so the count
// would be nobody's, and one dead connection would stall every call to a host.
// Proxies from the environment are not used: the guard would see the proxy's
// address and not the target's.
package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"code.dny.dev/ssrf"

	"github.com/sluicehub/sluice/connectors"
)

const (
	defaultTimeout = 30 * time.Second
	defaultBody    = 8 << 20
	maxHeader      = 256 << 10
	maxRedirects   = 3
	// A channel may have this many calls in flight, and each keeps its connection.
	idlePerHost = 64
)

// Options are a client's settings. The zero value is usable.
type Options struct {
	// Timeout bounds one call from dialling to the last byte of the answer,
	// redirects included; 0 is 30 s. A nearer deadline of the context wins.
	Timeout time.Duration
	// MaxBody bounds an answer's body in bytes, after decompression; 0 is 8 MiB.
	MaxBody int64
	// Version goes into the user agent, sluice/<version>; "" is "dev".
	Version string
	// AllowPrivate lets targets be on loopback, private, link-local and other
	// special addresses. Without it they are refused, after name resolution and
	// for each address tried.
	AllowPrivate bool
	// Secrets never appear in an error text, as they are or in the escapings of
	// URLs, JSON and basic authentication.
	Secrets []string
	// RootCAs replaces the system's certificate authorities.
	RootCAs *x509.CertPool
	// Wire lets requests pass and hears of them; nil: nobody does.
	Wire connectors.Wire
}

// Client makes the calls of one connector. It is safe for concurrent use.
type Client struct {
	transport *http.Transport
	timeout   time.Duration
	maxBody   int64
	agent     string
	scrub     *scrubber
	wire      connectors.Wire
	// now has a monotonic reading, wall has none and so is compared by the
	// calendar; they part where a machine was suspended.
	now, wall func() time.Time
}

// Response is a target's whole answer.
type Response struct {
	Status int
	Header http.Header
	// Body is whole for 2xx. For other statuses it is what could be read within
	// the bound, because the status counts even where its explanation is cut.
	Body []byte

	where string
	scrub *scrubber
}

// New makes a client.
func New(o Options) *Client {
	c := &Client{
		timeout: o.Timeout,
		maxBody: o.MaxBody,
		agent:   "sluice/dev",
		scrub:   newScrubber(o.Secrets),
		wire:    o.Wire,
		now:     time.Now,
		wall:    func() time.Time { return time.Now().Round(0) },
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	if c.maxBody <= 0 {
		c.maxBody = defaultBody
	}
	if o.Version != "" {
		c.agent = "sluice/" + o.Version
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	if !o.AllowPrivate {
		dialer.Control = ssrf.New(ssrf.WithAnyPort()).Safe
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	c.transport = &http.Transport{
		Proxy:     nil,
		Protocols: protocols,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn}, nil
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConns:           4 * idlePerHost,
		MaxIdleConnsPerHost:    idlePerHost,
		IdleConnTimeout:        30 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
	}
	return c
}

// With returns a client that shares c's connections and settings and keeps
// further secrets out of its errors, such as a token that was just obtained.
func (c *Client) With(secrets ...string) *Client {
	derived := *c
	derived.scrub = newScrubber(append(secrets, c.scrub.plain()...))
	return &derived
}

// CloseIdle closes connections that no call is using. Unused ones close by
// themselves after 30 s.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }

// Do sends req and reads the whole answer, whatever its status; see [Check] for
// what a status means. Only ctx counts, not req's own context. The error is an
// *[connectors.Error] as the package's table says, and [errors.Is] finds
// context.Canceled or context.DeadlineExceeded in it where one was the cause.
//
// Redirects are followed for GET and HEAD only, at most 3 times, on the same
// scheme, host and port; any other is returned as the answer. So no credential
// leaves its host and no POST turns into a GET.
func (c *Client) Do(ctx context.Context, req *http.Request) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for hop := 0; ; hop++ {
		resp, err := c.once(ctx, req)
		if err != nil {
			return nil, err
		}
		if hop == maxRedirects {
			return resp, nil
		}
		next := redirect(req, resp)
		if next == nil {
			return resp, nil
		}
		req = next
	}
}

// redirect returns the request that follows resp, nil where none may.
func redirect(req *http.Request, resp *Response) *http.Request {
	switch resp.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead && req.Method != "" {
		return nil
	}
	if req.Body != nil && req.Body != http.NoBody {
		return nil // it has been read, and no target of ours wants a GET with a body
	}
	location := resp.Header.Get("Location")
	if location == "" {
		return nil
	}
	to, err := req.URL.Parse(location)
	if err != nil || to.Scheme != req.URL.Scheme || !strings.EqualFold(to.Host, req.URL.Host) {
		return nil
	}
	to.User = req.URL.User
	next := req.Clone(req.Context())
	next.URL = to
	return next
}

// once makes one exchange within ctx's deadline, when the wire lets it pass.
func (c *Client) once(ctx context.Context, req *http.Request) (*Response, error) {
	if err := checkRequest(req); err != nil {
		closeBody(req)
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: c.scrub.wrap(c.where(req), err)}
	}
	x, err := c.listen(ctx, req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := c.exchange(ctx, req, x)
	x.over(resp, err)
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// exchange sends req and reads the answer. Beside an error there may be what
// could be read of it, for the wire alone.
func (c *Client) exchange(ctx context.Context, req *http.Request, x *exchange) (*Response, error) {
	where := c.where(req)
	callCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	call := &call{ctx: callCtx, stop: stop, now: c.now, wall: c.wall, repeatable: isSafe(req.Method)}
	if err := call.late(); err != nil {
		closeBody(req)
		return nil, c.failed(ctx, where, call, err)
	}

	req = req.Clone(httptrace.WithClientTrace(callCtx, &httptrace.ClientTrace{
		GetConn: call.getConn,
		GotConn: call.gotConn,
	}))
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.agent)
	}
	if u := req.URL.User; u != nil && req.Header.Get("Authorization") == "" {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	x.tapped(req)
	answer, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, c.failed(ctx, where, call, err)
	}
	defer answer.Body.Close()

	resp := &Response{Status: answer.StatusCode, Header: answer.Header, where: where, scrub: c.scrub}
	resp.Body, err = io.ReadAll(io.LimitReader(answer.Body, c.maxBody+1))
	tooLong := int64(len(resp.Body)) > c.maxBody
	if tooLong {
		resp.Body = resp.Body[:c.maxBody]
	}
	if !isSuccess(resp.Status) {
		return resp, nil
	}
	if tooLong {
		// Permanent rather than Unavailable: asking the same again would get the
		// same, and a smaller batch gets a smaller answer.
		return resp, &connectors.Error{
			Verdict: connectors.Permanent, Uncertain: true,
			Err: c.scrub.wrap(where, fmt.Errorf("the answer is longer than %d bytes; the request may have been applied", c.maxBody)),
		}
	}
	if err != nil {
		return resp, c.failed(ctx, where, call, fmt.Errorf("the answer breaks off: %w", err))
	}
	return resp, nil
}

// where names a request in errors: method, scheme, host and path.
func (c *Client) where(req *http.Request) string {
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	return c.scrub.text(method+" "+Redact(req.URL), maxWhere)
}

func checkRequest(req *http.Request) error {
	if req.URL == nil || req.URL.Host == "" {
		return errors.New("the URL has no host")
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return errors.New("the URL is neither http nor https")
	}
	return nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

func isSafe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }
