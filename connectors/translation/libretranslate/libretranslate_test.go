package libretranslate_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/faulty"
	"github.com/sluicehub/sluice/connectors/translation/libretranslate"
	"github.com/sluicehub/sluice/connectors/translation/libretranslate/libretranslatetest"
	"github.com/sluicehub/sluice/connectors/translation/translationtest"
	"github.com/sluicehub/sluice/pim"
)

func connect(t *testing.T, c libretranslate.Config, env translation.Env) *libretranslate.Provider {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := libretranslate.Kind.New(raw, env)
	if err != nil {
		t.Fatal(err)
	}
	l, ok := p.(*libretranslate.Provider)
	if !ok {
		t.Fatalf("%T", p)
	}
	return l
}

func harness(wrap func(http.Handler) http.Handler) translationtest.Harness {
	return translationtest.Harness{
		Fake: func(*testing.T) translationtest.Fake { return libretranslatetest.New(translationtest.Key, 20, 0) },
		Connect: func(t *testing.T, url string, env translation.Env) translation.Provider {
			return connect(t, libretranslate.Config{URL: url, Key: translationtest.Key}, env)
		},
		Wrap: wrap, From: "en-GB", To: "es-ES", Unknown: [2]pim.Locale{"ca", "es"}, Lacks: []faulty.Kind{faulty.Quota},
	}
}

func TestConformance(t *testing.T) { translationtest.Run(t, harness(nil)) }

func TestServer(t *testing.T) { scenario(t, nil) }

// scenario: codes, bounds and keys of a server.
func scenario(t *testing.T, wrap func(http.Handler) http.Handler) {
	h := harness(wrap)
	h.Fake = func(*testing.T) translationtest.Fake { return libretranslatetest.New(translationtest.Key, 2, 100) }
	fake, url := h.Serve(t)
	env := translation.Env{AllowPrivate: true}
	p := connect(t, libretranslate.Config{URL: url, Key: translationtest.Key, Price: "1.5", Currency: "USD"}, env)
	for to, model := range map[pim.Locale]string{
		"zh-TW": "en-zt", "zh-CN": "en-zh-Hans", "pt-BR": "en-pt-BR", "pt-PT": "en-pt", "no": "en-nb", "de-CH": "en-de",
	} {
		a, err := p.Translate(t.Context(), translation.Request{From: "en", To: to, Texts: []string{`a <x id="1"/> b`}})
		if err != nil || a.Model != "libretranslate "+model || a.Texts[0] != `A <x id="1"/> B` || a.Cost.Amount.String() != "0.000006" {
			t.Errorf("%s: %+v %v", to, a, err)
		}
	}
	pairs, err := p.Pairs(t.Context())
	if err != nil || len(pairs["ca"]) != 1 || len(pairs["en"]) != 7 {
		t.Errorf("%v %v", pairs, err)
	}
	for _, texts := range [][]string{{"a", "b", "c"}, {strings.Repeat("a", 101)}} {
		if _, err = p.Translate(t.Context(), translation.Request{From: "en", To: "de", Texts: texts}); !errors.Is(err, translation.ErrTooLarge) {
			t.Error(err)
		}
	}
	bounded := connect(t, libretranslate.Config{URL: url, Key: translationtest.Key, Characters: 100}, env)
	before := fake.Calls()
	// 100 characters as a fragment, 103 as HTML.
	_, err = bounded.Translate(t.Context(), translation.Request{From: "en", To: "de", Texts: []string{strings.Repeat("a", 89) + `<x id="1"/>`}})
	if !errors.Is(err, translation.ErrTooLarge) || fake.Calls() != before {
		t.Error(err)
	}
	for _, key := range []string{"", "other"} {
		other := connect(t, libretranslate.Config{URL: url, Key: key}, env)
		if err := other.Probe(t.Context()); connectors.AsError(err).Verdict != connectors.Auth {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, config := range []string{`{}`, `{"url":"http://a","characters":-1}`, `{"url":"a"}`} {
		if _, err := libretranslate.Kind.New(json.RawMessage(config), translation.Env{}); err == nil {
			t.Errorf("%s is taken", config)
		}
	}
}
