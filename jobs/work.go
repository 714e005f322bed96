package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/media"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Work beside the road: tasks (postgres.Task) and what makes them. A task is
// worked off by the consumer of its kind, under a lease as everything is; what
// came of it and the task's end are one transaction, so that a process killed
// in between does the work once more and stores it once.

// worksOff is what is particular to a kind of task.
type worksOff interface {
	// takes is how many tasks one step claims at most, and how many of one lot.
	takes() (all, lot int)
	// do works tasks off and stores how each ended. Its error ends the lease.
	do(ctx context.Context, l postgres.Lease, tasks []postgres.Task) error
}

// tasker is the worker of any kind of task.
type tasker struct {
	r    *Runner
	kind worksOff
}

// step implements worker.
func (t *tasker) step(ctx context.Context, l postgres.Lease) (next, error) {
	all, lot := t.kind.takes()
	tasks, err := t.r.store.ClaimTasks(ctx, l, all, lot)
	if err != nil {
		return next{}, err
	}
	if len(tasks) == 0 {
		in, _, err := t.r.store.NextTask(ctx, l)
		return next{in: in, idle: true}, err
	}
	if err := t.kind.do(ctx, l, tasks); err != nil {
		return next{}, err
	}
	return next{again: true}, nil
}

const (
	taskAttempts = 12 // with backoff about a day and a half
	taskMost     = 6 * time.Hour
	lotFails     = 3 // consecutive: then the lot waits
)

// endOf is how a task ends by an error: for good, or to be tried again.
func endOf(t postgres.Task, e *connectors.Error) postgres.TaskEnd {
	end := postgres.TaskEnd{Task: t, Error: errorText(e), After: max(e.After, min(30*time.Second<<min(t.Attempts, 20), taskMost))}
	switch e.Verdict {
	case connectors.Validation, connectors.Permanent:
		end.Failed = true
	default:
		end.Failed = t.Attempts+1 >= taskAttempts
	}
	return end
}

// later is how a task ends that our own storage, or our version, keeps from
// being done: it is never given up for that.
func later(t postgres.Task, err error) postgres.TaskEnd {
	end := endOf(t, &connectors.Error{Verdict: connectors.Unavailable, Err: err})
	end.Failed = false
	return end
}

// fetcher gets assets from their URLs.
type fetcher struct {
	r *Runner
	m *Media
}

// fetchesAtOnce is how many files are fetched at a time, of one host two.
const fetchesAtOnce = 8

func (*fetcher) takes() (all, lot int) { return fetchesAtOnce, 2 }

func (f *fetcher) do(ctx context.Context, l postgres.Lease, tasks []postgres.Task) error {
	assets, err := f.r.store.AssetsByID(ctx, subjectsOf(tasks))
	if err != nil {
		return err
	}
	byID := map[int64]postgres.Asset{}
	for _, a := range assets {
		byID[a.ID] = a
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		g.Go(func() error { return f.one(ctx, l, t, byID[t.Subject]) })
	}
	return g.Wait()
}

func (f *fetcher) one(ctx context.Context, l postgres.Lease, t postgres.Task, a postgres.Asset) error {
	if a.ID == 0 || a.Source == "" { // it went meanwhile
		return f.r.store.EndTasks(ctx, l, []postgres.TaskEnd{{Task: t}}, nil)
	}
	etag := a.ETag
	if a.Hash == nil || etag != "" && f.m.lost(ctx, a.Hash) { // a host that says that nothing changed would send nothing
		etag = ""
	}
	file, err := f.m.client.Fetch(ctx, a.Source, etag)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && file.Unchanged {
		f.r.metrics.task(l.Kind, "done")
		return f.r.store.EndTasks(ctx, l, []postgres.TaskEnd{{Task: t}}, nil)
	}
	var stored blob.Stored
	if err == nil && len(file.Body) == 0 {
		err = &connectors.Error{Verdict: connectors.Permanent, Err: errors.New("the file is empty")}
	}
	if err == nil {
		if stored, err = f.m.blobs.Put(ctx, bytes.NewReader(file.Body), MaxAsset); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return f.blobsDown(ctx, l, t, err)
		}
	}
	if err != nil {
		e := connectors.AsError(err)
		end := endOf(t, e)
		f.r.metrics.task(l.Kind, "failed")
		f.r.log.InfoContext(ctx, "fetch", "asset", a.Code, "err", end.Error, "attempts", t.Attempts+1)
		if e.Verdict == connectors.Unavailable || e.Verdict == connectors.Throttled {
			if err := f.r.store.LotFailed(ctx, l, t.Lot, end.Error, max(e.After, probeWait(t.Attempts)), e.Verdict == connectors.Throttled, lotFails); err != nil {
				return err
			}
		}
		failed := postgres.Asset{ID: a.ID, Error: end.Error}
		return f.r.store.EndFetches(ctx, l, []postgres.Fetched{{Asset: failed}}, []postgres.TaskEnd{end})
	}
	found := f.m.describe(ctx, file.Body)
	found.ID, found.Code, found.Ref, found.Source, found.ETag, found.Hash = a.ID, a.Code, a.Ref, a.Source, file.ETag, stored.Hash[:]
	found.Filename, found.Focal, found.Labels = file.Name, a.Focal, a.Labels
	f.r.metrics.task(l.Kind, "done")
	if err := f.r.store.EndFetches(ctx, l, []postgres.Fetched{{Asset: found}}, []postgres.TaskEnd{{Task: t}}); err != nil {
		return err
	}
	f.r.Wake(renderers...)
	f.r.Wake(postgres.Consumer{Kind: postgres.Derive})
	return nil
}

