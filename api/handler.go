package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim/postgres"
)

// call is what is known of one request while it runs.
type call struct {
	n     uint64
	op    string // the operation that answers; "" until one is found
	key   postgres.APIKey
	begun time.Time
}

type callKey struct{}

// callOf is the request's record; an empty one outside requests.
func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// Requests are named by a prefix that is the process's own and a number.
var (
	requestPrefix = rand.Text()[:10] + "-"
	requestCount  atomic.Uint64
)

func (c *call) id() string { return requestPrefix + strconv.FormatUint(c.n, 36) }

// Header values that every answer shares.
var (
	headNosniff  = []string{"nosniff"}
	headReferrer = []string{"no-referrer"}
	headNoStore  = []string{"no-store"}
	headPolicy   = []string{"default-src 'none'; frame-ancestors 'none'"}
)

// handler is everything around the operations: the request's name and record,
// panics, what the mux answers itself, headers, log and metrics.
func (s *server) handler() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c := &call{n: requestCount.Add(1), begun: time.Now()}
		w := &writer{ResponseWriter: rw, call: c}
		h := rw.Header()
		h["X-Content-Type-Options"] = headNosniff
		h["Referrer-Policy"] = headReferrer
		h["Content-Security-Policy"] = headPolicy
		h["Cache-Control"] = headNoStore
		h["X-Request-Id"] = []string{c.id()}
		r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
		defer func() {
			if v := recover(); v != nil {
				s.recovered(w, r, v)
			}
			s.done(w, r, c)
		}()
		if p := readable(r); p != nil {
			p.write(w)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// recovered answers for an operation that panicked, or breaks the connection
// when the answer has begun: a cut answer must not look like a whole one.
func (s *server) recovered(w *writer, r *http.Request, v any) {
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.Log.LogAttrs(r.Context(), slog.LevelError, "request panicked", slog.String("request", w.call.id()),
		slog.String("operation", w.call.op), slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	if w.status != 0 {
		s.done(w, r, w.call)
		panic(http.ErrAbortHandler)
	}
	p := problem(http.StatusInternalServerError, "internal", internalText)
	p.Instance = instance(r.Context())
	p.write(w)
}

// done counts the request, and logs it when somebody wants to see each.
func (s *server) done(w *writer, r *http.Request, c *call) {
	took := time.Since(c.begun)
	code := w.status
	if code == 0 {
		code = http.StatusOK
	}
	s.metrics.observe(c.op, code, took)
	if ctx := r.Context(); s.Log.Enabled(ctx, slog.LevelDebug) {
		s.Log.LogAttrs(ctx, slog.LevelDebug, "request", slog.String("request", c.id()), slog.String("operation", c.op),
			slog.String("method", r.Method), slog.Int("status", code), slog.Duration("took", took), slog.String("key", c.key.Name))
	}
}

// readable refuses addresses whose text no query could take: PostgreSQL's
// strings are UTF-8 without U+0000.
func readable(r *http.Request) *Problem {
	text := func(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
	if !text(r.URL.Path) {
		return problem(http.StatusBadRequest, "bad-request", "the address is not UTF-8 text", inParameter("path", "text", "not UTF-8, or with U+0000"))
	}
	if r.URL.RawQuery != "" {
		if q, err := url.QueryUnescape(r.URL.RawQuery); err != nil || !text(q) {
			return problem(http.StatusBadRequest, "bad-request", "the query is not UTF-8 text", inParameter("query", "text", "not UTF-8, or with U+0000"))
		}
	}
	return nil
}

// writer notes the status, and turns what the mux itself answers to unknown
// paths and methods into problems.
type writer struct {
	http.ResponseWriter
	call   *call
	status int
	mute   bool // the mux's own text follows
}

// Unwrap lets http.ResponseController through.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader notes the status.
func (w *writer) WriteHeader(code int) {
	if w.status != 0 {
		return
	}
	if w.call.op == "" && w.Header().Get("Content-Type") != typeProblem {
		if p := unrouted(code, w.Header().Get("Allow")); p != nil {
			w.status, w.mute = code, true
			p.write(w.ResponseWriter)
			return
		}
	}
	if code >= 200 { // 1xx may be followed by others
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write writes the body, but not the mux's.
func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.mute {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// unrouted is the problem of a request that no operation answers.
func unrouted(code int, allow string) *Problem {
	switch code {
	case http.StatusNotFound:
		return problem(code, "not-found", "there is nothing at this address; /docs shows what there is")
	case http.StatusMethodNotAllowed:
		return problem(code, "method", fmt.Sprintf("this address takes %s", allow))
	}
	if code >= 400 {
		return problem(code, "bad-request", "")
	}
	return nil
}
