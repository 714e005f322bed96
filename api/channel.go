package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const tagChannels = "channels"

// Channel is a channel as the API shows it: secrets never come back.
type Channel struct {
	Code           pim.ChannelCode `json:"code"`
	Connector      string          `json:"connector" doc:"none: it has no target, and nothing is sent until it is given another one"`
	Locale         pim.Locale      `json:"locale"`
	Currency       pim.Currency    `json:"currency"`
	PriceList      string          `json:"price_list"`
	CategoryRoot   string          `json:"category_root,omitempty" doc:"Mappings see of a product's categories those at or below this one; left out: all"`
	Locations      []string        `json:"locations" doc:"Whose stock counts; empty: every location's"`
	Renditions     []string        `json:"renditions" doc:"Codes of the renditions that it shows: the first is its pictures, its mapping may name the others; none: originals"`
	Config         object          `json:"config" doc:"Shaped by the connector, without its secrets"`
	Secrets        []string        `json:"secrets" doc:"Names of the secrets that are set"`
	Mapping        object          `json:"mapping,omitempty" doc:"Lane → field of the channel's document → CEL expression, and the tables that expressions look into; absent, as the limits and enabled, without a connector"`
	Policy         pim.Policy      `json:"policy" doc:"How it is treated; what is left out is the default"`
	Batch          int             `json:"batch,omitempty"`
	Concurrency    int             `json:"concurrency,omitempty"`
	TimeoutSeconds float64         `json:"timeout_seconds,omitempty"`
	SettleSeconds  float64         `json:"settle_seconds,omitempty"`
	Enabled        *bool           `json:"enabled,omitempty" doc:"false: paused"`
	Test           bool            `json:"test" doc:"It is a test: it alone is shown what providers for tests have translated or written"`
	AllowPrivate   bool            `json:"allow_private" doc:"Its targets may be on loopback and private addresses: set by a process that allows them"`
	Version        int64           `json:"version" doc:"Of the settings: what the ETag names"`
	Status         ChannelStatus   `json:"status"`
	Warnings       []string        `json:"warnings,omitempty" doc:"What these settings will not do as they stand, such as sending to a private address without the permission; not in lists"`
	CreatedAt      time.Time       `json:"created_at"`
}

// ChannelStatus is how a channel fares.
type ChannelStatus struct {
	State          string     `json:"state" enum:"ok,no_connector,paused,down,auth,throttled,budget,quota,rate" doc:"no_connector: it has no target. down: the target failed three times or more, and is probed until it answers. auth: it refuses our credentials, and is asked seldom until they are changed. The others until throttled_until: the target said that it is too much, or that its budget is used up; or the channel's own quota or rate is"`
	Fails          int        `json:"fails" doc:"Failures of the target in a row"`
	Allowed        int        `json:"allowed" doc:"Calls in flight that are allowed now"`
	NextProbeAt    *time.Time `json:"next_probe_at,omitempty"`
	ThrottledUntil *time.Time `json:"throttled_until,omitempty"`
	LastError      string     `json:"last_error,omitempty"`
	Held           []HeldLane `json:"held,omitempty" doc:"Lanes that send nothing but what is sold out"`
	RequestsToday  int64      `json:"requests_today" doc:"Granted of the day's quota; 0 without one"`
	Publishing     bool       `json:"publishing" doc:"The whole catalogue is being marked for this channel"`

	Pull *postgres.PullStatus `json:"pull,omitempty" doc:"How the reading of the target fares, of a channel whose target owns prices or stock"`
}

// HeldLane is a lane that rests.
type HeldLane struct {
	Lane  string    `json:"lane" enum:"content,offer,media"`
	For   string    `json:"for" enum:"window,quota" doc:"window: none is open. quota: the lane's part of the day's is used up"`
	Until time.Time `json:"until"`
}

type channelAnswer struct {
	Status   int
	ETag     string `header:"ETag" doc:"The version of the settings"`
	Location string `header:"Location"`
	Body     Channel
}

type putChannel struct {
	CodePath
	Preconditions
	RawInput
}

// Tested says that a target answers and takes the credentials.
type Tested struct {
	OK bool `json:"ok"`
}

