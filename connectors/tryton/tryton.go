// Package tryton is the connector to the Tryton ERP (https://www.tryton.org,
// series 6.0), spoken to by JSON-RPC. Products go out; list prices, price lists
// and stock, which the ERP owns, come in. docs/connectors/tryton.md describes it
// for people; trytontest holds Tryton's rules in code.
//
// # Who is who
//
// A SKU is the code of a product.product, which Tryton keeps unique among active
// products; variants are products of one product.template. The connector writes
// the whole SKU as the product's suffix code and leaves its templates' code, the
// prefix, empty, so that a variant's SKU need not begin with its parent's. A
// parent is a product of its template like its variants. Products that are there
// already are found by their code, whatever made it, and are not moved.
//
// Nothing is remembered between two pushes: what is there is looked up for the
// whole batch in one request, and what is equal is not written. A write would
// move Tryton's write_date, and what moved is read again.
package tryton

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/pim"
)

// Kind is the Tryton target. Price and stock are Tryton's own: there is no offer
// lane. Settle is longer than a request that Tryton repeats five times in itself.
var Kind = &connectors.Kind{
	Name:     "tryton",
	Title:    "Tryton (ERP)",
	Lanes:    []pim.Lane{pim.Content},
	Config:   &Config{},
	Makes:    []connectors.Connector{(*Connector)(nil), (*Source)(nil), (*HookedSource)(nil)},
	Limits:   connectors.Limits{Batch: 50, Concurrency: 2, Timeout: time.Minute, Settle: time.Minute},
	MaxBatch: 200,
	// An ERP deletes nothing, and stock is its own.
	Withdrawals: []pim.Withdrawal{pim.WithdrawDisable},
	Mapping: connectors.Mapping{Content: map[string]string{
		"language":    "locale",
		"name":        "firstOf([values.name, sku])",
		"description": "has(values.description) ? stripTags(values.description) : ''",
		"gtin":        "firstOf([values.gtin, values.ean])",
		"parent":      "firstOf([parent])",
	}},
	New: func(config json.RawMessage, env connectors.Env) (connectors.Connector, error) {
		s, err := parse(config)
		if err != nil {
			return nil, err
		}
		s.limits = env.Limits
		c := &Connector{settings: s, server: newServer(s, httpx.New(httpx.Options{
			Timeout:      env.Limits.Timeout,
			MaxBody:      maxAnswer,
			Version:      env.Version,
			AllowPrivate: env.AllowPrivate,
			Wire:         env.Wire,
			Secrets:      []string{s.Password, s.HookSecret},
		}))}
		switch {
		case !s.pulls():
			return c, nil
		case s.HookSecret == "":
			return &Source{c}, nil
		}
		return &HookedSource{Source{c}}, nil
	},
}

// maxAnswer bounds an answer, in bytes: a look-up of MaxBatch products reads
// their descriptions.
const maxAnswer = 32 << 20

// Connector pushes to one Tryton. Make it with Kind.New.
type Connector struct {
	*settings
	server *server

	house   remembered[house]
	sources remembered[origins]
	units   remembered[map[string]int64] // unit's symbol → id
}

// Source is a Connector that has something to read: it can pull.
type Source struct{ *Connector }

// HookedSource is a Source that Tryton may call.
type HookedSource struct{ Source }

// The powers that the kinds of connector have.
var (
	_ connectors.Preflighter = (*Connector)(nil)
	_ connectors.Puller      = (*Source)(nil)
	_ connectors.Hooker      = (*HookedSource)(nil)
)

// Probe logs in where there is no session, and asks what the user may do.
func (c *Connector) Probe(ctx context.Context) error {
	return c.mayWrite(ctx)
}

// mayWrite asks for the user's rights: an Auth error names one that is missing.
// Tryton's own error for it has no name and no language of its own.
func (c *Connector) mayWrite(ctx context.Context) error {
	const template, product = "product.template", "product.product"
	var access map[string]map[string]any
	if _, err := c.server.read(ctx, "model.ir.model.access.get_access", &access, []string{template, product}, words{}); err != nil {
		return err
	}
	for _, model := range []string{template, product} {
		for _, right := range []string{"read", "create", "write"} {
			if !granted(access[model][right]) {
				return &connectors.Error{Verdict: connectors.Auth, Err: fmt.Errorf("the Tryton user has no right to %s %s; add it to a group that has, such as Product Administration", right, model)}
			}
		}
	}
	return nil
}

// granted reads a right: 1 or true.
func granted(v any) bool { return v == true || v == 1.0 }
