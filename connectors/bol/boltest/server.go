package boltest

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluicehub/sluice/connectors/fakeworks"
)

// Server is a Fake that listens.
type Server struct {
	*Fake
	*fakeworks.Port
}

// NewServer starts a fake on addr; "" is a free port of 127.0.0.1.
func NewServer(addr string, opts Options) (*Server, error) {
	f := New(opts)
	if err := f.open(opts.Ledger); err != nil {
		return nil, err
	}
	port, err := fakeworks.Listen("the fake bol", addr, f, 0)
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

// AdminURL is where the paths of AdminPath begin.
func (s *Server) AdminURL() string { return s.URL() + AdminPath }

// LoginURL is where access tokens are got, for login_url.
func (s *Server) LoginURL() string { return s.URL() + "/token" }

// Close ends the server and what hangs in it.
func (s *Server) Close() error {
	return s.Shut(func() { close(s.closed) }, s.closeLedger)
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
