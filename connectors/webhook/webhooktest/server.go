package webhooktest

import "github.com/sluicehub/sluice/connectors/fakeworks"

// Server is a Fake that listens.
type Server struct {
	*Fake
	*fakeworks.Port
}

// NewServer starts a fake on addr; "" is a free port of 127.0.0.1.
func NewServer(addr string, opts Options) (*Server, error) {
	f, err := New(opts)
	if err != nil {
		return nil, err
	}
	port, err := fakeworks.Listen("the fake target", addr, f, 0)
	if err != nil {
		return nil, err
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
		t.Fatalf("starting the fake target: %v", err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		for _, v := range s.Violations() {
			t.Errorf("the fake target's contract was violated: %s", v)
		}
	})
	return s
}

// Base is "http://host:port".
func (s *Server) Base() string { return s.Port.URL() }

// URL is where items go.
func (s *Server) URL() string { return s.Base() + ItemsPath }

// StatusURL is where tokens are asked for.
func (s *Server) StatusURL() string { return s.Base() + StatusPath }

// AdminURL is where the paths of AdminPath begin.
func (s *Server) AdminURL() string { return s.Base() + AdminPath }

// Close ends the server and what hangs in it.
func (s *Server) Close() error {
	return s.Shut(func() { close(s.closed) }, s.closeJournal)
}
