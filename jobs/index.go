package jobs

import (
	"context"
	"math/rand/v2"
	"time"
)

// indexEvery is how often each process looks whether search has to follow the
// log, and so about how long a change takes to be found.
const indexEvery = time.Second

// index lets search follow the log until ctx ends. Every process asks, and the
// row that says how far it was followed lets one of them do it; a step is a
// transaction, so nothing is lost with a process.
func (r *Runner) index(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(indexEvery/2 + rand.N(indexEvery)):
		}
		for more := true; more && ctx.Err() == nil && !r.stopping(); {
			var err error
			if more, err = r.store.IndexSearch(ctx); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "search", "err", err)
			}
		}
	}
}
