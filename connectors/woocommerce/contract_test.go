package woocommerce_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/govalues/decimal"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

func decimalOf(t *testing.T, s string) decimal.Decimal {
	t.Helper()
	d, err := decimal.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// contract is WooCommerce's documentation as schemas, by the names of its page.
type contract struct{ schemas map[string]*jsonschema.Schema }

func readContract(t *testing.T) *contract {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(connectortest.Spec(t, "woocommerce/wc-v3.derived.schema.json")))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("wc.json", parsed); err != nil {
		t.Fatal(err)
	}
	c := &contract{schemas: map[string]*jsonschema.Schema{}}
	for _, name := range []string{"products-batch-request", "product-variations-batch-request", "product-properties", "product-variation-properties", "product-category-properties", "error"} {
		if c.schemas[name], err = compiler.Compile("wc.json#/$defs/" + name); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *contract) check(schema string, body any) error {
	if err := c.schemas[schema].Validate(body); err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	return nil
}

var (
	variationsBatch = regexp.MustCompile(`/products/[0-9]+/variations/batch$`)
	digits          = regexp.MustCompile(`[0-9]+`)
	known           = regexp.MustCompile(`^/wp-json/wc/v3/products(/batch|/categories|/[0-9]+/variations/batch)?$`)
)

// exchange holds one call and its answer against the contract.
func (c *contract) exchange(x connectortest.Exchange) error {
	path := x.Request.URL.Path
	if !known.MatchString(path) {
		return fmt.Errorf("no such path: %s", path)
	}
	object, request := "product-properties", "products-batch-request"
	switch {
	case variationsBatch.MatchString(path):
		object, request = "product-variation-properties", "product-variations-batch-request"
	case strings.HasSuffix(path, "/categories"):
		object, request = "product-category-properties", "product-category-properties"
	}
	if x.Request.Method == http.MethodPost {
		sent, err := jsonschema.UnmarshalJSON(bytes.NewReader(x.Sent))
		if err != nil {
			return fmt.Errorf("%s: the body: %w", path, err)
		}
		if err := c.check(request, sent); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if names := undocumented(c.schemas[request], sent, ""); len(names) > 0 {
			return fmt.Errorf("%s: the documentation has no such fields, or only in answers: %v", path, names)
		}
		if m, ok := sent.(map[string]any); ok && request == "product-category-properties" && m["name"] == nil {
			return fmt.Errorf("%s: a category without its mandatory name", path)
		}
	}
	for name := range x.Request.URL.Query() {
		if !slices.Contains(parameters, name) && !strings.HasPrefix(name, "oauth_") {
			return fmt.Errorf("%s: there is no parameter %q", path, name)
		}
	}
	if x.Status == http.StatusOK && !json.Valid(x.Answer) || x.Status >= 500 || x.Status == http.StatusTooManyRequests {
		return nil // broken on purpose, or the answer of what stands before the shop
	}
	answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(x.Answer))
	if err != nil {
		return fmt.Errorf("%s: the answer: %w", path, err)
	}
	if x.Status >= 400 {
		return c.check("error", answer)
	}
	switch answer := answer.(type) {
	case []any:
		for _, o := range answer {
			if err := c.object(object, o); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return nil
	case map[string]any:
		if !strings.HasSuffix(path, "/batch") {
			return c.object(object, answer)
		}
		for _, rows := range answer {
			for _, row := range rows.([]any) {
				if refusal, ok := row.(map[string]any)["error"]; ok {
					if err := c.check("error", refusal); err != nil {
						return err
					}
				} else if err := c.object(object, row); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
		}
	}
	return nil
}

var (
	// parameters of lists (_fields is WordPress's own).
	parameters = []string{"sku", "page", "per_page", "orderby", "order", "_fields"}
	// newer are fields that the documentation at hand does not have yet.
	newer = []string{"global_unique_id", "low_stock_amount"}
)

// undocumented are the members of v that its schema does not describe, which the
// schema itself lets pass, and those that only answers have.
func undocumented(s *jsonschema.Schema, v any, at string) (names []string) {
	properties, items := map[string]*jsonschema.Schema{}, (*jsonschema.Schema)(nil)
	var gather func(*jsonschema.Schema)
	gather = func(s *jsonschema.Schema) {
		if s == nil {
			return
		}
		maps.Copy(properties, s.Properties)
		if s.Items2020 != nil {
			items = s.Items2020
		}
		gather(s.Ref)
		for _, one := range s.AllOf {
			gather(one)
		}
	}
	gather(s)
	switch v := v.(type) {
	case map[string]any:
		if len(properties) == 0 {
			return nil
		}
		for name, member := range v {
			p := properties[name]
			switch {
			case slices.Contains(newer, name):
			case p == nil, p.ReadOnly && name != "id":
				names = append(names, at+"/"+name)
			default:
				names = append(names, undocumented(p, member, at+"/"+name)...)
			}
		}
	case []any:
		for _, member := range v {
			if items != nil {
				names = append(names, undocumented(items, member, at)...)
			}
		}
	}
	return names
}

// object checks an object of an answer. Where nothing is set the shop answers
// null, which the documentation says of times only; and a product list holds
// variations, whose type the documentation does not list.
func (c *contract) object(schema string, o any) error {
	m, ok := o.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: %v is no object", schema, o)
	}
	for name, v := range m {
		if v == nil || name == "type" && v == "variation" {
			delete(m, name)
		}
	}
	return c.check(schema, m)
}

// broadly sends each field that there is, and does what else can be done.
func broadly(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	ok(t, c,
		content("P", `{"name":"Shirt","slug":"shirt","status":"publish","description":"<p>x</p>","short_description":"x","featured":true,"catalog_visibility":"visible","tax_status":"taxable",
			"tax_class":"reduced-rate","weight":"0.4","dimensions":{"length":"1","width":"2","height":"3"},"shipping_class":"","virtual":false,"purchase_note":"","reviews_allowed":true,"sold_individually":false,
			"menu_order":3,"meta_data":[{"key":"k","value":"v"}],"categories":["Clothing > Shirts"],"attributes":{"Cloth":"Cotton","Care":["30°","no iron"]},"global_unique_id":"4006381333931"}`),
		variant("red", "P", "Red"), variant("blue", "P", "Blue"), content("A", `{"name":"A"}`),
	)
	ok(t, c, variant("green", "P", "Green"), content("A", `{"name":"A2","categories":["Clothing"]}`))
	ok(t, c,
		upsert(pim.Offer, "A", `{"regular_price":"19.90","sale_price":"9.90","date_on_sale_from_gmt":"2026-01-01T00:00:00Z","date_on_sale_to_gmt":"2026-02-01T00:00:00Z","stock":7,"backorders":"notify","low_stock_amount":2}`),
		upsert(pim.Offer, "red", `{"regular_price":"5","stock":0}`), upsert(pim.Offer, "P", `{"regular_price":"3"}`), upsert(pim.Offer, "blue", `{}`),
	)
	for range 2 {
		ok(t, c, upsert(pim.Media, "A", `{"images":["https://x.example/a.jpg",{"src":"https://x.example/b.jpg","alt":"b"}]}`), upsert(pim.Media, "red", `{"images":["https://x.example/r.jpg"]}`))
	}
	ok(t, c, upsert(pim.Media, "A", `{}`), upsert(pim.Media, "red", `{}`))
	shop.Reject("no")
	push(t, c, content("no", `{"name":"x"}`), content("a", `{"name":"another case"}`))
	shop.Delete("A")
	ok(t, c, content("A", `{"name":"A3"}`), variant("A4", "P", "Black"))
	ok(t, c, variant("A", "P", "White"))
	shop.Script(woocommercetest.Fault{Kind: woocommercetest.Unauthorized, Times: 1})
	_ = c.Probe(t.Context())
	ok(t, c, withdraw("red"), withdraw("P"), withdraw("A"))
}

// Every request that this package's tests send, and every answer of the fake, are
// as the vendor documents them.
func TestContract(t *testing.T) {
	contract := readContract(t)
	recordersMu.Lock()
	before := len(recorders)
	recordersMu.Unlock()
	for name, test := range map[string]func(*testing.T){
		"broadly": broadly, "conformance": TestConformance, "variants": TestVariants, "at once": TestVariantsAtOnce, "calls": TestCalls, "large": TestLargeDocuments,
		"offers": TestOffers, "media": TestMedia, "categories": TestCategories, "categories at once": TestCategoriesAtOnce, "drafts": TestWithdrawAsDraft,
		"changed": TestChangedInTheShop, "duplicates": TestNoDuplicates, "moves": TestMoves, "partly": TestPartly, "odd": TestOddSKUs,
		"failed moves": TestFailedMovesAreInDoubt, "late price": TestMoveCarriesTheLastPrice, "refused parent": TestVariantOfARefusedParent, "kept": TestKeptAttributes,
		"other process": TestAnotherProcessMadeItVariable,
	} {
		t.Run(name, test)
	}
	recordersMu.Lock()
	heard := slices.Clone(recorders[before:])
	recordersMu.Unlock()
	seen := map[string]int{}
	for _, r := range heard {
		for _, x := range r.Exchanges() {
			seen[x.Request.Method+" "+digits.ReplaceAllString(x.Request.URL.Path, "N")]++
			if err := contract.exchange(x); err != nil {
				t.Fatalf("%s %s: %v\nsent %.2000s", x.Request.Method, x.Request.URL.Path, err, x.Sent)
			}
		}
	}
	for _, operation := range []string{
		"GET /wp-json/wc/vN/products", "POST /wp-json/wc/vN/products/batch", "POST /wp-json/wc/vN/products/N/variations/batch",
		"GET /wp-json/wc/vN/products/categories", "POST /wp-json/wc/vN/products/categories",
	} {
		if seen[operation] < 5 {
			t.Errorf("%s was heard %d times: %v", operation, seen[operation], seen)
		}
	}
}

// The check refuses what is wrong.
func TestContractCanFail(t *testing.T) {
	contract := readContract(t)
	many := `{"create":[` + strings.Repeat(`{"name":"x"},`, 100) + `{"name":"x"}]}`
	for what, x := range map[string]struct{ path, sent, answer string }{
		"a price as a number":     {"/products/batch", `{"update":[{"id":1,"regular_price":1.5}]}`, `{"update":[{"id":1}]}`},
		"an update without an id": {"/products/batch", `{"update":[{"name":"x"}]}`, `{"update":[{"id":1}]}`},
		"an unknown status":       {"/products/batch", `{"create":[{"status":"live"}]}`, `{"create":[{"id":1}]}`},
		"too many rows":           {"/products/batch", many, `{}`},
		"another list":            {"/products/batch", `{"upsert":[]}`, `{}`},
		"an id as text":           {"/products/1/variations/batch", `{"delete":["1"]}`, `{}`},
		"images of a variation":   {"/products/1/variations/batch", `{"create":[{"image":[{"src":"x"}]}]}`, `{}`},
		"a category's parent":     {"/products/categories", `{"name":"x","parent":"y"}`, `{"id":1}`},
		"no category's name":      {"/products/categories", `{"parent":1}`, `{"id":1}`},
		"another path":            {"/product", `{}`, `{}`},
		"an answer's row":         {"/products/batch", `{"create":[{"name":"x"}]}`, `{"create":[{"id":"1"}]}`},
		"a misspelt field":        {"/products/batch", `{"create":[{"name":"x","regularprice":"1"}]}`, `{"create":[{"id":1}]}`},
		"a misspelt member":       {"/products/batch", `{"create":[{"name":"x","images":[{"url":"x"}]}]}`, `{"create":[{"id":1}]}`},
		"a field of answers":      {"/products/batch", `{"update":[{"id":1,"price":"1"}]}`, `{"update":[{"id":1}]}`},
		"an error without status": {"/products/batch", `{"create":[{"name":"x"}]}`, `{"create":[{"id":0,"error":{"code":"x","message":"y","data":{}}}]}`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/wp-json/wc/v3"+x.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if contract.exchange(connectortest.Exchange{Request: r, Sent: []byte(x.sent), Status: 200, Answer: json.RawMessage(x.answer)}) == nil {
			t.Errorf("%s passes", what)
		}
	}
}
