package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// The consumer mechanism, written once for fan-out, drains, pulls, comparisons
// and imports.
//
// A consumer works off a durable set: rows that are there until their work is
// done. State is the truth and River's jobs are only its alarm clock, so this
// file owes two things.
//
// Safety: at most one holder's writes count. A take raises the consumer's
// epoch; every write of the holder locks the consumer's row on that epoch
// (FOR KEY SHARE), so after another take, or an expiry, it writes nothing. The
// epoch fences our rows but not the target: a call runs under hold.ctx, which
// ends before the lease does, also in a process that was stopped meanwhile,
// because the clock it ends by is compared when the process goes on. What was
// on its way even so is settled by the in-doubt rule (outcome.go).
//
// Liveness: work that is there is worked on within about a sweep, whatever is
// lost. The argument, for work committed at time t:
//
//  1. A holder that looks after t finds it: step reads the rows themselves.
//  2. A holder that looked before t, and released after, looks once more after
//     the release is committed (IsDue) and makes a job if it finds any.
//  3. A holder that vanished has an unreleased lease that runs out; the sweeper
//     of any process expires it, with a new generation, so that the dead job,
//     which River still calls running, no longer holds the unique key.
//  4. No holder: the writer's Wake makes a job; where that was lost, the
//     sweeper does.
//  5. No holder, but a job that River calls running: its process died before
//     the job took the lease, or before River noted its end. It holds the
//     unique key, so when it has run for longer than a lease without taking
//     one, the sweeper begins a new generation and makes that one's job.
//
// So jobs may be deleted, notifications lost and processes killed at any
// point. Jobs are unique over the states available, pending, running and
// scheduled; a job is never scheduled ahead and never returns an error, since
// both would hold the key and swallow later wakes. Waits live in due_at,
// next_probe_at and throttled_until.

const (
	// leaseFor is how long a holder may go unheard. Takeover of a killed
	// process takes this and up to one sweep. A fifth of it is the time
	// between renewals, and also how much earlier than the database a holder
	// considers its lease over.
	leaseFor = 5 * time.Second
	// linger is how long a holder without work waits for a poke. Waking a job
	// for each edit costs milliseconds that a poke does not.
	linger = time.Second
	// shift is how long a holder works before it hands over, so that work is
	// spread over processes that come and go.
	shift = 30 * time.Second
)

// worker is what a consumer of one kind does.
type worker interface {
	// step works off some of what is there. It answers again when there is
	// more at once, else in how long something falls due by itself (0: no
	// such time is known). After an error the lease is left to expire, for
	// the error may have left the outcome of a request unknown.
	step(ctx context.Context, l postgres.Lease) (next next, err error)
}

// next says when a consumer wants to look again.
type next struct {
	again bool
	in    time.Duration
	idle  bool // the step looked and found nothing to do: in is all there is to wait for
	over  bool // and never will again: its place is another consumer's
}

// consume runs one job of consumer c. It returns nil always: see above.
func consume[A river.JobArgs](ctx context.Context, r *Runner, job *river.Job[A], c postgres.Consumer, gen int64, w worker) error {
	log := r.log.With("consumer", c.Kind, "channel", c.Channel, "lane", c.Lane.String(), "job", job.ID)
	asked := time.Now()
	lease, err := r.store.Take(ctx, c, gen, r.holder, r.lease)
	if err != nil {
		if !errors.Is(err, postgres.ErrFenced) {
			log.WarnContext(ctx, "take", "err", err)
		}
		return nil
	}
	h := r.hold(ctx, lease, asked)
	defer h.end()
	ahead, err := h.work(w)
	if err != nil {
		if h.ctx.Err() == nil || r.stopping() {
			log.WarnContext(ctx, "work ended; the lease is left to expire", "err", err)
		}
		return nil
	}
	if r.beforeFinish != nil {
		r.beforeFinish(c)
	}
	if err := finish(ctx, r, job, lease); err != nil {
		log.WarnContext(ctx, "finish", "err", err)
		return nil
	}
	r.hub.leave(c, h.poke) // from here on a wake needs a job
	if due, err := r.store.IsDue(ctx, c); err != nil {
		log.WarnContext(ctx, "look once more", "err", err)
	} else if due != nil {
		r.ensure(ctx, *due)
	} else if ahead > 0 {
		r.wakeIn(c, ahead)
	}
	return nil
}

// finish gives the lease back and completes the job in one transaction: in
// between, the job's unique key would swallow a wake.
func finish[A river.JobArgs](ctx context.Context, r *Runner, job *river.Job[A], l postgres.Lease) error {
	return pgx.BeginFunc(ctx, r.store.WorkPool(), func(tx pgx.Tx) error {
		if err := r.store.Release(ctx, tx, l); err != nil {
			return err
		}
		done, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		if errors.Is(err, river.ErrNotFound) {
			return nil // somebody deleted the job; the lease is what counts
		}
		if err != nil {
			return err
		}
		if done.State != rivertype.JobStateCompleted {
			return errors.New("the job is " + string(done.State) + ": another attempt has it")
		}
		return nil
	})
}

