//go:build real

// These tests run against a Tryton 6.0 that is up, with the modules product,
// stock, sale, product_price_list and sale_price_list:
//
//	TRYTON_URL=http://127.0.0.1:8000 TRYTON_DATABASE=tryton TRYTON_PASSWORD=… go test -tags real -run Real -v ./connectors/tryton
//
// TRYTON_USER (admin) is an administrator, who makes a user of ours, products
// and moves; the database needs a company. TRYTON_HOOK_LISTEN is the host:port to
// which Tryton's module posts changed list prices, with ?secret=TRYTON_HOOK_SECRET;
// without it the hook is left out. TRYTON_RECORD names a file to write what was
// said to, for the contract test.
package tryton_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/tryton"
	"github.com/sluicehub/sluice/pim"
)

// rowsOf are the rows of one SKU, as text.
func rowsOf(p *connectors.Pulled, sku pim.SKU) (rows []string) {
	for _, r := range p.Prices {
		if r.SKU == sku && r.Delete {
			rows = append(rows, fmt.Sprintf("%s %s %d removed", r.PriceList, r.Currency, r.MinQuantity))
		} else if r.SKU == sku {
			rows = append(rows, fmt.Sprintf("%s %s %d %s", r.PriceList, r.Currency, r.MinQuantity, r.Amount))
		}
	}
	for _, r := range p.Stock {
		if r.SKU == sku {
			rows = append(rows, fmt.Sprintf("%s %d/%d", r.Location, r.OnHand, r.Reserved))
		}
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}

// pullAll pulls until there is no more, and gives all rows.
func pullAll(t *testing.T, c connectors.Puller, cursor string) (*connectors.Pulled, int) {
	t.Helper()
	all := &connectors.Pulled{}
	for pages := 1; ; pages++ {
		p, err := c.Pull(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		all.Prices, all.Stock, cursor = append(all.Prices, p.Prices...), append(all.Stock, p.Stock...), p.Cursor
		if all.Cursor = cursor; !p.More {
			return all, pages
		}
		if pages > 10_000 {
			t.Fatal("pulling does not end")
		}
	}
}

func TestRealTryton(t *testing.T) {
	admin := openReal(t)
	stamp := time.Now().Format("150405.000")
	const login, secret = "sluice-contract", "Zw7!mPq4#xRt-9"
	admin.ours(login, secret)

	// Everything the connector says goes through a recorder.
	target, err := url.Parse(admin.url)
	if err != nil {
		t.Fatal(err)
	}
	recorder := &connectortest.Recorder{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}}
	proxy := httptest.NewServer(recorder)
	defer proxy.Close()

	// A price list with two quantities.
	listName := "Test " + stamp
	var lists []int64
	admin.model("product.price_list.create", &lists, []any{map[string]any{"name": listName, "company": admin.company, "lines": []any{[]any{"create", []any{
		map[string]any{"sequence": 1, "quantity": 10, "formula": "list_price*0.8"},
		map[string]any{"sequence": 2, "formula": "list_price*0.9"},
	}}}}})

	hook := env("TRYTON_HOOK_SECRET", "hook-secret-for-the-real-one")
	config := tryton.Config{
		URL: proxy.URL, Database: admin.db, User: login, Password: secret,
		PriceList: "default", PriceLists: map[string]string{"test": listName}, Locations: map[string]string{"main": "WH"}, HookSecret: hook,
	}
	c := connect(t, config, 50)
	source := c.(connectors.Puller)
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}

	sku := func(name string) pim.SKU { return pim.SKU("T" + stamp + "-" + name) }
	push := func(items ...connectors.Item) []connectors.Result {
		t.Helper()
		results, err := c.Push(t.Context(), items)
		if err != nil {
			t.Fatal(err)
		}
		return results
	}
	upsert := func(sku pim.SKU, doc string) connectors.Item {
		return connectors.Item{SKU: sku, Lane: pim.Content, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(doc)}
	}
	type held struct {
		ID          int64
		Code        string
		Active      bool
		Description *string
		ListPrice   any `json:"list_price"`
		WriteDate   any `json:"write_date"`
		Template    struct {
			ID        int64
			Name      string
			Active    bool
			WriteDate any `json:"write_date"`
		} `json:"template."`
		Identifiers []struct{ Type, Code string } `json:"identifiers."`
	}
	find := func(sku pim.SKU) held {
		t.Helper()
		var found []held
		admin.model("product.product.search_read", &found, []any{[]any{"code", "=", sku}, []any{"active", "in", []bool{true, false}}}, 0, 10, nil,
			[]string{"code", "active", "description", "list_price", "write_date", "template.name", "template.active", "template.write_date", "identifiers.type", "identifiers.code"})
		if len(found) != 1 {
			t.Fatalf("%s: %d products", sku, len(found))
		}
		return found[0]
	}

	t.Run("products go out", func(t *testing.T) {
		items := []connectors.Item{
			upsert("V"+sku("1"), `{"language":"en-GB","name":"not used","description":"red","parent":"`+string(sku("P"))+`"}`),
			upsert(sku("P"), `{"language":"en-GB","name":"Parent","active":false}`),
			upsert(sku("S"), `{"language":"en-GB","name":"Simple\nthing","description":"a < b","gtin":"4006381333931"}`),
		}
		for i, r := range push(items...) {
			if r.Err != nil || r.Status != connectors.Accepted {
				t.Fatalf("item %d: %+v", i, r)
			}
		}
		parent, variant, simple := find(sku("P")), find("V"+sku("1")), find(sku("S"))
		if variant.Template.ID != parent.Template.ID || parent.Template.Name != "Parent" || parent.Active || !parent.Template.Active || !variant.Active || *variant.Description != "red" {
			t.Errorf("parent %+v, variant %+v", parent, variant)
		}
		if simple.Template.Name != "Simple thing" || *simple.Description != "a < b" || len(simple.Identifiers) != 1 || simple.Identifiers[0].Code != "4006381333931" {
			t.Errorf("simple %+v", simple)
		}
		push(items...)
		if again := find(sku("S")); fmt.Sprint(again) != fmt.Sprint(simple) && (fmt.Sprint(again.WriteDate) != fmt.Sprint(simple.WriteDate) || fmt.Sprint(again.Template.WriteDate) != fmt.Sprint(simple.Template.WriteDate)) {
			t.Errorf("pushed again, %+v became %+v", simple, again)
		}
		push(upsert(sku("S"), `{"language":"en-GB","name":"Renamed","description":""}`))
		if s := find(sku("S")); s.Template.Name != "Renamed" || s.Description != nil && *s.Description != "" {
			t.Errorf("renamed: %+v", s)
		}
		withdraw := func(sku pim.SKU) connectors.Item {
			return connectors.Item{SKU: sku, Lane: pim.Content, Action: connectors.Withdraw}
		}
		for _, r := range push(withdraw(sku("S")), withdraw("V"+sku("1")), withdraw(sku("never"))) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
		if s, v := find(sku("S")), find("V"+sku("1")); s.Active || s.Template.Active || v.Active {
			t.Errorf("withdrawn: %+v, %+v", s, v)
		}
		push(upsert(sku("S"), `{"language":"en-GB","name":"Back"}`), upsert("V"+sku("1"), `{"language":"en-GB","parent":"`+string(sku("P"))+`"}`))
		if s, v := find(sku("S")), find("V"+sku("1")); !s.Active || !s.Template.Active || !v.Active || !v.Template.Active || s.ID != simple.ID {
			t.Errorf("back: %+v, %+v", s, v)
		}
		results := push(upsert(sku("BAD"), `{"language":"en-GB","name":"x","type":"goods","unit":"no such"}`), upsert(sku("S"), `{"language":"en-GB","name":"Good"}`),
			upsert(sku("ORPHAN"), `{"language":"en-GB","parent":"nobody"}`))
		if e := connectors.AsError(results[0].Err); e.Verdict != connectors.Validation || results[1].Err != nil || connectors.AsError(results[2].Err).Verdict != connectors.Conflict {
			t.Errorf("%+v", results)
		}
	})

	t.Run("a session that ended is renewed", func(t *testing.T) {
		admin.ours(login, secret) // a password that is set ends the user's sessions
		if err := c.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		wrong := config
		wrong.Password = "not this one"
		if err := connect(t, wrong, 50).Probe(t.Context()); connectors.AsError(err).Verdict != connectors.Auth {
			t.Errorf("a wrong password: %v", err)
		}
		wrong.Password, wrong.Database = secret, "no_such_database"
		if err := connect(t, wrong, 50).Probe(t.Context()); connectors.AsError(err).Verdict != connectors.Unavailable || !connectors.Certain(err) {
			t.Errorf("a wrong database: %v", err)
		}
	})

	simple := find(sku("S"))
	setPrice := func(amount string) {
		admin.model("product.template.write", nil, []int64{simple.Template.ID}, map[string]any{"list_price": decimalOf(amount)})
	}
	var cursor string
	t.Run("everything is read", func(t *testing.T) {
		setPrice("12.5")
		begun := time.Now()
		all, pages := pullAll(t, source, "")
		cursor = all.Cursor
		want := []string{"default EUR 1 12.50", "main 0/0", "test EUR 1 11.25", "test EUR 10 10.00"}
		if got := rowsOf(all, sku("S")); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		t.Logf("%d price rows, %d stock rows in %d pages, %s", len(all.Prices), len(all.Stock), pages, time.Since(begun).Round(time.Millisecond))
	})

	t.Run("changes are read", func(t *testing.T) {
		next := func(want ...string) {
			t.Helper()
			p, pages := pullAll(t, source, cursor)
			cursor = p.Cursor
			if got := rowsOf(p, sku("S")); !slices.Equal(got, want) {
				t.Errorf("%q in %d pages, want %q", got, pages, want)
			}
		}
		setPrice("20.00")
		next("default EUR 1 20.00", "main 0/0", "test EUR 1 18.00", "test EUR 10 16.00")
		// Stock comes in and some of it is reserved.
		unit, supplier, storage := admin.first("product.uom", []any{"symbol", "=", "u"}), admin.first("stock.location", []any{"type", "=", "supplier"}), admin.first("stock.location", []any{"code", "=", "STO"})
		customer, currency := admin.first("stock.location", []any{"type", "=", "customer"}), admin.first("currency.currency", []any{"code", "=", "EUR"})
		move := func(from, to int64, quantity int) []int64 {
			var ids []int64
			admin.model("stock.move.create", &ids, []any{map[string]any{
				"product": simple.ID, "uom": unit, "quantity": quantity, "from_location": from, "to_location": to,
				"unit_price": decimalOf("3"), "currency": currency, "company": admin.company,
			}})
			return ids
		}
		admin.model("stock.move.do", nil, move(supplier, storage, 20))
		admin.model("stock.move.write", nil, move(storage, customer, 5), map[string]any{"state": "assigned"})
		next("default EUR 1 20.00", "main 20/5", "test EUR 1 18.00", "test EUR 10 16.00")
		// A line of the price list goes: its quantity does, too.
		var read []struct{ Lines []int64 }
		admin.model("product.price_list.read", &read, lists, []string{"lines"})
		admin.model("product.price_list.write", nil, lists, map[string]any{"lines": []any{[]any{"delete", read[0].Lines[:1]}}})
		next("default EUR 1 20.00", "main 20/5", "test EUR 1 18.00", "test EUR 10 removed")
		// A product without a sale unit has no price of a list, and 0 is no price.
		admin.model("product.template.write", nil, []int64{simple.Template.ID}, map[string]any{"list_price": decimalOf("0")})
		next("default EUR 1 removed", "main 20/5", "test EUR 1 removed")
		setPrice("20.00")
		admin.model("product.product.write", nil, []int64{simple.ID}, map[string]any{"active": false})
		next("main 0/0")
		admin.model("product.product.write", nil, []int64{simple.ID}, map[string]any{"active": true})
		next("default EUR 1 20.00", "main 20/5", "test EUR 1 18.00")
	})

	t.Run("a hook makes it quick", func(t *testing.T) {
		address := os.Getenv("TRYTON_HOOK_LISTEN")
		if address == "" {
			t.Log("TRYTON_HOOK_LISTEN is not set: the hook is left out")
			return
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		called := make(chan error, 100)
		hub := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
			header := r.Header.Clone()
			header.Set(connectors.HookQuery, r.URL.RawQuery)
			called <- c.(connectors.Hooker).Hook(header, body)
		})}
		go func() { _ = hub.Serve(l) }()
		defer hub.Close()
		var took []time.Duration
		for i := range 20 {
			amount := fmt.Sprintf("%d.25", 30+i)
			begun := time.Now()
			setPrice(amount)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			select {
			case err := <-called:
				if err != nil {
					t.Fatal(err)
				}
			case <-ctx.Done():
				t.Fatal("Tryton does not call")
			}
			cancel()
			p, _ := pullAll(t, source, cursor)
			took, cursor = append(took, time.Since(begun)), p.Cursor
			if rows := rowsOf(p, sku("S")); !slices.Contains(rows, "default EUR 1 "+amount) {
				t.Fatalf("change %d: %q", i, rows)
			}
		}
		slices.Sort(took)
		t.Logf("from the call that changes a price in Tryton to its row: p50 %s, max %s", took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	})

	t.Run("many", func(t *testing.T) {
		const n = 1000
		begun := time.Now()
		for from := 0; from < n; from += 50 {
			var items []connectors.Item
			for i := from; i < from+50; i++ {
				items = append(items, upsert(sku(fmt.Sprint("M", i)), fmt.Sprintf(`{"language":"en-GB","name":"Thing %d","description":"one of many"}`, i)))
			}
			for _, r := range push(items...) {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
			}
		}
		t.Logf("%d products created, 50 a push: %s", n, time.Since(begun).Round(time.Millisecond))
		begun = time.Now()
		all, pages := pullAll(t, source, "")
		t.Logf("everything read: %d price rows, %d stock rows in %d pages, %s", len(all.Prices), len(all.Stock), pages, time.Since(begun).Round(time.Millisecond))
		begun = time.Now()
		idle, pages := pullAll(t, source, all.Cursor)
		t.Logf("the pass after it: %d price rows in %d pages, %s", len(idle.Prices), pages, time.Since(begun).Round(time.Millisecond))
	})
	t.Run("errors", func(t *testing.T) {
		// What Tryton answers to what is wrong, through the recorder.
		direct := *admin
		direct.url = proxy.URL
		one := map[string]any{"name": "One", "type": "goods", "default_uom": admin.first("product.uom", []any{"symbol", "=", "u"}), "products": []any{[]any{"create", []any{map[string]any{"suffix_code": sku("S")}}}}}
		for _, c := range []struct {
			method, want string
			params       []any
		}{
			{"product.template.create", `["UserError",["Code of active product must be unique.","",null]]`, []any{[]any{one}}},
			{"product.template.create", `["UserError",["A value is required for field \"Default UOM\" in \"Product Template\".","",null]]`, []any{[]any{map[string]any{"name": "x"}}}},
			{"product.template.write", `["UserError",["You are trying to write to records \"999999\" of \"Product Template\" that don't exist anymore.","",null]]`, []any{[]int{999999}, map[string]any{"name": "x"}}},
			{"product.template.read", `["'nosuch'",""]`, []any{[]int64{simple.Template.ID}, []string{"nosuch"}}},
			{"product.nosuch.read", `["'product.nosuch'",""]`, []any{[]int{1}, []string{"id"}}},
		} {
			if got := direct.refused("model."+c.method, append(c.params, direct.words)...); got != c.want {
				t.Errorf("%s: %s, want %s", c.method, got, c.want)
			}
		}
		stale := map[string]any{"company": admin.company, "_timestamp": map[string]string{fmt.Sprint("product.template,", simple.Template.ID): "1.0"}}
		if got := direct.refused("model.product.template.write", []int64{simple.Template.ID}, map[string]any{"name": "x"}, stale); got != `["ConcurrencyException","Records were modified in the meanwhile"]` {
			t.Error(got)
		}
		if got := direct.refused("model.product.template.read", []int64{simple.Template.ID}, []string{"id"}); got != `["Missing context argument",""]` {
			t.Error(got)
		}
		direct.session = ""
		if got := direct.refused("common.db.login", login, map[string]any{}, "en"); !strings.HasPrefix(got, `["LoginException",["password",`) {
			t.Error(got)
		}
	})

	if file := os.Getenv("TRYTON_RECORD"); file != "" {
		record(t, file, recorder.Exchanges(), login, secret)
	}
}
