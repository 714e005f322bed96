package importing

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// kept is what an import left behind, as texts that a test can compare.
type kept struct {
	run     postgres.ImportRun
	report  []postgres.ImportFinding
	parents map[string]string // variant → parent
	prices  []string
	stock   int64
}

// imported imports a file into a new store, checks that a second time changes
// nothing, and gives what is there.
func imported(t *testing.T, filename string, o Options, content string) (*postgres.Store, kept) {
	t.Helper()
	store := openStore(t)
	im := importer(store)
	k := kept{parents: map[string]string{}}
	dry := o
	dry.DryRun = true
	tried, _ := runImport(t, im, filename, dry, content)
	if n := count(t, store, `select count(*) from product`) + count(t, store, `select count(*) from event`) + count(t, store, `select count(*) from price`); n != 0 {
		t.Errorf("a dry run has written %d things", n)
	}
	k.run, k.report = runImport(t, im, filename, o, content)
	if k.run.State != "finished" || tried.Created != k.run.Created || tried.Rejected != k.run.Rejected || tried.Warnings != k.run.Warnings {
		t.Errorf("the import: %+v %v; the dry run: %+v", k.run, codes(k.report), tried)
	}
	events, version := count(t, store, `select count(*) from event`), store.Schema().Version
	again, _ := runImport(t, im, filename, o, content)
	if again.Created+again.Changed != 0 || again.Unchanged != k.run.Created || again.Rejected != k.run.Rejected || again.Warnings != k.run.Warnings {
		t.Errorf("a second import gives %+v, the first %+v", again, k.run)
	}
	if n := count(t, store, `select count(*) from event`); n != events || store.Schema().Version != version {
		t.Errorf("a second import made %d events, and schema %d of %d", n-events, store.Schema().Version, version)
	}
	rows, err := store.Pool().Query(t.Context(), `select c.sku, p.sku from product c join product p on p.id = c.parent_id`)
	if err != nil {
		t.Fatal(err)
	}
	var child, parent string
	for rows.Next() {
		if err := rows.Scan(&child, &parent); err != nil {
			t.Fatal(err)
		}
		k.parents[child] = parent
	}
	k.prices = column(t, store, `select concat_ws(' ', p.sku, c.currency, trim_scale(c.amount), nullif(c.valid_from, '-infinity')::date, nullif(c.valid_to, 'infinity')::date)
		from price c join product p on p.id = c.product_id order by p.sku collate "C", c.currency, c.valid_from`)
	k.stock = count(t, store, `select coalesce(sum(on_hand), 0) from stock`)
	return store, k
}

