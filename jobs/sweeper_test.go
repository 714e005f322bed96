package jobs_test

import (
	"context"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
)

// However long it takes to throw old rows away: what nobody was woken for is
// found meanwhile.
func TestSweepDoesNotWaitForTidying(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	r.sweep, r.tidy = 100*time.Millisecond, time.Millisecond
	r.channel("shop", webhooktest.Options{}, nil)
	tx, err := r.store.Pool().Begin(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(r.ctx, `set local idle_in_transaction_session_timeout = 0; lock table idempotency in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	stop := r.work()
	r.store.SetNudge(func() {})
	r.settled("shop") // fan-out was there, for the new channel
	waits := func() (since time.Time) {
		const sql = `select coalesce(max(waitstart), 'epoch') from pg_locks
			where relation = 'idempotency'::regclass and not granted and database = (select oid from pg_database where datname = current_database())`
		r.until(func() bool {
			if err := r.store.Pool().QueryRow(r.ctx, sql).Scan(&since); err != nil {
				t.Fatal(err)
			}
			return since.Unix() > 0
		})
		return since
	}
	// A statement has a bound, after which it is tried again: only what happens
	// within one of them proves anything.
	for round := 0; ; round++ {
		r.until(func() (idle bool) {
			if err := r.store.Pool().QueryRow(r.ctx, `select bool_and(released) from consumer where kind = 'fanout'`).Scan(&idle); err != nil {
				t.Fatal(err)
			}
			return idle
		})
		since := waits()
		r.put(skus(1), title("%d", round))
		r.settled("shop")
		if waits().Equal(since) {
			break
		}
	}
	stop() // does not wait for it either
}
