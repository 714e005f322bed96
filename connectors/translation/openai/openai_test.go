package openai_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/openai"
	"github.com/sluicehub/sluice/connectors/translation/openai/openaitest"
	"github.com/sluicehub/sluice/connectors/translation/translationtest"
	"github.com/sluicehub/sluice/pim"
)

func connect(t *testing.T, c openai.Config, env translation.Env) *openai.Provider {
	t.Helper()
	if c.Model == "" {
		c.Model = openaitest.Model
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	p, err := openai.Kind.New(raw, env)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := p.(*openai.Provider)
	if !ok {
		t.Fatalf("%T", p)
	}
	return o
}

func harness(wrap func(http.Handler) http.Handler) translationtest.Harness {
	return translationtest.Harness{
		Fake: func(*testing.T) translationtest.Fake { return openaitest.New(translationtest.Key, 1_000_000) },
		Connect: func(t *testing.T, url string, env translation.Env) translation.Provider {
			return connect(t, openai.Config{URL: url, Key: translationtest.Key, Languages: []string{"en", "es"}}, env)
		},
		Wrap: wrap, From: "en-GB", To: "es-ES", Unknown: [2]pim.Locale{"en", "haw"},
	}
}

func TestConformance(t *testing.T) { translationtest.Run(t, harness(nil)) }

var kettle = translation.Request{From: "en", To: "es", Texts: []string{`Steel <x id="1"/> &amp; more`, "second"}, Terms: []translation.Term{{From: "steel", To: "acero"}}, Forbidden: []string{"hierro"}}

// serve starts a fake with credit for so many tokens.
func serve(t *testing.T, wrap func(http.Handler) http.Handler, credit int, config openai.Config) (*openaitest.Fake, *openai.Provider) {
	t.Helper()
	h := harness(wrap)
	fake := openaitest.New(translationtest.Key, credit)
	h.Fake = func(*testing.T) translationtest.Fake { return fake }
	_, config.URL = h.Serve(t)
	config.Key = translationtest.Key
	return fake, connect(t, config, translation.Env{AllowPrivate: true})
}

func TestAccount(t *testing.T) { account(t, nil) }

// account: tokens, their price, and the end of the credit.
func account(t *testing.T, wrap func(http.Handler) http.Handler) {
	_, p := serve(t, wrap, 1000, openai.Config{InputPrice: "1", OutputPrice: "1", Currency: "USD", MaxTokens: 500})
	a, err := p.Translate(t.Context(), kettle)
	if err != nil {
		t.Fatal(err)
	}
	if a.Texts[0] != `STEEL <x id="1"/> &amp; MORE` || a.Model != openaitest.Model+"-2026-01-01" || a.Characters != 19 || a.Tokens < 100 {
		t.Errorf("%+v", a)
	}
	if a.Cost == nil || a.Cost.Currency != "USD" || a.Cost.Amount.Cmp(decimal.MustNew(int64(a.Tokens), 6)) != 0 {
		t.Errorf("%v for %d tokens", a.Cost, a.Tokens)
	}
	for range 3 {
		if _, err = p.Translate(t.Context(), kettle); err != nil {
			break
		}
	}
	if !errors.Is(err, translation.ErrQuota) || connectors.AsError(err).Verdict != connectors.Throttled {
		t.Error(err)
	}
}

func TestHabits(t *testing.T) { habits(t, nil) }

// habits: in what services and models differ.
func habits(t *testing.T, wrap func(http.Handler) http.Handler) {
	for name, c := range map[string]struct {
		habits  openaitest.Habits
		format  string
		calls   int
		verdict connectors.Verdict
		is      error
	}{
		"all":                  {openaitest.Habits{}, "", 1, "", nil},
		"no schema":            {openaitest.Habits{NoSchema: true}, "", 2, "", nil},
		"no temperature":       {openaitest.Habits{NoTemperature: true}, "", 2, "", nil},
		"neither, and a fence": {openaitest.Habits{NoSchema: true, NoTemperature: true, Fence: true}, "", 3, "", nil},
		"told so":              {openaitest.Habits{NoSchema: true}, "text", 1, "", nil},
		"told otherwise":       {openaitest.Habits{NoSchema: true}, "schema", 1, connectors.Validation, nil},
		"cut off":              {openaitest.Habits{Finish: "length"}, "", 1, connectors.Permanent, translation.ErrTooLarge},
		"filtered":             {openaitest.Habits{Finish: "content_filter"}, "", 1, connectors.Validation, translation.ErrRefused},
		"refused":              {openaitest.Habits{Refusal: "I cannot help with " + translationtest.Key}, "", 1, connectors.Validation, translation.ErrRefused},
		"tools":                {openaitest.Habits{Finish: "tool_calls"}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"chatter":              {openaitest.Habits{Content: `Here you are: {"1":"a","2":"b"}`}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"chatter after":        {openaitest.Habits{Content: `{"1":"a","2":"b"} {}`}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"one more":             {openaitest.Habits{Content: `{"1":"a","2":"b","3":"c"}`}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"other names":          {openaitest.Habits{Content: `{"1":"a","3":"c"}`}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"an empty text":        {openaitest.Habits{Content: `{"1":"a","2":" "}`}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"no text":              {openaitest.Habits{Content: `{"1":"a","2":null}`}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"a number":             {openaitest.Habits{Content: `{"1":"a","2":2}`}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"a list":               {openaitest.Habits{Content: `["a","b"]`}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"a fence without end":  {openaitest.Habits{Content: "```json\n{}"}, "", 1, connectors.Unavailable, translation.ErrAnswer},
		"characters by name":   {openaitest.Habits{Content: `{"1":"caf&eacute; & <x id='1'/>","2":"b"}`}, "", 1, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			fake, p := serve(t, wrap, 1_000_000, openai.Config{Format: c.format})
			fake.Behave(c.habits)
			a, err := p.Translate(t.Context(), kettle)
			if fake.Calls() != c.calls {
				t.Errorf("%d calls", fake.Calls())
			}
			if c.verdict != "" {
				if e := connectors.AsError(err); e.Verdict != c.verdict || c.is != nil && !errors.Is(err, c.is) || strings.Contains(err.Error(), translationtest.Key) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || len(a.Texts) != 2 || len(translationtest.Tags(a.Texts[0])) != 1 {
				t.Fatalf("%+v %v", a, err)
			}
			// What it learnt it keeps.
			if _, err = p.Translate(t.Context(), kettle); err != nil || fake.Calls() != c.calls+1 {
				t.Errorf("%v, %d calls", err, fake.Calls())
			}
		})
	}
}

func TestWrite(t *testing.T) { writes(t, nil) }

func writes(t *testing.T, wrap func(http.Handler) http.Handler) {
	fake, p := serve(t, wrap, 1_000_000, openai.Config{})
	prompt := translation.Prompt{
		Locale: "de-DE", Instruction: "Sober.", Facts: `{"name":"Kettle","volume":"1.5 l"}`,
		Wanted: []translation.Wanted{{Name: "title", Most: 9}, {Name: "bullet 1"}},
	}
	a, err := p.Write(t.Context(), prompt)
	if err != nil || len(a.Texts) != 2 || a.Texts[0] != "Kettle, 1" || a.Texts[1] != "Kettle, 1.5 l" || a.Tokens == 0 || a.Characters == 0 {
		t.Errorf("%+v %v", a, err)
	}
	fake.Behave(openaitest.Habits{Finish: "length"})
	if _, err = p.Write(t.Context(), prompt); !errors.Is(err, translation.ErrTooLarge) {
		t.Error(err)
	}
	calls := fake.Calls()
	for _, change := range []func(*translation.Prompt){
		func(p *translation.Prompt) { p.Facts = "" },
		func(p *translation.Prompt) { p.Facts = "{}" },
		func(p *translation.Prompt) { p.Facts = "[1]" },
		func(p *translation.Prompt) { p.Wanted = nil },
		func(p *translation.Prompt) { p.Locale = "und" },
		func(p *translation.Prompt) { p.Instruction = strings.Repeat("a", 30_000) },
	} {
		bad := prompt
		change(&bad)
		if _, err := p.Write(t.Context(), bad); err == nil || fake.Calls() != calls {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A model that is not there is for the settings, no fault of the texts; and a service's refusals come in many forms.
func TestRefusals(t *testing.T) {
	_, p := serve(t, nil, 1000, openai.Config{Model: "other"})
	if _, err := p.Translate(t.Context(), kettle); connectors.AsError(err).Verdict != connectors.Auth {
		t.Error(err)
	}
	for body, c := range map[string]struct {
		status  int
		verdict connectors.Verdict
		is      error
	}{
		`{"error":{"message":"Insufficient credits","code":402}}`: {402, connectors.Throttled, translation.ErrQuota},
		`{"error":"model 'x' not found, try pulling it first"}`:   {404, connectors.Auth, nil},
		`{"error":{"message":"m","code":"content_filter"}}`:       {400, connectors.Validation, translation.ErrRefused},
		`{"error":{"message":"m","type":"insufficient_quota"}}`:   {429, connectors.Throttled, translation.ErrQuota},
		`{"detail":"Not Found"}`:                                  {404, connectors.Unavailable, nil},
		`not JSON`:                                                {529, connectors.Unavailable, nil},
	} {
		h := translationtest.Harness{Fake: func(*testing.T) translationtest.Fake { return openaitest.New("", 0) }, Wrap: func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(body))
			})
		}}
		_, url := h.Serve(t)
		_, err := connect(t, openai.Config{URL: url}, translation.Env{AllowPrivate: true}).Translate(t.Context(), kettle)
		if e := connectors.AsError(err); e.Verdict != c.verdict || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%d %s: %v", c.status, body, err)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, config := range []string{
		`{}`, `{"model":"a","format":"xml"}`, `{"model":"a","languages":["klingonese"]}`, `{"model":"a","max_tokens":-1}`,
		`{"model":"a","key":"a b"}`, `{"model":"a","input_price_per_million":"1"}`, `{"model":"a","url":"x"}`,
	} {
		if _, err := openai.Kind.New(json.RawMessage(config), translation.Env{}); err == nil {
			t.Errorf("%s is taken", config)
		}
	}
}
