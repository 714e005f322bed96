package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// A price that was told with a stamp keeps the newest one, beside the price:
// it outlives the price's deletion, and stands for what is held, so that nothing
// older comes after either. Prices without stamps have none, and cost nothing.

// sqlPriceStamps keeps the stamps of those rows that are not older than what their
// prices have, and gives these rows. What it compares with is locked by it, also
// where two tell the first price of a product at once.
const sqlPriceStamps = `
insert into price_stamp as s (product_id, price_list, currency, min_quantity, valid_from, as_of, sequence)
select p.id, i.price_list, i.currency, i.min_quantity, i.valid_from::timestamptz, i.as_of, i.sequence
from unnest(@sku::text[], @list::text[], @currency::text[], @quantity::int[], @from::text[], @as_of::timestamptz[], @sequence::bigint[])
    as i (sku, price_list, currency, min_quantity, valid_from, as_of, sequence)
join product p on p.sku = i.sku and p.deleted_at is null
order by 1, 2, 3, 4, 5
on conflict (product_id, price_list, currency, min_quantity, valid_from) do update set as_of = coalesce(excluded.as_of, s.as_of),
    sequence = case when excluded.as_of > s.as_of then excluded.sequence else coalesce(excluded.sequence, s.sequence) end
where not coalesce(case when excluded.as_of <> s.as_of then excluded.as_of < s.as_of else excluded.sequence < s.sequence end, false)`

// sqlLatePrices gives, of the rows, those that are older than their prices' stamps.
const sqlLatePrices = `
select i.at
from unnest(@at::int[], @sku::text[], @list::text[], @currency::text[], @quantity::int[], @from::text[], @as_of::timestamptz[], @sequence::bigint[])
    as i (at, sku, price_list, currency, min_quantity, valid_from, as_of, sequence)
join product p on p.sku = i.sku and p.deleted_at is null
join price_stamp s on s.product_id = p.id and s.price_list = i.price_list and s.currency = i.currency and s.min_quantity = i.min_quantity
    and s.valid_from = i.valid_from::timestamptz
where coalesce(case when i.as_of <> s.as_of then i.as_of < s.as_of else i.sequence < s.sequence end, false)`

// sqlPricesNow gives what there is of prices, by rows that name them.
const sqlPricesNow = `
select i.at, coalesce(o.price_rev, 0), c.amount::text, nullif(c.valid_to, 'infinity'), s.as_of, s.sequence
from unnest(@at::int[], @sku::text[], @list::text[], @currency::text[], @quantity::int[], @from::text[])
    as i (at, sku, price_list, currency, min_quantity, valid_from)
join product p on p.sku = i.sku and p.deleted_at is null
left join price c on c.product_id = p.id and c.price_list = i.price_list and c.currency = i.currency and c.min_quantity = i.min_quantity
    and c.valid_from = i.valid_from::timestamptz
left join price_stamp s on s.product_id = p.id and s.price_list = i.price_list and s.currency = i.currency and s.min_quantity = i.min_quantity
    and s.valid_from = i.valid_from::timestamptz
left join product_offer o on o.product_id = p.id`

// dropLate makes the rows of the batch stale that are older than what their prices
// were told before, and keeps the stamps of the others. It comes behind the locks
// of the offers.
func (b *offerBatch) dropLate(ctx context.Context, tx pgx.Tx) error {
	if b.stamps == nil {
		return nil
	}
	var told, own []int // the latter by the row itself
	rows, _ := b.args["at"].([]int32)
	for i, at := range rows {
		if r := &b.results[at]; r.Status == RowStale { // to an earlier try
			r.Status, r.Price = RowUnchanged, nil
		}
		if !b.stamps[i].None() {
			told = append(told, i)
		}
		if !b.prices[at].None() {
			own = append(own, i)
		}
	}
	keep := b.only(told)
	asOf, sequence := make([]*time.Time, len(told)), make([]*int64, len(told))
	for i, place := range told {
		asOf[i], sequence[i] = b.stamps[place].AsOf, b.stamps[place].Sequence
	}
	keep["as_of"], keep["sequence"] = asOf, sequence
	send := &pgx.Batch{}
	send.Queue(sqlPriceStamps, keep)
	send.Queue(sqlLatePrices, b.only(own)).Query(func(rows pgx.Rows) error {
		var at int32
		_, err := pgx.ForEachRow(rows, []any{&at}, func() error { b.results[at].Status = RowStale; return nil })
		return err
	})
	return tx.SendBatch(ctx, send).Close()
}

