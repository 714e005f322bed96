package pim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Bounds of arrays and links.
const (
	maxMedia    = 50
	maxElements = 1000 // options, references
	maxURL      = 2048
)

// text checks a value that is one string; v is the same string as it came.
func (c *checker) text(a *attributeIndex, s string, v any) (clean any, changed bool) {
	switch a.Type {
	case TypeDate:
		if t, err := time.Parse(time.DateOnly, s); err != nil || t.Year() < 1 {
			c.problem("value.date", fmt.Sprintf(`%s is no date such as "2026-11-27"`, quote(s)))
		}
		return v, false
	case TypeOption:
		c.element(a, s)
		return v, false
	}
	text, code, detail := cleanText(s, a.maxLength)
	if code == "" && a.Type == TypeRichText {
		var removed, ok bool
		if text, removed, ok = cleanMarkup(text); !ok {
			c.problem("text.markup", "the markup cannot be made safe")
			return nil, true
		}
		if removed {
			c.warning("text.markup_removed", "markup that no shop may show was removed or rewritten")
		}
		text, code, detail = cleanText(text, a.maxLength) // entities are characters now
	}
	if code != "" {
		c.problem(code, detail)
		return nil, true
	}
	if a.Check == CheckGTIN {
		if code, detail := GTINFault(text); code != "" {
			if a.Strict {
				c.problem(code, detail)
				return nil, true
			}
			c.warning(code, detail)
		}
	}
	if text == s {
		return v, false
	}
	return text, true
}

// list checks the elements of an array.
func (c *checker) list(a *attributeIndex, list []any, limit int) {
	if len(list) > limit {
		c.problem("value.too_many", fmt.Sprintf("the array has %d elements, more than %d", len(list), limit))
		return
	}
	at := len(c.path)
	c.path = append(c.path, "")
	var seen map[string]bool
	if (a.Type == TypeOptions || a.Type == TypeEntities) && len(list) > 1 {
		seen = make(map[string]bool, len(list))
	}
	for i, v := range list {
		s, ok := v.(string)
		if ok && c.validElement(a, s) && !seen[s] {
			if seen != nil {
				seen[s] = true
			}
			continue
		}
		c.path[at] = strconv.Itoa(i)
		switch {
		case !ok:
			c.problem("value.type", "a string is expected, not "+jsonKind(v))
		case seen[s] && a.Type == TypeEntities:
			c.problem("record.duplicate", fmt.Sprintf("record %s stands more than once", quote(s)))
		case seen[s]:
			c.problem("option.duplicate", fmt.Sprintf("option %s stands more than once", quote(s)))
		default:
			c.element(a, s)
		}
	}
	c.path = c.path[:at]
}

func (c *checker) validElement(a *attributeIndex, s string) bool {
	code, _ := a.elementFault(s)
	return code == ""
}

// element checks one option code, medium or reference.
func (c *checker) element(a *attributeIndex, s string) {
	if code, detail := a.elementFault(s); code != "" {
		c.problem(code, detail)
	}
}

func (a *attributeIndex) elementFault(s string) (code, detail string) {
	switch a.Type {
	case TypeMedia:
		return mediaFault(s)
	case TypeReference:
		return skuFault(s)
	case TypeEntity, TypeEntities: // whether there is such a record is the store's to check
		if err := ValidCode("record", s); err != nil {
			return "record.code", err.Error()
		}
	default:
		if !a.options[s] {
			return "option.unknown", fmt.Sprintf("option %s is not one of the attribute's", quote(s))
		}
	}
	return "", ""
}

// mediaFault checks a link or an asset code: letters, digits, '.', '_' and '-',
// at most 255, the first a letter or digit. What holds a colon or a slash is
// meant as a link.
func mediaFault(s string) (code, detail string) {
	if len(s) > maxURL {
		return "media.too_long", fmt.Sprintf("the link has %d bytes, more than %d", len(s), maxURL)
	}
	if !strings.ContainsAny(s, ":/") {
		if len(s) > 255 || !isCode(s, ".") {
			return "media.code", fmt.Sprintf("%s is neither an http(s) URL nor an asset code", quote(s))
		}
		return "", ""
	}
	for _, r := range s {
		if r == ' ' || r == '\uFFFD' || isControl(r) || r < 0x20 {
			return "media.url", "a URL has no spaces and no control characters"
		}
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return "media.url", fmt.Sprintf("%s is no http(s) URL", quote(s))
	case u.User != nil:
		return "media.url", "a URL with user name or password in it is not stored"
	}
	return "", ""
}

