package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sluicehub/sluice/pim"
)

// RowStatus is what became of a row of a batch.
type RowStatus string

// The row statuses.
const (
	RowChanged    RowStatus = "changed"
	RowUnchanged  RowStatus = "unchanged"
	RowSuperseded RowStatus = "superseded" // a later row of the batch says the same key again
	RowStale      RowStatus = "stale"      // what is there is of a newer message of the sender
	RowRejected   RowStatus = "rejected"
	RowHeld       RowStatus = "held" // until somebody approves it: see pim.PriceGuard
)

// RowResult is the outcome of one row.
type RowResult struct {
	SKU      pim.SKU       `json:"sku"`
	Status   RowStatus     `json:"status" enum:"changed,unchanged,superseded,stale,rejected,held"`
	Revision int64         `json:"revision,omitempty" doc:"The product's price or stock revision after the batch"`
	Level    *StockLevel   `json:"level,omitempty" doc:"Of a delta, and of a row that is stale: the stock level as it is now, with the stamp that counts"`
	Price    *PriceNow     `json:"price,omitempty" doc:"Of a row that is stale: the price as it is now, with the stamp that counts"`
	Problems []pim.Problem `json:"problems,omitempty"`
}

// StockLevel is a stock level as the store has it.
type StockLevel struct {
	OnHand   int64 `json:"on_hand"`
	Reserved int64 `json:"reserved"`
	pim.Stamp
}

// PriceNow is a price as the store has it, for rows that are stale.
type PriceNow struct {
	Amount  string     `json:"amount,omitempty" doc:"Absent: there is no such price, it was deleted or is held"`
	ValidTo *time.Time `json:"valid_to,omitempty"`
	pim.Stamp
}

// Idempotency makes a batch safe to send again: the same key and request get
// the first answer. The zero value is off.
type Idempotency struct {
	KeyID   int64  // of the API key
	Key     string // as the client chose it
	Request []byte // hash of the request
}

// ErrKeyReused says that the idempotency key was used for another request.
var ErrKeyReused = errors.New("the idempotency key was used for another request")

// sqlLockOffers comes before sqlPrices and sqlStock, in their transaction: what
// they compare with, and write into the history as old, is then what they
// replace. A product's first offer has no row to lock yet, and nothing old: what
// stands there when prices are set came meanwhile.
const sqlLockOffers = `
select product_id from product_offer where product_id in (select id from product where sku = any(@sku::text[])) order by product_id for no key update`

