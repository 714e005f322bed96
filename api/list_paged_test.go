package api

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// asked is a list's items and its cursor.
func (k *kit) asked(path string, query url.Values) (items []map[string]any, next string) {
	k.t.Helper()
	var list page[map[string]any]
	k.want(k.do(Viewer, "GET", path+"?"+query.Encode(), nil), 200, &list)
	return list.Items, list.Next
}

// walks reads a list page by page, and gives one member of each item.
func (k *kit) walks(path, member string, query url.Values) (told []string) {
	k.t.Helper()
	query.Del("cursor")
	for range 100 {
		items, next := k.asked(path, query)
		for _, item := range items {
			told = append(told, fmt.Sprint(item[member]))
		}
		if next == "" || next == query.Get("cursor") {
			return told
		}
		query.Set("cursor", next)
	}
	k.t.Fatalf("%s does not end", path)
	return nil
}

// Lists in pages of the database take the filter and the order of the others.
func TestPagedListsAreFiltered(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var rows []string
	for i := range 30 {
		rows = append(rows, fmt.Sprintf(`{"code":"c%02d","position":%d,"labels":{"en-GB":"%s"}}`, i, 40-i, []string{"Lamps", "Tables", "Chairs"}[i%3]))
	}
	k.want(k.do(Editor, "POST", "/v1/categories:batch", "["+strings.Join(rows, ",")+"]"), 200, nil)
	k.want(k.do(Editor, "PUT", "/v1/categories/c03x", `{"parent":"c03","labels":{"en-GB":"Lamps"}}`), 201, nil)
	const path = "/v1/categories"
	for _, limit := range []string{"1", "2", "7", "1000"} {
		got := k.walks(path, "code", url.Values{"limit": {limit}, "filter": {`labels.en-GB = Lamps and parent is empty`}})
		if want := "c00 c03 c06 c09 c12 c15 c18 c21 c24 c27"; strings.Join(got, " ") != want {
			t.Errorf("by %s: %v", limit, got)
		}
		got = k.walks(path, "code", url.Values{"limit": {limit}, "filter": {`code starts with c0`}, "sort": {"labels.en-GB,-position"}})
		if want := "c02 c05 c08 c00 c03 c06 c09 c03x c01 c04 c07"; strings.Join(got, " ") != want {
			t.Errorf("sorted, by %s: %v", limit, got)
		}
	}
	if got := k.walks(path, "code", url.Values{"filter": {"parent = c03"}, "parent": {"c03"}, "sort": {"-code"}}); !slices.Equal(got, []string{"c03x"}) {
		t.Error(got)
	}
	// A page has its limit, though what is between its items is read.
	items, next := k.asked(path, url.Values{"limit": {"2"}, "filter": {`labels.en-GB = Chairs`}, "fields": {"labels"}})
	if len(items) != 2 || next == "" || len(items[0]) != 1 {
		t.Errorf("%v %q", items, next)
	}
	for query, at := range map[string][2]string{
		"filter=nope = 1": {"query.filter", "filter.field"}, "filter=code =": {"query.filter", "filter.syntax"}, "sort=nope": {"query.sort", "sort"}, "sort=code&cursor=c03": {"query.cursor", "cursor"},
	} {
		values, _ := url.ParseQuery(query)
		k.refused(k.do(Viewer, "GET", path+"?"+values.Encode(), nil), 422, at[0], at[1])
	}

	k.want(k.do(Editor, "PUT", "/v1/reference-entities/brand", `{"attributes":[{"code":"country","type":"text"}]}`), 201, nil)
	k.want(k.do(Editor, "POST", "/v1/reference-entities/brand/records:batch",
		`[{"code":"a","values":{"country":"NL"}},{"code":"b","values":{"country":"DE"}},{"code":"c","values":{"country":"NL"}}]`), 200, nil)
	if got := k.walks("/v1/reference-entities/brand/records", "code", url.Values{"limit": {"1"}, "filter": {"values.country = NL"}, "sort": {"-code"}}); strings.Join(got, " ") != "c a" {
		t.Error(got)
	}
}

