//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/migrations"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// connectMay is how long a first connection to the database may take.
const connectMay = 10 * time.Second

// databaseURL is DATABASE_URL, checked. Its errors never quote it, for it
// holds a password.
func databaseURL() (string, error) {
	dsn := os.Getenv("DATABASE_URL")
	if dsn == "" {
		return "", errors.New("DATABASE_URL is not set: it names the database, for example postgres://sluice:secret@localhost/sluice " +
			"(beside a running demo: the field dsn of demo.json in its data folder)")
	}
	if _, err := pgx.ParseConfig(dsn); err != nil {
		return "", errors.New("DATABASE_URL is no address of a database such as postgres://sluice:secret@localhost/sluice")
	}
	return dsn, nil
}

// reach checks that the database answers. pgx names host, user and database in
// its errors, and no password.
func reach(ctx context.Context, dsn string) error {
	bounded, cancel := context.WithTimeout(ctx, connectMay)
	defer cancel()
	conn, err := pgx.Connect(bounded, dsn)
	if err == nil {
		err = conn.Close(bounded)
	}
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("the database that DATABASE_URL names cannot be reached: %w", err)
	}
	return err
}

// openStore opens the store of a database that is migrated already.
func openStore(ctx context.Context, o postgres.Options) (*postgres.Store, error) {
	dsn, err := databaseURL()
	if err != nil {
		return nil, err
	}
	if err := reach(ctx, dsn); err != nil {
		return nil, err
	}
	if err := migrations.Check(ctx, dsn); err != nil {
		return nil, err
	}
	return postgres.Open(ctx, dsn, o)
}

// few are the connections of a command that does one thing.
var few = postgres.Options{EditConns: 2, WorkConns: 2}

// keyset is the flag of commands that seal or open channels' secrets.
type keyset struct {
	Keyset string `env:"SLUICE_KEYSET" placeholder:"FILE" help:"File with the keys that seal the channels' secrets."`
}

// open opens an existing keyset.
func (k keyset) open() (*seal.Keyset, error) {
	if k.Keyset == "" {
		return nil, errors.New("SLUICE_KEYSET is not set: it names the file with the keys that seal the channels' secrets " +
			"(beside a running demo: the field keyset of demo.json in its data folder)")
	}
	return seal.Open(k.Keyset)
}

// create opens the keyset, or makes one where there is none. It makes none for
// a database that has one: what that sealed would never open again.
func (k keyset) create(ctx context.Context, dsn string) (*seal.Keyset, error) {
	keys, err := k.open()
	if !errors.Is(err, os.ErrNotExist) {
		return keys, err
	}
	store, err := postgres.Open(ctx, dsn, few)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	check, err := store.KeysetCheck(ctx)
	if err != nil {
		return nil, err
	}
	if check != nil {
		return nil, fmt.Errorf("there is no keyset file %s, but this database's secrets are sealed with one: put that file in its place", k.Keyset)
	}
	if err := os.MkdirAll(filepath.Dir(k.Keyset), 0o700); err != nil {
		return nil, fmt.Errorf("make the keyset's folder: %w", err)
	}
	return seal.OpenOrCreate(k.Keyset)
}
