package jobs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// Reason is why a listing is as it is, in a word.
type Reason string

// The reasons. Of those that wait, the first that holds is told: what keeps all
// of a channel comes before what keeps one of its listings.
const (
	ReasonLive         Reason = "live"          // the target shows what is wanted
	ReasonAccepted     Reason = "accepted"      // the target holds it, and says no more
	ReasonNoDifference Reason = "no_difference" // the same, and its last change left the document as it was: nothing was sent for it
	ReasonEmpty        Reason = "empty"         // there is nothing to send
	ReasonNotMapped    Reason = "not_mapped"    // the channel's mapping has nothing of the lane
	ReasonDeleted      Reason = "deleted"       // the product, or its parent, is deleted, and the target does not hold it
	ReasonDisabled     Reason = "disabled"      // the product, or its parent, is disabled, and the target does not hold it
	ReasonNotPublished Reason = "not_published" // the product's window, or its parent's, is not open, and the target does not hold it
	ReasonSubModel     Reason = "sub_model"     // it is one: targets have of it what its variants have from it
	ReasonWithdrawn    Reason = "withdrawn"     // the mapping makes nothing of it any more, and the target does not hold it
	ReasonSoldOut      Reason = "sold_out"      // it left the channel, whose policy has the target keep it with a stock of 0

	ReasonUnknownProduct Reason = "unknown_product"
	ReasonNoConnector    Reason = "no_connector" // the channel has none: nothing is ever sent
	ReasonParked         Reason = "parked"       // the target refused it, and nothing has changed since
	ReasonIncomplete     Reason = "incomplete"   // our own check refused it, and nothing has changed since
	ReasonPriceHeld      Reason = "price_held"   // the target has what is in force, and another price is held until somebody approves it
	ReasonUnlisted       Reason = "unlisted"     // nothing has had it listed yet

	ReasonFanout       Reason = "fanout"        // its change is still to be fanned out to channels
	ReasonFanoutFailed Reason = "fanout_failed" // its change could not be, and is set aside
	ReasonMarking      Reason = "marking"       // the catalogue is being marked for the channel

	ReasonPaused      Reason = "paused"
	ReasonAuth        Reason = "auth"         // the target refuses our credentials
	ReasonBreakerOpen Reason = "breaker_open" // the target failed three times or more, and is probed
	ReasonFailing     Reason = "failing"      // it failed, and is left alone for a moment
	ReasonThrottled   Reason = "throttled"    // by the target
	ReasonBudget      Reason = "budget"       // which the target grants is used up
	ReasonQuota       Reason = "quota"        // of requests a day
	ReasonRate        Reason = "rate"         // of requests
	ReasonWindow      Reason = "window"       // it is not sent at this time of day
	ReasonHeld        Reason = "held"         // otherwise

	ReasonPending          Reason = "pending"            // the target has it, and is to say what became of it
	ReasonWaitsForContent  Reason = "waits_for_content"  // until the target holds the product
	ReasonWaitsForParent   Reason = "waits_for_parent"   // until the target holds the product's parent
	ReasonWaitsForPictures Reason = "waits_for_pictures" // that are still to be fetched or made
	ReasonWaitsForText     Reason = "waits_for_text"     // that is still to be translated or written
	ReasonSettling         Reason = "settling"           // an answer was lost, and it is sent once more when that has settled
	ReasonConflict         Reason = "conflict"           // the target refuses it for what it holds
	ReasonRetrying         Reason = "retrying"           // it failed, and is tried again
	ReasonDebounce         Reason = "debounce"           // further changes of it are waited for
	ReasonQueued           Reason = "queued"             // it is its turn, or soon
	ReasonNoWorker         Reason = "no_worker"          // it is its turn, and nobody works
)

