// Package translationtest is the suite that every translation provider runs
// against its fake: what the contract promises, and each fault that services have.
package translationtest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/faulty"
	"github.com/sluicehub/sluice/pim"
)

// Fake is what the suite needs of a fake.
type Fake interface {
	http.Handler
	Play(faults ...faulty.Fault)
	Calls() int
}

// Harness is one provider's part.
type Harness struct {
	// Fake makes a fake, whose refusals repeat the key that they were sent.
	Fake func(t *testing.T) Fake
	// Connect makes a provider for the service at url, with Key where it has keys.
	Connect func(t *testing.T, url string, env translation.Env) translation.Provider
	// Wrap stands between provider and fake; nil for nothing.
	Wrap func(http.Handler) http.Handler

	From, To pim.Locale    // a pair that the fake has
	Unknown  [2]pim.Locale // one that it lacks
	Lacks    []faulty.Kind // faults that the service cannot have
}

// Key is the key that harnesses use. It appears in no error.
const Key = "sEcReT-kEy+/=7f3a"

// Serve starts a fake for the length of a test.
func (h Harness) Serve(t *testing.T) (Fake, string) {
	t.Helper()
	fake := h.Fake(t)
	var handler http.Handler = fake
	if h.Wrap != nil {
		handler = h.Wrap(fake)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		fake.Play()
		server.CloseClientConnections()
		server.Close()
	})
	return fake, server.URL
}

func (h Harness) start(t *testing.T, limits translation.Limits) (Fake, translation.Provider) {
	t.Helper()
	fake, url := h.Serve(t)
	return fake, h.Connect(t, url, translation.Env{AllowPrivate: true, Version: "test", Limits: limits})
}

// texts have what texts have.
var texts = []string{
	`The <g id="1">red</g> kettle <x id="2"/> holds <x id="3"/> of water.`,
	`Salt &amp; pepper &lt; 5 &gt; 3 "quoted" 'it'`,
	``,
	`  <x id="7"/> – 12 `,
	"Ünïcödé 漢字 😀\nsecond line ",
	`<g id="1">Bold <g id="2">and <x id="3"/> italic</g></g>`,
}

func (h Harness) request() translation.Request {
	return translation.Request{
		From: h.From, To: h.To, Texts: texts, Context: "A kettle of steel", Forbidden: []string{"pot"},
		Terms: []translation.Term{{From: "kettle", To: "caldera"}},
	}
}

// Run is the suite.
func Run(t *testing.T, h Harness) {
	t.Run("translates", h.translates)
	t.Run("nothing to do", h.nothing)
	t.Run("pair", h.pair)
	t.Run("too large", h.tooLarge)
	t.Run("faults", h.faults)
	t.Run("hang", h.hang)
	t.Run("cancelled", h.cancelled)
	t.Run("outage", h.outage)
	t.Run("probe", h.probe)
	t.Run("concurrent", h.concurrent)
}

// Tags are a fragment's tags, sorted; nil when it is no fragment.
func Tags(fragment string) []string {
	pieces, err := translation.Pieces(fragment)
	if err != nil {
		return nil
	}
	tags := []string{}
	for _, p := range pieces {
		if p.Mark != translation.Text {
			tags = append(tags, translation.Fragment([]translation.Piece{p}))
		}
	}
	slices.Sort(tags)
	return tags
}

func wantAnswer(t *testing.T, sent []string, a *translation.Answer) {
	t.Helper()
	if len(a.Texts) != len(sent) || a.Model == "" || a.Characters == 0 {
		t.Fatalf("%+v", a)
	}
	for i, text := range a.Texts {
		if !slices.Equal(Tags(text), Tags(sent[i])) || Tags(text) == nil {
			t.Errorf("%q became %q", sent[i], text)
		}
		if (text == "") != (sent[i] == "") || strings.HasSuffix(sent[i], " ") != strings.HasSuffix(text, " ") {
			t.Errorf("%q became %q", sent[i], text)
		}
	}
	for _, part := range []string{"&amp;", "&lt;", "&gt;", `"`, "'"} {
		if !strings.Contains(a.Texts[1], part) {
			t.Errorf("%s is lost: %q", part, a.Texts[1])
		}
	}
	if !strings.Contains(a.Texts[4], "😀") || !strings.Contains(a.Texts[4], "\n") {
		t.Errorf("%q", a.Texts[4])
	}
	if a.Texts[0] == sent[0] || a.Texts[3] != sent[3] {
		t.Errorf("%q, %q", a.Texts[0], a.Texts[3])
	}
}

