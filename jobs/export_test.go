package jobs

import (
	"context"

	"github.com/sluicehub/sluice/pim/postgres"
)

// BeforeFinish sets what runs between a holder's last look and its release.
func (r *Runner) BeforeFinish(f func(postgres.Consumer)) { r.beforeFinish = f }

// Flushed serves one wake of fan-out as flush would, and returns when it is served.
func (r *Runner) Flushed() {
	idle, _, err := r.store.Wake(context.Background(), []postgres.Consumer{{Kind: postgres.Fanout}})
	if err == nil {
		r.ensure(context.Background(), idle...)
	}
}
