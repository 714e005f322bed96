package webhooktest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
)

// message is one signed call; a test may spoil it.
type message struct {
	method, path, body, secret, id, contentType string
	at                                          time.Time
}

var ids int

// send posts a message and gives status, body and whether there was an answer.
func send(t *testing.T, s *webhooktest.Server, m message) (status int, body string, err error) {
	t.Helper()
	ids++
	for _, d := range []struct {
		field *string
		value string
	}{{&m.method, "POST"}, {&m.path, webhooktest.ItemsPath}, {&m.secret, s.Secret()}, {&m.id, "id-" + strconv.Itoa(ids)}, {&m.contentType, "application/json"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if m.at.IsZero() {
		m.at = time.Now()
	}
	wh, err := standardwebhooks.NewWebhook(m.secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := wh.Sign(m.id, m.at, []byte(m.body))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, m.method, s.Base()+m.path, bytes.NewReader([]byte(m.body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", m.contentType)
	r.Header.Set("webhook-id", m.id)
	r.Header.Set("webhook-timestamp", strconv.FormatInt(m.at.Unix(), 10))
	r.Header.Set("webhook-signature", signature)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(b), err
}

func upsert(sku string, lane pim.Lane, rev int, doc string) string {
	return fmt.Sprintf(`{"sku":%q,"lane":%q,"revision":%d,"action":"upsert","document":%s}`, sku, lane, rev, doc)
}

func withdraw(sku string, rev int) string {
	return fmt.Sprintf(`{"sku":%q,"lane":"content","revision":%d,"action":"withdraw"}`, sku, rev)
}

func items(list ...string) message {
	return message{body: `{"items":[` + strings.Join(list, ",") + `]}`}
}

// must sends and expects a status and a part of the body.
func must(t *testing.T, s *webhooktest.Server, m message, status int, part string) {
	t.Helper()
	got, body, err := send(t, s, m)
	if err != nil || got != status || !strings.Contains(body, part) {
		t.Fatalf("%d %s %v; want %d with %q", got, body, err, status, part)
	}
}

func document(s *webhooktest.Server, sku pim.SKU, lane pim.Lane) string {
	l, _ := s.Listing(sku, lane)
	return string(l.Document)
}

func wait(t *testing.T, s *webhooktest.Server, cond func(webhooktest.State) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Wait(ctx, cond); err != nil {
		t.Fatal(err)
	}
}

// Every breach is refused, recorded, and changes nothing.
func TestContract(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{Batch: 2, MaxBody: 2000})
	good := items(upsert("A", pim.Content, 1, `{}`))
	with := func(change func(*message)) message {
		m := good
		change(&m)
		return m
	}
	must(t, s, with(func(m *message) { m.id = "once" }), 200, "accepted")
	for _, c := range []struct {
		name   string
		m      message
		status int
	}{
		{"another secret", with(func(m *message) { m.secret = webhooktest.NewSecret() }), 401},
		{"old", with(func(m *message) { m.at = time.Now().Add(-6 * time.Minute) }), 401},
		{"from the future", with(func(m *message) { m.at = time.Now().Add(6 * time.Minute) }), 401},
		{"an id again", with(func(m *message) { m.id = "once" }), 400},
		{"another type", with(func(m *message) { m.contentType = "text/json" }), 415},
		{"another method", with(func(m *message) { m.method = "PUT" }), 405},
		{"another path", with(func(m *message) { m.path = "/elsewhere" }), 404},
		{"too long", items(upsert("A", pim.Content, 1, `{"x":"`+strings.Repeat("x", 2000)+`"}`)), 413},
		{"no JSON", message{body: `{"items":[`}, 400},
		{"more than JSON", message{body: `{"items":[]} x`}, 400},
		{"no items", message{body: `{}`}, 400},
		{"unknown field", message{body: `{"items":[],"more":1}`}, 400},
		{"unknown item field", items(`{"sku":"A","lane":"content","revision":1,"action":"withdraw","x":1}`), 400},
		{"no sku", items(upsert("", pim.Content, 1, `{}`)), 400},
		{"unknown lane", items(`{"sku":"A","lane":"price","revision":1,"action":"withdraw"}`), 400},
		{"no lane", items(`{"sku":"A","revision":1,"action":"withdraw"}`), 400},
		{"revision 0", items(upsert("A", pim.Content, 0, `{}`)), 400},
		{"document is a list", items(upsert("A", pim.Content, 1, `[]`)), 400},
		{"no document", items(`{"sku":"A","lane":"content","revision":1,"action":"upsert"}`), 400},
		{"withdrawal with a document", items(`{"sku":"A","lane":"content","revision":1,"action":"withdraw","document":{}}`), 400},
		{"withdrawal of an offer", items(`{"sku":"A","lane":"offer","revision":1,"action":"withdraw"}`), 400},
		{"unknown action", items(`{"sku":"A","lane":"content","revision":1,"action":"patch","document":{}}`), 400},
		{"twice in a call", items(upsert("A", pim.Content, 2, `{}`), upsert("A", pim.Content, 3, `{}`)), 400},
		{"too many", items(withdraw("A", 1), withdraw("B", 1), withdraw("C", 1)), 400},
		{"an offer before the content", items(upsert("NEW", pim.Offer, 1, `{}`)), 200},
	} {
		s.Forgive()
		status, body, err := send(t, s, c.m)
		if err != nil || status != c.status {
			t.Errorf("%s: %d %s %v, want %d", c.name, status, body, err, c.status)
		}
		if n := len(s.Forgive()); n != 1 {
			t.Errorf("%s: %d violations", c.name, n)
		}
	}
	if got := s.Counts().Applied; got != 1 {
		t.Errorf("%d items were applied", got)
	}
}

// complaints is a test that notes what Start reports.
type complaints struct {
	*testing.T
	cleanup []func()
	errors  []string
}

func (c *complaints) Cleanup(fn func())         { c.cleanup = append(c.cleanup, fn) }
func (c *complaints) Errorf(f string, a ...any) { c.errors = append(c.errors, fmt.Sprintf(f, a...)) }
func (c *complaints) Fatalf(f string, a ...any) { c.T.Fatalf(f, a...) }

// A test that violates the contract fails, even if it looks at nothing else.
func TestStartReportsViolations(t *testing.T) {
	c := &complaints{T: t}
	s := webhooktest.Start(c, webhooktest.Options{})
	must(t, s, message{body: `{}`}, 400, "no items")
	for _, fn := range c.cleanup {
		fn()
	}
	if len(c.errors) != 1 || !strings.Contains(c.errors[0], "no items") {
		t.Errorf("reported: %q", c.errors)
	}
}

func TestRevisionsAndFalls(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{})
	must(t, s, items(upsert("A", pim.Content, 5, `{"v":5}`)), 200, "accepted")
	must(t, s, items(upsert("A", pim.Content, 4, `{"v":4}`)), 200, "accepted")
	if document(s, "A", pim.Content) != `{"v":4}` {
		t.Error("an unversioned target holds what came last")
	}
	if f := s.Falls(); len(f) != 1 || f[0] != "A content: revision 4 came after 5" {
		t.Errorf("falls: %q", f)
	}
	s.SetVersioned(true)
	must(t, s, items(upsert("A", pim.Content, 3, `{"v":3}`)), 200, `"code":"conflict"`)
	must(t, s, items(upsert("A", pim.Content, 4, `{"v":44}`)), 200, "accepted")
	must(t, s, items(withdraw("A", 9)), 200, "accepted")
	must(t, s, items(upsert("A", pim.Content, 8, `{"v":8}`)), 200, `"code":"conflict"`)
	if _, ok := s.Listing("A", pim.Content); ok {
		t.Error("it came back by an older revision than the withdrawal")
	}
	var got []string
	for _, e := range s.History("A", pim.Content) {
		got = append(got, fmt.Sprint(e.Revision, " ", e.Outcome))
	}
	if want := []string{"5 applied", "4 applied", "3 conflict", "4 applied", "9 applied", "8 conflict"}; !slices.Equal(got, want) {
		t.Errorf("history %q, want %q", got, want)
	}
}

func TestWithdrawalDropsAllLanes(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{Answer: connectors.Live})
	for _, l := range pim.AllLanes {
		must(t, s, items(upsert("A", l, 1, `{}`)), 200, `"status":"live"`)
	}
	must(t, s, items(withdraw("A", 2), withdraw("NEVER", 1)), 200, "live")
	for _, l := range pim.AllLanes {
		if _, ok := s.Listing("A", l); ok {
			t.Errorf("%s is held", l)
		}
	}
	// The offer lane may not know yet: a conflict, but nobody's fault.
	must(t, s, items(upsert("A", pim.Offer, 2, `{}`)), 200, "conflict")
}

func TestAsync(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{Async: &webhooktest.Async{Polls: 2}})
	poll := func(tokens string) message {
		return message{path: webhooktest.StatusPath, body: `{"tokens":[` + tokens + `]}`}
	}
	must(t, s, items(upsert("A", pim.Content, 1, `{"v":1}`)), 202, `"token":"ticket-1"`)
	must(t, s, items(upsert("A", pim.Content, 2, `{"v":2}`), upsert("B", pim.Content, 1, `{}`)), 202, `"token":"ticket-3"`)
	must(t, s, poll(`"ticket-2"`), 200, `"pending"`)
	must(t, s, poll(`"ticket-2"`), 200, `"accepted"`)
	if document(s, "A", pim.Content) != `{"v":2}` || document(s, "B", pim.Content) != "" {
		t.Error("the second of A is done and with it the first, but not B")
	}
	must(t, s, poll(`"ticket-1","nobody's"`), 200, `{"token":"ticket-1","status":"accepted"},{"token":"nobody's","status":"error","code":"conflict"`)
	if n := s.Process(); n != 1 || document(s, "B", pim.Content) == "" {
		t.Errorf("%d processed", n)
	}
	s.SetAsync(&webhooktest.Async{Delay: time.Millisecond})
	must(t, s, items(upsert("C", pim.Content, 1, `{}`)), 202, "pending")
	wait(t, s, func(st webhooktest.State) bool { _, ok := st.Listing("C", pim.Content); return ok && st.Waiting() == 0 })
	s.SetAsync(nil)
	must(t, s, items(upsert("C", pim.Content, 2, `{}`)), 200, "accepted")
}

func TestWatchAndHistory(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{History: 3, Quiet: true})
	var seen []int64
	stop := s.Watch(func(e webhooktest.Entry) { seen = append(seen, e.Seq*1000+e.Revision) })
	for rev := 1; rev <= 5; rev++ {
		must(t, s, items(upsert("A", pim.Content, rev, `{}`)), 204, "")
	}
	stop()
	must(t, s, items(upsert("B", pim.Content, 9, `{}`)), 204, "")
	if want := []int64{1001, 2002, 3003, 4004, 5005}; !slices.Equal(seen, want) {
		t.Errorf("seen %v, want %v", seen, want)
	}
	h := s.History("A", pim.Content)
	if len(h) != 2 || h[0].Revision != 4 || h[1].Revision != 5 {
		t.Errorf("history %+v", h)
	}
	if log := s.Log("", 1); len(log) != 1 || log[0].SKU != "B" {
		t.Errorf("log %+v", log)
	}
}