// number checks a number, or an amount with its unit.
func (c *checker) number(a *attributeIndex, v any) (clean any, changed bool) {
	if a.family == "" {
		n, ok := v.(json.Number)
		if !ok {
			return c.wrongType(a, v)
		}
		c.digits(string(n))
		return v, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		return c.wrongType(a, v)
	}
	before := len(c.problems)
	at := len(c.path)
	c.path = append(c.path, "")
	var amount json.Number
	c.path[at] = "amount"
	switch n := m["amount"].(type) {
	case json.Number:
		amount = n
		c.digits(string(n))
	case string:
		amount, changed = json.Number(n), true
		c.digits(n)
	default:
		c.problem("value.type", "a number or a decimal string is expected, not "+jsonKind(n))
	}
	c.path[at] = "unit"
	unit, ok := m["unit"].(string)
	if !ok {
		c.problem("value.type", "a unit such as "+strconv.Quote(a.Unit)+" is expected, not "+jsonKind(m["unit"]))
	} else if u := unitTable()[unit]; u == nil {
		c.problem("unit.unknown", fmt.Sprintf("unit %s is not known", quote(unit)))
	} else if u.family != a.family {
		c.problem("unit.family", fmt.Sprintf("%s measures %s, the attribute is a %s", u.name, u.family, a.family))
	} else if u.name != unit {
		unit, changed = u.name, true
	}
	if len(m) > 2 {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if k != "amount" && k != "unit" {
				c.path[at] = k
				c.problem("value.field", "only amount and unit are expected")
			}
		}
	}
	c.path = c.path[:at]
	switch {
	case len(c.problems) > before:
		return nil, true
	case changed:
		return map[string]any{"amount": amount, "unit": unit}, true
	}
	return v, false
}

// digits checks a number's text.
func (c *checker) digits(s string) {
	if !isNumber(s) {
		c.problem("value.number", fmt.Sprintf("%s is no number within %d digits", quote(s), maxDigits))
	}
}

// isNumber reports a JSON number that takes at most maxDigits written out.
func isNumber(s string) bool {
	if n := scanNumber(s); n == 0 || n != len(s) {
		return false
	}
	whole, part := plainDigits(s)
	return whole+part <= maxDigits
}

// schemaIndex is what lookups need of a Schema, made at its first use.
type schemaIndex struct {
	of         *Schema // a copied Schema must not go on with the original's index
	attributes map[string]*attributeIndex
	families   map[string]map[string]*attributeIndex
	unique     []*attributeIndex // attributes whose values are unique, by code
	referring  []*Attribute      // to records, by their codes
}

type attributeIndex struct {
	*Attribute
	options   map[string]bool
	family    string // of measurement; "" without unit
	maxLength int
	rules     *ruleIndex                 // nil: none
	columns   map[string]*attributeIndex // of a table
}

func newAttributeIndex(a *Attribute) *attributeIndex {
	ai := &attributeIndex{Attribute: a, maxLength: a.MaxLength}
	if ai.maxLength <= 0 {
		ai.maxLength = defaultMaxLength
	}
	if a.Type == TypeNumber && a.Unit != "" {
		ai.family, _ = UnitFamily(a.Unit)
	}
	if len(a.Options) > 0 {
		ai.options = make(map[string]bool, len(a.Options))
		for _, o := range a.Options {
			ai.options[o.Code] = true
		}
	}
	if len(a.Columns) > 0 {
		ai.columns = make(map[string]*attributeIndex, len(a.Columns))
		for i := range a.Columns {
			ai.columns[a.Columns[i].Code] = newAttributeIndex(a.Columns[i].attribute())
		}
	}
	ai.rules = ruleIndexOf(ai)
	return ai
}

// schemaCache is Schema's place for its index.
type schemaCache struct{ p atomic.Pointer[schemaIndex] }

func (s *Schema) lookup() *schemaIndex {
	if idx := s.cache.p.Load(); idx != nil && idx.of == s {
		return idx
	}
	idx := &schemaIndex{of: s, attributes: make(map[string]*attributeIndex, len(s.Attributes)), families: make(map[string]map[string]*attributeIndex, len(s.Families))}
	for code, a := range s.Attributes {
		ai := newAttributeIndex(a)
		if a.Unique {
			idx.unique = append(idx.unique, ai)
		}
		idx.attributes[code] = ai
		if a.Type == TypeEntity || a.Type == TypeEntities {
			idx.referring = append(idx.referring, a)
		}
	}
	slices.SortFunc(idx.unique, func(a, b *attributeIndex) int { return strings.Compare(a.Code, b.Code) })
	slices.SortFunc(idx.referring, func(a, b *Attribute) int { return strings.Compare(a.Code, b.Code) })
	for code, f := range s.Families {
		members := make(map[string]*attributeIndex, len(f.Attributes))
		for _, fa := range f.Attributes {
			if ai := idx.attributes[fa.Code]; ai != nil {
				members[fa.Code] = ai
			}
		}
		idx.families[code] = members
	}
	s.cache.p.Store(idx)
	return idx
}
