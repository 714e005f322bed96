package pim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of patterns. A text is matched in as many steps as its characters times the
// pattern's instructions, at worst: some tenths of a second for maxPatternWork.
const (
	maxPattern      = 500
	maxPatternSteps = 1000
	maxPatternWork  = 10_000_000
)

// ruleIndex is an attribute's Rules made ready to check with.
type ruleIndex struct {
	pattern  *regexp.Regexp
	min, max *big.Rat // in the first unit of the measurement family; nil: none
	units    map[string]bool
}

// ruleIndexOf is nil for an attribute without rules. What cannot be read, which
// CheckAttribute refuses, is no rule.
func ruleIndexOf(a *attributeIndex) *ruleIndex {
	r := &a.Rules
	if !r.HasRules() {
		return nil
	}
	x := &ruleIndex{min: a.limit(r.Min), max: a.limit(r.Max)}
	if r.Pattern != "" {
		x.pattern, _, _ = compilePattern(r.Pattern)
	}
	for _, u := range r.Units {
		if symbol, ok := UnitSymbol(u); ok {
			if x.units == nil {
				x.units = make(map[string]bool, len(r.Units))
			}
			x.units[symbol] = true
		}
	}
	return x
}

// limit is an end of the attribute's range.
func (a *attributeIndex) limit(n Number) *big.Rat {
	if n == "" || !isNumber(string(n)) {
		return nil
	}
	return a.size(string(n), a.Unit)
}

// size is what a number says, in the first unit of the attribute's measurement family.
func (a *attributeIndex) size(n, unit string) *big.Rat {
	r := rational(n)
	if u := unitTable()[unit]; a.family != "" && u != nil {
		return u.toBase(r)
	}
	return r
}

// compilePattern reads a pattern that the whole of a text is to match, and says in how
// many steps it is done with a character.
func compilePattern(pattern string) (whole *regexp.Regexp, steps int, err error) {
	text := `\A(?:` + pattern + `)\z`
	if _, err := syntax.Parse(pattern, syntax.Perl); err != nil { // alone: a ")" of its own must not close ours
		return nil, 0, err
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, err
	}
	if steps = len(prog.Inst); steps > maxPatternSteps {
		return nil, 0, fmt.Errorf("the pattern comes to %d steps, more than %d", steps, maxPatternSteps)
	}
	whole, err = regexp.Compile(text)
	return whole, steps, err
}

// mendable are the faults that a change of an attribute gives to values which
// were taken before it. They leave a value in its shape, so that everybody can
// go on reading it.
var mendable = map[string]bool{
	"text.too_long": true, "text.too_short": true, "text.pattern": true, "value.range": true, "value.decimals": true, "value.too_many": true,
	"column.unknown": true, "column.required": true, "row.empty": true, "unit.not_taken": true, "option.unknown": true, "gtin.digits": true, "gtin.length": true, "gtin.check_digit": true,
}

// ruled checks one value by its attribute's type and rules. What is stored
// already is warned of where only the rules are against it.
func (c *checker) ruled(a *attributeIndex, v, held any) (clean any, changed bool) {
	before := len(c.problems)
	clean, changed = c.value(a, v)
	if len(c.problems) == before && a.rules != nil {
		c.rules(a, clean)
	}
	faults := c.problems[before:]
	if len(faults) == 0 || held == nil || !EqualJSON(v, held) && (clean == nil || !EqualJSON(clean, held)) ||
		slices.ContainsFunc(faults, func(p Problem) bool { return !mendable[p.Code] }) {
		return clean, changed
	}
	for _, p := range faults {
		c.warnings.add(p.Pointer, p.Code, p.Detail)
	}
	c.problems = c.problems[:before]
	return held, true
}

// rules checks a clean value by its attribute's rules.
func (c *checker) rules(a *attributeIndex, v any) {
	switch v := v.(type) {
	case string:
		c.textRules(a, v)
	case json.Number:
		c.numberRules(a, string(v), a.Unit)
	case map[string]any:
		at := len(c.path)
		unit, _ := v["unit"].(string)
		if a.rules.units != nil && !a.rules.units[unit] {
			c.path = append(c.path, "unit")
			c.problem("unit.not_taken", fmt.Sprintf("the attribute takes no %s, but %s", unit, strings.Join(a.Units, ", ")))
			c.path = c.path[:at]
			return
		}
		amount, _ := v["amount"].(json.Number)
		c.path = append(c.path, "amount")
		c.numberRules(a, string(amount), unit)
		c.path = c.path[:at]
	case []any:
		if a.MaxItems > 0 && len(v) > a.MaxItems {
			c.problem("value.too_many", fmt.Sprintf("the array has %d elements, more than %d", len(v), a.MaxItems))
		}
	}
}

