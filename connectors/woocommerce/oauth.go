package woocommerce

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sign adds the parameters of OAuth 1.0a (RFC 5849, without a token) to a
// request's query and gives the signature. WooCommerce wants it where there is
// no TLS that could protect the secret itself.
func sign(method string, u *url.URL, key, secret, nonce string, at time.Time) (signature string) {
	query := u.Query()
	query.Set("oauth_consumer_key", key)
	query.Set("oauth_nonce", nonce)
	query.Set("oauth_signature_method", "HMAC-SHA256")
	query.Set("oauth_timestamp", strconv.FormatInt(at.Unix(), 10))
	mac := hmac.New(sha256.New, []byte(secret+"&"))
	mac.Write([]byte(signatureBase(method, u, query)))
	signature = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	query.Set("oauth_signature", signature)
	u.RawQuery = query.Encode()
	return signature
}

// signatureBase is the text that is signed (RFC 5849 section 3.4.1): method,
// address and sorted parameters, each percent-encoded.
func signatureBase(method string, u *url.URL, query url.Values) string {
	pairs := make([][2]string, 0, len(query))
	for name, values := range query {
		for _, v := range values {
			pairs = append(pairs, [2]string{percent(name), percent(v)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	parameters := make([]string, len(pairs))
	for i, p := range pairs {
		parameters[i] = p[0] + "=" + p[1]
	}
	host := strings.ToLower(u.Host)
	if u.Port() == "80" && u.Scheme == "http" || u.Port() == "443" && u.Scheme == "https" {
		host = strings.ToLower(u.Hostname())
	}
	address := strings.ToLower(u.Scheme) + "://" + host + u.EscapedPath()
	return strings.ToUpper(method) + "&" + percent(address) + "&" + percent(strings.Join(parameters, "&"))
}

// percent encodes all but the unreserved characters (RFC 5849 section 3.6).
func percent(s string) string {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			b = append(b, c)
			continue
		}
		b = append(b, '%', hex[c>>4], hex[c&15])
	}
	return string(b)
}

// nonce is new for each request; the shop refuses one that it has seen.
func nonce() string { return rand.Text() }
