package api

import (
	"strings"
	"testing"
)

func TestPublication(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.make("P")
	var a BatchAnswer
	k.want(k.do(Admin, "POST", "/v1/publication:batch", `[{"sku":"P","channel":"none","from":"2026-01-01T00:00:00Z"},{"sku":"P","from":7},{"sku":"P","channel":"none","colour":"red"}]`), 200, &a)
	var got []string
	for _, r := range a.Results {
		for _, p := range r.Problems {
			got = append(got, p.Pointer+" "+p.Code)
		}
	}
	for _, want := range []string{"/0/channel channel.unknown", "/1/channel field.missing", "/1/from field.time", "/2/colour field.unknown"} {
		if !strings.Contains(strings.Join(got, ","), want) {
			t.Errorf("%q lacks %s", got, want)
		}
	}
	var list PublicationAnswer
	if k.want(k.do(Viewer, "GET", "/v1/products/P/publication", nil), 200, &list); list.Items == nil || len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
	k.want(k.do(Viewer, "GET", "/v1/products/none/publication", nil), 404, nil)
	k.want(k.do(Viewer, "POST", "/v1/publication:batch", `[]`), 403, nil)
}