// Reasons in the order in which people read them.
var Reasons = []Reason{
	ReasonLive, ReasonAccepted, ReasonNoDifference, ReasonEmpty, ReasonNotMapped, ReasonDeleted, ReasonDisabled, ReasonNotPublished, ReasonSubModel, ReasonWithdrawn, ReasonSoldOut,
	ReasonUnknownProduct, ReasonNoConnector, ReasonParked, ReasonIncomplete, ReasonPriceHeld, ReasonUnlisted, ReasonFanout, ReasonFanoutFailed, ReasonMarking,
	ReasonPaused, ReasonAuth, ReasonBreakerOpen, ReasonFailing, ReasonThrottled, ReasonBudget, ReasonQuota, ReasonRate, ReasonWindow, ReasonHeld,
	ReasonPending, ReasonWaitsForContent, ReasonWaitsForParent, ReasonWaitsForPictures, ReasonWaitsForText, ReasonSettling, ReasonConflict, ReasonRetrying, ReasonDebounce, ReasonQueued, ReasonNoWorker,
}

// Fine reports whether nothing is still to be done.
func (r Reason) Fine() bool {
	return slices.Index(Reasons, r) <= slices.Index(Reasons, ReasonSoldOut)
}

// verdictIncomplete is the verdict of a receipt for what was not sent, since our
// own check refused it.
const verdictIncomplete = "incomplete"

// because finds why the lane is as it is.
func because(e *postgres.Explained, l *postgres.ExplainedLane) Because {
	if b := unmarked(e, l); b.Reason != "" {
		return b
	}
	switch {
	case !l.Listed:
		return unlisted(e, l)
	case !l.Dirty:
		b := settled(e, l)
		if l.PriceHeld != nil && slices.Contains([]Reason{ReasonLive, ReasonAccepted, ReasonNoDifference}, b.Reason) {
			b = Because{Reason: ReasonPriceHeld, Text: b.Text + "; the guard of the price list holds another price until somebody approves it", Since: l.PriceHeld}
		}
		return b
	}
	b := rests(e, l)
	if b.Reason == "" {
		b = waits(e, l)
	}
	b.Since = &l.DirtyAt
	policy := e.Channel.Policy.Withdrawal
	switch p := e.Product; {
	case l.Lane != pim.Content && (l.Lane != pim.Offer || policy != pim.WithdrawZeroStock):
	case p.Deleted != nil || p.ParentDeleted:
		b.Text = "the product, or its parent, is deleted, and is to be " + leaving[policy] + "; " + b.Text
	case !p.Enabled || p.ParentDisabled:
		b.Text = "the product, or its parent, is disabled, and is to be " + leaving[policy] + "; " + b.Text
	case p.Closed != nil:
		b.Text = "the product is not published here" + opens(e) + ", and is to be " + leaving[policy] + "; " + b.Text
	}
	return b
}

// unmarked is for a change that its listing does not know of yet.
func unmarked(e *postgres.Explained, l *postgres.ExplainedLane) Because {
	switch {
	case l.Poisoned != nil:
		return Because{Reason: ReasonFanoutFailed, Text: "a change of it could not be fanned out to channels, and is set aside for people to look at: " + *l.Poisoned}
	case l.Dirty: // it will be looked at as it stands then
		return Because{}
	case l.Outbox != nil:
		return Because{Reason: ReasonFanout, Text: "a change of it is still to be fanned out to the channels", Since: l.Outbox}
	case e.MarkAfter != nil && int64(e.Product.ID) > *e.MarkAfter && l.Mapped && (l.Listed || l.Has):
		return Because{Reason: ReasonMarking, Text: "the whole catalogue is being looked at for this channel, and that has not come to this product yet"}
	}
	return Because{}
}

func unlisted(e *postgres.Explained, l *postgres.ExplainedLane) Because {
	switch p := e.Product; {
	case !l.Mapped:
		return Because{Reason: ReasonNotMapped, Text: "the channel's mapping has nothing of this lane: nothing is sent"}
	case p.Deleted != nil:
		return Because{Reason: ReasonDeleted, Text: "the product is deleted, and was never on this channel", Since: p.Deleted}
	case !l.Has:
		return Because{Reason: ReasonEmpty, Text: "the product has nothing of this lane"}
	}
	return Because{Reason: ReasonUnlisted, Text: "nothing has had it listed on this channel yet; a change of it, or a resync of the channel, will"}
}

