package jobs

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// step is one claim being worked off.
type step struct {
	round
	d       *drainer
	f       *flow
	t       *Target
	l       postgres.Lease
	in      pim.Lanes // what the lane's mapping reads
	allowed int
	probe   bool // the channel is broken: one call may try it
	probed  bool // and it is this step's

	laneHeld bool          // what is claimed is sold out, or pending
	bulk     bool          // nobody waits for anything of it
	spent    time.Duration // by the claim

	mu       sync.Mutex
	outcomes []postgres.Outcome
	verdicts map[string]int
	trouble  *connectors.Error // the first failure of the target as a whole
	throttle time.Duration
	grant    *postgres.Grant // why no further request may be made
	asking   bool            // it was a poll's
	well     bool
	made     atomic.Int64 // requests
	yielded  atomic.Bool  // some of its bulk was left to a later claim
}

func (s *step) run(ctx context.Context, claim *postgres.Claim, items []postgres.Claimed) (next, error) {
	s.verdicts = map[string]int{}
	tasks, err := s.renderInTurn(ctx, claim, items)
	if err != nil || s.yielded.Load() {
		return next{}, err
	}
	var sends, polls, bulk []*task
	for _, t := range tasks {
		switch {
		case t == nil: // rendering refused it; its outcome is there
		case t.Token != "":
			polls = append(polls, t)
		default:
			if o, send := s.plan(t); send && t.Priority == postgres.PriorityBulk {
				bulk = append(bulk, t)
			} else if send {
				sends = append(sends, t)
			} else {
				s.outcomes = append(s.outcomes, o)
				s.verdicts["skipped"]++
			}
		}
	}
	slices.SortStableFunc(sends, func(a, b *task) int { return cmp.Compare(b.Priority, a.Priority) })
	if s.probe {
		sends, bulk = s.withoutOrphans(sends), s.withoutOrphans(bulk)
	}
	if s.probe && len(sends)+len(polls)+len(bulk) > 0 {
		// One listing tries the broken channel; those that need no call are done.
		mine, err := s.d.r.store.TakeProbe(ctx, s.l.Channel, s.t.Timeout)
		if err != nil {
			return next{}, err
		}
		s.probed = mine
		switch {
		case !mine:
			sends, polls, bulk = nil, nil, nil
		case len(sends)+len(bulk) > 0:
			sends, polls, bulk = slices.Concat(sends, bulk)[:1], nil, nil
		default:
			polls = polls[:1]
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(s.allowed)
	if len(polls) == 0 { // one call may take both
		sends, bulk = slices.Concat(sends, bulk), nil
	}
	for _, batch := range s.inBatches(sends) {
		g.Go(func() error { return s.push(gctx, batch) })
	}
	for batch := range chunks(polls, s.t.batch()) {
		g.Go(func() error { return s.poll(gctx, batch) })
	}
	for _, batch := range s.inBatches(bulk) {
		g.Go(func() error { return s.push(gctx, batch) })
	}
	if err := g.Wait(); err != nil {
		return next{}, err
	}
	return s.receive(ctx, claim)
}

// turn is the step's turn to work, where bulk steps aside.
func (s *step) turn(ctx context.Context, spent, most time.Duration, left func() bool) (done func(), goes bool, err error) {
	if !s.bulk {
		return func() {}, true, nil
	}
	return s.d.r.courtesy.turn(ctx, spent, most, s.d.r.pressEvery, left)
}

// renderInTurn renders when it is the step's turn. Where something comes before
// that, which goes before bulk, nothing is rendered, and the step yields.
func (s *step) renderInTurn(ctx context.Context, claim *postgres.Claim, items []postgres.Claimed) ([]*task, error) {
	done, goes, err := s.turn(ctx, s.spent, s.d.r.courtesy.most, func() bool { return s.f.pressed(ctx, items...) })
	if err != nil {
		return nil, err
	}
	defer done()
	if !goes {
		s.yielded.Store(true)
		return nil, nil
	}
	return s.render(ctx, claim, items)
}

// storeInTurn stores the step's receipts, when it is its turn or that has taken long.
func (s *step) storeInTurn(ctx context.Context) (woken []pim.Lane, due int, err error) {
	done, _, err := s.turn(ctx, 0, receiptTurn, func() bool { return false })
	if err != nil {
		return nil, 0, err
	}
	defer done()
	return s.store(ctx, s.outcomes)
}

// chunks cuts ts into batches.
func chunks(ts []*task, n int) func(func([]*task) bool) {
	return func(yield func([]*task) bool) {
		for len(ts) > 0 {
			k := min(n, len(ts))
			if !yield(ts[:k:k]) {
				return
			}
			ts = ts[k:]
		}
	}
}

// render makes the tasks of a claim, in parallel: it is most of the cost.
func (s *step) render(ctx context.Context, claim *postgres.Claim, items []postgres.Claimed) ([]*task, error) {
	began := time.Now()
	tasks := make([]*task, len(items))
	schema, err := s.d.r.store.SchemaOf(ctx, claim.Schema)
	if err != nil {
		return nil, err
	}
	scope := s.t.Scope(claim.Now)
	subjects := make([]*connectors.Subject, len(items))
	refuse := func(ctx context.Context, i int, err error) error {
		if err == nil || ctx.Err() != nil {
			return err
		}
		o := s.failed(tasks[i], err)
		o.Verdict = verdictIncomplete
		s.add("validation", o)
		tasks[i] = nil
		return nil
	}
	err = inParallel(ctx, len(tasks), func(ctx context.Context, i int) (err error) {
		t := &task{Claimed: &items[i], lane: s.l.Lane}
		t.rev = t.revision(s.in)
		tasks[i] = t
		if out := s.sellsOut(t); t.Token != "" || !out && (t.Gone || t.lane != pim.Content && (t.Born <= 0 || t.SoldOut)) {
			return nil
		} else if out {
			subjects[i], _ = s.d.r.channels.decoded.subject(t.Claimed) // its tombstone goes out even so
			return nil
		}
		subjects[i], err = s.d.r.channels.decoded.subject(t.Claimed)
		return refuse(ctx, i, err)
	})
	if err == nil && s.in.Has(pim.Content) {
		err = s.d.r.channels.tell(ctx, s.t, subjects)
	}
	shows := s.t.Program.Records().Has(s.l.Lane)
	if err == nil && shows {
		err = s.d.r.channels.relate(ctx, subjects, schema)
	}
	if err == nil && s.t.Program.Associations().Has(s.l.Lane) {
		err = s.d.r.channels.associate(ctx, s.t, subjects, schema)
	}
	if err == nil && (shows || s.in.Has(pim.Media)) {
		err = s.d.r.channels.illustrate(ctx, s.t, subjects, schema)
	}
	var waits map[pim.ProductID]textWait
	if err == nil && claim.Texts && s.l.Lane == pim.Content {
		waits, err = s.d.r.channels.waits(ctx, s.t, tasks, subjects, schema, claim.Now)
	}
	if err != nil {
		return nil, err
	}
	err = inParallel(ctx, len(tasks), func(ctx context.Context, i int) error {
		if tasks[i] == nil || subjects[i] == nil {
			return nil
		}
		if w, waiting := waits[tasks[i].Product]; waiting {
			tasks[i].hold(w)
			return nil
		}
		if s.sellsOut(tasks[i]) {
			return s.t.projectSoldOut(ctx, tasks[i], subjects[i], schema, scope)
		}
		return refuse(ctx, i, s.t.project(ctx, tasks[i], subjects[i], schema, scope))
	})
	s.d.r.metrics.projected(s.t.Code, s.l.Lane, len(tasks), time.Since(began))
	return tasks, err
}

func (s *step) add(verdict string, outcomes ...postgres.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes = append(s.outcomes, outcomes...)
	s.verdicts[verdict] += len(outcomes)
}

// stopped reports whether the target told us, in this step, to leave it alone.
func (s *step) stopped() bool { return s.f.trouble.Load() }

// push sends one batch. A call that has not begun leaves its listings as they
// are. Its error is only of ctx, which ends with the lease.
func (s *step) push(ctx context.Context, tasks []*task) error {
	if s.stopped() || ctx.Err() != nil || s.elapsed() > shift {
		return context.Cause(ctx) // what is left of a long bisection stays dirty
	}
	var results []connectors.Result
	var errand *errand
	var asked bool
	tasks, err := s.upload(ctx, tasks)
	if _, told := errors.AsType[*connectors.Error](err); err != nil && !told && !errors.Is(err, errLeaveAlone) && ctx.Err() == nil {
		return err // the store's
	}
	if err == nil {
		tasks, asked = s.lookUp(ctx, tasks)
	}
	if err == nil && len(tasks) == 0 {
		return nil // no call was made that says how the target is
	}
	if err == nil {
		items := make([]connectors.Item, len(tasks))
		for i, t := range tasks {
			items[i] = t.item
		}
		errand = s.errandFor(errandPush, tasks)
		errand.passed.Store(asked) // it goes on with what was begun, and waits for its requests
		results, err = s.call(errand.on(ctx), errandPush, len(items), func(ctx context.Context) ([]connectors.Result, error) {
			return s.t.Connector.Push(ctx, items)
		})
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // the lease is over: whatever happened is settled by the next holder
	}
	if errors.Is(err, errLeaveAlone) {
		return nil
	}
	s.fits(errand, results, err, len(tasks))
	if err == nil {
		for i, t := range tasks {
			if results[i].Err != nil {
				e := connectors.AsError(results[i].Err)
				if e.Verdict == connectors.Throttled && !e.Uncertain && errand.grant.Load() != nil {
					continue // it was we who let no further request pass: nothing has become of it
				}
				if s.missesParent(t, e) {
					s.waitForParent(t)
					continue
				}
				s.add(string(e.Verdict), s.failed(t, e))
			} else {
				s.add(string(results[i].Status), s.took(t, results[i], pollEvery))
			}
		}
		s.isWell()
		return nil
	}
	e := connectors.AsError(err)
	switch e.Verdict {
	case connectors.Throttled:
		s.throttled(e)
		if e.Uncertain {
			s.allDown(tasks, e)
		}
	case connectors.Unavailable:
		s.isTrouble(e)
		s.allDown(tasks, e)
	case connectors.Auth:
		return s.credentials(ctx, tasks, e)
	default:
		return s.bisect(ctx, tasks, e)
	}
	return nil
}

// bisect is for tasks that were refused as a whole: one of them may be the cause.
func (s *step) bisect(ctx context.Context, tasks []*task, e *connectors.Error) error {
	s.isWell()
	if len(tasks) == 1 {
		s.add(string(e.Verdict), s.failed(tasks[0], e))
		return nil
	}
	half := len(tasks) / 2
	if err := s.push(ctx, tasks[:half]); err != nil {
		return err
	}
	return s.push(ctx, tasks[half:])
}

// forbiddenTwice is how often a listing that alone is forbidden is tried again
// before it is parked.
const forbiddenTwice = 2

// credentials is for tasks that the target refused as if we were not to be let
// in. That may be so, and then the channel stops until people have changed what
// it is let in by. But a rule of a firewall may have been set off by what one of
// the tasks says, and the others would wait for it in vain: the probe, which says
// nothing of any product, tells the two apart.
func (s *step) credentials(ctx context.Context, tasks []*task, e *connectors.Error) error {
	probe := newErrand(errandProbe, s.l.Lane)
	probe.passed.Store(true) // it goes on with what was begun
	_, err := s.call(probe.on(ctx), errandProbe, 1, func(ctx context.Context) ([]connectors.Result, error) {
		return []connectors.Result{{}}, s.t.Connector.Probe(ctx)
	})
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		own := *e
		if own.Verdict = connectors.Permanent; len(tasks) == 1 && tasks[0].Attempts < forbiddenTwice {
			own.Verdict = connectors.Unavailable // for it alone: a session may have ended just then
		}
		return s.bisect(ctx, tasks, &own)
	case !errors.Is(err, errLeaveAlone):
		s.isTrouble(connectors.AsError(err))
		s.allDown(tasks, e)
	}
	return nil
}

func (s *step) allDown(tasks []*task, e *connectors.Error) {
	for _, t := range tasks {
		s.add(string(e.Verdict), s.down(t, e))
	}
}

func (s *step) isWell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.well = true
}