// The log is a list in pages, too.
func TestLogIsFiltered(t *testing.T) {
	t.Parallel()
	// It is read up to the oldest transaction of the whole server, so the server is this test's own.
	k := newKitOn(t, dbtest.Server(t).DSN()).seed()
	for i := range 5 {
		k.want(k.do(Editor, "PUT", fmt.Sprintf("/v1/products/P%d", i), `{"family":"shoe"}`), 201, nil)
	}
	k.want(k.do(Editor, "PATCH", "/v1/products/P3", `{"enabled":false}`), 200, nil)
	// Autovacuum may hold the horizon for a moment.
	for deadline, told := time.Now().Add(30*time.Second), 0; told < 6 && time.Now().Before(deadline); {
		told = len(k.walks("/v1/events", "type", url.Values{}))
	}
	for _, limit := range []string{"1", "3", "100"} {
		got := k.walks("/v1/events", "type", url.Values{"limit": {limit}, "filter": {"sku = P3"}})
		if strings.Join(got, " ") != "product.created product.updated" {
			t.Errorf("events by %s: %v", limit, got)
		}
	}
	// An empty page of the log keeps its place.
	_, end := k.asked("/v1/events", url.Values{"limit": {"1000"}})
	if items, next := k.asked("/v1/events", url.Values{"cursor": {end}, "filter": {"sku = P3"}}); len(items) != 0 || next != end {
		t.Errorf("%v %q", items, next)
	}
}

// Times are in their order within a second, too.
func TestListsOrderTimes(t *testing.T) {
	t.Parallel()
	if compareMembers("2026-11-22T09:00:00Z", "2026-11-22T09:00:00.5Z") >= 0 || compareMembers("2026-11-22T11:00:00+02:00", "2026-11-22T09:00:01Z") >= 0 || compareMembers("b", "a") <= 0 {
		t.Error("times are not in their order")
	}
}

