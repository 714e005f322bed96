package woocommerce

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
	"github.com/sluicehub/sluice/connectors/woocommerce/woocommercetest"
	"github.com/sluicehub/sluice/pim"
)

// The base string is that of the example in RFC 5849 section 3.4.1.1, with its
// errata's duplicate parameters and encodings, less the body's parameters.
func TestSignatureBase(t *testing.T) {
	u, err := url.Parse("http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b")
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for name, value := range map[string]string{
		"oauth_consumer_key": "9djdj82h48djs9d2", "oauth_token": "kkk9d7dh3k39sjv7", "oauth_signature_method": "HMAC-SHA1",
		"oauth_timestamp": "137131201", "oauth_nonce": "7d8f3e4a", "c2": "",
	} {
		query.Set(name, value)
	}
	query.Add("a3", "2 q")
	const want = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D%26c2%3D%26" +
		"oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
	if got := signatureBase("post", u, query); got != want {
		t.Errorf("base string\n%s\nwant\n%s", got, want)
	}
}

func TestSign(t *testing.T) {
	u, err := url.Parse("http://shop.example:8080/blog/wp-json/wc/v3/products?sku=A%2CB+%C3%A4&per_page=100")
	if err != nil {
		t.Fatal(err)
	}
	signature := sign("GET", u, "ck_1", "cs_1", "n1", time.Unix(1700000000, 0))
	// The text is written out by hand: each value once encoded, then the whole.
	const text = "GET&http%3A%2F%2Fshop.example%3A8080%2Fblog%2Fwp-json%2Fwc%2Fv3%2Fproducts&" +
		"oauth_consumer_key%3Dck_1%26oauth_nonce%3Dn1%26oauth_signature_method%3DHMAC-SHA256%26oauth_timestamp%3D1700000000%26per_page%3D100%26sku%3DA%252CB%2520%25C3%25A4"
	mac := hmac.New(sha256.New, []byte("cs_1&"))
	mac.Write([]byte(text))
	if want := base64.StdEncoding.EncodeToString(mac.Sum(nil)); signature != want || u.Query().Get("oauth_signature") != want {
		t.Errorf("signature %s, want %s; query %s", signature, want, u.RawQuery)
	}
}

// secure starts a fake behind TLS, with a connector to it.
func secure(t *testing.T, shop *woocommercetest.Fake, change func(*Config)) *Connector {
	t.Helper()
	server := httptest.NewTLSServer(shop)
	t.Cleanup(server.Close)
	config := Config{URL: server.URL, ConsumerKey: shop.Key(), ConsumerSecret: shop.Secret()}
	if change != nil {
		change(&config)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	s, err := parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	c, err := connect(s, connectors.Env{AllowPrivate: true, Limits: Kind.Limits}, httpx.Options{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Over TLS the key and its secret go by HTTP Basic; without, they never do.
func TestBasicOverTLS(t *testing.T) {
	shop := woocommercetest.New(woocommercetest.Options{})
	c := secure(t, shop, nil)
	if err := c.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	results, err := c.Push(t.Context(), []connectors.Item{{SKU: "A", Lane: pim.Content, Action: connectors.Upsert, Document: []byte(`{"name":"A"}`)}})
	if err != nil || results[0].Err != nil {
		t.Error(err, results)
	}
	for what, change := range map[string]func(*Config){
		"secret is invalid":          func(c *Config) { c.ConsumerSecret = "cs_wrong" },
		"not allowed to batch manip": func(c *Config) { c.ConsumerKey = "ck_wrong" },
	} {
		err := secure(t, shop, change).Probe(t.Context())
		if connectors.AsError(err).Verdict != connectors.Auth || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if bad := shop.Violations(); len(bad) > 0 {
		t.Error(bad)
	}
	// The fake holds the rule that this test relies on.
	r := httptest.NewRequest(http.MethodPost, "http://x/wp-json/wc/v3/products/batch", strings.NewReader(`{}`))
	r.SetBasicAuth(shop.Key(), shop.Secret())
	w := httptest.NewRecorder()
	shop.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized || len(shop.Violations()) == 0 {
		t.Errorf("a secret without TLS: %d, %v", w.Code, shop.Violations())
	}
}

func TestProbeFindsReadOnlyKeys(t *testing.T) {
	shop := woocommercetest.New(woocommercetest.Options{ReadOnly: true})
	err := secure(t, shop, nil).Probe(t.Context())
	if e := connectors.AsError(err); e.Verdict != connectors.Auth || e.Uncertain || !strings.Contains(err.Error(), "does not have write permissions") {
		t.Errorf("a key that may only read: %v", err)
	}
	shop.SetReadOnly(false)
	if err := secure(t, shop, nil).Probe(t.Context()); err != nil || shop.Counts().Batches != 0 {
		t.Errorf("a key that may write: %v", err)
	}
}

func TestConfig(t *testing.T) {
	for raw, want := range map[string]string{
		`{}`: "/url field.missing, /consumer_key field.missing, /consumer_secret field.missing",
		`{"url":"https://s.example","consumer_key":"ck_1","consumer_secret":"cs_1"}`:                                 "",
		`{"url":"https://s.example/?p=1","consumer_key":"ck_1","consumer_secret":"cs_1"}`:                            "/url config.url",
		`{"url":"ftp://s.example","consumer_key":"x","consumer_secret":"cs_1","on_withdraw":"burn","keep":["name"]}`: "/url config.url, /consumer_key config.key, /on_withdraw field.value, /keep field.value",
		`{"url":"https://u:p@s.example","consumer_key":"ck_ 1","consumer_secret":7,"more":1}`:                        "/consumer_secret field.type, /more field.unknown, /url config.url, /consumer_key config.key",
		`[]`: " config",
	} {
		_, err := parse([]byte(raw))
		var invalid *pim.Invalid
		var got []string
		if errors.As(err, &invalid) {
			for _, p := range invalid.Problems {
				got = append(got, p.Pointer+" "+p.Code)
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s\n got %s\nwant %s", raw, strings.Join(got, ", "), want)
		}
	}
	for url, want := range map[string]string{
		"https://s.example": "https://s.example/wp-json/wc/v3", "https://s.example/shop/": "https://s.example/shop/wp-json/wc/v3", "https://s.example/wp-json/wc/v3/": "https://s.example/wp-json/wc/v3",
	} {
		s, err := parse([]byte(`{"url":"` + url + `","consumer_key":"ck_1","consumer_secret":"cs_1"}`))
		if err != nil || s.base.String() != want {
			t.Errorf("%s: %v, %v", url, s, err)
		}
	}
}
