package tryton_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/tryton"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/pim"
)

func content(sku pim.SKU, doc string) connectors.Item {
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(doc)}
}

func withdraw(sku pim.SKU) connectors.Item {
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: 2, Action: connectors.Withdraw}
}

// pushed pushes and expects every item to be taken.
func pushed(t *testing.T, c connectors.Connector, items ...connectors.Item) []connectors.Result {
	t.Helper()
	results, err := c.Push(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("%s: %v", items[i].SKU, r.Err)
		}
	}
	return results
}

// refusedItem pushes one item that must fail, alone or with the call.
func refusedItem(t *testing.T, c connectors.Connector, item connectors.Item) *connectors.Error {
	t.Helper()
	results, err := c.Push(t.Context(), []connectors.Item{item})
	if err == nil {
		err = results[0].Err
	}
	if err == nil {
		t.Fatalf("%s is taken", item.SKU)
	}
	return connectors.AsError(err)
}

func product(t *testing.T, fake *trytontest.Server, sku pim.SKU) trytontest.Product {
	t.Helper()
	p, ok := fake.Product(sku)
	if !ok {
		t.Fatalf("there is no %s", sku)
	}
	return p
}

// Variants are products of their parent's template, whatever their SKU begins
// with, and in whatever order they come.
func TestVariants(t *testing.T) {
	fake, c := start(t, trytontest.Options{}, nil)
	results := pushed(t, c,
		content("9001", `{"language":"en","name":"not a variant's","description":"red","parent":"SHIRT"}`),
		content("SHIRT", `{"language":"en","name":"Shirt","active":false}`),
		content("SHIRT-B", `{"language":"en","description":"blue","parent":"SHIRT"}`),
	)
	for i, r := range results {
		if !r.Anew {
			t.Errorf("item %d is not called new", i)
		}
	}
	parent, red, blue := product(t, fake, "SHIRT"), product(t, fake, "9001"), product(t, fake, "SHIRT-B")
	if parent.Template != red.Template || red.Template != blue.Template || red.Name != "Shirt" || red.Description != "red" || !red.Active || parent.Active {
		t.Errorf("%+v, %+v, %+v", parent, red, blue)
	}
	if writes := fake.Counts().Writes; writes != 2 {
		t.Errorf("%d writing calls, want one for templates and one for products", writes)
	}
	// Withdrawing the parent leaves its variants; withdrawing all of them and
	// bringing one back works on an inactive template.
	pushed(t, c, withdraw("9001"), withdraw("SHIRT-B"), withdraw("SHIRT"))
	if fake.Active() != 0 {
		t.Error("some are left")
	}
	pushed(t, c, content("9001", `{"language":"en","parent":"SHIRT"}`), content("9002", `{"language":"en","parent":"SHIRT"}`))
	if !product(t, fake, "9001").Active || !product(t, fake, "9002").Active || fake.Active() != 2 {
		t.Errorf("%d are active", fake.Active())
	}

	e := refusedItem(t, c, content("ORPHAN", `{"language":"en","parent":"NOBODY"}`))
	if e.Verdict != connectors.Conflict || e.After <= 0 || e.Uncertain {
		t.Errorf("%+v", e)
	}
	pushed(t, c, content("LONE", `{"language":"en","name":"Lone"}`))
	results = pushed(t, c, content("LONE", `{"language":"en","parent":"SHIRT"}`))
	if len(results[0].Issues) != 1 || results[0].Issues[0].Code != "template.other" || product(t, fake, "LONE").Name != "Lone" {
		t.Errorf("%+v", results[0])
	}
}

// What is equal is not written: a write would move write_date, and come back as
// a change. What the ERP owns and the document leaves out stays.
func TestWritesOnlyDifferences(t *testing.T) {
	fake, c := start(t, trytontest.Options{}, nil)
	if err := fake.Add("AB-", "1", "From the ERP", "9.99"); err != nil {
		t.Fatal(err)
	}
	full := content("AB-1", `{"language":"en","name":"Renamed","description":"text","gtin":"4006381333931"}`)
	pushed(t, c, full)
	written := fake.Counts().Records
	pushed(t, c, full, content("AB-1", `{"language":"en","name":" Renamed\n","gtin":"4006381333931"}`))
	if n := fake.Counts().Records; n != written {
		t.Errorf("%d records were written for nothing", n-written)
	}
	p := product(t, fake, "AB-1")
	if p.Name != "Renamed" || p.Description != "text" || p.ListPrice != "9.99" || !slices.Equal(p.GTINs, []string{"4006381333931"}) {
		t.Errorf("%+v", p)
	}
	pushed(t, c, content("AB-1", `{"language":"en","name":"Renamed","description":"","gtin":"96385074"}`))
	if p := product(t, fake, "AB-1"); p.Description != "" || !slices.Equal(p.GTINs, []string{"96385074"}) {
		t.Errorf("%+v", p)
	}
}

