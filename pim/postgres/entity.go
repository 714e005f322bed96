package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// ReferenceEntity is a stored reference entity.
type ReferenceEntity struct {
	pim.ReferenceEntity
	Rev       int64 // the ETag
	Records   int64
	UpdatedAt time.Time
}

const (
	entityColumns = `e.rev, e.updated_at, e.definition, (select count(*) from record r where r.entity = e.code)`
	sqlEntities   = `select ` + entityColumns + ` from reference_entity e order by e.code`
	sqlEntity     = `select ` + entityColumns + ` from reference_entity e where e.code = @code`
)

func scanEntity(row pgx.CollectableRow) (e ReferenceEntity, err error) {
	var definition []byte
	if err := row.Scan(&e.Rev, &e.UpdatedAt, &definition, &e.Records); err != nil {
		return e, err
	}
	return e, json.Unmarshal(definition, &e.ReferenceEntity)
}

// ReferenceEntities lists all reference entities, by their codes.
func (s *Store) ReferenceEntities(ctx context.Context) ([]ReferenceEntity, error) {
	rows, err := s.pool.Query(ctx, sqlEntities)
	if err != nil {
		return nil, fmt.Errorf("list reference entities: %w", err)
	}
	return pgx.CollectRows(rows, scanEntity)
}

// ReferenceEntity reads one; ErrNotFound.
func (s *Store) ReferenceEntity(ctx context.Context, code string) (ReferenceEntity, error) {
	e, err := entityOf(ctx, s.pool, code)
	if err != nil {
		return e, fmt.Errorf("reference entity %s: %w", code, err)
	}
	return e, nil
}

func entityOf(ctx context.Context, q querier, code string) (ReferenceEntity, error) {
	return one(ctx, q, sqlEntity, pgx.NamedArgs{"code": storable(code)}, scanEntity)
}

const (
	sqlPutEntity = `
insert into reference_entity as e (code, definition) values (@code, @definition)
on conflict (code) do update set definition = excluded.definition, rev = e.rev + 1, updated_at = now()
where e.definition is distinct from excluded.definition`
	sqlDropEntity = `delete from reference_entity where code = @code`

	// sqlEntityChange notes that all records of an entity may look another way: as
	// many in each row as one call edits, for products are compared with all of a row.
	sqlEntityChange = `
insert into record_change (refs)
select array_agg(ref order by ref) from (select ref, (row_number() over (order by ref) - 1) / @part::int as part from record where entity = @code) r
group by part order by part`

	// sqlForgetReferences takes the values of attributes out of records, and makes of
	// what is left anew which records they name: codes are all texts in the values of
	// attributes that refer to records, whether lists or by locale.
	sqlForgetReferences = `
update record r set values = r.values - @attributes::text[], records = array(
    select distinct a.entity || '/' || (named #>> '{}') from unnest(@codes::text[], @entities::text[]) a (code, entity)
    cross join lateral jsonb_path_query(r.values -> a.code, 'strict $.**') named where jsonb_typeof(named) = 'string' and a.code <> all(@attributes::text[]))
where r.entity = @code and r.values ?| @attributes::text[]`
)

// forgetReferences has records lose their values of attributes that refer to records and
// that come or go: such a value keeps the record that it names, where nobody would see
// why, and what stood there before the attribute came names records that may be gone.
func forgetReferences(ctx context.Context, tx pgx.Tx, old, now *pim.ReferenceEntity) error {
	refers := func(a pim.Attribute) bool { return a.Type == pim.TypeEntity || a.Type == pim.TypeEntities }
	lacks := func(e *pim.ReferenceEntity, code string) bool {
		return !slices.ContainsFunc(e.Attributes, func(a pim.Attribute) bool { return a.Code == code })
	}
	forget, codes, entities := []string{}, []string{}, []string{}
	for _, a := range old.Attributes {
		if refers(a) && lacks(now, a.Code) {
			forget = append(forget, a.Code)
		}
	}
	for _, a := range now.Attributes {
		if !refers(a) {
			continue
		}
		codes, entities = append(codes, a.Code), append(entities, a.Entity)
		if lacks(old, a.Code) {
			forget = append(forget, a.Code)
		}
	}
	if len(forget) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, sqlForgetReferences, pgx.NamedArgs{"code": now.Code, "attributes": forget, "codes": codes, "entities": entities})
	return err
}

