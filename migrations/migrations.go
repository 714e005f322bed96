// Package migrations brings a database to the schema that this binary needs:
// the numbered SQL files here through goose, and River's own tables through
// rivermigrate beside them.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed *.sql
var files embed.FS

// ErrNewer is the error of a database that a newer binary has migrated: an
// older one would not know what it must keep true there.
var ErrNewer = errors.New("the database was migrated by a newer version of sluice; use that version, or restore a backup")

// ErrBehind is Check's error of a database that still needs Up.
var ErrBehind = errors.New("the database is not migrated; run `sluice migrate`")

// lockKey is the advisory lock that makes simultaneous starts take turns.
const lockKey = 0x51_01_CE

// Up migrates the database at dsn, or does nothing when it is up to date. It
// is safe when several processes start at once, and answers ErrNewer, having
// changed nothing, when the database is ahead of this binary.
func Up(ctx context.Context, dsn string, log *slog.Logger) error {
	return with(ctx, dsn, func(ctx context.Context, m *migrator) error {
		ours, rivers, err := m.state(ctx)
		if err != nil {
			return err
		}
		if ours.ahead() || rivers.ahead() {
			return ErrNewer
		}
		if ours.behind() {
			done, err := m.goose.Up(ctx)
			if err != nil {
				return fmt.Errorf("migrate the schema: %w", err)
			}
			for _, d := range done {
				log.InfoContext(ctx, "migrated", "file", d.Source.Path, "took", d.Duration)
			}
		}
		if rivers.behind() {
			res, err := m.river.Migrate(ctx, rivermigrate.DirectionUp, nil)
			if err != nil {
				return fmt.Errorf("migrate river: %w", err)
			}
			log.InfoContext(ctx, "migrated river", "versions", len(res.Versions))
		}
		return nil
	})
}

// Check answers nil when the database at dsn is exactly what this binary
// needs, ErrBehind or ErrNewer when not. It changes nothing.
func Check(ctx context.Context, dsn string) error {
	return with(ctx, dsn, func(ctx context.Context, m *migrator) error {
		ours, rivers, err := m.state(ctx)
		switch {
		case err != nil:
			return err
		case ours.ahead() || rivers.ahead():
			return ErrNewer
		case ours.behind() || rivers.behind():
			return ErrBehind
		}
		return nil
	})
}

type migrator struct {
	pool  *pgxpool.Pool
	goose *goose.Provider
	river *rivermigrate.Migrator[pgx.Tx]
}

// version compares where a database stands with what the binary knows.
type version struct{ has, knows int64 }

func (v version) ahead() bool  { return v.has > v.knows }
func (v version) behind() bool { return v.has < v.knows }

func with(ctx context.Context, dsn string, do func(context.Context, *migrator) error) error {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		// The parser's error quotes the address, password and all.
		return errors.New("the database address (DATABASE_URL) cannot be read")
	}
	cfg.MaxConns = max(cfg.MaxConns, 4) // one holds the lock while others work
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer pool.Close()
	// The lock lives in a session of its own: it ends with it, whatever happens.
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `select pg_advisory_lock($1)`, lockKey); err != nil {
		return fmt.Errorf("wait for other migrations: %w", err)
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), `select pg_advisory_unlock($1)`, lockKey) }()

	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	sub, err := fs.Sub(files, ".")
	if err != nil {
		return err
	}
	g, err := goose.NewProvider(goose.DialectPostgres, db, sub)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	r, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("read river's migrations: %w", err)
	}
	return do(ctx, &migrator{pool: pool, goose: g, river: r})
}

func (m *migrator) state(ctx context.Context) (ours, rivers version, err error) {
	for _, s := range m.goose.ListSources() {
		ours.knows = max(ours.knows, s.Version)
	}
	for _, v := range m.river.AllVersions() {
		rivers.knows = max(rivers.knows, int64(v.Version))
	}
	// Asked of the tables, not of the libraries, which create theirs when
	// asked: Check must change nothing.
	const sql = `
		select to_regclass('goose_db_version') is not null, to_regclass('river_migration') is not null`
	var haveOurs, haveRivers bool
	if err := m.pool.QueryRow(ctx, sql).Scan(&haveOurs, &haveRivers); err != nil {
		return ours, rivers, fmt.Errorf("look for migration tables: %w", err)
	}
	if haveOurs {
		const sql = `select coalesce(max(version_id), 0) from goose_db_version where is_applied`
		if err := m.pool.QueryRow(ctx, sql).Scan(&ours.has); err != nil {
			return ours, rivers, fmt.Errorf("read the schema's version: %w", err)
		}
	}
	if haveRivers {
		const sql = `select coalesce(max(version), 0) from river_migration where line = 'main'`
		if err := m.pool.QueryRow(ctx, sql).Scan(&rivers.has); err != nil {
			return ours, rivers, fmt.Errorf("read river's version: %w", err)
		}
	}
	return ours, rivers, nil
}
