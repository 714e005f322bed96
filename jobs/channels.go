package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// Channels creates channels, checks their settings, and makes their
// connectors. It is safe for concurrent use.
type Channels struct {
	store    *postgres.Store
	registry *connectors.Registry
	keys     *seal.Keyset
	env      connectors.Env

	mu   sync.Mutex
	open map[pim.ChannelID]*Target
}

// NewChannels makes Channels; env is what connectors may use of the process.
func NewChannels(store *postgres.Store, registry *connectors.Registry, keys *seal.Keyset, env connectors.Env) *Channels {
	return &Channels{store: store, registry: registry, keys: keys, env: env, open: map[pim.ChannelID]*Target{}}
}

// ChannelSpec is what people say of a channel. Zero fields take the
// connector's defaults; in an update, secrets left out of Config stay.
type ChannelSpec struct {
	Code           pim.ChannelCode     `json:"code"`
	Connector      string              `json:"connector"`
	Locale         pim.Locale          `json:"locale"`
	Currency       pim.Currency        `json:"currency"`
	PriceList      string              `json:"price_list,omitempty"`
	Locations      []string            `json:"locations,omitempty"`
	Config         json.RawMessage     `json:"config"`
	Mapping        *connectors.Mapping `json:"mapping,omitempty"`
	Batch          int                 `json:"batch,omitempty"`
	Concurrency    int                 `json:"concurrency,omitempty"`
	TimeoutSeconds float64             `json:"timeout_seconds,omitempty"`
	SettleSeconds  float64             `json:"settle_seconds,omitempty"`
	Enabled        *bool               `json:"enabled,omitempty"`
}

// Bounds of a channel's own limits.
const (
	maxConcurrency = 256
	maxTimeout     = 5 * time.Minute
	maxSettle      = time.Hour
)

// Target is a channel ready to be sent to.
type Target struct {
	*postgres.Channel
	Kind      *connectors.Kind
	Connector connectors.Connector
	Program   *connectors.Program

	calls atomic.Int64 // concurrency that the last claim saw
}

// allowed is how many calls may be in flight, as far as this process knows.
func (t *Target) allowed() int { return int(t.calls.Load()) }

func (t *Target) allow(n int) { t.calls.Store(int64(min(n, t.Concurrency))) }

// Scope is the channel's view of a product at now.
func (t *Target) Scope(now time.Time) connectors.Scope {
	return connectors.Scope{
		Channel: t.Code, Locale: t.Locale, Currency: t.Currency, PriceList: t.PriceList, Locations: t.Locations, Now: now,
	}
}

// Create checks a spec and creates its channel, to which the whole catalogue
// is then published. The error is *pim.Invalid with pointers into the spec's
// JSON, or wraps postgres.ErrExists.
func (c *Channels) Create(ctx context.Context, spec ChannelSpec) (*postgres.Channel, error) {
	if err := pim.ValidCode("channel", string(spec.Code)); err != nil {
		return nil, invalid("/code", "code", err.Error())
	}
	ch, err := c.build(ctx, spec, nil)
	if err != nil {
		return nil, err
	}
	return c.store.CreateChannel(ctx, *ch)
}

// Update checks a spec and replaces the settings of the channel code with it;
// its code and connector stay. version, when not 0, is the one that the caller
// saw (postgres.ErrStale). Listings are rendered anew, and what differs is sent.
func (c *Channels) Update(ctx context.Context, code pim.ChannelCode, spec ChannelSpec, version int64) (*postgres.Channel, error) {
	old, err := c.store.Channel(ctx, code)
	if err != nil {
		return nil, err
	}
	if version != 0 && version != old.Version {
		return nil, fmt.Errorf("channel %s: %w", code, postgres.ErrStale)
	}
	spec.Code = code
	if spec.Connector == "" {
		spec.Connector = old.Connector
	}
	if spec.Connector != old.Connector {
		return nil, invalid("/connector", "connector.fixed", "the connector of a channel stays; create another channel")
	}
	if spec.Enabled == nil {
		spec.Enabled = &old.Enabled
	}
	ch, err := c.build(ctx, spec, old)
	if err != nil {
		return nil, err
	}
	ch.ID, ch.Version = old.ID, old.Version
	now, err := c.store.UpdateChannel(ctx, *ch)
	if err == nil && !sameJSON(ch.Config, old.Config) {
		// It may be another target, which holds nothing of what was acknowledged.
		err = c.store.ResyncChannel(ctx, code, true)
	}
	return now, err
}

