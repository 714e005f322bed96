package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
)

// samples are one thing of each collection that is patched, as a row of its batch.
var samples = map[string]string{
	"/v1/association-types":  `{"labels":{"en-GB":"Goes with"},"two_way":true}`,
	"/v1/attribute-groups":   `{"labels":{"en-GB":"Texts"},"position":3}`,
	"/v1/attributes":         `{"type":"option","labels":{"en-GB":"Size"},"options":[{"code":"s"},{"code":"m"}]}`,
	"/v1/categories":         `{"labels":{"en-GB":"Lamps"}}`,
	"/v1/families":           `{"labels":{"en-GB":"Hats"},"attributes":[{"code":"name","required":true}]}`,
	"/v1/import-profiles":    `{"options":{"currency":"EUR","price_list":"sale"}}`,
	"/v1/locales":            `{"fallback":"de-DE"}`,
	"/v1/locations":          `{"labels":{"en-GB":"North"},"safety_stock":2}`,
	"/v1/notifiers":          `{"kind":"webhook","kinds":["down"],"config":{"url":"https://ops.example/x","secret":"` + testSecret + `"}}`,
	"/v1/price-lists":        `{"labels":{"en-GB":"Trade"},"base":"sale","customer_group":"B"}`,
	"/v1/price-rules":        `{"price_list":"sale","percent":"-10","labels":null}`,
	"/v1/providers":          `{"kind":"deepl","quota":500,"config":{"url":"https://translate.example","key":"s3cret-key"}}`,
	"/v1/reference-entities": `{"labels":{"en-GB":"Brand"},"attributes":[{"code":"country","type":"text"}]}`,
	"/v1/renditions":         `{"width":10}`,
	"/v1/text-rules":         `{"action":"translate","from":"en-GB","to":["de-DE"]}`,
}