func (s *server) registerChannels() {
	handle(s, op("list-connectors", http.MethodGet, "/v1/connectors", tagChannels, "List the connectors that channels can use"), s.listConnectors)
	handle(s, op("list-channels", http.MethodGet, "/v1/channels", tagChannels, "List all channels by code"), s.listChannels)
	handle(s, op("get-channel", http.MethodGet, "/v1/channels/{code}", tagChannels, "Get a channel"), s.getChannel)
	handle(s, op("create-channel", http.MethodPost, "/v1/channels", tagChannels, "Create a channel and publish the whole catalogue to it",
		says("One with the connector none has no target: nothing is sent for it until a PUT or PATCH gives it another connector, to which the whole catalogue is published then."),
		status(http.StatusCreated), takesJSON[jobs.ChannelSpec](s)), s.createChannel)
	handle(s, op("put-channel", http.MethodPut, "/v1/channels/{code}", tagChannels, "Replace a channel's settings",
		says("Secrets that the body leaves out stay, and so does whether it is paused. What differs afterwards is sent. A channel's connector stays, unless it is none."),
		keeps("connector", "enabled", "test"), means(s.meantChannel), takesJSON[jobs.ChannelSpec](s, "code", "connector")), s.putChannel)
	handle(s, op("patch-channel", http.MethodPatch, "/v1/channels/{code}", tagChannels, "Change what the body names of a channel's settings (JSON merge patch)",
		takes(maxEdit, map[string]*huma.Schema{typeMerge: anyObject(), typeJSON: anyObject()})), s.patchChannel)
	deletes(s, op("delete-channel", http.MethodDelete, "/v1/channels/{code}", tagChannels, "Delete a channel; its target keeps what it has"),
		func(ctx context.Context, code string, rev int64) error {
			return s.Store.DeleteChannel(ctx, pim.ChannelCode(code), rev)
		})
	handle(s, op("test-channel", http.MethodPost, "/v1/channels/{code}/test", tagChannels, "Ask a channel's target whether it answers",
		says("Changes nothing there. A target that does not answer, or refuses the credentials, is a 502 that says why."), takesLong), s.testChannel)
	handle(s, op("pause-channel", http.MethodPost, "/v1/channels/{code}/pause", tagChannels, "Stop sending to a channel; what changes meanwhile waits"),
		func(ctx context.Context, in *CodePath) (*channelAnswer, error) {
			return s.command(ctx, in.Code, s.Store.PauseChannel)
		})
	handle(s, op("resume-channel", http.MethodPost, "/v1/channels/{code}/resume", tagChannels, "Send to a channel again, at once"),
		func(ctx context.Context, in *CodePath) (*channelAnswer, error) {
			return s.command(ctx, in.Code, s.Store.ResumeChannel)
		})
	s.registerChoices()
}

func anyObject() *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "Fields as in PUT; null resets one"}
}

func (s *server) viewChannel(c *postgres.Channel) Channel {
	config, secrets := s.Channels.Public(c)
	if !c.HasConnector() {
		return viewUnsent(c, config)
	}
	v := Channel{
		Code: c.Code, Connector: c.Connector, Locale: c.Locale, Currency: c.Currency, PriceList: c.PriceList, CategoryRoot: c.CategoryRoot, Locations: none(c.Locations),
		Renditions: none(c.Renditions), Config: object(config), Secrets: none(secrets), Mapping: object(c.Mapping), Policy: c.Policy, Batch: c.Batch, Concurrency: c.Concurrency,
		TimeoutSeconds: c.Timeout.Seconds(), SettleSeconds: c.Settle.Seconds(), Enabled: &c.Enabled, Test: c.Test, AllowPrivate: c.AllowPrivate,
		Version: c.Version, CreatedAt: c.CreatedAt,
		Status: ChannelStatus{
			State: "ok", Fails: c.Fails, Allowed: c.Allowed, NextProbeAt: c.NextProbeAt, ThrottledUntil: c.ThrottledUntil,
			LastError: c.LastError, RequestsToday: c.RequestsToday, Publishing: c.Marking, Pull: c.Pull,
		},
	}
	if why, _ := c.Rests(time.Now()); why != "" {
		v.Status.State = why
	}
	if !c.Enabled {
		v.Status.State = "paused"
	}
	for _, h := range c.Held {
		v.Status.Held = append(v.Status.Held, HeldLane{Lane: h.Lane.String(), For: h.For, Until: h.Until})
	}
	return v
}

