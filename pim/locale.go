package pim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Chain lists a locale and those whose values are shown where a product has none
// in it, in their order.
func (s *Schema) Chain(l Locale) []Locale {
	chain := []Locale{l}
	for next, ok := s.Fallbacks[l]; ok && len(chain) <= len(s.Fallbacks); next, ok = s.Fallbacks[next] {
		chain = append(chain, next)
	}
	return chain
}

// FallingBackTo lists, in their order, the locales that show values of l: itself,
// and those in whose chain it stands.
func (s *Schema) FallingBackTo(l Locale) []Locale {
	list := []Locale{l}
	for _, from := range slices.Sorted(maps.Keys(s.Fallbacks)) {
		if from != l && slices.Contains(s.Chain(from), l) {
			list = append(list, from)
		}
	}
	slices.Sort(list)
	return list
}

// CheckFallbacks checks fallbacks, all there are, with pointers such as
// "/fallbacks/en-US" below pointer. One that leads back to where it began is
// refused, with the ring it would make.
func (s *Schema) CheckFallbacks(changed []Locale, pointer string) []Problem {
	var ps problems
	for _, l := range slices.Sorted(slices.Values(changed)) {
		at := JoinPointer("/fallbacks", string(l))
		to, ok := s.Fallbacks[l]
		if !s.Locales[l] {
			ps.add(at, "locale.unknown", fmt.Sprintf("locale %s is not known", quote(string(l))))
			continue
		}
		if !ok {
			continue
		}
		if !s.Locales[to] {
			ps.add(at, "locale.unknown", fmt.Sprintf("locale %s is not known", quote(string(to))))
			continue
		}
		ring := []string{string(l)}
		for next, on := to, true; on && len(ring) <= len(s.Fallbacks); next, on = s.Fallbacks[next] {
			ring = append(ring, string(next))
			if next == l {
				ps.add(at, "locale.cycle", "the locales would fall back in a ring: "+strings.Join(ring, " → "))
				break
			}
		}
	}
	return ps.under(pointer)
}

// Filled reports whether a value of one scope says something: blank text and
// empty arrays do not.
func Filled(v any) bool { return isFilled(v) }
