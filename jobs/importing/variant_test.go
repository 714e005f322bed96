package importing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Variants may stand before their parents, be known by other columns, or
// belong to products that are there already.
func TestVariantsBeforeParents(t *testing.T) {
	t.Parallel()
	const rows = "T-R,T,red,Tee\nX-1,,,Alone\nT-B,T,blue,\nT,,,Tee\nM-1,M,red,\nB-1,B,,\nB,,,Bag\nT-R2,T,red,\n"
	for name, c := range map[string]struct {
		header string
		o      Options
	}{
		"by their names":   {"sku,parent_sku,color,name\n", Options{}},
		"by the options":   {"sku,belongs to,tint,name\n", Options{ParentColumn: "belongs to", Axes: []string{"tint"}}},
		"by an expression": {"sku,p,colour,name\n", Options{Map: map[string]string{MapParent: "row.p"}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, k := imported(t, "tees.csv", c.o, c.header+rows)
			want := map[string]string{"T-R": "T", "T-B": "T"}
			if !maps.Equal(k.parents, want) || k.run.Created != 5 || k.run.Rejected != 3 {
				t.Fatalf("%v, %+v", k.parents, k.run)
			}
			// No axis is left for the bag, whose variant has no colour.
			said := map[int64]string{5: "parent.unknown", 6: "parent.axes", 8: "axis.taken"}
			for _, f := range k.report {
				if f.Severity == pim.SeverityError && said[f.Row] != f.Code {
					t.Errorf("%+v", f)
				}
			}
		})
	}
	store := openStore(t)
	im := importer(store)
	runImport(t, im, "tees.csv", Options{}, "sku,parent,color\nT,,\nT-R,T,red\n")
	run, report := runImport(t, im, "tees.csv", Options{}, "sku,parent,color\nT-G,T,green\n")
	if run.Created != 1 {
		t.Errorf("a variant of a product that is there: %+v, %+v", run, report)
	}
}

func TestParentsByNumber(t *testing.T) {
	t.Parallel()
	file := "ID,Type,SKU,Name,Published,Parent,Regular price,Attribute 1 name,Attribute 1 value(s)\n" +
		"11,variation,H-R,,1,id:10,5,Color,Red\n10,variable,H,Hoodie,1,,,Color,\"Red, Blue\"\n12,variation,H-B,,-1,H,6,Color,Blue\n13,variation,N,,1,id:99,6,Color,Blue\n"
	store, k := imported(t, "woo.csv", Options{Currency: "EUR"}, file)
	if !maps.Equal(k.parents, map[string]string{"H-R": "H", "H-B": "H"}) || codes(k.report)["error parent.unknown"] != 1 {
		t.Errorf("%v, %+v", k.parents, k.report)
	}
	if p, err := store.Product(t.Context(), "H-B"); err != nil || p.Enabled {
		t.Errorf("%+v, %v", p, err)
	}
}

// Prices and stock beside the texts, by the columns' names.
func TestOffersInColumns(t *testing.T) {
	t.Parallel()
	file := "sku,name,price-EUR,Price (GBP),sale price EUR,stock,stock:default2,price\nA,Tea,\"1.234,50\",£5,900,10,3,7\nB,Cup,0,,,-2,,8\nC,Pot,12,eins,,1.5,,9\n"
	_, k := imported(t, "tea.csv", Options{}, file)
	k.has(t, "A EUR 1234.5", "A EUR 900 2000-01-01 2100-01-01", "A GBP 5", "B EUR 0")
	c := codes(k.report)
	if k.run.Created != 2 || c["warning price.zero"] != 1 || c["error price.amount"] != 1 || c["error stock.number"] != 1 || c["warning column.location"] != 1 || k.stock != 8 {
		t.Errorf("%+v, %v, stock %d", k.run, c, k.stock)
	}
	store, k := imported(t, "tea.csv", Options{Currency: "EUR", Map: map[string]string{"stock:default": "row.n", "price:GBP": "row.price"}}, "sku,price,n\nA,5,3\n")
	k.has(t, "A EUR 5", "A GBP 5")
	if k.stock != 3 || store.Schema().Attributes["price"] != nil {
		t.Errorf("stock %d", k.stock)
	}
	// A price alone is a change, and told as an event of the bulk.
	run, _ := runImport(t, importer(store), "tea.csv", Options{Currency: "EUR"}, "sku,price\nA,6\n")
	if run.Changed != 1 || count(t, store, `select count(*) from outbox where priority <> 0`) != 0 {
		t.Errorf("%+v", run)
	}
	for _, o := range []Options{{Currency: "CHF"}, {PriceList: "x"}, {Location: "x"}, {Map: map[string]string{"price:CHF": "1"}}, {Map: map[string]string{"stock:x": "1"}}} {
		if run, _ := runImport(t, importer(store), "tea.csv", o, "sku,price\nA,6\n"); run.State != "failed" {
			t.Errorf("%+v: %+v", o, run)
		}
	}
}

