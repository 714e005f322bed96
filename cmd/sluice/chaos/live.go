//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

func skuOf(i int) pim.SKU { return pim.SKU(fmt.Sprintf("P-%04d", i)) }

func contains(s, part string) bool { return strings.Contains(s, part) }

// live is the run from the first product to the last check.
func (r *run) live(ctx context.Context, steps []step) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	r.began = time.Now()
	go r.watch.run(ctx)
	go r.tell(ctx)

	editors := make([]*client, r.Editors)
	shares := make([][]*product, r.Editors)
	for i := range editors {
		editors[i] = newClient(r, fmt.Sprintf("editor-%d", i), 100+uint64(i))
	}
	for i, p := range r.products {
		shares[i%r.Editors] = append(shares[i%r.Editors], p)
	}
	m := &manager{newClient(r, "manager", 99)}
	r.say("the catalogue is made")
	if err := together(editors, func(i int, e *client) error {
		for _, p := range shares[i] {
			if err := e.begin(ctx, p); err != nil {
				return fmt.Errorf("make %s: %w", p.sku, err)
			}
		}
		return nil
	}); err != nil {
		return err
	}

	r.disturbed(ctx, steps, editors, shares, m)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.calm(ctx, editors, shares, m)
}

// disturbed is the time in which everything is broken. It ends when all faults
// have ended and editors and manager know what became of what they did.
func (r *run) disturbed(ctx context.Context, steps []step, editors []*client, shares [][]*product, m *manager) {
	r.say("%v of disorder", r.pace.length)
	busy, hurry := context.WithCancel(ctx)
	defer hurry()
	stop := make(chan struct{})
	if err := r.silence(true); err != nil {
		r.violated("chaos", nil, "%v", err)
	}
	var working sync.WaitGroup
	for i, e := range editors {
		working.Go(func() { e.work(busy, stop, shares[i]) })
	}
	working.Go(func() { m.work(busy, stop) })
	auditing, enough := context.WithCancel(ctx)
	working.Go(func() { r.audit(auditing) })
	r.perform(ctx, steps)
	enough()
	close(stop)
	if err := r.heal(); err != nil {
		r.violated("chaos", nil, "%v", err)
	}
	r.healed = time.Now()
	defer time.AfterFunc(r.Patience, hurry).Stop()
	working.Wait()
}

// calm waits for quiet and judges.
func (r *run) calm(ctx context.Context, editors []*client, shares [][]*product, m *manager) error {
	patient, over := context.WithTimeout(ctx, r.Patience)
	defer over()
	// Nothing of an editor's or a fault's is on its way any more: what was paused late is resumed, what was refused is tried again.
	for _, what := range []string{"resume", "retry"} {
		if err := m.each(patient, what); err != nil {
			r.violated("convergence", nil, "when all was well again: %v", err)
		}
	}
	r.say("all is well again; waiting for quiet, %v at most", r.Patience)
	quiet := r.quiet(patient, m)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.quietAfter = time.Since(r.healed); quiet != nil {
		r.violated("convergence", nil, "no quiet within %v: %v", r.Patience, quiet)
	}
	r.judge(ctx, editors[0])
	if quiet == nil {
		r.idle(patient, editors, shares, m)
		r.inTurn(ctx, editors[0], m)
	}
	for _, p := range r.processes {
		if err := p.end(endMay); err != nil {
			r.violated("durability", nil, "%v", err)
		}
		if err := p.complaints(); err != nil {
			r.violated("durability", nil, "%v", err)
		}
	}
	return ctx.Err()
}

// inTurn does what is tried with nothing else wrong.
func (r *run) inTurn(ctx context.Context, e *client, m *manager) {
	for _, try := range []struct {
		invariant string
		do        func(context.Context, *client, *manager) error
	}{{"isolation", r.isolation}, {"sold out first", r.precedence}} {
		patient, over := context.WithTimeout(ctx, r.Patience)
		if err := try.do(patient, e, m); err != nil {
			r.violated(try.invariant, nil, "%v", err)
		}
		over()
	}
}

