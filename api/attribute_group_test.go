package api

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
)

func TestAttributeGroups(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var g pim.AttributeGroup
	k.want(k.do(Editor, "PUT", "/v1/attribute-groups/looks", `{"position":2,"labels":{"en-GB":"Looks"}}`), 201, &g)
	k.want(k.do(Editor, "PUT", "/v1/attribute-groups/looks", `{"position":1,"labels":{"en-GB":"Look"}}`), 200, &g)
	if g.Code != "looks" || g.Position != 1 || g.Labels["en-GB"] != "Look" {
		t.Errorf("%+v", g)
	}
	k.want(k.do(Editor, "PUT", "/v1/attribute-groups/texts", `{}`), 201, nil)
	var list page[pim.AttributeGroup]
	if k.want(k.do(Viewer, "GET", "/v1/attribute-groups", nil), 200, &list); len(list.Items) != 2 || list.Items[0].Code != "texts" {
		t.Errorf("%+v", list.Items)
	}
	k.refused(k.do(Editor, "PUT", "/v1/attributes/color", `{"type":"text","group":"none"}`), 422, "/group", "attribute_group.unknown")
	k.refused(k.do(Editor, "PUT", "/v1/attribute-groups/a%20b", `{}`), 422, "/code", "attribute_group.code")
	k.refused(k.do(Editor, "PUT", "/v1/attribute-groups/x", `{"labels":{"en_gb":"X"}}`), 422, "/labels/en_gb", "locale.tag")
	k.want(k.do(Editor, "PUT", "/v1/attributes/color", `{"type":"text","group":"looks"}`), 201, nil)
	k.want(k.do(Editor, "DELETE", "/v1/attribute-groups/looks", nil), 409, nil)
	k.want(k.do(Editor, "DELETE", "/v1/attributes/color", nil), 204, nil)
	k.want(k.do(Editor, "DELETE", "/v1/attribute-groups/looks", nil), 204, nil)
	k.want(k.do(Viewer, "GET", "/v1/attribute-groups/looks", nil), 404, nil)
	k.want(k.do(Editor, "DELETE", "/v1/attribute-groups/looks", nil), 404, nil)
}
