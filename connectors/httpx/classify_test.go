package httpx

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors"
)

func TestCheck(t *testing.T) {
	type want struct {
		verdict   connectors.Verdict
		uncertain bool
		after     time.Duration
	}
	const wait = 120 * time.Second // what the server's Retry-After says
	table := map[int]want{
		200: {}, 201: {}, 202: {}, 204: {}, 207: {},
		304: {connectors.Permanent, false, 0},
		400: {connectors.Validation, false, 0}, 422: {connectors.Validation, false, 0},
		401: {connectors.Auth, false, 0}, 403: {connectors.Auth, false, 0},
		404: {connectors.Permanent, false, 0}, 410: {connectors.Permanent, false, 0},
		402: {connectors.Permanent, false, 0}, 405: {connectors.Permanent, false, 0},
		413: {connectors.Permanent, false, 0}, 415: {connectors.Permanent, false, 0},
		409: {connectors.Conflict, false, 0}, 412: {connectors.Conflict, false, 0},
		408: {connectors.Unavailable, true, wait}, 425: {connectors.Unavailable, true, wait},
		429: {connectors.Throttled, false, wait},
		500: {connectors.Unavailable, true, wait}, 502: {connectors.Unavailable, true, wait},
		503: {connectors.Unavailable, true, wait}, 504: {connectors.Unavailable, true, wait},
		507: {connectors.Unavailable, true, wait}, 520: {connectors.Unavailable, true, wait},
		501: {connectors.Permanent, false, 0}, 505: {connectors.Permanent, false, 0},
	}
	var status int
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.Header().Set("X-RateLimit-Reset", "30")
		w.Header().Set("X-Token", "headersecret")
		w.WriteHeader(status)
		if status != http.StatusNoContent && status != http.StatusNotModified {
			io.WriteString(w, "the target's\r\n\x1b[31m words")
		}
	})
	c := client(t, Options{})
	for status = range table {
		resp, err := c.Do(t.Context(), request(t, http.MethodGet, s.URL+"/api/v1?key=querysecret"))
		if err != nil {
			t.Fatal(err)
		}
		err, want := Check(resp), table[status]
		if want.verdict == "" {
			if err != nil {
				t.Errorf("%d: %v", status, err)
			}
			continue
		}
		e := wantError(t, err, want.verdict, want.uncertain, fmt.Sprint(s.URL, "/api/v1: "))
		if e.After != want.after {
			t.Errorf("%d: after %v, want %v", status, e.After, want.after)
		}
		if text := e.Error(); strings.Contains(text, "secret") || !strings.Contains(text, fmt.Sprint(status)) ||
			status >= 400 && !strings.HasSuffix(text, ": the target's [31m words") {
			t.Errorf("%d: text %q", status, text)
		}
	}
	wantError(t, Check(&Response{Status: 413}), connectors.Permanent, false, "too large: 413")
	e := wantError(t, Check(&Response{Status: 500, Body: []byte(strings.Repeat("ä\x00", 4000))}), connectors.Unavailable, true, "ä…")
	if n := len(e.Error()); n > 400 || !utf8.ValidString(e.Error()) {
		t.Errorf("text of %d bytes: %q", n, e.Error())
	}
	only := http.Header{"X-Ratelimit-Reset": {"30"}}
	if e := wantError(t, Check(&Response{Status: 429, Header: only}), connectors.Throttled, false, "429"); e.After != 30*time.Second {
		t.Errorf("429 with a reset header: after %v", e.After)
	}
	// Many targets send the reset with every answer; it says nothing of an outage.
	if e := wantError(t, Check(&Response{Status: 503, Header: only}), connectors.Unavailable, true, "503"); e.After != 0 {
		t.Errorf("503 with a reset header: after %v", e.After)
	}
}

func TestRetryAfterAndReset(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tc := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "120", 2 * time.Minute},
		{"Retry-After", " 3 ", 3 * time.Second},
		{"Retry-After", "2.0", 2 * time.Second},
		{"Retry-After", "0.25", 250 * time.Millisecond},
		{"Retry-After", "0.0001", time.Millisecond},
		{"Retry-After", "0", 0},
		{"Retry-After", date(90 * time.Second), 90 * time.Second},
		{"Retry-After", now.Add(time.Minute).Format(time.RFC850), time.Minute},
		{"Retry-After", date(-time.Hour), 0},
		{"Retry-After", date(100 * 365 * 24 * time.Hour), MaxAfter},
		{"Retry-After", "99999999999999999999", MaxAfter},
		{"Retry-After", strings.Repeat("9", 400), MaxAfter},
		{"Retry-After", "-5", 0},
		{"Retry-After", "1e3", 0},
		{"Retry-After", "0x10", 0},
		{"Retry-After", "inf", 0},
		{"Retry-After", "1_0", 0},
		{"Retry-After", "1.", 0},
		{"Retry-After", "soon", 0},
		{"Retry-After", "", 0},
		{"RateLimit-Reset", "7", 7 * time.Second},
		{"X-RateLimit-Reset", fmt.Sprint(now.Unix() + 45), 45 * time.Second},
		{"X-RateLimit-Reset", fmt.Sprint(now.UnixMilli() + 1500), 1500 * time.Millisecond},
		{"X-Rate-Limit-Reset", date(time.Minute), time.Minute},
		{"X-Rate-Limit-Reset", now.Add(time.Minute).Format(time.RFC3339), time.Minute},
		{"X-RateLimit-Reset", fmt.Sprint(now.Unix() - 45), 0},
		{"X-RateLimit-Reset", "never", 0},
	} {
		h := http.Header{}
		h.Set(tc.name, tc.value)
		got := RetryAfter(h, now) + RateReset(h, now)
		if got != tc.want {
			t.Errorf("%s: %s = %v, want %v", tc.name, tc.value, got, tc.want)
		}
	}
	// The target's clock is an hour fast: only its own Date makes sense of its dates.
	h := http.Header{}
	h.Set("Date", date(time.Hour))
	h.Set("Retry-After", date(time.Hour+10*time.Second))
	if got := RetryAfter(h, now); got != 10*time.Second {
		t.Errorf("by the target's clock: %v", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "1.5", "Sun, 01 Mar 2026 12:00:00 GMT", "1772366400", "1772366400000", "-1", "2026-03-01T12:00:00Z"} {
		f.Add(s, "Sun, 01 Mar 2026 11:59:00 GMT")
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string) {
		h := http.Header{"Retry-After": {value}, "X-Ratelimit-Reset": {value}, "Date": {date}}
		after, reset := RetryAfter(h, now), RateReset(h, now)
		for _, d := range []time.Duration{after, reset} {
			if d < 0 || d > MaxAfter {
				t.Fatalf("%q with date %q: %v", value, date, d)
			}
		}
		var seconds uint16
		if n, err := fmt.Sscanf(value, "%d", &seconds); n == 1 && err == nil && fmt.Sprint(seconds) == value {
			if want := time.Duration(seconds) * time.Second; after != want || reset != want {
				t.Fatalf("%q: %v and %v, want %v", value, after, reset, want)
			}
		}
	})
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:p@host:8443/a%2Fb/c?token=t#f": "https://host:8443/a%2Fb/c",
		"http://host":                   "http://host",
		"http://host/?consumer_secret=": "http://host/",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Redact(u); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := Redact(nil); got != "" {
		t.Errorf("nil: %q", got)
	}
}

