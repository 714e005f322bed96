//go:build unix

package chaos

import (
	"context"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// disturbance is a step that was done.
type disturbance struct {
	step
	from, to time.Time // to is zero while it lasts
}

// log of all that was done, and of what lasts.
type disorder struct {
	mu   sync.Mutex
	list []*disturbance
}

func (d *disorder) begin(s step) *disturbance {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &disturbance{step: s, from: time.Now()}
	d.list = append(d.list, e)
	return e
}

func (d *disorder) end(e *disturbance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.to = time.Now()
}

// during reports whether, between two times and beside the disturbance itself,
// anything went on that keeps leases from being taken over: the database was
// restarted, its rows were locked, or other processes were killed or stopped.
func (d *disorder) during(from, to time.Time, except *disturbance) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.list {
		switch e.kind {
		case doRestart, doLock, doKill, doStop:
		default:
			continue
		}
		if e != except && e.from.Before(to) && (e.to.IsZero() || e.to.After(from)) {
			return true
		}
	}
	return false
}

// all are the disturbances of a kind.
func (d *disorder) all(kind string) (list []disturbance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.list {
		if e.kind == kind {
			list = append(list, *e)
		}
	}
	return list
}

// perform does all steps at their times, and returns when the last has ended.
// When ctx ends, what lasts ends at once.
func (r *run) perform(ctx context.Context, steps []step) {
	began := time.Now()
	var going sync.WaitGroup
	defer going.Wait()
	for _, s := range steps {
		if !pause(ctx, time.Until(began.Add(s.at))) {
			return
		}
		// Nothing lasts longer than the run.
		s.span = max(min(s.span, r.pace.length-s.at), 100*time.Millisecond)
		going.Go(func() { r.do(ctx, s) })
	}
	pause(ctx, time.Until(began.Add(r.pace.length)))
}

// pause waits; false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// do performs one step. What cannot be done at the moment is not counted.
func (r *run) do(ctx context.Context, s step) {
	e := r.disorder.begin(s)
	defer r.disorder.end(e)
	name := s.kind
	if s.how != "" {
		name += ": " + s.how
	}
	done := true
	switch s.kind {
	case doKill, doStop:
		done = r.harm(ctx, e)
	case doRestart:
		done = r.restart(ctx)
	case doEnd:
		done = r.exec(ctx, sqlEndBackends, pgx.NamedArgs{"n": 1 + s.who%4})
	case doDeafen:
		done = r.exec(ctx, sqlEndListeners, nil)
	case doJobs:
		done = r.exec(ctx, `delete from river_job`, nil)
	case doSnapshot, doLock:
		done = r.hold(ctx, s)
	case doDatabase:
		done = r.disturb(ctx, r.processes[s.who%len(r.processes)].db, s)
	case doAPI:
		ways := r.apis()
		done = r.disturb(ctx, ways[s.who%len(ways)], s)
	case doTarget:
		list := r.lively()
		done = r.disturb(ctx, list[s.who%len(list)].way, s)
	case doFault:
		done = r.mislead(ctx, s)
	}
	if done {
		r.count(name, 1)
	}
}

const (
	sqlEndBackends = `
select pg_terminate_backend(pid) from (
    select pid from pg_stat_activity where datname = current_database() and application_name like 'sluice%' order by random() limit @n) b`
	sqlEndListeners = `
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name like 'sluice%' and query ilike 'listen %'`
)

// exec runs a statement on the chaos's own connection.
func (r *run) exec(ctx context.Context, sql string, args pgx.NamedArgs) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := r.pool.Exec(ctx, sql, args)
	return err == nil // the server may be starting
}

// restart ends the server at once and starts it again. One at a time.
func (r *run) restart(ctx context.Context) bool {
	if !r.restarting.TryLock() {
		return false
	}
	defer r.restarting.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := r.server.Restart(ctx); err != nil {
		r.violated("durability", nil, "PostgreSQL: %v", err)
		return false
	}
	return true
}

// harm kills a process, or stops it and lets it go on.
func (r *run) harm(ctx context.Context, e *disturbance) bool {
	p := r.processes[e.who%len(r.processes)]
	held := r.watch.held(ctx, p.pid())
	if e.kind == doKill {
		p.mayStart.Lock()
		defer p.mayStart.Unlock()
		if _, ok := p.signal(syscall.SIGKILL); !ok {
			return false
		}
		r.watch.vanished(e, held)
		pause(ctx, e.span)
		return true
	}
	if _, ok := p.signal(syscall.SIGSTOP); !ok {
		return false
	}
	r.watch.stopped(held)
	pause(ctx, e.span)
	p.signal(syscall.SIGCONT)
	if len(held) > 0 && e.span > leaseFor {
		r.count("of these, holders stopped for longer than their lease", 1)
	}
	return true
}

// leaseFor is how long a holder may go unheard; see package jobs.
const leaseFor = 5 * time.Second

// disturb makes a way faulty.
func (r *run) disturb(ctx context.Context, way *proxy, s step) bool {
	f := &fault{kind: s.how, delay: r.pace.brief / 6, rate: 4 << 10, since: time.Now()}
	if err := way.set(f); err != nil {
		r.violated("chaos", nil, "%v", err)
	}
	pause(ctx, s.span)
	if err := way.set(nil); err != nil {
		r.violated("chaos", nil, "%v", err)
	}
	return true
}

// mislead makes a target faulty; one fault at a time.
func (r *run) mislead(ctx context.Context, s step) bool {
	list := r.lively()
	t := list[s.who%len(list)]
	if !t.faulty.TryLock() {
		return false
	}
	defer t.faulty.Unlock()
	t.fault(s, r.products[s.who%len(r.products)].sku, s.span)
	wait := s.span
	if s.how == targetSlow {
		wait *= 2 // the end of a fault hurries what is slow
	}
	pause(ctx, wait)
	t.up()
	return true
}

// hold keeps a transaction open, with the snapshot of its beginning or with
// locks that others wait for.
func (r *run) hold(ctx context.Context, s step) bool {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	level := pgx.RepeatableRead
	if s.kind == doLock {
		level = pgx.ReadCommitted // it waits for what others change
	}
	tx, err := r.pool.BeginTx(own, pgx.TxOptions{IsoLevel: level})
	if err != nil {
		return false
	}
	defer func() {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = tx.Rollback(own) // the server may have been restarted
	}()
	sql := `select count(*) from product`
	if s.kind == doLock {
		sql = [...]string{
			`select from product order by random() limit 2 for update`,
			`select from listing order by random() limit 3 for update`,
			`select from consumer where kind in ('drain', 'fanout') order by random() limit 1 for update`,
			`select from channel order by random() limit 1 for update`,
		}[s.who%4]
	}
	if _, err := tx.Exec(own, sql); err != nil {
		return false
	}
	pause(ctx, s.span)
	return true
}
