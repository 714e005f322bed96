// Package apertium is the translation provider for an Apertium server (APY), one's
// own or a public one. docs/translation.md says what was seen of a real one;
// apertiumtest holds its rules in code of our own.
package apertium

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/connectors/translation/service"
	"github.com/sluicehub/sluice/pim"
)

// Config are the settings of an Apertium server.
type Config struct {
	URL      string       `json:"url" doc:"The server's address, such as http://localhost:2737"`
	Key      string       `json:"key,omitempty" secret:"true" doc:"Key of servers that want one; it goes along as the parameter key"`
	Price    string       `json:"price_per_million,omitempty" doc:"Price of a million characters, such as 20.00, for the sums that are shown"`
	Currency pim.Currency `json:"currency,omitempty" doc:"Currency of the price, such as EUR"`
}

// limits: a server takes one text a call, so that the texts of a Translate go one
// after the other. Of a text it silently drops what is beyond some 45,000 bytes.
var limits = translation.Limits{Texts: 20, Bytes: 16 << 10, Concurrency: 2, Timeout: 30 * time.Second}

// Kind is the Apertium provider.
var Kind = &translation.Kind{
	Name:   "apertium",
	Title:  "Apertium (APY)",
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
		p := &Provider{limits: limits.Lowered(env.Limits), key: c.Key, price: translation.ReadPrice(&check, "price_per_million", c.Price, c.Currency)}
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
// that fits counts.
var verdicts = append([]service.Rule{
	{From: 400, To: 400, Says: "that pair", Verdict: connectors.Permanent, Is: translation.ErrPair},
	// A pipeline that was closed or took too long: the server starts it again.
	{From: 503, To: 503, Verdict: connectors.Unavailable, After: 2 * time.Second},
}, service.Statuses...)

func explain(body []byte) (code, message string) {
	var said struct{ Message, Explanation string }
	_ = json.Unmarshal(body, &said) // what it cannot read it does not know
	return said.Message, said.Explanation
}

// Provider translates by one server. Make it with Kind.New.
type Provider struct {
	limits  translation.Limits
	key     string
	price   translation.Price
	session *service.Session
	pairs   service.Memory[pairs]
}

// pair is two of the server's codes, such as spa and cat_valencia.
type pair struct{ from, to string }

// pairs are the installed ones by their BCP 47 tags.
type pairs map[pair]pair

// Translate sends each text in a call of its own. Glossary terms, forbidden words
// and context are left out: Apertium has no place for them.
func (p *Provider) Translate(ctx context.Context, r translation.Request) (*translation.Answer, error) {
	if err := r.Check(p.limits); err != nil {
		return nil, err
	}
	texts, places := service.Needed(r.Texts)
	if len(texts) == 0 {
		return &translation.Answer{Texts: slices.Clone(r.Texts), Model: "apertium"}, nil
	}
	codes, err := p.pair(ctx, r.From, r.To)
	if err != nil {
		return nil, err
	}
	a := &translation.Answer{Model: "apertium " + codes.from + "-" + codes.to, Characters: translation.Request{Texts: texts}.Characters()}
	translated := make([]string, len(texts))
	for i, text := range texts {
		if translated[i], err = p.one(ctx, codes, text); err != nil {
			if errors.Is(err, translation.ErrPair) {
				p.pairs.Forget()
			}
			return nil, fmt.Errorf("text %d of %d: %w", i+1, len(texts), err)
		}
	}
	a.Texts = service.Filled(r.Texts, places, translated)
	a.Cost = p.price.Of(a.Characters)
	return a, nil
}

func (p *Provider) one(ctx context.Context, codes pair, text string) (string, error) {
	sent, err := outgoing(text)
	if err != nil {
		return "", &connectors.Error{Verdict: connectors.Validation, Err: err}
	}
	form := url.Values{"langpair": {codes.from + "|" + codes.to}, "q": {sent}, "format": {"html"}, "markUnknown": {"no"}}
	if p.key != "" {
		form.Set("key", p.key)
	}
	var said struct {
		Data struct {
			Text *string `json:"translatedText"`
		} `json:"responseData"`
		Status int `json:"responseStatus"`
	}
	if err := p.session.PostForm(ctx, "translate", form, &said); err != nil {
		return "", err
	}
	if said.Status != 200 || said.Data.Text == nil || strings.TrimSpace(*said.Data.Text) == "" {
		return "", translation.Unusable("there is no translated text in it")
	}
	return incoming(text, *said.Data.Text), nil
}

// Probe reads the list of pairs, anew. There are no keys to check.
func (p *Provider) Probe(ctx context.Context) error {
	p.pairs.Forget()
	_, err := p.known(ctx)
	return err
}

func (p *Provider) known(ctx context.Context) (pairs, error) {
	return p.pairs.Get(ctx, func(ctx context.Context) (pairs, error) {
		var said struct {
			Data []struct {
				From string `json:"sourceLanguage"`
				To   string `json:"targetLanguage"`
			} `json:"responseData"`
		}
		if err := p.session.Get(ctx, "listPairs", nil, &said); err != nil {
			return nil, fmt.Errorf("read the pairs: %w", err)
		}
		known := pairs{}
		for _, one := range said.Data {
			from, to := bcp47(one.From), bcp47(one.To)
			if from != "" && to != "" {
				known[pair{from, to}] = pair{one.From, one.To}
			}
		}
		if len(known) == 0 {
			return nil, translation.Unusable("the server lists no pairs")
		}
		return known, nil
	})
}

// bcp47 reads one of the server's codes: a language of three letters (ISO 639-3)
// and perhaps a region, a script or a variant after "_". A variant that no
// registry knows becomes private: cat_iec2017 is ca-x-iec2017. "" for what is no
// language.
func bcp47(code string) string {
	base, variant, has := strings.Cut(code, "_")
	l, err := language.ParseBase(base)
	if err != nil {
		return ""
	}
	if !has {
		return l.String()
	}
	for _, form := range []string{"-", "-x-"} {
		if tag, err := language.Raw.Parse(l.String() + form + strings.ReplaceAll(variant, "_", "-")); err == nil {
			return tag.String()
		}
	}
	return ""
}

// pair finds the most exact installed pair, the target first.
func (p *Provider) pair(ctx context.Context, from, to pim.Locale) (pair, error) {
	known, err := p.known(ctx)
	if err != nil {
		return pair{}, err
	}
	for _, t := range translation.Codes(to, false) {
		for _, f := range translation.Codes(from, true) {
			if codes, ok := known[pair{f, t}]; ok {
				return codes, nil
			}
		}
	}
	return pair{}, translation.Unsupported(from, to, "the Apertium server has no such pair installed")
}

// Pairs are the installed ones; see translation.Pairer.
func (p *Provider) Pairs(ctx context.Context) (map[string][]string, error) {
	known, err := p.known(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	for one := range known {
		all[one.from] = append(all[one.from], one.to)
	}
	for _, to := range all {
		slices.Sort(to)
	}
	return all, nil
}
