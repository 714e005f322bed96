package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluicehub/sluice/pim"
)

// Marked counts what a fan-out step did.
type Marked struct {
	Taken int // outbox rows, or products of a channel's first marking
	// Listings are the marked listings by the drain that has them.
	Listings map[Consumer]int
	// Wake are those of the drains that may send now.
	Wake []Consumer
	// More: some channel has products still to be marked for it.
	More bool
	// Derived: products that have their assets and texts looked at.
	Derived int
}

// sqlFanout is hop two: it takes outbox rows, groups them by product (an import
// leaves up to three rows of each: of the product, its prices and its stock), lets a
// model's change touch its variants, also those below its sub-models, and marks the listings of every channel
// and lane that the change touches. Rows are written in the order in which
// all lock them: product, channel, lane. Holding the consumer's row keeps the
// fence shut until commit. A listing is dirty since the change was made: were
// this statement lost in a crash and done again, what was sent in between would
// else not be in doubt. What is sold out goes first, and somebody's edit before
// the bulk of an import or a new channel; what is not sold out any more goes as
// what has changed that. A ticket that is out is asked for when it was to be:
// what is wanted meanwhile waits for its end. What leaves the channel goes as what
// is sold out, for where it is told so it does not wait for its content. A parent's
// prices and stock are its own, but one that comes back, of which a row has content
// and offer together, brings its variants' along: of theirs may have been told that
// none is left, which their contents need not have come to know.
const sqlFanout = `
with fence as (
    select from consumer where kind = 'fanout' and channel_id = 0 and lane = 0 and epoch = @epoch and not released for key share
),
ahead as ( -- without a join, which a plan for few rows makes of loops in a loop
    select place, dense_rank() over (order by first) as nth
    from (select place, min(n) over (partition by product_id) as first
          from (select ctid as place, product_id, row_number() over (order by priority desc, id) as n
                from outbox where @only::bigint = 0 or id = @only order by priority desc, id limit @limit * 3) o) o
),
taken as (
    delete from outbox where ctid = any(array(select place from ahead where nth <= @limit)) and exists (select from fence)
    returning product_id, lanes, priority, at, channel_id
),
touched as (
    select product_id, bit_or(lanes) as lanes, max(priority) as priority, min(at) as at, bool_or(gone) as gone,
           case when bool_and(channel_id is not null) then array_agg(channel_id) end as channels, -- null: all
           max(case when priority < 2 then priority else (channel_id is null)::int end) as beside, -- where it is not sold out
           array(select w.channel_id from product p join publication w on w.product_id in ` + selfAndAbove + ` and ` + windowClosed + ` where p.id = t.product_id) as closed
    from (
        select t.product_id, t.lanes, t.priority, t.at, t.channel_id, p.deleted_at is not null or not p.enabled or ` + disabledAbove + ` as gone
        from taken t join product p on p.id = t.product_id
        union all
        select v.id, case when t.lanes & 3 = 3 then t.lanes else t.lanes & ~2 end, least(t.priority, 1), t.at, t.channel_id, not v.above
        from taken t cross join lateral (` + variantsBelow + `) v where t.lanes & ~2 <> 0
    ) t group by product_id
),
marked as (
    insert into listing as l (channel_id, lane, product_id, dirty_at, due_at, priority)
    select c.id, lane.lane, t.product_id, t.at,
           case when q.priority = 2 then now() else now() + c.debounce * interval '1 second' end, q.priority
    from channel c cross join (values (1::smallint), (2::smallint), (4::smallint)) lane (lane) cross join touched t
    cross join lateral (select t.product_id, c.id as channel_id) l
    cross join lateral (select t.gone or c.id = any(t.closed) as gone) g
    cross join lateral (select case when lane.lane = 2 and g.gone then 2 when t.priority < 2 or lane.lane = 2 and ` + soldOut + ` then t.priority else t.beside end::smallint as priority) q
    where c.deleted_at is null and (t.channels is null or c.id = any(t.channels))
      and ((t.lanes & 1 <> 0 and c.marks_content & lane.lane <> 0) or (t.lanes & 2 <> 0 and c.marks_offer & lane.lane <> 0)
           or (t.lanes & 4 <> 0 and c.marks_media & lane.lane <> 0) or (t.lanes & 8 <> 0 and c.marks_tree & lane.lane <> 0)
           or (t.lanes & 16 <> 0 and c.marks_records & lane.lane <> 0) or (t.lanes & 32 <> 0 and c.marks_associations & lane.lane <> 0)
           or (t.lanes & 64 <> 0 and (c.marks_content | c.marks_offer | c.marks_media) & lane.lane <> 0
               and exists (select from publication w join product p on p.id = t.product_id where w.product_id in ` + selfAndAbove + ` and w.channel_id = c.id)
               and (lane.lane = 1 or coalesce((select true from listing x where x.product_id = t.product_id and x.channel_id = c.id and x.lane = lane.lane limit 1), false)))
           or (t.lanes & 65 <> 0 and lane.lane = 2 and (c.marks_content | c.marks_offer | c.marks_media) & 2 <> 0 and c.policy ->> 'withdrawal' = 'zero_stock' and g.gone))
    order by t.product_id, c.id, lane.lane
    on conflict (product_id, channel_id, lane) do update set
        want = l.want + 1, dirty = true,
        dirty_at = case when l.dirty then l.dirty_at else excluded.dirty_at end,
        due_at = case when not l.dirty then excluded.due_at when l.token is not null then l.due_at else least(l.due_at, excluded.due_at) end,
        priority = case when not l.dirty or l.priority = 2 and not ` + soldOut + ` then excluded.priority else greatest(l.priority, excluded.priority) end
    returning channel_id, lane, due_at, ` + turn + ` as turn
),
derived as (
    insert into derive as d (product_id, due_at)
    select t.product_id, case when max(t.priority) >= 1 then now() - interval '1 hour' else now() end
    from taken t join product p on p.id = t.product_id where t.channel_id is null and (select derives <> 0 from catalogue)
    group by 1 having bit_or(t.lanes) & (select derives | (derives >> 3) from catalogue) <> 0 order by 1
    on conflict (product_id) do update set want = d.want + 1, due_at = least(d.due_at, excluded.due_at)
    returning 1
)
select (select count(*) from taken), exists (select from fence), exists (select from channel where mark_after is not null and deleted_at is null),
       (select count(*) from derived), m.*
from (select) one left join (` + markedByDrain + `) m on true`

