package api

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// Lists that are held as a whole have a filter, an order, pages and members.
func TestListsOfAll(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	get := func(path, query string) (codes []string, body string, next string) {
		t.Helper()
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		var list page[json.RawMessage]
		r := k.want(k.do(Viewer, "GET", path+"?"+values.Encode(), nil), 200, &list)
		for _, raw := range list.Items {
			var item struct{ Code string }
			if err := json.Unmarshal(raw, &item); err != nil {
				t.Fatal(err)
			}
			codes = append(codes, item.Code)
		}
		return codes, string(r.body), list.Next
	}
	for query, want := range map[string]string{
		"":                           "color count gtin name spare strict_gtin weight",
		"sort=-code":                 "weight strict_gtin spare name gtin count color",
		"sort=type,-code":            "weight count color strict_gtin spare name gtin",
		"sort=-localizable":          "name color count gtin spare strict_gtin weight",
		"filter=type = text":         "gtin name spare strict_gtin",
		"filter=options.code = blue": "color",
		"filter=max_length > 19 and max_length < 20.5 or check is not empty and not strict = true": "gtin name",
		"filter=type != text&sort=-code&limit=2":                                                   "weight count",
		"limit=3":                                                                                  "color count gtin",
	} {
		if codes, _, _ := get("/v1/attributes", query); strings.Join(codes, " ") != want {
			t.Errorf("%s: %v, not %s", query, codes, want)
		}
	}
	// Pages go on behind their last item, also when it is gone.
	var all []string
	for next := "start"; next != ""; {
		query := url.Values{"limit": {"2"}, "sort": {"type,-code"}}
		if next != "start" {
			query.Set("cursor", next)
		}
		codes, _, after := get("/v1/attributes", query.Encode())
		if all, next = append(all, codes...), after; len(all) == 6 {
			k.want(k.do(Editor, "DELETE", "/v1/attributes/spare", nil), 204, nil)
		}
	}
	if want := strings.Fields("weight count color strict_gtin spare name gtin"); !slices.Equal(all, want) {
		t.Errorf("pages %v, not %v", all, want)
	}
	_, body, _ := get("/v1/attributes", "fields=code,labels.en-GB&filter=code = name")
	if body != `{"items":[{"code":"name"}]}`+"\n" {
		t.Errorf("%q", body)
	}
	if codes, _, _ := get("/v1/families", "filter=attributes.code = weight and code starts with SH"); len(codes) != 1 {
		t.Error(codes)
	}
	if _, body, _ := get("/v1/locales", "filter=code contains gb&fields=code"); !strings.HasPrefix(body, `{"items":[{"code":"en-GB"}]}`) {
		t.Error(body)
	}
	// Pages of the database have their members, too.
	k.want(k.do(Editor, "PUT", "/v1/categories/home", `{"labels":{"en-GB":"Home","de-DE":"Heim"}}`), 201, nil)
	if _, body, _ := get("/v1/categories", "fields=code,labels.de-DE"); body != `{"items":[{"code":"home","labels":{"de-DE":"Heim"}}]}`+"\n" {
		t.Errorf("%q", body)
	}
	for query, at := range map[string][2]string{
		"sort=nope": {"query.sort", "sort"}, "sort=a,b,c,d,e,f": {"query.sort", "sort"}, "fields=nope": {"query.fields", "fields"}, "filter=nope = 1": {"query.filter", "filter.field"},
		"filter=code =": {"query.filter", "filter.syntax"}, "cursor=x": {"query.cursor", "cursor"}, "cursor=WyIiLCJhIl0&sort=-code": {"query.cursor", "cursor"}, "cursor=e30": {"query.cursor", "cursor"},
	} {
		values, _ := url.ParseQuery(query)
		k.refused(k.do(Viewer, "GET", "/v1/attributes?"+values.Encode(), nil), 422, at[0], at[1])
	}
	k.refused(k.do(Viewer, "GET", "/v1/categories?fields=nope", nil), 422, "query.fields", "fields")
}
