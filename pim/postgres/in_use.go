package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// InUse is an ErrInUse that says by whom: its problems have no pointers, and the
// codes used.channel, used.product and so on. Of each kind of which there may be
// many it names a few.
type InUse struct{ By []pim.Problem }

func (e *InUse) Error() string {
	by := make([]string, len(e.By))
	for i, p := range e.By {
		by[i] = p.Detail
	}
	return ErrInUse.Error() + ": " + strings.Join(by, "; ")
}

// Unwrap makes it an ErrInUse.
func (e *InUse) Unwrap() error { return ErrInUse }

// unused gives *InUse where one of sql's rows, of a kind and a text, says that
// something is used, or something besides does.
func unused(ctx context.Context, q querier, sql string, args pgx.NamedArgs, besides ...pim.Problem) error {
	rows, err := q.Query(ctx, sql, args)
	if err != nil {
		return err
	}
	used := &InUse{By: besides}
	var kind, text string
	_, err = pgx.ForEachRow(rows, []any{&kind, &text}, func() error {
		used.By = append(used.By, pim.Problem{Code: "used." + kind, Detail: text})
		return nil
	})
	if err != nil || len(used.By) == 0 {
		return err
	}
	return used
}

const (
	// sqlLocaleUses looks into the values that products and records show: what stands
	// at attributes or channels that are there no more, nobody can take away. A
	// mapping names a locale where it has it as a literal.
	sqlLocaleUses = `
with family as materialized (select family, path::jsonpath from unnest(@families::text[], @paths::text[]) f (family, path)),
entity as materialized (select entity, path::jsonpath from unnest(@entities::text[], @entity_paths::text[]) e (entity, path))
select 'channel', 'channel ' || code || ' is in it' from channel where deleted_at is null and locale = @code
union all
select 'channel', 'the mapping of channel ' || code || ' names it' from channel
where deleted_at is null and (position('''' || @code || '''' in mapping::text) > 0 or position('\"' || @code || '\"' in mapping::text) > 0)
union all
select 'locale', 'locale ' || code || ' falls back to it' from locale where fallback = @code
union all
select 'text-rule', 'text rule ' || code || ' translates or writes texts in it, or from it' from text_rule
where definition ->> 'from' = @code or definition -> 'to' ? @code
union all
select 'import-profile', 'import profile ' || code || ' names it' from import_profile where options ->> 'locale' = @code
union all
(select 'product', 'product ' || p.sku || ' has values in it' from family f join product p on p.family = f.family
 where p.deleted_at is null and jsonb_path_exists(p.values, f.path) limit 5)
union all
(select 'record', 'record ' || r.code || ' of ' || r.entity || ' has values in it' from entity e join record r on r.entity = e.entity
 where jsonb_path_exists(r.values, e.path) limit 5)`

	// sqlDropLocale forgets also how texts in it stood: those are gone.
	sqlDropLocale = `
with texts as (delete from product_text where locale = @code)
delete from locale where code = @code`
)

// What of an import profile names families and locations, see DeleteFamily and DeleteLocation.
const (
	sqlFamilyProfiles   = `select 'import-profile', 'import profile ' || code || ' names it' from import_profile where options ->> 'family' = @code`
	sqlLocationProfiles = `
select 'import-profile', 'import profile ' || code || ' names it' from import_profile where options ->> 'location' = @code or options -> 'map' ? ('stock:' || @code)`
)

// DeleteLocale removes a locale that nothing is in, and nothing names. *InUse says
// what does; ErrNotFound; ErrStale where ifMatch is not 0 and not its revision.
// Labels in it stay, as do the glossary and the memory of translations. While it
// looks for values, edits of products wait: none may write what it does not see.
func (s *Store) DeleteLocale(ctx context.Context, code pim.Locale, ifMatch int64) error {
	uses := func(q querier, now *pim.Schema) error {
		if err := defined(now, "locale/"+string(code), ifMatch); err != nil {
			return err
		}
		asked, err := conditionsIn(ctx, q, now, code)
		if err != nil {
			return err
		}
		return unused(ctx, q, sqlLocaleUses, localeUses(now, code), asked...)
	}
	schema, err := s.RefreshSchema(ctx)
	if err == nil {
		err = uses(s.pool, schema) // the usual refusal has nobody wait
	}
	if err != nil {
		return fmt.Errorf("delete locale %s: %w", code, err)
	}
	return s.drop(ctx, sqlDropLocale, string(code), ifMatch, func(ctx context.Context, tx pgx.Tx, next *pim.Schema) (bool, error) {
		if _, err := tx.Exec(ctx, lockProducts); err != nil {
			return false, err
		}
		if err := uses(tx, next); err != nil {
			return false, err
		}
		next.Locales, next.Fallbacks = takenFrom(next.Locales, code), takenFrom(next.Fallbacks, code)
		next.Revisions = takenFrom(next.Revisions, "locale/"+string(code))
		return false, nil
	})
}

