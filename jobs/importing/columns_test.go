package importing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// furnish gives the store a family as people make them.
func furnish(t testing.TB, store *postgres.Store) {
	t.Helper()
	_, err := store.ChangeSchema(t.Context(), postgres.SchemaChange{
		Locales: []pim.Locale{"en-GB", "de-DE"},
		Attributes: []pim.Attribute{
			{Code: "name", Type: pim.TypeText, Localizable: true},
			{Code: "weight", Type: pim.TypeNumber, Unit: "kg"},
			{Code: "stars", Type: pim.TypeNumber},
			{Code: "vegan", Type: pim.TypeBoolean},
			{Code: "colour", Type: pim.TypeOption, Options: []pim.Option{{Code: "red"}, {Code: "blue"}}},
			{Code: "tags", Type: pim.TypeOptions, Options: []pim.Option{{Code: "new"}, {Code: "sale"}}},
			{Code: "since", Type: pim.TypeDate},
			{Code: "pictures", Type: pim.TypeMedia},
			{Code: "ean", Type: pim.TypeText, Check: pim.CheckGTIN, Strict: true},
			{Code: "product_note", Type: pim.TypeText, MaxLength: 10},
		},
		Families: []pim.Family{{Code: "toys", Attributes: []pim.FamilyAttribute{
			{Code: "name"},
			{Code: "weight"},
			{Code: "stars"},
			{Code: "vegan"},
			{Code: "colour"},
			{Code: "tags"},
			{Code: "since"},
			{Code: "pictures"},
			{Code: "ean"},
			{Code: "product_note"},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFamily(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	furnish(t, store)
	im := importer(store)
	run, report := runImport(t, im, "x.csv", Options{Family: "toys", Locale: "en-GB"}, strings.Join([]string{
		`SKU,name,name:de-DE,weight,stars,vegan,colour,tags,since,pictures,ean,Product Note,nonsense`,
		`001,Bear,Bär,1.5,4.50,TRUE,red,"new, sale",2026-01-31,https://x.example/a.jpg|https://x.example/b.jpg,4006381333931,short,1`,
		`002,Cat,,250 g,,0,,,,,,,`,
		`003,Dog,,heavy,,0,,,,,,,`,
		`004,Eel,,1,many,maybe,green,,tomorrow,,4006381333932,much too long,`,
	}, "\n"))
	if run.State != "finished" || run.Created != 2 || run.Rejected != 2 || run.Warnings != 1 {
		t.Errorf("%+v\n%+v", run, report)
	}
	if got, want := compact(map[string]any(stored(t, store, "001"))), `{"colour":"red","ean":"4006381333931","name":{"de-DE":"Bär","en-GB":"Bear"},`+
		`"pictures":["https://x.example/a.jpg","https://x.example/b.jpg"],"product_note":"short","since":"2026-01-31","stars":4.50,`+
		`"tags":["new","sale"],"vegan":true,"weight":{"amount":1.5,"unit":"kg"}}`; got != want {
		t.Errorf("stored\n%s, not\n%s", got, want)
	}
	if got, want := compact(map[string]any(stored(t, store, "002"))), `{"name":{"en-GB":"Cat"},"vegan":false,"weight":{"amount":250,"unit":"g"}}`; got != want {
		t.Errorf("stored\n%s, not\n%s", got, want)
	}
	// Every fault has its row, column and value.
	found := map[string]string{}
	for _, f := range report {
		found[fmt.Sprintf("%d %s", f.Row, f.Column)] = f.Code + " " + f.Value
	}
	for place, want := range map[string]string{
		"0 nonsense": "column.unknown ", "3 weight": "value.number heavy", "4 stars": "value.type many",
		"4 vegan": "value.type maybe", "4 colour": "option.unknown green", "4 since": "date.format tomorrow",
		"4 ean": "gtin.check_digit 4006381333932", "4 Product Note": "text.too_long much too long",
	} {
		if got := found[place]; got != want && (place != "4 since" || !strings.HasSuffix(got, " tomorrow")) {
			t.Errorf("%s: %q, not %q", place, got, want)
		}
	}
	// An empty cell deletes nothing; the other locale stays.
	run, _ = runImport(t, im, "x.csv", Options{Family: "toys", Locale: "de-DE"}, "SKU,name,colour\n001,Teddy,\n")
	if v := stored(t, store, "001"); run.Changed != 1 || v["colour"] != "red" || compact(v["name"]) != `{"de-DE":"Teddy","en-GB":"Bear"}` {
		t.Errorf("%+v: %v", run, v)
	}
}

// A family that is made from the file has the store's HTML attributes for its
// texts, and no attributes of its own beside them; what must stay as it was
// written is no HTML.
func TestMadeFamilyTakesHTML(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	html := func(code string, localizable bool) pim.Attribute {
		return pim.Attribute{Code: code, Type: pim.TypeRichText, Localizable: localizable}
	}
	_, err := store.ChangeSchema(t.Context(), postgres.SchemaChange{
		Locales: []pim.Locale{"en-GB", "de-DE"},
		Attributes: []pim.Attribute{
			html("description", true), html("care", false), html("sku", false), html("data", false),
			{Code: "short", Type: pim.TypeRichText, MaxLength: 3},
			{Code: "hats_care", Type: pim.TypeText},
		},
		Families: []pim.Family{{Code: "hats", Attributes: []pim.FamilyAttribute{{Code: "hats_care"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	im := importer(store)
	file := `{"sku":"A","description":"<p>Warm &amp; soft</p>","description:de-DE":"Warm","care":"Wash at 30 °C","data":{"a":"<b>"},"short":"much too long"}`
	run, report := runImport(t, im, "socks.json", Options{Locale: "en-GB"}, file)
	if run.Created != 1 || run.Rejected != 0 || codes(report)["warning attribute.taken"] != 3 {
		t.Fatalf("%+v %v", run, report)
	}
	var got []string
	for _, m := range store.Schema().Families["socks"].Attributes {
		got = append(got, m.Code)
	}
	slices.Sort(got)
	if want := []string{"care", "description", "socks_data", "socks_short", "socks_sku"}; !slices.Equal(got, want) {
		t.Errorf("the family has %q, not %q", got, want)
	}
	if v := stored(t, store, "A"); compact(v["description"]) != `{"de-DE":"Warm","en-GB":"<p>Warm &amp; soft</p>"}` || v["care"] != "Wash at 30 °C" || v["socks_data"] != `{"a":"<b>"}` {
		t.Errorf("stored %v", v)
	}
	version := store.Schema().Version
	if run, _ = runImport(t, im, "socks.json", Options{Locale: "en-GB"}, file); run.Unchanged != 1 || store.Schema().Version != version {
		t.Errorf("a second import: %+v", run)
	}
	runImport(t, im, "hats.json", Options{Locale: "en-GB"}, `{"sku":"H","care":"Do not wash"}`) // has had an attribute for it
	if v := stored(t, store, "H"); v["hats_care"] != "Do not wash" || v["care"] != nil {
		t.Errorf("stored %v", v)
	}
}

func TestMadeFamily(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	furnish(t, store)
	im := importer(store)
	var rows []string
	for i := range 12 {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"name":"N%d","price":%d.10,"count":"%d","ok":true,"Größe (cm)":{"b":1,"a":[1.50]},"trade no":"4006381333931","photo":"https://x.example/%d.jpg"}`, 100+i, i, i, i, i))
	}
	file := strings.Join(rows, "\n")
	run, report := runImport(t, im, "/tmp/Neue Ware.JSONL.gz", Options{SKUColumn: "id"}, file)
	if run.State != "finished" || run.Created != 12 || run.Rejected != 0 {
		t.Fatalf("%+v %v", run, report)
	}
	f := store.Schema().Families["neue_ware"]
	if f == nil {
		t.Fatal("the family is not called after the file")
	}
	types := map[string]string{}
	for _, m := range f.Attributes {
		a := store.Schema().Attributes[m.Code]
		types[a.Code] = string(a.Type) + a.Check + fmt.Sprint(a.Labels)
	}
	for code, want := range map[string]string{
		"id": "textmap[]", "price": "numbermap[]", "count": "textmap[]", "ok": "booleanmap[]", "grosse_cm": "textmap[de-DE:Größe (cm)]",
		"trade_no": "textgtinmap[de-DE:trade no]", "photo": "mediamap[]",
		"neue_ware_name": "textmap[de-DE:name]", // name is another thing in this store: it has locales
	} {
		if got := types[code]; got != want {
			t.Errorf("%s is %q, not %q: %v", code, got, want, types)
		}
	}
	if c := codes(report); c["warning attribute.taken"] != 1 || c["warning column.nested"] != 1 || len(report) != 2 {
		t.Errorf("%v", report)
	}
	v := stored(t, store, "103")
	if textOf(v["price"]) != "3.10" || v["count"] != "3" || v["grosse_cm"] != `{"a":[1.50],"b":1}` {
		t.Errorf("%v", v)
	}
	version := store.Schema().Version
	if run, _ = runImport(t, im, "neue ware.json", Options{SKUColumn: "id"}, file); run.Unchanged != 12 || store.Schema().Version != version {
		t.Errorf("a second import: %+v", run)
	}
	// A new column joins the family; a column that means something else does not.
	run, _ = runImport(t, im, "neue ware.json", Options{SKUColumn: "id"}, `{"id":100,"colour hex":"#fff"}`)
	if run.Changed != 1 || stored(t, store, "100")["colour_hex"] != "#fff" {
		t.Errorf("%+v", run)
	}
	// Under another name it makes another family, and takes no product out of the one it has.
	if run, _ = runImport(t, im, "andere.json", Options{SKUColumn: "id"}, `{"id":100,"colour hex":"#fff"}`); run.Unchanged != 1 {
		t.Errorf("the same product from another file: %+v", run)
	}
	run, _ = runImport(t, im, "neue ware.json", Options{SKUColumn: "id"}, `{"id":100,"price":"on request"}`)
	if run.State != "failed" || !strings.Contains(run.Error, "price") {
		t.Errorf("%+v", run)
	}
	// One value of many that does not fit is its row's problem.
	run, _ = runImport(t, im, "neue ware.json", Options{SKUColumn: "id"}, "{\"id\":100,\"price\":\"on request\"}\n{\"id\":101,\"price\":5}")
	if run.Changed != 1 || run.Rejected != 1 {
		t.Errorf("%+v", run)
	}
}

func TestMap(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	im := importer(store)
	o := Options{Map: map[string]string{
		"sku": `regexFind(row.url, '/p/([A-Z]+[0-9]+)')`, "title": `decodeEntities(row.title).trim()`, "list": `row.tags.join(' > ')`,
		"exact": `row["n"].deep`, "sum": `row.n.deep > 0.0 ? row.n.int * 2 : 0`,
	}}
	run, report := runImport(t, im, "m.json", o, `[
		{"url":"https://x.example/p/AB12?x","title":" Caf&eacute; &amp; Co ","tags":["a","b"],"n":{"deep":7.8740157480315e-05,"int":21}},
		{"url":"https://x.example/q","title":"","tags":[],"n":{}},
		{"url":"https://x.example/p/AB13","title":"x","tags":"none","n":{"deep":1,"int":1}},
		{"url":"https://x.example/p/AB14"}]`)
	if run.State != "finished" || run.Created != 2 || run.Rejected != 2 {
		t.Fatalf("%+v\n%v", run, report)
	}
	c := codes(report)
	if c["error sku.missing"] != 1 || c["error map.failed"] != 1 {
		t.Errorf("%+v", report)
	}
	// A number that is only passed on keeps all its digits, and the object that
	// it stands in is the column's own attribute.
	want := `{"exact":0.000078740157480315,"list":"a > b","n":"{\"deep\":7.8740157480315e-05,\"int\":21}","sum":42,` +
		`"tags":"[\"a\",\"b\"]","title":"Café & Co","url":"https://x.example/p/AB12?x"}`
	if got := compact(map[string]any(stored(t, store, "AB12"))); got != want {
		t.Errorf("stored\n%s, not\n%s", got, want)
	}
}

func TestFailed(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	furnish(t, store)
	im := importer(store)
	for _, tt := range []struct {
		o        Options
		in, want string
	}{
		{Options{}, "a,b\n1,2\n", "no column is called SKU"},
		{Options{SKUColumn: "c"}, "a,b\n1,2\n", `no column "c" for the SKU; there are: a, b`},
		{Options{Family: "tools"}, "sku,b\n1,2\n", `no family "tools"; there are: toys`},
		{Options{Family: "toys"}, "sku,name\n1,2\n", "value per locale"},
		{Options{Family: "toys", Locale: "fr-FR"}, "sku,name\n1,2\n", "locale fr-FR is not one of the store's"},
		{Options{Family: "toys", Map: map[string]string{"size": "row.a"}}, "sku,a\n1,2\n", "map size: family toys has no such attribute"},
		{Options{}, "", "empty"},
		{Options{Map: map[string]string{"sku": "row.a.nope()"}}, "a\n1\n", "/map/sku"},
	} {
		run, report := runImport(t, im, "x.csv", tt.o, tt.in)
		if run.State != "failed" || !strings.Contains(run.Error, tt.want) || run.RowsDone != 0 || len(report) != 0 {
			t.Errorf("%+v of %q: %s %q, not %q", tt.o, tt.in, run.State, run.Error, tt.want)
		}
	}
	// What stands before a fault is kept.
	run, _ := runImport(t, im, "cut.json", Options{}, `[{"sku":"k1","n":1},{"sku":"k2","n":2},{"sku":`)
	if run.State != "failed" || run.Created != 2 || !strings.Contains(run.Error, "within row 3") {
		t.Errorf("%+v", run)
	}
	stored(t, store, "k2")
}

func TestSKU(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"ean,sku,b": "sku", "name,Product SKU": "Product SKU", "a,barcode_id,ean": "barcode_id", "mean,EAN13": "EAN13", "sku_id,GTIN": "GTIN",
	} {
		s, err := look(t.Context(), strings.NewReader(header+"\n"+strings.Repeat(",", strings.Count(header, ","))+"\n"), &Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := makePlan(&pim.Schema{Attributes: map[string]*pim.Attribute{}, Families: map[string]*pim.Family{}}, s, Options{}, nil, "x.csv")
		if err != nil || p.skuName != want {
			t.Errorf("%s: %v %v", header, p, err)
		}
	}
	store := openStore(t)
	run, report := runImport(t, importer(store), "x.csv", Options{}, "sku,n\n 007 ,1\n,2\n007,3\n"+strings.Repeat("x", 129)+",4\n..,5\n")
	c := codes(report)
	if run.Created != 1 || run.Rejected != 4 || c["warning sku.space"] != 1 || c["error sku.missing"] != 1 || c["error sku.duplicate"] != 1 || c["error sku"] != 2 {
		t.Errorf("%+v %v", run, report)
	}
	stored(t, store, "007")
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"map":{"sku":"row.image.split("}}`:                     "/map/sku map.syntax",
		`{"map":{"sku":"rwo.image"}}`:                            "/map/sku map.unknown",
		`{"map":{"sku":"row.a == 'b' ? 1"}}`:                     "/map/sku map.syntax",
		`{"map":{"sku":"regexFind(row.image)"}}`:                 "/map/sku map.type",
		`{"map":{"a/b":"row.x"}}`:                                "/map/a~1b attribute.code",
		`{"map":{"x":"` + strings.Repeat("a", 5000) + `"}}`:      "/map/x map.size",
		`{"map":{"x":"` + strings.Repeat("(", 500) + `"}}`:       "/map/x map.syntax",
		`{"family":"a b"}`:                                       "/family family.code",
		`{"locale":"en_gb"}`:                                     "/locale locale.tag",
		`{"sku_column":"a","map":{"sku":"row.b"}}`:               "/sku_column options",
		`{"skucolumn":"a"}`:                                      " options",
		`{"sku_column":"a"} x`:                                   " options",
		`{"map":{"sku":"row.a","b":"row.b + 1"},"dry_run":true}`: "",
		``: "",
	} {
		_, err := ParseOptions([]byte(in))
		got := ""
		if inv, ok := errors.AsType[*pim.Invalid](err); ok {
			got = inv.Problems[0].Pointer + " " + inv.Problems[0].Code
		} else if err != nil {
			t.Errorf("%s: %v is no Invalid", in, err)
		}
		if got != want {
			t.Errorf("%.80s: %q, not %q", in, got, want)
		}
	}
}

// No row can hold the import up, whatever the map does with it.
func TestExpressionBounds(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("ab", 300_000)
	list := make([]any, 5000)
	for i := range list {
		list[i] = "x"
	}
	for _, text := range []string{
		`row.big.replace('', row.big)`, `row.list.map(a, row.list.map(b, row.list.map(c, a + b + c)))`, `row.list.map(x, row.big).join('')`,
		`regexFind(row.big, '(a{1,500}){1,500}')`, `row.big.indexOf(row.big.substring(1))`, `row.list.all(a, row.list.all(b, row.list.all(c, !row.big.contains('zz'))))`,
	} {
		e, ps := compileExpression("", text)
		if len(ps) > 0 {
			t.Errorf("%s: %v", text, ps)
			continue
		}
		if v, err := e.value(map[string]any{"big": big, "list": list}); err == nil {
			t.Errorf("%s gave %.40s", text, textOf(v))
		}
	}
}
