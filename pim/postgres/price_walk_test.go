package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// walked is a house in which whatever changes of rules is walked over, with n products
// of a price each.
func walked(t *testing.T, n int) *house {
	t.Helper()
	h := newHouse(t)
	h.fewDerived = 0
	h.list(pim.PriceList{Code: "dealer"})
	for i := range n {
		sku := pim.SKU(fmt.Sprint("P", i))
		h.do(thing(sku, Put, `{}`))
		h.set(price(sku, "EUR", "10"))
	}
	return h
}

// derivesOn gives the lease back, and works all off.
func (h *house) derivesOn() {
	h.Helper()
	h.exec(`update consumer set released = true where kind = 'derive'`)
	h.deriveAll()
}

func (h *house) walks(l Lease, most int, changed int64, again bool) {
	h.Helper()
	n, more, err := h.WalkPrices(h.ctx, l, most)
	if err != nil || n != changed || more != again {
		h.Errorf("a step changed %d products, more %v: %v; want %d, %v", n, more, err, changed, again)
	}
}

// What a rule is for is walked over in steps, and once more from the beginning where the
// rule changes meanwhile.
func TestRulesAreWalked(t *testing.T) {
	t.Parallel()
	h := walked(t, 5)
	l := h.lease(Consumer{Kind: Derive})
	h.walks(l, 2, 0, false)
	h.rule(`{"code":"r","price_list":"dealer","percent":-10}`)
	if n := h.number(`select count(*) from derive`); n != 0 {
		t.Errorf("%d products are queued", n)
	}
	if n, err := h.DeriveRows(h.ctx); err != nil || n != 5 {
		t.Errorf("%d products to come: %v", n, err)
	}
	due := func() bool {
		t.Helper()
		return h.number(`select count(*) from consumer k where kind = 'derive' and `+dueWhere) == 1
	}
	if n, err := h.Behind(h.ctx); err != nil || n != 1 || !due() {
		t.Errorf("%d things to do, due %v: %v", n, due(), err)
	}
	h.walks(l, 2, 2, true)
	h.wantPrices("P1", "dealer EUR 9.00 r", "default EUR 10")
	h.wantPrices("P2", "default EUR 10")
	h.rule(`{"code":"r","price_list":"dealer","percent":-20}`)
	h.walks(l, 2, 2, true)
	h.wantPrices("P1", "dealer EUR 8.00 r", "default EUR 10")
	h.walks(l, 3, 3, true) // as many as could be: there may be more
	h.walks(l, 3, 0, true)
	h.walks(l, 3, 0, false)
	h.wantPrices("P4", "dealer EUR 8.00 r", "default EUR 10")
	if due() {
		t.Error("there is something to do yet")
	}
}

// Who derives for a rule that is being changed waits for the change.
func TestWalkWaitsForTheRule(t *testing.T) {
	t.Parallel()
	h := walked(t, 2)
	l := h.lease(Consumer{Kind: Derive})
	h.rule(`{"code":"r","price_list":"dealer","percent":-10}`)
	tx := h.begin()
	if _, err := tx.Exec(h.ctx, `update price_rule set definition = definition || '{"percent":"-50"}'`); err != nil {
		t.Fatal(err)
	}
	if err := h.derivePricesOf(h.ctx, tx, []pim.PriceRule{{}}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := h.WalkPrices(h.ctx, l, 2)
		done <- err
	}()
	h.blocked(1)
	if err := tx.Commit(h.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h.wantPrices("P0", "dealer EUR 5.00 r", "default EUR 10")
	h.derivesOn()
	h.wantPrices("P1", "dealer EUR 5.00 r", "default EUR 10")
}

// A scope has its own walk, and few products of one do not wait for it.
func TestWalksHaveScopes(t *testing.T) {
	t.Parallel()
	h := walked(t, 4)
	h.fewDerived = 1
	l := h.lease(Consumer{Kind: Derive})
	h.rule(`{"code":"some","price_list":"dealer","percent":-10,"skus":["P1","P3"]}`)
	h.walks(l, 1, 1, true)
	h.walks(l, 1, 1, true)
	h.wantPrices("P1", "dealer EUR 9.00 some", "default EUR 10")
	h.wantPrices("P2", "default EUR 10")
	h.wantPrices("P3", "dealer EUR 9.00 some", "default EUR 10")
	h.rule(`{"code":"one","price_list":"dealer","percent":-20,"skus":["P2"]}`)
	if n := h.number(`select count(*) + 10 * (select count(*) from price_walk) from derive`); n != 21 {
		t.Errorf("%d products and 10 times walks", n)
	}
	h.derivesOn()
	h.wantPrices("P0", "default EUR 10")
	h.wantPrices("P2", "dealer EUR 8.00 one", "default EUR 10")

	h.fewDerived = 0
	h.rule(`{"code":"some","price_list":"dealer","percent":-10,"families":["thing"],"skus":["P1"]}`)
	h.rule(`{"code":"some","price_list":"dealer","percent":-15,"families":["thing"],"skus":["P1"]}`)
	if n := h.number(`select count(*) from price_walk`); n != 2 { // of what it was for, and of what it is
		t.Errorf("%d walks", n)
	}
	if _, _, err := h.WalkPrices(h.ctx, l, 10); !errors.Is(err, ErrFenced) {
		t.Error(err)
	}
	h.derivesOn()
	h.wantPrices("P1", "dealer EUR 8.50 some", "default EUR 10")
	h.wantPrices("P3", "default EUR 10")
}

// What an edit brings into a rule's scope while the rule is being changed, and what is
// derived before it is there, is derived by it all the same.
func TestComesIntoTheScopeMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.list(pim.PriceList{Code: "dealer"})
	h.do(thing("P", Put, `{}`))
	h.set(price("P", "EUR", "10"))
	h.deriveAll()
	rule := pim.PriceRule{Code: "sale", PriceList: "dealer", Percent: "-10", Categories: []string{"sale"}}
	err := h.reprice(h.ctx, func(tx pgx.Tx, schema *pim.Schema) (*pim.Schema, error) {
		if _, err := tx.Exec(h.ctx, sqlPutPriceRule, pgx.NamedArgs{"code": rule.Code, "definition": mustJSON(rule)}); err != nil {
			return nil, err
		}
		if err := h.derivePricesOf(h.ctx, tx, []pim.PriceRule{rule}); err != nil {
			return nil, err
		}
		h.do(Edit{SKU: "P", Mode: Patch, Categories: &rule.Categories})
		h.deriveAll()
		return withRules(schema), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.deriveAll()
	h.wantPrices("P", "dealer EUR 9.00 sale", "default EUR 10")
}
