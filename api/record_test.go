package api

import (
	"strings"
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

func TestReferenceEntities(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	const brand = "/v1/reference-entities/brand"
	var e ReferenceEntityView
	r := k.want(k.do(Editor, "PUT", brand, `{"labels":{"en-GB":"Brand"},"attributes":[{"code":"country","type":"text"},{"code":"story","type":"text","localizable":true}]}`), 201, &e)
	if r.Header.Get("ETag") != `"1"` || e.Code != "brand" || len(e.Attributes) != 2 {
		t.Errorf("%s %+v", r.Header.Get("ETag"), e)
	}
	k.refused(k.do(Editor, "PUT", brand, `{"attributes":[{"code":"country","type":"number"}]}`), 422, "/attributes/0", "entity.shape")
	k.want(k.do(Editor, "PUT", brand, `{}`, "If-Match", `"7"`), 412, nil)
	k.want(k.do(Viewer, "PUT", brand, `{}`), 403, nil)
	k.want(k.do(Viewer, "GET", "/v1/reference-entities/none/records", nil), 404, nil)
	k.want(k.do(Editor, "PUT", "/v1/reference-entities/none/records/x", `{}`), 404, nil)

	const acme = brand + "/records/acme"
	var a RecordAnswer
	r = k.want(k.do(Editor, "PUT", acme, `{"labels":{"en-GB":"Acme"},"values":{"country":"NL","story":{"en-GB":"Old"}}}`), 201, &a)
	if r.Header.Get("ETag") != `"1"` || !a.Created {
		t.Errorf("%s %+v", r.Header.Get("ETag"), a)
	}
	k.want(k.do(Editor, "PATCH", acme, `{"labels":{"de-DE":"Akme","en-GB":null},"values":{"story":null}}`, "If-Match", `"1"`), 200, &a)
	if a.Revision != 2 || !a.Changed {
		t.Errorf("%+v", a)
	}
	// A patch of what somebody else has changed is told what that was; one of something else goes through.
	var p Problem
	k.want(k.do(Editor, "PATCH", acme, `{"values":{"story":{"en-GB":"New"}}}`, "If-Match", `"1"`), 412, &p)
	var fields []string
	for _, c := range p.Changes {
		fields = append(fields, c.Field)
	}
	if p.Revision != 2 || strings.Join(fields, " ") != "labels.de-DE labels.en-GB values.story.en-GB" || p.Changes[2].Old != "Old" || p.Changes[2].New != nil {
		t.Errorf("%+v", p)
	}
	a = RecordAnswer{}
	r = k.want(k.do(Editor, "PATCH", acme, `{"values":{"country":"NL"},"labels":{"fr-FR":null}}`, "If-Match", `"1"`), 200, &a)
	if a.Changed || a.Revision != 2 || len(a.Unseen) != 3 || r.Header.Get("ETag") != "" {
		t.Errorf("%+v %s", a, r.Header.Get("ETag"))
	}
	k.want(k.do(Editor, "PUT", acme, `{"values":{"country":"NL"}}`, "If-Match", `"1"`), 412, &p)
	k.want(k.do(Editor, "PATCH", acme, `{"values":{"country":"NL"}}`, "If-Match", `"7"`), 412, nil)
	k.refused(k.do(Editor, "PATCH", acme, `{"values":{"size":"1"}}`), 422, "/values/size", "attribute.unknown")
	k.refused(k.do(Editor, "PATCH", acme, `{"name":"x"}`), 422, "/name", "field.unknown")
	k.refused(k.do(Editor, "PUT", acme, `{"code":"umbra"}`), 422, "/code", "field.address")
	var rec Record
	r = k.want(k.do(Viewer, "GET", acme, nil), 200, &rec)
	if r.Header.Get("ETag") != `"2"` || rec.Labels["de-DE"] != "Akme" || len(rec.Labels) != 1 || string(rec.Values) != `{"country":"NL"}` && string(rec.Values) != `{"country": "NL"}` {
		t.Errorf("%+v %s", rec, rec.Values)
	}

	var batch RecordsAnswer
	k.want(k.do(Editor, "POST", brand+"/records:batch", `[{"code":"umbra"},{"code":"acme","values":{"country":"NL"}},{"code":"x y"},{"labels":{}},{"code":"umbra"}]`), 200, &batch)
	var told []string
	for _, r := range batch.Results {
		for _, p := range r.Problems {
			told = append(told, p.Pointer+" "+p.Code)
		}
	}
	if batch.Changed != 1 || batch.Unchanged != 1 || batch.Rejected != 3 || strings.Join(told, ", ") != "/2/code record.code, /3/code field.missing, /4/code record.twice" {
		t.Errorf("%+v", batch)
	}
	k.want(k.do(Editor, "POST", brand+"/records.csv", "code;label-en_US;country;story-de-DE\nzeta;Zeta;GR;Neu\nacme;;;\n", "Content-Type", "text/csv"), 200, &batch)
	if batch.Changed != 2 || batch.Rejected != 0 {
		t.Errorf("%+v", batch)
	}
	k.refused(k.do(Editor, "POST", brand+"/records.csv", "code,size\nzeta,1\n", "Content-Type", "text/csv"), 422, "", "csv.column")
	var list page[Record]
	if k.want(k.do(Viewer, "GET", brand+"/records?limit=2", nil), 200, &list); len(list.Items) != 2 || list.Next != "umbra" {
		t.Errorf("%+v", list)
	}
	if k.want(k.do(Viewer, "GET", brand+"/records?q=ZET", nil), 200, &list); len(list.Items) != 1 || list.Items[0].Labels["en-US"] != "Zeta" {
		t.Errorf("%+v", list)
	}

	k.want(k.do(Editor, "PUT", "/v1/attributes/brand", `{"type":"entity","entity":"brand"}`), 201, nil)
	k.refused(k.do(Editor, "PUT", "/v1/attributes/other", `{"type":"entity","entity":"none"}`), 422, "/entity", "entity.unknown")
	var f pim.Family
	k.want(k.do(Viewer, "GET", "/v1/families/shoe", nil), 200, &f)
	f.Attributes = append(f.Attributes, pim.FamilyAttribute{Code: "brand"})
	k.want(k.do(Editor, "PUT", "/v1/families/shoe", f), 200, nil)
	k.refused(k.do(Editor, "PUT", "/v1/products/A", `{"family":"shoe","values":{"brand":"none"}}`), 422, "/values/brand", "record.unknown")
	k.want(k.do(Editor, "PUT", "/v1/products/A", `{"family":"shoe","values":{"brand":"acme"}}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/B", `{"family":"shoe","values":{"brand":"umbra"}}`), 201, nil)
	var products page[*Product]
	if k.want(k.do(Viewer, "GET", "/v1/products?filter=values.brand%20%3D%20acme", nil), 200, &products); len(products.Items) != 1 || products.Items[0].SKU != "A" {
		t.Errorf("filter: %+v", products)
	}
	k.want(k.do(Editor, "DELETE", acme, nil), 409, nil)
	k.want(k.do(Editor, "DELETE", brand, nil), 409, nil)
	k.want(k.do(Editor, "DELETE", brand+"/records/zeta", nil, "If-Match", `"9"`), 412, nil)
	k.want(k.do(Editor, "DELETE", brand+"/records/zeta", nil), 204, nil)
	k.want(k.do(Viewer, "GET", brand+"/records/zeta", nil), 404, nil)
	var history page[postgres.RecordEvent]
	if k.want(k.do(Viewer, "GET", brand+"/records/zeta/history", nil), 200, &history); len(history.Items) != 2 || history.Items[0].Type != pim.EventRecordDeleted {
		t.Errorf("%+v", history)
	}
	if k.want(k.do(Editor, "POST", brand+"/records/zeta/revisions/1/restore", nil), 201, &a); a.Revision != 3 {
		t.Errorf("%+v", a)
	}
	k.want(k.do(Editor, "POST", brand+"/records/zeta/revisions/9/restore", nil), 404, nil)
}
