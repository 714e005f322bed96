package translationtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/translation/faulty"
)

// Contract is a service's OpenAPI document.
type Contract struct {
	doc *openapi3.T
	// Strict also holds requests to have no member that the document does not know
	// at the top of a JSON body.
	Strict bool
}

// LoadContract reads the document spec below the vendors' contracts, such as
// "deepl/openapi.yaml". It is not validated itself: upstream slips would end that.
func LoadContract(t *testing.T, spec string) *Contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(connectortest.Spec(t, spec))
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	return &Contract{doc: doc, Strict: true}
}

// Check holds one exchange against the contract: the request as a whole, and the
// answer of a status that the contract describes with a schema. Answers that a
// fault broke on purpose, and refusals of statuses that it does not know, are not
// looked at.
func (c *Contract) Check(e *connectortest.Exchange) error {
	req := e.Request.Clone(context.Background())
	req.Body = io.NopCloser(bytes.NewReader(e.Sent))
	item := c.doc.Paths.Value(req.URL.Path)
	if item == nil || item.GetOperation(req.Method) == nil {
		return fmt.Errorf("there is no operation %s %s", req.Method, req.URL.Path)
	}
	operation := item.GetOperation(req.Method)
	route := &routers.Route{Spec: c.doc, Path: req.URL.Path, PathItem: item, Method: req.Method, Operation: operation}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	input := &openapi3filter.RequestValidationInput{Request: req, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		return fmt.Errorf("request %s %s %s: %w", req.Method, req.URL, e.Sent, err)
	}
	for name := range req.URL.Query() {
		if operation.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("request %s %s: there is no parameter %q", req.Method, req.URL.Path, name)
		}
	}
	if err := c.known(operation, e.Sent); err != nil {
		return fmt.Errorf("request %s %s: %w", req.Method, req.URL.Path, err)
	}
	described := operation.Responses.Status(e.Status)
	if e.Header.Get(faulty.Header) != "" || described == nil && e.Status != http.StatusOK || described != nil && len(described.Value.Content) == 0 || len(e.Answer) == 0 {
		return nil
	}
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: e.Status, Header: e.Header, Options: options}
	answer.SetBodyBytes(e.Answer)
	if err := openapi3filter.ValidateResponse(context.Background(), answer); err != nil {
		return fmt.Errorf("answer %d %s to %s %s: %w", e.Status, e.Answer, req.Method, req.URL.Path, err)
	}
	return nil
}

// known looks for members at the top of a JSON body that the document lacks: a
// misspelt one would be no error to the schema.
func (c *Contract) known(operation *openapi3.Operation, sent []byte) error {
	if operation.RequestBody == nil || !c.Strict {
		return nil
	}
	media := operation.RequestBody.Value.Content.Get("application/json")
	var members map[string]json.RawMessage
	if media == nil || len(sent) == 0 {
		return nil
	}
	if err := json.Unmarshal(sent, &members); err != nil {
		return err
	}
	for name := range members {
		if !has(media.Schema, name) {
			return fmt.Errorf("there is no member %q", name)
		}
	}
	return nil
}

func has(schema *openapi3.SchemaRef, name string) bool {
	if schema == nil || schema.Value == nil {
		return false
	}
	if schema.Value.Properties[name] != nil {
		return true
	}
	for _, part := range schema.Value.AllOf {
		if has(part, name) {
			return true
		}
	}
	return false
}

// Record runs tests, each of which puts wrap between provider and fake, and then
// holds everything that was said against check.
func Record(t *testing.T, check func(*connectortest.Exchange) error, run func(t *testing.T, wrap func(http.Handler) http.Handler)) map[string]int {
	t.Helper()
	var (
		mu        sync.Mutex
		recorders []*connectortest.Recorder
	)
	run(t, func(fake http.Handler) http.Handler {
		r := &connectortest.Recorder{Handler: fake}
		mu.Lock()
		defer mu.Unlock()
		recorders = append(recorders, r)
		return r
	})
	seen := map[string]int{}
	for _, r := range recorders {
		for _, e := range r.Exchanges() {
			seen[fmt.Sprintf("%s %s %d", e.Request.Method, e.Request.URL.Path, e.Status)]++
			if err := check(&e); err != nil {
				t.Fatal(err)
			}
		}
	}
	return seen
}

// MadeUp is an exchange that never was, to see that a check can fail.
func MadeUp(t *testing.T, method, path, media, sent string, status int, answer string) *connectortest.Exchange {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://service.example"+path, strings.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	if sent != "" {
		req.Header.Set("Content-Type", media)
	}
	return &connectortest.Exchange{Request: req, Sent: []byte(sent), Status: status, Answer: []byte(answer), Header: http.Header{"Content-Type": {"application/json"}}}
}
