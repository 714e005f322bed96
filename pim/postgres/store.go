// Package postgres is the store: every SQL statement of Sluice but the
// migrations. Exported methods own their transaction; each statement is a
// const beside its method, and a test prepares all of them on the migrated
// schema. Values are checked by package pim before they come here to rest.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluicehub/sluice/pim"
)

// The store's sentinels.
var (
	ErrNotFound = errors.New("not found")
	// ErrStale: the row is at another revision than the caller expected.
	ErrStale = errors.New("the revision has changed meanwhile")
	// ErrExists: a row of that code or SKU is there already.
	ErrExists = errors.New("exists already")
	// ErrNoConnector is of what only a channel with a target can do.
	ErrNoConnector = errors.New("the channel has no connector, so there is no target to send to or to ask: give it one first")
	// ErrInUse: others refer to the row.
	ErrInUse = errors.New("is still in use")
	// ErrFenced: the lease was lost; another holder works now.
	ErrFenced = errors.New("the lease was lost")
)

// Store is the product store. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool // edits: what is acknowledged is durable
	// work is the pool of fan-out and of claims. It commits asynchronously: a
	// lost tail of its work is done again, and the write-ahead log keeps its
	// order, so nothing later survives something earlier (docs/decisions/002).
	work   *pgxpool.Pool
	schema atomic.Pointer[pim.Schema]
	// finding holds one for each question that may read a whole catalogue: readers
	// wait for one another before edits have to wait for a connection.
	finding chan struct{}
	// nudge is called after a commit that left outbox rows or other work.
	nudge atomic.Pointer[func()]
	// fewDerived is up to how many products of a rule are no walk: fewDerived, but in tests.
	fewDerived int
}

// Options tune a Store; the zero value is good.
type Options struct {
	EditConns int32 // connections for the API, default 12
	WorkConns int32 // connections for consumers, default 12
	// Configure may change the pools' configuration, e.g. add a tracer.
	Configure func(*pgxpool.Config)
}

// Open connects to the migrated database at dsn and reads the schema of
// values. The caller closes the store.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	open := func(name string, conns, fallback int32, params map[string]string) (*pgxpool.Pool, error) {
		cfg, err := pgxpool.ParseConfig(dsn)
		if err != nil {
			// The parser's error quotes the address, password and all.
			return nil, errors.New("the database address (DATABASE_URL) cannot be read")
		}
		cfg.MaxConns = fallback
		if conns > 0 {
			cfg.MaxConns = conns
		}
		cfg.MinIdleConns = 1
		cfg.ConnConfig.RuntimeParams["application_name"] = name
		cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
		// An open old snapshot makes every claim wade through dead rows.
		cfg.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "30s"
		// Connections keep the plans they made while a table was small, and a first
		// import fills it within seconds, long before its statistics are renewed.
		// Every frequent statement is a look-up: a whole reading is never the better plan.
		cfg.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
		cfg.ConnConfig.RuntimeParams["jit"] = "off" // it compiles for longer than any of them runs
		for k, v := range params {
			cfg.ConnConfig.RuntimeParams[k] = v
		}
		if o.Configure != nil {
			o.Configure(cfg)
		}
		return pgxpool.NewWithConfig(ctx, cfg)
	}
	s := &Store{fewDerived: fewDerived}
	var err error
	if s.pool, err = open("sluice", o.EditConns, 12, nil); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if s.work, err = open("sluice-work", o.WorkConns, 12, map[string]string{
		"synchronous_commit": "off",
		// Planning a claim for its values costs ten times as much as the claim, and gives the same plan.
		"plan_cache_mode": "force_generic_plan",
	}); err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("open the database: %w", err)
	}
	s.finding = make(chan struct{}, max(1, s.pool.Config().MaxConns/3))
	s.SetNudge(func() {})
	if _, err := s.loadSchema(ctx, s.pool); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close waits for running statements and closes all connections.
func (s *Store) Close() {
	s.pool.Close()
	s.work.Close()
}

// SetNudge sets what is called, quickly and from any goroutine, after a commit
// that left work for fan-out.
func (s *Store) SetNudge(f func()) { s.nudge.Store(&f) }

func (s *Store) nudged() { (*s.nudge.Load())() }

// Pool is the durable pool, for River and for health checks.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// WorkPool is the consumers' pool.
func (s *Store) WorkPool() *pgxpool.Pool { return s.work }

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

// inTx runs do in a transaction of pool and commits when it returns nil.
func inTx(ctx context.Context, pool *pgxpool.Pool, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, do)
}

// violates reports whether err is a violation of the named constraint.
func violates(err error, constraint string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(pg.Code, "23") && pg.ConstraintName == constraint
}

// Page is a reader's place in a list.
type Page struct {
	After string // cursor: the Next of the page before; "" is the start
	Limit int    // 1 to 1000; 0 is 100
}

func (p Page) limit() int {
	if p.Limit <= 0 {
		return 100
	}
	return min(p.Limit, 1000)
}

// Now is the database's clock, the only one that due times are compared with.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	err = s.pool.QueryRow(ctx, `select now()`).Scan(&now)
	return now, err
}

// Away reports errors of a database that cannot be reached or is
// shutting down, which say nothing about the request.
func Away(err error) bool {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	// 08: connection exception, 57P: operator intervention, 53300: too many connections.
	return ok && (strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P") || pg.Code == "53300")
}

// IsDatabase reports errors that come from the database or the way to it.
func IsDatabase(err error) bool {
	_, answered := errors.AsType[*pgconn.PgError](err)
	return answered || Away(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// one reads the row that there is to be; ErrNotFound.
func one[T any](ctx context.Context, q querier, sql string, args pgx.NamedArgs, scan pgx.RowToFunc[T]) (row T, err error) {
	rows, err := q.Query(ctx, sql, args)
	if err != nil {
		return row, err
	}
	row, err = pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return row, err
}

// leaves says of what is to be deleted, with what came of looking for it, whether it
// is there at the revision ifMatch, if that is not 0: else ErrNotFound, or to who names
// a revision ErrStale, as what is not there has another one.
func leaves(looked error, rev, ifMatch int64) error {
	if ifMatch != 0 && (errors.Is(looked, ErrNotFound) || looked == nil && rev != ifMatch) {
		return ErrStale
	}
	return looked
}

// meets says of a definition that was looked for, with what came of that, whether
// it is to be created; ErrStale where it has not the revision ifMatch, if that is
// not 0.
func meets(looked error, rev, ifMatch int64) (created bool, err error) {
	if looked != nil && !errors.Is(looked, ErrNotFound) {
		return false, looked
	}
	if ifMatch != 0 && rev != ifMatch {
		return false, ErrStale
	}
	return looked != nil, nil
}
