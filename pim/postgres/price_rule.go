package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// PriceRule is a stored rule.
type PriceRule struct {
	pim.PriceRule
	Rev       int64 // the ETag
	UpdatedAt time.Time
}

const (
	sqlPriceRules = `select rev, updated_at, definition from price_rule order by code`
	sqlPriceRule  = `select rev, updated_at, definition from price_rule where code = @code`
)

func scanPriceRule(row pgx.CollectableRow) (r PriceRule, err error) {
	var definition []byte
	if err := row.Scan(&r.Rev, &r.UpdatedAt, &definition); err != nil {
		return r, err
	}
	return r, json.Unmarshal(definition, &r.PriceRule)
}

// PriceRules lists all rules, by their codes.
func (s *Store) PriceRules(ctx context.Context) ([]PriceRule, error) {
	rows, err := s.pool.Query(ctx, sqlPriceRules)
	if err != nil {
		return nil, fmt.Errorf("list price rules: %w", err)
	}
	return pgx.CollectRows(rows, scanPriceRule)
}

// PriceRule reads one rule; ErrNotFound.
func (s *Store) PriceRule(ctx context.Context, code string) (PriceRule, error) {
	r, err := priceRule(ctx, s.pool, code)
	if err != nil {
		return r, fmt.Errorf("price rule %s: %w", code, err)
	}
	return r, nil
}

func priceRule(ctx context.Context, q querier, code string) (PriceRule, error) {
	return one(ctx, q, sqlPriceRule, pgx.NamedArgs{"code": storable(code)}, scanPriceRule)
}

const (
	sqlPutPriceRule = `
insert into price_rule as r (code, definition) values (@code, @definition)
on conflict (code) do update set definition = excluded.definition, rev = r.rev + 1, updated_at = now()
where r.definition is distinct from excluded.definition`
	sqlDeletePriceRule = `delete from price_rule where code = @code`

	sqlRulesThere = `update catalogue set derives = derives | 8, version = version + 1 returning version`
)

// PutPriceRule checks (*pim.Invalid, and *pim.FilterError of its condition) and stores a rule. The prices that it makes
// or made are derived anew by the consumer of derive, which the caller wakes.
// The same again changes nothing. ifMatch, when not 0, is the revision that it
// must have (ErrStale).
func (s *Store) PutPriceRule(ctx context.Context, rule pim.PriceRule, ifMatch int64) (now PriceRule, created bool, err error) {
	err = s.reprice(ctx, func(tx pgx.Tx, schema *pim.Schema) (*pim.Schema, error) {
		old, err := priceRule(ctx, tx, rule.Code)
		if created, err = meets(err, old.Rev, ifMatch); err != nil {
			return nil, err
		}
		if problems := schema.CheckPriceRule(&rule); len(problems) > 0 {
			return nil, &pim.Invalid{Problems: problems}
		}
		if rule.Condition != "" {
			if err := checkCondition(rule.Condition, schema); err != nil {
				return nil, err
			}
		}
		tag, err := tx.Exec(ctx, sqlPutPriceRule, pgx.NamedArgs{"code": rule.Code, "definition": mustJSON(rule)})
		if err != nil || tag.RowsAffected() == 0 {
			return nil, err
		}
		if err := madeOfOthers(ctx, tx, &rule); err != nil {
			return nil, err
		}
		scopes := []pim.PriceRule{rule}
		if !created {
			scopes = append(scopes, old.PriceRule)
		}
		return withRules(schema), s.derivePricesOf(ctx, tx, scopes)
	})
	if err != nil {
		return now, false, fmt.Errorf("store price rule %s: %w", rule.Code, err)
	}
	now, err = s.PriceRule(ctx, rule.Code)
	return now, created, err
}

// sqlMadeOf says of what the prices of a list are made, by rules that are enabled: what
// base it has (none: no rule makes any), and whether the list itself is among what that
// and @cost are made of.
const sqlMadeOf = `
with recursive base (list, base) as (
    select code, coalesce(nullif(definition ->> 'base', ''), case when code <> 'default' then 'default' else '' end) from price_list
), made (list) as (
    select base from base where list = @list
  union
    select @cost::text
  union
    select needs.list from made m cross join lateral (
        select b.base from base b where b.list = m.list
      union all
        select r.definition -> 'margin' ->> 'price_list' from price_rule r
        where r.definition ->> 'price_list' = m.list and r.definition ? 'margin' and not r.definition @> '{"enabled": false}'
    ) needs (list)
    where exists (select from price_rule r where r.definition ->> 'price_list' = m.list and not r.definition @> '{"enabled": false}')
)
select coalesce((select base from base where list = @list), ''),
       exists (select from price_rule where definition ->> 'price_list' = @list and not definition @> '{"enabled": false}'),
       exists (select from made where list = @list)`

