package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// This file decides, for one listing, what is to be done with it and what an
// answer means for it. It is pure: no clock, no I/O.
//
// The in-doubt rule. A timeout, a reset, a 5xx or a crash leaves the target's
// state unknown, and a late request can be applied after a newer one. So an
// uncertain outcome sets settle_at, now plus the channel's settle time. While a
// listing is in doubt it is never skipped for its hash; a success before
// settle_at stores no hash and leaves the listing dirty, due at settle_at; a
// success of a request begun after it confirms and ends the doubt. A vanished
// holder puts all that was dirty then in doubt in the same way. Without this,
// an edit from A to B whose answer is lost, and back to A, leaves B on the
// target for ever. Where the target can tell what it holds, the confirming push
// is replaced by a look-up begun after settle_at, if that finds exactly the
// document (lookup.go).
//
// The conflict rule. A target that refuses a listing for what it holds, and names
// no time to come back, is asked what that is where it can be, and sent the listing
// once more at once, as the store has it by then: by a claim of its own, so that
// nobody who has lost the lease does it. Where that ends in a conflict, too, the
// listing has an issue and backs off.
//
// The born rule. What a target holds of offers and media goes with its content
// when that is withdrawn. born, on the content listing, is above zero while
// the target may hold the content, and grows with each new life there; the
// other lanes wait for it to be above zero, and mix it into their hashes.

//
// The tombstone rule. What leaves the channel is withdrawn as its policy says. A
// deletion or a disabling is the content's: the target is told, and the life
// ends. With zero_stock the life goes on: the content stays as it was
// acknowledged, unsent, in the state sold_out, and the offer is told to sell
// nothing, which waits for nothing. Each has a hash of its own, so that
// another policy is told to the target, too; what was deleted satisfies all.

// withdrawnAs is the hash that stands for "the target was told to drop it".
func withdrawnAs(w pim.Withdrawal) []byte {
	if w == "" {
		return []byte("withdrawn")
	}
	return []byte("withdrawn " + string(w))
}

// isWithdrawn reports whether the hash is of a withdrawal, and of which.
func isWithdrawn(hash []byte) (pim.Withdrawal, bool) {
	for _, w := range []pim.Withdrawal{"", pim.WithdrawDelete, pim.WithdrawDisable} {
		if bytes.Equal(hash, withdrawnAs(w)) {
			return w, true
		}
	}
	return "", false
}

// soldOutHash stands for "the target was told that none is left". It is the same
// whatever else the offer says: a tombstone is told once.
func soldOutHash(born int64) []byte { return hashOf([]byte("sold out"), pim.Offer, abs(born)) }

// hashOf is the hash by which a document counts as acknowledged.
func hashOf(document json.RawMessage, lane pim.Lane, born int64) []byte {
	h := sha256.New()
	h.Write(document)
	if lane != pim.Content {
		_ = binary.Write(h, binary.BigEndian, born)
	}
	return h.Sum(nil)[:16]
}

// task is a claimed listing on its way through a step.
type task struct {
	*postgres.Claimed
	lane      pim.Lane
	rev       int64 // to send
	document  json.RawMessage
	issues    []pim.Issue   // warnings of the rendering
	pending   bool          // a picture that it shows is still to be made
	held      time.Duration // until it is looked at again: a text that it would show is being made
	preflight []pim.Issue   // warnings of the connector's own check
	hash      []byte
	item      connectors.Item
	asked     bool   // the target was asked for what it holds of it
	theirs    string // the version that it named then
}

// doubt reports whether an earlier request may have taken, or may yet take,
// effect without our knowing.
func (t *task) doubt() bool { return t.SettleAt != nil || t.Unsure }

// round is what the tasks of one step share.
type round struct {
	now     time.Time // the database's clock at the claim
	unsure  time.Time // when the last holder vanished
	settle  time.Duration
	elapsed func() time.Duration // since the claim

	withdrawal pim.Withdrawal // the channel's policy
}

// settleUntil is when the task's doubt ends; nil: it is in none.
func (r *round) settleUntil(t *task) *time.Time {
	at := t.SettleAt
	if t.Unsure {
		if after := r.unsure.Add(r.settle); at == nil || at.Before(after) {
			at = &after
		}
	}
	return at
}

