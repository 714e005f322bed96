package medusa_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/pim"
)

func ctx(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func upsert(lane pim.Lane, sku, document string) connectors.Item {
	return connectors.Item{SKU: pim.SKU(sku), Lane: lane, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(document)}
}

// pushed pushes and gives the results.
func pushed(t *testing.T, c connectors.Connector, items ...connectors.Item) []connectors.Result {
	t.Helper()
	results, err := c.Push(ctx(t), items)
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	return results
}

// fine pushes and expects every item to be taken; what is in doubt for a conflict
// at the second time, for the hub pushes that once more.
func fine(t *testing.T, c connectors.Connector, items ...connectors.Item) []connectors.Result {
	t.Helper()
	results := pushed(t, c, items...)
	for i, r := range results {
		if e := connectors.AsError(r.Err); r.Err != nil && e.Verdict == connectors.Conflict && e.Uncertain {
			results[i] = pushed(t, c, items[i])[0]
			r = results[i]
		}
		if r.Err != nil {
			t.Fatalf("push of %s: %v", items[i].SKU, r.Err)
		}
	}
	return results
}

// refusal is the error of the only item, or of the call.
func refusal(t *testing.T, c connectors.Connector, item connectors.Item) *connectors.Error {
	t.Helper()
	results, err := c.Push(ctx(t), []connectors.Item{item})
	if err == nil {
		err = results[0].Err
	}
	if err == nil {
		t.Fatalf("%s is not refused", item.SKU)
	}
	return connectors.AsError(err)
}

func product(t *testing.T, f *medusatest.Server, sku pim.SKU) medusatest.Product {
	t.Helper()
	p, ok := f.Product(sku)
	if !ok {
		t.Fatalf("there is no product %s", sku)
	}
	return p
}

func TestConfigTellsAllItsProblems(t *testing.T) {
	_, err := medusa.Kind.New(json.RawMessage(`{"url":"shop","api_key":"pk_123","status":"live","on_withdraw":3,"stock_location_id":"loc","colour":1}`), connectors.Env{Limits: limits(5)})
	bad, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		t.Fatalf("%v", err)
	}
	var got []string
	for _, p := range bad.Problems {
		if got = append(got, p.Pointer); strings.Contains(p.Detail, "pk_123") {
			t.Errorf("a problem quotes the key: %s", p.Detail)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"/api_key", "/colour", "/on_withdraw", "/status", "/stock_location_id", "/url"}, slices.Compact(got)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// A family comes in one call, and another variant later.
func TestProductsAndVariants(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	c := newCatalogue(t)
	shirt := c.subject("T", "Shirt", in("tops"), value("description", "<p>Cotton</p>"), pictured("https://img.example/t.jpg"))
	red := c.subject("T-R", "Shirt", of("T", "red", "S"), value("gtin", "4006381333931"), costs("EUR 19.90", "EUR 17.50 10", "USD 21"), stocked(3), pictured("https://img.example/t.jpg", "https://img.example/red.jpg"))
	blue := c.subject("T-B", "Shirt", of("T", "blue", "S"), costs("EUR 18"), pictured("https://img.example/t.jpg"))
	c.push(to, 5, allLanes, blue, shirt, red)
	if calls := fake.Counts().Writes; calls > 8 {
		t.Errorf("%d requests for one family", calls)
	}
	green := c.subject("T-G", "Shirt", of("T", "green", "XL"), costs("EUR 1"), stocked(0))
	c.push(to, 5, allLanes, green)
	got := product(t, fake, "T")
	got.ID = ""
	for i := range got.Variants {
		got.Variants[i].ID = ""
	}
	variant := func(sku, color, size string, v medusatest.Variant) medusatest.Variant {
		v.SKU, v.Title, v.Options = sku, color+" / "+size, map[string]string{"color": color, "size": size}
		return v
	}
	want := medusatest.Product{
		ExternalID: "T", Title: "Shirt", Description: "<p>Cotton</p>", Handle: "shirt-t", Status: "published", Thumbnail: "https://img.example/t.jpg",
		Options:    map[string][]string{"color": {"blue", "red", "green"}, "size": {"S", "XL"}},
		Categories: []string{"tops"}, Channels: []string{medusatest.SalesChannel}, Fields: map[string]any{"metadata": map[string]any{"sluice_sku": "T"}},
		Images: []string{"https://img.example/t.jpg", "https://img.example/red.jpg"},
		Variants: []medusatest.Variant{
			variant("T-B", "blue", "S", medusatest.Variant{Prices: []string{"eur 18"}, Thumbnail: "https://img.example/t.jpg"}),
			variant("T-G", "green", "XL", medusatest.Variant{Prices: []string{"eur 1"}, Managed: true, Stock: map[string]float64{medusatest.Location: 0}}),
			variant("T-R", "red", "S", medusatest.Variant{
				EAN: "4006381333931", Prices: []string{"eur 17.5 from 10", "eur 19.9", "usd 21"}, Managed: true, Thumbnail: "https://img.example/t.jpg",
				Stock: map[string]float64{medusatest.Location: 3}, Images: []string{"https://img.example/red.jpg"},
			}),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the shop holds (-want +got):\n%s", diff)
	}
	// Everything once more changes nothing.
	before := product(t, fake, "T")
	c.push(to, 5, allLanes, shirt, red, blue, green)
	if diff := cmp.Diff(before, product(t, fake, "T")); diff != "" {
		t.Errorf("pushed again (-before +after):\n%s", diff)
	}
	// The variant's own picture goes with it; the others' stay.
	red.Values["picture"] = []any{"https://img.example/t.jpg"}
	c.push(to, 5, []pim.Lane{pim.Media}, red)
	if diff := cmp.Diff([]string{"https://img.example/t.jpg"}, product(t, fake, "T").Images); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

// A product is sold by a variant of its own as long as it has no other.
func TestDefaultVariant(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	c := newCatalogue(t)
	pot := c.subject("POT", "Pot", value("gtin", "123"), costs("EUR 5"), stocked(2))
	c.push(to, 5, allLanes, pot)
	if p := product(t, fake, "POT"); len(p.Variants) != 1 || p.Variants[0].SKU != "POT" || p.Variants[0].EAN != "123" || p.Variants[0].Stock[medusatest.Location] != 2 {
		t.Fatalf("a simple product: %+v", p)
	}
	pot.Values["gtin"] = "456"
	c.push(to, 5, allLanes, pot)
	if v, _ := fake.Variant("POT"); v.EAN != "456" {
		t.Errorf("the code is %q after an edit", v.EAN)
	}
	c.push(to, 5, allLanes, c.subject("POT-R", "Pot", of("POT", "red", "S"), costs("EUR 6")))
	p := product(t, fake, "POT")
	if len(p.Variants) != 1 || p.Variants[0].SKU != "POT-R" || len(p.Options) != 2 {
		t.Fatalf("with a variant: %+v", p)
	}
	for range 2 { // the product's own content and offer do not bring the default variant back
		c.push(to, 5, []pim.Lane{pim.Content}, pot)
		results := fine(t, to, c.item(pim.Offer, pot))
		if len(results[0].Issues) != 1 || results[0].Issues[0].Code != "medusa.sold_by_variants" {
			t.Errorf("the issues of an offer that nobody sells by: %+v", results[0].Issues)
		}
	}
	if p := product(t, fake, "POT"); len(p.Variants) != 1 {
		t.Errorf("the default variant is back: %+v", p)
	}
	fine(t, to, withdrawal("POT-R"))
	c.push(to, 5, allLanes, pot)
	p = product(t, fake, "POT")
	if len(p.Variants) != 1 || p.Variants[0].SKU != "POT" || p.Variants[0].Stock[medusatest.Location] != 2 || len(p.Options) != 1 {
		t.Errorf("after its last variant went: %+v", p)
	}
}

func TestVariantWaitsForItsParent(t *testing.T) {
	_, to := start(t, medusatest.Options{}, nil)
	e := refusal(t, to, upsert(pim.Content, "V", `{"title":"V","parent":"P"}`))
	if e.Verdict != connectors.Conflict || e.After < time.Second || e.Uncertain {
		t.Errorf("without its parent: %+v", e)
	}
	fine(t, to, upsert(pim.Content, "P", `{"title":"P"}`))
	fine(t, to, upsert(pim.Content, "V", `{"title":"V","parent":"P"}`))
}

// Many pushes extend one product's options at once, and lose none.
func TestSiblingsAtOnce(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "P", `{"title":"P"}`))
	var wg sync.WaitGroup
	errs := make(chan error, 12)
	for i := range 12 {
		wg.Go(func() {
			results, err := to.Push(ctx(t), []connectors.Item{upsert(pim.Content, fmt.Sprintf("P-%d", i), fmt.Sprintf(`{"parent":"P","options":{"size":%d}}`, i))})
			if err == nil {
				err = results[0].Err
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if p := product(t, fake, "P"); len(p.Variants) != 12 || len(p.Options["size"]) != 12 {
		t.Errorf("%d variants, options %v", len(p.Variants), p.Options)
	}
}

func TestVariantsWithoutOptionsAndWithTheSame(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "P", `{"title":"P"}`),
		upsert(pim.Content, "P-1", `{"parent":"P","title":"One"}`), upsert(pim.Content, "P-2", `{"parent":"P"}`))
	if p := product(t, fake, "P"); len(p.Variants) != 2 || p.Variants[0].Title != "One" || p.Variants[1].Title != "P-2" || p.Variants[1].Options["Variant"] != "P-2" {
		t.Errorf("without options: %+v", p)
	}
	// Medusa would take two of the same in one call, and none later.
	fine(t, to, upsert(pim.Content, "Q", `{"title":"Q"}`))
	results := pushed(t, to, upsert(pim.Content, "Q-1", `{"parent":"Q","options":{"a":"x "}}`), upsert(pim.Content, "Q-2", `{"parent":"Q","options":{"a":"x"}}`))
	if results[0].Err != nil || results[1].Err == nil || connectors.AsError(results[1].Err).Issues[0].Code != "medusa.options_taken" {
		t.Errorf("the same options: %v, %v", results[0].Err, results[1].Err)
	}
}

func TestMoves(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "P1", `{"title":"P1"}`), upsert(pim.Content, "P2", `{"title":"P2"}`), upsert(pim.Content, "V", `{"parent":"P1"}`))
	fine(t, to, upsert(pim.Content, "V", `{"parent":"P2"}`))
	if p, q := product(t, fake, "P1"), product(t, fake, "P2"); len(p.Variants) != 0 || len(q.Variants) != 1 || q.Variants[0].SKU != "V" {
		t.Errorf("to another parent: %+v, %+v", p.Variants, q.Variants)
	}
	fine(t, to, upsert(pim.Content, "V", `{"title":"Alone"}`))
	if p := product(t, fake, "V"); len(p.Variants) != 1 || p.Title != "Alone" {
		t.Errorf("to none: %+v", p)
	}
	fine(t, to, upsert(pim.Content, "V", `{"parent":"P1"}`))
	if _, ok := fake.Product("V"); ok || len(product(t, fake, "P1").Variants) != 1 {
		t.Error("back to a parent, its own product is there still")
	}
}

// What people made in Medusa is adopted where it is nobody's, and left alone
// where a variant would have to be taken away from it.
func TestOthersProducts(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	id := fake.Merchant("By hand", "H")
	fine(t, to, upsert(pim.Content, "H", `{"title":"By Sluice"}`), upsert(pim.Content, "P", `{"title":"P"}`))
	if p := product(t, fake, "H"); p.ID != id || p.Title != "By Sluice" {
		t.Errorf("not adopted: %+v", p)
	}
	fine(t, to, upsert(pim.Offer, "H", `{"prices":[{"currency":"EUR","amount":"1"}],"stock":4}`))
	fake.Merchant("Another", "X")
	e := refusal(t, to, upsert(pim.Content, "X", `{"parent":"P"}`))
	if _, there := fake.Variant("X"); e.Verdict != connectors.Validation || e.Issues[0].Code != "medusa.sku_taken" || !there {
		t.Errorf("a merchant's variant: %+v, there: %v", e, there)
	}
}

func TestNothingIsSoldThatShouldNotBe(t *testing.T) {
	fake, to, recorder := record(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "A", `{"title":"A"}`), upsert(pim.Content, "B", `{"title":"B"}`))
	fine(t, to, upsert(pim.Offer, "A", `{"prices":[{"currency":"EUR","amount":"1"}],"stock":5}`), upsert(pim.Offer, "B", `{"prices":[],"stock":5}`))
	before := len(recorder.Exchanges())
	fine(t, to, upsert(pim.Offer, "A", `{"prices":[{"currency":"EUR","amount":"2"}],"stock":0}`), upsert(pim.Offer, "B", `{"prices":[{"currency":"EUR","amount":"2"}],"stock":-3}`))
	fine(t, to, upsert(pim.Offer, "A", `{"prices":[{"currency":"EUR","amount":"3"}],"stock":7}`))
	var order []string
	for _, x := range recorder.Exchanges()[before:] {
		order = append(order, x.Request.URL.Path[strings.LastIndex(strings.TrimSuffix(x.Request.URL.Path, "/batch"), "/")+1:])
	}
	if diff := cmp.Diff([]string{"location-levels/batch", "variants/batch", "variants/batch", "location-levels/batch"}, order); diff != "" {
		t.Errorf("nothing left first, else prices first, and nothing is looked up twice (-want +got):\n%s", diff)
	}
	if v, _ := fake.Variant("B"); v.Stock[medusatest.Location] != 0 || v.Prices[0] != "eur 2" {
		t.Errorf("B: %+v", v)
	}
}

// What is remembered of a SKU is a mere cache.
func TestStaleMemory(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	offer := upsert(pim.Offer, "A", `{"prices":[{"currency":"EUR","amount":"1"}],"stock":5}`)
	fine(t, to, upsert(pim.Content, "A", `{"title":"A"}`), upsert(pim.Content, "B", `{"title":"B"}`))
	fine(t, to, offer)
	fake.Forget("A")
	if e := refusal(t, to, offer); e.Verdict != connectors.Conflict {
		t.Errorf("of a product that people deleted: %+v", e)
	}
	fine(t, to, upsert(pim.Content, "A", `{"title":"A"}`))
	fine(t, to, offer, upsert(pim.Offer, "B", `{"stock":5}`))
	fake.Forget("A")
	other := connect(t, medusa.Config{URL: fake.URL(), APIKey: key}, 5)
	fine(t, other, upsert(pim.Content, "A", `{"title":"A"}`))
	fine(t, to, offer, upsert(pim.Offer, "B", `{"stock":6}`))
	a, _ := fake.Variant("A")
	b, _ := fake.Variant("B")
	if a.Stock[medusatest.Location] != 5 || b.Stock[medusatest.Location] != 6 || a.Prices[0] != "eur 1" {
		t.Errorf("A %+v, B %+v", a, b)
	}
}

// Stock that is kept no more leaves its inventory item behind, and finds it again.
func TestStockComesBack(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	c := newCatalogue(t)
	kept, free := c.subject("A", "A", costs("EUR 1"), stocked(4)), c.subject("A", "A", costs("EUR 1"))
	c.push(to, 5, []pim.Lane{pim.Content, pim.Offer}, kept)
	c.push(to, 5, []pim.Lane{pim.Offer}, free)
	if v, _ := fake.Variant("A"); v.Managed || v.Stock != nil {
		t.Errorf("free: %+v", v)
	}
	c.push(to, 5, []pim.Lane{pim.Offer}, kept)
	c.push(to, 5, []pim.Lane{pim.Offer}, free)
	fine(t, to, withdrawal("A"))
	c.push(to, 5, []pim.Lane{pim.Content, pim.Offer}, kept)
	if v, _ := fake.Variant("A"); !v.Managed || v.Stock[medusatest.Location] != 4 {
		t.Errorf("withdrawn and back: %+v", v)
	}
}

func TestOfferDetails(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "A", `{"title":"A"}`))
	r := fine(t, to, upsert(pim.Offer, "A", `{"prices":[{"currency":"EUR","amount":"19.90","min_quantity":1},{"currency":"EUR","amount":"21"},{"currency":"JPY","amount":2000}],"stock":1}`))
	if len(r[0].Issues) != 1 || r[0].Issues[0].Code != "medusa.currency" {
		t.Errorf("issues %+v", r[0].Issues)
	}
	fine(t, to, upsert(pim.Offer, "A", `{"stock":2}`)) // prices that the document leaves out stay
	if v, _ := fake.Variant("A"); !slices.Equal(v.Prices, []string{"eur 19.9", "jpy 2000"}) || v.Stock[medusatest.Location] != 2 {
		t.Errorf("%+v", v)
	}
	fine(t, to, upsert(pim.Offer, "A", `{"prices":[]}`))
	if v, _ := fake.Variant("A"); len(v.Prices) != 0 {
		t.Errorf("%+v", v)
	}
	for _, bad := range []string{`{"prices":[{"currency":"EUR","amount":"-1"}]}`, `{"prices":[{"currency":"E","amount":"1"}]}`, `{"stock":"1.5"}`, `{"stock":"many"}`, `{"price":1}`, `[]`} {
		if e := refusal(t, to, upsert(pim.Offer, "A", bad)); e.Verdict != connectors.Validation || len(e.Issues) == 0 {
			t.Errorf("%s: %+v", bad, e)
		}
	}
}