func (h Harness) translates(t *testing.T) {
	_, p := h.start(t, translation.Limits{})
	a, err := p.Translate(t.Context(), h.request())
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, texts, a)
}

func (h Harness) nothing(t *testing.T) {
	fake, p := h.start(t, translation.Limits{})
	r := h.request()
	for _, nothing := range [][]string{nil, {"", " 12 ", `<x id="1"/>`}} {
		r.Texts = nothing
		a, err := p.Translate(t.Context(), r)
		if err != nil || !slices.Equal(a.Texts, nothing) || a.Characters != 0 || fake.Calls() != 0 {
			t.Errorf("%+v, %v, %d calls", a, err, fake.Calls())
		}
	}
}

func (h Harness) pair(t *testing.T) {
	_, p := h.start(t, translation.Limits{})
	r := h.request()
	for _, pair := range [][2]pim.Locale{h.Unknown, {h.From, "und"}, {"x-klingon", h.To}, {"", ""}} {
		r.From, r.To = pair[0], pair[1]
		_, err := p.Translate(t.Context(), r)
		wantError(t, err, connectors.Permanent, translation.ErrPair)
	}
}

func (h Harness) tooLarge(t *testing.T) {
	fake, p := h.start(t, translation.Limits{Texts: 3, Bytes: 100})
	r := h.request()
	_, err := p.Translate(t.Context(), r)
	wantError(t, err, connectors.Permanent, translation.ErrTooLarge)
	r.Texts = []string{strings.Repeat("long ", 21)}
	_, err = p.Translate(t.Context(), r)
	wantError(t, err, connectors.Permanent, translation.ErrTooLarge)
	r.Texts = []string{"a < b"}
	_, err = p.Translate(t.Context(), r)
	wantError(t, err, connectors.Validation, nil)
	if fake.Calls() != 0 {
		t.Errorf("%d calls", fake.Calls())
	}
}

// faults: each gets its verdict, and the next call is fine again.
func (h Harness) faults(t *testing.T) {
	for _, c := range []struct {
		fault   faulty.Fault
		verdict connectors.Verdict // "": succeeds
		is      error
	}{
		{faulty.Fault{Kind: faulty.Throttle, After: 7 * time.Second}, connectors.Throttled, nil},
		{faulty.Fault{Kind: faulty.Quota}, connectors.Throttled, translation.ErrQuota},
		{faulty.Fault{Kind: faulty.Deny}, connectors.Auth, nil},
		{faulty.Fault{Kind: faulty.Large}, connectors.Permanent, translation.ErrTooLarge},
		{faulty.Fault{Kind: faulty.Fail}, connectors.Unavailable, nil},
		{faulty.Fault{Kind: faulty.Fail, Status: 503}, connectors.Unavailable, nil},
		{faulty.Fault{Kind: faulty.Reset}, connectors.Unavailable, nil},
		{faulty.Fault{Kind: faulty.Slow, After: 20 * time.Millisecond}, "", nil},
		{faulty.Fault{Kind: faulty.Truncate}, connectors.Unavailable, nil},
		{faulty.Fault{Kind: faulty.Cut}, connectors.Unavailable, translation.ErrAnswer},
		{faulty.Fault{Kind: faulty.Garbage}, connectors.Unavailable, translation.ErrAnswer},
		{faulty.Fault{Kind: faulty.Endless}, connectors.Permanent, nil},
		{faulty.Fault{Kind: faulty.Partial}, connectors.Unavailable, translation.ErrAnswer},
	} {
		if slices.Contains(h.Lacks, c.fault.Kind) {
			continue
		}
		t.Run(string(c.fault.Kind), func(t *testing.T) {
			fake, p := h.start(t, translation.Limits{})
			if _, err := p.Translate(t.Context(), h.request()); err != nil { // it knows the pairs now
				t.Fatal(err)
			}
			fake.Play(c.fault)
			a, err := p.Translate(t.Context(), h.request())
			if c.verdict == "" {
				if err != nil {
					t.Fatal(err)
				}
				wantAnswer(t, texts, a)
				return
			}
			e := wantError(t, err, c.verdict, c.is)
			if c.fault.After > 0 && e.After != c.fault.After {
				t.Errorf("come back after %s, want %s", e.After, c.fault.After)
			}
			if errors.Is(c.is, translation.ErrQuota) && e.After < time.Minute {
				t.Errorf("a used-up quota is asked again after %s", e.After)
			}
			fake.Play()
			if a, err = p.Translate(t.Context(), h.request()); err != nil {
				t.Fatal(err)
			}
			wantAnswer(t, texts, a)
		})
	}
}

