//go:build unix

package localpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// settle is how long a start waits for what a predecessor leaves behind: its orphaned backends, which hold the shared
// memory until they notice that their server is gone, and its port.
const settle = 10 * time.Second

// launch starts the server's process and returns when it accepts connections. With samePort the port stays, as clients
// have the DSN already; without, a port that somebody else took meanwhile is exchanged for another.
func (s *Server) launch(ctx context.Context, samePort bool) error {
	if !samePort {
		s.port = s.choosePort()
	}
	deadline := time.Now().Add(settle)
	for {
		cmd := exec.Command(filepath.Join(s.bin.Dir, "postgres"), s.args()...)
		if s.stranger != 0 {
			// After a crash of the machine the pid in postmaster.pid may be some other program's, for which PostgreSQL
			// would refuse to start. It is told to disregard that pid the way pg_ctl tells it of its own parent's
			// (CreateLockFile in src/backend/utils/init/miscinit.c); its check of shared memory stays in force.
			cmd.Env = []string{"PG_GRANDPARENT_PID=" + strconv.Itoa(s.stranger)}
		}
		p, err := s.spawn(cmd, s.ended)
		if err != nil {
			return fmt.Errorf("start %s: %w", s.bin.Dir, err)
		}
		s.mu.Lock()
		s.proc = p
		s.mu.Unlock()
		err = s.await(ctx, p)
		if err == nil {
			return s.notePort()
		}
		var early *earlyEnd
		if !errors.As(err, &early) || time.Now().After(deadline) {
			return err
		}
		switch {
		case strings.Contains(early.tail, "could not bind") || strings.Contains(early.tail, "could not create any TCP/IP sockets"):
			if !samePort {
				s.port = freePort()
				continue
			}
		case strings.Contains(early.tail, "pre-existing shared memory block"):
		default:
			return err
		}
		s.log.Info("waiting for what the last server left behind", "dir", s.home)
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return errors.Join(err, early)
		}
	}
}

// earlyEnd is the end of a server that never became ready.
type earlyEnd struct {
	err  error
	tail string
}

func (e *earlyEnd) Error() string {
	return fmt.Sprintf("it ended before it was ready: %v%s", e.err, e.tail)
}
func (e *earlyEnd) Unwrap() error { return e.err }

// await returns when the server answers. An end of the process before that is its to report, one after that is ended's.
func (s *Server) await(ctx context.Context, p *process) error {
	var last error
	for {
		// The server's own word that it is ready comes first: a connection alone might reach somebody else's server
		// on a port that ours has not got.
		if ready(s.path("data"), p.pid) {
			var conn *pgx.Conn
			if conn, last = pgx.Connect(ctx, s.AdminDSN()); last == nil {
				p.asked.Store(false)
				if p.over() { // ended may have been called before asked was cleared
					continue
				}
				if err := conn.Close(ctx); err != nil {
					s.log.Debug("closing the first connection", "error", err)
				}
				return nil
			}
		}
		select {
		case <-p.ended:
			return &earlyEnd{err: errOrExit(p.err), tail: logTail(s.logFile.Name(), p.logStart)}
		case <-ctx.Done():
			s.halt(syscall.SIGQUIT, 5*time.Second)
			return fmt.Errorf("wait until it is ready: %w%s", errors.Join(ctx.Err(), last), logTail(s.logFile.Name(), p.logStart))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ready reads the status line of postmaster.pid: the first line is the server's pid, the eighth its state
// (PostgreSQL's src/include/utils/pidfile.h).
func ready(data string, pid int) bool {
	lines := pidFile(data)
	return len(lines) >= 8 && strings.TrimSpace(lines[0]) == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
}

func pidFile(data string) []string {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return nil
	}
	return strings.Split(string(text), "\n")
}

// args is the server's command line. It wins over postgresql.conf.
func (s *Server) args() []string {
	conf := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.port),
		"unix_socket_directories": "", // a socket's path has a length limit and its folder an owner; loopback has neither
		"max_connections":         "200",
		"shared_buffers":          "128MB",
		"jit":                     "off", // compiling costs more than Sluice's short statements
		"random_page_cost":        "1.1", // private servers live on SSDs
		"autovacuum":              "on",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"logging_collector":       "off",
		"log_checkpoints":         "off",
		"log_line_prefix":         "%m [%p] ",
		"fsync":                   "on",
		"full_page_writes":        "on",
		"synchronous_commit":      "on",
	}
	if !s.opts.Durable {
		maps.Copy(conf, map[string]string{
			"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
			"shared_buffers": "32MB", "min_wal_size": "32MB", "max_wal_size": "256MB",
		})
	}
	maps.Copy(conf, s.opts.ExtraConfig)
	args := []string{"-D", s.path("data")}
	for _, name := range slices.Sorted(maps.Keys(conf)) {
		args = append(args, "-c", name+"="+conf[name])
	}
	return args
}

// choosePort takes the last start's port when it is free, so that other processes' DSNs outlive a restart of this one.
func (s *Server) choosePort() int {
	if text, err := os.ReadFile(s.path("port")); err == nil {
		if port, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && isFree(port) {
			return port
		}
	}
	return freePort()
}

func (s *Server) notePort() error {
	if err := writeFile(s.path("port"), []byte(strconv.Itoa(s.port)+"\n"), false); err != nil {
		return fmt.Errorf("note the port: %w", err)
	}
	return nil
}

