package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/govalues/decimal"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Derived prices are rows of price that name their rules. They are made anew in
// the transaction that changes a price they are made of, so that no channel is
// told of the one without the other; and, where a rule, a list or what a rule
// looks at of a product has changed, by the consumer of the set derive. Both
// work on many products with a statement for each step, none for each product.
//
// Nothing is missed, because whoever derives a product's prices holds the row
// of its offer, reads under that, and one of these is true of any two changes
// that the prices follow from:
//
//   - Both are prices: the row makes the second wait, which then sees the first.
//   - One is of a rule or a list: it waits for all who are setting prices
//     (sqlPricesAlone), and puts its products into derive, or a walk over them
//     (price_walk.go), with its own commit.
//   - One is an edit of the product: fan-out puts the product into derive after
//     its commit. A product's first offer has no row that would be waited for,
//     so who had none to lock puts the product there itself.

// The bit 8 of catalogue.derives says that there are price rules, or were; the
// lower ones are lanes (see derives), and fan-out takes it for the content's.

const (
	// sqlPricesShared and sqlPricesAlone come first in their transactions. The
	// number is of our choice, for this alone.
	sqlPricesShared = `select pg_advisory_xact_lock_shared(7240017)`
	sqlPricesAlone  = `select pg_advisory_xact_lock(7240017)`

	sqlPriceBook = `
select coalesce((select jsonb_agg(definition || jsonb_build_object('code', code)) from price_list where definition <> '{}'), '[]'),
       coalesce((select jsonb_agg(definition) from price_rule), '[]'), version, now()
from catalogue`

	// sqlPricedProducts is what rules look at, of products that are there. What no rule
	// looks at is not looked for.
	sqlPricedProducts = `
select p.id, p.sku, p.family, p.categories,
       case when @trees::boolean then p.categories || array(select unnest(k.path) from category k where k.code = any(p.categories)) end,
       case when @attributes::text[] <> '{}' then (
           select jsonb_object_agg(a, coalesce(p.values -> a, parent.values -> a, root.values -> a)) from unnest(@attributes) a
           where coalesce(p.values -> a, parent.values -> a, root.values -> a) is not null) end
from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
where p.id = any(@ids::bigint[]) and p.deleted_at is null`

	sqlRuledPrices = `
select product_id, price_list, currency, min_quantity, nullif(valid_from, '-infinity'), nullif(valid_to, 'infinity'), amount::text, rules
from price where product_id = any(@ids::bigint[]) and (price_list = any(@lists::text[]) or rules is not null)`
)

// priceBook are the rules as they are now.
type priceBook struct {
	*pim.PriceBook
	version    int64 // of the schema, when they were read
	now        time.Time
	conditions []conditionQuery // ready once Store.compile has been called
}

// readBook reads sqlPriceBook.
func readBook(row pgx.Row) (b priceBook, err error) {
	var lists, rules []byte
	if err := row.Scan(&lists, &rules, &b.version, &b.now); err != nil {
		return b, err
	}
	var ls []pim.PriceList
	var rs []pim.PriceRule
	if err := json.Unmarshal(lists, &ls); err != nil {
		return b, fmt.Errorf("decode price lists: %w", err)
	}
	if err := json.Unmarshal(rules, &rs); err != nil {
		return b, fmt.Errorf("decode price rules: %w", err)
	}
	b.PriceBook, err = pim.NewPriceBook(ls, rs)
	return b, err
}

