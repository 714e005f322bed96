package pim

import "slices"

// AttributeType says what an attribute's values are. See Attribute for the
// JSON shape of each.
type AttributeType string

// The attribute types, with the JSON of one value.
const (
	TypeText      AttributeType = "text"      // string without markup
	TypeRichText  AttributeType = "rich_text" // string of HTML, sanitised when stored
	TypeNumber    AttributeType = "number"    // number; with a unit: {"amount": number or decimal string, "unit": "kg"}
	TypeBoolean   AttributeType = "boolean"   // true or false
	TypeDate      AttributeType = "date"      // "2026-11-27", RFC 3339 full-date
	TypeOption    AttributeType = "option"    // an option's code
	TypeOptions   AttributeType = "options"   // array of distinct option codes
	TypeMedia     AttributeType = "media"     // an http(s) URL or asset code, or an array of at most 50 of them
	TypeReference AttributeType = "reference" // another product's SKU, or an array of them
	TypeEntity    AttributeType = "entity"    // the code of a record of the attribute's reference entity
	TypeEntities  AttributeType = "entities"  // array of distinct codes of such records
	TypeTable     AttributeType = "table"     // array of rows, each an object of column → value; at most 1,000
)

// Option is one choice of an option attribute.
type Option struct {
	Code   string            `json:"code"`
	Labels map[Locale]string `json:"labels,omitempty"`
}

// CheckGTIN is the Attribute.Check of trade item numbers (GS1 GTIN-8, -12, -13, -14).
const CheckGTIN = "gtin"

// Attribute describes one value of products. In a product's values an
// attribute holds its value directly; when localizable an object locale →
// value; when scopable an object channel code → value; when both an object
// channel code → locale → value.
type Attribute struct {
	Code        string            `json:"code"`
	Type        AttributeType     `json:"type"`
	Group       string            `json:"group,omitempty" doc:"Code of its attribute group, for people"`
	Labels      map[Locale]string `json:"labels,omitempty"`
	Localizable bool              `json:"localizable,omitempty"`
	Scopable    bool              `json:"scopable,omitempty"`
	Options     []Option          `json:"options,omitempty" doc:"For option and options"`
	Entity      string            `json:"entity,omitempty" doc:"For entity and entities: code of the reference entity whose records are meant"`
	Unit        string            `json:"unit,omitempty" doc:"For number: the standard unit, e.g. kg; others of its measurement family are taken too"`
	MaxLength   int               `json:"max_length,omitempty" doc:"In characters, for text and rich_text; 0 is the default of 65535"`
	Check       string            `json:"check,omitempty" doc:"gtin: warn when the value is no valid GTIN"`
	Strict      bool              `json:"strict,omitempty" doc:"A failed check refuses the value instead of warning"`
	Columns     []Column          `json:"columns,omitempty" maxItems:"50" doc:"For table"`
	Rules
}

// Rules are what a value must keep to beside its type. What is stored stays when
// they are tightened, and an edit that leaves it as it is is not refused for it:
// see Schema.CheckEdit.
type Rules struct {
	MinLength int      `json:"min_length,omitempty" minimum:"0" doc:"In characters, for text and rich_text"`
	Pattern   string   `json:"pattern,omitempty" maxLength:"500" doc:"For text: a regular expression (RE2) that the whole value matches, as if between ^ and $"`
	Min       Number   `json:"min,omitempty" doc:"For number: the least, in the attribute's unit"`
	Max       Number   `json:"max,omitempty" doc:"For number: the most, in the attribute's unit"`
	Decimals  *int     `json:"decimals,omitempty" minimum:"0" maximum:"30" doc:"For number: digits after the point at most, zeros at the end not counted"`
	MinDate   string   `json:"min_date,omitempty" doc:"For date: the first day"`
	MaxDate   string   `json:"max_date,omitempty" doc:"For date: the last day"`
	Units     []string `json:"units,omitempty" maxItems:"100" doc:"For number: the units of its measurement family that are taken, its own among them; left out: all"`
	MaxItems  int      `json:"max_items,omitempty" minimum:"0" doc:"For options, media, reference, entities and the rows of a table: how many at most"`
	Unique    bool     `json:"unique,omitempty" doc:"For text, number without unit and date: no two products have the same value, in each locale and channel for itself"`
}

