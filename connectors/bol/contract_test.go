package bol_test

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

	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/connectors/connectortest"
)

// contract is one of bol's documents. They are loaded without being validated
// themselves: upstream slips in the security scheme would end that.
type contract struct {
	doc     *openapi3.T
	problem *openapi3.Schema // nil: the document does not describe refusals
}

// route finds the operation of a request.
func (c contract) route(req *http.Request) (*routers.Route, map[string]string) {
	segments := strings.Split(req.URL.Path, "/")
paths:
	for path, item := range c.doc.Paths.Map() {
		template := strings.Split(path, "/")
		operation := item.GetOperation(req.Method)
		if len(template) != len(segments) || operation == nil {
			continue
		}
		params := map[string]string{}
		for i, s := range template {
			if name, ok := strings.CutPrefix(s, "{"); ok {
				params[strings.TrimSuffix(name, "}")] = segments[i]
			} else if s != segments[i] {
				continue paths
			}
		}
		return &routers.Route{Spec: c.doc, Path: path, PathItem: item, Method: req.Method, Operation: operation}, params
	}
	return nil, nil
}

func load(t *testing.T, name string) contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(connectortest.Spec(t, "bol/"+name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	c := contract{doc: doc}
	if p := doc.Components.Schemas["Problem"]; p != nil {
		c.problem = p.Value
	}
	return c
}

// contracts are bol's, by how paths begin.
type contracts map[string]contract

func loadContracts(t *testing.T) contracts {
	t.Helper()
	for _, media := range []string{"application/vnd.retailer.v10+json", "application/vnd.retailer.v11+json"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.JSONBodyDecoder)
	}
	c := contracts{
		"/retailer/offers":  load(t, "offers-v11.3.normalised.json"),
		"/retailer/content": load(t, "retailer-v10.json"),
		"/shared":           load(t, "shared-v10.json"),
	}
	offers := c["/retailer/offers"]
	offers.problem = c["/shared"].problem // the normalised document has lost its own
	c["/retailer/offers"] = offers
	return c
}

// check holds one exchange against the contract; nil for those that no document
// describes, which is the login.
func (c contracts) check(e *connectortest.Exchange) error {
	if e.Request.URL.Path == "/token" {
		return nil
	}
	for prefix, doc := range c {
		if strings.HasPrefix(e.Request.URL.Path, prefix) {
			return doc.check(e)
		}
	}
	return fmt.Errorf("no document knows %s", e.Request.URL.Path)
}

func (c contract) check(e *connectortest.Exchange) error {
	req := e.Request.Clone(context.Background())
	req.Body = io.NopCloser(bytes.NewReader(e.Sent))
	route, params := c.route(req)
	if route == nil {
		return fmt.Errorf("there is no operation %s %s", req.Method, req.URL.Path)
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	input := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		return fmt.Errorf("request %s %s %s: %w", req.Method, req.URL, e.Sent, err)
	}
	for name := range req.URL.Query() {
		if route.Operation.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("request %s %s: there is no parameter %q", req.Method, req.URL.Path, name)
		}
	}
	switch {
	case e.Header.Get(boltest.Faulty) != "" || len(e.Answer) == 0 && e.Status == http.StatusOK:
		return nil // broken on purpose
	case e.Status >= 400:
		var body any
		if err := json.Unmarshal(e.Answer, &body); err != nil {
			return fmt.Errorf("answer %d to %s %s: %w", e.Status, req.Method, req.URL.Path, err)
		}
		if err := c.problem.VisitJSON(body); err != nil {
			return fmt.Errorf("answer %s to %s %s: %w", e.Answer, req.Method, req.URL.Path, err)
		}
		return nil
	}
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: e.Status, Header: e.Header, Options: options}
	if e.Status == http.StatusNoContent {
		if len(e.Answer) > 0 {
			return fmt.Errorf("answer 204 with a body")
		}
		return nil
	}
	answer.SetBodyBytes(e.Answer)
	if err := openapi3filter.ValidateResponse(context.Background(), answer); err != nil {
		return fmt.Errorf("answer %d %s to %s %s: %w", e.Status, e.Answer, req.Method, req.URL.Path, err)
	}
	return nil
}

