package api

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/sluicehub/sluice/pim/postgres"
)

func TestRenditionDefinitions(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var d Rendition
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/a", `{"width":10}`), 201, &d)
	first := d.Revision
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/a", `{"width":10}`), 200, &d)
	if d.Revision != first || d.Channels == nil {
		t.Errorf("the same again: %+v", d)
	}
	raw, err := json.Marshal(d.Definition)
	if err != nil {
		t.Fatal(err)
	}
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/b", raw), 201, nil)
	const definition = `{"width":12}`
	tag := k.want(k.do(Viewer, "GET", "/v1/renditions/a", nil), 200, nil).Header.Get("ETag")
	if tag != etag(first) {
		t.Errorf("ETag %s of revision %d", tag, first)
	}
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/new", definition, "If-Match", "*"), 412, nil)
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/a", definition, "If-Match", "x"), 422, nil)
	if r := k.want(k.do(ChannelManager, "PUT", "/v1/renditions/a", definition, "If-Match", tag), 200, &d); d.Revision != first+1 || r.Header.Get("ETag") != etag(d.Revision) {
		t.Errorf("revision %d, ETag %s", d.Revision, r.Header.Get("ETag"))
	}
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/a", `{"width":13}`, "If-Match", tag), 412, nil)
	k.want(k.do(ChannelManager, "PUT", "/v1/renditions/a", `{"width":10}`, "If-Match", "*"), 200, &d)
	for body, want := range map[string][2]string{
		`{"width":-1}`: {"/width", "definition.range"}, `{"preset":"none"}`: {"/preset", "preset.unknown"}, `{"preset":1}`: {"/preset", "preset.unknown"},
		`{"preset":"bol","x":1}`: {"/x", "definition.unknown"}, `[]`: {"", "definition.shape"}, `{"format":"avif"}`: {"/format", "format.engine"}, `{`: {"", "json.syntax"},
	} {
		k.refused(k.do(ChannelManager, "PUT", "/v1/renditions/c", body), 422, want[0], want[1])
	}
	k.refused(k.do(ChannelManager, "PUT", "/v1/renditions/a%20b", `{}`), 422, "/code", "code")
	var list page[Rendition]
	k.want(k.do(Viewer, "GET", "/v1/renditions", nil), 200, &list)
	if len(list.Items) != 2 {
		t.Errorf("list %+v", list)
	}
	k.want(k.do(ChannelManager, "DELETE", "/v1/renditions/a", nil), 204, nil)
	k.want(k.do(ChannelManager, "DELETE", "/v1/renditions/a", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/renditions/a", nil), 404, nil)
	var presets page[RenditionPreset]
	k.want(k.do(Viewer, "GET", "/v1/rendition-presets", nil), 200, &presets)
	if len(presets.Items) != 4 || presets.Items[1].Name != "bol" {
		t.Errorf("presets %+v", presets)
	}
}

// A channel's renditions are set, shown, patched and checked.
func TestChannelRenditions(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for _, code := range []string{"big", "small"} {
		k.want(k.do(Admin, "PUT", "/v1/renditions/"+code, `{"width":10}`), 201, nil)
	}
	body := map[string]any{
		"code": "shop", "connector": "webhook", "locale": "en-GB", "currency": "EUR", "enabled": false, "renditions": []string{"big"},
		"config": map[string]any{"url": "http://127.0.0.1:9", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
	}
	var c Channel
	k.want(k.do(Admin, "POST", "/v1/channels", body), 201, &c)
	if !slices.Equal(c.Renditions, []string{"big"}) {
		t.Errorf("made with %v", c.Renditions)
	}
	k.want(k.do(Admin, "PATCH", "/v1/channels/shop", `{"batch":3}`), 200, &c)
	if !slices.Equal(c.Renditions, []string{"big"}) {
		t.Errorf("a patch of something else: %v", c.Renditions)
	}
	k.kinds()
	k.want(k.do(Admin, "PATCH", "/v1/channels/shop", `{"renditions":["small","big"]}`), 200, &c)
	if woken := k.kinds(); !slices.Contains(woken, postgres.Render) || !slices.Contains(woken, postgres.Derive) {
		t.Errorf("woken: %v", woken)
	}
	if !slices.Equal(c.Renditions, []string{"small", "big"}) {
		t.Errorf("patched: %v", c.Renditions)
	}
	k.refused(k.do(Admin, "PATCH", "/v1/channels/shop", `{"renditions":["none"]}`), 422, "/renditions/0", "rendition.unknown")
	k.want(k.do(Admin, "PATCH", "/v1/channels/shop", `{"renditions":null}`), 200, &c)
	if c.Renditions == nil || len(c.Renditions) != 0 {
		t.Errorf("taken away: %v", c.Renditions)
	}
}

func TestTaskCommandsAreChecked(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	for _, path := range []string{"/v1/tasks/retry", "/v1/tasks/cancel"} {
		k.refused(k.do(Editor, "POST", path, `{}`), 422, "/kind", "field.missing")
		k.refused(k.do(Editor, "POST", path, `{"kind":"drain"}`), 422, "/kind", "kind")
		k.refused(k.do(Editor, "POST", path, `{"kind":"fetch","ids":[]}`), 422, "/ids", "limit")
		k.refused(k.do(Editor, "POST", path, `{"kind":"fetch","ids":["1"]}`), 422, "/ids/0", "field.type")
		k.want(k.do(Editor, "POST", path, `{"kind":"render"}`), 200, nil)
		k.want(k.do(Integration, "POST", path, `{"kind":"render"}`), 403, nil)
	}
	k.refused(k.do(Viewer, "GET", "/v1/tasks?cursor=x", nil), 422, "query.cursor", "cursor")
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.woken); n != renderShards {
		t.Errorf("%d consumers woken", n)
	}
}