// variantsBelow are the variants that stand below the product of t, and whether it is enabled. Each is found
// by its parent's key: offset 0 is a fence to the planner, which would else read all variants
// there are for each row that was taken, where it expects a few of either.
const variantsBelow = `
select v.id, v.sku, p.enabled as above from product p cross join lateral (select id, sku from product v where v.parent_id = p.id and v.deleted_at is null offset 0) v
where p.id = t.product_id
union all
select v.id, v.sku, p.enabled from product p cross join lateral (select id from product m where m.parent_id = p.id and m.family_variant is not null offset 0) m
cross join lateral (select id, sku from product v where v.parent_id = m.id and v.deleted_at is null offset 0) v
where p.id = t.product_id and p.family_variant is not null`

// disabledAbove: a model above product p is disabled, below which p may have been
// moved just now.
const disabledAbove = `exists (select from product m where m.id = p.parent_id and (not m.enabled or exists (select from product r where r.id = m.parent_id and not r.enabled)))`

// markedByDrain counts marked listings, and tells which drains may send now:
// to wake those of a paused, throttled or broken channel is of no use.
const markedByDrain = `
select m.channel_id, m.lane, count(*), bool_or(c.enabled and coalesce(c.throttled_until, '-infinity') <= now()
       and coalesce(c.next_probe_at, '-infinity') <= now() and m.due_at <= now() and ` + hasTurn + `)
from marked m cross join lateral (select m.turn) q join channel c on c.id = m.channel_id
left join consumer k on k.kind = 'drain' and k.channel_id = m.channel_id and k.lane = m.lane group by 1, 2`

