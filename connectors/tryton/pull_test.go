package tryton_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/tryton"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/pim"
)

// failer is what pulled needs of a test.
type failer interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
}

// pulled pulls until there is no more, and gives all rows.
func pulled(t failer, c connectors.Connector, cursor string) *connectors.Pulled {
	t.Helper()
	all := &connectors.Pulled{}
	for range 1000 {
		p, err := c.(connectors.Puller).Pull(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		all.Prices, all.Stock, cursor = append(all.Prices, p.Prices...), append(all.Stock, p.Stock...), p.Cursor
		if all.Cursor = cursor; !p.More {
			return all
		}
	}
	t.Fatal("pulling does not end")
	return nil
}

// store is a hub's prices and stock.
type store map[string]string

func (s store) take(p *connectors.Pulled) {
	for _, r := range p.Prices {
		key := fmt.Sprintf("%s %s %s %d", r.SKU, r.PriceList, r.Currency, r.MinQuantity)
		if s[key] = r.Amount.String(); r.Delete {
			delete(s, key)
		}
	}
	for _, r := range p.Stock {
		s[fmt.Sprintf("%s at %s", r.SKU, r.Location)] = fmt.Sprintf("%d/%d", r.OnHand, r.Reserved)
	}
}

func (s store) String() string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(s)) {
		lines = append(lines, k+" = "+s[k])
	}
	return strings.Join(lines, "\n")
}

