package exporting_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/jobs/exporting"
	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// open makes a house with every shape of attribute that there is.
func open(t *testing.T) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), dbtest.New(t), postgres.Options{EditConns: 4, WorkConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if _, err := store.CreateChannel(t.Context(), postgres.Channel{Code: "shop", Connector: "webhook", Locale: "en-GB", Currency: "EUR", PriceList: "default", Config: []byte(`{}`), Mapping: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	attributes := []pim.Attribute{
		{Code: "title", Type: pim.TypeText},
		{Code: "text", Type: pim.TypeRichText, Localizable: true},
		{Code: "tag", Type: pim.TypeText, Scopable: true},
		{Code: "slogan", Type: pim.TypeText, Scopable: true, Localizable: true},
		{Code: "count", Type: pim.TypeNumber},
		{Code: "weight", Type: pim.TypeNumber, Unit: "kg"},
		{Code: "fragile", Type: pim.TypeBoolean},
		{Code: "since", Type: pim.TypeDate},
		{Code: "colour", Type: pim.TypeOption, Options: options("red", "blue")},
		{Code: "sizes", Type: pim.TypeOptions, Options: options("s", "m", "l"), Scopable: true},
		{Code: "images", Type: pim.TypeMedia},
		{Code: "similar", Type: pim.TypeReference},
		{Code: "spec", Type: pim.TypeTable, Columns: []pim.Column{{Code: "name", Type: pim.TypeText, Required: true}, {Code: "size", Type: pim.TypeNumber, Unit: "cm"}, {Code: "ok", Type: pim.TypeBoolean}}},
		{Code: "family", Type: pim.TypeText},
		{Code: "prices", Type: pim.TypeNumber}, // called as columns of ours
	}
	fam := pim.Family{Code: "all", Variants: []pim.FamilyVariant{{Code: "by_colour", Axes: []string{"colour"}}}}
	for _, a := range attributes {
		fam.Attributes = append(fam.Attributes, pim.FamilyAttribute{Code: a.Code})
	}
	other := pim.Family{Code: "other", Attributes: []pim.FamilyAttribute{{Code: "title"}}}
	_, err = store.ChangeSchema(t.Context(), postgres.SchemaChange{
		Attributes: attributes, Families: []pim.Family{fam, other}, PriceLists: []string{"trade"}, Locations: []string{"berlin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func options(codes ...string) (list []pim.Option) {
	for _, c := range codes {
		list = append(list, pim.Option{Code: c})
	}
	return list
}

// hard are texts that programs between like to change.
var hard = []string{
	"plain", " spaces at both ends ", "=1+1", "'=1+1", "''-x", "'quoted'", "-5", "-5 kg", "+49 30 1234", "@home", "\tindented", "\"quotes\" \"\"", "a,b;c|d",
	"two\nlines", "dos\r\nlines", "old\rlines", "\nbegins", "ends\n", "0012", "1e5", "TRUE", "2026-11-27", "null", "[1]", `["x"]`, `"x"`, "{}", "_x000D_", "_x0041_b",
	"Größe", "日本語", "🙂", "<b>&amp;</b>", "#N/A", "'", "''", "-", "=", "\u00a0nbsp\u00a0",
}

func fill(t *testing.T, store *postgres.Store) {
	t.Helper()
	var edits []postgres.Edit
	add := func(sku, values string, change func(*postgres.Edit)) {
		v, err := pim.DecodeValues([]byte(values))
		if err != nil {
			t.Fatal(sku, err)
		}
		e := postgres.Edit{SKU: pim.SKU(sku), Mode: postgres.Put, Family: new("all"), Values: v}
		if change != nil {
			change(&e)
		}
		edits = append(edits, e)
	}
	add("FULL", `{
		"title":"Mug","text":{"en-GB":"<p>A mug</p>","de-DE":"<p>Ein Becher</p>"},"tag":{"shop":"T"},"slogan":{"shop":{"en-GB":"Holds","de-DE":"=Hält"}},
		"count":-7.50,"weight":{"amount":1.250,"unit":"kg"},"fragile":false,"since":"2026-03-01","colour":"red","sizes":{"shop":["m","s"]},
		"images":["https://x.example/a|b.jpg","asset.jpg"],"similar":["FULL","[odd]"],"spec":[{"name":"=a,\"b\"","size":{"amount":1.50,"unit":"mm"}},{"name":"c","ok":false}],"family":"a text","prices":3}`,
		func(e *postgres.Edit) { e.Categories = &[]string{"mugs", "Gifts-2"}; e.Enabled = new(true) })
	add("LISTS", `{"sizes":{"shop":["l"]},"images":["one.jpg"],"similar":"[odd]","weight":{"amount":-5e-7,"unit":"g"},"count":123456789012345678.25}`, nil)
	add("NONE", `{"images":[],"spec":[],"similar":["[a","b"],"count":0.1}`, func(e *postgres.Edit) { e.Enabled = new(false) })
	add("-1", `{"title":"a SKU like a number"}`, nil)
	add("=cmd", `{"similar":"\"q\""}`, func(e *postgres.Edit) { e.Family = new("other"); e.Values = nil })
	add("id:PARENT", `{"title":"parent"}`, func(e *postgres.Edit) { e.FamilyVariant = new("by_colour") })
	for i, text := range hard {
		v, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		add(fmt.Sprintf("HARD-%02d", i), fmt.Sprintf(`{"title":%s,"tag":{"shop":%s}}`, v, v), nil)
	}
	edit(t, store, edits)
	edits = nil
	for _, colour := range []string{"red", "blue"} {
		add("+"+colour, `{"colour":"`+colour+`"}`, func(e *postgres.Edit) { e.Parent = new(pim.SKU("id:PARENT")) })
	}
	edit(t, store, edits)
	price := func(sku pim.SKU, list, amount string, quantity int, from, to *time.Time) pim.PriceRow {
		return pim.PriceRow{SKU: sku, Price: pim.Price{PriceList: list, Currency: "EUR", MinQuantity: quantity, Amount: decimal.MustParse(amount), ValidFrom: from, ValidTo: to}}
	}
	begin, end := new(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)), new(time.Date(2026, 12, 1, 9, 30, 0, 1000, time.UTC))
	_, err := store.SetPrices(t.Context(), "test", []pim.PriceRow{
		price("FULL", "default", "19.90", 1, nil, nil), price("FULL", "default", "17", 10, nil, nil), price("FULL", "default", "15.00", 1, begin, end),
		price("FULL", "trade", "9.999999", 1, nil, end), price("+red", "trade", "0", 1, nil, nil), price("=cmd", "default", "1234.50", 1, nil, nil),
	}, postgres.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.SetPublications(t.Context(), "test", []pim.PublicationRow{
		{SKU: "FULL", Publication: pim.Publication{Channel: "shop", From: begin, To: end}},
		{SKU: "+red", Publication: pim.Publication{Channel: "shop", To: end}},
		{SKU: "=cmd", Publication: pim.Publication{Channel: "shop", From: begin}},
	}, postgres.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.SetStock(t.Context(), "test", []pim.StockRow{
		{SKU: "FULL", Stock: pim.Stock{Location: "default", OnHand: 12, Reserved: 3}},
		{SKU: "FULL", Stock: pim.Stock{Location: "berlin", OnHand: -2, SafetyStock: new(int64(4))}},
		{SKU: "+red", Stock: pim.Stock{Location: "berlin", OnHand: 1000}},
	}, postgres.Idempotency{})
	if err != nil {
		t.Fatal(err)
	}
}

func edit(t *testing.T, store *postgres.Store, edits []postgres.Edit) {
	t.Helper()
	results, err := store.Edit(t.Context(), "test", edits)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil || !r.Created {
			t.Fatalf("%s: %v", r.SKU, r.Err)
		}
	}
}

func export(t *testing.T, store *postgres.Store, format exporting.Format) ([]byte, int64) {
	t.Helper()
	var b bytes.Buffer
	n, err := exporting.Write(t.Context(), store, &b, format, postgres.ProductFilter{})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), n
}

// take imports a file from its beginning to its end.
func take(t *testing.T, store *postgres.Store, content []byte) (postgres.ImportRun, []postgres.ImportFinding) {
	t.Helper()
	id, err := store.CreateImport(t.Context(), "export", "test", json.RawMessage(`{}`), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	l, err := store.Take(t.Context(), postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(id)}, 0, "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := importing.New(store, slog.New(slog.DiscardHandler), nil).Run(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	run, err := store.ImportRun(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := store.ImportReport(t.Context(), id, postgres.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return run, found
}

// An export imported again changes nothing; imported into a house without
// products it makes the same ones.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, format := range exporting.Formats {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			store, fresh := open(t), open(t)
			fill(t, store)
			want, n := export(t, store, exporting.JSONL)
			file, m := export(t, store, format)
			if n != m || n != int64(len(hard)+8) {
				t.Fatalf("%d products, of JSON Lines %d", m, n)
			}
			run, found := take(t, store, file)
			if run.State != "finished" || run.Unchanged != n || run.Created+run.Changed+run.Rejected != 0 {
				t.Errorf("imported where it came from: %+v\n%+v", run, found)
			}
			run, found = take(t, fresh, file)
			if run.State != "finished" || run.Created != n {
				t.Errorf("imported into an empty house: %+v\n%+v", run, found)
			}
			got, _ := export(t, fresh, exporting.JSONL)
			if diff := cmp.Diff(linesOf(want), linesOf(got)); diff != "" {
				t.Errorf("another house is not the same (-want +got):\n%s", diff)
			}
		})
	}
}

// linesOf are an export's lines by SKU: variants may come in another order.
func linesOf(file []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(file)) {
		var p struct{ SKU string }
		if json.Unmarshal([]byte(line), &p) == nil {
			out[p.SKU] = line
		}
	}
	return out
}

