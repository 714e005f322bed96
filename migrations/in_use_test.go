package migrations_test

import (
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Categories and attribute groups that were plain text are there afterwards, and
// nothing of what named them is lost.
func TestWhatIsInUseStays(t *testing.T) {
	dsn := newServer(t).empty("in_use")
	conn := connect(t, dsn)
	db := stdlib.OpenDB(*conn.Config())
	t.Cleanup(func() { _ = db.Close() })
	g, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.UpTo(t.Context(), 14); err != nil {
		t.Fatal(err)
	}
	execute(t, dsn, `
insert into family values ('f', '{}');
insert into product (sku, family, categories, deleted_at) values ('A', 'f', '{shoes,hats}', null), ('B', 'f', '{hats}', null), ('GONE', 'f', '{old}', now());
insert into attribute values ('a', '{"code": "a", "group": "Technical data"}'), ('b', '{"code": "b", "group": "texts"}'), ('c', '{"code": "c"}'),
    ('d', '{"code": "d", "group": "…"}'), ('e', '{"code": "e", "group": ""}')`)
	if _, err := g.UpTo(t.Context(), 15); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		`select string_agg(code || position || path::text || coalesce(parent, ''), ' ' order by position) from category`:                                                     "hats0{hats} shoes1{shoes}",
		`select string_agg(coalesce(nullif(definition ->> 'group', ''), '-'), ' ' order by code) from attribute where code <> 'd'`:                                           "Technical_data texts - -",
		`select definition #>> '{labels,en-GB}' from attribute_group where code = 'Technical_data'`:                                                                          "Technical data",
		`select (definition -> 'labels' is null)::text from attribute_group where code = 'texts'`:                                                                            "true",
		`select count(*)::text from attribute a where a.definition ->> 'group' <> '' and not exists (select from attribute_group g where g.code = a.definition ->> 'group')`: "0",
		`select count(*)::text from attribute_group`: "3",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s: %q (%v), want %q", query, got, err, want)
		}
	}
}