func TestParseMoney(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"5": "5", "5.50": "5.50", " 5,5 ": "5.5", "12,50 €": "12.50", "€ 12.50": "12.50", "69.71 eur": "69.71", "EUR 1": "1", "-5": "-5", ".5": "0.5",
		"1,234.50": "1234.50", "1.234,50": "1234.50", "1 234,50": "1234.50", "1'234.50": "1234.50", "1,234,567": "1234567", "0,125": "0.125", "007.5": "7.5",
		"33.6442": "33.6442", "1,234": "price.ambiguous", "5 GBP": "price.currency", "$5": "price.currency", "five": "price.amount", "1,2,3": "price.amount",
		"1.2.3": "price.amount", "5-7": "price.amount", "": "price.amount", "1,,2": "price.amount",
		"12 50": "price.amount", "1 2 3": "price.amount", "1'2": "price.amount", "1.234.567": "1234567", "1.234.56": "price.amount", "1.234": "1.234",
	} {
		d, bad := parseMoney(origin{name: "price"}, in, "EUR")
		if got := d.String(); bad == nil && got != want || bad != nil && bad.code != want {
			t.Errorf("%q: %s, %+v; not %s", in, got, bad, want)
		}
	}
}

// A file of variants, prices and pictures, killed anywhere, ends as one that is not.
func TestRestartVariants(t *testing.T) {
	t.Parallel()
	shop := func(prefix string) string {
		var b strings.Builder
		b.WriteString("Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Qty,Image Src\n")
		for i := range 9 {
			h := fmt.Sprintf("%s-%d", prefix, i)
			fmt.Fprintf(&b, "%s,Shirt %d,Size,S,,%d.50,3,https://img.example/%d.jpg\n", h, i, i+1, i)
			fmt.Fprintf(&b, "%s,,,M,,%d,4,\n%s,,,,,,,https://img.example/%d-b.jpg\n", h, i+2, h, i)
		}
		return b.String()
	}
	links := func(prefix string) string {
		var b strings.Builder
		b.WriteString("sku,parent,color,name,price-EUR,stock\n")
		for i := range 24 {
			if i%3 == 2 {
				fmt.Fprintf(&b, "%s-%d,,,Shirt %d,,\n", prefix, i, i)
				continue
			}
			fmt.Fprintf(&b, "%s-%d,%s-%d,%s,,%d,%d\n", prefix, i, prefix, i/3*3+2, []string{"red", "blue"}[i%3], i+1, i)
		}
		fmt.Fprintf(&b, "%s-3,,,again,,\n", prefix)
		return b.String()
	}
	store := openStore(t)
	n := 0
	finish := func(t testing.TB, file func(string) string, o Options, cuts map[int]bool) string {
		t.Helper()
		n++
		prefix := fmt.Sprintf("p%05d", n)
		id := begin(t, store, "shirts.csv", o, strings.NewReader(file(prefix)))
		events := count(t, store, `select count(*) from event`)
		for step, over := 0, false; !over; {
			ctx, kill := context.WithCancel(t.Context())
			im := importer(store)
			im.chunkRows = 4
			im.step = func(string) {
				if step++; cuts[step] {
					kill()
				}
			}
			l := take(t, store, id)
			err := im.Run(ctx, l)
			if over = err == nil; !over && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			kill()
			release(t, store, l)
		}
		run, report := outcome(t, store, id)
		var b strings.Builder
		fmt.Fprintln(&b, run.State, run.RowsDone, run.Created, run.Changed, run.Unchanged, run.Rejected, run.Warnings, count(t, store, `select count(*) from event`)-events)
		for _, f := range report {
			fmt.Fprintf(&b, "%+v\n", f)
		}
		for page := (postgres.Page{Limit: 1000}); ; {
			list, next, err := store.Products(t.Context(), postgres.ProductFilter{SKUPrefix: prefix}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				fmt.Fprintln(&b, p.SKU, p.Parent, p.Rev, p.PriceRev, p.StockRev, string(p.Values))
			}
			if page.After = next; next == "" {
				break
			}
		}
		fmt.Fprintln(&b, count(t, store, `select count(*) from price`)/int64(n))
		return strings.ReplaceAll(b.String(), prefix, "p")
	}
	for name, c := range map[string]struct {
		file func(string) string
		o    Options
		rows string
	}{
		"groups": {shop, Options{Currency: "EUR"}, "finished 27 27 0 0 0"},
		"links":  {links, Options{}, "finished 25 24 0 0 1"},
	} {
		store, n = openStore(t), 0
		finish(t, c.file, c.o, nil) // makes the attributes
		whole := finish(t, c.file, c.o, nil)
		if !strings.HasPrefix(whole, c.rows) {
			t.Fatalf("%s: %s", name, whole)
		}
		t.Run(name, rapid.MakeCheck(func(rt *rapid.T) {
			cuts := map[int]bool{}
			for _, at := range rapid.SliceOfN(rapid.IntRange(1, 8), 1, 5).Draw(rt, "cuts") {
				cuts[at] = true
			}
			if got := finish(t, c.file, c.o, cuts); !reflect.DeepEqual(got, whole) {
				rt.Errorf("cuts %v make another end:\n%s", cuts, cmp.Diff(whole, got))
			}
		}))
	}
}

