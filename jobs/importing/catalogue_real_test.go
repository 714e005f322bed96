package importing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// The figures are those that the files were counted to have by other means.

func TestWeidmuellerBMEcat(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	for _, sku := range []string{"1303890000", "1351590000", "1609801044", "7760056069"} {
		run, found := twice(t, store, sku+".xml", Options{}, string(shared(t, "bmecat", "weidmueller", "WEI_BMECat_"+sku+".xml")))
		if run.State != "finished" || run.Created != 1 || run.Rejected != 0 || !has(found, "price.amount", "PRODUCT_PRICE", "") {
			t.Errorf("%s: %+v\n%+v", sku, run, found)
		}
	}
	v := stored(t, store, "1609801044")
	if textOf(v["name"]) != `{"de-DE":"Klemmenmarkierung","en-GB":"Terminal marking"}` || v["barcode"] != "4008190397111" || v["brand"] != "Weidmueller Group" {
		t.Errorf("%v", v)
	}
	// Blocks of features come in both languages, and double escapes do not.
	if d := textOf(stored(t, store, "1303890000")["description"]); strings.Contains(d, "&amp;plusmn;") {
		t.Errorf("%s", d)
	}
	schema := store.Schema()
	features := 0
	for code := range schema.Attributes {
		if strings.HasPrefix(code, "bmecat_0173_1_02_") {
			features++
		}
	}
	if features < 103 {
		t.Errorf("%d features of ECLASS", features)
	}
	// 0173-1#02-AAF040#004, the net weight, whatever its version
	if a := schema.Attributes["bmecat_0173_1_02_aaf040"]; a == nil || a.Labels["de-DE"] != "Nettogewicht" || textOf(v["bmecat_0173_1_02_aaf040"]) != "0.00013" {
		t.Errorf("%+v %v", a, v["bmecat_0173_1_02_aaf040"])
	}
}

func TestOlivereBMEcat(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"bmecat12", "bmecat2005"} {
		for _, name := range []string{"new_catalog", "new_catalog_with_blank_classification_system"} {
			store := openStore(t)
			run, found := twice(t, store, name+".xml", Options{}, string(shared(t, "bmecat", "olivere", version, name+".golden.xml")))
			if run.State != "finished" || run.Created != 1 || run.Rejected != 0 {
				t.Errorf("%s %s: %+v\n%+v", version, name, run, found)
			}
		}
	}
	store := openStore(t)
	im := importer(store)
	// Prices alone make no product.
	prices := string(shared(t, "bmecat", "olivere", "bmecat12", "update_prices.golden.xml"))
	if run, _ := runImport(t, im, "prices.xml", Options{}, prices); run.Rejected != 1 || count(t, store, `select count(*) from product`) != 0 {
		t.Errorf("%+v", run)
	}
	// 1000 is changed or made, 2000 is to be taken out and is not there.
	run, found := twice(t, store, "products.xml", Options{}, string(shared(t, "bmecat", "olivere", "bmecat12", "update_products.golden.xml")))
	if run.Created != 1 || run.Rejected != 1 || !has(found, "product.unknown", "", "") {
		t.Errorf("%+v %+v", run, found)
	}
	if run, _ := runImport(t, im, "prices.xml", Options{}, prices); run.Unchanged != 1 {
		t.Errorf("%+v", run)
	}
	p, err := store.Product(t.Context(), "1000")
	if err != nil || len(p.Prices) != 2 || p.Prices[1].MinQuantity != 100 || p.Prices[0].PriceList != "net_customer" || p.Prices[0].ValidTo.Format("2006-01-02") != "2001-07-31" {
		t.Errorf("%+v %v", p.Prices, err)
	}
	v := stored(t, store, "1000")
	if textOf(v["netzspannung"]) != `{"de-DE":"110 VLT, 220 VLT"}` && textOf(v["netzspannung"]) != `{"de-DE":"110, 220 VLT"}` || textOf(v["images"]) != `["https://example.com/images/55-K-31.jpg"]` {
		t.Errorf("%v", v)
	}
	if got := compact(p.Associations); got != `{"similar":["2000"]}` {
		t.Errorf("associations: %s", got)
	}
}

