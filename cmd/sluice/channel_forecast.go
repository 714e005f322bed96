//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
)

type channelForecastCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
	JSON bool            `name:"json" help:"Print JSON."`
}

// Run tells the forecast.
func (f channelForecastCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	v, err := jobs.NewChannels(store, all.Registry(), nil, connectors.Env{}).Forecast(ctx, f.Code)
	if err != nil {
		return err
	}
	if f.JSON {
		e := json.NewEncoder(c.out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	if len(v.Lanes) == 0 {
		_, err := fmt.Fprintf(c.out, "No end can be told: %s.\n", v.Reason)
		return err
	}
	for _, l := range v.Lanes {
		line := fmt.Sprintf("%s: %d due, %d later, %d wait for content", l.Lane, l.Due, l.Later, l.Content)
		if l.Rate > 0 {
			line += fmt.Sprintf("; %.3g a second", l.Rate)
		}
		switch {
		case l.Reason != "":
			line += "; no end can be told: " + l.Reason
		case l.Due+l.Later > 0:
			line += "; done at " + l.ETA.Local().Format(time.DateTime) + ", if " + strings.Join(l.Assumes, ", and ")
		}
		if _, err := fmt.Fprintln(c.out, line+"."); err != nil {
			return err
		}
	}
	return nil
}
