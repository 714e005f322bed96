package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// TestHouse asks what needs no key.
func TestHouse(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for path, kind := range map[string]string{
		"/healthz": typeJSON, "/readyz": typeJSON, "/metrics": "text/plain", "/openapi.json": "application/openapi+json", "/docs": "text/html",
		"/docs/swagger-ui.css": "text/css", "/docs/swagger-ui-bundle.js": "application/javascript",
	} {
		r := k.want(k.do("", "GET", path, nil), 200, nil)
		if !strings.HasPrefix(r.Header.Get("Content-Type"), kind) || len(r.body) == 0 && path != "/metrics" || r.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s, %d bytes", path, r.Header.Get("Content-Type"), len(r.body))
		}
	}
	var doc map[string]any
	k.want(k.do("", "GET", "/openapi.json", nil), 200, &doc)
	if doc["openapi"] != "3.1.0" {
		t.Errorf("openapi %v", doc["openapi"])
	}
	k.do(Viewer, "GET", "/v1/products/SECRET-SKU", nil)
	m := string(k.want(k.do("", "GET", "/metrics", nil), 200, nil).body)
	if !strings.Contains(m, `sluice_http_requests_total{class="4xx",operation="get-product"} 1`) || strings.Contains(m, "SECRET-SKU") {
		t.Errorf("metrics:\n%s", m)
	}
}

// TestDocsComeFromHere: the viewer's page loads nothing from anywhere else.
func TestDocsComeFromHere(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	r := k.want(k.do("", "GET", "/docs", nil), 200, nil)
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(string(r.body), -1) {
		if !strings.HasPrefix(m[1], "/docs/") {
			t.Errorf("the page loads %s", m[1])
		}
		k.want(k.do("", "GET", m[1], nil), 200, nil)
	}
	if hosts := regexp.MustCompile(`https?://[a-z0-9]`).FindAllString(string(r.body), -1); hosts != nil {
		t.Errorf("the page names hosts: %v", hosts)
	}
	if !strings.Contains(r.Header.Get("Content-Security-Policy"), "default-src 'self'") {
		t.Errorf("policy: %s", r.Header.Get("Content-Security-Policy"))
	}
}

// TestNotReady: what keeps the process from serving is not told to everybody.
func TestNotReady(t *testing.T) {
	t.Parallel()
	asked := 0
	k := newKit(t, func(c *Config) {
		c.Ready = func(context.Context) error { asked++; return errors.New("relation goose_db_version does not exist") }
	})
	for range 3 {
		r := k.want(k.do("", "GET", "/readyz", nil), 503, nil)
		if strings.Contains(string(r.body), "goose") || r.Header.Get("Retry-After") == "" {
			t.Errorf("readyz: %s", r.body)
		}
	}
	if asked > 2 { // a second may end between the requests
		t.Errorf("the database was asked %d times", asked)
	}
	k.want(k.do("", "GET", "/healthz", nil), 200, nil)
}

// TestUnrouted: what no operation answers is a problem too.
func TestUnrouted(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/", 404}, {"GET", "/v1/nothing", 404}, {"DELETE", "/v1/products", 405}, {"POST", "/healthz", 405}, {"GET", "/v1/products/a/b", 404}, {"GET", "/docs/nothing.js", 404},
	} {
		r := k.do(Admin, c.method, c.path, nil)
		if c.path == "/docs/nothing.js" { // the file server's own
			if r.StatusCode != 404 {
				t.Errorf("%s: %d", c.path, r.StatusCode)
			}
			continue
		}
		var p Problem
		k.want(r, c.want, &p)
		if p.Status != c.want || !strings.HasPrefix(p.Type, typePrefix) || p.Title == "" {
			t.Errorf("%s %s: %s", c.method, c.path, r.body)
		}
		if c.want == 405 && r.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
	m := string(k.do("", "GET", "/metrics", nil).body)
	if !strings.Contains(m, `sluice_http_requests_total{class="4xx",operation="none"}`) {
		t.Error("unrouted requests are not counted")
	}
}

