package api

import (
	"encoding/json"
	"testing"
)

func TestAssociations(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var kind AssociationTypeView
	r := k.want(k.do(Editor, "PUT", "/v1/association-types/UP", `{"labels":{"en-GB":"Upsell"}}`), 201, &kind)
	if r.Header.Get("ETag") != `"1"` || kind.Code != "UP" {
		t.Errorf("%s %+v", r.Header.Get("ETag"), kind)
	}
	k.want(k.do(Editor, "PUT", "/v1/association-types/PAIR", `{"two_way":true}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/association-types/PACK", `{"quantified":true}`), 201, nil)
	k.refused(k.do(Editor, "PUT", "/v1/association-types/X", `{"two_way":true,"quantified":true}`), 422, "/quantified", "association_type.quantified")
	k.want(k.do(Editor, "PUT", "/v1/association-types/UP", `{}`, "If-Match", `"7"`), 412, nil)
	k.want(k.do(Viewer, "PUT", "/v1/association-types/UP", `{}`), 403, nil)
	var types page[AssociationTypeView]
	if k.want(k.do(Viewer, "GET", "/v1/association-types", nil), 200, &types); len(types.Items) != 3 {
		t.Errorf("%+v", types)
	}

	for _, sku := range []string{"A", "B"} {
		k.want(k.do(Editor, "PUT", "/v1/products/"+sku, `{"family":"shoe"}`), 201, nil)
	}
	var edited EditAnswer
	k.want(k.do(Editor, "PATCH", "/v1/products/A", `{"associations":{"UP":["B","LATER"],"PAIR":["B"],"PACK":[{"sku":"B","quantity":3}]}}`), 200, &edited)
	if !edited.Changed || len(edited.Warnings) != 1 || edited.Warnings[0].Code != "association.unknown" {
		t.Errorf("%+v", edited)
	}
	var a, b struct{ Associations map[string]any }
	k.want(k.do(Viewer, "GET", "/v1/products/A", nil), 200, &a)
	if r := k.want(k.do(Viewer, "GET", "/v1/products/B", nil), 200, &b); r.Header.Get("ETag") != `"2"` {
		t.Errorf("the other side's revision: %s", r.Header.Get("ETag"))
	}
	raw, err := json.Marshal([]any{a.Associations, b.Associations})
	if got := string(raw); err != nil || got != `[{"PACK":[{"quantity":3,"sku":"B"}],"PAIR":["B"],"UP":["B","LATER"]},{"PAIR":["A"]}]` {
		t.Error(got)
	}
	k.want(k.do(Editor, "PATCH", "/v1/products/B", `{"enabled":true}`, "If-Match", `"1"`), 200, nil) // of what else changed it says nothing
	k.want(k.do(Editor, "PATCH", "/v1/products/B", `{"associations":{"PAIR":null}}`, "If-Match", `"1"`), 412, nil)
	k.want(k.do(Editor, "PATCH", "/v1/products/B", `{"associations":{"PAIR":null}}`, "If-Match", `"2"`), 200, nil)
	a.Associations = nil
	if k.want(k.do(Viewer, "GET", "/v1/products/A?", nil), 200, &a); a.Associations["PAIR"] != nil {
		t.Errorf("%v", a.Associations)
	}
	var diff ProductDiff
	if k.want(k.do(Viewer, "GET", "/v1/products/B/diff?from=2", nil), 200, &diff); len(diff.Changes) != 1 || diff.Changes[0].Field != "associations.PAIR" {
		t.Errorf("%+v", diff)
	}
	k.refused(k.do(Editor, "PATCH", "/v1/products/A", `{"associations":{"NONE":["B"]}}`), 422, "/associations/NONE", "association_type.unknown")
	k.refused(k.do(Editor, "PATCH", "/v1/products/A", `{"associations":{"UP":["A"]}}`), 422, "/associations/UP/0", "association.self")
	k.refused(k.do(Editor, "PATCH", "/v1/products/A", `{"associations":{"UP":[{"sku":"B","number":1}]}}`), 422, "/associations/UP/0/number", "field.unknown")
	k.refused(k.do(Editor, "PATCH", "/v1/products/A", `{"associations":["B"]}`), 422, "/associations", "field.type")
	k.want(k.do(Editor, "PUT", "/v1/products/A", `{"family":"shoe"}`), 200, nil)
	if k.want(k.do(Viewer, "GET", "/v1/products/A", nil), 200, &a); a.Associations["UP"] == nil {
		t.Error("a PUT that says nothing of associations takes them away")
	}
	k.want(k.do(Editor, "DELETE", "/v1/association-types/UP", nil), 409, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/A", `{"family":"shoe","associations":{}}`), 200, nil)
	k.want(k.do(Editor, "DELETE", "/v1/association-types/UP", nil), 204, nil)
	k.want(k.do(Viewer, "GET", "/v1/association-types/UP", nil), 404, nil)
}
