package jobs_test

import (
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/webhook/webhooktest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ticketed publishes one product on a channel that answers pending for ever,
// and has its ticket asked for in an hour only.
func ticketed(r *road) (*webhooktest.Server, []pim.SKU) {
	r.Helper()
	fake := r.channel("market", webhooktest.Options{Async: &webhooktest.Async{Polls: 1 << 30}}, nil)
	r.work()
	sku := skus(1)
	r.put(sku, title("A"))
	r.until(func() bool { // not due: no step has it in hand
		tag, err := r.store.Pool().Exec(r.ctx, `update listing set due_at = now() + interval '1 hour' where token is not null and lane = 1 and due_at > now()`)
		return err == nil && tag.RowsAffected() == 1
	})
	return fake, sku
}

// What is wanted while a ticket is out waits for the ticket's end, and does
// not have it asked for any sooner.
func TestEditWaitsForTheTicket(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake, sku := ticketed(r)
	for _, text := range []string{"B", "C"} {
		r.put(sku, title("%s", text))
		r.fannedOut()
	}
	r.put([]pim.SKU{"OTHER"}, title("A")) // once this one is sent, a step has looked at all there is
	r.until(func() bool { return r.listing("market", "OTHER", pim.Content).State == pim.StatePending })
	if got := r.listing("market", sku[0], pim.Content); got.State != pim.StatePending || len(fake.History(sku[0], pim.Content)) != 1 {
		t.Errorf("sent again before its ticket ended: %+v", got)
	}
	var early int
	if err := r.store.Pool().QueryRow(r.ctx, `select count(*) from listing l join product p on p.id = l.product_id
		where p.sku = $1 and l.lane = 1 and l.due_at < now() + interval '30 minutes'`, sku[0]).Scan(&early); err != nil || early != 0 {
		t.Error("an edit has its ticket asked for out of turn", err)
	}
	fake.Process()
	if _, err := r.store.Pool().Exec(r.ctx, `update listing set due_at = now() where token is not null`); err != nil {
		t.Fatal(err)
	}
	r.until(func() bool { fake.Process(); return r.busy("market") == 0 })
	if got := name(fake, sku[0]); got != "C" {
		t.Errorf("%q", got)
	}
	if n := len(fake.History(sku[0], pim.Content)); n != 4 { // taken and done, twice
		t.Errorf("%d entries: B, which C replaced while the ticket was out, was sent too", n)
	}
}

// A ticket of which nothing is heard for a day is lost: the newest revision is
// sent, and people are told.
func TestOldTicketIsLost(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	fake, sku := ticketed(r)
	r.put(sku, title("B"))
	r.fannedOut()
	if _, err := r.store.Pool().Exec(r.ctx, `update listing set sent_at = sent_at - interval '25 hours', due_at = now() where token is not null`); err != nil {
		t.Fatal(err)
	}
	r.wait(fake, func(s webhooktest.State) bool { return s.Counts().Received == 2 })
	r.until(func() bool { return r.listing("market", sku[0], pim.Content).State == pim.StatePending })
	got := r.listing("market", sku[0], pim.Content)
	if len(got.Issues) != 1 || got.Issues[0].Code != postgres.TicketLost || got.Issues[0].Severity != pim.SeverityWarning || got.Receipt.Verdict != string(connectors.Pending) {
		t.Errorf("with its second ticket out, people are not told of the first: %+v", got)
	}
	if n := fake.Process(); n != 2 {
		t.Fatal(n, "tickets")
	}
	r.until(func() bool { fake.Process(); return r.busy("market") == 0 }) // in doubt: confirmed after the settle time
	if got := name(fake, sku[0]); got != "B" {
		t.Errorf("%q", got)
	}
	if got := r.listing("market", sku[0], pim.Content); got.State != pim.StateAccepted || len(got.Issues) != 0 || got.Error != "" {
		t.Errorf("%+v", got)
	}
}
