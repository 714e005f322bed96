package pim

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/govalues/decimal"
)

// PriceGuard says which changes of a price list's prices are held until somebody
// has looked at them. A price here is what a product costs in one currency from
// one quantity on, whatever its windows.
type PriceGuard struct {
	MaxShare      float64 `json:"max_share,omitempty" minimum:"0.0001" maximum:"1" doc:"Which share of the list's prices may move within the time, e.g. 0.2; left out: any"`
	MaxFactor     float64 `json:"max_factor,omitempty" minimum:"1.0001" maximum:"1000000" doc:"By which factor a price may rise or fall within the time, e.g. 2 for its double and its half; left out: any"`
	WithinSeconds float64 `json:"within_seconds,omitempty" minimum:"60" maximum:"2592000" doc:"The time; left out: 3600"`
	Least         int     `json:"least,omitempty" minimum:"1" maximum:"1000000000" doc:"So many prices may move, whatever share they are; left out: 10"`
}

// Defaults of PriceGuard.
const (
	guardWithin = time.Hour
	guardLeast  = 10
)

// Within is the time in which moves are counted together.
func (g *PriceGuard) Within() time.Duration { return orElse(g.WithinSeconds, guardWithin) }

// TooMany reports whether moved of a list's prices are more than may be.
func (g *PriceGuard) TooMany(moved, prices int64) bool {
	least := int64(g.Least)
	if least == 0 {
		least = guardLeast
	}
	if g.MaxShare == 0 || moved <= least {
		return false
	}
	share := new(big.Rat).Mul(exactly(g.MaxShare), wholeRat(prices))
	return wholeRat(moved).Cmp(share) > 0
}

// exact is f as it is written.
func exactly(f float64) *big.Rat {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	if !ok {
		return new(big.Rat)
	}
	return r
}

// guard tells what is wrong with g, with pointers into its price list.
func (ps *problems) guard(g *PriceGuard) {
	if g == nil {
		return
	}
	for _, n := range []struct {
		name              string
		v, floor, ceiling float64
	}{
		{"max_share", g.MaxShare, 0.0001, 1},
		{"max_factor", g.MaxFactor, 1.0001, 1e6},
		{"within_seconds", g.WithinSeconds, 60, 2592000},
		{"least", float64(g.Least), 1, 1e9},
	} {
		if n.v != 0 && !(n.v >= n.floor && n.v <= n.ceiling) { // NaN too
			ps.add("/guard/"+n.name, "limit", fmt.Sprintf("is from %v to %v", n.floor, n.ceiling))
		}
	}
	if g.MaxShare == 0 && g.MaxFactor == 0 {
		ps.add("/guard", "price_guard.empty", "a guard has max_share, max_factor or both")
	}
}

// HoldReason is why a price is held.
type HoldReason string

// The reasons of price holds.
const (
	HoldShare  HoldReason = "share"  // too many prices of the list would have moved
	HoldFactor HoldReason = "factor" // the price would have moved too far
)

// PriceJudgement is what a change does to a price.
type PriceJudgement struct {
	Moves    bool      // somebody pays another price by it, now or later
	At       time.Time // from when on
	TooFar   bool
	Old, New *decimal.Decimal // what TooFar compares, or else the first that moves; nil: there is none
}

// Judge looks at a change of the prices of one currency and quantity, from now
// on. was is, not nil, what stood there before it moved within the time already.
//
// What counts is what a channel reads at each moment: the price that is set by
// hand, of several in force the one that begins last, and else what rules make.
// A first price moves nothing: there is nothing to hold it against. A price that
// goes moves, and no factor tells how far. So does a window that comes new, when
// it opens; that things are as before when it closes is no move of its own.
// Each step to another price is held against MaxFactor, unless there was one as
// bad at that moment before.
func (g *PriceGuard) Judge(before, after []Price, was *decimal.Decimal, now time.Time) PriceJudgement {
	b, a := standingOf(before), standingOf(after)
	cuts := []int64{now.UnixMicro()}
	for _, list := range [][]spanned{b.byHand, b.derived, a.byHand, a.derived} {
		for _, x := range list {
			for _, t := range []int64{x.from, x.to} {
				if t > cuts[0] {
					cuts = append(cuts, t)
				}
			}
		}
	}
	slices.Sort(cuts[1:])
	cuts = slices.Compact(cuts)
	var j PriceJudgement
	prev, prevOld := b.at(cuts[0]), (*Price)(nil)
	known := was // the last amount that there was, as things become
	if prev != nil {
		known = &prev.Amount
	}
	knownOld := known // and as they were
	far := func(x, y *decimal.Decimal) bool {
		if j.TooFar || !g.tooFar(*x, *y) {
			return false
		}
		j.TooFar, j.Old, j.New = true, x, y
		return true
	}
	for i, t := range cuts {
		x, y := a.at(t), b.at(t)
		if !sameAmount(prev, x) && known != nil {
			if !j.Moves && !sameAmount(x, y) {
				if j.Moves, j.At = true, time.UnixMicro(t).UTC(); !j.TooFar {
					j.Old, j.New = known, amountIn(x)
				}
			}
			if x != nil && !(i > 0 && y != nil && !sameAmount(prevOld, y) && knownOld != nil && g.tooFar(*knownOld, y.Amount)) {
				if !far(known, &x.Amount) && i == 0 && was != nil {
					far(was, &x.Amount)
				}
			}
		}
		if x != nil {
			known = &x.Amount
		}
		if y != nil {
			knownOld = &y.Amount
		}
		prev, prevOld = x, y
	}
	return j
}

// tooFar reports whether a price may not go from x to y, or back.
func (g *PriceGuard) tooFar(x, y decimal.Decimal) bool {
	if g.MaxFactor == 0 || x.Equal(y) {
		return false
	}
	low, high := ratOf(x), ratOf(y)
	if low.Cmp(high) > 0 {
		low, high = high, low
	}
	return low.Mul(low, exactly(g.MaxFactor)).Cmp(high) < 0 // from or to nothing is too far, whatever the factor
}

func amountIn(p *Price) *decimal.Decimal {
	if p == nil {
		return nil
	}
	return &p.Amount
}

func sameAmount(x, y *Price) bool {
	if x == nil || y == nil {
		return x == y
	}
	return x.Amount.Equal(y.Amount)
}

// standing are the prices of one currency and quantity.
type standing struct{ byHand, derived []spanned }

func standingOf(prices []Price) (s standing) {
	for i := range prices {
		x := &prices[i]
		if p := (spanned{spanOf(x.ValidFrom, x.ValidTo), x}); len(x.Rules) == 0 {
			s.byHand = append(s.byHand, p)
		} else {
			s.derived = append(s.derived, p)
		}
	}
	return s
}

// InForce is which of the prices of one currency and quantity counts at a moment;
// nil: none.
func InForce(prices []Price, at time.Time) *Price {
	return standingOf(prices).at(at.UnixMicro())
}

func (s standing) at(t int64) *Price {
	if p := at(s.byHand, t); p != nil {
		return p
	}
	return at(s.derived, t)
}
