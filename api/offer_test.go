package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim/postgres"
)

func (k *kit) batch(path, body string, headers ...string) BatchAnswer {
	k.t.Helper()
	var a BatchAnswer
	k.want(k.do(Integration, "POST", path, body, headers...), 200, &a)
	return a
}

// TestBatchRows gives each bad row its own rejection with its place, and stores
// the others.
func TestBatchRows(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	rows := []struct{ row, place, code string }{
		{`{"sku":"P","currency":"EUR","amount":1}`, "", ""},
		{`{"sku":"none","currency":"EUR","amount":1}`, "/sku", "sku.unknown"},
		{`{"currency":"EUR","amount":1}`, "/sku", "field.missing"},
		{`{"sku":7,"currency":"EUR","amount":1}`, "/sku", "field.type"},
		{`{"sku":" P","currency":"EUR","amount":1}`, "/sku", "sku"},
		{`{"sku":"\u0000","currency":"EUR","amount":1}`, "/sku", "json.nul"},
		{`{"sku":"P","currency":"XXX","amount":1}`, "/currency", "currency.unknown"},
		{`{"sku":"P","amount":1}`, "/currency", "field.missing"},
		{`{"sku":"P","currency":"EUR"}`, "/amount", "field.missing"},
		{`{"sku":"P","currency":"EUR","amount":-1}`, "/amount", "price.negative"},
		{`{"sku":"P","currency":"EUR","amount":"1,50"}`, "/amount", "value.number"},
		{`{"sku":"P","currency":"EUR","amount":"NaN"}`, "/amount", "value.number"},
		{`{"sku":"P","currency":"EUR","amount":1.1234567}`, "/amount", "price.decimals"},
		{`{"sku":"P","currency":"EUR","amount":1e300}`, "/amount", "value.number"},
		{`{"sku":"P","currency":"EUR","amount":12345678901234567890}`, "/amount", "value.number"},
		{`{"sku":"P","currency":"EUR","amount":true}`, "/amount", "field.type"},
		{`{"sku":"P","currency":"EUR","amount":1,"price_list":"none"}`, "/price_list", "price_list.unknown"},
		{`{"sku":"P","currency":"EUR","amount":1,"min_quantity":1.5}`, "/min_quantity", "field.type"},
		{`{"sku":"P","currency":"EUR","amount":1,"min_quantity":99999999999}`, "/min_quantity", "price.min_quantity"},
		{`{"sku":"P","currency":"EUR","amount":1,"min_quantity":0}`, "/min_quantity", "price.min_quantity"},
		{`{"sku":"P","currency":"EUR","amount":1,"valid_from":"tomorrow"}`, "/valid_from", "field.time"},
		{`{"sku":"P","currency":"EUR","amount":1,"valid_from":"2026-01-02T00:00:00Z","valid_to":"2026-01-01T00:00:00Z"}`, "/valid_to", "price.window"},
		{`{"sku":"P","currency":"EUR","amount":1,"colour":"red"}`, "/colour", "field.unknown"},
		{`{"sku":"P","currency":"EUR","amount":1,"amount":2}`, "/amount", "json.duplicate_key"},
		{`{"sku":"P","currency":"EUR","amount":1,"delete":"yes"}`, "/delete", "field.type"},
		{`{"sku":"P","currency":{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":1}}}}}}}}}`, "/currency/a/b/c/d/e/f/g", "json.depth"},
		{`[]`, "", "field.type"},
		{`"P"`, "", "field.type"},
		{`{"sku":"P","currency":"GBP","amount":"20.50"}`, "", ""},
	}
	for _, form := range []string{typeJSON, typeNDJSON} {
		var lines []string
		for _, r := range rows {
			lines = append(lines, r.row)
		}
		body := strings.Join(lines, "\n\n")
		if form == typeJSON {
			body = "[" + strings.Join(lines, ",\n") + "]"
		}
		a := k.batch("/v1/prices:batch", body, "Content-Type", form)
		if len(a.Results) != len(rows) || a.Rejected != len(rows)-2 {
			t.Fatalf("%s: %d results, %d rejected", form, len(a.Results), a.Rejected)
		}
		for i, r := range rows {
			got := a.Results[i]
			if r.code == "" {
				if got.Status == postgres.RowRejected || got.Revision == 0 {
					t.Errorf("%s row %d: %+v", form, i, got)
				}
				continue
			}
			if got.Status != postgres.RowRejected || len(got.Problems) == 0 || got.Problems[0].Pointer != fmt.Sprintf("/%d%s", i, r.place) || got.Problems[0].Code != r.code {
				t.Errorf("%s row %d %s: %+v", form, i, r.row, got)
			}
		}
	}
	// Lines stand for themselves even when one is no JSON.
	a := k.batch("/v1/prices:batch", "{\n{\"sku\":\"P\",\"currency\":\"EUR\",\"amount\":3}\n\xff", "Content-Type", typeNDJSON)
	if a.Rejected != 2 || a.Changed != 1 || a.Results[0].Problems[0].Pointer[:2] != "/0" {
		t.Errorf("broken lines: %+v", a)
	}
	if n := k.count("price"); n != 2 {
		t.Errorf("%d prices are stored", n)
	}
}

