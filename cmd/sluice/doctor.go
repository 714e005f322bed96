//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/migrations"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

type doctorCmd struct {
	keyset
	JSON bool `name:"json" help:"Print a JSON object."`
}

// Help is the command's longer text.
func (doctorCmd) Help() string {
	return `The status is 0 when all is well, 1 when something is wrong. What is worth knowing but no fault, such as a paused channel, is a note.`
}

// The levels of a finding.
const (
	levelWell  = "well"
	levelNote  = "note"
	levelWrong = "wrong"
)

// finding is one sentence of the doctor.
type finding struct {
	Area  string `json:"area"` // database, migrations, queues, imports, tasks, keyset, or channel and its code
	Level string `json:"level"`
	Text  string `json:"text"`
}

// diagnosis is all that was found.
type diagnosis struct {
	Well     bool      `json:"well"`
	Findings []finding `json:"findings"`
}

func (d *diagnosis) add(area, level, format string, args ...any) {
	d.Findings = append(d.Findings, finding{area, level, fmt.Sprintf(format, args...)})
	if level == levelWrong {
		d.Well = false
	}
}

// Thresholds from which something counts as wrong.
const (
	staleAfter  = 5 * time.Minute  // of a listing that is due, and of a job that nobody works
	backlogRows = 10_000           // of the outbox
	oldAfter    = 10 * time.Minute // of a transaction
	importsTold = 20               // one by one
)

// Run examines, and prints what it found.
func (k doctorCmd) Run(ctx context.Context, c console) error {
	d := &diagnosis{Well: true}
	if err := k.examine(ctx, d); err != nil {
		return err
	}
	if k.JSON {
		if err := printJSON(c.out, d); err != nil {
			return err
		}
	} else {
		for _, f := range d.Findings {
			fmt.Fprintf(c.out, "%-6s %s: %s\n", f.Level, f.Area, f.Text)
		}
	}
	if !d.Well {
		return errTold
	}
	return nil
}

func (k doctorCmd) examine(ctx context.Context, d *diagnosis) error {
	dsn, err := databaseURL()
	if err != nil {
		d.add("database", levelWrong, "%v", err)
		return nil
	}
	if err := reach(ctx, dsn); err != nil {
		d.add("database", levelWrong, "%v", err)
		return ctx.Err()
	}
	switch err := migrations.Check(ctx, dsn); {
	case errors.Is(err, migrations.ErrBehind), errors.Is(err, migrations.ErrNewer):
		d.add("migrations", levelWrong, "%v", err)
		return nil // the rest would ask for what may not be there
	case err != nil:
		return err
	}
	d.add("migrations", levelWell, "the schema is this version's")
	store, err := postgres.Open(ctx, dsn, few)
	if err != nil {
		return err
	}
	defer store.Close()
	now, err := store.Now(ctx)
	if err != nil {
		return err
	}
	if skew := time.Until(now).Abs(); skew > time.Minute {
		d.add("database", levelNote, "its clock and this machine's are %s apart", skew.Round(time.Second))
	}
	server, err := store.ServerState(ctx)
	if err != nil {
		return err
	}
	examineServer(d, server)
	if err := examineQueues(ctx, d, store, server); err != nil {
		return err
	}
	if err := examineImports(ctx, d, store, server); err != nil {
		return err
	}
	if err := examineTasks(ctx, d, store, now); err != nil {
		return err
	}
	return k.examineChannels(ctx, d, store, now)
}

func examineServer(d *diagnosis, s postgres.ServerState) {
	before := len(d.Findings)
	if s.Major < 15 {
		d.add("database", levelWrong, "PostgreSQL %s is older than 15", s.Version)
	}
	if !s.Fsync {
		d.add("database", levelWrong, "fsync is off: a power loss can destroy the database")
	}
	if !s.FullPageWrites {
		d.add("database", levelWrong, "full_page_writes is off: a power loss can damage pages")
	}
	if s.SynchronousCommit == "off" {
		d.add("database", levelWrong, "synchronous_commit is off: an edit that was acknowledged can be lost in a crash; it is better left on (Sluice turns it off for the work that it can repeat)")
	}
	if s.Connections > s.MaxConnections*9/10 {
		d.add("database", levelWrong, "%d of %d connections are in use", s.Connections, s.MaxConnections)
	}
	for _, o := range s.Old {
		level, who := levelNote, or(o.Application, "unnamed")
		if o.Age > oldAfter {
			level = levelWrong
		}
		d.add("database", level, "process %d (%s, database %s, %s) has had a transaction open for %s: dead rows pile up behind it", o.PID, who, o.Database, or(o.State, "state unknown"), o.Age.Round(time.Second))
	}
	if len(d.Findings) == before {
		d.add("database", levelWell, "PostgreSQL %s, durable, %d of %d connections in use", s.Version, s.Connections, s.MaxConnections)
	}
}

