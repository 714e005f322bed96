//go:build unix

package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// The two locations whose stock the demo keeps.
const (
	north = "rotterdam"
	south = "leeds"
)

// sizeColour is how the variants of a piece of clothing differ.
const sizeColour = "size-colour"

func (t tongue) labels() map[pim.Locale]string {
	m := make(map[pim.Locale]string, len(t))
	for i, l := range locales {
		m[pim.Locale(l)] = t[i]
	}
	return m
}

func optionsOf(list []coloured) []pim.Option {
	out := make([]pim.Option, len(list))
	for i, c := range list {
		out[i] = pim.Option{Code: c.code, Labels: c.name.labels()}
	}
	return out
}

func plainOptions(names []string, code func(string) string) []pim.Option {
	out := make([]pim.Option, len(names))
	for i, n := range names {
		out[i] = pim.Option{Code: code(n), Labels: tongue{n, n, n}.labels()}
	}
	return out
}

func same(s string) string { return s }

// attributes are the demo's, of every type there is.
func attributes() []pim.Attribute {
	a := func(code string, t pim.AttributeType, group string, label tongue) pim.Attribute {
		return pim.Attribute{Code: code, Type: t, Group: group, Labels: label.labels()}
	}
	texts := func(at pim.Attribute, scopable bool, most int) pim.Attribute {
		at.Localizable, at.Scopable, at.MaxLength = true, scopable, most
		return at
	}
	measure := func(at pim.Attribute, unit string) pim.Attribute { at.Unit = unit; return at }
	choice := func(at pim.Attribute, options []pim.Option) pim.Attribute { at.Options = options; return at }
	gtin := a("gtin", pim.TypeText, "identity", tongue{"GTIN", "GTIN", "GTIN"})
	gtin.Check = pim.CheckGTIN
	return []pim.Attribute{
		texts(a("name", pim.TypeText, "texts", tongue{"Name", "Name", "Naam"}), false, 200),
		texts(a("description", pim.TypeRichText, "texts", tongue{"Description", "Beschreibung", "Beschrijving"}), false, 0),
		texts(a("teaser", pim.TypeText, "texts", tongue{"Teaser", "Anreißer", "Teaser"}), true, 120),
		gtin,
		choice(a("brand", pim.TypeOption, "identity", tongue{"Brand", "Marke", "Merk"}), plainOptions(brands, brandCode)),
		choice(a("color", pim.TypeOption, "looks", tongue{"Colour", "Farbe", "Kleur"}), optionsOf(colours)),
		choice(a("size", pim.TypeOption, "looks", tongue{"Size", "Größe", "Maat"}), plainOptions(sizes, same)),
		choice(a("materials", pim.TypeOptions, "looks", tongue{"Materials", "Materialien", "Materialen"}), optionsOf(materials)),
		choice(a("care", pim.TypeOptions, "use", tongue{"Care", "Pflege", "Onderhoud"}), optionsOf(cares)),
		measure(a("weight", pim.TypeNumber, "measures", tongue{"Weight", "Gewicht", "Gewicht"}), "kg"),
		measure(a("width", pim.TypeNumber, "measures", tongue{"Width", "Breite", "Breedte"}), "cm"),
		measure(a("height", pim.TypeNumber, "measures", tongue{"Height", "Höhe", "Hoogte"}), "cm"),
		measure(a("capacity", pim.TypeNumber, "measures", tongue{"Capacity", "Inhalt", "Inhoud"}), "l"),
		measure(a("power", pim.TypeNumber, "measures", tongue{"Power", "Leistung", "Vermogen"}), "W"),
		a("pieces", pim.TypeNumber, "measures", tongue{"Pieces in the pack", "Stück je Packung", "Stuks per verpakking"}),
		a("assembly", pim.TypeBoolean, "use", tongue{"Needs assembly", "Montage nötig", "Montage nodig"}),
		a("dishwasher", pim.TypeBoolean, "use", tongue{"Dishwasher safe", "Spülmaschinenfest", "Vaatwasserbestendig"}),
		a("released", pim.TypeDate, "identity", tongue{"On sale since", "Im Verkauf seit", "Te koop sinds"}),
		a("images", pim.TypeMedia, "media", tongue{"Images", "Bilder", "Afbeeldingen"}),
		a("manual", pim.TypeMedia, "media", tongue{"Manual", "Anleitung", "Handleiding"}),
		a("goes_with", pim.TypeReference, "relations", tongue{"Goes well with", "Passt zu", "Past bij"}),
	}
}

// families have their common attributes, and some of their own.
func families() []pim.Family {
	common := []pim.FamilyAttribute{
		{Code: "name", Required: true},
		{Code: "description", Required: true},
		{Code: "teaser"},
		{Code: "gtin"},
		{Code: "brand", Required: true},
		{Code: "color"},
		{Code: "materials"},
		{Code: "weight"},
		{Code: "released"},
		{Code: "images", Required: true},
		{Code: "goes_with"},
	}
	own := map[string][]string{
		"furniture":   {"width", "height", "assembly", "manual"},
		"kitchen":     {"capacity", "pieces", "dishwasher"},
		"electronics": {"power", "width", "height", "manual"},
		"apparel":     {"size", "care"},
	}
	out := make([]pim.Family, 0, len(ranges))
	for _, r := range ranges {
		f := pim.Family{Code: r.family, Labels: r.label.labels(), Attributes: append([]pim.FamilyAttribute{}, common...)}
		for _, code := range own[r.family] {
			f.Attributes = append(f.Attributes, pim.FamilyAttribute{Code: code})
		}
		if r.family == "apparel" {
			f.Variants = []pim.FamilyVariant{{Code: sizeColour, Axes: []string{"size", "color"}}}
		}
		out = append(out, f)
	}
	return out
}

// defineCatalogue makes what the demo's values are checked against. What is
// there already stays: it may have been changed since.
func defineCatalogue(ctx context.Context, s *postgres.Store) error {
	schema, err := s.RefreshSchema(ctx)
	if err != nil {
		return err
	}
	change := postgres.SchemaChange{
		Locales: []pim.Locale{"en-GB", "de-DE", "nl-NL", french}, Currencies: []pim.Currency{"EUR", "GBP"}, Locations: []string{north, south},
	}
	for _, a := range attributes() {
		if schema.Groups[a.Group] == nil && !slices.ContainsFunc(change.Groups, func(g pim.AttributeGroup) bool { return g.Code == a.Group }) {
			change.Groups = append(change.Groups, pim.AttributeGroup{Code: a.Group, Position: len(change.Groups)})
		}
		if schema.Attributes[a.Code] == nil {
			change.Attributes = append(change.Attributes, a)
		}
	}
	for _, f := range families() {
		if schema.Families[f.Code] == nil {
			change.Families = append(change.Families, f)
		}
	}
	if len(change.Groups)+len(change.Attributes)+len(change.Families) == 0 && schema.Locations[north] && schema.Locations[south] && schema.Locales[french] {
		return nil // a change of the schema makes every process read it anew
	}
	if _, err := s.ChangeSchema(ctx, change); err != nil {
		if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
			return fmt.Errorf("the demo's catalogue does not fit what is in the database; give the demo a database of its own: %w", invalid)
		}
		return err
	}
	return nil
}
