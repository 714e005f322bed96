package bol

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/pim"
)

// clockwork is a connector to a fresh fake, with a clock that the test sets.
func clockwork(t *testing.T, opts boltest.Options) (*boltest.Server, *Connector, func(time.Duration)) {
	t.Helper()
	fake := boltest.Start(t, opts)
	config := fmt.Appendf(nil, `{"client_id":%q,"client_secret":%q,"api_url":%q,"login_url":%q}`, fake.ClientID(), fake.ClientSecret(), fake.URL(), fake.LoginURL())
	made, err := Kind.New(config, connectors.Env{AllowPrivate: true, Limits: Kind.Limits})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := made.(*Connector)
	var (
		mu    sync.Mutex
		later time.Duration
	)
	c.session.now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(later)
	}
	return fake, c, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		later += d
	}
}

func kettle() []connectors.Item {
	return []connectors.Item{{SKU: "A", Lane: pim.Content, Action: connectors.Upsert, Document: json.RawMessage(`{"ean":"4006381333931","Name":"Kettle"}`)}}
}

func TestTokenIsReplacedBeforeItExpires(t *testing.T) {
	fake, c, pass := clockwork(t, boltest.Options{})
	push := func(logins int) {
		t.Helper()
		if _, err := c.Push(t.Context(), kettle()); err != nil {
			t.Fatal(err)
		}
		if n := fake.Counts().Logins; n != logins {
			t.Fatalf("%d logins, want %d", n, logins)
		}
	}
	push(1)
	pass(200 * time.Second)
	push(1)
	pass(80 * time.Second) // 280 s: it is good for 299
	push(2)
	push(2)
}

func TestLoginFailsOnceForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Private addresses are not dialled: the login fails at once, without a network.
		made, err := Kind.New(json.RawMessage(`{"client_id":"a","client_secret":"b","login_url":"http://127.0.0.1:9/token"}`), connectors.Env{Limits: Kind.Limits})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := made.(*Connector)
		c.session.turn <- struct{}{} // somebody is at it
		const callers = 6
		errs := make(chan error, callers)
		for range callers {
			go func() {
				_, err := c.session.access(t.Context(), nil)
				errs <- err
			}()
		}
		synctest.Wait()
		<-c.session.turn
		for range callers {
			if err := <-errs; err == nil || connectors.AsError(err).Uncertain {
				t.Errorf("access: %v", err)
			}
		}
		if c.session.logins != 1 {
			t.Errorf("%d logins", c.session.logins)
		}
	})
}

func TestCancelledLoginIsNobodyElsesAnswer(t *testing.T) {
	fake, c, _ := clockwork(t, boltest.Options{})
	fake.Script(boltest.Fault{Kind: boltest.Hang, Op: boltest.Login, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- c.Probe(ctx) }()
	if err := fake.Wait(t.Context(), func(c boltest.Counts) bool { return c.Hanging == 1 }); err != nil {
		t.Fatal(err)
	}
	go func() { second <- c.Probe(t.Context()) }()
	cancel()
	if err := <-first; err == nil || connectors.AsError(err).Uncertain {
		t.Errorf("cancelled: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the other: %v", err)
	}
}

func TestReportIsNotWaitedForForEver(t *testing.T) {
	fake, c, pass := clockwork(t, boltest.Options{})
	fake.Lag(1 << 30)
	results, err := c.Push(t.Context(), kettle())
	if err != nil {
		t.Fatal(err)
	}
	poll := func() connectors.Result {
		t.Helper()
		r, err := c.Poll(t.Context(), []string{results[0].Token})
		if err != nil {
			t.Fatal(err)
		}
		return r[0]
	}
	if r := poll(); r.Status != connectors.Pending || r.After < 2*time.Second {
		t.Errorf("at first: %+v", r)
	}
	pass(4 * time.Minute)
	if r := poll(); r.Status != connectors.Pending || r.After != time.Minute {
		t.Errorf("after a while: %+v", r)
	}
	pass(patience)
	if r := poll(); r.Status != connectors.Accepted || len(r.Issues) != 1 || r.Issues[0].Code != "bol.report_unfinished" {
		t.Errorf("in the end: %+v", r)
	}
}

// An id of bol's cannot lead to another operation.
func TestIdsStayInTheirPlace(t *testing.T) {
	fake, c, _ := clockwork(t, boltest.Options{})
	for _, id := range []string{"", "..", "a/b", "a?b", "%2e%2e", strings.Repeat("x", 201)} {
		if _, err := c.do(t.Context(), request{op: opDelete, path: offersPath(id)}); err == nil || connectors.AsError(err).Uncertain {
			t.Errorf("%q: %v", id, err)
		}
	}
	if n := fake.Counts().Calls; n != 0 {
		t.Errorf("%d calls", n)
	}
}

// Of a push whose time is used up, the first item is begun; the others are
// throttled, and not in doubt.
func TestTimeUsedUp(t *testing.T) {
	w := &crew{deadline: time.Now().Add(time.Hour), reserve: 2 * time.Hour}
	begun := 0
	var left []int
	var mu sync.Mutex
	w.each(t.Context(), 20, func(i int) error {
		mu.Lock()
		defer mu.Unlock()
		begun += 1 + 100*i
		return nil
	}, func(i int, why *connectors.Error) {
		mu.Lock()
		defer mu.Unlock()
		left = append(left, i)
		if why.Verdict != connectors.Throttled || why.Uncertain || why.After <= 0 {
			t.Errorf("item %d: %+v", i, why)
		}
	})
	if begun != 1 || len(left) != 19 {
		t.Errorf("begun %d, left %v", begun, left)
	}
}

// One item that bol always breaks over does not stop the others; an outage does.
func TestOutageStopsThePush(t *testing.T) {
	broken := &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true}
	w := &crew{}
	for _, err := range []error{broken, broken, nil, broken, broken, &connectors.Error{Verdict: connectors.Validation}, broken} {
		w.heed(err)
	}
	if w.stopped(t.Context()) != nil {
		t.Error("stopped although others got through")
	}
	w.heed(broken)
	w.heed(broken)
	if e := w.stopped(t.Context()); e == nil || e.Verdict != connectors.Unavailable || e.Uncertain {
		t.Errorf("after an outage: %+v", e)
	}
	for _, v := range []connectors.Verdict{connectors.Throttled, connectors.Auth} {
		w := &crew{}
		w.heed(&connectors.Error{Verdict: v, After: time.Minute})
		if e := w.stopped(t.Context()); e == nil || e.Verdict != v || e.After != time.Minute {
			t.Errorf("after %s: %+v", v, e)
		}
	}
}

