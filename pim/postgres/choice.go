package postgres

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ListingChoice names listings of one channel for a command on them: those that
// fit all of what it says. Zero fields say nothing.
type ListingChoice struct {
	Channel  pim.ChannelCode
	SKUs     []pim.SKU // 1000 at most
	Family   string
	Category string // with those of the categories below it
	Lane     pim.Lane
	State    pim.ListingState
	Issue    string      // code of an issue that it has
	Updated  time.Time   // its product was changed since
	Drifted  bool        // its target was found to hold something else
	Where    *pim.Filter // on its product, deleted ones included
}

// Whole reports whether c is all of the channel's listings.
func (c *ListingChoice) Whole() bool {
	return len(c.SKUs) == 0 && c.Family == "" && c.Category == "" && c.Lane == 0 && c.State == "" && c.Issue == "" && c.Updated.IsZero() && !c.Drifted && c.Where == nil
}

// choiceStep is how many products one statement of a command looks at: it holds
// no lock for long, since fan-out waits for whoever locks listings.
const choiceStep = 2000

// chosen picks and locks, in everybody's order, the listings of span that fit. A
// filter's condition stands between its halves.
const (
	chosen     = chosenFrom + chosenEnd
	chosenFrom = `
picked as (
    select l.product_id, l.channel_id, l.lane
    from span p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
        join listing l on l.product_id = p.id and l.channel_id = (select id from c)
    where (@family = '' or p.family = @family) and ` + inCategory + ` and p.updated_at >= @updated
      and (@lane::smallint = 0 or l.lane = @lane) and (@state = '' or ` + stateOf + ` = @state)
      and (@issue = '' or l.issues @> jsonb_build_array(jsonb_build_object('code', @issue::text)))
      and (not @parked or not l.dirty and l.error is not null)
      and (not @drifted or exists (select from drift d where (d.channel_id, d.product_id, d.lane) = (l.channel_id, l.product_id, l.lane)))`
	chosenEnd = `
    order by l.product_id, l.channel_id, l.lane for update of l
),`
)

// Which products a step looks at: the next ones, those of a list, those with
// parked listings, or those with drift.
const (
	spanNext = `
span as (select * from product where id > @after order by id limit @limit),`
	spanListed = `
span as (
    select p.* from (select distinct unnest(@skus::text[])) s (sku)
    cross join lateral (select * from product where sku = s.sku offset 0) p -- by its index, whatever the statistics say
    where p.id > @after order by p.id limit @limit
),`
	spanParked = `
span as (
    select p.* from (
        select distinct l.product_id as id from listing l
        where l.channel_id = (select id from c) and not l.dirty and l.error is not null and l.product_id > @after order by 1 limit @limit
    ) l join product p using (id)
),`
	spanDrifted = `
span as (
    select p.* from (
        select distinct d.product_id as id from drift d where d.channel_id = (select id from c) and d.product_id > @after order by 1 limit @limit
    ) d join product p using (id)
),`
)

// resynced marks what was picked. It goes behind edits, as all that is sent in
// bulk, unless its SKU was named: then somebody waits for it. What is sent whatever the target is believed to hold has an empty hash,
// which no document has: it says that the target may hold something, which a
// receipt under way does not take away again (see sqlReceipt). Its content
// begins a new life, for which the other lanes wait; what was withdrawn stays so.
const resynced = `
marked as (
    update listing l set want = l.want + 1, dirty = true, dirty_at = case when l.dirty then l.dirty_at else now() end,
        due_at = case when not l.dirty then now() when l.token is not null then l.due_at else least(l.due_at, now()) end,
        priority = greatest(case when l.dirty then l.priority end, @priority::smallint),
        acked_hash = case when @full and l.status is distinct from 'withdrawn' then '' else l.acked_hash end,
        sent_hash = case when @full then null else l.sent_hash end,
        born = case when @full and l.status is distinct from 'withdrawn' then -abs(l.born) else l.born end
    from picked k where (l.product_id, l.channel_id, l.lane) = (k.product_id, k.channel_id, k.lane)
    returning 1
)
select (select count(*) from marked), (select max(id) from span), (select count(*) from span), exists (select from c)`

