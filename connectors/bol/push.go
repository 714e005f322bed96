package bol

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// push is one Push at work.
type push struct {
	*Connector
	*crew
	items   []connectors.Item
	began   time.Time
	results []connectors.Result
	local   []bool // answered here; bol was not asked
	none    []bool // an empty document: nothing of the lane shall be there

	offers   map[int]*wireOffer     // by item
	contents map[int][]*wireContent // by item
	found    map[string][]heldOffer // offers that a look-up for many found, by EAN without leading zeros
	looked   bool                   // found is filled
	// lookUpErr is why it is not, where it was tried.
	lookUpErr error
}

// plan reads the documents and answers the items that cannot be sent.
func (p *push) plan() {
	p.offers, p.contents = map[int]*wireOffer{}, map[int][]*wireContent{}
	for i, item := range p.items {
		if item.Action.Tombstone() {
			continue
		}
		doc, err := connectors.DecodeDocument(item.Document)
		if err != nil {
			p.refuse(i, connectors.Permanent, nil, errors.New("the document is not a JSON object"))
			continue
		}
		if len(doc) == 0 && (item.Lane == pim.Offer || item.Lane == pim.Content) {
			p.none[i] = true
			continue
		}
		f := &faults{}
		switch item.Lane {
		case pim.Offer:
			o, issues := p.offer(doc)
			f.issues = issues
			if utf8.RuneCountInString(string(item.SKU)) > maxReference {
				f.bad("sku", "bol.sku", "bol's reference holds %d characters; this SKU has more", maxReference)
			}
			o.Reference = string(item.SKU)
			p.offers[i] = o
		case pim.Content:
			p.contents[i], f.issues = p.settings.contents(doc)
		default:
			p.refuse(i, connectors.Permanent, nil, fmt.Errorf("bol has no lane %s", item.Lane))
			continue
		}
		p.results[i].Issues = f.issues
		if f.fatal() {
			p.refuse(i, connectors.Validation, f.issues, errors.New(f.issues[0].Text))
		}
	}
}

func (p *push) refuse(i int, verdict connectors.Verdict, issues []pim.Issue, err error) {
	p.results[i] = connectors.Result{Err: &connectors.Error{Verdict: verdict, Issues: issues, Err: err}}
	p.local[i] = true
}

// run works the items that can be sent.
func (p *push) run(ctx context.Context) {
	var todo []int
	for i := range p.items {
		if !p.local[i] {
			todo = append(todo, i)
		}
	}
	if len(todo) == 0 {
		return
	}
	p.lookUpMany(ctx, todo)
	p.each(ctx, len(todo), func(n int) error {
		i := todo[n]
		status, token, err := p.one(ctx, i)
		r := &p.results[i]
		if err != nil {
			r.Issues, r.Err = nil, err
			return err
		}
		r.Status, r.Token = status, token
		return nil
	}, func(n int, why *connectors.Error) {
		p.results[todo[n]] = connectors.Result{Err: why}
	})
}

// one brings one item to bol.
func (p *push) one(ctx context.Context, i int) (status connectors.Status, token string, err error) {
	item := p.items[i]
	ctx = connectors.About(ctx, item.SKU)
	if item.Lane == pim.Content && item.Action == connectors.Upsert {
		p.gone.Remove(item.SKU)
	}
	switch {
	case p.none[i] && item.Lane == pim.Content: // bol keeps what it has
		return connectors.Accepted, "", nil
	case item.Action == connectors.Disable:
		return connectors.Accepted, "", p.hold(ctx, item.SKU)
	case item.Action == connectors.SellOut:
		return connectors.Accepted, "", p.sellOut(ctx, item)
	case p.none[i], item.Action.Withdraws():
		return connectors.Accepted, "", p.withdraw(ctx, item.SKU)
	case item.Lane == pim.Offer:
		return connectors.Accepted, "", p.upsert(ctx, item.SKU, p.offers[i])
	}
	token, err = p.upload(ctx, p.contents[i])
	return connectors.Pending, token, err
}
