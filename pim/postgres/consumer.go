package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Consumer names one worker of a durable set. At most one holder works for it
// at a time; see jobs/consumer.go for the protocol.
type Consumer struct {
	Kind    string        `json:"kind"` // one of the constants below
	Channel pim.ChannelID `json:"channel,omitempty"`
	Lane    pim.Lane      `json:"lane,omitempty"`
}

// The kinds of consumers.
const (
	Fanout    = "fanout"
	Drain     = "drain"
	Pull      = "pull"      // reads what changed at a channel's target
	Reconcile = "reconcile" // reads back what a channel's target holds
	Import    = "import"    // Channel is the import's number
	Derive    = "derive"    // works out what a changed product's assets and texts need
	// Kinds of tasks. Lane is the shard: which lots the consumer works off.
	Fetch     = "fetch"
	Render    = "render"
	Translate = "translate"
	Generate  = "generate"
)

// Lease is the right to work for a consumer until it ends or is lost.
type Lease struct {
	Consumer
	Epoch int64
	Gen   int64
}

func (l Lease) args() named {
	return named{"kind": l.Kind, "channel": l.Channel, "lane": int16(l.Lane), "epoch": l.Epoch, "gen": l.Gen}
}

// A take is durable before it is used: were it lost in a crash, the next
// holder would get the same epoch, and the fence would stand open.
const sqlTake = `
update consumer set epoch = epoch + 1, holder = @holder, lease_until = now() + @lease::interval, released = false
where kind = @kind and channel_id = @channel and lane = @lane and gen = @gen and released
returning epoch`

// Take leases c for the job of generation gen. ErrFenced: somebody else has
// it, or the generation is over.
func (s *Store) Take(ctx context.Context, c Consumer, gen int64, holder string, lease time.Duration) (Lease, error) {
	l := Lease{Consumer: c, Gen: gen}
	args := l.args()
	args["holder"], args["lease"] = holder, lease
	err := s.pool.QueryRow(ctx, sqlTake, args).Scan(&l.Epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, ErrFenced
	}
	if err != nil {
		return l, fmt.Errorf("take %v: %w", c, err)
	}
	return l, nil
}

const sqlRenew = `
update consumer set lease_until = now() + @lease::interval
where kind = @kind and channel_id = @channel and lane = @lane and epoch = @epoch and not released and lease_until > now()`

// Renew extends l from now; ErrFenced when it is lost or has run out.
func (s *Store) Renew(ctx context.Context, l Lease, lease time.Duration) error {
	args := l.args()
	args["lease"] = lease
	tag, err := s.work.Exec(ctx, sqlRenew, args)
	if err != nil {
		return fmt.Errorf("renew %v: %w", l.Consumer, err)
	}
	if tag.RowsAffected() == 0 {
		return ErrFenced
	}
	return nil
}

const sqlRelease = `
update consumer set released = true, holder = ''
where kind = @kind and channel_id = @channel and lane = @lane and epoch = @epoch and not released`

// Release gives l back in tx, which also completes the job.
func (s *Store) Release(ctx context.Context, tx pgx.Tx, l Lease) error {
	tag, err := tx.Exec(ctx, sqlRelease, l.args())
	if err != nil {
		return fmt.Errorf("release %v: %w", l.Consumer, err)
	}
	if tag.RowsAffected() == 0 {
		return ErrFenced
	}
	return nil
}

// Due is a consumer that nobody works for, with the generation for its job.
type Due struct {
	Consumer
	Gen int64
}

// sqlExpire fences the holders whose lease ran out: the epoch shuts them out,
// the generation makes room for a new job beside their dead one, and unsure_at
// says that whatever was dirty until now may be on its way or on the target.
//
// A fence is FOR KEY SHARE, which a renewal passes and this lock does not: a
// statement of the holder that is under way is waited for until the next sweep.
const sqlExpire = `
with gone as (
    select kind, channel_id, lane from consumer where not released and lease_until < now() for update skip locked
)
update consumer k set epoch = epoch + 1, gen = gen + 1, released = true, unsure_at = now(), holder = ''
from gone where (k.kind, k.channel_id, k.lane) = (gone.kind, gone.channel_id, gone.lane)
returning k.kind, k.channel_id, k.lane`

// Expire takes the leases of vanished holders away, and names them.
func (s *Store) Expire(ctx context.Context) ([]Consumer, error) {
	rows, err := s.pool.Query(ctx, sqlExpire)
	if err != nil {
		return nil, fmt.Errorf("expire leases: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (c Consumer, err error) {
		return c, r.Scan(&c.Kind, &c.Channel, &c.Lane)
	})
}

// dueWhere: consumer k has something to do now.
const dueWhere = `
case k.kind
when 'fanout' then exists (select from outbox) or exists (select from channel where mark_after is not null and deleted_at is null)
when 'pull' then exists (select from pull p join channel c on c.id = p.channel_id and c.enabled and c.deleted_at is null
    where p.channel_id = k.channel_id and ` + pullDue + ` <= now())
when 'reconcile' then exists (select from reconcile r join channel c on c.id = r.channel_id and c.enabled and c.mark_anew = 0 and c.deleted_at is null
        and coalesce(c.throttled_until, '-infinity') <= now() and coalesce(c.next_probe_at, '-infinity') <= now()
    where r.channel_id = k.channel_id and r.due_at <= now())
when 'import' then exists (select from import i where i.id = k.channel_id and i.state = 'running')
when 'derive' then exists (select from spread) or exists (select from price_walk) or coalesce((select due_at <= now() from derive order by due_at limit 1), false)
when 'drain' then coalesce((
    select ` + laneDue + `
    from channel c where c.id = k.channel_id and c.enabled and c.mark_anew = 0 and c.deleted_at is null
      and coalesce(c.throttled_until, '-infinity') <= now() and coalesce(c.next_probe_at, '-infinity') <= now()), false)
else coalesce((
    select bool_or((select t.due_at <= now() from task t where t.kind = o.kind and t.lot = o.lot and t.state = 'waiting' order by t.due_at limit 1))
    from lot o where o.kind = k.kind and o.shard = k.lane and coalesce(o.wait_until, '-infinity') <= now()), false)
end`

