//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// What is checked when all is well again, one thing at a time: that a channel which
// is dead delays no other, and what goes out first of much that waits.

// lively are the targets that faults come and go at; the others are dead as long as
// the disorder lasts.
func (r *run) lively() (list []*target) {
	for _, t := range r.targets {
		if !t.dead {
			list = append(list, t)
		}
	}
	return list
}

// silence ends or begins the death of the dead targets: they take connections and
// requests, and never answer.
func (r *run) silence(begin bool) error {
	for _, t := range r.targets {
		if !t.dead {
			continue
		}
		var f *fault
		if begin {
			f = &fault{kind: waySilent}
		}
		if err := t.way.set(f); err != nil {
			return err
		}
	}
	return nil
}

// isolation measures how long edits take to a target that is well, without and
// beside a dead one that is called again and again, and then lets the dead one come
// to hold all.
func (r *run) isolation(ctx context.Context, e *client, m *manager) error {
	alone, err := r.received(ctx, e, func() error { return nil })
	if err != nil {
		return err
	}
	if err := r.silence(true); err != nil {
		return err
	}
	beside, err := r.received(ctx, e, func() error {
		for _, t := range r.targets {
			if t.dead {
				if err := m.command(ctx, t, "resume"); err != nil { // forgets its failures: it is called anew
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("beside a dead channel: %w", err)
	}
	r.verdict.alone, r.verdict.beside = alone, beside
	// The bound is wide, for machines are slow; a call of the dead one that held others up would show all the same: it is made
	// again and again, and ends with its timeout.
	if a, b := percentile(alone, 0.95), percentile(beside, 0.95); b > 3*a+5*r.pace.timeout {
		r.violated("isolation", nil, "an edit took %v to a target that is well, beside a dead channel %v (p95)", a, b)
	}
	if err := r.silence(false); err != nil {
		return err
	}
	if err := m.each(ctx, "resume"); err != nil {
		return err
	}
	if err := r.quiet(ctx, m); err != nil {
		return err
	}
	r.compareAll(ctx, "convergence, after a dead channel")
	return nil
}

// received edits products one after the other, and gives how long each took from its
// acknowledgement to the first target, which answers at once. Before each few it
// does also.
func (r *run) received(ctx context.Context, e *client, also func() error) (took []time.Duration, err error) {
	t := r.targets[0]
	shown := r.shown()
	if len(shown) == 0 {
		return nil, errors.New("no product is left to edit")
	}
	for i := range r.pace.probes {
		if i%5 == 0 {
			if err := also(); err != nil {
				return nil, err
			}
		}
		p := shown[i%len(shown)]
		next := p.now
		p.counter++
		next.title = string(p.sku) + " " + strconv.FormatInt(p.counter, 10)
		if err := e.content(ctx, p, next); err != nil {
			return nil, err
		}
		began := time.Now()
		for t.held(p) != t.wanted(p) {
			if !pause(ctx, 2*time.Millisecond) {
				return nil, errors.New("an edit does not come to a target that is well")
			}
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took, nil
}

// shown are the products that channels show, by the books.
func (r *run) shown() (list []*product) {
	for _, p := range r.products {
		if p.now.exists && p.now.enabled && !p.broken {
			list = append(list, p)
		}
	}
	return list
}

// compareAll holds every target against the books.
func (r *run) compareAll(ctx context.Context, invariant string) {
	for _, t := range r.targets {
		for _, p := range r.products {
			r.compare(ctx, r.verdict, t, p, invariant)
		}
	}
}

// soldOut is how many products are sold out at once.
const soldOut = 8

// precedence lets much wait at the first target, at last what is sold out, deleted
// and disabled: what is sold out goes first all the same, and of what is gone
// nothing is left.
func (r *run) precedence(ctx context.Context, e *client, m *manager) error {
	t := r.targets[0]
	if err := m.command(ctx, t, "pause"); err != nil {
		return err
	}
	shown := r.shown()
	for _, p := range shown {
		if err := errors.Join(e.price(ctx, p, e.priceOf(p)), e.stock(ctx, p, max(p.now.stock, 1))); err != nil {
			return err
		}
	}
	gone, first := 0, map[pim.SKU]bool{}
	for _, p := range slices.Backward(shown) {
		next := p.now
		switch {
		case len(first) < soldOut:
			first[p.sku] = true
			if err := e.stock(ctx, p, 0); err != nil {
				return err
			}
			continue
		case p.ean != "" || gone == 6:
			continue
		case gone%2 == 0 && time.Now().After(p.unsure):
			next.exists, next.note = false, ""
		default:
			next.enabled = false
		}
		gone++
		if err := e.content(ctx, p, next); err != nil {
			return err
		}
	}
	if err := r.fannedOut(ctx); err != nil {
		return err
	}
	before := len(t.records.all())
	if err := m.command(ctx, t, "resume"); err != nil {
		return err
	}
	if err := r.quiet(ctx, m); err != nil {
		return err
	}
	// It has one call at a time: else what is under way at once would come in any order.
	if r.verdict.ahead = checkFirst(t.records.all()[before:], first); r.verdict.ahead > 0 {
		r.violated("sold out first", nil, "channel %s: %d requests for what is not sold out came before the last for what is", t.spec.Code, r.verdict.ahead)
	}
	r.compareAll(ctx, "convergence, of what waited")
	return nil
}

// checkFirst is how many requests of the offer lane, with nothing of first in them,
// were begun before the one that brought the last of first.
func checkFirst(list []*request, first map[pim.SKU]bool) (ahead int) {
	list = slices.Clone(list)
	sort.SliceStable(list, func(i, j int) bool { return list[i].began < list[j].began })
	seen := map[pim.SKU]bool{}
	others := 0
	for _, q := range list {
		offers, brings := 0, false
		for _, i := range q.items {
			if i.lane != pim.Offer {
				continue
			}
			offers++
			if first[i.sku] && !seen[i.sku] {
				seen[i.sku], brings = true, true
			}
		}
		if brings {
			ahead = others
		} else if offers > 0 {
			others++
		}
	}
	return ahead
}

const sqlUnmarked = `select (select count(*) from outbox) + (select count(*) from channel where deleted_at is null and (mark_after is not null or mark_anew <> 0))`

// fannedOut waits until every change has marked its listings.
func (r *run) fannedOut(ctx context.Context) error {
	for pause(ctx, 50*time.Millisecond) {
		var n int64
		if err := r.pool.QueryRow(ctx, sqlUnmarked).Scan(&n); err == nil && n == 0 {
			return nil
		}
	}
	return errors.New("changes do not come to their listings")
}
