package bol

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/connectors"
)

// Config are the settings of a bol channel.
type Config struct {
	ClientID         string   `json:"client_id" doc:"Client id of the Retailer API, from the seller account's API settings"`
	ClientSecret     string   `json:"client_secret" secret:"true" doc:"Client secret that belongs to the client id"`
	Language         string   `json:"language,omitempty" enum:"nl,nl-BE,fr,fr-BE" doc:"Language of content fields that name none; nl when empty"`
	Countries        []string `json:"countries,omitempty" doc:"Where offers are sold: NL, BE; only NL when empty"`
	EconomicOperator string   `json:"economic_operator_id,omitempty" doc:"Economic operator of offers that name none (EU product safety); bol sells no offer without one"`
	Fulfilment       string   `json:"fulfilment,omitempty" enum:"FBR,FBB" doc:"Who ships: the retailer (FBR) or bol (FBB); FBR when empty"`
	Schedule         string   `json:"schedule,omitempty" enum:"BOL_DELIVERY_PROMISE,MY_DELIVERY_PROMISE,SHIPPING_VIA_BOL" doc:"Whose delivery promise holds for FBR offers; MY_DELIVERY_PROMISE when empty"`
	MinimumDays      int      `json:"minimum_days,omitempty" doc:"Delivery promise: least days to the customer"`
	MaximumDays      int      `json:"maximum_days,omitempty" doc:"Delivery promise: most days to the customer; the promise is sent when this is set"`
	OrderBefore      string   `json:"order_before,omitempty" doc:"Delivery promise: latest time of day for it, as in 22:00"`
	StockByBol       bool     `json:"stock_managed_by_bol,omitempty" doc:"bol takes its open orders off the stock that is sent; leave it out where reserved pieces are counted here"`
	APIURL           string   `json:"api_url,omitempty" doc:"https://api.bol.com when empty"`
	LoginURL         string   `json:"login_url,omitempty" doc:"https://login.bol.com/token when empty"`
}

const (
	defaultAPI   = "https://api.bol.com"
	defaultLogin = "https://login.bol.com/token"
)

// The words that bol's contract knows.
var (
	languages   = []string{"nl", "nl-BE", "fr", "fr-BE"}
	countries   = []string{"NL", "BE"}
	methods     = []string{"FBR", "FBB"}
	schedules   = []string{"BOL_DELIVERY_PROMISE", "MY_DELIVERY_PROMISE", "SHIPPING_VIA_BOL"}
	conditions  = []string{"NEW", "SECONDHAND", "REFURBISHED"}
	states      = []string{"AS_NEW", "GOOD", "REASONABLE", "MODERATE"}
	grades      = []string{"A", "B", "C"}
	timeOfDay   = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)
	headerSafe  = regexp.MustCompile(`^[!-~]+$`)
	maxPromised = 30 // days; a bound of ours against slips of the finger
)

// settings are a checked Config.
type settings struct {
	api, login       *url.URL
	id, secret       string
	language         string
	countries        []string
	economicOperator string
	fulfilment       fulfilment
	managedByBol     bool
	limits           connectors.Limits
}

// parse reads and checks a config; the problems quote no value.
func parse(raw json.RawMessage) (*settings, error) {
	var (
		check connectors.ConfigCheck
		c     Config
	)
	check.Decode(raw, &c)
	check.Need("client_id", c.ClientID, "client_secret", c.ClientSecret)
	for field, value := range map[string]string{"client_id": c.ClientID, "client_secret": c.ClientSecret} {
		// Both travel in a Basic authorization, where a colon ends the id.
		if value != "" && !headerSafe.MatchString(value) || field == "client_id" && strings.Contains(value, ":") {
			check.Add(field, "config.characters", "has characters that bol's credentials never have; was it pasted with a space?")
		}
	}
	s := &settings{
		id: c.ClientID, secret: c.ClientSecret, economicOperator: c.EconomicOperator, managedByBol: c.StockByBol,
		language:   oneOf(&check, "language", c.Language, languages, "nl"),
		fulfilment: fulfilment{Method: oneOf(&check, "fulfilment", c.Fulfilment, methods, "FBR")},
		countries:  []string{"NL"},
	}
	if len(c.Countries) > 0 {
		s.countries = nil
	}
	for _, country := range c.Countries {
		if !slices.Contains(countries, country) || slices.Contains(s.countries, country) {
			check.Add("countries", "config.choice", "is a list of NL and BE, each once")
			break
		}
		s.countries = append(s.countries, country)
	}
	schedule := oneOf(&check, "schedule", c.Schedule, schedules, "MY_DELIVERY_PROMISE")
	if s.fulfilment.Method == "FBR" {
		s.fulfilment.Schedule = schedule
	}
	if c.OrderBefore != "" && !timeOfDay.MatchString(c.OrderBefore) {
		check.Add("order_before", "config.time", "is a time of day such as 22:00")
	}
	switch {
	case c.MinimumDays < 0 || c.MaximumDays < 0 || c.MinimumDays > c.MaximumDays || c.MaximumDays > maxPromised:
		check.Add("maximum_days", "config.days", "days to the customer are 0 to 30, the most not below the least")
	case c.MaximumDays > 0 && s.fulfilment.Method == "FBR":
		s.fulfilment.Promise = &promise{Minimum: c.MinimumDays, Maximum: c.MaximumDays, OrderBefore: c.OrderBefore}
	case c.OrderBefore != "":
		check.Add("order_before", "config.days", "needs maximum_days, and fulfilment FBR")
	}
	s.api = address(&check, "api_url", c.APIURL, defaultAPI)
	s.login = address(&check, "login_url", c.LoginURL, defaultLogin)
	if err := check.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

func oneOf(check *connectors.ConfigCheck, field, value string, choices []string, otherwise string) string {
	switch {
	case value == "":
		return otherwise
	case !slices.Contains(choices, value):
		check.Add(field, "config.choice", "is one of "+strings.Join(choices, ", "))
	}
	return value
}

// address reads an overridable URL. A query has no business there: it would be
// lost when paths are added.
func address(check *connectors.ConfigCheck, field, value, otherwise string) *url.URL {
	if value == "" {
		value = otherwise
	}
	u := check.URL(field, value)
	switch {
	case u == nil:
	case u.RawQuery != "":
		check.Add(field, "config.url", "has a query")
	case u.Path == "":
		u.Path = "/" // or JoinPath makes relative paths
	}
	return u
}