func TestKSToolsBMEcat(t *testing.T) {
	t.Parallel()
	file := func(name string) string { return string(shared(t, "bmecat", "kstools-and-edge", name)) }
	store := openStore(t)
	run, found := twice(t, store, "tools.xml", Options{AssetBase: "https://img.example/"}, file("testCreateExcelFullDataWithCategoryTreeAndDTD.xml"))
	if tree := store.Schema().Tree; run.Created != 1 || run.Rejected != 0 || tree.Len() != 1660 {
		t.Errorf("%+v, %d categories\n%+v", run, tree.Len(), found)
	}
	p, err := store.Product(t.Context(), "100.1180")
	if err != nil || len(p.Categories) != 2 || len(p.Prices) != 1 || p.Prices[0].PriceList != "udp_dummy" {
		t.Errorf("%+v %v", p, err)
	}
	if len(store.Schema().Tree.Children("")) != 1 {
		t.Errorf("%d roots", len(store.Schema().Tree.Children("")))
	}
	for name, want := range map[string]struct {
		created, rejected    int64
		code, column, within string
	}{
		"testCreateBMEcatFullDataSeparatorsWrong.xml":        {0, 1, "price.amount", "/BMECAT/T_NEW_CATALOG/ARTICLE/ARTICLE_PRICE_DETAILS/ARTICLE_PRICE[2]/PRICE_AMOUNT", "line 72"},
		"testCreateExcelFromBMEcatFullDataDoubleEntries.xml": {created: 1},
		"testCreateExcelNestedArticleDetailsException.xml":   {1, 0, "bmecat.element", "ARTICLE_DETAILS/ARTICLE_DETAILS", "ARTICLE_DETAILS"},
		"testCreateExcelWithPriceValidity.xml":               {created: 1},
		"testCreateExcelWithoutProductId.xml":                {0, 1, "sku.missing", "/BMECAT/T_NEW_CATALOG/ARTICLE", "line 169"},
		"testDateWithoutType.xml":                            {0, 1, "price.date", "DATETIME", "line 296"},
	} {
		store := openStore(t)
		run, found := twice(t, store, name, Options{AssetBase: "https://img.example/"}, file(name))
		if run.State != "finished" || run.Created != want.created || run.Rejected != want.rejected || want.code != "" && !has(found, want.code, want.column, want.within) {
			t.Errorf("%s: %+v\n%+v", name, run, found)
		}
		if strings.Contains(name, "DoubleEntries") {
			v := stored(t, store, "12345")
			p, _ := store.Product(t.Context(), "12345")
			if textOf(v["images"]) != `["https://img.example/manufacturer/Test.jpg","https://img.example/manufacturer/Test2.jpg"]` || textOf(v["tags"]) != `{"de-DE":"Keyword 1, Keyword 2"}` ||
				len(p.Prices) != 2 || p.Prices[0].Amount.String() != "0.175" {
				t.Errorf("%v %+v", v, p.Prices)
			}
		}
	}
}

