//go:build unix

// Command sluice is Sluice in one binary: the demo, the server, and the tools
// around it. Configuration is read in this package and nowhere else: flags, and
// the environment variables that each command's help names.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sluicehub/sluice/cmd/sluice/bench"
	"github.com/sluicehub/sluice/cmd/sluice/chaos"
	"github.com/sluicehub/sluice/pim"
)

const about = `Sluice keeps every sales channel equal to one product store.

DATABASE_URL names the database (PostgreSQL 15 or newer), for example postgres://sluice:secret@localhost/sluice. Every command but demo, connector, version and completion needs it. It is no flag, because others on the machine can read a command's flags.`

// cli is the command line. A command of its own package is one line here: its
// Run method may ask for a context.Context, which ends with Ctrl-C, and for the
// *slog.Logger.
type cli struct {
	LogLevel  string `enum:"auto,debug,info,warn,error" default:"auto" env:"SLUICE_LOG_LEVEL" help:"What is logged, to stderr: debug, info, warn or error. By default info for serve, warn for all others."`
	LogFormat string `enum:"text,json" default:"text" env:"SLUICE_LOG_FORMAT" help:"How it is logged: text or json."`

	Demo       demoCmd       `cmd:"" help:"Run all of Sluice on this machine, with six channels on fake targets and a demo catalogue."`
	Serve      serveCmd      `cmd:"" help:"Run the API, the workers, or both."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the database to the schema of this version."`
	Channel    channelCmd    `cmd:"" help:"List, create and run channels."`
	Connector  connectorCmd  `cmd:"" help:"List the connectors, or begin a new one."`
	Reconcile  reconcileCmd  `cmd:"" help:"Read back what a channel's target holds, and compare it with what it acknowledged."`
	Key        keyCmd        `cmd:"" help:"Create, list and revoke API keys."`
	Asset      assetCmd      `cmd:"" help:"Store files, list them, and see what is made of them."`
	Rendition  renditionCmd  `cmd:"" help:"Say what is made of images."`
	Task       taskCmd       `cmd:"" help:"See what is still to be fetched, made and translated, try it again, or cancel it."`
	Provider   providerCmd   `cmd:"" help:"List and set translation and text services."`
	PriceList  priceListCmd  `cmd:"" help:"Keep price lists."`
	Publish    publishCmd    `cmd:"" name:"publication" help:"Say from when and until when products are published on channels."`
	Price      priceCmd      `cmd:"" help:"Set products' prices."`
	PriceRule  priceRuleCmd  `cmd:"" help:"Say how prices are derived from others."`
	Location   locationCmd   `cmd:"" help:"Keep the locations that stock is at."`
	Stock      stockCmd      `cmd:"" help:"See a product's stock and what channels show of it, and change it."`
	PriceHold  priceHoldCmd  `cmd:"" help:"Decide on prices that guards of price lists hold."`
	TextRule   textRuleCmd   `cmd:"" help:"Say what machines translate and write."`
	Glossary   glossaryCmd   `cmd:"" help:"Keep words with a translation of their own."`
	Text       textCmd       `cmd:"" help:"See how translated and written texts stand, and review them."`
	Apply      applyCmd      `cmd:"" help:"Make the house as YAML files say: attributes, families, channels, rules and so on."`
	Diff       diffCmd       `cmd:"" help:"Say what applying YAML files would change."`
	Dump       dumpCmd       `cmd:"" help:"Write what is set in the house as YAML files."`
	Group      groupCmd      `cmd:"" name:"attribute-group" help:"Keep the groups that attributes are shown in."`
	Entity     entityCmd     `cmd:"" name:"reference-entity" help:"Keep reference entities: brands, materials, what products refer to."`
	LinkType   linkTypeCmd   `cmd:"" name:"association-type" help:"Keep the ways in which products are associated."`
	Record     recordCmd     `cmd:"" help:"Keep the records of reference entities."`
	Category   categoryCmd   `cmd:"" help:"Keep trees of categories."`
	Unit       unitCmd       `cmd:"" help:"List the units that measurements are taken in."`
	Locale     localeCmd     `cmd:"" help:"Keep locales, and say what they fall back to."`
	Product    productCmd    `cmd:"" help:"Find, show and change products, see how they changed, and bring them back."`
	Import     importCmd     `cmd:"" help:"Import products from a file of CSV, JSON Lines or a JSON array."`
	Export     exportCmd     `cmd:"" help:"Write products as a file, which an import takes back."`
	Explain    explainCmd    `cmd:"" help:"Say why a product is or is not live on a channel."`
	Readiness  readinessCmd  `cmd:"" name:"completeness" help:"Say what a product lacks for its channels, and what would be refused there."`
	Exchanges  exchangesCmd  `cmd:"" help:"See what channels' targets were asked and answered."`
	Notify     notifyCmd     `cmd:"" help:"Say who is told when a channel needs somebody, and list what is wrong now."`
	Restored   restoredCmd   `cmd:"" help:"Say that the database was restored from a backup: revisions rise, and everything is sent anew."`
	Doctor     doctorCmd     `cmd:"" help:"Say in words what is wrong with the database, the queues and the channels."`
	Bench      bench.Command `cmd:"" help:"Measure this machine: imports, edits, deliveries, beside what a bare database and a bare River do."`
	Chaos      chaos.Command `cmd:"" hidden:"" help:"Break everything that can break, and check that no edit is lost."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
	Completion completionCmd `cmd:"" help:"Print the completion script of a shell."`
}

// console is where a command talks to people and programs.
type console struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second Ctrl-C ends the process as usual
	}()
	os.Exit(run(ctx, os.Args[1:], console{os.Stdin, os.Stdout, os.Stderr}))
}

// Exit statuses beside 0.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitDiffers     = 3 // of sluice diff
	exitInterrupted = 130
)

// run is main with its surroundings given. It returns the exit status.
func run(ctx context.Context, args []string, c console) int {
	var grammar cli
	exited, status := false, 0
	parser, err := kong.New(&grammar, kong.Name("sluice"), kong.Description(about), kong.Writers(c.out, c.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Exit(func(code int) { exited, status = true, code }))
	if err != nil {
		fmt.Fprintln(c.err, "sluice:", err)
		return exitFailed
	}
	cmd, err := parser.Parse(args)
	if exited { // after --help
		return status
	}
	if err != nil {
		fmt.Fprintf(c.err, "sluice: %v\nTry `sluice --help`.\n", err)
		return exitUsage
	}
	cmd.BindTo(ctx, (*context.Context)(nil))
	cmd.Bind(c, logger(&grammar, cmd.Selected().Name, c.err))
	if err := cmd.Run(); err != nil {
		return complain(ctx, c.err, err)
	}
	return 0
}

// errTold ends a command that has told already what is wrong.
var errTold = errors.New("told already")

// errDiffers ends a comparison that found something.
var errDiffers = errors.New("it differs")

// complain writes an error for people, each problem of an input on a line.
func complain(ctx context.Context, w io.Writer, err error) int {
	if errors.Is(err, errTold) {
		return exitFailed
	}
	if errors.Is(err, errDiffers) {
		return exitDiffers
	}
	if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
		fmt.Fprintln(w, "sluice: the input is not valid:")
		for _, p := range invalid.Problems {
			fmt.Fprintf(w, "  %s: %s (%s)\n", p.Pointer, p.Detail, p.Code)
		}
		return exitFailed
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(w, "sluice: interrupted")
		return exitInterrupted
	}
	fmt.Fprintln(w, "sluice:", err)
	return exitFailed
}

func logger(c *cli, command string, w io.Writer) *slog.Logger {
	level := slog.LevelWarn
	switch c.LogLevel {
	case "debug":
		level = slog.LevelDebug
	case "info":
		level = slog.LevelInfo
	case "error":
		level = slog.LevelError
	case "auto":
		if command == "serve" {
			level = slog.LevelInfo
		}
	}
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
