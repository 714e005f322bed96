package httpx

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicehub/sluice/connectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is allowed to reach the test's own servers.
func client(t *testing.T, o Options) *Client {
	t.Helper()
	o.AllowPrivate = true
	c := New(o)
	t.Cleanup(c.CloseIdle)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// rawServer hands each connection to handle, with its number from 0, and closes it.
func rawServer(t *testing.T, handle func(n int, conn *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				handle(n, conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// readRequest takes a request whose body is "ping" or absent off conn.
func readRequest(t *testing.T, conn net.Conn) bool {
	var got []byte
	b := make([]byte, 4096)
	for {
		n, err := conn.Read(b)
		got = append(got, b[:n]...)
		head, body, whole := strings.Cut(string(got), "\r\n\r\n")
		if whole && (body == "ping" || !strings.Contains(head, "Content-Length")) {
			return true
		}
		if err != nil {
			if len(got) > 0 {
				t.Errorf("connection ends within a request: %q, %v", got, err)
			}
			return false
		}
	}
}

func request(t *testing.T, method, target string) *http.Request {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("ping")
	}
	req, err := http.NewRequest(method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func wantError(t *testing.T, err error, verdict connectors.Verdict, uncertain bool, text string) *connectors.Error {
	t.Helper()
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok {
		t.Fatalf("error %v (%T) is not a *connectors.Error", err, err)
	}
	if e.Verdict != verdict || e.Uncertain != uncertain || !strings.Contains(e.Error(), text) {
		t.Errorf("error = %v, uncertain %v; want %s, uncertain %v, %q", e, e.Uncertain, verdict, uncertain, text)
	}
	return e
}

func TestAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.Header().Set("X-Seen", r.UserAgent()+" "+user+":"+password)
		w.WriteHeader(http.StatusAccepted)
		io.Copy(w, r.Body)
	})
	c := client(t, Options{Version: "1.2"})
	target := strings.Replace(s.URL, "http://", "http://ck:cs@", 1)
	resp, err := c.Do(t.Context(), request(t, http.MethodPost, target))
	if err != nil || Check(resp) != nil {
		t.Fatal(err, Check(resp))
	}
	if resp.Status != 202 || string(resp.Body) != "ping" || resp.Header.Get("X-Seen") != "sluice/1.2 ck:cs" {
		t.Errorf("response = %d %q %v", resp.Status, resp.Body, resp.Header)
	}
	if d := New(Options{}); d.timeout != 30*time.Second || d.maxBody != 8<<20 || d.agent != "sluice/dev" {
		t.Errorf("defaults = %v %v %v", d.timeout, d.maxBody, d.agent)
	}
}

func TestNothingSent(t *testing.T) {
	c := client(t, Options{})

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = c.Do(t.Context(), request(t, http.MethodPost, "http://"+l.Addr().String()))
	wantError(t, err, connectors.Unavailable, false, "connection refused; nothing was sent")

	plain := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("request arrived") })
	_, err = c.Do(t.Context(), request(t, http.MethodPost, strings.Replace(plain.URL, "http", "https", 1)))
	wantError(t, err, connectors.Unavailable, false, "nothing was sent")

	secure := tlsServer(t, func(http.ResponseWriter, *http.Request) { t.Error("request arrived") })
	_, err = c.Do(t.Context(), request(t, http.MethodPost, secure.URL))
	wantError(t, err, connectors.Unavailable, false, "x509")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Do(cancelled, request(t, http.MethodPost, plain.URL))
	if e := wantError(t, err, connectors.Unavailable, false, "cancelled; nothing was sent"); !errors.Is(e, context.Canceled) {
		t.Errorf("%v is not context.Canceled", e)
	}

	for _, target := range []string{"ftp://example.com/", "file:///etc/passwd", "http:///x", "gopher://127.0.0.1:70/"} {
		_, err = c.Do(t.Context(), request(t, http.MethodGet, target))
		wantError(t, err, connectors.Permanent, false, "the URL")
	}
	bad := request(t, http.MethodPost, plain.URL)
	bad.Header.Set("X-Key", "a\nsecret")
	_, err = c.Do(t.Context(), bad)
	if e := wantError(t, err, connectors.Permanent, false, "X-Key"); strings.Contains(e.Error(), "secret") {
		t.Errorf("error quotes a header's value: %v", e)
	}
}

func tlsServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// A process that was paused finds its deadline passed while its timers have not
// run. The clock jumps here between getting the connection and the first write.
func TestPausedProcessSendsNothing(t *testing.T) {
	arrived := make(chan bool, 1)
	raw := rawServer(t, func(_ int, conn *net.TCPConn) { arrived <- readRequest(t, conn) })
	secure := tlsServer(t, func(http.ResponseWriter, *http.Request) { t.Error("request arrived over TLS") })
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())

	// One clock jumps alone: both do in a stopped process, only the wall clock
	// in a suspended machine, only the monotonic one where the wall was set back.
	for _, name := range []string{"monotonic", "wall"} {
		for _, target := range []string{raw, secure.URL} {
			var paused atomic.Bool
			c := client(t, Options{RootCAs: roots})
			clock := &c.now
			if name == "wall" {
				clock = &c.wall
			}
			real := *clock
			*clock = func() time.Time {
				if paused.Load() {
					return real().Add(time.Hour)
				}
				return real()
			}
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				GotConn: func(httptrace.GotConnInfo) { paused.Store(true) },
			})
			_, err := c.Do(ctx, request(t, http.MethodPost, target))
			e := wantError(t, err, connectors.Unavailable, false, "no answer before the deadline; nothing was sent")
			if !errors.Is(e, context.DeadlineExceeded) {
				t.Errorf("%s: %v is not context.DeadlineExceeded", name, e)
			}
			if target == raw && <-arrived {
				t.Errorf("%s: a late request went out", name)
			}
		}
	}
}

func TestLostAnswer(t *testing.T) {
	cases := map[string]struct {
		handle func(conn *net.TCPConn)
		text   string
	}{
		"end":         {func(*net.TCPConn) {}, "EOF"},
		"reset":       {func(c *net.TCPConn) { c.SetLinger(0) }, "reset"},
		"half a head": {func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le") }, "broken"},
		"not HTTP":    {func(c *net.TCPConn) { io.WriteString(c, "220 \x1b[31mmail ready\r\n\r\n") }, "malformed"},
		"half a body": {func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}") }, "breaks off"},
		"reset body": {func(c *net.TCPConn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
			c.SetLinger(0)
		}, "reset"},
		"endless head": {func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)) }, "may have been applied"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			target := rawServer(t, func(_ int, conn *net.TCPConn) {
				if readRequest(t, conn) {
					tc.handle(conn)
				}
			})
			_, err := client(t, Options{}).Do(t.Context(), request(t, http.MethodPost, target))
			e := wantError(t, err, connectors.Unavailable, true, tc.text)
			if strings.Contains(e.Error(), "\x1b") {
				t.Errorf("control character in %q", e.Error())
			}
		})
	}
}

func TestHangingTarget(t *testing.T) {
	for name, head := range map[string]string{"no answer": "", "no body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"} {
		hangs := func() (target string, received chan struct{}) {
			received = make(chan struct{}, 1)
			return rawServer(t, func(_ int, conn *net.TCPConn) {
				if readRequest(t, conn) {
					io.WriteString(conn, head)
					received <- struct{}{}
					io.Copy(io.Discard, conn) // until the client gives up
				}
			}), received
		}
		// Only a request that got there proves anything, and how long that takes is the machine's affair.
		for wait, there := 50*time.Millisecond, false; !there; wait *= 2 {
			target, received := hangs()
			_, err := client(t, Options{Timeout: wait}).Do(t.Context(), request(t, http.MethodPost, target))
			select {
			case <-received:
				there = true
				if e := wantError(t, err, connectors.Unavailable, true, "no answer before the deadline"); !errors.Is(e, context.DeadlineExceeded) {
					t.Errorf("%s: %v is not context.DeadlineExceeded", name, e)
				}
			default:
				if err == nil {
					t.Fatalf("%s: no error", name)
				}
			}
		}

		target, received := hangs()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-received
			cancel()
		}()
		_, err := client(t, Options{Timeout: time.Minute}).Do(ctx, request(t, http.MethodPost, target))
		if e := wantError(t, err, connectors.Unavailable, true, "cancelled; the request may have been applied"); !errors.Is(e, context.Canceled) {
			t.Errorf("%s: %v is not context.Canceled", name, e)
		}
	}
}

