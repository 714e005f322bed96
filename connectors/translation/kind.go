package translation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Kind describes a provider to the registry and makes its instances.
type Kind struct {
	Name   string // immutable, lower case: "deepl"
	Title  string // for people
	Limits Limits // defaults; a provider's settings may lower them
	// Test: what it gives is for tests and demonstrations, and goes to no channel
	// that is not marked as a test.
	Test bool
	// Config points to the zero config struct. Its fields' marks `secret:"true"`
	// and `address:"true"` mean what they mean in a connectors.Kind.
	Config any
	// Makes has one value, a nil pointer will do, of each type that New gives: it
	// tells the kind's powers without a config and without a network.
	Makes []Provider
	// New makes a provider from a config of Config's JSON shape, secrets included.
	// A bad config is a *pim.Invalid with pointers into it and all its problems at
	// once.
	New func(config json.RawMessage, env Env) (Provider, error)
}

// Env is what the process and the provider's settings lend to a provider.
type Env struct {
	Limits       Limits // what is not set in them is the kind's
	AllowPrivate bool   // services on loopback and private addresses may be dialled
	Version      string
}

// Lowered are the kind's limits where by says nothing lower. The deadline may
// also be raised, since a model on one's own machine can need minutes.
func (l Limits) Lowered(by Limits) Limits {
	for _, p := range []struct {
		at *int
		by int
	}{
		{&l.Texts, by.Texts},
		{&l.Bytes, by.Bytes},
		{&l.Characters, by.Characters},
		{&l.Concurrency, by.Concurrency},
		{&l.PerMinute, by.PerMinute},
	} {
		if p.by > 0 && (*p.at <= 0 || p.by < *p.at) {
			*p.at = p.by
		}
	}
	if by.Timeout > 0 {
		l.Timeout = by.Timeout
	}
	return l
}

// Power names one of the small interfaces that a provider may have beyond
// Provider.
type Power string

// The powers, in the order in which they are listed.
const (
	CanPair  Power = "pairs" // Pairer
	CanMeter Power = "usage" // Meter
	CanWrite Power = "write" // Writer
)

// Powers are those that a provider of this kind has.
func (k *Kind) Powers() []Power {
	powers := []Power{}
	for _, p := range []struct {
		power Power
		has   func(Provider) bool
	}{{CanPair, is[Pairer]}, {CanMeter, is[Meter]}, {CanWrite, is[Writer]}} {
		if slices.ContainsFunc(k.Makes, p.has) {
			powers = append(powers, p.power)
		}
	}
	return powers
}

func is[T any](p Provider) bool {
	_, ok := p.(T)
	return ok
}

// Registry is the explicit list of kinds a process knows.
type Registry struct{ kinds []*Kind }

// NewRegistry lists kinds. Two of one name are a programming error and panic.
func NewRegistry(kinds ...*Kind) *Registry {
	r := &Registry{}
	for _, k := range kinds {
		if _, err := r.Kind(k.Name); err == nil {
			panic("translation: two kinds named " + k.Name)
		}
		r.kinds = append(r.kinds, k)
	}
	slices.SortFunc(r.kinds, func(a, b *Kind) int { return strings.Compare(a.Name, b.Name) })
	return r
}

// Kind finds a kind by name; the error lists the names there are.
func (r *Registry) Kind(name string) (*Kind, error) {
	names := make([]string, 0, len(r.kinds))
	for _, k := range r.kinds {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return nil, fmt.Errorf("translation provider %q is not known (there are: %s)", name, strings.Join(names, ", "))
}

// Kinds are all kinds, by name.
func (r *Registry) Kinds() []*Kind { return slices.Clone(r.kinds) }
