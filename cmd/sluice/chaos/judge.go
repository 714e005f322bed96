//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// verdict is what the checks have counted.
type verdict struct {
	falls   falls
	repeats repeats
	bound   int // of repeats after takeovers
	lost    int
	apart   int // listings that are not as the books say
	excused int // of these, for a request came later than promised
	rows    int64
	jobs    int64
	audits  int // comparisons in the midst of it

	alone, beside []time.Duration // of edits to the first target: without, and beside a dead channel
	ahead         int             // requests before what is sold out
}

// judge holds the run against the invariants, when all is quiet.
func (r *run) judge(ctx context.Context, reader *client) {
	v := r.verdict
	v.lost = r.checkBooks(ctx, reader)
	for _, t := range r.targets {
		r.checkTarget(ctx, v, t)
	}
	r.checkRecords(ctx, v)
	r.checkSizes(v)
	r.checkHonesty(ctx)
}

// checkBooks: what was acknowledged is there.
func (r *run) checkBooks(ctx context.Context, reader *client) (lost int) {
	for _, p := range r.products {
		found, _, err := reader.look(ctx, p)
		switch {
		case err != nil:
			r.violated("durability", p, "%v", err)
		case !same(p.now, found):
			lost++
			r.violated("durability", p, "acknowledged was %+v, the API shows %+v", p.now, found)
		}
	}
	return lost
}

// checkTarget: each target holds what the books say, and was not spoken to wrongly.
func (r *run) checkTarget(ctx context.Context, v *verdict, t *target) {
	for _, p := range r.products {
		r.compare(ctx, v, t, p, "convergence")
	}
	for _, bad := range t.violations() {
		r.violated("contract", nil, "channel %s: %s", t.spec.Code, bad)
	}
}

// compare holds what a target has of a product against the books.
func (r *run) compare(ctx context.Context, v *verdict, t *target, p *product, invariant string) {
	want, held := t.wanted(p), t.held(p)
	if want == held {
		return
	}
	v.apart++
	if t.records != nil && r.tooLate(t, p.sku) {
		v.excused++
		return
	}
	r.violated(invariant, p, "channel %s holds %s; by the books it is %s", t.spec.Code, held, want)
	r.explain(ctx, t, p.sku, time.Now())
}

// tooLate reports whether a request for a product was under way for longer than
// its channel settles: this machine was too slow for what is promised.
func (r *run) tooLate(t *target, sku pim.SKU) bool {
	most := int64(r.pace.timeout + r.pace.settle)
	return slices.ContainsFunc(t.records.all(), func(q *request) bool {
		return q.finished-q.began > most && slices.ContainsFunc(q.items, func(i item) bool { return i.sku == sku })
	})
}

const sqlListing = `
select format('lane %s: dirty %s, want %s, acked rev %s at %s, receipt %s at %s (%s), settles %s, token %s, status %s, born %s, error %s, due %s',
    l.lane, l.dirty, l.want, l.acked_rev, l.acked_at, l.receipt_rev, l.receipt_at, l.verdict, l.settle_at, l.token, l.status, l.born, l.error, l.due_at)
from listing l join product p on p.id = l.product_id where p.sku = @sku and l.channel_id = @channel order by l.lane`

