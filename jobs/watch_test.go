package jobs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/notify"
	"github.com/sluicehub/sluice/connectors/notify/notifytest"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// listener is somebody who is told by webhook, and who refuses at first.
type listener struct {
	*httptest.Server
	mu      sync.Mutex
	refuse  int
	calls   int
	ids     map[string]int
	notices map[string]int // channel, kind and change
}

func listen(t testing.TB, refuse int) *listener {
	t.Helper()
	l := &listener{refuse: refuse, ids: map[string]int{}, notices: map[string]int{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var b struct{ Data notify.Message }
		_ = json.Unmarshal(body, &b)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls++
		id := r.Header.Get("Webhook-Id")
		l.ids[id]++
		if l.calls <= l.refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if l.ids[id] > l.refuse+1 {
			return // it has it
		}
		for _, n := range b.Data.Notices {
			l.notices[fmt.Sprintf("%s %s %s", n.Alert.Channel, n.Alert.Kind, n.Change)]++
		}
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) heard(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notices[what]
}

// withNotifiers makes notifiers, and the workers that tell them.
func (r *road) withNotifiers(workers int, mail notify.Mail) *jobs.Notifiers {
	r.Helper()
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	n := jobs.NewNotifiers(r.store, keys, notify.Env{AllowPrivate: true, Mail: mail})
	for i := range workers {
		runner, err := jobs.New(jobs.Config{
			Store: r.store, Channels: r.channels, Log: r.log, Holder: fmt.Sprint("worker ", i), Work: true, Lease: 30 * time.Second,
			Notifiers: n, Watch: 20 * time.Millisecond, Gather: time.Millisecond,
		})
		if err != nil {
			r.Fatal(err)
		}
		if err := runner.Start(r.ctx); err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() {
			if err := runner.Stop(r.ctx); err != nil {
				r.Error(err)
			}
		})
	}
	return n
}

// A channel that is down is told once, however many processes look after it, and
// although the first attempts to tell fail; that it is back is told, too, and
// those who asked for other channels or other alerts hear nothing.
func TestSomebodyIsTold(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	soon := func(s *jobs.ChannelSpec) {
		s.Policy.Alerts = pim.Alerts{RaiseSeconds: 1, ClearSeconds: 1, PausedSeconds: 1, Rejected: 1}
	}
	shop := r.channel("shop", webhooktest.Options{}, soon)
	r.channel("other", webhooktest.Options{}, soon)
	server, err := notifytest.NewSMTP(notifytest.Options{Username: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.Refuse(1)
	n := r.withNotifiers(3, notify.Mail{Host: server.Host, Port: server.Port, Security: "starttls", Username: "u", Password: "p", From: "s@x.example", Roots: server.Roots})
	all, others := listen(t, 1), listen(t, 0)
	create := func(code string, l *listener, channels []pim.ChannelCode, kinds []pim.AlertKind) {
		t.Helper()
		config, _ := json.Marshal(map[string]any{"url": l.URL, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
		spec := jobs.NotifierSpec{Code: code, Kind: "webhook", Config: config, Channels: &channels, Kinds: &kinds}
		if _, err := n.Create(r.ctx, spec); err != nil {
			t.Fatal(err)
		}
	}
	create("all", all, nil, nil)
	create("others", others, []pim.ChannelCode{"other"}, []pim.AlertKind{pim.AlertDown, pim.AlertStale})
	if _, err := n.Create(r.ctx, jobs.NotifierSpec{Code: "people", Kind: "email", Config: json.RawMessage(`{"to":["ops@x.example"]}`)}); err != nil {
		t.Fatal(err)
	}

	shop.Down(webhooktest.Reset)
	r.put(skus(3), title("x"))
	r.until(func() bool { return all.heard("shop down raised") > 0 })
	list, _, err := r.store.Alerts(r.ctx, "", false, postgres.Page{})
	if err != nil || len(list) != 1 || list[0].Channel != "shop" || list[0].Kind != pim.AlertDown || list[0].Detail == "" || !strings.Contains(list[0].Advice, "docs/runbook.md#") {
		t.Errorf("%+v %v", list, err)
	}
	shop.Up()
	r.until(func() bool { return all.heard("shop down cleared") > 0 })
	if err := r.store.PauseChannel(r.ctx, "other"); err != nil {
		t.Fatal(err)
	}
	r.until(func() bool { return all.heard("other paused raised") > 0 })
	for i, sku := range skus(2) {
		shop.Reject(sku, pim.Issue{Code: "bad", Severity: pim.SeverityError, Text: fmt.Sprint("no ", i)})
	}
	r.put(skus(2), title("y"))
	r.until(func() bool { return all.heard("shop rejecting raised") > 0 })
	r.until(func() bool {
		waiting := int64(0)
		list, err := r.store.Notifiers(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			waiting += x.Waiting
		}
		return waiting == 0
	})
	all.mu.Lock()
	defer all.mu.Unlock()
	for what, n := range all.notices {
		if n != 1 {
			t.Errorf("%s was told %d times", what, n)
		}
	}
	if len(all.notices) != 4 || all.calls <= 4 {
		t.Errorf("%v in %d calls", all.notices, all.calls)
	}
	if others.calls != 0 {
		t.Errorf("told of what it did not want to know: %v", others.notices)
	}
	mails := map[string]int{}
	for len(server.Taken()) > 0 {
		m := <-server.Taken()
		_, rest, _ := strings.Cut(m.Data, "Message-ID: ")
		id, _, _ := strings.Cut(rest, "\n")
		mails[id]++
	}
	for id, n := range mails {
		if n != 1 {
			t.Errorf("mail %s arrived %d times", id, n)
		}
	}
	if len(mails) == 0 {
		t.Error("no mail came")
	}
	if err := n.Test(r.ctx, "people"); err != nil {
		t.Error(err)
	}
}

// What was to be told outlives the process that was to tell it: another one
// sends the same message under the same name, and what was taken but not said to
// have arrived is not lost.
func TestMessagesSurviveACrash(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, nil)
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		t.Fatal(err)
	}
	n := jobs.NewNotifiers(r.store, keys, notify.Env{AllowPrivate: true})
	if _, err := n.Create(r.ctx, jobs.NotifierSpec{Code: "n", Kind: "webhook", Config: json.RawMessage(`{"url":"http://127.0.0.1:1","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`)}); err != nil {
		t.Fatal(err)
	}
	raise := func(now time.Time, channels []postgres.Watched, _ []postgres.AlertState) ([]postgres.AlertChange, error) {
		a := postgres.AlertState{Channel: channels[0].Channel, Code: "shop", Kind: pim.AlertDown, Since: now, RaisedAt: &now}
		return []postgres.AlertChange{{AlertState: a, Notice: []byte(`{"change":"raised"}`)}}, nil
	}
	if turn, err := r.store.Watch(r.ctx, time.Hour, raise); err != nil || !turn {
		t.Fatal(turn, err)
	}
	if turn, err := r.store.Watch(r.ctx, time.Hour, raise); err != nil || turn {
		t.Fatalf("two processes looked at once: %v", err)
	}
	first, err := r.store.TakeErrand(r.ctx, "msg_first", 0, time.Hour, 10)
	if err != nil || first == nil || first.Message != "msg_first" || len(first.Notices) != 1 {
		t.Fatal(first, err)
	}
	if second, err := r.store.TakeErrand(r.ctx, "msg_second", 0, time.Hour, 10); err != nil || second != nil {
		t.Fatalf("two processes have one message: %+v %v", second, err)
	}
	// The process dies; its time runs out.
	if _, err := r.store.Pool().Exec(r.ctx, `update notifier set next_at = now() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	again, err := r.store.TakeErrand(r.ctx, "msg_second", 0, time.Hour, 10)
	if err != nil || again == nil || again.Message != "msg_first" || len(again.Notices) != 1 {
		t.Fatalf("%+v %v", again, err)
	}
	// The first one was only slow: what it says of a failure is of no use any more.
	if err := r.store.NotArrived(r.ctx, first, "late", 0, time.Hour); err != nil {
		t.Fatal(err)
	}
	if x, err := r.store.Notifier(r.ctx, "n"); err != nil || x.Fails != 0 || x.Waiting != 1 {
		t.Errorf("%+v %v", x, err)
	}
	if err := r.store.NotArrived(r.ctx, again, "refused", 0, time.Hour); err != nil {
		t.Fatal(err)
	}
	last, err := r.store.TakeErrand(r.ctx, "msg_third", 0, time.Hour, 10)
	if err != nil || last == nil || last.Message != "msg_first" || last.Fails != 1 {
		t.Fatalf("%+v %v", last, err)
	}
	if err := r.store.Arrived(r.ctx, last); err != nil {
		t.Fatal(err)
	}
	if x, err := r.store.Notifier(r.ctx, "n"); err != nil || x.Fails != 0 || x.Waiting != 0 || x.SentAt == nil {
		t.Errorf("%+v %v", x, err)
	}
}

// Who takes long to hear what he is told does not keep the channels from being
// looked after.
func TestWatchDoesNotWaitForListeners(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	for _, code := range []pim.ChannelCode{"first", "second"} {
		r.channel(code, webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Policy.Alerts = pim.Alerts{PausedSeconds: 1} })
	}
	called, gaveUp, answer := make(chan struct{}, 100), make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body) // else it is not seen that the caller is gone
		called <- struct{}{}
		select {
		case <-q.Context().Done():
			once.Do(func() { close(gaveUp) })
		case <-answer:
		}
	}))
	t.Cleanup(slow.Close)
	n := r.withNotifiers(1, notify.Mail{})
	config, _ := json.Marshal(map[string]any{"url": slow.URL, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if _, err := n.Create(r.ctx, jobs.NotifierSpec{Code: "slow", Kind: "webhook", Config: config}); err != nil {
		t.Fatal(err)
	}
	raised := func(code pim.ChannelCode) bool {
		list, _, err := r.store.Alerts(r.ctx, code, false, postgres.Page{})
		if err != nil {
			t.Fatal(err)
		}
		return len(list) > 0
	}
	if err := r.store.PauseChannel(r.ctx, "first"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-called:
	case <-r.ctx.Done():
		t.Fatal("nobody is told")
	}
	if err := r.store.PauseChannel(r.ctx, "second"); err != nil {
		t.Fatal(err)
	}
	r.until(func() bool {
		select {
		case <-gaveUp:
			t.Fatal("nothing was found for as long as the message was on its way")
		default:
		}
		return raised("second")
	})
	close(answer)
}
