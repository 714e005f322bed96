package migrations_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/migrations"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

var quiet = slog.New(slog.DiscardHandler)

// server is one server for this binary's tests, with a maker of empty databases.
type server struct {
	testing.TB
	admin *pgx.Conn
	dsn   string
}

func newServer(t *testing.T) *server {
	t.Helper()
	pg := dbtest.Server(t)
	admin, err := pgx.Connect(t.Context(), pg.AdminDSN())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	return &server{t, admin, pg.DSN()}
}

// empty makes an empty database and gives its DSN.
func (s *server) empty(name string) string { s.Helper(); return s.copy(name, "template1") }

// copy makes a copy of another database, and gives its DSN.
func (s *server) copy(name, of string) string {
	s.Helper()
	if _, err := s.admin.Exec(context.Background(), "create database "+name+" template "+of+" owner sluice"); err != nil {
		s.Fatal(err)
	}
	u, err := url.Parse(s.dsn)
	if err != nil {
		s.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// tables is what is in a database, and how often it was migrated.
func tables(t testing.TB, dsn string) (s string) {
	t.Helper()
	conn := connect(t, dsn)
	defer conn.Close(context.Background()) // others may copy the database
	err := conn.QueryRow(context.Background(), `
		select coalesce(string_agg(c.oid::regclass || ' ' || c.oid || ' ' || c.xmin, E'\n' order by c.oid), '')
		from pg_class c where relnamespace = 'public'::regnamespace`).Scan(&s)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func execute(t testing.TB, dsn, sql string) {
	t.Helper()
	if _, err := connect(t, dsn).Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

const childDSN = "SLUICE_TEST_MIGRATE"

// TestMain is also the process that the test of two processes starts.
func TestMain(m *testing.M) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		if err := migrations.Up(context.Background(), dsn, slog.New(slog.NewTextHandler(os.Stdout, nil))); err != nil {
			_, _ = os.Stdout.WriteString("error: " + err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestMigrations(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()

	t.Run("up, check, up again", func(t *testing.T) {
		dsn := s.empty("migrated")
		if err := migrations.Check(ctx, dsn); !errors.Is(err, migrations.ErrBehind) {
			t.Errorf("an empty database: %v", err)
		}
		if got := tables(t, dsn); got != "" {
			t.Errorf("Check made %s", got)
		}
		var log bytes.Buffer
		if err := migrations.Up(ctx, dsn, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"00001_house.sql", "river"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not tell of %s: %s", want, &log)
			}
		}
		before := tables(t, dsn)
		for _, want := range []string{"product", "listing", "event_default", "river_job", "goose_db_version"} {
			if !strings.Contains("\n"+before, "\n"+want+" ") {
				t.Errorf("there is no %s", want)
			}
		}
		log.Reset()
		if err := migrations.Up(ctx, dsn, slog.New(slog.NewTextHandler(&log, nil))); err != nil || log.Len() > 0 {
			t.Errorf("a second Up: %v, %s", err, &log)
		}
		if err := migrations.Check(ctx, dsn); err != nil {
			t.Error(err)
		}
		if after := tables(t, dsn); after != before {
			t.Errorf("a second Up changed\n%s\nto\n%s", before, after)
		}
	})

	t.Run("processes at once", func(t *testing.T) {
		dsn := s.empty("crowd")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		outputs := make([]string, 3)
		for i := range outputs {
			wg.Go(func() {
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), childDSN+"="+dsn)
				out, err := cmd.CombinedOutput()
				if outputs[i] = string(out); err != nil {
					t.Errorf("process %d: %v: %s", i, err, out)
				}
			})
		}
		wg.Wait()
		if n := strings.Count(strings.Join(outputs, ""), "00001_house.sql"); n != 1 {
			t.Errorf("%d processes migrated, want 1: %q", n, outputs)
		}
		if err := migrations.Check(ctx, dsn); err != nil {
			t.Error(err)
		}
	})

	t.Run("one connection in the address", func(t *testing.T) {
		dsn := s.empty("narrow")
		sep := "?"
		if strings.Contains(dsn, "?") {
			sep = "&"
		}
		if err := migrations.Up(ctx, dsn+sep+"pool_max_conns=1", quiet); err != nil {
			t.Error(err)
		}
	})

	t.Run("half way", func(t *testing.T) {
		// River's tables are missing, as after a crash between the two.
		dsn := s.copy("half", "migrated")
		execute(t, dsn, `do $$ declare what text; begin
			for what in select 'table ' || relname from pg_class where relname like 'river%' and relkind = 'r'
				union all select 'function ' || oid::regprocedure from pg_proc where proname like 'river%'
				union all select 'type ' || typname from pg_type where typname like 'river%' and typtype = 'e'
			loop execute 'drop ' || what || ' cascade'; end loop; end $$`)
		if err := migrations.Check(ctx, dsn); !errors.Is(err, migrations.ErrBehind) {
			t.Errorf("without River's tables: %v", err)
		}
		if err := migrations.Up(ctx, dsn, quiet); err != nil {
			t.Error(err)
		}
		if err := migrations.Check(ctx, dsn); err != nil {
			t.Error(err)
		}
	})

	for name, sql := range map[string]string{
		"ours":  `insert into goose_db_version (version_id, is_applied) values (99999, true)`,
		"river": `insert into river_migration (line, version) values ('main', 99999)`,
	} {
		t.Run("newer by "+name, func(t *testing.T) {
			dsn := s.copy("newer_"+name, "migrated")
			execute(t, dsn, sql)
			before := tables(t, dsn)
			if err := migrations.Check(ctx, dsn); !errors.Is(err, migrations.ErrNewer) {
				t.Errorf("Check: %v", err)
			}
			if err := migrations.Up(ctx, dsn, quiet); !errors.Is(err, migrations.ErrNewer) {
				t.Errorf("Up: %v", err)
			}
			if after := tables(t, dsn); after != before {
				t.Errorf("a refused Up changed\n%s\nto\n%s", before, after)
			}
		})
	}

	t.Run("newer by ours, behind by River's", func(t *testing.T) {
		dsn := s.empty("mixed")
		execute(t, dsn, `create table goose_db_version (id int, version_id bigint, is_applied boolean, tstamp timestamp);
			insert into goose_db_version values (1, 99999, true)`)
		before := tables(t, dsn)
		if err := migrations.Up(ctx, dsn, quiet); !errors.Is(err, migrations.ErrNewer) || tables(t, dsn) != before {
			t.Errorf("%v", err)
		}
	})
}

func TestAddressesStaySecret(t *testing.T) {
	for _, dsn := range []string{"postgres://u:topsecret@h:notaport/x", "postgres://u:topsecret@127.0.0.1:1/x?connect_timeout=2"} {
		for what, err := range map[string]error{"Up": migrations.Up(t.Context(), dsn, quiet), "Check": migrations.Check(t.Context(), dsn)} {
			if err == nil || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}
