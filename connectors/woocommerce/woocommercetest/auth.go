package woocommercetest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // one of the two methods that the shop takes
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// window is how far a signature's time may be off, and how long a nonce counts.
const window = 15 * time.Minute

// authenticate holds WooCommerce's rule: a key and secret by HTTP Basic count
// over TLS only; without TLS the call is signed by OAuth 1.0a.
func (f *Fake) authenticate(r *http.Request, path string) *refusal {
	stranger := refuse(http.StatusUnauthorized, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
	if strings.HasSuffix(path, "/batch") {
		stranger = refuse(http.StatusUnauthorized, "woocommerce_rest_cannot_batch", "Sorry, you are not allowed to batch manipulate this resource.")
	}
	key, secret, basic := r.BasicAuth()
	if basic && r.TLS == nil {
		f.violated("the secret travelled without TLS")
	}
	if basic && r.TLS != nil {
		if key != f.opts.Key {
			return stranger
		}
		if secret != f.opts.Secret {
			return refuse(http.StatusUnauthorized, "woocommerce_rest_authentication_error", "Consumer secret is invalid.")
		}
	} else if bad := f.verify(r, stranger); bad != nil {
		return bad
	}
	if f.opts.ReadOnly && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return refuse(http.StatusUnauthorized, "woocommerce_rest_authentication_error", "The API key provided does not have write permissions.")
	}
	return nil
}

// verify checks a signature (RFC 5849, with the shop's two exceptions: no token,
// and the parameters in the query).
func (f *Fake) verify(r *http.Request, stranger *refusal) *refusal {
	wrong := func(message string) *refusal {
		return refuse(http.StatusUnauthorized, "woocommerce_rest_authentication_error", message)
	}
	query := r.URL.Query()
	var missing []string
	for _, name := range []string{"oauth_consumer_key", "oauth_timestamp", "oauth_nonce", "oauth_signature", "oauth_signature_method"} {
		if query.Get(name) == "" {
			missing = append(missing, name)
		}
	}
	switch len(missing) {
	case 0:
	case 5:
		return stranger
	default:
		return refuse(http.StatusUnauthorized, "woocommerce_rest_authentication_missing_parameter", "Missing OAuth parameters "+strings.Join(missing, ", "))
	}
	if query.Get("oauth_consumer_key") != f.opts.Key {
		return wrong("Consumer key is invalid.")
	}
	var method func() hash.Hash
	switch query.Get("oauth_signature_method") {
	case "HMAC-SHA256":
		method = sha256.New
	case "HMAC-SHA1":
		method = sha1.New
	default:
		return wrong("Invalid signature - signature method is invalid.")
	}
	given := query.Get("oauth_signature")
	query.Del("oauth_signature")
	var parts []string
	for name, values := range query {
		for _, v := range values {
			parts = append(parts, escape(escape(name)+"="+escape(v)))
		}
	}
	slices.Sort(parts)
	text := r.Method + "&" + escape("http://"+r.Host+r.URL.EscapedPath()) + "&" + strings.Join(parts, "%26")
	mac := hmac.New(method, []byte(f.opts.Secret+"&"))
	mac.Write([]byte(text))
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); !hmac.Equal([]byte(want), []byte(given)) {
		return wrong("Invalid signature - provided signature does not match.")
	}
	at, err := strconv.ParseInt(query.Get("oauth_timestamp"), 10, 64)
	if off := time.Since(time.Unix(at, 0)); err != nil || off > window || off < -window {
		return wrong("Invalid timestamp.")
	}
	if now := time.Now(); now.Sub(f.turned) > window {
		f.nonces, f.turned = [2]map[string]bool{{}, f.nonces[0]}, now
	}
	nonce := query.Get("oauth_nonce")
	if f.nonces[0][nonce] || f.nonces[1][nonce] {
		f.violated("a nonce came twice")
		return wrong("Invalid nonce - nonce has already been used.")
	}
	f.nonces[0][nonce] = true
	return nil
}

// escape is PHP's rawurlencode.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
