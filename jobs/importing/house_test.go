package importing

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What an import of nothing leaves behind: no family, and no attributes.
func TestNothingTakenMakesNoFamily(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	im := importer(store)
	im.chunkRows = 2
	run, _ := runImport(t, im, "fruit.csv", Options{}, "sku,name\nA,Apple\nB,Pear\n")
	if run.Created != 2 {
		t.Fatalf("%+v", run)
	}
	families, attributes := count(t, store, `select count(*) from family`), count(t, store, `select count(*) from attribute`)
	for name, file := range map[string]string{
		"no SKU":                  "sku,taste\n,sweet\n,sour\n",
		"wrong number of fields":  "sku,taste\nC,sweet,1\nD\n",
		"prices that are none":    "sku,taste,price-EUR\nC,sweet,1\nD,sour,x\n" + "E,bitter,y\n",
		"another family's":        "sku,taste\nA,sweet\nB,sour\n",
		"another family's, later": "sku,taste\n,sweet\n,sour\n,salt\nA,sweet\nB,sour\n",
	} {
		run, found := runImport(t, im, "taste.csv", Options{}, strings.ReplaceAll(file, "C,sweet,1\nD,sour,x", "C,sweet,-\nD,sour,x"))
		if run.State != "finished" || run.Rejected != *run.RowsTotal || run.RowsDone != *run.RowsTotal || len(found) < int(run.Rejected) {
			t.Errorf("%s: %+v %v", name, run, found)
		}
		if f, a := count(t, store, `select count(*) from family`), count(t, store, `select count(*) from attribute`); f != families || a != attributes {
			t.Errorf("%s: %d families and %d attributes, before there were %d and %d", name, f, a, families, attributes)
		}
	}
	// One row that is good, however far behind, makes it.
	run, _ = runImport(t, im, "taste.csv", Options{}, "sku,taste\n,sweet\n,sour\n,salt\nA,sweet\nB,sour\nC,bitter\nD,umami\n")
	if run.Created != 2 || run.Rejected != 5 {
		t.Errorf("%+v", run)
	}
	if got := stored(t, store, "C")["taste"]; got != "bitter" {
		t.Errorf("stored %v", got)
	}
}

// TestOvertakenPlan: another import makes an attribute of the same name, of
// another type, after this one's plan was made: the plan is made anew, and no
// row is told or counted twice.
func TestOvertakenPlan(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	im := importer(store)
	im.chunkRows = 2
	other, done := importer(store), false
	im.step = func(where string) {
		if where == "planned" && !done {
			done = true
			if run, _ := runImport(t, other, "other.csv", Options{}, "sku,size\nX,large\nY,small\n"); run.Created != 2 {
				t.Errorf("%+v", run)
			}
		}
	}
	run, found := runImport(t, im, "mine.csv", Options{}, "sku,size\n,1\n,2\n,3\nA,4\nB,5\n")
	if run.State != "finished" || run.Created != 2 || run.Rejected != 3 || run.RowsDone != 5 || len(found) != 3 {
		t.Errorf("%+v %v", run, found)
	}
	if v := stored(t, store, "A"); v["mine_size"] == nil || v["size"] != nil {
		t.Errorf("stored %v", v)
	}
}

// A header without a column for the SKU fails whether rows follow or not.
func TestHeaderWithoutSKU(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	im := importer(store)
	for _, file := range []string{"name,size\n", "name,size\nx,1\n"} {
		if run, _ := runImport(t, im, "x.csv", Options{}, file); run.State != "failed" || !strings.Contains(run.Error, "no column is called SKU") || !strings.Contains(run.Error, "name, size") {
			t.Errorf("%q: %s %s", file, run.State, run.Error)
		}
	}
	for _, file := range []string{"sku,name\n", "[]"} {
		if run, _ := runImport(t, im, "x.csv", Options{}, file); run.State != "finished" {
			t.Errorf("%q: %s %s", file, run.State, run.Error)
		}
	}
}

// What the options name of the store is asked for before anything is stored.
func TestOptionsAgainstTheStore(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	o := Options{
		Family: "nope", Locale: "fr-FR", Currency: "CHF", PriceList: "nope", Location: "nope",
		Map: map[string]string{"price:CHF": "row.a", "stock:nope": "row.a", "price:EUR": "row.a", "name": "row.b"},
	}
	_, err := o.WithProfile(t.Context(), store)
	invalid, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	var at []string
	for _, p := range invalid.Problems {
		at = append(at, p.Pointer)
	}
	if got := strings.Join(at, " "); got != "/family /locale /currency /price_list /location /map/price:CHF /map/stock:nope" {
		t.Errorf("%s", got)
	}
}

// A layout is a profile that every house has, unless one is saved under its name.
func TestLayoutsAreProfiles(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	o, err := Options{Profile: "bmecat", Locale: "de-DE"}.WithProfile(t.Context(), store)
	if err != nil || o.Layout != "bmecat" || o.Locale != "de-DE" {
		t.Errorf("%+v %v", o, err)
	}
	if _, err := (Options{Profile: "datanorm"}).WithProfile(t.Context(), store); err == nil {
		t.Error("a profile that nobody has is taken")
	}
	if _, err := SaveProfile(t.Context(), store, "shopify", Options{Layout: "shopify", Currency: "EUR"}, 0); err != nil {
		t.Fatal(err)
	}
	if o, err = (Options{Profile: "shopify"}).WithProfile(t.Context(), store); err != nil || o.Currency != "EUR" {
		t.Errorf("%+v %v", o, err)
	}
}

