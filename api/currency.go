package api

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Code is a currency.
type Code struct {
	Code string `json:"code"`
}

// putCurrencyAnswer is a currency that is there now.
type putCurrencyAnswer struct {
	Status int
	Body   Code
}

func (s *server) registerCurrencies() {
	handle(s, op("list-currencies", http.MethodGet, "/v1/currencies", tagSchema, "List every currency (ISO 4217, such as EUR)"),
		func(ctx context.Context, _ *struct{}) (*answer[page[Code]], error) {
			schema, err := s.Store.RefreshSchema(ctx)
			if err != nil {
				return nil, err
			}
			var items []Code
			for _, c := range slices.Sorted(maps.Keys(schema.Currencies)) {
				items = append(items, Code{string(c)})
			}
			return pageOf(items, ""), nil
		})
	handle(s, op("get-currency", http.MethodGet, "/v1/currencies/{code}", tagSchema, "Get a currency"),
		func(ctx context.Context, in *CodePath) (*answer[Code], error) {
			schema, err := s.Store.RefreshSchema(ctx)
			if err != nil {
				return nil, err
			}
			if !schema.Currencies[pim.Currency(in.Code)] {
				return nil, postgres.ErrNotFound
			}
			return &answer[Code]{Code{in.Code}}, nil
		})
	handle(s, op("put-currency", http.MethodPut, "/v1/currencies/{code}", tagSchema, "Add a currency (ISO 4217, such as EUR)", creates, says("It needs no body.")),
		func(ctx context.Context, in *CodePath) (*putCurrencyAnswer, error) {
			old, err := s.Store.RefreshSchema(ctx)
			if err != nil {
				return nil, err
			}
			if _, err := s.Store.ChangeSchema(ctx, postgres.SchemaChange{Currencies: []pim.Currency{pim.Currency(in.Code)}}); err != nil {
				if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
					return nil, badParameter("path.code", invalid.Problems[0].Code, invalid.Problems[0].Detail)
				}
				return nil, err
			}
			return &putCurrencyAnswer{created(old.Currencies[pim.Currency(in.Code)]), Code{in.Code}}, nil
		})
	handle(s, op("delete-currency", http.MethodDelete, "/v1/currencies/{code}", tagSchema, "Delete a currency that there are no prices in, and that no channel, price list or price rule names",
		says("Who still does is told by a 409. Prices of deleted products in it go with it.")),
		func(ctx context.Context, in *CodePath) (*struct{}, error) {
			return nil, s.Store.DeleteCurrency(ctx, pim.Currency(in.Code))
		})
}