// viewUnsent is a channel without a connector, without what it gets with one: whoever
// puts back what was shown, with a connector, gets that one's own.
func viewUnsent(c *postgres.Channel, config json.RawMessage) Channel {
	return Channel{
		Code: c.Code, Connector: c.Connector, Locale: c.Locale, Currency: c.Currency, PriceList: c.PriceList, CategoryRoot: c.CategoryRoot, Locations: none(c.Locations),
		Renditions: none(c.Renditions), Config: object(config), Secrets: []string{}, Policy: c.Policy, Test: c.Test, Version: c.Version, CreatedAt: c.CreatedAt,
		Status: ChannelStatus{State: string(jobs.ReasonNoConnector)},
	}
}

func (s *server) answerChannel(c *postgres.Channel) *channelAnswer {
	v := s.viewChannel(c)
	v.Warnings = s.Channels.Warnings(c) // not of a list: they may look at a folder, and a disk that does not answer would keep all others from it
	return &channelAnswer{Status: http.StatusOK, ETag: etag(c.Version), Body: v}
}

func (s *server) listChannels(ctx context.Context, _ *struct{}) (*answer[page[Channel]], error) {
	list, err := s.Store.Channels(ctx)
	if err != nil {
		return nil, err
	}
	items := make([]Channel, len(list))
	for i, c := range list {
		items[i] = s.viewChannel(c)
	}
	return pageOf(items, ""), nil
}

func (s *server) getChannel(ctx context.Context, in *CodePath) (*channelAnswer, error) {
	c, err := s.Store.Channel(ctx, pim.ChannelCode(in.Code))
	if err != nil {
		return nil, err
	}
	return s.answerChannel(c), nil
}

// ReadChannel binds v, as pim.DecodeJSON gives it, to a channel's settings.
// given are members that are told elsewhere. Problems of single members come
// back beside the rest, for jobs.Channels to tell with those that it finds; the
// error is of a v that is no object.
func ReadChannel(v any, given map[string]string) (jobs.ChannelSpec, []pim.Problem, error) {
	whole, ok := v.(map[string]any)
	if !ok {
		return jobs.ChannelSpec{}, nil, &pim.Invalid{Problems: []pim.Problem{{Code: "field.type", Detail: "an object is expected, not " + kindOf(v)}}}
	}
	if whole["config"] == nil && whole["connector"] == pim.NoConnector { // it has none to be left out by mistake
		whole["config"] = map[string]any{}
	}
	spec, err := bind[jobs.ChannelSpec](v, given)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		return spec, invalid.Problems, nil
	}
	return spec, nil, err
}

func (s *server) createChannel(ctx context.Context, in *RawInput) (*channelAnswer, error) {
	v, err := pim.DecodeJSON(in.RawBody, 0)
	if err != nil {
		return nil, err
	}
	spec, problems, err := ReadChannel(v, nil)
	if err != nil {
		return nil, err
	}
	spec.Actor = callOf(ctx).key.Name
	c, err := s.Channels.Create(ctx, spec, problems...)
	if err != nil {
		return nil, err
	}
	s.wakeRenditions(c)
	a := s.answerChannel(c)
	a.Status, a.Location = http.StatusCreated, "/v1/channels/"+string(c.Code)
	return a, nil
}

func (s *server) putChannel(ctx context.Context, in *putChannel) (*channelAnswer, error) {
	return s.changeChannel(ctx, in, func(old *postgres.Channel, body map[string]any) (map[string]any, error) {
		if body["connector"] == nil {
			body["connector"] = old.Connector
		}
		if body["enabled"] == nil && old.HasConnector() {
			body["enabled"] = old.Enabled
		}
		return body, nil
	})
}

