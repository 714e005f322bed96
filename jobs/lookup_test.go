package jobs_test

import (
	"testing"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// A lost answer is settled by asking, where the target can tell: what it holds is
// not sent again.
func TestDoubtIsSettledByLookingUp(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{}, pim.ReconcileOff)
	r.work()
	sku := skus(1)
	fake.Script(webhooktest.Fault{Kind: webhooktest.Lose, Times: 1})
	r.put(sku, title("first"))
	r.settled("shop")
	if n, reads := len(fake.History(sku[0], pim.Content)), fake.Counts().Reads; n != 1 || reads == 0 {
		t.Errorf("it was sent %d times and read %d times", n, reads)
	}
	if l := r.listing("shop", sku[0], pim.Content); l.State != pim.StateAccepted || l.Acked != l.Wanted || l.Error != "" {
		t.Errorf("%+v", l)
	}
}

// What the target does not hold just so is sent, whatever it holds.
func TestDoubtIsNotGuessed(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{}, pim.ReconcileOff)
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.settled("shop")
	// A to B, whose answer is lost, and back to A: the target holds B.
	fake.Script(webhooktest.Fault{Kind: webhooktest.Lose, Times: 1})
	r.put(sku, title("B"))
	if err := fake.Wait(r.ctx, func(s webhooktest.State) bool { return s.Counts().Applied == 2 }); err != nil {
		t.Fatal(err)
	}
	r.put(sku, title("A"))
	r.settled("shop")
	if got := name(fake, sku[0]); got != "A" {
		t.Errorf("the target holds %q", got)
	}
	// The request was never applied, and nobody knows: it is sent.
	fake.Script(webhooktest.Fault{Kind: webhooktest.Reset, Times: 1})
	r.put(sku, title("C"))
	r.settled("shop")
	if got := name(fake, sku[0]); got != "C" {
		t.Errorf("the target holds %q", got)
	}
	// A target that cannot tell at the moment is sent it as ever.
	fake.Script(webhooktest.Fault{Kind: webhooktest.Lose, Times: 1}, webhooktest.Fault{Kind: webhooktest.Fail, Reads: true})
	r.put(sku, title("D"))
	r.settled("shop")
	if got := name(fake, sku[0]); got != "D" {
		t.Errorf("the target holds %q", got)
	}
}

// What the target hides, with just the fields that it is to have, is not what it is
// to be: a look-up does not settle the doubt whether it was shown again.
func TestLookUpFindsItHidden(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{}, "")
	r.update("shop", func(s *jobs.ChannelSpec) { s.Policy.Withdrawal, s.SettleSeconds = pim.WithdrawDisable, 0.05 })
	r.work()
	r.put(skus(1), title("A"))
	r.settled("shop")
	sku := skus(1)[0]
	r.enable(sku, false)
	r.settled("shop")
	if !fake.Hidden(sku) {
		t.Fatal("it is shown")
	}
	reads := fake.Counts().Reads
	fake.Script(webhooktest.Fault{Kind: webhooktest.Fail, Times: 1})
	r.enable(sku, true)
	r.settled("shop")
	if fake.Counts().Reads == reads {
		t.Fatal("nothing was looked up: the test proves nothing")
	}
	if fake.Hidden(sku) {
		t.Error("it is hidden still")
	}
}
