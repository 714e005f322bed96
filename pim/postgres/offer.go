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

// PriceRow sets one price. Delete removes it instead.
type PriceRow struct {
	SKU pim.SKU
	pim.Price
	Delete bool
}

// StockRow sets one stock level.
type StockRow struct {
	SKU pim.SKU
	pim.Stock
}

// RowStatus is what became of a row of a batch.
type RowStatus string

// The row statuses.
const (
	RowChanged    RowStatus = "changed"
	RowUnchanged  RowStatus = "unchanged"
	RowSuperseded RowStatus = "superseded" // a later row of the batch says the same key again
	RowRejected   RowStatus = "rejected"
)

// RowResult is the outcome of one row.
type RowResult struct {
	SKU      pim.SKU       `json:"sku"`
	Status   RowStatus     `json:"status" enum:"changed,unchanged,superseded,rejected"`
	Revision int64         `json:"revision,omitempty" doc:"The product's price or stock revision after the batch"`
	Problems []pim.Problem `json:"problems,omitempty"`
}

// Idempotency makes a batch safe to send again: the same key and request get
// the first answer. The zero value is off.
type Idempotency struct {
	KeyID   int64  // of the API key
	Key     string // as the client chose it
	Request []byte // hash of the request
}

// ErrKeyReused: the idempotency key was used for another request.
var ErrKeyReused = errors.New("the idempotency key was used for another request")

// sqlPrices sets prices as one statement: the offer's revisions under its row
// lock, the event, the outbox row. Rows that change nothing touch nothing.
const sqlPrices = `
with input as (
    select i.at, i.price_list, i.currency, i.min_quantity, i.valid_from::timestamptz, i.valid_to::timestamptz, i.amount::numeric, i.gone,
           p.id as product_id
    from unnest(@at::int[], @sku::text[], @list::text[], @currency::text[], @quantity::int[], @from::text[], @to::text[],
                @amount::text[], @drop::boolean[])
        as i (at, sku, price_list, currency, min_quantity, valid_from, valid_to, amount, gone)
    join product p on p.sku = i.sku and p.deleted_at is null
),
fresh as (
    select i.*, c.amount as old_amount, c.valid_to as old_valid_to from input i left join price c using (product_id, price_list, currency, min_quantity, valid_from)
    where case when i.gone then c.product_id is not null
               else c.product_id is null or (c.amount, c.valid_to) is distinct from (i.amount, i.valid_to) end
),
offers as (
    insert into product_offer as o (product_id, price_rev) select distinct product_id, 1 from fresh order by 1
    on conflict (product_id) do update set rev = o.rev + 1, price_rev = o.price_rev + 1
    returning product_id, rev, price_rev
),
put as (
    insert into price (product_id, price_list, currency, min_quantity, valid_from, valid_to, amount)
    select product_id, price_list, currency, min_quantity, valid_from, valid_to, amount from fresh where not gone order by 1, 2, 3, 4, 5
    on conflict (product_id, price_list, currency, min_quantity, valid_from) do update set amount = excluded.amount, valid_to = excluded.valid_to
),
dropped as (
    delete from price c using fresh f where f.gone and c.product_id = f.product_id and c.price_list = f.price_list and c.currency = f.currency
        and c.min_quantity = f.min_quantity and c.valid_from = f.valid_from
),
logged as (
    insert into event (product_id, rev, lanes, type, actor, data)
    select o.product_id, o.rev, 2, 'price.changed', @actor, jsonb_build_object('prices', (
        select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('price_list', price_list, 'currency', currency, 'min_quantity', min_quantity,
            'valid_from', nullif(valid_from, '-infinity'), 'valid_to', nullif(valid_to, 'infinity'),
            'old', old_amount::text, 'new', case when not gone then amount::text end)) order by at) from fresh f where f.product_id = o.product_id))
    from offers o
),
queued as (insert into outbox (product_id, lanes) select product_id, 2 from offers)
select i.at, coalesce(o.price_rev, po.price_rev, 0), f.at is not null
from input i left join fresh f using (at) left join offers o on o.product_id = i.product_id left join product_offer po on po.product_id = i.product_id`

