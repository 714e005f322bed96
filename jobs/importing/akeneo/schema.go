package akeneo

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicehub/sluice/pim"
)

// kind is what an Akeneo attribute holds.
type kind int

const (
	asText kind = iota
	asHTML
	asNumber
	asBoolean
	asDate
	asOption
	asOptions
	asMedia
	asMetric
	asPrices
	asIdentifier
)

// kinds are Akeneo's attribute types (Akeneo\Pim\Structure's AttributeTypes).
var kinds = map[string]kind{
	"pim_catalog_identifier": asIdentifier, "pim_catalog_text": asText, "pim_catalog_textarea": asText, "pim_catalog_number": asNumber,
	"pim_catalog_boolean": asBoolean, "pim_catalog_date": asDate, "pim_catalog_simpleselect": asOption, "pim_catalog_multiselect": asOptions,
	"pim_catalog_image": asMedia, "pim_catalog_file": asMedia, "pim_catalog_metric": asMetric, "pim_catalog_price_collection": asPrices,
}

// units are Akeneo's unit codes (its measurement families) and the store's symbols.
var units = map[string]string{
	"KILOGRAM": "kg", "GRAM": "g", "MILLIGRAM": "mg", "MICROGRAM": "ug", "TON": "t", "POUND": "lb", "OUNCE": "oz",
	"METER": "m", "KILOMETER": "km", "DECIMETER": "dm", "CENTIMETER": "cm", "MILLIMETER": "mm", "INCH": "in", "FEET": "ft", "YARD": "yd", "MILE": "mi",
	"SQUARE_METER": "m2", "SQUARE_CENTIMETER": "cm2", "SQUARE_MILLIMETER": "mm2", "SQUARE_KILOMETER": "km2", "HECTARE": "ha",
	"LITER": "l", "CENTILITER": "cl", "DECILITER": "dl", "MILLILITER": "ml", "CUBIC_METER": "m3", "CUBIC_CENTIMETER": "cm3", "CUBIC_DECIMETER": "dm3",
	"CELSIUS": "°C", "FAHRENHEIT": "°F", "KELVIN": "K",
	"SECOND": "s", "MILLISECOND": "ms", "MINUTE": "min", "HOUR": "h", "DAY": "d", "WEEK": "wk", "MONTH": "mo", "YEAR": "yr",
	"HERTZ": "Hz", "KILOHERTZ": "kHz", "MEGAHERTZ": "MHz", "GIGAHERTZ": "GHz",
	"PIECE": "piece", "PERCENT": "%",
}

// unitOf is the store's symbol of an Akeneo unit; "" where the store has none.
func unitOf(code string) string {
	u := units[strings.ToUpper(code)]
	if _, ok := pim.UnitFamily(u); !ok {
		return ""
	}
	return u
}

// attribute is an attribute as Akeneo has it.
type attribute struct {
	pim.Attribute
	kind     kind
	scopable bool
	split    bool // the store has it as one attribute for each channel
	metric   bool
	lines    bool              // a text area, whose line ends some exports write as \n
	options  map[string]string // in small letters → code
}

func isCode(kind, code string) bool { return pim.ValidCode(kind, code) == nil }

