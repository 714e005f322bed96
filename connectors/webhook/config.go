package webhook

import (
	"encoding/json"
	"net/url"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicehub/sluice/connectors"
)

// Config are the settings of a webhook channel.
type Config struct {
	URL           string `json:"url" doc:"Where items are posted, http or https" example:"https://shop.example/hooks/sluice"`
	Secret        string `json:"secret" secret:"true" doc:"Signing secret by Standard Webhooks: whsec_ and base64 of 24 to 64 random bytes"`
	StatusURL     string `json:"status_url,omitempty" doc:"Where the outcome of pending items is asked for; needed by targets that answer pending"`
	ReadURL       string `json:"read_url,omitempty" doc:"Where the target tells what it holds, for targets that can; without it nothing is verified"`
	Authorization string `json:"authorization,omitempty" secret:"true" doc:"Value of an Authorization header, for a gateway in front of the target"`
}

// settings are a checked Config.
type settings struct {
	url, status   *url.URL // status nil: the target answers at once
	state         *url.URL // nil: the target does not tell what it holds
	sign          *standardwebhooks.Webhook
	secrets       []string
	authorization string
	limits        connectors.Limits
}

// parse reads and checks a config. Its error is a *pim.Invalid with every
// problem, and quotes no value of a secret field.
func parse(raw json.RawMessage) (*settings, error) {
	var (
		c     Config
		check connectors.ConfigCheck
		err   error
	)
	check.Decode(raw, &c)
	s := &settings{authorization: c.Authorization, secrets: []string{c.Secret, strings.TrimPrefix(c.Secret, "whsec_")}}
	s.url = check.URL("url", c.URL)
	if c.StatusURL != "" {
		s.status = check.URL("status_url", c.StatusURL)
	}
	if c.ReadURL != "" {
		s.state = check.URL("read_url", c.ReadURL)
	}
	// A target may repeat the address that it was called by.
	s.secrets = append(s.secrets, querySecrets(s.url)...)
	s.secrets = append(s.secrets, querySecrets(s.status)...)
	s.secrets = append(s.secrets, querySecrets(s.state)...)
	key := strings.TrimPrefix(c.Secret, "whsec_")
	if c.Secret == "" {
		check.Need("secret", c.Secret)
	} else if s.sign, err = standardwebhooks.NewWebhook(key); key == "" || err != nil {
		check.Add("secret", "config.secret", "is not whsec_ followed by base64")
	}
	if c.Authorization != "" {
		if strings.ContainsFunc(c.Authorization, func(r rune) bool { return r < ' ' || r > '~' }) {
			check.Add("authorization", "config.header", "has characters that no header may hold")
		}
		s.secrets = append(s.secrets, c.Authorization)
		// "Bearer x": a target that repeats only x gives it away as well.
		if _, credential, ok := strings.Cut(c.Authorization, " "); ok && len(credential) >= minSecret {
			s.secrets = append(s.secrets, strings.TrimSpace(credential))
		}
	}
	return s, check.Err()
}

// minSecret is the shortest part, in bytes, of a query or a header that is kept
// out of texts by itself: shorter ones are words such as "v=2", and taking them
// out would spoil every message.
const minSecret = 4

// querySecrets are a URL's query and the values in it.
func querySecrets(u *url.URL) (secrets []string) {
	if u == nil || u.RawQuery == "" {
		return nil
	}
	secrets = append(secrets, u.RawQuery)
	for _, values := range u.Query() {
		for _, v := range values {
			if len(v) >= minSecret {
				secrets = append(secrets, v)
			}
		}
	}
	return secrets
}
