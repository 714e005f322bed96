package medusa_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/medusa"
	"github.com/sluicehub/sluice/connectors/medusa/medusatest"
	"github.com/sluicehub/sluice/pim"
)

// Every answer that a real Medusa 2.21.2 was seen to give, and what stands before
// one may give, with the body as it was; the key is repeated in each.
func TestVerdicts(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte(key + ":"))
	said := func(message string) string {
		b, err := json.Marshal(map[string]string{"type": "invalid_data", "message": message})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		status    int
		header    string // Retry-After
		body      string
		verdict   connectors.Verdict
		uncertain bool
		after     time.Duration
		code      string // of the issue
		attribute string
		text      string // in the error
	}{
		{400, "", said("Product with handle: t-a1, already exists. " + basic), connectors.Validation, false, 0, "medusa.handle_taken", "handle", "t-a1, already exists"},
		{400, "", said("Product variant with ean: 123, already exists. " + key), connectors.Validation, false, 0, "medusa.code_taken", "ean", "ean: 123"},
		{400, "", said("Product variant with sku: A1, already exists."), connectors.Conflict, false, 0, "medusa.sku_taken", "sku", "sku: A1"},
		{400, "", said("Inventory item with sku: S2, already exists."), connectors.Conflict, false, 0, "medusa.inventory_taken", "sku", "sku: S2"},
		{400, "", said("Cannot update non-existing variants with ids: variant_no"), connectors.Conflict, false, 0, "medusa.gone", "", "variant_no"},
		{400, "", said("Invalid product handle 'Foo Bar'. It must contain URL safe characters"), connectors.Validation, false, 0, "medusa.handle", "handle", "Foo Bar"},
		{400, "", said("Product title is required"), connectors.Validation, false, 0, "medusa.title", "title", "title is required"},
		{400, "", said("Invalid request: Field 'create, 0, title' is required"), connectors.Validation, false, 0, "medusa.field", "title", "create, 0, title"},
		{400, "", said("Invalid request: Field 'create, 0, variants, 0, prices, 0, amount' is required"), connectors.Validation, false, 0, "medusa.field", "amount", "amount"},
		{400, "", said("Invalid request: Value for field 'update, 0, stocked_quantity' too small, expected at least: '0'"), connectors.Validation, false, 0, "medusa.field", "stocked_quantity", "too small"},
		{400, "", said("Invalid request: Unrecognized fields: 'colour'"), connectors.Validation, false, 0, "medusa.field", "colour", "Unrecognized"},
		{400, "", said("Option value X does not exist for option Size"), connectors.Validation, false, 0, "medusa.options", "options", "option Size"},
		{400, "", said("Product has 2 option values but there were 1 provided option values for the variant: L / red."), connectors.Validation, false, 0, "medusa.options", "options", "L / red"},
		{400, "", said("Variant (S / red) with provided options already exists."), connectors.Validation, false, 0, "medusa.options_taken", "options", "S / red"},
		{400, "", said("a plug-in of the shop does not want it"), connectors.Validation, false, 0, "medusa.invalid_data", "", "plug-in"},
		{422, "", `{"code":"invalid_request_error","type":"duplicate_error","message":"twice"}`, connectors.Validation, false, 0, "medusa.duplicate_error", "", "twice"},
		{401, "", `{"message":"Unauthorized ` + key + `"}`, connectors.Auth, false, 0, "", "", "401"},
		{403, "", `{"type":"forbidden","message":"no"}`, connectors.Auth, false, 0, "", "", "403"},
		{404, "", `{"type":"not_found","message":"Unable to update the products with ids: prod_no"}`, connectors.Conflict, false, 0, "", "", "prod_no"},
		{404, "", "<!DOCTYPE html><pre>Cannot POST /admin/products/batch " + basic + "</pre>", connectors.Unavailable, false, 0, "", "", "this is no Medusa"},
		{405, "", "", connectors.Unavailable, false, 0, "", "", "405"},
		{302, "", "", connectors.Unavailable, false, 0, "", "", "302"},
		{409, "", `{"code":"invalid_state_error","type":"conflict","message":"The request conflicted with another request."}`, connectors.Conflict, false, 0, "", "", "conflicted"},
		{413, "", `{"message":"request entity too large","type":"unknown_error"}`, connectors.Permanent, false, 0, "medusa.too_large", "", "too large"},
		{429, "7", "slow down " + key, connectors.Throttled, false, 7 * time.Second, "", "", "429"},
		{500, "", `{"code":"unknown_error","type":"unknown_error","message":"An unknown error occurred."}`, connectors.Unavailable, true, 0, "", "", "An unknown error occurred"},
		{502, "", "<html>" + basic + "</html>", connectors.Unavailable, true, 0, "", "", "502"},
		{503, "9", "", connectors.Unavailable, true, 9 * time.Second, "", "", "503"},
		{200, "", "{", connectors.Unavailable, true, 0, "", "", "no JSON"},
		{200, "", "{}", connectors.Unavailable, true, 0, "", "", "does not name"},
	} {
		t.Run(fmt.Sprint(c.status, " ", strings.TrimPrefix(c.body, `{"message":"`)[:min(20, len(c.body)/2)]), func(t *testing.T) {
			fake := medusatest.New(medusatest.Options{Key: key})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fake.ServeHTTP(w, r)
					return
				}
				if c.header != "" {
					w.Header().Set("Retry-After", c.header)
				}
				w.WriteHeader(c.status)
				if _, err := w.Write([]byte(c.body)); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			to := connect(t, medusa.Config{URL: server.URL, APIKey: key}, 5)
			e := refusal(t, to, upsert(pim.Content, "A", `{"title":"A"}`))
			if e.Verdict != c.verdict || e.Uncertain != c.uncertain || e.After != c.after || !strings.Contains(e.Error(), c.text) {
				t.Errorf("got %s, uncertain %v, after %s: %v", e.Verdict, e.Uncertain, e.After, e)
			}
			switch {
			case c.code == "" && len(e.Issues) != 0 || c.code != "" && len(e.Issues) != 1:
				t.Errorf("issues %+v", e.Issues)
			case c.code != "" && (e.Issues[0].Code != c.code || e.Issues[0].Attribute != c.attribute || e.Issues[0].Text == "" || e.Issues[0].Severity != pim.SeverityError):
				t.Errorf("issue %+v", e.Issues[0])
			}
			if all := fmt.Sprintf("%v %+v", e, e.Issues); strings.Contains(all, key) || strings.Contains(all, basic) {
				t.Errorf("the key is told: %s", all)
			}
		})
	}
}