// TestStockRows is TestBatchRows for what stock has of its own.
func TestStockRows(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	a := k.batch("/v1/stock:batch", `[{"sku":"P","on_hand":3},{"sku":"P","on_hand":4},{"sku":"P","location":"berlin","on_hand":-2,"reserved":1},
		{"sku":"P"},{"sku":"P","on_hand":1.0},{"sku":"P","on_hand":"1"},{"sku":"P","on_hand":1,"reserved":-1},{"sku":"P","on_hand":1e3},
		{"sku":"P","on_hand":99999999999999999999},{"sku":"P","location":"mars","on_hand":1}]`)
	want := []string{
		"superseded", "changed", "changed", "rejected /3/on_hand", "rejected /4/on_hand", "rejected /5/on_hand", "rejected /6/reserved",
		"rejected /7/on_hand", "rejected /8/on_hand", "rejected /9/location",
	}
	for i, r := range a.Results {
		got := string(r.Status)
		if len(r.Problems) > 0 {
			got += " " + r.Problems[0].Pointer
		}
		if got != want[i] {
			t.Errorf("row %d: %s, want %s", i, got, want[i])
		}
	}
	if a = k.batch("/v1/stock:batch", `[{"sku":"P","on_hand":4}]`); a.Unchanged != 1 || a.Results[0].Revision != 1 {
		t.Errorf("the same again: %+v", a)
	}
}

// TestBatchDigits: amounts go through without losing one, as numbers and as text.
func TestBatchDigits(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	for amount, want := range map[string]string{
		"123456789012345.1234": "123456789012345.1234", `"123456789012.123456"`: "123456789012.123456", "0.1": "0.10", "2e3": "2000.00", "0": "0.00",
	} {
		k.batch("/v1/prices:batch", `[{"sku":"P","currency":"EUR","amount":`+amount+`}]`)
		if p := k.product("P"); len(p.Prices) != 1 || p.Prices[0].Amount != want {
			t.Errorf("%s came back as %+v", amount, p.Prices)
		}
	}
	k.batch("/v1/prices:batch", `[{"sku":"P","currency":"EUR","delete":true}]`)
	if p := k.product("P"); len(p.Prices) != 0 {
		t.Errorf("deleted, and still %+v", p.Prices)
	}
}

// TestBatchBadBody refuses what is no batch at all, storing nothing.
func TestBatchBadBody(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	good := `{"sku":"P","currency":"EUR","amount":1}`
	for _, body := range []string{`{}`, `[` + good, `[` + good + `,]`, `[` + good + `] x`, `nonsense`, `[` + good + ` ` + good + `]`, strings.Repeat("[", 20000), `"` + "\xff"} {
		k.refused(k.do(Integration, "POST", "/v1/prices:batch", body), 422, "", "json.syntax")
	}
	many := strings.Repeat(good+",", maxRows) + good
	k.refused(k.do(Integration, "POST", "/v1/prices:batch", "["+many+"]"), 413, "/1000", "batch.rows")
	k.refused(k.do(Integration, "POST", "/v1/prices:batch", strings.Repeat(good+"\n", maxRows+1), "Content-Type", typeNDJSON), 413, "/1000", "batch.rows")
	k.want(k.do(Integration, "POST", "/v1/prices:batch", "["+strings.Repeat(" ", 10<<20)+"]"), 413, nil)
	k.want(k.do(Integration, "POST", "/v1/prices:batch", good, "Content-Type", "text/csv"), 415, nil)
	if n := k.count("price"); n != 0 {
		t.Errorf("%d prices are stored", n)
	}
	a := k.batch("/v1/prices:batch", "["+many[:len(many)-len(good)-1]+"]") // exactly 1,000
	if len(a.Results) != maxRows || a.Superseded != maxRows-1 || a.Changed != 1 {
		t.Errorf("a full batch: %d results, %d superseded", len(a.Results), a.Superseded)
	}
	if a = k.batch("/v1/prices:batch", "[]"); len(a.Results) != 0 {
		t.Errorf("an empty batch: %+v", a)
	}
}

