package ascode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
	answer func(w http.ResponseWriter, r *http.Request) bool
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
		}}}}})
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
		s.kept[r.URL.Path] = body
		say(200, body)
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
