package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ProductFilterParams say which products are meant; docs/finding.md has the
// language of filter.
type ProductFilterParams struct {
	Filter       string    `query:"filter" maxLength:"4096" doc:"A condition, such as: values.color in (\"red\", \"blue\") and enabled = true and listing.shop.state = rejected"`
	Family       string    `query:"family" maxLength:"100"`
	Parent       string    `query:"parent" maxLength:"128" doc:"Variants of this SKU"`
	Category     string    `query:"category" maxLength:"100" doc:"In this category, or in one below it"`
	Enabled      string    `query:"enabled" enum:"true,false"`
	SKUPrefix    string    `query:"sku_prefix" maxLength:"128"`
	Search       string    `query:"search" maxLength:"200" doc:"Text in the SKU or in any value, in either case, which reads every product; where a locale can be given and is, what docs/finding.md says"`
	UpdatedSince time.Time `query:"updated_since" doc:"Content changed at or after this time"`
}

// filter is what the parameters say together.
func (p *ProductFilterParams) filter() (postgres.ProductFilter, error) {
	f := postgres.ProductFilter{Family: p.Family, Parent: pim.SKU(p.Parent), Category: p.Category, SKUPrefix: p.SKUPrefix, Search: p.Search}
	if p.Enabled != "" {
		enabled := p.Enabled == "true"
		f.Enabled = &enabled
	}
	if !p.UpdatedSince.IsZero() {
		f.UpdatedSince = &p.UpdatedSince
	}
	if p.Filter != "" {
		where, err := pim.ParseFilter(p.Filter)
		if err != nil {
			return f, err
		}
		f.Where = where
	}
	return f, nil
}

// fitting is a filter that fits the schema: for what cannot tell its faults any
// more once it has begun to answer.
func (s *server) fitting(ctx context.Context, read func() (postgres.ProductFilter, error)) (postgres.ProductFilter, error) {
	f, err := read()
	if err == nil {
		err = s.Store.CheckFilter(ctx, f)
	}
	return f, err
}

// SearchParams make search a search for words.
type SearchParams struct {
	Locale string `query:"locale" maxLength:"35" doc:"With search: a SKU, a GTIN, the beginning of one, or words of this locale's texts, the best first"`
}

// found makes f's text a search where a locale is given; nil where none is.
func (s *server) found(p SearchParams, f *postgres.ProductFilter) (*postgres.Search, error) {
	if p.Locale == "" || strings.TrimSpace(f.Search) == "" {
		return nil, nil
	}
	if !s.Store.Schema().Locales[pim.Locale(p.Locale)] {
		return nil, badParameter("query.locale", "locale.unknown", fmt.Sprintf("locale %q is not known", clip(p.Locale)))
	}
	q := &postgres.Search{Text: f.Search, Locale: pim.Locale(p.Locale)}
	f.Search = ""
	return q, nil
}

type listFacets struct {
	ProductFilterParams
	SearchParams
	Facet string `query:"facet" required:"true" maxLength:"2000" doc:"Fields with commas between them, at most 20: family, category, values.ATTRIBUTE of attributes with options"`
}

// maxFacets is how many facets one question may have.
const maxFacets = 20

func (s *server) listFacets(ctx context.Context, in *listFacets) (*answer[*postgres.Facets], error) {
	f, err := in.filter()
	if err != nil {
		return nil, err
	}
	q, err := s.found(in.SearchParams, &f)
	if err != nil {
		return nil, err
	}
	fields := strings.Split(in.Facet, ",")
	if len(fields) > maxFacets {
		return nil, badParameter("query.facet", "facet", fmt.Sprintf("at most %d facets are counted at once", maxFacets))
	}
	out, err := s.Store.Facets(ctx, q, f, fields)
	if e, ok := errors.AsType[*pim.FilterError](err); ok && e.Code == "facet" {
		return nil, badParameter("query.facet", "facet", e.Detail)
	}
	return &answer[*postgres.Facets]{out}, err
}

type listProducts struct {
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before, which had the same sort"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	ProductFilterParams
	SearchParams
	Deleted bool   `query:"deleted" doc:"The deleted products, and no others"`
	Sort    string `query:"sort" maxLength:"100" doc:"Columns with commas between them, - before those that go down: sku, family, created_at, updated_at, completeness.CHANNEL. By default created_at."`
	Fields  string `query:"fields" maxLength:"2000" doc:"Only these members, with commas between them, such as sku,values.name,prices"`
}

