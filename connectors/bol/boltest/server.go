package boltest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is a Fake that listens.
type Server struct {
	*Fake
	addr string

	mu   sync.Mutex
	http *http.Server // nil while it refuses
	end  bool
}

// NewServer starts a fake on addr; "" is a free port of 127.0.0.1.
func NewServer(addr string, opts Options) (*Server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	s := &Server{Fake: New(opts), addr: addr}
	if err := s.open(opts.Ledger); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, s.ledger.Close())
	}
	return s, nil
}

// TB is what Start needs of a test.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Start starts a fake for a test. At the test's end it is closed, and the test
// fails when the contract was violated and nobody called Forgive.
func Start(t TB, opts Options) *Server {
	t.Helper()
	s, err := NewServer("", opts)
	if err != nil {
		t.Fatalf("starting the fake bol: %v", err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		for _, v := range s.Violations() {
			t.Errorf("bol's contract was violated: %s", v)
		}
	})
	return s
}

// listen opens the port and serves. Callers hold s.mu.
func (s *Server) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listening for the fake bol: %w", err)
	}
	s.addr = l.Addr().String()
	srv := &http.Server{
		Handler:           s.Fake,
		ReadHeaderTimeout: 10 * time.Second,
		// Aborted handlers are the faults at work, nothing to write about.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	s.http = srv
	go func() { _ = srv.Serve(l) }()
	return nil
}

// URL is the API's address, for api_url.
func (s *Server) URL() string { return "http://" + s.addr }

// AdminURL is where the paths of AdminPath begin.
func (s *Server) AdminURL() string { return s.URL() + AdminPath }

// LoginURL is where access tokens are got, for login_url.
func (s *Server) LoginURL() string { return s.URL() + "/token" }

// Refuse closes the port and all connections, so that dialling is refused; or
// opens the same port again. Calls in flight end without an answer.
func (s *Server) Refuse(refuse bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refuse == (s.http == nil) || s.end {
		return nil
	}
	if refuse {
		err := s.http.Close()
		s.http = nil
		return err
	}
	var err error
	// Another process may hold the free port for a moment as its own end of a
	// connection.
	for range 50 {
		if err = s.listen(); err == nil {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return err
}

// Close ends the server and what hangs in it.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end {
		return nil
	}
	s.end = true
	close(s.closed)
	defer s.closeLedger()
	if s.http == nil {
		return nil
	}
	if err := s.http.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the fake bol: %w", err)
	}
	return nil
}

// Wait returns when cond holds of the totals, or with an error that says where
// the target stands when ctx is done first.
func (f *Fake) Wait(ctx context.Context, cond func(Counts) bool) error {
	f.mu.Lock()
	f.waiters++
	for !cond(f.count) {
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			f.mu.Lock()
			f.waiters--
			c := f.count
			f.mu.Unlock()
			return fmt.Errorf("waiting for the fake bol, which stands at %+v: %w", c, ctx.Err())
		}
		f.mu.Lock()
	}
	f.waiters--
	f.mu.Unlock()
	return nil
}

// bump ends a change: it writes the ledger and wakes Wait. Callers hold mu.
func (f *Fake) bump() {
	f.keep()
	if f.waiters > 0 {
		close(f.changed)
		f.changed = make(chan struct{})
	}
}
