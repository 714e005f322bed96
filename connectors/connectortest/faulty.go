package connectortest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/fakeworks"
)

// Faulty serves a fake target on loopback and lets its calls go wrong: it has
// the switches of a Target whose faults need no knowledge of what the target
// says. A fake with faults of its own vendor's kind brings its own.
type Faulty struct {
	t       testing.TB
	handler http.Handler
	port    *fakeworks.Port

	mu      sync.Mutex
	changed *sync.Cond
	fault   func(w http.ResponseWriter, r *http.Request)
	calls   int
	hanging int
	healed  chan struct{} // closed when the fault ends
}

// Serve starts a fake. It ends with t.
func Serve(t testing.TB, fake http.Handler) *Faulty {
	t.Helper()
	f := &Faulty{t: t, handler: fake, healed: make(chan struct{})}
	f.changed = sync.NewCond(&f.mu)
	port, err := fakeworks.Listen("the fake target", "", http.HandlerFunc(f.serve), 0)
	if err != nil {
		t.Fatal(err)
	}
	f.port = port
	t.Cleanup(func() {
		if err := port.Shut(f.release, nil); err != nil {
			t.Error(err)
		}
	})
	return f
}

// URL is the target's address, without a slash at its end.
func (f *Faulty) URL() string { return f.port.URL() }

func (f *Faulty) serve(w http.ResponseWriter, r *http.Request) {
	// A request that breaks off has not arrived: nobody is to be blamed for half of one. And a sender that leaves
	// is only noticed when all was read.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRecorded))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.mu.Lock()
	f.calls++
	fault := f.fault
	f.mu.Unlock()
	if fault == nil {
		f.handler.ServeHTTP(w, r)
		return
	}
	fault(w, r)
}

func (f *Faulty) set(fault func(w http.ResponseWriter, r *http.Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// Calls is how many requests came.
func (f *Faulty) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// release ends the fault, and lets go on what hangs.
func (f *Faulty) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = nil
	close(f.healed)
	f.healed = make(chan struct{})
}

// Heal ends every fault.
func (f *Faulty) Heal() {
	f.t.Helper()
	f.release()
	f.refuse(false)
}

// Refuse closes the port.
func (f *Faulty) Refuse() {
	f.t.Helper()
	f.refuse(true)
}

func (f *Faulty) refuse(yes bool) {
	f.t.Helper()
	if err := f.port.Refuse(yes); err != nil {
		f.t.Fatal(err)
	}
}

// apply lets the fake do its work, and keeps what it says.
func (f *Faulty) apply(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// Lose applies requests, and their answers are lost.
func (f *Faulty) Lose() {
	f.set(func(_ http.ResponseWriter, r *http.Request) {
		f.apply(r)
		panic(http.ErrAbortHandler)
	})
}

// Garble applies requests, and their answers break off.
func (f *Faulty) Garble() {
	f.set(func(w http.ResponseWriter, r *http.Request) {
		answer := f.apply(r)
		body := answer.Body.Bytes()
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body[:len(body)/2])
	})
}

// Endless gives answers without an end.
func (f *Faulty) Endless() {
	f.set(func(w http.ResponseWriter, r *http.Request) {
		f.apply(r)
		w.Header().Set("Content-Type", "application/json")
		chunk := make([]byte, 64<<10)
		for i := range chunk {
			chunk[i] = ' '
		}
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
}

// Fail answers 500.
func (f *Faulty) Fail() { f.status(http.StatusInternalServerError) }

// Unauthorize answers 401.
func (f *Faulty) Unauthorize() { f.status(http.StatusUnauthorized) }

func (f *Faulty) status(code int) {
	f.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"error":%q}`, "you said "+r.Header.Get("Authorization")) // as rude as it can be
	})
}

// Throttle answers 429, to come back after that time in whole seconds.
func (f *Faulty) Throttle(after time.Duration) {
	f.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
		w.WriteHeader(http.StatusTooManyRequests)
	})
}

// Hang leaves requests without an answer until Heal, or until their sender leaves.
func (f *Faulty) Hang() {
	f.set(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		healed := f.healed
		f.hanging++
		f.changed.Broadcast()
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.hanging--
		}()
		select {
		case <-healed:
			if r.Context().Err() == nil { // of the two, that its sender has left counts
				f.handler.ServeHTTP(w, r)
			}
		case <-r.Context().Done():
		}
	})
}

// WaitHanging returns when a request hangs.
func (f *Faulty) WaitHanging(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.hanging == 0 && ctx.Err() == nil {
		f.changed.Wait()
	}
	return ctx.Err()
}