// Whatever the rows of a vendor's file hold: all are planned, each has one
// outcome, and no product is made twice.
func FuzzLayouts(f *testing.F) {
	for _, seed := range []string{
		"Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src\na,A,Size,S,,5,x\na,,,M,,x,\n,,,,,,\nb,B,Title,Default Title,b,1,\n",
		"ID,Type,SKU,Name,Published,Parent,Regular price,Sale price,Attribute 1 name,Attribute 1 value(s)\n1,variable,a,A,1,,,,Color,\"Red, Blue\"\n2,variation,b,B,1,id:1,5,4,Color,Red\n3,variation,c,,1,c,,,,\n",
		"name,slug,assets,facets,optionGroups,optionValues,sku,price,stockOnHand\nA,a,x.jpg|y.jpg,category:B|color:red,size|c,S|,a1,5,1\n,,,,,M|r,a2,6,x\nB,,,::|,,,b,,\n",
		"Product Handle,Product Title,Variant Sku,Variant Option 1 Name,Variant Option 1 Value,Variant Price EUR,Product Image 1,Product Image 2\na,A,,size,S,5,x,y\na,A,,size,M,6,x,y\nb,B,b,,,,,\n",
		"sku,parent,color,price-EUR,stock\na,b,red,5,1\nb,,,,\n",
	} {
		f.Add(seed, "EUR")
	}
	f.Fuzz(func(t *testing.T, file, currency string) {
		o := &Options{Currency: pim.Currency(currency), AssetBase: "https://x.example/"}
		if o.Check() != nil {
			o.Currency = ""
		}
		s, err := look(t.Context(), strings.NewReader(file), o, nil)
		if err != nil {
			if !over(err) {
				t.Fatal(err)
			}
			return
		}
		p, err := makePlan(openSchema(), s, *o, nil, "x.csv")
		if err != nil {
			if !over(err) {
				t.Fatal(err)
			}
			return
		}
		sc := scribe{w: &writer{plan: p, run: &postgres.ImportRun{}}, part: newPart(), seen: newSeen()}
		passes := 1
		if s.linked() {
			passes = 2
		}
		seen := map[pim.SKU]bool{}
		entries := int64(0)
		for sc.pass = 0; sc.pass < passes; sc.pass++ {
			in, err := open(strings.NewReader(file), o.form())
			if err != nil {
				t.Fatal(err)
			}
			g := grouper{reading: newReading(o, in.columns()), in: in}
			conv := &converter{plan: p, table: in.columns(), seen: sc.seen}
			for {
				group, err := g.next()
				if errors.Is(err, io.EOF) || over(err) {
					break
				}
				if products, taken := sc.convert(conv, group, passes > 1); taken {
					sc.take(group, products, conv)
				}
				for _, e := range sc.part.edits {
					if seen[e.SKU] || pim.ValidSKU(string(e.SKU)) != nil {
						t.Fatalf("%q is made twice, or is no SKU", e.SKU)
					}
					seen[e.SKU] = true
				}
				for _, e := range sc.part.entries {
					if len(e.edits) == 0 && !e.refused {
						t.Fatalf("row %d has no outcome", e.row)
					}
					entries++
				}
				sc.part = newPart()
			}
		}
		if entries != s.rows {
			t.Fatalf("%d rows have %d outcomes", s.rows, entries)
		}
	})
}
