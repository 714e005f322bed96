package api

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagSchema = "schema"

// CodePath is the code in an address.
type CodePath struct {
	Code string `path:"code" maxLength:"100"`
}

// definitionAnswer is a definition as it is stored now.
type definitionAnswer[T any] struct {
	Status int
	ETag   string `header:"ETag" doc:"The definition's revision"`
	Body   T
}

func created(before bool) int {
	if before {
		return http.StatusOK
	}
	return http.StatusCreated
}

func (s *server) registerSchema() {
	handle(s, op("list-attributes", http.MethodGet, "/v1/attributes", tagSchema, "List all attributes by code"), s.listAttributes)
	handle(s, op("get-attribute", http.MethodGet, "/v1/attributes/{code}", tagSchema, "Get an attribute"), s.getAttribute)
	handle(s, op("put-attribute", http.MethodPut, "/v1/attributes/{code}", tagSchema, "Create or replace an attribute", creates,
		says("While a family has it, its type, unit and scopes stay as they are, and while products have an option, that does."), takesJSON[pim.Attribute](s, "code")), s.putAttribute)
	deletes(s, op("delete-attribute", http.MethodDelete, "/v1/attributes/{code}", tagSchema, "Delete an attribute that no family has"),
		s.Store.DeleteAttribute)

	handle(s, op("list-families", http.MethodGet, "/v1/families", tagSchema, "List all families by code"), s.listFamilies)
	handle(s, op("get-family", http.MethodGet, "/v1/families/{code}", tagSchema, "Get a family"), s.getFamily)
	handle(s, op("put-family", http.MethodPut, "/v1/families/{code}", tagSchema, "Create or replace a family", creates,
		takesJSON[pim.Family](s, "code")), s.putFamily)
	deletes(s, op("delete-family", http.MethodDelete, "/v1/families/{code}", tagSchema, "Delete a family that no product has or had"),
		s.Store.DeleteFamily)

	handle(s, op("list-measurement-families", http.MethodGet, "/v1/measurement-families", tagSchema, "List measurement families with their units",
		says("They are the same in every house. A unit is taken by its symbol, by its UN/ECE code and by its aliases, and stored by its symbol.")),
		func(context.Context, *struct{}) (*answer[page[pim.MeasurementFamily]], error) {
			return pageOf(pim.MeasurementFamilies(), ""), nil
		})

	s.registerLocales()
	s.registerCurrencies()
}

// getDefinition answers a definition of the schema; what is its name in Schema.Revisions.
func getDefinition[T any](ctx context.Context, s *server, what string, of func(*pim.Schema) T) (*definitionAnswer[T], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	if schema.Revisions[what] == 0 {
		return nil, postgres.ErrNotFound
	}
	return &definitionAnswer[T]{http.StatusOK, etag(schema.Revisions[what]), of(schema)}, nil
}

func (s *server) definitionRevision(ctx context.Context, what string) (int64, error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return 0, err
	}
	if schema.Revisions[what] == 0 {
		return 0, postgres.ErrNotFound
	}
	return schema.Revisions[what], nil
}

// putDefinition makes the change that puts a definition, under an If-Match.
func putDefinition[T any](ctx context.Context, s *server, ifMatch, what string, change postgres.SchemaChange, of func(*pim.Schema) T) (*definitionAnswer[T], error) {
	var a *definitionAnswer[T]
	err := s.atRevision(ifMatch, func() (int64, error) { return s.definitionRevision(ctx, what) }, func(rev int64) error {
		was, err := s.definitionRevision(ctx, what)
		if err != nil && !errors.Is(err, postgres.ErrNotFound) {
			return err
		}
		if rev > 0 {
			change.IfMatch = map[string]int64{what: rev}
		}
		now, err := s.Store.ChangeSchema(ctx, change)
		if err == nil {
			a = &definitionAnswer[T]{created(was > 0), etag(now.Revisions[what]), of(now)}
		}
		return err
	})
	return a, err
}

func (s *server) listAttributes(ctx context.Context, _ *struct{}) (*answer[page[*pim.Attribute]], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(slices.SortedFunc(maps.Values(schema.Attributes), func(a, b *pim.Attribute) int { return cmp.Compare(a.Code, b.Code) }), ""), nil
}

func (s *server) getAttribute(ctx context.Context, in *CodePath) (*definitionAnswer[*pim.Attribute], error) {
	return getDefinition(ctx, s, "attribute/"+in.Code, func(x *pim.Schema) *pim.Attribute { return x.Attributes[in.Code] })
}

func (s *server) putAttribute(ctx context.Context, in *putCode) (*definitionAnswer[*pim.Attribute], error) {
	d, err := decode[pim.Attribute](in.RawBody, map[string]string{"code": in.Code})
	if err != nil {
		return nil, err
	}
	a, err := putDefinition(ctx, s, in.IfMatch, "attribute/"+in.Code, postgres.SchemaChange{Attributes: []pim.Attribute{d}},
		func(x *pim.Schema) *pim.Attribute { return x.Attributes[in.Code] })
	return a, fromFirst("/attributes/0", err)
}

func (s *server) listFamilies(ctx context.Context, _ *struct{}) (*answer[page[*pim.Family]], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(slices.SortedFunc(maps.Values(schema.Families), func(a, b *pim.Family) int { return cmp.Compare(a.Code, b.Code) }), ""), nil
}

func (s *server) getFamily(ctx context.Context, in *CodePath) (*definitionAnswer[*pim.Family], error) {
	return getDefinition(ctx, s, "family/"+in.Code, func(x *pim.Schema) *pim.Family { return x.Families[in.Code] })
}

func (s *server) putFamily(ctx context.Context, in *putCode) (*definitionAnswer[*pim.Family], error) {
	f, err := decode[pim.Family](in.RawBody, map[string]string{"code": in.Code})
	if err != nil {
		return nil, err
	}
	a, err := putDefinition(ctx, s, in.IfMatch, "family/"+in.Code, postgres.SchemaChange{Families: []pim.Family{f}},
		func(x *pim.Schema) *pim.Family { return x.Families[in.Code] })
	return a, fromFirst("/families/0", err)
}

// fromFirst makes pointers below prefix, where the store saw the one thing of
// the body, pointers into the body.
func fromFirst(prefix string, err error) error {
	invalid, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		return err
	}
	out := &pim.Invalid{Problems: slices.Clone(invalid.Problems)}
	for i := range out.Problems {
		out.Problems[i].Pointer = strings.TrimPrefix(out.Problems[i].Pointer, prefix)
	}
	return out
}
