package jobs_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// script is a connector that a test answers for, call by call.
type script struct {
	mu     sync.Mutex
	push   func(items []connectors.Item) ([]connectors.Result, error)
	poll   func() connectors.Result
	pushed []time.Time // when calls came in, polls among them
}

func (s *script) set(push func(items []connectors.Item) ([]connectors.Result, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.push = push
}

// alike answers all items alike.
func alike(r connectors.Result) func([]connectors.Item) ([]connectors.Result, error) {
	return func(items []connectors.Item) ([]connectors.Result, error) {
		return slices.Repeat([]connectors.Result{r}, len(items)), nil
	}
}

func failing(e connectors.Error) func([]connectors.Item) ([]connectors.Result, error) {
	return func([]connectors.Item) ([]connectors.Result, error) {
		own := e
		own.Err = cmp.Or(e.Err, errors.New("not now"))
		return nil, &own
	}
}

var accepted = alike(connectors.Result{Status: connectors.Accepted})

// Push implements connectors.Connector.
func (s *script) Push(_ context.Context, items []connectors.Item) ([]connectors.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushed = append(s.pushed, time.Now())
	return s.push(items)
}

// Poll implements connectors.Poller.
func (s *script) Poll(_ context.Context, tokens []string) ([]connectors.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushed = append(s.pushed, time.Now())
	return slices.Repeat([]connectors.Result{s.poll()}, len(tokens)), nil
}

// Probe implements connectors.Connector.
func (s *script) Probe(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.push(nil)
	return err
}

// after is when the first call after a time came in; zero: none has.
func (s *script) after(at time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.pushed, func(t time.Time) bool { return t.After(at) }); i >= 0 {
		return s.pushed[i]
	}
	return time.Time{}
}

// scripted makes the channel "shop" on a script, which accepts everything.
func (r *road) scripted() *script {
	r.Helper()
	s := &script{push: accepted}
	kind := &connectors.Kind{
		Name: "scripted", Title: "Scripted", Lanes: pim.AllLanes, Config: &struct{}{}, MaxBatch: 100, Makes: []connectors.Connector{s},
		Limits: connectors.Limits{Batch: 100, Concurrency: 1, Timeout: 30 * time.Second, Settle: 3 * time.Second},
		New:    func(json.RawMessage, connectors.Env) (connectors.Connector, error) { return s, nil },
	}
	keys, err := seal.OpenOrCreate(r.keyset)
	if err != nil {
		r.Fatal(err)
	}
	r.channels = jobs.NewChannels(r.store, connectors.NewRegistry(kind), keys, connectors.Env{})
	return s
}

func (r *road) scriptedShop(change func(*jobs.ChannelSpec)) {
	r.Helper()
	spec := jobs.ChannelSpec{Code: "shop", Connector: "scripted", Locale: "en-GB", Currency: "EUR", Mapping: &connectors.Mapping{
		Content: map[string]string{"name": "values.name", "where": "targetCategories"}, Offer: map[string]string{"price": "price", "stock": "stock"},
		Categories: map[string][]string{"good": {"g"}}, Unmapped: connectors.UnmappedError,
	}}
	if change != nil {
		change(&spec)
	}
	if _, err := r.channels.Create(r.ctx, spec); err != nil {
		r.Fatal(err)
	}
}

// explain asks why a lane of a product is as it is.
func (r *road) explain(sku pim.SKU, lane pim.Lane) jobs.LaneExplanation {
	r.Helper()
	x, err := r.channels.Explain(r.ctx, "shop", sku)
	if err != nil {
		r.Fatal(err)
	}
	for _, l := range x.Lanes {
		if l.Lane == lane {
			return l
		}
	}
	r.Fatalf("%s has no lane %s: %+v", sku, lane, x)
	return jobs.LaneExplanation{}
}

