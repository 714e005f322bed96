package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

const recordColumns = `r.entity, r.code, r.labels, r.values, r.rev, r.created_at, r.updated_at`

const (
	sqlRecords = `
select ` + recordColumns + ` from record r
where r.entity = @entity and r.code > @after
  and (@query = '' or strpos(lower(r.code), lower(@query)) > 0
       or exists (select from jsonb_each_text(r.labels) l where strpos(lower(l.value), lower(@query)) > 0))
order by r.code limit @limit`
	sqlRecordsByRef = `select ` + recordColumns + ` from record r where r.ref = any(@refs::text[]) order by r.ref`
)

func scanRecord(row pgx.CollectableRow) (r pim.Record, err error) {
	var labels []byte
	if err := row.Scan(&r.Entity, &r.Code, &labels, &r.Values, &r.Rev, &r.CreatedAt, &r.UpdatedAt); err != nil {
		return r, err
	}
	return r, json.Unmarshal(labels, &r.Labels)
}

// Records lists an entity's records by their codes; query is part of a code or of a
// label, in any case. ErrNotFound: there is no such entity.
func (s *Store) Records(ctx context.Context, entity, query string, page Page) (list []pim.Record, next string, err error) {
	if err := s.entityThere(ctx, entity); err != nil {
		return nil, "", err
	}
	rows, err := s.pool.Query(ctx, sqlRecords, pgx.NamedArgs{"entity": storable(entity), "query": storable(query), "after": storable(page.After), "limit": page.limit()})
	if err != nil {
		return nil, "", fmt.Errorf("list records of %s: %w", entity, err)
	}
	if list, err = pgx.CollectRows(rows, scanRecord); err != nil {
		return nil, "", fmt.Errorf("list records of %s: %w", entity, err)
	}
	if len(list) == page.limit() {
		next = list[len(list)-1].Code
	}
	return list, next, nil
}

// entityThere is ErrNotFound where there is no such entity, in no process.
func (s *Store) entityThere(ctx context.Context, entity string) error {
	if s.Schema().Entities[entity] != nil {
		return nil
	}
	schema, err := s.RefreshSchema(ctx)
	if err == nil && schema.Entities[entity] == nil {
		err = fmt.Errorf("reference entity %s: %w", entity, ErrNotFound)
	}
	return err
}

// Record reads one record; ErrNotFound.
func (s *Store) Record(ctx context.Context, entity, code string) (pim.Record, error) {
	list, err := s.recordsOf(ctx, s.pool, []string{storable(pim.RecordRef(entity, code))})
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return pim.Record{}, fmt.Errorf("record %s of %s: %w", code, entity, err)
	}
	return list[0], nil
}

// RecordsOf reads the records of keys, in the keys' order; what there is not is
// left out.
func (s *Store) RecordsOf(ctx context.Context, refs []string) ([]pim.Record, error) {
	list, err := s.recordsOf(ctx, s.work, refs)
	if err != nil {
		return nil, fmt.Errorf("read %d records: %w", len(refs), err)
	}
	return list, nil
}

func (s *Store) recordsOf(ctx context.Context, q querier, refs []string) ([]pim.Record, error) {
	rows, err := q.Query(ctx, sqlRecordsByRef, pgx.NamedArgs{"refs": refs})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRecord)
}

// RecordEdit is one record's wanted change.
type RecordEdit struct {
	Code        string
	Mode        EditMode // Put, Patch, Merge or Delete
	IfMatch     int64    // the revision the caller saw; 0: any
	IfNoneMatch bool     // only when there is no such record yet
	// Labels of Put are all of them; of Patch and Merge "" takes one away, and
	// what is not named stays.
	Labels map[pim.Locale]string
	Values pim.Values // Patch, Merge: a merge patch, null deletes
}

// RecordResult is what became of one RecordEdit. Err is ErrNotFound, ErrStale,
// ErrExists, ErrInUse (products or other records name it), *pim.Invalid, or nil.
type RecordResult struct {
	Code     string
	Rev      int64
	Created  bool
	Changed  bool // Created included
	Warnings []pim.Problem
	Err      error
}

// MaxRecordEdits is how many records one call edits.
const MaxRecordEdits = 1000