// PutReferenceEntity checks (*pim.Invalid) and stores a reference entity. Values of
// attributes that it loses stay in its records, unseen, until these are edited, but for
// those that refer to records; an option that a record has stays.
// Where its attributes are others, products that show its records are looked at
// again. The same again changes nothing. ifMatch, when not 0, is the revision that
// it must have (ErrStale).
func (s *Store) PutReferenceEntity(ctx context.Context, e pim.ReferenceEntity, ifMatch int64) (now ReferenceEntity, created bool, err error) {
	var next *pim.Schema
	err = inTx(ctx, s.pool, func(tx pgx.Tx) error {
		schema, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		old, err := entityOf(ctx, tx, e.Code)
		if created, err = meets(err, old.Rev, ifMatch); err != nil {
			return err
		}
		if problems := schema.CheckEntity(&e, ""); len(problems) > 0 {
			return &pim.Invalid{Problems: problems}
		}
		if err := recordOptionsInUse(ctx, tx, schema, &old.ReferenceEntity, &e); err != nil {
			return err
		}
		args := pgx.NamedArgs{"code": e.Code, "definition": mustJSON(e), "part": MaxRecordEdits}
		tag, err := tx.Exec(ctx, sqlPutEntity, args)
		if err != nil {
			return err
		}
		if now, err = entityOf(ctx, tx, e.Code); err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if string(mustJSON(old.Attributes)) != string(mustJSON(e.Attributes)) {
			if err := forgetReferences(ctx, tx, &old.ReferenceEntity, &e); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, sqlEntityChange, args); err != nil {
				return err
			}
		}
		next = schema.Copy()
		stored := now.ReferenceEntity
		next.Entities = putInto(schema.Entities, e.Code, &stored)
		return bumpSchema(ctx, tx, next)
	})
	if err != nil {
		return now, false, fmt.Errorf("store reference entity %s: %w", e.Code, err)
	}
	if next != nil {
		s.keepSchema(next)
	}
	s.openRecordChanges(ctx)
	return now, created, nil
}

// DeleteReferenceEntity removes a reference entity. ErrInUse while attributes, of
// products or of other entities, name it or it has records; ErrStale where ifMatch is not 0 and not its revision;
// ErrNotFound.
func (s *Store) DeleteReferenceEntity(ctx context.Context, code string, ifMatch int64) error {
	return s.drop(ctx, sqlDropEntity, storable(code), ifMatch, func(ctx context.Context, tx pgx.Tx, next *pim.Schema) (bool, error) {
		e, err := entityOf(ctx, tx, code)
		if err := leaves(err, e.Rev, ifMatch); err != nil {
			return false, err
		}
		if referred(next, code) {
			return true, nil
		}
		next.Entities = takenFrom(next.Entities, code)
		return e.Records > 0, nil
	})
}

func entitiesByCode(raw []byte) (map[string]*pim.ReferenceEntity, error) {
	var list []*pim.ReferenceEntity
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("decode reference entities: %w", err)
	}
	out := make(map[string]*pim.ReferenceEntity, len(list))
	for _, e := range list {
		out[e.Code] = e
	}
	return out, nil
}

// referred reports whether an attribute, of a product or of another entity, refers to an
// entity's records.
func referred(schema *pim.Schema, entity string) bool {
	for _, a := range schema.Attributes {
		if a.Entity == entity {
			return true
		}
	}
	for code, e := range schema.Entities {
		if code != entity && slices.ContainsFunc(e.Attributes, func(a pim.Attribute) bool { return a.Entity == entity }) {
			return true
		}
	}
	return false
}
