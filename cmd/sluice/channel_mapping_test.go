//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// The mapping's commands: what would come of another mapping is shown before it
// is saved, it is saved, and it is taken back.
func TestMappingCommands(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t)
	dir := t.TempDir()
	keys, tried, bad := filepath.Join(dir, "keyset.json"), filepath.Join(dir, "mapping.json"), filepath.Join(dir, "bad.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		tried: `{"content": {"sku": "sku", "where": "targetCategories"}, "categories": {"a": ["1"]}, "unmapped": "error"}`,
		bad:   `{"content": {"sku": "sku +"}, "values": {"nothing": {"unit": "g"}}}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	if _, stderr, status := output(t, env, "channel", "create", "x", "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR",
		"--set", "url=https://x.example", "--set", "secret=whsec_"+strings.Repeat("QUJD", 10)); status != 0 {
		t.Fatal(stderr)
	}
	db := connect(t, dsn)
	for _, sql := range []string{
		`insert into family (code, definition) values ('f', '{"code": "f", "attributes": []}')`, `update catalogue set version = version + 1`,
		`insert into product (sku, family, categories) values ('A-1', 'f', '{a}'), ('A-2', 'f', '{a,b}'), ('B-1', 'f', '{a}')`,
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
		{[]string{"preview", "x", "A-1"}, 0, []string{`"outlook": "send"`, `"sku": "A-1"`}},
		{[]string{"preview", "x", "A-2", "--mapping", tried}, 0, []string{`"outlook": "refused"`, `"attribute": "where"`}},
		{[]string{"preview", "x", "nothing"}, 1, []string{"nothing"}},
		{[]string{"preview", "x", "A-1", "--mapping", bad}, 1, []string{"/mapping/content/sku"}},
		{[]string{"dry-run", "x", "--filter", "sku = A-2 or sku contains none"}, 0, []string{"1 products; nothing was sent."}},
		{[]string{"dry-run", "x", "--filter", "sku = "}, 1, []string{"a value is expected"}},
		{[]string{"dry-run", "x", "--sku-prefix", "A-"}, 0, []string{"2 products; nothing was sent.", "content  2 "}},
		{[]string{"dry-run", "x", "--mapping", tried}, 0, []string{"3 products", "A-2      content  error     mapping.unmapped  where", `category "b" has no entry`}},
		{[]string{"dry-run", "x", "--mapping", tried, "--limit", "1", "--json"}, 0, []string{`"products": 1`, `"refused": []`}},
		{[]string{"mapping", "x", "--set", bad}, 1, []string{"/mapping/content/sku"}},
		{[]string{"mapping", "x", "--set", tried, "--note", "where it goes"}, 0, []string{"Channel x has its mapping"}},
		{[]string{"mapping", "x"}, 0, []string{"VERSION  SINCE", "sluice channel  where it goes"}},
		{[]string{"mapping", "x", "--show", "2"}, 0, []string{"targetCategories"}},
		{[]string{"mapping", "x", "--rollback", "1"}, 0, []string{"Channel x has its mapping"}},
		{[]string{"mapping", "x", "--show", "3"}, 0, []string{`"values": "values"`}},
		{[]string{"mapping", "x", "--rollback", "7"}, 1, []string{"mapping 7"}},
	} {
		said, stderr, status := output(t, env, append([]string{"channel"}, c.args...)...)
		for _, want := range c.want {
			if status != c.status || !strings.Contains(said+stderr, want) {
				t.Errorf("%v: status %d, no %q in\n%s%s", c.args, status, want, said, stderr)
			}
		}
	}
}

// A channel is told when it is created what it shows of categories, and by which prices
// and of which stock it sells.
func TestCreateWithCategoryRoot(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dbtest.New(t), "SLUICE_KEYSET=" + keys}
	create := []string{
		"channel", "create", "x", "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR", "--category-root", "web",
		"--price-list", "dealer", "--location", "default", "--location", "leeds", "--set", "url=https://x.example", "--set", "secret=whsec_" + strings.Repeat("QUJD", 10),
	}
	commanded(t, env, 0, "category", "put", "sales")
	for _, what := range []string{"/category_root", "/price_list", "/locations"} {
		if _, stderr, status := output(t, env, create...); status != 1 || !strings.Contains(stderr, what) {
			t.Errorf("%s that is not there: status %d, %s", what, status, stderr)
		}
	}
	commanded(t, env, 0, "category", "put", "web")
	commanded(t, env, 0, "price-list", "put", "dealer")
	commanded(t, env, 0, "location", "put", "leeds")
	commanded(t, env, 0, create...)
	if said := commanded(t, env, 0, "channel", "show", "x"); !strings.Contains(said, `"category_root": "web"`) || !strings.Contains(said, `"price_list": "dealer"`) || !strings.Contains(said, `"leeds"`) {
		t.Error(said)
	}
	commanded(t, env, 1, "category", "delete", "web")
}

// A channel on an address of this machine is created, and said to be of no use
// without the permission.
func TestCreateOnPrivateAddress(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dbtest.New(t), "SLUICE_KEYSET=" + keys}
	for i, c := range []struct {
		url   string
		flag  []string
		warns bool
	}{
		{"http://localhost:8080/x", nil, true},
		{"http://[::1]/x", nil, true},
		{"http://10.1.2.3/x", nil, true},
		{"http://127.0.0.1/x", []string{"--allow-private-targets"}, false},
		{"https://shop.example/x", nil, false},
	} {
		args := append([]string{
			"channel", "create", "c" + strconv.Itoa(i), "--connector", "webhook", "--locale", "en-GB", "--currency", "EUR",
			"--set", "url=" + c.url, "--set", "secret=whsec_" + strings.Repeat("QUJD", 10),
		}, c.flag...)
		_, said, status := output(t, env, args...)
		if warns := strings.Contains(said, "warning: url is a loopback or private address"); status != 0 || warns != c.warns {
			t.Errorf("%s: status %d, warns %t: %s", c.url, status, warns, said)
		}
	}
}
