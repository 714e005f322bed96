package importing

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// twice imports a file two times: the second changes nothing at all.
func twice(t *testing.T, store *postgres.Store, filename string, o Options, file string) (postgres.ImportRun, []postgres.ImportFinding) {
	t.Helper()
	im := importer(store)
	run, found := runImport(t, im, filename, o, file)
	version, events, tree := store.Schema().Version, count(t, store, `select count(*) from event`), store.Schema().Tree.Len()
	again, told := runImport(t, im, filename, o, file)
	if again.Created+again.Changed != 0 || again.Rejected != run.Rejected || again.Unchanged != run.Created+run.Changed+run.Unchanged || len(told) != len(found) {
		t.Errorf("%s again: %+v\n%+v", filename, again, told)
	}
	if v, e, n := store.Schema().Version, count(t, store, `select count(*) from event`), store.Schema().Tree.Len(); v != version || e != events || n != tree {
		t.Errorf("%s again: schema %d then %d, events %d then %d, categories %d then %d", filename, version, v, events, e, tree, n)
	}
	return run, found
}

// has finds a finding by its code, with what is in its column and text.
func has(found []postgres.ImportFinding, code, column, text string) bool {
	for _, f := range found {
		if f.Code == code && strings.Contains(f.Column, column) && strings.Contains(f.Problem, text) {
			return true
		}
	}
	return false
}

const catalogue12 = `<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE BMECAT SYSTEM "http://nowhere.invalid/bmecat_new_catalog.dtd" [<!ENTITY % USERDEFINES "(UDX.A?)"> <!ELEMENT UDX.A (#PCDATA)>]>
<BMECAT version="1.2" xmlns="http://www.bmecat.org/bmecat/1.2/bmecat_new_catalog">
<HEADER><CATALOG><LANGUAGE>ger</LANGUAGE><CATALOG_ID>1</CATALOG_ID><TERRITORY>DE</TERRITORY><CURRENCY>EUR</CURRENCY><MIME_ROOT>https://img.example/m/</MIME_ROOT></CATALOG>
<SUPPLIER><SUPPLIER_NAME>M` + "\xfc" + `ller KG</SUPPLIER_NAME></SUPPLIER></HEADER>
<T_NEW_CATALOG>
<CATALOG_GROUP_SYSTEM><GROUP_SYSTEM_ID>1</GROUP_SYSTEM_ID>
<CATALOG_STRUCTURE type="root"><GROUP_ID>1</GROUP_ID><GROUP_NAME>Katalog</GROUP_NAME><PARENT_ID>0</PARENT_ID></CATALOG_STRUCTURE>
<CATALOG_STRUCTURE type="leaf"><GROUP_ID>3</GROUP_ID><GROUP_NAME>Schrauben</GROUP_NAME><PARENT_ID>1</PARENT_ID><GROUP_ORDER>2</GROUP_ORDER></CATALOG_STRUCTURE>
<CATALOG_STRUCTURE type="leaf"><GROUP_ID>2</GROUP_ID><GROUP_NAME>Muttern</GROUP_NAME><PARENT_ID>1</PARENT_ID><GROUP_ORDER>1</GROUP_ORDER></CATALOG_STRUCTURE>
</CATALOG_GROUP_SYSTEM>
<ARTICLE><SUPPLIER_AID>S-1</SUPPLIER_AID>
<ARTICLE_DETAILS><DESCRIPTION_SHORT>Schraube f` + "\xfc" + `r 5 mm&amp;sup2;</DESCRIPTION_SHORT><DESCRIPTION_LONG>&lt;b&gt;Fest&lt;/b&gt;</DESCRIPTION_LONG><EAN>4006381333931</EAN>
<MANUFACTURER_NAME>M&#252;ller</MANUFACTURER_NAME><KEYWORD>A</KEYWORD><KEYWORD>B</KEYWORD><KEYWORD>A</KEYWORD></ARTICLE_DETAILS>
<ARTICLE_FEATURES><REFERENCE_FEATURE_SYSTEM_NAME>ECLASS-5.1</REFERENCE_FEATURE_SYSTEM_NAME><REFERENCE_FEATURE_GROUP_ID>23110101</REFERENCE_FEATURE_GROUP_ID>
<FEATURE><FNAME>L` + "\xe4" + `nge</FNAME><FVALUE>40.0</FVALUE><FUNIT>MMT</FUNIT></FEATURE>
<FEATURE><FNAME>Farbe</FNAME><FVALUE>blau</FVALUE><FVALUE>rot</FVALUE></FEATURE>
<FEATURE><FNAME>Teile</FNAME><FVALUE>13</FVALUE><FUNIT>-tlg.</FUNIT></FEATURE></ARTICLE_FEATURES>
<ARTICLE_ORDER_DETAILS><ORDER_UNIT>C62</ORDER_UNIT><PRICE_QUANTITY>100</PRICE_QUANTITY></ARTICLE_ORDER_DETAILS>
<ARTICLE_PRICE_DETAILS>
<DATETIME type="valid_start_date"><DATE>2030-01-01</DATE></DATETIME><DATETIME type="valid_end_date"><DATE>2030-12-31</DATE></DATETIME>
<ARTICLE_PRICE price_type="net_list"><PRICE_AMOUNT>12.50</PRICE_AMOUNT><TAX>0.19</TAX><TERRITORY>DE</TERRITORY></ARTICLE_PRICE>
<ARTICLE_PRICE price_type="net_list"><PRICE_AMOUNT>10</PRICE_AMOUNT><PRICE_FACTOR>0.9</PRICE_FACTOR><LOWER_BOUND>1000</LOWER_BOUND></ARTICLE_PRICE>
<ARTICLE_PRICE price_type="net_customer"><PRICE_AMOUNT>7</PRICE_AMOUNT><PRICE_CURRENCY>CHF</PRICE_CURRENCY><TERRITORY>CH</TERRITORY></ARTICLE_PRICE>
</ARTICLE_PRICE_DETAILS>
<MIME_INFO><MIME><MIME_TYPE>image/jpeg</MIME_TYPE><MIME_SOURCE>a b.jpg</MIME_SOURCE></MIME><MIME><MIME_TYPE>application/pdf</MIME_TYPE><MIME_SOURCE>https://x.example/a.pdf</MIME_SOURCE></MIME></MIME_INFO>
<USER_DEFINED_EXTENSIONS><UDX.A>x</UDX.A></USER_DEFINED_EXTENSIONS>
<ARTICLE_REFERENCE type="accessories"><ART_ID_TO>S-2</ART_ID_TO></ARTICLE_REFERENCE><ARTICLE_REFERENCE type="accessories"><ART_ID_TO>S-1</ART_ID_TO></ARTICLE_REFERENCE>
<ARTICLE_REFERENCE type="consists_of" quantity="4"><ART_ID_TO>S-3</ART_ID_TO></ARTICLE_REFERENCE></ARTICLE>
<ARTICLE><SUPPLIER_AID>S-2</SUPPLIER_AID><ARTICLE_DETAILS><DESCRIPTION_SHORT>Mutter</DESCRIPTION_SHORT></ARTICLE_DETAILS>
<ARTICLE_PRICE_DETAILS><ARTICLE_PRICE price_type="net_list"><PRICE_AMOUNT>1,50</PRICE_AMOUNT></ARTICLE_PRICE></ARTICLE_PRICE_DETAILS></ARTICLE>
<ARTICLE><SUPPLIER_AID></SUPPLIER_AID></ARTICLE>
<ARTICLE_TO_CATALOGGROUP_MAP><ART_ID>S-1</ART_ID><CATALOG_GROUP_ID>3</CATALOG_GROUP_ID></ARTICLE_TO_CATALOGGROUP_MAP>
<ARTICLE_TO_CATALOGGROUP_MAP><ART_ID>S-1</ART_ID><CATALOG_GROUP_ID>9</CATALOG_GROUP_ID></ARTICLE_TO_CATALOGGROUP_MAP>
</T_NEW_CATALOG></BMECAT>`