func TestLanguages(t *testing.T) {
	fake, c := start(t, trytontest.Options{Languages: []string{"de", "pt_BR"}}, nil)
	pushed(t, c, content("A", `{"language":"en-GB","name":"Kettle"}`))
	pushed(t, c, content("A", `{"language":"de-AT","name":"Kessel"}`))
	pushed(t, c, content("A", `{"language":"pt-BR","name":"Chaleira"}`), content("B", `{"language":"de","name":"Neu"}`))
	if got := fmt.Sprint(product(t, fake, "A").Names); got != "map[:Kettle de:Kessel pt_BR:Chaleira]" {
		t.Error(got)
	}
	for _, locale := range []string{"pt-PT", "nl-NL", "xx"} { // nl is there and cannot be translated into
		e := refusedItem(t, c, content("A", `{"language":"`+locale+`","name":"x"}`))
		if e.Verdict != connectors.Validation || len(e.Issues) != 1 || e.Issues[0].Attribute != "language" {
			t.Errorf("%s: %+v", locale, e)
		}
	}
}

func TestWithdrawKeeps(t *testing.T) {
	fake, c := start(t, trytontest.Options{}, func(c *tryton.Config) { c.Withdraw = "keep" })
	pushed(t, c, content("A", `{"language":"en","name":"A"}`))
	pushed(t, c, withdraw("A"))
	if !product(t, fake, "A").Active {
		t.Error("it is gone")
	}
}

// Of two products with one code the active one counts; Tryton allows that where
// the others are inactive.
func TestInactiveTwin(t *testing.T) {
	fake, c := start(t, trytontest.Options{}, nil)
	for _, name := range []string{"old", "new"} {
		if err := fake.Add("", "TWIN", name, ""); err != nil {
			t.Fatal(err)
		}
		if name == "old" {
			if err := fake.SetActive("TWIN", false); err != nil {
				t.Fatal(err)
			}
		}
	}
	pushed(t, c, content("TWIN", `{"language":"en","name":"ours"}`))
	if p := product(t, fake, "TWIN"); p.Name != "ours" || !p.Active || fake.Active() != 1 {
		t.Errorf("%+v", p)
	}
}

// One call is one transaction: of many, the one at fault is found and the others
// are taken.
func TestHalving(t *testing.T) {
	fake, all := start(t, trytontest.Options{}, nil)
	c := connect(t, configOf(fake), 50)
	_ = all
	fake.Reject("N07", true)
	fake.Reject("N31", true)
	var items []connectors.Item
	for i := range 40 {
		items = append(items, content(pim.SKU(fmt.Sprintf("N%02d", i)), `{"language":"en","name":"x"}`))
	}
	results, err := c.Push(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		bad := i == 7 || i == 31
		if (r.Err != nil) != bad || bad && connectors.AsError(r.Err).Verdict != connectors.Validation {
			t.Errorf("%s: %v", items[i].SKU, r.Err)
		}
	}
	if fake.Active() != 38 {
		t.Errorf("%d are there", fake.Active())
	}
}

// Words that nobody knows, and then nothing works any more: the database is away,
// and the product is not to blame.
func TestUnknownOutage(t *testing.T) {
	fake, c := start(t, trytontest.Options{}, nil)
	pushed(t, c, content("A", `{"language":"en","name":"A"}`)) // what is asked for once has been
	fake.Script(
		trytontest.Fault{Kind: trytontest.Answer, Method: "model.product.template.create", Body: `["die Verbindung wurde beendet",""]`},
		trytontest.Fault{Kind: trytontest.Answer, Method: "model.product.product.search_read", Body: `["die Verbindung wurde beendet",""]`, Skip: 1},
	)
	_, err := c.Push(t.Context(), []connectors.Item{content("B", `{"language":"en","name":"B"}`), content("C", `{"language":"en","name":"C"}`)})
	if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Unavailable || !e.Uncertain {
		t.Errorf("Tryton broke: %v", err)
	}
	fake.Up()
	pushed(t, c, content("B", `{"language":"en","name":"B"}`), content("C", `{"language":"en","name":"C"}`))
}

// A creation whose answer was lost is found by the next push.
func TestLostCreation(t *testing.T) {
	fake, c := start(t, trytontest.Options{}, nil)
	fake.Script(trytontest.Fault{Kind: trytontest.Lose, Method: "model.product.template.create", Times: 1})
	item := content("A", `{"language":"en","name":"A"}`)
	if e := refusedItem(t, c, item); e.Verdict != connectors.Unavailable || !e.Uncertain {
		t.Errorf("%+v", e)
	}
	pushed(t, c, item)
	if fake.Active() != 1 {
		t.Errorf("%d are there", fake.Active())
	}
}

