//go:build unix

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// importSmall imports a file with everything in it, twice, beside a server.
func importSmall(t *testing.T, a announced, env []string) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cups.csv")
	text := "code,title,ean\nCUP-1,Blue cup,4006381333931\nCUP-2,Red cup,4006381333932\nCUP-1,Again,4006381333931\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(dir, "report.csv")
	imported := func(args ...string) (o outcome) {
		t.Helper()
		stdout, stderr, status := output(t, env, append([]string{"import", file, "--sku-column", "code", "--json", "--report", report}, args...)...)
		if status != 0 {
			t.Fatalf("status %d: %s", status, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &o); err != nil { // nothing but the one object
			t.Fatalf("%v in %q", err, stdout)
		}
		return o
	}
	if o := imported("--dry-run"); o.Created != 2 || o.Rejected != 1 || !o.DryRun {
		t.Errorf("dry run: %+v", o)
	}
	db := connect(t, a.DSN)
	expect(t, db, "select count(*) from product where sku like 'CUP-%'", 0)
	if o := imported(); o.State != "finished" || o.Rows != 3 || o.Created != 2 || o.Changed != 0 || o.Unchanged != 0 || o.Rejected != 1 || o.Warnings < 1 || o.Report != report {
		t.Errorf("first import: %+v", o)
	}
	expect(t, db, "select count(*) from product where sku like 'CUP-%'", 2)
	f, err := os.Open(report)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rows[0], ","); got != "row,severity,sku,column,value,code,problem" {
		t.Errorf("the report begins with %s", got)
	}
	var rejected int
	for _, row := range rows[1:] {
		if row[0] == "3" && row[1] == "error" && row[2] == "CUP-1" {
			rejected++
		}
	}
	if rejected != 1 {
		t.Errorf("the report does not name the rejected row once: %q", rows)
	}
	if o := imported(); o.Created != 0 || o.Changed != 0 || o.Unchanged != 2 || o.Rejected != 1 {
		t.Errorf("second import: %+v", o)
	}
	exportSmall(t, env, dir)
	waitFor(t, a, "select not exists (select from outbox) and not exists (select from listing l join product p on p.id = l.product_id where p.sku like 'CUP-%' and l.dirty)")
	if _, err := db.Exec(t.Context(), "delete from import"); err != nil {
		t.Fatal(err)
	}
}

// exportSmall exports what importSmall has imported, and takes it back.
func exportSmall(t *testing.T, env []string, dir string) {
	t.Helper()
	file := filepath.Join(dir, "out.xlsx")
	if _, stderr, status := output(t, env, "export", file, "--family", "cups"); status != 0 || !strings.Contains(stderr, "2 products") {
		t.Fatalf("status %d: %s", status, stderr)
	}
	var o outcome
	stdout, stderr, status := output(t, env, "import", file, "--json", "--report", filepath.Join(dir, "back.csv"))
	if err := json.Unmarshal([]byte(stdout), &o); err != nil || status != 0 || o.Unchanged != 2 || o.Rows != 2 {
		t.Errorf("the export taken back: %d %s %s", status, stdout, stderr)
	}
	if stdout, _, status = output(t, env, "export", "--format", "jsonl", "--sku-prefix", "CUP-2"); status != 0 || !strings.HasPrefix(stdout, `{"sku":"CUP-2"`) || strings.Count(stdout, "\n") != 1 {
		t.Errorf("to standard output: %d %q", status, stdout)
	}
	if _, stderr, status = output(t, env, "export", filepath.Join(dir, "none", "x.csv")); status == 0 {
		t.Errorf("into a folder that is not there: %s", stderr)
	}
}

