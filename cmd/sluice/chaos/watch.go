//go:build unix

package chaos

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// watch looks at the database from aside: who holds what, and how much there is
// of everything.
type watch struct {
	r *run

	mu        sync.Mutex
	consumers map[consumerKey]consumer
	unsure    map[consumerKey][]time.Time // when holders vanished
	waiting   []*takeover
	took      []*takeover
	zombies   int // leases that were lost by stopped processes
	most      sizes
}

// consumerKey names a consumer.
type consumerKey struct {
	kind    string
	channel pim.ChannelID
	lane    pim.Lane
}

// consumer is one's row.
type consumer struct {
	key      consumerKey
	epoch    int64
	released bool
	holder   string
	unsure   time.Time
}

// takeover is a lease whose holder was killed.
type takeover struct {
	consumer
	killed *disturbance
	at     time.Time     // of the kill
	after  time.Duration // until somebody else held it
	calm   bool          // nothing else was wrong meanwhile
	idle   time.Time     // since when nobody needs it
}

// sizes are what must stay bounded.
type sizes struct{ listings, jobs int64 }

func newWatch(r *run) *watch {
	return &watch{r: r, consumers: map[consumerKey]consumer{}, unsure: map[consumerKey][]time.Time{}}
}

const (
	sqlConsumers = `select kind, channel_id, lane, epoch, released, holder, unsure_at from consumer`
	// Jobs that are over stay for a minute, those of killed processes for ten: of these there are as many as kills let be.
	sqlSizes = `select (select count(*) from listing), (select count(*) from river_job where state in ('available', 'pending', 'scheduled', 'retryable'))`
)

func (w *watch) read(ctx context.Context) ([]consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	rows, err := w.r.pool.Query(ctx, sqlConsumers)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (c consumer, err error) {
		var lane int16
		err = r.Scan(&c.key.kind, &c.key.channel, &lane, &c.epoch, &c.released, &c.holder, &c.unsure)
		c.key.lane = pim.Lane(lane)
		return c, err
	})
}

// run looks until ctx ends.
func (w *watch) run(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var sized time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		list, err := w.read(ctx)
		if err != nil {
			continue // the server is being started
		}
		w.note(list, time.Now())
		if time.Since(sized) > time.Second {
			sized = time.Now()
			w.size(ctx)
		}
	}
}

func (w *watch) note(list []consumer, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range list {
		if known := w.unsure[c.key]; c.unsure.Unix() > 0 && (len(known) == 0 || known[len(known)-1].Before(c.unsure)) {
			w.unsure[c.key] = append(known, c.unsure)
		}
		w.consumers[c.key] = c
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(t *takeover) bool {
		c := w.consumers[t.key]
		switch {
		case c.epoch == t.epoch:
			return false
		case !c.unsure.After(t.unsure):
			return true // it was given back just before
		case !c.released:
			t.after = now.Sub(t.at)
			t.calm = !w.r.disorder.during(t.at, now, t.killed)
			w.took = append(w.took, t)
			return true
		case t.idle.IsZero():
			t.idle = now
		}
		// Taken away, and nobody wants it: there is nothing to be done, or its channel rests.
		return now.Sub(t.idle) > 10*time.Second
	})
}

// held are the leases of a process.
func (w *watch) held(ctx context.Context, pid int) (list []consumer) {
	all, err := w.read(ctx)
	if err != nil || pid == 0 {
		return nil
	}
	mark := "/" + strconv.Itoa(pid) + "/"
	for _, c := range all {
		if !c.released && contains(c.holder, mark) {
			list = append(list, c)
		}
	}
	return list
}

// vanished notes that the holder of these was killed.
func (w *watch) vanished(e *disturbance, held []consumer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range held {
		w.waiting = append(w.waiting, &takeover{consumer: c, killed: e, at: time.Now()})
	}
}

// stopped notes that the holder of these was stopped.
func (w *watch) stopped(held []consumer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.zombies += len(held)
}

// size counts what must stay bounded.
func (w *watch) size(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var s sizes
	if err := w.r.pool.QueryRow(ctx, sqlSizes).Scan(&s.listings, &s.jobs); err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most.listings, w.most.jobs = max(w.most.listings, s.listings), max(w.most.jobs, s.jobs)
}

// takeovers are the times from kills to the next holder: when nothing else was
// wrong, and in all.
func (w *watch) takeovers() (calm, all []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.took {
		all = append(all, t.after)
		if t.calm {
			calm = append(calm, t.after)
		}
	}
	slices.Sort(calm)
	slices.Sort(all)
	return calm, all
}

// vanishings are when holders of a channel's lane vanished, oldest first.
func (w *watch) vanishings(channel pim.ChannelID, lane pim.Lane) []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.unsure[consumerKey{"drain", channel, lane}])
}
