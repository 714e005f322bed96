package jobs

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// heedFor is how long after an edit bulk still steps aside: longer than between
// two edits of anybody who is at work, or of an ERP that posts its changes.
const heedFor = time.Second

// resting is how many times as long as a piece took its rest is. With 1 edits
// beside a new channel took up to a third longer than with 3; more gained little.
const resting = 3

// restMost bounds a rest: what took long waited for something, a database that was
// away or a lock, and no processor was wanted for it.
const restMost = time.Second

// courtesy has bulk step aside while there are edits: an edit needs a processor
// several times on its way, of this process and of PostgreSQL's, and behind those
// who compute it waits some milliseconds each time. So while something that is
// not bulk has come lately, the pieces of bulk, of all channels of this process,
// take turns, and after each there is a rest: there is mostly a processor for an
// edit, and where nobody edits nothing is slower.
//
// A turn is taken for work of our own, never for a call to a target: no target
// holds another's bulk up.
type courtesy struct {
	edited atomic.Int64 // when something was at hand that is not bulk, Unix nanoseconds
	turns  chan struct{}
}

func newCourtesy() *courtesy {
	return &courtesy{turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/4))}
}

// heed notes that there is something that is not bulk.
func (c *courtesy) heed() { c.edited.Store(time.Now().UnixNano()) }

// asked reports whether bulk is to step aside.
func (c *courtesy) asked() bool {
	return time.Since(time.Unix(0, c.edited.Load())) < heedFor
}

// turn waits until a piece of bulk may be worked on, that has taken spent already;
// done ends it. Its error is ctx's.
func (c *courtesy) turn(ctx context.Context, spent time.Duration) (done func(), err error) {
	if !c.asked() {
		return func() {}, nil
	}
	select {
	case c.turns <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	began := time.Now()
	return func() { time.AfterFunc(min(resting*(spent+time.Since(began)), restMost), func() { <-c.turns }) }, nil
}