// A look-up that fails has changed nothing.
func TestFailedReadsAreCertain(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	for _, kind := range []medusatest.FaultKind{medusatest.Fail, medusatest.Lose, medusatest.Garbage, medusatest.Gateway, medusatest.Moved} {
		fake.Script(medusatest.Fault{Kind: kind, Reads: true})
		for _, item := range []connectors.Item{upsert(pim.Content, "A", `{"title":"A"}`), upsert(pim.Offer, "A", `{"stock":1}`), upsert(pim.Media, "A", `{}`), withdrawal("A")} {
			if e := refusal(t, to, item); e.Verdict != connectors.Unavailable || e.Uncertain {
				t.Errorf("%s, %s: %+v", kind, item.Lane, e)
			}
		}
	}
}

// One bad item keeps nobody away, and costs few requests where Medusa names it.
func TestBisection(t *testing.T) {
	for _, c := range []struct {
		name, message string
		most          int // writes
	}{
		{"named", "Product with handle: kettle-k3, already exists.", 4}, // all, it alone, it with another handle, the rest
		{"unnamed", "somebody does not want it", 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake, _ := start(t, medusatest.Options{}, nil)
			to := connect(t, medusa.Config{URL: fake.URL(), APIKey: key}, 16)
			fake.Reject("K3", c.message)
			var items []connectors.Item
			for i := range 16 {
				items = append(items, upsert(pim.Content, fmt.Sprintf("K%d", i), `{"title":"Kettle"}`))
			}
			results := pushed(t, to, items...)
			for i, r := range results {
				if (r.Err != nil) != (i == 3) {
					t.Errorf("K%d: %v", i, r.Err)
				}
			}
			if n := fake.Counts().Writes; n > c.most || fake.Len() != 15 {
				t.Errorf("%d writes, %d products", n, fake.Len())
			}
		})
	}
}

