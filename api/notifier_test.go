package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// A notifier's secrets go in and never come back; its settings have versions.
func TestNotifiers(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	var status atomic.Int64
	status.Store(http.StatusOK)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer target.Close()
	var n Notifier
	r := k.hide(k.want(k.do(ChannelManager, "POST", "/v1/notifiers", map[string]any{
		"code": "ops", "kind": "webhook", "config": map[string]any{"url": target.URL, "secret": testSecret}, "kinds": []string{"down"},
	}), 201, &n))
	if r.Header.Get("Location") != "/v1/notifiers/ops" || len(n.Secrets) != 1 || !n.Enabled || !n.AllowPrivate || len(n.Kinds) != 1 || n.Channels == nil {
		t.Errorf("created as %s", r.body)
	}
	k.hide(k.want(k.do(ChannelManager, "PUT", "/v1/notifiers/ops", `{"enabled":false,"channels":["a"]}`, "If-Match", `"1"`), 200, &n))
	if n.Version != 2 || n.Enabled || len(n.Secrets) != 1 || len(n.Channels) != 1 || len(n.Kinds) != 1 {
		t.Errorf("changed: %+v", n)
	}
	k.want(k.do(ChannelManager, "PUT", "/v1/notifiers/ops", `{}`, "If-Match", `"1"`), 412, nil)
	k.want(k.do(Editor, "PUT", "/v1/notifiers/ops", `{}`), 403, nil)
	k.want(k.do(ChannelManager, "PUT", "/v1/notifiers/none", `{}`), 404, nil)
	k.refused(k.do(ChannelManager, "PUT", "/v1/notifiers/ops", `{"config":{"url":"http://127.0.0.1:1"}}`), 422, "/config/secret", "secret.again")
	k.refused(k.do(ChannelManager, "PUT", "/v1/notifiers/ops", `{"kind":"email"}`), 422, "/kind", "kind.fixed")
	for body, want := range map[string][2]string{
		`{"code":"x","kind":"fax"}`:                 {"/kind", "kind.unknown"},
		`{"code":"x","kind":"email"}`:               {"/config/host", "field.missing"},
		`{"code":"x","kind":"email","kinds":["x"]}`: {"/kinds/0", "alert.unknown"},
	} {
		k.refused(k.do(Admin, "POST", "/v1/notifiers", body), 422, want[0], want[1])
	}
	k.hide(k.want(k.do(ChannelManager, "POST", "/v1/notifiers/ops/test", nil), 200, nil))
	status.Store(http.StatusTeapot)
	if r := k.hide(k.want(k.do(ChannelManager, "POST", "/v1/notifiers/ops/test", nil), 502, nil)); !strings.Contains(string(r.body), "notifier.") {
		t.Errorf("%s", r.body)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/notifiers/none/test", nil), 404, nil)
	k.hide(k.want(k.do(Viewer, "GET", "/v1/notifiers", nil), 200, nil))
	k.hide(k.want(k.do(Viewer, "GET", "/v1/notifiers/ops", nil), 200, nil))
	if r := k.want(k.do(Viewer, "GET", "/v1/notifier-kinds", nil), 200, nil); strings.Count(string(r.body), `"writeOnly":true`) != 2 {
		t.Errorf("%s", r.body)
	}
	k.want(k.do(ChannelManager, "DELETE", "/v1/notifiers/ops", nil), 204, nil)
	k.want(k.do(ChannelManager, "DELETE", "/v1/notifiers/ops", nil), 404, nil)

	var alerts page[pim.Alert]
	k.want(k.do(Viewer, "GET", "/v1/alerts?channel=shop&cleared=true", nil), 200, &alerts)
	if alerts.Items == nil || len(alerts.Items) != 0 {
		t.Errorf("%+v", alerts)
	}
	k.want(k.do(Viewer, "GET", "/v1/alerts?cursor=x", nil), 422, nil)
}
