package importing

import (
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// The counts are those of the data's own description, counted there by other means.
func TestFoodData(t *testing.T) {
	t.Parallel()
	file := string(shared(t, "food-gtin-10k", "products.csv.gz"))
	store := openStore(t)
	im := importer(store)
	run, report := runImport(t, im, "products.csv.gz", Options{}, file)
	if run.State != "finished" || run.Created != 9998 || run.Rejected != 2 || run.Changed+run.Unchanged != 0 || run.RowsDone != 10_000 || *run.RowsTotal != 10_000 {
		t.Fatalf("%+v", run)
	}
	var gtins, warnings int64
	for _, f := range report {
		if f.Severity == pim.SeverityWarning {
			warnings++
		}
		if strings.HasPrefix(f.Code, "gtin.") {
			gtins++
			if f.Column != "barcode_id" || f.Value != f.SKU || f.Severity != pim.SeverityWarning {
				t.Errorf("a GTIN's finding names neither column nor value: %+v", f)
			}
		}
	}
	if c := codes(report); gtins != 131 || c["error sku.duplicate"] != 2 || c["warning text.control"] != 2 || warnings != run.Warnings {
		t.Errorf("131 doubtful GTINs, 2 duplicates and 2 texts with control characters are in the file; the report has %v, the import %d warnings", c, run.Warnings)
	}
	// Leading zeros stay, a long fraction keeps its digits, entities are not decoded.
	if v := stored(t, store, "0000000000017"); v["barcode_id"] != "0000000000017" || textOf(v["sodium"]) != "0.551181102362205" {
		t.Errorf("%v", v)
	}
	if n := count(t, store, `select count(*) from product where values->>'sodium' = '0.000078740157480315'`); n == 0 {
		t.Error("7.8740157480315e-05 has not kept its digits")
	}
	if n := count(t, store, `select count(*) from product where values::text like '%&quot;%' or values::text like '%&amp;%'`); n == 0 {
		t.Error("entities were decoded without being mapped")
	}
	events := count(t, store, `select count(*) from event`)
	version := store.Schema().Version
	again, _ := runImport(t, im, "products.csv.gz", Options{}, file)
	if again.Unchanged != 9998 || again.Rejected != 2 || again.Changed+again.Created != 0 || again.Warnings != run.Warnings {
		t.Errorf("a second import gives %+v", again)
	}
	if n := count(t, store, `select count(*) from event`); n != events {
		t.Errorf("a second import made %d events", n-events)
	}
	if now := store.Schema().Version; now != version {
		t.Error("a second import changed the schema")
	}
}

func TestFoodDataDry(t *testing.T) {
	t.Parallel()
	file := string(shared(t, "food-gtin-10k", "products.csv.gz"))
	store := openStore(t)
	version := store.Schema().Version
	run, report := runImport(t, importer(store), "products.csv.gz", Options{DryRun: true}, file)
	if run.State != "finished" || run.Created != 9998 || run.Rejected != 2 || run.Warnings != 133 || len(report) != 135 {
		t.Errorf("%+v with %d findings", run, len(report))
	}
	if n := count(t, store, `select count(*) from product`) + count(t, store, `select count(*) from event`) + store.Schema().Version - version; n != 0 {
		t.Errorf("a dry run has written %d things", n)
	}
}

func TestBestBuyData(t *testing.T) {
	t.Parallel()
	file := string(shared(t, "bestbuy", "ecommerce.json.gz"))
	store := openStore(t)
	im := importer(store)
	for i, expr := range []string{
		`regexFind(row.image, '/([0-9]+)_')`,
		`row.image.split('/')[4].split('_')[0]`, // makes the same, so nothing changes
	} {
		o := Options{Map: map[string]string{"sku": expr}}
		run, report := runImport(t, im, "ecommerce.json.gz", o, file)
		if run.State != "finished" || [2]int64{run.Created, run.Unchanged}[i] != 3291 || run.Rejected != 0 {
			t.Errorf("%s: %+v; %v", expr, run, codes(report))
		}
		if c := codes(report); c["warning column.nested"] != 1 || c["warning text.control"] != 4 || len(report) != 5 {
			t.Errorf("the report should say that categories is an array, and name 4 texts with C1 controls: %v", c)
		}
	}
	v := stored(t, store, "4984700")
	if v["categories"] != `["Cell Phones","Prepaid Phones","All Prepaid Phones"]` || textOf(v["price"]) != "49.99" ||
		v["image"] != "https://cdn-demo.algolia.com/bestbuy-0118/4984700_sb.jpg" {
		t.Errorf("%v", v)
	}
	if a := store.Schema().Attributes["image"]; a.Type != pim.TypeMedia {
		t.Errorf("image became %s", a.Type)
	}
}