// freePort looks below the ports that systems give to outgoing connections (32768 and up on Linux): one of those could
// be taken by a client in the very moment of a restart.
func freePort() int {
	for range 100 {
		if port := 15500 + rand.IntN(17000); isFree(port) {
			return port
		}
	}
	return 5432 // the server's own message will say that it is taken
}

func isFree(port int) bool {
	l, err := net.Listen("tcp4", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// stopOrphan ends a server of this database that an earlier process left running. Our lock is held, so nobody uses it on
// purpose. A postmaster.pid that names another living process is left alone: that pid is returned, 0 when there is none.
func stopOrphan(ctx context.Context, data string, log *slog.Logger) (stranger int, err error) {
	real, err := filepath.EvalSymlinks(data)
	if err != nil {
		return 0, fmt.Errorf("find the database: %w", err)
	}
	lines := pidFile(real)
	if len(lines) == 0 {
		return 0, nil
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 {
		return 0, nil //nolint:nilerr // a file that names nobody is as good as none
	}
	if !serves(pid, real) {
		return pid, nil
	}
	for _, step := range []struct {
		signal   syscall.Signal
		patience time.Duration
	}{{syscall.SIGINT, 5 * time.Second}, {syscall.SIGQUIT, 6 * time.Second}, {syscall.SIGKILL, 2 * time.Second}} {
		if !serves(pid, real) {
			return 0, nil
		}
		log.Warn("stopping the server that an earlier process left behind", "pid", pid, "signal", step.signal.String())
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return 0, fmt.Errorf("stop the server that was left behind (pid %d): %w", pid, err)
		}
		// A frozen process would sleep through the signal. ESRCH means that it has ended already.
		_ = syscall.Kill(pid, syscall.SIGCONT)
		for end := time.Now().Add(step.patience); serves(pid, real) && time.Now().Before(end); {
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return 0, err
			}
		}
	}
	if serves(pid, real) {
		return 0, fmt.Errorf("the server that was left behind (pid %d) does not end", pid)
	}
	return 0, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

const (
	sqlHasRole     = `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sluice')`
	sqlHasDatabase = `SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'sluice')`
	sqlHandOver    = `SELECT set_config('sluice.password', @password, true)`
	// CREATE ROLE takes no parameters, so the password travels as a setting of the transaction.
	sqlCreateRole = `DO $$ BEGIN
  EXECUTE format('CREATE ROLE sluice LOGIN CREATEDB PASSWORD %L', current_setting('sluice.password'));
  GRANT pg_monitor, pg_signal_backend TO sluice;
END $$`
	sqlCreateDatabase = `CREATE DATABASE sluice OWNER sluice`
)

// makeRole makes the role and the database sluice where they are missing.
func (s *Server) makeRole(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.AdminDSN())
	if err != nil {
		return fmt.Errorf("make the role sluice: %w", err)
	}
	defer conn.Close(ctx)
	var has bool
	if err := conn.QueryRow(ctx, sqlHasRole).Scan(&has); err != nil {
		return fmt.Errorf("look for the role sluice: %w", err)
	}
	if !has {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, sqlHandOver, pgx.NamedArgs{"password": s.secrets.Sluice}); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, sqlCreateRole)
			return err
		})
		if err != nil {
			return fmt.Errorf("make the role sluice: %w", err)
		}
	}
	if err := conn.QueryRow(ctx, sqlHasDatabase).Scan(&has); err != nil {
		return fmt.Errorf("look for the database sluice: %w", err)
	}
	if !has {
		if _, err := conn.Exec(ctx, sqlCreateDatabase); err != nil {
			return fmt.Errorf("make the database sluice: %w", err)
		}
	}
	return nil
}

const (
	logKept  = 1 << 20  // a log longer than this is put aside at the next start
	logLimit = 16 << 20 // and a running server's at this length
)

// openLog opens the server's log for appending. The log of earlier starts is kept once, as <name>.1.
func openLog(dir, name string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the log's folder: %w", err)
	}
	path := filepath.Join(dir, name)
	if st, err := os.Stat(path); err == nil && st.Size() > logKept {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("put the old log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return f, nil
}

// boundLog keeps a running server's log from filling the disk.
func (s *Server) boundLog() {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
		}
		if err := cutLog(s.logFile, logLimit); err != nil {
			s.log.Warn("the server's log could not be cut", "error", err)
		}
	}
}

// cutLog copies a log over the limit to <name>.1 and empties it. The server appends, so it goes on at the new end.
func cutLog(f *os.File, limit int64) error {
	if size(f) <= limit {
		return nil
	}
	if err := os.Remove(f.Name() + ".1"); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := copyFile(f.Name(), f.Name()+".1"); err != nil {
		return err
	}
	return f.Truncate(0)
}

func size(f *os.File) int64 {
	st, err := f.Stat()
	if err != nil {
		return 0
	}
	return st.Size()
}

// logTail returns the last lines of the log from the given offset, each on a line of its own below the error's text.
func logTail(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	from = max(from, size(f)-8<<10)
	var lines []string
	sc := bufio.NewScanner(io.NewSectionReader(f, from, 8<<10))
	for sc.Scan() {
		if lines = append(lines, sc.Text()); len(lines) > 15 {
			lines = lines[1:]
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "\nthe end of its log " + path + ":\n  " + strings.Join(lines, "\n  ")
}