func (s *step) isTrouble(e *connectors.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Of steps that overlap, one tells: the breaker counts consecutive failures.
	if s.f.trouble.CompareAndSwap(false, true) {
		s.trouble = e
	}
}

// rests notes that the channel may make no more requests, which is no fault of
// the target's.
func (s *step) rests(g *postgres.Grant, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f.trouble.CompareAndSwap(false, true) {
		s.grant, s.asking = g, what == errandPoll
	}
}

func (s *step) throttled(e *connectors.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grant != nil {
		return // it was we who said so
	}
	wait := e.After
	if wait <= 0 {
		wait = throttleDefault
	}
	if s.f.trouble.CompareAndSwap(false, true) || s.throttle > 0 || s.trouble != nil {
		s.throttle = max(s.throttle, wait)
	}
	s.verdicts["throttled"]++
}

// store writes receipts. Where one cannot be stored, it is looked for by halves
// and stored as what it then is: refused for good, for nothing else can be said.
func (s *step) store(ctx context.Context, outcomes []postgres.Outcome) (woken []pim.Lane, due int, err error) {
	woken, due, err = s.d.r.store.Receive(ctx, s.l, outcomes)
	if !postgres.IsPoison(err) {
		return woken, due, err
	}
	if len(outcomes) == 1 {
		s.d.r.log.ErrorContext(ctx, "store a receipt", "channel", s.t.Code, "lane", s.l.Lane.String(), "err", err)
		o, text := outcomes[0], "what the target answered cannot be stored"
		return s.d.r.store.Receive(ctx, s.l, []postgres.Outcome{{
			Product: o.Product, Want: o.Want, SettleAt: o.SettleAt, Rev: o.Rev, Born: o.Born, Attempts: o.Attempts,
			Heard: true, Verdict: string(connectors.Permanent), Error: &text,
		}})
	}
	half := len(outcomes) / 2
	if woken, due, err = s.store(ctx, outcomes[:half]); err != nil {
		return woken, due, err
	}
	more, also, err := s.store(ctx, outcomes[half:])
	return append(woken, more...), due + also, err
}

