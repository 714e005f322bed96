package jobs

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/sluicehub/sluice/pim/postgres"
)

// indexEvery is how often each process looks whether search and completeness
// have to follow the log, and so about how long a change takes to be found.
const indexEvery = time.Second

// index lets what lists are found by follow the log until ctx ends. Every process
// asks, and the row that says how far it was followed lets one of them do it; a
// step is a transaction, so nothing is lost with a process. While there are edits, the
// walks over the whole catalogue that a new channel or another family begins go in
// small pieces, with a rest after each: what they are for is nobody's edit.
func (r *Runner) index(ctx context.Context, what string, step func(ctx context.Context, most int) (postgres.Indexed, error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(indexEvery/2 + rand.N(indexEvery)):
		}
		for more := true; more && ctx.Err() == nil && !r.stopping(); {
			most, polite := 0, r.courtesy.asked()
			if polite {
				most = indexFew
			}
			began := time.Now()
			did, err := step(ctx, most)
			if err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "follow the log", "index", what, "err", err)
			}
			if more = did.More; polite && did.Walked > 0 {
				select {
				case <-ctx.Done():
				case <-time.After(restAfter(time.Since(began) * time.Duration(did.Walked) / time.Duration(did.Walked+did.Followed))):
				}
			}
		}
	}
}
