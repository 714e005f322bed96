package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// placed fails unless err is nil or an *Invalid whose problems can be shown.
func placed(t *testing.T, err error) {
	t.Helper()
	var p *Problem
	if err == nil || errors.As(err, &p) {
		return
	}
	var invalid *pim.Invalid
	if !errors.As(err, &invalid) || len(invalid.Problems) == 0 || len(invalid.Problems) > 200 {
		t.Fatalf("an error without problems: %v", err)
	}
	showable(t, invalid.Problems)
}

func showable(t *testing.T, problems []pim.Problem) {
	t.Helper()
	for _, p := range problems {
		if p.Pointer != "" && p.Pointer[0] != '/' || p.Code == "" || p.Detail == "" || !utf8.ValidString(p.Pointer+p.Detail) {
			t.Fatalf("a problem that cannot be shown: %+q", p)
		}
	}
}

// FuzzMergePatchBody reads any body as a product's edit: a fault with its
// place, or an edit whose values keep every digit.
func FuzzMergePatchBody(f *testing.F) {
	for _, s := range []string{
		`{"values":{"name":{"en-GB":"x","de-DE":null}}}`, `{"family":"shoe","parent":null,"enabled":false,"categories":["a"],"family_variant":""}`,
		`{"values":{"n":1e400}}`, `{"values":{"n":0.10000000000000000000001}}`, `{"a":1,"a":2}`, `{"values":{"x":"\ud800"}}`, "{\"x\xff\":1}", strings.Repeat(`{"values":`, 40), `[]`, ``, `{"a/b~":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		was := string(body)
		e, err := ReadProduct(body, "P", postgres.Patch)
		if string(body) != was {
			t.Fatal("the body was changed")
		}
		placed(t, err)
		if err != nil {
			return
		}
		if !json.Valid(body) || e.SKU != "P" {
			t.Fatalf("took %q", body)
		}
		// What was read is what encoding/json reads, where that is careful enough to.
		if e.Values == nil {
			return
		}
		raw, err := json.Marshal(e.Values)
		if err != nil {
			t.Fatalf("values of %q cannot be written: %v", body, err)
		}
		again, err := pim.DecodeValues(raw)
		if err != nil {
			t.Fatalf("values of %q cannot be read again: %v", body, err)
		}
		if second, err := json.Marshal(again); err != nil || string(second) != string(raw) {
			t.Fatalf("%s became %s (%v)", raw, second, err)
		}
	})
}

// FuzzBatchBody reads any body as a batch of prices and of stock: a fault of
// the whole, or one outcome per row, whose amounts have not changed.
func FuzzBatchBody(f *testing.F) {
	for _, s := range []string{
		`[{"sku":"P","currency":"EUR","amount":"19.90"},{"sku":"Q","currency":"EUR","amount":1e2,"valid_from":"2026-01-01T00:00:00+02:00"}]`,
		`[{"sku":"P","on_hand":-3,"reserved":1}]`, "{\"sku\":\"P\"}\n{\n\n7\n", `[[[[`, `[1,"x",null,{}]`, "[{\"sku\":\"\xff\"}]", `[{"sku":"P","amount":{}}] []`, ``,
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		kind := typeJSON
		if lines {
			kind = typeNDJSON
		}
		rows, err := splitRows(body, kind)
		placed(t, err)
		if err != nil {
			return
		}
		if len(rows) > maxRows || !lines && !json.Valid(body) {
			t.Fatalf("took %d rows of %q", len(rows), body)
		}
		for _, row := range rows {
			p, sku, problems := decodeRow(row, priceRow)
			showable(t, problems)
			if !utf8.ValidString(string(sku)) {
				t.Fatalf("the SKU %q is no text", sku)
			}
			if len(problems) == 0 {
				if p.SKU != sku || pim.ValidSKU(string(sku)) != nil {
					t.Fatalf("%q: SKU %q", row, sku)
				}
				var loose struct{ Amount any }
				if json.Unmarshal(row, &loose) == nil && loose.Amount == nil && !p.Delete {
					t.Fatalf("a price without amount: %q", row)
				}
			}
			s, _, problems := decodeRow(row, stockRow)
			showable(t, problems)
			if len(problems) == 0 && pim.ValidSKU(string(s.SKU)) != nil {
				t.Fatalf("%q: SKU %q", row, s.SKU)
			}
		}
	})
}
