package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
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
	decoded  *subjects
	media    *Media // nil: values of media are shown as they are stored
	tests    testTexts
	// exchanges are written down behind the road.
	exchanges *exchangeLog

	mu     sync.Mutex
	open   map[pim.ChannelID]*Target
	pacers map[pim.ChannelID]*pacer
}

// NewChannels makes Channels; env is what connectors may use of the process.
// Its AllowPrivate is what channels get that are created here, or whose config
// is changed here: it stays with them, whoever works them.
func NewChannels(store *postgres.Store, registry *connectors.Registry, keys *seal.Keyset, env connectors.Env) *Channels {
	return &Channels{store: store, registry: registry, keys: keys, env: env, decoded: newSubjects(), exchanges: newExchangeLog(store), open: map[pim.ChannelID]*Target{}, pacers: map[pim.ChannelID]*pacer{}}
}

// Shows makes media values show what m keeps. It is called before anything else.
func (c *Channels) Shows(m *Media) { c.media = m }

// Target is a channel ready to be sent to.
type Target struct {
	*postgres.Channel
	Kind      *connectors.Kind
	Connector connectors.Connector
	Program   *connectors.Program

	calls atomic.Int64 // concurrency that the last claim saw
	fits  atomic.Int64 // listings of one call, where the channel's rate is too low for a batch; 0: a batch
	links atomic.Bool  // its connector said that it takes no files with these settings
}

// allowed is how many calls may be in flight, as far as this process knows.
func (t *Target) allowed() int { return int(t.calls.Load()) }

func (t *Target) allow(n int) { t.calls.Store(int64(min(n, t.Concurrency))) }

// batch is how many listings one call has.
func (t *Target) batch() int {
	if n := int(t.fits.Load()); n > 0 {
		return min(n, t.Batch)
	}
	return t.Batch
}

// tooMany has calls be smaller, of which one with n listings was given up halfway
// for the channel's rate: one that is has to begin anew, and would never end.
func (t *Target) tooMany(n int) { t.fits.Store(int64(max(1, n/2))) }

// ended lets calls grow again, one of which came to its end.
func (t *Target) ended() {
	if n := t.fits.Load(); n > 0 && n < int64(t.Batch) {
		t.fits.CompareAndSwap(n, n+1)
	}
}

// Scope is the channel's view of a product at now.
func (t *Target) Scope(now time.Time) connectors.Scope {
	return connectors.Scope{
		Channel: t.Code, Locale: t.Locale, Currency: t.Currency, PriceList: t.PriceList, Locations: t.Locations, Stock: t.Policy.Stock, Now: now,
		CategoryRoot: t.CategoryRoot,
	}
}

// Test asks the channel's target whether it is there and takes our
// credentials. The error is a *connectors.Error for what the target said,
// postgres.ErrNoConnector where there is none.
func (c *Channels) Test(ctx context.Context, code pim.ChannelCode) error {
	ch, err := c.store.Channel(ctx, code)
	if err != nil {
		return err
	}
	if err := needsConnector(ch); err != nil {
		return err
	}
	t, err := c.target(ch)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	e := newErrand(errandProbe, 0)
	err = t.Connector.Probe(e.on(ctx))
	e.over(nil, err)
	c.Flush(ctx) // whoever asks may look at it next, and a command ends here
	return err
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
			for _, name := range taggedFields(kind.Config, "secret") {
				if _, set := m[name]; set {
					secrets = append(secrets, name)
				}
			}
		}
	}
	return config, secrets
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

// ClosedError is a channel that cannot be made ready by this process: its
// connector, mapping, secrets or config do not fit what the process has. Only a
// change of the channel, or of the process, helps. It does not unwrap: a reason
// such as a *pim.Invalid of the stored mapping is no fault of who asks.
type ClosedError struct {
	Channel pim.ChannelCode
	Err     error // fit to be shown: it has no secrets
}

// Error names the channel and says why.
func (e *ClosedError) Error() string {
	return fmt.Sprintf("open channel %s: %v", e.Channel, e.Err)
}

// target opens a channel. Its error is a *ClosedError.
func (c *Channels) target(ch *postgres.Channel) (*Target, error) {
	t, err := c.fitted(ch)
	if err != nil {
		return nil, &ClosedError{Channel: ch.Code, Err: err}
	}
	return t, nil
}

func (c *Channels) fitted(ch *postgres.Channel) (*Target, error) {
	kind, err := c.registry.Kind(ch.Connector)
	if err != nil {
		return nil, err
	}
	var m connectors.Mapping
	if err := json.Unmarshal(ch.Mapping, &m); err != nil {
		return nil, fmt.Errorf("decode its mapping: %w", err)
	}
	p, err := connectors.Compile(m)
	if err != nil {
		return nil, fmt.Errorf("compile its mapping: %w", err)
	}
	secrets, err := c.unseal(ch)
	if err != nil {
		return nil, err
	}
	full, err := join(ch.Config, secrets)
	if err != nil {
		return nil, fmt.Errorf("read its config: %w", err)
	}
	conn, err := kind.New(full, c.lend(ch, kind))
	if err != nil {
		return nil, err
	}
	t := &Target{Channel: ch, Kind: kind, Connector: conn, Program: p}
	t.allow(ch.Allowed)
	return t, nil
}

// pacerOf is the channel's pacer, which outlives the changes of its settings.
func (c *Channels) pacerOf(id pim.ChannelID) *pacer {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pacers[id]
	if p == nil {
		p = &pacer{}
		c.pacers[id] = p
	}
	return p
}

// lend is the connector's environment on a channel.
func (c *Channels) lend(ch *postgres.Channel, kind *connectors.Kind) connectors.Env {
	env := c.env
	env.Channel, env.AllowPrivate = ch.Code, ch.AllowPrivate
	env.Wire = &wire{channels: c, channel: ch, flow: flowOf(ch, kind), pacer: c.pacerOf(ch.ID)}
	env.Limits = connectors.Limits{Batch: ch.Batch, Concurrency: ch.Concurrency, Timeout: ch.Timeout, Settle: ch.Settle}
	return env
}

// taggedFields are the JSON names of the fields of a config struct whose tag is
// "true".
func taggedFields(config any, tag string) (names []string) {
	t := reflect.TypeOf(config)
	if t == nil {
		return nil
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for f := range t.Fields() {
		if f.Tag.Get(tag) == "true" {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// unset takes those of a config's fields out that are null: they are as if they were
// not there, and what nobody has set is no change. Names that the config has no field
// of stay, to be refused.
func unset(config any, fields map[string]json.RawMessage) {
	t := reflect.TypeOf(config)
	if t == nil {
		return
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); string(fields[name]) == "null" {
			delete(fields, name)
		}
	}
}

// sameSecrets reports that nothing has to be sealed anew: what is sealed never looks
// twice the same.
func sameSecrets(old, now map[string]json.RawMessage) bool {
	return maps.EqualFunc(old, now, func(a, b json.RawMessage) bool { return sameJSON(a, b) })
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
