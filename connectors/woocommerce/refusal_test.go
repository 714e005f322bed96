package woocommerce_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/woocommerce"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

// replay is a shop that finds no product and answers every batch with the same.
func replay(t *testing.T, status int, header map[string]string, body string) connectors.Connector {
	t.Helper()
	return connectTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "[]")
			return
		}
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
}

// connectTo makes a connector to a shop that answers as shop does.
func connectTo(t *testing.T, shop http.Handler) connectors.Connector {
	t.Helper()
	server := httptest.NewServer(shop)
	t.Cleanup(server.Close)
	raw, err := json.Marshal(woocommerce.Config{URL: server.URL, ConsumerKey: "ck_key", ConsumerSecret: "cs_secret"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := woocommerce.Kind.New(raw, connectors.Env{AllowPrivate: true, Limits: woocommerce.Kind.Limits})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What shops really answer, as their sources write it, and what we make of it.
func TestRefusals(t *testing.T) {
	row := func(refusal string) string { return `{"create":[{"id":0,"error":` + refusal + `}]}` }
	for name, c := range map[string]struct {
		status int
		header map[string]string
		body   string
		want   string // as says writes it
		text   string // in the error
		after  time.Duration
	}{
		"throttled by the host": {429, map[string]string{"Retry-After": "30"}, `<html>429</html>`, "throttled", "429", 30 * time.Second},
		"unknown key":           {401, nil, `{"code":"woocommerce_rest_authentication_error","message":"Consumer key is invalid.","data":{"status":401}}`, "auth", "Consumer key is invalid.", 0},
		"read-only key":         {401, nil, `{"code":"woocommerce_rest_authentication_error","message":"The API key provided does not have write permissions.","data":{"status":401}}`, "auth", "does not have write permissions", 0},
		"weak user":             {403, nil, `{"code":"woocommerce_rest_cannot_batch","message":"Sorry, you are not allowed to batch manipulate this resource.","data":{"status":403}}`, "auth", "may not edit products", 0},
		"firewall":              {403, nil, `<html>Forbidden ck_key</html>`, "auth", "403", 0},
		"maintenance":           {503, map[string]string{"Retry-After": "600"}, `<html>Briefly unavailable for scheduled maintenance.</html>`, "unavailable?", "scheduled maintenance", 10 * time.Minute},
		"fatal error":           {500, nil, `{"code":"internal_server_error","message":"<p>There has been a critical error on this website.</p>","data":{"status":500},"additional_errors":[]}`, "unavailable?", "critical error", 0},
		"no such address":       {404, nil, `{"code":"rest_no_route","message":"No route was found matching the URL and request method.","data":{"status":404}}`, "unavailable", "is WooCommerce active", 0},
		"no WordPress":          {404, nil, `<html>Not Found</html>`, "unavailable", "permalinks", 0},
		"moved":                 {301, map[string]string{"Location": "https://www.shop.example/?oauth_signature=x"}, ``, "unavailable", "correct the channel's url", 0},
		"too many rows":         {413, nil, `{"code":"woocommerce_rest_request_entity_too_large","message":"Unable to accept more than 50 items for this request.","data":{"status":413}}`, "permanent", "lower the channel's batch", 0},
		"bad parameter":         {400, nil, `{"code":"rest_invalid_param","message":"Invalid parameter(s): status","data":{"status":400,"params":{"status":"status is not one of draft, publish."}}}`, "validation rest_invalid_param/status", "Invalid parameter(s): status", 0},
		"stale":                 {409, nil, `{"code":"conflict","message":"Changed meanwhile.","data":{"status":409}}`, "conflict", "Changed meanwhile.", 0},
		"a page of a plugin":    {200, nil, `<html>Checking your browser</html>`, "unavailable?", "not WooCommerce's JSON", 0},
		"an empty answer":       {200, nil, `{}`, "unavailable?", "does not name every row", 0},
		"a list":                {200, nil, `[]`, "unavailable?", "not WooCommerce's JSON", 0},
		"taken without an id":   {200, nil, `{"create":[{"id":0}]}`, "unavailable?", "another object", 0},

		"duplicate SKU":       {200, nil, row(`{"code":"product_invalid_sku","message":"Invalid or duplicated SKU.","data":{"status":400,"resource_id":93,"unique_sku":"A-1"}}`), "validation product_invalid_sku/sku", "Invalid or duplicated SKU.", 0},
		"duplicate GTIN":      {200, nil, row(`{"code":"product_invalid_global_unique_id","message":"Invalid or duplicated GTIN, UPC, EAN or ISBN.","data":{"status":400,"resource_id":93}}`), "validation product_invalid_global_unique_id/global_unique_id", "GTIN", 0},
		"picture":             {200, nil, row(`{"code":"woocommerce_product_image_upload_error","message":"Error getting remote image https:\/\/x.example\/a.jpg. Error: Not Found","data":{"status":400}}`), "validation woocommerce_product_image_upload_error/images", "Error getting remote image https://x.example/a.jpg", 0},
		"picture that went":   {200, nil, row(`{"code":"woocommerce_product_invalid_image_id","message":"#7 is an invalid image ID.","data":{"status":400}}`), "conflict", "#7", 0},
		"tax status":          {200, nil, row(`{"code":"product_invalid_tax_status","message":"Invalid product tax status.","data":{"status":400}}`), "validation product_invalid_tax_status/tax_status", "tax status", 0},
		"plugin's word":       {200, nil, row(`{"code":"acme_no_brand","message":"A brand is <b>needed<\/b>.","data":{"status":400}}`), "validation acme_no_brand/", "needed", 0},
		"not saved":           {200, nil, row(`{"code":"woocommerce_rest_product_not_created","message":"Deadlock","data":{"status":400}}`), "validation woocommerce_rest_product_not_created/", "Deadlock", 0},
		"row without rights":  {200, nil, row(`{"code":"woocommerce_rest_cannot_create","message":"Sorry.","data":{"status":403}}`), "auth", "may not create", 0},
		"row that broke":      {200, nil, row(`{"code":"db_error","message":"MySQL server has gone away","data":{"status":500}}`), "unavailable?", "gone away", 0},
		"row without status":  {200, nil, row(`{"code":"odd","message":"Odd.","data":[]}`), "permanent", "Odd.", 0},
		"row with odd data":   {200, nil, row(`{"code":"odd","message":"Odd.","data":{"status":400,"params":["x"]}}`), "validation odd/", "Odd.", 0},
		"throttled row":       {200, nil, row(`{"code":"slow_down","message":"Slow down.","data":{"status":429}}`), "throttled", "Slow down.", 0},
		"always another's id": {200, nil, row(`{"code":"woocommerce_rest_product_invalid_id","message":"Invalid ID.","data":{"status":400}}`), "conflict", "disagree", 0},
	} {
		t.Run(name, func(t *testing.T) {
			results, err := replay(t, c.status, c.header, c.body).Push(t.Context(), []connectors.Item{content("A", `{"name":"A"}`)})
			r := connectors.Result{Err: err}
			if err == nil {
				r = results[0]
			}
			if got := says(r); got != c.want {
				t.Errorf("%s, want %s: %v", got, c.want, r.Err)
			}
			text := fmt.Sprintf("%v %+v", r.Err, connectors.AsError(r.Err).Issues)
			if !strings.Contains(text, c.text) || strings.Contains(text, "ck_key") || strings.Contains(text, "oauth_signature=x") {
				t.Errorf("the text is %q, want %q in it and no secret", text, c.text)
			}
			if got := connectors.AsError(r.Err).After; c.after != 0 && got != c.after {
				t.Errorf("come back after %s, want %s", got, c.after)
			}
		})
	}
}

// Signatures count until the shop has seen them: no refusal that repeats them
// may bring them into a receipt.
func TestSignaturesStaySecret(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	wrap := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := r.URL.Query().Get("oauth_signature")
			mu.Lock()
			seen = append(seen, s, url.QueryEscape(s))
			mu.Unlock()
			h.ServeHTTP(w, r)
		})
	}
	shop, c := start(t, woocommercetest.Options{Echo: rude, Wrap: wrap}, nil)
	shop.Reject("A")
	var said []string
	hear := func() {
		results, err := c.Push(t.Context(), []connectors.Item{content("A", `{"name":"A"}`)})
		said = append(said, fmt.Sprintf("%v %+v", err, results))
		for _, r := range results {
			said = append(said, fmt.Sprintf("%v %+v", r.Err, connectors.AsError(r.Err).Issues))
		}
	}
	hear()
	for _, kind := range []woocommercetest.FaultKind{woocommercetest.Fail, woocommercetest.Unauthorized, woocommercetest.Maintenance, woocommercetest.Page, woocommercetest.Throttle} {
		shop.Down(kind)
		hear()
		shop.Script(woocommercetest.Fault{Kind: kind})
		hear()
		said = append(said, fmt.Sprint(c.Probe(t.Context())))
	}
	all := strings.Join(said, "\n")
	if !strings.Contains(all, "you sent POST") || !strings.Contains(all, "[redacted]") {
		t.Fatalf("the shop repeated nothing, the test proves nothing: %s", all)
	}
	for _, s := range append(seen, shop.Key(), shop.Secret()) {
		if s != "" && strings.Contains(all, s) {
			t.Errorf("%s was told", s)
		}
	}
}

