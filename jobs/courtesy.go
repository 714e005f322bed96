package jobs

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"
)

// heedFor is how long after an edit bulk still steps aside: longer than between
// two edits of anybody who is at work, or of an ERP that posts its changes.
const heedFor = time.Second

// resting is how many times as long as a piece took its rest is. With 3 the p95 of edits
// beside a new channel was about twice that of edits alone, with 8 half above it, with 12 a
// fifth. A channel fills that much more slowly, as long as somebody edits.
const resting = 12

// restMost bounds a rest: what took long waited for something, a database that was
// away or a lock, and no processor was wanted for it.
const restMost = time.Second

// turnMost bounds the wait for a turn. With many channels in one process bulk would
// else wait for ever while edits go on: a claim is stale after a shift, and begins anew.
const turnMost = 5 * time.Second

// receiptTurn bounds the wait of receipts: what they are of is claimed by nobody
// before they are stored, also where somebody has edited it meanwhile.
const receiptTurn = 250 * time.Millisecond

// pieceFew is how many listings a claim has at most while there are edits; a call,
// and one for each of a channel's senders, is always whole.
const pieceFew = 100

// rideOneIn is how many claims of edits leave bulk behind until one takes it along: a
// lane that has edits in each claim would else send no bulk before they cease.
const rideOneIn = 16

// indexFew is how many products what lists are found by looks at, in a piece, while
// there are edits.
const indexFew = 50

// courtesy has bulk step aside while there are edits: an edit needs a processor
// several times on its way, of this process and of PostgreSQL's, and behind those
// who compute it waits some milliseconds each time. So while something that is
// not bulk has come lately, the pieces of bulk, of all channels of this process,
// take turns, and after each there is a rest: there is mostly a processor for an
// edit, and where nobody edits nothing is slower.
//
// A turn is taken for work of our own, never for a call to a target: no target
// holds another's bulk up. And nobody waits for it who has an edit to send: who
// waits for a turn looks whether there is one, and leaves its bulk to a later claim.
type courtesy struct {
	edited atomic.Int64 // when something was at hand that is not bulk, Unix nanoseconds
	turns  chan struct{}
	most   time.Duration // the longest wait
	now    func() time.Time
	luck   func() bool // whether a claim of edits takes bulk along
}

func newCourtesy() *courtesy {
	return &courtesy{
		turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/4)), most: turnMost, now: time.Now,
		luck: func() bool { return rand.N(rideOneIn) == 0 },
	}
}

// heed notes that there is something that is not bulk.
func (c *courtesy) heed() { c.edited.Store(c.now().UnixNano()) }

// asked reports whether bulk is to step aside. A clock that was set back asks nothing.
func (c *courtesy) asked() bool {
	since := time.Duration(c.now().UnixNano() - c.edited.Load())
	return since >= 0 && since < heedFor
}

// piece is how many listings a claim has that could have limit, of calls with batch
// each by so many senders.
func (c *courtesy) piece(limit, batch, senders int) int {
	if !c.asked() {
		return limit
	}
	return min(limit, max(batch, min(batch*senders, pieceFew)))
}

// turn waits until a piece of bulk may be worked on, that has taken spent already;
// done ends it. After the time most it may be worked on without one. Meanwhile it
// asks every so often whether it is to be left alone: then goes is false. Its error
// is ctx's.
func (c *courtesy) turn(ctx context.Context, spent, most, every time.Duration, left func() bool) (done func(), goes bool, err error) {
	done = func() {}
	if !c.asked() {
		return done, true, nil
	}
	over, look := time.NewTimer(most), time.NewTicker(max(every, time.Millisecond))
	defer over.Stop()
	defer look.Stop()
	for {
		select {
		case c.turns <- struct{}{}:
			began := time.Now()
			return func() { time.AfterFunc(restAfter(spent+time.Since(began)), func() { <-c.turns }) }, true, nil
		case <-over.C:
			return done, true, nil
		case <-look.C:
			if !c.asked() {
				return done, true, nil
			}
			if left() {
				return done, false, nil
			}
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
}

// aside reports whether a claim leaves bulk to a later one where it has something
// that goes before it. An edit would else take a whole call of bulk along, without a turn.
func (c *courtesy) aside() bool { return c.asked() && !c.luck() }

// restAfter is how long a piece that took so long rests.
func restAfter(took time.Duration) time.Duration { return min(resting*took, restMost) }