// A patch of whatever is put by its code changes what it names and nothing else, at
// the revision that it asks for.
func TestPatchOfDefinitions(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	seen := map[string]bool{}
	for _, o := range operations(k.s.api.OpenAPI()) {
		m := memberPath.FindStringSubmatch(o.Path)
		if m == nil || o.Method != http.MethodPatch || allowed[o.OperationID] != nil {
			continue // one of its own
		}
		sample, code := samples[m[1]], "x"
		if sample == "" {
			t.Errorf("%s has no sample here", o.OperationID)
			continue
		}
		if m[1] == "/v1/locales" {
			code = "de-AT"
		}
		seen[m[1]] = true
		row := `{"code":"` + code + `",` + strings.TrimPrefix(strings.Replace(sample, `,"labels":null`, "", 1), "{")
		if _, got := k.resources(Admin, m[1]+":batch", "["+row+"]"); !strings.HasPrefix(got, code+":created:") {
			t.Fatal(got)
		}
		path := m[1] + "/" + code
		get := func() (whole map[string]any, tag string) {
			t.Helper()
			r := k.want(k.do(Viewer, "GET", path, nil), 200, &whole)
			maps.DeleteFunc(whole, func(name string, _ any) bool {
				return slices.Contains([]string{"revision", "version", "updated_at", "status"}, name)
			})
			if tag = r.Header.Get("ETag"); tag == "" {
				t.Fatalf("GET %s has no ETag: a patch could undo what others do", path)
			}
			return whole, tag
		}
		before, _ := get()
		k.want(k.do(Admin, "PATCH", path, `{}`, "Content-Type", typeMerge), 200, nil)
		if after, _ := get(); !reflect.DeepEqual(after, before) {
			t.Errorf("a patch of nothing makes %v of %v", after, before)
		}
		_, tag := get()
		k.want(k.do(Admin, "PATCH", path, `{"code":"`+code+`"}`, "If-Match", tag), 200, nil)
		k.refused(k.do(Admin, "PATCH", path, `{"nope":1}`), 422, "/nope", "field.unknown")
		k.refused(k.do(Admin, "PATCH", path, `{"revision":1}`), 422, "/revision", "field.unknown")
		k.refused(k.do(Admin, "PATCH", path, `{"code":"y"}`), 422, "/code", "field.address")
		k.refused(k.do(Admin, "PATCH", path, `[]`), 422, "", "field.type")
		k.want(k.do(Admin, "PATCH", path, `{}`, "If-Match", `"999"`), 412, nil)
		k.want(k.do(Admin, "PATCH", path, `{}`, "If-Match", `"9223372036854775807"`), 412, nil)
		k.want(k.do(Viewer, "PATCH", path, `{}`), 403, nil)
		k.want(k.do(Admin, "PATCH", m[1]+"/nl-BE", `{}`), 404, nil)
		if strings.Contains(sample, `"labels":{`) {
			k.want(k.do(Admin, "PATCH", path, `{"labels":{"de-DE":"Neu"}}`), 200, nil)
			before["labels"].(map[string]any)["de-DE"] = "Neu"
			if after, _ := get(); !reflect.DeepEqual(after, before) {
				t.Errorf("with a label more: %v, want %v", after, before)
			}
			k.want(k.do(Admin, "PATCH", path, `{"labels":{"en-GB":null}}`), 200, nil)
			delete(before["labels"].(map[string]any), "en-GB")
			if after, _ := get(); !reflect.DeepEqual(after, before) {
				t.Errorf("with a label less: %v, want %v", after, before)
			}
		}
	}
	for path := range samples {
		if !seen[path] {
			t.Errorf("%s cannot be patched", path)
		}
	}
	patched := func(path, body string, out any) {
		t.Helper()
		k.want(k.do(Admin, "PATCH", path, body), 200, nil)
		k.want(k.do(Viewer, "GET", path, nil), 200, out)
	}
	// What PUT keeps is sent only where it is named, secrets stay, and null takes one away.
	secrets := func() string {
		var sealed []byte
		if err := k.store.Pool().QueryRow(t.Context(), `select secrets from provider where code = 'x'`).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		return string(sealed)
	}
	var provider Provider
	old := secrets()
	patched("/v1/providers/x", `{"priority":4}`, &provider)
	if provider.Quota != 500 || provider.Priority != 4 || secrets() != old || !slices.Equal(provider.Secrets, []string{"key"}) {
		t.Errorf("%+v", provider)
	}
	k.refused(k.do(Admin, "PATCH", "/v1/providers/x", `{"quota":null}`), 422, "/quota", "field.null")
	k.refused(k.do(Admin, "PATCH", "/v1/providers/x", `{"config":{"key":null}}`), 422, "/config/key", "field.missing")
	k.refused(k.do(Admin, "PATCH", "/v1/providers/x", `{"config":{"url":"https://other.example"}}`), 422, "/config/key", "secret.again")
	var notifier Notifier
	patched("/v1/notifiers/x", `{"kinds":["auth"],"config":{"url":"https://ops.example/x"}}`, &notifier)
	if len(notifier.Kinds) != 1 || notifier.Kinds[0] != "auth" || !notifier.Enabled || len(notifier.Secrets) != 1 {
		t.Errorf("%+v", notifier)
	}
	var rendition Rendition
	patched("/v1/renditions/x", `{"height":20}`, &rendition)
	if rendition.Definition.Width != 10 || rendition.Definition.Height != 20 {
		t.Errorf("%+v", rendition)
	}
	k.refused(k.do(Admin, "PATCH", "/v1/renditions/x", `{"preset":"amazon"}`), 422, "/preset", "field.unknown")
	// What moves goes last, as by a PUT.
	k.resources(Admin, "/v1/categories:batch", `[{"code":"home"},{"code":"a","parent":"home"},{"code":"b","parent":"home"}]`)
	var category Category
	patched("/v1/categories/x", `{"parent":"home"}`, &category)
	if category.Parent != "home" || category.Position != 2 {
		t.Errorf("%+v", category)
	}
	patched("/v1/categories/x", `{"parent":null}`, &category)
	var list PriceListView
	patched("/v1/price-lists/x", `{"base":null}`, &list)
	if list.Base != "" || list.CustomerGroup != "B" {
		t.Errorf("%+v", list)
	}
	k.refused(k.do(Admin, "PATCH", "/v1/attributes/x", `{"type":null}`), 422, "/type", "field.missing")
	k.refused(k.do(Admin, "PATCH", "/v1/families/x", `{"attributes":[{"code":"none"}]}`), 422, "/attributes/0/code", "attribute.unknown")
}

// Those who patch one definition at once lose nothing of one another's.
func TestPatchesLoseNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	locales := []string{"de-DE", "en-GB", "fr-FR", "it-IT", "nl-NL", "sv-SE"}
	for _, path := range []string{"/v1/attributes/spare", "/v1/price-lists/sale"} {
		var wg sync.WaitGroup
		answers := make([]reply, len(locales))
		for i, l := range locales {
			wg.Go(func() { answers[i] = k.do(Editor, "PATCH", path, `{"labels":{"`+l+`":"x"}}`) })
		}
		wg.Wait()
		for _, a := range answers {
			k.want(a, 200, nil)
		}
		var v struct{ Labels map[string]string }
		if r := k.want(k.do(Viewer, "GET", path, nil), 200, nil); json.Unmarshal(r.body, &v) != nil || len(v.Labels) != len(locales) {
			t.Errorf("%s: %s", path, r.body)
		}
	}
}

