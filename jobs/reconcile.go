package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Reconciling is the hub's doubt in what it was told: what a target acknowledged
// is read back and compared, a few products all the time and all of them when
// somebody asks. It writes to no target. What it finds is told (drift), and in
// the mode repair the listing is put on the road again with what was acknowledged
// forgotten: the road sends what the product is then, never what was compared.
//
// A listing is compared only while nothing of it is under way: clean, without a
// ticket, in no doubt, and acknowledged for longer than the channel's settle
// time. What changes between the reading of our rows and the target's answer is
// found by the store, which drops the comparison (sqlCompared).

const (
	// sampleEvery is how often a channel's target is sampled at the most seldom:
	// the wait is what makes O(channels) of idle channels little.
	sampleEvery = 5 * time.Minute
	// sampleSoonest is how often at most, for high rates.
	sampleSoonest = 10 * time.Second
	// reconcilePage is how many products one step compares at most.
	reconcilePage = 200
	// reconcileRests is the wait of a channel whose target is not read at all.
	reconcileRests = time.Hour
	// behindDrains is the wait while listings are due, for reading never delays
	// sending; while they stay so it grows, to behindMost.
	behindDrains = 2 * time.Second
	behindMost   = time.Minute
)

// reconciler is the consumer of one channel's comparisons.
type reconciler struct {
	r     *Runner
	again time.Time // when to look again for what was sent since it differed
}

// againShare is for how many times its own length no second look for what was
// sent since it differed follows one in vain: it reads all of a channel's drift,
// of which there may be much.
const againShare = 20

// sentAgain gives the products that were sent again since they differed.
func (c *reconciler) sentAgain(ctx context.Context, t *Target, limit int) ([]int64, error) {
	began := time.Now()
	if began.Before(c.again) {
		return nil, nil
	}
	ids, err := c.r.store.ReconcileAgain(ctx, t.ID, t.Settle, limit)
	if len(ids) == 0 {
		now := time.Now()
		c.again = now.Add(againShare * now.Sub(began))
	}
	return ids, err
}

// reads is the channel's connector as a reader, and the lanes that it reads; nil
// where it cannot.
func (t *Target) reads() (connectors.Reader, pim.Lanes) {
	reader, ok := t.Connector.(connectors.Reader)
	if !ok {
		return nil, 0
	}
	return reader, reader.Readable()
}

// mode is what is done about drift on the channel.
func (t *Target) mode() pim.ReconcileMode {
	if _, lanes := t.reads(); lanes == 0 {
		return pim.ReconcileOff
	}
	if t.Policy.Reconcile.Mode == "" {
		return pim.ReconcileReport
	}
	return t.Policy.Reconcile.Mode
}

// step implements worker: one page of products.
func (c *reconciler) step(ctx context.Context, l postgres.Lease) (next, error) {
	store := c.r.store
	state, err := store.Reconciling(ctx, l.Channel)
	if errors.Is(err, postgres.ErrNotFound) {
		return next{idle: true}, nil
	}
	if err != nil {
		return next{}, err
	}
	if state.In > 0 {
		return next{in: state.In, idle: true}, nil
	}
	if !state.Channel.Enabled || state.Marking {
		return next{idle: true}, nil
	}
	if state.Channel.Blocked(state.Now) {
		return next{in: blockedFor(&postgres.Claim{Now: state.Now, Channel: state.Channel}), idle: true}, nil
	}
	t, err := c.r.channels.Target(ctx, l.Channel, state.Channel.Version)
	if errors.Is(err, postgres.ErrNotFound) {
		return next{idle: true}, nil
	}
	if postgres.IsDatabase(err) {
		return next{}, err
	}
	if err != nil {
		return c.rest(ctx, l, state, reconcileRests, err.Error())
	}
	mode := t.mode()
	if _, lanes := t.reads(); lanes == 0 && state.RunAfter != nil { // asked for by somebody who could not know
		n, err := c.rest(ctx, l, state, reconcileRests, "the connector cannot tell what the target holds, with these settings")
		if err == nil {
			_, err = store.CancelReconcile(ctx, t.Code)
		}
		return n, err
	} else if lanes == 0 || mode == pim.ReconcileOff && state.RunAfter == nil {
		return c.rest(ctx, l, state, reconcileRests, "")
	}
	if state.Waiting || state.Channel.Fails > 0 {
		return c.rest(ctx, l, state, behind(state.Unlooked), "")
	}
	page, err := c.page(ctx, t, state)
	if err != nil {
		return next{}, err
	}
	if err := c.compare(ctx, t, page); err != nil {
		if ctx.Err() != nil {
			return next{}, context.Cause(ctx)
		}
		if e, told := errors.AsType[*connectors.Error](err); told { // the target's, of whatever kind: it ends no lease
			c.r.log.WarnContext(ctx, "read back", "channel", t.Code, "err", errorText(e))
			return c.rest(ctx, l, state, max(e.After, probeWait(state.Fails)), errorText(e))
		}
		return next{}, err
	}
	if page.Again && len(page.List) == 0 && state.RunAfter == nil { // nothing could be compared: there is no hurry
		_, page.After = sampled(t.Policy.Reconcile.PerHour(), reconcilePage)
	}
	out, err := store.Reconciled(ctx, l, page.Comparisons)
	if err != nil {
		if postgres.IsPoison(err) { // were the rows the trouble, the same page would be read for ever
			c.r.log.ErrorContext(ctx, "store what was read back", "channel", t.Code, "err", err)
			return c.rest(ctx, l, state, reconcileRests, "what was read back cannot be stored; the log has the cause")
		}
		return next{}, err
	}
	c.observe(t, page, out)
	if out.Repaired > 0 {
		c.r.wakeChannel(l.Channel)
	}
	if page.After <= 0 {
		return next{again: true}, nil
	}
	return next{in: page.After, idle: true}, nil
}