// keep is the outcome that changes nothing yet.
func (t *task) keep() postgres.Outcome {
	o := postgres.Outcome{
		Product: t.Product, Want: t.Want, SettleAt: t.SettleAt, Born: t.Born, Attempts: t.Attempts, Rev: t.rev, Issues: t.issues,
	}
	if t.lane != pim.Content {
		o.Born = 0 // born is the content row's
	}
	return o
}

// sellsOut reports whether the task is of an offer that is told to sell nothing,
// since its product leaves the channel by the policy zero_stock.
func (r *round) sellsOut(t *task) bool {
	return t.lane == pim.Offer && r.withdrawal == pim.WithdrawZeroStock && (t.Gone || t.SoldOut)
}

// kept is what stays known of an offer or a picture whose product left the channel:
// what was acknowledged, unless the target was told to delete the product.
func (r *round) kept(t *task) []byte {
	if r.withdrawal == pim.WithdrawDelete {
		return nil
	}
	return t.AckedHash
}

// plan decides whether the task is to be sent. If not, the outcome says what
// becomes of it. The document is rendered already, unless the product is gone.
func (r *round) plan(t *task) (outcome postgres.Outcome, send bool) {
	o := t.keep()
	never := t.AckedHash == nil && (t.Status == "" || t.Status == string(pim.StateNone)) && !t.doubt() && (t.lane != pim.Content || t.Born <= 0)
	switch {
	case r.sellsOut(t) && (t.doubt() || t.Born > 0 && (!never || t.Status != "") || t.SoldOut && !never):
		// Of an offer that counts as none, the target may have kept the stock with what
		// it was told to hide, and show both again. What stays hidden sells nothing.
		if t.document == nil {
			t.document = json.RawMessage("{}")
		}
		t.hash = soldOutHash(t.Born)
		t.item = connectors.Item{SKU: t.SKU, Lane: t.lane, Revision: t.rev, Action: connectors.SellOut, Document: t.document}
	case t.lane != pim.Content && t.SoldOut:
		// The target keeps what it has until the content, which wakes it, has ended that.
		o.Ack, o.Hash, o.SettleAt = true, t.AckedHash, r.settleUntil(t)
		return o, false
	case t.Gone && t.lane == pim.Media && r.withdrawal == pim.WithdrawZeroStock && t.Born > 0 && !never:
		o.Ack, o.Hash, o.SettleAt = true, t.AckedHash, r.settleUntil(t)
		return o, false
	case t.Gone && t.lane != pim.Content:
		// It goes with the content's withdrawal. If it comes back it is born anew. What
		// the target keeps with what it hides is not forgotten: should nothing of the
		// lane be wanted by then, that has to be told.
		o.Ack, o.Hash, o.SettleAt, o.Status = true, r.kept(t), r.settleUntil(t), string(pim.StateNone)
		return o, false
	case t.Gone:
		if outcome, done := r.withdraw(t, o, never); done {
			return outcome, false
		}
	case t.lane != pim.Content && t.Born <= 0 && t.Unsent:
		// Nothing of it is wanted there. Should its content be, that is born and wakes it.
		o.Ack, o.Hash, o.Status = true, r.kept(t), string(pim.StateNone)
		return o, false
	case t.lane != pim.Content && t.Born <= 0:
		o.Again, o.After = true, postgres.Forever
		return o, false
	case t.held > 0:
		// Better a moment later than twice, and not first with what the mapping falls
		// back to: what becomes of the text wakes it.
		o.Again, o.After = true, t.held
		return o, false
	case t.document == nil && never:
		o.Ack, o.Status = true, string(pim.StateNone)
		o.Wakes = t.lane == pim.Content && t.Status == "" // what waits for it waits for nothing
		return o, false
	case t.document == nil && t.lane == pim.Content:
		// The mapping makes nothing of it any more, as if it were gone.
		if outcome, done := r.withdraw(t, o, never); done {
			return outcome, false
		}
	default:
		if t.document == nil {
			t.document = json.RawMessage("{}")
		}
		if t.pending && t.lane == pim.Media && !t.doubt() {
			// Better a moment later than twice: what makes its pictures complete wakes it.
			o.Again, o.After = true, pendingMost
			return o, false
		}
		t.hash = hashOf(t.document, t.lane, t.Born)
		t.item = connectors.Item{SKU: t.SKU, Lane: t.lane, Revision: t.rev, Action: connectors.Upsert, Document: t.document}
	}
	// Else its acknowledgement begins a new life, or ends that it is sold out.
	lives := t.lane != pim.Content || t.item.Action.Withdraws() || t.Born > 0 && !t.SoldOut
	if !t.doubt() && lives && bytes.Equal(t.hash, t.AckedHash) {
		o.Ack, o.Hash, o.Attempts = true, t.hash, 0
		o.Wakes = t.item.Action.Withdraws() // what was claimed meanwhile waits for what is not coming
		return o, false
	}
	return o, true
}

