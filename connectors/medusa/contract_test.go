package medusa_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/sluicehub/sluice/connectors/connectortest"
)

// contract is Medusa's, of 2.13. It is loaded without being validated itself:
// upstream slips would end that.
type contract struct {
	whole   *openapi3.T
	partial *openapi3.T // nothing is required: answers hold only the fields asked for
}

// newer are the operations and parameters that are not in the contract, and that
// a real Medusa 2.21 takes.
var (
	newer = []string{
		"GET /admin/shipping-profiles",            // left out of the subset that is at hand
		"POST /admin/products/{id}/options/batch", // since 2.16
	}
	newerParameters = []string{"GET /admin/products external_id", "GET /admin/product-variants sku", "GET /admin/inventory-items sku"}
)

func loadContract(t *testing.T) *contract {
	t.Helper()
	raw := connectortest.Spec(t, "medusa/admin.subset.json")
	var document map[string]any
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatal(err)
	}
	// A parameter that may be left out has, by a slip, fields that may not.
	paths, _ := document["paths"].(map[string]any)
	for _, path := range paths {
		operations, _ := path.(map[string]any)
		if get, ok := operations["get"].(map[string]any); ok {
			unrequire(get["parameters"])
		}
	}
	form(t, paths)
	allow(document)
	c := &contract{whole: parseContract(t, document)}
	unrequire(document)
	c.partial = parseContract(t, document)
	return c
}

// uploads is the one operation that takes a form.
const uploads = "/admin/uploads"

// form makes the contract's body of an upload what it is: a list of files, which
// the contract describes by a browser's objects, as if they were JSON. A real
// Medusa 2.21 answers "No files were uploaded" to that.
func form(t *testing.T, paths map[string]any) {
	t.Helper()
	at := paths
	for _, name := range []string{uploads, "post", "requestBody", "content"} {
		next, ok := at[name].(map[string]any)
		if !ok {
			t.Fatalf("the contract of %s has no %s", uploads, name)
		}
		at = next
	}
	file := map[string]any{"type": "string", "format": "binary"}
	files := map[string]any{"type": "array", "items": file, "minItems": 1}
	clear(at)
	at["multipart/form-data"] = map[string]any{"schema": map[string]any{
		"type": "object", "required": []any{"files"}, "additionalProperties": false, "properties": map[string]any{"files": files},
	}}
	openapi3filter.RegisterBodyDecoder("image/png", openapi3filter.FileBodyDecoder)
}

func parseContract(t *testing.T, document map[string]any) *openapi3.T {
	t.Helper()
	raw, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// nulls are fields that a real Medusa 2.21 was seen to answer null, or to take
// null for so that they are cleared, though the contract does not let it; in the
// second line what its tables hold as null where nobody gave it.
var nulls = []string{
	"default_location_id", "subtitle", "description", "ean", "upc", "barcode", "thumbnail", "external_id", "origin_country", "material", "metadata",
	"weight", "length", "height", "width", "hs_code", "mid_code", "min_quantity", "max_quantity",
}

// allow lets nulls be null in a document's schemas.
func allow(v any) {
	switch v := v.(type) {
	case map[string]any:
		if properties, ok := v["properties"].(map[string]any); ok {
			for _, name := range nulls {
				if schema, ok := properties[name].(map[string]any); ok {
					schema["nullable"] = true
				}
			}
		}
		for _, e := range v {
			allow(e)
		}
	case []any:
		for _, e := range v {
			allow(e)
		}
	}
}

// unrequire takes the lists of required fields out of a document's schemas.
func unrequire(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, list := v["required"].([]any); list {
			delete(v, "required")
		}
		for _, e := range v {
			unrequire(e)
		}
	case []any:
		for _, e := range v {
			unrequire(e)
		}
	}
}

