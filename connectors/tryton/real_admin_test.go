//go:build real

package tryton_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluicehub/sluice/connectors/connectortest"
)

// realTryton is a real server and its administrator.
type realTryton struct {
	t       *testing.T
	url     string
	db      string
	session string
	company int64
	words   map[string]any
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func openReal(t *testing.T) *realTryton {
	t.Helper()
	r := &realTryton{t: t, url: os.Getenv("TRYTON_URL"), db: env("TRYTON_DATABASE", "tryton")}
	if r.url == "" {
		t.Fatal("TRYTON_URL is not set: the address of a real Tryton")
	}
	user := env("TRYTON_USER", "admin")
	var session []any
	r.rpc("common.db.login", &session, user, map[string]string{"password": os.Getenv("TRYTON_PASSWORD")}, "en")
	r.session = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%v:%v", user, session[0], session[1]))
	var preferences struct{ Company *int64 }
	r.rpc("model.res.user.get_preferences", &preferences, true, map[string]any{})
	if preferences.Company == nil {
		t.Fatal("the database has no company, or the administrator has none")
	}
	r.company = *preferences.Company
	r.words = map[string]any{"company": r.company, "language": "en"}
	return r
}

// rpc makes a call that must succeed.
func (r *realTryton) rpc(method string, result any, params ...any) {
	r.t.Helper()
	answered, failed := r.say(method, params)
	if failed != nil {
		r.t.Fatalf("%s: %s", method, failed)
	}
	if result != nil {
		if err := json.Unmarshal(answered, result); err != nil {
			r.t.Fatalf("%s: %v: %s", method, err, answered)
		}
	}
}

// refused makes a call that must not succeed, and gives its error.
func (r *realTryton) refused(method string, params ...any) string {
	r.t.Helper()
	_, failed := r.say(method, params)
	return string(failed)
}

// say makes a call and gives its result or its error.
func (r *realTryton) say(method string, params []any) (result, failed json.RawMessage) {
	r.t.Helper()
	body, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": params})
	if err != nil {
		r.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, strings.TrimRight(r.url, "/")+"/"+r.db+"/", bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if r.session != "" {
		req.Header.Set("Authorization", "Session "+r.session)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		r.t.Fatal(err)
	}
	var answer struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal(raw, &answer); err != nil {
		r.t.Fatalf("%s: %d %s", method, resp.StatusCode, raw)
	}
	return answer.Result, answer.Error
}

// model calls a model's method with the administrator's context.
func (r *realTryton) model(method string, result any, params ...any) {
	r.t.Helper()
	r.rpc("model."+method, result, append(params, r.words)...)
}

// first is the id of the first record that fits.
func (r *realTryton) first(model string, domain ...any) int64 {
	r.t.Helper()
	var ids []int64
	r.model(model+".search", &ids, domain, 0, 1, nil)
	if len(ids) == 0 {
		r.t.Fatalf("%s: nothing fits %v", model, domain)
	}
	return ids[0]
}

// groups are those that docs/connectors/tryton.md tells people to give the user.
var groups = []string{"Product Administration", "Stock"}

// ours makes a user with the documented rights, or gives it the password anew,
// which ends its sessions.
func (r *realTryton) ours(login, secret string) {
	r.t.Helper()
	var ids []int64
	r.model("res.user.search", &ids, []any{[]any{"login", "=", login}}, 0, 1, nil)
	if len(ids) > 0 {
		r.model("res.user.write", nil, ids, map[string]any{"password": secret})
		return
	}
	var member []int64
	r.model("res.group.search", &member, []any{[]any{"name", "in", groups}}, 0, 100, nil)
	r.model("res.user.create", nil, []any{map[string]any{
		"name": login, "login": login, "password": secret, "company": r.company,
		"companies": []any{[]any{"add", []int64{r.company}}}, "groups": []any{[]any{"add", member}},
	}})
}

func decimalOf(amount string) any { return map[string]any{"__class__": "Decimal", "decimal": amount} }

// record writes one exchange of each kind, without secrets and with short lists.
func record(t *testing.T, file string, exchanges []connectortest.Exchange, login, secret string) {
	t.Helper()
	best := map[string]recorded{}
	for _, e := range exchanges {
		r := recordedOf(e)
		if !strings.Contains(e.Header.Get("Content-Type"), "json") {
			continue
		}
		if list, ok := r.Answer["result"].([]any); ok && len(list) > 2 {
			r.Answer["result"] = list[:2]
		}
		if r.Request["method"] == "common.db.login" && r.Answer["result"] != nil {
			r.Answer["result"].([]any)[1] = "a session's key"
		}
		if held, ok := best[r.kind()]; !ok || len(fmt.Sprint(held.Answer)) < len(fmt.Sprint(r.Answer)) && len(fmt.Sprint(r.Answer)) < 4000 {
			best[r.kind()] = r
		}
	}
	kept := slices.Collect(maps.Values(best))
	slices.SortFunc(kept, func(a, b recorded) int { return strings.Compare(a.kind(), b.kind()) })
	raw, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(secret, "a password", login, "sluice").Replace(string(raw))
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
