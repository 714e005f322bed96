package medusatest

import (
	"bytes"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// FaultKind says how a request goes wrong.
type FaultKind string

// The faults. "Applied" tells what the shop holds afterwards.
const (
	Fail         FaultKind = "fail"         // 500 with Medusa's unknown_error; not applied
	Crash        FaultKind = "crash"        // 500 as Fail, for requests that Only picks; Medusa is well otherwise
	Hang         FaultKind = "hang"         // no answer until Release; not applied when the sender leaves first
	Lose         FaultKind = "lose"         // applied, then the connection is closed without an answer
	Garbage      FaultKind = "garbage"      // applied, then 200 with JSON that breaks off
	Endless      FaultKind = "endless"      // applied, then 200 with a body without end
	Throttle     FaultKind = "throttle"     // 429 with Retry-After, as a gateway before Medusa says it; not applied
	Unauthorized FaultKind = "unauthorized" // 401; not applied. Medusa says so as well when its database is away
	Gateway      FaultKind = "gateway"      // 502 with HTML, as a proxy says it; not applied
	Moved        FaultKind = "moved"        // 404 with HTML: no Medusa at this address
)

// Fault is one step of a script.
type Fault struct {
	Kind  FaultKind
	Times int           // requests it meets; 0 is all until Script or Up
	After time.Duration // of Throttle; 0 is a second
	Reads bool          // meet reads, too; Throttle, Unauthorized, Gateway and Moved always do
	// Only, when set, picks the requests that it meets, whatever Reads says; body
	// is the request's. It must not call the fake.
	Only func(r *http.Request, body []byte) bool
}

// Script replaces the faults to come: each request is met by the first whose
// conditions hold and whose Times are not used up. It does not release what hangs.
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

// Up ends the script and releases what hangs.
func (f *Fake) Up() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = nil
	close(f.free)
	f.free = make(chan struct{})
}

// meet picks the fault of a request, nil for none. Callers hold mu.
func (f *Fake) meet(r *http.Request, body []byte) *Fault {
	for i := range f.script {
		s := &f.script[i]
		all := s.Reads || s.Kind == Throttle || s.Kind == Unauthorized || s.Kind == Gateway || s.Kind == Moved
		switch {
		case s.Times == 0:
		case s.Only != nil && !s.Only(r, body):
		case s.Only == nil && r.Method == http.MethodGet && !all:
		default:
			s.Times--
			met := *s
			return &met
		}
	}
	return nil
}

// misbehave lets a fault happen to a request; finish does what it asks for.
func (f *Fake) misbehave(w http.ResponseWriter, r *http.Request, fault *Fault, finish func(http.ResponseWriter)) {
	switch fault.Kind {
	case Fail, Crash:
		f.refuse(w, unknown())
	case Throttle:
		after := fault.After
		if after == 0 {
			after = time.Second
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
		http.Error(w, "slow down"+f.opts.Echo, http.StatusTooManyRequests)
	case Unauthorized:
		f.refuse(w, &refused{status: http.StatusUnauthorized, message: "Unauthorized"})
	case Gateway:
		page(w, http.StatusBadGateway, "<html><body><h1>502 Bad Gateway</h1>"+f.opts.Echo+"</body></html>")
	case Moved:
		page(w, http.StatusNotFound, "<!DOCTYPE html><html><body><pre>Cannot "+r.Method+" "+r.URL.Path+f.opts.Echo+"</pre></body></html>")
	case Hang:
		f.hang(w, r, finish)
	case Lose:
		finish(httptest.NewRecorder())
		panic(http.ErrAbortHandler)
	case Garbage:
		finish(httptest.NewRecorder())
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"created":[{"id":`)) // the sender may have left
	case Endless:
		finish(httptest.NewRecorder())
		w.Header().Set("Content-Type", "application/json")
		for chunk := bytes.Repeat([]byte(" "), 64<<10); ; {
			if _, err := w.Write(chunk); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}
}

func (f *Fake) hang(w http.ResponseWriter, r *http.Request, finish func(http.ResponseWriter)) {
	f.mu.Lock()
	f.count.Hanging++
	free := f.free
	f.bump()
	f.mu.Unlock()
	gone := false
	select {
	case <-free:
	case <-r.Context().Done():
		gone = true
	case <-f.closed:
		gone = true
	}
	f.mu.Lock()
	f.count.Hanging--
	f.bump()
	f.mu.Unlock()
	if gone {
		panic(http.ErrAbortHandler)
	}
	finish(w)
}

// page answers HTML, as what is no Medusa does.
func page(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the sender may have left
}
