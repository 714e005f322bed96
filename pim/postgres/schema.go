package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// Schema is what values are checked against, as this process knows it. Writes
// compare its version in their own statement, so an old one does no harm.
func (s *Store) Schema() *pim.Schema { return s.schema.Load() }

// RefreshSchema gives the schema as it is now. It is read anew where it has changed.
func (s *Store) RefreshSchema(ctx context.Context) (*pim.Schema, error) {
	return s.loadSchema(ctx, s.pool)
}

// SchemaOf gives a schema that is not older than a version that was read beside
// values: another process may have changed it before it wrote them, and an older
// schema does not show what it does not know.
func (s *Store) SchemaOf(ctx context.Context, version int64) (*pim.Schema, error) {
	if schema := s.schema.Load(); schema.Version >= version {
		return schema, nil
	}
	return s.RefreshSchema(ctx)
}

const sqlSchema = `
select c.version,
       coalesce((select jsonb_agg(definition order by code) from attribute), '[]'),
       coalesce((select jsonb_agg(definition order by code) from family), '[]'),
       array(select code from locale), array(select code from currency),
       array(select code from price_list), array(select code from location),
       array(select code from channel where deleted_at is null), coalesce((select jsonb_agg(definition order by code) from attribute_group), '[]'), c.tree,
       case when c.tree <> @tree then coalesce((select jsonb_agg(jsonb_build_object('code', code, 'parent', coalesce(parent, ''), 'position', position,
           'labels', labels, 'path', path, 'rev', rev, 'updated_at', updated_at)) from category), '[]') end,
       coalesce((select jsonb_object_agg(code, definition -> 'currencies') from price_list where definition ? 'currencies'), '{}'), c.derives & 8 <> 0,
       coalesce((select jsonb_agg(definition) from reference_entity), '[]'), coalesce((select jsonb_agg(definition) from association_type), '[]'),
       coalesce((select jsonb_object_agg(code, definition || jsonb_build_object('code', code)) from location where definition <> '{}'), '{}'),
       exists (select from price_guard), coalesce((select jsonb_object_agg(code, fallback) from locale where fallback is not null), '{}'),
       coalesce((select jsonb_object_agg(kind || '/' || code, rev) from (
           select 'attribute' as kind, code, rev from attribute union all select 'family', code, rev from family
           union all select 'attribute-group', code, rev from attribute_group union all select 'locale', code, rev from locale) d), '{}')
from catalogue c`

const sqlSchemaVersion = `select version from catalogue`

