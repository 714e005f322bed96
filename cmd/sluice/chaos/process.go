//go:build unix

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one `sluice serve`, started again whenever it has ended, as an
// orchestrator does.
type process struct {
	name string
	db   *proxy // its way to the database
	api  *proxy // everybody's way to its API; nil without one
	env  []string
	args []string
	log  *os.File
	fail func(format string, args ...any)

	mu      sync.Mutex
	cmd     *exec.Cmd // nil while none runs
	over    chan struct{}
	serving bool // this one has said so
	asked   bool // its end is ours
	stopped bool
	ended   bool // for good
	starts  int
	wait    sync.WaitGroup

	mayStart sync.Mutex // held while nobody starts it again
}

// serves is how a process says that it serves.
var serves = regexp.MustCompile(`msg=serving .*?(?:listen=(\S+))?\n`)

// spoken looks at a child's log as it is written.
type spoken struct {
	p    *process
	addr chan string
	tail []byte
	said bool
}

// Write implements io.Writer.
func (s *spoken) Write(b []byte) (int, error) {
	if !s.said {
		s.tail = append(s.tail, b...)
		if m := serves.FindSubmatch(s.tail); m != nil {
			s.said, s.tail = true, nil
			s.addr <- string(m[1])
		} else if cut := bytes.LastIndexByte(s.tail, '\n'); cut >= 0 {
			s.tail = append([]byte(nil), s.tail[cut+1:]...)
		}
	}
	return s.p.log.Write(b)
}

// run keeps the process running until end. It returns once the first one serves.
func (p *process) run(ctx context.Context, dir string) (err error) {
	if p.log, err = os.OpenFile(filepath.Join(dir, p.name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	first := make(chan struct{}, 1)
	p.wait.Go(func() {
		// Linux kills the children of a thread that ends, so this one stays.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for p.once(first) {
			<-time.After(300 * time.Millisecond)
		}
	})
	select {
	case <-first:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("start %s, see its log: %w", p.name, ctx.Err())
	}
}

// once starts it and stays until it has ended; false: no more.
func (p *process) once(first chan<- struct{}) bool {
	said := &spoken{p: p, addr: make(chan string, 1)}
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is ours to pass on
	tie(cmd.SysProcAttr)
	over := make(chan struct{})
	p.mayStart.Lock()
	p.mayStart.Unlock() //nolint:staticcheck // whoever killed it says for how long
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return false
	}
	if err := cmd.Start(); err != nil {
		p.mu.Unlock()
		p.fail("%s cannot be started: %v", p.name, err)
		return false
	}
	p.cmd, p.over, p.serving, p.asked, p.stopped = cmd, over, false, false, false
	p.starts++
	p.mu.Unlock()
	fmt.Fprintf(p.log, "--- pid %d, %s\n", cmd.Process.Pid, time.Now().Format(time.RFC3339Nano))
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		select {
		case addr := <-said.addr:
			if p.api != nil {
				p.api.lead(addr)
			}
			p.mu.Lock()
			p.serving = true
			p.mu.Unlock()
			select {
			case first <- struct{}{}:
			default:
			}
		case <-over:
		}
	}()
	err := cmd.Wait()
	close(over)
	<-heard
	p.mu.Lock()
	defer p.mu.Unlock()
	// Before it serves it may end because the database is away.
	if !p.asked && p.serving {
		p.fail("%s (pid %d) ended by itself: %v", p.name, cmd.Process.Pid, err)
	}
	p.cmd = nil
	return !p.ended
}

// signal sends one to the process that serves; false: none does.
func (p *process) signal(s syscall.Signal) (pid int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || !p.serving {
		return 0, false
	}
	switch s {
	case syscall.SIGKILL:
		if p.stopped {
			return 0, false // somebody else's
		}
		p.asked = true
	case syscall.SIGSTOP:
		if p.stopped || p.asked {
			return 0, false
		}
		p.stopped = true
	case syscall.SIGCONT:
		p.stopped = false
	}
	return p.cmd.Process.Pid, p.cmd.Process.Signal(s) == nil
}

// pid is the serving process's, 0 for none.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || !p.serving {
		return 0
	}
	return p.cmd.Process.Pid
}

// end ends it for good: in good order first, by force when it takes too long.
func (p *process) end(patience time.Duration) error {
	p.mu.Lock()
	p.ended, p.asked = true, true
	cmd, over := p.cmd, p.over
	p.mu.Unlock()
	var err error
	if cmd != nil {
		_ = cmd.Process.Signal(syscall.SIGCONT) // it may be stopped, or have ended
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-over:
			if !cmd.ProcessState.Success() {
				err = fmt.Errorf("%s ended with %v after SIGTERM", p.name, cmd.ProcessState)
			}
		case <-timer.C:
			err = fmt.Errorf("%s did not end within %v of SIGTERM", p.name, patience)
			_ = cmd.Process.Kill()
		}
	}
	p.wait.Wait()
	if p.log != nil {
		p.log.Close()
	}
	return err
}

// kill ends it for good and at once.
func (p *process) kill() {
	p.mu.Lock()
	p.ended, p.asked = true, true
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
	}
	p.mu.Unlock()
	p.wait.Wait()
	if p.log != nil {
		p.log.Close()
	}
}

// outcry is what no log of a process may hold.
var outcry = regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE).*$`)

// complaints reads the whole log.
func (p *process) complaints() error {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err
	}
	if m := outcry.Find(text); m != nil {
		return errors.New(p.name + " said: " + string(m))
	}
	return nil
}

// cleanEnv is this program's environment without anything of Sluice's.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DATABASE_URL=") && !strings.HasPrefix(v, "SLUICE_") && !strings.HasPrefix(v, "PG") {
			env = append(env, v)
		}
	}
	return env
}