// sqlPrices sets prices as one statement: the offer's revisions under its row
// lock, the events, the outbox row. Rows that change nothing touch nothing. What is
// set by hand is own; what rules make of that, or of a change of their own, is
// ruled: it has an event of its own, of the same revision, and is no change of the
// offer where it is quiet, since nothing but the rules' names has changed. A price is
// in both where rules make what is deleted by hand: what goes makes room first. What is
// there is updated, not inserted over, which would lock it first.
const sqlPrices = `
with own as (
    select i.at, i.price_list, i.currency, i.min_quantity, i.valid_from::timestamptz, i.valid_to::timestamptz, i.amount::numeric, i.gone,
           i.as_of, i.sequence, i.skip, p.id as product_id,
           case when i.price_list <> all(array(select code from price_list)) then 'price_list'
                when i.currency <> all(array(select code from currency)) then 'currency' end as gone_with -- deleted since they were checked
    from unnest(@at::int[], @sku::text[], @list::text[], @currency::text[], @quantity::int[], @from::text[], @to::text[],
                @amount::text[], @drop::boolean[], @as_of::timestamptz[], @sequence::bigint[], @skip::boolean[])
        as i (at, sku, price_list, currency, min_quantity, valid_from, valid_to, amount, gone, as_of, sequence, skip)
    join product p on p.sku = i.sku and p.deleted_at is null
    where @planned::boolean or not exists (select from price_guard) -- who does not know of guards writes nothing
),
ruled as (
    select i.product_id, i.price_list, i.currency, i.min_quantity, i.valid_from::timestamptz, i.valid_to::timestamptz, i.amount::numeric,
           string_to_array(i.rules, ' ') as rules, i.gone, i.quiet
    from unnest(@ruled::bigint[], @ruled_list::text[], @ruled_currency::text[], @ruled_quantity::int[], @ruled_from::text[], @ruled_to::text[],
                @ruled_amount::text[], @rules::text[], @ruled_drop::boolean[], @quiet::boolean[])
        as i (product_id, price_list, currency, min_quantity, valid_from, valid_to, amount, rules, gone, quiet)
    where i.gone or i.currency = any(array(select code from currency)) -- as of what is set by hand
),
fresh as (
    select i.at, product_id, price_list, currency, min_quantity, valid_from, i.valid_to, i.amount, null::text[] as rules, i.gone, false as quiet, i.as_of, i.sequence,
           c.amount as old_amount, c.valid_to as old_valid_to, c.ctid as place
    from own i left join price c using (product_id, price_list, currency, min_quantity, valid_from)
    where not i.skip and i.gone_with is null and case when i.gone then c.amount is not null and c.rules is null
                              else c.amount is null or c.rules is not null or (c.amount, c.valid_to) is distinct from (i.amount, i.valid_to) end
    union all
    select null, product_id, price_list, currency, min_quantity, valid_from, i.valid_to, i.amount, i.rules, i.gone, i.quiet, null, null, c.amount, c.valid_to, c.place
    from ruled i left join (select *, ctid as place from price where rules is not null) c using (product_id, price_list, currency, min_quantity, valid_from)
),
raised as (
    update product_offer o set rev = o.rev + 1, price_rev = o.price_rev + 1 where product_id in (select product_id from fresh where not quiet)
    returning product_id, rev, price_rev
),
first as (
    insert into product_offer as o (product_id, price_rev)
    select product_id, 1 from (select product_id from fresh where not quiet except select product_id from raised) f order by 1
    on conflict (product_id) do update set rev = o.rev + 1, price_rev = o.price_rev + 1
    returning product_id, rev, price_rev
),
offers as (select * from raised union all select * from first),
updated as ( -- where it was found: what has moved since is put
    update price c set amount = f.amount, valid_to = f.valid_to, rules = f.rules from fresh f
    where c.ctid = f.place and not f.gone and (f.rules is null or c.rules is not null)
    returning c.product_id, c.price_list, c.currency, c.min_quantity, c.valid_from
),
dropped as (
    delete from price c using fresh f where f.gone and (f.rules is null or c.rules is not null) and c.product_id = f.product_id and c.price_list = f.price_list
        and c.currency = f.currency and c.min_quantity = f.min_quantity and c.valid_from = f.valid_from
    returning 1
),
put as (
    insert into price as c (product_id, price_list, currency, min_quantity, valid_from, valid_to, amount, rules)
    select product_id, price_list, currency, min_quantity, valid_from, valid_to, amount, rules from fresh f
    where not gone and (select count(*) from dropped) is not null and not exists (select from updated u where (u.product_id, u.price_list, u.currency, u.min_quantity, u.valid_from)
        = (f.product_id, f.price_list, f.currency, f.min_quantity, f.valid_from)) -- what was there may be gone since
    order by 1, 2, 3, 4, 5
    on conflict (product_id, price_list, currency, min_quantity, valid_from)
    do update set amount = excluded.amount, valid_to = excluded.valid_to, rules = excluded.rules where excluded.rules is null or c.rules is not null
),
told as materialized ( -- prices in the order in which they come; the usual one as a text, which is parsed in a third of the time that building it takes
    select product_id, by_rules, ('{"prices":[' || string_agg(said, ',') || ']}')::jsonb as data
    from (
        select product_id, rules is not null as by_rules,
               case when (valid_from, valid_to, old_valid_to) = ('-infinity', 'infinity', 'infinity') and not gone and as_of is null and sequence is null then
                   '{"price_list":' || to_json(price_list) || ',"currency":' || to_json(currency) || ',"min_quantity":' || min_quantity::text ||
                   ',"old":"' || old_amount::text || '","new":"' || amount::text || case when rules is null then '"}' else '","rules":' || to_json(rules) || '}' end
               else jsonb_strip_nulls(jsonb_build_object('price_list', price_list,
                   'currency', currency, 'min_quantity', min_quantity, 'valid_from', nullif(valid_from, '-infinity'), 'valid_to', nullif(valid_to, 'infinity'),
                   'old', old_amount::text, 'old_valid_to', case when old_amount is not null then nullif(old_valid_to, 'infinity') end,
                   'new', case when not gone then amount::text end, 'as_of', as_of, 'sequence', sequence, 'rules', case when not gone then to_jsonb(rules) end))::text
               end as said
        from fresh where not quiet order by product_id, rules is not null, at, price_list, currency, min_quantity, valid_from
    ) p group by 1, 2
),
logged as (
    insert into event (product_id, rev, lanes, type, actor, data)
    select product_id, o.rev, 2, 'price.changed', case when by_rules then 'price-rules' else @actor end, t.data
    from offers o full join told t using (product_id) order by by_rules, product_id -- each has its other; in full: see sqlEdit
),
queued as (insert into outbox (product_id, lanes, priority) select product_id, 2, @priority::smallint from offers order by product_id),
derived as ( -- what the caller does not derive at once, under its lock: see price_derive.go of first offers
    insert into derive as d (product_id, due_at) select product_id, now() - interval '1 hour' from offers
    where not (@planned::boolean and product_id = any(@locked::bigint[])) and (select derives & 8 <> 0 from catalogue) order by 1
    on conflict (product_id) do update set want = d.want + 1, due_at = least(d.due_at, excluded.due_at)
)
select i.at, coalesce(o.price_rev, (select po.price_rev from product_offer po where po.product_id = i.product_id), 0), f.at is not null, i.product_id,
       i.gone and not i.skip and f.at is null and exists (select from price c where c.rules is not null and (c.product_id, c.price_list, c.currency, c.min_quantity, c.valid_from)
           = (i.product_id, i.price_list, i.currency, i.min_quantity, i.valid_from)), coalesce(i.gone_with, '')
from own i left join fresh f using (at) left join offers o on o.product_id = i.product_id`

