package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// ProviderSpec is what people say of a provider. Left out of Config, secrets
// stay in an update, and so does what is nil.
type ProviderSpec struct {
	Code     string                   `json:"code"`
	Kind     string                   `json:"kind" doc:"apertium, deepl, libretranslate, openai, pseudo"`
	Config   json.RawMessage          `json:"config,omitempty" doc:"By the kind's schema; secrets are never shown again"`
	Limits   *postgres.ProviderLimits `json:"limits,omitempty" doc:"Lower than the kind's"`
	Enabled  *bool                    `json:"enabled,omitempty"`
	Priority *int                     `json:"priority,omitempty" doc:"The lowest is asked first; 0 when left out"`
	Quota    *int64                   `json:"quota,omitempty" minimum:"0" doc:"Characters in a calendar month (UTC); 0: no bound"`
	Budget   *string                  `json:"budget,omitempty" doc:"What it may cost in a calendar month (UTC) by the prices in config and in their currency, as decimal text such as 50.00; 0: no bound"`
}

// CreateProvider checks a spec and stores the provider. The error is
// *pim.Invalid with pointers into the spec's JSON, or wraps postgres.ErrExists.
func (t *Texts) CreateProvider(ctx context.Context, spec ProviderSpec) (*postgres.Provider, error) {
	p, err := t.build(spec, nil)
	if err != nil {
		return nil, err
	}
	return t.store.CreateProvider(ctx, *p)
}

// UpdateProvider checks a spec and replaces the settings of the provider code
// with it; its code and kind stay. version, when not 0, is the one that the
// caller saw (postgres.ErrStale).
func (t *Texts) UpdateProvider(ctx context.Context, code string, spec ProviderSpec, version int64) (*postgres.Provider, error) {
	old, err := t.store.Provider(ctx, code)
	if err != nil {
		return nil, err
	}
	if version != 0 && version != old.Version {
		return nil, fmt.Errorf("provider %s: %w", code, postgres.ErrStale)
	}
	spec.Code, spec.Kind = code, cmp.Or(spec.Kind, old.Kind)
	p, err := t.build(spec, old)
	if err != nil {
		return nil, err
	}
	p.Version = old.Version
	return t.store.UpdateProvider(ctx, *p)
}

func providerContext(code string) string { return "provider/" + code }

// build makes a provider of a spec, or tells all problems at once.
func (t *Texts) build(spec ProviderSpec, old *postgres.Provider) (*postgres.Provider, error) {
	var problems []pim.Problem
	add := func(pointer, code, detail string) {
		problems = append(problems, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
	}
	p := &postgres.Provider{Code: spec.Code, Kind: spec.Kind, Enabled: true, AllowPrivate: t.private}
	if old != nil {
		p.Budget, p.BudgetCurrency = old.Budget, old.BudgetCurrency
		p.Enabled, p.Priority, p.Quota, p.Limits, p.Config, p.Secrets, p.AllowPrivate = old.Enabled, old.Priority, old.Quota, old.Limits, old.Config, old.Secrets, old.AllowPrivate
	}
	if err := pim.ValidCode("provider", spec.Code); err != nil {
		add("/code", "code", err.Error())
	} else if spec.Code == postgres.MemoryPerson || spec.Code == originMemory {
		add("/code", "code", fmt.Sprintf("%q has another meaning already", spec.Code))
	}
	if spec.Enabled != nil {
		p.Enabled = *spec.Enabled
	}
	if spec.Priority != nil {
		p.Priority = *spec.Priority
	}
	if spec.Quota != nil {
		if p.Quota = *spec.Quota; p.Quota < 0 {
			add("/quota", codeLimit, "is not below 0")
		}
	}
	if spec.Limits != nil {
		p.Limits = *spec.Limits
		for name, v := range map[string]float64{
			"texts": float64(p.Limits.Texts), "characters": float64(p.Limits.Characters), "bytes": float64(p.Limits.Bytes),
			"concurrency": float64(p.Limits.Concurrency), "per_minute": float64(p.Limits.PerMinute), "timeout_seconds": p.Limits.TimeoutSeconds,
		} {
			if !(v >= 0) || name == "timeout_seconds" && v > maxServiceTimeout.Seconds() {
				add("/limits/"+name, codeLimit, "is out of bounds")
			}
		}
	}
	kind, err := t.registry.Kind(spec.Kind)
	switch {
	case err != nil:
		add("/kind", "kind.unknown", err.Error())
	case old != nil && spec.Kind != old.Kind:
		add("/kind", "kind.fixed", "the kind of a provider stays; create another provider")
	default:
		p.Test = kind.Test
		more, err := t.configure(kind, p, spec.Config, old)
		if err != nil {
			return nil, err
		}
		problems = append(problems, more...)
		problems = append(problems, budget(p, spec.Budget)...)
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b pim.Problem) int { return cmp.Compare(a.Pointer, b.Pointer) })
		return nil, &pim.Invalid{Problems: problems}
	}
	return p, nil
}

