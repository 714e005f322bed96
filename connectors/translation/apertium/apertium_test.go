package apertium_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/apertium"
	"github.com/sluicehub/sluice/connectors/translation/apertium/apertiumtest"
	"github.com/sluicehub/sluice/connectors/translation/faulty"
	"github.com/sluicehub/sluice/connectors/translation/translationtest"
	"github.com/sluicehub/sluice/pim"
)

func connect(t *testing.T, c apertium.Config, env translation.Env) *apertium.Provider {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := apertium.Kind.New(raw, env)
	if err != nil {
		t.Fatal(err)
	}
	a, ok := p.(*apertium.Provider)
	if !ok {
		t.Fatalf("%T", p)
	}
	return a
}

func harness(wrap func(http.Handler) http.Handler) translationtest.Harness {
	return translationtest.Harness{
		Fake: func(*testing.T) translationtest.Fake {
			return apertiumtest.New("eng-spa", "spa-cat", "spa-cat_valencia", "spa-cat_iec2017", "nob-swe")
		},
		Connect: func(t *testing.T, url string, env translation.Env) translation.Provider {
			return connect(t, apertium.Config{URL: url, Key: translationtest.Key}, env)
		},
		Wrap: wrap, From: "en-GB", To: "es-ES", Unknown: [2]pim.Locale{"es", "en"}, Lacks: []faulty.Kind{faulty.Quota},
	}
}

func TestConformance(t *testing.T) { translationtest.Run(t, harness(nil)) }

func TestPairs(t *testing.T) { scenario(t, nil) }

// scenario: a server's pairs, and one that goes.
func scenario(t *testing.T, wrap func(http.Handler) http.Handler) {
	h := harness(wrap)
	f := apertiumtest.New("eng-spa", "spa-cat", "spa-cat_valencia", "spa-cat_iec2017", "nob-swe", "zzzz-cat")
	h.Fake = func(*testing.T) translationtest.Fake { return f }
	_, url := h.Serve(t)
	p := connect(t, apertium.Config{URL: url, Price: "1", Currency: "EUR"}, translation.Env{AllowPrivate: true})
	pairs, err := p.Pairs(t.Context())
	if err != nil || !slices.Equal(pairs["es"], []string{"ca", "ca-valencia", "ca-x-iec2017"}) || !slices.Equal(pairs["nb"], []string{"sv"}) {
		t.Fatalf("%v %v", pairs, err)
	}
	for _, c := range []struct {
		from, to pim.Locale
		model    string
	}{
		{"es-ES", "ca", "apertium spa-cat"},
		{"es", "ca-ES", "apertium spa-cat"},
		{"es", "ca-valencia", "apertium spa-cat_valencia"},
		{"es", "ca-ES-valencia", "apertium spa-cat_valencia"},
		{"es", "ca-x-iec2017", "apertium spa-cat_iec2017"},
		{"no", "sv", "apertium nob-swe"},
	} {
		a, err := p.Translate(t.Context(), translation.Request{From: c.from, To: c.to, Texts: []string{"a *b * &amp; c", "  d\n"}})
		if err != nil || a.Model != c.model || a.Texts[0] != "A *B * &amp; C" || a.Texts[1] != "  D\n" || a.Cost.Amount.String() != "0.000011" {
			t.Errorf("%s to %s: %+v %v", c.from, c.to, a, err)
		}
	}
	f.Remove("eng-spa")
	r := translation.Request{From: "en", To: "es", Texts: []string{"a"}}
	for _, calls := range []int{1, 1, 0} { // refused by the server; looked up anew; remembered
		before := f.Calls()
		if _, err := p.Translate(t.Context(), r); !errors.Is(err, translation.ErrPair) || f.Calls()-before != calls {
			t.Errorf("%v, %d calls", err, f.Calls()-before)
		}
	}
}

func TestConfig(t *testing.T) {
	if _, err := apertium.Kind.New(json.RawMessage(`{}`), translation.Env{}); err == nil {
		t.Error("there is no url")
	}
}
