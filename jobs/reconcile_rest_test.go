package jobs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

// What differed was acknowledged again, and cannot be compared: it is passed
// over once, and not looked at again and again.
func TestReconcileRestsFromWhatItCannotCompare(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.readable("shop", webhooktest.Options{}, "")
	r.work()
	sku := skus(1)
	r.put(sku, title("first"))
	r.settled("shop")
	fake.Alter(sku[0], pim.Content, json.RawMessage(`{"sku":"SKU-0001"}`))
	if run := r.reconciled("shop", false); run.Drifted != 1 {
		t.Fatalf("%+v", run)
	}
	r.until(func() bool { return r.resting("shop") })
	passed := func() (at time.Time) {
		s, err := r.store.ReconcileStatus(r.ctx, "shop")
		if err != nil || s.PassedAt == nil {
			t.Fatal(s, err)
		}
		return *s.PassedAt
	}
	before := passed()
	// An error without a doubt leaves it out.
	if _, err := r.store.Pool().Exec(r.ctx, `update listing set acked_at = now(), error = 'parked' where lane = 1`); err != nil {
		t.Fatal(err)
	}
	r.calm("shop")
	r.wakeReconcile("shop")
	r.until(func() bool { return r.resting("shop") })
	if list, l := r.drifts("shop"), r.listing("shop", sku[0], pim.Content); len(list) != 1 || !list[0].LookedAt.After(*l.AckedAt) {
		t.Errorf("%+v, acknowledged at %s", list, l.AckedAt)
	}
	if at := passed(); !at.Equal(before) {
		t.Errorf("nothing could be compared, and it went on at once: %s, was %s", at, before)
	}
}

// A holder that vanished may have sent what was dirty then, and nothing of what
// had been acknowledged before.
func TestReconcileAfterAHolderVanished(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.readable("shop", webhooktest.Options{}, "")
	r.work()
	r.put(skus(2), title("first"))
	r.settled("shop")
	if _, err := r.store.Pool().Exec(r.ctx, `update consumer set unsure_at = now() where kind = 'drain'`); err != nil {
		t.Fatal(err)
	}
	if run := r.reconciled("shop", false); run.Same != 2 || run.LeftOut != 0 {
		t.Errorf("%+v", run)
	}
}

// A lane that may send nothing keeps nobody from reading.
func TestReconcileWhileALaneIsHeld(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.readable("shop", webhooktest.Options{}, "")
	r.work()
	all := skus(2)
	r.put(all, title("first"))
	r.settled("shop")
	if _, err := r.store.Pool().Exec(r.ctx, `update consumer set wait_until = now() + interval '1 hour', wait_for = 'window' where kind = 'drain' and lane = 2`); err != nil {
		t.Fatal(err)
	}
	r.prices(all, "9.90")
	r.until(func() bool {
		return r.count(`select count(*) from listing where lane = 2 and dirty and due_at <= now()`) == 2
	})
	if run := r.reconciled("shop", false); run.Same != 2 {
		t.Errorf("%+v", run)
	}
	if n := r.count(`select count(*) from listing where lane = 2 and dirty`); n != 2 {
		t.Errorf("%d offers wait", n)
	}
}

// The longer there is something to send, the more seldom reading asks.
func TestBehind(t *testing.T) {
	t.Parallel()
	for since, want := range map[time.Duration]time.Duration{0: 2 * time.Second, 10 * time.Second: 2 * time.Second, 5 * time.Minute: 30 * time.Second, 24 * time.Hour: time.Minute} {
		if got := jobs.Behind(since); got != want {
			t.Errorf("after %s it waits %s, want %s", since, got, want)
		}
	}
}
