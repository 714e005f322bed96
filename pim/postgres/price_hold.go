package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// PriceHold is a change of what a product costs in a price list that its guard
// holds until somebody has decided on it.
type PriceHold struct {
	ID          int64
	SKU         pim.SKU
	PriceList   string
	Currency    pim.Currency
	MinQuantity int
	Reason      pim.HoldReason
	At          time.Time
	Actor       string
	MovesAt     time.Time
	Old, New    *string // amounts that the reason compares
	Prices      []HeldPrice
	RejectedAt  *time.Time
	RejectedBy  string
}

// HoldFilter chooses holds; what is left out fits all.
type HoldFilter struct {
	IDs       []int64
	PriceList string
	SKU       pim.SKU
	Reason    pim.HoldReason
	Rejected  bool // those that were rejected, instead of those to be decided on
}

func (f *HoldFilter) args() named {
	ids := f.IDs
	if ids == nil {
		ids = []int64{}
	}
	return named{"ids": ids, "list": storable(f.PriceList), "sku": storable(string(f.SKU)), "reason": storable(string(f.Reason)), "rejected": f.Rejected}
}

// chosenHolds: those that are named are, whatever became of them.
const chosenHolds = `
from price_hold h join product p on p.id = h.product_id and p.deleted_at is null
where (@ids::bigint[] = '{}' or h.id = any(@ids)) and (@list::text = '' or h.price_list = @list) and (@sku::text = '' or p.sku = @sku)
  and (@reason::text = '' or h.reason = @reason) and (@ids <> '{}' or (h.rejected_at is not null) = @rejected::boolean)`

const (
	holdColumns = `h.id, p.sku, h.price_list, h.currency, h.min_quantity, h.reason, h.at, h.actor, h.moves_at, h.old::text, h.new::text, h.prices,
    h.rejected_at, coalesce(h.rejected_by, '')`

	sqlPriceHolds  = `select ` + holdColumns + chosenHolds + ` and h.id > @after order by h.id limit @limit`
	sqlChosenHolds = `select h.id, h.product_id` + chosenHolds + ` order by h.product_id, h.id`
	sqlHoldsByID   = `select ` + holdColumns + ` from price_hold h join product p on p.id = h.product_id where h.id = any(@ids::bigint[]) order by h.product_id, h.id`

	sqlLockOffersByID = `select product_id from product_offer where product_id = any(@products::bigint[]) order by product_id for no key update`

	// sqlDecided tells what was decided on holds.
	sqlDecided = `
insert into event (product_id, rev, lanes, type, actor, data)
select h.product_id, coalesce(o.rev, 0), 2, @type, @actor, jsonb_build_object('prices', jsonb_agg(jsonb_build_object('price_list', h.price_list,
    'currency', h.currency, 'min_quantity', h.min_quantity, 'held', h.prices, 'held_by', h.actor, 'held_at', h.at) order by h.price_list, h.currency, h.min_quantity))
from price_hold h left join product_offer o using (product_id) where h.id = any(@ids::bigint[]) group by h.product_id, o.rev order by h.product_id`

	// sqlForgetMoved begins the count of what was approved anew.
	sqlForgetMoved = `
delete from price_move m using price_hold h where h.id = any(@ids::bigint[]) and m.product_id = h.product_id and m.price_list = h.price_list
    and m.currency = h.currency and m.min_quantity = h.min_quantity and m.at <= now()`

	// sqlHoldsOver is for lists of which holds were approved. Where nothing is held any
	// more somebody has looked at all that moved, so that the count begins anew.
	sqlHoldsOver = `
with counted as (
    update price_guard g set prices = (select count(*) from (select distinct product_id, currency, min_quantity from price where price_list = g.price_list) p)
    where price_list = any(@lists::text[])
)
delete from price_move m where m.price_list = any(@lists) and m.at <= now()
    and not exists (select from price_hold h join product p on p.id = h.product_id and p.deleted_at is null where h.price_list = m.price_list and h.rejected_at is null)`
	sqlGuardsOver = `
delete from price_guard g where price_list = any(@lists::text[]) and not exists (select from price_hold h where h.price_list = g.price_list)
    and not exists (select from price_list l where l.code = g.price_list and l.definition ? 'guard')`

	// sqlReject keeps what rules made, so that it does not come again by the next deriving.
	sqlReject = `
with h as (
    select id, jsonb_path_query_array(prices, '$[*] ? (@.derived == true)') as derived from price_hold where id = any(@ids::bigint[]) and rejected_at is null
),
kept as (
    update price_hold p set prices = h.derived, rejected_at = now(), rejected_by = @actor from h where p.id = h.id and h.derived <> '[]'
)
delete from price_hold p using h where p.id = h.id and h.derived = '[]'`
)

