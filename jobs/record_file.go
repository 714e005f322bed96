package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// maxRecords bounds the rows of a file of records.
const maxRecords = 100_000

// RecordFile is a file of a reference entity's records, read.
type RecordFile struct {
	Entity string
	edits  []postgres.RecordEdit
	faults []error // of each edit; nil: none
}

// recordColumn is what a column of a file means.
type recordColumn struct {
	name   string
	label  bool
	attr   *pim.Attribute
	locale pim.Locale // "": none
}

// RecordEdits reads a CSV file of an entity's records: the columns code, label-LOCALE
// and ATTRIBUTE or, of localizable ones, ATTRIBUTE-LOCALE, where LOCALE may be written
// de_DE, too. A column that Akeneo writes beside them, referenceEntityIdentifier, is
// passed over; any other that is none of these is a fault, as is a file that is no such
// CSV: *pim.Invalid. postgres.ErrNotFound: there is no such entity.
func RecordEdits(schema *pim.Schema, entity string, r io.Reader) (*RecordFile, error) {
	e := schema.Entities[entity]
	if e == nil {
		return nil, fmt.Errorf("reference entity %s: %w", entity, postgres.ErrNotFound)
	}
	s, err := openSheet(r, maxRecords, "code")
	if err != nil {
		return nil, err
	}
	var columns []recordColumn
	for _, name := range slices.Sorted(maps.Keys(s.at)) {
		if name == "code" || name == "referenceentityidentifier" {
			continue
		}
		c, err := recordColumnOf(e, name)
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	f := &RecordFile{Entity: entity}
	for {
		err := s.next()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		edit := postgres.RecordEdit{Code: strings.TrimSpace(s.cell("code")), Mode: postgres.Merge, Labels: map[pim.Locale]string{}, Values: pim.Values{}}
		fault := s.readable("code")
		for i := range columns {
			c := &columns[i]
			if bad := s.readable(c.name); bad != nil {
				fault = errors.Join(fault, bad)
				continue
			}
			c.set(&edit, strings.TrimSpace(bareCell(s.cell(c.name))))
		}
		f.edits, f.faults = append(f.edits, edit), append(f.faults, fault)
	}
}

// recordColumnOf reads a column's name, which is in small letters.
func recordColumnOf(e *pim.ReferenceEntity, name string) (c recordColumn, err error) {
	c.name = name
	if written, is := strings.CutPrefix(name, "label-"); is {
		tag, err := language.Raw.Parse(written)
		if err != nil {
			return c, invalidText("", "csv.column", fmt.Sprintf("the column %q names no locale", name))
		}
		c.label, c.locale = true, pim.Locale(tag.String())
		return c, nil
	}
	for i := range e.Attributes { // one whose code ends as a locale's tag does before one that is localizable
		if a := &e.Attributes[i]; !a.Localizable && name == strings.ToLower(a.Code) {
			c.attr = a
			return c, nil
		}
	}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		rest, is := strings.CutPrefix(name, strings.ToLower(a.Code))
		switch {
		case !is:
		case a.Localizable && strings.HasPrefix(rest, "-"):
			if tag, err := language.Raw.Parse(rest[1:]); err == nil {
				c.attr, c.locale = a, pim.Locale(tag.String())
				return c, nil
			}
		}
	}
	return c, invalidText("", "csv.column", fmt.Sprintf("the column %q is neither a label nor an attribute of reference entity %s", name, e.Code))
}

// set puts a cell into an edit; an empty one takes what there is away.
func (c *recordColumn) set(e *postgres.RecordEdit, cell string) {
	if c.label {
		e.Labels[c.locale] = cell
		return
	}
	v := recordCell(c.attr, cell)
	if !c.attr.Localizable {
		e.Values[c.attr.Code] = v
		return
	}
	m, _ := e.Values[c.attr.Code].(map[string]any)
	if m == nil {
		m = map[string]any{}
		e.Values[c.attr.Code] = m
	}
	m[string(c.locale)] = v
}

// recordCell reads a cell by its attribute's type. What it cannot read stays text,
// for the check of values to refuse in its words.
func recordCell(a *pim.Attribute, cell string) any {
	if cell == "" {
		return nil
	}
	switch a.Type {
	case pim.TypeNumber:
		amount, unit, _ := strings.Cut(cell, " ")
		if a.Unit == "" {
			return json.Number(cell)
		}
		if unit == "" {
			unit = a.Unit
		}
		return map[string]any{"amount": amount, "unit": unit}
	case pim.TypeBoolean:
		switch strings.ToLower(cell) {
		case "true", "1":
			return true
		case "false", "0":
			return false
		}
	case pim.TypeOptions, pim.TypeEntities:
		return splitCell(cell, ",;|")
	case pim.TypeMedia:
		if links := splitCell(cell, "|\n"); len(links) > 1 {
			return links
		}
	}
	return cell
}

func splitCell(cell, separators string) []any {
	var list []any
	for part := range strings.FieldsFuncSeq(cell, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// Store stores the file's records as actor, each row for itself; results are in the
// rows' order. The error is of the database, or of an entity that is gone: rows before
// it are stored.
func (f *RecordFile) Store(ctx context.Context, store *postgres.Store, actor string) ([]postgres.RecordResult, error) {
	results := make([]postgres.RecordResult, len(f.edits))
	var todo []int
	flush := func() error {
		edits := make([]postgres.RecordEdit, len(todo))
		for j, i := range todo {
			edits[j] = f.edits[i]
		}
		done, err := store.EditRecords(ctx, actor, f.Entity, edits)
		if err != nil {
			return err
		}
		for j, i := range todo {
			results[i] = done[j]
		}
		todo = todo[:0]
		return nil
	}
	for i := range f.edits {
		if f.faults[i] != nil {
			results[i] = postgres.RecordResult{Code: f.edits[i].Code, Err: f.faults[i]}
			continue
		}
		if todo = append(todo, i); len(todo) == postgres.MaxRecordEdits {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return results, flush()
}
