package postgres

import (
	"testing"
	"time"
)

// What was found out by settings that have been changed meanwhile says nothing of the
// target that the new ones name: it neither opens the breaker, nor keeps the channel
// from sending or reading, nor stays as its error.
func TestOldSettingsCountForNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	c.Pulls = true
	c, err := h.UpdateChannel(h.ctx, *c)
	if err != nil {
		t.Fatal(err)
	}
	c.Pulls = true
	pull, reading := h.lease(Consumer{Kind: Pull, Channel: c.ID}), h.lease(Consumer{Kind: Reconcile, Channel: c.ID})
	was, err := h.Pull(h.ctx, c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.PullFailed(h.ctx, pull, was.Due, "refused", 0); err != nil {
		t.Fatal(err)
	}
	if was, err = h.Pull(h.ctx, c.ID); err != nil || was.Fails != 1 {
		t.Fatalf("%+v, %v", was, err)
	}
	read, err := h.Reconciling(h.ctx, c.ID)
	if err != nil {
		t.Fatal(err)
	}

	hold := h.begin()
	if _, err := hold.Exec(h.ctx, `select from channel for update`); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 3)
	other := *c
	other.Batch++
	go func() {
		_, err := h.UpdateChannel(h.ctx, other)
		done <- err
	}()
	h.blocked(1)
	go func() {
		_, err := h.ChannelFailed(h.ctx, c.ID, c.Version, "refused", true, time.Hour)
		done <- err
	}()
	h.blocked(2)
	go func() { done <- h.ChannelThrottled(h.ctx, c.ID, c.Version, "slow down", time.Hour) }()
	h.blocked(3)
	if err := hold.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := h.PullFailed(h.ctx, pull, was.Due, "refused", time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := h.ReconcileRests(h.ctx, reading, read.Wakes, time.Hour, "refused"); err != nil {
		t.Fatal(err)
	}

	now, err := h.Channel(h.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	if now.Version != c.Version+1 || now.Fails != 0 || now.NextProbeAt != nil || now.ThrottledUntil != nil || now.Hold != "" || now.LastError != "" {
		t.Errorf("the channel is %+v", now)
	}
	if now.Pull == nil || now.Pull.Fails != 0 || now.Pull.Error != "" {
		t.Errorf("its reading of prices and stock: %+v", now.Pull)
	}
	if p, err := h.Pull(h.ctx, c.ID); err != nil || p.In > 0 {
		t.Errorf("it is read in %s: %v", p.In, err)
	}
	if st, err := h.ReconcileStatus(h.ctx, "shop"); err != nil || st.Fails != 0 || st.Error != "" {
		t.Errorf("its reading back: %+v, %v", st, err)
	}
	if r, err := h.Reconciling(h.ctx, c.ID); err != nil || r.In > 0 {
		t.Errorf("it is read back in %s: %v", r.In, err)
	}
}
