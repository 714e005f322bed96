package ascode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// stand is as much of an API as what is hard to bring about at a real one needs: it
// keeps what PUT and POST bring. answer may take a request over.
type stand struct {
	mu     sync.Mutex
	kept   map[string]map[string]any // by address
	wrote  []map[string]any          // bodies of PUT and POST
	held   map[string]string         // by address: why it is not deleted
	answer func(w http.ResponseWriter, r *http.Request) bool
}

// channel keeps a channel as the API does: its secret is never shown, stays where
// it is left out, and is not sent to another address.
func (s *stand) channel(body, was map[string]any) (shown map[string]any, ok bool) {
	delete(body, "mapping_note")
	if body["batch"] == nil {
		body["batch"] = 100
	}
	config, is := body["config"].(map[string]any)
	if !is {
		return body, true
	}
	config = maps.Clone(config)
	body["config"] = config
	old, _ := was["config"].(map[string]any)
	set := was["secrets"] != nil
	secret, given := config["secret"]
	if set && !given && config["url"] != old["url"] {
		return nil, false
	}
	if delete(config, "secret"); secret != nil || set && !given {
		body["secrets"] = []any{"secret"}
	}
	if config["url"] == "http://127.0.0.1" {
		body["warnings"] = []any{"is a private address"}
	}
	return body, true
}

// standFields are the fields that PUT takes, of kinds that have others than labels.
var standFields = map[string][]string{
	"channel": {"connector", "config", "policy", "mapping_note", "batch"}, "provider": {"kind", "config", "quota"},
}

func (s *stand) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answer != nil && s.answer(w, r) {
		return
	}
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // to a recorder, or to nobody
	}
	switch r.URL.Path {
	case "/openapi.json":
		paths := map[string]any{}
		for _, k := range Kinds {
			fields := map[string]any{"labels": true}
			for _, name := range standFields[k.Name] {
				fields[name] = true
			}
			put := map[string]any{"requestBody": map[string]any{"content": map[string]any{"application/json": map[string]any{"schema": map[string]any{"properties": fields}}}}}
			paths["/v1/"+k.Plural] = map[string]any{"get": true}
			paths["/v1/"+k.Plural+"/{code}"] = map[string]any{"get": true, "put": put, "delete": true}
		}
		say(200, map[string]any{"paths": paths})
		return
	case "/v1/connectors", "/v1/provider-kinds", "/v1/notifier-kinds":
		say(200, map[string]any{"items": []any{map[string]any{"name": "webhook", "config_schema": map[string]any{"properties": map[string]any{
			"url": map[string]any{"type": "string"}, "secret": map[string]any{"type": "string", "writeOnly": true},
		}}, "lanes": []any{"content"}, "limits": map[string]any{"batch": 100}, "mapping": map[string]any{}}}})
		return
	}
	kept, ok := s.kept[r.URL.Path]
	switch {
	case r.Method == http.MethodPut:
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			say(400, map[string]any{"detail": err.Error()})
			return
		}
		s.wrote = append(s.wrote, body)
		shown, ok := s.channel(maps.Clone(body), kept)
		if !ok {
			say(422, map[string]any{"detail": "invalid", "errors": []any{map[string]any{"pointer": "/config/secret", "code": "secret.again"}}})
			return
		}
		s.kept[r.URL.Path] = shown
		say(200, shown)
	case r.Method == http.MethodDelete && len(s.held[r.URL.Path]) > 0:
		say(409, map[string]any{"detail": s.held[r.URL.Path]})
	case r.Method == http.MethodDelete:
		delete(s.kept, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	case strings.Count(r.URL.Path, "/") == 2:
		items := []any{}
		for at := range s.kept {
			if code, below := strings.CutPrefix(at, r.URL.Path+"/"); below {
				items = append(items, map[string]any{"code": code})
			}
		}
		say(200, map[string]any{"items": items})
	case !ok:
		say(404, map[string]any{"detail": "there is none"})
	default:
		say(200, kept)
	}
}

