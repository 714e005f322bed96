// Package jobs is the main road: River jobs that fan changes out to listings,
// drain listings to channels, and run imports. It holds no SQL; what it must
// keep true is told in consumer.go and outcome.go.
package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Importer runs one import under its lease to its end, or until ctx is done.
type Importer interface {
	Run(ctx context.Context, l postgres.Lease) error
}

// Config is what a Runner is made of.
type Config struct {
	Store    *postgres.Store
	Channels *Channels
	Importer Importer // nil: this process runs no imports
	Media    *Media   // nil: this process fetches no assets and makes no renditions
	Texts    *Texts   // nil: this process works out, translates and writes no texts
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Holder   string // names this process among the holders of leases
	// Work: this process works; else it only wakes those that do.
	Work bool
	// Only limits the consumers that a working process takes: a list of
	// kinds of consumers. Empty: all.
	Only []string
	// Lease and Sweep are how long a holder may go unheard, and how often to
	// look for what nobody works on; 0 is 5 and 2 seconds.
	Lease, Sweep time.Duration
	// Notifiers tell who wants to know of alerts; nil: this process tells nobody.
	Notifiers *Notifiers
	// Watch is how often the channels are looked after, and Gather how long what
	// is to be told waits for more; 0 is 5 seconds each.
	Watch, Gather time.Duration
}

