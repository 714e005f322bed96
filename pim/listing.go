package pim

import (
	"encoding/json"
	"time"
)

// ListingState is one word for where a listing stands.
type ListingState string

// The listing states.
const (
	StateWaiting   ListingState = "waiting"   // something is still to be sent
	StatePending   ListingState = "pending"   // the target took a ticket and has not answered yet
	StateAccepted  ListingState = "accepted"  // the target holds what is wanted
	StateLive      ListingState = "live"      // the target says that it shows it
	StateVerified  ListingState = "verified"  // it was read back since, and the target holds it so
	StateRejected  ListingState = "rejected"  // parked with issues until something relevant changes
	StateWithdrawn ListingState = "withdrawn" // the target was told to drop it, and did
	StateSoldOut   ListingState = "sold_out"  // withdrawn by the policy zero_stock: the target keeps it, and was told of no stock
	StateNone      ListingState = "none"      // nothing to send: never listed there, or an empty document
)

// ListingStates in the order in which people read them.
var ListingStates = []ListingState{StateWaiting, StatePending, StateAccepted, StateLive, StateVerified, StateRejected, StateWithdrawn, StateSoldOut, StateNone}

// Listing is one product on one channel in one lane, for readers.
type Listing struct {
	Channel    ChannelCode  `json:"channel"`
	SKU        SKU          `json:"sku"`
	Lane       Lane         `json:"lane"`
	State      ListingState `json:"state"`
	Wanted     int64        `json:"wanted_revision" doc:"What is sent next, or was sent last: the sum of the revisions of all that the lane's mapping reads"`
	Acked      int64        `json:"acknowledged_revision" doc:"0: nothing acknowledged yet"`
	AckedAt    *time.Time   `json:"acknowledged_at,omitempty"`
	VerifiedAt *time.Time   `json:"verified_at,omitempty" doc:"When the target was last read and held what it had acknowledged"`
	DirtySince *time.Time   `json:"dirty_since,omitempty" doc:"Since when something is to be sent"`
	DueAt      *time.Time   `json:"due_at,omitempty" doc:"When it is tried next; absent where nothing is to be sent, or it waits for the content to be there"`
	Attempts   int          `json:"attempts" doc:"Tries since the last success"`
	Error      string       `json:"error,omitempty"`
	Issues     []Issue      `json:"issues"`
	Status     string       `json:"status,omitempty" doc:"What the target last took it as: accepted, live, withdrawn, sold_out"`
	Receipt    *Receipt     `json:"receipt,omitempty" doc:"What the target answered last"`
}

// Receipt is what a target answered for one listing.
type Receipt struct {
	Verdict  string    `json:"verdict" doc:"live, accepted, pending, or why not: throttled, unavailable, auth, validation, conflict, permanent; incomplete: our own check refused it, and nothing was sent"`
	Revision int64     `json:"revision"`
	At       time.Time `json:"at"`
	Text     string    `json:"text,omitempty"`
}

// Event types; a CloudEvents `type` when one leaves the house.
const (
	EventProductCreated = "product.created"
	EventProductUpdated = "product.updated"
	EventProductDeleted = "product.deleted"
	EventPriceChanged   = "price.changed"
	EventStockChanged   = "stock.changed"

	// Of records, which have a history of their own.
	EventRecordCreated = "record.created"
	EventRecordUpdated = "record.updated"
	EventRecordDeleted = "record.deleted"
)

// Event is an immutable record of one change; a product's events are its history.
type Event struct {
	ID       int64           `json:"id"`
	At       time.Time       `json:"at"`
	Type     string          `json:"type"`
	SKU      SKU             `json:"sku"`
	Revision int64           `json:"revision" doc:"The changed lane's revision after the change"`
	Lanes    []Lane          `json:"lanes"`
	Actor    string          `json:"actor" doc:"Name of the API key, or of what else did it; of an import also its number: ERP, import 12"`
	Data     json.RawMessage `json:"data" doc:"What changed: the patch, and what stood there before"`
}
