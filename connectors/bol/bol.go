// Package bol is the connector to the bol marketplace (the Netherlands and
// Belgium) by its Retailer API: offers by version 11, product content and
// process statuses by version 10. docs/connectors/bol.md says what is synced
// and what each issue means; boltest holds bol's rules in code of our own.
//
// bol has no batches and no remote revision. An offer is found by its
// reference, which is the SKU, or else by its EAN and condition, of which a
// retailer has one offer; content is known by its EAN alone.
package bol

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// Kind is the bol target. Pictures are a part of its content, so there is no
// media lane.
var Kind = &connectors.Kind{
	Name:        "bol",
	Title:       "bol (Retailer API)",
	Lanes:       []pim.Lane{pim.Content, pim.Offer},
	Config:      &Config{},
	Limits:      connectors.Limits{Batch: 50, Concurrency: 1, Timeout: 30 * time.Second, Settle: 60 * time.Second},
	MaxBatch:    200,
	Withdrawals: pim.Withdrawals,
	Makes:       []connectors.Connector{(*Connector)(nil)},
	Mapping: connectors.Mapping{
		Content: map[string]string{
			"ean":         identified(knownAs),
			"language":    identified(`mapValue(locale, {'nl': 'nl', 'nl-NL': 'nl', 'nl-BE': 'nl-BE', 'fr': 'fr', 'fr-FR': 'fr', 'fr-BE': 'fr-BE'})`),
			"Name":        identified(`firstOf([values.name])`),
			"Description": identified(`truncate(stripTags(values.description), 10000)`),
			"images":      identified(`firstOf([media])`),
		},
		Offer: map[string]string{
			"ean":      identified(knownAs),
			"price":    identified(`price.amount`),
			"currency": identified(`price.currency`),
			"stock":    identified(`stock.available`),
			"title":    identified(`truncate(firstOf([values.name]), 500)`),
		},
	},
	New: func(config json.RawMessage, env connectors.Env) (connectors.Connector, error) {
		s, err := parse(config)
		if err != nil {
			return nil, err
		}
		s.limits = env.Limits
		client := httpx.New(httpx.Options{
			Timeout: s.limits.Timeout, MaxBody: maxAnswer, Version: env.Version, AllowPrivate: env.AllowPrivate, Wire: env.Wire,
			// Both are one word in the header that carries them.
			Secrets: []string{s.secret, s.id + ":" + s.secret},
		})
		known, err := lru.New[pim.SKU, known](maxKnown)
		if err != nil {
			return nil, fmt.Errorf("make the memory of offers: %w", err)
		}
		gone, err := lru.New[pim.SKU, time.Time](maxKnown)
		if err != nil {
			return nil, fmt.Errorf("make the memory of withdrawals: %w", err)
		}
		return &Connector{
			settings: s, session: newSession(s, client), known: known, gone: gone,
			budget: &budget{now: time.Now, until: map[op]time.Time{}},
		}, nil
	},
}

// knownAs is what catalogues call the number that bol knows a product by.
const knownAs = `firstOf([values.ean, values.gtin, values.ean13, values.barcode])`

// identified leaves a field out of products that have no such number. bol
// cannot know them: parents of variants, above all. A document without any
// field is not sent.
func identified(expression string) string {
	return knownAs + ` == '' ? null : dyn(` + expression + `)`
}

const (
	maxAnswer = 4 << 20 // bytes; a page has up to 100 offers, a status answer up to 1,000 processes
	maxKnown  = 50_000  // offers remembered
)

// Connector pushes to one retailer's account. Make it with Kind.New.
type Connector struct {
	*settings
	session *session
	budget  *budget
	// known is a mere memory of look-ups.
	known *lru.Cache[pim.SKU, known]
	// gone is when a SKU was last withdrawn, until its content comes again. The
	// content lane withdraws while offers are on their way to a push, or in one:
	// what they find gone they would make again, and nobody would take that away.
	gone  *lru.Cache[pim.SKU, time.Time]
	locks connectors.Locks[pim.SKU] // of SKUs whose offer is being looked up and made, or removed
}

// known is where a SKU's offer was found.
type known struct {
	id, ean   string
	condition condition
}

// Push brings each item to bol by calls of its own, a few at once; see
// connectors.Connector. More items than the batch limit are refused before
// anything is sent. What was not begun, because bol throttles or the time is
// used up, is answered so.
func (c *Connector) Push(ctx context.Context, items []connectors.Item) ([]connectors.Result, error) {
	if len(items) == 0 {
		return nil, nil
	}
	if len(items) > c.limits.Batch {
		return nil, &connectors.Error{Verdict: connectors.Permanent, Err: fmt.Errorf("%d items in one call, the limit is %d", len(items), c.limits.Batch)}
	}
	p := &push{Connector: c, crew: muster(ctx), items: items, began: time.Now(), results: make([]connectors.Result, len(items)), local: make([]bool, len(items)), none: make([]bool, len(items))}
	p.plan()
	p.run(ctx)
	if err := whole(p.results, func(i int) bool { return p.local[i] }); err != nil {
		return nil, err
	}
	p.lookBack(ctx)
	return p.results, nil
}

// Probe reads a page of offers: that needs the credentials and changes nothing.
func (c *Connector) Probe(ctx context.Context) error {
	resp, err := c.do(ctx, request{op: opOffers, path: offersPath(), query: url.Values{"page-size": {"25"}}})
	if err != nil {
		return err
	}
	var page offerPage[heldOffer]
	return read(opOffers, resp, &page)
}

// Preflight tells before anything is sent what bol would refuse; see
// connectors.Preflighter.
func (c *Connector) Preflight(lane pim.Lane, document map[string]any) []pim.Issue {
	switch lane {
	case pim.Offer:
		_, issues := c.offer(document)
		return issues
	case pim.Content:
		_, issues := c.contents(document)
		return issues
	}
	return nil
}
