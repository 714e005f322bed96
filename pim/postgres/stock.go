package postgres

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Stock levels change by counts, which say what there is, and by deltas, which
// say what came or went. What a row makes of a level depends on what is there, so
// whoever writes a level holds the row of the product's offer, and reads under
// that, by a statement of its own. A product without an offer gets its row first
// (sqlFirstOffers). Nobody waits for those who edit the product.
//
// What a channel sells follows from levels, locations and channels. Of a change of
// one of the latter two, whoever writes levels waits until it is through, and it
// for them (sqlStockShared, sqlStockAlone): else neither would see that, by both
// together, a product is sold out.

const (
	// sqlStockShared and sqlStockAlone come first in their transactions. The number
	// is of our choice, for this alone.
	sqlStockShared = `select pg_advisory_xact_lock_shared(7240018)`
	sqlStockAlone  = `select pg_advisory_xact_lock(7240018)`

	// sqlFirstOffers comes before sqlLockOffers, so that there is a row to lock.
	sqlFirstOffers = `
insert into product_offer (product_id, rev)
select p.id, 0 from product p where p.sku = any(@sku::text[]) and p.deleted_at is null and not exists (select from product_offer o where o.product_id = p.id)
order by 1 on conflict (product_id) do nothing`
	// sqlNoOffers takes those back that came to nothing.
	sqlNoOffers = `delete from product_offer where rev = 0 and product_id = any(array(select id from product where sku = any(@sku::text[])))`
)

