// Package openai is the provider for services that speak OpenAI's chat
// completions: OpenAI itself, and many gateways and servers for models on one's
// own machines. It translates and writes texts. docs/translation.md says how it
// is set up and what each error means; openaitest holds the rules in code of our
// own.
package openai

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/service"
	"github.com/sluicehub/sluice/pim"
)

// Config are the settings of a chat service.
type Config struct {
	URL         string       `json:"url,omitempty" doc:"Address that /chat/completions is added to; https://api.openai.com/v1 when empty"`
	Key         string       `json:"key,omitempty" secret:"true" doc:"API key; servers of one's own may want none"`
	Model       string       `json:"model" doc:"Model, as the service names it"`
	Format      string       `json:"format,omitempty" enum:"schema,text" doc:"How the model is held to JSON: schema (structured outputs) or text (by instruction alone); found out by itself when empty"`
	Languages   []string     `json:"languages,omitempty" doc:"Languages that the model is trusted with, as BCP 47; any when empty"`
	MaxTokens   int          `json:"max_tokens,omitempty" doc:"Tokens that one answer may have (max_completion_tokens); the service's choice when empty"`
	InputPrice  string       `json:"input_price_per_million,omitempty" doc:"Price of a million tokens of requests, such as 0.15, for the sums that are shown"`
	OutputPrice string       `json:"output_price_per_million,omitempty" doc:"Price of a million tokens of answers"`
	Currency    pim.Currency `json:"currency,omitempty" doc:"Currency of the prices, such as USD"`
}

const usualURL = "https://api.openai.com/v1"

var limits = translation.Limits{Texts: 20, Bytes: 24 << 10, Concurrency: 4, Timeout: 120 * time.Second}

// Kind is the provider of chat services.
var Kind = &translation.Kind{
	Name:   "openai",
	Title:  "Chat model (OpenAI-compatible)",
	Limits: limits,
	Config: &Config{},
	Makes:  []translation.Provider{(*Provider)(nil)},
	New: func(config json.RawMessage, env translation.Env) (translation.Provider, error) {
		var (
			check connectors.ConfigCheck
			c     Config
		)
		check.Decode(config, &c)
		check.Need("model", c.Model)
		service.Key(&check, "key", c.Key)
		if c.Format != "" && c.Format != "schema" && c.Format != "text" {
			check.Add("format", "config.choice", "is one of schema, text")
		}
		if c.MaxTokens < 0 {
			check.Add("max_tokens", "config.number", "is not below 0")
		}
		for _, l := range c.Languages {
			if len(translation.Codes(pim.Locale(l), false)) == 0 {
				check.Add("languages", "locale.tag", "is a list of BCP 47 tags such as de or pt-BR")
				break
			}
		}
		base := service.Address(&check, "url", c.URL, usualURL)
		p := &Provider{
			config: c, limits: limits.Lowered(env.Limits),
			input:  translation.ReadPrice(&check, "input_price_per_million", c.InputPrice, c.Currency),
			output: translation.ReadPrice(&check, "output_price_per_million", c.OutputPrice, c.Currency),
		}
		if err := check.Err(); err != nil {
			return nil, err
		}
		p.plain.Store(c.Format == "text")
		header := http.Header{}
		if c.Key != "" {
			header.Set("Authorization", "Bearer "+c.Key)
		}
		p.session = service.New(service.Settings{
			Base: base, Header: header, Secrets: []string{c.Key}, Limits: p.limits, Table: verdicts, Explain: explain, Env: env,
		})
		return p, nil
	},
}

// verdicts is the one table of what a service's refusals mean; the first line
// that fits counts. The codes are OpenAI's and Azure's; 402 is what gateways say
// of an empty account.
// Of a model that is not there no text is to blame: it waits for other settings, as for another key.
var verdicts = append([]service.Rule{
	{From: 429, To: 429, Code: "insufficient_quota", Verdict: connectors.Throttled, Is: translation.ErrQuota, After: time.Hour, Hint: "look at the account's credit and limits"},
	{From: 402, To: 402, Verdict: connectors.Throttled, Is: translation.ErrQuota, After: time.Hour, Hint: "look at the account's credit"},
	{From: 429, To: 429, Verdict: connectors.Throttled, After: 20 * time.Second},
	{From: 400, To: 400, Code: "context_length_exceeded", Verdict: connectors.Permanent, Is: translation.ErrTooLarge},
	{From: 400, To: 400, Code: "content_filter", Verdict: connectors.Validation, Is: translation.ErrRefused},
	{From: 400, To: 400, Code: "content_policy_violation", Verdict: connectors.Validation, Is: translation.ErrRefused},
	{From: 404, To: 404, Code: "model_not_found", Verdict: connectors.Auth, Hint: "correct the provider's model"},
	{From: 404, To: 404, Says: "model", Verdict: connectors.Auth, Hint: "correct the provider's model"},
}, service.Statuses...)

