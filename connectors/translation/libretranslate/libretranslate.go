// Package libretranslate is the translation provider for LibreTranslate, one's
// own server or the hosted one. docs/translation.md says how it is set up and what
// each error means; libretranslatetest holds its rules in code of our own.
package libretranslate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/service"
	"github.com/sluicehub/sluice/pim"
)

// Config are the settings of a LibreTranslate server.
type Config struct {
	URL        string       `json:"url" doc:"The server's address, such as http://localhost:5000 or https://libretranslate.com"`
	Key        string       `json:"key,omitempty" secret:"true" doc:"API key, where the server wants one"`
	Characters int          `json:"characters,omitempty" doc:"The server's bound for one request (its char-limit), tags included; none when empty"`
	Price      string       `json:"price_per_million,omitempty" doc:"Price of a million characters, such as 20.00, for the sums that are shown"`
	Currency   pim.Currency `json:"currency,omitempty" doc:"Currency of the price, such as EUR"`
}

// limits: a server has no bounds unless it was given some, but works on each text
// in turn.
var limits = translation.Limits{Texts: 20, Bytes: 32 << 10, Concurrency: 2, Timeout: 120 * time.Second}

// Kind is the LibreTranslate provider.
var Kind = &translation.Kind{
	Name:   "libretranslate",
	Title:  "LibreTranslate",
	Limits: limits,
	Config: &Config{},
	Makes:  []translation.Provider{(*Provider)(nil)},
	New: func(config json.RawMessage, env translation.Env) (translation.Provider, error) {
		var (
			check connectors.ConfigCheck
			c     Config
		)
		check.Decode(config, &c)
		base := service.Address(&check, "url", c.URL, "")
		if c.Characters < 0 {
			check.Add("characters", "config.number", "is not below 0")
		}
		p := &Provider{
			limits: limits.Lowered(env.Limits).Lowered(translation.Limits{Characters: c.Characters}), most: c.Characters, key: c.Key,
			price: translation.ReadPrice(&check, "price_per_million", c.Price, c.Currency),
		}
		if err := check.Err(); err != nil {
			return nil, err
		}
		p.session = service.New(service.Settings{
			Base: base, Secrets: []string{c.Key}, Limits: p.limits, Table: verdicts, Explain: explain, Env: env,
		})
		return p, nil
	},
}

// verdicts is the one table of what the server's refusals mean; the first line
// that fits counts. It has no codes, only English sentences.
var verdicts = append([]service.Rule{
	{From: 400, To: 400, Says: "exceeds text limit", Verdict: connectors.Permanent, Is: translation.ErrTooLarge, Hint: "set characters to the server's limit"},
	{From: 400, To: 400, Says: "format is not supported", Verdict: connectors.Permanent},
	{From: 400, To: 400, Says: "is not supported", Verdict: connectors.Permanent, Is: translation.ErrPair},
	// It says this with 500 where the pair is looked up inside of its work.
	{From: 400, To: 500, Says: "not available as a target language", Verdict: connectors.Permanent, Is: translation.ErrPair},
	{From: 400, To: 400, Says: "api key", Verdict: connectors.Auth, Hint: "the server wants a key"},
	{From: 403, To: 403, Says: "too many request limits violations", Verdict: connectors.Throttled, After: time.Hour, Hint: "the server has banned this address for a while"},
	{From: 429, To: 429, Verdict: connectors.Throttled, After: time.Minute},
}, service.Statuses...)

func explain(body []byte) (code, message string) {
	var said struct{ Error string }
	_ = json.Unmarshal(body, &said) // what it cannot read it does not know
	return "", said.Error
}

// Provider translates by one server. Make it with Kind.New.
type Provider struct {
	limits  translation.Limits
	most    int // characters of a request as it is sent, 0 for any
	key     string
	price   translation.Price
	session *service.Session
	known   service.Memory[map[string][]string]
}

type translateRequest struct {
	Text   []string `json:"q"`
	Source string   `json:"source"`
	Target string   `json:"target"`
	Format string   `json:"format"`
	Key    string   `json:"api_key,omitempty"`
}

