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

// Code is a currency.
type Code struct {
	Code string `json:"code"`
}

type putDefinition struct {
	CodePath
	RawInput
}

// putAnswer is a definition as it is stored now.
type putAnswer[T any] struct {
	Status int
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
		says("While a family has it, its type, unit and scopes stay as they are."), takesJSON[pim.Attribute](s, "code")), s.putAttribute)
	handle(s, op("delete-attribute", http.MethodDelete, "/v1/attributes/{code}", tagSchema, "Delete an attribute that no family has"),
		func(ctx context.Context, in *CodePath) (*struct{}, error) {
			return nil, s.Store.DeleteAttribute(ctx, in.Code)
		})

	handle(s, op("list-families", http.MethodGet, "/v1/families", tagSchema, "List all families by code"), s.listFamilies)
	handle(s, op("get-family", http.MethodGet, "/v1/families/{code}", tagSchema, "Get a family"), s.getFamily)
	handle(s, op("put-family", http.MethodPut, "/v1/families/{code}", tagSchema, "Create or replace a family", creates,
		takesJSON[pim.Family](s, "code")), s.putFamily)
	handle(s, op("delete-family", http.MethodDelete, "/v1/families/{code}", tagSchema, "Delete a family that no product has or had"),
		func(ctx context.Context, in *CodePath) (*struct{}, error) {
			return nil, s.Store.DeleteFamily(ctx, in.Code)
		})

	handle(s, op("list-measurement-families", http.MethodGet, "/v1/measurement-families", tagSchema, "List measurement families with their units",
		says("They are the same in every house. A unit is taken by its symbol, by its UN/ECE code and by its aliases, and stored by its symbol.")),
		func(context.Context, *struct{}) (*answer[page[pim.MeasurementFamily]], error) {
			return pageOf(pim.MeasurementFamilies(), ""), nil
		})

	s.registerLocales()
	registerCodes(s, codeList[pim.Currency]{
		one: "currency", many: "currencies", path: "/v1/currencies", what: "currency (ISO 4217, such as EUR)",
		have: func(x *pim.Schema) map[pim.Currency]bool { return x.Currencies },
		change: func(c pim.Currency) postgres.SchemaChange {
			return postgres.SchemaChange{Currencies: []pim.Currency{c}}
		},
	})
}

// codeList is a list of codes that the schema has.
type codeList[K ~string] struct {
	one, many, path, what string
	have                  func(*pim.Schema) map[K]bool
	change                func(K) postgres.SchemaChange
}

func registerCodes[K ~string](s *server, l codeList[K]) {
	handle(s, op("list-"+l.many, http.MethodGet, l.path, tagSchema, "List every "+l.what),
		func(ctx context.Context, _ *struct{}) (*answer[page[Code]], error) {
			schema, err := s.Store.RefreshSchema(ctx)
			if err != nil {
				return nil, err
			}
			var items []Code
			for _, c := range slices.Sorted(maps.Keys(l.have(schema))) {
				items = append(items, Code{string(c)})
			}
			return pageOf(items, ""), nil
		})
	handle(s, op("put-"+l.one, http.MethodPut, l.path+"/{code}", tagSchema, "Add a "+l.what, creates, says("It needs no body, and stays once it is there.")),
		func(ctx context.Context, in *CodePath) (*putAnswer[Code], error) {
			old, err := s.Store.RefreshSchema(ctx)
			if err != nil {
				return nil, err
			}
			before := l.have(old)[K(in.Code)]
			if _, err := s.Store.ChangeSchema(ctx, l.change(K(in.Code))); err != nil {
				if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
					return nil, badParameter("path.code", invalid.Problems[0].Code, invalid.Problems[0].Detail)
				}
				return nil, err
			}
			return &putAnswer[Code]{created(before), Code{in.Code}}, nil
		})
}

func (s *server) listAttributes(ctx context.Context, _ *struct{}) (*answer[page[*pim.Attribute]], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(slices.SortedFunc(maps.Values(schema.Attributes), func(a, b *pim.Attribute) int { return cmp.Compare(a.Code, b.Code) }), ""), nil
}

func (s *server) getAttribute(ctx context.Context, in *CodePath) (*answer[*pim.Attribute], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	a := schema.Attributes[in.Code]
	if a == nil {
		return nil, postgres.ErrNotFound
	}
	return &answer[*pim.Attribute]{a}, nil
}

func (s *server) putAttribute(ctx context.Context, in *putDefinition) (*putAnswer[*pim.Attribute], error) {
	a, err := decode[pim.Attribute](in.RawBody, map[string]string{"code": in.Code})
	if err != nil {
		return nil, err
	}
	old, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	before := old.Attributes[in.Code] != nil
	now, err := s.Store.ChangeSchema(ctx, postgres.SchemaChange{Attributes: []pim.Attribute{a}})
	if err != nil {
		return nil, fromFirst("/attributes/0", err)
	}
	return &putAnswer[*pim.Attribute]{created(before), now.Attributes[in.Code]}, nil
}

func (s *server) listFamilies(ctx context.Context, _ *struct{}) (*answer[page[*pim.Family]], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(slices.SortedFunc(maps.Values(schema.Families), func(a, b *pim.Family) int { return cmp.Compare(a.Code, b.Code) }), ""), nil
}

func (s *server) getFamily(ctx context.Context, in *CodePath) (*answer[*pim.Family], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	f := schema.Families[in.Code]
	if f == nil {
		return nil, postgres.ErrNotFound
	}
	return &answer[*pim.Family]{f}, nil
}

func (s *server) putFamily(ctx context.Context, in *putDefinition) (*putAnswer[*pim.Family], error) {
	f, err := decode[pim.Family](in.RawBody, map[string]string{"code": in.Code})
	if err != nil {
		return nil, err
	}
	old, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	before := old.Families[in.Code] != nil
	now, err := s.Store.ChangeSchema(ctx, postgres.SchemaChange{Families: []pim.Family{f}})
	if err != nil {
		return nil, fromFirst("/families/0", err)
	}
	return &putAnswer[*pim.Family]{created(before), now.Families[in.Code]}, nil
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
