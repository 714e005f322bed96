//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
