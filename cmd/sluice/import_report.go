//go:build unix

package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/schollz/progressbar/v3"

	"github.com/sluicehub/sluice/pim/postgres"
)

// awayMay is how long the database may be away in the middle of an import: long
// enough for a server that restarts, or that is killed and started again.
const awayMay = 2 * time.Minute

// outlast does do again for as long as the database is away.
func outlast(ctx context.Context, w io.Writer, do func() error) error {
	began, said := time.Now(), false
	for {
		err := do()
		if err == nil && said {
			fmt.Fprintln(w, "The database is back.")
		}
		if err == nil || ctx.Err() != nil || !away(err) {
			return err
		}
		if !said {
			said = true
			fmt.Fprintf(w, "The database is away; waiting for it for up to %s …\n", awayMay)
		}
		if time.Since(began) > awayMay {
			return fmt.Errorf("the database has been away for %s: %w", awayMay, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

// away reports whether err is of the way to the database: neither its answer
// to a statement, nor ours, nor of the file.
func away(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code[:min(2, len(pg.Code))] {
		case "08", "53", "57": // connection, too many of something, operator intervention
			return true
		}
		return false
	}
	_, ofFile := errors.AsType[*fs.PathError](err)
	return !ofFile && !errors.Is(err, postgres.ErrNotFound)
}

// writeReport writes an import's findings as CSV behind those that were made
// before it, the header always. 0 is no import's id.
func writeReport(ctx context.Context, store *postgres.Store, id int64, path string, first []postgres.ImportFinding) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	w := csv.NewWriter(f)
	err = w.Write([]string{"row", "severity", "sku", "column", "value", "code", "problem"})
	row := func(x postgres.ImportFinding) error {
		return w.Write([]string{strconv.FormatInt(x.Row, 10), string(x.Severity), x.SKU, x.Column, x.Value, x.Code, x.Problem})
	}
	for _, x := range first {
		err = errors.Join(err, row(x))
	}
	for page := (postgres.Page{Limit: 1000}); err == nil; {
		var list []postgres.ImportFinding
		err = outlast(ctx, io.Discard, func() (err error) {
			list, page.After, err = store.ImportReport(ctx, id, page)
			return err
		})
		if err != nil {
			break
		}
		for _, x := range list {
			if err = row(x); err != nil {
				break
			}
		}
		if page.After == "" {
			break
		}
	}
	w.Flush()
	if err = errors.Join(err, w.Error(), f.Close()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// importProgress shows rows, rows per second and the time that is left.
type importProgress struct {
	w        io.Writer
	terminal bool
	bar      *progressbar.ProgressBar
	began    time.Time
	said     time.Time
	first    int64 // rows that were done when began was set
	last     int64
}

func newImportProgress(w io.Writer, terminal bool) *importProgress {
	return &importProgress{w: w, terminal: terminal, said: time.Now(), first: -1}
}

func (p *importProgress) at(run postgres.ImportRun) {
	if run.RowsTotal == nil || *run.RowsTotal == 0 {
		return // the file is still being surveyed
	}
	if p.first < 0 {
		p.first, p.began = run.RowsDone, time.Now()
	}
	total := *run.RowsTotal
	if p.terminal {
		if p.bar == nil {
			p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription("Importing"),
				progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("rows"),
				progressbar.OptionFullWidth(), progressbar.OptionSetPredictTime(true))
		}
		_ = p.bar.Set64(run.RowsDone)
		return
	}
	over := run.State != "running"
	if run.RowsDone == p.last || !over && time.Since(p.said) < 2*time.Second {
		return
	}
	p.said, p.last = time.Now(), run.RowsDone
	fmt.Fprintln(p.w, progressLine(run.RowsDone, total, float64(run.RowsDone-p.first)/time.Since(p.began).Seconds()))
}

// progressLine tells how far an import is at a rate of rows per second.
func progressLine(done, total int64, rate float64) string {
	line := fmt.Sprintf("%d of %d rows", done, total)
	if rate <= 0 || done >= total {
		return line
	}
	left := time.Duration(float64(total-done) / rate * float64(time.Second))
	return fmt.Sprintf("%s, %.0f rows/s, %s left", line, rate, left.Round(time.Second))
}

func (p *importProgress) end() {
	if p.bar != nil {
		_ = p.bar.Exit()
		fmt.Fprintln(p.w)
	}
}