// A body that breaks Medusa itself must not close the channel for all others.
func TestPoison(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fake.Script(medusatest.Fault{Kind: medusatest.Crash, Only: func(_ *http.Request, body []byte) bool { return bytes.Contains(body, []byte("poison")) }})
	results := pushed(t, to, upsert(pim.Content, "A", `{"title":"A"}`), upsert(pim.Content, "B", `{"title":"poison"}`), upsert(pim.Content, "C", `{"title":"C"}`))
	if e := connectors.AsError(results[1].Err); results[0].Err != nil || results[2].Err != nil || results[1].Err == nil || e.Verdict != connectors.Unavailable || !e.Uncertain {
		t.Errorf("%+v", results)
	}
	results = pushed(t, to, upsert(pim.Content, "B", `{"title":"poison"}`))
	if results[0].Err == nil {
		t.Error("the poison is taken")
	}
}

// An item of which a part was written is in doubt, though what refused it is sure.
func TestHalfAnItemIsUncertain(t *testing.T) {
	fake, to := start(t, medusatest.Options{}, nil)
	fine(t, to, upsert(pim.Content, "A", `{"title":"A"}`))
	fine(t, to, upsert(pim.Offer, "A", `{"prices":[{"currency":"EUR","amount":"1"}],"stock":5}`))
	fake.Script(medusatest.Fault{Kind: medusatest.Throttle, Only: func(r *http.Request, _ []byte) bool { return strings.HasSuffix(r.URL.Path, "/variants/batch") }})
	_, err := to.Push(ctx(t), []connectors.Item{upsert(pim.Offer, "A", `{"prices":[{"currency":"EUR","amount":"2"}],"stock":0}`)})
	if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Throttled || !e.Uncertain || e.After != time.Second {
		t.Errorf("a call that broke off in the middle: %+v", err)
	}
}

func TestPreflight(t *testing.T) {
	_, to := start(t, medusatest.Options{}, nil)
	check, ok := to.(connectors.Preflighter)
	if !ok {
		t.Fatal("no preflight")
	}
	for _, c := range []struct {
		lane     pim.Lane
		document map[string]any
		code     string
	}{
		{pim.Content, map[string]any{"title": "A"}, ""},
		{pim.Content, map[string]any{"description": "A"}, "medusa.title"},
		{pim.Content, map[string]any{"title": "A", "handle": "A B"}, "medusa.handle"},
		{pim.Content, map[string]any{"title": "A", "status": "live"}, "medusa.status"},
		{pim.Content, map[string]any{"title": "A", "colour": "red"}, "medusa.field"},
		{pim.Content, map[string]any{"title": []any{"A"}}, "medusa.field"},
		{pim.Content, map[string]any{"parent": "P", "options": map[string]any{"a": " "}}, "medusa.options"},
		{pim.Content, map[string]any{"parent": "P", "options": map[string]any{"a": map[string]any{"amount": json.Number("1.50"), "unit": "kg"}}}, ""},
		{pim.Offer, map[string]any{"stock": json.Number("1")}, ""},
		{pim.Offer, map[string]any{"stock": json.Number("1.5")}, "medusa.stock"},
		{pim.Media, map[string]any{"images": "x"}, "medusa.field"},
	} {
		issues := check.Preflight(c.lane, c.document)
		if c.code == "" && len(issues) != 0 || c.code != "" && (len(issues) != 1 || issues[0].Code != c.code) {
			t.Errorf("%v: %+v", c.document, issues)
		}
	}
}
