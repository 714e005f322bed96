// Package faulty lets the fakes of translation services go wrong in the ways in
// which services do. It knows no vendor: what a refusal looks like is said by the
// fake.
package faulty

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Kind says how a call goes wrong.
type Kind string

// The faults.
const (
	Throttle Kind = "throttle" // too many calls; come back after After
	Quota    Kind = "quota"    // the period's quota is used up
	Deny     Kind = "deny"     // the key is refused
	Large    Kind = "large"    // more than the service takes
	Fail     Kind = "fail"     // an error of Status
	Reset    Kind = "reset"    // the connection closes without an answer
	Hang     Kind = "hang"     // no answer until the caller leaves or the script changes
	Slow     Kind = "slow"     // the answer, but after After
	Truncate Kind = "truncate" // half of the answer, with the length of the whole
	Cut      Kind = "cut"      // half of the answer, as if it were whole
	Garbage  Kind = "garbage"  // JSON of another shape
	Endless  Kind = "endless"  // an answer that does not end
	Partial  Kind = "partial"  // one text fewer than asked for
)

// Header marks answers that are broken on purpose: nobody need check them
// against the vendor's contract.
const Header = "X-Fake-Fault"

// Fault is one step of a script.
type Fault struct {
	Kind   Kind
	Times  int           // calls that it meets; 0 is all to come
	Status int           // of Fail; 0 is 500
	After  time.Duration // of Throttle and Slow
}

// Answer is what a fake says.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Script is a fake's faults to come. The zero value has none.
type Script struct {
	mu      sync.Mutex
	faults  []Fault
	changed chan struct{}
	calls   int
}

// Play replaces the faults to come: each call is met by the first that is not
// used up. It releases what hangs.
func (s *Script) Play(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.Clone(faults)
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Calls is how many calls came.
func (s *Script) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *Script) meet() (Fault, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	for i := range s.faults {
		f := s.faults[i]
		switch {
		case f.Times == 0:
			return f, s.changed
		case f.Times > 0:
			if s.faults[i].Times--; s.faults[i].Times == 0 {
				s.faults[i].Times = -1
			}
			return f, s.changed
		}
	}
	return Fault{}, s.changed
}

// Serve answers a call as the script says. do is what the fake would answer,
// with one text fewer for partial; refuse is how its vendor refuses for a fault
// of kind Throttle, Quota, Deny, Large or Fail.
func (s *Script) Serve(w http.ResponseWriter, r *http.Request, do func(partial bool) Answer, refuse func(Fault) Answer) {
	fault, changed := s.meet()
	switch fault.Kind {
	case Throttle, Quota, Deny, Large, Fail:
		a := refuse(fault)
		if fault.Kind == Throttle && fault.After > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(fault.After/time.Second)))
		}
		a.Write(w)
	case Reset:
		panic(http.ErrAbortHandler)
	case Hang:
		select {
		case <-changed:
			do(false).Write(w)
		case <-r.Context().Done():
		}
	case Slow:
		select {
		case <-time.After(fault.After):
			do(false).Write(w)
		case <-r.Context().Done():
		}
	case Truncate:
		a := do(false)
		w.Header().Set(Header, string(fault.Kind))
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
		a.Body = a.Body[:len(a.Body)/2]
		a.Write(w)
	case Cut:
		a := do(false)
		w.Header().Set(Header, string(fault.Kind))
		a.Body = a.Body[:len(a.Body)/2]
		a.Write(w)
	case Garbage:
		w.Header().Set(Header, string(fault.Kind))
		Answer{Body: []byte(`["not what you asked for",{"a":[1,null]}]`)}.Write(w)
	case Endless:
		w.Header().Set(Header, string(fault.Kind))
		filler := make([]byte, 64<<10)
		for i := range filler {
			filler[i] = ' '
		}
		for {
			if _, err := w.Write(filler); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	case Partial:
		w.Header().Set(Header, string(fault.Kind))
		do(true).Write(w)
	default:
		do(false).Write(w)
	}
}

// Write sends an answer, as JSON where it does not say otherwise.
func (a Answer) Write(w http.ResponseWriter) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the reader may have left
}
