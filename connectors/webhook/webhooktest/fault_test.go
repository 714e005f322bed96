package webhooktest_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
)

// lostCall expects that no answer comes.
func lostCall(t *testing.T, s *webhooktest.Server, m message) {
	t.Helper()
	if status, body, err := send(t, s, m); err == nil {
		t.Fatalf("answered %d %s", status, body)
	}
}

func TestFaults(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{})
	one := func(rev int) message { return items(upsert("A", pim.Content, rev, fmt.Sprintf(`{"v":%d}`, rev))) }
	holds := func(want string) {
		t.Helper()
		if got := document(s, "A", pim.Content); got != want {
			t.Fatalf("holds %s, want %s", got, want)
		}
	}
	s.Script(webhooktest.Fault{Kind: webhooktest.Fail, Times: 1}, webhooktest.Fault{Kind: webhooktest.Fail, Status: 502, Apply: true, Times: 1},
		webhooktest.Fault{Kind: webhooktest.Unauthorized, Times: 1}, webhooktest.Fault{Kind: webhooktest.Throttle, After: 1500 * time.Millisecond, Times: 1})
	must(t, s, one(1), 500, "")
	holds("")
	must(t, s, one(2), 502, "")
	holds(`{"v":2}`)
	must(t, s, one(3), 401, "")
	must(t, s, one(4), 429, "")
	must(t, s, one(5), 200, "accepted")
	holds(`{"v":5}`)

	s.Script(webhooktest.Fault{Kind: webhooktest.Reset, Times: 1}, webhooktest.Fault{Kind: webhooktest.Lose, Times: 1}, webhooktest.Fault{Kind: webhooktest.Garbage, Times: 1})
	lostCall(t, s, one(6))
	holds(`{"v":5}`)
	lostCall(t, s, one(7))
	holds(`{"v":7}`)
	if _, body, _ := send(t, s, one(8)); json.Valid([]byte(body)) {
		t.Errorf("garbage is valid: %s", body)
	}
	holds(`{"v":8}`)

	s.Down(webhooktest.Fail)
	must(t, s, one(9), 503, "")
	must(t, s, message{path: webhooktest.StatusPath, body: `{"tokens":[]}`}, 503, "")
	s.Up()
	must(t, s, one(10), 200, "accepted")

	s.Script(webhooktest.Fault{Kind: webhooktest.Fail, Only: func(list []webhooktest.Item) bool { return list[0].SKU == "B" }})
	must(t, s, one(11), 200, "accepted")
	must(t, s, items(upsert("B", pim.Content, 1, `{}`)), 500, "")
	s.Script()
	s.Reject("B", pim.Issue{Code: "ugly", Severity: pim.SeverityError, Text: "no"})
	must(t, s, items(upsert("B", pim.Content, 1, `{}`)), 200, `"code":"ugly"`)
	s.Accept("B")
	must(t, s, items(upsert("B", pim.Content, 1, `{}`)), 200, "accepted")
	if c := s.Counts(); c.Throttled != 1 || c.Rejected != 1 {
		t.Errorf("%+v", c)
	}
}

// A request whose answer was lost is applied after a newer one: what a settle
// time is for.
func TestLate(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{})
	s.Script(webhooktest.Fault{Kind: webhooktest.Late, Times: 1}, webhooktest.Fault{Kind: webhooktest.Late, Calls: 2, Times: 1})
	lostCall(t, s, items(upsert("A", pim.Content, 1, `{"v":1}`)))
	lostCall(t, s, items(upsert("B", pim.Content, 1, `{"v":1}`)))
	must(t, s, items(upsert("A", pim.Content, 2, `{"v":2}`)), 200, "accepted")
	if document(s, "B", pim.Content) != "" {
		t.Error("applied a call too early")
	}
	must(t, s, items(upsert("C", pim.Content, 1, `{}`)), 200, "accepted")
	if document(s, "B", pim.Content) == "" || document(s, "A", pim.Content) != `{"v":2}` {
		t.Error("after two calls the second late one is applied, the first not")
	}
	if n := s.ApplyLate(); n != 1 || document(s, "A", pim.Content) != `{"v":1}` {
		t.Errorf("%d applied, A is %s", n, document(s, "A", pim.Content))
	}
	if f := s.Falls(); len(f) != 0 {
		t.Errorf("sent in order, yet falls: %q", f)
	}
}

func TestHang(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{})
	s.Script(webhooktest.Fault{Kind: webhooktest.Hang, Times: 1})
	done := make(chan int, 1)
	go func() {
		status, _, _ := send(t, s, items(upsert("A", pim.Content, 1, `{}`)))
		done <- status
	}()
	wait(t, s, func(st webhooktest.State) bool { return st.Counts().Hanging == 1 })
	if document(s, "A", pim.Content) != "" {
		t.Error("applied while it hangs")
	}
	s.Release()
	if status := <-done; status != 200 || document(s, "A", pim.Content) == "" {
		t.Errorf("released: %d", status)
	}
	h := s.History("A", pim.Content)
	if len(h) != 2 || h[0].Outcome != webhooktest.Held || h[1].Outcome != webhooktest.Applied || !h[1].Late {
		t.Errorf("history %+v", h)
	}
	// A closing server leaves nobody hanging.
	s.Down(webhooktest.Hang)
	go func() {
		_, _, err := send(t, s, items(upsert("A", pim.Content, 2, `{}`)))
		if err == nil {
			t.Error("answered")
		}
		done <- 0
	}()
	wait(t, s, func(st webhooktest.State) bool { return st.Counts().Hanging == 1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
}

func TestRefuse(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{})
	url := s.URL()
	must(t, s, items(upsert("A", pim.Content, 1, `{}`)), 200, "accepted")
	for range 2 {
		if err := s.Refuse(true); err != nil {
			t.Fatal(err)
		}
		lostCall(t, s, items(upsert("A", pim.Content, 2, `{}`)))
		if err := s.Refuse(false); err != nil || s.URL() != url {
			t.Fatal(err, s.URL())
		}
	}
	must(t, s, items(upsert("A", pim.Content, 3, `{}`)), 200, "accepted")
	if s.Counts().Calls != 2 {
		t.Errorf("%d calls arrived", s.Counts().Calls)
	}
}

func TestRate(t *testing.T) {
	s := webhooktest.Start(t, webhooktest.Options{})
	s.Throttle(0.001, 2)
	must(t, s, items(), 200, "")
	must(t, s, items(), 200, "")
	must(t, s, items(), 429, "")
	s.Throttle(0, 0)
	must(t, s, items(), 200, "")
	if s.Counts().Probes != 4 {
		t.Errorf("%+v", s.Counts())
	}
}