// FanOut works off, under the lease, the outbox rows of up to limit products, at most
// three times as many as that. Taken 0: there was nothing to do; less than limit: nothing
// is left.
func (s *Store) FanOut(ctx context.Context, l Lease, limit int) (Marked, error) {
	return s.mark(ctx, s.work, sqlFanout, pgx.NamedArgs{"epoch": l.Epoch, "limit": limit, "only": 0})
}

const sqlFirstOut = `select id from outbox order by priority desc, id limit 1`

// FanOutOne works off the first outbox row, and names it: an error that
// IsPoison is that row's. 0: there is none.
func (s *Store) FanOutOne(ctx context.Context, l Lease) (row int64, m Marked, err error) {
	err = s.work.QueryRow(ctx, sqlFirstOut).Scan(&row)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, m, nil
	}
	if err != nil {
		return 0, m, fmt.Errorf("look for the first change: %w", err)
	}
	m, err = s.mark(ctx, s.work, sqlFanout, pgx.NamedArgs{"epoch": l.Epoch, "limit": 1, "only": row})
	return row, m, err
}

func (s *Store) mark(ctx context.Context, pool *pgxpool.Pool, sql string, args pgx.NamedArgs) (Marked, error) {
	out := Marked{Listings: map[Consumer]int{}}
	rows, err := pool.Query(ctx, sql, args)
	if err != nil {
		return out, fmt.Errorf("mark listings: %w", err)
	}
	var (
		fence   bool
		channel *int64
		lane    *int16
		n       *int
		awake   *bool
	)
	_, err = pgx.ForEachRow(rows, []any{&out.Taken, &fence, &out.More, &out.Derived, &channel, &lane, &n, &awake}, func() error {
		if !fence {
			return ErrFenced
		}
		if channel != nil {
			c := Consumer{Kind: Drain, Channel: pim.ChannelID(*channel), Lane: pim.Lane(*lane)}
			out.Listings[c] = *n
			if *awake {
				out.Wake = append(out.Wake, c)
			}
		}
		return nil
	})
	if err != nil {
		return out, fmt.Errorf("mark listings: %w", err)
	}
	return out, nil
}

const sqlPoison = `
with fence as (
    select from consumer where kind = 'fanout' and channel_id = 0 and lane = 0 and epoch = @epoch and not released for key share
),
taken as (
    delete from outbox where id = @row and exists (select from fence)
    returning id, product_id, lanes, priority
)
insert into outbox_poison (id, product_id, lanes, priority, error) select id, product_id, lanes, priority, @error from taken`

// SetAside moves an outbox row, which fan-out cannot digest, out of the way, for
// people to look at.
func (s *Store) SetAside(ctx context.Context, l Lease, row int64, cause error) error {
	_, err := s.work.Exec(ctx, sqlPoison, pgx.NamedArgs{"epoch": l.Epoch, "row": row, "error": storable(cause.Error())})
	if err != nil {
		return fmt.Errorf("set an outbox row aside: %w", err)
	}
	return nil
}

// IsPoison reports whether err comes from the rows of a statement rather than
// from the database's state: the same rows would fail again. Rows that another
// writer was faster with are looked at anew, and then told what is wrong.
func IsPoison(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || lostRace(err) {
		return false
	}
	switch pg.Code[:2] {
	case "22", "23", "P0", "XX": // data, constraint, raised, internal
		return true
	}
	return false
}