// find is a request's operation and the path's template.
func find(doc *openapi3.T, method, path string) (*routers.Route, map[string]string) {
	segments := strings.Split(path, "/")
	var found *routers.Route
	var params map[string]string
	for template, item := range doc.Paths.Map() {
		parts := strings.Split(template, "/")
		operation := item.GetOperation(method)
		if len(parts) != len(segments) || operation == nil {
			continue
		}
		values, fits, exact := map[string]string{}, true, true
		for i, s := range parts {
			if name, ok := strings.CutPrefix(s, "{"); ok {
				values[strings.TrimSuffix(name, "}")], exact = segments[i], false
			} else if s != segments[i] {
				fits = false
			}
		}
		if fits && (found == nil || exact) {
			found, params = &routers.Route{Spec: doc, Path: template, PathItem: item, Method: method, Operation: operation}, values
		}
	}
	return found, params
}

// check holds one exchange against the contract. Known is false where the
// contract does not describe the operation.
func (c *contract) check(e *connectortest.Exchange) (known bool, err error) {
	path, what := e.Request.URL.Path, e.Request.Method+" "
	if parts := strings.Split(path, "/"); len(parts) == 6 && parts[4] == "options" {
		parts[3] = "{id}"
		what += strings.Join(parts, "/")
	} else {
		what += path
	}
	if slices.Contains(newer, what) || strings.HasPrefix(path, "/static/") { // files are no part of the API
		return false, nil
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	req := e.Request.Clone(context.Background())
	// The contract writes lists as a=1&a=2, Medusa reads a[]=1&a[]=2 as well.
	q := url.Values{}
	for name, values := range req.URL.Query() {
		q[strings.TrimSuffix(name, "[]")] = values
	}
	req.URL.RawQuery = q.Encode()
	req.Body = io.NopCloser(bytes.NewReader(e.Sent))
	route, params := find(c.whole, req.Method, path)
	if route == nil {
		return false, fmt.Errorf("there is no operation %s", what)
	}
	input := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		return true, fmt.Errorf("request %s %s: %w", what, e.Sent, err)
	}
	for name := range q {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil && !slices.Contains(newerParameters, req.Method+" "+path+" "+name) {
			return true, fmt.Errorf("request %s: there is no parameter %q", what, name)
		}
	}
	if _, key, ok := req.BasicAuth(); !ok || key != "" {
		return true, fmt.Errorf("request %s: no Basic authorization with an empty password", what)
	}
	broken := !json.Valid(e.Answer) // on purpose
	if broken {
		return true, nil
	}
	answers := c.partial
	if path == uploads {
		answers = c.whole // no fields are asked for: there are all
	}
	if route, _ = find(answers, req.Method, path); e.Status >= 400 {
		var body any
		if err := json.Unmarshal(e.Answer, &body); err != nil {
			return true, fmt.Errorf("answer to %s: %w", what, err)
		}
		schema := c.partial.Components.Schemas["Error"].Value
		if err := schema.VisitJSON(body); err != nil {
			return true, fmt.Errorf("answer %s to %s: %w", e.Answer, what, err)
		}
		return true, nil
	}
	input.Route = route
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: e.Status, Header: e.Header, Options: options}
	answer.SetBodyBytes(e.Answer)
	if err := openapi3filter.ValidateResponse(context.Background(), answer); err != nil {
		return true, fmt.Errorf("answer %s to %s: %w", e.Answer, what, err)
	}
	return true, nil
}

