package jobs_test

import (
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim/postgres"
)

// fanner is a fan-out by hand with its lease; lease is what its pace is by.
func (r *road) fanner(limit int64, lease time.Duration) (jobs.Fanner, postgres.Lease) {
	r.Helper()
	runner, err := jobs.New(jobs.Config{Store: r.store, Channels: r.channels, Log: r.log, Holder: "test", Lease: lease})
	if err != nil {
		r.Fatal(err)
	}
	l, err := r.store.Take(r.ctx, postgres.Consumer{Kind: postgres.Fanout}, 0, "test", time.Minute)
	if err != nil {
		r.Fatal(err)
	}
	return runner.Fanner(limit), l
}

// A new channel's marking does not wait for the end of a backlog of changes.
func TestMarkingTakesTurnsWithChanges(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.put(skus(200), title("A"))
	r.channel("shop", webhooktest.Options{}, nil)
	fan, lease := r.fanner(10, time.Hour)
	for range 2 { // one that marks them all, and one that finds that these were all
		if err := fan.Step(r.ctx, lease); err != nil {
			t.Fatal(err)
		}
	}
	road, err := r.store.RoadStats(r.ctx)
	if err != nil || road.Outbox == 0 {
		t.Fatal("no backlog is left: the test proves nothing", err)
	}
	if c, err := r.store.Channel(r.ctx, "shop"); err != nil || c.Marking {
		t.Errorf("the new channel waits behind %d changes (%v)", road.Outbox, err)
	}
}

// A statement that took more than its share of the lease is followed by a smaller one.
func TestFanoutKeepsItsPace(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, nil)
	const slow = `
create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.01); return new; end $$;
create trigger slow before insert or update on listing for each row execute function slow()`
	if _, err := r.store.Pool().Exec(r.ctx, slow); err != nil {
		t.Fatal(err)
	}
	fan, lease := r.fanner(32, 100*time.Millisecond)
	r.put(skus(64), title("A"))
	if err := fan.Step(r.ctx, lease); err != nil {
		t.Fatal(err)
	}
	changes, marking := fan.Limits()
	if changes != 16 || marking != 2500 {
		t.Errorf("after steps that were too long, %d changes and %d products are taken", changes, marking)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shares []float64
		want   int
	}{
		{[]float64{1.1}, 50},
		{[]float64{9, 9, 9}, 12},
		{[]float64{9, 9, 9, 9, 9, 9, 9, 9}, 1},
		{[]float64{9, 0.7, 1}, 50},
		{[]float64{9, 9, 0.5}, 50},
		{[]float64{9, 0.1, 0.1, 0.1}, 150},
	} {
		if got := jobs.PaceAfter(100, 150, c.shares...); got != c.want {
			t.Errorf("after %v of the time, %d are taken, want %d", c.shares, got, c.want)
		}
	}
}