// A target that comes back holds what it held, revisions of withdrawn SKUs
// included, also when its process died in the middle of a line.
func TestJournal(t *testing.T) {
	opts := webhooktest.Options{Journal: filepath.Join(t.TempDir(), "shop.jsonl"), Secret: webhooktest.NewSecret(), Versioned: true}
	s := webhooktest.Start(t, opts)
	must(t, s, items(upsert("A", pim.Content, 3, "{\n\"v\":3}"), withdraw("B", 5)), 200, "accepted")
	must(t, s, items(upsert("A", pim.Offer, 2, `{"p":1}`)), 200, "accepted")
	before := document(s, "A", pim.Content)
	for i := range 2 {
		// No Close: a killed process does not close.
		file, err := os.OpenFile(opts.Journal, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(`{"sku":"A","lane":"con`); err != nil {
			t.Fatal(err)
		}
		file.Close()
		s = webhooktest.Start(t, opts)
		var a, b bytes.Buffer
		if err := errors.Join(json.Compact(&a, []byte(before)), json.Compact(&b, []byte(document(s, "A", pim.Content)))); err != nil || a.String() != b.String() {
			t.Fatalf("start %d: %s became %s: %v", i, &a, &b, err)
		}
		if got := document(s, "A", pim.Offer); got != `{"p":1}` {
			t.Fatalf("start %d: the offer is %s", i, got)
		}
		must(t, s, items(upsert("B", pim.Content, 4, `{}`)), 200, "conflict")
		if n := s.Summary().Listings[pim.Content]; n != 1 {
			t.Fatalf("start %d: %d listings", i, n)
		}
	}
}

// What a person does with curl.
func TestAdmin(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{Name: "shop"})
	call := func(method, path string, status int, parts ...string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.AdminURL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		for _, part := range parts {
			if resp.StatusCode != status || !strings.Contains(string(b), part) {
				t.Fatalf("%s %s: %d %s; want %d with %q", method, path, resp.StatusCode, b, status, part)
			}
		}
	}
	a := items(upsert("A/1", pim.Content, 1, `{"name":"x"}`))
	call("POST", "down", 200, `"down": "fail"`)
	must(t, s, a, 503, "")
	call("POST", "up", 200, `"name": "shop"`)
	call("GET", "items/A/1", 404, `"sku": "A/1"`)
	must(t, s, a, 200, "accepted")
	call("GET", "items/A/1", 200, `"name": "x"`, `"content"`)
	call("GET", "state", 200, `"products": 1`, `"content": 1`, `"violations": []`)
	call("GET", "log?sku=A/1&n=1", 200, `"outcome": "applied"`)
	call("POST", "fault?kind=fail&times=1&status=501", 200, "counts")
	must(t, s, a, 501, "")
	must(t, s, a, 200, "accepted")
	call("POST", "reject/A/1", 200, "counts")
	must(t, s, a, 200, "validation")
	call("POST", "accept/A/1", 200, "counts")
	call("POST", "throttle?per_second=0.001", 200, "counts")
	must(t, s, a, 200, "accepted")
	must(t, s, a, 429, "")
	call("POST", "throttle", 200, "counts")
	call("POST", "async?polls=3", 200, "counts")
	must(t, s, a, 202, "pending")
	call("GET", "state", 200, `"waiting": 1`)
	call("POST", "process", 200, `"waiting": 0`)
	call("POST", "async", 200, "counts")
	must(t, s, a, 200, "accepted")
}
