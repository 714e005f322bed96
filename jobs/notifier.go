package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/notify"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// Notifiers keeps those who are told when a channel needs somebody. It is safe
// for concurrent use.
type Notifiers struct {
	store *postgres.Store
	keys  *seal.Keyset
	env   notify.Env
}

// NewNotifiers makes Notifiers; env is what senders may use of the process. Its
// AllowPrivate is what notifiers get that are created or changed here.
func NewNotifiers(store *postgres.Store, keys *seal.Keyset, env notify.Env) *Notifiers {
	return &Notifiers{store: store, keys: keys, env: env}
}

// NotifierSpec is what people say of a notifier. In an update, what is left out
// stays, and so do secrets left out of Config.
type NotifierSpec struct {
	Code     string             `json:"code"`
	Kind     string             `json:"kind" doc:"email, webhook"`
	Config   json.RawMessage    `json:"config,omitempty" doc:"By the kind's schema; secrets are never shown again"`
	Enabled  *bool              `json:"enabled,omitempty"`
	Channels *[]pim.ChannelCode `json:"channels,omitempty" doc:"Of which it is told; empty: of all"`
	Kinds    *[]pim.AlertKind   `json:"kinds,omitempty" doc:"Of which alerts it is told: down, auth, stale, rejecting, paused; empty: of all"`
}

// Create checks a spec and stores the notifier. The error is *pim.Invalid with
// pointers into the spec's JSON, or wraps postgres.ErrExists.
func (n *Notifiers) Create(ctx context.Context, spec NotifierSpec) (*postgres.Notifier, error) {
	x, err := n.build(spec, nil)
	if err != nil {
		return nil, err
	}
	return n.store.CreateNotifier(ctx, *x)
}

// Update checks a spec and changes the settings of the notifier code by it.
// version, when not 0, is the one that the caller saw (postgres.ErrStale).
func (n *Notifiers) Update(ctx context.Context, code string, spec NotifierSpec, version int64) (*postgres.Notifier, error) {
	old, err := n.store.Notifier(ctx, code)
	if err != nil {
		return nil, err
	}
	if version != 0 && version != old.Version {
		return nil, fmt.Errorf("notifier %s: %w", code, postgres.ErrStale)
	}
	spec.Code, spec.Kind = code, cmp.Or(spec.Kind, old.Kind)
	x, err := n.build(spec, old)
	if err != nil {
		return nil, err
	}
	x.Version = old.Version
	return n.store.UpdateNotifier(ctx, *x)
}

func notifierContext(code string) string { return "notifier/" + code }

func (n *Notifiers) build(spec NotifierSpec, old *postgres.Notifier) (*postgres.Notifier, error) {
	var problems []pim.Problem
	add := func(pointer, code, detail string) {
		problems = append(problems, pim.Problem{Pointer: pointer, Code: code, Detail: detail})
	}
	x := &postgres.Notifier{Code: spec.Code, Kind: spec.Kind, Enabled: true, AllowPrivate: n.env.AllowPrivate}
	if old != nil {
		x.Enabled, x.AllowPrivate, x.Channels, x.Kinds, x.Config, x.Secrets = old.Enabled, old.AllowPrivate, old.Channels, old.Kinds, old.Config, old.Secrets
	}
	if err := pim.ValidCode("notifier", spec.Code); err != nil {
		add("/code", "code", err.Error())
	}
	if spec.Enabled != nil {
		x.Enabled = *spec.Enabled
	}
	if spec.Channels != nil {
		x.Channels = *spec.Channels
	}
	if spec.Kinds != nil {
		x.Kinds = *spec.Kinds
		for i, k := range x.Kinds {
			if !slices.Contains(pim.AlertKinds, k) {
				add(fmt.Sprintf("/kinds/%d", i), "alert.unknown", fmt.Sprintf("%q is no kind of alert; they are down, auth, stale, rejecting and paused", k))
			}
		}
	}
	kind, err := notify.KindOf(spec.Kind)
	switch {
	case err != nil:
		add("/kind", "kind.unknown", err.Error())
	case old != nil && spec.Kind != old.Kind:
		add("/kind", "kind.fixed", "the kind of a notifier stays; create another one")
	default:
		more, err := n.configure(kind, x, spec.Config, old)
		if err != nil {
			return nil, err
		}
		problems = append(problems, more...)
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b pim.Problem) int { return cmp.Compare(a.Pointer, b.Pointer) })
		return nil, &pim.Invalid{Problems: problems}
	}
	return x, nil
}