// No cell of a CSV begins as a formula does, numbers left aside.
func TestCellsAreHarmless(t *testing.T) {
	t.Parallel()
	store := open(t)
	fill(t, store)
	file, _ := export(t, store, exporting.CSV)
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	formulas := 0
	for _, row := range rows {
		for _, c := range row {
			if c == "" || strings.IndexAny(c, "=+-@\t\r\n＝＋－＠") != 0 {
				continue
			}
			var n json.Number
			if formulas++; json.Unmarshal([]byte(c), &n) != nil {
				t.Errorf("%q would be run", c)
			}
		}
	}
	if formulas == 0 {
		t.Error("no negative number was met: is the test still about anything?")
	}
}

// What a workbook's cell cannot hold is told, with nothing written.
func TestSheetTooSmall(t *testing.T) {
	t.Parallel()
	store := open(t)
	edit(t, store, []postgres.Edit{{SKU: "LONG", Mode: postgres.Put, Family: new("all"), Values: pim.Values{"title": strings.Repeat("é", 32768)}}})
	var b bytes.Buffer
	_, err := exporting.Write(t.Context(), store, &b, exporting.XLSX, postgres.ProductFilter{})
	inv, ok := errors.AsType[*pim.Invalid](err)
	if !ok || inv.Problems[0].Code != "xlsx.text" || !strings.Contains(inv.Problems[0].Detail, "LONG") || b.Len() > 0 {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
}

// A filter leaves products out, and the columns that only they fill.
func TestFilter(t *testing.T) {
	t.Parallel()
	store := open(t)
	fill(t, store)
	var b bytes.Buffer
	n, err := exporting.Write(t.Context(), store, &b, exporting.CSV, postgres.ProductFilter{Parent: "id:PARENT"})
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	slices.Sort(got[1:]) // which variant was made first is nobody's promise
	want := []string{
		"sku,parent,family,family_variant,enabled,categories,colour,price:trade:EUR,stock:berlin,publish_to:shop",
		"'+blue,id:PARENT,all,,true,,blue,,,", "'+red,id:PARENT,all,,true,,red,0,1000,2026-12-01T09:30:00.000001Z",
	}
	if err != nil || n != 2 || !slices.Equal(got, want) {
		t.Errorf("%d %v\n%s", n, err, b.String())
	}
}

// A file is of one moment: what is edited while it is written is in the next one.
func TestOneMoment(t *testing.T) {
	t.Parallel()
	store := open(t)
	var edits []postgres.Edit
	for i := range 300 { // more than are read at a time
		edits = append(edits, postgres.Edit{SKU: pim.SKU(fmt.Sprintf("P-%03d", i)), Mode: postgres.Put, Family: new("all"), Values: pim.Values{"title": "before"}})
	}
	edit(t, store, edits)
	seen := 0
	err := store.InSnapshot(t.Context(), postgres.ProductFilter{}, func(s *postgres.Snapshot) error {
		return s.Products(t.Context(), func(p *postgres.FullProduct) error {
			if seen++; seen == 1 {
				for i := range edits {
					edits[i].Values = pim.Values{"title": "after"}
				}
				if _, err := store.Edit(t.Context(), "test", append(edits, postgres.Edit{SKU: "NEW", Mode: postgres.Put, Family: new("all")})); err != nil {
					return err
				}
			}
			if p.SKU == "NEW" || !strings.Contains(string(p.Values), "before") {
				return fmt.Errorf("product %s is of a later moment: %s", p.SKU, p.Values)
			}
			return nil
		})
	})
	if err != nil || seen != 300 {
		t.Errorf("%d products, %v", seen, err)
	}
	if _, n := export(t, store, exporting.JSONL); n != 301 {
		t.Errorf("%d products afterwards", n)
	}
}

// The columns are of the same products as the rows: those below a category, too.
func TestFilterBelowCategory(t *testing.T) {
	t.Parallel()
	store := open(t)
	fill(t, store)
	if _, err := store.PutCategories(t.Context(), []pim.CategoryEdit{{Code: "kitchen"}, {Code: "mugs", Parent: "kitchen"}}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	n, err := exporting.Write(t.Context(), store, &b, exporting.CSV, postgres.ProductFilter{Category: "kitchen"})
	if err != nil || n != 1 || !strings.Contains(b.String(), "\nFULL,,all") || !strings.Contains(b.String(), ",slogan:shop:de-DE,") {
		t.Errorf("%d %v\n%s", n, err, b.String())
	}
}

// A reading that is cut off is an error, never a shorter file.
func TestCutOff(t *testing.T) {
	t.Parallel()
	store := open(t)
	fill(t, store)
	if _, err := exporting.Write(t.Context(), store, broken{}, exporting.JSONL, postgres.ProductFilter{}); !errors.Is(err, errBroken) {
		t.Errorf("a writer that breaks: %v", err)
	}
}

type broken struct{}

var errBroken = errors.New("the line is cut")

func (broken) Write([]byte) (int, error) { return 0, errBroken }