// hold is a lease being kept.
type hold struct {
	r     *Runner
	lease postgres.Lease
	ctx   context.Context // ends before the lease does
	end   func()
	poke  chan struct{}
}

// hold keeps l, asked for at that time, alive until end is called or a renewal
// does not succeed in time.
func (r *Runner) hold(ctx context.Context, l postgres.Lease, asked time.Time) *hold {
	over := &atomic.Pointer[time.Time]{}
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, overKey{}, over))
	h := &hold{r: r, lease: l, ctx: ctx, poke: r.hub.arrive(l.Consumer)}
	ended := make(chan struct{})
	safe := r.lease - r.lease/5
	until := func(asked time.Time) time.Duration {
		end := asked.Add(safe)
		over.Store(&end)
		return time.Until(end)
	}
	timer := time.AfterFunc(until(asked), func() { cancel(postgres.ErrFenced) })
	go func() {
		defer close(ended)
		tick := time.NewTicker(r.lease / 5)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			asked := time.Now()
			rctx, stop := context.WithTimeout(ctx, safe)
			err := r.store.Renew(rctx, l, r.lease)
			stop()
			if errors.Is(err, postgres.ErrFenced) {
				cancel(err)
				return
			}
			// A renewal that was not heard of leaves the timer running.
			if err == nil && !timer.Reset(until(asked)) {
				cancel(postgres.ErrFenced)
				return
			}
		}
	}()
	h.end = func() {
		timer.Stop()
		cancel(nil)
		<-ended
		r.hub.leave(l.Consumer, h.poke)
	}
	return h
}

// overKey is the context's key of the time at which the lease is over.
type overKey struct{}

// leaseOver compares the clocks themselves, the wall's too: after a process was
// stopped, its timers are heard later than its goroutines go on.
func leaseOver(ctx context.Context) bool {
	over, ok := ctx.Value(overKey{}).(*atomic.Pointer[time.Time])
	if !ok {
		return false
	}
	end, now := *over.Load(), time.Now()
	return !now.Before(end) || !now.Round(0).Before(end.Round(0))
}

// work steps until there is nothing left to do or the shift is over, and says
// in how long something falls due by itself. A step that worked off less than
// it could take is not followed by another look at once: what is committed
// after its look pokes, and before the lease is given back there is a last one.
func (h *hold) work(w worker) (ahead time.Duration, err error) {
	end := time.Now().Add(shift)
	var due time.Time // when something falls due by itself, as far as known
	for last := false; ; {
		n, err := w.step(h.ctx, h.lease)
		if err != nil {
			return 0, err
		}
		if err := context.Cause(h.ctx); err != nil {
			return 0, err
		}
		if at := time.Now().Add(n.in); n.in > 0 && (n.idle || due.IsZero() || at.Before(due)) {
			due = at
		} else if n.in == 0 && n.idle {
			due = time.Time{}
		}
		if n.over || h.r.stopping() || time.Now().After(end) || last && n.idle {
			return until(due), nil
		}
		if last = false; n.again {
			continue
		}
		wait, early := linger, false
		if d := until(due); d > 0 && d < linger {
			wait, early = d, true
		}
		timer := time.NewTimer(wait)
		select {
		case <-h.poke:
		case <-timer.C:
			last = !early
			if early {
				due = time.Time{}
			}
		case <-h.r.stop:
		case <-h.ctx.Done():
			timer.Stop()
			return 0, context.Cause(h.ctx)
		}
		timer.Stop()
	}
}

// until is how long it is to at; 0 when there is no such time.
func until(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(time.Until(at), time.Millisecond)
}

// The River jobs. Their arguments are identifiers; Gen is the consumer's
// generation, which makes room for a new job beside a dead one.
type (
	fanoutArgs struct {
		Gen int64 `json:"gen"`
	}
	drainArgs struct {
		Channel int64 `json:"channel"`
		Lane    int16 `json:"lane"`
		Gen     int64 `json:"gen"`
	}
	pullArgs struct {
		Channel int64 `json:"channel"`
		Gen     int64 `json:"gen"`
	}
	reconcileArgs struct {
		Channel int64 `json:"channel"`
		Gen     int64 `json:"gen"`
	}
	importArgs struct {
		Import int64 `json:"import"`
		Gen    int64 `json:"gen"`
	}
	deriveArgs struct {
		Gen int64 `json:"gen"`
	}
	fetchArgs struct {
		Gen int64 `json:"gen"`
	}
	renderArgs struct {
		Shard int16 `json:"shard"`
		Gen   int64 `json:"gen"`
	}
	translateArgs struct {
		Gen int64 `json:"gen"`
	}
	generateArgs struct {
		Gen int64 `json:"gen"`
	}
)

// Kind is the job's kind, which never changes.
func (deriveArgs) Kind() string { return postgres.Derive }

// Kind is the job's kind, which never changes.
func (fetchArgs) Kind() string { return postgres.Fetch }

