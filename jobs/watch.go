package jobs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/connectors/notify"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Notifications. Every process looks after the channels, in turns that a row
// gives out, so that one of them does each time. What it finds wrong becomes a
// row, and what is told of it becomes a row for each who wants to know, in one
// transaction: a crash loses neither, and no second process tells it again. A
// message is then sent by whoever takes it, until it has arrived, under one name:
// where a process dies between sending and noting it, it is sent once more, and
// its receiver can tell that by the name.

const (
	// watchEvery is how often the channels are looked after.
	watchEvery = 5 * time.Second
	// gatherFor is how long a notice waits for others to go out with.
	gatherFor = 5 * time.Second
	// digestMost is how many notices one message has.
	digestMost = 100
	// errandLease is how long a process may take to send a message: longer than
	// senders bound themselves.
	errandLease = 2 * time.Minute
	// noticeKeep is how long it is tried to tell.
	noticeKeep = 3 * 24 * time.Hour
	// errandsAtOnce is how many messages a process sends at once.
	errandsAtOnce = 4
)

// watch looks after the channels, until ctx ends.
func (r *Runner) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.watchEvery/2 + mathrand.N(r.watchEvery)):
		}
		r.watchOnce(ctx)
	}
}

func (r *Runner) watchOnce(ctx context.Context) {
	if err := r.flushPace(ctx); err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "note what lanes finished", "err", err)
	}
	if _, err := r.store.Watch(ctx, r.watchEvery, consider); err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "watch", "err", err)
	}
}

// telling tells, until ctx ends: beside watch, since who is told may take his time.
func (r *Runner) telling(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.watchEvery/2 + mathrand.N(r.watchEvery)):
		}
		if err := r.tell(ctx); err != nil && ctx.Err() == nil {
			r.log.WarnContext(ctx, "tell", "err", err)
		}
	}
}

// tell sends what is to be told by now.
func (r *Runner) tell(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(errandsAtOnce)
	for ctx.Err() == nil && !r.stopping() {
		e, err := r.store.TakeErrand(ctx, "msg_"+rand.Text(), r.gather, errandLease, digestMost)
		if err != nil {
			return err
		}
		if e == nil {
			break
		}
		g.Go(func() error { return r.run(ctx, e) })
	}
	return g.Wait()
}

// run sends one message, and notes how that went.
func (r *Runner) run(ctx context.Context, e *postgres.Errand) error {
	m := &notify.Message{ID: e.Message, At: e.At}
	for _, body := range e.Notices {
		var n notify.Notice
		if err := json.Unmarshal(body, &n); err != nil {
			return fmt.Errorf("read a notice for %s: %w", e.Code, err)
		}
		m.Notices = append(m.Notices, n)
	}
	err := r.notifiers.send(ctx, e.Notifier, m)
	if err == nil {
		r.metrics.messages.WithLabelValues("ok").Inc()
		return r.store.Arrived(ctx, e)
	}
	r.metrics.messages.WithLabelValues("failed").Inc()
	r.log.WarnContext(ctx, "tell", "notifier", e.Code, "err", err)
	return r.store.NotArrived(ctx, e, err.Error(), min(5*time.Second<<min(e.Fails, 12), time.Hour), noticeKeep)
}

