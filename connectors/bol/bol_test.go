package bol_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/bol"
	"github.com/sluicehub/sluice/connectors/bol/boltest"
	"github.com/sluicehub/sluice/pim"
)

func TestRefusals(t *testing.T) { refusals(t, nil) }

// refusals are bol's error answers, and what each means.
func refusals(t *testing.T, wrap wrapper) {
	const after = 13 * time.Second
	for _, c := range []struct {
		status    int
		verdict   connectors.Verdict
		uncertain bool // of a write; a read never is
	}{
		{http.StatusBadRequest, connectors.Validation, false},
		{http.StatusUnauthorized, connectors.Auth, false},
		{http.StatusForbidden, connectors.Auth, false},
		{http.StatusNotFound, connectors.Unavailable, false},
		{http.StatusMethodNotAllowed, connectors.Unavailable, false},
		{http.StatusNotAcceptable, connectors.Unavailable, false},
		{http.StatusRequestTimeout, connectors.Unavailable, true},
		{http.StatusConflict, connectors.Conflict, false},
		{http.StatusGone, connectors.Unavailable, false},
		{http.StatusRequestEntityTooLarge, connectors.Permanent, false},
		{http.StatusUnsupportedMediaType, connectors.Unavailable, false},
		{http.StatusUnprocessableEntity, connectors.Validation, false},
		{http.StatusTooManyRequests, connectors.Throttled, false},
		{http.StatusTeapot, connectors.Permanent, false},
		{http.StatusInternalServerError, connectors.Unavailable, true},
		{http.StatusNotImplemented, connectors.Permanent, false},
		{http.StatusBadGateway, connectors.Unavailable, true},
		{http.StatusServiceUnavailable, connectors.Unavailable, true},
	} {
		for op, item := range map[string]connectors.Item{boltest.PostContent: content("A", ""), boltest.CreateOffer: offer("A", ""), boltest.ListOffers: offer("A", "")} {
			t.Run(fmt.Sprintf("%d %s", c.status, op), func(t *testing.T) {
				w := newWorld(t, wrap, boltest.Options{}, nil)
				fault := boltest.Fault{Kind: boltest.Fail, Op: op, Status: c.status}
				if c.status == http.StatusTooManyRequests {
					fault = boltest.Fault{Kind: boltest.Throttle, Op: op, After: after}
				}
				w.fake.Script(fault)
				e := w.wantError(item, c.verdict, c.uncertain && op != boltest.ListOffers)
				if c.verdict == connectors.Throttled && e.After != after {
					t.Errorf("come back after %s", e.After)
				}
				if c.verdict == connectors.Validation && (len(e.Issues) != 1 || e.Issues[0].Code != "bol.problem" || e.Issues[0].Text == "") {
					t.Errorf("issues %+v", e.Issues)
				}
				if c.verdict != connectors.Validation && len(e.Issues) != 0 {
					t.Errorf("issues of what is not the item's fault: %+v", e.Issues)
				}
				w.fake.Up()
				w.ok(item)
			})
		}
	}
	for status, verdict := range map[int]connectors.Verdict{
		http.StatusBadRequest: connectors.Auth, http.StatusUnauthorized: connectors.Auth, http.StatusForbidden: connectors.Auth,
		http.StatusNotFound: connectors.Unavailable, http.StatusInternalServerError: connectors.Unavailable,
	} {
		w := newWorld(t, wrap, boltest.Options{}, nil)
		w.fake.Script(boltest.Fault{Kind: boltest.Fail, Op: boltest.Login, Status: status})
		w.wantError(content("A", ""), verdict, false)
		if err := w.c.Probe(t.Context()); err == nil || connectors.AsError(err).Verdict != verdict {
			t.Errorf("login %d: probe says %v", status, err)
		}
	}
}

// What preflight does not know, bol says: each violation is told at the
// document's own field.
func TestViolationsOfFields(t *testing.T) {
	w := newWorld(t, nil, boltest.Options{}, nil)
	w.fake.Reject(eanOf("A"))
	e := w.wantError(offer("A", ""), connectors.Validation, false)
	if len(e.Issues) != 1 || e.Issues[0].Attribute != "ean" || !strings.HasPrefix(e.Issues[0].Text, "Request contains invalid value(s)") {
		t.Errorf("%+v", e.Issues)
	}
	// Two attributes before it in the order of the alphabet; the EAN is the first.
	e = w.wantError(content("A", `"Brand":"B","Name":"K"`), connectors.Validation, false)
	if len(e.Issues) != 1 || e.Issues[0].Attribute != "Brand" {
		t.Errorf("%+v", e.Issues)
	}
}

