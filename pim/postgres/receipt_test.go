package postgres

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// lane is one lane of a channel with one product, A, being drained by hand.
type lane struct {
	*house
	channel    *Channel
	fan, drain Lease
}

func newLane(t testing.TB, l pim.Lane) *lane {
	t.Helper()
	h := newHouse(t)
	c := h.channel("aa")
	h.do(thing("A", Put, `{}`))
	if l == pim.Offer {
		h.stocked("A", 5)
	}
	out := &lane{house: h, channel: c, fan: h.lease(Consumer{Kind: Fanout}), drain: h.lease(Consumer{Kind: Drain, Channel: c.ID, Lane: l})}
	h.fanOut(out.fan)
	return out
}

func (h *house) stocked(sku pim.SKU, onHand int64) {
	h.Helper()
	if rows, err := h.SetStock(h.ctx, "erp", []pim.StockRow{stock(sku, onHand)}, Idempotency{}); err != nil || rows[0].Status == RowRejected {
		h.Fatal(rows, err)
	}
}

// claim gives the product's listing, which has to be due.
func (l *lane) claim() Claimed {
	l.Helper()
	c, err := l.Claim(l.ctx, l.drain, ClaimOptions{Limit: 10, Waits: true})
	if err != nil || len(c.Items) != 1 {
		l.Fatal(c, err)
	}
	return c.Items[0]
}

// receive stores what became of a claimed listing, and says how many are due at once.
func (l *lane) receive(c Claimed, o Outcome) (due int) {
	l.Helper()
	o.Product, o.Want, o.Heard, o.SentWant = c.Product, c.Want, true, c.Want
	if c.Token != "" {
		o.Want = c.SentWant
	}
	_, due, err := l.Receive(l.ctx, l.drain, []Outcome{o})
	if err != nil {
		l.Fatal(err)
	}
	return due
}

// place is where the listing stands in its queue.
func (l *lane) place() (s string) {
	l.Helper()
	l.one(`select case when not dirty then 'clean' when due_at = 'infinity' then 'waits for content' when due_at > now() then 'later'
		when priority = 2 then 'first' when priority = 1 then 'edit' else 'bulk' end
		from listing where lane = `+strconv.Itoa(int(l.drain.Lane)), &s)
	return s
}

func (l *lane) stands(what, want string) {
	l.Helper()
	if got := l.place(); got != want {
		l.Errorf("%s: the listing stands at %q, want %q", what, got, want)
	}
}

// A ticket that is out keeps its pace whatever is wanted meanwhile, which goes
// when the ticket ends: what is sold out before anything else.
func TestPlaceBehindATicket(t *testing.T) {
	t.Parallel()
	token := "t"
	pending := Outcome{Again: true, Hold: true, After: time.Hour, Token: &token}
	for _, c := range []struct {
		stock int64
		after string
	}{{3, "edit"}, {0, "first"}} {
		l := newLane(t, pim.Offer)
		item := l.claim()
		l.receive(item, pending)
		l.stocked("A", c.stock)
		l.fanOut(l.fan)
		l.stands("wanted while its ticket is out", "later")
		l.exec(`update listing set due_at = now()`)
		item = l.claim()
		l.receive(item, Outcome{Ack: true})
		l.stands("when the ticket ended", c.after)
		if n := l.number(`select count(*) from listing where sent_at is not null`); n != 0 {
			t.Error("a ticket that ended has an age")
		}
	}
}

// A ticket is as old as its first answer, however often it is asked for.
func TestTicketKeepsItsAge(t *testing.T) {
	t.Parallel()
	l := newLane(t, pim.Content)
	token := "t"
	pending := Outcome{Again: true, Hold: true, Token: &token}
	item := l.claim()
	if item.SentAt != nil {
		t.Error("a listing without a ticket has one's age")
	}
	l.receive(item, pending)
	l.exec(`update listing set sent_at = sent_at - interval '1 hour'`)
	l.receive(l.claim(), pending)
	if item = l.claim(); item.SentAt == nil || time.Since(*item.SentAt) < 30*time.Minute {
		t.Errorf("%+v", item.SentAt)
	}
}

