package jobs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// A product that a channel has not got yet is not sent there while a text that
// its document would show is being made: better a little later than twice, the
// first time with what the mapping falls back to. It is kept back for so long
// as the text's rule says, and no longer; what a channel has is never kept back.

// textWait is why a listing waits for texts.
type textWait struct {
	after  time.Duration // look again then; what becomes of a text wakes it before
	issues []pim.Issue
}

// first reports that nothing of the content was ever sent, or may have been.
func (t *task) first() bool {
	return t.lane == pim.Content && !t.Gone && t.Token == "" && t.Born <= 0 && t.AckedHash == nil && (t.Status == "" || t.Status == string(pim.StateNone)) && !t.doubt()
}

// hold makes a task wait; what its document lacks is no fault as long.
func (t *task) hold(w textWait) {
	t.held, t.document, t.issues, t.preflight = w.after, nil, w.issues, nil
}

const (
	// unseenLeast and unseenMost bound when a listing is looked at again whose
	// product is still to be looked at: nothing but a text that comes of it wakes it.
	unseenLeast, unseenMost = 2 * time.Second, time.Minute
)

// lacking is a text that a product has not, and its rule's.
type lacking struct {
	slot postgres.Slot
	rule *postgres.TextRule
}

// waits says which products wait for texts. The tasks are of the content lane,
// each with its subject; others, and those without one, are left alone.
func (c *Channels) waits(ctx context.Context, t *Target, tasks []*task, subjects []*connectors.Subject, schema *pim.Schema, now time.Time) (map[pim.ProductID]textWait, error) {
	var book *ruleBook
	lack := map[pim.ProductID][]lacking{}
	of := map[pim.ProductID]*task{}
	var ids []int64
	for i, k := range tasks {
		if k == nil || subjects[i] == nil || !k.first() {
			continue
		}
		if book == nil {
			rules, err := c.store.TextRules(ctx)
			if err != nil {
				return nil, err
			}
			providers, err := c.store.Providers(ctx)
			if err != nil {
				return nil, err
			}
			book = newRuleBook(rules, schema, providers)
		}
		if missing := book.lacks(t, subjects[i]); len(missing) > 0 {
			lack[k.Product], of[k.Product], ids = missing, k, append(ids, int64(k.Product))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	held, err := c.store.HeldProducts(ctx, ids, t.Locale, t.Code)
	if err != nil {
		return nil, err
	}
	out := map[pim.ProductID]textWait{}
	for _, h := range held {
		if w := waitFor(h, of[h.Product], lack[h.Product], now); w.after > 0 {
			out[h.Product] = w
		}
	}
	return out, nil
}

// lacks are the texts that a document would show if machines had made them.
func (b *ruleBook) lacks(t *Target, s *connectors.Subject) (out []lacking) {
	f := b.schema.Families[s.Family]
	if f == nil || !slices.ContainsFunc(b.rules, func(r postgres.TextRule) bool { return slices.Contains(r.To, t.Locale) && r.Hold() > 0 }) {
		return nil
	}
	for _, m := range f.Attributes {
		a := b.schema.Attributes[m.Code]
		if a == nil || !isText(a) || !t.Program.Reads(a.Code, t.Locale) {
			continue
		}
		slot := postgres.Slot{Attribute: a.Code, Locale: t.Locale}
		if a.Scopable {
			slot.Channel = t.Code
		}
		if strings.TrimSpace(textAt(s.Values, slot)) != "" {
			continue
		}
		// What providers for tests would make is for test channels.
		if c := b.covers(s.Family, s.Values, nil, slot); c.hash() != "" && (!c.tests || t.Test) && c.rule.Hold() > 0 {
			out = append(out, lacking{slot, c.rule})
		}
	}
	return out
}

// waitFor works out how long a product waits, if at all.
func waitFor(h postgres.HeldProduct, k *task, lack []lacking, now time.Time) (w textWait) {
	for _, l := range lack {
		since, why, again := time.Time{}, "", pendingMost
		at := slices.IndexFunc(h.Texts, func(x postgres.HeldText) bool { return x.Attribute == l.slot.Attribute && x.Channel == l.slot.Channel })
		switch {
		case at >= 0 && h.Texts[at].Since != nil:
			if since = *h.Texts[at].Since; l.rule.Action == postgres.TextTranslate {
				why = "is still to be translated"
			} else {
				why = "is still to be written"
			}
			if h.Texts[at].Error != "" {
				why += " (" + h.Texts[at].Error + ")"
			}
		case at >= 0 && l.rule.Review == postgres.ReviewProposal:
			why = "waits for a person to review it"
		case h.Unseen || h.Rev != k.Rev: // what it lacks is not known; or it may be there already
			why, again = "is about to be asked for", min(max(now.Sub(k.DirtySince), unseenLeast), unseenMost)
		default:
			continue // nobody makes it
		}
		if k.DirtySince.After(since) {
			since = k.DirtySince
		}
		until := since.Add(l.rule.Hold())
		left := until.Sub(now)
		if left <= 0 {
			continue
		}
		if left = max(min(left, again), time.Millisecond); w.after == 0 || left < w.after {
			w.after = left
		}
		w.issues = append(w.issues, pim.Issue{
			Code: "mapping.text.pending", Severity: pim.SeverityWarning, Attribute: l.slot.Attribute,
			Text: fmt.Sprintf("%s in %s %s; the product is sent without it from %s on", l.slot.Attribute, l.slot.Locale, why, until.UTC().Format("2006-01-02 15:04 UTC")),
		})
	}
	return w
}

// surveyedWaits is waits for readers: items are all lanes of the products whose
// subjects are given, in order.
func (c *Channels) surveyedWaits(
	ctx context.Context, t *Target, survey *postgres.Survey, items []postgres.Surveyed, subjects []*connectors.Subject, schema *pim.Schema,
) (map[pim.ProductID]textWait, error) {
	if !survey.Texts {
		return nil, nil
	}
	var tasks []*task
	for i := range items {
		if items[i].Lane == pim.Content {
			tasks = append(tasks, &task{Claimed: &items[i].Claimed, lane: pim.Content})
		}
	}
	if len(tasks) != len(subjects) {
		return nil, nil // a channel without a content lane
	}
	return c.waits(ctx, t, tasks, subjects, schema, survey.Now)
}
