package jobs_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/jobs"
)

// A full resync sends everything, though nothing differs.
func TestFullResyncSendsAll(t *testing.T) {
	t.Parallel()
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

// A channel that is given another target publishes everything there, also when
// its process dies in the middle of the change.
func TestOtherTargetGetsAll(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, nil)
	stop := r.work()
	r.put(skus(5), title("A"))
	r.settled("shop")
	stop()
	other := webhooktest.Start(r, webhooktest.Options{})
	move := func(ctx context.Context) error {
		config, _ := json.Marshal(map[string]any{"url": other.URL(), "secret": other.Secret(), "status_url": other.StatusURL()})
		_, err := r.channels.Update(ctx, "shop", jobs.ChannelSpec{Locale: "en-GB", Currency: "EUR", Config: config, SettleSeconds: 1}, 0)
		return err
	}
	tx, err := r.store.Pool().Begin(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(r.ctx, `lock table listing in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	ctx, die := context.WithCancel(r.ctx)
	moved := make(chan error, 1)
	go func() { moved <- move(ctx) }()
	r.until(func() bool { // it is done, or waits in the middle
		var waits bool
		err := r.store.WorkPool().QueryRow(r.ctx, `select exists (select from pg_locks where not granted and database = (select oid from pg_database where datname = current_database()))`).Scan(&waits)
		return err != nil || waits || len(moved) == 1
	})
	die()
	again := <-moved != nil
	if err := tx.Rollback(r.ctx); err != nil {
		t.Fatal(err)
	}
	if again {
		if err := move(r.ctx); err != nil {
			t.Fatal(err)
		}
	}
	r.work()
	r.until(func() bool { return r.busy("shop") == 0 })
	for _, sku := range skus(5) {
		if got := name(other, sku); got != "A" {
			t.Fatalf("the new target has %q of %s", got, sku)
		}
	}
}

// However many claims overlap, a lane has as many calls in flight as its
// channel may.
func TestConcurrencyIsTheChannels(t *testing.T) {
	t.Parallel()
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