// is waits until a reason is given, and holds what is said with it against what
// must hold of any: it has words, and times that make sense.
func (r *road) is(sku pim.SKU, lane pim.Lane, reason jobs.Reason) (l jobs.LaneExplanation, at time.Time) {
	r.Helper()
	var x *jobs.Explanation
	seen := map[jobs.Reason]bool{}
	defer func() {
		if r.ctx.Err() != nil {
			r.Errorf("%s %s was %v, never %s; last: %+v", sku, lane, seen, reason, l)
		}
	}()
	r.until(func() bool {
		var err error
		if x, err = r.channels.Explain(r.ctx, "shop", sku); err != nil {
			return false
		}
		i := slices.IndexFunc(x.Lanes, func(l jobs.LaneExplanation) bool { return l.Lane == lane })
		if l = x.Lanes[i]; l.Reason != reason {
			seen[l.Reason] = true
		}
		return l.Reason == reason
	})
	dirty := l.Chain.Listing != nil && l.Chain.Listing.Dirty
	switch {
	case l.Text == "", !slices.Contains(jobs.Reasons, l.Reason):
		r.Errorf("%s is not said: %+v", reason, l)
	case l.Until != nil && !l.Until.After(x.At):
		r.Errorf("%s until %s, and it is %s", reason, l.Until, x.At)
	case l.Since != nil && l.Since.After(x.At), dirty && (l.Since == nil || !l.Since.Equal(*l.Chain.Listing.DirtySince)):
		r.Errorf("%s since %v, and it is %s: %+v", reason, l.Since, x.At, l.Chain.Listing)
	case reason.Fine() && dirty:
		r.Errorf("%s, and something is still to be sent", reason)
	}
	return l, x.At
}

// What waits for a time waits until it, and not less: each is brought about at
// the target, and what was said of it comes true.
func TestExplainsWhatWaits(t *testing.T) {
	t.Parallel()
	const A = pim.SKU("A")
	for _, c := range []struct {
		name   string
		push   func([]connectors.Item) ([]connectors.Result, error)
		reason jobs.Reason
		text   string
		held   jobs.OnTarget
		check  func(t *testing.T, l jobs.LaneExplanation)
	}{
		{
			name: "a conflict", push: alike(connectors.Result{Err: &connectors.Error{Verdict: connectors.Conflict, After: 2 * time.Second, Err: errors.New("somebody else was faster")}}),
			reason: jobs.ReasonRetrying, text: "somebody else was faster", held: jobs.OnTargetNo, check: func(t *testing.T, l jobs.LaneExplanation) {
				if l.Chain.Answer.Verdict != "conflict" || l.Chain.Listing.Attempts == 0 {
					t.Errorf("%+v", l.Chain)
				}
			},
		},
		{
			name: "a throttle of one listing", push: alike(connectors.Result{Err: &connectors.Error{Verdict: connectors.Throttled, After: 2 * time.Second, Err: errors.New("this one later")}}),
			reason: jobs.ReasonThrottled, text: "this one later", held: jobs.OnTargetNo,
		},
		{name: "a throttle", push: failing(connectors.Error{Verdict: connectors.Throttled, After: 2 * time.Second}), reason: jobs.ReasonThrottled, text: "throttles the channel", held: jobs.OnTargetNo},
		{
			name: "a failure", push: failing(connectors.Error{Verdict: connectors.Unavailable, After: 2 * time.Second, Err: errors.New("out to lunch")}),
			reason: jobs.ReasonFailing, text: "out to lunch", held: jobs.OnTargetNo,
		},
		{
			name: "failures in a row", push: failing(connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("out to lunch")}),
			reason: jobs.ReasonBreakerOpen, text: "out to lunch", held: jobs.OnTargetNo,
		},
		{
			name: "a ticket", push: alike(connectors.Result{Status: connectors.Pending, Token: "t", After: 2 * time.Second}), reason: jobs.ReasonPending, text: "has had revision 1", held: jobs.OnTargetUncertain,
			check: func(t *testing.T, l jobs.LaneExplanation) {
				if l.State != pim.StatePending || l.Chain.Answer.TicketSince == nil || l.Chain.Answer.Verdict != "pending" {
					t.Errorf("%+v", l.Chain)
				}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoad(t)
			s := r.scripted()
			s.poll = func() connectors.Result { return connectors.Result{Status: connectors.Live} }
			r.scriptedShop(nil)
			s.set(c.push)
			r.work()
			r.put([]pim.SKU{A}, title("A"))
			var l jobs.LaneExplanation
			var at time.Time
			r.until(func() bool { // of the breaker, one with a time: in between it is being tried
				l, at = r.is(A, pim.Content, c.reason)
				return l.Until != nil
			})
			s.set(accepted)
			if !strings.Contains(l.Text, c.text) || l.OnTarget != c.held {
				t.Errorf("said %q; on target: %s", l.Text, l.OnTarget)
			}
			if l.Chain.Edit.Actor != "test" || l.Chain.Edit.Type != pim.EventProductCreated || !slices.Equal(l.Chain.Rule.Fields, []string{"name", "where"}) {
				t.Errorf("%+v %+v", l.Chain.Edit, l.Chain.Rule)
			}
			if c.check != nil {
				c.check(t, l)
			}
			r.settled("shop")
			next := s.after(at)
			if next.Before(*l.Until) && c.reason != jobs.ReasonBreakerOpen { // which may have been tried between the two looks
				t.Errorf("until %s, and it was tried at %s", l.Until, next)
			}
			if x := r.explain(A, pim.Content); !x.Reason.Fine() || x.OnTarget == jobs.OnTargetNo {
				t.Errorf("in the end: %+v", x)
			}
		})
	}
}