// madeOfOthers refuses a rule that makes a list of itself, or one of nothing. Of all
// rules it looks at those alone whose lists the rule's own is made of: the others were
// looked at when they were made.
func madeOfOthers(ctx context.Context, tx pgx.Tx, rule *pim.PriceRule) error {
	if !rule.On() {
		return nil
	}
	cost := ""
	if rule.Margin != nil {
		cost = rule.Margin.PriceList
	}
	var (
		base         string
		made, itself bool
	)
	if err := tx.QueryRow(ctx, sqlMadeOf, pgx.NamedArgs{"list": rule.PriceList, "cost": cost}).Scan(&base, &made, &itself); err != nil {
		return err
	}
	switch {
	case !made:
		return nil
	case base == "":
		return pim.NoBase(rule.PriceList)
	case itself:
		return pim.MadeOfItself(rule.PriceList)
	}
	return nil
}

// DeletePriceRule removes a rule, and with the next deriving the prices that it
// made; ErrNotFound; ErrStale where ifMatch is not 0 and not its revision.
func (s *Store) DeletePriceRule(ctx context.Context, code string, ifMatch int64) error {
	err := s.reprice(ctx, func(tx pgx.Tx, schema *pim.Schema) (*pim.Schema, error) {
		old, err := priceRule(ctx, tx, code)
		if err := leaves(err, old.Rev, ifMatch); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, sqlDeletePriceRule, pgx.NamedArgs{"code": old.Code}); err != nil {
			return nil, err
		}
		return withRules(schema), s.derivePricesOf(ctx, tx, []pim.PriceRule{old.PriceRule})
	})
	if err != nil {
		return fmt.Errorf("delete price rule %s: %w", code, err)
	}
	return nil
}

// withRules is the schema of a house with price rules.
func withRules(schema *pim.Schema) *pim.Schema {
	next := schema.Copy()
	next.PriceRules = true
	return next
}

// reprice changes what prices are derived by, alone: whoever sets prices is
// waited for, and waits. change gives the next schema; nil where nothing is different.
func (s *Store) reprice(ctx context.Context, change func(pgx.Tx, *pim.Schema) (*pim.Schema, error)) error {
	var next *pim.Schema
	err := s.untangledTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, sqlPricesAlone); err != nil {
			return err
		}
		schema, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		if next, err = change(tx, schema); err != nil || next == nil {
			return err
		}
		if next.PriceRules {
			return tx.QueryRow(ctx, sqlRulesThere).Scan(&next.Version)
		}
		return bumpSchema(ctx, tx, next)
	})
	if err == nil && next != nil {
		s.keepSchema(next)
	}
	return err
}

// some is list, and an empty one for nil, which PostgreSQL would take for null.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// PriceList is a stored price list.
type PriceList struct {
	pim.PriceList
	Rev       int64 // the ETag
	UpdatedAt time.Time
}

const (
	sqlPriceLists = `select code, rev, updated_at, definition from price_list order by code`
	sqlPriceList  = `select code, rev, updated_at, definition from price_list where code = @code`

	sqlPutPriceList = `
insert into price_list as l (code, definition) values (@code, @definition)
on conflict (code) do update set definition = excluded.definition, rev = l.rev + 1, updated_at = now()
where l.definition is distinct from excluded.definition`

	sqlSetGuard = `
insert into price_guard (price_list, prices)
select @code, (select count(*) from (select distinct product_id, currency, min_quantity from price where price_list = @code) p) where @guarded::boolean
on conflict (price_list) do update set prices = excluded.prices`
	// sqlEndGuard leaves the row of a list that holds something still.
	sqlEndGuard = `
delete from price_guard g where price_list = @code and not @guarded::boolean and not exists (select from price_hold h where h.price_list = g.price_list)`
)

