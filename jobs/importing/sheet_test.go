package importing

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"
)

// workbook is one with a single sheet of the given XML.
func workbook(t testing.TB, sheet string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range map[string]string{
		"[Content_Types].xml": `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`,
		"_rels/.rels": `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" ` +
			`Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml": `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">` +
			`<sheets><sheet name="Products" sheetId="1" r:id="rId1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
			`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`,
		"xl/worksheets/sheet1.xml": sheet,
	} {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sample is a workbook as people make them: dates, percentages, codes with
// leading zeros, numbers that show fewer digits than they have, two sheets.
func sample(t testing.TB) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	style := func(code string) int {
		id, err := f.NewStyle(&excelize.Style{CustomNumFmt: &code})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	set := func(cell string, v any, format string) {
		if err := f.SetCellValue("Sheet1", cell, v); err != nil {
			t.Fatal(err)
		}
		if format != "" {
			if err := f.SetCellStyle("Sheet1", cell, cell, style(format)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, name := range []string{"sku", "name", "price", "since", "seen", "ean", "share", "active"} {
		set(fmt.Sprintf("%c2", 'A'+i), name, "")
	}
	set("A3", "X-1", "")
	set("B3", "Tea & <milk>", "")
	set("C3", 274.65999999999997, "#,##0.0 €")
	set("D3", time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), "d. mmmm yyyy")
	set("E3", time.Date(2026, 11, 27, 9, 30, 0, 0, time.UTC), "m/d/yy h:mm")
	set("F3", 40170725, "0000000000000")
	set("G3", 0.125, "0%")
	set("H3", true, "")
	set("A6", "X-2", "")
	set("F6", 4006381333931, "")
	if _, err := f.NewSheet("Other"); err != nil {
		t.Fatal(err)
	}
	if err := f.SetCellValue("Other", "A1", "sku"); err != nil {
		t.Fatal(err)
	}
	if err := f.SetCellValue("Other", "A2", "Y-1"); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWorkbook(t *testing.T) {
	t.Parallel()
	content := sample(t)
	rows, end := readAll(bytes.NewReader(content))
	want := []string{
		`{"active":"TRUE","ean":"0000040170725","name":"Tea & <milk>","price":"274.66","seen":"2026-11-27 09:30:00","share":"0.125","since":"2026-11-27","sku":"X-1"}`,
		`{"ean":"4006381333931","sku":"X-2"}`,
	}
	if diff := cmp.Diff(want, rows); diff != "" || end != nil {
		t.Errorf("%v\n%s", end, diff)
	}
	for _, sheet := range []string{"Other", "other", "2"} {
		in, err := open(bytes.NewReader(content), form{sheet: sheet})
		if err != nil {
			t.Fatal(err)
		}
		var rec record
		if err := in.next(&rec); err != nil || rec.cells[0] != "Y-1" || len(in.columns().findings) != 0 {
			t.Errorf("sheet %s: %+v, %v", sheet, rec, err)
		}
		in.close()
	}
	if _, err := open(bytes.NewReader(content), form{sheet: "None"}); err == nil || !strings.Contains(err.Error(), "Sheet1, Other") {
		t.Errorf("%v", err)
	}
	for cut := 8; cut < len(content); cut += len(content) / 50 {
		if rows, err := readAll(bytes.NewReader(content[:cut])); err == nil || len(rows) > 0 {
			t.Errorf("cut off behind byte %d: %q, %v", cut, rows, err)
		}
	}
	_, k := imported(t, "Tea.xlsx", Options{Currency: "EUR"}, string(content))
	if k.run.Created != 2 || codes(k.report)["warning file.sheet"] != 1 {
		t.Errorf("%+v, %v", k.run, codes(k.report))
	}
	k.has(t, "X-1 EUR 274.66")
}

// Nothing that a sheet's XML holds crashes the reader, or makes it read on for ever.
func FuzzWorkbook(f *testing.F) {
	f.Add(`<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>sku</t></is></c></row><row r="2"><c r="A2"><v>1</v></c></row></sheetData></worksheet>`)
	f.Add(`<worksheet><sheetData><row r="9999999"><c r="ZZZ1" t="s"><v>-1</v></c></row><row><c t="d"><v>x</v></c></sheetData>`)
	f.Add(`<worksheet><sheetData><row r="1"><c r="A1" t="b"><v>1</v></c><c r="XFD1"><f>1/0</f></c></row><!-- <row> --><![CDATA[<row>]]></sheetData></worksheet>`)
	f.Fuzz(func(t *testing.T, sheet string) {
		in, err := open(bytes.NewReader(workbook(t, sheet)), form{})
		if err != nil {
			return
		}
		defer in.close()
		var rec record
		for n := int64(1); ; n++ {
			if err := in.next(&rec); err != nil {
				if !over(err) {
					t.Errorf("%v is no fault of the file", err)
				}
				return
			}
			if rec.row != n || rec.bad == nil && len(rec.cells) != len(in.columns().names) {
				t.Fatalf("row %d: %+v", n, rec)
			}
		}
	})
}

// A long number keeps its digits in a cell that is only bold, or of the general
// format, which shows ten of them.
func TestStyledNumbers(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	defer f.Close()
	bold, err := f.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		t.Fatal(err)
	}
	for cell, v := range map[string]any{"A1": "sku", "B1": "ean", "A2": 123456789012345, "B2": 4006381333931, "A3": "x", "B3": -1234567890123} {
		if err := f.SetCellValue("Sheet1", cell, v); err != nil {
			t.Fatal(err)
		}
		if err := f.SetCellStyle("Sheet1", cell, cell, bold); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	store := openStore(t)
	run, found := runImport(t, importer(store), "styled.xlsx", Options{}, b.String())
	if run.Created != 2 || stored(t, store, "123456789012345")["ean"] != "4006381333931" || stored(t, store, "x")["ean"] != "-1234567890123" {
		t.Errorf("%+v %+v", run, found)
	}
}
