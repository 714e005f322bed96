package pim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxEntityAttributes bounds the attributes of one reference entity.
const maxEntityAttributes = 200

// ReferenceEntity is a kind of thing that products refer to and that has values of
// its own: brands, materials, designers.
type ReferenceEntity struct {
	Code   string            `json:"code"`
	Labels map[Locale]string `json:"labels,omitempty"`
	// Attributes are the entity's own, and no product's.
	Attributes []Attribute `json:"attributes,omitempty" maxItems:"200" doc:"What its records have values of, beside their labels: of all types but table and reference, never scopable. Mappings see the records that records name, and of these their codes alone"`
}

// Record is one thing of a reference entity: a brand.
type Record struct {
	Entity    string
	Code      string
	Labels    map[Locale]string
	Values    json.RawMessage // as a product's, by the entity's attributes
	Rev       int64           // the ETag
	CreatedAt time.Time
	UpdatedAt time.Time
}

// RecordRef is the key of a record among those of all entities: "brand/acme".
func RecordRef(entity, code string) string { return entity + "/" + code }

// entityTypes are the types that attributes of an entity may have.
var entityTypes = []AttributeType{TypeText, TypeRichText, TypeNumber, TypeBoolean, TypeDate, TypeOption, TypeOptions, TypeMedia, TypeEntity, TypeEntities}

// CheckEntity checks a reference entity's definition. It gives every problem, at
// most 100, with its pointer below pointer, where the entity's JSON stands. An
// attribute that the schema's entity of this code has keeps its type, unit, entity and
// localizable: records have values of it. An entity may refer to itself.
func (s *Schema) CheckEntity(e *ReferenceEntity, pointer string) []Problem {
	var ps problems
	ps.note("/code", "entity.code", ValidCode("reference entity", e.Code))
	ps.labels("/labels", e.Labels)
	if len(e.Attributes) > maxEntityAttributes {
		ps.add("/attributes", "entity.attributes", fmt.Sprintf("a reference entity has at most %d attributes", maxEntityAttributes))
		return ps.under(pointer)
	}
	old := map[string]Attribute{}
	if was := s.Entities[e.Code]; was != nil {
		for _, a := range was.Attributes {
			old[a.Code] = a
		}
	}
	if s.Entities[e.Code] == nil {
		s = s.Copy()
		s.Entities = maps.Clone(s.Entities)
		if s.Entities == nil {
			s.Entities = map[string]*ReferenceEntity{}
		}
		s.Entities[e.Code] = e
	}
	seen := map[string]bool{}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		at := "/attributes/" + strconv.Itoa(i)
		for _, p := range s.CheckAttribute(a, at) {
			ps.add(p.Pointer, p.Code, p.Detail)
		}
		if _, known := typeShapes[a.Type]; known && !slices.Contains(entityTypes, a.Type) {
			ps.add(at+"/type", "entity.type", fmt.Sprintf("an attribute of a reference entity is not of type %s", a.Type))
		}
		if a.Scopable {
			ps.add(at+"/scopable", "entity.scopable", "an attribute of a reference entity has no values by channel")
		}
		if a.Unique {
			ps.add(at+"/unique", "entity.unique", "an attribute of a reference entity is not unique")
		}
		if a.Group != "" {
			ps.add(at+"/group", "entity.group", "an attribute of a reference entity is in no attribute group")
		}
		if was, there := old[a.Code]; there && (was.Type != a.Type || was.Unit != a.Unit || was.Entity != a.Entity || was.Localizable != a.Localizable) {
			ps.add(at, "entity.shape", "the attribute is there: its type, unit, entity and localizable stay as they are")
		}
		if seen[a.Code] {
			ps.add(at+"/code", "attribute.duplicate", fmt.Sprintf("attribute %s stands more than once", quote(a.Code)))
		}
		seen[a.Code] = true
	}
	return ps.under(pointer)
}

// entity checks what an attribute says of a reference entity.
func (ps *problems) entity(s *Schema, a *Attribute) {
	refers := a.Type == TypeEntity || a.Type == TypeEntities
	switch {
	case !refers && a.Entity != "":
		ps.add("/entity", "attribute.entity", "only an entity or entities attribute names a reference entity")
	case refers && s.Entities[a.Entity] == nil:
		ps.add("/entity", "entity.unknown", fmt.Sprintf("there is no reference entity %s", quote(a.Entity)))
	}
}

