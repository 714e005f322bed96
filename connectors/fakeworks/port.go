package fakeworks

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Port is where a fake listens, by plain HTTP. It is safe for concurrent use.
type Port struct {
	what      string
	handler   http.Handler
	maxHeader int

	mu   sync.Mutex
	addr string
	http *http.Server // nil while it refuses
	l    net.Listener
	keep func() // gives up the port, which nobody else may have while it refuses
	end  bool
}

// Listen serves handler on addr; "" is a free port of 127.0.0.1. What names the
// fake in errors: "the fake shop". maxHeader bounds a request's head, in bytes; 0
// is net/http's bound.
func Listen(what, addr string, handler http.Handler, maxHeader int) (*Port, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	p := &Port{what: what, addr: addr, handler: handler, maxHeader: maxHeader}
	if err := p.listen(); err != nil {
		return nil, err
	}
	return p, nil
}

// listen opens the port and serves. Callers hold p.mu, or nobody else has p.
func (p *Port) listen() error {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listening for %s: %w", p.what, err)
	}
	p.addr = l.Addr().String()
	srv := &http.Server{
		Handler: p.handler, ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: p.maxHeader,
		// Aborted handlers are the faults at work, nothing to write about.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	p.http, p.l = srv, l
	go func() { _ = srv.Serve(l) }()
	return nil
}

// URL is "http://host:port", the same after a Refuse.
func (p *Port) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return "http://" + p.addr
}

// Refuse closes the port and all connections, so that dialling is refused; or
// opens the same port again. Calls in flight end without an answer.
func (p *Port) Refuse(refuse bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if refuse == (p.http == nil) || p.end {
		return nil
	}
	if refuse {
		err := p.close()
		p.http, p.keep = nil, reserve(p.addr)
		return err
	}
	p.keep()
	var err error
	// Where it could not be reserved, another process may hold the port for a moment
	// as its own end of a connection.
	for range 300 {
		if err = p.listen(); err == nil {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return err
}

// Shut ends the port for ever, the first time that it is called: before lets go
// what hangs in the fake, after is called when the connections are closed, and
// may be nil.
func (p *Port) Shut(before, after func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.end {
		return nil
	}
	p.end = true
	before()
	if after != nil {
		defer after()
	}
	if p.http == nil {
		p.keep()
		return nil
	}
	if err := p.close(); err != nil {
		return fmt.Errorf("closing %s: %w", p.what, err)
	}
	return nil
}

// close closes the port and all connections. The server closes a listener that
// it serves; one that it has not come to yet would stay open for a moment.
func (p *Port) close() error {
	if err := errors.Join(p.http.Close(), p.l.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