// pricedProducts reads what rules and guards look at of products.
func pricedProducts(ctx context.Context, tx pgx.Tx, book priceBook, gs guards, ids []int64) (map[int64]*pim.PricedProduct, error) {
	out := make(map[int64]*pim.PricedProduct, len(ids))
	b := &pgx.Batch{}
	if len(ids) > fewOffers {
		b.Queue(sqlPlanAnew)
	}
	b.Queue(sqlPricedProducts, named{"ids": ids, "attributes": book.Attributes(), "trees": book.Trees()}).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var (
				id     int64
				p      pim.PricedProduct
				values []byte
			)
			if err := rows.Scan(&id, &p.SKU, &p.Family, &p.Categories, &p.Above, &values); err != nil {
				return err
			}
			if values != nil {
				if err := json.Unmarshal(values, &p.Values); err != nil {
					return fmt.Errorf("decode values of %s: %w", p.SKU, err)
				}
			}
			out[id] = &p
		}
		return rows.Err()
	})
	for _, q := range book.conditions {
		q.queue(b, ids, out)
	}
	lists, _ := gs.lists()
	b.Queue(sqlRuledPrices, named{"ids": ids, "lists": append(lists, book.Lists()...)}).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var (
				id     int64
				x      pim.Price
				amount string
				err    error
			)
			if err := rows.Scan(&id, &x.PriceList, &x.Currency, &x.MinQuantity, &x.ValidFrom, &x.ValidTo, &amount, &x.Rules); err != nil {
				return err
			}
			if x.Amount, err = decimal.Parse(amount); err != nil {
				return fmt.Errorf("decode a price of product %d: %w", id, err)
			}
			if p := out[id]; p != nil {
				p.Prices = append(p.Prices, x)
			}
		}
		return rows.Err()
	})
	return out, tx.SendBatch(ctx, b).Close()
}

// derivedRows are the rows of sqlPrices that rules make.
type derivedRows struct {
	product                                 []int64
	list, currency, from, to, amount, rules []string
	quantity                                []int32
	gone, quiet                             []bool
}

type priceKey struct {
	list     string
	currency pim.Currency
	quantity int
	from     string
}

func keyOf(p *pim.Price) priceKey {
	return priceKey{p.PriceList, p.Currency, p.MinQuantity, timeOr(p.ValidFrom, "-infinity")}
}

// add gives the rows that make what rules made of a product equal to wanted.
// What is over is in nobody's way, and goes when something else changes.
func (d *derivedRows) add(id int64, have, wanted []pim.Price, now time.Time) {
	old := map[priceKey]*pim.Price{}
	for i := range have {
		if len(have[i].Rules) > 0 {
			old[keyOf(&have[i])] = &have[i]
		}
	}
	n := len(d.product)
	for i := range wanted {
		w := &wanted[i]
		was := old[keyOf(w)]
		delete(old, keyOf(w))
		same := was != nil && was.Amount.Equal(w.Amount) && timeOr(was.ValidTo, "infinity") == timeOr(w.ValidTo, "infinity")
		if !same || strings.Join(was.Rules, " ") != strings.Join(w.Rules, " ") {
			d.row(id, w, false, same)
		}
	}
	moved := len(d.product) > n
	for _, x := range old {
		moved = moved || x.ValidTo == nil || x.ValidTo.After(now)
	}
	if !moved {
		return
	}
	for _, x := range old {
		d.row(id, x, true, x.ValidTo != nil && !x.ValidTo.After(now))
	}
}

func (d *derivedRows) row(id int64, p *pim.Price, gone, quiet bool) {
	d.product, d.list, d.currency, d.quantity = append(d.product, id), append(d.list, p.PriceList), append(d.currency, string(p.Currency)), append(d.quantity, int32(p.MinQuantity))
	d.from, d.to, d.amount = append(d.from, timeOr(p.ValidFrom, "-infinity")), append(d.to, timeOr(p.ValidTo, "infinity")), append(d.amount, p.Amount.String())
	d.rules, d.gone, d.quiet = append(d.rules, strings.Join(p.Rules, " ")), append(d.gone, gone), append(d.quiet, quiet)
}

// beside gives the arguments of sqlPrices: own are those for what is set by hand.
func (d *derivedRows) beside(own named) named {
	args := maps.Clone(own)
	maps.Copy(args, named{
		"ruled": d.product, "ruled_list": d.list, "ruled_currency": d.currency, "ruled_quantity": d.quantity, "ruled_from": d.from, "ruled_to": d.to,
		"ruled_amount": d.amount, "rules": d.rules, "ruled_drop": d.gone, "quiet": d.quiet,
	})
	return args
}