// blobsDown leaves a task for later: it is our storage that is in trouble.
func (f *fetcher) blobsDown(ctx context.Context, l postgres.Lease, t postgres.Task, err error) error {
	f.r.log.ErrorContext(ctx, "store a file", "err", err)
	return f.r.store.LotFailed(ctx, l, t.Lot, "the file storage: "+err.Error(), time.Minute, true, lotFails)
}

func subjectsOf(tasks []postgres.Task) []int64 {
	ids := make([]int64, len(tasks))
	for i, t := range tasks {
		ids[i] = t.Subject
	}
	return ids
}

// renderers are the consumers of the render tasks' shards.
var renderers = []postgres.Consumer{
	{Kind: postgres.Render, Lane: 0}, {Kind: postgres.Render, Lane: 1}, {Kind: postgres.Render, Lane: 2}, {Kind: postgres.Render, Lane: 3},
}

// renderer makes renditions: all that one original needs of one decoding.
type renderer struct {
	r *Runner
	m *Media
	// room bounds how many originals are decoded at once in this process, for
	// their memory and so that deliveries are not starved of processors.
	room chan struct{}
}

func newRenderer(r *Runner, m *Media) *renderer {
	return &renderer{r: r, m: m, room: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

func (*renderer) takes() (all, lot int) { return 64, 64 }

func (w *renderer) do(ctx context.Context, l postgres.Lease, tasks []postgres.Task) error {
	byRow := map[int64]postgres.Task{}
	for _, t := range tasks {
		byRow[t.Subject] = t
	}
	list, err := w.r.store.Renditions(ctx, subjectsOf(tasks), nil)
	if err != nil {
		return err
	}
	seen := map[int64]bool{}
	for len(list) > 0 {
		n := 1
		for n < len(list) && string(list[n].Original) == string(list[0].Original) && list[n].Focal == list[0].Focal {
			n++
		}
		for _, r := range list[:n] {
			seen[r.ID] = true
		}
		if err := w.original(ctx, l, list[:n], byRow); err != nil {
			return err
		}
		list = list[n:]
	}
	var gone []postgres.TaskEnd
	for _, t := range tasks {
		if !seen[t.Subject] {
			gone = append(gone, postgres.TaskEnd{Task: t})
		}
	}
	if len(gone) > 0 {
		return w.r.store.EndTasks(ctx, l, gone, nil)
	}
	return nil
}

// original makes what is wanted of one original and one focal point.
func (w *renderer) original(ctx context.Context, l postgres.Lease, list []postgres.Rendition, tasks map[int64]postgres.Task) error {
	select {
	case w.room <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-w.room }()
	var (
		definitions []media.Definition
		wanted      []postgres.Rendition
		made        []postgres.Rendition
		ends        []postgres.TaskEnd
		unwanted    []int64
	)
	for _, r := range list {
		d, err := media.ParseDefinition(r.Wanted)
		if r.Wanted != nil && err != nil { // made by a newer version of us, which may come by
			ends = append(ends, later(tasks[r.ID], fmt.Errorf("read definition %s: %w", r.Definition, err)))
			continue
		}
		if r.Wanted == nil || r.Hash != nil {
			if r.Hash == nil {
				unwanted = append(unwanted, r.ID)
			}
			ends = append(ends, postgres.TaskEnd{Task: tasks[r.ID]})
			continue
		}
		definitions, wanted = append(definitions, d), append(wanted, r)
	}
	if len(wanted) > 0 {
		began := time.Now()
		content, err := w.m.read(ctx, blob.Hash(wanted[0].Original))
		var results []media.Result
		if err == nil {
			results, err = w.m.engine.Render(ctx, content, definitions, FocalPoint(wanted[0].Focal))
		}
		fault, faulty := errors.AsType[*media.Fault](err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i, r := range wanted {
			end := postgres.TaskEnd{Task: tasks[r.ID]}
			r.Error, r.Issues = "", nil // of an attempt that was given up
			switch {
			case errors.Is(err, blob.ErrNotFound):
				r.Error = postgres.NoFile
				w.r.log.ErrorContext(ctx, "render: the file storage has lost an original", "file", blob.Hash(r.Original))
			case faulty && fault.Code != media.FaultTime:
				r.Error = err.Error()
			case faulty:
				end = endOf(tasks[r.ID], &connectors.Error{Verdict: connectors.Unavailable, Err: err})
				if end.Failed { // listings wait no longer
					r.Error = err.Error()
				}
			case err != nil:
				end = later(tasks[r.ID], err)
			case results[i].Bytes == nil:
				r.Error, r.Issues = "no rendition could be made", results[i].Issues
				if len(r.Issues) > 0 {
					r.Error = r.Issues[0].Text
				}
			default:
				res := results[i]
				stored, err := w.m.blobs.Put(ctx, bytes.NewReader(res.Bytes), MaxAsset)
				if err != nil {
					if ctx.Err() != nil {
						return context.Cause(ctx)
					}
					end = later(tasks[r.ID], err)
					break
				}
				r.Hash, r.Size, r.Width, r.Height, r.MediaType, r.Issues = stored.Hash[:], stored.Size, res.Width, res.Height, res.Format.MediaType(), res.Issues
			}
			if end.Error == "" || r.Error != "" {
				made = append(made, r)
			}
			if end.Error == "" {
				w.r.metrics.task(l.Kind, "done")
			} else {
				w.r.log.WarnContext(ctx, "render", "rendition", r.ID, "err", end.Error)
				w.r.metrics.task(l.Kind, "failed")
			}
			ends = append(ends, end)
		}
		w.r.metrics.rendered(len(wanted), time.Since(began))
	}
	if err := w.r.store.EndRenders(ctx, l, made, unwanted, ends); err != nil {
		return err
	}
	w.r.Wake(postgres.Consumer{Kind: postgres.Derive})
	return nil
}

// deriver works out what follows from changed products beside their listings.
type deriver struct {
	r *Runner
	// also are those who want to know of changed products: what they find is
	// stored in the same transaction. Those that wake are poked after it.
	also []Deriver
}

// Deriver finds out what follows from changed products.
type Deriver interface {
	// Plan looks at products as they are now, and gives what is to be stored, nil
	// for nothing.
	Plan(ctx context.Context, products []postgres.Derived) (func(context.Context, pgx.Tx) error, error)
	// Wakes are the consumers that have work after it.
	Wakes() []postgres.Consumer
}

const (
	// derives is how many products one step looks at.
	derives = 200
	// walks is how many products one step derives the prices of for another rule,
	// derives while there are edits: whoever sets a price or a stock level of one of
	// them waits for the step.
	walks = 1000
)

// step implements worker.
func (d *deriver) step(ctx context.Context, l postgres.Lease) (next, error) {
	// A piece for each step: neither waits for the end of the other.
	more, err := d.r.store.Spread(ctx)
	if err != nil {
		return next{}, err
	}
	if more {
		d.r.Wake(renderers...)
	}
	walked, err := d.walk(ctx, l)
	if err != nil {
		return next{}, err
	}
	more = more || walked
	products, err := d.r.store.ClaimDerive(ctx, l, derives)
	if err != nil {
		return next{}, err
	}
	if len(products) == 0 {
		return next{again: more, idle: !more}, nil
	}
	schema, err := d.r.store.RefreshSchema(ctx)
	if err != nil {
		return next{}, err
	}
	found := postgres.Derivation{Products: products, Refs: make([][]string, len(products))}
	for i, p := range products {
		if p.Deleted {
			continue
		}
		values, err := pim.DecodeStored(p.Values)
		if err != nil {
			d.r.log.ErrorContext(ctx, "derive", "sku", p.SKU, "err", err)
			continue
		}
		found.Refs[i] = mediaRefs(values, schema)
	}
	var also []func(context.Context, pgx.Tx) error
	wake := []postgres.Consumer{{Kind: postgres.Fetch}}
	for _, a := range d.also {
		do, err := a.Plan(ctx, products)
		if err != nil {
			return next{}, fmt.Errorf("derive: %w", err)
		}
		if do != nil {
			also = append(also, do)
			wake = append(wake, a.Wakes()...)
		}
	}
	var repriced int64
	found.Also = func(ctx context.Context, tx pgx.Tx) error {
		for _, do := range also {
			if err := do(ctx, tx); err != nil {
				return err
			}
		}
		if schema.PriceRules {
			repriced, err = d.r.store.DerivePrices(ctx, tx, products)
		}
		return err
	}
	if err := d.r.store.Derive(ctx, l, found); err != nil {
		return next{}, err
	}
	if repriced > 0 {
		wake = append(wake, postgres.Consumer{Kind: postgres.Fanout})
	}
	d.r.Wake(wake...)
	return next{again: more || len(products) == derives, idle: false}, nil
}

// walk derives the prices of the next products that another rule may be for.
func (d *deriver) walk(ctx context.Context, l postgres.Lease) (more bool, err error) {
	most := walks
	if d.r.courtesy.asked() {
		most = derives
	}
	changed, more, err := d.r.store.WalkPrices(ctx, l, most)
	if changed > 0 {
		d.r.Wake(postgres.Consumer{Kind: postgres.Fanout})
	}
	return more, err
}
