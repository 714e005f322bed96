package postgres

import (
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// near allows for what time passes between two statements of a slow machine.
func near(got, want time.Duration) bool { return got <= want && got > want-5*time.Minute }

func TestGrantKeepsTheRate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	ask := GrantRequest{Channel: c.ID, N: 1, Rate: 0.0001, Burst: 3, Wait: 15000 * time.Second, Day: time.Now(), Rises: time.Now().Add(time.Hour)}
	for i, want := range []time.Duration{0, 0, 0, 10000 * time.Second} {
		g, err := h.Grant(h.ctx, ask)
		if err != nil || g.N != 1 || want == 0 && g.In != 0 || want > 0 && !near(g.In, want) {
			t.Fatalf("request %d: %+v, %v; want it in %v", i+1, g, err, want)
		}
	}
	g, err := h.Grant(h.ctx, ask)
	if err != nil || g.N != 0 || g.Hold != HoldRate || !near(g.In, 20000*time.Second) {
		t.Errorf("what would wait for too long: %+v, %v", g, err)
	}
	// A throttle halves the rate.
	if err := h.ChannelThrottled(h.ctx, c.ID, c.Version, "too fast", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	ask.Wait = time.Hour * 24
	before, err := h.Grant(h.ctx, ask)
	if err != nil || before.N != 1 {
		t.Fatal(before, err)
	}
	after, err := h.Grant(h.ctx, ask)
	if step := after.In - before.In; err != nil || !near(step, 20000*time.Second) {
		t.Errorf("requests are %v apart at half of the rate: %v", step, err)
	}
	if err := h.ChannelWell(h.ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	if before, err = h.Grant(h.ctx, ask); err != nil {
		t.Fatal(err)
	}
	after, err = h.Grant(h.ctx, ask)
	if step := after.In - before.In; err != nil || !near(step, 16667*time.Second) {
		t.Errorf("after a success they are %v apart: %v", step, err)
	}
}

func TestGrantKeepsTheQuota(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.channel("shop")
	today := time.Now().Truncate(time.Hour)
	ask := GrantRequest{Channel: c.ID, N: 5, Quota: 100, Day: today, Rises: time.Now().Add(2 * time.Hour)}
	// Many at once are granted no more than there is.
	var (
		mu      sync.Mutex
		granted int
		wg      sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			for {
				g, err := h.Grant(h.ctx, ask)
				if err != nil {
					t.Error(err)
				}
				if err != nil || g.N == 0 {
					return
				}
				mu.Lock()
				granted += g.N
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if granted != 100 {
		t.Fatalf("%d were granted of 100", granted)
	}
	g, err := h.Grant(h.ctx, ask)
	if err != nil || g.N != 0 || g.Hold != HoldQuota || !near(g.In, 2*time.Hour) {
		t.Errorf("after the last: %+v, %v", g, err)
	}
	ask.Quota, ask.N = 103, 5
	if g, err = h.Grant(h.ctx, ask); err != nil || g.N != 3 {
		t.Errorf("of a lane with more of it: %+v, %v", g, err)
	}
	// A process whose clock is behind begins no new day, nor does it end one.
	for _, day := range []time.Time{today.Add(-24 * time.Hour), today} {
		ask.Day = day
		if g, err = h.Grant(h.ctx, ask); err != nil || g.N != 0 {
			t.Errorf("on %v: %+v, %v", day, g, err)
		}
	}
	ask.Day = today.Add(24 * time.Hour)
	if g, err = h.Grant(h.ctx, ask); err != nil || g.N != 5 {
		t.Errorf("on the next day: %+v, %v", g, err)
	}
}

// Whatever people change of a channel lets go what its lanes are held for.
func TestChangesLetLanesGo(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*lane) error{
		"settings":       func(l *lane) error { _, err := l.UpdateChannel(l.ctx, *l.channel); return err },
		"another target": func(l *lane) error { c := *l.channel; c.Anew = true; _, err := l.UpdateChannel(l.ctx, c); return err },
		"resync":         func(l *lane) error { return l.ResyncChannel(l.ctx, l.channel.Code, true) },
		"resume":         func(l *lane) error { return l.ResumeChannel(l.ctx, l.channel.Code) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLane(t, pim.Content)
			if err := l.HoldLane(l.ctx, l.drain, l.channel.Version, HoldQuota, time.Hour, true); err != nil {
				t.Fatal(err)
			}
			if err := change(l); err != nil {
				t.Fatal(err)
			}
			if n := l.number(`select count(*) from consumer where wait_until is not null or wait_for is not null or polls_until is not null`); n != 0 {
				t.Errorf("%d lanes are held by what is no more", n)
			}
		})
	}
}

// A lane that is held as the old settings want it, while new ones are on their way
// to be committed, is let go by them.
func TestNewSettingsLetLanesGo(t *testing.T) {
	t.Parallel()
	l := newLane(t, pim.Content)
	h, c := l.house, l.channel
	hold := h.begin()
	if _, err := hold.Exec(h.ctx, `select from channel for update`); err != nil {
		t.Fatal(err)
	}
	updated, held := make(chan error, 1), make(chan error, 1)
	other := *c
	other.Batch++
	go func() {
		_, err := h.UpdateChannel(h.ctx, other)
		updated <- err
	}()
	h.blocked(1) // at the channel: its lanes were let go
	go func() { held <- h.HoldLane(h.ctx, l.drain, c.Version, HoldWindow, time.Hour, true) }()
	for len(held) == 0 && h.number(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) < 2 {
		if h.ctx.Err() != nil {
			t.Fatal("the lane's hold neither ended nor waits")
		}
	}
	if err := hold.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	for _, done := range []chan error{updated, held} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if n := h.number(`select count(*) from consumer where wait_until is not null or wait_for is not null or polls_until is not null`); n != 0 {
		t.Errorf("%d lanes are held by settings that are no more", n)
	}
}