func TestPreflight(t *testing.T) {
	w := newWorld(t, nil, boltest.Options{}, nil)
	const ean = `"ean":"4006381333931"`
	many := func(n int, format string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(parts, ",")
	}
	long := strings.Repeat("x", 10_001)
	for _, c := range []struct {
		lane pim.Lane
		doc  string
		want string // code@field of each issue, warnings in brackets
	}{
		{pim.Offer, ean + `,"price":"19.90","stock":3`, ""},
		{pim.Offer, ean + `,"price":"1","stock":0`, ""},
		{pim.Offer, ean + `,"price":"9999.00","stock":5000`, ""},
		{pim.Offer, ean + `,"price":19.9,"stock":1`, ""},
		{pim.Offer, ean + `,"price":"19.90"`, "(bol.stock_missing@stock)"},
		{pim.Offer, ean + `,"price":"19.90","fulfilment":"FBB"`, ""},
		{pim.Offer, `"price":"19.90","stock":3`, "bol.ean_missing@ean"},
		{pim.Offer, `"ean":"4006381333932","price":"19.90","stock":3`, "bol.ean@ean"},
		{pim.Offer, `"ean":["x"],"price":"19.90","stock":3`, "bol.ean@ean"},
		{pim.Offer, ean + `,"stock":3`, "bol.price_missing@price"},
		{pim.Offer, ean + `,"price":"0.99","stock":3`, "bol.price@price"},
		{pim.Offer, ean + `,"price":"9999.01","stock":3`, "bol.price@price"},
		{pim.Offer, ean + `,"price":"1.999","stock":3`, "bol.price@price"},
		{pim.Offer, ean + `,"price":"dear","stock":3`, "bol.price@price"},
		{pim.Offer, ean + `,"price":"5","currency":"USD","stock":3`, "bol.currency@currency"},
		{pim.Offer, ean + `,"price":"5","stock":1.5`, "bol.stock@stock"},
		{pim.Offer, ean + `,"price":"5","stock":"lots"`, "bol.stock@stock"},
		{pim.Offer, ean + `,"price":"50","stock":1,"bundles":[` + many(3, `{"quantity":1%d,"price":"4%[1]d"}`) + `]`, "bol.bundles@bundles bol.bundles@bundles"},
		{pim.Offer, ean + `,"price":"50","stock":1,"bundles":[{"quantity":2,"price":"9"},{"quantity":3,"price":"8"},{"quantity":4,"price":"7"},{"quantity":5,"price":"6"}]`, "bol.bundles@bundles"},
		{pim.Offer, ean + `,"stock":1,"bundles":[{"currency":"USD","amount":"9","min_quantity":1}]`, "bol.price_missing@price"},
		{pim.Offer, ean + `,"price":"50","stock":1,"bundles":7`, "bol.bundles@bundles"},
		{pim.Offer, ean + `,"price":"50","stock":1,"bundles":[7]`, "bol.bundles@bundles"},
		{pim.Offer, ean + `,"price":"5","stock":1,"condition":"USED"`, "bol.condition@condition"},
		{pim.Offer, ean + `,"price":"5","stock":1,"condition":{"category":"REFURBISHED"}`, "bol.condition@condition"},
		{pim.Offer, ean + `,"price":"5","stock":1,"condition":{"category":"NEW","comment":"shiny"}`, "bol.condition@condition"},
		{pim.Offer, ean + `,"price":"5","stock":1,"fulfilment":"ME"`, "bol.fulfilment@fulfilment"},
		{pim.Offer, ean + `,"price":"5","stock":1,"fulfilment":{"method":7}`, "bol.fulfilment@fulfilment"},
		{pim.Offer, ean + `,"price":"5","stock":1,"countries":["DE"]`, "bol.countries@countries"},
		{pim.Offer, ean + `,"price":"5","stock":1,"countries":[]`, "bol.countries@countries"},
		{pim.Offer, ean + `,"price":"5","stock":1,"on_hold":"yes"`, "bol.boolean@on_hold"},
		{pim.Offer, ean + `,"price":"5","stock":1,"title":"` + long + `"`, "bol.too_long@title"},
		{pim.Offer, ean + `,"prize":"5","price":"5","stock":1`, "bol.field_unknown@prize"},

		{pim.Content, ean + `,"Name":"K"`, ""},
		{pim.Content, `"Name":"K"`, "bol.ean_missing@ean"},
		{pim.Content, ean, "bol.content_empty@"},
		{pim.Content, ean + `,"Name":"` + long + `"`, "bol.too_long@Name"},
		{pim.Content, ean + `,"Name":{"x":{}},"Name@de":"K"`, "bol.language@Name@de"},
		{pim.Content, ean + `,"Name":[[]]`, "bol.value@Name"},
		{pim.Content, ean + `,"Name":"K","Name@nl":"K"`, "bol.attribute@Name@nl"},
		{pim.Content, ean + `,"EAN":"K"`, "bol.attribute@EAN"},
		{pim.Content, ean + `,"Name":"K","language":"de"`, "bol.language@language"},
		{pim.Content, ean + `,"Name":[` + many(301, `"%d"`) + `]`, "bol.values@Name"},
		{pim.Content, ean + `,` + many(149, `"A%d":"x"`), ""},
		{pim.Content, ean + `,` + many(150, `"A%d":"x"`), "bol.attributes@"},
		{pim.Content, ean + `,"Name":"K","images":[` + many(31, `"https://x.example/%d"`) + `]`, "bol.images@images"},
		{pim.Content, ean + `,"Name":"K","images":"https://x.example/1"`, "bol.images@images"},
		{pim.Content, ean + `,"Name":"K","images":["1.jpg",{"url":"https://x.example/1","labels":["A","B","C"]}]`, "(bol.image_address@images) bol.images@images"},
		{pim.Media, ``, ""},
	} {
		raw := json.RawMessage("{" + c.doc + "}")
		doc, err := connectors.DecodeDocument(raw)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		check, _ := w.c.(connectors.Preflighter)
		var got []string
		fatal := false
		for _, i := range check.Preflight(c.lane, doc) {
			word := i.Code + "@" + i.Attribute
			if i.Severity == pim.SeverityWarning {
				word = "(" + word + ")"
			} else {
				fatal = true
			}
			if i.Text == "" {
				t.Errorf("%s: %s has no text", raw, word)
			}
			got = append(got, word)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%.200s:\n%v, want %s", raw, got, c.want)
		}
		if c.lane == pim.Media {
			continue
		}
		// Push refuses by itself what preflight does, and bol takes the rest.
		calls := w.fake.Counts().Calls
		r := w.push(connectors.Item{SKU: "A", Lane: c.lane, Action: connectors.Upsert, Document: raw})[0]
		if fatal != (r.Err != nil) {
			t.Errorf("%.200s: preflight says %v, push %v", raw, got, r.Err)
		}
		if fatal && w.fake.Counts().Calls != calls {
			t.Errorf("%.200s: it was sent", raw)
		}
	}
}