// explain adds what is known of a listing to the newest violation, and of the
// time before it was seen.
func (r *run) explain(ctx context.Context, t *target, sku pim.SKU, at time.Time) {
	from := at.Add(-r.pace.timeout - 2*r.pace.settle)
	lines := append([]string{"the target's own record, the newest:"}, t.history(sku)...)
	if t.records != nil {
		lines = append(lines, "what came to the target before the breach, by when it was begun:")
		for _, q := range t.records.all() {
			for _, i := range q.items {
				if i.sku == sku && q.began >= from.UnixNano() && q.began <= at.Add(time.Second).UnixNano() {
					lines = append(lines, fmt.Sprintf("%s to %s %s revision %d withdraw=%t document %x: status %d taken=%t heard=%t",
						stampNano(q.began), stampNano(q.finished), i.lane, i.revision, i.withdraw, i.document, q.status, i.taken, q.heard(time.Now().UnixNano())))
				}
			}
		}
	}
	for _, lane := range []pim.Lane{pim.Content, pim.Offer} {
		for _, gone := range r.watch.vanishings(t.id, lane) {
			if gone.After(from) && gone.Before(at) {
				lines = append(lines, fmt.Sprintf("%s a holder of lane %s had vanished", stamp(gone), lane))
			}
		}
	}
	if rows, err := r.pool.Query(ctx, sqlListing, pgx.NamedArgs{"sku": string(sku), "channel": int64(t.id)}); err == nil {
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		lines = append(append(lines, "the listing now:"), list...)
		if err != nil {
			lines = append(lines, err.Error())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.broken) > 0 {
		last := &r.broken[len(r.broken)-1]
		last.history = append(last.history, lines...)
	}
}

// checkRecords holds the webhook targets' requests against what must hold of them.
func (r *run) checkRecords(ctx context.Context, v *verdict) {
	var stopped spans
	for _, d := range r.disorder.all(doStop) {
		stopped = append(stopped, struct{ from, to int64 }{d.from.UnixNano(), d.to.UnixNano()})
	}
	least := map[pim.SKU]map[int64]int64{}
	for _, p := range r.products {
		least[p.sku] = p.least
	}
	vanished := 0
	for _, t := range r.targets {
		if t.records == nil {
			continue
		}
		all := byListing(t.records.all())
		f, bad := checkMonotony(t.spec.Code, all, stopped, r.pace.timeout)
		v.falls.started += f.started
		v.falls.zombies += f.zombies
		v.falls.late += f.late
		bad = append(bad, checkPrices(t.spec.Code, all, least)...)
		if !t.later { // what became of a ticket, a request does not show
			d := doubts{now: time.Now().UnixNano(), settle: r.pace.settle, vanished: map[pim.Lane][]time.Time{}}
			for _, lane := range []pim.Lane{pim.Content, pim.Offer} {
				d.vanished[lane] = r.watch.vanishings(t.id, lane)
				if t.dead { // what was sent to it came to nobody, and may have come to it as far as its sender knows
					d.vanished[lane] = append(d.vanished[lane], r.healed)
					slices.SortFunc(d.vanished[lane], time.Time.Compare)
				}
				vanished += len(d.vanished[lane])
			}
			d.lost = t.way.losses(t.records.all())
			n, empty := checkEmpty(t.spec.Code, all, d)
			v.repeats.answer += n.answer
			v.repeats.takeover += n.takeover
			bad = append(bad, empty...)
		}
		for _, b := range bad {
			p := r.products[slices.IndexFunc(r.products, func(p *product) bool { return p.sku == b.sku })]
			r.violated(b.invariant, p, "%s", b.text)
			r.explain(ctx, t, b.sku, time.Unix(0, b.at))
		}
	}
	// Each listing that was in the vanished holder's hands is sent once, and once more to confirm it.
	inFlight := min(len(r.products), r.targets[1].spec.Batch*r.targets[1].spec.Concurrency*claimsInFlight)
	v.bound = 2 * inFlight * vanished
	if v.repeats.takeover > v.bound {
		r.violated("no empty work", nil, "%d requests were repeated after takeovers, more than %d", v.repeats.takeover, v.bound)
	}
}

// claimsInFlight is how many calls' worth a holder has in its hands at most for
// each call at once; see jobs/drain.go: three overlapping claims of two.
const claimsInFlight = 6

// checkSizes: the buffer and the jobs stay bounded.
func (r *run) checkSizes(v *verdict) {
	r.watch.mu.Lock()
	most, consumers := r.watch.most, len(r.watch.consumers)
	r.watch.mu.Unlock()
	v.rows, v.jobs = most.listings, most.jobs
	if bound := int64(len(r.products) * len(r.targets) * 3); most.listings > bound {
		r.violated("bounded buffer", nil, "%d listings, more than %d", most.listings, bound)
	}
	// A consumer has one job that waits, and may have one of each generation that was begun since the last look.
	if bound := int64(4 * consumers); most.jobs > bound {
		r.violated("bounded buffer", nil, "%d jobs wait, for %d consumers", most.jobs, consumers)
	}
}

const sqlStatuses = `
select coalesce(l.status, ''), count(*), count(*) filter (where l.error is not null and not l.dirty), coalesce(min(p.sku) filter (where l.error is not null), '')
from listing l join product p on p.id = l.product_id where l.channel_id = @channel group by 1`

// checkHonesty: nothing is said to be more than the target said, and nothing is
// parked that nobody refuses any more.
func (r *run) checkHonesty(ctx context.Context) {
	for _, t := range r.targets {
		rows, err := r.pool.Query(ctx, sqlStatuses, pgx.NamedArgs{"channel": int64(t.id)})
		if err == nil {
			var status, sku string
			var n, parked int
			_, err = pgx.ForEachRow(rows, []any{&status, &n, &parked, &sku}, func() error {
				if parked > 0 {
					r.violated("convergence", nil, "channel %s: %d listings are parked, such as of %s", t.spec.Code, parked, sku)
				}
				if status == string(pim.StateLive) && t.status != status {
					r.violated("honesty", nil, "channel %s: %d listings count as live, the target never said so", t.spec.Code, n)
				}
				return nil
			})
		}
		if err != nil {
			r.violated("honesty", nil, "channel %s: %v", t.spec.Code, err)
		}
	}
	var poisoned int
	err := r.pool.QueryRow(ctx, `select count(*) from outbox_poison`).Scan(&poisoned)
	if err == nil && poisoned > 0 {
		err = fmt.Errorf("%d changes were set aside as poison", poisoned)
	}
	if err != nil {
		r.violated("convergence", nil, "%v", err)
	}
}

// report prints the figures, and every breach with its history.
func (r *run) report() {
	var b strings.Builder
	line := func(what string, n any) { fmt.Fprintf(&b, "  %-52s %v\n", what, n) }
	r.mu.Lock()
	defer r.mu.Unlock()
	order := slices.Clone(r.order)
	slices.Sort(order)
	fmt.Fprintf(&b, "done:\n")
	for _, what := range order {
		line(what, r.counts[what])
	}
	started := 0
	for _, p := range r.processes {
		started += p.starts
	}
	line("processes started", started)
	calm, all := r.watch.takeovers()
	fmt.Fprintf(&b, "found:\n")
	v := r.verdict
	requests, items := 0, 0
	for _, t := range r.targets {
		if t.records != nil {
			for _, q := range t.records.all() {
				requests++
				items += len(q.items)
			}
		}
	}
	line("requests to the webhook targets, listings in them", fmt.Sprintf("%d, %d", requests, items))
	line("acknowledged edits lost", v.lost)
	line("listings apart from the books", fmt.Sprintf("%d (%d of them by requests later than promised)", v.apart, v.excused))
	line("comparisons of what was told to be done, meanwhile", v.audits)
	line("requests begun with a lower revision", fmt.Sprintf("%d (%d of them by stopped processes)", v.falls.started, v.falls.zombies))
	line("requests that ended after a later one", v.falls.late)
	line("repeated in doubt of an answer", v.repeats.answer)
	line("repeated after a takeover", fmt.Sprintf("%d (bound %d)", v.repeats.takeover, v.bound))
	line("requests sent when nothing had changed", r.sentIdle)
	line("edit to received, all well: p50, p95", spread(v.alone))
	line("edit to received, beside a dead channel: p50, p95", spread(v.beside))
	line("requests ahead of what is sold out", v.ahead)
	line("most listings, most jobs waiting", fmt.Sprintf("%d, %d", v.rows, v.jobs))
	line("takeover after kill -9, nothing else wrong: p50, max", times(calm))
	line("takeover after kill -9, in all: p50, max", times(all))
	line("time to quiet", r.quietAfter.Round(100*time.Millisecond))
	line("invariants broken", len(r.broken))
	for i, bad := range r.broken {
		if i == 20 {
			fmt.Fprintf(&b, "and %d more\n", len(r.broken)-i)
			break
		}
		fmt.Fprintf(&b, "BROKEN: %s: %s %s\n", bad.invariant, bad.sku, bad.text)
		for _, l := range bad.history {
			fmt.Fprintf(&b, "    %s\n", l)
		}
	}
	fmt.Fprint(r.out, b.String())
}

func spread(list []time.Duration) string {
	return fmt.Sprintf("%v, %v (%d)", percentile(list, 0.5).Round(time.Millisecond), percentile(list, 0.95).Round(time.Millisecond), len(list))
}

func times(list []time.Duration) string {
	return fmt.Sprintf("%.1f s, %.1f s (%d)", percentile(list, 0.5).Seconds(), percentile(list, 1).Seconds(), len(list))
}