func (h Harness) hang(t *testing.T) {
	fake, p := h.start(t, translation.Limits{Timeout: 50 * time.Millisecond})
	fake.Play(faulty.Fault{Kind: faulty.Hang})
	_, err := p.Translate(t.Context(), h.request())
	wantError(t, err, connectors.Unavailable, context.DeadlineExceeded)
}

func (h Harness) cancelled(t *testing.T) {
	fake, p := h.start(t, translation.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Translate(ctx, h.request())
	wantError(t, err, connectors.Unavailable, context.Canceled)
	wantError(t, p.Probe(ctx), connectors.Unavailable, context.Canceled)
	if fake.Calls() != 0 {
		t.Errorf("%d calls after the end", fake.Calls())
	}
}

func (h Harness) outage(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	p := h.Connect(t, gone.URL, translation.Env{AllowPrivate: true})
	_, err := p.Translate(t.Context(), h.request())
	wantError(t, err, connectors.Unavailable, nil) // some other server
	gone.Close()
	_, err = p.Translate(t.Context(), h.request())
	wantError(t, err, connectors.Unavailable, nil)
	p = h.Connect(t, gone.URL, translation.Env{})
	wantError(t, p.Probe(t.Context()), connectors.Permanent, nil) // a private address
}

func (h Harness) probe(t *testing.T) {
	fake, p := h.start(t, translation.Limits{})
	if err := p.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fault   faulty.Fault
		verdict connectors.Verdict
	}{
		{faulty.Fault{Kind: faulty.Deny}, connectors.Auth},
		{faulty.Fault{Kind: faulty.Fail}, connectors.Unavailable},
		{faulty.Fault{Kind: faulty.Cut}, connectors.Unavailable},
	} {
		if slices.Contains(h.Lacks, c.fault.Kind) {
			continue
		}
		fake.Play(c.fault)
		wantError(t, p.Probe(t.Context()), c.verdict, nil)
	}
}

func (h Harness) concurrent(t *testing.T) {
	_, p := h.start(t, translation.Limits{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a, err := p.Translate(t.Context(), h.request())
			if err != nil || len(a.Texts) != len(texts) {
				t.Errorf("%+v %v", a, err)
			}
		})
	}
	wg.Wait()
}

func wantError(t *testing.T, err error, verdict connectors.Verdict, is error) *connectors.Error {
	t.Helper()
	e, ok := errors.AsType[*connectors.Error](err)
	if !ok || e.Verdict != verdict || is != nil && !errors.Is(err, is) {
		t.Fatalf("%v; want %s, %v", err, verdict, is)
	}
	if text := err.Error(); strings.Contains(text, Key) || len(text) > 1000 {
		t.Errorf("%q", text)
	}
	return e
}
