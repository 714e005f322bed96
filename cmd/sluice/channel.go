//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

type channelCmd struct {
	List     channelListCmd     `cmd:"" help:"List channels and where they stand."`
	Show     channelShowCmd     `cmd:"" help:"Show a channel's settings and mapping, without secrets."`
	Create   channelCreateCmd   `cmd:"" help:"Create a channel; the whole catalogue is published to it."`
	Connect  channelConnectCmd  `cmd:"" help:"Give a channel without a connector one; the whole catalogue is published to it."`
	Test     channelTestCmd     `cmd:"" help:"Ask a channel's target whether it is there and takes our credentials."`
	Pause    channelPauseCmd    `cmd:"" help:"Stop sending to a channel; what changes meanwhile waits."`
	Resume   channelResumeCmd   `cmd:"" help:"Send to a channel again, at once."`
	Resync   channelResyncCmd   `cmd:"" help:"Render all of a channel's listings anew and send what differs."`
	Forecast channelForecastCmd `cmd:"" help:"Say until when what waits will have been sent."`
	Retry    channelRetryCmd    `cmd:"" help:"Try rejected listings of a channel again."`

	Preview channelPreviewCmd `cmd:"" help:"Show a product as a channel would get it now, beside what its target acknowledged last."`
	DryRun  channelDryRunCmd  `cmd:"" help:"Count what would become of many products on a channel, and list what would be refused."`
	Mapping channelMappingCmd `cmd:"" help:"List the versions of a channel's mapping, show one, go back to one, or set another mapping."`

	Delete channelDeleteCmd `cmd:"" help:"Delete a channel and its listings; the target keeps what it has."`
}

// channelView is a channel as it is printed.
type channelView struct {
	Code      pim.ChannelCode            `json:"code"`
	Connector string                     `json:"connector"`
	Locale    pim.Locale                 `json:"locale"`
	Currency  pim.Currency               `json:"currency"`
	State     string                     `json:"state"` // what keeps it from sending, or "sending"
	LastError string                     `json:"last_error,omitempty"`
	Listings  map[pim.ListingState]int64 `json:"listings,omitempty"`
	OldestAge float64                    `json:"oldest_unsent_seconds"`
	Settings  *settings                  `json:"settings,omitempty"`
}

// settings are what show adds.
type settings struct {
	PriceList      string          `json:"price_list"`
	CategoryRoot   string          `json:"category_root,omitempty"`
	Locations      []string        `json:"locations"`
	Renditions     []string        `json:"renditions"`
	Config         json.RawMessage `json:"config"`
	SealedSecrets  bool            `json:"sealed_secrets"`
	Mapping        json.RawMessage `json:"mapping"`
	Policy         pim.Policy      `json:"policy,omitzero"`
	Batch          int             `json:"batch"`
	Concurrency    int             `json:"concurrency"`
	TimeoutSeconds float64         `json:"timeout_seconds"`
	SettleSeconds  float64         `json:"settle_seconds"`
	AllowPrivate   bool            `json:"allow_private"`
	Version        int64           `json:"version"`
	CreatedAt      time.Time       `json:"created_at"`
}

// channelState is what keeps a channel from sending, in a few words.
func channelState(ch *postgres.Channel, now time.Time) string {
	why, _ := ch.Rests(now)
	switch {
	case !ch.HasConnector():
		return "no connector"
	case !ch.Enabled:
		return "paused"
	case why == postgres.HoldDown:
		return "breaker open"
	case why == postgres.HoldAuth:
		return "credentials refused"
	case why != "":
		return why
	case ch.Fails > 0:
		return "failing"
	case len(ch.Held) > 0:
		return ch.Held[0].Lane.String() + " waits: " + ch.Held[0].For
	}
	return "sending"
}

func viewOf(ch *postgres.Channel, lanes []postgres.LaneStats, now time.Time) channelView {
	v := channelView{
		Code: ch.Code, Connector: ch.Connector, Locale: ch.Locale, Currency: ch.Currency, State: channelState(ch, now), LastError: ch.LastError,
		Listings: map[pim.ListingState]int64{},
	}
	for _, l := range lanes {
		if l.Channel != ch.Code {
			continue
		}
		for state, n := range l.States {
			v.Listings[state] += n
		}
		v.OldestAge = max(v.OldestAge, l.Oldest.Seconds())
	}
	return v
}

type channelListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the channels.
func (l channelListCmd) Run(ctx context.Context, c console) error {
	header := []string{"CHANNEL", "CONNECTOR", "LOCALE", "CURRENCY", "STATE", "WAITING", "PENDING", "ON TARGET", "REJECTED", "OLDEST"}
	return list(ctx, c, l.JSON, header, channelViews, func(v channelView) []string {
		count := func(states ...pim.ListingState) string {
			var n int64
			for _, s := range states {
				n += v.Listings[s]
			}
			return strconv.FormatInt(n, 10)
		}
		oldest := "-"
		if v.OldestAge > 0 {
			oldest = time.Duration(v.OldestAge * float64(time.Second)).Round(time.Second).String()
		}
		return []string{
			string(v.Code), v.Connector, string(v.Locale), string(v.Currency), v.State, count(pim.StateWaiting), count(pim.StatePending),
			count(pim.StateAccepted, pim.StateLive, pim.StateVerified), count(pim.StateRejected), oldest,
		}
	})
}

func channelViews(ctx context.Context, store *postgres.Store) ([]channelView, error) {
	channels, err := store.Channels(ctx)
	if err != nil {
		return nil, err
	}
	lanes, err := store.LaneStats(ctx, "")
	if err != nil {
		return nil, err
	}
	now, err := store.Now(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]channelView, len(channels))
	for i, ch := range channels {
		views[i] = viewOf(ch, lanes, now)
	}
	return views, nil
}

type channelShowCmd struct {
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
}

// Run prints the channel as JSON.
func (s channelShowCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	ch, err := store.Channel(ctx, s.Code)
	if err != nil {
		return err
	}
	lanes, err := store.LaneStats(ctx, s.Code)
	if err != nil {
		return err
	}
	now, err := store.Now(ctx)
	if err != nil {
		return err
	}
	v := viewOf(ch, lanes, now)
	v.Settings = &settings{
		PriceList: ch.PriceList, CategoryRoot: ch.CategoryRoot, Locations: ch.Locations, Renditions: ch.Renditions, Config: ch.Config, SealedSecrets: ch.Secrets != nil, Mapping: ch.Mapping, Policy: ch.Policy,
		Batch: ch.Batch, Concurrency: ch.Concurrency, TimeoutSeconds: ch.Timeout.Seconds(), SettleSeconds: ch.Settle.Seconds(),
		AllowPrivate: ch.AllowPrivate, Version: ch.Version, CreatedAt: ch.CreatedAt,
	}
	return printJSON(c.out, v)
}

type channelCreateCmd struct {
	keyset
	Code      pim.ChannelCode `arg:"" optional:"" help:"The channel's code; with --file it may come from there."`
	File      string          `placeholder:"FILE" type:"path" help:"JSON file with all settings, as POST /v1/channels takes them; - is standard input."`
	Connector string          `help:"The connector, for example webhook; none is a channel without a target."`
	Locale    pim.Locale      `help:"The locale, for example en-GB."`
	Currency  pim.Currency    `help:"The currency, for example EUR."`
	Root      string          `name:"category-root" placeholder:"CODE" help:"What it shows of categories are this one and those below it."`
	PriceList string          `placeholder:"CODE" help:"The price list that it sells by; left out, default."`
	Locations []string        `name:"location" placeholder:"CODE" help:"A location whose stock it sells; can be repeated. Left out, all."`
	Set       []string        `sep:"none" placeholder:"KEY=VALUE" help:"A setting of the connector; can be repeated. KEY=@FILE takes the value from a file, which keeps secrets off the command line."`

	AllowPrivateTargets bool `env:"SLUICE_ALLOW_PRIVATE_TARGETS" help:"Let this channel send to loopback and private addresses."`
}

// maxSpec bounds a channel's JSON and each file of --set, in bytes.
const maxSpec = 1 << 20

