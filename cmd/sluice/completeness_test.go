//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// What a product lacks for its channels is told to people and to programs.
func TestCompletenessCommand(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t)
	keys := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	db := connect(t, dsn)
	for _, sql := range []string{
		`insert into attribute (code, definition) values ('name', '{"code": "name", "type": "text"}'), ('ean', '{"code": "ean", "type": "text"}')`,
		`insert into family (code, definition) values ('f', '{"code": "f", "attributes": [{"code": "name", "required": true}, {"code": "ean", "required_for": ["x"]}]}')`,
		`insert into product (sku, family, values) values ('A-1', 'f', '{"name": "A"}')`,
		`update catalogue set version = version + 1`,
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	// Without channels it is of the house's locales.
	if stdout, stderr, status := output(t, env, "completeness", "--family", "f", "--locale", "en-GB"); status != 0 || stdout != "- en-GB: 1 of 1 products are complete, 100 % in the mean\n" {
		t.Errorf("%d, %q %s", status, stdout, stderr)
	}
	if stdout, _, _ := output(t, env, "completeness", "--family", "f"); !strings.Contains(stdout, "- de-DE: 1 of 1") || !strings.Contains(stdout, "- en-GB: 1 of 1") {
		t.Errorf("%q", stdout)
	}
	if _, stderr, status := output(t, env, "channel", "create", "x", "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR", "--allow-private-targets",
		"--set", "url=http://127.0.0.1:1/items", "--set", "secret=whsec_"+strings.Repeat("QUJD", 10)); status != 0 {
		t.Fatal(stderr)
	}
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"completeness", "A-1"}, 0, "x en-GB: 50 % (1 of 2), not ready\n  missing  ean\n"},
		{[]string{"completeness", "A-1", "--locale", "de-DE"}, 0, "x de-DE: 50 % (1 of 2)\n"},
		{[]string{"completeness", "A-1", "--channel", "x", "--json"}, 0, `"share": 0.5`},
		{[]string{"completeness", "--family", "f", "--locale", "de-DE"}, 0, "x de-DE: 0 of 1 products are complete, 50 % in the mean\n  1        lack ean\n"},
		{[]string{"completeness", "--family", "f"}, 0, "x en-GB: 0 of 1 products are complete, 50 % in the mean\n  1        lack ean\n"},
	} {
		if stdout, stderr, status := output(t, env, c.args...); status != c.status || !strings.Contains(stdout, c.want) {
			t.Errorf("%v: %d, %s%s", c.args, status, stdout, stderr)
		}
	}
	if _, stderr, status := output(t, env, "completeness", "A-1", "--locale", "xx-YY"); status != 1 || !strings.Contains(stderr, "locale xx-YY is not known") {
		t.Errorf("%d, %s", status, stderr)
	}
	if _, stderr, status := output(t, env, "completeness", "B"); status != 1 || !strings.Contains(stderr, "product B") {
		t.Errorf("%d, %s", status, stderr)
	}
}