// Everything that the connector says to the fake, and the fake to it, is as
// bol's contract has it.
func TestContract(t *testing.T) {
	c := loadContracts(t)
	var (
		mu        sync.Mutex
		recorders []*connectortest.Recorder
	)
	wrap := func(fake http.Handler) http.Handler {
		r := &connectortest.Recorder{Handler: fake}
		mu.Lock()
		defer mu.Unlock()
		recorders = append(recorders, r)
		return r
	}
	t.Run("conformance", func(t *testing.T) { connectortest.Run(t, harness(wrap)) })
	for name, run := range scenarios {
		t.Run(name, func(t *testing.T) { run(t, wrap) })
	}
	t.Run("refusals", func(t *testing.T) { refusals(t, wrap) })
	seen := map[string]int{}
	for _, r := range recorders {
		for _, e := range r.Exchanges() {
			operation := e.Request.Pattern
			seen[operation]++
			if err := c.check(&e); err != nil {
				t.Fatalf("%v", err)
			}
		}
	}
	for _, op := range []string{
		boltest.Login, boltest.ListOffers, boltest.CreateOffer, boltest.UpdateOffer, boltest.DeleteOffer, boltest.Reasons,
		boltest.PostContent, boltest.GetReport, boltest.ProcessStatus,
	} {
		if seen[op] == 0 {
			t.Errorf("%s was never called: its contract was not checked (%v)", op, seen)
		}
	}
}

// The check refuses what is wrong.
func TestContractCheckCanFail(t *testing.T) {
	c := loadContracts(t)
	exchange := func(method, path, media, sent string, status int, answer string) *connectortest.Exchange {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://bol.example"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if sent != "" {
			req.Header.Set("Content-Type", media)
		}
		return &connectortest.Exchange{Request: req, Sent: []byte(sent), Status: status, Answer: []byte(answer), Header: http.Header{"Content-Type": {media}}}
	}
	const (
		v10   = "application/vnd.retailer.v10+json"
		v11   = "application/vnd.retailer.v11+json"
		made  = `{"offerId":"6ff736b5-cdd0-4150-8c67-78269ee986f5"}`
		good  = `{"ean":"4006381333931","condition":{"category":"NEW"},"pricing":{"bundlePrices":[{"quantity":1,"unitPrice":1.50}]},"fulfilment":{"method":"FBB"}}`
		taken = `{"createTimestamp":"2026-01-01T00:00:00Z","description":"d","eventType":"e","links":[],"status":"PENDING"}`
	)
	for name, e := range map[string]struct {
		*connectortest.Exchange
		fine bool
	}{
		"right offer":         {exchange("POST", "/retailer/offers", v11, good, 201, made), true},
		"price is a text":     {exchange("POST", "/retailer/offers", v11, strings.Replace(good, "1.50", `"1.50"`, 1), 201, made), false},
		"price too low":       {exchange("POST", "/retailer/offers", v11, strings.Replace(good, "1.50", "0.50", 1), 201, made), false},
		"no condition":        {exchange("POST", "/retailer/offers", v11, strings.Replace(good, `"condition":{"category":"NEW"},`, "", 1), 201, made), false},
		"media type of v10":   {exchange("POST", "/retailer/offers", v10, good, 201, made), false},
		"wrong answer":        {exchange("POST", "/retailer/offers", v11, good, 201, `{"offerId":7}`), false},
		"unknown status":      {exchange("POST", "/retailer/offers", v11, good, 202, made), false},
		"unknown path":        {exchange("POST", "/retailer/offer", v11, good, 201, made), false},
		"unknown parameter":   {exchange("GET", "/retailer/offers?eannn=1", v11, "", 200, `{"offers":[],"page":{}}`), false},
		"right page":          {exchange("GET", "/retailer/offers?eans=1&eans=2&page-size=100", v11, "", 200, `{"offers":[],"page":{}}`), true},
		"page too large":      {exchange("GET", "/retailer/offers?page-size=101", v11, "", 200, `{"offers":[],"page":{}}`), false},
		"refusal of no shape": {exchange("POST", "/retailer/offers", v11, good, 400, `{"error":"no"}`), false},
		"right content":       {exchange("POST", "/retailer/content/products", v10, `{"language":"nl","attributes":[{"id":"EAN","values":[{"value":"1","unitId":""}]}]}`, 202, taken), true},
		"no unit":             {exchange("POST", "/retailer/content/products", v10, `{"language":"nl","attributes":[{"id":"EAN","values":[{"value":"1"}]}]}`, 202, taken), false},
		"other language":      {exchange("POST", "/retailer/content/products", v10, `{"language":"de","attributes":[{"id":"EAN","values":[{"value":"1","unitId":""}]}]}`, 202, taken), false},
		"no process":          {exchange("POST", "/shared/process-status", v10, `{"processStatusQueries":[]}`, 200, `{"processStatuses":[]}`), false},
	} {
		if err := c.check(e.Exchange); (err == nil) != e.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
