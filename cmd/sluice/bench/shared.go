//go:build unix

package bench

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim/seal"
)

// busyChannels is how many channels the worker processes share.
const busyChannels = 8

// workerArgs make this program a worker process.
var workerArgs = []string{"bench", "--worker"}

// work is what a worker process is told.
type work struct {
	DSN    string `json:"dsn"`
	Keyset string `json:"keyset"`
}

// serveWorker is a worker process, as `sluice serve --role worker` runs one,
// until in ends.
func serveWorker(ctx context.Context, in io.Reader, out io.Writer, log *slog.Logger) error {
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read what to work on: %w", err)
	}
	var w work
	if err := json.Unmarshal(line, &w); err != nil {
		return fmt.Errorf("read what to work on: %w", err)
	}
	keys, err := seal.OpenOrCreate(w.Keyset)
	if err != nil {
		return err
	}
	n, err := node.Start(ctx, node.Options{DSN: w.DSN, Keys: keys, Log: log, Work: true, AllowPrivate: true, Version: "bench"})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, "ready")
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	return errors.Join(err, n.Stop(bound))
}

// worker is the bench's end of a worker process.
type worker struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// startWorker starts a worker process on one processor, and waits until it works.
func startWorker(h *house) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program for a worker process: %w", err)
	}
	w := &worker{cmd: exec.Command(self, workerArgs...)}
	w.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	// In a session of its own, as in a container: where the machine is busy, Linux
	// shares processors among sessions (sched(7), autogroup).
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	w.cmd.Stderr = os.Stderr
	in, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a worker process: %w", err)
	}
	w.stdin = in
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a worker process: %w", err)
	}
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a worker process: %w", err)
	}
	timer := time.AfterFunc(patience, func() { _ = w.cmd.Process.Kill() })
	defer timer.Stop()
	err = json.NewEncoder(in).Encode(work{DSN: h.dsn, Keyset: filepath.Join(h.dir, "keyset.json")})
	if err == nil {
		_, err = bufio.NewReader(io.LimitReader(out, 1<<10)).ReadString('\n')
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a worker process: %w", err), ignoreGone(w.cmd.Process.Kill()), ignoreExit(w.cmd.Wait()))
	}
	return w, nil
}

// ignoreGone drops the error of ending a process that has ended.
func ignoreGone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// close ends a worker process: the end of its input is its sign.
func (w *worker) close() error {
	err := w.stdin.Close()
	timer := time.AfterFunc(closing, func() { _ = w.cmd.Process.Kill() })
	defer timer.Stop()
	return errors.Join(err, w.cmd.Wait())
}

// laborious is a mapping that makes the worker the limit: each product costs it
// many times what the road costs, as rich descriptions for a marketplace do.
func laborious() *connectors.Mapping {
	m := connectors.DefaultMapping()
	long := strings.Repeat(" + values.description", laboriousTimes)[len(" + "):]
	m.Content["teaser"] = fmt.Sprintf("stripTags(%s).truncate(200)", long)
	return &m
}

const laboriousTimes = 16

const sqlAllClean = `select not exists (select from channel where mark_after is not null and deleted_at is null) and not exists (
    select from channel c where c.deleted_at is null
      and coalesce((select dirty from listing l where l.channel_id = c.id and l.lane = 1 and l.dirty order by l.due_at limit 1), false))`

// shared times two worker processes beside one, on several busy channels.
func (b *bench) shared(ctx context.Context) error {
	products := max(min(b.Products/5, 4000), minProducts/2)
	if err := b.stock(ctx, products); err != nil {
		return err
	}
	took := map[int]time.Duration{}
	for range b.rounds() {
		for _, workers := range []int{1, 2} {
			d, err := b.sharedBy(ctx, workers)
			if err != nil {
				return err
			}
			took[workers] += d
		}
	}
	one, two := computing(1), computing(2)
	b.report.beside("what two processors compute, SHA-256 of blocks", two, "MB/s", "one computes", one, nil, "the most that two processes can be to one here")
	n := products * busyChannels * b.rounds()
	b.report.beside("pushed by two worker processes", perSecond(n, took[2]), "listings/s", "by one", perSecond(n, took[1]), atLeast(1.6),
		fmt.Sprintf("%d channels, a processor for each process, a mapping that takes the tags out of %d descriptions a product", busyChannels, laboriousTimes))
	return nil
}

// computing is what n processors compute at once, in megabytes a second: on
// threads of one core two are not twice one.
func computing(n int) float64 {
	const block, span = 64 << 10, time.Second
	var done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range n {
		all.Go(func() {
			for b := make([]byte, block); time.Since(began) < span; {
				sum := sha256.Sum256(b)
				copy(b, sum[:])
				done.Add(block)
			}
		})
	}
	all.Wait()
	return float64(done.Load()) / 1e6 / time.Since(began).Seconds()
}

func (b *bench) sharedBy(ctx context.Context, n int) (took time.Duration, err error) {
	b.say("push to %d channels from %d worker processes", busyChannels, n)
	for range n {
		w, err := startWorker(b.house)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, w.close()) }()
	}
	var numbers []int
	for i := range busyChannels {
		number, err := b.house.open(ctx, fmt.Sprintf("bench-%d", i), outlet{target: i % targets, paused: true, batch: 100, calls: 4, mapping: laborious()}, b.sink)
		if err != nil {
			return 0, err
		}
		numbers = append(numbers, number)
	}
	if err := b.house.marked(ctx); err != nil {
		return 0, err
	}
	if err := errors.Join(b.sink.begin(ctx), b.house.resume(ctx, numbers...)); err != nil {
		return 0, err
	}
	if err := b.sink.some(ctx); err != nil { // else the opening of channels counts, too
		return 0, err
	}
	began := time.Now()
	if err := until(ctx, b.house.pool, sqlAllClean); err != nil {
		return 0, err
	}
	took = time.Since(began)
	return took, b.house.forget(ctx, numbers...)
}
