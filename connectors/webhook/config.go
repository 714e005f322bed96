package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
	Authorization string `json:"authorization,omitempty" secret:"true" doc:"Value of an Authorization header, for a gateway in front of the target"`
}

// settings are a checked Config.
type settings struct {
	url, status   *url.URL // status nil: the target answers at once
	sign          *standardwebhooks.Webhook
	secrets       []string
	authorization string
	limits        connectors.Limits
}

// parse reads and checks a config. Its errors name the field and quote no value
// of a secret one.
func parse(raw json.RawMessage) (*settings, error) {
	var c Config
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fmt.Errorf("webhook config: %s cannot be a %s", wrong.Field, wrong.Value)
		}
		// Syntax errors and unknown fields quote at most a name or one character.
		return nil, fmt.Errorf("webhook config: %w", err)
	}
	s := &settings{authorization: c.Authorization, secrets: []string{c.Secret, strings.TrimPrefix(c.Secret, "whsec_")}}
	var err error
	if s.url, err = parseURL("url", c.URL); err != nil {
		return nil, err
	}
	if c.StatusURL != "" {
		if s.status, err = parseURL("status_url", c.StatusURL); err != nil {
			return nil, err
		}
	}
	// A target may repeat the address that it was called by.
	s.secrets = append(s.secrets, querySecrets(s.url)...)
	s.secrets = append(s.secrets, querySecrets(s.status)...)
	key := strings.TrimPrefix(c.Secret, "whsec_")
	if s.sign, err = standardwebhooks.NewWebhook(key); key == "" || err != nil {
		return nil, errors.New("webhook config: secret is not whsec_ followed by base64")
	}
	if c.Authorization != "" {
		if strings.ContainsFunc(c.Authorization, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, errors.New("webhook config: authorization has characters that no header may hold")
		}
		s.secrets = append(s.secrets, c.Authorization)
		// "Bearer x": a target that repeats only x gives it away as well.
		if _, credential, ok := strings.Cut(c.Authorization, " "); ok && len(credential) >= minSecret {
			s.secrets = append(s.secrets, strings.TrimSpace(credential))
		}
	}
	return s, nil
}

// parseURL reads a target's address. The parser's own error would quote it
// whole, query included, and is therefore not shown.
func parseURL(field, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("webhook config: %s is not a URL", field)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("webhook config: %s must begin with http:// or https:// and a host", field)
	case u.User != nil:
		return nil, fmt.Errorf("webhook config: %s holds a user name or password; use authorization", field)
	}
	u.Fragment = ""
	return u, nil
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
