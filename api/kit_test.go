package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/connectors/notify"
	providers "github.com/sluicehub/sluice/connectors/translation/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/dbtest"
	"github.com/sluicehub/sluice/pim/seal"
)

// kit is an API on a database of its own, with a key per role.
type kit struct {
	t     testing.TB
	store *postgres.Store
	s     *server
	url   string
	keys  map[Role]string
	log   *lockedBuffer
	media *jobs.Media
	texts *jobs.Texts

	mu    sync.Mutex
	woken []postgres.Consumer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newKit(t testing.TB, more ...func(*Config)) *kit {
	t.Helper()
	return newKitOn(t, dbtest.New(t), more...)
}

func newKitOn(t testing.TB, dsn string, more ...func(*Config)) *kit {
	t.Helper()
	return newKitWith(t, dsn, postgres.Options{}, more...)
}

func newKitWith(t testing.TB, dsn string, o postgres.Options, more ...func(*Config)) *kit {
	t.Helper()
	ctx := context.Background()
	store, err := postgres.Open(ctx, dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	keyset, err := seal.OpenOrCreate(filepath.Join(t.TempDir(), "keyset"))
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{t: t, store: store, keys: map[Role]string{}, log: &lockedBuffer{}}
	registry, metrics := all.Registry(), prometheus.NewRegistry()
	blobs, err := blob.OpenFolder(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blobs.Close() })
	if k.media, err = jobs.NewMedia(ctx, store, keyset, jobs.MediaConfig{Blobs: blobs, AllowPrivate: true, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewTextHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	k.texts = jobs.NewTexts(jobs.TextsConfig{Store: store, Registry: providers.Registry(), Keys: keyset, Log: logger, AllowPrivate: true, Version: "test"})
	c := Config{
		Notifiers: jobs.NewNotifiers(store, keyset, notify.Env{AllowPrivate: true, Version: "test"}),
		Store:     store, Channels: jobs.NewChannels(store, registry, keyset, connectors.Env{AllowPrivate: true}), Registry: registry, Media: k.media, Texts: k.texts,
		Log: logger, Metrics: metrics, Registerer: metrics,
		Version: "test", TempDir: t.TempDir(), Wake: func(cs ...postgres.Consumer) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.woken = append(k.woken, cs...)
		},
	}
	for _, f := range more {
		f(&c)
	}
	if k.s, err = build(c); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(k.s.handler())
	t.Cleanup(srv.Close)
	k.url = srv.URL
	for _, r := range Roles {
		secret, hash := NewKey()
		if _, err := store.CreateKey(ctx, string(r)+" key", string(r), hash); err != nil {
			t.Fatal(err)
		}
		k.keys[r] = secret
	}
	return k
}

// seed adds a small schema: what the tests' products are made of.
func (k *kit) seed() *kit {
	k.t.Helper()
	_, err := k.store.ChangeSchema(context.Background(), postgres.SchemaChange{
		Locales: []pim.Locale{"en-GB", "de-DE"}, Currencies: []pim.Currency{"EUR", "GBP"}, Locations: []string{"berlin"}, PriceLists: []string{"sale"},
		Attributes: []pim.Attribute{
			{Code: "name", Type: pim.TypeText, Localizable: true, MaxLength: 20},
			{Code: "gtin", Type: pim.TypeText, Check: pim.CheckGTIN},
			{Code: "strict_gtin", Type: pim.TypeText, Check: pim.CheckGTIN, Strict: true},
			{Code: "weight", Type: pim.TypeNumber, Unit: "kg"},
			{Code: "count", Type: pim.TypeNumber},
			{Code: "color", Type: pim.TypeOption, Options: []pim.Option{{Code: "red"}, {Code: "blue"}}},
			{Code: "spare", Type: pim.TypeText},
		},
		Families: []pim.Family{
			{
				Code: "shoe", Attributes: []pim.FamilyAttribute{{Code: "name"}, {Code: "gtin"}, {Code: "strict_gtin"}, {Code: "weight"}, {Code: "count"}, {Code: "color"}},
				Variants: []pim.FamilyVariant{{Code: "by_color", Axes: []string{"color"}}},
			},
		},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return k
}

// reply is an answer that was read to its end.
type reply struct {
	*http.Response
	body []byte
}

// do sends a request as role ("" for no key). headers are name, value pairs;
// a body that is not a string, []byte or io.Reader goes as JSON.
func (k *kit) do(role Role, method, path string, body any, headers ...string) reply {
	k.t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	case []byte:
		r = bytes.NewReader(b)
	case io.Reader:
		r = b
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			k.t.Fatal(err)
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, k.url+path, r)
	if err != nil {
		k.t.Fatal(err)
	}
	if r != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if role != "" {
		req.Header.Set("Authorization", "Bearer "+k.keys[role])
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatalf("%s %s: read the answer: %v", method, path, err)
	}
	return reply{resp, raw}
}

// want fails unless the status is code, and decodes the body into out.
func (k *kit) want(r reply, code int, out any) reply {
	k.t.Helper()
	if r.StatusCode != code {
		k.t.Fatalf("%s %s: %d, want %d: %s\nlog: %s", r.Request.Method, r.Request.URL.Path, r.StatusCode, code, r.body, k.log)
	}
	if code >= 400 && r.Header.Get("Content-Type") != typeProblem {
		k.t.Fatalf("%s %s: a %d of type %q", r.Request.Method, r.Request.URL.Path, code, r.Header.Get("Content-Type"))
	}
	if out != nil {
		if err := json.Unmarshal(r.body, out); err != nil {
			k.t.Fatalf("%s %s: %v in %s", r.Request.Method, r.Request.URL.Path, err, r.body)
		}
	}
	return r
}

// refused fails unless the answer is a problem of the status with a fault of
// the code at place: a pointer, or a parameter's name.
func (k *kit) refused(r reply, status int, place, code string) {
	k.t.Helper()
	var p Problem
	k.want(r, status, &p)
	for _, f := range p.Errors {
		if f.Code == code && (f.Pointer != nil && *f.Pointer == place || f.Pointer == nil && f.Parameter == place) {
			return
		}
	}
	k.t.Fatalf("%s %s: no fault %s at %q in %s", r.Request.Method, r.Request.URL.Path, code, place, r.body)
}

// count counts rows: what is not stored cannot be seen otherwise.
func (k *kit) count(table string) (n int) {
	k.t.Helper()
	if err := k.store.Pool().QueryRow(context.Background(), "select count(*) from "+table).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}
