package httpx

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// errLost stops a repetition that net/http was about to make.
var errLost = errors.New("the connection was lost before an answer came")

// call is one exchange: what it may do, and what it has done to the network.
type call struct {
	ctx       context.Context
	stop      context.CancelCauseFunc
	now, wall func() time.Time // as in Client
	// repeatable: net/http may send it again after bytes went out.
	repeatable bool
	// asked: the request was well-formed enough for a connection to be sought.
	asked atomic.Bool
	// writes counts writes to the network of which at least one byte may have
	// left; under TLS one of them may be an alert, which errs on the safe side.
	writes atomic.Int64
}

// sent reports whether any byte of the request may have left.
func (c *call) sent() bool { return c.writes.Load() > 0 }

// late reports why nothing may be written any more, nil while it may.
func (c *call) late() error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	deadline, ok := c.ctx.Deadline()
	if !ok {
		return nil
	}
	if c.now().Before(deadline) && c.wall().Before(deadline) {
		return nil
	}
	c.stop(context.DeadlineExceeded)
	return context.DeadlineExceeded
}

func (c *call) getConn(string) { c.asked.Store(true) }

// gotConn is told of each connection that the request is about to use: one, and
// a further one for each repetition by net/http.
func (c *call) gotConn(info httptrace.GotConnInfo) {
	if c.sent() && !c.repeatable {
		c.stop(errLost)
	}
	conn := info.Conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if counted, ok := conn.(*countedConn); ok {
		counted.call.Store(c)
		return
	}
	c.writes.Add(1) // not our connection, so nothing can be said of it
}

// countedConn is a connection that knows whose request it carries. HTTP/1.1
// gives it to one request at a time.
type countedConn struct {
	net.Conn
	call atomic.Pointer[call]
}

// Write refuses what comes too late and counts what may have left. What is
// written before any request has the connection is the TLS handshake.
func (c *countedConn) Write(b []byte) (int, error) {
	call := c.call.Load()
	if call == nil {
		return c.Conn.Write(b)
	}
	if err := call.late(); err != nil {
		return 0, err
	}
	call.writes.Add(1)
	n, err := c.Conn.Write(b)
	if n == 0 && err != nil {
		call.writes.Add(-1)
	}
	return n, err
}
