package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ChannelSpec is what people say of a channel. Zero fields take the
// connector's defaults; in an update, secrets left out of Config stay. Who reads
// it from JSON refuses a limit that is written down as 0.
type ChannelSpec struct {
	Code           pim.ChannelCode     `json:"code"`
	Connector      string              `json:"connector" doc:"One of GET /v1/connectors; none: it has no target"`
	Locale         pim.Locale          `json:"locale"`
	Currency       pim.Currency        `json:"currency"`
	PriceList      string              `json:"price_list,omitempty"`
	CategoryRoot   string              `json:"category_root,omitempty" doc:"Mappings see of a product's categories those at or below this one; left out: all"`
	Locations      []string            `json:"locations,omitempty"`
	Renditions     []string            `json:"renditions,omitempty"`
	Config         json.RawMessage     `json:"config"`
	Mapping        *connectors.Mapping `json:"mapping,omitempty"`
	Batch          int                 `json:"batch,omitempty" minimum:"1" doc:"Left out: the connector's default, as for all limits"`
	Concurrency    int                 `json:"concurrency,omitempty" minimum:"1"`
	TimeoutSeconds float64             `json:"timeout_seconds,omitempty" minimum:"0.001"`
	SettleSeconds  float64             `json:"settle_seconds,omitempty" minimum:"0.001"`
	Policy         pim.Policy          `json:"policy,omitzero" doc:"How it is treated; what is left out is the default"`
	Enabled        *bool               `json:"enabled,omitempty"`
	Test           *bool               `json:"test,omitempty" doc:"It is a test: it alone is shown what providers for tests have translated or written"`
	MappingNote    string              `json:"mapping_note,omitempty" doc:"Why the mapping is as it is; kept with its version where it changes"`

	Actor string `json:"-"` // who says so, for the mapping's versions
}

// SpecOf is all that people say of a channel as it stands, but for its secrets: an
// update by it changes nothing.
func SpecOf(ch *postgres.Channel) (ChannelSpec, error) {
	spec := ChannelSpec{
		Code: ch.Code, Connector: ch.Connector, Locale: ch.Locale, Currency: ch.Currency, PriceList: ch.PriceList, CategoryRoot: ch.CategoryRoot,
		Locations: ch.Locations, Renditions: ch.Renditions, Config: ch.Config, Mapping: &connectors.Mapping{}, Batch: ch.Batch, Concurrency: ch.Concurrency,
		TimeoutSeconds: ch.Timeout.Seconds(), SettleSeconds: ch.Settle.Seconds(), Policy: ch.Policy, Enabled: &ch.Enabled, Test: &ch.Test,
	}
	if !ch.HasConnector() { // what it is to be sent by comes with one
		spec.Mapping, spec.Batch, spec.Concurrency, spec.TimeoutSeconds, spec.SettleSeconds, spec.Enabled = nil, 0, 0, 0, 0, nil
		return spec, nil
	}
	if err := json.Unmarshal(ch.Mapping, spec.Mapping); err != nil {
		return spec, fmt.Errorf("decode the mapping of channel %s: %w", ch.Code, err)
	}
	return spec, nil
}

// codeLimit is the code of a limit that is out of its bounds.
const codeLimit = "limit"

// Bounds of a channel's own limits.
const (
	maxConcurrency = 256
	minTime        = time.Millisecond
	maxTimeout     = 5 * time.Minute
	maxSettle      = time.Hour
)

// Create checks a spec and creates its channel, to which the whole catalogue
// is then published, if it has a connector. known are problems that the caller found while it read the
// spec: they are told with those found here, and nothing is stored. The error is
// *pim.Invalid with pointers into the spec's JSON, or wraps postgres.ErrExists.
func (c *Channels) Create(ctx context.Context, spec ChannelSpec, known ...pim.Problem) (*postgres.Channel, error) {
	if err := pim.ValidCode("channel", string(spec.Code)); err != nil {
		known = append(known, pim.Problem{Pointer: "/code", Code: "code", Detail: err.Error()})
	}
	ch, err := c.build(ctx, spec, nil, known)
	if err != nil {
		return nil, err
	}
	return c.store.CreateChannel(ctx, *ch)
}