// must ends the test on an error.
func must(t failer, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// source is a fake with a connector that reads everything.
func source(t *testing.T, opts trytontest.Options) (*trytontest.Server, connectors.Connector) {
	return start(t, opts, func(c *tryton.Config) {
		c.PriceList, c.PriceLists, c.Locations = "default", map[string]string{"trade": "Trade"}, map[string]string{"main": "WH", "in": "Input Zone"}
	})
}

func TestPull(t *testing.T) {
	fake, c := source(t, trytontest.Options{})
	fake.SetPriceList("Trade", trytontest.Line{Quantity: 9.5, Factor: "0.8"}, trytontest.Line{Factor: "0.3333333"})
	must(t, fake.Add("", "A", "A", "12.5"))
	must(t, fake.Add("", "NULL", "no price yet", ""))
	must(t, fake.Add("", "ZERO", "no price any more", "0"))
	move := func(from, to trytontest.Zone, n float64, state string) int64 {
		t.Helper()
		id, err := fake.Move("A", from, to, n, state)
		must(t, err)
		return id
	}
	move(trytontest.Supplier, trytontest.Storage, 20.9, "done")
	move(trytontest.Supplier, trytontest.Input, 3, "done")
	reserved := move(trytontest.Storage, trytontest.Customer, 5, "assigned")
	move(trytontest.Storage, trytontest.Customer, 100, "draft")

	hub := store{}
	p := pulled(t, c, "")
	hub.take(p)
	if want := `A at in = 3/0
A at main = 20/5
A default EUR 1 = 12.50
A trade EUR 1 = 4.1667
A trade EUR 10 = 10.00
NULL at in = 0/0
NULL at main = 0/0
ZERO at in = 0/0
ZERO at main = 0/0`; hub.String() != want {
		t.Errorf("\n%s\nwant\n%s", hub, want)
	}

	next := func(want ...string) {
		t.Helper()
		p = pulled(t, c, p.Cursor)
		before := maps.Clone(hub)
		hub.take(p)
		var got []string
		for k := range maps.Keys(before) {
			if _, ok := hub[k]; !ok {
				got = append(got, "no "+k)
			}
		}
		for k, v := range hub {
			if before[k] != v {
				got = append(got, k+" = "+v)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("changed: %q, want %q", got, want)
		}
	}
	next()
	must(t, fake.SetListPrice("A", "20"))
	next("A default EUR 1 = 20.00", "A trade EUR 1 = 6.6667", "A trade EUR 10 = 16.00")
	fake.Done(reserved)
	next("A at main = 15/0")
	fake.SetPriceList("Trade", trytontest.Line{Quantity: 5, Factor: "0.5"}, trytontest.Line{Factor: "0.9"})
	next("A trade EUR 1 = 18.00", "A trade EUR 5 = 10.00", "no A trade EUR 10")
	must(t, fake.SetListPrice("A", "0.00004")) // less than a price can say
	next("no A default EUR 1", "no A trade EUR 1", "no A trade EUR 5")
	must(t, fake.SetListPrice("A", "7"))
	next("A default EUR 1 = 7.00", "A trade EUR 1 = 6.30", "A trade EUR 5 = 3.50")
	must(t, fake.SetActive("A", false))
	next("A at in = 0/0", "A at main = 0/0")
	must(t, fake.SetActive("A", true))
	next("A at in = 3/0", "A at main = 15/0")
	must(t, fake.Add("", "B", "B", "1"))
	next("B at in = 0/0", "B at main = 0/0", "B default EUR 1 = 1.00", "B trade EUR 1 = 0.90", "B trade EUR 5 = 0.50")
}

// Where only what moved is read, Tryton's 0 of a product that it never saw does
// not take away the stock that this product has here; a real 0 does.
func TestOnlyMoved(t *testing.T) {
	fake, c := start(t, trytontest.Options{Warehouses: []string{"north"}}, func(c *tryton.Config) {
		c.Locations, c.OnlyMoved = map[string]string{"main": "WH", "north": "north"}, true
	})
	for _, sku := range []string{"NEW", "SOLD", "HERE", "GONE"} {
		must(t, fake.Add("", sku, sku, ""))
	}
	for range 201 { // more moves than a page holds
		must(t, fake.Count("SOLD", "WH", 1))
		must(t, fake.Count("SOLD", "WH", 0))
	}
	must(t, fake.Know("HERE", trytontest.Opening{Stock: map[string]trytontest.Level{"north": {OnHand: 7, Reserved: 2}}}))
	must(t, fake.Know("GONE", trytontest.Opening{Stock: map[string]trytontest.Level{"north": {OnHand: 3}}}))
	must(t, fake.SetActive("GONE", false))
	must(t, fake.SetActive("NEW", false))
	hub := store{"NEW at main": "12/0"}
	p := pulled(t, c, "")
	hub.take(p)
	const want = "GONE at north = 0/0\nHERE at north = 7/2\nNEW at main = 12/0\nSOLD at main = 0/0"
	if got := hub.String(); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	must(t, fake.SetActive("NEW", true))
	must(t, fake.Count("HERE", "", 0))
	p = pulled(t, c, p.Cursor)
	hub.take(p)
	if got, want := hub.String(), strings.Replace(want, "7/2", "0/0", 1); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
}

// What was committed late, dated before the last pass began, is found by the next
// wide pass where its transaction was shorter than the overlap.
func TestLateCommit(t *testing.T) {
	fake, c := source(t, trytontest.Options{})
	fake.SetPriceList("Trade", trytontest.Line{Factor: "1"})
	fake.SetClock(func() time.Time { return time.Now().Add(-2 * time.Hour) })
	must(t, fake.Add("", "A", "A", "1"))
	fake.SetClock(time.Now)
	hub := store{}
	p := pulled(t, c, "")
	hub.take(p)
	fake.SetClock(func() time.Time { return time.Now().Add(-4 * time.Minute) }) // the default overlap is 5
	must(t, fake.SetListPrice("A", "2"))
	fake.SetClock(time.Now)
	p = pulled(t, c, widen(t, p.Cursor))
	if hub.take(p); hub["A default EUR 1"] != "2.00" {
		t.Error("the change is not found")
	}
	// So it is after a wide pass: the next goes back by the overlap again.
	fake.SetClock(func() time.Time { return time.Now().Add(-4 * time.Minute) })
	must(t, fake.SetListPrice("A", "2.5"))
	fake.SetClock(time.Now)
	p = pulled(t, c, widen(t, p.Cursor))
	if hub.take(p); hub["A default EUR 1"] != "2.50" {
		t.Error("the second change is not found")
	}
	// Later than the overlap only reading everything finds it.
	fake.SetClock(func() time.Time { return time.Now().Add(-time.Hour) })
	must(t, fake.SetListPrice("A", "3"))
	fake.SetClock(time.Now)
	p = pulled(t, c, widen(t, p.Cursor))
	if hub.take(p); hub["A default EUR 1"] != "2.50" {
		t.Fatal("a pass went back that far; reading everything is not tried")
	}
	fake.SetClock(func() time.Time { return time.Now().Add(25 * time.Hour) })
	p = pulled(t, c, p.Cursor)
	if hub.take(p); hub["A default EUR 1"] != "3.00" {
		t.Error("everything is not read after a day")
	}
}

// widen makes the next pass a wide one: the cursor's own clock goes back.
func widen(t failer, cursor string) string {
	t.Helper()
	var place map[string]any
	if err := json.Unmarshal([]byte(cursor), &place); err != nil {
		t.Fatal(err)
	}
	place["wide_at"] = time.Now().Add(-time.Hour)
	raw, err := json.Marshal(place)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Prices depend on more of a template than its list price.
func TestTemplateChanges(t *testing.T) {
	fake, c := source(t, trytontest.Options{})
	fake.SetPriceList("Trade", trytontest.Line{Factor: "1"})
	old := time.Now().Add(-time.Hour)
	fake.SetClock(func() time.Time { return old })
	must(t, fake.Add("", "A", "A", "1"))
	fake.SetClock(time.Now)
	hub := store{}
	p := pulled(t, c, "")
	hub.take(p)
	must(t, fake.SetSalable("A", false))
	if hub.take(pulled(t, c, p.Cursor)); hub["A trade EUR 1"] != "" || hub["A default EUR 1"] != "1.00" {
		t.Errorf("not for sale any more:\n%s", hub)
	}
}

// However changes and pulls meet, what was read in pieces is what reading
// everything gives.
func TestPullConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		fake := trytontest.New(trytontest.Options{Password: password})
		srv := httptest.NewServer(fake)
		defer srv.Close()
		config := tryton.Config{
			URL: srv.URL, Database: fake.Database(), User: fake.User(), Password: password,
			PriceList: "default", PriceLists: map[string]string{"trade": "Trade"}, Locations: map[string]string{"main": "WH"},
		}
		c := connect(t, config, 5)
		now := time.Now()
		fake.SetClock(func() time.Time { now = now.Add(time.Millisecond); return now })
		fake.SetPriceList("Trade", trytontest.Line{Factor: "1"})
		skus := []pim.SKU{"A", "B", "C"}
		for _, sku := range skus {
			must(rt, fake.Add("", string(sku), "x", "1"))
		}
		hub, cursor := store{}, ""
		pull := func() {
			p, err := c.(connectors.Puller).Pull(rt.Context(), cursor)
			must(rt, err)
			hub.take(p)
			cursor = p.Cursor
		}
		sku := rapid.SampledFrom(skus)
		amount := rapid.SampledFrom([]string{"1", "2.5", "0", "19.99"})
		rt.Repeat(map[string]func(*rapid.T){
			"pull":   func(*rapid.T) { pull() },
			"price":  func(rt *rapid.T) { must(rt, fake.SetListPrice(sku.Draw(rt, "sku"), amount.Draw(rt, "amount"))) },
			"active": func(rt *rapid.T) { must(rt, fake.SetActive(sku.Draw(rt, "sku"), rapid.Bool().Draw(rt, "active"))) },
			"move": func(rt *rapid.T) {
				_, err := fake.Move(sku.Draw(rt, "sku"), trytontest.Supplier, trytontest.Storage, 1, "done")
				must(rt, err)
			},
			"list": func(rt *rapid.T) {
				fake.SetPriceList("Trade", trytontest.Line{Quantity: float64(rapid.IntRange(2, 4).Draw(rt, "from")), Factor: "0.5"}, trytontest.Line{Factor: "0.9"})
			},
			"expire": func(*rapid.T) { fake.ExpireSessions() },
			"wide":   func(rt *rapid.T) { cursor = wideOrBegin(rt, cursor) },
			"wait":   func(*rapid.T) { now = now.Add(10 * time.Second) },
		})
		now = now.Add(time.Minute)
		hub.take(pulled(rt, c, cursor))
		whole := store{}
		whole.take(pulled(rt, c, ""))
		// What an inactive product's price was stays; it is not spoken of.
		for k := range hub {
			p, _ := fake.Product(pim.SKU(k[:1]))
			if _, ok := whole[k]; !ok && !p.Active {
				delete(hub, k)
			}
		}
		if hub.String() != whole.String() {
			rt.Fatalf("in pieces:\n%s\nat once:\n%s", hub, whole)
		}
	})
}

