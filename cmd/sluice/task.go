//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/pim/postgres"
)

type taskCmd struct {
	List    taskListCmd    `cmd:"" help:"List tasks that are still to be done, or were given up, oldest first."`
	Summary taskSummaryCmd `cmd:"" help:"Count tasks by kind and lot, with why a lot waits."`
	Retry   taskRetryCmd   `cmd:"" help:"Try tasks again at once: those that were given up, and those that wait after a failure."`
	Cancel  taskCancelCmd  `cmd:"" help:"Take tasks out of the queue."`
}

type taskListCmd struct {
	Kind  string `enum:",fetch,render,translate,generate" default:"" help:"Only fetch, render, translate or generate."`
	State string `enum:",waiting,due,failed,cancelled" default:"" help:"Only those that are waiting, due (could be worked off now), failed or cancelled."`
	Lot   string `help:"Only of this lot: a host, a pair of languages."`
	Limit int    `default:"1000" help:"List so many at most; 0 is all (${default})."`
	JSON  bool   `name:"json" help:"Print a JSON array."`
}

// Run lists the tasks.
func (l taskListCmd) Run(ctx context.Context, c console) error {
	header := []string{"TASK", "KIND", "LOT", "STATE", "ABOUT", "ATTEMPTS", "DUE", "REASON"}
	return list(ctx, c, l.JSON, header, l.views, func(t postgres.TaskItem) []string {
		return []string{
			strconv.FormatInt(t.ID, 10), t.Kind, t.Lot, string(t.State), aboutTask(t), strconv.Itoa(t.Attempts), t.DueAt.Local().Format(time.DateTime), dash(oneLine(t.Reason)),
		}
	})
}

func (l taskListCmd) views(ctx context.Context, store *postgres.Store) ([]postgres.TaskItem, error) {
	return pages(l.Limit, func(page postgres.Page) ([]postgres.TaskItem, string, error) {
		return store.Tasks(ctx, postgres.TaskFilter{Kind: l.Kind, Lot: l.Lot, State: postgres.TaskState(l.State)}, page)
	})
}

// aboutTask says what a task is about, in a cell.
func aboutTask(t postgres.TaskItem) string {
	switch {
	case t.SKU != "":
		return fmt.Sprintf("%s %s %s", t.SKU, t.Attribute, t.Locale)
	case t.Rendition != "":
		return fmt.Sprintf("%s of %s", t.Rendition, dash(t.Asset))
	case t.Asset != "":
		return t.Asset
	}
	return "-" // it went meanwhile
}

type taskSummaryCmd struct {
	JSON bool `name:"json" help:"Print a JSON object."`
}

// Run prints a table of the kinds, and one of the lots.
func (s taskSummaryCmd) Run(ctx context.Context, c console) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	kinds, err := store.TaskCounts(ctx)
	if err != nil {
		return err
	}
	lots, err := store.Lots(ctx)
	if err != nil {
		return err
	}
	if s.JSON {
		return printJSON(c.out, api.TaskSummary{Kinds: kinds, Lots: append([]postgres.LotCounts{}, lots...)})
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	var rows [][]string
	for _, k := range kinds {
		oldest := "-"
		if k.Due > 0 {
			oldest = time.Duration(k.OldestDue * float64(time.Second)).Round(time.Second).String()
		}
		rows = append(rows, []string{k.Kind, number(k.Waiting), number(k.Due), number(k.Failed), number(k.Cancelled), number(k.Done), number(k.FailedSoFar), oldest})
	}
	if err := table(c.out, []string{"KIND", "WAITING", "DUE", "FAILED", "CANCELLED", "DONE", "FAILED SO FAR", "OLDEST DUE"}, rows); err != nil || len(lots) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(c.out); err != nil {
		return err
	}
	rows = nil
	for _, l := range lots {
		until := "-"
		if l.WaitUntil != nil {
			until = l.WaitUntil.Local().Format(time.DateTime)
		}
		rows = append(rows, []string{l.Kind, l.Lot, number(l.Waiting), number(l.Failed), number(l.Cancelled), number(l.Done), until, dash(oneLine(l.Error))})
	}
	return table(c.out, []string{"KIND", "LOT", "WAITING", "FAILED", "CANCELLED", "DONE", "WAITS UNTIL", "PROBLEM"}, rows)
}

// taskChoice are the arguments of commands on tasks.
type taskChoice struct {
	Kind string  `arg:"" enum:"fetch,render,translate,generate" help:"fetch, render, translate or generate."`
	Lot  string  `help:"Only of this lot: a host, a pair of languages."`
	ID   []int64 `name:"id" help:"Only this one, by its number in the list; can be repeated."`
}

// change runs a command, wakes those who work the tasks, and says what was done.
func (t taskChoice) change(ctx context.Context, c console, log *slog.Logger, said string, do func(*postgres.Store, postgres.TaskChoice) (int64, error)) error {
	store, err := openStore(ctx, few)
	if err != nil {
		return err
	}
	defer store.Close()
	n, err := do(store, postgres.TaskChoice{Kind: t.Kind, Lot: t.Lot, IDs: t.ID})
	if err != nil {
		return err
	}
	wakeAll(ctx, log, store, api.ConsumersOf(t.Kind)...)
	_, err = fmt.Fprintf(c.out, "%d %s tasks %s.\n", n, t.Kind, said)
	return err
}

type taskRetryCmd struct{ taskChoice }

// Help is the command's longer text.
func (taskRetryCmd) Help() string {
	return `Cancelled tasks come back by their number only. A lot that waits is tried at once.`
}

// Run retries the tasks.
func (r taskRetryCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return r.change(ctx, c, log, "are tried again", func(s *postgres.Store, t postgres.TaskChoice) (int64, error) { return s.RetryTasks(ctx, t) })
}

type taskCancelCmd struct{ taskChoice }

// Help is the command's longer text.
func (taskCancelCmd) Help() string {
	return `Without --lot and --id, all of the kind. What is being worked on at the moment may still be finished. A cancelled task comes back when it is retried by its number, or asked for again.`
}

// Run cancels the tasks.
func (k taskCancelCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return k.change(ctx, c, log, "are cancelled", func(s *postgres.Store, t postgres.TaskChoice) (int64, error) { return s.CancelTasks(ctx, t) })
}