// Update checks a spec and replaces the settings of the channel code with it;
// its code stays, and so does its connector, unless it has none yet: then the whole
// catalogue is published to it, as to a new channel. version, when not 0, is the one that the caller
// saw (postgres.ErrStale); known are problems as for Create. Listings are
// rendered anew, and what differs is sent.
func (c *Channels) Update(ctx context.Context, code pim.ChannelCode, spec ChannelSpec, version int64, known ...pim.Problem) (*postgres.Channel, error) {
	old, err := c.store.Channel(ctx, code)
	if err != nil {
		return nil, err
	}
	if version != 0 && version != old.Version {
		return nil, fmt.Errorf("channel %s: %w", code, postgres.ErrStale)
	}
	spec.Code = code
	spec.Connector = cmp.Or(spec.Connector, old.Connector)
	if spec.Enabled == nil && old.HasConnector() {
		spec.Enabled = &old.Enabled
	}
	if spec.Test == nil {
		spec.Test = &old.Test
	}
	ch, err := c.build(ctx, spec, old, known)
	if err != nil {
		return nil, err
	}
	ch.ID, ch.Version = old.ID, old.Version
	ch.Anew = !sameJSON(ch.Config, old.Config) // it may be another target, which holds nothing of what was acknowledged
	if !old.HasConnector() {
		ch.Anew, ch.Connects = false, ch.HasConnector()
	}
	return c.store.UpdateChannel(ctx, *ch)
}

// build makes a channel of a spec, or tells all problems at once, those known
// included.
func (c *Channels) build(ctx context.Context, spec ChannelSpec, old *postgres.Channel, known []pim.Problem) (*postgres.Channel, error) {
	schema, err := c.store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	ch := &postgres.Channel{
		Code: spec.Code, Connector: spec.Connector, Locale: spec.Locale, Currency: spec.Currency,
		PriceList: cmp.Or(spec.PriceList, "default"), CategoryRoot: spec.CategoryRoot, Locations: spec.Locations, Renditions: spec.Renditions,
		Batch: spec.Batch, Concurrency: spec.Concurrency, Timeout: seconds(spec.TimeoutSeconds), Settle: seconds(spec.SettleSeconds),
		Enabled: spec.Enabled == nil || *spec.Enabled, Test: spec.Test != nil && *spec.Test, Policy: spec.Policy, Actor: spec.Actor, Note: clipNote(spec.MappingNote),
	}
	problems := checkScope(schema, ch)
	for _, p := range ch.Policy.Check() {
		p.Pointer = "/policy" + p.Pointer
		problems = append(problems, p)
	}
	more, err := c.checkRenditions(ctx, ch)
	if err != nil {
		return nil, err
	}
	problems = append(problems, more...)
	kind, err := c.registry.Kind(spec.Connector)
	switch {
	case old != nil && spec.Connector != old.Connector && old.HasConnector():
		// What else the spec says is meant for the other connector.
		problems = append(problems, pim.Problem{Pointer: "/connector", Code: "connector.fixed", Detail: connectorStays(spec.Connector)})
	case err != nil:
		problems = append(problems, pim.Problem{Pointer: "/connector", Code: "connector.unknown", Detail: err.Error()})
	case !ch.HasConnector():
		problems = append(problems, bare(ch, spec, known)...)
	default:
		if old != nil && !old.HasConnector() {
			old = nil // of what a connector is told it has nothing
		}
		more, err := c.fit(schema, kind, ch, spec, old, known)
		if err != nil {
			return nil, err
		}
		problems = append(problems, more...)
	}
	if problems = together(known, problems); len(problems) > 0 {
		return nil, &pim.Invalid{Problems: problems}
	}
	return ch, nil
}

