//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// onChannels lends the channels of the database to do.
func (k keyset) onChannels(ctx context.Context, do func(*postgres.Store, *jobs.Channels) error) error {
	keys, err := k.open()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	return do(store, jobs.NewChannels(store, all.Registry(), keys, connectors.Env{Version: versionText()}))
}

// mappingOf reads a mapping's file; nil for none.
func mappingOf(path string, c console) (*connectors.Mapping, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // none is an answer here
	}
	text, err := readBounded(path, c.in)
	if err != nil {
		return nil, err
	}
	m, err := api.ReadMapping(text)
	if err != nil {
		return nil, fmt.Errorf("read the mapping %s: %w", path, err)
	}
	return &m, nil
}

type channelPreviewCmd struct {
	keyset
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
	SKU  pim.SKU         `arg:"" name:"sku" help:"The product."`

	Mapping string `placeholder:"FILE" type:"path" help:"Try the mapping in this JSON file, without saving it; - is standard input."`
}

// Run prints the preview as JSON, as the API does.
func (p channelPreviewCmd) Run(ctx context.Context, c console) error {
	m, err := mappingOf(p.Mapping, c)
	if err != nil {
		return err
	}
	return p.onChannels(ctx, func(_ *postgres.Store, channels *jobs.Channels) error {
		preview, err := channels.Preview(ctx, p.Code, p.SKU, m)
		if err != nil {
			return err
		}
		return printJSON(c.out, api.ViewPreview(preview))
	})
}

type channelDryRunCmd struct {
	keyset
	Code pim.ChannelCode `arg:"" help:"The channel's code."`

	Mapping      string     `placeholder:"FILE" type:"path" help:"Try the mapping in this JSON file, without saving it; - is standard input."`
	Filter       string     `short:"f" placeholder:"CONDITION" help:"Only products that fit it, such as: values.color = red. docs/finding.md has the language."`
	Family       string     `help:"Only products of this family."`
	Category     string     `help:"Only products in this category, or in one below it."`
	Parent       pim.SKU    `help:"Only variants of this SKU."`
	SKUPrefix    string     `name:"sku-prefix" help:"Only products whose SKU begins so."`
	UpdatedSince *time.Time `placeholder:"TIME" help:"Only products whose content changed at or after this time, such as 2026-11-27T09:00:00Z."`
	Limit        int        `help:"Look at so many products at most; 0 is all." default:"0"`
	JSON         bool       `name:"json" help:"Print a JSON object."`
}

// dryRunView is a dry run as it is printed.
type dryRunView struct {
	Products int              `json:"products"`
	Lanes    []api.RunLane    `json:"lanes"`
	Refused  []api.Refusal    `json:"refused"`
	lanes    map[pim.Lane]int // index of each in Lanes
}

// Run goes through the catalogue in parts, and prints what became of it.
func (d channelDryRunCmd) Run(ctx context.Context, c console) error {
	m, err := mappingOf(d.Mapping, c)
	if err != nil {
		return err
	}
	v := &dryRunView{Lanes: []api.RunLane{}, Refused: []api.Refusal{}, lanes: map[pim.Lane]int{}}
	run := jobs.DryRun{Mapping: m, Filter: postgres.ProductFilter{
		Family: d.Family, Category: d.Category, Parent: d.Parent, SKUPrefix: d.SKUPrefix, UpdatedSince: d.UpdatedSince,
	}}
	if d.Filter != "" {
		if run.Filter.Where, err = pim.ParseFilter(d.Filter); err != nil {
			return err
		}
	}
	err = d.onChannels(ctx, func(_ *postgres.Store, channels *jobs.Channels) error {
		for {
			if run.Limit = jobs.MaxDryRun; d.Limit > 0 {
				run.Limit = min(run.Limit, d.Limit-v.Products)
			}
			part, err := channels.DryRun(ctx, d.Code, run)
			if err != nil {
				return err
			}
			v.add(part)
			if run.Cursor = part.Next; part.Next == "" || d.Limit > 0 && v.Products >= d.Limit {
				return nil
			}
		}
	})
	if err != nil {
		return err
	}
	if d.JSON {
		return printJSON(c.out, v)
	}
	return v.print(c)
}

func (v *dryRunView) add(part *jobs.DryRunResult) {
	v.Products += part.Products
	for _, lane := range pim.AllLanes {
		counts, ok := part.Lanes[lane]
		if !ok {
			continue
		}
		if _, there := v.lanes[lane]; !there {
			v.lanes[lane] = len(v.Lanes)
			v.Lanes = append(v.Lanes, api.RunLane{Lane: lane, Outlooks: map[jobs.Outlook]int{}})
		}
		for outlook, n := range counts {
			v.Lanes[v.lanes[lane]].Outlooks[outlook] += n
		}
	}
	for _, r := range part.Refused {
		v.Refused = append(v.Refused, api.Refusal{SKU: r.SKU, Lane: r.Lane, Reason: r.Reason, Issues: r.Issues})
	}
}

