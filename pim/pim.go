// Package pim holds the rules and types of the product store: attributes,
// families, products and their values, prices, stock, events, listings. It
// knows no SQL, no HTTP and no connector.
package pim

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/govalues/decimal"
)

// SKU identifies a product for people and other systems: 1 to 128 printable
// characters, no space at either end.
type SKU string

// ProductID is a product's row; it never changes and is never used again.
type ProductID int64

// ChannelID is a channel's row.
type ChannelID int64

// ChannelCode names a channel for people: lower-case letters, digits, '-', '_'.
type ChannelCode string

// NoConnector is the connector of a channel without a target: what families require
// on it, its scoped values and its readiness are there, and nothing is sent for it
// until it is given another one.
const NoConnector = "none"

// Locale is a BCP 47 tag as written in the store, such as "en-GB".
type Locale string

// Currency is an ISO 4217 code, such as "EUR".
type Currency string

// Lane is one of the three roads a listing travels, so that price and stock
// never queue behind texts. The numbers are bits (see Lanes) and are stored.
type Lane int16

// The lanes.
const (
	Content Lane = 1 // texts, attributes, categories, status
	Offer   Lane = 2 // price and stock
	Media   Lane = 4 // images and documents
)

// AllLanes in the order in which rows are locked.
var AllLanes = []Lane{Content, Offer, Media}

// Lanes is a set of lanes.
type Lanes int16

// Has reports whether l is in the set.
func (s Lanes) Has(l Lane) bool { return s&Lanes(l) != 0 }

// LanesOf makes a set.
func LanesOf(ls ...Lane) (s Lanes) {
	for _, l := range ls {
		s |= Lanes(l)
	}
	return s
}

// List gives the set's lanes in AllLanes' order.
func (s Lanes) List() []Lane {
	return slices.DeleteFunc(slices.Clone(AllLanes), func(l Lane) bool { return !s.Has(l) })
}

var laneNames = map[Lane]string{Content: "content", Offer: "offer", Media: "media"}

// String is the lane's name in APIs, metrics and logs.
func (l Lane) String() string {
	if s, ok := laneNames[l]; ok {
		return s
	}
	return fmt.Sprintf("lane(%d)", int16(l))
}

// ParseLane reads a lane's name.
func ParseLane(s string) (Lane, error) {
	for l, n := range laneNames {
		if n == s {
			return l, nil
		}
	}
	return 0, fmt.Errorf("lane %q is not one of content, offer, media", s)
}

// MarshalText writes the lane's name.
func (l Lane) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the lane's name.
func (l *Lane) UnmarshalText(b []byte) (err error) { *l, err = ParseLane(string(b)); return err }

// Severity of an Issue.
type Severity string

// The severities: an error keeps a product from the channel, a warning does not.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Issue is a problem that a target or our own preflight reports about one listing.
type Issue struct {
	Code      string   `json:"code" doc:"Stable code: the target's own, or one of preflight's"`
	Severity  Severity `json:"severity" enum:"error,warning"`
	Attribute string   `json:"attribute,omitempty" doc:"Field of the channel's document that the problem is in"`
	Text      string   `json:"text" doc:"What the target said, without secrets"`
}

// Problem is one fault of an input, with its place.
type Problem struct {
	Pointer string `json:"pointer" doc:"JSON pointer (RFC 6901) into the request body"`
	Code    string `json:"code" doc:"Stable code, e.g. attribute.unknown"`
	Detail  string `json:"detail"`
}

// Invalid is the error of an input with problems: all of them at once.
type Invalid struct{ Problems []Problem }

// Error names the first problem and how many there are.
func (e *Invalid) Error() string {
	if len(e.Problems) == 0 {
		return "invalid input"
	}
	p := e.Problems[0]
	return fmt.Sprintf("%s: %s (%d problems)", p.Pointer, p.Detail, len(e.Problems))
}

// Price is one price of a product.
type Price struct {
	PriceList   string          `json:"price_list"`
	Currency    Currency        `json:"currency"`
	MinQuantity int             `json:"min_quantity"`
	Amount      decimal.Decimal `json:"amount"`
	ValidFrom   *time.Time      `json:"valid_from,omitempty"` // inclusive
	ValidTo     *time.Time      `json:"valid_to,omitempty"`   // exclusive
	Rules       []string        `json:"rules,omitempty"`      // that derived it, as they were applied; none: it was set by hand
}

// PriceRow sets one price of a product. Delete removes it instead.
type PriceRow struct {
	SKU SKU
	Price
	Delete bool
	Stamp
}

// Product is a product or variant as it stands in the store.
type Product struct {
	ID         ProductID
	SKU        SKU
	Parent     SKU // of a variant; "" otherwise
	Family     string
	Enabled    bool
	Categories []string
	Values     json.RawMessage // see Values
	Rev        int64           // content revision: the ETag
	MediaRev   int64
	OfferRev   int64 // rises with each price or stock change
	PriceRev   int64
	StockRev   int64
	Deleted    bool
	CreatedAt  time.Time
	UpdatedAt  time.Time
}
