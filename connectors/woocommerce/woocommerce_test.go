package woocommerce_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/woocommerce"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

func upsert(lane pim.Lane, sku pim.SKU, document string) connectors.Item {
	return connectors.Item{SKU: sku, Lane: lane, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(document)}
}

func content(sku pim.SKU, document string) connectors.Item {
	return upsert(pim.Content, sku, document)
}

func variant(sku, parent pim.SKU, colour string) connectors.Item {
	return content(sku, fmt.Sprintf(`{"name":"n","parent":%q,"axes":{"Colour":%q}}`, parent, colour))
}

func withdraw(sku pim.SKU) connectors.Item {
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: 2, Action: connectors.Withdraw}
}

func push(t testing.TB, c connectors.Connector, items ...connectors.Item) []connectors.Result {
	t.Helper()
	results, err := c.Push(t.Context(), items)
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	return results
}

// ok expects every item to be taken.
func ok(t testing.TB, c connectors.Connector, items ...connectors.Item) []connectors.Result {
	t.Helper()
	results := push(t, c, items...)
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("push of %s: %v", items[i].SKU, r.Err)
		}
	}
	return results
}

func held(t testing.TB, shop *woocommercetest.Server, sku pim.SKU) woocommercetest.Product {
	t.Helper()
	p, found := shop.Held(sku)
	if !found {
		t.Fatalf("the shop does not hold %s", sku)
	}
	return p
}

// says writes a result for comparison: status or verdict, and its issues' codes.
func says(r connectors.Result) string {
	if r.Err == nil {
		s := string(r.Status)
		for _, i := range r.Issues {
			s += " " + i.Code
		}
		return s
	}
	e := connectors.AsError(r.Err)
	s := string(e.Verdict)
	if e.Uncertain {
		s += "?"
	}
	for _, i := range e.Issues {
		s += " " + i.Code + "/" + i.Attribute
	}
	return s
}

