// Package api is Sluice's HTTP API: huma operations on the standard mux, all
// under /v1 but the few that need no key. It turns requests into calls of the
// store and of jobs, and their errors into RFC 9457 problems. It holds no SQL
// and knows no connector by name.
//
// Request bodies are read by pim.DecodeJSON, not by encoding/json: duplicate
// keys, lone surrogates, U+0000 and numbers that would lose digits are refused
// with their place instead of being mended in silence. huma reads parameters,
// writes answers and describes both; api/openapi.yaml is what it says.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// apiVersion is the version of the interface, not of the binary.
const apiVersion = "1.0.0"

// Bounds of request bodies, in bytes.
const (
	maxEdit   = 1 << 20
	maxBatch  = 4 << 20
	maxHook   = 1 << 20
	maxUpload = 2 << 30 // Config.MaxUpload's default
)

// Config is what New needs. Store, Channels, Registry and Log must be set.
type Config struct {
	Store    *postgres.Store
	Channels *jobs.Channels
	Registry *connectors.Registry
	Log      *slog.Logger
	// Media keeps the assets; nil: what needs it answers 503.
	Media *jobs.Media
	// Texts keeps providers, rules and what they make; nil: what needs it answers 503.
	Texts *jobs.Texts
	// Notifiers are told of alerts; nil: what needs them answers 503.
	Notifiers *jobs.Notifiers
	// Wake is told of consumers that have work; nil leaves it to the sweeper.
	Wake func(...postgres.Consumer)
	// Ready says what keeps this process from serving, e.g. migrations that
	// are missing; nil asks only whether the database answers.
	Ready func(context.Context) error
	// Metrics is where /metrics reads; nil serves none.
	Metrics prometheus.Gatherer
	// Registerer takes the API's own metrics; nil: they are not kept.
	Registerer prometheus.Registerer
	Version    string // of the binary
	MaxUpload  int64  // bytes of one import; 0 is 2 GiB
	TempDir    string // where an upload waits until it is whole; "" is the system's
	// Actor, where it is not empty, makes every request one of an admin of that name,
	// without a key: for a program that calls the handler itself, and never for one
	// that listens.
	Actor string
}

// server is the API over its Config.
type server struct {
	Config
	api     huma.API
	mux     *http.ServeMux
	keys    *keyring
	metrics *metrics
	ready   readiness
	intake  chan struct{}     // holds one for each file that is being looked at
	sending chan struct{}     // and for each that is being sent
	exports chan struct{}     // and for each export
	singles map[string]single // operations that batches run, by method and path
	openapi []byte            // the description as JSON
}

// New builds the API. The error is of a Config that lacks something, or of
// metrics that are registered already.
func New(c Config) (http.Handler, error) {
	s, err := build(c)
	if err != nil {
		return nil, err
	}
	return s.handler(), nil
}

// build registers every operation, and checks that each has its roles.
func build(c Config) (*server, error) {
	if c.Store == nil || c.Channels == nil || c.Registry == nil || c.Log == nil {
		return nil, errors.New("the API needs a store, channels, connectors and a logger")
	}
	if c.Wake == nil {
		c.Wake = func(...postgres.Consumer) {}
	}
	if c.Ready == nil {
		c.Ready = c.Store.Ping
	}
	if c.MaxUpload == 0 {
		c.MaxUpload = maxUpload
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of the API: %w", err)
	}
	s := &server{
		Config: c, keys: newKeyring(c.Store), metrics: m, mux: http.NewServeMux(),
		intake: make(chan struct{}, maxIntake), sending: make(chan struct{}, maxSending), exports: make(chan struct{}, exportsMost),
		singles: map[string]single{},
	}
	tameHuma()
	s.api = huma.NewAPI(description(), humago.NewAdapter(s.mux, ""))
	s.api.UseMiddleware(s.admit)
	s.register()
	polish(s.api.OpenAPI())
	if err := checkRoles(s.api.OpenAPI()); err != nil {
		return nil, err
	}
	if s.openapi, err = s.api.OpenAPI().MarshalJSON(); err != nil {
		return nil, fmt.Errorf("write the API's description: %w", err)
	}
	return s, nil
}

// register adds every operation.
func (s *server) register() {
	s.registerHouse()
	s.registerSchema()
	s.registerCategories()
	s.registerGroups()
	s.registerEntities()
	s.registerRecords()
	s.registerAssociationTypes()
	s.registerProducts()
	s.registerProductBatch()
	s.registerExport()
	s.registerRevisions()
	s.registerOffers()
	s.registerOfferLists()
	s.registerPublication()
	s.registerChannels()
	s.registerReconcile()
	s.registerMappings()
	s.registerListings()
	s.registerExchanges()
	s.registerExplain()
	s.registerReadiness()
	s.registerHooks()
	s.registerImports()
	s.registerAssets()
	s.registerRenditions()
	s.registerFiles()
	s.registerTasks()
	s.registerProviders()
	s.registerAlerts()
	s.registerTextRules()
	s.registerPriceRules()
	s.registerLocations()
	s.registerPriceHolds()
	s.registerGlossary()
	s.registerTexts()
	s.registerKeys()
	s.registerBatches() // of all that was registered before
	s.registerPatches()
}

// tameHuma replaces huma's process-wide makers of errors: its own would put
// the text of any error into a 500.
var tameHuma = sync.OnceFunc(func() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return fromHuma(status, msg, errs)
	}
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return fromHuma(status, msg, errs)
	}
	huma.DefaultArrayNullable = false
})

// description is the head of the OpenAPI document. huma's own pages are off:
// its viewer is fetched from elsewhere.
func description() huma.Config {
	c := huma.DefaultConfig("Sluice", apiVersion)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.RejectUnknownQueryParameters = true
	c.Info.Description = "One product store, many sales channels. Keys travel as `Authorization: Bearer slk_…`; " +
		"problems are RFC 9457 documents whose `errors` name each fault by a JSON pointer into the request's body, or by the parameter."
	// A problem of the store is the same thing to clients, always in the body.
	c.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[pim.Problem](), reflect.TypeFor[Fault]())
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "An API key, slk_…"},
	}
	c.Security = []map[string][]string{{"key": {}}}
	return c
}

// Server is an http.Server with the time limits that a public port needs.
// Uploads lift those on bodies for themselves.
func Server(addr string, h http.Handler) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.Background() },
	}
}