func TestStockLocations(t *testing.T) {
	item := upsert(pim.Offer, "A", `{"stock":1}`)
	for _, c := range []struct {
		locations int
		config    string
		fine      bool
	}{{1, "", true}, {-1, "", false}, {2, "", false}, {2, "sloc_FAKE0002", true}, {1, "sloc_FAKE0009", false}} {
		fake, to := start(t, medusatest.Options{Locations: c.locations}, func(m *medusa.Config) { m.StockLocationID = c.config })
		fine(t, to, upsert(pim.Content, "A", `{"title":"A"}`))
		_, err := to.Push(ctx(t), []connectors.Item{item})
		if e := connectors.AsError(err); c.fine != (err == nil) || err != nil && (e.Verdict != connectors.Unavailable || e.Uncertain) {
			t.Errorf("%d locations, config %q: %v", c.locations, c.config, err)
		}
		if v, _ := fake.Variant("A"); c.fine && len(v.Stock) != 1 {
			t.Errorf("%d locations, config %q: stock %v", c.locations, c.config, v.Stock)
		}
	}
}

func TestCategories(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "A", `{"title":"A","categories":["Töpfe","gifts","Gifts"]}`))
	if p := product(t, fake, "A"); !slices.Equal(p.Categories, []string{"gifts", "topfe"}) {
		t.Errorf("categories %v", p.Categories)
	}
	fine(t, to, upsert(pim.Content, "A", `{"title":"A"}`))
	if p := product(t, fake, "A"); len(p.Categories) != 2 {
		t.Errorf("categories %v of a document that leaves them out", p.Categories)
	}
	fine(t, to, upsert(pim.Content, "A", `{"title":"A","categories":[]}`))
	if p := product(t, fake, "A"); len(p.Categories) != 0 {
		t.Errorf("categories %v", p.Categories)
	}
	no := false
	_, to = start(t, medusatest.Options{}, func(c *medusa.Config) { c.CreateCategories = &no })
	if r := fine(t, to, upsert(pim.Content, "A", `{"title":"A","categories":["x"]}`)); len(r[0].Issues) != 1 || r[0].Issues[0].Code != "medusa.category_missing" {
		t.Errorf("issues %+v", r[0].Issues)
	}
}

