package jobs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestBulkStepsAside: without edits bulk waits for nothing; with them its pieces
// take turns and rest, and a second after the last edit it is at full speed again.
func TestBulkStepsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &courtesy{turns: make(chan struct{}, 1), now: time.Now}
		waited := func(spent time.Duration) (func(), time.Duration) {
			t.Helper()
			began := time.Now()
			done, goes, err := c.turn(t.Context(), spent, time.Hour, time.Hour, func() bool { return true })
			if err != nil || !goes {
				t.Fatal(goes, err)
			}
			return done, time.Since(began)
		}
		for range 3 {
			if _, d := waited(time.Second); d != 0 {
				t.Fatalf("without edits a piece waited %s", d)
			}
		}
		c.heed()
		first, d := waited(10 * time.Millisecond)
		if d != 0 {
			t.Fatalf("the first piece waited %s", d)
		}
		time.AfterFunc(20*time.Millisecond, first)
		second, d := waited(0)
		if want := 20*time.Millisecond + resting*(10+20)*time.Millisecond; d != want {
			t.Fatalf("the second piece waited %s, and not %s for the first and its rest", d, want)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := c.turn(gone, 0, time.Hour, time.Hour, nil); err == nil {
			t.Error("a step whose lease is over got a turn")
		}
		time.AfterFunc(time.Minute, second)
		c.heed()
		<-time.After(time.Minute - time.Millisecond)
		c.heed()
		third, d := waited(0)
		if want := time.Millisecond + restMost; d != want {
			t.Fatalf("after a piece of a minute the next waited %s, and not %s", d, want)
		}
		third()
		<-time.After(heedFor)
		if c.asked() {
			t.Error("bulk still steps aside long after the last edit")
		}
	})
}

// TestBulkWaitsForNothingElse: bulk goes on without a turn when it has waited long
// enough, or nobody edits any more, and leaves its place to who comes before it.
func TestBulkWaitsForNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &courtesy{turns: make(chan struct{}, 1), now: time.Now}
		c.turns <- struct{}{} // for ever
		waits := func(most, every time.Duration, left func() bool) (bool, time.Duration) {
			t.Helper()
			began := time.Now()
			done, goes, err := c.turn(t.Context(), 0, most, every, left)
			if err != nil {
				t.Fatal(err)
			}
			done() // gives no turn back that it had not
			return goes, time.Since(began)
		}
		no := func() bool { return false }
		c.heed()
		if goes, d := waits(400*time.Millisecond, time.Hour, no); !goes || d != 400*time.Millisecond {
			t.Errorf("%t after %s", goes, d)
		}
		c.heed()
		if goes, d := waits(time.Hour, 300*time.Millisecond, no); !goes || d != 1200*time.Millisecond {
			t.Errorf("with nobody at work: %t after %s", goes, d)
		}
		c.heed()
		asked := 0
		goes, d := waits(time.Hour, 100*time.Millisecond, func() bool { asked++; return asked == 3 })
		if goes || d != 300*time.Millisecond {
			t.Errorf("with somebody before it: %t after %s", goes, d)
		}
		c.edited.Store(time.Now().Add(time.Hour).UnixNano())
		if c.asked() {
			t.Error("a clock that was set back by an hour has bulk step aside for that long")
		}
		if len(c.turns) != 1 {
			t.Error("a turn was given back that nobody had taken")
		}
	})
}

// TestPiecesKeepAllSendersBusy: with edits a claim is small, and yet has a call for
// each sender, or one that is as large as the channel wants it.
func TestPiecesKeepAllSendersBusy(t *testing.T) {
	c := newCourtesy()
	for _, tc := range []struct{ limit, batch, senders, free, crowded int }{
		{16, 1, 8, 16, 8},
		{2, 1, 1, 2, 1},
		{800, 100, 4, 800, 100},
		{400, 50, 4, 400, 100},
		{2000, 500, 4, 2000, 500},
	} {
		c.edited.Store(0)
		if n := c.piece(tc.limit, tc.batch, tc.senders); n != tc.free {
			t.Errorf("%+v: %d without edits", tc, n)
		}
		at := time.Now()
		c.now = func() time.Time { return at }
		c.heed()
		if n := c.piece(tc.limit, tc.batch, tc.senders); n != tc.crowded {
			t.Errorf("%+v: %d with edits", tc, n)
		}
	}
}

// TestEditsLeaveBulkBehind: while there are edits claims leave bulk behind them, but
// now and then one takes it along.
func TestEditsLeaveBulkBehind(t *testing.T) {
	c := newCourtesy()
	if c.aside() {
		t.Error("bulk is left behind though nobody edits")
	}
	at := time.Now()
	c.now = func() time.Time { return at }
	c.heed()
	left := 0
	for range 100 * rideOneIn {
		if c.aside() {
			left++
		}
	}
	if left == 0 || left == 100*rideOneIn {
		t.Errorf("bulk is left behind by %d claims of %d", left, 100*rideOneIn)
	}
}