// A push that breaks after something was written leaves doubt about all of it.
func TestBreaksHalfway(t *testing.T) {
	fake, c := start(t, trytontest.Options{}, nil)
	pushed(t, c, content("B", `{"language":"en","name":"B"}`))
	fake.Script(trytontest.Fault{Kind: trytontest.Throttle, Method: "model.product.template.write"})
	_, err := c.Push(t.Context(), []connectors.Item{content("A", `{"language":"en","name":"A"}`), content("B", `{"language":"en","name":"B2"}`)})
	if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Throttled || !e.Uncertain {
		t.Errorf("%v", err)
	}
}

// Sessions end at any time; one login serves all who noticed.
func TestSessions(t *testing.T) {
	fake, first := start(t, trytontest.Options{}, nil)
	c := connect(t, configOf(fake), 5)
	_ = first
	pushed(t, c, content("A", `{"language":"en","name":"A"}`))
	if n := fake.Counts().Logins; n != 1 {
		t.Fatalf("%d logins", n)
	}
	for round := range 5 {
		fake.ExpireSessions()
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				if _, err := c.Push(t.Context(), []connectors.Item{content(pim.SKU(fmt.Sprintf("A%d", w)), fmt.Sprintf(`{"language":"en","name":"round %d"}`, round))}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := fake.Counts().Logins; n != int64(round+2) {
			t.Fatalf("round %d: %d logins", round, n)
		}
	}
}

// A target that refuses each new session, too, is asked once more and no further.
func TestSessionsThatNeverHold(t *testing.T) {
	fake, c := start(t, trytontest.Options{}, nil)
	fake.Script(trytontest.Fault{Kind: trytontest.Unauthorized, Method: "model.ir.model.access.get_access"})
	if err := c.Probe(t.Context()); connectors.AsError(err).Verdict != connectors.Auth {
		t.Error(err)
	}
	if n := fake.Counts().Calls; n != 4 { // login, call, login, call
		t.Errorf("%d calls", n)
	}
}

func TestSetUp(t *testing.T) {
	for name, c := range map[string]struct {
		opts   trytontest.Options
		change func(*tryton.Config)
		want   connectors.Verdict
		text   string
	}{
		"a wrong password": {change: func(c *tryton.Config) { c.Password = "wrong-" + c.Password }, want: connectors.Auth, text: "401"},
		"a wrong database": {change: func(c *tryton.Config) { c.Database = "other" }, want: connectors.Unavailable, text: "no such database"},
		"no company":       {opts: trytontest.Options{NoCompany: true}, want: connectors.Auth, text: "company"},
		"no rights":        {opts: trytontest.Options{NoAccess: true}, want: connectors.Auth, text: "right to create product.template"},
		"no unit":          {change: func(c *tryton.Config) { c.Unit = "parsec" }, want: connectors.Validation, text: "parsec"},
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := start(t, c.opts, c.change)
			e := refusedItem(t, conn, content("A", `{"language":"en","name":"A"}`))
			if e.Verdict != c.want || e.Uncertain || !strings.Contains(e.Error(), c.text) {
				t.Errorf("%v", e)
			}
		})
	}
	t.Run("without the module sale", func(t *testing.T) {
		fake, c := start(t, trytontest.Options{NoSale: true}, nil)
		pushed(t, c, content("A", `{"language":"en","name":"A"}`))
		if fake.Active() != 1 {
			t.Error("it is not there")
		}
	})
}

func TestPreflight(t *testing.T) {
	_, c := start(t, trytontest.Options{}, nil)
	p := c.(connectors.Preflighter)
	for doc, want := range map[string]string{
		`{"language":"en","name":"x","gtin":"4006381333931"}`: "",
		`{"language":"en"}`:                         "error name.missing name",
		`{"parent":"P"}`:                            "",
		`{"name":"x","gtin":"4006381333932"}`:       "error gtin.check_digit gtin",
		`{"name":"x","gtin":"400638133393"}`:        "error gtin.check_digit gtin",
		`{"name":"x","type":"things","colour":"b"}`: "warning field.unknown colour, error type.unknown type",
		`{"name":7}`:                                "error document ",
		"{\"name\":\"\\n \\u0000\"}":                "error name.missing name",
	} {
		var fields map[string]any
		if err := json.Unmarshal([]byte(doc), &fields); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range p.Preflight(pim.Content, fields) {
			got = append(got, fmt.Sprintf("%s %s %s", i.Severity, i.Code, i.Attribute))
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%s: %q, want %q", doc, s, want)
		}
	}
}
