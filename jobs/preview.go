package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Outlook is what would become of a listing if its drain came to it now.
type Outlook string

// The outlooks.
const (
	OutlookSend      Outlook = "send"      // its document differs from what was acknowledged
	OutlookConfirm   Outlook = "confirm"   // it does not, but whether the target holds it is uncertain: it is sent again
	OutlookWithdraw  Outlook = "withdraw"  // the target is told to drop it
	OutlookSame      Outlook = "same"      // the target holds it so already
	OutlookWithdrawn Outlook = "withdrawn" // not for the channel, and not on the target
	OutlookEmpty     Outlook = "empty"     // there is nothing to send, and nothing there to empty
	OutlookWaits     Outlook = "waits"     // until the target holds the product's content
	OutlookPending   Outlook = "pending"   // until the target tells what became of what it has
	OutlookRefused   Outlook = "refused"   // by the mapping, the connector's check or, as it stands, by the target
)

// Outlooks in the order in which people read them.
var Outlooks = []Outlook{
	OutlookSend, OutlookConfirm, OutlookWithdraw, OutlookSame, OutlookWithdrawn, OutlookEmpty, OutlookWaits, OutlookPending, OutlookRefused,
}

// reasons say an outlook in words.
var reasons = map[Outlook]string{
	OutlookSend:      "its document is not what was acknowledged last",
	OutlookConfirm:   "it is what was acknowledged last, but an answer was lost since: it is sent once more",
	OutlookWithdraw:  "the product leaves the channel: the target is told",
	OutlookSame:      "the target holds it so already",
	OutlookWithdrawn: goneWhy + ", and the target does not hold it",
	OutlookEmpty:     "its document has no field, and nothing was sent that would have to be emptied",
	OutlookWaits:     "it waits until the target holds the product's content",
	OutlookPending:   "the target has a ticket: it is asked for the outcome first",
	OutlookRefused:   "its document is not fit to be sent",
}

// Preview is one product as a channel would get it, lane by lane.
type Preview struct {
	SKU     pim.SKU
	Channel pim.ChannelCode
	Paused  bool // nothing is sent until the channel is resumed
	Lanes   []LanePreview
}

// LanePreview is one lane of a Preview.
type LanePreview struct {
	Lane     pim.Lane
	Outlook  Outlook
	Reason   string
	Revision int64           // with which it would be sent
	Document json.RawMessage // nil: there is none, or it cannot be made
	Issues   []pim.Issue
	// Acknowledged is nil where the target has never taken anything.
	Acknowledged *Acknowledged
	// Differences are by field, from what was acknowledged to what is now; nil
	// where either is not known.
	Differences []FieldDifference
}

// Acknowledged is what a target took last of a listing.
type Acknowledged struct {
	Revision int64
	At       time.Time
	Status   string          // accepted, live or withdrawn
	Document json.RawMessage // nil: see Reason
	Reason   string          // why there is no document
}

// FieldDifference is a field of a document that differs; Old or New is nil where
// the field was, or is, not there.
type FieldDifference struct {
	Field    string
	Old, New json.RawMessage
}

// Preview renders a product as the channel's drains would, by the channel's
// mapping or, where m is given, by that, and finds out what was acknowledged
// last. It changes nothing and sends nothing. The error is *pim.Invalid of m,
// with pointers that begin with /mapping, or ErrNotFound of channel or product.
func (c *Channels) Preview(ctx context.Context, code pim.ChannelCode, sku pim.SKU, m *connectors.Mapping) (*Preview, error) {
	saved, tried, err := c.trial(ctx, code, m)
	if err != nil {
		return nil, err
	}
	survey, err := c.store.SurveyOne(ctx, saved.ID, sku)
	if err != nil {
		return nil, err
	}
	out := &Preview{SKU: sku, Channel: code, Paused: !saved.Enabled}
	schema, err := c.store.SchemaOf(ctx, survey.Schema)
	if err != nil {
		return nil, err
	}
	var waits map[pim.ProductID]textWait
	subject, decoding := c.decoded.subject(&survey.Items[0].Claimed)
	if decoding == nil {
		if err := c.tell(ctx, saved, []*connectors.Subject{subject}); err != nil {
			return nil, err
		}
		if err := c.relate(ctx, []*connectors.Subject{subject}, schema); err != nil {
			return nil, err
		}
		if err := c.associate(ctx, saved, []*connectors.Subject{subject}, schema); err != nil {
			return nil, err
		}
		if err := c.illustrate(ctx, saved, []*connectors.Subject{subject}, schema); err != nil {
			return nil, err
		}
		if waits, err = c.surveyedWaits(ctx, tried, survey, survey.Items, []*connectors.Subject{subject}, schema); err != nil {
			return nil, err
		}
	}
	past, cancel := context.WithTimeout(ctx, pastTime)
	defer cancel()
	for i := range survey.Items {
		v := &survey.Items[i]
		now, err := tried.look(ctx, survey, v, subject, waits, decoding, schema, tried == saved)
		if err != nil {
			return nil, err
		}
		if now.outlook == OutlookSend && tried.orphan(now.task) {
			now.outlook, now.reason = OutlookWaits, fmt.Sprintf("it waits until the target holds its parent, %s, whose content is still to be there", now.Parent)
		}
		as := now
		if tried != saved {
			if as, err = saved.look(ctx, survey, v, subject, nil, decoding, schema, true); err != nil {
				return nil, err
			}
		}
		p := LanePreview{
			Lane: v.Lane, Outlook: now.outlook, Reason: now.reason, Revision: now.rev, Document: now.shown, Issues: now.told,
		}
		if p.Acknowledged, err = c.acknowledged(past, saved, v, as, schema); err != nil {
			return nil, err
		}
		if a := p.Acknowledged; a != nil && tried.Program.Lanes().Has(v.Lane) && a.Document != nil && (p.Document != nil || now.outlook != OutlookRefused) {
			if p.Differences, err = differences(a.Document, p.Document); err != nil {
				return nil, err
			}
		}
		out.Lanes = append(out.Lanes, p)
	}
	return out, nil
}

