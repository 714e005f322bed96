package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// This file makes documents of products: for the drain that sends them, and for
// people who want to see them first.

// project renders the task's document and checks it as it would be checked
// before it is sent. What it finds is in the task, and in the error, a
// *connectors.Error but for ctx's.
func (t *Target) project(ctx context.Context, k *task, subject *connectors.Subject, schema *pim.Schema, scope connectors.Scope) error {
	p, err := t.Program.Project(ctx, k.lane, subject, schema, scope)
	if err != nil {
		return err
	}
	k.document, k.issues, k.pending = p.Document, p.Issues, p.Pending
	if k.lane == pim.Content {
		k.issues = slices.Concat(k.issues, subject.Issues)
	}
	check, ok := t.Connector.(connectors.Preflighter)
	if !ok || k.document == nil {
		return nil
	}
	document, err := connectors.DecodeDocument(k.document)
	if err != nil {
		return &connectors.Error{Verdict: connectors.Permanent, Err: err}
	}
	issues := check.Preflight(k.lane, document)
	for _, i := range issues {
		if i.Severity == pim.SeverityError {
			return &connectors.Error{Verdict: connectors.Validation, Issues: issues, Err: errors.New("preflight: " + i.Text)}
		}
	}
	k.preflight = issues
	return nil
}

// projectSoldOut renders the offer of a withdrawn product with a stock of 0. What
// keeps it from being rendered or checked does not keep the tombstone back: then
// there is no document. The error is only ctx's.
func (t *Target) projectSoldOut(ctx context.Context, k *task, subject *connectors.Subject, schema *pim.Schema, scope connectors.Scope) error {
	if subject == nil {
		return nil
	}
	none := *subject
	none.Stock = []pim.Stock{{}} // one level, of no location: it counts, and there is nothing
	p, err := t.Program.Project(ctx, k.lane, &none, schema, scope)
	if err != nil {
		return ignoreOwn(ctx)
	}
	k.document = p.Document
	return nil
}

// ignoreOwn is the error of ctx, if it has ended.
func ignoreOwn(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// revision is the sum of the revisions of all that the lane's mapping reads,
// which in says: it rises with each of them. It does not fall where the mapping
// reads less than it did: then it stays until it has caught up.
func (t *task) revision(in pim.Lanes) (rev int64) {
	switch t.lane {
	case pim.Content:
		rev = t.Rev
		if in.Has(pim.Offer) {
			rev += t.OfferRev
		}
	case pim.Offer:
		rev = t.OfferRev
		if in.Has(pim.Content) {
			rev += t.Rev
		}
	case pim.Media:
		rev = t.MediaRev
		if in.Has(pim.Content) {
			rev += t.Rev
		}
		if in.Has(pim.Offer) {
			rev += t.OfferRev
		}
	}
	return max(rev, t.RevFloor, 1)
}

// rendering bounds how many goroutines of this process render bulk at a time: all
// processors but one, which is for whoever waits for an answer meanwhile. Goroutines
// that only compute give their processor away every ten milliseconds, so an edit,
// which needs one several times on its way, would else take as long as several of
// these.
var rendering = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))

// fewThings are what a live edit makes due: they are done at once, beside the bulk.
const fewThings = 8

// inParallel does n things on several processors, where there are enough to be
// worth it. The first error ends it.
func inParallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	if n <= fewThings {
		for i := range n {
			if err := do(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	workers := min(cap(rendering), (n+fewThings-1)/fewThings)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < n; i += workers {
				if err := inTurn(ctx, i, do); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func inTurn(ctx context.Context, i int, do func(ctx context.Context, i int) error) error {
	rendering <- struct{}{} // given back soon: only computing is done meanwhile
	defer func() { <-rendering }()
	return do(ctx, i)
}

// decodedProducts bounds the cache of decoded values.
const decodedProducts = 4096

// subjects decodes products, their values once for all lanes and channels; nil
// remembers none.
type subjects struct {
	values *lru.Cache[[3]int64, pim.Values]
}

func newSubjects() *subjects {
	cache, err := lru.New[[3]int64, pim.Values](decodedProducts)
	if err != nil {
		panic(err) // the size is a constant above zero
	}
	return &subjects{cache}
}

// subject decodes a product. Its error is a *connectors.Error of what can never
// be decoded.
func (d *subjects) subject(c *postgres.Claimed) (*connectors.Subject, error) {
	s := &connectors.Subject{SKU: c.SKU, Parent: c.Parent, SubModel: c.SubModel, Variant: c.Variant, Family: c.Family, Enabled: c.Enabled, Categories: c.Categories}
	if c.Values != nil {
		known := false
		if d != nil {
			s.Values, known = d.values.Get(c.ValuesKey)
		}
		if !known {
			var err error
			if s.Values, err = mergedValues(c.SKU, c.Values, c.Inherited); err != nil {
				return nil, err
			}
			if d != nil {
				d.values.Add(c.ValuesKey, s.Values)
			}
		}
	}
	if c.Prices != nil {
		if err := json.Unmarshal(c.Prices, &s.Prices); err != nil {
			return nil, undecodable("prices", c.SKU, err)
		}
	}
	if c.Stock != nil {
		if err := json.Unmarshal(c.Stock, &s.Stock); err != nil {
			return nil, undecodable("stock", c.SKU, err)
		}
	}
	return s, nil
}

// mergedValues are a product's values, over those of the models above it.
func mergedValues(sku pim.SKU, own json.RawMessage, inherited postgres.Inherited) (pim.Values, error) {
	values, err := pim.DecodeStored(own)
	if err != nil {
		return nil, undecodable("values", sku, err)
	}
	if values, err = inherited.Below(values); err != nil {
		return nil, undecodable("parent's values", sku, err)
	}
	return values, nil
}

func undecodable(what string, sku pim.SKU, err error) error {
	return &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("decode the %s of %s: %w", what, sku, err)}
}