func (f *Folder) attribute(l *line) error {
	code := l.get("code")
	k, known := kinds[l.get("type")]
	a := &attribute{kind: k, scopable: l.get("scopable") == "1", lines: l.get("type") == "pim_catalog_textarea", options: map[string]string{}}
	a.Code, a.Group, a.Labels, a.Localizable = code, l.get("group"), l.labels(), l.get("localizable") == "1"
	a.Scopable = a.scopable
	if a.Group != "" && !isCode("attribute group", a.Group) {
		f.note(Finding{File: l.file, Line: l.at, Column: "group", Value: a.Group, Code: "attribute_group.code", Text: "no attribute group can be called so: the attribute is in none"})
		a.Group = ""
	}
	if !isCode("attribute", code) {
		f.note(Finding{File: l.file, Line: l.at, Column: "code", Value: code, Code: "attribute.code", Text: "no attribute can be called so: it is not taken"})
		return nil
	}
	if f.attributes[code] != nil {
		f.note(Finding{File: l.file, Line: l.at, Column: "code", Value: code, Code: "attribute.twice", Text: "another attribute is called so: this one is not taken"})
		return nil
	}
	if !known {
		f.note(Finding{File: l.file, Line: l.at, Column: "type", Value: l.get("type"), Code: "akeneo.type", Text: "there is no such type here: the attribute is a text"})
	}
	switch k {
	case asIdentifier:
		if f.identifier == "" {
			f.identifier = code
		}
	case asText:
		a.Type = pim.TypeText
		if a.lines && l.get("wysiwyg_enabled") == "1" {
			a.kind, a.Type = asHTML, pim.TypeRichText
		}
		if n, err := strconv.Atoi(l.get("max_characters")); err == nil && n > 0 {
			a.MaxLength = n
		}
		if c := strings.ToLower(code); c == "ean" || c == "gtin" || strings.HasPrefix(c, "ean_") || strings.HasPrefix(c, "gtin_") {
			a.Check = pim.CheckGTIN
		}
	case asNumber:
		a.Type = pim.TypeNumber
	case asBoolean:
		a.Type = pim.TypeBoolean
	case asDate:
		a.Type = pim.TypeDate
	case asOption:
		a.Type = pim.TypeOption
	case asOptions:
		a.Type = pim.TypeOptions
	case asMedia:
		a.Type = pim.TypeMedia
	case asMetric:
		a.metric = true
		a.Type, a.Unit = pim.TypeNumber, unitOf(l.get("default_metric_unit"))
		if a.Unit == "" {
			a.Type, a.kind = pim.TypeText, asText
			f.note(Finding{File: l.file, Line: l.at, Column: "default_metric_unit", Value: l.get("default_metric_unit"), Code: "unit.unknown", Text: "there is no such unit here: the attribute is a text, its unit within it"})
		}
	}
	f.rules(a, l)
	f.attributes[code] = a
	f.order = append(f.order, code)
	return nil
}

func (f *Folder) option(l *line) error {
	a, code := f.attributes[l.get("attribute")], l.get("code")
	if a == nil || a.kind != asOption && a.kind != asOptions {
		f.note(Finding{File: l.file, Line: l.at, Column: "attribute", Value: l.get("attribute"), Code: "attribute.unknown", Text: "the option's attribute is not there, or has no options"})
		return nil
	}
	if !isCode("option", code) || a.options[strings.ToLower(code)] != "" {
		f.note(Finding{File: l.file, Line: l.at, Column: "code", Value: code, Code: "option.code", Text: "the option cannot be called so, or is there twice: it is not taken"})
		return nil
	}
	a.options[strings.ToLower(code)] = code
	a.Options = append(a.Options, pim.Option{Code: code, Labels: l.labels()})
	f.Counts.Options++
	return nil
}

// family is a family as Akeneo has it.
type family struct {
	code       string
	labels     map[pim.Locale]string
	attributes []string
	required   map[string][]pim.ChannelCode // attribute → channels
}

func (f *Folder) family(l *line) error {
	fam := &family{code: l.get("code"), labels: l.labels(), attributes: l.list("attributes"), required: map[string][]pim.ChannelCode{}}
	if pim.ValidCode("family", fam.code) != nil {
		return faultf("%s, line %d: %q is no code of a family", l.file, l.at, fam.code)
	}
	if f.families[fam.code] != nil {
		f.note(Finding{File: l.file, Line: l.at, Column: "code", Value: fam.code, Code: "family.twice", Text: "another family is called so: this one is not taken"})
		return nil
	}
	for _, name := range l.names {
		if channel, is := strings.CutPrefix(name, "requirements-"); is && pim.ValidCode("channel", channel) == nil {
			for _, code := range l.list(name) {
				fam.required[code] = append(fam.required[code], pim.ChannelCode(channel))
			}
		}
	}
	f.families[fam.code] = fam
	f.famOrder = append(f.famOrder, fam.code)
	return nil
}

// variant is a family variant; its axes are those of all of its levels.
type variant struct {
	code, family string
	labels       map[pim.Locale]string
	levels       []pim.VariantLevel // as the folder has them
	folded       bool               // the store has it without levels
}

func (f *Folder) variant(l *line) error {
	v := &variant{code: l.get("code"), family: l.get("family"), labels: l.labels()}
	for level := 1; level <= pim.MaxLevels; level++ {
		n := strconv.Itoa(level)
		if axes := l.list("variant-axes_" + n); len(axes) > 0 {
			v.levels = append(v.levels, pim.VariantLevel{Axes: axes, Attributes: l.list("variant-attributes_" + n)})
		}
	}
	if f.families[v.family] == nil || len(v.levels) == 0 {
		f.note(Finding{File: l.file, Line: l.at, Column: "family", Value: v.family, Code: "family.unknown", Text: "the variant's family is not there, or it has no axes: it is not taken"})
		return nil
	}
	f.variants[v.code] = v
	return nil
}