// A read that fails leaves nothing in doubt.
func TestFailedReadsAreCertain(t *testing.T) {
	shop, c := start(t, woocommercetest.Options{}, nil)
	for _, kind := range []woocommercetest.FaultKind{woocommercetest.Fail, woocommercetest.Maintenance, woocommercetest.Reset, woocommercetest.Garbage, woocommercetest.Page, woocommercetest.Lose} {
		shop.Down(kind)
		_, err := c.Push(t.Context(), []connectors.Item{content("A", `{"name":"A"}`)})
		if e := connectors.AsError(err); err == nil || e.Verdict != connectors.Unavailable || e.Uncertain {
			t.Errorf("%s: %v", kind, err)
		}
	}
	shop.Up()
	ctx, cancel := context.WithCancel(t.Context())
	shop.Down(woocommercetest.Hang)
	done := make(chan error, 1)
	go func() {
		_, err := c.Push(ctx, []connectors.Item{content("A", `{"name":"A"}`)})
		done <- err
	}()
	if err := shop.Wait(t.Context(), func(c woocommercetest.Counts) bool { return c.Hanging > 0 }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil || !connectors.Certain(err) {
		t.Errorf("a read that was left: %v", err)
	}
	shop.Up()
	ok(t, c, content("A", `{"name":"A"}`))
}

func TestPreflight(t *testing.T) {
	_, c := start(t, woocommercetest.Options{}, nil)
	check := c.(connectors.Preflighter)
	for document, want := range map[string]string{
		`content {"name":"A"}`:                  "",
		`content {}`:                            "woocommerce.name_missing name",
		`content {"name":" "}`:                  "woocommerce.name_missing name",
		`content {"name":{"en":"A"}}`:           "woocommerce.field_type name",
		`content {"parent":"P"}`:                "woocommerce.axes_missing axes",
		`content {"parent":"P","axes":{}}`:      "woocommerce.axes_missing axes",
		`content {"parent":"P","axes":{"a":1}}`: "",
		`content {"parent":"P","axes":{"a":{"amount":1.5,"unit":"kg"}}}`:  "",
		`content {"parent":"P","axes":{"a":["x"]}}`:                       "woocommerce.option axes",
		`content {"parent":"P","axes":{"a":"x|y"}}`:                       "woocommerce.option axes",
		`content {"name":"A","colour":"x"}`:                               "woocommerce.field_unknown colour",
		`content {"name":"A","regular_price":"1"}`:                        "woocommerce.field_unknown regular_price",
		`content {"name":"A","status":"live","featured":"yes"}`:           "woocommerce.field_type featured,woocommerce.field_type status",
		`content {"name":"A","catalog_visibility":"all"}`:                 "woocommerce.field_type catalog_visibility",
		`content {"name":"A","weight":"1,5","dimensions":{"depth":"1"}}`:  "woocommerce.field_type dimensions,woocommerce.field_type weight",
		`content {"name":"A","categories":["a >"],"meta_data":[{"k":1}]}`: "woocommerce.field_type categories,woocommerce.field_type meta_data",
		`content {"name":"A","categories":"a","attributes":["x"]}`:        "woocommerce.field_type attributes,woocommerce.field_type categories",
		`content {"name":"A","description":null,"global_unique_id":4006}`: "",
		`offer {}`: "",
		`offer {"regular_price":"19.90","sale_price":"9","stock":3}`:                "",
		`offer {"regular_price":-1}`:                                                "woocommerce.field_type regular_price",
		`offer {"regular_price":"1,50","stock":"many"}`:                             "woocommerce.field_type regular_price,woocommerce.field_type stock",
		`offer {"sale_price":"9"}`:                                                  "woocommerce.sale_price sale_price",
		`offer {"regular_price":"1","stock":1.5}`:                                   "woocommerce.field_type stock",
		`offer {"regular_price":"1","date_on_sale_to_gmt":"tomorrow"}`:              "woocommerce.field_type date_on_sale_to_gmt",
		`offer {"regular_price":"1","date_on_sale_to_gmt":"2026-11-27T10:00:00Z"}`:  "",
		`media {"images":["https://x.example/a.jpg",{"src":"http://x.example/b"}]}`: "",
		`media {"images":["asset-1"]}`:                                              "woocommerce.image images",
		`media {"images":"https://x.example/a.jpg"}`:                                "woocommerce.field_type images",
	} {
		name, raw, _ := strings.Cut(document, " ")
		lane := map[string]pim.Lane{"content": pim.Content, "offer": pim.Offer, "media": pim.Media}[name]
		decoded, err := connectors.DecodeDocument(json.RawMessage(raw))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range check.Preflight(lane, decoded) {
			got = append(got, i.Code+" "+i.Attribute)
			if i.Text == "" || i.Severity != pim.SeverityError {
				t.Errorf("%s: %+v", document, i)
			}
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%s\n got %s\nwant %s", document, strings.Join(got, ","), want)
		}
	}
}

// The default mapping works on a catalogue of which nothing is known but a name.
func TestDefaultMapping(t *testing.T) {
	program, err := connectors.Compile(woocommerce.Kind.Mapping)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	schema := &pim.Schema{
		Attributes: map[string]*pim.Attribute{
			"name": {Code: "name", Type: pim.TypeText, Localizable: true}, "gtin": {Code: "gtin", Type: pim.TypeText}, "description": {Code: "description", Type: pim.TypeRichText},
			"colour": {Code: "colour", Type: pim.TypeOption}, "picture": {Code: "picture", Type: pim.TypeMedia},
		},
		Families: map[string]*pim.Family{"f": {Code: "f", Variants: []pim.FamilyVariant{{Code: "by-colour", Axes: []string{"colour"}}}}},
	}
	end := now.AddDate(0, 0, 1)
	begin := now.AddDate(0, 0, -1)
	price := func(amount string, from, to *time.Time) pim.Price {
		return pim.Price{PriceList: "l", Currency: "EUR", MinQuantity: 1, Amount: decimalOf(t, amount), ValidFrom: from, ValidTo: to}
	}
	bare := &connectors.Subject{SKU: "A", Enabled: true, Values: pim.Values{"name": map[string]any{"en-GB": "Kettle"}}}
	full := &connectors.Subject{
		SKU: "v", Parent: "P", Variant: "by-colour", Family: "f", Enabled: true, Categories: []string{"kitchen"},
		Values: pim.Values{"name": map[string]any{"en-GB": "Kettle"}, "gtin": "4006381333931", "description": "<p>Hot</p>", "colour": "red", "picture": "https://x.example/a.jpg"},
		Prices: []pim.Price{price("20.00", nil, nil), price("15.00", &begin, &end), {PriceList: "l", Currency: "GBP", MinQuantity: 1, Amount: decimalOf(t, "1")}},
		Stock:  []pim.Stock{{Location: "x", OnHand: 5, Reserved: 2}},
	}
	dearer := &connectors.Subject{SKU: "d", Prices: []pim.Price{price("20.00", nil, nil), price("25.00", &begin, &end)}}
	changed := &connectors.Subject{SKU: "c", Prices: []pim.Price{price("20.00", nil, nil), price("15.00", &begin, nil)}}
	only := &connectors.Subject{SKU: "o", Prices: []pim.Price{price("15.00", nil, &end)}}
	for _, c := range []struct {
		lane    pim.Lane
		subject *connectors.Subject
		want    string
	}{
		{pim.Content, bare, `{"name":"Kettle","sku":"A","status":"publish"}`},
		{pim.Offer, bare, ``},
		{pim.Media, bare, ``},
		{pim.Content, full, `{"axes":{"colour":"red"},"categories":["kitchen"],"description":"<p>Hot</p>","global_unique_id":"4006381333931","name":"Kettle","parent":"P","sku":"v","status":"publish"}`},
		{pim.Offer, full, `{"date_on_sale_from_gmt":"2026-11-26T12:00:00Z","date_on_sale_to_gmt":"2026-11-28T12:00:00Z","regular_price":"20.00","sale_price":"15.00","stock":3}`},
		{pim.Media, full, `{"images":[{"alt":"","src":"https://x.example/a.jpg"}]}`},
		{pim.Offer, dearer, `{"regular_price":"25.00"}`},
		{pim.Offer, changed, `{"regular_price":"15.00"}`},
		{pim.Offer, only, `{"regular_price":"15.00"}`},
	} {
		got, err := program.Render(t.Context(), c.lane, c.subject, schema, connectors.Scope{Channel: "c", Locale: "en-GB", Currency: "EUR", PriceList: "l", Now: now})
		if err != nil || string(got) != c.want {
			t.Errorf("%s of %s: %v\n%s", c.lane, c.subject.SKU, err, cmp.Diff(c.want, string(got)))
		}
		if got == nil {
			continue
		}
		decoded, err := connectors.DecodeDocument(got)
		if err != nil {
			t.Fatal(err)
		}
		_, connector := start(t, woocommercetest.Options{}, nil)
		if issues := connector.(connectors.Preflighter).Preflight(c.lane, decoded); len(issues) > 0 {
			t.Errorf("%s: %v", got, issues)
		}
	}
}
