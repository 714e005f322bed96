package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Paced is what a process finished of one lane since it last said so.
type Paced struct {
	Channel pim.ChannelID
	Lane    pim.Lane
	Done    int64 // listings that need nothing more
	Refused int64 // of those, parked
	// Requests that were made for them, and to ask what became of them.
	Requests int64
}

const (
	sqlPace = `
insert into pace as p (channel_id, lane, minute, done, refused, requests)
select channel, lane, date_trunc('minute', now()), done, refused, requests
from unnest(@channels::bigint[], @lanes::smallint[], @done::bigint[], @refused::bigint[], @requests::bigint[]) n (channel, lane, done, refused, requests) order by 1, 2
on conflict (channel_id, lane, minute) do update set
    done = p.done + excluded.done, refused = p.refused + excluded.refused, requests = p.requests + excluded.requests`
	// sqlForgetPace leaves each lane the end of its last spell of work, which
	// a closed window or a used up quota may have ended long ago.
	sqlForgetPace = `
delete from pace p where minute < now() - interval '6 hours'
  and minute < (select max(minute) from pace l where l.channel_id = p.channel_id and l.lane = p.lane) - interval '15 minutes'`
)

// Pace adds to what lanes finished in this minute.
func (s *Store) Pace(ctx context.Context, list []Paced) error {
	channels, lanes, done, refused, requests := make([]int64, len(list)), make([]int16, len(list)), make([]int64, len(list)), make([]int64, len(list)), make([]int64, len(list))
	for i, p := range list {
		channels[i], lanes[i], done[i], refused[i], requests[i] = int64(p.Channel), int16(p.Lane), p.Done, p.Refused, p.Requests
	}
	if _, err := s.work.Exec(ctx, sqlPace, pgx.NamedArgs{"channels": channels, "lanes": lanes, "done": done, "refused": refused, "requests": requests}); err != nil {
		return fmt.Errorf("note what lanes finished: %w", err)
	}
	return nil
}

// PaceMinute is what a lane finished within one minute.
type PaceMinute struct {
	Began time.Time // about when the first was
	Ended time.Time // the minute's end
	Done  int64
	// Requests were made for them.
	Requests int64
}

// Backlog is what a channel has before it.
type Backlog struct {
	Now  time.Time // the database's clock
	Used int64     // requests that were granted within the quota's day that began at Day
	Day  time.Time
	// Lanes are content, offer and media.
	Lanes []LaneBacklog
}

// LaneBacklog is what a lane has before it, and behind it.
type LaneBacklog struct {
	Lane    pim.Lane
	Due     int64         // could be sent now, as far as the listing itself is concerned
	Later   int64         // wait for their time: after a failure, or to be asked for
	Tickets int64         // of all these, those that the target has taken and not answered
	Waiting int64         // wait for their content to be there
	Wait    time.Duration // how long the lane as a whole waits yet; 0: it does not
	WaitFor string
	Minutes []PaceMinute // oldest first; without those in which nothing was finished
}

const (
	sqlBacklog = `
select lane.lane, count(*) filter (where l.due_at <= now()), count(*) filter (where l.due_at > now() and l.due_at < 'infinity'),
       count(*) filter (where l.token is not null), count(*) filter (where l.due_at = 'infinity'),
       coalesce(max(extract(epoch from k.wait_until - now())), 0)::float8, coalesce(max(k.wait_for), '')
from (values (1::smallint), (2::smallint), (4::smallint)) lane (lane)
join consumer k on k.kind = 'drain' and k.channel_id = @channel and k.lane = lane.lane
left join listing l on l.channel_id = @channel and l.lane = lane.lane and l.dirty
group by 1 order by 1`
	// sqlPaced is sqlBacklog without a look at any listing.
	sqlPaced = `
select lane, 0::bigint, 0::bigint, 0::bigint, 0::bigint, coalesce(extract(epoch from wait_until - now()), 0)::float8, coalesce(wait_for, '')
from consumer where kind = 'drain' and channel_id = @channel order by lane`
	sqlMinutes = `
select lane, began, minute + interval '1 minute', done, requests from pace where channel_id = @channel order by lane, minute`
	sqlQuotaUsed = `
select now(), coalesce(f.used, 0), coalesce(f.day, 'epoch') from (select) one left join flow f on f.channel_id = @channel`
)

// Backlog reads what a channel's lanes have before and behind them. It reads each waiting listing: it is no question for every second.
func (s *Store) Backlog(ctx context.Context, channel pim.ChannelID) (*Backlog, error) {
	return s.backlog(ctx, channel, sqlBacklog)
}

// Paced is Backlog without the numbers of listings, which it does not read.
func (s *Store) Paced(ctx context.Context, channel pim.ChannelID) (*Backlog, error) {
	return s.backlog(ctx, channel, sqlPaced)
}

func (s *Store) backlog(ctx context.Context, channel pim.ChannelID, sql string) (*Backlog, error) {
	out := &Backlog{}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, sqlQuotaUsed, pgx.NamedArgs{"channel": channel}).Scan(&out.Now, &out.Used, &out.Day); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, sql, pgx.NamedArgs{"channel": channel})
		if err != nil {
			return err
		}
		out.Lanes, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (b LaneBacklog, err error) {
			var (
				lane int16
				wait float64
			)
			err = r.Scan(&lane, &b.Due, &b.Later, &b.Tickets, &b.Waiting, &wait, &b.WaitFor)
			b.Lane = pim.Lane(lane)
			b.Wait = max(0, time.Duration(wait*float64(time.Second)))
			return b, err
		})
		if err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, sqlMinutes, pgx.NamedArgs{"channel": channel}); err != nil {
			return err
		}
		var (
			lane int16
			m    PaceMinute
		)
		_, err = pgx.ForEachRow(rows, []any{&lane, &m.Began, &m.Ended, &m.Done, &m.Requests}, func() error {
			for i := range out.Lanes {
				if l := &out.Lanes[i]; l.Lane == pim.Lane(lane) {
					l.Minutes = append(l.Minutes, m)
				}
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the backlog of channel %d: %w", channel, err)
	}
	return out, nil
}
