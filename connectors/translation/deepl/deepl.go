// Package deepl is the translation provider for DeepL's API (version 2, languages
// by version 3), Free and Pro. docs/translation.md says how it is set up and what
// each error means; deepltest holds DeepL's rules in code of our own.
package deepl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/service"
	"github.com/sluicehub/sluice/pim"
)

// Config are the settings of a DeepL account.
type Config struct {
	Key       string       `json:"key" secret:"true" doc:"Authentication key from the account's API keys; one that ends in :fx is of a Free account"`
	Formality string       `json:"formality,omitempty" enum:"default,prefer_more,prefer_less" doc:"How languages that know the difference address the reader; default when empty"`
	Model     string       `json:"model,omitempty" enum:"quality_optimized,prefer_quality_optimized,latency_optimized" doc:"DeepL's choice when empty"`
	Glossary  bool         `json:"glossary_as_instructions,omitempty" doc:"Send glossary terms and forbidden words as custom instructions (10 at most; DeepL takes them for some targets only)"`
	Price     string       `json:"price_per_million,omitempty" doc:"Price of a million characters, such as 20.00, for the sums that are shown"`
	Currency  pim.Currency `json:"currency,omitempty" doc:"Currency of the price, such as EUR"`
	URL       string       `json:"url,omitempty" doc:"https://api.deepl.com, or https://api-free.deepl.com for a Free key, when empty"`
}

const (
	paidURL = "https://api.deepl.com"
	freeURL = "https://api-free.deepl.com"
	maxBody = 128 << 10 // of a request, DeepL's rule
	// maxContext cuts what goes along unpaid for: DeepL sets no bound, but it
	// counts towards the body's.
	maxContext = 1000
)

var limits = translation.Limits{Texts: 50, Bytes: 96 << 10, Concurrency: 4, Timeout: 60 * time.Second}

// Kind is the DeepL provider.
var Kind = &translation.Kind{
	Name:   "deepl",
	Title:  "DeepL",
	Limits: limits,
	Config: &Config{},
	Makes:  []translation.Provider{(*Provider)(nil)},
	New: func(config json.RawMessage, env translation.Env) (translation.Provider, error) {
		var (
			check connectors.ConfigCheck
			c     Config
		)
		check.Decode(config, &c)
		check.Need("key", c.Key)
		service.Key(&check, "key", c.Key)
		choose(&check, "formality", c.Formality, "default", "prefer_more", "prefer_less")
		choose(&check, "model", c.Model, "quality_optimized", "prefer_quality_optimized", "latency_optimized")
		otherwise := paidURL
		if strings.HasSuffix(c.Key, ":fx") {
			otherwise = freeURL
		}
		base := service.Address(&check, "url", c.URL, otherwise)
		p := &Provider{limits: limits.Lowered(env.Limits), config: c, price: translation.ReadPrice(&check, "price_per_million", c.Price, c.Currency)}
		if err := check.Err(); err != nil {
			return nil, err
		}
		p.session = service.New(service.Settings{
			Base: base, Header: http.Header{"Authorization": {"DeepL-Auth-Key " + c.Key}}, Secrets: []string{c.Key},
			Limits: p.limits, MaxSent: maxBody, Table: verdicts, Explain: explain, Env: env,
		})
		return p, nil
	},
}

func choose(check *connectors.ConfigCheck, field, value string, choices ...string) {
	if value != "" && !slices.Contains(choices, value) {
		check.Add(field, "config.choice", "is one of "+strings.Join(choices, ", "))
	}
}

// verdicts is the one table of what DeepL's refusals mean; the first line that
// fits counts. 456 and 529 are DeepL's own.
var verdicts = append([]service.Rule{
	{From: 400, To: 400, Says: "target_lang", Verdict: connectors.Permanent, Is: translation.ErrPair},
	{From: 400, To: 400, Says: "source_lang", Verdict: connectors.Permanent, Is: translation.ErrPair},
	// The period's characters are used up, or what a cost control set. It ends
	// with the period or with a larger plan, so we look about once an hour.
	{From: 456, To: 456, Verdict: connectors.Throttled, Is: translation.ErrQuota, After: time.Hour, Hint: "the characters of this period are used up"},
	{From: 529, To: 529, Verdict: connectors.Throttled, After: 10 * time.Second},
	{From: 429, To: 429, Verdict: connectors.Throttled, After: 5 * time.Second},
	{From: 403, To: 403, Verdict: connectors.Auth, Hint: "is the key right, and is it of a Free account (:fx) or a paid one, as the url?"},
}, service.Statuses...)

