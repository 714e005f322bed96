//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluicehub/sluice/cmd/sluice/node"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/jobs/importing/akeneo"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

type importCmd struct {
	File      string     `arg:"" help:"The file: CSV, JSON Lines, a JSON array or XML, gzipped or not, or an XLSX workbook; - is standard input. With --profile akeneo, the folder of an Akeneo export."`
	SKUColumn string     `name:"sku-column" placeholder:"COLUMN" help:"Column with the SKU. By default one that is called so, else one that is called GTIN, EAN or barcode."`
	Map       []string   `sep:"none" placeholder:"KEY=CEL" help:"Make sku, parent, price:EUR, sale:EUR, stock:LOCATION or an attribute by a CEL expression over row; can be repeated. Example: --map \"sku=regexFind(row.image, '/([0-9]+)_')\""`
	Family    string     `placeholder:"CODE" help:"Family of the products. Without it and without --map, one is made from the file's name and columns."`
	Locale    pim.Locale `placeholder:"TAG" help:"Locale of columns for localizable attributes that name none themselves."`
	Layout    string     `placeholder:"NAME" help:"Whose columns they are: plain, sluice (an export), woocommerce, shopify, vendure, medusa, bmecat or icecat. By default known by the header or root element; plain takes columns as they are."`
	Currency  string     `placeholder:"CODE" help:"Currency of prices whose column names none; without it such a column becomes an attribute."`
	PriceList string     `placeholder:"CODE" help:"Price list that prices go to. By default default."`
	Location  string     `placeholder:"CODE" help:"Location of stock whose column names none. By default default."`
	Parent    string     `name:"parent-column" placeholder:"COLUMN" help:"Column with the SKU of a variant's parent. By default one that is called Parent or Parent SKU."`
	Axes      []string   `placeholder:"COLUMN" help:"Columns in which the variants of a parent differ. By default those called color, size and the like."`
	Locales   string     `name:"locale-column" placeholder:"COLUMN" help:"Column with the locale of each row's texts."`
	AssetBase string     `placeholder:"URL" help:"Address that file names of pictures are put behind."`
	Format    string     `placeholder:"NAME" help:"What the file is: csv, tsv, json, jsonl, xlsx or xml. By default found out."`
	Delimiter string     `placeholder:"NAME" help:"Of CSV: comma, semicolon, tab, pipe or another character. By default found out."`
	Quote     string     `placeholder:"double|none" help:"With none, a quote in CSV is a character as others are."`
	Encoding  string     `placeholder:"NAME" help:"Of texts, such as utf-8, utf-16le, windows-1252. By default found out."`
	Sheet     string     `placeholder:"NAME" help:"Of a workbook: a sheet's name, or its number. By default the first."`
	Profile   string     `placeholder:"NAME" help:"Saved options, or a layout such as bmecat or shopify; flags beside it count more. akeneo takes a folder that an Akeneo PIM has exported."`
	Save      string     `name:"save-profile" placeholder:"NAME" help:"Save these options, for --profile."`
	DryRun    bool       `help:"Check and report, store no product."`
	Report    string     `placeholder:"FILE" type:"path" help:"Where the report goes, as CSV. By default FILE.report.csv in the working directory."`
	JSON      bool       `name:"json" help:"Print the outcome as one JSON object."`
	files

	counts *akeneo.Counts // of a folder
}

// Help is the command's longer text.
func (importCmd) Help() string {
	return `The file is stored in the database first, then imported in steps: this process works on it, and so does any running server, so an import that is interrupted goes on. ` +
		`Progress goes to stderr. A finished import has status 0, also when rows were rejected: the report names each with its row, column, value and problem.`
}

// outcome is what --json prints.
type outcome struct {
	Import    int64   `json:"import"`
	File      string  `json:"file"`
	State     string  `json:"state"` // finished or failed
	DryRun    bool    `json:"dry_run"`
	Rows      int64   `json:"rows"`
	Created   int64   `json:"created"`
	Changed   int64   `json:"changed"`
	Unchanged int64   `json:"unchanged"`
	Rejected  int64   `json:"rejected"`
	Warnings  int64   `json:"warnings"`
	Seconds   float64 `json:"seconds"`
	Report    string  `json:"report"` // path of a CSV file with a line per rejected or doubtful value
	Error     string  `json:"error,omitempty"`
	// Folder is of --profile akeneo.
	Folder *akeneo.Counts `json:"akeneo,omitempty"`
}

