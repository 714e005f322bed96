package jobs_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
)

// TestStopLeavesNothing holds a process to what it owes its host: whatever its
// channels went through, its goroutines end with it. It is not parallel, so that
// no other test's are seen.
func TestStopLeavesNothing(t *testing.T) {
	newRoad(t) // the binary's server, which stays
	before := goleak.IgnoreCurrent()
	t.Run("worked", func(t *testing.T) {
		r := newRoad(t)
		fakes := map[string]*webhooktest.Server{}
		for _, code := range []string{"well", "dead", "ill"} {
			fake, err := webhooktest.NewServer("", webhooktest.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := fake.Close(); err != nil {
					t.Error(err)
				}
			})
			fakes[code] = fake
		}
		fakes["dead"].Down(webhooktest.Hang)
		fakes["ill"].Script(webhooktest.Fault{Kind: webhooktest.Garbage, Times: 2}, webhooktest.Fault{Kind: webhooktest.Reset, Times: 2})
		r.channelAt("well", fakes["well"], nil)
		r.channelAt("ill", fakes["ill"], nil)
		r.channelAt("dead", fakes["dead"], func(s *jobs.ChannelSpec) { s.TimeoutSeconds = 0.1 })
		stop := r.work()
		r.put(skus(40), title("first"))
		r.settled("well", "ill")
		r.until(func() bool { // some calls were given up, and another is under way or due
			ch, err := r.store.Channel(r.ctx, "dead")
			return err == nil && ch.NextProbeAt != nil
		})
		stop()
	}) // the store and the targets are closed with it
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); { // what was told to end may take its time
		if err = goleak.Find(before); err == nil {
			return
		}
	}
	t.Error(err)
}