// Test asks the channel's target whether it is there and takes our
// credentials. The error is a *connectors.Error for what the target said.
func (c *Channels) Test(ctx context.Context, code pim.ChannelCode) error {
	ch, err := c.store.Channel(ctx, code)
	if err != nil {
		return err
	}
	t, err := c.target(ch)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	return t.Connector.Probe(ctx)
}

// Public is a channel's configuration for readers: without secrets, and the
// names of those that are set.
func (c *Channels) Public(ch *postgres.Channel) (config json.RawMessage, secrets []string) {
	config = ch.Config
	if ch.Secrets == nil {
		return config, []string{}
	}
	if kind, err := c.registry.Kind(ch.Connector); err == nil {
		if m, err := c.unseal(ch); err == nil {
			for _, name := range secretFields(kind.Config) {
				if _, set := m[name]; set {
					secrets = append(secrets, name)
				}
			}
		}
	}
	return config, secrets
}

// build makes a channel of a spec, all problems at once.
func (c *Channels) build(ctx context.Context, spec ChannelSpec, old *postgres.Channel) (*postgres.Channel, error) {
	kind, err := c.registry.Kind(spec.Connector)
	if err != nil {
		return nil, invalid("/connector", "connector.unknown", err.Error())
	}
	schema, err := c.store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	ch := &postgres.Channel{
		Code: spec.Code, Connector: spec.Connector, Locale: spec.Locale, Currency: spec.Currency, PriceList: spec.PriceList, Locations: spec.Locations,
		Batch: spec.Batch, Concurrency: spec.Concurrency, Enabled: spec.Enabled == nil || *spec.Enabled,
		Timeout: time.Duration(spec.TimeoutSeconds * float64(time.Second)), Settle: time.Duration(spec.SettleSeconds * float64(time.Second)),
	}
	if ch.PriceList == "" {
		ch.PriceList = "default"
	}
	problems := append(checkScope(schema, ch), limits(kind, ch)...)

	mapping := kind.Mapping
	if mapping.Lanes() == 0 {
		mapping = connectors.DefaultMapping()
	}
	if spec.Mapping != nil {
		mapping = *spec.Mapping
	}
	if p, more := compile(kind, mapping); p != nil {
		ch.Marks = marksOf(p)
	} else {
		problems = append(problems, more...)
	}
	if ch.Mapping, err = json.Marshal(mapping); err != nil {
		return nil, err
	}
	full, more, err := c.configure(kind, ch, spec.Config, old)
	if err != nil {
		return nil, err
	}
	problems = append(problems, more...)
	if len(more) == 0 {
		if _, err := kind.New(full, c.lend(ch)); err != nil {
			problems = append(problems, configProblems(err)...)
		}
	}
	if len(problems) > 0 {
		return nil, &pim.Invalid{Problems: problems}
	}
	return ch, nil
}

