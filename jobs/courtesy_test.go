package jobs_test

import (
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// crowd is a road on which edits come all the time, with products that a channel is
// still to get in bulk, one by one.
func crowd(t *testing.T, most time.Duration, n int) (*road, []pim.SKU) {
	t.Helper()
	r := newRoad(t)
	r.crowded = most
	r.work()
	list := skus(n)
	r.put(list, title("before"))
	r.fannedOut()
	return r, list
}

// claims is when the shop's contents have a drain that has begun.
func (r *road) claims() bool {
	return r.count(`select count(*) from consumer where kind = 'drain' and lane = 1 and not released`) == 1
}

// An edit goes out while bulk of its own channel waits for a turn that never comes,
// also of a product that is among what waits.
func TestEditsPassBulkThatWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	r, list := crowd(t, time.Hour, 4)
	giveBack := r.runner.TakeTurns()
	fake := r.channel("shop", webhooktest.Options{}, serial)
	var order []pim.SKU
	stop := fake.Watch(func(e webhooktest.Entry) { order = append(order, e.SKU) })
	for _, sku := range []pim.SKU{list[3], list[0]} { // what has waited longest is claimed first
		r.until(r.claims)
		r.put([]pim.SKU{sku}, title("after"))
		r.until(func() bool { return name(fake, sku) == "after" })
	}
	giveBack()
	r.settled("shop")
	stop()
	if len(order) < 4 || order[0] != list[3] || order[1] != list[0] {
		t.Errorf("%v were sent", order)
	}
}

// An edit of what was just sent in bulk does not wait for that to have a turn for
// its receipt.
func TestReceiptsWaitForTheirTurnAMomentOnly(t *testing.T) {
	t.Parallel()
	r, list := crowd(t, time.Hour, 1)
	fake := r.channel("shop", webhooktest.Options{}, func(s *jobs.ChannelSpec) {
		s.Batch, s.Concurrency = 1, 1
		paused := false
		s.Enabled = &paused
	})
	fake.Down(webhooktest.Hang)
	if err := r.store.ResumeChannel(r.ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	r.runner.WakeChannel(r.of("shop").ID)
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Hanging == 1 })
	giveBack := r.runner.TakeTurns()
	r.put(list, title("after"))
	r.fannedOut()
	fake.Up()
	r.until(func() bool { return name(fake, list[0]) == "after" })
	giveBack()
	r.settled("shop")
}

// Bulk gets done while edits never cease, and though it never has a turn.
func TestBulkGetsDoneBesideEdits(t *testing.T) {
	t.Parallel()
	r, list := crowd(t, time.Millisecond, 12)
	giveBack := r.runner.TakeTurns()
	fake := r.channel("shop", webhooktest.Options{}, serial)
	r.settled("shop")
	giveBack()
	if n := len(fake.Listings(pim.Content)); n != len(list) {
		t.Errorf("%d of %d arrived", n, len(list))
	}
}

// While a channel's marking rests, for there are edits, these are fanned out at once,
// however many there are.
func TestChangesDoNotRestWithMarking(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.put(skus(50), title("A"))
	r.channel("shop", webhooktest.Options{}, nil)
	fan, lease := r.fanner(10, time.Hour)
	fan.Crowded()
	for step := range 5 { // the first of which marks, and has marking rest
		if goes, err := fan.Goes(r.ctx, lease); err != nil || !goes {
			t.Fatalf("after step %d, with changes that wait: %t, %v", step, goes, err)
		}
	}
	road, err := r.store.RoadStats(r.ctx)
	if err != nil || road.Outbox != 0 {
		t.Errorf("%d changes are left (%v)", road.Outbox, err)
	}
}

// Tickets of what was sent in bulk are asked for without a turn: of a lane that sends
// one by one they else would be claimed, and left for an edit, for ever.
func TestTicketsTakeNoTurns(t *testing.T) {
	t.Parallel()
	r, _ := crowd(t, time.Hour, 1)
	fake := r.channel("market", webhooktest.Options{Async: &webhooktest.Async{Polls: 1 << 30}}, serial)
	r.until(func() bool { // not due: no step has it in hand
		tag, err := r.store.Pool().Exec(r.ctx, `update listing set due_at = now() + interval '1 hour' where token is not null and lane = 1 and due_at > now()`)
		return err == nil && tag.RowsAffected() == 1
	})
	giveBack := r.runner.TakeTurns()
	defer giveBack()
	polls := fake.Counts().Polls
	r.exec(`update listing set due_at = now() - interval '1 hour' where token is not null`)
	r.put([]pim.SKU{"OTHER"}, title("A"))
	r.until(func() bool { return r.listing("market", "OTHER", pim.Content).State == pim.StatePending })
	r.until(func() bool { return fake.Counts().Polls > polls })
}