// SetPrices sets up to 1,000 prices, each row for itself: bad rows are
// rejected with their problems (pointers into the row), the others are durable
// when it returns. Of rows with the same key the last counts; one whose stamp is
// older than the newest of its key is stale, and changes nothing. A request seen
// before under idem gets its first answer.
func (s *Store) SetPrices(ctx context.Context, actor string, rows []pim.PriceRow, idem Idempotency) ([]RowResult, error) {
	b, err := s.priceBatch(ctx, actor, rows)
	if err == nil {
		err = s.batch(ctx, b, idem)
	}
	if err != nil {
		return nil, fmt.Errorf("set %d prices: %w", len(rows), err)
	}
	return b.results, nil
}

// priceBatch checks prices and makes the batch that sets the good ones.
func (s *Store) priceBatch(ctx context.Context, actor string, rows []pim.PriceRow) (*offerBatch, error) {
	for i := range rows {
		if r := &rows[i]; r.PriceList == "" {
			r.PriceList = "default"
		}
		if r := &rows[i]; r.MinQuantity == 0 {
			r.MinQuantity = 1
		}
	}
	type placed struct {
		pim.PriceRow
		at int
	}
	all := make([]placed, len(rows))
	for at := range rows {
		all[at] = placed{rows[at], at}
	}
	now := time.Now()
	results, good, err := judge(ctx, s, all,
		func(r placed) int { return r.at }, // which of the same key counts, inOrder says
		func(r placed) pim.SKU { return r.SKU },
		func(schema *pim.Schema, r placed) []pim.Problem { return schema.CheckPriceRow(r.PriceRow, now) })
	if err != nil {
		return nil, err
	}
	good, stamps := inOrder(rows, good, results)
	n, schema := len(good), s.Schema()
	var (
		quantity            = make([]int32, n)
		sku, list, currency = make([]string, n), make([]string, n), make([]string, n)
		from, to, amount    = make([]string, n), make([]string, n), make([]string, n)
		gone                = make([]bool, n)
		asOf, sequence      = make([]*time.Time, n), make([]*int64, n)
	)
	for i, at := range good {
		r := rows[at]
		quantity[i], sku[i], list[i], currency[i] = int32(r.MinQuantity), string(r.SKU), r.PriceList, string(r.Currency)
		from[i], to[i] = timeOr(r.ValidFrom, "-infinity"), timeOr(r.ValidTo, "infinity")
		amount[i], gone[i], asOf[i], sequence[i] = r.Amount.String(), r.Delete, r.AsOf, r.Sequence
	}
	return &offerBatch{store: s, sql: sqlPrices, locks: []string{sqlLockOffers}, args: named{
		"at": good, "sku": sku, "list": list, "currency": currency, "quantity": quantity, "from": from, "to": to,
		"amount": amount, "drop": gone, "as_of": asOf, "sequence": sequence, "skip": make([]bool, n), "actor": actor, "priority": int16(interactive),
		"planned": stamps != nil || schema.PriceRules || schema.PriceGuards, "locked": []int64{},
	}, good: good, results: results, prices: rows, stamps: stamps}, nil
}

