//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/term"

	"github.com/sluicehub/sluice/cmd/sluice/demo"
)

type demoCmd struct {
	DataDir          string `default:".data/demo" env:"SLUICE_DATA_DIR" type:"path" placeholder:"DIR" help:"Folder of the demo's database, keys and fake targets; made when absent. ${default} below the working directory by default."`
	Listen           string `placeholder:"HOST:PORT" help:"Where the API listens. By default 127.0.0.1:8080, or another port when that is taken."`
	Products         int    `default:"500" help:"Products in the demo catalogue, variants included (${default})."`
	ExitAfterPublish bool   `help:"End when the whole catalogue is acknowledged on all channels: with status 0, or with another one and the reason."`
}

// Help is the command's longer text.
func (demoCmd) Help() string {
	return `Without DATABASE_URL, a private PostgreSQL server is started from the programs on this machine, with its data in the data folder. ` +
		`The file demo.json in the data folder tells other programs where the API and the database are, and the keys. ` +
		`Ctrl-C stops everything; the next start finds its data again.`
}

// Validate is called by kong.
func (d demoCmd) Validate() error {
	if d.Products < 1 || d.Products > demo.MaxProducts {
		return fmt.Errorf("--products is from 1 to %d", demo.MaxProducts)
	}
	return nil
}

// Run runs the demo until it is interrupted.
func (d demoCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	dsn := ""
	if os.Getenv("DATABASE_URL") != "" {
		var err error
		if dsn, err = databaseURL(); err != nil {
			return err
		}
	}
	return demo.Run(ctx, demo.Options{
		DataDir: d.DataDir, Listen: d.Listen, Products: d.Products, ExitAfterPublish: d.ExitAfterPublish, DSN: dsn, Reach: reach,
		Version: versionText(), Out: c.out, Terminal: isTerminal(c.out), Log: log,
	})
}

// isTerminal reports whether people look at w directly.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
