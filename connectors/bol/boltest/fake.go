// Package boltest is a stateful fake of the bol Retailer API: offers (version
// 11), product content, process statuses and upload reports (version 10), and
// the login before them, with bol's rules in code of our own. Tests and the demo
// push to it. It imports nothing of testing, and lives on loopback only: its
// admin paths ask for no key.
package boltest

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors/fakeworks"
)

// Options say what kind of target a Fake is. The zero value does at once what
// bol does later, and has generous limits.
type Options struct {
	ClientID, ClientSecret string        // "" makes one
	TokenLife              time.Duration // 0 is 299 s, as bol's
	TokenPart              string        // a part of every access token, so that a test knows it
	Polls                  int           // a process ends at the n-th question for it; 0 is before the first
	Duplicate              int           // the status that refuses a second offer of an EAN and condition: 400 (0) or 409
	Rude                   bool          // refusals repeat the Authorization header and the client secret
	Lag                    bool          // the offer list does not show new offers until CatchUp
	Limits                 map[string]Limit
	Ledger                 string                          // file that a Server keeps its state in over a restart; "" keeps nothing
	Wrap                   func(http.Handler) http.Handler // around the whole fake, for a recorder
}

// Limit is how many calls of one operation pass in a time. The operations are
// named as in "POST /retailer/offers".
type Limit struct {
	Calls int
	Per   time.Duration
}

// The operations, as Options.Limits and Fault.Op name them.
const (
	Login         = "POST /token"
	ListOffers    = "GET /retailer/offers"
	CreateOffer   = "POST /retailer/offers"
	GetOffer      = "GET /retailer/offers/{id}"
	UpdateOffer   = "PATCH /retailer/offers/{id}"
	DeleteOffer   = "DELETE /retailer/offers/{id}"
	Reasons       = "GET /retailer/offers/{id}/not-for-sale-reasons"
	PostContent   = "POST /retailer/content/products"
	GetReport     = "GET /retailer/content/upload-report/{id}"
	ProcessStatus = "POST /shared/process-status"
)

const (
	v10       = "application/vnd.retailer.v10+json"
	v11       = "application/vnd.retailer.v11+json"
	maxBody   = 8 << 20
	maxNoted  = 1000
	loginLife = 299 * time.Second
)

// Fake is the target: an http.Handler. Use New or NewServer.
type Fake struct {
	opts    Options
	handler http.Handler
	closed  chan struct{}
	log     fakeworks.Log

	mu       sync.Mutex
	tokens   map[string]time.Time // access token → its end
	denied   bool
	count    Counts
	bad      []string
	waiters  int
	changed  chan struct{}
	windows  map[string]*window
	script   []Fault
	released chan struct{}

	offers  map[string]*Offer
	order   []string // offer ids as they were made
	reasons map[string][]Reason

	products  map[string]*Product
	processes map[string]*process // by id
	uploads   map[string]*process // by the upload's id
	past      []*process          // in order
	queue     []string            // processes that wait, in order
	hold      bool
	refused   map[string]bool
	failing   map[string]string
	declined  map[string]map[string]Declined
	laggards  int // how often a new report answers IN_PROGRESS
	sequence  int
	ledger    *fakeworks.Ledger
}

// Counts are totals since the start.
type Counts struct {
	Calls     int            `json:"calls"` // requests of the API and the login
	Logins    int            `json:"logins"`
	Throttled int            `json:"throttled"`
	Hanging   int            `json:"hanging"` // held open at this moment
	By        map[string]int `json:"by"`      // per operation
}