// explain reads {"error": {"code", "message"}}, whose code gateways write as a
// number or leave out, and {"error": "message"}.
func explain(body []byte) (code, message string) {
	var said struct{ Error json.RawMessage }
	_ = json.Unmarshal(body, &said) // what it cannot read it does not know
	var whole struct {
		Code    any
		Type    string
		Message string
	}
	if json.Unmarshal(said.Error, &whole) != nil {
		_ = json.Unmarshal(said.Error, &message)
		return "", message
	}
	code, _ = whole.Code.(string)
	if code == "" {
		code = whole.Type
	}
	return code, whole.Message
}

// Provider translates and writes by one model. Make it with Kind.New.
type Provider struct {
	config        Config
	limits        translation.Limits
	input, output translation.Price
	session       *service.Session
	// What was learnt of the service: that it knows no structured outputs, and
	// that its model takes no temperature.
	plain, warm atomic.Bool
}

// Translate asks for all texts at once, each under a name of its own.
func (p *Provider) Translate(ctx context.Context, r translation.Request) (*translation.Answer, error) {
	if err := r.Check(p.limits); err != nil {
		return nil, err
	}
	texts, places := service.Needed(r.Texts)
	if len(texts) == 0 {
		return &translation.Answer{Texts: slices.Clone(r.Texts), Model: p.config.Model}, nil
	}
	if err := p.trusted(r.From, r.To); err != nil {
		return nil, err
	}
	a, err := p.chat(ctx, translator, translatePrompt{
		From: r.From, To: r.To, Context: r.Context, Terms: terms(r.Terms), Forbidden: r.Forbidden, Texts: named(texts),
	}, len(texts))
	if err != nil {
		return nil, err
	}
	translated := make([]string, len(texts))
	for i, text := range a.Texts {
		// Models like to write a bare "&", or a character by its HTML name.
		translated[i] = service.FromHTML(text)
	}
	a.Texts = service.Filled(r.Texts, places, translated)
	a.Characters = translation.Request{Texts: texts}.Characters()
	return a, nil
}

// trusted reports a pair that is no pair of languages, or not of those that the
// settings name.
func (p *Provider) trusted(from, to pim.Locale) error {
	for _, l := range []pim.Locale{from, to} {
		switch {
		case len(translation.Codes(l, false)) == 0:
			return translation.Unsupported(from, to, "both must be BCP 47 tags of languages")
		case len(p.config.Languages) > 0 && translation.Pick(l, false, p.config.Languages) == "":
			return translation.Unsupported(from, to, "the provider's settings do not list both")
		}
	}
	return nil
}

// Write asks for texts of one product; see translation.Writer.
func (p *Provider) Write(ctx context.Context, prompt translation.Prompt) (*translation.Answer, error) {
	var facts map[string]any
	if err := json.Unmarshal([]byte(prompt.Facts), &facts); err != nil || len(facts) == 0 || len(prompt.Wanted) == 0 {
		return nil, &connectors.Error{Verdict: connectors.Validation, Err: errPrompt}
	}
	if size := len(prompt.Facts) + len(prompt.Instruction); p.limits.Bytes > 0 && size > p.limits.Bytes {
		return nil, translation.TooLarge("%d bytes of facts and instruction, of at most %d", size, p.limits.Bytes)
	}
	if len(translation.Codes(prompt.Locale, false)) == 0 {
		return nil, translation.Unsupported(prompt.Locale, prompt.Locale, "the locale to write in must be a BCP 47 tag of a language")
	}
	asked := writePrompt{Locale: prompt.Locale, Instruction: prompt.Instruction, Facts: json.RawMessage(prompt.Facts), Wanted: map[string]wanted{}}
	for i, w := range prompt.Wanted {
		asked.Wanted[strconv.Itoa(i+1)] = wanted{Name: w.Name, Most: w.Most}
	}
	a, err := p.chat(ctx, writer, asked, len(prompt.Wanted))
	if err != nil {
		return nil, err
	}
	for i := range a.Texts {
		a.Texts[i] = strings.TrimSpace(a.Texts[i])
	}
	a.Characters = len([]rune(prompt.Facts))
	return a, nil
}

// Probe lists the models, which needs the key and costs nothing.
func (p *Provider) Probe(ctx context.Context) error {
	var said struct {
		Data []struct{ ID string } `json:"data"`
	}
	return p.session.Get(ctx, "models", nil, &said)
}
