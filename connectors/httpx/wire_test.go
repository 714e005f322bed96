package httpx_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
)

type heard struct {
	refuse error
	all    []connectors.Exchange
}

func (h *heard) Pass(context.Context) error                      { return h.refuse }
func (h *heard) Heard(_ context.Context, x *connectors.Exchange) { h.all = append(h.all, *x) }

func TestWireHearsWithoutSecrets(t *testing.T) {
	t.Parallel()
	asked := 0
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("X-RateLimit-Remaining", "7")
		w.Header().Set("Set-Cookie", "session=abc")
		_, _ = w.Write([]byte(`{"access_token": "fresh\"ly", "name": "boot", "key": "hunter2hunter2"}`))
	}))
	defer target.Close()
	wire := &heard{}
	c := httpx.New(httpx.Options{AllowPrivate: true, Secrets: []string{"hunter2hunter2"}, Wire: wire})
	post := func() error {
		req, _ := http.NewRequest(http.MethodPost, target.URL+"/login?key=hunter2hunter2", strings.NewReader(`grant_type=x&client_secret=other&note=hunter2hunter2`))
		req.Header.Set("Authorization", "Bearer hunter2hunter2")
		_, err := c.Do(t.Context(), req)
		return err
	}
	if err := post(); err != nil {
		t.Fatal(err)
	}
	if len(wire.all) != 1 {
		t.Fatalf("%d exchanges heard, want 1", len(wire.all))
	}
	x := wire.all[0]
	request, answer := x.Bodies()
	if request != "grant_type=x&client_secret=[redacted]&note=[redacted]" || x.Sent != 52 {
		t.Errorf("request %q of %d bytes", request, x.Sent)
	}
	if answer != `{"access_token": "[redacted]", "name": "boot", "key": "[redacted]"}` {
		t.Errorf("answer %q", answer)
	}
	if x.Status != 200 || x.Method != "POST" || x.URL != target.URL+"/login" || x.Header.Get("X-Ratelimit-Remaining") != "7" || x.Header.Get("Set-Cookie") != "" {
		t.Errorf("heard %+v", x)
	}
	wire.refuse = &connectors.Error{Verdict: connectors.Throttled}
	if err := post(); connectors.AsError(err).Verdict != connectors.Throttled {
		t.Errorf("a request that may not pass: %v", err)
	}
	if asked != 1 || len(wire.all) != 1 {
		t.Errorf("the target was asked %d times, want 1", asked)
	}
	target.Close()
	wire.refuse = nil
	if err := post(); err == nil || len(wire.all) != 2 || wire.all[1].Err == "" || wire.all[1].Status != 0 {
		t.Errorf("no answer: %v, heard %+v", err, wire.all[len(wire.all)-1])
	}
}

// What is confided is told to nobody, though how much it was is.
func TestConfidedBodiesStayUntold(t *testing.T) {
	t.Parallel()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`["5e55i0n"]`)) // no field's name gives it away
	}))
	defer target.Close()
	wire := &heard{}
	c := httpx.New(httpx.Options{AllowPrivate: true, Wire: wire})
	for _, ctx := range []context.Context{t.Context(), connectors.Confide(t.Context())} {
		req, _ := http.NewRequest(http.MethodPost, target.URL, strings.NewReader(`["s3cret"]`))
		if _, err := c.Do(ctx, req); err != nil {
			t.Fatal(err)
		}
	}
	if asked, answered := wire.all[0].Bodies(); asked != `["s3cret"]` || answered != `["5e55i0n"]` {
		t.Errorf("what is not confided: %q, %q", asked, answered)
	}
	x := wire.all[1]
	if asked, answered := x.Bodies(); asked != "" || answered != "" || x.Sent != 10 || x.Received != 11 {
		t.Errorf("confided: %q of %d bytes, %q of %d", asked, x.Sent, answered, x.Received)
	}
}
