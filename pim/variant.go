package pim

import (
	"fmt"
	"slices"
	"strconv"
)

// FamilyVariant says how the variants below one product, their root model,
// differ: at one level, or at two with sub-models between, as in colours that
// each have sizes. It has Axes or Levels. With Axes alone any attribute may be
// set on the root and on its variants; with Levels each has a place of its own.
type FamilyVariant struct {
	Code   string            `json:"code"`
	Labels map[Locale]string `json:"labels,omitempty"`
	Axes   []string          `json:"axes,omitempty" minItems:"1" maxItems:"5" doc:"The attributes in which the variants of one product differ, where there are no levels"`
	Levels []VariantLevel    `json:"levels,omitempty" minItems:"1" maxItems:"2" doc:"The levels below the root model, in place of axes. Of two the first is of the sub-models, the second of their variants"`
}

// VariantLevel is one level below a root model.
type VariantLevel struct {
	Axes       []string `json:"axes" minItems:"1" maxItems:"5" doc:"In which those of the level that have one parent differ; at most five in all levels"`
	Attributes []string `json:"attributes,omitempty" doc:"Attributes that are not set above the level; those of no level may be set on the root model, too"`
}

// MaxLevels is how many levels there can be below a root model.
const MaxLevels = 2

// Depth is how many levels there are below the root model: 1 or 2.
func (v *FamilyVariant) Depth() int { return max(1, len(v.Levels)) }

// AxesAt are the axes of a level, from 1 on; none where there is no such level.
func (v *FamilyVariant) AxesAt(level int) []string {
	switch {
	case len(v.Levels) == 0 && level == 1:
		return v.Axes
	case level >= 1 && level <= len(v.Levels):
		return v.Levels[level-1].Axes
	}
	return nil
}

// AllAxes are the axes of all levels, from the first on.
func (v *FamilyVariant) AllAxes() (axes []string) {
	for level := 1; level <= v.Depth(); level++ {
		axes = append(axes, v.AxesAt(level)...)
	}
	return axes
}

// LevelOf is the highest level at which an attribute is set: 0 for what is common
// to all below one root model. axis: it is one, and is set there alone.
func (v *FamilyVariant) LevelOf(attribute string) (level int, axis bool) {
	for at := 1; at <= v.Depth(); at++ {
		if slices.Contains(v.AxesAt(at), attribute) {
			return at, true
		}
		if at <= len(v.Levels) && slices.Contains(v.Levels[at-1].Attributes, attribute) {
			return at, false
		}
	}
	return 0, false
}

// CheckPlace checks whether a value may be set at a level, 0 being the root
// model's: not above its attribute's own, and an axis nowhere else. Where a
// family variant has no levels, values may be anywhere. The problem has no
// pointer; nil: there is none.
func (v *FamilyVariant) CheckPlace(attribute string, level int) *Problem {
	own, axis := v.LevelOf(attribute)
	if len(v.Levels) == 0 || level == own || level > own && !axis {
		return nil
	}
	if axis {
		return &Problem{Code: "axis.level", Detail: fmt.Sprintf("%s is an axis: it is set on %s", quote(attribute), v.levelName(own))}
	}
	return &Problem{Code: "value.level", Detail: fmt.Sprintf("%s is set on %s, not on %s", quote(attribute), v.levelName(own), v.levelName(level))}
}

// levelName is what stands at a level, for people.
func (v *FamilyVariant) levelName(level int) string {
	switch {
	case level == 0:
		return "the root model"
	case level < v.Depth():
		return "the sub-models"
	}
	return "the variants"
}

// sameAxes reports whether two family variants tell variants apart alike.
func (v *FamilyVariant) sameAxes(o *FamilyVariant) bool {
	for level := 1; level <= MaxLevels; level++ {
		if !slices.Equal(v.AxesAt(level), o.AxesAt(level)) {
			return false
		}
	}
	return true
}

// Variant gives a family variant by its code; nil: there is none.
func (f *Family) Variant(code string) *FamilyVariant {
	if f == nil || code == "" {
		return nil
	}
	if i := slices.IndexFunc(f.Variants, func(v FamilyVariant) bool { return v.Code == code }); i >= 0 {
		return &f.Variants[i]
	}
	return nil
}

