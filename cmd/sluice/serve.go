//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/migrations"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/media"
)

type serveCmd struct {
	keyset
	Listen              string   `env:"SLUICE_LISTEN" placeholder:"HOST:PORT" help:"Where the API listens (127.0.0.1:8080); :8080 is every address of this machine. A process of workers alone listens only when this is given, and serves no more than /healthz, /readyz and /metrics."`
	Roles               []string `default:"api,worker" enum:"api,worker" env:"SLUICE_ROLES" help:"What this process does: api, worker, or both (${default})."`
	AllowPrivateTargets bool     `env:"SLUICE_ALLOW_PRIVATE_TARGETS" help:"Let channels that are created here, or whose config is changed here, send to loopback and private addresses; others keep what they have."`
	Blobs               string   `env:"SLUICE_BLOBS" placeholder:"URL" help:"Where files are kept: file:///folder, or s3://bucket/prefix?endpoint=… with SLUICE_S3_ACCESS_KEY and SLUICE_S3_SECRET_KEY. By default the folder blobs beside the keyset file. All processes need the same."`
	PublicURL           string   `env:"SLUICE_PUBLIC_URL" placeholder:"URL" help:"Where targets reach this API from outside: addresses of pictures begin with it. It is kept for all processes; by default it is where the first of them listened. Another one sends all pictures anew."`
	mailServer
	ImageEngine string `default:"go" enum:"go,vips" env:"SLUICE_IMAGE_ENGINE" help:"What makes renditions: go is built in, vips runs vipsthumbnail, which must be installed, and knows WebP, AVIF and colour profiles (${default}). All processes need the same."`
	Migrate     bool   `default:"true" negatable:"" env:"SLUICE_MIGRATE" help:"Migrate the database first; --no-migrate only checks it."`
}

const defaultListen = "127.0.0.1:8080"

// Help is the command's longer text.
func (serveCmd) Help() string {
	return `Any number of processes can serve one database: they share the work, and take over from each other. All of them need the same keyset file; ` +
		`where there is none yet, and nothing is sealed in the database, one is made. The first API key comes from: sluice key create NAME --role admin.`
}

// stopMay is how long a stopping process may finish what it has begun. An
// orchestrator that kills after 30 s, the usual time, leaves it that.
const stopMay = 25 * time.Second

// Run serves until it is told to stop.
func (s serveCmd) Run(ctx context.Context, log *slog.Logger) error {
	dsn, err := databaseURL()
	if err != nil {
		return err
	}
	if err := reach(ctx, dsn); err != nil {
		return err
	}
	if s.Migrate {
		err = migrations.Up(ctx, dsn, log)
	} else {
		err = migrations.Check(ctx, dsn)
	}
	if err != nil {
		return err
	}
	keys, err := s.create(ctx, dsn)
	if err != nil {
		return err
	}
	o := node.Options{
		DSN: dsn, Keys: keys, Log: log, Work: slices.Contains(s.Roles, "worker"), AllowPrivate: s.AllowPrivateTargets, Version: versionText(),
	}
	if o.Mail, err = s.mail(); err != nil {
		return err
	}
	o.Watched = !slices.Contains(s.Roles, "api")
	if address := s.Listen; address != "" || !o.Watched {
		if address == "" {
			address = defaultListen
		}
		if o.Listener, err = net.Listen("tcp", address); err != nil {
			return fmt.Errorf("listen on %s: %w", address, err)
		}
	}
	o.Public = s.PublicURL
	if err := s.media(ctx, &o); err != nil {
		if o.Listener != nil {
			err = errors.Join(err, o.Listener.Close())
		}
		return err
	}
	n, err := node.Start(ctx, o)
	if err != nil {
		return err
	}
	args := []any{"version", o.Version, "roles", s.Roles}
	if o.Listener != nil {
		args = append(args, "listen", o.Listener.Addr().String())
	}
	log.Info("serving", args...)
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case err = <-n.Failed():
	}
	bounded, cancel := context.WithTimeout(context.Background(), stopMay)
	defer cancel()
	if stopped := n.Stop(bounded); err == nil {
		err = stopped
	}
	return err
}

// media opens what assets and renditions need.
func (s serveCmd) media(ctx context.Context, o *node.Options) error {
	if u, err := url.Parse(o.Public); o.Public != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "") {
		return errors.New("SLUICE_PUBLIC_URL is not a URL such as https://pim.example.com")
	}
	address := s.Blobs
	if address == "" {
		address = "file:" + filepath.Join(filepath.Dir(s.Keyset), "blobs")
	}
	c, err := blob.Parse(address, os.Getenv)
	if err != nil {
		return fmt.Errorf("SLUICE_BLOBS: %w", err)
	}
	if o.Blobs, err = c.Open(); err != nil {
		return fmt.Errorf("open %s: %w", c, err)
	}
	if err := o.Blobs.Check(ctx); err != nil {
		return fmt.Errorf("use %s: %w", c, err)
	}
	if s.ImageEngine == "vips" {
		o.Engine, err = media.NewVips(ctx, media.DefaultLimits(), "")
	}
	return err
}

type migrateCmd struct {
	Check bool `help:"Change nothing; status 1 when the database is behind or ahead of this version."`
}

// Run migrates, or checks.
func (m migrateCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	dsn, err := databaseURL()
	if err != nil {
		return err
	}
	if err := reach(ctx, dsn); err != nil {
		return err
	}
	if m.Check {
		err = migrations.Check(ctx, dsn)
	} else {
		err = migrations.Up(ctx, dsn, log)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, "The database is up to date.")
	return err
}
