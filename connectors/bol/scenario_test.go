package bol_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/bol"
	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/pim"
)

// world is one fake with a connector to it.
type world struct {
	*testing.T
	fake *boltest.Server
	c    connectors.Connector
}

func newWorld(t *testing.T, wrap wrapper, opts boltest.Options, change func(*bol.Config)) *world {
	t.Helper()
	fake, c := start(t, wrap, opts, change)
	return &world{t, fake, c}
}

// anew is the connector of another process: it remembers nothing.
func (w *world) anew() {
	w.c = connect(w.T, bol.Config{ClientID: clientID, ClientSecret: clientSecret, APIURL: w.fake.URL(), LoginURL: w.fake.LoginURL()}, 5)
}

func offer(sku pim.SKU, fields string) connectors.Item {
	doc := fmt.Sprintf(`{"ean":%q,"price":"19.90","stock":3}`, eanOf(sku))
	if fields != "" {
		doc = "{" + fields + "}"
	}
	return connectors.Item{SKU: sku, Lane: pim.Offer, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(doc)}
}

func content(sku pim.SKU, fields string) connectors.Item {
	doc := fmt.Sprintf(`{"ean":%q,"Name":"Kettle"}`, eanOf(sku))
	if fields != "" {
		doc = fmt.Sprintf(`{"ean":%q,%s}`, eanOf(sku), fields)
	}
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: 1, Action: connectors.Upsert, Document: json.RawMessage(doc)}
}

func withdraw(sku pim.SKU) connectors.Item {
	return connectors.Item{SKU: sku, Lane: pim.Content, Revision: 2, Action: connectors.Withdraw}
}

// push pushes; the error of a call as a whole becomes each item's.
func (w *world) push(items ...connectors.Item) []connectors.Result {
	w.Helper()
	results, err := w.c.Push(w.Context(), items)
	if err != nil {
		results = make([]connectors.Result, len(items))
		for i := range results {
			results[i].Err = err
		}
	}
	for _, r := range results {
		said := fmt.Sprintf("%v %+v", r.Err, r.Issues)
		if r.Err != nil {
			said += fmt.Sprintf("%+v", connectors.AsError(r.Err).Issues)
		}
		for _, secret := range secrets() {
			if strings.Contains(said, secret) {
				w.Errorf("a secret was told: %s", said)
			}
		}
	}
	return results
}

func (w *world) ok(items ...connectors.Item) []connectors.Result {
	w.Helper()
	results := w.push(items...)
	for i, r := range results {
		if r.Err != nil {
			w.Fatalf("%s: %v", items[i].SKU, r.Err)
		}
	}
	return results
}

// wantError pushes one item and expects its error.
func (w *world) wantError(item connectors.Item, verdict connectors.Verdict, uncertain bool) *connectors.Error {
	w.Helper()
	r := w.push(item)[0]
	if r.Err == nil {
		w.Fatalf("%s was taken", item.SKU)
	}
	e := connectors.AsError(r.Err)
	if e.Verdict != verdict || e.Uncertain != uncertain {
		w.Fatalf("%s: %s, uncertain %v; want %s, %v: %v", item.SKU, e.Verdict, e.Uncertain, verdict, uncertain, e)
	}
	return e
}

func (w *world) offers(n int) {
	w.Helper()
	if all := w.fake.Offers(); len(all) != n {
		w.Errorf("bol holds %d offers, want %d: %+v", len(all), n, all)
	}
}

func (w *world) poll(tokens ...string) []connectors.Result {
	w.Helper()
	p, _ := w.c.(connectors.Poller)
	results, err := p.Poll(w.Context(), tokens)
	if err != nil || len(results) != len(tokens) {
		w.Fatalf("poll: %v, %v", results, err)
	}
	return results
}

// scenarios are what happens between the connector and bol. The contract test
// runs them once more, to see what was said.
var scenarios = map[string]func(t *testing.T, wrap wrapper){
	"an offer's life":                                  offersLife,
	"all fields of an offer":                           allFields,
	"offers are looked up together":                    lookUps,
	"a lost answer makes no second offer":              lostCreate,
	"a list that lags behind":                          laggingList,
	"an offer without reference is adopted":            adopted,
	"another SKU's offer is left alone":                taken,
	"another EAN is another offer":                     movedEAN,
	"an offer that was deleted at bol is made again":   deletedAtBol,
	"why an offer is not for sale":                     notForSale,
	"a throttle in the middle of a push":               throttledMidway,
	"the last call of a window is the last":            budgetSpent,
	"a look-up that is throttled is made once":         throttledLookUp,
	"a short window is waited for":                     shortWindow,
	"one login for many calls, and again when revoked": logins,
	"content in two languages":                         twoLanguages,
	"attributes that bol declines":                     declined,
	"content that bol refuses as a whole":              refusedContent,
	"processes that end badly":                         badEnds,
	"content that bol takes in one of its languages":   halfTaken,
	"a report that is not ready":                       lateReport,
	"thousands of processes in a poll":                 manyProcesses,
	"a page of offers after another":                   paging,
	"an empty document takes the offer off":            emptied,
	"bol is there again after a restart of the fake":   restarted,
}

