package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ProductRevision is a product as it stood at one content revision: without
// prices and stock, which have revisions of their own.
type ProductRevision struct {
	SKU           pim.SKU      `json:"sku"`
	Revision      int64        `json:"revision"`
	At            time.Time    `json:"at" doc:"When it was made"`
	Type          string       `json:"type,omitempty" doc:"Of the event that made it; absent where its event is no longer kept"`
	Actor         string       `json:"actor,omitempty" doc:"Who made it: the name of the API key, or of the import"`
	Current       bool         `json:"current"`
	Deleted       bool         `json:"deleted,omitempty" doc:"It is a deletion; what follows is empty then"`
	Family        string       `json:"family,omitempty"`
	FamilyVariant string       `json:"family_variant,omitempty"`
	Enabled       bool         `json:"enabled"`
	Categories    []string     `json:"categories"`
	Associations  productLinks `json:"associations"`
	Values        object       `json:"values"`
	Changed       object       `json:"changed,omitempty" doc:"What this revision changed, as its event has it"`
}

// ProductDiff is what two revisions of a product differ in.
type ProductDiff struct {
	SKU     pim.SKU           `json:"sku"`
	From    int64             `json:"from"`
	To      int64             `json:"to"`
	Changes []pim.FieldChange `json:"changes"`
}

// HistoryRetention is how long events, and with them revisions, are kept.
type HistoryRetention struct {
	Months int `json:"months" minimum:"0" maximum:"1200" doc:"Whole months; 0: for ever"`
}

// RevisionPath is a product and one of its content revisions in an address.
type RevisionPath struct {
	SKUPath
	Revision int64 `path:"revision" minimum:"1"`
}

type diffProduct struct {
	SKUPath
	From int64 `query:"from" required:"true" minimum:"1"`
	To   int64 `query:"to" minimum:"1" doc:"By default the current revision"`
}

type restoreRevision struct {
	RevisionPath
	Preconditions
}

type restoreProduct struct{ SKUPath }

func (s *server) registerRevisions() {
	handle(s, op("get-product-revision", http.MethodGet, "/v1/products/{sku}/revisions/{revision}", tagProducts, "Get a product as it stood at a content revision",
		says("Also of a deleted product, and of earlier lives of it. 404 where there was no such revision, or its event is no longer kept.")), s.getRevision)
	handle(s, op("diff-product", http.MethodGet, "/v1/products/{sku}/diff", tagProducts, "Compare two revisions of a product, value by value"), s.diffProduct)
	handle(s, op("restore-product-revision", http.MethodPost, "/v1/products/{sku}/revisions/{revision}/restore", tagProducts, "Make a product what it was at a revision",
		creates, says("It is an edit like any other, and a new revision. What there is no place for any more is left out, and told in warnings. A deleted product comes back.")), s.restoreRevision)
	handle(s, op("restore-product", http.MethodPost, "/v1/products/{sku}/restore", tagProducts, "Bring a deleted product back with the values it had", status(http.StatusCreated),
		says("Its prices and stock levels count again, as of every SKU that comes back. 409 where it is not deleted.")), s.restoreProduct)
	handle(s, op("get-history-retention", http.MethodGet, "/v1/history-retention", tagProducts, "Get how long products' history is kept"),
		func(ctx context.Context, _ *struct{}) (*answer[HistoryRetention], error) {
			months, err := s.Store.HistoryMonths(ctx)
			return &answer[HistoryRetention]{HistoryRetention{months}}, err
		})
	handle(s, op("put-history-retention", http.MethodPut, "/v1/history-retention", tagProducts, "Say how long products' history is kept",
		says("Older months go whole, with the next tidying, from /v1/events too. What products are is not touched."), takesJSON[HistoryRetention](s)),
		func(ctx context.Context, in *RawInput) (*answer[HistoryRetention], error) {
			r, err := decode[HistoryRetention](in.RawBody, nil)
			if err == nil {
				err = s.Store.SetHistoryMonths(ctx, r.Months)
			}
			return &answer[HistoryRetention]{r}, err
		})
}

