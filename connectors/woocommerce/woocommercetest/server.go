package woocommercetest

import (
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
	addr    string
	handler http.Handler

	mu   sync.Mutex
	http *http.Server // nil while it refuses
	end  bool
}

// NewServer starts a fake shop on addr; "" is a free port of 127.0.0.1. It
// speaks plain HTTP, so that calls have to be signed.
func NewServer(addr string, opts Options) (*Server, error) {
	f := New(opts)
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	s := &Server{Fake: f, addr: addr, handler: f}
	if opts.Wrap != nil {
		s.handler = opts.Wrap(f)
	}
	if err := f.open(opts.Ledger); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listen(); err != nil {
		return nil, errors.Join(err, f.ledger.Close())
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
// fails when the shop's rules were violated and nobody called Forgive.
func Start(t TB, opts Options) *Server {
	t.Helper()
	s, err := NewServer("", opts)
	if err != nil {
		t.Fatalf("starting the fake shop: %v", err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		for _, v := range s.Violations() {
			t.Errorf("the fake shop's rules were violated: %s", v)
		}
	})
	return s
}

// listen opens the port and serves. Callers hold s.mu.
func (s *Server) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listening for the fake shop: %w", err)
	}
	s.addr = l.Addr().String()
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		// Aborted handlers are the faults at work, nothing to write about.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	s.http = srv
	go func() { _ = srv.Serve(l) }()
	return nil
}

// URL is the shop's address, as a channel's config takes it.
func (s *Server) URL() string { return "http://" + s.addr }

// AdminURL is where the paths of AdminPath begin.
func (s *Server) AdminURL() string { return s.URL() + AdminPath }

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
	s.Release()
	defer s.closeLedger()
	if s.http == nil {
		return nil
	}
	if err := s.http.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the fake shop: %w", err)
	}
	return nil
}
