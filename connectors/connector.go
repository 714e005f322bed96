// Package connectors holds what every channel connector promises: the
// contract, the error verdicts, the registry, and the mapping that turns a
// product into a channel's document. It knows no SQL, no River and no
// connector by name; each connector is a folder below it.
package connectors

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/sluicehub/sluice/pim"
)

// Action says what a target shall do with one item.
type Action string

// The actions of an item.
const (
	// Upsert makes the target's document of this lane equal to Item.Document.
	Upsert Action = "upsert"
	// Withdraw takes the product off the target, whatever it holds of it, in the
	// way that the connector's settings say or that is usual there. Only the content
	// lane withdraws; a target drops price, stock and media with the listing.
	Withdraw Action = "withdraw"
	// Delete is Withdraw where the channel's policy says that the target shall
	// keep nothing, whatever the settings say.
	Delete Action = "delete"
	// Disable is Withdraw where it says that the target shall keep the product and
	// show it to nobody. What the target does not hold is not made.
	Disable Action = "disable"
	// SellOut, of the offer lane, is of a withdrawn product that the target shall
	// keep and show: of what it holds of it there is no stock from now on, and none
	// can be ordered. Item.Document is its offer with a stock of 0, for targets that
	// take whole documents; it may lack anything. It is a success, and makes
	// nothing, where the target does not hold the product.
	SellOut Action = "sell_out"
)

// Withdraws reports whether the action is of the content lane and ends the
// product's life at the target.
func (a Action) Withdraws() bool { return a == Withdraw || a == Delete || a == Disable }

// Tombstone reports whether the action is of a product that leaves the channel.
func (a Action) Tombstone() bool { return a.Withdraws() || a == SellOut }

// Withdrawing is the action by which w is brought to a target: of the content
// lane, for zero_stock of the offer lane.
func Withdrawing(w pim.Withdrawal) Action {
	switch w {
	case pim.WithdrawDelete:
		return Delete
	case pim.WithdrawDisable:
		return Disable
	case pim.WithdrawZeroStock:
		return SellOut
	}
	return Withdraw
}

// Item is one listing's wanted state in one lane.
type Item struct {
	SKU      pim.SKU
	Lane     pim.Lane
	Revision int64 // never falls for one SKU and lane; a target may refuse a lower one
	Action   Action
	Document json.RawMessage // one JSON object, sorted keys; nil where Action.Withdraws
}

// Status is what a target said of an item it took. "Sent" is never "live".
type Status string

// What a target can say of an item it did not refuse.
const (
	Live     Status = "live"     // the target shows it
	Accepted Status = "accepted" // the target holds it, and says no more
	Pending  Status = "pending"  // the target took a ticket; Result.Token asks for the outcome
)

// Result is the target's answer for one item. Err nil means the target took
// it, with Status; otherwise Err is (or wraps) an *Error.
type Result struct {
	Status Status
	Token  string        // for Pending: what Poller.Poll takes
	After  time.Duration // for Pending: when to poll first; 0 is the channel's default
	Issues []pim.Issue   // warnings beside a success
	// Anew, of an upsert of content: the target did not hold the product, so that
	// price, stock and media that it may have had there are gone. Where the hub took
	// it for alive, because somebody deleted it at the target, say, these are sent
	// once more; a first creation sends nothing twice. The result that ends the item
	// tells it: beside Pending or an error it counts for nothing.
	Anew bool
	Err  error
}

// Connector speaks one target's API for one channel. It is made anew when the
// channel's settings change, is used by many goroutines at once, and promises:
//
//   - pushing the same item twice leaves the target as pushing it once;
//   - every remote read is bounded in bytes and by ctx; after ctx is done no
//     request is begun;
//   - no error or issue contains a secret, a query string or a header.
type Connector interface {
	// Push brings up to Limits.Batch items of one lane, upserts and withdrawals
	// mixed, to the target. It returns one Result per item in order, or an
	// error (an *Error) that holds for the whole call. A withdrawal of what
	// the target does not hold succeeds.
	Push(ctx context.Context, items []Item) ([]Result, error)
	// Probe asks the target, cheaply and changing nothing, whether it is there
	// and takes our credentials.
	Probe(ctx context.Context) error
}

// Poller is the power of connectors whose targets answer Pending.
type Poller interface {
	// Poll asks for the outcome of tokens, as Push's results in order; Pending
	// again when there is none yet.
	Poll(ctx context.Context, tokens []string) ([]Result, error)
}

// Preflighter is the power of connectors that know their target's field rules:
// issues of severity error keep an item from being sent.
type Preflighter interface {
	Preflight(lane pim.Lane, document map[string]any) []pim.Issue
}