func checkScope(s *pim.Schema, ch *postgres.Channel) (problems []pim.Problem) {
	add := func(pointer, code, detail string) {
		problems = append(problems, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
	}
	if !s.Locales[ch.Locale] {
		add("/locale", "locale.unknown", fmt.Sprintf("there is no locale %q", ch.Locale))
	}
	if !s.Currencies[ch.Currency] {
		add("/currency", "currency.unknown", fmt.Sprintf("there is no currency %q", ch.Currency))
	}
	if !s.PriceLists[ch.PriceList] {
		add("/price_list", "price_list.unknown", fmt.Sprintf("there is no price list %q", ch.PriceList))
	}
	for i, l := range ch.Locations {
		if !s.Locations[l] {
			add(fmt.Sprintf("/locations/%d", i), "location.unknown", fmt.Sprintf("there is no location %q", l))
		}
	}
	return problems
}

// limits fills in the kind's defaults and checks the bounds.
func limits(kind *connectors.Kind, ch *postgres.Channel) (problems []pim.Problem) {
	set := func(pointer string, v, fallback, ceiling int64) int64 {
		if v == 0 {
			return fallback
		}
		if v < 0 || v > ceiling {
			problems = append(problems, pim.Problem{Pointer: pointer, Code: "limit", Detail: "is out of bounds"})
		}
		return v
	}
	ch.Batch = int(set("/batch", int64(ch.Batch), int64(kind.Limits.Batch), int64(max(kind.MaxBatch, kind.Limits.Batch))))
	ch.Concurrency = int(set("/concurrency", int64(ch.Concurrency), int64(kind.Limits.Concurrency), maxConcurrency))
	ch.Timeout = time.Duration(set("/timeout_seconds", int64(ch.Timeout), int64(kind.Limits.Timeout), int64(maxTimeout)))
	ch.Settle = time.Duration(set("/settle_seconds", int64(ch.Settle), int64(kind.Limits.Settle), int64(maxSettle)))
	return problems
}

func compile(kind *connectors.Kind, m connectors.Mapping) (*connectors.Program, []pim.Problem) {
	p, err := connectors.Compile(m)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		problems := make([]pim.Problem, len(invalid.Problems))
		for i, at := range invalid.Problems {
			at.Pointer = "/mapping" + at.Pointer
			problems[i] = at
		}
		return nil, problems
	}
	if err != nil {
		return nil, []pim.Problem{{Pointer: "/mapping", Code: "mapping", Detail: err.Error()}}
	}
	if !p.Lanes().Has(pim.Content) {
		return nil, []pim.Problem{{Pointer: "/mapping/content", Code: "mapping.content", Detail: "a mapping needs at least one content field: the other lanes wait for the content to be there"}}
	}
	for _, l := range p.Lanes().List() {
		if !pim.LanesOf(kind.Lanes...).Has(l) {
			return nil, []pim.Problem{{Pointer: "/mapping/" + l.String(), Code: "mapping.lane", Detail: fmt.Sprintf("connector %s sends no %s", kind.Name, l)}}
		}
	}
	return p, nil
}

// marksOf turns what each lane's expressions read into what each lane's
// events touch.
func marksOf(p *connectors.Program) (m postgres.Marks) {
	for _, l := range p.Lanes().List() {
		in := p.Inputs(l)
		if in.Has(pim.Content) {
			m.Content |= pim.Lanes(l)
		}
		if in.Has(pim.Offer) {
			m.Offer |= pim.Lanes(l)
		}
		if in.Has(pim.Media) {
			m.Media |= pim.Lanes(l)
		}
	}
	return m
}

// configure splits a config into what is stored in the clear and what is
// sealed, takes over old secrets, and gives the whole.
func (c *Channels) configure(kind *connectors.Kind, ch *postgres.Channel, config json.RawMessage, old *postgres.Channel) (json.RawMessage, []pim.Problem, error) {
	fields := map[string]json.RawMessage{}
	if len(config) > 0 {
		if err := json.Unmarshal(config, &fields); err != nil || fields == nil {
			return nil, []pim.Problem{{Pointer: "/config", Code: "config", Detail: "is not a JSON object"}}, nil //nolint:nilerr // the client's fault, told as a problem
		}
	}
	secrets := map[string]json.RawMessage{}
	if old != nil && old.Secrets != nil {
		var err error
		if secrets, err = c.unseal(old); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range secretFields(kind.Config) {
		if v, ok := fields[name]; ok {
			if string(v) == "null" {
				delete(secrets, name)
			} else {
				secrets[name] = v
			}
			delete(fields, name)
		}
	}
	var err error
	if ch.Config, err = json.Marshal(fields); err != nil {
		return nil, nil, err
	}
	if len(secrets) > 0 {
		plain, err := json.Marshal(secrets)
		if err != nil {
			return nil, nil, err
		}
		if ch.Secrets, err = c.keys.Seal(plain, sealContext(ch.Code)); err != nil {
			return nil, nil, fmt.Errorf("seal the secrets of channel %s: %w", ch.Code, err)
		}
	}
	full, err := join(ch.Config, secrets)
	return full, nil, err
}

func join(config json.RawMessage, secrets map[string]json.RawMessage) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, err
	}
	for k, v := range secrets {
		all[k] = v
	}
	return json.Marshal(all)
}

