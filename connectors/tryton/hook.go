package tryton

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluicehub/sluice/connectors"
)

// errHook says nothing of what was sent: it may be a secret with a slip.
var errHook = errors.New("the call carries neither Authorization: Bearer with the hook_secret nor ?secret= of it")

// Hook checks the secret that a call of Tryton's carries: as a bearer token, or
// in the address where the calling module can write no header. The body counts
// for nothing: what changed is read from Tryton. See connectors.Hooker.
func (c *HookedSource) Hook(header http.Header, _ []byte) error {
	scheme, token, _ := strings.Cut(header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && c.isSecret(strings.TrimSpace(token)) {
		return nil
	}
	query, err := url.ParseQuery(header.Get(connectors.HookQuery))
	if err == nil && c.isSecret(query.Get("secret")) {
		return nil
	}
	return errHook
}

// isSecret compares in constant time, lengths included.
func (c *HookedSource) isSecret(given string) bool {
	want, got := sha256.Sum256([]byte(c.HookSecret)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