func TestScenarios(t *testing.T) {
	for name, run := range scenarios {
		t.Run(name, func(t *testing.T) { run(t, nil) })
	}
}

func offersLife(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	if r := w.ok(offer("A", ""))[0]; r.Status != connectors.Accepted {
		t.Errorf("an offer without content is %s", r.Status)
	}
	w.ok(content("A", ""))
	if r := w.ok(offer("A", fmt.Sprintf(`"ean":%q,"price":"18","stock":1200`, eanOf("A"))))[0]; r.Status != connectors.Live || len(r.Issues) > 0 {
		t.Errorf("an offer that is for sale: %+v", r)
	}
	w.offers(1)
	o, _ := w.fake.Offer("A")
	if o.Stock != 999 || o.Prices[0].UnitPrice != "18.00" || o.ManagedByBol {
		t.Errorf("bol holds %+v", o)
	}
	if n := w.fake.Counts().By[boltest.CreateOffer]; n != 1 {
		t.Errorf("%d creates", n)
	}
	w.anew()
	w.ok(offer("A", fmt.Sprintf(`"ean":%q,"price":"17.5","on_hold":true`, eanOf("A"))))
	w.offers(1)
	if o, _ = w.fake.Offer("A"); o.Stock != 0 || !o.OnHold || o.Prices[0].UnitPrice != "17.50" {
		t.Errorf("bol holds %+v", o)
	}
	w.ok(withdraw("A"), withdraw("B"))
	w.offers(0)
	w.ok(withdraw("A"))
	// An offer that was on its way meanwhile does not bring it back.
	w.wantError(offer("A", ""), connectors.Conflict, false)
	w.offers(0)
	w.ok(content("A", ""))
	w.ok(offer("A", ""))
	w.offers(1)
}

func allFields(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, func(c *bol.Config) {
		c.Countries, c.Schedule, c.MinimumDays, c.MaximumDays, c.OrderBefore = []string{"NL", "BE"}, "BOL_DELIVERY_PROMISE", 1, 2, "22:00"
		c.EconomicOperator, c.StockByBol = "0c6573a2-a80c-48b7-a03e-d5939f1173fa", true
	})
	w.ok(offer("A", fmt.Sprintf(`"ean":%q,"price":"19.9","currency":"EUR","bundles":[{"min_quantity":1,"amount":"19.9"},{"quantity":3,"price":"18.5","currency":"EUR"},{"min_quantity":5,"amount":"15","currency":"USD"}],
		"condition":{"category":"REFURBISHED","grade":"A","margin":false},"title":"A kettle","stock":7,"parent":"P","sku":"A"`, eanOf("A"))),
		offer("B", fmt.Sprintf(`"ean":%q,"price":"9.90","fulfilment":"FBB","countries":["BE"]`, eanOf("B"))),
		offer("C", fmt.Sprintf(`"ean":%q,"price":"9.90","stock":-2,"condition":{"category":"SECONDHAND","state":"GOOD","comment":"a scratch"},
			"fulfilment":{"method":"FBR","schedule":"SHIPPING_VIA_BOL"}`, eanOf("C"))))
	a, _ := w.fake.Offer("A")
	if len(a.Prices) != 2 || a.Prices[1].UnitPrice != "18.50" || a.Condition.Grade != "A" || len(a.Countries) != 2 || !a.ManagedByBol ||
		a.Fulfilment.Promise == nil || *a.Fulfilment.Promise.Maximum != 2 || a.EconomicOperator == "" || a.UnknownTitle != "A kettle" {
		t.Errorf("bol holds %+v", a)
	}
	b, _ := w.fake.Offer("B")
	if b.Fulfilment.Method != "FBB" || b.Fulfilment.Promise != nil || !slices.Equal(b.Countries, []string{"BE"}) {
		t.Errorf("bol holds %+v", b)
	}
	if c, _ := w.fake.Offer("C"); c.Stock != 0 || c.Condition.State != "GOOD" || c.Fulfilment.Schedule != "SHIPPING_VIA_BOL" {
		t.Errorf("bol holds %+v", c)
	}
}

