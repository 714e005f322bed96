package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// RecordSpec describes the body of an edit of a record.
type RecordSpec struct {
	Code   string            `json:"code,omitempty" doc:"As in the address, if given at all; in a batch it says which record is meant"`
	Labels map[string]string `json:"labels,omitempty" doc:"What it is called, by locale; in a merge patch null takes one away"`
	Values object            `json:"values,omitempty" doc:"Attribute code of the reference entity → value; a localizable one is an object of locale → value. In a merge patch null removes."`
}

// Record is a record of a reference entity as the API shows it.
type Record struct {
	Entity    string                `json:"entity"`
	Code      string                `json:"code"`
	Labels    map[pim.Locale]string `json:"labels"`
	Values    object                `json:"values"`
	Revision  int64                 `json:"revision" doc:"What the ETag names"`
	CreatedAt time.Time             `json:"created_at"`
	UpdatedAt time.Time             `json:"updated_at"`
}

// RecordAnswer is what became of an edit of a record.
type RecordAnswer struct {
	Code     string        `json:"code"`
	Revision int64         `json:"revision,omitempty" doc:"The revision now; left out where it was refused"`
	Created  bool          `json:"created"`
	Changed  bool          `json:"changed" doc:"false: it stood so already, and nothing is sent to anybody"`
	Warnings []pim.Problem `json:"warnings,omitempty" doc:"Doubts that do not keep values out"`
	// Of a PATCH whose author saw an older revision.
	Unseen   []pim.FieldChange `json:"unseen,omitempty" doc:"What others changed since the revision that If-Match named, and this PATCH did not touch; then there is no ETag, for the client has not seen all of the record"`
	Problems []pim.Problem     `json:"problems,omitempty" doc:"In a batch: why the row was refused, with pointers into the body"`
}

// RecordsAnswer is what became of a batch of edits of records.
type RecordsAnswer struct {
	Changed   int            `json:"changed" doc:"New ones included"`
	Unchanged int            `json:"unchanged"`
	Rejected  int            `json:"rejected"`
	Results   []RecordAnswer `json:"results" doc:"One for each row, in the rows' order"`
}

// EntityPath is a reference entity in an address.
type EntityPath struct {
	Entity string `path:"entity" maxLength:"100"`
}

// RecordPath is a record in an address.
type RecordPath struct {
	EntityPath
	CodePath
}

type recordAnswer struct {
	ETag string `header:"ETag" doc:"The record's revision"`
	Body Record
}

type recordEdited struct {
	Status int
	ETag   string `header:"ETag" doc:"The record's revision"`
	Body   RecordAnswer
}

type listRecords struct {
	EntityPath
	Paging
	Sorting
	Q string `query:"q" maxLength:"256" doc:"Part of a code or of a label, in any case"`
}

type editRecord struct {
	RecordPath
	Preconditions
	RawInput
}

type deleteRecord struct {
	RecordPath
	Preconditions
}

type recordsInput struct {
	EntityPath
	ContentType string `header:"Content-Type"`
	RawInput
}

type recordHistory struct {
	RecordPath
	Paging
}

type restoreRecord struct {
	RecordPath
	Revision int64 `path:"revision" minimum:"1"`
	Preconditions
}

const (
	pathRecords   = "/v1/reference-entities/{entity}/records"
	pathRecord    = pathRecords + "/{code}"
	maxRecordFile = 32 << 20
)