// rest puts the channel off. A wake that came meanwhile pokes, so nothing waits
// for this step's sake.
func (c *reconciler) rest(ctx context.Context, l postgres.Lease, state *postgres.Reconciling, after time.Duration, failure string) (next, error) {
	return next{in: after, idle: true}, c.r.store.ReconcileRests(ctx, l, state.Wakes, after, failure)
}

// behind is how long reading lets sending go first, when it has for so long: a
// tenth of that again.
func behind(unlooked time.Duration) time.Duration {
	return min(max(behindDrains, unlooked/10), behindMost)
}

// comparing is a page of products on its way.
type comparing struct {
	postgres.Comparisons
	ids    []int64
	repair bool
	counts map[pim.Lane]map[string]int
}

// page picks the products to be compared next: those that were sent again since
// they differed, then the run's, then the sample's.
func (c *reconciler) page(ctx context.Context, t *Target, state *postgres.Reconciling) (*comparing, error) {
	p := &comparing{counts: map[pim.Lane]map[string]int{}, repair: t.mode() == pim.ReconcileRepair}
	p.Wakes, p.Began = state.Wakes, state.Now
	limit := min(max(t.Batch, 1), reconcilePage)
	store := c.r.store
	var err error
	if p.ids, err = c.sentAgain(ctx, t, limit); err != nil {
		return nil, err
	}
	if len(p.ids) > 0 {
		p.Again, p.IDs = true, p.ids
		return p, nil
	}
	var after int64
	var skus []pim.SKU
	if state.RunAfter != nil {
		p.Run, p.repair, after, skus = true, p.repair || state.Repair, *state.RunAfter, state.SKUs
	} else {
		limit, p.After = sampled(t.Policy.Reconcile.PerHour(), limit)
		after = state.SampleAfter
	}
	if p.ids, err = store.ReconcileNext(ctx, t.ID, skus, after, limit); err != nil {
		return nil, err
	}
	p.Products, p.Over, p.Cursor = len(p.ids), len(p.ids) < limit, after
	if n := len(p.ids); n > 0 {
		p.Cursor = p.ids[n-1]
	}
	return p, nil
}

// sampled spreads a rate evenly: how many products are compared at once, at most
// most, and in what time the next are.
func sampled(perHour, most int) (n int, every time.Duration) {
	wait := func(n int) time.Duration { return time.Duration(float64(time.Hour) * float64(n) / float64(perHour)) }
	n = min(max(1, int(sampleEvery*time.Duration(perHour)/time.Hour)), most)
	if every = wait(n); every < sampleSoonest {
		return min(max(n, int(sampleSoonest*time.Duration(perHour)/time.Hour)), 10*reconcilePage), sampleSoonest
	}
	return n, every
}