func (s *server) patchChannel(ctx context.Context, in *putChannel) (*channelAnswer, error) {
	return s.changeChannel(ctx, in, func(old *postgres.Channel, body map[string]any) (map[string]any, error) {
		now, err := s.settings(old)
		if err != nil {
			return nil, err
		}
		return mergeSettings(now, body), nil
	})
}

// settings are a channel's as a PUT would bring them, without secrets.
func (s *server) settings(c *postgres.Channel) (map[string]any, error) {
	config, _ := s.Channels.Public(c)
	now := map[string]any{
		"code": c.Code, "connector": c.Connector, "locale": c.Locale, "currency": c.Currency, "price_list": c.PriceList, "category_root": c.CategoryRoot,
		"locations": none(c.Locations), "renditions": none(c.Renditions), "config": config, "policy": c.Policy, "test": c.Test,
	}
	if c.HasConnector() {
		now["mapping"], now["enabled"], now["batch"], now["concurrency"] = c.Mapping, c.Enabled, c.Batch, c.Concurrency
		now["timeout_seconds"], now["settle_seconds"] = c.Timeout.Seconds(), c.Settle.Seconds()
	}
	raw, err := json.Marshal(now)
	if err != nil {
		return nil, err
	}
	v, err := pim.DecodeJSON(raw, 0)
	if err != nil {
		return nil, err
	}
	m, _ := v.(map[string]any)
	return m, nil
}

// meantChannel is a body of PUT with the defaults of what it leaves out.
func (s *server) meantChannel(shown, body map[string]any) (map[string]any, error) {
	name, ok := body["connector"].(string)
	if !ok {
		name, _ = shown["connector"].(string)
	}
	kind, err := s.Registry.Kind(name)
	if err != nil {
		return nil, err
	}
	defaults := map[string]any{"price_list": "default"}
	if l := kind.Limits; name != pim.NoConnector {
		maps.Copy(defaults, map[string]any{
			"batch": l.Batch, "concurrency": l.Concurrency, "timeout_seconds": l.Timeout.Seconds(), "settle_seconds": l.Settle.Seconds(), "mapping": jobs.DefaultMapping(kind),
		})
	}
	whole, err := asMembers(defaults)
	if err != nil {
		return nil, err
	}
	maps.Copy(whole, body)
	return whole, nil
}

// mergeSettings is a merge patch but for one thing: a null in config that
// names no open field is kept, since it takes a secret away.
func mergeSettings(now, patch map[string]any) map[string]any {
	out, _ := pim.MergePatch(now, patch).(map[string]any)
	changes, _ := patch["config"].(map[string]any)
	open, _ := now["config"].(map[string]any)
	config, ok := out["config"].(map[string]any)
	if !ok {
		return out
	}
	config = maps.Clone(config)
	for name, v := range changes {
		if _, isOpen := open[name]; v == nil && !isOpen {
			config[name] = nil
		}
	}
	out["config"] = config
	return out
}

