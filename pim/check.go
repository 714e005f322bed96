package pim

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CheckValues checks the values of a product of a family and gives them as they
// are stored: without nulls and empty scopes, texts in NFC, rich text sanitised,
// amounts as numbers with the unit's symbol. Cleaning clean values changes
// nothing. v is not changed; the result shares what needed no change.
//
// The error is an *Invalid with every problem, at most 100, in the order of
// their pointers, which begin with pointer ("/values"). Warnings are faults that
// do not keep the values out: markup that was removed, checks that are not strict.
func (s *Schema) CheckValues(family string, v Values, pointer string) (clean Values, warnings []Problem, err error) {
	return s.CheckEdit(family, v, nil, pointer)
}

// CheckEdit is CheckValues of a product that has values already: a value that
// stays as it is is not refused for what its attribute's rules say today, but
// warned of. They may have been tightened since, and nobody who edits something
// else is to mend that first.
func (s *Schema) CheckEdit(family string, v, held Values, pointer string) (clean Values, warnings []Problem, err error) {
	c := checker{s: s, idx: s.lookup(), base: pointer, held: held}
	clean = c.product(family, v)
	if len(c.problems) > 0 || len(c.warnings) > 1 {
		// Once more in the order of the keys: which faults are told, and in which
		// order, must not depend on chance. Faults are rare, sorting is not free.
		c = checker{s: s, idx: c.idx, base: pointer, held: held, sorted: true}
		clean = c.product(family, v)
	}
	if err := c.problems.err(); err != nil {
		return nil, c.warnings, err
	}
	return clean, c.warnings, nil
}

// checker is one run of CheckValues.
type checker struct {
	s        *Schema
	idx      *schemaIndex
	base     string
	held     Values // what the product has
	path     []string
	sorted   bool
	problems problems
	warnings problems
}

func (c *checker) problem(code, detail string) {
	if len(c.problems) == maxProblems {
		return
	}
	c.problems.add(JoinPointer(c.base, c.path...), code, detail)
}

func (c *checker) warning(code, detail string) {
	c.warnings.add(JoinPointer(c.base, c.path...), code, detail)
}

// stop ends a run whose faults will be told by another, sorted one.
func (c *checker) stop() bool {
	if c.sorted {
		return len(c.problems) >= maxProblems
	}
	return len(c.problems) > 0
}

func (c *checker) product(family string, v Values) Values {
	members := c.idx.families[family]
	if members == nil {
		at := strings.TrimSuffix(c.base, "/values") + "/family"
		c.problems.add(at, "family.unknown", fmt.Sprintf("family %s is not known", quote(family)))
	}
	clean := make(Values, len(v))
	c.path = make([]string, 1, 4) // attribute, channel, locale, element
	one := func(code string, val any) {
		c.path[0] = code
		a := members[code]
		if a == nil {
			if a = c.idx.attributes[code]; a == nil {
				c.problem("attribute.unknown", fmt.Sprintf("attribute %s is not known", quote(code)))
				return
			}
			if members != nil {
				c.problem("attribute.not_in_family", fmt.Sprintf("attribute %s is not in family %s", quote(code), quote(family)))
				return
			}
		}
		if val, _ = c.scoped(a, val, c.held[code], a.Scopable, a.Localizable); val != nil {
			clean[code] = val
		}
	}
	if c.sorted {
		for _, code := range slices.Sorted(maps.Keys(v)) {
			if one(code, v[code]); c.stop() {
				break
			}
		}
		return clean
	}
	for code, val := range v {
		if one(code, val); c.stop() {
			break
		}
	}
	return clean
}