// withdraw is the plan for content that leaves the channel. done: nothing is to
// be sent of it, and o says what becomes of it.
func (r *round) withdraw(t *task, o postgres.Outcome, never bool) (outcome postgres.Outcome, done bool) {
	was, off := isWithdrawn(t.AckedHash)
	switch {
	case never:
		o.Ack, o.Status = true, string(pim.StateNone)
		return o, true
	case off && !t.doubt() && (was == pim.WithdrawDelete || r.withdrawal == pim.WithdrawZeroStock):
		// What is deleted can be neither hidden nor sold, and what is hidden is not shown
		// again to say that it is sold out.
		o.Ack, o.Hash, o.Attempts = true, t.AckedHash, 0
		o.Wakes = true // what was claimed meanwhile waits for what is not coming
		return o, true
	case r.withdrawal == pim.WithdrawZeroStock:
		o.Ack, o.Hash, o.SettleAt, o.Status, o.Attempts = true, t.AckedHash, r.settleUntil(t), string(pim.StateSoldOut), 0
		o.Wakes = true // it is for the offer to tell
		return o, true
	}
	t.hash = withdrawnAs(r.withdrawal)
	t.item = connectors.Item{SKU: t.SKU, Lane: t.lane, Revision: t.rev, Action: connectors.Withdrawing(r.withdrawal)}
	return o, false
}

// took is the outcome of an answer without an error.
func (r *round) took(t *task, res connectors.Result, pollEvery time.Duration) postgres.Outcome {
	o := t.keep()
	o.Heard, o.Verdict, o.Issues = true, string(res.Status), slices.Concat(t.issues, res.Issues)
	withdraw := t.item.Action.Withdraws()
	until := r.settleUntil(t)
	confirmed := until == nil || !r.now.Before(*until)
	if res.Status == connectors.Pending {
		o.Again, o.Hold, o.After = true, true, max(res.After, 0)
		if res.After <= 0 {
			o.After = pollEvery
		}
		o.SettleAt = until
		o.Token, o.SentRev, o.SentWant = &res.Token, t.rev, t.Want
		if confirmed {
			o.SentHash = t.hash // else the ticket's success will not be the last word
		}
		if withdraw && t.lane == pim.Content {
			o.Born = -abs(t.Born) // it may vanish at any moment
		}
		return o
	}
	r.acknowledge(&o, t.hash, confirmed, until)
	o.Status = string(res.Status)
	switch {
	case withdraw:
		o.Status = string(pim.StateWithdrawn)
	case t.item.Action == connectors.SellOut:
		o.Status = string(pim.StateSoldOut)
	}
	if t.lane == pim.Content {
		bear(&o, t, withdraw, confirmed, res.Anew)
	}
	return o
}

// acknowledge fills in what a success means under doubt.
func (r *round) acknowledge(o *postgres.Outcome, hash []byte, confirmed bool, until *time.Time) {
	o.Ack, o.Attempts = true, 0
	if confirmed {
		o.Hash, o.SettleAt = hash, nil
		return
	}
	o.SettleAt = until
	o.Again, o.After = true, until.Sub(r.now)-r.elapsed()
	if o.After < 0 {
		o.After = 0
	}
}