// Puller is the power of connectors whose targets own prices or stock, such as
// ERPs: what changes there comes into the store.
type Puller interface {
	// Pull reads a bounded page of what changed at the target since cursor, ""
	// being the beginning of time. The same change may be told twice; none may
	// be left out, so a cursor by time begins a little before the last answer.
	// Its error is an *Error, as Push's.
	Pull(ctx context.Context, cursor string) (*Pulled, error)
}

// Pulled is one page of a target's changes.
type Pulled struct {
	Prices []pim.PriceRow
	Stock  []pim.StockRow
	Cursor string // what the next Pull begins with, once these rows are stored
	More   bool   // there is more at once
}

// HookQuery is the header in which the hub hands Hooker.Hook a call's raw
// query, for targets that can put a secret nowhere but in the address. The hub
// sets or deletes it on every call: what a caller sent under this name never counts.
const HookQuery = "Sluice-Hook-Query"

// Hooker is the power of connectors whose targets call us when something
// changed. A call carries no state: it makes the hub Pull, or look again at
// what is pending, at once instead of at its own pace.
type Hooker interface {
	// Hook checks that a call is the target's: its signature or shared secret.
	// The body is bounded by the hub. Its error is for the log; the caller is
	// told only that it was refused.
	Hook(header http.Header, body []byte) error
}

// Uploader is the power of connectors whose targets keep files of their own. The
// hub uploads each file once, whatever the number of products that show it, and
// puts the target's name for it in the place of the address in documents.
type Uploader interface {
	// Upload gives the target a file, and tells how the target calls it: a URL, as
	// a rule. Uploading the same again may make a second copy there, no more. ""
	// without an error means that nothing was uploaded, and documents keep our
	// address. Its error is an *Error, as Push's.
	Upload(ctx context.Context, f File) (remote string, err error)
}

// File is what an Uploader uploads: at most 64 MiB.
type File struct {
	Name      string // with the extension of its media type; of letters, digits, '-', '_' and '.'
	MediaType string
	Content   []byte
}

// Limits are a connector's bounds for one channel.
type Limits struct {
	Batch       int           // items in one Push, at least 1
	Concurrency int           // Push calls in flight for one lane, at least 1
	Timeout     time.Duration // one call's deadline
	Settle      time.Duration // how long a request whose answer was lost may still take effect
	Rate        float64       // HTTP requests a second that the target stands, on average; 0: no bound is known
	Burst       int           // requests that may be made at once after a rest; 0: a second's
}

// Kind describes a connector to the registry and makes its instances.
type Kind struct {
	Name   string     // immutable, lower case: "webhook"
	Title  string     // for people
	Lanes  []pim.Lane // what it can send
	Limits Limits     // defaults; a channel may lower them
	// Config points to the zero config struct. Fields marked `secret:"true"` are
	// sealed at rest; those marked `address:"true"` name the target without being
	// a URL (a shop's domain): when one changes, or the host of any URL, the
	// secrets must be given anew.
	Config   any
	MaxBatch int     // what a channel may raise Limits.Batch to
	Versions bool    // the target refuses a lower revision than it holds
	Mapping  Mapping // used where a channel brings none
	// ParentField, where it is not "", is the field of content documents by which a
	// variant names its parent, without which the target cannot hold it: a variant
	// that is not there yet is sent when the parent is, or with it in one Push.
	ParentField string
	// Makes has one value, a nil pointer will do, of each type that New gives:
	// it tells the kind's powers without a config and without a network.
	Makes []Connector
	// Withdrawals are the policies that the connector can follow: it is sent Delete,
	// Disable and SellOut only where they stand here. Withdraw it always is.
	Withdrawals []pim.Withdrawal
	// New makes a connector from a config of Config's JSON shape, secrets
	// included. A bad config is a *pim.Invalid with pointers into it and all
	// its problems at once (see ConfigCheck).
	New func(config json.RawMessage, env Env) (Connector, error)
	// Doubts, where it is not nil, says in sentences what will keep a channel with this
	// config, which New takes, from arriving anywhere, as far as that can be seen without
	// asking the target. The config has no secrets.
	Doubts func(config json.RawMessage, allowPrivate bool) []string
}

// Env is what the process and the channel lend to a connector.
type Env struct {
	Channel      pim.ChannelCode // whose connector it is; "": nobody's
	Limits       Limits          // the channel's
	AllowPrivate bool            // the channel's: targets on loopback and private addresses may be dialled
	Version      string
	Wire         Wire // nil: nobody listens
}
