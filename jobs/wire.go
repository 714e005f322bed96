package jobs

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// errand is one call of a channel's connector, and what it is made for. It
// travels in the call's context, so that each request which the connector makes
// can be told apart: the connector itself knows nothing of it.
type errand struct {
	what    string // one of the constants below
	lane    pim.Lane
	skus    []pim.SKU // those of the call; nil: of none in particular
	attempt int64     // names it

	mu    sync.Mutex
	held  []heldExchange // until it is over, at most heldMost
	ended bool

	soldOut  bool      // all of them are
	settles  bool      // it reads instead of sending again
	bulk     bool      // all of them are, and wait for what is not
	until    time.Time // no request of it waits for longer; zero: as long as it takes
	patience *patience
	passed   atomic.Bool                    // one of its requests may have been made
	made     atomic.Int64                   // requests that were let pass
	grant    atomic.Pointer[postgres.Grant] // why no more may be
	failed   atomic.Pointer[error]          // of our own, not the target's
}

type heldExchange struct {
	*wire
	row keptExchange
}

// quota is how many of the day's requests may be granted to the errand. What
// only reads leaves half of them to what is sent.
func (e *errand) quota(f pim.Flow, now time.Time) int {
	switch {
	case e.what == errandPull || e.what == errandRead && !e.settles:
		return (f.RequestsPerDay + 1) / 2
	case e.what == errandPoll:
		return f.PollQuota(e.lane, now)
	}
	return f.Quota(e.lane, e.first(), now)
}

// first reports whether the errand may use the last of a quota: it is for what
// is sold out, or asks whether the target is there at all.
func (e *errand) first() bool { return e.soldOut || e.what == errandProbe }

// What connectors are called for.
const (
	errandPush   = "push"
	errandPoll   = "poll"
	errandProbe  = "probe"
	errandUpload = "upload"
	errandPull   = "pull"
	errandRead   = "read"
	errandOther  = "other" // of no call: a session that is opened for all, say
)

// newErrand makes an errand; lane 0 is of none. Who makes one says when it is over.
func newErrand(what string, lane pim.Lane, skus ...pim.SKU) *errand {
	return &errand{what: what, lane: lane, skus: skus, until: time.Now().Add(passMost)}
}

type errandKey struct{}

// on gives the context of the call.
func (e *errand) on(ctx context.Context) context.Context {
	if e.attempt == 0 {
		e.attempt = 1 + rand.Int64N(1<<53-1) // as JSON's readers can tell numbers apart
	}
	return context.WithValue(ctx, errandKey{}, e)
}

// errandOf is the call that ctx is of; of none, one that is over.
func errandOf(ctx context.Context) *errand {
	if e, ok := ctx.Value(errandKey{}).(*errand); ok {
		return e
	}
	return &errand{ended: true}
}

// errandFor is the errand of a step's call.
func (s *step) errandFor(what string, tasks []*task) *errand {
	skus := make([]pim.SKU, len(tasks))
	for i, t := range tasks {
		skus[i] = t.SKU
	}
	e := newErrand(what, s.l.Lane, skus...)
	e.soldOut = s.laneHeld && what != errandPoll
	e.settles = what == errandRead
	e.bulk = what != errandPoll && !slices.ContainsFunc(tasks, func(t *task) bool { return t.Priority > postgres.PriorityBulk })
	e.until = time.Now().Add(passMost - s.elapsed())
	return e
}

// hold keeps an exchange until the call is over; false: it is, or has enough.
func (e *errand) hold(w *wire, row keptExchange) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended || len(e.held) == heldMost {
		return false
	}
	e.held = append(e.held, heldExchange{w, row})
	return true
}

// over ends the call. Its results, where there are as many, are of its SKUs; with
// an error it failed for all.
func (e *errand) over(results []connectors.Result, err error) {
	e.mu.Lock()
	held := e.held
	e.held, e.ended = nil, true
	e.mu.Unlock()
	refused := map[pim.SKU]bool{}
	for i := range min(len(results), len(e.skus)) {
		if results[i].Err != nil {
			refused[e.skus[i]] = true
		}
	}
	for _, h := range held {
		h.row.Failed = err != nil || len(refused) > 0 && slices.ContainsFunc(h.row.SKUs, func(sku pim.SKU) bool { return refused[sku] })
		h.settle(h.row)
	}
}

// wire is the hub's hand on the requests of one opened channel: it implements
// connectors.Wire. What it is to remember beyond that opening, for a channel is
// opened anew whenever its settings change, belongs to Channels, by ID.
type wire struct {
	channels *Channels
	channel  *postgres.Channel // as it was opened; not to be changed
	flow     pim.Flow
	pacer    *pacer
}

// Pass implements connectors.Wire.
func (w *wire) Pass(ctx context.Context) error {
	return w.pacer.pass(ctx, w.channels.store, w.channel.ID, w.flow)
}

// Heard implements connectors.Wire.
func (w *wire) Heard(ctx context.Context, x *connectors.Exchange) {
	w.pacer.heard(errandOf(ctx), x.Header)
	w.log(ctx, x)
}
