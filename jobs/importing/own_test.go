package importing

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Whatever a cell holds, it comes back, and no spreadsheet runs it.
func TestHarmlessCellComesBack(t *testing.T) {
	t.Parallel()
	number := regexp.MustCompile(`^-[0-9.eE+-]+$`)
	rapid.Check(t, func(t *rapid.T) {
		cell := rapid.OneOf(rapid.String(), rapid.StringMatching(`'{0,3}[=+\-@\t\r\n＝＠'a1]{0,3}[0-9.e]{0,4}`)).Draw(t, "cell")
		safe := HarmlessCell(cell)
		if got := bareCell(safe); got != cell {
			t.Fatalf("%q became %q, and %q", cell, safe, got)
		}
		if safe != "" && strings.IndexAny(safe, "=+-@\t\r\n＝＋－＠") == 0 && !number.MatchString(safe) {
			t.Fatalf("%q would be run", safe)
		}
	})
}

// The header is what an own file is known by, and JSON Lines by how they begin.
func TestOwnLayoutIsKnown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sku,parent,family,family_variant,enabled,categories\nA,,,,,\n":                                          OwnName,
		"sku,parent,family,enabled,categories\nA,,,,\n":                                                          plainName,
		`{"sku":"A","parent":null,"family":"f","family_variant":null,"enabled":true,"categories":[],"x":1}`:      OwnName,
		`{"sku":"A","parent":null,"family":"f","family_variant":null,"enabled":true,"tags":[],"categories":[]}`:  plainName,
		`{"sku":"A","family":"f","parent":null,"family_variant":null,"enabled":true,"categories":[],"sku":"B"}`:  plainName,
		`{"sku":"A","parent":null,"family":"f","family_variant":{"sku":1},"enabled":true,"categories":["a","b"]`: OwnName,
	} {
		in, err := open(strings.NewReader(text), form{})
		if err != nil {
			t.Fatal(text, err)
		}
		l, _ := chooseLayout("", in.columns())
		if in.close(); l.name != want {
			t.Errorf("%s: taken for %s, not %s", text, l.name, want)
		}
	}
}

// What our own layout cannot take is told with its place, and the rest is taken.
func TestOwnLayoutProblems(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	im := importer(store)
	runImport(t, im, "things.csv", Options{}, "sku,name,weight\nA,Apple,1\n")
	head := "sku,parent,family,family_variant,enabled,categories,name,weight,ghost,price:default:EUR,price:none:EUR,stock:default,reserved:default,prices\n"
	run, found := runImport(t, im, "own.csv", Options{}, head+
		"A,,,,,,Pear,,,1.50,,5,,\n"+ // no family said: it keeps its own
		"B,,things,,true,\"a,b\",Bee,2,,,,,,\"[{\"\"currency\"\":\"\"EUR\"\",\"\"min_quantity\"\":10,\"\"amount\"\":\"\"2.50\"\"}]\"\n"+
		"C,,things,,,,,heavy,,,,,,\n"+
		"D,,things,,,,,,,abc,,,,\n"+
		"E,,things,,,,,,,,,1.5,,\n"+
		"F,,things,,,,,,,,,,-1,\n"+
		"G,,things,,,,,,,,,,,[{]\n"+
		"H,,nowhere,,,,,,,,,,,\n"+
		"A,,,,,,,,,,,,,\n")
	if run.Created != 1 || run.Changed != 1 || run.Rejected != 7 {
		t.Errorf("%+v", run)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.SKU+" "+f.Column+" "+f.Code)
	}
	want := []string{
		" ghost column.unknown", " price:none:EUR column.unknown", "C weight value.type", "D price:default:EUR price.amount", "E stock:default stock.number",
		"F stock:default stock.range", "G prices json", "H  family.unknown", "A sku sku.duplicate",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	p, err := store.Product(t.Context(), "B")
	if err != nil || len(p.Categories) != 2 || len(p.Prices) != 1 || p.Prices[0].MinQuantity != 10 {
		t.Errorf("%+v %v", p, err)
	}
	if p, err = store.Product(t.Context(), "A"); err != nil || p.Family != "things" || p.Prices[0].Amount.String() != "1.50" || p.Stock[0].OnHand != 5 {
		t.Errorf("%+v %v", p, err)
	}
	run, _ = runImport(t, im, "own.csv", Options{Map: map[string]string{"name": "row.name"}}, head)
	if run.State != "failed" || !strings.Contains(run.Error, "own layout") {
		t.Errorf("with a map: %+v", run)
	}
}

