//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// What guards of price lists hold is listed and decided on from the command line.
func TestPriceHoldCommand(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t)
	env := []string{"DATABASE_URL=" + dsn}
	list := filepath.Join(t.TempDir(), "list.json")
	if err := os.WriteFile(list, []byte(`{"guard": {"max_factor": 2}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := output(t, env, "price-list", "put", "default", "--file", list); status != 0 {
		t.Fatal(stderr)
	}
	db := connect(t, dsn)
	for _, sql := range []string{
		`insert into family (code, definition) values ('f', '{"code": "f", "attributes": []}')`,
		`insert into product (sku, family) values ('A-1', 'f')`,
		`insert into product_offer (product_id, price_rev) select id, 1 from product`,
		`insert into price (product_id, price_list, currency, amount) select id, 'default', 'EUR', 100 from product`,
		`insert into price_hold (price_list, product_id, currency, min_quantity, actor, reason, moves_at, old, new, prices)
			select 'default', id, 'EUR', 1, 'erp', 'factor', now(), 100, 10, '[{"amount": "10"}]' from product`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"price-hold", "list"}, 0, "A-1  default  EUR       1         factor  100   10  erp"},
		{[]string{"price-hold", "list", "--price-list", "default", "--sku", "A-1", "--json"}, 0, `"reason": "factor"`},
		{[]string{"price-hold", "approve"}, 1, "say which"},
		{[]string{"price-hold", "approve", "--price-list", "default"}, 0, "1 hold approved.\n"},
		{[]string{"price-hold", "reject", "--all"}, 0, "0 holds rejected.\n"},
	} {
		if stdout, stderr, status := output(t, env, c.args...); status != c.status || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%v: %d, %s%s", c.args, status, stdout, stderr)
		}
	}
	expect(t, db, "select amount::int from price", 10)
}
