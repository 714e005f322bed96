//go:build unix

// Package bench is `sluice bench`: it measures Sluice beside yardsticks of the
// same run, machine and database, and says which aims it meets. What lives
// here: the workloads, the yardsticks (COPY, plain transactions, a bare River,
// plain HTTP), the target process that receives, and the report. Nothing here
// is used by the rest of the program, and nothing here is faster than what
// users get: the node that is measured is the one that `sluice serve` runs.
//
// docs/performance.md shows a run and says what limits each figure.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
)

// Command is `sluice bench`. Its zero value is not usable: kong fills in the
// defaults.
type Command struct {
	JSON        bool     `name:"json" help:"Write one JSON object instead of tables."`
	Quick       bool     `help:"A run of about 40 seconds: fewer products, shorter measures."`
	Only        []string `help:"Measures to run: ${enum}." enum:"images,import,fanout,edits,push,paced,dead,attached,idle,shared,steady,find,completeness,prices" placeholder:"MEASURE"`
	Products    int      `default:"20000" help:"Products in the catalogue, which are also the listings of each channel (100 to 1,000,000)."`
	Seconds     float64  `default:"6" help:"Length of each measure that lasts a time, in seconds."`
	Connections int      `default:"12" help:"Connections that edit at once, over HTTP and in the yardstick."`
	Waiting     int      `default:"1000000" help:"Listings that wait behind a dead channel, and listings of a channel that is attached (100 to 10,000,000)."`
	Idle        int      `default:"200" help:"Channels of a process that is idle (1 to 1,000)."`
	Few         int      `default:"10000" help:"Products of the small catalogue that pages are read of (100 to 10,000,000)."`
	Many        int      `default:"1000000" help:"Products of the large one (100 to 10,000,000)."`
	Family      int      `default:"100000" help:"Products whose completeness and prices are made anew (100 to 10,000,000)."`
	Minutes     float64  `default:"2" help:"How long edits go on while heap and goroutines are watched, in minutes."`
	Images      []int    `default:"12,24" placeholder:"MP" help:"Sizes of the photographs that renditions are made of, in megapixels (1 to 50)."`
	Profile     string   `type:"path" placeholder:"DIR" help:"Write a CPU profile of each measure there, and (on the private server) the statements' times."`
	Sink        bool     `hidden:"" help:"Be the target process of a bench that runs already."`
	Worker      bool     `hidden:"" help:"Be a worker process of a bench that runs already."`
	Render      string   `hidden:"" help:"Be the process of a bench that makes renditions in this way."`
	Photo       string   `hidden:"" help:"What Render makes renditions of."`

	dsn string // DATABASE_URL; "" starts a private server
	log *slog.Logger
}

// The measures, in the order in which they run: each leaves the database as
// the next one wants it. Images need none.
const (
	measureImages = "images"
	measureImport = "import"
	measureFanout = "fanout"
	measureEdits  = "edits"
	measurePush   = "push"
	measurePaced  = "paced"
	// Those of size have databases of their own.
	measureDead     = "dead"
	measureAttached = "attached"
	measureIdle     = "idle"
	measureShared   = "shared"
	measureSteady   = "steady"
	// And those of the store.
	measureFind         = "find"
	measureCompleteness = "completeness"
	measurePrices       = "prices"
)

var measuresOfRoad = []string{measureImport, measureFanout, measureEdits, measurePush, measurePaced}

const (
	minProducts = 100
	maxProducts = 1_000_000
	// channels is how many channels the catalogue is published on.
	channels = 5
)

// Help is what `sluice bench --help` says beside the flags.
func (*Command) Help() string {
	return "The server that DATABASE_URL names is measured: two databases are made there and dropped in the end. " +
		"Without it, a private server is started with production's durability, and removed. " +
		"Everything stays on loopback. docs/performance.md says what the figures mean."
}

// Run measures, and writes the report to standard output and progress to
// standard error. Aims that are missed are told in the report and are no error.
func (c *Command) Run(ctx context.Context, log *slog.Logger) error {
	if c.Sink {
		return serveSink(os.Stdin, os.Stdout)
	}
	if c.Worker {
		return serveWorker(ctx, os.Stdin, os.Stdout, log)
	}
	if c.Render != "" {
		return c.render(ctx)
	}
	c.dsn, c.log = os.Getenv("DATABASE_URL"), log
	return c.run(ctx, os.Stdout, os.Stderr)
}

