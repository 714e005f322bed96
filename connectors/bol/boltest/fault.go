package boltest

import (
	"math"
	"net/http"
	"slices"
	"time"
)

// FaultKind says how a call goes wrong.
type FaultKind string

// The faults. "Applied" tells what the target holds afterwards.
const (
	Fail     FaultKind = "fail"     // answer Status with a problem body; not applied
	Reset    FaultKind = "reset"    // close the connection without an answer; not applied
	Hang     FaultKind = "hang"     // no answer until Up, then go on; not applied when the sender leaves first
	Slow     FaultKind = "slow"     // go on after After, even if the sender has left: a late request
	Lose     FaultKind = "lose"     // apply, then close the connection without an answer
	Garbage  FaultKind = "garbage"  // apply, then answer with JSON that breaks off
	Endless  FaultKind = "endless"  // apply, then answer 200 with a body without end
	Throttle FaultKind = "throttle" // 429 with After; not applied
)

// Faulty is the header that marks answers which a fault made, other than by a
// status: nobody need check them against the vendor's contract.
const Faulty = "X-Fake-Fault"

// Fault is one step of a script.
type Fault struct {
	Kind   FaultKind
	Op     string        // the operation that it meets, such as CreateOffer; "" is every one but the login
	Skip   int           // calls that pass before
	Times  int           // calls that it meets; 0 is all until Script or Up
	Status int           // of Fail; 0 is 500
	After  time.Duration // of Slow and Throttle; 0 is a second
}

// Script replaces the faults to come: each call is met by the first that fits
// and is not used up. No faults ends them all; it does not release what hangs.
func (f *Fake) Script(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = slices.Clone(faults)
	for i := range f.script {
		if f.script[i].Times == 0 {
			f.script[i].Times = math.MaxInt
		}
	}
	f.bump()
}

// Up ends the script and Deny, and releases what hangs.
func (f *Fake) Up() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script, f.denied = nil, false
	f.release()
	f.bump()
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

// meet picks the fault of a call, nil for none. Callers hold mu.
func (f *Fake) meet(op string) *Fault {
	for i := range f.script {
		s := &f.script[i]
		if s.Times == 0 || s.Op != op && (s.Op != "" || op == Login) {
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

// misbehave answers a call as its fault says; do is what it would have done.
func (f *Fake) misbehave(w http.ResponseWriter, r *http.Request, media string, fault Fault, do func() answer) {
	after := fault.After
	if after == 0 {
		after = time.Second
	}
	switch fault.Kind {
	case Throttle:
		f.mu.Lock()
		f.count.Throttled++
		f.mu.Unlock()
		f.throttled(media, after).write(w)
	case Fail:
		status := fault.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		f.problem(media, status, "Something went wrong on our side."+f.rude(r.Header.Get("Authorization"))).write(w)
	case Hang:
		if f.wait(r) {
			do().write(w)
		}
	case Slow:
		select {
		case <-time.After(after):
		case <-f.closed:
			return
		}
		do().write(w)
	case Lose:
		do()
		panic(http.ErrAbortHandler)
	case Garbage:
		a := do()
		w.Header().Set(Faulty, string(fault.Kind))
		w.Header().Set("Content-Type", media)
		w.WriteHeader(http.StatusOK)
		raw := a.raw()
		_, _ = w.Write(raw[:len(raw)/2]) // the reader may have left
	case Endless:
		do()
		w.Header().Set(Faulty, string(fault.Kind))
		w.Header().Set("Content-Type", media)
		w.WriteHeader(http.StatusOK)
		filler := make([]byte, 64<<10)
		for i := range filler {
			filler[i] = ' '
		}
		for {
			if _, err := w.Write(filler); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	default: // Reset
		panic(http.ErrAbortHandler)
	}
}

// wait holds a call; false when the sender left or the fake was closed.
func (f *Fake) wait(r *http.Request) bool {
	f.mu.Lock()
	f.count.Hanging++
	released := f.released
	f.bump()
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.count.Hanging--
		f.bump()
		f.mu.Unlock()
	}()
	select {
	case <-released:
		return true
	case <-r.Context().Done():
	case <-f.closed:
	}
	return false
}