// RecordSchema is what records of an entity are checked against: a schema whose
// family of the entity's code has its attributes. nil: there is no such entity.
func (s *Schema) RecordSchema(entity string) *Schema {
	e := s.Entities[entity]
	if e == nil {
		return nil
	}
	f := &Family{Code: e.Code}
	out := &Schema{Version: s.Version, Attributes: map[string]*Attribute{}, Families: map[string]*Family{e.Code: f}, Locales: s.Locales}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		out.Attributes[a.Code] = a
		f.Attributes = append(f.Attributes, FamilyAttribute{Code: a.Code})
	}
	return out
}

// CheckRecord checks a record's code, labels and values against the schema that
// RecordSchema gave for its entity, and gives the values as they are stored; held are
// those that it has, as in CheckEdit. Labels that are empty are refused. The error is
// *Invalid with pointers into the record.
func (s *Schema) CheckRecord(entity, code string, labels map[Locale]string, values, held Values) (clean Values, warnings []Problem, err error) {
	var ps problems
	ps.note("/code", "record.code", ValidCode("record", code))
	ps.labels("/labels", labels)
	clean, warnings, err = s.CheckEdit(entity, values, held, "/values")
	if invalid, ok := err.(*Invalid); ok { //nolint:errorlint // CheckEdit gives it bare
		for _, p := range invalid.Problems {
			ps.add(p.Pointer, p.Code, p.Detail)
		}
	}
	if err := ps.err(); err != nil {
		return nil, warnings, err
	}
	return clean, warnings, nil
}

// RecordRefs are the keys of the records that a product's values name, or by a schema
// that RecordSchema gave a record's, in all scopes and in order, each once.
func (s *Schema) RecordRefs(v Values) []string {
	var refs []string
	for _, a := range s.lookup().referring {
		if stored := v[a.Code]; stored != nil {
			eachCode(stored, func(code string) { refs = append(refs, RecordRef(a.Entity, code)) })
		}
	}
	if len(refs) < 2 {
		return refs
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// RecordPlaces are the pointers of the values that name records, by the records'
// keys: of each the first, the values standing at pointer.
func (s *Schema) RecordPlaces(v Values, pointer string) map[string]string {
	places := map[string]string{}
	for _, a := range s.lookup().referring {
		visitCodes(v[a.Code], JoinPointer(pointer, a.Code), func(code, at string) {
			if ref := RecordRef(a.Entity, code); places[ref] == "" {
				places[ref] = at
			}
		})
	}
	return places
}

// WithoutRecords gives a product's values without the records of these keys, and
// without what is empty then.
func (s *Schema) WithoutRecords(v Values, refs map[string]bool) Values {
	if len(refs) == 0 {
		return v
	}
	out := maps.Clone(v)
	for _, a := range s.lookup().referring {
		kept := withoutCodes(v[a.Code], func(code string) bool { return refs[RecordRef(a.Entity, code)] })
		if out[a.Code] = kept; kept == nil {
			delete(out, a.Code)
		}
	}
	return out
}

func withoutCodes(v any, gone func(code string) bool) any {
	switch v := v.(type) {
	case string:
		if gone(v) {
			return nil
		}
	case []any:
		var kept []any
		for _, el := range v {
			if el = withoutCodes(el, gone); el != nil {
				kept = append(kept, el)
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	case map[string]any:
		kept := map[string]any{}
		for k, el := range v {
			if el = withoutCodes(el, gone); el != nil {
				kept[k] = el
			}
		}
		if len(kept) == 0 {
			return nil
		}
		return kept
	}
	return v
}

// eachCode visits the texts in a value, whatever its scopes are.
func eachCode(v any, visit func(code string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case []any:
		for _, el := range v {
			eachCode(el, visit)
		}
	case map[string]any:
		for _, el := range v {
			eachCode(el, visit)
		}
	}
}

// visitCodes is eachCode in order, with each text's pointer.
func visitCodes(v any, at string, visit func(code, at string)) {
	switch v := v.(type) {
	case string:
		visit(v, at)
	case []any:
		for i, el := range v {
			visitCodes(el, at+"/"+strconv.Itoa(i), visit)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			visitCodes(v[k], JoinPointer(at, k), visit)
		}
	}
}

// RecordMedia are the assets and links that a record's values name, of the schema
// that RecordSchema gave.
func (s *Schema) RecordMedia(v Values) []string {
	refs := []string{}
	for code, stored := range v {
		if a := s.Attributes[code]; a != nil && a.Type == TypeMedia {
			eachCode(stored, func(ref string) { refs = append(refs, ref) })
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}

// SplitRef takes a record's key apart.
func SplitRef(ref string) (entity, code string) {
	entity, code, _ = strings.Cut(ref, "/")
	return entity, code
}
