package libretranslate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sluicehub/sluice/connectors/connectortest"
	"github.com/sluicehub/sluice/connectors/translation/faulty"
	"github.com/sluicehub/sluice/connectors/translation/translationtest"
)

// contract is the document that a server shows of itself: Swagger 2.0, with the
// schemas of a later version in it, so that no library reads it as a whole. Its
// parameters are a form's; a list of texts goes only as JSON with the same names.
type contract map[string]map[string]struct {
	Parameters []struct {
		Name     string
		Required bool
		Schema   json.RawMessage
	}
	Responses map[string]struct{ Schema json.RawMessage }
}

func load(t *testing.T) contract {
	t.Helper()
	var doc struct{ Paths contract }
	if err := json.Unmarshal(connectortest.Spec(t, "libretranslate/spec.derived.json"), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Paths
}

func (c contract) check(e *connectortest.Exchange) error {
	operation, ok := c[e.Request.URL.Path][strings.ToLower(e.Request.Method)]
	if !ok {
		return fmt.Errorf("there is no operation %s %s", e.Request.Method, e.Request.URL.Path)
	}
	if e.Request.Method == http.MethodPost {
		var sent map[string]json.RawMessage
		if err := json.Unmarshal(e.Sent, &sent); err != nil {
			return fmt.Errorf("request %s: %w", e.Sent, err)
		}
		for _, p := range operation.Parameters {
			value, given := sent[p.Name]
			delete(sent, p.Name)
			if !given && p.Required {
				return fmt.Errorf("request %s: %s is needed", e.Sent, p.Name)
			}
			if given {
				if err := valid(p.Schema, value); err != nil {
					return fmt.Errorf("request %s: %s: %w", e.Sent, p.Name, err)
				}
			}
		}
		for name := range sent {
			return fmt.Errorf("request %s: there is no parameter %q", e.Sent, name)
		}
	}
	response, ok := operation.Responses[strconv.Itoa(e.Status)]
	if !ok || e.Header.Get(faulty.Header) != "" || len(e.Answer) == 0 {
		return nil
	}
	if err := valid(response.Schema, e.Answer); err != nil {
		return fmt.Errorf("answer %d %s: %w", e.Status, e.Answer, err)
	}
	return nil
}

func valid(schema, value json.RawMessage) error {
	s, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4) // Swagger 2.0's
	if err := compiler.AddResource("schema.json", s); err != nil {
		return err
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		return err
	}
	return compiled.Validate(v)
}

// Everything that the provider says to the fake, and the fake to it, is as the
// server's own description has it.
func TestContract(t *testing.T) {
	c := load(t)
	seen := translationtest.Record(t, c.check, func(t *testing.T, wrap func(http.Handler) http.Handler) {
		t.Run("conformance", func(t *testing.T) { translationtest.Run(t, harness(wrap)) })
		t.Run("server", func(t *testing.T) { scenario(t, wrap) })
	})
	for _, said := range []string{"POST /translate 200", "POST /translate 400", "POST /translate 403", "POST /translate 429", "POST /translate 500", "GET /languages 200", "POST /detect 200"} {
		if seen[said] == 0 {
			t.Errorf("%s was never said: its contract was not checked (%v)", said, seen)
		}
	}
}

// The check refuses what is wrong.
func TestContractCheckCanFail(t *testing.T) {
	c := load(t)
	const (
		asked = `{"q":["a"],"source":"en","target":"es","format":"html"}`
		said  = `{"translatedText":["A"]}`
	)
	for name, e := range map[string]struct {
		path, sent string
		status     int
		answer     string
		fine       bool
	}{
		"right":             {"/translate", asked, 200, said, true},
		"no target":         {"/translate", strings.Replace(asked, `,"target":"es"`, "", 1), 200, said, false},
		"text is a number":  {"/translate", strings.Replace(asked, `["a"]`, "7", 1), 200, said, false},
		"other format":      {"/translate", strings.Replace(asked, "html", "xml", 1), 200, said, false},
		"unknown parameter": {"/translate", strings.Replace(asked, "format", "forma", 1), 200, said, false},
		"other answer":      {"/translate", asked, 200, `{"text":["A"]}`, false},
		"refusal":           {"/translate", asked, 400, `{"error":"no"}`, true},
		"refusal's type":    {"/translate", asked, 400, `{"error":7}`, false},
		"unknown path":      {"/translation", asked, 200, said, false},
	} {
		if err := c.check(translationtest.MadeUp(t, "POST", e.path, "application/json", e.sent, e.status, e.answer)); (err == nil) != e.fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}
