package boltest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/bol/boltest"
)

const (
	v10   = "application/vnd.retailer.v10+json"
	v11   = "application/vnd.retailer.v11+json"
	offer = `{"ean":"4006381333931","reference":"A","condition":{"category":"NEW"},"pricing":{"bundlePrices":[{"quantity":1,"unitPrice":5}]},"fulfilment":{"method":"FBB"}}`
)

// caller speaks to a fake by hand.
type caller struct {
	*testing.T
	fake  *boltest.Server
	token string
}

func newCaller(t *testing.T) *caller {
	t.Helper()
	c := &caller{T: t, fake: boltest.Start(t, boltest.Options{})}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.fake.LoginURL(), strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(c.fake.ClientID(), c.fake.ClientSecret())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		Token string `json:"access_token"`
	}
	if _, raw := c.send(req); json.Unmarshal(raw, &answer) != nil || answer.Token == "" {
		t.Fatalf("login: %s", raw)
	}
	c.token = answer.Token
	return c
}

// reply is an answer whose body was read.
type reply struct {
	StatusCode int
	Header     http.Header
}

func (c *caller) send(req *http.Request) (reply, []byte) {
	c.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		c.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header}, raw
}

func (c *caller) call(method, path, media, body string) (reply, string) {
	c.Helper()
	req, err := http.NewRequestWithContext(c.Context(), method, c.fake.URL()+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Accept", media)
	if body != "" {
		req.Header.Set("Content-Type", media)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, raw := c.send(req)
	return resp, string(raw)
}

// What no document can be the reason of is a violation, and refused.
func TestViolations(t *testing.T) {
	for name, call := range map[string]struct {
		method, path, media, body string
		status                    int
	}{
		"no such operation": {"GET", "/retailer/orders", v10, "", 404},
		"another method":    {"PUT", "/retailer/offers", v11, offer, 404},
		"another version":   {"POST", "/retailer/offers", v10, offer, 406},
		"unknown field":     {"POST", "/retailer/offers", v11, strings.Replace(offer, `"reference"`, `"sku"`, 1), 400},
		"no JSON":           {"POST", "/retailer/offers", v11, `{"ean":`, 400},
		"two documents":     {"POST", "/retailer/offers", v11, offer + offer, 400},
		"unknown parameter": {"GET", "/retailer/offers?ean=1", v11, "", 200},
		"page size":         {"GET", "/retailer/offers?page-size=101", v11, "", 400},
		"cursor":            {"GET", "/retailer/offers?cursor=x", v11, "", 400},
		"no processes":      {"POST", "/shared/process-status", v10, `{"processStatusQueries":[]}`, 400},
		"many processes":    {"POST", "/shared/process-status", v10, `{"processStatusQueries":[` + strings.Repeat(`{"processStatusId":"1"},`, 1000) + `{"processStatusId":"1"}]}`, 400},
		"no unit":           {"POST", "/retailer/content/products", v10, `{"language":"nl","attributes":[{"id":"EAN","values":[{"value":"4006381333931"}]}]}`, 202},
	} {
		c := newCaller(t)
		resp, body := c.call(call.method, call.path, call.media, call.body)
		if resp.StatusCode != call.status {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
		if len(c.fake.Forgive()) != 1 {
			t.Errorf("%s is no violation", name)
		}
	}
	c := newCaller(t)
	c.token = ""
	if resp, _ := c.call("GET", "/retailer/offers", v11, ""); resp.StatusCode != http.StatusUnauthorized || len(c.fake.Forgive()) != 1 {
		t.Errorf("no token: %d", resp.StatusCode)
	}
}

// bol's rules for fields, told as violations of a problem.
func TestRules(t *testing.T) {
	c := newCaller(t)
	if resp, body := c.call("POST", "/retailer/offers", v11, offer); resp.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for field, body := range map[string]string{
		`"ean"`:                                   offer, // a second one of this EAN and condition
		`"condition"`:                             strings.Replace(offer, `{"category":"NEW"}`, `{"category":"REFURBISHED"}`, 1),
		`"condition.category"`:                    strings.Replace(offer, `"NEW"`, `"OLD"`, 1),
		`"pricing.bundlePrices"`:                  strings.Replace(offer, `{"quantity":1,"unitPrice":5}`, ``, 1),
		`"pricing.bundlePrices[0].unitPrice"`:     strings.Replace(offer, `:5`, `:0.5`, 1),
		`"pricing.bundlePrices[0].quantity"`:      strings.Replace(offer, `"quantity":1`, `"quantity":2`, 1),
		`"pricing.bundlePrices[1].unitPrice"`:     strings.Replace(offer, `:5}`, `:5},{"quantity":2,"unitPrice":5}`, 1),
		`"fulfilment.method"`:                     strings.Replace(offer, `"FBB"`, `""`, 1),
		`"stock.managedByRetailer"`:               strings.Replace(offer, `"reference"`, `"stock":{"amount":1},"reference"`, 1),
		`"stock.amount"`:                          strings.Replace(offer, `"reference"`, `"stock":{"amount":1000,"managedByRetailer":true},"reference"`, 1),
		`"reference"`:                             strings.Replace(offer, `"A"`, `"`+strings.Repeat("x", 101)+`"`, 1),
		`"countryAvailabilities[0].countryCode"`:  strings.Replace(offer, `"reference"`, `"countryAvailabilities":[{"countryCode":"DE"}],"reference"`, 1),
		`"pricing"`:                               `{"ean":"4006381333931","condition":{"category":"NEW"},"fulfilment":{"method":"FBB"}}`,
		`"fulfilment.deliveryPromise"`:            strings.Replace(offer, `"FBB"`, `"FBR","deliveryPromise":{"minimumDaysToCustomer":2,"maximumDaysToCustomer":1}`, 1),
		`"fulfilment.schedule","reason":"Request`: strings.Replace(offer, `"FBB"`, `"FBR","schedule":"SOON"`, 1),
	} {
		resp, answer := c.call("POST", "/retailer/offers", v11, body)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(answer, `{"name":`+field) {
			t.Errorf("%s: %d %s", field, resp.StatusCode, answer)
		}
	}
	for field, body := range map[string]string{
		`"language"`:                       `{"language":"de","attributes":[{"id":"EAN","values":[{"value":"1","unitId":""}]}]}`,
		`"attributes"`:                     `{"language":"nl","attributes":[{"id":"Name","values":[{"value":"1","unitId":""}]}]}`,
		`"attributes[0].values"`:           `{"language":"nl","attributes":[{"id":"EAN","values":[]}]}`,
		`"attributes[0].values[0].value"`:  `{"language":"nl","attributes":[{"id":"EAN","values":[{"value":"","unitId":""}]}]}`,
		`"assets[0].labels"`:               `{"language":"nl","attributes":[{"id":"EAN","values":[{"value":"1","unitId":""}]}],"assets":[{"url":"https://x.example/1","labels":[]}]}`,
		`"assets[0].url"`:                  `{"language":"nl","attributes":[{"id":"EAN","values":[{"value":"1","unitId":""}]}],"assets":[{"url":"1","labels":["FRONT"]}]}`,
		`"attributes[0].id","reason":"siz`: `{"language":"nl","attributes":[{"id":"","values":[{"value":"1","unitId":""}]}]}`,
	} {
		resp, answer := c.call("POST", "/retailer/content/products", v10, body)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(answer, `{"name":`+field) {
			t.Errorf("%s: %d %s", field, resp.StatusCode, answer)
		}
	}
	if len(c.fake.Offers()) != 1 || c.fake.Products() != 0 {
		t.Error("something that was refused is held")
	}
}

func TestLimits(t *testing.T) {
	c := newCaller(t)
	c.fake.SetLimit(boltest.ListOffers, boltest.Limit{Calls: 2, Per: time.Hour})
	for i, want := range []struct {
		status    int
		remaining string
	}{{200, "1"}, {200, "0"}, {429, "0"}} {
		resp, _ := c.call("GET", "/retailer/offers", v11, "")
		if resp.StatusCode != want.status || resp.Header.Get("X-RateLimit-Remaining") != want.remaining || (resp.Header.Get("Retry-After") != "") != (want.status == 429) {
			t.Errorf("call %d: %d %v", i, resp.StatusCode, resp.Header)
		}
	}
	c.fake.Revoke()
	if resp, _ := c.call("GET", "/retailer/offers", v11, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d", resp.StatusCode)
	}
}

func TestAdmin(t *testing.T) {
	c := newCaller(t)
	c.call("POST", "/retailer/offers", v11, offer)
	if resp, body := c.call("GET", "/_fake/offers/A", v11, ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, "4006381333931") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := c.call("GET", "/_fake/offers/B", v11, ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("%d", resp.StatusCode)
	}
	c.call("POST", "/_fake/down", v11, "")
	if resp, _ := c.call("GET", "/retailer/offers", v11, ""); resp.StatusCode != http.StatusInternalServerError {
		t.Errorf("down: %d", resp.StatusCode)
	}
	c.call("POST", "/_fake/up", v11, "")
	if resp, _ := c.call("GET", "/retailer/offers", v11, ""); resp.StatusCode != http.StatusOK {
		t.Errorf("up: %d", resp.StatusCode)
	}
	c.call("POST", "/_fake/throttle?seconds=7", v11, "")
	if resp, _ := c.call("GET", "/retailer/offers", v11, ""); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "7" {
		t.Errorf("throttle: %d", resp.StatusCode)
	}
	var sum boltest.Summary
	if _, body := c.call("POST", "/_fake/process", v11, ""); json.Unmarshal([]byte(body), &sum) != nil || sum.Offers != 1 || sum.ForSale != 0 || sum.Faults != 1 {
		t.Errorf("%s", body)
	}
}
