package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Why a channel, or a lane of it, rests. Of a lane that rests, what is sold out
// is sent nevertheless.
const (
	HoldDown      = "down"      // the target failed
	HoldAuth      = "auth"      // the target refuses our credentials
	HoldThrottled = "throttled" // the target said so
	HoldBudget    = "budget"    // the target said that its budget is used up
	HoldQuota     = "quota"     // the day's quota is, or the lane's part of it
	HoldRate      = "rate"      // a lane's: the channel's rate is so low
	HoldWindow    = "window"    // a lane's: none is open
)

// Grant is what was asked of a channel's rate and quota.
type Grant struct {
	N    int           // requests that may be made; 0: none, for Hold
	In   time.Duration // from when on; where N is 0, when to ask again
	Hold string
}

// GrantRequest asks for up to N requests at once.
type GrantRequest struct {
	Channel pim.ChannelID
	N       int
	Rate    float64 // a second; 0: no rate
	Floor   float64 // below which the target's throttles do not take the rate
	Burst   int
	Quota   int // of the day's requests, those that the lane may have; 0: no quota
	Day     time.Time
	Rises   time.Time     // when the lane may have more of them
	Wait    time.Duration // longer than this is not waited for: nothing is granted
}

// sqlGrant keeps the rate as GCRA does (ITU-T I.371): pass_at is when what was
// granted has been made at that rate, and may lie a burst ahead. What is
// granted counts as made, whatever becomes of it.
const sqlGrant = `
with f as (
    select pass_at, share, case when @day > day then 0 else used end as used from flow where channel_id = @channel for update
),
pace as (
    select f.*, nullif(greatest(@rate::double precision * share, least(@rate, @floor::double precision)), 0) as rate from f
),
asked as (
    select p.*, greatest(p.pass_at, now()) as begins,
           greatest(0, extract(epoch from p.pass_at - now()) - coalesce((@burst - 1) / p.rate, 0))::double precision as wait,
           least(@n, case when @quota > 0 then @quota - p.used else @n end)::int as n
    from pace p
),
granted as (
    update flow set used = a.used + a.n, day = greatest(day, @day),
        pass_at = case when a.rate is null then flow.pass_at else a.begins + a.n / a.rate * interval '1 second' end
    from asked a where flow.channel_id = @channel and a.n > 0 and a.wait <= @wait
    returning 1
)
select case when exists (select from granted) then a.n else 0 end, a.n <= 0, case when a.rate is null then 0 else a.wait end, extract(epoch from @rises - now())::double precision
from asked a`

// Grant asks for requests on a channel. It is fair to nobody: who asks first has them.
func (s *Store) Grant(ctx context.Context, r GrantRequest) (Grant, error) {
	var (
		g          Grant
		used       bool
		wait, ends float64
	)
	err := s.work.QueryRow(ctx, sqlGrant, named{
		"channel": r.Channel, "n": r.N, "rate": r.Rate, "floor": r.Floor, "burst": max(r.Burst, 1), "quota": r.Quota, "day": r.Day, "rises": r.Rises, "wait": r.Wait.Seconds(),
	}).Scan(&g.N, &used, &wait, &ends)
	if err != nil {
		return g, fmt.Errorf("ask for requests on channel %d: %w", r.Channel, err)
	}
	g.In = time.Duration(wait * float64(time.Second))
	if g.N == 0 {
		if g.Hold = HoldRate; used {
			g.Hold, g.In = HoldQuota, time.Duration(ends*float64(time.Second))
		}
		g.In = max(g.In, time.Millisecond)
	}
	return g, nil
}

// Held is a lane that rests.
type Held struct {
	Lane  pim.Lane  `json:"lane"`
	For   string    `json:"for"`
	Until time.Time `json:"until"`
}

