package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

const (
	// facetProducts is how many products facets are counted over.
	facetProducts = 10_000
	// facetValues is how many values of a facet are told: the most frequent.
	facetValues = 50
)

// Facets count what is found by some of its fields.
type Facets struct {
	Products int64   `json:"products" doc:"How many were counted"`
	Capped   bool    `json:"capped" doc:"There are more, which were not counted: the counts are of the first 10,000"`
	Facets   []Facet `json:"facets"`
}

// Facet is how many products have each value of a field.
type Facet struct {
	Field  string       `json:"field" doc:"family, category, or values.ATTRIBUTE with its scopes, as in filters"`
	Values []FacetValue `json:"values" doc:"The most frequent, at most 50"`
}

// FacetValue is one value and how many products have it.
type FacetValue struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// Facets counts what f, and q where it is not nil, find, by fields: family,
// category, and option attributes as filters name them. The error is a
// *pim.FilterError where one is no such field.
func (s *Store) Facets(ctx context.Context, q *Search, f ProductFilter, fields []string) (*Facets, error) {
	args := pgx.NamedArgs{"limit": facetProducts + 1}
	where, err := s.conditions(ctx, &f, args)
	if err != nil {
		return nil, err
	}
	done, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var b strings.Builder
	b.WriteString("with ")
	const from = " from product p left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id"
	if q != nil {
		if err := s.searchArgs(ctx, *q, args); err != nil {
			return nil, fmt.Errorf("count facets: %w", err)
		}
		b.WriteString(searched(where, facetProducts+1) + ", hits as materialized (select p.id" + from + " where p.id in (select product_id from found) limit @limit)")
	} else {
		b.WriteString("hits as materialized (select p.id" + from + " where p.deleted_at is " + where + " order by p.id limit @limit)")
	}
	b.WriteString(" select 0, '', count(*) from hits")
	for i, field := range fields {
		source, err := facetSource(s.Schema(), field, args)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, " union all (select %d, v.v, count(distinct h.id) from (select id from hits order by id limit %d) h join product p on p.id = h.id left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id cross join lateral %s v (v)"+
			" where v.v <> '' group by 2 order by 3 desc, 2 limit %d)", i+1, facetProducts, source, facetValues)
	}
	rows, err := s.pool.Query(ctx, b.String(), pgx.QueryExecModeDescribeExec, args)
	if err != nil {
		return nil, fmt.Errorf("count facets: %w", err)
	}
	out := &Facets{Facets: make([]Facet, len(fields))}
	for i, field := range fields {
		out.Facets[i] = Facet{Field: field, Values: []FacetValue{}}
	}
	var (
		at    int
		value string
		n     int64
	)
	_, err = pgx.ForEachRow(rows, []any{&at, &value, &n}, func() error {
		if at == 0 {
			out.Products, out.Capped = min(n, facetProducts), n > facetProducts
			return nil
		}
		out.Facets[at-1].Values = append(out.Facets[at-1].Values, FacetValue{value, n})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count facets: %w", err)
	}
	for i := range out.Facets {
		slices.SortFunc(out.Facets[i].Values, func(a, b FacetValue) int {
			if a.Count != b.Count {
				return int(b.Count - a.Count)
			}
			return strings.Compare(a.Value, b.Value)
		})
	}
	return out, nil
}

// facetSource is a relation of one column: a product's values of a field.
func facetSource(schema *pim.Schema, field string, args pgx.NamedArgs) (string, error) {
	switch field {
	case "family":
		return "(select p.family)", nil
	case "category":
		return "(select unnest(p.categories))", nil
	}
	test, err := pim.ParseFilter(field + " is empty")
	if err != nil {
		return "", err
	}
	no := fault(0, "facet", "%s is no facet: family, category, and attributes with options, and those that name records, as values.ATTRIBUTE are", clipped(field))
	if len(test.Path) < 2 || test.Path[0] != "values" {
		return "", no
	}
	a := schema.Attributes[test.Path[1]]
	if a == nil || a.Type != pim.TypeOption && a.Type != pim.TypeOptions && a.Type != pim.TypeEntity && a.Type != pim.TypeEntities {
		return "", no
	}
	c := compiler{schema: schema, args: args}
	channel, locale, err := c.scopes(test, a)
	if err != nil {
		return "", err
	}
	c.write("(select e from ")
	c.source(a, channel, locale)
	c.write(" cross join lateral jsonb_array_elements_text(case jsonb_typeof(t.v) when 'array' then t.v else jsonb_build_array(t.v) end) e where t.v is not null)")
	return c.b.String(), nil
}
