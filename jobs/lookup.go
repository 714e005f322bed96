package jobs

import (
	"context"
	"errors"

	"github.com/sluicehub/sluice/connectors"
)

// lookUp settles doubts and conflicts by asking instead of sending again, where
// the target can tell: what it holds exactly as it is to be is acknowledged. Of a
// doubt it only asks when that is due to be confirmed, for before settle_at a late
// request may still change what was read a moment ago; and only an exact answer
// counts, which includes that nothing is there which the push would empty
// (Held.Exact). Of a conflict it asks once, before the listing is sent again.
// Whatever else is said, and whatever goes wrong, the listing is sent as ever. It
// gives the tasks that are to be sent, and says whether the target was asked.
func (s *step) lookUp(ctx context.Context, tasks []*task) (left []*task, asked bool) {
	reader, lanes := s.t.reads()
	if !lanes.Has(s.l.Lane) {
		return tasks, false
	}
	var doubtful []*task
	var items []connectors.Item
	for _, t := range tasks {
		until := s.settleUntil(t)
		due := t.doubt() && until != nil && !s.now.Before(*until)
		if !t.asked && (due || t.conflicted() && t.Attempts == 1) {
			t.asked = true // a bisection comes by again
			doubtful, items = append(doubtful, t), append(items, t.item)
		}
	}
	if len(items) == 0 {
		return tasks, false
	}
	var held []connectors.Held
	_, err := s.call(s.errandFor(errandRead, doubtful).on(ctx), errandRead, len(items), func(ctx context.Context) ([]connectors.Result, error) {
		var err error
		held, err = reader.Read(ctx, items)
		results := make([]connectors.Result, len(held))
		for i := range held {
			results[i].Err = held[i].Err
		}
		return results, err
	})
	if err != nil {
		return tasks, !errors.Is(err, errLeaveAlone)
	}
	s.isWell()
	sure := map[*task]bool{}
	for i, t := range doubtful {
		if held[i].Err != nil {
			continue
		}
		outbid(t, &held[i])
		if !held[i].Exact || held[i].Presence == connectors.Hidden && !t.item.Action.Tombstone() {
			continue // what is hidden with all its fields has yet to be shown
		}
		res := connectors.Result{Status: connectors.Accepted}
		if held[i].Presence == connectors.Shown {
			res.Status = connectors.Live
		}
		sure[t] = true
		s.add("looked_up", s.took(t, res, pollEvery))
	}
	left = make([]*task, 0, len(tasks)-len(sure))
	for _, t := range tasks {
		if !sure[t] {
			left = append(left, t)
		}
	}
	return left, true
}

// revisionMost bounds the revisions that are outbid: more counts nothing.
const revisionMost = 1 << 53

// outbid raises the revision of a task that met a conflict above the one that the
// target holds, where that would refuse it for ever: it is our newest, as a claim
// made after the conflict has it. What has the higher one is of a time that our
// store does not know, as after a restore whose floor nobody raised, or of
// somebody else.
func outbid(t *task, held *connectors.Held) {
	if !t.conflicted() {
		return
	}
	t.theirs = held.Version
	if held.Revision >= t.rev && held.Revision < revisionMost {
		t.rev = held.Revision + 1
		t.item.Revision = t.rev
	}
}
