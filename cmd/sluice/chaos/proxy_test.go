//go:build unix

package chaos

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// echo answers each line with it, and tells each line that came.
func echo(t *testing.T) (addr string, lines <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	heard := make(chan string, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					heard <- line
					_, _ = io.WriteString(c, line)
				}
			}()
		}
	}()
	return l.Addr().String(), heard
}

// speaker is a connection through a proxy.
type speaker struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, p *proxy) *speaker {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &speaker{c, bufio.NewReader(c)}
}

// ask says a line and gives what comes back.
func (s *speaker) ask(line string) (string, error) {
	if _, err := io.WriteString(s.Conn, line+"\n"); err != nil {
		return "", err
	}
	got, err := s.in.ReadString('\n')
	return strings.TrimSpace(got), err
}

func open(t *testing.T) (*proxy, <-chan string) {
	t.Helper()
	addr, lines := echo(t)
	p, err := newProxy(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p, lines
}

func begin(t *testing.T, p *proxy, f *fault) {
	t.Helper()
	if err := p.set(f); err != nil {
		t.Fatal(err)
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	p, lines := open(t)
	s := dial(t, p)
	for _, f := range []*fault{nil, {kind: wayDelay, delay: time.Millisecond}, {kind: wayThrottle, rate: 1 << 20}} {
		begin(t, p, f)
		if got, err := s.ask("hello"); got != "hello" || err != nil {
			t.Fatalf("%+v: %q, %v", f, got, err)
		}
		<-lines
	}

	// The connection is whole, and nothing passes; what was sent comes when the hold ends, though its sender has left.
	begin(t, p, &fault{kind: wayHold})
	if _, err := io.WriteString(s.Conn, "late\n"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	select {
	case line := <-lines:
		t.Fatalf("%q passed", line)
	case <-time.After(20 * time.Millisecond):
	}
	begin(t, p, nil)
	if line := <-lines; line != "late\n" {
		t.Fatalf("%q came", line)
	}

	// A stall holds what there is, and lets new connections pass.
	s = dial(t, p)
	if _, err := s.ask("first"); err != nil {
		t.Fatal(err)
	}
	<-lines
	begin(t, p, &fault{kind: wayStall, since: time.Now()})
	if _, err := io.WriteString(s.Conn, "overtaken\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := dial(t, p).ask("newer"); got != "newer" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	begin(t, p, nil)
	if a, b := <-lines, <-lines; a != "newer\n" || b != "overtaken\n" {
		t.Errorf("%q came before %q", a, b)
	}

	s = dial(t, p)
	begin(t, p, &fault{kind: wayCut})
	long := strings.Repeat("x", 100)
	if _, err := io.WriteString(s.Conn, long+"\n"); err != nil {
		t.Fatal(err)
	}
	<-lines
	got, err := s.in.ReadString('\n')
	if err == nil || len(got) > len(long)/2+1 {
		t.Errorf("of an answer that is cut %d bytes came, %v", len(got), err)
	}

	begin(t, p, nil)
	s = dial(t, p)
	if _, err := s.ask("still"); err != nil {
		t.Fatal(err)
	}
	<-lines
	begin(t, p, &fault{kind: wayReset})
	if _, err := s.in.ReadByte(); err == nil {
		t.Error("a reset connection has something to say")
	}

	begin(t, p, &fault{kind: wayRefuse})
	if c, err := net.Dial("tcp", p.addr); err == nil {
		c.Close()
		t.Error("a connection was taken")
	}
	begin(t, p, nil)
	if got, err := dial(t, p).ask("back"); got != "back" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// A proxy knows since when a request is under way, and by which connection.
func TestLinkOf(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p, err := newProxy(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	before := time.Now().UnixNano()
	s := dial(t, p)
	if _, err := io.WriteString(s.Conn, "a\n"); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	k := p.linkOf(c.RemoteAddr().String())
	if k == nil {
		t.Fatal("the link is not known")
	}
	first := k.began.Load()
	if first < before || first > time.Now().UnixNano() {
		t.Errorf("it began at %d", first)
	}
	c.Close()
	if _, err := s.in.ReadByte(); err == nil {
		t.Error("the other end did not close")
	}
	if k.ended.Load() < first {
		t.Errorf("it ended at %d", k.ended.Load())
	}
}

// What a link held when it ended is lost, unless it came.
func TestProxyKnowsWhatIsLost(t *testing.T) {
	t.Parallel()
	backend, _ := echo(t)
	p, err := newProxy(backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	s := dial(t, p)
	if got, err := s.ask("there"); got != "there" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	p.mu.Lock()
	var l *link
	for l = range p.links {
	}
	p.mu.Unlock()
	begin(t, p, &fault{kind: wayHold})
	if _, err := io.WriteString(s, "gone\n"); err != nil {
		t.Fatal(err)
	}
	for l.answered.Load() {
		runtime.Gosched()
	}
	begin(t, p, &fault{kind: wayReset})
	if _, err := s.in.ReadByte(); err == nil {
		t.Error("a reset connection has something to say")
	}
	for len(p.losses(nil)) == 0 {
		runtime.Gosched()
	}
	lost := p.losses(nil)[0]
	if lost.link != l || lost.from == 0 || lost.to < lost.from {
		t.Errorf("%+v", lost)
	}
	if list := p.losses([]*request{{link: l, began: lost.from}}); len(list) != 0 {
		t.Errorf("it came, and is lost: %+v", list)
	}
}