// New makes a fake without a listener.
func New(opts Options) *Fake {
	if opts.ClientID == "" {
		opts.ClientID = "client-" + token(4)
	}
	if opts.ClientSecret == "" {
		opts.ClientSecret = "secret-" + token(16)
	}
	if opts.TokenLife == 0 {
		opts.TokenLife = loginLife
	}
	if opts.Duplicate == 0 {
		opts.Duplicate = http.StatusBadRequest
	}
	f := &Fake{
		opts: opts, closed: make(chan struct{}), changed: make(chan struct{}), released: make(chan struct{}),
		tokens: map[string]time.Time{}, windows: map[string]*window{}, count: Counts{By: map[string]int{}},
		offers: map[string]*Offer{}, reasons: map[string][]Reason{},
		products: map[string]*Product{}, processes: map[string]*process{}, uploads: map[string]*process{}, refused: map[string]bool{}, failing: map[string]string{},
		declined: map[string]map[string]Declined{},
	}
	mux := http.NewServeMux()
	f.route(mux, Login, "", f.login)
	f.route(mux, ListOffers, v11, f.listOffers)
	f.route(mux, CreateOffer, v11, f.createOffer)
	f.route(mux, GetOffer, v11, f.getOffer)
	f.route(mux, UpdateOffer, v11, f.updateOffer)
	f.route(mux, DeleteOffer, v11, f.deleteOffer)
	f.route(mux, Reasons, v11, f.listReasons)
	f.route(mux, PostContent, v10, f.postContent)
	f.route(mux, GetReport, v10, f.getReport)
	f.route(mux, ProcessStatus, v10, f.processStatus)
	mux.Handle("/_fake/", f.admin())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		f.note("%s %s is no operation that a connector needs", r.Method, r.URL.Path)
		f.problem(v10, http.StatusNotFound, "There is no such resource.").write(w)
	})
	f.handler = mux
	if opts.Wrap != nil {
		f.handler = opts.Wrap(mux)
	}
	return f
}

// ClientID is what to log in with.
func (f *Fake) ClientID() string { return f.opts.ClientID }

// ClientSecret is what to log in with.
func (f *Fake) ClientSecret() string { return f.opts.ClientSecret }

// ServeHTTP answers as bol does.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }

// call is one request as its operation sees it.
type call struct {
	*http.Request
	body []byte
}

// route puts an operation behind what all have: faults, the login, the limits
// and the media types. Operations run under mu.
func (f *Fake) route(mux *http.ServeMux, op, media string, do func(call) answer) {
	mux.HandleFunc(op, func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			return // the sender went away
		}
		c := call{r, raw}
		f.mu.Lock()
		f.count.Calls++
		f.count.By[op]++
		if op == Login {
			f.count.Logins++
		}
		fault := f.meet(op)
		f.bump()
		f.mu.Unlock()

		do := func() answer { return f.serve(op, media, c, do) }
		if fault != nil {
			f.misbehave(w, r, media, *fault, do)
			return
		}
		do().write(w)
	})
}

// serve is the healthy way of an operation.
func (f *Fake) serve(op, media string, c call, do func(call) answer) answer {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.bump()
	if op == Login {
		return do(c)
	}
	if refusal, ok := f.authorize(media, c); !ok {
		return refusal
	}
	left, ok := f.spend(op)
	if !ok {
		f.count.Throttled++
		return f.throttled(media, left.reset).with(left)
	}
	if c.Header.Get("Accept") != media {
		f.noteLocked("%s: Accept is %q, not %s", op, c.Header.Get("Accept"), media)
		return f.problem(media, http.StatusNotAcceptable, "The Accept header does not name a version of this resource.").with(left)
	}
	if len(c.body) > 0 && c.Header.Get("Content-Type") != media {
		f.noteLocked("%s: Content-Type is %q, not %s", op, c.Header.Get("Content-Type"), media)
		return f.problem(media, http.StatusUnsupportedMediaType, "The Content-Type header does not name a version of this resource.").with(left)
	}
	return do(c).with(left)
}

// authorize checks the access token. Callers hold mu.
func (f *Fake) authorize(media string, c call) (answer, bool) {
	value, bearer := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		f.noteLocked("%s %s: there is no bearer token", c.Method, c.URL.Path)
	}
	if end, ok := f.tokens[value]; ok && time.Now().Before(end) && !f.denied {
		return answer{}, true
	}
	return f.problem(media, http.StatusUnauthorized, "The access token is missing, unknown or expired."+f.rude(value)), false
}

