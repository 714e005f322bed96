package pim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Bounds of definitions.
const (
	maxLabel          = 255
	maxOptions        = 10_000
	maxFamilyMembers  = 1000
	maxFamilyVariants = 100
	maxAxes           = 5
	maxTextLength     = 1_000_000 // of MaxLength
)

// CheckAttribute checks an attribute's definition. It gives every problem, at
// most 100, with its pointer below pointer, where the attribute's JSON stands.
// Whether a change fits the values already stored is the store's to check.
func (s *Schema) CheckAttribute(a *Attribute, pointer string) []Problem {
	var ps problems
	ps.note("/code", "attribute.code", ValidCode("attribute", a.Code))
	if _, ok := typeShapes[a.Type]; !ok {
		ps.add("/type", "attribute.type", fmt.Sprintf("attribute type %s is not known", quote(string(a.Type))))
	}
	if a.Group != "" && s.Groups[a.Group] == nil {
		ps.add("/group", "attribute_group.unknown", fmt.Sprintf("there is no attribute group %s", quote(a.Group)))
	}
	ps.labels("/labels", a.Labels)
	isText := a.Type == TypeText || a.Type == TypeRichText
	if len(a.Options) > 0 && a.Type != TypeOption && a.Type != TypeOptions {
		ps.add("/options", "attribute.options", "only option and options attributes have options")
	} else {
		ps.options(a.Options)
	}
	if a.Unit != "" {
		if a.Type != TypeNumber {
			ps.add("/unit", "attribute.unit", "only a number has a unit")
		} else if _, ok := UnitFamily(a.Unit); !ok {
			ps.add("/unit", "unit.unknown", fmt.Sprintf("unit %s is not known", quote(a.Unit)))
		}
	}
	ps.entity(s, a)
	if a.MaxLength != 0 && !isText || a.MaxLength < 0 || a.MaxLength > maxTextLength {
		ps.add("/max_length", "attribute.max_length", fmt.Sprintf("only text and rich_text have a length limit, from 1 to %d characters", maxTextLength))
	}
	if a.Check != "" && (a.Check != CheckGTIN || a.Type != TypeText) {
		ps.add("/check", "attribute.check", "the only check is gtin, of a text")
	}
	if a.Strict && a.Check == "" {
		ps.add("/strict", "attribute.strict", "strict has no meaning without a check")
	}
	ps.rules(a)
	ps.columns(s, a)
	return ps.under(pointer)
}

// CheckGroup checks an attribute group. It gives every problem with its pointer
// below pointer, where the group's JSON stands.
func CheckGroup(g *AttributeGroup, pointer string) []Problem {
	var ps problems
	ps.note("/code", "attribute_group.code", ValidCode("attribute group", g.Code))
	if g.Position < 0 || g.Position > maxPosition {
		ps.add("/position", "attribute_group.position", fmt.Sprintf("a position is from 0 to %d", maxPosition))
	}
	ps.labels("/labels", g.Labels)
	return ps.under(pointer)
}

func (ps *problems) options(options []Option) {
	if len(options) > maxOptions {
		ps.add("/options", "attribute.options", fmt.Sprintf("an attribute has at most %d options", maxOptions))
		return
	}
	seen := make(map[string]bool, len(options))
	for i, o := range options {
		at := "/options/" + strconv.Itoa(i)
		ps.note(at+"/code", "option.code", ValidCode("option", o.Code))
		if seen[o.Code] {
			ps.add(at+"/code", "option.duplicate", fmt.Sprintf("option %s stands more than once", quote(o.Code)))
		}
		seen[o.Code] = true
		ps.labels(at+"/labels", o.Labels)
	}
}

func (ps *problems) labels(pointer string, labels map[Locale]string) {
	for _, l := range slices.Sorted(maps.Keys(labels)) {
		at := JoinPointer(pointer, string(l))
		ps.note(at, "locale.tag", ValidLocale(l))
		ps.label(at, labels[l], false)
	}
}

func (ps *problems) label(pointer, text string, mayBeEmpty bool) {
	if _, code, detail := cleanText(text, maxLabel); code != "" {
		ps.add(pointer, code, detail)
	} else if !mayBeEmpty && text == "" {
		ps.add(pointer, "label.empty", "a label has at least one character")
	}
}

// CheckFamily checks a family's definition, new or changed, against the
// schema's attributes. It gives every problem, at most 100, with its pointer
// below pointer, where the family's JSON stands. Axes are text, number, boolean,
// option or reference attributes of the family without scopes. A family variant
// that the schema has keeps its axes.
func (s *Schema) CheckFamily(f *Family, pointer string) []Problem {
	var ps problems
	ps.note("/code", "family.code", ValidCode("family", f.Code))
	ps.labels("/labels", f.Labels)
	if len(f.Attributes) > maxFamilyMembers {
		ps.add("/attributes", "family.attributes", fmt.Sprintf("a family has at most %d attributes", maxFamilyMembers))
	}
	members := make(map[string]bool, len(f.Attributes))
	for i, fa := range f.Attributes {
		at := "/attributes/" + strconv.Itoa(i) + "/code"
		if s.Attributes[fa.Code] == nil {
			ps.add(at, "attribute.unknown", fmt.Sprintf("attribute %s is not known", quote(fa.Code)))
		} else if members[fa.Code] {
			ps.add(at, "attribute.duplicate", fmt.Sprintf("attribute %s stands more than once", quote(fa.Code)))
		}
		members[fa.Code] = true
		for j, channel := range fa.RequiredFor {
			at := "/attributes/" + strconv.Itoa(i) + "/required_for/" + strconv.Itoa(j)
			ps.note(at, "channel.code", ValidCode("channel", string(channel)))
			if slices.Contains(fa.RequiredFor[:j], channel) {
				ps.add(at, "channel.duplicate", fmt.Sprintf("channel %s stands more than once", quote(string(channel))))
			}
		}
	}
	s.familyVariants(&ps, f, members)
	return ps.under(pointer)
}

// scopeOf finds an attribute's value for one channel and locale; nil: none.
func scopeOf(a *Attribute, v any, channel ChannelCode, locale Locale) any {
	if a.Scopable {
		m, _ := v.(map[string]any)
		v = m[string(channel)]
	}
	if a.Localizable {
		m, _ := v.(map[string]any)
		v = m[string(locale)]
	}
	return v
}

func isFilled(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return !isBlank(v)
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return true
}

// isBlank reports text of nothing but white space.
func isBlank(s string) bool {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r != ' ' && r != '\t' && r != '\n' && r != '\r' && r != '\u00A0' {
			return false
		}
		i += size
	}
	return true
}