// SetPrices sets up to 1,000 prices, each row for itself: bad rows are
// rejected with their problems (pointers into the row), the others are durable
// when it returns. Of rows with the same key the last counts. A request seen
// before under idem gets its first answer.
func (s *Store) SetPrices(ctx context.Context, actor string, rows []PriceRow, idem Idempotency) ([]RowResult, error) {
	results := make([]RowResult, len(rows))
	schema := s.Schema()
	type key struct {
		sku      pim.SKU
		list     string
		currency pim.Currency
		quantity int
		from     time.Time
	}
	last := make(map[key]int, len(rows))
	keys := make([]key, len(rows))
	for i := range rows {
		r := &rows[i]
		results[i] = RowResult{SKU: r.SKU, Status: RowUnchanged}
		if r.PriceList == "" {
			r.PriceList = "default"
		}
		if r.MinQuantity == 0 {
			r.MinQuantity = 1
		}
		if problems := schema.CheckPrice(r.Price, r.Delete); len(problems) > 0 {
			results[i].Status, results[i].Problems = RowRejected, problems
			continue
		}
		keys[i] = key{r.SKU, r.PriceList, r.Currency, r.MinQuantity, orTime(r.ValidFrom, time.Time{}).UTC()}
		last[keys[i]] = i
	}
	var (
		at, quantity        []int32
		sku, list, currency []string
		from, to            []string
		amount              []string
		gone                []bool
	)
	for i, r := range rows {
		if results[i].Status == RowRejected {
			continue
		}
		if last[keys[i]] != i {
			results[i].Status = RowSuperseded
			continue
		}
		at, quantity, sku = append(at, int32(i)), append(quantity, int32(r.MinQuantity)), append(sku, string(r.SKU))
		list, currency = append(list, r.PriceList), append(currency, string(r.Currency))
		from, to = append(from, timeOr(r.ValidFrom, "-infinity")), append(to, timeOr(r.ValidTo, "infinity"))
		amount, gone = append(amount, r.Amount.String()), append(gone, r.Delete)
	}
	args := pgx.NamedArgs{
		"at": at, "sku": sku, "list": list, "currency": currency, "quantity": quantity, "from": from, "to": to,
		"amount": amount, "drop": gone, "actor": actor,
	}
	results, err := s.batch(ctx, sqlPrices, args, len(at), results, idem)
	if err != nil {
		return nil, fmt.Errorf("set %d prices: %w", len(rows), err)
	}
	return results, nil
}

// sqlStock is sqlPrices for stock levels; a product whose last available
// piece goes is queued as urgent.
const sqlStock = `
with input as (
    select i.*, p.id as product_id
    from unnest(@at::int[], @sku::text[], @location::text[], @on_hand::bigint[], @reserved::bigint[])
        as i (at, sku, location, on_hand, reserved)
    join product p on p.sku = i.sku and p.deleted_at is null
),
fresh as (
    select i.*, c.on_hand as old_on_hand, c.reserved as old_reserved from input i left join stock c using (product_id, location)
    where c.product_id is null or (c.on_hand, c.reserved) <> (i.on_hand, i.reserved)
),
offers as (
    insert into product_offer as o (product_id, stock_rev) select distinct product_id, 1 from fresh order by 1
    on conflict (product_id) do update set rev = o.rev + 1, stock_rev = o.stock_rev + 1
    returning product_id, rev, stock_rev
),
put as (
    insert into stock (product_id, location, on_hand, reserved) select product_id, location, on_hand, reserved from fresh order by 1, 2
    on conflict (product_id, location) do update set on_hand = excluded.on_hand, reserved = excluded.reserved
),
logged as (
    insert into event (product_id, rev, lanes, type, actor, data)
    select o.product_id, o.rev, 2, 'stock.changed', @actor, jsonb_build_object('stock', (
        select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('location', location, 'old',
            case when old_on_hand is not null then jsonb_build_object('on_hand', old_on_hand, 'reserved', old_reserved) end,
            'new', jsonb_build_object('on_hand', on_hand, 'reserved', reserved))) order by at) from fresh f where f.product_id = o.product_id))
    from offers o
),
queued as (
    insert into outbox (product_id, lanes, priority)
    select o.product_id, 2, (select 1 + (bool_and(greatest(f.on_hand - f.reserved, 0) = 0)
                             and bool_or(greatest(coalesce(f.old_on_hand - f.old_reserved, 0), 0) > 0))::int from fresh f where f.product_id = o.product_id)
    from offers o
)
select i.at, coalesce(o.stock_rev, po.stock_rev, 0), f.at is not null
from input i left join fresh f using (at) left join offers o on o.product_id = i.product_id left join product_offer po on po.product_id = i.product_id`