func (s *server) listProducts(ctx context.Context, in *listProducts) (*answer[page[*Product]], error) {
	f, err := in.filter()
	if err != nil {
		return nil, err
	}
	f.Deleted = in.Deleted
	if f.Sort, err = postgres.ParseSort(in.Sort); err != nil {
		return nil, badParameter("query.sort", "sort", err.Error())
	}
	only, err := parseFields(in.Fields)
	if err != nil {
		return nil, badParameter("query.fields", "fields", err.Error())
	}
	f.NoOffers = only != nil && !only.has("prices") && !only.has("stock")
	q, err := s.found(in.SearchParams, &f)
	if err != nil {
		return nil, err
	}
	at := postgres.Page{After: in.Cursor, Limit: in.Limit}
	var (
		list []*postgres.FullProduct
		hits []postgres.Hit
		next string
	)
	if q == nil {
		list, next, err = s.Store.Products(ctx, f, at)
	} else if hits, next, err = s.Store.Search(ctx, *q, f, at); err == nil {
		for _, h := range hits {
			list = append(list, h.FullProduct)
		}
	}
	if e, ok := errors.AsType[*pim.FilterError](err); ok && e.Code == "sort" {
		return nil, badParameter("query.sort", "sort", e.Detail)
	}
	if err != nil {
		return nil, inCursor(err)
	}
	items, err := viewProducts(ctx, s.Store, list...)
	if err != nil {
		return nil, err
	}
	for i, p := range items {
		if p.only = only; hits != nil {
			p.Match = matches[hits[i].Match]
		}
	}
	return pageOf(items, next), nil
}

// matches name how products were found.
var matches = map[postgres.Match]string{postgres.MatchCode: "code", postgres.MatchPrefix: "prefix", postgres.MatchWords: "words"}

// selection is the members of a product that a reader wants: of the objects
// values and inherited_values, also single ones.
type selection struct {
	whole map[string]bool
	parts map[string][]string
}

func (s *selection) has(member string) bool { return s.whole[member] || s.parts[member] != nil }

// parseFields reads member names with commas between them; nil is all. The error
// is for people.
func parseFields(text string) (*selection, error) {
	if text == "" {
		return nil, nil
	}
	s := &selection{map[string]bool{}, map[string][]string{}}
	for field := range strings.SplitSeq(text, ",") {
		name, part, within := strings.Cut(strings.TrimSpace(field), ".")
		switch {
		case !slices.Contains(productMembers, name):
			return nil, fmt.Errorf("a product has no member %q: %s are", clip(name), strings.Join(productMembers, ", "))
		case within && name != "values" && name != "inherited_values":
			return nil, fmt.Errorf("only values and inherited_values have members of their own, not %s", name)
		case within:
			s.parts[name] = append(s.parts[name], part)
		default:
			s.whole[name] = true
		}
	}
	return s, nil
}

// productMembers are the names of Product's members, as JSON has them.
var productMembers = func() (names []string) {
	t := reflect.TypeFor[Product]()
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}()

// MarshalJSON leaves out what the reader did not ask for.
func (p *Product) MarshalJSON() ([]byte, error) {
	type plain Product // without this method
	whole, err := json.Marshal((*plain)(p))
	if p.only == nil || err != nil {
		return whole, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(whole, &members); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for _, name := range productMembers { // in the product's own order
		v, there := members[name]
		if !there || !p.only.has(name) {
			continue
		}
		if !p.only.whole[name] {
			if v, err = pick(v, p.only.parts[name]); err != nil {
				return nil, err
			}
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(pim.AppendJSONString(nil, name))
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// pick gives the named members of an object, also those that lie deeper:
// name.en-GB.
func pick(object json.RawMessage, names []string) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return nil, err
	}
	for name, v := range members {
		if slices.Contains(names, name) {
			continue
		}
		var deeper []string
		for _, n := range names {
			if rest, within := strings.CutPrefix(n, name+"."); within {
				deeper = append(deeper, rest)
			}
		}
		if deeper == nil || !bytes.HasPrefix(bytes.TrimSpace(v), []byte("{")) {
			delete(members, name)
			continue
		}
		part, err := pick(v, deeper)
		if err != nil {
			return nil, err
		}
		members[name] = part
	}
	return json.Marshal(members)
}