// maxServiceTimeout bounds one call to a service: a model on one's own machine
// can need minutes.
const maxServiceTimeout = 10 * time.Minute

// configure splits a config into what is stored in the clear and what is
// sealed, takes over old secrets, and tries it.
func (t *Texts) configure(kind *translation.Kind, p *postgres.Provider, config json.RawMessage, old *postgres.Provider) ([]pim.Problem, error) {
	secrets := map[string]json.RawMessage{}
	if old != nil {
		var err error
		if secrets, err = t.unseal(old); err != nil {
			return nil, err
		}
	}
	var problems []pim.Problem
	if len(config) > 0 || old == nil {
		fields := map[string]json.RawMessage{}
		if len(config) > 0 {
			if err := json.Unmarshal(config, &fields); err != nil || fields == nil {
				return []pim.Problem{{Pointer: "/config", Code: "config", Detail: "is not a JSON object"}}, nil //nolint:nilerr // the client's fault, told as a problem
			}
		}
		kept, before := maps.Clone(secrets), maps.Clone(secrets)
		for _, name := range taggedFields(kind.Config, "secret") {
			if v, ok := fields[name]; ok {
				if string(v) == "null" {
					delete(secrets, name)
				} else {
					secrets[name] = v
				}
				delete(fields, name)
				delete(kept, name)
			}
		}
		unset(kind.Config, fields)
		var err error
		if p.Config, err = json.Marshal(fields); err != nil {
			return nil, err
		}
		// Who may write a provider's address may not thereby read its secrets.
		if old != nil && len(kept) > 0 && addressed(kind, old.Config, p.Config) {
			for _, name := range slices.Sorted(maps.Keys(kept)) {
				problems = append(problems, pim.Problem{
					Pointer: pim.JoinPointer("/config", name), Code: "secret.again", Detail: "give it again: the address changed, and a secret is not sent to another one",
				})
			}
		}
		if old == nil || !sameJSON(old.Config, p.Config) {
			p.AllowPrivate = t.private
		}
		if old == nil || !sameSecrets(before, secrets) {
			p.Secrets = nil
		}
		if p.Secrets == nil && len(secrets) > 0 {
			plain, err := json.Marshal(secrets)
			if err != nil {
				return nil, err
			}
			if p.Secrets, err = t.keys.Seal(plain, providerContext(p.Code)); err != nil {
				return nil, fmt.Errorf("seal the secrets of provider %s: %w", p.Code, err)
			}
		}
	}
	full, err := join(p.Config, secrets)
	if err != nil {
		return nil, err
	}
	if _, err := kind.New(full, t.lend(p)); err != nil {
		problems = append(problems, configProblems(err)...)
	}
	return problems, nil
}

// addressed reports whether a config names an address that the old one did not.
// An address left out is the service's own.
func addressed(kind *translation.Kind, old, now json.RawMessage) bool {
	was, is := configAddresses(kind.Config, old), configAddresses(kind.Config, now)
	if len(is) == 0 && len(was) > 0 {
		return true
	}
	for at := range is {
		if !was[at] {
			return true
		}
	}
	return false
}

func (t *Texts) lend(p *postgres.Provider) translation.Env {
	l := p.Limits
	return translation.Env{
		Limits: translation.Limits{
			Texts: l.Texts, Bytes: l.Bytes, Characters: l.Characters, Concurrency: l.Concurrency, PerMinute: l.PerMinute,
			Timeout: time.Duration(l.TimeoutSeconds * float64(time.Second)),
		},
		AllowPrivate: p.AllowPrivate, Version: t.version,
	}
}

func (t *Texts) unseal(p *postgres.Provider) (map[string]json.RawMessage, error) {
	m := map[string]json.RawMessage{}
	if p.Secrets == nil {
		return m, nil
	}
	plain, err := t.keys.Open(p.Secrets, providerContext(p.Code))
	if err != nil {
		return nil, fmt.Errorf("open the secrets of provider %s (is SLUICE_KEYSET the file they were sealed with?): %w", p.Code, err)
	}
	if err := json.Unmarshal(plain, &m); err != nil {
		return nil, fmt.Errorf("decode the secrets of provider %s", p.Code)
	}
	return m, nil
}

