package trytontest

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FaultKind says how a call goes wrong.
type FaultKind string

// The faults. "Applied" tells what Tryton holds afterwards.
const (
	Fail         FaultKind = "fail"         // answer 500; not applied
	Reset        FaultKind = "reset"        // close the connection without an answer; not applied
	Hang         FaultKind = "hang"         // no answer until Up, then go on; not applied when the caller leaves first
	Slow         FaultKind = "slow"         // go on after After, even if the caller has left
	Lose         FaultKind = "lose"         // apply, then close the connection without an answer
	Garbage      FaultKind = "garbage"      // apply, then answer 200 with JSON that breaks off
	Endless      FaultKind = "endless"      // apply, then answer 200 with a body without end
	Throttle     FaultKind = "throttle"     // 429, with Retry-After where After is set, as a proxy does; not applied
	Unauthorized FaultKind = "unauthorized" // 401, also to logins; not applied
	Answer       FaultKind = "answer"       // answer 200 with the error Body; not applied
)

// Fault is one step of a script.
type Fault struct {
	Kind   FaultKind
	Times  int           // calls it meets; 0 is all until Script or Up
	After  time.Duration // of Slow and Throttle
	Body   string        // of Answer: the JSON of "error"
	Status int           // of Fail; 0 is 500
	Skip   int           // calls that pass before
	// Writes meets only calls that change something, and the question for
	// rights, which is the connection test. Method meets only this method.
	Writes bool
	Method string
}

// Script replaces the faults to come: each call is met by the first that fits.
func (f *Fake) Script(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
	for _, fault := range faults {
		if fault.Times == 0 {
			fault.Times = math.MaxInt
		}
		f.faults = append(f.faults, &fault)
	}
}

// Down makes every call fail: with Fail (503), Reset, Hang or Unauthorized.
func (f *Fake) Down(how FaultKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = how
}

// Up ends Down and the script, and lets what hangs go on.
func (f *Fake) Up() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down, f.faults = "", nil
	close(f.released)
	f.released = make(chan struct{})
}

// meet picks a call's fault, nil for none.
func (f *Fake) meet(method string) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != "" {
		return &Fault{Kind: f.down, Status: http.StatusServiceUnavailable}
	}
	for _, fault := range f.faults {
		write := strings.HasSuffix(method, ".create") || strings.HasSuffix(method, ".write") || strings.HasSuffix(method, ".get_access")
		if fault.Times == 0 || fault.Writes && !write || fault.Method != "" && fault.Method != method {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		fault.Times--
		met := *fault
		return &met
	}
	return nil
}

// before does what a fault does before the call; false ends it.
func (f *Fake) before(w http.ResponseWriter, r *http.Request, fault *Fault, call request) bool {
	switch fault.Kind {
	case Fail:
		status := fault.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		page(w, status, http.StatusText(status)+" "+f.opts.Echo)
		return false
	case Reset:
		panic(http.ErrAbortHandler)
	case Unauthorized:
		page(w, http.StatusUnauthorized, "Unauthorized "+f.opts.Echo)
		return false
	case Throttle:
		if fault.After > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(fault.After.Seconds()))))
		}
		page(w, http.StatusTooManyRequests, "Too Many Requests "+f.opts.Echo)
		return false
	case Answer:
		sendJSON(w, []byte(`{"id":1,"error":`+fault.Body+`}`))
		return false
	case Hang:
		return f.hang(r)
	case Slow:
		select {
		case <-time.After(fault.After):
		case <-f.closed:
		}
	}
	_ = call
	return true
}

// hang holds a call; false when its caller left.
func (f *Fake) hang(r *http.Request) bool {
	f.mu.Lock()
	f.count.Hanging++
	released := f.released
	f.bump()
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.count.Hanging--
		f.bump()
	}()
	select {
	case <-released:
		return true
	case <-r.Context().Done():
	case <-f.closed:
	}
	return false
}

// after answers, or does what a fault does instead.
func (f *Fake) after(w http.ResponseWriter, fault *Fault, body []byte) {
	if fault == nil {
		sendJSON(w, body)
		return
	}
	switch fault.Kind {
	case Lose:
		panic(http.ErrAbortHandler)
	case Garbage:
		sendJSON(w, body[:len(body)/2])
	case Endless:
		w.Header().Set("Content-Type", "application/json")
		junk := []byte(strings.Repeat(" ", 64<<10))
		for {
			select {
			case <-f.closed:
				return
			default:
			}
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	default:
		sendJSON(w, body)
	}
}
