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

// indexRest bounds the rest of a step beside an import, and with it by how much the first
// step after the import is late.
const indexRest = 5 * time.Second

// indexPatience is how long steps rest beside imports that leave no gap: with what they
// leave undone grows how late people's edits are found, which wait behind it.
const indexPatience = 5 * time.Minute

// index lets what lists are found by follow the log until ctx ends. Every process
// asks, and the row that says how far it was followed lets one of them do it; a
// step is a transaction, so nothing is lost with a process. While there are edits, the
// walks over the whole catalogue that a new channel or another family begins go in
// small pieces, with a rest after each: what they are for is nobody's edit. And while
// this process imports, each step has its rest, for some minutes: the import is done the
// sooner, and then what it has left is followed without one.
func (r *Runner) index(ctx context.Context, what string, step func(ctx context.Context, most int) (postgres.Indexed, error)) {
	var imports time.Time // since when there are any
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
			var rest time.Duration
			if more = did.More; polite && did.Walked > 0 {
				rest = restAfter(time.Since(began) * time.Duration(did.Walked) / time.Duration(did.Walked+did.Followed))
			}
			switch {
			case r.importing.Load() == 0:
				imports = time.Time{}
			case imports.IsZero():
				imports = began
				fallthrough
			case time.Since(imports) < indexPatience:
				rest = min(resting*time.Since(began), indexRest)
			}
			if rest > 0 {
				select {
				case <-ctx.Done():
				case <-time.After(rest):
				}
			}
		}
	}
}