func lookUps(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	items := []connectors.Item{offer("A", ""), offer("B", ""), offer("C", ""), offer("D", "")}
	w.ok(items...)
	w.anew()
	before := w.fake.Counts().By
	w.ok(items...)
	after := w.fake.Counts().By
	// One to find them by EAN, one to see whether they are for sale.
	if n := after[boltest.ListOffers] - before[boltest.ListOffers]; n != 2 {
		t.Errorf("%d look-ups for four offers", n)
	}
	w.ok(items...)
	if n := w.fake.Counts().By[boltest.ListOffers] - after[boltest.ListOffers]; n != 1 {
		t.Errorf("%d look-ups for offers that are known", n)
	}
	w.offers(4)
}

func lostCreate(t *testing.T, wrap wrapper) {
	for _, status := range []int{http.StatusBadRequest, http.StatusConflict} {
		w := newWorld(t, wrap, boltest.Options{Duplicate: status}, nil)
		w.fake.Script(boltest.Fault{Kind: boltest.Lose, Op: boltest.CreateOffer, Times: 1})
		w.wantError(offer("A", ""), connectors.Unavailable, true)
		w.offers(1)
		w.ok(offer("A", ""))
		w.offers(1)
		if n := w.fake.Counts().By[boltest.CreateOffer]; n != 1 {
			t.Errorf("%d creates: the second push did not look first", n)
		}
	}
}

func laggingList(t *testing.T, wrap wrapper) {
	for _, status := range []int{http.StatusBadRequest, http.StatusConflict} {
		w := newWorld(t, wrap, boltest.Options{Duplicate: status, Lag: true}, nil)
		w.fake.Script(boltest.Fault{Kind: boltest.Lose, Op: boltest.CreateOffer, Times: 1})
		w.wantError(offer("A", ""), connectors.Unavailable, true)
		if e := w.wantError(offer("A", ""), connectors.Conflict, false); e.After <= 0 {
			t.Error("the conflict does not say when to come back")
		}
		w.fake.CatchUp()
		w.ok(offer("A", ""))
		w.offers(1)
	}
	// What was made just now is deleted by its id, listed or not.
	w := newWorld(t, wrap, boltest.Options{Lag: true}, nil)
	w.ok(offer("A", ""))
	w.ok(withdraw("A"))
	w.offers(0)
}

func adopted(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	id := w.fake.AddOffer(boltest.Offer{EAN: "0" + eanOf("A"), Condition: boltest.Condition{Category: "NEW"}, Prices: []boltest.Price{{Quantity: 1, UnitPrice: "5"}}, Countries: []string{"NL"}, Fulfilment: boltest.Fulfilment{Method: "FBR"}})
	w.ok(offer("A", ""))
	w.offers(1)
	if o := w.fake.Offers()[id]; o.Reference != "A" || o.Prices[0].UnitPrice != "19.90" {
		t.Errorf("bol holds %+v", o)
	}
}

func taken(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	theirs := boltest.Offer{EAN: eanOf("A"), Condition: boltest.Condition{Category: "NEW"}, Reference: "OTHER", Prices: []boltest.Price{{Quantity: 1, UnitPrice: "5"}}, Countries: []string{"NL"}, Fulfilment: boltest.Fulfilment{Method: "FBR"}}
	id := w.fake.AddOffer(theirs)
	e := w.wantError(offer("A", ""), connectors.Validation, false)
	if len(e.Issues) != 1 || e.Issues[0].Code != "bol.ean_taken" || e.Issues[0].Attribute != "ean" || !strings.Contains(e.Issues[0].Text, "OTHER") {
		t.Errorf("issues %+v", e.Issues)
	}
	if o := w.fake.Offers()[id]; o.Reference != "OTHER" || o.Prices[0].UnitPrice != "5" {
		t.Errorf("it was changed: %+v", o)
	}
	// Second-hand it is another offer.
	w.ok(offer("A", fmt.Sprintf(`"ean":%q,"price":"3","stock":1,"condition":{"category":"SECONDHAND","state":"GOOD"}`, eanOf("A"))))
	w.ok(withdraw("A"))
	w.offers(1)
}

