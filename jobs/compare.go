package jobs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/blob"
	"github.com/sluicehub/sluice/pim/postgres"
)

// This file finds what a target should hold, and says how what it holds differs.

const (
	// walksMost is how many documents of one page are looked for in the products'
	// histories, which costs the database; the others are what the products are now.
	walksMost = 20
	// driftFields and driftValue bound what is kept of one listing's drift: fields,
	// and bytes of a value.
	driftFields = 50
	driftValue  = 2000
	driftText   = 200
)

// expectation is one listing's document as the target should hold it.
type expectation struct {
	v    *postgres.Surveyed
	item connectors.Item
	out  bool // nothing can be said of it
	moot bool // and what was said of an earlier acknowledgement is over
	held connectors.Held
}

// atRest reports whether nothing of the listing is under way.
func atRest(v *postgres.Surveyed, now time.Time, settle time.Duration) bool {
	return v.Listed && !v.Dirty && v.Token == "" && v.SettleAt == nil && !v.Unsure && v.Error == "" &&
		v.AckedAt != nil && v.AckedHash != nil && now.Sub(*v.AckedAt) > settle
}

// leaves reports whether a listing was told to leave its channel, or is to stay
// there as it is while another lane is told so.
func leaves(v *postgres.Surveyed) bool { return v.SoldOut || tombstoneOf(v) != connectors.Upsert }

// tombstoneOf is the action that the acknowledgement is of: a tombstone, or Upsert.
func tombstoneOf(v *postgres.Surveyed) connectors.Action {
	if w, ok := isWithdrawn(v.AckedHash); ok && v.Lane == pim.Content {
		return connectors.Withdrawing(w)
	}
	if v.Lane == pim.Offer && bytes.Equal(v.AckedHash, soldOutHash(v.Born)) {
		return connectors.SellOut
	}
	return connectors.Upsert
}

// expected gives what the target should hold of a survey's listings that were
// ever acknowledged.
func (c *Channels) expected(ctx context.Context, t *Target, survey *postgres.Survey) (list []*expectation, err error) {
	schema, err := c.store.SchemaOf(ctx, survey.Schema)
	if err != nil {
		return nil, err
	}
	products := byProduct(survey.Items)
	shown := make([]*connectors.Subject, len(products))
	var none *subjects
	for i := range products {
		shown[i], _ = none.subject(&products[i][0].Claimed) // what cannot be decoded is left out
	}
	if err := c.tell(ctx, t, shown); err != nil {
		return nil, err
	}
	if err := c.relate(ctx, shown, schema); err != nil {
		return nil, err
	}
	if err := c.associate(ctx, t, shown, schema); err != nil {
		return nil, err
	}
	if err := c.illustrate(ctx, t, shown, schema); err != nil {
		return nil, err
	}
	past, cancel := context.WithTimeout(ctx, pastTime)
	defer cancel()
	walks := 0
	for i, lanes := range products {
		for k := range lanes {
			v := &lanes[k]
			if v.AckedAt == nil {
				continue
			}
			e := &expectation{v: v, item: connectors.Item{SKU: v.SKU, Lane: v.Lane, Revision: max(v.Acked, 1), Action: connectors.Upsert}}
			list = append(list, e)
			if v.AckedHash == nil || v.Gone && !leaves(v) { // it went along with its content, or is on the road again
				e.out, e.moot = true, !v.Dirty && v.Token == "" && v.Error == ""
				continue
			}
			if !atRest(v, survey.Now, t.Settle) {
				e.out = true
				continue
			}
			if e.item.Action = tombstoneOf(v); e.item.Action.Tombstone() {
				continue
			}
			if e.item.Document, err = c.acknowledgedAs(ctx, past, t, v, shown[i], schema, survey.Now, &walks); err != nil {
				return nil, err
			}
			// Of a document without fields nothing can differ but what nobody sent.
			e.moot = string(e.item.Document) == "{}"
			e.out = e.item.Document == nil || e.moot
		}
	}
	return list, c.named(ctx, t, list)
}

// acknowledgedAs is the document whose hash the acknowledgement has, else what
// the product is now; nil where that cannot be made.
func (c *Channels) acknowledgedAs(ctx, searching context.Context, t *Target, v *postgres.Surveyed, subject *connectors.Subject, schema *pim.Schema, now time.Time, walks *int) (json.RawMessage, error) {
	if subject == nil || !t.Program.Lanes().Has(v.Lane) {
		return nil, nil
	}
	document, err := t.Program.Render(ctx, v.Lane, subject, schema, t.Scope(now))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		document = nil // it may have been another one that was sent
	} else if document == nil {
		document = json.RawMessage("{}")
	}
	if document != nil && bytes.Equal(hashOf(document, v.Lane, abs(v.Born)), v.AckedHash) || *walks >= walksMost {
		return document, nil
	}
	*walks++
	programs, err := c.programsAt(searching, t, *v.AckedAt)
	if err != nil {
		return document, ignoreTimeout(searching, err)
	}
	past, _, err := c.walkBack(searching, t, v, programs, schema)
	if err != nil {
		return document, ignoreTimeout(searching, err)
	}
	if past != nil {
		return past, nil
	}
	return document, nil
}

