package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

func changesOf(t *testing.T, list []pim.FieldChange) string {
	t.Helper()
	var parts []string
	for _, c := range list {
		old, err := json.Marshal([]any{c.Old, c.New})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, c.Field+string(old))
	}
	return strings.Join(parts, " ")
}

// TestRevisions reads every revision of a product's two lives, compares them,
// and goes back to one of each.
func TestRevisions(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	edit := func(method, body string, code int) {
		t.Helper()
		k.want(k.do(Editor, method, "/v1/products/P", body), code, nil)
	}
	edit("PUT", `{"family":"shoe","categories":["a"],"values":{"name":{"en-GB":"One","de-DE":"Eins"},"count":1.50}}`, 201)                 // 1
	edit("PATCH", `{"values":{"name":{"en-GB":"Two"}}}`, 200)                                                                              // 2
	k.want(k.do(Integration, "POST", "/v1/prices:batch", `[{"sku":"P","currency":"EUR","amount":1}]`), 200, nil)                           // no revision
	edit("PATCH", `{"categories":["a","b"],"enabled":false,"values":{"count":null,"color":"red","weight":{"amount":2,"unit":"kg"}}}`, 200) // 3
	edit("PATCH", `{"categories":[],"values":{"name":{"en-GB":"Four","de-DE":null}}}`, 200)                                                // 4
	edit("DELETE", ``, 204)                                                                                                                // 5
	edit("PUT", `{"family":"shoe","values":{"count":6}}`, 201)                                                                             // 6
	edit("PATCH", `{"values":{"count":7}}`, 200)                                                                                           // 7
	for rev, want := range map[int]string{
		1: `true [a] {"count":1.50,"name":{"de-DE":"Eins","en-GB":"One"}}`,
		2: `true [a] {"count":1.50,"name":{"de-DE":"Eins","en-GB":"Two"}}`,
		3: `false [a b] {"color":"red","name":{"de-DE":"Eins","en-GB":"Two"},"weight":{"amount":2,"unit":"kg"}}`,
		4: `false [] {"color":"red","name":{"en-GB":"Four"},"weight":{"amount":2,"unit":"kg"}}`,
		5: `false [] {}`,
		6: `true [] {"count":6}`,
		7: `true [] {"count":7}`,
	} {
		var r ProductRevision
		k.want(k.do(Viewer, "GET", fmt.Sprintf("/v1/products/P/revisions/%d", rev), nil), 200, &r)
		var v any
		if err := json.Unmarshal(r.Values, &v); err != nil {
			t.Fatal(err)
		}
		var w any
		parts := strings.SplitN(want, "{", 2)
		if err := json.Unmarshal([]byte("{"+parts[1]), &w); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(r.Enabled, " ", r.Categories, " ") != parts[0] || fmt.Sprint(v) != fmt.Sprint(w) || r.Deleted != (rev == 5) || r.Current != (rev == 7) ||
			r.Actor != "editor key" || !r.Deleted && r.Family != "shoe" {
			t.Errorf("revision %d: %+v, want %s", rev, r, want)
		}
	}
	for _, none := range []string{"P/revisions/8", "nobody/revisions/1", "P/diff?from=1&to=9", "nobody/diff?from=1"} {
		k.want(k.do(Viewer, "GET", "/v1/products/"+none, nil), 404, nil)
	}
	var d ProductDiff
	for query, want := range map[string]string{
		"from=1&to=3": `categories[["a"],["a","b"]] enabled[true,false] values.color[null,"red"] values.count[1.50,null] values.name.en-GB["One","Two"] values.weight[null,{"amount":2,"unit":"kg"}]`,
		"from=3&to=2": `categories[["a","b"],["a"]] enabled[false,true] values.color["red",null] values.count[null,1.50] values.weight[{"amount":2,"unit":"kg"},null]`,
		"from=6":      `values.count[6,7]`,
		"from=7&to=7": ``,
	} {
		k.want(k.do(Viewer, "GET", "/v1/products/P/diff?"+query, nil), 200, &d)
		if got := strings.ReplaceAll(changesOf(t, d.Changes), "1.5,", "1.50,"); strings.ReplaceAll(got, "1.5]", "1.50]") != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}

	// Back to a revision of the life before, under a condition.
	k.want(k.do(Editor, "POST", "/v1/products/P/revisions/3/restore", nil, "If-Match", `"6"`), 412, nil)
	k.want(k.do(Viewer, "POST", "/v1/products/P/revisions/3/restore", nil), 403, nil)
	var a EditAnswer
	r := k.want(k.do(Editor, "POST", "/v1/products/P/revisions/3/restore", nil, "If-Match", `"7"`), 200, &a)
	if a.Revision != 8 || !a.Changed || r.Header.Get("ETag") != `"8"` {
		t.Errorf("restored to %+v", a)
	}
	k.want(k.do(Viewer, "GET", "/v1/products/P/diff?from=3&to=8", nil), 200, &d)
	if len(d.Changes) != 0 {
		t.Errorf("restored, but %+v", d.Changes)
	}
	k.want(k.do(Editor, "POST", "/v1/products/P/revisions/8/restore", nil), 200, &a)
	if a.Changed || a.Revision != 8 {
		t.Errorf("what is there already: %+v", a)
	}
	k.want(k.do(Editor, "POST", "/v1/products/P/revisions/5/restore", nil), 404, nil)

	// And deleted products come back as they went.
	k.want(k.do(Editor, "POST", "/v1/products/P/restore", nil), 409, nil)
	k.want(k.do(Editor, "POST", "/v1/products/nobody/restore", nil), 404, nil)
	edit("DELETE", ``, 204) // 9
	var gone page[Product]
	k.want(k.do(Viewer, "GET", "/v1/products?deleted=true", nil), 200, &gone)
	if len(gone.Items) != 1 || gone.Items[0].SKU != "P" || !gone.Items[0].Deleted {
		t.Errorf("deleted: %+v", gone.Items)
	}
	r = k.want(k.do(Editor, "POST", "/v1/products/P/restore", nil), 201, &a)
	if !a.Created || a.Revision != 10 || r.Header.Get("Location") != "/v1/products/P" {
		t.Errorf("brought back: %+v", a)
	}
	k.want(k.do(Viewer, "GET", "/v1/products/P/diff?from=8&to=10", nil), 200, &d)
	if len(d.Changes) != 0 {
		t.Errorf("brought back, but %+v", d.Changes)
	}
	if p := k.product("P"); len(p.Prices) != 1 {
		t.Errorf("its price did not come back: %+v", p)
	}
	k.want(k.do(Viewer, "GET", "/v1/products?deleted=true", nil), 200, &gone)
	if len(gone.Items) != 0 {
		t.Errorf("deleted still: %+v", gone.Items)
	}
	edit("DELETE", ``, 204) // 11
	k.want(k.do(Editor, "POST", "/v1/products/P/revisions/2/restore", nil), 201, &a)
	k.want(k.do(Viewer, "GET", "/v1/products/P/diff?from=2&to=12", nil), 200, &d)
	if len(d.Changes) != 0 {
		t.Errorf("brought back to 2, but %+v", d.Changes)
	}
}

