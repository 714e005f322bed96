package woocommerce

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
)

// Config are the settings of a WooCommerce channel.
type Config struct {
	URL            string   `json:"url" doc:"The shop's address, the WordPress home URL; https, or http for a shop on this machine" example:"https://shop.example"`
	ConsumerKey    string   `json:"consumer_key" secret:"true" doc:"From WooCommerce › Settings › Advanced › REST API, with permission Read/Write; begins with ck_"`
	ConsumerSecret string   `json:"consumer_secret" secret:"true" doc:"Shown beside the key, once; begins with cs_"`
	OnWithdraw     string   `json:"on_withdraw,omitempty" enum:"delete,draft,private" doc:"What becomes of a product that leaves the channel: delete (the default), draft or private"`
	Keep           []string `json:"keep,omitempty" doc:"Fields that the shop keeps where the document has none of them, e.g. description; by default they are emptied"`
}

// What becomes of withdrawn products.
const (
	deletes = "delete"
	drafts  = "draft"
	hides   = "private"
)

// api is where WordPress serves WooCommerce's API below the shop's address.
const api = "/wp-json/wc/v3"

// settings are a checked Config.
type settings struct {
	base        *url.URL // of the API, without slash at the end
	key, secret string
	onWithdraw  string
	keep        map[string]bool
}

func parse(raw json.RawMessage) (*settings, error) {
	var (
		config Config
		check  connectors.ConfigCheck
	)
	check.Decode(raw, &config)
	s := &settings{key: config.ConsumerKey, secret: config.ConsumerSecret, onWithdraw: config.OnWithdraw, keep: map[string]bool{}}
	if s.base = check.URL("url", config.URL); s.base != nil {
		if s.base.RawQuery != "" {
			check.Add("url", "config.url", "has a query; the shop's address is needed, and permalinks other than plain")
		}
		path := strings.TrimSuffix(strings.TrimRight(s.base.Path, "/"), api)
		s.base.Path, s.base.RawPath, s.base.RawQuery = strings.TrimRight(path, "/")+api, "", ""
	}
	check.Need("consumer_key", config.ConsumerKey, "consumer_secret", config.ConsumerSecret)
	for name, value := range map[string]string{"consumer_key": config.ConsumerKey, "consumer_secret": config.ConsumerSecret} {
		prefix := map[string]string{"consumer_key": "ck_", "consumer_secret": "cs_"}[name]
		if value != "" && (!strings.HasPrefix(value, prefix) || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' })) {
			check.Add(name, "config.key", "is no key of WooCommerce: they begin with "+prefix)
		}
	}
	switch config.OnWithdraw {
	case "":
		s.onWithdraw = deletes
	case deletes, drafts, hides:
	default:
		check.Add("on_withdraw", "field.value", "is one of delete, draft, private")
	}
	for _, name := range config.Keep {
		if !slices.Contains(keepable(), name) {
			check.Add("keep", "field.value", fmt.Sprintf("holds a field that cannot be kept; there are: %s", strings.Join(keepable(), ", ")))
			break
		}
		s.keep[name] = true
	}
	return s, check.Err()
}

// secrets are what must stay out of every text.
func (s *settings) secrets() []string {
	return []string{s.key, s.secret, base64.StdEncoding.EncodeToString([]byte(s.key + ":" + s.secret))}
}