// changeChannel is PUT and PATCH: work makes the wanted settings of those that
// stand and the body, and is asked again when they have changed meanwhile.
func (s *server) changeChannel(ctx context.Context, in *putChannel, work func(old *postgres.Channel, body map[string]any) (map[string]any, error)) (*channelAnswer, error) {
	v, err := pim.DecodeJSON(in.RawBody, 0)
	if err != nil {
		return nil, err
	}
	body, ok := v.(map[string]any)
	if !ok {
		_, _, err := ReadChannel(v, nil)
		return nil, err
	}
	want, p := parseIfMatch(in.IfMatch)
	if p != nil {
		return nil, p
	}
	code := pim.ChannelCode(in.Code)
	for race := 0; ; race++ {
		old, err := s.Store.Channel(ctx, code)
		if err != nil {
			return nil, err
		}
		if want.given && !want.any && !slices.Contains(want.revisions, old.Version) {
			return nil, stale(old.Version)
		}
		whole, err := work(old, maps.Clone(body))
		if err != nil {
			return nil, err
		}
		spec, problems, err := ReadChannel(whole, map[string]string{"code": in.Code})
		if err != nil {
			return nil, err
		}
		spec.Actor = callOf(ctx).key.Name
		now, err := s.Channels.Update(ctx, code, spec, old.Version, problems...)
		if errors.Is(err, postgres.ErrStale) && race < maxRaces {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.wakeChannel(now.ID)
		s.wakeRenditions(now)
		return s.answerChannel(now), nil
	}
}

func (s *server) testChannel(ctx context.Context, in *CodePath) (*answer[Tested], error) {
	if err := s.Channels.Test(ctx, pim.ChannelCode(in.Code)); err != nil {
		return nil, err
	}
	return &answer[Tested]{Tested{OK: true}}, nil
}

// command runs a command on a channel, wakes it and shows it.
func (s *server) command(ctx context.Context, code string, do func(context.Context, pim.ChannelCode) error) (*channelAnswer, error) {
	if err := do(ctx, pim.ChannelCode(code)); err != nil {
		return nil, err
	}
	c, err := s.Store.Channel(ctx, pim.ChannelCode(code))
	if err != nil {
		return nil, err
	}
	s.wakeChannel(c.ID)
	return s.answerChannel(c), nil
}

// wakeChannel wakes all that works for a channel.
func (s *server) wakeChannel(id pim.ChannelID) {
	s.Wake(postgres.Consumer{Kind: postgres.Pull, Channel: id}, postgres.Consumer{Kind: postgres.Reconcile, Channel: id})
	for _, lane := range pim.AllLanes {
		s.Wake(postgres.Consumer{Kind: postgres.Drain, Channel: id, Lane: lane})
	}
}

// wakeRenditions wakes what makes the renditions that a channel shows.
func (s *server) wakeRenditions(c *postgres.Channel) {
	if len(c.Renditions) > 0 {
		s.wakeMedia()
	}
}

// Connector is a kind of channel.
type Connector struct {
	Name         string             `json:"name"`
	Title        string             `json:"title"`
	Lanes        []pim.Lane         `json:"lanes" doc:"What it can send"`
	Powers       []connectors.Power `json:"powers" enum:"poll,preflight,pull,hook,upload,read" doc:"What a channel of it can do beyond pushing; by its config it may do less: ask later for outcomes, check documents before they are sent, bring the target's prices and stock home, be called by the target, take files of its own, tell what it holds"`
	Withdrawals  []pim.Withdrawal   `json:"withdrawals" enum:"delete,disable,zero_stock" doc:"What a channel's policy may have it do with a product that leaves the channel"`
	Versions     bool               `json:"versions" doc:"The target itself refuses what is older than it holds"`
	Limits       ConnectorLimits    `json:"limits" doc:"Defaults; a channel may set its own"`
	ConfigSchema object             `json:"config_schema" doc:"JSON Schema of a channel's config; secrets are writeOnly"`
	Mapping      connectors.Mapping `json:"mapping" doc:"What a channel gets that brings none"`
}

// ConnectorLimits bound the calls of a channel.
type ConnectorLimits struct {
	Batch          int     `json:"batch" doc:"Items in one call"`
	Concurrency    int     `json:"concurrency" doc:"Calls in flight for one lane"`
	TimeoutSeconds float64 `json:"timeout_seconds"`
	SettleSeconds  float64 `json:"settle_seconds" doc:"How long a request whose answer was lost may still take effect"`
}

func (s *server) listConnectors(context.Context, *struct{}) (*answer[page[Connector]], error) {
	var items []Connector
	for _, k := range s.Registry.Kinds() {
		schema, err := configSchema(k)
		if err != nil {
			return nil, err
		}
		items = append(items, Connector{
			Name: k.Name, Title: k.Title, Lanes: k.Lanes, Powers: k.Powers(), Withdrawals: none(k.Withdrawals), Versions: k.Versions, Mapping: k.Mapping, ConfigSchema: schema,
			Limits: ConnectorLimits{
				Batch: k.Limits.Batch, Concurrency: k.Limits.Concurrency,
				TimeoutSeconds: k.Limits.Timeout.Seconds(), SettleSeconds: k.Limits.Settle.Seconds(),
			},
		})
	}
	return pageOf(items, ""), nil
}
