package importing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// sharedFiles are the files of a folder of the shared test data.
func sharedFiles(t *testing.T, path ...string) map[string][]byte {
	t.Helper()
	shared(t, path[0], "SOURCES.md") // skips, or fails, when the data is not there
	dir := os.Getenv("SLUICE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	dir = filepath.Join(append([]string{dir, "data"}, path...)...)
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range list {
		if e.IsDir() || e.Name() == "SOURCES.md" {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 {
		t.Fatalf("there are no files in %s", dir)
	}
	return files
}

// oddImport imports a file of any content and holds what must be true of each:
// it ends, every row has an outcome, every problem a place and good text, and
// what is not finished says why.
func oddImport(t *testing.T, store *postgres.Store, name string, o Options, content []byte) (postgres.ImportRun, []postgres.ImportFinding) {
	t.Helper()
	run, report := runImport(t, importer(store), name, o, string(content))
	switch {
	case run.State == "failed" && run.Error == "", run.State != "failed" && run.State != "finished":
		t.Errorf("%s: %+v", name, run)
	case run.Created+run.Changed+run.Unchanged+run.Rejected != run.RowsDone, run.State == "finished" && *run.RowsTotal != run.RowsDone:
		t.Errorf("%s: the outcomes do not add up: %+v", name, run)
	}
	refused := map[int64]bool{}
	for _, f := range report {
		if f.Code == "" || f.Problem == "" || !utf8.ValidString(f.Problem+f.Value+f.Column) || f.Row < 0 || f.Row > run.RowsDone {
			t.Errorf("%s: %+v", name, f)
		}
		if f.Severity == pim.SeverityError {
			refused[f.Row] = true
		}
	}
	if int64(len(refused)) != run.Rejected || refused[0] {
		t.Errorf("%s: %d rows are rejected, %d of them reported", name, run.Rejected, len(refused))
	}
	return run, report
}

func TestCSVGrammar(t *testing.T) {
	t.Parallel()
	expected := sharedFiles(t, "csv-bad", "csv-spectrum", "json")
	for name, content := range sharedFiles(t, "csv-bad", "csv-spectrum", "csvs") {
		var want []map[string]string
		if err := json.Unmarshal(expected[strings.TrimSuffix(name, ".csv")+".json"], &want); err != nil {
			t.Fatal(name, err)
		}
		in, err := open(bytes.NewReader(content), form{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var rec record
		for i := 0; ; i++ {
			if err := in.next(&rec); err != nil {
				if i != len(want) {
					t.Errorf("%s: %d rows, not %d: %v", name, i, len(want), err)
				}
				break
			}
			if rec.bad != nil || i >= len(want) {
				t.Errorf("%s: row %d: %+v", name, i+1, rec.bad)
				break
			}
			for j, column := range in.columns().names {
				got, _ := rec.cells[j].(string)
				// The line ends within quotes are the file's own, as they are not in the expectation.
				if strings.ReplaceAll(got, "\r\n", "\n") != strings.ReplaceAll(want[i][column], "\r\n", "\n") {
					t.Errorf("%s: row %d, %s: %q, not %q", name, i+1, column, got, want[i][column])
				}
			}
		}
	}
}

func TestBadCSVData(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	for name, content := range sharedFiles(t, "csv-bad", "frictionless") {
		if !strings.HasSuffix(name, ".csv") {
			continue
		}
		oddImport(t, store, name, Options{DryRun: true}, content)
		// The first column as the SKU, so that rows are looked at.
		if in, err := open(bytes.NewReader(content), form{}); err == nil {
			o := Options{SKUColumn: in.columns().names[0], DryRun: true}
			run, report := oddImport(t, store, name, o, content)
			switch name {
			case "latin1.csv":
				if codes(report)["warning file.encoding"] != 1 || run.Rejected != 0 {
					t.Errorf("%s: %+v", name, report)
				}
			case "duplicate-headers.csv":
				if run.State != "failed" || !strings.Contains(run.Error, `several columns "id"`) {
					t.Errorf("%s: %+v", name, run)
				}
			case "delimiter.csv":
				if codes(report)["warning file.delimiter"] != 1 {
					t.Errorf("%s: %+v", name, report)
				}
			case "defective-rows.csv":
				if codes(report)["error row.columns"] == 0 {
					t.Errorf("%s: %+v", name, report)
				}
			}
		} else if name != "empty.csv" && name != "wide.csv" {
			t.Errorf("%s: %v", name, err)
		}
	}
	run, _ := oddImport(t, store, "greek.csv", Options{SKUColumn: "id", Encoding: "iso-8859-7"}, sharedFiles(t, "csv-bad", "frictionless")["table-infer-iso-8859-7.csv"])
	if v := stored(t, store, "1"); run.Rejected != 0 || !strings.ContainsFunc(textOf(v["name"]), func(r rune) bool { return r >= 'Α' && r <= 'ω' }) {
		t.Errorf("%+v, %v", run, v)
	}
}

func TestOddWorkbookData(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	fails := map[string]string{
		"BadWorkbook.xlsx": "no sheets", "encryptAES.xlsx": "password protected", "encryptSHA1.xlsx": "password protected",
		"table-with-two-sheets.ods": "OpenDocument", "merged-cells.xls": "old Excel", "merged-cells-boolean.xls": "old Excel",
		"cast-int-to-string-issue-1251.xls": "old Excel", "table-with-ints-floats-dates.xls": "old Excel",
	}
	for _, dir := range []string{"excelize", "frictionless"} {
		for name, content := range sharedFiles(t, "xlsx-odd", dir) {
			// No SKU is made twice of rows that differ.
			o := Options{Map: map[string]string{"sku": `row.map(k, string(row[k])).join("|").replace(" ", "_").trim()`}, DryRun: true}
			run, _ := oddImport(t, store, name, o, content)
			if want := fails[name]; (run.State == "failed") != (want != "") || !strings.Contains(run.Error, want) {
				t.Errorf("%s: %+v", name, run)
			}
		}
	}
	_, report := oddImport(t, store, "x.xlsx", Options{SKUColumn: "A"}, shared(t, "xlsx-odd", "excelize", "SharedStrings.xlsx"))
	if codes(report)["warning file.sheet"] != 1 {
		t.Errorf("%+v", report)
	}
	in, err := open(bytes.NewReader(shared(t, "xlsx-odd", "frictionless", "adjust-floating-point-error.xlsx")), form{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	var rec record
	for in.next(&rec) == nil {
		for _, v := range rec.cells {
			if s, _ := v.(string); strings.Contains(s, "99999999") || strings.Contains(s, "00000000") {
				t.Errorf("row %d has %q, of which Excel shows 15 digits", rec.row, s)
			}
		}
	}
}

func TestJSONSuiteData(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	for _, dir := range []string{"test_parsing", "test_transform"} {
		for name, content := range sharedFiles(t, "json-testsuite", dir) {
			for _, whole := range [][]byte{
				content,
				[]byte(`[{"sku":"before"},` + string(content) + `,{"sku":"behind"}]`),
			} {
				run, _ := oddImport(t, store, name, Options{SKUColumn: "sku", DryRun: true, Format: "json"}, whole)
				if strings.HasPrefix(name, "n_") && run.Created > 2 {
					t.Errorf("%s: %+v", name, run)
				}
			}
		}
	}
}

// Each of the strings comes back as it was, but for control characters, outer
// form and what is told; and none of them breaks anything.
func TestNaughtyStrings(t *testing.T) {
	t.Parallel()
	var list []string
	if err := json.Unmarshal(shared(t, "naughty-strings", "blns.json"), &list); err != nil {
		t.Fatal(err)
	}
	type row struct {
		SKU  string `json:"sku"`
		Name string `json:"name"`
		Code string `json:"naughty_code,omitempty"`
	}
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	for i, s := range list {
		if err := e.Encode(row{fmt.Sprintf("N-%03d", i), s, s}); err != nil {
			t.Fatal(err)
		}
	}
	store := openStore(t)
	run, report := oddImport(t, store, "naughty.jsonl", Options{}, lines.Bytes())
	if run.Created != int64(len(list)) {
		t.Errorf("%+v, %v", run, codes(report))
	}
	products, _, err := store.Products(t.Context(), postgres.ProductFilter{SKUPrefix: "N-"}, postgres.Page{Limit: 1000})
	if err != nil || len(products) != len(list) {
		t.Fatalf("%d products, %v", len(products), err)
	}
	for _, p := range products {
		var i int
		if _, err := fmt.Sscanf(string(p.SKU), "N-%d", &i); err != nil {
			t.Fatal(err)
		}
		v, err := pim.DecodeStored(p.Values)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := pim.StripControls(list[i])
		if got, _ := v["name"].(string); got != norm.NFC.String(want) {
			t.Errorf("%q came back as %q", list[i], got)
		}
	}
	// As SKUs, as columns, as file names, as options and as expressions.
	var skus, header bytes.Buffer
	for i, s := range list {
		raw, _ := json.Marshal(map[string]string{"sku": s, "name": s})
		skus.Write(append(raw, '\n'))
		if i < 500 {
			header.WriteString(`"` + strings.ReplaceAll(strings.ReplaceAll(s, `"`, `""`), "\n", " ") + `",`)
		}
	}
	oddImport(t, store, "skus.jsonl", Options{}, skus.Bytes())
	oddImport(t, store, "header.csv", Options{Map: map[string]string{"sku": "'x'"}}, []byte(header.String()+"z\n"+strings.Repeat(",", 500)+"1\n"))
	for _, s := range list {
		for _, o := range []Options{{SKUColumn: s}, {Family: s}, {Map: map[string]string{"sku": s}}, {Sheet: s}, {Delimiter: s}, {Encoding: s}, {Layout: s}, {AssetBase: s}} {
			_ = o.Check()
		}
		if code := codeOf(s); code != "" && pim.ValidCode("attribute", code) != nil {
			t.Errorf("%q becomes the code %q", s, code)
		}
		_ = familyOf(s)
	}
}

// Unusual separators, no quoting, prices with their currency beside them.
func TestDirtyOffersData(t *testing.T) {
	t.Parallel()
	_, k := imported(t, "abt.csv", Options{SKUColumn: "id", Quote: "none", Currency: "USD"}, string(shared(t, "dirty-retail-offers", "D2", "abt.csv.gz")))
	if k.run.Created != 1076 || len(k.prices) != 1076-660 || codes(k.report)["warning file.delimiter"] != 1 {
		t.Errorf("%+v, %v, %d prices", k.run, codes(k.report), len(k.prices))
	}
	_, k = imported(t, "amazon.csv", Options{SKUColumn: "id", Quote: "none", Delimiter: "#", Currency: "USD"}, string(shared(t, "dirty-retail-offers", "D3", "amazon.csv.gz")))
	if c := codes(k.report); k.run.Created != 1354 || c["warning price.zero"] != 199 {
		t.Errorf("%+v, %v", k.run, c)
	}
	_, k = imported(t, "gp.csv", Options{SKUColumn: "id", Quote: "none", Delimiter: "#", Currency: "USD"}, string(shared(t, "dirty-retail-offers", "D3", "gp.csv.gz")))
	if c := codes(k.report); k.run.Created+k.run.Rejected != 3039 || c["error price.currency"] == 0 || k.run.Rejected > 100 {
		t.Errorf("%+v, %v", k.run, c)
	}
}

// Whatever a workbook claims to hold, reading it takes bounded memory.
func TestWorkbookBomb(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, sheet := range map[string]string{
		"a cell":     `<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>` + strings.Repeat("x", 64<<20) + `</t></is></c></row></sheetData></worksheet>`,
		"cells":      `<worksheet><sheetData><row r="1">` + strings.Repeat(`<c><v>1</v></c>`, 4<<20) + `</row></sheetData></worksheet>`,
		"no row":     `<worksheet>` + strings.Repeat(`<cols/>`, 8<<20) + `</worksheet>`,
		"a comment":  `<worksheet><!--` + strings.Repeat(`<row >`, 10<<20) + `--></worksheet>`,
		"broken off": `<worksheet><sheetData><row r="1"><c r="A1"><v>1</v></c></row><row r="2"></worksheet><row r="3">`,
	} {
		in, err := open(bytes.NewReader(workbook(t, sheet)), form{})
		for err == nil {
			err = in.next(&record{})
		}
		if !strings.Contains(err.Error(), "part xl/worksheets") && name != "broken off" || name == "broken off" && !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 2<<30 {
		t.Errorf("%d bytes were allocated", took)
	}
}
