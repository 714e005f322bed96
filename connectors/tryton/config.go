package tryton

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
)

// Config are the settings of a Tryton channel.
type Config struct {
	URL      string `json:"url" doc:"Address of the Tryton server, without the database: where its clients connect" example:"https://erp.example:8000"`
	Database string `json:"database" address:"true" doc:"Name of the Tryton database" example:"tryton"`
	User     string `json:"user" doc:"Login of a Tryton user of Sluice's own"`
	Password string `json:"password" secret:"true" doc:"Password of that user"`
	Company  int64  `json:"company,omitempty" doc:"Id of the company whose prices and stock count; by default the user's own"`
	Unit     string `json:"unit,omitempty" doc:"Symbol of the unit that new products get where their document names none" default:"u"`
	Withdraw string `json:"withdraw,omitempty" enum:"deactivate,keep" default:"deactivate" doc:"What becomes of a withdrawn product: it is deactivated, or left as it is, unless the channel's policy says disable"`

	PriceList  string            `json:"price_list,omitempty" doc:"Code of the price list here that takes Tryton's list prices; without it they are not read"`
	PriceLists map[string]string `json:"price_lists,omitempty" doc:"Price lists here that take the prices of Tryton's: code here → Tryton's name of the list, or its id"`
	Locations  map[string]string `json:"locations,omitempty" doc:"Locations here that take Tryton's stock: code here → code, name or id of Tryton's warehouse or location"`

	OnlyMoved bool `json:"only_moved,omitempty" doc:"Read stock only where a product ever moved: what Tryton never saw keeps the stock that it has here, instead of none"`

	OverlapMinutes int    `json:"overlap_minutes,omitempty" default:"5" doc:"How far each reading of changes goes back before the one before it: longer than Tryton's longest transaction"`
	FullHours      int    `json:"full_hours,omitempty" default:"24" doc:"How often all prices and stock are read anew beside the changes"`
	HookSecret     string `json:"hook_secret,omitempty" secret:"true" doc:"Secret that Tryton's calls carry, at least 16 characters; without it calls are refused"`
}

// Bounds of a config.
const (
	minHookSecret = 16
	maxSources    = 20 // price lists, and locations: each is one more request per page
	maxOverlap    = 24 * 60
	maxFull       = 24 * 31
)

// settings are a checked Config.
type settings struct {
	Config
	root    *url.URL // of the database
	overlap time.Duration
	full    time.Duration
	limits  connectors.Limits
}

// pulls reports whether anything is to be read from Tryton.
func (s *settings) pulls() bool {
	return s.PriceList != "" || len(s.PriceLists) > 0 || len(s.Locations) > 0
}

// parse reads and checks a config. Its error is a *pim.Invalid with every
// problem, and quotes no value of a secret field.
func parse(raw json.RawMessage) (*settings, error) {
	var check connectors.ConfigCheck
	s := &settings{Config: Config{Unit: "u", Withdraw: "deactivate", OverlapMinutes: 5, FullHours: 24}}
	check.Decode(raw, &s.Config)
	check.Need("database", s.Database, "user", s.User, "password", s.Password)
	if u := check.URL("url", s.URL); u != nil {
		if u.RawQuery != "" {
			check.Add("url", "config.url", "has a query; Tryton takes none")
		}
		s.root = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/") + "/" + s.Database + "/"}
	}
	if strings.ContainsAny(s.Database, "/?#") {
		check.Add("database", "config.database", "is a database's name, without slashes")
	}
	// The session header is base64(user:id:session), split at its colons.
	if strings.Contains(s.User, ":") {
		check.Add("user", "config.user", "holds a colon, which Tryton's sessions cannot carry; use another login")
	}
	if s.Company < 0 {
		check.Add("company", "config.company", "is the id of a company, 1 or more")
	}
	if s.Unit = strings.TrimSpace(s.Unit); s.Unit == "" {
		s.Unit = "u"
	}
	switch s.Withdraw {
	case "":
		s.Withdraw = "deactivate"
	case "deactivate", "keep":
	default:
		check.Add("withdraw", "config.withdraw", "is deactivate or keep")
	}
	sources(&check, "price_lists", s.PriceLists)
	sources(&check, "locations", s.Locations)
	if _, twice := s.PriceLists[s.PriceList]; twice && s.PriceList != "" {
		check.Add("price_lists", "config.price_list", fmt.Sprintf("%q takes the list prices already", s.PriceList))
	}
	s.overlap = minutes(&check, "overlap_minutes", s.OverlapMinutes, maxOverlap, time.Minute)
	s.full = minutes(&check, "full_hours", s.FullHours, maxFull, time.Hour)
	switch {
	case s.HookSecret == "":
	case len(s.HookSecret) < minHookSecret:
		check.Add("hook_secret", "config.secret", fmt.Sprintf("has fewer than %d characters", minHookSecret))
	case !s.pulls():
		check.Add("hook_secret", "config.hook", "calls are of use only where price_list, price_lists or locations say what to read")
	}
	return s, check.Err()
}

// sources checks a table of codes here and names there.
func sources(check *connectors.ConfigCheck, field string, table map[string]string) {
	if len(table) > maxSources {
		check.Add(field, "config.size", fmt.Sprintf("has more than %d entries", maxSources))
	}
	for _, code := range slices.Sorted(maps.Keys(table)) {
		if strings.TrimSpace(code) == "" || strings.TrimSpace(table[code]) == "" {
			check.Add(field, "field.missing", "each entry has a code here and a name there")
		}
	}
}

// minutes checks a length of time given in whole units.
func minutes(check *connectors.ConfigCheck, field string, n, most int, unit time.Duration) time.Duration {
	if n < 1 || n > most {
		check.Add(field, "config.range", fmt.Sprintf("is from 1 to %d", most))
	}
	return time.Duration(n) * unit
}
