package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluicehub/sluice/connectors/translation"
	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/text"
)

// translator works off translations: all that is claimed of one pair of
// languages at once, so that each segment is sent once however many texts have it.
type translator struct {
	r *Runner
	t *Texts
}

// takes is little enough that a live edit does not wait long behind a backfill.
func (*translator) takes() (all, lot int) { return 120, 60 }

func (w *translator) do(ctx context.Context, l postgres.Lease, tasks []postgres.Task) error {
	round, err := w.t.load(ctx, tasks)
	if err != nil {
		return err
	}
	if len(round.over) > 0 {
		if err := w.r.store.EndTasks(ctx, l, round.over, nil); err != nil {
			return err
		}
	}
	for _, lot := range round.sortedLots() {
		if err := w.lot(ctx, l, round.book, lot, round.lots[lot]); err != nil {
			return err
		}
	}
	return nil
}

// unit is a segment that some of a lot's texts have, once.
type unit struct {
	seg    text.Segment // as the first of them has it
	in     inSegment
	target string // "": not known yet
	origin string
	model  string
	test   bool
	seen   bool                 // by a person, in a proposal
	again  time.Time            // when the last of its texts came to nothing that is asked for again
	faults []postgres.TextFault // of the translations that were refused
	alike  []postgres.Suggestion

	// What it used up, told of the first text that has it.
	characters, tokens int64
	cost               *translation.Cost
	told               bool
}

// pairWork is a lot on its way.
type pairWork struct {
	from, to pim.Locale
	rule     *postgres.TextRule
	glossary *glossary
	tests    bool // only services for tests are asked
	origins  []string
	units    map[[32]byte]*unit
	order    []*unit
}

// pieces are an item's text, cut up.
type pieces struct {
	*textItem
	doc   text.Document
	units []*unit // of doc's segments
}

func (w *translator) lot(ctx context.Context, l postgres.Lease, book *ruleBook, lot string, items []*textItem) error {
	first := items[0]
	k := &pairWork{from: first.cover.rule.From, to: first.was.Locale, rule: first.cover.rule, tests: first.cover.tests, units: map[[32]byte]*unit{}}
	if len(k.rule.Providers) > 0 {
		k.origins = k.rule.Providers
	}
	var err error
	if k.glossary, err = w.t.glossary(ctx, k.from, k.to); err != nil {
		return err
	}
	var writes []*postgres.TextWrite
	var cut []*pieces
	for _, it := range items {
		if it.cover.lot(it.was.Locale) != lot || it.cover.rule.Action != postgres.TextTranslate {
			// The rule is another one now; its products are being looked at.
			writes = append(writes, &postgres.TextWrite{Text: it.was, Actor: "texts", End: &postgres.TaskEnd{Task: it.task}})
			continue
		}
		protect := k.glossary.keep.With(append(book.names(it.cover.rule.Code, it.values), skuTerm(it.product.SKU)...)...)
		doc, err := text.Cut(it.cover.source, it.html, protect)
		if err != nil {
			writes = append(writes, it.fail(err.Error(), nil, postgres.TaskEnd{Failed: true}))
			continue
		}
		p := &pieces{textItem: it, doc: doc, units: make([]*unit, len(doc.Segments))}
		for i, seg := range doc.Segments {
			u := k.units[seg.Key]
			if u == nil {
				u = &unit{seg: seg, in: k.glossary.in(seg.Source)}
				k.units[seg.Key], k.order = u, append(k.order, u)
			}
			u.seen = u.seen || it.proposes()
			if at, is := w.t.failed.Peek(it.was.ID); is && at.After(u.again) {
				u.again = at
			}
			p.units[i] = u
		}
		cut = append(cut, p)
	}
	if err := w.recall(ctx, k); err != nil {
		return err
	}
	rests, err := w.ask(ctx, book, k)
	if err != nil {
		return err
	}
	waits := false
	for _, p := range cut {
		m, why, faults := p.assemble()
		switch {
		case why == "":
			writes = append(writes, p.write(book.schema, m))
		case rests.wait > 0:
			waits = true // its task stays as it is
		default:
			writes = append(writes, p.fail(why, faults, postgres.TaskEnd{Failed: true}))
			w.t.failed.Add(p.was.ID, time.Now())
		}
	}
	if err := w.t.end(ctx, w.r, l, items, writes); err != nil {
		return err
	}
	if waits {
		return w.r.store.LotFailed(ctx, l, lot, rests.cause, rests.wait, true, lotFails)
	}
	return nil
}