// Translate sends the texts as HTML in one call. Glossary terms, forbidden words
// and context are left out: LibreTranslate has no place for them.
func (p *Provider) Translate(ctx context.Context, r translation.Request) (*translation.Answer, error) {
	if err := r.Check(p.limits); err != nil {
		return nil, err
	}
	texts, places := service.Needed(r.Texts)
	if len(texts) == 0 {
		return &translation.Answer{Texts: slices.Clone(r.Texts), Model: "libretranslate"}, nil
	}
	asked := translateRequest{Format: "html", Key: p.key}
	characters := 0
	for i, text := range texts {
		sent, err := outgoing(text)
		if err != nil {
			return nil, &connectors.Error{Verdict: connectors.Validation, Err: fmt.Errorf("text %d of %d: %w", i+1, len(texts), err)}
		}
		asked.Text = append(asked.Text, sent)
		characters += len([]rune(sent))
	}
	if p.most > 0 && characters > p.most {
		return nil, translation.TooLarge("%d characters with tags, of at most %d", characters, p.most)
	}
	var err error
	if asked.Source, asked.Target, err = p.pair(ctx, r.From, r.To); err != nil {
		return nil, err
	}
	var said struct {
		Texts []*string `json:"translatedText"`
	}
	if err := p.session.PostJSON(ctx, "translate", asked, &said); err != nil {
		return nil, err
	}
	if len(said.Texts) != len(texts) {
		return nil, translation.Unusable("%d translations of %d texts", len(said.Texts), len(texts))
	}
	translated := make([]string, len(texts))
	for i, text := range said.Texts {
		if text == nil || strings.TrimSpace(*text) == "" {
			return nil, translation.Unusable("translation %d of %d is empty", i+1, len(texts))
		}
		translated[i] = incoming(texts[i], *text)
	}
	a := &translation.Answer{Model: "libretranslate " + asked.Source + "-" + asked.Target, Texts: service.Filled(r.Texts, places, translated)}
	a.Characters = translation.Request{Texts: texts}.Characters()
	a.Cost = p.price.Of(a.Characters)
	return a, nil
}

// Probe asks for the language of a word: that costs nothing and needs the key.
func (p *Provider) Probe(ctx context.Context) error {
	var said []struct {
		Language string `json:"language"`
	}
	asked := struct {
		Text string `json:"q"`
		Key  string `json:"api_key,omitempty"`
	}{"Hello", p.key}
	return p.session.PostJSON(ctx, "detect", asked, &said)
}

// Pairs are the languages with their targets, in the server's codes, which are
// BCP 47 but for zt and pb of older servers; see translation.Pairer.
func (p *Provider) Pairs(ctx context.Context) (map[string][]string, error) {
	return p.known.Get(ctx, func(ctx context.Context) (map[string][]string, error) {
		var said []struct {
			Code    string   `json:"code"`
			Targets []string `json:"targets"`
		}
		if err := p.session.Get(ctx, "languages", nil, &said); err != nil {
			return nil, fmt.Errorf("read the languages: %w", err)
		}
		pairs := map[string][]string{}
		for _, one := range said {
			for _, to := range one.Targets {
				if to != one.Code {
					pairs[one.Code] = append(pairs[one.Code], to)
				}
			}
		}
		if len(pairs) == 0 {
			return nil, translation.Unusable("the server lists no pairs")
		}
		return pairs, nil
	})
}

// olden are codes of older servers that are no BCP 47.
var olden = map[string]string{"zt": "zh-Hant", "pb": "pt-BR"}

// pick is the code of a locale among the server's.
func pick(l pim.Locale, from bool, codes []string) string {
	tags := slices.Clone(codes)
	for i, code := range tags {
		if tag, ok := olden[code]; ok {
			tags[i] = tag
		}
	}
	if at := slices.Index(tags, translation.Pick(l, from, tags)); at >= 0 {
		return codes[at]
	}
	return ""
}

func (p *Provider) pair(ctx context.Context, from, to pim.Locale) (source, target string, err error) {
	pairs, err := p.Pairs(ctx)
	if err != nil {
		return "", "", err
	}
	var sources []string
	for code := range pairs {
		sources = append(sources, code)
	}
	slices.Sort(sources)
	if source = pick(from, true, sources); source == "" {
		return "", "", translation.Unsupported(from, to, "the LibreTranslate server does not have the language to translate from")
	}
	if target = pick(to, false, pairs[source]); target == "" {
		return "", "", translation.Unsupported(from, to, "the LibreTranslate server has no such target")
	}
	return source, target, nil
}