func (c *checker) textRules(a *attributeIndex, s string) {
	switch a.Type {
	case TypeDate:
		if a.MinDate != "" && s < a.MinDate {
			c.problem("value.range", fmt.Sprintf("%s is before %s", s, a.MinDate))
		} else if a.MaxDate != "" && s > a.MaxDate {
			c.problem("value.range", fmt.Sprintf("%s is after %s", s, a.MaxDate))
		}
	case TypeText, TypeRichText:
		if len(s) < a.MinLength*utf8.UTFMax {
			if n := utf8.RuneCountInString(s); n < a.MinLength {
				c.problem("text.too_short", fmt.Sprintf("the text has %d characters, fewer than %d", n, a.MinLength))
			}
		}
		if p := a.rules.pattern; p != nil && !p.MatchString(s) {
			c.problem("text.pattern", fmt.Sprintf("%s does not match %s", quote(s), a.Pattern))
		}
	}
}

func (c *checker) numberRules(a *attributeIndex, n, unit string) {
	if a.Decimals != nil {
		if has := decimalsOf(n); has > *a.Decimals {
			c.problem("value.decimals", fmt.Sprintf("%s has %d digits after the point, more than %d", n, has, *a.Decimals))
		}
	}
	if a.rules.min == nil && a.rules.max == nil {
		return
	}
	size, in := a.size(n, unit), ""
	if a.family != "" {
		n, in = n+" "+unit, " "+a.Unit
	}
	if a.rules.min != nil && size.Cmp(a.rules.min) < 0 {
		c.problem("value.range", fmt.Sprintf("%s is less than %s%s", n, a.Min, in))
	} else if a.rules.max != nil && size.Cmp(a.rules.max) > 0 {
		c.problem("value.range", fmt.Sprintf("%s is more than %s%s", n, a.Max, in))
	}
}

// decimalsOf counts the digits after the point of a JSON number that is written
// out, zeros at its end left away.
func decimalsOf(s string) int {
	_, whole, part, exp := split(s)
	digits := strings.TrimRight(whole+part, "0")
	if strings.Trim(digits, "0") == "" {
		return 0
	}
	return max(0, len(digits)-len(whole)-exp)
}

// rules checks an attribute's Rules by its type.
func (ps *problems) rules(a *Attribute) {
	only := func(name string, is bool, of string, types ...AttributeType) bool {
		if is && !slices.Contains(types, a.Type) {
			ps.add("/"+name, "attribute."+name, "only "+of+" has "+name)
			return false
		}
		return is
	}
	if only("min_length", a.MinLength != 0, "a text or rich_text", TypeText, TypeRichText) {
		most := a.MaxLength
		if most <= 0 {
			most = defaultMaxLength
		}
		if a.MinLength < 0 || a.MinLength > most {
			ps.add("/min_length", "attribute.min_length", fmt.Sprintf("a length is from 0 to the most that is allowed, %d characters", most))
		}
	}
	if only("pattern", a.Pattern != "", "a text", TypeText) {
		if len(a.Pattern) > maxPattern {
			ps.add("/pattern", "attribute.pattern", fmt.Sprintf("a pattern has at most %d bytes", maxPattern))
		} else if _, steps, err := compilePattern(a.Pattern); err != nil {
			ps.add("/pattern", "attribute.pattern", "this is no regular expression that can be used: "+err.Error())
		} else if most := cmp.Or(max(a.MaxLength, 0), defaultMaxLength); steps*most > maxPatternWork {
			ps.add("/pattern", "attribute.pattern", fmt.Sprintf(
				"the pattern comes to %d steps for each of up to %d characters: give it a max_length of at most %d", steps, most, maxPatternWork/steps))
		}
	}
	ps.ranges(a, only)
	if only("max_items", a.MaxItems != 0, "options, media, a reference, entities or a table", TypeOptions, TypeMedia, TypeReference, TypeEntities, TypeTable) && (a.MaxItems < 0 || a.MaxItems > maxElements) {
		ps.add("/max_items", "attribute.max_items", fmt.Sprintf("an array has at most %d elements", maxElements))
	}
	if only("unique", a.Unique, "a text, number or date", TypeText, TypeNumber, TypeDate) && a.Unit != "" {
		ps.add("/unique", "attribute.unique", "a number with a unit cannot be unique")
	}
}