func TestVariants(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	first := push(t, c, variant("red", "P", "Red"))[0]
	if e := connectors.AsError(first.Err); e.Verdict != connectors.Conflict || e.After <= 0 || e.After > 10*time.Second {
		t.Errorf("a variant without its parent: %v", first.Err)
	}
	// The parent comes last in the call and is written first.
	for i, r := range ok(t, c, variant("red", "P", "Red"), variant("blue", "P", "Blue"), content("P", `{"name":"Shirt","attributes":{"Cloth":"Cotton","Care":["30°","no iron"]}}`)) {
		if r.Status != connectors.Live {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	parent := held(t, shop, "P")
	if parent.Type != "variable" || len(parent.Variations) != 2 {
		t.Errorf("the parent is %s with the variations %v", parent.Type, parent.Variations)
	}
	options := func() string { return fmt.Sprint(held(t, shop, "P").Attributes) }
	if want := "[{0 Care care 0 true false [30° no iron]} {0 Cloth cloth 1 true false [Cotton]} {0 Colour colour 2 true true [Red Blue]}]"; options() != want {
		t.Errorf("attributes %s", options())
	}
	if red := held(t, shop, "red"); red.ParentID != parent.ID || red.Choices()[0].Option != "Red" {
		t.Errorf("red: %+v", red)
	}
	before := shop.Counts()
	// Another process does not know the ids: one look-up, the parent, the variation.
	ok(t, connect(t, shop, 0, nil), variant("green", "P", "Green"))
	if n := shop.Counts().Calls - before.Calls; n != 3 {
		t.Errorf("%d calls for a variant", n)
	}
	// The parent's own content leaves its variants' options alone.
	ok(t, c, content("P", `{"name":"Shirt 2","attributes":{"Cloth":"Wool"}}`))
	if want := "[{0 Cloth cloth 0 true false [Wool]} {0 Colour colour 1 true true [Red Blue Green]}]"; options() != want || held(t, shop, "P").Name != "Shirt 2" {
		t.Errorf("attributes after the parent's update: %s", options())
	}
	ok(t, c, variant("red", "P", "Crimson"))
	if got := held(t, shop, "red").Choices()[0].Option; got != "Crimson" {
		t.Errorf("red became %s", got)
	}
	ok(t, c, withdraw("blue"))
	if got := held(t, shop, "P").Variations; len(got) != 2 {
		t.Errorf("after blue is gone the parent has %v", got)
	}
	ok(t, c, withdraw("P"), withdraw("red"), withdraw("green"))
	if n := shop.Counts().Products; n != 0 {
		t.Errorf("%d products are left", n)
	}
	if r := push(t, c, variant("red", "P", "Red"), content("P", `{"name":"back"}`)); r[0].Err != nil || r[1].Err != nil {
		t.Errorf("they cannot come back: %v, %v", r[0].Err, r[1].Err)
	}
}

// Several pushes extend one parent at once, and no option is lost: the fake
// notes it when a variation's option goes.
func TestVariantsAtOnce(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	ok(t, c, content("P", `{"name":"Shirt"}`))
	const pushes, each = 8, 4
	var wg sync.WaitGroup
	errs := make(chan error, pushes)
	for i := range pushes {
		wg.Go(func() {
			items := []connectors.Item{content("P", fmt.Sprintf(`{"name":"Shirt %d"}`, i))}
			if i%2 == 1 {
				items = nil // half of them find the parent in the shop
			}
			for j := range each {
				items = append(items, variant(pim.SKU(fmt.Sprintf("v%d-%d", i, j)), "P", fmt.Sprintf("Colour %d.%d", i, j)))
			}
			results, err := c.Push(t.Context(), items)
			for _, r := range results {
				err = errors.Join(err, r.Err)
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
	p := held(t, shop, "P")
	if len(p.Attributes) != 1 || len(p.Attributes[0].Options) != pushes*each || len(p.Variations) != pushes*each {
		t.Errorf("%d variations, attributes %v", len(p.Variations), p.Attributes)
	}
}

func TestCalls(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	items := func(lane pim.Lane, document string) []connectors.Item {
		out := make([]connectors.Item, 100)
		for i := range out {
			out[i] = upsert(lane, pim.SKU(fmt.Sprintf("SKU-%03d", i)), document)
		}
		return out
	}
	calls := func(what string, want int, c connectors.Connector, items []connectors.Item) {
		t.Helper()
		before := shop.Counts().Calls
		ok(t, c, items...)
		if n := shop.Counts().Calls - before; n != want {
			t.Errorf("%s: %d calls, want %d", what, n, want)
		}
	}
	calls("100 new products", 2, c, items(pim.Content, `{"name":"A"}`))
	calls("their update", 1, c, items(pim.Content, `{"name":"B"}`))
	calls("their prices", 1, c, items(pim.Offer, `{"regular_price":"1.00"}`))
	calls("a picture of them all, which the first has the shop load", 3, c, items(pim.Media, `{"images":["https://x.example/a.jpg"]}`))
	if n := shop.Counts().Loaded; n != 1 {
		t.Errorf("the shop loaded one picture %d times", n)
	}
	calls("the same again", 2, c, items(pim.Media, `{"images":["https://x.example/a.jpg"]}`))
	calls("prices by another process", 2, connect(t, shop, 0, nil), items(pim.Offer, `{"regular_price":"2.00"}`))
	if n := shop.Counts().Products; n != 100 {
		t.Errorf("%d products", n)
	}
}

// Large documents go in several calls: servers refuse large bodies.
func TestLargeDocuments(t *testing.T) {
	var largest atomic.Int64
	shop, c := start(t, woocommercetest.Options{Wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			largest.Store(max(largest.Load(), r.ContentLength))
			h.ServeHTTP(w, r)
		})
	}}, nil)
	items := make([]connectors.Item, 30)
	for i := range items {
		items[i] = content(pim.SKU(fmt.Sprint("L", i)), fmt.Sprintf(`{"name":"A","description":%q}`, strings.Repeat("x", 100<<10)))
	}
	ok(t, c, items...)
	if n := shop.Counts(); n.Products != 30 || n.Batches != 4 || largest.Load() > 1<<20 {
		t.Errorf("%+v, the largest body has %d bytes", n, largest.Load())
	}
}

func TestOffers(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	ok(t, c, content("A", `{"name":"A"}`), content("P", `{"name":"P"}`), variant("v", "P", "Red"))
	ok(t, c, upsert(pim.Offer, "A", `{"regular_price":"19.90","sale_price":"9.90","date_on_sale_from_gmt":"2020-01-01T02:00:00+02:00","date_on_sale_to_gmt":"2999-01-01","stock":7}`),
		upsert(pim.Offer, "v", `{"regular_price":"5","stock":0}`))
	a, v := held(t, shop, "A"), held(t, shop, "v")
	if a.RegularPrice != "19.90" || a.SalePrice != "9.90" || !a.OnSale || a.Price != "9.90" || *a.SaleFromGMT != "2020-01-01T00:00:00" || *a.SaleToGMT != "2999-01-01T00:00:00" || *a.StockQuantity != 7 {
		t.Errorf("offer of A: %s", shop.HeldLane("A", pim.Offer))
	}
	if v.RegularPrice != "5" || v.StockStatus != "outofstock" || a.Name != "A" {
		t.Errorf("offer of v: %s", shop.HeldLane("v", pim.Offer))
	}
	// What the document does not have any more goes.
	ok(t, c, upsert(pim.Offer, "A", `{"regular_price":"19.90","stock":0}`))
	if want := `{"backorders":"no","from":null,"manage_stock":true,"regular_price":"19.90","sale_price":"","status":"outofstock","stock":0,"to":null}`; shop.HeldLane("A", pim.Offer) != want {
		t.Errorf("offer of A: %s", shop.HeldLane("A", pim.Offer))
	}
	ok(t, c, upsert(pim.Offer, "A", `{}`))
	if want := `{"backorders":"no","from":null,"manage_stock":false,"regular_price":"","sale_price":"","status":"instock","stock":null,"to":null}`; shop.HeldLane("A", pim.Offer) != want {
		t.Errorf("empty offer of A: %s", shop.HeldLane("A", pim.Offer))
	}
	if got := says(ok(t, c, upsert(pim.Offer, "P", `{"regular_price":"3.00"}`))[0]); got != "live woocommerce.parent_price" {
		t.Errorf("a parent's price: %s", got)
	}
	// Content leaves prices alone.
	ok(t, c, upsert(pim.Offer, "A", `{"regular_price":"2.50"}`), upsert(pim.Offer, "v", `{"regular_price":"2.60"}`))
	ok(t, c, content("A", `{"name":"A2"}`), variant("v", "P", "Blue"))
	if a, v := held(t, shop, "A"), held(t, shop, "v"); a.RegularPrice != "2.50" || v.RegularPrice != "2.60" {
		t.Errorf("prices after content: %s, %s", a.RegularPrice, v.RegularPrice)
	}
}

func TestCategories(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	books := shop.AddCategory("Books &amp; Media", 0)
	shop.AddCategory("Novels", books)
	for i := range 250 { // more than two pages
		shop.AddCategory(fmt.Sprintf("Filler %d", i), 0)
	}
	ok(t, c, content("A", `{"name":"A","categories":["books & media > novels","Clothing > Shirts","Clothing"]}`), content("B", `{"name":"B","categories":["Clothing > Shirts"]}`))
	var made []string
	for _, name := range shop.Categories() {
		if !strings.HasPrefix(name, "Filler") {
			made = append(made, name)
		}
	}
	if want := []string{"Books &amp; Media", "Books &amp; Media > Novels", "Clothing", "Clothing > Shirts", "Uncategorized"}; !slices.Equal(made, want) {
		t.Errorf("categories %q", made)
	}
	// Somebody else makes one after we have read the tree.
	id := shop.AddCategory("Shoes", 0)
	ok(t, c, content("A", `{"name":"A","categories":["Shoes"]}`))
	if got := held(t, shop, "A").Categories; len(got) != 1 || got[0].ID != id {
		t.Errorf("categories of A: %+v", got)
	}
	ok(t, c, content("A", `{"name":"A"}`))
	if got := held(t, shop, "A").Categories; len(got) != 1 || got[0].Name != "Uncategorized" {
		t.Errorf("categories of A: %+v", got)
	}
}

func TestCategoriesAtOnce(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			if _, err := c.Push(t.Context(), []connectors.Item{content(pim.SKU(fmt.Sprint("S", i)), `{"name":"A","categories":["A > B > C"]}`)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := shop.Counts().Categories; got != 4 {
		t.Errorf("categories %q", shop.Categories())
	}
}

func TestWithdrawAsDraft(t *testing.T) {
	for set, want := range map[string][2]string{"draft": {"draft", "private"}, "private": {"private", "private"}} {
		shop, c := start(t, woocommercetest.Options{}, func(c *woocommerce.Config) { c.OnWithdraw = set })
		ok(t, c, content("P", `{"name":"P"}`), variant("v", "P", "Red"), content("A", `{"name":"A"}`))
		ok(t, c, upsert(pim.Offer, "A", `{"regular_price":"1.00","stock":5}`))
		for range 2 {
			for _, r := range ok(t, c, withdraw("A"), withdraw("v"), withdraw("unknown")) {
				if r.Status != connectors.Accepted {
					t.Errorf("a withdrawal is %s", r.Status)
				}
			}
		}
		a, v := held(t, shop, "A"), held(t, shop, "v")
		if a.Status != want[0] || v.Status != want[1] || *a.StockQuantity != 5 || a.RegularPrice != "1.00" {
			t.Errorf("%s: %s and %s, stock %d", set, a.Status, v.Status, *a.StockQuantity)
		}
		ok(t, c, content("A", `{"name":"A","status":"publish"}`))
		if got := held(t, shop, "A").Status; got != "publish" {
			t.Errorf("back, it is %s", got)
		}
	}
}

// Somebody works in the shop's own pages.
func TestChangedInTheShop(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	ok(t, c, content("A", `{"name":"A"}`), content("B", `{"name":"B"}`), content("P", `{"name":"P"}`), variant("v", "P", "Red"))
	shop.Delete("A")
	if got := says(push(t, c, upsert(pim.Offer, "A", `{"regular_price":"1.00"}`))[0]); got != "conflict woocommerce.missing/" {
		t.Errorf("the price of what was deleted: %s", got)
	}
	shop.Delete("v")
	shop.Delete("B")
	results := ok(t, c, content("A", `{"name":"A"}`), content("B", `{"name":"B2"}`), variant("v", "P", "Blue"))
	for i, r := range results {
		if !r.Anew || len(r.Issues) > 0 {
			t.Errorf("made anew, of item %d: %+v", i, r)
		}
	}
	if held(t, shop, "B").Name != "B2" || held(t, shop, "v").Choices()[0].Option != "Blue" {
		t.Error("they are not what was sent")
	}
	// The parent is gone, and its variations with it.
	shop.Delete("P")
	if got := says(push(t, c, variant("v", "P", "Red"))[0]); got != "conflict" {
		t.Errorf("a variant whose parent was deleted: %s", got)
	}
	if got := says(push(t, c, upsert(pim.Offer, "v", `{}`))[0]); got != "conflict woocommerce.missing/" {
		t.Errorf("the offer of a variant whose parent was deleted: %s", got)
	}
	// An id that has another SKU by now is not ours.
	shop.Edit("B", func(p *woocommercetest.Product) { p.SKU = "other" })
	id := shop.Add(woocommercetest.Product{SKU: "B", Name: "by hand"})
	ok(t, c, upsert(pim.Offer, "B", `{"regular_price":"3.00"}`))
	if b := held(t, shop, "B"); b.ID != id || b.RegularPrice != "3.00" {
		t.Errorf("the price went to another: %+v", b)
	}
	shop.Edit("B", func(p *woocommercetest.Product) { p.SKU = "another" })
	shop.Add(woocommercetest.Product{SKU: "B", Name: "by hand once more"})
	if r := ok(t, c, content("B", `{"name":"B3"}`))[0]; !r.Anew || held(t, shop, "B").Name != "B3" {
		t.Errorf("one that is not the one we knew: %+v", r)
	}
	// A product that somebody made variable keeps its variations' attributes.
	shop.Edit("A", func(p *woocommercetest.Product) {
		p.Type, p.Attributes = "variable", []woocommercetest.Attribute{{ID: 7, Name: "Size", Variation: true, Options: []string{"L"}}}
	})
	ok(t, connect(t, shop, 0, nil), content("A", `{"name":"A","attributes":{"Cloth":"Wool"}}`), variant("w", "A", "Red"))
	ok(t, c, content("w2", `{"parent":"A","axes":{"Size":"XL","colour":"Red"}}`))
	if got := fmt.Sprint(held(t, shop, "A").Attributes); got != "[{0 Cloth cloth 0 true false [Wool]} {7 Size size 1 false true [L XL]} {0 Colour colour 2 true true [Red]}]" {
		t.Errorf("attributes: %s", got)
	}
}

// A create whose answer was lost is found by the next push; one that somebody
// else made after our look-up is updated.
func TestNoDuplicates(t *testing.T) {
	var shop *woocommercetest.Server
	var once sync.Once
	wrap := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/batch") {
				once.Do(func() { shop.Add(woocommercetest.Product{SKU: "A", Name: "theirs"}) })
			}
			h.ServeHTTP(w, r)
		})
	}
	shop, c := start(t, woocommercetest.Options{Wrap: wrap}, nil)
	ok(t, c, content("A", `{"name":"ours"}`), content("B", `{"name":"B"}`))
	if got := held(t, shop, "A").Name; got != "ours" || shop.Counts().Products != 2 {
		t.Errorf("A is %q, %d products", got, shop.Counts().Products)
	}
	shop.Script(woocommercetest.Fault{Kind: woocommercetest.Lose, Times: 1})
	if _, err := c.Push(t.Context(), []connectors.Item{content("C", `{"name":"C"}`)}); connectors.Certain(err) {
		t.Errorf("a lost answer: %v", err)
	}
	ok(t, c, content("C", `{"name":"C"}`))
	// The shop compares without regard to case; ours are two SKUs.
	if got := says(push(t, c, content("c", `{"name":"c"}`))[0]); got != "validation product_invalid_sku/sku" {
		t.Errorf("a SKU that differs in case: %s", got)
	}
	if n := shop.Counts().Products; n != 3 {
		t.Errorf("%d products", n)
	}
}

// A SKU that comes back as something else: what the other lanes wrote goes along.
func TestMoves(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	ok(t, c, content("P", `{"name":"P"}`), content("Q", `{"name":"Q"}`), content("X", `{"name":"X"}`), variant("v", "P", "Red"))
	ok(t, c, upsert(pim.Offer, "X", `{"regular_price":"9.90","sale_price":"8.90","date_on_sale_to_gmt":"2999-01-01T00:00:00Z","stock":4,"backorders":"yes"}`), upsert(pim.Offer, "v", `{"regular_price":"5.00"}`))
	ok(t, c, upsert(pim.Media, "X", `{"images":["https://x.example/x.jpg"]}`), upsert(pim.Media, "v", `{"images":["https://x.example/v.jpg"]}`))
	price, picture := shop.HeldLane("X", pim.Offer), shop.HeldLane("X", pim.Media)
	// What moves is made anew, so the hub sends its other lanes again; P stays.
	if r := ok(t, c, variant("X", "Q", "Green"), variant("v", "Q", "Red"), content("P", `{"name":"P2"}`)); !r[0].Anew || !r[1].Anew || r[2].Anew {
		t.Errorf("made anew: %v, %v, and the parent that was left %v", r[0].Anew, r[1].Anew, r[2].Anew)
	}
	if x, v, q := held(t, shop, "X"), held(t, shop, "v"), held(t, shop, "Q"); x.ParentID != q.ID || v.ParentID != q.ID || len(held(t, shop, "P").Variations) != 0 {
		t.Errorf("X is below %d, v below %d, Q is %d", x.ParentID, v.ParentID, q.ID)
	}
	if shop.HeldLane("X", pim.Offer) != price || shop.HeldLane("X", pim.Media) != picture || held(t, shop, "v").RegularPrice != "5.00" {
		t.Errorf("it came without its offer: %s, %s", shop.HeldLane("X", pim.Offer), shop.HeldLane("X", pim.Media))
	}
	ok(t, c, content("X", `{"name":"X alone"}`))
	if x := held(t, shop, "X"); x.Type != "simple" || x.Name != "X alone" || shop.HeldLane("X", pim.Offer) != price || shop.HeldLane("X", pim.Media) != picture {
		t.Errorf("back alone: %s, %s, %s", x.Type, shop.HeldLane("X", pim.Offer), shop.HeldLane("X", pim.Media))
	}
	if got := says(push(t, c, variant("Q", "P", "Red"))[0]); got != "validation woocommerce.kind/parent" {
		t.Errorf("a product with variations as a variant: %s", got)
	}
}

// A failure after something was written is the failure of what was not.
func TestPartly(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	var items []connectors.Item
	for _, p := range []pim.SKU{"P1", "P2", "P3"} {
		items = append(items, content(p, `{"name":"P"}`), variant(p+"-v", p, "Red"))
	}
	shop.Script(woocommercetest.Fault{Kind: woocommercetest.Throttle, After: 9 * time.Second, Skip: 2})
	results := push(t, c, items...)
	var got []string
	for _, r := range results {
		got = append(got, says(r))
	}
	if want := []string{"live", "live", "live", "throttled", "live", "throttled"}; !slices.Equal(got, want) {
		t.Errorf("results %q", got)
	}
	if e := connectors.AsError(results[5].Err); e.After != 9*time.Second {
		t.Errorf("come back after %s", e.After)
	}
	shop.Script(woocommercetest.Fault{Kind: woocommercetest.Lose, Skip: 2, Times: 1})
	results = push(t, c, items...)
	if got := says(results[3]) + ", " + says(results[5]); got != "unavailable?, unavailable" {
		t.Errorf("after a lost answer: %s", got)
	}
	ok(t, c, items...)
	if n := shop.Counts().Products; n != 6 {
		t.Errorf("%d products", n)
	}
}

func TestOddSKUs(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	odd := []pim.SKU{"A,B", "A", "B", "a b/c?d&e=f", "Größe+1", `"quoted"`, "50% off", "O'Neil\\x"}
	for range 2 {
		c := connect(t, shop, 0, nil)
		items := make([]connectors.Item, len(odd))
		for i, sku := range odd {
			items[i] = content(sku, `{"name":"A"}`)
		}
		ok(t, c, items...)
	}
	if n := shop.Counts().Products; n != len(odd) {
		t.Errorf("%d products of %d", n, len(odd))
	}
	for _, sku := range []pim.SKU{"0", "a<b", "a%20b", "a  b", pim.SKU(strings.Repeat("x", 101))} {
		if got := says(push(t, c, content(sku, `{"name":"A"}`))[0]); got != "validation woocommerce.sku/sku" {
			t.Errorf("the SKU %q: %s", sku, got)
		}
		if got := says(push(t, c, withdraw(sku))[0]); got != "accepted" {
			t.Errorf("the SKU %q withdrawn: %s", sku, got)
		}
	}
	long := make([]connectors.Item, 100)
	for i := range long {
		long[i] = content(pim.SKU(fmt.Sprintf("%s-%03d", strings.Repeat("ä", 90), i)), `{"name":"A"}`)
	}
	ok(t, c, long...)
	twice := ok(t, c, content("T", `{"name":"1"}`), content("T", `{"name":"2"}`))
	if held(t, shop, "T").Name != "2" || len(twice) != 2 {
		t.Error("of one SKU twice in a call, the first was last")
	}
}
