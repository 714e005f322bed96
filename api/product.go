package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagProducts = "products"

// SKUPath is the SKU in an address, percent-encoded: it may hold '/'.
type SKUPath struct {
	SKU string `path:"sku" maxLength:"128" doc:"Percent-encoded where it holds /, spaces or other such characters"`
}

// sku gives a SKU that can be one: others are nowhere, and no query takes them.
func (p SKUPath) sku() (pim.SKU, error) {
	if err := pim.ValidSKU(p.SKU); err != nil {
		return "", badParameter("path.sku", "sku", err.Error())
	}
	return pim.SKU(p.SKU), nil
}

// Preconditions are the headers of an edit.
type Preconditions struct {
	IfMatch string `header:"If-Match" maxLength:"1000" doc:"ETags of what the edit may start from, or *"`
}

type productAnswer struct {
	ETag string `header:"ETag" doc:"The content revision"`
	Body *Product
}

// EditAnswer is what became of an edit.
type EditAnswer struct {
	SKU      pim.SKU       `json:"sku"`
	Revision int64         `json:"revision" doc:"The content revision now"`
	Created  bool          `json:"created"`
	Changed  bool          `json:"changed" doc:"false: it stood so already, and nothing is sent to anybody"`
	Warnings []pim.Problem `json:"warnings" doc:"Doubts that do not keep values out"`
	// Of a PATCH from an older revision.
	Unseen []pim.FieldChange `json:"unseen,omitempty" doc:"What others changed since the revision that If-Match named, and this PATCH did not touch; then there is no ETag, for the client has not seen all of the product"`
}

type editAnswer struct {
	Status   int
	ETag     string `header:"ETag" doc:"The content revision"`
	Location string `header:"Location"`
	Body     EditAnswer
}

type getProduct struct{ SKUPath }

type putProduct struct {
	SKUPath
	Preconditions
	IfNoneMatch string `header:"If-None-Match" enum:"*" doc:"*: only if there is no such product yet"`
	RawInput
}

type patchProduct struct {
	SKUPath
	Preconditions
	RawInput
}

type deleteProduct struct {
	SKUPath
	Preconditions
}

type productHistory struct {
	SKUPath
	Paging
}

func (s *server) registerProducts() {
	handle(s, op("list-products", http.MethodGet, "/v1/products", tagProducts, "List products",
		says("In the order of their creation, or of sort. filter is the language of docs/finding.md; all parameters narrow each other.")), s.listProducts)
	handle(s, op("list-product-facets", http.MethodGet, "/v1/product-facets", tagProducts, "Count the products that a filter and a search find, by fields",
		says("Counts are of the first 10,000 products found; capped says whether there are more. Of each field the 50 most frequent values are told.")), s.listFacets)
	handle(s, op("get-product", http.MethodGet, "/v1/products/{sku}", tagProducts, "Get a product",
		says("The ETag names the content revision only. Prices and stock have revisions of their own and change without it, so there is no 304.")), s.getProduct)
	handle(s, op("put-product", http.MethodPut, "/v1/products/{sku}", tagProducts, "Make a product equal to the body, creating it when there is none", creates,
		takesJSON[ProductEdit](s)), func(ctx context.Context, in *putProduct) (*editAnswer, error) {
		return s.edit(ctx, in.SKU, postgres.Put, in.IfMatch, in.IfNoneMatch != "", in.RawBody)
	})
	patch := schemaOf[ProductEdit](s)
	handle(s, op("patch-product", http.MethodPatch, "/v1/products/{sku}", tagProducts, "Change what the body names (JSON merge patch, RFC 7396)",
		takes(maxEdit, map[string]*huma.Schema{typeMerge: patch, typeJSON: patch})), func(ctx context.Context, in *patchProduct) (*editAnswer, error) {
		return s.edit(ctx, in.SKU, postgres.Patch, in.IfMatch, false, in.RawBody)
	})
	handle(s, op("delete-product", http.MethodDelete, "/v1/products/{sku}", tagProducts, "Delete a product and take it off every channel",
		says("A product with variants is deleted after them.")), s.deleteProduct)
	handle(s, op("get-product-history", http.MethodGet, "/v1/products/{sku}/history", tagProducts, "List a product's changes, newest first",
		says("Also of a deleted product.")), s.productHistory)
	handle(s, op("list-product-listings", http.MethodGet, "/v1/products/{sku}/listings", tagProducts, "List where a product stands on every channel"), s.productListings)
}

func (p Paging) page() postgres.Page { return postgres.Page{After: p.Cursor, Limit: p.Limit} }

// inCursor makes a cursor that the store refuses a fault of the parameter.
func inCursor(err error) error {
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok && slices.ContainsFunc(invalid.Problems, func(p pim.Problem) bool { return p.Code == "cursor" }) {
		return badParameter("query.cursor", "cursor", "it is no cursor that this list gave")
	}
	return err
}

