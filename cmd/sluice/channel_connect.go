//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

type channelConnectCmd struct {
	keyset
	Code      pim.ChannelCode `arg:"" help:"The channel's code."`
	Connector string          `required:"" help:"The connector, for example webhook."`
	Config    string          `placeholder:"FILE" type:"path" help:"JSON file with the connector's settings; - is standard input."`
	Set       []string        `sep:"none" placeholder:"KEY=VALUE" help:"A setting of the connector; can be repeated. KEY=@FILE takes the value from a file, which keeps secrets off the command line."`
	Mapping   string          `placeholder:"FILE" type:"path" help:"JSON file with the channel's mapping; without it, the connector's own."`

	AllowPrivateTargets bool `env:"SLUICE_ALLOW_PRIVATE_TARGETS" help:"Let this channel send to loopback and private addresses."`
}

// Run gives the channel its connector.
func (k channelConnectCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	config, err := k.settings(c)
	if err != nil {
		return err
	}
	m, err := mappingOf(k.Mapping, c)
	if err != nil {
		return err
	}
	keys, err := k.open()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	channels := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{AllowPrivate: k.AllowPrivateTargets, Version: versionText()})
	if err := channels.BindKeyset(ctx); err != nil {
		return err
	}
	ch, err := store.Channel(ctx, k.Code)
	if err != nil {
		return err
	}
	if ch.HasConnector() {
		return fmt.Errorf("channel %s has the connector %s, and keeps it", ch.Code, ch.Connector)
	}
	spec, err := jobs.SpecOf(ch)
	if err != nil {
		return err
	}
	spec.Connector, spec.Config, spec.Mapping, spec.Actor = k.Connector, config, m, actorChannel
	if ch, err = channels.Update(ctx, k.Code, spec, ch.Version); err != nil {
		return err
	}
	if !ch.HasConnector() {
		return fmt.Errorf("--connector %s: channel %s has none already", k.Connector, ch.Code)
	}
	wake(ctx, log, store, ch.Code)
	for _, w := range channels.Warnings(ch) {
		fmt.Fprintf(c.err, "sluice: warning: %s\n", w)
	}
	_, err = fmt.Fprintf(c.out, "Channel %s has the connector %s; running workers publish the catalogue to it.\n", ch.Code, ch.Connector)
	return err
}

// settings puts the file's settings and those of the flags together; flags win.
func (k channelConnectCmd) settings(c console) (json.RawMessage, error) {
	config := map[string]any{}
	if k.Config != "" {
		text, err := readBounded(k.Config, c.in)
		if err != nil {
			return nil, err
		}
		v, err := pim.DecodeJSON(text, 0)
		if err != nil {
			return nil, err
		}
		is := false
		if config, is = v.(map[string]any); !is {
			return nil, fmt.Errorf("%s: a JSON object is expected", k.Config)
		}
	}
	said, err := readSettings(k.Set, c.in)
	if err != nil {
		return nil, err
	}
	maps.Copy(config, said)
	return json.Marshal(config)
}