// Kind is the job's kind, which never changes.
func (renderArgs) Kind() string { return postgres.Render }

// Kind is the job's kind, which never changes.
func (translateArgs) Kind() string { return postgres.Translate }

// Kind is the job's kind, which never changes.
func (generateArgs) Kind() string { return postgres.Generate }

// InsertOpts makes the job unique while it can still run.
func (deriveArgs) InsertOpts() river.InsertOpts { return once(postgres.Derive) }

// InsertOpts makes the job unique while it can still run.
func (fetchArgs) InsertOpts() river.InsertOpts { return once(postgres.Fetch) }

// InsertOpts makes the job unique while it can still run.
func (renderArgs) InsertOpts() river.InsertOpts { return once(postgres.Render) }

// InsertOpts makes the job unique while it can still run.
func (translateArgs) InsertOpts() river.InsertOpts { return once(postgres.Translate) }

// InsertOpts makes the job unique while it can still run.
func (generateArgs) InsertOpts() river.InsertOpts { return once(postgres.Generate) }

// Kind is the job's kind, which never changes.
func (fanoutArgs) Kind() string { return postgres.Fanout }

// Kind is the job's kind, which never changes.
func (drainArgs) Kind() string { return postgres.Drain }

// Kind is the job's kind, which never changes.
func (pullArgs) Kind() string { return postgres.Pull }

// Kind is the job's kind, which never changes.
func (reconcileArgs) Kind() string { return postgres.Reconcile }

// Kind is the job's kind, which never changes.
func (importArgs) Kind() string { return postgres.Import }

// InsertOpts makes the job unique while it can still run.
func (fanoutArgs) InsertOpts() river.InsertOpts { return once(postgres.Fanout) }

// InsertOpts makes the job unique while it can still run.
func (drainArgs) InsertOpts() river.InsertOpts { return once(postgres.Drain) }

// InsertOpts makes the job unique while it can still run.
func (pullArgs) InsertOpts() river.InsertOpts { return once(postgres.Pull) }

// InsertOpts makes the job unique while it can still run.
func (reconcileArgs) InsertOpts() river.InsertOpts { return once(postgres.Reconcile) }

// InsertOpts makes the job unique while it can still run.
func (importArgs) InsertOpts() river.InsertOpts { return once(postgres.Import) }

func once(queue string) river.InsertOpts {
	return river.InsertOpts{Queue: queue, MaxAttempts: 1, UniqueOpts: river.UniqueOpts{
		ByArgs: true,
		ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateScheduled,
		},
	}}
}

// jobOf is the job that works for d.
func jobOf(d postgres.Due) river.JobArgs {
	switch d.Kind {
	case postgres.Fanout:
		return fanoutArgs{Gen: d.Gen}
	case postgres.Drain:
		return drainArgs{Channel: int64(d.Channel), Lane: int16(d.Lane), Gen: d.Gen}
	case postgres.Pull:
		return pullArgs{Channel: int64(d.Channel), Gen: d.Gen}
	case postgres.Reconcile:
		return reconcileArgs{Channel: int64(d.Channel), Gen: d.Gen}
	case postgres.Derive:
		return deriveArgs{Gen: d.Gen}
	case postgres.Fetch:
		return fetchArgs{Gen: d.Gen}
	case postgres.Render:
		return renderArgs{Shard: int16(d.Lane), Gen: d.Gen}
	case postgres.Translate:
		return translateArgs{Gen: d.Gen}
	case postgres.Generate:
		return generateArgs{Gen: d.Gen}
	default:
		return importArgs{Import: int64(d.Channel), Gen: d.Gen}
	}
}

// ensure makes a job for each consumer that has none, and gives the jobs of
// the others that are running.
func (r *Runner) ensure(ctx context.Context, due ...postgres.Due) (running []postgres.RunningJob) {
	if len(due) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, 0, len(due))
	for i, d := range due {
		if !slices.Contains(due[:i], d) { // one statement makes them, and refuses to find its own
			params = append(params, river.InsertManyParams{Args: jobOf(d)})
		}
	}
	results, err := r.river.InsertMany(ctx, params)
	if err != nil {
		r.log.WarnContext(ctx, "make jobs; the sweeper will", "err", err, slog.Int("jobs", len(due)))
		return nil
	}
	for _, made := range results {
		if made.UniqueSkippedAsDuplicate && made.Job.State == rivertype.JobStateRunning {
			running = append(running, postgres.RunningJob{Due: dueOf(made.Job), Job: made.Job.ID})
		}
	}
	return running
}

// dueOf is what a job works for: jobOf the other way round.
func dueOf(job *rivertype.JobRow) postgres.Due {
	var args struct {
		Channel, Import, Gen int64
		Lane                 int16
	}
	_ = json.Unmarshal(job.EncodedArgs, &args) // as jobOf's types wrote them
	d := postgres.Due{Gen: args.Gen}
	d.Kind, d.Channel, d.Lane = job.Kind, pim.ChannelID(args.Channel+args.Import), pim.Lane(args.Lane) // one of the two is 0
	return d
}