func (s *server) getProduct(ctx context.Context, in *getProduct) (*productAnswer, error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	p, err := ShowProduct(ctx, s.Store, sku)
	if err != nil {
		return nil, err
	}
	return &productAnswer{ETag: etag(p.Revision), Body: p}, nil
}

// edit is PUT and PATCH.
func (s *server) edit(ctx context.Context, sku string, mode postgres.EditMode, ifMatch string, ifNone bool, body []byte) (*editAnswer, error) {
	id, err := SKUPath{sku}.sku()
	if err != nil {
		return nil, err
	}
	e, err := ReadProduct(body, id, mode)
	if err != nil {
		return nil, err
	}
	e.IfNoneMatch = ifNone
	return s.answerEdit(ctx, e, ifMatch)
}

// answerEdit applies an edit and says what became of it.
func (s *server) answerEdit(ctx context.Context, e postgres.Edit, ifMatch string) (*editAnswer, error) {
	r, unseen, err := s.apply(ctx, e, ifMatch)
	if err != nil {
		return nil, err
	}
	a := &editAnswer{
		Status: http.StatusOK, ETag: etag(r.Rev),
		Body: EditAnswer{SKU: r.SKU, Revision: r.Rev, Created: r.Created, Changed: r.Changed, Warnings: none(r.Warnings), Unseen: unseen},
	}
	if len(unseen) > 0 {
		a.ETag = ""
	}
	if r.Created {
		a.Status, a.Location = http.StatusCreated, "/v1/products/"+url.PathEscape(string(e.SKU))
	}
	return a, nil
}

func (s *server) deleteProduct(ctx context.Context, in *deleteProduct) (*struct{}, error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	_, _, err = s.apply(ctx, postgres.Edit{SKU: sku, Mode: postgres.Delete}, in.IfMatch)
	return nil, err
}

// maxRaces is how often an edit that may start from several revisions looks
// again, when another edit came between its look and its write.
const maxRaces = 10

// apply runs one edit under its precondition. The store compares one revision
// in the edit's own statement; for * and lists the current one is looked up
// first, and looked up again when it has moved since. A merge patch from an older
// revision goes through where nothing that it names has changed since; unseen is
// then what did.
func (s *server) apply(ctx context.Context, e postgres.Edit, ifMatch string) (r postgres.EditResult, unseen []pim.FieldChange, err error) {
	want, p := parseIfMatch(ifMatch)
	if p != nil {
		return r, nil, p
	}
	exact := want.given && !want.any && len(want.revisions) == 1
	var seen int64
	if exact {
		seen = want.revisions[0]
		e.IfMatch = seen
	}
	for race := 0; ; race++ {
		if want.given && !exact {
			rev, err := s.Store.ProductRevision(ctx, e.SKU)
			switch {
			case errors.Is(err, postgres.ErrNotFound) && e.Mode == postgres.Put:
				return r, nil, problem(http.StatusPreconditionFailed, "stale", "there is no such product")
			case err != nil:
				return r, nil, err
			case !want.any && !slices.Contains(want.revisions, rev):
				return r, nil, stale(rev)
			}
			e.IfMatch = rev
		}
		results, err := s.Store.Edit(ctx, callOf(ctx).key.Name, []postgres.Edit{e})
		if err != nil {
			return r, nil, err
		}
		if r = results[0]; !errors.Is(r.Err, postgres.ErrStale) || !want.given || race == maxRaces {
			return r, unseen, s.refused(ctx, e, seen, r.Err)
		}
		if exact {
			if unseen, err = s.rebase(ctx, &e, seen); err != nil {
				return r, nil, err
			}
			if unseen == nil {
				return r, nil, s.refused(ctx, e, seen, r.Err)
			}
		}
	}
}

// refused adds to a refusal what the client needs next: the revision there is,
// and what changed since the one that it saw.
func (s *server) refused(ctx context.Context, e postgres.Edit, seen int64, err error) error {
	switch {
	case errors.Is(err, postgres.ErrStale):
		return s.staleEdit(ctx, e, seen)
	case errors.Is(err, postgres.ErrExists):
		return problem(http.StatusPreconditionFailed, "exists", "there is a product of this SKU already")
	case errors.Is(err, postgres.ErrInUse):
		return problem(http.StatusConflict, "in-use", "the product has variants: delete them first")
	}
	return err
}

func (s *server) productHistory(ctx context.Context, in *productHistory) (*answer[page[pim.Event]], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	list, next, err := s.Store.History(ctx, sku, in.page())
	if err == nil && len(list) == 0 {
		_, err = s.Store.ProductRevision(ctx, sku)
	}
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}

func (s *server) productListings(ctx context.Context, in *productHistory) (*answer[page[pim.Listing]], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	list, next, err := s.Store.Listings(ctx, postgres.ListingFilter{SKU: sku}, in.page())
	if err == nil && len(list) == 0 {
		_, err = s.Store.ProductRevision(ctx, sku)
	}
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}