// offerBatch is a checked batch of prices, stock levels or windows of publication on
// its way.
type offerBatch struct {
	store   *Store // of prices alone
	sql     string
	locks   []string // statements before it, so that what it finds is what it replaces; not of stock
	args    named
	good    []int32 // rows that are to be written
	results []RowResult
	prices  []pim.PriceRow // all rows; nil: stock levels
	stamps  []pim.Stamp    // of prices, one for each row of args; nil: none has any
	rounds  [][]int        // of stock alone, places in good: see sqlStock
	mayFail bool           // of stock: some row may leave a product as it is that had no offer
}

// A plan that is kept is made for a few rows: for a thousand it compares each of
// them with each other, which takes a hundred times as long. Planning anew costs
// a millisecond.
const (
	fewOffers   = 20
	sqlPlanAnew = `select set_config('plan_cache_mode', 'force_custom_plan', true)`
	sqlPlanKept = `select set_config('plan_cache_mode', 'auto', true)`
)

// run writes the good rows, in one transaction and one round trip, and fills
// their results in. Where there are price rules or guards, what comes of prices
// is planned before.
func (b *offerBatch) run(ctx context.Context, q querier) error {
	if len(b.good) == 0 {
		return nil
	}
	if len(b.rounds) > 0 {
		return b.writeStock(ctx, q)
	}
	if planned, _ := b.args["planned"].(bool); !planned {
		seen, err := b.write(ctx, q)
		if err != nil || seen > 0 || b.prices == nil {
			return err
		}
		guarded := false
		if err := q.QueryRow(ctx, sqlGuarded).Scan(&guarded); err != nil || !guarded {
			return err
		}
		b.args["planned"] = true // by a guard that this process did not know of
	}
	if tx, callers := q.(pgx.Tx); callers {
		return b.plan(ctx, tx)
	}
	return pgx.BeginFunc(ctx, q, func(tx pgx.Tx) error { return b.plan(ctx, tx) })
}

const sqlGuarded = `select exists (select from price_guard)`

// write writes the good rows, and says how many of them have a product.
func (b *offerBatch) write(ctx context.Context, q querier) (seen int, err error) {
	send := &pgx.Batch{}
	if b.prices != nil {
		send.Queue(sqlPricesShared)
	}
	if len(b.good) > fewOffers {
		send.Queue(sqlPlanAnew)
	}
	for _, lock := range b.locks {
		send.Queue(lock, b.args)
	}
	know := b.queue(send, (&derivedRows{}).beside(b.args))
	if err := q.SendBatch(ctx, send).Close(); err != nil {
		return 0, err
	}
	return know(nil), nil
}

// queue has the good rows written that args tell of. What it gives is to be
// called after that: it fills in what became of those without a product, other
// than those that are held, and says how many have one.
func (b *offerBatch) queue(send *pgx.Batch, args named) (know func(held map[int32]bool) int) {
	for _, at := range b.good {
		if r := &b.results[at]; r.Status != RowStale {
			r.Status, r.Problems = RowUnchanged, nil // whatever an earlier try made of it
		}
	}
	seen := make(map[int32]bool, len(b.good))
	send.Queue(b.sql, args).Query(func(rows pgx.Rows) error {
		var (
			at             int32
			rev, id        int64
			fresh, derived bool
			gone           string
		)
		_, err := pgx.ForEachRow(rows, []any{&at, &rev, &fresh, &id, &derived, &gone}, func() error {
			seen[at] = true
			b.results[at].Revision = rev
			switch {
			case gone != "":
				b.results[at].Status, b.results[at].Problems = RowRejected, []pim.Problem{{Pointer: "/" + gone, Code: gone + ".unknown", Detail: "it is not there any more"}}
			case fresh:
				b.results[at].Status = RowChanged
			case derived:
				b.results[at].Status, b.results[at].Problems = RowRejected, []pim.Problem{{
					Pointer: "/delete", Code: "price.derived", Detail: "a rule makes this price: change the rule, or set a price of its own",
				}}
			}
			return nil
		})
		return err
	})
	return func(held map[int32]bool) int {
		for _, at := range b.good {
			switch {
			case b.results[at].Status == RowStale:
			case held[at]:
				b.results[at].Status, b.results[at].Problems = RowHeld, []pim.Problem{{
					Pointer: "/amount", Code: "price.held", Detail: "the price list's guard holds this price until it is approved",
				}}
			case !seen[at]:
				b.results[at].Status, b.results[at].Problems = RowRejected, []pim.Problem{unknownSKU(b.results[at].SKU)}
			}
		}
		return len(seen)
	}
}