// open gives a house at a stand.
func (s *stand) open(t *testing.T) *House {
	t.Helper()
	if s.kept == nil {
		s.kept = map[string]map[string]any{}
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	h, err := Open(t.Context(), NewClient(time.Minute), server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func documents(t *testing.T, text string) []*Document {
	t.Helper()
	list, faults := parse("house.yaml", []byte(text))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return list
}

// apply compares and applies, and gives what was made.
func apply(ctx context.Context, h *House, o Options, list []*Document) (plan *Plan, made []string, err error) {
	if plan, err = h.Compare(ctx, list, o); err != nil {
		return plan, nil, err
	}
	err = h.Apply(ctx, plan, o, func(c Change) { made = append(made, fmt.Sprintf("%s %s %s", c.Action, c.Resource, c.Code)) })
	return plan, made, err
}

// A change that is redirected, or that something else than the API answers, was not
// made.
func TestOnlyTheAPIMakesChanges(t *testing.T) {
	t.Parallel()
	for want, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"/elsewhere, and a redirect is not followed": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusMovedPermanently)
		},
		"is not the API": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>please log in</html>")) },
	} {
		s := &stand{answer: func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == "/elsewhere":
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte("{}"))
			case r.Method == http.MethodGet:
				return false
			default:
				answer(w, r)
			}
			return true
		}}
		_, made, err := apply(t.Context(), s.open(t), Options{}, documents(t, "resource: family\ncode: f\nlabels: {en-GB: F}\n"))
		if err == nil || !strings.Contains(err.Error(), want) || len(made) > 0 {
			t.Errorf("%s: made %v, %v", want, made, err)
		}
		if r, ok := errors.AsType[*Refusal](err); strings.Contains(want, "redirect") && (!ok || r.Status != http.StatusMovedPermanently) {
			t.Errorf("%v", err)
		}
	}
}

// What is read from elsewhere is read within lists, too.
func TestSecretWithinAList(t *testing.T) {
	t.Setenv("ASCODE_HOST", "a.example")
	s := &stand{}
	h := s.open(t)
	list := documents(t, "resource: channel\ncode: c\nconfig: {hosts: [{from_env: ASCODE_HOST}, {name: {from_env: ASCODE_HOST}}, b]}\n")
	if _, _, err := apply(t.Context(), h, Options{}, list); err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(s.wrote); err != nil || string(b) != `[{"config":{"hosts":["a.example",{"name":"a.example"},"b"]}}]` {
		t.Errorf("%s %v", b, err)
	}
	if plan, err := h.Compare(t.Context(), list, Options{}); err != nil || len(plan.Changes) > 0 {
		t.Errorf("%+v %v", plan, err)
	}
}