// loadSchema gives the schema, which it reads where it is not the one that is known,
// and keeps unless there is a newer one by now. It reads through q, which in a
// transaction is the transaction, and comes before its changes: a second connection,
// asked for while others that wait for this one's locks hold the rest of the pool,
// would never come.
func (s *Store) loadSchema(ctx context.Context, q querier) (*pim.Schema, error) {
	if known := s.schema.Load(); known != nil {
		var version int64
		if err := q.QueryRow(ctx, sqlSchemaVersion).Scan(&version); err != nil {
			return nil, fmt.Errorf("read the version of the schema of values: %w", err)
		}
		if known.Version >= version {
			return known, nil
		}
	}
	out, err := s.readSchema(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.keepSchema(out), nil
}

// readSchema is the schema as q has it.
func (s *Store) readSchema(ctx context.Context, q querier) (*pim.Schema, error) {
	var (
		version                                          int64
		attributes, families, groups, categories, listed []byte
		entities, associations, places, fallbacks, revs  []byte
		tree                                             int64
		rules, guards                                    bool
		locales, currencies, lists, locations, channels  []string
	)
	known := &pim.Tree{Version: -1}
	if old := s.schema.Load(); old != nil && old.Tree != nil {
		known = old.Tree
	}
	err := q.QueryRow(ctx, sqlSchema, pgx.NamedArgs{"tree": known.Version}).
		Scan(&version, &attributes, &families, &locales, &currencies, &lists, &locations, &channels, &groups, &tree, &categories, &listed, &rules,
			&entities, &associations, &places, &guards, &fallbacks, &revs)
	if err != nil {
		return nil, fmt.Errorf("read the schema of values: %w", err)
	}
	out := &pim.Schema{
		Version: version, Attributes: map[string]*pim.Attribute{}, Families: map[string]*pim.Family{},
		Locales: set[pim.Locale](locales), Currencies: set[pim.Currency](currencies),
		PriceLists: set[string](lists), Locations: set[string](locations), Channels: set[pim.ChannelCode](channels), Tree: known, Groups: map[string]*pim.AttributeGroup{}, PriceRules: rules, PriceGuards: guards,
	}
	if categories != nil {
		var list []*pim.Category
		if err := json.Unmarshal(categories, &list); err != nil {
			return nil, fmt.Errorf("decode categories: %w", err)
		}
		out.Tree = pim.NewTree(tree, list)
	}
	if err := json.Unmarshal(listed, &out.ListCurrencies); err != nil {
		return nil, fmt.Errorf("decode the price lists' currencies: %w", err)
	}
	if err := json.Unmarshal(places, &out.Places); err != nil {
		return nil, fmt.Errorf("decode locations: %w", err)
	}
	if err := json.Unmarshal(fallbacks, &out.Fallbacks); err != nil {
		return nil, fmt.Errorf("decode the locales' fallbacks: %w", err)
	}
	if err := json.Unmarshal(revs, &out.Revisions); err != nil {
		return nil, fmt.Errorf("decode the revisions of definitions: %w", err)
	}
	var as []*pim.Attribute
	var fs []*pim.Family
	if err := json.Unmarshal(attributes, &as); err != nil {
		return nil, fmt.Errorf("decode attributes: %w", err)
	}
	if err := json.Unmarshal(families, &fs); err != nil {
		return nil, fmt.Errorf("decode families: %w", err)
	}
	var gs []*pim.AttributeGroup
	if err := json.Unmarshal(groups, &gs); err != nil {
		return nil, fmt.Errorf("decode attribute groups: %w", err)
	}
	for _, g := range gs {
		out.Groups[g.Code] = g
	}
	if out.Entities, err = entitiesByCode(entities); err != nil {
		return nil, err
	}
	if out.Associations, err = associationTypes(associations); err != nil {
		return nil, err
	}
	for _, a := range as {
		out.Attributes[a.Code] = a
	}
	for _, f := range fs {
		out.Families[f.Code] = f
	}
	return out, nil
}

func set[K ~string](codes []string) map[K]bool {
	m := make(map[K]bool, len(codes))
	for _, c := range codes {
		m[K(c)] = true
	}
	return m
}

// SchemaChange adds to, or changes, what values are checked against. Codes
// that are there already stay as they are; definitions are replaced.
type SchemaChange struct {
	Groups     []pim.AttributeGroup
	Attributes []pim.Attribute
	Families   []pim.Family
	Locales    []pim.Locale
	Currencies []pim.Currency
	PriceLists []string
	Locations  []string
	Fallbacks  map[pim.Locale]pim.Locale // of the locales that change; "": none any more
	IfMatch    map[string]int64          // revisions that definitions must have, as pim.Schema.Revisions has them: ErrStale
}

const (
	sqlPutGroups = `
insert into attribute_group as x (code, definition) select d->>'code', d from unnest(@definitions::jsonb[]) d
on conflict (code) do update set definition = excluded.definition, rev = x.rev + 1 where x.definition is distinct from excluded.definition
returning code, rev, definition`
	sqlPutAttributes = `
insert into attribute as x (code, definition) select d->>'code', d from unnest(@definitions::jsonb[]) d
on conflict (code) do update set definition = excluded.definition, rev = x.rev + 1 where x.definition is distinct from excluded.definition
returning code, rev, definition`
	sqlPutFamilies = `
insert into family as x (code, definition) select d->>'code', d from unnest(@definitions::jsonb[]) d
on conflict (code) do update set definition = excluded.definition, rev = x.rev + 1 where x.definition is distinct from excluded.definition
returning code, rev, definition`
	sqlPutLocales    = `insert into locale select unnest(@codes::text[]) on conflict do nothing returning code, rev`
	sqlPutCurrencies = `insert into currency select unnest(@codes::text[]) on conflict do nothing`
	sqlPutPriceLists = `insert into price_list (code) select unnest(@codes::text[]) on conflict do nothing`
	sqlPutLocations  = `insert into location (code) select unnest(@codes::text[]) on conflict do nothing`
)

// ChangeSchema checks and applies a change, all or nothing. Problems come as
// *pim.Invalid with pointers into the arrays of SchemaChange by their JSON
// names ("/attributes/0/type"). An attribute keeps its type and shape while a
// family uses it, and an option while a product has it: stored values must go on
// meaning what they say. A family that
// gets or loses a text of a rule has its products looked at, as by a new rule.
func (s *Store) ChangeSchema(ctx context.Context, c SchemaChange) (next *pim.Schema, err error) {
	err = s.untangledTx(ctx, func(tx pgx.Tx) error {
		current, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		for what, rev := range c.IfMatch {
			if current.Revisions[what] != rev {
				return ErrStale
			}
		}
		if err := checkChange(current, c); err != nil {
			return err
		}
		if err := variantsInUse(ctx, tx, current, c.Families); err != nil {
			return err
		}
		if err := optionsInUse(ctx, tx, current, c); err != nil {
			return err
		}
		if next, err = storeChange(ctx, tx, current, c); err != nil {
			return err
		}
		if err := uniqueAttributes(ctx, tx, current, c.Attributes); err != nil {
			return err
		}
		if err := s.followConditions(ctx, tx, current, next); err != nil {
			return err
		}
		return textsOfChange(ctx, tx, current, next, c.Families)
	})
	if err != nil {
		return nil, fmt.Errorf("change the schema of values: %w", err)
	}
	s.keepSchema(next)
	if len(c.Fallbacks) > 0 {
		s.nudged()
	}
	return next, nil
}

// storeChange stores a change that was checked, and gives what it makes of the schema.
func storeChange(ctx context.Context, tx pgx.Tx, current *pim.Schema, c SchemaChange) (*pim.Schema, error) {
	next := current.Copy()
	next.Locales, next.Currencies = with(current.Locales, c.Locales), with(current.Currencies, c.Currencies)
	next.PriceLists, next.Locations = with(current.PriceLists, c.PriceLists), with(current.Locations, c.Locations)
	next.Fallbacks, next.Revisions = withFallbacks(current.Fallbacks, c.Fallbacks), maps.Clone(current.Revisions)
	b := &pgx.Batch{}
	if len(c.Locales) > 0 {
		b.Queue(sqlPutLocales, pgx.NamedArgs{"codes": c.Locales}).Query(localeRevisions(next.Revisions))
	}
	for _, of := range []struct {
		sql   string
		codes any
		n     int
	}{{sqlPutCurrencies, c.Currencies, len(c.Currencies)}, {sqlPutPriceLists, c.PriceLists, len(c.PriceLists)}, {sqlPutLocations, c.Locations, len(c.Locations)}} {
		if of.n > 0 {
			b.Queue(of.sql, pgx.NamedArgs{"codes": of.codes})
		}
	}
	var err error
	if next.Groups, err = putDefinitions(b, sqlPutGroups, "attribute-group", c.Groups, current.Groups, next.Revisions); err != nil {
		return nil, err
	}
	if next.Attributes, err = putDefinitions(b, sqlPutAttributes, "attribute", c.Attributes, current.Attributes, next.Revisions); err != nil {
		return nil, err
	}
	if next.Families, err = putDefinitions(b, sqlPutFamilies, "family", c.Families, current.Families, next.Revisions); err != nil {
		return nil, err
	}
	b.Queue(sqlBumpCatalogue).QueryRow(func(row pgx.Row) error { return row.Scan(&next.Version) })
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return nil, err
	}
	return next, putFallbacks(ctx, tx, current, next, c.Fallbacks)
}

