package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sluicehub/sluice/jobs"
)

// TestChoices narrows commands on a channel's listings.
func TestChoices(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer target.Close()
	k.want(k.channel("sink", target.URL), 201, nil)
	var r Resynced
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/resync", nil), 200, &r)
	if r.Resynced != nil || r.Code != "sink" || !r.Status.Publishing {
		t.Errorf("a resync of all: %+v", r)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/resync?sku=a&sku=b&lane=offer&full=true&state=live&updated_since=2026-01-01T00:00:00Z", nil), 200, &r)
	if r.Resynced == nil || *r.Resynced != 0 {
		t.Errorf("a resync of none: %+v", r)
	}
	var n Retried
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/retry?issue=x&family=y", nil), 200, &n)
	for path, status := range map[string]int{
		"/v1/channels/none/resync": 404, "/v1/channels/none/resync?sku=x": 404, "/v1/channels/none/retry": 404,
		"/v1/channels/sink/resync?lane=x": 422, "/v1/channels/sink/resync?state=x": 422, "/v1/channels/sink/retry?updated_since=x": 422,
	} {
		k.want(k.do(ChannelManager, "POST", path, nil), status, nil)
	}
	k.want(k.do(Viewer, "POST", "/v1/channels/sink/resync?sku=x", nil), 403, nil)

	var f jobs.Forecast
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/forecast", nil), 200, &f)
	if f.Channel != "sink" || f.ETA == nil || f.Backlog != 0 || len(f.Lanes) != 3 {
		t.Errorf("%+v", f)
	}
	k.want(k.do(Viewer, "GET", "/v1/channels/none/forecast", nil), 404, nil)
}
