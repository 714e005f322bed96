package httpx

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluicehub/sluice/connectors"
)

func TestRedirects(t *testing.T) {
	var elsewhere atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	var posts atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "k" {
			t.Error("key got lost")
		}
		if r.Method == http.MethodPost {
			posts.Add(1)
		}
		switch r.URL.Path {
		case "/end":
			io.WriteString(w, "end")
		case "/away":
			http.Redirect(w, r, other.URL+"/?token=t", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/none":
			w.WriteHeader(http.StatusFound)
		case "/bad":
			w.Header().Set("Location", "http://[::1?token=t")
			w.WriteHeader(http.StatusFound)
		default:
			http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
		}
	})
	c := client(t, Options{})
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/start", 200},
		{http.MethodGet, "/away", 302},
		{http.MethodGet, "/loop", 302},
		{http.MethodGet, "/none", 302},
		{http.MethodGet, "/bad", 302},
		{http.MethodPost, "/start", 307},
	} {
		req := request(t, tc.method, s.URL+tc.path)
		req.Header.Set("X-Key", "k")
		resp, err := c.Do(t.Context(), req)
		if err != nil || resp.Status != tc.status {
			t.Fatalf("%s %s = %+v, %v; want %d", tc.method, tc.path, resp, err, tc.status)
		}
		if tc.status >= 300 {
			if e := wantError(t, Check(resp), connectors.Permanent, false, "correct the configured URL"); strings.Contains(e.Error(), "token") {
				t.Errorf("error quotes the location: %v", e)
			}
		}
	}
	if elsewhere.Load() != 0 || posts.Load() != 1 {
		t.Errorf("%d requests to another host, %d posts; want 0, 1", elsewhere.Load(), posts.Load())
	}
}

func TestGuard(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("request arrived") })
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{
		u.Host, "localhost:" + u.Port(), "0.0.0.0:" + u.Port(), "[::ffff:127.0.0.1]:" + u.Port(),
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254",
	}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		l.Close()
		hosts = append(hosts, "[::1]", "[fe80::1]", "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]")
	}
	c := New(Options{})
	t.Cleanup(c.CloseIdle)
	for _, host := range hosts {
		_, err := c.Do(t.Context(), request(t, http.MethodGet, "http://"+host+"/x"))
		e := wantError(t, err, connectors.Permanent, false, "target address is private, and the channel was not made with --allow-private-targets")
		if strings.Contains(e.Error(), "denied by") {
			t.Errorf("%s: error explains the guard: %v", host, e)
		}
	}
	if c.transport.Proxy != nil {
		t.Error("a proxy is used, which the guard cannot see through")
	}
}
