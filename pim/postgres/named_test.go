package postgres

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Names are put in order as pgx does it, also when they come another time, in
// another order, or not all of them.
func TestNamed(t *testing.T) {
	t.Parallel()
	const sql = `select @b, '@c', @a, @b::text -- @d`
	for _, args := range []map[string]any{{"a": 1}, {"a": 1, "b": 2, "z": 3}, {"b": 3, "a": nil}, {"b": 4}, {}} {
		wantSQL, want, err := pgx.NamedArgs(args).RewriteQuery(t.Context(), nil, sql, nil)
		if err != nil {
			t.Fatal(err)
		}
		gotSQL, got, err := named(args).RewriteQuery(t.Context(), nil, sql, nil)
		if err != nil || gotSQL != wantSQL || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %s %v, want %s %v (%v)", args, gotSQL, got, wantSQL, want, err)
		}
	}
}
