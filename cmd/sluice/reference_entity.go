//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// actorRecord is who edits records here, in their history.
const actorRecord = "sluice record"

type entityCmd struct {
	List   entityListCmd   `cmd:"" help:"List the reference entities."`
	Put    entityPutCmd    `cmd:"" help:"Create or replace a reference entity."`
	Delete entityDeleteCmd `cmd:"" help:"Delete a reference entity that has no records, and that no attribute names."`
}

type entityListCmd struct {
	JSON bool `name:"json" help:"Print a JSON array."`
}

// Run lists the entities.
func (l entityListCmd) Run(ctx context.Context, c console) error {
	return list(ctx, c, l.JSON, []string{"ENTITY", "ATTRIBUTES", "RECORDS", "LABEL"}, func(ctx context.Context, store *postgres.Store) ([]api.ReferenceEntityView, error) {
		entities, err := store.ReferenceEntities(ctx)
		views := make([]api.ReferenceEntityView, len(entities))
		for i, e := range entities {
			views[i] = api.ViewReferenceEntity(e)
		}
		return views, err
	}, func(e api.ReferenceEntityView) []string {
		return []string{e.Code, strconv.Itoa(len(e.Attributes)), strconv.FormatInt(e.Records, 10), dash(labelOf(e.Labels, ""))}
	})
}

type entityPutCmd struct {
	Code string `arg:"" help:"The entity's code."`
	File string `required:"" placeholder:"FILE" type:"path" help:"JSON file with the entity, as PUT /v1/reference-entities/CODE takes it; - is standard input."`
}

// Run makes or replaces the entity.
func (p entityPutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	body, err := bodyOf(p.File, c)
	if err != nil {
		return err
	}
	e, err := api.ReadReferenceEntity(body, p.Code)
	if err != nil {
		return err
	}
	return changing(ctx, log, func(store *postgres.Store) error {
		if _, _, err := store.PutReferenceEntity(ctx, e, 0); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.out, "Reference entity %s is set.\n", p.Code)
		return err
	}, fanout)
}

// bodyOf is a file's JSON object, as it is sent to the API.
func bodyOf(file string, c console) ([]byte, error) {
	whole, err := objectFile(file, c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(whole)
}

type entityDeleteCmd struct {
	Code string `arg:"" help:"The entity's code."`
}

// Run deletes the entity.
func (d entityDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		return deleted(c, store.DeleteReferenceEntity(ctx, d.Code, 0), "reference entity", d.Code, "reference entity "+d.Code+" has records, or attributes name it")
	})
}

type recordCmd struct {
	List    recordListCmd    `cmd:"" help:"List the records of a reference entity."`
	Put     recordPutCmd     `cmd:"" help:"Create or change a record."`
	Delete  recordDeleteCmd  `cmd:"" help:"Delete a record that no product and no other record names."`
	Import  recordImportCmd  `cmd:"" help:"Create and change records by a CSV file."`
	History recordHistoryCmd `cmd:"" help:"See how a record changed."`
	Restore recordRestoreCmd `cmd:"" help:"Make a record what it was at a revision; a deleted one comes back."`
}

type recordListCmd struct {
	Entity string     `arg:"" help:"The reference entity's code."`
	Query  string     `short:"q" help:"Only those of which this is part of the code or of a label."`
	Locale pim.Locale `help:"Locale of the labels; by default each record's first."`
	JSON   bool       `name:"json" help:"Print a JSON array."`
}

// Run lists the records.
func (l recordListCmd) Run(ctx context.Context, c console) error {
	read := func(ctx context.Context, store *postgres.Store) ([]api.Record, error) {
		return pages(0, func(page postgres.Page) ([]api.Record, string, error) {
			list, next, err := store.Records(ctx, l.Entity, l.Query, page)
			views := make([]api.Record, len(list))
			for i, r := range list {
				views[i] = api.ViewRecord(r)
			}
			return views, next, err
		})
	}
	return list(ctx, c, l.JSON, []string{"RECORD", "LABEL", "REVISION", "CHANGED"}, read, func(r api.Record) []string {
		return []string{r.Code, dash(labelOf(r.Labels, l.Locale)), strconv.FormatInt(r.Revision, 10), r.UpdatedAt.Format("2006-01-02 15:04")}
	})
}

type recordPutCmd struct {
	Entity string                `arg:"" help:"The reference entity's code."`
	Code   string                `arg:"" help:"The record's code."`
	File   string                `placeholder:"FILE" type:"path" help:"JSON file with labels and values, as PUT takes it; - is standard input. It replaces the record; without it what is not said stays."`
	Label  map[pim.Locale]string `placeholder:"LOCALE=TEXT" mapsep:"none" help:"What it is called in a locale; without a text the label goes."`
}

