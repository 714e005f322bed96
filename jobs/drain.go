package jobs

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	// throttleDefault is the wait after a throttle that names no time.
	throttleDefault = 2 * time.Second
	// probeFirst and probeMost bound the wait of a channel after consecutive
	// failures: it doubles, jittered.
	probeFirst = 500 * time.Millisecond
	probeMost  = 30 * time.Second
	// credentialsWait is about how often a channel whose credentials were refused asks
	// whether they still are: more could have an account locked.
	credentialsWait = 20 * time.Minute
	// callsPerStep is how many calls each of a channel's concurrent senders
	// makes per claim: more amortise the claim, and make what is sent older.
	callsPerStep = 2
	// overlap is how many claims of a drain are worked off at once while there
	// is a queue.
	overlap = 3
	// flowFor bounds how long they overlap before the consumer looks up.
	flowFor = 5 * time.Second
	// claimMost bounds the listings of one claim, and so a step's memory.
	claimMost = 2000
	// stepMost bounds a step, so that its job ends long before River ends it, and
	// leaves the outcome of its calls unknown; requests of ours wait for at most
	// passMost of it.
	stepMost = 8*time.Minute + 30*time.Second
	passMost = 6 * time.Minute
	// jobMost is when River ends a job.
	jobMost = 10 * time.Minute
	// pressEvery is how often a drain that sends in bulk looks whether something
	// has come that goes before it.
	pressEvery = 250 * time.Millisecond
)

// drainer is hop three and four of the main road: it claims due listings of
// one channel and lane, renders them, sends what differs, and writes receipts.
type drainer struct {
	r *Runner
}

func newDrainer(r *Runner) *drainer { return &drainer{r: r} }

// step implements worker: one claim, or, while claims come back full, several
// overlapping ones, so that the target works while the database does.
func (d *drainer) step(ctx context.Context, l postgres.Lease) (next, error) {
	f := &flow{d: d, l: l, inflight: map[int64]bool{}, looked: time.Now()}
	f.ended = sync.NewCond(&f.mu)
	end := time.Now().Add(flowFor)
	n, full, err := f.step(ctx)
	if err != nil || !full {
		return n, err
	}
	if time.Now().After(end) { // it is a slow channel: a job is to be over in time
		return next{again: true}, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for range overlap {
		g.Go(func() error {
			for {
				_, full, err := f.step(ctx)
				if err != nil || !full || time.Now().After(end) || d.r.stopping() {
					return err
				}
			}
		})
	}
	return next{again: true}, g.Wait()
}

// flow is what the overlapping steps of a drain share. Claims take turns, and
// leave out what another step has claimed and not yet stored receipts of, so a
// listing is in one call at a time, as without the overlap.
type flow struct {
	d *drainer
	l postgres.Lease

	claims   sync.Mutex
	uploads  singleflight.Group // by file
	mu       sync.Mutex
	inflight map[int64]bool
	trouble  atomic.Bool // the target told some step to leave it alone
	calls    int         // in flight, of all steps together
	first    int         // calls that wait for their turn, and are not bulk
	ended    *sync.Cond  // some call has

	look   sync.Mutex
	looked time.Time // whether something goes before bulk
	press  bool      // it does, and was not claimed since
}

// pressed reports whether something waits that goes before bulk: then no call in
// bulk begins any more, and what it was to send stays as it is for another claim.
// What is untouched of a claim may be what waits, too.
func (f *flow) pressed(ctx context.Context, untouched ...postgres.Claimed) bool {
	f.look.Lock()
	defer f.look.Unlock()
	if f.press || len(untouched) == 0 && time.Since(f.looked) < f.d.r.pressEvery {
		return f.press
	}
	hands := f.inHand()
	if len(untouched) > 0 {
		mine := make(map[int64]bool, len(untouched))
		for i := range untouched {
			mine[int64(untouched[i].Product)] = true
		}
		hands = slices.DeleteFunc(hands, func(id int64) bool { return mine[id] })
	}
	waits, err := f.d.r.store.Pressing(ctx, f.l, hands)
	f.press, f.looked = err == nil && waits, time.Now()
	return f.press
}

// inHand are the products that some step has claimed and not yet stored receipts of.
func (f *flow) inHand() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.inflight))
}

// begin waits until the channel may have another call in flight, and one in bulk
// until no other waits; end gives its place back.
func (f *flow) begin(ctx context.Context, t *Target, bulk bool) error {
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !bulk {
		f.first++
		defer func() {
			f.first--
			f.ended.Broadcast()
		}()
	}
	for ctx.Err() == nil && (f.calls >= max(1, t.allowed()) || bulk && f.first > 0) {
		f.ended.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if leaseOver(ctx) {
		return postgres.ErrFenced // the process was stopped, and its timers have not been heard yet
	}
	f.calls++
	return nil
}

func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls--
	f.ended.Broadcast()
}

