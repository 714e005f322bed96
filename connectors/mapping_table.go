package connectors

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// Bounds of a mapping's tables.
const (
	MaxTables      = 512 << 10 // bytes of categories and values together
	MaxTargetWord  = 1000      // characters of a target's word or category
	MaxTargetsEach = 20        // target categories of one of ours
)

// tables checks what needs no schema of categories and values.
func (c *compiler) tables(m Mapping) {
	switch m.Unmapped {
	case "", UnmappedError, UnmappedWarn, UnmappedPass:
	default:
		c.problem("/unmapped", "mapping.unmapped", "unmapped is error, warn or pass")
	}
	total := 0
	for _, code := range slices.Sorted(maps.Keys(m.Categories)) {
		pointer := pim.JoinPointer("/categories", code)
		targets := m.Categories[code]
		total += len(code)
		if err := pim.ValidCode("category", code); err != nil {
			c.problem(pointer, "category", "%v", err)
		}
		if len(targets) > MaxTargetsEach {
			c.problem(pointer, "mapping.size", "a category has at most %d of the target's; here are %d", MaxTargetsEach, len(targets))
			targets = nil
		}
		for i, t := range targets {
			total += len(t)
			c.word(fmt.Sprintf("%s/%d", pointer, i), t)
			if t == "" {
				c.problem(fmt.Sprintf("%s/%d", pointer, i), "mapping.word", "a target's category is not empty")
			}
		}
		if c.tooMany() {
			return
		}
	}
	for _, code := range slices.Sorted(maps.Keys(m.Values)) {
		pointer := pim.JoinPointer("/values", code)
		v := m.Values[code]
		total += len(code) + len(v.Unit)
		switch {
		case len(v.Options) > 0 && v.Unit != "":
			c.problem(pointer, "mapping.value", "an attribute has options or a unit, not both")
		case len(v.Options) == 0 && v.Unit == "":
			c.problem(pointer, "mapping.value", "say the target's words in options, or its unit in unit")
		}
		for _, option := range slices.Sorted(maps.Keys(v.Options)) {
			total += len(option) + len(v.Options[option])
			c.word(pim.JoinPointer(pointer, "options", option), v.Options[option])
			if c.tooMany() {
				return
			}
		}
	}
	if total > MaxTables {
		c.problem("/values", "mapping.size", "categories and values have %d bytes together; %d are allowed", total, MaxTables)
	}
}

func (c *compiler) word(pointer, word string) {
	switch {
	case !utf8.ValidString(word):
		c.problem(pointer, "mapping.word", "the target's word is not valid UTF-8")
	case utf8.RuneCountInString(word) > MaxTargetWord:
		c.problem(pointer, "mapping.size", "the target's word is longer than %d characters", MaxTargetWord)
	case strings.ContainsFunc(word, unicode.IsControl):
		c.problem(pointer, "mapping.word", "the target's word holds control characters")
	}
}

// tooMany keeps a garbled table from filling an answer.
func (c *compiler) tooMany() bool { return len(c.problems) >= maxTableProblems }

const maxTableProblems = 100

// Against checks the tables against a schema: that each attribute of values is
// there, is of a type that can be said so, and has the options and the unit's
// family that its entry names. Category codes are anybody's to choose.
func (m Mapping) Against(s *pim.Schema) []pim.Problem {
	c := compiler{}
	for _, code := range slices.Sorted(maps.Keys(m.Values)) {
		pointer := pim.JoinPointer("/values", code)
		a, v := s.Attributes[code], m.Values[code]
		switch {
		case a == nil:
			c.problem(pointer, "attribute.unknown", "there is no attribute %q", code)
		case v.Unit != "":
			c.unitOf(pointer+"/unit", a, v.Unit)
		default:
			c.optionsOf(pointer, a, v.Options)
		}
		if c.tooMany() {
			break
		}
	}
	return c.problems
}

func (c *compiler) unitOf(pointer string, a *pim.Attribute, unit string) {
	if a.Type != pim.TypeNumber || a.Unit == "" {
		c.problem(pointer, "mapping.value", "attribute %q is no number with a unit", a.Code)
		return
	}
	if _, err := pim.ConvertUnit(decimal.One, a.Unit, unit); err != nil {
		c.problem(pointer, "unit.unknown", "%v", err)
	}
}

func (c *compiler) optionsOf(pointer string, a *pim.Attribute, options map[string]string) {
	known := func(string) bool { return true }
	switch a.Type {
	case pim.TypeText, pim.TypeReference, pim.TypeEntity, pim.TypeEntities:
	case pim.TypeBoolean:
		known = func(o string) bool { return o == "true" || o == "false" }
	case pim.TypeOption, pim.TypeOptions:
		codes := make(map[string]bool, len(a.Options))
		for _, o := range a.Options {
			codes[o.Code] = true
		}
		known = func(o string) bool { return codes[o] }
	default:
		c.problem(pointer, "mapping.value", "attribute %q is of type %s, which has no words to say otherwise", a.Code, a.Type)
		return
	}
	for _, o := range slices.Sorted(maps.Keys(options)) {
		if !known(o) {
			c.problem(pim.JoinPointer(pointer, "options", o), "option.unknown", "attribute %q has no option %q", a.Code, o)
		}
		if c.tooMany() {
			return
		}
	}
}
