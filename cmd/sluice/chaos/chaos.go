//go:build unix

// Package chaos is `sluice chaos`: it runs several processes of Sluice with a
// database and channels of its own, edits products through the API, and breaks
// everything that can break while it does: processes, the database, targets, and
// every way between two of them. Then it lets all be well, waits for quiet, and
// holds what the targets received, and what they hold, against the invariants of
// docs/reliability.md.
//
// What lives here: the schedule of a seed, a TCP proxy with faults, the editors
// with their books, and the checks. Nothing of it is used by the rest of the
// program. What the targets ought to hold comes from the editors' books, never
// from what Sluice says of itself.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/migrations"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/postgres/localpg"
	"github.com/sluicehub/sluice/pim/seal"
)

// Command is `sluice chaos`. Its zero value is not usable: kong fills in the
// defaults.
type Command struct {
	Minutes   float64       `default:"60" help:"How long everything is broken, in minutes."`
	Quick     bool          `help:"A run of about a minute, with shorter waits."`
	Seed      uint64        `help:"What the schedule is made of; 0 takes a new one, which is printed."`
	Processes int           `default:"4" help:"Processes of Sluice (2 to 16), of which two serve the API."`
	Products  int           `default:"60" help:"Products (12 to 1,000)."`
	Editors   int           `default:"8" help:"Editors, each with products of its own (1 to 12)."`
	Patience  time.Duration `default:"10m" help:"How long quiet may take to come."`
	Plan      bool          `help:"Print the schedule of a seed, and do nothing."`
	Keep      bool          `help:"Keep the folder with the processes' logs and the database."`
}

// Help is what `sluice chaos --help` says beside the flags.
func (*Command) Help() string {
	return "Everything is private to the run and on loopback. The status is 1 when an invariant was broken; then the folder with the logs stays. " +
		"docs/reliability.md says what is checked."
}

// run is one run.
type run struct {
	*Command
	pace     *pace
	out      io.Writer // the figures
	progress io.Writer
	dir      string
	key      string // of the API

	server     *localpg.Server
	pool       *pgxpool.Pool
	processes  []*process
	targets    []*target
	products   []*product
	watch      *watch
	disorder   disorder
	restarting sync.Mutex
	over       func() bool // the run was interrupted
	began      time.Time
	healed     time.Time // when all faults had ended
	quietAfter time.Duration
	sentIdle   int64
	verdict    *verdict

	mu     sync.Mutex
	counts map[string]int
	order  []string
	broken []violation
}

// violation is a breach of an invariant with what is known of it.
type violation struct {
	found
	history []string
}

// Run breaks things, checks, and prints the figures to standard output and
// progress to standard error.
func (c *Command) Run(ctx context.Context, log *slog.Logger) error {
	return c.run(ctx, log, os.Stdout, os.Stderr)
}

func (c *Command) run(ctx context.Context, log *slog.Logger, out, progress io.Writer) (err error) {
	if c.Processes < 2 || c.Processes > 16 || c.Products < 12 || c.Products > 1000 || c.Editors < 1 || c.Editors > 12 {
		return errors.New("--processes is from 2 to 16, --products from 12 to 1000, --editors from 1 to 12")
	}
	if c.Minutes <= 0 || c.Minutes > 10_000 {
		return fmt.Errorf("--minutes is %v, it must be above 0 and at most 10000", c.Minutes)
	}
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	r := &run{Command: c, out: out, progress: progress, counts: map[string]int{}, verdict: &verdict{}, pace: fullPace(time.Duration(c.Minutes * float64(time.Minute)))}
	if c.Quick {
		r.pace = quickPace(15 * time.Second)
	}
	r.over = func() bool { return ctx.Err() != nil }
	r.watch = newWatch(r)
	steps := planned(r.strand(0), r.pace)
	if c.Plan {
		for _, s := range steps {
			fmt.Fprintln(out, s)
		}
		return nil
	}
	fmt.Fprintf(out, "sluice chaos: seed %d, %v with %d processes, %d products, %d editors, %d steps\n", c.Seed, r.pace.length, c.Processes, c.Products, c.Editors, len(steps))
	defer func() {
		err = errors.Join(err, r.close(r.isBroken() || err != nil && ctx.Err() == nil))
	}()
	if err := r.open(ctx, log); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	if err := r.live(ctx, steps); err != nil {
		return fmt.Errorf("chaos: %w", err)
	}
	r.report()
	if r.isBroken() {
		return fmt.Errorf("chaos: seed %d: invariants were broken, see above; the processes' logs are in %s", c.Seed, r.dir)
	}
	return nil
}

// strand is the random numbers of one part of the run, so that none hangs on how
// often another asked.
func (r *run) strand(n uint64) *rand.Rand { return rand.New(rand.NewPCG(r.Seed, n)) }

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.progress, "chaos: "+format+"\n", args...)
}

// count counts something for the figures.
func (r *run) count(what string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.counts[what]; !known {
		r.order = append(r.order, what)
	}
	r.counts[what] += n
}