func (s *server) getRevision(ctx context.Context, in *RevisionPath) (*answer[*ProductRevision], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	r, err := s.Store.Revision(ctx, sku, in.Revision)
	if err != nil {
		return nil, err
	}
	return &answer[*ProductRevision]{ViewRevision(r)}, nil
}

// ViewRevision is a revision as the API shows it.
func ViewRevision(r *postgres.Revision) *ProductRevision {
	v := &ProductRevision{
		SKU: r.SKU, Revision: r.Rev, At: r.At, Type: r.Type, Actor: r.Actor, Current: r.Current, Deleted: r.Deleted, Family: r.State.Family,
		FamilyVariant: r.State.FamilyVariant, Enabled: r.State.Enabled, Categories: none(r.State.Categories), Associations: viewLinks(r.State.Associations), Changed: object(r.Data),
	}
	if r.State.Values != nil {
		v.Values = object(pim.AppendJSON(nil, r.State.Values))
	}
	return v
}

func (s *server) diffProduct(ctx context.Context, in *diffProduct) (*answer[ProductDiff], error) {
	sku, err := in.sku()
	if err != nil {
		return nil, err
	}
	if in.To == 0 {
		if in.To, err = s.Store.ProductRevision(ctx, sku); err != nil {
			return nil, err
		}
	}
	changes, err := s.Store.Changes(ctx, sku, in.From, in.To)
	if err != nil {
		return nil, err
	}
	return &answer[ProductDiff]{ProductDiff{sku, in.From, in.To, changes}}, nil
}

func (s *server) restoreRevision(ctx context.Context, in *restoreRevision) (*editAnswer, error) {
	return s.restore(ctx, in.SKUPath, in.Revision, in.IfMatch)
}

func (s *server) restoreProduct(ctx context.Context, in *restoreProduct) (*editAnswer, error) {
	return s.restore(ctx, in.SKUPath, 0, "")
}

func (s *server) restore(ctx context.Context, of SKUPath, rev int64, ifMatch string) (*editAnswer, error) {
	sku, err := of.sku()
	if err != nil {
		return nil, err
	}
	e, err := s.Store.RestoreEdit(ctx, sku, rev)
	if errors.Is(err, postgres.ErrExists) {
		return nil, problem(http.StatusConflict, "exists", "the product is not deleted")
	}
	if err != nil {
		return nil, err
	}
	return s.answerEdit(ctx, e, ifMatch)
}

// behind is what an edit's author has not seen: what changed since the revision
// that the edit starts from. nil where that is not known: the edit names no one
// revision, or its event is no longer kept.
func (s *server) behind(ctx context.Context, e postgres.Edit, seen, now int64) ([]pim.FieldChange, error) {
	if seen == 0 || seen > now {
		return nil, nil
	}
	changes, err := s.Store.Changes(ctx, e.SKU, seen, now)
	if errors.Is(err, postgres.ErrNotFound) {
		return nil, nil
	}
	return changes, err
}

// rebase moves a merge patch whose author saw an older revision to the one there
// is now, when nothing that it names has changed in between: then it says the
// same, and nobody need try again. It gives what has changed; nil where the edit
// has to be refused.
func (s *server) rebase(ctx context.Context, e *postgres.Edit, seen int64) (unseen []pim.FieldChange, err error) {
	if e.Mode != postgres.Patch && e.Mode != postgres.Merge {
		return nil, nil
	}
	now, err := s.Store.ProductRevision(ctx, e.SKU)
	if errors.Is(err, postgres.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	unseen, err = s.behind(ctx, *e, seen, now)
	if err != nil || !s.Store.Untouched(unseen, e) {
		return nil, err
	}
	e.IfMatch = now
	return unseen, nil
}

// staleEdit is the refusal of an edit from an older revision: the one there is,
// and what the edit's author has not seen.
func (s *server) staleEdit(ctx context.Context, e postgres.Edit, seen int64) error {
	now, err := s.Store.ProductRevision(ctx, e.SKU)
	if err != nil {
		return problem(http.StatusPreconditionFailed, "stale", "there is no such product")
	}
	p := stale(now)
	if p.Changes, err = s.behind(ctx, e, seen, now); err != nil {
		return err
	}
	return p
}
