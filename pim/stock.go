package pim

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Stock is a product's stock level at one location.
type Stock struct {
	Location string `json:"location"`
	OnHand   int64  `json:"on_hand"`
	Reserved int64  `json:"reserved"`
	// SafetyStock is what is never sold of it; nil: the location's.
	SafetyStock *int64 `json:"safety_stock,omitempty"`
}

// StockRow changes one stock level of a product. The plain row is a count: on
// hand and reserved are what its level says. SafetyStock stays where it is nil.
type StockRow struct {
	SKU SKU
	Stock
	// Delta: OnHand and Reserved are added to what is there; both may be below 0.
	Delta bool
	// Resets has the location's safety stock count again.
	Resets bool
	// Message is the sender's own id of the row: the same id again, at the same
	// level, counts for nothing. At most 200 characters; "": none.
	Message string
	Stamp
}

// Location is where stock is. One that is only a code sells all that it has.
type Location struct {
	Code        string            `json:"code"`
	Labels      map[Locale]string `json:"labels,omitempty"`
	Enabled     *bool             `json:"enabled,omitempty" doc:"false: no channel sells what is there. Its levels are kept and changed as ever"`
	SafetyStock int64             `json:"safety_stock,omitempty" minimum:"0" maximum:"1000000000000" doc:"Pieces of each product that are never sold, but of products with a safety stock of their own there"`
}

// On reports whether channels sell from the location.
func (l *Location) On() bool { return l.Enabled == nil || *l.Enabled }

// StockRule is how much of what is free a channel shows. The zero StockRule
// shows all.
type StockRule struct {
	Buffer        int64 `json:"buffer,omitempty" minimum:"0" maximum:"1000000000000" doc:"Pieces that are held back"`
	BufferPercent int64 `json:"buffer_percent,omitempty" minimum:"0" maximum:"100" doc:"Share of what is free that is held back, rounded up to whole pieces. With buffer, the larger of the two is"`
	Cap           int64 `json:"cap,omitempty" minimum:"0" maximum:"1000000000000" doc:"The most that is shown; left out: all"`
}

// Sale is what a channel shows of a product's stock, and what that is made of.
type Sale struct {
	OnHand   int64 `json:"on_hand" doc:"At the locations that count"`
	Reserved int64 `json:"reserved"`
	Free     int64 `json:"free" doc:"Of each location on hand less reserved and safety stock, never below 0; of all together"`
	HeldBack int64 `json:"held_back" doc:"By the channel's buffer"`
	Shown    int64 `json:"available" doc:"What the channel shows: what is free less what is held back, not more than its cap"`
}

// Sells is what a channel shows of a product with these levels; false: nobody
// keeps the product's stock. locations are the channel's; none: all count. What is
// kept, but at none of them, is a stock of 0. The functions stock_free and stock_shown of
// the database say the same.
func (s *Schema) Sells(levels []Stock, locations []string, rule StockRule) (Sale, bool) {
	var out Sale
	for i := range levels {
		l := &levels[i]
		place, special := s.Places[l.Location]
		if special && !place.On() || len(locations) > 0 && !slices.Contains(locations, l.Location) {
			continue
		}
		safety := place.SafetyStock
		if l.SafetyStock != nil {
			safety = *l.SafetyStock
		}
		out.OnHand = addPieces(out.OnHand, l.OnHand)
		out.Reserved = addPieces(out.Reserved, l.Reserved)
		out.Free = addPieces(out.Free, max(0, addPieces(addPieces(l.OnHand, -l.Reserved), -safety)))
	}
	out.HeldBack = min(out.Free, rule.holdsBack(out.Free))
	out.Shown = out.Free - out.HeldBack
	if rule.Cap > 0 {
		out.Shown = min(out.Shown, rule.Cap)
	}
	return out, len(levels) > 0
}

// holdsBack is what the rule holds back of so many pieces. Hundreds and the rest
// are reckoned apart, so that nothing runs over.
func (r StockRule) holdsBack(free int64) int64 {
	return max(r.Buffer, free/100*r.BufferPercent+(free%100*r.BufferPercent+99)/100)
}

// addPieces adds without running over.
func addPieces(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// Bounds of stock.
const (
	maxStock = 1_000_000_000_000
	// maxMessage is how long a sender's id of a row may be, in characters.
	maxMessage = 200
)

// CheckStock checks a stock level against the schema, and gives every problem
// with a pointer into the level's JSON. On hand may be below 0,
// as ERPs report it when more was sold than counted; reserved may not. Both are
// at most 10^12.
func (s *Schema) CheckStock(st Stock) []Problem {
	return s.CheckStockRow(StockRow{Stock: st}, time.Time{})
}

// CheckStockRow checks a row as CheckStock does a level; now is our clock.
func (s *Schema) CheckStockRow(r StockRow, now time.Time) []Problem {
	var ps problems
	if !s.Locations[r.Location] {
		ps.add("/location", "location.unknown", fmt.Sprintf("location %s is not known", quote(r.Location)))
	}
	onHand, reserved, least := "/on_hand", "/reserved", int64(0)
	if r.Delta {
		onHand, reserved, least = "/delta", "/reserved_delta", -maxStock
	}
	if r.OnHand < -maxStock || r.OnHand > maxStock {
		ps.add(onHand, "stock.range", fmt.Sprintf("it is from -%d to %d", int64(maxStock), int64(maxStock)))
	}
	if r.Reserved < least || r.Reserved > maxStock {
		ps.add(reserved, "stock.range", fmt.Sprintf("it is from %d to %d", least, int64(maxStock)))
	}
	if r.SafetyStock != nil && (*r.SafetyStock < 0 || *r.SafetyStock > maxStock) {
		ps.add("/safety_stock", "stock.range", fmt.Sprintf("safety stock is from 0 to %d", int64(maxStock)))
	}
	if len([]rune(r.Message)) > maxMessage || strings.ContainsRune(r.Message, 0) {
		ps.add("/message_id", "stock.message", fmt.Sprintf("the id of a message has at most %d characters", maxMessage))
	}
	ps.stamp("stock.ahead", r.Stamp, now)
	return ps
}

// CheckLocation checks a location against the schema, and gives every problem
// with a pointer into its JSON.
func (s *Schema) CheckLocation(l *Location) []Problem {
	var ps problems
	if err := ValidCode("location", l.Code); err != nil {
		ps.add("/code", "code", err.Error())
	}
	ps.labels("/labels", l.Labels)
	if l.SafetyStock < 0 || l.SafetyStock > maxStock {
		ps.add("/safety_stock", "stock.range", fmt.Sprintf("safety stock is from 0 to %d", int64(maxStock)))
	}
	return ps
}

// check tells what is wrong with the rule.
func (r StockRule) check(add func(pointer, code, format string, args ...any)) {
	for _, n := range []struct {
		name    string
		v, most int64
	}{{"buffer", r.Buffer, maxStock}, {"buffer_percent", r.BufferPercent, 100}, {"cap", r.Cap, maxStock}} {
		if n.v < 0 || n.v > n.most {
			add("/stock/"+n.name, "limit", "is from 0 to %d", n.most)
		}
	}
}
