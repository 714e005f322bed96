package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ServerState is how the database server is set up, and what goes on in it
// that could harm the road.
type ServerState struct {
	Version           string
	Major             int
	Fsync             bool
	FullPageWrites    bool
	SynchronousCommit string
	MaxConnections    int
	Connections       int
	// Workers reports that some process works jobs.
	Workers bool
	// Old are the transactions that have been open for more than a minute, the
	// oldest first, at most 20: their snapshots keep dead rows alive.
	Old []OldTransaction
}

// OldTransaction is a transaction that is open for long. What the role may not
// see of others' sessions is empty.
type OldTransaction struct {
	PID         int
	Database    string
	Application string
	State       string
	Age         time.Duration
}

const (
	sqlServerState = `
select current_setting('server_version'), current_setting('server_version_num')::int / 10000, current_setting('fsync')::boolean,
       current_setting('full_page_writes')::boolean, current_setting('synchronous_commit'), current_setting('max_connections')::int,
       (select count(*) from pg_stat_activity where backend_type = 'client backend'),
       exists (select from river_leader where expires_at > now())`
	sqlOldTransactions = `
select pid, coalesce(datname, ''), coalesce(application_name, ''), coalesce(state, ''), extract(epoch from now() - xact_start)::float8
from pg_stat_activity
where xact_start < now() - interval '1 minute' and backend_type = 'client backend' and pid <> pg_backend_pid()
order by xact_start limit 20`
)

// ServerState reads it.
func (s *Store) ServerState(ctx context.Context) (ServerState, error) {
	var st ServerState
	err := s.pool.QueryRow(ctx, sqlServerState).Scan(&st.Version, &st.Major, &st.Fsync, &st.FullPageWrites, &st.SynchronousCommit,
		&st.MaxConnections, &st.Connections, &st.Workers)
	if err != nil {
		return st, fmt.Errorf("read the server's settings: %w", err)
	}
	rows, err := s.pool.Query(ctx, sqlOldTransactions)
	if err != nil {
		return st, fmt.Errorf("look for old transactions: %w", err)
	}
	st.Old, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (o OldTransaction, err error) {
		var age float64
		err = r.Scan(&o.PID, &o.Database, &o.Application, &o.State, &age)
		o.Age = time.Duration(age * float64(time.Second))
		return o, err
	})
	if err != nil {
		return st, fmt.Errorf("look for old transactions: %w", err)
	}
	return st, nil
}

// IssueCount is how many of a channel's rejected listings have one problem.
type IssueCount struct {
	Channel   pim.ChannelCode
	Code      string // of the issue; "" where the target gave none
	Attribute string
	Text      string // of one of them
	Listings  int64
}

const sqlIssueCounts = `
select c.code, coalesce(i->>'code', ''), coalesce(i->>'attribute', ''), min(coalesce(i->>'text', l.error)), count(*)
from listing l join channel c on c.id = l.channel_id and c.deleted_at is null
left join lateral jsonb_array_elements(l.issues) i on i->>'severity' = 'error'
where not l.dirty and l.error is not null
group by 1, 2, 3 order by 5 desc, 1, 2, 3 limit @limit`

// IssueCounts counts the problems of rejected listings, the most frequent
// first, at most limit.
func (s *Store) IssueCounts(ctx context.Context, limit int) ([]IssueCount, error) {
	rows, err := s.pool.Query(ctx, sqlIssueCounts, pgx.NamedArgs{"limit": limit})
	if err != nil {
		return nil, fmt.Errorf("count issues: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[IssueCount])
	if err != nil {
		return nil, fmt.Errorf("count issues: %w", err)
	}
	return list, nil
}

// Stuck is how many of a channel's listings are due for long, and since when.
type Stuck struct {
	Channel  pim.ChannelCode
	Listings int64
	Oldest   time.Duration // since the first of them was due
}

// What keeps a channel from sending is told of it by itself; a listing that
// waits for its time, or for its content, is not stuck either.
const sqlStuck = `
select c.code, count(*), extract(epoch from now() - min(greatest(l.due_at, l.dirty_at)))::float8
from listing l join channel c on c.id = l.channel_id and c.deleted_at is null
join consumer k on k.kind = 'drain' and k.channel_id = l.channel_id and k.lane = l.lane and coalesce(k.wait_until, '-infinity') <= now()
where l.dirty and greatest(l.due_at, l.dirty_at) < now() - @after::interval
  and c.enabled and c.mark_anew = 0 and c.fails < @broken and coalesce(c.throttled_until, '-infinity') <= now()
group by 1 order by 1`

// StuckListings are those that were due longer than after ago and are not sent,
// though nothing keeps their channel from it, by channel.
func (s *Store) StuckListings(ctx context.Context, after time.Duration) ([]Stuck, error) {
	rows, err := s.pool.Query(ctx, sqlStuck, pgx.NamedArgs{"after": after, "broken": BreakerFails})
	if err != nil {
		return nil, fmt.Errorf("look for stuck listings: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (st Stuck, err error) {
		var age float64
		err = r.Scan(&st.Channel, &st.Listings, &age)
		st.Oldest = time.Duration(age * float64(time.Second))
		return st, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for stuck listings: %w", err)
	}
	return list, nil
}

const (
	sqlImportsToTell = `
select ` + importColumns + ` from import
where state = 'running' or state = 'failed' and coalesce(finished_at, created_at) > now() - interval '7 days'
order by id desc limit @limit`
	sqlImportsUntold = `
select (select count(*) from import where state in ('running', 'failed')) - (select count(*) from (` + sqlImportsToTell + `) told)`
)

// ImportsToTell are the imports that run, or that failed within the last week,
// newest first and at most limit; more counts those that run or failed besides.
func (s *Store) ImportsToTell(ctx context.Context, limit int) (list []ImportRun, more int64, err error) {
	args := pgx.NamedArgs{"limit": limit}
	rows, err := s.pool.Query(ctx, sqlImportsToTell, args)
	if err != nil {
		return nil, 0, fmt.Errorf("list imports: %w", err)
	}
	if list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ImportRun]); err == nil {
		err = s.pool.QueryRow(ctx, sqlImportsUntold, args).Scan(&more)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list imports: %w", err)
	}
	return list, more, nil
}
