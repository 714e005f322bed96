package api

import (
	"testing"

	"github.com/sluicehub/sluice/pim/postgres"
)

// TestSearchProducts searches through the API, once search has followed the log.
func TestSearchProducts(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for sku, body := range map[string]string{
		"lamp-1": `{"family":"shoe","values":{"name":{"en-GB":"Desk lamp","de-DE":"Lampe"},"color":"red"}}`,
		"lamp-2": `{"family":"shoe","values":{"name":{"en-GB":"Table"},"color":"blue"}}`,
		"x":      `{"family":"shoe","values":{"name":{"en-GB":"My lamp-1 shade"},"color":"blue"}}`,
	} {
		k.want(k.do(Editor, "PUT", "/v1/products/"+sku, body), 201, nil)
	}
	var found page[Product]
	for { // until every transaction that was open when they were made has ended
		did, err := k.store.IndexSearch(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if k.want(k.do(Viewer, "GET", "/v1/products?search=lamp&locale=en-GB", nil), 200, &found); !did.More && len(found.Items) == 3 {
			break
		}
	}
	k.want(k.do(Viewer, "GET", "/v1/products?search=LAMP-1&locale=en-GB", nil), 200, &found)
	if len(found.Items) != 2 || found.Items[0].SKU != "lamp-1" || found.Items[0].Match != "code" || found.Items[1].SKU != "x" || found.Items[1].Match != "words" {
		t.Errorf("%+v", found.Items)
	}
	k.want(k.do(Viewer, "GET", "/v1/products?search=lamp-&locale=en-GB&filter=values.color%3Dblue", nil), 200, &found)
	if len(found.Items) != 2 || found.Items[0].SKU != "lamp-2" || found.Items[0].Match != "prefix" {
		t.Errorf("%+v", found.Items)
	}
	found = page[Product]{}
	k.want(k.do(Viewer, "GET", "/v1/products?search=ab&filter=values.color%3Dblue", nil), 200, &found)
	if len(found.Items) != 1 || found.Items[0].SKU != "lamp-2" || found.Items[0].Match != "" {
		t.Errorf("by a part: %+v", found.Items)
	}
	var f postgres.Facets
	k.want(k.do(Viewer, "GET", "/v1/product-facets?facet=family,values.color&enabled=true", nil), 200, &f)
	if f.Products != 3 || f.Capped || len(f.Facets) != 2 || f.Facets[1].Values[0] != (postgres.FacetValue{Value: "blue", Count: 2}) {
		t.Errorf("%+v", f)
	}
	k.want(k.do(Viewer, "GET", "/v1/product-facets?facet=values.color&search=table&locale=en-GB", nil), 200, &f)
	if f.Products != 1 {
		t.Errorf("%+v", f)
	}
	k.refused(k.do(Viewer, "GET", "/v1/products?search=lamp&locale=xx-YY", nil), 422, "query.locale", "locale.unknown")
	k.refused(k.do(Viewer, "GET", "/v1/product-facets?facet=sku", nil), 422, "query.facet", "facet")
}
