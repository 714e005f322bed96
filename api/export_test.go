package api

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
)

// An export answers in the three formats, with the filters of the list, and its
// CSV goes back through an import that changes nothing.
func TestExportProducts(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.do(Editor, "PUT", "/v1/products/A", `{"family":"shoe","categories":["x"],"values":{"name":{"en-GB":"=cmd","de-DE":"Schuh"},"weight":{"amount":1.5,"unit":"kg"}}}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/B", `{"family":"shoe","enabled":false,"values":{"count":3}}`), 201, nil)
	r := k.want(k.do(Viewer, "GET", "/v1/products/export", nil), 200, nil)
	rows, err := csv.NewReader(strings.NewReader(string(r.body))).ReadAll()
	if err != nil || len(rows) != 3 || r.Header.Get("Content-Type") != "text/csv; charset=utf-8" || r.Header.Get("Content-Disposition") != `attachment; filename="products.csv"` {
		t.Fatalf("%v %v\n%s", err, r.Header, r.body)
	}
	if got, want := strings.Join(rows[0], ","), "sku,parent,family,family_variant,enabled,categories,count,name:de-DE,name:en-GB,weight"; got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
	if got, want := strings.Join(rows[1], ","), "A,,shoe,,true,x,,Schuh,'=cmd,1.5 kg"; got != want {
		t.Errorf("row %s, want %s", got, want)
	}
	var p struct {
		SKU   string
		Count int
	}
	r = k.want(k.do(Integration, "GET", "/v1/products/export?format=jsonl&enabled=false", nil), 200, nil)
	if err := json.Unmarshal(r.body, &p); err != nil || p.SKU != "B" || p.Count != 3 || r.Header.Get("Content-Type") != typeNDJSON {
		t.Errorf("%v %+v %s", err, p, r.body)
	}
	r = k.want(k.do(Viewer, "GET", "/v1/products/export?format=xlsx&sku_prefix=A", nil), 200, nil)
	if !strings.HasPrefix(string(r.body), "PK\x03\x04") {
		t.Errorf("a workbook begins with %q", r.body[:4])
	}
	for query, place := range map[string]string{"format=pdf": "query.format", "limit=3": "query.limit", "enabled=maybe": "query.enabled"} {
		k.refused(k.do(Viewer, "GET", "/v1/products/export?"+query, nil), 422, place, "parameter")
	}
	for range exportsMost {
		k.s.exports <- struct{}{}
	}
	if r = k.want(k.do(Viewer, "GET", "/v1/products/export", nil), 503, nil); r.Header.Get("Retry-After") == "" || r.Header.Get("Content-Disposition") != "" {
		t.Errorf("one too many: %v", r.Header)
	}
	<-k.s.exports
	k.want(k.do(Viewer, "GET", "/v1/products/export", nil), 200, nil)
}
