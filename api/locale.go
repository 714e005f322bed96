package api

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Locale is a locale that values can be in.
type Locale struct {
	Code     pim.Locale `json:"code"`
	Fallback pim.Locale `json:"fallback,omitempty" doc:"The locale whose values channels are shown where a product has none in this one; it may have one itself"`
}

func (s *server) registerLocales() {
	handle(s, op("list-locales", http.MethodGet, "/v1/locales", tagSchema, "List every locale (BCP 47, such as en-GB)"), s.listLocales)
	handle(s, op("get-locale", http.MethodGet, "/v1/locales/{code}", tagSchema, "Get a locale"),
		func(ctx context.Context, in *CodePath) (*answer[Locale], error) {
			schema, err := s.Store.RefreshSchema(ctx)
			if err != nil {
				return nil, err
			}
			if !schema.Locales[pim.Locale(in.Code)] {
				return nil, postgres.ErrNotFound
			}
			return &answer[Locale]{Locale{pim.Locale(in.Code), schema.Fallbacks[pim.Locale(in.Code)]}}, nil
		})
	handle(s, op("put-locale", http.MethodPut, "/v1/locales/{code}", tagSchema, "Add a locale (BCP 47, such as en-GB), or say what it falls back to", creates,
		says("It stays once it is there. Without a body its fallback stays as it is, too; a body without one takes it away. "+
			"Where that shows something else, the channels' listings are looked at again, and what differs is sent."),
		mayTakeJSON[Locale](s, "code")), s.putLocale)
}

func (s *server) listLocales(ctx context.Context, _ *struct{}) (*answer[page[Locale]], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	return pageOf(LocalesOf(schema), ""), nil
}

// LocalesOf lists a schema's locales by their codes.
func LocalesOf(schema *pim.Schema) []Locale {
	list := make([]Locale, 0, len(schema.Locales))
	for l := range maps.Keys(schema.Locales) {
		list = append(list, Locale{l, schema.Fallbacks[l]})
	}
	slices.SortFunc(list, func(a, b Locale) int { return cmp.Compare(a.Code, b.Code) })
	return list
}

func (s *server) putLocale(ctx context.Context, in *putDefinition) (*putAnswer[Locale], error) {
	code := pim.Locale(in.Code)
	if err := pim.ValidLocale(code); err != nil {
		return nil, badParameter("path.code", "locale", err.Error())
	}
	change := postgres.SchemaChange{Locales: []pim.Locale{code}}
	if len(in.RawBody) > 0 {
		l, err := decode[Locale](in.RawBody, map[string]string{"code": in.Code})
		if err != nil {
			return nil, err
		}
		change.Fallbacks = map[pim.Locale]pim.Locale{code: l.Fallback}
	}
	old, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	now, err := s.Store.ChangeSchema(ctx, change)
	if err != nil {
		return nil, atFallback(err)
	}
	return &putAnswer[Locale]{created(old.Locales[code]), Locale{code, now.Fallbacks[code]}}, nil
}

// atFallback gives the faults of a fallback their place in the body.
func atFallback(err error) error {
	invalid, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		return err
	}
	out := &pim.Invalid{Problems: slices.Clone(invalid.Problems)}
	for i := range out.Problems {
		out.Problems[i].Pointer = "/fallback"
	}
	return out
}