// PublicProvider is a provider's configuration for readers: without secrets,
// and the names of those that are set.
func (t *Texts) PublicProvider(p *postgres.Provider) (config json.RawMessage, secrets []string) {
	secrets = []string{}
	if kind, err := t.registry.Kind(p.Kind); err == nil {
		if m, err := t.unseal(p); err == nil {
			for _, name := range taggedFields(kind.Config, "secret") {
				if _, set := m[name]; set {
					secrets = append(secrets, name)
				}
			}
		}
	}
	return p.Config, secrets
}

// service is a provider ready to be asked.
type service struct {
	*postgres.Provider
	kind   *translation.Kind
	api    translation.Provider
	limits translation.Limits

	mu    sync.Mutex
	calls []time.Time // begun in the last minute
}

// service opens a provider. The error is fit to be shown.
func (t *Texts) service(p *postgres.Provider) (*service, error) {
	t.mu.Lock()
	s := t.open[p.Code]
	t.mu.Unlock()
	if s != nil && s.Version == p.Version && s.CreatedAt.Equal(p.CreatedAt) {
		return s, nil
	}
	kind, err := t.registry.Kind(p.Kind)
	if err != nil {
		return nil, err
	}
	secrets, err := t.unseal(p)
	if err != nil {
		return nil, err
	}
	full, err := join(p.Config, secrets)
	if err != nil {
		return nil, fmt.Errorf("read the config of provider %s: %w", p.Code, err)
	}
	env := t.lend(p)
	api, err := kind.New(full, env)
	if err != nil {
		return nil, fmt.Errorf("open provider %s: %w", p.Code, err)
	}
	s = &service{Provider: p, kind: kind, api: api, limits: kind.Limits.Lowered(env.Limits)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open[p.Code] = s
	return s, nil
}

// turn waits until a call may begin by the limit of calls in a minute.
func (s *service) turn(ctx context.Context) error {
	if s.limits.PerMinute <= 0 {
		return nil
	}
	for {
		s.mu.Lock()
		now := time.Now()
		s.calls = slices.DeleteFunc(s.calls, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
		if len(s.calls) < s.limits.PerMinute {
			s.calls = append(s.calls, now)
			s.mu.Unlock()
			return nil
		}
		wait := time.Minute - now.Sub(s.calls[0])
		s.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

// ErrNoPower is the error of asking a provider what its kind cannot.
var ErrNoPower = errors.New("providers of this kind cannot tell")

// TestProvider asks a provider's service whether it is there and takes our key.
// The error is a *connectors.Error for what the service said.
func (t *Texts) TestProvider(ctx context.Context, code string) error {
	s, err := t.serviceOf(ctx, code)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, max(s.limits.Timeout, time.Second))
	defer cancel()
	return s.api.Probe(ctx)
}

// ProviderUsage asks a provider's service what was used of this period;
// ErrNoPower where it does not tell.
func (t *Texts) ProviderUsage(ctx context.Context, code string) (*translation.Usage, error) {
	s, err := t.serviceOf(ctx, code)
	if err != nil {
		return nil, err
	}
	m, ok := s.api.(translation.Meter)
	if !ok {
		return nil, ErrNoPower
	}
	ctx, cancel := context.WithTimeout(ctx, max(s.limits.Timeout, time.Second))
	defer cancel()
	return m.Usage(ctx)
}

// ProviderPairs asks a provider's service for the languages that it has, each
// with those it can be translated into; ErrNoPower where it does not tell.
func (t *Texts) ProviderPairs(ctx context.Context, code string) (map[string][]string, error) {
	s, err := t.serviceOf(ctx, code)
	if err != nil {
		return nil, err
	}
	p, ok := s.api.(translation.Pairer)
	if !ok {
		return nil, ErrNoPower
	}
	ctx, cancel := context.WithTimeout(ctx, max(s.limits.Timeout, time.Second))
	defer cancel()
	return p.Pairs(ctx)
}

func (t *Texts) serviceOf(ctx context.Context, code string) (*service, error) {
	p, err := t.store.Provider(ctx, code)
	if err != nil {
		return nil, err
	}
	return t.service(p)
}
