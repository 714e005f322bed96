// Package woocommerce is the connector to WooCommerce shops by their REST API
// v3 (https://woocommerce.github.io/woocommerce-rest-api-docs/).
//
// A product is found by its SKU; ids are only remembered. A product with
// variants becomes a variable product, its variants variations. Content, offer
// and media write different fields of the same object, by batches of at most
// 100 rows that the shop takes one by one: a row's refusal comes inside of HTTP
// 200 and is that item's own.
//
// What a channel's document may hold is in fields.go, what the shop's refusals
// mean in verdict.go, what people need to know in docs/connectors/woocommerce.md.
package woocommerce

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// MaxBatch is how many rows a shop takes in one batch unless a plugin changes it
// (filter woocommerce_rest_batch_items_limit).
const MaxBatch = 100

const (
	maxAnswer  = 24 << 20 // bytes of one answer; 100 whole products come back from a batch
	remembered = 50_000   // SKUs whose ids are remembered
	// staleAfter is how long a product is believed to be what it was. Somebody
	// may make it variable in the shop's own pages meanwhile.
	staleAfter = 10 * time.Minute
	// parentAfter is when a variant tries again whose parent is not there yet.
	parentAfter = 2 * time.Second
)

// Kind is the WooCommerce target. A request that was cut off goes on in the
// shop until PHP's own limit, usually 30 to 60 s, hence Settle.
var Kind = &connectors.Kind{
	Name:        "woocommerce",
	Title:       "WooCommerce (REST API v3)",
	Lanes:       []pim.Lane{pim.Content, pim.Offer, pim.Media},
	Config:      &Config{},
	Limits:      connectors.Limits{Batch: MaxBatch, Concurrency: 4, Timeout: 60 * time.Second, Settle: 60 * time.Second},
	MaxBatch:    MaxBatch,
	Mapping:     mapping,
	Withdrawals: pim.Withdrawals,
	ParentField: "parent",
	Makes:       []connectors.Connector{(*Connector)(nil)},
	New: func(config json.RawMessage, env connectors.Env) (connectors.Connector, error) {
		s, err := parse(config)
		if err != nil {
			return nil, err
		}
		return connect(s, env, httpx.Options{})
	},
}

// Connector pushes to one shop. Make it with Kind.New.
type Connector struct {
	*settings
	limits     connectors.Limits
	client     *httpx.Client
	known      *lru.Cache[pim.SKU, known]
	locks      connectors.Locks[pim.SKU]
	library    *library
	categories categories
}

// known is what is remembered of a SKU: a hint, never the truth.
type known struct {
	id, parent int64 // parent > 0: a variation of it
	variable   bool
	bare       bool // it has no attributes
	at         time.Time
}

// connect makes the connector; options carry what only tests change.
func connect(s *settings, env connectors.Env, options httpx.Options) (*Connector, error) {
	options.Timeout, options.MaxBody = env.Limits.Timeout, maxAnswer
	options.Version, options.AllowPrivate, options.Secrets, options.Wire = env.Version, env.AllowPrivate, s.secrets(), env.Wire
	cache, err := lru.New[pim.SKU, known](remembered)
	if err != nil {
		return nil, fmt.Errorf("making room for ids: %w", err)
	}
	pictures, err := lru.New[string, int64](remembered)
	if err != nil {
		return nil, fmt.Errorf("making room for pictures: %w", err)
	}
	limits := env.Limits
	if limits.Batch < 1 || limits.Batch > MaxBatch {
		limits.Batch = MaxBatch
	}
	c := &Connector{settings: s, limits: limits, client: httpx.New(options), known: cache, library: &library{ids: pictures}}
	c.categories.init()
	return c, nil
}

// Probe posts a batch without rows. It changes nothing, and unlike a GET it
// proves that the key may write, too.
func (c *Connector) Probe(ctx context.Context) error {
	var answer json.RawMessage
	return harmless(c.post(ctx, "products/batch", json.RawMessage(`{"update":[]}`), &answer))
}

// Preflight says what keeps a document from being sent; see connectors.Preflighter.
func (c *Connector) Preflight(lane pim.Lane, document map[string]any) []pim.Issue {
	_, issues := read(lane, document)
	return issues
}

// Push brings the items to the shop; see connectors.Connector. It asks for the
// ids that it does not know in one call, writes products in one batch and
// variations in one batch for each parent.
func (c *Connector) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	results := make([]connectors.Result, len(items))
	p := &push{Connector: c, ctx: ctx, lane: items[0].Lane}
	var keys []pim.SKU
	for i := range items {
		t := &task{sku: items[i].SKU, result: &results[i], action: items[i].Action, withdraw: items[i].Action.Withdraws()}
		if err := t.open(items[i]); err != nil {
			t.fail(err)
			continue
		}
		p.tasks = append(p.tasks, t)
		keys = append(keys, t.sku)
		if !t.withdraw && t.doc.parent != "" {
			keys = append(keys, t.doc.parent)
		}
	}
	if len(p.tasks) == 0 {
		return results, nil
	}
	if p.lane == pim.Content {
		// A parent's attributes are read, extended and written back: one push at
		// a time does that to one parent.
		unlock, err := c.locks.Lock(ctx, keys...)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	if err := p.run(); err != nil {
		return nil, err
	}
	return results, nil
}
