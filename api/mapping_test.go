package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/seal"
)

// mapped is a kit with a channel, and products that its mapping has words for, or not.
func mapped(t *testing.T) *kit {
	k := newKit(t).seed()
	target := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(target.Close)
	k.want(k.channel("sink", target.URL), 201, nil)
	for sku, colour := range map[string]string{"A/1": "red", "B": "blue", "C": "red"} {
		k.want(k.do(Editor, "PUT", "/v1/products/"+strings.ReplaceAll(sku, "/", "%2F"), map[string]any{"family": "shoe", "values": map[string]any{"color": colour}}), 201, nil)
	}
	return k
}

const tries = `{"content":{"sku":"sku","colour":"mapped('color')"},"values":{"color":{"options":{"red":"ROT"}}},"unmapped":"error"}`

func TestPreviewAPI(t *testing.T) {
	t.Parallel()
	k := mapped(t)
	var p Preview
	k.hide(k.want(k.do(Viewer, "GET", "/v1/channels/sink/preview/A%2F1", nil), 200, &p))
	if p.SKU != "A/1" || p.Channel != "sink" || p.Paused || len(p.Lanes) != 3 {
		t.Fatalf("%+v", p)
	}
	c := p.Lanes[0]
	if c.Lane != pim.Content || c.Outlook != jobs.OutlookSend || c.Reason == "" || !strings.Contains(string(c.Document), `"sku":"A/1"`) || c.Acknowledged != nil || c.Differences != nil || c.Issues == nil {
		t.Errorf("%+v", c)
	}
	if p.Lanes[1].Outlook != jobs.OutlookWaits || string(p.Lanes[2].Document) != "null" && len(p.Lanes[2].Document) > 0 {
		t.Errorf("%+v", p.Lanes[1:])
	}
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/preview/A%2F1", `{"mapping":`+tries+`}`), 200, &p)
	if string(p.Lanes[0].Document) != `{"colour":"ROT","sku":"A/1"}` {
		t.Errorf("%s", p.Lanes[0].Document)
	}
	p = Preview{}
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/preview/B", `{"mapping":`+tries+`}`), 200, &p)
	if c := p.Lanes[0]; c.Outlook != jobs.OutlookRefused || len(c.Issues) != 1 || c.Issues[0].Attribute != "colour" {
		t.Errorf("%+v", c)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/preview/B", `{}`), 200, nil)

	post := func(body string) reply { return k.do(ChannelManager, "POST", "/v1/channels/sink/preview/B", body) }
	k.refused(post(`{"mapping":{"content":{"x":"values..x"}}}`), 422, "/mapping/content/x", "mapping.syntax")
	k.refused(post(`{"mapping":{"content":{"x":"sku"},"values":{"nothing":{"unit":"g"},"color":{"options":{"mauve":"M"}}}}}`), 422, "/mapping/values/nothing", "attribute.unknown")
	k.refused(post(`{"mapping":{"content":{"x":"sku"},"values":{"color":{"options":{"mauve":"M"}}}}}`), 422, "/mapping/values/color/options/mauve", "option.unknown")
	k.refused(post(`{"mapping":{"content":{"x":"sku"},"unmapped":"no"}}`), 422, "/mapping/unmapped", "mapping.unmapped")
	k.refused(post(`{"mapping":{"content":{"x":"sku"},"categories":{"a":"b"}}}`), 422, "/mapping/categories/a", "field.type")
	k.refused(post(`{"map":{}}`), 422, "/map", "field.unknown")
	for _, at := range []string{"/v1/channels/sink/preview/nothing", "/v1/channels/nowhere/preview/B"} {
		k.want(k.do(Viewer, "GET", at, nil), 404, nil)
		k.want(k.do(ChannelManager, "POST", at, `{}`), 404, nil)
	}
	k.want(k.do(Editor, "DELETE", "/v1/products/B", nil), 204, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/preview/B", nil), 200, &p)
	if p.Lanes[0].Outlook != jobs.OutlookWithdrawn {
		t.Errorf("deleted: %+v", p.Lanes[0])
	}
}

func TestDryRunAPI(t *testing.T) {
	t.Parallel()
	k := mapped(t)
	var run DryRun
	post := func(body string) reply { return k.do(ChannelManager, "POST", "/v1/channels/sink/dry-run", body) }
	k.want(post(`{}`), 200, &run)
	if run.Products != 3 || run.Next != "" || len(run.Lanes) != 3 || run.Lanes[0].Outlooks[jobs.OutlookSend] != 3 || len(run.Refused) != 0 {
		t.Errorf("%+v", run)
	}
	run = DryRun{}
	k.want(post(`{"mapping":`+tries+`,"filter":{"family":"shoe","enabled":true,"updated_since":"2020-01-01T00:00:00Z"}}`), 200, &run)
	if len(run.Lanes) != 1 || run.Lanes[0].Outlooks[jobs.OutlookSend] != 2 || len(run.Refused) != 1 || run.Refused[0].SKU != "B" || len(run.Refused[0].Issues) != 1 {
		t.Errorf("%+v", run)
	}
	seen := 0
	for at := ""; ; {
		run = DryRun{}
		k.want(post(`{"limit":1,"cursor":"`+at+`"}`), 200, &run)
		seen += run.Products
		if at = run.Next; at == "" {
			break
		}
	}
	if seen != 3 {
		t.Errorf("%d products in pages", seen)
	}
	k.refused(post(`{"limit":0}`), 422, "/limit", "limit")
	k.refused(post(`{"limit":10001}`), 422, "/limit", "limit")
	k.refused(post(`{"cursor":"x"}`), 422, "/cursor", "cursor")
	k.refused(post(`{"filter":{"colour":"red"}}`), 422, "/filter/colour", "field.unknown")
	k.refused(post(`{"filter":{"updated_since":"yesterday"}}`), 422, "/filter/updated_since", "field.time")
	k.want(k.do(ChannelManager, "POST", "/v1/channels/nowhere/dry-run", `{}`), 404, nil)
	if k.count("listing") != 0 {
		t.Error("a dry run marked something")
	}
}

// TestMappingVersionsAPI: each change of a mapping is kept with who made it,
// and any can be the newest again.
func TestMappingVersionsAPI(t *testing.T) {
	t.Parallel()
	k := mapped(t)
	k.want(k.do(ChannelManager, "PATCH", "/v1/channels/sink", `{"batch":7}`), 200, nil)
	k.want(k.do(Admin, "PATCH", "/v1/channels/sink", `{"mapping":`+tries+`,"mapping_note":"German"}`), 200, nil)
	k.refused(k.do(Admin, "PATCH", "/v1/channels/sink", `{"mapping":{"categories":{"c":[""]},"unmapped":"never"}}`), 422, "/mapping/categories/c/0", "mapping.word")
	var list page[MappingVersion]
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/mappings?limit=1", nil), 200, &list)
	if len(list.Items) != 1 || list.Items[0].Version != 2 || list.Items[0].Actor != "admin key" || list.Items[0].Note != "German" || list.Next == "" {
		t.Fatalf("%+v", list)
	}
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/mappings?cursor="+list.Next, nil), 200, &list)
	if len(list.Items) != 1 || list.Items[0].Version != 1 || list.Items[0].Actor != "channel-manager key" || list.Items[0].At.IsZero() {
		t.Fatalf("%+v", list)
	}
	var v MappingVersion
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/mappings/2", nil), 200, &v)
	if !strings.Contains(string(v.Mapping), `"ROT"`) {
		t.Errorf("%+v", v)
	}
	var c Channel
	k.hide(k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/mappings/1/rollback", nil), 200, &c))
	var now, first any
	if json.Unmarshal(c.Mapping, &now) != nil || json.Unmarshal(list.Items[0].Mapping, &first) != nil || !reflect.DeepEqual(now, first) || len(c.Secrets) != 1 || c.Batch != 7 || strings.Contains(string(c.Mapping), "ROT") {
		t.Errorf("%+v", c)
	}
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/mappings/3", nil), 200, &v)
	if v.Note != "rollback to version 1" || v.Actor != "channel-manager key" {
		t.Errorf("%+v", v)
	}
	// What is no longer right does not come back.
	if _, err := k.store.Pool().Exec(t.Context(), `update channel_mapping set mapping = '{"content":{"x":"sku"},"values":{"gone":{"unit":"g"}}}' where version = 1`); err != nil {
		t.Fatal(err)
	}
	k.refused(k.do(ChannelManager, "POST", "/v1/channels/sink/mappings/1/rollback", nil), 422, "/mapping/values/gone", "attribute.unknown")
	k.want(k.do(Editor, "POST", "/v1/channels/sink/mappings/1/rollback", nil), 403, nil)
	k.want(k.do(ChannelManager, "POST", "/v1/channels/sink/mappings/9/rollback", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/mappings/9", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/mappings/x", nil), 422, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/nowhere/mappings", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/channels/sink/mappings?cursor=x", nil), 422, nil)
}

// TestClosedChannel: a channel that this process cannot open is told as such,
// with the reason, where people look through it; a caller of its hook learns no more
// than that it takes no calls.
func TestClosedChannel(t *testing.T) {
	t.Parallel()
	k := mapped(t)
	for sql, reason := range map[string]string{
		`update channel set connector = 'gone', version = version + 1`:                                                `gone`,
		`update channel set connector = 'webhook', mapping = '{"content":{"x":"nothing..y"}}', version = version + 1`: `compile its mapping`,
	} {
		if _, err := k.store.Pool().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		for _, r := range []reply{
			k.do(Viewer, "GET", "/v1/channels/sink/preview/B", nil),
			k.do(ChannelManager, "POST", "/v1/channels/sink/preview/B", `{}`),
			k.do(ChannelManager, "POST", "/v1/channels/sink/dry-run", `{}`),
			k.do(ChannelManager, "POST", "/v1/channels/sink/test", nil),
		} {
			var p Problem
			k.want(r, 409, &p)
			if p.Type != typePrefix+"channel-closed" || !strings.Contains(p.Detail, reason) {
				t.Errorf("%s %s: %+v", r.Request.Method, r.Request.URL.Path, p)
			}
		}
		if r := k.do("", "POST", "/v1/hooks/sink", `{}`); r.StatusCode != 503 || strings.Contains(string(r.body), reason) {
			t.Errorf("hook: %d %s", r.StatusCode, r.body)
		}
	}
}

// TestChannelWarning: a channel on an address that it may not send to says so.
func TestChannelWarning(t *testing.T) {
	t.Parallel()
	keys, err := seal.OpenOrCreate(filepath.Join(t.TempDir(), "keyset"))
	if err != nil {
		t.Fatal(err)
	}
	k := newKit(t, func(c *Config) {
		c.Channels = jobs.NewChannels(c.Store, all.Registry(), keys, connectors.Env{}) // without the permission
	}).seed()
	var c Channel
	k.want(k.channel("here", "http://127.0.0.1:9/x"), 201, &c)
	if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0], "url is a loopback or private address") || !strings.Contains(c.Warnings[0], "--allow-private-targets") {
		t.Errorf("%q", c.Warnings)
	}
	c = Channel{}
	if k.want(k.channel("there", "https://shop.example/x"), 201, &c); len(c.Warnings) != 0 {
		t.Errorf("%q", c.Warnings)
	}
	// A connector's own doubts are told with each answer, for as long as they last.
	k.want(k.do(ChannelManager, "POST", "/v1/channels", `{"code":"feed","connector":"feed","locale":"en-GB","currency":"EUR","config":{"folder":"/no/such/folder"}}`), 201, nil)
	if k.want(k.do(Viewer, "GET", "/v1/channels/feed", nil), 200, &c); len(c.Warnings) != 2 || !strings.Contains(c.Warnings[1], "is not there") {
		t.Errorf("%q", c.Warnings)
	}
}