// bear keeps count of the content's lives on the target; anew is what that said.
func bear(o *postgres.Outcome, t *task, withdraw, confirmed, anew bool) {
	switch {
	case withdraw:
		o.Born = -abs(t.Born)
		o.Wakes = true // offers and media have gone along: their listings shall say so
	case t.Born <= 0 || anew || t.Unsure || t.SettleAt != nil && confirmed: // a late withdrawal may have come in between
		o.Born = max(t.Want, abs(t.Born)+1)
		o.Wakes = true
	case t.SoldOut:
		o.Wakes = true // it is for sale again
	}
}

// failed is the outcome of an error that is this listing's own.
func (r *round) failed(t *task, err error) postgres.Outcome {
	e := connectors.AsError(err)
	o := t.keep()
	o.Heard, o.Verdict, o.Issues = true, string(e.Verdict), slices.Concat(t.issues, e.Issues)
	text := errorText(e)
	o.Error = &text
	if t.Unsure {
		o.SettleAt = r.settleUntil(t)
	}
	if e.Uncertain {
		until := r.now.Add(r.elapsed() + r.settle)
		o.SettleAt = &until
		if t.item.Action.Withdraws() {
			o.Born = -abs(t.Born)
		}
	}
	switch e.Verdict {
	case connectors.Validation, connectors.Permanent:
		// Parked, until something relevant changes.
		o.Attempts = t.Attempts + 1
	case connectors.Throttled:
		o.Again, o.Hold, o.After = true, true, e.After
		if o.After <= 0 {
			o.After = throttleDefault
		}
	default: // conflict, or unavailable for this item alone
		// Not held: an edit made meanwhile is another document, and is tried at once.
		o.Again = true
		o.Attempts = t.Attempts + 1
		o.After = max(e.After, backoff(o.Attempts))
		switch conflict := e.Verdict == connectors.Conflict && e.After <= 0; {
		case conflict && t.conflicted():
			o.Issues = append(o.Issues, t.conflict(text))
		case conflict:
			o.After = 0
		}
	}
	return o
}

// issueConflict is the code of the issue of a listing that was sent once more
// after a conflict, and met another.
const issueConflict = "target.conflict"

// conflicted reports whether the last that was heard of the listing is that the
// target refused it for what it holds.
func (t *task) conflicted() bool { return t.Failed && t.Verdict == string(connectors.Conflict) }

// conflict is the issue of a task's second conflict in a row.
func (t *task) conflict(text string) pim.Issue {
	said := "The target refuses it for what it holds"
	if t.theirs != "" {
		said += ", which is version " + t.theirs
	}
	return pim.Issue{Code: issueConflict, Severity: pim.SeverityError, Text: said + ", and did so again when it was made anew and sent once more: " + text}
}

// down is the outcome of a call that failed as a whole because of the target:
// the listing is in doubt, burns no attempt, and waits for the channel.
func (r *round) down(t *task, err error) postgres.Outcome {
	if t.Token != "" {
		o := r.refused(t, err)
		o.Attempts = t.Attempts
		return o
	}
	o := r.failed(t, err)
	o.Attempts = t.Attempts
	o.Again, o.Hold, o.After = true, false, 0 // the channel's row holds it back
	return o
}

// pendingMost is after how long a listing whose pictures are still being made
// is looked at even if nothing woke it.
const pendingMost = 10 * time.Minute

// backoff is how long a listing waits after its n-th failure in a row, the
// first being 1.
func backoff(n int) time.Duration {
	return min(time.Second<<min(max(n-1, 0), 20), 10*time.Minute)
}

// errorText is what people read; the target's own words are in it.
func errorText(e *connectors.Error) string {
	text := string(e.Verdict)
	if e.Err != nil {
		text = e.Err.Error()
	}
	if nested, ok := errors.AsType[*connectors.Error](e.Err); ok && nested.Err != nil {
		text = nested.Err.Error()
	}
	return strings.ToValidUTF8(strings.ReplaceAll(text[:min(len(text), 1000)], "\x00", ""), "")
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