// One phone in three languages is one product, its features joined by their IDs.
func TestIcecat(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	for i, lang := range []string{"en", "de", "fr"} {
		run, found := twice(t, store, lang+".xml", Options{}, string(shared(t, "icecat-xml", "8806088281285-"+lang+".xml")))
		if run.State != "finished" || run.Rejected != 0 || run.Created != int64([]int{1, 0, 0}[i]) || run.Changed != int64([]int{0, 1, 1}[i]) {
			t.Errorf("%s: %+v\n%+v", lang, run, found)
		}
	}
	v := stored(t, store, "SM-G930FZKAPHN")
	features := 0
	for code := range v {
		if strings.HasPrefix(code, "icecat_") && code != "icecat_id" {
			features++
		}
	}
	if features != 139 || v["barcode"] != "8806088281285" || v["brand"] != "Samsung" {
		t.Errorf("%d features: %v", features, v)
	}
	schema := store.Schema()
	if a := schema.Attributes["icecat_4963"]; a == nil || a.Type != pim.TypeBoolean || a.Labels["en-GB"] != "Touchscreen" || a.Labels["de-DE"] == "" || a.Labels["fr"] == "" || v["icecat_4963"] != true {
		t.Errorf("%+v", a)
	}
	if a := schema.Attributes["icecat_944"]; a == nil || a.Unit != "in" || textOf(v["icecat_944"]) != `{"amount":5.1,"unit":"in"}` {
		t.Errorf("%+v %v", a, v["icecat_944"])
	}
	for _, l := range []string{"en-GB", "de-DE", "fr"} {
		if m, _ := v["icecat_1585"].(map[string]any); m[l] == nil {
			t.Errorf("the resolution has no text in %s: %v", l, v["icecat_1585"])
		}
	}
	if c := schema.Tree.Category("icecat_1893"); c == nil || c.Labels["en-GB"] != "smartphones" || c.Labels["de-DE"] == "" || c.Labels["fr"] == "" {
		t.Errorf("%+v", c)
	}
	run, found := twice(t, store, "chromebook.xml", Options{}, string(shared(t, "icecat-xml", "haringsrob-product.xml")))
	if list, _ := stored(t, store, "NX.EF2AA.001")["images"].([]any); run.Created != 1 || len(list) < 8 {
		t.Errorf("%+v %v\n%+v", run, list, found)
	}
	run, found = twice(t, store, "none.xml", Options{}, string(shared(t, "icecat-xml", "haringsrob-productNotFound.xml")))
	if run.Rejected != 1 || run.Created != 0 || !has(found, "icecat.code", "/ICECAT-interface/Product", "not present in the Icecat database") {
		t.Errorf("%+v %+v", run, found)
	}
}

// Files that mean harm are refused at once, and nothing is fetched or expanded.
func TestBadXML(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	im := importer(store)
	_ = shared(t, "xml-bad", "simple.xml")
	dir := os.Getenv("SLUICE_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	files, err := filepath.Glob(filepath.Join(dir, "data", "xml-bad", "*.x*"))
	if err != nil || len(files) != 13 {
		t.Fatalf("%v %v", files, err)
	}
	entities := map[string]bool{"cyclic.xml": true, "external.xml": true, "external_file.xml": true, "quadratic.xml": true, "xmlbomb.xml": true, "xmlbomb2.xml": true}
	for _, name := range files {
		base := filepath.Base(name)
		for _, o := range []Options{{}, {Layout: layoutBMEcat}} {
			run, _ := runImport(t, im, base, o, string(shared(t, "xml-bad", base)))
			if run.State != "failed" || run.RowsDone != 0 || o.Layout == "" && entities[base] && !strings.Contains(run.Error, "entities") {
				t.Errorf("%s %s: %+v", base, o.Layout, run)
			}
		}
	}
	if n := count(t, store, `select count(*) from product`); n != 0 {
		t.Errorf("%d products", n)
	}
}

// The same catalogue in every format is the same products.
func TestBagisto(t *testing.T) {
	t.Parallel()
	first := map[string]string{}
	for _, name := range []string{"products.csv", "products.xlsx", "products.xml"} {
		store := openStore(t)
		run, found := twice(t, store, name, Options{Currency: "EUR"}, string(shared(t, "bagisto", name)))
		if run.State != "finished" || run.Created != 26 || run.Rejected != 0 {
			t.Errorf("%s: %+v\n%+v", name, run, found)
		}
		rows, err := store.Pool().Query(t.Context(), `select sku, values::text || coalesce(categories::text, '') from product order by sku`)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var sku, values string
			if err := rows.Scan(&sku, &values); err != nil {
				t.Fatal(err)
			}
			if first[sku] == "" {
				first[sku] = values
			} else if first[sku] != values {
				t.Errorf("%s: %s is\n%s\nin the first it was\n%s", name, sku, values, first[sku])
			}
		}
		// What its four variants differ in stands in their product's row.
		p, err := store.Product(t.Context(), "SP-006")
		if v := stored(t, store, "SP-006"); err != nil || p.Parent != "CP-001" || v["color"] != "Yellow" || v["size"] != "L" {
			t.Errorf("%s: %+v %v", name, p, err)
		}
		if err := rows.Err(); err != nil || len(first) != 26 {
			t.Errorf("%d products, %v", len(first), err)
		}
	}
}