// SetStock sets up to 1,000 stock levels, as SetPrices does prices.
func (s *Store) SetStock(ctx context.Context, actor string, rows []StockRow, idem Idempotency) ([]RowResult, error) {
	results := make([]RowResult, len(rows))
	schema := s.Schema()
	type key struct {
		sku      pim.SKU
		location string
	}
	last := make(map[key]int, len(rows))
	for i := range rows {
		r := &rows[i]
		results[i] = RowResult{SKU: r.SKU, Status: RowUnchanged}
		if r.Location == "" {
			r.Location = "default"
		}
		if problems := schema.CheckStock(r.Stock); len(problems) > 0 {
			results[i].Status, results[i].Problems = RowRejected, problems
			continue
		}
		last[key{r.SKU, r.Location}] = i
	}
	var (
		at               []int32
		sku, location    []string
		onHand, reserved []int64
	)
	for i, r := range rows {
		if results[i].Status == RowRejected {
			continue
		}
		if last[key{r.SKU, r.Location}] != i {
			results[i].Status = RowSuperseded
			continue
		}
		at, sku, location = append(at, int32(i)), append(sku, string(r.SKU)), append(location, r.Location)
		onHand, reserved = append(onHand, r.OnHand), append(reserved, r.Reserved)
	}
	args := pgx.NamedArgs{"at": at, "sku": sku, "location": location, "on_hand": onHand, "reserved": reserved, "actor": actor}
	results, err := s.batch(ctx, sqlStock, args, len(at), results, idem)
	if err != nil {
		return nil, fmt.Errorf("set %d stock levels: %w", len(rows), err)
	}
	return results, nil
}

const (
	sqlRemember = `
insert into idempotency (key_id, key, request, response) values (@key_id, @key, @request, 'null')
on conflict (key_id, key) do nothing`
	sqlRemembered = `select request, response from idempotency where key_id = @key_id and key = @key`
	sqlAnswer     = `update idempotency set response = @response where key_id = @key_id and key = @key`
)

// batch runs the statement of a batch, n rows of which are good, and fills in
// their results; under an idempotency key at most once.
func (s *Store) batch(ctx context.Context, sql string, args pgx.NamedArgs, n int, results []RowResult, idem Idempotency) ([]RowResult, error) {
	run := func(q querier) error {
		if n == 0 {
			return nil
		}
		rows, err := q.Query(ctx, sql, args)
		if err != nil {
			return err
		}
		seen := map[int32]bool{}
		var (
			at      int32
			rev     int64
			changed bool
		)
		_, err = pgx.ForEachRow(rows, []any{&at, &rev, &changed}, func() error {
			seen[at] = true
			results[at].Revision = rev
			if changed {
				results[at].Status = RowChanged
			}
			return nil
		})
		for _, at := range args["at"].([]int32) {
			if !seen[at] {
				results[at].Status = RowRejected
				results[at].Problems = []pim.Problem{{Pointer: "/sku", Code: "sku.unknown", Detail: fmt.Sprintf("there is no product %q", results[at].SKU)}}
			}
		}
		return err
	}
	if idem.Key == "" {
		if err := run(s.pool); err != nil {
			return nil, err
		}
		s.nudged()
		return results, nil
	}
	err := inTx(ctx, s.pool, func(tx pgx.Tx) error {
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
			return json.Unmarshal(response, &results)
		}
		if err := run(tx); err != nil {
			return err
		}
		id["response"] = mustJSON(results)
		_, err = tx.Exec(ctx, sqlAnswer, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.nudged()
	return results, nil
}

const sqlForget = `delete from idempotency where created_at < now() - interval '1 day'`

// timeOr is t as PostgreSQL reads it, or what stands for none.
func timeOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func orTime(t *time.Time, or time.Time) time.Time {
	if t == nil {
		return or
	}
	return *t
}
