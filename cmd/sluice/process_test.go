//go:build unix

package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// The tests run the binary as people do, as processes of their own, so that
// they can be killed.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-cmd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "sluice")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stderr = os.Stderr
	status := 1
	if err := build.Run(); err == nil {
		// A test here is several busy processes: more at once than there are processors keep each other waiting.
		flag.Parse()
		if given, ok := flag.Lookup("test.parallel").Value.(flag.Getter).Get().(int); !ok || given > runtime.GOMAXPROCS(0) {
			err = flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0)))
		}
		if err == nil {
			status = m.Run()
		}
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// patience bounds each wait; it is only reached when something is wrong.
const patience = 90 * time.Second

// process is a running sluice, or another program.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	over chan struct{}

	mu   sync.Mutex
	out  bytes.Buffer // stdout and stderr as they came
	more chan struct{}
}

// start starts sluice with env added to an environment that names no database.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(cleanEnv(), env...)
	return launch(t, cmd)
}

// launch starts any program; it does not outlive the test.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, over: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // exit reads the status
		close(p.over)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // has ended, as a rule
		<-p.over
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(cmd.Args, " "), p.text())
		}
	})
	return p
}

func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "DATABASE_URL=") && !strings.HasPrefix(v, "SLUICE_") {
			env = append(env, v)
		}
	}
	return env
}

// Write takes what the process says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Write(b)
	close(p.more)
	p.more = make(chan struct{})
	return len(b), nil
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// hear waits until the process has said something that matches, and gives the
// match's groups.
func (p *process) hear(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		found, more := re.FindStringSubmatch(p.out.String()), p.more
		p.mu.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-more:
		case <-p.over:
			if found := re.FindStringSubmatch(p.text()); found != nil {
				return found
			}
			p.t.Fatalf("the process ended with %d before it said %q", p.cmd.ProcessState.ExitCode(), pattern)
		case <-timeout:
			p.t.Fatalf("the process did not say %q", pattern)
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and gives the status; -1 after a kill.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.over:
	case <-time.After(patience):
		p.t.Fatal("the process did not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// output runs sluice to its end.
func output(t *testing.T, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(cleanEnv(), env...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
}

// A process of workers alone can be watched, and serves nothing else.
func TestServeWorkersAlone(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + dbtest.New(t), "SLUICE_KEYSET=" + filepath.Join(t.TempDir(), "keyset.json")}
	p := start(t, env, "serve", "--roles", "worker", "--listen", "127.0.0.1:0")
	url := "http://" + p.hear(`msg=serving .*listen=(\S+)`)[1]
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/v1/products": 404, "/docs": 404, "/openapi.json": 404} {
		if status := call(t, "GET", url+path, "", ""); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	p.signal(syscall.SIGTERM)
	if status := p.exit(); status != 0 {
		t.Errorf("status %d after SIGTERM", status)
	}
	q := start(t, env, "serve", "--roles", "worker")
	if said := q.hear(`msg=serving .*`)[0]; strings.Contains(said, "listen=") {
		t.Errorf("it listens unasked: %s", said)
	}
	q.signal(syscall.SIGTERM)
	if status := q.exit(); status != 0 {
		t.Errorf("status %d after SIGTERM", status)
	}
}
