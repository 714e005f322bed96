package ascode

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxAnswer bounds an answer of the API, in bytes.
const maxAnswer = 64 << 20

// Doer sends a request to the API; an *http.Client is one.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// NewClient is a Doer for a house elsewhere; timeout bounds one request. It follows
// no redirect: that would make a PUT, POST or DELETE a GET, whose answer says
// nothing of the change.
func NewClient(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// House is a house behind its API.
type House struct {
	api   Doer
	base  string // without a slash at its end
	key   string // "" where the API asks for none
	kinds map[*Kind]shape

	shapes map[*Kind]map[string]shaped // by name; nil: not read yet
}

// shape is what the API's description says of a kind.
type shape struct {
	fields                   []string // that PUT takes, without the code
	get, post, match, delete bool
}

// Open reads the description of the API at base. key is sent with each request.
func Open(ctx context.Context, api Doer, base, key string) (*House, error) {
	h := &House{api: api, base: strings.TrimRight(base, "/"), key: key, kinds: map[*Kind]shape{}, shapes: map[*Kind]map[string]shaped{}}
	var described struct {
		Paths      map[string]map[string]json.RawMessage `json:"paths"`
		Components struct {
			Schemas map[string]schema `json:"schemas"`
		} `json:"components"`
	}
	if _, err := h.ask(ctx, http.MethodGet, "/openapi.json", "", nil, &described); err != nil {
		return nil, err
	}
	for i := range Kinds {
		k := &Kinds[i]
		at, list := described.Paths["/v1/"+k.Plural+"/{code}"], described.Paths["/v1/"+k.Plural]
		if at["put"] == nil || list["get"] == nil {
			return nil, fmt.Errorf("the API at %s is of another version: it has no %s", h.base, k.Plural)
		}
		var put struct {
			Parameters []struct {
				Name string `json:"name"`
			} `json:"parameters"`
			Body struct {
				Content map[string]struct {
					Schema schema `json:"schema"`
				} `json:"content"`
			} `json:"requestBody"`
		}
		if err := json.Unmarshal(at["put"], &put); err != nil {
			return nil, fmt.Errorf("read the API's description of %s: %w", k.Plural, err)
		}
		s := shape{get: at["get"] != nil, post: list["post"] != nil, delete: at["delete"] != nil}
		for _, p := range put.Parameters {
			s.match = s.match || p.Name == "If-Match"
		}
		for _, content := range put.Body.Content {
			body := content.Schema
			if name, ok := strings.CutPrefix(body.Ref, "#/components/schemas/"); ok {
				body = described.Components.Schemas[name]
			}
			s.fields = slices.Sorted(maps.Keys(body.Properties))
		}
		s.fields = slices.DeleteFunc(s.fields, func(name string) bool { return name == memberCode || strings.HasPrefix(name, "$") })
		h.kinds[k] = s
	}
	return h, nil
}

type schema struct {
	Ref        string                     `json:"$ref"`
	Properties map[string]json.RawMessage `json:"properties"`
}

// resource is one as it stands.
type resource struct {
	fields  map[string]any // those that PUT takes
	secrets []string       // the names of those that are set
	etag    string
}

// find reads one resource; nil: there is none.
func (h *House) find(ctx context.Context, k *Kind, code string) (*resource, error) {
	if !h.kinds[k].get {
		codes, err := h.codes(ctx, k)
		if err != nil || !slices.Contains(codes, code) {
			return nil, err
		}
		return &resource{fields: map[string]any{}}, nil
	}
	var body map[string]any
	etag, err := h.ask(ctx, http.MethodGet, k.path(code), "", nil, &body)
	if r, ok := errors.AsType[*Refusal](err); ok && r.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &resource{fields: map[string]any{}, etag: etag}
	names, _ := body["secrets"].([]any)
	for _, n := range names {
		if name, ok := n.(string); ok {
			r.secrets = append(r.secrets, name)
		}
	}
	if k.view != "" {
		body, _ = body[k.view].(map[string]any)
	}
	for _, name := range h.kinds[k].fields {
		if v, ok := body[name]; ok {
			r.fields[name] = v
		}
	}
	return r, nil
}

// codes lists all of a kind.
func (h *House) codes(ctx context.Context, k *Kind) (codes []string, err error) {
	for cursor := ""; ; {
		path := "/v1/" + k.Plural
		if cursor != "" {
			path += "?cursor=" + url.QueryEscape(cursor)
		}
		var page struct {
			Items []struct {
				Code string `json:"code"`
			} `json:"items"`
			Next string `json:"next_cursor"`
		}
		if _, err := h.ask(ctx, http.MethodGet, path, "", nil, &page); err != nil {
			return nil, err
		}
		for _, i := range page.Items {
			codes = append(codes, i.Code)
		}
		if cursor = page.Next; cursor == "" {
			return codes, nil
		}
	}
}

func (k *Kind) path(code string) string { return "/v1/" + k.Plural + "/" + url.PathEscape(code) }

// make creates or replaces a resource, and gives the API's warnings. was is what it
// replaces, or nil.
func (h *House) make(ctx context.Context, k *Kind, code string, fields map[string]any, was *resource) (warnings []string, err error) {
	s := h.kinds[k]
	method, path, etag := http.MethodPut, k.path(code), ""
	if was == nil && s.post {
		method, path = http.MethodPost, "/v1/"+k.Plural
		fields = maps.Clone(fields)
		fields[memberCode] = code
	} else if was != nil && s.match {
		etag = was.etag
	}
	var body []byte
	if len(s.fields) > 0 {
		if body, err = json.Marshal(fields); err != nil {
			return nil, err
		}
	}
	var answer map[string]any
	if _, err := h.ask(ctx, method, path, etag, body, &answer); err != nil {
		return nil, err
	}
	list, _ := answer["warnings"].([]any)
	return warningsOf(list), nil
}

// Refusal is an answer of the API that is an error.
type Refusal struct {
	Status int
	Detail string
	Errors []struct {
		Pointer   string `json:"pointer"`
		Parameter string `json:"parameter"`
		Code      string `json:"code"`
		Detail    string `json:"detail"`
	}
}

func (r *Refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the API answers %d: %s", r.Status, r.Detail)
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "\n  %s%s: %s (%s)", e.Pointer, e.Parameter, e.Detail, e.Code)
	}
	return b.String()
}

