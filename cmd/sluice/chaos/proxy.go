//go:build unix

package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The faults of a way between two parts.
const (
	wayDelay    = "delay"    // each piece comes later
	wayThrottle = "throttle" // few bytes a second
	wayHold     = "hold"     // half open: nothing passes, nobody is told; what was sent comes when it ends, though its sender may have left
	wayStall    = "stall"    // the same for the connections that there are; new ones pass, and overtake them
	wayReset    = "reset"    // every connection is reset, once
	wayCut      = "cut"      // answers break off in the middle
	wayRefuse   = "refuse"   // connections are reset, new ones refused

	// Of the dead: connections are taken, nothing passes, and what was sent never comes.
	waySilent = "silent"
)

var wayFaults = []string{wayDelay, wayThrottle, wayHold, wayStall, wayReset, wayCut, wayRefuse}

// fault is what a proxy does to what passes.
type fault struct {
	kind  string
	delay time.Duration // of wayDelay, for each piece
	rate  int           // of wayThrottle, bytes a second
	since time.Time     // of wayStall
}

// proxy stands between two parts: it passes bytes on, or does not.
type proxy struct {
	addr string // where it listens, the same for its whole life

	mu       sync.Mutex
	backend  string
	listener net.Listener // nil while it refuses
	fault    *fault       // nil: none
	changed  chan struct{}
	links    map[*link]struct{}
	byServer map[string]*link // by our own address of the connection to the backend
	lost     []loss
	ended    bool
}

// loss is a request of a link that ended before anything came back: the backend
// may have had all of it, or nothing.
type loss struct {
	link     *link
	from, to int64 // Unix nanoseconds
}

// link is one connection through a proxy.
type link struct {
	p              *proxy
	client, server *net.TCPConn
	key            string // in byServer
	gone           chan struct{}
	made           time.Time
	once           sync.Once
	began          atomic.Int64 // when the first piece came of the request at hand, Unix nanoseconds
	answered       atomic.Bool  // since then something came back
	ended          atomic.Int64 // when one of its ends was closed, Unix nanoseconds; 0: not yet
}

// newProxy listens on a free port of 127.0.0.1.
func newProxy(backend string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for a proxy: %w", err)
	}
	p := &proxy{
		addr: l.Addr().String(), backend: backend, listener: l, changed: make(chan struct{}), links: map[*link]struct{}{}, byServer: map[string]*link{},
	}
	go p.accept(l)
	return p, nil
}

func (p *proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		go p.serve(c.(*net.TCPConn))
	}
}

// connect makes the second half of a link.
func (p *proxy) connect(client *net.TCPConn) *link {
	p.mu.Lock()
	backend, refuses := p.backend, p.listener == nil || p.ended
	p.mu.Unlock()
	if refuses || backend == "" {
		return nil
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	server, err := dialer.Dial("tcp", backend)
	if err != nil {
		return nil
	}
	l := &link{p: p, client: client, server: server.(*net.TCPConn), key: server.LocalAddr().String(), gone: make(chan struct{}), made: time.Now()}
	l.answered.Store(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil || p.ended { // meanwhile
		server.Close()
		return nil
	}
	p.links[l], p.byServer[l.key] = struct{}{}, l
	return l
}

func (p *proxy) serve(client *net.TCPConn) {
	l := p.connect(client)
	if l == nil {
		_ = client.SetLinger(0) // a reset: nobody is there
		_ = client.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.copy(l.server, l.client, false) })
	both.Go(func() { l.copy(l.client, l.server, true) })
	both.Wait()
	l.reset()
}

// copy passes on what from says until it ends; down is the direction of answers.
func (l *link) copy(to, from *net.TCPConn, down bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if down {
				l.answered.Store(true)
			} else if l.answered.Swap(false) {
				l.began.Store(time.Now().UnixNano())
			}
			whole := l.pass(n, down)
			if !whole {
				n /= 2
			}
			if _, werr := to.Write(buf[:n]); werr != nil || !whole {
				l.reset()
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			l.note()
			_ = to.CloseWrite() // the other end may have gone, too
			return
		default:
			l.reset()
			return
		}
	}
}

// pass waits as long as the fault wants; false: only the first half of the
// piece passes, and the link is over.
func (l *link) pass(n int, down bool) bool {
	for {
		l.p.mu.Lock()
		f, changed := l.p.fault, l.p.changed
		l.p.mu.Unlock()
		if f == nil {
			return true
		}
		wait := time.Duration(0)
		switch f.kind {
		case wayHold, wayStall:
			if f.kind == wayStall && l.made.After(f.since) {
				return true
			}
			select {
			case <-changed:
				continue
			case <-l.gone:
				return true // the write fails
			}
		case waySilent:
			select {
			case <-changed:
				l.reset()
			case <-l.gone:
			}
			return true // the write fails
		case wayCut:
			return !down
		case wayDelay:
			wait = f.delay
		case wayThrottle:
			wait = time.Duration(n) * time.Second / time.Duration(f.rate)
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-l.gone:
		}
		return true
	}
}

// note keeps when the first of the two ends was closed.
func (l *link) note() { l.ended.CompareAndSwap(0, time.Now().UnixNano()) }

// reset ends both connections without a word.
func (l *link) reset() {
	l.once.Do(func() {
		l.note()
		close(l.gone)
		for _, c := range []*net.TCPConn{l.client, l.server} {
			_ = c.SetLinger(0) // it may be closed already
			_ = c.Close()
		}
		l.p.mu.Lock()
		defer l.p.mu.Unlock()
		delete(l.p.links, l)
		delete(l.p.byServer, l.key)
		if !l.answered.Load() {
			l.p.lost = append(l.p.lost, loss{l, l.began.Load(), time.Now().UnixNano()})
		}
	})
}

// losses are those so far, of requests other than these.
func (p *proxy) losses(came []*request) (out []loss) {
	type key struct {
		*link
		began int64
	}
	seen := make(map[key]bool, len(came))
	for _, q := range came {
		seen[key{q.link, q.began}] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lost {
		if !seen[key{l.link, l.from}] {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b loss) int { return cmp.Compare(a.from, b.from) })
	return out
}

// linkOf is the link whose connection to the backend comes from addr, or nil.
func (p *proxy) linkOf(addr string) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byServer[addr]
}

// lead changes where new connections go.
func (p *proxy) lead(backend string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backend = backend
}

// set begins a fault, instead of the one there is; nil ends it.
func (p *proxy) set(f *fault) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	if f != nil && (f.kind == wayReset || f.kind == wayRefuse) {
		for l := range p.links {
			go l.reset()
		}
	}
	if f != nil && f.kind == wayRefuse && p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	if (f == nil || f.kind != wayRefuse) && p.listener == nil {
		return p.reopen()
	}
	return nil
}

// reopen listens at the same address again. Callers hold mu.
func (p *proxy) reopen() error {
	var err error
	// Another process may hold the free port for a moment as its own end of a connection.
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", p.addr); err == nil {
			p.listener = l
			go p.accept(l)
			return nil
		}
		<-time.After(50 * time.Millisecond)
	}
	return fmt.Errorf("listen for a proxy again: %w", err)
}

// close ends the proxy with all its links.
func (p *proxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.listener != nil {
		p.listener.Close()
	}
	for l := range p.links {
		go l.reset()
	}
}