// scoped checks what stands under an attribute, or under one of its scopes when
// the scopes above are settled (false); held is what is stored there. The result
// is nil when nothing is there; changed tells whether it is another than v.
func (c *checker) scoped(a *attributeIndex, v, held any, scopable, localizable bool) (clean any, changed bool) {
	if v == nil {
		return nil, true
	}
	if !scopable && !localizable {
		return c.ruled(a, v, held)
	}
	m, ok := v.(map[string]any)
	if !ok {
		if scopable {
			c.problem("value.shape", "the attribute has a value per channel: give an object of channel code → value")
		} else {
			c.problem("value.shape", "the attribute has a value per locale: give an object of locale → value")
		}
		return nil, true
	}
	depth := len(c.path)
	had, _ := held.(map[string]any)
	var out map[string]any // a copy of m as soon as something differs
	one := func(scope string, val any) {
		c.path = append(c.path[:depth], scope)
		switch {
		case scopable && !c.s.Channels[ChannelCode(scope)]:
			c.problem("channel.unknown", fmt.Sprintf("channel %s is not known", quote(scope)))
			return
		case !scopable && !c.s.Locales[Locale(scope)]:
			c.problem("locale.unknown", fmt.Sprintf("locale %s is not known", quote(scope)))
			return
		}
		val, differs := c.scoped(a, val, had[scope], false, scopable && localizable)
		if !differs {
			return
		}
		if out == nil {
			out = maps.Clone(m)
		}
		if out[scope] = val; val == nil {
			delete(out, scope)
		}
	}
	if c.sorted {
		for _, scope := range slices.Sorted(maps.Keys(m)) {
			if one(scope, m[scope]); c.stop() {
				break
			}
		}
	} else {
		for scope, val := range m {
			if one(scope, val); c.stop() {
				break
			}
		}
	}
	c.path = c.path[:depth]
	switch {
	case out == nil && len(m) > 0:
		return m, false
	case len(out) > 0:
		return out, true
	}
	return nil, true
}

// value checks one value by its attribute's type.
func (c *checker) value(a *attributeIndex, v any) (clean any, changed bool) {
	switch a.Type {
	case TypeText, TypeRichText, TypeDate, TypeOption:
		text, ok := v.(string)
		if !ok {
			return c.wrongType(a, v)
		}
		return c.text(a, text, v)
	case TypeBoolean:
		if _, ok := v.(bool); !ok {
			return c.wrongType(a, v)
		}
	case TypeNumber:
		return c.number(a, v)
	case TypeEntity:
		text, ok := v.(string)
		if !ok {
			return c.wrongType(a, v)
		}
		c.element(a, text)
	case TypeOptions, TypeEntities:
		list, ok := v.([]any)
		if !ok {
			return c.wrongType(a, v)
		}
		c.list(a, list, maxElements)
	case TypeTable:
		rows, ok := v.([]any)
		if !ok {
			return c.wrongType(a, v)
		}
		return c.table(a, rows)
	case TypeMedia, TypeReference:
		if list, ok := v.([]any); ok {
			limit := maxElements
			if a.Type == TypeMedia {
				limit = maxMedia
			}
			c.list(a, list, limit)
			break
		}
		text, ok := v.(string)
		if !ok {
			return c.wrongType(a, v)
		}
		c.element(a, text)
	default:
		c.problem("attribute.type", fmt.Sprintf("attribute type %s is not known", quote(string(a.Type))))
	}
	return v, false
}

// typeShapes says what JSON a type takes.
var typeShapes = map[AttributeType]string{
	TypeText: "a string", TypeRichText: "a string of HTML", TypeNumber: "a number", TypeBoolean: "true or false",
	TypeDate: `a string such as "2026-11-27"`, TypeOption: "an option's code as a string", TypeOptions: "an array of option codes",
	TypeMedia: "a URL or asset code, or an array of them", TypeReference: "a SKU, or an array of them",
	TypeEntity: "a record's code as a string", TypeEntities: "an array of records' codes",
	TypeTable: "an array of rows, each an object of column → value",
}

func (c *checker) wrongType(a *attributeIndex, v any) (any, bool) {
	want := typeShapes[a.Type]
	if a.family != "" {
		want = `an object {"amount": 1.5, "unit": "` + a.Unit + `"}`
	}
	if m, ok := v.(map[string]any); ok && a.family == "" {
		detail := "the attribute takes " + want + ", no object"
		for k := range m {
			if c.s.Locales[Locale(k)] && !a.Localizable {
				detail = "the attribute is not localizable: give " + want + ", not one per locale"
			} else if c.s.Channels[ChannelCode(k)] && !a.Scopable {
				detail = "the attribute is not scopable: give " + want + ", not one per channel"
			}
		}
		c.problem("value.shape", detail)
		return nil, true
	}
	c.problem("value.type", fmt.Sprintf("%s is expected, not %s", want, jsonKind(v)))
	return nil, true
}

// jsonKind names what v was in JSON.
func jsonKind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}
