package jobs

import (
	"context"
	"sync"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// tally counts what this process finished of each lane, until it is written
// down: forecasts are worked out from what all processes wrote.
type tally struct {
	mu   sync.Mutex
	done map[postgres.Consumer][3]int64 // done, refused, requests
}

func (t *tally) add(c pim.ChannelID, l pim.Lane, done, refused, requests int64) {
	if done == 0 && requests == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done == nil {
		t.done = map[postgres.Consumer][3]int64{}
	}
	k := postgres.Consumer{Kind: postgres.Drain, Channel: c, Lane: l}
	n := t.done[k]
	t.done[k] = [3]int64{n[0] + done, n[1] + refused, n[2] + requests}
}

func (t *tally) take() (list []postgres.Paced) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, n := range t.done {
		list = append(list, postgres.Paced{Channel: k.Channel, Lane: k.Lane, Done: n[0], Refused: n[1], Requests: n[2]})
	}
	clear(t.done)
	return list
}

// finished counts the outcomes after which a listing needs nothing more, and the
// requests that were made meanwhile.
func (t *tally) finished(l postgres.Lease, outcomes []postgres.Outcome, requests int64) {
	var done, refused int64
	for i := range outcomes {
		if o := &outcomes[i]; !o.Again {
			done++
			if o.Error != nil {
				refused++
			}
		}
	}
	t.add(l.Channel, l.Lane, done, refused, requests)
}

// flushPace writes down what was counted. What a crash takes along makes
// forecasts a little worse, and nothing else.
func (r *Runner) flushPace(ctx context.Context) error {
	list := r.tally.take()
	if len(list) == 0 {
		return nil
	}
	err := r.store.Pace(ctx, list)
	if err != nil {
		for _, p := range list {
			r.tally.add(p.Channel, p.Lane, p.Done, p.Refused, p.Requests)
		}
	}
	return err
}
