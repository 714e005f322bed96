package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A channel without a connector shows what it has, and refuses what needs a target;
// what is shown of it can be put back with a connector, and is published then.
func TestChannelWithoutConnector(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer target.Close()
	var c Channel
	r := k.want(k.do(ChannelManager, "POST", "/v1/channels", `{"code":"print","connector":"none","locale":"en-GB","currency":"EUR"}`), 201, &c)
	if c.Status.State != "no_connector" || c.Status.Publishing || c.Enabled != nil {
		t.Errorf("created as %s", r.body)
	}
	for _, absent := range []string{`"mapping"`, `"enabled"`, `"batch"`, `"concurrency"`, `"timeout_seconds"`, `"settle_seconds"`} {
		if strings.Contains(string(r.body), absent) {
			t.Errorf("it shows %s: %s", absent, r.body)
		}
	}
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/print", `{"enabled":true}`), 422, "/enabled", "connector.none")
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/print", `{"batch":0}`), 422, "/batch", "limit")
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/print", `{"locale":"de-DE"}`), 200, &c)
	if c.Locale != "de-DE" || c.Version != 2 {
		t.Errorf("patched to %+v", c)
	}
	for _, call := range []string{"POST /test", "POST /pause", "POST /resume", "POST /resync", "POST /resync?sku=P", "POST /retry", "POST /reconcile", "GET /preview/P", "POST /dry-run"} {
		method, path, _ := strings.Cut(call, " ")
		r := k.want(k.do(ChannelManager, method, "/v1/channels/print"+path, map[string]any{}), 409, nil)
		if !strings.Contains(string(r.body), "urn:sluice:problem:no-connector") || !strings.Contains(string(r.body), "PATCH /v1/channels") {
			t.Errorf("%s: %s", call, r.body)
		}
	}
	k.want(k.do(Viewer, "GET", "/v1/channels/print/reconcile", nil), 200, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/print/forecast", nil), 200, nil)

	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/print", `{"connector":"webhook"}`), 422, "/config/url", "field.missing")
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/print", map[string]any{"connector": "webhook", "config": map[string]any{"url": target.URL, "secret": testSecret}}), 200, &c)
	if c.Connector != "webhook" || c.Enabled == nil || !*c.Enabled || c.Batch < 10 || len(c.Mapping) < 10 || !c.Status.Publishing || c.Locale != "de-DE" {
		t.Errorf("connected: %+v", c)
	}
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/print", `{"connector":"none"}`), 422, "/connector", "connector.fixed")

	// Whoever wants it paused says so.
	k.want(k.do(ChannelManager, "POST", "/v1/channels", `{"code":"poster","connector":"none","locale":"en-GB","currency":"EUR"}`), 201, &c)
	k.want(k.do(ChannelManager, "PUT", "/v1/channels/poster", map[string]any{
		"connector": "webhook", "locale": "en-GB", "currency": "EUR", "enabled": false, "config": map[string]any{"url": target.URL, "secret": testSecret},
	}), 200, &c)
	if c.Enabled == nil || *c.Enabled || c.Status.State != "paused" {
		t.Errorf("connected and paused: %+v", c)
	}
}