func TestUnsendable(t *testing.T) {
	w := newWorld(t, nil, boltest.Options{}, nil)
	long := offer("A", "")
	long.SKU = pim.SKU(strings.Repeat("s", 101))
	if e := w.wantError(long, connectors.Validation, false); len(e.Issues) != 1 || e.Issues[0].Code != "bol.sku" {
		t.Errorf("%+v", e)
	}
	media := offer("A", "")
	media.Lane = pim.Media
	w.wantError(media, connectors.Permanent, false)
	broken := offer("A", "")
	broken.Document = json.RawMessage(`[1]`)
	w.wantError(broken, connectors.Permanent, false)
	if n := w.fake.Counts().Calls; n != 0 {
		t.Errorf("%d calls", n)
	}
	// A bad document does not hide that bol is down.
	w.fake.Script(boltest.Fault{Kind: boltest.Fail})
	if _, err := w.c.Push(t.Context(), []connectors.Item{broken, content("B", "")}); err == nil || connectors.AsError(err).Verdict != connectors.Unavailable {
		t.Errorf("an outage beside a bad document: %v", err)
	}
}

// An answer without end to a look-up says nothing of the item: it is not parked.
func TestEndlessLookUp(t *testing.T) {
	w := newWorld(t, nil, boltest.Options{}, nil)
	for _, kind := range []boltest.FaultKind{boltest.Endless, boltest.Garbage, boltest.Lose} {
		w.fake.Script(boltest.Fault{Kind: kind, Op: boltest.ListOffers})
		w.wantError(offer("A", ""), connectors.Unavailable, false)
	}
	w.fake.Up()
	w.ok(offer("A", ""))
}

