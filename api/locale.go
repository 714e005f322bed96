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
		func(ctx context.Context, in *CodePath) (*definitionAnswer[Locale], error) {
			return getDefinition(ctx, s, "locale/"+in.Code, localeNamed(in.Code))
		})
	handle(s, op("put-locale", http.MethodPut, "/v1/locales/{code}", tagSchema, "Add a locale (BCP 47, such as en-GB), or say what it falls back to", creates,
		says("Without a body its fallback stays as it is; a body without one takes it away. "+
			"Where that shows something else, the channels' listings are looked at again, and what differs is sent."),
		mayTakeJSON[Locale](s, "code")), s.putLocale)
	deletes(s, op("delete-locale", http.MethodDelete, "/v1/locales/{code}", tagSchema, "Delete a locale that no product or record has values in, and that no channel, rule or other locale names",
		says("Who still does is told by a 409. Labels in it stay.")),
		func(ctx context.Context, code string, rev int64) error {
			return s.Store.DeleteLocale(ctx, pim.Locale(code), rev)
		})
}

func localeNamed(code string) func(*pim.Schema) Locale {
	return func(x *pim.Schema) Locale { return Locale{pim.Locale(code), x.Fallbacks[pim.Locale(code)]} }
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

func (s *server) putLocale(ctx context.Context, in *putCode) (*definitionAnswer[Locale], error) {
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
	a, err := putDefinition(ctx, s, in.IfMatch, "locale/"+in.Code, change, localeNamed(in.Code))
	return a, atFallback(err)
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