// ignoreTimeout drops the error of a search that had no time left.
func ignoreTimeout(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return nil
	}
	return err
}

// named puts the target's names for our files in the place of our addresses, as
// they were sent.
func (c *Channels) named(ctx context.Context, t *Target, list []*expectation) error {
	_, uploads := t.Connector.(connectors.Uploader)
	if m := c.media; m == nil || !uploads || t.links.Load() {
		return nil
	}
	documents := map[*expectation]map[string]any{}
	var hashes [][]byte
	for _, e := range list {
		if e.out || !bytes.Contains(e.item.Document, []byte(filesPath)) {
			continue
		}
		document, err := connectors.DecodeDocument(e.item.Document)
		if err != nil {
			continue
		}
		walkTexts(document, func(text string) string {
			if h, _, ok := c.media.fileAt(text); ok {
				documents[e] = document
				hashes = append(hashes, h[:])
			}
			return text
		})
	}
	if len(hashes) == 0 {
		return nil
	}
	remote, err := c.store.Uploads(ctx, t.ID, hashes)
	if err != nil {
		return err
	}
	name := func(h blob.Hash, text string) string { return cmp.Or(remote[h.String()], text) }
	for e, document := range documents {
		walkTexts(document, func(text string) string {
			if h, _, ok := c.media.fileAt(text); ok {
				return name(h, text)
			}
			return text
		})
		e.item.Document = pim.AppendJSON(nil, document)
	}
	return nil
}

// ignoreHidden stands among the fields that may differ for whether it is shown.
const ignoreHidden = "shown"

// comparison says what the target's answer means for the listing.
func (e *expectation) comparison(policy pim.Reconcile) postgres.Comparison {
	k := postgres.Comparison{Product: e.v.Product, Lane: e.v.Lane, Want: e.v.Want, AckedAt: *e.v.AckedAt}
	issue := func(code, attribute, format string, args ...any) {
		k.Issues = append(k.Issues, pim.Issue{Code: code, Severity: pim.SeverityWarning, Attribute: attribute, Text: fmt.Sprintf(format, args...)})
	}
	withdrawn := e.item.Action.Tombstone()
	// Of what the target hides nothing is sold, whatever stock it has.
	absent := e.held.Presence == connectors.Absent || e.item.Action == connectors.SellOut && e.held.Presence == connectors.Hidden
	switch {
	case withdrawn && !absent:
		k.Kind = pim.DriftPresent
		issue("drift.present", "", "%s", stillThere(e.item.Action))
	case absent && !withdrawn:
		k.Kind = pim.DriftAbsent
		issue("drift.absent", "", "The target does not hold it any more, though it acknowledged it.")
	case withdrawn:
	default:
		fields, err := differences(e.item.Document, e.held.Document)
		if err != nil {
			break
		}
		var told map[string]json.RawMessage
		_ = json.Unmarshal(e.held.Document, &told) // differences could
		for _, f := range fields {
			if _, ok := told[f.Field]; !ok || f.Old == nil || policy.Ignores(e.v.Lane, f.Field) {
				continue // it cannot be told, or nobody sent it, or it may differ
			}
			k.Kind = pim.DriftChanged
			if len(k.Fields) == driftFields {
				break
			}
			k.Fields = append(k.Fields, pim.DriftField{Field: f.Field, Sent: bounded(f.Old), Held: bounded(f.New)})
			issue("drift.field", f.Field, "The target holds %s where it had acknowledged %s.", shortened(f.New), shortened(f.Old))
		}
		if k.Kind == "" && e.v.Lane == pim.Content && e.held.Presence == connectors.Hidden && pim.ListingState(e.v.Status) == pim.StateLive && !policy.Ignores(e.v.Lane, ignoreHidden) {
			k.Kind = pim.DriftHidden
			issue("drift.hidden", "", "The target holds it and shows it to nobody, though it had said that it does.")
		}
	}
	return k
}

// stillThere says how a target does not hold what a tombstone leaves.
func stillThere(a connectors.Action) string {
	switch a {
	case connectors.Disable:
		return "The target shows the product, though it was told to keep it from everybody, and did."
	case connectors.SellOut:
		return "The target has stock of the product, though it was told that none is left, and took it."
	}
	return "The target holds the product, though it was told to drop it, and did."
}

// bounded bounds a value; what is longer becomes a text that says so.
func bounded(v json.RawMessage) json.RawMessage {
	if len(v) <= driftValue {
		return v
	}
	return pim.AppendJSONString(nil, string(bytes.ToValidUTF8(v[:driftValue], nil))+"…")
}

// shortened is a value for a line of text.
func shortened(v json.RawMessage) string {
	if len(v) <= driftText {
		return string(v)
	}
	return string(bytes.ToValidUTF8(v[:driftText], nil)) + "…"
}
