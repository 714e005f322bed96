package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// HeldPrice is a price that is held, or with Delete the end of one.
type HeldPrice struct {
	ValidFrom *time.Time `json:"valid_from,omitempty" doc:"Inclusive"`
	ValidTo   *time.Time `json:"valid_to,omitempty" doc:"Exclusive"`
	Amount    string     `json:"amount,omitempty"`
	Rules     []string   `json:"rules,omitempty" doc:"The price rules that made it"`
	Derived   bool       `json:"derived,omitempty" doc:"Rules make it, or made what it ends"`
	Delete    bool       `json:"delete,omitempty" doc:"The price goes"`
}

func heldOf(p *pim.Price, gone bool) HeldPrice {
	h := HeldPrice{ValidFrom: p.ValidFrom, ValidTo: p.ValidTo, Delete: gone}
	if !gone {
		h.Amount = p.Amount.String()
	} else {
		h.ValidTo = nil
	}
	return h
}

func (h *HeldPrice) from() string { return timeOr(h.ValidFrom, "-infinity") }

// text is what is equal of rows that say the same, with whatever digits.
func (h *HeldPrice) text() string {
	amount := h.Amount
	if d, err := decimal.Parse(amount); err == nil {
		amount = d.Trim(0).String()
	}
	return fmt.Sprint(h.from(), " ", timeOr(h.ValidTo, "infinity"), " ", amount, " ", h.Rules, h.Derived, h.Delete)
}

func sortHeld(rows []HeldPrice) []HeldPrice {
	slices.SortFunc(rows, func(x, y HeldPrice) int { return cmp.Compare(x.text(), y.text()) })
	return rows
}

func sameHeld(x, y []HeldPrice) bool {
	return slices.EqualFunc(sortHeld(slices.Clone(x)), sortHeld(slices.Clone(y)), func(x, y HeldPrice) bool { return x.text() == y.text() })
}

// priceHeld is what is held of a price.
type priceHeld struct {
	id       int64
	reason   pim.HoldReason
	movesAt  time.Time
	rows     []HeldPrice
	rejected bool
}

// without is what stays held by hand when g's changes take its place.
func (h *priceHeld) without(g *groupPlan) (rows []HeldPrice) {
	if h == nil {
		return nil
	}
	again := map[string]bool{}
	for _, list := range [][]priceChange{g.changes, g.idle} {
		for i := range list {
			again[timeOr(list[i].ValidFrom, "-infinity")] = true
		}
	}
	for _, r := range h.rows {
		if !r.Derived && !again[r.from()] {
			rows = append(rows, r)
		}
	}
	return rows
}

// sameAs reports whether g is, or has, what is held already.
func (h *priceHeld) sameAs(g *groupPlan) bool {
	var derived []HeldPrice
	byHand := map[string]bool{}
	for _, r := range h.rows {
		if r.Derived {
			derived = append(derived, r)
		} else {
			byHand[r.text()] = true
		}
	}
	if len(derived) > 0 && sameHeld(derived, g.derived) {
		return true
	}
	return slices.ContainsFunc(g.changes, func(c priceChange) bool {
		row := heldOf(&c.Price, c.gone)
		return byHand[row.text()]
	})
}

type heldRow struct {
	id      int64
	product int64
	priceGroup
	actor    string
	reason   pim.HoldReason
	at       time.Time
	old, new *string
	prices   []HeldPrice
}

func textOf(d *decimal.Decimal) *string {
	if d == nil {
		return nil
	}
	s := d.String()
	return &s
}

func putArgs(rows []heldRow) named {
	n := len(rows)
	list, currency, actor, reason, prices := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	product, quantity, at, old, new := make([]int64, n), make([]int32, n), make([]time.Time, n), make([]*string, n), make([]*string, n)
	for i, r := range rows {
		list[i], currency[i], actor[i], reason[i], prices[i] = r.list, string(r.currency), r.actor, string(r.reason), string(mustJSON(r.prices))
		product[i], quantity[i], at[i], old[i], new[i] = r.product, int32(r.quantity), r.at, r.old, r.new
	}
	return named{
		"list": list, "product": product, "currency": currency, "quantity": quantity, "actor": actor, "reason": reason, "at": at,
		"old": old, "new": new, "prices": prices,
	}
}
