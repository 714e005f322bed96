package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim/postgres"
)

// errLeaveAlone: the call did not begin, for the target is in trouble.
var errLeaveAlone = errors.New("the target is to be left alone")

// call makes one call with the channel's time limit, and holds the connector
// to its promise of one result per item.
func (s *step) call(ctx context.Context, what string, n int, do func(context.Context) ([]connectors.Result, error)) ([]connectors.Result, error) {
	e := errandOf(ctx)
	if err := s.f.begin(ctx, s.t, e.bulk); err != nil {
		return nil, err // the caller sees that ctx has ended
	}
	defer s.f.end()
	if s.stopped() {
		return nil, errLeaveAlone
	}
	if e.bulk && !e.passed.Load() && s.f.pressed(ctx) {
		s.yielded.Store(true)
		return nil, errLeaveAlone
	}
	if !e.passed.Load() && s.elapsed() > shift { // it waited for others that long
		s.yielded.Store(true)
		return nil, errLeaveAlone
	}
	began := time.Now()
	ctx, done := context.WithTimeout(ctx, stepMost-s.elapsed())
	defer done()
	cctx, cancel := withPatience(ctx, s.t.Timeout)
	defer cancel()
	e.patience = cctx
	results, err := shielded(cctx, do)
	e.over(results, err)
	s.made.Add(e.made.Load())
	if g := e.grant.Load(); g != nil {
		s.rests(g, what)
	}
	if cause := e.failed.Load(); cause != nil {
		s.d.r.log.ErrorContext(ctx, "look at a channel's rate", "channel", s.t.Code, "err", *cause)
	}
	s.d.r.metrics.called(s.t.Code, s.l.Lane, what, time.Since(began))
	if err == nil && len(results) != n {
		err = &connectors.Error{
			Verdict: connectors.Unavailable, Uncertain: true,
			Err: fmt.Errorf("connector %s gave %d results for %d items", s.t.Kind.Name, len(results), n),
		}
	}
	return results, err
}

// shielded keeps a connector's panic from ending the process.
func shielded(ctx context.Context, do func(context.Context) ([]connectors.Result, error)) (results []connectors.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: fmt.Errorf("the connector panicked: %v", v)}
		}
	}()
	return do(ctx)
}

// fits learns from a call how many listings one can have.
func (s *step) fits(e *errand, results []connectors.Result, err error, n int) {
	settled := slices.ContainsFunc(results, func(r connectors.Result) bool { return r.Err == nil })
	switch {
	case e == nil: // an upload before it failed
	case err == nil && settled:
		s.t.ended()
	case e.grant.Load() != nil && e.grant.Load().Hold == postgres.HoldRate && e.made.Load() > 0:
		s.t.tooMany(n)
	}
}
