package postgres

import (
	"testing"
)

// The marking of a channel that waits for a change of its settings begins anew with
// it: what the new settings ask for is not taken for done.
func TestMarkingBesideNewSettings(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	h.do(thing("A", Put, `{}`), thing("B", Put, `{}`), thing("C", Put, `{}`))
	fan := h.lease(Consumer{Kind: Fanout})
	h.fanOut(fan)
	for {
		m, err := h.MarkChannel(h.ctx, fan, 2)
		if err != nil {
			t.Fatal(err)
		}
		if m.Taken == 0 {
			break
		}
	}
	h.exec(`update listing set dirty = false`)
	h.exec(`update channel set mark_after = (select max(id) - 1 from product)`) // a resync, nearly done
	hold := h.begin()
	if _, err := hold.Exec(h.ctx, `select from channel for update`); err != nil {
		t.Fatal(err)
	}
	c.Locale = "de-DE"
	done := make(chan error, 2)
	go func() {
		_, err := h.UpdateChannel(h.ctx, *c)
		done <- err
	}()
	h.blocked(1)
	go func() {
		_, err := h.MarkChannel(h.ctx, fan, 2)
		done <- err
	}()
	h.blocked(2)
	if err := hold.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for {
		m, err := h.MarkChannel(h.ctx, fan, 2)
		if err != nil {
			t.Fatal(err)
		}
		if m.Taken == 0 {
			break
		}
	}
	if n := h.number(`select count(*) from listing where lane = 1 and dirty`); n != 3 {
		t.Errorf("%d of 3 listings are looked at by the new settings", n)
	}
}