func scanPriceList(row pgx.CollectableRow) (l PriceList, err error) {
	var (
		code       string
		definition []byte
	)
	if err := row.Scan(&code, &l.Rev, &l.UpdatedAt, &definition); err != nil {
		return l, err
	}
	err = json.Unmarshal(definition, &l.PriceList)
	l.Code = code
	return l, err
}

// PriceLists lists all price lists, by their codes.
func (s *Store) PriceLists(ctx context.Context) ([]PriceList, error) {
	rows, err := s.pool.Query(ctx, sqlPriceLists)
	if err != nil {
		return nil, fmt.Errorf("list price lists: %w", err)
	}
	return pgx.CollectRows(rows, scanPriceList)
}

// PriceList reads one price list; ErrNotFound.
func (s *Store) PriceList(ctx context.Context, code string) (PriceList, error) {
	l, err := priceList(ctx, s.pool, code)
	if err != nil {
		return l, fmt.Errorf("price list %s: %w", code, err)
	}
	return l, nil
}

func priceList(ctx context.Context, q querier, code string) (PriceList, error) {
	return one(ctx, q, sqlPriceList, pgx.NamedArgs{"code": storable(code)}, scanPriceList)
}

// PutPriceList checks (*pim.Invalid) and stores a price list; its prices stay.
// Where it has another base, or other currencies, what rules make of it is derived
// anew, as after PutPriceRule. ifMatch is as there.
func (s *Store) PutPriceList(ctx context.Context, list pim.PriceList, ifMatch int64) (now PriceList, created bool, err error) {
	err = s.reprice(ctx, func(tx pgx.Tx, schema *pim.Schema) (*pim.Schema, error) {
		old, err := priceList(ctx, tx, list.Code)
		if created, err = meets(err, old.Rev, ifMatch); err != nil {
			return nil, err
		}
		if problems := schema.CheckPriceList(&list); len(problems) > 0 {
			return nil, &pim.Invalid{Problems: problems}
		}
		tag, err := tx.Exec(ctx, sqlPutPriceList, pgx.NamedArgs{"code": list.Code, "definition": withoutCode(list)})
		if err != nil || tag.RowsAffected() == 0 {
			return nil, err
		}
		for _, sql := range []string{sqlSetGuard, sqlEndGuard} {
			if _, err := tx.Exec(ctx, sql, pgx.NamedArgs{"code": list.Code, "guarded": list.Guard != nil}); err != nil {
				return nil, err
			}
		}
		next := schema.Copy()
		if next.PriceLists = putInto(schema.PriceLists, list.Code, true); len(list.Currencies) > 0 {
			next.ListCurrencies = putInto(schema.ListCurrencies, list.Code, slices.Clone(list.Currencies))
		} else if schema.ListCurrencies[list.Code] != nil {
			next.ListCurrencies = takenFrom(schema.ListCurrencies, list.Code)
		}
		next.PriceGuards = schema.PriceGuards || list.Guard != nil
		if err := stillGuarded(ctx, tx, next); err != nil {
			return nil, err
		}
		if old.BaseList() == list.BaseList() && slices.Equal(old.Currencies, list.Currencies) || created {
			return next, nil
		}
		if err := madeOfOthers(ctx, tx, &pim.PriceRule{PriceList: list.Code}); err != nil {
			if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
				for i := range invalid.Problems {
					invalid.Problems[i].Pointer = "/base"
				}
			}
			return nil, err
		}
		if !schema.PriceRules {
			return next, nil
		}
		return next, s.derivePricesOf(ctx, tx, []pim.PriceRule{{}})
	})
	if err != nil {
		return now, false, fmt.Errorf("store price list %s: %w", list.Code, err)
	}
	now, err = s.PriceList(ctx, list.Code)
	return now, created, err
}

// stillGuarded looks whether there are lists whose changes are judged, behind a change
// of next's lists.
func stillGuarded(ctx context.Context, tx pgx.Tx, next *pim.Schema) error {
	if !next.PriceGuards {
		return nil
	}
	return tx.QueryRow(ctx, sqlGuarded).Scan(&next.PriceGuards)
}

// withoutCode is what is stored of a list or a location: nothing, {}, of one that is a bare code.
func withoutCode[T any](l T) []byte {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(mustJSON(l), &members); err != nil {
		panic("postgres: encode: " + err.Error())
	}
	delete(members, "code")
	return mustJSON(members)
}
