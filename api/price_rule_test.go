package api

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	exampleCalls = regexp.MustCompile("(?s)```http\n([A-Z]+) (\\S+)\n(.*?)```")
	exampleRows  = regexp.MustCompile(`(?m)^\| ([A-Z]+) \| (\d+) \| ([\d-]*) ?\| ([\d-]*) ?\| ([\d.]+) \| ([a-z -]*?) ?\|`)
)

// TestWorkedExample does what docs/prices.md tells, and has what its table says.
func TestWorkedExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/prices.md")
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t)
	k.works()
	k.want(k.do(Editor, "PUT", "/v1/attributes/brand", `{"type":"text"}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/families/tool", `{"attributes":[{"code":"brand"}]}`), 201, nil)
	for sku, brand := range map[string]string{"DRILL": "Bosch", "SAW": "Bosch", "GLOVE": "Engel", "TAPE": "Tesa"} {
		k.want(k.do(Editor, "PUT", "/v1/products/"+sku, fmt.Sprintf(`{"family":"tool","values":{"brand":%q}}`, brand)), 201, nil)
	}
	example, _, _ := strings.Cut(string(text), "\n## How a price is derived")
	calls := exampleCalls.FindAllStringSubmatch(example, -1)
	if len(calls) != 6 {
		t.Fatalf("%d calls in the example", len(calls))
	}
	for _, c := range calls {
		status := 201
		if c[1] == "POST" {
			status = 200
		}
		var body any
		if strings.TrimSpace(c[3]) != "" {
			body = c[3]
		}
		k.want(k.do(Admin, c[1], c[2], body), status, nil)
	}
	k.quietPrices()
	var want, got []string
	for _, r := range exampleRows.FindAllStringSubmatch(example, -1) {
		want = append(want, strings.Join(r[1:], "|"))
	}
	if len(want) != 13 {
		t.Fatalf("%d rows in the table", len(want))
	}
	for _, sku := range []string{"DRILL", "SAW", "GLOVE", "TAPE"} {
		for _, p := range k.product(sku).Prices {
			if p.PriceList != "dealer" {
				continue
			}
			from, to := "", ""
			if p.ValidFrom != nil {
				from = p.ValidFrom.Format("2006-01-02")
			}
			if p.ValidTo != nil {
				to = p.ValidTo.Format("2006-01-02")
			}
			got = append(got, fmt.Sprintf("%s|%d|%s|%s|%s|%s", sku, p.MinQuantity, from, to, p.Amount, strings.Join(p.Rules, " ")))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("prices are\n%s\nby the table\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestPriceRules puts, reads and deletes rules and lists under If-Match.
func TestPriceRules(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	k.works()
	k.batch("/v1/prices:batch", `[{"sku":"P","currency":"EUR","amount":10}]`)
	var l PriceListView
	k.want(k.do(Editor, "PUT", "/v1/price-lists/sale", `{"base":"default","currencies":["EUR"],"labels":{"en-GB":"Sale"}}`), 200, &l)
	if l.Revision != 2 || l.Base != "default" {
		t.Errorf("%+v", l)
	}
	k.want(k.do(Editor, "PUT", "/v1/price-lists/sale", nil), 200, &l) // without a body it is left as it is
	if l.Revision != 2 || len(l.Currencies) != 1 {
		t.Errorf("%+v", l)
	}
	k.want(k.do(Editor, "PUT", "/v1/price-lists/sale", `{"base":"default"}`, "If-Match", `"1"`), 412, nil)
	k.want(k.do(Viewer, "GET", "/v1/price-lists/sale", nil), 200, &l)
	k.want(k.do(Viewer, "GET", "/v1/price-lists/none", nil), 404, nil)
	k.refused(k.do(Editor, "PUT", "/v1/price-lists/sale", `{"base":"none"}`), 422, "/base", "price_list.unknown")

	var r PriceRuleView
	a := k.want(k.do(Editor, "PUT", "/v1/price-rules/half", `{"price_list":"sale","percent":-50.0}`), 201, &r)
	if a.Header.Get("ETag") != `"1"` || r.Percent != "-50.0" || r.Code != "half" {
		t.Errorf("%s", a.body)
	}
	k.want(k.do(Editor, "PUT", "/v1/price-rules/half", `{"price_list":"sale","percent":"-50.0"}`), 200, &r)
	if r.Revision != 1 {
		t.Errorf("the same again: %+v", r)
	}
	k.want(k.do(Editor, "PUT", "/v1/price-rules/half", `{"price_list":"sale","percent":"-60"}`, "If-Match", `"7"`), 412, nil)
	k.want(k.do(Editor, "PUT", "/v1/price-rules/none", `{"price_list":"sale","percent":"-60"}`, "If-Match", `*`), 412, nil)
	k.refused(k.do(Editor, "PUT", "/v1/price-rules/half", `{"price_list":"sale","percent":true}`), 422, "/percent", "field.type")
	k.refused(k.do(Editor, "PUT", "/v1/price-rules/half", `{"price_list":"sale","percent":"half"}`), 422, "/percent", "value.number")
	k.refused(k.do(Editor, "PUT", "/v1/price-rules/half", `{"price_list":"none","percent":"1"}`), 422, "/price_list", "price_list.unknown")
	k.want(k.do(Integration, "PUT", "/v1/price-rules/half", `{}`), 403, nil)
	var bad Problem
	k.want(k.do(Editor, "PUT", "/v1/price-rules/half", `{"price_list":"sale","percent":"-50.0","condition":"sku = P and issue is empty"}`), 422, &bad)
	if f := bad.Errors; len(f) != 1 || *f[0].Pointer != "/condition" || *f[0].Offset != 12 || f[0].Code != "price_rule.condition" {
		t.Errorf("%+v", f)
	}
	k.want(k.do(Editor, "PUT", "/v1/price-rules/other", `{"price_list":"sale","percent":"-10","condition":"sku = Q or values.name.en-GB is empty"}`), 201, &r)
	if r.Condition != "sku = Q or values.name.en-GB is empty" {
		t.Errorf("%+v", r)
	}
	k.want(k.do(Editor, "DELETE", "/v1/price-rules/other", nil), 204, nil)
	k.quietPrices()
	if p := k.product("P").Prices; len(p) != 2 || p[1].Amount != "5.00" || p[1].Rules[0] != "half" {
		t.Errorf("%+v", p)
	}
	batch := k.batch("/v1/prices:batch", `[{"sku":"P","currency":"EUR","price_list":"sale","delete":true}]`)
	if batch.Rejected != 1 || batch.Results[0].Problems[0].Code != "price.derived" {
		t.Errorf("%+v", batch)
	}
	var rules page[PriceRuleView]
	if k.want(k.do(Viewer, "GET", "/v1/price-rules", nil), 200, &rules); len(rules.Items) != 1 {
		t.Errorf("%+v", rules)
	}
	k.want(k.do(Viewer, "GET", "/v1/price-rules/half", nil), 200, &r)
	k.want(k.do(Editor, "DELETE", "/v1/price-rules/half", nil), 204, nil)
	k.want(k.do(Editor, "DELETE", "/v1/price-rules/half", nil), 404, nil)
	k.quietPrices()
	if p := k.product("P").Prices; len(p) != 1 {
		t.Errorf("%+v", p)
	}
}

// quietPrices waits until nothing is to be derived any more.
func (k *kit) quietPrices() {
	k.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(2 * time.Minute); k.count("derive") > 0; {
		select {
		case <-tick.C:
		case <-end:
			k.t.Fatal("there is still something to be derived")
		}
	}
}
