package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A channel's rate and quota hold over all processes, so requests are granted by
// a row of the database (postgres.Store.Grant). A process asks for a few at a
// time, and its pacer gives them out; one that dies takes at most these with it.
//
// The first request of a call that would have to wait for long is not begun: the
// channel or the lane rests, with a reason that everybody can read, and its
// consumer does something else. Once a call has begun, its requests wait as long
// as they have to, for a call that is given up halfway has to begin anew, and
// would never end on a slow channel; that time is not the target's (patience).

const (
	// waitFirst and waitNext bound what a call's first and further requests wait.
	waitFirst = 5 * time.Second
	waitNext  = 3 * time.Minute
	// grantFor is for how long a grant is asked at the channel's rate.
	grantFor = 100 * time.Millisecond
	// grantMost bounds what a process that ends leaves unused of a quota.
	grantMost = 50
	// rateFloor is what a target's throttles leave of a rate: a call of several
	// requests would else never end.
	rateFloor = 0.01
)

// pacer lets the requests of one channel pass, in this process.
type pacer struct {
	mu      sync.Mutex
	credits int       // requests that were granted and not yet made
	from    time.Time // from when on they may be
	rest    time.Time // until then the target wants none: its budget is used up
}

// flowOf is the channel's flow with its connector's bounds filled in.
func flowOf(ch *postgres.Channel, kind *connectors.Kind) pim.Flow {
	f := ch.Policy.Flow
	f.RequestsPerSecond = cmp.Or(f.RequestsPerSecond, kind.Limits.Rate)
	f.Burst = cmp.Or(f.Burst, kind.Limits.Burst, max(1, int(f.RequestsPerSecond)))
	return f
}

// pass waits until the channel may make one more request for ctx's errand.
func (p *pacer) pass(ctx context.Context, store *postgres.Store, id pim.ChannelID, f pim.Flow) error {
	e := errandOf(ctx)
	most := e.waits(time.Now())
	at, g, err := time.Time{}, e.grant.Load(), error(nil)
	if g == nil {
		at, g, err = p.ask(ctx, store, id, f, e, most)
	}
	if err != nil {
		return err
	}
	if g != nil {
		e.grant.CompareAndSwap(nil, g)
		return &connectors.Error{Verdict: connectors.Throttled, After: g.In, Err: fmt.Errorf("the channel's %s allows no request now", g.Hold)}
	}
	if wait := time.Until(at); wait > 0 {
		defer e.patience.pause()()
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return &connectors.Error{Verdict: connectors.Unavailable, Err: context.Cause(ctx)}
		}
	}
	if leaseOver(ctx) { // the process was stopped while it waited, and another has taken over
		return &connectors.Error{Verdict: connectors.Unavailable, Err: postgres.ErrFenced}
	}
	e.made.Add(1)
	return nil
}

// waits is for how long the errand's next request may wait for its turn.
func (e *errand) waits(now time.Time) time.Duration {
	most := waitNext
	if e.passed.CompareAndSwap(false, true) {
		most = waitFirst
	}
	if e.until.IsZero() {
		return most
	}
	return max(0, min(most, e.until.Sub(now))) // else the job would be ended, and leave the call in doubt
}

// ask takes a credit, of those that are there or of a new grant, and says from
// when on it counts. A grant back: there is none, for its reason.
func (p *pacer) ask(ctx context.Context, store *postgres.Store, id pim.ChannelID, f pim.Flow, e *errand, most time.Duration) (time.Time, *postgres.Grant, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if f.RequestsPerSecond == 0 && f.RequestsPerDay == 0 {
		return p.rest, nil, nil
	}
	if p.credits == 0 {
		n := min(f.Burst, grantMost, max(1, int(f.RequestsPerSecond*grantFor.Seconds())))
		if f.RequestsPerSecond == 0 {
			n = min(grantMost, max(1, f.RequestsPerDay/1000))
		}
		begins, _ := f.Day(now)
		g, err := store.Grant(ctx, postgres.GrantRequest{
			Channel: id, N: n, Rate: f.RequestsPerSecond, Burst: f.Burst, Quota: e.quota(f, now), Day: begins, Rises: f.QuotaRises(e.lane, now), Wait: most,
			Floor: min(f.RequestsPerSecond, rateFloor),
		})
		if err != nil { // nothing was sent; the cause is for the log
			e.failed.CompareAndSwap(nil, &err)
			return now, nil, &connectors.Error{Verdict: connectors.Unavailable, Err: errors.New("the channel's rate cannot be looked at now")}
		}
		if g.N == 0 {
			return now, &g, nil
		}
		p.credits, p.from = g.N, now.Add(g.In)
	}
	p.credits--
	if p.from.After(p.rest) {
		return p.from, nil, nil
	}
	return p.rest, nil, nil
}

// heard obeys what the target says of its own budget.
func (p *pacer) heard(e *errand, h http.Header) {
	left, reset, ok := httpx.Budget(h, time.Now())
	if !ok || left > 0 || reset <= 0 {
		return
	}
	if reset > waitFirst { // the channel's row has it, for all processes and for people
		e.grant.CompareAndSwap(nil, &postgres.Grant{Hold: postgres.HoldBudget, In: reset})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := time.Now().Add(reset); at.After(p.rest) {
		p.rest = at
	}
}

// patience is the time limit of a call, which stands still while the hub lets
// the call's requests wait. The nil patience has no limit.
type patience struct {
	context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	end     time.Time
	waiting int
	since   time.Time
}

// withPatience limits ctx to d of the target's time.
func withPatience(ctx context.Context, d time.Duration) (*patience, context.CancelFunc) {
	p := &patience{end: time.Now().Add(d)}
	p.Context, p.cancel = context.WithCancelCause(ctx)
	p.timer = time.AfterFunc(d, func() { p.cancel(context.DeadlineExceeded) })
	return p, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.timer.Stop()
		p.cancel(nil)
	}
}

// Deadline implements context.Context. It moves on while requests wait.
func (p *patience) Deadline() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end := p.end
	if p.waiting > 0 {
		end = end.Add(time.Since(p.since))
	}
	if outer, ok := p.Context.Deadline(); ok && outer.Before(end) {
		return outer, true
	}
	return end, true
}

// Err implements context.Context.
func (p *patience) Err() error {
	err := p.Context.Err()
	if err != nil && errors.Is(context.Cause(p.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}

// pause lets the time stand still until the function that it gives is called.
func (p *patience) pause() (goOn func()) {
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting++; p.waiting == 1 {
		p.timer.Stop()
		p.since = time.Now()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting--; p.waiting == 0 && p.Context.Err() == nil {
			p.end = p.end.Add(time.Since(p.since))
			p.timer.Reset(time.Until(p.end))
		}
	}
}