// fit fills in what depends on the connector: limits, mapping, config and
// secrets. known problems that are of a limit learn its bounds.
func (c *Channels) fit(schema *pim.Schema, kind *connectors.Kind, ch *postgres.Channel, spec ChannelSpec, old *postgres.Channel, known []pim.Problem) ([]pim.Problem, error) {
	problems := limits(kind, ch, known)
	if w := ch.Policy.Withdrawal; slices.Contains(pim.Withdrawals, w) && !slices.Contains(kind.Withdrawals, w) {
		problems = append(problems, pim.Problem{Pointer: "/policy/withdrawal", Code: "withdrawal.connector", Detail: cannotWithdraw(kind, w)})
	}
	mapping := DefaultMapping(kind)
	if spec.Mapping != nil {
		mapping = *spec.Mapping
	}
	p, more := compile(kind, mapping)
	if problems = append(problems, more...); p != nil {
		ch.Marks = marksOf(p, ch.CategoryRoot != "")
		if ch.Policy.Withdrawal == pim.WithdrawZeroStock && !stocked(mapping) {
			problems = append(problems, pim.Problem{
				Pointer: "/policy/withdrawal", Code: "withdrawal.stock", Detail: "zero_stock is told by offers and taken back by them, and no field of the channel's offers reads stock",
			})
		}
	}
	var err error
	if ch.Mapping, err = json.Marshal(mapping); err != nil {
		return nil, err
	}
	if old == nil || !sameJSON(ch.Mapping, old.Mapping) { // else it may have outlived an attribute: it still works
		problems = append(problems, underMapping(mapping.Against(schema))...)
	}
	full, more, err := c.configure(kind, ch, spec.Config, old)
	if err != nil {
		return nil, err
	}
	// The permission is the channel's, so that every process obeys the same one.
	ch.AllowPrivate = c.env.AllowPrivate
	if old != nil && sameJSON(ch.Config, old.Config) {
		ch.AllowPrivate = old.AllowPrivate
	}
	problems = append(problems, more...)
	if full != nil {
		conn, err := kind.New(full, c.lend(ch, kind))
		if err != nil {
			problems = append(problems, configProblems(err)...)
		}
		_, ch.Pulls = conn.(connectors.Puller)
	}
	return problems, nil
}

// cannotWithdraw says what a kind can do instead of w.
func cannotWithdraw(kind *connectors.Kind, w pim.Withdrawal) string {
	if len(kind.Withdrawals) == 0 {
		return fmt.Sprintf("connector %s withdraws in its own way only: leave it out", kind.Name)
	}
	var can []string
	for _, w := range kind.Withdrawals {
		can = append(can, string(w))
	}
	return fmt.Sprintf("connector %s cannot %s; it can: %s", kind.Name, w, strings.Join(can, ", "))
}

// readsStock finds expressions that read the variable stock, as far as a word
// tells: where it only looks so, nothing worse comes of it than a sold-out product
// whose stock nobody sends.
var readsStock = regexp.MustCompile(`\bstock\b`)

// stocked reports whether a mapping's offers show stock.
func stocked(m connectors.Mapping) bool {
	for _, expression := range m.Offer {
		if readsStock.MatchString(expression) {
			return true
		}
	}
	return false
}