// Run creates the channel.
func (k channelCreateCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	spec, problems, err := k.spec(c.in)
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
	env := connectors.Env{AllowPrivate: k.AllowPrivateTargets, Version: versionText()}
	channels := jobs.NewChannels(store, all.Registry(), keys, env)
	if err := channels.BindKeyset(ctx); err != nil {
		return err
	}
	spec.Actor = actorChannel
	ch, err := channels.Create(ctx, spec, problems...)
	if errors.Is(err, postgres.ErrExists) {
		return fmt.Errorf("there is a channel %s already", spec.Code)
	}
	if err != nil {
		return err
	}
	if !ch.HasConnector() {
		_, err = fmt.Fprintf(c.out, "Channel %s is created, without a connector: nothing is sent until it is given one (sluice channel connect %[1]s).\n", ch.Code)
		return err
	}
	wake(ctx, log, store, ch.Code)
	for _, w := range channels.Warnings(ch) {
		fmt.Fprintf(c.err, "sluice: warning: %s\n", w)
	}
	_, err = fmt.Fprintf(c.out, "Channel %s is created; running workers publish the catalogue to it.\n", ch.Code)
	return err
}

// spec puts the file's settings and the flags together; flags win. problems are
// those of single members.
func (k channelCreateCmd) spec(in io.Reader) (spec jobs.ChannelSpec, problems []pim.Problem, err error) {
	whole := map[string]any{}
	if k.File != "" {
		text, err := readBounded(k.File, in)
		if err != nil {
			return spec, nil, err
		}
		v, err := pim.DecodeJSON(text, 0)
		if err != nil {
			return spec, nil, err
		}
		ok := false
		if whole, ok = v.(map[string]any); !ok {
			_, _, err := api.ReadChannel(v, nil)
			return spec, nil, err
		}
	}
	for name, value := range map[string]string{
		"code": string(k.Code), "connector": k.Connector, "locale": string(k.Locale), "currency": string(k.Currency), "category_root": k.Root, "price_list": k.PriceList,
	} {
		if value != "" {
			whole[name] = value
		}
	}
	if len(k.Locations) > 0 {
		sells := make([]any, len(k.Locations))
		for i, l := range k.Locations {
			sells[i] = l
		}
		whole["locations"] = sells
	}
	config, ok := whole["config"].(map[string]any)
	if whole["config"] == nil {
		config, ok = map[string]any{}, true
	}
	said, err := readSettings(k.Set, in)
	if err != nil {
		return spec, nil, err
	}
	if ok {
		maps.Copy(config, said)
	}
	if ok { // else the file's config is no object, which is told below
		whole["config"] = config
	}
	return api.ReadChannel(whole, nil)
}

// readSettings reads what --set says.
func readSettings(set []string, in io.Reader) (config map[string]any, err error) {
	config = map[string]any{}
	for _, s := range set {
		name, value, is := strings.Cut(s, "=")
		if !is {
			return nil, fmt.Errorf("--set %s: KEY=VALUE is expected", s)
		}
		if file, is := strings.CutPrefix(value, "@"); is {
			text, err := readBounded(file, in)
			if err != nil {
				return nil, err
			}
			value = strings.TrimRight(string(text), "\r\n")
		}
		config[name] = value
	}
	return config, nil
}

// readBounded reads a small file, or standard input for "-".
func readBounded(path string, in io.Reader) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSpec+1))
	if err == nil && len(text) > maxSpec {
		err = fmt.Errorf("%s has more than %d bytes", path, maxSpec)
	}
	return text, err
}

type channelTestCmd struct {
	keyset
	Code pim.ChannelCode `arg:"" help:"The channel's code."`
}

// Run probes the target.
func (t channelTestCmd) Run(ctx context.Context, c console) error {
	var keys *seal.Keyset
	keys, err := t.open()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{Version: versionText()}).Test(ctx, t.Code); err != nil {
		return fmt.Errorf("channel %s: %w", t.Code, err)
	}
	_, err = fmt.Fprintf(c.out, "The target of channel %s is there and takes our credentials.\n", t.Code)
	return err
}