func TestWhole(t *testing.T) {
	result := func(v connectors.Verdict, uncertain bool, after time.Duration) connectors.Result {
		return connectors.Result{Err: &connectors.Error{Verdict: v, Uncertain: uncertain, After: after}}
	}
	taken := connectors.Result{Status: connectors.Accepted}
	for name, c := range map[string]struct {
		results   []connectors.Result
		local     int // the first ones
		verdict   connectors.Verdict
		uncertain bool
		after     time.Duration
	}{
		"all taken":                {results: []connectors.Result{taken}},
		"one taken":                {results: []connectors.Result{taken, result(connectors.Throttled, false, 1)}},
		"one refused":              {results: []connectors.Result{result(connectors.Validation, false, 0), result(connectors.Unavailable, true, 0)}},
		"nothing asked":            {results: []connectors.Result{result(connectors.Validation, false, 0)}, local: 1},
		"all throttled":            {results: []connectors.Result{result(connectors.Throttled, false, 1), result(connectors.Throttled, false, 5)}, verdict: connectors.Throttled, after: 5},
		"the worst counts":         {results: []connectors.Result{result(connectors.Throttled, false, 1), result(connectors.Unavailable, true, 0)}, verdict: connectors.Unavailable, uncertain: true, after: 1},
		"what was not asked is no": {results: []connectors.Result{result(connectors.Validation, false, 0), result(connectors.Auth, false, 0)}, local: 1, verdict: connectors.Auth},
	} {
		err := whole(c.results, func(i int) bool { return i < c.local })
		if err == nil {
			if c.verdict != "" {
				t.Errorf("%s: no error", name)
			}
			continue
		}
		if e := connectors.AsError(err); e.Verdict != c.verdict || e.Uncertain != c.uncertain || e.After != c.after {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestTicketsSurviveBeingStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := ticket{at: time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "at"), 0), own: rapid.SampledFrom(languages).Draw(t, "own")}
		for i := range rapid.IntRange(1, len(languages)).Draw(t, "n") {
			want.processes = append(want.processes, process{languages[i], rapid.StringN(1, 40, 200).Draw(t, "id")})
		}
		got, ok := readTicket(want.String())
		if !ok || got.String() != want.String() || !got.at.Equal(want.at) || got.processes[0] != want.processes[0] {
			t.Fatalf("%+v became %+v (%v)", want, got, ok)
		}
	})
}

func FuzzTicket(f *testing.F) {
	f.Add("1|1763700000|nl|nl=019bbcbc-1a21-77c9-9de6-000000000001|fr=2")
	f.Add("x")
	f.Add("1|9|nl|nl=%")
	f.Fuzz(func(t *testing.T, token string) {
		if read, ok := readTicket(token); ok && len(read.processes) == 0 {
			t.Errorf("%q has no process", token)
		}
	})
}

// Whatever a mapping writes is either told of or fit to be sent.
func FuzzDocuments(f *testing.F) {
	s, err := parse(json.RawMessage(`{"client_id":"a","client_secret":"b"}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"ean":"4006381333931","price":"19.90","stock":3,"bundles":[{"quantity":2,"price":"18"}],"condition":{"category":"NEW"}}`))
	f.Add([]byte(`{"ean":4006381333931,"Name@fr":["a",{"value":1e400,"unit":3}],"images":[{"url":"http://x","labels":[1]}],"fulfilment":{"method":{}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := connectors.DecodeDocument(raw)
		if err != nil {
			return
		}
		o, issues := s.offer(doc)
		if fine(issues) && (o.EAN == "" || len(o.Pricing.Bundles) == 0 || len(o.Pricing.Bundles) > maxBundles || o.Stock != nil && (o.Stock.Amount < 0 || o.Stock.Amount > maxStock)) {
			t.Errorf("%s becomes %+v", raw, o)
		}
		contents, issues := s.contents(doc)
		if fine(issues) && len(contents) == 0 {
			t.Errorf("%s becomes nothing", raw)
		}
		for _, c := range contents {
			if len(c.fields) != len(c.Attributes) || len(c.Attributes) == 0 || c.Attributes[0].ID != "EAN" {
				t.Errorf("%s becomes %+v", raw, c)
			}
		}
	})
}

func fine(issues []pim.Issue) bool { return !(&faults{issues: issues}).fatal() }

func TestDuplicateWords(t *testing.T) {
	for text, want := range map[string]bool{
		"Duplicate found": true, "An offer with this EAN already exists.": true, "must not be null": false,
	} {
		if duplicateWords.MatchString(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}