// Everything that the tests' connectors say to fakes, and fakes to them, is as
// Medusa's contract has it.
func TestContract(t *testing.T) {
	c := loadContract(t)
	recordersMu.Lock()
	before := len(recorders)
	recordersMu.Unlock()
	for name, test := range map[string]func(*testing.T){
		"conformance": TestConformance, "families": TestProductsAndVariants, "default variant": TestDefaultVariant, "siblings": TestSiblingsAtOnce,
		"no options": TestVariantsWithoutOptionsAndWithTheSame, "moves": TestMoves, "others": TestOthersProducts, "order": TestNothingIsSoldThatShouldNotBe,
		"stale": TestStaleMemory, "stock": TestStockComesBack, "offers": TestOfferDetails, "locations": TestStockLocations, "categories": TestCategories,
		"handles": TestHandles, "drafts": TestWithdrawalToDraft, "lost": TestLostCreationIsFound, "bisection": TestBisection, "pictures": TestPictures, "poison": TestPoison,
		"read": TestReadBack, "read what differs": TestReadTellsWhatDiffers, "uploads": TestUpload, "uploads' names": TestUploadNames,
	} {
		t.Run(name, test)
	}
	recordersMu.Lock()
	heard := slices.Clone(recorders[before:])
	recordersMu.Unlock()
	known, unknown := 0, 0
	operations := map[string]bool{}
	for _, r := range heard {
		for _, e := range r.Exchanges() {
			ok, err := c.check(&e)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				known++
				if route, _ := find(c.whole, e.Request.Method, e.Request.URL.Path); route != nil {
					operations[e.Request.Method+" "+route.Path] = true
				}
			} else {
				unknown++
			}
		}
	}
	t.Logf("%d exchanges of %d operations checked, %d of operations that the contract does not have", known, len(operations), unknown)
	if len(operations) < 10 || !operations["POST "+uploads] {
		t.Errorf("only these operations were heard: %v", operations)
	}
}

// The check can fail.
func TestContractRefusesWhatIsWrong(t *testing.T) {
	c := loadContract(t)
	exchange := func(method, target, sent, answer string) *connectortest.Exchange {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://shop.example"+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth(key, "")
		return &connectortest.Exchange{Request: req, Sent: []byte(sent), Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Answer: []byte(answer)}
	}
	upload := func(field, answer string) *connectortest.Exchange {
		x := exchange("POST", uploads, "--b\r\nContent-Disposition: form-data; name=\""+field+"\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\na\r\n--b--\r\n", answer)
		x.Request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		return x
	}
	fine := `{"created":[],"updated":[],"deleted":{"ids":[],"object":"product","deleted":true}}`
	for _, e := range []struct {
		x    *connectortest.Exchange
		fine bool
	}{
		{exchange("POST", "/admin/products/batch", `{"update":[{"id":"prod_1","title":"A"}]}`, fine), true},
		{exchange("POST", "/admin/products/batch", `{"create":[{"options":[]}]}`, fine), false},                       // no title
		{exchange("POST", "/admin/products/batch", `{"update":[{"id":"prod_1","status":"live"}]}`, fine), false},      // no such status
		{exchange("POST", "/admin/products/batch", `{"update":[{"id":"prod_1"}]}`, `{"created":[{"id":1}]}`), false},  // an id that is no text
		{exchange("POST", "/admin/inventory-items/location-levels/batch", `{"create":[]}`, `{}`), false},              // update and delete are demanded
		{exchange("GET", "/admin/products?colour=red", "", `{"products":[],"count":0,"offset":0,"limit":50}`), false}, // no such parameter
		{exchange("GET", "/admin/nothing", "", `{}`), false},                                                          // no such path
		{exchange("GET", "/admin/products?limit=1", "", `{"products":{},"count":0,"offset":0,"limit":50}`), false},    // a list that is none
		{exchange("GET", "/admin/products?limit=1", "", `{"products":[],"count":0,"offset":0,"limit":50}`), true},
		{upload("files", `{"files":[{"id":"1-a.png","url":"https://img.example/1-a.png"}]}`), true},
		{upload("file", `{"files":[{"id":"1-a.png","url":"https://img.example/1-a.png"}]}`), false}, // not the field's name
		{upload("files", `{"files":[{"id":"1-a.png"}]}`), false},                                    // no URL
		{upload("files", `{"file":{"id":"1-a.png","url":"https://img.example/1-a.png"}}`), false},   // no list
		{exchange("POST", uploads, `{"files":[{"name":"a.png","content":"YQ=="}]}`, `{"files":[]}`), false},
	} {
		if _, err := c.check(e.x); (err == nil) != e.fine {
			t.Errorf("%s %s %s → %s: %v", e.x.Request.Method, e.x.Request.URL, e.x.Sent, e.x.Answer, err)
		}
	}
}