// An answer that was lost is settled when its time has come.
func TestExplainsDoubt(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	s := r.scripted()
	r.scriptedShop(nil)
	r.work()
	s.set(failing(connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, After: time.Second}))
	r.put([]pim.SKU{"A"}, title("A"))
	l, _ := r.is("A", pim.Content, jobs.ReasonFailing)
	s.set(accepted)
	if l.OnTarget != jobs.OnTargetUncertain || l.Chain.Listing.SettlesAt == nil {
		t.Errorf("%+v", l)
	}
	l, at := r.is("A", pim.Content, jobs.ReasonSettling)
	if l.Until == nil || l.OnTarget != jobs.OnTargetUncertain || l.Until.Before(*l.Chain.Listing.SettlesAt) {
		t.Fatalf("%+v", l)
	}
	r.settled("shop")
	if next := s.after(at); next.Before(*l.Until) {
		t.Errorf("until %s, and it was sent at %s", l.Until, next)
	}
	if l := r.explain("A", pim.Content); l.Reason != jobs.ReasonAccepted || l.OnTarget != jobs.OnTargetAccepted {
		t.Errorf("in the end: %+v", l)
	}
}

// What nobody has come to yet says so.
func TestExplainsBeforeAnythingWorks(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.scripted()
	r.put([]pim.SKU{"A"}, title("A"))
	fanout := func(do func(l postgres.Lease) (postgres.Marked, error)) {
		t.Helper()
		l, err := r.store.Take(r.ctx, postgres.Consumer{Kind: postgres.Fanout}, 0, "test", time.Minute)
		if err == nil {
			_, err = do(l)
		}
		if err == nil {
			tx, e := r.store.Pool().Begin(r.ctx)
			if err = e; err == nil {
				if err = r.store.Release(r.ctx, tx, l); err == nil {
					err = tx.Commit(r.ctx)
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out := func(l postgres.Lease) (postgres.Marked, error) { return r.store.FanOut(r.ctx, l, 100) }
	mark := func(l postgres.Lease) (postgres.Marked, error) { return r.store.MarkChannel(r.ctx, l, 100) }
	fanout(out)
	r.scriptedShop(nil)

	if x, err := r.channels.Explain(r.ctx, "shop", "none"); err != nil || x.Reason != jobs.ReasonUnknownProduct || x.OnTarget != jobs.OnTargetNo || len(x.Lanes) != 0 {
		t.Errorf("%+v: %v", x, err)
	}
	if _, err := r.channels.Explain(r.ctx, "none", "A"); !errors.Is(err, postgres.ErrNotFound) {
		t.Errorf("a channel that there is not: %v", err)
	}
	r.is("A", pim.Content, jobs.ReasonMarking)
	r.is("A", pim.Offer, jobs.ReasonEmpty)
	r.is("A", pim.Media, jobs.ReasonNotMapped)
	fanout(mark)
	fanout(mark)
	r.is("A", pim.Content, jobs.ReasonNoWorker)
	r.put([]pim.SKU{"B"}, title("B"))
	if l, _ := r.is("B", pim.Content, jobs.ReasonFanout); l.Since == nil || l.Chain.Edit == nil || l.Chain.Listing != nil {
		t.Errorf("%+v", l)
	}
	fanout(func(l postgres.Lease) (m postgres.Marked, err error) {
		var row int64
		if err = r.store.Pool().QueryRow(r.ctx, `select min(id) from outbox`).Scan(&row); err == nil {
			err = r.store.SetAside(r.ctx, l, row, errors.New("indigestible"))
		}
		return m, err
	})
	if l, _ := r.is("B", pim.Content, jobs.ReasonFanoutFailed); !strings.Contains(l.Text, "indigestible") {
		t.Errorf("%+v", l)
	}
	if err := r.store.PauseChannel(r.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	r.is("A", pim.Content, jobs.ReasonPaused)
	if err := r.store.ResumeChannel(r.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if err := r.store.ResyncChannel(r.ctx, "shop", true); err != nil {
		t.Fatal(err)
	}
	r.is("A", pim.Content, jobs.ReasonMarking)
	r.work() // and all of it comes to an end by itself
	r.is("A", pim.Content, jobs.ReasonAccepted)
	// Nothing but a mistake of somebody's takes a listing away, and then it is told.
	if _, err := r.store.Pool().Exec(r.ctx, `delete from listing l using product p where p.id = l.product_id and p.sku = 'A' and l.lane = $1`, pim.Content); err != nil {
		t.Fatal(err)
	}
	if l, _ := r.is("A", pim.Content, jobs.ReasonUnlisted); !strings.Contains(l.Text, "resync") {
		t.Errorf("%+v", l)
	}
}

// What was refused says by whom and why, and what waits for it says so, too;
// what is there says how it came there.
func TestExplainsWhatRests(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	s := r.scripted()
	r.scriptedShop(nil)
	r.work()
	sku := []pim.SKU{"A"}
	s.set(func(items []connectors.Item) ([]connectors.Result, error) {
		return alike(connectors.Result{Err: &connectors.Error{
			Verdict: connectors.Validation, Err: errors.New("refused"), Issues: []pim.Issue{{Code: "x", Severity: pim.SeverityError, Attribute: "name", Text: "is too short"}},
		}})(items)
	})
	r.put(sku, title("A"))
	l, _ := r.is("A", pim.Content, jobs.ReasonParked)
	if !strings.Contains(l.Text, "name: is too short") || l.State != pim.StateRejected || l.Since == nil || l.Chain.Answer.Verdict != "validation" || l.Chain.Attempt == nil || len(l.Chain.Answer.Issues) != 1 {
		t.Errorf("%+v", l)
	}
	r.offer("A", "1.00", 5)
	if l, _ := r.is("A", pim.Offer, jobs.ReasonWaitsForContent); !strings.Contains(l.Text, "too short") || l.Chain.Edit.Type != pim.EventStockChanged || l.Chain.Edit.Actor == "" {
		t.Errorf("%+v", l)
	}
	if x, err := r.channels.Explain(r.ctx, "shop", "A"); err != nil || x.Reason != jobs.ReasonParked || x.OnTarget != jobs.OnTargetNo {
		t.Errorf("%+v: %v", x, err)
	}

	bad := []string{"bad"}
	edit := func(e postgres.Edit) {
		t.Helper()
		e.SKU = "A"
		res, err := r.store.Edit(r.ctx, "somebody", []postgres.Edit{e})
		if err != nil || res[0].Err != nil {
			t.Fatal(res, err)
		}
	}
	edit(postgres.Edit{Mode: postgres.Patch, Categories: &bad})
	if l, _ := r.is("A", pim.Content, jobs.ReasonIncomplete); !strings.Contains(l.Text, `category "bad"`) || l.Chain.Attempt != nil || l.Chain.Answer.Verdict != "incomplete" || l.Chain.Edit.Actor != "somebody" {
		t.Errorf("%+v", l)
	}

	s.set(alike(connectors.Result{Status: connectors.Live}))
	good := []string{"good"}
	edit(postgres.Edit{Mode: postgres.Patch, Categories: &good})
	l, _ = r.is("A", pim.Content, jobs.ReasonLive)
	if l.OnTarget != jobs.OnTargetLive || l.State != pim.StateLive || l.Chain.Answer.Revision != l.Chain.Listing.Acknowledged || l.Since == nil || !l.Since.Equal(*l.Chain.Listing.AcknowledgedAt) {
		t.Errorf("%+v", l)
	}
	r.is("A", pim.Offer, jobs.ReasonLive)
	before := len(s.pushed)
	edit(postgres.Edit{Mode: postgres.Patch, Values: pim.Values{"colour": "red"}})
	l, _ = r.is("A", pim.Content, jobs.ReasonNoDifference)
	if l.OnTarget != jobs.OnTargetLive || l.Chain.Listing.Acknowledged <= l.Chain.Answer.Revision || !slices.Equal(l.Chain.Edit.Attributes, []string{"colour"}) || !slices.Equal(l.Chain.Rule.Fields, []string{"where"}) || len(s.pushed) != before {
		t.Errorf("%+v: %d calls, %d before", l, len(s.pushed), before)
	}

	no, yes := false, true
	edit(postgres.Edit{Mode: postgres.Patch, Enabled: &no})
	if l, _ := r.is("A", pim.Content, jobs.ReasonDisabled); l.OnTarget != jobs.OnTargetNo || l.State != pim.StateWithdrawn {
		t.Errorf("%+v", l)
	}
	edit(postgres.Edit{Mode: postgres.Patch, Enabled: &yes})
	r.is("A", pim.Content, jobs.ReasonLive)
	s.set(failing(connectors.Error{Verdict: connectors.Unavailable}))
	edit(postgres.Edit{Mode: postgres.Delete})
	if l, _ := r.is("A", pim.Content, jobs.ReasonBreakerOpen); !strings.Contains(l.Text, "is deleted, and is to be taken off") || l.OnTarget != jobs.OnTargetLive {
		t.Errorf("%+v", l)
	}
	s.set(accepted)
	if l, _ := r.is("A", pim.Content, jobs.ReasonDeleted); l.OnTarget != jobs.OnTargetNo {
		t.Errorf("%+v", l)
	}
}

// What is queued says behind how many, and its attempts are told with the
// requests that they were made of.
func TestExplainsTheQueueAndAttempts(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Batch, s.Concurrency = 1, 1 })
	r.work()
	fake.Down(webhooktest.Hang)
	list := skus(20)
	r.put(list, title("first"))
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Hanging == 1 })
	l, _ := r.is(list[19], pim.Content, jobs.ReasonQueued)
	if l.Ahead != 19 || l.ETA != nil { // all became due together, and nobody knows a pace
		t.Errorf("%+v", l)
	}
	for minutes := range 3 { // a listing a second
		if _, err := r.store.Pool().Exec(r.ctx, `insert into pace (channel_id, lane, minute, began, done)
select $1, 1, m, m, 60 from (select date_trunc('minute', now()) - $2 * interval '1 minute') t (m)
on conflict (channel_id, lane, minute) do update set done = 60, began = excluded.began`, r.of("shop").ID, minutes+1); err != nil {
			t.Fatal(err)
		}
	}
	if l, at := r.is(list[19], pim.Content, jobs.ReasonQueued); l.ETA == nil || l.ETA.Before(at.Add(15*time.Second)) || l.ETA.After(at.Add(time.Minute)) {
		t.Errorf("at %s: %v", at, l.ETA)
	}
	fake.Up()
	r.settled("shop")
	fake.Reject(list[3])
	r.put(list[3:4], title("second"))
	r.settled("shop")
	r.channels.Flush(r.ctx)
	l = r.explain(list[3], pim.Content)
	a := l.Chain.Attempt
	if l.Reason != jobs.ReasonParked || a == nil || len(a.Exchanges) != 2 || !a.Exchanges[0].Failed || a.Exchanges[1].Failed || a.TookMS <= 0 || a.Exchanges[0].Attempt == a.Exchanges[1].Attempt {
		t.Fatalf("%+v: %+v", l, a)
	}
	if kept := r.exchanges("shop", postgres.ExchangeFilter{SKU: list[3]}); len(kept) != 2 || kept[0].ID != a.Exchanges[0].ID {
		t.Errorf("kept %+v", kept)
	}
}

// When a listing that is queued is done can be told while its channel is still being
// published: what that adds comes behind it.
func TestExplainsTheQueueWhileMarking(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, nil)
	list := skus(3)
	r.put(list, title("first"))
	fan, lease := r.fanner(10, time.Hour)
	if err := fan.Step(r.ctx, lease); err != nil {
		t.Fatal(err)
	}
	r.exec(`insert into pace (channel_id, lane, minute, done) select id, 1, date_trunc('minute', now()) - interval '1 minute', 60 from channel`)
	r.exec(`update consumer set holder = 'test' where kind = 'drain'`) // a process works
	if ch := r.of("shop"); !ch.Marking {
		t.Fatal("the channel is published already: the test proves nothing")
	}
	if l, _ := r.is(list[2], pim.Content, jobs.ReasonQueued); l.ETA == nil {
		t.Errorf("%+v", l)
	}
}