// Handles of ours are told apart, and stay when the title changes.
func TestHandles(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "c", `{"title":"a b"}`))
	fine(t, to, upsert(pim.Content, "b-c", `{"title":"a"}`), upsert(pim.Content, "D", `{"title":"Größe: 10 %"}`), upsert(pim.Content, "鍋", `{"title":"鍋"}`))
	if a, b, d := product(t, fake, "c").Handle, product(t, fake, "b-c").Handle, product(t, fake, "D").Handle; a != "a-b-c" || !strings.HasPrefix(b, "a-b-c-") || d != "grosse-10-d" {
		t.Errorf("handles %s, %s, %s", a, b, d)
	}
	fine(t, to, upsert(pim.Content, "c", `{"title":"new"}`))
	if h := product(t, fake, "c").Handle; h != "a-b-c" {
		t.Errorf("the handle became %s", h)
	}
	e := refusal(t, to, upsert(pim.Content, "E", `{"title":"E","handle":"a-b-c"}`))
	if e.Verdict != connectors.Validation || e.Issues[0].Code != "medusa.handle_taken" || e.Issues[0].Attribute != "handle" {
		t.Errorf("a handle that is taken: %+v", e)
	}
}

func TestWithdrawalToDraft(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, func(c *medusa.Config) { c.OnWithdraw = "draft" })
	fine(t, to, upsert(pim.Content, "P", `{"title":"P"}`), upsert(pim.Content, "V", `{"parent":"P"}`), upsert(pim.Content, "S", `{"title":"S"}`))
	fine(t, to, withdrawal("V"), withdrawal("S"))
	if p := product(t, fake, "S"); p.Status != "draft" || len(product(t, fake, "P").Variants) != 0 {
		t.Errorf("S %+v", p)
	}
	fine(t, to, upsert(pim.Content, "S", `{"title":"S"}`))
	if p := product(t, fake, "S"); p.Status != "published" {
		t.Errorf("S %+v", p)
	}
	r := fine(t, to, upsert(pim.Content, "S", `{"title":"S","status":"proposed"}`), upsert(pim.Content, "P", `{"title":"P"}`))
	if r[0].Status != connectors.Accepted || r[1].Status != connectors.Live {
		t.Errorf("statuses %s, %s", r[0].Status, r[1].Status)
	}
}