const sqlDue = `
select k.kind, k.channel_id, k.lane, k.gen from consumer k where k.released and ` + dueWhere

// DueConsumers lists the consumers that have something to do now and no holder.
func (s *Store) DueConsumers(ctx context.Context) ([]Due, error) {
	rows, err := s.work.Query(ctx, sqlDue)
	if err != nil {
		return nil, fmt.Errorf("look for work: %w", err)
	}
	return pgx.CollectRows(rows, scanDue)
}

func scanDue(r pgx.CollectableRow) (d Due, err error) {
	return d, r.Scan(&d.Kind, &d.Channel, &d.Lane, &d.Gen)
}

// RunningJob is a job that River calls running, of a consumer without a holder.
type RunningJob struct {
	Due
	Job int64
}

// sqlSupersede begins a new generation for consumers whose job should long have
// taken its lease. If such a job is only slow, it finds its generation over.
const sqlSupersede = `
with dead as (
    select k.kind, k.channel_id, k.lane
    from unnest(@kinds::text[], @channels::bigint[], @lanes::smallint[], @gens::bigint[], @jobs::bigint[]) d (kind, channel_id, lane, gen, job)
    join consumer k using (kind, channel_id, lane)
    where k.gen = d.gen and k.released
      and exists (select from river_job j where j.id = d.job and j.state = 'running' and j.attempted_at < now() - @age::interval)
    for update of k skip locked
)
update consumer k set gen = gen + 1 from dead d where (k.kind, k.channel_id, k.lane) = (d.kind, d.channel_id, d.lane)
returning k.kind, k.channel_id, k.lane, k.gen`

// Supersede gives the consumers of those jobs that have run for longer than age
// a new generation, with which they may have a job beside the dead one.
func (s *Store) Supersede(ctx context.Context, jobs []RunningJob, age time.Duration) ([]Due, error) {
	kinds, lanes := make([]string, len(jobs)), make([]int16, len(jobs))
	channels, gens, ids := make([]int64, len(jobs)), make([]int64, len(jobs)), make([]int64, len(jobs))
	for i, j := range jobs {
		kinds[i], channels[i], lanes[i], gens[i], ids[i] = j.Kind, int64(j.Channel), int16(j.Lane), j.Gen, j.Job
	}
	rows, err := s.work.Query(ctx, sqlSupersede, pgx.NamedArgs{"kinds": kinds, "channels": channels, "lanes": lanes, "gens": gens, "jobs": ids, "age": age})
	if err != nil {
		return nil, fmt.Errorf("supersede dead jobs: %w", err)
	}
	return pgx.CollectRows(rows, scanDue)
}

const sqlIsDue = `
select k.kind, k.channel_id, k.lane, k.gen from consumer k
where k.kind = @kind and k.channel_id = @channel and k.lane = @lane and k.released and ` + dueWhere

// IsDue looks once more after a release; nil when there is nothing to do or
// somebody holds it.
func (s *Store) IsDue(ctx context.Context, c Consumer) (*Due, error) {
	rows, err := s.work.Query(ctx, sqlIsDue, Lease{Consumer: c}.args())
	if err != nil {
		return nil, fmt.Errorf("look for work of %v: %w", c, err)
	}
	due, err := pgx.CollectRows(rows, scanDue)
	if err != nil || len(due) == 0 {
		return nil, err
	}
	return &due[0], nil
}

const sqlWake = `
select k.kind, k.channel_id, k.lane, k.gen, k.released
from consumer k join unnest(@kinds::text[], @channels::bigint[], @lanes::smallint[]) w (kind, channel_id, lane) using (kind, channel_id, lane)`

// Wake asks of each consumer whether somebody holds it: then it is in held
// and is to be poked, else it is in idle and needs a job.
func (s *Store) Wake(ctx context.Context, cs []Consumer) (idle []Due, held []Consumer, err error) {
	kinds, channels, lanes := make([]string, len(cs)), make([]int64, len(cs)), make([]int16, len(cs))
	for i, c := range cs {
		kinds[i], channels[i], lanes[i] = c.Kind, int64(c.Channel), int16(c.Lane)
	}
	rows, err := s.work.Query(ctx, sqlWake, pgx.NamedArgs{"kinds": kinds, "channels": channels, "lanes": lanes})
	if err != nil {
		return nil, nil, fmt.Errorf("wake consumers: %w", err)
	}
	var (
		d        Due
		released bool
	)
	_, err = pgx.ForEachRow(rows, []any{&d.Kind, &d.Channel, &d.Lane, &d.Gen, &released}, func() error {
		if released {
			idle = append(idle, d)
		} else {
			held = append(held, d.Consumer)
		}
		return nil
	})
	return idle, held, err
}
