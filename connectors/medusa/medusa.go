// Package medusa is the connector to Medusa v2 webshops
// (https://docs.medusajs.com) by their admin REST API, 2.16 or later: products,
// variants, options, categories, prices, stock and images.
//
// A SKU without parent is a Medusa product with that external_id, and is sold by
// one variant of its own, the default variant, until the first SKU that names it
// as parent comes; that one is a variant of the product, and the default variant
// goes. docs/connectors/medusa.md tells the rules, and what was seen of a real
// Medusa; medusatest holds them in code.
package medusa

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// Kind is the Medusa target. It knows no versions of products, and answers at
// once.
var Kind = &connectors.Kind{
	Name:        "medusa",
	Title:       "Medusa (webshop)",
	Lanes:       []pim.Lane{pim.Content, pim.Offer, pim.Media},
	Config:      &Config{},
	Makes:       []connectors.Connector{(*Connector)(nil)},
	Limits:      connectors.Limits{Batch: 50, Concurrency: 2, Timeout: 60 * time.Second, Settle: 60 * time.Second},
	MaxBatch:    100,
	Withdrawals: pim.Withdrawals,
	ParentField: "parent",
	Mapping: connectors.Mapping{
		Content: map[string]string{
			"parent": "firstOf([parent])",
			"title":  "firstOf([values.name, values.title, values.product_name, sku])",
			// Variants show their product's texts: with these in their documents, an
			// edit of the parent's would push all of its variants for nothing.
			"subtitle":    "parent == '' ? firstOf([values.subtitle, values.short_description]) : dyn(null)",
			"description": "parent == '' ? firstOf([values.description]) : dyn(null)",
			"categories":  "categories",
			"options":     "firstOf([axes])",
			"ean":         "firstOf([values.ean, values.gtin, values.barcode])",
		},
		Offer: map[string]string{
			"parent":           "firstOf([parent])",
			"prices":           "prices.map(p, {'amount': p.amount, 'currency': p.currency, 'min_quantity': p.min_quantity})",
			"manage_inventory": "stock != null",
			"stock":            "stock.available",
		},
		Media: map[string]string{
			"parent": "firstOf([parent])",
			"images": "firstOf([media])",
		},
	},
	New: func(config json.RawMessage, env connectors.Env) (connectors.Connector, error) {
		s, err := parse(config)
		if err != nil {
			return nil, err
		}
		c := &Connector{settings: s, limits: env.Limits, client: httpx.New(httpx.Options{
			Timeout:      env.Limits.Timeout,
			MaxBody:      4<<20 + int64(env.Limits.Batch)*maxAnswer,
			Version:      env.Version,
			AllowPrivate: env.AllowPrivate,
			Wire:         env.Wire,
			Secrets:      s.secrets,
		})}
		if c.known, err = lru.New[pim.SKU, known](cached); err != nil {
			return nil, fmt.Errorf("make the cache of variants: %w", err)
		}
		if c.categories, err = lru.New[string, string](cached); err != nil {
			return nil, fmt.Errorf("make the cache of categories: %w", err)
		}
		return c, nil
	},
}

const (
	// maxAnswer bounds what Medusa may say of one item, in bytes: a product with
	// about a thousand variants.
	maxAnswer = 256 << 10
	// cached is how many variants, and how many categories, are remembered.
	cached = 50_000
)

// Connector pushes to one shop. Make it with Kind.New.
type Connector struct {
	*settings
	limits     connectors.Limits
	client     *httpx.Client
	known      *lru.Cache[pim.SKU, known] // where a SKU's offer goes
	categories *lru.Cache[string, string] // handle → id
	locks      connectors.Locks[string]   // by the SKU of the product whose options or images change
	shop       shop
}

// Push brings items of one lane to the shop; see connectors.Connector. Medusa's
// batches are atomic: one that is refused is halved until the items to blame
// stand alone, and only they are refused.
func (c *Connector) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	p := &push{Connector: c, items: items, results: make([]connectors.Result, len(items)), touched: make([]bool, len(items))}
	for i := range p.results {
		p.results[i].Status = connectors.Accepted
	}
	var err error
	switch items[0].Lane {
	case pim.Content:
		err = p.content(ctx)
	case pim.Offer:
		err = p.offers(ctx)
	case pim.Media:
		err = p.media(ctx)
	default:
		err = &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("lane %s is not known", items[0].Lane)}
	}
	if err == nil {
		return p.results, nil
	}
	e := *connectors.AsError(err)
	// Some of the items may be there already, though the call failed.
	e.Uncertain = e.Uncertain || p.wrote
	return nil, &e
}

// Probe reads the id of one product: it proves address and key, and changes
// nothing.
func (c *Connector) Probe(ctx context.Context) error {
	p := &push{Connector: c}
	if err := p.get(ctx, "/admin/products", query("limit", "1", "fields", "id"), nil); err != nil {
		return connectors.AsError(err)
	}
	return nil
}

// push is one call of Push on its way.
type push struct {
	*Connector
	items   []connectors.Item
	results []connectors.Result
	touched []bool // by item: a part of it is in the shop
	wrote   bool   // a request that changes the shop was answered 2xx
	crashes int    // requests that broke Medusa while it was well
}

// fail sets an item's outcome. What is no *connectors.Error becomes one that is
// safe to assume. Where a part of the item was written, the shop does not hold
// what it held: a document that goes back to that must not be taken for known.
func (p *push) fail(i int, err error) {
	e := *connectors.AsError(err)
	e.Uncertain = e.Uncertain || p.touched[i]
	p.results[i] = connectors.Result{Err: &e}
}

// touch notes that a part of items was written.
func (p *push) touch(items ...int) {
	for _, i := range items {
		p.touched[i] = true
	}
}

func (p *push) failed(i int) bool { return p.results[i].Err != nil }

// warn adds a warning beside an item's success.
func (p *push) warn(i int, code, attribute, text string) {
	issue := pim.Issue{Code: code, Severity: pim.SeverityWarning, Attribute: attribute, Text: text}
	if !slices.Contains(p.results[i].Issues, issue) { // a request may be made anew
		p.results[i].Issues = append(p.results[i].Issues, issue)
	}
}

// missing is the outcome of an item that needs something which is not on the
// target yet, or not any more.
func missing(text string) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Conflict, After: 2 * time.Second, Err: errors.New(text)}
}

// invalid is a refusal of ours, before anything is sent.
func invalid(issues ...pim.Issue) *connectors.Error {
	return &connectors.Error{Verdict: connectors.Validation, Issues: issues, Err: errors.New(issues[0].Text)}
}

func problem(code, attribute, text string) pim.Issue {
	return pim.Issue{Code: code, Severity: pim.SeverityError, Attribute: attribute, Text: text}
}
