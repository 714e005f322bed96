package jobs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// BeforeFinish sets what runs between a holder's last look and its release.
func (r *Runner) BeforeFinish(f func(postgres.Consumer)) { r.beforeFinish = f }

// Flushed serves one wake of fan-out as flush would, and returns when it is served.
func (r *Runner) Flushed() {
	idle, _, err := r.store.Wake(context.Background(), []postgres.Consumer{{Kind: postgres.Fanout}})
	if err == nil {
		r.ensure(context.Background(), idle...)
	}
}

// HashOf is the hash by which a document counts as acknowledged.
func HashOf(document json.RawMessage, lane pim.Lane, born int64) []byte {
	return hashOf(document, lane, born)
}

// Import runs an import as its job does, and says whether the job ends with it.
func (r *Runner) Import(ctx context.Context, i Importer, l postgres.Lease) (ends bool, err error) {
	h := r.hold(ctx, l, time.Now())
	defer h.end()
	looks := 0
	_, err = h.work(stepFunc(func(ctx context.Context, l postgres.Lease) (next, error) {
		if looks++; looks > 1 {
			return next{over: true}, nil
		}
		return (&importWorker{r: r, importer: i}).step(ctx, l)
	}))
	return looks == 1, err
}

type stepFunc func(context.Context, postgres.Lease) (next, error)

func (f stepFunc) step(ctx context.Context, l postgres.Lease) (next, error) { return f(ctx, l) }

// Fanner is fan-out by hand.
type Fanner struct{ f *fanner }

// Fanner gives a fan-out that takes up to limit changes at once.
func (r *Runner) Fanner(limit int64) Fanner {
	f := newFanner(r)
	f.changes.most = limit
	f.changes.limit.Store(limit)
	return Fanner{f}
}

// Step is one step of it.
func (f Fanner) Step(ctx context.Context, l postgres.Lease) error {
	_, err := f.f.step(ctx, l)
	return err
}

// Crowded has it find edits all the time, for which marking steps aside.
func (f Fanner) Crowded() { f.f.r.Crowded(time.Hour) }

// Goes is one step of it, and whether another is to follow at once.
func (f Fanner) Goes(ctx context.Context, l postgres.Lease) (bool, error) {
	n, err := f.f.step(ctx, l)
	return n.again, err
}

// Limits are how many changes it takes next, and how many products it marks.
func (f Fanner) Limits() (changes, marking int) { return f.f.changes.now(), f.f.marking.now() }

// PaceAfter is what is taken next after statements that took this share of
// their time, when it was limit and is most at most.
func PaceAfter(limit, most int64, shares ...float64) int {
	p := pace{most: most}
	p.limit.Store(limit)
	for _, s := range shares {
		p.took(time.Duration(s*float64(time.Second)), time.Second)
	}
	return p.now()
}

// AfterAnswer sets what runs between a service's answer, when it is kept, and
// what follows from it.
func (t *Texts) AfterAnswer(f func(context.Context)) { t.afterAnswer = f }

// Sampled spreads a rate evenly.
func Sampled(perHour, most int) (int, time.Duration) { return sampled(perHour, most) }

// Behind is how long reading lets sending go first.
func Behind(unlooked time.Duration) time.Duration { return behind(unlooked) }

// ExchangeRoom sets how many bytes of exchanges may wait to be written.
func (c *Channels) ExchangeRoom(bytes int) {
	c.exchanges.mu.Lock()
	defer c.exchanges.mu.Unlock()
	c.exchanges.room = bytes
}

// PressEvery sets how often a drain that sends in bulk looks for what goes before.
func (r *Runner) PressEvery(d time.Duration) { r.pressEvery = d }

// TidyEvery sets how often old rows are thrown away.
func (r *Runner) TidyEvery(d time.Duration) { r.tidyEvery = d }

// Crowded has edits come all the time, for whom bulk steps aside, and bounds how
// long it waits for its turn.
func (r *Runner) Crowded(most time.Duration) {
	c, at := r.courtesy, time.Now()
	c.most, c.now = most, func() time.Time { return at }
	c.heed()
}

// TakeTurns takes all turns of bulk; giveBack ends that.
func (r *Runner) TakeTurns() (giveBack func()) {
	n := cap(r.courtesy.turns)
	for range n {
		r.courtesy.turns <- struct{}{}
	}
	return func() {
		for range n {
			<-r.courtesy.turns
		}
	}
}