// receive writes the receipts and the channel's state.
func (s *step) receive(ctx context.Context, claim *postgres.Claim) (next, error) {
	woken, due, err := s.storeInTurn(ctx)
	if err != nil {
		if !errors.Is(err, postgres.ErrFenced) && ctx.Err() == nil {
			// Were the receipts the trouble, the same chunk would be sent for ever.
			_, _ = s.d.r.store.ChannelFailed(ctx, s.l.Channel, claim.Channel.Version, "receipts cannot be stored", false, probeMost)
		}
		return next{}, err
	}
	for _, lane := range woken {
		s.d.r.Wake(postgres.Consumer{Kind: postgres.Drain, Channel: s.l.Channel, Lane: lane})
	}
	s.observe(claim)
	if s.well && s.trouble == nil && s.throttle == 0 && (claim.Channel.Fails > 0 || claim.Channel.ThrottledUntil != nil || claim.Channel.Noted ||
		claim.Channel.Allowed < s.t.Concurrency || claim.Channel.Share < 1) {
		if err := s.d.r.store.ChannelWell(ctx, s.l.Channel); err != nil {
			return next{}, err
		}
		s.t.allow(claim.Channel.Allowed + 1)
		if claim.Channel.Fails >= postgres.BreakerFails {
			s.d.r.log.InfoContext(ctx, "breaker closed", "channel", s.t.Code)
			s.d.r.wakeChannel(s.l.Channel)
		}
	}
	switch {
	case s.trouble != nil:
		wait, auth := probeWait(claim.Channel.Fails), s.trouble.Verdict == connectors.Auth
		if auth {
			wait = credentialsWait/2 + rand.N(credentialsWait)
		}
		fails, err := s.d.r.store.ChannelFailed(ctx, s.l.Channel, claim.Channel.Version, errorText(s.trouble), auth, max(wait, s.trouble.After))
		if err == nil && (auth && fails > 0 || fails == postgres.BreakerFails) {
			s.d.r.log.WarnContext(ctx, "breaker open", "channel", s.t.Code, "lane", s.l.Lane.String(), "err", errorText(s.trouble))
		}
		return next{in: max(wait, s.trouble.After)}, err
	case s.probe && !s.probed:
		return next{in: probeFirst, idle: true}, nil
	case s.grant != nil && s.grant.Hold == postgres.HoldQuota && (s.asking || !s.laneHeld):
		return next{again: true}, s.d.r.store.HoldLane(ctx, s.l, claim.Channel.Version, s.grant.Hold, s.grant.In, s.asking)
	case s.grant != nil:
		err := s.d.r.store.ChannelRests(ctx, s.l.Channel, claim.Channel.Version, s.grant.Hold, "the channel's "+s.grant.Hold+" allows no request now", s.grant.In)
		return next{in: s.grant.In, idle: true}, err
	case s.throttle > 0:
		err := s.d.r.store.ChannelThrottled(ctx, s.l.Channel, claim.Channel.Version, "throttled by the target", s.throttle)
		return next{in: s.throttle}, err
	}
	n := next{}
	for _, o := range s.outcomes {
		if o.Again && o.After != postgres.Forever && (n.in == 0 || o.After < n.in) {
			n.in = max(o.After, time.Millisecond)
		}
	}
	n.again = due > 0 // some were wanted again while they were sent, or are to be confirmed by now
	return n, nil
}

func (s *step) observe(claim *postgres.Claim) {
	s.d.r.tally.finished(s.l, s.outcomes, s.made.Load())
	m := s.d.r.metrics
	for verdict, n := range s.verdicts {
		m.deliveries.WithLabelValues(string(s.t.Code), s.l.Lane.String(), verdict).Add(float64(n))
	}
	since := make(map[pim.ProductID]time.Time, len(claim.Items))
	for i := range claim.Items {
		since[claim.Items[i].Product] = claim.Items[i].DirtySince
	}
	now := claim.Now.Add(s.elapsed())
	for _, o := range s.outcomes {
		if o.Ack && o.Heard && o.Hash != nil {
			m.acknowledged(s.t.Code, s.l.Lane, now.Sub(since[o.Product]))
		}
	}
}
