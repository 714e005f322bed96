package jobs_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
)

// What was acknowledged survives the database's immediate end: edits, prices
// and stock, with their events and outbox rows.
func TestAcknowledgedIsDurable(t *testing.T) {
	t.Parallel()
	server := dbtest.Durable(t)
	r := roadAt(t, server.DSN())
	fake := r.channel("shop", webhooktest.Options{}, nil)
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				sku := pim.SKU(fmt.Sprintf("W%d-%02d", w, i))
				r.put([]pim.SKU{sku}, title("kept"))
				r.offer(sku, "1", 1)
			}
		})
	}
	wg.Wait()
	r.offer("W0-00", "2", 0)
	server.Kill()
	if err := server.Restart(r.ctx); err != nil {
		t.Fatal(err)
	}
	r.until(func() bool { return r.store.Ping(r.ctx) == nil })
	r.store.WorkPool().Reset() // its connections died with the server
	live, _, err := r.store.CountProducts(r.ctx)
	if err != nil || live != writers*each {
		t.Fatalf("%d products of %d survived (%v)", live, writers*each, err)
	}
	if p, err := r.store.Product(r.ctx, "W0-00"); err != nil || p.Stock[0].OnHand != 0 || p.Prices[0].Amount.String() != "2" {
		t.Fatalf("%+v %v", p, err)
	}
	r.work()
	r.settled("shop")
	if n := len(fake.Listings(pim.Offer)); n != writers*each {
		t.Errorf("%d offers arrived", n)
	}
}

// A holder whose lease was taken away writes nothing any more, and its
// successor knows that it cannot be sure.
func TestFence(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.channel("shop", webhooktest.Options{}, nil)
	r.put(skus(2), title("A"))
	channel, err := r.store.Channel(r.ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	fanout, err := r.store.Take(r.ctx, postgres.Consumer{Kind: postgres.Fanout}, 0, "old", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := r.store.FanOut(r.ctx, fanout, 10); err != nil || m.Taken != 2 {
		t.Fatal(m, err)
	}
	c := postgres.Consumer{Kind: postgres.Drain, Channel: channel.ID, Lane: pim.Content}
	old, err := r.store.Take(r.ctx, c, 0, "old", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.Take(r.ctx, c, 0, "another", time.Minute); !errors.Is(err, postgres.ErrFenced) {
		t.Errorf("two hold it: %v", err)
	}
	claim, err := r.store.Claim(r.ctx, old, postgres.ClaimOptions{Limit: 10, Texts: true, Offers: true})
	if err != nil || len(claim.Items) != 2 {
		t.Fatal(claim, err)
	}
	if _, err := r.store.Pool().Exec(r.ctx, `update consumer set lease_until = now() - interval '1 second' where not released`); err != nil {
		t.Fatal(err)
	}
	if gone, err := r.store.Expire(r.ctx); err != nil || len(gone) != 2 {
		t.Fatal(gone, err)
	}
	outcome := postgres.Outcome{Product: claim.Items[0].Product, Want: claim.Items[0].Want, Ack: true, Rev: 1, Hash: []byte("old"), Heard: true, Verdict: "live"}
	if _, _, err := r.store.Receive(r.ctx, old, []postgres.Outcome{outcome}); !errors.Is(err, postgres.ErrFenced) {
		t.Errorf("the old holder's receipt: %v", err)
	}
	if _, err := r.store.Claim(r.ctx, old, postgres.ClaimOptions{Limit: 10}); !errors.Is(err, postgres.ErrFenced) {
		t.Errorf("the old holder's claim: %v", err)
	}
	if err := r.store.Renew(r.ctx, old, time.Minute); !errors.Is(err, postgres.ErrFenced) {
		t.Errorf("the old holder's renewal: %v", err)
	}
	r.put(skus(1), title("B"))
	if _, err := r.store.FanOut(r.ctx, fanout, 10); !errors.Is(err, postgres.ErrFenced) {
		t.Errorf("the old holder's fan-out: %v", err)
	}
	if _, err := r.store.Take(r.ctx, c, 0, "late", time.Minute); !errors.Is(err, postgres.ErrFenced) {
		t.Errorf("a job of the old generation: %v", err)
	}
	now, err := r.store.Take(r.ctx, c, 1, "new", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	claim, err = r.store.Claim(r.ctx, now, postgres.ClaimOptions{Limit: 10, Texts: true})
	if err != nil || len(claim.Items) != 2 {
		t.Fatal(claim, err)
	}
	for _, i := range claim.Items {
		if !i.Unsure {
			t.Errorf("%s is not in doubt though its holder vanished", i.SKU)
		}
	}
}

// A row that fan-out cannot digest is set aside, and the others go on.
func TestPoisonDoesNotStopFanout(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	// A product's listing that cannot be written: the database refuses it.
	const poison = `
create function refuse() returns trigger language plpgsql as $$
begin
    if new.product_id = (select id from product where sku = 'SKU-0005') then raise exception 'poison'; end if;
    return new;
end $$;
create trigger refuse before insert or update on listing for each row execute function refuse()`
	if _, err := r.store.Pool().Exec(r.ctx, poison); err != nil {
		t.Fatal(err)
	}
	r.work()
	r.until(func() bool { c, err := r.store.Channel(r.ctx, "shop"); return err == nil && !c.Marking })
	r.put(skus(9), title("A"))
	for _, sku := range skus(9) {
		if sku != "SKU-0005" {
			r.holds(fake, sku, "A")
		}
	}
	road, err := r.store.RoadStats(r.ctx)
	if err != nil || road.Poisoned != 1 || road.Outbox != 0 {
		t.Errorf("%+v %v", road, err)
	}
}

// A process that dies when River has given it a job, and the job has not taken
// its lease yet, leaves a job that holds the key, and no lease that runs out:
// somebody else takes over even so.
func TestDeathBeforeTheTake(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake := r.channel("shop", webhooktest.Options{}, nil)
	r.work()()
	r.put(skus(1), title("A"))
	if err := r.runner.WakeNow(r.ctx, postgres.Consumer{Kind: postgres.Fanout}, postgres.Consumer{Kind: postgres.Drain, Channel: 1, Lane: pim.Content}); err != nil {
		t.Fatal(err)
	}
	tag, err := r.store.Pool().Exec(r.ctx, `update river_job set state = 'running', attempt = 1, attempted_at = now(), attempted_by = array['dead']
		where state = 'available' and kind in ('fanout', 'drain')`)
	if err != nil || tag.RowsAffected() < 2 {
		t.Fatal(tag, err)
	}
	r.lease, r.sweep = 2*time.Second, 200*time.Millisecond
	r.work()
	r.settled("shop")
	if got := name(fake, "SKU-0001"); got != "A" {
		t.Errorf("%q", got)
	}
}
