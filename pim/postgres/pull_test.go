package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// What was pulled is stored with where to go on, or not at all: a holder that
// lost its lease stores neither, so that nothing old comes over something new.
func TestPulledUnderALease(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.do(thing("A", Put, `{}`))
	c := h.channel("erp")
	if _, err := h.Pull(h.ctx, c.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a channel that is not read: %v", err)
	}
	c.Pulls = true
	c, err := h.UpdateChannel(h.ctx, *c)
	if err != nil || c.Pull == nil {
		t.Fatal(err, c)
	}
	consumer := Consumer{Kind: Pull, Channel: c.ID}
	old := h.lease(consumer)
	rows := func(amount string) []pim.PriceRow { return []pim.PriceRow{price("A", "EUR", amount)} }
	if n, err := h.Pulled(h.ctx, old, "erp", "1", time.Hour, rows("1"), []pim.StockRow{stock("A", 5)}); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	h.exec(`update consumer set lease_until = now() - interval '1 s' where kind = 'pull'`)
	if gone, err := h.Expire(h.ctx); err != nil || len(gone) != 1 {
		t.Fatal(gone, err)
	}
	heir := h.lease(consumer)
	if n, err := h.Pulled(h.ctx, heir, "erp", "3", time.Hour, rows("3"), nil); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if _, err := h.Pulled(h.ctx, old, "erp", "2", 0, rows("2"), nil); !errors.Is(err, ErrFenced) {
		t.Errorf("a lost lease stored rows: %v", err)
	}
	if err := h.PullFailed(h.ctx, old, due(h, c.ID), "late", 0); err != nil {
		t.Fatal(err)
	}
	state, err := h.Pull(h.ctx, c.ID)
	if p := h.product("A"); err != nil || state.Cursor != "3" || state.Fails != 0 || state.In < 59*time.Minute || p.Prices[0].Amount.String() != "3" || p.Stock[0].OnHand != 5 {
		t.Errorf("%+v, %+v %+v (%v)", state, p.Prices, p.Stock, err)
	}

	// A call makes it due at once; what cannot be read waits.
	if err := h.Hooked(h.ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	if state, err = h.Pull(h.ctx, c.ID); err != nil || state.In > 0 {
		t.Errorf("%+v (%v)", state, err)
	}
	if err := h.PullFailed(h.ctx, heir, state.Due, "closed\x00", time.Hour); err != nil {
		t.Fatal(err)
	}
	if c, err = h.Channel(h.ctx, "erp"); err != nil || c.Pull.Error != "closed" || c.Pull.Fails != 1 || c.Pull.Rows != 3 || c.Pull.Changed != 3 {
		t.Errorf("%+v (%v)", c.Pull, err)
	}

	// A full resync begins anew, and shuts out who has a page in hand.
	if err := h.ResyncChannel(h.ctx, "erp", true); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Pulled(h.ctx, heir, "erp", "4", 0, rows("4"), nil); !errors.Is(err, ErrFenced) {
		t.Errorf("a page of before: %v", err)
	}
	if state, err = h.Pull(h.ctx, c.ID); err != nil || state.Cursor != "" || state.In > 0 {
		t.Errorf("%+v (%v)", state, err)
	}

	// A connector that reads nothing any more ends it.
	c.Pulls = false
	if c, err = h.UpdateChannel(h.ctx, *c); err != nil || c.Pull != nil {
		t.Errorf("%+v (%v)", c.Pull, err)
	}
}

func due(h *house, c pim.ChannelID) time.Time {
	h.Helper()
	p, err := h.Pull(h.ctx, c)
	if err != nil {
		h.Fatal(err)
	}
	return p.Due
}
