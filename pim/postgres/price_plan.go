package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/govalues/decimal"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Where a list has a guard, or rules make prices, what a change of prices comes
// to is planned before any of it is written: list by list, each behind those
// that it is made of, so that what is held back in one moves nothing in another.
// The guards' rows are locked meanwhile. So each sees what others have moved, and
// of two changes that are harmless each, both cannot pass where they are not
// together.

const (
	// sqlPriceGuards comes before offers are locked, in the same transaction.
	sqlPriceGuards = `
select g.price_list, g.prices, l.definition -> 'guard' from price_guard g join price_list l on l.code = g.price_list order by 1 for update of g`

	sqlOfferIDs = `select id from product where sku = any(@sku::text[]) and deleted_at is null`

	sqlHoldsOf = `
select h.id, h.product_id, h.price_list, h.currency, h.min_quantity, h.reason, h.moves_at, h.prices, h.rejected_at is not null
from price_hold h where h.product_id = any(@ids::bigint[])`

	// sqlMovesOf is when prices moved within the time, or will, and what stood there
	// before. Of what has moved a price has one row at most.
	sqlMovesOf = `
select m.product_id, m.price_list, m.currency, m.min_quantity, m.at, m.at <= now(), m.was::text
from unnest(@lists::text[], @within::interval[]) g (list, within) cross join unnest(@ids::bigint[]) i (id)
join price_move m on m.price_list = g.list and m.product_id = i.id
where m.at > now() - g.within`

	// sqlMovesAround counts what moves within the time before and after each
	// moment: what has moved, or will, and what is held.
	sqlMovesAround = `
select (select count(distinct (product_id, currency, min_quantity)) from price_move m
        where m.price_list = t.list and m.at > t.at - t.within and m.at < t.at + t.within)
     + (select count(*) from price_hold h join product p on p.id = h.product_id and p.deleted_at is null where h.price_list = t.list and h.rejected_at is null
        and greatest(h.moves_at, now()) > t.at - t.within and greatest(h.moves_at, now()) < t.at + t.within)
from unnest(@list::text[], @at::timestamptz[], @within::interval[]) with ordinality t (list, at, within, n) order by n`

	sqlForgetMoves = `
delete from price_move m using unnest(@lists::text[], @within::interval[]) g (list, within)
where m.price_list = g.list and m.at <= now() - g.within`

	sqlPutMoves = `
insert into price_move (price_list, product_id, currency, min_quantity, at, was)
select i.list, i.product, i.currency, i.quantity, i.at, i.was::numeric
from unnest(@list::text[], @product::bigint[], @currency::text[], @quantity::int[], @at::timestamptz[], @was::text[])
    i (list, product, currency, quantity, at, was)
order by 1, 2, 3, 4, 5 on conflict do nothing`

	sqlCountPrices = `update price_guard g set prices = g.prices + c.more from unnest(@lists::text[], @more::bigint[]) c (list, more) where g.price_list = c.list`

	// sqlPutHolds holds prices back, instead of what was held of them, and tells of
	// it. It is another hold then, by another id: who approves one approves what they
	// have seen.
	sqlPutHolds = `
with input as (
    select i.* from unnest(@list::text[], @product::bigint[], @currency::text[], @quantity::int[], @actor::text[], @reason::text[],
        @at::timestamptz[], @old::text[], @new::text[], @prices::jsonb[])
        i (price_list, product_id, currency, min_quantity, actor, reason, moves_at, old, new, prices)
),
put as (
    insert into price_hold as h (price_list, product_id, currency, min_quantity, actor, reason, moves_at, old, new, prices)
    select price_list, product_id, currency, min_quantity, actor, reason, moves_at, old::numeric, new::numeric, prices from input order by 2, 1, 3, 4
    on conflict (product_id, price_list, currency, min_quantity) do update set id = default, at = now(), actor = excluded.actor, reason = excluded.reason,
        moves_at = excluded.moves_at, old = excluded.old, new = excluded.new, prices = excluded.prices, rejected_at = null, rejected_by = null
),
told as materialized (
    select product_id, actor, jsonb_build_object('prices', jsonb_agg(jsonb_build_object('price_list', price_list, 'currency', currency,
        'min_quantity', min_quantity, 'reason', reason, 'held', prices) order by price_list, currency, min_quantity)) as data
    from input group by product_id, actor
)
insert into event (product_id, rev, lanes, type, actor, data)
select t.product_id, coalesce(o.rev, 0), 2, 'price.held', t.actor, t.data from told t left join product_offer o using (product_id) order by t.product_id`

	// sqlKeepHolds leaves of holds what was not taken back.
	sqlKeepHolds = `update price_hold h set prices = k.prices from unnest(@ids::bigint[], @prices::jsonb[]) k (id, prices) where h.id = k.id`
	sqlDropHolds = `delete from price_hold where id = any(@ids::bigint[])`
)