// Rests says why nothing is sent to the channel at now, and until when as far as
// that is known: one of the constants above; "" where nothing keeps it.
func (c *Channel) Rests(now time.Time) (why string, until time.Time) {
	later := func(at *time.Time) time.Time {
		if at != nil && at.After(now) {
			return *at
		}
		return time.Time{}
	}
	switch probe, pass := later(c.NextProbeAt), later(c.ThrottledUntil); {
	case c.Fails >= BreakerFails && c.Hold == HoldAuth:
		return HoldAuth, probe
	case c.Fails >= BreakerFails:
		return HoldDown, probe
	case pass.IsZero():
		return "", pass
	case c.Hold == HoldBudget, c.Hold == HoldQuota, c.Hold == HoldRate:
		return c.Hold, pass
	default:
		return HoldThrottled, pass
	}
}

const heldLanes = `
(select coalesce(json_agg(json_build_object('lane', case k.lane when 1 then 'content' when 2 then 'offer' else 'media' end, 'for', k.wait_for, 'until', k.wait_until)
     order by k.lane), '[]')
 from consumer k where k.kind = 'drain' and k.channel_id = channel.id and k.wait_until > now())`

// sqlLockLane takes the lane's row for the statement after it, whose snapshot then
// shows what who had it did: see sqlUnholdLanes.
const sqlLockLane = `select from consumer where kind = @kind and channel_id = @channel and lane = @lane for no key update`

const sqlHoldLane = `
update consumer k set wait_until = case when c.version = @version then now() + @wait::interval else k.wait_until end,
    polls_until = case when c.version = @version and @polls then now() + @wait::interval else k.polls_until end,
    wait_for = case when c.version = @version then @why else k.wait_for end
from channel c
where k.kind = @kind and k.channel_id = @channel and k.lane = @lane and k.epoch = @epoch and not k.released and c.id = k.channel_id`

// HoldLane lets the lane of l send nothing for wait but what is sold out, as the
// settings of that version of the channel want it; with polls, it does not even
// ask for what is pending. Where they were changed meanwhile it does nothing.
func (s *Store) HoldLane(ctx context.Context, l Lease, version int64, why string, wait time.Duration, polls bool) error {
	args := l.args()
	args["wait"], args["why"], args["version"], args["polls"] = wait, why, version, polls
	err := inTx(ctx, s.work, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sqlLockLane, args); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sqlHoldLane, args)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrFenced
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("hold %v: %w", l.Consumer, err)
	}
	return nil
}

const sqlRests = `
update channel set hold = @why, last_error = @text, throttled_until = greatest(throttled_until, now() + @wait::interval)
where id = @id and version = @version`

// ChannelRests keeps the channel from sending for wait, for a reason that is
// no fault of how fast it was sent; not where its settings have changed since
// that version.
func (s *Store) ChannelRests(ctx context.Context, id pim.ChannelID, version int64, why, text string, wait time.Duration) error {
	if _, err := s.work.Exec(ctx, sqlRests, named{"id": id, "version": version, "why": why, "text": storable(text), "wait": wait}); err != nil {
		return fmt.Errorf("let channel %d rest: %w", id, err)
	}
	return nil
}

// sqlUnholdLanes is for a channel whose settings or state were changed by
// people. Its consumers are locked before the channel: everybody's order. They
// are so whether they are held or not, until the change is committed: HoldLane
// else holds one meanwhile for what was wanted before, and nobody lets it go.
const sqlUnholdLanes = `
with held as (
    select k.kind, k.channel_id, k.lane from consumer k join channel c on c.id = k.channel_id and c.code = @code and c.deleted_at is null
    where k.kind = 'drain' order by k.lane for no key update of k
)
update consumer k set wait_until = null, wait_for = null, polls_until = null
from held where (k.kind, k.channel_id, k.lane) = (held.kind, held.channel_id, held.lane)`

const (
	sqlSlower = `update flow set share = greatest(0.05, share / 2) where channel_id = @id`
	sqlFaster = `update flow set share = least(1, share + 0.1) where channel_id = @id and share < 1`
)
