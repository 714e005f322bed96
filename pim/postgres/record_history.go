package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// RecordEvent is one change of a record.
type RecordEvent struct {
	ID    int64           `json:"id"`
	At    time.Time       `json:"at"`
	Rev   int64           `json:"revision" doc:"That it made"`
	Type  string          `json:"type" enum:"record.created,record.updated,record.deleted"`
	Actor string          `json:"actor" doc:"Who made it: the name of the API key"`
	Data  json.RawMessage `json:"data" doc:"Labels and values before and after, as far as they differ"`
}

const (
	sqlRecordHistory = `
select id, at, rev, type, actor, data from record_event
where ref = @ref and (@after::bigint = 0 or id < @after) order by id desc limit @limit`
	sqlRecordState = `select type, state -> 'labels', state -> 'values' from record_event where ref = @ref and rev = @rev`
	// sqlForgetRecordEvents drops what is older than history is kept, but never the
	// last event of a record, by which the next revision is known.
	sqlForgetRecordEvents = `
delete from record_event e using catalogue c
where c.history_months is not null and e.at < now() - make_interval(months => c.history_months)
  and exists (select from record_event n where n.ref = e.ref and n.rev > e.rev)`
)

// RecordHistory lists what became of a record, the newest first, also of a deleted
// one. ErrNotFound: there never was one.
func (s *Store) RecordHistory(ctx context.Context, entity, code string, page Page) (list []RecordEvent, next string, err error) {
	after, err := afterID(page.After)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, sqlRecordHistory, pgx.NamedArgs{"ref": storable(pim.RecordRef(entity, code)), "after": after, "limit": page.limit()})
	if err == nil {
		list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (e RecordEvent, err error) {
			return e, r.Scan(&e.ID, &e.At, &e.Rev, &e.Type, &e.Actor, &e.Data)
		})
	}
	if err == nil && len(list) == 0 && after == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the history of record %s of %s: %w", code, entity, err)
	}
	if len(list) == page.limit() {
		next = fmt.Sprint(list[len(list)-1].ID)
	}
	return list, next, nil
}

// RecordChanges are what a record's revision and the one there is now differ in, and
// which that is. ErrNotFound: there is no such record, or the revision is none that
// was ever shown, or is kept no more.
func (s *Store) RecordChanges(ctx context.Context, entity, code string, from int64) (now int64, list []pim.FieldChange, err error) {
	r, err := s.Record(ctx, entity, code)
	if err != nil {
		return 0, nil, err
	}
	fail := func(err error) (int64, []pim.FieldChange, error) {
		if errors.Is(err, pgx.ErrNoRows) {
			err = ErrNotFound
		}
		return r.Rev, nil, fmt.Errorf("revision %d of record %s of %s: %w", from, code, entity, err)
	}
	var (
		kind        string
		old, values []byte
		labels      map[pim.Locale]string
	)
	err = s.pool.QueryRow(ctx, sqlRecordState, pgx.NamedArgs{"ref": storable(pim.RecordRef(entity, code)), "rev": from}).Scan(&kind, &old, &values)
	if err == nil && (kind == string(pim.EventRecordDeleted) || from > r.Rev) {
		err = ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal(old, &labels)
	}
	if err != nil {
		return fail(err)
	}
	before, err := pim.DecodeStored(values)
	if err != nil {
		return fail(err)
	}
	after, err := pim.DecodeStored(r.Values)
	if err != nil {
		return fail(err)
	}
	of := s.Schema().RecordSchema(entity)
	if of == nil {
		return fail(ErrNotFound)
	}
	return r.Rev, of.RecordChanges(labels, r.Labels, before, after), nil
}

// UntouchedRecord reports whether e, a merge patch, names nothing of what changed
// since its author looked: then it means the same now.
func (s *Store) UntouchedRecord(entity string, changes []pim.FieldChange, e *RecordEdit) bool {
	of := s.Schema().RecordSchema(entity)
	if of == nil {
		return false
	}
	fields := of.PatchFields(e.Values)
	for l := range e.Labels {
		fields = append(fields, "labels."+string(l))
	}
	return !slices.ContainsFunc(changes, func(c pim.FieldChange) bool {
		return slices.ContainsFunc(fields, func(f string) bool { return pim.SameField(f, c.Field) })
	})
}

// RestoreRecord makes a record what it was at a revision, of a deletion what it was
// when it went; a deleted one comes back. What its entity has no attribute for any
// more is left out, and so are records that it named and that are gone. ErrNotFound: there is no such revision, or it is not kept.
func (s *Store) RestoreRecord(ctx context.Context, actor, entity, code string, rev, ifMatch int64) (RecordResult, error) {
	var (
		kind           string
		labels, values []byte
	)
	err := s.pool.QueryRow(ctx, sqlRecordState, pgx.NamedArgs{"ref": storable(pim.RecordRef(entity, code)), "rev": rev}).Scan(&kind, &labels, &values)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	e := RecordEdit{Code: code, Mode: Put, IfMatch: ifMatch}
	var was pim.Values
	if err == nil {
		err = json.Unmarshal(labels, &e.Labels)
	}
	if err == nil {
		was, err = pim.DecodeStored(values)
	}
	if err != nil {
		return RecordResult{}, fmt.Errorf("revision %d of record %s of %s: %w", rev, code, entity, err)
	}
	schema, err := s.RefreshSchema(ctx)
	if err != nil {
		return RecordResult{}, err
	}
	of := schema.RecordSchema(entity)
	if of == nil {
		return RecordResult{}, fmt.Errorf("reference entity %s: %w", entity, ErrNotFound)
	}
	e.Values = (&recordWriter{schema: of}).known(was)
	missing, err := missingRecords(ctx, s.pool, of.RecordRefs(e.Values))
	if err != nil {
		return RecordResult{}, fmt.Errorf("look for the records that record %s of %s names: %w", code, entity, err)
	}
	delete(missing, pim.RecordRef(entity, code))
	all := e.Values
	e.Values = of.WithoutRecords(all, missing)
	results, err := s.EditRecords(ctx, actor, entity, []RecordEdit{e})
	if err != nil {
		return RecordResult{}, err
	}
	r := results[0]
	for _, c := range of.RecordChanges(nil, nil, all, e.Values) {
		r.Warnings = append(r.Warnings, pim.Problem{Pointer: "/values", Code: "restore.left_out", Detail: fmt.Sprintf("%s is left out: there is no such record any more", c.Field)})
	}
	return r, r.Err
}