// sqlMarkChannel marks the next products of a channel that is new, or that
// shall look at everything again. A lane that a product has nothing for is not
// marked unless it was before. With mark_anew what was acknowledged is forgotten,
// of tickets, too, and contents begin a new life; what was withdrawn stays so,
// unless it is 2, and what the target may have kept of it is not forgotten. The last step, which finds fewer products than it could take,
// ends that.
const sqlMarkChannel = `
with fence as (
    select from consumer where kind = 'fanout' and channel_id = 0 and lane = 0 and epoch = @epoch and not released for key share
),
c as (
    select * from channel where mark_after is not null and deleted_at is null and exists (select from fence)
    order by mark_anew desc, id limit 1 for no key update -- those that send nothing meanwhile first
),
span as (
    select p.id, p.parent_id, p.media_rev, p.deleted_at from product p
    where p.id > (select mark_after from c) order by p.id limit @limit
),
moved as (
    update channel set mark_after = (select max(id) from span), mark_anew = case when (select count(*) from span) >= @limit then mark_anew else 0 end
    where id = (select id from c)
),
marked as (
    insert into listing as l (channel_id, lane, product_id)
    select c.id, lane.lane, p.id
    from c cross join (values (1::smallint), (2::smallint), (4::smallint)) lane (lane) cross join span p
    where (lane.lane = 1 and c.marks_content & 1 <> 0 and (p.deleted_at is null or exists (
               select from listing o where o.channel_id = c.id and o.lane = 1 and o.product_id = p.id)))
       or ((c.marks_content | c.marks_offer | c.marks_media) & lane.lane & 6 <> 0 and p.deleted_at is null and (
               (c.marks_content & lane.lane <> 0)
               or (lane.lane = 2 and exists (select from product_offer o where o.product_id = p.id))
               or (lane.lane = 4 and (p.media_rev > 0 or exists (select from product pp left join product root on root.id = pp.parent_id where pp.id = p.parent_id and pp.media_rev + coalesce(root.media_rev, 0) > 0)))))
    order by p.id, c.id, lane.lane
    on conflict (product_id, channel_id, lane) do update set
        want = l.want + 1, dirty = true,
        dirty_at = case when l.dirty then l.dirty_at else excluded.dirty_at end,
        due_at = case when not l.dirty then excluded.due_at when l.token is not null then l.due_at else least(l.due_at, excluded.due_at) end,
        priority = case when l.dirty then l.priority else 0 end,
        acked_hash = case when (select mark_anew from c) <= (l.status is not distinct from 'withdrawn')::int or l.lane <> 1 and l.status = 'none' and exists (
            select from listing o where o.product_id = l.product_id and o.channel_id = l.channel_id and o.lane = 1 and o.status = 'withdrawn') then l.acked_hash end,
        sent_hash = case when (select mark_anew from c) = 0 then l.sent_hash end,
        born = case when (select mark_anew from c) = 0 then l.born else -abs(l.born) end
    returning channel_id, lane, due_at, ` + turn + ` as turn
)
select (select count(*) from span) + (select count(*) from c), exists (select from fence), exists (select from c), 0, m.*
from (select) one left join (` + markedByDrain + `) m on true`

// MarkChannel marks the listings of up to limit products for a channel that
// asked for it. Taken 0: no channel does.
func (s *Store) MarkChannel(ctx context.Context, l Lease, limit int) (Marked, error) {
	return s.mark(ctx, s.pool, sqlMarkChannel, pgx.NamedArgs{"epoch": l.Epoch, "limit": limit})
}

// sqlPriceWindows queues the products of which a price began or ceased to be
// valid since the last look.
const sqlPriceWindows = `
with c as (select priced_until from catalogue for update),
moved as (update catalogue set priced_until = greatest(priced_until, now())),
due as ( -- the bounds at infinity are the indexes' own: without them all prices would be read
    select p.product_id from price p, c where p.valid_from > '-infinity' and p.valid_from > c.priced_until and p.valid_from <= now()
    union
    select p.product_id from price p, c where p.valid_to < 'infinity' and p.valid_to > c.priced_until and p.valid_to <= now()
),
queued as (insert into outbox (product_id, lanes) select product_id, 2 from due order by 1)
select count(*) from due`

// OpenPriceWindows queues what price windows changed since it was last called,
// and says how many products these are.
func (s *Store) OpenPriceWindows(ctx context.Context) (n int, err error) {
	if err := s.pool.QueryRow(ctx, sqlPriceWindows).Scan(&n); err != nil {
		return 0, fmt.Errorf("look at price windows: %w", err)
	}
	if n > 0 {
		s.nudged()
	}
	return n, nil
}
