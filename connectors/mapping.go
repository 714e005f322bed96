package connectors

import (
	"slices"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Mapping says how a channel's document is made of a product: per lane, the
// document's field → a CEL expression (https://cel.dev) over the product, and
// beside them the tables that expressions look into.
type Mapping struct {
	Content map[string]string `json:"content,omitempty"`
	Offer   map[string]string `json:"offer,omitempty"`
	Media   map[string]string `json:"media,omitempty"`

	// Categories are our category's code → the target's, one or several: what
	// the variable targetCategories goes by.
	Categories map[string][]string `json:"categories,omitempty" doc:"Our category's code → the target's, one or several, for targetCategories"`
	// Values are an attribute's code → how the target says it: what the function
	// mapped goes by.
	Values map[string]ValueMapping `json:"values,omitempty" doc:"Attribute code → how the target says its values, for mapped('code')"`
	// Unmapped is what becomes of a category or a value without an entry.
	Unmapped Unmapped `json:"unmapped,omitempty" enum:"error,warn,pass" doc:"What becomes of a category or value without an entry. error: the product is kept from the channel; warn (the default): it is left out, with a warning; pass: our own code goes to the target"`
}

// ValueMapping is how a target says one attribute: Options for words, Unit for
// numbers with one. It has one of the two.
type ValueMapping struct {
	Options map[string]string `json:"options,omitempty" doc:"Our option's code, or a text or true and false, → the target's word"`
	Unit    string            `json:"unit,omitempty" doc:"The target's unit of a number with a unit, e.g. g: mapped gives the amount in it"`
}

// Unmapped is a setting; "" is UnmappedWarn.
type Unmapped string

// What becomes of what has no entry.
const (
	UnmappedError Unmapped = "error" // the product is kept from the channel
	UnmappedWarn  Unmapped = "warn"  // it is left out, with a warning
	UnmappedPass  Unmapped = "pass"  // our own code goes to the target
)

// Fields are the fields of one lane.
func (m Mapping) Fields(l pim.Lane) map[string]string {
	switch l {
	case pim.Content:
		return m.Content
	case pim.Offer:
		return m.Offer
	case pim.Media:
		return m.Media
	}
	return nil
}

// Lanes are the lanes that have fields.
func (m Mapping) Lanes() (s pim.Lanes) {
	for _, l := range pim.AllLanes {
		if len(m.Fields(l)) > 0 {
			s |= pim.Lanes(l)
		}
	}
	return s
}

// Subject is all that a projection may see of one product. It is decoded once
// and shared by the lanes and channels that render it: nobody changes it.
type Subject struct {
	SKU        pim.SKU
	Parent     pim.SKU // of a variant: its root model
	SubModel   pim.SKU // that stands between the two; "" where none does
	Family     string
	Variant    string // the family variant that it is a variant by; "" where it is none
	Enabled    bool
	Categories []string
	Values     pim.Values // the variant's own over those of the models above it, all locales and scopes
	Prices     []pim.Price
	Stock      []pim.Stock
	// Associations are those with products that the channel may show; a variant's own
	// come before those of the models above it.
	Associations pim.Associations
	// Records are the records that values name, by their keys (pim.RecordRef); what
	// is not among them is not shown.
	Records map[string]*Record
	// Pictures say what media values are on this channel, by what is stored; a
	// value that is not among them is shown as it is.
	Pictures map[string]*Picture
	Issues   []pim.Issue // why values are left out here, found before any mapping
}

// Above are the models that s inherits from, the nearest first; none of a product
// that is no variant.
func (s *Subject) Above() []pim.SKU {
	return slices.DeleteFunc([]pim.SKU{s.SubModel, s.Parent}, func(sku pim.SKU) bool { return sku == "" })
}

// Record is a record of a reference entity.
type Record struct {
	Code   string
	Labels map[pim.Locale]string
	Values pim.Values // by the entity's attributes
}

// Picture is what a channel is shown of a media value.
type Picture struct {
	URL        string            // where the target can fetch it; "": it is left out
	Renditions map[string]string // URLs by the rendition's code
	Alt        string            // what people say of it in the channel's locale; "": nothing
	Pending    bool              // it is still to be made
	Document   bool              // it is no picture: not among media, only its own attribute's value
	Issues     []pim.Issue       // why it is left out, and what is wrong with it
}

// Scope is the channel's view of a product.
type Scope struct {
	Channel   pim.ChannelCode
	Locale    pim.Locale
	Currency  pim.Currency
	PriceList string
	Locations []string // whose stock counts; empty: every location's
	Stock     pim.StockRule
	Now       time.Time // which prices are valid; the database's clock
	// CategoryRoot is the category of which alone, and of those below it, something is
	// seen; "": of all.
	CategoryRoot string
}