func (s *server) registerRecords() {
	handle(s, op("list-records", http.MethodGet, pathRecords, tagSchema, "List a reference entity's records by code"), s.listRecords)
	handle(s, op("get-record", http.MethodGet, pathRecord, tagSchema, "Get a record"), s.getRecord)
	handle(s, op("put-record", http.MethodPut, pathRecord, tagSchema, "Create or replace a record", creates,
		says("Products that show it, on the channels whose mapping does, are looked at again. The same again changes nothing."),
		takesJSON[RecordSpec](s)), func(ctx context.Context, in *editRecord) (*recordEdited, error) {
		return s.editRecord(ctx, in, postgres.Put)
	})
	patch := schemaOf[RecordSpec](s)
	handle(s, op("patch-record", http.MethodPatch, pathRecord, tagSchema, "Change what the body names of a record (JSON merge patch, RFC 7396)",
		takes(maxEdit, map[string]*huma.Schema{typeMerge: patch, typeJSON: patch})), func(ctx context.Context, in *editRecord) (*recordEdited, error) {
		return s.editRecord(ctx, in, postgres.Patch)
	})
	handle(s, op("delete-record", http.MethodDelete, pathRecord, tagSchema, "Delete a record that no product and no other record names"), s.deleteRecord)
	handle(s, op("edit-records", http.MethodPost, pathRecords+":batch", tagSchema, "Create or change up to 1,000 records, each row for itself",
		says("The body is a JSON array, or NDJSON, of records with their codes. Each row is a merge patch; a record that is not there is made."), takesRows[RecordSpec](s)), s.editRecords)
	handle(s, op("import-records", http.MethodPost, pathRecords+".csv", tagSchema, "Create and change records by a CSV file, each row for itself",
		says("Columns code, label-LOCALE, and the entity's attributes, ATTRIBUTE or ATTRIBUTE-LOCALE. Columns that the file does not have stay as they are; an empty cell takes its value away. No record is deleted."),
		takesLong, takes(maxRecordFile, map[string]*huma.Schema{typeCSV: {Type: huma.TypeString}})), s.importRecords)
	handle(s, op("get-record-history", http.MethodGet, pathRecord+"/history", tagSchema, "List a record's changes, newest first", says("Also of a deleted record.")), s.recordHistory)
	handle(s, op("restore-record", http.MethodPost, pathRecord+"/revisions/{revision}/restore", tagSchema, "Make a record what it was at a revision", creates,
		says("It is an edit like any other. Of a deletion it is what the record was when it went: it comes back.")), s.restoreRecord)
}

// ViewRecord is a record as the API shows it.
func ViewRecord(r pim.Record) Record {
	v := Record{Entity: r.Entity, Code: r.Code, Labels: r.Labels, Values: object(r.Values), Revision: r.Rev, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
	if v.Labels == nil {
		v.Labels = map[pim.Locale]string{}
	}
	return v
}

// ReadRecord reads the body of an edit of a record; code is told elsewhere, or "".
// The error is a *pim.Invalid.
func ReadRecord(body []byte, code string, mode postgres.EditMode) (postgres.RecordEdit, error) {
	v, err := pim.DecodeJSON(body, pim.MaxDepth)
	if err != nil {
		return postgres.RecordEdit{Code: code}, err
	}
	return bindRecord(v, code, mode)
}

func bindRecord(v any, code string, mode postgres.EditMode) (postgres.RecordEdit, error) {
	e := postgres.RecordEdit{Code: code, Mode: mode}
	m, ok := v.(map[string]any)
	if !ok {
		return e, &pim.Invalid{Problems: []pim.Problem{{Code: "json.not_object", Detail: "a record is an object, not " + kindOf(v)}}}
	}
	var b binder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		v := m[name]
		switch name {
		case "code":
			if code == "" {
				e.Code = *text(&b, "/code", v)
			} else if v != code {
				b.fault("/code", "field.address", fmt.Sprintf("the address says %q", code))
			}
		case "labels":
			e.Labels = recordLabels(&b, v, mode)
		case "values":
			if values, ok := v.(map[string]any); ok {
				e.Values = values
			} else {
				b.wrong("/values", "an object of attribute code → value", v)
			}
		default:
			b.fault(pim.JoinPointer("", name), "field.unknown", fmt.Sprintf("a record has no field %q", clip(name)))
		}
	}
	if e.Code == "" && m["code"] == nil {
		b.fault("/code", "field.missing", `"code" is missing`)
	}
	if len(b.problems) > 0 {
		return e, &pim.Invalid{Problems: b.problems}
	}
	return e, nil
}

