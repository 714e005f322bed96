package connectors

import (
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Mapping says how a channel's document is made of a product: per lane, the
// document's field → a CEL expression (https://cel.dev) over the product.
type Mapping struct {
	Content map[string]string `json:"content,omitempty"`
	Offer   map[string]string `json:"offer,omitempty"`
	Media   map[string]string `json:"media,omitempty"`
}

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
	Parent     pim.SKU
	Family     string
	Variant    string // the family variant that it is a variant by; "" where it is none
	Enabled    bool
	Categories []string
	Values     pim.Values // the variant's own over its parent's, all locales and scopes
	Prices     []pim.Price
	Stock      []pim.Stock
}

// Scope is the channel's view of a product.
type Scope struct {
	Channel   pim.ChannelCode
	Locale    pim.Locale
	Currency  pim.Currency
	PriceList string
	Locations []string  // whose stock counts; empty: every location's
	Now       time.Time // which prices are valid; the database's clock
}
