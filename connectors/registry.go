package connectors

import (
	"fmt"
	"slices"
	"strings"
)

// Registry is the explicit list of kinds a process knows.
type Registry struct{ kinds []*Kind }

// NewRegistry lists kinds. Two of one name are a programming error and panic.
func NewRegistry(kinds ...*Kind) *Registry {
	r := &Registry{}
	for _, k := range kinds {
		if _, err := r.Kind(k.Name); err == nil {
			panic("connectors: two kinds named " + k.Name)
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
	return nil, fmt.Errorf("connector %q is not known (there are: %s)", name, strings.Join(names, ", "))
}

// Kinds are all kinds, by name.
func (r *Registry) Kinds() []*Kind { return slices.Clone(r.kinds) }