func explain(body []byte) (code, message string) {
	var said struct{ Code, Message string }
	_ = json.Unmarshal(body, &said) // what it cannot read it does not know
	return said.Code, said.Message
}

// Provider translates with one DeepL account. Make it with Kind.New.
type Provider struct {
	config    Config
	limits    translation.Limits
	price     translation.Price
	session   *service.Session
	languages service.Memory[languages]
}

type translateRequest struct {
	Text      []string `json:"text"`
	From      string   `json:"source_lang"`
	To        string   `json:"target_lang"`
	Context   string   `json:"context,omitempty"`
	Tags      string   `json:"tag_handling"`
	Version   string   `json:"tag_handling_version"`
	Preserve  bool     `json:"preserve_formatting"`
	Billed    bool     `json:"show_billed_characters"`
	Formality string   `json:"formality,omitempty"`
	Model     string   `json:"model_type,omitempty"`
	Unsplit   []string `json:"non_splitting_tags"`
	Sentences string   `json:"split_sentences"`
	Outline   bool     `json:"outline_detection"`
	Custom    []string `json:"custom_instructions,omitempty"`
}

type translateAnswer struct {
	Translations []struct {
		Text   *string `json:"text"`
		Billed int     `json:"billed_characters"`
		Model  string  `json:"model_type_used"`
	} `json:"translations"`
}

// Translate sends the texts as XML in one call. DeepL knows glossaries only as
// something stored in the account, so terms and forbidden words go as custom
// instructions where the settings say so, and are left out otherwise.
func (p *Provider) Translate(ctx context.Context, r translation.Request) (*translation.Answer, error) {
	if err := r.Check(p.limits); err != nil {
		return nil, err
	}
	texts, places := service.Needed(r.Texts)
	if len(texts) == 0 {
		return &translation.Answer{Texts: slices.Clone(r.Texts), Model: "deepl"}, nil
	}
	from, to, err := p.pair(ctx, r.From, r.To)
	if err != nil {
		return nil, err
	}
	var answer translateAnswer
	err = p.session.PostJSON(ctx, "v2/translate", translateRequest{
		Text: texts, From: from, To: to, Context: cut(r.Context, maxContext), Tags: "xml", Version: "v2", Preserve: true, Billed: true,
		Formality: p.config.Formality, Model: p.config.Model, Unsplit: []string{"x", "g"}, Sentences: "nonewlines",
		Custom: p.instructions(to, r),
	}, &answer)
	if errors.Is(err, translation.ErrPair) {
		p.languages.Forget()
	}
	if err != nil {
		return nil, err
	}
	if len(answer.Translations) != len(texts) {
		return nil, translation.Unusable("%d translations of %d texts", len(answer.Translations), len(texts))
	}
	a := &translation.Answer{Model: "deepl"}
	translated := make([]string, len(texts))
	for i, one := range answer.Translations {
		if one.Text == nil || *one.Text == "" {
			return nil, translation.Unusable("translation %d of %d is empty", i+1, len(texts))
		}
		translated[i] = *one.Text
		a.Characters += one.Billed
		if one.Model != "" {
			a.Model = "deepl " + one.Model
		}
	}
	if a.Characters <= 0 {
		a.Characters = translation.Request{Texts: texts}.Characters()
	}
	a.Texts = service.Filled(r.Texts, places, translated)
	a.Cost = p.price.Of(a.Characters)
	return a, nil
}

// DeepL's rules for custom instructions.
var (
	instructed      = []string{"DE", "EN", "ES", "FR", "IT", "JA", "KO", "ZH"} // targets, with their variants
	maxInstructions = 10
	maxInstruction  = 300 // characters
)

