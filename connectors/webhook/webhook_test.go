package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
)

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"

// answering is a target that gives one answer to everything.
func answering(t testing.TB, handler http.HandlerFunc) connectors.Connector {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return connect(t, webhook.Config{URL: srv.URL, StatusURL: srv.URL + "/status", Secret: secret}, 3)
}

func item(sku pim.SKU, rev int64) connectors.Item {
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: rev, Action: connectors.Upsert, Document: json.RawMessage(`{"a":1}`)}
}

// The body and the headers are a contract with other people's code.
func TestRequest(t *testing.T) {
	type request struct {
		method, target, body string
		header               http.Header
	}
	got := make(chan request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- request{r.Method, r.RequestURI, string(b), r.Header}
	}))
	defer srv.Close()
	c := connect(t, webhook.Config{URL: srv.URL + "/in?k=v#frag", Secret: secret, Authorization: "Basic abcd"}, 100)
	_, err := c.Push(t.Context(), []connectors.Item{
		{SKU: "A", Lane: pim.Offer, Revision: 7, Action: connectors.Upsert, Document: json.RawMessage(`{"price":"9.99","text":"<b>"}`)},
		{SKU: `q"ü\`, Lane: pim.Content, Revision: 1 << 40, Action: connectors.Withdraw},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := <-got
	want := `{"items":[{"sku":"A","lane":"offer","revision":7,"action":"upsert","document":{"price":"9.99","text":"<b>"}},` +
		`{"sku":"q\"ü\\","lane":"content","revision":1099511627776,"action":"withdraw"}]}`
	if r.body != want {
		t.Errorf("body\n%s\nwant\n%s", r.body, want)
	}
	if r.method != "POST" || r.target != "/in?k=v" {
		t.Errorf("%s %s", r.method, r.target)
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "Authorization": "Basic abcd", "User-Agent": "sluice/test", "Idempotency-Key": ""} {
		if r.header.Get(name) != value {
			t.Errorf("%s: %q, want %q", name, r.header.Get(name), value)
		}
	}
	verify, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify.Verify([]byte(r.body), r.header); err != nil {
		t.Error(err)
	}
}

// The same items twice are two messages: a target that drops known ids must not
// drop the second. The fake refuses an id that comes twice.
func TestFreshIDs(t *testing.T) {
	fake, c := start(t, webhooktest.Options{}, nil)
	for range 2 {
		if res, err := c.Push(t.Context(), []connectors.Item{item("A", 1)}); err != nil || res[0].Err != nil {
			t.Fatal(res, err)
		}
	}
	if l, _ := fake.Listing("A", pim.Content); l.Pushes != 2 {
		t.Errorf("%d pushes were applied", l.Pushes)
	}
}

// outcome is a Result in a form that compares.
type outcome struct {
	Status    connectors.Status
	Token     string
	After     time.Duration
	Verdict   connectors.Verdict
	Uncertain bool
	Text      string
	Issues    []pim.Issue
}

func outcomeOf(r connectors.Result) outcome {
	if r.Err == nil {
		return outcome{Status: r.Status, Token: r.Token, After: r.After, Issues: r.Issues}
	}
	e := connectors.AsError(r.Err)
	return outcome{Verdict: e.Verdict, Uncertain: e.Uncertain, After: e.After, Text: e.Err.Error(), Issues: e.Issues}
}

func TestAnswers(t *testing.T) {
	const unnamed = "the answer does not name this item"
	accepted := outcome{Status: connectors.Accepted}
	fault := func(v connectors.Verdict, uncertain bool, text string) outcome {
		return outcome{Verdict: v, Uncertain: uncertain, Text: text}
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   []outcome // of A and B; nil: the call fails
		call   outcome
	}{
		{name: "empty", status: 204, want: []outcome{accepted, accepted}},
		{name: "words", status: 200, body: "ok", want: []outcome{accepted, accepted}},
		{name: "no items", status: 200, body: `{"ok":true}`, want: []outcome{accepted, accepted}},
		{name: "no item in the list", status: 200, body: ` {"items":[]}`, want: []outcome{accepted, accepted}},
		{name: "a count", status: 201, body: `{"items":2}`, want: []outcome{accepted, accepted}},
		{
			name: "another order", status: 200, body: `{"items":[{"sku":"B","lane":"content","status":"live"},{"sku":"A","status":"accepted","more":1}]}`,
			want: []outcome{accepted, {Status: connectors.Live}},
		},
		{
			name: "one not named", status: 200, body: `{"items":[{"sku":"B","status":"accepted"}]}`,
			want: []outcome{fault(connectors.Unavailable, true, unnamed), accepted},
		},
		{
			name: "another lane", status: 200, body: `{"items":[{"sku":"A","lane":"offer","status":"live"},{"sku":"B"}]}`,
			want: []outcome{fault(connectors.Unavailable, true, unnamed), accepted},
		},
		{
			name: "pending", status: 202, body: `{"items":[{"sku":"A","status":"pending","token":"t1","retry_after":1.5},{"sku":"B","status":"live"}]}`,
			want: []outcome{{Status: connectors.Pending, Token: "t1", After: 1500 * time.Millisecond}, {Status: connectors.Live}},
		},
		{
			name: "said twice", status: 200, body: `{"items":[{"sku":"A","status":"error","code":"conflict"},{"sku":"A","status":"live"},{"sku":"B","status":"live"},{"sku":"B","status":"error","code":"auth","message":"no"}]}`,
			want: []outcome{fault(connectors.Conflict, false, "conflict"), fault(connectors.Auth, false, "no")},
		},
		{
			name: "throttled and broken", status: 200, body: `{"items":[{"sku":"A","status":"error","code":"throttled","retry_after":1e300},{"sku":"B","status":"error","code":"unavailable","retry_after":-1}]}`,
			want: []outcome{{Verdict: connectors.Throttled, After: 24 * time.Hour, Text: "throttled"}, fault(connectors.Unavailable, true, "unavailable")},
		},
		{
			name: "permanent and a word of its own", status: 200, body: `{"items":[{"sku":"A","status":"error","code":"permanent","message":"a\u0000b\nc"},{"sku":"B","code":"no_ean","message":"EAN?"}]}`,
			want: []outcome{fault(connectors.Permanent, false, "ab c"), {Verdict: connectors.Validation, Text: "EAN?", Issues: []pim.Issue{{Code: "no_ean", Severity: "error", Text: "EAN?"}}}},
		},
		{
			name: "issues", status: 200, body: `{"items":[{"sku":"A","status":"error","code":"validation","issues":[{"attribute":"name","text":"too long"},{"code":"w","severity":"warning"}]},{"sku":"B","status":"accepted","issues":[{"code":"x","text":"y","severity":"odd"}]}]}`,
			want: []outcome{
				{Verdict: connectors.Validation, Text: "validation", Issues: []pim.Issue{{Code: "validation", Severity: "error", Attribute: "name", Text: "too long"}, {Code: "w", Severity: "warning", Text: "w"}}},
				{Status: connectors.Accepted, Issues: []pim.Issue{{Code: "x", Severity: "warning", Text: "y"}}},
			},
		},
		{
			name: "an unknown status", status: 200, body: `{"items":[{"sku":"A","status":"queued"},{"sku":"B","status":"live"}]}`,
			want: []outcome{fault(connectors.Permanent, true, `the target answered the status "queued", which is not one of live, accepted, pending, error`), {Status: connectors.Live}},
		},
		{name: "broken off", status: 200, body: `{"items":[{"sku":"A","sta`, call: fault(connectors.Unavailable, true, "the answer is no whole JSON")},
		{name: "another shape", status: 200, body: `{"items":["A","B"]}`, call: fault(connectors.Unavailable, true, "the answer's items have another shape than agreed")},
		{name: "gone", status: 410, body: "", call: outcome{Verdict: connectors.Unavailable}},
		{name: "moved", status: 302, body: "", call: outcome{Verdict: connectors.Unavailable}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			results, err := conn.Push(t.Context(), []connectors.Item{item("A", 1), item("B", 1)})
			if c.want == nil {
				got := outcomeOf(connectors.Result{Err: err})
				if err == nil || got.Verdict != c.call.Verdict || got.Uncertain != c.call.Uncertain || !strings.Contains(got.Text, c.call.Text) {
					t.Fatalf("%v, %+v; want %+v", results, got, c.call)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []outcome
			for _, r := range results {
				got = append(got, outcomeOf(r))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// Without a status URL nobody can ask for tokens: the connector has no power to
// poll, and an item that is called pending is held and no more.
func TestPendingWithoutStatusURL(t *testing.T) {
	_, c := start(t, webhooktest.Options{Async: &webhooktest.Async{}}, func(c *webhook.Config) { c.StatusURL = "" })
	if _, ok := c.(connectors.Poller); ok {
		t.Error("it can poll")
	}
	res, err := c.Push(t.Context(), []connectors.Item{item("A", 1)})
	if err != nil || res[0].Status != connectors.Accepted || len(res[0].Issues) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestPoll(t *testing.T) {
	var calls [][]string
	body, status := "", 200
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		var call struct{ Tokens []string }
		if err := json.NewDecoder(r.Body).Decode(&call); err != nil || r.URL.Path != "/status" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		calls = append(calls, call.Tokens)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}).(connectors.Poller)

	body = `{"items":[{"token":"c","status":"live"},{"token":"d","status":"pending"},{"token":"a","status":"error","code":"conflict"}]}`
	res, err := c.Poll(t.Context(), []string{"a", "b", "c", "d"})
	if err != nil {
		t.Fatal(err)
	}
	want := []outcome{
		{Verdict: connectors.Conflict, Text: "conflict"},
		{Verdict: connectors.Unavailable, Text: "the status answer does not name this token"},
		{Status: connectors.Live},
		{Status: connectors.Pending, Token: "d"},
	}
	for i := range want {
		if d := cmp.Diff(want[i], outcomeOf(res[i])); d != "" {
			t.Error(i, d)
		}
	}
	if d := cmp.Diff([][]string{{"a", "b", "c"}, {"d"}}, calls); d != "" {
		t.Errorf("calls: %s", d)
	}
	// Asking changes nothing at the target, so nothing is in doubt after it.
	for _, body = range []string{"", "ok", `{"items":[]}`, `{"items":[`, "503"} {
		if body == "503" {
			status = 503
		}
		_, err := c.Poll(t.Context(), []string{"a"})
		if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Unavailable || e.Uncertain {
			t.Errorf("answer %q: %v", body, err)
		}
	}
}

func TestRefusedUnsent(t *testing.T) {
	c := answering(t, func(http.ResponseWriter, *http.Request) { t.Error("a call was made") })
	broken := item("A", 1)
	for name, items := range map[string][]connectors.Item{
		"over the limit":  slices.Repeat([]connectors.Item{item("A", 1)}, 4),
		"no document":     {{SKU: "A", Lane: pim.Content, Revision: 1, Action: connectors.Upsert}},
		"no object":       {{SKU: "A", Lane: pim.Content, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(`[1]`)}},
		"no known action": {{SKU: "A", Lane: pim.Content, Revision: 1, Action: "erase", Document: broken.Document}},
	} {
		_, err := c.Push(t.Context(), items)
		if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Permanent || e.Uncertain {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrivateTarget(t *testing.T) {
	raw, _ := json.Marshal(webhook.Config{URL: "http://127.0.0.1:9/", Secret: secret})
	c, err := webhook.Kind.New(raw, connectors.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if e := connectors.AsError(c.Probe(t.Context())); e.Verdict != connectors.Unavailable || e.Uncertain {
		t.Error(e)
	}
}

// A page says nothing of items, whatever its status; in a test of the connection
// it is no target's.
func TestPageIsNoAnswer(t *testing.T) {
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "\n<!doctype html><title>Sign in</title>")
	}))
	defer gate.Close()
	raw, _ := json.Marshal(webhook.Config{URL: gate.URL, Secret: secret})
	c, err := webhook.Kind.New(raw, connectors.Env{AllowPrivate: true, Limits: connectors.Limits{Batch: 3}})
	if err != nil {
		t.Fatal(err)
	}
	if e := connectors.AsError(c.Probe(t.Context())); e.Verdict != connectors.Unavailable || e.Uncertain {
		t.Error(e)
	}
	_, err = c.Push(t.Context(), []connectors.Item{item("A", 1)})
	if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Unavailable || !e.Uncertain {
		t.Error(err)
	}
}

// Some platforms begin whatever they answer with a byte order mark: it hides
// neither a page nor what is said of items.
func TestByteOrderMark(t *testing.T) {
	for _, body := range []string{`{"items":[{"sku":"A","status":"error","code":"validation","message":"no"}]}`, "<html>Sign in</html>"} {
		c := answering(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\ufeff"+body) })
		results, err := c.Push(t.Context(), []connectors.Item{item("A", 1)})
		if err == nil && results[0].Err == nil {
			t.Errorf("%s counts as %s", body, results[0].Status)
		}
	}
}

// TestConfig: every problem of a config is told at once, with its place and
// without a value.
func TestConfig(t *testing.T) {
	const sneaky = "hunter2-hunter2"
	for _, c := range []struct {
		config string
		want   []string // pointer and code of each problem
	}{
		{`{"url":"https://x.example","secret":"` + secret + `"}`, nil},
		{`{"secret":"` + secret + `"}`, []string{"/url field.missing"}},
		{`{"url":"ftp://x.example","secret":"` + secret + `"}`, []string{"/url config.url"}},
		{`{"url":"http://a b/` + sneaky + `","secret":"` + secret + `"}`, []string{"/url config.url"}},
		{`{"url":"https://u:` + sneaky + `@x.example","secret":"` + secret + `"}`, []string{"/url config.url"}},
		{`{"url":"https://x.example","status_url":"//` + sneaky + `","secret":"` + secret + `"}`, []string{"/status_url config.url"}},
		{`{"url":"https://x.example"}`, []string{"/secret field.missing"}},
		{`{"url":"https://x.example","secret":"whsec_"}`, []string{"/secret config.secret"}},
		{`{"url":"https://x.example","secret":"whsec_` + sneaky + `"}`, []string{"/secret config.secret"}},
		{`{"url":"https://x.example","secret":"` + secret + `","authorization":"` + sneaky + `\r\nX: y"}`, []string{"/authorization config.header"}},
		{`{"url":"https://x.example","secret":["` + sneaky + `"]}`, []string{"/secret field.type"}},
		{
			`{"colour":"red","status_url":"gopher","url":7,"authorization":"\u0000"}`,
			[]string{"/colour field.unknown", "/url field.type", "/status_url config.url", "/secret field.missing", "/authorization config.header"},
		},
		{`{}`, []string{"/url field.missing", "/secret field.missing"}},
		{`[]`, []string{" config"}},
		{`{`, []string{" config"}},
		{``, []string{" config"}},
	} {
		_, err := webhook.Kind.New(json.RawMessage(c.config), connectors.Env{})
		var got []string
		if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
			for _, p := range invalid.Problems {
				got = append(got, p.Pointer+" "+p.Code)
				if strings.Contains(p.Detail, sneaky) || strings.Contains(p.Detail, secret) {
					t.Errorf("a secret was told: %s", p.Detail)
				}
			}
		} else if err != nil {
			t.Errorf("%s: %v is no *pim.Invalid", c.config, err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.config, got, c.want)
		}
	}
}

// The kind shows what a channel of it can have: polling, with a status URL.
func TestPowers(t *testing.T) {
	if got := webhook.Kind.Powers(); !slices.Equal(got, []connectors.Power{connectors.CanPoll, connectors.CanRead}) {
		t.Errorf("powers: %v", got)
	}
	for config, polls := range map[string]bool{
		`{"url":"https://x.example","secret":"` + secret + `"}`:                                    false,
		`{"url":"https://x.example","status_url":"https://x.example/s","secret":"` + secret + `"}`: true,
	} {
		c, err := webhook.Kind.New(json.RawMessage(config), connectors.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if _, is := c.(connectors.Poller); is != polls {
			t.Errorf("%s: polls: %v", config, is)
		}
		if !slices.ContainsFunc(webhook.Kind.Makes, func(m connectors.Connector) bool { return reflect.TypeOf(m) == reflect.TypeOf(c) }) {
			t.Errorf("%T is not among what the kind says that it makes", c)
		}
	}
}

// Whatever the SKUs and documents, the target reads what was meant.
func TestBodyRoundTrip(t *testing.T) {
	fake, c := start(t, webhooktest.Options{Orphans: true, History: 64}, nil)
	rapid.Check(t, func(t *rapid.T) {
		var items []connectors.Item
		for i := range rapid.IntRange(1, 5).Draw(t, "n") {
			doc, _ := json.Marshal(map[string]string{"t": rapid.String().Draw(t, "text")})
			it := connectors.Item{
				SKU: pim.SKU(fmt.Sprint(i, rapid.StringN(0, 20, 60).Draw(t, "sku"))), Lane: rapid.SampledFrom(pim.AllLanes).Draw(t, "lane"),
				Revision: rapid.Int64Range(1, 1<<62).Draw(t, "revision"), Action: connectors.Upsert, Document: doc,
			}
			if it.Lane == pim.Content && rapid.Bool().Draw(t, "withdraw") {
				it.Action, it.Document = connectors.Withdraw, nil
			}
			items = append(items, it)
		}
		if _, err := c.Push(context.Background(), items); err != nil {
			t.Fatal(err)
		}
		for i, e := range fake.Log("", len(items)) {
			got := connectors.Item{SKU: e.SKU, Lane: e.Lane, Revision: e.Revision, Action: e.Action, Document: e.Document}
			if !reflect.DeepEqual(got, items[i]) {
				t.Fatalf("%+v arrived as %+v", items[i], got)
			}
		}
	})
}

// Whatever a target answers, there is a result per item or an error, all of them
// classified, and none tells the secret.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{"", "ok", `{"items":[{"sku":"A","status":"pending","token":"t"}]}`, `{"items":[{"sku":"B","code":"validation","issues":[{}],"retry_after":1e99}]}`, `{"items":[`, secret} {
		f.Add(200, seed)
		f.Add(422, seed)
	}
	var status int
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	f.Cleanup(srv.Close)
	c := connect(f, webhook.Config{URL: srv.URL, StatusURL: srv.URL, Secret: secret}, 100)
	f.Fuzz(func(t *testing.T, s int, b string) {
		if s < 200 || s > 599 {
			return
		}
		status, body = s, b
		items := []connectors.Item{item("A", 1), item("B", 1)}
		results, err := c.Push(t.Context(), items)
		polled, pollErr := c.(connectors.Poller).Poll(t.Context(), []string{"A", "t"})
		for _, r := range append(results, polled...) {
			if r.Err == nil && r.Status == "" || r.Status == connectors.Pending && r.Token == "" {
				t.Fatalf("%+v", r)
			}
			text := fmt.Sprintf("%v %+v", r.Err, r.Issues)
			if r.Err != nil {
				text += fmt.Sprintf("%+v", connectors.AsError(r.Err).Issues)
			}
			if strings.Contains(text, secret) {
				t.Fatal("the secret was told")
			}
		}
		if err == nil && len(results) != 2 || pollErr == nil && len(polled) != 2 {
			t.Fatalf("%v, %v", results, polled)
		}
		for _, err := range []error{err, pollErr} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Fatal("the secret was told")
			}
		}
	})
}

func BenchmarkPush(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			fake := webhooktest.Start(b, webhooktest.Options{Quiet: true})
			c := connect(b, webhook.Config{URL: fake.URL(), Secret: fake.Secret()}, 100)
			doc := json.RawMessage(`{"text":"` + strings.Repeat("x", 600) + `"}`)
			items := make([]connectors.Item, n)
			for i := range items {
				items[i] = connectors.Item{SKU: pim.SKU(fmt.Sprintf("SKU-%d", i)), Lane: pim.Content, Revision: 1, Action: connectors.Upsert, Document: doc}
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.Push(b.Context(), items); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}
