//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/jobs/importing"
	"github.com/sluicehub/sluice/jobs/importing/akeneo"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// profileAkeneo is the profile that takes a folder: what an Akeneo PIM exports.
const profileAkeneo = "akeneo"

// isFolder reports whether the command is to take a folder.
func (i importCmd) isFolder() bool {
	if i.Profile != profileAkeneo {
		return false
	}
	st, err := os.Stat(i.File)
	return err == nil && st.IsDir()
}

// folder imports an Akeneo export: the schema that the store lacks, the files,
// and then products as an import of Sluice's own layout, whose report it fills.
func (i importCmd) folder(ctx context.Context, c console, log *slog.Logger) error {
	said := i
	said.File, said.Profile, said.DryRun, said.Report, said.JSON, said.files = "", "", false, "", false, files{}
	if !reflect.DeepEqual(said, importCmd{}) {
		return errors.New("an Akeneo folder says what its columns are: beside --profile akeneo there are --dry-run, --report and --json only")
	}
	report, err := i.reportPath()
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(i.File) // no path of the files leads out of it
	if err != nil {
		return err
	}
	defer root.Close()
	began := time.Now()
	f, err := akeneo.Open(root.FS())
	if err != nil {
		return fmt.Errorf("read %s: %w", i.File, err)
	}
	store, err := openStore(ctx, postgres.Options{EditConns: 4, WorkConns: 6})
	if err != nil {
		return err
	}
	defer store.Close()
	schema, err := store.RefreshSchema(ctx)
	if err != nil {
		return err
	}
	change, lacks := f.Change(schema)
	if i.DryRun {
		_ = f.Categories(schema.Tree) // for what it finds
		if err := writeReport(ctx, store, 0, report, findingsOf(f)); err != nil {
			return err
		}
		return i.tellFolder(c, f, change, report)
	}
	if lacks {
		if _, err := store.ChangeSchema(ctx, change); err != nil {
			return err
		}
	}
	for _, t := range f.AssociationTypes(schema) {
		if _, _, err := store.PutAssociationType(ctx, t, 0); err != nil {
			return err
		}
	}
	if edits := f.Categories(schema.Tree); len(edits) > 0 {
		if _, err := store.PutCategories(ctx, edits); err != nil {
			return err
		}
	}
	if err := makeChannels(ctx, store, f); err != nil {
		return err
	}
	without := ""
	if i.Keyset == "" && len(f.Media()) > 0 {
		without = "SLUICE_KEYSET is not set, and it seals what leads to files: no picture was taken; with it, the same import again adds them"
	} else if err := i.keepFiles(ctx, log, root, f); err != nil {
		return err
	}
	id, err := i.folderImport(ctx, store, f)
	if err != nil {
		return err
	}
	run, err := i.follow(ctx, c, log, store, id)
	if err != nil {
		return err
	}
	found := findingsOf(f)
	if without != "" {
		found = append([]postgres.ImportFinding{{Severity: pim.SeverityWarning, Code: "media.no_keyset", Problem: without}}, found...)
	}
	if err := writeReport(ctx, store, id, report, found); err != nil {
		return err
	}
	run.Warnings += int64(len(found))
	i.counts = &f.Counts
	return i.finish(c, run, report, time.Since(began))
}

// makeChannels makes the channels that the store lacks, before products have values
// for them.
func makeChannels(ctx context.Context, store *postgres.Store, f *akeneo.Folder) error {
	channels := jobs.NewChannels(store, all.Registry(), nil, connectors.Env{Version: versionText()}) // they have no secrets
	for _, c := range f.Channels() {
		_, err := channels.Create(ctx, jobs.ChannelSpec{
			Code: c.Code, Connector: pim.NoConnector, Locale: c.Locale, Currency: c.Currency, CategoryRoot: c.CategoryRoot, Actor: actorImport,
		})
		if err != nil && !errors.Is(err, postgres.ErrExists) { // somebody was faster
			return fmt.Errorf("make channel %s: %w", c.Code, err)
		}
	}
	return nil
}

// keepFiles stores the files that products name, each content once.
func (i importCmd) keepFiles(ctx context.Context, log *slog.Logger, root *os.Root, f *akeneo.Folder) error {
	if len(f.Media()) == 0 {
		return nil
	}
	return i.use(ctx, func(store *postgres.Store, m *jobs.Media) error {
		defer wakeAll(ctx, log, store, mediaConsumers()...)
		for _, name := range f.Media() {
			code, err := keepOne(ctx, m, root, name)
			if err != nil {
				return fmt.Errorf("keep %s: %w", name, err)
			}
			f.SetAsset(name, code)
		}
		return nil
	})
}

func keepOne(ctx context.Context, m *jobs.Media, root *os.Root, name string) (code string, err error) {
	file, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	asset, _, _, err := m.Keep(ctx, jobs.Sent{Filename: path.Base(name)}, file)
	return asset.Code, err
}

// folderImport stores the folder's products as an import.
func (i importCmd) folderImport(ctx context.Context, store *postgres.Store, f *akeneo.Folder) (int64, error) {
	spool, err := os.CreateTemp("", "sluice-import-")
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name()) // a left-over is the system's temporary file
	}()
	if err := f.Write(spool); err != nil {
		return 0, err
	}
	spooled := importCmd{File: spool.Name()}
	_, file, done, err := spooled.gather(nil)
	if err != nil {
		return 0, err
	}
	defer done()
	return store.CreateImport(ctx, filepath.Base(i.File)+".jsonl", actorImport, []byte(`{"layout":"`+importing.OwnName+`"}`), file)
}

// findingsOf are the folder's findings as lines of a report. Row 0 is no row of
// the import: the place in the folder is told in words.
func findingsOf(f *akeneo.Folder) []postgres.ImportFinding {
	all := f.Report()
	out := make([]postgres.ImportFinding, len(all))
	for i, x := range all {
		where := x.File
		if x.Line > 0 {
			where += fmt.Sprintf(", line %d", x.Line)
		}
		out[i] = postgres.ImportFinding{Severity: x.Severity, SKU: x.SKU, Column: x.Column, Value: x.Value, Code: x.Code, Problem: x.Text + " (" + where + ")"}
	}
	return out
}

// tellFolder says what an import of the folder would make.
func (i importCmd) tellFolder(c console, f *akeneo.Folder, change postgres.SchemaChange, report string) error {
	if i.JSON {
		return printJSON(c.out, outcome{
			File: i.File, State: "dry", DryRun: true, Rows: int64(f.Counts.Products + f.Counts.ProductModels - f.Counts.Folded),
			Warnings: int64(len(f.Report())), Report: report, Folder: &f.Counts,
		})
	}
	folded := ""
	if n := f.Counts.Folded; n > 0 {
		folded = fmt.Sprintf(", of which %d are folded into their variants", n)
	}
	_, err := fmt.Fprintf(c.out, "%d products and %d models%s.\n%d attributes, %d families, %d locales and %d currencies would be added or changed, and %d channels made.\n"+
		"Report: %s\nThis was a dry run: nothing was stored.\n",
		f.Counts.Products, f.Counts.ProductModels, folded, len(change.Attributes), len(change.Families), len(change.Locales), len(change.Currencies), f.Counts.Created.Channels, report)
	return err
}