// looked is a listing with its outlook.
type looked struct {
	*task
	outlook Outlook
	reason  string
	shown   json.RawMessage
	told    []pim.Issue
}

// look works out what the drain of v's lane would do with it. saved: t's
// mapping is the channel's own, so that what the target refused by it stays
// refused. The error is only of ctx.
func (t *Target) look(
	ctx context.Context, survey *postgres.Survey, v *postgres.Surveyed, subject *connectors.Subject, waits map[pim.ProductID]textWait, failed error, schema *pim.Schema, saved bool,
) (*looked, error) {
	k := &looked{task: &task{Claimed: &v.Claimed, lane: v.Lane}}
	k.rev = k.revision(t.Program.Inputs(v.Lane))
	r := round{
		now: survey.Now, unsure: survey.Gone[v.Lane], settle: t.Settle, elapsed: func() time.Duration { return 0 }, withdrawal: t.Policy.Withdrawal,
	}
	if r.sellsOut(k.task) {
		if failed = t.projectSoldOut(ctx, k.task, subject, schema, t.Scope(survey.Now)); failed != nil {
			return nil, failed
		}
	} else if !k.Gone && failed == nil {
		failed = t.project(ctx, k.task, subject, schema, t.Scope(survey.Now))
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	if w, waiting := waits[k.Product]; waiting && k.first() {
		shown := k.document
		k.hold(w)
		k.document, failed = shown, nil
	}
	k.shown, k.told = k.document, slices.Concat(k.issues, k.preflight)
	_, send := r.plan(k.task)
	switch {
	case k.Token != "":
		k.is(OutlookPending)
	case !k.Gone && k.lane != pim.Content && !t.Program.Lanes().Has(k.lane) && !(v.Listed && v.Dirty):
		k.is(OutlookEmpty)
		k.reason = "the mapping has nothing of this lane: nothing is sent, and the target keeps what it holds"
	case !k.Gone && (k.document != nil || failed != nil) && !v.Listed && !v.Has && !t.Program.Inputs(k.lane).Has(pim.Content):
		k.is(OutlookEmpty)
		k.reason = "the product has nothing of this lane, whatever the mapping makes of that: nothing is sent"
		k.shown, k.told = nil, nil
	case k.held > 0:
		k.is(OutlookWaits)
		k.reason = "a text that it would show for the first time is still being made"
	case !k.Gone && failed != nil:
		k.is(OutlookRefused)
		e := connectors.AsError(failed)
		if k.told = e.Issues; len(k.told) == 0 {
			k.told = []pim.Issue{{Code: "mapping.error", Severity: pim.SeverityError, Text: errorText(e)}}
		}
	case saved && v.Listed && !v.Dirty && v.Error != "":
		k.is(OutlookRefused)
		k.reason, k.told = "the target refused it, and nothing has changed since: "+v.Error, v.Issues
	case send && k.item.Action.Tombstone():
		k.is(OutlookWithdraw)
		k.reason = leavingText(t.Policy.Withdrawal, k.Gone)
	case send && bytes.Equal(k.hash, k.AckedHash):
		k.is(OutlookConfirm)
	case send:
		if k.is(OutlookSend); k.AckedHash == nil {
			k.reason = "nothing that the target is known to hold was acknowledged yet"
		}
	case k.Gone || k.SoldOut || k.lane == pim.Content && k.hash == nil && pim.ListingState(k.Status) == pim.StateWithdrawn:
		k.is(OutlookWithdrawn)
		if k.SoldOut || r.withdrawal == pim.WithdrawZeroStock && k.Born > 0 {
			k.reason = "it leaves the channel, and by its policy the target keeps it, with a stock of 0"
		}
	case k.lane != pim.Content && k.Born <= 0 && k.Unsent && saved:
		k.is(OutlookEmpty)
		k.reason = "the product's content comes to nothing that would be sent, so neither is this"
	case k.lane != pim.Content && k.Born <= 0:
		k.is(OutlookWaits)
	case k.pending && k.hash == nil && !k.Gone:
		k.is(OutlookWaits)
		k.reason = "a picture that it shows is still to be fetched or made"
	case k.hash == nil:
		k.is(OutlookEmpty)
	default:
		k.is(OutlookSame)
	}
	return k, nil
}

func (k *looked) is(o Outlook) { k.outlook, k.reason = o, reasons[o] }

// differences compares two documents field by field. nil is one without fields.
func differences(old, now json.RawMessage) ([]FieldDifference, error) {
	before, after := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for document, into := range map[*json.RawMessage]*map[string]json.RawMessage{&old: &before, &now: &after} {
		if *document == nil {
			continue
		}
		if err := json.Unmarshal(*document, into); err != nil {
			return nil, err
		}
	}
	list := []FieldDifference{}
	names := slices.AppendSeq(slices.Collect(maps.Keys(before)), maps.Keys(after))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !bytes.Equal(before[name], after[name]) { // canonical, both
			list = append(list, FieldDifference{name, before[name], after[name]})
		}
	}
	return list, nil
}