// HasRules reports whether there are any.
func (r *Rules) HasRules() bool {
	return r.MinLength != 0 || r.Pattern != "" || r.Min != "" || r.Max != "" || r.Decimals != nil || r.MinDate != "" || r.MaxDate != "" ||
		len(r.Units) > 0 || r.MaxItems != 0 || r.Unique
}

// Lane is the lane that a change of this attribute travels on.
func (a *Attribute) Lane() Lane {
	if a.Type == TypeMedia {
		return Media
	}
	return Content
}

// AttributeGroup is a heading that attributes are shown under.
type AttributeGroup struct {
	Code     string            `json:"code"`
	Position int               `json:"position,omitempty" minimum:"0" doc:"Among the groups, the lowest first; equal ones stand by their codes"`
	Labels   map[Locale]string `json:"labels,omitempty"`
}

// FamilyAttribute is an attribute's place in a family.
type FamilyAttribute struct {
	Code     string `json:"code"`
	Required bool   `json:"required,omitempty" doc:"Counts for completeness on every channel; a draft without it can be stored"`
	// RequiredFor are channels that may be made later, or be gone: nothing is
	// sent by it, so nothing breaks.
	RequiredFor []ChannelCode `json:"required_for,omitempty" maxItems:"1000" doc:"Channels on which it counts for completeness where it does not on all"`
}

// RequiredOn reports whether the attribute counts for completeness on a channel;
// on "", which is none, only what counts on all.
func (a FamilyAttribute) RequiredOn(channel ChannelCode) bool {
	return a.Required || channel != "" && slices.Contains(a.RequiredFor, channel)
}

// Family is a kind of product: the attributes that its products may have.
type Family struct {
	Code       string            `json:"code"`
	Labels     map[Locale]string `json:"labels,omitempty"`
	Attributes []FamilyAttribute `json:"attributes"`
	Variants   []FamilyVariant   `json:"variants,omitempty"`
}

// Schema is everything that values are checked against, at one version. It is
// immutable once made: readers share it.
type Schema struct {
	Version    int64 // rises with every change of attributes, families, locales, currencies or channels
	Attributes map[string]*Attribute
	Families   map[string]*Family
	Locales    map[Locale]bool
	Fallbacks  map[Locale]Locale // whose values are shown where a product has none in a locale: see Chain
	Currencies map[Currency]bool
	Channels   map[ChannelCode]bool // scopes of scopable attributes
	PriceLists map[string]bool
	Locations  map[string]bool
	Places     map[string]Location // of the locations those that are more than a code
	Tree       *Tree               // the categories; nil: none
	Groups     map[string]*AttributeGroup
	Entities   map[string]*ReferenceEntity
	// Associations are the association types.
	Associations map[string]*AssociationType
	// ListCurrencies are the currencies of the price lists that are not for all.
	ListCurrencies map[string][]Currency
	PriceRules     bool // there are price rules, or were
	PriceGuards    bool // there are price lists whose changes are judged
	// Revisions are those of attributes, families, attribute groups and locales, by
	// kind and code: "attribute/name", "attribute-group/texts".
	Revisions map[string]int64

	cache schemaCache // lookup tables of CheckValues
}

// Copy is a schema to make another one of. It shares the maps of s: those that are
// to differ are replaced, and never written to.
func (s *Schema) Copy() *Schema {
	return &Schema{
		Version: s.Version, Attributes: s.Attributes, Families: s.Families, Locales: s.Locales, Fallbacks: s.Fallbacks, Currencies: s.Currencies,
		Channels: s.Channels, PriceLists: s.PriceLists, Locations: s.Locations, Places: s.Places, Tree: s.Tree, Groups: s.Groups, Entities: s.Entities,
		Associations: s.Associations, ListCurrencies: s.ListCurrencies, PriceRules: s.PriceRules, PriceGuards: s.PriceGuards, Revisions: s.Revisions,
	}
}

// Values are a product's values, decoded with json.Number so that no digit is
// lost: attribute code → value in the shape that Attribute documents.
type Values map[string]any