// retried un-parks what was picked.
const retried = `
marked as (
    update listing l set want = l.want + 1, dirty = true, dirty_at = now(), due_at = now(),
        priority = case when l.lane = 2 and ` + soldOut + ` then 2 else @priority::smallint end
    from picked k where (l.product_id, l.channel_id, l.lane) = (k.product_id, k.channel_id, k.lane)
    returning 1
)
select (select count(*) from marked), (select max(id) from span), (select count(*) from span), exists (select from c)`

const ofChannel = `with c as (select id from channel where code = @channel and deleted_at is null),`

const (
	sqlResyncNext    = ofChannel + spanNext + chosen + resynced
	sqlResyncListed  = ofChannel + spanListed + chosen + resynced
	sqlResyncParked  = ofChannel + spanParked + chosen + resynced
	sqlResyncDrifted = ofChannel + spanDrifted + chosen + resynced
	sqlRetryListed   = ofChannel + spanListed + chosen + retried
	sqlRetryParked   = ofChannel + spanParked + chosen + retried
)

// ResyncListings compares the chosen listings with what was acknowledged and
// has sent what differs; with full, all of them are sent. It says how many they
// are. It goes in steps: after an error, those before it stay marked. The error is
// a *pim.FilterError where c.Where asks for what there is not; then none is.
func (s *Store) ResyncListings(ctx context.Context, c ListingChoice, full bool) (int64, error) {
	sql, span := sqlResyncNext, spanNext
	switch {
	case len(c.SKUs) > 0:
		sql, span = sqlResyncListed, spanListed
	case c.State == pim.StateRejected:
		sql, span = sqlResyncParked, spanParked
	case c.Drifted:
		sql, span = sqlResyncDrifted, spanDrifted
	}
	n, err := s.command(ctx, command{sql, span, resynced}, c, full, false)
	if err != nil {
		return n, fmt.Errorf("resync listings of %s: %w", c.Channel, err)
	}
	return n, nil
}

// RetryListings un-parks the chosen ones of a channel's rejected listings, and
// says how many these are. It goes in steps, as ResyncListings.
func (s *Store) RetryListings(ctx context.Context, c ListingChoice) (int64, error) {
	do := command{sqlRetryParked, spanParked, retried}
	if len(c.SKUs) > 0 {
		do = command{sqlRetryListed, spanListed, retried}
	}
	n, err := s.command(ctx, do, c, false, true)
	if err != nil {
		return n, fmt.Errorf("retry listings of %s: %w", c.Channel, err)
	}
	return n, nil
}

// command is a statement on chosen listings, and of what it is made, for those
// that a filter is put into.
type command struct{ sql, span, end string }

func (s *Store) command(ctx context.Context, do command, c ListingChoice, full, parked bool) (total int64, err error) {
	if err := s.connected(ctx, c.Channel); err != nil {
		return 0, err
	}
	// What a filter asks for is compiled, and the statement not kept: see docs/decisions/023.
	given, mode := pgx.NamedArgs{}, pgx.QueryExecModeCacheStatement
	if c.Where != nil {
		where, err := s.compiled(ctx, c.Where, given)
		if err != nil {
			return 0, err
		}
		do.sql, mode = ofChannel+do.span+chosenFrom+" and "+where+chosenEnd+do.end, pgx.QueryExecModeDescribeExec
	}
	priority := PriorityBulk
	if len(c.SKUs) > 0 {
		priority = PriorityEdit
	}
	updated := any(c.Updated)
	if c.Updated.IsZero() {
		updated = "-infinity"
	}
	for after := int64(0); ; {
		var (
			marked, span int64
			last         *int64
			found        bool
		)
		// Durably: what was answered to somebody is not forgotten in a crash.
		args := pgx.NamedArgs{
			"channel": c.Channel, "skus": c.SKUs, "family": c.Family, "category": c.Category, "lane": int16(c.Lane), "state": string(c.State),
			"issue": c.Issue, "updated": updated, "after": after, "limit": choiceStep, "full": full, "parked": parked, "drifted": c.Drifted, "priority": priority,
		}
		maps.Copy(args, given)
		err := s.pool.QueryRow(ctx, do.sql, mode, args).Scan(&marked, &last, &span, &found)
		if err == nil && !found {
			err = ErrNotFound
		}
		if err != nil {
			return total, err
		}
		if total += marked; last == nil || span < choiceStep {
			return total, nil
		}
		after = *last
	}
}