// Runner runs this process's part of the road.
type Runner struct {
	store    *postgres.Store
	channels *Channels
	log      *slog.Logger
	metrics  *metrics
	holder   string
	hub      *hub
	river    *river.Client[pgx.Tx]
	works    bool
	media    *Media
	lease    time.Duration
	every    time.Duration // between sweeps

	tidyEvery  time.Duration
	pressEvery time.Duration

	tally      tally
	courtesy   *courtesy
	importing  atomic.Int32 // imports under way in this process
	notifiers  *Notifiers
	watchEvery time.Duration
	gather     time.Duration

	beforeFinish func(postgres.Consumer) // tests stand between the last look and the release

	stop     chan struct{}
	stopOnce sync.Once
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// New makes a Runner, which does nothing before Start but note wakes.
func New(c Config) (*Runner, error) {
	r := &Runner{
		store: c.Store, channels: c.Channels, log: c.Log, holder: c.Holder, works: c.Work, media: c.Media,
		lease: cmp.Or(c.Lease, leaseFor), every: cmp.Or(c.Sweep, sweepEvery),
		notifiers: c.Notifiers, watchEvery: cmp.Or(c.Watch, watchEvery), gather: cmp.Or(c.Gather, gatherFor),
		tidyEvery: tidyEvery, courtesy: newCourtesy(), pressEvery: pressEvery, hub: newHub(), stop: make(chan struct{}), metrics: newMetrics(c.Metrics, c.Store),
	}
	if c.Channels != nil {
		c.Channels.exchanges.tells(c.Log, c.Metrics)
	}
	rc := &river.Config{
		Logger: slog.New(quiet{c.Log.Handler()}),
		// A process that works only some kinds makes jobs of the others too.
		SkipUnknownJobCheck: true,
		// The wake of an idle consumer waits this long; a poked one does not.
		FetchCooldown:     10 * time.Millisecond,
		FetchPollInterval: time.Second,
		// Longer than any shift with its last step may take: stepMost. A dead job's row stays as long; it
		// holds nothing up, since its generation is over.
		JobTimeout:                  jobMost,
		RescueStuckJobsAfter:        jobMost,
		CompletedJobRetentionPeriod: time.Minute,
		CancelledJobRetentionPeriod: time.Minute,
		DiscardedJobRetentionPeriod: time.Minute,
	}
	if c.Work {
		rc.Workers = river.NewWorkers()
		rc.Queues = map[string]river.QueueConfig{}
		add := func(kind string, workers int, register func() error) error {
			if len(c.Only) > 0 && !contains(c.Only, kind) {
				return nil
			}
			rc.Queues[kind] = river.QueueConfig{MaxWorkers: workers}
			return register()
		}
		f, d := newFanner(r), newDrainer(r)
		err := errors.Join(
			add(postgres.Fanout, 2, func() error {
				return river.AddWorkerSafely(rc.Workers, river.WorkFunc(func(ctx context.Context, job *river.Job[fanoutArgs]) error {
					return consume(ctx, r, job, postgres.Consumer{Kind: postgres.Fanout}, job.Args.Gen, f)
				}))
			}),
			// A drain waits on its target most of the time, so a process has
			// room for all of them: a hanging target holds nobody else up.
			add(postgres.Drain, 1000, func() error {
				return river.AddWorkerSafely(rc.Workers, river.WorkFunc(func(ctx context.Context, job *river.Job[drainArgs]) error {
					c := postgres.Consumer{Kind: postgres.Drain, Channel: pim.ChannelID(job.Args.Channel), Lane: pim.Lane(job.Args.Lane)}
					return consume(ctx, r, job, c, job.Args.Gen, d)
				}))
			}),
		)
		err = errors.Join(err, add(postgres.Pull, 1000, func() error { // as drains, they wait on their targets
			return river.AddWorkerSafely(rc.Workers, river.WorkFunc(func(ctx context.Context, job *river.Job[pullArgs]) error {
				c := postgres.Consumer{Kind: postgres.Pull, Channel: pim.ChannelID(job.Args.Channel)}
				return consume(ctx, r, job, c, job.Args.Gen, &puller{r})
			}))
		}))
		err = errors.Join(err, add(postgres.Reconcile, 1000, func() error { // as drains
			return river.AddWorkerSafely(rc.Workers, river.WorkFunc(func(ctx context.Context, job *river.Job[reconcileArgs]) error {
				c := postgres.Consumer{Kind: postgres.Reconcile, Channel: pim.ChannelID(job.Args.Channel)}
				return consume(ctx, r, job, c, job.Args.Gen, &reconciler{r: r})
			}))
		}))
		derive := &deriver{r: r}
		if c.Texts != nil {
			derive.also = append(derive.also, c.Texts)
			err = errors.Join(err, c.Texts.register(r, rc.Workers, add))
		}
		err = errors.Join(err, add(postgres.Derive, 1, func() error {
			return river.AddWorkerSafely(rc.Workers, river.WorkFunc(func(ctx context.Context, job *river.Job[deriveArgs]) error {
				return consume(ctx, r, job, postgres.Consumer{Kind: postgres.Derive}, job.Args.Gen, derive)
			}))
		}))
		if c.Media != nil {
			f, m := &tasker{r, &fetcher{r, c.Media}}, &tasker{r, newRenderer(r, c.Media)}
			err = errors.Join(err,
				add(postgres.Fetch, 1, func() error {
					return river.AddWorkerSafely(rc.Workers, river.WorkFunc(func(ctx context.Context, job *river.Job[fetchArgs]) error {
						return consume(ctx, r, job, postgres.Consumer{Kind: postgres.Fetch}, job.Args.Gen, f)
					}))
				}),
				add(postgres.Render, 4, func() error {
					return river.AddWorkerSafely(rc.Workers, river.WorkFunc(func(ctx context.Context, job *river.Job[renderArgs]) error {
						return consume(ctx, r, job, postgres.Consumer{Kind: postgres.Render, Lane: pim.Lane(job.Args.Shard)}, job.Args.Gen, m)
					}))
				}))
		}
		if c.Importer != nil {
			err = errors.Join(err, add(postgres.Import, 2, func() error {
				return river.AddWorkerSafely(rc.Workers, &importWorker{r: r, importer: c.Importer})
			}))
		}
		if err != nil {
			return nil, fmt.Errorf("register jobs: %w", err)
		}
	}
	var err error
	if r.river, err = river.NewClient(riverpgxv5.New(c.Store.WorkPool()), rc); err != nil {
		return nil, fmt.Errorf("make the job client: %w", err)
	}
	c.Store.SetNudge(func() { r.Wake(postgres.Consumer{Kind: postgres.Fanout}) })
	return r, nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// importWorker gives imports the time they need: they hand over only when
// their process ends.
type importWorker struct {
	river.WorkerDefaults[importArgs]
	r        *Runner
	importer Importer
}

// Timeout is longer than any import.
func (*importWorker) Timeout(*river.Job[importArgs]) time.Duration { return 24 * time.Hour }

// Work runs the import.
func (w *importWorker) Work(ctx context.Context, job *river.Job[importArgs]) error {
	c := postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(job.Args.Import)}
	return consume(ctx, w.r, job, c, job.Args.Gen, w)
}

// step implements worker: the whole import is one.
func (w *importWorker) step(ctx context.Context, l postgres.Lease) (next, error) {
	run, err := w.r.store.ImportRun(ctx, int64(l.Channel))
	if err != nil || run.State != "running" {
		return next{over: true}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // an import that is stopped goes on elsewhere behind its last chunk
		select {
		case <-w.r.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.r.importing.Add(1)
	defer w.r.importing.Add(-1)
	err = w.importer.Run(ctx, l)
	if postgres.IsPoison(err) {
		w.r.log.ErrorContext(ctx, "import", "import", l.Channel, "err", err)
		return next{over: true}, w.r.store.FinishImport(ctx, l, "the database refuses a row of it; the log has the cause")
	}
	if w.r.stopping() && ctx.Err() != nil {
		return next{}, nil // nothing is in doubt: chunks are transactions
	}
	return next{over: true}, err
}

// Start begins to work and to wake. It returns at once; Stop ends it.
func (r *Runner) Start(ctx context.Context) error {
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.running.Go(func() { r.flush(ctx) })
	if !r.works {
		return nil
	}
	r.running.Go(func() { r.listen(ctx) })
	r.running.Go(func() { r.sweep(ctx) })
	r.running.Go(func() { r.tidy(ctx) })
	r.running.Go(func() { r.watch(ctx) })
	r.running.Go(func() { r.index(ctx, "search", r.store.IndexSearch) })
	r.running.Go(func() { r.index(ctx, "completeness", r.store.IndexCompleteness) })
	if r.notifiers != nil {
		r.running.Go(func() { r.telling(ctx) })
	}
	if err := r.river.Start(ctx); err != nil {
		return fmt.Errorf("start the job client: %w", err)
	}
	return nil
}

// Stop ends the work: steps that have begun are finished, unless ctx ends
// first, then their leases run out and others take over.
func (r *Runner) Stop(ctx context.Context) error {
	r.stopOnce.Do(func() { close(r.stop) })
	var err error
	if r.works {
		if err = r.river.Stop(ctx); err != nil && ctx.Err() != nil {
			err = r.river.StopAndCancel(context.WithoutCancel(ctx))
		}
	}
	r.cancel()
	r.running.Wait()
	if r.channels != nil {
		r.channels.Flush(ctx)
	}
	return err
}

func (r *Runner) stopping() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// wakeChannel wakes all lanes of a channel.
func (r *Runner) wakeChannel(id pim.ChannelID) {
	for _, l := range pim.AllLanes {
		r.Wake(postgres.Consumer{Kind: postgres.Drain, Channel: id, Lane: l})
	}
}

// WakeChannel wakes fan-out, the pull and all lanes of a channel, after its
// settings or state were changed.
func (r *Runner) WakeChannel(id pim.ChannelID) {
	r.Wake(postgres.Consumer{Kind: postgres.Fanout}, postgres.Consumer{Kind: postgres.Pull, Channel: id}, postgres.Consumer{Kind: postgres.Reconcile, Channel: id})
	r.wakeChannel(id)
}

// quiet passes River's warnings and errors on, without its chatter.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}
