package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A target's call needs its secret and no key; it wakes what works for its
// channel, says nothing to others, and its secret stands in no log.
func TestHook(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	const secret = "a-hook-secret-of-some-length"
	k.want(k.do(Admin, "POST", "/v1/channels", map[string]any{
		"code": "erp", "connector": "tryton", "locale": "en-GB", "currency": "EUR", "enabled": false,
		"config": map[string]any{"url": "http://127.0.0.1:9", "database": "d", "user": "u", "password": "p-secret-1", "price_list": "default", "hook_secret": secret},
	}), 201, nil)
	k.want(k.do(Admin, "POST", "/v1/channels", map[string]any{
		"code": "shop", "connector": "webhook", "locale": "en-GB", "currency": "EUR", "enabled": false,
		"config": map[string]any{"url": "http://127.0.0.1:9", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
	}), 201, nil)
	for name, c := range map[string]struct {
		path    string
		headers []string
		body    string
		want    int
	}{
		"in the address":      {"/v1/hooks/erp?secret=" + secret, nil, `{"id":1}`, 204},
		"as a bearer":         {"/v1/hooks/erp", []string{"Authorization", "Bearer " + secret}, "anything", 204},
		"a form":              {"/v1/hooks/erp?secret=" + secret, []string{"Content-Type", "application/x-www-form-urlencoded"}, "a=b", 204},
		"none":                {"/v1/hooks/erp", nil, `{}`, 401},
		"another":             {"/v1/hooks/erp?secret=" + secret + "x", nil, `{}`, 401},
		"our own header":      {"/v1/hooks/erp", []string{connectors.HookQuery, "secret=" + secret}, `{}`, 401},
		"an API key":          {"/v1/hooks/erp", []string{"Authorization", "Bearer " + k.keys[Admin]}, `{}`, 401},
		"takes no calls":      {"/v1/hooks/shop?secret=" + secret, nil, `{}`, 404},
		"there is no channel": {"/v1/hooks/none?secret=" + secret, nil, `{}`, 404},
		"too large":           {"/v1/hooks/erp?secret=" + secret, nil, strings.Repeat("x", maxHook+1), 413},
	} {
		k.mu.Lock()
		k.woken = nil
		k.mu.Unlock()
		resp := k.do("", "POST", c.path, c.body, c.headers...)
		if resp.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, c.want)
		}
		pulls := 0
		k.mu.Lock()
		for _, w := range k.woken {
			if w.Kind == postgres.Pull {
				pulls++
			}
		}
		k.mu.Unlock()
		if (pulls > 0) != (c.want == http.StatusNoContent) {
			t.Errorf("%s: %d pulls woken", name, pulls)
		}
	}
	if said := k.log.String(); strings.Contains(said, secret) || !strings.Contains(said, "a hook's call was refused") {
		t.Errorf("the log says:\n%s", said)
	}
}