func sealContext(code pim.ChannelCode) string { return "channel/" + string(code) }

func (c *Channels) unseal(ch *postgres.Channel) (map[string]json.RawMessage, error) {
	if ch.Secrets == nil {
		return map[string]json.RawMessage{}, nil
	}
	plain, err := c.keys.Open(ch.Secrets, sealContext(ch.Code))
	if err != nil {
		return nil, fmt.Errorf("open the secrets of channel %s (is SLUICE_KEYSET the file they were sealed with?): %w", ch.Code, err)
	}
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(plain, &m); err != nil {
		return nil, fmt.Errorf("decode the secrets of channel %s", ch.Code)
	}
	return m, nil
}

// Target makes the channel of id ready, as of the given version or, where the
// row has moved on, the row's. For version 0 any that this process knows will do: a claim tells the
// current one.
func (c *Channels) Target(ctx context.Context, id pim.ChannelID, version int64) (*Target, error) {
	c.mu.Lock()
	t := c.open[id]
	c.mu.Unlock()
	if t != nil && (version == 0 || t.Version == version) {
		return t, nil
	}
	ch, err := c.store.ChannelByID(ctx, id)
	if err != nil {
		return nil, err
	}
	if t != nil && t.Version == ch.Version {
		return t, nil
	}
	if t, err = c.target(ch); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[id] = t
	return t, nil
}

func (c *Channels) target(ch *postgres.Channel) (*Target, error) {
	kind, err := c.registry.Kind(ch.Connector)
	if err != nil {
		return nil, err
	}
	var m connectors.Mapping
	if err := json.Unmarshal(ch.Mapping, &m); err != nil {
		return nil, fmt.Errorf("decode the mapping of channel %s: %w", ch.Code, err)
	}
	p, err := connectors.Compile(m)
	if err != nil {
		return nil, fmt.Errorf("compile the mapping of channel %s: %w", ch.Code, err)
	}
	secrets, err := c.unseal(ch)
	if err != nil {
		return nil, err
	}
	full, err := join(ch.Config, secrets)
	if err != nil {
		return nil, fmt.Errorf("read the config of channel %s: %w", ch.Code, err)
	}
	conn, err := kind.New(full, c.lend(ch))
	if err != nil {
		return nil, fmt.Errorf("open channel %s: %w", ch.Code, err)
	}
	t := &Target{Channel: ch, Kind: kind, Connector: conn, Program: p}
	t.allow(ch.Allowed)
	return t, nil
}

// lend is the connector's environment on a channel.
func (c *Channels) lend(ch *postgres.Channel) connectors.Env {
	env := c.env
	env.Limits = connectors.Limits{Batch: ch.Batch, Concurrency: ch.Concurrency, Timeout: ch.Timeout, Settle: ch.Settle}
	return env
}

// secretFields are the JSON names of the fields of a config struct that are
// marked `secret:"true"`.
func secretFields(config any) (names []string) {
	t := reflect.TypeOf(config)
	if t == nil {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for f := range t.Fields() {
		if f.Tag.Get("secret") == "true" {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

func configProblems(err error) []pim.Problem {
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		out := make([]pim.Problem, len(invalid.Problems))
		for i, p := range invalid.Problems {
			p.Pointer = "/config" + p.Pointer
			out[i] = p
		}
		return out
	}
	return []pim.Problem{{Pointer: "/config", Code: "config", Detail: err.Error()}}
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func invalid(pointer, code, detail string) error {
	return &pim.Invalid{Problems: []pim.Problem{{Pointer: pointer, Code: code, Detail: detail}}}
}
