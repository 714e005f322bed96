//go:build unix

// Package localpg runs a private PostgreSQL server from the programs that are installed on this machine, so that
// Sluice needs no set-up. It finds the programs, makes the database's folder, starts the server, hands out a DSN and
// ends the server with the process that started it.
//
// What it promises:
//
//   - the server listens on 127.0.0.1 only, on a free port, and asks everybody for a password (scram-sha-256);
//   - the server ends with its parent, however that ends: by a parent death signal on Linux, by a watchdog elsewhere;
//   - an existing database is never deleted, overwritten or upgraded; a folder that Sluice did not make is refused;
//   - as root, which PostgreSQL refuses, the server runs as an unprivileged user (see [Options.DataDir]).
//
// It knows nothing of Sluice's schema: migrations are the caller's.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Errors that callers may want to tell apart; their texts name the folder and what to do.
var (
	// ErrNoPrograms says that no PostgreSQL 15 or newer is installed.
	ErrNoPrograms = errors.New("no PostgreSQL 15 or newer found")
	// ErrInUse says that another process runs the server of the same folder; its pid is in the text.
	ErrInUse = errors.New("database folder is in use")
	// ErrVersion says that the database was made by a PostgreSQL major version that is not installed.
	ErrVersion = errors.New("database needs another PostgreSQL version")
	// ErrForeign says that the folder holds something that Sluice did not put there. Nothing in it was touched.
	ErrForeign = errors.New("folder holds something else")
)

// Options say where the database lives and how careful it is.
type Options struct {
	// DataDir is a folder that localpg has for itself; it is made when absent. The database is in its subfolder
	// data, the server's log in log/postgres.log, the passwords (0600) in passwords.json, beside a lock file.
	//
	// As root the server runs as the user that owns an existing database, else as postgres, else as nobody. When
	// that user cannot enter DataDir because of a parent folder (/root, say), the database is kept in
	// /var/lib/sluice/<first 16 hex digits of the SHA-256 of DataDir's real path>/ instead: this is logged, and a README.txt
	// in DataDir says so. Once there, it is found there at each later start.
	DataDir string
	// Durable selects production settings: a commit that was acknowledged survives power loss. Without it the
	// server is several times faster and loses its data in an operating system crash: for tests only.
	Durable bool
	// Log receives what the server's life brings; nil discards it.
	Log *slog.Logger
	// ExtraConfig holds further server settings (as in postgresql.conf) that win over localpg's own.
	ExtraConfig map[string]string
	// Seed is the DataDir of a stopped server that is copied, instead of running initdb, when DataDir holds no
	// database yet. Both servers then have the same passwords. For tests, which thereby start in a fraction of the time.
	Seed string
}

// Server is one running private server. Its methods may be called from any goroutine.
type Server struct {
	opts    Options
	log     *slog.Logger
	bin     Programs
	account *account // nil: the server runs as the user of this process
	home    string
	secrets secrets
	port    int
	lock    *os.File
	logFile *os.File
	// stranger is the living process that a stale postmaster.pid names by accident, 0 when there is none.
	stranger int

	// turn serialises what changes the server's process: Stop, Restart, Kill.
	turn sync.Mutex
	// mu guards proc and err.
	mu   sync.Mutex
	proc *process
	err  error
	done chan struct{}
}

