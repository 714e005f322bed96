//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/jobs/importing/akeneo"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// A folder that Akeneo has exported is imported by one command, twice, pictures
// included, and what came of it exported.
func TestImportAkeneoFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "export")
	pixel := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\rIDATx\x9cc\xf8\x0f\x04\x00\x09\xfb\x03\xfd" +
		"\xe3U\xf2\x9c\x00\x00\x00\x00IEND\xaeB`\x82")
	for name, content := range map[string]string{
		"attributes.csv":   "code;type;localizable;scopable\nsku;pim_catalog_identifier;0;0\nname;pim_catalog_text;0;0\nimage;pim_catalog_image;0;0\n",
		"families.csv":     "code;attributes\ncups;sku,name,image\n",
		"products.csv":     "sku;family;enabled;name;image\nCUP;cups;1;Cup;files/cup.png\nMUG;cups;1;Mug;files/copy.png\nJUG;cups;1;Jug;files/none.png\nTIN;cups;1;Tin;../outside.png\n",
		"files/cup.png":    string(pixel),
		"files/copy.png":   string(pixel),
		"../outside.png":   "not of the folder",
		"association.json": "{}", // which is nobody's
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dsn, keys := dbtest.New(t), filepath.Join(t.TempDir(), "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dsn, "SLUICE_KEYSET=" + keys}
	report := filepath.Join(t.TempDir(), "report.csv")
	imported := func(more ...string) (o outcome) {
		t.Helper()
		stdout, stderr, status := output(t, env, append([]string{"import", dir, "--profile", "akeneo", "--json", "--report", report}, more...)...)
		if err := json.Unmarshal([]byte(stdout), &o); err != nil || status != 0 || o.Folder == nil {
			t.Fatalf("%d %v\n%s%s", status, err, stdout, stderr)
		}
		return o
	}
	db := connect(t, dsn)
	if o := imported("--dry-run"); !o.DryRun || o.Folder.Products != 4 || o.Folder.MediaMissing != 2 {
		t.Errorf("dry run: %+v %+v", o, o.Folder)
	}
	expect(t, db, "select count(*) from product", 0)
	expect(t, db, "select count(*) from family", 0)
	if o := imported(); o.Created != 4 || o.Rejected != 0 || o.Folder.MediaMissing != 2 || o.Warnings < 2 {
		t.Errorf("%+v %+v", o, o.Folder)
	}
	expect(t, db, "select count(*) from asset", 1) // the same content, once
	expect(t, db, "select count(*) from product where values ? 'image'", 2)
	expect(t, db, "select count(distinct values->'image') from product where values ? 'image'", 1)
	raw, err := os.ReadFile(report)
	if err != nil || !bytes.Contains(raw, []byte("files/none.png")) || !bytes.Contains(raw, []byte("products.csv, line 5")) {
		t.Errorf("the report: %v\n%s", err, raw)
	}
	if o := imported(); o.Unchanged != 4 {
		t.Errorf("again: %+v", o)
	}
	if _, stderr, status := output(t, env, "import", dir); status == 0 || !strings.Contains(stderr, "--profile akeneo") {
		t.Errorf("without the profile: %d %s", status, stderr)
	}
	if _, stderr, status := output(t, env, "import", dir, "--profile", "akeneo", "--family", "cups"); status == 0 || !strings.Contains(stderr, "--dry-run") {
		t.Errorf("with more than it takes: %d %s", status, stderr)
	}
	back := filepath.Join(t.TempDir(), "out.xlsx")
	if _, stderr, status := output(t, env, "export", back, "--family", "cups"); status != 0 || !strings.Contains(stderr, "4 products") {
		t.Fatalf("export: %d %s", status, stderr)
	}
	var o outcome
	stdout, stderr, status := output(t, env, "import", back, "--json", "--report", report)
	if err := json.Unmarshal([]byte(stdout), &o); err != nil || status != 0 || o.Unchanged != 4 {
		t.Errorf("the export taken back: %d %s%s", status, stdout, stderr)
	}
}

// The channels of a real export are made, and what products lack for each of them is
// told in each of their locales; a second run changes nothing.
func TestImportAkeneoChannels(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SLUICE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	dir, err := filepath.Abs(filepath.Join(dir, "data", "akeneo-icecat"))
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		if os.Getenv("SLUICE_REQUIRE_SHARED") == "1" {
			t.Fatalf("the shared test data is required: %v", err)
		}
		t.Skipf("the shared test data is not there (SLUICE_SHARED): %v", err)
	}
	dsn, report := dbtest.New(t), filepath.Join(t.TempDir(), "report.csv")
	env := []string{"DATABASE_URL=" + dsn}
	imported := func(more ...string) (o outcome) {
		t.Helper()
		said := commanded(t, env, 0, append([]string{"import", dir, "--profile", "akeneo", "--json", "--report", report}, more...)...)
		if err := json.Unmarshal([]byte(said[strings.Index(said, "{"):strings.LastIndex(said, "}")+1]), &o); err != nil || o.Folder == nil {
			t.Fatalf("%v\n%s", err, said)
		}
		return o
	}
	db := connect(t, dsn)
	planned := imported("--dry-run").Folder.Created
	expect(t, db, "select count(*) from channel", 0)
	if planned.Channels != 3 || planned.Locales != 1 || planned.AttributeGroups != 11 || planned.AssociationTypes != 4 || planned.Attributes != 75 || planned.Families != 18 || planned.Categories != 168 {
		t.Errorf("planned: %+v", planned)
	}
	if o := imported(); o.Folder.Created != planned || o.Created != 1239+81 || o.Rejected != 0 {
		t.Errorf("%+v %+v", o, o.Folder.Created)
	}
	expect(t, db, "select count(*) from channel where connector = 'none' and locale = 'fr-FR' and currency = 'USD' and category_root = 'master' and code in ('mobile', 'print', 'ecommerce')", 3)
	expect(t, db, "select count(*) from listing", 0)
	expect(t, db, "select count(*) from outbox where channel_id is not null", 0)
	expect(t, db, "select count(*) from product where values #> '{description,print,en-US}' is not null", 972)
	if raw, err := os.ReadFile(report); err != nil || bytes.Count(raw, []byte("akeneo.channel")) != 3 || !bytes.Contains(raw, []byte("channels.csv, line 3")) {
		t.Errorf("the report: %v", err)
	}

	url := "http://" + start(t, append(env, "SLUICE_KEYSET="+filepath.Join(t.TempDir(), "keyset.json")), "serve", "--roles", "api", "--listen", "127.0.0.1:0").hear(`msg=serving .*listen=(\S+)`)[1]
	key := strings.TrimSpace(commanded(t, env, 0, "key", "create", "test", "--role", "viewer"))
	req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/families/webcams/completeness?locale=de-DE&locale=en-US&locale=fr-FR", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var told struct {
		Channels []struct {
			Channel, Locale string
			Products        int
			Share           float64
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode, err)
	}
	shares := map[string]float64{}
	for _, c := range told.Channels {
		shares[c.Channel+" "+c.Locale] = c.Share
	}
	if len(shares) != 9 || shares["print en-US"] <= shares["mobile en-US"] || shares["print en-US"] <= shares["print fr-FR"] { // only print is filled, and all in English
		t.Errorf("%+v", told)
	}

	if o := imported(); o.Unchanged != 1239+81 || o.Folder.Created != (akeneo.Created{}) {
		t.Errorf("again: %+v %+v", o, o.Folder.Created)
	}
	expect(t, db, "select count(*) from channel where version = 1", 3)
}