// What is wanted again while it was sent is due at once, in its place, unless
// the wait is the target's own.
func TestWantedAgainWhileItWasSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcome Outcome
		again   bool // and it was wanted again
		place   string
		due     int
	}{
		{Outcome{Ack: true}, false, "clean", 0},
		{Outcome{Ack: true}, true, "edit", 1},
		{Outcome{Again: true, After: time.Hour}, false, "later", 0},
		{Outcome{Again: true, After: time.Hour}, true, "edit", 1},
		{Outcome{Again: true, Hold: true, After: time.Hour}, true, "later", 0},
	} {
		l := newLane(t, pim.Content)
		item := l.claim()
		if c.again {
			l.do(thing("A", Patch, `{"count":7}`))
			l.fanOut(l.fan)
		}
		if due := l.receive(item, c.outcome); due != c.due {
			t.Errorf("%+v: %d are due at once, want %d", c, due, c.due)
		}
		l.stands("after its receipt", c.place)
	}
}

// The first answer counts though the listing was wanted again meanwhile: else the
// same is sent once more.
func TestFirstAnswerCountsThoughWantedAgain(t *testing.T) {
	t.Parallel()
	l := newLane(t, pim.Content)
	item := l.claim()
	l.do(thing("A", Patch, `{"count":7}`))
	l.fanOut(l.fan)
	l.receive(item, Outcome{Ack: true, Heard: true, Hash: []byte("h"), Born: 1})
	if n := l.number(`select count(*) from listing where lane = 1 and dirty and acked_hash = 'h'`); n != 1 {
		t.Error("what was acknowledged is forgotten")
	}
}

// content drains A's content lane beside l, by hand.
func (l *lane) content() *lane {
	l.Helper()
	return &lane{house: l.house, channel: l.channel, drain: l.lease(Consumer{Kind: Drain, Channel: l.channel.ID, Lane: pim.Content})}
}

// What is sold out keeps its place when its content is born anew, and when it
// waited for that: both make it due again.
func TestSoldOutStaysFirstWhenBornAnew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stock     int64
		waits     bool
		then      string
		wantAfter string
	}{
		{0, false, "first", "first"},
		{0, true, "waits for content", "first"},
		{3, false, "edit", "edit"},
		{3, true, "waits for content", "edit"},
		{0, false, "clean", "first"}, // it was acknowledged, which the target may have forgotten with its content
		{3, false, "clean", "edit"},  // as the content was
	} {
		l := newLane(t, pim.Offer)
		l.receive(l.claim(), Outcome{Ack: true})
		content := l.content()
		published := content.claim()
		l.stocked("A", c.stock)
		l.fanOut(l.fan)
		if c.waits {
			l.receive(l.claim(), Outcome{Again: true, After: Forever})
		} else if c.then == "clean" {
			l.receive(l.claim(), Outcome{Ack: true})
		}
		l.stands("before its content is born", c.then)
		content.receive(published, Outcome{Ack: true, Born: 1, Wakes: true})
		l.stands("after its content was born", c.wantAfter)
	}
}

// What is sold out and there again before fan-out looks goes as what has changed
// that, through no closed window.
func TestSoldOutForAMomentIsAnEdit(t *testing.T) {
	t.Parallel()
	l := newLane(t, pim.Offer)
	l.receive(l.claim(), Outcome{Ack: true})
	for _, c := range []struct {
		stock []int64
		then  string
	}{{[]int64{0, 3}, "edit"}, {[]int64{0}, "first"}} {
		for _, n := range c.stock {
			l.stocked("A", n)
		}
		l.fanOut(l.fan)
		l.stands(fmt.Sprint("with stock ", c.stock), c.then)
		l.receive(l.claim(), Outcome{Ack: true})
	}
}