// TestRestoreVariant brings a variant back under its parent, and leaves out what
// there is no place for any more.
func TestRestoreVariant(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe","family_variant":"by_color"}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/V", `{"family":"shoe","parent":"P","values":{"color":"red","count":1}}`), 201, nil)
	k.want(k.do(Editor, "DELETE", "/v1/products/V", nil), 204, nil)
	family := `{"attributes":[{"code":"name"},{"code":"color"}],"variants":[{"code":"by_color","axes":["color"]}]}`
	k.want(k.do(Editor, "PUT", "/v1/families/shoe", family), 200, nil)
	var a EditAnswer
	k.want(k.do(Editor, "POST", "/v1/products/V/restore", nil), 201, &a)
	if len(a.Warnings) != 1 || a.Warnings[0].Code != "restore.left_out" || !strings.Contains(a.Warnings[0].Detail, "values.count") {
		t.Errorf("warnings %+v", a.Warnings)
	}
	if p := k.product("V"); p.Parent != "P" || strings.Contains(string(p.Values), "count") {
		t.Errorf("brought back as %+v", p)
	}
}

// TestStaleEdits shows who lost a race what changed, and lets a merge patch
// through that touches something else.
func TestStaleEdits(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe","values":{"name":{"en-GB":"A","de-DE":"B"},"count":1}}`), 201, nil)
	k.want(k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"name":{"en-GB":"A2"}}}`), 200, nil) // 2
	patch := func(body, tag string, code int) reply {
		t.Helper()
		return k.want(k.do(Editor, "PATCH", "/v1/products/P", body, "If-Match", tag), code, nil)
	}
	for _, body := range []string{
		`{"values":{"name":{"en-GB":"mine"}}}`, `{"values":{"name":null}}`, `{"values":{"name":{"en-GB":null,"de-DE":"B2"},"count":2}}`,
	} {
		r := patch(body, `"1"`, 412)
		var p Problem
		if err := json.Unmarshal(r.body, &p); err != nil {
			t.Fatal(err)
		}
		if p.Revision != 2 || r.Header.Get("ETag") != `"2"` || changesOf(t, p.Changes) != `values.name.en-GB["A","A2"]` {
			t.Errorf("%s: %s, ETag %s", body, r.body, r.Header.Get("ETag"))
		}
	}
	var p Problem
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe"}`, "If-Match", `"1"`), 412, &p)
	if p.Revision != 2 || len(p.Changes) != 1 {
		t.Errorf("a PUT is told %+v", p)
	}

	r := patch(`{"values":{"name":{"de-DE":"B2"},"count":2}}`, `"1"`, 200) // 3
	var a EditAnswer
	if err := json.Unmarshal(r.body, &a); err != nil {
		t.Fatal(err)
	}
	if a.Revision != 3 || changesOf(t, a.Unseen) != `values.name.en-GB["A","A2"]` || len(r.Header["Etag"]) != 0 {
		t.Errorf("%+v, ETag %v", a, r.Header["Etag"])
	}
	patch(`{"enabled":false}`, `"1"`, 200)                                               // 4
	patch(`{"enabled":true}`, `"3"`, 412)                                                // others changed it
	patch(`{"categories":["x"],"values":{"count":2}}`, `"2"`, 412)                       // though it stands so by now
	patch(`{"categories":["x"]}`, `"9"`, 412)                                            // never seen
	k.want(k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"count":3}}`), 200, nil)  // 5
	k.want(k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"count":2}}`), 200, nil)  // 6: as it was
	if r := patch(`{"values":{"count":9}}`, `"4"`, 200); r.Header.Get("ETag") != `"7"` { // nothing is another than it saw
		t.Errorf("ETag %s: %s", r.Header.Get("ETag"), r.body)
	}
	p7 := k.product("P")
	if got := string(p7.Values); !strings.Contains(got, `"A2"`) || !strings.Contains(got, `"B2"`) || !strings.Contains(got, "9") || p7.Enabled {
		t.Errorf("an edit is lost: %+v %s", p7, got)
	}
	k.want(k.do(Editor, "DELETE", "/v1/products/P", nil, "If-Match", `"1"`), 412, nil)
	k.want(k.do(Editor, "DELETE", "/v1/products/P", nil), 204, nil)
	patch(`{"enabled":true}`, `"7"`, http.StatusNotFound)
}

func TestHistoryRetention(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var r HistoryRetention
	k.want(k.do(Viewer, "GET", "/v1/history-retention", nil), 200, &r)
	if r.Months != 0 {
		t.Errorf("kept for %d months", r.Months)
	}
	k.want(k.do(Editor, "PUT", "/v1/history-retention", `{"months":24}`), 403, nil)
	k.want(k.do(Admin, "PUT", "/v1/history-retention", `{"months":24}`), 200, nil)
	k.want(k.do(Viewer, "GET", "/v1/history-retention", nil), 200, &r)
	if r.Months != 24 {
		t.Errorf("kept for %d months", r.Months)
	}
	for bad, code := range map[string]string{`{"months":-1}`: "limit", `{"months":1201}`: "months"} {
		k.refused(k.do(Admin, "PUT", "/v1/history-retention", bad), 422, "/months", code)
	}
	k.want(k.do(Admin, "PUT", "/v1/history-retention", `{"months":0}`), 200, nil)
}