// violated notes a breach of an invariant; p may be nil.
func (r *run) violated(invariant string, p *product, format string, args ...any) {
	if r.over() {
		return // what was cut off proves nothing
	}
	v := violation{found: found{invariant: invariant, text: fmt.Sprintf(format, args...)}}
	if p != nil {
		v.sku, v.history = p.sku, append([]string(nil), p.history...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = append(r.broken, v)
	r.say("BROKEN: %s: %s %s", invariant, v.sku, v.text)
}

func (r *run) isBroken() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.broken) > 0
}

// open starts all that a run needs.
func (r *run) open(ctx context.Context, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	temp := os.TempDir()
	if ok, err := localpg.Enterable(temp); err != nil || !ok {
		temp = "/tmp"
	}
	var err error
	if r.dir, err = os.MkdirTemp(temp, "sluice-chaos-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := os.Chmod(r.dir, 0o711); err != nil { // as root the server runs as another user
		return fmt.Errorf("make a folder: %w", err)
	}
	if r.server, err = localpg.Start(ctx, localpg.Options{
		DataDir: filepath.Join(r.dir, "pg"), Durable: true, ExtraConfig: map[string]string{"max_connections": "500"},
	}); err != nil {
		return err
	}
	if err := migrations.Up(ctx, r.server.DSN(), log); err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(r.server.DSN())
	if err != nil {
		return errors.New("the private server's address cannot be read")
	}
	config.MaxConns = 24
	config.ConnConfig.RuntimeParams["application_name"] = "chaos"
	if r.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if err := r.furnish(ctx); err != nil {
		return err
	}
	for i := range r.Processes {
		if err := r.start(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// furnish makes key, schema and channels as people would, before anything runs.
func (r *run) furnish(ctx context.Context) error {
	store, err := postgres.Open(ctx, r.server.DSN(), postgres.Options{EditConns: 2, WorkConns: 2})
	if err != nil {
		return err
	}
	defer store.Close()
	keys, err := seal.OpenOrCreate(r.keyset())
	if err != nil {
		return err
	}
	key, hash := api.NewKey()
	if _, err := store.CreateKey(ctx, "chaos", "admin", hash); err != nil {
		return err
	}
	r.key = key
	if _, err := store.ChangeSchema(ctx, defined()); err != nil {
		return err
	}
	channels := jobs.NewChannels(store, all.Registry(), keys, connectors.Env{AllowPrivate: true, Version: "chaos"})
	if err := channels.BindKeyset(ctx); err != nil {
		return err
	}
	if r.targets, err = openTargets(ctx, channels, r.pace); err != nil {
		return err
	}
	for i := range r.Products {
		p := &product{sku: skuOf(i), flips: i%2 == 1, least: map[int64]int64{}, apart: map[*target]bool{}}
		if i%3 == 0 {
			p.ean = eanOf(i)
		}
		r.products = append(r.products, p)
	}
	return nil
}

func (r *run) keyset() string { return filepath.Join(r.dir, "keyset.json") }

// serving is how many processes serve the API.
const serving = 2

// start starts a process behind proxies.
func (r *run) start(ctx context.Context, i int) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	address := r.server.DSN()
	at, rest, _ := strings.Cut(address[strings.LastIndex(address, "@")+1:], "/")
	p := &process{
		name: fmt.Sprintf("process-%d", i), args: []string{self, "serve", "--no-migrate", "--roles", "worker"},
		fail: func(format string, args ...any) { r.violated("durability", nil, format, args...) },
	}
	if i < serving {
		p.args = []string{self, "serve", "--no-migrate", "--listen", "127.0.0.1:0"}
		if p.api, err = newProxy(""); err != nil {
			return err
		}
	}
	if p.db, err = newProxy(at); err != nil {
		return err
	}
	p.env = append(
		cleanEnv(), "DATABASE_URL="+address[:strings.LastIndex(address, "@")+1]+p.db.addr+"/"+rest, "SLUICE_KEYSET="+r.keyset(),
		"SLUICE_ALLOW_PRIVATE_TARGETS=true", "SLUICE_LOG_LEVEL=info", "SLUICE_PUBLIC_URL=http://127.0.0.1:9",
	)
	r.processes = append(r.processes, p)
	return p.run(ctx, r.dir)
}

// apis are the ways to the API.
func (r *run) apis() (ways []*proxy) {
	for _, p := range r.processes {
		if p.api != nil {
			ways = append(ways, p.api)
		}
	}
	return ways
}

// close ends whatever runs, and removes the folder unless it is kept.
func (r *run) close(keep bool) error {
	var going sync.WaitGroup
	for _, p := range r.processes {
		going.Go(p.kill)
	}
	going.Wait()
	for _, p := range r.processes {
		p.db.close()
		if p.api != nil {
			p.api.close()
		}
	}
	var err error
	for _, t := range r.targets {
		if t.way != nil {
			t.way.close()
		}
		err = errors.Join(err, t.close())
	}
	if r.pool != nil {
		r.pool.Close()
	}
	if r.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = errors.Join(err, r.server.Stop(ctx))
		if dir := r.server.Dir(); !keep && !r.Keep && !strings.HasPrefix(dir, r.dir) {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}
	if r.dir != "" && !keep && !r.Keep {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}