// An offer's listing is inserted, claimed and put to wait for its content while
// the receipt by which that content was born has done all but commit. Neither
// of the two receipts sees the other's work, and yet the offer must be due.
func TestContentBornBesideANewOffer(t *testing.T) {
	t.Parallel()
	content := newLane(t, pim.Content)
	h := content.house
	offer := &lane{house: h, channel: content.channel, drain: h.lease(Consumer{Kind: Drain, Channel: content.channel.ID, Lane: pim.Offer})}
	h.exec(`create function held() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(7); return null; end $$`)
	h.exec(`create constraint trigger held after update on listing deferrable initially deferred for each row when (new.lane = 1 and new.born > 0)
		execute function held()`)
	hold := h.begin()
	if _, err := hold.Exec(h.ctx, `select pg_advisory_xact_lock(7)`); err != nil {
		t.Fatal(err)
	}
	published := content.claim()
	born := make(chan error, 1)
	go func() {
		_, _, err := h.Receive(h.ctx, content.drain, []Outcome{{Product: published.Product, Want: published.Want, Ack: true, Heard: true, Born: 1, Wakes: true}})
		born <- err
	}()
	h.blocked(1) // in its commit
	h.stocked("A", 5)
	h.fanOut(content.fan)
	item := offer.claim()
	if item.Born != 0 {
		t.Fatal("the content is born already: the test proves nothing")
	}
	put := make(chan error, 1)
	go func() {
		_, _, err := h.Receive(h.ctx, offer.drain, []Outcome{{Product: item.Product, Want: item.Want, Again: true, After: Forever}})
		put <- err
	}()
	for len(put) == 0 && h.number(`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) < 2 {
		if h.ctx.Err() != nil {
			t.Fatal("the offer's receipt neither ended nor waits")
		}
	}
	if err := hold.Rollback(h.ctx); err != nil {
		t.Fatal(err)
	}
	for _, c := range []chan error{born, put} {
		if err := <-c; err != nil {
			t.Fatal(err)
		}
	}
	offer.stands("its content is there", "edit")
}

// A receipt that nothing wakes by writes its own listings only.
func TestReceiptWakesNobodyForNothing(t *testing.T) {
	t.Parallel()
	l := newLane(t, pim.Content)
	l.exec(`create table written (statement text)`)
	l.exec(`create function written() returns trigger language plpgsql as $$ begin insert into written values (tg_op); return null; end $$`)
	l.exec(`create trigger written after update on listing for each statement execute function written()`)
	l.receive(l.claim(), Outcome{Again: true})
	l.receive(l.claim(), Outcome{Ack: true, Born: 1})
	if n := l.number(`select count(*) from written`); n != 2 {
		t.Errorf("%d statements wrote listings for two receipts", n)
	}
}

// Who forgets what was acknowledged forgets it of tickets, too: a ticket that
// was drawn before ends later, and would bring it back.
func TestForgettingReachesTickets(t *testing.T) {
	t.Parallel()
	for what, forget := range map[string]func(*house) error{
		"full resync": func(h *house) error { return h.ResyncChannel(h.ctx, "aa", true) },
		"restore":     func(h *house) error { _, err := h.Restored(h.ctx); return err },
	} {
		l := newLane(t, pim.Content)
		token := "t"
		l.receive(l.claim(), Outcome{Again: true, Hold: true, Token: &token, SentHash: []byte("x")})
		if err := forget(l.house); err != nil {
			t.Fatal(err)
		}
		l.fanOut(l.fan)
		if n := l.number(`select count(*) from listing where sent_hash is not null`); n != 0 {
			t.Errorf("%s: a ticket remembers what was sent", what)
		}
	}
}

// A parent's receipt wakes the variants that wait for it, and locks them where
// everybody does: in their order among all else that it writes.
func TestReceiptLocksWaitingVariantsInOrder(t *testing.T) {
	t.Parallel()
	l := newLane(t, pim.Content)
	l.do(thing("B", Put, `{}`))
	l.do(thing("C", Put, `{}`))
	l.fanOut(l.fan)
	l.exec(`update product set parent_id = (select id from product where sku = 'A') where sku = 'B'`)
	c, err := l.Claim(l.ctx, l.drain, ClaimOptions{Limit: 10})
	if err != nil || len(c.Items) != 3 {
		t.Fatal(c, err)
	}
	l.exec(`update listing set due_at = now() + interval '10 minutes' from product p where p.id = product_id and p.sku = 'B'`)
	var outcomes []Outcome
	for _, it := range c.Items {
		if it.SKU != "B" {
			outcomes = append(outcomes, Outcome{Product: it.Product, Want: it.Want, Heard: true, Ack: true, Rev: 1, Hash: []byte("x"), Born: 1, Wakes: it.SKU == "A"})
		}
	}
	const lock = `select from listing l join product p on p.id = l.product_id where p.sku = $1 and l.lane = 1 for update of l`
	other := l.begin() // fan-out, say
	if _, err := other.Exec(l.ctx, lock, "B"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, _, err := l.Receive(l.ctx, l.drain, outcomes); done <- err }()
	l.blocked(1)
	if _, err := other.Exec(l.ctx, lock, "C"); err != nil {
		t.Error("the receipt holds what comes later:", err)
	}
	_ = other.Rollback(l.ctx)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := l.number(`select count(*) from listing where lane = 1 and dirty and due_at <= now()`); n != 1 {
		t.Errorf("%d variants are due", n)
	}
}