// Definitions that are in use are refused to be deleted, with who uses them; others
// go, and nothing can be written in them afterwards.
func TestDeleteLocaleCurrencyAndPriceList(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.channel("shop", "http://127.0.0.1:1"), 201, nil)
	k.want(k.do(Editor, "PUT", "/v1/products/P", `{"family":"shoe","values":{"name":{"de-DE":"Schuh"}}}`), 201, nil)
	k.want(k.do(Editor, "POST", "/v1/prices:batch", `[{"sku":"P","price_list":"sale","currency":"GBP","amount":"5"}]`), 200, nil)
	for path, used := range map[string]string{
		"/v1/locales/en-GB": "used.channel", "/v1/currencies/EUR": "used.channel", "/v1/price-lists/default": "used.house",
		"/v1/locales/de-DE": "used.product", "/v1/currencies/GBP": "used.product", "/v1/price-lists/sale": "used.product",
	} {
		k.refused(k.do(Editor, "DELETE", path, nil), 409, "", used)
		k.want(k.do(Viewer, "DELETE", path, nil), 403, nil)
	}
	_, got := k.resources(Editor, "/v1/price-lists:batch", `[{"code":"sale","delete":true}]`)
	if got != "sale:rejected:0 /0=used.product" {
		t.Error(got)
	}
	k.want(k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"name":null}}`), 200, nil)
	k.want(k.do(Editor, "POST", "/v1/prices:batch", `[{"sku":"P","price_list":"sale","currency":"GBP","delete":true}]`), 200, nil)
	k.want(k.do(Editor, "PUT", "/v1/attributes/spare", `{"type":"text","labels":{"de-DE":"Rest"}}`), 200, nil)
	k.want(k.do(Editor, "DELETE", "/v1/price-lists/sale", nil, "If-Match", `"9"`), 412, nil)
	k.want(k.do(Editor, "DELETE", "/v1/locales/de-DE", nil, "If-Match", `"9"`), 412, nil)
	for _, path := range []string{"/v1/locales/de-DE", "/v1/currencies/GBP", "/v1/price-lists/sale"} {
		tag := k.want(k.do(Viewer, "GET", path, nil), 200, nil).Header.Get("ETag")
		k.want(k.do(Editor, "DELETE", path, nil, "If-Match", tag), 204, nil)
		k.want(k.do(Viewer, "GET", path, nil), 404, nil)
		k.want(k.do(Editor, "DELETE", path, nil), 404, nil)
	}
	k.refused(k.do(Editor, "PATCH", "/v1/products/P", `{"values":{"name":{"de-DE":"Schuh"}}}`), 422, "/values/name/de-DE", "locale.unknown")
	var a BatchAnswer
	k.want(k.do(Editor, "POST", "/v1/prices:batch", `[{"sku":"P","price_list":"sale","currency":"EUR","amount":"5"},{"sku":"P","currency":"GBP","amount":"5"}]`), 200, &a)
	if a.Rejected != 2 || a.Results[0].Problems[0].Code != "price_list.unknown" || a.Results[1].Problems[0].Code != "currency.unknown" {
		t.Errorf("%+v", a)
	}
	k.refused(k.do(ChannelManager, "PATCH", "/v1/channels/shop", `{"currency":"GBP"}`), 422, "/currency", "currency.unknown")
	// Labels stay, and keep nobody from anything.
	if r := k.want(k.do(Editor, "PATCH", "/v1/attributes/spare", `{"labels":{"en-GB":"Spare"}}`), 200, nil); !strings.Contains(string(r.body), `"de-DE":"Rest"`) {
		t.Errorf("%s", r.body)
	}
}

// Whatever has a revision is deleted at the one that is asked for, and at no other.
func TestDeletionsAtARevision(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	for _, o := range operations(k.s.api.OpenAPI()) {
		m := memberPath.FindStringSubmatch(o.Path)
		if m == nil || o.Method != http.MethodDelete || m[1] == "/v1/currencies" {
			continue // a currency is but its code
		}
		path := m[1] + "/x"
		switch sample := samples[m[1]]; {
		case m[1] == "/v1/channels":
			k.want(k.channel("x", "https://shop.example"), 201, nil)
		case m[1] == "/v1/assets":
			k.want(k.sends(Editor, "POST", m[1], "x.jpg", photo(t, 6, 4, 0), "code", "x"), 201, nil)
		case sample == "":
			t.Errorf("%s has no sample", o.OperationID)
			continue
		default:
			if m[1] == "/v1/locales" {
				path = m[1] + "/de-AT"
			}
			k.resources(Admin, m[1]+":batch", `[{"code":"`+strings.TrimPrefix(path, m[1]+"/")+`",`+strings.TrimPrefix(strings.Replace(sample, `,"labels":null`, "", 1), "{")+"]")
		}
		tag := k.want(k.do(Viewer, "GET", path, nil), 200, nil).Header.Get("ETag")
		k.want(k.do(Admin, "DELETE", path, nil, "If-Match", `"999"`), 412, nil)
		k.want(k.do(Admin, "DELETE", path, nil, "If-Match", `"9223372036854775807"`), 412, nil)
		k.want(k.do(Viewer, "GET", path, nil), 200, nil)
		k.want(k.do(Admin, "DELETE", path, nil, "If-Match", tag), 204, nil)
		k.want(k.do(Viewer, "GET", path, nil), 404, nil)
		k.want(k.do(Admin, "DELETE", path, nil, "If-Match", tag), 412, nil)
		k.want(k.do(Admin, "DELETE", path, nil), 404, nil)
	}
}
