// Package node puts Sluice's parts together in one process: the store, the
// API, the workers. `serve` and `demo` run one; what a process is to do comes
// in Options, for configuration is read elsewhere.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/connectors/notify"
	translationall "github.com/sluicehub/sluice/connectors/translation/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// Options say what a Node is. DSN, Keys and Log must be set.
type Options struct {
	DSN          string // of a migrated database
	Keys         *seal.Keyset
	Log          *slog.Logger
	Listener     net.Listener // of the API; nil: this process serves none
	Watched      bool         // the listener serves no API, only what watches the process: health and metrics
	Work         bool         // fan out, drain and import
	AllowPrivate bool         // channels created or reconfigured here may dial loopback and private addresses
	Version      string

	Blobs  blob.Store   // assets and renditions; nil: there are none here. It is closed with the node
	Engine media.Engine // makes renditions; nil: the built-in one
	Mail   notify.Mail  // what notifiers use that name no mail server of their own
	Public string       // where targets reach the API: URLs of files begin with it. "": as the processes before, else where the first listens
}

// Node is one running process of Sluice.
type Node struct {
	Store    *postgres.Store
	Channels *jobs.Channels
	Runner   *jobs.Runner
	Media    *jobs.Media // nil without Blobs
	Texts    *jobs.Texts

	Notifiers *jobs.Notifiers

	blobs  io.Closer
	server *http.Server // nil without a Listener
	failed chan error
	stop   sync.Once
	err    error
}

// Start opens the store and begins to serve and to work. ctx bounds the start
// only; Stop ends the node. The listener is closed with it, or here when the
// start goes wrong.
func Start(ctx context.Context, o Options) (_ *Node, err error) {
	n := &Node{failed: make(chan error, 1)}
	defer func() {
		if err == nil {
			return
		}
		if n.Store != nil {
			n.Store.Close()
		}
		if o.Listener != nil {
			err = errors.Join(err, ignoreClosed(o.Listener.Close()))
		}
		if o.Blobs != nil {
			err = errors.Join(err, o.Blobs.Close())
		}
	}()
	if n.Store, err = postgres.Open(ctx, o.DSN, postgres.Options{}); err != nil {
		return nil, err
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(o.Version))
	registry := all.Registry()
	n.Channels = jobs.NewChannels(n.Store, registry, o.Keys, connectors.Env{AllowPrivate: o.AllowPrivate, Version: o.Version})
	if err := n.Channels.BindKeyset(ctx); err != nil {
		return nil, err
	}
	if o.Blobs != nil {
		n.blobs = o.Blobs
		n.Media, err = jobs.NewMedia(ctx, n.Store, o.Keys, jobs.MediaConfig{
			Blobs: o.Blobs, Engine: o.Engine, Public: o.Public, Otherwise: address(o.Listener), AllowPrivate: o.AllowPrivate, Version: o.Version,
		})
		if err != nil {
			return nil, err
		}
		n.Channels.Shows(n.Media)
	}
	n.Texts = jobs.NewTexts(jobs.TextsConfig{
		Store: n.Store, Registry: translationall.Registry(), Keys: o.Keys, Log: o.Log, AllowPrivate: o.AllowPrivate, Version: o.Version,
	})
	n.Notifiers = jobs.NewNotifiers(n.Store, o.Keys, notify.Env{AllowPrivate: o.AllowPrivate, Version: o.Version, Mail: o.Mail})
	n.Runner, err = jobs.New(jobs.Config{
		Store: n.Store, Channels: n.Channels, Importer: importing.New(n.Store, o.Log, metrics), Media: n.Media, Texts: n.Texts, Notifiers: n.Notifiers,
		Log: o.Log, Metrics: metrics, Holder: Holder(), Work: o.Work,
	})
	if err != nil {
		return nil, err
	}
	var handler http.Handler
	if o.Listener != nil {
		handler, err = api.New(api.Config{
			Store: n.Store, Channels: n.Channels, Registry: registry, Media: n.Media, Texts: n.Texts, Notifiers: n.Notifiers, Log: o.Log, Wake: n.Runner.Wake,
			Metrics: metrics, Registerer: metrics, Version: o.Version,
		})
		if err != nil {
			return nil, err
		}
		if o.Watched {
			handler = watched(handler)
		}
	}
	if err := n.Runner.Start(ctx); err != nil {
		return nil, err
	}
	if handler != nil {
		n.server = api.Server(o.Listener.Addr().String(), handler)
		n.server.ErrorLog = slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)
		go func() {
			if err := n.server.Serve(o.Listener); !errors.Is(err, http.ErrServerClosed) {
				n.failed <- fmt.Errorf("serve the API: %w", err)
			}
		}()
	}
	return n, nil
}

// address is where l listens; "" of none.
func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return "http://" + l.Addr().String()
}

// watched serves only what says how the process fares.
func watched(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.Handle("GET "+path, api)
	}
	return mux
}

// Failed yields the error of an API that ended by itself.
func (n *Node) Failed() <-chan error { return n.failed }

// requestsMay is how long requests under way may take once Stop is called.
const requestsMay = 5 * time.Second

// Stop ends the node in good order: requests under way are answered, calls to
// targets finished. When ctx ends first they are cut off, which loses nothing:
// another process, or the next start, takes over. Stopping again is nil.
func (n *Node) Stop(ctx context.Context) error {
	n.stop.Do(func() {
		if n.server != nil {
			hurry, cancel := context.WithTimeout(ctx, requestsMay)
			defer cancel()
			if err := n.server.Shutdown(hurry); err != nil {
				n.err = errors.Join(n.err, ignoreDeadline(err), n.server.Close())
			}
		}
		n.err = errors.Join(n.err, ignoreDeadline(n.Runner.Stop(ctx)))
		n.Store.Close()
		if n.blobs != nil {
			n.err = errors.Join(n.err, n.blobs.Close())
		}
	})
	return n.err
}

// Holder names this process among the holders of leases, for people and
// without a chance of being taken for another one.
func Holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6])
}

func buildInfo(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_build_info", Help: "1, labelled with the binary's version.", ConstLabels: prometheus.Labels{"version": version},
	})
	g.Set(1)
	return g
}

// ignoreDeadline drops the error of what was cut off: that is what Stop
// promises, and no fault.
func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
