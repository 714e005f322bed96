package jobs

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Explanation says why a product is or is not live on a channel: of one
// snapshot, and of nothing but what stands there.
type Explanation struct {
	Channel pim.ChannelCode `json:"channel"`
	SKU     pim.SKU         `json:"sku"`
	At      time.Time       `json:"at" doc:"The database's time of the snapshot; all times here are by its clock"`
	// OnTarget is of the first lane that the channel's mapping has.
	OnTarget OnTarget `json:"on_target" enum:"live,accepted,no,uncertain" doc:"What the target holds, as far as it said: live: it shows it; accepted: it has it and says no more; uncertain: an answer was lost, or is still to come"`
	Because
	Lanes []LaneExplanation `json:"lanes" doc:"None of a product that there is not, or on a channel without a connector"`
}

// Because is why something is as it is.
type Because struct {
	Reason Reason     `json:"reason"`
	Text   string     `json:"text" doc:"The reason in words"`
	Since  *time.Time `json:"since,omitempty" doc:"Since when: it is to be sent, was refused, or was acknowledged"`
	Until  *time.Time `json:"until,omitempty" doc:"When that ends by itself, or is looked at again; absent where no such time is known"`
}

// OnTarget is what a target holds, as far as it said.
type OnTarget string

// What a target can hold of a product.
const (
	OnTargetLive      OnTarget = "live"
	OnTargetAccepted  OnTarget = "accepted"
	OnTargetNo        OnTarget = "no"
	OnTargetUncertain OnTarget = "uncertain"
)

// LaneExplanation is one lane of an Explanation.
type LaneExplanation struct {
	Lane     pim.Lane         `json:"lane"`
	State    pim.ListingState `json:"state"`
	OnTarget OnTarget         `json:"on_target" enum:"live,accepted,no,uncertain"`
	Because
	Ahead int         `json:"ahead,omitempty" doc:"Of what is queued: how many of the lane's listings go before it at most; 10000 is that many or more"`
	ETA   *time.Time  `json:"eta,omitempty" doc:"Of what is queued: when it is done, at the pace that the channel's forecast reckons with; absent where that is not known, or more are before it than were counted"`
	Stock *pim.Sale   `json:"stock,omitempty" doc:"Of the offer lane: what the channel shows of the product's stock, as the store has it now; absent where nobody keeps it"`
	Chain Explanatory `json:"chain" doc:"How it came to be so, from the edit to the answer"`
}

// Explanatory is a chain of what happened; a link is absent where there was no
// such thing.
type Explanatory struct {
	Edit    *ExplainedEdit    `json:"edit,omitempty" doc:"The last change that touched the lane"`
	Rule    *ExplainedRule    `json:"rule,omitempty" doc:"The mapping that makes the channel's document of it"`
	Listing *ExplainedListing `json:"listing,omitempty" doc:"What is wanted on the channel, and what was acknowledged"`
	Attempt *ExplainedAttempt `json:"attempt,omitempty" doc:"The last time that the target was asked about it"`
	Answer  *ExplainedAnswer  `json:"answer,omitempty" doc:"What came of that"`
}

// ExplainedEdit is the event that a change left.
type ExplainedEdit struct {
	Event      int64     `json:"event"`
	At         time.Time `json:"at"`
	Type       string    `json:"type"`
	Actor      string    `json:"actor"`
	SKU        pim.SKU   `json:"sku" doc:"The product, or its parent"`
	Revision   int64     `json:"revision"`
	Attributes []string  `json:"attributes" doc:"Whose values were changed"`
}

// ExplainedRule is the mapping in force.
type ExplainedRule struct {
	Version int64     `json:"version"`
	Since   time.Time `json:"since"`
	Actor   string    `json:"actor,omitempty"`
	Note    string    `json:"note,omitempty"`
	Fields  []string  `json:"fields" doc:"Fields of the lane that read what the edit changed; they may come to the same even so"`
}

// ExplainedListing is where the listing stands.
type ExplainedListing struct {
	Want           int64      `json:"want" doc:"Rises whenever something relevant changes"`
	Dirty          bool       `json:"dirty" doc:"true: something is still to be sent, asked for, or confirmed"`
	DirtySince     *time.Time `json:"dirty_since,omitempty"`
	DueAt          *time.Time `json:"due_at,omitempty"`
	Wanted         int64      `json:"wanted_revision"`
	Acknowledged   int64      `json:"acknowledged_revision"`
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty"`
	SettlesAt      *time.Time `json:"settles_at,omitempty" doc:"An answer was lost: until then what was sent may still take effect, and then it is sent once more to be sure"`
	Attempts       int        `json:"attempts" doc:"Failures since the last success"`
}