const sqlVariantInUse = `
select exists (select from product where family = @family and family_variant = @variant and deleted_at is null)`

// variantsInUse refuses to take a family variant away that parents have: their
// variants would not be told apart any more.
func variantsInUse(ctx context.Context, tx pgx.Tx, current *pim.Schema, families []pim.Family) error {
	var problems []pim.Problem
	for i, f := range families {
		old := current.Families[f.Code]
		if old == nil {
			continue
		}
		for _, v := range old.Variants {
			if slices.ContainsFunc(f.Variants, func(n pim.FamilyVariant) bool { return n.Code == v.Code }) {
				continue
			}
			var used bool
			if err := tx.QueryRow(ctx, sqlVariantInUse, pgx.NamedArgs{"family": f.Code, "variant": v.Code}).Scan(&used); err != nil {
				return err
			}
			if used {
				problems = append(problems, pim.Problem{Pointer: fmt.Sprintf("/families/%d/variants", i), Code: "family_variant.used", Detail: fmt.Sprintf(
					"products have the family variant %s", v.Code)})
			}
		}
	}
	if len(problems) > 0 {
		return &pim.Invalid{Problems: problems}
	}
	return nil
}

func marshalAll[T any](in []T) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, len(in))
	for i := range in {
		b, err := json.Marshal(in[i])
		if err != nil {
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

// checkChange checks c against the schema that it would make.
func checkChange(current *pim.Schema, c SchemaChange) error {
	next := current.Copy()
	next.Locales = with(current.Locales, c.Locales)
	next.Attributes, next.Groups = maps.Clone(current.Attributes), maps.Clone(current.Groups)
	var problems []pim.Problem
	named := map[string]bool{}
	twice := func(code, at string) {
		if named[at[:2]+code] { // "/g…", "/a…" or "/f…"
			problems = append(problems, pim.Problem{Pointer: at + "/code", Code: "code.twice", Detail: fmt.Sprintf("%s is defined twice", code)})
		}
		named[at[:2]+code] = true
	}
	for i := range c.Groups {
		g := &c.Groups[i]
		at := fmt.Sprintf("/groups/%d", i)
		twice(g.Code, at)
		problems = append(problems, pim.CheckGroup(g, at)...)
		next.Groups[g.Code] = g
	}
	for i := range c.Attributes {
		a := &c.Attributes[i]
		at := fmt.Sprintf("/attributes/%d", i)
		twice(a.Code, at)
		problems = append(problems, next.CheckAttribute(a, at)...)
		if old := current.Attributes[a.Code]; old != nil && (shape(old) != shape(a) || !pim.SameColumns(old, a)) && inFamily(current, a.Code) {
			problems = append(problems, pim.Problem{Pointer: at, Code: "attribute.shape", Detail: fmt.Sprintf(
				"attribute %s is used by a family: its type, unit, reference entity, localizable and scopable stay as they are, and so do its columns' types and units", a.Code)})
		}
		next.Attributes[a.Code] = a
	}
	for i := range c.Families {
		twice(c.Families[i].Code, fmt.Sprintf("/families/%d", i))
		problems = append(problems, next.CheckFamily(&c.Families[i], fmt.Sprintf("/families/%d", i))...)
	}
	for i, l := range c.Locales {
		if err := pim.ValidLocale(l); err != nil {
			problems = append(problems, pim.Problem{Pointer: fmt.Sprintf("/locales/%d", i), Code: "locale", Detail: err.Error()})
		}
	}
	next.Fallbacks = withFallbacks(current.Fallbacks, c.Fallbacks)
	problems = append(problems, next.CheckFallbacks(slices.Collect(maps.Keys(c.Fallbacks)), "")...)
	for i, cur := range c.Currencies {
		if err := pim.ValidCurrency(cur); err != nil {
			problems = append(problems, pim.Problem{Pointer: fmt.Sprintf("/currencies/%d", i), Code: "currency", Detail: err.Error()})
		}
	}
	for i, l := range c.PriceLists {
		if err := pim.ValidCode("price list", l); err != nil {
			problems = append(problems, pim.Problem{Pointer: fmt.Sprintf("/price_lists/%d", i), Code: "code", Detail: err.Error()})
		}
	}
	for i, l := range c.Locations {
		if err := pim.ValidCode("location", l); err != nil {
			problems = append(problems, pim.Problem{Pointer: fmt.Sprintf("/locations/%d", i), Code: "code", Detail: err.Error()})
		}
	}
	if len(problems) > 0 {
		return &pim.Invalid{Problems: problems}
	}
	return nil
}

func shape(a *pim.Attribute) [5]any {
	return [5]any{a.Type, a.Unit, a.Entity, a.Localizable, a.Scopable}
}

// inFamily reports whether a family has an attribute.
func inFamily(schema *pim.Schema, attribute string) bool {
	for _, f := range schema.Families {
		if slices.ContainsFunc(f.Attributes, func(a pim.FamilyAttribute) bool { return a.Code == attribute }) {
			return true
		}
	}
	return false
}

// with is have where there is nothing more.
func with[K comparable](have map[K]bool, more []K) map[K]bool {
	if len(more) == 0 {
		return have
	}
	out := make(map[K]bool, len(have)+len(more))
	for k := range have {
		out[k] = true
	}
	for _, k := range more {
		out[k] = true
	}
	return out
}

const (
	sqlFamilyInUse = `select exists (select from product where family = @code)`
	sqlDropFamily  = `delete from family where code = @code and (@if_match = 0 or rev = @if_match)`
	sqlDropGroup   = `delete from attribute_group where code = @code and (@if_match = 0 or rev = @if_match)`
	sqlDropAttr    = `delete from attribute where code = @code and (@if_match = 0 or rev = @if_match)`
)

// DeleteFamily removes a family that no product has, tombstones included, and no
// import profile names. Of this
// and every deletion: ErrStale where ifMatch is neither 0 nor the revision.
func (s *Store) DeleteFamily(ctx context.Context, code string, ifMatch int64) error {
	return s.drop(ctx, sqlDropFamily, code, ifMatch, func(ctx context.Context, tx pgx.Tx, next *pim.Schema) (used bool, err error) {
		if err := defined(next, "family/"+code, ifMatch); err != nil {
			return false, err
		}
		args := pgx.NamedArgs{"code": code}
		if err := tx.QueryRow(ctx, sqlFamilyInUse, args).Scan(&used); err != nil || used {
			return used, err
		}
		next.Families, next.Revisions = takenFrom(next.Families, code), takenFrom(next.Revisions, "family/"+code)
		return false, unused(ctx, tx, sqlFamilyProfiles, args)
	})
}

// DeleteGroup removes an attribute group that no attribute names; ErrInUse, ErrNotFound.
func (s *Store) DeleteGroup(ctx context.Context, code string, ifMatch int64) error {
	return s.drop(ctx, sqlDropGroup, storable(code), ifMatch, func(_ context.Context, _ pgx.Tx, next *pim.Schema) (bool, error) {
		if err := defined(next, "attribute-group/"+code, ifMatch); err != nil {
			return false, err
		}
		for _, a := range next.Attributes {
			if a.Group == code {
				return true, nil
			}
		}
		next.Groups, next.Revisions = takenFrom(next.Groups, code), takenFrom(next.Revisions, "attribute-group/"+code)
		return false, nil
	})
}

// DeleteAttribute removes an attribute that no family has.
func (s *Store) DeleteAttribute(ctx context.Context, code string, ifMatch int64) error {
	return s.drop(ctx, sqlDropAttr, code, ifMatch, func(_ context.Context, _ pgx.Tx, next *pim.Schema) (bool, error) {
		if err := defined(next, "attribute/"+code, ifMatch); err != nil {
			return false, err
		}
		next.Attributes, next.Revisions = takenFrom(next.Attributes, code), takenFrom(next.Revisions, "attribute/"+code)
		return inFamily(next, code), nil
	})
}

// defined is leaves of a definition of the schema; what is its name in Schema.Revisions.
func defined(now *pim.Schema, what string, ifMatch int64) error {
	rev, there := now.Revisions[what]
	if !there {
		return leaves(ErrNotFound, 0, ifMatch)
	}
	return leaves(nil, rev, ifMatch)
}

// unmatched is what a deletion that found no row is told by: to who names a revision,
// what is not there has another one.
func unmatched(ifMatch int64) error {
	if ifMatch != 0 {
		return ErrStale
	}
	return ErrNotFound
}

// drop deletes a definition that is not used. used says so, and takes it from next,
// which is the schema that there is then.
func (s *Store) drop(ctx context.Context, sql, code string, ifMatch int64, used func(ctx context.Context, tx pgx.Tx, next *pim.Schema) (bool, error)) error {
	var next *pim.Schema
	err := s.untangledTx(ctx, func(tx pgx.Tx) error {
		now, err := s.lockSchema(ctx, tx)
		if err != nil {
			return err
		}
		next = now.Copy()
		if inUse, err := used(ctx, tx, next); err != nil {
			return err
		} else if inUse {
			return ErrInUse
		}
		tag, err := tx.Exec(ctx, sql, pgx.NamedArgs{"code": code, "if_match": ifMatch})
		if violates(err, "product_family_fkey") {
			return ErrInUse // by a product that was being created meanwhile
		}
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return unmatched(ifMatch)
		}
		if err := s.followConditions(ctx, tx, now, next); err != nil {
			return err
		}
		return bumpSchema(ctx, tx, next)
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", code, err)
	}
	s.keepSchema(next)
	return nil
}