// sqlStock changes stock levels as one statement, as sqlPrices does prices. Of
// the rows of a batch that are of one level, it takes one in each round.
//
// A row is late where its level knows a newer count. A delta is late, too, where it
// is as old as that, which has counted it already. What was told by deltas that
// carry a stamp, and are newer than a count which comes behind them, is added to that.
//
// A product of which less is free at a location, and so little that some channel
// would show none if it sold from there only, is queued as urgent. Fan-out finds
// out which channels have none left.
const sqlStock = `
with rules as materialized (select '{}'::jsonb as rule union select policy -> 'stock' from channel where deleted_at is null and policy ? 'stock'),
input as (
    select i.at, i.location, i.delta, i.on_hand, i.reserved, i.safety, i.resets, nullif(i.message, '') as message, i.as_of, i.sequence,
           p.id as product_id, place.definition as place
    from unnest(@at::int[], @sku::text[], @location::text[], @delta::boolean[], @on_hand::bigint[], @reserved::bigint[], @safety::bigint[], @resets::boolean[],
                @message::text[], @as_of::timestamptz[], @sequence::bigint[])
        as i (at, sku, location, delta, on_hand, reserved, safety, resets, message, as_of, sequence)
    join product p on p.sku = i.sku and p.deleted_at is null
    left join location place on place.code = i.location
),
judged as (
    select i.*, c.product_id is not null as there, c.on_hand as old_on_hand, c.reserved as old_reserved, c.safety as old_safety, c.as_of as old_as_of, c.sequence as old_sequence,
           coalesce(case when i.as_of <> c.as_of then i.as_of < c.as_of
                         when i.sequence is not null and c.sequence is not null then i.sequence < c.sequence or i.delta and i.sequence = c.sequence
                         else i.delta and i.as_of = c.as_of end, false) as late,
           case when i.delta then coalesce(c.on_hand, 0) else 0 end + i.on_hand + coalesce(later.on_hand, 0) as new_on_hand,
           case when i.delta then coalesce(c.reserved, 0) else 0 end + i.reserved + coalesce(later.reserved, 0) as new_reserved,
           case when i.resets then null else coalesce(i.safety, c.safety) end as new_safety,
           case when i.delta then c.as_of else coalesce(i.as_of, c.as_of) end as new_as_of,
           case when i.delta then c.sequence when i.as_of > c.as_of then i.sequence else coalesce(i.sequence, c.sequence) end as new_sequence
    from input i left join stock c using (product_id, location)
    left join lateral (
        select sum(m.on_hand)::bigint as on_hand, sum(m.reserved)::bigint as reserved from stock_message m
        where m.product_id = i.product_id and m.location = i.location and (m.as_of is not null or m.sequence is not null)
          and case when m.as_of <> i.as_of then m.as_of > i.as_of else m.sequence > i.sequence end
    ) later on not i.delta and (i.as_of is not null or i.sequence is not null)
),
able as (
    select *, case when place is null then 'location' when late then 'late' when abs(new_on_hand) > @most then 'on_hand'
                   when new_reserved not between 0 and @most then 'reserved' end as fault
    from judged
),
said as (
    insert into stock_message (product_id, location, message, as_of, sequence, on_hand, reserved)
    select product_id, location, message, as_of, sequence, case when delta then on_hand else 0 end, case when delta then reserved else 0 end
    from able where fault is null and (message is not null or delta and (as_of is not null or sequence is not null)) order by 1, 2
    on conflict (product_id, location, message) where message is not null do nothing
    returning product_id, location, message
),
taken as (
    select * from able a where fault is null
        and (message is null or exists (select from said s where (s.product_id, s.location, s.message) = (a.product_id, a.location, a.message)))
),
fresh as (
    select * from taken where not there or (new_on_hand, new_reserved) <> (old_on_hand, old_reserved) or new_safety is distinct from old_safety
),
offers as (
    insert into product_offer as o (product_id, stock_rev) select distinct product_id, 1 from fresh order by 1
    on conflict (product_id) do update set rev = o.rev + 1, stock_rev = o.stock_rev + 1
    returning product_id, rev, stock_rev
),
put as (
    insert into stock (product_id, location, on_hand, reserved, safety, as_of, sequence)
    select product_id, location, new_on_hand, new_reserved, new_safety, new_as_of, new_sequence from taken
    where at in (select at from fresh) or (new_as_of, new_sequence) is distinct from (old_as_of, old_sequence) order by 1, 2
    on conflict (product_id, location) do update set on_hand = excluded.on_hand, reserved = excluded.reserved, safety = excluded.safety,
        as_of = excluded.as_of, sequence = excluded.sequence
),
told as materialized (
    select product_id, bool_or(there and free < old_free and exists (select from rules where stock_shown(free, rule) = 0)) as sold_out,
        jsonb_build_object('stock', jsonb_agg(jsonb_strip_nulls(jsonb_build_object('location', location, 'old',
            case when there then jsonb_build_object('on_hand', old_on_hand, 'reserved', old_reserved, 'safety_stock', old_safety) end,
            'new', jsonb_build_object('on_hand', new_on_hand, 'reserved', new_reserved, 'safety_stock', new_safety),
            'delta', case when delta and (on_hand, reserved) <> (0, 0) then jsonb_build_object('on_hand', on_hand, 'reserved', reserved) end,
            'message_id', message, 'as_of', as_of, 'sequence', sequence)) order by at)) as data
    from (select *, stock_free(new_on_hand, new_reserved, new_safety, place) as free, stock_free(old_on_hand, old_reserved, old_safety, place) as old_free from fresh) f
    group by product_id
),
logged as (
    insert into event (product_id, rev, lanes, type, actor, data)
    select product_id, o.rev, 2, 'stock.changed', @actor, t.data from offers o full join told t using (product_id)
),
queued as (
    insert into outbox (product_id, lanes, priority)
    select product_id, 2, case when t.sold_out then 2 else @priority::smallint end from offers o full join told t using (product_id)
)
select a.at, coalesce(o.stock_rev, po.stock_rev, 0), coalesce(a.fault, case when f.at is not null then 'changed' else '' end), a.delta,
       coalesce(case when t.at is not null then a.new_on_hand else a.old_on_hand end, 0), coalesce(case when t.at is not null then a.new_reserved else a.old_reserved end, 0),
       case when t.at is not null then a.new_as_of else a.old_as_of end, case when t.at is not null then a.new_sequence else a.old_sequence end
from able a full join taken t using (at) full join fresh f using (at) -- which are some of them; in full: see sqlEdit
full join offers o on o.product_id = a.product_id left join product_offer po on po.product_id = a.product_id`