// assemble puts a text together; why says what is missing, or wrong.
func (p *pieces) assemble() (m made, why string, faults []postgres.TextFault) {
	targets := make([]string, len(p.units))
	origins := map[string]bool{}
	for i, u := range p.units {
		if u.target == "" {
			for _, f := range u.faults {
				if len(faults) < maxTextFaults && !slices.Contains(faults, f) {
					faults = append(faults, f)
				}
			}
			why = "no provider gave a usable translation"
			continue
		}
		seg := p.doc.Segments[i]
		targets[i] = seg.Tidy(u.target)
		if wrong := broken(seg.Check(targets[i], text.Rules{})); wrong != "" {
			why = "what is known of a segment does not fit here: " + wrong
			faults = append(faults, postgres.TextFault{Code: "text.segment", Severity: pim.SeverityError, Text: wrong})
			continue
		}
		origins[u.origin] = true
		m.test = m.test || u.test
		if m.provenance.Model == "" {
			m.provenance.Model = u.model
		}
		for _, s := range u.alike {
			if len(m.suggestions) < maxSuggestions {
				m.suggestions = append(m.suggestions, s)
			}
		}
	}
	if why != "" {
		if len(faults) > 0 {
			why += ": " + faults[0].Text
		}
		return m, why, faults
	}
	var cost *translation.Cost
	for _, u := range p.units {
		if u.told {
			continue
		}
		u.told = true
		m.provenance.Characters += u.characters
		m.provenance.Tokens += u.tokens
		if sum, err := cost.Plus(u.cost); err == nil {
			cost = sum
		}
	}
	if cost != nil {
		m.provenance.Amount, m.provenance.Currency = cost.Amount.String(), cost.Currency
	}
	if m.provenance.Providers = slices.Sorted(maps.Keys(origins)); len(origins) == 0 {
		m.provenance.Providers = []string{originNone} // there was nothing to translate
	}
	var err error
	if m.text, err = p.doc.Assemble(targets); err != nil {
		return m, fmt.Sprintf("put the text together: %v", err), nil
	}
	return m, "", nil
}

const (
	maxTextFaults  = 20
	maxSuggestions = 20
	// originNone stands among a text's origins where there was nothing to translate.
	originNone = "none"
)

// recall fills in what was translated before: exactly, or with other numbers.
func (w *translator) recall(ctx context.Context, k *pairWork) error {
	if len(k.order) == 0 {
		return nil
	}
	hashes, versions := make([][]byte, len(k.order)), make([]int64, len(k.order))
	for i, u := range k.order {
		hashes[i], versions[i] = u.seg.Key[:], u.in.version
	}
	known, err := w.r.store.Recall(ctx, k.from, k.to, hashes, versions, k.origins, k.tests)
	if err != nil {
		return err
	}
	var missing []*unit
	for _, u := range k.order {
		m, is := known[string(u.seg.Key[:])]
		if !is || broken(u.seg.Check(u.seg.Tidy(m.Target), text.Rules{})) != "" {
			missing = append(missing, u)
			continue
		}
		u.target, u.origin, u.model, u.test = m.Target, originOf(m), m.Model, m.Test
		w.r.metrics.translated("memory", 1)
	}
	if err := w.adapt(ctx, k, missing); err != nil {
		return err
	}
	return w.suggest(ctx, k, missing)
}

// adapt fills in what was translated before with other numbers.
func (w *translator) adapt(ctx context.Context, k *pairWork, missing []*unit) error {
	if len(missing) == 0 {
		return nil
	}
	shaped, err := w.r.store.Shaped(ctx, k.from, k.to, sourcesOf(missing), k.tests)
	if err != nil {
		return err
	}
	for i, u := range missing {
		for _, m := range shaped[i] {
			if m.Source == u.seg.Source || m.GlossaryVersion != u.in.version && m.Origin != postgres.MemoryPerson ||
				len(k.origins) > 0 && m.Origin != postgres.MemoryPerson && !slices.Contains(k.origins, m.Origin) {
				continue
			}
			adapted, ok := text.Remembered{Source: m.Source, Target: m.Target, From: string(k.from), To: string(k.to)}.Adapt(u.seg.Source)
			if ok && broken(u.seg.Check(adapted, k.rules(u))) == "" {
				u.target, u.origin, u.model, u.test = adapted, originOf(m.MemoryEntry), m.Model, m.Test
				w.r.metrics.translated("adapted", 1)
				break
			}
		}
	}
	return nil
}

// suggest finds what resembles segments that a person will see. It is a
// courtesy, and bounded: a large memory takes its time to be searched.
func (w *translator) suggest(ctx context.Context, k *pairWork, missing []*unit) error {
	missing = slices.DeleteFunc(slices.Clone(missing), func(u *unit) bool {
		return u.target != "" || !u.seen || len(u.seg.Source) > postgres.MaxAlike
	})
	if missing = missing[:min(len(missing), maxSuggested)]; len(missing) == 0 {
		return nil
	}
	bound, cancel := context.WithTimeout(ctx, suggestTimeout)
	defer cancel()
	alike, err := w.r.store.Alike(bound, k.from, k.to, sourcesOf(missing), k.tests)
	if err != nil {
		if ctx.Err() == nil && bound.Err() != nil {
			return nil // without suggestions, then
		}
		return err
	}
	for i, u := range missing {
		for _, m := range alike[i] {
			u.alike = append(u.alike, postgres.Suggestion{Source: m.Source, Target: m.Target, Similarity: m.Similarity})
		}
	}
	return nil
}

const (
	maxSuggested   = 50 // segments of one lot
	suggestTimeout = 5 * time.Second
)

func sourcesOf(units []*unit) []string {
	out := make([]string, len(units))
	for i, u := range units {
		out[i] = u.seg.Source
	}
	return out
}

// originOf names a remembered segment's origin among a text's.
func originOf(m postgres.MemoryEntry) string {
	if m.Origin == postgres.MemoryPerson {
		return postgres.MemoryPerson
	}
	return originMemory
}

// rules are what translations of a segment are checked by.
func (k *pairWork) rules(u *unit) text.Rules {
	return text.Rules{From: string(k.from), To: string(k.to), Forbidden: k.glossary.forbidden, ForbiddenAsWritten: k.glossary.forbiddenAs, Fixed: u.in.fixed}
}
