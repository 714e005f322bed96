package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// ownPatches are addresses of things whose patch is their own, and how each is made.
func ownPatches(t *testing.T, k *kit) map[string]string {
	t.Helper()
	k.want(k.channel("x", "https://shop.example"), 201, nil)
	k.want(k.sends(Editor, "POST", "/v1/assets", "x.jpg", photo(t, 6, 4, 0), "code", "x"), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/x", `{"family":"shoe","values":{"name":{"en-GB":"Shoe"}}}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/reference-entities/made-by", `{"attributes":[{"code":"country","type":"text"}]}`), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/reference-entities/made-by/records/x", `{"values":{"country":"NL"}}`), 201, nil)
	return map[string]string{
		"/v1/channels/{code}": "/v1/channels/x", "/v1/assets/{code}": "/v1/assets/x", "/v1/products/{sku}": "/v1/products/x",
		"/v1/reference-entities/{entity}/records/{code}": "/v1/reference-entities/made-by/records/x",
	}
}

// A patch that changes nothing makes no revision, of whatever can be patched: one of
// nothing, one that says what stands there, and one that takes away what was not there.
// Nor does the same PUT again.
func TestNoChangeIsNoRevision(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	own := ownPatches(t, k)
	seen := 0
	for _, o := range operations(k.s.api.OpenAPI()) {
		if o.Method != http.MethodPatch {
			continue
		}
		seen++
		path := own[o.Path]
		if m := memberPath.FindStringSubmatch(o.Path); path == "" {
			if m == nil || samples[m[1]] == "" {
				t.Errorf("%s is not tried here", o.OperationID)
				continue
			}
			code := "x"
			if m[1] == "/v1/locales" {
				code = "de-AT"
			}
			path = m[1] + "/" + code
			row := `{"code":"` + code + `",` + strings.TrimPrefix(strings.Replace(samples[m[1]], `,"labels":null`, "", 1), "{")
			if _, got := k.resources(Admin, m[1]+":batch", "["+row+"]"); !strings.HasPrefix(got, code+":created:") {
				t.Fatal(got)
			}
		}
		before, whole := k.tagged(path)
		same := func(what string, r reply) {
			t.Helper()
			if r.StatusCode != 200 && r.StatusCode != 422 { // some members cannot be taken away
				t.Errorf("%s %s: %d %s", path, what, r.StatusCode, r.body)
			}
			if after, _ := k.tagged(path); after != before {
				t.Errorf("%s is at revision %s after %s, and was at %s", path, after, what, before)
				before = after
			}
		}
		same("a patch of nothing", k.do(Admin, "PATCH", path, `{}`))
		shown := whole
		if d, is := whole["definition"].(map[string]any); is {
			shown = d
		}
		put, has := k.s.singles[http.MethodPut+" "+o.Path]
		if !has {
			put.op = *o
		}
		for name := range k.s.members(&put.op) {
			v := shown[name]
			body, err := json.Marshal(map[string]any{name: v})
			if err != nil {
				t.Fatal(err)
			}
			r := k.do(Admin, "PATCH", path, body)
			if v != nil && r.StatusCode != 200 && !strings.Contains(string(r.body), "field.unknown") {
				t.Errorf("%s does not take what it shows: %s: %s", path, body, r.body)
			}
			same(string(body), r)
			if labels, is := v.(map[string]any); is && name == "labels" && labels["it-IT"] == nil {
				same("no label", k.do(Admin, "PATCH", path, `{"labels":{"it-IT":null}}`))
			}
		}
		if config, is := whole["config"].(map[string]any); is {
			for _, name := range k.configFields(o.Path, whole) {
				if _, set := config[name]; !set && !slices.Contains(whole["secrets"].([]any), any(name)) {
					same("no "+name, k.do(Admin, "PATCH", path, `{"config":{"`+name+`":null}}`))
				}
			}
		}
	}
	if seen < 18 {
		t.Errorf("only %d things can be patched", seen)
	}
	// What is given again is the same, secrets too.
	before, _ := k.tagged("/v1/notifiers/x")
	k.want(k.do(Admin, "PATCH", "/v1/notifiers/x", `{"config":{"secret":"`+testSecret+`"}}`), 200, nil)
	if after, _ := k.tagged("/v1/notifiers/x"); after != before {
		t.Errorf("the same secret again makes revision %s of %s", after, before)
	}
	k.want(k.do(Admin, "PATCH", "/v1/notifiers/x", `{"config":{"secret":"`+otherSecret+`"}}`), 200, nil)
	if after, _ := k.tagged("/v1/notifiers/x"); after == before {
		t.Error("another secret is no change")
	}
	k.refused(k.do(Admin, "PATCH", "/v1/notifiers/x", `{"config":{"nope":null}}`), 422, "/config/nope", "field.unknown")
}

const otherSecret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// tagged reads a thing with its entity tag.
func (k *kit) tagged(path string) (tag string, whole map[string]any) {
	k.t.Helper()
	return k.want(k.do(Viewer, "GET", path, nil), 200, &whole).Header.Get("ETag"), whole
}

// configFields are the fields of a channel's, provider's or notifier's config.
func (k *kit) configFields(path string, whole map[string]any) (names []string) {
	k.t.Helper()
	kinds, kind := map[string]string{"/v1/channels/{code}": "/v1/connectors", "/v1/providers/{code}": "/v1/provider-kinds", "/v1/notifiers/{code}": "/v1/notifier-kinds"}[path], whole["kind"]
	if kind == nil {
		kind = whole["connector"]
	}
	var list struct {
		Items []struct {
			Name   string
			Config struct {
				Properties map[string]any
			} `json:"config_schema"`
		}
	}
	k.want(k.do(Viewer, "GET", kinds, nil), 200, &list)
	for _, item := range list.Items {
		if item.Name == kind {
			for name := range item.Config.Properties {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		k.t.Fatalf("no fields of %s's config are known", kind)
	}
	return names
}