// mostPieces bounds a stock level, as pim.CheckStock does.
const mostPieces = 1_000_000_000_000

// SetStock changes up to 1,000 stock levels, as SetPrices does prices. Rows of
// one level count one after the other, in their order; one that a later count of
// the batch makes nothing of is superseded. A row that is older than the
// level's newest count is stale and changes nothing, and a message that was
// counted before leaves the level unchanged.
func (s *Store) SetStock(ctx context.Context, actor string, rows []pim.StockRow, idem Idempotency) ([]RowResult, error) {
	b, err := s.stockBatch(ctx, actor, rows)
	if err == nil {
		err = s.batch(ctx, b, idem)
	}
	if err != nil {
		return nil, fmt.Errorf("set %d stock levels: %w", len(rows), err)
	}
	return b.results, nil
}

// stockBatch checks stock levels and makes the batch that sets the good ones.
func (s *Store) stockBatch(ctx context.Context, actor string, rows []pim.StockRow) (*offerBatch, error) {
	type placed struct {
		pim.StockRow
		at int
	}
	all := make([]placed, len(rows))
	for i := range rows {
		if rows[i].Location == "" {
			rows[i].Location = "default"
		}
		all[i] = placed{rows[i], i}
	}
	now := time.Now()
	results, good, err := judge(ctx, s, all,
		func(r placed) int { return r.at }, // none is superseded for its key alone
		func(r placed) pim.SKU { return r.SKU },
		func(schema *pim.Schema, r placed) []pim.Problem { return schema.CheckStockRow(r.StockRow, now) })
	if err != nil {
		return nil, err
	}
	good, rounds := inRounds(rows, good, results)
	n := len(good)
	var (
		sku, location, message             = make([]string, n), make([]string, n), make([]string, n)
		delta, resets                      = make([]bool, n), make([]bool, n)
		onHand, reserved, safety, sequence = make([]int64, n), make([]int64, n), make([]*int64, n), make([]*int64, n)
		asOf                               = make([]*time.Time, n)
		mayFail                            bool
	)
	for i, at := range good {
		r := &rows[at]
		sku[i], location[i], onHand[i], reserved[i], safety[i] = string(r.SKU), r.Location, r.OnHand, r.Reserved, r.SafetyStock
		delta[i], resets[i], message[i], sequence[i] = r.Delta, r.Resets, r.Message, r.Sequence
		mayFail = mayFail || r.Delta || r.Message != "" || r.AsOf != nil || r.Sequence != nil
		if r.AsOf != nil {
			t := r.AsOf.UTC().Truncate(time.Microsecond)
			asOf[i] = &t
		}
	}
	return &offerBatch{args: named{
		"at": good, "sku": sku, "location": location, "delta": delta, "on_hand": onHand, "reserved": reserved, "safety": safety, "resets": resets,
		"message": message, "as_of": asOf, "sequence": sequence, "most": int64(mostPieces), "actor": actor, "priority": int16(interactive),
	}, good: good, results: results, rounds: rounds, mayFail: mayFail}, nil
}

// inRounds takes those out of the good rows that a later one supersedes, and
// gives the places of the others among them by rounds: of each level one to a round,
// in their order, so that no round has more rows than the one before it.
func inRounds(rows []pim.StockRow, good []int32, results []RowResult) (kept []int32, rounds [][]int) {
	type level struct {
		sku      pim.SKU
		location string
	}
	covers := make(map[level]int32, len(good)) // the last row that is a count and nothing else
	for _, at := range good {
		if r := &rows[at]; !r.Delta && r.Message == "" && r.AsOf == nil && r.Sequence == nil {
			covers[level{r.SKU, r.Location}] = at
		}
	}
	before := make(map[level]int, len(good))
	kept = make([]int32, 0, len(good))
	for _, at := range good {
		r := &rows[at]
		k := level{r.SKU, r.Location}
		// What a row leaves beside the two numbers, it leaves whatever comes after it.
		if last, covered := covers[k]; covered && at < last && r.Message == "" && r.AsOf == nil && r.Sequence == nil && r.SafetyStock == nil && !r.Resets {
			results[at].Status = RowSuperseded
			continue
		}
		if before[k] == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[before[k]] = append(rounds[before[k]], len(kept))
		kept = append(kept, at)
		before[k]++
	}
	return kept, rounds
}

