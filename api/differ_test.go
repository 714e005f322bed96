package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// differs asks for what is at another revision, and gives what the refusal says of it.
func (k *kit) differs(method, path, body string) (told string) {
	k.t.Helper()
	var p Problem
	r := k.hide(k.want(k.do(Admin, method, path, body, "If-Match", `"999"`), 412, &p))
	if p.Revision == 0 || r.Header.Get("ETag") != etag(p.Revision) || p.Changes != nil {
		k.t.Errorf("%s %s: %s", method, path, r.body)
	}
	for i, d := range p.Differs {
		told += strings.Repeat(", ", min(i, 1)) + fmt.Sprint(d.Pointer, " ", d.Current)
	}
	return told
}

// A definition's 412 says what the request would have made another thing of: nothing
// where it says what stands there, in whatever words, and else just what differs.
func TestDifferences(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	tried := 0
	for _, o := range operations(k.s.api.OpenAPI()) {
		m := memberPath.FindStringSubmatch(o.Path)
		if m == nil || o.Method != http.MethodPut || m[1] == "/v1/currencies" || o.OperationID == "put-asset" {
			continue // a currency is but its code, and an asset's body is a file
		}
		sample, path := strings.Replace(samples[m[1]], `,"labels":null`, "", 1), m[1]+"/x"
		switch {
		case m[1] == "/v1/channels":
			sample = `{"connector":"webhook","locale":"en-GB","currency":"EUR","config":{"url":"https://shop.example","secret":"` + testSecret + `"}}`
		case sample == "":
			t.Errorf("%s has no sample here", o.OperationID)
			continue
		case m[1] == "/v1/locales":
			path = m[1] + "/de-AT"
		}
		if _, got := k.resources(Admin, m[1]+":batch", `[{"code":"`+strings.TrimPrefix(path, m[1]+"/")+`",`+sample[1:]+`]`); !strings.Contains(got, ":created:") {
			t.Fatal(got)
		}
		tried++
		for method, body := range map[string]string{"PUT": sample, "PATCH": sample} {
			if got := k.differs(method, path, body); got != "" {
				t.Errorf("%s %s of what stands there differs: %s", method, path, got)
			}
		}
		if got := k.differs("PATCH", path, `{}`); got != "" {
			t.Errorf("a patch of nothing at %s differs: %s", path, got)
		}
		if !strings.Contains(sample, `"labels":`) {
			continue
		}
		// Somebody else's label would go, by a PUT; a patch leaves it alone.
		k.want(k.do(Admin, "PATCH", path, `{"labels":{"de-DE":"Neu","nl/~NL":null}}`), 200, nil)
		if got := k.differs("PUT", path, sample); got != "/labels/de-DE Neu" {
			t.Errorf("PUT %s: %q", path, got)
		}
		if got := k.differs("PATCH", path, `{"labels":{"de-DE":"Alt"}}`); got != "/labels/de-DE Neu" {
			t.Errorf("PATCH %s: %q", path, got)
		}
		if got := k.differs("PATCH", path, `{"labels":{"fr-FR":"Nouveau"}}`); got != "/labels/fr-FR <nil>" {
			t.Errorf("PATCH %s: %q", path, got)
		}
	}
	if tried < 15 {
		t.Errorf("%d were tried", tried)
	}

	k.want(k.do(Admin, "PUT", "/v1/locations/shut", `{"enabled":false}`), 201, nil)
	k.want(k.do(Admin, "PUT", "/v1/attributes/whole", `{"type":"number","decimals":0}`), 201, nil)
	for _, c := range []struct{ method, path, body, want string }{
		{"PUT", "/v1/locations/shut", `{}`, "/enabled false"}, // it would be open again
		{"PATCH", "/v1/locations/shut", `{"enabled":null}`, "/enabled false"},
		{"PATCH", "/v1/locations/x", `{"enabled":true}`, ""},
		{"PUT", "/v1/attributes/whole", `{"type":"number"}`, "/decimals 0"},
		{"PUT", "/v1/attributes/x", `{"type":"option","options":[{"code":"s"},{"code":"l"}]}`, "/labels/de-DE Neu, /labels/en-GB Size, /options [map[code:s] map[code:m]]"},
		{"PATCH", "/v1/attributes/x", `{"options":[{"code":"s","labels":{}},{"code":"m"}],"max_length":0,"group":null}`, ""},
		{"PATCH", "/v1/attributes/x", `{"group":"texts"}`, "/group <nil>"},
		{"PUT", "/v1/price-rules/x", `{"price_list":"sale","percent":-10.0}`, ""},
		{"PUT", "/v1/price-rules/x", `{"price_list":"sale","percent":"-9"}`, "/percent -10"},
		{"PUT", "/v1/locations/x", ``, ""},
		{"PUT", "/v1/categories/x", `{"labels":{"en-GB":"Lamps","de-DE":"Neu"},"position":7}`, "/position 0"},
		{"PUT", "/v1/renditions/x", `{"width":10,"height":20}`, "/height <nil>"},
		{"PATCH", "/v1/renditions/x", `{"width":11}`, "/width 10"},
		{"PUT", "/v1/import-profiles/x", `{"options":{"currency":"GBP"}}`, "/options/currency EUR, /options/price_list sale"},
		// Secrets differ from nothing, and what PUT keeps does where it is said.
		{"PUT", "/v1/providers/x", `{"priority":3}`, "/priority 0"},
		{"PUT", "/v1/providers/x", `{"config":{"url":"https://other.example","key":"another"}}`, "/config/url https://translate.example"},
		{"PATCH", "/v1/notifiers/x", `{"config":{"secret":"` + otherSecret + `"}}`, ""},
		{"PATCH", "/v1/notifiers/x", `{"config":{"secret":null}}`, ""},
		{"PATCH", "/v1/channels/x", `{"config":{"secret":"` + otherSecret + `"},"batch":7}`, "/batch 100"},
		{"PUT", "/v1/channels/x", `{"locale":"de-DE","currency":"EUR","config":{"url":"https://shop.example"},"mapping_note":"x","enabled":false}`, "/enabled true, /locale en-GB"},
	} {
		if got := k.differs(c.method, c.path, c.body); got != c.want {
			t.Errorf("%s %s %s: %q, want %q", c.method, c.path, c.body, got, c.want)
		}
	}
	// A row of a batch says it, too; a deletion says the revision alone.
	a, got := k.resources(Admin, "/v1/price-lists:batch", `[{"code":"x","if_match":999,"labels":{"en-GB":"Trade","de-DE":"Neu"},"base":"sale"},{"code":"x","if_match":999,"delete":true}]`)
	if want := "x:rejected:2 /0=stale\nx:rejected:2 /1=stale"; got != want || len(a.Results[0].Differs) != 1 || a.Results[0].Differs[0] != (Difference{"/customer_group", "B"}) || a.Results[1].Differs != nil {
		t.Errorf("%s %+v", got, a.Results)
	}
	// Nor is there anything to be said of what is gone.
	for path, revision := range map[string]int64{"/v1/price-lists/x": 2, "/v1/price-lists/none": 0} {
		method := map[bool]string{true: "DELETE", false: "PUT"}[revision > 0]
		var p Problem
		if k.want(k.do(Admin, method, path, nil, "If-Match", `"999"`), 412, &p); p.Differs != nil || p.Revision != revision {
			t.Errorf("%+v", p)
		}
	}
}
