// Package importing is the import job: it reads a stored file of products to
// its end and writes them to the store, chunk by chunk. What lives here: the
// formats (CSV, JSON Lines, a JSON array, XML, each packed or not, and
// workbooks), what columns mean, the expressions of a map, the job. What does
// not: uploading, the job queue, what the elements of suppliers' catalogues mean
// (package supplier), and whatever decides that values are good, which is package pim.
//
// A vendor's layout is a function from the header to what each column means;
// the rows of one product are taken together. Where variants name their parents
// the file is read once for all others and once for them, so that their order
// does not matter.
//
// Each chunk's products, prices, stock and the import's progress are one transaction under
// the job's lease, so that a job which is killed anywhere goes on behind the
// last one, and its end is the same as without: the plan is made again from
// the same file, and rows that are done are read again only for their SKUs.
//
// docs/import.md tells people what an import does.
package importing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

const (
	chunkRows  = 1000
	chunkBytes = 4 << 20
	planTries  = 5 // of a plan whose schema change another one has overtaken
)

// Importer runs import jobs. It is safe for concurrent use.
type Importer struct {
	store *postgres.Store
	log   *slog.Logger
	rows  *prometheus.CounterVec
	chunk prometheus.Histogram

	chunkRows int
	// step is called between any two commits: tests die there.
	step func(where string)
}

// New makes an Importer. Its metrics go to reg, which may be nil:
// sluice_import_rows_total by outcome and sluice_import_chunk_seconds.
func New(store *postgres.Store, log *slog.Logger, reg prometheus.Registerer) *Importer {
	im := &Importer{
		store: store, log: log, chunkRows: chunkRows, step: func(string) {},
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_import_rows_total", Help: "Rows of imports by outcome: created, changed, unchanged, rejected.",
		}, []string{"outcome"}),
		chunk: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sluice_import_chunk_seconds", Help: "Time to write one chunk of an import.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	for _, outcome := range []string{"created", "changed", "unchanged", "rejected"} {
		im.rows.WithLabelValues(outcome) // served as 0 before the first import: a counter that starts at 1 has not risen
	}
	if reg != nil {
		reg.MustRegister(im.rows, im.chunk)
	}
	return im
}

// Run works an import off under its lease, from where it stands to its end.
// nil: it is finished, or failed with its cause in the import's row, or was
// over already. An error means that it goes on when Run is called again:
// postgres.ErrFenced when the lease is lost, ctx's when that ends, else the
// database's.
func (im *Importer) Run(ctx context.Context, lease postgres.Lease) error {
	id := int64(lease.Channel)
	run, err := im.store.ImportRun(ctx, id)
	if err != nil {
		return err
	}
	if run.State != "running" {
		return nil
	}
	log := im.log.With("import", id)
	err = im.run(ctx, lease, &run)
	if f, ok := errors.AsType[*fault](err); ok {
		log.Info("import failed", "cause", f.text)
		return im.store.FinishImport(ctx, lease, f.text)
	}
	if err != nil {
		return fmt.Errorf("import %d: %w", id, err)
	}
	log.Info("import finished")
	return im.store.FinishImport(ctx, lease, "")
}

func (im *Importer) run(ctx context.Context, lease postgres.Lease, run *postgres.ImportRun) error {
	opts, err := ParseOptions(run.Options)
	if inv, ok := errors.AsType[*pim.Invalid](err); ok {
		return faultf("the options are not valid: %v", inv)
	}
	fields, err := opts.compile()
	if err != nil {
		return faultf("the options are not valid: %v", err)
	}
	found, err := look(ctx, im.store.ImportFile(ctx, run.ID), &opts, fields)
	if err != nil {
		return err
	}
	im.step("surveyed")
	for try := 1; ; try++ {
		schema, err := im.store.RefreshSchema(ctx)
		if err != nil {
			return err
		}
		p, err := makePlan(schema, found, opts, fields, run.Filename)
		if err != nil {
			return err
		}
		im.step("planned")
		err = im.work(ctx, &writer{im: im, lease: lease, run: run, plan: p, dry: opts.DryRun})
		over, ok := errors.AsType[*overtakenError](err)
		if !ok {
			return err
		}
		if try == planTries {
			return faultf("family %s cannot be made of the columns: %v", p.family, over.why)
		}
		// Rows may have been told as refused before.
		if *run, err = im.store.ImportRun(ctx, run.ID); err != nil {
			return err
		}
	}
}

// work writes the file by a plan, from where the import stands to its end.
func (im *Importer) work(ctx context.Context, w *writer) error {
	run, p := w.run, w.plan
	if run.RowsTotal == nil {
		// What is true of the whole file is told once, with its number of rows.
		begin := &part{}
		if p.surveyed.rows == 0 && p.change != nil && !w.dry { // a tree without products
			if err := w.change(ctx); err != nil {
				return err
			}
		}
		if err := w.prepare(ctx, begin); err != nil {
			return err
		}
		err := w.store(ctx, begin, func([]postgres.EditResult) postgres.ImportProgress {
			progress := postgres.ImportProgress{RowsDone: run.RowsDone, RowsTotal: &p.surveyed.rows, Warnings: int64(len(p.findings))}
			for _, f := range p.findings {
				progress.Findings = append(progress.Findings, finding(0, pim.SeverityWarning, "", f))
			}
			return progress
		})
		if err != nil {
			return err
		}
		im.step("begun")
	}
	return w.rows(ctx)
}

// overtakenError is a plan whose change of the schema another import has
// overtaken.
type overtakenError struct{ why *pim.Invalid }