func column(t *testing.T, store *postgres.Store, sql string) (list []string) {
	t.Helper()
	rows, err := store.Pool().Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

func (k kept) has(t *testing.T, prices ...string) {
	t.Helper()
	for _, p := range prices {
		if !slices.Contains(k.prices, p) {
			t.Errorf("there is no price %q, but %q", p, k.prices)
		}
	}
}

// Vendors' own samples; the counts are those of their descriptions.
func TestWooCommerceData(t *testing.T) {
	t.Parallel()
	store, k := imported(t, "sample_products.csv", Options{Currency: "GBP"}, string(shared(t, "woocommerce", "sample_products.csv")))
	if k.run.Created != 25 || len(k.parents) != 7 || codes(k.report)["warning file.layout"] != 1 || len(k.report) != 2 {
		t.Errorf("%+v, %d variants, %v", k.run, len(k.parents), codes(k.report))
	}
	if k.parents["woo-hoodie-blue-logo"] != "woo-hoodie" || k.parents["woo-vneck-tee-red"] != "woo-vneck-tee" {
		t.Errorf("%v", k.parents)
	}
	k.has(t, "woo-beanie GBP 20", "woo-beanie GBP 18 2000-01-01 2100-01-01", "wp-pennant GBP 11.05")
	if v := stored(t, store, "woo-hoodie-blue-logo"); v["color"] != "Blue" || v["logo"] != "Yes" || v["name"] != "Hoodie - Blue, Yes" {
		t.Errorf("%v", v)
	}
	// One variant is of any size: so size is none of the axes, and stays a text of the parent.
	if v := stored(t, store, "woo-vneck-tee"); v["size"] != "Large, Medium, Small" || v["color"] != nil || len(v["images"].([]any)) != 3 {
		t.Errorf("%v", v)
	}
	if got := axes(store, "sample_products"); got != "color / color logo" {
		t.Errorf("family variants %q", got)
	}
	if p, err := store.Product(t.Context(), "woo-hoodie"); err != nil || !slices.Equal(p.Categories, []string{"clothing_hoodies"}) {
		t.Errorf("%+v, %v", p, err)
	}
	_, k = imported(t, "classic.csv", Options{Currency: "GBP"}, string(shared(t, "woocommerce", "classic-commerce_sample_products.csv")))
	if k.run.Created != 24 || len(k.parents) != 9 {
		t.Errorf("%+v, %d variants", k.run, len(k.parents))
	}
}

func axes(store *postgres.Store, family string) string {
	var sets []string
	if f := store.Schema().Families[family]; f != nil {
		for _, v := range f.Variants {
			sets = append(sets, strings.Join(v.Axes, " "))
		}
	}
	slices.Sort(sets)
	return strings.Join(sets, " / ")
}

func TestShopifyData(t *testing.T) {
	t.Parallel()
	store, k := imported(t, "apparel.csv", Options{Currency: "USD"}, string(shared(t, "shopify", "apparel.csv")))
	if k.run.Created != 22 || len(k.parents) != 3 || len(k.prices) != 22 || k.stock != 22 || count(t, store, `select count(*) from product where parent_id is null`) != 20 {
		t.Errorf("%+v, variants %v, %d prices, stock %d", k.run, k.parents, len(k.prices), k.stock)
	}
	if k.parents["classic-varsity-top-medium"] != "classic-varsity-top" {
		t.Errorf("%v", k.parents)
	}
	store, k = imported(t, "jewelery.csv", Options{Currency: "USD"}, string(shared(t, "shopify", "jewelery.csv")))
	// 18 rows are more pictures: 23 can be sold, of 20 products.
	if k.run.Created != 41 || count(t, store, `select count(*) from product where parent_id is null`) != 20 ||
		count(t, store, `select count(distinct product_id) from price`) != 23 {
		t.Errorf("%+v, %v", k.run, codes(k.report))
	}
	k.has(t, "chain-bracelet-blue USD 44.99", "chain-bracelet-blue USD 42.99 2000-01-01 2100-01-01")
	if v := stored(t, store, "boho-earrings"); len(v["images"].([]any)) != 3 || v["name"] != "Boho Earrings" || v["brand"] != "Company 123" {
		t.Errorf("%v", v)
	}
	if v := stored(t, store, "chain-bracelet-black"); v["color"] != "Black" || v["images"] != "https://burst.shopifycdn.com/photos/7-chakra-bracelet_925x.jpg" {
		t.Errorf("%v", v)
	}
}

func TestVendureData(t *testing.T) {
	t.Parallel()
	o := Options{AssetBase: "https://img.example/", Map: map[string]string{"price:EUR": "row.price", "price:USD": "string(double(row.price) * 2.0)"}}
	store, k := imported(t, "products.csv", o, string(shared(t, "vendure", "products.csv")))
	if k.run.Created != 86 || k.run.Rejected != 2 || codes(k.report)["error sku.duplicate"] != 2 {
		t.Errorf("%+v, %v", k.run, codes(k.report))
	}
	for _, f := range k.report {
		if f.Code == "sku.duplicate" && (f.Row != 87 && f.Row != 88 || f.SKU != "404.038.96" || f.Column != "sku" || f.Problem != "row 86 has this SKU already") {
			t.Errorf("%+v", f)
		}
	}
	if n := count(t, store, `select count(*) from product where parent_id is null`); n != 54 || k.stock != 8600 || len(k.prices) != 2*86 {
		t.Errorf("%d products, stock %d, %d prices", n, k.stock, len(k.prices))
	}
	k.has(t, "L2201308 EUR 1299", "L2201308 USD 2598", "404.038.96 EUR 100")
	if v := stored(t, store, "laptop"); v["images"] != "https://img.example/derick-david-409858-unsplash.jpg" || v["brand"] != "Apple" || v["name"] != "Laptop" {
		t.Errorf("%v", v)
	}
	// A facet of the same name does not take the place of what a variant differs in.
	if v := stored(t, store, "404.038.96"); v["color"] != "mustard" || k.parents["404.038.96"] != "modern-cafe-chair" {
		t.Errorf("%v", v)
	}
	_, k = imported(t, "multiple-products-multiple-variants.csv", Options{Currency: "EUR"}, string(shared(t, "vendure", "multiple-products-multiple-variants.csv")))
	if k.run.Created != 10 || len(k.parents) != 9 || k.parents["10115"] != "artists-smock" || k.stock != 145 {
		t.Errorf("%+v, %v, stock %d", k.run, k.parents, k.stock)
	}
}

func TestVendureLanguages(t *testing.T) {
	t.Parallel()
	file := string(shared(t, "vendure", "multiple-languages.csv"))
	_, k := imported(t, "x.csv", Options{}, file)
	if c := codes(k.report); k.run.Created != 3 || c["warning column.locale"] != 3 {
		t.Errorf("zh-Hans is none of the store's locales: %v", c)
	}
	store := openStore(t)
	if _, err := store.ChangeSchema(t.Context(), postgres.SchemaChange{Locales: []pim.Locale{"zh-Hans"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		run, report := runImport(t, importer(store), "x.csv", Options{Locale: "en-GB"}, file)
		if [2]int64{run.Created, run.Unchanged}[i] != 3 || codes(report)["warning column.locale"] != 0 {
			t.Errorf("%+v, %v", run, codes(report))
		}
	}
	name, _ := stored(t, store, "perfect-paper-stretcher")["name"].(map[string]any)
	if name["en-GB"] != "Perfect Paper Stretcher" || name["zh-Hans"] != "完美的纸张拉伸器" {
		t.Errorf("%v", name)
	}
}

func TestMedusaData(t *testing.T) {
	t.Parallel()
	var both [2]string
	for i, f := range []string{"exported-products-comma.csv", "exported-products-semicolon.csv"} {
		store, k := imported(t, "products.csv", Options{}, string(shared(t, "medusa-import-csv", f)))
		if k.run.Created != 3 || len(k.parents) != 3 || codes(k.report)["warning column.currency"] != 1 || codes(k.report)["warning file.delimiter"] != i {
			t.Errorf("%s: %+v, %v", f, k.run, codes(k.report))
		}
		both[i] = fmt.Sprint(k.parents, k.prices, stored(t, store, "base-product"))
		k.has(t, "base-product-large-green EUR 45", "base-product-large-green USD 100")
	}
	if both[0] != both[1] {
		t.Errorf("commas and semicolons make different products:\n%s\n%s", both[0], both[1])
	}
	for f, rows := range map[string]int64{"invalid-prices.csv": 1, "invalid-column.csv": 1, "unrelated-column.csv": 1, "prices-with-region.csv": 1, "product-with-categories.csv": 2, "filtered-products.csv": 1} {
		_, k := imported(t, "products.csv", Options{}, string(shared(t, "medusa-import-csv", f)))
		if k.run.Created != rows {
			t.Errorf("%s: %+v, %v", f, k.run, codes(k.report))
		}
		// The price of a region is nobody's price here, and said to be left.
		if strings.Contains(f, "rice") && !slices.ContainsFunc(k.report, func(x postgres.ImportFinding) bool {
			return x.Code == "column.ignored" && strings.Contains(x.Problem, "[")
		}) {
			t.Errorf("%s does not tell that the prices of regions are not taken: %+v", f, k.report)
		}
	}
	_, k := imported(t, "v1.csv", Options{}, string(shared(t, "medusa-import-csv", "v1-template.csv")))
	if k.run.Created != 5 || k.stock != 50 || len(k.parents) != 5 || len(k.prices) != 4 {
		t.Errorf("%+v, stock %d, %v", k.run, k.stock, k.parents)
	}
}

// The texts of a bicycle maker in six languages, a row for each, beside its
// products, 200 of which have a price of 0.
func TestAdventureWorksData(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	locales := []pim.Locale{"en", "fr", "ar", "he", "th", "zh-Hant"}
	if _, err := store.ChangeSchema(t.Context(), postgres.SchemaChange{Locales: locales}); err != nil {
		t.Fatal(err)
	}
	file := string(shared(t, "adventureworks", "clean", "model_descriptions.csv"))
	o := Options{SKUColumn: "ProductModelID", LocaleColumn: "CultureID"}
	for i := range 2 {
		run, report := runImport(t, importer(store), "models.csv", o, file)
		if [2]int64{run.Created, run.Unchanged}[i] != 762 || run.Rejected != 0 {
			t.Fatalf("%+v, %v", run, codes(report))
		}
	}
	if n := count(t, store, `select count(*) from product`); n != 127 {
		t.Errorf("%d models", n)
	}
	text, _ := stored(t, store, "1")["Description"].(map[string]any)
	if len(text) != 6 || text["ar"] != "علب خفيفة الوزن، ومقاومة للريح، تناسب حجم الجيب." {
		t.Errorf("%v", text)
	}
	run, report := runImport(t, importer(store), "models.csv", Options{SKUColumn: "ProductModelID", LocaleColumn: "CultureID", DryRun: true},
		"ProductModelID,CultureID,Description\n1,en,A\n1,xx,B\n1,en,C\n")
	if run.Rejected != 2 || codes(report)["error locale.unknown"] != 1 || codes(report)["error sku.duplicate"] != 1 {
		t.Errorf("%+v, %+v", run, report)
	}
	_, k := imported(t, "bikes.csv", Options{SKUColumn: "ProductNumber", Currency: "USD"}, string(shared(t, "adventureworks", "clean", "products.csv")))
	if c := codes(k.report); k.run.Created != 504 || c["warning price.zero"] != 200 || len(k.prices) != 504 {
		t.Errorf("%+v, %v, %d prices", k.run, c, len(k.prices))
	}
}

// Deep JSON: a few paths are mapped, the rest is kept or left without failing.
func TestOpenFoodFactsData(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	family := pim.Family{Code: "food", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "brand"}, {Code: "content"}, {Code: "code"}}}
	_, err := store.ChangeSchema(t.Context(), postgres.SchemaChange{
		Attributes: []pim.Attribute{
			{Code: "name", Type: pim.TypeText},
			{Code: "brand", Type: pim.TypeText},
			{Code: "code", Type: pim.TypeText, Check: pim.CheckGTIN},
			{Code: "content", Type: pim.TypeNumber, Unit: "g"},
		},
		Families: []pim.Family{family},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Family: "food", Map: map[string]string{
		"sku": "row.code", "name": "row.product_name", "brand": "row.brands",
		"content": `regexFind(row.quantity.lowerAscii(), '^([0-9]+(?:[.,][0-9]+)? ?(?:k?g))$').replace(',', '.').replace('kg', ' kg').replace('  ', ' ').replace('g', ' g').replace('k g', 'kg').replace('  ', ' ')`,
	}}
	run, report := runImport(t, importer(store), "off.jsonl.gz", o, string(shared(t, "openfoodfacts", "openfoodfacts-products-min.jsonl.gz")))
	if run.State != "finished" || run.RowsDone != 1000 || run.Created+run.Rejected != 1000 || run.Rejected > 3 {
		t.Fatalf("%+v, %v", run, codes(report))
	}
	var bad int
	for _, f := range report {
		if strings.HasPrefix(f.Code, "gtin.") || strings.HasPrefix(f.Code, "sku") {
			bad++
		}
	}
	if bad < 3 {
		t.Errorf("3 codes are invalid, %d are reported: %v", bad, codes(report))
	}
	if n := count(t, store, `select count(*) from product where values ? 'content'`); n == 0 {
		t.Error("no quantity was read")
	}
}
