//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// An entity and its records on the command line, and the entity as code.
func TestRecordsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keyset.json")
	if _, err := seal.Create(keys); err != nil {
		t.Fatal(err)
	}
	env := []string{"DATABASE_URL=" + dbtest.New(t), "SLUICE_KEYSET=" + keys}
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	said := func(status int, want string, args ...string) {
		t.Helper()
		stdout, stderr, got := output(t, env, args...)
		if got != status || !strings.Contains(stdout+stderr, want) {
			t.Errorf("%v: %d %s%s, want %d %q", args, got, stdout, stderr, status, want)
		}
	}
	settings := file("brand.yaml", "resource: locale\ncodes: [en-GB]\n---\nresource: attribute\ncode: brand\ntype: entity\nentity: brand\n---\n"+
		"resource: reference-entity\ncode: brand\nattributes:\n  - {code: country, type: text}\n  - {code: story, type: text, localizable: true}\n")
	said(0, "brand", "apply", "-f", settings, "--yes")
	said(0, "", "diff", "-f", settings)
	dumped := filepath.Join(dir, "dump")
	said(0, "", "dump", dumped)
	if text, err := os.ReadFile(filepath.Join(dumped, "reference-entities.yaml")); err != nil || !strings.Contains(string(text), "country") {
		t.Errorf("dumped: %s %v", text, err)
	}
	said(0, "is there now", "record", "put", "brand", "acme", "--label", "en-GB=Acme")
	said(1, "record.code", "record", "put", "brand", "a b")
	rows := file("rows.csv", "referenceEntityIdentifier;code;label-en_GB;country;story-en_GB\nbrand;acme;ACME;NL;Old\nbrand;umbra;;CA;\n")
	said(0, "1 created, 1 changed, 0 unchanged, 0 refused", "record", "import", "brand", rows)
	said(0, "0 created, 0 changed, 2 unchanged, 0 refused", "record", "import", "brand", rows)
	said(0, "ACME", "record", "list", "brand", "-q", "acm")
	said(0, "record.updated", "record", "history", "brand", "acme")
	said(0, "is deleted", "record", "delete", "brand", "acme")
	said(1, "there is no reference entity", "record", "put", "none", "acme")
	said(1, "there is no record", "record", "delete", "brand", "acme")
	said(0, "at revision 4", "record", "restore", "brand", "acme", "2")
	said(1, "has records", "reference-entity", "delete", "brand")
	said(0, "country", "reference-entity", "list", "--json")

	// Entities are made after those that they refer to, and go before them; records name records by codes.
	kinds := file("kinds.yaml", "resource: reference-entity\ncode: line\nattributes: [{code: makers, type: entities, entity: maker}, {code: after, type: entity, entity: line}]\n---\n"+
		"resource: reference-entity\ncode: maker\nattributes: [{code: land, type: entity, entity: nation}]\n---\nresource: reference-entity\ncode: nation\n")
	said(0, "nation", "apply", "-f", kinds, "--yes")
	said(0, "1 created", "record", "import", "nation", file("nation.csv", "code\nnl\n"))
	said(0, "2 created", "record", "import", "maker", file("maker.csv", "code;land\najax;nl\nacme;\n"))
	said(1, "1 created, 0 changed, 0 unchanged, 1 refused", "record", "import", "line", file("line.csv", "code;makers;after\none;ajax,acme;\ntwo;nobody;one\n"))
	said(0, "2 unchanged", "record", "import", "maker", filepath.Join(dir, "maker.csv"))
	said(1, "products or other records name record ajax", "record", "delete", "maker", "ajax")
	said(0, "is deleted", "record", "delete", "line", "one")
	said(0, "is deleted", "record", "delete", "maker", "ajax")
	said(0, "is deleted", "record", "delete", "maker", "acme")
	said(0, "is deleted", "record", "delete", "nation", "nl")
	said(1, "attributes name it", "reference-entity", "delete", "maker")
	said(0, "nation", "apply", "-f", file("one.yaml", "resource: reference-entity\ncode: brand\n"), "--prune", "--yes")
	said(1, "there is no", "reference-entity", "delete", "nation")
}
