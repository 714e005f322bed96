package httpx

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sluicehub/sluice/connectors"
)

// exchange is a request that the hub's Wire listens to.
type exchange struct {
	connectors.Exchange
	wire  connectors.Wire
	scrub *scrubber
	ctx   context.Context
	body  *tap
}

// listen asks the wire for one more request, and begins to write it down. nil
// without an error: nobody listens.
func (c *Client) listen(ctx context.Context, req *http.Request) (*exchange, error) {
	if c.wire == nil {
		return nil, nil
	}
	if err := c.wire.Pass(ctx); err != nil {
		return nil, err
	}
	x := &exchange{wire: c.wire, scrub: c.scrub, ctx: ctx}
	x.Began, x.Method, x.URL = time.Now(), req.Method, c.scrub.text(Redact(req.URL), maxWhere)
	if x.Method == "" {
		x.Method = http.MethodGet
	}
	return x, nil
}

// tapped has what is read of req's body written down.
func (x *exchange) tapped(req *http.Request) {
	if x != nil && req.Body != nil && req.Body != http.NoBody {
		x.body = &tap{ReadCloser: req.Body}
		req.Body = x.body
	}
}

// over tells the wire how it ended.
func (x *exchange) over(resp *Response, err error) {
	if x == nil {
		return
	}
	x.Took = time.Since(x.Began)
	var asked, answered []byte
	if x.body != nil {
		asked, x.Sent = x.body.read()
	}
	if resp != nil {
		x.Status, x.Header, x.Received = resp.Status, x.scrub.telling(resp.Header), int64(len(resp.Body))
		if answered = resp.Body; len(answered) > tapMost {
			answered = slices.Clone(answered[:tapMost]) // the rest is not held back with it
		}
	}
	if connectors.Confided(x.ctx) {
		asked, answered = nil, nil
	}
	x.Bodies = func() (request, answer string) { return x.scrub.document(asked), x.scrub.document(answered) }
	if err != nil {
		x.Err = err.Error() // fit already
	}
	x.wire.Heard(x.ctx, &x.Exchange)
}

// tapMost is how much of a body is kept until it is cut to what is shown: a
// secret that the cut runs through is found by what stands behind it.
const tapMost = connectors.MaxExchange + 8<<10

// tap keeps the beginning of a body as it is read. The transport may still read
// when the exchange is over.
type tap struct {
	io.ReadCloser
	mu   sync.Mutex
	kept []byte
	n    int64
}

// Read implements io.Reader.
func (t *tap) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += int64(n)
	t.kept = append(t.kept, b[:min(n, tapMost-len(t.kept))]...)
	return n, err
}

func (t *tap) read() ([]byte, int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.kept), t.n
}

// document makes the beginning of a body fit to be kept: without secrets, those
// that only their field's name gives away included. "" for what is no text.
func (s *scrubber) document(body []byte) string {
	if len(body) == tapMost { // the cut may run through a character
		body = []byte(whole(string(body)))
	}
	if !utf8.Valid(body) {
		return ""
	}
	text := strings.ReplaceAll(s.replace(string(body)), "\x00", "")
	if lower := strings.ToLower(text); slices.ContainsFunc(credentialWords, func(w string) bool { return strings.Contains(lower, w) }) {
		text = credential.ReplaceAllString(text, "$1"+redacted) // takes a hundred times as long
	}
	if len(text) > connectors.MaxExchange {
		text = whole(text[:connectors.MaxExchange])
	}
	return text
}

// whole leaves a character out that text ends within.
func whole(text string) string {
	for i := 0; i < utf8.UTFMax && len(text) > 0; i++ {
		if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text
}

// credentialWords are in the names that credential finds.
var credentialWords = []string{"passw", "secret", "token", "apikey", "api_key", "authorization", "credential", "session", "signature"}

// credential finds, in JSON and in forms, values whose names say that they are
// secrets: of sessions that the target has just opened, say.
var credential = regexp.MustCompile(`(?i)((?:"[^"]*(?:password|passwd|secret|token|api_?key|authorization|credential|session|signature)[^"]*"\s*:\s*"|` +
	`(?:^|&)[^=&\s]*(?:password|passwd|secret|token|api_?key|credential|signature)[^=&\s]*=))(?:[^"\\&]|\\.)+`)

// tellingHeaders are the headers of an answer that explain it, by their canonical
// names; others may hold what nobody should read.
var tellingHeaders = regexp.MustCompile(`(?i)^(Content-(Type|Length|Encoding|Language)|Date|Server|Allow|Etag|Last-Modified|Retry-After|Warning|Deprecation|Sunset|` +
	`.*Rate-?Limit.*|.*Quota.*|.*Request-?Id|.*Correlation-?Id|.*Trace-?Id|Traceparent|X-Wp-Total.*|Via|Age|Cache-Control)$`)

func (s *scrubber) telling(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		if tellingHeaders.MatchString(name) {
			for _, v := range values {
				out[name] = append(out[name], s.text(v, maxWhere))
			}
		}
	}
	return out
}
