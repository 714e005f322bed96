//go:build unix

package dbtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) {
	if os.Getenv("DBTEST_TEST_BINARY") != "" {
		s, err := shared()
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.pg.Dir())
		select {}
	}
	os.Exit(m.Run())
}

func count(t *testing.T, dsn, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const sqlMine = `SELECT count(*) FROM pg_class WHERE relname = 'mine'`

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			pool := Pool(t)
			if _, err := pool.Exec(t.Context(), "CREATE TABLE mine ()"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	dsn := New(t)
	if n := count(t, dsn, sqlMine); n != 0 {
		t.Error("a new database has another's table")
	}
	if n := count(t, dsn, `SELECT count(*) FROM pg_class WHERE relname IN ('river_job', 'outbox')`); n != 2 {
		t.Errorf("%d of 2 tables: the clone is not migrated", n)
	}
}

func TestDatabaseGoesWithItsTestWhoeverIsConnected(t *testing.T) {
	const sqlDatabases = `SELECT count(*) FROM pg_database WHERE datname LIKE 'test\_%'`
	mine := New(t)
	before := count(t, mine, sqlDatabases)
	t.Run("inner", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), New(t))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn // left open
	})
	if after := count(t, mine, sqlDatabases); after != before {
		t.Errorf("%d databases, %d before the test", after, before)
	}
}

func TestDurableKeepsWhatItAcknowledged(t *testing.T) {
	s := Durable(t)
	if n := count(t, s.DSN(), `SELECT count(*) FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes') AND setting = 'on'`); n != 3 {
		t.Errorf("%d of 3 settings are production's", n)
	}
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE mine ()"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s.DSN(), sqlMine); n != 1 {
		t.Error("an acknowledged change was lost")
	}
	if count(t, New(t), sqlMine) != 0 {
		t.Error("Durable's server is the shared one")
	}
}

// fatal records what a test is told instead of ending it.
type fatal struct {
	testing.TB
	told string
}

func (f *fatal) Helper() {}
func (f *fatal) Fatalf(format string, args ...any) {
	f.told = fmt.Sprintf(format, args...)
	panic(f)
}

func TestNoDatabaseFails(t *testing.T) {
	old := shared
	defer func() { shared = old }()
	shared = func() (*server, error) { return nil, os.ErrNotExist }
	f := &fatal{TB: t}
	func() {
		defer func() { _ = recover() }()
		New(f)
	}()
	if !strings.Contains(f.told, "no database to test with") {
		t.Errorf("New said %q", f.told)
	}
}

// A binary that is killed leaves neither a server nor a folder.
func TestNothingIsLeftOfABinary(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DBTEST_TEST_BINARY=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	if _, err := fmt.Fscan(out, &dir); err != nil {
		t.Fatal(err)
	}
	run := filepath.Dir(dir)
	if !strings.HasPrefix(run, prefix()+"run-") {
		t.Fatalf("the binary said %q", dir)
	}
	if err := locked(func() error { sweep(); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(run); err != nil {
		t.Errorf("a living binary's folder was removed: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); ; {
		if _, err := os.Stat(run); os.IsNotExist(err) {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%s is still there", run)
		}
	}
}

func TestSweepRemovesWhatEndedBinariesLeft(t *testing.T) {
	if _, err := home(); err != nil {
		t.Fatal(err)
	}
	left, err := os.MkdirTemp(filepath.Split(prefix() + "run-"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "owner"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := locked(func() error { sweep(); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", left, err)
	}
	if base, err := home(); err != nil || !ours(base) {
		t.Errorf("our own folder was swept away (%v)", err)
	}
}

func TestDirIsForTheServersUserToo(t *testing.T) {
	dir := Dir(t)
	if os.Geteuid() != 0 {
		return
	}
	cmd := exec.Command("/bin/sh", "-c", `cd "$1"`, "sh", dir)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nobody cannot enter %s: %s", dir, out)
	}
}