func recordLabels(b *binder, v any, mode postgres.EditMode) map[pim.Locale]string {
	m, ok := v.(map[string]any)
	if !ok {
		b.wrong("/labels", "an object of locale → text", v)
		return nil
	}
	labels := map[pim.Locale]string{}
	for l, v := range m {
		if v == nil && mode != postgres.Put {
			labels[pim.Locale(l)] = ""
			continue
		}
		at := pim.JoinPointer("/labels", l)
		label := *text(b, at, v)
		if labels[pim.Locale(l)] = label; label == "" {
			b.fault(at, "label.empty", "a label has at least one character")
		}
	}
	return labels
}

func (s *server) listRecords(ctx context.Context, in *listRecords) (*answer[page[Record]], error) {
	list, next, err := s.Store.Records(ctx, in.Entity, in.Q, in.page())
	if err != nil {
		return nil, err
	}
	items := make([]Record, len(list))
	for i, r := range list {
		items[i] = ViewRecord(r)
	}
	return pageOf(items, next), nil
}

func (s *server) getRecord(ctx context.Context, in *RecordPath) (*recordAnswer, error) {
	r, err := s.Store.Record(ctx, in.Entity, in.Code)
	if err != nil {
		return nil, err
	}
	return &recordAnswer{etag(r.Rev), ViewRecord(r)}, nil
}

func (s *server) recordRevision(ctx context.Context, p RecordPath) func() (int64, error) {
	return func() (int64, error) {
		r, err := s.Store.Record(ctx, p.Entity, p.Code)
		return r.Rev, err
	}
}

// oneRecord edits one record.
func (s *server) oneRecord(ctx context.Context, entity string, e postgres.RecordEdit) (postgres.RecordResult, error) {
	results, err := s.Store.EditRecords(ctx, callOf(ctx).key.Name, entity, []postgres.RecordEdit{e})
	if err != nil {
		return postgres.RecordResult{}, err
	}
	return results[0], results[0].Err
}

func (s *server) editRecord(ctx context.Context, in *editRecord, mode postgres.EditMode) (*recordEdited, error) {
	e, err := ReadRecord(in.RawBody, in.Code, mode)
	if err != nil {
		return nil, err
	}
	var a *recordEdited
	at := func(ifMatch string) error {
		return s.atRevision(ifMatch, s.recordRevision(ctx, in.RecordPath), func(rev int64) error {
			e.IfMatch = rev
			r, err := s.oneRecord(ctx, in.Entity, e)
			if err == nil {
				a = answerRecord(r)
			}
			return err
		})
	}
	err = at(in.IfMatch)
	for race := 0; isStale(err) && race <= maxRaces; race++ {
		ifMatch, unseen, p := s.rebaseRecord(ctx, in, e, err)
		if ifMatch == "" {
			return nil, p
		}
		if err = at(ifMatch); err == nil && len(unseen) > 0 {
			a.ETag, a.Body.Unseen = "", unseen
		}
	}
	return a, err
}

// isStale reports an edit from an older revision than there is.
func isStale(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Status == http.StatusPreconditionFailed && p.Revision != 0
}

// rebaseRecord moves a merge patch to the revision there is now, when nothing that it
// names has changed since the one that its author saw; else ifMatch is "", and the
// refusal tells what has.
func (s *server) rebaseRecord(ctx context.Context, in *editRecord, e postgres.RecordEdit, refusal error) (ifMatch string, unseen []pim.FieldChange, err error) {
	want, _ := parseIfMatch(in.IfMatch)
	if want.any || len(want.revisions) != 1 {
		return "", nil, refusal
	}
	now, changes, err := s.Store.RecordChanges(ctx, in.Entity, in.Code, want.revisions[0])
	switch {
	case errors.Is(err, postgres.ErrNotFound):
		return "", nil, refusal
	case err != nil:
		return "", nil, err
	case e.Mode == postgres.Patch && s.Store.UntouchedRecord(in.Entity, changes, &e):
		return etag(now), changes, nil
	}
	p := stale(now)
	p.Changes = changes
	return "", nil, p
}

func answerRecord(r postgres.RecordResult) *recordEdited {
	return &recordEdited{created(!r.Created), etag(r.Rev), viewResult(r)}
}