// Error says what stands in the way.
func (e *overtakenError) Error() string { return e.why.Error() }

// writer takes an import's rows from the file to the store.
type writer struct {
	im    *Importer
	lease postgres.Lease
	run   *postgres.ImportRun
	plan  *plan
	dry   bool
	// grown: the store's schema has what the plan needs. Only prepare looks.
	grown bool
}

// rows reads the file once more and writes what is behind run.RowsDone: one
// chunk is read while another is worked out and a third one written.
func (w *writer) rows(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	read, prepared := make(chan *part), make(chan *part)
	group.Go(func() error {
		defer close(read)
		return w.read(ctx, read)
	})
	group.Go(func() error {
		defer close(prepared)
		for c := range read {
			err := w.prepare(ctx, c)
			if errors.As(err, &c.overtaken) {
				return hand(ctx, prepared, c) // behind the parts that are on their way
			}
			if err == nil {
				err = hand(ctx, prepared, c)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	group.Go(func() error {
		for c := range prepared {
			if c.overtaken != nil {
				return c.overtaken
			}
			if len(c.entries) > 0 {
				if err := w.write(ctx, c); err != nil {
					return err
				}
				w.im.step("chunk")
			}
			if c.end != nil && !errors.Is(c.end, io.EOF) {
				return c.end
			}
		}
		return nil
	})
	return group.Wait()
}

// hand gives a part to the next in the line.
func hand(ctx context.Context, to chan<- *part, c *part) error {
	select {
	case to <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// actor is who history says made the import's changes, and by which import.
func (w *writer) actor() string {
	return fmt.Sprintf("%s, import %d", w.run.Actor, w.run.ID)
}

func (w *writer) prepare(ctx context.Context, c *part) (err error) {
	if w.dry {
		return nil
	}
	if w.plan.change != nil && !w.grown && len(c.edits) > 0 {
		if err := w.grow(ctx, c); err != nil || c.refused != nil {
			return err
		}
	}
	c.ready, err = w.im.store.PrepareImport(ctx, w.actor(), c.edits, c.offers)
	return err
}

// grow brings the store's schema to the plan before the first part of which
// anything can be stored: a file of which nothing can must not leave a family
// behind. A part before that is refused as it stands.
func (w *writer) grow(ctx context.Context, c *part) (err error) {
	results, err := w.im.store.TryImport(ctx, w.plan.schema, c.edits, c.offers)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(results, func(r postgres.EditResult) bool { return r.Err == nil }) {
		c.refused = results
		c.ready, err = w.im.store.PrepareImport(ctx, w.actor(), nil, postgres.ImportOffers{})
		return err
	}
	if w.plan.skuAlone && !slices.ContainsFunc(results, func(r postgres.EditResult) bool { return r.Err == nil && r.Created }) {
		return nil // prices and stock of products that are there need no family
	}
	return w.change(ctx)
}

// change brings the store's schema, and its categories, to the plan.
func (w *writer) change(ctx context.Context) (err error) {
	if c := w.plan.change; len(c.Attributes)+len(c.Families)+len(c.Locales)+len(c.Currencies)+len(c.PriceLists) > 0 {
		_, err = w.im.store.ChangeSchema(ctx, *c)
	}
	for _, t := range w.plan.types {
		if err == nil {
			_, _, err = w.im.store.PutAssociationType(ctx, t, 0)
		}
	}
	if err == nil && len(w.plan.categories) > 0 {
		_, err = w.im.store.PutCategories(ctx, w.plan.categories)
	}
	if inv, ok := errors.AsType[*pim.Invalid](err); ok {
		return &overtakenError{inv}
	}
	w.grown = err == nil
	return err
}

func (w *writer) store(ctx context.Context, c *part, tally func([]postgres.EditResult) postgres.ImportProgress) error {
	if w.dry {
		return w.im.store.ImportDryChunk(ctx, w.lease, w.plan.schema, c.edits, c.offers, tally)
	}
	return w.im.store.ImportChunk(ctx, w.lease, c.ready, tally)
}

func (w *writer) write(ctx context.Context, c *part) error {
	began := time.Now()
	var done postgres.ImportProgress
	err := w.store(ctx, c, func(results []postgres.EditResult) postgres.ImportProgress {
		if c.refused != nil {
			results = c.refused
		}
		done = c.tally(w.plan, results)
		return done
	})
	if err != nil {
		return err
	}
	w.im.chunk.Observe(time.Since(began).Seconds())
	for outcome, n := range map[string]int64{"created": done.Created, "changed": done.Changed, "unchanged": done.Unchanged, "rejected": done.Rejected} {
		w.im.rows.WithLabelValues(outcome).Add(float64(n))
	}
	return nil
}

// Progress gives how fast an import that began at started goes, and how long
// it still takes at that pace; 0 when it is over, or when that cannot be told
// yet. Readers compute it from the import's row: nothing is kept for it.
func Progress(run postgres.ImportRun, started time.Time) (rowsPerSecond float64, eta time.Duration) {
	end := time.Now()
	if run.FinishedAt != nil {
		end = *run.FinishedAt
	}
	elapsed := end.Sub(started).Seconds()
	if elapsed <= 0 || run.RowsDone == 0 {
		return 0, 0
	}
	rowsPerSecond = float64(run.RowsDone) / elapsed
	if run.FinishedAt == nil && run.RowsTotal != nil && *run.RowsTotal > run.RowsDone {
		eta = time.Duration(float64(*run.RowsTotal-run.RowsDone) / rowsPerSecond * float64(time.Second))
	}
	return rowsPerSecond, eta
}