const (
	// sqlRecordsAlone has the writers of one entity's records go one after the other.
	sqlRecordsAlone   = `select pg_advisory_xact_lock(1936483171, hashtext(@entity))`
	sqlShareCatalogue = `select version from catalogue for key share`
	sqlLockRecords    = `select ref from record where ref = any(@refs::text[]) order by ref for update`
	sqlRecordsInUse   = `
select u.ref from unnest(@refs::text[]) u (ref)
where coalesce((select true from product p where p.records @> array[u.ref] and p.records <> '{}' and p.deleted_at is null limit 1), false)
   or coalesce((select true from record r where r.records @> array[u.ref] and r.records <> '{}' and r.ref <> u.ref limit 1), false)`
	// sqlHoldRecords keeps records from being deleted until what names them is written.
	sqlHoldRecords = `select ref from record where ref = any(@refs::text[]) order by ref for key share`

	sqlWriteRecords = `
with input as (
    select * from unnest(@refs::text[], @codes::text[], @labels::jsonb[], @values::jsonb[], @media::jsonb[], @records::jsonb[], @types::text[], @data::jsonb[])
        i (ref, code, labels, values, media, records, type, data)
),
put as (
    insert into record as r (ref, entity, code, rev, labels, values, media, records)
    select i.ref, @entity, i.code, 1 + coalesce((select max(e.rev) from record_event e where e.ref = i.ref), 0), i.labels, i.values,
           array(select jsonb_array_elements_text(i.media)), array(select jsonb_array_elements_text(i.records))
    from input i where i.type <> 'record.deleted' order by i.ref
    on conflict (ref) do update set labels = excluded.labels, values = excluded.values, media = excluded.media, records = excluded.records, rev = r.rev + 1, updated_at = now()
    returning r.ref, r.rev
),
gone as (
    delete from record r using input i where i.ref = r.ref and i.type = 'record.deleted' returning r.ref, r.rev + 1 as rev
),
done as (select ref, rev from put union all select ref, rev from gone),
logged as (
    insert into record_event (ref, rev, type, actor, data, state)
    select d.ref, d.rev, i.type, @actor, i.data, jsonb_build_object('labels', i.labels, 'values', i.values) from done d join input i using (ref) order by i.ref
),
changed as (
    insert into record_change (refs) select array_agg(ref) from input where type = 'record.updated' having count(*) > 0
)
select ref, rev from done`
)

// EditRecords works off edits of records of one entity, at most MaxRecordEdits, as
// actor. Each succeeds or fails for itself, with all of its problems; of edits of
// the same code all but the first are refused. What succeeds is durable when it
// returns, and so is that the products which show these records, on the channels
// whose mapping does, are on the road. ErrNotFound: there is no such entity. The
// other errors are only of the database.
func (s *Store) EditRecords(ctx context.Context, actor, entity string, edits []RecordEdit) ([]RecordResult, error) {
	if len(edits) > MaxRecordEdits {
		return nil, fmt.Errorf("edit %d records of %s: at most %d go at once", len(edits), entity, MaxRecordEdits)
	}
	var results []RecordResult
	err := s.untangledTx(ctx, func(tx pgx.Tx) error { // editors of entities that name each other's records hold them in any order
		if _, err := tx.Exec(ctx, sqlShareCatalogue); err != nil {
			return err
		}
		schema, err := s.loadSchema(ctx, tx)
		if err != nil {
			return err
		}
		of := schema.RecordSchema(entity)
		if of == nil {
			return ErrNotFound
		}
		if _, err := tx.Exec(ctx, sqlRecordsAlone, pgx.NamedArgs{"entity": entity}); err != nil {
			return err
		}
		w, err := s.recordWriter(ctx, tx, of, entity, edits)
		if err != nil {
			return err
		}
		for i := range edits {
			w.work(i, &edits[i])
		}
		results = w.results
		return w.write(ctx, tx, actor)
	})
	if err != nil {
		return nil, fmt.Errorf("edit %d records of %s: %w", len(edits), entity, err)
	}
	s.openRecordChanges(ctx)
	return results, nil
}

// recordWriter works edits of records out against what is stored.
type recordWriter struct {
	schema  *pim.Schema
	entity  string
	have    map[string]pim.Record // by code
	used    map[string]bool       // keys that products, or other records, name
	there   map[string]bool       // keys of records, among those that are named here, which nobody deletes meanwhile
	results []RecordResult

	refs, codes, types   []string
	labels, values, data []json.RawMessage
	media, records       []json.RawMessage
	at                   map[string]int // key → index of the edit that is written
}