// print writes a table of the lanes, and one of what would be refused, with a
// line for each issue.
func (v *dryRunView) print(c console) error {
	header := []string{"LANE"}
	for _, o := range jobs.Outlooks {
		header = append(header, strings.ToUpper(string(o)))
	}
	var rows [][]string
	for _, l := range v.Lanes {
		row := []string{l.Lane.String()}
		for _, o := range jobs.Outlooks {
			row = append(row, strconv.Itoa(l.Outlooks[o]))
		}
		rows = append(rows, row)
	}
	if _, err := fmt.Fprintf(c.out, "%d products; nothing was sent.\n\n", v.Products); err != nil {
		return err
	}
	if err := table(c.out, header, rows); err != nil || len(v.Refused) == 0 {
		return err
	}
	rows = nil
	for _, r := range v.Refused {
		if len(r.Issues) == 0 {
			rows = append(rows, []string{string(r.SKU), r.Lane.String(), "", "", "", oneLine(r.Reason)})
		}
		for _, i := range r.Issues {
			rows = append(rows, []string{string(r.SKU), r.Lane.String(), string(i.Severity), i.Code, i.Attribute, oneLine(i.Text)})
		}
	}
	if _, err := fmt.Fprintln(c.out); err != nil {
		return err
	}
	return table(c.out, []string{"REFUSED", "LANE", "SEVERITY", "CODE", "ATTRIBUTE", "PROBLEM"}, rows)
}

// oneLine keeps a text in its cell of a table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

type channelMappingCmd struct {
	keyset
	Code     pim.ChannelCode `arg:"" help:"The channel's code."`
	Show     int64           `xor:"what" placeholder:"VERSION" help:"Print this version's mapping."`
	Rollback int64           `xor:"what" placeholder:"VERSION" help:"Make this version the newest again."`
	Set      string          `xor:"what" placeholder:"FILE" type:"path" help:"Make the mapping in this JSON file the newest; - is standard input."`
	Note     string          `help:"With --set: why."`
	JSON     bool            `name:"json" help:"Print the list as a JSON array."`
}

// actorChannel is who versions say made a change.
const actorChannel = "sluice channel"

// Run lists, shows or changes the channel's mapping.
func (k channelMappingCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	if k.Rollback == 0 && k.Set == "" {
		return k.look(ctx, c)
	}
	m, err := mappingOf(k.Set, c)
	if err != nil {
		return err
	}
	return k.onChannels(ctx, func(store *postgres.Store, channels *jobs.Channels) error {
		if m != nil {
			_, err = channels.SetMapping(ctx, k.Code, *m, actorChannel, k.Note)
		} else {
			_, err = channels.RollBack(ctx, k.Code, k.Rollback, actorChannel)
		}
		if err != nil {
			return err
		}
		wake(ctx, log, store, k.Code)
		_, err = fmt.Fprintf(c.out, "Channel %s has its mapping; what differs by it is sent.\n", k.Code)
		return err
	})
}

// mappingView is a version as it is listed.
type mappingView struct {
	Version int64     `json:"version"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Note    string    `json:"note,omitempty"`
}

func (k channelMappingCmd) look(ctx context.Context, c console) error {
	if k.Show != 0 {
		store, err := openStore(ctx, few)
		if err != nil {
			return err
		}
		defer store.Close()
		ch, err := store.Channel(ctx, k.Code)
		if err != nil {
			return err
		}
		v, err := store.Mapping(ctx, ch.ID, k.Show)
		if err != nil {
			return err
		}
		return printJSON(c.out, v.Mapping)
	}
	read := func(ctx context.Context, store *postgres.Store) ([]mappingView, error) {
		ch, err := store.Channel(ctx, k.Code)
		if err != nil {
			return nil, err
		}
		list, _, err := store.Mappings(ctx, ch.ID, postgres.Page{Limit: 1000})
		views := make([]mappingView, len(list))
		for i, v := range list {
			views[i] = mappingView{v.Version, v.At, v.Actor, v.Note}
		}
		return views, err
	}
	return list(ctx, c, k.JSON, []string{"VERSION", "SINCE", "BY", "NOTE"}, read, func(v mappingView) []string {
		return []string{strconv.FormatInt(v.Version, 10), v.At.UTC().Format(time.RFC3339), v.Actor, oneLine(v.Note)}
	})
}