// step works one claim off; full: there is probably more.
func (f *flow) step(ctx context.Context) (n next, full bool, err error) {
	d, l := f.d, f.l
	t, err := d.r.channels.Target(ctx, l.Channel, 0)
	if errors.Is(err, postgres.ErrNotFound) {
		return next{idle: true}, false, nil // deleted; the sweeper tidies its consumers
	}
	if postgres.IsDatabase(err) {
		return next{}, false, err
	}
	if err != nil {
		return next{idle: true}, false, d.unusable(ctx, l.Channel, err)
	}
	options := postgres.ClaimOptions{
		Limit: min(t.batch()*max(t.allowed(), 1)*callsPerStep, claimMost), Waits: l.Lane != pim.Content && t.Program.Lanes().Has(pim.Content),
	}
	options.Parents = l.Lane == pim.Content && t.Kind.ParentField != ""
	in := t.Program.Inputs(l.Lane)
	options.Texts, options.Offers = in.Has(pim.Content) || in.Has(pim.Media), in.Has(pim.Offer) || l.Lane == pim.Offer
	options.Limit = d.r.courtesy.piece(options.Limit, t.batch(), max(t.allowed(), 1))
	options.Aside = d.r.courtesy.aside()
	claim, asked, started, err := f.claim(ctx, options)
	if err != nil {
		return next{}, false, err
	}
	defer func() {
		if err == nil { // else what was sent is unknown: nobody touches it before the lease is over
			f.done(claim)
		}
	}()
	if claim.Channel.Version != t.Version {
		if _, err := d.r.channels.Target(ctx, l.Channel, claim.Channel.Version); err != nil && !postgres.IsDatabase(err) {
			return next{idle: true}, false, d.unusable(ctx, l.Channel, err)
		}
		return next{again: true}, false, err
	}
	if !claim.Channel.Enabled {
		return next{idle: true}, false, nil
	}
	if claim.Channel.Blocked(claim.Now) {
		return next{in: blockedFor(claim), idle: true}, false, nil
	}
	held := claim.Channel.LaneHeld(claim.Now)
	if open, until := t.Policy.Flow.Open(l.Lane, claim.Now); !open && !held {
		wait := 24 * time.Hour
		if !until.IsZero() {
			wait = until.Sub(claim.Now)
		}
		return next{again: true}, false, d.r.store.HoldLane(ctx, l, t.Version, postgres.HoldWindow, wait, false)
	}
	if len(claim.Items) == 0 {
		in, some, err := d.r.store.NextDue(ctx, l)
		if held {
			if ends := claim.Channel.LaneWaits.Sub(claim.Now) + time.Millisecond; !some || ends < in {
				in = ends
			}
		}
		return next{in: in, idle: true}, false, err
	}
	t.allow(claim.Channel.Allowed)
	bulk := !slices.ContainsFunc(claim.Items, func(c postgres.Claimed) bool { return c.Priority > postgres.PriorityBulk })
	if !bulk {
		d.r.courtesy.heed()
	}
	// Of tickets there is nothing to be worked out: they take no turns, and leave none.
	bulk = bulk && slices.ContainsFunc(claim.Items, func(c postgres.Claimed) bool { return c.Token == "" })
	full = len(claim.Items) == options.Limit || claim.Aside
	probe := claim.Channel.Fails >= postgres.BreakerFails
	full = full && !probe
	s := &step{
		d: d, f: f, t: t, l: l, in: in, allowed: max(1, claim.Channel.Allowed), probe: probe, laneHeld: held, bulk: bulk, spent: started.Sub(asked),
		round: round{now: claim.Now, unsure: claim.Unsure, settle: t.Settle, elapsed: func() time.Duration { return time.Since(started) }, withdrawal: t.Policy.Withdrawal},
	}
	n, err = s.run(ctx, claim, claim.Items)
	if s.stopped() {
		full = false
	}
	n.again = n.again || full || s.probed || s.yielded.Load()
	return n, full, err
}

// claim claims what no other step has in hand.
func (f *flow) claim(ctx context.Context, o postgres.ClaimOptions) (claim *postgres.Claim, asked, got time.Time, err error) {
	f.claims.Lock()
	defer f.claims.Unlock()
	f.look.Lock()
	o.Inflight, f.press = f.inHand(), false
	f.look.Unlock()
	asked = time.Now()
	claim, err = f.d.r.store.Claim(ctx, f.l, o)
	got = time.Now()
	if err != nil {
		return nil, asked, got, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range claim.Items {
		f.inflight[int64(claim.Items[i].Product)] = true
	}
	return claim, asked, got, nil
}

func (f *flow) done(c *postgres.Claim) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range c.Items {
		delete(f.inflight, int64(c.Items[i].Product))
	}
}

func blockedFor(c *postgres.Claim) (wait time.Duration) {
	for _, at := range []*time.Time{c.Channel.NextProbeAt, c.Channel.ThrottledUntil} {
		if at != nil {
			wait = max(wait, at.Sub(c.Now))
		}
	}
	return wait + time.Millisecond
}

// unusable notes a channel that this process cannot open, so that people see
// why. It does not close the road: another process may well be able to.
func (d *drainer) unusable(ctx context.Context, id pim.ChannelID, cause error) error {
	d.r.log.ErrorContext(ctx, "open channel", "channel", id, "err", cause)
	return d.r.store.ChannelNote(ctx, id, cause.Error())
}

// probeWait is how long a channel is left alone after another failure.
func probeWait(fails int) time.Duration {
	wait := min(probeFirst<<min(fails, 10), probeMost)
	return wait/2 + rand.N(wait/2+1)
}