func (s *Store) recordWriter(ctx context.Context, tx pgx.Tx, schema *pim.Schema, entity string, edits []RecordEdit) (*recordWriter, error) {
	w := &recordWriter{
		schema: schema, entity: entity, have: map[string]pim.Record{}, used: map[string]bool{}, there: map[string]bool{}, results: make([]RecordResult, len(edits)), at: map[string]int{},
	}
	refs, deleted := make([]string, 0, len(edits)), []string{}
	for i := range edits {
		ref := pim.RecordRef(entity, edits[i].Code)
		if storable(ref) != ref {
			continue // nowhere
		}
		if refs = append(refs, ref); edits[i].Mode == Delete {
			deleted = append(deleted, ref)
		}
	}
	if len(deleted) > 0 { // whoever is about to name them is waited for, and seen by the look after that
		if _, err := tx.Exec(ctx, sqlLockRecords, pgx.NamedArgs{"refs": deleted}); err != nil {
			return nil, err
		}
		rows, err := tx.Query(ctx, sqlRecordsInUse, pgx.NamedArgs{"refs": deleted})
		if err != nil {
			return nil, err
		}
		used, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, err
		}
		for _, ref := range used {
			w.used[ref] = true
		}
	}
	list, err := s.recordsOf(ctx, tx, refs)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		w.have[r.Code] = r
	}
	return w, w.hold(ctx, tx, edits)
}

// hold keeps the records that edits name, or that what is edited names already.
func (w *recordWriter) hold(ctx context.Context, tx pgx.Tx, edits []RecordEdit) error {
	named := []string{}
	for i := range edits {
		if edits[i].Mode != Delete {
			named = append(named, w.schema.RecordRefs(edits[i].Values)...)
		}
	}
	for _, r := range w.have {
		if values, err := w.stored(r); err == nil { // else the edit is told
			named = append(named, w.schema.RecordRefs(values)...)
		}
	}
	named = slices.DeleteFunc(named, func(ref string) bool { return storable(ref) != ref })
	if len(named) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, sqlHoldRecords, pgx.NamedArgs{"refs": named})
	if err != nil {
		return err
	}
	held, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, ref := range held {
		w.there[ref] = true
	}
	return err
}

// unknown are the problems of records that values name and that there are not, once
// the edits that stand further up are through. A record may name itself.
func (w *recordWriter) unknown(self string, values pim.Values) (problems []pim.Problem) {
	places := w.schema.RecordPlaces(values, "/values")
	for _, ref := range w.schema.RecordRefs(values) {
		if ref != self && !w.there[ref] {
			entity, code := pim.SplitRef(ref)
			problems = append(problems, pim.Problem{Pointer: places[ref], Code: "record.unknown", Detail: fmt.Sprintf("reference entity %s has no record %q", entity, code)})
		}
	}
	return problems
}

// work fills the edit's result, and notes what is to be written.
func (w *recordWriter) work(i int, e *RecordEdit) {
	r := &w.results[i]
	*r = RecordResult{Code: e.Code}
	ref := pim.RecordRef(w.entity, e.Code)
	was, exists := w.have[e.Code]
	if _, twice := w.at[ref]; twice {
		r.Err = &pim.Invalid{Problems: []pim.Problem{{Pointer: "/code", Code: "record.twice", Detail: "an edit of this record stands further up already: send them one after the other"}}}
		return
	}
	switch {
	case e.IfMatch != 0 && (!exists || e.IfMatch != was.Rev):
		r.Err = ErrStale
	case !exists && (e.Mode == Patch || e.Mode == Delete):
		r.Err = ErrNotFound
	case exists && e.IfNoneMatch:
		r.Err = ErrExists
	case e.Mode == Delete && w.used[ref]:
		r.Err = fmt.Errorf("record %s of %s: %w", e.Code, w.entity, ErrInUse)
	}
	if r.Err != nil {
		return
	}
	before, err := w.stored(was)
	if err != nil {
		r.Err = fmt.Errorf("read the values of record %s of %s: %w", e.Code, w.entity, err)
		return
	}
	if e.Mode == Delete {
		r.Rev, r.Changed = was.Rev+1, true
		delete(w.there, ref)
		w.note(i, ref, pim.EventRecordDeleted, recordChanges(w.schema, was.Labels, nil, before, nil), was.Labels, before)
		return
	}
	labels, values := map[pim.Locale]string{}, e.Values
	if e.Mode != Put {
		for l, text := range was.Labels {
			labels[l] = text
		}
		values = pim.PatchValues(w.known(before), e.Values)
	}
	for l, text := range e.Labels {
		if labels[l] = text; text == "" && e.Mode != Put {
			delete(labels, l)
		}
	}
	clean, warnings, err := w.schema.CheckRecord(w.entity, e.Code, labels, values, before)
	if err == nil {
		if gone := w.unknown(ref, clean); len(gone) > 0 {
			err = &pim.Invalid{Problems: gone}
		}
	}
	if err != nil {
		r.Err = err
		return
	}
	r.Rev, r.Warnings = was.Rev, warnings
	data := recordChanges(w.schema, was.Labels, labels, before, clean)
	switch {
	case !exists:
		r.Created, r.Changed = true, true
		w.note(i, ref, pim.EventRecordCreated, data, labels, clean)
	case len(data.Values) > 0 || data.Labels != nil:
		r.Changed = true
		w.note(i, ref, pim.EventRecordUpdated, data, labels, clean)
	}
}