// Whether a text is UTF-8 is seen also where its last character is cut off: by
// the end of the file, or by the end of what is looked at.
func TestEncodingAtTheEnd(t *testing.T) {
	t.Parallel()
	if got := guessEncoding([]byte("sku,name\nA,caf\xe9")); got != "windows-1252" {
		t.Errorf("a last é: %q", got)
	}
	if got := guessEncoding([]byte("sku,name\nA,caf\xe9\nB,caf\xe9")); got != "windows-1252" {
		t.Errorf("two: %q", got)
	}
	line := "A,caf\xe9\n"
	head := strings.Repeat(line, bufferSize/len(line)+1)
	for cut := range len(line) {
		if got := guessEncoding([]byte(head[cut:][:bufferSize])); got != "windows-1252" {
			t.Errorf("a head that begins at %d: %q", cut, got)
		}
	}
	line = "A,café\n"
	head = strings.Repeat(line, bufferSize/len(line)+1)
	for cut := range len(line) {
		if got := guessEncoding([]byte(head[:len(head)-cut][len(head)-cut-bufferSize:])); got != "" {
			t.Errorf("UTF-8 that ends %d before: %q", cut, got)
		}
	}
	store := openStore(t)
	run, found := runImport(t, importer(store), "x.csv", Options{}, "sku,name\nA,caf\xe9")
	if run.Created != 1 || codes(found)["warning file.encoding"] != 1 || stored(t, store, "A")["name"] != "café" {
		t.Errorf("%+v %v", run, found)
	}
}

// TestLocaleRowsOffers: of rows of one product, one for each locale, the first
// that has a price or a stock level says it, wherever chunks end.
func TestLocaleRowsOffers(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{1000, 1} {
		store := openStore(t)
		im := importer(store)
		im.chunkRows = rows
		o := Options{LocaleColumn: "lang"}
		run, found := runImport(t, im, "x.csv", o, "sku,lang,name,price-EUR,stock\nA,en-GB,Apple,,\nA,de-DE,Apfel,5,7\nB,en-GB,Pear,1,\nB,de-DE,Birne,2,3\n")
		if run.Rejected != 0 || run.State != "finished" {
			t.Fatalf("%+v %v", run, found)
		}
		if n := count(t, store, `select sum(amount)::bigint from price`); n != 6 {
			t.Errorf("chunks of %d: prices of %d in all", rows, n)
		}
		if n := count(t, store, `select sum(on_hand)::bigint from stock`); n != 10 {
			t.Errorf("chunks of %d: stock %d", rows, n)
		}
	}
}

// History tells which import a change is of.
func TestHistoryNamesTheImport(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	run, _ := runImport(t, importer(store), "fruit.csv", Options{}, "sku,name,price-EUR\nA,Apple,1.50\n")
	events, _, err := store.History(t.Context(), "A", postgres.Page{})
	if err != nil || len(events) != 2 {
		t.Fatalf("%+v, %v", events, err)
	}
	for _, e := range events {
		if want := fmt.Sprintf("%s, import %d", run.Actor, run.ID); e.Actor != want || run.Actor == "" {
			t.Errorf("%s is by %q, not %q", e.Type, e.Actor, want)
		}
	}
}

// A file of prices and stock is for products of any family, and leaves neither a
// family nor an attribute behind.
func TestPricesOfAnyFamily(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	im := importer(store)
	im.chunkRows = 2
	runImport(t, im, "fruit.csv", Options{}, "ean,name\n4006381333931,Apple\n")
	runImport(t, im, "tools.csv", Options{SKUColumn: "code"}, "code,size\nT-1,4\nT-2,5\n")
	families, attributes := count(t, store, `select count(*) from family`), count(t, store, `select count(*) from attribute`)
	const file = "sku,price-EUR,stock\n4006381333931,1.50,3\nT-1,9.00,4\nT-2,8.00,5\n"
	run, found := runImport(t, im, "prices.csv", Options{}, file)
	if run.Changed != 3 || run.Rejected != 0 {
		t.Errorf("%+v %+v", run, found)
	}
	if run, _ := runImport(t, im, "prices.csv", Options{}, file); run.Unchanged != 3 {
		t.Errorf("again: %+v", run)
	}
	if f, a := count(t, store, `select count(*) from family`), count(t, store, `select count(*) from attribute`); f != families || a != attributes {
		t.Errorf("%d families and %d attributes, before there were %d and %d", f, a, families, attributes)
	}
	if p, err := store.Product(t.Context(), "T-2"); err != nil || p.Family != "tools" || len(p.Prices) != 1 || len(p.Stock) != 1 || strings.Contains(string(p.Values), `"sku"`) {
		t.Errorf("%+v, %v", p, err)
	}
	// What is not there yet is made, as by any file; the others keep their families.
	if run, found := runImport(t, im, "prices.csv", Options{}, file+"NEW,2.00,1\n"); run.Created != 1 || run.Unchanged != 3 || run.Rejected != 0 {
		t.Errorf("%+v %+v", run, found)
	}
	if p, err := store.Product(t.Context(), "NEW"); err != nil || p.Family != "prices" {
		t.Errorf("%+v, %v", p, err)
	}
}
