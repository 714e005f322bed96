package medusatest

import (
	"net/http"

	"github.com/sluicehub/sluice/connectors/fakeworks"
)

// maxHead is what Node takes of a request's head, in bytes.
const maxHead = 16 << 10

// Server is a Fake that listens.
type Server struct {
	*Fake
	*fakeworks.Port
}

// NewServer starts a shop on addr; "" is a free port of 127.0.0.1. Wrap, when not
// nil, is put around it, to listen to what is said.
func NewServer(addr string, opts Options, wrap func(http.Handler) http.Handler) (*Server, error) {
	f := New(opts)
	handler := http.Handler(f)
	if wrap != nil {
		handler = wrap(f)
	}
	port, err := fakeworks.Listen("the fake shop", addr, handler, maxHead)
	if err != nil {
		return nil, err
	}
	return &Server{f, port}, nil
}

// Close ends the shop and what hangs in it.
func (s *Server) Close() error {
	return s.Shut(func() { close(s.closed) }, nil)
}