// A creation whose answer was lost is found, also where the look-up came too early.
func TestLostCreationIsFound(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fake.Script(medusatest.Fault{Kind: medusatest.Lose, Times: 1, Only: func(r *http.Request, _ []byte) bool { return r.URL.Path == "/admin/products/batch" }})
	item := upsert(pim.Content, "A", `{"title":"A"}`)
	if e := refusal(t, to, item); e.Verdict != connectors.Unavailable || !e.Uncertain {
		t.Fatalf("lost: %+v", e)
	}
	fine(t, to, item)
	if fake.Len() != 1 {
		t.Errorf("%d products", fake.Len())
	}
	// Two processes create the same at once: both find it.
	other := connect(t, medusa.Config{URL: fake.URL(), APIKey: key}, 5)
	items := []connectors.Item{upsert(pim.Content, "B", `{"title":"B"}`)}
	var wg sync.WaitGroup
	errs := make(chan error, 4)
	for _, c := range []connectors.Connector{to, other, to, other} {
		wg.Go(func() {
			r, err := c.Push(ctx(t), items)
			if err == nil {
				err = r[0].Err
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if fake.Len() != 2 {
		t.Errorf("%d products", fake.Len())
	}
}

func TestPictures(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "P", `{"title":"P"}`), upsert(pim.Content, "V", `{"parent":"P","options":{"a":1}}`), upsert(pim.Content, "W", `{"parent":"P","options":{"a":2}}`))
	const all, v = "https://img.example/all.jpg", "https://img.example/v.jpg"
	images := func(sku pim.SKU) []string {
		it, _ := fake.Variant(sku)
		return it.Images
	}
	expect := func(when string, product, ofV, ofW []string) {
		t.Helper()
		p, _ := fake.Product("P")
		if !slices.Equal(p.Images, product) || !slices.Equal(images("V"), ofV) || !slices.Equal(images("W"), ofW) {
			t.Errorf("%s: product %v, V %v, W %v", when, p.Images, images("V"), images("W"))
		}
	}
	withV := upsert(pim.Media, "V", `{"parent":"P","images":["`+all+`","`+v+`"]}`)
	withW := upsert(pim.Media, "W", `{"parent":"P","images":["`+all+`"]}`)
	top := upsert(pim.Media, "P", `{"images":["`+all+`"]}`)
	fine(t, to, withV)
	fine(t, to, withW)
	expect("the variants came first", []string{all, v}, []string{all, v}, []string{all})
	fine(t, to, top)
	expect("the product's own are everybody's", []string{all, v}, []string{v}, nil)
	before := fake.Counts().Writes
	fine(t, to, withV, withW, top)
	if n := fake.Counts().Writes - before; n != 0 {
		t.Errorf("%d writes for what is there", n)
	}
	fine(t, to, upsert(pim.Media, "W", `{"parent":"P","images":["`+v+`"]}`))
	expect("shared by two", []string{all, v}, []string{v}, []string{v})
	fine(t, to, upsert(pim.Media, "V", `{"parent":"P"}`))
	expect("dropped by one", []string{all, v}, nil, []string{v})
	fine(t, to, upsert(pim.Media, "P", `{}`), withW)
	expect("the product has none, and what was W's alone is replaced", []string{all}, nil, []string{all})
	r := fine(t, to, upsert(pim.Media, "P", `{"images":["file.jpg","`+all+`"]}`))
	if len(r[0].Issues) != 1 || r[0].Issues[0].Code != "medusa.image" {
		t.Errorf("issues %+v", r[0].Issues)
	}
}
