//go:build unix

package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// The kinds of steps of a schedule.
const (
	doKill     = "kill -9 of a process"
	doStop     = "SIGSTOP of a process"
	doRestart  = "immediate restart of PostgreSQL"
	doEnd      = "backends terminated"
	doDeafen   = "LISTEN backends terminated"
	doSnapshot = "transaction held open"
	doLock     = "row lock held"
	doJobs     = "all River jobs deleted"
	doDatabase = "way to the database"
	doTarget   = "way to a target"
	doAPI      = "way to the API"
	doFault    = "target"
)

// step is one disturbance. What it disturbs is a number, taken modulo how many
// there are.
type step struct {
	at   time.Duration
	kind string
	how  string // of ways and targets: the fault
	who  int
	few  int           // of targets: how many calls meet it; 0 is all
	span time.Duration // how long it lasts; of doKill until the process is started again
}

func (s step) String() string {
	return fmt.Sprintf("%8.2fs %s %s #%d for %.2fs", s.at.Seconds(), s.kind, s.how, s.who, s.span.Seconds())
}

// pace is how fast a run goes.
type pace struct {
	length  time.Duration // of the disorder
	steps   time.Duration // mean time between two of them
	edits   time.Duration // mean time between two edits of an editor
	timeout time.Duration // of a channel's call
	settle  time.Duration // of a channel
	brief   time.Duration // the longest that a request is held up at one place, after which its sender may have given it up; with twice the timeout it fits settle
	freeze  time.Duration // the longest SIGSTOP, beyond the lease
	latest  time.Duration // the longest that an edit may be on its way
	old     time.Duration // the longest transaction
	probes  int           // edits whose way to a target is timed, once without and once beside a dead channel
}

func fullPace(length time.Duration) *pace {
	return &pace{
		length: length, steps: time.Second, edits: 300 * time.Millisecond, timeout: 2 * time.Second, settle: 9 * time.Second, brief: 3 * time.Second,
		freeze: 14 * time.Second, latest: 90 * time.Second, old: 150 * time.Second, probes: 100,
	}
}

func quickPace(length time.Duration) *pace {
	return &pace{
		length: length, steps: 500 * time.Millisecond, edits: 150 * time.Millisecond, timeout: 1500 * time.Millisecond, settle: 6 * time.Second, brief: 2 * time.Second,
		freeze: 8 * time.Second, latest: 60 * time.Second, old: 10 * time.Second, probes: 20,
	}
}

// weights say how often each kind comes.
var weights = []struct {
	kind   string
	weight int
}{
	{doKill, 12},
	{doStop, 10},
	{doRestart, 3},
	{doEnd, 8},
	{doDeafen, 6},
	{doSnapshot, 2},
	{doLock, 5},
	{doJobs, 6},
	{doDatabase, 12},
	{doTarget, 16},
	{doAPI, 6},
	{doFault, 45},
}

// planned is the schedule of a seed: the same each time. What the processes are
// at when a step comes, no seed can say.
func planned(rnd *rand.Rand, p *pace) (list []step) {
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	// Each kind comes at least once, however short the run.
	first := rnd.Perm(len(weights))
	for at := time.Duration(0); at < p.length; at += time.Duration(rnd.ExpFloat64() * float64(p.steps)) {
		kind := ""
		if n := len(list); n < len(first) {
			kind = weights[first[n]].kind
		} else {
			pick := rnd.IntN(total)
			for _, w := range weights {
				if pick -= w.weight; pick < 0 {
					kind = w.kind
					break
				}
			}
		}
		s := step{at: at, kind: kind, who: rnd.IntN(1 << 16)}
		between := func(least, most time.Duration) time.Duration {
			return least + time.Duration(rnd.Int64N(int64(most-least)))
		}
		switch kind {
		case doKill:
			s.span = between(0, 2*time.Second)
		case doStop:
			s.span = between(p.brief/10, p.brief)
			if rnd.IntN(2) == 0 { // longer than a lease
				s.span = between(6*time.Second, p.freeze)
			}
		case doSnapshot:
			s.span = between(p.old/15, p.old)
		case doLock:
			s.span = between(p.brief/3, 3*p.brief)
		case doDatabase, doAPI:
			s.how = wayFaults[rnd.IntN(len(wayFaults))]
			s.span = between(p.brief/3, 3*p.brief)
		case doTarget:
			s.how = wayFaults[rnd.IntN(len(wayFaults))]
			if rnd.IntN(2) == 0 {
				s.how = wayStall
			}
			if s.span = between(p.brief/6, p.brief); s.how == wayStall {
				s.span = between(p.timeout, 2*p.timeout)
			}
		case doFault:
			if s.how = targetFaults[rnd.IntN(len(targetFaults))]; rnd.IntN(4) == 0 {
				s.how = targetSlow
			}
			s.span = between(p.brief/3, p.brief)
			s.few = max(rnd.IntN(5)-2, 0)
			if slices.Contains([]string{targetDown, targetThrottle, targetReject, targetUnknown, targetReset}, s.how) { // nothing of it comes late
				s.span = between(p.brief, 4*p.brief)
			}
			if s.how == targetSlow { // its sender gives it up, and the next one overtakes it
				s.few, s.span = 1+rnd.IntN(2), between(p.timeout, 2*p.timeout)
			}
		}
		list = append(list, s)
	}
	return list
}
