package api

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

func (s *server) registerGroups() {
	handle(s, op("list-attribute-groups", http.MethodGet, "/v1/attribute-groups", tagSchema, "List all attribute groups in their order"), s.listGroups)
	handle(s, op("get-attribute-group", http.MethodGet, "/v1/attribute-groups/{code}", tagSchema, "Get an attribute group"),
		func(ctx context.Context, in *CodePath) (*definitionAnswer[*pim.AttributeGroup], error) {
			return getDefinition(ctx, s, "attribute-group/"+in.Code, func(x *pim.Schema) *pim.AttributeGroup { return x.Groups[in.Code] })
		})
	handle(s, op("put-attribute-group", http.MethodPut, "/v1/attribute-groups/{code}", tagSchema, "Create or replace an attribute group", creates,
		takesJSON[pim.AttributeGroup](s, "code")), s.putGroup)
	deletes(s, op("delete-attribute-group", http.MethodDelete, "/v1/attribute-groups/{code}", tagSchema, "Delete an attribute group that no attribute names"),
		s.Store.DeleteGroup)
}

// GroupsInOrder are the attribute groups as people see them: by position, then
// by code.
func GroupsInOrder(schema *pim.Schema) []*pim.AttributeGroup {
	return slices.SortedFunc(maps.Values(schema.Groups), func(a, b *pim.AttributeGroup) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Code, b.Code))
	})
}

func (s *server) listGroups(ctx context.Context, _ *struct{}) (*answer[page[*pim.AttributeGroup]], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(GroupsInOrder(schema), ""), nil
}

func (s *server) putGroup(ctx context.Context, in *putCode) (*definitionAnswer[*pim.AttributeGroup], error) {
	g, err := decode[pim.AttributeGroup](in.RawBody, map[string]string{"code": in.Code})
	if err != nil {
		return nil, err
	}
	a, err := putDefinition(ctx, s, in.IfMatch, "attribute-group/"+in.Code, postgres.SchemaChange{Groups: []pim.AttributeGroup{g}},
		func(x *pim.Schema) *pim.AttributeGroup { return x.Groups[in.Code] })
	return a, fromFirst("/groups/0", err)
}