func examineQueues(ctx context.Context, d *diagnosis, store *postgres.Store, server postgres.ServerState) error {
	road, err := store.RoadStats(ctx)
	if err != nil {
		return err
	}
	before := len(d.Findings)
	if !server.Workers {
		d.add("queues", levelWrong, "no worker is running: start `sluice serve` with the role worker")
	}
	if road.Outbox > backlogRows {
		d.add("queues", levelWrong, "%d changes wait for fan-out", road.Outbox)
	}
	if road.Poisoned > 0 {
		d.add("queues", levelWrong, "%d changes could not be digested by fan-out and were set aside (table outbox_poison says why)", road.Poisoned)
	}
	if road.Expired > 0 {
		d.add("queues", levelWrong, "%d leases have run out and nobody has noticed: no worker is running, or none can keep up", road.Expired)
	}
	for _, q := range road.Queues {
		if q.State == "available" && q.Oldest > staleAfter {
			d.add("queues", levelWrong, "the oldest of %d jobs in queue %s has waited for %s", q.Jobs, q.Queue, q.Oldest.Round(time.Second))
		}
	}
	if len(d.Findings) == before {
		d.add("queues", levelWell, "workers are running, %d changes wait for fan-out", road.Outbox)
	}
	return nil
}

func examineImports(ctx context.Context, d *diagnosis, store *postgres.Store, server postgres.ServerState) error {
	runs, more, err := store.ImportsToTell(ctx, importsTold)
	if err != nil {
		return err
	}
	for _, r := range runs {
		switch {
		case r.State == "running" && !server.Workers:
			d.add("imports", levelWrong, "import %d (%s) stands at %d rows, and nobody works on it", r.ID, r.Filename, r.RowsDone)
		case r.State == "running":
			d.add("imports", levelNote, "import %d (%s) is at %d rows", r.ID, r.Filename, r.RowsDone)
		case r.State == "failed":
			d.add("imports", levelNote, "import %d (%s) failed: %s", r.ID, r.Filename, r.Error)
		}
	}
	if more > 0 {
		d.add("imports", levelNote, "%d more have failed, before these or more than a week ago", more)
	}
	return nil
}

func (k doctorCmd) examineChannels(ctx context.Context, d *diagnosis, store *postgres.Store, now time.Time) error {
	channels, err := store.Channels(ctx)
	if err != nil {
		return err
	}
	keys, err := k.examineKeyset(ctx, d, store)
	if err != nil {
		return err
	}
	if len(channels) == 0 {
		d.add("channels", levelNote, "there are none")
		return nil
	}
	lanes, err := store.LaneStats(ctx, "")
	if err != nil {
		return err
	}
	issues, err := store.IssueCounts(ctx, 200)
	if err != nil {
		return err
	}
	stuck, err := store.StuckListings(ctx, staleAfter)
	if err != nil {
		return err
	}
	opener := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{})
	for _, ch := range channels {
		area := "channel " + string(ch.Code)
		before := len(d.Findings)
		if keys != nil || ch.Secrets == nil {
			if _, err := opener.Target(ctx, ch.ID, 0); err != nil {
				d.add(area, levelWrong, "it cannot be opened: %v", err)
			}
		}
		examineState(d, area, ch, now)
		v := viewOf(ch, lanes, now)
		examineUnsent(d, area, ch, stuck, v)
		if n := v.Listings[pim.StateRejected]; n > 0 {
			d.add(area, levelWrong, "%d listings are rejected%s", n, topIssues(issues, ch.Code))
		}
		if len(d.Findings) == before {
			d.add(area, levelWell, "%d listings on the target, %d to send", v.Listings[pim.StateAccepted]+v.Listings[pim.StateLive]+v.Listings[pim.StateVerified], v.Listings[pim.StateWaiting]+v.Listings[pim.StatePending])
		}
	}
	return nil
}