func viewResult(r postgres.RecordResult) RecordAnswer {
	return RecordAnswer{Code: r.Code, Revision: r.Rev, Created: r.Created, Changed: r.Changed, Warnings: r.Warnings}
}

func (s *server) deleteRecord(ctx context.Context, in *deleteRecord) (*struct{}, error) {
	return nil, s.atRevision(in.IfMatch, s.recordRevision(ctx, in.RecordPath), func(rev int64) error {
		_, err := s.oneRecord(ctx, in.Entity, postgres.RecordEdit{Code: in.Code, Mode: postgres.Delete, IfMatch: rev})
		return err
	})
}

func (s *server) editRecords(ctx context.Context, in *recordsInput) (*answer[RecordsAnswer], error) {
	rows, err := splitRows(in.RawBody, in.ContentType)
	if err != nil {
		return nil, err
	}
	a := RecordsAnswer{Results: make([]RecordAnswer, len(rows))}
	edits, at := make([]postgres.RecordEdit, 0, len(rows)), make([]int, 0, len(rows))
	for i, row := range rows {
		e, err := ReadRecord(row, "", postgres.Merge)
		a.Results[i].Code = clip(e.Code)
		if err != nil {
			a.reject(i, err)
			continue
		}
		edits, at = append(edits, e), append(at, i)
	}
	results, err := s.Store.EditRecords(ctx, callOf(ctx).key.Name, in.Entity, edits)
	if err != nil {
		return nil, err
	}
	for j, r := range results {
		a.Results[at[j]] = viewResult(r)
		a.count(at[j], r)
	}
	return &answer[RecordsAnswer]{a}, nil
}

func (a *RecordsAnswer) count(i int, r postgres.RecordResult) {
	switch {
	case r.Err != nil:
		a.reject(i, r.Err)
	case r.Changed:
		a.Changed++
	default:
		a.Unchanged++
	}
}

// reject tells why a row was refused, with pointers into the body.
func (a *RecordsAnswer) reject(i int, err error) {
	a.Rejected++
	invalid, ok := errors.AsType[*pim.Invalid](err)
	if !ok {
		invalid = &pim.Invalid{Problems: []pim.Problem{{Code: "record.refused", Detail: err.Error()}}}
	}
	for _, p := range invalid.Problems {
		p.Pointer = "/" + strconv.Itoa(i) + p.Pointer
		a.Results[i].Problems = append(a.Results[i].Problems, p)
	}
}

func (s *server) importRecords(ctx context.Context, in *recordsInput) (*answer[RecordsAnswer], error) {
	schema, err := s.Store.RefreshSchema(ctx)
	if err != nil {
		return nil, err
	}
	file, err := jobs.RecordEdits(schema, in.Entity, bytes.NewReader(in.RawBody))
	if err != nil {
		return nil, err
	}
	out, err := file.Store(ctx, s.Store, callOf(ctx).key.Name)
	if err != nil {
		return nil, err
	}
	a := RecordsAnswer{Results: make([]RecordAnswer, len(out))}
	for i, r := range out {
		a.Results[i] = viewResult(r)
		a.count(i, r)
	}
	return &answer[RecordsAnswer]{a}, nil
}

func (s *server) recordHistory(ctx context.Context, in *recordHistory) (*answer[page[postgres.RecordEvent]], error) {
	list, next, err := s.Store.RecordHistory(ctx, in.Entity, in.Code, in.page())
	if err != nil {
		return nil, inCursor(err)
	}
	return pageOf(list, next), nil
}

func (s *server) restoreRecord(ctx context.Context, in *restoreRecord) (*recordEdited, error) {
	var a *recordEdited
	err := s.atRevision(in.IfMatch, s.recordRevision(ctx, in.RecordPath), func(rev int64) error {
		r, err := s.Store.RestoreRecord(ctx, callOf(ctx).key.Name, in.Entity, in.Code, in.Revision, rev)
		if err == nil {
			a = answerRecord(r)
		}
		return err
	})
	return a, err
}
