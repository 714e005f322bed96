package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Watched is how a channel fares, as far as somebody may have to know.
type Watched struct {
	Channel   pim.ChannelID
	Code      pim.ChannelCode
	Policy    pim.Policy
	Enabled   bool
	Deleted   bool
	Fails     int
	Hold      string // why it rests
	LastError string
	Marking   bool // it sends nothing until it is marked anew
	// Due is for how long the oldest listing of each lane, in the order of
	// pim.AllLanes, that could be sent has waited; 0: there is none.
	Due [3]time.Duration
	// Rejected products, as many as it takes to tell whether these are too many,
	// and all there are, about.
	Rejected, Products int64
}

// AlertState is an alert on its way.
type AlertState struct {
	ID        int64 // 0: a new one
	Channel   pim.ChannelID
	Code      pim.ChannelCode
	Kind      pim.AlertKind
	Since     time.Time
	WellSince *time.Time // nil: it was wrong when last looked at
	RaisedAt  *time.Time // nil: nobody was told
	ClearedAt *time.Time
	Detail    string
}

// AlertChange is what becomes of an alert.
type AlertChange struct {
	AlertState
	Drop   bool   // it was never told, and is over
	Notice []byte // not nil: what those who want to know are told
}

const (
	sqlTurn = `
update watch set next_at = now() + @every::interval
where one = (select one from watch where next_at <= now() for update skip locked) returning now()`

	// sqlWatched looks at the heads of the queues: of each turn, what was due first. Of what is rejected it reads so
	// much that it has more products than may be, however many lanes they have.
	sqlWatched = `
select c.id, c.code, c.policy, c.enabled, c.deleted_at is not null, c.fails, coalesce(c.hold, ''), coalesce(c.last_error, ''), c.mark_anew <> 0,
    array(select coalesce(extract(epoch from now() - (
        select min(greatest(l.due_at, l.dirty_at)) from (values (0::smallint), (1), (2)) q (turn) cross join lateral (
            select due_at, dirty_at from listing l where l.channel_id = c.id and l.lane = lane.lane and l.dirty and ` + turn + ` = q.turn and l.due_at <= now()
            order by l.due_at limit 200) l)), 0)::float8 from (values (1), (2), (4)) lane (lane) order by lane.lane),
    (select count(distinct product_id) from (
        select product_id from listing l where l.channel_id = c.id and not l.dirty and l.error is not null
        limit least(100000, 1000 + 3 * greatest(
            coalesce((c.policy #>> '{alerts,rejected}')::float8, @rejected), (c.policy #>> '{alerts,rejected_share}')::float8 * n.products))::bigint) r),
    n.products
from channel c
cross join (select case when reltuples > 20000 then reltuples::bigint else (select count(*) from product where deleted_at is null) end as products
            from pg_class where oid = 'product'::regclass) n
where c.deleted_at is null or exists (select from alert a where a.channel_id = c.id and a.cleared_at is null)
order by c.id`

	alertColumns = `a.id, a.channel_id, coalesce((select c.code from channel c where c.id = a.channel_id), ''), a.kind, a.since, a.well_since, a.raised_at, a.cleared_at, a.detail`

	sqlOpenAlerts = `select ` + alertColumns + ` from alert a where a.cleared_at is null order by a.id for update`
	sqlNewAlert   = `
insert into alert (channel_id, kind, since, well_since, raised_at, cleared_at, detail)
values (@channel, @kind, @since, @well, @raised, @cleared, @detail)`
	sqlChangeAlert = `update alert set well_since = @well, raised_at = @raised, cleared_at = @cleared, detail = @detail where id = @id`
	sqlDropAlert   = `delete from alert where id = @id`
	sqlTell        = `
insert into notice (notifier, body)
select code, @body from notifier
where enabled and (channels = '{}' or @code = any(channels)) and (kinds = '{}' or @kind = any(kinds)) order by code`
	sqlForgetAlerts = `delete from alert where cleared_at < now() - interval '30 days'`
)