// settled is for a listing with nothing to be done.
func settled(e *postgres.Explained, l *postgres.ExplainedLane) Because {
	status := pim.ListingState(l.Status)
	away := status != pim.StateLive && status != pim.StateAccepted
	where := "the target does not hold it"
	if w, ok := isWithdrawn(l.ContentHash); ok && w == pim.WithdrawDisable {
		where = "the target keeps it and shows it to nobody, as the channel's policy says"
	}
	b := Because{Since: l.AckedAt}
	switch p := e.Product; {
	case l.Error != "" && l.Verdict == verdictIncomplete:
		return Because{Reason: ReasonIncomplete, Text: "it is not fit to be sent: " + saidAgainst(l) + "; it is looked at again when the product or the mapping changes", Since: l.Receipt}
	case l.Error != "":
		return Because{Reason: ReasonParked, Text: "the target refused it: " + saidAgainst(l) + "; it is tried again when the product or the mapping changes, or somebody has it tried", Since: l.Receipt}
	case status == pim.StateSoldOut || !away && l.ContentStatus == string(pim.StateSoldOut):
		b.Reason, b.Text = ReasonSoldOut, gone(p)+"; the target keeps it, as the channel's policy says, and "
		switch {
		case l.Lane != pim.Offer:
			b.Text += "its offer is told that none is left"
		case status == pim.StateSoldOut:
			b.Text += "was told that none is left"
		default: // the tombstone is its own receipt
			b.Text += "is to be told that none is left"
		}
	case away && (p.Deleted != nil || p.ParentDeleted):
		b.Reason, b.Text = ReasonDeleted, "the product is deleted, and "+where
		if p.Deleted == nil {
			b.Text = "the product's parent is deleted, and " + where
		} else if b.Since == nil {
			b.Since = p.Deleted
		}
	case away && (!p.Enabled || p.ParentDisabled):
		b.Reason, b.Text = ReasonDisabled, "the product is disabled, and "+where
		if p.Enabled {
			b.Text = "the product's parent is disabled, and " + where
		}
	case away && p.Closed != nil:
		b.Reason, b.Text, b.Until = ReasonNotPublished, "the product is not published here"+opens(e)+", and "+where, latest(e.Now, p.Closed.From)
	case away && p.SubModel:
		b.Reason, b.Text = ReasonSubModel, "the product is a sub-model: targets have of it what its variants have from it, and "+where
	case status == pim.StateWithdrawn:
		w, _ := isWithdrawn(l.ContentHash)
		b.Reason, b.Text = ReasonWithdrawn, "the channel's document of it has no field any more; "+withdrawnText(w)
	case away && !l.Mapped:
		b.Reason, b.Text = ReasonNotMapped, "the channel's mapping has nothing of this lane: nothing is sent"
	case away && l.Lane != pim.Content && l.ContentStatus == string(pim.StateNone):
		b.Reason, b.Text = ReasonEmpty, "the product's content comes to nothing that would be sent, so neither is this"
	case away:
		b.Reason, b.Text = ReasonEmpty, "the channel's document of it has no field: nothing is sent"
	case l.Acked > l.ReceiptRev:
		b.Reason, b.Text = ReasonNoDifference, fmt.Sprintf("%s, as revision %d; what changed since left the channel's document as it was, so nothing was sent", holds(status), l.ReceiptRev)
	default:
		b.Reason, b.Text = Reason(status), holds(status)
	}
	return b
}

// opens says until when a product is not published.
func opens(e *postgres.Explained) string {
	if at := latest(e.Now, e.Product.Closed.From); at != nil {
		return " until " + clockOf(at)
	}
	return " any more"
}

