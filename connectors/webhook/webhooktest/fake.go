// Package webhooktest is a stateful fake of a webhook target: the receiving end
// of connectors/webhook, with the contract of docs/connectors/webhook.md in code
// of its own. Tests, the demo and the benchmark push to it. It imports nothing of
// testing, and lives on loopback only: its admin paths ask for no key.
package webhooktest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// Options say what kind of target a Fake is. The zero value is an unversioned
// target that answers "accepted" for each item at once.
type Options struct {
	Name      string                                         // for people, in the summary
	Secret    string                                         // whsec_ and base64; "" makes one
	Batch     int                                            // most items in one call; 0 is 1000
	MaxBody   int64                                          // bytes; 0 is 64 MiB
	Versioned bool                                           // refuse a lower revision than held, with conflict
	Orphans   bool                                           // take offer and media of a SKU that has no content
	Quiet     bool                                           // answer 204 without a body when every item was taken
	Answer    connectors.Status                              // Live or Accepted; "" is Accepted
	Async     *Async                                         // answer 202 and pending
	History   int                                            // entries remembered; 0 is 4096
	Journal   string                                         // file that keeps the state over a restart; "" keeps none
	Mangle    func(document json.RawMessage) json.RawMessage // what it makes of a document that it takes; nil: nothing
	Echo      string                                         // repeated in every refusal's text: a rude target that shows what it was sent
}

// Async makes the target answer pending and do the work later: Delay after the
// call, or, when Delay is 0, at the Polls-th question for a token (0 is 1).
type Async struct {
	Polls int
	Delay time.Duration
}

// Item is one item as it came over the wire.
type Item struct {
	SKU      pim.SKU           `json:"sku"`
	Lane     pim.Lane          `json:"lane"`
	Revision int64             `json:"revision"`
	Action   connectors.Action `json:"action"`
	Document json.RawMessage   `json:"document"`
}

// Outcome is what became of a received item.
type Outcome string

// The outcomes.
const (
	Applied  Outcome = "applied"
	Conflict Outcome = "conflict" // older than what is held, or an offer without content
	Rejected Outcome = "rejected" // as told by Reject
	Refused  Outcome = "refused"  // a fault refused the whole call; nothing applied
	Held     Outcome = "held"     // not applied yet; a second entry with Late follows when it is
)

// Entry is one received item in the history.
type Entry struct {
	Seq     int64     `json:"seq"`  // order of receipt, from 1
	Call    int64     `json:"call"` // the HTTP call it came with
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	Late    bool      `json:"late,omitempty"`  // applied after its call, or after a hold
	Lost    bool      `json:"lost,omitempty"`  // the answer did not reach the sender
	Fault   FaultKind `json:"fault,omitempty"` // the fault that met its call
	Item
}

// Listing is what the target holds of one SKU in one lane.
type Listing struct {
	Document json.RawMessage `json:"document"`
	Revision int64           `json:"revision"`
	At       time.Time       `json:"at"`
	Pushes   int64           `json:"pushes"` // how often an upsert of it was applied since the SKU was first seen
}

// shelf is one SKU's place: it outlives a withdrawal, to remember revisions.
type shelf struct {
	listed bool // content was held at some time
	hidden bool // it is kept, and shown to nobody
	empty  bool // it is kept, and none is left
	lanes  [3]slot
}

type slot struct {
	Listing
	present bool
	applied int64 // revision applied last, withdrawals included
	top     int64 // highest revision received
}

// Fake is the target: an http.Handler for ItemsPath, StatusPath, HeldPath and AdminPath.
// Use New or NewServer.
type Fake struct {
	opts   Options
	secret string
	verify *standardwebhooks.Webhook
	admin  http.Handler
	closed chan struct{}

	mu       sync.Mutex
	shelves  map[pim.SKU]*shelf
	held     [3]int // documents per lane
	journal  *journal
	seq      int64
	ring     []Entry // the newest entries, entry Seq at (Seq-1) % opts.History
	count    Counts
	ids      map[string]bool // webhook-ids seen, with idRing as their order
	idRing   []string
	bad      []string
	falls    []string
	watchers map[int]func(Entry)
	watchSeq int
	waiters  int
	changed  chan struct{}

	down      FaultKind
	script    []Fault
	reject    map[pim.SKU][]pim.Issue
	bucket    bucket
	says      http.Header // beside every answer
	released  chan struct{}
	late      []*lateCall
	async     *Async
	tickets   map[string]*ticket
	queue     []*ticket
	done      []string
	ticketSeq int64
}

// Counts are totals since the start.
type Counts struct {
	Calls     int64 `json:"calls"`    // requests for items, probes included
	Probes    int64 `json:"probes"`   // calls with no item
	Polls     int64 `json:"polls"`    // requests for the status of tokens
	Reads     int64 `json:"reads"`    // requests for what is held
	Received  int64 `json:"received"` // items
	Applied   int64 `json:"applied"`
	Conflicts int64 `json:"conflicts"`
	Rejected  int64 `json:"rejected"`
	Refused   int64 `json:"refused"`   // items of calls that a fault refused
	Throttled int64 `json:"throttled"` // calls answered 429
	Hanging   int64 `json:"hanging"`   // calls held open at this moment
	Violated  int64 `json:"violated"`  // breaches of the contract
	Written   int64 `json:"written"`   // bytes of endless bodies that were taken off us
}