// configure splits a config into what is stored in the clear and what is
// sealed, takes over old secrets, and tries it.
func (n *Notifiers) configure(kind *notify.Kind, x *postgres.Notifier, config json.RawMessage, old *postgres.Notifier) (problems []pim.Problem, err error) {
	secrets := map[string]json.RawMessage{}
	if old != nil {
		if secrets, err = n.unseal(old); err != nil {
			return nil, err
		}
	}
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
		if x.Config, err = json.Marshal(fields); err != nil {
			return nil, err
		}
		// Who may write a notifier's address may not thereby read its secrets.
		if old != nil && len(kept) > 0 && !maps.Equal(configAddresses(kind.Config, old.Config), configAddresses(kind.Config, x.Config)) {
			for _, name := range slices.Sorted(maps.Keys(kept)) {
				problems = append(problems, pim.Problem{
					Pointer: pim.JoinPointer("/config", name), Code: "secret.again", Detail: "give it again: the address changed, and a secret is not sent to another one",
				})
			}
		}
		if old == nil || !sameJSON(old.Config, x.Config) {
			x.AllowPrivate = n.env.AllowPrivate
		}
		if old == nil || !sameSecrets(before, secrets) {
			x.Secrets = nil
		}
		if x.Secrets == nil && len(secrets) > 0 {
			plain, err := json.Marshal(secrets)
			if err != nil {
				return nil, err
			}
			if x.Secrets, err = n.keys.Seal(plain, notifierContext(x.Code)); err != nil {
				return nil, fmt.Errorf("seal the secrets of notifier %s: %w", x.Code, err)
			}
		}
	}
	full, err := join(x.Config, secrets)
	if err != nil {
		return nil, err
	}
	if _, err := kind.New(full, n.lend(x)); err != nil {
		problems = append(problems, configProblems(err)...)
	}
	return problems, nil
}

func (n *Notifiers) lend(x *postgres.Notifier) notify.Env {
	env := n.env
	env.AllowPrivate = x.AllowPrivate
	return env
}

func (n *Notifiers) unseal(x *postgres.Notifier) (map[string]json.RawMessage, error) {
	m := map[string]json.RawMessage{}
	if x.Secrets == nil {
		return m, nil
	}
	plain, err := n.keys.Open(x.Secrets, notifierContext(x.Code))
	if err != nil {
		return nil, fmt.Errorf("open the secrets of notifier %s (is SLUICE_KEYSET the file they were sealed with?): %w", x.Code, err)
	}
	if err := json.Unmarshal(plain, &m); err != nil {
		return nil, fmt.Errorf("decode the secrets of notifier %s", x.Code)
	}
	return m, nil
}

// Public is a notifier's configuration for readers: without secrets, and the
// names of those that are set.
func (n *Notifiers) Public(x *postgres.Notifier) (config json.RawMessage, secrets []string) {
	secrets = []string{}
	if kind, err := notify.KindOf(x.Kind); err == nil {
		if m, err := n.unseal(x); err == nil {
			for _, name := range taggedFields(kind.Config, "secret") {
				if _, set := m[name]; set {
					secrets = append(secrets, name)
				}
			}
		}
	}
	return x.Config, secrets
}

// send opens a notifier and sends m by it. The error is fit to be shown.
func (n *Notifiers) send(ctx context.Context, x *postgres.Notifier, m *notify.Message) error {
	kind, err := notify.KindOf(x.Kind)
	if err != nil {
		return err
	}
	secrets, err := n.unseal(x)
	if err != nil {
		return err
	}
	full, err := join(x.Config, secrets)
	if err != nil {
		return fmt.Errorf("read the config of notifier %s: %w", x.Code, err)
	}
	sender, err := kind.New(full, n.lend(x))
	if err != nil {
		return fmt.Errorf("open notifier %s: %w", x.Code, err)
	}
	ctx, cancel := context.WithTimeout(ctx, errandLease/2)
	defer cancel()
	return sender.Send(ctx, m)
}

// Test sends a message that says that it is a test. Its error is a
// *connectors.Error for what the receiver said.
func (n *Notifiers) Test(ctx context.Context, code string) error {
	x, err := n.store.Notifier(ctx, code)
	if err != nil {
		return err
	}
	if err := n.send(ctx, x, &notify.Message{ID: "msg_" + rand.Text(), At: time.Now(), Test: true}); err != nil {
		return &connectors.Error{Verdict: connectors.AsError(err).Verdict, Err: err}
	}
	return nil
}