// together is known and found by place. What was found at or below a known
// problem's place is only its consequence, and left out.
func together(known, found []pim.Problem) []pim.Problem {
	all := slices.Clone(known)
	for _, p := range found {
		if !slices.ContainsFunc(known, func(k pim.Problem) bool { return p.Pointer == k.Pointer || strings.HasPrefix(p.Pointer, k.Pointer+"/") }) {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b pim.Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	return all
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
	if ch.CategoryRoot != "" && s.Tree.Category(ch.CategoryRoot) == nil {
		add("/category_root", "category.unknown", fmt.Sprintf("there is no category %q", ch.CategoryRoot))
	}
	for i, l := range ch.Locations {
		if !s.Locations[l] {
			add(fmt.Sprintf("/locations/%d", i), "location.unknown", fmt.Sprintf("there is no location %q", l))
		}
	}
	return problems
}

// maxRenditions is how many renditions a channel may show.
const maxRenditions = 20

func (c *Channels) checkRenditions(ctx context.Context, ch *postgres.Channel) (problems []pim.Problem, err error) {
	for i, code := range ch.Renditions {
		at := fmt.Sprintf("/renditions/%d", i)
		_, err := c.store.RenditionDefinition(ctx, code)
		switch {
		case errors.Is(err, postgres.ErrNotFound):
			problems = append(problems, pim.Problem{Pointer: at, Code: "rendition.unknown", Detail: fmt.Sprintf("there is no rendition definition %q", code)})
		case err != nil:
			return nil, err
		case slices.Contains(ch.Renditions[:i], code):
			problems = append(problems, pim.Problem{Pointer: at, Code: "rendition.twice", Detail: fmt.Sprintf("rendition %q is named twice", code)})
		}
	}
	if len(ch.Renditions) > maxRenditions {
		problems = append(problems, pim.Problem{Pointer: "/renditions", Code: "renditions.many", Detail: fmt.Sprintf("a channel shows at most %d renditions", maxRenditions)})
	}
	return problems, nil
}

// seconds is a time as far as a clock can hold it; limits refuses the rest.
func seconds(v float64) time.Duration {
	const most = 1e6
	switch {
	case v == 0:
		return 0
	case !(v > 0): // NaN too
		return -1
	case v > most:
		return most * time.Second
	}
	return max(1, time.Duration(v*float64(time.Second))) // too little is not the default
}

// limits fills in the kind's defaults and checks the bounds. Of known problems
// those of a limit are told its bounds.
func limits(kind *connectors.Kind, ch *postgres.Channel, known []pim.Problem) (problems []pim.Problem) {
	set := func(pointer string, v, fallback, floor, ceiling int64, write func(int64) string) int64 {
		text := fmt.Sprintf("is from %s to %s", write(floor), write(ceiling))
		for i := range known {
			if k := &known[i]; k.Pointer == pointer && k.Code == codeLimit {
				k.Detail = text
			}
		}
		if v != 0 && (v < floor || v > ceiling) {
			problems = append(problems, pim.Problem{Pointer: pointer, Code: codeLimit, Detail: text})
			v = 0 // a connector is tried with limits that are right
		}
		return cmp.Or(v, fallback)
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	clock := func(n int64) string { return strconv.FormatFloat(time.Duration(n).Seconds(), 'f', -1, 64) + " seconds" }
	l := kind.Limits
	ch.Batch = int(set("/batch", int64(ch.Batch), int64(l.Batch), 1, int64(max(kind.MaxBatch, l.Batch)), count))
	ch.Concurrency = int(set("/concurrency", int64(ch.Concurrency), int64(l.Concurrency), 1, maxConcurrency, count))
	ch.Timeout = time.Duration(set("/timeout_seconds", int64(ch.Timeout), int64(l.Timeout), int64(minTime), int64(max(maxTimeout, l.Timeout)), clock))
	ch.Settle = time.Duration(set("/settle_seconds", int64(ch.Settle), int64(l.Settle), int64(minTime), int64(max(maxSettle, l.Settle)), clock))
	return problems
}

func compile(kind *connectors.Kind, m connectors.Mapping) (*connectors.Program, []pim.Problem) {
	p, err := connectors.Compile(m)
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		return nil, underMapping(invalid.Problems)
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

func underMapping(problems []pim.Problem) []pim.Problem {
	out := make([]pim.Problem, len(problems))
	for i, at := range problems {
		at.Pointer = "/mapping" + at.Pointer
		out[i] = at
	}
	return out
}

// marksOf turns what each lane's expressions read into what each lane's
// events touch; rooted: the channel has a category root.
func marksOf(p *connectors.Program, rooted bool) (m postgres.Marks) {
	m.Tree, m.Records, m.Associations = p.Tree(rooted), p.Records(), p.Associations()
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
// sealed, takes over old secrets, and gives the whole; nil for a config that is
// no object.
func (c *Channels) configure(kind *connectors.Kind, ch *postgres.Channel, config json.RawMessage, old *postgres.Channel) (json.RawMessage, []pim.Problem, error) {
	fields := map[string]json.RawMessage{}
	if len(config) > 0 {
		if err := json.Unmarshal(config, &fields); err != nil || fields == nil {
			return nil, []pim.Problem{{Pointer: "/config", Code: "config", Detail: "is not a JSON object"}}, nil //nolint:nilerr // the client's fault, told as a problem
		}
	}
	secrets := map[string]json.RawMessage{}
	if old != nil {
		var err error
		if secrets, err = c.unseal(old); err != nil {
			return nil, nil, err
		}
	}
	kept, before := maps.Clone(secrets), maps.Clone(secrets)
	for _, name := range taggedFields(kind.Config, "secret") {
		if v, ok := fields[name]; ok {
			_, had := secrets[name]
			if string(v) == "null" {
				delete(secrets, name)
			} else {
				secrets[name] = v
			}
			ch.Look = ch.Look || had || secrets[name] != nil // what the target forbade so far may be allowed now
			delete(fields, name)
			delete(kept, name)
		}
	}
	unset(kind.Config, fields)
	var err error
	if ch.Config, err = json.Marshal(fields); err != nil {
		return nil, nil, err
	}
	// Who may write a channel's address may not thereby read its secrets.
	var problems []pim.Problem
	if len(kept) > 0 && elsewhere(kind, old.Config, ch.Config) {
		for _, name := range slices.Sorted(maps.Keys(kept)) {
			problems = append(problems, pim.Problem{
				Pointer: pim.JoinPointer("/config", name), Code: "secret.again", Detail: "give it again: the address changed, and a secret is not sent to another one",
			})
		}
	}
	switch {
	case old != nil && sameSecrets(before, secrets):
		ch.Secrets = old.Secrets
	case len(secrets) > 0:
		plain, err := json.Marshal(secrets)
		if err != nil {
			return nil, nil, err
		}
		if ch.Secrets, err = c.keys.Seal(plain, sealContext(ch.Code)); err != nil {
			return nil, nil, fmt.Errorf("seal the secrets of channel %s: %w", ch.Code, err)
		}
	}
	full, err := join(ch.Config, secrets)
	return full, problems, err
}

// elsewhere reports whether a config names an address that the old one did not.
func elsewhere(kind *connectors.Kind, old, now json.RawMessage) bool {
	was := addresses(kind, old)
	for at := range addresses(kind, now) {
		if !was[at] {
			return true
		}
	}
	return false
}

// addresses are scheme, host and port of every URL in a config, and the fields
// whose tag says that they name the target otherwise.
func addresses(kind *connectors.Kind, config json.RawMessage) map[string]bool {
	return configAddresses(kind.Config, config)
}

// configAddresses is addresses of a config that fits the struct like.
func configAddresses(like any, config json.RawMessage) map[string]bool {
	found := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if u, err := url.Parse(strings.TrimSpace(v)); err == nil && u.Scheme != "" && u.Host != "" {
				port := u.Port()
				if port == "" {
					port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
				}
				found[u.Scheme+"://"+strings.ToLower(u.Hostname())+":"+port] = true
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	var fields map[string]any
	if json.Unmarshal(config, &fields) != nil {
		return found // it is told as a problem of its own
	}
	walk(fields)
	for _, name := range taggedFields(like, "address") {
		if v := fmt.Sprint(fields[name]); fields[name] != nil && v != "" {
			found[name+" "+strings.ToLower(v)] = true
		}
	}
	return found
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
