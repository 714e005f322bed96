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
		c := &courtesy{turns: make(chan struct{}, 1)}
		waited := func(spent time.Duration) (func(), time.Duration) {
			t.Helper()
			began := time.Now()
			done, err := c.turn(t.Context(), spent)
			if err != nil {
				t.Fatal(err)
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
		if _, err := c.turn(gone, 0); err == nil {
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
