package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/govalues/decimal"
	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ask has services translate what is not known, one service after the other:
// what one does not have, refuses or breaks, the next is asked for. It says
// whether a service that rests could still be asked.
func (w *translator) ask(ctx context.Context, book *ruleBook, k *pairWork) (rest, error) {
	var rests rest
	candidates := book.candidates(k.rule)
	if len(candidates) == 0 {
		rests.add(noProviderWait, "there is no provider to translate by")
	}
	for _, p := range candidates {
		missing := k.missing(w.t, p.Code)
		if len(k.missing(nil, "")) == 0 {
			break
		}
		if p.Wait > 0 {
			rests.add(p.Wait, p.Code+": "+p.Error)
			continue
		}
		s, err := w.t.service(p)
		if err != nil {
			w.t.log.ErrorContext(ctx, "open provider", "provider", p.Code, "err", err)
			rests.add(noProviderWait, err.Error())
			continue
		}
		if len(missing) == 0 {
			continue
		}
		c := &serviceCall{w: w, k: k, s: s, p: p, left: -1, purse: book.purse(p)}
		if p.Quota > 0 {
			c.left = max(0, p.Quota-p.Used)
		}
		if err := c.all(ctx, missing); err != nil {
			return rests, err
		}
		switch {
		case c.broke:
			rests.add(quotaWait, budgetUsedUp(p))
		case c.spent:
			rests.add(quotaWait, fmt.Sprintf("%s: its quota of %d characters a month is used up", p.Code, p.Quota))
		case c.down != nil:
			wait, cause, err := w.t.down(ctx, s, p, c.down)
			if err != nil {
				return rests, err
			}
			rests.add(wait, cause)
		}
	}
	return rests, nil
}

// missing are the units that are not known, but for those that the provider of
// code has lately given no good answer to.
func (k *pairWork) missing(t *Texts, code string) (list []*unit) {
	for _, u := range k.order {
		if u.target == "" && (t == nil || !t.refusedLately(code, k, u)) {
			list = append(list, u)
		}
	}
	return list
}

// serviceCall is what one service is asked of one lot.
type serviceCall struct {
	w *translator
	k *pairWork
	s *service
	p *postgres.Provider

	mu    sync.Mutex
	left  int64 // characters of its quota; -1: no bound
	spent bool  // the quota does not reach
	purse *purse
	broke bool  // the budget is used up
	over  bool  // it does not have the pair
	down  error // it is not there: nothing more is asked
}

// all asks for units in as few calls as the limits allow.
func (c *serviceCall) all(ctx context.Context, units []*unit) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.s.limits.Concurrency))
	for _, b := range translation.Batches(sourcesOf(units), c.s.limits) {
		part := units[b.First : b.First+len(b.Texts)]
		if b.TooLarge {
			c.w.t.refuse(c.p.Code, c.k, part[0], faultOf("text.large", c.p.Code+" does not take so long a text"))
			continue
		}
		g.Go(func() error { return c.batch(ctx, part) })
	}
	return g.Wait()
}

// stopped reports whether nothing more is to be asked, and takes characters
// from the quota else.
func (c *serviceCall) stopped(characters int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.down != nil || c.spent || c.broke {
		return true
	}
	if c.broke = c.purse.empty(); c.broke {
		return true
	}
	if c.left >= 0 {
		if c.left -= int64(characters); c.left < 0 {
			c.spent = true
			return true
		}
	}
	return false
}

// untaken gives characters back to the quota that nobody counts.
func (c *serviceCall) untaken(characters int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left >= 0 {
		c.left += int64(characters)
	}
}

// batch makes one call, or more where the service does not take it as a whole.
func (c *serviceCall) batch(ctx context.Context, units []*unit) error {
	err := c.call(ctx, units)
	if errors.Is(err, translation.ErrAnswer) {
		return c.unusable(ctx, units, err)
	}
	return err
}