func holds(s pim.ListingState) string {
	if s == pim.StateLive {
		return "the target says that it shows it"
	}
	return "the target has accepted it, and says no more than that"
}

// saidAgainst is what was said against a listing.
func saidAgainst(l *postgres.ExplainedLane) string {
	var said []string
	for _, i := range l.Issues {
		if i.Severity != pim.SeverityError {
			continue
		}
		text := i.Text
		if i.Attribute != "" {
			text = i.Attribute + ": " + text
		}
		if said = append(said, text); len(said) == 3 {
			break
		}
	}
	if len(said) == 0 {
		return l.Error
	}
	return strings.Join(said, "; ")
}

// rests is for what keeps a whole channel, or lane, from sending.
func rests(e *postgres.Explained, l *postgres.ExplainedLane) Because {
	ch := e.Channel
	until := latest(e.Now, ch.NextProbeAt, ch.ThrottledUntil)
	why := ""
	if ch.LastError != "" {
		why = ": " + ch.LastError
	}
	switch {
	case !ch.Enabled:
		return Because{Reason: ReasonPaused, Text: "the channel is paused; what changes meanwhile waits"}
	case e.Anew:
		return Because{Reason: ReasonMarking, Text: "everything is to be sent to this channel anew, and nothing is until the whole catalogue has been marked for it"}
	case e.Hold == postgres.HoldAuth && (until != nil || ch.Fails > 0):
		return Because{Reason: ReasonAuth, Text: "the target refuses our credentials" + why, Until: until}
	case ch.Fails >= postgres.BreakerFails && until == nil:
		return Because{Reason: ReasonBreakerOpen, Text: fmt.Sprintf("the target has failed %d times in a row, and is being tried with one listing now%s", ch.Fails, why)}
	case ch.Fails >= postgres.BreakerFails:
		return Because{Reason: ReasonBreakerOpen, Text: fmt.Sprintf("the target has failed %d times in a row; it is tried again then, with one listing%s", ch.Fails, why), Until: until}
	case until == nil:
	case e.Hold == postgres.HoldBudget:
		return Because{Reason: ReasonBudget, Text: "the requests that the target grants are used up" + why, Until: until}
	case e.Hold == postgres.HoldQuota:
		return Because{Reason: ReasonQuota, Text: "the channel's requests of the day are used up", Until: until}
	case e.Hold == postgres.HoldRate:
		return Because{Reason: ReasonRate, Text: "the channel's rate allows no request before", Until: until}
	case latest(e.Now, ch.ThrottledUntil) != nil && !ch.ThrottledUntil.Before(*until):
		return Because{Reason: ReasonThrottled, Text: "the target throttles the channel" + why, Until: until}
	default:
		return Because{Reason: ReasonFailing, Text: "the target failed, and is left alone for a moment" + why, Until: until}
	}
	until = latest(e.Now, l.WaitUntil)
	switch {
	case until == nil || l.Urgent || l.Token: // what is sold out goes out even so, and what is pending is asked for
		return Because{}
	case l.WaitFor == postgres.HoldWindow:
		return Because{Reason: ReasonWindow, Text: "the channel's windows let nothing out at this time", Until: until}
	case l.WaitFor == postgres.HoldQuota:
		return Because{Reason: ReasonQuota, Text: "the requests of the day that this lane may have are used up", Until: until}
	case l.WaitFor == postgres.HoldRate:
		return Because{Reason: ReasonRate, Text: "the channel's rate allows no request before", Until: until}
	}
	return Because{Reason: ReasonHeld, Text: "the lane is held back: " + l.WaitFor, Until: until}
}

// latest is the last of the times that are still to come; nil: none is.
func latest(now time.Time, times ...*time.Time) (at *time.Time) {
	for _, t := range times {
		if t != nil && t.After(now) && (at == nil || t.After(*at)) {
			at = t
		}
	}
	return at
}

