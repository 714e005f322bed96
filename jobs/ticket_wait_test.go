package jobs

import (
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A ticket is asked for more and more seldom, unless its target says when.
func TestTicketsAreAskedForMoreSeldomWithAge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	r := &round{now: now, elapsed: func() time.Duration { return 0 }}
	last := time.Duration(0)
	for _, age := range []time.Duration{0, time.Second, time.Minute, time.Hour, 20 * time.Hour} {
		sent := now.Add(-age)
		k := &task{Claimed: &postgres.Claimed{Token: "t", SentAt: &sent}, lane: pim.Content}
		wait := r.pollWait(k)
		if wait < max(last, pollEvery) || wait > pollMost {
			t.Errorf("after %s it waits %s, before %s", age, wait, last)
		}
		last = wait
		if o := r.polled(k, connectors.Result{Status: connectors.Pending, Token: "t", After: 7 * time.Second}, wait); o.After != 7*time.Second || !o.Again {
			t.Errorf("the target's own pace is not kept: %+v", o)
		}
		if o := r.polled(k, connectors.Result{Status: connectors.Pending, Token: "t"}, wait); o.After != wait {
			t.Errorf("it waits %s, not %s", o.After, wait)
		}
	}
	if last != pollMost {
		t.Errorf("an old ticket waits %s", last)
	}
}