func (w *recordWriter) stored(r pim.Record) (pim.Values, error) {
	if r.Values == nil {
		return pim.Values{}, nil
	}
	return pim.DecodeStored(r.Values)
}

// known are values without those of attributes that the entity lost.
func (w *recordWriter) known(values pim.Values) pim.Values {
	out := pim.Values{}
	for code, v := range values {
		if w.schema.Attributes[code] != nil {
			out[code] = v
		}
	}
	return out
}

// recordChange is the data of a record's event.
type recordChange struct {
	Labels *pim.Change           `json:"labels,omitempty"`
	Values map[string]pim.Change `json:"values,omitempty"`
}

func recordChanges(s *pim.Schema, oldLabels, labels map[pim.Locale]string, before, after pim.Values) (c recordChange) {
	if a, b := mustJSON(orEmpty(oldLabels)), mustJSON(orEmpty(labels)); string(a) != string(b) {
		c.Labels = &pim.Change{Old: json.RawMessage(a), New: json.RawMessage(b)}
	}
	c.Values, _ = pim.Diff(before, after, s)
	return c
}

func orEmpty(labels map[pim.Locale]string) map[pim.Locale]string {
	if labels == nil {
		return map[pim.Locale]string{}
	}
	return labels
}

func (w *recordWriter) note(i int, ref, event string, data recordChange, labels map[pim.Locale]string, values pim.Values) {
	w.at[ref] = i
	w.refs, w.codes, w.types = append(w.refs, ref), append(w.codes, w.results[i].Code), append(w.types, event)
	w.labels, w.values = append(w.labels, mustJSON(orEmpty(labels))), append(w.values, pim.AppendJSON(nil, values))
	w.media, w.data = append(w.media, texts(w.schema.RecordMedia(values))), append(w.data, mustJSON(data))
	refs := []string{}
	if event != pim.EventRecordDeleted {
		refs = slices.Concat(refs, w.schema.RecordRefs(values))
		w.there[ref] = true // for those further down
	}
	for _, named := range refs {
		w.used[named] = w.used[named] || named != ref // nor may those further down delete it
	}
	w.records = append(w.records, texts(refs))
}

func (w *recordWriter) write(ctx context.Context, tx pgx.Tx, actor string) error {
	if len(w.refs) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, sqlWriteRecords, pgx.NamedArgs{
		"entity": w.entity, "actor": actor, "refs": w.refs, "codes": w.codes, "types": w.types, "labels": w.labels, "values": w.values, "media": w.media, "records": w.records, "data": w.data,
	})
	if err != nil {
		return err
	}
	var (
		ref  string
		rev  int64
		done int
	)
	_, err = pgx.ForEachRow(rows, []any{&ref, &rev}, func() error {
		w.results[w.at[ref]].Rev = rev
		done++
		return nil
	})
	if err == nil && done != len(w.refs) {
		err = errors.New("some of the records were not written")
	}
	return err
}

const sqlRecordKeys = `select ref from record where ref = any(@refs::text[])`

// missingRecords are those of refs that there are not.
func missingRecords(ctx context.Context, q querier, refs []string) (map[string]bool, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	rows, err := q.Query(ctx, sqlRecordKeys, named{"refs": refs})
	if err != nil {
		return nil, err
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	missing := map[string]bool{}
	for _, ref := range refs {
		if !slices.Contains(have, ref) {
			missing[ref] = true
		}
	}
	return missing, nil
}
