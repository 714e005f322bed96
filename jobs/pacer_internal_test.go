package jobs

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// A process that was stopped while a request waited for its turn does not make
// it when it goes on: another has taken over.
func TestWaitingEndsWithTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := &atomic.Pointer[time.Time]{}
		ctx := context.WithValue(t.Context(), overKey{}, end)
		for in, passes := range map[time.Duration]bool{time.Hour: true, time.Second: false} {
			at := time.Now().Add(in)
			end.Store(&at)
			p := &pacer{rest: time.Now().Add(2 * time.Second)}
			if err := p.pass(ctx, nil, 1, pim.Flow{}); (err == nil) != passes {
				t.Errorf("a lease of %v: %v", in, err)
			}
		}
	})
}

// The time that requests wait for their turn is not taken off a call's.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, cancel := withPatience(t.Context(), 10*time.Second)
		defer cancel()
		child, done := context.WithTimeout(p, time.Hour)
		defer done()
		<-time.After(8 * time.Second)
		one, two := p.pause(), p.pause()
		<-time.After(time.Minute)
		one()
		<-time.After(time.Minute) // the other waits still
		if p.Err() != nil {
			t.Fatal("its time is over while a request waits")
		}
		two()
		if end, ok := child.Deadline(); !ok || time.Until(end) != 2*time.Second {
			t.Errorf("%v are left, want 2 s", time.Until(end))
		}
		<-time.After(2*time.Second + time.Millisecond)
		if !errors.Is(p.Err(), context.DeadlineExceeded) || child.Err() == nil {
			t.Errorf("after its time: %v, %v", p.Err(), child.Err())
		}
	})
}

// A job of a slow channel is over before River would end it, whatever its calls
// wait for: the shift, two steps that overlap it for a moment, and one to its end.
func TestJobsEndByThemselves(t *testing.T) {
	t.Parallel()
	if most := shift + 2*flowFor + stepMost; most >= jobMost || passMost >= stepMost {
		t.Errorf("a job may take %v, River's limit is %v", most, jobMost)
	}
	now := time.Now()
	e := newErrand(errandPush, pim.Content)
	e.until = now.Add(time.Minute)
	for i, c := range []struct{ at, want time.Duration }{{0, waitFirst}, {0, time.Minute}, {50 * time.Second, 10 * time.Second}, {2 * time.Minute, 0}} {
		if got := e.waits(now.Add(c.at)); got != c.want {
			t.Errorf("request %d waits for %v, want %v", i+1, got, c.want)
		}
	}
}
