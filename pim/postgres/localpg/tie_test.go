//go:build unix

package localpg

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// parent is what a re-executed test binary does: it starts a server, says so and waits to be killed.
func parent(dir string) {
	if os.Getenv("LOCALPG_TEST_WATCHDOG") != "" {
		signalTies = false
	}
	s, err := Start(context.Background(), Options{DataDir: dir, Seed: os.Getenv("LOCALPG_TEST_SEED"), Durable: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv("LOCALPG_TEST_ORPHAN") != "" {
		// Hand the server over to nobody: freeze it, so that the death signal finds it unable to end for now.
		if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
			panic(err)
		}
	}
	line, err := json.Marshal(map[string]any{"dsn": s.DSN(), "pid": s.PID()})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
	select {}
}

type child struct {
	cmd *exec.Cmd
	DSN string
	PID int
}

func startParent(t *testing.T, dir string, env ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^$")}
	c.cmd.Env = append(append(os.Environ(), "LOCALPG_TEST_PARENT="+dir, "LOCALPG_TEST_SEED="+seed), env...)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.kill(t) })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the parent process said nothing: %v", err)
	}
	if err := json.Unmarshal(line, c); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	if c.cmd.ProcessState == nil {
		if err := c.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		c.cmd.Wait()
	}
}

func TestServerEndsWithItsParent(t *testing.T) {
	for name, env := range map[string]string{"death signal": "LOCALPG_TEST_WATCHDOG=", "watchdog": "LOCALPG_TEST_WATCHDOG=1"} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			c := startParent(t, dir, env)
			conn := connect(t, c.DSN)
			exec1(t, conn, "CREATE TABLE kept AS SELECT 7 AS n")
			gone := watch(t, c.PID)
			c.kill(t)
			gone()

			s := start(t, Options{DataDir: dir, Durable: true})
			if n := ask1[int](t, connect(t, s.DSN()), "SELECT n FROM kept"); n != 7 {
				t.Errorf("kept %d, want 7", n)
			}
		})
	}
}

// Without its watchdog's dismissal, a later process with the same pid would be signalled.
func TestDismissedWatchdogHarmsNobody(t *testing.T) {
	s := start(t, Options{DataDir: folder(t)})
	dog, err := startWatchdog()
	if err != nil {
		t.Fatal(err)
	}
	if err := dog.watch(s.PID()); err != nil {
		t.Fatal(err)
	}
	dog.dismiss()
	stop(t, s)
	if tail := logTail(s.path("log/postgres.log"), 0); !strings.Contains(tail, "fast shutdown") || strings.Contains(tail, "immediate shutdown") {
		t.Errorf("the dismissed watchdog signalled the server: %s", tail)
	}
}

