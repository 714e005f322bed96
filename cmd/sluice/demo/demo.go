//go:build unix

// Package demo is `sluice demo`: all of Sluice on one machine, with six
// channels on fake targets and a catalogue of our own. What lives here is what
// only the demo needs: its data folder, its targets, its catalogue, its
// progress and its words. The parts that it runs are node's.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/connectors/tryton/trytontest"
	"github.com/sluicehub/sluice/migrations"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/localpg"
	"github.com/sluicehub/sluice/pim/seal"
)

// DefaultListen is where the API listens when nothing else is asked for.
const DefaultListen = "127.0.0.1:8080"

// MaxProducts is the largest demo catalogue.
const MaxProducts = 1_000_000

// Options say how the demo runs.
type Options struct {
	DataDir  string // made when absent
	Listen   string // "" is DefaultListen, or a free port when that is taken
	Products int    // in the catalogue, 1 to MaxProducts
	// ExitAfterPublish ends the demo when all of the catalogue is
	// acknowledged: nil when it is, else an error with the reason.
	ExitAfterPublish bool
	DSN              string                                      // of a server of the user's; "" starts a private one
	Reach            func(ctx context.Context, dsn string) error // checks that server
	Version          string
	Out              io.Writer // what people read
	Terminal         bool      // Out is one: the progress is a bar
	Log              *slog.Logger
}

// stopMay is how long each part may take to end.
const stopMay = 10 * time.Second