// ask sends one request and reads the answer into out, numbers as json.Number. Its
// error is a *Refusal where the API answers with one.
func (h *House) ask(ctx context.Context, method, path, etag string, body []byte, out any) (tag string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, h.base+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if h.key != "" {
		req.Header.Set("Authorization", "Bearer "+h.key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if etag != "" {
		req.Header.Set("If-Match", etag)
	}
	resp, err := h.api.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // it was read as far as it matters
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return "", fmt.Errorf("read the API's answer to %s %s: %w", method, path, err)
	}
	if len(raw) > maxAnswer {
		return "", fmt.Errorf("the API's answer to %s %s is larger than %d MiB", method, path, maxAnswer>>20)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		r := &Refusal{Status: resp.StatusCode, Detail: http.StatusText(resp.StatusCode)}
		_ = json.Unmarshal(raw, r) // else a proxy's page: the status says enough
		r.Status = resp.StatusCode
		if to := resp.Header.Get("Location"); to != "" && resp.StatusCode < http.StatusBadRequest {
			r.Detail = fmt.Sprintf("%s %s is redirected to %s, and a redirect is not followed: give that address", method, h.base+path, to)
		}
		return "", r
	}
	// What a proxy answers itself, such as the page of a login, is no change made.
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if method != http.MethodGet && resp.StatusCode != http.StatusNoContent && (err != nil || media != "application/json") {
		return "", fmt.Errorf("what answers %s %s is not the API: it says %d, and no JSON", method, h.base+path, resp.StatusCode)
	}
	if out != nil && resp.StatusCode != http.StatusNoContent {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(out); err != nil {
			return "", fmt.Errorf("%s%s is no address of the API: %w", h.base, path, err)
		}
	}
	return resp.Header.Get("ETag"), nil
}

// Inside is a Doer of an API in the same process.
type Inside struct{ Handler http.Handler }

// Do implements Doer.
func (i Inside) Do(req *http.Request) (*http.Response, error) {
	w := &inside{header: http.Header{}, status: http.StatusOK}
	i.Handler.ServeHTTP(w, req)
	return &http.Response{StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body)}, nil
}

// inside keeps an answer.
type inside struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *inside) Header() http.Header         { return w.header }
func (w *inside) WriteHeader(status int)      { w.status = status }
func (w *inside) Write(b []byte) (int, error) { return w.body.Write(b) }