func TestScrub(t *testing.T) {
	c := New(Options{Secrets: []string{"hunter2"}})
	if c.Scrub(nil) != nil {
		t.Error("no error became one")
	}
	_, bad := url.Parse("http://user:pass word:9x@host:port/?q=1") //nolint:staticcheck // it is bad on purpose
	for _, err := range []error{
		&url.Error{Op: "Post", URL: "https://u:pass@h/p?token=tok", Err: fs.ErrClosed},
		fmt.Errorf("ask: %w", &url.Error{Op: "Post", URL: "https://u:pass@h/p?token=tok", Err: fs.ErrClosed}),
		fmt.Errorf("key hunter2: %w", fs.ErrClosed),
		bad,
	} {
		got := c.Scrub(err)
		for _, leak := range []string{"pass", "tok", "hunter2", "9x"} {
			if strings.Contains(got.Error(), leak) {
				t.Errorf("%q leaks %s", got, leak)
			}
		}
		if _, ok := errors.AsType[*url.Error](got); ok {
			t.Errorf("%q hands its cause out", got)
		}
		if err != bad && !errors.Is(got, fs.ErrClosed) { //nolint:errorlint // which of the table it is
			t.Errorf("%q is not fs.ErrClosed any more", got)
		}
	}
}

func TestSecretsStayOut(t *testing.T) {
	const first, second = "sk_live/+1\"x", "later-token"
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		quoted, _ := json.Marshal(first)
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "%s %s %s %s %s %s", first, quoted, url.QueryEscape(first), url.PathEscape(first),
			base64.StdEncoding.EncodeToString([]byte(first)), second)
	})
	base := client(t, Options{Secrets: []string{first, ""}})
	c := base.With(second)
	resp, err := c.Do(t.Context(), request(t, http.MethodGet, s.URL+"/hooks/"+second+"?k="+first))
	if err != nil {
		t.Fatal(err)
	}
	text := Check(resp).Error()
	for _, leak := range []string{"sk_live", second, base64.StdEncoding.EncodeToString([]byte(first))} {
		if strings.Contains(text, leak) {
			t.Errorf("%q leaks %q", text, leak)
		}
	}
	if n := strings.Count(text, redacted); n != 7 {
		t.Errorf("%q has %d redactions, want 7", text, n)
	}
	if got := base.scrub.text(second, 99); got != second {
		t.Errorf("With changed its receiver: %q", got)
	}
}

// Wherever secrets lie in a text, whatever is cut, none and no long part of one
// comes out, and the result is one clean line within its limit.
func TestTextProperty(t *testing.T) {
	const secret = "SECRETSECRET0123456789"
	s := newScrubber([]string{secret, secret + "-and-more", "other"})
	if got := s.text(strings.Repeat("\x00", maxScan-8)+secret, 300); strings.Contains(got, "SECR") {
		t.Errorf("the end of the scan leaves a part: %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		filler := rapid.OneOf(
			rapid.StringN(0, 400, -1),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 400), func(b []byte) string { return string(b) }),
			rapid.Map(rapid.IntRange(maxScan-400, maxScan+400), func(n int) string { return strings.Repeat("\x00", n) }),
			rapid.SampledFrom([]string{secret, secret + "-and-more", secret[:12] + "\x00" + secret[12:]}),
		)
		in := strings.Join(rapid.SliceOfN(filler, 1, 6).Draw(t, "parts"), "")
		limit := rapid.IntRange(10, 400).Draw(t, "limit")
		got := s.text(in, limit)
		if strings.Contains(got, "SECRET") || strings.Contains(got, "-and-more") {
			t.Fatalf("leaks: %q", got)
		}
		if len(got) > limit || !utf8.ValidString(got) {
			t.Fatalf("%d bytes with limit %d: %q", len(got), limit, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.Is(unicode.C, r) }) {
			t.Fatalf("control character in %q", got)
		}
	})
}