// A link to the folder is the folder; one within it, whose documents would be
// missed, is told.
func TestLoadLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "other"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, name+".yaml"), []byte("resource: family\ncode: "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(filepath.Join(dir, to), filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	link("a", "link")
	link("other/other.yaml", "a/one.yaml")
	if list, err := Load(filepath.Join(dir, "link")); err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
	link("other", "a/more")
	if _, err := Load(filepath.Join(dir, "link")); err == nil || !strings.Contains(err.Error(), "more: is a symbolic link to a folder") {
		t.Error(err)
	}
}

// A secret in plain text is refused, and not repeated.
func TestSecretInPlainText(t *testing.T) {
	t.Parallel()
	s := &stand{}
	h := s.open(t)
	for _, text := range []string{"resource: channel\ncode: c\nconnector: webhook\nconfig: {secret: hidden}\n", "resource: provider\ncode: c\nkind: webhook\nconfig: {secret: hidden}\n", "resource: notifier\ncode: c\nkind: webhok\nconfig: {secret: hidden}\n"} {
		_, err := h.Compare(t.Context(), documents(t, text), Options{})
		if err == nil || !strings.Contains(err.Error(), "house.yaml:1: ") || !strings.Contains(err.Error(), "config.secret is a secret, and no file has one: write secret: {from_env: NAME}") || strings.Contains(err.Error(), "hidden") {
			t.Error(err)
		}
	}
	s.kept["/v1/channels/c"] = map[string]any{"config": map[string]any{}, "secrets": []any{"token"}}
	if _, err := h.Compare(t.Context(), documents(t, "resource: channel\ncode: c\nconfig: {token: hidden}\n"), Options{}); err == nil || !strings.Contains(err.Error(), "config.token is a secret") {
		t.Error(err)
	}
}

// What is read from elsewhere is named, never shown, and is compared where the API
// shows it. Where an address changes, its secret goes along.
func TestDrawnValues(t *testing.T) {
	t.Setenv("ASCODE_URL", "https://one.example")
	t.Setenv("ASCODE_SECRET", "hidden")
	s := &stand{}
	h := s.open(t)
	list := documents(t, "resource: channel\ncode: c\nconnector: webhook\nconfig: {url: {from_env: ASCODE_URL}, secret: {from_env: ASCODE_SECRET}}\n")
	if _, made, err := apply(t.Context(), h, Options{}, list); err != nil || len(made) != 1 {
		t.Fatal(made, err)
	}
	if plan, err := h.Compare(t.Context(), list, Options{}); err != nil || plan.Unchanged != 1 {
		t.Fatalf("%+v %v", plan, err)
	}
	t.Setenv("ASCODE_URL", "https://two.example")
	plan, made, err := apply(t.Context(), h, Options{}, list)
	if err != nil || len(made) != 1 {
		t.Fatal(made, err)
	}
	if b, err := json.Marshal(plan); err != nil || !strings.Contains(string(b), `"new":"(from ASCODE_URL)"`) || strings.Contains(string(b), "two.example") {
		t.Errorf("%s %v", b, err)
	}
	if b, err := json.Marshal(s.wrote[len(s.wrote)-1]); err != nil || !strings.Contains(string(b), `{"secret":"hidden","url":"https://two.example"}`) {
		t.Errorf("%s %v", b, err)
	}
	if b, err := json.Marshal(&Secret{File: "x"}); err != nil || string(b) != `"(from file x)"` {
		t.Errorf("%s %v", b, err)
	}
	// null takes the secret away, once.
	list = documents(t, "resource: channel\ncode: c\nconfig: {secret: null}\n")
	for _, want := range []int{1, 0} {
		if _, made, err := apply(t.Context(), h, Options{}, list); err != nil || len(made) != want {
			t.Errorf("%v %v, want %d", made, err, want)
		}
	}
	if s.kept["/v1/channels/c"]["secrets"] != nil {
		t.Errorf("%v", s.kept)
	}
}

// What stands so already is nothing to change, whatever stands for it.
func TestNothingToChange(t *testing.T) {
	t.Parallel()
	s := &stand{}
	h := s.open(t)
	list := documents(t, "resource: channel\ncode: c\nconnector: webhook\nconfig: {create: false, size: 0}\nbatch: null\nmapping_note: why\npolicy: {days: 0}\nlabels: {}\n")
	for _, want := range []int{1, 0} {
		if _, made, err := apply(t.Context(), h, Options{}, list); err != nil || len(made) != want {
			t.Errorf("%v %v, want %d", made, err, want)
		}
	}
	if b, err := json.Marshal(s.kept["/v1/channels/c"]["config"]); err != nil || string(b) != `{"create":false,"size":0}` {
		t.Errorf("%s %v", b, err)
	}
	// Written down, false is another thing than nothing, either way.
	for text, field := range map[string]string{"{more: false}": "config.more", "{create: null}": "config.create"} {
		if plan, err := h.Compare(t.Context(), documents(t, "resource: channel\ncode: c\nconfig: "+text+"\n"), Options{}); err != nil || len(plan.Changes) != 1 || plan.Changes[0].Differences[0].Field != field {
			t.Errorf("%s: %+v %v", text, plan, err)
		}
	}
	// What the house makes of it is what it was: told, and not counted.
	s.kept["/v1/families/f"] = map[string]any{"labels": "usual", "batch": 100}
	s.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"warnings":[{"pointer":"/labels","detail":"as usual"},"and so on"]}`))
		return true
	}
	plan, err := h.Compare(t.Context(), documents(t, "resource: family\ncode: f\nlabels: null\n"), Options{})
	if err != nil || len(plan.Changes) != 1 {
		t.Fatalf("%+v %v", plan, err)
	}
	var made []Change
	if err := h.Apply(t.Context(), plan, Options{}, func(c Change) { made = append(made, c) }); err != nil || len(made) != 1 || !made[0].Same ||
		!slices.Equal(made[0].Warnings, []string{"/labels: as usual", "and so on"}) {
		t.Errorf("%+v %v", made, err)
	}
	for _, text := range []string{"resource: channel\ncode: c\nenabled: null\n", "resource: provider\ncode: p\nquota: null\n"} {
		if _, err := h.Compare(t.Context(), documents(t, text), Options{}); err == nil || !strings.Contains(err.Error(), "cannot be null: the API keeps what it is not given") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What is not as the plan says is left as it is.
func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	const at = "/v1/families/f"
	was := map[string]any{"labels": map[string]any{"en-GB": "old", "fr-FR": "vieux"}}
	for name, meanwhile := range map[string]func(map[string]map[string]any){
		"another value": func(kept map[string]map[string]any) {
			kept[at] = map[string]any{"labels": map[string]any{"en-GB": "other", "fr-FR": "vieux"}}
		},
		"another field": func(kept map[string]map[string]any) {
			kept[at] = map[string]any{"labels": map[string]any{"en-GB": "old", "fr-FR": "autre"}}
		},
		"deleted": func(kept map[string]map[string]any) { delete(kept, at) },
		"created": func(kept map[string]map[string]any) { kept["/v1/families/g"] = was },
	} {
		s := &stand{kept: map[string]map[string]any{at: was}}
		h := s.open(t)
		plan, err := h.Compare(t.Context(), documents(t, "resource: family\ncode: f\nlabels: {en-GB: new, fr-FR: vieux}\n---\nresource: family\ncode: g\n"), Options{})
		if err != nil || len(plan.Changes) != 2 {
			t.Fatalf("%+v %v", plan, err)
		}
		meanwhile(s.kept)
		if name == "created" {
			plan.Changes = plan.Changes[1:]
		}
		if err := h.Apply(t.Context(), plan, Options{}, func(c Change) { t.Errorf("%s: made %s %s", name, c.Action, c.Code) }); !errors.Is(err, ErrMeanwhile) || len(s.wrote) > 0 {
			t.Errorf("%s: %v, wrote %v", name, err, s.wrote)
		}
	}
}

// What was changed since the plan was shown is not deleted, and what is deleted is
// what was looked at.
func TestPruneWhatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	const at = "/v1/families/b"
	labelled := func(s string) map[string]any { return map[string]any{"labels": map[string]any{"en-GB": s}} }
	for name, meanwhile := range map[string]func(map[string]map[string]any){
		"another value": func(kept map[string]map[string]any) { kept[at] = labelled("new") },
		"deleted":       func(kept map[string]map[string]any) { delete(kept, at) },
		"":              func(map[string]map[string]any) {},
	} {
		s := &stand{kept: map[string]map[string]any{at: labelled("old"), "/v1/families/a": {}}}
		matched := ""
		s.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if w.Header().Set("ETag", `"7"`); r.Method == http.MethodDelete {
				matched += r.Header.Get("If-Match")
			}
			return false
		}
		h := s.open(t)
		plan, err := h.Compare(t.Context(), documents(t, "resource: family\ncode: a\n"), Options{Prune: true})
		if err != nil || len(plan.Changes) != 1 {
			t.Fatalf("%+v %v", plan, err)
		}
		meanwhile(s.kept)
		err = h.Apply(t.Context(), plan, Options{}, func(Change) {})
		if name == "" && (err != nil || matched != `"7"` || s.kept[at] != nil) || name != "" && (!errors.Is(err, ErrMeanwhile) || matched != "") {
			t.Errorf("%q: %v, deleted at %q", name, err, matched)
		}
	}
}

// What is in use stays, and keeps nothing else from being deleted.
func TestPruneWhatIsInUse(t *testing.T) {
	t.Parallel()
	s := &stand{kept: map[string]map[string]any{}, held: map[string]string{"/v1/families/b": "others still refer to it"}}
	for _, code := range []string{"a", "b", "c", "d"} {
		s.kept["/v1/families/"+code] = map[string]any{}
	}
	_, made, err := apply(t.Context(), s.open(t), Options{Prune: true}, documents(t, "resource: family\ncode: a\n"))
	if err == nil || !strings.Contains(err.Error(), "delete family b: the API answers 409: others still refer to it") || len(made) != 2 || len(s.kept) != 2 {
		t.Errorf("%v, made %v, %v", err, made, s.kept)
	}
}

// A dump is of what there is now, and each secret has a variable of its own.
func TestDumpAnew(t *testing.T) {
	t.Parallel()
	s := &stand{kept: map[string]map[string]any{"/v1/families/f": {}}}
	for _, code := range []string{"a-b", "a_b"} {
		s.kept["/v1/channels/"+code] = map[string]any{"config": map[string]any{"create": false}, "secrets": []any{"secret"}}
	}
	h, dir := s.open(t), t.TempDir()
	if files, err := h.Dump(t.Context(), dir); err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	delete(s.kept, "/v1/families/f")
	if files, err := h.Dump(t.Context(), dir); err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "families.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "channels.yaml"))
	if text := string(b); err != nil || !strings.Contains(text, "from_env: SLUICE_CHANNEL_A_B_SECRET\n") || !strings.Contains(text, "from_env: SLUICE_CHANNEL_A_B_SECRET_2\n") || strings.Count(text, "create: false") != 2 {
		t.Errorf("%s %v", b, err)
	}
}