func movedEAN(t *testing.T, wrap wrapper) {
	for _, forget := range []bool{false, true} {
		w := newWorld(t, wrap, boltest.Options{}, nil)
		w.ok(offer("A", ""))
		if forget {
			w.anew()
		}
		w.ok(offer("A", fmt.Sprintf(`"ean":%q,"price":"3","stock":1`, eanOf("B"))))
		w.offers(1)
		if o, _ := w.fake.Offer("A"); o.EAN != eanOf("B") {
			t.Errorf("bol holds %+v", o)
		}
		// The old one is gone, and then bol breaks: a part is done.
		w.fake.Script(boltest.Fault{Kind: boltest.Throttle, Op: boltest.CreateOffer, Times: 1})
		w.wantError(offer("A", ""), connectors.Throttled, true)
		w.ok(offer("A", ""))
		w.offers(1)
	}
}

func deletedAtBol(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.ok(offer("A", ""))
	for id := range w.fake.Offers() {
		w.fake.RemoveOffer(id)
	}
	w.ok(offer("A", ""))
	w.offers(1)
	for id := range w.fake.Offers() {
		w.fake.RemoveOffer(id)
	}
	w.ok(withdraw("A"))
}

func notForSale(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.ok(content("B", ""))
	w.fake.SetReasons(eanOf("B"), boltest.Reason{Category: "PRICE", Code: "4000-1", Description: "Price too high"})
	results := w.ok(offer("A", ""), offer("B", ""))
	for i, want := range []pim.Issue{
		{Code: "4004-2", Severity: pim.SeverityWarning, Text: "NL: For this product essential product information is missing (Name)"},
		{Code: "4000-1", Severity: pim.SeverityWarning, Attribute: "price", Text: "NL: Price too high"},
	} {
		if r := results[i]; r.Status != connectors.Accepted || len(r.Issues) != 1 || r.Issues[0] != want {
			t.Errorf("%+v, want %+v", r, want)
		}
	}
	// That the reasons cannot be read changes nothing of what was done.
	w.fake.Script(boltest.Fault{Kind: boltest.Fail, Op: boltest.Reasons})
	w.ok(offer("A", ""))
	w.fake.Script(boltest.Fault{Kind: boltest.Throttle, Op: boltest.ListOffers})
	w.ok(offer("A", ""))
}

func throttledMidway(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	const after = 9 * time.Second
	w.fake.Script(boltest.Fault{Kind: boltest.Throttle, Op: boltest.PostContent, Skip: 2, After: after})
	skus := []pim.SKU{"A", "B", "C", "D", "E"}
	var items []connectors.Item
	for _, sku := range skus {
		items = append(items, content(sku, ""))
	}
	done := 0
	for i, r := range w.push(items...) {
		held := w.fake.HeldContent(eanOf(skus[i])) != ""
		if r.Err == nil {
			done++
			if !held {
				t.Errorf("%s is said to be taken and is not", skus[i])
			}
			continue
		}
		if e := connectors.AsError(r.Err); e.Verdict != connectors.Throttled || e.Uncertain || e.After != after || held {
			t.Errorf("%s: held %v, %+v", skus[i], held, e)
		}
	}
	if done != 2 {
		t.Errorf("%d were taken, the target let two through", done)
	}
	// Between its languages a product can be half done.
	w.fake.Script(boltest.Fault{Kind: boltest.Throttle, Op: boltest.PostContent, Skip: 1})
	w.wantError(content("F", `"Name":"Ketel","Name@fr":"Bouilloire"`), connectors.Throttled, true)
}

func throttledLookUp(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.ok(offer("A", ""))
	w.fake.Script(boltest.Fault{Kind: boltest.Throttle, Op: boltest.ListOffers, After: time.Minute})
	results := w.push(offer("A", ""), offer("B", ""), offer("C", ""), offer("D", ""))
	if results[0].Err != nil {
		t.Errorf("the offer that is known: %v", results[0].Err)
	}
	for i, r := range results[1:] {
		if e := connectors.AsError(r.Err); r.Err == nil || e.Verdict != connectors.Throttled || e.Uncertain || e.After != time.Minute {
			t.Errorf("item %d: %+v", i+1, r)
		}
	}
	// One that many would need, and one that looks back at the offer that is known.
	if n := w.fake.Counts().Throttled; n > 2 {
		t.Errorf("%d calls were refused", n)
	}
}