func wideOrBegin(rt *rapid.T, cursor string) string {
	if cursor == "" {
		return ""
	}
	return widen(rt, cursor)
}

// Pages: more products than one holds, and changes that come while everything is
// being read are not behind it.
func TestPages(t *testing.T) {
	fake, c := source(t, trytontest.Options{})
	fake.SetPriceList("Trade", trytontest.Line{Factor: "1"})
	const n = 450
	for i := range n {
		must(t, fake.Add("", fmt.Sprintf("N%03d", i), "x", "1"))
	}
	hub := store{}
	first, err := c.(connectors.Puller).Pull(t.Context(), "")
	must(t, err)
	if hub.take(first); !first.More || hub["N000 default EUR 1"] != "1.00" || hub["N449 default EUR 1"] != "" {
		t.Fatalf("%d rows, more %v", len(first.Prices), first.More)
	}
	must(t, fake.SetListPrice("N000", "9"))
	p := pulled(t, c, first.Cursor)
	hub.take(p)
	p = pulled(t, c, p.Cursor)
	if hub.take(p); hub["N000 default EUR 1"] != "9.00" || len(hub) != n*4 {
		t.Errorf("%s, %d rows", hub["N000 default EUR 1"], len(hub))
	}
	// One pass of more than a page: all of it is told.
	for i := range n {
		must(t, fake.SetListPrice(pim.SKU(fmt.Sprintf("N%03d", i)), "5"))
	}
	p = pulled(t, c, p.Cursor)
	hub.take(p)
	for i := range n {
		if got := hub[fmt.Sprintf("N%03d default EUR 1", i)]; got != "5.00" {
			t.Fatalf("N%03d: %s", i, got)
		}
	}
	// A cursor that is none of ours is the beginning.
	for _, cursor := range []string{"{", "null", `"x"`, `{"since":7}`} {
		if all := pulled(t, c, cursor); len(all.Stock) != 2*n {
			t.Errorf("%s: %d rows", cursor, len(all.Stock))
		}
	}
}

