// Package none is the connector of a channel without a target: what families require
// on the channel, its scoped values, completeness and readiness, and its columns in
// exports are there, and nothing is sent until it is given another connector. What
// lives here: its kind, for lists and for configs to be checked by. What does not:
// keeping such channels off the road, which is the hub's.
package none

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// Config has no settings.
type Config struct{}

// Kind has no lane, so that no mapping fits it and no listing is made for it.
var Kind = &connectors.Kind{
	Name:   pim.NoConnector,
	Title:  "None (a channel without a target)",
	Lanes:  []pim.Lane{},
	Limits: connectors.Limits{Batch: 1, Concurrency: 1, Timeout: time.Second, Settle: time.Second},
	Config: &Config{},
	Makes:  []connectors.Connector{(*Connector)(nil)},
	New: func(config json.RawMessage, _ connectors.Env) (connectors.Connector, error) {
		var check connectors.ConfigCheck
		check.Decode(config, &Config{})
		if err := check.Err(); err != nil {
			return nil, err
		}
		return &Connector{}, nil
	},
}

// Connector refuses everything: whoever asks it has not looked whether the channel
// has a target.
type Connector struct{}

var errNone = errors.New("the channel has no connector")

// Push refuses the call.
func (*Connector) Push(context.Context, []connectors.Item) ([]connectors.Result, error) {
	return nil, &connectors.Error{Verdict: connectors.Permanent, Err: errNone}
}

// Probe says that there is nobody.
func (*Connector) Probe(context.Context) error {
	return &connectors.Error{Verdict: connectors.Permanent, Err: errNone}
}
