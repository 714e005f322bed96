package api

import (
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

func TestCategories(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var c Category
	k.want(k.do(Editor, "PUT", "/v1/categories/sales", `{"labels":{"en-GB":"Sales"}}`), 201, &c)
	r := k.want(k.do(Editor, "PUT", "/v1/categories/shoes", `{"parent":"sales","labels":{"en-GB":"Shoes"}}`), 201, &c)
	if r.Header.Get("ETag") != `"1"` || strings.Join(c.Path, ">") != "sales>shoes" || c.Labels["en-GB"] != "Shoes" {
		t.Errorf("%s %+v", r.Header.Get("ETag"), c)
	}
	k.want(k.do(Editor, "PUT", "/v1/categories/hats", `{"parent":"sales","position":0}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/A", `{"family":"shoe","categories":["shoes"]}`), 201, nil)
	var edited EditAnswer
	k.want(k.do(Editor, "PUT", "/v1/products/B", `{"family":"shoe","categories":["sheos"]}`), 201, &edited)
	if len(edited.Warnings) != 1 || edited.Warnings[0].Code != "category.unknown" {
		t.Errorf("an unknown category: %+v", edited)
	}
	var products page[*Product]
	k.want(k.do(Viewer, "GET", "/v1/products?category=sales", nil), 200, &products)
	if len(products.Items) != 1 || products.Items[0].SKU != "A" || len(products.Items[0].Warnings) != 0 {
		t.Errorf("products of the subtree: %+v", products)
	}
	var p Product
	if k.want(k.do(Viewer, "GET", "/v1/products/B", nil), 200, &p); len(p.Warnings) != 1 {
		t.Errorf("warnings of a stored product: %+v", p.Warnings)
	}
	for query, want := range map[string]string{"": "hats sales shoes", "?root=sales&limit=2": "hats sales", "?root=sales&cursor=sales": "shoes", "?parent=sales": "hats shoes"} {
		var list page[Category]
		k.want(k.do(Viewer, "GET", "/v1/categories"+query, nil), 200, &list)
		var codes []string
		for _, c := range list.Items {
			codes = append(codes, c.Code)
		}
		if got := strings.Join(codes, " "); got != want {
			t.Errorf("%s: %s", query, got)
		}
	}
	var tree page[*CategoryNode]
	k.want(k.do(Viewer, "GET", "/v1/category-tree", nil), 200, &tree)
	if len(tree.Items) != 1 || len(tree.Items[0].Children) != 2 || tree.Items[0].Children[0].Code != "hats" {
		t.Errorf("tree: %+v", tree.Items)
	}
	k.want(k.do(Viewer, "GET", "/v1/category-tree?root=none", nil), 404, nil)

	k.refused(k.do(Editor, "PUT", "/v1/categories/sales", `{"parent":"shoes"}`), 422, "/parent", "category.cycle")
	k.refused(k.do(Editor, "PUT", "/v1/categories/x", `{"parent":"none"}`), 422, "/parent", "category.parent")
	k.refused(k.do(Editor, "PUT", "/v1/categories/x", `{"labels":{"en_gb":"X"}}`), 422, "/labels/en_gb", "locale.tag")
	k.want(k.do(Editor, "PUT", "/v1/categories/shoes", `{}`, "If-Match", `"7"`), 412, nil)
	k.want(k.do(Editor, "PUT", "/v1/categories/none", `{}`, "If-Match", `*`), 412, nil)
	k.want(k.do(Editor, "PUT", "/v1/categories/shoes", `{"parent":"hats"}`, "If-Match", `"7", "1"`), 200, &c)
	if c.Revision != 2 || len(c.Path) != 3 {
		t.Errorf("moved: %+v", c)
	}
	k.want(k.do(Viewer, "PUT", "/v1/categories/shoes", `{}`), 403, nil)
	k.want(k.do(Editor, "DELETE", "/v1/categories/hats", nil), 409, nil)
	k.want(k.do(Editor, "DELETE", "/v1/categories/shoes", nil), 409, nil)
	k.want(k.do(Editor, "DELETE", "/v1/products/A", nil), 204, nil)
	k.want(k.do(Editor, "DELETE", "/v1/categories/shoes", nil, "If-Match", `"1"`), 412, nil)
	k.want(k.do(Editor, "DELETE", "/v1/categories/shoes", nil, "If-Match", `"2"`), 204, nil)
	k.want(k.do(Viewer, "GET", "/v1/categories/shoes", nil), 404, nil)
}

// A channel's category root is a setting as others are, and stays while the channel has it.
func TestCategoryRoot(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.do(Editor, "PUT", "/v1/categories/web", `{}`), 201, nil)
	k.want(k.channel("shop", "http://127.0.0.1:1"), 201, nil)
	for _, body := range []string{`{"category_root":"web"}`, `{"batch":7}`} {
		var c Channel
		if k.want(k.do(ChannelManager, "PATCH", "/v1/channels/shop", body), 200, &c); c.CategoryRoot != "web" {
			t.Errorf("after %s: %q", body, c.CategoryRoot)
		}
	}
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/shop", `{"category_root":"none"}`), 422, "/category_root", "category.unknown")
	k.want(k.do(Editor, "DELETE", "/v1/categories/web", nil), 409, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe"}`), 201, nil)
	var seen struct {
		Lanes []struct{ Issues []pim.Issue }
	}
	if k.want(k.do(Viewer, "GET", "/v1/channels/shop/preview/P", nil), 200, &seen); len(seen.Lanes) == 0 || len(seen.Lanes[0].Issues) != 1 || seen.Lanes[0].Issues[0].Code != connectors.CodeOutsideRoot {
		t.Errorf("preview: %+v", seen)
	}
	var c Channel
	if k.want(k.do(ChannelManager, "PATCH", "/v1/channels/shop", `{"category_root":null}`), 200, &c); c.CategoryRoot != "" {
		t.Errorf("taken away: %q", c.CategoryRoot)
	}
	k.want(k.do(Editor, "DELETE", "/v1/categories/web", nil), 204, nil)
}

func TestImportCategories(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	file := "code;parent;label-en_US;label-de_DE\nmaster;;Master;Alles\nshoes;master;Shoes;\n"
	for _, want := range []ImportedCategories{{Created: 2}, {Unchanged: 2}} {
		var got ImportedCategories
		k.want(k.do(Editor, "POST", "/v1/categories/import", file, "Content-Type", "text/csv"), 200, &got)
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	var got ImportedCategories
	k.want(k.do(Editor, "POST", "/v1/categories/import?locale=de-DE&root=google&prefix=g", "1 - Tiere\n2 - Tiere > Futter\n", "Content-Type", "text/plain"), 200, &got)
	if got.Created != 3 {
		t.Errorf("%+v", got)
	}
	k.refused(k.do(Editor, "POST", "/v1/categories/import", "code;parent\na;b\n", "Content-Type", "text/csv"), 422, "/a/parent", "category.parent")
	k.refused(k.do(Editor, "POST", "/v1/categories/import?locale=xx_yy", file, "Content-Type", "text/csv"), 422, "query.locale", "locale")
	if n := k.count("category"); n != 5 {
		t.Errorf("%d categories", n)
	}
}