// TestIdempotency sends a batch twice under one key.
func TestIdempotency(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	first := `[{"sku":"P","on_hand":1},{"bad":1}]`
	a := k.batch("/v1/stock:batch", first, "Idempotency-Key", "k-1")
	k.batch("/v1/stock:batch", `[{"sku":"P","on_hand":2}]`)
	b := k.batch("/v1/stock:batch", first, "Idempotency-Key", "k-1")
	if a.Changed != 1 || b.Changed != 1 || b.Rejected != 1 || b.Results[1].Problems[0].Pointer[:2] != "/1" {
		t.Errorf("first %+v, then %+v", a, b)
	}
	if p := k.product("P"); p.Stock[0].OnHand != 2 || p.StockRevision != 2 {
		t.Errorf("the repeated batch was applied again: %+v", p.Stock)
	}
	k.refused(k.do(Integration, "POST", "/v1/stock:batch", `[]`, "Idempotency-Key", "k-1"), 422, "header.Idempotency-Key", "idempotency.reused")
	k.refused(k.do(Integration, "POST", "/v1/prices:batch", first, "Idempotency-Key", "k-1"), 422, "header.Idempotency-Key", "idempotency.reused")
	k.refused(k.do(Integration, "POST", "/v1/stock:batch", first, "Idempotency-Key", strings.Repeat("k", 256)), 422, "header.Idempotency-Key", "parameter")
	k.refused(k.do(Integration, "POST", "/v1/stock:batch", first, "Idempotency-Key", "ключ"), 422, "header.Idempotency-Key", "idempotency.key")
	// Another client's key is another key.
	var c BatchAnswer
	k.want(k.do(Admin, "POST", "/v1/stock:batch", first, "Idempotency-Key", "k-1"), 200, &c)
	if c.Changed != 1 {
		t.Errorf("as another client: %+v", c)
	}
}

// A SKU that comes back has the prices and stock levels of before.
func TestRevivedProductKeepsItsOffer(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	body := `{"family":"shoe","values":{"count":1}}`
	k.want(k.do(Editor, "PUT", "/v1/products/P", body), 201, nil)
	k.want(k.do(Integration, "POST", "/v1/prices:batch", `[{"sku":"P","currency":"EUR","amount":"19.90"}]`), 200, nil)
	k.want(k.do(Integration, "POST", "/v1/stock:batch", `[{"sku":"P","on_hand":7}]`), 200, nil)
	k.want(k.do(Editor, "DELETE", "/v1/products/P", nil), 204, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/P", body), 201, nil)
	var p struct {
		Prices []struct{ Amount string } `json:"prices"`
		Stock  []struct {
			OnHand int64 `json:"on_hand"`
		} `json:"stock"`
	}
	k.want(k.do(Viewer, "GET", "/v1/products/P", nil), 200, &p)
	if len(p.Prices) != 1 || p.Prices[0].Amount != "19.90" || len(p.Stock) != 1 || p.Stock[0].OnHand != 7 {
		t.Errorf("it came back with %+v", p)
	}
}

// A price that comes late is told as that, with what stands.
func TestLatePrice(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	tell := func(amount, asOf string) (a BatchAnswer) {
		t.Helper()
		row := map[string]any{"sku": "P", "currency": "EUR", "amount": amount, "as_of": asOf, "sequence": nil}
		k.want(k.do(Integration, "POST", "/v1/prices:batch", []any{row}), 200, &a)
		return a
	}
	if a := tell("10.00", "2026-01-01T09:05:00+01:00"); a.Changed != 1 {
		t.Errorf("%+v", a)
	}
	a := tell("9.00", "2026-01-01T08:04:00Z")
	if now := a.Results[0].Price; a.Stale != 1 || a.Results[0].Status != postgres.RowStale || now == nil || now.Amount != "10.00" || now.AsOf.Format(time.RFC3339) != "2026-01-01T08:05:00Z" {
		t.Errorf("%+v", a)
	}
	if a := tell("8.00", "9999-01-01T00:00:00Z"); a.Rejected != 1 || a.Results[0].Problems[0].Code != "price.ahead" || a.Results[0].Problems[0].Pointer != "/0/as_of" {
		t.Errorf("%+v", a)
	}
}
