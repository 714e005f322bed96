package medusatest

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
	handler http.Handler
	addr    string

	mu   sync.Mutex
	http *http.Server // nil while it refuses
	end  bool
}

// NewServer starts a shop on addr; "" is a free port of 127.0.0.1. Wrap, when not
// nil, is put around it, to listen to what is said.
func NewServer(addr string, opts Options, wrap func(http.Handler) http.Handler) (*Server, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	s := &Server{Fake: New(opts), addr: addr}
	s.handler = s.Fake
	if wrap != nil {
		s.handler = wrap(s.Fake)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.listen(); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is the shop's address.
func (s *Server) URL() string { return "http://" + s.addr }

// listen opens the port and serves. Callers hold s.mu.
func (s *Server) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("listening for the fake shop: %w", err)
	}
	s.addr = l.Addr().String()
	// Aborted handlers are the faults at work, nothing to write about.
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	s.http = srv
	go func() { _ = srv.Serve(l) }()
	return nil
}

// Refuse closes the port and all connections, so that dialling is refused; or
// opens the same port again. Requests in flight end without an answer.
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

// Close ends the shop and what hangs in it.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end {
		return nil
	}
	s.end = true
	close(s.closed)
	if s.http == nil {
		return nil
	}
	if err := s.http.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing the fake shop: %w", err)
	}
	return nil
}
