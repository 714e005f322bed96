//go:build unix

package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/connectors/translation/deepl/deepltest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// Providers, rules, the glossary and texts are set up, listed and reviewed; each
// command leaves nothing to the sweeper.
func TestTextCommands(t *testing.T) {
	t.Parallel()
	dsn, dir := dbtest.New(t), t.TempDir()
	keys := filepath.Join(dir, "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	db := connect(t, dsn)
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	run := func(want int, args ...string) string {
		t.Helper()
		stdout, stderr, status := output(t, env, args...)
		if status != want {
			t.Fatalf("%v: status %d, %s%s", args, status, stdout, stderr)
		}
		return stdout + stderr
	}
	says := func(said string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(said, w) {
				t.Errorf("%q does not say %q", said, w)
			}
		}
	}
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store, err := postgres.Open(t.Context(), dsn, few)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if _, err := store.ChangeSchema(t.Context(), postgres.SchemaChange{
		Locales:    []pim.Locale{"en-GB", "de-DE"},
		Attributes: []pim.Attribute{{Code: "name", Type: pim.TypeText, Localizable: true}},
		Families:   []pim.Family{{Code: "item", Attributes: []pim.FamilyAttribute{{Code: "name"}}}},
	}); err != nil {
		t.Fatal(err)
	}

	srv := httptest.NewServer(deepltest.New("s3cret-key", 1000))
	t.Cleanup(srv.Close)
	key := write("key", "s3cret-key\n")
	says(run(1, "provider", "put", "main", "--kind", "deepl"), "/config/key", "is needed")
	says(run(0, "provider", "put", "main", "--kind", "deepl", "--set", "key=@"+key, "--set", "url="+srv.URL, "--allow-private-targets"), "is created")
	expect(t, db, `select count(*) from river_job where kind in ('derive', 'translate', 'generate')`, 3)
	says(run(0, "provider", "test", "main"), "is there and takes our key")
	says(run(0, "provider", "put", "main", "--quota", "500", "--set", "glossary_as_instructions:=true", "--set", "url="+srv.URL, "--allow-private-targets"), "is changed")
	says(run(0, "provider", "list"), "main", "deepl", "ok", "500")
	says(run(0, "provider", "put", "main", "--budget", "7.50", "--set", "price_per_million=20", "--set", "currency=EUR", "--set", "url="+srv.URL, "--allow-private-targets"), "is changed")
	if _, err := db.Exec(t.Context(), `insert into provider_month (provider, month, calls, characters, costs) select 'main', m, 12, 3400, '{"EUR":"0.068"}'
		from unnest(array[date '2026-01-01', date_trunc('month', now() at time zone 'utc')::date]) m`); err != nil {
		t.Fatal(err)
	}
	says(run(0, "provider", "pairs", "main"), "FROM", "de ", "en-US")
	says(run(0, "provider", "list"), "0.068", "7.50 EUR")
	says(run(0, "provider", "usage", "main"), "2026-01", "12", "3400", "0.068 EUR", "TOKENS OUT")
	says(run(1, "provider", "usage", "none"), "there is no provider none")
	if said := run(0, "provider", "list", "--json"); strings.Contains(said, "s3cret") {
		t.Error("a secret is told: " + said)
	}
	says(run(0, "provider", "put", "main", "--no-enabled"), "is changed")
	says(run(0, "provider", "list"), "off")
	srv.Close()
	says(run(1, "provider", "test", "main"), "provider main:")

	says(run(1, "text-rule", "put", "german", "--action", "translate", "--from", "en-GB", "--to", "fr-FR"), "/to/0")
	says(run(0, "text-rule", "put", "german", "--action", "translate", "--from", "en-GB", "--to", "de-DE", "--family", "item", "--provider", "main"), "is set", "Warning: there is no enabled provider")
	run(0, "provider", "put", "main", "--enabled")
	says(run(0, "text-rule", "put", "german", "--action", "translate", "--from", "en-GB", "--to", "de-DE", "--family", "item", "--provider", "main", "--hold-minutes", "5"), "is set", "Warning: main could not be asked")
	says(run(0, "text-rule", "list"), "german", "translate", "item", "all", "de-DE", "main", "auto")
	says(run(1, "provider", "delete", "main"), "rules name provider main")

	says(run(1, "glossary", "import", write("terms.csv", "term;to;translation\nbowl;de;Schale\n;de;x\n")), "1 of 2 rows", "row 2 (line 3), column term")
	says(run(0, "glossary", "list", "-q", "scha"), "bowl", "fixed", "any")
	says(run(0, "glossary", "export"), "from,to,kind,term,translation,match_case\n,de,fixed,bowl,Schale,false\n")

	// As if machines had worked on them.
	if _, err := db.Exec(t.Context(), `insert into product (sku, family, values) select s, 'item', '{"name":{"en-GB":"Bowl"}}' from unnest(array['A', 'B', 'C']) s`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `insert into product_text (product_id, attribute, locale, from_locale, rule, action, state, proposal, proposed)
		select id, 'name', 'de-DE', 'en-GB', 'german', 'translate', 'missing', 'Schale ' || sku, 'x' from product`); err != nil {
		t.Fatal(err)
	}
	says(run(0, "text", "list", "--waiting-for-review"), "Schale A", "Schale B", "Schale C", "missing", "german")
	var list []api.Text
	if err := json.Unmarshal([]byte(run(0, "text", "list", "--json")), &list); err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	id := func(i int) string { raw, _ := json.Marshal(list[i].ID); return string(raw) }
	says(run(1, "text", "accept", id(0), "999"), "1 texts are accepted", "text 999: there is no such text")
	says(run(0, "text", "reject", id(1)), "1 texts are rejected")
	file := filepath.Join(dir, "agency.csv")
	says(run(0, "text", "export", file, "--waiting-for-review"), "1 texts are in "+file)
	says(run(1, "text", "export", file), "agency.csv")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write("agency.csv", strings.Replace(string(raw), "Schale C,,", "Schale C,Schüssel,", 1))
	says(run(0, "text", "import", file), "1 of 1 rows")
	says(run(1, "text", "import", file), "0 of 1 rows", "column rev")
	expect(t, db, `select count(*) from product where values->'name'->>'de-DE' in ('Schale A', 'Schüssel')`, 2)
	expect(t, db, `select count(*) from event where actor = 'sluice text'`, 2)
	says(run(0, "text", "list", "--state", "reviewed"), "Schale A", "Schüssel")
	says(run(0, "text-rule", "delete", "german"), "is deleted")
	says(run(0, "provider", "delete", "main"), "is deleted")
	says(run(1, "provider", "delete", "main"), "there is no provider main")
}