// consider says what becomes of the alerts. It is pure.
func consider(now time.Time, channels []postgres.Watched, open []postgres.AlertState) (changes []postgres.AlertChange, err error) {
	type key struct {
		channel pim.ChannelID
		kind    pim.AlertKind
	}
	known := map[key]postgres.AlertState{}
	for _, a := range open {
		known[key{a.Channel, a.Kind}] = a
	}
	for i := range channels {
		c := &channels[i]
		wrong := wrongWith(c, now)
		for _, kind := range pim.AlertKinds {
			was, there := known[key{c.Channel, kind}]
			why, bad := wrong[kind]
			if !there && !bad {
				continue
			}
			if !there {
				was = postgres.AlertState{Channel: c.Channel, Code: c.Code, Kind: kind, Since: now}
			}
			was.Code = c.Code
			is, change := damp(was, bad, why, now, c.Policy.Alerts.Raise(kind), c.Policy.Alerts.Clear())
			if c.Deleted || !c.Policy.Alerts.Tells(kind) { // it is nobody's any more
				is, change = over(was, now)
			}
			out := postgres.AlertChange{AlertState: is, Drop: is.ClearedAt != nil && is.RaisedAt == nil}
			if out.Drop && !there || !out.Drop && there && change == "" && same(was, is) {
				continue
			}
			if change != "" {
				if out.Notice, err = json.Marshal(notify.Notice{Change: change, At: now, Alert: is.Alert()}); err != nil {
					return nil, err
				}
			}
			changes = append(changes, out)
		}
	}
	return changes, nil
}

func same(a, b postgres.AlertState) bool {
	return a.Detail == b.Detail && (a.WellSince == nil) == (b.WellSince == nil)
}

// damp is the alert a, now that it was found bad or well. It is raised when it
// has been bad for raise, and over when it has been well for calm: what is well
// for a shorter time than that counts as bad all the while, so that what flaps is
// told once.
func damp(a postgres.AlertState, bad bool, why string, now time.Time, raise, calm time.Duration) (postgres.AlertState, notify.Change) {
	if bad {
		a.WellSince, a.Detail = nil, why
	} else if a.WellSince == nil {
		a.WellSince = &now
	}
	switch {
	case a.WellSince != nil && now.Sub(*a.WellSince) >= calm:
		return over(a, now)
	case bad && a.RaisedAt == nil && now.Sub(a.Since) >= raise:
		a.RaisedAt = &now
		return a, notify.Raised
	}
	return a, ""
}

// over ends an alert; it is told if its beginning was.
func over(a postgres.AlertState, now time.Time) (postgres.AlertState, notify.Change) {
	a.ClearedAt = &now
	if a.RaisedAt == nil {
		return a, ""
	}
	return a, notify.Cleared
}

// wrongWith says what is wrong with a channel, and why.
func wrongWith(c *postgres.Watched, now time.Time) map[pim.AlertKind]string {
	wrong := map[pim.AlertKind]string{}
	if c.Deleted {
		return wrong
	}
	if !c.Enabled {
		wrong[pim.AlertPaused] = "somebody paused it; what changes meanwhile waits"
	}
	why := c.LastError
	if why == "" {
		why = "its target does not say why"
	}
	auth, down := c.Hold == postgres.HoldAuth, c.Fails >= postgres.BreakerFails
	switch {
	case !c.Enabled:
	case auth:
		wrong[pim.AlertAuth] = why
	case down:
		wrong[pim.AlertDown] = why
	case !c.Marking:
		var late []string
		for i, lane := range pim.AllLanes {
			due := c.Due[i]
			if len(c.Policy.Flow.Windows) > 0 { // what waited for a window to open was not late meanwhile
				due = c.Policy.Flow.OpenWithin(lane, now.Add(-due), now)
			}
			if due > c.Policy.Alerts.Stale() {
				late = append(late, fmt.Sprintf("%s for %s", lane, due.Round(time.Minute)))
			}
		}
		if len(late) > 0 {
			wrong[pim.AlertStale] = "due and not sent: " + strings.Join(late, ", ")
			if c.LastError != "" {
				wrong[pim.AlertStale] += "; the last error was: " + c.LastError
			}
		}
	}
	if c.Policy.Alerts.Rejecting(c.Rejected, c.Products) {
		// A round number: one more is no news.
		wrong[pim.AlertRejecting] = fmt.Sprintf("more than %d products have rejected listings", roundDown(c.Rejected-1))
	}
	return wrong
}

// roundDown is n with its first digit alone.
func roundDown(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		if n < unit*10 {
			return n / unit * unit
		}
	}
}