func (p *Provider) instructions(to string, r translation.Request) []string {
	base, _, _ := strings.Cut(to, "-")
	if !p.config.Glossary || !slices.Contains(instructed, base) {
		return nil
	}
	var all []string
	for _, t := range r.Terms {
		all = append(all, fmt.Sprintf("Translate %q as %q", t.From, t.To))
	}
	for _, word := range r.Forbidden {
		all = append(all, fmt.Sprintf("Never use the word %q", word))
	}
	all = slices.DeleteFunc(all, func(s string) bool { return len(s) > maxInstruction })
	return all[:min(len(all), maxInstructions)]
}

func cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most])
	}
	return text
}

// Probe reads the usage, which needs the key and costs nothing.
func (p *Provider) Probe(ctx context.Context) error {
	_, err := p.Usage(ctx)
	return err
}

// Usage is what DeepL says of the account's period; see translation.Meter. A
// limit of the key alone counts where it is the nearer one.
func (p *Provider) Usage(ctx context.Context) (*translation.Usage, error) {
	var said struct {
		Count    *int64    `json:"character_count"`
		Limit    int64     `json:"character_limit"`
		KeyCount int64     `json:"api_key_character_count"`
		KeyLimit int64     `json:"api_key_character_limit"`
		End      time.Time `json:"end_time"`
	}
	if err := p.session.Get(ctx, "v2/usage", nil, &said); err != nil {
		return nil, err
	}
	if said.Count == nil {
		return nil, translation.Unusable("the usage has no character_count")
	}
	u := &translation.Usage{Used: *said.Count, Limit: said.Limit, Until: said.End}
	if said.KeyLimit > 0 && said.KeyLimit-said.KeyCount < said.Limit-u.Used {
		u.Used, u.Limit = said.KeyCount, said.KeyLimit
	}
	if u.Limit >= unlimited {
		u.Limit = 0
	}
	return u, nil
}

// unlimited is how DeepL writes that there is no limit.
const unlimited = 1_000_000_000_000

// languages are DeepL's codes, as it writes them.
type languages struct{ from, to []string }

func (p *Provider) known(ctx context.Context) (languages, error) {
	return p.languages.Get(ctx, func(ctx context.Context) (languages, error) {
		var said []struct {
			Lang string `json:"lang"`
			From bool   `json:"usable_as_source"`
			To   bool   `json:"usable_as_target"`
		}
		if err := p.session.Get(ctx, "v3/languages", url.Values{"resource": {"translate_text"}}, &said); err != nil {
			return languages{}, fmt.Errorf("read the languages: %w", err)
		}
		var l languages
		for _, one := range said {
			if one.From {
				l.from = append(l.from, one.Lang)
			}
			if one.To {
				l.to = append(l.to, one.Lang)
			}
		}
		if len(l.from) == 0 || len(l.to) == 0 {
			return languages{}, translation.Unusable("there are no languages in the list of languages")
		}
		return l, nil
	})
}

func (p *Provider) pair(ctx context.Context, from, to pim.Locale) (source, target string, err error) {
	l, err := p.known(ctx)
	if err != nil {
		return "", "", err
	}
	source, target = translation.Pick(from, true, l.from), translation.Pick(to, false, l.to)
	switch {
	case source == "":
		return "", "", translation.Unsupported(from, to, "DeepL does not translate from this language")
	case target == "":
		return "", "", translation.Unsupported(from, to, "DeepL does not translate into this language")
	}
	return strings.ToUpper(source), strings.ToUpper(target), nil
}

// Pairs are all languages with all targets; see translation.Pairer.
func (p *Provider) Pairs(ctx context.Context) (map[string][]string, error) {
	l, err := p.known(ctx)
	if err != nil {
		return nil, err
	}
	pairs := make(map[string][]string, len(l.from))
	for _, from := range l.from {
		for _, to := range l.to {
			if base, _, _ := strings.Cut(to, "-"); base != from {
				pairs[from] = append(pairs[from], to)
			}
		}
	}
	return pairs, nil
}
