package apertium_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/translation/translationtest"
)

// asGet is a POST as the GET that the contract describes. A server takes both, and
// a text has no business in an address, where logs keep it.
func asGet(e connectortest.Exchange) *connectortest.Exchange {
	if e.Request.Method == http.MethodPost && e.Request.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		e.Request = e.Request.Clone(e.Request.Context())
		e.Request.Method, e.Request.URL = http.MethodGet, &url.URL{Scheme: "http", Host: "apertium.example", Path: e.Request.URL.Path, RawQuery: string(e.Sent)}
		e.Request.Header.Del("Content-Type")
		e.Sent = nil
	}
	return &e
}

// Everything that the provider says to the fake, and the fake to it, is as the
// contract derived from the server's source has it; it knows no list of pairs.
func TestContract(t *testing.T) {
	c := translationtest.LoadContract(t, "apertium/apy.derived.openapi.json")
	check := func(e *connectortest.Exchange) error {
		if e.Request.URL.Path == "/listPairs" {
			return nil
		}
		return c.Check(asGet(*e))
	}
	seen := translationtest.Record(t, check, func(t *testing.T, wrap func(http.Handler) http.Handler) {
		t.Run("conformance", func(t *testing.T) { translationtest.Run(t, harness(wrap)) })
		t.Run("pairs", func(t *testing.T) { scenario(t, wrap) })
	})
	for _, said := range []string{"POST /translate 200", "POST /translate 400", "POST /translate 503"} {
		if seen[said] == 0 {
			t.Errorf("%s was never said: its contract was not checked (%v)", said, seen)
		}
	}
}

// The check refuses what is wrong.
func TestContractCheckCanFail(t *testing.T) {
	c := translationtest.LoadContract(t, "apertium/apy.derived.openapi.json")
	const right = `{"responseData":{"translatedText":"a"},"responseDetails":null,"responseStatus":200}`
	for name, e := range map[string]struct {
		form, answer string
		fine         bool
	}{
		"right":         {"langpair=spa%7Ccat&q=a&format=html&markUnknown=no&key=k", right, true},
		"no pair":       {"langpair=spa-cat&q=a", right, false},
		"no text":       {"langpair=spa%7Ccat", right, false},
		"other name":    {"langpair=spa%7Ccat&q=a&text=b", right, false},
		"no answer":     {"langpair=spa%7Ccat&q=a", `{"responseStatus":200}`, false},
		"answer's type": {"langpair=spa%7Ccat&q=a", `{"responseData":{"translatedText":1},"responseStatus":200}`, false},
	} {
		made := translationtest.MadeUp(t, "POST", "/translate", "application/x-www-form-urlencoded", e.form, 200, e.answer)
		if err := c.Check(asGet(*made)); (err == nil) != e.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
