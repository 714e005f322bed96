package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/govalues/decimal"
	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// groupPlan is what a change does to a price.
type groupPlan struct {
	product     int64
	group       priceGroup
	have, after []pim.Price
	changes     []priceChange // that change something
	idle        []priceChange // that do not
	derived     []HeldPrice   // by which what rules make is to differ
	hold        *priceHeld
	judged      pim.PriceJudgement
	again       bool // it is held already
}

// list plans what becomes of one list; makes is its place in the book, or -1.
func (p *pricePlan) list(ctx context.Context, tx pgx.Tx, list string, makes int) error {
	guard := p.guards[list]
	var plans []*groupPlan
	for _, id := range slices.Sorted(maps.Keys(p.products)) {
		x := p.products[id]
		var made []pim.Price
		groups := map[priceGroup]*groupPlan{}
		group := func(g priceGroup) *groupPlan {
			if groups[g] == nil {
				groups[g] = &groupPlan{product: id, group: g, hold: x.holds[g]}
			}
			return groups[g]
		}
		for i := range x.Prices {
			if x.Prices[i].PriceList == list {
				g := group(groupOf(&x.Prices[i]))
				g.have = append(g.have, x.Prices[i])
			}
		}
		for of := range x.changes {
			if of.list == list {
				group(of)
			}
		}
		for of := range x.holds {
			if of.list == list {
				group(of)
			}
		}
		var after []pim.Price
		for of, g := range groups {
			g.byHand(x.changes[of])
			after = append(after, g.after...)
		}
		if makes >= 0 {
			x.deriving.Stand(list, after)
			made = x.deriving.List(makes)
		}
		if guard == nil {
			for _, g := range groups {
				p.pass(g, x)
			}
			x.made = append(x.made, made...)
			x.deriving.Stand(list, append(after, made...))
			continue
		}
		for i := range made {
			group(groupOf(&made[i]))
		}
		for of, g := range groups {
			g.derive(slices.DeleteFunc(slices.Clone(made), func(m pim.Price) bool { return groupOf(&m) != of }), p.book.now)
			was := x.was[of]
			first := was == nil && len(g.have) == 0
			if first {
				was = fewer(x.Prices, of, p.book.now)
			}
			g.judged = guard.limits.Judge(g.have, g.after, was, p.book.now)
			if first {
				g.judged.Moves = false // no price that there was is another one
			}
			g.again = g.hold != nil && g.hold.sameAs(g)
			plans = append(plans, g)
		}
	}
	if guard == nil {
		return nil
	}
	return p.judge(ctx, tx, list, guard, plans)
}

// fewer is what a product costs from a smaller quantity on, the nearest of which there
// is a price: what is paid as long as the quantity has none of its own. nil: nothing.
func fewer(prices []pim.Price, of priceGroup, now time.Time) *decimal.Decimal {
	below := map[priceGroup][]pim.Price{}
	for i := range prices {
		if g := groupOf(&prices[i]); g.list == of.list && g.currency == of.currency && g.quantity < of.quantity {
			below[g] = append(below[g], prices[i])
		}
	}
	var at *pim.Price
	nearest := 0
	for g, list := range below {
		if x := pim.InForce(list, now); x != nil && g.quantity > nearest {
			at, nearest = x, g.quantity
		}
	}
	if at == nil {
		return nil
	}
	return &at.Amount
}

// byHand applies what is set by hand.
func (g *groupPlan) byHand(changes []priceChange) {
	hand := map[priceKey]*pim.Price{}
	var order []priceKey
	for i := range g.have {
		if len(g.have[i].Rules) == 0 {
			k := keyOf(&g.have[i])
			hand[k], order = &g.have[i], append(order, k)
		}
	}
	for i := range changes {
		c := &changes[i]
		k := keyOf(&c.Price)
		was := hand[k]
		switch {
		case c.gone && was == nil, !c.gone && was != nil && was.Amount.Equal(c.Amount) && timeOr(was.ValidTo, "infinity") == timeOr(c.ValidTo, "infinity"):
			g.idle = append(g.idle, *c)
			continue
		case c.gone:
			delete(hand, k)
		default:
			if was == nil {
				order = append(order, k)
			}
			hand[k] = &c.Price
		}
		g.changes = append(g.changes, *c)
	}
	for _, k := range order {
		if x := hand[k]; x != nil {
			g.after = append(g.after, *x)
		}
	}
}

// derive adds what rules make beside that.
func (g *groupPlan) derive(made []pim.Price, now time.Time) {
	g.after = append(g.after, made...)
	taken := map[priceKey]bool{}
	for i := range g.changes {
		if !g.changes[i].gone {
			taken[keyOf(&g.changes[i].Price)] = true
		}
	}
	var d derivedRows
	d.add(0, slices.DeleteFunc(slices.Clone(g.have), func(x pim.Price) bool { return taken[keyOf(&x)] }), made, now)
	g.derived = d.held()
}