// One product whose price Tryton cannot compute keeps no other from its own.
func TestUncomputablePrice(t *testing.T) {
	fake, c := source(t, trytontest.Options{})
	fake.SetPriceList("Trade", trytontest.Line{Factor: "0.5", Broken: true})
	for _, sku := range []string{"A", "BROKEN", "C"} {
		must(t, fake.Add("", sku, "x", "10"))
	}
	hub := store{}
	hub.take(pulled(t, c, ""))
	if hub["A trade EUR 1"] != "5.00" || hub["C trade EUR 1"] != "5.00" || hub["BROKEN trade EUR 1"] != "" || hub["BROKEN default EUR 1"] != "10.00" {
		t.Errorf("\n%s", hub)
	}
}

// A product that was deactivated while another took its code over says nothing.
// What is wrong with the database is not taken for a price that cannot be
// computed: the product would be passed over.
func TestDatabaseGoesWhilePricesAreRead(t *testing.T) {
	fake, c := source(t, trytontest.Options{})
	fake.SetPriceList("Trade", trytontest.Line{Factor: "0.5"})
	must(t, fake.Add("", "A", "A", "10"))
	for _, body := range []string{`["terminating connection due to administrator command\n",""]`, `["could not serialize access due to read/write dependencies",""]`} {
		fake.Script(trytontest.Fault{Kind: trytontest.Answer, Method: "model.product.product.read", Times: 1, Body: body})
		page, err := c.(connectors.Puller).Pull(t.Context(), "")
		if err == nil || connectors.AsError(err).Verdict != connectors.Unavailable {
			t.Errorf("%s: %+v, %v", body, page, err)
		}
	}
	hub := store{}
	if hub.take(pulled(t, c, "")); hub["A trade EUR 1"] != "5.00" {
		t.Errorf("\n%s", hub)
	}
}

