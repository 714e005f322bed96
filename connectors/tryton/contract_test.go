package tryton_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/tryton"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/pim"
)

// Tryton publishes no contract. testdata/recorded.json is what a real 6.0.29
// was told and answered (see real_test.go), testdata/jsonrpc.schema.json the
// contract that was written after it.

// recorded is one exchange as JSON.
type recorded struct {
	Request map[string]any `json:"request"`
	Status  int            `json:"status"`
	Answer  map[string]any `json:"answer"`
}

// recordedOf reads an exchange; what is no JSON stays nil.
func recordedOf(e connectortest.Exchange) recorded {
	r := recorded{Status: e.Status}
	_ = json.Unmarshal(e.Sent, &r.Request)
	_ = json.Unmarshal(e.Answer, &r.Answer)
	return r
}

// kind tells exchanges apart: by method, what is asked for, and how it ended.
func (r recorded) kind() string {
	params, _ := r.Request["params"].([]any)
	asked := ""
	for _, p := range params {
		if list, ok := p.([]any); ok && len(list) > 0 {
			if _, ok := list[0].(string); ok {
				asked = fmt.Sprint(list)
			}
		}
	}
	ended := "result"
	if e, ok := r.Answer["error"].([]any); ok && len(e) > 0 {
		ended = fmt.Sprint("error ", e[0])
	}
	return strings.Join([]string{fmt.Sprint(r.Request["method"]), asked, ended}, " | ")
}

