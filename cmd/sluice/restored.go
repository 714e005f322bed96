//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/sluicehub/sluice/pim/postgres"
)

type restoredCmd struct {
	Yes bool `help:"Do not ask. For scripts that restore and then call this, once."`
}

// Help is the command's longer text.
func (restoredCmd) Help() string {
	return `Targets have seen later revisions than a database that was restored from a backup knows, and refuse older ones, or take them for news. This raises all revisions ` +
		`above everything that can have been sent before, and sends every listing of every channel anew. Stop all processes, restore, run this once, and start them: ` +
		`docs/runbook.md, Restore from a backup. Running it again, or without need, harms nothing, and sends everything once more.`
}

// restoredWord is what people type to go on.
const restoredWord = "restored"

// Run raises the revision floor.
func (r restoredCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	channels, err := store.Channels(ctx)
	if err != nil {
		return err
	}
	channels = slices.DeleteFunc(channels, func(c *postgres.Channel) bool { return !c.HasConnector() })
	products, _, err := store.CountProducts(ctx)
	if err != nil {
		return err
	}
	server, err := store.ServerState(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "All revisions will rise above what was ever sent, and what was acknowledged will be forgotten: %d products are sent anew to %d channels.\n"+
		"What was changed since the backup was made is lost here; targets that have it are set back. Products that were created since stay at the targets.\n", products, len(channels))
	if server.Workers {
		fmt.Fprintln(c.out, "Processes are working on this database already. They stop what they have in hand, but what they have sent since the restore may have been older than what the targets held.")
	}
	if !r.Yes {
		fmt.Fprintf(c.out, "Type %q to go on: ", restoredWord)
		line, err := bufio.NewReader(c.in).ReadString('\n')
		if err != nil && line == "" {
			return errors.New("nothing was changed: there was no answer (--yes does not ask)")
		}
		if strings.TrimSpace(line) != restoredWord {
			return errors.New("nothing was changed")
		}
	}
	floor, err := store.Restored(ctx)
	if err != nil {
		return err
	}
	for _, ch := range channels {
		wake(ctx, log, store, ch.Code)
	}
	_, err = fmt.Fprintf(c.out, "Revisions begin above %d now. Every channel is sent everything, as soon as processes work on this database.\n", floor)
	return err
}
