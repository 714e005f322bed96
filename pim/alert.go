package pim

import (
	"fmt"
	"slices"
	"time"
)

// AlertKind is what can be wrong with a channel so that somebody has to know.
type AlertKind string

// The kinds of alerts.
const (
	AlertDown      AlertKind = "down"      // its target failed again and again, and is probed
	AlertAuth      AlertKind = "auth"      // its target refuses our credentials
	AlertStale     AlertKind = "stale"     // something has been due for too long
	AlertRejecting AlertKind = "rejecting" // too many listings are rejected
	AlertPaused    AlertKind = "paused"    // somebody paused it, and it has been so for too long
)

// AlertKinds in the order in which people read them.
var AlertKinds = []AlertKind{AlertDown, AlertAuth, AlertStale, AlertRejecting, AlertPaused}

// Alerts say when a channel needs somebody.
type Alerts struct {
	Off           []string `json:"off,omitempty" enum:"down,auth,stale,rejecting,paused" doc:"Kinds that nobody is told of"`
	StaleSeconds  float64  `json:"stale_seconds,omitempty" minimum:"1" maximum:"31536000" doc:"How long something may be due and not sent; left out: 900"`
	PausedSeconds float64  `json:"paused_seconds,omitempty" minimum:"1" maximum:"31536000" doc:"How long it may be paused; left out: 86400"`
	Rejected      int      `json:"rejected,omitempty" minimum:"1" doc:"How many listings may be rejected; left out: 100"`
	RejectedShare float64  `json:"rejected_share,omitempty" minimum:"0.0001" maximum:"1" doc:"Which share of its listings may be; both bounds have to be passed where both are given; left out: any"`
	RaiseSeconds  float64  `json:"raise_seconds,omitempty" minimum:"1" maximum:"86400" doc:"How long it has to be wrong before somebody is told; left out: 60"`
	ClearSeconds  float64  `json:"clear_seconds,omitempty" minimum:"1" maximum:"86400" doc:"How long it has to be well before it counts as over; left out: 300"`
}

// Defaults of Alerts.
const (
	staleAfter  = 15 * time.Minute
	pausedAfter = 24 * time.Hour
	raiseAfter  = time.Minute
	clearAfter  = 5 * time.Minute
)

// RejectedMost is how many listings may be rejected where a channel does not say.
const RejectedMost = 100

func orElse(seconds float64, otherwise time.Duration) time.Duration {
	if seconds <= 0 {
		return otherwise
	}
	return time.Duration(seconds * float64(time.Second))
}

// Stale is how long something may be due.
func (a Alerts) Stale() time.Duration { return orElse(a.StaleSeconds, staleAfter) }

// Raise is how long a channel has to be wrong, in the way of kind, before
// somebody is told.
func (a Alerts) Raise(kind AlertKind) time.Duration {
	if kind == AlertPaused {
		return orElse(a.PausedSeconds, pausedAfter)
	}
	return orElse(a.RaiseSeconds, raiseAfter)
}

// Clear is how long it has to be well before that counts.
func (a Alerts) Clear() time.Duration { return orElse(a.ClearSeconds, clearAfter) }

// Rejecting reports whether n rejected ones of all listings are too many.
func (a Alerts) Rejecting(n, all int64) bool {
	most := int64(a.Rejected)
	if most == 0 && a.RejectedShare == 0 {
		most = RejectedMost
	}
	return n > 0 && n > most && (a.RejectedShare == 0 || float64(n) > a.RejectedShare*float64(all))
}

// Tells reports whether somebody is told of kind.
func (a Alerts) Tells(kind AlertKind) bool { return !slices.Contains(a.Off, string(kind)) }

// check tells what is wrong with them, with pointers into their JSON.
func (a Alerts) check(add func(pointer, code, format string, args ...any)) {
	for _, n := range []struct {
		name              string
		v, floor, ceiling float64
	}{
		{"stale_seconds", a.StaleSeconds, 1, 31536000},
		{"paused_seconds", a.PausedSeconds, 1, 31536000},
		{"rejected", float64(a.Rejected), 1, 1e12},
		{"rejected_share", a.RejectedShare, 0.0001, 1},
		{"raise_seconds", a.RaiseSeconds, 1, 86400},
		{"clear_seconds", a.ClearSeconds, 1, 86400},
	} {
		if n.v != 0 && !(n.v >= n.floor && n.v <= n.ceiling) { // NaN too
			add("/alerts/"+n.name, "limit", "is from %v to %v", n.floor, n.ceiling)
		}
	}
	for i, kind := range a.Off {
		if !slices.Contains(AlertKinds, AlertKind(kind)) {
			add(fmt.Sprintf("/alerts/off/%d", i), "alert.unknown", "%q is no kind of alert; they are down, auth, stale, rejecting and paused", kind)
		}
	}
}

// Alert is something that is, or was, wrong with a channel.
type Alert struct {
	ID        int64       `json:"id"`
	Channel   ChannelCode `json:"channel"`
	Kind      AlertKind   `json:"kind" enum:"down,auth,stale,rejecting,paused"`
	Since     time.Time   `json:"since" doc:"When it was seen first"`
	RaisedAt  time.Time   `json:"raised_at" doc:"When it had been so for long enough to tell"`
	ClearedAt *time.Time  `json:"cleared_at,omitempty" doc:"When it had been over for long enough; absent while it is not"`
	Detail    string      `json:"detail" doc:"Why"`
	Title     string      `json:"title"`
	Advice    string      `json:"advice" doc:"What to do, with the place in the runbook that says more"`
}

// alertTexts are what people read of each kind: what is, what is over, what to
// do, and where in docs/runbook.md more is said.
var alertTexts = map[AlertKind][4]string{
	AlertDown:      {"is down: its target does not answer", "answers again", "Nothing is lost, and it goes on by itself when the target is back. If the target is well, ask it: sluice channel test %[1]s", "sluicebreakeropen"},
	AlertAuth:      {"is stopped: its target refuses our credentials", "takes our credentials again", "Give it new credentials: PATCH /v1/channels/%[1]s, which is tried at once", "channel-auth"},
	AlertStale:     {"is behind: changes wait to be sent for too long", "has caught up", "See what it waits for: GET /v1/channels/%[1]s/forecast", "sluicechannelstale"},
	AlertRejecting: {"rejects too many listings", "rejects few listings again", "See why: GET /v1/listings?channel=%[1]s&state=rejected, or sluice doctor. When the cause is mended: sluice channel retry %[1]s", "sluicerejectsrising"},
	AlertPaused:    {"has been paused for long", "is not paused any more", "If nobody needs the pause: sluice channel resume %[1]s", "channel-paused"},
}

// Tell fills in the texts.
func (a *Alert) Tell() {
	t := alertTexts[a.Kind]
	if a.Title = fmt.Sprintf("Channel %s %s", a.Channel, t[0]); a.ClearedAt != nil {
		a.Title = fmt.Sprintf("Channel %s %s", a.Channel, t[1])
	}
	a.Advice = fmt.Sprintf(t[2], a.Channel) + ". More: docs/runbook.md#" + t[3]
}
