package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

const tagHouse = "house"

// Health says that the process runs, and which one.
type Health struct {
	Status  string `json:"status" enum:"ok,ready"`
	Version string `json:"version,omitempty" doc:"Of the binary"`
}

// registerHouse adds what needs no key.
func (s *server) registerHouse() {
	handle(s, op("healthz", http.MethodGet, "/healthz", tagHouse, "Whether the process runs", noKey),
		func(context.Context, *struct{}) (*answer[Health], error) {
			return &answer[Health]{Health{Status: "ok", Version: s.Version}}, nil
		})
	handle(s, op("readyz", http.MethodGet, "/readyz", tagHouse, "Whether it can serve: the database answers, and is migrated", noKey),
		func(ctx context.Context, _ *struct{}) (*answer[Health], error) {
			if err := s.ready.check(ctx, s.Ready); err != nil {
				s.logFailure(ctx, err)
				return nil, problem(http.StatusServiceUnavailable, "unavailable", "the database does not answer, or its schema is not the one that this version needs").
					with("Retry-After", "2")
			}
			return &answer[Health]{Health{Status: "ready"}}, nil
		})
	metrics := http.NotFoundHandler()
	if s.Metrics != nil {
		metrics = promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: scrapePatience})
	}
	s.serve("metrics", "/metrics", "Metrics for Prometheus", "text/plain", metrics)
	s.serve("openapi", "/openapi.json", "This description", "application/openapi+json", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(s.openapi) // the client may be gone
	}))
	docs := viewer()
	s.serve("docs", "/docs", "This description for people", "text/html", docs)
	// The viewer's own files; they are in the binary.
	s.mux.HandleFunc("GET /docs/", func(w http.ResponseWriter, r *http.Request) {
		callOf(r.Context()).op = "docs"
		docs.ServeHTTP(w, r)
	})
}

const (
	maxScrapes     = 4
	scrapePatience = 10 * time.Second
)

// serve adds an operation without key that a plain handler answers.
func (s *server) serve(id, path, summary, contentType string, h http.Handler) {
	o := op(id, http.MethodGet, path, tagHouse, summary, noKey)
	o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	handle(s, o, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			h.ServeHTTP(w, r)
		}}, nil
	})
}

// docsPolicy lets the viewer run its own scripts, and load nothing from
// anywhere else. Its page starts itself with an inline script.
const docsPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func viewer() http.Handler {
	h := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "Sluice", SwaggerJSON: "/openapi.json", BasePath: "/docs/", SettingsUI: map[string]string{"validatorUrl": "null"},
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// readiness remembers an answer for a moment: anybody may ask, and asking
// costs the database something.
type readiness struct {
	mu    sync.Mutex
	until time.Time
	err   error
}

const (
	readyFresh    = time.Second
	readyPatience = 2 * time.Second
)

func (r *readiness) check(ctx context.Context, ask func(context.Context) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until) {
		return r.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyPatience)
	defer cancel()
	r.err = ask(ctx)
	r.until = time.Now().Add(readyFresh)
	return r.err
}