func contract(t *testing.T) func(recorded) error {
	t.Helper()
	raw, err := os.ReadFile("testdata/jsonrpc.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("jsonrpc.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("jsonrpc.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(r recorded) error {
		raw, err := json.Marshal(r)
		if err != nil {
			return err
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			return err
		}
		if err := schema.Validate(v); err != nil {
			return fmt.Errorf("%s: %w", r.kind(), err)
		}
		// JSON Schema has no word for "the last".
		params, _ := r.Request["params"].([]any)
		if method, _ := r.Request["method"].(string); strings.HasPrefix(method, "model.") && r.Answer["error"] == nil {
			if _, ok := params[len(params)-1].(map[string]any); !ok {
				return fmt.Errorf("%s: the last parameter is no context", r.kind())
			}
		}
		return nil
	}
}

func recordedReal(t *testing.T) []recorded {
	t.Helper()
	raw, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	if err := json.Unmarshal(raw, &all); err != nil || len(all) < 20 {
		t.Fatalf("%d exchanges: %v", len(all), err)
	}
	return all
}

// What the real one said keeps the contract that the fake is held against.
func TestContractRecorded(t *testing.T) {
	check := contract(t)
	for _, r := range recordedReal(t) {
		if err := check(r); err != nil {
			t.Error(err)
		}
	}
}

// Every request of a day's work, and every answer of the fake, keeps the
// contract; and where the real one was asked the same, it answered records of the
// same members.
func TestContractExchanges(t *testing.T) {
	check := contract(t)
	recorder := &connectortest.Recorder{Handler: trytontest.New(trytontest.Options{Password: password})}
	fake := recorder.Handler.(*trytontest.Fake)
	srv := httptest.NewServer(recorder)
	defer srv.Close()
	work(t, fake, tryton.Config{
		URL: srv.URL, Database: fake.Database(), User: fake.User(), Password: password,
		PriceList: "default", PriceLists: map[string]string{"trade": "Trade"}, Locations: map[string]string{"main": "WH"}, HookSecret: hookSecret,
	})
	shapes := map[string]string{}
	for _, r := range recordedReal(t) {
		shapes[r.kind()] = shapeOf(r)
	}
	same := 0
	for _, e := range recorder.Exchanges() {
		if !strings.HasPrefix(e.Header.Get("Content-Type"), "application/json") {
			if e.Status == 200 {
				t.Errorf("200 without JSON: %s", e.Sent)
			}
			continue
		}
		r := recordedOf(e)
		if err := check(r); err != nil {
			t.Error(err)
		}
		want, ok := shapes[r.kind()]
		if got := shapeOf(r); ok && want != "" && got != "" {
			if delete(shapes, r.kind()); got != want {
				t.Errorf("%s: the fake answers %s, the real one %s", r.kind(), got, want)
			}
			same++
		}
	}
	if same < 12 {
		t.Errorf("only %d kinds of exchange could be compared with the real one's", same)
	}
	for _, v := range fake.Violations() {
		t.Error(v)
	}
}

// What all the other tests say keeps the contract, too, and so does what the fake
// answers wherever it does not break on purpose.
func TestContractOfAllTests(t *testing.T) {
	check := contract(t)
	recordersMu.Lock()
	before := len(recorders)
	recordersMu.Unlock()
	for name, test := range map[string]func(*testing.T){
		"conformance": TestConformance, "variants": TestVariants, "differences": TestWritesOnlyDifferences, "languages": TestLanguages,
		"kept": TestWithdrawKeeps, "twins": TestInactiveTwin, "halving": TestHalving, "lost": TestLostCreation, "halfway": TestBreaksHalfway,
		"sessions": TestSessions, "set-up": TestSetUp, "pull": TestPull, "moved": TestOnlyMoved, "late": TestLateCommit, "templates": TestTemplateChanges,
		"pages": TestPages, "no price": TestUncomputablePrice, "twins' stock": TestInactiveTwinStock, "pulling set-up": TestPullSetUp, "faults": TestPullFaults,
	} {
		t.Run(name, test)
	}
	recordersMu.Lock()
	heard := slices.Clone(recorders[before:])
	recordersMu.Unlock()
	methods := map[string]int{}
	for _, recorder := range heard {
		for _, e := range recorder.Exchanges() {
			r := recordedOf(e)
			method, _ := r.Request["method"].(string)
			if methods[method]++; e.Status != http.StatusOK || !json.Valid(e.Answer) {
				// The request counts all the same.
				r.Status, r.Answer = http.StatusOK, map[string]any{"id": 1, "error": []any{"broken", "on purpose"}}
			}
			if err := check(r); err != nil {
				t.Fatalf("%v\nsent %.2000s\nanswered %.2000s", err, e.Sent, e.Answer)
			}
		}
	}
	if len(methods) < 15 {
		t.Errorf("only these methods were heard: %v", methods)
	}
}

// shapeOf are the members of an answer's first record, "" where there is none.
func shapeOf(r recorded) string {
	method, _ := r.Request["method"].(string)
	if strings.HasSuffix(method, "fields_get") || strings.HasSuffix(method, "get_preferences") {
		return "" // the real one tells much more there
	}
	v := r.Answer["result"]
	if list, ok := v.([]any); ok {
		if len(list) == 0 {
			return ""
		}
		v = list[0]
	}
	record, ok := v.(map[string]any)
	if !ok {
		if v == nil {
			return ""
		}
		return fmt.Sprintf("%T", v)
	}
	return fmt.Sprint(slices.Sorted(maps.Keys(record)))
}

// work does all that a connector does.
func work(t *testing.T, fake *trytontest.Fake, config tryton.Config) {
	t.Helper()
	c := connect(t, config, 50)
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	push := func(items ...connectors.Item) {
		t.Helper()
		if _, err := c.Push(t.Context(), items); err != nil {
			t.Fatal(err)
		}
	}
	push(
		content("P-1", `{"language":"en","name":"Parent"}`), content("V-1", `{"language":"en","description":"red","parent":"P-1"}`),
		content("S-1", `{"language":"en","name":"Simple","gtin":"4006381333931"}`), content("S-2", `{"language":"en","name":"Other","gtin":"96385074"}`),
	)
	push(content("V-2", `{"language":"en","parent":"P-1"}`), content("S-1", `{"language":"de-DE","name":"Einfach","description":"Text"}`))
	push(content("S-1", `{"language":"en","name":"Simple","gtin":"96385074"}`), content("V-1", `{"language":"en","description":"blue","parent":"P-1"}`))
	push(withdraw("V-1"), withdraw("S-2"))
	fake.SetPriceList("Trade", trytontest.Line{Quantity: 10, Factor: "0.8"}, trytontest.Line{Factor: "0.9"})
	for sku, amount := range map[pim.SKU]string{"P-1": "10.00", "S-1": "20"} {
		if err := fake.SetListPrice(sku, amount); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := fake.Move("S-1", trytontest.Supplier, trytontest.Storage, 20, "done"); err != nil {
		t.Fatal(err)
	}
	cursor := pulled(t, c, "").Cursor
	fake.ExpireSessions()
	if err := fake.SetListPrice("S-1", "21"); err != nil {
		t.Fatal(err)
	}
	pulled(t, c, cursor)
}

// The contract refuses what Tryton would not take, or would misread.
func TestContractRefuses(t *testing.T) {
	check := contract(t)
	const answer = `"status":200,"answer":{"id":1,"result":`
	for name, raw := range map[string]string{
		"no context":             `{"request":{"id":1,"method":"model.product.template.read","params":[[1],["id"]]},` + answer + `[]}}`,
		"no company":             `{"request":{"id":1,"method":"model.product.product.read","params":[[1],["list_price"],{}]},` + answer + `[]}}`,
		"a float":                `{"request":{"id":1,"method":"model.product.template.create","params":[[{"name":"x","list_price":12.5}],{"company":1}]},` + answer + `[1]}}`,
		"a number as text":       `{"request":{"id":1,"method":"model.product.product.read","params":[[1],["list_price"],{"company":1}]},` + answer + `[{"id":1,"list_price":"12.50"}]}}`,
		"a date as text":         `{"request":{"id":1,"method":"model.product.product.search_read","params":[[["write_date",">=",{"year":2026}]],0,1,null,["id"],{"company":1}]},` + answer + `[]}}`,
		"another member":         `{"request":{"id":1,"method":"model.product.uom.search","params":[[],0,1,null,{}],"jsonrpc":"2.0"},` + answer + `[]}}`,
		"result and error":       `{"request":{"id":1,"method":"model.product.uom.search","params":[[],0,1,null,{}]},"status":200,"answer":{"id":1,"result":[],"error":["x",""]}}`,
		"a text as error":        `{"request":{"id":1,"method":"model.product.uom.search","params":[[],0,1,null,{}]},"status":200,"answer":{"id":1,"error":"no"}}`,
		"a password as one":      `{"request":{"id":1,"method":"common.db.login","params":["user","password","en"]},` + answer + `[1,"x"]}}`,
		"the last is no context": `{"request":{"id":1,"method":"model.product.template.write","params":[{"company":1},[1],[2]]},` + answer + `null}}`,
	} {
		var r recorded
		if err := json.Unmarshal([]byte(raw), &r); err != nil {
			t.Fatal(name, err)
		}
		if check(r) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
