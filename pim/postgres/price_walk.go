package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Where a rule or a price list is another one, the products that it may be for have
// their prices derived anew, behind its commit. They are walked over: a row of price_walk
// remembers how far that is, and the consumer of derive goes on with it, beside the set.
// So who changes a rule, whom all who set prices wait for, writes a row, and not one for
// each product. Few of them are put into derive as well, where they wait for no walk.
//
// A walk misses nothing: whoever changes a rule again sends it back to its beginning,
// and waits for the step that is under way. A product that gets its first offer behind
// the place where the walk is gets it by sqlPrices, which sees the rule. The few
// alone would not do: they are found in the midst of the change, and what an edit brings
// into the rule's families or categories after that may be derived before the rule is there.

// fewDerived is up to how many products are put into derive.
const fewDerived = 1000

// scopeOf is a product p, with an offer o, that rules of a scope may be for. Which
// attributes they look at, and their conditions, is left to the deriving. Products
// without an offer have no prices: sqlPrices sees to their first.
const scopeOf = `
product p join product_offer o on o.product_id = p.id
where p.deleted_at is null and (@families::text[] = '{}' or p.family = any(@families)) and (@categories::text[] = '{}' or p.categories && @categories)
  and (@skus::text[] = '{}' or p.sku = any(@skus))
  and (@subtrees::text[] = '{}' or p.categories && (array(select k.code from category k where k.path && @subtrees) || @subtrees))`

const (
	sqlDerivePrices = `
with few as materialized (select p.id from ` + scopeOf + ` limit @few::int + 1),
many as (select count(*) > @few as so from few),
put as (
    insert into derive as d (product_id) select id from few where not (select so from many) order by 1
    on conflict (product_id) do update set want = d.want + 1
)
insert into price_walk as w (key, scope) select md5(@scope::jsonb::text), @scope
on conflict (key) do update set after_id = 0`

	sqlPriceWalks    = `select exists (select from price_walk)`
	sqlPriceWalkNext = `select key, after_id, scope from price_walk order by key limit 1 for update`

	// sqlPriceWalkPage locks the offers of the next products of a walk, in the order
	// of all who do. Both begin behind the walk's place: a merge of the two would else read
	// one of them from its beginning, each time.
	sqlPriceWalkPage = `select o.product_id from ` + scopeOf + ` and o.product_id > @after and p.id > @after order by o.product_id limit @limit for no key update of o`

	sqlPriceWalkOn   = `update price_walk set after_id = @after where key = @key`
	sqlPriceWalkDone = `delete from price_walk where key = @key`
)

// priceScope is which products rules may be for, as far as it is told without a look
// at their values; empty fits all.
type priceScope struct {
	Families   []string  `json:"families,omitempty"`
	Categories []string  `json:"categories,omitempty"`
	Subtrees   []string  `json:"subtrees,omitempty"`
	SKUs       []pim.SKU `json:"skus,omitempty"`
}

func (c *priceScope) args() pgx.NamedArgs {
	skus := make([]string, len(c.SKUs))
	for i, sku := range c.SKUs {
		skus[i] = string(sku)
	}
	return pgx.NamedArgs{"families": some(c.Families), "categories": some(c.Categories), "subtrees": some(c.Subtrees), "skus": skus}
}

// derivePricesOf has the prices of all products derived anew that one of rules
// may be for.
func (s *Store) derivePricesOf(ctx context.Context, tx pgx.Tx, rules []pim.PriceRule) error {
	var scopes []priceScope
	for _, r := range rules {
		if !r.On() {
			continue
		}
		c := priceScope{r.Families, r.Categories, r.Subtrees, r.SKUs}
		if len(c.Families)+len(c.Categories)+len(c.Subtrees)+len(c.SKUs) == 0 {
			scopes = []priceScope{c} // all: the others are among them
			break
		}
		scopes = append(scopes, c)
	}
	for _, c := range scopes {
		args := c.args()
		args["scope"], args["few"] = mustJSON(c), s.fewDerived
		if _, err := tx.Exec(ctx, sqlDerivePrices, args); err != nil {
			return err
		}
	}
	return nil
}

// WalkPrices derives the prices anew of the next products, most at the most, that
// another rule or price list may be for, under the lease of the consumer of derive. It
// says of how many products something changed. again: there may be more.
func (s *Store) WalkPrices(ctx context.Context, l Lease, most int) (changed int64, again bool, err error) {
	if err = s.pool.QueryRow(ctx, sqlPriceWalks).Scan(&again); err == nil && again {
		err = s.untangledTx(ctx, func(tx pgx.Tx) error {
			if err := underLease(ctx, tx, l); err != nil {
				return err
			}
			changed, err = s.walkPrices(ctx, tx, most)
			return err
		})
	}
	if err != nil {
		return 0, false, fmt.Errorf("derive the prices of a rule: %w", err)
	}
	return changed, again, nil
}

func (s *Store) walkPrices(ctx context.Context, tx pgx.Tx, most int) (changed int64, err error) {
	gs := guards{} // before the walk, as by who changes a price list
	rows, err := tx.Query(ctx, sqlPriceGuards)
	if err == nil {
		err = gs.read(rows)
	}
	if err != nil {
		return 0, err
	}
	var (
		key   string
		after int64
		raw   []byte
		scope priceScope
	)
	if err := tx.QueryRow(ctx, sqlPriceWalkNext).Scan(&key, &after, &raw); errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(raw, &scope); err != nil {
		return 0, fmt.Errorf("decode the scope of a rule: %w", err)
	}
	args := scope.args()
	args["after"], args["limit"] = after, most
	if rows, err = tx.Query(ctx, sqlPriceWalkPage, args); err != nil {
		return 0, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return 0, err
	}
	if len(ids) > 0 {
		book, err := readBook(tx.QueryRow(ctx, sqlPriceBook))
		if err == nil {
			err = s.compile(ctx, tx, &book)
		}
		if err == nil {
			changed, err = derivePrices(ctx, tx, book, gs, ids, ids, bulk)
		}
		if err != nil {
			return 0, err
		}
		after = ids[len(ids)-1]
	}
	on := sqlPriceWalkOn
	if len(ids) < most {
		on = sqlPriceWalkDone
	}
	_, err = tx.Exec(ctx, on, pgx.NamedArgs{"key": key, "after": after})
	return changed, err
}
