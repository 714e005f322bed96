//go:build unix

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// A supplier's catalogue is imported by one command, a second time without any
// change, and an export of it taken back changes nothing either.
func TestImportCatalogue(t *testing.T) {
	t.Parallel()
	dir, env := t.TempDir(), []string{"DATABASE_URL=" + dbtest.New(t)}
	file, report := filepath.Join(dir, "tools.xml"), filepath.Join(dir, "report.csv")
	content := `<?xml version="1.0" encoding="UTF-8"?><BMECAT version="1.2"><HEADER><CATALOG><LANGUAGE>deu</LANGUAGE><CURRENCY>EUR</CURRENCY></CATALOG></HEADER><T_NEW_CATALOG>` +
		`<ARTICLE><SUPPLIER_AID>H-1</SUPPLIER_AID><ARTICLE_DETAILS><DESCRIPTION_SHORT>Hammer</DESCRIPTION_SHORT></ARTICLE_DETAILS><ARTICLE_PRICE_DETAILS><ARTICLE_PRICE price_type="net_list"><PRICE_AMOUNT>9.90</PRICE_AMOUNT></ARTICLE_PRICE></ARTICLE_PRICE_DETAILS></ARTICLE>` +
		"\n<ARTICLE><SUPPLIER_AID>H-2</SUPPLIER_AID><ARTICLE_PRICE_DETAILS><ARTICLE_PRICE price_type=\"net_list\"><PRICE_AMOUNT>9,90</PRICE_AMOUNT></ARTICLE_PRICE></ARTICLE_PRICE_DETAILS></ARTICLE></T_NEW_CATALOG></BMECAT>"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	imported := func(args ...string) (o outcome) {
		t.Helper()
		stdout, stderr, status := output(t, env, append([]string{"import", "--json", "--report", report}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &o); err != nil || status != 0 {
			t.Fatalf("%d %v\n%s%s", status, err, stdout, stderr)
		}
		return o
	}
	if o := imported(file, "--profile", "bmecat", "--dry-run"); o.Created != 1 || o.Rejected != 1 || !o.DryRun {
		t.Errorf("dry run: %+v", o)
	}
	if o := imported(file, "--profile", "bmecat"); o.Created != 1 || o.Rejected != 1 {
		t.Errorf("%+v", o)
	}
	raw, err := os.ReadFile(report)
	if err != nil || !strings.Contains(string(raw), "/BMECAT/T_NEW_CATALOG/ARTICLE[2]/ARTICLE_PRICE_DETAILS/ARTICLE_PRICE/PRICE_AMOUNT") || !strings.Contains(string(raw), "line 2") {
		t.Errorf("the report: %v\n%s", err, raw)
	}
	if o := imported(file); o.Unchanged != 1 || o.Rejected != 1 {
		t.Errorf("again: %+v", o)
	}
	if _, stderr, status := output(t, env, "import", file, "--profile", "icecat", "--report", report); status == 0 || !strings.Contains(stderr, "BMECAT") {
		t.Errorf("as another format: %d %s", status, stderr)
	}
	back := filepath.Join(dir, "out.csv")
	if _, stderr, status := output(t, env, "export", back); status != 0 {
		t.Fatalf("export: %d %s", status, stderr)
	}
	if o := imported(back); o.Unchanged != 1 || o.Rejected != 0 {
		t.Errorf("the export taken back: %+v", o)
	}
}