// What a catalogue says is stored as it says it, and what is wrong is told with its place.
func TestBMEcat(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	run, found := twice(t, store, "screws.xml", Options{}, catalogue12)
	if run.State != "finished" || run.Created != 1 || run.Rejected != 2 {
		t.Fatalf("%+v\n%+v", run, found)
	}
	v := stored(t, store, "S-1")
	for code, want := range map[string]string{
		"name": `{"de-DE":"Schraube für 5 mm²"}`, "description": `{"de-DE":"<b>Fest</b>"}`, "barcode": "4006381333931", "brand": "Müller", "tags": `{"de-DE":"A, B"}`,
		"lange": `{"amount":40.0,"unit":"mm"}`, "farbe": `{"de-DE":"blau, rot"}`, "teile": `{"de-DE":"13 -tlg."}`, "order_unit": "C62", "price_quantity": "100", "tax_rate": "0.19",
		"images": `["https://img.example/m/a%20b.jpg"]`, "documents": `["https://x.example/a.pdf"]`,
	} {
		if got := textOf(v[code]); got != want {
			t.Errorf("%s is %s, want %s", code, got, want)
		}
	}
	p, err := store.Product(t.Context(), "S-1")
	if got := compact(p.Associations); got != `{"accessories":["S-2"],"consists_of":[{"sku":"S-3","quantity":4}]}` {
		t.Errorf("associations: %s", got)
	}
	if err != nil || p.Family != "bmecat_eclass_5_1_23110101" || strings.Join(p.Categories, " ") != "muller_kg_3" {
		t.Errorf("%+v %v", p, err)
	}
	var prices []string
	for _, x := range p.Prices {
		prices = append(prices, x.PriceList+" "+string(x.Currency)+" "+x.Amount.String()+" from "+textOf(x.MinQuantity)+" "+x.ValidFrom.Format("2006-01-02")+" "+x.ValidTo.Format("2006-01-02"))
	}
	want := "default EUR 0.125 from 1 2030-01-01 2031-01-01|default EUR 0.09 from 1000 2030-01-01 2031-01-01|net_customer_ch CHF 0.07 from 1 2030-01-01 2031-01-01"
	if got := strings.Join(prices, "|"); got != want {
		t.Errorf("prices\n%s\nwant\n%s", got, want)
	}
	tree := store.Schema().Tree
	if c := tree.Children("muller_kg_1"); tree.Len() != 3 || len(c) != 2 || c[0].Code != "muller_kg_2" || c[1].Labels["de-DE"] != "Schrauben" {
		t.Errorf("the tree: %+v", c)
	}
	for _, f := range [][3]string{
		{"price.amount", "/BMECAT/T_NEW_CATALOG/ARTICLE[2]/ARTICLE_PRICE_DETAILS/ARTICLE_PRICE/PRICE_AMOUNT", "line 31"},
		{"sku.missing", "/BMECAT/T_NEW_CATALOG/ARTICLE[3]", "line 32"},
		{"reference.sku", "/BMECAT/T_NEW_CATALOG/ARTICLE", "accessories"},
		{"category.unknown", "", "S-1"},
		{"bmecat.udx", "", "UDX.A"},
		{"text.entity", "DESCRIPTION_SHORT", ""},
		{"price.list", "", "net_customer_ch"},
	} {
		if !has(found, f[0], f[1], f[2]) {
			t.Errorf("%v is not told: %+v", f, found)
		}
	}
}