func scanHold(r pgx.CollectableRow) (h PriceHold, err error) {
	var prices []byte
	if err := r.Scan(&h.ID, &h.SKU, &h.PriceList, &h.Currency, &h.MinQuantity, &h.Reason, &h.At, &h.Actor, &h.MovesAt, &h.Old, &h.New, &prices,
		&h.RejectedAt, &h.RejectedBy); err != nil {
		return h, err
	}
	return h, json.Unmarshal(prices, &h.Prices)
}

// PriceHolds reads one page of holds, the oldest first, and the cursor of the next.
func (s *Store) PriceHolds(ctx context.Context, f HoldFilter, page Page) (list []PriceHold, next string, err error) {
	args := f.args()
	args["after"], args["limit"] = int64(0), page.limit()+1
	if page.After != "" {
		if args["after"], err = cursor(page.After); err != nil {
			return nil, "", err
		}
	}
	rows, err := s.pool.Query(ctx, sqlPriceHolds, args)
	if err == nil {
		list, err = pgx.CollectRows(rows, scanHold)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list price holds: %w", err)
	}
	if len(list) > page.limit() {
		list = list[:page.limit()]
		next = fmt.Sprint(list[len(list)-1].ID)
	}
	return list, next, nil
}

// PriceHold reads one hold; ErrNotFound.
func (s *Store) PriceHold(ctx context.Context, id int64) (PriceHold, error) {
	list, _, err := s.PriceHolds(ctx, HoldFilter{IDs: []int64{id}}, Page{})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("price hold %d: %w", id, ErrNotFound)
	}
	if err != nil {
		return PriceHold{}, err
	}
	return list[0], nil
}