// endMay is how long a process may take to end in good order; it gives itself 25 s.
const endMay = time.Minute

// together lets all editors do something, and gives their errors.
func together(editors []*client, do func(i int, e *client) error) error {
	errs := make([]error, len(editors))
	var going sync.WaitGroup
	for i, e := range editors {
		going.Go(func() { errs[i] = do(i, e) })
	}
	going.Wait()
	return errors.Join(errs...)
}

// heal ends every fault.
func (r *run) heal() error {
	for _, p := range r.processes {
		p.signal(syscall.SIGCONT)
		if err := p.db.set(nil); err != nil {
			return err
		}
	}
	for _, way := range r.apis() {
		if err := way.set(nil); err != nil {
			return err
		}
	}
	for _, t := range r.targets {
		if err := t.way.set(nil); err != nil {
			return err
		}
		t.up()
	}
	return nil
}

// tell writes a line now and then, so that nobody waits in the dark.
func (r *run) tell(ctx context.Context) {
	for pause(ctx, 10*time.Second) {
		dirty, err := r.undone(ctx)
		state := fmt.Sprintf("%d listings, changes and markings to do", dirty)
		if err != nil {
			state = "the database does not answer"
		}
		r.mu.Lock()
		edits := r.counts["edits acknowledged"]
		r.mu.Unlock()
		r.say("%v: %d edits acknowledged, %s", time.Since(r.began).Round(time.Second), edits, state)
	}
}

// sqlUndone is everything that is still to be done for the channels.
const sqlUndone = `
select (select count(*) from outbox) + (select count(*) from channel where deleted_at is null and (mark_after is not null or mark_anew <> 0))
     + (select count(*) from listing where dirty or token is not null)`

func (r *run) undone(ctx context.Context) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = r.pool.QueryRow(ctx, sqlUndone).Scan(&n)
	return n, err
}

// quiet waits until there is nothing left to do. The error says what is.
func (r *run) quiet(ctx context.Context, m *manager) error {
	still := 0
	for pause(ctx, 200*time.Millisecond) {
		n, err := r.undone(ctx)
		waiting := 0
		for _, t := range r.targets {
			waiting += t.waiting()
		}
		if err != nil || n > 0 || waiting > 0 {
			still = 0
			continue
		}
		if still++; still == 10 {
			return nil
		}
		if still == 5 { // what a fault had refused, and was parked after the last look
			if err := m.each(ctx, "retry"); err != nil {
				return err
			}
		}
	}
	left, err := r.left()
	return errors.Join(err, errors.New(strings.Join(left, "; ")))
}

const sqlLeft = `
select format('%s %s lane %s: dirty %s, due %s, settles %s, attempts %s, token %s, verdict %s, error %s, status %s, born %s',
    c.code, p.sku, l.lane, l.dirty, l.due_at, l.settle_at, l.attempts, l.token, l.verdict, l.error, l.status, l.born)
from listing l join product p on p.id = l.product_id join channel c on c.id = l.channel_id
where l.dirty or l.token is not null order by c.code, p.sku limit 20`

func (r *run) left() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	rows, err := r.pool.Query(ctx, sqlLeft)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// idle touches every product in what no channel shows, and has every channel
// compared: nothing may be sent for that.
func (r *run) idle(ctx context.Context, editors []*client, shares [][]*product, m *manager) {
	before := make([]int64, len(r.targets))
	for i, t := range r.targets {
		before[i] = t.sent()
	}
	err := together(editors, func(i int, e *client) error {
		for _, p := range shares[i] {
			if next := p.now; next.exists {
				next.note += "!"
				if err := e.content(ctx, p, next); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		err = m.each(ctx, "resync")
	}
	if err == nil {
		err = r.quiet(ctx, m)
	}
	if err != nil {
		r.violated("convergence", nil, "when all was well and nothing had to be sent: %v", err)
		return
	}
	for i, t := range r.targets {
		if n := t.sent() - before[i]; n > 0 {
			r.sentIdle += n
			r.violated("no empty work", nil, "channel %s was sent %d requests when nothing that it shows had changed", t.spec.Code, n)
		}
	}
}