// judge says of which prices of a list the change is held.
func (p *pricePlan) judge(ctx context.Context, tx pgx.Tx, list string, guard *guarded, plans []*groupPlan) error {
	full, err := p.tooMany(ctx, tx, list, guard, plans)
	if err != nil {
		return err
	}
	settled := map[int64][]pim.Price{}
	for _, g := range plans {
		x := p.products[g.product]
		idle := len(g.changes) == 0 && len(g.derived) == 0
		if !idle && (g.again || g.judged.TooFar || g.judged.Moves && full[g.judged.At]) {
			p.hold(g, x)
			settled[g.product] = append(settled[g.product], g.have...)
			continue
		}
		p.pass(g, x)
		settled[g.product] = append(settled[g.product], g.after...)
		for i := range g.after {
			if len(g.after[i].Rules) > 0 {
				x.made = append(x.made, g.after[i])
			}
		}
		switch {
		case len(g.have) == 0 && len(g.after) > 0:
			guard.grown++
		case len(g.have) > 0 && len(g.after) == 0:
			guard.grown--
		}
		if _, moved := x.was[g.group]; g.judged.Moves && (!moved || g.judged.At.After(p.book.now)) {
			m := movedPrice{product: g.product, priceGroup: g.group, at: g.judged.At}
			if g.judged.Old != nil {
				was := g.judged.Old.String()
				m.was = &was
			}
			p.moves = append(p.moves, m)
		}
	}
	for id, prices := range settled {
		p.products[id].deriving.Stand(list, prices)
	}
	return nil
}

// tooMany gives the moments at which too many prices of the list would move.
func (p *pricePlan) tooMany(ctx context.Context, tx pgx.Tx, list string, guard *guarded, plans []*groupPlan) (map[time.Time]bool, error) {
	if guard.limits.MaxShare == 0 {
		return nil, nil
	}
	within := guard.limits.Within()
	near := func(x, y time.Time) bool { return x.Sub(y).Abs() < within }
	byMoment := map[time.Time]int64{}
	for _, g := range plans {
		if g.judged.Moves {
			byMoment[g.judged.At]++
		}
	}
	if len(byMoment) == 0 {
		return nil, nil
	}
	moments := slices.SortedFunc(maps.Keys(byMoment), time.Time.Compare)
	lists, withins := make([]string, len(moments)), make([]time.Duration, len(moments))
	for i := range moments {
		lists[i], withins[i] = list, within
	}
	rows, err := tx.Query(ctx, sqlMovesAround, named{"list": lists, "at": moments, "within": withins})
	if err != nil {
		return nil, err
	}
	counts, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	full := map[time.Time]bool{}
	for i, t := range moments {
		n := counts[i]
		for other, more := range byMoment {
			if near(other, t) {
				n += more
			}
		}
		// What has moved already, or is held and replaced, does not count twice.
		for _, g := range plans {
			if !g.judged.Moves || !near(g.judged.At, t) {
				continue
			}
			if slices.ContainsFunc(p.products[g.product].moves[g.group], func(at time.Time) bool { return near(at, t) }) {
				n--
			}
			if h := g.hold; h != nil && !h.rejected && near(later(h.movesAt, p.book.now), t) {
				n--
			}
		}
		full[t] = guard.limits.TooMany(n, guard.prices)
	}
	return full, nil
}

func later(x, y time.Time) time.Time {
	if x.After(y) {
		return x
	}
	return y
}

// hold holds a change of a price back.
func (p *pricePlan) hold(g *groupPlan, x *plannedProduct) {
	for i := range g.have {
		if len(g.have[i].Rules) > 0 {
			x.made = append(x.made, g.have[i])
		}
	}
	rows := g.hold.without(g)
	actor := "price-rules"
	for _, c := range g.changes {
		p.held[c.at], actor = true, p.actor
		rows = append(rows, heldOf(&c.Price, c.gone))
	}
	rows = sortHeld(append(rows, g.derived...))
	if g.hold != nil && sameHeld(rows, g.hold.rows) {
		return
	}
	reason, at := pim.HoldShare, g.judged.At
	if g.judged.TooFar {
		reason = pim.HoldFactor
	}
	if !g.judged.Moves {
		at = p.book.now
	}
	p.puts = append(p.puts, heldRow{product: g.product, priceGroup: g.group, actor: actor, reason: reason, at: at, old: textOf(g.judged.Old), new: textOf(g.judged.New), prices: rows})
}

// pass lets a change of a price through: what was held of it is so no more.
func (p *pricePlan) pass(g *groupPlan, x *plannedProduct) {
	for i := range g.changes {
		if c := &g.changes[i]; !c.gone {
			x.byHand[keyOf(&c.Price)] = true
		}
	}
	if g.hold == nil {
		return
	}
	switch rows := g.hold.without(g); {
	case len(rows) == 0:
		p.drops = append(p.drops, g.hold.id)
	case len(rows) < len(g.hold.rows):
		p.keeps = append(p.keeps, heldRow{id: g.hold.id, prices: rows})
	}
}