// judge checks the rows of a batch, and gives the indexes of those to write:
// the good ones, of which the last counts where several have the same key. A
// row is refused by the newest schema only: another process may have made what
// it needs.
func judge[R any, K comparable](ctx context.Context, s *Store, rows []R, key func(R) K, sku func(R) pim.SKU, check func(*pim.Schema, R) []pim.Problem) ([]RowResult, []int32, error) {
	results := make([]RowResult, len(rows))
	schema, newest := s.Schema(), false
	last := make(map[K]int, len(rows))
	for i, r := range rows {
		results[i] = RowResult{SKU: sku(r), Status: RowUnchanged}
		problems := check(schema, r)
		if len(problems) > 0 && !newest {
			var err error
			if schema, err = s.loadSchema(ctx, s.pool); err != nil {
				return nil, nil, err
			}
			newest = true
			problems = check(schema, r)
		}
		if pim.ValidSKU(string(sku(r))) != nil {
			// It cannot be there, and PostgreSQL may not even take it as text.
			results[i].SKU = pim.SKU(storable(string(sku(r))))
			problems = append(problems, unknownSKU(results[i].SKU))
		}
		if len(problems) > 0 {
			results[i].Status, results[i].Problems = RowRejected, problems
			continue
		}
		last[key(r)] = i
	}
	good := make([]int32, 0, len(last))
	for i, r := range rows {
		switch {
		case results[i].Status == RowRejected:
		case last[key(r)] != i:
			results[i].Status = RowSuperseded
		default:
			good = append(good, int32(i))
		}
	}
	return results, good, nil
}

func unknownSKU(sku pim.SKU) pim.Problem {
	return pim.Problem{Pointer: "/sku", Code: "sku.unknown", Detail: fmt.Sprintf("there is no product %q", sku)}
}

const (
	sqlRemember = `
insert into idempotency (key_id, key, request, response) values (@key_id, @key, @request, 'null')
on conflict (key_id, key) do nothing`
	sqlRemembered = `select request, response from idempotency where key_id = @key_id and key = @key`
	sqlAnswer     = `update idempotency set response = @response where key_id = @key_id and key = @key`
)

// deadlockTries bounds how often a transaction is begun again.
const deadlockTries = 10

// untangled does a transaction again that was the victim of a deadlock. Who sets
// prices and then stock in one transaction, as imports and pulls do, locks two
// ordered lists of offers, one behind the other.
func untangled(do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if try == deadlockTries || !deadlocked(err) {
			return err
		}
	}
}

func deadlocked(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "40P01"
}

// batch runs a batch durably; under an idempotency key at most once.
func (s *Store) batch(ctx context.Context, b *offerBatch, idem Idempotency) error {
	err := untangled(func() error {
		if idem.Key == "" {
			return b.run(ctx, s.pool)
		}
		return s.runOnce(ctx, b, idem)
	})
	if err == nil {
		s.nudged()
	}
	return err
}

func (s *Store) runOnce(ctx context.Context, b *offerBatch, idem Idempotency) error {
	return inTx(ctx, s.pool, func(tx pgx.Tx) error {
		id := pgx.NamedArgs{"key_id": idem.KeyID, "key": idem.Key, "request": idem.Request}
		tag, err := tx.Exec(ctx, sqlRemember, id) // waits for a twin in flight
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			var request, response []byte
			if err := tx.QueryRow(ctx, sqlRemembered, id).Scan(&request, &response); err != nil {
				return err
			}
			if string(request) != string(idem.Request) {
				return ErrKeyReused
			}
			b.results = nil // not into what this call worked out: fields left out would shine through
			return json.Unmarshal(response, &b.results)
		}
		if err := b.run(ctx, tx); err != nil {
			return err
		}
		id["response"] = mustJSON(b.results)
		_, err = tx.Exec(ctx, sqlAnswer, id)
		return err
	})
}

const sqlForget = `delete from idempotency where created_at < now() - interval '1 day'`

// timeOr is t as PostgreSQL reads it, or what stands for none. The store keeps
// whole microseconds, and rounds where pim's rules cut off.
func timeOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}