// conditionsIn are the price rules whose condition asks for a value in a locale:
// without it they would be for no product.
func conditionsIn(ctx context.Context, q querier, now *pim.Schema, code pim.Locale) (by []pim.Problem, err error) {
	rules, err := conditionedRules(ctx, q, nil)
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	without := &pim.Schema{Attributes: now.Attributes, Locales: maps.Clone(now.Locales), Channels: now.Channels}
	delete(without.Locales, code)
	for _, r := range rules {
		if compileCondition(r.Condition, now, pgx.NamedArgs{}) != compileCondition(r.Condition, without, pgx.NamedArgs{}) {
			by = append(by, pim.Problem{Code: "used.price-rule", Detail: "the condition of price rule " + r.Code + " asks for a value in it"})
		}
	}
	return by, nil
}

// localeUses are the arguments of sqlLocaleUses: for each family and reference
// entity with localizable attributes the path to a value in the locale.
func localeUses(schema *pim.Schema, code pim.Locale) pgx.NamedArgs {
	channels := slices.Sorted(maps.Keys(schema.Channels))
	path := func(attributes []*pim.Attribute) string {
		var ways []string
		for _, a := range attributes {
			switch {
			case a == nil || !a.Localizable:
			case a.Scopable:
				for _, c := range channels {
					ways = append(ways, pathTo(a.Code, string(c), string(code)))
				}
			default:
				ways = append(ways, pathTo(a.Code, string(code)))
			}
		}
		if len(ways) == 0 {
			return ""
		}
		return "$ ? (" + strings.Join(ways, " || ") + ")"
	}
	families, paths, entities, entityPaths := []string{}, []string{}, []string{}, []string{}
	for _, f := range slices.Sorted(maps.Keys(schema.Families)) {
		var of []*pim.Attribute
		for _, m := range schema.Families[f].Attributes {
			of = append(of, schema.Attributes[m.Code])
		}
		if p := path(of); p != "" {
			families, paths = append(families, f), append(paths, p)
		}
	}
	for _, e := range slices.Sorted(maps.Keys(schema.Entities)) {
		var of []*pim.Attribute
		for i := range schema.Entities[e].Attributes {
			of = append(of, &schema.Entities[e].Attributes[i])
		}
		if p := path(of); p != "" {
			entities, entityPaths = append(entities, e), append(entityPaths, p)
		}
	}
	return pgx.NamedArgs{"code": code, "families": families, "paths": paths, "entities": entities, "entity_paths": entityPaths}
}

// pathTo is the test of a JSON path for a member below members.
func pathTo(members ...string) string {
	b := strings.Builder{}
	b.WriteString("exists (@")
	for _, m := range members {
		quoted, _ := json.Marshal(m) // a text always can be written
		b.WriteString("." + string(quoted))
	}
	b.WriteString(")")
	return b.String()
}

// The uses of a price list and of a currency in prices; those of deleted products
// are none.
const (
	pricesIn = ` from price c join product p on p.id = c.product_id and p.deleted_at is null where c.`
	heldIn   = ` from price_hold c join product p on p.id = c.product_id and p.deleted_at is null where c.`

	sqlPriceListUses = `
select 'house', 'a house keeps the price list that it began with' where @code = 'default'
union all
select 'channel', 'channel ' || code || ' sells by it' from channel where deleted_at is null and price_list = @code
union all
select 'price-list', 'price list ' || code || ' is made of it' from price_list where definition ->> 'base' = @code
union all
select 'price-rule', 'price rule ' || code || ' makes its prices' from price_rule where definition ->> 'price_list' = @code
union all
select 'price-rule', 'price rule ' || code || ' has the costs of its margin from it' from price_rule where definition #>> '{margin,price_list}' = @code
union all
select 'import-profile', 'import profile ' || code || ' names it' from import_profile where options ->> 'price_list' = @code
union all
(select distinct 'product', 'product ' || sku || ' has prices in it' from (select p.sku` + pricesIn + `price_list = @code limit 5) p)
union all
(select distinct 'product', 'a price of product ' || sku || ' in it waits for approval' from (select p.sku` + heldIn + `price_list = @code limit 5) p)`

	sqlCurrencyUses = `
select 'channel', 'channel ' || code || ' sells in it' from channel where deleted_at is null and currency = @code
union all
select 'price-list', 'price list ' || code || ' has prices in it' from price_list where definition -> 'currencies' ? @code
union all
select 'price-rule', 'price rule ' || code || ' is for prices in it' from price_rule where definition ->> 'currency' = @code
union all
select 'import-profile', 'import profile ' || code || ' names it' from import_profile
where options ->> 'currency' = @code or options -> 'map' ?| array['price:' || @code, 'sale:' || @code]
union all
(select distinct 'product', 'product ' || sku || ' has prices in it' from (select p.sku` + pricesIn + `currency = @code limit 5) p)
union all
(select distinct 'product', 'a price of product ' || sku || ' in it waits for approval' from (select p.sku` + heldIn + `currency = @code limit 5) p)`

	// sqlDropPriceList and sqlDropCurrency forget what deleted products have, too.
	sqlDropPriceList = `
with holds as (delete from price_hold where price_list = @code),
guard as (delete from price_guard where price_list = @code),
prices as (delete from price where price_list = @code),
stamps as (delete from price_stamp where price_list = @code)
delete from price_list where code = @code`
	sqlDropCurrency = `
with holds as (delete from price_hold where currency = @code),
moves as (delete from price_move where currency = @code),
gone as (delete from price where currency = @code returning product_id, price_list, min_quantity),
counted as (
    update price_guard g set prices = g.prices - c.n
    from (select price_list, count(distinct (product_id, min_quantity)) as n from gone group by 1) c where c.price_list = g.price_list
),
stamps as (delete from price_stamp where currency = @code)
delete from currency where code = @code`
)