// examineKeyset opens the keyset, and compares it with the one that the house
// has; nil where it cannot be used, which is told.
func (k doctorCmd) examineKeyset(ctx context.Context, d *diagnosis, store *postgres.Store) (*seal.Keyset, error) {
	keys, err := k.open()
	if err != nil {
		check, e := store.KeysetCheck(ctx)
		switch {
		case e != nil:
			return nil, e
		case check == nil: // no process had one yet, so nothing is sealed
		case k.Keyset == "":
			d.add("keyset", levelNote, "SLUICE_KEYSET is not set, so it is not checked whether the channels' secrets can be opened")
		default:
			d.add("keyset", levelWrong, "the channels' secrets cannot be opened: %v", err)
		}
		return nil, nil
	}
	bound, err := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{}).CheckKeyset(ctx)
	switch {
	case errors.Is(err, jobs.ErrKeyset):
		d.add("keyset", levelWrong, "%v", err)
		return nil, nil
	case err == nil && bound:
		d.add("keyset", levelWell, "it is the one that this database's secrets are sealed with")
	}
	return keys, err
}

func examineState(d *diagnosis, area string, ch *postgres.Channel, now time.Time) {
	why, until := ch.Rests(now)
	next := "at once"
	if !until.IsZero() {
		next = "in " + until.Sub(now).Round(time.Second).String()
	}
	switch {
	case !ch.HasConnector():
		d.add(area, levelNote, "it has no connector: nothing is sent until it is given one")
	case !ch.Enabled:
		d.add(area, levelNote, "it is paused")
	case why == postgres.HoldAuth:
		d.add(area, levelWrong, "its target refuses the credentials; nothing is sent until they are changed, or are taken when it is asked again %s: %s", next, ch.LastError)
	case why == postgres.HoldDown:
		d.add(area, levelWrong, "its breaker is open after %d failures, it is tried again %s: %s", ch.Fails, next, ch.LastError)
	case why == postgres.HoldThrottled:
		d.add(area, levelNote, "the target throttles it for another %s", until.Sub(now).Round(time.Second))
	case why != "":
		d.add(area, levelNote, "it rests for its %s for another %s", why, until.Sub(now).Round(time.Second))
	case ch.Fails > 0:
		d.add(area, levelNote, "its last call failed: %s", ch.LastError)
	}
	for _, h := range ch.Held {
		d.add(area, levelNote, "its %s waits for its %s until %s", h.Lane, h.For, h.Until.Format(time.RFC3339))
	}
	if ch.Marking && ch.Enabled {
		d.add(area, levelNote, "all products are being marked for it")
	}
}

// examineUnsent tells what is not sent though it could be, and what is old
// because it has to wait.
func examineUnsent(d *diagnosis, area string, ch *postgres.Channel, stuck []postgres.Stuck, v channelView) {
	at := slices.IndexFunc(stuck, func(s postgres.Stuck) bool { return s.Channel == ch.Code })
	if at >= 0 {
		d.add(area, levelWrong, "listings are due and not sent: %d of them for more than %s, the first for %s", stuck[at].Listings, staleAfter, stuck[at].Oldest.Round(time.Second))
		return
	}
	if oldest := time.Duration(v.OldestAge * float64(time.Second)); oldest > staleAfter && ch.Enabled {
		d.add(area, levelNote, "its oldest unsent change is %s old, and waits for its time, its content or its target", oldest.Round(time.Second))
	}
}

// topIssues names a channel's three most frequent problems.
func topIssues(issues []postgres.IssueCount, code pim.ChannelCode) string {
	text, n := "", 0
	for _, i := range issues {
		if i.Channel != code || n == 3 {
			continue
		}
		n++
		text += fmt.Sprintf("; %d × %s %s: %s", i.Listings, or(i.Code, "error"), i.Attribute, i.Text)
	}
	return text
}