// The database goes away in the middle, and comes back.
func TestImportOutlastsTheDatabase(t *testing.T) {
	t.Parallel()
	pg := dbtest.Durable(t)
	const rows = 12_000
	var text strings.Builder
	text.WriteString("sku,title,description\n")
	for i := range rows {
		fmt.Fprintf(&text, "P-%05d,Thing %d,%s\n", i, i, strings.Repeat("many words ", 20))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "things.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, []string{"DATABASE_URL=" + pg.DSN()}, "import", file, "--report", filepath.Join(dir, "report.csv"))
	waitFor(t, announced{DSN: pg.DSN()}, "select coalesce(max(rows_done), 0) > 0 from import")
	pg.Kill()
	p.hear("The database is away")
	if err := pg.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := p.exit(); status != 0 {
		t.Fatalf("status %d", status)
	}
	p.hear(fmt.Sprintf(`%d rows in .*: %d created, 0 changed, 0 unchanged, 0 rejected`, rows, rows))
	db := connect(t, pg.DSN())
	expect(t, db, "select count(*) from product where deleted_at is null", rows)
	expect(t, db, "select count(*) from event", rows)
}

// A pipe may be slow: no transaction is open while it is read. What was written
// to it here is more than a pipe holds, so the command is reading.
func TestImportGathersAPipe(t *testing.T) {
	t.Parallel()
	dsn := dbtest.New(t)
	if _, stderr, status := output(t, []string{"DATABASE_URL=" + dsn}, "migrate"); status != 0 {
		t.Fatal(stderr)
	}
	db := connect(t, dsn)
	cmd := exec.CommandContext(t.Context(), binary, "import", "-", "--sku-column", "code", "--json", "--report", filepath.Join(t.TempDir(), "report.csv"))
	cmd.Env = append(cleanEnv(), "DATABASE_URL="+dsn)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text := "code,title\nCUP-1," + strings.Repeat(" ", 8<<20) + "cup\n"
	if _, err := io.WriteString(in, text); err != nil {
		t.Fatal(err)
	}
	expect(t, db, `select count(*) from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
		and xact_start is not null and pid <> pg_backend_pid()`, 0)
	if _, err := io.WriteString(in, "CUP-2,Red cup\n"); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, complaints.String())
	}
	var o outcome
	if err := json.Unmarshal(out.Bytes(), &o); err != nil || o.Rows != 2 {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestImportRefusesBeforeItBegins(t *testing.T) {
	env := []string{"DATABASE_URL=" + dbtest.New(t)}
	file := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(file, []byte("sku\nA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"no file":       {"import", file + ".none"},
		"a folder":      {"import", filepath.Dir(file)},
		"no expression": {"import", file, "--map", "sku"},
		"twice":         {"import", file, "--map", "sku=row.a", "--map", "sku=row.b"},
		"no CEL":        {"import", file, "--map", "sku=)("},
		"no report":     {"import", file, "--report", filepath.Join(file, "below", "a", "file")},
	} {
		if stdout, stderr, status := output(t, env, args...); status == 0 || stderr == "" || stdout != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q", name, status, stdout, stderr)
		}
	}
}

func TestProgressLine(t *testing.T) {
	for want, got := range map[string]string{
		"200 of 1000 rows, 100 rows/s, 8s left": progressLine(200, 1000, 100),
		"0 of 1000 rows":                        progressLine(0, 1000, 0),
		"1000 of 1000 rows":                     progressLine(1000, 1000, 100),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A supplier's file is told what it is but once.
func TestImportProfile(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + dbtest.New(t)}
	dir := t.TempDir()
	file := filepath.Join(dir, "mugs.csv")
	if err := os.WriteFile(file, []byte("Art;Titel;price-EUR;stock;Parent;color\nCUP-8;Mug, red;5,50;3;CUP-9;red\nCUP-9;Mug;;;;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, flags := range [][]string{{"--sku-column", "Art", "--save-profile", "mugs"}, {"--profile", "mugs"}} {
		args := append([]string{"import", file, "--json", "--report", filepath.Join(dir, "report.csv")}, flags...)
		stdout, stderr, status := output(t, env, args...)
		var o outcome
		if err := json.Unmarshal([]byte(stdout), &o); err != nil || status != 0 {
			t.Fatalf("status %d: %s", status, stderr)
		}
		if [2]int64{o.Created, o.Unchanged}[i] != 2 || o.Rejected != 0 {
			t.Errorf("%v: %+v", flags, o)
		}
	}
}
