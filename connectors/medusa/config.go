package medusa

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
)

// Config are the settings of a Medusa channel.
type Config struct {
	URL               string `json:"url" doc:"Address of the Medusa server, without /admin" example:"https://shop.example"`
	APIKey            string `json:"api_key" secret:"true" doc:"A secret API key of Medusa: sk_…"`
	Status            string `json:"status,omitempty" enum:"published,draft,proposed" default:"published" doc:"Status of products whose document names none"`
	OnWithdraw        string `json:"on_withdraw,omitempty" enum:"delete,draft" default:"delete" doc:"What becomes of a withdrawn product; a variant is always deleted"`
	SalesChannelID    string `json:"sales_channel_id,omitempty" doc:"Sales channel of new products; the store's default one when empty"`
	ShippingProfileID string `json:"shipping_profile_id,omitempty" doc:"Shipping profile of new products; the default one when empty"`
	StockLocationID   string `json:"stock_location_id,omitempty" doc:"Where stock is kept; the store's default location, or the only one, when empty"`
	CreateCategories  *bool  `json:"create_categories,omitempty" default:"true" doc:"Create categories that Medusa does not have"`
	Pictures          string `json:"pictures,omitempty" enum:"upload,link" default:"upload" doc:"Whether files of our own are uploaded to Medusa, or its products link to our address of them"`
}

// The ways of a file of our own to the shop's pages.
const (
	uploads = "upload"
	links   = "link"
)

// settings are a checked Config.
type settings struct {
	Config
	base             *url.URL
	createCategories bool
	secrets          []string
}

// parse reads and checks a config; its error is a *pim.Invalid.
func parse(raw json.RawMessage) (*settings, error) {
	s := &settings{Config: Config{Status: "published", OnWithdraw: "delete", Pictures: uploads}, createCategories: true}
	var check connectors.ConfigCheck
	check.Decode(raw, &s.Config)
	s.base = check.URL("url", s.URL)
	check.Need("api_key", s.APIKey)
	if strings.ContainsFunc(s.APIKey, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) {
		check.Add("api_key", "config.key", "has characters that no API key has")
	} else if strings.HasPrefix(s.APIKey, "pk_") {
		check.Add("api_key", "config.key", "is a publishable key; a secret one begins with sk_")
	}
	for _, field := range []struct {
		name, value string
		allowed     []string
	}{
		{"status", s.Status, []string{"published", "draft", "proposed"}},
		{"on_withdraw", s.OnWithdraw, []string{"delete", "draft"}},
		{"pictures", s.Pictures, []string{uploads, links}},
	} {
		if !slices.Contains(field.allowed, field.value) {
			check.Add(field.name, "field.enum", "must be one of "+strings.Join(field.allowed, ", "))
		}
	}
	for _, field := range []struct{ name, value, prefix string }{
		{"sales_channel_id", s.SalesChannelID, "sc_"},
		{"shipping_profile_id", s.ShippingProfileID, "sp_"},
		{"stock_location_id", s.StockLocationID, "sloc_"},
	} {
		if field.value != "" && !strings.HasPrefix(field.value, field.prefix) {
			check.Add(field.name, "config.id", "begins with "+field.prefix+" in Medusa")
		}
	}
	if s.base != nil {
		if s.base.RawQuery != "" {
			check.Add("url", "config.url", "has a query")
		}
		s.base.Path = strings.TrimSuffix(strings.TrimSuffix(s.base.Path, "/"), "/admin")
	}
	if err := check.Err(); err != nil {
		return nil, err
	}
	if s.CreateCategories != nil {
		s.createCategories = *s.CreateCategories
	}
	s.secrets = []string{s.APIKey, s.APIKey + ":"}
	return s, nil
}
