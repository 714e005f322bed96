package jobs_test

import (
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
)

// A full resync sends everything, though nothing differs.
func TestFullResyncSendsAll(t *testing.T) {
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()
	r.put(skus(5), title("A"))
	r.settled("shop")
	if err := r.store.ResyncChannel(r.ctx, "shop", true); err != nil {
		t.Fatal(err)
	}
	r.settled("shop")
	for i, n := range pushes(fake, skus(5)) {
		if n < 2 || n > 5 { // what the resync found under way is sent once more, and confirmed
			t.Errorf("%s was sent %d times, once and once again wanted", skus(5)[i], n)
		}
	}
}

// However many claims overlap, a lane has as many calls in flight as its
// channel may.
func TestConcurrencyIsTheChannels(t *testing.T) {
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) { s.Batch, s.Concurrency = 1, 2 })
	r.put(skus(200), title("A"))
	fake.Script(webhooktest.Fault{Kind: webhooktest.Hang})
	r.work()
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Hanging == 1 }) // concurrency grows from one
	fake.Script(webhooktest.Fault{Kind: webhooktest.Slow, After: 5 * time.Millisecond, Times: 50}, webhooktest.Fault{Kind: webhooktest.Hang})
	fake.Release()
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Hanging == 2 })
	for range 20 {
		r.busy("shop")                         // a look at the database takes longer than a call more would
		if n := fake.Counts().Hanging; n > 2 { // fewer, when one of them has met its deadline
			t.Errorf("%d calls in flight, 2 allowed", n)
		}
	}
	fake.Up()
	r.settled("shop")
}
