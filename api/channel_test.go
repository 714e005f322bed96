package api

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func (k *kit) channel(code, url string) reply {
	k.t.Helper()
	return k.do(ChannelManager, "POST", "/v1/channels", map[string]any{
		"code": code, "connector": "webhook", "locale": "en-GB", "currency": "EUR", "config": map[string]any{"url": url, "secret": testSecret},
	})
}

// hide fails when a secret shows in an answer.
func (k *kit) hide(r reply) reply {
	k.t.Helper()
	if strings.Contains(string(r.body), testSecret[6:]) {
		k.t.Errorf("%s %s: a secret came back: %s", r.Request.Method, r.Request.URL.Path, r.body)
	}
	return r
}

// TestChannelLife creates a channel, changes it in every way, and deletes it;
// its secret never comes back.
func TestChannelLife(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var status atomic.Int64
	status.Store(http.StatusOK)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer target.Close()

	var c Channel
	r := k.hide(k.want(k.channel("sink", target.URL), 201, &c))
	if c.Code != "sink" || len(c.Secrets) != 1 || c.Secrets[0] != "secret" || r.Header.Get("Location") != "/v1/channels/sink" || !*c.Enabled || c.Batch == 0 || len(c.Mapping) < 10 {
		t.Fatalf("created as %s", r.body)
	}
	k.want(k.channel("sink", target.URL), 409, nil)
	r = k.hide(k.want(k.do(Viewer, "GET", "/v1/channels/sink", nil), 200, &c))
	if c.Code != "sink" || !c.Status.Publishing || r.Header.Get("ETag") != `"1"` {
		t.Errorf("read as %s", r.body)
	}
	k.hide(k.want(k.do(Viewer, "GET", "/v1/channels", nil), 200, nil))

	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/test", nil), 200, nil)
	status.Store(http.StatusUnauthorized)
	k.hide(k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/test", nil), 502, nil))

	// A patch keeps what it does not name, the secret too.
	r = k.hide(k.want(k.do(ChannelManager, "PATCH", "/v1/channels/sink", `{"batch":7,"locations":["berlin"]}`, "If-Match", `"1"`), 200, &c))
	if c.Batch != 7 || len(c.Secrets) != 1 || c.Locations[0] != "berlin" || c.Version != 2 || r.Header.Get("ETag") != `"2"` {
		t.Errorf("patched to %s", r.body)
	}
	r = k.do(ChannelManager, "PATCH", "/v1/channels/sink", `{"batch":8}`, "If-Match", `"1"`)
	if k.want(r, 412, nil); r.Header.Get("ETag") != `"2"` {
		t.Errorf("a stale patch got ETag %s", r.Header.Get("ETag"))
	}
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/sink", `{"config":{"authorization":"Bearer opensesame"}}`), 200, &c)
	if len(c.Secrets) != 2 {
		t.Errorf("secrets: %v", c.Secrets)
	}
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/sink", `{"config":{"authorization":null},"mapping":{"content":{"title":"sku"}}}`), 200, &c)
	if len(c.Secrets) != 1 || !strings.Contains(string(c.Mapping), "title") {
		t.Errorf("secrets: %v, mapping %s", c.Secrets, c.Mapping)
	}
	// Paused it stays through a PUT that does not speak of it.
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/pause", nil), 200, &c)
	if *c.Enabled || c.Status.State != "paused" {
		t.Errorf("paused: %+v", c.Status)
	}
	k.want(k.do(ChannelManager, "PUT", "/v1/channels/sink", map[string]any{"locale": "de-DE", "currency": "EUR", "config": map[string]any{"url": target.URL}}), 200, &c)
	if *c.Enabled || c.Locale != "de-DE" || len(c.Secrets) != 1 || c.Batch == 7 {
		t.Errorf("put: %+v", c)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/resume", nil), 200, &c)
	if !*c.Enabled || c.Status.State != "ok" {
		t.Errorf("resumed: %+v", c.Status)
	}
	k.mu.Lock()
	if k.woken[len(k.woken)-1] != (postgres.Consumer{Kind: postgres.Drain, Channel: 1, Lane: pim.Media}) {
		t.Errorf("nobody was woken: %v", k.woken)
	}
	k.mu.Unlock()
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/resync?full=true", nil), 200, &c)
	var n Retried
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/retry?sku=P", nil), 200, &n)
	k.want(k.do(ChannelManager, "DELETE", "/v1/channels/sink", nil), 204, nil)
	for _, at := range []string{"", "/test", "/pause", "/resume", "/resync", "/retry"} {
		method := "POST"
		if at == "" {
			method = "GET"
		}
		k.want(k.do(ChannelManager, method, "/v1/channels/sink"+at, nil), 404, nil)
	}
	if strings.Contains(k.log.String(), testSecret[6:]) {
		t.Error("a secret is in the log")
	}
}

// TestSecretsDoNotTravel: who points a channel at another address has to know
// its secrets, by PUT and by PATCH.
func TestSecretsDoNotTravel(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var c Channel
	k.want(k.do(ChannelManager, "POST", "/v1/channels", map[string]any{
		"code": "c", "connector": "webhook", "locale": "en-GB", "currency": "EUR",
		"config": map[string]any{"url": "https://shop.example/a", "secret": testSecret, "authorization": "Bearer opensesame"},
	}), 201, &c)
	for _, url := range []string{"https://thief.example/a", "http://shop.example/a", "https://shop.example:8443/a"} {
		for method, body := range map[string]string{
			"PATCH": `{"config":{"url":"` + url + `"}}`,
			"PUT":   `{"locale":"en-GB","currency":"EUR","config":{"url":"` + url + `"}}`,
		} {
			r := k.hide(k.do(ChannelManager, method, "/v1/channels/c", body))
			k.refused(r, 422, "/config/secret", "secret.again")
			k.refused(r, 422, "/config/authorization", "secret.again")
		}
	}
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/c", `{"config":{"status_url":"https://thief.example/"}}`), 422, "/config/secret", "secret.again")
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/c", `{"config":{"url":"https://thief.example/","secret":"`+testSecret+`"}}`), 422, "/config/authorization", "secret.again")
	if k.want(k.do(Viewer, "GET", "/v1/channels/c", nil), 200, &c); c.Version != 1 {
		t.Errorf("a refused change moved the channel to version %d", c.Version)
	}
	// The same host, another path or a second URL there; and all secrets given or taken away.
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/c", `{"config":{"url":"https://SHOP.example:443/b","status_url":"https://shop.example/s"}}`), 200, nil)
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/c", `{"config":{"url":"https://new.example/","status_url":null,"secret":"`+testSecret+`","authorization":null}}`), 200, &c)
	if len(c.Secrets) != 1 {
		t.Errorf("secrets: %v", c.Secrets)
	}
}

// TestChannelBadInput: each fault has its place, and no channel is made.
func TestChannelBadInput(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	base := func(change string) string {
		return strings.Replace(`{"code":"c","connector":"webhook","locale":"en-GB","currency":"EUR","config":{"url":"http://127.0.0.1:1","secret":"`+testSecret+`"},~}`, "~", change, 1)
	}
	for _, c := range []struct{ body, place, code string }{
		{base(`"mapping":{"content":{"title":"nope(sku)"}}`), "/mapping/content/title", "mapping.unknown"},
		{base(`"mapping":{"content":{"title":"sku +"}}`), "/mapping/content/title", "mapping.syntax"},
		{base(`"mapping":{"content":{"title":"[1,2,3,4,5,6,7,8,9].map(a, values.map(b, values.map(c, values.map(d, values.map(e, values.map(f, a))))))"}}`), "/mapping/content/title", "mapping.cost"},
		{base(`"mapping":{"content":{"title":1}}`), "/mapping/content/title", "field.type"},
		{base(`"mapping":{"texts":{}}`), "/mapping/texts", "field.unknown"},
		{base(`"batch":"many"`), "/batch", "field.type"},
		{base(`"timeout_seconds":1e300`), "/timeout_seconds", "limit"},
		{base(`"settle_seconds":-1`), "/settle_seconds", "limit"},
		{base(`"settle_seconds":0`), "/settle_seconds", "limit"},
		{base(`"batch":0`), "/batch", "limit"},
		{base(`"concurrency":0`), "/concurrency", "limit"},
		{base(`"locations":["mars"]`), "/locations/0", "location.unknown"},
		{base(`"price_list":"none"`), "/price_list", "price_list.unknown"},
		{base(`"category_root":"none"`), "/category_root", "category.unknown"},
		{base(`"x":1`), "/x", "field.unknown"},
		{strings.Replace(base(`"batch":1`), `"EUR"`, `"JPY"`, 1), "/currency", "currency.unknown"},
		{strings.Replace(base(`"batch":1`), `"en-GB"`, `"fr-FR"`, 1), "/locale", "locale.unknown"},
		{strings.Replace(base(`"batch":1`), `"c"`, `"Big"`, 1), "/code", "code"},
		{strings.Replace(base(`"batch":1`), `"webhook"`, `"fax"`, 1), "/connector", "connector.unknown"},
		{strings.Replace(base(`"batch":1`), `"connector":"webhook",`, ``, 1), "/connector", "field.missing"},
		{`{"code":"c"}`, "/config", "field.missing"},
		{`{"code":"c","code":"d"}`, "/code", "json.duplicate_key"},
		{`[]`, "", "field.type"},
	} {
		k.hide(k.want(k.do(ChannelManager, "POST", "/v1/channels", c.body), 422, nil))
		k.refused(k.do(ChannelManager, "POST", "/v1/channels", c.body), 422, c.place, c.code)
	}
	for _, config := range []string{`{"url":"ftp://x","secret":"` + testSecret + `"}`, `{"url":"http://127.0.0.1:1"}`, `{"url":"http://127.0.0.1:1","secret":"` + testSecret + `","x":1}`, `[]`} {
		r := k.do(ChannelManager, "POST", "/v1/channels", strings.Replace(`{"code":"c","connector":"webhook","locale":"en-GB","currency":"EUR","config":~}`, "~", config, 1))
		if k.hide(k.want(r, 422, nil)); !strings.Contains(string(r.body), `"pointer":"/config`) {
			t.Errorf("%s: %s", config, r.body)
		}
	}
	if n := k.count("channel"); n != 0 {
		t.Errorf("%d channels are stored", n)
	}
	// All faults of a spec in one answer, whoever finds them.
	var all Problem
	k.hide(k.want(k.do(ChannelManager, "POST", "/v1/channels", `{"code":"Big","connector":"webhook","locale":"fr-FR","x":1,"locations":["mars"],
		"config":{"url":"ftp://x","status_url":7,"secret":"`+testSecret[6:]+`?","colour":"red"},"mapping":{"content":{"title":"nope(sku)"}},
		"batch":0,"concurrency":257,"timeout_seconds":1e300,"settle_seconds":-1}`), 422, &all))
	told := make([]string, 0, len(all.Errors))
	for _, f := range all.Errors {
		told = append(told, *f.Pointer+" "+f.Code)
		if f.Code == "limit" && !strings.HasPrefix(f.Detail, "is from 1 to ") && !strings.HasPrefix(f.Detail, "is from 0.001 seconds to ") {
			t.Errorf("%s does not say its bounds: %s", *f.Pointer, f.Detail)
		}
	}
	want := []string{
		"/batch limit", "/code code", "/concurrency limit", "/config/colour field.unknown", "/config/secret config.secret", "/config/status_url field.type",
		"/config/url config.url", "/currency field.missing", "/locale locale.unknown", "/locations/0 location.unknown", "/mapping/content/title mapping.unknown",
		"/settle_seconds limit", "/timeout_seconds limit", "/x field.unknown",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	k.want(k.channel("c", "http://127.0.0.1:1"), 201, nil)
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/c", `{"code":"d"}`), 422, "/code", "field.address")
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/c", `{"connector":"fax"}`), 422, "/connector", "connector.fixed")
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/c", `{"locale":null}`), 422, "/locale", "field.missing")
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/c", `7`), 422, "", "field.type")
	var c Channel
	if k.want(k.do(Viewer, "GET", "/v1/channels/c", nil), 200, &c); c.Version != 1 {
		t.Errorf("a refused patch moved the channel to version %d", c.Version)
	}
}

// TestConnectors shows each kind with the schema of its config.
func TestConnectors(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	type connector struct {
		Name         string             `json:"name"`
		Powers       []connectors.Power `json:"powers"`
		ConfigSchema struct {
			Properties map[string]struct {
				Type      string `json:"type"`
				WriteOnly bool   `json:"writeOnly"`
			} `json:"properties"`
		} `json:"config_schema"`
	}
	var l page[connector]
	k.want(k.do(Viewer, "GET", "/v1/connectors", nil), 200, &l)
	at := slices.IndexFunc(l.Items, func(c connector) bool { return c.Name == "webhook" })
	if len(l.Items) != len(k.s.Registry.Kinds()) || at < 0 {
		t.Fatalf("connectors: %+v", l.Items)
	}
	if !slices.Equal(l.Items[at].Powers, []connectors.Power{connectors.CanPoll, connectors.CanRead}) {
		t.Errorf("webhook's powers: %v", l.Items[at].Powers)
	}
	p := l.Items[at].ConfigSchema.Properties
	if p["url"].Type != "string" || p["url"].WriteOnly || !p["secret"].WriteOnly {
		t.Errorf("webhook's config: %+v", p)
	}
}
