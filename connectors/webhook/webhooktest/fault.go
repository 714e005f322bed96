package webhooktest

import (
	"math"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// FaultKind says how a call goes wrong.
type FaultKind string

// The faults. "Applied" tells what the target holds afterwards.
const (
	Fail         FaultKind = "fail"         // answer Status; not applied, unless Fault.Apply
	Reset        FaultKind = "reset"        // close the connection without an answer; not applied
	Hang         FaultKind = "hang"         // no answer until Release, then go on; not applied when the sender leaves first
	Slow         FaultKind = "slow"         // go on after After, even if the sender has left: a late request
	Lose         FaultKind = "lose"         // apply, then close the connection without an answer
	Late         FaultKind = "late"         // close the connection at once; apply after Calls further calls, or by ApplyLate
	Garbage      FaultKind = "garbage"      // apply, then answer 200 with JSON that breaks off
	Endless      FaultKind = "endless"      // apply, then answer 200 with a body without end
	Page         FaultKind = "page"         // answer 200 with an HTML page, as a gateway that wants a login does; not applied
	Throttle     FaultKind = "throttle"     // 429 with Retry-After: After; not applied
	Unauthorized FaultKind = "unauthorized" // 401; not applied
)

var faultKinds = []FaultKind{Fail, Reset, Hang, Slow, Lose, Late, Garbage, Endless, Page, Throttle, Unauthorized}

// Fault is one step of a script.
type Fault struct {
	Kind   FaultKind
	Times  int           // calls it meets; 0 is all until Script or Up
	Status int           // of Fail; 0 is 500
	Apply  bool          // of Fail: apply first, so that the target holds what it denies
	After  time.Duration // of Slow and Throttle; 0 is a second
	Calls  int           // of Late; 0 waits for ApplyLate
	Polls  bool          // meet the status endpoint instead of the items endpoint
	Reads  bool          // meet the endpoint that tells what is held instead
	// Only, when set, picks the calls that it meets; it must not call the fake.
	Only func(items []Item) bool
}

// Script replaces the faults to come: each call is met by the first whose
// conditions hold and whose Times are not used up. No faults ends them all; it
// does not release what hangs.
func (f *Fake) Script(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = faults
	for i := range f.script {
		if f.script[i].Times == 0 {
			f.script[i].Times = math.MaxInt
		}
	}
	f.bump()
}

// Down makes every call of items and status fail: with Fail (503), Reset or Hang.
// See Server.Refuse for a target that cannot be reached at all.
func (f *Fake) Down(how FaultKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = how
	f.bump()
}

// Up ends Down and the script, and releases what hangs.
func (f *Fake) Up() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down, f.script = "", nil
	f.release()
	f.bump()
}

// Say puts headers beside every answer from here on, such as those of a budget;
// nil ends that.
func (f *Fake) Say(h http.Header) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.says = h.Clone()
}

// Release lets the calls that hang at this moment go on.
func (f *Fake) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.release()
}

func (f *Fake) release() {
	close(f.released)
	f.released = make(chan struct{})
}

// SetVersioned changes Options.Versioned.
func (f *Fake) SetVersioned(versioned bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opts.Versioned = versioned
}

// Reject makes upserts of a SKU fail validation with these issues, or with one
// of the fake's own when there are none.
func (f *Fake) Reject(sku pim.SKU, issues ...pim.Issue) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(issues) == 0 {
		issues = []pim.Issue{{Code: "refused", Severity: pim.SeverityError, Attribute: "name", Text: "this shop does not want it" + f.echo()}}
	}
	f.reject[sku] = issues
}

// Accept ends Reject.
func (f *Fake) Accept(sku pim.SKU) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.reject, sku)
}

// Throttle lets perSecond calls through, with bursts of burst (at least 1), and
// answers the others 429 with the Retry-After at which the next one passes;
// perSecond 0 ends it.
func (f *Fake) Throttle(perSecond float64, burst int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	burst = max(burst, 1)
	f.bucket = bucket{rate: perSecond, burst: float64(burst), tokens: float64(burst), at: time.Now()}
}

// bucket is a token bucket of calls.
type bucket struct {
	rate, burst, tokens float64
	at                  time.Time
}

// take spends a token, or says how long until there is one.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	if b.rate <= 0 {
		return 0
	}
	b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	b.at = now
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration((1 - b.tokens) / b.rate * float64(time.Second))
}

// The endpoints that faults meet.
const (
	atItems = iota
	atStatus
	atHeld
)

// meet picks the fault of a call, nil for none. Callers hold mu.
func (f *Fake) meet(items []Item, at int) *Fault {
	if f.down != "" {
		return &Fault{Kind: f.down, Status: 503}
	}
	for i := range f.script {
		s := &f.script[i]
		if s.Times == 0 || s.Polls != (at == atStatus) || s.Reads != (at == atHeld) || s.Only != nil && !s.Only(items) {
			continue
		}
		s.Times--
		met := *s
		return &met
	}
	if at == atItems {
		if wait := f.bucket.take(time.Now()); wait > 0 {
			return &Fault{Kind: Throttle, After: wait}
		}
	}
	return nil
}

// lateCall is a call whose items are still on their way in.
type lateCall struct {
	call  int64
	items []Item
	left  int // calls until it is applied; below 0 waits for ApplyLate
}

// ApplyLate applies the items of all calls that Late holds, oldest first, and
// says how many there were.
func (f *Fake) ApplyLate() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, l := range f.late {
		n += len(l.items)
		f.applyHeld(l)
	}
	f.late = nil
	f.bump()
	return n
}

// countLate lets one call pass by the held ones. Callers hold mu.
func (f *Fake) countLate() {
	kept := f.late[:0]
	for _, l := range f.late {
		if l.left > 0 {
			if l.left--; l.left == 0 {
				f.applyHeld(l)
				continue
			}
		}
		kept = append(kept, l)
	}
	f.late = kept
}

func (f *Fake) applyHeld(l *lateCall) {
	now := time.Now()
	for _, it := range l.items {
		v := f.apply(it, now)
		f.note(Entry{Call: l.call, At: now, Outcome: v.outcome, Late: true, Lost: true, Fault: Late, Item: it})
	}
}
