package api

import (
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/translation/deepl/deepltest"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A provider's secrets go in and never come back; its settings have versions.
func TestProviders(t *testing.T) {
	t.Parallel()
	k := newKit(t).seedTexts()
	k.deepl("main")
	var p Provider
	r := k.want(k.do(Viewer, "GET", "/v1/providers/main", nil), 200, &p)
	if r.Header.Get("ETag") != `"1"` || len(p.Secrets) != 1 || p.Secrets[0] != "key" || !p.Enabled || !p.AllowPrivate || p.Test || p.Status.State != "ok" || strings.Contains(string(r.body), "s3cret") {
		t.Errorf("provider %s", r.body)
	}
	k.want(k.do(ChannelManager, "POST", "/v1/providers/main/test", nil), 200, nil)
	k.want(k.do(Editor, "POST", "/v1/providers/main/test", nil), 403, nil)

	k.want(k.do(ChannelManager, "PUT", "/v1/providers/main", `{"quota":5}`, "If-Match", `"7"`), 412, nil)
	k.want(k.do(ChannelManager, "PUT", "/v1/providers/main", `{"quota":5,"priority":-1,"limits":{"texts":3},"enabled":false}`, "If-Match", `"1"`), 200, &p)
	if p.Version != 2 || p.Quota != 5 || p.Priority != -1 || p.Limits.Texts != 3 || p.Enabled || p.Status.State != "off" || len(p.Secrets) != 1 {
		t.Errorf("changed: %+v", p)
	}
	k.want(k.do(ChannelManager, "PUT", "/v1/providers/main", `{"enabled":true}`, "If-Match", "*"), 200, &p)
	if p.Quota != 5 || !p.Enabled {
		t.Errorf("what was left out did not stay: %+v", p)
	}
	k.refused(k.do(ChannelManager, "PUT", "/v1/providers/main", `{"config":{"url":"http://127.0.0.1:1"}}`), 422, "/config/key", "secret.again")
	k.want(k.do(ChannelManager, "PUT", "/v1/providers/main", `{"budget":"12.50"}`), 200, &p)
	if p.Budget != "12.50" || p.Currency != "EUR" {
		t.Errorf("its budget: %+v", p)
	}
	k.refused(k.do(ChannelManager, "PUT", "/v1/providers/main", `{"budget":"-1"}`), 422, "/budget", "budget")
	k.refused(k.do(ChannelManager, "PUT", "/v1/providers/main", `{"kind":"pseudo"}`), 422, "/kind", "kind.fixed")
	k.refused(k.do(ChannelManager, "PUT", "/v1/providers/main", `{"code":"x"}`), 422, "/code", "field.address")
	k.want(k.do(ChannelManager, "PUT", "/v1/providers/none", `{}`), 404, nil)
	for body, want := range map[string][2]string{
		`{"code":"x"}`: {"/kind", "field.missing"}, `{"kind":"pseudo"}`: {"/code", "field.missing"}, `{"code":"x","kind":"fax"}`: {"/kind", "kind.unknown"},
		`{"code":"x","kind":"deepl"}`: {"/config/key", "field.missing"}, `{"code":"x","kind":"pseudo","quota":-1}`: {"/quota", "limit"},
		`{"code":"x","kind":"pseudo","budget":"1"}`:          {"/budget", "budget.price"},
		`{"code":"x","kind":"pseudo","limits":{"bytes":-1}}`: {"/limits/bytes", "limit"}, `{"code":"person","kind":"pseudo"}`: {"/code", "code"},
		`{"code":"x","kind":"pseudo","y":1}`: {"/y", "field.unknown"}, `[]`: {"", "field.type"},
	} {
		k.refused(k.do(Admin, "POST", "/v1/providers", body), 422, want[0], want[1])
	}
	k.want(k.do(Admin, "POST", "/v1/providers", `{"code":"main","kind":"pseudo"}`), 409, nil)

	// A service that is not there is no failure of ours, and its own count is
	// told apart from ours.
	fake := deepltest.New("another", 10)
	srv := httptest.NewServer(fake)
	k.want(k.do(Admin, "POST", "/v1/providers", map[string]any{"code": "away", "kind": "deepl", "config": map[string]any{"url": srv.URL, "key": "s3cret-key"}}), 201, nil)
	var u ProviderUsage
	for _, code := range []string{"service.auth", "service.unavailable"} {
		if r := k.want(k.do(Admin, "POST", "/v1/providers/away/test", nil), 502, nil); !strings.Contains(string(r.body), code) || strings.Contains(string(r.body), "s3cret") {
			t.Errorf("%s: %s", code, r.body)
		}
		if k.want(k.do(Viewer, "GET", "/v1/providers/away/usage", nil), 200, &u); u.Service != nil || u.ServiceError == "" || u.Costs == nil {
			t.Errorf("%s: usage %+v", code, u)
		}
		srv.Close()
	}
	k.want(k.do(ChannelManager, "POST", "/v1/providers/away/resume", nil), 200, nil)
	k.want(k.do(ChannelManager, "POST", "/v1/providers/none/resume", nil), 404, nil)

	k.want(k.do(Admin, "PUT", "/v1/text-rules/german", strings.Replace(german, `"from"`, `"providers":["away"],"from"`, 1)), 201, nil)
	k.want(k.do(ChannelManager, "DELETE", "/v1/providers/away", nil), 409, nil)
	k.want(k.do(ChannelManager, "DELETE", "/v1/providers/main", nil), 204, nil)
	k.want(k.do(Viewer, "GET", "/v1/providers/main/usage", nil), 404, nil)
	var list page[Provider]
	if k.want(k.do(Viewer, "GET", "/v1/providers", nil), 200, &list); len(list.Items) != 1 {
		t.Errorf("list %+v", list)
	}
	if n := k.count("provider where secrets::text like '%s3cret%' or config::text like '%s3cret%'"); n != 0 {
		t.Error("a secret is stored in the clear")
	}
}

func TestProviderKinds(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var list page[ProviderKind]
	k.want(k.do(Viewer, "GET", "/v1/provider-kinds", nil), 200, &list)
	if len(list.Items) != len(k.texts.Registry().Kinds()) {
		t.Fatalf("kinds %+v", list)
	}
	for _, kind := range list.Items {
		switch kind.Name {
		case "pseudo":
			if !kind.Test {
				t.Error("pseudo is no test")
			}
		case "deepl":
			if kind.Test || len(kind.Powers) != 2 || kind.Limits.Texts != 50 || !strings.Contains(string(kind.ConfigSchema), `"writeOnly":true`) {
				t.Errorf("deepl: %+v", kind)
			}
		}
	}
}

func TestTextRules(t *testing.T) {
	t.Parallel()
	k := newKit(t).seedTexts()
	var v TextRuleView
	r := k.want(k.do(Editor, "PUT", "/v1/text-rules/german", german), 201, &v)
	if r.Header.Get("ETag") != `"1"` || v.Code != "german" || len(v.Attributes) != 2 {
		t.Errorf("made %s", r.body)
	}
	if r = k.want(k.do(Editor, "PUT", "/v1/text-rules/german", german), 200, &v); v.Revision != 1 {
		t.Errorf("the same again: %s", r.body)
	}
	k.want(k.do(Editor, "PUT", "/v1/text-rules/german", strings.Replace(german, "name", "pitch", 1), "If-Match", `"2"`), 412, nil)
	k.want(k.do(Editor, "PUT", "/v1/text-rules/german", strings.Replace(german, "name", "pitch", 1), "If-Match", `"1"`), 200, &v)
	if v.Revision != 2 {
		t.Errorf("changed: %+v", v)
	}
	k.want(k.do(Editor, "PUT", "/v1/text-rules/other", german, "If-Match", "*"), 412, nil)
	for body, want := range map[string][2]string{
		`{}`: {"/action", "field.missing"}, `{"action":"translate"}`: {"/to", "field.missing"}, `{"action":"sing","from":"en-GB","to":["de-DE"]}`: {"/action", "action"},
		`{"action":"translate","to":["de-DE"]}`: {"/from", "from.missing"}, `{"action":"translate","from":"en-GB","to":["fr-FR"]}`: {"/to/0", "locale.unknown"},
		`{"action":"translate","from":"en-GB","to":["de-DE"],"providers":["none"]}`: {"/providers/0", "provider.unknown"},
		`{"action":"generate","to":["de-DE"],"attributes":["pitch"]}`:               {"/template", "template.missing"},
		`{"action":"translate","from":"en-GB","to":["de-DE"],"rev":1}`:              {"/rev", "field.unknown"},
	} {
		k.refused(k.do(Editor, "PUT", "/v1/text-rules/x", body), 422, want[0], want[1])
	}
	k.want(k.do(Integration, "PUT", "/v1/text-rules/x", german), 403, nil)
	var list page[TextRuleView]
	if k.want(k.do(Viewer, "GET", "/v1/text-rules", nil), 200, &list); len(list.Items) != 1 || list.Items[0].Revision != 2 {
		t.Errorf("list %+v", list)
	}
	k.want(k.do(Editor, "DELETE", "/v1/text-rules/german", nil), 204, nil)
	k.want(k.do(Editor, "DELETE", "/v1/text-rules/german", nil), 404, nil)
	k.want(k.do(Viewer, "GET", "/v1/text-rules/german", nil), 404, nil)
}

// The glossary goes out as CSV and comes back the same; a row that is not right
// is told with its column.
func TestGlossary(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	var e GlossaryEntry
	k.want(k.do(Editor, "POST", "/v1/glossary", `{"from":"en","to":"de","kind":"fixed","term":"=kettle","translation":"Wasserkocher","match_case":true}`), 200, &e)
	first := e.ID
	e = GlossaryEntry{}
	if k.want(k.do(Editor, "POST", "/v1/glossary", `{"from":"en","to":"de","kind":"fixed","term":"=kettle","translation":"Kessel"}`), 200, &e); e.ID != first || e.MatchCase {
		t.Errorf("replaced: %+v", e)
	}
	for body, want := range map[string][2]string{
		`{"kind":"fixed","term":"x"}`: {"/translation", "term.missing"}, `{"kind":"keep"}`: {"/term", "field.missing"}, `{"kind":"keep","term":"x","translation":"y"}`: {"/translation", "term.extra"},
		`{"kind":"x","term":"x"}`: {"/kind", "kind"}, `{"kind":"keep","term":"x","from":"??"}`: {"/from", "locale"},
	} {
		k.refused(k.do(Editor, "POST", "/v1/glossary", body), 422, want[0], want[1])
	}
	file := "term;kind;from;to;translation;match_case;note\nSluice;;;;;;ours\nbowl;;en;de;Schale;TRUE\nbillig;forbidden;en;de;;\n;;;;;\nmug;fixed;en;de;;\ncup;keep;en;de;;maybe\ntea;keep;e n;de;;\n"
	var a FileAnswer
	k.want(k.do(Editor, "POST", "/v1/glossary.csv", file, "Content-Type", "text/csv"), 200, &a)
	told := ""
	for _, f := range a.Refused {
		told += string(rune('0'+f.Row)) + " " + f.Column + " " + f.Code + "; "
	}
	if want := "4 term term.missing; 5 translation term.missing; 6 match_case csv.boolean; 7 from locale; "; a.Rows != 7 || a.Stored != 3 || told != want {
		t.Errorf("%d of %d stored; told %q, want %q", a.Stored, a.Rows, told, want)
	}
	for query, n := range map[string]int{"": 4, "?q=KET": 1, "?q=schal": 1, "?from=en": 3, "?from=en&to=de&kind=fixed": 2, "?to=fr": 0} {
		var list page[GlossaryEntry]
		if k.want(k.do(Viewer, "GET", "/v1/glossary"+query, nil), 200, &list); len(list.Items) != n {
			t.Errorf("%q lists %d", query, len(list.Items))
		}
	}
	var list page[GlossaryEntry]
	if k.want(k.do(Viewer, "GET", "/v1/glossary?limit=3", nil), 200, &list); len(list.Items) != 3 || list.Next == "" {
		t.Errorf("a page: %+v", list)
	}
	out := k.want(k.do(Viewer, "GET", "/v1/glossary.csv", nil), 200, nil)
	if !strings.Contains(string(out.body), "en,de,fixed,'=kettle,Kessel,false\n") || !strings.Contains(string(out.body), ",,keep,Sluice,,false\n") {
		t.Errorf("as CSV: %s", out.body)
	}
	k.want(k.do(Editor, "DELETE", "/v1/glossary/"+strconv.FormatInt(first, 10), nil), 204, nil)
	k.want(k.do(Editor, "POST", "/v1/glossary.csv", out.body, "Content-Type", "text/csv; charset=utf-8"), 200, &a)
	if a.Stored != 4 || len(a.Refused) != 0 {
		t.Errorf("back again: %+v", a)
	}
	if again := k.want(k.do(Viewer, "GET", "/v1/glossary.csv?q=%3Dkettle", nil), 200, nil); !strings.HasSuffix(string(again.body), "en,de,fixed,'=kettle,Kessel,false\n") {
		t.Errorf("came back as %s", again.body)
	}
	k.want(k.do(Editor, "DELETE", "/v1/glossary/999", nil), 404, nil)
	k.want(k.do(Integration, "POST", "/v1/glossary", `{"kind":"keep","term":"x"}`), 403, nil)
	k.refused(k.do(Editor, "POST", "/v1/glossary.csv", "from,to\n", "Content-Type", "text/csv"), 422, "", "csv.column")
}

// What a service says of its pairs is shown, and a rule that asks for others is
// stored with a warning.
func TestPairs(t *testing.T) {
	t.Parallel()
	k := newKit(t).seedTexts()
	if _, err := k.store.ChangeSchema(t.Context(), postgres.SchemaChange{Locales: []pim.Locale{"en-GB", "de-DE", "es-ES", "gd-GB"}}); err != nil {
		t.Fatal(err)
	}
	rule := `{"action":"translate","from":"en-GB","to":["de-DE","gd-GB"]}`
	status := 201
	warned := func(want string) {
		t.Helper()
		var v TextRuleView
		k.want(k.do(Editor, "PUT", "/v1/text-rules/all", rule), status, &v)
		status = 200
		got := ""
		for _, w := range v.Warnings {
			got += w.Code + " " + w.Pointer + " "
		}
		if got != want {
			t.Errorf("warnings %q, want %q: %+v", got, want, v.Warnings)
		}
	}
	warned("provider.none /providers ")
	k.deepl("main")
	var p ProviderPairs
	k.want(k.do(Viewer, "GET", "/v1/providers/main/pairs", nil), 200, &p)
	at := slices.IndexFunc(p.Languages, func(l LanguagePair) bool { return l.From == "en" })
	if !p.Known || at < 0 || !slices.Contains(p.Languages[at].To, "de") || slices.Contains(p.Languages[at].To, "gd") {
		t.Errorf("%+v", p)
	}
	warned("pair.unknown /to/1 ")
	srv := httptest.NewServer(deepltest.New("another", 10))
	k.want(k.do(Admin, "POST", "/v1/providers", map[string]any{"code": "away", "kind": "deepl", "config": map[string]any{"url": srv.URL, "key": "s3cret-key"}}), 201, nil)
	srv.Close()
	k.want(k.do(Viewer, "GET", "/v1/providers/away/pairs", nil), 502, nil)
	warned("pair.unasked /providers ")
	k.want(k.do(Admin, "POST", "/v1/providers", map[string]any{"code": "chat", "kind": "openai", "config": map[string]any{"url": srv.URL, "model": "m"}}), 201, nil)
	if k.want(k.do(Viewer, "GET", "/v1/providers/chat/pairs", nil), 200, &p); p.Known {
		t.Errorf("%+v", p)
	}
	warned("")
	k.want(k.do(Viewer, "GET", "/v1/providers/none/pairs", nil), 404, nil)
}
