package jobs

import (
	"context"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// errand is what a channel's connector is called for. It travels in the context
// of the call, so that each request which the connector makes can be told apart:
// the connector itself knows nothing of it.
type errand struct {
	what string    // one of the constants below
	lane pim.Lane  // 0: of none
	skus []pim.SKU // those of the call; nil: of none in particular
}

// What connectors are called for.
const (
	errandPush   = "push"
	errandPoll   = "poll"
	errandProbe  = "probe"
	errandUpload = "upload"
	errandPull   = "pull"
	errandRead   = "read"
)

type errandKey struct{}

// on gives the context of a call that is made for e.
func (e *errand) on(ctx context.Context) context.Context {
	return context.WithValue(ctx, errandKey{}, e)
}

// errandOf is what ctx's call is made for; of what nobody said, an empty one.
func errandOf(ctx context.Context) *errand {
	if e, ok := ctx.Value(errandKey{}).(*errand); ok {
		return e
	}
	return &errand{}
}

// errandFor is the errand of a step's call.
func (s *step) errandFor(what string, tasks []*task) *errand {
	e := &errand{what: what, lane: s.l.Lane, skus: make([]pim.SKU, len(tasks))}
	for i, t := range tasks {
		e.skus[i] = t.SKU
	}
	return e
}

// wire is the hub's hand on the requests of one opened channel: it implements
// connectors.Wire. What it is to remember beyond that opening, for a channel is
// opened anew whenever its settings change, belongs to Channels, by ID.
type wire struct {
	channels *Channels
	channel  *postgres.Channel // as it was opened; not to be changed
}

// Pass implements connectors.Wire.
func (w *wire) Pass(context.Context) error { return nil }

// Heard implements connectors.Wire.
func (w *wire) Heard(ctx context.Context, x *connectors.Exchange) {}