// DeletePriceList removes a price list without prices that nothing names. *InUse
// says what does; ErrNotFound; ErrStale where ifMatch is not 0 and not its
// revision. What deleted products had in it goes with it. The list default stays.
func (s *Store) DeletePriceList(ctx context.Context, code string, ifMatch int64) error {
	return s.dropPriced(ctx, "price list "+code, sqlPriceListUses, sqlDropPriceList, code, func(tx pgx.Tx, next *pim.Schema) error {
		l, err := priceList(ctx, tx, code)
		next.PriceLists, next.ListCurrencies = takenFrom(next.PriceLists, code), takenFrom(next.ListCurrencies, code)
		return leaves(err, l.Rev, ifMatch)
	})
}

// DeleteCurrency removes a currency that there are no prices in and that nothing
// names, as DeletePriceList does a list.
func (s *Store) DeleteCurrency(ctx context.Context, code pim.Currency) error {
	return s.dropPriced(ctx, "currency "+string(code), sqlCurrencyUses, sqlDropCurrency, string(code), func(_ pgx.Tx, next *pim.Schema) error {
		next.Currencies = takenFrom(next.Currencies, code)
		return nil
	})
}

// dropPriced removes what prices are in, which check takes from the next schema.
// Whoever sets prices is waited for, and waits: see sqlPrices, which sets none in
// what is gone.
func (s *Store) dropPriced(ctx context.Context, what, uses, drop, code string, check func(pgx.Tx, *pim.Schema) error) error {
	args := pgx.NamedArgs{"code": storable(code)}
	err := s.reprice(ctx, func(tx pgx.Tx, now *pim.Schema) (*pim.Schema, error) {
		next := now.Copy()
		if err := check(tx, next); err != nil {
			return nil, err
		}
		if err := unused(ctx, tx, uses, args); err != nil {
			return nil, err
		}
		tag, err := tx.Exec(ctx, drop, args)
		if err != nil {
			return nil, err
		}
		if tag.RowsAffected() == 0 {
			return nil, ErrNotFound
		}
		return next, stillGuarded(ctx, tx, next)
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", what, err)
	}
	return nil
}

const sqlSellsIn = `
select exists (select from locale where code = @locale), exists (select from currency where code = @currency), exists (select from price_list where code = @price_list)`

// sellsIn checks, behind the lock of the catalogue, that what a channel names is
// still there: it was looked at before.
func sellsIn(ctx context.Context, tx pgx.Tx, c *Channel) error {
	var there [3]bool
	if err := tx.QueryRow(ctx, sqlSellsIn, c.args()).Scan(&there[0], &there[1], &there[2]); err != nil {
		return err
	}
	var gone []pim.Problem
	for i, name := range []string{"locale", "currency", "price_list"} {
		if !there[i] {
			gone = append(gone, pim.Problem{Pointer: "/" + name, Code: name + ".unknown", Detail: "it is not there any more"})
		}
	}
	if len(gone) > 0 {
		return &pim.Invalid{Problems: gone}
	}
	return nil
}

// ruleLocales checks, behind a lock that deletions of locales wait for, that those
// of a rule are still there.
func (s *Store) ruleLocales(ctx context.Context, tx pgx.Tx, rule TextRule) error {
	var version int64
	if err := tx.QueryRow(ctx, sqlShareCatalogue).Scan(&version); err != nil {
		return err
	}
	schema, err := s.schemaOf(ctx, tx, version)
	if err != nil {
		return err
	}
	var gone []pim.Problem
	unknown := func(at string, l pim.Locale) {
		if l != "" && !schema.Locales[l] {
			gone = append(gone, pim.Problem{Pointer: at, Code: "locale.unknown", Detail: fmt.Sprintf("locale %s is not there any more", l)})
		}
	}
	unknown("/from", rule.From)
	for i, l := range rule.To {
		unknown(fmt.Sprintf("/to/%d", i), l)
	}
	if len(gone) > 0 {
		return &pim.Invalid{Problems: gone}
	}
	return nil
}