// TestFailuresSayNothing: errors from inside and panics are 500s with a name
// for the log, which has the rest.
func TestFailuresSayNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	const inside = `ERROR: relation "product" does not exist (SQLSTATE 42P01)`
	k.s.mux.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic(inside) })
	k.s.mux.HandleFunc("GET /late", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		panic(inside)
	})
	r := k.want(k.do("", "GET", "/panic", nil), 500, nil)
	var p Problem
	if err := json.Unmarshal(r.body, &p); err != nil || strings.Contains(string(r.body), "relation") {
		t.Errorf("a panic: %s (%v)", r.body, err)
	}
	id := r.Header.Get("X-Request-Id")
	if p.Instance != "urn:sluice:request:"+id || !strings.Contains(k.log.String(), id) || !strings.Contains(k.log.String(), "42P01") {
		t.Errorf("instance %s, request %s, log %s", p.Instance, id, k.log)
	}
	resp, err := http.Get(k.url + "/late")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("an answer that was cut looks whole")
	}
	// A table that is gone, under a real operation.
	if _, err := k.store.Pool().Exec(t.Context(), `alter table api_key rename to api_key_gone`); err != nil {
		t.Fatal(err)
	}
	r = k.want(k.do(Admin, "GET", "/v1/keys", nil), 500, &p)
	if s := string(r.body); strings.Contains(s, "api_key") || strings.Contains(s, "42P01") || p.Instance == "" {
		t.Errorf("a failure of the database: %s", s)
	}
}

// TestProblemOf maps every kind of error to its status.
func TestProblemOf(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, c := range []struct {
		err  error
		want int
	}{
		{postgres.ErrNotFound, 404},
		{postgres.ErrStale, 412},
		{postgres.ErrExists, 409},
		{postgres.ErrInUse, 409},
		{postgres.ErrKeyReused, 422},
		{&pim.Invalid{Problems: []pim.Problem{{Pointer: "/a", Code: "x"}}}, 422},
		{&connectors.Error{Verdict: connectors.Auth, Err: errors.New("401")}, 502},
		{&connectors.Error{Verdict: connectors.Throttled, After: 1}, 503},
		{&http.MaxBytesError{Limit: 1}, 413},
		{context.Canceled, 499},
		{context.DeadlineExceeded, 503},
		{&pgconn.PgError{Code: "57P01", Message: "terminating"}, 503},
		{&pgconn.PgError{Code: "42P01", Message: "relation"}, 500},
		{errors.New("secret text"), 500},
	} {
		p := k.s.problem(t.Context(), errors.Join(errors.New("while at it"), c.err))
		if p.Status != c.want {
			t.Errorf("%v: %d, want %d", c.err, p.Status, c.want)
		}
		if raw, err := json.Marshal(p); err != nil || strings.Contains(string(raw), "secret text") || strings.Contains(string(raw), "relation") {
			t.Errorf("%v: %s (%v)", c.err, raw, err)
		}
	}
	// A database that is away.
	if _, err := postgres.Open(t.Context(), "postgres://x@127.0.0.1:1/x", postgres.Options{}); k.s.problem(t.Context(), err).Status != 503 {
		t.Errorf("no database: %v", err)
	}
}

// TestServerHasLimits: a client that dawdles with its header is let go.
func TestServerHasLimits(t *testing.T) {
	t.Parallel()
	s := Server("127.0.0.1:0", http.NotFoundHandler())
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 {
		t.Errorf("no limits: %+v", s)
	}
	k := newKit(t)
	srv := httptest.NewUnstartedServer(k.s.handler())
	srv.Config = Server("", k.s.handler())
	srv.Start()
	defer srv.Close()
	// A header of 64 KiB.
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	}()
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 431" {
		t.Errorf("a huge header: %s (%v)", answer, err)
	}
}