func TestConfig(t *testing.T) {
	for config, want := range map[string]string{
		`{}`: "/client_id /client_secret",
		`{"client_id":"a:b","client_secret":"c d","countries":["DE"],"fulfilment":"x","schedule":"y","language":"de","order_before":"25:00","minimum_days":3,"maximum_days":2,"api_url":"ftp://x","login_url":"https://x/?q=1","more":1}`: "/api_url /client_id /client_secret /countries /fulfilment /language /login_url /maximum_days /more /order_before /schedule",
		`{"client_id":"a","client_secret":7}`: "/client_secret",
		`[]`:                                  "",
		`{"client_id":"a","client_secret":"b","fulfilment":"FBB","order_before":"20:00"}`: "/order_before",
		`{"client_id":"a","client_secret":"b","countries":["BE","NL"]}`:                   "-",
		`{"client_id":"a","client_secret":"b"}`:                                           "-",
	} {
		_, err := bol.Kind.New(json.RawMessage(config), connectors.Env{Limits: bol.Kind.Limits})
		invalid, ok := errors.AsType[*pim.Invalid](err)
		got := "-"
		if ok {
			var pointers []string
			for _, p := range invalid.Problems {
				pointers = append(pointers, p.Pointer)
				if p.Code == "" || p.Detail == "" {
					t.Errorf("%s: %+v", config, p)
				}
			}
			slices.Sort(pointers)
			got = strings.Join(pointers, " ")
		} else if err != nil {
			t.Errorf("%s: %v", config, err)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", config, got, want)
		}
	}
}

// The default mapping makes documents that bol takes of any catalogue with
// names, and none of products that bol cannot know.
func TestDefaultMapping(t *testing.T) {
	program, err := connectors.Compile(bol.Kind.Mapping)
	if err != nil {
		t.Fatal(err)
	}
	schema := &pim.Schema{Attributes: map[string]*pim.Attribute{
		"name":        {Code: "name", Type: pim.TypeText, Localizable: true},
		"description": {Code: "description", Type: pim.TypeRichText, Localizable: true},
		"gtin":        {Code: "gtin", Type: pim.TypeText},
		"images":      {Code: "images", Type: pim.TypeMedia},
	}}
	amount := decimal.MustParse("19.90")
	scope := connectors.Scope{Channel: "bol", Locale: "nl-NL", Currency: "EUR", PriceList: "retail", Now: time.Unix(1_763_700_000, 0)}
	whole := connectors.Subject{
		SKU: "A", Parent: "P",
		Values: pim.Values{
			"gtin": "4006381333931", "name": map[string]any{"nl-NL": "Ketel"}, "description": map[string]any{"nl-NL": "<p>Een <b>ketel</b></p>"},
			"images": []any{"https://shop.example/1.jpg"},
		},
		Prices: []pim.Price{{PriceList: "retail", Currency: "EUR", MinQuantity: 1, Amount: amount}},
		Stock:  []pim.Stock{{Location: "north", OnHand: 7, Reserved: 2}},
	}
	bare := connectors.Subject{SKU: "B", Values: pim.Values{"gtin": "4006381333931", "name": map[string]any{"nl-NL": "Ketel"}}}
	parent := connectors.Subject{SKU: "P", Values: pim.Values{"name": map[string]any{"nl-NL": "Ketels"}}, Stock: whole.Stock, Prices: whole.Prices}
	for _, c := range []struct {
		subject *connectors.Subject
		lane    pim.Lane
		want    string
	}{
		{&whole, pim.Content, `{"Description":"Een ketel","Name":"Ketel","ean":"4006381333931","images":["https://shop.example/1.jpg"],"language":"nl"}`},
		{&whole, pim.Offer, `{"currency":"EUR","ean":"4006381333931","price":"19.90","stock":5,"title":"Ketel"}`},
		{&bare, pim.Content, `{"Name":"Ketel","ean":"4006381333931","language":"nl"}`},
		{&bare, pim.Offer, `{"ean":"4006381333931","title":"Ketel"}`},
		{&parent, pim.Content, ``},
		{&parent, pim.Offer, ``},
	} {
		got, err := program.Render(context.Background(), c.lane, c.subject, schema, scope)
		if err != nil || string(got) != c.want {
			t.Errorf("%s of %s: %s, %v\nwant %s", c.lane, c.subject.SKU, got, err, c.want)
		}
	}
	w := newWorld(t, nil, boltest.Options{}, nil)
	for _, lane := range []pim.Lane{pim.Content, pim.Offer} {
		doc, err := program.Render(context.Background(), lane, &whole, schema, scope)
		if err != nil {
			t.Fatal(err)
		}
		w.ok(connectors.Item{SKU: "A", Lane: lane, Action: connectors.Upsert, Document: doc})
	}
}