// Names and numbers of which no code can be made are told apart nonetheless.
func TestBMEcatOtherLetters(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	feature := func(name, value string) string {
		return "<FEATURE><FNAME>" + name + "</FNAME><FVALUE>" + value + "</FVALUE></FEATURE>"
	}
	group := func(id string) string {
		return "<CATALOG_STRUCTURE><GROUP_ID>" + id + "</GROUP_ID><GROUP_NAME>" + id + "</GROUP_NAME><PARENT_ID>0</PARENT_ID></CATALOG_STRUCTURE>"
	}
	run, found := twice(t, store, "x.xml", Options{}, `<BMECAT version="2005"><HEADER><CATALOG><LANGUAGE>rus</LANGUAGE></CATALOG></HEADER><T_NEW_CATALOG><CATALOG_GROUP_SYSTEM>`+group("А/1")+group("Б/1")+`</CATALOG_GROUP_SYSTEM>`+
		`<PRODUCT><SUPPLIER_PID>1</SUPPLIER_PID><PRODUCT_FEATURES>`+feature("Цвет", "синий")+feature("Ширина", "7")+`</PRODUCT_FEATURES></PRODUCT>`+
		`<PRODUCT_TO_CATALOGGROUP_MAP><PROD_ID>1</PROD_ID><CATALOG_GROUP_ID>Б/1</CATALOG_GROUP_ID></PRODUCT_TO_CATALOGGROUP_MAP></T_NEW_CATALOG></BMECAT>`)
	p, err := store.Product(t.Context(), "1")
	if err != nil || run.Created != 1 || len(p.Categories) != 1 || store.Schema().Tree.Len() != 2 || store.Schema().Tree.Category(p.Categories[0]).Labels["ru"] != "Б/1" {
		t.Fatalf("%+v %v %+v %+v", p, err, run, found)
	}
	var got []string
	for code, v := range stored(t, store, "1") {
		got = append(got, store.Schema().Attributes[code].Labels["ru"]+"="+textOf(v))
	}
	slices.Sort(got)
	if want := `Цвет={"ru":"синий"} Ширина=7`; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What updates say they do, and nothing else.
func TestBMEcatUpdates(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	im := importer(store)
	file := func(kind, articles string) string {
		return `<BMECAT version="2005"><HEADER><CATALOG><LANGUAGE>deu</LANGUAGE><CURRENCY>EUR</CURRENCY></CATALOG></HEADER><` + kind + `>` + articles + `</` + kind + `></BMECAT>`
	}
	product := func(mode, sku, more string) string {
		return `<PRODUCT mode="` + mode + `"><SUPPLIER_PID>` + sku + `</SUPPLIER_PID>` + more + `</PRODUCT>`
	}
	price := func(amount string) string {
		return `<PRODUCT_PRICE_DETAILS><PRODUCT_PRICE price_type="net_list"><PRICE_AMOUNT>` + amount + `</PRICE_AMOUNT></PRODUCT_PRICE></PRODUCT_PRICE_DETAILS>`
	}
	name := func(s string) string {
		return `<PRODUCT_DETAILS><DESCRIPTION_SHORT lang="deu">` + s + `</DESCRIPTION_SHORT><DESCRIPTION_SHORT lang="eng">` + s + ` en</DESCRIPTION_SHORT></PRODUCT_DETAILS>`
	}
	if run, found := runImport(t, im, "all.xml", Options{}, file(newCatalogue2005, product("new", "A", name("Eins")+price("1"))+product("new", "B", name("Zwei")+price("2")))); run.Created != 2 {
		t.Fatalf("%+v %+v", run, found)
	}
	run, found := twice(t, store, "prices.xml", Options{}, file("T_UPDATE_PRICES", product("update", "A", name("Anders")+price("1.5"))+product("update", "C", price("3"))))
	if run.Changed != 1 || run.Rejected != 1 || !has(found, "product.unknown", "", "") {
		t.Errorf("prices: %+v %+v", run, found)
	}
	if v := stored(t, store, "A"); textOf(v["name"]) != `{"de-DE":"Eins","en-GB":"Eins en"}` {
		t.Errorf("a change of prices has changed %v", v)
	}
	if n := count(t, store, `select count(*) from product where sku = 'C'`); n != 0 {
		t.Error("a change of prices has made a product")
	}
	run, found = twice(t, store, "products.xml", Options{}, file("T_UPDATE_PRODUCTS", product("update", "A", name("Eins b"))+product("delete", "B", "")+product("delete", "D", "")+product("new", "E", name("Neu"))))
	if run.Changed != 2 || run.Created != 1 || run.Rejected != 1 {
		t.Errorf("products: %+v %+v", run, found)
	}
	for sku, want := range map[string]bool{"A": true, "B": false, "E": true} {
		if p, err := store.Product(t.Context(), pim.SKU(sku)); err != nil || p.Enabled != want || sku == "A" && p.Prices[0].Amount.String() != "1.5" {
			t.Errorf("%s: %+v %v", sku, p, err)
		}
	}
	if run, _ = runImport(t, im, "more.xml", Options{}, file("T_UPDATE_PRODUCTS", product("new", "B", ""))); run.Changed != 1 {
		t.Errorf("sold again: %+v", run)
	}
}

const newCatalogue2005 = "T_NEW_CATALOG"

// A dry run tells the same and writes nothing.
func TestBMEcatDry(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	version := store.Schema().Version
	run, found := runImport(t, importer(store), "screws.xml", Options{DryRun: true}, catalogue12)
	if run.State != "finished" || run.Created != 1 || run.Rejected != 2 || !has(found, "price.amount", "ARTICLE[2]", "") {
		t.Errorf("%+v %+v", run, found)
	}
	if n := count(t, store, `select count(*) from product`) + count(t, store, `select count(*) from family where code like 'bmecat%'`) + store.Schema().Version - version + int64(store.Schema().Tree.Len()); n != 0 {
		t.Errorf("it has written %d things", n)
	}
}

// A file that cannot be read on fails, with what is before the place stored.
func TestBrokenCatalogue(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	whole := strings.ReplaceAll(catalogue12, "1,50", "1.50")
	cut := whole[:strings.Index(whole, "<ARTICLE><SUPPLIER_AID></SUPPLIER_AID>")] + "<ARTICLE>&bomb;</ARTICLE>"
	run, _ := runImport(t, importer(store), "cut.xml", Options{}, cut)
	if run.State != "failed" || run.Created != 2 || !strings.Contains(run.Error, "line 32, /BMECAT/T_NEW_CATALOG/ARTICLE[3]") || !strings.Contains(run.Error, "entity") {
		t.Errorf("%+v", run)
	}
	for name, file := range map[string]string{
		"no transaction": `<BMECAT version="1.2"><HEADER/></BMECAT>`,
		"entities":       `<!DOCTYPE BMECAT [<!ENTITY a "b">]><BMECAT version="1.2"><T_NEW_CATALOG/></BMECAT>`,
	} {
		if run, _ := runImport(t, importer(store), "x.xml", Options{}, file); run.State != "failed" {
			t.Errorf("%s: %+v", name, run)
		}
	}
	if run, _ := runImport(t, importer(store), "x.xml", Options{Layout: "icecat"}, catalogue12); run.State != "failed" || !strings.Contains(run.Error, "BMECAT") {
		t.Errorf("another format than was said: %+v", run)
	}
}