// A server that outlived its parent, and that ends only when killed for good, is found and ended by the next start.
func TestOrphanIsEndedAtTheNextStart(t *testing.T) {
	dir := folder(t)
	s := start(t, Options{DataDir: dir})
	// A server of the same data that no Sluice holds: started by hand, as an orphan looks.
	stop(t, s)
	cmd := exec.Command(filepath.Join(s.bin.Dir, "postgres"), s.args()...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = serverEnv(), "/", s.account.attr()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for !ready(s.path("data"), cmd.Process.Pid) {
		if err := pause(within(t), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	again := start(t, Options{DataDir: dir, Log: logTo(&log)})
	<-ended //nolint:errcheck // it was killed; that it has ended is all
	if !strings.Contains(log.String(), "left behind") {
		t.Errorf("the log does not tell of the orphan: %s", &log)
	}
	ask1[int](t, connect(t, again.DSN()), "SELECT 1")
}

// The death signal finds the server frozen, so that it is still there when the next one starts.
func TestFrozenOrphanIsEndedAtTheNextStart(t *testing.T) {
	dir := folder(t)
	c := startParent(t, dir, "LOCALPG_TEST_ORPHAN=1")
	gone := watch(t, c.PID)
	c.kill(t)
	s, err := Start(within(t), Options{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, s)
	gone()
}

// postmaster.pid of a crashed machine may name a pid that now belongs to somebody else, of the same user too.
func TestStaleLockOfAnotherProcessHarmsNobody(t *testing.T) {
	bystander := exec.Command("sleep", "60")
	bystander.Dir, bystander.SysProcAttr = "/", must(serverAccount("")).attr()
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	other := start(t, Options{DataDir: folder(t)})
	for _, pid := range []int{bystander.Process.Pid, other.PID()} {
		s := start(t, Options{DataDir: folder(t)})
		s.Kill() // leaves postmaster.pid
		stop(t, s)
		lines := pidFile(s.path("data"))
		lines[0] = fmt.Sprint(pid)
		if err := os.WriteFile(s.path("data/postmaster.pid"), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, Options{DataDir: s.opts.DataDir})
	}
	if err := bystander.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := bystander.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the bystander ended by %v, want our own SIGKILL", err)
	}
	stop(t, other)
	if tail := logTail(other.path("log/postgres.log"), 0); strings.Contains(tail, "immediate shutdown") {
		t.Errorf("another database's server was signalled: %s", tail)
	}
}

// A backend that has not noticed its server's end holds the shared memory; the next server waits for it.
func TestStartWaitsForBackendsThatWereLeftBehind(t *testing.T) {
	waiting := &heard{text: "left behind", told: make(chan struct{})}
	s := start(t, Options{DataDir: folder(t), Durable: true, Log: slog.New(waiting)})
	backend := ask1[int](t, connect(t, s.DSN()), "SELECT pg_backend_pid()")
	if err := syscall.Kill(backend, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw := sync.OnceFunc(func() { _ = syscall.Kill(backend, syscall.SIGCONT) })
	defer thaw()
	s.Kill()
	restarted := make(chan error, 1)
	go func() { restarted <- s.Restart(within(t)) }()
	select {
	case <-waiting.told:
	case err := <-restarted:
		t.Fatalf("Restart did not wait: %v", err)
	}
	thaw()
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
}

// heard closes told when the log first says text.
type heard struct {
	text string
	told chan struct{}
	once sync.Once
}

func (h *heard) Enabled(context.Context, slog.Level) bool { return true }
func (h *heard) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *heard) WithGroup(string) slog.Handler            { return h }
func (h *heard) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		h.once.Do(func() { close(h.told) })
	}
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestFolderTheServersUserCannotEnter(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("as an ordinary user the server runs as the same user, who can enter its own folders")
		shut := t.TempDir()
		start(t, Options{DataDir: filepath.Join(shut, "db")})
		return
	}
	old := elsewhere
	elsewhere = filepath.Join(folder(t), "stand-ins")
	defer func() { elsewhere = old }()
	shut := folder(t)
	if err := os.Chmod(shut, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(shut, "db")

	var log strings.Builder
	s := start(t, Options{DataDir: dir, Log: logTo(&log)})
	if !strings.HasPrefix(s.Dir(), elsewhere) || !strings.Contains(log.String(), s.Dir()) {
		t.Errorf("the database is in %s, the log says %s", s.Dir(), &log)
	}
	if note, err := os.ReadFile(filepath.Join(dir, "README.txt")); err != nil || !strings.Contains(string(note), s.Dir()) {
		t.Errorf("README.txt: %q, %v", note, err)
	}
	exec1(t, connect(t, s.DSN()), "CREATE TABLE kept AS SELECT 7 AS n")
	stop(t, s)

	// It stays where it is, also when the folder could be entered now.
	if err := os.Chmod(shut, 0o711); err != nil {
		t.Fatal(err)
	}
	again := start(t, Options{DataDir: dir})
	if n := ask1[int](t, connect(t, again.DSN()), "SELECT n FROM kept"); n != 7 || again.Dir() != s.Dir() {
		t.Errorf("kept %d in %s, want 7 in %s", n, again.Dir(), s.Dir())
	}

	// A database that lies in a folder that has been shut is not given up for an empty one.
	other := filepath.Join(shut, "other")
	stop(t, start(t, Options{DataDir: other}))
	if err := os.Chmod(shut, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(within(t), Options{DataDir: other}); err == nil || !strings.Contains(err.Error(), "chmod o+x "+shut) {
		t.Errorf("got %v, want to be told how to open the folder", err)
	}
}