// scopedCode is the attribute that holds a split one's values for a channel.
func scopedCode(code, channel string) string { return code + "_" + channel }

// wanted are the store's attributes of one of Akeneo's: none of an identifier
// or of prices, one for each channel that some product fills of a split one.
func (a *attribute) wanted(f *Folder) []pim.Attribute {
	switch {
	case a.kind == asIdentifier || a.kind == asPrices:
		return nil
	case !a.split:
		return []pim.Attribute{a.Attribute}
	}
	var out []pim.Attribute
	for _, channel := range slices.Sorted(maps.Keys(f.filled[a.Code])) {
		scoped := a.Attribute
		scoped.Code, scoped.Scopable = scopedCode(a.Code, channel), false
		scoped.Labels = map[pim.Locale]string{}
		for l, text := range a.Labels {
			scoped.Labels[l] = text + " (" + channel + ")"
		}
		out = append(out, scoped)
	}
	return out
}

// wantedFamilies are the families, with every attribute that their products
// have, also those that Akeneo lets a product have beside its family's.
func (f *Folder) wantedFamilies() []pim.Family {
	codes := slices.Clone(f.famOrder)
	if f.orphans > 0 {
		codes = append(codes, OtherFamily)
	}
	var out []pim.Family
	for _, code := range codes {
		fam := f.families[code]
		if fam == nil {
			fam = &family{code: code, attributes: f.order}
		}
		w := pim.Family{Code: code, Labels: fam.labels}
		have := map[string]bool{}
		add := func(attr string, required []pim.ChannelCode) {
			if !have[attr] {
				have[attr] = true
				w.Attributes = append(w.Attributes, pim.FamilyAttribute{Code: attr, RequiredFor: required})
			}
		}
		members := slices.Clone(fam.attributes)
		for _, extra := range slices.Sorted(maps.Keys(f.used[code])) {
			if !slices.Contains(members, extra) {
				members = append(members, extra)
			}
		}
		for _, m := range members {
			if a := f.attributes[m]; a != nil {
				for _, want := range a.wanted(f) {
					required := fam.required[m]
					if a.split {
						required = slices.DeleteFunc(slices.Clone(required), func(c pim.ChannelCode) bool { return want.Code != scopedCode(m, string(c)) })
					}
					add(want.Code, required)
				}
			}
		}
		for _, v := range slices.Sorted(maps.Keys(f.variants)) {
			if variant := f.variants[v]; variant.family == code {
				made := f.familyVariant(variant, have)
				if !slices.ContainsFunc(made.AllAxes(), func(x string) bool { return !have[x] }) {
					w.Variants = append(w.Variants, made)
				}
			}
		}
		out = append(out, w)
	}
	return out
}

// familyVariant is a family variant as the store has it, with the attributes that
// the family has; nil members: whatever they are.
func (f *Folder) familyVariant(v *variant, members map[string]bool) pim.FamilyVariant {
	out := pim.FamilyVariant{Code: v.code, Labels: v.labels}
	taken := map[string]bool{}
	for _, l := range v.levels {
		for _, axis := range l.Axes {
			taken[axis] = true
		}
	}
	for _, l := range v.levels {
		level := pim.VariantLevel{Axes: l.Axes}
		for _, code := range l.Attributes {
			a := f.attributes[code]
			if a == nil {
				continue
			}
			for _, want := range a.wanted(f) {
				if (members == nil || members[want.Code]) && !taken[want.Code] {
					taken[want.Code] = true
					level.Attributes = append(level.Attributes, want.Code)
				}
			}
		}
		out.Levels = append(out.Levels, level)
	}
	return out
}

// settle looks at what the store has: of family variants one without levels stays
// so, and the models below models are folded into their variants; scopable attributes
// that are split by channels stay so, too.
func (f *Folder) settle(have *pim.Schema) {
	f.settled = nil
	f.planChannels(have)
	f.planScopes(have)
	for _, v := range f.variants {
		if own := have.Families[v.family].Variant(v.code); own != nil {
			v.folded = len(own.Levels) == 0
		}
	}
	f.foldModels()
}