// guarded is a price list whose changes are judged.
type guarded struct {
	prices int64
	limits pim.PriceGuard // none in a list whose guard was taken away
	grown  int64
}

type guards map[string]*guarded

func (g guards) read(rows pgx.Rows) error {
	var (
		list   string
		prices int64
		limits []byte
	)
	_, err := pgx.ForEachRow(rows, []any{&list, &prices, &limits}, func() error {
		x := &guarded{prices: prices}
		if g[list] = x; limits == nil {
			return nil
		}
		return json.Unmarshal(limits, &x.limits)
	})
	return err
}

func (g guards) lists() (lists []string, within []time.Duration) {
	for _, list := range slices.Sorted(maps.Keys(g)) {
		lists, within = append(lists, list), append(within, g[list].limits.Within())
	}
	return lists, within
}

// priceChange is a price that is set, or deleted, by hand.
type priceChange struct {
	at int32 // its row of the batch
	pim.Price
	gone bool
}

// priceGroup names what one price is: see pim.PriceGuard.
type priceGroup struct {
	list     string
	currency pim.Currency
	quantity int
}

func groupOf(p *pim.Price) priceGroup {
	return priceGroup{p.PriceList, p.Currency, max(1, p.MinQuantity)}
}

// plannedProduct is a product whose prices are planned.
type plannedProduct struct {
	*pim.PricedProduct
	deriving *pim.Deriving
	changes  map[priceGroup][]priceChange
	holds    map[priceGroup]*priceHeld
	was      map[priceGroup]*decimal.Decimal // before it moved within the time
	moves    map[priceGroup][]time.Time      // within the time, and to come
	made     []pim.Price                     // what rules make in the end
	byHand   map[priceKey]bool               // set by hand now, whoever made it before
}

// pricePlan is what a change of prices comes to.
type pricePlan struct {
	book     priceBook
	guards   guards
	actor    string
	products map[int64]*plannedProduct

	held  map[int32]bool // rows of the batch
	puts  []heldRow
	keeps []heldRow // less is held than before
	drops []int64
	moves []movedPrice
}

type movedPrice struct {
	product int64
	priceGroup
	at  time.Time
	was *string
}