// unusable goes on after an answer of no use to units: perhaps one of them is to
// blame, and those that went along with it are not. Where neither half comes to
// something, nor will smaller parts. It came, and was perhaps paid for: what
// stays is for another service, or for later by somebody's wish.
func (c *serviceCall) unusable(ctx context.Context, units []*unit, why error) error {
	if len(units) > 1 {
		halves := [2][]*unit{units[:len(units)/2], units[len(units)/2:]}
		var unusable [2]error
		for i, half := range halves {
			err := c.call(ctx, half)
			if err != nil && !errors.Is(err, translation.ErrAnswer) {
				return err
			}
			unusable[i] = err
		}
		if unusable[0] == nil || unusable[1] == nil {
			for i, half := range halves {
				if unusable[i] == nil {
					continue
				}
				if err := c.unusable(ctx, half, unusable[i]); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, u := range units {
		c.w.t.refuse(c.p.Code, c.k, u, faultOf("provider.answer", c.p.Code+": "+errorText(connectors.AsError(why))))
	}
	c.w.r.metrics.translated("refused", len(units))
	return nil
}

// call makes one call, unless there is to be none any more. Its error wraps
// ErrAnswer where nothing is known of units yet.
func (c *serviceCall) call(ctx context.Context, units []*unit) error {
	r := translation.Request{From: c.k.from, To: c.k.to, Texts: make([]string, len(units)), Forbidden: slices.Concat(c.k.glossary.forbidden, c.k.glossary.forbiddenAs)}
	r.Forbidden = r.Forbidden[:min(len(r.Forbidden), maxForbidden)]
	termed := map[translation.Term]bool{}
	for i, u := range units {
		r.Texts[i] = u.seg.Source
		for _, t := range u.in.terms {
			if !termed[t] {
				termed[t] = true
				r.Terms = append(r.Terms, t)
			}
		}
	}
	if c.stopped(r.Characters()) {
		return nil
	}
	if err := c.s.turn(ctx); err != nil {
		return err
	}
	called, cancel := context.WithTimeout(ctx, max(c.s.limits.Timeout, time.Second))
	answer, err := c.s.api.Translate(called, r)
	cancel()
	if err == nil && len(answer.Texts) != len(units) {
		err = translation.Unusable("%d texts for %d", len(answer.Texts), len(units))
	}
	if err == nil {
		return c.take(ctx, units, answer)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !errors.Is(err, translation.ErrAnswer) {
		c.untaken(r.Characters())
		return c.refused(ctx, units, err)
	}
	use := postgres.ProviderUse{Code: c.p.Code, Calls: 1, Segments: int64(len(units)), Refused: int64(len(units))}
	c.w.r.metrics.used(use)
	if kept := c.w.r.store.Remember(ctx, nil, use); kept != nil {
		return kept
	}
	return err
}

// maxForbidden is how many forbidden terms a service is told of.
const maxForbidden = 100

// refused goes on after a call without an answer.
func (c *serviceCall) refused(ctx context.Context, units []*unit, err error) error {
	e := connectors.AsError(err)
	one := len(units) == 1
	switch {
	case errors.Is(err, translation.ErrPair):
		c.mu.Lock()
		c.over = true
		c.mu.Unlock()
		for _, u := range units {
			u.blame([]postgres.TextFault{faultOf("provider.pair", c.p.Code+" does not translate "+string(c.k.from)+" to "+string(c.k.to))})
		}
		return nil
	case e.Verdict == connectors.Throttled, e.Verdict == connectors.Unavailable, e.Verdict == connectors.Auth:
		c.mu.Lock()
		if c.down == nil {
			c.down = err
		}
		c.mu.Unlock()
		return nil
	case one:
		c.w.t.refuse(c.p.Code, c.k, units[0], faultOf("provider.refused", c.p.Code+": "+errorText(e)))
		return nil
	}
	// One of them, or all together: whose fault it is shows when they are apart.
	half := len(units) / 2
	if err := c.batch(ctx, units[:half]); err != nil {
		return err
	}
	return c.batch(ctx, units[half:])
}

// take checks an answer, and keeps what is good before anything else happens:
// it is paid for.
func (c *serviceCall) take(ctx context.Context, units []*unit, a *translation.Answer) error {
	use := useOf(c.p, a, len(units))
	c.purse.pay(a.Cost)
	total := 0
	for _, u := range units {
		total += translation.Characters(u.seg.Source)
	}
	var entries []postgres.MemoryEntry
	bad := map[*unit][]postgres.TextFault{}
	for i, u := range units {
		target := u.seg.Tidy(a.Texts[i])
		n := translation.Characters(u.seg.Source)
		u.characters += int64(n)
		u.tokens += share(int64(a.Tokens), n, total)
		if cost := costShare(a.Cost, n, total); cost != nil {
			if sum, err := u.cost.Plus(cost); err == nil {
				u.cost = sum
			}
		}
		faults := u.seg.Check(target, c.k.rules(u))
		if broken(faults) != "" {
			for _, f := range faults {
				if f.Severity == pim.SeverityError {
					bad[u] = append(bad[u], faultOf(f.Code, c.p.Code+": "+f.Text))
				}
			}
			continue
		}
		u.target, u.origin, u.model, u.test = target, c.p.Code, a.Model, c.p.Test
		entries = append(entries, postgres.MemoryEntry{
			Hash: u.seg.Key[:], From: c.k.from, To: c.k.to, Source: u.seg.Source, Target: target, Origin: c.p.Code, Model: a.Model, Test: c.p.Test, GlossaryVersion: u.in.version,
		})
	}
	use.Refused = int64(len(bad))
	m := c.w.r.metrics
	m.used(use)
	m.translated("provider", len(units)-len(bad))
	m.translated("refused", len(bad))
	c.mu.Lock()
	c.p.Used += int64(a.Characters) // for the other lots of the same round
	c.mu.Unlock()
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	if err := c.w.r.store.Remember(kept, entries, use); err != nil {
		return err
	}
	for u, faults := range bad {
		c.w.t.refuse(c.p.Code, c.k, u, faults...)
	}
	if c.w.t.afterAnswer != nil {
		c.w.t.afterAnswer(ctx)
	}
	return ctx.Err()
}

// keepTimeout bounds the storing of what was answered, also when the work is over.
const keepTimeout = 10 * time.Second

// share is n of total's part of sum.
func share(sum int64, n, total int) int64 {
	if total <= 0 {
		return 0
	}
	return sum * int64(n) / int64(total)
}

// costShare is n of total's part of a call's cost, to nine decimals.
func costShare(cost *translation.Cost, n, total int) *translation.Cost {
	if cost == nil || total <= 0 {
		return nil
	}
	part, err := decimal.New(int64(n), 0)
	if err != nil {
		return nil
	}
	whole, err := decimal.New(int64(total), 0)
	if err != nil {
		return nil
	}
	product, err := cost.Amount.Mul(part)
	if err != nil {
		return nil
	}
	amount, err := product.Quo(whole)
	if err != nil {
		return nil
	}
	return &translation.Cost{Amount: amount.Round(9).Trim(0), Currency: cost.Currency}
}