// familyVariants checks those of a family with the given attributes. A family
// variant that the schema has keeps its axes: what stands below a model was told
// apart by them. Which other attributes are of a level may change: that is looked
// at when a value is set.
func (s *Schema) familyVariants(ps *problems, f *Family, members map[string]bool) {
	if len(f.Variants) > maxFamilyVariants {
		ps.add("/variants", "family.variants", fmt.Sprintf("a family has at most %d variants", maxFamilyVariants))
	}
	seen := make(map[string]bool, len(f.Variants))
	for i := range f.Variants {
		v, at := &f.Variants[i], "/variants/"+strconv.Itoa(i)
		ps.note(at+"/code", "family_variant.code", ValidCode("family variant", v.Code))
		if seen[v.Code] {
			ps.add(at+"/code", "family_variant.duplicate", fmt.Sprintf("family variant %s stands more than once", quote(v.Code)))
		}
		seen[v.Code] = true
		ps.labels(at+"/labels", v.Labels)
		if len(v.Levels) == 0 {
			s.axes(ps, at+"/axes", v.Axes, members, nil)
		} else {
			s.levels(ps, at, v, members)
		}
		if old := s.Families[f.Code].Variant(v.Code); old != nil && !old.sameAxes(v) {
			where := at + "/axes"
			if len(v.Levels) > 0 {
				where = at + "/levels"
			}
			ps.add(where, "family_variant.fixed", "the axes cannot be changed once the family variant exists")
		}
	}
}

func (s *Schema) levels(ps *problems, at string, v *FamilyVariant, members map[string]bool) {
	if len(v.Axes) > 0 {
		ps.add(at+"/axes", "family_variant.axes", "a family variant with levels has its axes there")
	}
	if len(v.Levels) > MaxLevels {
		ps.add(at+"/levels", "family_variant.levels", fmt.Sprintf("there are at most %d levels", MaxLevels))
	}
	if n := len(v.AllAxes()); n > maxAxes {
		ps.add(at+"/levels", "axis.count", fmt.Sprintf("a family variant has at most %d axes in all, not %d", maxAxes, n))
	}
	var axes, named []string
	for i, l := range v.Levels {
		at := at + "/levels/" + strconv.Itoa(i)
		s.axes(ps, at+"/axes", l.Axes, members, axes)
		axes = append(axes, l.Axes...)
		for j, code := range l.Attributes {
			at := at + "/attributes/" + strconv.Itoa(j)
			switch {
			case !members[code]:
				ps.add(at, "attribute.not_in_family", fmt.Sprintf("%s is no attribute of the family", quote(code)))
			case slices.Contains(named, code):
				ps.add(at, "attribute.duplicate", fmt.Sprintf("attribute %s stands more than once", quote(code)))
			}
			named = append(named, code)
		}
	}
	for i, l := range v.Levels {
		for j, code := range l.Attributes {
			if slices.Contains(axes, code) {
				ps.add(at+"/levels/"+strconv.Itoa(i)+"/attributes/"+strconv.Itoa(j), "attribute.axis", fmt.Sprintf("%s is an axis, whose level is settled by that", quote(code)))
			}
		}
	}
}

// axes checks the axes of one level; above are those of levels above it.
func (s *Schema) axes(ps *problems, pointer string, axes []string, members map[string]bool, above []string) {
	if len(axes) < 1 || len(axes) > maxAxes {
		ps.add(pointer, "axis.count", fmt.Sprintf("there are 1 to %d axes", maxAxes))
	}
	for i, code := range axes {
		at := pointer + "/" + strconv.Itoa(i)
		a := s.Attributes[code]
		switch {
		case !members[code]:
			ps.add(at, "attribute.not_in_family", fmt.Sprintf("axis %s is no attribute of the family", quote(code)))
		case slices.Contains(axes[:i], code), slices.Contains(above, code):
			ps.add(at, "axis.duplicate", fmt.Sprintf("axis %s stands more than once", quote(code)))
		case a == nil: // told as a member
		case a.Type != TypeOption && a.Type != TypeText && a.Type != TypeNumber && a.Type != TypeBoolean && a.Type != TypeReference:
			ps.add(at, "axis.type", fmt.Sprintf("an axis is an option, text, number, boolean or reference, not %s", a.Type))
		case a.Localizable || a.Scopable:
			ps.add(at, "axis.scope", "an axis has one value, not one per locale or channel")
		}
	}
}

// Origins says of each value that a variant inherits which of its ancestors, the
// root model first, it comes from: by the value's field, named as in filters, and
// a whole attribute or scope where no more can be told apart. What own has itself
// is not among them.
func (s *Schema) Origins(own Values, ancestors ...Values) map[string]int {
	out := map[string]int{}
	for i, values := range ancestors {
		for _, field := range s.PatchFields(values) {
			out[field] = i
		}
	}
	for _, field := range s.PatchFields(own) {
		delete(out, field)
	}
	return out
}
