package jobs

import (
	"context"
	"math/rand/v2"
	"time"
)

// indexEvery is how often each process looks whether search and completeness
// have to follow the log, and so about how long a change takes to be found.
const indexEvery = time.Second

// index lets what lists are found by follow the log until ctx ends. Every process
// asks, and the row that says how far it was followed lets one of them do it; a
// step is a transaction, so nothing is lost with a process.
func (r *Runner) index(ctx context.Context, what string, step func(context.Context) (more bool, err error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(indexEvery/2 + rand.N(indexEvery)):
		}
		for more := true; more && ctx.Err() == nil && !r.stopping(); {
			var err error
			if more, err = step(ctx); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "follow the log", "index", what, "err", err)
			}
		}
	}
}