// waits is for a listing that its channel does not keep back.
func waits(e *postgres.Explained, l *postgres.ExplainedLane) Because {
	until := latest(e.Now, l.Due)
	failed := connectors.Verdict(l.Verdict)
	switch {
	case l.Token:
		b := Because{Reason: ReasonPending, Text: fmt.Sprintf("the target has had revision %d since %s, and is to say what became of it; it is asked again then", l.SentRev, clockOf(l.SentAt)), Until: until}
		if until == nil {
			b.Text = fmt.Sprintf("the target has had revision %d since %s, and is asked now what became of it", l.SentRev, clockOf(l.SentAt))
		}
		return b
	case l.Forever:
		return Because{Reason: ReasonWaitsForContent, Text: "it waits until the target holds the product's content"}
	case l.Error != "" && hasIssue(l, issueConflict):
		return Because{Reason: ReasonConflict, Text: fmt.Sprintf("it failed %s, and is tried again then: %s", times(l.Attempts), saidAgainst(l)), Until: until}
	case l.Error != "" && failed == connectors.Conflict && until == nil && l.Attempts == 1:
		return Because{Reason: ReasonConflict, Text: "the target refuses it for what it holds, and is sent it once more now, as it is by now: " + l.Error}
	case until == nil:
	case l.Error != "" && failed == connectors.Throttled:
		return Because{Reason: ReasonThrottled, Text: "the target wants this product later: " + l.Error, Until: until}
	case l.Error != "":
		return Because{Reason: ReasonRetrying, Text: fmt.Sprintf("it failed %s, and is tried again then: %s", times(l.Attempts), saidAgainst(l)), Until: until}
	case l.Settle != nil:
		return Because{Reason: ReasonSettling, Text: "an answer was lost, so that what was sent before may still take effect; it is sent once more then, to be sure", Until: until}
	case l.Lane == pim.Content && hasIssue(l, issueTextPending):
		return Because{Reason: ReasonWaitsForText, Text: "it waits for texts: " + issueText(l, issueTextPending), Until: until}
	case l.Lane == pim.Media && hasIssue(l, issuePicturePending):
		return Because{Reason: ReasonWaitsForPictures, Text: "it waits for pictures: " + issueText(l, issuePicturePending), Until: until}
	case l.ParentAwaited && e.Parents:
		return Because{Reason: ReasonWaitsForParent, Text: fmt.Sprintf("it waits until the target holds its parent, %s, whose content is still to be there", e.Product.Parent), Until: until}
	case e.Channel.Policy.Flow.DebounceSeconds > 0:
		return Because{Reason: ReasonDebounce, Text: "the channel waits a moment for further changes of the product", Until: until}
	default:
		return Because{Reason: ReasonHeld, Text: "it is looked at again then", Until: until}
	}
	switch {
	case l.Holder == "" && !e.Workers:
		return Because{Reason: ReasonNoWorker, Text: "it is to be sent, and no process works for channels"}
	case l.Ahead == 0:
		return Because{Reason: ReasonQueued, Text: "it is the next to be sent, or is being sent"}
	case l.Ahead == postgres.MaxAhead:
		return Because{Reason: ReasonQueued, Text: fmt.Sprintf("it is to be sent, among %d others or more that were due before or with it", l.Ahead)}
	}
	return Because{Reason: ReasonQueued, Text: fmt.Sprintf("it is to be sent, with at most %d others before it", l.Ahead)}
}

// Codes of the issues that say what a listing waits for.
const (
	issueTextPending    = "mapping.text.pending"
	issuePicturePending = "mapping.media.pending"
)

func hasIssue(l *postgres.ExplainedLane, code string) bool {
	return slices.ContainsFunc(l.Issues, func(i pim.Issue) bool { return i.Code == code })
}

func issueText(l *postgres.ExplainedLane, code string) string {
	at := slices.IndexFunc(l.Issues, func(i pim.Issue) bool { return i.Code == code })
	return l.Issues[at].Text
}

func times(n int) string {
	switch n {
	case 0, 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func clockOf(t *time.Time) string {
	if t == nil {
		return "some time"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
