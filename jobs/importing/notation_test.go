package importing

import (
	"fmt"
	"strings"
	"testing"
)

// What the point of 1.234 means is told by the rest of the column, or not at
// all; then it is not guessed.
func TestPointOrThousands(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		column string
		values []string
		want   string // of the last value: what is stored, or the code of its problem
	}{
		"cents with a comma":    {"price-EUR", []string{"12,50", "1.234"}, "price.ambiguous"},
		"nothing tells":         {"price-EUR", []string{"5", "1.234"}, "price.ambiguous"},
		"with a currency":       {"price-EUR", []string{"5", "1.234 €"}, "price.ambiguous"},
		"cents with a point":    {"price-EUR", []string{"12.50", "1.234"}, "1.234"},
		"less than one":         {"price-EUR", []string{"0.125", "1.234"}, "1.234"},
		"four decimals":         {"price-EUR", []string{"33.6442", "1.234"}, "1.234"},
		"thousands, twice":      {"price-EUR", []string{"12,50", "1.234.567"}, "1234567"},
		"pieces, nothing tells": {"stock", []string{"5", "1.000"}, "stock.ambiguous"},
		"pieces of an ERP":      {"stock", []string{"0.000", "1.000"}, "1"},
		"pieces in thousands":   {"stock", []string{"5", "1,000"}, "stock.number"},
	} {
		store := openStore(t)
		var b strings.Builder
		fmt.Fprintf(&b, "sku;%s\n", c.column)
		for i, v := range c.values {
			fmt.Fprintf(&b, "A%d;%s\n", i, v)
		}
		run, found := runImport(t, importer(store), "x.csv", Options{}, b.String())
		got := ""
		for _, f := range found {
			if f.Row == int64(len(c.values)) {
				got = f.Code
			}
		}
		if got == "" {
			const stored = `select coalesce((select trim_scale(amount)::text from price where product_id = p.id), (select on_hand::text from stock where product_id = p.id))
				from product p where sku = $1`
			if err := store.Pool().QueryRow(t.Context(), stored, fmt.Sprintf("A%d", len(c.values)-1)).Scan(&got); err != nil {
				t.Fatal(err)
			}
		}
		if run.State != "finished" || got != c.want {
			t.Errorf("%s: %s, not %s: %+v %v", name, got, c.want, run, found)
		}
	}
}

// A column called stock that has no number at all is an attribute, and that is said.
func TestStockThatIsNone(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	run, found := runImport(t, importer(store), "x.csv", Options{}, "sku,stock\nA,plenty\nB,none\n")
	if run.Created != 2 || codes(found)["warning column.stock"] != 1 || stored(t, store, "A")["stock"] != "plenty" {
		t.Errorf("%+v %v", run, found)
	}
}

// Lines of old Macs are lines, and Excel's sep= is no header.
func TestLinesAndSep(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		want map[string]int
		line string
	}{
		"carriage returns": {"sku,name\rA,one\rB,two\rC\r", map[string]int{"warning file.lines": 1, "error row.columns": 1}, "line 4:"},
		"no last one":      {"sku;name\rA;one\rB;two\rC", map[string]int{"warning file.lines": 1, "warning file.delimiter": 1, "error row.columns": 1}, "line 4:"},
		"sep":              {"sep=;\r\nsku;name\r\nA;one\r\nB;two\r\nC\r\n", map[string]int{"error row.columns": 1}, "line 5:"},
		"sep of any kind":  {"\xef\xbb\xbf\"sep=^\"\nsku^name\nA^one\nB^two\nC\n", map[string]int{"error row.columns": 1}, "line 5:"},
	} {
		store := openStore(t)
		run, found := runImport(t, importer(store), "x.csv", Options{}, c.file)
		if run.State != "finished" || run.Created != 2 || run.Rejected != 1 || fmt.Sprint(codes(found)) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v %v", name, run, found)
			continue
		}
		if last := found[len(found)-1]; !strings.HasPrefix(last.Problem, c.line) {
			t.Errorf("%s: %+v", name, last)
		}
		if v := stored(t, store, "B")["name"]; v != "two" {
			t.Errorf("%s: stored %v", name, v)
		}
	}
}

// A row that is too large is told with its own line, however much of the file
// is in memory when it comes.
func TestLineOfTooLarge(t *testing.T) {
	t.Parallel()
	for _, before := range []int{1, 70_000, 900_000} {
		for _, size := range []int{maxRecord + 1, maxRecord + 100_000, 4 * maxRecord} {
			var rec record
			c, err := newCSV(strings.NewReader("sku,name\r\nA,"+strings.Repeat("x", before)+"\r\nB,"+strings.Repeat("y", size)+"\r\nC\r\n"), ',', false, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"", "line 3: the row has more than", "line 4: the row has 1 fields"} {
				if err := c.next(&rec); err != nil {
					t.Fatal(err)
				}
				if (rec.bad == nil) != (want == "") || rec.bad != nil && !strings.HasPrefix(rec.bad.text, want) {
					t.Errorf("%d bytes behind %d: %+v, not %q", size, before, rec.bad, want)
				}
			}
		}
	}
}

// Amounts with units, as people write them; what is not clear is refused, with
// the cell as it stands.
func TestMeasured(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2.5 kg": `{"amount":2.5,"unit":"kg"}`, "2.5": `{"amount":2.5,"unit":"kg"}`, "2,5 kg": `{"amount":2.5,"unit":"kg"}`, "2000g": `{"amount":2000,"unit":"g"}`,
		"0,125": `{"amount":0.125,"unit":"kg"}`, "12,50g": `{"amount":12.50,"unit":"g"}`, "-3 g": `{"amount":-3,"unit":"g"}`,
		"1,250 g": "1,250 g", "1.234,5 kg": "1.234,5", "heavy": "heavy", "3 stones": "3 stones", "1,2,3": "1,2,3", "kg": "kg",
	} {
		store := openStore(t)
		furnish(t, store)
		run, found := runImport(t, importer(store), "x.csv", Options{Family: "toys", SKUColumn: "sku"}, "sku;weight\nA;"+text+"\n")
		got := ""
		if run.Created == 1 {
			got = compact(stored(t, store, "A")["weight"])
		} else {
			for _, f := range found {
				if f.Column == "weight" {
					got = f.Value
				}
			}
		}
		if got != want {
			t.Errorf("%q: %s, not %s (%v)", text, got, want, found)
		}
	}
}

// A parent that is not there is told with its column and value.
func TestPlaceOfParent(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	_, found := runImport(t, importer(store), "x.csv", Options{}, "sku,Parent SKU,color\nV,P,red\nA,,\n")
	for _, f := range found {
		if f.Code == "parent.unknown" && f.Column == "Parent SKU" && f.Value == "P" {
			return
		}
	}
	t.Errorf("%v", found)
}
