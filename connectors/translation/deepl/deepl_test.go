package deepl_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/deepl"
	"github.com/sluicehub/sluice/connectors/translation/deepl/deepltest"
	"github.com/sluicehub/sluice/connectors/translation/translationtest"
	"github.com/sluicehub/sluice/pim"
)

func connect(t *testing.T, c deepl.Config, env translation.Env) *deepl.Provider {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := deepl.Kind.New(raw, env)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := p.(*deepl.Provider)
	if !ok {
		t.Fatalf("%T", p)
	}
	return d
}

func harness(wrap func(http.Handler) http.Handler) translationtest.Harness {
	return translationtest.Harness{
		Fake: func(*testing.T) translationtest.Fake { return deepltest.New(translationtest.Key, 1_000_000) },
		Connect: func(t *testing.T, url string, env translation.Env) translation.Provider {
			return connect(t, deepl.Config{Key: translationtest.Key, URL: url, Glossary: true}, env)
		},
		Wrap: wrap, From: "en-GB", To: "de-AT", Unknown: [2]pim.Locale{"en", "haw"},
	}
}

func TestConformance(t *testing.T) { translationtest.Run(t, harness(nil)) }

// scenario: what an account's life has beyond the suite.
func scenario(t *testing.T, wrap func(http.Handler) http.Handler) {
	h := harness(wrap)
	h.Fake = func(*testing.T) translationtest.Fake { return deepltest.New(translationtest.Key, 40) }
	_, url := h.Serve(t)
	env := translation.Env{AllowPrivate: true}
	p := connect(t, deepl.Config{Key: translationtest.Key, URL: url, Price: "20.00", Currency: "EUR", Formality: "prefer_less", Model: "prefer_quality_optimized"}, env)
	r := translation.Request{From: "en", To: "pt", Texts: []string{`Steel <x id="1"/> &amp; more`}}
	a, err := p.Translate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if a.Texts[0] != `STEEL <x id="1"/> &amp; MORE` || a.Characters != 13 || a.Model != "deepl quality_optimized" || a.Cost == nil || a.Cost.Amount.String() != "0.00026" {
		t.Errorf("%+v %v", a, a.Cost)
	}
	if u, err := p.Usage(t.Context()); err != nil || u.Used != 13 || u.Limit != 40 {
		t.Errorf("%+v %v", u, err)
	}
	pairs, err := p.Pairs(t.Context())
	if err != nil || len(pairs["en"]) != 11 || len(pairs["en-US"]) != 0 {
		t.Errorf("%v %v", pairs, err)
	}
	r.Texts = []string{strings.Repeat("steel ", 6)}
	if _, err = p.Translate(t.Context(), r); !errors.Is(err, translation.ErrQuota) || connectors.AsError(err).After <= 0 {
		t.Error(err)
	}
	other := connect(t, deepl.Config{Key: "other", URL: url}, env)
	if err := other.Probe(t.Context()); connectors.AsError(err).Verdict != connectors.Auth {
		t.Error(err)
	}
}

func TestAccount(t *testing.T) { scenario(t, nil) }

// A long glossary, or a target that takes no instructions, ends no call.
func TestGlossary(t *testing.T) {
	h := harness(nil)
	_, url := h.Serve(t)
	p := h.Connect(t, url, translation.Env{AllowPrivate: true})
	r := translation.Request{From: "en", To: "de", Texts: []string{"kettle"}, Forbidden: []string{strings.Repeat("long", 100)}}
	for range 12 {
		r.Terms = append(r.Terms, translation.Term{From: "kettle", To: "Kessel"})
	}
	for _, to := range []pim.Locale{"de", "nl"} {
		r.To = to
		if _, err := p.Translate(t.Context(), r); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// A language that DeepL ends is no pair any more, and soon not asked for.
func TestDroppedLanguage(t *testing.T) {
	h := harness(nil)
	f := deepltest.New(translationtest.Key, 1000)
	h.Fake = func(*testing.T) translationtest.Fake { return f }
	_, url := h.Serve(t)
	p := h.Connect(t, url, translation.Env{AllowPrivate: true})
	r := translation.Request{From: "en", To: "de", Texts: []string{"kettle"}}
	if _, err := p.Translate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	f.Drop("DE")
	for _, calls := range []int{1, 1, 0} { // refused; looked up anew; remembered
		before := f.Calls()
		if _, err := p.Translate(t.Context(), r); !errors.Is(err, translation.ErrPair) || f.Calls()-before != calls {
			t.Errorf("%v, %d calls", err, f.Calls()-before)
		}
	}
}

// More than 128 KiB never leaves.
func TestBody(t *testing.T) {
	var requests atomic.Int64
	_, url := harness(func(fake http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			fake.ServeHTTP(w, r)
		})
	}).Serve(t)
	p := connect(t, deepl.Config{Key: translationtest.Key, URL: url}, translation.Env{AllowPrivate: true})
	// 80 KB of quotes are 160 KB of JSON.
	_, err := p.Translate(t.Context(), translation.Request{From: "en", To: "de", Texts: []string{"a" + strings.Repeat(`"`, 80_000)}})
	if !errors.Is(err, translation.ErrTooLarge) || requests.Load() != 1 { // the languages
		t.Errorf("%v, %d requests", err, requests.Load())
	}
}

func TestConfig(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                                  "/key",
		`{"key":"a b"}`:                       "/key",
		`{"key":"a","formality":"more"}`:      "/formality",
		`{"key":"a","model":"x"}`:             "/model",
		`{"key":"a","url":"ftp://a"}`:         "/url",
		`{"key":"a","url":"http://a?b"}`:      "/url",
		`{"key":"a","price_per_million":"x"}`: "/price_per_million",
		`{"key":"a","price_per_million":"2"}`: "/currency",
		`{"key":7}`:                           "/key",
	} {
		_, err := deepl.Kind.New(json.RawMessage(config), translation.Env{})
		invalid, ok := errors.AsType[*pim.Invalid](err)
		if !ok || len(invalid.Problems) != 1 || invalid.Problems[0].Pointer != want {
			t.Errorf("%s: %v", config, err)
		}
	}
}