// Run runs the demo until ctx ends, which is its ordinary end and no error
// (but with ExitAfterPublish, where it comes before the catalogue is
// published). Whatever has been started is stopped when Run returns.
func Run(ctx context.Context, o Options) (err error) {
	h, err := openHouse(ctx, o.DataDir)
	if ctx.Err() != nil {
		if h != nil {
			h.close()
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer h.close()
	d := &demo{Options: o, house: h}
	defer func() { err = errors.Join(err, d.stop()) }()
	err = d.run(ctx)
	if ctx.Err() == nil {
		return err
	}
	// Whatever went wrong after the end was asked for went wrong because of it.
	if o.ExitAfterPublish && !d.published {
		return errors.New("stopped before everything was published; the next start goes on where this one ended")
	}
	return nil
}

type demo struct {
	Options
	house     *house
	pg        *localpg.Server // nil with a DSN of the user's
	node      *node.Node
	targets   []*target
	clerk     chan error // what the ERP's clerk ended with; nil before it began
	dismiss   context.CancelFunc
	url       string // of the API, without /v1
	published bool
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

func (d *demo) run(ctx context.Context) error {
	started := time.Now()
	keys, err := d.open(ctx)
	if err != nil {
		return err
	}
	listener, err := d.listen()
	if err != nil {
		return err
	}
	if err := d.startTargets(); err != nil { // before the workers, who would find them away
		return err
	}
	blobs, err := blob.OpenFolder(d.house.path("blobs"), blob.DefaultGrace)
	if err != nil {
		return err
	}
	d.node, err = node.Start(ctx, node.Options{
		DSN: d.DSN, Keys: keys, Log: d.Log, Listener: listener, Work: true, AllowPrivate: true, Version: d.Version,
		Blobs: blobs, Public: "http://" + listener.Addr().String(),
	})
	if err != nil {
		return err
	}
	fresh, err := d.ensureKeys(ctx)
	if err != nil {
		return err
	}
	erp := d.targets[len(d.targets)-1]
	if fresh { // another database than the one the folder has seen
		d.house.state.Catalogue = 0
	}
	if fresh || erp.lost { // the clerk reads from the beginning
		if err := ignoreMissing(os.Remove(d.house.path(clerkFile))); err != nil {
			return fmt.Errorf("begin the ERP anew: %w", err)
		}
	}
	if err := defineCatalogue(ctx, d.node.Store); err != nil {
		return err
	}
	if err := d.hang(ctx); err != nil {
		return err
	}
	if err := d.interpret(ctx); err != nil {
		return err
	}
	if err := d.ensureChannels(ctx); err != nil {
		return err
	}
	d.employ(erp.server.(*trytontest.Server))
	if err := d.fill(ctx, d.announce); err != nil {
		return err
	}
	if err := d.publish(ctx); err != nil {
		return err
	}
	d.published = true
	d.say("Everything is on all %d channels, %s after the start.", len(d.targets), time.Since(started).Round(100*time.Millisecond))
	if d.ExitAfterPublish {
		return nil
	}
	d.tell()
	return d.wait(ctx)
}

// open brings up the database and the keyset.
func (d *demo) open(ctx context.Context) (*seal.Keyset, error) {
	if d.DSN != "" && d.DSN == d.house.state.DSN {
		d.say("DATABASE_URL names the demo's own server.")
		d.DSN = ""
	}
	if d.DSN == "" {
		d.say("Starting a private PostgreSQL in %s …", d.house.dir)
		pg, err := localpg.Start(ctx, localpg.Options{DataDir: d.house.path("postgres"), Durable: true, Log: d.Log})
		if err != nil {
			return nil, err
		}
		d.pg, d.DSN = pg, pg.DSN()
		d.house.state.DSN = d.DSN
		if err := d.house.save(); err != nil {
			return nil, err
		}
	} else {
		d.say("Using the database that DATABASE_URL names.")
		if err := d.Reach(ctx, d.DSN); err != nil {
			return nil, err
		}
	}
	if err := migrations.Up(ctx, d.DSN, d.Log); err != nil {
		return nil, err
	}
	return seal.OpenOrCreate(d.house.path(keysetFile))
}

// listen opens the API's port: the one asked for, else the usual one, else the
// one of the last time, else any.
func (d *demo) listen() (net.Listener, error) {
	if d.Listen != "" {
		l, err := net.Listen("tcp", d.Listen)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w; name another address with --listen", d.Listen, err)
		}
		return d.listening(l)
	}
	l, err := net.Listen("tcp", DefaultListen)
	if err == nil {
		return d.listening(l)
	}
	if last := d.house.state.Listen; last != "" && last != DefaultListen {
		l, err = net.Listen("tcp", last)
	}
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	d.say("%s is taken, so the API is on %s.", DefaultListen, l.Addr())
	return d.listening(l)
}

func (d *demo) listening(l net.Listener) (net.Listener, error) {
	d.house.state.Listen = l.Addr().String()
	if err := d.house.save(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	d.url = "http://" + reachable(l.Addr())
	return l, nil
}

// reachable is an address that a program on this machine can call.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port)
}

// announcement is demo.json: what another program needs of a running demo.
type announcement struct {
	URL       string `json:"url"` // without /v1
	Key       string `json:"key"` // of the role admin
	ViewerKey string `json:"viewer_key"`
	DSN       string `json:"dsn"`
	PID       int    `json:"pid"`
	Keyset    string `json:"keyset"` // path
}

// announce writes demo.json.
func (d *demo) announce() error {
	text, err := json.MarshalIndent(announcement{
		URL: d.url, Key: d.house.state.AdminKey, ViewerKey: d.house.state.ViewerKey, DSN: d.DSN,
		PID: os.Getpid(), Keyset: d.house.path(keysetFile),
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := d.house.write(announcementFile, append(text, '\n')); err != nil {
		return err
	}
	d.greet()
	return nil
}

// wait returns when the end is asked for, or when a part has ended by itself.
func (d *demo) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		d.say("\nStopping. What is there stays in %s for the next start.", d.house.dir)
		return nil
	case err := <-d.node.Failed():
		return err
	case err := <-d.clerk:
		return err
	case <-d.pgDone():
		return d.pg.Err()
	}
}

// employ has the ERP's clerk work until stop.
func (d *demo) employ(erp *trytontest.Server) {
	ctx, dismiss := context.WithCancel(context.Background())
	d.clerk, d.dismiss = make(chan error, 1), dismiss
	c := &clerk{store: d.node.Store, erp: erp, house: d.house, log: d.Log}
	go func() {
		defer close(d.clerk)
		if err := c.run(ctx); err != nil {
			d.clerk <- err
		}
	}()
}

// pgDone is closed when the private server has ended; it never is without one.
func (d *demo) pgDone() <-chan struct{} {
	if d.pg == nil {
		return nil
	}
	return d.pg.Done()
}

// stop ends all that was started, the database last.
func (d *demo) stop() error {
	var err error
	within := func(what func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.Background(), stopMay)
		defer cancel()
		err = errors.Join(err, what(ctx))
	}
	if d.clerk != nil {
		d.dismiss()
		err = <-d.clerk // nil when it ended well, or said so before
	}
	for _, t := range d.targets {
		t.server.Up() // what hangs there would hold the workers up
	}
	if d.node != nil {
		within(d.node.Stop)
	}
	for _, t := range d.targets {
		err = errors.Join(err, t.server.Close())
	}
	if d.pg != nil {
		within(d.pg.Stop)
	}
	return err
}

// The names of the demo's API keys.
const (
	adminKey  = "demo admin"
	viewerKey = "demo viewer"
)

// ensureKeys sees to it that the demo's two API keys are in the database. fresh
// reports that no demo has ever run on it.
func (d *demo) ensureKeys(ctx context.Context) (fresh bool, err error) {
	keys, err := d.node.Store.Keys(ctx)
	if err != nil {
		return false, err
	}
	fresh = !slices.ContainsFunc(keys, func(k postgres.APIKey) bool { return k.Name == adminKey })
	s := &d.house.state
	if err := d.ensureKey(ctx, &s.AdminKey, adminKey, api.Admin); err != nil {
		return false, err
	}
	return fresh, d.ensureKey(ctx, &s.ViewerKey, viewerKey, api.Viewer)
}

// ensureKey keeps the folder's file ahead of the database: a key whose secret
// nobody knows would be of no use. A revoked key is replaced.
func (d *demo) ensureKey(ctx context.Context, secret *string, name string, role api.Role) error {
	if *secret != "" {
		_, err := d.node.Store.KeyByHash(ctx, api.HashKey(*secret))
		if !errors.Is(err, postgres.ErrNotFound) {
			return err
		}
	}
	var hash []byte
	*secret, hash = api.NewKey()
	if err := d.house.save(); err != nil {
		return err
	}
	_, err := d.node.Store.CreateKey(ctx, name, string(role), hash)
	return err
}