// queueNow has the stale rows answered with what there is, behind all that is
// written: it may be of the same batch.
func (b *offerBatch) queueNow(send *pgx.Batch) {
	var (
		rows, quantity            []int32
		sku, list, currency, from []string
	)
	for at := range b.results {
		if b.results[at].Status == RowStale {
			r := &b.prices[at]
			rows, sku, list = append(rows, int32(at)), append(sku, string(r.SKU)), append(list, r.PriceList)
			currency, quantity, from = append(currency, string(r.Currency)), append(quantity, int32(r.MinQuantity)), append(from, timeOr(r.ValidFrom, "-infinity"))
		}
	}
	if len(rows) == 0 {
		return
	}
	args := named{"at": rows, "sku": sku, "list": list, "currency": currency, "quantity": quantity, "from": from}
	send.Queue(sqlPricesNow, args).Query(func(found pgx.Rows) error {
		var (
			at  int32
			rev int64
			now PriceNow
			amt *string
		)
		_, err := pgx.ForEachRow(found, []any{&at, &rev, &amt, &now.ValidTo, &now.AsOf, &now.Sequence}, func() error {
			late := now
			if amt != nil {
				late.Amount = *amt
			}
			for _, t := range []**time.Time{&late.ValidTo, &late.AsOf} {
				if *t != nil {
					utc := (*t).UTC()
					*t = &utc
				}
			}
			b.results[at].Revision, b.results[at].Price = rev, &late
			return nil
		})
		for _, at := range rows {
			if r := &b.results[at]; r.Price == nil {
				r.Status, r.Problems = RowRejected, []pim.Problem{unknownSKU(r.SKU)}
			}
		}
		return err
	})
}

// inOrder takes those out of the good rows that another one of the same price
// supersedes: of several the last counts, but none whose stamp is older than that of
// one before it, which is stale. A row without a stamp always counts. Whatever
// counts keeps the newest stamp that was told with it or before: stamps, which is nil
// where there is none.
func inOrder(rows []pim.PriceRow, good []int32, results []RowResult) (kept []int32, stamps []pim.Stamp) {
	type key struct {
		sku      pim.SKU
		list     string
		currency pim.Currency
		quantity int
		from     string
	}
	of := func(r *pim.PriceRow) key {
		return key{r.SKU, r.PriceList, r.Currency, r.MinQuantity, timeOr(r.ValidFrom, "-infinity")}
	}
	last, newest := make(map[key]int32, len(good)), map[key]pim.Stamp{}
	for _, at := range good {
		r := &rows[at]
		if r.AsOf != nil {
			t := r.AsOf.UTC().Truncate(time.Microsecond)
			r.AsOf = &t
		}
		k := of(r)
		if !r.None() {
			before := newest[k]
			if r.Compare(before) < 0 {
				results[at].Status = RowStale
				continue
			}
			newest[k] = before.Then(r.Stamp)
		}
		if was, twice := last[k]; twice {
			results[was].Status = RowSuperseded
		}
		last[k] = at
	}
	kept = slices.Sorted(maps.Values(last))
	if len(newest) == 0 {
		return kept, nil
	}
	stamps = make([]pim.Stamp, len(kept))
	for i, at := range kept {
		stamps[i] = newest[of(&rows[at])]
	}
	return kept, stamps
}
