package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// A price rule's condition is a filter, and the database answers it by the same
// compiler that finds products: a rule is for exactly those that its condition
// finds. It may only ask for what prices follow (see price_derive.go): for what
// stands at a product and at the models above it, and for the tree. What else it
// means is the schema's: whoever changes that has the prices derived anew where a
// condition asks for something else by it (followConditions). One that asks for
// what there is no more fits no product.

// conditionFields are what a condition may ask for: each changes with an edit of
// the product, or of a model above it, or with the tree, or never.
var conditionFields = []string{"sku", "parent", "root", "family", "family_variant", "category", "enabled", "created_at", "values"}

// checkCondition finds what is wrong with a rule's condition: a *pim.FilterError.
func checkCondition(text string, schema *pim.Schema) error {
	where, err := pim.ParseFilter(text)
	if err != nil {
		return err
	}
	err = where.EachTest(func(f *pim.Filter) error {
		if !slices.Contains(conditionFields, f.Path[0]) {
			return fault(f.At, "price_rule.condition", "a condition asks for what stands at the product, by %s: prices do not follow %s",
				strings.Join(conditionFields[:len(conditionFields)-1], ", ")+" and values.ATTRIBUTE", clipped(strings.Join(f.Path, ".")))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err = compileFilter(where, schema, nil, pgx.NamedArgs{}); err != nil {
		return err
	}
	return where.EachTest(func(f *pim.Filter) error {
		if f.Path[0] != "values" {
			return nil
		}
		c, a := compiler{schema: schema}, schema.Attributes[f.Path[1]]
		channel, locale, err := c.scopes(f, a)
		if err == nil && (a.Scopable && channel == "" || a.Localizable && locale == "") {
			return fault(f.At, "price_rule.condition", "attribute %s has a value for each of its scopes: a condition names which", a.Code)
		}
		return err
	})
}

// compileCondition gives a stored condition in SQL; "false" where it asks for what
// there is not, by this schema.
func compileCondition(text string, schema *pim.Schema, args pgx.NamedArgs) string {
	where, err := pim.ParseFilter(text)
	if err != nil {
		return "false"
	}
	sql, err := compileFilter(where, schema, nil, args)
	if err != nil {
		return "false"
	}
	return sql
}

// conditionQuery says of products which of some conditions they fit.
type conditionQuery struct {
	texts []string
	sql   string
	args  pgx.NamedArgs
}

// Texts of which the statements are made: they are no constants, as those of
// docs/decisions/023.
const (
	fitsBegin = `
select p.id, array[`
	fitsEnd = `]::boolean[]
from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id
where p.id = any(@ids::bigint[]) and p.deleted_at is null`

	// The protocol takes 65,535 arguments, and one condition has some 13,000 at most.
	fitsArguments = 10_000
)

// conditionQueries asks for all conditions, in as few statements as take them.
func conditionQueries(texts []string, schema *pim.Schema) (out []conditionQuery) {
	for len(texts) > 0 {
		q := conditionQuery{args: pgx.NamedArgs{}}
		var all []string
		for _, text := range texts {
			if len(q.args) > fitsArguments {
				break
			}
			all = append(all, compileCondition(text, schema, q.args))
		}
		q.texts, texts = texts[:len(all)], texts[len(all):]
		q.sql = fitsBegin + strings.Join(all, ",\n") + fitsEnd
		out = append(out, q)
	}
	return out
}

// queue has the conditions asked of products.
func (q conditionQuery) queue(b *pgx.Batch, ids []int64, products map[int64]*pim.PricedProduct) {
	q.args["ids"] = ids
	b.Queue(q.sql, q.args).Query(func(rows pgx.Rows) error {
		var (
			id   int64
			fits []bool
		)
		_, err := pgx.ForEachRow(rows, []any{&id, &fits}, func() error {
			p := products[id]
			for i, is := range fits {
				if p != nil && is {
					p.Fits = append(p.Fits, q.texts[i])
				}
			}
			return nil
		})
		return err
	})
}

// compile makes a book's conditions ready by a schema that is not older than the
// book: of a change that was committed before, who derives must know.
func (s *Store) compile(ctx context.Context, tx pgx.Tx, book *priceBook) error {
	if len(book.Conditions()) == 0 {
		return nil
	}
	schema, err := s.schemaOf(ctx, tx, book.version)
	if err != nil {
		return err
	}
	book.conditions = conditionQueries(book.Conditions(), schema)
	return nil
}

// schemaOf is a schema that is not older than a version, read through tx: see loadSchema.
func (s *Store) schemaOf(ctx context.Context, tx pgx.Tx, version int64) (*pim.Schema, error) {
	if schema := s.Schema(); schema.Version >= version {
		return schema, nil
	}
	return s.loadSchema(ctx, tx)
}

// sqlConditions finds the rules whose condition may ask for one of some attributes,
// or, without a list, all that have one. A condition with anything but ASCII in it may
// name an attribute by letters that are normalised first.
const sqlConditions = `
select definition from price_rule
where definition ? 'condition' and (@attributes::text[] is null or octet_length(definition ->> 'condition') <> length(definition ->> 'condition')
    or exists (select from unnest(@attributes::text[]) a where position(a in definition ->> 'condition') > 0))
order by code`

// conditionedRules are the rules that have a condition, as sqlConditions says.
func conditionedRules(ctx context.Context, q querier, attributes []string) ([]pim.PriceRule, error) {
	rows, err := q.Query(ctx, sqlConditions, pgx.NamedArgs{"attributes": attributes})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r pim.PriceRule, err error) {
		var definition []byte
		if err := row.Scan(&definition); err != nil {
			return r, err
		}
		if err := json.Unmarshal(definition, &r); err != nil {
			return r, fmt.Errorf("decode price rules: %w", err)
		}
		return r, nil
	})
}

// followConditions has the prices derived anew of rules whose condition asks for
// something else by a changed schema than by the one that was before.
func (s *Store) followConditions(ctx context.Context, tx pgx.Tx, before, now *pim.Schema) error {
	if !before.PriceRules {
		return nil
	}
	attributes, scopes := recompiled(before, now)
	if scopes {
		attributes = nil
	} else if len(attributes) == 0 {
		return nil
	}
	rules, err := conditionedRules(ctx, tx, attributes)
	if err != nil {
		return err
	}
	var touched []pim.PriceRule
	for _, r := range rules {
		was, is := pgx.NamedArgs{}, pgx.NamedArgs{}
		if compileCondition(r.Condition, before, was) != compileCondition(r.Condition, now, is) || !reflect.DeepEqual(was, is) {
			touched = append(touched, r)
		}
	}
	return s.derivePricesOf(ctx, tx, touched)
}

// recompiled is what conditions are compiled by and a change of the schema made
// others: attributes, and the scopes of values, which are locales and channels. What
// stays is the same pointer before and after.
func recompiled(before, now *pim.Schema) (attributes []string, scopes bool) {
	for code, a := range now.Attributes {
		if before.Attributes[code] != a {
			attributes = append(attributes, code)
		}
	}
	for code := range before.Attributes {
		if now.Attributes[code] == nil {
			attributes = append(attributes, code)
		}
	}
	return attributes, !maps.Equal(before.Locales, now.Locales) || !maps.Equal(before.Channels, now.Channels)
}