// options turns the flags into what the import's row keeps.
func (i importCmd) options() (importing.Options, error) {
	o := importing.Options{
		SKUColumn: i.SKUColumn, Family: i.Family, DryRun: i.DryRun, Locale: i.Locale, LocaleColumn: i.Locales, ParentColumn: i.Parent, Axes: i.Axes,
		Currency: pim.Currency(i.Currency), PriceList: i.PriceList, Location: i.Location, AssetBase: i.AssetBase, Layout: i.Layout, Format: i.Format,
		Delimiter: i.Delimiter, Quote: i.Quote, Encoding: i.Encoding, Sheet: i.Sheet, Profile: i.Profile,
	}
	for _, m := range i.Map {
		key, expression, ok := strings.Cut(m, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return o, fmt.Errorf("--map %s: KEY=CEL is expected", m)
		}
		if o.Map == nil {
			o.Map = map[string]string{}
		}
		if _, twice := o.Map[key]; twice {
			return o, fmt.Errorf("--map names %s twice", key)
		}
		o.Map[key] = strings.TrimSpace(expression)
	}
	return o, o.Check()
}

// Run imports the file.
func (i importCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	if i.isFolder() {
		return i.folder(ctx, c, log)
	}
	opts, err := i.options()
	if err != nil {
		return err
	}
	if err := i.readable(); err != nil {
		return err
	}
	report, err := i.reportPath()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, postgres.Options{EditConns: 4, WorkConns: 6})
	if err != nil {
		return err
	}
	defer store.Close()
	if opts, err = opts.WithProfile(ctx, store); err != nil {
		return err
	}
	if i.Save != "" {
		if _, err := importing.SaveProfile(ctx, store, i.Save, opts, 0); err != nil {
			return err
		}
	}
	began := time.Now()
	id, err := i.upload(ctx, c, store, opts)
	if err != nil {
		return err
	}
	run, err := i.follow(ctx, c, log, store, id)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(c.err, "Import %d is stored: it goes on when a server, or another `sluice import`, runs.\n", id)
		}
		return err
	}
	if err := writeReport(ctx, store, id, report, nil); err != nil {
		return err
	}
	return i.finish(c, run, report, time.Since(began))
}

// readable checks the file before anything is done.
func (i importCmd) readable() error {
	if i.File == "-" {
		return nil
	}
	f, err := os.Open(i.File)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s is a folder; one that an Akeneo PIM has exported is taken with --profile %s", i.File, profileAkeneo)
	}
	return err
}

// reportPath is where the report goes, tried before anything is done.
func (i importCmd) reportPath() (string, error) {
	path := i.Report
	if path == "" {
		path = filepath.Base(i.File)
		if i.File == "-" {
			path = "import"
		}
		path += ".report.csv"
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return "", fmt.Errorf("write the report: %w; name another file with --report", err)
	}
	return path, f.Close()
}

// upload stores the file. Where the database goes away, it is stored again: an
// import that was stored twice changes nothing the second time. What is no
// regular file comes as slowly as it likes, and only once: it is gathered before
// the transaction that stores it begins.
func (i importCmd) upload(ctx context.Context, c console, store *postgres.Store, opts importing.Options) (id int64, err error) {
	raw, err := json.Marshal(opts)
	if err != nil {
		return 0, err
	}
	name, file, done, err := i.gather(c.in)
	if err != nil {
		return 0, err
	}
	defer done()
	err = outlast(ctx, c.err, func() error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		id, err = store.CreateImport(ctx, name, actorImport, raw, file)
		return err
	})
	return id, err
}

