//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// What keeps a product off a channel is told to people and to programs, and so
// is what the target was asked.
func TestExplainAndExchanges(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t)
	keys := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	if _, stderr, status := output(t, env, "channel", "create", "x", "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR", "--allow-private-targets",
		"--set", "url=http://127.0.0.1:1/items", "--set", "secret=whsec_"+strings.Repeat("QUJD", 10)); status != 0 {
		t.Fatal(stderr)
	}
	if _, stderr, status := output(t, env, "channel", "test", "x"); status != 1 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	db := connect(t, dsn)
	for _, sql := range []string{
		`insert into family (code, definition) values ('f', '{"code": "f", "attributes": []}')`,
		`insert into product (sku, family) values ('A-1', 'f')`,
		`insert into event (product_id, rev, lanes, type, actor, data) select id, 1, 1, 'product.created', 'somebody', '{}' from product`,
		`insert into listing (channel_id, lane, product_id, dirty, error, verdict, receipt_at, receipt_rev, issues)
		 select c.id, 1, p.id, false, 'refused', 'validation', now(), 1, '[{"code": "x", "severity": "error", "attribute": "name", "text": "is too\nshort"}]' from channel c, product p`,
		`update channel set mark_after = null`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args   []string
		status int
		want   []string
	}{
		{[]string{"explain", "x", "A-1"}, 0, []string{
			"A-1 is not on x: the target refused it: name: is too short", "content: rejected (parked)", "product.created of A-1 by somebody", "mapping 1", "answer   validation of revision 1", "error x name: is too short",
			"offer: none (empty)",
		}},
		{[]string{"explain", "x", "A-1", "--json"}, 0, []string{`"reason": "parked"`}},
		{[]string{"explain", "x", "B"}, 0, []string{"B is not on x: there is no product with this SKU"}},
		{[]string{"explain", "y", "A-1"}, 1, []string{"channel y"}},
		{[]string{"exchanges", "x"}, 0, []string{"EXCHANGE  AT", "probe  -     POST http://127.0.0.1:1/items  -"}},
		{[]string{"exchanges", "x", "--failed", "--kind", "probe", "--since", "1h", "--json"}, 0, []string{`"status": 0`, `"url": "http://127.0.0.1:1/items"`}},
		{[]string{"exchanges", "x", "--sku", "A-1"}, 0, []string{"EXCHANGE  AT"}},
		{[]string{"exchanges", "x", "1"}, 0, []string{"POST http://127.0.0.1:1/items", "refused"}},
		{[]string{"exchanges", "x", "99"}, 1, []string{"exchange 99"}},
	} {
		said, stderr, status := output(t, env, c.args...)
		for _, want := range c.want {
			if status != c.status || !strings.Contains(said+stderr, want) {
				t.Errorf("%v: status %d, no %q in\n%s%s", c.args, status, want, said, stderr)
			}
		}
	}
}
