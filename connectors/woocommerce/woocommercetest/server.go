package woocommercetest

import (
	"errors"
	"net/http"

	"github.com/sluicehub/sluice/connectors/fakeworks"
)

// Server is a Fake that listens.
type Server struct {
	*Fake
	*fakeworks.Port
}

// NewServer starts a fake shop on addr; "" is a free port of 127.0.0.1. It
// speaks plain HTTP, so that calls have to be signed.
func NewServer(addr string, opts Options) (*Server, error) {
	f := New(opts)
	handler := http.Handler(f)
	if opts.Wrap != nil {
		handler = opts.Wrap(f)
	}
	if err := f.open(opts.Ledger); err != nil {
		return nil, err
	}
	port, err := fakeworks.Listen("the fake shop", addr, handler, 0)
	if err != nil {
		return nil, errors.Join(err, f.ledger.Close())
	}
	return &Server{f, port}, nil
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

// AdminURL is where the paths of AdminPath begin.
func (s *Server) AdminURL() string { return s.URL() + AdminPath }

// Close ends the server and what hangs in it.
func (s *Server) Close() error { return s.Shut(s.Release, s.closeLedger) }