// Start starts the server of opts.DataDir and returns when it accepts connections and holds the database and role
// sluice. ctx bounds the start, crash recovery included; it does not end the running server, [Server.Stop] does.
//
// A server that an earlier process left behind in the same folder is stopped first.
func Start(ctx context.Context, opts Options) (*Server, error) {
	s := &Server{opts: opts, log: opts.Log, done: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.start(ctx); err != nil {
		s.release()
		return nil, fmt.Errorf("start the private PostgreSQL in %s: %w", opts.DataDir, err)
	}
	go s.boundLog()
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	var err error
	if s.account, err = serverAccount(s.opts.DataDir); err != nil {
		return err
	}
	if s.home, err = place(s.opts.DataDir, s.account, s.log); err != nil {
		return err
	}
	if err = checkHome(s.home); err != nil {
		return err
	}
	if err = makeHome(s.home, s.account); err != nil {
		return err
	}
	if s.lock, err = takeLock(s.path("lock")); err != nil {
		return err
	}
	// Again under the lock: another process may have made the database meanwhile.
	if err = checkHome(s.home); err != nil {
		return err
	}
	if s.bin, err = s.choosePrograms(ctx); err != nil {
		return err
	}
	if s.logFile, err = openLog(s.path("log"), "postgres.log"); err != nil {
		return err
	}
	if err = s.makeDatabase(ctx); err != nil {
		return err
	}
	if s.stranger, err = stopOrphan(ctx, s.path("data"), s.log); err != nil {
		return err
	}
	if err = s.launch(ctx, false); err != nil {
		return err
	}
	if err = s.makeRole(ctx); err != nil {
		s.halt(syscall.SIGINT, 10*time.Second)
		return err
	}
	s.log.Info("private PostgreSQL is running", "version", s.bin.Version, "dir", s.home, "port", s.port, "pid", s.PID())
	return nil
}

// DSN is the libpq URL of the database sluice. The role owns that database, may make others (CREATEDB), see all
// activity and end other backends' queries; it is no superuser. Any local user can give the URL to psql. It holds a
// password: it must not be logged.
func (s *Server) DSN() string { return s.dsn("sluice", s.secrets.Sluice, "sluice") }

// AdminDSN is the libpq URL of the superuser, on the maintenance database postgres. It must not be logged.
func (s *Server) AdminDSN() string { return s.dsn(adminRole, s.secrets.Admin, "postgres") }

func (s *Server) dsn(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password), Host: "127.0.0.1:" + strconv.Itoa(s.port),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Dir is where the database, its log and its lock really are: DataDir, or the place that stands in for it.
func (s *Server) Dir() string { return s.home }

// PID is the process id of the server's main process, 0 while it is down after [Server.Kill].
func (s *Server) PID() int {
	p := s.process()
	if p == nil || p.over() {
		return 0
	}
	return p.pid
}

// Done is closed when the server has ended for good: after Stop, or because it ended by itself. An end that Kill or
// Restart brought about does not count.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err says, after Done, why the server ended: nil after Stop.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stop ends the server: open transactions are rolled back, a checkpoint is written. When ctx ends first, the server is
// made to end at once, which costs the next start a recovery but no data, and the error says so. Stopping again is nil.
func (s *Server) Stop(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	p := s.process()
	if p == nil || p.over() {
		s.finish(nil)
		return nil
	}
	p.asked.Store(true)
	p.signal(syscall.SIGINT)
	var err error
	select {
	case <-p.ended:
		err = p.err
	case <-ctx.Done():
		s.halt(syscall.SIGQUIT, 5*time.Second)
		err = ctx.Err()
	}
	s.finish(nil)
	if err != nil {
		return fmt.Errorf("stop the private PostgreSQL in %s: %w", s.home, err)
	}
	return nil
}

// Restart ends the server at once, as a crash would (no checkpoint, every connection cut), and starts it again with the
// same DSN. After Kill it only starts it.
func (s *Server) Restart(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	select {
	case <-s.done:
		return fmt.Errorf("restart the private PostgreSQL in %s: it has ended", s.home)
	default:
	}
	s.halt(syscall.SIGQUIT, 10*time.Second)
	if err := s.launch(ctx, true); err != nil {
		err = fmt.Errorf("restart the private PostgreSQL in %s: %w", s.home, err)
		s.finish(err)
		return err
	}
	return nil
}

// Kill ends the server's main process with SIGKILL and leaves it down until Restart. It returns when the process is gone.
func (s *Server) Kill() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.halt(syscall.SIGKILL, time.Second)
}

// halt ends the current process, which nobody shall take for an accident, and returns when it is gone.
func (s *Server) halt(sig syscall.Signal, patience time.Duration) {
	p := s.process()
	if p == nil {
		return
	}
	p.asked.Store(true)
	p.signal(sig)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
}

func (s *Server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc
}

// ended hears of each end of a server process; an end that nobody asked for is the end of the Server.
func (s *Server) ended(p *process) {
	if p.asked.Load() {
		return
	}
	err := fmt.Errorf("the private PostgreSQL in %s ended by itself: %w%s", s.home, errOrExit(p.err), logTail(s.logFile.Name(), p.logStart))
	s.log.Error("private PostgreSQL ended", "error", err)
	s.finish(err)
}

func errOrExit(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// finish closes Done, once, and gives the folder free.
func (s *Server) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return
	default:
	}
	s.err = err
	close(s.done)
	s.release()
}

// release closes what holds the folder. Closing the lock's file is what unlocks it.
func (s *Server) release() {
	for _, c := range []io.Closer{s.lock, s.logFile} {
		if f, ok := c.(*os.File); ok && f != nil {
			f.Close()
		}
	}
}
