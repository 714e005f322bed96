package openai_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/translation/translationtest"
)

// Everything that the provider says to the fake, and the fake to it, is as
// OpenAI's contract has it.
func TestContract(t *testing.T) {
	c := translationtest.LoadContract(t, "openai/chat-completions.subset.json")
	seen := translationtest.Record(t, c.Check, func(t *testing.T, wrap func(http.Handler) http.Handler) {
		t.Run("conformance", func(t *testing.T) { translationtest.Run(t, harness(wrap)) })
		t.Run("account", func(t *testing.T) { account(t, wrap) })
		t.Run("habits", func(t *testing.T) { habits(t, wrap) })
		t.Run("writes", func(t *testing.T) { writes(t, wrap) })
	})
	for _, said := range []string{"POST /chat/completions 200", "POST /chat/completions 429", "GET /models 200"} {
		if seen[said] == 0 {
			t.Errorf("%s was never said: its contract was not checked (%v)", said, seen)
		}
	}
}

// The check refuses what is wrong.
func TestContractCheckCanFail(t *testing.T) {
	c := translationtest.LoadContract(t, "openai/chat-completions.subset.json")
	const (
		asked = `{"model":"m","messages":[{"role":"user","content":"a"}],"temperature":0,"response_format":{"type":"json_schema","json_schema":{"name":"texts","strict":true,"schema":{"type":"object"}}}}`
		said  = `{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","logprobs":null,"message":{"role":"assistant","content":"a","refusal":null}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
	)
	for name, e := range map[string]struct {
		sent   string
		status int
		answer string
		fine   bool
	}{
		"right":              {asked, 200, said, true},
		"no messages":        {`{"model":"m"}`, 200, said, false},
		"empty messages":     {`{"model":"m","messages":[]}`, 200, said, false},
		"temperature":        {strings.Replace(asked, `"temperature":0`, `"temperature":3`, 1), 200, said, false},
		"other format":       {strings.Replace(asked, `"type":"json_schema"`, `"type":"xml"`, 1), 200, said, false},
		"schema has no name": {strings.Replace(asked, `"name":"texts",`, "", 1), 200, said, false},
		"unknown member":     {strings.Replace(asked, "temperature", "temperatur", 1), 200, said, false},
		"finish":             {asked, 200, strings.Replace(said, "stop", "stopped", 1), false},
		"no message":         {asked, 200, strings.Replace(said, `"message"`, `"massage"`, 1), false},
		"throttled":          {asked, 429, `{"error":{"message":"m","type":"t","param":null,"code":null}}`, true},
		"throttled, no code": {asked, 429, `{"error":{"message":"m","type":"t"}}`, false},
	} {
		if err := c.Check(translationtest.MadeUp(t, "POST", "/chat/completions", "application/json", e.sent, e.status, e.answer)); (err == nil) != e.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