// ApproveHolds sets exactly the prices that the chosen holds hold, all or none,
// and has rules make what follows from them, which the guards of their lists
// judge. It says how many holds there were.
func (s *Store) ApproveHolds(ctx context.Context, actor string, f HoldFilter) (n int, err error) {
	err = s.decide(ctx, f, func(tx pgx.Tx, gs guards, ids, products, locked []int64) error {
		n = len(ids)
		lists := map[string]bool{}
		for rest := ids; len(rest) > 0; {
			some := rest[:min(len(rest), pricesAtATime)]
			rest = rest[len(some):]
			if err := s.approve(ctx, tx, actor, some, locked, lists); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, sqlHoldsOver, named{"lists": slices.Sorted(maps.Keys(lists))}); err != nil {
			return err
		}
		book, err := readBook(tx.QueryRow(ctx, sqlPriceBook))
		if err == nil {
			err = s.compile(ctx, tx, &book)
		}
		if err == nil && len(book.Makes()) > 0 {
			_, err = derivePrices(ctx, tx, book, gs, products, locked, interactive)
		}
		if err != nil {
			return err
		}
		all, _ := gs.lists() // behind the deriving, which counts what moves by it in all of them
		_, err = tx.Exec(ctx, sqlGuardsOver, named{"lists": all})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("approve price holds: %w", err)
	}
	if n > 0 {
		s.nudged()
	}
	return n, nil
}

// approve sets what holds hold.
func (s *Store) approve(ctx context.Context, tx pgx.Tx, actor string, ids, locked []int64, lists map[string]bool) error {
	rows, err := tx.Query(ctx, sqlHoldsByID, named{"ids": ids})
	if err != nil {
		return err
	}
	holds, err := pgx.CollectRows(rows, scanHold)
	if err != nil {
		return err
	}
	var (
		at, quantity                          []int32
		sku, list, currency, from, to, amount []string
		gone                                  []bool
		derived                               derivedRows
		products                              = map[pim.SKU]int64{}
	)
	if rows, err = tx.Query(ctx, sqlProductsOfHolds, named{"ids": ids}); err != nil {
		return err
	}
	var (
		id  int64
		of  pim.SKU
		row int32
	)
	if _, err := pgx.ForEachRow(rows, []any{&of, &id}, func() error { products[of] = id; return nil }); err != nil {
		return err
	}
	for i := range holds {
		h := &holds[i]
		lists[h.PriceList] = true
		for j := range h.Prices {
			p := &h.Prices[j]
			value := p.Amount
			if p.Delete {
				value = "0"
			}
			if p.Derived {
				derived.put(products[h.SKU], h, p, value)
				continue
			}
			at, sku, list, currency, quantity = append(at, row), append(sku, string(h.SKU)), append(list, h.PriceList), append(currency, string(h.Currency)), append(quantity, int32(h.MinQuantity))
			from, to, amount, gone = append(from, p.from()), append(to, timeOr(p.ValidTo, "infinity")), append(amount, value), append(gone, p.Delete)
			row++
		}
	}
	b := &pgx.Batch{}
	b.Queue(sqlPlanAnew)
	b.Queue(sqlDecided, named{"ids": ids, "type": "price.approved", "actor": actor})
	if len(at) > 0 {
		b.Queue(sqlPrices, (&derivedRows{}).beside(named{
			"at": at, "sku": sku, "list": list, "currency": currency, "quantity": quantity, "from": from, "to": to, "amount": amount, "drop": gone,
			"as_of": make([]*time.Time, len(at)), "sequence": make([]*int64, len(at)), "skip": make([]bool, len(at)), "actor": actor,
			"priority": int16(interactive), "planned": true, "locked": locked,
		}))
	}
	derived.queue(b, interactive, locked)
	b.Queue(sqlForgetMoved, named{"ids": ids})
	b.Queue(sqlDropHolds, named{"ids": ids})
	return tx.SendBatch(ctx, b).Close()
}

const sqlProductsOfHolds = `select p.sku, p.id from price_hold h join product p on p.id = h.product_id where h.id = any(@ids::bigint[])`

// put adds a row that was held.
func (d *derivedRows) put(product int64, h *PriceHold, p *HeldPrice, amount string) {
	d.product, d.list, d.currency, d.quantity = append(d.product, product), append(d.list, h.PriceList), append(d.currency, string(h.Currency)), append(d.quantity, int32(h.MinQuantity))
	d.from, d.to, d.amount = append(d.from, p.from()), append(d.to, timeOr(p.ValidTo, "infinity")), append(d.amount, amount)
	d.rules, d.gone, d.quiet = append(d.rules, strings.Join(p.Rules, " ")), append(d.gone, p.Delete), append(d.quiet, false)
}

// RejectHolds drops what the chosen holds hold. What rules make stays away until
// they make something else; it is held as rejected, and can be approved even so.
// It says how many holds there were.
func (s *Store) RejectHolds(ctx context.Context, actor string, f HoldFilter) (n int, err error) {
	err = s.decide(ctx, f, func(tx pgx.Tx, gs guards, ids, _, _ []int64) error {
		n = len(ids)
		b := &pgx.Batch{}
		b.Queue(sqlDecided, named{"ids": ids, "type": "price.rejected", "actor": actor})
		b.Queue(sqlReject, named{"ids": ids, "actor": actor})
		lists, _ := gs.lists()
		b.Queue(sqlGuardsOver, named{"lists": lists})
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("reject price holds: %w", err)
	}
	return n, nil
}

// decide has something done with the chosen holds, of which there are some,
// under the locks of who sets prices.
func (s *Store) decide(ctx context.Context, f HoldFilter, do func(tx pgx.Tx, gs guards, ids, products, locked []int64) error) error {
	return untangled(func() error {
		return inTx(ctx, s.pool, func(tx pgx.Tx) error {
			gs := guards{}
			var ids, products []int64
			b := &pgx.Batch{}
			b.Queue(sqlPricesShared)
			b.Queue(sqlPriceGuards).Query(gs.read)
			b.Queue(sqlChosenHolds, f.args()).Query(func(rows pgx.Rows) error {
				var id, product int64
				_, err := pgx.ForEachRow(rows, []any{&id, &product}, func() error {
					ids = append(ids, id)
					if n := len(products); n == 0 || products[n-1] != product {
						products = append(products, product)
					}
					return nil
				})
				return err
			})
			if err := tx.SendBatch(ctx, b).Close(); err != nil || len(ids) == 0 {
				return err
			}
			rows, err := tx.Query(ctx, sqlLockOffersByID, named{"products": products})
			if err != nil {
				return err
			}
			locked, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			if err != nil {
				return err
			}
			return do(tx, gs, ids, products, locked)
		})
	})
}

// HoldCount is what the guard of a price list holds.
type HoldCount struct {
	PriceList     string
	Share, Factor int64   // by reason
	Oldest        float64 // seconds for which the oldest has been held; 0: none is
}

const sqlHoldCounts = `
select l.code, count(h.id) filter (where h.reason = 'share'), count(h.id) filter (where h.reason = 'factor'),
       coalesce(greatest(0, extract(epoch from now() - min(h.at))), 0)::float8
from price_list l left join (price_hold h join product p on p.id = h.product_id and p.deleted_at is null) on h.price_list = l.code and h.rejected_at is null
group by 1 order by 1`

// PriceHoldCounts counts what is held of each price list.
func (s *Store) PriceHoldCounts(ctx context.Context) ([]HoldCount, error) {
	rows, err := s.pool.Query(ctx, sqlHoldCounts)
	if err == nil {
		var out []HoldCount
		if out, err = pgx.CollectRows(rows, pgx.RowToStructByPos[HoldCount]); err == nil {
			return out, nil
		}
	}
	return nil, fmt.Errorf("count price holds: %w", err)
}
