//go:build unix

package localpg

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
)

// process is a running program that ends when this process ends.
type process struct {
	cmd      *exec.Cmd
	pid      int
	logStart int64         // where in the log its own lines begin
	ended    chan struct{} // closed when it is gone and waited for
	err      error         // how it ended; set before ended is closed
	asked    atomic.Bool   // its end is intended, or somebody else's to report
}

// spawn starts cmd as the server's user, writing into the log. onEnd, when not nil, is called once cmd has ended. Until
// the caller clears asked, the end is the caller's to notice.
func (s *Server) spawn(cmd *exec.Cmd, onEnd func(*process)) (*process, error) {
	cmd.Env, cmd.Dir, cmd.SysProcAttr = append(serverEnv(), cmd.Env...), "/", s.account.attr()
	cmd.Stdout, cmd.Stderr = s.logFile, s.logFile
	p := &process{cmd: cmd, logStart: size(s.logFile), ended: make(chan struct{})}
	p.asked.Store(true)
	started := make(chan error, 1)
	go p.hold(started, onEnd)
	return p, <-started
}

// hold starts the program and stays with it until it ends. It keeps its operating system thread all that time: Linux
// sends the parent death signal when the thread that forked ends, not when the process does, and Go ends threads at will.
func (p *process) hold(started chan<- error, onEnd func(*process)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tie(p.cmd.SysProcAttr)
	var dog *watchdog
	var err error
	if !signalTies {
		if dog, err = startWatchdog(); err != nil {
			started <- err
			return
		}
		defer dog.dismiss()
	}
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = p.cmd.Process.Pid
	if dog != nil {
		if err := dog.watch(p.pid); err != nil {
			p.signal(syscall.SIGQUIT)
			p.err = p.cmd.Wait()
			started <- err
			return
		}
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.ended)
	if onEnd != nil {
		onEnd(p)
	}
}

func (p *process) signal(sig syscall.Signal) {
	// The only error is that the process has ended, which is what every caller wants.
	_ = p.cmd.Process.Signal(sig)
}

func (p *process) over() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// watchdog is a small shell that waits for this process's end, where the kernel offers no signal for it: it reads a pipe
// whose other end only this process holds, and ends the server when the pipe does.
type watchdog struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

// watchdogScript learns the server's pid from its first line; a second line sends it home.
const watchdogScript = `read -r pid || exit 0; if read -r _; then exit 0; fi; kill -QUIT "$pid"`

func startWatchdog() (*watchdog, error) {
	cmd := exec.Command("/bin/sh", "-c", watchdogScript)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &watchdog{cmd: cmd, in: in}, nil
}

func (w *watchdog) watch(pid int) error {
	_, err := io.WriteString(w.in, strconv.Itoa(pid)+"\n")
	return err
}

// dismiss ends the watchdog once the server is gone, so that it never signals another process that got the pid.
func (w *watchdog) dismiss() {
	// A watchdog that has already gone has nothing left to do: both errors say just that.
	_, _ = io.WriteString(w.in, "\n\n")
	_ = w.in.Close()
	_ = w.cmd.Wait()
}

// serverEnv is the environment of PostgreSQL's programs. It is built up rather than cut down: PG* variables would change
// what the server does, and this process's secrets are none of its user's business. Messages are in English because
// launch reads them.
func serverEnv() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