// Run makes or changes the record.
func (p recordPutCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	e := postgres.RecordEdit{Code: p.Code, Mode: postgres.Merge}
	if p.File != "" {
		body, err := bodyOf(p.File, c)
		if err != nil {
			return err
		}
		if e, err = api.ReadRecord(body, p.Code, postgres.Put); err != nil {
			return err
		}
	}
	for l, text := range p.Label {
		if e.Labels == nil {
			e.Labels = map[pim.Locale]string{}
		}
		e.Labels[l] = text
	}
	return p.run(ctx, c, log, p.Entity, e)
}

func (recordPutCmd) run(ctx context.Context, c console, log *slog.Logger, entity string, e postgres.RecordEdit) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		results, err := store.EditRecords(ctx, actorRecord, entity, []postgres.RecordEdit{e})
		if errors.Is(err, postgres.ErrNotFound) {
			return fmt.Errorf("there is no reference entity %s", entity)
		}
		if err == nil {
			err = results[0].Err
		}
		switch {
		case errors.Is(err, postgres.ErrNotFound):
			return fmt.Errorf("there is no record %s of reference entity %s", e.Code, entity)
		case errors.Is(err, postgres.ErrInUse):
			return fmt.Errorf("products or other records name record %s of reference entity %s", e.Code, entity)
		case err != nil:
			return err
		}
		what := "is as you say"
		if e.Mode == postgres.Delete {
			what = "is deleted"
		} else if results[0].Created {
			what = "is there now"
		}
		_, err = fmt.Fprintf(c.out, "Record %s of %s %s.\n", e.Code, entity, what)
		return err
	}, fanout)
}

type recordDeleteCmd struct {
	Entity string `arg:"" help:"The reference entity's code."`
	Code   string `arg:"" help:"The record's code."`
}

// Run deletes the record.
func (d recordDeleteCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return recordPutCmd{}.run(ctx, c, log, d.Entity, postgres.RecordEdit{Code: d.Code, Mode: postgres.Delete})
}

type recordImportCmd struct {
	Entity string `arg:"" help:"The reference entity's code."`
	File   string `arg:"" type:"path" help:"CSV with the columns code, label-LOCALE, and the entity's attributes, ATTRIBUTE or ATTRIBUTE-LOCALE. - is standard input."`
}

// Run takes the file, each row for itself.
func (i recordImportCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	body := c.in
	if i.File != "-" {
		f, err := os.Open(i.File)
		if err != nil {
			return err
		}
		defer f.Close()
		body = f
	}
	return changing(ctx, log, func(store *postgres.Store) error {
		file, err := jobs.RecordEdits(store.Schema(), i.Entity, body)
		if err != nil {
			return err
		}
		results, err := file.Store(ctx, store, actorRecord)
		if err != nil {
			return err
		}
		var made, changed, unchanged, refused int
		for n, r := range results {
			switch {
			case r.Err != nil:
				refused++
				fmt.Fprintf(c.err, "row %d, %s: %v\n", n+1, r.Code, r.Err)
			case r.Created:
				made++
			case r.Changed:
				changed++
			default:
				unchanged++
			}
		}
		if _, err := fmt.Fprintf(c.out, "Records of %s: %d created, %d changed, %d unchanged, %d refused.\n", i.Entity, made, changed, unchanged, refused); err != nil {
			return err
		}
		if refused > 0 {
			return errTold
		}
		return nil
	}, fanout)
}

type recordHistoryCmd struct {
	Entity string `arg:"" help:"The reference entity's code."`
	Code   string `arg:"" help:"The record's code."`
	JSON   bool   `name:"json" help:"Print a JSON array."`
}

// Run lists the record's events, the newest first.
func (h recordHistoryCmd) Run(ctx context.Context, c console) error {
	read := func(ctx context.Context, store *postgres.Store) ([]postgres.RecordEvent, error) {
		return pages(0, func(page postgres.Page) ([]postgres.RecordEvent, string, error) {
			return store.RecordHistory(ctx, h.Entity, h.Code, page)
		})
	}
	return list(ctx, c, h.JSON, []string{"REVISION", "AT", "EVENT", "BY", "CHANGED"}, read, func(e postgres.RecordEvent) []string {
		return []string{strconv.FormatInt(e.Rev, 10), e.At.Format("2006-01-02 15:04:05"), e.Type, e.Actor, string(e.Data)}
	})
}

type recordRestoreCmd struct {
	Entity   string `arg:"" help:"The reference entity's code."`
	Code     string `arg:"" help:"The record's code."`
	Revision int64  `arg:"" help:"The revision; of a deletion the record is what it was when it went."`
}

// Run brings the revision back.
func (r recordRestoreCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return changing(ctx, log, func(store *postgres.Store) error {
		res, err := store.RestoreRecord(ctx, actorRecord, r.Entity, r.Code, r.Revision, 0)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "Record %s of %s is at revision %d, what it was at %d.\n", r.Code, r.Entity, res.Rev, r.Revision)
		return err
	}, fanout)
}
