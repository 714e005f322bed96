//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/migrations"
)

type serveCmd struct {
	keyset
	Listen              string   `env:"SLUICE_LISTEN" placeholder:"HOST:PORT" help:"Where the API listens (127.0.0.1:8080); :8080 is every address of this machine. A process of workers alone listens only when this is given, and serves no more than /healthz, /readyz and /metrics."`
	Roles               []string `default:"api,worker" enum:"api,worker" env:"SLUICE_ROLES" help:"What this process does: api, worker, or both (${default})."`
	AllowPrivateTargets bool     `env:"SLUICE_ALLOW_PRIVATE_TARGETS" help:"Let channels that are created here, or whose config is changed here, send to loopback and private addresses; others keep what they have."`
	Migrate             bool     `default:"true" negatable:"" env:"SLUICE_MIGRATE" help:"Migrate the database first; --no-migrate only checks it."`
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
	o.Watched = !slices.Contains(s.Roles, "api")
	if address := s.Listen; address != "" || !o.Watched {
		if address == "" {
			address = defaultListen
		}
		if o.Listener, err = net.Listen("tcp", address); err != nil {
			return fmt.Errorf("listen on %s: %w", address, err)
		}
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