// No page of a list is longer than its limit, and what is read twice is told once.
func TestWalk(t *testing.T) {
	t.Parallel()
	type item struct {
		N int `json:"n"`
	}
	read := 0
	numbers := func(cursor string, limit int) (*answer[page[item]], arranger, error) {
		read += limit
		at, next := 0, ""
		_, _ = fmt.Sscan(cursor, &at)
		a := pageOf[item](nil, "")
		for ; at < 50_000 && len(a.Body.Items) < limit; at++ {
			a.Body.Items = append(a.Body.Items, item{at})
		}
		if at < 50_000 {
			next = fmt.Sprint(at)
		}
		a.Body.Next = next
		return a, &a.Body, nil
	}
	sieved := func(fits func(arranger) ([]int, error)) *sieve[answer[page[item]]] {
		return &sieve[answer[page[item]]]{read: numbers, fits: fits}
	}
	found := func(filter, cursor string, limit int) ([]item, string) {
		t.Helper()
		read = 0
		fits, err := new(page[item]).fitting(filter)
		if err != nil {
			t.Fatal(err)
		}
		a, err := sieved(fits).walk(Paging{Cursor: cursor, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		return a.Body.Items, a.Body.Next
	}
	if items, next := found("n >= 1500 and n < 1505", "", 3); len(items) != 3 || items[2].N != 1502 || next != "1503" {
		t.Errorf("%v %s", items, next)
	}
	if items, next := found("n in (2, 3, 49999)", "3", 10); len(items) != 1 || items[0].N != 3 || next == "" || read > maxWalked {
		t.Errorf("%v %s, %d read", items, next, read)
	}
	// What is rare is found by who comes back, and the list ends.
	var all []item
	for cursor, i := "", 0; i < 10; i++ {
		items, next := found("n in (2, 49999)", cursor, 10)
		if all = append(all, items...); next == "" {
			break
		}
		cursor = next
	}
	if len(all) != 2 || all[1].N != 49999 {
		t.Error(all)
	}
	none, err := new(page[item]).fitting("")
	if err != nil {
		t.Fatal(err)
	}
	_, err = sieved(none).all()
	if p, ok := errors.AsType[*Problem](err); !ok || p.Errors[0].Code != "sort.many" {
		t.Errorf("50,000 are sorted: %v", err)
	}
	few, _ := new(page[item]).fitting("n > 49990")
	if a, err := sieved(few).all(); err != nil || len(a.Body.Items) != 9 || a.Body.Next != "" {
		t.Errorf("%v", err)
	}
}

// Every list in pages says fields, and its filter is held against its members; a
// parameter that does nothing would be one that somebody believes.
func TestEveryListIsFiltered(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	own := []string{"list-products"} // whose filter is on attributes
	seen := 0
	for path, item := range k.s.api.OpenAPI().Paths {
		o := item.Get
		if o == nil || !slices.ContainsFunc(o.Parameters, func(p *huma.Param) bool { return p.Name == "limit" }) {
			continue
		}
		if !slices.ContainsFunc(o.Parameters, func(p *huma.Param) bool { return p.Name == "filter" }) {
			t.Errorf("%s takes no filter", path)
		}
		if strings.Contains(path, "{") || slices.Contains(own, o.OperationID) {
			continue
		}
		seen++
		for query, code := range map[string]string{"filter=no_such_member+%3D+1": "filter.field", "fields=no_such_member": "fields"} {
			r := k.do(Admin, http.MethodGet, path+"?"+query, nil)
			if r.StatusCode == http.StatusServiceUnavailable {
				continue // no media here
			}
			var p Problem
			if err := json.Unmarshal(r.body, &p); err != nil || r.StatusCode != 422 || len(p.Errors) != 1 || p.Errors[0].Code != code {
				t.Errorf("%s?%s: %d %s", path, query, r.StatusCode, r.body)
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d lists", seen)
	}
}

// A cursor that no list gave is the client's fault, whatever it says.
func TestForgedCursors(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.do(Editor, "PUT", "/v1/products/A", `{"family":"shoe"}`), 201, nil)
	k.want(k.channel("shop", "https://shop.example/hook"), 201, nil)
	place := strings.NewReplacer("{sku}", "A", "{code}", "shop", "{channel}", "shop", "{entity}", "brand", "{id}", "1")
	cursors := []string{"0", "1", "9223372036854775807", "1.1", "1.99999999999", "1.1.1", "1.1.99999", "99999999999999999999.1"}
	for _, text := range []string{
		`null`, `[]`, `{}`, `{"i":1,"n":99999999999}`, `{"i":1,"f":"0000-01-01T00:00:00Z"}`, `["",null]`, `["",1]`, `["",99999999999999999999]`, `["","\u0000"]`,
		`["sku","\u0000"]`, `["updated_at","0000-01-01T00:00:00Z"]`, `["match","1","1","99999999999999999999"]`, `["match","1","NaN","1"]`,
	} {
		cursors = append(cursors, base64.RawURLEncoding.EncodeToString([]byte(text)))
	}
	for path, item := range k.s.api.OpenAPI().Paths {
		if item.Get == nil || !slices.ContainsFunc(item.Get.Parameters, func(p *huma.Param) bool { return p.Name == "cursor" }) {
			continue
		}
		for _, c := range cursors {
			for _, other := range []string{"", "&sort=updated_at", "&sort=sku", "&sort=code", "&search=a&locale=en-GB"} {
				r := k.do(Admin, http.MethodGet, place.Replace(path)+"?cursor="+c+other, nil)
				if r.StatusCode >= 500 && r.StatusCode != http.StatusServiceUnavailable { // no media here
					t.Errorf("%s?cursor=%s%s: %d %s", path, c, other, r.StatusCode, r.body)
				}
			}
		}
	}
}

// Members that lie deeper are chosen alone, of products and of lists.
func TestFieldsWithin(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.do(Editor, "PUT", "/v1/products/A", `{"family":"shoe","values":{"name":{"en-GB":"Shoe","de-DE":"Schuh"},"count":1,"weight":{"amount":2,"unit":"kg"}}}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/import-profiles/acme", `{"options":{"locale":"en-GB","map":{"name":"row.a","sku":"row.b"}}}`), 201, nil)
	for path, want := range map[string]string{
		"/v1/products?fields=values.name.en-GB":                   `{"items":[{"values":{"name":{"en-GB":"Shoe"}}}]}`,
		"/v1/products?fields=values.name,values.name.en-GB":       `{"items":[{"values":{"name":{"de-DE":"Schuh","en-GB":"Shoe"}}}]}`,
		"/v1/products?fields=values.weight.unit,values.count.x":   `{"items":[{"values":{"weight":{"unit":"kg"}}}]}`,
		"/v1/import-profiles?fields=code,options.map.sku":         `{"items":[{"code":"acme","options":{"map":{"sku":"row.b"}}}]}`,
		"/v1/import-profiles?fields=code&filter=options.locale=x": `{"items":[]}`,
	} {
		if r := k.want(k.do(Viewer, "GET", path, nil), 200, nil); strings.ReplaceAll(strings.TrimSpace(string(r.body)), " ", "") != want {
			t.Errorf("%s: %s", path, r.body)
		}
	}
}