func (c *Command) run(ctx context.Context, out, progress io.Writer) error {
	if c.Products < minProducts || c.Products > maxProducts {
		return fmt.Errorf("--products is %d, it must be from %d to %d", c.Products, minProducts, maxProducts)
	}
	if c.Connections < 1 || c.Connections > 64 {
		return fmt.Errorf("--connections is %d, it must be from 1 to 64", c.Connections)
	}
	if c.Seconds < 0.2 || c.Seconds > 600 {
		return fmt.Errorf("--seconds is %v, it must be from 0.2 to 600", c.Seconds)
	}
	if c.Waiting < minProducts || c.Waiting > 10*maxProducts {
		return fmt.Errorf("--waiting is %d, it must be from %d to %d", c.Waiting, minProducts, 10*maxProducts)
	}
	if c.Idle < 1 || c.Idle > 1000 {
		return fmt.Errorf("--idle is %d, it must be from 1 to 1,000", c.Idle)
	}
	if least, most := min(c.Few, c.Many, c.Family), max(c.Few, c.Many, c.Family); least < minProducts || most > 10*maxProducts {
		return fmt.Errorf("--few, --many and --family are %d, %d and %d, each must be from %d to %d", c.Few, c.Many, c.Family, minProducts, 10*maxProducts)
	}
	if c.Minutes < 0.01 || c.Minutes > 24*60 {
		return fmt.Errorf("--minutes is %v, it must be from 0.01 to %d", c.Minutes, 24*60)
	}
	for _, mp := range c.Images {
		if mp < 1 || mp > 50 {
			return fmt.Errorf("--images is %d, it must be from 1 to 50", mp)
		}
	}
	if c.Quick {
		c.Images = c.Images[:min(len(c.Images), 1)]
		c.Products, c.Seconds = min(c.Products, 5000), min(c.Seconds, 1.5)
		c.Few, c.Many, c.Family = min(c.Few, 500), min(c.Many, 5000), min(c.Family, 5000)
		c.Waiting, c.Idle, c.Minutes = min(c.Waiting, 20_000), min(c.Idle, 50), min(c.Minutes, 0.1)
	}
	r, err := c.measure(ctx, progress)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if c.JSON {
		return r.writeJSON(out)
	}
	return r.writeTables(out)
}

// bench is one run.
type bench struct {
	*Command
	progress io.Writer
	report   *Report
	db       *database
	sink     *sink
	catalog  *catalogue
	house    *house
	bare     *bareRiver

	copied float64 // COPY's rows/s; 0: not measured
	edited int     // paced edits so far, so that each changes something
}

func (c *Command) measure(ctx context.Context, progress io.Writer) (_ *Report, err error) {
	b := &bench{Command: c, progress: progress, report: &Report{Started: time.Now().UTC().Truncate(time.Second)}}
	closers := []func() error{}
	defer func() {
		for _, f := range slices.Backward(closers) {
			err = errors.Join(err, f())
		}
	}()
	if b.wants(measureImages) {
		if err := b.images(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", measureImages, err)
		}
	}
	if slices.Equal(c.Only, []string{measureImages}) {
		b.report.Settings = machine()
		b.report.Seconds = time.Since(b.report.Started).Seconds()
		return b.report, nil
	}
	b.say("starting")
	if b.db, err = openDatabase(ctx, c.dsn, c.Profile != ""); err != nil {
		return nil, err
	}
	closers = append(closers, b.db.close)
	if b.sink, err = startSink(ctx); err != nil {
		return nil, err
	}
	closers = append(closers, b.sink.close)
	b.catalog = newCatalogue(c.Products)
	if b.report.Settings, err = b.settings(ctx); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(measuresOfRoad, b.wants) {
		if err := b.road(ctx); err != nil {
			return nil, err
		}
	}
	if err := b.size(ctx); err != nil {
		return nil, err
	}
	if bad := b.sink.violations(ctx); len(bad) > 0 {
		return nil, fmt.Errorf("the target was spoken to wrongly, so nothing that was measured counts: %s", strings.Join(bad, "; "))
	}
	b.report.Seconds = time.Since(b.report.Started).Seconds()
	return b.report, nil
}

// road runs the measures of the road, on a database of their own.
func (b *bench) road(ctx context.Context) (err error) {
	if b.house, err = openHouse(ctx, b.db, b.db.dsn, true, b.log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.house.close()) }()
	for i := range channels {
		if err := b.house.channel(ctx, i, b.sink); err != nil {
			return err
		}
	}
	if b.bare, err = openRiver(ctx, b.db, b.sink, b.catalog); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.bare.close()) }()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{measureImport, b.importing}, {measureFanout, b.fanout}, {measureEdits, b.edits}, {measurePush, b.push}, {measurePaced, b.paced},
	} {
		// The catalogue is needed by all.
		if !b.wants(step.name) && step.name != measureImport {
			continue
		}
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// wants reports whether a measure was asked for.
func (c *Command) wants(name string) bool { return len(c.Only) == 0 || slices.Contains(c.Only, name) }

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}

// span is how long a timed measure lasts.
func (c *Command) span() time.Duration { return time.Duration(c.Seconds * float64(time.Second)) }

// perSecond is a rate.
func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