// queue has the rows written alone, by who has locked these products' offers.
func (d *derivedRows) queue(b *pgx.Batch, p priority, locked []int64) {
	if len(d.product) == 0 {
		return
	}
	if len(d.product) > fewOffers {
		b.Queue(sqlPlanAnew)
	}
	b.Queue(sqlPrices, d.beside(named{
		"at": []int32{}, "sku": []string{}, "list": []string{}, "currency": []string{}, "quantity": []int32{}, "from": []string{}, "to": []string{}, "amount": []string{},
		"drop": []bool{}, "as_of": []*time.Time{}, "sequence": []*int64{}, "skip": []bool{}, "actor": "", "priority": int16(p), "planned": true, "locked": locked,
	}))
}

// changed is of how many products the rows change the offer.
func (d *derivedRows) changed() int64 {
	of := map[int64]bool{}
	for i, id := range d.product {
		if !d.quiet[i] {
			of[id] = true
		}
	}
	return int64(len(of))
}

// held are the rows as they are held; what is over is not.
func (d *derivedRows) held() (out []HeldPrice) {
	for i := range d.product {
		if d.gone[i] && d.quiet[i] {
			continue
		}
		h := HeldPrice{ValidFrom: timeOf(d.from[i]), Derived: true, Delete: d.gone[i]}
		if !h.Delete {
			h.ValidTo, h.Amount, h.Rules = timeOf(d.to[i]), d.amount[i], strings.Fields(d.rules[i])
		}
		out = append(out, h)
	}
	return out
}

// timeOf reads what timeOr writes.
func timeOf(s string) *time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return nil // one of the infinities
	}
	return &t
}

const sqlLockOffersOf = `
select o.product_id from (select id from product where id = any(@ids::bigint[]) union ` + belowIDs + ` order by 1) i
cross join lateral (select o.product_id from product_offer o where o.product_id = i.id for no key update) o`

// pricesAtATime is how many products have their prices derived in one go.
const pricesAtATime = 1000

// DerivePrices makes the prices that rules make of products, and of their
// variants, anew in tx. It is for the consumer of derive.
func (s *Store) DerivePrices(ctx context.Context, tx pgx.Tx, products []Derived) (changed int64, err error) {
	ids, p := make([]int64, len(products)), bulk
	for i := range products {
		if ids[i] = int64(products[i].ID); products[i].Urgent {
			p = interactive
		}
	}
	gs := guards{}
	rows, err := tx.Query(ctx, sqlPriceGuards)
	if err == nil {
		err = gs.read(rows)
	}
	if err != nil {
		return 0, fmt.Errorf("derive prices of %d products: %w", len(ids), err)
	}
	rows, err = tx.Query(ctx, sqlLockOffersOf, named{"ids": ids})
	if err != nil {
		return 0, fmt.Errorf("derive prices of %d products: %w", len(ids), err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(all) == 0 {
		return 0, err
	}
	book, err := readBook(tx.QueryRow(ctx, sqlPriceBook))
	if err == nil {
		err = s.compile(ctx, tx, &book)
	}
	if err == nil {
		changed, err = derivePrices(ctx, tx, book, gs, all, all, p)
	}
	if err != nil {
		return 0, fmt.Errorf("derive prices of %d products: %w", len(ids), err)
	}
	return changed, nil
}

// derivePrices makes the prices of products, whose offers are locked, where there
// are any, as are the guards, equal to what the book makes of them, as far as guards let them, and
// says of how many something changed.
func derivePrices(ctx context.Context, tx pgx.Tx, book priceBook, gs guards, ids, locked []int64, p priority) (changed int64, err error) {
	for len(ids) > 0 {
		some := ids[:min(len(ids), pricesAtATime)]
		ids = ids[len(some):]
		plan, err := planPrices(ctx, tx, book, gs, "", some, nil)
		if err != nil {
			return 0, err
		}
		b := &pgx.Batch{}
		made := plan.ruled()
		made.queue(b, p, locked)
		if plan.queue(b); b.Len() == 0 {
			continue
		}
		changed += made.changed()
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return 0, err
		}
	}
	return changed, nil
}