// planPrices plans, under locked guards and offers, what becomes of the prices
// of products when changes are made by hand, by product.
func planPrices(ctx context.Context, tx pgx.Tx, book priceBook, gs guards, actor string, ids []int64, changes map[pim.SKU][]priceChange) (*pricePlan, error) {
	p := &pricePlan{book: book, guards: gs, actor: actor, products: make(map[int64]*plannedProduct, len(ids)), held: map[int32]bool{}}
	found, err := pricedProducts(ctx, tx, book, gs, ids)
	if err != nil {
		return nil, err
	}
	for id, product := range found {
		x := &plannedProduct{PricedProduct: product, deriving: book.Begin(product, book.now), changes: map[priceGroup][]priceChange{}, byHand: map[priceKey]bool{}}
		for _, c := range changes[product.SKU] {
			g := groupOf(&c.Price)
			x.changes[g] = append(x.changes[g], c)
		}
		p.products[id] = x
	}
	if len(gs) > 0 {
		if err := p.readGuarded(ctx, tx, ids); err != nil {
			return nil, err
		}
	}
	makes := book.Makes()
	lists := map[string]bool{}
	for _, x := range p.products {
		for i := range x.Prices {
			lists[x.Prices[i].PriceList] = true
		}
		for g := range x.changes {
			lists[g.list] = true
		}
		for g := range x.holds {
			lists[g.list] = true
		}
	}
	for _, list := range makes {
		delete(lists, list)
	}
	for _, list := range slices.Sorted(maps.Keys(lists)) {
		if err := p.list(ctx, tx, list, -1); err != nil {
			return nil, err
		}
	}
	for i, list := range makes {
		if err := p.list(ctx, tx, list, i); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// readGuarded reads what is held of products, and what has moved.
func (p *pricePlan) readGuarded(ctx context.Context, tx pgx.Tx, ids []int64) error {
	lists, within := p.guards.lists()
	b := &pgx.Batch{}
	b.Queue(sqlForgetMoves, named{"lists": lists, "within": within})
	b.Queue(sqlHoldsOf, named{"ids": ids}).Query(func(rows pgx.Rows) error {
		var (
			h       priceHeld
			product int64
			list    string
			code    pim.Currency
			n       int
			prices  []byte
		)
		_, err := pgx.ForEachRow(rows, []any{&h.id, &product, &list, &code, &n, &h.reason, &h.movesAt, &prices, &h.rejected}, func() error {
			x := p.products[product]
			if x == nil {
				return nil
			}
			held := h
			if err := json.Unmarshal(prices, &held.rows); err != nil {
				return fmt.Errorf("decode hold %d: %w", h.id, err)
			}
			if x.holds == nil {
				x.holds = map[priceGroup]*priceHeld{}
			}
			x.holds[priceGroup{list, code, n}] = &held
			return nil
		})
		return err
	})
	b.Queue(sqlMovesOf, named{"lists": lists, "within": within, "ids": ids}).Query(func(rows pgx.Rows) error {
		var (
			product int64
			list    string
			code    pim.Currency
			n       int
			at      time.Time
			over    bool
			was     *string
		)
		_, err := pgx.ForEachRow(rows, []any{&product, &list, &code, &n, &at, &over, &was}, func() error {
			x := p.products[product]
			if x == nil {
				return nil
			}
			if x.was == nil {
				x.was, x.moves = map[priceGroup]*decimal.Decimal{}, map[priceGroup][]time.Time{}
			}
			g := priceGroup{list, code, n}
			if x.moves[g] = append(x.moves[g], at); !over {
				return nil
			}
			x.was[g] = nil
			if was == nil {
				return nil
			}
			d, err := decimal.Parse(*was)
			x.was[g] = &d
			return err
		})
		return err
	})
	return tx.SendBatch(ctx, b).Close()
}

// plan writes a batch of prices, as far as guards let it through, and what rules
// make of it.
func (b *offerBatch) plan(ctx context.Context, tx pgx.Tx) error {
	var (
		ids, locked []int64
		book        priceBook
		gs          = guards{}
	)
	send := &pgx.Batch{}
	send.Queue(sqlPricesShared)
	if len(b.good) > fewOffers {
		send.Queue(sqlPlanAnew)
	}
	send.Queue(sqlPriceGuards).Query(gs.read)
	send.Queue(sqlLockOffers, b.args).Query(func(rows pgx.Rows) (err error) { locked, err = pgx.CollectRows(rows, pgx.RowTo[int64]); return err })
	send.Queue(sqlOfferIDs, b.args).Query(func(rows pgx.Rows) (err error) { ids, err = pgx.CollectRows(rows, pgx.RowTo[int64]); return err })
	send.Queue(sqlPriceBook).QueryRow(func(row pgx.Row) (err error) { book, err = readBook(row); return err })
	if err := tx.SendBatch(ctx, send).Close(); err != nil {
		return err
	}
	b.args["locked"] = locked
	if err := b.store.compile(ctx, tx, &book); err != nil {
		return err
	}
	if err := b.dropLate(ctx, tx); err != nil {
		return err
	}
	schema, err := b.store.schemaOf(ctx, tx, book.version)
	if err != nil {
		return err
	}
	changes := map[pim.SKU][]priceChange{}
	for _, at := range b.good {
		r := &b.prices[at]
		if b.results[at].Status == RowStale || !schema.PriceLists[r.PriceList] || !schema.Currencies[r.Currency] { // the latter sqlPrices refuses
			continue
		}
		changes[r.SKU] = append(changes[r.SKU], priceChange{at, r.Price, r.Delete})
	}
	actor, _ := b.args["actor"].(string)
	plan, err := planPrices(ctx, tx, book, gs, actor, ids, changes)
	if err != nil {
		return err
	}
	send = &pgx.Batch{}
	own := b.without(func(at int32) bool { return plan.held[at] || b.results[at].Status == RowStale })
	made := plan.ruled()
	if len(made.product) > fewOffers {
		send.Queue(sqlPlanAnew)
	}
	know := b.queue(send, made.beside(own))
	plan.queue(send)
	b.queueNow(send)
	if err := tx.SendBatch(ctx, send).Close(); err != nil {
		return err
	}
	know(plan.held)
	return nil
}

// without are the batch's arguments, of which the rows to leave out write nothing.
func (b *offerBatch) without(out func(at int32) bool) named {
	args := maps.Clone(b.args)
	rows, _ := b.args["at"].([]int32)
	skip := make([]bool, len(rows))
	for i, at := range rows {
		skip[i] = out(at)
	}
	args["skip"] = skip
	return args
}

// ruled is what is to be written of what rules make.
func (p *pricePlan) ruled() (d derivedRows) {
	for _, id := range slices.Sorted(maps.Keys(p.products)) {
		x := p.products[id]
		d.add(id, slices.DeleteFunc(x.Prices, func(y pim.Price) bool { return x.byHand[keyOf(&y)] }), x.made, p.book.now)
	}
	return d
}

// queue has what is held, and what has moved, written.
func (p *pricePlan) queue(b *pgx.Batch) {
	if len(p.drops) > 0 {
		b.Queue(sqlDropHolds, named{"ids": p.drops})
	}
	if len(p.keeps) > 0 {
		ids, prices := make([]int64, len(p.keeps)), make([]string, len(p.keeps))
		for i := range p.keeps {
			ids[i], prices[i] = p.keeps[i].id, string(mustJSON(p.keeps[i].prices))
		}
		b.Queue(sqlKeepHolds, named{"ids": ids, "prices": prices})
	}
	if len(p.puts) > 0 {
		b.Queue(sqlPutHolds, putArgs(p.puts))
	}
	if n := len(p.moves); n > 0 {
		list, currency, product, quantity := make([]string, n), make([]string, n), make([]int64, n), make([]int32, n)
		at, was := make([]time.Time, n), make([]*string, n)
		for i, m := range p.moves {
			list[i], currency[i], product[i], quantity[i], at[i], was[i] = m.list, string(m.currency), m.product, int32(m.quantity), m.at, m.was
		}
		b.Queue(sqlPutMoves, named{"list": list, "product": product, "currency": currency, "quantity": quantity, "at": at, "was": was})
	}
	var lists []string
	var more []int64
	for _, list := range slices.Sorted(maps.Keys(p.guards)) {
		if n := p.guards[list].grown; n != 0 {
			lists, more = append(lists, list), append(more, n)
			p.guards[list].prices, p.guards[list].grown = p.guards[list].prices+n, 0
		}
	}
	if len(lists) > 0 {
		b.Queue(sqlCountPrices, named{"lists": lists, "more": more})
	}
}
