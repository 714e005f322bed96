//go:build unix

// Package dbtest gives each test a PostgreSQL database of its own, with nothing prepared on the machine beyond
// PostgreSQL's programs. One private server per test binary is started by the first test that asks, its template is
// migrated once, each test gets a clone, and everything goes when the binary ends. A test that gets no database fails;
// it is never skipped.
//
// The shared server's settings are fast and unsafe. A test that stops, kills or restarts the server, or that reads the
// event log by transaction horizon (which other tests' databases would hold back), takes a server of its own:
// [Durable] or [Server].
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluicehub/sluice/migrations"
	"github.com/sluicehub/sluice/pim/postgres/localpg"
)

// patience bounds each single thing that is done to a server here. It is generous because many test binaries start at
// once on a small machine.
const patience = 2 * time.Minute

// template is the migrated database that New clones. Nobody else may connect to it: CREATE DATABASE would fail.
const template = "sluice_template"

const (
	sqlCreateTemplate = `CREATE DATABASE ` + template + ` OWNER sluice`
	sqlClone          = `CREATE DATABASE %s TEMPLATE ` + template + ` OWNER sluice`
	sqlDrop           = `DROP DATABASE %s WITH (FORCE)`
)

// server is the binary's shared server.
type server struct {
	pg    *localpg.Server
	admin *pgx.Conn

	// mu serialises the use of admin, and with it the clones: two at once would be in each other's way in the template.
	mu     sync.Mutex
	clones int
}

// shared starts the binary's server at the first call and remembers how that went. The server is never stopped: it ends
// with the binary.
var shared = sync.OnceValues(func() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pg, err := begin(ctx, false)
	if err != nil {
		return nil, err
	}
	s := &server{pg: pg}
	if s.admin, err = pgx.Connect(ctx, pg.AdminDSN()); err != nil {
		return nil, fmt.Errorf("connect to the test server: %w", err)
	}
	if _, err := s.admin.Exec(ctx, sqlCreateTemplate); err != nil {
		return nil, fmt.Errorf("create the template: %w", err)
	}
	if err := migrations.Up(ctx, withDatabase(pg.DSN(), template), slog.New(slog.DiscardHandler)); err != nil {
		return nil, fmt.Errorf("migrate the template: %w", err)
	}
	return s, nil
})

// New returns the DSN of a fresh, migrated database that this test alone uses. It is dropped, whoever is still
// connected, when the test and its other clean-ups are over.
func New(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("no database to test with: %v", err)
	}
	name, err := s.clone()
	if err != nil {
		t.Fatalf("no database to test with: %v", err)
	}
	t.Cleanup(func() {
		if err := s.exec(fmt.Sprintf(sqlDrop, name)); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return withDatabase(s.pg.DSN(), name)
}

// Pool is New with a connection pool on it, which is closed when the test ends.
func Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), New(t))
	if err != nil {
		t.Fatalf("connect to the test's database: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// Durable starts a server for this test alone, with production's durability, for tests that kill or restart it. Its
// DSN's database sluice is migrated. It is stopped and removed when the test ends.
func Durable(t testing.TB) *localpg.Server {
	t.Helper()
	return own(t, true)
}

// Server is Durable with the fast and unsafe settings, for tests that need a quiet server rather than a safe one.
func Server(t testing.TB) *localpg.Server {
	t.Helper()
	return own(t, false)
}

func own(t testing.TB, durable bool) *localpg.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pg, err := begin(ctx, durable)
	if err != nil {
		t.Fatalf("no database to test with: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(pg.Stop(ctx), os.RemoveAll(pg.Dir())); err != nil {
			t.Errorf("end the test's server: %v", err)
		}
	})
	if err := migrations.Up(ctx, pg.DSN(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("migrate the test's database: %v", err)
	}
	return pg
}

// Dir returns an empty folder, removed when the test ends, that also the unprivileged user of a private server that is
// started by root can enter. t.TempDir is closed to others.
func Dir(t testing.TB) string {
	t.Helper()
	base, err := home()
	if err != nil {
		t.Fatalf("no folder to test in: %v", err)
	}
	dir, err := openDir(base)
	if err != nil {
		t.Fatalf("no folder to test in: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the test's folder: %v", err)
		}
	})
	return dir
}

// clone makes a copy of the template under a new name.
func (s *server) clone() (string, error) {
	s.mu.Lock()
	s.clones++
	name := fmt.Sprintf("test_%d", s.clones)
	s.mu.Unlock()
	if err := s.exec(fmt.Sprintf(sqlClone, name)); err != nil {
		return "", fmt.Errorf("clone the template: %w", err)
	}
	return name, nil
}

func (s *server) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.admin.Exec(ctx, sql)
	return err
}

// withDatabase is the DSN with another database in it.
func withDatabase(dsn, name string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err) // localpg's own DSN
	}
	u.Path = "/" + name
	return u.String()
}