func budgetSpent(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.ok(offer("A", ""), offer("B", ""))
	w.fake.SetLimit(boltest.UpdateOffer, boltest.Limit{Calls: 1, Per: time.Hour})
	w.ok(offer("A", ""))
	before := w.fake.Counts()
	if e := w.wantError(offer("B", ""), connectors.Throttled, false); e.After <= time.Minute || e.After > time.Hour {
		t.Errorf("come back after %s", e.After)
	}
	if c := w.fake.Counts(); c.Throttled != before.Throttled || c.By[boltest.UpdateOffer] != before.By[boltest.UpdateOffer] {
		t.Error("a call was made although the headers had said that none is left")
	}
	w.ok(withdraw("B")) // other operations have limits of their own
}

func shortWindow(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	w.ok(offer("A", ""))
	w.fake.SetLimit(boltest.UpdateOffer, boltest.Limit{Calls: 1, Per: time.Second})
	w.ok(offer("A", ""))
	w.ok(offer("A", ""))
	if n := w.fake.Counts().Throttled; n != 0 {
		t.Errorf("%d calls were refused", n)
	}
}

func logins(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	items := []connectors.Item{content("A", ""), content("B", ""), content("C", ""), content("D", ""), content("E", "")}
	w.ok(items...)
	if n := w.fake.Counts().Logins; n != 1 {
		t.Errorf("%d logins for five calls at once", n)
	}
	w.fake.Revoke()
	w.ok(items...)
	if n := w.fake.Counts().Logins; n != 2 {
		t.Errorf("%d logins after the token was revoked", n)
	}
	w.fake.Deny(true)
	w.wantError(items[0], connectors.Auth, false)
	if c := w.fake.Counts(); c.Logins != 3 || w.fake.HeldContent(eanOf("A")) == "" {
		t.Errorf("%d logins while bol refuses us: one more is enough", c.Logins)
	}
	w.fake.Up()
	w.ok(items[0])
}

func paging(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	for i := range 230 {
		w.fake.AddOffer(boltest.Offer{
			EAN: eanOf("A"), Reference: "A", Condition: boltest.Condition{Category: "SECONDHAND", State: "GOOD", Comment: fmt.Sprint(i)},
			Prices: []boltest.Price{{Quantity: 1, UnitPrice: "5"}}, Countries: []string{"NL"}, Fulfilment: boltest.Fulfilment{Method: "FBR"},
		})
	}
	w.ok(withdraw("A"))
	w.offers(0)
}

// Where the mapping leaves out every field, nothing of the lane shall be there:
// that is what the hub says of a product that may have been sent before.
func emptied(t *testing.T, wrap wrapper) {
	w := newWorld(t, wrap, boltest.Options{}, nil)
	nothing := offer("A", "")
	nothing.Document = json.RawMessage(`{}`)
	noContent := content("A", "")
	noContent.Document = nothing.Document
	w.ok(nothing) // of one that was never offered, too
	w.ok(noContent)
	w.ok(offer("A", ""))
	w.ok(content("A", ""))
	w.offers(1)
	w.anew()
	w.ok(nothing)
	w.offers(0)
	if w.ok(noContent); w.fake.HeldContent(eanOf("A")) == "" {
		t.Error("content is gone, which bol keeps")
	}
}

// The fake keeps its state in a file: tickets that were given before a restart
// come to their end after it.
func restarted(t *testing.T, wrap wrapper) {
	opts := boltest.Options{Ledger: filepath.Join(t.TempDir(), "ledger"), Polls: 1}
	w := newWorld(t, wrap, opts, nil)
	w.ok(offer("A", ""), offer("B", ""))
	w.ok(withdraw("B"))
	done, waits := w.ok(content("A", ""))[0].Token, w.ok(content("C", ""))[0].Token
	w.poll(done)
	held := w.fake.HeldOffer("A") + w.fake.HeldContent(eanOf("A"))
	if err := w.fake.Close(); err != nil {
		t.Fatal(err)
	}
	w = newWorld(t, wrap, opts, nil)
	if got := w.fake.HeldOffer("A") + w.fake.HeldContent(eanOf("A")); got != held || w.fake.Fresh() {
		t.Errorf("after the restart %s, before %s", got, held)
	}
	w.offers(1)
	if r := w.poll(waits)[0]; r.Err != nil || w.fake.HeldContent(eanOf("C")) == "" {
		t.Errorf("the ticket from before: %+v", r)
	}
	w.ok(offer("A", fmt.Sprintf(`"ean":%q,"price":"18","stock":4`, eanOf("A"))))
	w.offers(1)
	if item, _ := w.fake.Item("A"); item.Title != "Kettle" || item.Price != "18.00" || *item.Stock != 4 {
		t.Errorf("%+v", item)
	}
}
