package jobs

import (
	"encoding/json"
	"fmt"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// This file is about channels without a connector. What people say of such a channel
// is what it shows: its locale, prices, categories and policy. Its mapping is empty,
// which is why no change marks a listing for it, and no consumer works for it: it
// costs the road nothing, whatever the catalogue's size.

// noMapping is the mapping, and the config, of a channel without a connector.
const noMapping = "{}"

// bare fills in a channel that has no connector, and refuses what is of one: it would
// be stored without effect, and without having been checked.
func bare(ch *postgres.Channel, spec ChannelSpec, known []pim.Problem) (problems []pim.Problem) {
	ch.Config, ch.Mapping, ch.Marks = json.RawMessage(noMapping), json.RawMessage(noMapping), postgres.Marks{}
	ch.Batch, ch.Concurrency, ch.Timeout, ch.Settle, ch.Enabled = 1, 1, minTime, minTime, true // nobody reads them
	of := func(given bool, pointer, detail string) {
		if given {
			problems = append(problems, pim.Problem{Pointer: pointer, Code: "connector.none", Detail: detail})
		}
	}
	const later = "a channel without a connector has none: leave it out, or give the channel a connector"
	of(spec.Enabled != nil, "/enabled", "nothing is sent for a channel without a connector, so it is neither paused nor enabled: leave it out, or give the channel a connector")
	if spec.Mapping != nil {
		text, err := json.Marshal(spec.Mapping)
		of(err != nil || string(text) != noMapping, "/mapping", later)
	}
	of(spec.Policy.Withdrawal != "", "/policy/withdrawal", "a channel without a connector has no target to withdraw from: leave it out, or give the channel a connector")
	var config map[string]json.RawMessage
	if len(spec.Config) > 0 && (json.Unmarshal(spec.Config, &config) != nil || config == nil) {
		problems = append(problems, pim.Problem{Pointer: "/config", Code: "config", Detail: "is not a JSON object"})
	}
	for name, v := range config {
		of(string(v) != "null", pim.JoinPointer("/config", name), later)
	}
	for _, limit := range []struct {
		pointer string
		v       float64
	}{{"/batch", float64(spec.Batch)}, {"/concurrency", float64(spec.Concurrency)}, {"/timeout_seconds", spec.TimeoutSeconds}, {"/settle_seconds", spec.SettleSeconds}} {
		of(limit.v != 0, limit.pointer, later)
		for i := range known {
			if k := &known[i]; k.Pointer == limit.pointer && k.Code == codeLimit {
				k.Detail = later
			}
		}
	}
	return problems
}

// connectorStays says why a channel does not get the connector that is asked for.
func connectorStays(wanted string) string {
	if wanted == pim.NoConnector {
		return "a channel that has a connector keeps it: pause the channel, or delete it"
	}
	return "the connector of a channel stays; create another channel"
}

// needsConnector is postgres.ErrNoConnector of a channel without one.
func needsConnector(ch *postgres.Channel) error {
	if ch.HasConnector() {
		return nil
	}
	return fmt.Errorf("channel %s: %w", ch.Code, postgres.ErrNoConnector)
}