func (ps *problems) ranges(a *Attribute, only func(string, bool, string, ...AttributeType) bool) {
	ends := [2]*big.Rat{}
	for i, end := range []struct {
		name string
		n    Number
	}{{"min", a.Min}, {"max", a.Max}} {
		if !only(end.name, end.n != "", "a number", TypeNumber) {
			continue
		}
		if !isNumber(string(end.n)) {
			ps.add("/"+end.name, "attribute."+end.name, fmt.Sprintf("%s is no number within %d digits", quote(string(end.n)), maxDigits))
			continue
		}
		ends[i] = rational(string(end.n))
	}
	if ends[0] != nil && ends[1] != nil && ends[0].Cmp(ends[1]) > 0 {
		ps.add("/max", "attribute.max", "max is not less than min")
	}
	if only("decimals", a.Decimals != nil, "a number", TypeNumber) && (*a.Decimals < 0 || *a.Decimals > maxDigits) {
		ps.add("/decimals", "attribute.decimals", fmt.Sprintf("decimals are from 0 to %d", maxDigits))
	}
	for _, day := range []struct{ name, v string }{{"min_date", a.MinDate}, {"max_date", a.MaxDate}} {
		if only(day.name, day.v != "", "a date", TypeDate) {
			if t, err := time.Parse(time.DateOnly, day.v); err != nil || t.Year() < 1 {
				ps.add("/"+day.name, "attribute."+day.name, fmt.Sprintf(`%s is no date such as "2026-11-27"`, quote(day.v)))
			}
		}
	}
	if a.MinDate != "" && a.MaxDate != "" && a.MinDate > a.MaxDate {
		ps.add("/max_date", "attribute.max_date", "max_date is not before min_date")
	}
	if only("units", len(a.Units) > 0, "a number", TypeNumber) {
		ps.units(a)
	}
}

func (ps *problems) units(a *Attribute) {
	own, ok := UnitSymbol(a.Unit)
	if !ok {
		ps.add("/units", "attribute.units", "only a number that has a unit takes others")
		return
	}
	family, _ := UnitFamily(own)
	seen := map[string]bool{}
	for i, u := range a.Units {
		at := "/units/" + strconv.Itoa(i)
		symbol, ok := UnitSymbol(u)
		if !ok {
			ps.add(at, "unit.unknown", fmt.Sprintf("unit %s is not known", quote(u)))
			continue
		}
		if of, _ := UnitFamily(symbol); of != family {
			ps.add(at, "unit.family", fmt.Sprintf("%s measures %s, the attribute is a %s", symbol, of, family))
		}
		if seen[symbol] {
			ps.add(at, "unit.duplicate", fmt.Sprintf("unit %s stands more than once", symbol))
		}
		seen[symbol] = true
	}
	if !seen[own] {
		ps.add("/units", "attribute.units", fmt.Sprintf("the attribute's own unit %s is one of them", own))
	}
}

// InvalidValues are the values of a product, as a channel and locale see them,
// that its attributes would not take today: issues of code value.invalid, by
// attribute. They are warnings, since nothing is kept from a channel for them.
func (s *Schema) InvalidValues(family string, values Values, channel ChannelCode, locale Locale) (issues []Issue) {
	_, _, err := s.CheckValues(family, values, "")
	invalid, ok := errors.AsType[*Invalid](err)
	if !ok {
		return nil
	}
	for _, p := range invalid.Problems {
		parts := strings.Split(strings.TrimPrefix(p.Pointer, "/"), "/")
		a := s.Attributes[parts[0]]
		if a == nil || !mendable[p.Code] {
			continue
		}
		if scopes := parts[1:]; a.Scopable && (len(scopes) == 0 || scopes[0] != string(channel)) {
			continue
		} else if a.Scopable {
			parts = scopes
		}
		if a.Localizable && (len(parts) < 2 || parts[1] != string(locale)) {
			continue
		}
		issues = append(issues, Issue{Code: "value.invalid", Severity: SeverityWarning, Attribute: a.Code, Text: p.Detail})
	}
	return issues
}