// NewSecret makes a random Standard Webhooks secret of 32 bytes.
func NewSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

// New makes a fake without a listener.
func New(opts Options) (*Fake, error) {
	if opts.Secret == "" {
		opts.Secret = NewSecret()
	}
	if opts.Batch == 0 {
		opts.Batch = 1000
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = 64 << 20
	}
	if opts.History == 0 {
		opts.History = 4096
	}
	if opts.Answer == "" {
		opts.Answer = connectors.Accepted
	}
	verify, err := standardwebhooks.NewWebhook(opts.Secret)
	if err != nil {
		return nil, fmt.Errorf("reading the fake target's secret: %w", err)
	}
	f := &Fake{
		opts: opts, secret: opts.Secret, verify: verify, async: opts.Async,
		closed:  make(chan struct{}),
		shelves: map[pim.SKU]*shelf{}, ids: map[string]bool{}, watchers: map[int]func(Entry){},
		changed: make(chan struct{}), released: make(chan struct{}),
		reject: map[pim.SKU][]pim.Issue{}, tickets: map[string]*ticket{},
	}
	f.admin = f.adminHandler()
	if opts.Journal != "" {
		if err := f.openJournal(opts.Journal); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Secret is what the sender has to sign with.
func (f *Fake) Secret() string { return f.secret }

// laneIndex is a lane's place in a shelf.
func laneIndex(l pim.Lane) int {
	switch l {
	case pim.Content:
		return 0
	case pim.Offer:
		return 1
	default:
		return 2
	}
}

// shelf finds or makes a SKU's place. Callers hold mu.
func (f *Fake) shelf(sku pim.SKU) *shelf {
	s := f.shelves[sku]
	if s == nil {
		s = &shelf{}
		f.shelves[sku] = s
	}
	return s
}

// arrive notes that items came in, in the order of receipt, before anything is
// decided about them: a fall is a fall whether or not a fault followed.
func (f *Fake) arrive(items []Item) {
	for i := range items {
		it := &items[i]
		top := &f.shelf(it.SKU).lanes[laneIndex(it.Lane)].top
		if it.Revision < *top {
			f.falls = appendBounded(f.falls, fmt.Sprintf("%s %s: revision %d came after %d", it.SKU, it.Lane, it.Revision, *top))
		}
		*top = max(*top, it.Revision)
	}
	f.count.Received += int64(len(items))
}

// verdict is the answer for one item.
type verdict struct {
	outcome Outcome
	issues  []pim.Issue
	text    string
}

// apply brings one item to the state, or says why not. Callers hold mu.
func (f *Fake) apply(it Item, now time.Time) verdict {
	s := f.shelf(it.SKU)
	slot := &s.lanes[laneIndex(it.Lane)]
	if issues, ok := f.reject[it.SKU]; ok && it.Action == connectors.Upsert {
		f.count.Rejected++
		return verdict{Rejected, issues, "this item is refused" + f.echo()}
	}
	if f.opts.Versioned && it.Revision < slot.applied {
		f.count.Conflicts++
		return verdict{outcome: Conflict, text: fmt.Sprintf("revision %d is held", slot.applied) + f.echo()}
	}
	if it.Lane != pim.Content && it.Action == connectors.Upsert && !f.opts.Orphans && !s.lanes[0].present {
		f.count.Conflicts++
		// After a withdrawal this can be an honest race of two lanes; before
		// the content was ever there it is the sender's fault.
		if !s.listed {
			f.violate("%s %s: came before the SKU's content", it.SKU, it.Lane)
		}
		return verdict{outcome: Conflict, text: "there is no such product here" + f.echo()}
	}
	if (it.Action == connectors.Disable || it.Action == connectors.SellOut) && !s.lanes[0].present {
		f.count.Applied++
		return verdict{outcome: Applied} // there is nothing to keep
	}
	if f.opts.Mangle != nil && it.Action == connectors.Upsert {
		it.Document = f.opts.Mangle(it.Document)
	}
	f.put(it, now)
	f.count.Applied++
	return verdict{outcome: Applied}
}

func (f *Fake) echo() string {
	if f.opts.Echo == "" {
		return ""
	}
	return " (" + f.opts.Echo + ")"
}

// note writes an entry to the history and tells the watchers. Callers hold mu.
func (f *Fake) note(e Entry) {
	f.seq++
	e.Seq = f.seq
	if len(f.ring) < f.opts.History {
		f.ring = append(f.ring, e)
	} else {
		f.ring[(e.Seq-1)%int64(f.opts.History)] = e
	}
	for _, fn := range f.watchers {
		fn(e)
	}
}

// violate records a breach of the contract by the sender. Callers hold mu.
func (f *Fake) violate(format string, args ...any) {
	f.count.Violated++
	f.bad = appendBounded(f.bad, fmt.Sprintf(format, args...))
}

// maxNotes bounds the lists of violations and of falls.
const maxNotes = 1000

// appendBounded keeps the first maxNotes notes: the first is what explains the rest.
func appendBounded(list []string, s string) []string {
	if len(list) >= maxNotes {
		return list
	}
	return append(list, s)
}
