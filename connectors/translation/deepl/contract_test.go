package deepl_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/translation/translationtest"
)

// Everything that the provider says to the fake, and the fake to it, is as
// DeepL's contract has it.
func TestContract(t *testing.T) {
	c := translationtest.LoadContract(t, "deepl/openapi.yaml")
	seen := translationtest.Record(t, c.Check, func(t *testing.T, wrap func(http.Handler) http.Handler) {
		t.Run("conformance", func(t *testing.T) { translationtest.Run(t, harness(wrap)) })
		t.Run("account", func(t *testing.T) { scenario(t, wrap) })
	})
	for _, said := range []string{
		"POST /v2/translate 200", "POST /v2/translate 403", "POST /v2/translate 413", "POST /v2/translate 429", "POST /v2/translate 456", "GET /v2/usage 200", "GET /v3/languages 200",
	} {
		if seen[said] == 0 {
			t.Errorf("%s was never said: its contract was not checked (%v)", said, seen)
		}
	}
}

// The check refuses what is wrong.
func TestContractCheckCanFail(t *testing.T) {
	c := translationtest.LoadContract(t, "deepl/openapi.yaml")
	const (
		media = "application/json"
		asked = `{"text":["a"],"target_lang":"DE","tag_handling":"xml"}`
		said  = `{"translations":[{"text":"A","billed_characters":1}]}`
	)
	for name, e := range map[string]struct {
		method, path, sent string
		status             int
		answer             string
		fine               bool
	}{
		"right":            {"POST", "/v2/translate", asked, 200, said, true},
		"text is no list":  {"POST", "/v2/translate", strings.Replace(asked, `["a"]`, `"a"`, 1), 200, said, false},
		"no target":        {"POST", "/v2/translate", `{"text":["a"]}`, 200, said, false},
		"other tags":       {"POST", "/v2/translate", strings.Replace(asked, "xml", "sgml", 1), 200, said, false},
		"unknown member":   {"POST", "/v2/translate", strings.Replace(asked, "tag_handling", "tags", 1), 200, said, false},
		"text is a number": {"POST", "/v2/translate", asked, 200, `{"translations":[{"text":1}]}`, false},
		"refusal":          {"POST", "/v2/translate", asked, 456, `{"message":"Quota Exceeded"}`, true},
		"other refusal":    {"POST", "/v2/translate", asked, 456, `{"error":"Quota Exceeded"}`, false},
		"unknown path":     {"POST", "/v2/translation", asked, 200, said, false},
		"other resource":   {"GET", "/v3/languages?resource=words", "", 200, `[]`, false},
		"other parameter":  {"GET", "/v3/languages?resource=translate_text&x=1", "", 200, `[]`, false},
		"language lacks":   {"GET", "/v3/languages?resource=translate_text", "", 200, `[{"lang":"de"}]`, false},
	} {
		if err := c.Check(translationtest.MadeUp(t, e.method, e.path, media, e.sent, e.status, e.answer)); (err == nil) != e.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
