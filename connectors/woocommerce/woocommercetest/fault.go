package woocommercetest

import (
	"math"
	"net/http"
	"time"
)

// FaultKind says how a call goes wrong.
type FaultKind string

// The faults. "Applied" tells what the shop holds afterwards.
const (
	Fail         FaultKind = "fail"         // WordPress's page of a fatal error, as JSON, with Status; not applied
	Reset        FaultKind = "reset"        // close the connection without an answer; not applied
	Hang         FaultKind = "hang"         // no answer until Release, then go on; not applied when the sender leaves first
	Slow         FaultKind = "slow"         // go on after After, even if the sender has left: a late request
	Lose         FaultKind = "lose"         // apply, then close the connection without an answer
	Garbage      FaultKind = "garbage"      // apply, then answer 200 with JSON that breaks off
	Page         FaultKind = "page"         // apply, then answer 200 with HTML, as a caching or security plugin does
	Endless      FaultKind = "endless"      // apply, then answer 200 with a body without end
	Throttle     FaultKind = "throttle"     // 429 with Retry-After: After, as hosts do; not applied
	Unauthorized FaultKind = "unauthorized" // 401; not applied
	Maintenance  FaultKind = "maintenance"  // 503, HTML and Retry-After: After, as during an update; not applied
)

// Fault is one step of a script.
type Fault struct {
	Kind   FaultKind
	Times  int           // calls it meets; 0 is all until Script or Up
	Status int           // of Fail; 0 is 500
	After  time.Duration // of Slow, Throttle and Maintenance; 0 is a second
	Skip   int           // calls that pass before
	Reads  bool          // meet GETs, too, and not only calls that may change something
	// Only, when set, picks the calls; it must not call the fake.
	Only func(r *http.Request) bool
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
}

// Down makes every call fail, reads included: with Fail, Maintenance, Reset or
// Hang. See Server.Refuse for a shop that cannot be reached at all.
func (f *Fake) Down(how FaultKind) { f.Script(Fault{Kind: how, Reads: true}) }

// Up ends all faults and releases what hangs.
func (f *Fake) Up() {
	f.Script()
	f.Release()
}

// Release lets the calls that hang at this moment go on.
func (f *Fake) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.released)
	f.released = make(chan struct{})
}

// meet picks the fault of a call, nil for none. Callers hold mu.
func (f *Fake) meet(r *http.Request) *Fault {
	for i := range f.script {
		s := &f.script[i]
		if s.Times == 0 || !s.Reads && r.Method == http.MethodGet || s.Only != nil && !s.Only(r) {
			continue
		}
		if s.Skip > 0 {
			s.Skip--
			continue
		}
		s.Times--
		met := *s
		return &met
	}
	return nil
}
