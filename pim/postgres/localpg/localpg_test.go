//go:build unix

package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// seed is a stopped server's folder that most tests copy; TestMain makes it with initdb.
var seed string

func TestMain(m *testing.M) {
	if dir := os.Getenv("LOCALPG_TEST_PARENT"); dir != "" {
		parent(dir)
	}
	os.Exit(func() int {
		base, err := os.MkdirTemp("", "localpg-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(base)
		if err := os.Chmod(base, 0o711); err != nil {
			panic(err)
		}
		seed = filepath.Join(base, "seed")
		s, err := Start(context.Background(), Options{DataDir: seed})
		if err == nil {
			err = s.Stop(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// folder is an empty folder that the server's user can enter, which t.TempDir is not.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(seed), "t-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	if opts.Seed == "" {
		opts.Seed = seed
	}
	s, err := Start(within(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(within(t), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(within(t), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func ask1[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(within(t), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	if err := s.Stop(within(t)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if err := s.Err(); err != nil {
		t.Errorf("Err after Stop: %v", err)
	}
}

func TestSecondStartFindsTheData(t *testing.T) {
	dir := filepath.Join(folder(t), "new", "db")
	s := start(t, Options{DataDir: dir, Durable: true})
	conn := connect(t, s.DSN())
	exec1(t, conn, "CREATE TABLE kept AS SELECT 7 AS n")
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		if got := ask1[string](t, connect(t, s.AdminDSN()), "SELECT pg_read_file('/proc/self/status')"); !strings.Contains(got, "Uid:\t"+fmt.Sprint(s.account.uid)+"\t") {
			t.Errorf("the server does not run as %s", s.account.name)
		}
	}
	stop(t, s)

	again := start(t, Options{DataDir: dir, Durable: true})
	if again.DSN() != s.DSN() {
		t.Error("the second start changed the DSN though its port was free")
	}
	if n := ask1[int](t, connect(t, again.DSN()), "SELECT n FROM kept"); n != 7 {
		t.Errorf("kept %d, want 7", n)
	}
	if tail := logTail(s.path("log/postgres.log"), 0); strings.Contains(tail, "not properly shut down") {
		t.Errorf("Stop made the next start recover: %s", tail)
	}
}

func TestSettings(t *testing.T) {
	for _, durable := range []bool{true, false} {
		s := start(t, Options{DataDir: folder(t), Durable: durable, ExtraConfig: map[string]string{"max_connections": "77", "work_mem": "5MB"}})
		conn := connect(t, s.DSN())
		safe := map[bool]string{true: "on", false: "off"}[durable]
		for name, want := range map[string]string{
			"fsync": safe, "synchronous_commit": safe, "full_page_writes": safe, "listen_addresses": "127.0.0.1", "jit": "off",
			"TimeZone": "UTC", "max_connections": "77", "work_mem": "5MB", "server_encoding": "UTF8", "is_superuser": "off",
		} {
			if got := ask1[string](t, conn, "SHOW "+name); got != want {
				t.Errorf("durable %v: %s is %q, want %q", durable, name, got, want)
			}
		}
		if !ask1[bool](t, conn, "SELECT lower('Ä') = 'ä' AND 'Z' < 'a' AND 'z' < 'ä'") {
			t.Error("letters are not UTF-8's, or sorting is not by code point")
		}
	}
}

// Every local user can use the DSN, and nobody gets in without its password.
func TestDSNIsForEveryLocalUser(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		psql = filepath.Join(found(t)[0].Dir, "psql")
	}
	s := start(t, Options{DataDir: folder(t)})
	run := func(dsn string) (string, error) {
		cmd := exec.CommandContext(within(t), psql, "-w", "-XAtc", "SELECT current_user", dsn)
		cmd.Env, cmd.Dir, cmd.SysProcAttr = []string{"PATH=" + os.Getenv("PATH")}, "/", &syscall.SysProcAttr{}
		if os.Geteuid() == 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		}
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := run(s.DSN()); err != nil || out != "sluice" {
		t.Errorf("psql answered %q, %v", out, err)
	}
	for _, role := range []string{"sluice", adminRole} {
		if out, err := run(s.dsn(role, "wrong", "sluice")); err == nil || !strings.Contains(out, "password authentication failed") {
			t.Errorf("%s with a wrong password: %q, %v", role, out, err)
		}
	}
	if st, err := os.Stat(s.path("passwords.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("passwords.json: %v %v", st.Mode(), err)
	}
}

func TestSecondProcessIsTurnedAway(t *testing.T) {
	s := start(t, Options{DataDir: folder(t)})
	_, err := Start(within(t), Options{DataDir: s.opts.DataDir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint("pid ", os.Getpid())) {
		t.Errorf("got %v, want ErrInUse with our pid", err)
	}
	if n := ask1[int](t, connect(t, s.DSN()), "SELECT 1"); n != 1 {
		t.Error("the first server no longer answers")
	}
	stop(t, s)
	start(t, Options{DataDir: s.opts.DataDir})
}

func TestOtherVersionStopsWithInstructions(t *testing.T) {
	s := start(t, Options{DataDir: folder(t)})
	stop(t, s)
	if err := os.WriteFile(s.path("data/PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := listing(t, s.path("data"))
	_, err := Start(within(t), Options{DataDir: s.opts.DataDir})
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "Install PostgreSQL 9") || !strings.Contains(err.Error(), "pg_upgrade") {
		t.Errorf("got %v, want ErrVersion with what to do", err)
	}
	if after := listing(t, s.path("data")); after != before {
		t.Error("the database was changed")
	}
}

func TestTheVersionOfTheDatabaseWins(t *testing.T) {
	dir := t.TempDir()
	list := []Programs{{Dir: "/a", Major: 17}, {Dir: "/b", Major: 16}}
	if p, err := choose(list, dir); err != nil || p.Dir != "/a" {
		t.Errorf("a new database: %v %v, want the first", p, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("16\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := choose(list, dir); err != nil || p.Dir != "/b" {
		t.Errorf("a database of 16: %v %v, want 16", p, err)
	}
}

// listing says what is in a folder, to the byte and the modification time.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		uid, gid := owner(st)
		fmt.Fprintln(&b, path, st.Mode(), st.Size(), st.ModTime().UnixNano(), uid, gid)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestForeignFoldersAreRefusedAndUntouched(t *testing.T) {
	for name, files := range map[string][]string{
		"somebody's documents":     {"thesis.odt"},
		"a database cluster":       {"PG_VERSION", "base/1/112"},
		"documents in data":        {"data/thesis.odt"},
		"a cluster in data":        {"data/PG_VERSION", "data/base/1/112"},
		"documents beside a clean": {"log/postgres.log", "thesis.odt"},
	} {
		dir := folder(t)
		for _, f := range files {
			path := filepath.Join(dir, f)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("15\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		before := listing(t, dir)
		for _, seed := range []string{"", seed} {
			if s, err := Start(within(t), Options{DataDir: dir, Seed: seed}); !errors.Is(err, ErrForeign) {
				t.Errorf("%s: got %v, want ErrForeign", name, err)
				if err == nil {
					stop(t, s)
				}
			}
		}
		if after := listing(t, dir); after != before {
			t.Errorf("%s: touched:\n%s\nwas\n%s", name, after, before)
		}
	}
}

// A kill in the middle of initdb leaves an unfinished folder, which the next start clears away.
func TestUnfinishedDatabaseIsMadeAnew(t *testing.T) {
	dir := folder(t)
	half := filepath.Join(dir, workPrefix+"123", "data")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{DataDir: dir})
	if exists(filepath.Dir(half)) {
		t.Error("the unfinished folder is still there")
	}
	stop(t, s)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := folder(t)
	if _, err := Start(ctx, Options{DataDir: other}); err == nil {
		t.Fatal("a cancelled start succeeded")
	}
	if exists(filepath.Join(other, "data")) {
		t.Error("a cancelled initdb left a data folder")
	}
}

func TestRestartAndKillKeepDSNAndAcknowledgedData(t *testing.T) {
	s := start(t, Options{DataDir: folder(t), Durable: true})
	conn := connect(t, s.DSN())
	exec1(t, conn, "CREATE TABLE n AS SELECT 0 AS n")
	for i, end := range []func(){func() {}, s.Kill} {
		exec1(t, conn, "UPDATE n SET n = n + 1")
		dsn, pid := s.DSN(), s.PID()
		end()
		if err := s.Restart(within(t)); err != nil {
			t.Fatal(err)
		}
		if s.DSN() != dsn || s.PID() == pid || s.PID() == 0 {
			t.Errorf("restart %d: DSN same %v, pid %d after %d", i, s.DSN() == dsn, s.PID(), pid)
		}
		if _, err := conn.Exec(within(t), "SELECT 1"); err == nil {
			t.Error("the old connection survived")
		}
		conn = connect(t, s.DSN())
		if n := ask1[int](t, conn, "SELECT n FROM n"); n != i+1 {
			t.Errorf("restart %d: %d updates kept", i, n)
		}
		select {
		case <-s.Done():
			t.Fatal("Done closed by a restart")
		default:
		}
	}
}

func TestDoneTellsOfAnUnexpectedEnd(t *testing.T) {
	s := start(t, Options{DataDir: folder(t)})
	if err := syscall.Kill(s.PID(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-within(t).Done():
		t.Fatal("Done stays open")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "immediate shutdown") {
		t.Errorf("Err is %v, want the end of the log", err)
	}
	start(t, Options{DataDir: s.opts.DataDir})
}

func TestFailedStartShowsTheLog(t *testing.T) {
	_, err := Start(within(t), Options{DataDir: folder(t), Seed: seed, ExtraConfig: map[string]string{"shared_buffers": "plenty"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("got %v, want the server's own words", err)
	}
}

func TestATakenPortIsExchanged(t *testing.T) {
	first := start(t, Options{DataDir: folder(t)})
	s := &Server{}
	s.home = folder(t)
	if err := os.WriteFile(s.path("port"), fmt.Append(nil, first.port), 0o600); err != nil {
		t.Fatal(err)
	}
	if port := s.choosePort(); port == first.port {
		t.Error("chose a port that is taken")
	}
	// Lost between choosing and starting, as in a race: launch's own retry.
	second := start(t, Options{DataDir: folder(t)})
	second.Kill()
	second.port = first.port
	if err := second.launch(within(t), false); err != nil {
		t.Fatal(err)
	}
	if second.port == first.port {
		t.Error("two servers on one port")
	}
}

func TestLogIsBounded(t *testing.T) {
	f, err := openLog(t.TempDir(), "x.log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 3 {
		if _, err := f.WriteString("0123456789"); err != nil {
			t.Fatal(err)
		}
		if err := cutLog(f, 15); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(f.Name() + ".1")
	if err != nil || len(kept) != 20 || size(f) != 10 {
		t.Errorf("kept %d bytes and %d, want 20 and 10 (%v)", len(kept), size(f), err)
	}
}

func found(t *testing.T) []Programs {
	t.Helper()
	list, err := Find(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFind(t *testing.T) {
	good := found(t)[0]
	lone, links, broken := t.TempDir(), t.TempDir(), t.TempDir()
	for _, dir := range []string{lone, links, broken, filepath.Dir(lone)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := func(dir string, names ...string) {
		for _, name := range names {
			if err := os.Symlink(filepath.Join(good.Dir, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	link(lone, "initdb")
	link(links, "initdb", "postgres")
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(broken, name), []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", strings.Join([]string{lone, broken, "relative", links, good.Dir}, ":"))
	list := found(t)
	if list[0] != good {
		t.Errorf("found %v, want %v, by its real folder", list[0], good)
	}
	seen := map[string]bool{}
	for _, p := range list {
		if seen[p.Dir] || p.Major < oldest {
			t.Errorf("%v is there twice or too old", p)
		}
		seen[p.Dir] = true
	}
}

func TestParseVersion(t *testing.T) {
	for line, want := range map[string]int{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": 15,
		"postgres (PostgreSQL) 18beta1":                          18,
		"postgres (EnterpriseDB) 1":                              0,
		"":                                                       0,
	} {
		if p, ok := parseVersion("/x", line); p.Major != want || ok != (want > 0) {
			t.Errorf("%q: %v %v", line, p, ok)
		}
	}
}

func logTo(b *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