func TestInactiveTwinStock(t *testing.T) {
	fake, c := source(t, trytontest.Options{})
	fake.SetPriceList("Trade")
	must(t, fake.Add("", "TWIN", "old", "1"))
	must(t, fake.SetActive("TWIN", false))
	must(t, fake.Add("", "TWIN", "new", "2"))
	_, err := fake.Move("TWIN", trytontest.Supplier, trytontest.Storage, 4, "done")
	must(t, err)
	hub := store{}
	hub.take(pulled(t, c, ""))
	if hub["TWIN at main"] != "4/0" || hub["TWIN default EUR 1"] != "2.00" {
		t.Errorf("\n%s", hub)
	}
}

func TestPullSetUp(t *testing.T) {
	for name, c := range map[string]struct {
		opts   trytontest.Options
		change func(*tryton.Config)
		text   string
	}{
		"no such list":     {change: func(c *tryton.Config) { c.PriceLists = map[string]string{"x": "Nope"} }, text: `"Nope" for "x": there is none`},
		"no such location": {change: func(c *tryton.Config) { c.Locations = map[string]string{"x": "77"} }, text: `"77" for "x": there is none`},
		"no module": {
			opts: trytontest.Options{NoSale: true}, text: "product.sale.context",
			change: func(c *tryton.Config) { c.PriceLists = map[string]string{"x": "Trade"} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := start(t, c.opts, c.change)
			_, err := conn.(connectors.Puller).Pull(t.Context(), "")
			if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Auth && e.Verdict != connectors.Unavailable || e.Uncertain || !strings.Contains(e.Error(), c.text) {
				t.Errorf("%v", err)
			}
		})
	}
	fake, c := start(t, trytontest.Options{}, func(c *tryton.Config) { c.Locations = map[string]string{"a": "3", "b": "STO", "c": "Storage Zone"} })
	must(t, fake.Add("", "A", "x", ""))
	hub := store{}
	hub.take(pulled(t, c, ""))
	if hub.String() != "A at a = 0/0\nA at b = 0/0\nA at c = 0/0" {
		t.Errorf("\n%s", hub)
	}
}

// Without the server's clock changes cannot be followed: that is said.
func TestPullWithoutDate(t *testing.T) {
	fake, _ := start(t, trytontest.Options{}, nil)
	target, err := url.Parse(fake.URL())
	must(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error { r.Header["Date"] = nil; return nil },
	})
	defer proxy.Close()
	undated := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil // net/http adds none then
		req, err := http.NewRequestWithContext(r.Context(), r.Method, proxy.URL+r.URL.Path, r.Body)
		if err != nil {
			return
		}
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	defer undated.Close()
	config := configOf(fake)
	config.URL, config.PriceList = undated.URL, "default"
	_, err = connect(t, config, 5).(connectors.Puller).Pull(t.Context(), "")
	if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Permanent || !strings.Contains(e.Error(), "Date") {
		t.Errorf("%v", err)
	}
}

// A fault in the middle of a pass leaves the cursor where it was, and the next
// pull tells all of it.
func TestPullFaults(t *testing.T) {
	fake, c := source(t, trytontest.Options{})
	fake.SetPriceList("Trade", trytontest.Line{Factor: "1"})
	must(t, fake.Add("", "A", "x", "1"))
	cursor := pulled(t, c, "").Cursor
	must(t, fake.SetListPrice("A", "2"))
	for _, f := range []struct {
		fault     trytontest.Fault
		verdict   connectors.Verdict
		uncertain bool
	}{
		{trytontest.Fault{Kind: trytontest.Fail, Method: "model.product.product.read"}, connectors.Unavailable, false},
		{trytontest.Fault{Kind: trytontest.Lose, Method: "model.stock.move.search_read"}, connectors.Unavailable, false},
		{trytontest.Fault{Kind: trytontest.Garbage, Method: "model.product.product.search_read"}, connectors.Unavailable, false},
		{trytontest.Fault{Kind: trytontest.Throttle, After: 3 * time.Second}, connectors.Throttled, false},
	} {
		fake.Script(f.fault)
		_, err := c.(connectors.Puller).Pull(t.Context(), cursor)
		if e := connectors.AsError(err); err == nil || e.Verdict != f.verdict || e.Uncertain != f.uncertain || f.fault.After != e.After {
			t.Errorf("%s: %v", f.fault.Kind, err)
		}
	}
	fake.Up()
	hub := store{}
	if hub.take(pulled(t, c, cursor)); hub["A default EUR 1"] != "2.00" {
		t.Errorf("\n%s", hub)
	}
}