// Of what a cell of a list holds, everything comes back by the attribute's type.
func TestOwnValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a         pim.Attribute
		cell, out string
	}{
		{pim.Attribute{Type: pim.TypeNumber, Unit: "kg"}, "1e-7 g", `{"amount":1e-7,"unit":"g"}`},
		{pim.Attribute{Type: pim.TypeNumber, Unit: "kg"}, "2,5kg", `{"amount":"2.5","unit":"kg"}`},
		{pim.Attribute{Type: pim.TypeNumber, Unit: "kg"}, "3", `{"amount":"3","unit":"kg"}`},
		{pim.Attribute{Type: pim.TypeBoolean}, "TRUE", `true`},
		{pim.Attribute{Type: pim.TypeOptions}, "a,b", `["a","b"]`},
		{pim.Attribute{Type: pim.TypeOptions}, "a", `["a"]`},
		{pim.Attribute{Type: pim.TypeMedia}, "https://x.example/a|b", `"https://x.example/a|b"`},
		{pim.Attribute{Type: pim.TypeMedia}, "a\nb", `["a","b"]`},
		{pim.Attribute{Type: pim.TypeReference}, `"[x]"`, `"[x]"`},
		{pim.Attribute{Type: pim.TypeTable}, `[{"a":1.50},{"b":"x"}]`, `[{"a":1.50},{"b":"x"}]`},
		{pim.Attribute{Type: pim.TypeTable}, `[{"a":`, `"[{\"a\":"`},
		{pim.Attribute{Type: pim.TypeReference}, `["x"]`, `["x"]`},
	} {
		raw, err := json.Marshal(ownValue(&c.a, c.cell))
		if err != nil || string(raw) != c.out {
			t.Errorf("%s %q: %s %v, want %s", c.a.Type, c.cell, raw, err, c.out)
		}
	}
}

// Windows of publication have columns, and a list in JSON Lines.
func TestOwnPublication(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	if _, err := store.CreateChannel(t.Context(), postgres.Channel{Code: "shop", Connector: "webhook", Locale: "en-GB", Currency: "EUR", PriceList: "default", Config: []byte(`{}`), Mapping: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	im := importer(store)
	runImport(t, im, "things.csv", Options{}, "sku,name\nZ,Zebra\n")
	head := "sku,parent,family,family_variant,enabled,categories,publish_from:shop,publish_to:shop,publish_to:none\n"
	run, found := runImport(t, im, "own.csv", Options{}, head+
		"A,,things,,,,2090-01-01,2090-02-01T00:00:00+01:00,\n"+
		"B,,things,,,,,2090-02-01,\n"+
		"C,,things,,,,soon,,\n"+
		"D,,things,,,,2090-02-01,2090-01-01,\n"+
		"E,,things,,,,,,\n")
	var got []string
	for _, f := range found {
		got = append(got, f.SKU+" "+f.Column+" "+f.Code)
	}
	want := []string{" publish_to:none column.unknown", "C publish_from:shop value.date", "D publish_from:shop publication.window"}
	if run.Created != 3 || run.Rejected != 2 || strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("%+v\n%s", run, strings.Join(got, "\n"))
	}
	windows := func(sku pim.SKU, want string) {
		t.Helper()
		list, err := store.Publications(t.Context(), sku)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if string(raw) != want {
			t.Errorf("%s: %s, not %s", sku, raw, want)
		}
	}
	closed, err := store.ClosedOn(t.Context(), "A")
	if err != nil || len(closed) != 1 || closed["shop"].To.Format(time.RFC3339) != "2090-01-31T23:00:00Z" {
		t.Errorf("%+v, %v", closed, err)
	}
	windows("E", "[]")
	run, found = runImport(t, im, "own.jsonl", Options{}, `{"sku":"A","parent":null,"family":"things","family_variant":null,"enabled":true,"categories":[],"publication":[{"channel":"shop"}]}`+"\n"+
		`{"sku":"B","parent":null,"family":"things","family_variant":null,"enabled":true,"categories":[]}`+"\n"+
		`{"sku":"E","parent":null,"family":"things","family_variant":null,"enabled":true,"categories":[],"publication":[{"channel":"shop","until":"2090-01-01"}]}`+"\n")
	if run.Changed != 1 || run.Rejected != 1 {
		t.Errorf("%+v %+v", run, found)
	}
	windows("A", "[]")
	if list, err := store.Publications(t.Context(), "B"); err != nil || len(list) != 1 || list[0].From != nil || list[0].To == nil {
		t.Errorf("%+v, %v", list, err)
	}
}
