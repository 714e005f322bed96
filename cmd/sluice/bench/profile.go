//go:build unix

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// What a server's programs may lack, and a server of others may not have
// loaded: statements are only measured on the private one, when profiles are
// wanted.
const (
	sqlStatements      = `create extension if not exists pg_stat_statements`
	sqlStatementsReset = `select pg_stat_statements_reset()`
	sqlStatementsTop   = `
select d.datname, s.calls, s.rows, s.total_exec_time, s.mean_exec_time, s.total_plan_time, s.shared_blks_hit, s.shared_blks_read, s.wal_records, s.wal_bytes::bigint,
       regexp_replace(s.query, '\s+', ' ', 'g')
from pg_stat_statements s join pg_database d on d.oid = s.dbid order by s.total_exec_time + s.total_plan_time desc limit 30`
)

// profile begins the CPU profile of a measure, if profiles are wanted; the
// function that it gives ends it. name "" is of what nobody wants to see.
func (b *bench) profile(ctx context.Context, name string) (stop func() error, err error) {
	if b.Profile == "" || name == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(b.Profile, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of profiles: %w", err)
	}
	statements, err := b.statements(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(b.Profile, name+".cpu.pprof"))
	if err != nil {
		return nil, fmt.Errorf("make a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("begin a profile: %w", err), f.Close())
	}
	began := time.Now()
	self, target, server := b.spent()
	return func() error {
		took := time.Since(began)
		self2, target2, server2 := b.spent()
		pprof.StopCPUProfile()
		text := fmt.Sprintf("%v: processor time %v this process, %v target process, %v PostgreSQL\n", took.Round(time.Millisecond),
			(self2 - self).Round(time.Millisecond), target2-target, server2-server)
		return errors.Join(f.Close(), statements(), os.WriteFile(filepath.Join(b.Profile, name+".time.txt"), []byte(text), 0o644))
	}, nil
}

// statements begins to measure the private server's statements.
func (b *bench) statements(ctx context.Context, name string) (stop func() error, err error) {
	if b.db.server == nil {
		return func() error { return nil }, nil
	}
	conn, err := pgx.Connect(ctx, b.db.server.AdminDSN())
	if err != nil {
		return nil, fmt.Errorf("measure statements: %w", err)
	}
	for _, sql := range []string{sqlStatements, sqlStatementsReset} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return nil, errors.Join(fmt.Errorf("measure statements: %w", err), conn.Close(ctx))
		}
	}
	return func() error {
		defer conn.Close(context.WithoutCancel(ctx))
		rows, err := conn.Query(ctx, sqlStatementsTop)
		if err != nil {
			return fmt.Errorf("read the statements' times: %w", err)
		}
		var (
			text                                   strings.Builder
			db, query                              string
			calls, n, hit, read, records, walBytes int64
			total, mean, plan                      float64
		)
		text.WriteString("total ms\tcalls\trows\tmean ms\tplanning ms\tbuffers hit\tread\twal records\twal bytes\tdatabase\tstatement\n")
		_, err = pgx.ForEachRow(rows, []any{&db, &calls, &n, &total, &mean, &plan, &hit, &read, &records, &walBytes, &query}, func() error {
			fmt.Fprintf(&text, "%.0f\t%d\t%d\t%.3f\t%.0f\t%d\t%d\t%d\t%d\t%s\t%.400s\n", total, calls, n, mean, plan, hit, read, records, walBytes, db, query)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the statements' times: %w", err)
		}
		return os.WriteFile(filepath.Join(b.Profile, name+".statements.txt"), []byte(text.String()), 0o644)
	}, nil
}