// compare fills in what is found of the page's products.
func (c *reconciler) compare(ctx context.Context, t *Target, p *comparing) error {
	for ids := p.ids; len(ids) > 0; {
		n := min(len(ids), reconcilePage)
		survey, err := c.r.store.SurveyThese(ctx, t.ID, ids[:n])
		if err != nil {
			return err
		}
		if err := c.survey(ctx, t, p, survey); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// survey compares what one survey shows, content first: of what is absent the
// other lanes need not be asked.
func (c *reconciler) survey(ctx context.Context, t *Target, p *comparing, survey *postgres.Survey) error {
	expected, err := c.r.channels.expected(ctx, t, survey)
	if err != nil {
		return err
	}
	_, lanes := t.reads()
	absent := map[pim.ProductID]bool{}
	for _, lane := range lanes.List() {
		var list []*expectation
		for _, e := range expected {
			switch {
			case e.v.Lane != lane:
			case e.moot:
				p.List = append(p.List, postgres.Comparison{Product: e.v.Product, Lane: lane, Want: e.v.Want, AckedAt: *e.v.AckedAt, Moot: true})
				p.count(lane, "left_out")
			case e.out || absent[e.v.Product]:
				p.LeftOut++
				p.count(lane, "left_out")
			default:
				list = append(list, e)
			}
		}
		if err := c.read(ctx, t, lane, list); err != nil {
			return err
		}
		for _, e := range list {
			if e.held.Err != nil {
				p.Unread++
				p.count(lane, "unread")
				continue
			}
			k := e.comparison(t.Policy.Reconcile)
			k.Repair = p.repair
			if k.Kind == pim.DriftAbsent && lane == pim.Content {
				absent[e.v.Product] = true
			}
			p.List = append(p.List, k)
			if k.Kind == "" {
				p.count(lane, "same")
			} else {
				p.count(lane, "drifted")
			}
		}
	}
	return nil
}

func (p *comparing) count(lane pim.Lane, outcome string) {
	if p.counts[lane] == nil {
		p.counts[lane] = map[string]int{}
	}
	p.counts[lane][outcome]++
}

// read asks the target in calls of the channel's batch.
func (c *reconciler) read(ctx context.Context, t *Target, lane pim.Lane, list []*expectation) error {
	for len(list) > 0 {
		n := min(len(list), t.Batch)
		began := time.Now()
		err := t.readBack(ctx, lane, list[:n])
		c.r.metrics.called(t.Code, lane, errandRead, time.Since(began))
		if err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// readBack asks the target for what it holds. Where it refuses a call as a whole
// for what is in it, the call is halved. Its error is a *connectors.Error that is
// the target's, or of ctx.
func (t *Target) readBack(ctx context.Context, lane pim.Lane, list []*expectation) error {
	items := make([]connectors.Item, len(list))
	for i, x := range list {
		items[i] = x.item
	}
	held, err := t.ask(ctx, lane, items)
	if err == nil {
		for i, x := range list {
			x.held = held[i]
		}
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch told := connectors.AsError(err); told.Verdict {
	case connectors.Throttled, connectors.Unavailable, connectors.Auth:
		return told
	default:
		if len(list) == 1 {
			list[0].held = connectors.Held{Err: told}
			return nil
		}
	}
	half := len(list) / 2
	if err := t.readBack(ctx, lane, list[:half]); err != nil {
		return err
	}
	return t.readBack(ctx, lane, list[half:])
}

// ask makes one call to read, with the channel's time limit and at its pace: a
// request of which the channel may make no more is told as a throttle.
func (t *Target) ask(ctx context.Context, lane pim.Lane, items []connectors.Item) (held []connectors.Held, err error) {
	reader, _ := t.reads()
	if reader == nil {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: errors.New("the connector cannot tell what the target holds")}
	}
	e := newErrand(errandRead, lane)
	for i := range items {
		e.skus = append(e.skus, items[i].SKU)
	}
	cctx, cancel := withPatience(e.on(ctx), t.Timeout)
	defer cancel()
	e.patience = cctx
	_, err = shielded(cctx, func(ctx context.Context) ([]connectors.Result, error) {
		var err error
		held, err = reader.Read(ctx, items)
		return nil, err
	})
	if err == nil && len(held) != len(items) {
		err = &connectors.Error{Verdict: connectors.Unavailable, Err: fmt.Errorf("connector %s told of %d of %d items", t.Kind.Name, len(held), len(items))}
	}
	results := make([]connectors.Result, len(held))
	for i := range held {
		results[i].Err = held[i].Err
	}
	e.over(results, err)
	return held, err
}

func (c *reconciler) observe(t *Target, p *comparing, out postgres.Compared) {
	m := c.r.metrics
	for lane, counts := range p.counts {
		for outcome, n := range counts {
			m.compared.WithLabelValues(string(t.Code), lane.String(), outcome).Add(float64(n))
		}
	}
	m.repaired.WithLabelValues(string(t.Code)).Add(float64(out.Repaired))
	if out.Repaired > 0 {
		c.r.log.Info("put on the road again what a target does not hold as it acknowledged", "channel", t.Code, "listings", out.Repaired)
	}
}

// compared adds how the readings of the channels' targets fare.
func (c *stateCollector) compared(ctx context.Context, out []prometheus.Metric) ([]prometheus.Metric, error) {
	stats, err := c.store.ReconcileStats(ctx)
	for _, r := range stats {
		passed := 0.0
		if r.Passed != nil {
			passed = float64(r.Passed.Unix())
		}
		out = append(out, gauge(descDrifts, float64(r.Drifts), string(r.Channel)), gauge(descPassed, passed, string(r.Channel)))
	}
	return out, err
}
