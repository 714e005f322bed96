package jobs

import "github.com/sluicehub/sluice/pim/postgres"

// BeforeFinish sets what runs between a holder's last look and its release.
func (r *Runner) BeforeFinish(f func(postgres.Consumer)) { r.beforeFinish = f }