// rude is what a refusal repeats of what it was sent.
func (f *Fake) rude(value string) string {
	if !f.opts.Rude {
		return ""
	}
	return fmt.Sprintf(" (Authorization: Bearer %s; secret %s)", value, f.opts.ClientSecret)
}

// login answers OAuth 2 client credentials.
func (f *Fake) login(c call) answer {
	if media := c.Header.Get("Content-Type"); media != "application/x-www-form-urlencoded" || string(c.body) != "grant_type=client_credentials" {
		f.noteLocked("login: %s with the form %q", media, c.body)
		return answer{status: http.StatusBadRequest, media: "application/json", body: map[string]string{"error": "unsupported_grant_type"}}
	}
	id, secret, ok := c.BasicAuth()
	if !ok || id != f.opts.ClientID || secret != f.opts.ClientSecret || f.denied {
		return answer{status: http.StatusUnauthorized, media: "application/json", body: map[string]string{
			"error": "invalid_client", "error_description": "The client is not known." + f.rude(secret),
		}}
	}
	value := "token." + f.opts.TokenPart + "." + token(12)
	f.tokens[value] = time.Now().Add(f.opts.TokenLife)
	return answer{status: http.StatusOK, media: "application/json", body: map[string]any{
		"access_token": value, "token_type": "Bearer", "expires_in": int(f.opts.TokenLife.Seconds()), "scope": "RETAILER",
	}}
}

// Deny makes bol refuse our credentials, tokens included, or ends that.
func (f *Fake) Deny(denied bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied = denied
	f.bump()
}

// Revoke ends all access tokens before their time.
func (f *Fake) Revoke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.tokens)
	f.bump()
}

// window is the time in which an operation's limit counts.
type window struct {
	end  time.Time
	used int
}

// left is what an answer's headers say of the limit.
type left struct {
	limit, remaining int
	reset            time.Duration
}

// spend counts a call against its operation's limit. Callers hold mu.
func (f *Fake) spend(op string) (left, bool) {
	limit, ok := f.opts.Limits[op]
	if !ok {
		limit = Limit{Calls: 1 << 20, Per: time.Second}
	}
	now := time.Now()
	w := f.windows[op]
	if w == nil || !now.Before(w.end) {
		w = &window{end: now.Add(limit.Per)}
		f.windows[op] = w
	}
	l := left{limit: limit.Calls, reset: w.end.Sub(now)}
	if w.used >= limit.Calls {
		return l, false
	}
	w.used++
	l.remaining = limit.Calls - w.used
	return l, true
}

// SetLimit changes an operation's limit from now on.
func (f *Fake) SetLimit(op string, l Limit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limits := map[string]Limit{op: l}
	for name, old := range f.opts.Limits {
		if name != op {
			limits[name] = old
		}
	}
	f.opts.Limits = limits
	delete(f.windows, op)
}

// headers are the limit's, in whole seconds rounded up.
func (l left) headers() map[string]string {
	seconds := int((l.reset + time.Second - 1) / time.Second)
	return map[string]string{
		"X-RateLimit-Limit": strconv.Itoa(l.limit), "X-RateLimit-Remaining": strconv.Itoa(l.remaining), "X-RateLimit-Reset": strconv.Itoa(seconds),
	}
}

func token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b)
}

// uuid is a random one (RFC 9562 version 4).
func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // as above
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (f *Fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noteLocked(format, args...)
}

// noteLocked notes a breach of the contract that no document can be the reason
// of. Callers hold mu.
func (f *Fake) noteLocked(format string, args ...any) {
	if len(f.bad) < maxNoted {
		f.bad = append(f.bad, fmt.Sprintf(format, args...))
	}
}

// Violations are the sender's breaches of bol's contract, the first 1,000.
func (f *Fake) Violations() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bad)
}

// Forgive forgets the violations so far, and says what they were.
func (f *Fake) Forgive() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	bad := f.bad
	f.bad = nil
	return bad
}