// ExplainedAttempt is the last attempt to send it, with the requests of it that
// were kept.
type ExplainedAttempt struct {
	At        time.Time           `json:"at"`
	Revision  int64               `json:"revision"`
	TookMS    float64             `json:"took_ms,omitempty" doc:"All its requests together; absent where none was kept"`
	Exchanges []ExplainedExchange `json:"exchanges" doc:"The last of them first, those that asked for a ticket's outcome included; see the channel's exchanges for what was said"`
}

// ExplainedExchange is one request, told whole by its ID.
type ExplainedExchange struct {
	ID      int64     `json:"id"`
	Attempt int64     `json:"attempt"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Status  int       `json:"status"`
	Failed  bool      `json:"failed"`
	TookMS  float64   `json:"took_ms"`
}

// ExplainedAnswer is what came of it.
type ExplainedAnswer struct {
	At          time.Time   `json:"at"`
	Verdict     string      `json:"verdict" doc:"As a listing's receipt; incomplete: our own check refused it, and nothing was sent"`
	Revision    int64       `json:"revision"`
	Error       string      `json:"error,omitempty"`
	Issues      []pim.Issue `json:"issues"`
	TicketSince *time.Time  `json:"ticket_since,omitempty" doc:"Since when the target has it and is to say what became of it"`
}

// Explain says why a product is or is not live on a channel. The error is
// postgres.ErrNotFound of the channel; that there is no such product is an answer.
func (c *Channels) Explain(ctx context.Context, code pim.ChannelCode, sku pim.SKU) (*Explanation, error) {
	e, err := c.store.Explain(ctx, code, sku)
	if err != nil {
		return nil, err
	}
	out := &Explanation{Channel: code, SKU: sku, At: e.Now, OnTarget: OnTargetNo, Lanes: []LaneExplanation{}}
	if e.Product == nil {
		out.Because = Because{Reason: ReasonUnknownProduct, Text: "there is no product with this SKU"}
		return out, nil
	}
	if !e.Channel.HasConnector() { // no lane has a listing, and no consumer
		out.Because = Because{Reason: ReasonNoConnector, Text: "the channel has no connector: nothing is sent until it is given one"}
		return out, nil
	}
	if kind, err := c.registry.Kind(e.Channel.Connector); err == nil {
		e.Parents = kind.ParentField != ""
	}
	schema, err := c.store.RefreshSchema(ctx) // beside the snapshot: locations hardly change
	if err != nil {
		return nil, err
	}
	program := c.explainedProgram(e.Channel)
	first := true
	for i := range e.Lanes {
		l := &e.Lanes[i]
		x := LaneExplanation{Lane: l.Lane, State: listingState(l), OnTarget: onTarget(l), Because: because(e, l), Chain: chain(e, l, program)}
		if sale, kept := schema.Sells(e.Stock, e.Channel.Locations, e.Channel.Policy.Stock); kept && l.Lane == pim.Offer && l.Mapped {
			x.Stock = &sale
		}
		if x.Reason == ReasonQueued {
			x.Ahead = l.Ahead
			if l.Ahead < postgres.MaxAhead && !l.Urgent { // what is sold out passes what others wait for; by a pace that is read now, beside the snapshot: it is a guess anyway
				if x.ETA, _, err = c.ETA(ctx, e.Channel, l.Lane, int64(l.Ahead)); err != nil {
					return nil, err
				}
			}
		}
		if first && l.Mapped {
			out.OnTarget, first = x.OnTarget, false
		}
		out.Lanes = append(out.Lanes, x)
	}
	out.conclude()
	return out, nil
}

// conclude tells what a lane waits for that waits for another, and takes the
// reason of the first lane that something is still to be said of.
func (x *Explanation) conclude() {
	content := slices.IndexFunc(x.Lanes, func(l LaneExplanation) bool { return l.Lane == pim.Content })
	for i := range x.Lanes {
		if l := &x.Lanes[i]; l.Reason == ReasonWaitsForContent && content >= 0 && !x.Lanes[content].Reason.Fine() {
			l.Text += "; and that: " + x.Lanes[content].Text
			l.Until = x.Lanes[content].Until
		}
	}
	at := slices.IndexFunc(x.Lanes, func(l LaneExplanation) bool { return !l.Reason.Fine() })
	if at < 0 {
		at = max(0, slices.IndexFunc(x.Lanes, func(l LaneExplanation) bool { return l.Reason != ReasonNotMapped }))
	}
	x.Because = x.Lanes[at].Because
}

// explainedProgram is the channel's mapping as the snapshot has it; nil where it
// cannot be read any more.
func (c *Channels) explainedProgram(ch *postgres.Channel) *connectors.Program {
	c.mu.Lock()
	t := c.open[ch.ID]
	c.mu.Unlock()
	if t != nil && t.Version == ch.Version {
		return t.Program
	}
	var m connectors.Mapping
	if json.Unmarshal(ch.Mapping, &m) != nil {
		return nil
	}
	p, err := connectors.Compile(m)
	if err != nil {
		return nil
	}
	return p
}

// listingState is the listing's state as lists show it.
func listingState(l *postgres.ExplainedLane) pim.ListingState {
	switch {
	case l.Dirty && l.Token:
		return pim.StatePending
	case l.Dirty:
		return pim.StateWaiting
	case l.Error != "":
		return pim.StateRejected
	case l.Status == "":
		return pim.StateNone
	}
	return pim.ListingState(l.Status)
}

func onTarget(l *postgres.ExplainedLane) OnTarget {
	switch {
	case l.Settle != nil || l.Token:
		return OnTargetUncertain
	case l.Lane != pim.Content && !l.ContentBorn && l.ContentStatus != "": // it went with the content, if it was there
		return OnTargetNo
	case l.Status == string(pim.StateLive):
		return OnTargetLive
	case l.Status == string(pim.StateAccepted), l.Status == string(pim.StateSoldOut):
		return OnTargetAccepted
	}
	return OnTargetNo
}

func chain(e *postgres.Explained, l *postgres.ExplainedLane, p *connectors.Program) (c Explanatory) {
	if x := l.Event; x != nil {
		changed := eventAttributes(x.Data)
		c.Edit = &ExplainedEdit{Event: x.ID, At: x.At, Type: x.Type, Actor: x.Actor, SKU: x.SKU, Revision: x.Revision, Attributes: changed}
		if l.Mapped {
			c.Rule = &ExplainedRule{Version: e.Mapping.Version, Since: e.Mapping.At, Actor: e.Mapping.Actor, Note: e.Mapping.Note, Fields: []string{}}
			if p != nil {
				read := changed
				if x.Type == pim.EventProductCreated || x.Type == pim.EventProductDeleted {
					read = nil // everything is another
				}
				c.Rule.Fields = p.Fields(l.Lane, pim.LanesOf(x.Lanes...), read)
			}
		}
	}
	if !l.Listed {
		return c
	}
	c.Listing = &ExplainedListing{
		Want: l.Want, Dirty: l.Dirty, Wanted: l.Wanted, Acknowledged: l.Acked, AcknowledgedAt: l.AckedAt, SettlesAt: l.Settle, Attempts: l.Attempts,
	}
	if l.Dirty {
		c.Listing.DirtySince, c.Listing.DueAt = &l.DirtyAt, l.Due
	}
	if l.Receipt == nil {
		return c
	}
	if l.Verdict != verdictIncomplete {
		c.Attempt = &ExplainedAttempt{At: *l.Receipt, Revision: l.ReceiptRev, Exchanges: []ExplainedExchange{}}
		for _, x := range l.Exchanges {
			c.Attempt.Exchanges = append(c.Attempt.Exchanges, ExplainedExchange{
				ID: x.ID, Attempt: x.Attempt, At: x.At, Kind: x.Kind, Status: x.Status, Failed: x.Failed, TookMS: x.TookMS,
			})
			if x.Attempt == l.Exchanges[0].Attempt {
				c.Attempt.At = x.At
				c.Attempt.TookMS += x.TookMS
			}
		}
	}
	c.Answer = &ExplainedAnswer{At: *l.Receipt, Verdict: l.Verdict, Revision: l.ReceiptRev, Error: l.Error, Issues: append([]pim.Issue{}, l.Issues...)}
	if l.Token {
		c.Answer.TicketSince = l.SentAt
	}
	return c
}

// eventAttributes are the attributes whose values an event changed.
func eventAttributes(data json.RawMessage) []string {
	var changed struct {
		Values map[string]json.RawMessage `json:"values"`
	}
	if json.Unmarshal(data, &changed) != nil {
		return []string{}
	}
	names := slices.AppendSeq([]string{}, maps.Keys(changed.Values))
	slices.Sort(names)
	return names
}
