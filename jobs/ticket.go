package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// The ticket rule. A target that answers pending gives a ticket, and has the
// listing until it says what became of it: the ticket is asked for at the
// target's own pace, and what is wanted meanwhile is sent when it ends, so that
// a revision is never overtaken by the one before it. A ticket of which nothing
// was heard for ticketMost counts as lost, else it would hold newer revisions
// back for ever: the listing is sent anew, in doubt, and an issue says so.
// Revisions are then all that keeps a target which works the old one off later
// from going back.

const (
	// pollEvery is the wait between two looks for a ticket's outcome, where
	// the target names none.
	pollEvery = 2 * time.Second
	// pollMost bounds that wait, which grows with the ticket's age: what took a
	// minute will hardly end within the next second.
	pollMost = 5 * time.Minute
	// ticketMost is how long a ticket may be out: marketplaces work a report
	// off within minutes to hours.
	ticketMost = 24 * time.Hour
)

// poll asks for the outcome of tickets.
func (s *step) poll(ctx context.Context, tasks []*task) error {
	if s.stopped() || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	poller, ok := s.t.Connector.(connectors.Poller)
	if !ok {
		err := &connectors.Error{Verdict: connectors.Permanent, Err: errors.New("the connector cannot ask for pending outcomes any more")}
		for _, t := range tasks {
			s.add(string(err.Verdict), s.refused(t, err))
		}
		return nil
	}
	tokens := make([]string, len(tasks))
	for i, t := range tasks {
		tokens[i] = t.Token
	}
	results, err := s.call(s.errandFor(errandPoll, tasks).on(ctx), errandPoll, len(tokens), func(ctx context.Context) ([]connectors.Result, error) {
		return poller.Poll(ctx, tokens)
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, errLeaveAlone) {
		return nil
	}
	if err == nil {
		for i, t := range tasks {
			verdict := string(results[i].Status)
			if results[i].Err != nil {
				verdict = string(connectors.AsError(results[i].Err).Verdict)
			}
			o := s.polled(t, results[i], s.pollWait(t))
			if o.Again && o.Token == nil && s.overdue(t) {
				verdict = "lost"
				s.d.r.log.WarnContext(ctx, "a ticket is lost", "channel", s.t.Code, "lane", s.l.Lane.String(), "sku", t.SKU, "since", t.SentAt)
			}
			s.add(verdict, o)
		}
		s.isWell()
		return nil
	}
	e := connectors.AsError(err)
	if e.Verdict == connectors.Throttled {
		s.throttled(e)
		return nil
	}
	if e.Verdict == connectors.Unavailable || e.Verdict == connectors.Auth {
		s.isTrouble(e)
	}
	for _, t := range tasks {
		s.add(string(e.Verdict), s.down(t, e))
	}
	return nil
}

// pollWait is the wait until the next look for a ticket's outcome, where the
// target names none.
func (r *round) pollWait(t *task) time.Duration {
	if t.SentAt == nil {
		return pollEvery
	}
	return min(max(pollEvery, r.now.Sub(*t.SentAt)/8), pollMost)
}

// polled is the outcome of asking for a ticket's.
func (r *round) polled(t *task, res connectors.Result, pollEvery time.Duration) postgres.Outcome {
	if res.Err != nil {
		return r.refused(t, res.Err)
	}
	o := t.keep()
	o.Heard, o.Verdict, o.Issues, o.Rev = true, string(res.Status), res.Issues, t.SentRev
	if res.Status == connectors.Pending {
		if r.overdue(t) {
			return r.lost(t, o.Verdict, res.Issues)
		}
		o.Again, o.Hold, o.After = true, true, res.After
		if res.After <= 0 {
			o.After = pollEvery
		}
		o.SettleAt = r.settleUntil(t)
		o.Token, o.SentRev, o.SentWant, o.SentHash = &t.Token, t.SentRev, t.SentWant, t.SentHash
		return o
	}
	o.Want = t.SentWant
	o.Status = string(res.Status)
	_, withdraw := isWithdrawn(t.SentHash)
	switch {
	case withdraw:
		o.Status = string(pim.StateWithdrawn)
	case t.lane == pim.Offer && bytes.Equal(t.SentHash, soldOutHash(t.Born)):
		o.Status = string(pim.StateSoldOut)
	}
	if t.SentHash == nil || t.Unsure {
		// The ticket was drawn in doubt: what it says is not the last word.
		o.Ack, o.Again, o.SettleAt, o.Attempts = true, true, r.settleUntil(t), 0
		if o.SettleAt != nil {
			o.After = max(0, o.SettleAt.Sub(r.now)-r.elapsed())
		}
		return o
	}
	o.Ack, o.Hash, o.SettleAt, o.Attempts = true, t.SentHash, nil, 0
	if t.lane == pim.Content {
		bear(&o, t, withdraw, true, res.Anew)
	}
	return o
}

// refused is the outcome of a ticket that ended badly, or could not be asked for.
func (r *round) refused(t *task, err error) postgres.Outcome {
	o := r.failed(t, err)
	switch e := connectors.AsError(err); {
	case e.Verdict == connectors.Conflict || e.Verdict == connectors.Permanent && len(e.Issues) == 0:
		// The target does not know the ticket any more.
		r.anew(&o)
	case !o.Again && !e.Uncertain:
		o.Want, o.Rev = t.SentWant, t.SentRev // it was that revision which was refused
	case r.overdue(t):
		return r.lost(t, o.Verdict, e.Issues)
	default:
		o.Token, o.SentRev, o.SentWant, o.SentHash = &t.Token, t.SentRev, t.SentWant, t.SentHash
		o.Again, o.Hold, o.Rev, o.SettleAt = true, true, t.SentRev, r.settleUntil(t)
		o.After = max(o.After, backoff(o.Attempts))
	}
	return o
}

// anew is for a ticket that nothing more will be heard of: what became of it is
// unknown, so the listing is sent anew, in doubt.
func (r *round) anew(o *postgres.Outcome) {
	until := r.now.Add(r.elapsed() + r.settle)
	o.Again, o.After, o.SettleAt, o.Token = true, backoff(o.Attempts), &until, nil
}

// overdue reports whether the ticket has been out for longer than any may be.
func (r *round) overdue(t *task) bool {
	return t.SentAt != nil && r.now.Sub(*t.SentAt) > ticketMost
}

// lost is the outcome of a ticket that is overdue.
func (r *round) lost(t *task, verdict string, issues []pim.Issue) postgres.Outcome {
	o := t.keep()
	text := fmt.Sprintf("in %.0f hours the target has not said what became of revision %d; it is sent anew", ticketMost.Hours(), t.SentRev)
	o.Heard, o.Verdict, o.Rev, o.Error = true, verdict, t.SentRev, &text
	o.Issues = append(slices.Clone(issues), pim.Issue{Code: postgres.TicketLost, Severity: pim.SeverityWarning, Text: text})
	o.Attempts = t.Attempts + 1
	r.anew(&o)
	return o
}