// gather opens the file, or a temporary one with all that a pipe gave; done
// closes it, and removes the temporary one.
func (i importCmd) gather(in io.Reader) (name string, file *os.File, done func(), err error) {
	name = "import"
	if i.File != "-" {
		name = filepath.Base(i.File)
		f, err := os.Open(i.File)
		if err != nil {
			return "", nil, nil, err
		}
		st, err := f.Stat()
		if err == nil && st.Mode().IsRegular() {
			return name, f, func() { _ = f.Close() }, nil
		}
		defer f.Close()
		if err != nil {
			return "", nil, nil, err
		}
		in = f
	}
	spool, err := os.CreateTemp("", "sluice-import-")
	if err != nil {
		return "", nil, nil, err
	}
	done = func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name()) // a left-over is the system's temporary file
	}
	if _, err := io.Copy(spool, in); err != nil {
		done()
		return "", nil, nil, fmt.Errorf("read %s: %w", name, err)
	}
	return name, spool, done, nil
}

// actorImport is who events say made an import's changes.
const actorImport = "sluice import"

// lookEvery is how often an import's progress is read.
const lookEvery = 250 * time.Millisecond

// follow works on the import, as a server would, and shows its progress until
// it is over.
func (i importCmd) follow(ctx context.Context, c console, log *slog.Logger, store *postgres.Store, id int64) (run postgres.ImportRun, err error) {
	runner, err := jobs.New(jobs.Config{
		Store: store, Channels: jobs.NewChannels(store, all.Registry(), nil, connectors.Env{Version: versionText()}),
		Importer: importing.New(store, log, nil), Log: quietLog(log), Holder: node.Holder(), Work: true, Only: []string{postgres.Import},
	})
	if err != nil {
		return run, err
	}
	if err := runner.Start(ctx); err != nil {
		return run, err
	}
	defer func() {
		bounded, cancel := context.WithTimeout(context.Background(), stopMay)
		defer cancel()
		if stopped := runner.Stop(bounded); err == nil {
			err = stopped
		}
	}()
	runner.Wake(postgres.Consumer{Kind: postgres.Import, Channel: pim.ChannelID(id)})
	show := newImportProgress(c.err, isTerminal(c.err))
	defer show.end()
	for {
		err := outlast(ctx, c.err, func() (err error) {
			run, err = store.ImportRun(ctx, id)
			return err
		})
		if err != nil {
			return run, err
		}
		show.at(run)
		if run.State == "finished" || run.State == "failed" {
			return run, nil
		}
		select {
		case <-ctx.Done():
			return run, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

func (i importCmd) finish(c console, run postgres.ImportRun, report string, took time.Duration) error {
	o := outcome{
		Import: run.ID, File: i.File, State: run.State, DryRun: i.DryRun, Rows: run.RowsDone,
		Created: run.Created, Changed: run.Changed, Unchanged: run.Unchanged, Rejected: run.Rejected, Warnings: run.Warnings,
		Seconds: took.Seconds(), Report: report, Error: run.Error, Folder: i.counts,
	}
	var err error
	if i.JSON {
		err = printJSON(c.out, o)
	} else {
		_, err = fmt.Fprintf(c.out, "%d rows in %s: %d created, %d changed, %d unchanged, %d rejected, %d warnings.\nReport: %s\n",
			o.Rows, took.Round(10*time.Millisecond), o.Created, o.Changed, o.Unchanged, o.Rejected, o.Warnings, report)
		if i.counts != nil && i.counts.Created != (akeneo.Created{}) {
			m := i.counts.Created
			fmt.Fprintf(c.out, "Made before: %d attributes, %d families, %d categories, %d locales, %d currencies, %d channels.\n",
				m.Attributes, m.Families, m.Categories, m.Locales, m.Currencies, m.Channels)
		}
		if i.DryRun {
			fmt.Fprintln(c.out, "This was a dry run: nothing was stored.")
		}
	}
	if err == nil && run.State == "failed" {
		return fmt.Errorf("the import failed: %s", run.Error)
	}
	return err
}

// quietLog keeps what a database that is away makes the workers say out of the
// progress: the command tells that itself.
func quietLog(log *slog.Logger) *slog.Logger {
	if log.Enabled(context.Background(), slog.LevelInfo) {
		return log
	}
	return slog.New(slog.DiscardHandler)
}
