package pim

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestFallbacks(t *testing.T) {
	t.Parallel()
	s := &Schema{
		Locales:   map[Locale]bool{"en-US": true, "en-GB": true, "en-CA": true, "de-DE": true},
		Fallbacks: map[Locale]Locale{"en-CA": "en-US", "en-US": "en-GB"},
	}
	if c := s.Chain("en-CA"); !slices.Equal(c, []Locale{"en-CA", "en-US", "en-GB"}) {
		t.Error(c)
	}
	if l := s.FallingBackTo("en-GB"); !slices.Equal(l, []Locale{"en-CA", "en-GB", "en-US"}) {
		t.Error(l)
	}
	for _, c := range []struct {
		from, to Locale
		want     string
	}{
		{"de-DE", "en-CA", "<nil>"},
		{"en-GB", "en-CA", "locale.cycle /fallbacks/en-GB"},
		{"de-DE", "de-DE", "locale.cycle /fallbacks/de-DE"},
		{"de-DE", "fr-FR", "locale.unknown /fallbacks/de-DE"},
		{"fr-FR", "de-DE", "locale.unknown /fallbacks/fr-FR"},
	} {
		next := &Schema{Locales: s.Locales, Fallbacks: map[Locale]Locale{"en-CA": "en-US", "en-US": "en-GB", c.from: c.to}}
		if got := faultsOf(problems(next.CheckFallbacks([]Locale{c.from}, "")).err()); got != c.want {
			t.Errorf("%s → %s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

// Fallbacks that are taken one by one never make a ring, and no chain ends before its time.
func TestFallbacksEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &Schema{Locales: map[Locale]bool{}, Fallbacks: map[Locale]Locale{}}
		var all []Locale
		for i := range 14 {
			all = append(all, Locale(fmt.Sprintf("x%02d", i)))
			s.Locales[all[i]] = true
		}
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			from, to := rapid.SampledFrom(all).Draw(t, "from"), rapid.SampledFrom(all).Draw(t, "to")
			old, had := s.Fallbacks[from]
			s.Fallbacks[from] = to
			if len(s.CheckFallbacks([]Locale{from}, "")) == 0 {
				continue
			}
			if s.Fallbacks[from] = old; !had {
				delete(s.Fallbacks, from)
			}
		}
		for _, l := range all {
			seen := map[Locale]bool{}
			for next, on := l, true; on; next, on = s.Fallbacks[next] {
				if seen[next] {
					t.Fatalf("%s falls back in a ring: %v", l, s.Fallbacks)
				}
				seen[next] = true
			}
		}
	})
}