// The second request on a kept connection is read and the connection lost. A
// GET may be repeated; net/http would also repeat a POST and a DELETE with an
// Idempotency-Key, and reports the repetition's success.
func TestRepetition(t *testing.T) {
	for _, tc := range []struct {
		method string
		key    bool
		again  int
	}{
		{http.MethodGet, false, 1},
		{http.MethodPost, false, 0},
		{http.MethodPost, true, 0},
		{http.MethodDelete, true, 0},
	} {
		var again atomic.Int64
		target := rawServer(t, func(n int, conn *net.TCPConn) {
			for i := 0; readRequest(t, conn); i++ {
				if n == 0 && i == 1 {
					return
				}
				if n > 0 {
					again.Add(1)
				}
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			}
		})
		c := client(t, Options{})
		req := func() *http.Request {
			r := request(t, tc.method, target)
			if tc.key {
				r.Header.Set("Idempotency-Key", "k")
			}
			return r
		}
		if _, err := c.Do(t.Context(), req()); err != nil {
			t.Fatal(err)
		}
		_, err := c.Do(t.Context(), req())
		if tc.again > 0 {
			if err != nil {
				t.Errorf("%s: %v", tc.method, err)
			}
		} else {
			wantError(t, err, connectors.Unavailable, true, "the request may have been applied")
		}
		c.CloseIdle()
		if got := int(again.Load()); got != tc.again {
			t.Errorf("%s, key %v: repeated %d times, want %d", tc.method, tc.key, got, tc.again)
		}
	}
}

func TestBodyBound(t *testing.T) {
	const bound = 1 << 16
	c := client(t, Options{MaxBody: bound})
	var status, size int
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, strings.Repeat("x", size))
	})
	for _, tc := range []struct {
		status, size int
		fits         bool
	}{{200, bound, true}, {200, bound + 1, false}, {500, bound + 1, true}} {
		status, size = tc.status, tc.size
		resp, err := c.Do(t.Context(), request(t, http.MethodPost, s.URL))
		if tc.fits {
			if err != nil || resp.Status != tc.status || len(resp.Body) != bound {
				t.Errorf("%+v: %v", tc, err)
			}
			continue
		}
		wantError(t, err, connectors.Permanent, true, "longer than 65536 bytes")
	}

	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	})
	_, err := c.Do(t.Context(), request(t, http.MethodPost, endless.URL))
	wantError(t, err, connectors.Permanent, true, "longer than")

	bomb := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		z.Write(make([]byte, 1<<24))
		z.Close()
	})
	_, err = c.Do(t.Context(), request(t, http.MethodPost, bomb.URL))
	wantError(t, err, connectors.Permanent, true, "longer than")
}

// A refusal counts even where its explanation breaks off.
func TestRefusalWithBrokenBody(t *testing.T) {
	target := rawServer(t, func(_ int, conn *net.TCPConn) {
		if readRequest(t, conn) {
			io.WriteString(conn, "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\nslow do")
		}
	})
	resp, err := client(t, Options{}).Do(t.Context(), request(t, http.MethodPost, target))
	if err != nil {
		t.Fatal(err)
	}
	if e := wantError(t, Check(resp), connectors.Throttled, false, "slow do"); e.After != 7*time.Second {
		t.Errorf("after = %v", e.After)
	}
}

// As many calls in parallel as a channel may make keep their connections.
func TestConnectionsAreKept(t *testing.T) {
	var (
		fresh   atomic.Int64
		arrived sync.WaitGroup
	)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		arrived.Wait()
		io.WriteString(w, "ok")
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			fresh.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := client(t, Options{})
	for range 3 {
		arrived.Add(idlePerHost)
		var calls sync.WaitGroup
		for range idlePerHost {
			calls.Go(func() {
				if _, err := c.Do(t.Context(), request(t, http.MethodPost, s.URL)); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	}
	if got := fresh.Load(); got != idlePerHost {
		t.Errorf("%d connections for 3 × %d calls", got, idlePerHost)
	}
}