// only gives the batch's arguments with some of its rows alone.
func (b *offerBatch) only(places []int) named {
	args := maps.Clone(b.args)
	if all, _ := args["at"].([]int32); len(places) == len(all) {
		return args
	}
	for name, v := range args {
		switch v := v.(type) {
		case []int32:
			args[name] = those(v, places)
		case []string:
			args[name] = those(v, places)
		case []bool:
			args[name] = those(v, places)
		case []int64:
			args[name] = those(v, places)
		case []*int64:
			args[name] = those(v, places)
		case []*time.Time:
			args[name] = those(v, places)
		}
	}
	return args
}

func those[T any](list []T, places []int) []T {
	out := make([]T, len(places))
	for i, at := range places {
		out[i] = list[at]
	}
	return out
}

// faults are what sqlStock refuses a row for.
var faults = map[string]pim.Problem{
	"location": {Pointer: "/location", Code: "location.unknown", Detail: "the location is gone"},
	"on_hand":  {Pointer: "/delta", Code: "stock.range", Detail: fmt.Sprintf("on hand would not be from -%d to %d any more", int64(mostPieces), int64(mostPieces))},
	"reserved": {Pointer: "/reserved_delta", Code: "stock.range", Detail: fmt.Sprintf("reserved would not be from 0 to %d any more", int64(mostPieces))},
}

// writeStock writes the good rows of stock, in one transaction and one round trip.
func (b *offerBatch) writeStock(ctx context.Context, q querier) error {
	for _, at := range b.good {
		b.results[at].Status, b.results[at].Problems = RowRejected, []pim.Problem{unknownSKU(b.results[at].SKU)} // until it is seen
	}
	send := &pgx.Batch{}
	send.Queue(sqlStockShared)
	anew := len(b.good) > fewOffers
	if anew {
		send.Queue(sqlPlanAnew)
	}
	send.Queue(sqlFirstOffers, b.args)
	send.Queue(sqlLockOffers, b.args)
	for _, places := range b.rounds {
		if anew && len(places) <= fewOffers { // and so are all that follow
			anew = false
			send.Queue(sqlPlanKept)
		}
		send.Queue(sqlStock, b.only(places)).Query(b.readStock)
	}
	if b.mayFail {
		send.Queue(sqlNoOffers, b.args)
	}
	return q.SendBatch(ctx, send).Close()
}

// readStock fills in what became of the rows of a round.
func (b *offerBatch) readStock(rows pgx.Rows) error {
	var (
		at     int32
		rev    int64
		became string
		delta  bool
		level  StockLevel
	)
	_, err := pgx.ForEachRow(rows, []any{&at, &rev, &became, &delta, &level.OnHand, &level.Reserved, &level.AsOf, &level.Sequence}, func() error {
		r := &b.results[at]
		r.Status, r.Problems, r.Revision, r.Level = RowUnchanged, nil, rev, nil
		switch {
		case became == "changed":
			r.Status = RowChanged
		case became == "late":
			r.Status = RowStale
		case became != "":
			r.Status, r.Problems = RowRejected, []pim.Problem{faults[became]}
		}
		if delta || r.Status == RowStale {
			now := level
			if now.AsOf != nil {
				utc := now.AsOf.UTC()
				now.AsOf = &utc
			}
			r.Level = &now
		}
		return nil
	})
	return err
}

const sqlForgetMessages = `delete from stock_message where at < now() - interval '7 days'`