// Watch looks after all channels, if it is anybody's turn to: of all processes,
// one does so each time that every has passed. judge says, of how the channels
// fare and of the alerts that are open, what becomes of these; that and what is
// told of it are stored as one. It gives false when it was nobody's turn.
func (s *Store) Watch(ctx context.Context, every time.Duration, judge func(now time.Time, channels []Watched, open []AlertState) ([]AlertChange, error)) (turn bool, err error) {
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		var now time.Time
		err := tx.QueryRow(ctx, sqlTurn, pgx.NamedArgs{"every": every}).Scan(&now)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		turn = true
		rows, err := tx.Query(ctx, sqlWatched, pgx.NamedArgs{"stale": pim.Alerts{}.Stale().Seconds(), "rejected": float64(pim.RejectedMost)})
		if err != nil {
			return err
		}
		channels, err := pgx.CollectRows(rows, scanWatched)
		if err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, sqlOpenAlerts); err != nil {
			return err
		}
		open, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AlertState])
		if err != nil {
			return err
		}
		changes, err := judge(now, channels, open)
		if err != nil || len(changes) == 0 {
			return err
		}
		b := &pgx.Batch{}
		for i := range changes {
			c := &changes[i]
			args := pgx.NamedArgs{
				"id": c.ID, "channel": c.Channel, "kind": string(c.Kind), "since": c.Since, "well": c.WellSince, "raised": c.RaisedAt, "cleared": c.ClearedAt, "detail": storable(c.Detail),
			}
			switch {
			case c.Drop:
				b.Queue(sqlDropAlert, args)
			case c.ID == 0:
				b.Queue(sqlNewAlert, args)
			default:
				b.Queue(sqlChangeAlert, args)
			}
			if c.Notice != nil {
				b.Queue(sqlTell, pgx.NamedArgs{"body": json.RawMessage(c.Notice), "code": string(c.Code), "kind": string(c.Kind)})
			}
		}
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return turn, fmt.Errorf("look after the channels: %w", err)
	}
	return turn, nil
}

func scanWatched(r pgx.CollectableRow) (w Watched, err error) {
	var due []float64
	err = r.Scan(&w.Channel, &w.Code, &w.Policy, &w.Enabled, &w.Deleted, &w.Fails, &w.Hold, &w.LastError, &w.Marking, &due, &w.Rejected, &w.Products)
	for i := range min(len(due), len(w.Due)) {
		w.Due[i] = max(0, time.Duration(due[i]*float64(time.Second)))
	}
	return w, err
}

const sqlAlerts = `
select ` + alertColumns + ` from alert a
where a.raised_at is not null and (a.cleared_at is null or @cleared::boolean) and (@after::bigint = 0 or a.id < @after)
  and (@channel = '' or a.channel_id in (select id from channel where code = @channel))
order by a.id desc limit @limit`

// Alerts reads one page of the alerts that were told, newest first, and the
// cursor of the next: of a channel, or of all for ""; with those that are over
// for a month at most, or without.
func (s *Store) Alerts(ctx context.Context, channel pim.ChannelCode, cleared bool, page Page) (list []pim.Alert, next string, err error) {
	after := int64(0)
	if page.After != "" {
		if after, err = cursor(page.After); err != nil {
			return nil, "", err
		}
	}
	rows, err := s.pool.Query(ctx, sqlAlerts, pgx.NamedArgs{"channel": channel, "cleared": cleared, "after": after, "limit": page.limit() + 1})
	if err != nil {
		return nil, "", fmt.Errorf("list alerts: %w", err)
	}
	states, err := pgx.CollectRows(rows, pgx.RowToStructByPos[AlertState])
	if err != nil {
		return nil, "", fmt.Errorf("list alerts: %w", err)
	}
	if len(states) > page.limit() {
		states = states[:page.limit()]
		next = fmt.Sprint(states[len(states)-1].ID)
	}
	for i := range states {
		list = append(list, states[i].Alert())
	}
	return list, next, nil
}

// Alert is the alert for people. It must have been raised.
func (a *AlertState) Alert() pim.Alert {
	out := pim.Alert{ID: a.ID, Channel: a.Code, Kind: a.Kind, Since: a.Since, RaisedAt: *a.RaisedAt, ClearedAt: a.ClearedAt, Detail: a.Detail}
	out.Tell()
	return out
}

const sqlAlertCounts = `select kind, count(*) from alert where raised_at is not null and cleared_at is null group by 1`

// AlertCounts counts the alerts that are open and told, by kind.
func (s *Store) AlertCounts(ctx context.Context) (map[pim.AlertKind]int64, error) {
	rows, err := s.pool.Query(ctx, sqlAlertCounts)
	if err != nil {
		return nil, fmt.Errorf("count alerts: %w", err)
	}
	counts := map[pim.AlertKind]int64{}
	var (
		kind pim.AlertKind
		n    int64
	)
	_, err = pgx.ForEachRow(rows, []any{&kind, &n}, func() error { counts[kind] = n; return nil })
	return counts, err
}
